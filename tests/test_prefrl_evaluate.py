"""Evaluation: env returns of whole episodes, each as Gymnasium itself would give it."""

import games  # noqa: F401  # registers its games
import gymnasium as gym
import numpy as np
import pytest
from numpy.typing import NDArray

import prefrl
from prefrl import worlds
from prefrl.evaluate import evaluate, random_act
from prefrl.guard import Guard


def returns(env_id: str, n_envs: int, n_episodes: int, *, own_process: bool, seed: int = 5) -> NDArray[np.float64]:
    """Of the evaluation of random play."""
    config = prefrl.default_config(env_id, world={"own_process": own_process})
    world = worlds.make_world(config, n_envs=n_envs, seed=seed, views=False, whole_episodes=True)
    found = evaluate(Guard(world.venv), random_act(world.venv, 0), n_episodes, max_steps=27_000)
    world.venv.close()
    return found.returns


def by_gymnasium(env_id: str, n_envs: int, n_episodes: int, seed: int = 5) -> list[float]:
    """Returns of the first episodes of each copy, where what is done makes no difference."""
    found: list[float] = []
    for i in range(n_envs):
        env = gym.make(env_id)
        for episode in range((n_episodes + i) // n_envs):
            env.reset(seed=None if episode else seed + i)
            found.append(0.0)
            over = False
            while not over:
                _, reward, terminated, truncated, _ = env.step(0)
                found[-1] += float(reward)
                over = terminated or truncated
    return found


@pytest.mark.parametrize("own_process", [False, True])
@pytest.mark.parametrize(("n_envs", "n_episodes"), [(1, 10), (8, 20), (8, 400)])
def test_a_game_that_ends_by_itself_is_measured_as_gymnasium_plays_it(
    n_envs: int, n_episodes: int, own_process: bool
) -> None:
    found = returns("LivesGame-v0", n_envs, n_episodes, own_process=own_process)
    assert sorted(found) == sorted(by_gymnasium("LivesGame-v0", n_envs, n_episodes))
    if n_episodes == 400:  # lives of 1 to 80, cut at 60: a mean of 47.6 with a deviation of 18.1
        assert np.mean(found) == pytest.approx((sum(range(1, 61)) + 20 * 60) / 80, abs=3 * 18.1 / 20)
