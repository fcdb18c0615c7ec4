"""The drawing worker: draws the clips of queries that wait for people, in a process of its own beside window or page.

`python -m prefrl.drawing RUN frames|video` runs until its standard input is closed, which happens when its parent ends,
however it ends. It and the parent meet in the run's store and in its folder of pictures.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from labeling.agent_status import read_status
from labeling.clip import Clip, ClipError, ClipFiles
from labeling.label import DamagedStoreError
from labeling.pictures import ENDINGS, Pictures
from labeling.store import Store, StoreError
from prefrl import configfile
from prefrl.drawers import make_drawer
from prefrl.rundir import RunDir
from prefrl.video import encode_clip
from prefrl.world import Drawer, checked_size

KEEP_CLIPS = 400
"""Clips whose pictures are kept after they were answered, so that an undo shows them at once."""

_POLL_SECONDS = 0.05
_RETRY_SECONDS = 5.0
_STRIP_PIXELS = 4096
"""Largest side of a film strip: what every browser of a phone can still show."""


def main(args: list[str]) -> int:
    """Draw for a run until standard input is closed; 2 where nothing can be drawn, with one line on standard error."""
    folder, kind = args
    os.nice(10)  # training and answering go first
    warnings.simplefilter("ignore")  # the trainer has said them
    run, closed = RunDir(Path(folder)), threading.Event()
    threading.Thread(target=_watch_stdin, args=(closed,), daemon=True).start()
    try:
        drawer = make_drawer(configfile.load(run.config))
        while not closed.is_set():
            _work(run, drawer, kind, closed)
    except ValueError as e:  # of ours, and of the leaves, which cannot know UserError
        sys.stderr.write(f"{e}\n")
        return 2
    return 0


def _work(run: RunDir, drawer: Drawer, kind: str, closed: threading.Event) -> None:
    """Draw until it is time to end, or to begin again as the store has refused: it may be locked, or the disk full."""
    try:
        with Store(run.labels) as store:
            DrawingWorker(run, store, drawer, kind, closed).work()
    except DamagedStoreError:  # which does not pass
        raise
    except StoreError as e:
        sys.stderr.write(f"{e}; trying again\n")
        closed.wait(_RETRY_SECONDS)


class DrawingWorker:
    """Draws what waits, the oldest query first.

    Args:
        run: Whose clips.
        store: Its store.
        drawer: Its world's.
        kind: "frames" for a window, "video" for a page.
        closed: Set when it is time to end.
    """

    def __init__(self, run: RunDir, store: Store, drawer: Drawer, kind: str, closed: threading.Event) -> None:
        self.run = run
        self.store = store
        self.drawer = drawer
        self.kind = kind
        self.closed = closed
        self.files = ClipFiles(run.clips)
        self.pictures = Pictures(run.drawn)
        self.newest: str | None = None
        """The last clip of what the agent did lately; its pictures go when another takes its place."""
        self.order: dict[str, None] = dict.fromkeys(_drawn_before(run.drawn))
        """Clips with pictures, the longest unused first."""

    def work(self) -> None:
        """Draw until it is time to end."""
        seen = None
        while not self.closed.wait(_POLL_SECONDS if seen is not None else 0):
            version = (self.store.data_version(), self._newest())
            if version == seen:
                continue
            seen = None if self.draw_waiting() else version

    def draw_waiting(self) -> bool:
        """Draw the first clip that waits without pictures; False where there is none."""
        newest = self._newest()
        if newest is not None and newest != self.newest:
            self._delete(self.newest)
            self.newest = newest
            trouble = self._draw(newest)
            if trouble is not None:
                sys.stderr.write(f"the agent's latest behaviour is not drawn: {trouble}\n")
            return True
        for query_id, clip_ids in self._waiting():
            for clip_id in clip_ids:
                self.order.pop(clip_id, None)
                self.order[clip_id] = None
                if not self._has(clip_id):
                    trouble = self._draw(clip_id)
                    if trouble is not None:
                        self.store.withdraw(query_id, trouble)
                        sys.stderr.write(f"query {query_id} is withdrawn: {trouble}\n")
                    self._prune()
                    return True
        return False

    def _waiting(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        for waiting in self.store.waiting(with_repeats=True):
            yield waiting.query_id, self.store.query(waiting.query_id).clip_ids

    def _newest(self) -> str | None:
        """The clip of what the agent did lately, which the page shows to whoever runs it."""
        status = read_status(self.run.status) if self.kind == "video" else None
        return None if status is None else status.newest_clip

    def _has(self, clip_id: str) -> bool:
        return self.pictures.has_video(clip_id) if self.kind == "video" else self.pictures.has_frames(clip_id)

    def _draw(self, clip_id: str) -> str | None:
        """Draw one clip; what is wrong with it, if something is."""
        try:
            clip = checked_size(self.files.read(clip_id))
            frames = self.drawer.draw(clip.obs, clip.view)
        except Exception as e:  # a damaged file, a view that cannot be drawn, or whatever a user's own drawing raises
            return str(e) or type(e).__name__
        while True:
            try:
                self._write(clip, frames)
                return None
            except (ClipError, OSError) as e:  # no fault of the clip: the disk is full, or gone
                sys.stderr.write(f"pictures cannot be written, trying again: {e}\n")
                if self.closed.wait(_RETRY_SECONDS):
                    return None

    def _write(self, clip: Clip, frames: NDArray[np.uint8]) -> None:
        if self.kind == "frames":
            self.pictures.write_frames(clip.clip_id, frames, clip.frame_rate)
            return
        strip, columns = film_strip(frames)
        height, width = frames.shape[1:3]
        facts = {
            "n_frames": len(frames),
            "frame_rate": clip.frame_rate,
            "width": width,
            "height": height,
            "columns": columns,
        }
        self.pictures.write(clip.clip_id, "webm", encode_clip(frames, clip.frame_rate, quick=True))
        self.pictures.write(clip.clip_id, "png", strip)
        self.pictures.write(clip.clip_id, "json", json.dumps(facts).encode())

    def _prune(self) -> None:
        """Delete pictures of clips that have long been answered."""
        for clip_id in list(self.order)[: max(0, len(self.order) - KEEP_CLIPS)]:
            del self.order[clip_id]
            self._delete(clip_id)

    def _delete(self, clip_id: str | None) -> None:
        if clip_id is None or clip_id in self.order:
            return
        # The facts first: without them the page takes the clip for not drawn.
        for ending in reversed(ENDINGS):
            self.pictures.path(clip_id, ending).unlink(missing_ok=True)


def film_strip(frames: NDArray[np.uint8]) -> tuple[bytes, int]:
    """All frames (T, H, W, 3) in one PNG, row by row, and how many stand in a row."""
    n_frames, height, width, _ = frames.shape
    columns = max(1, min(n_frames, _STRIP_PIXELS // width))
    rows = -(-n_frames // columns)
    padded = np.zeros((rows * columns, height, width, 3), np.uint8)
    padded[:n_frames] = frames
    sheet = padded.reshape(rows, columns, height, width, 3).swapaxes(1, 2).reshape(rows * height, columns * width, 3)
    ok, png = cv2.imencode(".png", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 3])
    if not ok:
        raise ClipError(f"OpenCV could not write a picture of {sheet.shape}")
    return bytes(png), columns


def _drawn_before(folder: Path) -> list[str]:
    """Clips that an earlier worker has drawn, the oldest first."""
    files = sorted(
        (path.stat().st_mtime, path.stem) for path in folder.glob("??/*.*") if path.suffix in (".npz", ".json")
    )
    return [clip_id for _, clip_id in files]


def _watch_stdin(closed: threading.Event) -> None:
    """Sets `closed` when standard input ends."""
    while os.read(sys.stdin.fileno(), 1):
        pass
    closed.set()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
