"""A benchmark's progress: a bar with the time left on a terminal, a line for each cell that ends everywhere."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from prefrl.bench_cost import Costs
from prefrl.bench_jobs import Ended
from prefrl.cell import Cell
from prefrl.outcome import Outcome


class BenchView:
    """Shows how far a benchmark is; a context manager.

    Args:
        cells: To be trained.
        costs: What they are thought to cost, in seconds.
        n_jobs: How many are trained at a time.
        console: Where to.
    """

    def __init__(self, cells: Sequence[Cell], costs: Costs, n_jobs: int, console: Console) -> None:
        self._waiting = {cell.key: cell for cell in cells}
        self._costs = costs
        self._n_jobs = n_jobs
        self._console = console
        self._begin = time.monotonic()
        self._n_cells = len(self._waiting)
        self._done: list[Cell] = []
        self._bar: Progress | None = None
        if console.is_terminal and cells:
            self._bar = Progress(
                TextColumn("{task.completed}/{task.total} cells"),
                BarColumn(bar_width=None),
                TextColumn("{task.fields[left]} left"),
                console=console,
            )
            self._task = self._bar.add_task("", total=self._n_cells, left=self._left())

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def ended(self, ended: Ended, outcome: Outcome | None) -> None:
        """A cell has ended: with an outcome, or without."""
        self._waiting.pop(ended.cell.key, None)
        self._done.append(ended.cell)
        if outcome is not None:
            self._costs.add(outcome)
            what = f"env return {outcome.env_return:,.1f}"
            what += f", at try {ended.n_tries}" if ended.n_tries > 1 else ""
        else:
            what = f"FAILED after {ended.n_tries} tries: {ended.failure} (all of it: {ended.log})"
        n_done = self._n_cells - len(self._waiting)
        counted = f"{n_done}/{self._n_cells}"
        left = f"; {self._left()} left" if self._waiting else ""
        line = f"{counted}  {ended.cell.key}  {ended.cell.name}: {what}{left}"
        self._console.print(line, highlight=False, soft_wrap=True, markup=False)
        if self._bar is not None:
            self._bar.update(self._task, completed=n_done, left=self._left())

    def _left(self) -> str:
        """The estimate of the cells that wait, corrected by how today's estimate of those done came true."""
        estimate = sum(map(self._costs.of, self._waiting.values())) / self._n_jobs
        if self._done:
            elapsed = time.monotonic() - self._begin
            estimate *= elapsed * self._n_jobs / sum(map(self._costs.of, self._done))
        return duration(estimate)


def duration(seconds: float) -> str:
    """In the words people use: 40 s, 12 min, 3 h 05 min."""
    if round(seconds) < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
