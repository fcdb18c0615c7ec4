"""Judging query strategies afterwards: how the pairs that one picked were answered, beside those taken at random.

Pure functions of rows of the store. They see no reward and no clip: what can be said is how often the two kinds were
ties or skipped, which costs people's time and teaches little.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from labeling.agreement import Share, share_of
from labeling.choice import Choice
from labeling.label import Query, StoredLabel
from labeling.store import Store


@dataclass(frozen=True, slots=True)
class Asked:
    """Queries of one kind, and their answers."""

    n_queries: int
    n_answers: int
    """Answers that count; several labelers may have answered one query."""
    ties: Share
    """Of the answers, EQUAL."""
    skips: Share
    """Of the answers, SKIP."""
    mean_score: float | None
    """Of the queries that were answered and scored when asked; None where none was."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A strategy's own queries, beside the random share of the rounds in which it picked."""

    strategy: str
    picked: Asked
    random: Asked


def judge(store: Store) -> list[dict[str, Any]]:
    """`judge_strategies` of a store, as plain dicts ready for JSON; without queries put twice or of another run."""
    with store.reading():
        left_out = {*store.repeats(), *store.imports()}
        queries = [query for query in store.queries() if query.query_id not in left_out]
        return [asdict(judged) for judged in judge_strategies(queries, store.current_labels())]


def judge_strategies(queries: Sequence[Query], labels: Sequence[StoredLabel]) -> list[Judged]:
    """Every strategy that picked anything, in the order in which they began.

    Only the random share of the same rounds stands beside a strategy: earlier rounds asked about another policy. A run
    whose pairs are all uniform has nothing to compare.

    Args:
        queries: Those to judge by; repeats and queries of other runs left out.
        labels: Those that count; those of other queries are passed over.
    """
    names = dict.fromkeys(q.strategy for q in queries if not q.is_random and q.strategy != "uniform")
    judged = []
    for name in names:
        picked = [q for q in queries if q.strategy == name and not q.is_random]
        rounds = {q.round for q in picked}
        at_random = [q for q in queries if q.is_random and q.round in rounds]
        judged.append(Judged(name, _asked(picked, labels), _asked(at_random, labels)))
    return judged


def _asked(queries: Collection[Query], labels: Iterable[StoredLabel]) -> Asked:
    by_id = {query.query_id: query for query in queries}
    own = [label for label in labels if label.query_id in by_id]
    choices = [label.choice for label in own]
    answered = dict.fromkeys(label.query_id for label in own)
    scores = [score for query_id in answered if (score := by_id[query_id].score) is not None]
    return Asked(
        n_queries=len(by_id),
        n_answers=len(own),
        ties=share_of(choices.count(Choice.EQUAL), len(own)),
        skips=share_of(choices.count(Choice.SKIP), len(own)),
        mean_score=float(np.mean(scores)) if scores else None,
    )
