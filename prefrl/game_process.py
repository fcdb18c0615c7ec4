"""The process of a game of one's own, and what became of it: started, asked, lost, started again.

Linux only; elsewhere, and with `--world.no-own-process`, games run in the trainer's own process.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prefrl.custom import CustomWorld
from prefrl.errors import UserError
from prefrl.game_child import ChildLost, GameChild
from prefrl.game_memory import GameMemory, map_frames, map_memory
from prefrl.game_worker import QUIT, serve

START_TIMES = 10
"""Making the copies and resetting them may take this many times as long as a step."""
_CLOSE_SECONDS = 5.0


def is_available() -> bool:
    """Whether this system can give a game a process of its own."""
    return sys.platform.startswith("linux")


class GameLost(Exception):  # noqa: N818  # the game's, not ours
    """The process failed, in words, while it called the copy `env`; it has ended."""

    def __init__(self, words: str, env: int) -> None:
        super().__init__(words)
        self.env = env


class GameProcess:
    """A game's process and the memory that it shares with the trainer, which outlives it.

    Args:
        make_world: Called in the process; whatever it imports is imported there alone.
        step_seconds: A step of all copies that takes longer is taken to hang.
    """

    def __init__(self, make_world: Callable[[], CustomWorld], step_seconds: float) -> None:
        self._make_world = make_world
        self._step_seconds = step_seconds
        self._memory_handle = os.memfd_create("game")
        self._frames_handle = os.memfd_create("frames")
        self._memory: GameMemory | None = None

    def start(self) -> dict[str, Any]:
        """Start the process, for the first time or again; returns what it says of the game once it is made.

        Raises:
            GameLost, UserError: As `answer` does.
        """
        self._child = GameChild(lambda line: serve(self._make_world, line, self._memory_handle, self._frames_handle))
        try:
            facts: dict[str, Any] = json.loads(self.answer(START_TIMES))
        except BaseException:  # Ctrl-C, too: a game that hangs in its making would go on
            self._child.end()
            raise
        return facts

    def share(self, n_envs: int, obs_shape: tuple[int, ...], obs_dtype: str, action_size: int) -> GameMemory:
        """The memory that both know, for so many copies."""
        self._memory = map_memory(self._memory_handle, n_envs, obs_shape, obs_dtype, action_size)
        return self._memory

    def share_frames(self, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        """The pictures of all copies, (N, H, W, 3), that both know."""
        return map_frames(self._frames_handle, shape)

    def send(self, message: bytes) -> None:
        """Tell it something; where it is gone, `answer` says so."""
        self._child.send(message)

    def answer(self, times: int = 1) -> bytes:
        """What it says next, within so many times what a step may take.

        Raises:
            GameLost: It failed, ended or took too long; it has been ended.
            UserError: The game is not as it must be.
        """
        try:
            answer = self._child.answer(times * self._step_seconds)
        except ChildLost as e:
            raise self._lost(str(e)) from e
        if not answer.startswith(b"{"):  # nothing went wrong
            return answer
        said = json.loads(answer)
        if "user_error" in said:
            self._child.end()
            raise UserError(said["user_error"])
        if "crash" in said:
            self._child.end()
            raise self._lost(said["crash"])
        return answer

    def close(self) -> None:
        """Have it close every copy, and end it; may be called again."""
        self._child.close(QUIT, _CLOSE_SECONDS)
        self.close_files()

    def close_files(self) -> None:
        """Give the memory back, where there is no process."""
        for handle in (self._memory_handle, self._frames_handle):
            with contextlib.suppress(OSError):
                os.close(handle)

    def _lost(self, words: str) -> GameLost:
        return GameLost(words, int(self._memory.at[0]) if self._memory is not None else 0)
