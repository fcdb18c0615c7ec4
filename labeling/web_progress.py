"""What the progress page shows to the person who runs the labeling, as numbers and text ready for JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from labeling.label import Invite, StoredLabel
from labeling.statistics import label_statistics
from labeling.store import Store

__all__ = ["read_progress"]

MAX_WITHDRAWN = 50


def read_progress(store_path: Path) -> dict[str, Any]:
    """Who labeled how much, how fast and how alike, and what waits; read beside the writing thread, not in it.

    Raises:
        StoreError: if the store cannot be read.
    """
    # One state, and no longer than the reading takes: a reader holds up writers.
    with Store.open_read_only(store_path) as store, store.reading():
        rows, queries = store.labels_after(0), store.queries()
        repeats, imports = store.repeats(), store.imports()
        waiting, withdrawn = store.waiting(), store.withdrawals()
        invites = store.invites()
    found = label_statistics(rows, {query.query_id: query for query in queries}, repeats, imports)
    statistics = asdict(found)
    statistics["labelers"] = _with_invited(statistics["labelers"], invites, rows)
    recent = list(withdrawn.items())[-MAX_WITHDRAWN:]
    return {
        "statistics": statistics,
        "queue": {"waiting": len(waiting), "shown": sum(query.is_held for query in waiting)},
        "n_withdrawn": len(withdrawn),
        "withdrawn": [{"query_id": query_id, "reason": reason} for query_id, reason in reversed(recent)],
    }


def _with_invited(
    labelers: Sequence[dict[str, Any]], invites: Sequence[Invite], rows: Sequence[StoredLabel]
) -> list[dict[str, Any]]:
    """Labelers with the time of their newest row, and after them the invited who have not answered yet."""
    newest = {row.labeler: row.answered_at_utc_ms for row in rows}
    names = {labeler["labeler"] for labeler in labelers}
    absent = dict.fromkeys(invite.name for invite in invites if not invite.is_operator and invite.name not in names)
    seen = [{**labeler, "last_answer_utc_ms": newest.get(labeler["labeler"])} for labeler in labelers]
    return seen + [{"labeler": name, "n_answers": 0, "last_answer_utc_ms": None} for name in absent]
