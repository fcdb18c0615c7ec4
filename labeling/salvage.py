"""Reading what can still be read of a damaged label store: row by row, past whatever is broken."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["COLUMNS", "Salvaged", "salvage"]

Row = tuple[Any, ...]

COLUMNS: dict[str, tuple[str, ...]] = {
    "queries": ("seq", "query_id", "asked_at_step", "round", "strategy", "is_random", "score", "asked_at_utc_ms"),
    "query_clips": ("query_id", "position", "clip_id"),
    "labels": (
        *("seq", "label_id", "query_id", "labeler", "choice", "swapped"),
        *("shown_at_utc_ms", "answered_at_utc_ms", "ms_on_screen", "voids_seq"),
    ),
    "waiting": ("query_id", "wanted", "only_labeler"),
    "withdrawals": ("query_id", "reason", "withdrawn_at_utc_ms"),
    "repeats": ("query_id", "of_query_id", "labeler"),
    "imports": ("query_id", "source"),
    "leases": ("query_id", "labeler", "swapped", "leased_at_utc_ms", "expires_monotonic_ms"),
    "invites": ("token_sha256", "name", "is_operator", "invited_at_utc_ms"),
}
"""What is read of each table; what the tables count by themselves is counted anew."""

_WITHOUT_ROWID = ("query_clips", "leases")
_FAR = 2_000
"""So many numbers without a row, and no more are looked for: several pages of rows, however short they are."""


@dataclass(slots=True)
class Salvaged:
    """Rows of a damaged store, by table, in `COLUMNS`' order."""

    rows: dict[str, list[Row]] = field(default_factory=lambda: {table: [] for table in COLUMNS})
    last_seq: int | None = None
    """The highest `seq` that a label was ever given; None where that cannot be read."""
    last_query_seq: int = 0
    """The same for queries, as far as it can be read."""


def salvage(path: Path) -> Salvaged:
    """Reads all it can of the store at `path`, which must be a copy: a journal beside it is played back into it."""
    found = Salvaged()
    _cut_to_pages(path)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db, contextlib.suppress(sqlite3.Error):
        db.text_factory = bytes  # decoded row by row, so that a broken text costs its own row alone
        for pragma in ("trusted_schema = OFF", "cell_size_check = ON", "query_only = ON"):
            db.execute(f"PRAGMA {pragma}")
        db.execute("PRAGMA writable_schema = ON")  # else SQLite reads nothing of a file that is cut short
        db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        _read_sequences(db, found)
        for table in COLUMNS:
            if table not in _WITHOUT_ROWID:
                known = {"labels": found.last_seq or 0, "queries": found.last_query_seq}.get(table, 0)
                found.rows[table] = _by_rowid(db, table, known)
        query_ids = {row[1] for row in found.rows["queries"]} | {row[2] for row in found.rows["labels"]}
        for table in _WITHOUT_ROWID:
            found.rows[table] = _by_query(db, table, query_ids)
    return found


def _cut_to_pages(path: Path) -> None:
    """Drops a last page that is there in part: SQLite would take the missing part for zeros, and rows for others."""
    with path.open("r+b") as file:
        header = file.read(18)
        page_size = int.from_bytes(header[16:18])
        page_size = 65536 if page_size == 1 else page_size
        if page_size:
            file.truncate(path.stat().st_size // page_size * page_size)


def _read_sequences(db: sqlite3.Connection, found: Salvaged) -> None:
    with contextlib.suppress(sqlite3.Error):
        for name, seq in db.execute("SELECT name, seq FROM sqlite_sequence"):
            if name == b"labels" and isinstance(seq, int):
                found.last_seq = seq
            elif name == b"queries" and isinstance(seq, int):
                found.last_query_seq = seq
        found.last_seq = found.last_seq or 0  # the table is whole: no label was ever stored


def _by_rowid(db: sqlite3.Connection, table: str, last: int) -> list[Row]:
    """From the first row on, then from the last one back, then one by one between them, at least as far as `last`."""
    select = f"SELECT rowid, {', '.join(COLUMNS[table])} FROM {table} NOT INDEXED"  # noqa: S608  # our own names
    rows: dict[int, Row] = {}
    if _collect(db, f"{select} ORDER BY rowid", rows):
        rowid = newest = max(rows, default=0)
        _collect(db, f"{select} ORDER BY rowid DESC", rows)
        while (rowid := rowid + 1) - newest < _FAR or rowid <= last:
            if rowid not in rows:
                _collect(db, f"{select} WHERE rowid = {rowid}", rows)
            newest = rowid if rowid in rows else newest
    return [rows[rowid] for rowid in sorted(rows)]


def _by_query(db: sqlite3.Connection, table: str, query_ids: Iterable[str]) -> list[Row]:
    """All rows, or where some cannot be reached those of each query by itself."""
    select = f"SELECT NULL, {', '.join(COLUMNS[table])} FROM {table}"  # noqa: S608  # our own names
    rows: dict[Row, None] = {}
    is_broken = False
    try:
        rows.update(dict.fromkeys(_decoded(db.execute(select))))
    except sqlite3.Error:
        is_broken = True
    for query_id in query_ids if is_broken else ():
        with contextlib.suppress(sqlite3.Error):
            rows.update(dict.fromkeys(_decoded(db.execute(f"{select} WHERE query_id = ?", (query_id,)))))
    return [row[1:] for row in rows]


def _collect(db: sqlite3.Connection, sql: str, rows: dict[int, Row]) -> bool:
    """Adds what a statement gives until it fails; whether it did."""
    try:
        for rowid, *row in _decoded(db.execute(sql)):
            rows.setdefault(rowid, tuple(row))
    except sqlite3.Error:
        return True
    return False


def _decoded(cursor: Iterable[Row]) -> Iterator[Row]:
    for row in cursor:
        with contextlib.suppress(UnicodeDecodeError):
            yield tuple(value.decode("utf-8") if isinstance(value, bytes) else value for value in row)
