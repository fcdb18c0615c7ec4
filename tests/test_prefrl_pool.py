"""Exact clip boundaries on observations that count."""

from collections.abc import Sequence

import numpy as np
import pytest

from prefrl.pool import Cuts, Layout, Pool


def counting_pool(capacity: int, lengths: Sequence[int], n_stack: int = 1, n_steps: int | None = None) -> Pool:
    """One env whose observation is its step since the run began, in episodes of these lengths."""
    shape: tuple[int, ...] = (n_stack, 1, 1) if n_stack > 1 else (1,)
    layout = Layout(shape, np.uint8, (), np.int64, (1,), np.int64, n_stack)
    pool = Pool(layout, 1, capacity)
    t = 0
    for episode, length in enumerate(lengths):
        for k in range(length):
            if n_steps is not None and t == n_steps:
                return pool
            # A stack holds 200 where its plane lies before the episode's first.
            planes = [t - i if k - i >= 0 else 200 for i in range(n_stack - 1, -1, -1)]
            obs = np.array(planes, np.uint8).reshape(1, *shape)
            pool.add(
                obs,
                np.array([t]),
                np.array([t * 0.5], np.float32),
                np.array([[t]]),
                np.array([episode]),
                np.array([k]),
            )
            t += 1
    return pool


def starts(pool: Pool, clip_steps: int, recent: int | None = None) -> set[int]:
    cuts = pool.sample(3000, clip_steps, np.random.default_rng(0), recent)
    return set(cuts.starts.tolist())


def test_every_start_that_fits_in_an_episode_is_drawn_and_no_other() -> None:
    pool = counting_pool(100, [5, 3, 7])
    # Episodes are 0-4, 5-7, 8-14; clips of 4 steps fit at 0, 1 and 8 to 11, the last start included.
    assert starts(pool, 4) == {0, 1, 8, 9, 10, 11}
    assert starts(pool, 3) == {0, 1, 2, 5, 8, 9, 10, 11, 12}


def test_an_episode_as_long_as_the_clip_gives_exactly_one() -> None:
    assert starts(counting_pool(100, [4]), 4) == {0}


def test_a_ring_that_has_gone_round_gives_only_what_it_still_holds() -> None:
    pool = counting_pool(10, [9, 9, 9])  # holds steps 17 to 26
    assert pool.n_steps == 10
    assert starts(pool, 4) == {18, 19, 20, 21, 22, 23}
    cuts = Cuts(np.array([0]), np.array([20]))
    assert pool.obs(cuts, 4).ravel().tolist() == [20, 21, 22, 23]
    assert pool.actions(cuts, 4).tolist() == [[20, 21, 22, 23]]
    assert pool.env_rewards(cuts, 4).tolist() == [[10.0, 10.5, 11.0, 11.5]]
    views = pool.views(cuts, 4)
    assert views is not None
    assert views.ravel().tolist() == [20, 21, 22, 23]
    episodes, steps_in = pool.episode_of(cuts)
    assert (episodes.tolist(), steps_in.tolist()) == ([2], [2])


def test_recent_steps_leave_the_older_ones_out() -> None:
    assert starts(counting_pool(100, [30]), 4, recent=6) == {24, 25, 26}


def test_no_clip_at_all_is_an_error_that_says_so() -> None:
    with pytest.raises(ValueError, match="at least 6 steps of one episode"):
        starts(counting_pool(100, [5, 5]), 6)


def test_recent_returns_are_those_of_all_clips_that_may_be_drawn_and_never_cross_a_reset() -> None:
    # The step at t pays t / 2; clips of 4 steps from s pay (4 s + 6) / 2 = 2 s + 3.
    pool = counting_pool(100, [5, 3, 7])
    assert pool.recent_returns(4, 100).tolist() == [3, 5, 19, 21, 23, 25]  # from 0, 1, 8, 9, 10, 11
    assert pool.recent_returns(4, 6).tolist() == [21, 23, 25]  # from 9, 10, 11 among the last 6 steps
    assert pool.recent_returns(7, 6).tolist() == [38.5]  # no clip among them, so among all: from 8, 8/2 + ... + 14/2
    assert pool.recent_returns(8, 100).tolist() == []


def test_recent_returns_of_a_ring_that_has_gone_round() -> None:
    pool = counting_pool(10, [9, 9, 9])  # holds steps 17 to 26
    assert pool.recent_returns(4, 100).tolist() == [2 * s + 3 for s in range(18, 24)]
    cuts = Cuts(np.zeros(6, np.int64), np.arange(18, 24))
    np.testing.assert_array_equal(pool.recent_returns(4, 100), pool.env_rewards(cuts, 4).sum(axis=1))


def test_recent_returns_of_several_environments_are_their_own() -> None:
    pool = Pool(Layout((1,), np.float32, (), np.int64, None, np.int64, 1), 2, 50)
    for t in range(6):
        pool.add(
            np.zeros((2, 1), np.float32),
            np.zeros(2, np.int64),
            np.array([1, 10**t], np.float32),
            None,
            np.array([0, t // 3]),
            np.array([t, t % 3]),
        )
    # The first env plays one episode of 6 steps, the second two of 3 that pay 1, 10, 100 and 1,000, 10,000, 100,000.
    assert sorted(pool.recent_returns(3, 50).tolist()) == [3, 3, 3, 3, 111, 111_000]


def test_recent_returns_of_equal_rewards_are_equal_to_the_bit() -> None:
    pool = Pool(Layout((1,), np.float32, (), np.int64, None, np.int64, 1), 1, 500)
    for t in range(400):
        pool.add(np.zeros((1, 1)), np.zeros(1), np.full(1, 0.1, np.float32), None, np.zeros(1, np.int64), np.array([t]))
    assert len(set(pool.recent_returns(37, 400).tolist())) == 1


def test_stacks_come_back_as_the_learner_saw_them_from_planes_stored_once() -> None:
    pool = counting_pool(100, [5, 5], n_stack=3)
    cuts = Cuts(np.array([0, 0, 0]), np.array([5, 6, 2]))
    planes = pool.obs(cuts, 3)[..., 0, 0]  # (3, T + 2)
    assert planes.tolist() == [[200, 200, 5, 6, 7], [200, 5, 6, 7, 8], [0, 1, 2, 3, 4]]


def test_a_rollout_across_a_reset_has_the_stacks_of_both_episodes() -> None:
    pool = counting_pool(100, [5, 5], n_stack=3)
    stacks = pool.stacks(0, 4)[..., 0, 0]  # steps 6 to 9
    assert stacks.tolist() == [[200, 5, 6], [5, 6, 7], [6, 7, 8], [7, 8, 9]]
    across = counting_pool(100, [5, 5], n_stack=3, n_steps=7).stacks(0, 4)[..., 0, 0]
    assert across.tolist() == [[1, 2, 3], [2, 3, 4], [200, 200, 5], [200, 5, 6]]


def test_stack_prefixes_survive_as_long_as_their_episode_and_no_longer() -> None:
    pool = counting_pool(6, [4] * 20, n_stack=3)
    assert starts(pool, 4) == {76}
    assert pool.obs(Cuts(np.array([0]), np.array([76])), 4).ravel().tolist() == [200, 200, 76, 77, 78, 79]
    assert len(pool._prefixes[0]) <= 3


def test_memory_is_allocated_once_and_a_plane_is_stored_once() -> None:
    layout = Layout((4, 84, 84), np.uint8, (), np.int64, None, np.uint8, 4)
    assert layout.step_bytes == 84 * 84 + 8 + 16
    pool = Pool(layout, 2, 10)
    before = pool._obs
    for t in range(25):
        pool.add(
            np.zeros((2, 4, 84, 84), np.uint8),
            np.zeros(2, np.int64),
            np.zeros(2, np.float32),
            None,
            np.zeros(2, np.int64),
            np.full(2, t),
        )
    assert pool._obs is before
    assert pool._obs.nbytes == 2 * 10 * 84 * 84


def test_planes_that_have_been_overwritten_are_in_no_clip() -> None:
    pool = counting_pool(20, [50], n_stack=4)  # holds steps 30 to 49, and of 30 to 32 not all planes
    first = min(starts(pool, 5))
    assert first == 33
    assert pool.obs(Cuts(np.array([0]), np.array([first])), 5).ravel().tolist() == list(range(30, 38))


def test_whether_a_clip_can_be_cut() -> None:
    pool = counting_pool(100, [5, 3])
    assert pool.can_cut(5)
    assert not pool.can_cut(6)


def test_how_many_different_clips_may_be_drawn() -> None:
    pool = counting_pool(100, [5, 3, 7])
    assert pool.n_clips(4, 100) == len(starts(pool, 4)) == 6
    assert pool.n_clips(4, 4) == 1
    assert pool.n_clips(7, 6) == len(starts(pool, 7, recent=6)) == 1  # none among the newest, so among all
    assert pool.n_clips(8, 100) == 0
