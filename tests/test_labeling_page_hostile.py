"""The labeling page against hostile names, texts and pages of other origins."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import open_page
import pytest
from open_page import SEEN, enter, given, press, query_on, status
from playwright.sync_api import Browser, BrowserContext, Dialog, Page, expect
from web_site import Server, Site, make_site, running, until

from labeling.store import Store

pytestmark = pytest.mark.skipif(shutil.which("chromium") is None, reason="there is no Chromium here")
browser, context, name = open_page.browser, open_page.context, open_page.name
site, server = open_page.site, open_page.server


PAYLOADS = [
    "<script>window.pwned=1</script>",
    "<img src=x onerror=window.pwned=1>",
    "<svg onload=alert(1)>",
    "<svg/onload=alert`1`>",
    '"><script>alert(1)</script>',
    "'><img src=x onerror=alert(1)>",
    "</title><script>alert(1)</script>",
    "</textarea><script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "javascript:alert(1)",
    "<a href=javascript:alert(1)>x</a>",
    "<iframe srcdoc='<script>alert(1)</script>'>",
    "<body onload=alert(1)>",
    "<details open ontoggle=alert(1)>",
    "<video><source onerror=alert(1)>",
    "<math><mtext></form><form><mglyph><style>",
    "{{constructor.constructor('alert(1)')()}}",
    "${alert(1)}",
    "`${window.pwned=1}`",
    "<meta http-equiv=refresh content='0;url=//evil.example'>",
    "<base href=//evil.example>",
    "<link rel=stylesheet href=//evil.example>",
    "<style>*{display:none}</style>",
    "<form action=//evil.example><button>x",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "&#60;script&#62;alert(1)",
    "%3Cscript%3Ealert(1)%3C/script%3E",
    "=HYPERLINK('http://evil.example')",
    "__proto__",
    "<!--><script>alert(1)</script>-->",
]


class Watched:
    """Notes everything on a page that would be a script of somebody else's."""

    def __init__(self, context: BrowserContext) -> None:
        self.seen: list[str] = []
        context.add_init_script(
            "addEventListener('securitypolicyviolation', (event) => console.log('BLOCKED ' + event.violatedDirective))"
        )
        context.on("page", self._watch)
        context.on("request", self._request)

    def _watch(self, page: Page) -> None:
        page.on("dialog", self._dialog)
        page.on("pageerror", lambda error: self.seen.append(str(error)))
        page.on("console", lambda message: self.seen.append(message.text))

    def _dialog(self, dialog: Dialog) -> None:
        self.seen.append("dialog")
        dialog.dismiss()

    def _request(self, request: Any) -> None:
        if "evil.example" in request.url:
            self.seen.append(request.url)

    def check(self, page: Page) -> None:
        assert page.evaluate("window.pwned") is None
        assert self.seen == []


@pytest.mark.slow
def test_thirty_hostile_names_and_texts_run_no_script(browser: Browser, tmp_path: Path) -> None:
    assert len(PAYLOADS) == len(set(PAYLOADS)) == 30
    site = make_site(tmp_path, n_queries=70, n_clips=4, names=PAYLOADS, answers_wanted=30)
    everything = " ".join(PAYLOADS)
    status(site, everything[:200])
    (site.folder / "curves.json").write_text(json.dumps({text: [[0, 1], [1, 2]] for text in PAYLOADS}))
    with running(site, task=everything, title=everything) as server:
        with Store(site.store_path) as store:
            for i, text in enumerate(PAYLOADS):
                store.withdraw(f"q{i + 40}", text)
        context = browser.new_context()
        watched = Watched(context)
        page = context.new_page()
        for text in PAYLOADS:
            page.goto(server.link(site.tokens[text]))
            page.wait_for_selector(SEEN)
            press(page, "left")
            page.wait_for_selector("#last.saved")
            expect(page.locator("#task")).to_have_text(everything)
            watched.check(page)
        (site.folder / "trouble.txt").write_text(everything)
        page.goto(server.link(site.tokens["Op"]))
        page.wait_for_url(f"{server.origin}/")
        page.goto(f"{server.origin}/progress")
        page.wait_for_selector("#people tbody tr")
        heads = page.locator("#people tbody th").all_inner_texts()
        assert sorted(heads) == sorted(PAYLOADS)
        expect(page.locator("#trouble")).to_have_text(everything)
        assert page.locator("#withdrawn li").count() == 30
        watched.check(page)
        context.close()
    assert len(site.labels()) == 30


@contextmanager
def foreign_page(html: str) -> Iterator[int]:
    """Another origin on this machine: its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the name that http.server calls
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(html.encode())

        def log_message(self, format: str, *args: Any) -> None:  # the name it has there
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as other:
        thread = threading.Thread(target=other.serve_forever)
        thread.start()
        try:
            yield other.server_port
        finally:
            other.shutdown()
            thread.join()


def test_a_page_of_another_origin_can_write_and_see_nothing(
    server: Server, site: Site, context: BrowserContext, name: str
) -> None:
    page = enter(context, server, site.tokens[name])
    times = {"shown_at_utc_ms": 1, "answered_at_utc_ms": 2, "ms_on_screen": 1}
    body = {"label_id": "foreign-label", "query_id": query_on(page), "choice": "left", **times}
    text = json.dumps(body)
    clip = f"{server.origin}/clips/{site.clip_ids[0]}.png"
    html = f"""<!doctype html><title>evil</title>
      <form id="form" action="{server.origin}/api/answer" method="post" enctype="text/plain" target="frame">
        <input name='{text[:-1]}, "x": "' value='"}}'></form>
      <iframe name="frame"></iframe><img id="img" src="{clip}"><iframe id="inner" src="{server.origin}/"></iframe>
      <script>
        document.getElementById('form').submit();
        const url = "{server.origin}/api/answer", body = JSON.stringify({text});
        const json = {{ "Content-Type": "application/json" }};
        const ways = [
          {{ method: "POST", mode: "no-cors", credentials: "include", body }},
          {{ method: "POST", mode: "cors", credentials: "include", body, headers: json }},
          {{ method: "POST", credentials: "include", body: new Blob([body], {{ type: "application/json" }}) }},
          {{ method: "PUT", credentials: "include", body, headers: json }},
        ];
        navigator.sendBeacon(url, body);
        const read = fetch("{server.origin}/api/state", {{ credentials: "include" }})
          .then((r) => r.text(), () => "refused");
        const img = new Promise((done) => {{
          const picture = new Image();
          picture.onload = () => done("loaded");
          picture.onerror = () => done("refused");
          picture.src = "{clip}?";
        }});
        Promise.all([read, img, ...ways.map((way) => fetch(url, way).then((r) => r.type, () => "refused"))])
          .then((found) => {{ document.title = JSON.stringify(found); }});
      </script>"""
    before = site.rows()
    with foreign_page(html) as port:
        for host in ("127.0.0.1", "localhost"):  # the first is the same site, so that the cookie comes along
            evil = context.new_page()
            evil.goto(f"http://{host}:{port}/")
            evil.wait_for_selector("title", state="attached")
            until(lambda evil=evil: evil.title() != "evil")  # type: ignore[misc]  # a default binds the loop's page
            found = json.loads(evil.title())
            assert found[0] == "refused"
            assert found[1] == "refused"
            assert set(found[2:]) <= {"refused", "opaque"}
            evil.close()
    assert site.rows() == before
    press(page, "left")  # and the person themselves still can
    until(lambda: len(given(site, name)) == 1)


@pytest.mark.slow
def test_a_link_clicked_on_another_site_lets_in(server: Server, site: Site, context: BrowserContext, name: str) -> None:
    with foreign_page(f'<a href="{server.link(site.tokens[name])}">label</a>') as port:
        page = context.new_page()
        page.goto(f"http://localhost:{port}/")
        page.click("a")
        page.wait_for_selector(SEEN)
        assert page.url == f"{server.origin}/"
        page.goto(f"http://localhost:{port}/")
    # Later without the token: the strict cookie stays away from other sites' links, and comes along from our own page.
    with foreign_page(f'<a href="{server.origin}/">label</a>') as port:
        page.goto(f"http://localhost:{port}/")
        page.click("a")
        page.click("text=Try again")
        page.wait_for_selector(SEEN)
