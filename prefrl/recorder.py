"""The recorder stands between the world and PPO: it writes what happens into the pool and lets no score pass.

Order of wrappers, lowest first: world, Guard, Recorder, observation normalisation. The pool therefore holds the world's
own observations, and PPO gets a reward of 0 for every step until the ensemble has scored the rollout.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn

from prefrl.errors import UserError
from prefrl.guard import Guard
from prefrl.pool import Layout, Pool
from prefrl.world import World


class Recorder(VecEnvWrapper):
    """Writes every step into the pool and hands PPO a reward of 0.

    Args:
        world: The world, for its facts.
        guard: Its guarded `VecEnv`.
        memory_mib: Memory for the pool.
    """

    def __init__(self, world: World, guard: Guard, memory_mib: int) -> None:
        super().__init__(guard)
        self._memory_mib = memory_mib
        self._n_stack = world.n_stack
        self._is_endless = world.horizon is None
        """Whether what begins after an end that the learner is not shown still belongs to the same stretch."""
        self._zeros = np.zeros(self.num_envs, np.float32)
        self._episodes = np.zeros(self.num_envs, np.int64)
        self._episode_steps = np.zeros(self.num_envs, np.int64)
        self._pool: Pool | None = None
        self._obs: NDArray[Any] = np.empty(0)
        self._views: NDArray[Any] | None = None
        self._actions: NDArray[Any] = np.empty(0)

    @property
    def has_pool(self) -> bool:
        """Whether the environments have been reset, so that there is a pool."""
        return self._pool is not None

    @property
    def pool(self) -> Pool:
        """Where the behaviour goes; there from the first reset on, which shows the shape of views."""
        if self._pool is None:
            raise RuntimeError("expected reset() before the pool is used")
        return self._pool

    def reset(self) -> VecEnvObs:
        """Reset every environment; a new episode begins in each."""
        obs = np.asarray(self.venv.reset())
        self._views = self._views_of(self.unwrapped.reset_infos)
        if self._pool is None:
            self._pool = self._make_pool()
        else:
            self._episodes += 1
        self._episode_steps[:] = 0
        self._obs = obs.copy()
        return obs

    def step_async(self, actions: NDArray[Any]) -> None:
        """Pass the actions on, remembering them."""
        self._actions = np.array(actions)
        super().step_async(actions)

    def step_wait(self) -> VecEnvStepReturn:
        """Record the step; reward 0 and no word of the score go on."""
        obs, env_rewards, dones, infos = self.venv.step_wait()
        assert isinstance(obs, np.ndarray)
        if "restarted" in infos[0]:  # what came of this step is lost: it stands alone, and no clip holds it
            self._episodes += 1
            self._episode_steps[:] = 0
        self.pool.add(self._obs, self._actions, env_rewards, self._views, self._episodes, self._episode_steps)
        self._episode_steps += 1
        for env, info in enumerate(infos):
            is_over = info.pop("episode", None) is not None and not self._is_endless
            if is_over or dones[env]:
                self._episodes[env] += 1
                self._episode_steps[env] = 0
        # Where the observation is a new episode's first, its view stands in the info of the reset.
        resets = self.unwrapped.reset_infos
        self._views = self._views_of([resets[e] if dones[e] else info for e, info in enumerate(infos)])
        self._obs = obs.copy()
        return obs, self._zeros.copy(), dones, [_without_score(info) for info in infos]

    def state(self, clip_steps: int, recent_steps: int) -> dict[str, Any]:
        """What it takes to go on recording, and to cut the same clips of the `recent_steps` newest, as plain data."""
        return {
            "episodes": self._episodes,
            "episode_steps": self._episode_steps,
            "obs": self._obs,
            "views": self._views,
            "pool": self.pool.state(self.pool.needed_from(clip_steps, recent_steps)),
        }

    def put_state(self, state: dict[str, Any]) -> None:
        """Take over what `state` gave in another process, after a first reset, which made the pool."""
        self._episodes, self._episode_steps = state["episodes"], state["episode_steps"]
        self._obs, self._views = state["obs"], state["views"]
        self.pool.put_state(state["pool"])

    def _views_of(self, infos: Sequence[dict[str, Any]]) -> NDArray[Any] | None:
        """What the world says of how its states are drawn, (N, *V); None where it says nothing."""
        if "view" not in infos[0]:
            return None
        return np.stack([np.asarray(info["view"]) for info in infos])

    def _make_pool(self) -> Pool:
        obs_space, action_space = self.observation_space, self.action_space
        assert isinstance(obs_space, spaces.Box)
        views = self._views
        layout = Layout(
            obs_shape=obs_space.shape,
            obs_dtype=obs_space.dtype,
            action_shape=() if isinstance(action_space, spaces.Discrete) else action_space.shape or (),
            action_dtype=action_space.dtype or np.int64,
            view_shape=None if views is None else views.shape[1:],
            view_dtype=np.uint8 if views is None else views.dtype,
            n_stack=self._n_stack,
        )
        capacity = self._memory_mib * 2**20 // (layout.step_bytes * self.num_envs)
        if capacity < 1:
            raise UserError(
                f"expected clip memory for at least one step of every environment, got {self._memory_mib} MiB where "
                f"a step takes {layout.step_bytes * self.num_envs} bytes; raise --clip-memory"
            )
        return Pool(layout, self.num_envs, capacity)


def _without_score(info: dict[str, Any]) -> dict[str, Any]:
    """Only what PPO needs to bootstrap at a time limit; a world's own info may tell of reward in many ways."""
    return {k: info[k] for k in ("terminal_observation", "TimeLimit.truncated") if k in info}
