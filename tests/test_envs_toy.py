"""The dot: its dynamics, its fixed horizon, its pictures."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from envs import WorldError, toy
from prefrl.world import World


def run(world: World, n_steps: int, seed: int = 0) -> list[tuple[Any, ...]]:
    """Steps with random actions: the observation before, then what `step` returned."""
    rng = np.random.default_rng(seed)
    obs = world.venv.reset()
    steps = []
    for _ in range(n_steps):
        result = world.venv.step(rng.integers(0, 5, world.venv.num_envs))
        steps.append((obs, *result))
        obs = result[0]
    return steps


def test_it_is_a_world_with_its_facts() -> None:
    world: World = toy.make(n_envs=2, seed=0, views=True)
    assert (world.env_id, world.frame_rate, world.horizon, world.n_stack) == (
        "prefrl/Dot-v0",
        10.0,
        50,
        1,
    )
    assert world.venv.observation_space.shape == (6,)
    assert world.pack_view(np.ones((3, 6))).shape == (3, 6)


def test_pushing_right_moves_the_dot_by_the_stated_dynamics() -> None:
    world = toy.make(n_envs=1, seed=3, views=True)
    first = world.venv.reset()
    assert isinstance(first, np.ndarray)
    obs, rewards, _, _ = world.venv.step(np.array([2]))
    assert isinstance(obs, np.ndarray)
    np.testing.assert_allclose(obs[0, 0], first[0, 0] + toy.PUSH, rtol=1e-6)
    np.testing.assert_allclose(obs[0, 2:4], [toy.PUSH, 0.0], rtol=1e-6)
    distance = np.linalg.norm(obs[0, 4:])
    np.testing.assert_allclose(rewards[0], 1.0 - distance / (2.0 * np.sqrt(2.0)), rtol=1e-6)
    obs, _, _, _ = world.venv.step(np.array([0]))
    assert isinstance(obs, np.ndarray)
    np.testing.assert_allclose(obs[0, 2], 0.7 * toy.PUSH, rtol=1e-6)


def test_walls_stop_the_dot() -> None:
    world = toy.make(n_envs=1, seed=0, views=False, env_kwargs={"action": "continuous"})
    world.venv.reset()
    for _ in range(40):
        obs, _, _, _ = world.venv.step(np.array([[1.0, -1.0]], np.float32))
    assert isinstance(obs, np.ndarray)
    assert obs[0, :4].tolist() == [1.0, -1.0, 0.0, 0.0]


def test_episodes_end_at_the_horizon_only_and_the_view_is_of_the_returned_observation() -> None:
    world = toy.make(n_envs=2, seed=0, views=True, env_kwargs={"max_episode_steps": 5})
    env_return = np.zeros(2)
    for t, (_, obs, rewards, dones, infos) in enumerate(run(world, 12)):
        env_return += rewards
        at_limit = t % 5 == 4
        assert dones.tolist() == [at_limit] * 2
        for i in range(2):
            view = infos[i]["view"]
            np.testing.assert_array_equal(view[:4], obs[i, :4])
            np.testing.assert_allclose(view[4:] - view[:2], obs[i, 4:], rtol=1e-6)
            assert ("episode" in infos[i]) == at_limit
            if at_limit:
                assert infos[i]["TimeLimit.truncated"]
                assert infos[i]["terminal_observation"].shape == (6,)
                assert infos[i]["episode"]["l"] == 5
                assert infos[i]["episode"]["r"] == pytest.approx(env_return[i], abs=1e-5)
        if at_limit:
            env_return[:] = 0.0


def test_same_seed_same_bits_and_other_seed_other_bits() -> None:
    def observations(seed: int) -> NDArray[Any]:
        world = toy.make(n_envs=3, seed=seed, views=False)
        return np.stack([step[1] for step in run(world, 60)])

    np.testing.assert_array_equal(observations(1), observations(1))
    assert (observations(1) != observations(2)).any()


def test_the_drawer_shows_dot_and_ring_where_they_are_also_after_pickling() -> None:
    drawer = pickle.loads(pickle.dumps(toy.DotDrawer()))  # noqa: S301 - our own object
    state = np.array([[-0.5, 0.5, 0.0, 0.0, 0.5, -0.5]], np.float32)
    frame = drawer.draw(state, state)[0]
    assert frame.shape == (64, 64, 3)
    row, column = 17, 17  # x = y = -/+0.5 of a picture that spans -1.1 to 1.1, y pointing up
    assert frame[row, column].tolist() == [240, 245, 250]
    assert frame[46, 46].tolist() == [34, 40, 52]  # the ring is hollow
    assert frame[46, 46 + 5].tolist() == [255, 150, 50]


def test_gymnasium_can_render_it() -> None:
    import gymnasium as gym

    toy.make(n_envs=1, seed=0, views=False)
    env = gym.make(toy.ENV_ID, render_mode="rgb_array")
    env.reset(seed=0)
    frame = env.render()
    assert isinstance(frame, np.ndarray)
    assert frame.shape == (64, 64, 3)
    assert frame.dtype == np.uint8


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"env_id": "prefrl/Spot-v0"}, "the only toy world is prefrl/Dot-v0"),
        ({"env_kwargs": {"colour": 1}}, "got 'colour'"),
        ({"env_kwargs": {"max_episode_steps": 0}}, "at least 1, got 1 and 0"),
        ({"env_kwargs": {"max_episode_steps": "abc"}}, "max_episode_steps must be a whole number, got 'abc'"),
        ({"env_kwargs": {"max_episode_steps": 2.5}}, "max_episode_steps must be a whole number, got 2.5"),
        ({"env_kwargs": {"action": "both"}}, "action must be 'discrete' or 'continuous'"),
    ],
)
def test_bad_input_is_one_clear_line(kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(WorldError, match=message) as error:
        toy.make(**{"n_envs": 1, "seed": 0, "views": True, **kwargs})
    assert "\n" not in str(error.value)


def test_without_views_there_is_nothing_to_draw() -> None:
    world = toy.make(n_envs=1, seed=0, views=False)
    assert world.drawer is None
    assert all("view" not in step[4][0] for step in run(world, 3))
    with pytest.raises(WorldError, match="has none"):
        toy.DotDrawer().draw(np.zeros((2, 6)), None)
