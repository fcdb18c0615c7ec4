"""The labeling page: what is taken back, what is lost on the way and what waits to be sent is stored once, in order."""

from __future__ import annotations

import resource
import secrets
import shutil
import time
from pathlib import Path
from typing import Any

import httpx
import open_page
import pytest
from open_page import SEEN, enter, given, press, query_on, wait_for_other_pair
from playwright.sync_api import Browser, BrowserContext, expect
from web_site import Server, Site, make_site, running, until

pytestmark = pytest.mark.skipif(shutil.which("chromium") is None, reason="there is no Chromium here")
browser, context, name = open_page.browser, open_page.context, open_page.name
site, server = open_page.site, open_page.server


def test_undo_goes_back_over_several_answers_also_after_a_reload(
    server: Server, site: Site, context: BrowserContext, name: str
) -> None:
    page = enter(context, server, site.tokens[name])
    asked, sides = [], []
    for choice in ("left", "right", "skip"):
        sides.append(page.locator(f"{SEEN} video").first.get_attribute("src"))
        asked.append(press(page, choice))
        wait_for_other_pair(page, asked[-1])
    until(lambda: len(given(site, name)) == 3)
    page.reload()
    page.wait_for_selector(SEEN)
    for query_id, side in zip(asked[::-1], sides[::-1], strict=True):
        page.keyboard.press("u")
        page.wait_for_selector(f'{SEEN}[data-query="{query_id}"]')
        assert page.locator(f"{SEEN} video").first.get_attribute("src") == side
    until(lambda: given(site, name) == {})
    page.keyboard.press("Backspace")
    expect(page.locator("#banner-text")).to_have_text("There is nothing to take back.")
    again = {}
    for _ in range(3):
        query_id = press(page, "equal")
        again[query_id] = "equal"
        wait_for_other_pair(page, query_id)
    assert set(again) == set(asked)
    until(lambda: given(site, name) == again)


def test_unsent_answers_and_undos_survive_a_reload_and_go_in_order(
    server: Server, site: Site, context: BrowserContext, name: str
) -> None:
    page = enter(context, server, site.tokens[name])
    page.route("**/api/answer", lambda route: route.abort())
    first = press(page, "left")
    wait_for_other_pair(page, first)
    page.keyboard.press("u")
    page.wait_for_selector(f'{SEEN}[data-query="{first}"]')
    press(page, "right")
    wait_for_other_pair(page, first)
    second = press(page, "equal")
    expect(page.locator("#banner-text")).to_have_text("Offline: 4 answers kept here, will be sent.")
    expect(page.locator("#mine")).to_have_text("2")
    assert given(site, name) == {}
    page.unroute("**/api/answer")
    page.reload()
    until(lambda: given(site, name) == {first: "right", second: "equal"})
    page.wait_for_selector(SEEN)
    assert query_on(page) not in (first, second)
    assert [row.voids_seq is not None for row in site.rows() if row.labeler == name] == [False, True, False, False]


@pytest.mark.slow
def test_what_a_closed_tab_left_is_sent_by_the_next(
    server: Server, site: Site, context: BrowserContext, name: str
) -> None:
    page = enter(context, server, site.tokens[name])
    page.route("**/api/answer", lambda route: route.abort())
    first = press(page, "left")
    wait_for_other_pair(page, first)
    page.close()
    later = context.new_page()
    later.clock.set_fixed_time(time.time() * 1000 + 60_000)  # long enough for nobody else to be sending it
    later.goto(server.origin)
    until(lambda: given(site, name) == {first: "left"})


@pytest.mark.slow
def test_a_clock_set_back_does_not_change_the_order_of_what_waits(
    server: Server, site: Site, context: BrowserContext, name: str
) -> None:
    page = enter(context, server, site.tokens[name])
    page.route("**/api/answer", lambda route: route.abort())
    first = press(page, "left")
    wait_for_other_pair(page, first)
    page.clock.set_fixed_time(time.time() - 2 * 3600)
    page.reload()
    page.wait_for_selector(SEEN)
    page.keyboard.press("u")
    assert page.evaluate("prefrl.page.outbox.entries().map((entry) => entry.path)") == ["/api/answer", "/api/undo"]
    page.unroute("**/api/answer")
    page.wait_for_selector(f'{SEEN}[data-query="{first}"]')
    assert [row.voids_seq is not None for row in site.rows() if row.labeler == name] == [False, True]


def test_an_acknowledgement_lost_on_the_way_stores_nothing_twice(
    server: Server, site: Site, context: BrowserContext, name: str
) -> None:
    page = enter(context, server, site.tokens[name])
    lost = []

    def lose(route: Any) -> None:
        route.fetch()  # reaches the server
        lost.append(route.request.post_data)
        route.abort()  # and its answer does not reach the page

    page.route("**/api/answer", lose, times=2)
    first = press(page, "left")
    wait_for_other_pair(page, first)
    second = press(page, "right")
    expect(page.locator("#last")).to_have_class("last right saved", timeout=15_000)
    assert given(site, name) == {first: "left", second: "right"}
    assert len(lost) == 2
    assert lost[0] == lost[1]
    assert len([row for row in site.rows() if row.labeler == name]) == 2


@pytest.mark.slow
def test_an_answer_given_elsewhere_is_dropped_and_said(
    server: Server, site: Site, context: BrowserContext, name: str
) -> None:
    page = enter(context, server, site.tokens[name])
    query_id = query_on(page)
    with httpx.Client(base_url=server.origin, headers={"origin": server.origin}) as client:
        client.get("/join", params={"token": site.tokens[name]})
        times = {"shown_at_utc_ms": 1, "answered_at_utc_ms": 2, "ms_on_screen": 1}
        body = {"label_id": secrets.token_hex(8), "query_id": query_id, "choice": "right", **times}
        assert client.post("/api/answer", json=body).status_code == 200
    press(page, "left")
    expect(page.locator("#banner-text")).to_contain_text("could not be stored")
    expect(page.locator("#banner-text")).to_contain_text("already answered")
    assert page.evaluate("prefrl.page.outbox.entries().length") == 0
    assert given(site, name) == {query_id: "right"}


@pytest.mark.slow
def test_a_full_disk_is_said_and_the_answer_kept(browser: Browser, tmp_path: Path) -> None:
    site = make_site(tmp_path, n_queries=8, names=("Ann",), n_clips=4)
    with running(site) as server:
        context = browser.new_context()
        page = enter(context, server, site.tokens["Ann"])
        _, hard = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (16, hard))
        first = press(page, "left")
        expect(page.locator("#banner-text")).to_contain_text("disk is full: 1 answer kept here, will be sent")
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (hard, hard))
        until(lambda: given(site, "Ann") == {first: "left"})
        expect(page.locator("#banner")).to_be_hidden()
        context.close()
