"""Copies of the label store beside it, made while it is in use: every 100 labels, or ten minutes after the last one.

`labels.backup-000000300.sqlite` holds every label up to `seq` 300. The last few are kept; a copy that is not whole is
never given its name, so that a damaged store cannot take the place of a good backup.
"""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import time
import warnings
from collections.abc import Callable
from pathlib import Path

from labeling import durable
from labeling.failpoints import failpoint

__all__ = ["EVERY_LABELS", "EVERY_SECONDS", "KEEP", "Backups", "copy", "found", "last_seq", "seq_of"]

EVERY_LABELS = 100
EVERY_SECONDS = 600.0
KEEP = 3
_RETRY_SECONDS = 10.0
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def found(store_path: Path) -> list[Path]:
    """Backups of that store, the newest first."""
    return sorted(store_path.parent.glob(f"{store_path.stem}.backup-*{store_path.suffix}"), reverse=True)


def seq_of(backup: Path) -> int:
    """The newest label that a backup may hold, as its name says; 0 for a file of another name."""
    match = re.search(r"\.backup-(\d+)\.", backup.name)
    return int(match[1]) if match else 0


def last_seq(connection: sqlite3.Connection) -> int:
    """The highest `seq` that the store has ever given to a label."""
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'labels'").fetchone()
    return 0 if row is None else int(row[0])


def copy(connection: sqlite3.Connection, to: Path) -> None:
    """Copies what the connection sees into a file, whole and durable or not at all.

    Raises:
        sqlite3.DatabaseError: if the copy is not whole, and so neither is what was copied.
        OSError: if the disk refuses.
    """
    temporary = to.with_name(f".{to.name}.{os.getpid()}.tmp")
    try:
        temporary.unlink(missing_ok=True)
        with contextlib.closing(sqlite3.connect(temporary, isolation_level=None)) as target:
            target.execute("PRAGMA synchronous = OFF")  # it is synced as a whole below
            connection.backup(target)
            target.execute("PRAGMA journal_mode = DELETE")  # a copy of a WAL store would be one too
            damage = [str(row[0]) for row in target.execute("PRAGMA quick_check(1)")]
        if damage != ["ok"]:
            error = sqlite3.DatabaseError(damage[0])
            error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
            raise error
        failpoint("backup.copied")
        durable.sync_file(temporary)
        os.replace(temporary, to)
        failpoint("backup.renamed")
        durable.sync_folders([to.parent])
    finally:
        temporary.unlink(missing_ok=True)


class Backups:
    """Makes backups of a store when it is time for one.

    Args:
        store_path: The store.
        clock: Seconds by a clock that is never set.
    """

    def __init__(self, store_path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._store_path = store_path
        self._clock = clock
        self._seq: int | None = None
        self._at = clock()
        self._retry_at = self._at
        self._has_failed = False

    def make_if_due(self, connection: sqlite3.Connection) -> None:
        """Makes one if labels came and enough of them, or enough time, have passed; the first label makes the first.

        A full disk does not stop anybody from labeling: it is said once, and tried again later.

        Raises:
            sqlite3.DatabaseError: if the store turns out to be damaged.
        """
        seq = last_seq(connection)
        if self._seq is None:  # a crash may have come between the name of the newest and the end of the oldest
            self._prune(max(map(seq_of, found(self._store_path)), default=0))
        if self._is_due(seq) and not self._is_made_elsewhere(seq):
            self.make(connection, seq)

    def make(self, connection: sqlite3.Connection, seq: int) -> None:
        """Makes one now, of labels up to `seq`; what is raised and what only said is as in `make_if_due`."""
        path = self._store_path
        try:
            copy(connection, path.with_name(f"{path.stem}.backup-{seq:09d}{path.suffix}"))
        except (OSError, sqlite3.Error) as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED:
                raise
            self._retry_at = self._clock() + _RETRY_SECONDS
            if not self._has_failed:
                self._has_failed = True
                warnings.warn(f"no backup of {path} could be made, which is tried again: {error}", stacklevel=2)
            return
        self._seq, self._at, self._has_failed = seq, self._clock(), False
        self._prune(seq)

    def _is_due(self, seq: int) -> bool:
        now = self._clock()
        if self._seq is None:
            self._seq = max(map(seq_of, found(self._store_path)), default=0)
        if seq == self._seq or (self._has_failed and now < self._retry_at):
            return False
        return not self._seq or seq - self._seq >= EVERY_LABELS or now - self._at >= EVERY_SECONDS

    def _is_made_elsewhere(self, seq: int) -> bool:
        """Whether another process that writes to the store has made one lately."""
        newest = max(map(seq_of, found(self._store_path)), default=0)
        if newest <= (self._seq or 0):
            return False
        self._seq, self._at = newest, self._clock()
        return seq - newest < EVERY_LABELS

    def _prune(self, seq: int) -> None:
        """Deletes all but the newest few, and what copying left that was cut off by a crash."""
        path = self._store_path
        unfinished = [x for x in path.parent.glob(f".{path.stem}.backup-*.tmp") if seq_of(x) < seq]
        with contextlib.suppress(OSError):
            for old in [*found(path)[KEEP:], *unfinished]:
                old.unlink(missing_ok=True)
