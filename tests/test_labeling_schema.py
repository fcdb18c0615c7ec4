"""How a label store is opened: which files are refused, how they are journaled, how old ones are brought to today's."""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from stores import SCHEMA_QUERY, clip_id, make_label, make_query, raw

from labeling import disk, schema
from labeling.choice import Choice
from labeling.desk import Desk
from labeling.label import DamagedStoreError
from labeling.store import Store, StoreError
from labeling.tables import MIGRATIONS

FIXTURES = Path(__file__).parent / "fixtures"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "labels.sqlite"


@pytest.fixture
def store(path: Path) -> Any:
    with Store(path) as opened:
        opened.add_queries([make_query(number) for number in range(3)])
        yield opened


# --- opening ---


def test_what_was_stored_is_there_when_opened_again(path: Path) -> None:
    with Store(path) as store:
        store.add_queries([make_query()])
        store.add_labels([make_label()])
    with Store(str(path)) as store:
        assert [label.label_id for label in store.current_labels()] == ["a"]


def test_read_only_reads_and_does_not_write(store: Store, path: Path) -> None:
    store.add_labels([make_label()])
    with Store.open_read_only(path) as reader:
        assert reader.labels_after(0) == store.labels_after(0)
        store.add_labels([make_label("b", "q1")])
        assert [label.label_id for label in reader.labels_after(1)] == ["b"]
        with pytest.raises(StoreError, match="readonly"):
            reader.add_labels([make_label("c", "q2")])


def test_read_only_makes_no_file(path: Path) -> None:
    with pytest.raises(StoreError, match="there is no label store at"):
        Store.open_read_only(path)
    assert not path.exists()


def spoil(path: Path, *statements: str) -> None:
    connection = raw(path)
    for statement in statements:
        connection.execute(statement)
    connection.close()


OPENERS: list[Callable[[Path], Store]] = [Store, Store.open_read_only]


@pytest.mark.parametrize("opener", OPENERS)
@pytest.mark.parametrize(
    ("statements", "message"),
    [
        (["PRAGMA user_version = 4"], "schema version 4, newer than the 3 known here; update"),
        (["PRAGMA application_id = 7"], "not a label store"),
        (["PRAGMA application_id = 0"], "not a label store"),
        (["DROP TRIGGER labels_no_delete"], "changed by another program: labels_no_delete"),
        (["CREATE TABLE notes (x)"], "changed by another program: notes"),
    ],
)
def test_files_that_cannot_be_trusted_are_refused(
    path: Path, opener: Callable[[Path], Store], statements: list[str], message: str
) -> None:
    Store(path).close()
    spoil(path, *statements)
    before = path.read_bytes()
    with pytest.raises(StoreError, match=message):
        opener(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("opener", OPENERS)
def test_another_programs_database_is_left_alone(path: Path, opener: Callable[[Path], Store]) -> None:
    spoil(path, "CREATE TABLE accounts (x)")
    with pytest.raises(StoreError, match="not a label store"):
        opener(path)


@pytest.mark.parametrize("opener", OPENERS)
def test_damaged_files_are_refused_in_one_line(path: Path, opener: Callable[[Path], Store]) -> None:
    with Store(path) as store:
        store.add_queries([make_query(number) for number in range(300)])
    whole = path.read_bytes()
    for n_bytes in range(4096, len(whole), 4096 * 3):
        path.write_bytes(whole[:n_bytes])
        with pytest.raises(StoreError) as caught:
            opener(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
    path.write_bytes(b"text, and enough of it to be no header at all" * 100)
    with pytest.raises(StoreError, match="file is not a database"):
        opener(path)


@pytest.mark.parametrize("opener", OPENERS)
@pytest.mark.parametrize("is_gone", [False, True])
def test_an_empty_or_missing_store_that_has_backups_is_not_taken_for_a_new_one(
    path: Path, opener: Callable[[Path], Store], is_gone: bool
) -> None:
    with Store(path) as store:
        store.add_queries([make_query()])
        store.add_labels([make_label()])
    os.truncate(path, 0)
    if is_gone:
        path.unlink()
    with pytest.raises(DamagedStoreError, match=f"prefrl labels recover {path.parent}"):
        opener(path)
    assert not path.exists() or path.stat().st_size == 0


def test_damage_found_while_reading_names_the_way_out(path: Path) -> None:
    with Store(path) as store:
        store.add_queries([make_query(number) for number in range(300)])
        os.truncate(path, 8192)
        store._connection.execute("PRAGMA shrink_memory")  # what it has read before is forgotten
        with pytest.raises(DamagedStoreError, match="prefrl labels recover"):
            store.queries()


NETWORK_MOUNTS = """\
/dev/sda1 / ext4 rw 0 0
server:/export /home nfs4 rw 0 0
tmpfs /home/ann/fast tmpfs rw 0 0
//nas/share /mnt/with\\040space cifs rw 0 0
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mounts are read from Linux's /proc")
@pytest.mark.parametrize(
    ("place", "kind"),
    [("/home/ann/runs", "nfs4"), ("/home/ann/fast/runs", None), ("/mnt/with space/run", "cifs"), ("/srv", None)],
)
def test_network_file_systems_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, kind: str | None
) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(NETWORK_MOUNTS)
    monkeypatch.setattr(disk, "MOUNTS", mounts)
    if kind is None:
        disk.refuse_network(Path(place))
        return
    with pytest.raises(StoreError, match=rf"expected a run folder on a disk of this machine, got .*\({kind}\)"):
        Store(f"{place}/labels.sqlite")


def test_a_missing_folder_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="unable to open database file"):
        Store(tmp_path / "nowhere" / "labels.sqlite")


def test_a_closed_store_says_so(path: Path) -> None:
    store = Store(path)
    store.close()
    with pytest.raises(StoreError, match="closed"):
        store.counts()


def test_a_store_taken_through_a_fork_is_refused(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getpid", lambda: -1)
    with pytest.raises(StoreError, match="after a fork"):
        store.add_labels([make_label()])


def test_a_locked_store_says_that_another_process_has_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "BUSY_TIMEOUT_SECONDS", 0.05)
    with Store(path) as store:
        other = raw(path)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="locked by another process for"):
            store.add_queries([make_query()])
        other.execute("ROLLBACK")
        other.close()
        store.add_queries([make_query()])
        assert store.counts().n_queries == 1


# --- SQLite versions ---


@pytest.mark.parametrize(
    ("version", "is_safe"),
    [
        ((3, 40, 1), False),
        ((3, 44, 5), False),
        ((3, 44, 6), True),
        ((3, 44, 9), True),
        ((3, 45, 0), False),
        ((3, 50, 6), False),
        ((3, 50, 7), True),
        ((3, 51, 0), False),
        ((3, 51, 2), False),
        ((3, 51, 3), True),
        ((3, 52, 0), True),
        ((4, 0, 0), True),
    ],
)
def test_wal_is_for_versions_without_its_bug(version: tuple[int, int, int], is_safe: bool) -> None:
    assert schema.is_wal_safe(version) is is_safe


def journal(connection: sqlite3.Connection) -> tuple[str, int]:
    (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
    (synchronous,) = connection.execute("PRAGMA synchronous").fetchone()
    return mode, synchronous


FULL, EXTRA = 2, 3


@pytest.fixture
def set_wal(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool, bool], None]:
    def set_both(is_fixed: bool, is_local: bool) -> None:
        version = (3, 51, 3) if is_fixed else (3, 40, 1)
        monkeypatch.setattr(sqlite3, "sqlite_version_info", version)
        monkeypatch.setattr(disk, "is_local", lambda path: is_local)

    return set_both


@pytest.mark.parametrize(
    ("is_fixed", "is_local", "expected"),
    [
        (True, True, ("wal", FULL)),
        (False, True, ("delete", EXTRA)),
        (True, False, ("delete", EXTRA)),
    ],
)
def test_the_journal_is_as_safe_as_it_can_be(
    path: Path,
    set_wal: Callable[[bool, bool], None],
    is_fixed: bool,
    is_local: bool,
    expected: tuple[str, int],
) -> None:
    set_wal(is_fixed, is_local)
    for _ in range(2):  # made, then opened again
        connection = schema.connect(path)
        assert journal(connection) == expected
        assert connection.execute("PRAGMA foreign_keys").fetchone() == (1,)
        connection.close()
    with Store(path) as store, Store.open_read_only(path) as reader:
        store.add_queries([make_query()])
        assert store.add_labels([make_label()]) == [1]
        assert reader.counts().n_labels == 1


@pytest.mark.parametrize("first", ["nothing", "a WAL store", "a store of an older SQLite"])
def test_wal_waits_for_whoever_writes_the_empty_file(
    path: Path, set_wal: Callable[[bool, bool], None], first: str
) -> None:
    """SQLite itself would refuse at once, and one of two processes that open a new store together would die of it."""
    set_wal(True, True)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    seen: list[str] = []

    def on_statement(statement: str) -> None:
        if statement == "BEGIN IMMEDIATE":  # about to wait for the other
            seen.append(statement)
            if first == "a store of an older SQLite":
                other.execute("CREATE TABLE t (x)")
                other.execute("COMMIT")
            elif other.in_transaction:
                other.execute("ROLLBACK")
                if first == "a WAL store":
                    other.execute("PRAGMA journal_mode = WAL")

    mine = sqlite3.connect(path, isolation_level=None, timeout=30)
    mine.set_trace_callback(on_statement)
    schema._set_journal(mine, path)
    mine.set_trace_callback(None)
    assert seen
    assert journal(mine) == (("delete", EXTRA) if first == "a store of an older SQLite" else ("wal", FULL))
    mine.close()
    other.close()


def test_an_older_sqlite_turns_wal_off_or_refuses(path: Path, set_wal: Callable[[bool, bool], None]) -> None:
    set_wal(True, True)
    newer = Store(path)
    newer.add_queries([make_query()])
    set_wal(False, True)
    with pytest.raises(StoreError, match="is open elsewhere in WAL mode"):
        Store(path)
    newer.close()
    connection = schema.connect(path)
    assert journal(connection) == ("delete", EXTRA)
    set_wal(True, True)  # the other may still be open: what is safe for all stays
    again = schema.connect(path)
    assert journal(again) == ("delete", EXTRA)
    connection.close()
    again.close()


def test_a_page_half_written_by_a_checkpoint_is_read_from_the_log(
    path: Path, set_wal: Callable[[bool, bool], None], tmp_path: Path
) -> None:
    set_wal(True, True)
    log = path.with_name(f"{path.name}-wal")
    cut = tmp_path / "cut" / path.name
    cut.parent.mkdir()
    with Store(path) as store:
        store.add_queries([make_query(number) for number in range(300)])
        whole, logged = path.read_bytes(), log.read_bytes()
    checkpointed = path.read_bytes()  # as closing has left it
    assert len(whole) < len(checkpointed)
    for n_bytes in (len(whole) + 1000, len(checkpointed) - 1000):  # where the power was cut
        for may_write in (False, True):
            cut.write_bytes(checkpointed[:n_bytes])
            cut.with_name(log.name).write_bytes(logged)
            with Store(cut) if may_write else Store.open_read_only(cut) as store:
                assert len(store.queries()) == 300
    assert cut.read_bytes() == checkpointed
    for lost in (
        b"",
        logged[:16] + bytes(8) + logged[24:],  # a log of another time
        logged[:56] + bytes(4096) + logged[4152:],  # one that SQLite does not read: its first frame is damaged
    ):
        for may_write in (False, True):
            cut.write_bytes(checkpointed[:-1000])
            cut.with_name(log.name).write_bytes(lost)
            with pytest.raises(DamagedStoreError, match="is damaged"):
                Store(cut) if may_write else Store.open_read_only(cut)


@pytest.mark.parametrize("may_write", [False, True])
def test_a_store_cut_short_is_damaged_though_a_log_that_was_copied_still_holds_the_page(
    path: Path, set_wal: Callable[[bool, bool], None], may_write: bool
) -> None:
    set_wal(True, True)
    with Store(path) as store:
        store.add_queries([make_query(number) for number in range(300)])
        store._connection.execute("PRAGMA wal_checkpoint(FULL)")
        whole = path.read_bytes()
        path.write_bytes(whole[:-1000])
        with pytest.raises(DamagedStoreError, match="is damaged"):
            Store(path) if may_write else Store.open_read_only(path)
        path.write_bytes(whole)


@pytest.mark.parametrize("n_bytes", [1, 16, 4095, 4097])
@pytest.mark.parametrize("may_write", [False, True])
def test_a_store_of_which_hardly_anything_is_left_is_damaged(path: Path, n_bytes: int, may_write: bool) -> None:
    with Store(path) as store:
        store.add_queries([make_query()])
    path.write_bytes(path.read_bytes()[:n_bytes])
    with pytest.raises(DamagedStoreError, match="is damaged"):
        Store(path) if may_write else Store.open_read_only(path)
    assert path.stat().st_size == n_bytes


def test_the_file_system_is_looked_up(tmp_path: Path) -> None:
    if sys.platform.startswith("linux"):
        assert disk.is_local(Path("/proc/self")) is False
        assert disk.is_local(Path("/dev/shm")) is True  # noqa: S108 - nothing is written
    else:
        assert disk.is_local(tmp_path) is False


# --- schema versions ---


def fixture_store(path: Path, version: int = 1) -> None:
    connection = raw(path)
    connection.executescript((FIXTURES / f"labels_v{version}.sql").read_text(encoding="utf-8"))
    connection.close()


def test_schema_version_1_is_still_read(path: Path) -> None:
    fixture_store(path)
    with Store(path) as store:
        rows = [(r.seq, r.label_id, r.choice, r.voids_seq) for r in store.labels_after(0)]
        assert rows == [
            (1, "a", Choice.LEFT, None),
            (2, "b", Choice.RIGHT, None),
            (3, "b-undo", None, 2),
            (4, "b2", Choice.EQUAL, None),
            (5, "c", Choice.SKIP, None),
        ]
        assert [label.label_id for label in store.current_labels()] == ["a", "b2", "c"]
        assert [query.query_id for query in store.open_queries()] == ["r1-0"]
        query = store.query("r1-0")
        assert (query.left_clip, query.right_clip) == (clip_id(3), clip_id(0))
        assert (query.score, query.is_random, query.round) == (0.125, False, 1)
        assert store.add_labels([make_label("d", "r1-0")]) == [6]


def test_schema_version_2_is_still_read(path: Path) -> None:
    fixture_store(path, 2)
    with Store(path) as store:
        assert store.counts().n_labels == 12
        assert [label.label_id for label in store.labels_after(11)] == ["a11", "a11-undo", "0123456789ab:x"]
        assert store.repeats() == {"repeat:49915e0d:q0": "q0"}
        assert store.imports() == {"0123456789ab:q0": "0123456789ab"}
        assert store.withdrawals() == {"q13": "stale: asked at step 1,300"}
        assert [(w.query_id, w.n_wanted) for w in store.waiting()] == [("q11", 1), ("q12", 1), ("q14", 2)]
        assert [(invite.name, invite.is_operator) for invite in store.invites()] == [("ann", False), ("operator", True)]
        desk = Desk(store, is_drawn=lambda _: True, repeat_share=0.0)
        assert [offer.query_id for offer in desk.offers("bo", 9)] == ["q11", "q12", "q14"]


def test_schema_version_3_is_still_read(path: Path) -> None:
    fixture_store(path, 3)
    with Store(path) as store:
        assert store.counts().n_labels == 12
        assert [(w.query_id, w.is_held) for w in store.waiting()] == [("q11", False), ("q12", False), ("q14", False)]
        leases = store._connection.execute(
            "SELECT query_id, leased_at_monotonic_ms, boot_id <> '' FROM leases ORDER BY query_id LIMIT 3"
        )
        assert leases.fetchall() == [("q0", 1000, 1), ("q1", 1000, 1), ("q10", 0, 0)]


@pytest.mark.parametrize("version", range(1, len(MIGRATIONS) + 1))
def test_schema_versions_are_never_edited(tmp_path: Path, version: int) -> None:
    """A change belongs into a new entry of MIGRATIONS, and into a new fixture."""
    fixture_store(tmp_path / "old.sqlite", version)
    old, new = raw(tmp_path / "old.sqlite"), raw(tmp_path / "new.sqlite")
    for statements in MIGRATIONS[:version]:
        for statement in statements:
            new.execute(statement)
    assert sorted(old.execute(SCHEMA_QUERY)) == sorted(new.execute(SCHEMA_QUERY))
    old.close()
    new.close()


def test_a_migration_keeps_labels_and_makes_a_backup(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fixture_store(path)
    step = ("ALTER TABLE labels ADD COLUMN confidence REAL", "CREATE TABLE extra (x INTEGER)")
    monkeypatch.setattr(schema, "MIGRATIONS", (*MIGRATIONS, step))
    before = path.read_bytes()
    with Store.open_read_only(path) as store:  # of a copy in memory
        assert store.counts().n_labels == 3
        with pytest.raises(StoreError, match="readonly"):
            store.add_labels([make_label("d", "r1-0")])
    assert path.read_bytes() == before
    with Store(path) as store:
        assert [label.seq for label in store.labels_after(0)] == [1, 2, 3, 4, 5]
        assert store.add_labels([make_label("d", "r1-0")]) == [6]
    with Store.open_read_only(path) as store:
        assert store.counts().n_labels == 4
    backup = raw(path.with_name("labels.sqlite.v1.bak"))
    assert backup.execute("PRAGMA user_version").fetchone() == (1,)
    assert backup.execute("SELECT count(*) FROM labels").fetchone() == (5,)
    backup.close()


def test_a_migration_that_fails_changes_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fixture_store(path)
    before = path.read_bytes()
    step = ("CREATE TABLE extra (x INTEGER)", "CREATE TABLE extra (x INTEGER)")
    monkeypatch.setattr(schema, "MIGRATIONS", (*MIGRATIONS, step))
    with pytest.raises(StoreError, match="already exists"):
        Store(path)
    assert path.read_bytes() == before
