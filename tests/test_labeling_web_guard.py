"""The wall around the page, request by request: what is refused, with which status, and what every answer carries."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from labeling.web_guard import Guard, GuardRules, RateLimit, host_name, origin_of

OWN = (b"host", b"127.0.0.1:8765")
JSON = (b"content-type", b"application/json")
ORIGIN = (b"origin", b"http://127.0.0.1:8765")
Header = tuple[bytes, bytes]


class Inner:
    """An app behind the guard that notes what came through."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = b""
        if scope["method"] == "POST":
            body = (await receive())["body"]
        self.bodies.append(body)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"inner"})


def request(
    *headers: Header, method: str = "GET", body: list[Message] | None = None, rules: GuardRules | None = None
) -> tuple[int, dict[bytes, bytes], bool]:
    """Status, headers, and whether the app behind was reached."""
    inner, sent = Inner(), []
    messages = body if body is not None else [{"type": "http.request", "body": b"{}", "more_body": False}]
    waiting = list(messages)

    async def receive() -> Message:
        if not waiting:
            await asyncio.Event().wait()
        return waiting.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    scope: dict[str, Any] = {"type": "http", "method": method, "path": "/", "headers": list(headers)}
    asyncio.run(Guard(inner, rules or GuardRules())(scope, receive, send))
    return sent[0]["status"], dict(sent[0]["headers"]), bool(inner.bodies)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        (b"127.0.0.1:8765", 200),
        (b"127.0.0.1", 200),
        (b"LOCALHOST:9999", 200),  # the far end of a tunnel
        (b"[::1]:8765", 200),
        (b"[0:0:0:0:0:0:0:1]:8765", 200),
        (b"[::1]", 200),
        (b"evil.example", 403),
        (b"127.0.0.1.evil.example:8765", 403),
        (b"localhost.evil.example", 403),
        (b"192.168.1.4:8765", 403),
        (b"[::2]:8765", 403),
        (b"127.1", 403),
        (b"localhost.", 403),
        (b"", 400),
        (b"[::1", 400),
        (b"[::1]evil", 400),
        (b"::1", 400),
        (b"localhost:port", 400),
        (b"localhost:99999", 400),
        (b"localhost:8765@evil.example", 400),
        (b"localhost/..", 400),
        (b"local host", 400),
        (b"localhost\xff", 400),
        (b"localhost:\xb2", 400),
    ],
)
def test_hosts(host: bytes, status: int) -> None:
    found, _, is_through = request((b"host", host))
    assert (found, is_through) == (status, status == 200)


def test_no_host_and_two_hosts_are_refused() -> None:
    assert request()[0] == 400
    assert request(OWN, (b"host", b"evil.example"))[0] == 400


def test_a_server_on_all_interfaces_answers_to_addresses_and_to_its_own_names() -> None:
    rules = GuardRules(host_names=frozenset({"localhost", "lab-pc"}), any_address=True)
    for host, status in [
        (b"192.168.1.4:8765", 200),
        (b"[fe80::1]", 200),
        (b"lab-pc:80", 200),
        (b"evil.example", 403),
        (b"1.2.3.4.nip.io", 403),
    ]:
        assert request((b"host", host), rules=rules)[0] == status, host


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([ORIGIN, JSON], 200),
        ([ORIGIN, (b"sec-fetch-site", b"same-origin"), JSON], 200),
        ([(b"sec-fetch-site", b"same-origin"), JSON], 200),
        ([(b"origin", b"HTTP://127.0.0.1:8765"), JSON], 403),  # browsers write it in lower case
        ([JSON], 403),
        ([(b"origin", b"null"), JSON], 403),
        ([(b"origin", b"http://127.0.0.1:8766"), JSON], 403),
        ([(b"origin", b"http://127.0.0.1"), JSON], 403),
        ([(b"origin", b"http://evil.example"), JSON], 403),
        ([(b"origin", b"file://"), JSON], 403),
        ([ORIGIN, (b"sec-fetch-site", b"cross-site"), JSON], 403),
        ([ORIGIN, (b"sec-fetch-site", b"same-site"), JSON], 403),
        ([ORIGIN], 415),
        ([ORIGIN, (b"content-type", b"text/plain")], 415),
        ([ORIGIN, (b"content-type", b"application/x-www-form-urlencoded")], 415),
        ([ORIGIN, (b"content-type", b"application/jsonx")], 415),
        ([ORIGIN, (b"content-type", b"Application/JSON; charset=utf-8")], 200),
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_what_changes_something_must_come_from_the_own_page_and_be_json(
    headers: list[Header], status: int, method: str
) -> None:
    found, _, is_through = request(OWN, *headers, method=method)
    assert (found, is_through) == (status, status == 200)


def test_an_origin_without_a_port_has_that_of_its_scheme() -> None:
    rules = GuardRules(host_names=frozenset({"label.example"}))
    for host, origin, status in [
        (b"label.example", b"https://label.example", 200),  # behind a proxy with TLS
        (b"label.example:443", b"https://label.example", 200),
        (b"label.example:443", b"http://label.example", 403),
        (b"label.example:80", b"http://label.example", 200),
    ]:
        headers = ((b"host", host), (b"origin", origin), JSON)
        assert request(*headers, method="POST", rules=rules)[0] == status, (host, origin)


def test_a_proxy_that_names_itself_instead_of_the_page_is_let_through_from_its_public_origin_alone() -> None:
    rules = GuardRules(public_origin=origin_of("https://label.example"))
    for origin, status in [
        (b"https://label.example", 200),
        (b"https://label.example:443", 200),
        (b"http://label.example", 403),
        (b"https://label.example:8443", 403),
        (b"https://evil.example", 403),
        (b"null", 403),
    ]:
        assert request(OWN, (b"origin", origin), JSON, method="POST", rules=rules)[0] == status, origin
        named = (b"host", b"label.example")  # by a proxy that passes the name on
        allowed = replace(rules, host_names=frozenset({"label.example"}))
        assert request(named, (b"origin", origin), JSON, method="POST", rules=allowed)[0] == status, origin


def test_other_sites_may_link_here_and_nothing_else() -> None:
    cross = (b"sec-fetch-site", b"cross-site")
    link = [(b"sec-fetch-mode", b"navigate"), (b"sec-fetch-dest", b"document")]
    assert request(OWN, cross, *link)[0] == 200
    for mode, target in [(b"navigate", b"iframe"), (b"no-cors", b"image"), (b"cors", b"empty"), (b"no-cors", b"video")]:
        assert request(OWN, cross, (b"sec-fetch-mode", mode), (b"sec-fetch-dest", target))[0] == 403
    assert request(OWN, cross)[0] == 403


def test_bodies_are_small_whole_and_in_time() -> None:
    rules = GuardRules(max_body_bytes=10, body_seconds=0.05)

    def part(data: bytes, more: bool) -> Message:
        return {"type": "http.request", "body": data, "more_body": more}

    def post(*body: Message, length: bytes = b"") -> int:
        lengths = [(b"content-length", length)] if length else []
        return request(OWN, ORIGIN, JSON, *lengths, method="POST", body=list(body), rules=rules)[0]

    assert post(part(b"12345", True), part(b"67890", False)) == 200
    assert post(part(b"12345", True), part(b"678901", False)) == 413
    assert post(length=b"11") == 413
    assert post(part(b"1", True)) == 408
    assert post(part(b"1", True), {"type": "http.disconnect"}) == 400
    assert request(OWN, (b"content-length", b"11"), rules=rules)[0] == 413


def test_every_answer_has_the_headers_also_refusals() -> None:
    for headers in ([OWN], [(b"host", b"evil.example")]):
        _, found, _ = request(*headers)
        policy = found[b"content-security-policy"].decode()
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        for allowed in ("script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"):
            assert allowed in policy
        assert found[b"x-content-type-options"] == b"nosniff"
        assert found[b"referrer-policy"] == b"no-referrer"
        assert found[b"cross-origin-resource-policy"] == b"same-origin"
        assert found[b"cache-control"] == b"no-store"
        assert not [name for name in found if name.startswith(b"access-control")]


def test_an_app_that_takes_too_long_is_left() -> None:
    async def stuck(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.Event().wait()

    async def receive() -> Message:
        raise AssertionError

    async def send(message: Message) -> None:
        raise AssertionError

    scope = {"type": "http", "method": "GET", "path": "/", "headers": [OWN]}
    asyncio.run(Guard(stuck, GuardRules(answer_seconds=0.02))(scope, receive, send))


def test_web_sockets_are_closed() -> None:
    sent = []

    async def receive() -> Message:
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(Guard(Inner(), GuardRules())({"type": "websocket", "headers": [OWN]}, receive, send))
    assert sent == [{"type": "websocket.close", "code": 1008}]


def test_rate_limits_let_bursts_through_and_then_the_pace() -> None:
    now = [0.0]
    limit = RateLimit(per_second=20, burst=5, clock=lambda: now[0])
    assert [limit.allows("Ann") for _ in range(7)] == [True] * 5 + [False] * 2
    assert limit.allows("Bo")  # has a bucket of her own
    now[0] = 0.05
    assert [limit.allows("Ann") for _ in range(2)] == [True, False]
    now[0] = 10.0
    assert [limit.allows("Ann") for _ in range(6)] == [True] * 5 + [False]


def test_host_names_are_read_as_browsers_write_them() -> None:
    names = ["Lab-PC", "::1", "[::1]", "10.0.0.1", "a b", "http://x", "x:80/", "fe80::1%eth0", ""]
    assert [host_name(name) for name in names[:4]] == ["lab-pc", "::1", "::1", "10.0.0.1"]
    assert [host_name(name) for name in names[4:]] == [None] * 5
