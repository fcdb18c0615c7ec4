"""What attackers of the page's server get: other names and origins, large bodies, paths that lead out, floods."""

from __future__ import annotations

import http.client
import json
import re
import secrets
import socket
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from web_people import Invited, Person, raw
from web_site import Server, Site, make_site

from labeling import web_server
from labeling.web import WebSettings, listen, serve


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
