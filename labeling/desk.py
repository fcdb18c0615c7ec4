"""The desk: hands queries out to people, each to as few as are wanted, and takes their answers in.

Window and page stand on it alike. What is handed out is a lease, so that two people don't do the same work; which side
each clip was shown on is decided here, kept with the lease, and undone again before an answer is stored.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np

from labeling import clocks, rows
from labeling.choice import Choice, swapped
from labeling.label import Label, Query, StoreError, utc_ms_now
from labeling.store import Store

MAX_LEASE_SECONDS = 3600.0
"""No lease is longer. One made before the machine was started anew is void, since its clock is gone."""

REPEAT_AFTER = 10
"""A query is asked again of the same person only after at least this many other answers of theirs."""

_PAUSE_MS = 60_000
_RECENT = 20


class NotOffered(StoreError):  # noqa: N818  # says what was wrong, as StoreError's other kinds do
    """An answer to a query that was never put before this labeler."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A query put before one labeler."""

    query_id: str
    """As in `Query`."""
    left_clip: str
    """Id of the clip on the left of the screen."""
    right_clip: str
    """Id of the clip on the right of the screen."""
    swapped: bool
    """Whether the query's own sides have changed places on the screen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What one labeler has done."""

    n_answered: int
    """Labels of theirs that count, without those to silent repeats, of which the agent learns nothing new."""
    per_minute: float
    """Answers per minute over their newest 20, pauses of more than a minute left out; 0 before the second."""


class Desk:
    """Hands out the queries that wait in a store.

    Args:
        store: Of the run; the desk belongs to its thread.
        is_drawn: Whether the pictures of a clip are there; a query is offered only when both its clips are.
        repeat_share: Share of the answers of each labeler that are asked for once more, silently, to see whether they
            answer alike.
        lease_seconds: How long a query handed out is kept from others.
        rng: Of sides and of repeats.
    """

    def __init__(
        self,
        store: Store,
        *,
        is_drawn: Callable[[str], bool],
        repeat_share: float = 0.05,
        lease_seconds: float = 120.0,
        rng: np.random.Generator | None = None,
    ) -> None:
        if not 0 < lease_seconds <= MAX_LEASE_SECONDS:
            raise StoreError(f"lease_seconds must be above 0 and at most {MAX_LEASE_SECONDS:.0f}, got {lease_seconds}")
        if not 0 <= repeat_share <= 0.5:
            raise StoreError(f"repeat_share must be between 0 and 0.5, got {repeat_share}")
        self._store = store
        self._is_drawn = is_drawn
        self._repeat_every = round(1 / repeat_share) if repeat_share else 0
        self._lease_ms = round(1000 * lease_seconds)
        self._rng = np.random.default_rng() if rng is None else rng

    def offers(self, labeler: str, n: int, hold: Sequence[str] = ()) -> list[Offer]:
        """At most `n` queries for that labeler, leased to them; those that they hold already come first.

        Args:
            labeler: Who.
            n: How many.
            hold: Queries on their screen or fetched ahead; those stay leased and are not offered again.
        """
        return self.hand_out(labeler, n, hold)[0]

    def hand_out(
        self, labeler: str, n: int, hold: Sequence[str], avoid: Sequence[str] = ()
    ) -> tuple[list[Offer], list[str]]:
        """As `offers`, and those of `hold` that are not theirs to answer any more.

        A lease that ran out is renewed only where nobody else has taken its place meanwhile.

        Args:
            labeler: Who.
            n: How many.
            hold: As in `offers`.
            avoid: Queries that they cannot be shown; not offered, nor kept from others.
        """
        now = clocks.monotonic_ms()
        with self._store.writing() as db:
            found: list[Offer] = []
            open_to_them = db.execute(_OPEN, _bounds(labeler, now)).fetchall() if hold or n > 0 else []
            gone = set(hold) - {query_id for query_id, *_, was_swapped in open_to_them if was_swapped is not None}
            for query_id in set(hold) - gone:
                db.execute(_RENEW, (now + self._lease_ms, clocks.boot_id(), query_id, labeler))
            for query_id, left, right, was_swapped in open_to_them:
                if len(found) >= n:
                    break
                if query_id in hold or query_id in avoid or not (self._is_drawn(left) and self._is_drawn(right)):
                    continue
                swap = bool(self._rng.integers(2)) if was_swapped is None else bool(was_swapped)
                found.append(_offer(query_id, left, right, swap))
            when = (utc_ms_now(), now, now + self._lease_ms, clocks.boot_id())
            db.executemany(_LEASE, [(offer.query_id, labeler, int(offer.swapped), *when) for offer in found])
        return found, [query_id for query_id in hold if query_id in gone]

    def n_waiting(self, labeler: str, besides: Collection[str] = ()) -> int:
        """Queries that could be put before that labeler now, if they are drawn; without those they have already."""
        with self._store.reading() as db:
            found = db.execute(_OPEN, _bounds(labeler, clocks.monotonic_ms())).fetchall()
        return sum(query_id not in besides for query_id, *_ in found)

    def answer(
        self,
        labeler: str,
        *,
        label_id: str,
        query_id: str,
        choice: Choice,
        shown_at_utc_ms: int,
        answered_at_utc_ms: int,
        ms_on_screen: int,
    ) -> int:
        """Stores an answer durably, given in the order of sides on the screen; returns its `seq`.

        The same `label_id` again changes nothing and returns the same.

        Raises:
            NotOffered: If this query was never put before this labeler.
            StoreError: If they have answered it already, or a value is bad.
        """
        with self._store.writing() as db:
            lease = db.execute(_FIND_LEASE, (query_id, labeler)).fetchone()
            if lease is None:
                raise NotOffered(f"query {query_id!r:.200} was not put before {labeler}")
            was_swapped = bool(lease[0])
            label = Label(
                label_id=label_id,
                query_id=query_id,
                labeler=labeler,
                choice=swapped(choice) if was_swapped else choice,
                swapped=was_swapped,
                shown_at_utc_ms=shown_at_utc_ms,
                answered_at_utc_ms=answered_at_utc_ms,
                ms_on_screen=ms_on_screen,
            )
            seq = rows.add_label_row(db, rows.label_values(label))
            db.execute(_RENEW, (0, clocks.boot_id(), query_id, labeler))
            self._plan_repeat(db, labeler)
        return seq

    def undo(self, labeler: str, new_label_id: str, label_id: str | None = None) -> Offer | None:
        """Voids a label of that labeler, by default their newest, and puts its query before them again.

        The same `new_label_id` again changes nothing and returns the same; None where there is nothing to undo.
        """
        with self._store.writing() as db:
            done = db.execute("SELECT query_id FROM labels WHERE label_id = ?", (new_label_id,)).fetchone()
            if done is None:
                newest = db.execute(_NEWEST_LABEL, (labeler, label_id)).fetchone()
                if newest is None:
                    return None
                voided_id, query_id = newest
                self._store.undo(voided_id, new_label_id, labeler)
            else:
                query_id = str(done[0])
            db.execute(_RENEW, (clocks.monotonic_ms() + self._lease_ms, clocks.boot_id(), query_id, labeler))
            lease = db.execute(_FIND_LEASE, (query_id, labeler)).fetchone()
            query = self._store.query(query_id)
            if lease is None:
                raise NotOffered(f"query {query_id!r:.200} was not put before {labeler}")
        return _offer(query_id, query.left_clip, query.right_clip, bool(lease[0]))

    def is_drawn(self, offer: Offer) -> bool:
        """Whether the pictures of both clips are there; after an undo they may have to be drawn again."""
        return self._is_drawn(offer.left_clip) and self._is_drawn(offer.right_clip)

    def withdraw(self, query_id: str, reason: str) -> None:
        """Takes a query off the queue for good, as when its clip is damaged."""
        self._store.withdraw(query_id, reason)

    def tally(self, labeler: str) -> Tally:
        """How much that labeler has answered, and how fast."""
        with self._store.reading() as db:
            (n_answered,) = db.execute(_COUNT_FRESH, (labeler,)).fetchone()
            times = [t for (t,) in db.execute(_RECENT_TIMES, (labeler, _RECENT))]
        gaps = [gap for gap in np.diff(sorted(times)).tolist() if gap <= _PAUSE_MS]
        return Tally(n_answered=n_answered, per_minute=60_000 * len(gaps) / sum(gaps) if sum(gaps) else 0.0)

    def _plan_repeat(self, db: sqlite3.Connection, labeler: str) -> None:
        """Asks a query of this labeler's again at the end of the queue, when it is time for one."""
        if not self._repeat_every:
            return
        (n_answered,) = db.execute(_COUNT_FRESH, (labeler,)).fetchone()
        (n_repeats,) = db.execute("SELECT count(*) FROM repeats WHERE labeler = ?", (labeler,)).fetchone()
        if n_answered < self._repeat_every * (n_repeats + 1):
            return
        candidates = [query_id for (query_id,) in db.execute(_REPEATABLE, (labeler,))][REPEAT_AFTER:]
        if candidates:
            self._repeat(db, labeler, candidates[int(self._rng.integers(len(candidates)))])

    def _repeat(self, db: sqlite3.Connection, labeler: str, of_query_id: str) -> None:
        of = rows.find_query(db, of_query_id)
        assert of is not None
        who = hashlib.sha256(labeler.encode()).hexdigest()[:8]
        query = Query(
            query_id=f"repeat:{who}:{of_query_id}",
            clip_ids=of.clip_ids,
            asked_at_step=of.asked_at_step,
            round=of.round,
            strategy="repeat",
            is_random=of.is_random,
        )
        rows.insert_query(db, query)
        db.execute(
            "INSERT INTO repeats (query_id, of_query_id, labeler) VALUES (?, ?, ?)",
            (query.query_id, of_query_id, labeler),
        )
        rows.insert_waiting(db, query.query_id, 1, labeler)


_OPEN = """SELECT waiting.query_id, clip_0.clip_id, clip_1.clip_id, mine.swapped
FROM waiting
JOIN query_clips AS clip_0 ON clip_0.query_id = waiting.query_id AND clip_0.position = 0
JOIN query_clips AS clip_1 ON clip_1.query_id = waiting.query_id AND clip_1.position = 1
LEFT JOIN leases AS mine ON mine.query_id = waiting.query_id AND mine.labeler = :labeler
WHERE given < wanted AND is_withdrawn = 0
  AND (only_labeler IS NULL OR only_labeler = :labeler)
  AND NOT EXISTS (SELECT 1 FROM current_labels AS given_by_me
                  WHERE given_by_me.query_id = waiting.query_id AND given_by_me.labeler = :labeler)
  AND (mine.boot_id IS :boot AND mine.expires_monotonic_ms BETWEEN :now AND :last
       OR given + (SELECT count(*) FROM leases AS others
                   WHERE others.query_id = waiting.query_id AND others.labeler <> :labeler
                     AND others.boot_id = :boot AND others.expires_monotonic_ms BETWEEN :now AND :last) < wanted)
ORDER BY coalesce(mine.boot_id IS :boot AND mine.expires_monotonic_ms BETWEEN :now AND :last, 0) DESC, waiting.rowid"""
_LEASE = """INSERT INTO leases
  (query_id, labeler, swapped, leased_at_utc_ms, leased_at_monotonic_ms, expires_monotonic_ms, boot_id)
VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (query_id, labeler) DO UPDATE SET
  leased_at_utc_ms = excluded.leased_at_utc_ms, leased_at_monotonic_ms = excluded.leased_at_monotonic_ms,
  expires_monotonic_ms = excluded.expires_monotonic_ms, boot_id = excluded.boot_id"""
_RENEW = "UPDATE leases SET expires_monotonic_ms = ?, boot_id = ? WHERE query_id = ? AND labeler = ?"
_FIND_LEASE = "SELECT swapped FROM leases WHERE query_id = ? AND labeler = ?"
_NEWEST_LABEL = """SELECT label_id, query_id FROM current_labels
WHERE labeler = ?1 AND (?2 IS NULL OR label_id = ?2)
  AND query_id NOT IN (SELECT query_id FROM imports) ORDER BY seq DESC LIMIT 1"""
_RECENT_TIMES = """SELECT answered_at_utc_ms FROM current_labels
WHERE labeler = ? AND query_id NOT IN (SELECT query_id FROM imports) ORDER BY seq DESC LIMIT ?"""
_COUNT_FRESH = """SELECT count(*) FROM current_labels WHERE labeler = ?
  AND query_id NOT IN (SELECT query_id FROM imports)
  AND query_id NOT IN (SELECT query_id FROM repeats)"""
# Newest first: what the person has just answered they would still know.
_REPEATABLE = """SELECT given.query_id FROM current_labels AS given
WHERE given.labeler = ?1 AND given.choice <> 'skip'
  AND given.query_id NOT IN (SELECT query_id FROM repeats)
  AND given.query_id NOT IN (SELECT of_query_id FROM repeats WHERE labeler = ?1)
  AND given.query_id NOT IN (SELECT query_id FROM withdrawals)
  AND given.query_id NOT IN (SELECT query_id FROM imports)
ORDER BY given.seq DESC"""


def _bounds(labeler: str, now: int) -> dict[str, str | int]:
    last = now + round(1000 * MAX_LEASE_SECONDS)
    return {"labeler": labeler, "now": now, "last": last, "boot": clocks.boot_id()}


def _offer(query_id: str, left: str, right: str, swap: bool) -> Offer:
    if swap:
        left, right = right, left
    return Offer(query_id=query_id, left_clip=left, right_clip=right, swapped=swap)
