"""Robots: every Gymnasium MuJoCo v5 task, so made that nothing but observations reach the learner.

No episode ends early, since its length would then tell of a fall (Christiano et al. 2017, appendix
A). Hopper, Walker2d, Ant and Humanoid go on after a fall, and Gymnasium's v5 pays their survival
bonus only on steps on which they are healthy, so that the env reward, for teachers and evaluation,
still knows of it. The two pendulums, which Gymnasium always ends, go on as well, and pay the
penalties of the paper's own code (rl-teacher, envs.py) instead.

Drawing lives in `envs.robot_drawer`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box
from gymnasium.wrappers import TimeLimit
from numpy.typing import NDArray
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from envs import WorldError, nearest
from envs.physics import get_physics, put_physics, read_state
from envs.robot_drawer import RobotDrawer, choose_gl, gym_make
from envs.viewed import ViewedVecEnv

__all__ = ["ROBOTS", "RobotWorld", "make"]

ROBOTS = (
    "Ant-v5",
    "HalfCheetah-v5",
    "Hopper-v5",
    "Humanoid-v5",
    "HumanoidStandup-v5",
    "InvertedDoublePendulum-v5",
    "InvertedPendulum-v5",
    "Pusher-v5",
    "Reacher-v5",
    "Swimmer-v5",
    "Walker2d-v5",
)
CAN_FALL = frozenset({"Ant-v5", "Hopper-v5", "Humanoid-v5", "Walker2d-v5"})

NOT_SETTABLE = {
    "terminate_when_unhealthy": "an early end would tell the learner that the robot fell",
    "render_mode": "clips are drawn from stored states",
}


@dataclass(frozen=True, slots=True)
class RobotWorld:
    """Copies of one robot task, ready for a learner."""

    env_id: str
    venv: VecEnv
    """float32 observations (n_envs, obs_dim); done only at the time limit."""
    frame_rate: float
    """1 / dt: control steps per second of simulated time."""
    horizon: int
    drawer: RobotDrawer | None
    """None without views."""
    n_stack: int = 1

    def pack_view(self, views: NDArray[Any]) -> NDArray[Any]:
        """Return the physics states (T, state_size) as they are: each draws its own frame."""
        return views


def make(
    env_id: str,
    *,
    n_envs: int,
    seed: int,
    views: bool,
    env_kwargs: Mapping[str, Any] | None = None,
) -> RobotWorld:
    """Make `n_envs` copies of a robot task; copy i starts from `seed + i`.

    With `views`, `info["view"]` is the full physics state (float64) the returned observation was
    made from. `env_kwargs` go to `gymnasium.make`, `max_episode_steps` (the horizon) among them.

    Raises:
        WorldError: for an unknown task, an option it does not have, or MuJoCo not installed.
    """
    kwargs = dict(env_kwargs or {})
    if env_id not in ROBOTS:
        raise WorldError(f"no robot task is called {env_id!r}{nearest(env_id, ROBOTS)}")
    if n_envs < 1:
        raise WorldError(f"n_envs must be at least 1, got {n_envs}")
    for name, reason in NOT_SETTABLE.items():
        if name in kwargs:
            raise WorldError(f"env_kwargs.{name} cannot be set for {env_id}: {reason}")
    choose_gl()
    env_fns = [lambda: _make_one(env_id, kwargs)] * n_envs
    venv = ViewedVecEnv(env_fns, read_state) if views else DummyVecEnv(env_fns)
    venv.seed(seed)
    first = venv.envs[0]
    horizon = first.spec.max_episode_steps if first.spec is not None else None
    if horizon is None or horizon < 1:
        raise WorldError(f"{env_id} needs max_episode_steps of at least 1, got {horizon}")
    step_seconds = float(first.get_wrapper_attr("dt"))
    if not step_seconds > 0:
        raise WorldError(f"{env_id} needs frame_skip of at least 1, got {kwargs.get('frame_skip')!r}")
    return RobotWorld(
        env_id=env_id,
        venv=venv,
        frame_rate=1.0 / step_seconds,
        horizon=horizon,
        drawer=RobotDrawer(env_id, kwargs) if views else None,
    )


def _make_one(env_id: str, kwargs: dict[str, Any]) -> gym.Env[Any, Any]:
    ending = {"terminate_when_unhealthy": False} if env_id in CAN_FALL else {}
    try:
        env = gym_make(env_id, {**ending, **kwargs})
    except (ImportError, gym.error.DependencyNotInstalled) as error:
        raise WorldError('MuJoCo is not installed: pip install "prefrl[mujoco]"') from error
    except TypeError as error:
        cause = str(error).split(" was raised from")[0]
        raise WorldError(f"{env_id} does not take these env_kwargs: {cause}") from error
    return Monitor(NoEarlyEnd(env, env_id))


class NoEarlyEnd(gym.Wrapper[Any, Any, Any, Any]):
    """One robot whose episodes all last to the time limit, seen in float32."""

    def __init__(self, env: gym.Env[Any, Any], env_id: str) -> None:
        super().__init__(env)
        assert isinstance(env.observation_space, Box)
        self.observation_space = Box(-np.inf, np.inf, env.observation_space.shape, np.float32)
        self._data: Any = env.get_wrapper_attr("data")
        self._penalty = PENALTIES.get(env_id)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start an episode."""
        obs, _ = self.env.reset(seed=seed, options=options)
        return obs.astype(np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Step; the task's own info is dropped, since it is made of terms of the env reward.

        Raises:
            RuntimeError: if the task ends before its time limit.
        """
        obs, reward, terminated, truncated, info = self.env.step(action)
        if self._penalty is not None:
            reward = self._penalty(float(reward), info, self._data)
        elif terminated:
            raise RuntimeError("the robot's episode ended before its time limit")
        return obs.astype(np.float32), float(reward), False, truncated, {}

    def get_state(self) -> dict[str, Any]:
        """What this robot goes on from, all layers below included, but for its generator: plain arrays and a number."""
        return {"physics": get_physics(self.unwrapped), "elapsed_steps": self._limit()._elapsed_steps}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on, after a reset, from what `get_state` gave."""
        put_physics(self.unwrapped, state["physics"])
        self._limit()._elapsed_steps = state["elapsed_steps"]

    def _limit(self) -> Any:
        layer: Any = self.env
        while not isinstance(layer, TimeLimit):
            layer = layer.env
        return layer


def _pendulum_reward(reward: float, info: dict[str, Any], data: Any) -> float:
    """-theta^2; v5's own reward is nothing but survival."""
    return -(float(data.qpos[1]) ** 2)


def _double_pendulum_reward(reward: float, info: dict[str, Any], data: Any) -> float:
    """10 (z - 1) of the tip in place of the survival bonus; the other terms stay."""
    return reward - float(info["reward_survive"]) + 10.0 * (float(data.site_xpos[0][2]) - 1.0)


PENALTIES: dict[str, Callable[[float, dict[str, Any], Any], float]] = {
    "InvertedPendulum-v5": _pendulum_reward,
    "InvertedDoublePendulum-v5": _double_pendulum_reward,
}
"""The env reward where an early end is taken away: rl-teacher, envs.py."""
