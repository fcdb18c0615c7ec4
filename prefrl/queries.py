"""Query strategies: which of many candidate pairs are worth asking about, told from numbers alone.

A strategy is a function of (candidates, number wanted n, random generator) giving the indices (n,) of the chosen
candidates and a score of every candidate (M,), the higher the sooner asked, or None where it has none. It never sees a
clip. Adding one is one function here and one entry in `STRATEGIES`.

The batch strategies, k_center and k_medoids, first narrow the candidates to the half on which members disagree most, as
B-Pref's code (Lee et al. 2021) does before its k-center, then spread the batch over what is left: diversity alone would
ask about pairs whose answer is known, disagreement alone the same question many times.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from prefrl.clusters import farthest_first, medoids

FloatArray = NDArray[np.floating]
IndexArray = NDArray[np.int64]


@dataclass(frozen=True)
class Candidates:
    """Pairs of clips that could be asked about, as numbers; each is computed when first read, and only for these."""

    drawn: IndexArray
    """(M,) which of the pairs that were drawn these are; the functions below are asked for them."""
    logits_of: Callable[[IndexArray], FloatArray]
    features_of: Callable[[IndexArray], FloatArray]
    ages_of: Callable[[IndexArray], NDArray[np.int64]]

    def __len__(self) -> int:
        """M."""
        return len(self.drawn)

    @cached_property
    def logits(self) -> FloatArray:
        """Every member's log-odds that the left clip wins, (K, M)."""
        return self.logits_of(self.drawn)

    @cached_property
    def features(self) -> FloatArray:
        """What the ensemble sees in each pair, whichever of its clips is left, (M, F)."""
        return self.features_of(self.drawn)

    @cached_property
    def ages(self) -> NDArray[np.int64]:
        """Agent steps since the older clip of each pair began, (M,)."""
        return self.ages_of(self.drawn)

    def take(self, index: IndexArray) -> Candidates:
        """The candidates at these indices."""
        return replace(self, drawn=self.drawn[index])


Strategy = Callable[[Candidates, int, np.random.Generator], tuple[IndexArray, FloatArray | None]]


@dataclass(frozen=True, slots=True)
class Chosen:
    """The candidates to ask about, and why each was taken."""

    index: IndexArray
    """(n,) into the candidates."""
    is_random: NDArray[np.bool_]
    """(n,) taken uniformly, whatever the strategy."""
    score: NDArray[np.float64]
    """(n,) what the strategy thought of it; nan where it had no opinion."""


def uniform(candidates: Candidates, n: int, rng: np.random.Generator) -> tuple[IndexArray, FloatArray | None]:
    """Any candidate is as good as any other."""
    return rng.permutation(len(candidates))[:n], None


def disagreement(candidates: Candidates, n: int, rng: np.random.Generator) -> tuple[IndexArray, FloatArray | None]:
    """Highest variance, across members, of the predicted preference: Christiano et al. 2017, section 2.2.4.

    Of the probability, as in the paper, not of the logit, whose scale is unbounded.
    """
    score = _prob_left(candidates.logits).var(axis=0)
    return _highest(score, n), score


def entropy(candidates: Candidates, n: int, rng: np.random.Generator) -> tuple[IndexArray, FloatArray | None]:
    """Highest entropy, in nats, of the ensemble's answer: nearest the decision boundary, B-Pref (Lee et al. 2021).

    Of the members' mean probability, which is what the ensemble answers. B-Pref's code takes the mean of the members'
    own entropies, which is blind to members that are sure of opposite answers.
    """
    score = _entropy(_prob_left(candidates.logits.astype(np.float64)).mean(axis=0))
    return _highest(score, n), score


def bald(candidates: Candidates, n: int, rng: np.random.Generator) -> tuple[IndexArray, FloatArray | None]:
    """Highest mutual information, in nats, of the answer and the member: Houlsby et al. 2011 (arXiv 1112.5745).

    The entropy of the mean less the mean entropy: high where members are sure of opposite answers, zero where all
    agree that it is a toss-up.
    """
    prob_left = _prob_left(candidates.logits.astype(np.float64))
    score = np.maximum(_entropy(prob_left.mean(axis=0)) - _entropy(prob_left).mean(axis=0), 0.0)
    return _highest(score, n), score


def k_center(candidates: Candidates, n: int, rng: np.random.Generator) -> tuple[IndexArray, FloatArray | None]:
    """Of the half that members disagree on, a batch as far from each other as can be: Sener and Savarese 2018.

    Begins with the candidate of highest disagreement, which is the score. Unlike in the paper, what was asked before is
    no centre: both features and behaviour have moved since.
    """
    return _spread(candidates, n, farthest_first)


def k_medoids(candidates: Candidates, n: int, rng: np.random.Generator) -> tuple[IndexArray, FloatArray | None]:
    """Of the half that members disagree on, the middles of n clusters: Biyik and Sadigh 2018 (arXiv 1810.04303).

    Takes what is typical, where k_center takes the outermost. Disagreement is the score.
    """
    return _spread(candidates, n, medoids)


def near_on_policy(candidates: Candidates, n: int, rng: np.random.Generator) -> tuple[IndexArray, FloatArray | None]:
    """The newest behaviour, after query-policy alignment: Hu et al. 2024 (arXiv 2305.17400).

    A reward helps where the policy now is. A pair is as old as its older clip; the score is minus that age. The paper
    draws uniformly from a small buffer of the newest trajectories; here the newest of the candidates are taken, which
    needs no size of its own: with 10 candidates for each query, both clips begin in about the newest third (the square
    root of a tenth) of what candidates come from.
    """
    return np.argsort(candidates.ages, kind="stable")[:n], -candidates.ages.astype(np.float64)


def choose(strategy: Strategy, candidates: Candidates, n: int, random_share: float, rng: np.random.Generator) -> Chosen:
    """Choose `n` different candidates, about `random_share` of them uniformly, of M >= n.

    Raises:
        ValueError: Fewer candidates than wanted.
    """
    n_candidates = len(candidates)
    if n > n_candidates:
        raise ValueError(f"expected at least {n} candidates to choose from, got {n_candidates}")
    n_random = int(rng.binomial(n, random_share))
    random = rng.permutation(n_candidates)[:n_random]
    rest = np.setdiff1d(np.arange(n_candidates), random)
    index, score = strategy(candidates.take(rest), n - n_random, rng)
    scores = np.full(n_candidates, np.nan)
    if score is not None:
        scores[rest] = score
    chosen = np.concatenate([random, rest[index]])
    is_random = np.arange(n) < n_random
    return Chosen(chosen, is_random, scores[chosen])


def _spread(
    candidates: Candidates, n: int, batch: Callable[[FloatArray, int], IndexArray]
) -> tuple[IndexArray, FloatArray]:
    """Narrow to the half with the highest disagreement, the highest first, then take a batch by features."""
    score = _prob_left(candidates.logits).var(axis=0)
    half = _highest(score, max(n, len(candidates) // 2))
    if n == 0:
        return half[:0], score
    return half[batch(candidates.take(half).features, n)], score


def _prob_left(logits: FloatArray) -> FloatArray:
    with np.errstate(over="ignore"):  # in 32 bits the exponential may be infinite, and the probability then is 0
        prob_left: FloatArray = 1.0 / (1.0 + np.exp(-np.clip(logits, -500, 500)))
    return prob_left


def _entropy(prob: FloatArray) -> FloatArray:
    """Entropy of a yes or no, in nats; 0 where it is certain."""
    tiny, other = np.finfo(np.float64).tiny, 1.0 - prob
    found: FloatArray = -prob * np.log(np.maximum(prob, tiny)) - other * np.log(np.maximum(other, tiny))
    return found


def _highest(score: FloatArray, n: int) -> IndexArray:
    return np.argsort(-score, kind="stable")[:n]


STRATEGIES: dict[str, Strategy] = {
    "uniform": uniform,
    "disagreement": disagreement,
    "entropy": entropy,
    "bald": bald,
    "k_center": k_center,
    "k_medoids": k_medoids,
    "near_on_policy": near_on_policy,
}
