"""Recovering a damaged label store: the newest good backup, and on top of it every row that can still be read.

The damaged file is kept under another name, and only then is the recovered one put into its place, in one step: a
recovery that is cut off is simply begun again, and reads what the one before it had kept.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labeling import backups, disk, durable, half_writes, schema
from labeling.failpoints import failpoint
from labeling.label import DamagedStoreError, StoreError
from labeling.refill import add_salvaged, mark_lost_queries
from labeling.salvage import Salvaged, salvage

__all__ = ["Recovery", "recover"]

_BESIDE = ("-journal", "-wal")
"""Files that belong to a store which was not closed."""

_UNKNOWN_GAP = 1_000_000
"""Numbers passed over where nobody knows which the lost labels had: one must never stand for two labels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """What came of a recovery."""

    n_saved: int
    """Labels in the recovered store, undoing rows among them."""
    n_missing_at_most: int
    """Labels that may have been in the damaged store and are not in the recovered one."""
    is_bound_exact: bool
    """Whether the damaged store still said how many labels it had; else the backups' distance is the bound."""
    backup: Path | None
    """The backup that was begun from."""
    kept: Path | None
    """Where the damaged file is now; None where it was gone or empty."""


def recover(path: Path) -> Recovery | None:
    """Puts a recovered store into the place of a damaged one; None where the store is whole, which is left alone.

    Raises:
        StoreError: if another process has the store open, it is no label store or a newer one, or there is nothing
            to recover from.
    """
    path = path.resolve()
    if _is_whole(path):
        return None
    users = disk.open_in(path)
    if users:
        ids = ", ".join(map(str, users))
        raise StoreError(f"{path} is open in other processes ({ids}); end the training, the window and the page first")
    if not path.exists() and not backups.found(path) and not _kept_before(path):
        raise StoreError(f"there is no label store at {path}, and no backup of one")
    kept = _keep(path)
    failpoint("recover.kept")
    try:
        with _built(path, is_there=kept is not None) as (temporary, recovery):
            failpoint("recover.built")
            for ending in (*_BESIDE, "-shm"):  # SQLite would play the old journal back into the new file
                path.with_name(path.name + ending).unlink(missing_ok=True)
            durable.sync_folders([path.parent])
            failpoint("recover.cleared")
            os.replace(temporary, path)
            durable.sync_folders([path.parent])
    except OSError as error:
        raise StoreError(f"{path} could not be recovered: {error.strerror or error}; try again") from error
    _back_up(path)
    return Recovery(kept=kept, **recovery)


def _is_whole(path: Path) -> bool:
    if not path.exists():
        return False
    try:
        with contextlib.closing(schema.connect(path)) as db, schema.sqlite_errors(path):
            damage = [row[0] for row in db.execute("PRAGMA integrity_check(1)")]
    except DamagedStoreError:
        return False
    return damage == ["ok"]


def _keep(path: Path) -> Path | None:
    """Copies the damaged store, with all that belongs to it, under a name that says so."""
    if not path.exists() or path.stat().st_size == 0:
        return None
    number = 1 + len(_kept_before(path))
    while (kept := path.with_name(f"{path.stem}.damaged-{number}{path.suffix}")).exists():
        number += 1
    for ending in _BESIDE:  # before the store itself, which alone counts as kept
        if (beside := path.with_name(path.name + ending)).exists():
            _copy(beside, kept.with_name(kept.name + ending))
    _copy(path, kept)
    return kept


def _copy(source: Path, to: Path) -> None:
    temporary = to.with_name(f".{to.name}.tmp")
    shutil.copyfile(source, temporary)
    durable.sync_file(temporary)
    os.replace(temporary, to)
    durable.sync_folders([to.parent])


def _kept_before(path: Path) -> list[Path]:
    """Damaged stores that were kept, the newest first: a recovery that was cut off may have left the only whole one."""
    found = path.parent.glob(f"{path.stem}.damaged-*{path.suffix}")
    return sorted(found, key=lambda kept: (len(kept.name), kept.name), reverse=True)


@contextlib.contextmanager
def _built(path: Path, *, is_there: bool) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The recovered store in a file of its own, durable, and what a `Recovery` says of it."""
    found = [_salvage_copy(kept) for kept in _kept_before(path)]  # the first is the damaged store, if it is there
    last = found[0].last_seq if is_there else None
    with tempfile.TemporaryDirectory(prefix=f".{path.stem}.recovering-", dir=path.parent) as folder:
        temporary = Path(folder) / path.name
        backup = _copy_newest_good(path, temporary)
        with contextlib.closing(schema.connect(temporary)) as db, schema.sqlite_errors(temporary):
            n_missing = _fill(db, found, last)
            n_saved = _count(db)
            db.execute("PRAGMA journal_mode = DELETE")  # nothing beside the file, when it is moved
        durable.sync_file(temporary)
        said = {"n_saved": n_saved, "n_missing_at_most": n_missing, "is_bound_exact": last is not None}
        yield temporary, {**said, "backup": backup}


def _fill(db: sqlite3.Connection, found: Sequence[Salvaged], last: int | None) -> int:
    """Adds what was salvaged to what a backup holds; how many labels are missing at most.

    Args:
        db: The backup, or an empty store.
        found: What was salvaged.
        last: The highest `seq` that the damaged store gave out, as far as it still says.
    """
    n_before, backed_up = _count(db), backups.last_seq(db)
    with schema.transaction(db):
        for salvaged in found:
            add_salvaged(db, salvaged)
        mark_lost_queries(db)
        n_new, highest = _count(db) - n_before, backups.last_seq(db)
        _pass_over(db, "labels", highest + _UNKNOWN_GAP if last is None else last)
        _pass_over(db, "queries", max((salvaged.last_query_seq for salvaged in found), default=0))
    n_since_backup = backups.EVERY_LABELS - 1 if last is None else max(last, highest) - backed_up
    return max(0, n_since_backup - n_new)


def _salvage_copy(kept: Path) -> Salvaged:
    with tempfile.TemporaryDirectory(prefix=f".{kept.stem}.reading-", dir=kept.parent) as folder:
        for ending in ("", *_BESIDE):
            if (source := kept.with_name(kept.name + ending)).exists():
                shutil.copyfile(source, Path(folder) / source.name)
        copy = Path(folder) / kept.name
        try:
            half_writes.refuse_foreign_journal(copy)
        except StoreError:  # no store of ours has such a journal: what it would play back is not worth its harm
            copy.with_name(f"{copy.name}-journal").unlink()
        return salvage(copy)


def _copy_newest_good(path: Path, to: Path) -> Path | None:
    for backup in backups.found(path):
        with contextlib.suppress(StoreError), contextlib.closing(schema.connect_read_only(backup)) as db:
            with schema.sqlite_errors(backup):
                backups.copy(db, to)
            return backup
    return None


def _count(db: sqlite3.Connection) -> int:
    return int(db.execute("SELECT count(*) FROM labels").fetchone()[0])


def _pass_over(db: sqlite3.Connection, table: str, seq: int) -> None:
    """Lets the next row of the table have a higher number than that."""
    updated = db.execute("UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = ?", (seq, table))
    if not updated.rowcount and seq:
        db.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (table, seq))


def _back_up(path: Path) -> None:
    """The recovered store is worth a backup at once; where the disk refuses, the next label makes one."""
    with contextlib.closing(schema.connect(path)) as db, schema.sqlite_errors(path):
        seq = backups.last_seq(db)
        if seq:
            backups.Backups(path).make(db, seq)
