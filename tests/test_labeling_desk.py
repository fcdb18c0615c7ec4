"""The desk: who is offered what, what an answer on the screen means, what an undo does, what is asked again."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from labeling import clocks
from labeling.choice import Choice
from labeling.desk import REPEAT_AFTER, Desk, NotOffered, Offer
from labeling.store import Label, Query, Store, StoreError


def clip_id(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def query(number: int) -> Query:
    return Query(
        query_id=f"q{number}",
        clip_ids=(clip_id(2 * number), clip_id(2 * number + 1)),
        asked_at_step=100 * number,
        round=0,
        strategy="uniform",
        is_random=True,
    )


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "labels.sqlite") as opened:
        opened.add_queries([query(i) for i in range(40)], answers_wanted=1)
        yield opened


def desk_at(store: Store, **settings: float) -> Desk:
    settings = {"repeat_share": 0.0, **settings}
    return Desk(store, is_drawn=lambda _: True, rng=np.random.default_rng(0), **settings)


def answer(desk: Desk, labeler: str, offer: Offer, choice: Choice = Choice.LEFT, at: int = 0) -> int:
    return desk.answer(
        labeler,
        label_id=f"{labeler}:{offer.query_id}:{at}",
        query_id=offer.query_id,
        choice=choice,
        shown_at_utc_ms=at,
        answered_at_utc_ms=at,
        ms_on_screen=0,
    )


def test_queries_are_offered_once_and_in_order(store: Store) -> None:
    desk = desk_at(store)
    assert [o.query_id for o in desk.offers("ann", 3)] == ["q0", "q1", "q2"]
    assert [o.query_id for o in desk.offers("bob", 2)] == ["q3", "q4"]
    assert [o.query_id for o in desk.offers("ann", 2, hold=["q0", "q1", "q2"])] == ["q5", "q6"]


def test_what_somebody_holds_is_offered_to_them_again_with_the_same_sides(store: Store) -> None:
    first = desk_at(store).offers("ann", 8)
    with Store(store._path) as again:
        assert desk_at(again).offers("ann", 8) == first
    assert {o.swapped for o in first} == {False, True}
    for offer in first:
        number = int(offer.query_id[1:])
        sides = (clip_id(2 * number), clip_id(2 * number + 1))
        assert (offer.left_clip, offer.right_clip) == (sides[::-1] if offer.swapped else sides)


def test_an_answer_is_stored_in_the_querys_own_order(store: Store) -> None:
    desk = desk_at(store)
    for offer in desk.offers("ann", 8):
        answer(desk, "ann", offer, Choice.LEFT)
    stored = store.current_labels()
    assert len(stored) == 8
    assert [x.choice for x in stored] == [Choice.RIGHT if x.swapped else Choice.LEFT for x in stored]


def test_a_query_is_not_given_to_more_people_than_are_wanted(tmp_path: Path) -> None:
    with Store(tmp_path / "two.sqlite") as store:
        store.add_queries([query(0)], answers_wanted=2)
        desk = desk_at(store)
        (for_ann,) = desk.offers("ann", 5)
        (for_bob,) = desk.offers("bob", 5)
        assert desk.offers("cem", 5) == []
        answer(desk, "ann", for_ann)
        assert desk.offers("cem", 5) == []
        assert desk.offers("ann", 5) == []
        answer(desk, "bob", for_bob)
        assert desk.offers("cem", 5) == []
        assert store.waiting() == []


def test_a_lease_that_ran_out_lets_somebody_else_answer_and_a_late_answer_still_counts(store: Store) -> None:
    desk = desk_at(store, lease_seconds=0.001)
    (late,) = desk.offers("ann", 1)
    while True:  # until a millisecond has passed
        (offered,) = desk.offers("bob", 1)
        if offered.query_id == "q0":
            break
    answer(desk, "bob", offered)
    answer(desk, "ann", late)
    assert [(x.query_id, x.labeler) for x in store.current_labels()] == [("q0", "bob"), ("q0", "ann")]


def test_a_lease_that_ran_out_is_renewed_only_where_nobody_took_its_place(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tab that was hidden for longer than a lease wakes, and holds what somebody else has been given meanwhile."""
    now = clocks.monotonic_ms()
    monkeypatch.setattr(clocks, "monotonic_ms", lambda: now)
    desk = desk_at(store)
    held = [offer.query_id for offer in desk.offers("ann", 3)]
    now += 121_000
    assert [offer.query_id for offer in desk.offers("bob", 1)] == ["q0"]
    store.withdraw("q2", "its clip is damaged")
    offers, gone = desk.hand_out("ann", 0, [*held, "q30"])  # the last was never hers
    assert (offers, gone) == ([], ["q0", "q2", "q30"])
    assert [offer.query_id for offer in desk.offers("cem", 2)] == ["q3", "q4"]  # q1 is hers again
    assert desk.hand_out("bob", 0, ["q0"]) == ([], [])
    now += 119_000
    assert desk.hand_out("bob", 0, ["q0"]) == ([], [])
    now += 119_000  # within what was renewed
    assert "q0" not in [offer.query_id for offer in desk.offers("ann", 40)]


def test_what_somebody_cannot_be_shown_is_not_kept_from_others(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    now = clocks.monotonic_ms()
    monkeypatch.setattr(clocks, "monotonic_ms", lambda: now)
    desk = desk_at(store)
    assert [offer.query_id for offer in desk.offers("ann", 1)] == ["q0"]
    for _ in range(7):
        now += 20_000
        offers, gone = desk.hand_out("ann", 1, [], avoid=["q0"])
        assert ([offer.query_id for offer in offers], gone) == (["q1"], [])
    assert [offer.query_id for offer in desk.offers("bob", 1)] == ["q0"]
    assert (desk.n_waiting("ann"), desk.n_waiting("ann", ["q1", "q39"])) == (39, 37)


def test_the_same_label_again_changes_nothing_and_another_one_is_refused(store: Store) -> None:
    desk = desk_at(store)
    (offer,) = desk.offers("ann", 1)
    assert answer(desk, "ann", offer) == answer(desk, "ann", offer) == 1
    with pytest.raises(StoreError, match="already answered this query"):
        answer(desk, "ann", offer, at=1)
    assert len(store.labels_after(0)) == 1


def test_an_answer_to_what_was_never_offered_is_refused(store: Store) -> None:
    desk = desk_at(store)
    (offer,) = desk.offers("ann", 1)
    with pytest.raises(NotOffered, match="'q0' was not put before bob"):
        answer(desk, "bob", offer)
    assert store.labels_after(0) == []


def test_undo_voids_the_newest_label_and_offers_its_query_again(store: Store) -> None:
    desk = desk_at(store)
    first, second = desk.offers("ann", 2)
    answer(desk, "ann", first)
    answer(desk, "ann", second)
    assert desk.undo("ann", "undo-1") == second
    assert desk.undo("ann", "undo-1") == second
    assert [x.query_id for x in store.current_labels()] == ["q0"]
    answer(desk, "ann", second, Choice.EQUAL, at=1)
    assert [x.choice for x in store.current_labels()][1] is Choice.EQUAL
    assert desk.undo("ann", "undo-2", label_id="ann:q0:0") == first
    assert desk.undo("bob", "undo-3") is None
    assert desk.offers("ann", 1)[0] == first
    assert "q0" not in [o.query_id for o in desk.offers("bob", 50)]


def test_withdrawn_and_undrawn_queries_are_not_offered(store: Store) -> None:
    store.withdraw("q0", "its clip is damaged")
    store.withdraw("q0", "for another reason")
    desk = Desk(store, is_drawn=lambda clip: clip != clip_id(3), repeat_share=0.0)
    assert [o.query_id for o in desk.offers("ann", 2)] == ["q2", "q3"]
    assert store.withdrawals() == {"q0": "its clip is damaged"}
    assert len(store.waiting()) == 39
    with pytest.raises(StoreError, match="no query 'q99'"):
        store.withdraw("q99", "why not")


def test_every_fifth_answer_is_asked_for_again_of_the_same_person_alone(store: Store) -> None:
    desk = desk_at(store, repeat_share=0.2)
    order = []
    while offers := desk.offers("ann", 1):
        order.append(offers[0].query_id)
        answer(desk, "ann", offers[0])
    repeats = store.repeats()
    assert len(repeats) == 8  # of 40 answers a fifth
    assert len(set(repeats.values())) == 8
    assert order[:40] == [f"q{i}" for i in range(40)]
    assert order[40:] == list(repeats)
    # A query is repeated only when ten others have come after it.
    assert repeats[order[40]] in order[: 15 - REPEAT_AFTER]
    assert desk.offers("bob", 5) == []
    clips = {q.query_id: q.clip_ids for q in store.queries()}
    assert all(clips[again] == clips[of] for again, of in repeats.items())


def test_tally_counts_what_counts_and_leaves_pauses_out(store: Store) -> None:
    desk = desk_at(store)
    for offer, seconds in zip(desk.offers("ann", 5), (0, 4, 8, 308, 312), strict=True):
        answer(desk, "ann", offer, at=1000 * seconds)
    assert desk.tally("ann").n_answered == 5
    assert desk.tally("ann").per_minute == pytest.approx(15.0)
    desk.undo("ann", "u")
    assert desk.tally("ann").n_answered == 4
    assert desk.tally("bob").per_minute == 0.0


def test_tally_counts_neither_repeats_nor_the_pace_of_labels_from_elsewhere(store: Store) -> None:
    """Of 40 answers asked for 40 are given, not 48; what somebody of the same name did elsewhere is not their pace."""
    elsewhere = [Label(label_id=f"old{i}", query_id=f"old{i}", labeler="ann", choice=Choice.LEFT) for i in range(30)]
    queries = [replace(query(100 + i), query_id=f"old{i}") for i in range(30)]
    store.add_imported("runs/old", queries, elsewhere)
    desk = desk_at(store, repeat_share=0.2)
    n = 0
    while offers := desk.offers("ann", 1):
        answer(desk, "ann", offers[0], at=1_000_000 + 5000 * n)
        n += 1
    assert n == 48  # a fifth of 40 again
    assert desk.tally("ann").n_answered == store.n_own_labels() == 40
    late = [Label(label_id=f"late{i}", query_id=f"late{i}", labeler="ann", choice=Choice.LEFT) for i in range(30)]
    store.add_imported("runs/late", [replace(query(200 + i), query_id=f"late{i}") for i in range(30)], late)
    assert desk.tally("ann").per_minute == pytest.approx(12.0)


def test_writes_together_are_durable_together_and_fail_apart(store: Store) -> None:
    desk = desk_at(store)
    first, second = desk.offers("ann", 2)
    with Store(store._path) as other:
        with store.together():
            answer(desk, "ann", first)
            with contextlib.suppress(StoreError):
                answer(desk, "bob", first)
            answer(desk, "ann", second)
        assert [x.query_id for x in other.current_labels()] == ["q0", "q1"]


def test_what_goes_wrong_in_a_block_of_writes_takes_all_of_it_back(store: Store) -> None:
    desk = desk_at(store)
    (offer,) = desk.offers("ann", 1)

    def answer_and_fail() -> None:
        with store.together():
            answer(desk, "ann", offer)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        answer_and_fail()
    assert store.labels_after(0) == []
    assert [w.n_given for w in store.waiting()] == [0] * 40


def test_data_version_tells_of_others_writes(store: Store) -> None:
    before = store.data_version()
    with Store(store._path) as other:
        other.withdraw("q0", "x")
    assert store.data_version() != before


def test_held_queries_are_told_apart(store: Store) -> None:
    desk_at(store).offers("ann", 2)
    assert [w.query_id for w in store.waiting() if w.is_held] == ["q0", "q1"]


def test_finding_an_open_query_does_not_grow_with_the_answers(store: Store) -> None:
    """The plan must walk the small index of open queries, never the labels or all queries."""
    plan = store._connection.execute(
        "EXPLAIN QUERY PLAN SELECT * FROM waiting WHERE given < wanted AND is_withdrawn = 0"
    )
    assert "waiting_open" in plan.fetchone()[3]


def test_imported_labels_are_marked_and_come_once(tmp_path: Path, store: Store) -> None:
    desk = desk_at(store)
    for offer in desk.offers("ann", 3):
        answer(desk, "ann", offer)
    labels = store.current_labels()
    with Store(tmp_path / "new.sqlite") as new:
        given = [
            Label(label_id=x.label_id, query_id=x.query_id, labeler=x.labeler, choice=x.choice, swapped=x.swapped)
            for x in labels
            if x.choice is not None
        ]
        queries = store.queries()[:3]
        assert new.add_imported("runs/old", queries, given) == 3
        assert new.add_imported("runs/old", queries, given) == 0
        assert new.imports() == dict.fromkeys(["q0", "q1", "q2"], "runs/old")
        assert new.waiting() == []
        # The same person labels here, too: what came from elsewhere is not theirs to undo, nor counts for repeats.
        again = desk_at(new, repeat_share=0.5)
        assert again.undo("ann", "undo") is None
        assert (again.tally("ann").n_answered, new.n_own_labels(), new.counts().n_labels) == (0, 0, 3)
