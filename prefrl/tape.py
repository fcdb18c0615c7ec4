"""Tapes: the seed and the actions of one environment, from its reset on, which lead it where it is again."""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

MAX_BYTES = 256 * 2**20
"""Most that the tapes of a world take; a run longer than that has none, and what breaks then is only said."""

_STEPS_AT_ONCE = 1024
"""Steps that are written together."""


@dataclass(frozen=True, slots=True)
class Tape:
    """What one environment was given."""

    seed: int
    """Of its reset."""
    actions: NDArray[Any]
    """All since, (T, *A), the last being the one at which it failed; empty where it failed in the reset."""


class Tapes:
    """Notes what every environment is given: a few bytes a step, in a nameless file, so that memory doesn't grow."""

    def __init__(self) -> None:
        self._seeds: list[int | None] = []
        self._newest: NDArray[Any] = np.empty(0)
        """Those that are not in the file yet, (_STEPS_AT_ONCE, N, *A)."""
        self._n_steps = 0
        self._file: BinaryIO | None = None
        self._close: Callable[[], Any] = lambda: None

    def begin(self, seeds: Sequence[int | None]) -> None:
        """All have been reset with these seeds; None where one goes on with the generator it has."""
        self._seeds = list(seeds)
        self._n_steps = 0
        self._close()
        self._file = None

    def add(self, actions: NDArray[Any]) -> None:
        """All are about to take these actions, (N, *A)."""
        if not self._seeds:
            return
        row = self._n_steps % _STEPS_AT_ONCE
        if row == 0:
            if self._n_steps and not self._is_written():
                self.begin([])
                return
            self._newest = np.empty((_STEPS_AT_ONCE, *actions.shape), actions.dtype)
        self._newest[row] = actions
        self._n_steps += 1

    def of(self, env: int) -> Tape | None:
        """The tape of one environment; None where there is none that leads to where it is."""
        seed = self._seeds[env] if env < len(self._seeds) else None
        if seed is None:
            return None
        if not self._n_steps:
            return Tape(seed, np.empty(0))
        n_newest = (self._n_steps - 1) % _STEPS_AT_ONCE + 1
        try:
            parts = [part[:, env] for part in self._written()] + [self._newest[:n_newest, env]]
        except OSError:
            return None
        return Tape(seed, np.concatenate(parts))

    def _is_written(self) -> bool:
        """Add the newest to the file; False where it would be too long, or the disk is full: then there is no tape."""
        if self._n_steps // _STEPS_AT_ONCE * self._newest.nbytes > MAX_BYTES:
            return False
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(buffering=0, dir=_on_disk())  # noqa: SIM115  # as long as the tapes
                self._close = weakref.finalize(self, self._file.close)
            return self._file.write(self._newest.tobytes()) == self._newest.nbytes
        except OSError:
            return False

    def _written(self) -> Iterator[NDArray[Any]]:
        """What is in the file, (_STEPS_AT_ONCE, N, *A) at a time."""
        if self._file is None:
            return
        self._file.seek(0)
        while data := self._file.read(self._newest.nbytes):
            yield np.frombuffer(data, self._newest.dtype).reshape(self._newest.shape)
        self._file.seek(0, os.SEEK_END)


def _on_disk() -> str | None:
    """A folder for temporary files that is not in memory, as /tmp may be; None: wherever Python puts them."""
    return "/var/tmp" if os.access("/var/tmp", os.W_OK | os.X_OK) else None  # noqa: S108  # the file has no name
