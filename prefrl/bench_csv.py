"""A benchmark's figures as CSV: a line for each run, and a line for each summary.

Text that a spreadsheet would take for a formula is made text by an apostrophe before it
(https://owasp.org/www-community/attacks/CSV_Injection); numbers stay numbers.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

from prefrl.bench_table import Group, Run, Summary, Table

Cell = str | int | float | None

_SETTING = ("reward", "variant", "teacher", "strategy", "labels")
_RUN = ("seed", "cell", "timesteps", "labels_given", "env_return", "env_return_std", "random_return")
_RUN_MORE = ("normalized_return", "eval_episodes", "val_accuracy", "policy_sha256", "labels_sha256", "versions")
_SUMMARY = ("n_runs", "seeds", "mean", "std", "n_normalized", "normalized_mean", "iqm", "low", "high")


def results_csv(table: Table) -> str:
    """A line for each run, all its figures but wall clock and the learning curve."""
    return csv_text(
        ["env_id", *_SETTING, *_RUN, *_RUN_MORE, "command"],
        ([run.row.env_id, *_setting(run), *_figures(run)] for run in table.runs),
    )


def aggregates_csv(table: Table) -> str:
    """A line for each setting and task, and one for each setting over all tasks, whose task is blank."""
    lines: list[list[Cell]] = []
    for group in table.groups:
        lines.append([*_setting(group), "", *_aggregates(group.overall)])
        lines += [[*_setting(group), task, *_aggregates(summary)] for task, summary in group.by_task.items()]
    return csv_text([*_SETTING, "task", *_SUMMARY, "better_than_score", "val_accuracy"], lines)


def csv_text(header: Sequence[str], lines: Iterable[Sequence[Cell]]) -> str:
    """Lines under their header, each ending in a newline; what is missing is blank."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([_safe(cell) for cell in line] for line in lines)
    return buffer.getvalue()


def versions_text(versions: dict[str, str]) -> str:
    """Names and versions in a line, in the order they were found."""
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def _safe(cell: Cell) -> Cell:
    if isinstance(cell, str) and cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n")):
        return f"'{cell}"
    return cell


def _setting(owner: Run | Group) -> list[Cell]:
    return [getattr(owner.setting, name) for name in _SETTING]


def _figures(run: Run) -> list[Cell]:
    o = run.row.outcome
    figures: list[Cell] = [run.row.seed, o.cell, o.timesteps, o.labels, o.env_return, o.env_return_std]
    figures += [o.random_return, _rounded(run.normalized), o.eval_episodes, o.val_accuracy]
    return [*figures, o.policy_sha256, o.labels_sha256, versions_text(o.versions), o.command]


def _aggregates(summary: Summary) -> list[Cell]:
    low, high = summary.interval or (None, None)
    figures = [summary.iqm, low, high, summary.better_than_score, summary.val_accuracy]
    cells: list[Cell] = [summary.n_runs, " ".join(map(str, summary.seeds))]
    cells += [_rounded(summary.mean), _rounded(summary.std), summary.n_normalized, _rounded(summary.normalized_mean)]
    return cells + [_rounded(value) for value in figures]


def _rounded(value: float | None) -> float | None:
    """To eight figures: the last bits of a computed mean may hang on the processor's way of adding."""
    return None if value is None else float(f"{value:.8g}")
