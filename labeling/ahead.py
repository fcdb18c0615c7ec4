"""Pairs fetched ahead: their frames are read while the labeler looks at another, so that the next is there at once."""

from __future__ import annotations

import uuid
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from labeling.clip import ClipError
from labeling.desk import Offer
from labeling.pictures import Drawn, Pictures

N_AHEAD = 3
"""Pairs kept ready besides the one on the screen."""


@dataclass(slots=True, eq=False)
class Pair:
    """Two clips to be answered, with their frames, and when they were first seen."""

    offer: Offer
    left: Drawn
    right: Drawn
    label_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    """Of the answer to come; sending it twice stores it once."""
    shown_at_utc_ms: int = 0
    """When it was first on the screen, for people to read; 0 before."""
    shown_at: float | None = None
    """The same in seconds by a clock that is never set; None before."""


class Ahead:
    """A row of pairs that are being read, in order; the frames are read in a thread, all else in the caller's."""

    def __init__(self, pictures: Pictures) -> None:
        self._pictures = pictures
        self._row: deque[tuple[Offer, Future[Pair]]] = deque()
        self._reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="frames")

    def __len__(self) -> int:
        return len(self._row)

    def query_ids(self) -> list[str]:
        """Queries in the row, in order."""
        return [offer.query_id for offer, _ in self._row]

    def append(self, offer: Offer) -> None:
        """Puts a query at the end and begins to read its clips."""
        self._row.append((offer, self._reader.submit(self._read, offer)))

    def append_first(self, offer: Offer) -> None:
        """Puts a query at the front and begins to read its clips."""
        self._row.appendleft((offer, self._reader.submit(self._read, offer)))

    def push(self, pair: Pair) -> None:
        """Puts a pair that is already read at the front."""
        done: Future[Pair] = Future()
        done.set_result(pair)
        self._row.appendleft((pair.offer, done))

    def pop(self) -> Pair | Damaged | None:
        """The next pair, once it is read; what is wrong with it where it cannot be; None while it is being read."""
        if not self._row or not self._row[0][1].done():
            return None
        offer, reading = self._row.popleft()
        try:
            return reading.result()
        except ClipError as error:
            return Damaged(offer.query_id, str(error))

    def close(self) -> None:
        """Stops reading."""
        self._reader.shutdown(wait=True, cancel_futures=True)

    def _read(self, offer: Offer) -> Pair:
        return Pair(offer, self._pictures.read_frames(offer.left_clip), self._pictures.read_frames(offer.right_clip))


@dataclass(frozen=True, slots=True)
class Damaged:
    """A query whose clips cannot be shown."""

    query_id: str
    reason: str
