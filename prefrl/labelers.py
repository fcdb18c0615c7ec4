"""Labelers: synthetic teachers and functions of the user's, which answer at once, and people, who answer when they do.

People answer through the store, in processes of their own; nothing here waits for anybody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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


@dataclass(frozen=True, slots=True)
class Answer:
    """What a labeler says to a query."""

    query_id: str
    choice: Choice


class Labeler(Protocol):
    """Whoever answers at once."""

    name: str
    """What stands in the store as the labeler of each answer."""
    needs_views: bool
    """Whether clips must carry what draws them."""
    answers_wanted: int
    """Labels that each query waits for in the store; 0 where `answer` gives them."""

    def answer(self, asked: Sequence[Asked], env_rewards: NDArray[np.float32]) -> Iterator[list[Answer]]:
        """Answers as they come, each batch made durable before the next; env_rewards (B, 2, T) are for teachers."""
        ...


class TeacherLabeler:
    """A synthetic teacher: reads the env reward, and nothing of the clips."""

    needs_views = False
    answers_wanted = 0

    def __init__(self, name: str, teacher: Teacher, rng: np.random.Generator) -> None:
        self.name = name
        self._teacher = teacher
        self._rng = rng

    def answer(self, asked: Sequence[Asked], env_rewards: NDArray[np.float32]) -> Iterator[list[Answer]]:
        """Ask the teacher, who answers all at once."""
        choices = self._teacher(env_rewards, self._rng)
        yield [Answer(a.query_id, choice) for a, choice in zip(asked, choices, strict=True)]


def function_name(function: LabelFunction) -> str:
    """What a function of the user's is called in the store and in the config of its run."""
    return f"function:{getattr(function, '__name__', type(function).__name__)}"


class PeopleLabeler:
    """People: their queries wait in the store, and their answers come out of it."""

    needs_views = True

    def __init__(self, name: str, answers_wanted: int) -> None:
        self.name = name
        self.answers_wanted = answers_wanted

    def answer(self, asked: Sequence[Asked], env_rewards: NDArray[np.float32]) -> Iterator[list[Answer]]:
        """No answer yet."""
        return iter(())


class FunctionLabeler:
    """A function of the user's: reads the clips, and never the env reward."""

    needs_views = True
    answers_wanted = 0

    def __init__(self, function: LabelFunction, name: str = "") -> None:
        self.name = name or function_name(function)
        self._function = function

    def answer(self, asked: Sequence[Asked], env_rewards: NDArray[np.float32]) -> Iterator[list[Answer]]:
        """Call the function once for each query; it may be slow, or a person, so each answer counts at once."""
        for a in asked:
            yield [Answer(a.query_id, self._choice(a))]

    def _choice(self, asked: Asked) -> Choice:
        choice = self._function(asked.left, asked.right)
        if not isinstance(choice, Choice):
            raise TypeError(f"expected {self.name} to return a Choice (LEFT, RIGHT, EQUAL or SKIP), got {choice!r}")
        return choice
