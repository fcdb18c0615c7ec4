"""Labels as plain rows that mean the same anywhere: every label ever given, with its query, as JSON lines.

Pure: what a store holds goes in, dicts come out. `labeling.export_folder` puts them into a folder.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from labeling.choice import Choice
from labeling.label import Query, StoredLabel
from labeling.store import Store

Row = dict[str, Any]
"""One label given; its keys are those of `COLUMNS`, in that order."""

COLUMNS = {
    "label_id": "Id of the label.",
    "query_id": "Id of the query it answers; several people may have answered the same.",
    "labeler": "Who answered.",
    "prompt": "What people were asked to make the agent do.",
    "choice": "`left`, `right`, `equal` or `skip` (cannot tell), in the query's own order of sides.",
    "left": "Clip on the query's left, by the SHA-256 of its content.",
    "right": "Clip on the query's right.",
    "chosen": "The better clip; null for `equal` and `skip`.",
    "rejected": "The other; null for `equal` and `skip`.",
    "swapped": "Whether the labeler saw the left clip on the right; `choice` is already turned back.",
    "undone": "Whether the labeler took the label back: it does not count.",
    "shown_at": "When the clips came on the screen, UTC.",
    "shown_at_utc_ms": "The same in milliseconds since 1970.",
    "answered_at": "When the answer was given, UTC.",
    "answered_at_utc_ms": "The same in milliseconds since 1970.",
    "ms_on_screen": "Milliseconds between the two by a clock that is never set.",
    "agent_step": "Steps the agent had taken when the query was asked.",
    "round": "Round of asking; 0 is the one before any training.",
    "strategy": "How the pair was picked.",
    "is_random": "Whether it belongs to the share picked at random, whatever the strategy.",
    "score": "What the strategy ranked the pair by; null where it ranks nothing.",
    "asked_at_utc_ms": "When the query was asked, in milliseconds since 1970.",
    "repeat_of": "The query that this one silently repeats, to see whether a person agrees with themselves; else null.",
    "imported_from": "Id of the run that the label was given in, where it was imported; else null.",
}
"""The columns of a row, each with what it means."""


def label_rows(store: Store, prompt: str = "") -> list[Row]:
    """Every label ever given, also those undone, in the order stored."""
    stored = store.labels_after(0)  # first: what follows knows of at least as much
    queries = {query.query_id: query for query in store.queries()}
    undone = {label.voids_seq for label in stored}
    repeats, imports = store.repeats(), store.imports()
    return [
        _row(label, label.choice, queries[label.query_id])
        | {
            "prompt": prompt,
            "undone": label.seq in undone,
            "repeat_of": repeats.get(label.query_id),
            "imported_from": imports.get(label.query_id),
        }
        for label in stored
        if label.choice is not None
    ]


def counts_for_learning(row: Row) -> bool:
    """Whether the label is neither undone nor a repeat."""
    return not row["undone"] and row["repeat_of"] is None


def sides(choice: Choice, left: str, right: str) -> tuple[str | None, str | None]:
    """The chosen and the rejected of two clips; None twice where neither was chosen."""
    return {Choice.LEFT: (left, right), Choice.RIGHT: (right, left)}.get(choice, (None, None))


def to_json_lines(rows: Iterable[Row]) -> str:
    r"""One JSON object per line, ASCII alone: no name can end a line or steer a terminal.

    >>> to_json_lines([{"labeler": "Zoë", "score": None}])
    '{"labeler": "Zo\\u00eb", "score": null}\n'
    """
    return "".join(json.dumps(row, ensure_ascii=True, allow_nan=False) + "\n" for row in rows)


def source_id(store: Store) -> str | None:
    """What tells a run's labels from those of all other runs: 12 hex digits, the same for ever.

    They are a hash of the first label given in this run, as rows are never changed. None where there is no such label.
    """
    stored = store.labels_after(0)
    imports = store.imports()
    first = next((label for label in stored if label.query_id not in imports), None)
    if first is None:
        return None
    clips = store.query(first.query_id).clip_ids
    facts = [first.label_id, first.query_id, first.labeler, first.answered_at_utc_ms, *clips]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:12]


def utc_text(utc_ms: int) -> str:
    """Milliseconds since 1970 as ISO 8601 in UTC.

    >>> utc_text(1_700_000_000_123)
    '2023-11-14T22:13:20.123Z'
    """
    try:
        when = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=utc_ms)
    except OverflowError:  # a clock set beyond the year 9999
        when = datetime.max.replace(tzinfo=UTC)
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _row(label: StoredLabel, choice: Choice, query: Query) -> Row:
    chosen, rejected = sides(choice, query.left_clip, query.right_clip)
    known = {
        "label_id": label.label_id,
        "query_id": label.query_id,
        "labeler": label.labeler,
        "choice": choice.value,
        "left": query.left_clip,
        "right": query.right_clip,
        "chosen": chosen,
        "rejected": rejected,
        "swapped": label.swapped,
        "shown_at": utc_text(label.shown_at_utc_ms),
        "shown_at_utc_ms": label.shown_at_utc_ms,
        "answered_at": utc_text(label.answered_at_utc_ms),
        "answered_at_utc_ms": label.answered_at_utc_ms,
        "ms_on_screen": label.ms_on_screen,
        "agent_step": query.asked_at_step,
        "round": query.round,
        "strategy": query.strategy,
        "is_random": query.is_random,
        "score": query.score,
        "asked_at_utc_ms": query.asked_at_utc_ms,
    }
    return {name: known.get(name) for name in COLUMNS}
