"""Exploration before anybody is asked: a reward for states unlike the others seen lately."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from prefrl.pool import Pool

_NEIGHBOUR = 5
"""Which nearest neighbour's distance counts; a small number, as in Lee et al. 2021 (PEBBLE)."""


def novelty(pool: Pool, n_steps: int) -> NDArray[np.float32]:
    """How far each of the newest `n_steps` states of N environments is from its neighbours among them, (n_steps, N).

    The log of the distance to the fifth nearest, a particle estimate of the entropy of states, brought to mean 0 and
    deviation 1: Lee et al. 2021 (PEBBLE), section 4.1. Of a stack of frames the newest counts.
    """
    frames = pool.obs(pool.last(n_steps), n_steps)[:, pool.layout.n_stack - 1 :]  # before them: the first step's stack
    states = frames.reshape(pool.n_envs * n_steps, -1).astype(np.float32)
    states = (states - states.mean(axis=0)) / (states.std(axis=0) + 1e-3)
    squares = (states**2).sum(axis=1)
    rows = []
    for part in np.array_split(np.arange(len(states)), max(1, len(states) // 256)):
        distances = squares[part, None] + squares[None] - 2 * states[part] @ states.T  # (part, all)
        k = min(_NEIGHBOUR, len(states) - 1)  # the nearest is the state itself
        rows.append(np.partition(distances, k, axis=1)[:, k])
    rewards = np.log(np.sqrt(np.maximum(np.concatenate(rows), 0)) + 1e-3)
    rewards = (rewards - rewards.mean()) / (rewards.std() + 1e-6)
    by_step: NDArray[np.float32] = rewards.reshape(pool.n_envs, n_steps).T.astype(np.float32)
    return by_step
