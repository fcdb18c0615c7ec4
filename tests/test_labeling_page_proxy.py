"""The labeling page behind a proxy that does not pass on the name that the browser called it by, as nginx does not."""

from __future__ import annotations

import http.client
import shutil
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import open_page
import pytest
from open_page import SEEN, press, wait_for_other_pair
from playwright.sync_api import BrowserContext
from web_site import make_site, running, until

from labeling.store import Store

pytestmark = pytest.mark.skipif(shutil.which("chromium") is None, reason="there is no Chromium here")
browser, context = open_page.browser, open_page.context


class Passing(BaseHTTPRequestHandler):
    """Passes each request on, under the name of the server behind."""

    behind: ClassVar[str]
    refused: ClassVar[list[str]]

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "connection")}
        with closing(http.client.HTTPConnection(self.behind)) as connection:
            connection.request(self.command, self.path, body, {**headers, "Host": self.behind})
            answer = connection.getresponse()
            content = answer.read()
        if answer.status == 403:
            self.refused.append(self.path)
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("connection", "transfer-encoding"):
                self.send_header(name, value)
        self.end_headers()
        with suppress(ConnectionError):  # a browser that has seen enough
            self.wfile.write(content)

    do_GET = do_POST = _pass_on  # noqa: N815  # as the base class looks for them

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@contextmanager
def proxy() -> Iterator[tuple[str, type[Passing]]]:
    """Its URL, and where it is told what is behind it."""

    class Mine(Passing):
        refused: ClassVar[list[str]] = []

    with ThreadingHTTPServer(("127.0.0.1", 0), Mine) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{listening.server_port}", Mine
        listening.shutdown()
        thread.join()


@pytest.mark.slow
@pytest.mark.parametrize("is_said", [True, False])
def test_answers_come_through_where_the_page_knows_its_public_url(
    context: BrowserContext, tmp_path: Path, is_said: bool
) -> None:
    site = make_site(tmp_path, n_queries=3, names=("Ann",))
    with proxy() as (url, passing), running(site, public_url=url if is_said else "") as server:
        passing.behind = server.origin.removeprefix("http://")
        page = context.new_page()
        page.goto(f"{url}/join?token={site.tokens['Ann']}")
        if is_said:
            page.wait_for_selector(SEEN)
            wait_for_other_pair(page, press(page, "left"))
            with Store.open_read_only(site.store_path) as store:
                until(lambda: len(store.current_labels()) == 1)
            assert passing.refused == []
        else:  # it gets no pair at all
            until(lambda: "/api/next" in passing.refused)
            assert page.locator(SEEN).count() == 0
        page.close()
