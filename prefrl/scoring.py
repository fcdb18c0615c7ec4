"""Scoring: the learned reward of the rollout just collected, in one batched pass of the ensemble."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from prefrl.pool import Pool
from prefrl.reward_model import RewardModel


def score_rollout(model: RewardModel, pool: Pool, n_steps: int) -> tuple[NDArray[np.float32], float]:
    """Learned reward of the newest `n_steps` of each of N environments, (n_steps, N). Changes nothing.

    The second value says how far the members disagree: their rewards' standard deviation, meaned over steps.
    """
    cuts = pool.last(n_steps)
    actions = pool.actions(cuts, n_steps)
    if pool.layout.n_stack == 1:
        members = model.member_rewards(pool.obs(cuts, n_steps), actions)  # (K, N, n_steps)
    else:
        # Stacks of frames are put together for one environment at a time: all at once would take too much memory.
        columns = [
            model.member_rewards(pool.stacks(env, n_steps)[None], actions[env][None]) for env in range(pool.n_envs)
        ]
        members = np.concatenate(columns, axis=1)
    return model.together(members).T, float(members.std(axis=0).mean())
