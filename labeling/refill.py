"""Putting salvaged rows into a store again, each checked as if it were new: what does not fit any more is left out."""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
from collections import defaultdict
from collections.abc import Sequence

from labeling import rows
from labeling.label import StoreError
from labeling.salvage import COLUMNS, Row, Salvaged

__all__ = ["LOST", "add_salvaged", "mark_lost_queries"]

LOST = "lost"
"""Strategy of queries that stand in the place of lost ones."""

_BESIDE_QUERIES = ("imports", "repeats", "waiting", "leases", "invites")


def add_salvaged(db: sqlite3.Connection, found: Salvaged) -> None:
    """Adds all rows that the store does not have; where both have one, the store's stays."""
    clips: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for query_id, position, clip_id in found.rows["query_clips"]:
        clips[query_id].append((position, clip_id))
    for row in found.rows["queries"]:
        _add_query(db, row, [clip_id for _, clip_id in sorted(clips[row[1]])])
    for table in _BESIDE_QUERIES:
        for row in found.rows[table]:
            _insert(db, table, row)
    for row in found.rows["labels"]:
        _add_label(db, row)
    for row in found.rows["withdrawals"]:  # after the labels: a withdrawn query may have some
        _insert(db, "withdrawals", row)


def mark_lost_queries(db: sqlite3.Connection) -> None:
    """Puts a withdrawn query of no clips that there are into the place of each that is lost.

    The learner numbers its queries by how many there are: without those it would give a number to two of them.
    """
    taken = {seq for (seq,) in db.execute("SELECT seq FROM queries")}
    for seq in set(range(1, max(taken, default=0))) - taken:
        query_id = f"{LOST}-{seq}"
        _insert(db, "queries", (seq, query_id, 0, 0, LOST, 0, None, 0))
        for position in (0, 1):
            clip_id = hashlib.sha256(f"{query_id} {position}".encode()).hexdigest()
            _insert(db, "query_clips", (query_id, position, clip_id))
        _insert(db, "withdrawals", (query_id, "lost when the label store was damaged", 0))


def _add_query(db: sqlite3.Connection, row: Row, clip_ids: Sequence[str]) -> None:
    seq, query_id, *fields = row
    if len(clip_ids) != 2 or _has(db, "queries", "query_id", query_id):
        return
    try:
        rows.stored_query((query_id, *clip_ids, *fields))
    except (StoreError, TypeError, ValueError):
        return
    if _insert(db, "queries", (seq, query_id, *fields)):
        for position, clip_id in enumerate(clip_ids):
            _insert(db, "query_clips", (query_id, position, clip_id))


def _add_label(db: sqlite3.Connection, row: Row) -> None:
    seq, label_id, query_id, labeler, choice = row[:5]
    if _has(db, "labels", "seq", seq) or _has(db, "labels", "label_id", label_id):
        return
    try:
        rows.stored_label(row)
    except (StoreError, TypeError, ValueError):
        return
    # That a later answer of theirs was ever accepted shows that the earlier one had been undone: that row is lost.
    if not _insert(db, "labels", row) and choice is not None and _undo_between(db, query_id, labeler, seq):
        _insert(db, "labels", row)


def _undo_between(db: sqlite3.Connection, query_id: str, labeler: str, seq: int) -> bool:
    """Puts an undoing row into the gap in which the lost one stood; whether there was one."""
    earlier = db.execute(
        "SELECT seq FROM current_labels WHERE query_id = ? AND labeler = ? AND seq < ?", (query_id, labeler, seq)
    ).fetchone()
    if earlier is None:
        return False
    taken = {found for (found,) in db.execute("SELECT seq FROM labels WHERE seq BETWEEN ? AND ?", (earlier[0], seq))}
    gap = next((number for number in range(seq - 1, earlier[0], -1) if number not in taken), None)
    if gap is None:
        return False
    return _insert(db, "labels", (gap, f"recovered-undo-{gap}", query_id, labeler, None, 0, 0, 0, 0, earlier[0]))


def _has(db: sqlite3.Connection, table: str, column: str, value: object) -> bool:
    return db.execute(f"SELECT 1 FROM {table} WHERE {column} = ?", (value,)).fetchone() is not None  # noqa: S608  # our names


def _insert(db: sqlite3.Connection, table: str, row: Row) -> bool:
    """Inserts a row unless a rule of the store is against it; whether it is in."""
    columns = COLUMNS[table]
    sql = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"  # noqa: S608  # our names
    with contextlib.suppress(sqlite3.IntegrityError):
        db.execute(sql, row)
        return True
    return False
