"""Scoring: the learned reward of the rollout just collected, in one batched pass of the ensemble."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from prefrl.pool import Pool
from prefrl.reward_model import RewardModel

AT_ONCE_BYTES = 2**26
"""Of frames that are taken out of the pool together, about."""


def score_rollout(model: RewardModel, pool: Pool, n_steps: int) -> tuple[NDArray[np.float32], float]:
    """Learned reward of the newest `n_steps` of each of N environments, (n_steps, N). Changes nothing.

    The second value says how far the members disagree: their rewards' standard deviation, meaned over steps.
    """
    cuts = pool.last(n_steps)
    actions = pool.actions(cuts, n_steps)
    if pool.layout.n_stack == 1:
        members = model.member_rewards(pool.obs(cuts, n_steps), actions)  # (K, N, n_steps)
    else:
        members = np.empty((model.members, pool.n_envs, n_steps), np.float32)
        within = pool.within_episodes(cuts, n_steps)
        n_at_once = max(1, AT_ONCE_BYTES // (n_steps * pool.layout.step_bytes))
        for envs in np.split(np.flatnonzero(within), range(n_at_once, int(within.sum()), n_at_once)):
            if len(envs):
                members[:, envs] = model.member_rewards(pool.obs(cuts.take(envs), n_steps), actions[envs])
        for env in np.flatnonzero(~within):  # planes do not tell on which side of a reset they are
            members[:, env] = model.member_rewards(pool.stacks(int(env), n_steps)[None], actions[env][None])[:, 0]
    return members.mean(axis=0).T, float(members.std(axis=0).mean())
