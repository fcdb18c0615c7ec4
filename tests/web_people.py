"""People on a page's server as tests play them, and the server that many tests share; fixtures of every test."""

from __future__ import annotations

import json
import secrets
import socket
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from web_site import Server, Site, make_site, running

NAMES = ("Ann", "Bo", "Cleo", "Dora", "Eve", "Finn", "Flood", "Gus")


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
