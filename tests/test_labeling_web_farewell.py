"""The page's server ends with its training, once those who wait at the page have heard of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from web_site import Site, make_site

from labeling import web
from labeling.agent_status import AgentStatus
from labeling.web import WebSettings, listen, serve

AGENT: dict[str, Any] = {
    "steps": 1,
    "total_steps": 2,
    "labels": 0,
    "total_labels": 1,
    "process_id": 1,
    "updated_at_utc_ms": 1,
}


@contextmanager
def serving(site: Site, state: list[str]) -> Iterator[tuple[str, threading.Event, threading.Thread]]:
    """The site's address, what ends its server, and the thread that it runs in."""
    stop, listener = threading.Event(), listen("127.0.0.1", 0)
    origin = f"http://127.0.0.1:{listener.getsockname()[1]}"
    server = threading.Thread(
        target=lambda: serve(
            site.store_path,
            site.pictures,
            WebSettings(total_labels=1, port=0),
            tokens={},
            read_status=lambda: AgentStatus(state=state[0], **AGENT),
            said=lambda line: None,
            listener=listener,
            stop=stop,
        )
    )
    server.start()
    try:
        yield origin, stop, server
    finally:
        stop.set()
        server.join(90)
    assert not server.is_alive()


def test_who_waits_at_the_page_hears_that_the_run_has_ended_before_the_page_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "_FAREWELL_SECONDS", 60.0)
    site, state = make_site(tmp_path, n_queries=0, names=("Ann", "Bo"), is_drawn=False), ["training"]
    with serving(site, state) as (origin, stop, server), httpx.Client(base_url=origin, timeout=40) as ann:
        ann.get("/join", params={"token": site.tokens["Ann"]})
        assert ann.get("/api/state").json()["agent"]["state"] == "training"
        state[0] = "ended"
        stop.set()
        server.join(1)
        assert server.is_alive()  # she has not looked again
        assert ann.get("/api/state").json()["agent"]["state"] == "ended"
        server.join(30)
        assert not server.is_alive()


def test_a_page_that_nobody_waits_at_goes_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "_FAREWELL_SECONDS", 60.0)
    site = make_site(tmp_path, n_queries=0, names=("Ann",), is_drawn=False)
    with serving(site, ["training"]) as (origin, stop, server):
        assert httpx.get(f"{origin}/api/state").status_code == 401
        stop.set()
        server.join(30)
        assert not server.is_alive()
