"""What every teacher is given, what it may be told to do wrong, and the arithmetic that teachers share."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from labeling.choice import Choice

EnvRewards = NDArray[np.float32] | NDArray[np.float64]
"""Env reward of every step of both clips of B queries, (B, 2, T), left clip first."""

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """How much of its fault each teacher has; every teacher reads its own and no other."""

    beta: float = 3.75
    """stoc: how decided it is per standard deviation of clip returns; 0 guesses, infinity never errs."""
    mistake_rate: float = 0.1
    """mistake: share of decided answers that are turned round."""
    equal_share: float = 0.1
    """equal: returns closer than this share of the margin are EQUAL."""
    skip_share: float = 0.1
    """skip: SKIP where the better clip has less than this share of the margin."""
    gamma: float = 0.9
    """myopic, drift: how much less each step counts than the one after it."""
    lapse_rate: float = 0.1
    """lapse: share of answers that are guesses."""
    fatigue_answers: int = 2000
    """fatigue: answers after which all but 1/e of the answers are guesses."""
    drift_answers: int = 500
    """drift: answers after which it judges as myopic does."""
    position_bias: float = 0.1
    """position_bias: share of answers that are LEFT whatever the clips."""
    reliabilities: tuple[float, ...] = (0.95, 0.9, 0.85, 0.7)
    """crowd: for each person the probability of answering as the oracle does."""

    def __post_init__(self) -> None:
        """Refuse what is no probability, and what has no number.

        Raises:
            ValueError: naming the first such fault.
        """
        if not self.reliabilities:
            raise ValueError("reliabilities must name at least one person")
        shares = {name: (getattr(self, name),) for name in _SHARES} | {"reliabilities": self.reliabilities}
        for name, values in shares.items():
            if not all(0 <= value <= 1 for value in values):
                raise ValueError(f"{name} must be between 0 and 1, got {getattr(self, name)}")
        if not self.beta >= 0:
            raise ValueError(f"beta must be at least 0, got {self.beta}")
        for name in ("fatigue_answers", "drift_answers"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}")


_SHARES = ("mistake_rate", "equal_share", "skip_share", "gamma", "lapse_rate", "position_bias")


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a teacher has seen of the agent, and how much it has answered, before it is asked."""

    margin: float
    """Mean env return of clips of T steps of what the agent did lately: what B-Pref's thresholds are shares of."""
    spread: float
    """Standard deviation of the env return of the same clips."""
    n_answered: int
    """Answers that it has given in this run."""

    def __post_init__(self) -> None:
        """Refuse what no behaviour has.

        Raises:
            ValueError: for a margin or a spread that is not finite, a negative spread or number of answers.
        """
        if not (math.isfinite(self.margin) and math.isfinite(self.spread)):
            raise ValueError(f"margin and spread must be finite, got {self.margin} and {self.spread}")
        if self.spread < 0 or self.n_answered < 0:
            raise ValueError(f"spread and n_answered must be at least 0, got {self.spread} and {self.n_answered}")


Teacher = Callable[[EnvRewards, np.random.Generator, Faults, Seen], list[Choice]]
"""Answers B queries; whatever is random in it comes from the generator."""


def env_returns(env_rewards: EnvRewards, weights: FloatArray | float = 1.0) -> FloatArray:
    """Sums of the env rewards over the steps, (B, 2); rounded once, so that the order of the steps is no matter.

    Args:
        env_rewards: (B, 2, T).
        weights: Of the steps, anything that broadcasts to (B, 2, T).

    Raises:
        ValueError: for another shape, or for a reward that is not finite.
    """
    if env_rewards.ndim != 3 or env_rewards.shape[1] != 2 or env_rewards.shape[2] == 0:
        raise ValueError(f"env_rewards must be (B, 2, T) with T > 0, got {env_rewards.shape}")
    if not np.isfinite(env_rewards).all():
        raise ValueError("env_rewards must be finite, got NaN or infinity; look at the env")
    weighted = env_rewards.astype(np.float64) * weights  # (B, 2, T)
    sums = [[math.fsum(left), math.fsum(right)] for left, right in weighted.tolist()]
    return np.array(sums, np.float64).reshape(-1, 2)


def myopic_weights(n_steps: int, gamma: float) -> FloatArray:
    """Weights gamma^(T-1-t) of T steps, (T,): the last step counts fully, each one before it less."""
    weights: FloatArray = gamma ** np.arange(n_steps - 1, -1, -1, dtype=np.float64)
    return weights


def better(returns: FloatArray) -> list[Choice]:
    """The side with the larger return of each of B pairs, (B, 2); EQUAL where they are exactly the same."""
    return [
        Choice.EQUAL if left == right else Choice.LEFT if left > right else Choice.RIGHT
        for left, right in returns.tolist()
    ]


def overruled(choices: list[Choice], where: BoolArray, by: Choice) -> list[Choice]:
    """The choices, with `by` in place of those marked in `where`, (B,)."""
    return [by if is_overruled else choice for choice, is_overruled in zip(choices, where.tolist(), strict=True)]


def left_or_right(is_left: BoolArray) -> list[Choice]:
    """LEFT where marked, else RIGHT; (B,)."""
    return [Choice.LEFT if left else Choice.RIGHT for left in is_left.tolist()]
