"""Recovering a damaged label store: all that can be read and the newest good backup, however it was damaged."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from crashes import seeded, trials
from stores import make_label, make_query, raw

from labeling import backups
from labeling.desk import Desk
from labeling.failpoints import POINTS, VARIABLE
from labeling.label import StoredLabel, StoreError
from labeling.recover import recover
from labeling.refill import LOST
from labeling.store import Store

ROOT = Path(__file__).parent.parent
N_LABELS = 272


def fill(path: Path) -> list[StoredLabel]:
    """A store as people leave it: queries as they came, answers, an undo; its newest backup holds 201 labels."""
    with Store(path) as store:
        desk = Desk(store, is_drawn=lambda _: True, repeat_share=0.0)
        for number in range(270):
            store.add_queries([make_query(number)], answers_wanted=1)
            desk.offers("window", 1)
            store.add_labels([make_label(f"l{number}", f"q{number}")])
            if number == 150:
                store.withdraw("q3", "its clip is damaged")
        store.undo("l260", "u260", "window")
        store.add_labels([make_label("l260b", "q260")])
        return store.labels_after(0)


@pytest.fixture(scope="module")
def filled() -> Iterator[tuple[Path, list[StoredLabel]]]:
    in_memory = Path("/dev/shm")  # noqa: S108  # the disk is of no concern here
    with tempfile.TemporaryDirectory(dir=in_memory if in_memory.is_dir() else None) as folder:
        path = Path(folder) / "labels.sqlite"
        rows = fill(path)
        assert [backups.seq_of(x) for x in backups.found(path)] == [201, 101, 1]
        yield path.parent, rows


@pytest.fixture
def path(filled: tuple[Path, list[StoredLabel]], tmp_path: Path) -> Path:
    shutil.copytree(filled[0], tmp_path / "run")
    return tmp_path / "run" / "labels.sqlite"


@pytest.fixture
def rows(filled: tuple[Path, list[StoredLabel]]) -> list[StoredLabel]:
    return filled[1]


def current(rows: list[StoredLabel]) -> list[StoredLabel]:
    voided = {row.voids_seq for row in rows}
    return [row for row in rows if row.voids_seq is None and row.seq not in voided]


def test_a_whole_store_is_left_alone(path: Path) -> None:
    before = path.read_bytes()
    assert recover(path) is None
    assert path.read_bytes() == before
    assert not list(path.parent.glob("*.damaged-*"))


def test_cut_off_anywhere_all_but_the_labels_since_the_last_backup_are_saved(
    path: Path, rows: list[StoredLabel]
) -> None:
    """50 lengths, the first bytes and the last ones among them."""
    whole = path.read_bytes()
    rng = seeded(4)
    lengths = [0, 1, 99, 100, 4095, 4096, len(whole) - 1, *(rng.randrange(len(whole)) for _ in range(trials(13, 43)))]
    n_saved, bounds = [], []
    for number, length in enumerate(lengths):
        folder = path.parent.with_name(f"cut-{number}")
        shutil.copytree(path.parent, folder)
        cut = folder / path.name
        os.truncate(cut, length)
        found = recover(cut)
        assert found is not None
        with Store(cut) as store:
            saved = store.labels_after(0)
            assert store.withdrawals()["q3"] == "its clip is damaged"
            (seq,) = store.add_labels([make_label("new", "q3", labeler="Ann")])
        assert seq > N_LABELS, "a number that was given out may stand in a checkpoint, and must not come again"
        assert set(row.label_id for row in saved) <= set(row.label_id for row in rows)
        assert [row for row in saved if row not in rows] == []
        assert found.n_saved == len(saved) >= 201
        assert len(rows) - len(saved) <= found.n_missing_at_most < backups.EVERY_LABELS
        if found.is_bound_exact:
            assert found.n_missing_at_most == len(rows) - len(saved)
        kept = None if length == 0 else cut.with_name("labels.damaged-1.sqlite")
        assert found.kept == kept
        assert kept is None or kept.read_bytes() == whole[:length]
        assert backups.seq_of(backups.found(cut)[0]) >= len(saved)
        n_saved.append(len(saved))
        bounds.append(found.is_bound_exact)
    print(f"{len(lengths)} cuts: {min(n_saved)} to {max(n_saved)} of {len(rows)} labels saved")
    assert max(n_saved) > 201, "what can still be read counts too"
    assert any(bounds)


def test_without_a_backup_what_can_be_read_is_saved(path: Path, rows: list[StoredLabel]) -> None:
    for backup in backups.found(path):
        backup.unlink()
    with closing(raw(path)) as db:
        (root,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'labels'").fetchone()
        pages = db.execute("SELECT pageno FROM dbstat WHERE name = 'labels' AND pagetype = 'leaf'").fetchall()
    assert len(pages) >= 3
    assert (root,) not in pages
    with path.open("r+b") as file:  # a leaf in the middle
        file.seek(4096 * (pages[1][0] - 1))
        file.write(b"\xff" * 4096)
    found = recover(path)
    assert found is not None
    assert found.backup is None
    with Store(path) as store:
        saved = store.labels_after(0)
        queries = store.queries()
        assert len(queries) == 270, "the learner counts them to give numbers to new ones"
        for query in queries:
            assert (query.strategy == LOST) == (query.query_id in store.withdrawals() and query.query_id != "q3")
    assert [row for row in saved if row not in rows] == []
    assert found.n_missing_at_most == len(rows) - len(saved)
    assert 0 < found.n_missing_at_most < 100
    missing = {row.seq for row in rows} - {row.seq for row in saved}
    assert missing == set(range(min(missing), max(missing) + 1)), "one page of rows, and those on both sides are there"


def test_a_backup_that_is_damaged_itself_is_passed_over(path: Path) -> None:
    newest, second, _ = backups.found(path)
    os.truncate(newest, 5000)
    os.truncate(path, 5000)
    found = recover(path)
    assert found is not None
    assert found.backup == second
    assert found.n_saved == 101


def test_an_answer_given_again_after_an_undo_is_kept_though_the_undo_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "labels.sqlite"
    with Store(path) as store:
        store.add_queries([make_query()])
        store.add_labels([make_label("a", choice=make_label().choice)])
        store.undo("a", "a-undo", "window")
        store.add_labels([make_label("b")])
    for backup in backups.found(path):
        backup.unlink()
    with closing(raw(path)) as db:  # as if the page with that row were gone
        db.execute("DROP TRIGGER labels_no_delete")
        db.execute("DELETE FROM labels WHERE label_id = 'a-undo'")
        trigger = (
            "BEFORE DELETE ON labels BEGIN SELECT RAISE(ABORT, 'labels is append-only: nothing is ever deleted'); END"
        )
        db.execute(f"CREATE TRIGGER labels_no_delete {trigger}")
    with path.open("ab") as file:
        file.write(b"x")  # any damage at all
    found = recover(path)
    assert found is not None
    assert (found.n_saved, found.n_missing_at_most) == (3, 0)
    with Store(path) as store:
        assert [row.label_id for row in store.current_labels()] == ["b"]


def test_a_store_that_somebody_has_open_is_left_alone(path: Path) -> None:
    code = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); db.execute('SELECT 1 FROM labels')"
    command = [sys.executable, "-c", f"{code}; print(1, flush=True); sys.stdin.read()", str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as user:
        assert user.stdout is not None
        assert user.stdin is not None
        assert user.stdout.readline() == "1\n"
        os.truncate(path, 5000)
        with pytest.raises(StoreError, match=rf"is open in other processes \({user.pid}\); end the training"):
            recover(path)
        user.stdin.close()
        user.wait(20)
    assert recover(path) is not None


def test_where_there_is_nothing_that_is_said(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"there is no label store at .*, and no backup of one"):
        recover(tmp_path / "labels.sqlite")


def test_a_journal_that_was_left_is_played_back_and_never_into_the_recovered_store(
    path: Path, rows: list[StoredLabel]
) -> None:
    code = """
import os, sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
for statement in ("PRAGMA cache_spill = 1", "PRAGMA cache_size = 1", "BEGIN IMMEDIATE"):
    db.execute(statement)
for n in range(900):
    db.execute("INSERT INTO queries VALUES (NULL, ?, 0, 0, ?, 0, NULL, 0)", (f"x{n}", "s" * 60))
os.kill(os.getpid(), 9)
"""
    subprocess.run([sys.executable, "-c", code, str(path)])
    journal = path.with_name("labels.sqlite-journal")
    assert journal.stat().st_size > 4096
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 4096 * 8)
    found = recover(path)
    assert not journal.exists()
    with Store(path) as store:
        assert store.labels_after(0) == rows[: len(store.labels_after(0))]
        n_saved = len(store.labels_after(0))
        assert not [query for query in store.queries() if query.query_id.startswith("x")], "it was never committed"
    assert n_saved >= 201
    assert found is None or found.n_saved == n_saved


@pytest.mark.parametrize("point", [point for point in POINTS if point.startswith("recover.")])
def test_a_recovery_that_is_cut_off_is_begun_again(path: Path, rows: list[StoredLabel], point: str) -> None:
    with path.open("ab") as file:
        file.write(b"x")  # the least damage
    code = f"from labeling.recover import recover; from pathlib import Path; recover(Path({str(path)!r}))"
    command, environment = [sys.executable, "-c", code], {**os.environ, VARIABLE: f"{point}:kill"}
    assert subprocess.run(command, cwd=ROOT, env=environment).returncode == -9
    found = recover(path)
    assert found is not None
    assert (found.n_saved, found.n_missing_at_most) == (len(rows), 0)
    with Store(path) as store:
        assert store.labels_after(0) == rows
        assert store.current_labels() == current(rows)
