"""Labelers that answer at once, in the trainer's own process: synthetic teachers and functions of the user's.

People answer through the store, in processes of their own; nothing here waits for anybody.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from labeling.choice import Choice
from labeling.clip import Clip
from labeling.teachers import Teacher

LabelFunction = Callable[[Clip, Clip], Choice]
"""A labeler of the user's own: looks at the left and the right clip, and answers."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A query put before a labeler."""

    query_id: str
    left: Clip
    right: Clip


class Labeler(Protocol):
    """Whoever answers at once."""

    name: str
    """What stands in the store as the labeler of each answer."""
    needs_views: bool
    """Whether clips must carry what draws them."""

    def answer(self, asked: Sequence[Asked], env_rewards: NDArray[np.float32]) -> list[Choice]:
        """One choice for each query; env_rewards (B, 2, T) are for teachers alone."""
        ...


class TeacherLabeler:
    """A synthetic teacher: reads the env reward, and nothing of the clips."""

    needs_views = False

    def __init__(self, name: str, teacher: Teacher, rng: np.random.Generator) -> None:
        self.name = name
        self._teacher = teacher
        self._rng = rng

    def answer(self, asked: Sequence[Asked], env_rewards: NDArray[np.float32]) -> list[Choice]:
        """Ask the teacher."""
        return self._teacher(env_rewards, self._rng)


class FunctionLabeler:
    """A function of the user's: reads the clips, and never the env reward."""

    needs_views = True

    def __init__(self, function: LabelFunction, name: str = "") -> None:
        self.name = name or getattr(function, "__name__", type(function).__name__)
        self._function = function

    def answer(self, asked: Sequence[Asked], env_rewards: NDArray[np.float32]) -> list[Choice]:
        """Call the function once for each query."""
        return [self._choice(a) for a in asked]

    def _choice(self, asked: Asked) -> Choice:
        choice = self._function(asked.left, asked.right)
        if not isinstance(choice, Choice):
            raise TypeError(f"expected {self.name} to return a Choice (LEFT, RIGHT, EQUAL or SKIP), got {choice!r}")
        return choice
