"""What cells will cost: seconds told from cells that are done, or, where there is none like it, by kind of world."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import median

from prefrl.cell import Cell
from prefrl.families import family
from prefrl.outcome import Outcome

_STEPS_PER_SECOND = {"robots": 2500.0, "custom": 1000.0, "toy": 1500.0, "atari": 700.0}
"""Rough figures for a CPU core that others share; only until one cell of the kind is done."""
_ATARI_ON_A_GPU = 4000.0
"""The same with 16 cores and an H100 (runs/results/atari-gpu.md)."""
_SECONDS_TO_START = 10.0
"""Importing, evaluating, writing."""


class Costs:
    """Estimates of seconds, better the more outcomes there are."""

    def __init__(self, outcomes: Iterable[Outcome]) -> None:
        self._outcomes = list(outcomes)

    def add(self, outcome: Outcome) -> None:
        """Learn from one more."""
        self._outcomes.append(outcome)

    def of(self, cell: Cell) -> float:
        """Seconds that one cell will take."""
        return _SECONDS_TO_START + cell.config.total_timesteps / self._speed(cell)

    def is_measured(self, cell: Cell) -> bool:
        """Whether the estimate comes from a run of the same world."""
        return any(outcome.env_id == cell.config.env_id for outcome in self._outcomes)

    def _speed(self, cell: Cell) -> float:
        config = cell.config
        like = [x for x in self._outcomes if x.env_id == config.env_id]
        same = [x for x in like if x.reward == config.reward]
        speeds = [x.timesteps / x.seconds["total"] for x in same or like if x.seconds.get("total")]
        if speeds:
            return median(speeds)
        kind = family(config.env_id)
        return _ATARI_ON_A_GPU if kind == "atari" and config.device == "cuda" else _STEPS_PER_SECOND[kind]
