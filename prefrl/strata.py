"""Candidates drawn evenly over what the reward model makes of behaviour, instead of evenly over time.

Most of an agent's time may be spent on one thing (a robot that has fallen lies there for the rest of its episode), and
pairs drawn evenly over time then ask about little else. Stratified sampling over the range of learned returns gives
what is rare, and often better or worse than all the rest, the same share of the questions.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

N_STRATA = 10
"""Of equal width between the lowest learned return and the highest."""


def strata(returns: NDArray[np.floating]) -> NDArray[np.int64]:
    """The stratum of each clip, 0 to `N_STRATA` - 1, by its learned return; (M,) -> (M,)."""
    low, high = float(returns.min()), float(returns.max())
    if high <= low:
        return np.zeros(len(returns), np.int64)
    share = (returns.astype(np.float64) - low) / (high - low)
    return np.minimum((share * N_STRATA).astype(np.int64), N_STRATA - 1)


def evenly(stratum: NDArray[np.int64], n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw `n` clips with replacement, each stratum that has any as likely as any other; (M,) -> (n,) indices."""
    weight = 1.0 / np.bincount(stratum)[stratum]
    return rng.choice(len(stratum), size=n, p=weight / weight.sum())
