"""How prefrl's plots look: colours, axes, the size of letters; matplotlib is imported only when something is drawn.

Colours are Okabe and Ito's, darker, which the colour-blind can tell apart (https://jfly.uni-koeln.de/color/).
"""

from __future__ import annotations

import importlib
import io
import re
from typing import Any

from prefrl.errors import UserError

INK, FAINT, GRID = "#1f2430", "#5d6472", "#dfe2e8"
BLUE, ORANGE, GREEN, VERMILION = "#0072b2", "#b36b00", "#00805f", "#c24e00"
PURPLE, SKY = "#9a4c7f", "#3d9bd0"


def new_figure(title: str, x_name: str, y_name: str, size_inches: tuple[float, float]) -> tuple[Any, Any]:
    """A figure with one pair of axes, made without pyplot, which would keep it for ever."""
    module = matplotlib_module("matplotlib.figure")
    figure = module.Figure(figsize=size_inches, layout="constrained", facecolor="none")
    axes = figure.add_subplot(facecolor="none")
    axes.set_title(title, loc="left", fontsize=10, fontweight="bold", color=INK, pad=8)
    axes.set_xlabel(x_name, fontsize=9, color=FAINT)
    axes.set_ylabel(y_name, fontsize=9, color=FAINT, labelpad=6)
    axes.tick_params(length=0, labelsize=9, labelcolor=FAINT)
    axes.margins(0.03, 0.08)
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(GRID)
    formatter = matplotlib_module("matplotlib.ticker").FuncFormatter(lambda value, _: short(value))
    axes.xaxis.set_major_formatter(formatter)
    axes.yaxis.set_major_formatter(formatter)
    axes.xaxis.set_major_locator(matplotlib_module("matplotlib.ticker").MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_major_locator(matplotlib_module("matplotlib.ticker").MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    return figure, axes


def short(value: float) -> str:
    """1500000 as 1.5M, 200000 as 200k, -0.25 as −0.25."""
    size, unit = abs(value), ""
    for scale, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if size >= scale and (scale > 1e3 or size >= 1e4):
            size, unit = size / scale, letter
            break
    digits = f"{size:.6g}{unit}"
    return f"−{digits}" if value < 0 else digits


def matplotlib_module(module: str) -> Any:
    """That module of matplotlib's.

    Raises:
        UserError: matplotlib is missing.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != "matplotlib":
            raise
        raise UserError("Plots need matplotlib: pip install 'prefrl[plots]'") from error


def svg_file(figure: Any, axes: Any) -> str:
    """The figure as an SVG file on white, its legend below; the same data give the same bytes.

    Coordinates are cut to hundredths of a point: files get small, and last bits that hang on the processor fall away.
    """
    _, names = axes.get_legend_handles_labels()
    figure.get_layout_engine().set(w_pad=0.09, h_pad=0.09)
    if names:
        width, height = figure.get_size_inches()
        n_columns = int(max(1, min(4, 72 * width // (5.3 * max(map(len, names)) + 45))))
        n_lines = -(-len(names) // n_columns)
        figure.set_size_inches(width, height + 0.19 * max(0, n_lines - 2))
        figure.legend(
            loc="outside lower left",
            ncols=n_columns,
            frameon=False,
            fontsize=9,
            labelcolor=INK,
            handlelength=2.6,
            columnspacing=1.6,
            borderaxespad=0.3,
        )
    buffer = io.StringIO()
    with matplotlib_module("matplotlib").rc_context({"svg.fonttype": "none", "svg.hashsalt": "prefrl"}):
        figure.savefig(buffer, format="svg", facecolor="white", metadata={"Date": None, "Creator": None})
    svg = re.sub(r"\s*<metadata>.*?</metadata>", "", buffer.getvalue(), flags=re.DOTALL)
    svg = re.sub(r"'DejaVu Sans'", "system-ui, 'DejaVu Sans'", svg)
    return re.sub(r'\b(?:d|x|y|transform)="[^"]*"', lambda found: re.sub(r"(\.\d\d)\d+", r"\1", found[0]), svg)
