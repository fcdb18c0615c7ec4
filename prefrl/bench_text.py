"""Word a benchmark's table: the same cells as Markdown for a page and as LaTeX for a paper.

Names come from suites and so from users: in Markdown and LaTeX they can only ever be text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import log10

from prefrl.bench_statistics import CONFIDENCE, N_RESAMPLES
from prefrl.bench_table import Group, Setting, Table
from prefrl.markup import escaped

NOTHING = "–"


@dataclass(frozen=True, slots=True)
class Grid:
    """A table of text."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    n_names: int
    """The first columns are names, set to the left; the others are figures."""


def aggregate_grid(table: Table) -> Grid:
    """A line for each setting: every task's mean return, the interquartile mean over all, and what else matters."""
    varying = table.varying()
    header = [*map(_heading, varying), "seeds", *table.tasks]
    header += [f"IQM [{CONFIDENCE:.0%} interval]", "better than score", "held-out accuracy"]
    digits = {task: _digits(table, task) for task in table.tasks}
    rows = []
    for group in table.groups:
        cells = [setting_cell(group.setting, name) for name in varying]
        cells.append(_seeds(group, len(table.tasks)))
        cells += [_task_cell(group, task, digits[task]) for task in table.tasks]
        cells += [_iqm_cell(group, len(table.tasks)), _figure(group.overall.better_than_score)]
        cells.append(_figure(group.overall.val_accuracy))
        rows.append(tuple(cells))
    return Grid(tuple(header), tuple(rows), len(varying))


def runs_grid(table: Table) -> Grid:
    """A line for each run."""
    varying = table.varying()
    header = [*map(_heading, varying), "task", "seed", "env return", "between episodes", "normalised"]
    header += ["held-out accuracy", "answers"]
    digits = {task: _digits(table, task) for task in table.tasks}
    rows = []
    for run in table.runs:
        outcome, places = run.row.outcome, digits[run.row.env_id]
        cells = [setting_cell(run.setting, name) for name in varying]
        cells += [run.row.env_id, str(run.row.seed), f"{outcome.env_return:.{places}f}"]
        cells += [f"± {outcome.env_return_std:.{places}f}", _figure(run.normalized), _figure(outcome.val_accuracy)]
        cells.append(str(outcome.labels) if run.setting.is_preferences else NOTHING)
        rows.append(tuple(cells))
    return Grid(tuple(header), tuple(rows), len(varying) + 1)


def reading(table: Table) -> list[str]:
    """Sentences that say how the table is to be read, and how far."""
    lines = [
        "A task's cell: mean env return over the seeds ± standard deviation between them, and in brackets the mean "
        "on the scale of that task, where acting at random is 0 and the same PPO trained on the score, with the same "
        "seeds, is 1.",
        "IQM: interquartile mean of all runs on that scale, the tasks' runs together; beside it the percentile "
        f"interval of {N_RESAMPLES:,} stratified bootstraps, which draw the seeds of each task again and hold the "
        "scale fixed (Agarwal et al. 2021). It speaks of other seeds on these tasks, not of other tasks.",
        "Better than score: how probable it is that a run beats a score-trained run of the same task, the mean over "
        "tasks. Held-out accuracy: of the reward model, on decisive labels that a member never saw.",
    ]
    if "variant" in table.varying():
        lines.append(
            "A variant is held against score-trained runs of its own PPO and world: its own where it changes those, "
            "else those without a variant."
        )
    return [*lines, *_few_seeds(table)]


def setting_cell(setting: Setting, name: str) -> str:
    """One field of a setting; a field that the score does not have is a dash."""
    if name == "labels":
        return f"{setting.labels:,}" if setting.is_preferences else NOTHING
    return str(getattr(setting, name)) or NOTHING


def markdown(grid: Grid) -> str:
    """The grid as GitHub reads it, ending in a newline."""
    rule = ["---"] * grid.n_names + ["---:"] * (len(grid.header) - grid.n_names)
    lines = [[markdown_text(cell) for cell in row] for row in (grid.header, *grid.rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in [lines[0], rule, *lines[1:]])


def latex(grid: Grid) -> str:
    r"""The grid as a `tabular` that wants `\usepackage{booktabs}`."""
    columns = "l" * grid.n_names + "r" * (len(grid.header) - grid.n_names)
    lines = [" & ".join(map(latex_text, row)) + r" \\" for row in (grid.header, *grid.rows)]
    body = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", lines[0], r"\midrule", *lines[1:]]
    return "\n".join([*body, r"\bottomrule", r"\end{tabular}"]) + "\n"


def markdown_text(text: str) -> str:
    """That text as one line of Markdown: no HTML, no markup, no end of the cell."""
    line = " ".join(escaped(text).replace("&quot;", '"').replace("&#x27;", "'").split())
    line = re.sub(r"([\\`*|~])", r"\\\1", line).replace("](", r"]\(")
    line = re.sub(r"^([#+=-])(?=[\s#+=-]|$)", r"\\\1", line)  # neither heading nor list
    return re.sub(r"(?<![0-9A-Za-z])_|_(?![0-9A-Za-z])", r"\\_", line)


def latex_text(text: str) -> str:
    """That text as LaTeX."""
    line = " ".join(text.split())
    line = re.sub(r"[\\{}$&#%_^~]", lambda found: _LATEX.get(found[0], rf"\{found[0]}"), line)
    line = re.sub(r"(?<![\w.-])-(?=\d)", "$-$", line).replace("±", r"$\pm$").replace(NOTHING, "--")
    return f"{{}}{line}" if line.startswith(("[", "*")) else line  # which after a line's end would be its argument


_LATEX = {"\\": r"\textbackslash{}", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}"}
_HEADINGS = {"reward": "trained on"}


def _heading(name: str) -> str:
    return _HEADINGS.get(name, name)


def _digits(table: Table, task: str) -> int:
    """Decimals for the returns of a task: three figures of the greatest mean, none after a hundred."""
    means = [abs(group.by_task[task].mean or 0) for group in table.groups if task in group.by_task]
    greatest = max(means)
    return min(3, max(0, 2 - int(log10(greatest)))) if greatest > 1e-3 else 3


def _figure(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.2f}"


def _seeds(group: Group, n_tasks: int) -> str:
    """How many there are on a task; from least to most where tasks differ."""
    counts = {summary.n_runs for summary in group.by_task.values()} | ({0} if len(group.by_task) < n_tasks else set())
    return str(min(counts)) if len(counts) == 1 else f"{min(counts)} to {max(counts)}"


def _task_cell(group: Group, task: str, digits: int) -> str:
    summary = group.by_task.get(task)
    if summary is None or summary.mean is None:
        return NOTHING
    spread = "" if summary.std is None else f" ± {summary.std:.{digits}f}"
    scaled = "" if summary.normalized_mean is None else f" ({summary.normalized_mean:.2f})"
    differ = len({other.n_runs for other in group.by_task.values()}) > 1
    return f"{summary.mean:.{digits}f}{spread}{scaled}" + (f", n = {summary.n_runs}" if differ else "")


def _iqm_cell(group: Group, n_tasks: int) -> str:
    """With what it lacks: it is no neighbour of others that are over all runs of all tasks."""
    overall, there = group.overall, len(group.by_task)
    if overall.iqm is None:
        return NOTHING
    ends = "" if overall.interval is None else f" [{overall.interval[0]:.2f}, {overall.interval[1]:.2f}]"
    lacks = [f"{overall.n_normalized} of {overall.n_runs} runs"] if overall.n_normalized < overall.n_runs else []
    lacks += [f"{there} of {n_tasks} tasks"] if there < n_tasks else []
    return f"{overall.iqm:.2f}{ends}" + (f" ({', '.join(lacks)})" if lacks else "")


def _few_seeds(table: Table) -> list[str]:
    """What an interval from that few seeds is worth."""
    counts = [summary.n_runs for group in table.groups for summary in group.by_task.values()]
    lines = []
    if min(counts) == 1:
        lines.append("No interval stands where a task has a single seed: it says nothing of how far others may fall.")
    if max(counts) > 1 and min(counts) < 10:
        n = min(count for count in counts if count > 1)
        lines.append(
            f"With {n} seeds a task the interval is narrower than its name: a bootstrap of n seeds sees (n - 1) / n of "
            "their variance. Of 3 seeds of one task it is their range, which holds the mean of a symmetric "
            f"distribution 75 times in 100, not {100 * CONFIDENCE:.0f}."
        )
    return lines
