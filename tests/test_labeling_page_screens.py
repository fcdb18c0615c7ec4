"""The labeling page on every screen: empty, at a break, small, touched; and the operator's progress."""

from __future__ import annotations

import shutil
from pathlib import Path

import open_page
import pytest
from open_page import SEEN, enter, given, press, query_on, status, wait_for_other_pair
from playwright.sync_api import Browser, BrowserContext, expect
from web_site import Server, Site, make_site, running, until

pytestmark = pytest.mark.skipif(shutil.which("chromium") is None, reason="there is no Chromium here")
browser, context, name = open_page.browser, open_page.context, open_page.name
site, server = open_page.site, open_page.server


@pytest.mark.slow
def test_an_empty_screen_says_why_and_fills_by_itself(browser: Browser, tmp_path: Path) -> None:
    site = make_site(tmp_path, n_queries=0, n_clips=4, names=("Ann",))
    with running(site, total_labels=5) as server:
        context = browser.new_context()
        page = context.new_page()
        page.goto(server.link(site.tokens["Ann"]))
        title, text = page.locator("#pause-title"), page.locator("#pause-text")
        expect(title).to_have_text("The agent has not started yet")
        status(site, "training")
        expect(title).to_have_text("The agent is practising")
        expect(text).to_contain_text("123k steps so far")
        (site.folder / "trouble.txt").write_text("cannot draw robots: there is no OpenGL")
        expect(text).to_have_text("cannot draw robots: there is no OpenGL")
        (site.folder / "trouble.txt").unlink()
        status(site, "stopped")
        expect(title).to_have_text("Training has stopped")
        status(site, "training")
        site.add_queries(0, 2)
        page.wait_for_selector(SEEN)
        wait_for_other_pair(page, press(page, "left"))
        press(page, "left")
        status(site, "ended")
        expect(title).to_have_text("The run has ended")
        expect(text).to_have_text("Thank you: the agent learned from 2 answers of yours.")
        context.close()


@pytest.mark.slow
def test_a_break_is_advised_after_25_minutes(server: Server, site: Site, browser: Browser, name: str) -> None:
    context = browser.new_context()
    context.clock.install()
    page = enter(context, server, site.tokens[name])
    for i in range(14):
        expect(page.locator("#banner")).to_be_hidden()
        query_id = press(page, "left")
        wait_for_other_pair(page, query_id)
        if i < 13:
            context.clock.fast_forward(120_000)
    expect(page.locator("#banner-text")).to_contain_text("A short break keeps answers good")
    page.click("#banner-ok")
    expect(page.locator("#banner")).to_be_hidden()
    context.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("width", "height"), [(390, 844), (844, 390), (640, 400), (320, 640), (1280, 800), (768, 1024)]
)
def test_nothing_is_cut_off_on_any_screen(
    server: Server, site: Site, browser: Browser, name: str, width: int, height: int
) -> None:
    context = browser.new_context(viewport={"width": width, "height": height}, has_touch=width < 500)
    page = enter(context, server, site.tokens[name])
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for selector in (".answer", ".tool:visible"):
        for button in page.locator(selector).all():
            box = button.bounding_box()
            assert box is not None
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= width
            assert box["height"] >= (44 if selector == ".answer" else 34)
    clips = [clip.bounding_box() for clip in page.locator(".pair.seen .frame").all()]
    assert all(box is not None and box["width"] >= 140 and box["height"] >= 100 for box in clips)
    if height >= 640:  # all on one screen
        assert page.evaluate("document.documentElement.scrollHeight") <= height
    context.close()


@pytest.mark.slow
def test_buttons_work_by_touch(server: Server, site: Site, browser: Browser, name: str) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page = enter(context, server, site.tokens[name])
    first = query_on(page)
    page.tap('[data-do="right"]')
    wait_for_other_pair(page, first)
    until(lambda: given(site, name) == {first: "right"})
    context.close()


@pytest.mark.slow
def test_the_operator_sees_progress_in_the_browser(browser: Browser, tmp_path: Path) -> None:
    site = make_site(tmp_path, n_queries=3, n_clips=4, names=("Ann", "Bo"), answers_wanted=2)
    status(site, "training")
    (site.folder / "curves.json").write_text('{"Return": [[0, 1.0], [1000, 5.0], [2000, 4.0]]}')
    with running(site, total_labels=24, task="hop") as server:
        contexts = [browser.new_context() for _ in range(2)]
        for context, name in zip(contexts, ("Ann", "Bo"), strict=True):
            page = enter(context, server, site.tokens[name])
            for n_left in (2, 1, 0):
                query_id = press(page, "left")
                if n_left:
                    wait_for_other_pair(page, query_id)
            page.wait_for_selector("#last.saved")
            context.close()
        context = browser.new_context()
        page = context.new_page()
        page.goto(server.link(site.tokens["Op"]))
        page.wait_for_selector("#to-progress:not([hidden])")
        page.click("#to-progress")
        page.wait_for_selector("#people tbody tr:nth-child(2)")
        rows = [row.split("\t") for row in page.locator("#people tbody tr").all_inner_texts()]
        assert sorted(row[0] for row in rows) == ["Ann", "Bo"]
        assert {row[1] for row in rows} == {"3"}
        expect(page.locator("#tiles .tile").first).to_contain_text("6 / 24")
        expect(page.locator("#agreement")).to_contain_text("2 people answered 3 pairs in common")
        points = page.locator("polyline").get_attribute("points")
        assert points == "0.00,100.00 150.00,0.00 300.00,25.00"
        context.close()


@pytest.mark.slow
def test_a_labeler_is_kept_out_of_the_progress_page(
    server: Server, site: Site, context: BrowserContext, name: str
) -> None:
    page = enter(context, server, site.tokens[name])
    assert page.locator("#to-progress").is_hidden()
    response = page.goto(f"{server.origin}/progress")
    assert response is not None
    assert response.status == 403
