"""Exploration: states far from others are worth more."""

import numpy as np
import pytest

from prefrl.explore import novelty
from prefrl.pool import Layout, Pool


def pool_of(states: list[list[float]]) -> Pool:
    """Two envs that were in these states, (n_steps, 2)."""
    pool = Pool(Layout((1,), np.float32, (), np.int64, None, np.uint8, 1), 2, 100)
    for t, row in enumerate(states):
        obs = np.array(row, np.float32).reshape(2, 1)
        pool.add(obs, np.zeros(2, np.int64), np.zeros(2, np.float32), None, np.zeros(2, int), np.full(2, t))
    return pool


def test_novelty_is_the_log_distance_to_the_fifth_neighbour_scaled() -> None:
    states = [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0], [6.0, 20.0]]
    flat = np.array(states).ravel()
    scaled = (flat - flat.mean()) / (flat.std() + 1e-3)
    distances = np.sort(np.abs(scaled[:, None] - scaled[None]), axis=1)[:, 5]
    expected = np.log(distances + 1e-3)
    expected = (expected - expected.mean()) / expected.std()
    found = novelty(pool_of(states), 4)
    np.testing.assert_allclose(found, expected.reshape(4, 2), rtol=1e-3)
    assert found.argmax() == 7  # the state that is far from all
    assert float(found.mean()) == pytest.approx(0, abs=1e-5)


def test_only_the_newest_steps_count() -> None:
    states = [[50.0, -50.0], [0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]
    np.testing.assert_array_equal(novelty(pool_of(states), 3), novelty(pool_of(states[1:]), 3))


def test_states_that_are_all_the_same_are_worth_the_same() -> None:
    np.testing.assert_allclose(novelty(pool_of([[1.0, 1.0]] * 4), 4), 0.0, atol=1e-3)


def test_of_stacked_frames_the_newest_of_every_step_counts_whatever_was_reset() -> None:
    rng = np.random.default_rng(0)
    seen = rng.integers(256, size=(9, 2, 3, 4, 4), dtype=np.uint8)  # stacks of 3 planes that have nothing in common
    stacked = Pool(Layout((3, 4, 4), np.uint8, (), np.int64, None, np.uint8, 3), 2, 100)
    flat = Pool(Layout((16,), np.float32, (), np.int64, None, np.uint8, 1), 2, 100)
    for t, stacks in enumerate(seen):
        rest = np.zeros(2, np.int64), np.zeros(2, np.float32), None, np.array([t // 4, 0]), np.array([t % 4, t])
        stacked.add(stacks, *rest)
        flat.add(stacks[:, -1].reshape(2, 16).astype(np.float32), *rest)
    for n_steps in (9, 5, 1):  # the whole run, across a reset, within an episode
        np.testing.assert_array_equal(novelty(stacked, n_steps), novelty(flat, n_steps))
