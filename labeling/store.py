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
from typing import Self

from labeling import clocks, rows, schema
from labeling.backups import Backups
from labeling.choice import Choice
from labeling.label import (
    MAX_ID_CHARS,
    MAX_NAME_CHARS,
    Counts,
    Invite,
    Label,
    Query,
    StoredLabel,
    StoreError,
    WaitingQuery,
    check_text,
    utc_ms_now,
)

__all__ = ["Counts", "Invite", "Label", "Query", "Store", "StoreError", "StoredLabel", "WaitingQuery"]

MAX_REASON_CHARS = 500


class Store:
    """Queries and labels of one run; a context manager that closes the file.

    One object belongs to one thread of one process: open another after a fork.

    Raises:
        StoreError: here and in every method, with one line saying what was refused.
    """

    def __init__(self, path: Path | str) -> None:
        self._path = Path(path).resolve()
        self._connection = schema.connect(self._path)
        self._backups = Backups(self._path)
        self._process_id = os.getpid()

    @classmethod
    def open_read_only(cls, path: Path | str) -> Self:
        """An existing store, to look at only."""
        store = cls.__new__(cls)
        store._path = Path(path).resolve()
        store._connection = schema.connect_read_only(store._path)
        store._backups = Backups(store._path)
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

    def add_queries(self, queries: Sequence[Query], answers_wanted: int = 0) -> None:
        """Stores queries durably, all or none; their clips must be on the disk before.

        A query that is there already is left as it is, if it is the same but for the time asked.

        Args:
            queries: Queries.
            answers_wanted: They wait for this many labels of as many people; 0: the asker answers them itself.
        """
        with self.writing() as db:
            for query in queries:
                if self._add_query(db, query) and answers_wanted:
                    rows.insert_waiting(db, query.query_id, answers_wanted)

    def add_imported(self, source: str, queries: Sequence[Query], labels: Sequence[Label]) -> int:
        """Stores queries and labels of another run durably, all or none; returns how many labels are new."""
        check_text("source", source, MAX_REASON_CHARS)
        with self.writing() as db:
            before = db.execute("SELECT count(*) FROM labels").fetchone()[0]
            for query in queries:
                if self._add_query(db, query):
                    db.execute("INSERT INTO imports (query_id, source) VALUES (?, ?)", (query.query_id, source))
            for label in labels:
                rows.add_label_row(db, rows.label_values(label))
            return int(db.execute("SELECT count(*) FROM labels").fetchone()[0] - before)

    def withdraw(self, query_id: str, reason: str) -> None:
        """Takes a query off the queue for good: nobody is asked about it any more; labels on it stay.

        A query that was withdrawn before keeps its first reason.
        """
        reason = "".join(c if c.isprintable() else " " for c in reason)[:MAX_REASON_CHARS]
        check_text("reason", reason, MAX_REASON_CHARS)
        with self.writing() as db:
            if rows.find_query(db, query_id) is None:
                raise StoreError(f"there is no query {query_id!r:.200} in {self._path}")
            values = (query_id, reason, utc_ms_now())
            db.execute(
                "INSERT INTO withdrawals (query_id, reason, withdrawn_at_utc_ms) "
                "SELECT ?1, ?2, ?3 WHERE NOT EXISTS (SELECT 1 FROM withdrawals WHERE query_id = ?1)",
                values,
            )

    def withdrawals(self) -> dict[str, str]:
        """Why queries were withdrawn, by query id, in the order it was done."""
        return self._pairs("SELECT query_id, reason FROM withdrawals ORDER BY rowid")

    def repeats(self) -> dict[str, str]:
        """Queries that were asked again of the same person, each with the query that it repeats."""
        return self._pairs("SELECT query_id, of_query_id FROM repeats ORDER BY rowid")

    def imports(self) -> dict[str, str]:
        """Queries that came with labels of another run, each with that run's id."""
        return self._pairs("SELECT query_id, source FROM imports ORDER BY rowid")

    def waiting(self, *, with_repeats: bool = False) -> list[WaitingQuery]:
        """Queries that wait for people, the oldest first; those that repeat another only if asked for."""
        with self.reading() as db:
            when = {"now": clocks.monotonic_ms(), "boot": clocks.boot_id()}
            found = db.execute(rows.WAITING, {**when, "with_repeats": with_repeats})
            return [rows.stored_waiting(row) for row in found]

    def queries(self) -> list[Query]:
        """Every query, in the order asked."""
        with self.reading() as db:
            return [rows.stored_query(row) for row in db.execute(rows.ALL_QUERIES)]

    def add_invite(self, name: str, token_sha256: str, *, is_operator: bool) -> None:
        """Lets the bearer of that token label under that name, or, an operator, see the progress of all."""
        check_text("name", name, MAX_NAME_CHARS)
        with self.writing() as db:
            db.execute(
                "INSERT INTO invites (token_sha256, name, is_operator, invited_at_utc_ms) VALUES (?, ?, ?, ?)",
                (token_sha256, name, int(is_operator), utc_ms_now()),
            )

    def invites(self) -> list[Invite]:
        """Everyone invited, the earliest first; a name may have several tokens."""
        with self.reading() as db:
            found = db.execute("SELECT name, token_sha256, is_operator FROM invites ORDER BY rowid").fetchall()
        return [Invite(name=name, token_sha256=sha, is_operator=bool(operator)) for name, sha, operator in found]

    def add_labels(self, labels: Sequence[Label]) -> list[int]:
        """Stores labels durably, all or none, and returns the `seq` of each.

        Sending a label again returns the `seq` it has. Times do not count in what is the same, so
        that a teacher asked again after a crash may answer again.
        """
        with self.writing() as db:
            return [rows.add_label_row(db, rows.label_values(label)) for label in labels]

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
        with self.writing() as db:
            found = db.execute("SELECT seq, query_id FROM labels WHERE label_id = ?", (label_id_to_void,)).fetchone()
            if found is None:
                raise StoreError(f"there is no label {label_id_to_void!r:.200} to undo")
            seq, query_id = found
            return rows.add_label_row(db, (new_label_id, query_id, labeler, None, 0, now, now, 0, seq))

    def labels_after(self, seq: int) -> list[StoredLabel]:
        """All rows stored after that one, in order, undoing rows among them; 0 gives all.

        A reader that keeps the last `seq` it was given misses nothing and sees nothing twice.
        """
        return self._labels(rows.LABELS_AFTER, seq)

    def current_labels(self) -> list[StoredLabel]:
        """The labels that count, in the order stored: all but those undone."""
        return self._labels(rows.CURRENT_LABELS, 0)

    def open_queries(self, labeler: str | None = None) -> list[Query]:
        """Queries nobody, or not that labeler, has a counting label for, in the order asked."""
        with self.reading() as db:
            return [rows.stored_query(row) for row in db.execute(rows.OPEN_QUERIES, (labeler,))]

    def query(self, query_id: str) -> Query:
        """The query of that id."""
        with self.reading() as db:
            query = rows.find_query(db, query_id)
        if query is None:
            raise StoreError(f"there is no query {query_id!r:.200} in {self._path}")
        return query

    def counts(self) -> Counts:
        """How many queries there are, and how many labels that count."""
        with self.reading() as db:
            (n_queries,) = db.execute("SELECT count(*) FROM queries").fetchone()
            rows = db.execute("SELECT choice, count(*) FROM current_labels GROUP BY choice")
            n_by_choice = dict.fromkeys(Choice, 0) | {Choice(text): n for text, n in rows}
        n_labels = sum(n_by_choice.values())
        return Counts(n_queries=n_queries, n_labels=n_labels, n_by_choice=n_by_choice)

    @contextmanager
    def together(self) -> Iterator[None]:
        """All that is written inside is made durable at once, when the block is left; each write may fail by itself."""
        with self.writing():
            yield

    def data_version(self) -> int:
        """A number that changes when another connection has written: cheap to ask often."""
        with schema.sqlite_errors(self._path):
            return int(self._connection.execute("PRAGMA data_version").fetchone()[0])

    def n_own_labels(self) -> int:
        """Labels that count and that the run asked for: no repeats, and none of another run."""
        with self.reading() as db:
            return int(db.execute(rows.COUNT_OWN).fetchone()[0])

    def reading(self) -> AbstractContextManager[sqlite3.Connection]:
        """One state of the store for all that the block reads."""
        return self._in_transaction("DEFERRED")

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """All that the block writes or nothing, durable when the block is left; then it is backed up, if it is time.

        Raises:
            DamagedStoreError: also when that backup finds the store damaged; what was written is in it all the same.
        """
        with schema.sqlite_errors(self._path):
            with self._in_transaction("IMMEDIATE") as db:
                yield db
            if not db.in_transaction:  # else the outer block makes it durable
                self._backups.make_if_due(db)

    @contextmanager
    def _in_transaction(self, kind: str) -> Iterator[sqlite3.Connection]:
        if os.getpid() != self._process_id:
            raise StoreError("a label store must not be used after a fork; open it again there")
        with schema.sqlite_errors(self._path), schema.transaction(self._connection, kind):
            yield self._connection

    def _add_query(self, db: sqlite3.Connection, query: Query) -> bool:
        """Inserts the query unless it is there already; False then."""
        stored = rows.find_query(db, query.query_id)
        if stored is None:
            rows.insert_query(db, query)
        elif replace(stored, asked_at_utc_ms=query.asked_at_utc_ms) != query:
            raise StoreError(f"query {query.query_id} is already stored and differs: {stored}")
        return stored is None

    def _pairs(self, sql: str) -> dict[str, str]:
        with self.reading() as db:
            return dict(db.execute(sql).fetchall())

    def _labels(self, sql: str, after_seq: int) -> list[StoredLabel]:
        with self.reading() as db:
            return [rows.stored_label(row) for row in db.execute(sql, (after_seq,))]
