"""Backups of the label store: when they are made, which are kept, and that a damaged one is never among them."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import warnings
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from stores import make_label, make_query, raw

from labeling import backups, disk
from labeling.failpoints import VARIABLE
from labeling.label import DamagedStoreError
from labeling.store import Store

ROOT = Path(__file__).parent.parent


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "labels.sqlite"


@pytest.fixture
def store(path: Path) -> Any:
    with Store(path) as opened:
        opened.add_queries([make_query(number) for number in range(500)])
        yield opened


def answer(store: Store, first: int, n: int) -> None:
    for number in range(first, first + n):
        store.add_labels([make_label(f"l{number}", f"q{number}")])


def seqs(path: Path) -> list[int]:
    return [backups.seq_of(backup) for backup in backups.found(path)]


def test_the_first_label_and_then_every_hundredth_makes_one_and_three_are_kept(store: Store, path: Path) -> None:
    assert seqs(path) == []  # queries alone are asked again
    answer(store, 0, 1)
    assert seqs(path) == [1]
    answer(store, 1, 99)
    assert seqs(path) == [1]
    answer(store, 100, 1)
    assert seqs(path) == [101, 1]
    store.add_labels([make_label(f"l{number}", f"q{number}") for number in range(101, 420)])  # one transaction
    assert seqs(path) == [420, 101, 1]
    answer(store, 420, 80)
    store.undo("l499", "u", "window")
    store.add_labels([make_label(f"m{number}", f"q{number}", labeler="Ann") for number in range(30)])
    assert seqs(path) == [531, 420, 101]
    for backup in backups.found(path):
        with Store.open_read_only(backup) as copy:
            assert copy.labels_after(0) == store.labels_after(0)[: backups.seq_of(backup)]
            assert copy.counts().n_queries == 500
    assert sorted(x.name for x in path.parent.iterdir() if "backup" not in x.name) == ["labels.sqlite"]


def test_ten_minutes_after_the_last_one_the_next_label_makes_one(store: Store, path: Path) -> None:
    now = [0.0]
    made = backups.Backups(path, clock=lambda: now[0])
    store._backups = made
    answer(store, 0, 2)
    now[0] = backups.EVERY_SECONDS - 1
    answer(store, 2, 1)
    assert seqs(path) == [1]
    now[0] += 1
    store.withdraw("q9", "stale")  # no label has come since
    assert seqs(path) == [3, 1]
    now[0] += backups.EVERY_SECONDS
    store.withdraw("q10", "stale")
    assert seqs(path) == [3, 1]


def test_two_processes_do_not_make_the_same_backup_twice(store: Store, path: Path) -> None:
    answer(store, 0, 1)
    with Store(path) as other:
        answer(other, 1, 100)
        (newest, _) = backups.found(path)
        written = newest.stat().st_mtime_ns
        answer(store, 101, 1)
        assert seqs(path) == [101, 1]
        assert newest.stat().st_mtime_ns == written


def test_a_store_in_wal_mode_is_backed_up_to_one_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 51, 3))
    monkeypatch.setattr(disk, "is_local", lambda path: True)
    with Store(path) as store:
        store.add_queries([make_query()])
        answer(store, 0, 1)
        assert path.with_name("labels.sqlite-wal").exists()
        (backup,) = backups.found(path)
    with closing(raw(backup)) as db:
        assert db.execute("PRAGMA journal_mode").fetchone() == ("delete",)
        assert db.execute("SELECT count(*) FROM labels").fetchone() == (1,)


def test_a_damaged_store_is_not_backed_up_and_what_is_written_is_not_acknowledged(store: Store, path: Path) -> None:
    answer(store, 0, 100)
    whole = path.read_bytes()
    with closing(raw(path)) as db:
        (page,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'query_clips'").fetchone()
    with path.open("r+b") as file:  # a page that answering does not touch
        file.seek(4096 * (page - 1))
        file.write(b"\xff" * 4096)
    store._connection.execute("PRAGMA shrink_memory")
    with pytest.raises(DamagedStoreError, match="prefrl labels recover"):
        answer(store, 100, 1)
    assert seqs(path) == [1]
    assert not list(path.parent.glob(".*.tmp"))
    assert len(whole) == path.stat().st_size


def test_a_full_disk_stops_no_answer_and_is_said_once(
    store: Store, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    store._backups = backups.Backups(path, clock=lambda: now[0])

    def refuse(connection: sqlite3.Connection, to: Path) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as full, warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        full.setattr(backups, "copy", refuse)
        answer(store, 0, 5)
        now[0] += 60
        answer(store, 5, 5)
    (line,) = [str(warning.message) for warning in said]
    assert line.startswith(f"no backup of {path} could be made, which is tried again: ")
    assert "No space left" in line
    now[0] += 60
    answer(store, 10, 1)
    assert seqs(path) == [11]
    assert len(store.current_labels()) == 11


@pytest.mark.parametrize("point", ["backup.copied", "backup.renamed"])
@pytest.mark.parametrize("action", ["kill", "enospc"])
def test_a_backup_that_is_cut_off_costs_nothing(path: Path, point: str, action: str) -> None:
    code = (
        "import sys; sys.path.insert(0, 'tests'); from stores import *; from labeling.store import Store\n"
        "import warnings; warnings.simplefilter('ignore')\n"
        f"with Store({str(path)!r}) as store:\n"
        "    store.add_queries([make_query(n) for n in range(300)])\n"
        "    for n in range(250):\n"
        "        store.add_labels([make_label(f'l{n}', f'q{n}')]); print(n + 1, flush=True)\n"
    )
    environment = {**os.environ, VARIABLE: f"{point}:after=1:{action}"}
    ran = subprocess.run([sys.executable, "-c", code], env=environment, cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == (-9 if action == "kill" else 0), ran.stderr
    n_said = len(ran.stdout.split())
    assert n_said == (100 if action == "kill" else 250)
    with Store(path) as store:
        assert len(store.labels_after(0)) == n_said + (action == "kill")
        store.add_labels([make_label(f"m{n}", f"q{n}", labeler="Ann") for n in range(100)])
        n_rows = len(store.labels_after(0))
    assert seqs(path)[0] == n_rows
    assert not list(path.parent.glob(".*.tmp"))
    for backup in backups.found(path):
        with Store.open_read_only(backup) as copy:
            assert len(copy.labels_after(0)) == backups.seq_of(backup)


def test_what_a_crash_left_too_many_of_is_ended_by_the_next_to_write(store: Store, path: Path) -> None:
    answer(store, 0, 301)
    assert seqs(path) == [301, 201, 101]
    backups.copy(store._connection, path.with_name("labels.backup-000000001.sqlite"))  # as killed before it was ended
    store.close()
    with Store(path) as again:
        again.withdraw("q400", "stale")
    assert seqs(path) == [301, 201, 101]
