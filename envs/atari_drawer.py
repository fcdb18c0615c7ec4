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


@dataclass(frozen=True, slots=True)
class AtariDrawer:
    """Frames of an Atari clip; holds no emulator, so it can be pickled."""

    rules: Rules
    screen: tuple[int, int]
    """(height, width) of the game's own screen."""
    hidden: tuple[Box, ...] = ()
    """Boxes on it that stay black: all that goes into what the learner has hidden."""

    def draw(self, obs: NDArray[Any], view: NDArray[Any] | None) -> NDArray[np.uint8]:
        """Frames (T, height, width, 3) of a packed clip; `obs` is not needed.

        Raises:
            WorldError: if `view` is not what `AtariWorld.pack_view` made.
        """
        if view is None:
            raise WorldError("Atari clips are drawn from packed views, and this one has none")
        frames = []
        for seed, first, actions in unpack_tapes(view):
            again = enumerate(replay(self.rules, seed, actions, self.screen, rgb=True))
            frames += [frame for index, frame in again if index >= first]
        drawn = np.stack(frames)
        for x, y, width, height in self.hidden:
            drawn[:, y : y + height, x : x + width] = 0
        return drawn


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


def unpack_tapes(packed: NDArray[Any]) -> list[tuple[int, int, list[int]]]:
    """The (seed, index of the first observation to show, actions) of each tape in a packed clip.

    Raises:
        WorldError: if it is not what `pack_tapes` makes.
    """
    numbers: list[int] = packed.tolist()
    tapes = []
    at = 1
    while at + 3 <= len(numbers) and numbers[0] == PACK_VERSION:
        seed, first, n_steps = numbers[at : at + 3]
        n_actions = first + n_steps - 1
        tapes.append((seed, first, numbers[at + 3 : at + 3 + n_actions]))
        at += 3 + n_actions
        if min(seed, first, n_steps - 1) < 0:
            break
    if packed.ndim != 1 or at != len(numbers) or not tapes:
        raise WorldError(
            f"not a packed Atari clip of version {PACK_VERSION}: shape {packed.shape}, starts with "
            f"{packed.ravel()[:4].tolist()}"
        )
    return tapes
