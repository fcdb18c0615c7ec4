"""Draw Atari clips in the game's own colours by playing their tapes again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs import WorldError
from envs.atari_games import Box, Rules, Tape, replay

__all__ = ["AtariDrawer", "pack_tapes", "unpack_tapes"]

PACK_VERSION = 1

_Unpacked = tuple[int, int, list[int]]
"""Seed, index of the first observation to show, actions."""


@dataclass(frozen=True, slots=True)
class AtariDrawer:
    """Frames of an Atari clip; holds no emulator, so it can be pickled."""

    rules: Rules
    screen: tuple[int, int]
    """(height, width) of the game's own screen."""
    hidden: tuple[Box, ...] = ()
    """Boxes on it that stay black: all that goes into what the learner has hidden."""
    n_actions: int = 18
    """Of the game: the emulator hangs on any other."""
    longest: int = 1_000_000
    """Steps on a tape before the first that is shown."""

    def draw(self, obs: NDArray[Any], view: NDArray[Any] | None) -> NDArray[np.uint8]:
        """Frames (T, height, width, 3) of a packed clip; `obs` is only counted.

        Raises:
            WorldError: if `view` is not what `AtariWorld.pack_view` made of this game.
        """
        if view is None:
            raise WorldError("Atari clips are drawn from packed views, and this one has none")
        frames = []
        for seed, first, actions in self._checked(unpack_tapes(view), len(obs)):
            again = enumerate(replay(self.rules, seed, actions, self.screen, rgb=True))
            frames += [frame for index, frame in again if index >= first]
        drawn = np.stack(frames)
        for x, y, width, height in self.hidden:
            drawn[:, y : y + height, x : x + width] = 0
        return drawn

    def _checked(self, tapes: list[_Unpacked], n_obs: int) -> list[_Unpacked]:
        """The tapes, if they can be played in the time that a clip may take: files come from anybody.

        A clip goes on from tape to tape, so only on the first of them is anything that it does not show.
        """
        before = tapes[0][1]
        shown = sum(len(actions) + 1 - first for _, first, actions in tapes)
        if before > self.longest or shown > n_obs or any(first for _, first, _ in tapes[1:]):
            raise WorldError(
                f"expected tapes of an Atari clip that show at most {n_obs:,} steps in a row, after at most "
                f"{self.longest:,}, got {shown:,} after {before:,}, on {len(tapes)} tapes"
            )
        for _, _, actions in tapes:
            if actions and not 0 <= min(actions) <= max(actions) < self.n_actions:
                raise WorldError(
                    f"expected actions 0 to {self.n_actions - 1} of {self.rules.game} in an Atari clip, got "
                    f"{min(actions)} to {max(actions)}"
                )
        return tapes


def pack_tapes(views: NDArray[Any], tapes: Sequence[Mapping[int, Tape]]) -> NDArray[np.int32]:
    """Pack views (T, 3) of [environment, tape number, index on it] with the tapes they are on.

    The result is [version, then for each tape: seed, first, n_steps, the first + n_steps - 1
    actions that lead to the last observation]; a clip has more than one tape where it lies across
    a seeding.

    Raises:
        WorldError: if a tape is gone, or the views do not follow one another.
    """
    packed = [PACK_VERSION]
    starts = [t for t in range(len(views)) if t == 0 or views[t, 1] != views[t - 1, 1]]
    for start, end in zip(starts, [*starts[1:], len(views)], strict=True):
        env, number, first = (int(part) for part in views[start])
        if (views[start:end, 2] != np.arange(first, first + end - start)).any():
            raise WorldError("the steps of this clip do not follow one another: cannot pack it")
        tape = tapes[env].get(number)
        if tape is None or first + end - start - 1 > len(tape.actions):
            raise WorldError("this clip is older than what its world remembers: raise keep_steps, or pack sooner")
        packed += tape.cut(first, end - start)
    return np.array(packed, np.int32)


def unpack_tapes(packed: NDArray[Any]) -> list[_Unpacked]:
    """The (seed, index of the first observation to show, actions) of each tape in a packed clip.

    Raises:
        WorldError: if it is not what `pack_tapes` makes.
    """
    numbers: list[int] = packed.tolist() if packed.ndim == 1 and packed.dtype.kind == "i" else []
    tapes = []
    at = 1
    while at + 3 <= len(numbers) and numbers[0] == PACK_VERSION:
        seed, first, n_steps = numbers[at : at + 3]
        n_actions = first + n_steps - 1
        tapes.append((seed, first, numbers[at + 3 : at + 3 + n_actions]))
        at += 3 + n_actions
        if min(seed, first, n_steps - 1) < 0 or seed >= 2**31:
            at = -1
            break
    if at != len(numbers) or not tapes:
        raise WorldError(
            f"not a packed Atari clip of version {PACK_VERSION}: shape {packed.shape}, starts with "
            f"{packed.ravel()[:4].tolist()}"
        )
    return tapes
