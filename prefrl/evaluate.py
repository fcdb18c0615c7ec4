"""Evaluation on the env reward: what the agent is judged by and never learns from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv

Act = Callable[[NDArray[Any]], NDArray[Any]]
"""Observations (N, *O) to actions (N, *A)."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Env returns of whole episodes."""

    returns: NDArray[np.float64]
    """(n_episodes,)."""

    @property
    def mean(self) -> float:
        """Mean env return."""
        return float(self.returns.mean())

    @property
    def std(self) -> float:
        """Standard deviation over episodes."""
        return float(self.returns.std())


def evaluate(venv: VecEnv, act: Act, n_episodes: int, max_steps: int) -> Evaluation:
    """Play `n_episodes` whole episodes and note their env returns.

    Every environment plays its equal share from its first episode on, each to its end, so that short episodes are not
    counted more often than long ones.

    Args:
        venv: A world's own `VecEnv`, freshly made, in which every episode has the whole horizon; it says in
            `info["episode"]` when one ends.
        act: The policy.
        n_episodes: At least 1.
        max_steps: An episode that lasts longer is counted as it stands then, and what it ends with is not; one that
            never ends is counted every so many steps.
    """
    n_envs = venv.num_envs
    targets = np.array([(n_episodes + env) // n_envs for env in range(n_envs)])
    counts, lengths, running = np.zeros(n_envs, int), np.zeros(n_envs, int), np.zeros(n_envs)
    returns: list[float] = []
    obs = np.asarray(venv.reset())
    while (counts < targets).any():
        obs_now, rewards, dones, infos = venv.step(act(obs))
        obs = np.asarray(obs_now)
        running += rewards
        lengths += 1
        for env, info in enumerate(infos):
            # Of an episode that had been cut here before, only what came after the cut is this one's.
            was_cut = "episode" in info and info["episode"]["l"] > lengths[env]
            ended = "episode" in info and not was_cut
            if (ended or lengths[env] >= max_steps) and counts[env] < targets[env]:
                counts[env] += 1
                returns.append(float(info["episode"]["r"]) if ended else float(running[env]))
            if ended or was_cut or dones[env] or lengths[env] >= max_steps:
                lengths[env], running[env] = 0, 0.0
    return Evaluation(np.array(returns))


def policy_act(agent: BaseAlgorithm, deterministic: bool) -> Act:
    """Act by a Stable-Baselines3 policy."""

    def act(obs: NDArray[Any]) -> NDArray[Any]:
        actions, _ = agent.predict(obs, deterministic=deterministic)
        return actions

    return act


def random_act(venv: VecEnv, seed: int) -> Act:
    """Act uniformly at random."""
    venv.action_space.seed(seed)

    def act(obs: NDArray[Any]) -> NDArray[Any]:
        return np.array([venv.action_space.sample() for _ in range(len(obs))])

    return act
