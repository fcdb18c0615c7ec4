"""Draw a benchmark: what labels buy, how the settings compare, how the runs learned.

Every function returns one SVG file as text, or None where the table holds nothing for it. The same table gives the same
bytes. The score is always grey, no line is told by its colour alone, and every plot says how many runs it stands on.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from prefrl.bench_statistics import CONFIDENCE, Floats, performance_profile, stratified_bootstrap
from prefrl.bench_table import Group, Run, Table, setting_name
from prefrl.plot_style import (
    BLUE,
    FAINT,
    GREEN,
    INK,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    matplotlib_module,
    new_figure,
    short,
    svg_file,
)

_WIDTH, _HEIGHT = 7.4, 3.9  # inches: 710 pixels, inside GitHub's column
_COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)
_DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1.2, 1.6)), (0, (6, 2, 1.2, 2)))
_MARKERS = ("o", "s", "^", "D", "v", "P")
_INTERVAL = f"with {CONFIDENCE:.0%} stratified bootstrap intervals over seeds"
_SCALE = "normalised env return"
_MOST_LINES = 6  # in one plot, before it is cut to the most labels of each
_MOST_BANDS = 3
_CURVE_POINTS = 60
_PROFILE_RESAMPLES = 2_000  # rliable's own number


@dataclass(frozen=True, slots=True)
class Plot:
    """A picture and what it shows."""

    name: str
    """Of its file."""
    shows: str
    """For who cannot see it, and under it for who can."""
    svg: str


def draw_plots(table: Table) -> list[Plot]:
    """Every plot that the table has data for, in the order of the page.

    Raises:
        UserError: matplotlib is missing.
    """
    cut = "" if len(_shown(table)) == len(table.groups) else "; of each setting only the most labels"
    share = "Performance profile: share of runs above each normalised env return"
    drawn: list[tuple[str, str, str | None]] = [
        ("labels.svg", f"IQM over tasks and seeds by number of labels, {_INTERVAL}", label_efficiency(table)),
        ("intervals.svg", f"IQM over tasks and seeds, {_INTERVAL}; small dots are single runs", intervals(table)),
        ("profile.svg", f"{share}{cut}", profile(table)),
    ]
    names: set[str] = set()
    for task in table.tasks:
        name = f"curve-{re.sub('[^a-z0-9]+', '-', task.lower()).strip('-')}"
        while name in names:
            name += "-2"
        names.add(name)
        shows = f"{task}: env return of the training episodes, mean over seeds and from least to greatest{cut}"
        drawn.append((f"{name}.svg", shows, learning_curves(table, task)))
    return [Plot(name, shows, svg) for name, shows, svg in drawn if svg is not None]


def label_efficiency(table: Table) -> str | None:
    """IQM against the number of labels, a line for each variant, teacher and strategy."""
    lines: dict[tuple[bool, str, str, str], list[Group]] = {}
    for group in table.groups:
        if group.setting.is_preferences and group.overall.iqm is not None:
            lines.setdefault(group.setting.line, []).append(group)
    if max((len(groups) for groups in lines.values()), default=0) < 2:
        return None
    varying = [name for name in table.varying() if name != "labels"]
    figure, axes = new_figure("Env return by number of labels", "labels", _SCALE, (_WIDTH, _HEIGHT))
    _score_line(axes, table)
    for i, groups in enumerate(lines.values()):
        x = np.array([group.setting.labels for group in groups], np.float64)
        y = np.array([group.overall.iqm for group in groups], np.float64)
        ends = np.array([group.overall.interval or (np.nan, np.nan) for group in groups])  # (n, 2)
        dodge = 1 + 0.025 * (i - (len(lines) - 1) / 2) if len(lines) > _MOST_BANDS else 1.0
        look = {"color": _COLOURS[i % len(_COLOURS)], "zorder": 3}
        name = _plain(setting_name(groups[0].setting, varying))
        axes.plot(x * dodge, y, **look, **_look(i), linewidth=1.8, label=name)
        if len(lines) <= _MOST_BANDS:
            axes.fill_between(x, ends[:, 0], ends[:, 1], color=look["color"], alpha=0.15, linewidth=0)
        else:
            axes.vlines(x * dodge, ends[:, 0], ends[:, 1], **look, linewidth=1.2, alpha=0.8)
    _label_axis(axes, sorted({group.setting.labels for groups in lines.values() for group in groups}))
    _counted(axes, [group for groups in lines.values() for group in groups])
    return svg_file(figure, axes)


def intervals(table: Table) -> str | None:
    """IQM and interval of each setting with its runs behind them, where all have the same number of labels."""
    groups = [group for group in table.groups if group.overall.iqm is not None]
    own = [group for group in groups if group.setting.is_preferences]
    if not own or len(groups) < 2 or len({group.setting.labels for group in own}) > 1:
        return None
    size = (_WIDTH, 1.3 + 0.42 * len(groups))
    figure, axes = new_figure("Settings compared", f"{_SCALE}: 0 = at random, 1 = PPO on the score", "", size)
    for y, group in enumerate(groups):
        colour = BLUE if group.setting.is_preferences else FAINT
        runs = [run.normalized for run in group.runs if run.normalized is not None]
        axes.plot(runs, [y + 0.27] * len(runs), "o", color=colour, markersize=3.2, alpha=0.55, markeredgewidth=0)
        if group.overall.interval is not None:
            axes.hlines(y, *group.overall.interval, color=colour, linewidth=4, alpha=0.45)
        axes.plot([group.overall.iqm], [y], "o", color=colour, markersize=6.5)
    for value in (0, 1):
        axes.axvline(value, color=FAINT, linewidth=0.9, linestyle=(0, (2, 3)), zorder=0)
    ticker = matplotlib_module("matplotlib.ticker")
    axes.yaxis.set_major_locator(ticker.FixedLocator(range(len(groups))))
    names = [setting_name(group.setting, table.varying()) for group in groups]
    axes.yaxis.set_major_formatter(ticker.FixedFormatter([_plain(name) for name in names]))
    axes.tick_params(axis="y", labelcolor=INK)
    axes.set_ylim(len(groups) - 0.45, -0.5)
    axes.grid(visible=False)
    axes.margins(x=0.04)
    _counted(axes, groups)
    return svg_file(figure, axes)


def profile(table: Table) -> str | None:
    """Share of runs above each normalised return, a line for each setting."""
    groups = [group for group in _shown(table) if group.overall.iqm is not None]
    if len(groups) < 2:
        return None
    values = [value for group in groups for stratum in _strata(group) for value in stratum]
    room = 0.03 * (max(values) - min(values)) or 0.1
    thresholds = np.linspace(min(min(values), 0.0) - room, max(values) + room, 201)
    figure, axes = new_figure("Performance profile", f"{_SCALE} above", "share of runs (%)", (_WIDTH, _HEIGHT))
    for group, look in _looks(groups):
        strata = _strata(group)
        share = performance_profile([value for stratum in strata for value in stratum], thresholds)
        name = setting_name(group.setting, _telling(table, groups))
        axes.step(thresholds, 100 * share, where="post", **look, linewidth=1.8, label=_plain(name))
        if len(groups) <= 2 and group.overall.interval is not None:
            low, high = stratified_bootstrap(strata, lambda rows: _profiles(rows, thresholds), _PROFILE_RESAMPLES)
            band = {"color": look["color"], "alpha": 0.13, "linewidth": 0, "step": "post"}
            axes.fill_between(thresholds, 100 * low, 100 * high, **band)
    axes.set_ylim(-2, 104)
    axes.set_xlim(thresholds[0], thresholds[-1])
    _counted(axes, groups)
    return svg_file(figure, axes)


def learning_curves(table: Table, task: str) -> str | None:
    """Env return of the training episodes over agent steps: mean over seeds, from the least to the greatest."""
    groups = [group for group in _shown(table) if any(run.row.outcome.curve_steps for run in group.of(task))]
    if not groups:
        return None
    figure, axes = new_figure(_plain(task), "agent steps", "env return, training episodes", (_WIDTH, _HEIGHT))
    random = [run.row.outcome.random_return for group in groups for run in group.of(task)]
    axes.axhline(np.mean(random), color=FAINT, linewidth=1.2, linestyle=(0, (1.2, 2)), label="acting at random")
    has_bands = len(groups) <= _MOST_BANDS
    for group, look in _looks(groups):
        steps, returns = common_curve(group.of(task))
        name = setting_name(group.setting, _telling(table, groups))
        axes.plot(steps, returns.mean(axis=0), **look, linewidth=1.8, label=_plain(name))
        if has_bands and len(returns) > 1:
            ends = returns.min(axis=0), returns.max(axis=0)
            axes.fill_between(steps, *ends, color=look["color"], alpha=0.13, linewidth=0)
    axes.set_xlim(left=0)
    _counted(axes, groups, task)
    return svg_file(figure, axes)


def common_curve(runs: Sequence[Run]) -> tuple[Floats, Floats]:
    """Curves of several seeds at the same steps, where all of them were measured: (n_points,), (n_runs, n_points)."""
    curves = [(run.row.outcome.curve_steps, run.row.outcome.curve_returns) for run in runs]
    curves = [(steps, returns) for steps, returns in curves if steps]
    start, end = max(steps[0] for steps, _ in curves), min(steps[-1] for steps, _ in curves)
    grid = np.linspace(start, max(start, end), _CURVE_POINTS)
    return grid, np.array([np.interp(grid, steps, returns) for steps, returns in curves])


def _shown(table: Table) -> list[Group]:
    """Its groups; where they are too many for one plot, only the most labels of each line, and the score."""
    if sum(group.setting.is_preferences for group in table.groups) <= _MOST_LINES:
        return list(table.groups)
    most = {group.setting.line: group for group in table.groups}  # sorted by labels: the last stays
    return list(most.values())


def _telling(table: Table, groups: Sequence[Group]) -> list[str]:
    """The fields that tell those groups apart: not the labels, where the plot was cut to one number of them."""
    n_labels = {group.setting.labels for group in groups if group.setting.is_preferences}
    return [name for name in table.varying() if name != "labels" or len(n_labels) > 1]


def _looks(groups: Sequence[Group]) -> list[tuple[Group, dict[str, Any]]]:
    """Colour and dashes of each line: the score grey, the others apart in both."""
    looks: list[tuple[Group, dict[str, Any]]] = []
    n_own = n_scored = 0
    for group in groups:
        if group.setting.is_preferences:
            look = {"color": _COLOURS[n_own % len(_COLOURS)], "linestyle": _dashes(n_own), "zorder": 3}
            n_own += 1
        else:
            look = {"color": FAINT, "linestyle": _dashes(n_scored), "zorder": 2}
            n_scored += 1
        looks.append((group, look))
    return looks


def _look(i: int) -> dict[str, Any]:
    return {"linestyle": _dashes(i), "marker": _MARKERS[i % len(_MARKERS)], "markersize": 5}


def _dashes(i: int) -> Any:
    """Of the i-th line: where the colours begin anew, the dashes do not, so that 24 lines differ."""
    return _DASHES[(i + i // len(_COLOURS)) % len(_DASHES)]


def _score_line(axes: Any, table: Table) -> None:
    """Where the score-trained runs are, with their own interval, and where acting at random is."""
    axes.axhline(1, color=FAINT, linewidth=1.4, linestyle=(0, (6, 3)), label="trained on the score")
    axes.axhline(0, color=FAINT, linewidth=1.2, linestyle=(0, (1.2, 2)), label="acting at random")
    scored = [group.overall.interval for group in table.groups if not group.setting.is_preferences]
    if len(scored) == 1 and scored[0] is not None:
        axes.axhspan(*scored[0], color=FAINT, alpha=0.1, linewidth=0)


def _label_axis(axes: Any, labels: Sequence[int]) -> None:
    """A log axis whose ticks are the numbers of labels that were asked for, as far as they have room."""
    ticker = matplotlib_module("matplotlib.ticker")
    least = min(count for count in labels if count > 0)
    axes.set_xscale("symlog", linthresh=least) if labels[0] == 0 else axes.set_xscale("log")
    ticks: list[int] = []
    for count in reversed(labels):
        if not ticks or count == 0 or count < ticks[-1] / max(1.15, (labels[-1] / least) ** 0.055):
            ticks.append(count)
    axes.xaxis.set_major_locator(ticker.FixedLocator(ticks))
    axes.xaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: short(value)))
    axes.xaxis.set_minor_locator(ticker.NullLocator())


def _counted(axes: Any, groups: Sequence[Group], task: str | None = None) -> None:
    """Say at the top right how many seeds, and of how many tasks."""
    counts = {s.n_runs for group in groups for name, s in group.by_task.items() if task in (None, name)}
    seeds = f"{min(counts)}" if len(counts) == 1 else f"{min(counts)} to {max(counts)}"
    n_tasks = len({name for group in groups for name in group.by_task})
    text = f"n = {seeds} {'seed' if max(counts) == 1 else 'seeds'}"
    if task is None:
        text += f" of {n_tasks} {'task' if n_tasks == 1 else 'tasks'}"
    labels = {group.setting.labels for group in groups if group.setting.is_preferences}
    text += f", {labels.pop():,} labels" if len(labels) == 1 else ""
    axes.set_title(text, loc="right", fontsize=9, color=FAINT)


def _strata(group: Group) -> list[list[float]]:
    found = [[run.normalized for run in group.of(task) if run.normalized is not None] for task in group.by_task]
    return [values for values in found if values]


def _profiles(rows: Floats, thresholds: Floats) -> Floats:
    """(n_resamples, n_values) -> (n_resamples, n_thresholds)."""
    ordered = np.sort(rows, axis=1)
    shares: Floats = 1 - np.array([np.searchsorted(row, thresholds, side="right") for row in ordered]) / rows.shape[1]
    return shares


def _plain(name: str, length: int = 44) -> str:
    """A name as matplotlib draws it: no formula, nothing that no letter stands for, not hidden, not too long."""
    name = "".join(c if c.isprintable() else "\ufffd" for c in name)
    name = name if len(name) <= length else f"{name[: length - 1]}…"
    name = name.replace("$", r"\$")
    return f"\u200a{name}" if name.startswith("_") else name
