"""The wall around the web page: ASGI middleware that refuses what no honest browser sends.

It knows neither people nor labels. Each check is here because another cannot do its work: Host names stop DNS
rebinding, Origin and fetch metadata stop other sites' pages (also those on another port of the same machine, which
get the SameSite cookie), limits stop floods, headers stop scripts.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["Guard", "GuardRules", "RateLimit", "header", "host_name", "origin_of", "refuse"]

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
SECURITY_HEADERS = (
    (b"content-security-policy", CONTENT_SECURITY_POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),  # a page on another port of this machine is "same site"
)
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})

_AUTHORITY = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::([0-9]{1,5}))?")
_ORIGIN = re.compile(r"(https?)://(.+)")
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardRules:
    """What the guard lets through."""

    host_names: frozenset[str] = LOOPBACK_NAMES
    """Names a browser may know this server by, without a port: tunnels and proxies change it."""
    any_address: bool = False
    """Whether every IP address will do as well. Rebinding needs a name to rebind, so this is safe; it is for servers
    that listen on all interfaces."""
    public_origin: tuple[str, str, int] | None = None
    """Where a proxy shows the page, which may not pass on the name that the browser called it by; see `origin_of`."""
    max_body_bytes: int = 16 * 1024
    body_seconds: float = 10.0
    """Time to send a whole body in."""
    answer_seconds: float = 120.0
    """Time for the whole of a request, the reading of the answer included."""


class Guard:
    """Refuses foreign hosts, foreign pages, other bodies than small JSON; adds the security headers."""

    def __init__(self, app: ASGIApp, rules: GuardRules) -> None:
        self._app = app
        self._rules = rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Lets one request through or answers it with a refusal."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
        else:
            try:
                async with asyncio.timeout(self._rules.answer_seconds):
                    await self._http(scope, receive, _with_headers(send))
            except TimeoutError:
                return  # the server drops the connection of whoever reads nothing

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._check_host(scope) or _check_fetch_metadata(scope)
        if refusal is None and scope["method"] not in ("GET", "HEAD"):
            refusal = _check_origin(scope, self._rules.public_origin) or _check_json(scope)
        if refusal is None and _declared_length(scope) > self._rules.max_body_bytes:
            refusal = (413, f"expected a body of at most {self._rules.max_body_bytes} bytes")
        if refusal is None and scope["method"] not in ("GET", "HEAD"):
            body = await self._body(receive)
            if isinstance(body, bytes):
                receive = _replay(body, receive)
            else:
                refusal = body
        if refusal is not None:
            await refuse(send, *refusal)
            return
        await self._app(scope, receive, send)

    def _check_host(self, scope: Scope) -> tuple[int, str] | None:
        hosts = [value for name, value in scope["headers"] if name.lower() == b"host"]
        parsed = _authority(hosts[0].decode("latin-1"), 0) if len(hosts) == 1 else None
        if parsed is None:
            return 400, "expected one Host header of a name or address and perhaps a port"
        name = parsed[0]
        if name in self._rules.host_names or (self._rules.any_address and _is_address(name)):
            return None
        return 403, f"this server does not answer to the name {name:.80}; its operator can allow it: --allowed-host"

    async def _body(self, receive: Receive) -> bytes | tuple[int, str]:
        body = bytearray()
        try:
            async with asyncio.timeout(self._rules.body_seconds):
                more = True
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return 400, "the connection was closed within the body"
                    body += message.get("body", b"")
                    more = message.get("more_body", False)
                    if len(body) > self._rules.max_body_bytes:
                        return 413, f"expected a body of at most {self._rules.max_body_bytes} bytes"
        except TimeoutError:
            return 408, f"expected the whole body within {self._rules.body_seconds:g} s"
        return bytes(body)


class RateLimit:
    """Token buckets by name: `per_second` requests in the long run, `burst` at once."""

    def __init__(self, per_second: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_second
        self._burst = burst
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}  # name: (left, as of when)

    def allows(self, name: str) -> bool:
        """Whether one more request of that name may pass now; it is then counted."""
        now = self._clock()
        left, since = self._buckets.get(name, (self._burst, now))
        left = min(self._burst, left + (now - since) * self._per_second)
        if len(self._buckets) > 10_000:  # addresses of a flood; a full bucket need not be remembered
            self._buckets.clear()
        self._buckets[name] = (left - 1.0 if left >= 1.0 else left, now)
        return left >= 1.0


def header(scope: Scope, name: bytes) -> str | None:
    """The first header of that lower-case name, or None."""
    for key, value in scope["headers"]:
        if key.lower() == name:
            return bytes(value).decode("latin-1")
    return None


def host_name(text: str) -> str | None:
    """A name or address as browsers put it into Host, lower case, IPv6 without brackets; None where it is neither.

    >>> host_name("[::1]"), host_name("Lab-PC"), host_name("a/b")
    ('::1', 'lab-pc', None)
    """
    parsed = _authority(f"[{text}]" if text.count(":") > 1 and text[0] != "[" else text, 0)
    return None if parsed is None else parsed[0]


async def refuse(send: Send, status: int, error: str, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
    """Answers with one line of JSON."""
    body = json.dumps({"error": error}).encode()
    length = str(len(body)).encode()
    fields = [(b"content-type", b"application/json"), (b"content-length", length), *headers]
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": body})


def _authority(text: str, default_port: int) -> tuple[str, int] | None:
    match = _AUTHORITY.fullmatch(text.lower())
    if match is None:
        return None
    name, port = match[1], int(match[2] or default_port)
    if port > 65535:
        return None
    if name.startswith("["):
        try:
            name = ipaddress.IPv6Address(name[1:-1]).compressed
        except ValueError:
            return None
    return name, port


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _check_fetch_metadata(scope: Scope) -> tuple[int, str] | None:
    """Other sites may link here, and nothing else: no pictures, no scripts, no frames, no requests."""
    site = header(scope, b"sec-fetch-site")
    if site in (None, "same-origin", "none"):
        return None
    mode, target = header(scope, b"sec-fetch-mode"), header(scope, b"sec-fetch-dest")
    if scope["method"] == "GET" and mode == "navigate" and target == "document":
        return None
    return 403, "requests from other sites are refused"


def origin_of(url: str) -> tuple[str, str, int] | None:
    """Scheme, name and port of an http or https URL without a path; None if it is something else."""
    match = _ORIGIN.fullmatch(url)
    parsed = _authority(match[2], _DEFAULT_PORTS[match[1]]) if match is not None else None
    return None if match is None or parsed is None else (match[1], *parsed)


def _check_origin(scope: Scope, public: tuple[str, str, int] | None) -> tuple[int, str] | None:
    """What changes something must come from this server's own page.

    Browsers send Origin with every such request; Sec-Fetch-Site, which came first, only over https and on localhost.
    """
    origin = header(scope, b"origin")
    if origin is None:
        if header(scope, b"sec-fetch-site") is not None:  # same-origin or none, by the check before
            return None
        return 403, "expected an Origin header that names this server"
    found = origin_of(origin)
    if found is not None:
        host = header(scope, b"host") or ""
        if public is not None and _authority(host, _DEFAULT_PORTS[public[0]]) == public[1:]:
            is_own = found == public  # not by another scheme of the same name
        else:
            is_own = found == public or found[1:] == _authority(host, _DEFAULT_PORTS[found[0]])
        if is_own:
            return None
    return 403, (
        f"requests from other sites are refused, and this one comes from {origin:.80}; where that is a proxy for this "
        "page, its operator says so: --public-url"
    )


def _check_json(scope: Scope) -> tuple[int, str] | None:
    kind = (header(scope, b"content-type") or "").split(";")[0].strip().lower()
    return None if kind == "application/json" else (415, "expected Content-Type: application/json")


def _declared_length(scope: Scope) -> int:
    text = header(scope, b"content-length") or "0"
    return int(text) if text.isascii() and text.isdigit() else 0


def _replay(body: bytes, receive: Receive) -> Receive:
    messages = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def replayed() -> Message:
        message = next(messages, None)
        return await receive() if message is None else message

    return replayed


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = list(message.get("headers", ()))
            headers += SECURITY_HEADERS
            if not any(name.lower() == b"cache-control" for name, _ in headers):
                headers.append((b"cache-control", b"no-store"))
            message = {**message, "headers": headers}
        await send(message)

    return sending
