"""Statistics of a few runs as Agarwal et al. 2021, "Deep RL at the Edge of the Statistical Precipice", recommend.

Interquartile mean, stratified bootstrap, performance profile and probability of improvement; they agree with the
package `rliable` on the same numbers (tests/fixtures/rliable.json). Knows nothing of runs, tasks' names or tables.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Statistic = Callable[[Floats], Floats]
"""(n_resamples, n_values) -> (n_resamples, ...)."""

N_RESAMPLES = 50_000  # rliable's own number
CONFIDENCE = 0.95
_CHUNK_VALUES = 2_000_000  # so that a big benchmark does not take memory to match


def iqm(values: ArrayLike) -> float:
    """Interquartile mean: the mean of the middle half of all values, whatever their shape.

    A quarter at each end, rounded down, is left out, as in `scipy.stats.trim_mean(values, 0.25, axis=None)`; of three
    values or fewer it is therefore the plain mean.

    Raises:
        ValueError: there are no values.
    """
    flat = np.asarray(values, np.float64).reshape(1, -1)  # (1, n)
    if flat.size == 0:
        raise ValueError("Expected at least one value, got none.")
    return float(iqm_of_rows(flat)[0])


def iqm_of_rows(values: Floats) -> Floats:
    """Interquartile mean of each row: (n_resamples, n_values) -> (n_resamples,)."""
    n_values = values.shape[1]
    cut = n_values // 4
    middle: Floats = np.sort(values, axis=1)[:, cut : n_values - cut].mean(axis=1)
    return middle


def stratified_bootstrap(
    groups: Sequence[ArrayLike],
    statistic: Statistic = iqm_of_rows,
    n_resamples: int = N_RESAMPLES,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> tuple[Floats, Floats]:
    """Percentile interval of a statistic, runs drawn again within each task.

    Every resample holds as many runs of each task as there were, drawn with replacement; the tasks stay. What varies
    is which seeds were drawn, so the interval speaks of other seeds on the same tasks, not of other tasks. The same
    seed gives the same bits. Few runs make it too narrow: of three runs of one task it reaches from the least to the
    greatest, which holds the mean of a symmetric distribution 3 times in 4.

    Args:
        groups: One array (n_runs,) for each task; tasks may have different numbers of runs.
        statistic: Of all runs together, (n_resamples, n_values) -> (n_resamples, ...).
        n_resamples: Times to draw.
        confidence: Share of the resamples inside.
        seed: Of the draws.

    Returns:
        Low and high end, each of the statistic's shape (...).

    Raises:
        ValueError: a task has no run, or there is no task.
    """
    strata = [np.asarray(group, np.float64).ravel() for group in groups]
    if not strata or any(len(stratum) == 0 for stratum in strata):
        raise ValueError("Expected at least one run of each task, got none.")
    rng = np.random.default_rng(seed)
    n_rows = max(1, _CHUNK_VALUES // sum(len(stratum) for stratum in strata))
    found = []
    for start in range(0, n_resamples, n_rows):
        rows = min(n_rows, n_resamples - start)
        drawn = [stratum[rng.integers(len(stratum), size=(rows, len(stratum)))] for stratum in strata]
        found.append(statistic(np.concatenate(drawn, axis=1)))
    tail = 50 * (1 - confidence)
    low, high = np.percentile(np.concatenate(found), [tail, 100 - tail], axis=0)
    return np.asarray(low), np.asarray(high)


def normalized(env_return: float, random: float, score: float) -> float:
    """The return on a scale where acting at random is 0 and training on the score is 1.

    Raises:
        ValueError: training on the score did no better than acting at random, so there is no scale.
    """
    if not score > random:
        raise ValueError(f"Expected a score-trained return above the random one, got {score:g} and {random:g}.")
    return (env_return - random) / (score - random)


def performance_profile(values: ArrayLike, thresholds: ArrayLike) -> Floats:
    """Share of all runs above each threshold: values of any shape, thresholds (n,) -> (n,).

    Agarwal et al. 2021, section 4.2, "score distributions": nothing is averaged before it is counted.
    """
    flat = np.asarray(values, np.float64).reshape(-1, 1)  # (n_values, 1)
    share: Floats = (flat > np.asarray(thresholds, np.float64)).mean(axis=0)
    return share


def probability_of_improvement(xs: Sequence[ArrayLike], ys: Sequence[ArrayLike]) -> float:
    """How probable it is that a run of x beats a run of y on the same task, the mean over tasks; a tie is half.

    Agarwal et al. 2021, section 4.3. `xs` and `ys` hold one array (n_runs,) for each task.

    Raises:
        ValueError: the two have different numbers of tasks, or none.
    """
    if len(xs) != len(ys) or not xs:
        raise ValueError(f"Expected the same tasks twice, got {len(xs)} and {len(ys)}.")
    shares = []
    for x, y in zip(xs, ys, strict=True):
        difference = np.subtract.outer(np.asarray(x, np.float64), np.asarray(y, np.float64))  # (n_x, n_y)
        shares.append(np.mean(np.sign(difference) / 2 + 0.5))
    return float(np.mean(shares))
