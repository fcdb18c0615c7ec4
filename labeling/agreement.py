"""How far answers go together: a labeler's with others' to the same query, and with their own to a pair seen before."""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from labeling.choice import Choice
from labeling.label import Query, StoredLabel

_Z_95 = 1.959963984540054  # the normal distribution's 97.5% point


@dataclass(frozen=True, slots=True)
class Share:
    """So many out of so many."""

    n: int
    of: int
    share: float | None
    """`n / of`; None of nothing."""
    low: float | None
    """Where the 95% interval begins; None of nothing, or where the cases hang together and it would be wrong."""
    high: float | None
    """Where it ends."""


@dataclass(frozen=True, slots=True)
class PairAgreement:
    """Two labelers' answers to the queries that both answered."""

    first: str
    second: str
    same: Share
    """Same answers, of the queries that neither skipped."""
    kappa: float | None
    """See `cohen_kappa`."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """Whether labelers say the same where several answered one query; SKIP is no answer here."""

    n_queries: int
    """Queries with answers of at least two labelers."""
    n_labelers: int
    """Labelers that gave them."""
    same: Share
    """Same answers, of all pairs of answers to one query; without an interval, as such pairs share answers."""
    alpha: float | None
    """See `krippendorff_alpha`."""
    pairs: list[PairAgreement]
    """Every two labelers that share a query, those with the most shared queries first."""
    with_others: dict[str, Share]
    """For each of them the same as `same`, of the pairs that an answer of theirs is in."""


def share_of(n: int, of: int) -> Share:
    """The share `n / of` with Wilson's 95% interval, which also holds for few cases and shares near 0 and 1.

    Wilson 1927 (JASA 22, 209-212); recommended by Brown, Cai and DasGupta 2001 (Statistical Science 16, 101-133).

    Raises:
        ValueError: unless 0 <= n <= of.
    """
    if not 0 <= n <= of:
        raise ValueError(f"expected 0 <= n <= of, got n = {n}, of = {of}")
    if of == 0:
        return Share(0, 0, None, None, None)
    z2 = _Z_95**2
    middle = (n + z2 / 2) / (of + z2)
    half = _Z_95 * math.sqrt(n * (of - n) / of + z2 / 4) / (of + z2)
    # At the ends the interval meets 0 and 1 exactly, which rounding would miss.
    return Share(n, of, n / of, middle - half if n > 0 else 0.0, middle + half if n < of else 1.0)


def cohen_kappa(pairs: Iterable[tuple[Hashable, Hashable]]) -> float | None:
    """Agreement of two labelers beyond chance, (p_o - p_e) / (1 - p_e): 1 is full agreement, 0 what chance gives.

    Cohen 1960 (Educational and Psychological Measurement 20, 37-46).

    Args:
        pairs: The two answers to each query.

    Returns:
        None without pairs, or where both always gave one and the same answer: chance then agrees fully, too.
    """
    joint = Counter(pairs)
    n = joint.total()
    first, second = Counter[Hashable](), Counter[Hashable]()
    for (a, b), count in joint.items():
        first[a] += count
        second[b] += count
    by_chance = sum(count * second[value] for value, count in first.items())  # p_e n^2
    if by_chance == n * n:
        return None
    observed = sum(count for (a, b), count in joint.items() if a == b)
    return (n * observed - by_chance) / (n * n - by_chance)


def krippendorff_alpha(units: Iterable[Sequence[Hashable]]) -> float | None:
    """Agreement of any number of labelers beyond chance, 1 - D_o / D_e: 1 is full agreement, 0 what chance gives.

    For nominal answers, and queries may differ in how many they have. Krippendorff 2011, "Computing Krippendorff's
    Alpha-Reliability", section C.

    Args:
        units: The answers to each query; those to a query with a single one do not count.

    Returns:
        None without queries of two answers, or where all answers are one and the same.
    """
    values, disagreements = Counter[Hashable](), 0.0
    for unit in units:
        if len(unit) >= 2:
            counts = Counter(unit)
            values += counts
            differing = len(unit) ** 2 - sum(count**2 for count in counts.values())
            disagreements += differing / (len(unit) - 1)
    n = values.total()
    by_chance = n * n - sum(count**2 for count in values.values())
    return None if by_chance == 0 else 1 - (n - 1) * disagreements / by_chance


def agreement(labels: Iterable[StoredLabel]) -> Agreement:
    """How far labelers agree; `labels` are those that count, without those of queries put a second time."""
    answers: dict[str, dict[str, Choice]] = defaultdict(dict)
    for label in labels:
        if label.choice is not None and label.choice is not Choice.SKIP:
            answers[label.query_id][label.labeler] = label.choice
    shared = [by_labeler for by_labeler in answers.values() if len(by_labeler) >= 2]
    compared: dict[tuple[str, str], list[tuple[Choice, Choice]]] = defaultdict(list)
    for by_labeler in shared:
        for first, second in itertools.combinations(sorted(by_labeler), 2):
            compared[first, second].append((by_labeler[first], by_labeler[second]))
    n_same = {names: sum(a is b for a, b in both) for names, both in compared.items()}
    names = sorted({name for by_labeler in shared for name in by_labeler})
    return Agreement(
        n_queries=len(shared),
        n_labelers=len(names),
        same=_pooled((n_same[pair], len(both)) for pair, both in compared.items()),
        alpha=krippendorff_alpha([list(by_labeler.values()) for by_labeler in shared]),
        pairs=[
            PairAgreement(*pair, same=share_of(n_same[pair], len(both)), kappa=cohen_kappa(both))
            for pair, both in sorted(compared.items(), key=lambda item: (-len(item[1]), item[0]))
        ],
        with_others={
            name: _pooled((n_same[pair], len(both)) for pair, both in compared.items() if name in pair)
            for name in names
        },
    )


def self_consistency(labels: Iterable[StoredLabel], queries: Mapping[str, Query], repeats: Mapping[str, str]) -> Share:
    """Of the pairs put before a labeler a second time, those answered as the first time; a SKIP is no answer here.

    The same means the same clip preferred, on whatever side it was, or EQUAL both times.

    Args:
        labels: Those that count.
        queries: All queries by id.
        repeats: For each query put a second time the query that it repeats.
    """
    given = {(label.labeler, label.query_id): label.choice for label in labels}
    same = []
    for (labeler, query_id), again in given.items():
        first_id = repeats.get(query_id)
        before = None if first_id is None else given.get((labeler, first_id))
        if first_id is None or before in (None, Choice.SKIP) or again in (None, Choice.SKIP):
            continue
        same.append(_preferred(queries[first_id], before) == _preferred(queries[query_id], again))
    return share_of(sum(same), len(same))


def _preferred(query: Query, choice: Choice | None) -> str | None:
    """The id of the clip preferred, None for EQUAL."""
    return {Choice.LEFT: query.left_clip, Choice.RIGHT: query.right_clip}.get(choice or Choice.EQUAL)


def _pooled(parts: Iterable[tuple[int, int]]) -> Share:
    """A share of cases that are not independent, so without an interval."""
    counts = list(parts)
    n, of = sum(n for n, _ in counts), sum(of for _, of in counts)
    return Share(n, of, n / of if of else None, None, None)
