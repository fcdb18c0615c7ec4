"""The labeling page of somebody who waits, goes away, comes back, or is served by something that is not prefrl."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import open_page
import pytest
from open_page import SEEN, enter, given, press, query_on, status, wait_for_other_pair
from playwright.sync_api import Browser, BrowserContext, Page, Request, expect
from web_people import Invited
from web_site import Server, Site, make_site, running, until

from labeling.store import Store

pytestmark = pytest.mark.skipif(shutil.which("chromium") is None, reason="there is no Chromium here")
browser, context, name = open_page.browser, open_page.context, open_page.name
site, server = open_page.site, open_page.server

MINUTE_MS = 60_000


def asked(page: Page) -> list[Any]:
    """The bodies of all requests for pairs from now on, as they come."""
    found: list[Any] = []

    def note(request: Request) -> None:
        if "/api/next" in request.url:
            found.append(request.post_data_json)

    page.on("request", note)
    return found


def html(route: Any, code: int = 200) -> None:
    route.fulfill(status=code, content_type="text/html", body="<h1>Be right back</h1>")


def test_who_waits_for_longer_than_leases_are_kept_still_gets_the_next_pair(browser: Browser, tmp_path: Path) -> None:
    site = make_site(tmp_path, n_queries=0, n_clips=4, names=("Ann",))
    status(site, "training")
    with running(site) as server:
        context = browser.new_context()
        context.clock.install()
        page = context.new_page()
        page.goto(server.link(site.tokens["Ann"]))
        expect(page.locator("#pause-title")).to_have_text("The agent is practising")
        context.clock.fast_forward(30 * MINUTE_MS)
        bodies = asked(page)
        site.add_queries(0, 1)
        while not page.locator(SEEN).count():
            context.clock.fast_forward(2000)
        assert bodies[-1]["n"] > 0
        context.close()


def test_who_leaves_a_pair_gives_it_back_asks_for_nothing_more_and_is_told_if_it_is_gone(
    browser: Browser, tmp_path: Path, person: Invited
) -> None:
    site = make_site(tmp_path, n_queries=2, n_clips=4, names=("Ann", "Bo"))
    with running(site, lease_seconds=1) as server:
        context = browser.new_context()
        context.clock.install()
        page = enter(context, server, site.tokens["Ann"])
        first = query_on(page)
        bodies = asked(page)
        context.clock.fast_forward(11 * MINUTE_MS)
        while not bodies or bodies[-1]["hold"]:
            context.clock.fast_forward(500)
        n_before = len(bodies)
        for _ in range(120):  # a minute of the page's clock
            context.clock.run_for(500)
        assert len(bodies) - n_before <= 4
        assert {(body["n"], tuple(body["hold"])) for body in bodies[n_before:]} <= {(0, ())}
        bo = person(site, server, "Bo")
        until(lambda: first in {offer["query_id"] for offer in bo.offers(2)})
        page.mouse.move(5, 5)
        said = "That pair was answered elsewhere, given to somebody else, or taken out meanwhile."
        expect(page.locator("#banner-text")).to_have_text(said)
        assert page.locator(SEEN).count() == 0
        context.close()


def test_an_answer_is_kept_until_prefrl_itself_has_stored_or_refused_it(
    server: Server, site: Site, context: BrowserContext, name: str
) -> None:
    page = enter(context, server, site.tokens[name])
    was_said: list[bool] = []
    tries: list[int] = []
    then = [404, 405, 410, 413, 502]

    def answer_in_its_place(route: Any) -> None:
        if not was_said:  # the page tries again by itself, however slow the machine is to look at it
            html(route, 200)
            return
        tries.append(len(tries))
        if len(tries) > len(then):
            route.fulfill(status=200, json={"welcome": "to the network"})
        elif len(tries) % 2:
            route.fulfill(status=then[len(tries) - 1], json={"error": "no such route"})
        else:
            html(route, then[len(tries) - 1])

    page.route("**/api/answer", answer_in_its_place)
    first = press(page, "left")
    expect(page.locator("#banner-text")).to_contain_text("something else answers in its place, status 200")
    wait_for_other_pair(page, first)
    was_said.append(True)
    for n in range(1, len(then) + 2):
        until(lambda: not page.evaluate("prefrl.page.outbox.isSending"))
        if len(tries) < n:
            page.evaluate("prefrl.page.outbox.flushNow()")  # resolves when it is through
        assert len(tries) >= n
        assert page.evaluate("prefrl.page.outbox.entries().length") == 1
        expect(page.locator("#last")).to_have_class("last left sending")
    assert given(site, name) == {}
    page.unroute("**/api/answer")
    page.evaluate("prefrl.page.outbox.flushNow()")
    until(lambda: given(site, name) == {first: "left"})


def test_refused_answers_are_listed_until_they_are_dismissed(
    server: Server, site: Site, context: BrowserContext, name: str
) -> None:
    page = enter(context, server, site.tokens[name])
    page.route("**/api/answer", lambda route: route.fulfill(status=409, json={"error": "q9 is answered already"}))
    for _ in range(2):
        wait_for_other_pair(page, press(page, "left"))
    said = "2 answers could not be stored: q9 is answered already"
    expect(page.locator("#banner-text")).to_have_text(said)
    page.reload()
    page.wait_for_selector(SEEN)
    expect(page.locator("#banner-text")).to_have_text(said)
    page.click("#banner-ok")
    expect(page.locator("#banner")).to_be_hidden()
    page.reload()
    page.wait_for_selector(SEEN)
    expect(page.locator("#banner")).to_be_hidden()


@pytest.mark.parametrize("code", [403, 503])
def test_a_refusal_to_give_pairs_is_shown_in_the_servers_own_words(
    server: Server, site: Site, context: BrowserContext, name: str, code: int
) -> None:
    context.route("**/api/next", lambda route: route.fulfill(status=code, json={"error": "requests are refused"}))
    page = context.new_page()
    page.goto(server.link(site.tokens[name]))
    expect(page.locator("#pause-title")).to_have_text("The server gives no pairs just now")
    expect(page.locator("#pause-text")).to_contain_text("Requests are refused. Trying again by itself.")
    context.unroute("**/api/next")
    page.wait_for_selector(SEEN)
    expect(page.locator("#banner")).to_be_hidden()


def test_why_there_is_no_pair_is_said_as_it_is(browser: Browser, tmp_path: Path, person: Invited) -> None:
    site = make_site(tmp_path, n_queries=1, n_clips=4, names=("Ann", "Bo"), answers_wanted=2)
    status(site, "waiting")
    context = browser.new_context()
    with running(site) as server:
        page = enter(context, server, site.tokens["Ann"])
        title, text = page.locator("#pause-title"), page.locator("#pause-text")
        press(page, "left")
        expect(title).to_have_text("Now it is the others’ turn")
        bo = person(site, server, "Bo")
        assert bo.answer(bo.offers(1)[0]["query_id"]).status_code == 200
        expect(title).to_have_text("The agent is choosing new pairs")
        status(site, "stopped")
        expect(title).to_have_text("Training has stopped")
        for clip_id in site.clip_ids:  # a page that is served on a stopped run draws what waits
            path = site.pictures.path(clip_id, "json")
            path.rename(path.with_suffix(".later"))
        site.add_queries(1, 1)
        expect(title).to_have_text("Drawing the next pair")
        with Store(site.store_path) as store:
            store.withdraw("q1", "for this test")
        status(site, "ended")
        expect(title).to_have_text("The run has ended")
    bodies = asked(page)
    until(lambda: page.evaluate("true") and len(bodies) >= 2)  # of a server that is gone
    expect(title).to_have_text("The run has ended")
    expect(text).to_have_text("Thank you: the agent learned from 1 answer of yours.")
    expect(page.locator("#banner")).to_be_hidden()
    context.close()
