"""kill -9 of the page's server while eight people answer: every acknowledged answer is there, once."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import threading
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest
from crashes import seeded, trials
from killed_site import Client, Killable, killable
from web_site import Site, make_site

from labeling import backups
from labeling.store import Store

NAMES = ("Ann", "Bo", "Cleo", "Dora", "Eve", "Finn", "Gus", "Hao")
LONGEST_SECONDS = 0.15
QUERIES_AHEAD = 200


def kill_once(site: Site, server: Killable, clients: list[Client], seconds: float) -> None:
    """Lets a server live so long under all clients, from the first acknowledged answer on, then kills it."""
    clients[0].has_begun.clear()
    process_id, port = server.start()
    people = [threading.Thread(target=client.work, args=(port,)) for client in clients]
    for person in people:
        person.start()
    assert clients[0].has_begun.wait(30)
    threading.Event().wait(seconds)
    os.kill(process_id, signal.SIGKILL)
    server.wait()
    for person in people:
        person.join(30)
        assert not person.is_alive()


def lost_and_doubled(site: Site, clients: list[Client]) -> tuple[int, int]:
    """Acknowledged rows that are not there, and answers that are there twice; the file itself is whole."""
    with Store(site.store_path) as store:
        rows, current = store.labels_after(0), store.current_labels()
        n_waiting = len(store.waiting())
    with closing(sqlite3.connect(site.store_path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    ids = Counter(row.label_id for row in rows)
    by_query = Counter(row.query_id for row in current)  # of which each wants one answer
    doubled = sum(n - 1 for n in ids.values()) + sum(n - 1 for n in by_query.values())
    if n_waiting < QUERIES_AHEAD:
        n = int(rows[-1].seq) if rows else 0
        site.add_queries(1000 + n * QUERIES_AHEAD, QUERIES_AHEAD)
    return len({x for client in clients for x in client.acknowledged} - ids.keys()), doubled


def kill_often(site: Site, when: str, n_kills: int, rng: random.Random) -> tuple[int, int, int, int]:
    """How many answers were acknowledged, lost, doubled and refused over that many kills of servers on one store."""
    has_begun = threading.Event()
    clients = [Client(site.tokens[name], has_begun) for name in NAMES]
    n_lost = n_doubled = 0
    with killable(site, when) as server:
        for _ in range(n_kills):
            kill_once(site, server, clients, rng.uniform(0, LONGEST_SECONDS))
            lost, doubled = lost_and_doubled(site, clients)
            n_lost, n_doubled = max(n_lost, lost), n_doubled + doubled
    n_acknowledged, n_refused = (sum(len(getattr(c, x)) for c in clients) for x in ("acknowledged", "refused"))
    return n_acknowledged, n_lost, n_doubled, n_refused


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_no_acknowledged_answer_is_lost_or_doubled_by_kill_9(tmp_path: Path) -> None:
    site = make_site(tmp_path, n_queries=400, names=NAMES, is_drawn=False)
    n_kills = trials(60, 300)
    n_acknowledged, *wrong = kill_often(site, "kept", n_kills, seeded(9))
    print(f"{n_kills} kills, {n_acknowledged} answers acknowledged; lost, doubled, refused: {wrong}")
    assert n_acknowledged > 5 * n_kills
    assert wrong == [0, 0, 0]
    # The last kill may have come before the end of the oldest.
    assert len(backups.found(site.store_path)) in (backups.KEEP, backups.KEEP + 1)
    with Store(site.store_path) as store:
        store.withdraw(store.waiting()[0].query_id, "stale")  # and the next to write ends it
    made = backups.found(site.store_path)  # in the middle of all this
    assert len(made) == backups.KEEP
    for backup in made:
        with Store.open_read_only(backup) as store:
            assert len(store.labels_after(0)) == backups.seq_of(backup)
    assert not list(tmp_path.glob(".*.tmp"))[2:]  # what the last kills cut off, and no more


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_the_kill_test_catches_answers_acknowledged_before_they_are_durable(tmp_path: Path) -> None:
    site = make_site(tmp_path, n_queries=400, names=NAMES, is_drawn=False)
    n_acknowledged, n_lost, *_ = kill_often(site, "early", 15, seeded(9))
    print(f"15 kills, {n_acknowledged} answers acknowledged too early, {n_lost} lost")
    assert n_lost > 0
