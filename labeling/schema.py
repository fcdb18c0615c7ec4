"""How a connection to the label store is opened safely: the file checked, journaled, migrated, its tables compared."""

from __future__ import annotations

import contextlib
import shlex
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from labeling import backups, disk, half_writes
from labeling.failpoints import failpoint
from labeling.label import DamagedStoreError, StoreError
from labeling.tables import MIGRATIONS

APPLICATION_ID = 0x50524546
"""Marks an SQLite file as a label store: "PREF" in ASCII."""

BUSY_TIMEOUT_SECONDS = 30.0

_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def is_wal_safe(version: tuple[int, int, int]) -> bool:
    """Whether this SQLite is free of the WAL-reset bug, which can lose committed rows.

    Fixed in 3.51.3, and in 3.50.7 and 3.44.6 for their branches (sqlite.org/wal.html).
    """
    return version >= (3, 51, 3) or (3, 50, 7) <= version < (3, 51, 0) or (3, 44, 6) <= version < (3, 45, 0)


@contextlib.contextmanager
def sqlite_errors(path: Path) -> Iterator[None]:
    """Turns what SQLite raises inside the block into a `StoreError` of one line."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            message = f"{path} was locked by another process for {BUSY_TIMEOUT_SECONDS:.0f} s"
            raise StoreError(f"{message}; look for one that hangs") from error
        raise StoreError(f"{path}: {error}") from error
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED:
            raise damaged(path, str(error)) from error
        raise StoreError(f"{path}: {error}") from error
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror or error}") from error


def damaged(path: Path, what: str) -> DamagedStoreError:
    """The error that says so, with the command that saves what can be saved."""
    folder = shlex.quote(str(path.parent))
    return DamagedStoreError(f"{path} is damaged ({what}); save what can be saved by: prefrl labels recover {folder}")


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection, kind: str = "IMMEDIATE") -> Iterator[None]:
    """All of the block or nothing; durable when left, unless `kind` is a DEFERRED reading one.

    Inside another transaction it is a savepoint: all or nothing as well, and durable when the outer one is left.
    """
    begin, commit, roll_back = f"BEGIN {kind}", "COMMIT", ["ROLLBACK"]
    if connection.in_transaction:
        begin, commit, roll_back = "SAVEPOINT s", "RELEASE s", ["ROLLBACK TO s", "RELEASE s"]
    is_writing = begin == "BEGIN IMMEDIATE"
    connection.execute(begin)
    try:
        if is_writing:
            failpoint("store.begin")
        yield
        if is_writing:
            failpoint("store.commit")
        connection.execute(commit)
        if is_writing:
            failpoint("store.committed")
    except BaseException:
        if connection.in_transaction:  # SQLite has itself rolled back after some errors
            for statement in roll_back:
                connection.execute(statement)
        raise


def connect(path: Path) -> sqlite3.Connection:
    """Opens the store for reading and writing, making or migrating it as needed.

    Raises:
        DamagedStoreError: if the file is damaged, or gone or empty though there are backups of it.
        StoreError: if it is no label store, of a newer version, on a network file system, or beside a foreign journal.
    """
    disk.refuse_network(path)
    _check_not_lost(path)
    half_writes.refuse_foreign_journal(path)
    with sqlite_errors(path):
        connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_SECONDS, isolation_level=None)
        try:
            _check_file(connection, path, may_write=True)
            _set_journal(connection, path)
            _migrate(connection, path)
            _check_schema(connection, path)
        except BaseException:
            connection.close()
            raise
    return connection


def connect_read_only(path: Path) -> sqlite3.Connection:
    """Opens an existing store without the right to write; raises what `connect` does.

    One of an older schema is read from a copy in memory that is brought to today's. What a killed process had half
    written is undone first, without which SQLite would not let it be read.
    """
    _check_not_lost(path)
    if not path.is_file():
        raise StoreError(f"there is no label store at {path}")
    with sqlite_errors(path):
        try:
            return _open_to_read(path)
        except sqlite3.OperationalError as error:
            if not half_writes.is_one(error):
                raise
        half_writes.undo(path, BUSY_TIMEOUT_SECONDS)
        return _open_to_read(path)


def _open_to_read(path: Path) -> sqlite3.Connection:
    uri = f"{path.as_uri()}?mode=ro"
    connection = sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_SECONDS, isolation_level=None)
    try:
        _check_file(connection, path, may_write=False)
        if _user_version(connection) < len(MIGRATIONS):
            connection = _migrated_copy(connection)
        _check_schema(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _check_not_lost(path: Path) -> None:
    """A store that has backups was no empty file: it would be taken for a new one, and its labels for never given."""
    try:
        is_empty = path.stat().st_size == 0
    except FileNotFoundError:
        is_empty = True
    except OSError:  # what is wrong with it, opening it says
        return
    if is_empty and backups.found(path):
        raise damaged(path, "it is empty or gone, and there are backups of it")


def _migrated_copy(old: sqlite3.Connection) -> sqlite3.Connection:
    copy = sqlite3.connect(":memory:", isolation_level=None)
    old.backup(copy)
    old.close()
    with transaction(copy):
        _run_migrations(copy)
    copy.execute("PRAGMA query_only = ON")
    return copy


def _user_version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _check_file(connection: sqlite3.Connection, path: Path, *, may_write: bool) -> None:
    # An untrusted file's own triggers and views must not call functions with side effects.
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA foreign_keys = ON")
    with transaction(connection, "DEFERRED"):  # one state, though another process may be making it
        damage = [row[0] for row in connection.execute("PRAGMA quick_check(1)")]
        (application_id,) = connection.execute("PRAGMA application_id").fetchone()
        (n_objects,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        (page_size,) = connection.execute("PRAGMA page_size").fetchone()
    if damage == ["ok"] and _is_cut_short(connection, path, page_size, may_write=may_write):
        damage = [f"its last page of {page_size} bytes is cut short"]
    if damage != ["ok"]:
        raise damaged(path, damage[0])
    if application_id != APPLICATION_ID and (application_id or n_objects):
        raise StoreError(f"{path} is an SQLite file, but not a label store")
    _check_version(_user_version(connection), path)


def _is_cut_short(connection: sqlite3.Connection, path: Path, page_size: int, *, may_write: bool) -> bool:
    """Whether a part of the store's last page is missing, and what SQLite reads in its place is zeros.

    Power that is cut in a checkpoint may leave a page half written in the store that the write-ahead log holds: nothing
    is amiss, as it is read from there. A checkpoint that is made whole settles it, where the store may be written to.
    """
    n_whole, n_more = divmod(path.stat().st_size, page_size)
    if not n_more:
        return False
    with path.open("rb") as file:
        file.seek(n_whole * page_size)
        as_zeros = file.read(n_more).ljust(page_size, b"\0")
    if connection.execute("PRAGMA page_count").fetchone() == (0,):  # not even its first page is whole
        return True
    as_read = connection.serialize()[n_whole * page_size : (n_whole + 1) * page_size]
    if as_read != as_zeros:
        return not as_read and not path.with_name(f"{path.name}-wal").exists()  # else it lies behind the store's end
    if may_write:
        connection.execute("PRAGMA wal_checkpoint(FULL)")
    return path.stat().st_size % page_size != 0


def _check_version(version: int, path: Path) -> None:
    if version > len(MIGRATIONS):
        raise StoreError(
            f"{path} has schema version {version}, newer than the {len(MIGRATIONS)} known here; "
            "update prefrl to open it"
        )


def _set_journal(connection: sqlite3.Connection, path: Path) -> None:
    """WAL where it is safe, else a rollback journal with every sync there is.

    Only an empty file is switched to WAL: a store that an older SQLite may have open stays in the
    mode that is safe for all.
    """
    (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
    can_wal = is_wal_safe(sqlite3.sqlite_version_info) and disk.is_local(path)
    is_empty = connection.execute("PRAGMA page_count").fetchone() == (0,)
    if can_wal and is_empty:
        mode = _begin_wal(connection)
    elif not can_wal and mode == "wal":
        mode = "delete"
        try:
            connection.execute("PRAGMA journal_mode = DELETE")
        except sqlite3.OperationalError as error:
            raise StoreError(
                f"{path} is open elsewhere in WAL mode, in which SQLite {sqlite3.sqlite_version} "
                f"can lose labels ({error}); close it there, or update SQLite to 3.51.3"
            ) from error
    connection.execute(f"PRAGMA synchronous = {'FULL' if mode == 'wal' else 'EXTRA'}")


def _begin_wal(connection: sqlite3.Connection) -> str:
    """Switches an empty file to WAL; returns the mode that it is in, another process may have been first.

    SQLite does not wait here while another writes the file's first page, but refuses at once: a transaction that does
    nothing waits for that one to end.
    """
    deadline = time.monotonic() + BUSY_TIMEOUT_SECONDS
    while connection.execute("PRAGMA page_count").fetchone() == (0,):
        try:
            return str(connection.execute("PRAGMA journal_mode = WAL").fetchone()[0])
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")
    return str(connection.execute("PRAGMA journal_mode").fetchone()[0])


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    version = _user_version(connection)
    if version == len(MIGRATIONS):
        return
    if version > 0:
        backups.copy(connection, path.with_name(f"{path.name}.v{version}.bak"))
    with transaction(connection):
        version = _user_version(connection)  # again, now that nobody else can be migrating it
        _check_version(version, path)
        _run_migrations(connection)


def _run_migrations(connection: sqlite3.Connection) -> None:
    for statements in MIGRATIONS[_user_version(connection) :]:
        for statement in statements:
            connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")


def _check_schema(connection: sqlite3.Connection, path: Path) -> None:
    """Refuses a file whose tables or triggers are not exactly ours: its promises would be void."""
    query = "SELECT name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' ORDER BY name"
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as expected:
        for statements in MIGRATIONS:
            for statement in statements:
                expected.execute(statement)
        rows = set(connection.execute(query)) ^ set(expected.execute(query))
    differs = {name for name, _ in rows}
    if differs:
        raise StoreError(f"{path} was changed by another program: {', '.join(sorted(differs))}")
