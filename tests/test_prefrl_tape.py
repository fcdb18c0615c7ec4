"""Tapes of a run: every action of every environment comes back, and memory holds the newest only."""

from __future__ import annotations

import resource
import tracemalloc

import numpy as np
import pytest

from prefrl import tape
from prefrl.tape import Tapes


def given(n_steps: int, n_envs: int = 3) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(n_steps, n_envs, 2)).astype(np.float32)


@pytest.mark.parametrize("n_steps", [1, 1023, 1024, 1025, 5000])
def test_every_action_comes_back_and_may_be_read_in_between(n_steps: int) -> None:
    tapes, actions = Tapes(), given(n_steps + 7)
    tapes.begin([4, None, 6])
    for row in actions[:n_steps]:
        tapes.add(row)
    assert tapes.of(1) is None
    assert tapes.of(3) is None
    for n in (n_steps, n_steps + 7):
        for env, seed in ((0, 4), (2, 6)):
            one = tapes.of(env)
            assert one is not None
            assert one.seed == seed
            np.testing.assert_array_equal(one.actions, actions[:n, env])
        for row in actions[n_steps:][: n + 7 - n_steps if n == n_steps else 0]:
            tapes.add(row)


def test_a_reset_with_seeds_begins_anew() -> None:
    tapes, actions = Tapes(), given(3000)
    tapes.begin([1, 2, 3])
    for row in actions:
        tapes.add(row)
    tapes.begin([7, 8, 9])
    first = tapes.of(2)
    assert first is not None
    assert (first.seed, len(first.actions)) == (9, 0)
    for row in actions[:2000]:
        tapes.add(row)
    one = tapes.of(1)
    assert one is not None
    np.testing.assert_array_equal(one.actions, actions[:2000, 1])


def test_a_hundred_thousand_steps_take_no_more_memory_than_a_thousand() -> None:
    tapes, row = Tapes(), given(1, n_envs=8)[0]
    tapes.begin([0] * 8)
    tracemalloc.start()
    try:
        for _ in range(2048):
            tapes.add(row)
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(100_000):
            tapes.add(row)
        assert tracemalloc.get_traced_memory()[0] - before < 10_000  # where the actions take 6.4 million bytes
    finally:
        tracemalloc.stop()
    one = tapes.of(7)
    assert one is not None
    assert one.actions.shape == (102_048, 2)


def test_where_the_disk_is_full_or_the_run_is_too_long_there_is_no_tape(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tape, "MAX_BYTES", 3 * 1024 * 24)
    tapes = Tapes()
    tapes.begin([1, 2, 3])
    for n, row in enumerate(given(5000)):
        tapes.add(row)
        assert (tapes.of(0) is None) == (n >= 4 * 1024)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024 * 24, hard))  # the limit of a file, as on a full disk
    try:
        tapes.begin([1, 2, 3])
        for row in given(3000):
            tapes.add(row)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert tapes.of(0) is None
    tapes.begin([5, 6, 7])
    tapes.add(given(1)[0])
    assert tapes.of(0) is not None
