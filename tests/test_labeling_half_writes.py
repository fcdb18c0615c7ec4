"""A process killed in the midst of a commit so large that half of it is in the store: it is undone, whoever comes."""

from __future__ import annotations

import os
import signal
import sqlite3
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from labeling import schema
from labeling.recover import _salvage_copy
from labeling.store import Store, StoreError

pytestmark = pytest.mark.skipif(
    schema.is_wal_safe(sqlite3.sqlite_version_info), reason="this SQLite keeps a log, which is read without writing"
)

ROOT = Path(__file__).resolve().parent.parent
WRITING = """
import os, signal, sys
from stores import make_query
from labeling.store import Store

with Store(sys.argv[1]) as store:
    store.add_queries([make_query(n) for n in range(3)])
    with store.writing() as db:
        db.execute("PRAGMA cache_size = 5")  # pages go to the store long before the commit
        store.add_queries([make_query(n) for n in range(3, 600)])
        os.kill(os.getpid(), signal.SIGKILL)
"""


def kill_in_a_commit(folder: Path) -> Path:
    path = folder / "labels.sqlite"
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
    done = subprocess.run([sys.executable, "-c", WRITING, str(path)], env=environment, check=False)
    assert done.returncode == -signal.SIGKILL
    assert journal_of(path).stat().st_size > 0
    return path


def journal_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-journal")


@pytest.mark.parametrize("opener", [Store, Store.open_read_only])
def test_a_half_written_commit_is_undone_by_whoever_opens_the_store_first(
    tmp_path: Path, opener: Callable[[Path], Store]
) -> None:
    path = kill_in_a_commit(tmp_path)
    half = path.stat().st_size
    with opener(path) as store:
        assert [query.query_id for query in store.queries()] == ["q0", "q1", "q2"]
    assert path.stat().st_size < half
    assert not journal_of(path).exists()


def test_where_the_folder_cannot_be_written_one_line_says_what_to_do(tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(folder)], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"no right to mount a disk: {mounted.stderr.strip()}")
    try:
        path = kill_in_a_commit(folder)
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        with pytest.raises(StoreError) as refused:
            Store.open_read_only(path)
        assert str(refused.value) == (
            f"expected to undo what a killed process had half written to {path}, got: attempt to write a readonly "
            f"database; run this as who may write to {folder}, or on a copy of that whole folder"
        )
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def store_with_a_foreign_journal(folder: Path) -> tuple[Path, Path]:
    """As whoever sends a run folder could write one; the store, and the file that SQLite would delete."""
    path = kill_in_a_commit(folder)
    victim = folder / "victim.txt"
    victim.write_text("precious")
    name = bytes(victim)
    lock_page = 2**30 // 4096 + 1
    with journal_of(path).open("ab") as journal:
        journal.write(struct.pack(">I", lock_page) + name + struct.pack(">II", len(name), sum(name)))
        journal.write(bytes.fromhex("d9d505f920a163d7"))
    return path, victim


@pytest.mark.parametrize("opener", [Store, Store.open_read_only])
def test_a_journal_that_names_another_file_deletes_nothing(tmp_path: Path, opener: Callable[[Path], Store]) -> None:
    path, victim = store_with_a_foreign_journal(tmp_path)
    with pytest.raises(StoreError, match="got one that names another file, which SQLite would delete") as refused:
        opener(path)
    assert "\n" not in str(refused.value)
    assert victim.read_text() == "precious"


def test_salvaging_leaves_the_file_alone_that_such_a_journal_names(tmp_path: Path) -> None:
    path, victim = store_with_a_foreign_journal(tmp_path)
    _salvage_copy(path)
    assert victim.read_text() == "precious"
    assert journal_of(path).exists()  # of the damaged store nothing is changed
