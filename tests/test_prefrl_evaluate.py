"""Evaluation: env returns of whole episodes, each as Gymnasium itself would give it."""

from dataclasses import replace
from pathlib import Path

import games  # noqa: F401  # registers its games
import gymnasium as gym
import numpy as np
import pytest
from numpy.typing import NDArray

import prefrl
from prefrl import configfile, worlds
from prefrl.evaluate import evaluate, random_act
from prefrl.evaluate_run import evaluate_run
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


def tiny_run(env_id: str, folder: Path, n_envs: int = 1) -> prefrl.Result:
    return prefrl.train(
        prefrl.default_config(
            env_id,
            run_dir=str(folder),
            reward="score",
            total_timesteps=64,
            device="cpu",
            progress=False,
            world={"n_envs": n_envs},
            ppo={"n_steps": 64 // n_envs, "batch_size": 64},
            eval={"episodes": 9},
        )
    )


@pytest.mark.slow
def test_a_game_is_evaluated_with_no_more_copies_than_it_was_trained_with(tmp_path: Path) -> None:
    assert tiny_run("AloneGame-v0", tmp_path / "alone").run.read_result()["env_return"] == 50.0
    two = tiny_run("CrowdGame-v0", tmp_path / "two", n_envs=2)
    assert (two.summary["env_return"], two.summary["random_return"]) == (100.0, 100.0)
    config = configfile.load(two.run.config)
    for n_envs, n_episodes, n_copies in ((1, 9, 1), (3, 9, 3), (16, 9, 8), (16, 4, 4)):
        config = replace(config, world=replace(config.world, n_envs=n_envs))
        found, chance = evaluate_run(two.run, config, with_random=True, n_episodes=n_episodes)
        assert (found["env_return"], chance) == (50.0 * n_copies, 50.0 * n_copies)


@pytest.mark.slow
def test_other_worlds_are_evaluated_with_as_many_copies_however_they_were_trained(tmp_path: Path) -> None:
    result = tiny_run("prefrl/Dot-v0", tmp_path / "run")
    config = configfile.load(result.run.config)
    again, chance = evaluate_run(result.run, replace(config, world=replace(config.world, n_envs=8)), with_random=True)
    assert (again["env_return"], chance) == (result.summary["env_return"], result.summary["random_return"])
