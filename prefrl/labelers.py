"""Labelers: synthetic teachers and functions of the user's, which answer at once, and people, who answer when they do.

People answer through the store, in processes of their own; nothing here waits for anybody.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from labeling.choice import Choice
from labeling.clip import Clip
from labeling.teaching import Faults, Seen, Teacher
from prefrl.errors import UserError

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


@dataclass(frozen=True, slots=True, eq=False)
class Score:
    """What the env's own score has to do with queries: for teachers, and for nobody else."""

    env_rewards: NDArray[np.float32]
    """Of every step of both clips of the queries, (B, 2, T)."""
    recent_returns: NDArray[np.float64]
    """Env returns of all clips of T steps that could be cut out of recent behaviour, (M,)."""
    n_answered: int
    """Answers that the labeler has given in this run."""


class Labeler(Protocol):
    """Whoever answers at once."""

    name: str
    """What stands in the store as the labeler of each answer."""
    needs_views: bool
    """Whether clips must carry what draws them."""
    answers_wanted: int
    """Labels that each query waits for in the store; 0 where `answer` gives them."""
    reads_score: bool
    """Whether it is a teacher, who is told the score."""

    def answer(self, asked: Sequence[Asked], score: Score | None) -> Iterator[list[Answer]]:
        """Answers as they come, each batch made durable before the next; the score is None but for teachers."""
        ...


class TeacherLabeler:
    """A synthetic teacher: reads the env reward, and nothing of the clips.

    What it draws depends on the seed and on the answers it has given, so that it goes on in a resumed run as it would
    have gone on without the pause.

    Args:
        name: The teacher's.
        teacher: Its function.
        faults: Settings of what it does wrong.
        seed: Of what is random in it.
    """

    needs_views = False
    answers_wanted = 0
    reads_score = True

    def __init__(self, name: str, teacher: Teacher, faults: Faults, seed: int) -> None:
        self.name = name
        self._teacher = teacher
        self._faults = faults
        self._seed = seed

    def answer(self, asked: Sequence[Asked], score: Score | None) -> Iterator[list[Answer]]:
        """Ask the teacher, who answers all at once.

        Its margin is the mean return of recent clips: B-Pref's mean recent episode return times T / horizon.
        """
        assert score is not None
        seen = Seen(
            margin=float(score.recent_returns.mean()),
            spread=float(score.recent_returns.std()),
            n_answered=score.n_answered,
        )
        rng = np.random.default_rng((self._seed, score.n_answered))
        choices = self._teacher(score.env_rewards, rng, self._faults, seen)
        yield [Answer(a.query_id, choice) for a, choice in zip(asked, choices, strict=True)]


def function_name(function: LabelFunction) -> str:
    """What a function of the user's is called in the store and in the config of its run."""
    return f"function:{getattr(function, '__name__', type(function).__name__)}"


class PeopleLabeler:
    """People: their queries wait in the store, and their answers come out of it."""

    needs_views = True
    reads_score = False

    def __init__(self, name: str, answers_wanted: int) -> None:
        self.name = name
        self.answers_wanted = answers_wanted

    def answer(self, asked: Sequence[Asked], score: Score | None) -> Iterator[list[Answer]]:
        """No answer yet."""
        return iter(())


def check_function(function: object) -> None:
    """Make sure that a labeler of the user's own can be called with two clips.

    Raises:
        UserError: It cannot.
    """
    if not callable(function):
        raise UserError(
            f"expected labeler to be a function of two clips, got {function!r:.80}; who else answers is named by the "
            "config's labeler"
        )
    try:
        signature = inspect.signature(function)
    except (ValueError, TypeError):  # some that are written in C tell none
        return
    try:
        signature.bind(None, None)
    except TypeError as e:
        raise UserError(
            f"expected labeler to take two clips, the left and the right, got {function_name(function)}{signature}: {e}"
        ) from e


class FunctionLabeler:
    """A function of the user's: reads the clips, and never the env reward."""

    needs_views = True
    answers_wanted = 0
    reads_score = False

    def __init__(self, function: LabelFunction, name: str = "") -> None:
        self.name = name or function_name(function)
        self._function = function

    def answer(self, asked: Sequence[Asked], score: Score | None) -> Iterator[list[Answer]]:
        """Call the function once for each query; it may be slow, or a person, so each answer counts at once."""
        for a in asked:
            yield [Answer(a.query_id, self._choice(a))]

    def _choice(self, asked: Asked) -> Choice:
        choice = self._function(asked.left, asked.right)
        if not isinstance(choice, Choice):
            raise TypeError(f"expected {self.name} to return a Choice (LEFT, RIGHT, EQUAL or SKIP), got {choice!r}")
        return choice
