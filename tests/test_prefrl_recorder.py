"""What passes the recorder: observations and time limits; no reward and no word of one."""

from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn

from prefrl.errors import UserError, WorldFault
from prefrl.guard import EpisodeEnd, Guard
from prefrl.pool import Cuts
from prefrl.recorder import Recorder


class Counting(gym.Env[NDArray[np.float32], np.int64]):
    """Observation: steps since the beginning of time; reward: the same; episodes of 5 steps, cut by time."""

    observation_space = spaces.Box(-np.inf, np.inf, (1,), np.float32)
    action_space = spaces.Discrete(3)

    def __init__(self, offset: int = 0, bad_at: int | None = None) -> None:
        self.t, self.k, self.offset, self.bad_at = -1, 0, offset, bad_at

    def _obs(self) -> NDArray[np.float32]:
        value = np.nan if self.t == self.bad_at else self.t + self.offset
        return np.array([value], np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        self.t, self.k = self.t + 1, 0
        return self._obs(), {"view": np.array([self.t * 10])}

    def step(self, action: np.int64) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        reward = float(self.t)
        self.t, self.k = self.t + 1, self.k + 1
        info = {"view": np.array([self.t * 10]), "score": reward, "lives": 3}
        return self._obs(), reward, False, self.k == 5, info


class FakeWorld:
    """The facts of a counting world."""

    env_id = "Counting-v0"
    frame_rate = 10.0
    horizon: int | None = 5
    n_stack = 1
    drawer = None

    def __init__(self, venv: VecEnv) -> None:
        self.venv = venv

    def pack_view(self, views: NDArray[Any]) -> NDArray[Any]:
        return views


def monitored(offset: int, bad_at: int | None) -> gym.Env[Any, Any]:
    return Monitor(Counting(offset, bad_at))


def counting(n_envs: int = 2, bad_at: int | None = None) -> tuple[Recorder, Guard]:
    venv = DummyVecEnv([partial(monitored, 1000 * i, bad_at) for i in range(n_envs)])
    guard = Guard(venv, note_ends=True)
    return Recorder(FakeWorld(venv), guard, memory_mib=1), guard


def run(recorder: Recorder, n_steps: int) -> list[tuple[Any, ...]]:
    recorder.reset()
    return [recorder.step(np.array([t % 3] * recorder.num_envs)) for t in range(n_steps)]


def test_ppo_gets_no_reward_and_infos_hold_nothing_but_time_limits() -> None:
    recorder, _ = counting()
    for _, rewards, dones, infos in run(recorder, 12):
        assert rewards.tolist() == [0.0, 0.0]
        for done, info in zip(dones, infos, strict=True):
            assert set(info) == ({"terminal_observation", "TimeLimit.truncated"} if done else {"TimeLimit.truncated"})


def test_the_pool_holds_what_each_action_was_chosen_on_and_the_env_reward_of_that_step() -> None:
    recorder, _ = counting()
    run(recorder, 9)
    pool = recorder.pool
    cuts = Cuts(np.array([0, 1]), np.array([1, 5]))
    # Episode 0 shows 0..4 and ends seeing 5, after which the reset shows 6: that is the next step's observation.
    assert pool.obs(cuts, 4)[..., 0].tolist() == [[1, 2, 3, 4], [1006, 1007, 1008, 1009]]
    assert pool.env_rewards(cuts, 4).tolist() == [[1, 2, 3, 4], [6, 7, 8, 9]]
    assert pool.actions(cuts, 4).tolist() == [[1, 2, 0, 1], [2, 0, 1, 2]]
    views = pool.views(cuts, 4)
    assert views is not None
    assert views[..., 0].tolist() == [[10, 20, 30, 40], [60, 70, 80, 90]]


def test_no_clip_crosses_a_reset() -> None:
    recorder, _ = counting()
    run(recorder, 15)
    cuts = recorder.pool.sample(2000, 5, np.random.default_rng(0))
    assert set(cuts.starts.tolist()) == {0, 5, 10}


def test_an_explicit_reset_begins_a_new_episode_too() -> None:
    recorder, _ = counting()
    run(recorder, 3)
    run(recorder, 3)
    cuts = recorder.pool.sample(500, 3, np.random.default_rng(0))
    assert set(cuts.starts.tolist()) == {0, 3}


class Unshown(VecEnvWrapper):
    """Says of every third step that an episode ended with it, and shows the learner no end."""

    n_steps = 0

    def reset(self) -> VecEnvObs:
        return self.venv.reset()

    def step_wait(self) -> VecEnvStepReturn:
        obs, rewards, _, _ = self.venv.step_wait()
        self.n_steps += 1
        infos: list[dict[str, Any]] = [{"episode": {"r": 0.0, "l": 3}} if self.n_steps % 3 == 0 else {}]
        return obs, rewards, np.zeros(1, bool), infos


@pytest.mark.parametrize(("horizon", "starts"), [(100, {0, 3}), (None, {0, 1, 2, 3})])
def test_clips_stay_within_ends_that_are_not_shown_but_in_an_endless_world(
    horizon: int | None, starts: set[int]
) -> None:
    venv = Unshown(DummyVecEnv([Counting]))
    world = FakeWorld(venv)
    world.horizon = horizon
    recorder = Recorder(world, Guard(venv), memory_mib=1)
    recorder.reset()
    for _ in range(6):
        recorder.step(np.array([0]))
    cuts = recorder.pool.sample(500, 3, np.random.default_rng(0))
    assert set(cuts.starts.tolist()) == starts


def test_the_guard_notes_the_env_return_of_every_episode_that_ends() -> None:
    recorder, guard = counting()
    run(recorder, 11)
    ends = guard.take_ends()
    # Rewards of the episodes: 0+1+2+3+4, then 6+7+8+9+10; the same in both environments.
    assert ends == [
        EpisodeEnd(0, 4, 10.0),
        EpisodeEnd(1, 4, 10.0),
        EpisodeEnd(0, 9, 40.0),
        EpisodeEnd(1, 9, 40.0),
    ]
    assert guard.take_ends() == []


def test_the_guard_notes_that_an_episode_without_a_return_is_over() -> None:
    guard = Guard(DummyVecEnv([Counting]), note_ends=True)
    guard.reset()
    for _ in range(7):
        guard.step(np.array([0]))
    assert guard.take_ends() == [EpisodeEnd(0, 4, None)]


def test_ends_that_nobody_takes_do_not_pile_up() -> None:
    guard = Guard(DummyVecEnv([partial(monitored, 0, None)]))
    guard.reset()
    infos = [guard.step(np.array([0]))[3][0] for _ in range(11)]
    assert sum("episode" in info for info in infos) == 2
    assert guard.take_ends() == []


def test_a_nan_observation_stops_the_run_and_names_environment_and_step() -> None:
    recorder, _ = counting(n_envs=2, bad_at=3)
    with pytest.raises(WorldFault, match=r"finite observation, got nan from environment 0 at its step 2"):
        run(recorder, 10)


def test_too_little_memory_is_bad_input() -> None:
    recorder, _ = counting()
    recorder._memory_mib = 0
    with pytest.raises(UserError, match="raise --clip-memory"):
        recorder.reset()
