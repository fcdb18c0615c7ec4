"""When a run is saved, and what becomes of it when the disk is full: the training goes on and saving is tried again."""

from __future__ import annotations

import errno
import time
import warnings
from collections.abc import Callable
from pathlib import Path

from prefrl.checkpoint import Checkpoint, Mark, make_room, newest_whole, save_checkpoint, steps_of

_SECONDS = 30.0
"""Answers that have come are saved after so long, and what could not be saved is tried again."""
_SHARE = 0.02
"""Most of the time that goes into saving answers; no label is lost by it, since the store has them all."""
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_IS_FULL = "the disk is full"


class Saver:
    """Saves a run's checkpoints.

    Args:
        folder: Where to.
        every_steps: Agent steps between two of them.
        take: Gives the state to be saved.
        clock: Seconds that only grow.
    """

    def __init__(
        self,
        folder: Path,
        every_steps: int,
        take: Callable[[], Checkpoint],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder
        self._every_steps = every_steps
        self._take = take
        self._clock = clock
        self._next_at = 0
        self._labels = 0
        self._time = self._clock()
        self._wait = _SECONDS
        self.trouble = ""
        """Why the last attempt failed; empty where it did not."""

    def go_on(self, steps: int, n_labels: int) -> None:
        """A run goes on that was saved at so many agent steps and labels."""
        self._next_at = steps + self._every_steps
        self._labels = n_labels

    def is_due(self, steps: int, n_labels: int, *, people: bool) -> bool:
        """Whether to save now; `people` may have done more than the labels show."""
        is_time = self._clock() - self._time > self._wait
        if self.trouble:
            return is_time
        return steps >= self._next_at or (is_time and (people or n_labels != self._labels))

    def save(self, steps: int, n_labels: int, mark: Mark | None) -> None:
        """Save; where the disk refuses, say so once, remove older checkpoints for room, and leave it for later."""
        begin = self._clock()
        trouble = self._try(steps, mark)
        if trouble == _IS_FULL and make_room(self._folder):
            trouble = self._try(steps, mark)
        self._time = self._clock()
        if trouble and not self.trouble:
            warnings.warn(f"{self._last(steps, trouble)}; the training goes on, saving is tried again", stacklevel=3)
        if not trouble:
            self.go_on(steps, n_labels)
        self._wait = _SECONDS if trouble else max(_SECONDS, (self._time - begin) / _SHARE)
        self.trouble = trouble and self._last(steps, trouble)

    def _try(self, steps: int, mark: Mark | None) -> str:
        """Why it failed; empty where it did not."""
        try:
            save_checkpoint(self._folder, steps, self._take(), mark)
        except OSError as e:
            return _IS_FULL if e.errno in _FULL else f"the disk refuses: {e.strerror}"
        return ""

    def _last(self, steps: int, trouble: str) -> str:
        place = newest_whole(self._folder)
        last = "there is none yet" if place is None else f"the last one is of {steps_of(place):,} steps"
        return f"{trouble}, so there is no checkpoint of {steps:,} steps; {last}"
