"""The page's server over HTTP: who gets in, what is stored, and what attackers and full disks get."""

from __future__ import annotations

import http.client
import json
import os
import re
import resource
import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from web_site import Server, Site, make_site, running, until

from labeling import web_server
from labeling.agent_status import AgentStatus, write_status
from labeling.choice import Choice
from labeling.store import Store, StoreError
from labeling.web import WebError, WebSettings, invite, links, listen, serve
from labeling.web_access import new_token, token_sha256

NAMES = ("Ann", "Bo", "Cleo", "Dora", "Eve", "Finn", "Flood", "Gus")
ROUTES = [
    ("GET", "/"),
    ("GET", "/progress"),
    ("GET", "/static/label.js"),
    ("GET", "/static/style.css"),
    ("GET", "/static/icon.svg"),
    ("GET", "/clips/CLIP.webm"),
    ("GET", "/clips/CLIP.png"),
    ("GET", "/api/state"),
    ("GET", "/api/progress"),
    ("POST", "/api/next"),
    ("POST", "/api/answer"),
    ("POST", "/api/undo"),
    ("POST", "/api/damaged"),
    ("GET", "/nowhere"),
    ("GET", "/favicon.ico"),
    ("POST", "/join"),
]
OPERATOR_ROUTES = ["/progress", "/api/progress"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return make_site(tmp_path_factory.mktemp("site"), n_queries=80, names=NAMES, n_clips=4)


@pytest.fixture(scope="module")
def server(site: Site) -> Iterator[Server]:
    with running(site, task="go left", title="Toy") as found:
        yield found


class Person:
    """A scripted labeler: a client that came in by a link, as a browser does."""

    def __init__(self, server: Server, token: str) -> None:
        self.client = httpx.Client(base_url=server.origin, headers={"origin": server.origin}, timeout=40)
        assert self.client.get("/join", params={"token": token}).status_code == 200

    def get(self, path: str, **kwargs: Any) -> httpx.Response:
        return self.client.get(path, **kwargs)

    def post(self, path: str, **body: Any) -> httpx.Response:
        return self.client.post(path, content=json.dumps(body), headers={"content-type": "application/json"})

    def offers(self, n: int = 1, hold: list[str] | None = None) -> list[dict[str, Any]]:
        response = self.post("/api/next", n=n, hold=hold or [])
        assert response.status_code == 200, response.text
        found: list[dict[str, Any]] = response.json()["offers"]
        return found

    def answer(self, query_id: str, choice: str = "left", label_id: str | None = None, **more: Any) -> httpx.Response:
        times = {"shown_at_utc_ms": 1000, "answered_at_utc_ms": 2000, "ms_on_screen": 1000}
        label_id = label_id or secrets.token_hex(16)
        return self.post("/api/answer", label_id=label_id, query_id=query_id, choice=choice, **times, **more)


Invited = Callable[[Site, Server, str], Person]


@pytest.fixture
def person() -> Iterator[Invited]:
    """Lets people in by name, and sends them away at the end."""
    people: list[Person] = []

    def come_in(site: Site, server: Server, name: str) -> Person:
        people.append(Person(server, site.tokens[name]))
        return people[-1]

    yield come_in
    for one in people:
        one.client.close()


@pytest.fixture
def ann(site: Site, server: Server, person: Invited) -> Person:
    return person(site, server, "Ann")


def raw(server: Server, request: bytes) -> bytes:
    """What the server answers to these very bytes."""
    host, port = server.origin.removeprefix("http://").rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(request)
        answer = b""
        while data := connection.recv(65536):
            answer += data
    return answer


# --- who gets in ---


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_nobody_gets_anything_without_a_valid_token(server: Server, site: Site, method: str, path: str) -> None:
    port = server.origin.rsplit(":", 1)[1]
    cookies = [
        "",
        f"prefrl_{port}=",
        f"prefrl_{port}={new_token()}",
        f"prefrl_{port}={site.tokens['Ann'][:-1]}",
        f"prefrl_{port}={token_sha256(site.tokens['Ann'])}",
        f"prefrl_1={site.tokens['Ann']}",  # another server's on this machine
        f"prefrl_{port}={'x' * 5000}",
        f'prefrl_{port}="{site.tokens["Ann"]}"',
    ]
    path = path.replace("CLIP", site.clip_ids[0])
    for cookie in cookies:
        headers = {"origin": server.origin, "cookie": cookie, "content-type": "application/json"}
        response = as_stranger(
            method, server.origin + path, headers=headers, content=b"{}" if method == "POST" else None
        )
        assert response.status_code == 401, cookie
        assert len(response.content) < 600


def as_stranger(method: str, url: str, **kwargs: Any) -> httpx.Response:
    """Asks again while the rate limit that all strangers share is used up."""
    pause = threading.Event()
    for _ in range(100):
        response = httpx.request(method, url, **kwargs)
        if response.status_code != 429:
            break
        pause.wait(0.05)
    return response


def test_a_labeler_is_not_the_operator(site: Site, server: Server, ann: Person, person: Invited) -> None:
    for path in OPERATOR_ROUTES:
        assert ann.get(path).status_code == 403
    operator = person(site, server, "Op")
    for path in OPERATOR_ROUTES:
        assert operator.get(path).status_code == 200


def test_a_link_leaves_a_cookie_that_scripts_and_other_sites_do_not_get(site: Site, server: Server) -> None:
    token, port = site.tokens["Ann"], server.origin.rsplit(":", 1)[1]
    response = httpx.get(server.link(token))
    assert response.status_code == 200
    assert 'http-equiv="refresh" content="0; url=/"' in response.text
    assert token not in response.text
    assert response.headers["set-cookie"] == (
        f"prefrl_{port}={token}; Max-Age=7776000; Path=/; HttpOnly; SameSite=Strict"
    )
    assert response.headers["referrer-policy"] == "no-referrer"
    assert response.headers["cache-control"] == "no-store"
    for query in ["", "token=", f"token={token}x", f"token={token}&token={token}", "token=%00", "token=%F0%9F%98%80"]:
        found = as_stranger("GET", f"{server.origin}/join?{query}", headers={"accept": "text/html"})
        assert found.status_code == 401
        assert "set-cookie" not in found.headers
        assert "Please use your link" in found.text


def test_tokens_are_kept_as_hashes_and_old_ones_stay_valid(tmp_path: Path) -> None:
    with Store(tmp_path / "labels.sqlite") as store:
        first, second = invite(store, ["Ann"])["Ann"], invite(store, ["Ann"])["Ann"]
        assert [i.token_sha256 for i in store.invites()] == [token_sha256(first), token_sha256(second)]
        for name in ("window", "teacher:oracle", "Teacher:x"):
            with pytest.raises(StoreError, match="expected a person's name"):
                invite(store, [name])
        with pytest.raises(StoreError, match="printable"):
            invite(store, ["Bo", "a\nb"])
        assert len(store.invites()) == 2  # all or none
    assert len(first) >= 32  # 192 bits
    data = (tmp_path / "labels.sqlite").read_bytes()
    assert first.encode() not in data
    assert second.encode() not in data


def test_who_is_invited_while_the_page_is_up_gets_in(site: Site, server: Server, person: Invited) -> None:
    with Store(site.store_path) as store:
        site.tokens |= invite(store, ["Late"])
    until(lambda: httpx.get(server.link(site.tokens["Late"])).status_code == 200)
    assert person(site, server, "Late").get("/api/state").json()["name"] == "Late"


def test_all_who_come_first_at_the_same_time_get_in(tmp_path: Path) -> None:
    site = make_site(tmp_path, n_queries=1, names=NAMES, is_drawn=False)
    with running(site) as server, ThreadPoolExecutor(len(NAMES)) as pool:
        found = pool.map(lambda name: httpx.get(server.link(site.tokens[name])).status_code, NAMES)
        assert list(found) == [200] * len(NAMES)


# --- answers ---


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


# --- attacks ---


@pytest.mark.parametrize("host", [b"evil.example", b"127.0.0.1.evil.example", b"evil.example:8765", b"192.168.0.1"])
def test_rebound_names_get_nothing(site: Site, server: Server, host: bytes) -> None:
    cookie = f"prefrl_{server.origin.rsplit(':', 1)[1]}={site.tokens['Ann']}".encode()
    clip = site.clip_ids[0].encode()
    for path in (b"/", b"/api/state", b"/static/label.js", b"/clips/" + clip + b".webm", b"/join"):
        request = b"GET %s HTTP/1.1\r\nHost: %s\r\nCookie: %s\r\nConnection: close\r\n\r\n" % (path, host, cookie)
        assert raw(server, request).startswith(b"HTTP/1.1 403"), path


def test_malformed_hosts_get_nothing(site: Site, server: Server) -> None:
    cookie = f"prefrl_{server.origin.rsplit(':', 1)[1]}={site.tokens['Ann']}".encode()
    for host in (b"Host: 127.0.0.1/?x=\r\n", b"Host: [::1\r\n", b"", b"Host: 127.0.0.1\r\nHost: evil.example\r\n"):
        request = b"GET /api/state HTTP/1.1\r\n%sCookie: %s\r\nConnection: close\r\n\r\n" % (host, cookie)
        assert raw(server, request).startswith(b"HTTP/1.1 400"), host


def test_other_origins_write_nothing(site: Site, server: Server, ann: Person) -> None:
    (offer,) = ann.offers(1)
    body = {
        "label_id": secrets.token_hex(8),
        "query_id": offer["query_id"],
        "choice": "left",
        "shown_at_utc_ms": 1,
        "answered_at_utc_ms": 2,
        "ms_on_screen": 3,
    }
    before = site.rows()
    port = int(server.origin.rsplit(":", 1)[1])
    for headers in (
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": f"http://127.0.0.1:{port + 1}"},
        {"origin": f"http://localhost:{port}"},  # the same server, and yet another origin
        {"origin": server.origin, "sec-fetch-site": "same-site"},
    ):
        assert ann.client.post("/api/answer", json=body, headers=headers).status_code == 403
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""):
        response = ann.client.post("/api/answer", content=json.dumps(body), headers={"content-type": kind})
        assert response.status_code == 415
    options = ann.client.options("/api/answer", headers={"origin": "http://evil.example"})
    assert options.status_code == 403
    assert not [name for name in options.headers if name.startswith("access-control")]
    assert site.rows() == before


def test_large_bodies_are_refused(server: Server, ann: Person) -> None:
    kind = {"content-type": "application/json"}
    assert ann.client.post("/api/next", content=b"x" * 16_385, headers=kind).status_code == 413
    chunks = iter([b"x" * 8000] * 3)
    assert ann.client.post("/api/next", content=chunks, headers=kind).status_code == 413


_HARD_PATHS = st.one_of(
    st.text(max_size=40),
    st.lists(
        st.sampled_from(
            ["..", "%2e%2e", "..%2f", "%5c", "\\", "/", "//", "%00", "%c0%ae", "drawn", "labels.sqlite", "etc/passwd"]
        ),
        max_size=8,
    ).map("/".join),
    st.binary(max_size=20).map(lambda data: "".join(f"%{byte:02x}" for byte in data)),
)


@settings(max_examples=150, deadline=None)
@given(part=_HARD_PATHS, prefix=st.sampled_from(["/clips/", "/static/", "/", "/clips/..", "//", "/api/../clips/"]))
def test_no_path_leads_out(site: Site, server: Server, part: str, prefix: str) -> None:
    port = server.origin.rsplit(":", 1)[1]
    path = prefix + "".join(c if "!" <= c <= "~" else "".join(f"%{b:02x}" for b in c.encode()) for c in part)
    connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=20)
    headers = {"Cookie": f"prefrl_{port}={site.tokens['Gus']}"}
    try:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        body = response.read()
    finally:
        connection.close()
    is_page = re.split(r"[?#]", path)[0] in ("/", "//") or path.startswith(("/?", "/#"))
    assert response.status in ((200,) if is_page and response.status == 200 else (400, 403, 404, 405)), path
    assert b"SQLite" not in body
    assert b"root:" not in body


def test_clips_are_found_by_their_hash_alone(site: Site, server: Server, ann: Person) -> None:
    clip_id = site.clip_ids[0]
    found = ann.get(f"/clips/{clip_id}.webm")
    assert found.content == site.pictures.path(clip_id, "webm").read_bytes()
    assert found.headers["content-type"] == "video/webm"
    assert found.headers["cache-control"] == "private, max-age=31536000, immutable"
    part = ann.get(f"/clips/{clip_id}.webm", headers={"range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, found.content[10:20])
    secret = site.folder / "secret.png"
    secret.write_text("secret")
    link = site.pictures.path("ab" * 32, "png")
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(secret)
    for name in (
        f"{'ab' * 32}.png",
        f"{clip_id}.json",
        f"{clip_id}.npz",
        clip_id,
        f"{clip_id}.webm.png",
        f"{clip_id.upper()}.webm" if clip_id.upper() != clip_id else "x",
        f"{'0' * 64}.webm",
        f"{clip_id}.webm%00",
        f"{clip_id}.webm/",
    ):
        assert ann.get(f"/clips/{name}").status_code == 404, name


def test_a_flood_is_held_back_and_others_are_not(site: Site, server: Server, ann: Person, person: Invited) -> None:
    flood = person(site, server, "Flood")
    found = [flood.get("/api/state") for _ in range(150)]
    refused = [response for response in found if response.status_code == 429]
    assert len(refused) > 20
    assert refused[0].headers["retry-after"] == "1"
    assert ann.get("/api/state").status_code == 200


def test_connections_that_send_no_whole_headers_are_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_server, "HEADER_SECONDS", 0.3)
    site = make_site(tmp_path, n_queries=1, is_drawn=False)
    said: list[str] = []
    stop = threading.Event()
    listener = listen("127.0.0.1", 0)
    address = listener.getsockname()
    arguments: dict[str, Any] = {"tokens": {}, "read_status": lambda: None, "said": said.append}
    serving = threading.Thread(
        target=lambda: serve(
            site.store_path,
            site.pictures,
            WebSettings(total_labels=1, port=0),
            listener=listener,
            stop=stop,
            **arguments,
        )
    )
    serving.start()
    try:
        slow = [socket.create_connection(address, timeout=10) for _ in range(20)]
        for connection in slow:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: 127")
        quick = httpx.Client(base_url=f"http://127.0.0.1:{address[1]}")
        assert quick.get("/").status_code == 401
        assert [connection.recv(100) for connection in slow] == [b""] * 20  # closed on them
        slow.append(again := socket.create_connection(address, timeout=10))
        again.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert again.recv(65536).startswith(b"HTTP/1.1 401")
        again.sendall(b"GET /")  # the next request's headers count as well
        while again.recv(65536):
            pass
        quick.close()
        for connection in slow:
            connection.close()
    finally:
        stop.set()
        serving.join(20)
    assert not serving.is_alive()


# --- damage and full disks ---


def test_a_damaged_clip_is_withdrawn_and_said_and_a_whole_one_is_not(tmp_path: Path, person: Invited) -> None:
    site = make_site(tmp_path, n_queries=3, n_clips=3, names=("Ann",))
    with running(site) as server:
        ann = person(site, server, "Ann")
        first, second, third = ann.offers(3)
        assert ann.post("/api/damaged", query_id=first["query_id"]).json() == {"withdrawn": False}
        shared = (
            {first["left"]["clip_id"], first["right"]["clip_id"]}
            & {second["left"]["clip_id"], second["right"]["clip_id"]}
        ).pop()
        strip = site.pictures.path(shared, "png")
        data = bytearray(strip.read_bytes())
        data[len(data) // 2] ^= 1
        strip.write_bytes(data)
        assert ann.post("/api/damaged", query_id=first["query_id"]).json() == {"withdrawn": True}
        assert ann.post("/api/damaged", query_id=third["query_id"]).json() == {"withdrawn": False}
        assert ann.post("/api/damaged", query_id="q99").status_code == 409
        assert {offer["query_id"] for offer in ann.offers(3)} == {second["query_id"], third["query_id"]}
        until(lambda: any(f"query {first['query_id']} was withdrawn" in line for line in server.said))
    with Store.open_read_only(site.store_path) as store:
        (reason,) = store.withdrawals().values()
    assert shared in reason


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


# --- the operator ---


def test_the_operator_sees_everybody(tmp_path: Path, person: Invited) -> None:
    site = make_site(tmp_path, n_queries=6, answers_wanted=2, n_clips=4, names=("Ann", "Bo", "Idle"), is_drawn=False)
    status = AgentStatus(
        steps=5,
        total_steps=10,
        state="training",
        labels=1,
        total_labels=12,
        process_id=os.getpid(),
        updated_at_utc_ms=1,
        newest_clip=site.clip_ids[1],
    )
    write_status(site.folder / "agent.json", status)
    (site.folder / "curves.json").write_text('{"Return": [[0, 1.5], [5, NaN], [10, 2.5]]}')
    (site.folder / "trouble.txt").write_text("no OpenGL here")
    with running(site, total_labels=12, task="hop") as server:
        ann, bo = person(site, server, "Ann"), person(site, server, "Bo")
        for one, choices in ((ann, ["left", "left", "skip"]), (bo, ["left", "right"])):
            for choice in choices:
                one.answer(one.offers(1)[0]["query_id"], choice)
        with Store(site.store_path) as store:
            store.withdraw("q5", "its clip is damaged")
        found = person(site, server, "Op").get("/api/progress").json()
    people = {one["labeler"]: one for one in found["statistics"]["labelers"]}
    assert {name: one["n_answers"] for name, one in people.items()} == {"Ann": 3, "Bo": 2, "Idle": 0}
    assert people["Ann"]["n_by_choice"] == {"left": 2, "right": 0, "equal": 0, "skip": 1}
    left = people["Ann"]["on_screen"]["left"]
    assert (left["n"], left["of"]) == (2, 2)
    assert people["Ann"]["last_answer_utc_ms"] == 2000
    assert people["Idle"]["last_answer_utc_ms"] is None
    assert found["statistics"]["agreement"]["n_queries"] == 2
    assert found["queue"]["waiting"] == 3  # of 6 one is withdrawn, and two have both their answers
    assert found["withdrawn"] == [{"query_id": "q5", "reason": "its clip is damaged"}]
    assert found["curves"] == {"Return": [[0, 1.5], [10, 2.5]]}
    assert found["video"]["video"] == f"/clips/{site.clip_ids[1]}.webm"
    state = found["state"]
    assert (found["statistics"]["n_answers"], state["total_labels"], state["task"]) == (5, 12, "hop")
    assert state["agent"] == {"steps": 5, "total_steps": 10, "state": "training"}
    assert state["trouble"] == "no OpenGL here"


# --- how it starts, and what it says ---


def test_a_whole_session_leaves_no_token_in_what_the_server_says(tmp_path: Path, person: Invited) -> None:
    site = make_site(tmp_path, n_queries=5, names=("Ann",), is_drawn=False)
    with running(site) as server:
        ann = person(site, server, "Ann")
        for offer in ann.offers(3):
            ann.answer(offer["query_id"])
        ann.get("/progress")
        httpx.get(server.link("wrong-token-of-somebody"))
        assert raw(server, b"GET /join?token=%s\r\n\r\n" % site.tokens["Ann"].encode()).startswith(b"HTTP/1.1 400")
        ann.client.close()
    everything = "".join(server.said) + site.store_path.read_bytes().decode("latin-1")
    for token in (*site.tokens.values(), "wrong-token-of-somebody"):
        assert token not in everything
    assert "Traceback" not in everything


def test_it_listens_on_ipv6_too(tmp_path: Path, person: Invited) -> None:
    if not socket.has_ipv6 or not Path("/proc/net/if_inet6").exists():
        pytest.skip("this machine has no IPv6")
    site = make_site(tmp_path, n_queries=1, names=("Ann",), is_drawn=False)
    with running(site, host="::1") as server:
        assert server.origin.startswith("http://[::1]:")
        assert person(site, server, "Ann").get("/api/state").status_code == 200


def test_a_taken_port_and_a_foreign_host_are_one_clear_line(tmp_path: Path) -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(WebError, match=rf"port {port}: the port is taken; .* choose another with --port"):
            listen("127.0.0.1", port)
    with pytest.raises(WebError, match="this machine has no such address"):
        listen("192.0.2.1", 8765)  # kept for documentation, so nobody's
    for host in ("no such host", "x" * 300, "", "a..b"):
        if host:
            with pytest.raises(WebError, match="no such host"):
                listen(host, 8765)
    with pytest.raises(ValueError, match="expected a port"):
        WebSettings(total_labels=1, port=70_000)
    bad = WebSettings(total_labels=1, port=0, allowed_hosts=("http://x",))
    site = Site(tmp_path)
    with pytest.raises(WebError, match="without port or path"):
        serve(site.store_path, site.pictures, bad, tokens={}, read_status=lambda: None, said=print)
    assert not site.store_path.exists()  # it was said before anything else


def test_links_name_the_host_that_people_use() -> None:
    tokens = {"Ann": "t"}
    assert links(WebSettings(total_labels=1), 8765, tokens) == ["Ann: http://127.0.0.1:8765/join?token=t"]
    assert links(WebSettings(total_labels=1, host="::1"), 80, tokens) == ["Ann: http://[::1]:80/join?token=t"]
    named = WebSettings(total_labels=1, host="0.0.0.0", allowed_hosts=("lab.example",))  # noqa: S104  # what is tested
    assert links(named, 9, tokens) == ["Ann: http://lab.example:9/join?token=t"]
    everywhere = WebSettings(total_labels=1, host="0.0.0.0")  # noqa: S104  # what is tested
    assert links(everywhere, 9, tokens) == [f"Ann: http://{socket.gethostname()}:9/join?token=t"]


def test_other_interfaces_are_served_with_a_warning_and_by_token(tmp_path: Path) -> None:
    site = make_site(tmp_path, n_queries=1, names=("Ann",), is_drawn=False)
    with running(site, host="0.0.0.0", allowed_hosts=["lab.example"]) as server:  # noqa: S104  # what is tested
        until(lambda: any("plain HTTP" in line and "ssh -L" in line for line in server.said))
        port = int(re.findall(r":(\d+)", server.said[0])[-1])
        for host, status in (("lab.example", 200), ("evil.example", 403), (f"127.0.0.1:{port}", 200)):
            url = f"http://127.0.0.1:{port}/join?token={site.tokens['Ann']}"
            assert httpx.get(url, headers={"host": host}).status_code == status
        assert httpx.get(f"http://127.0.0.1:{port}/").status_code == 401
