"""The labeling page: both clips step and play together, and what cannot be shown is said."""

from __future__ import annotations

import shutil
import statistics
from pathlib import Path

import numpy as np
import open_page
import pytest
from open_page import SEEN, enter, press, query_on
from playwright.sync_api import Browser, BrowserContext, Page, expect
from web_site import Server, Site, frames_of, make_site, running, until

from labeling.store import Store

pytestmark = pytest.mark.skipif(shutil.which("chromium") is None, reason="there is no Chromium here")
browser, context, name = open_page.browser, open_page.context, open_page.name
site, server = open_page.site, open_page.server


def square_at(page: Page, side: int) -> tuple[float, float]:
    """Where the bright square is in what is on the screen, in frame pixels."""
    js = """(side) => {
      const found = document.querySelectorAll('.pair.seen .screen > *')[side];
      const canvas = document.createElement('canvas');
      [canvas.width, canvas.height] = [64, 48];
      const drawing = canvas.getContext('2d');
      drawing.drawImage(found, 0, 0, 64, 48);
      return [...drawing.getImageData(0, 0, 64, 48).data];
    }"""
    pixels = np.array(page.evaluate(js, side), np.uint8).reshape(48, 64, 4)
    rows, columns = np.nonzero(pixels[..., 0] > 180)
    return float(rows.mean()), float(columns.mean())


def frame_on(site: Site, page: Page, side: int) -> int:
    """Number of the frame that a side shows, by where its square is."""
    clip_id = page.evaluate("(side) => prefrl.page.current.clips[side].facts.clip_id", side)
    frames = frames_of(site.clip_ids.index(clip_id))
    middles = [np.nonzero(frame[..., 0] > 180)[1].mean() for frame in frames]
    shown = square_at(page, side)[1]
    return int(np.argmin([abs(middle - shown) for middle in middles]))


def both_show(site: Site, page: Page, frame: int) -> None:
    until(lambda: [frame_on(site, page, side) for side in (0, 1)] == [frame, frame], seconds=5)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["video", "canvas"])
def test_both_clips_step_frame_by_frame_together(
    server: Server, site: Site, context: BrowserContext, name: str, kind: str
) -> None:
    if kind == "canvas":  # a browser that cannot play VP9
        context.add_init_script("HTMLMediaElement.prototype.canPlayType = () => ''")
    page = enter(context, server, site.tokens[name])
    assert page.locator(f"{SEEN} {kind}").count() == 2
    for _ in range(14):
        page.keyboard.press(",")
    both_show(site, page, 0)
    for frame in (1, 2, 3):
        page.keyboard.press(".")
        both_show(site, page, frame)
    page.keyboard.press(",")
    both_show(site, page, 2)
    page.keyboard.press("Space")  # plays on, and the two stay together
    expect(page.locator("#play")).to_have_attribute("aria-label", "Pause")
    page.keyboard.press("]")
    expect(page.locator("#speed")).to_have_text("1.5×")


@pytest.mark.slow
def test_playing_clips_stay_in_step(server: Server, site: Site, context: BrowserContext, name: str) -> None:
    page = enter(context, server, site.tokens[name])
    apart = page.evaluate(
        """() => new Promise((resolve) => {
          const [one, two] = document.querySelectorAll('.pair.seen video');
          const found = [];
          const look = () => {
            const gap = Math.abs(one.currentTime - two.currentTime);
            if (!one.paused && !two.paused && one.currentTime > 0.1) found.push(gap);
            if (found.length < 60) requestAnimationFrame(look); else resolve(found);
          };
          look();
        })"""
    )
    assert statistics.median(apart) < 0.05  # a frame of these clips


@pytest.mark.slow
def test_a_damaged_video_gives_way_to_its_film_strip_and_damaged_pictures_are_withdrawn(
    browser: Browser, tmp_path: Path
) -> None:
    site = make_site(tmp_path, n_queries=3, n_clips=6, names=("Ann",))
    site.pictures.path(site.clip_ids[0], "webm").write_bytes(b"no video")
    for ending in ("webm", "png"):
        path = site.pictures.path(site.clip_ids[3], ending)
        path.write_bytes(path.read_bytes()[:200])
    with running(site) as server:
        context = browser.new_context()
        page = context.new_page()
        page.goto(server.link(site.tokens["Ann"]))
        expect(page.locator("#banner-text")).to_contain_text("damaged, and it was taken out", timeout=15_000)
        found = {}
        for _ in range(2):
            page.wait_for_selector(SEEN)
            found[query_on(page)] = page.locator(f"{SEEN} canvas").count(), page.locator(f"{SEEN} video").count()
            press(page, "left")
        assert found == {"q0": (1, 1), "q1": (0, 2)}
        expect(page.locator("#pause-title")).to_have_text("The agent has not started yet")
        context.close()
    with Store.open_read_only(site.store_path) as store:
        assert list(store.withdrawals()) == ["q2"]
