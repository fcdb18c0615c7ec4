"""Many jobs, one thread, one commit: what is told is durable, and one job's failure is its own."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from labeling import schema, store_thread
from labeling.choice import Choice
from labeling.desk import Desk, NotOffered
from labeling.store import Query, Store, StoreError
from labeling.store_thread import Overloaded, StoreThread, database_error, is_locked


def query(number: int) -> Query:
    return Query(
        query_id=f"q{number}",
        clip_ids=(f"{2 * number:064x}", f"{2 * number + 1:064x}"),
        asked_at_step=0,
        round=0,
        strategy="uniform",
        is_random=True,
    )


class Opened:
    """Opens the store for the thread and counts what it commits."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.n_commits = 0
        self.connection: sqlite3.Connection | None = None

    def __call__(self) -> tuple[Store, Desk]:
        store = Store(self.path)
        self.connection = store._connection
        self.connection.set_trace_callback(self._traced)
        return store, Desk(store, is_drawn=lambda clip_id: True, repeat_share=0)

    def _traced(self, statement: str) -> None:
        self.n_commits += statement == "COMMIT"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "labels.sqlite"
    with Store(found) as store:
        store.add_queries([query(i) for i in range(40)], answers_wanted=40)
    return found


@pytest.fixture
def opened(path: Path) -> Opened:
    return Opened(path)


@pytest.fixture
def thread(opened: Opened) -> Iterator[StoreThread]:
    with StoreThread(opened) as found:
        yield found


class Gate:
    """A job that keeps the thread busy until the gate is opened, so that others wait together."""

    def __init__(self, thread: StoreThread) -> None:
        self._is_open, is_reached = threading.Event(), threading.Event()

        def job(store: Store, desk: Desk) -> None:
            is_reached.set()
            assert self._is_open.wait(10)

        self.future = thread.submit(job)
        assert is_reached.wait(10)

    def open(self) -> None:
        self._is_open.set()


def answer(store: Store, desk: Desk, who: str = "Ann", label_id: str | None = None) -> int:
    (offer,) = desk.offers(who, 1)
    return desk.answer(
        who,
        label_id=label_id or f"label-{who}",
        query_id=offer.query_id,
        choice=Choice.LEFT,
        shown_at_utc_ms=1,
        answered_at_utc_ms=2,
        ms_on_screen=1,
    )


def n_labels(path: Path) -> int:
    with Store.open_read_only(path) as store:
        return store.counts().n_labels


def test_jobs_that_wait_together_share_one_commit(thread: StoreThread, opened: Opened, path: Path) -> None:
    gate = Gate(thread)
    before = opened.n_commits
    futures = [thread.submit(partial(answer, who=f"p{i}")) for i in range(30)]
    gate.open()
    assert sorted(future.result(10) for future in futures) == list(range(1, 31))
    assert opened.n_commits - before == 2  # the gate's own, and one for all thirty
    assert n_labels(path) == 30


def test_a_result_comes_only_after_the_commit(thread: StoreThread, path: Path) -> None:
    seen = []
    future = thread.submit(answer)
    future.add_done_callback(lambda _: seen.append(n_labels(path)))  # by a connection of its own
    future.result(10)
    thread.submit(lambda store, desk: None).result(10)
    assert seen == [1]


def test_a_job_that_fails_writes_nothing_and_leaves_the_others(thread: StoreThread, path: Path) -> None:
    def half(store: Store, desk: Desk) -> None:
        answer(store, desk, "Bo")
        raise KeyError("half way")

    def foreign(store: Store, desk: Desk) -> None:
        desk.answer(
            "Bo",
            label_id="label-Bo",
            query_id="q9",
            choice=Choice.LEFT,
            shown_at_utc_ms=1,
            answered_at_utc_ms=2,
            ms_on_screen=1,
        )

    gate = Gate(thread)
    first, second, third = thread.submit(answer), thread.submit(half), thread.submit(foreign)
    fourth = thread.submit(partial(answer, who="Cleo"))
    gate.open()
    assert (first.result(10), fourth.result(10)) == (1, 2)
    with pytest.raises(KeyError, match="half way"):
        second.result(10)
    with pytest.raises(NotOffered) as caught:
        third.result(10)
    assert database_error(caught.value) is None
    with Store.open_read_only(path) as store:
        assert [label.labeler for label in store.current_labels()] == ["Ann", "Cleo"]


def test_a_full_disk_refuses_what_does_not_fit_and_nothing_else(
    thread: StoreThread, opened: Opened, path: Path
) -> None:
    def fill(store: Store, desk: Desk) -> None:
        store.add_queries([query(i) for i in range(1000, 3000)])

    def limit(store: Store, desk: Desk, n: int) -> None:
        store._connection.execute(f"PRAGMA max_page_count = {n}")

    thread.submit(partial(limit, n=60)).result(10)
    gate = Gate(thread)
    first, second, third = thread.submit(answer), thread.submit(fill), thread.submit(partial(answer, who="Bo"))
    gate.open()
    assert (first.result(10), third.result(10)) == (1, 2)
    with pytest.raises(StoreError, match="full") as caught:
        second.result(10)
    failure = database_error(caught.value)
    assert isinstance(failure, sqlite3.Error)
    assert failure.sqlite_errorcode == sqlite3.SQLITE_FULL
    assert not is_locked(caught.value)
    thread.submit(partial(limit, n=100_000)).result(10)
    thread.submit(fill).result(30)  # the disk has room again: the same thread goes on
    assert n_labels(path) == 2


def test_a_file_that_another_process_keeps_is_waited_for_once(
    opened: Opened, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "BUSY_TIMEOUT_SECONDS", 0.2)
    with StoreThread(opened) as thread:
        gate = Gate(thread)
        futures = [thread.submit(partial(answer, who=f"p{i}")) for i in range(20)]
        other = sqlite3.connect(path, isolation_level=None, timeout=10)
        gate.open()
        gate.future.result(10)
        # The thread may have begun the next transaction already; then the other waits for it, and all is well.
        other.execute("BEGIN IMMEDIATE")
        locked = [thread.submit(partial(answer, who=f"r{i}")) for i in range(20)]
        errors = [future.exception(10) for future in [*futures, *locked]]
        other.execute("ROLLBACK")
        other.close()
        assert all(is_locked(error) for error in errors[20:] if error is not None)
        assert errors[-1] is not None
        assert thread.submit(partial(answer, who="Zoe")).result(10) > 0
    n_stored = sum(error is None for error in errors) + 1
    assert n_labels(path) == n_stored


def test_too_much_at_once_is_refused(thread: StoreThread, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_thread, "MAX_WAITING", 3)
    gate = Gate(thread)
    waiting = [thread.submit(lambda store, desk: "done") for _ in range(3)]
    with pytest.raises(Overloaded, match="busy"):
        thread.submit(lambda store, desk: "more")
    gate.open()
    assert [future.result(10) for future in waiting] == ["done"] * 3


def test_closing_does_what_waits(opened: Opened, path: Path) -> None:
    thread = StoreThread(opened)
    gate = Gate(thread)
    futures = [thread.submit(partial(answer, who=f"p{i}")) for i in range(5)]
    closing = threading.Thread(target=thread.close)
    closing.start()
    gate.open()
    closing.join(10)
    assert [future.result(0) for future in futures] == [1, 2, 3, 4, 5]
    with pytest.raises(Overloaded):
        thread.submit(lambda store, desk: None)
    assert n_labels(path) == 5


def test_a_store_that_does_not_open_is_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "labels.sqlite").write_bytes(b"no database" * 1000)
    with pytest.raises(StoreError, match="not a database"):
        StoreThread(Opened(tmp_path / "labels.sqlite"))
