"""ALE's C++ vector environment as an SB3 `VecEnv` that knows no ends and remembers its tapes."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvStepReturn

from envs import WorldError
from envs.atari_games import Box, Rules, Tape, play, replay_all

__all__ = ["AtariVecEnv"]

_STATE = ("rngs", "n_tapes", "current", "tape_steps", "returns", "lengths")
"""What is kept of the games besides their tapes."""

TAPE_STEPS = 1500
"""A tape this long is ended with the game on it: seeding anew costs as much as 300 steps."""


class AtariVecEnv(VecEnv):
    """ALE's vector environment as an SB3 `VecEnv` that knows no ends.

    Frames are stacked here, across games: after a restart the newest plane is the new game's first
    frame, the older ones are the last frames of the game before. ALE's own stacks begin each game
    on black planes, which tell the end of a game like a flag, and which hardly any clip shows: a
    reward model guesses at them, and the agent learns to lose for that guess. The first stack of
    all is one frame over and over.
    """

    render_mode: str | None = None

    def __init__(
        self,
        rules: Rules,
        n_envs: int,
        seed: int,
        frame_size: int,
        n_stack: int,
        hidden: Iterable[Box],
        keep_steps: int,
        views: bool,
    ) -> None:
        self._games = play(rules, n_envs, (frame_size, frame_size))
        space = spaces.Box(0, 255, (n_stack, frame_size, frame_size), np.uint8)
        super().__init__(n_envs, space, self._games.single_action_space)
        self._stacks = np.zeros((n_envs, *space.shape), np.uint8)
        """What every environment sees: masked, the newest plane last."""
        self._hidden = [(slice(y, y + h), slice(x, x + w)) for x, y, w, h in hidden]
        self._keep_steps = keep_steps
        """Newest steps of each environment that can be drawn."""
        self._views = views
        self.tapes: list[dict[int, Tape]] = [{} for _ in range(n_envs)]
        """The tapes of each environment that can still be drawn, by number, oldest first."""
        self._n_tapes = 0
        self._current = np.zeros(n_envs, np.int64)
        self._tape_steps = np.zeros(n_envs, np.int64)
        self._returns = np.zeros(n_envs)
        self._lengths = np.zeros(n_envs, np.int64)
        self._actions = np.zeros(n_envs, np.int64)
        self.seed(seed)

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Choose the games to come, from the next `reset` on; see `VecEnv.seed`."""
        seeds = super().seed(seed)
        self._rngs = [np.random.default_rng((int(seeds[0] or 0), i)) for i in range(self.num_envs)]
        return seeds

    def reset(self) -> NDArray[np.uint8]:
        """Start a game in every environment."""
        self._returns[:] = 0.0
        self._lengths[:] = 0
        everywhere = np.ones(self.num_envs, bool)
        self._stacks[:] = self._masked(self._start_games(everywhere, everywhere))
        self.reset_infos = self._view_infos()
        return self._stacks.copy()

    def step_async(self, actions: NDArray[Any]) -> None:
        """Begin a step with `actions` (n_envs,)."""
        self._actions = np.asarray(actions, np.int64)
        n_actions = self._games.single_action_space.n
        if self._actions.min() < 0 or self._actions.max() >= n_actions:  # ALE would hang
            raise ValueError(f"actions must be 0 to {n_actions - 1}, got {actions}")
        self._games.send(self._actions)

    def step_wait(self) -> VecEnvStepReturn:
        """Finish the step; where it ended a game, the observation is the first of the next one."""
        obs, rewards, terminated, truncated, _ = self._games.recv()
        self._record()
        self._returns += rewards
        self._lengths += 1
        over = terminated | truncated
        episodes = [{"r": float(r), "l": int(n)} for r, n in zip(self._returns[over], self._lengths[over], strict=True)]
        if over.any():
            self._returns[over] = 0.0
            self._lengths[over] = 0
            obs = self._start_games(over, over & (self._tape_steps >= TAPE_STEPS))
        self._stacks[:, :-1] = self._stacks[:, 1:]
        self._stacks[:, -1:] = self._masked(obs)
        infos = self._view_infos()
        for i, episode in zip(np.flatnonzero(over), episodes, strict=True):
            infos[i]["episode"] = episode
        return self._stacks.copy(), rewards.astype(np.float32), np.zeros(self.num_envs, bool), infos

    def _start_games(self, where: NDArray[np.bool_], seeded: NDArray[np.bool_]) -> Any:
        """Restart the games of some environments, some of these on a new tape; the frames of all, (N, 1, H, W)."""
        seeds = np.full(self.num_envs, -1)  # -1: go on with the generator as it stands
        for i in np.flatnonzero(seeded):
            seeds[i] = self._rngs[i].integers(2**31 - 1)
            self._tape_steps[i] = 0
            self._n_tapes += 1
            self._current[i] = self._n_tapes
            self._insert_tape(self.tapes[i], int(seeds[i]))
        obs, _ = self._games.reset(seed=seeds[where], options={"reset_mask": where})
        return obs

    def _insert_tape(self, tapes: dict[int, Tape], seed: int) -> None:
        """Begin a tape, and forget those of which every step is too old."""
        n_steps = sum(len(tape.actions) for tape in tapes.values())
        for number, tape in list(tapes.items()):
            n_steps -= len(tape.actions)
            if n_steps < self._keep_steps:
                break
            del tapes[number]
        tapes[self._n_tapes] = Tape(seed, bytearray())

    def _record(self) -> None:
        self._tape_steps += 1
        for i, action in enumerate(self._actions.tolist()):
            self.tapes[i][self._current[i]].actions.append(action)

    def _view_infos(self) -> list[dict[str, Any]]:
        if not self._views:
            return [{} for _ in range(self.num_envs)]
        views = np.stack([np.arange(self.num_envs), self._current, self._tape_steps], axis=1)
        views.flags.writeable = False
        return [{"view": view} for view in views]

    def _masked(self, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Hide what nobody may see of these frames (N, 1, H, W), in place."""
        for rows, columns in self._hidden:
            frames[:, :, rows, columns] = 0
        return frames

    def get_state(self, n_recent: int) -> dict[str, Any]:
        """What the games go on from, and what draws their `n_recent` newest steps, as plain data.

        ALE's vector environment can tell nothing of its state; but a game is its seed and its actions.
        """
        return {
            **{name: getattr(self, f"_{name}") for name in _STATE},
            "tapes": [_newest(tapes, n_recent) for tapes in self.tapes],
            "stacks": self._stacks,
        }

    def put_state(self, state: dict[str, Any]) -> None:
        """Go on from what `get_state` gave, after a reset: play the tapes that are on once more.

        Raises:
            WorldError: the games come out differently, as under another version of ale-py.
        """
        for name in _STATE:
            setattr(self, f"_{name}", state[name])
        self.tapes = [
            {number: Tape(seed, bytearray(actions.tobytes())) for number, seed, actions in tapes}
            for tapes in state["tapes"]
        ]
        current = [tapes[number] for tapes, number in zip(self.tapes, self._current.tolist(), strict=True)]
        newest = self._masked(replay_all(self._games, current))[:, 0]
        if "stacks" in state:
            self._stacks[:] = state["stacks"]
        else:  # written when ALE stacked the frames: what stood before the newest is not in it
            self._stacks[:] = state["screens"][:, None]
            warnings.warn(
                "this checkpoint was written before Atari's frames were stacked across games: the run goes on, but not "
                "bit for bit as it would have",
                stacklevel=2,
            )
        if not np.array_equal(newest, self._stacks[:, -1]):
            raise WorldError("the games, played again from their seeds and actions, came out differently")

    def close(self) -> None:
        """Stop the emulators."""
        self._games.close()

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """An attribute of this vector environment, once per index."""
        return [getattr(self, attr_name) for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Not possible: the environments are C++.

        Raises:
            AttributeError: always.
        """
        raise AttributeError(f"{attr_name} cannot be set on Atari games")

    def env_method(
        self,
        method_name: str,
        *method_args: Any,
        indices: VecEnvIndices = None,
        **method_kwargs: Any,
    ) -> list[Any]:
        """Not possible: the environments are C++.

        Raises:
            AttributeError: always.
        """
        raise AttributeError(f"Atari games have no method {method_name}")

    def env_is_wrapped(self, wrapper_class: type[Any], indices: VecEnvIndices = None) -> list[bool]:
        """No: there is nothing to wrap."""
        return [False for _ in self._get_indices(indices)]


def _newest(tapes: dict[int, Tape], n_steps: int) -> list[tuple[int, int, NDArray[np.uint8]]]:
    """The tapes (number, seed, actions) that hold the newest steps, oldest first; the last is the one that is on."""
    found: list[tuple[int, int, NDArray[np.uint8]]] = []
    for number, tape in reversed(tapes.items()):
        found.append((number, tape.seed, np.frombuffer(bytes(tape.actions), np.uint8)))
        n_steps -= len(tape.actions)
        if n_steps <= 0:
            break
    return found[::-1]
