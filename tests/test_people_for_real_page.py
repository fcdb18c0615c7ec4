"""Two people on a page in a real Chromium, while a HalfCheetah trains."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from screens import on_screen
from trained_for_real import DEADLINE_SECONDS, Training, until

from labeling.choice import Choice


@pytest.mark.slow
def test_two_people_on_the_page_while_a_halfcheetah_trains(tmp_path: Path) -> None:
    sync_api = pytest.importorskip("playwright.sync_api")
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no chromium on this machine: apt-get install chromium")
    training = Training(tmp_path, "--labeler", "web", "--port", "0", "--invite", "ann", "bo")
    try:
        until(lambda: "operator: " in training.said.read_text(), "the links")
        links = dict(re.findall(r"(\w+): (http://\S+/join\?token=\S+)", training.said.read_text()))
        assert list(links) == ["ann", "bo", "operator"]
        with sync_api.sync_playwright() as playwright:
            chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
            pages = []
            for name in ("ann", "bo"):
                page = chromium.new_context().new_page()
                page.goto(links[name])
                pages.append(page)
            keys = ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "1", "D"]
            for i in range(12):
                training.trains_on()
                n_rows = len(training.store.labels_after(0))
                page = pages[i % 2]
                page.wait_for_selector("[data-painted]", timeout=1000 * DEADLINE_SECONDS)
                page.keyboard.press(keys[i // 2])
                until(lambda n=n_rows: len(training.store.labels_after(0)) > n, "the answer")  # type: ignore[misc]  # bound
            rows = training.store.current_labels()
            chromium.close()
    finally:
        training.close()
    assert [row.labeler for row in rows] == ["ann", "bo"] * 6
    meant = [Choice.LEFT, Choice.RIGHT, Choice.EQUAL, Choice.SKIP, Choice.LEFT, Choice.RIGHT]
    assert [on_screen(row) for row in rows] == [c for choice in meant for c in (choice, choice)]
    assert len({row.query_id for row in rows}) == 12
