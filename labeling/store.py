"""The label store: one SQLite file that is all learner and labeler share.

Rows are only ever added. A label is durable before `add_labels` returns, an undo is one more row,
and readers follow `seq`. Several processes (trainer, labelers) may have the file open at once.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from labeling import schema
from labeling.choice import Choice
from labeling.label import (
    MAX_ID_CHARS,
    Counts,
    Label,
    Query,
    StoredLabel,
    StoreError,
    check_text,
    utc_ms_now,
)

__all__ = ["Counts", "Label", "Query", "Store", "StoreError", "StoredLabel"]

_LABELS_AFTER = """SELECT seq, label_id, query_id, labeler, choice, swapped,
  shown_at_utc_ms, answered_at_utc_ms, ms_on_screen, voids_seq
FROM labels WHERE seq > ? ORDER BY seq"""
_CURRENT_LABELS = _LABELS_AFTER.replace("FROM labels", "FROM current_labels")
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
_OPEN_QUERIES = _ONE_QUERY.replace(
    "WHERE queries.query_id = ?",
    """WHERE NOT EXISTS (
  SELECT 1 FROM current_labels AS given
  WHERE given.query_id = queries.query_id AND (?1 IS NULL OR given.labeler = ?1))
ORDER BY queries.seq""",
)

_LabelValues = tuple[str, str, str, str | None, int, int, int, int, int | None]


class Store:
    """Queries and labels of one run; a context manager that closes the file.

    One object belongs to one thread of one process: open another after a fork.

    Raises:
        StoreError: here and in every method, with one line saying what was refused.
    """

    def __init__(self, path: Path | str) -> None:
        self._path = Path(path).resolve()
        self._connection = schema.connect(self._path)
        self._process_id = os.getpid()

    @classmethod
    def open_read_only(cls, path: Path | str) -> Self:
        """An existing store, to look at only."""
        store = cls.__new__(cls)
        store._path = Path(path).resolve()
        store._connection = schema.connect_read_only(store._path)
        store._process_id = os.getpid()
        return store

    def close(self) -> None:
        """Closes the file; whatever was acknowledged is in it."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def add_queries(self, queries: Sequence[Query]) -> None:
        """Stores queries durably, all or none; their clips must be on the disk before.

        A query that is there already is left as it is, if it is the same but for the time asked.
        """
        with self._writing() as db:
            for query in queries:
                stored = _find_query(db, query.query_id)
                if stored is None:
                    _insert_query(db, query)
                elif replace(stored, asked_at_utc_ms=query.asked_at_utc_ms) != query:
                    raise StoreError(f"query {query.query_id} is already stored and differs: {stored}")

    def add_labels(self, labels: Sequence[Label]) -> list[int]:
        """Stores labels durably, all or none, and returns the `seq` of each.

        Sending a label again returns the `seq` it has. Times do not count in what is the same, so
        that a teacher asked again after a crash may answer again.
        """
        with self._writing() as db:
            return [_add_label_row(db, _label_values(label)) for label in labels]

    def undo(
        self,
        label_id_to_void: str,
        new_label_id: str,
        labeler: str,
        undone_at_utc_ms: int | None = None,
    ) -> int:
        """Adds a row after which that labeler's own label no longer counts; returns its `seq`.

        The query is then open to that labeler again. Sending the same undo again changes nothing;
        an undo itself cannot be undone: answer again instead.
        """
        check_text("new_label_id", new_label_id, MAX_ID_CHARS)
        now = utc_ms_now() if undone_at_utc_ms is None else undone_at_utc_ms
        with self._writing() as db:
            found = db.execute("SELECT seq, query_id FROM labels WHERE label_id = ?", (label_id_to_void,)).fetchone()
            if found is None:
                raise StoreError(f"there is no label {label_id_to_void!r:.200} to undo")
            seq, query_id = found
            return _add_label_row(db, (new_label_id, query_id, labeler, None, 0, now, now, 0, seq))

    def labels_after(self, seq: int) -> list[StoredLabel]:
        """All rows stored after that one, in order, undoing rows among them; 0 gives all.

        A reader that keeps the last `seq` it was given misses nothing and sees nothing twice.
        """
        return self._labels(_LABELS_AFTER, seq)

    def current_labels(self) -> list[StoredLabel]:
        """The labels that count, in the order stored: all but those undone."""
        return self._labels(_CURRENT_LABELS, 0)

    def open_queries(self, labeler: str | None = None) -> list[Query]:
        """Queries nobody, or not that labeler, has a counting label for, in the order asked."""
        with self._reading() as db:
            return [_stored_query(row) for row in db.execute(_OPEN_QUERIES, (labeler,))]

    def query(self, query_id: str) -> Query:
        """The query of that id."""
        with self._reading() as db:
            query = _find_query(db, query_id)
        if query is None:
            raise StoreError(f"there is no query {query_id!r:.200} in {self._path}")
        return query

    def counts(self) -> Counts:
        """How many queries there are, and how many labels that count."""
        with self._reading() as db:
            (n_queries,) = db.execute("SELECT count(*) FROM queries").fetchone()
            rows = db.execute("SELECT choice, count(*) FROM current_labels GROUP BY choice")
            n_by_choice = dict.fromkeys(Choice, 0) | {Choice(text): n for text, n in rows}
        n_labels = sum(n_by_choice.values())
        return Counts(n_queries=n_queries, n_labels=n_labels, n_by_choice=n_by_choice)

    def _reading(self) -> AbstractContextManager[sqlite3.Connection]:
        """One state of the store for all that the block reads."""
        return self._in_transaction("DEFERRED")

    def _writing(self) -> AbstractContextManager[sqlite3.Connection]:
        """All that the block writes or nothing, durable when the block is left."""
        return self._in_transaction("IMMEDIATE")

    @contextmanager
    def _in_transaction(self, kind: str) -> Iterator[sqlite3.Connection]:
        if os.getpid() != self._process_id:
            raise StoreError("a label store must not be used after a fork; open it again there")
        with schema.sqlite_errors(self._path), schema.transaction(self._connection, kind):
            yield self._connection

    def _labels(self, sql: str, after_seq: int) -> list[StoredLabel]:
        with self._reading() as db:
            return [_stored_label(row) for row in db.execute(sql, (after_seq,))]


def _find_query(db: sqlite3.Connection, query_id: str) -> Query | None:
    row = db.execute(_ONE_QUERY, (query_id,)).fetchone()
    return None if row is None else _stored_query(row)


def _stored_query(row: tuple[Any, ...]) -> Query:
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


def _insert_query(db: sqlite3.Connection, query: Query) -> None:
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


def _stored_label(row: tuple[Any, ...]) -> StoredLabel:
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


def _label_values(label: Label) -> _LabelValues:
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


def _add_label_row(db: sqlite3.Connection, values: _LabelValues) -> int:
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
