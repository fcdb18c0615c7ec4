"""Scoring of a rollout: every step has the reward of the observation that the learner saw, whichever way it went."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium import spaces

from prefrl import scoring
from prefrl.config import RewardModelConfig
from prefrl.pool import Layout, Pool
from prefrl.reward_model import Inputs, RewardModel
from prefrl.scoring import score_rollout

SIDE, N_STACK, N_ENVS, N_STEPS = 36, 3, 5, 12


@pytest.fixture
def model() -> RewardModel:
    space = spaces.Box(0, 255, (N_STACK, SIDE, SIDE), np.uint8)
    return RewardModel(Inputs.of(space, spaces.Discrete(2), N_STACK), RewardModelConfig(dropout=0.0), seed=0)


def played(resets: dict[int, int]) -> tuple[Pool, np.ndarray]:
    """A pool and the stacks (T, N, S, H, W) that the learner saw; `resets`: at which step a game of an env ends."""
    pool = Pool(Layout((N_STACK, SIDE, SIDE), np.uint8, (), np.int64, None, np.uint8, N_STACK), N_ENVS, 100)
    rng = np.random.default_rng(0)
    seen = rng.integers(256, size=(1, N_ENVS, N_STACK, SIDE, SIDE), dtype=np.uint8)
    episodes, steps = np.zeros(N_ENVS, np.int64), np.zeros(N_ENVS, np.int64)
    for t in range(N_STEPS + 4):
        zeros = np.zeros(N_ENVS)
        pool.add(seen[-1], zeros.astype(np.int64), zeros.astype(np.float32), None, episodes.copy(), steps.copy())
        planes = rng.integers(256, size=(N_ENVS, 1, SIDE, SIDE), dtype=np.uint8)
        after = np.concatenate([seen[-1][:, 1:], planes], axis=1)
        steps += 1
        for env in (env for env, step in resets.items() if step == t):
            after[env] = rng.integers(256, size=(N_STACK, SIDE, SIDE))
            episodes[env], steps[env] = episodes[env] + 1, 0
        seen = np.concatenate([seen, after[None]])
    return pool, seen[-N_STEPS - 1 : -1]


@pytest.mark.parametrize("n_at_once", [1, 2, 100])
@pytest.mark.parametrize("resets", [{}, {1: 8, 3: 4}, dict.fromkeys(range(N_ENVS), 9)], ids=["none", "two", "all"])
def test_games_that_end_in_a_rollout_have_the_rewards_of_what_was_seen(
    model: RewardModel, resets: dict[int, int], n_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool, seen = played(resets)
    monkeypatch.setattr(scoring, "AT_ONCE_BYTES", n_at_once * N_STEPS * pool.layout.step_bytes)
    rewards, disagreement = score_rollout(model, pool, N_STEPS)
    with torch.no_grad():
        members = model.eval().normalized(model(torch.as_tensor(seen), torch.zeros(N_STEPS, N_ENVS))).numpy()
    np.testing.assert_allclose(rewards, members.mean(0), rtol=1e-5, atol=1e-6)
    assert disagreement == pytest.approx(members.std(0).mean(), rel=1e-5)
    assert rewards.std() > 1e-4  # a thousand times the tolerance
