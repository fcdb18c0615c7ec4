"""Tapes: the seed and the actions of one environment, from its reset on, which lead it where it is again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_BYTES = 256 * 2**20
"""Most that the tapes of a world take; a run longer than that has none, and what breaks then is only said."""


@dataclass(frozen=True, slots=True)
class Tape:
    """What one environment was given."""

    seed: int
    """Of its reset."""
    actions: NDArray[Any]
    """All since, (T, *A), the last being the one at which it failed; empty where it failed in the reset."""


class Tapes:
    """Notes what every environment is given; a few bytes a step, in memory."""

    def __init__(self) -> None:
        self._seeds: list[int | None] = []
        self._actions: NDArray[Any] = np.empty(0)
        self._n_steps = 0

    def begin(self, seeds: Sequence[int | None]) -> None:
        """All have been reset with these seeds; None where one goes on with the generator it has."""
        self._seeds = list(seeds)
        self._n_steps = 0

    def add(self, actions: NDArray[Any]) -> None:
        """All are about to take these actions, (N, *A)."""
        if not self._seeds:
            return
        if self._n_steps == 0:
            self._actions = np.empty((1024, *actions.shape), actions.dtype)
        elif self._n_steps == len(self._actions):
            if 2 * self._actions.nbytes > MAX_BYTES:
                self._seeds, self._actions = [], np.empty(0)
                return
            self._actions = np.concatenate([self._actions, np.empty_like(self._actions)])
        self._actions[self._n_steps] = actions
        self._n_steps += 1

    def of(self, env: int) -> Tape | None:
        """The tape of one environment; None where there is none that leads to where it is."""
        seed = self._seeds[env] if env < len(self._seeds) else None
        if seed is None:
            return None
        return Tape(seed, self._actions[: self._n_steps, env].copy() if self._n_steps else np.empty(0))
