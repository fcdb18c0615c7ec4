"""The process that a game of one's own runs in: makes the copies, steps them, and says what they raise.

Messages are one letter, or JSON, never a pickle; arrays go by shared memory (`game_memory`).
"""

from __future__ import annotations

import contextlib
import json
import random
import sys
import warnings
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from stable_baselines3.common.vec_env import DummyVecEnv

from labeling.failpoints import failpoint
from prefrl.custom import CustomWorld
from prefrl.custom_env import Env
from prefrl.env_state import put_each, take_each
from prefrl.errors import UserError
from prefrl.game_errors import place, said
from prefrl.game_memory import GameMemory, map_frames, map_memory
from prefrl.plain import NotPlain, from_bytes, to_bytes

RESET, STEP, QUIT, DONE, TAKE, PUT, NOT_PLAIN = b"r", b"s", b"q", b"k", b"t", b"p", b"n"


def serve(make: Callable[[], CustomWorld], trainer: Connection, memory: int, frames: int) -> None:
    """Make the copies and do what the trainer says, until it says that it is over; never returns an exception.

    Args:
        make: Makes the world.
        trainer: The other end.
        memory: Handle of the file for `map_memory`.
        frames: Handle of the file for `map_frames`.
    """
    try:
        with warnings.catch_warnings(record=True) as noted:
            warnings.simplefilter("always")
            world = make()
        assert isinstance(world.venv, DummyVecEnv)
        trainer.send_bytes(json.dumps(facts(world) | {"warnings": [str(w.message) for w in noted]}).encode())
        _Serving(world.venv, trainer, memory, frames).run()
    except UserError as e:
        trainer.send_bytes(json.dumps({"user_error": str(e)}).encode())
    except SystemExit:
        trainer.send_bytes(json.dumps({"crash": "ended the program, by sys.exit() or quit(),"}).encode())
    except (EOFError, BrokenPipeError, ConnectionResetError):  # the trainer is gone
        pass
    except BaseException as e:
        trainer.send_bytes(json.dumps({"crash": f"raised {said(e)}{place(e)}"}).encode())
    with contextlib.suppress(OSError, ValueError):  # nobody reads it any more
        sys.stdout.flush()


def facts(world: CustomWorld) -> dict[str, Any]:
    """What the trainer must know of a world, as JSON holds it."""
    obs, action = world.venv.observation_space, world.venv.action_space
    assert isinstance(obs, spaces.Box)
    said_of_action: dict[str, Any]
    if isinstance(action, spaces.Discrete):
        said_of_action = {"n": int(action.n)}
    else:
        assert isinstance(action, spaces.Box)
        bounds = {"low": action.low.tolist(), "high": action.high.tolist()}
        said_of_action = {"shape": list(action.shape), "dtype": action.dtype.str, **bounds}
    return {
        "obs": {"shape": list(obs.shape), "dtype": obs.dtype.str},
        "action": said_of_action,
        "frame_rate": world.frame_rate,
        "horizon": world.horizon,
        "drawn_from": world.drawer.source if world.drawer is not None else None,
        "n_envs": world.venv.num_envs,
    }


class _Noted(gym.Wrapper[Any, Any, Any, Any]):
    """Writes down that this copy is the one being called."""

    def __init__(self, env: Env, number: int, memory: GameMemory) -> None:
        super().__init__(env)
        self._number = number
        self._at = memory.at

    def step(self, action: Any) -> Any:
        """Step it."""
        self._at[0] = self._number
        return self.env.step(action)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        """Reset it."""
        self._at[0] = self._number
        return self.env.reset(seed=seed, options=options)

    def render(self) -> Any:
        """Have it draw."""
        self._at[0] = self._number
        return self.env.render()


class _Serving:
    """The copies and what their trainer is told of them."""

    def __init__(self, venv: DummyVecEnv, trainer: Connection, memory: int, frames: int) -> None:
        self._venv = venv
        self._trainer = trainer
        self._frames_handle = frames
        self._frames: Any = None
        obs, action = venv.observation_space, venv.action_space
        assert isinstance(obs, spaces.Box)
        self._action_shape = () if isinstance(action, spaces.Discrete) else action.shape or ()
        size = int(np.prod(self._action_shape))
        self._memory = map_memory(memory, venv.num_envs, obs.shape, obs.dtype.str, size)
        self._games = venv.envs
        venv.envs = [_Noted(env, i, self._memory) for i, env in enumerate(venv.envs)]

    def run(self) -> None:
        """Until the trainer says that it is over."""
        while True:
            message = self._trainer.recv_bytes()
            if message == QUIT:
                self._venv.close()
                return
            if message == TAKE:
                self._trainer.send_bytes(self._state())
            elif message.startswith(PUT):
                self._put(from_bytes(message[1:]))
            elif message.startswith(RESET):
                self._reset(json.loads(message[1:]))
            else:
                self._step(message[1:].decode())

    def _state(self) -> bytes:
        program = [random.getstate(), np.random.get_state(legacy=False)]  # noqa: NPY002  # the program's
        try:
            return DONE + to_bytes({"envs": take_each(self._games), "program": program})
        except NotPlain as e:
            return NOT_PLAIN + str(e).encode()

    def _put(self, state: Any) -> None:
        put_each(self._games, state["envs"])
        random.setstate(state["program"][0])
        np.random.set_state(state["program"][1])  # noqa: NPY002  # the program's
        self._trainer.send_bytes(DONE)

    def _reset(self, seed: int | None) -> None:
        if seed is not None:
            # Games should take chance from their own generator; those that take the program's are seeded as well.
            random.seed(seed)
            np.random.seed(seed % 2**32)  # noqa: NPY002  # the program's
            self._venv.seed(seed)
        self._memory.obs[:] = np.asarray(self._venv.reset())
        shape = None
        if "view" in self._venv.reset_infos[0]:
            if self._frames is None:
                view = self._venv.reset_infos[0]["view"]
                self._frames = map_frames(self._frames_handle, (self._venv.num_envs, *view.shape))
            shape = self._frames.shape
            self._show(self._venv.reset_infos)
        self._trainer.send_bytes(json.dumps({"frames": shape}).encode())

    def _step(self, dtype: str) -> None:
        memory, n = self._memory, self._venv.num_envs
        n_values = n * int(np.prod(self._action_shape))
        # A copy: games may keep the action they were given.
        actions = memory.actions.view(dtype)[:n_values].reshape(n, *self._action_shape).copy()
        failpoint("env.step")
        obs, rewards, dones, infos = self._venv.step(actions)
        memory.obs[:] = np.asarray(obs)
        memory.rewards[:] = rewards
        memory.dones[:] = dones
        memory.episode_lengths[:] = 0
        for i, info in enumerate(infos):
            if "episode" in info:
                memory.episode_returns[i] = info["episode"]["r"]
                memory.episode_lengths[i] = info["episode"]["l"]
            if dones[i]:
                memory.last_obs[i] = info["terminal_observation"]
        if self._frames is not None:
            self._show(infos)
        self._trainer.send_bytes(DONE)

    def _show(self, infos: Any) -> None:
        for frame, info in zip(self._frames, infos, strict=True):
            frame[:] = info["view"]
