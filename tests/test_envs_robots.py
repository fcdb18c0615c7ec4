"""Robots: never ended early, float32, views that draw exactly the states they are of."""

from __future__ import annotations

import pickle
import subprocess
import sys
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from numpy.typing import NDArray

from envs import WorldError, robots
from envs.robot_drawer import RobotDrawer, _floor_without_end
from prefrl.world import World

pytest.importorskip("mujoco")


def act(world: World, rng: np.random.Generator) -> NDArray[np.float32]:
    shape = (world.venv.num_envs, *(world.venv.action_space.shape or ()))
    return rng.uniform(-1.0, 1.0, shape).astype(np.float32)


def physics(world: World, i: int = 0) -> Any:
    return world.venv.get_attr("unwrapped", i)[0]


def test_it_is_a_world_with_its_facts() -> None:
    world: World = robots.make("Hopper-v5", n_envs=1, seed=0, views=True)
    assert (world.frame_rate, world.horizon, world.n_stack) == (125.0, 1000, 1)
    assert world.venv.observation_space.dtype == np.float32
    obs = world.venv.reset()
    assert isinstance(obs, np.ndarray)
    assert obs.dtype == np.float32


@pytest.mark.parametrize("env_id", robots.ROBOTS)
def test_no_task_ends_before_its_time_limit(env_id: str) -> None:
    world = robots.make(env_id, n_envs=1, seed=1, views=False, env_kwargs={"max_episode_steps": 60})
    world.venv.reset()
    rng = np.random.default_rng(0)
    total = 0.0
    for t in range(60):
        _, rewards, dones, infos = world.venv.step(act(world, rng))
        total += float(rewards[0])
        assert dones[0] == (t == 59)
    assert infos[0]["TimeLimit.truncated"]
    assert infos[0]["terminal_observation"].dtype == np.float32
    assert infos[0]["episode"]["l"] == 60
    assert infos[0]["episode"]["r"] == pytest.approx(total, rel=1e-4, abs=1e-4)
    assert set(infos[0]) == {"TimeLimit.truncated", "terminal_observation", "episode"}


@pytest.mark.parametrize(
    ("env_id", "bonus"),
    [("Hopper-v5", 1.0), ("Walker2d-v5", 1.0), ("Ant-v5", 1.0), ("Humanoid-v5", 5.0)],
)
def test_a_fallen_robot_gets_no_survival_bonus(env_id: str, bonus: float) -> None:
    env = robots._make_one(env_id, {})
    env.reset(seed=0)
    bare: Any = env.unwrapped
    assert bare.healthy_reward == bonus
    qpos = bare.data.qpos.copy()
    qpos[2 if env_id in ("Ant-v5", "Humanoid-v5") else 1] -= 1.2
    bare.set_state(qpos, bare.data.qvel)
    assert bare.healthy_reward == 0.0
    _, _, terminated, truncated, _ = env.step(np.zeros(env.action_space.shape or ()))
    assert not terminated
    assert not truncated


def test_pendulums_pay_for_their_angle_in_place_of_an_end() -> None:
    world = robots.make("InvertedPendulum-v5", n_envs=1, seed=0, views=False)
    world.venv.reset()
    for _ in range(50):
        obs, rewards, dones, _ = world.venv.step(np.array([[3.0]], np.float32))
        assert rewards[0] == pytest.approx(-(float(physics(world).data.qpos[1]) ** 2), rel=1e-6)
    assert isinstance(obs, np.ndarray)
    assert abs(obs[0, 1]) > 0.2  # where Gymnasium would have ended it
    assert not dones[0]


def test_double_pendulums_pay_for_their_height() -> None:
    world = robots.make("InvertedDoublePendulum-v5", n_envs=1, seed=0, views=False)
    world.venv.reset()
    for _ in range(50):
        _, rewards, _, _ = world.venv.step(np.array([[1.0]], np.float32))
        data = physics(world).data
        x, _, z = data.site_xpos[0]
        cost = 0.01 * x**2 + (z - 2.0) ** 2 + 1e-3 * data.qvel[1] ** 2 + 5e-3 * data.qvel[2] ** 2
        assert rewards[0] == pytest.approx(10.0 * (z - 1.0) - cost, rel=1e-5)
    assert z < 1.0  # where Gymnasium would have ended it


def test_an_end_that_comes_all_the_same_is_a_fault() -> None:
    env = robots.NoEarlyEnd(gym.make("Hopper-v5"), "Hopper-v5")  # with its own way of ending
    env.reset(seed=0)

    def fall() -> None:
        for _ in range(200):
            env.step(np.ones(3))

    with pytest.raises(RuntimeError, match="ended before its time limit"):
        fall()


def test_the_view_is_the_state_of_the_returned_observation() -> None:
    world = robots.make("HalfCheetah-v5", n_envs=2, seed=0, views=True, env_kwargs={"max_episode_steps": 4})
    obs = world.venv.reset()
    rng = np.random.default_rng(0)
    views = [info["view"] for info in world.venv.reset_infos]
    for t in range(9):
        assert isinstance(obs, np.ndarray)
        for i in range(2):
            assert views[i].dtype == np.float64
            np.testing.assert_array_equal(views[i][2:10].astype(np.float32), obs[i, :8])  # qpos
            np.testing.assert_array_equal(views[i][10:].astype(np.float32), obs[i, 8:])  # qvel
            assert views[i][0] == pytest.approx(0.05 * (t % 4))  # time on the robot's own clock
            with pytest.raises(ValueError, match="read-only"):
                views[i][0] = 1.0
        obs, _, dones, infos = world.venv.step(act(world, rng))
        views = [info["view"] for info in infos]
        for i in np.flatnonzero(dones).tolist():
            np.testing.assert_array_equal(world.venv.reset_infos[i]["view"], views[i])


def test_drawing_a_state_shows_what_an_environment_there_shows() -> None:
    import mujoco

    world = robots.make("HalfCheetah-v5", n_envs=1, seed=5, views=True)
    world.venv.reset()
    rng = np.random.default_rng(0)
    views = [world.venv.step(act(world, rng))[3][0]["view"] for _ in range(30)]
    assert world.drawer is not None
    drawn = world.drawer.draw(np.zeros((30, 17)), np.stack(views))
    assert drawn.shape == (30, 240, 320, 3)
    assert drawn.dtype == np.uint8
    assert drawn[-1].std() > 20.0  # a picture, no blank

    bare = physics(world)  # stands at the last state
    np.testing.assert_array_equal(views[-1][1:10], bare.data.qpos)
    np.testing.assert_array_equal(views[-1][10:19], bare.data.qvel)
    bare.model.vis.quality.shadowsize = bare.model.vis.quality.offsamples = 0
    _floor_without_end(bare.model, mujoco.mjtGeom.mjGEOM_PLANE)
    mujoco.mj_forward(bare.model, bare.data)
    with mujoco.Renderer(bare.model, 240, 320) as renderer:
        for flag in (mujoco.mjtRndFlag.mjRND_SHADOW, mujoco.mjtRndFlag.mjRND_REFLECTION):
            renderer.scene.flags[flag] = 0
        renderer.update_scene(bare.data, "track")
        there = renderer.render()
        # Levels of grey may differ by one where the endless floor's squares meet; nothing else may.
        difference = np.abs(drawn[-1].astype(int) - there.astype(int))
        assert difference.max() <= 1
        assert (difference > 0).mean() < 0.001
    again = world.drawer.draw(np.zeros((1, 17)), np.stack(views[7:8]))
    assert np.abs(again[0].astype(int) - drawn[7].astype(int)).max() <= 1
    assert (drawn[7] != drawn[8]).any()
    far = views[-1].copy()
    far[1] += 128.0  # a whole number of the floor's squares, 100 m past where its own edge is
    beyond = world.drawer.draw(np.zeros((1, 17)), far[None])[0]
    assert np.abs(beyond.astype(int) - drawn[-1].astype(int)).mean() < 2.0  # the floor goes on


def test_a_drawer_can_be_pickled_and_draws_the_same() -> None:
    world = robots.make("Reacher-v5", n_envs=1, seed=0, views=True)
    world.venv.reset()
    view = world.venv.reset_infos[0]["view"][None]
    assert world.drawer is not None
    copy: RobotDrawer = pickle.loads(pickle.dumps(world.drawer))  # noqa: S301 - our own object
    np.testing.assert_array_equal(copy.draw(view, view), world.drawer.draw(view, view))
    with pytest.raises(WorldError, match=r"expected states \(T, 9\) of Reacher-v5, got \(1, 5\)"):
        copy.draw(view, view[:, :5])
    with pytest.raises(WorldError, match="has none"):
        copy.draw(view, None)


@pytest.mark.slow
@pytest.mark.parametrize("env_id", robots.ROBOTS)
def test_every_robot_can_be_seen(env_id: str) -> None:
    world = robots.make(env_id, n_envs=1, seed=0, views=True)
    world.venv.reset()
    rng = np.random.default_rng(0)
    views = [world.venv.step(act(world, rng))[3][0]["view"] for _ in range(10)]
    assert world.drawer is not None
    drawn = world.drawer.draw(np.zeros((10, 1)), np.stack(views))
    assert (drawn[0] != drawn[9]).mean() > 0.0005


def test_same_seed_same_bits() -> None:
    def returned(seed: int) -> NDArray[Any]:
        world = robots.make("Ant-v5", n_envs=2, seed=seed, views=True)
        rng = np.random.default_rng(0)
        rows = [np.asarray(world.venv.reset()).ravel()]
        for _ in range(20):
            obs, rewards, _, infos = world.venv.step(act(world, rng))
            rows.append(np.concatenate([np.ravel(obs), rewards, infos[1]["view"]]))  # type: ignore[arg-type]  # one array
        return np.concatenate(rows)

    np.testing.assert_array_equal(returned(4), returned(4))
    assert (returned(4) != returned(5)).any()


@pytest.mark.parametrize(
    ("env_id", "env_kwargs", "message"),
    [
        (
            "HalfCheeta-v5",
            {},
            "no robot task is called 'HalfCheeta-v5'; did you mean HalfCheetah-v5",
        ),
        ("Walker2d-v4", {}, "did you mean Walker2d-v5"),
        ("Ant-v5", {"ctrl_cost": 0.0}, "unexpected keyword argument 'ctrl_cost'"),
        ("Ant-v5", {"terminate_when_unhealthy": True}, "cannot be set for Ant-v5"),
        ("Ant-v5", {"max_episode_steps": -1}, "max_episode_steps of at least 1"),
        ("HalfCheetah-v5", {"frame_skip": -1}, "frame_skip of at least 1, got -1"),
    ],
)
def test_bad_input_is_one_clear_line(env_id: str, env_kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(WorldError, match=message) as error:
        robots.make(env_id, n_envs=1, seed=0, views=False, env_kwargs=env_kwargs)
    assert "\n" not in str(error.value)


def test_options_reach_the_task() -> None:
    kwargs = {"ctrl_cost_weight": 0.25}
    world = robots.make("HalfCheetah-v5", n_envs=1, seed=0, views=False, env_kwargs=kwargs)
    assert physics(world)._ctrl_cost_weight == 0.25


def test_importing_envs_imports_no_engine_and_a_machine_without_opengl_says_what_to_do() -> None:
    program = """
import sys, envs
assert not {"mujoco", "ale_py", "cv2", "torch"} & set(sys.modules), sys.modules.keys()
import numpy as np
from envs.robot_drawer import RobotDrawer
try:
    RobotDrawer("Reacher-v5").draw(np.zeros((1, 10)), np.zeros((1, 9)))
except envs.WorldError as error:
    print(error)
"""
    environment = {"MUJOCO_GL": "off", "PATH": ""}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=True)
    assert "cannot draw robots" in done.stdout
    assert "apt install libegl1" in done.stdout
    assert done.stdout.count("\n") == 1
