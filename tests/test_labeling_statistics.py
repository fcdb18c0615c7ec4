"""Every figure about labelers against one worked out by hand or taken from its source."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from labeling.agreement import agreement, cohen_kappa, krippendorff_alpha, self_consistency, share_of
from labeling.choice import Choice
from labeling.label import Label, Query, StoredLabel
from labeling.statistics import (
    N_STRETCHES,
    active_gaps,
    as_displayed,
    choice_mix,
    current,
    histogram,
    label_statistics,
    on_screen,
    summarize,
)
from labeling.store import Store

LEFT, RIGHT, EQUAL, SKIP = Choice.LEFT, Choice.RIGHT, Choice.EQUAL, Choice.SKIP


def query(query_id: str, left: int = 0, right: int = 1, step: int = 0) -> Query:
    clips = (f"{left:064x}", f"{right:064x}")
    return Query(query_id=query_id, clip_ids=clips, asked_at_step=step, round=0, strategy="uniform", is_random=True)


def row(seq: int, choice: Choice | None, seconds: float = 0.0, **changes: Any) -> StoredLabel:
    """A stored label of Ann's to the query of the same number, given so many seconds after the start."""
    fields: dict[str, Any] = {
        "label_id": f"l{seq}",
        "query_id": f"q{seq}",
        "labeler": "Ann",
        "swapped": False,
        "shown_at_utc_ms": 0,
        "answered_at_utc_ms": round(1_700_000_000_000 + 1000 * seconds),
        "ms_on_screen": 1000,
        "voids_seq": None,
    }
    return StoredLabel(seq=seq, choice=choice, **{**fields, **changes})


def rows_every(seconds: Sequence[float], **changes: Any) -> list[StoredLabel]:
    """Labels, each so many seconds after the one before; the first at 0."""
    times = [sum(seconds[:n]) for n in range(len(seconds) + 1)]
    return [row(seq, LEFT, time, **changes) for seq, time in enumerate(times, start=1)]


@pytest.mark.parametrize(
    ("n", "of", "low", "high"),
    [(5, 10, 0.2366, 0.7634), (0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (81, 263, 0.2553, 0.3662)],
)
def test_the_interval_is_wilsons(n: int, of: int, low: float, high: float) -> None:
    # The last is Newcombe's example (1998, Statistics in Medicine 17, 857-872, table I).
    share = share_of(n, of)
    assert (share.n, share.of, share.share) == (n, of, n / of)
    assert [share.low, share.high] == pytest.approx([low, high], abs=5e-5)


def test_the_interval_ends_at_0_and_1_exactly_and_is_none_of_nothing() -> None:
    for of in (1, 3, 7, 30, 12345):
        assert share_of(0, of).low == 0.0
        assert share_of(of, of).high == 1.0
    nothing = share_of(0, 0)
    assert (nothing.share, nothing.low, nothing.high) == (None, None, None)
    with pytest.raises(ValueError, match="got n = 3, of = 2"):
        share_of(3, 2)


def test_kappa_is_cohens() -> None:
    # p_o = 35/50, p_e = (25 30 + 25 20) / 50^2 = 1/2, so (0.7 - 0.5) / 0.5.
    pairs = [(1, 1)] * 20 + [(1, 0)] * 5 + [(0, 1)] * 10 + [(0, 0)] * 15
    assert cohen_kappa(pairs) == pytest.approx(0.4)
    assert cohen_kappa([(0, 0), (1, 1)]) == 1.0
    assert cohen_kappa([(0, 1), (1, 0)]) == -1.0
    assert cohen_kappa([(0, 1), (0, 1)]) == 0.0
    assert cohen_kappa([(0, 0), (0, 0)]) is None
    assert cohen_kappa([]) is None


def test_alpha_is_krippendorffs() -> None:
    # Krippendorff 2011, section C: four observers, twelve units, values missing; alpha 0.743.
    observers = ("123321412...", "1233224125.3", ".3332342251.", "12332441251.")
    units = [[o[unit] for o in observers if o[unit] != "."] for unit in range(12)]
    assert krippendorff_alpha(units) == pytest.approx(0.743, abs=5e-4)


def test_alpha_of_two_answers_each_by_hand() -> None:
    # Values 0 0 0 1, of 4: D_o = 2/4; D_e = 2 3 1 / (4 3) = 1/2; alpha 0.
    assert krippendorff_alpha([[0, 0], [0, 1]]) == pytest.approx(0.0)
    assert krippendorff_alpha([[0, 0], [1, 1], [1]]) == 1.0
    # Four of each value, all in disagreement: D_o = 1, D_e = 2 2 2 / (4 3) = 2/3.
    assert krippendorff_alpha([[0, 1], [1, 0]]) == pytest.approx(1 - 3 / 2)
    assert krippendorff_alpha([[0, 0], [0, 0], [1]]) is None
    assert krippendorff_alpha([[0]]) is None


def test_agreement_of_three_people_leaves_out_what_was_skipped() -> None:
    given = {
        "a": {"Ann": LEFT, "Bob": LEFT, "Cid": RIGHT},  # Ann-Bob same, Ann-Cid and Bob-Cid not
        "b": {"Ann": EQUAL, "Bob": EQUAL},
        "c": {"Ann": RIGHT, "Bob": LEFT, "Cid": SKIP},
        "d": {"Ann": LEFT, "Cid": SKIP},  # one answer left: not shared
        "e": {"Eve": LEFT},
    }
    labels = [
        row(0, choice, query_id=query_id, labeler=name)
        for query_id, answers in given.items()
        for name, choice in answers.items()
    ]
    found = agreement(labels)
    assert (found.n_queries, found.n_labelers) == (3, 3)
    assert (found.same.n, found.same.of, found.same.low) == (2, 5, None)
    assert [(p.first, p.second, p.same.n, p.same.of) for p in found.pairs] == [
        ("Ann", "Bob", 2, 3),
        ("Ann", "Cid", 0, 1),
        ("Bob", "Cid", 0, 1),
    ]
    # Ann L E R, Bob L E L: p_o = 2/3, p_e = (1 2 + 1 1) / 9 = 1/3.
    assert found.pairs[0].kappa == pytest.approx(0.5)
    assert {name: (s.n, s.of) for name, s in found.with_others.items()} == {"Ann": (2, 4), "Bob": (2, 4), "Cid": (0, 2)}
    # 7 values, L 3 R 2 E 2; disagreements (9 - 5) / 2 + 0 + 2 = 4; alpha = 1 - 6 4 / (49 - 17).
    assert found.alpha == pytest.approx(1 - 24 / 32)


def test_self_consistency_compares_the_clips_preferred() -> None:
    queries = {
        "a": query("a", 0, 1), "a2": query("a2", 1, 0),  # the sides of the query itself exchanged
        "b": query("b", 2, 3), "b2": query("b2", 2, 3),
        "c": query("c", 4, 5), "c2": query("c2", 4, 5),
        "d": query("d", 6, 7), "d2": query("d2", 6, 7),
        "e": query("e", 8, 9), "e2": query("e2", 8, 9),
    }  # fmt: skip
    repeats = {name + "2": name for name in "abcde"}

    def answered(**choices: Choice) -> tuple[int, int]:
        labels = [row(n, choice, query_id=name) for n, (name, choice) in enumerate(choices.items())]
        found = self_consistency(labels, queries, repeats)
        return found.n, found.of

    assert answered(a=LEFT, a2=RIGHT) == (1, 1)
    assert answered(a=LEFT, a2=LEFT) == (0, 1)
    assert answered(b=LEFT, b2=LEFT, c=EQUAL, c2=EQUAL, d=EQUAL, d2=LEFT) == (2, 3)
    assert answered(a=SKIP, a2=LEFT, b=LEFT, b2=SKIP, c=SKIP, c2=SKIP) == (0, 0)
    assert answered(a=LEFT, b2=LEFT) == (0, 0)  # only one of the two was answered
    other = [row(1, LEFT, query_id="b"), row(2, LEFT, query_id="b2", labeler="Bob")]
    assert self_consistency(other, queries, repeats).of == 0  # by the same labeler only


def test_the_pace_leaves_out_breaks_and_what_was_undone_takes_time() -> None:
    rows = rows_every([4, 6, 2, 4, 61, 3, 60])
    rows[3] = row(4, None, 12, query_id="q3", voids_seq=3)  # the fourth row undoes the third
    assert active_gaps(rows) == [(4, True), (6, False), (2, False), (4, True), (3, True), (60, True)]
    found = on_screen([rows])
    assert found is not None
    assert found.active_seconds == 79
    assert found.per_minute == pytest.approx(60 * 4 / 79)
    assert found.per_minute_by_quarter is None
    late_first = [rows[-1], *rows[:-1]]  # the order of the clock counts, not of the rows
    assert active_gaps(late_first) == active_gaps(rows)


def test_the_pace_of_a_single_answer_is_not_known() -> None:
    found = on_screen([rows_every([])])
    assert found is not None
    assert (found.active_seconds, found.per_minute, found.median_seconds) == (0, None, 1.0)


def test_the_pace_of_each_quarter_shows_somebody_getting_tired() -> None:
    tired = rows_every([2] * 10 + [3] * 10 + [4] * 10 + [6] * 10)
    found = on_screen([tired])
    assert found is not None
    assert found.per_minute_by_quarter == pytest.approx([30, 20, 15, 10])
    assert found.per_minute == pytest.approx(60 * 40 / 150)
    few, both = on_screen([tired[1:]]), on_screen([tired, rows_every([5])])
    assert few is not None
    assert both is not None
    assert few.per_minute_by_quarter is None
    assert both.per_minute_by_quarter is None  # quarters of whom?
    assert both.per_minute == pytest.approx(60 * 41 / 155)


def test_sides_are_those_of_the_screen() -> None:
    rows = [
        row(1, LEFT),
        row(2, LEFT, swapped=True),  # the left clip of the query stood on the right
        row(3, RIGHT, swapped=True),
        row(4, RIGHT, swapped=True),
        row(5, EQUAL, swapped=True),
        row(6, SKIP),
        row(7, RIGHT),
        row(8, None, query_id="q7", voids_seq=7),
    ]
    assert [as_displayed(label) for label in current(rows)] == [LEFT, RIGHT, LEFT, LEFT, EQUAL, SKIP]
    assert choice_mix(current(rows)) == {"left": 3, "right": 1, "equal": 1, "skip": 1}
    found = on_screen([rows])
    assert found is not None
    assert found.left == share_of(3, 4)
    with pytest.raises(ValueError, match="undoing row 8"):
        as_displayed(rows[-1])


def test_time_on_screen_is_the_median_of_what_counts() -> None:
    rows = [row(n, LEFT, n, ms_on_screen=ms) for n, ms in enumerate((1000, 2000, 4000, 90_000))]
    rows.append(row(4, None, 5, query_id="q3", voids_seq=3))
    found = on_screen([rows])
    assert found is not None
    assert found.median_seconds == 2.0


def test_who_answers_without_a_screen_has_no_figures_of_one() -> None:
    teacher = rows_every([0, 1, 0], ms_on_screen=0, labeler="teacher:oracle")
    assert on_screen([teacher]) is None
    assert on_screen([]) is None
    people = rows_every([5])
    assert on_screen([teacher, people]) == on_screen([people])


def test_histograms_hold_every_value() -> None:
    assert histogram([], 0, 0) == [0] * N_STRETCHES
    assert histogram([7, 7], 7, 7) == [2] + [0] * (N_STRETCHES - 1)
    counts = histogram([0, 9, 10, 599, 600], 0, 600)
    assert {n: count for n, count in enumerate(counts) if count} == {0: 2, 1: 1, N_STRETCHES - 1: 2}


def test_nothing_answered_gives_zeros_and_none() -> None:
    found = label_statistics([], {}, {}, {})
    assert (found.n_answers, found.labelers, found.on_screen, found.span_seconds) == (0, [], None, 0)
    assert found.n_by_choice == {"left": 0, "right": 0, "equal": 0, "skip": 0}
    assert (found.agreement.alpha, found.repeated.share) == (None, None)


def label(label_id: str, query_id: str, labeler: str, choice: Choice, second: int = 0, **changes: Any) -> Label:
    times = {"shown_at_utc_ms": 1000 * second, "answered_at_utc_ms": 1000 * second + 2000, "ms_on_screen": 2000}
    return Label(label_id=label_id, query_id=query_id, labeler=labeler, choice=choice, **{**times, **changes})


def test_summarize_reads_a_store(tmp_path: Path) -> None:
    with Store(tmp_path / "labels.sqlite") as store:
        store.add_queries([query("a", 0, 1, 100), query("b", 2, 3, 600), query("a-again", 0, 1, 600)])
        with store.writing() as db:
            db.execute("INSERT INTO repeats (query_id, of_query_id, labeler) VALUES ('a-again', 'a', 'Ann')")
        imported = [label("i1", "x", "Ann", LEFT, swapped=True), label("i2", "x", "Old", RIGHT)]
        store.add_imported("runs/before", [query("x", 8, 9, 9_000)], imported)
        store.add_labels(
            [
                label("1", "a", "Ann", LEFT, 0),
                label("2", "b", "Ann", EQUAL, 10),
                label("3", "a-again", "Ann", LEFT, 20, swapped=True),
                label("4", "a", "Bob", LEFT, 20, swapped=True),
                label("5", "b", "teacher:oracle", RIGHT, 30, ms_on_screen=0),
            ]
        )
        store.undo("2", "undo-2", "Ann", undone_at_utc_ms=14_000)
        store.add_labels([label("6", "b", "Ann", RIGHT, 15)])
    with Store.open_read_only(tmp_path / "labels.sqlite") as store:
        found = summarize(store)
    assert json.loads(json.dumps(found)) == found
    assert {key: found[key] for key in ("n_answers", "n_undone", "n_repeats", "span_seconds", "last_step")} == {
        "n_answers": 7,
        "n_undone": 1,
        "n_repeats": 1,
        "span_seconds": 30.0,
        "last_step": 600,
    }
    assert found["n_by_choice"] == {"left": 1, "right": 6, "equal": 0, "skip": 0}
    assert found["imported"] == [{"source": "runs/before", "n_answers": 2}]
    assert {n: count for n, count in enumerate(found["by_step"]) if count} == {10: 2, N_STRETCHES - 1: 3}
    ann, bob, teacher = found["labelers"]
    assert [each["labeler"] for each in found["labelers"]] == ["Ann", "Bob", "teacher:oracle"]
    assert (ann["n_answers"], ann["n_undone"], ann["repeated"]["n"], ann["repeated"]["of"]) == (3, 1, 1, 1)
    assert ann["n_by_choice"] == {"left": 1, "right": 2, "equal": 0, "skip": 0}
    # Answers at 2, 12 (undone at 14), 17 and 22 s: two that count in 20 s of gaps.
    assert ann["on_screen"]["per_minute"] == pytest.approx(60 * 2 / 20)
    assert ann["on_screen"]["left"]["share"] == pytest.approx(1 / 3)
    assert {n: count for n, count in enumerate(ann["by_time"]) if count} == {0: 1, 30: 1, 40: 1}
    assert (bob["n_answers"], bob["with_others"]["n"], bob["with_others"]["of"]) == (1, 1, 1)
    assert (teacher["on_screen"], teacher["with_others"]["n"]) == (None, 1)
    assert (found["agreement"]["n_queries"], found["agreement"]["alpha"]) == (2, 1.0)
    assert found["agreement"]["pairs"][0]["first"] == "Ann"
