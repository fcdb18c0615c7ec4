"""The labeling page where the connection goes while clips load or play: nobody answers half a pair or hoards one."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import open_page
import pytest
from open_page import SEEN, enter, given, press, query_on, wait_for_other_pair
from playwright.sync_api import Browser, BrowserContext, expect
from web_site import Server, Site, make_site, running, until

pytestmark = pytest.mark.skipif(shutil.which("chromium") is None, reason="there is no Chromium here")
browser, context, name = open_page.browser, open_page.context, open_page.name
site, server = open_page.site, open_page.server


def test_a_connection_lost_while_clips_load_makes_no_pair_unplayable(
    server: Server, site: Site, context: BrowserContext, name: str
) -> None:
    """Nothing of the clips comes, or another page, for longer than a damaged picture is tried again; then they do."""
    failed: list[str] = []

    def lose(route: Any) -> None:
        failed.append(route.request.url)
        if len([url for url in failed if url == route.request.url]) % 2:
            route.abort("internetdisconnected")
        else:
            route.fulfill(status=200, content_type="text/html", body="<h1>Log in</h1>")

    context.route("**/clips/*", lose)
    page = context.new_page()
    page.goto(server.link(site.tokens[name]))
    began, strips = time.monotonic(), [url for url in failed if url.endswith(".png")]
    # Of a clip that two of the four pairs have; and three tries, 0.7 s apart, are long over.
    while max(map(strips.count, strips), default=0) < 8 or time.monotonic() - began < 4:
        page.wait_for_timeout(50)
        strips = [url for url in failed if url.endswith(".png")]
    expect(page.locator("#pause-title")).to_have_text("Loading the next pair")
    held = page.evaluate("prefrl.page.ahead.map((pair) => pair.id)")
    assert len(held) == 4
    context.unroute("**/clips/*")
    page.wait_for_selector(SEEN)
    assert query_on(page) in held
    expect(page.locator("#banner")).to_be_hidden()
    assert not [line for line in server.said if "cannot show" in line and name in line]


def test_a_pair_whose_pictures_are_to_be_drawn_again_comes_later(browser: Browser, tmp_path: Path) -> None:
    """Taken back after its pictures were deleted; it is neither taken out nor left out for good."""
    site = make_site(tmp_path, n_queries=1, n_clips=2, names=("Ann",))
    with running(site) as server:
        context = browser.new_context()
        page = enter(context, server, site.tokens["Ann"])
        first = press(page, "left")
        page.wait_for_selector("#last.saved")
        files = [site.pictures.path(clip, ending) for clip in site.clip_ids for ending in ("json", "png", "webm")]
        kept = {path: path.read_bytes() for path in files}
        for path in files:
            path.unlink()
        context.close()
        context = browser.new_context()  # with nothing in its cache
        page = context.new_page()
        page.goto(server.link(site.tokens["Ann"]))
        expect(page.locator("#pause-title")).to_have_text("The agent has not started yet")
        offer = {"query_id": first} | {
            side: {
                "clip_id": clip,
                "video": f"/clips/{clip}.webm",
                "strip": f"/clips/{clip}.png",
                "n_frames": 12,
                "frame_rate": 20.0,
                "width": 64,
                "height": 48,
                "columns": 4,
            }
            for side, clip in zip(("left", "right"), site.clip_ids, strict=True)
        }
        label_id = site.rows()[0].label_id
        given_before = {"labelId": label_id, "offer": offer, "choice": "left"}
        page.evaluate("(one) => { prefrl.page.given.push(one); }", given_before)
        damaged: list[dict[str, Any]] = []
        page.on("response", lambda found: damaged.append(found.json()) if "/api/damaged" in found.url else None)
        page.keyboard.press("u")
        until(lambda: page.evaluate("true") and damaged == [{"withdrawn": False, "is_drawn": False}])
        for path, data in kept.items():  # the facts last, as the worker writes them
            if path.suffix != ".json":
                path.write_bytes(data)
        for path, data in kept.items():
            path.write_bytes(data)
        page.wait_for_selector(f'{SEEN}[data-query="{first}"]')
        press(page, "right")
        until(lambda: given(site, "Ann") == {first: "right"})
        context.close()


def test_a_clip_that_breaks_off_takes_its_pair_off_the_screen_until_it_is_whole_again(
    server: Server, site: Site, context: BrowserContext, name: str
) -> None:
    page = enter(context, server, site.tokens[name])
    page.route("**/clips/*", lambda route: route.abort("internetdisconnected"))
    first = query_on(page)
    video = page.locator(f"{SEEN} video").first
    # As where the rest of a video does not come; these clips are smaller than what a browser fetches at once. A key
    # that is pressed as soon as the next pair is painted was meant for the one before.
    js = """(video) => new Promise((resolve) => {
      const press = () => {
        if (document.querySelector('.pair.seen[data-painted] canvas, .pair.seen[data-painted] video') === video) return;
        if (!document.querySelector('.pair.seen[data-painted]')) return;
        clearInterval(timer);
        dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowLeft', code: 'ArrowLeft' }));
        resolve(performance.now() < prefrl.page.deafUntil);
      };
      const timer = setInterval(press, 1);
      video.src = '/clips/lost.webm';
    })"""
    assert video.evaluate(js)
    expect(page.locator("#banner-text")).to_have_text("A clip stopped playing: its pair is loaded again.")
    assert query_on(page) != first
    assert page.evaluate("prefrl.page.given.length") == 0
    page.unroute("**/clips/*")
    until(lambda: page.evaluate("performance.now() > prefrl.page.deafUntil"))
    seen = []
    while query_on(page) != first:
        seen.append(press(page, "equal"))
        wait_for_other_pair(page, seen[-1])
        assert len(seen) < 8
    assert page.locator(f"{SEEN} canvas").count() >= 1  # whole before it is shown
    press(page, "right")
    until(lambda: given(site, name).get(first) == "right")
