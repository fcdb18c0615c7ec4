"""A labeler's session at the window: what actions do, which pair is up, and what is said; it touches no screen.

Answers are stored before anything else happens, so that nothing is lost however the session ends.
"""

from __future__ import annotations

import time
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import replace

from labeling import screen
from labeling.agent_status import AgentStatus
from labeling.ahead import N_AHEAD, Ahead, Damaged, Pair
from labeling.choice import Choice
from labeling.desk import Desk, Tally
from labeling.keys import CHOICES, Action
from labeling.label import StoreError, utc_ms_now
from labeling.lettering import Picture
from labeling.pictures import Pictures
from labeling.playback import SPEEDS, Playback
from labeling.remarks import Remarks
from labeling.surround import Facts
from labeling.words import (
    agent_line,
    playing_words,
    saved_words,
    summary,
    why_none_waits,
)

LEAST_SEEN_SECONDS = 0.05
"""A key that comes sooner after a pair is painted was pressed before anyone could have seen it, and does not count."""

_LOOK_SECONDS = 1.0
_ASK_SECONDS = 0.25
_RENEW_SECONDS = 20.0
_BEAT_SECONDS = 0.12
_GOODBYE_SECONDS = 2.5


class Session:
    """One sitting of one labeler.

    Args:
        desk: Hands out queries and takes answers.
        pictures: Frames of the clips.
        labeler: Who answers.
        task: What to look for.
        title: Which run this is.
        total_labels: Answers asked for in all.
        read_status: How the agent is doing, None where not known.
        worker_trouble: Why clips cannot be drawn, None where they can.
        how_to_resume: Command that starts a stopped agent again.
        clock: Seconds by a clock that is never set.
    """

    def __init__(
        self,
        desk: Desk,
        pictures: Pictures,
        *,
        labeler: str,
        task: str,
        title: str,
        total_labels: int,
        read_status: Callable[[], AgentStatus | None],
        worker_trouble: Callable[[], str | None],
        how_to_resume: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._desk, self._labeler, self._clock = desk, labeler, clock
        self._task, self._title, self._total_labels = task or "Which clip is better?", title, total_labels
        self._read_status, self._worker_trouble, self._how_to_resume = read_status, worker_trouble, how_to_resume
        self._ahead = Ahead(pictures)
        self._pair: Pair | None = None
        self._answered: deque[Pair] = deque(maxlen=4)
        self._playback: Playback | None = None
        self._speed = 1.0
        self._started = clock()
        self._n_given = 0
        self._undo_id = uuid.uuid4().hex
        self._has_help = False
        self._goodbye_until: float | None = None
        self._remarks = Remarks(clock)
        self._status: AgentStatus | None = None
        self._trouble: str | None = None
        self._n_waiting = 0
        self._look_at = self._ask_at = self._renew_at = 0.0
        self._tally = Tally(n_answered=0, per_minute=0.0)
        self._is_over = False

    @property
    def n_given(self) -> int:
        """Answers of this session that have not been taken back."""
        return self._n_given

    @property
    def is_over(self) -> bool:
        """Whether the labeler has quit."""
        return self._is_over or (self._goodbye_until is not None and self._clock() >= self._goodbye_until)

    @property
    def pair(self) -> Pair | None:
        """What is to be answered now."""
        return self._pair

    def close(self) -> None:
        """Stops reading ahead; whatever was answered is stored already."""
        self._ahead.close()

    def act(self, action: Action | None, at: float) -> None:
        """Does what a key asks for that came `at` that time; None is a key that does nothing."""
        if self._goodbye_until is not None:
            self._is_over = True
        elif action is Action.HELP or (action is Action.ESCAPE and self._has_help):
            self._has_help = not self._has_help
        elif action in (Action.QUIT, Action.ESCAPE):
            self._has_help = False
            self._goodbye_until = self._clock() + _GOODBYE_SECONDS
        elif action is None:
            self._remarks.say("That key does nothing; H shows all keys")
        else:
            try:
                self._work(action, at)
            except StoreError as error:
                self._remarks.say(str(error), is_error=True)

    def tick(self) -> None:
        """Keeps pairs coming and looks how the agent is doing; to be called again and again, also without a key."""
        now = self._clock()
        try:
            if now >= self._look_at:
                self._look_at = now + _LOOK_SECONDS
                self._status, self._trouble = self._read_status(), self._worker_trouble()
                self._n_waiting = self._desk.n_waiting(self._labeler) if self._pair is None else 0
                self._tally = self._desk.tally(self._labeler)
            self._fetch(now)
            if self._pair is None:
                self._advance()
        except StoreError as error:
            self._ask_at = now + _LOOK_SECONDS
            self._remarks.say(str(error), is_error=True)

    def picture(self, size: tuple[int, int]) -> Picture:
        """What the window is to show now, `size` (width, height)."""
        facts = self._facts()
        if self._goodbye_until is not None:
            lines = summary(self._n_given, self._clock() - self._started, self._tally, self._total_labels)
            heading = "Thank you" if self._n_given else "See you later"
            agent = agent_line(self._status, self._how_to_resume)
            quiet = replace(facts, message="", notice="", playing="")
            return screen.note_picture(size, quiet, heading, (*lines, "", agent), "Any key closes this window")
        picture = self._pair_picture(size, facts) if self._pair is not None else self._waiting_picture(size, facts)
        return screen.help_picture(size, facts, picture) if self._has_help else picture

    def looks(self) -> tuple[object, ...]:
        """Equal as long as `picture` would give the same again."""
        now, playback = self._clock(), self._playback
        beat = int(now / _BEAT_SECONDS) if self._pair is None else 0
        frames = playback.frames() if playback is not None else None
        shown = playback.progress() if playback is not None else 0.0
        facts = self._facts(), self._n_waiting, self._trouble
        return facts, self._pair, frames, shown, beat, self._has_help, self._goodbye_until

    def painted(self) -> None:
        """Says that the last picture is on the screen now."""
        if self._pair is not None and self._pair.shown_at is None and not self._has_help:
            self._pair.shown_at, self._pair.shown_at_utc_ms = self._clock(), utc_ms_now()

    def _work(self, action: Action, at: float) -> None:
        if action in CHOICES:
            self._answer(CHOICES[action], at)
        elif action is Action.UNDO:
            self._undo()
        elif self._playback is not None:
            self._play(action, self._playback)

    def _answer(self, choice: Choice, at: float) -> None:
        pair = self._pair
        if pair is None:
            self._remarks.say("No pair is up, so that key was ignored")
        elif self._has_help:
            self._remarks.say("Close the help first (H)")
        elif pair.shown_at is None or at - pair.shown_at < LEAST_SEEN_SECONDS:
            self._remarks.say("That key came before this pair could be seen, and was ignored")
        else:
            self._store(pair, choice, round(1000 * (at - pair.shown_at)))

    def _store(self, pair: Pair, choice: Choice, ms_on_screen: int) -> None:
        try:
            self._desk.answer(
                self._labeler,
                label_id=pair.label_id,
                query_id=pair.offer.query_id,
                choice=choice,
                shown_at_utc_ms=pair.shown_at_utc_ms,
                answered_at_utc_ms=utc_ms_now(),
                ms_on_screen=ms_on_screen,
            )
        except StoreError as error:
            self._remarks.say(f"Not saved: {error}", is_error=True)
            self._drop_if_closed(pair)
            return
        self._n_given += 1
        self._answered.append(pair)
        self._pair = None
        self._tally = self._desk.tally(self._labeler)
        self._remarks.answered(choice, saved_words(choice, self._tally.n_answered, self._total_labels))
        self._advance()

    def _drop_if_closed(self, pair: Pair) -> None:
        """Lets go of a pair that is not to be answered any more, as when it was answered in another window."""
        try:
            held = [pair.offer.query_id, *self._ahead.query_ids()]
            still_open = {offer.query_id for offer in self._desk.offers(self._labeler, len(held))}
        except StoreError:
            return
        if pair.offer.query_id not in still_open:
            self._pair = None
            self._advance()

    def _undo(self) -> None:
        try:
            offer = self._desk.undo(self._labeler, self._undo_id)
            self._tally = self._desk.tally(self._labeler)
        except StoreError as error:
            self._remarks.say(f"Not undone: {error}", is_error=True)
            return
        self._undo_id = uuid.uuid4().hex
        if offer is None:
            self._remarks.say("There is no answer to take back")
            return
        self._n_given = max(0, self._n_given - 1)
        if self._pair is not None:
            self._ahead.push(self._pair)
        if not self._desk.is_drawn(offer):
            self._pair, self._has_help = None, False
            self._remarks.say("Taken back: that pair comes again once it is drawn")
            self._advance()
            return
        known = [pair for pair in self._answered if pair.offer == offer]
        if known:
            self._answered.remove(known[-1])
            self._ahead.push(Pair(offer, known[-1].left, known[-1].right))
        else:
            self._ahead.append_first(offer)
        self._pair, self._has_help = None, False
        self._remarks.say(f"Taken back, {self._tally.n_answered:,} / {self._total_labels:,}: answer this pair again")
        self._advance()

    def _play(self, action: Action, playback: Playback) -> None:
        if action is Action.PLAY:
            playback.toggle()
        elif action in (Action.SLOWER, Action.FASTER):
            self._speed = playback.change_speed(1 if action is Action.FASTER else -1)
            if self._speed in (SPEEDS[0], SPEEDS[-1]):
                self._remarks.say(f"That is the {'slowest' if self._speed < 1 else 'fastest'}")
        else:
            playback.step(1 if action is Action.FORWARD else -1)

    def _advance(self) -> None:
        """Puts the next pair up, if one is ready; those that cannot be shown are withdrawn, and that is said."""
        self._playback = None
        while self._pair is None:
            found = self._ahead.pop()
            if found is None:
                return
            if isinstance(found, Damaged):
                self._desk.withdraw(found.query_id, found.reason)
                self._remarks.say(f"A pair was withdrawn: {found.reason}", is_error=True)
                continue
            self._pair = found
            n_frames = len(found.left.frames), len(found.right.frames)
            rates = found.left.frame_rate, found.right.frame_rate
            self._playback = Playback(n_frames, rates, speed=self._speed, clock=self._clock)

    def _fetch(self, now: float) -> None:
        n_missing = N_AHEAD + (self._pair is None) - len(self._ahead)
        held = [self._pair.offer.query_id] if self._pair is not None else []
        held += self._ahead.query_ids()
        if n_missing > 0 and now >= self._ask_at:
            offers = self._desk.offers(self._labeler, n_missing, held)
            for offer in offers:
                self._ahead.append(offer)
            self._ask_at = now + _ASK_SECONDS if len(offers) < n_missing else now
            self._renew_at = now + _RENEW_SECONDS
        elif now >= self._renew_at and held:
            self._desk.offers(self._labeler, 0, held)
            self._renew_at = now + _RENEW_SECONDS

    def _facts(self) -> Facts:
        return Facts(
            title=self._title,
            task=self._task,
            n_answered=self._tally.n_answered,
            total_labels=self._total_labels,
            per_minute=round(self._tally.per_minute, 1),
            agent=agent_line(self._status, self._how_to_resume),
            playing=playing_words(self._playback) if self._playback is not None else "",
            message=self._remarks.message,
            notice=self._remarks.notice,
            is_error=self._remarks.is_error,
            glow=self._remarks.glow,
        )

    def _pair_picture(self, size: tuple[int, int], facts: Facts) -> Picture:
        assert self._pair is not None
        assert self._playback is not None
        left, right = self._pair.left, self._pair.right
        left_frame, right_frame = self._playback.frames()
        frames = left.frames[left_frame], right.frames[right_frame]
        return screen.pair_picture(size, facts, *frames, self._playback.progress())

    def _waiting_picture(self, size: tuple[int, int], facts: Facts) -> Picture:
        heading, lines = why_none_waits(
            self._status, self._trouble, self._n_waiting, self._tally, self._total_labels, self._how_to_resume
        )
        beat = (self._clock() / (8 * _BEAT_SECONDS)) % 1.0
        return screen.note_picture(size, facts, heading, lines, "Backspace  undo      H  help      Q  quit", beat)
