"""The queue of people's queries: how many are asked, which are dropped, when the agent waits."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from labeling import clocks
from labeling.choice import Choice
from labeling.desk import Desk
from labeling.store import Query, Store
from prefrl.queue import PeopleQueue


def query(number: int, step: int) -> Query:
    clips = [hashlib.sha256(f"{number}{side}".encode()).hexdigest() for side in "lr"]
    return Query(
        query_id=f"q{number}",
        clip_ids=(clips[0], clips[1]),
        asked_at_step=step,
        round=0,
        strategy="uniform",
        is_random=True,
    )


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "labels.sqlite") as opened:
        yield opened


def queue(store: Store, *, answers_per_query: int = 1, pauses: bool = True) -> PeopleQueue:
    return PeopleQueue(store, size=10, ahead=2, stale_steps=1000, answers_per_query=answers_per_query, pauses=pauses)


@pytest.mark.parametrize(
    ("owed", "left", "asked"), [(0, 99, 2), (-3, 99, 2), (4, 99, 4), (10, 99, 10), (500, 600, 10), (0, 1, 1), (0, 0, 0)]
)
def test_as_many_are_asked_as_the_schedule_owes_within_the_size(store: Store, owed: int, left: int, asked: int) -> None:
    assert queue(store).room(owed, left, 0) == asked


def test_what_waits_already_counts(store: Store) -> None:
    store.add_queries([query(i, 0) for i in range(3)], answers_wanted=1)
    assert queue(store).room(5, 99, 0) == 2
    assert queue(store).room(2, 99, 0) == 0


def test_with_several_answers_per_query_fewer_queries_are_asked_and_the_last_answers_are_not_forgotten(
    store: Store,
) -> None:
    assert queue(store, answers_per_query=3).room(9, 99, 0) == 3
    assert queue(store, answers_per_query=3).room(10, 99, 0) == 4
    store.add_queries([query(0, 0)], answers_wanted=3)
    assert queue(store, answers_per_query=3).room(9, 99, 0) == 2


def test_stale_queries_are_withdrawn_but_not_those_on_a_screen_or_half_answered(store: Store) -> None:
    store.add_queries([query(i, 0) for i in range(2)], answers_wanted=2)
    store.add_queries([query(2, 0), query(3, 500)], answers_wanted=2)
    desk = Desk(store, is_drawn=lambda _: True, repeat_share=0.0)
    first, _ = desk.offers("ann", 2)
    desk.answer(
        "ann",
        label_id="a",
        query_id=first.query_id,
        choice=Choice.LEFT,
        shown_at_utc_ms=0,
        answered_at_utc_ms=0,
        ms_on_screen=0,
    )
    # Of 10 owed 1 + 2 + 2 still wait once q2 is gone: room for 5 answers, rounded up to 3 queries.
    assert queue(store, answers_per_query=2).room(10, 99, 1001) == 3
    assert store.withdrawals() == {"q2": "stale: asked at step 0"}


def test_queries_that_too_few_people_answer_make_room_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.add_queries([query(0, 0)], answers_wanted=2)
    desk = Desk(store, is_drawn=lambda _: True, repeat_share=0.0)
    (offer,) = desk.offers("ann", 1)
    desk.answer(
        "ann",
        label_id="a",
        query_id=offer.query_id,
        choice=Choice.LEFT,
        shown_at_utc_ms=0,
        answered_at_utc_ms=0,
        ms_on_screen=0,
    )
    assert queue(store, answers_per_query=2).room(2, 99, 0) == 1
    assert store.withdrawals() == {}
    later = clocks.monotonic_ms() + 11 * 60_000
    monkeypatch.setattr(clocks, "monotonic_ms", lambda: later)
    assert queue(store, answers_per_query=2).room(2, 99, 0) == 1
    assert store.withdrawals() == {"q0": "stale: too few people to answer it"}
    assert len(store.current_labels()) == 1


def test_a_pair_that_is_on_a_screen_is_neither_stale_nor_abandoned_however_long_it_is_there(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.add_queries([query(0, 0), query(1, 0)], answers_wanted=2)
    desk = Desk(store, is_drawn=lambda _: True, repeat_share=0.0)
    first, second = (offer.query_id for offer in desk.offers("ann", 2))
    desk.offers("bob", 2)
    times = {"shown_at_utc_ms": 0, "answered_at_utc_ms": 0, "ms_on_screen": 0}
    desk.answer("ann", label_id="a", query_id=first, choice=Choice.LEFT, **times)
    now = clocks.monotonic_ms()
    monkeypatch.setattr(clocks, "monotonic_ms", lambda: now)
    for _ in range(70):
        now += 60_000
        desk.offers("bob", 0, hold=[first, second])  # as a page does for as long as it is open
        queue(store, answers_per_query=2).room(2, 99, 1001)
    assert store.withdrawals() == {}
    now += 121_000  # and then it is not
    queue(store, answers_per_query=2).room(2, 99, 1001)
    assert store.withdrawals() == {
        first: "stale: too few people to answer it",
        second: "stale: asked at step 0",
    }


@pytest.mark.parametrize(
    ("owed", "is_untaught", "pauses", "waits"),
    [
        (11, False, True, True),
        (10, False, True, False),
        (1, True, True, True),
        (0, True, True, False),
        (500, True, False, False),
    ],
)
def test_the_agent_waits_when_answers_lag_by_more_than_the_queue(
    store: Store, owed: int, is_untaught: bool, pauses: bool, waits: bool
) -> None:
    assert queue(store, pauses=pauses).is_starved(owed, is_untaught=is_untaught) is waits
