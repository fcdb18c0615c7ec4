"""Many scripted people label over HTTP at the same time; is any answer lost or any query answered too often?

    python -m runs.web_load --people 50 --answers 5000

Starts the real server on a store of its own, on loopback. Each person works as the page does: asks for pairs ahead,
answers after a moment, now and then sends an answer twice or takes one back. Prints one line of JSON; exit status 1
where something was lost or over-assigned.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from labeling.pictures import Pictures
from labeling.store import Query, Store
from labeling.web import WebSettings, invite, serve

AHEAD = 4
RESENT, UNDONE = 0.02, 0.02
"""Shares of the answers that are sent twice, and that are taken back and given again."""


class Feeder:
    """Puts queries in as a trainer does: a few at a time, so that a bounded number waits."""

    def __init__(self, folder: Path, n_waiting: int, per_query: int) -> None:
        self.store_path, self.n_waiting, self.per_query = folder / "labels.sqlite", n_waiting, per_query
        self.clip_ids = [f"{i:064x}" for i in range(200)]
        self.n_asked = 0
        pictures = Pictures(folder / "drawn")
        facts = json.dumps({"n_frames": 1, "frame_rate": 20.0, "width": 1, "height": 1, "columns": 1}).encode()
        for clip_id in self.clip_ids:
            pictures.write(clip_id, "json", facts)

    def feed(self) -> None:
        """Fills the queue up."""
        with Store(self.store_path) as store:
            first, self.n_asked = self.n_asked, self.n_asked + self.n_waiting - len(store.waiting())
            store.add_queries([self.query(i) for i in range(first, self.n_asked)], answers_wanted=self.per_query)

    def query(self, i: int) -> Query:
        """The i-th query: of clips that no two neighbours share."""
        clips = (self.clip_ids[i % 200], self.clip_ids[(i + 1 + (i // 200) % 199) % 200])
        return Query(query_id=f"q{i}", clip_ids=clips, asked_at_step=i, round=0, strategy="uniform", is_random=True)

    async def keep_feeding(self) -> None:
        """Fills it up again and again."""
        while True:
            await asyncio.to_thread(self.feed)
            await asyncio.sleep(0.5)


@dataclass
class Tally:
    """What all people together were told."""

    wanted: int
    acknowledged: dict[str, str] = field(default_factory=dict)
    """Labels that count, each with its query."""
    n_begun: int = 0
    answer_ms: list[float] = field(default_factory=list)
    next_ms: list[float] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)


class Person:
    """One connection, kept open, that labels until enough is labeled."""

    def __init__(self, name: str, token: str, port: int, tally: Tally, think_seconds: float, seed: int) -> None:
        self.name, self.token, self.port, self.tally = name, token, port, tally
        self.think_seconds = think_seconds
        self.random = random.Random(seed)  # noqa: S311  # a load, no secret
        self.held: list[str] = []

    async def run(self) -> None:
        """Labels."""
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        tally = self.tally
        await asyncio.sleep(self.random.uniform(0, self.think_seconds))
        while tally.n_begun < tally.wanted:
            if len(self.held) <= AHEAD // 2:
                _, data = await self.post("/api/next", {"n": AHEAD - len(self.held), "hold": self.held})
                self.held += [offer["query_id"] for offer in data["offers"]]
                if not self.held:
                    await asyncio.sleep(1)  # as the page does
            await asyncio.sleep(self.random.expovariate(1 / self.think_seconds) if self.think_seconds else 0)
            if self.held and tally.n_begun < tally.wanted:
                tally.n_begun += 1
                await self.answer(self.held.pop(0))
        self.writer.close()

    async def answer(self, query_id: str) -> None:
        """Answers, and perhaps sends that twice, or takes it back and answers again."""
        label_id = f"{self.random.getrandbits(128):032x}"
        choice = self.random.choice(["left", "right", "equal", "skip"])
        body = {"label_id": label_id, "query_id": query_id, "choice": choice, "ms_on_screen": 500}
        body |= {"shown_at_utc_ms": time.time_ns() // 1_000_000, "answered_at_utc_ms": time.time_ns() // 1_000_000}
        began = time.perf_counter()
        status, data = await self.post("/api/answer", body)
        self.tally.answer_ms.append(1000 * (time.perf_counter() - began))
        if status != 200:
            raise RuntimeError(f"{self.name}: expected 200, got {status}: {data}")
        self.tally.acknowledged[label_id] = query_id
        if self.random.random() < RESENT:
            again, resent = await self.post("/api/answer", body)
            if (again, resent["seq"]) != (200, data["seq"]):
                raise RuntimeError(f"an answer sent again was told {again}, {resent} instead of {data}")
        if self.random.random() < UNDONE:
            undo = {"new_label_id": f"{self.random.getrandbits(128):032x}", "label_id": label_id}
            status, data = await self.post("/api/undo", undo)
            if status != 200 or data["offer"]["query_id"] != query_id:
                raise RuntimeError(f"an undo was told {status}, {data}")
            del self.tally.acknowledged[label_id]
            await self.answer(query_id)

    async def post(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """One request, again after a second where there were too many."""
        data = json.dumps(body).encode()
        head = (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nOrigin: http://127.0.0.1:{self.port}\r\n"
            f"Cookie: prefrl_{self.port}={self.token}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(data)}\r\n\r\n"
        )
        while True:
            began = time.perf_counter()
            try:
                self.writer.write(head.encode() + data)
                answer = await self.reader.readuntil(b"\r\n\r\n")
            except (ConnectionError, asyncio.IncompleteReadError):  # the server closes connections that idle for 5 s
                self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
                self.tally.statuses["reconnected"] += 1
                continue
            status = int(answer.split(b" ", 2)[1])
            length = re.search(rb"content-length: (\d+)", answer.lower())
            assert length is not None
            content = json.loads(await self.reader.readexactly(int(length[1])))
            self.tally.statuses[str(status)] += 1
            if path == "/api/next":
                self.tally.next_ms.append(1000 * (time.perf_counter() - began))
            if status not in (429, 503):
                return status, content
            await asyncio.sleep(1)


async def label(
    tokens: dict[str, str],
    port: int,
    tally: Tally,
    think_seconds: float,
    feeder: Feeder | None = None,
    seed: int = 0,
) -> None:
    """All people at once, while queries keep coming: from a trainer, where there is no feeder.

    A second sitting of the same people needs another seed, since ids of labels are drawn from it.
    """
    feeding = asyncio.create_task(feeder.keep_feeding() if feeder is not None else asyncio.sleep(0))
    people = [
        Person(name, token, port, tally, think_seconds, 1000 * seed + i)
        for i, (name, token) in enumerate(tokens.items())
    ]
    await asyncio.gather(*(person.run() for person in people))
    feeding.cancel()


def check(folder: Path, tally: Tally, per_query: int) -> dict[str, int]:
    """What the store says beside what people were told."""
    with Store.open_read_only(folder / "labels.sqlite") as store:
        stored = {row.label_id: row.query_id for row in store.current_labels()}
    given = Counter(stored.values())
    return {
        "n_stored": len(stored),
        "n_lost": len(tally.acknowledged.items() - stored.items()),
        "n_never_told": len(stored.items() - tally.acknowledged.items()),
        "n_over_assigned": sum(n > per_query for n in given.values()),
    }


def percentiles(ms: list[float]) -> dict[str, float]:
    """p50, p90, p99 and the greatest, in ms."""
    cuts = statistics.quantiles(ms, n=100)
    return {"p50": round(cuts[49], 1), "p90": round(cuts[89], 1), "p99": round(cuts[98], 1), "max": round(max(ms), 1)}


def serve_folder(folder: Path) -> None:
    """The server process."""
    settings = WebSettings(port=0, total_labels=10**6, repeat_share=0.0)

    def said(line: str) -> None:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    tokens = {"port": "is-in-this-line"}
    pictures = Pictures(folder / "drawn")
    serve(folder / "labels.sqlite", pictures, settings, tokens=tokens, read_status=lambda: None, said=said)


def main() -> int:
    """Run the load and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=50)
    parser.add_argument("--answers", type=int, default=5000)
    parser.add_argument("--answers-per-query", type=int, default=2)
    parser.add_argument("--waiting", type=int, default=0, help="queries that wait; 0: twice what people hold")
    parser.add_argument("--think-seconds", type=float, default=0.5, help="mean time before an answer; 0: at once")
    parser.add_argument("--seconds", type=float, default=600.0, help="give up after this long")
    parser.add_argument("--folder", type=Path, help="where to work; a temporary folder by default")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve is not None:
        serve_folder(args.serve)
        return 0
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        folder = Path(name)
        feeder = Feeder(folder, args.waiting or 2 * AHEAD * args.people, args.answers_per_query)
        feeder.feed()
        with Store(folder / "labels.sqlite") as store:
            tokens = invite(store, [f"person {i}" for i in range(args.people)])
        tally = Tally(args.answers)
        command = [sys.executable, "-m", "runs.web_load", "--serve", str(folder)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            port = int(server.stdout.readline().split("/join")[0].rsplit(":", 1)[1])
            began = time.perf_counter()
            try:
                work = label(tokens, port, tally, args.think_seconds, feeder)
                asyncio.run(asyncio.wait_for(work, args.seconds))
            finally:
                server.terminate()
                server.wait(30)
        seconds = time.perf_counter() - began
        found = check(folder, tally, args.answers_per_query)
    result = {
        "people": args.people,
        "answers": args.answers,
        "seconds": round(seconds, 1),
        "answers_per_second": round(len(tally.answer_ms) / seconds, 1),
        "answer_ms": percentiles(tally.answer_ms),
        "next_ms": percentiles(tally.next_ms),
        **found,
        "statuses": dict(tally.statuses),
    }
    sys.stdout.write(json.dumps(result) + "\n")
    is_right = found["n_stored"] == args.answers and not found["n_lost"] and not found["n_over_assigned"]
    return 0 if is_right else 1


if __name__ == "__main__":
    raise SystemExit(main())
