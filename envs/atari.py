"""Atari: every single-player game of ale-py's C++ vector environment, as one endless stream.

Neither a lost life nor the end of a game reaches the learner: `done` is always False, a game that
is over starts again inside (Christiano et al. 2017, appendix A), and the score is blacked out in
what the learner and people see. Teachers and evaluation get the raw score and, as
`info["episode"]`, the return of each game.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvStepReturn

from envs import WorldError, nearest
from envs.atari_drawer import AtariDrawer, pack_tapes
from envs.atari_games import SCORE_AREAS, Box, Rules, Tape, check_boxes, covered, play

__all__ = ["AtariVecEnv", "AtariWorld", "game_ids", "make"]

TWO_PLAYERS = frozenset({"combat", "joust", "maze_craze", "warlords"})
TAPE_STEPS = 1500
"""A tape this long is ended with the game on it: seeding anew costs as much as 300 steps."""


@dataclass(frozen=True, slots=True)
class AtariWorld:
    """Copies of one Atari game, ready for a learner."""

    env_id: str
    venv: AtariVecEnv
    """uint8 observations (n_envs, n_stack, frame_size, frame_size); never done."""
    frame_rate: float
    """60 / frameskip."""
    drawer: AtariDrawer | None
    """None without views."""
    n_stack: int = 4
    horizon: None = None

    def pack_view(self, views: NDArray[Any]) -> NDArray[np.int32]:
        """Turn a clip's views (T, 3) into seeds and actions that can be played again alone.

        Raises:
            WorldError: if the clip lies more than `keep_steps` steps back, or is not in one piece.
        """
        return pack_tapes(views, self.venv.tapes)


def game_ids() -> list[str]:
    """All games there are, in the form ALE/SpaceInvaders-v5."""
    return [f"ALE/{rom.title().replace('_', '')}-v5" for rom in _roms()]


def make(
    env_id: str,
    *,
    n_envs: int,
    seed: int,
    views: bool,
    env_kwargs: Mapping[str, Any] | None = None,
    masks: Sequence[Sequence[int]] = (),
    default_masks: bool = True,
    frame_size: int = 84,
    n_stack: int = 4,
    keep_steps: int = 1_000_000,
) -> AtariWorld:
    """Make `n_envs` copies of an Atari game.

    `masks` are boxes (x, y, width, height) on the game's own screen that nobody sees, besides the
    score areas of Christiano et al. 2017 in their seven games, which `default_masks=False` shows.
    `env_kwargs` are the fields of `Rules`. With `views`, clips of the last `keep_steps` steps of
    each copy can be packed for drawing, at a byte per step.

    Raises:
        WorldError: for an unknown game, option or mask, or ale-py not installed.
    """
    rom = _rom(env_id)
    rules = _rules(rom, dict(env_kwargs or {}))
    if not 36 <= frame_size <= 160:  # SB3's smallest input for a CNN; ALE's INTER_AREA shrinks only
        raise WorldError(f"frame_size must be 36 to 160 pixels, got {frame_size}")
    if n_envs < 1 or n_stack < 1 or keep_steps < 1:
        raise WorldError(
            f"n_envs, n_stack and keep_steps must be at least 1, got {n_envs}, {n_stack}, "
            f"{keep_steps}"
        )
    if default_masks and not masks and rom not in SCORE_AREAS:
        warnings.warn(
            f"no score area is known for {env_id}, so the learner sees its score; give masks "
            "(x, y, width, height), or switch default_masks off to accept that",
            UserWarning,
            stacklevel=2,
        )
    screen = _screen(rom)
    known = SCORE_AREAS.get(rom, ()) if default_masks else ()
    boxes = check_boxes((*known, *masks), screen)
    hidden = [covered(box, screen, (frame_size, frame_size)) for box in boxes]
    venv = AtariVecEnv(rules, n_envs, seed, frame_size, n_stack, hidden, keep_steps * views)
    drawer = AtariDrawer(
        rules, screen, tuple(covered(box, (frame_size, frame_size), screen) for box in hidden)
    )
    return AtariWorld(
        env_id=env_id,
        venv=venv,
        frame_rate=60.0 / rules.frameskip,
        drawer=drawer if views else None,
        n_stack=n_stack,
    )


def _roms() -> list[str]:
    try:
        from ale_py import roms
    except ImportError as error:
        raise WorldError('ale-py is not installed: pip install "prefrl[atari]"') from error
    return sorted(set(roms.get_all_rom_ids()) - TWO_PLAYERS)


def _rom(env_id: str) -> str:
    names = dict(zip(game_ids(), _roms(), strict=True))
    if env_id not in names:
        raise WorldError(f"no Atari game is called {env_id!r}{nearest(env_id, names)}")
    return names[env_id]


def _rules(rom: str, kwargs: dict[str, Any]) -> Rules:
    known = [field.name for field in dataclasses.fields(Rules) if field.name != "game"]
    for name in kwargs:
        if name not in known:
            raise WorldError(f"Atari games have no option {name!r}{nearest(name, known)}")
    return Rules(rom, **kwargs)


def _screen(rom: str) -> tuple[int, int]:
    """(height, width) of the game's own screen; a few games are not 210 high."""
    from ale_py import ALEInterface, LoggerMode, roms

    ALEInterface.setLoggerMode(LoggerMode.Error)
    path = roms.get_rom_path(rom)
    assert path is not None
    ale = ALEInterface()
    ale.loadROM(path)
    height, width = ale.getScreenDims()
    return int(height), int(width)


class AtariVecEnv(VecEnv):
    """ALE's vector environment as an SB3 `VecEnv` that knows no ends.

    After a restart the newest plane of a stack is the new game's first frame, the older ones are
    black (zeros).
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
    ) -> None:
        self._games = play(rules, n_envs, (frame_size, frame_size), n_stack=n_stack)
        super().__init__(
            n_envs, self._games.single_observation_space, self._games.single_action_space
        )
        self._hidden = [(slice(y, y + h), slice(x, x + w)) for x, y, w, h in hidden]
        self._keep_steps = keep_steps
        """0 where no views are wanted."""
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
        obs: NDArray[np.uint8] = self._start_games(everywhere, everywhere)
        self.reset_infos = self._view_infos()
        return obs

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
        episodes = [
            {"r": float(r), "l": int(n)}
            for r, n in zip(self._returns[over], self._lengths[over], strict=True)
        ]
        if over.any():
            self._returns[over] = 0.0
            self._lengths[over] = 0
            obs = self._start_games(over, over & (self._tape_steps >= TAPE_STEPS))
        else:
            self._hide(obs)
        infos = self._view_infos()
        for i, episode in zip(np.flatnonzero(over), episodes, strict=True):
            infos[i]["episode"] = episode
        return obs, rewards.astype(np.float32), np.zeros(self.num_envs, bool), infos

    def _start_games(self, where: NDArray[np.bool_], seeded: NDArray[np.bool_]) -> Any:
        """Restart the games of some environments, some of these on a new tape."""
        seeds = np.full(self.num_envs, -1)  # -1: go on with the generator as it stands
        for i in np.flatnonzero(seeded):
            seeds[i] = self._rngs[i].integers(2**31 - 1)
            self._tape_steps[i] = 0
            self._n_tapes += 1
            self._current[i] = self._n_tapes
            if self._keep_steps:
                self._insert_tape(self.tapes[i], int(seeds[i]))
        obs, _ = self._games.reset(seed=seeds[where], options={"reset_mask": where})
        self._hide(obs)
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
        if self._keep_steps:
            for i, action in enumerate(self._actions.tolist()):
                self.tapes[i][self._current[i]].actions.append(action)

    def _view_infos(self) -> list[dict[str, Any]]:
        if not self._keep_steps:
            return [{} for _ in range(self.num_envs)]
        views = np.stack([np.arange(self.num_envs), self._current, self._tape_steps], axis=1)
        views.flags.writeable = False
        return [{"view": view} for view in views]

    def _hide(self, obs: NDArray[np.uint8]) -> None:
        for rows, columns in self._hidden:
            obs[:, :, rows, columns] = 0

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
