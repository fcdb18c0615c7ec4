"""A `DummyVecEnv` that tells what is needed to draw the observations it returns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import DummyVecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn

__all__ = ["ViewedVecEnv"]


class ViewedVecEnv(DummyVecEnv):
    """Puts `info["view"]` of the returned observation into the infos of each step and reset.

    Where an episode ended, the returned observation is the first of the next one, and the view is
    of that one; it stands in `reset_infos` too. Views are read here and not in the environments,
    because `DummyVecEnv` copies what comes from them once more. `read_view` gets the bare
    environment, without its wrappers.
    """

    def __init__(
        self,
        env_fns: list[Callable[[], gym.Env[Any, Any]]],
        read_view: Callable[[gym.Env[Any, Any]], NDArray[Any]],
    ) -> None:
        super().__init__(env_fns)
        self._read_view = read_view
        self._bare = [env.unwrapped for env in self.envs]

    def reset(self) -> VecEnvObs:
        """Reset every environment; the views are in `reset_infos`."""
        obs = super().reset()
        for env, info in zip(self._bare, self.reset_infos, strict=True):
            info["view"] = self._read_view(env)
        return obs

    def step_wait(self) -> VecEnvStepReturn:
        """Finish the step begun by `step_async`."""
        obs, rewards, dones, infos = super().step_wait()
        for i, env in enumerate(self._bare):
            infos[i]["view"] = self._read_view(env)
            if dones[i]:
                self.reset_infos[i]["view"] = infos[i]["view"]
        return obs, rewards, dones, infos
