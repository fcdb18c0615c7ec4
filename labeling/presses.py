"""Tells real presses of a key from the repeats that a held key sends, so that one press gives one answer.

OpenCV says which key came, not whether it was held. Where the system can be asked which keys are down, a key counts
again only after it was seen up. Elsewhere time decides: repeats come at a steady pace after a first delay, so that a
key coming again within that delay's range is believed only when no repeat follows.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

LONGEST_INTERVAL_SECONDS = 0.12
"""Between two repeats: 25 to 40 ms by default on X11 and Windows, 90 ms on macOS. People are slower than this."""

LONGEST_DELAY_SECONDS = 1.2
"""From a press to its first repeat: 660 ms under X11, 500 ms on most desktops, at most a second on Windows."""

KeysDown = Callable[[], frozenset[int]]
"""Gives the physical keys that are down now, by numbers of the system's own; Shift and the like left out."""


@dataclass(frozen=True, slots=True)
class Press:
    """A key that came."""

    code: int
    """As `waitKeyEx` gave it."""
    is_repeat: bool
    """Whether it came from a key that is being held."""
    at: float
    """When it came, in seconds of the clock."""


class Presses:
    """Takes what `waitKeyEx` returned, turn by turn, and gives the presses in it.

    Args:
        keys_down: How to ask the system; None where it cannot be asked.
        clock: Seconds by a clock that is never set.
    """

    def __init__(self, keys_down: KeysDown | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._rule = _ByTime() if keys_down is None else _ByState(keys_down)

    @property
    def is_settling(self) -> bool:
        """Whether another turn is wanted at once, to see if a key that is up has sent anything more."""
        return self._rule.is_settling

    def look(self) -> None:
        """Looks at the keyboard between turns, where much time may go by."""
        self._rule.look()

    def turn(self, code: int | None) -> list[Press]:
        """The presses that are certain after one turn of the loop, in which `code` came, or nothing (None)."""
        return self._rule.turn(code, self._clock())


class _ByState:
    """A code is held while any key that was down when it came has stayed down since."""

    def __init__(self, keys_down: KeysDown) -> None:
        self._keys_down = keys_down
        self._held: dict[int, frozenset[int]] = {}
        """Codes, with those keys. Where none is left, repeats may still be on their way, until a turn brings none."""

    @property
    def is_settling(self) -> bool:
        return not all(self._held.values())

    def look(self) -> None:
        if self._held:
            down = self._keys_down()
            self._held = {code: keys & down for code, keys in self._held.items()}

    def turn(self, code: int | None, now: float) -> list[Press]:
        if code is None:
            self._held = {held: keys for held, keys in self._held.items() if keys}
        self.look()
        if code is None:
            return []
        is_repeat = code in self._held
        if not is_repeat:
            self._held[code] = self._keys_down()
        return [Press(code, is_repeat, now)]


class _ByTime:
    """A code that comes again too soon for a person, or at the head of a row of repeats, is held."""

    is_settling = False

    def __init__(self) -> None:
        self._last: dict[int, float] = {}
        self._doubtful: Press | None = None

    def look(self) -> None:
        """Has nothing to look at."""

    def turn(self, code: int | None, now: float) -> list[Press]:
        found: list[Press] = []
        if self._doubtful is not None:
            is_over = now - self._doubtful.at > LONGEST_INTERVAL_SECONDS
            is_repeat = code == self._doubtful.code and not is_over
            if is_repeat or is_over or code is not None:
                found.append(replace(self._doubtful, is_repeat=is_repeat))
                self._doubtful = None
        if code is not None:
            found += self._came(code, now)
        return found

    def _came(self, code: int, now: float) -> list[Press]:
        gap = now - self._last.get(code, -math.inf)
        self._last[code] = now
        press = Press(code, gap <= LONGEST_INTERVAL_SECONDS, now)
        if LONGEST_INTERVAL_SECONDS < gap <= LONGEST_DELAY_SECONDS:
            self._doubtful = press
            return []
        return [press]
