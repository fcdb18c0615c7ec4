"""The label store: what goes in stays in, once, in order, whatever dies."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from stores import clip_id, make_label, make_query, raw

from labeling import disk, schema
from labeling.choice import Choice
from labeling.store import Store, StoreError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "labels.sqlite"


@pytest.fixture
def store(path: Path) -> Any:
    with Store(path) as opened:
        opened.add_queries([make_query(number) for number in range(3)])
        yield opened


# --- what goes in comes out ---


def test_queries_come_back_as_they_went_in(store: Store) -> None:
    asked = make_query(
        7,
        strategy="disagreement",
        is_random=np.bool_(False),
        score=np.float32(0.125),
        asked_at_step=np.int64(12),
    )
    store.add_queries([asked])
    read = store.query("q7")
    assert read == asked
    assert (read.left_clip, read.right_clip) == (clip_id(14), clip_id(15))
    assert (read.score, read.asked_at_step, read.is_random) == (0.125, 12, False)
    assert store.query("q0").score is None
    with pytest.raises(StoreError, match="there is no query 'q9' in "):
        store.query("q9")


def test_labels_come_back_as_they_went_in(store: Store) -> None:
    label = make_label(
        choice=Choice.RIGHT,
        swapped=True,
        shown_at_utc_ms=1000,
        answered_at_utc_ms=2500,
        ms_on_screen=1501,
    )
    assert store.add_labels([label]) == [1]
    (read,) = store.labels_after(0)
    assert dataclasses.asdict(read) == {**dataclasses.asdict(label), "seq": 1, "voids_seq": None}
    assert read.choice is Choice.RIGHT


def test_labels_are_followed_by_seq(store: Store) -> None:
    assert store.add_labels([make_label("a", "q0"), make_label("b", "q1")]) == [1, 2]
    assert store.add_labels([]) == []
    assert store.add_labels([make_label("c", "q2", answered_at_utc_ms=0)]) == [3]
    assert [label.label_id for label in store.labels_after(0)] == ["a", "b", "c"]
    assert [label.label_id for label in store.labels_after(1)] == ["b", "c"]
    assert store.labels_after(3) == []


def test_counts(store: Store) -> None:
    store.add_labels(
        [
            make_label("a", "q0"),
            make_label("b", "q1", choice=Choice.SKIP),
            make_label("c", "q1", labeler="Ann"),
        ]
    )
    store.undo("c", "c-undo", "Ann")
    counts = store.counts()
    assert (counts.n_queries, counts.n_labels) == (3, 2)
    assert counts.n_by_choice == {
        Choice.LEFT: 1,
        Choice.RIGHT: 0,
        Choice.EQUAL: 0,
        Choice.SKIP: 1,
    }


def test_open_queries_are_those_without_a_label_that_counts(store: Store) -> None:
    def open_ids(labeler: str | None = None) -> list[str]:
        return [query.query_id for query in store.open_queries(labeler)]

    assert open_ids() == open_ids("window") == ["q0", "q1", "q2"]
    store.add_labels([make_label("a", "q1"), make_label("b", "q0", choice=Choice.SKIP)])
    assert open_ids() == open_ids("window") == ["q2"]
    assert open_ids("Ann") == ["q0", "q1", "q2"]
    store.undo("a", "a-undo", "window")
    assert open_ids() == ["q1", "q2"]


def test_times_are_taken_from_the_clock_where_none_are_given() -> None:
    label = make_label()
    assert 1_700_000_000_000 < label.shown_at_utc_ms <= label.answered_at_utc_ms


# --- undo ---


def test_undo_is_a_row_more(store: Store) -> None:
    store.add_labels([make_label("a", "q0"), make_label("b", "q1")])
    assert store.undo("a", "a-undo", "window", undone_at_utc_ms=5000) == 3
    assert store.add_labels([make_label("a2", "q0", choice=Choice.EQUAL)]) == [4]
    assert [row.label_id for row in store.labels_after(0)] == ["a", "b", "a-undo", "a2"]
    assert [row.label_id for row in store.current_labels()] == ["b", "a2"]
    undone = store.labels_after(2)[0]
    assert (undone.choice, undone.voids_seq, undone.query_id) == (None, 1, "q0")
    assert undone.answered_at_utc_ms == 5000


def test_undo_sent_twice_is_one(store: Store) -> None:
    store.add_labels([make_label("a")])
    assert store.undo("a", "u", "window") == store.undo("a", "u", "window") == 2
    assert len(store.labels_after(0)) == 2


def test_undo_is_for_the_labelers_own_counting_labels(store: Store) -> None:
    store.add_labels([make_label("a"), make_label("b", "q1")])
    with pytest.raises(StoreError, match="only a counting label of the same labeler"):
        store.undo("a", "u", "Ann")
    with pytest.raises(StoreError, match="no label 'zz' to undo"):
        store.undo("zz", "u", "window")
    store.undo("a", "u", "window")
    for label_id in ("a", "u"):
        with pytest.raises(StoreError, match="only a counting label"):
            store.undo(label_id, "u2", "window")
    with pytest.raises(StoreError, match="already stored with another answer"):
        store.undo("b", "u", "window")
    with pytest.raises(StoreError, match="printable"):
        store.undo("b", "", "window")
    assert [row.label_id for row in store.current_labels()] == ["b"]


# --- once, all or nothing ---


def test_a_label_sent_again_is_the_same_row(store: Store) -> None:
    first = make_label("a", answered_at_utc_ms=1000)
    again = make_label("a", answered_at_utc_ms=2000)
    assert store.add_labels([first, again]) == [1, 1]
    assert store.add_labels([again, make_label("b", "q1")]) == [1, 2]
    assert store.labels_after(0)[0].answered_at_utc_ms == 1000


@pytest.mark.parametrize(
    "changes",
    [
        {"choice": Choice.RIGHT},
        {"query_id": "q1"},
        {"labeler": "Ann"},
        {"swapped": True},
    ],
)
def test_a_label_id_cannot_mean_two_answers(store: Store, changes: dict[str, Any]) -> None:
    store.add_labels([make_label("a")])
    with pytest.raises(StoreError, match="label a is already stored with another answer"):
        store.add_labels([make_label(**{"label_id": "a", **changes})])
    assert len(store.labels_after(0)) == 1


def test_a_labeler_answers_a_query_once(store: Store) -> None:
    store.add_labels([make_label("a")])
    with pytest.raises(StoreError, match="label b of window on query q0: this labeler has already"):
        store.add_labels([make_label("b")])
    store.add_labels([make_label("c", labeler="Ann", choice=Choice.RIGHT)])
    assert [row.labeler for row in store.current_labels()] == ["window", "Ann"]


def test_a_batch_is_stored_whole_or_not_at_all(store: Store) -> None:
    with pytest.raises(StoreError, match="label b of window on query nowhere: there is no such"):
        store.add_labels([make_label("a"), make_label("b", "nowhere")])
    with pytest.raises(StoreError, match="query q0 is already stored and differs"):
        store.add_queries([make_query(8), make_query(0, is_random=False)])
    assert store.labels_after(0) == []
    assert store.counts().n_queries == 3
    assert store.add_labels([make_label("a")]) == [1]


def test_a_query_asked_again_is_the_same_query(store: Store) -> None:
    store.add_queries([make_query(0, asked_at_utc_ms=5), make_query(3)])
    assert store.counts().n_queries == 4
    assert store.query("q0").asked_at_utc_ms == 1_700_000_000_000


# --- values ---


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"query_id": ""}, "query_id must be 1 to 128 printable"),
        ({"query_id": "a\nb"}, "printable"),
        ({"query_id": 3}, "printable"),
        ({"strategy": "x" * 65}, "strategy must be 1 to 64"),
        ({"clip_ids": (clip_id(1),)}, "two different clips"),
        ({"clip_ids": (clip_id(1), clip_id(1))}, "two different clips"),
        ({"clip_ids": (clip_id(1), clip_id(2), clip_id(3))}, "two different clips"),
        ({"clip_ids": (clip_id(1), "A" * 64)}, "64 lower-case hex"),
        ({"clip_ids": (clip_id(1), "../labels")}, "64 lower-case hex"),
        ({"asked_at_step": -1}, "asked_at_step must be a whole number"),
        ({"asked_at_step": 2**63}, "asked_at_step must be a whole number"),
        ({"round": 1.5}, "round must be a whole number"),
        ({"score": float("nan")}, "score of query q0 must be finite"),
    ],
)
def test_queries_that_could_not_be_kept_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(StoreError, match=message):
        make_query(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label_id": "x" * 129}, "label_id must be 1 to 128 printable"),
        ({"labeler": "\ud800"}, "labeler must be 1 to 64 printable"),
        ({"choice": "left"}, "must be a Choice: 'left'"),
        ({"choice": None}, "must be a Choice: None"),
        ({"ms_on_screen": -1}, "ms_on_screen must be a whole number"),
        ({"answered_at_utc_ms": 0.5}, "answered_at_utc_ms must be a whole number"),
    ],
)
def test_labels_that_could_not_be_kept_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(StoreError, match=message):
        make_label(**changes)


# --- the database keeps the rules by itself ---


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("UPDATE labels SET choice = 'right'", "labels is append-only"),
        ("DELETE FROM labels", "labels is append-only"),
        ("UPDATE queries SET is_random = 0", "queries is append-only"),
        ("DELETE FROM queries", "queries is append-only"),
        ("UPDATE query_clips SET clip_id = clip_id", "query_clips is append-only"),
        ("DELETE FROM query_clips", "query_clips is append-only"),
        (
            "INSERT OR REPLACE INTO labels SELECT seq, label_id, query_id, labeler, 'right', 0, "
            "0, 0, 0, NULL FROM labels",
            "label_id is already stored",
        ),
        (
            "INSERT OR REPLACE INTO queries SELECT seq, query_id, 0, 0, '', 0, NULL, 0 FROM queries",
            "query_id is already stored",
        ),
        (
            "REPLACE INTO query_clips SELECT query_id, position, clip_id FROM query_clips",
            "clips of this query are already stored",
        ),
        (
            "INSERT INTO query_clips SELECT query_id, 2, clip_id FROM query_clips WHERE "
            "query_id = 'q0' AND position = 0",
            "has labels cannot be given more clips",
        ),
        (
            "INSERT INTO labels SELECT NULL, 'b', query_id, labeler, 'right', 0, 0, 0, 0, NULL FROM labels",
            "already answered",
        ),
        (
            "INSERT INTO labels SELECT NULL, 'b', 'q1', 'x', 'best', 0, 0, 0, 0, NULL",
            "CHECK constraint failed",
        ),
        (
            "INSERT INTO labels SELECT NULL, 'b', 'q1', 'x', NULL, 0, 0, 0, 0, NULL",
            "either a choice or a label that it voids",
        ),
        (
            "INSERT INTO labels SELECT NULL, 'b', 'q1', 'window', NULL, 0, 0, 0, 0, 1",
            "same labeler and query",
        ),
    ],
)
def test_no_program_can_break_the_rules(store: Store, path: Path, sql: str, message: str) -> None:
    store.add_labels([make_label("a")])
    before = store.labels_after(0)
    other = raw(path)
    with pytest.raises(sqlite3.IntegrityError, match=message):
        other.execute(sql)
    other.close()
    assert store.labels_after(0) == before
    assert store.query("q0") == make_query(0)


def test_the_rules_are_checked_by_index(path: Path) -> None:
    """Else each label costs a walk over all labels before it."""
    connection = schema.connect(path)
    rows = connection.execute("EXPLAIN QUERY PLAN SELECT 1 FROM current_labels WHERE query_id = '' AND labeler = ''")
    plan = " ".join(row[3] for row in rows)
    connection.close()
    assert "labels_by_query (query_id=? AND labeler=?)" in plan
    assert "labels_by_voided (voids_seq=?)" in plan
    assert "SCAN" not in plan


@pytest.mark.slow
def test_twenty_thousand_labels_are_stored_in_a_second(path: Path) -> None:
    """CPU seconds, and the best of three: other work on the machine only adds to them."""
    seconds = []
    with Store(path) as store:
        store.add_queries([make_query(number) for number in range(20_000)])
        for labeler in ("Ann", "Bob", "Eve"):
            labels = [make_label(f"{labeler}{n}", f"q{n}", labeler=labeler) for n in range(20_000)]
            start = time.process_time()
            store.add_labels(labels)
            seconds.append(time.process_time() - start)
        assert len(store.current_labels()) == 60_000
    assert min(seconds) < 1.0


# --- a model of it ---


class StoreMachine(RuleBasedStateMachine):
    """Submits, retries, undoes and reopens in any order; a dict says what must come of it."""

    def __init__(self) -> None:
        super().__init__()
        in_memory = Path("/dev/shm")  # noqa: S108 - the disk is of no concern here
        self.folder = Path(tempfile.mkdtemp(dir=in_memory if in_memory.is_dir() else None))
        self.store = Store(self.folder / "labels.sqlite")
        self.store.add_queries([make_query(number) for number in range(3)])
        self.rows: list[tuple[str, str, str, Choice | None, int | None]] = []
        self.current: dict[tuple[str, str], int] = {}

    @rule(
        number=st.integers(0, 5),
        query=st.integers(0, 2),
        labeler=st.sampled_from(["Ann", "Bob"]),
        choice=st.sampled_from(Choice),
    )
    def submit(self, number: int, query: int, labeler: str, choice: Choice) -> None:
        """A new label, a retry, or one that breaks a rule."""
        label = make_label(f"l{number}", f"q{query}", labeler=labeler, choice=choice)
        row = (label.label_id, label.query_id, labeler, choice, None)
        known = [stored[0] for stored in self.rows]
        if row in self.rows:
            assert self.store.add_labels([label]) == [self.rows.index(row) + 1]
        elif label.label_id in known or (label.query_id, labeler) in self.current:
            with pytest.raises(StoreError):
                self.store.add_labels([label])
        else:
            self.rows.append(row)
            self.current[label.query_id, labeler] = len(self.rows)
            assert self.store.add_labels([label]) == [len(self.rows)]

    @precondition(lambda self: self.rows)
    @rule(number=st.integers(0, 3), labeler=st.sampled_from(["Ann", "Bob"]), data=st.data())
    def undo(self, number: int, labeler: str, data: st.DataObject) -> None:
        """A new undo, a retry, or one that breaks a rule."""
        seq = data.draw(st.integers(1, len(self.rows)))
        label_id, query_id, *_ = self.rows[seq - 1]
        row = (f"u{number}", query_id, labeler, None, seq)
        if row in self.rows:
            assert self.store.undo(label_id, row[0], labeler) == self.rows.index(row) + 1
        elif row[0] in [stored[0] for stored in self.rows] or (self.current.get((query_id, labeler)) != seq):
            with pytest.raises(StoreError):
                self.store.undo(label_id, row[0], labeler)
        else:
            self.rows.append(row)
            del self.current[query_id, labeler]
            assert self.store.undo(label_id, row[0], labeler) == len(self.rows)

    @rule()
    def reopen(self) -> None:
        """As after a restart."""
        self.store.close()
        self.store = Store(self.folder / "labels.sqlite")

    @invariant()
    def agrees(self) -> None:
        """The store says what the model says."""
        stored = self.store.labels_after(0)
        assert [(row.label_id, row.query_id, row.labeler, row.choice, row.voids_seq) for row in stored] == self.rows
        assert [row.seq for row in stored] == list(range(1, len(self.rows) + 1))
        assert [row.seq for row in self.store.current_labels()] == sorted(self.current.values())
        for labeler in ("Ann", "Bob"):
            answered = {query for query, who in self.current if who == labeler}
            is_open = {query.query_id for query in self.store.open_queries(labeler)}
            assert is_open == {"q0", "q1", "q2"} - answered

    def teardown(self) -> None:
        """Removes the file."""
        self.store.close()
        shutil.rmtree(self.folder)


TestStoreMachine = StoreMachine.TestCase
TestStoreMachine.settings = settings(max_examples=20, stateful_step_count=20, deadline=None)


# --- many processes, and their deaths; `main` below runs in an interpreter of its own ---


def run_alone(*arguments: str) -> str:
    """Runs `main` of this file in a fresh process, whose forks carry no threads along."""
    root = Path(schema.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, __file__, *arguments],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(root)},
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_four_processes_write_at_once_and_nothing_is_lost(path: Path, mode: str) -> None:
    """They also make the file at once; each sees its own labels in the order it wrote them."""
    run_alone("write", str(path), mode)
    with Store(path) as store:
        rows = store.labels_after(0)
    assert {row.label_id for row in rows} == {f"{w}-{n}" for w in range(4) for n in range(25)}
    assert [row.seq for row in rows] == list(range(1, 101))
    for writer in range(4):
        own = [row.label_id for row in rows if row.labeler == str(writer)]
        assert own == [f"{writer}-{number}" for number in range(25)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_kill_9_loses_no_acknowledged_label(tmp_path: Path, mode: str) -> None:
    n_acknowledged, n_lost = map(int, run_alone("kill", str(tmp_path), mode, "20").split())
    assert n_acknowledged >= 20
    assert n_lost == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_the_kill_test_sees_labels_acknowledged_too_early(tmp_path: Path) -> None:
    _, n_lost = map(int, run_alone("kill", str(tmp_path), "delete", "8", "early").split())
    assert n_lost > 0


def write_forever(path: Path, pipe: int, is_early: bool) -> None:
    with Store(path) as store:
        for number in range(100):
            if is_early:
                os.write(pipe, b"%d\n" % number)
            store.add_labels([make_label(str(number), f"q{number}")])
            if not is_early:
                os.write(pipe, b"%d\n" % number)


def fork(work: Callable[[], None]) -> int:
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        except BaseException:
            traceback.print_exc()  # nobody else will: the process ends here
            sys.stderr.flush()
        finally:
            os._exit(status)
    return child


def kill_trial(path: Path, n_before: int, is_early: bool) -> tuple[int, int]:
    """Kills a writer after at least `n_before` answers; counts the acknowledged and the lost."""
    with Store(path) as store:
        store.add_queries([make_query(number) for number in range(100)])
    reading, writing = os.pipe()
    child = fork(lambda: write_forever(path, writing, is_early))
    os.close(writing)
    received = b""
    while received.count(b"\n") < n_before:
        received += os.read(reading, 1)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    while more := os.read(reading, 65536):
        received += more
    os.close(reading)
    acknowledged = set(received.decode().split())
    with Store(path) as store:
        stored = [row.label_id for row in store.labels_after(0)]
    assert len(stored) == len(set(stored)) <= len(acknowledged) + 1
    return len(acknowledged), len(acknowledged - set(stored))


def write_some(path: Path, writer: int) -> None:
    with Store(path) as store:
        store.add_queries([make_query(number) for number in range(25)])
        for number in range(25):
            label = make_label(f"{writer}-{number}", f"q{number}", labeler=str(writer))
            store.add_labels([label])


def use_wal() -> None:
    """As with a fixed SQLite, to run the WAL code with the one that is here."""
    patch = pytest.MonkeyPatch()
    patch.setattr(sqlite3, "sqlite_version_info", (3, 51, 3))
    patch.setattr(disk, "is_local", lambda path: True)


def main(what: str, path: str, mode: str, n_trials: str = "0", early: str = "") -> None:
    if mode == "wal":
        use_wal()
    if what == "write":
        writers = [fork(partial(write_some, Path(path), writer)) for writer in range(4)]
        assert [os.waitpid(writer, 0)[1] for writer in writers] == [0, 0, 0, 0]
        return
    trials = [kill_trial(Path(path) / f"{trial}.sqlite", 1 + trial % 7, bool(early)) for trial in range(int(n_trials))]
    print(sum(trial[0] for trial in trials), sum(trial[1] for trial in trials))


if __name__ == "__main__":
    main(*sys.argv[1:])
