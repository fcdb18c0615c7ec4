"""How large the learned reward is for PPO: as large as VecNormalize makes the score."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

import prefrl
from prefrl.learn import LearnedRewardBuffer, make_ppo
from prefrl.return_scale import ReturnScale

F32 = np.float32


def column(*values: float) -> NDArray[np.float32]:
    """A rollout of one environment, (T, 1)."""
    return np.array(values, F32)[:, None]


def test_a_rollout_is_divided_by_the_deviation_of_its_discounted_return() -> None:
    scale = ReturnScale(n_envs=1, gamma=0.5)
    # Returns 2 and 0.5 x 2 + 4 = 5: mean 3.5, deviation 1.5.
    assert scale.scaled(column(2, 4), column(1, 0)) == pytest.approx(column(2 / 1.5, 4 / 1.5), rel=1e-3)
    # The episode goes on: 0.5 x 5 + 1.5 = 4, and 0.5 x 4 + 3 = 5. Of 2, 5, 4, 5 the mean is 4 and the variance 1.5.
    divisor = np.sqrt(1.5)
    assert scale.scaled(column(1.5, 3), column(0, 0)) == pytest.approx(column(1.5 / divisor, 3 / divisor), rel=1e-3)


def test_a_return_begins_with_its_episode() -> None:
    scale = ReturnScale(n_envs=2, gamma=0.5)
    rewards = np.array([[8, 1], [1, 3]], F32)
    starts = np.array([[1, 1], [1, 0]], F32)  # the first environment begins anew at the second step
    found = scale.scaled(rewards, starts)  # returns 8 and 1, then 1 and 3.5
    assert found == pytest.approx(rewards / np.std([8, 1, 1, 3.5]), rel=1e-3)
    assert found.dtype == F32


class Paid(gym.Env[NDArray[np.float32], np.int64]):
    """Pays what it is told to, and begins anew every fifth step."""

    observation_space = gym.spaces.Box(-1, 1, (1,), F32)
    action_space = gym.spaces.Discrete(2)

    def __init__(self, pay: NDArray[np.float32]) -> None:
        self.pay = iter(pay.tolist())
        self.n = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        return np.zeros(1, F32), {}

    def step(self, action: np.int64) -> Any:
        self.n += 1
        return np.zeros(1, F32), next(self.pay), self.n % 5 == 0, False, {}


def test_the_divisor_is_the_one_that_vec_normalize_comes_to() -> None:
    pay = np.random.default_rng(0).normal(1.0, 2.0, (40, 3)).astype(F32)
    venv = VecNormalize(DummyVecEnv([lambda i=i: Paid(pay[:, i]) for i in range(3)]), gamma=0.9)  # type: ignore[misc]  # a default is how a lambda keeps i
    venv.reset()
    for _ in range(40):
        venv.step(np.zeros(3, np.int64))
    starts = np.zeros((40, 3), F32)
    starts[::5] = 1
    scale = ReturnScale(n_envs=3, gamma=0.9)
    scale.scaled(pay[:20], starts[:20])
    last = scale.scaled(pay[20:], starts[20:])
    assert last == pytest.approx(pay[20:] / np.sqrt(venv.ret_rms.var + venv.epsilon), rel=1e-6)


def test_a_state_that_is_put_back_goes_on_alike() -> None:
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=(2, 6, 2)).astype(F32)
    starts = np.zeros((6, 2), F32)
    one, other = ReturnScale(2, 0.99), ReturnScale(2, 0.99)
    one.scaled(first, starts)
    other.put_state(one.state())
    assert np.array_equal(one.scaled(second, starts), other.scaled(second, starts))


@pytest.mark.parametrize("is_on", [False, True])
def test_ppo_learns_from_rewards_at_that_scale(is_on: bool) -> None:
    learned = np.random.default_rng(2).normal(size=(8, 2)).astype(F32)
    venv = DummyVecEnv([lambda: Paid(np.zeros(50, F32))] * 2)
    config = prefrl.default_config(
        "prefrl/Dot-v0", ppo={"n_steps": 8, "n_epochs": 1, "batch_size": 16, "gamma": 0.9}
    ).ppo
    agent = make_ppo(
        venv, config, seed=0, device="cpu", normalize_reward=is_on, score_rollout=lambda n_steps: learned[:n_steps]
    )
    agent.learn(16)
    buffer = agent.rollout_buffer
    assert isinstance(buffer, LearnedRewardBuffer)
    starts = np.zeros((8, 2), F32)
    starts[[0, 5]] = 1
    wanted = ReturnScale(2, 0.9).scaled(learned, starts) if is_on else learned
    assert np.array_equal(buffer.rewards, wanted)
