"""A small site to try the page on: tiny clips, a store of queries, and the real server in a process of its own.

Run as a program it is that server: `python web_site.py FOLDER SETTINGS_JSON`.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))  # as a program this file stands alone

from labeling.agent_status import AgentStatus  # noqa: E402
from labeling.label import StoredLabel  # noqa: E402
from labeling.pictures import Pictures  # noqa: E402
from labeling.store import Query, Store  # noqa: E402
from labeling.web import WebSettings, invite, serve  # noqa: E402
from prefrl.video import encode_clip  # noqa: E402

COLUMNS = 4


def frames_of(number: int, n_frames: int = 12) -> NDArray[np.uint8]:
    """A bright square that crosses the picture, faster for higher numbers."""
    frames = np.full((n_frames, 48, 64, 3), 30 + number, np.uint8)
    for step, frame in enumerate(frames):
        x = (step * (2 + number)) % 54
        frame[18:30, x : x + 10] = (250, 200 - 10 * number, 40)
    return frames


def draw(pictures: Pictures, frames: NDArray[np.uint8], frame_rate: float = 20.0) -> str:
    """Leaves a clip's files as the drawing worker does; returns its id."""
    clip_id = hashlib.sha256(frames.tobytes()).hexdigest()
    n_frames, height, width, _ = frames.shape
    strip = np.zeros((math.ceil(n_frames / COLUMNS) * height, COLUMNS * width, 3), np.uint8)
    for i, frame in enumerate(frames):
        row, column = divmod(i, COLUMNS)
        strip[row * height : (row + 1) * height, column * width : (column + 1) * width] = frame
    facts = {"n_frames": n_frames, "frame_rate": frame_rate, "width": width, "height": height, "columns": COLUMNS}
    pictures.write(clip_id, "webm", encode_clip(frames, frame_rate, min_height=96))
    pictures.write(clip_id, "png", cv2.imencode(".png", strip[..., ::-1])[1].tobytes())
    pictures.write(clip_id, "json", json.dumps(facts).encode())
    return clip_id


@dataclass
class Site:
    """A run folder with a store and drawn clips."""

    folder: Path
    clip_ids: list[str] = field(default_factory=list)
    tokens: dict[str, str] = field(default_factory=dict)

    @property
    def store_path(self) -> Path:
        return self.folder / "labels.sqlite"

    @property
    def pictures(self) -> Pictures:
        return Pictures(self.folder / "drawn")

    def labels(self) -> list[StoredLabel]:
        """The labels that count."""
        with Store.open_read_only(self.store_path) as store:
            return store.current_labels()

    def rows(self) -> list[StoredLabel]:
        """All rows, undoing ones too."""
        with Store.open_read_only(self.store_path) as store:
            return store.labels_after(0)

    def add_queries(self, first: int, n: int, answers_wanted: int = 1) -> None:
        """Queries q<first> and on, each of two different clips."""
        k = len(self.clip_ids)
        pairs = [(i % k, (i % k + 1 + (i // k) % (k - 1)) % k) for i in range(first, first + n)]
        queries = [
            Query(
                query_id=f"q{first + i}",
                clip_ids=(self.clip_ids[left], self.clip_ids[right]),
                asked_at_step=i,
                round=0,
                strategy="uniform",
                is_random=True,
            )
            for i, (left, right) in enumerate(pairs)
        ]
        with Store(self.store_path) as store:
            store.add_queries(queries, answers_wanted=answers_wanted)


def make_site(
    folder: Path,
    *,
    n_queries: int = 60,
    answers_wanted: int = 1,
    names: Sequence[str] = ("Ann", "Bo"),
    n_clips: int = 6,
    is_drawn: bool = True,
) -> Site:
    """A site with queries, tokens for labelers, and one for an operator called Op."""
    site = Site(folder)
    if is_drawn:
        site.clip_ids = [draw(site.pictures, frames_of(i)) for i in range(n_clips)]
    else:  # enough for whoever looks at no picture
        facts = {"n_frames": 1, "frame_rate": 20.0, "width": 1, "height": 1, "columns": 1}
        site.clip_ids = [f"{i:064x}" for i in range(n_clips)]
        for clip_id in site.clip_ids:
            site.pictures.write(clip_id, "json", json.dumps(facts).encode())
    with Store(site.store_path) as store:
        site.tokens = {**invite(store, names), **invite(store, ["Op"], is_operator=True)}
    if n_queries:
        site.add_queries(0, n_queries, answers_wanted)
    return site


@dataclass
class Server:
    """The server of a site, in a process of its own."""

    process: subprocess.Popen[str]
    origin: str
    said: list[str]

    def link(self, token: str) -> str:
        return f"{self.origin}/join?token={token}"


@contextmanager
def running(site: Site, **settings: Any) -> Iterator[Server]:
    """Serves the site; afterwards the process has ended by SIGTERM, cleanly."""
    settings = {"port": 0, "total_labels": 500, "repeat_share": 0.0, **settings}
    command = [sys.executable, str(Path(__file__)), str(site.folder), json.dumps(settings)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        said: list[str] = []
        first = process.stdout.readline()
        said.append(first)
        match = re.search(r"http://[^/]+", first)
        if match is None:
            process.kill()
            raise AssertionError(first + process.stdout.read())
        reader = threading.Thread(target=lambda: said.extend(process.stdout or ()), daemon=True)
        reader.start()
        try:
            yield Server(process, match[0], said)
        finally:
            process.terminate()
            process.wait(20)
            reader.join(20)
    assert process.returncode == 0, said


def until(is_so: Callable[[], bool], seconds: float = 20.0) -> None:
    """Waits for something that another process does.

    Raises:
        AssertionError: if it has not happened in time.
    """
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


def main() -> None:
    """The server process."""
    site, settings = Site(Path(sys.argv[1])), json.loads(sys.argv[2])
    status_path = site.folder / "agent.json"

    def read_status() -> AgentStatus | None:
        return AgentStatus(**json.loads(status_path.read_text())) if status_path.exists() else None

    def worker_trouble() -> str | None:
        path = site.folder / "trouble.txt"
        return path.read_text() if path.exists() else None

    def curves() -> dict[str, list[tuple[float, float]]]:
        path = site.folder / "curves.json"
        return json.loads(path.read_text()) if path.exists() else {}

    serve(
        site.store_path,
        site.pictures,
        WebSettings(**settings),
        tokens={"nobody": "shown-to-find-the-port"},
        read_status=read_status,
        worker_trouble=worker_trouble,
        curves=curves,
        said=lambda line: print(line, flush=True),
    )


if __name__ == "__main__":
    main()
