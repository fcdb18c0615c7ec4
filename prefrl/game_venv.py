"""A game of one's own in a process of its own, so that one that crashes, exits or hangs ends no training.

All copies of the game share one process: starting it costs a fork, and a step one message there and one back. Where it
is lost, it is started again, a few times; every copy then begins a new episode, and the step that was lost is the last
of the old one, as at a time limit.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvStepReturn

from prefrl.custom import CustomWorld
from prefrl.errors import WorldFault
from prefrl.frames import FrameDrawer
from prefrl.game_process import START_TIMES, GameLost, GameProcess
from prefrl.game_worker import DONE, NOT_PLAIN, PUT, RESET, STEP, TAKE
from prefrl.plain import NotPlain, from_bytes, to_bytes

_SEED_STEP = 100_003
"""Between the seeds of one process and of the next: prime, and more than there are copies."""


def make(
    make_world: Callable[[], CustomWorld], env_id: str, *, seed: int, step_seconds: float, restarts: int
) -> CustomWorld:
    """The world that `make_world` makes, in a process of its own.

    Args:
        make_world: Called there; whatever it imports is imported there alone.
        env_id: For messages.
        seed: That it was made with.
        step_seconds: A step of all copies that takes longer is taken to hang.
        restarts: How often the process is started again before a loss is final.

    Raises:
        UserError: As `make_world` does.
        WorldFault: The game could not be made.
    """
    venv = GameVecEnv(make_world, env_id, seed, step_seconds, restarts)
    facts = venv.facts
    source = facts["drawn_from"]
    drawer = FrameDrawer(source) if source is not None else None
    return CustomWorld(env_id, venv, facts["frame_rate"], facts["horizon"], drawer)


class GameVecEnv(VecEnv):
    """The copies of a game, in a process of their own, as Stable-Baselines3 knows them.

    A step in which the process was lost returns the first observations of new episodes; `info["restarted"]` is then the
    seed that each began with.
    """

    render_mode: str | None = None

    def __init__(
        self, make_world: Callable[[], CustomWorld], env_id: str, seed: int, step_seconds: float, restarts: int
    ) -> None:
        self._env_id = env_id
        self._restarts = restarts
        self._n_lost = 0
        self._n_steps = 0
        self._frames: NDArray[np.uint8] | None = None
        self._process = GameProcess(make_world, step_seconds)
        try:
            self.facts = self._process.start()
        except GameLost as e:
            self._process.close_files()
            raise WorldFault(f"{env_id} {e} while it was made; prefrl check-env {env_id} says more") from e
        except BaseException:
            self._process.close_files()
            raise
        for text in self.facts["warnings"]:
            warnings.warn(text, UserWarning, stacklevel=4)
        obs, action = self.facts["obs"], self.facts["action"]
        super().__init__(self.facts["n_envs"], _obs_space(obs), _action_space(action))
        size = int(np.prod(action.get("shape", ())))
        self._memory = self._process.share(self.num_envs, tuple(obs["shape"]), obs["dtype"], size)
        self._base_seed = seed
        self._actions: NDArray[Any] = np.zeros(0)
        self._obs: NDArray[Any] = np.zeros(0)
        self._seeds = [seed + i for i in range(self.num_envs)]

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Seed the next reset; copy i with `seed + i`."""
        seeds = super().seed(seed)
        self._base_seed = int(seeds[0] or 0)
        return seeds

    def reset(self) -> NDArray[Any]:
        """Reset every copy."""
        try:
            return self._reset(self._seeds[0])
        except GameLost as e:
            return self._begin_anew(e)

    def step_async(self, actions: NDArray[Any]) -> None:
        """Have every copy take its action."""
        self._actions = np.array(actions)
        raw = np.frombuffer(self._actions.tobytes(), np.uint8)
        self._memory.actions[: len(raw)] = raw
        self._n_steps += 1
        self._process.send(STEP + self._actions.dtype.str.encode())

    def step_wait(self) -> VecEnvStepReturn:
        """What came of it."""
        before = self._obs
        try:
            self._process.answer()
        except GameLost as e:
            obs = self._begin_anew(e)
            infos: list[dict[str, Any]] = [
                {"restarted": self._base_seed + i, "TimeLimit.truncated": True, "terminal_observation": before[i]}
                for i in range(self.num_envs)
            ]
            for info, reset_info in zip(infos, self.reset_infos, strict=True):
                info.update(reset_info)
            return obs, np.zeros(self.num_envs, np.float32), np.ones(self.num_envs, bool), infos
        memory = self._memory
        self._obs = memory.obs.copy()
        return self._obs.copy(), memory.rewards.copy(), memory.dones.copy(), self._infos()

    def get_state(self, n_recent: int) -> dict[str, Any]:
        """The state of all copies, plain data; see `prefrl.env_state`.

        Raises:
            NotPlain: A copy holds something that would not come back.
            WorldFault: The game was lost over it.
        """
        self._process.send(TAKE)
        answer = self._must_answer()
        if answer.startswith(NOT_PLAIN):
            raise NotPlain(answer.removeprefix(NOT_PLAIN).decode())
        return {
            "games": from_bytes(answer.removeprefix(DONE)),
            "obs": self._obs,
            "base_seed": self._base_seed,
            "n_steps": self._n_steps,
        }

    def put_state(self, state: dict[str, Any]) -> None:
        """Go on, after a reset, from what `get_state` gave.

        Raises:
            WorldFault: The game was lost over it.
        """
        self._process.send(PUT + to_bytes(state["games"]))
        self._must_answer()
        self._obs, self._base_seed, self._n_steps = state["obs"], state["base_seed"], state["n_steps"]

    def close(self) -> None:
        """Close every copy, and end the process."""
        self._process.close()

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """An attribute of this vector environment, once per index."""
        return [getattr(self, attr_name) for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Not possible: the copies are in another process.

        Raises:
            AttributeError: always.
        """
        raise AttributeError(f"{attr_name} cannot be set on a game in a process of its own")

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **method_kwargs: Any
    ) -> list[Any]:
        """Not possible: the copies are in another process.

        Raises:
            AttributeError: always.
        """
        raise AttributeError(f"{method_name} cannot be called on a game in a process of its own")

    def env_is_wrapped(self, wrapper_class: type[Any], indices: VecEnvIndices = None) -> list[bool]:
        """No: there is nothing to wrap."""
        return [False for _ in self._get_indices(indices)]

    def _infos(self) -> list[dict[str, Any]]:
        memory = self._memory
        infos: list[dict[str, Any]] = [{"TimeLimit.truncated": bool(done)} for done in memory.dones]
        for i in np.flatnonzero(memory.episode_lengths):
            infos[i]["episode"] = {"r": float(memory.episode_returns[i]), "l": int(memory.episode_lengths[i])}
        for i in np.flatnonzero(memory.dones):
            infos[i]["terminal_observation"] = memory.last_obs[i].copy()
        if self._frames is not None:
            for env, frame in enumerate(self._frames.copy()):
                frame.flags.writeable = False
                infos[env]["view"] = frame
                if memory.dones[env]:
                    self.reset_infos[env]["view"] = frame
        return infos

    def _reset(self, seed: int | None) -> NDArray[Any]:
        self._process.send(RESET + json.dumps(seed).encode())
        shape = json.loads(self._process.answer(START_TIMES))["frames"]
        self._reset_seeds()
        self._n_steps = 0
        self.reset_infos = [{} for _ in range(self.num_envs)]
        if shape is not None:
            if self._frames is None:
                self._frames = self._process.share_frames(tuple(shape))
            for info, frame in zip(self.reset_infos, self._frames.copy(), strict=True):
                frame.flags.writeable = False
                info["view"] = frame
        self._obs = self._memory.obs.copy()
        return self._obs.copy()

    def _begin_anew(self, lost: GameLost) -> NDArray[Any]:
        """Start another process after a loss, with other seeds; the first observations of its episodes.

        Raises:
            WorldFault: That was one loss too many.
        """
        fresh_seed = None
        while True:
            words = self._words(lost)
            if self._n_lost >= self._restarts:
                often = f"; its process had been started again {self._n_lost} times" if self._n_lost else ""
                raise WorldFault(f"{words}{often}", lost.env, fresh_seed) from lost
            self._n_lost += 1
            warnings.warn(
                f"{words}; its process is started again, for the {self._n_lost}. time of {self._restarts}, and every "
                "copy begins a new episode",
                stacklevel=4,
            )
            self._base_seed += _SEED_STEP
            try:
                self._process.start()
                return self._reset(self._base_seed)
            except GameLost as e:
                lost, fresh_seed, self._n_steps = e, self._base_seed + e.env, 0

    def _words(self, lost: GameLost) -> str:
        where = f"environment {lost.env} of {self._env_id}"
        if not self._n_steps:
            return f"{where} {lost} in its reset"
        action = np.array2string(self._actions[lost.env], precision=4, threshold=8)
        return f"{where} {lost} at its step {self._n_steps}, action {action}"

    def _must_answer(self) -> bytes:
        try:
            return self._process.answer(START_TIMES)
        except GameLost as e:
            raise WorldFault(f"{self._env_id} {e} as its state was asked for or put back", e.env) from e


def _obs_space(said: dict[str, Any]) -> spaces.Box:
    shape = tuple(said["shape"])
    if np.dtype(said["dtype"]) == np.uint8:
        return spaces.Box(0, 255, shape, np.uint8)
    return spaces.Box(-np.inf, np.inf, shape, np.float32)


def _action_space(said: dict[str, Any]) -> spaces.Space[Any]:
    if "n" in said:
        return spaces.Discrete(said["n"])
    dtype: Any = np.dtype(said["dtype"]).type
    return spaces.Box(np.array(said["low"], dtype), np.array(said["high"], dtype), tuple(said["shape"]), dtype)
