"""Who gets in at the page's server: links, cookies, tokens, invitations."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from web_people import NAMES, Invited, Person
from web_site import Server, Site, make_site, running, until

from labeling.store import Store, StoreError
from labeling.web import invite
from labeling.web_access import new_token, token_sha256

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
        for name in ("window", "oracle", "Function:x"):
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
