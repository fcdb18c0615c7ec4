"""Answers over HTTP: stored once, as the token says, undone, handed out again; malformed ones refused."""

from __future__ import annotations

import json

import pytest
from web_people import Invited, Person
from web_site import Server, Site

from labeling.choice import Choice
from labeling.store import Store


def test_answers_are_stored_as_their_token_says_whatever_the_body_says(
    site: Site, server: Server, person: Invited
) -> None:
    bo = person(site, server, "Bo")
    before = len(site.rows())
    for choice in Choice:
        (offer,) = bo.offers(1)
        response = bo.answer(offer["query_id"], choice.value, labeler="Ann", name="Ann", swapped=True)
        assert response.status_code == 200, response.text
        assert response.json()["seq"] == before + 1
        (row,) = site.rows()[before:]
        shown_left = offer["left"]["clip_id"]
        with Store.open_read_only(site.store_path) as store:
            left_clip = store.query(offer["query_id"]).left_clip
        assert row.swapped == (shown_left != left_clip)
        expected = {"left": "right", "right": "left"}.get(choice, choice) if row.swapped else choice
        assert (row.labeler, row.choice) == ("Bo", expected)
        assert (row.shown_at_utc_ms, row.answered_at_utc_ms, row.ms_on_screen) == (1000, 2000, 1000)
        before += 1
    assert bo.get("/api/state").json()["you"]["n_answered"] == 4


def test_an_answer_sent_again_is_one_and_a_changed_one_is_refused(site: Site, server: Server, person: Invited) -> None:
    cleo = person(site, server, "Cleo")
    first, second = cleo.offers(2)
    sent = [cleo.answer(first["query_id"], "left", "label-cleo-1") for _ in range(3)]
    assert [r.status_code for r in sent] == [200] * 3
    assert len({r.json()["seq"] for r in sent}) == 1
    for refused in (
        cleo.answer(first["query_id"], "right", "label-cleo-1"),
        cleo.answer(second["query_id"], "left", "label-cleo-1"),
        cleo.answer(first["query_id"], "left", "label-cleo-2"),  # answered already
        cleo.answer("q79", "left"),  # never put before her
        cleo.answer("no such query", "left"),
    ):
        assert refused.status_code == 409, refused.text
        assert refused.json()["error"]
    assert [row.label_id for row in site.rows() if row.labeler == "Cleo"] == ["label-cleo-1"]


def test_undo_brings_the_pair_back_the_same_way_round(site: Site, server: Server, person: Invited) -> None:
    dora = person(site, server, "Dora")
    assert dora.post("/api/undo", new_label_id="undo-none-1", label_id=None).json()["offer"] is None
    offers = dora.offers(2)
    for i, offer in enumerate(offers):
        dora.answer(offer["query_id"], "left", f"label-dora-{i}")
    for _ in range(2):  # the second time is the same one sent again
        response = dora.post("/api/undo", new_label_id="undo-dora-0", label_id="label-dora-0")
        assert response.status_code == 200
        assert response.json()["offer"] == offers[0]
        assert response.json()["you"]["n_answered"] == 1
    assert dora.post("/api/undo", new_label_id="undo-dora-1", label_id=None).json()["offer"] == offers[1]
    assert dora.answer(offers[0]["query_id"], "equal").status_code == 200
    assert [row.choice for row in site.labels() if row.labeler == "Dora"] == [Choice.EQUAL]


def test_offers_come_again_after_a_reload_and_are_kept_from_others(
    site: Site, server: Server, ann: Person, person: Invited
) -> None:
    first = ann.offers(3)
    assert ann.offers(3) == first
    held = [offer["query_id"] for offer in first]
    more = ann.offers(2, hold=held)
    assert not {offer["query_id"] for offer in more} & set(held)
    others = person(site, server, "Eve").offers(8)
    assert not {offer["query_id"] for offer in others} & {*held, *(offer["query_id"] for offer in more)}
    facts = first[0]["left"]
    assert facts == {
        "clip_id": facts["clip_id"],
        "video": f"/clips/{facts['clip_id']}.webm",
        "strip": f"/clips/{facts['clip_id']}.png",
        "n_frames": 12,
        "frame_rate": 20.0,
        "width": 64,
        "height": 48,
        "columns": 4,
    }
    assert "swapped" not in json.dumps(first)


def test_what_is_held_and_taken_is_said_to_be_gone_and_what_is_avoided_is_not_offered(
    site: Site, server: Server, person: Invited
) -> None:
    finn, gus = person(site, server, "Finn"), person(site, server, "Gus")
    first, second = (offer["query_id"] for offer in finn.offers(2))
    (of_gus,) = (offer["query_id"] for offer in gus.offers(1))
    found = finn.post("/api/next", n=1, hold=[first, of_gus], avoid=[second]).json()
    assert found["gone"] == [of_gus]
    assert {offer["query_id"] for offer in found["offers"]}.isdisjoint({first, second, of_gus})
    assert finn.post("/api/next", n=0, hold=[first]).json()["gone"] == []


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/next", b""),
        ("/api/next", b"["),
        ("/api/next", b"[" * 16_000),
        ("/api/next", b"[]"),
        ("/api/next", b"{}"),
        ("/api/next", b'{"n": 1}'),
        ("/api/next", b'{"n": true, "hold": []}'),
        ("/api/next", b'{"n": 9, "hold": []}'),
        ("/api/next", b'{"n": -1, "hold": []}'),
        ("/api/next", b'{"n": 1.0, "hold": []}'),
        ("/api/next", b'{"n": 1, "hold": [1]}'),
        ("/api/next", b'{"n": 1, "hold": ["\\ud800"]}'),
        ("/api/next", json.dumps({"n": 1, "hold": ["q"] * 65}).encode()),
        ("/api/next", b'{"n": 1, "hold": [], "avoid": "q1"}'),
        ("/api/next", json.dumps({"n": 1, "hold": [], "avoid": ["q"] * 65}).encode()),
        ("/api/answer", b'{"label_id": "12345678", "query_id": "q1", "choice": "left"}'),
        ("/api/undo", b'{"new_label_id": "short", "label_id": null}'),
        ("/api/undo", b'{"new_label_id": "12345678", "label_id": "\\u0000"}'),
        ("/api/damaged", b'{"query_id": ""}'),
        ("/api/damaged", b'{"query_id": null}'),
        ("/api/next", b"\xff\xfe"),
    ],
)
def test_malformed_bodies_are_refused_in_one_line(server: Server, ann: Person, path: str, body: bytes) -> None:
    response = ann.client.post(path, content=body, headers={"content-type": "application/json"})
    assert response.status_code == 400
    assert "\n" not in response.json()["error"]


def test_answers_with_bad_values_are_refused(ann: Person) -> None:
    (offer,) = ann.offers(1)
    fine = {
        "label_id": "label-fine",
        "query_id": offer["query_id"],
        "choice": "left",
        "shown_at_utc_ms": 1,
        "answered_at_utc_ms": 2,
        "ms_on_screen": 3,
    }
    for change in (
        {"choice": "both"},
        {"choice": 1},
        {"label_id": "has space "},
        {"label_id": "x" * 65},
        {"query_id": "\ud800"},
        {"query_id": "x" * 129},
        {"ms_on_screen": -1},
        {"ms_on_screen": 2**60},
        {"shown_at_utc_ms": "1"},
    ):
        assert ann.post("/api/answer", **{**fine, **change}).status_code == 400, change
