"""What stands in the label store: queries, and the labels that answer them."""

from __future__ import annotations

import math
import operator
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from labeling.choice import Choice

MAX_ID_CHARS = 128
MAX_NAME_CHARS = 64
_MAX_INT = 2**63 - 1


class StoreError(ValueError):
    """The label store refuses: a bad value, a broken rule, or a file that cannot be trusted."""


class DamagedStoreError(StoreError):
    """The file of the label store is damaged or gone; the message names the command that saves what can be saved."""


def utc_ms_now() -> int:
    """Milliseconds since 1970 in UTC; for people to read, never for order: that is `seq`."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Clips put before a labeler.

    Raises:
        StoreError: for values that the store would not keep.
    """

    query_id: str
    """Chosen by the asker, the same again when a round is repeated from the same state."""
    clip_ids: tuple[str, ...]
    """SHA-256 of the clips, left then right."""
    asked_at_step: int
    """Steps that the agent had taken in all envs together."""
    round: int
    """Round of collect, ask, fit; 0 is the one before any training."""
    strategy: str
    """How the pair was chosen: "uniform", "disagreement", ..."""
    is_random: bool
    """Whether the pair belongs to the share drawn at random, whatever the strategy."""
    score: float | None = None
    """What the strategy ranked the pair by; None where it ranks nothing."""
    asked_at_utc_ms: int = field(default_factory=utc_ms_now)
    """When."""

    def __post_init__(self) -> None:
        _check_text(self, "query_id", MAX_ID_CHARS)
        _check_text(self, "strategy", MAX_NAME_CHARS)
        _check_counts(self, "asked_at_step", "round", "asked_at_utc_ms")
        object.__setattr__(self, "is_random", bool(self.is_random))
        object.__setattr__(self, "clip_ids", tuple(self.clip_ids))
        if len(self.clip_ids) != 2 or self.clip_ids[0] == self.clip_ids[1]:
            raise StoreError(f"query {self.query_id} must have two different clips, got {self.clip_ids}")
        if not all(_is_sha256(clip_id) for clip_id in self.clip_ids):
            raise StoreError(f"query {self.query_id} must name clips by 64 lower-case hex digits, got {self.clip_ids}")
        if self.score is not None:
            object.__setattr__(self, "score", float(self.score))
            if not math.isfinite(self.score):
                raise StoreError(f"score of query {self.query_id} must be finite: {self.score}")

    @property
    def left_clip(self) -> str:
        """Id of the left clip."""
        return self.clip_ids[0]

    @property
    def right_clip(self) -> str:
        """Id of the right clip."""
        return self.clip_ids[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """One labeler's answer to one query, as handed to the store.

    Raises:
        StoreError: for values that the store would not keep.
    """

    label_id: str
    """Chosen by the labeler, one per answer: sending the same again stores nothing twice."""
    query_id: str
    """The query answered."""
    labeler: str
    """Who answered: "oracle" or another teacher, a person's name, or "function:" and a name."""
    choice: Choice
    """In the query's own order of sides, also where the labeler saw them swapped."""
    swapped: bool = False
    """Whether the query's left clip was shown on the right; `choice` is already turned back."""
    shown_at_utc_ms: int = field(default_factory=utc_ms_now)
    """When the clips came on the screen."""
    answered_at_utc_ms: int = field(default_factory=utc_ms_now)
    """When the answer was given."""
    ms_on_screen: int = 0
    """Time between the two by a clock that is never set."""

    def __post_init__(self) -> None:
        _check_text(self, "label_id", MAX_ID_CHARS)
        _check_text(self, "query_id", MAX_ID_CHARS)
        _check_text(self, "labeler", MAX_NAME_CHARS)
        _check_counts(self, "shown_at_utc_ms", "answered_at_utc_ms", "ms_on_screen")
        object.__setattr__(self, "swapped", bool(self.swapped))
        if not isinstance(self.choice, Choice):
            raise StoreError(f"choice of label {self.label_id} must be a Choice: {self.choice!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredLabel:
    """A row of the store's label table: an answer, or the undoing of one."""

    seq: int
    """Place in the order in which labels were stored; the only order there is."""
    label_id: str
    """As in `Label`."""
    query_id: str
    """As in `Label`."""
    labeler: str
    """As in `Label`."""
    choice: Choice | None
    """As in `Label`; None for an undoing row."""
    swapped: bool
    """As in `Label`."""
    shown_at_utc_ms: int
    """As in `Label`."""
    answered_at_utc_ms: int
    """As in `Label`; when it was undone, for an undoing row."""
    ms_on_screen: int
    """As in `Label`."""
    voids_seq: int | None
    """For an undoing row the `seq` of the label that no longer counts, else None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How much a store holds."""

    n_queries: int
    """Queries asked."""
    n_labels: int
    """Labels that count, so without those undone."""
    n_by_choice: Mapping[Choice, int]
    """The same by choice; every choice is there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingQuery:
    """A query that people have not answered as often as is wanted."""

    query_id: str
    """As in `Query`."""
    n_wanted: int
    """Labels of as many people that are wanted."""
    n_given: int
    """Labels that count so far."""
    asked_at_step: int
    """As in `Query`."""
    is_held: bool
    """Whether somebody was shown it within the last hour."""
    is_abandoned: bool
    """Whether it is answered in part, and nobody was shown it within the last ten minutes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Invite:
    """Somebody who may come to the page."""

    name: str
    """Under which they label."""
    token_sha256: str
    """Of the token in their link; the token itself is kept nowhere."""
    is_operator: bool
    """Whether they see the progress of all."""


def check_text(name: str, text: object, max_chars: int) -> None:
    """Accepts short printable text, as anything else shows up badly in a page or a table.

    Raises:
        StoreError: for anything else.
    """
    is_fine = isinstance(text, str) and 0 < len(text) <= max_chars and text.isprintable()
    if not is_fine:
        raise StoreError(f"{name} must be 1 to {max_chars} printable characters, got {text!r:.200}")


def _check_text(record: Query | Label, name: str, max_chars: int) -> None:
    check_text(name, getattr(record, name), max_chars)


def _check_counts(record: Query | Label, *names: str) -> None:
    for name in names:
        value: Any = getattr(record, name)
        try:
            count = operator.index(value)  # NumPy integers become plain ones
        except TypeError:
            count = -1
        if not 0 <= count <= _MAX_INT:
            raise StoreError(f"{name} must be a whole number from 0 up, got {value!r}")
        object.__setattr__(record, name, count)


def _is_sha256(clip_id: object) -> bool:
    return isinstance(clip_id, str) and len(clip_id) == 64 and set(clip_id) <= _HEX_DIGITS


_HEX_DIGITS = frozenset("0123456789abcdef")
