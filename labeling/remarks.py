"""What the window says to the labeler for a while: what came of the last key, which side is lit, when to rest."""

from __future__ import annotations

from collections.abc import Callable

from labeling.choice import Choice

BREAK_AFTER_SECONDS = 25 * 60.0
"""Of labeling, until a break is suggested; again after as long."""
BREAK_SECONDS = 5 * 60.0
"""Without an answer that count as a break."""

MESSAGE_SECONDS = 4.0
ERROR_SECONDS = 12.0
NOTICE_SECONDS = 60.0
GLOW_SECONDS = 0.35


class Remarks:
    """The remarks of one session; `clock` gives seconds and is never set."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._message, self._is_error, self._message_until = "", False, 0.0
        self._glow: Choice | None = None
        self._glow_until = 0.0
        self._stretch_began: float | None = None
        self._answered_at = self._notice_until = 0.0

    @property
    def message(self) -> str:
        """What came of the last key; empty once it has been there for long enough."""
        return self._message if self._clock() < self._message_until else ""

    @property
    def is_error(self) -> bool:
        """Whether that is of something that went wrong."""
        return self._is_error

    @property
    def glow(self) -> Choice | None:
        """The last answer, for as long as its side is lit."""
        return self._glow if self._clock() < self._glow_until else None

    @property
    def notice(self) -> str:
        """That it is time for a break; empty while it is not."""
        return "25 minutes: time for a break?" if self._clock() < self._notice_until else ""

    def say(self, message: str, is_error: bool = False) -> None:
        """Says this instead of what was said before."""
        self._message, self._is_error, self._glow = message, is_error, None
        self._message_until = self._clock() + (ERROR_SECONDS if is_error else MESSAGE_SECONDS)

    def answered(self, choice: Choice, message: str) -> None:
        """Says that this answer is stored, lights its side, and watches over how long the labeler has been at it."""
        self.say(message)
        now = self._clock()
        self._glow, self._glow_until = choice, now + GLOW_SECONDS
        if self._stretch_began is None or now - self._answered_at > BREAK_SECONDS:
            self._stretch_began = now
        elif now - self._stretch_began > BREAK_AFTER_SECONDS:
            self._stretch_began = now
            self._notice_until = now + NOTICE_SECONDS
        self._answered_at = now
