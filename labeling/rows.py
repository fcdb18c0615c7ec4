"""Rows of the store's tables, and the records they stand for: every SQL statement on queries and labels is here."""

from __future__ import annotations

import sqlite3
from typing import Any

from labeling.choice import Choice
from labeling.label import Label, Query, StoredLabel, StoreError, WaitingQuery

LABELS_AFTER = """SELECT seq, label_id, query_id, labeler, choice, swapped,
  shown_at_utc_ms, answered_at_utc_ms, ms_on_screen, voids_seq
FROM labels WHERE seq > ? ORDER BY seq"""
CURRENT_LABELS = LABELS_AFTER.replace("FROM labels", "FROM current_labels")
_INSERT_LABEL = """INSERT INTO labels (label_id, query_id, labeler, choice, swapped,
  shown_at_utc_ms, answered_at_utc_ms, ms_on_screen, voids_seq)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_SAME_LABEL = """SELECT seq, query_id, labeler, choice, swapped, voids_seq
FROM labels WHERE label_id = ?"""
_INSERT_QUERY = """INSERT INTO queries
  (query_id, asked_at_step, round, strategy, is_random, score, asked_at_utc_ms)
VALUES (?, ?, ?, ?, ?, ?, ?)"""
_INSERT_CLIP = "INSERT INTO query_clips (query_id, position, clip_id) VALUES (?, ?, ?)"
_ONE_QUERY = """SELECT queries.query_id, clip_0.clip_id, clip_1.clip_id,
  asked_at_step, round, strategy, is_random, score, asked_at_utc_ms
FROM queries
JOIN query_clips AS clip_0 ON clip_0.query_id = queries.query_id AND clip_0.position = 0
JOIN query_clips AS clip_1 ON clip_1.query_id = queries.query_id AND clip_1.position = 1
WHERE queries.query_id = ?"""
OPEN_QUERIES = _ONE_QUERY.replace(
    "WHERE queries.query_id = ?",
    """WHERE NOT EXISTS (
  SELECT 1 FROM current_labels AS given
  WHERE given.query_id = queries.query_id AND (?1 IS NULL OR given.labeler = ?1))
ORDER BY queries.seq""",
)

COUNT_OWN = """SELECT count(*) FROM current_labels
WHERE query_id NOT IN (SELECT query_id FROM repeats) AND query_id NOT IN (SELECT query_id FROM imports)"""
ALL_QUERIES = _ONE_QUERY.replace("WHERE queries.query_id = ?", "ORDER BY queries.seq")
# By the clock that is never set: a wall clock put forward must not withdraw what somebody is looking at. A renewed
# lease keeps the time at which it was made, so that one which has not run out counts as well.
WAITING = """SELECT waiting.query_id, wanted, given, asked_at_step,
  EXISTS (SELECT 1 FROM leases WHERE leases.query_id = waiting.query_id AND leases.boot_id = :boot
          AND (leased_at_monotonic_ms > :now - 3600000 OR expires_monotonic_ms BETWEEN :now AND :now + 3600000)),
  given > 0 AND NOT EXISTS (SELECT 1 FROM leases WHERE leases.query_id = waiting.query_id AND leases.boot_id = :boot
                            AND (leased_at_monotonic_ms > :now - 600000
                                 OR expires_monotonic_ms BETWEEN :now AND :now + 3600000))
FROM waiting JOIN queries ON queries.query_id = waiting.query_id
WHERE given < wanted AND is_withdrawn = 0 AND (:with_repeats OR only_labeler IS NULL)
ORDER BY waiting.rowid"""

LabelValues = tuple[str, str, str, str | None, int, int, int, int, int | None]


def find_query(db: sqlite3.Connection, query_id: str) -> Query | None:
    """The stored query of that id, or None."""
    row = db.execute(_ONE_QUERY, (query_id,)).fetchone()
    return None if row is None else stored_query(row)


def stored_query(row: tuple[Any, ...]) -> Query:
    """The query that a row of `_ONE_QUERY`'s columns stands for."""
    query_id, left_clip, right_clip, step, round_, strategy, is_random, score, asked_at = row
    return Query(
        query_id=query_id,
        clip_ids=(left_clip, right_clip),
        asked_at_step=step,
        round=round_,
        strategy=strategy,
        is_random=bool(is_random),
        score=score,
        asked_at_utc_ms=asked_at,
    )


def insert_query(db: sqlite3.Connection, query: Query) -> None:
    """Inserts a query and its clips."""
    values = (
        query.query_id,
        query.asked_at_step,
        query.round,
        query.strategy,
        int(query.is_random),
        query.score,
        query.asked_at_utc_ms,
    )
    db.execute(_INSERT_QUERY, values)
    clips = enumerate(query.clip_ids)
    db.executemany(_INSERT_CLIP, [(query.query_id, position, clip) for position, clip in clips])


def insert_waiting(db: sqlite3.Connection, query_id: str, wanted: int, only_labeler: str | None = None) -> None:
    """Puts a stored query into the queue of those that wait for people."""
    values = (query_id, wanted, only_labeler)
    db.execute("INSERT INTO waiting (query_id, wanted, only_labeler) VALUES (?, ?, ?)", values)


def stored_waiting(row: tuple[Any, ...]) -> WaitingQuery:
    """What a row of `WAITING` says."""
    query_id, wanted, given, step, is_held, is_abandoned = row
    return WaitingQuery(
        query_id=query_id,
        n_wanted=wanted,
        n_given=given,
        asked_at_step=step,
        is_held=bool(is_held),
        is_abandoned=bool(is_abandoned),
    )


def stored_label(row: tuple[Any, ...]) -> StoredLabel:
    """The label that a row stands for."""
    seq, label_id, query_id, labeler, choice, swapped, shown_at, answered_at, ms, voids_seq = row
    return StoredLabel(
        seq=seq,
        label_id=label_id,
        query_id=query_id,
        labeler=labeler,
        choice=None if choice is None else Choice(choice),
        swapped=bool(swapped),
        shown_at_utc_ms=shown_at,
        answered_at_utc_ms=answered_at,
        ms_on_screen=ms,
        voids_seq=voids_seq,
    )


def label_values(label: Label) -> LabelValues:
    """The columns of a label that is to be inserted."""
    return (
        label.label_id,
        label.query_id,
        label.labeler,
        label.choice.value,
        int(label.swapped),
        label.shown_at_utc_ms,
        label.answered_at_utc_ms,
        label.ms_on_screen,
        None,
    )


def add_label_row(db: sqlite3.Connection, values: LabelValues) -> int:
    """Inserts the row unless it is there; the schema's triggers enforce all other rules."""
    label_id, query_id, labeler, choice, swapped, _, _, _, voids_seq = values
    stored = db.execute(_SAME_LABEL, (label_id,)).fetchone()
    if stored is not None:
        seq, *answer = stored
        if answer != [query_id, labeler, choice, swapped, voids_seq]:
            raise StoreError(f"label {label_id} is already stored with another answer: {answer}")
        return int(seq)
    try:
        added = db.execute(_INSERT_LABEL, values).lastrowid
    except sqlite3.IntegrityError as error:
        raise StoreError(f"label {label_id} of {labeler} on query {query_id}: {error}") from error
    assert added is not None
    return added
