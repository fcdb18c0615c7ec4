"""Who is at the door of the web page: one token per person, kept by the store as a hash, by the browser as a cookie.

Who somebody is follows from the token alone; what a request's body says about names counts for nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import html
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from starlette.types import ASGIApp, Receive, Scope, Send

from labeling.people_names import check_person
from labeling.store import Invite, Store
from labeling.web_guard import RateLimit, header, refuse

__all__ = ["Access", "Person", "invite", "join_path", "new_token", "token_sha256"]

PERSON = "prefrl.person"
"""Where the ASGI scope holds the `Person` behind a request."""

_COOKIE_SECONDS = 90 * 24 * 3600
_FOREIGN = "expected a valid token: open the link that you were given"
_REFRESH_SECONDS = 1.0
_ICON = '<link rel="icon" type="image/svg+xml" href="/static/icon.svg">'  # else browsers ask for /favicon.ico


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who holds a valid token."""

    name: str
    """The labeler whose answers these are."""
    is_operator: bool
    """Whether the progress page is theirs to see."""


def new_token() -> str:
    """A fresh secret of 192 random bits, safe in URLs and cookies."""
    return secrets.token_urlsafe(24)


def token_sha256(token: str) -> str:
    """What the store keeps of a token."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


def join_path(token: str) -> str:
    """Path and query of the link that lets its holder in."""
    return f"/join?token={token}"


def invite(store: Store, names: Sequence[str], *, is_operator: bool = False) -> dict[str, str]:
    """Makes a token for each name and returns them; tokens that the name already has stay valid.

    Raises:
        StoreError: for names that are not 1 to 64 printable characters, or that other labelers have.
    """
    for name in names:
        check_person(name)
    tokens = {name: new_token() for name in names}
    with store.together():
        for name, token in tokens.items():
            store.add_invite(name, token_sha256(token), is_operator=is_operator)
    return tokens


class Access:
    """ASGI middleware that lets nobody in without a valid token, and then says who it is.

    It answers `/join?token=...` itself: that sets the cookie and goes on to `/`.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        port: int,
        read_invites: Callable[[], Awaitable[Iterable[Invite]]],
        api_limit: RateLimit,
        file_limit: RateLimit,
        is_secure: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._app = app
        self._cookie = f"prefrl_{port}"  # cookies know no ports: two servers on one machine must not share one
        self._read_invites = read_invites
        self._api_limit, self._file_limit = api_limit, file_limit
        self._secure = "; Secure" if is_secure else ""  # else a browser that tries http first would show the token
        self._clock = clock
        self._people: list[tuple[str, Person]] = []
        self._read_at = -_REFRESH_SECONDS
        self._lock = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes on requests of people, refuses all others."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_join = scope["path"] == "/join" and scope["method"] == "GET"
        token = _query_token(scope) if is_join else _cookie_value(scope, self._cookie)
        person = await self._person(token)
        if not self._allows(person, scope):
            await refuse(send, 429, "too many requests; wait a second", [(b"retry-after", b"1")])
        elif person is None:
            await _refuse_stranger(scope, send)
        elif is_join and token is not None:
            await self._let_in(person, token, send)
        else:
            await self._app({**scope, PERSON: person}, receive, send)

    def _allows(self, person: Person | None, scope: Scope) -> bool:
        if person is None:
            client = scope.get("client")
            return self._api_limit.allows(f"address {client[0] if client else ''}")
        limit = self._api_limit if scope["path"].startswith("/api/") else self._file_limit
        return limit.allows(f"person {person.name}")

    async def _person(self, token: str | None) -> Person | None:
        if token is None:
            return None
        person = self._find(token)
        if person is not None:
            return person
        async with self._lock:  # who comes while the invites are being read waits for them
            if self._clock() - self._read_at >= _REFRESH_SECONDS:  # a flood of wrong tokens reads the store once
                invites = await self._read_invites()
                self._people = [(i.token_sha256, Person(i.name, i.is_operator)) for i in invites]
                self._read_at = self._clock()
            return self._find(token)

    def _find(self, token: str) -> Person | None:
        given, found = token_sha256(token), None
        for digest, person in self._people:  # all of them, whichever fits: time tells nothing
            if hmac.compare_digest(digest, given):
                found = person
        return found

    async def _let_in(self, person: Person, token: str, send: Send) -> None:
        # No redirect: a link clicked on another site makes the whole chain of redirects cross-site, and a
        # SameSite=Strict cookie would not come along to `/`. A page that goes on by itself starts afresh.
        cookie = f"{self._cookie}={token}; Max-Age={_COOKIE_SECONDS}; Path=/; HttpOnly; SameSite=Strict{self._secure}"
        text = f'Hello {html.escape(person.name)}. <a href="/">Go on to the clips</a>'
        page = _page("prefrl", f"<p>{text}</p>", '<meta http-equiv="refresh" content="0; url=/">' + _ICON)
        await _send_page(send, 200, page, [(b"set-cookie", cookie.encode("ascii"))])


def _query_token(scope: Scope) -> str | None:
    values = parse_qs(scope["query_string"].decode("latin-1")).get("token", [])
    return values[0] if len(values) == 1 and _is_token(values[0]) else None


def _cookie_value(scope: Scope, name: str) -> str | None:
    for pair in (header(scope, b"cookie") or "").split(";"):
        key, _, value = pair.strip().partition("=")
        if key == name:
            return value if _is_token(value) else None
    return None


def _is_token(text: str) -> bool:
    """Whether it can be one: whatever goes back into a cookie must not break out of it."""
    return 0 < len(text) <= 64 and text.isascii() and text.replace("-", "").replace("_", "").isalnum()


async def _refuse_stranger(scope: Scope, send: Send) -> None:
    if "text/html" not in (header(scope, b"accept") or ""):
        await refuse(send, 401, _FOREIGN)
        return
    # Nothing of ours may be loaded without a token, so this page has no style. "Try again" is no idle advice:
    # the cookie stays away when another site linked here, and comes along from our own page.
    text = "This page needs the personal link that you were given by whoever runs it. Had you opened it here before?"
    page = _page(
        "prefrl: please use your link", f'<h1>Please use your link</h1><p>{text} <a href="/">Try again</a></p>'
    )
    await _send_page(send, 401, page)


def _page(title: str, body: str, head: str = "") -> bytes:
    scheme = '<meta name="color-scheme" content="light dark">'
    view = '<meta name="viewport" content="width=device-width, initial-scale=1">'
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">{scheme}{view}{head}'
        f"<title>{title}</title></head><body>{body}</body></html>"
    ).encode()


async def _send_page(send: Send, status: int, page: bytes, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
    fields: list[Any] = [(b"content-type", b"text/html; charset=utf-8"), (b"content-length", str(len(page)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": [*fields, *headers]})
    await send({"type": "http.response.body", "body": page})
