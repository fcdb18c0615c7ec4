"""Atari: every single-player game of ale-py's C++ vector environment, as one endless stream.

Neither a lost life nor the end of a game reaches the learner: `done` is always False, a game that
is over starts again inside (Christiano et al. 2017, appendix A), its frames stacked on the last ones
of the game before, and the score is blacked out in what the learner and people see. Teachers and
evaluation get the raw score and, as `info["episode"]`, the return of each game.
"""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs import WorldError, nearest
from envs.atari_drawer import AtariDrawer, pack_tapes
from envs.atari_games import SCORE_AREAS, Rules, check_boxes, covered
from envs.atari_venv import TAPE_STEPS, AtariVecEnv

__all__ = ["AtariWorld", "game_ids", "make"]

_LONGEST = 1_000_000
"""Most steps that are played again to draw a clip, whatever a run's settings say: some minutes."""

TWO_PLAYERS = frozenset({"combat", "joust", "maze_craze", "warlords"})


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
        raise WorldError(f"n_envs, n_stack and keep_steps must be at least 1, got {n_envs}, {n_stack}, {keep_steps}")
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
    venv = AtariVecEnv(rules, n_envs, seed, frame_size, n_stack, hidden, keep_steps, views)
    longest = min(TAPE_STEPS + math.ceil(rules.max_num_frames_per_episode / rules.frameskip), _LONGEST)
    drawer = AtariDrawer(
        rules,
        screen,
        tuple(covered(box, (frame_size, frame_size), screen) for box in hidden),
        int(venv.action_space.n),  # type: ignore[attr-defined]  # Discrete
        longest,
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
