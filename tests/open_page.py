"""The labeling page, open in a real browser: what tests of it share.

A test module gives the fixtures names of its own (`site = open_page.site`), under which pytest finds them there.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from web_site import Server, Site, make_site, running

from labeling.agent_status import AgentStatus, write_status
from labeling.choice import swapped

_NAMES = [f"P{i}" for i in range(40)]
_FRESH = iter(_NAMES)
KEYS = {"left": "ArrowLeft", "right": "d", "equal": "0", "skip": "ArrowDown"}
SEEN = ".pair.seen[data-painted]"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    made = browser.new_context(viewport={"width": 1280, "height": 800})
    yield made
    made.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return make_site(tmp_path_factory.mktemp("site"), n_queries=40, answers_wanted=len(_NAMES), names=_NAMES)


@pytest.fixture(scope="module")
def server(site: Site) -> Iterator[Server]:
    with running(site, task="Go right") as found:
        yield found


@pytest.fixture
def name() -> str:
    """Somebody who has not answered yet."""
    return next(_FRESH)


def enter(context: BrowserContext, server: Server, token: str) -> Page:
    """Opens a link as a person does, and waits for the first pair."""
    page = context.new_page()
    page.goto(server.link(token))
    page.wait_for_selector(SEEN)
    return page


def query_on(page: Page) -> str:
    found = page.locator(SEEN).get_attribute("data-query")
    assert found is not None
    return found


def press(page: Page, choice: str) -> str:
    """Answers the pair on the screen by key once it is painted; returns its query."""
    query_id = query_on(page)
    page.keyboard.press(KEYS[choice])
    return query_id


def wait_for_other_pair(page: Page, query_id: str) -> None:
    page.wait_for_selector(f'{SEEN}:not([data-query="{query_id}"])')


def given(site: Site, name: str) -> dict[str, str]:
    """What counts of somebody's answers, by query, as it was displayed."""
    rows = [row for row in site.labels() if row.labeler == name]
    found = {}
    for row in rows:
        assert row.choice is not None
        found[row.query_id] = str(swapped(row.choice) if row.swapped else row.choice)
    assert len(found) == len(rows)
    return found


def status(site: Site, state: str) -> None:
    found = AgentStatus(
        steps=123_456,
        total_steps=1_000_000,
        state=state,
        labels=0,
        total_labels=5,
        process_id=1,
        updated_at_utc_ms=1,
    )
    write_status(site.folder / "agent.json", found)
