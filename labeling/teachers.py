"""Synthetic labelers: they read the env reward and answer as B-Pref's teachers do.

A new teacher is one function and one entry in `TEACHERS`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from labeling.choice import Choice

EnvRewards = NDArray[np.float32] | NDArray[np.float64]
"""Env reward of every step of both clips of B queries, (B, 2, T), left clip first."""

Teacher = Callable[[EnvRewards, np.random.Generator], list[Choice]]
"""Answers B queries; whatever is random in it comes from the generator."""


def oracle(env_rewards: EnvRewards, rng: np.random.Generator) -> list[Choice]:
    """Prefers the clip with the larger sum of env rewards, without fail; ties are EQUAL.

    The "perfect" teacher of Lee et al. 2021 (B-Pref), section 3; Christiano et al. 2017, 3.1.

    Args:
        env_rewards: (B, 2, T).
        rng: not used, as nothing in it is random.

    Raises:
        ValueError: for another shape, or for a reward that is not finite.
    """
    del rng
    return [
        Choice.EQUAL if left == right else Choice.LEFT if left > right else Choice.RIGHT
        for left, right in _returns(env_rewards)
    ]


def _returns(env_rewards: EnvRewards) -> list[tuple[float, float]]:
    """Sums over the steps, B pairs; rounded once, so that the order of the steps is no matter."""
    if env_rewards.ndim != 3 or env_rewards.shape[1] != 2 or env_rewards.shape[2] == 0:
        raise ValueError(f"env_rewards must be (B, 2, T) with T > 0, got {env_rewards.shape}")
    if not np.isfinite(env_rewards).all():
        raise ValueError("env_rewards must be finite, got NaN or infinity; look at the env")
    return [(math.fsum(left), math.fsum(right)) for left, right in env_rewards.tolist()]


TEACHERS: dict[str, Teacher] = {"oracle": oracle}
