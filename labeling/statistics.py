"""What a store's labels say about those who gave them: their pace, their lean to a side, their agreement.

Pure functions of rows of the store, and `summarize`, which reads one and gives what the report and the web page show.
Left and right are here as they stood on the labeler's screen, and not the query's own sides.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from labeling.agreement import Agreement, Share, agreement, self_consistency, share_of
from labeling.choice import Choice, swapped
from labeling.label import Query, StoredLabel
from labeling.store import Store

ACTIVE_GAP_SECONDS = 60.0
"""A longer time between two answers is a break; an answer takes 3 to 5 s (Christiano et al. 2017, section 3.1)."""

MIN_ANSWERS_PER_QUARTER = 10
"""With fewer, a pace by quarter would be noise, and none is given."""

N_STRETCHES = 60
"""Equal parts that a run's time and its agent steps are cut into, to count answers in."""


@dataclass(frozen=True, slots=True)
class OnScreen:
    """What only those who look at a screen have; teachers and functions answer without one."""

    active_seconds: float
    """Time between successive answers or undos of one labeler, without breaks (`ACTIVE_GAP_SECONDS`)."""
    per_minute: float | None
    """Answers per minute of active time, waiting for pairs included; None without any such time."""
    per_minute_by_quarter: list[float] | None
    """The same in each quarter of the answers, oldest first; None for too few, and for several labelers together."""
    median_seconds: float | None
    """Median time that an answered pair was on the screen."""
    left: Share
    """Clear answers (not EQUAL, not SKIP) for the clip on the left of the screen."""


@dataclass(frozen=True, slots=True)
class LabelerStatistics:
    """One labeler's answers in this run; those from another run are left out."""

    labeler: str
    n_answers: int
    """Answers that count."""
    n_undone: int
    """Answers taken back."""
    n_by_choice: dict[str, int]
    """Answers that count by choice; every choice is there."""
    on_screen: OnScreen | None
    """None for a labeler without a screen: no answer took any time or had its sides swapped."""
    repeated: Share
    """Self-consistency, see `self_consistency`."""
    with_others: Share
    """Of the answers that another labeler gave to a query of theirs, those that are the same as their own."""
    by_time: list[int]
    """Answers that count in each of `N_STRETCHES` parts of `Statistics.span_seconds`."""


@dataclass(frozen=True, slots=True)
class Imported:
    """Answers taken over from another run."""

    source: str
    n_answers: int
    """Answers that count."""


@dataclass(frozen=True, slots=True)
class Statistics:
    """All that is known about the labels of a store."""

    n_answers: int
    """Answers that count, those from other runs included."""
    n_by_choice: dict[str, int]
    """The same by choice; every choice is there."""
    imported: list[Imported]
    """Those from other runs. Nothing below counts them."""
    n_undone: int
    """Answers taken back."""
    n_repeats: int
    """Answers that count and are to a query put a second time."""
    on_screen: OnScreen | None
    """Of all labelers with a screen together; None where there are none."""
    repeated: Share
    """Self-consistency of all labelers together."""
    labelers: list[LabelerStatistics]
    """Those with the most answers first."""
    agreement: Agreement
    """Of labelers with each other; answers to queries put a second time are left out."""
    span_seconds: float
    """From the first answer that counts to the last."""
    last_step: int
    """Agent step at which the latest query among those answered was asked."""
    by_step: list[int]
    """Answers that count by the step at which their query was asked, in `N_STRETCHES` parts of 0 to `last_step`."""


def summarize(store: Store) -> dict[str, Any]:
    """`label_statistics` of a store as plain dicts, lists, numbers and text, ready for JSON."""
    with store.reading():
        queries = {query.query_id: query for query in store.queries()}
        found = label_statistics(store.labels_after(0), queries, store.repeats(), store.imports())
    return asdict(found)


def label_statistics(
    rows: Sequence[StoredLabel],
    queries: Mapping[str, Query],
    repeats: Mapping[str, str],
    imports: Mapping[str, str],
) -> Statistics:
    """All figures of a run.

    Args:
        rows: All of the store, undoing ones too.
        queries: All queries by id.
        repeats: For each query put a second time the query that it repeats.
        imports: For each query from another run where it comes from.
    """
    counting = current(rows)
    own = [row for row in rows if row.query_id not in imports]
    labels = current(own)
    first_asked = [label for label in labels if label.query_id not in repeats]
    steps = [queries[label.query_id].asked_at_step for label in labels]
    times = [label.answered_at_utc_ms for label in labels]
    span = (min(times, default=0), max(times, default=0))
    between = agreement(first_asked)
    by_labeler = _by_labeler(own)
    sources = [imports[label.query_id] for label in counting if label.query_id in imports]
    return Statistics(
        n_answers=len(counting),
        n_by_choice=choice_mix(counting),
        imported=[Imported(source, sources.count(source)) for source in dict.fromkeys(sources)],
        n_undone=_n_undone(own),
        n_repeats=len(labels) - len(first_asked),
        on_screen=on_screen(by_labeler.values()),
        repeated=self_consistency(labels, queries, repeats),
        labelers=sorted(
            (
                _labeler_statistics(name, theirs, self_consistency(current(theirs), queries, repeats), between, span)
                for name, theirs in by_labeler.items()
            ),
            key=lambda labeler: (-labeler.n_answers, labeler.labeler),
        ),
        agreement=between,
        span_seconds=(span[1] - span[0]) / 1000,
        last_step=max(steps, default=0),
        by_step=histogram(steps, 0, max(steps, default=0)),
    )


def current(rows: Sequence[StoredLabel]) -> list[StoredLabel]:
    """The labels that count: rows that neither undo nor are undone."""
    voided = {row.voids_seq for row in rows}
    return [row for row in rows if row.voids_seq is None and row.seq not in voided]


def choice_mix(labels: Iterable[StoredLabel]) -> dict[str, int]:
    """How often each choice was made; every choice is there."""
    mix = {choice.value: 0 for choice in Choice}
    for label in labels:
        mix[as_displayed(label).value] += 1
    return mix


def as_displayed(label: StoredLabel) -> Choice:
    """The choice as the labeler saw the two sides."""
    if label.choice is None:
        raise ValueError(f"expected a label with a choice, got the undoing row {label.seq}")
    return swapped(label.choice) if label.swapped else label.choice


def on_screen(by_labeler: Iterable[Sequence[StoredLabel]]) -> OnScreen | None:
    """Pace, time on the screen and lean to a side of one labeler, or of several together.

    Args:
        by_labeler: Rows of each labeler, undoing ones too; labelers without a screen are left out.

    Returns:
        None if none of them has a screen.
    """
    seen = [rows for rows in by_labeler if any(row.ms_on_screen > 0 or row.swapped for row in rows)]
    if not seen:
        return None
    labels = [label for rows in seen for label in current(rows)]
    gaps = [gap for rows in seen for gap in active_gaps(rows)]
    clear = [choice for choice in map(as_displayed, labels) if choice in (Choice.LEFT, Choice.RIGHT)]
    return OnScreen(
        active_seconds=sum(seconds for seconds, _ in gaps),
        per_minute=_per_minute(gaps),
        per_minute_by_quarter=_by_quarter(gaps) if len(seen) == 1 else None,
        median_seconds=median(label.ms_on_screen for label in labels) / 1000 if labels else None,
        left=share_of(clear.count(Choice.LEFT), len(clear)),
    )


def active_gaps(rows: Sequence[StoredLabel]) -> list[tuple[float, bool]]:
    """One labeler's times between successive answers or undos without breaks, in seconds, oldest first.

    The bool says whether the gap led to an answer that counts; one undone took time as well. What follows a break has
    no gap and takes no part, or every session would seem quicker than it was.
    """
    counting = {label.seq for label in current(rows)}
    in_time = sorted(rows, key=lambda row: (row.answered_at_utc_ms, row.seq))
    gaps = [
        ((after.answered_at_utc_ms - before.answered_at_utc_ms) / 1000, after.seq in counting)
        for before, after in itertools.pairwise(in_time)
    ]
    return [gap for gap in gaps if gap[0] <= ACTIVE_GAP_SECONDS]


def histogram(values: Iterable[int], low: int, high: int) -> list[int]:
    """How many values lie in each of `N_STRETCHES` equal parts of `low` to `high`, both included."""
    counts = [0] * N_STRETCHES
    for value in values:
        counts[min((value - low) * N_STRETCHES // max(high - low, 1), N_STRETCHES - 1)] += 1
    return counts


def _labeler_statistics(
    name: str, rows: Sequence[StoredLabel], repeated: Share, between: Agreement, span: tuple[int, int]
) -> LabelerStatistics:
    labels = current(rows)
    return LabelerStatistics(
        labeler=name,
        n_answers=len(labels),
        n_undone=_n_undone(rows),
        n_by_choice=choice_mix(labels),
        on_screen=on_screen([rows]),
        repeated=repeated,
        with_others=between.with_others.get(name, share_of(0, 0)),
        by_time=histogram([label.answered_at_utc_ms for label in labels], *span),
    )


def _by_labeler(rows: Iterable[StoredLabel]) -> dict[str, list[StoredLabel]]:
    by_labeler: dict[str, list[StoredLabel]] = {}
    for row in rows:
        by_labeler.setdefault(row.labeler, []).append(row)
    return by_labeler


def _n_undone(rows: Iterable[StoredLabel]) -> int:
    return sum(row.voids_seq is not None for row in rows)


def _per_minute(gaps: Sequence[tuple[float, bool]]) -> float | None:
    seconds = sum(seconds for seconds, _ in gaps)
    return 60 * sum(counts for _, counts in gaps) / seconds if seconds > 0 else None


def _by_quarter(gaps: Sequence[tuple[float, bool]]) -> list[float] | None:
    if len(gaps) < 4 * MIN_ANSWERS_PER_QUARTER:
        return None
    ends = [len(gaps) * quarter // 4 for quarter in range(5)]
    paces = [_per_minute(gaps[start:end]) for start, end in itertools.pairwise(ends)]
    return None if None in paces else [pace for pace in paces if pace is not None]
