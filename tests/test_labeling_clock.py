"""The wall clock is set back two hours and put forward a year while people label: leases hold, and the order stays."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from stores import make_label, make_query
from web_people import Person
from web_site import Site, make_site, running

from labeling import clocks
from labeling.desk import Desk
from labeling.store import Store

ROOT = Path(__file__).parent.parent
LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
BACK, FORWARD = timedelta(hours=-2), timedelta(days=365)


@pytest.fixture
def wall_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sets the wall clock of all processes that are started from now on, whenever it is called."""
    if not LIBRARIES:
        pytest.skip("libfaketime is not installed")
    file = tmp_path / "offset"
    monkeypatch.setenv("LD_PRELOAD", str(LIBRARIES[0]))
    monkeypatch.setenv("FAKETIME_DONT_FAKE_MONOTONIC", "1")
    monkeypatch.setenv("FAKETIME_NO_CACHE", "1")
    monkeypatch.setenv("FAKETIME_TIMESTAMP_FILE", str(file))

    def set_to(offset: timedelta) -> None:
        file.write_text(f"{offset.total_seconds():+.0f}")

    set_to(timedelta())
    return set_to


def waiting_now(site: Site) -> dict[str, tuple[bool, bool]]:
    """What a process that starts now, like the trainer, takes for held and for abandoned."""
    code = (
        "import json, sys; from labeling.store import Store\n"
        "with Store(sys.argv[1]) as store:\n"
        "    print(json.dumps({w.query_id: [w.is_held, w.is_abandoned] for w in store.waiting()}))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, str(site.store_path)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return {query_id: tuple(found) for query_id, found in json.loads(ran.stdout).items()}


@pytest.mark.slow
def test_no_lease_runs_out_and_no_order_changes_when_the_clock_jumps(tmp_path: Path, wall_clock: Any) -> None:
    site = make_site(tmp_path / "site", n_queries=8, answers_wanted=2, names=("Ann", "Bo", "Cleo"), is_drawn=False)
    with running(site) as server:
        ann, bo, cleo = (Person(server, site.tokens[name]) for name in ("Ann", "Bo", "Cleo"))
        of_ann = [offer["query_id"] for offer in ann.offers(3)]
        of_bo = [offer["query_id"] for offer in bo.offers(3)]
        assert of_ann == of_bo == ["q0", "q1", "q2"]
        assert ann.answer("q0", label_id="label-ann-0").status_code == 200
        for n, offset in enumerate((BACK, FORWARD, BACK, timedelta())):
            wall_clock(offset)
            held = waiting_now(site)
            # q0 has one of two answers, and somebody is looking at it: neither to be dropped nor given to a third.
            assert {query_id: held[query_id] for query_id in of_bo} == dict.fromkeys(of_bo, (True, False))
            assert [offer["query_id"] for offer in cleo.offers(2)] == ["q3", "q4"]
            assert [offer["query_id"] for offer in ann.offers(2)] == ["q1", "q2"]
            assert [offer["query_id"] for offer in bo.offers(3)] == of_bo
            undone = ann.post("/api/undo", new_label_id=f"undo-ann-{n}", label_id=None)
            assert undone.json()["offer"]["query_id"] == "q0"
            assert ann.answer("q0", label_id=f"again-ann-{n}").status_code == 200
        for person in (ann, bo, cleo):
            person.client.close()
    rows = site.rows()
    expected = ["label-ann-0", *(f"{what}-ann-{n}" for n in range(4) for what in ("undo", "again"))]
    assert [row.label_id for row in rows] == expected
    undos = [datetime.fromtimestamp(row.answered_at_utc_ms / 1000).astimezone() for row in rows if row.choice is None]
    jumps = [later - earlier for earlier, later in itertools.pairwise(undos)]
    assert jumps[0] > timedelta(days=364), "the clock did jump"
    assert jumps[1] < timedelta(days=-364)
    with Store.open_read_only(site.store_path) as store:
        assert [row.label_id for row in store.current_labels()] == ["again-ann-3"]


def test_a_lease_of_before_the_machine_was_started_anew_never_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its clock began anew, and will one day show again what it showed then."""
    with Store(tmp_path / "labels.sqlite") as store:
        store.add_queries([make_query(0), make_query(1)], answers_wanted=1)
        desk = Desk(store, is_drawn=lambda _: True, repeat_share=0.0)
        monkeypatch.setattr(clocks, "monotonic_ms", lambda: 5_000_000)
        assert [offer.query_id for offer in desk.offers("ann", 1)] == ["q0"]
        assert [offer.query_id for offer in desk.offers("bob", 2)] == ["q1"]
        monkeypatch.setattr(clocks, "boot_id", lambda: "another boot")
        assert [offer.query_id for offer in desk.offers("cem", 2)] == ["q0", "q1"]
        assert [w.is_held for w in store.waiting()] == [True, True]
        times = {"shown_at_utc_ms": 0, "answered_at_utc_ms": 0, "ms_on_screen": 0}
        choice = make_label().choice
        assert desk.answer("ann", label_id="late", query_id="q0", choice=choice, **times) == 1, "late, and it counts"


def test_times_in_any_order_are_stored_as_they_come(tmp_path: Path) -> None:
    with Store(tmp_path / "labels.sqlite") as store:
        store.add_queries([make_query(0), make_query(1), make_query(2)])
        far = 4_102_444_800_000  # the year 2100
        for n, at in enumerate((far, 0, far // 2)):
            store.add_labels([make_label(f"l{n}", f"q{n}", answered_at_utc_ms=at)])
        assert [row.label_id for row in store.labels_after(0)] == ["l0", "l1", "l2"]
        assert [row.label_id for row in store.labels_after(1)] == ["l1", "l2"]
