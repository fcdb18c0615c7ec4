"""The report says who answered, how fast, how evenly and how consistently; what is not known it says in words."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from labeling.choice import Choice
from labeling.label import Label, Query
from labeling.statistics import summarize
from labeling.store import Store
from prefrl import report_answers
from prefrl.report_data import ReportData

HOSTILE = "</section><script>alert(1)</script><img src=x onerror='a()'>\"&{{7*7}}"


def queries(n: int) -> list[Query]:
    return [
        Query(
            query_id=f"q{i}",
            clip_ids=(f"{2 * i:064x}", f"{2 * i + 1:064x}"),
            asked_at_step=1000 * i,
            round=0,
            strategy="uniform",
            is_random=True,
        )
        for i in range(n)
    ]


def labels(name: str, choices: str, *, seconds: int = 5, swapped: str = "", screen: bool = True) -> list[Label]:
    """One label for each letter of `choices`, every so many seconds; sides exchanged where `swapped` has an x."""
    by_letter = {choice.value[0]: choice for choice in Choice}
    return [
        Label(
            label_id=f"{name}-{i}",
            query_id=f"q{i}",
            labeler=name,
            choice=by_letter[letter],
            swapped=swapped[i : i + 1] == "x",
            shown_at_utc_ms=1000 * seconds * i,
            answered_at_utc_ms=1000 * seconds * i + 3000,
            ms_on_screen=3000 if screen else 0,
        )
        for i, letter in enumerate(choices)
    ]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "labels.sqlite")
    store.add_queries(queries(60))
    return store


def page(store: Store, **result: Any) -> str:
    """Both sections as HTML."""
    with store:
        data = ReportData("x", {}, result, answers=summarize(store))
    return "".join(part for draw in (report_answers.answers, report_answers.labelers) if (part := draw(data)))


def text(html: str) -> str:
    """What is read on the page, single-spaced."""
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", html)).split())


def test_two_people_and_a_teacher_are_told_apart(store: Store) -> None:
    store.add_labels(labels("Ann", "l" * 30 + "r" * 10 + "ees"))
    store.add_labels(labels("Bob", "l" * 20 + "r" * 20, seconds=10, swapped="x" * 10))
    store.add_labels(labels("teacher:oracle", "l" * 10, screen=False))
    store.undo("Ann-42", "undo", "Ann", undone_at_utc_ms=214_000)
    words = text(page(store))
    for expected in (
        # 30 + 10 + 10 left and 10 + 20 + 10 right as on the screen.
        "left 54% 50 answers right 43% 40 answers equal 2% 2 answers skip 0% 0 answers",
        "92 answers count; 1 more was undone. Left and right are as they stood on the screen.",
        "By the agent's steps when asked all 92 answers, at most 3 in a bar 0 41,000 steps",
        "Labeler Answers Per minute On screen For the left side Same again Same as others",
        # Ann: 41 answers that count after 5 s each, then 5 s of one undone and 1 s of undoing it: 9 in the last 51 s.
        "Ann 42 1 undone 11.7 12.0 → 12.0 → 12.0 → 10.6 3.0 s 75% 60% to 86% – 80% of 50",
        "Bob 40 6.0 3.0 s 25% 14% to 40% – 80% of 50",
        "teacher:oracle 10 not applicable: answers without a screen – 100% of 20",
        "Pace 8.0 answers a minute by 2 labelers, each after 3.0 s on the screen (median), in 10 min 01 s of answering "
        "without breaks. In small, the pace in each quarter of a labeler's answers.",
        "Sides Ann leans to the left (75% of 40 clear answers for the left side, 95% interval 60% to 86%, which does "
        "not cover 50%), Bob leans to the right (25% of 40 clear answers for the left side, 95% interval 14% to 40%, "
        "which does not cover 50%).",
        "Self-consistency No query was answered twice by the same person: self-consistency is not known.",
        "Agreement 83% of 60 pairs of answers to the same query are the same, over 40 queries. Krippendorff's α is",
        "Ann and Bob 75% of 40, 60% to 86% 0.50",
        "Ann and teacher:oracle 100% of 10, 72% to 100% not defined",
    ):
        assert expected in words, expected


def test_one_person_at_the_window(store: Store) -> None:
    store.add_labels(labels("window", "lrlrlrlr"))
    words = text(page(store))
    for expected in (
        "8 answers count. Left and right are as they stood on the screen.",
        "Pace 12.0 answers a minute, each after 3.0 s on the screen (median), in 35.0 s of answering without breaks.",
        "Sides No lean shows: the 95% interval covers 50%, which is what clips on random sides give.",
        "Agreement No query was answered by two labelers: their agreement is not known.",
    ):
        assert expected in words, expected
    assert "In small" not in words
    assert "Each two" not in words


def test_a_run_labeled_by_the_oracle_has_the_same_sections(store: Store) -> None:
    store.add_labels(labels("teacher:oracle", "lr" * 20, screen=False))
    html = page(store)
    assert re.findall("<h2>(.*?)</h2>", html) == ["Answers", "Labelers"]
    words = text(html)
    for expected in (
        "left 50% 20 answers right 50% 20 answers",
        "40 answers count. By the",
        "teacher:oracle 40 not applicable: answers without a screen – –",
        "Pace Not applicable: nobody answered on a screen. Sides Not applicable: nobody answered on a screen.",
    ):
        assert expected in words, expected
    assert " 0.0 s" not in words


def test_repeated_and_imported_answers_are_said(store: Store) -> None:
    again = Query(
        query_id="again",
        clip_ids=(f"{0:064x}", f"{1:064x}"),
        asked_at_step=0,
        round=0,
        strategy="repeat",
        is_random=False,
    )
    store.add_queries([again])
    with store.writing() as db:
        db.execute("INSERT INTO repeats (query_id, of_query_id, labeler) VALUES ('again', 'q0', 'Ann')")
    store.add_labels(labels("Ann", "ll"))
    store.add_labels([Label(label_id="a", query_id="again", labeler="Ann", choice=Choice.LEFT, ms_on_screen=10)])
    old = Query(
        query_id="old",
        clip_ids=(f"{900:064x}", f"{901:064x}"),
        asked_at_step=0,
        round=0,
        strategy="uniform",
        is_random=True,
    )
    store.add_imported("runs/<before>", [old], [Label(label_id="o", query_id="old", labeler="Old", choice=Choice.LEFT)])
    words = text(page(store))
    assert (
        "4 answers count; of them 1 from runs/<before>, which the figures below leave out; "
        "1 went to a pair put a second time." in words
    )
    assert "100% of 1, 21% to 100% –" in words
    assert "Self-consistency 100% of 1 pair put a second time got the same answer, 95% interval 21% to 100%." in words
    assert "Old" not in words


def test_imported_answers_alone_have_no_labelers(store: Store) -> None:
    old = [Label(label_id="o", query_id="old", labeler="Old", choice=Choice.LEFT)]
    clips = (f"{900:064x}", f"{901:064x}")
    asked = Query(query_id="old", clip_ids=clips, asked_at_step=9, round=0, strategy="uniform", is_random=True)
    store.add_imported("before", [asked], old)
    html = page(store)
    assert re.findall("<h[23]>(.*?)</h[23]>", html) == ["Answers"]
    assert "1 answer counts; of them 1 from before, which the figures below leave out." in text(html)


def test_skips_and_undone_answers_alone_leave_no_figure(store: Store) -> None:
    store.add_labels(labels("Ann", "sss"))
    store.add_labels(labels("Bob", "l"))
    store.undo("Bob-0", "undo", "Bob", undone_at_utc_ms=4000)
    words = text(page(store))
    assert "Ann 3 12.0 3.0 s – – –" in words
    assert "Bob 0 1 undone 0.0 – – – –" in words
    assert "Sides No clear answer was given, so a lean to a side is not known." in words
    assert not re.search(r"\bnan\b|\bNone\b|\binf\b", words)


def test_bars_are_as_high_as_their_counts(store: Store) -> None:
    store.add_labels(labels("Ann", "lll", seconds=0))
    store.add_labels(labels("Bob", "l" * 31, seconds=10)[30:])
    paths = re.findall(r'<path d="(.*?)"', page(store))
    # Steps 0 to 30,000 in 60 parts: queries 0, 1, 2 and 30. Time: three at the start, and the highest bar there is.
    assert paths == [
        "M0 10v-10.00h.82V10zM2 10v-10.00h.82V10zM4 10v-10.00h.82V10zM59 10v-10.00h.82V10z",
        "M0 10v-10.00h.82V10z",
        "M59 10v-3.33h.82V10z",
    ]


def test_the_dot_and_the_band_stand_where_the_share_does(store: Store) -> None:
    store.add_labels(labels("Ann", "lllllrrrrr"))
    html = page(store)
    assert 'class="dot" style="left:50.00%"' in html
    assert 'class="band" style="left:23.66%;width:52.68%"' in html
    assert 'class="track blue"' in html


def test_many_people_are_folded_and_their_pairs_cut(store: Store) -> None:
    for n in range(20):
        store.add_labels(labels(f"Person {n:02}", "lr"))
    html = page(store)
    assert text(html).count("Over time") == 1
    assert "Over time, from the first answer to the last; the 12 who answered most" in html
    assert "<summary>8 more labelers</summary>" in html
    assert html.count('<th scope="row">Person') == 12 + 20
    assert html.count("<bdi>Person 00</bdi>") == 10  # of 190 pairs
    assert "180 more pairs of labelers share fewer queries." in text(html)


def test_names_and_sources_are_only_text(store: Store) -> None:
    store.add_labels(labels(HOSTILE[:60], "l" * 40))
    store.add_labels(labels("'\"><b>", "l" * 40))
    clips = (f"{900:064x}", f"{901:064x}")
    asked = Query(query_id="old", clip_ids=clips, asked_at_step=9, round=0, strategy="uniform", is_random=True)
    store.add_imported(HOSTILE, [asked], [Label(label_id="o", query_id="old", labeler="x", choice=Choice.LEFT)])
    html = page(store)
    assert re.findall("<b>(.*?)</b>", html) == ["left", "right", "equal", "skip"]
    assert "<script" not in html
    assert "<img" not in html
    assert html.count("&lt;script&gt;") >= 5
    assert "&#x27;&quot;&gt;&lt;b&gt; leans to the left" in html


def test_a_run_on_the_score_and_a_run_without_answers(store: Store) -> None:
    assert (
        page(store) == '<section class="card"><h2>Answers</h2><p class="empty">No answers were recorded.</p></section>'
    )
    data = ReportData("x", {}, {"reward": "score"}, answers={"n_answers": 1})
    assert report_answers.answers(data) is None
    assert report_answers.labelers(data) is None
