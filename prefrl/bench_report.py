"""Write a benchmark's report into a folder: a page with its table and plots, the figures as CSV, and the times apart.

table.md, table.tex, table.csv, results.csv and plots/ hang on nothing but the outcomes: the same runs give the same
bytes, however long they took, however often they were interrupted, in whatever order they ended. What hangs on the
clock stands in timing.md and timing.csv alone.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

from prefrl.bench_csv import aggregates_csv, results_csv, versions_text
from prefrl.bench_plots import Plot, draw_plots
from prefrl.bench_table import Setting, Table, make_table, setting_name
from prefrl.bench_text import aggregate_grid, latex, markdown, markdown_text, reading, runs_grid
from prefrl.bench_timing import timing_csv, timing_markdown
from prefrl.outcome import Row

_OWN_PLOT = re.compile(r"(labels|intervals|profile|curve-[a-z0-9-]*)\.svg")


def write_report(folder: Path, title: str, rows: Sequence[Row], command: str, notes: Sequence[str] = ()) -> list[Path]:
    """Write the report and return its files; a plot of an earlier report that this one lacks is removed.

    Args:
        folder: Made where it is missing; other files in it are left alone.
        title: Of the page.
        rows: Every run there is, in any order.
        command: What made them, as typed.
        notes: Sentences for the top of the page, plain text; whatever hangs on the clock does not belong there.

    Raises:
        UserError: there are no rows, two runs share a place in the table, or matplotlib is missing; nothing is written.
    """
    table = make_table(rows)
    plots = draw_plots(table)
    texts = {
        "table.md": page(title, table, command, notes, plots),
        "table.tex": latex(aggregate_grid(table)),
        "table.csv": aggregates_csv(table),
        "results.csv": results_csv(table),
        **{f"plots/{plot.name}": plot.svg for plot in plots},
        "timing.md": timing_markdown(title, table),
        "timing.csv": timing_csv(table),
    }
    (folder / "plots").mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        _write(folder / name, text)
    for old in sorted((folder / "plots").iterdir()):
        if _OWN_PLOT.fullmatch(old.name) and f"plots/{old.name}" not in texts:
            old.unlink()
    return [folder / name for name in texts]


def page(title: str, table: Table, command: str, notes: Sequence[str], plots: Sequence[Plot]) -> str:
    """The report as Markdown."""
    parts = [f"# {markdown_text(title)}", *map(markdown_text, notes)]
    parts += [_what_was_run(table), _code([command]), markdown(aggregate_grid(table)).rstrip()]
    parts += ["\n".join(f"- {line}" for line in reading(table))]
    if table.not_normalized:
        parts.append("\n".join(["Not normalised:", "", *(f"- {markdown_text(t)}" for t in table.not_normalized)]))
    if fewer := _fewer_answers(table):
        parts.append(fewer)
    parts += ["## Plots"] if plots else []
    parts += [f"![{markdown_text(p.shows)}](plots/{p.name})\n\n*{markdown_text(p.shows)}.*" for p in plots]
    parts += ["## Runs", _folded("Every seed", markdown(runs_grid(table)).rstrip()), _folded(*_commands(table))]
    parts += [_versions(table), "Files: [results.csv](results.csv) holds every run, [table.csv](table.csv) and"]
    parts[-1] += " [table.tex](table.tex) the table, [timing.md](timing.md) the wall clock."
    return "\n\n".join(parts) + "\n"


def _what_was_run(table: Table) -> str:
    """What all runs have in common."""
    outcomes = [run.row.outcome for run in table.runs]
    own = [group.setting for group in table.groups if group.setting.is_preferences]
    said = [_runs(len(outcomes)), f"{_counts([o.timesteps for o in outcomes])} steps each"]
    said.append(f"the mean of {_counts([o.eval_episodes for o in outcomes])} evaluation episodes counts")
    if own:
        said += [f"{name} {getattr(own[0], name)}" for name in ("variant", "teacher", "strategy") if _common(own, name)]
        said += [f"{own[0].labels:,} labels"] if len({setting.labels for setting in own}) == 1 else []
    return markdown_text(", ".join(said)) + "."


def _common(settings: Sequence[Setting], name: str) -> bool:
    values = {getattr(setting, name) for setting in settings}
    return len(values) == 1 and values != {""}


def _runs(n_runs: int) -> str:
    return f"{n_runs:,} {'run' if n_runs == 1 else 'runs'}"


def _counts(values: Sequence[int]) -> str:
    least, most = min(values), max(values)
    return f"{least:,}" if least == most else f"{least:,} to {most:,}"


def _fewer_answers(table: Table) -> str:
    """Which runs were given other numbers of answers than the table says."""
    runs = [run for run in table.runs if run.setting.is_preferences and run.row.outcome.labels != run.setting.labels]
    names = [f"{run.row.env_id}, seed {run.row.seed}, {setting_name(run.setting, table.varying())}" for run in runs]
    found = [f"{name}: {run.row.outcome.labels:,}" for name, run in zip(names, runs, strict=True)]
    lines = ["Answers given, where they are not as many as were to be asked for:", ""]
    return "\n".join([*lines, *(f"- {markdown_text(line)}" for line in found)]) if found else ""


def _versions(table: Table) -> str:
    """The versions; where runs differ in them, how many had which."""
    texts = [versions_text(run.row.outcome.versions) for run in table.runs]
    kinds = sorted(set(texts))
    if len(kinds) == 1:
        return f"Versions: {markdown_text(kinds[0])}."
    lines = [f"- {_runs(texts.count(kind))}: {markdown_text(kind)}" for kind in kinds]
    return "\n".join(["Versions, which are not the same everywhere (results.csv says whose are whose):", "", *lines])


def _commands(table: Table) -> tuple[str, str]:
    commands = list(dict.fromkeys(run.row.outcome.command for run in table.runs))
    return "The command that trains each cell alone", _code(commands)


def _code(lines: Sequence[str]) -> str:
    """A block of code that nothing in it can end."""
    text = "\n".join(" ".join(line.splitlines()) for line in lines)
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}sh\n{text}\n{fence}"


def _folded(summary: str, body: str) -> str:
    return f"<details>\n<summary>{summary}</summary>\n\n{body}\n\n</details>"


def _write(path: Path, text: str) -> None:
    """A file that stood there stays until this one is whole."""
    handle, part = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(text)
        Path(part).chmod(0o644)  # mkstemp makes files private; a report is there to be shown
        os.replace(part, path)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise
