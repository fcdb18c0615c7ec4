"""The desk and its store against a plain dictionary: answers, retries, undos, leases that run out, restarts."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from crashes import trials
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from stores import make_query

from labeling import backups, clocks
from labeling.choice import Choice, swapped
from labeling.desk import Desk
from labeling.store import Store, StoreError

QUERIES, PEOPLE = [f"q{number}" for number in range(4)], ["Ann", "Bob", "Cem"]
WANTED, LEASE_MS = 2, 60_000
N_STEPS = 50
steps = 0


class DeskMachine(RuleBasedStateMachine):
    """What is sent to the desk, and beside it what must come of it."""

    def __init__(self) -> None:
        super().__init__()
        in_memory = Path("/dev/shm")  # noqa: S108  # the disk is of no concern here
        self.folder = Path(tempfile.mkdtemp(dir=in_memory if in_memory.is_dir() else None))
        self.now, self.boot = 1_000_000, 1
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(clocks, "monotonic_ms", lambda: self.now)
        self.patch.setattr(clocks, "boot_id", lambda: f"boot {self.boot}")
        self.patch.setattr(backups, "EVERY_LABELS", 5)
        self.open()
        self.store.add_queries([make_query(number) for number in range(len(QUERIES))], answers_wanted=WANTED)
        self.rows: dict[str, tuple[str, str, Choice | None, str | None]] = {}
        """By label id, in the order stored: query, labeler, choice as on the screen, label voided."""
        self.answered: dict[tuple[str, str], str] = {}
        """The label that counts, by query and labeler."""
        self.leases: dict[tuple[str, str], int] = {}
        """When each runs out."""

    def open(self) -> None:
        self.store = Store(self.folder / "labels.sqlite")
        self.desk = Desk(
            self.store,
            is_drawn=lambda _: True,
            repeat_share=0.0,
            lease_seconds=LEASE_MS / 1000,
            rng=np.random.default_rng(0),
        )

    def is_leased(self, query: str, person: str) -> bool:
        return self.leases.get((query, person), -1) >= self.now

    def n_given(self, query: str) -> int:
        return sum(asked == query for asked, _ in self.answered)

    def is_open_to(self, query: str, person: str) -> bool:
        others = sum(self.is_leased(query, other) for other in PEOPLE if other != person)
        given = self.n_given(query)
        if given >= WANTED or (query, person) in self.answered:
            return False
        return self.is_leased(query, person) or given + others < WANTED

    @rule(person=st.sampled_from(PEOPLE), n=st.integers(1, 3))
    def ask(self, person: str, n: int) -> None:
        """The oldest open queries come, those held already first."""
        expected = [query for query in QUERIES if self.is_open_to(query, person)]
        expected.sort(key=lambda query: not self.is_leased(query, person))
        offers = self.desk.offers(person, n)
        assert [offer.query_id for offer in offers] == expected[:n]
        for offer in offers:
            self.leases[offer.query_id, person] = self.now + LEASE_MS

    @rule(person=st.sampled_from(PEOPLE), queries=st.sets(st.sampled_from(QUERIES)))
    def hold(self, person: str, queries: set[str]) -> None:
        """What is theirs still stays so, what is not any more is said to be gone."""
        kept = {query for query in queries if (query, person) in self.leases and self.is_open_to(query, person)}
        assert self.desk.hand_out(person, 0, sorted(queries)) == ([], sorted(queries - kept))
        for query in kept:
            self.leases[query, person] = self.now + LEASE_MS

    @rule(
        person=st.sampled_from(PEOPLE),
        query=st.sampled_from(QUERIES),
        number=st.integers(0, 9),
        choice=st.sampled_from(Choice),
    )
    def answer(self, person: str, query: str, number: int, choice: Choice) -> None:
        """A new answer, late ones too; the same once more; or one that breaks a rule."""
        label_id, row = f"l{number}", (query, person, choice, None)

        def send() -> int:
            times = {"shown_at_utc_ms": 0, "answered_at_utc_ms": 0, "ms_on_screen": 0}
            return self.desk.answer(person, label_id=label_id, query_id=query, choice=choice, **times)

        was_offered = (query, person) in self.leases
        is_known = self.rows.get(label_id) == row
        if was_offered and (is_known or (label_id not in self.rows and (query, person) not in self.answered)):
            if not is_known:
                self.rows[label_id] = row
                self.answered[query, person] = label_id
            self.leases[query, person] = 0
            assert send() == 1 + list(self.rows).index(label_id)
        else:
            self.refuse(send)

    @precondition(lambda self: self.rows)
    @rule(person=st.sampled_from(PEOPLE), number=st.integers(0, 5))
    def undo(self, person: str, number: int) -> None:
        """The newest answer of somebody's, once or sent again."""
        label_id = f"u{number}"
        if label_id in self.rows:
            query, *_ = self.rows[label_id]
            if (query, person) not in self.leases:
                self.refuse(lambda: self.desk.undo(person, label_id))
                return
        else:
            own = [given for given in self.rows if given in self.answered.values() and self.rows[given][1] == person]
            if not own:
                assert self.desk.undo(person, label_id) is None
                return
            query = self.rows[own[-1]][0]
            self.rows[label_id] = (query, person, None, own[-1])
            del self.answered[query, person]
        offer = self.desk.undo(person, label_id)
        assert offer is not None
        assert offer.query_id == query
        self.leases[query, person] = self.now + LEASE_MS

    @rule(ms=st.sampled_from([1, LEASE_MS // 2, LEASE_MS + 1]))
    def wait(self, ms: int) -> None:
        self.now += ms

    @rule(is_new_boot=st.booleans())
    def restart(self, is_new_boot: bool) -> None:
        """The process, or the whole machine, whose clock begins anew: no lease of before holds, and none comes back."""
        self.store.close()
        if is_new_boot:
            self.boot, self.now = self.boot + 1, 0
            self.leases = dict.fromkeys(self.leases, -1)
        self.open()

    @invariant()
    def agrees(self) -> None:
        global steps
        steps += 1
        stored = self.store.labels_after(0)
        seqs = {label_id: 1 + place for place, label_id in enumerate(self.rows)}
        found = {
            row.label_id: (row.query_id, row.labeler, self.as_shown(row.choice, row.swapped), row.voids_seq)
            for row in stored
        }
        expected = {
            label_id: (query, person, choice, None if voids is None else seqs[voids])
            for label_id, (query, person, choice, voids) in self.rows.items()
        }
        assert list(found.items()) == list(expected.items())
        assert {row.label_id for row in self.store.current_labels()} == set(self.answered.values())
        waiting = {query.query_id: query.n_given for query in self.store.waiting()}
        assert waiting == {query: self.n_given(query) for query in QUERIES if self.n_given(query) < WANTED}

    @staticmethod
    def as_shown(choice: Choice | None, was_swapped: bool) -> Choice | None:
        return swapped(choice) if was_swapped and choice is not None else choice

    @staticmethod
    def refuse(send: Callable[[], object]) -> None:
        with pytest.raises(StoreError):
            send()

    def teardown(self) -> None:
        self.store.close()
        self.patch.undo()
        shutil.rmtree(self.folder)


@pytest.mark.slow
def test_the_desk_agrees_with_a_dictionary() -> None:
    global steps
    steps = 0
    promised = trials(600, 10_000)
    while steps < promised:
        run_state_machine_as_test(
            DeskMachine,
            settings=settings(
                max_examples=promised // N_STEPS, stateful_step_count=N_STEPS, deadline=None, database=None
            ),
        )
    print(f"{steps} steps, 0 violations")
