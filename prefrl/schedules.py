"""Label schedules: how many labels should have been asked by a given share of training.

A schedule is a function of (steps so far, steps over which labels are asked, constant in steps) giving the share, 0 to
1, of the labels that remain after the first batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable

Schedule = Callable[[float, float, float], float]


def constant(steps: float, window_steps: float, hyperbolic_steps: float) -> float:
    """Ask at an even rate."""
    return min(1.0, steps / window_steps)


def hyperbolic(steps: float, window_steps: float, hyperbolic_steps: float) -> float:
    """Ask at a rate proportional to c / (steps + c): Christiano et al. 2017, appendix A.

    The integral of the rate from 0 to t is c * log(1 + t / c); divided by its value at the end of the window.
    """
    done = min(steps, window_steps)
    return math.log1p(done / hyperbolic_steps) / math.log1p(window_steps / hyperbolic_steps)


def labels_due(
    schedule: Schedule,
    steps: int,
    *,
    total_labels: int,
    initial_labels: int,
    window_steps: float,
    hyperbolic_steps: float,
) -> int:
    """Labels that should have been asked after `steps` agent steps; all of them once the window is over.

    Raises nothing: a window of 0 steps means that every label is asked in the first batch.
    """
    if window_steps <= 0:
        return total_labels
    share = schedule(steps, window_steps, hyperbolic_steps)
    return initial_labels + math.floor((total_labels - initial_labels) * share + 1e-9)


SCHEDULES: dict[str, Schedule] = {"constant": constant, "hyperbolic": hyperbolic}
