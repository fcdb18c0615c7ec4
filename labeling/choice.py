"""What a labeler can answer to a query: one enum, and the one function that gives it a number."""

from __future__ import annotations

import enum


class Choice(enum.StrEnum):
    """The answer to a query of two clips, in the query's own order of sides."""

    LEFT = "left"
    """The left clip is better."""
    RIGHT = "right"
    """The right clip is better."""
    EQUAL = "equal"
    """The two are equally good."""
    SKIP = "skip"
    """Cannot tell: the query is answered, and nothing is learned from it."""


_PROB_LEFT = {Choice.LEFT: 1.0, Choice.EQUAL: 0.5, Choice.RIGHT: 0.0}
_SWAPPED = {Choice.LEFT: Choice.RIGHT, Choice.RIGHT: Choice.LEFT}


def prob_left(choice: Choice) -> float:
    """Probability that the left clip is better: mu(1) of Christiano et al. 2017, section 2.2.3.

    Raises:
        ValueError: for SKIP, which has none. Leave skipped queries out before fitting; they are
            no ties.
    """
    if choice not in _PROB_LEFT:
        raise ValueError("a skipped query has no prob_left; leave Choice.SKIP out before fitting")
    return _PROB_LEFT[choice]


def swapped(choice: Choice) -> Choice:
    """The same answer once the two sides have changed places; EQUAL and SKIP stay themselves."""
    return _SWAPPED.get(choice, choice)
