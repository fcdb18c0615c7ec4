"""One label from elsewhere: a row nobody vouches for becomes a query and a label, or one clear line says why not."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from labeling.choice import Choice
from labeling.export import Row, sides
from labeling.label import MAX_ID_CHARS, Label, Query, StoreError

SOURCE_ID = re.compile(r"[0-9a-f]{12}")
"""What `labeling.export.source_id` gives."""

_KINDS: dict[str, tuple[tuple[type, ...], str]] = {
    **dict.fromkeys(("label_id", "query_id", "labeler", "left", "right", "strategy"), ((str,), "text")),
    **dict.fromkeys(("swapped", "undone", "is_random", "has_clips"), ((bool,), "true or false")),
    **dict.fromkeys(("shown_at_utc_ms", "answered_at_utc_ms", "asked_at_utc_ms"), ((int,), "a whole number")),
    **dict.fromkeys(("ms_on_screen", "agent_step", "round"), ((int,), "a whole number")),
    **dict.fromkeys(("chosen", "rejected", "repeat_of", "imported_from"), ((str, type(None)), "text or null")),
    "score": ((float, int, type(None)), "a number or null"),
    "choice": ((str,), "left, right, equal or skip"),
}
"""What each key of a row must hold."""


class LabelImportError(ValueError):
    """Labels from elsewhere are refused; nothing was written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreign:
    """A label from elsewhere, under the ids it has here."""

    source: str
    """The run it was given in, from `source_id`."""
    query: Query
    label: Label
    is_undone: bool


def read_row(row: Row, where: str, source: str | None) -> Foreign | None:
    """The label in a row; None where the export had to do without its clips.

    Args:
        row: Its values may be anything.
        where: Words for where it stands.
        source: Id of the run it was exported from; None where that has no labels of its own.

    Raises:
        LabelImportError: It is no row of an export.
    """
    for name, (kinds, words) in _KINDS.items():
        value = row.get(name)
        if name not in row or type(value) not in kinds:
            got = repr(value)[:80] if name in row else "nothing"
            raise LabelImportError(f"expected {name} in {where} to be {words}, got {got}")
    if row["choice"] not in set(Choice):
        raise LabelImportError(
            f"expected choice in {where} to be left, right, equal or skip, got {row['choice']!r:.80}"
        )
    choice = Choice(row["choice"])
    if (row["chosen"], row["rejected"]) != sides(choice, row["left"], row["right"]):
        raise LabelImportError(f"expected chosen and rejected in {where} to agree with the choice {choice}")
    key, prefix = _source_of(row, where, source)
    try:
        query = _query(row, prefix)
        label = _label(row, prefix, choice)
    except (StoreError, OverflowError) as error:
        raise LabelImportError(f"{where}: {error!s:.300}") from error
    if not row["has_clips"] and not row["undone"]:
        return None
    return Foreign(source=key, query=query, label=label, is_undone=row["undone"])


def _source_of(row: Row, where: str, source: str | None) -> tuple[str, str]:
    """Id of the run that the label was given in, and what comes before its ids: they may have that already."""
    imported_from = row["imported_from"]
    if imported_from is None:
        if source is None:
            raise LabelImportError(f"expected a source in export.json, as {where} is a label of the run itself")
        return source, f"{source}:"
    ids = (row["query_id"], row["label_id"])
    if not (SOURCE_ID.fullmatch(imported_from) and all(text.startswith(f"{imported_from}:") for text in ids)):
        raise LabelImportError(
            f"expected the ids in {where} to begin with the 12 hex digits of imported_from, got {ids!r:.120}"
        )
    return imported_from, ""


def _query(row: Row, prefix: str) -> Query:
    return Query(
        query_id=_id(prefix, row["query_id"]),
        clip_ids=(row["left"], row["right"]),
        asked_at_step=row["agent_step"],
        round=row["round"],
        strategy=row["strategy"],
        is_random=row["is_random"],
        score=row["score"],
        asked_at_utc_ms=row["asked_at_utc_ms"],
    )


def _label(row: Row, prefix: str, choice: Choice) -> Label:
    return Label(
        label_id=_id(prefix, row["label_id"]),
        query_id=_id(prefix, row["query_id"]),
        labeler=row["labeler"],
        choice=choice,
        swapped=row["swapped"],
        shown_at_utc_ms=row["shown_at_utc_ms"],
        answered_at_utc_ms=row["answered_at_utc_ms"],
        ms_on_screen=row["ms_on_screen"],
    )


def _id(prefix: str, text: str) -> str:
    """The id with the prefix before it; what would be too long then is hashed."""
    if len(prefix) + len(text) > MAX_ID_CHARS:
        text = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
    return prefix + text


def check_consistent(given: Iterable[Foreign]) -> None:
    """Refuses labels that contradict each other, which the store would refuse only once clips are written."""
    queries: dict[str, Query] = {}
    labels: dict[str, Label] = {}
    answers: dict[tuple[str, str], str] = {}
    for g in given:
        label = g.label
        if queries.setdefault(g.query.query_id, g.query) != g.query:
            raise LabelImportError(f"expected one query {g.query.query_id}, got two that differ")
        if labels.setdefault(label.label_id, label) != label:
            raise LabelImportError(f"expected one label {label.label_id}, got two that differ")
        if answers.setdefault((label.query_id, label.labeler), label.label_id) != label.label_id:
            raise LabelImportError(f"expected one label of {label.labeler} on query {label.query_id}, got two")
