"""The power fails at any moment while answers are given: what was acknowledged is there when it comes back.

Run as a program, this file is the labeler that is traced: `python test_labeling_power_loss.py FOLDER JOURNAL SYNC`.
"""

from __future__ import annotations

import os
import random
import sqlite3
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from crashes import seeded, trials
from power import Disk, Event, traced

from labeling import backups, disk
from labeling.choice import Choice
from labeling.clip import Clip, ClipError, ClipFiles
from labeling.desk import Desk
from labeling.store import Query, Store, StoreError

N_ROUNDS = 24
STORE, CLIPS, SAID = "labels.sqlite", "clips", "acknowledged"


def label(folder: Path, journal: str, sync: str) -> None:
    """Asks, answers and undoes; appends to a file of its own what has been acknowledged, as soon as it is."""
    patch = pytest.MonkeyPatch()
    if journal == "wal":  # as with a fixed SQLite
        patch.setattr(sqlite3, "sqlite_version_info", (3, 51, 3))
        patch.setattr(disk, "is_local", lambda path: True)
    patch.setattr(backups, "EVERY_LABELS", 10)
    said = os.open(folder / SAID, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    files = ClipFiles(folder / CLIPS)
    with Store(folder / STORE) as store:
        if sync != "kept":  # the lie that the test must catch
            store._connection.execute(f"PRAGMA synchronous = {sync}")
        desk = Desk(store, is_drawn=lambda _: True, repeat_share=0.2, rng=np.random.default_rng(0))
        for number in range(N_ROUNDS):
            clip_ids = files.write_many([clip(2 * number), clip(2 * number + 1)])
            store.add_queries([query(number, clip_ids)], answers_wanted=1)
            os.write(said, b"query q%d\n" % number)
            for offer in desk.offers("Ann", 2):
                label_id = f"a-{number}-{offer.query_id}"
                times = {"shown_at_utc_ms": 0, "answered_at_utc_ms": 0, "ms_on_screen": 0}
                desk.answer("Ann", label_id=label_id, query_id=offer.query_id, choice=Choice.LEFT, **times)
                os.write(said, f"label {label_id}\n".encode())
            if number % 5 == 4:
                desk.undo("Ann", f"u-{number}")
                os.write(said, b"label u-%d\n" % number)


def clip(number: int) -> Clip:
    return Clip(
        obs=np.full((4, 3), number, np.float32),
        actions=np.zeros((4, 1), np.float32),
        frame_rate=20.0,
        env_index=0,
        episode=0,
        start_step=number,
        agent_step=number,
    )


def query(number: int, clip_ids: list[str]) -> Query:
    return Query(
        query_id=f"q{number}", clip_ids=tuple(clip_ids), asked_at_step=0, round=0, strategy="uniform", is_random=True
    )


def what_is_lost(folder: Path, said: set[str]) -> list[str]:
    """What was acknowledged and is not there, and whatever else is amiss after the power has come back."""
    try:
        with Store(folder / STORE) as store:
            rows, queries = store.labels_after(0), store.queries()
    except StoreError as error:
        return [f"{len(said)} acknowledged: {error}"] if said else []
    with closing(sqlite3.connect(folder / STORE)) as db:
        lost = [row[0] for row in db.execute("PRAGMA integrity_check") if row[0] != "ok"]
    ids = [row.label_id for row in rows]
    lost += sorted(said - {f"label {x}" for x in ids} - {f"query {x.query_id}" for x in queries})
    lost += ["doubled"] * (len(ids) - len(set(ids)))
    for clip_id in {clip_id for asked in queries for clip_id in asked.clip_ids}:
        try:
            ClipFiles(folder / CLIPS).read(clip_id)
        except ClipError as error:  # a query is stored only after its clips
            lost.append(str(error))
    for backup in backups.found(folder / STORE):
        with Store.open_read_only(backup) as store:
            lost += [] if len(store.labels_after(0)) == backups.seq_of(backup) else [backup.name]
    return lost


def lost_in_cuts(events: list[Event], folder: Path, n_cuts: int, rng: random.Random) -> list[str]:
    """Cuts the power that many times, at random moments from the first acknowledgment on; what was lost, all in all."""
    first = next(i for i, event in enumerate(events) if event.path.endswith(SAID) and event.kind == "write")
    moments = sorted(rng.randint(first, len(events)) for _ in range(n_cuts))
    power, said, lost, done = Disk(), set[str](), list[str](), 0
    in_memory = Path("/dev/shm")  # noqa: S108  # whether these copies are durable is of no concern
    for moment in moments:
        for event in events[done:moment]:
            if event.path.endswith(SAID):
                said |= set(event.data.decode().split("\n")) - {""}
            else:
                power.happen(event)
        done = moment
        with tempfile.TemporaryDirectory(dir=in_memory if in_memory.is_dir() else None) as copy:
            for path, content in power.cut(rng).items():
                to = Path(copy) / Path(path).relative_to(folder)
                to.parent.mkdir(parents=True, exist_ok=True)
                to.write_bytes(content)
            lost += what_is_lost(Path(copy), said)
    return lost


def traced_events(tmp_path: Path, journal: str, sync: str) -> tuple[list[Event], Path]:
    folder = tmp_path / "run"
    folder.mkdir()
    command = [sys.executable, __file__, str(folder), journal, sync]
    return traced(command, folder, tmp_path / "trace.txt"), folder


@pytest.mark.slow
@pytest.mark.parametrize("journal", ["delete", "wal"])
def test_no_acknowledged_answer_is_lost_in_a_power_cut(tmp_path: Path, journal: str) -> None:
    events, folder = traced_events(tmp_path, journal, "kept")
    assert sum(event.path.endswith(SAID) and event.kind == "write" for event in events) > 2 * N_ROUNDS
    assert any(event.path.endswith("-wal") for event in events) == (journal == "wal")
    n_cuts = trials(40, 500)
    lost = lost_in_cuts(events, folder, n_cuts, seeded(1))
    print(f"{journal}: {len(events)} events, {n_cuts} cuts, {len(lost)} lost")
    assert lost == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("journal", "sync", "n_cuts"),
    [("delete", "OFF", 10), ("delete", "FULL", 50), ("wal", "OFF", 10), ("wal", "NORMAL", 10)],
)
def test_the_cuts_catch_a_store_that_syncs_too_little(tmp_path: Path, journal: str, sync: str, n_cuts: int) -> None:
    """FULL is too little for a rollback journal, whose deletion must be durable too: hence EXTRA."""
    events, folder = traced_events(tmp_path, journal, sync)
    lost = lost_in_cuts(events, folder, n_cuts, seeded(1))
    print(f"{journal}, {sync}: {len(lost)} lost in {n_cuts} cuts")
    assert lost


if __name__ == "__main__":
    label(Path(sys.argv[1]), *sys.argv[2:])
