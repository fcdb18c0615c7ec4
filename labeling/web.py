"""The web page on which several people label: put together here, and served.

Safe by default: it listens on this machine alone, lets in only who holds a token, and answers only to its own page.
"""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.types import ASGIApp

from labeling.agent_status import AgentStatus
from labeling.desk import Desk
from labeling.pictures import Pictures
from labeling.store import Store
from labeling.store_thread import StoreThread
from labeling.web_access import Access, invite, join_path
from labeling.web_guard import LOOPBACK_NAMES, Guard, GuardRules, RateLimit, host_name
from labeling.web_requests import ERROR_HANDLERS
from labeling.web_routes import Curves, Routes
from labeling.web_server import listen, make_server
from labeling.web_settings import WebError, WebSettings

__all__ = ["WebError", "WebSettings", "check_hosts", "invite", "links", "listen", "make_app", "serve"]

_FAREWELL_SECONDS = 6.0
_ALL_INTERFACES = ("0.0.0.0", "::")  # noqa: S104  compared with, not listened on


def serve(
    store_path: Path,
    pictures: Pictures,
    settings: WebSettings,
    *,
    tokens: Mapping[str, str],
    read_status: Callable[[], AgentStatus | None],
    said: Callable[[str], None],
    worker_trouble: Callable[[], str | None] = lambda: None,
    curves: Callable[[], Curves] = dict,
    listener: socket.socket | None = None,
    stop: threading.Event | None = None,
) -> None:
    """Serves the page until SIGINT or SIGTERM, or until `stop` is set; every acknowledged answer is stored then.

    Args:
        store_path: The run's label store.
        pictures: Where the drawing worker leaves clips.
        settings: Where and how.
        tokens: By name, for the links that are said at the start; others in the store are as valid.
        read_status: How the agent is doing; None where it has not started.
        said: Tells the operator one line.
        worker_trouble: Why clips are not being drawn; None where all is well.
        curves: What the progress page draws.
        listener: From `listen`, where the caller wanted to know early that the port is free.
        stop: For callers that cannot send signals, or want those who wait at the page to hear of the end first.

    Raises:
        WebError: before anything else, if it cannot listen there.
        StoreError: if the store cannot be opened.
    """
    rules = _rules(settings)
    listener = listener or listen(settings.host, settings.port)
    port: int = listener.getsockname()[1]

    def open_both() -> tuple[Store, Desk]:
        store = Store(store_path)
        desk = Desk(
            store,
            is_drawn=pictures.has_video,
            repeat_share=settings.repeat_share,
            lease_seconds=settings.lease_seconds,
        )
        return store, desk

    with listener, StoreThread(open_both) as desk:
        routes = Routes(
            store_path=store_path,
            desk=desk,
            pictures=pictures,
            settings=settings,
            read_status=read_status,
            worker_trouble=worker_trouble,
            curves=curves,
            said=said,
        )
        server = make_server(make_app(routes, port=port, rules=rules))
        for line in [*_for_the_proxy(settings, port), *links(settings, port, tokens), *_warnings(settings)]:
            said(line)
        with _stopping(server, stop, routes.last_seen):
            server.run(sockets=[listener])


def make_app(routes: Routes, *, port: int, rules: GuardRules) -> ASGIApp:
    """The whole of the page as one ASGI app: guard, then access, then routes."""
    public = rules.public_origin
    app = Starlette(routes=routes.table(), exception_handlers=ERROR_HANDLERS)
    app.router.redirect_slashes = False  # such a redirect would be built from the request's Host
    access = Access(
        app,
        port=port,
        read_invites=lambda: routes.desk.run(lambda store, desk: store.invites()),
        api_limit=RateLimit(per_second=20, burst=60),
        file_limit=RateLimit(per_second=200, burst=400),
        is_secure=public is not None and public[0] == "https",
    )
    return Guard(access, rules)


def links(settings: WebSettings, port: int, tokens: Mapping[str, str]) -> list[str]:
    """One line for each person, with the link that lets them in."""
    own = _own_url(settings.allowed_hosts[0] if settings.allowed_hosts else settings.host, port)
    url = settings.public_url.removesuffix("/") or own
    return [f"{name}: {url}{join_path(token)}" for name, token in tokens.items()]


def _own_url(host: str, port: int) -> str:
    """Where browsers reach this server without a proxy."""
    if host in _ALL_INTERFACES:
        host = socket.gethostname()
    if ":" in host and not host.startswith("["):
        host = f"[{host}]"
    return f"http://{host}:{port}"


def _for_the_proxy(settings: WebSettings, port: int) -> list[str]:
    """Where the proxy finds what it shows: the links no longer say it."""
    own = _own_url(settings.host, port)
    return [f"The page is at {own}/, for the proxy at {settings.public_url}"] if settings.public_url else []


def check_hosts(settings: WebSettings) -> None:
    """Refuses names by which no browser could reach the page.

    Raises:
        WebError: the first of them.
    """
    _rules(settings)


def _rules(settings: WebSettings) -> GuardRules:
    names = [settings.host, *settings.allowed_hosts]
    if settings.host in _ALL_INTERFACES:
        names[0] = socket.gethostname()
    known = [host_name(name) for name in names]
    for name, parsed in zip(names, known, strict=True):
        if parsed is None:
            raise WebError(f"expected a host name or address without port or path, got {name!r:.80}")
    allowed = LOOPBACK_NAMES | {name for name in known if name is not None}
    public = settings.public_origin
    if public is not None:
        allowed |= {public[1]}
    return GuardRules(host_names=allowed, any_address=settings.host in _ALL_INTERFACES, public_origin=public)


def _warnings(settings: WebSettings) -> list[str]:
    public, is_local = settings.public_origin, settings.host in LOOPBACK_NAMES
    if public is not None and public[0] == "https":
        if is_local:
            return []
        return [
            "From the proxy to this page all is plain HTTP: who listens on that network can read tokens and answers."
        ]
    if is_local and (public is None or public[1] in LOOPBACK_NAMES):
        return []
    return [
        "These links are plain HTTP: who listens on the network can read tokens and answers. On a network that is not "
        "yours, serve on 127.0.0.1 and let people come by `ssh -L`, or put a proxy with TLS before it."
    ]


def _bid_farewell(last_seen: Mapping[str, float], done: threading.Event) -> None:
    """Waits until the pages that look often, since they have no pair to show, have looked once more.

    They hear that the run has ended; who still has pairs looks too seldom to be waited for, and has something to do.
    """
    began = time.monotonic()
    names = [name for name, at in dict(last_seen).items() if began - at < _FAREWELL_SECONDS]
    while time.monotonic() - began < _FAREWELL_SECONDS and any(last_seen[name] < began for name in names):
        if done.wait(0.05):
            return


@contextmanager
def _stopping(server: uvicorn.Server, stop: threading.Event | None, last_seen: Mapping[str, float]) -> Iterator[None]:
    """Lets the server end at a signal, or after `stop` and a farewell, and the caller go on after it."""
    done = threading.Event()

    def watch() -> None:
        while stop is not None and not done.is_set():
            if stop.wait(0.1):
                _bid_farewell(last_seen, done)
                server.should_exit = True
                return

    watcher = threading.Thread(target=watch, name="stop", daemon=True)
    watcher.start()
    before = {}
    if threading.current_thread() is threading.main_thread():
        # The server handles both itself, then raises them again for whoever handled them before: that would end the
        # process in the middle of its clean-up.
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, lambda *_: None)
    try:
        yield
    finally:
        done.set()
        watcher.join()
        for number, handler in before.items():
            signal.signal(number, handler)
