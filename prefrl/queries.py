"""Query strategies: which of many candidate pairs are worth asking about, told from ensemble numbers alone.

A strategy is a function of (logits (K, M), number wanted, random generator) giving the indices of the chosen candidates
and the score of every candidate (M,), or None where it has none. It never sees a clip.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating]
IndexArray = NDArray[np.int64]
Strategy = Callable[[FloatArray, int, np.random.Generator], tuple[IndexArray, FloatArray | None]]


@dataclass(frozen=True, slots=True)
class Chosen:
    """The candidates to ask about, and why each was taken."""

    index: IndexArray
    """(n,) into the candidates."""
    is_random: NDArray[np.bool_]
    """(n,) taken uniformly, whatever the strategy."""
    score: NDArray[np.float64]
    """(n,) what the strategy thought of it; nan where it had no opinion."""


def uniform(logits: FloatArray, n: int, rng: np.random.Generator) -> tuple[IndexArray, FloatArray | None]:
    """Any candidate is as good as any other."""
    return rng.permutation(logits.shape[1])[:n], None


def disagreement(logits: FloatArray, n: int, rng: np.random.Generator) -> tuple[IndexArray, FloatArray | None]:
    """Highest variance, across members, of the predicted preference: Christiano et al. 2017, section 2.2.4.

    Of the probability, as in the paper, not of the logit, whose scale is unbounded.
    """
    score = (1.0 / (1.0 + np.exp(-np.clip(logits, -500, 500)))).var(axis=0)
    return np.argsort(-score, kind="stable")[:n], score


def choose(
    strategy: Strategy,
    logits: FloatArray,
    n: int,
    random_share: float,
    rng: np.random.Generator,
) -> Chosen:
    """Choose `n` different candidates, about `random_share` of them uniformly; logits (K, M), M >= n.

    Raises:
        ValueError: Fewer candidates than wanted.
    """
    n_candidates = logits.shape[1]
    if n > n_candidates:
        raise ValueError(f"expected at least {n} candidates to choose from, got {n_candidates}")
    n_random = int(rng.binomial(n, random_share))
    random = rng.permutation(n_candidates)[:n_random]
    rest = np.setdiff1d(np.arange(n_candidates), random)
    index, score = strategy(logits[:, rest], n - n_random, rng)
    scores = np.full(n_candidates, np.nan)
    if score is not None:
        scores[rest] = score
    chosen = np.concatenate([random, rest[index]])
    is_random = np.arange(n) < n_random
    return Chosen(chosen, is_random, scores[chosen])


STRATEGIES: dict[str, Strategy] = {"uniform": uniform, "disagreement": disagreement}
