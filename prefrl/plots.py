"""Draw a run's curves as small SVG pictures, readable on a phone and in the dark.

Every function takes plain columns (None or NaN where nothing was measured) and returns one `<svg>`
element as text. Colours are CSS variables with a fallback: a picture follows the light or dark page
it stands in, and as a file of its own is drawn for white. They are Okabe and Ito's, darker, which
the colour-blind can tell apart (https://jfly.uni-koeln.de/color/); and no line is told by its
colour alone.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prefrl.plot_style import BLUE, FAINT, GREEN, GRID, INK, ORANGE, VERMILION, matplotlib_module, new_figure

Column = Sequence[float | None]
Floats = NDArray[np.float64]

# Drawn with the first colour, which is then replaced by the variable in brackets.
_VARIABLES = {
    INK: "--ink",
    FAINT: "--faint",
    GRID: "--line",
    BLUE: "--blue",
    ORANGE: "--orange",
    GREEN: "--green",
    VERMILION: "--vermilion",
}
_SIZE_INCHES = (4.7, 2.9)  # small on purpose: at a phone's width 9 pt text stays 9 px


def env_return_over_steps(
    steps: Column,
    evaluated: Column,
    *,
    training: Column = (),
    random_return: float | None = None,
    score_return: float | None = None,
) -> str:
    """Env return against agent steps: evaluations as dots, training episodes as a thin line.

    Args:
        steps: Agent steps at each row.
        evaluated: Mean env return of the evaluation made at that row.
        training: Mean env return of the training episodes at that row.
        random_return: Env return of an agent that acts at random, a dashed line.
        score_return: Env return of the same learner trained on the score, a dashed line.

    Raises:
        ValueError: neither column holds a measured point.
        UserError: matplotlib is missing.
    """
    figure, axes = new_figure("Env return while learning", "agent steps", "env return", _SIZE_INCHES)
    train_x, train_y = measured(steps, training)
    eval_x, eval_y = measured(steps, evaluated)
    _require_points(len(train_x) + len(eval_x))
    if len(train_x):
        axes.plot(train_x, train_y, color=FAINT, linewidth=1.0, label="training episodes")
    if len(eval_x):
        axes.plot(eval_x, eval_y, color=BLUE, linewidth=1.8, **_dots(eval_x), label="evaluation")
    _baselines(axes, random_return, score_return)
    axes.set_xlim(left=0)
    return _svg(figure, axes)


def env_return_over_labels(
    labels: Column,
    evaluated: Column,
    *,
    random_return: float | None = None,
    score_return: float | None = None,
) -> str:
    """Env return against the number of labels that had been given by then.

    Raises:
        ValueError: no row has both measured.
        UserError: matplotlib is missing.
    """
    figure, axes = new_figure("Env return by answers given", "labels", "env return", _SIZE_INCHES)
    x, y = measured(labels, evaluated)
    _require_points(len(x))
    axes.plot(x, y, color=BLUE, linewidth=1.8, **_dots(x), label="evaluation")
    _baselines(axes, random_return, score_return)
    axes.set_xlim(left=0)
    return _svg(figure, axes)


def learned_against_env(learned: ArrayLike, env: ArrayLike) -> str:
    """Learned return against env return, a dot for each clip or episode, with their correlation.

    Raises:
        ValueError: the two differ in length or are empty.
        UserError: matplotlib is missing.
    """
    figure, axes = new_figure("Learned against env return", "env return", "learned return", _SIZE_INCHES)
    x, y = _pair(env, learned)
    _require_points(len(x))
    axes.scatter(x, y, s=16, color=BLUE, alpha=0.6, linewidths=0)
    r = correlation(learned, env)
    text = "correlation not defined" if r is None else f"correlation r = {r:.2f}"
    axes.set_title(f"{text}, n = {len(x)}", loc="right", fontsize=8, color=FAINT)
    return _svg(figure, axes)


def reward_model_accuracy(steps: Column, train: Column, validation: Column) -> str:
    """Share of clear answers the reward model gets right, on its own labels and on held-out ones.

    Raises:
        ValueError: neither column holds a measured point.
        UserError: matplotlib is missing.
    """
    figure, axes = new_figure("Answers predicted", "agent steps", "accuracy (%)", _SIZE_INCHES)
    percent = [[None if v is None else 100 * v for v in column] for column in (train, validation)]
    lowest = _train_and_validation(axes, steps, *percent)
    axes.axhline(50, color=FAINT, linewidth=1, linestyle=(0, (2, 3)), label="coin flip")
    axes.set_ylim(min(45.0, lowest - 5), 102)
    return _svg(figure, axes)


def reward_model_loss(steps: Column, train: Column, validation: Column) -> str:
    """Bradley-Terry loss of the reward model, on its own labels and on held-out ones.

    Raises:
        ValueError: neither column holds a measured point.
        UserError: matplotlib is missing.
    """
    figure, axes = new_figure("Reward model loss", "agent steps", "loss (nats per label)", _SIZE_INCHES)
    _train_and_validation(axes, steps, train, validation)
    axes.axhline(np.log(2), color=FAINT, linewidth=1, linestyle=(0, (2, 3)), label="coin flip")
    axes.set_ylim(bottom=0)
    return _svg(figure, axes)


def measured(xs: Column, ys: Column) -> tuple[Floats, Floats]:
    """The rows in which both columns hold a finite number, as two arrays (n,)."""
    x, y = (np.array([np.nan if v is None else v for v in c], np.float64) for c in (xs, ys))
    n_rows = min(len(x), len(y))
    keep = np.isfinite(x[:n_rows]) & np.isfinite(y[:n_rows])
    return x[:n_rows][keep], y[:n_rows][keep]


def correlation(learned: ArrayLike, env: ArrayLike) -> float | None:
    """Pearson's r of two arrays (n,), or None where one of them does not vary."""
    x, y = _pair(env, learned)
    if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    return float(np.corrcoef(x, y)[0, 1])


def _pair(env: ArrayLike, learned: ArrayLike) -> tuple[Floats, Floats]:
    x, y = np.asarray(env, np.float64), np.asarray(learned, np.float64)
    if x.ndim != 1 or x.shape != y.shape:
        raise ValueError(f"Expected two equally long lists of returns, got {y.shape} learned and {x.shape} env.")
    keep = np.isfinite(x) & np.isfinite(y)
    return x[keep], y[keep]


def _require_points(n_points: int) -> None:
    if n_points == 0:
        raise ValueError("Expected at least one measured point to draw, got none.")


def _train_and_validation(axes: Any, steps: Column, train: Column, validation: Column) -> float:
    """Draw both curves and return the lowest value drawn."""
    train_x, train_y = measured(steps, train)
    val_x, val_y = measured(steps, validation)
    _require_points(len(train_x) + len(val_x))
    if len(val_x):
        axes.plot(val_x, val_y, color=BLUE, linewidth=1.8, **_dots(val_x), label="held-out labels")
    if len(train_x):
        axes.plot(train_x, train_y, color=VERMILION, linewidth=1.2, label="its own labels")
    axes.set_xlim(left=0)
    return float(np.concatenate([train_y, val_y]).min())


def _dots(x: Floats) -> dict[str, Any]:
    return {"marker": "o", "markersize": 3.5} if len(x) <= 40 else {}


def _baselines(axes: Any, random_return: float | None, score_return: float | None) -> None:
    for value, name, color, dashes in (
        (score_return, "trained on the score", GREEN, (6, 3)),
        (random_return, "acting at random", ORANGE, (2, 3)),
    ):
        if value is not None and np.isfinite(value):
            axes.axhline(value, color=color, linewidth=1.4, linestyle=(0, dashes), label=name)


def _svg(figure: Any, axes: Any) -> str:
    title = axes.get_title(loc="left")
    _, names = axes.get_legend_handles_labels()
    if names:
        figure.legend(
            loc="outside lower left",
            ncols=2,
            frameon=False,
            fontsize=9,
            labelcolor=FAINT,
            handlelength=2.2,
            columnspacing=1.6,
            borderaxespad=0.2,
        )
    buffer = io.StringIO()
    # "none" keeps text as text; a fixed salt makes the same data give the same bytes.
    with matplotlib_module("matplotlib").rc_context({"svg.fonttype": "none", "svg.hashsalt": "prefrl"}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return _for_pages(buffer.getvalue(), title)


def _for_pages(svg: str, title: str) -> str:
    """Make matplotlib's file an element: named, themed, scalable, with ids that no other uses."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"\s*<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    prefix = re.sub(r"\W+", "-", title.lower())
    svg = re.sub(r'\bid="', f'id="{prefix}-', svg)
    svg = re.sub(r'(url\(#|href="#)', rf"\g<1>{prefix}-", svg)
    svg = svg.replace("xlink:href=", "href=")  # SVG 2's, which asks for no second namespace
    for color, variable in _VARIABLES.items():
        svg = svg.replace(color, f"var({variable}, {color})")
    svg = re.sub(r"\s*<style.*?</style>", "", svg, flags=re.DOTALL)  # its `*` would reach the page
    svg = re.sub(r"font-family: [^;\"]*", "font-family: system-ui, sans-serif", svg)
    width, height = (float(v) for v in re.findall(r'viewBox="0 0 (\S+) (\S+)"', svg)[0])
    opening = (
        '<svg xmlns="http://www.w3.org/2000/svg" role="img" stroke-linejoin="round" '
        f'viewBox="0 0 {width:g} {height:g}"><title>{title}</title>'
    )
    return re.sub(r"<svg[^>]*>", opening, svg, count=1)
