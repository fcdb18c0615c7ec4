"""Damaged clips and full disks, as the page's server tells them."""

from __future__ import annotations

import resource
from pathlib import Path

from web_people import Invited
from web_site import make_site, running, until

from labeling.store import Store


def test_a_damaged_clip_is_withdrawn_and_said_and_a_whole_one_is_not(tmp_path: Path, person: Invited) -> None:
    site = make_site(tmp_path, n_queries=3, n_clips=3, names=("Ann",))
    with running(site) as server:
        ann = person(site, server, "Ann")
        first, second, third = ann.offers(3)
        assert ann.post("/api/damaged", query_id=first["query_id"]).json() == {"withdrawn": False, "is_drawn": True}
        shared = (
            {first["left"]["clip_id"], first["right"]["clip_id"]}
            & {second["left"]["clip_id"], second["right"]["clip_id"]}
        ).pop()
        strip = site.pictures.path(shared, "png")
        data = bytearray(strip.read_bytes())
        data[len(data) // 2] ^= 1
        strip.write_bytes(data)
        assert ann.post("/api/damaged", query_id=first["query_id"]).json() == {"withdrawn": True, "is_drawn": False}
        assert ann.post("/api/damaged", query_id=third["query_id"]).json() == {"withdrawn": False, "is_drawn": True}
        assert ann.post("/api/damaged", query_id="q99").status_code == 409
        assert {offer["query_id"] for offer in ann.offers(3)} == {second["query_id"], third["query_id"]}
        until(lambda: any(f"query {first['query_id']} was withdrawn" in line for line in server.said))
    with Store.open_read_only(site.store_path) as store:
        (reason,) = store.withdrawals().values()
    assert shared in reason


def test_pictures_that_are_gone_are_being_drawn_and_not_damaged(tmp_path: Path, person: Invited) -> None:
    site = make_site(tmp_path, n_queries=1, n_clips=2, names=("Ann",))
    with running(site) as server:
        ann = person(site, server, "Ann")
        (offer,) = ann.offers(1)
        facts = site.pictures.path(offer["left"]["clip_id"], "json")
        data = facts.read_bytes()
        facts.unlink()
        assert ann.post("/api/damaged", query_id="q0").json() == {"withdrawn": False, "is_drawn": False}
        assert ann.offers(1) == []
        facts.write_bytes(data)
        assert ann.offers(1) == [offer]


def test_damaged_facts_withdraw_the_query_before_anybody_sees_it(tmp_path: Path, person: Invited) -> None:
    site = make_site(tmp_path, n_queries=2, n_clips=4, names=("Ann",), is_drawn=False)
    site.pictures.write(site.clip_ids[0], "json", b'{"n_frames": 0}')
    with running(site) as server:
        ann = person(site, server, "Ann")
        assert [offer["query_id"] for offer in ann.offers(2)] == ["q1"]
    with Store.open_read_only(site.store_path) as store:
        assert list(store.withdrawals()) == ["q0"]


def test_a_full_disk_is_507_and_nothing_is_lost_when_it_has_room_again(tmp_path: Path, person: Invited) -> None:
    site = make_site(tmp_path, n_queries=4, names=("Ann",), is_drawn=False)
    with running(site) as server:
        ann = person(site, server, "Ann")
        first, second = ann.offers(2)
        assert ann.answer(first["query_id"], "left").status_code == 200
        _, hard = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (16, hard))  # no file may grow
        for _ in range(3):
            response = ann.answer(second["query_id"], "left", "label-kept")
            assert response.status_code == 507
            assert "kept in your browser" in response.json()["error"]
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (hard, hard))
        assert ann.answer(second["query_id"], "left", "label-kept").status_code == 200
    assert len(site.labels()) == 2
