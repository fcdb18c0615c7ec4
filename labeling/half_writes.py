"""A store whose writer died in the midst of a commit: the rollback journal beside it, by which SQLite undoes the half.

SQLite does so by itself whenever the store is opened for writing, and refuses to read it otherwise.
"""

from __future__ import annotations

import contextlib
import shlex
import sqlite3
from pathlib import Path

from labeling.label import StoreError

_SUPER_JOURNAL = bytes.fromhex("d9d505f920a163d7")
"""How a journal ends that names another file (sqlite.org/fileformat2.html, section 3)."""


def is_one(error: sqlite3.Error) -> bool:
    """Whether a store could not be read because that would take writing to it."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_READONLY


def refuse_foreign_journal(path: Path) -> None:
    """Refuses a journal that names another file, as none of a label store does: SQLite would delete that file.

    It is where transactions over several databases are kept together, and whoever sends a run folder could name any
    file in it of whoever opens the folder.

    Raises:
        StoreError: what was found, and what to do.
    """
    journal = _journal(path)
    try:
        with journal.open("rb") as file:
            file.seek(max(0, journal.stat().st_size - len(_SUPER_JOURNAL)))
            end = file.read()
    except OSError:  # there is none, or SQLite cannot read it either
        return
    if end == _SUPER_JOURNAL:
        raise StoreError(
            f"expected a journal of {path} alone in {journal}, got one that names another file, which SQLite would "
            "delete; do not trust who made it, and move it away to open the store without it"
        )


def undo(path: Path, timeout_seconds: float) -> None:
    """Has SQLite undo what is half written, by opening the store for writing once; nothing else of it is changed.

    Raises:
        StoreError: it may not be written to here; what to do.
    """
    refuse_foreign_journal(path)
    uri = f"{path.as_uri()}?mode=rw"
    with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=timeout_seconds, isolation_level=None)) as db:
        db.execute("PRAGMA trusted_schema = OFF")
        try:
            db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise
            raise StoreError(
                f"expected to undo what a killed process had half written to {path}, got: {error}; run this as who may "
                f"write to {shlex.quote(str(path.parent))}, or on a copy of that whole folder"
            ) from error


def _journal(path: Path) -> Path:
    return path.with_name(f"{path.name}-journal")
