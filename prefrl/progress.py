"""Progress: a bar on a terminal, a line now and then elsewhere; both say steps/s, labels used and the env return."""

from __future__ import annotations

import time
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

_SECONDS_BETWEEN_LINES = 15.0


@dataclass(frozen=True, slots=True)
class Status:
    """Where a run is."""

    steps: int
    labels: int
    total_labels: int
    env_return: float | None
    """Mean of the last episodes; None before the first has ended."""
    val_accuracy: float | None


class ProgressView:
    """Shows a run's progress on standard error; a context manager.

    Args:
        total_steps: Where the run ends.
        shown: False shows nothing at all.
        start_steps: Where it begins, when it is resumed.
    """

    def __init__(self, total_steps: int, shown: bool, start_steps: int = 0) -> None:
        self._console = Console(stderr=True)
        self._total = total_steps
        self._shown = shown
        self._begin = time.perf_counter()
        self._start_steps = start_steps
        self._next_line = 0.0
        self._bar: Progress | None = None
        if shown and self._console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.completed:,}/{task.total:,} steps"),
                BarColumn(bar_width=None),
                TaskProgressColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}"),
                console=self._console,
            )
            self._task = self._bar.add_task("", total=total_steps, completed=start_steps, note="")

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def say(self, line: str) -> None:
        """A line of its own, above the bar where there is one; said even where progress is not shown."""
        self._console.print(line, highlight=False, soft_wrap=True, markup=False)

    def update(self, status: Status) -> None:
        """Show where the run is now."""
        if not self._shown:
            return
        elapsed = time.perf_counter() - self._begin
        note = describe(status, (status.steps - self._start_steps) / max(elapsed, 1e-9))
        if self._bar is not None:
            self._bar.update(self._task, completed=min(status.steps, self._total), note=note)
        elif elapsed >= self._next_line or status.steps >= self._total:
            self._next_line = elapsed + _SECONDS_BETWEEN_LINES
            self._console.print(f"{status.steps:,}/{self._total:,} steps  {note}", highlight=False, soft_wrap=True)


def describe(status: Status, steps_per_second: float) -> str:
    """The status in one line of words and numbers."""
    parts = [f"{steps_per_second:,.0f} steps/s"]
    if status.total_labels:
        parts.append(f"{status.labels}/{status.total_labels} labels")
    if status.val_accuracy is not None:
        parts.append(f"held-out accuracy {status.val_accuracy:.2f}")
    if status.env_return is not None:
        parts.append(f"env return {status.env_return:,.1f}")
    return "  ".join(parts)
