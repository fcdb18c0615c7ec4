"""How long a benchmark's runs took: kept apart from its table, because no two times are the same."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from prefrl.bench_csv import Cell, csv_text
from prefrl.bench_table import Run, Table
from prefrl.bench_text import NOTHING, Grid, markdown, markdown_text, setting_cell

_SETTING = ("reward", "variant", "teacher", "strategy", "labels")
_WARNING = (
    "Seconds of training as the clock on the wall counted them, without start-up and evaluation. Runs that were made "
    "side by side, or beside other work, disturb each other: only times of a quiet machine with one run at a time can "
    "be held against others. The ratio is a run's seconds over those of the score-trained run of the same task and "
    "seed; where the two were not made under the same load, it says as much about the load."
)


def timing_markdown(title: str, table: Table) -> str:
    """The page: seconds, steps per second and the ratio to the score, median and range over the runs."""
    varying = table.varying()
    names = ["trained on" if name == "reward" else name for name in varying]
    header = (*names, "task", "runs", "seconds", "steps/s", "seconds / score's")
    rows = []
    for group in table.groups:
        for task in group.by_task:
            runs = group.of(task)
            cells = [setting_cell(group.setting, name) for name in varying]
            cells += [task, str(len(runs)), _range([_seconds(run) for run in runs], 0)]
            cells += [_range([_speed(run) for run in runs], 0), _range([_ratio(run) for run in runs], 2)]
            rows.append(tuple(cells))
    body = markdown(Grid(header, tuple(rows), len(varying) + 1))
    return f"# {markdown_text(title)}: wall clock\n\n{_WARNING}\n\nMedian (least to greatest).\n\n{body}"


def timing_csv(table: Table) -> str:
    """A line for each run: its seconds by part of the training, steps per second, the ratio to the score."""
    parts = sorted({part for run in table.runs for part in run.row.outcome.seconds} - {"total"})
    header = ["env_id", *_SETTING, "seed", "cell", "timesteps", "seconds_total"]
    header += [f"seconds_{part}" for part in parts] + ["steps_per_second", "seconds_over_score"]
    lines: list[list[Cell]] = []
    for run in table.runs:
        outcome = run.row.outcome
        line: list[Cell] = [run.row.env_id, *(getattr(run.setting, name) for name in _SETTING), run.row.seed]
        line += [outcome.cell, outcome.timesteps, _seconds(run)]
        line += [outcome.seconds.get(part) for part in parts]
        lines.append([*line, _rounded(_speed(run)), _rounded(_ratio(run))])
    return csv_text(header, lines)


def _seconds(run: Run) -> float | None:
    return run.row.outcome.seconds.get("total")


def _speed(run: Run) -> float | None:
    seconds = _seconds(run)
    return run.row.outcome.timesteps / seconds if seconds else None


def _ratio(run: Run) -> float | None:
    if run.baseline is None or not run.setting.is_preferences:
        return None
    own, score = _seconds(run), run.baseline.outcome.seconds.get("total")
    return own / score if own is not None and score else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _range(values: Sequence[float | None], digits: int) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return NOTHING
    least, middle, greatest = (f"{value:,.{digits}f}" for value in (min(known), median(known), max(known)))
    return middle if len(known) == 1 else f"{middle} ({least} to {greatest})"
