"""How large the learned reward is for PPO: its discounted return, not its steps, has a deviation of about 1."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.running_mean_std import RunningMeanStd

_EPSILON = 1e-8
"""Added to the variance, as Stable-Baselines3's VecNormalize does."""


class ReturnScale:
    """Divides rewards by the running standard deviation of their discounted return, a rollout at a time.

    What VecNormalize does with env rewards, and so what the same PPO gets on the score: as the agent learns to collect
    more, its critic is not asked for ever larger values. Where VecNormalize takes a new divisor at every step, here all
    steps of a rollout have the same, which has seen that rollout: it is the learned reward, times a number.

    Args:
        n_envs: Environments, N.
        gamma: PPO's discount factor.
    """

    def __init__(self, n_envs: int, gamma: float) -> None:
        self._gamma = gamma
        self._returns = np.zeros(n_envs)
        self._statistics = RunningMeanStd(shape=())

    def scaled(self, rewards: NDArray[np.float32], episode_starts: NDArray[np.float32]) -> NDArray[np.float32]:
        """Take a rollout's rewards (T, N) in, and give them back at scale.

        Args:
            rewards: (T, N).
            episode_starts: (T, N), 1 where an episode begins, else 0.
        """
        returns = np.empty(rewards.shape)
        for t, (reward, start) in enumerate(zip(rewards, episode_starts, strict=True)):
            self._returns = self._gamma * self._returns * (1.0 - start) + reward
            returns[t] = self._returns
        self._statistics.update(returns.reshape(-1))
        scaled: NDArray[np.float32] = (rewards / np.sqrt(self._statistics.var + _EPSILON)).astype(np.float32)
        return scaled

    def state(self) -> dict[str, Any]:
        """What a resumed run needs."""
        its = self._statistics
        return {
            "returns": self._returns,
            "mean": np.asarray(its.mean),
            "var": np.asarray(its.var),
            "count": float(its.count),
        }

    def put_state(self, state: dict[str, Any]) -> None:
        """Take over what `state` gave."""
        self._returns = state["returns"]
        its = self._statistics
        its.mean, its.var, its.count = state["mean"], state["var"], state["count"]
