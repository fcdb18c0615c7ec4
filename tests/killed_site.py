"""A server of the labeling page that a test kills again and again.

As a program, `python killed_site.py FOLDER kept|early`, it imports everything once and then, for each line that it
reads, forks a server, which says its process id and port; when that has died, it says so. `early` is the lie that the
test must catch: answers are acknowledged before they are durable.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import secrets
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from web_site import Site

from labeling import store_thread
from labeling.desk import Desk
from labeling.store import Store
from labeling.web import WebSettings, serve

N_AHEAD = 3
UNDO_EVERY = 7


@dataclass
class Killable:
    """The process that forks servers."""

    process: subprocess.Popen[str]

    def start(self) -> tuple[int, int]:
        """A new server's process id and port."""
        self.tell("serve")
        process_id, port = self.hear().split()
        return int(process_id), int(port)

    def wait(self) -> None:
        """Until the server is dead."""
        assert self.hear() == "dead"

    def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def hear(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()


@contextmanager
def killable(site: Site, when: str = "kept") -> Iterator[Killable]:
    command = [sys.executable, __file__, str(site.folder), when]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Killable(process)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(20) == 0


@dataclass
class Client:
    """Somebody who answers as a page does: what was not acknowledged is sent again, under the same id."""

    token: str
    has_begun: threading.Event
    """Set when anybody has an answer acknowledged."""
    acknowledged: list[str] = field(default_factory=list)
    unsent: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    n_given: int = 0

    def work(self, port: int) -> None:
        """Answers until the server is gone."""
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        headers = {
            "origin": f"http://127.0.0.1:{port}",
            "cookie": f"prefrl_{port}={self.token}",
            "content-type": "application/json",
        }

        def ask(path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
            connection.request("POST", path, json.dumps(body), headers)
            response = connection.getresponse()
            return response.status, json.loads(response.read())

        with closing(connection), suppress(OSError, http.client.HTTPException):  # as when the server is killed
            while True:
                self._send_all(ask)
                self._plan(ask)

    def _send_all(self, ask: Any) -> None:
        while self.unsent:
            path, body = self.unsent[0]
            status, answer = ask(path, body)
            if status == 429 or status >= 500:
                continue
            self.unsent.pop(0)
            if status == 200:
                self.acknowledged.append(body["label_id"] if path == "/api/answer" else body["new_label_id"])
                self.has_begun.set()
            else:
                self.refused.append(f"{status} {answer} {body}")

    def _plan(self, ask: Any) -> None:
        status, answer = ask("/api/next", {"n": N_AHEAD, "hold": []})
        for offer in answer["offers"] if status == 200 else ():
            label_id = secrets.token_hex(8)
            self.unsent.append(("/api/answer", _answer(label_id, offer["query_id"])))
            self.n_given += 1
            if self.n_given % UNDO_EVERY == 0:
                undo = {"new_label_id": secrets.token_hex(8), "label_id": label_id}
                self.unsent.append(("/api/undo", undo))


def _answer(label_id: str, query_id: str) -> dict[str, Any]:
    times = {"shown_at_utc_ms": 1000, "answered_at_utc_ms": 2000, "ms_on_screen": 1000}
    return {"label_id": label_id, "query_id": query_id, "choice": "left", **times}


def acknowledge_early(store: Store, desk: Desk, batch: Sequence[Any]) -> None:
    """In place of `store_thread.run_batch`: the lie."""
    with store.together():
        for waiting in batch:
            waiting.run(store, desk)
            waiting.deliver()


def main(folder: str, when: str) -> None:
    if when == "early":
        store_thread.run_batch = acknowledge_early
    site = Site(Path(folder))
    for _ in sys.stdin:
        child = os.fork()
        if child == 0:
            serve_until_killed(site)
        os.waitpid(child, 0)
        print("dead", flush=True)


def serve_until_killed(site: Site) -> None:
    def said(line: str) -> None:
        if match := re.search(r"http://127\.0\.0\.1:(\d+)", line):
            print(os.getpid(), match[1], flush=True)

    settings = WebSettings(port=0, total_labels=1_000_000, repeat_share=0.05)
    serve(site.store_path, site.pictures, settings, tokens={"x": "y"}, read_status=lambda: None, said=said)
    os._exit(1)  # nobody told it to end


if __name__ == "__main__":
    main(*sys.argv[1:])
