"""A strategy is judged by the random share of the rounds it picked in."""

import json
import re
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from labeled import make_clip, make_label, make_query, make_run

from labeling.choice import Choice
from labeling.label import Query
from labeling.store import Store
from prefrl.judge_queries import judge
from prefrl.report_data import ReportData
from prefrl.report_run import report_run
from prefrl.report_strategies import strategies
from prefrl.rundir import RunDir

CLIPS = (make_clip(1), make_clip(2))
LETTERS = {choice.value[0]: choice for choice in Choice}


def put(store: Store, round_: int, strategy: str, is_random: bool, choices: str, scores: Any = None) -> list[Query]:
    """Queries of one round and kind, one for each letter; a dot is no answer."""
    first = len(store.queries())
    queries = [
        make_query(
            first + i, CLIPS, round=round_, strategy=strategy, is_random=is_random, score=scores[i] if scores else None
        )
        for i in range(len(choices))
    ]
    store.add_queries(queries)
    store.add_labels(
        [
            make_label(f"a{q.query_id}", q.query_id, "ann", LETTERS[letter])
            for q, letter in zip(queries, choices, strict=True)
            if letter != "."
        ]
    )
    return queries


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Round 0 before any fit, rounds 1 and 2 of disagreement, round 3 of bald."""
    store = Store(tmp_path / "labels.sqlite")
    put(store, 0, "uniform", True, "eeee")
    put(store, 0, "uniform", False, "ssss")
    put(store, 1, "uniform", True, "le")
    put(store, 1, "disagreement", False, "lres.", [0.1, 0.2, 0.3, 0.2, 9.0])
    put(store, 2, "uniform", True, "rs")
    put(store, 2, "disagreement", False, "ll", [0.1, 0.3])
    put(store, 3, "bald", False, "r", [0.5])
    return store


def figures(asked: dict[str, Any]) -> tuple[Any, ...]:
    ties, skips = ((asked[kind]["n"], asked[kind]["of"]) for kind in ("ties", "skips"))
    return asked["n_queries"], asked["n_answers"], ties, skips, asked["mean_score"]


def test_picked_pairs_stand_beside_the_random_share_of_the_same_rounds(store: Store) -> None:
    with store:
        found = judge(store)
    assert [x["strategy"] for x in found] == ["disagreement", "bald"]
    # The one that nobody answered has no part in the mean: (.1 + .2 + .3 + .2 + .1 + .3) / 6.
    assert figures(found[0]["picked"]) == (7, 6, (1, 6), (1, 6), pytest.approx(0.2))
    assert figures(found[0]["random"]) == (4, 4, (1, 4), (1, 4), None)
    assert figures(found[1]["picked"]) == (1, 1, (0, 1), (0, 1), 0.5)
    assert figures(found[1]["random"]) == (0, 0, (0, 0), (0, 0), None)
    assert json.loads(json.dumps(found)) == found


def test_undone_answers_repeats_and_other_runs_have_no_part(store: Store) -> None:
    with store:
        before = judge(store)
        (query,) = put(store, 2, "disagreement", False, "e", [0.7])
        store.undo(f"a{query.query_id}", "undo", "ann")
        put(store, 2, "repeat", False, "e")
        with store.writing() as db:
            db.execute(
                "INSERT INTO repeats (query_id, of_query_id, labeler) VALUES (?, 'q0', 'ann')",
                (store.queries()[-1].query_id,),
            )
        other = make_query(99, CLIPS, query_id="other:q99", round=2, strategy="entropy", is_random=False, score=0.4)
        store.add_imported("other", [other], [make_label("other:a", "other:q99", "eve", Choice.EQUAL)])
        after = judge(store)
    assert after[0]["picked"].pop("n_queries") == before[0]["picked"].pop("n_queries") + 1
    assert after == before


def test_a_run_of_uniform_pairs_has_nothing_to_compare(tmp_path: Path) -> None:
    with Store(tmp_path / "labels.sqlite") as store:
        put(store, 1, "uniform", True, "le")
        put(store, 1, "uniform", False, "lr")
        assert judge(store) == []


def text(html: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", html)).split())


def test_the_report_shows_both_kinds(store: Store) -> None:
    with store:
        shown = strategies(ReportData("x", {}, {}, strategies=judge(store)))
    assert shown is not None
    words = text(shown)
    for expected in (
        "Pairs Asked Answers Ties Skips",
        "picked by disagreement 7 mean score 0.2 6 17% 3% to 56% 17% 3% to 56%",
        "taken at random 4 4 25% 5% to 70% 25% 5% to 70%",
        "picked by bald 1 mean score 0.5 1 0% 0% to 79% 0% 0% to 79%",
        "taken at random 0 0 – –",
    ):
        assert expected in words, expected
    assert strategies(ReportData("x", {}, {})) is None


def test_a_runs_report_has_the_section(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", labeled=False)
    with Store(folder / "labels.sqlite") as store:
        put(store, 1, "uniform", True, "le")
        put(store, 1, "k_center", False, "lr", [0.1, 0.2])
    (folder / "result.json").write_text("{}", encoding="utf-8")
    report_run(RunDir(folder), tmp_path / "report.html")
    words = text((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert "picked by k_center 2 mean score 0.15 2 0%" in words
