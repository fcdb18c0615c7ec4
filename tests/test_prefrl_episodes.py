"""Returns of episodes: the learned one beside the env's own, and which of them one fit alone has scored."""

import warnings

import faulty_games  # noqa: F401  # registers FaultyGame-v0
import games  # noqa: F401  # registers its games
import numpy as np
import pytest
from numpy.typing import NDArray

import prefrl
from prefrl import game_process, worlds
from prefrl.episodes import EpisodeReturns
from prefrl.guard import EpisodeEnd, Guard
from prefrl.world import World


def ones(n_steps: int, n_envs: int = 1) -> NDArray[np.float32]:
    return np.ones((n_steps, n_envs), np.float32)


def means(world: World, n_rollouts: int, n_steps: int) -> list[tuple[float, float] | None]:
    """After each rollout, where the learned reward is the env's own."""
    guard = Guard(world.venv, note_ends=True)
    guard.reset()
    episodes = EpisodeReturns(guard.num_envs)
    found = []
    for _ in range(n_rollouts):
        rewards = [guard.step(np.zeros(guard.num_envs, np.int64))[1] for _ in range(n_steps)]
        episodes.add_rollout(np.array(rewards, np.float32), guard.take_ends(), fit=1)
        found.append(episodes.recent_means())
    world.venv.close()
    return found


def test_an_episode_that_the_clock_cut_adds_nothing_to_the_next() -> None:
    config = prefrl.default_config("LivesGame-v0", world={"own_process": False})
    found = means(worlds.make_world(config, n_envs=4, seed=0, views=False), n_rollouts=20, n_steps=64)
    assert len(set(found)) == 20
    for pair in found:
        assert pair is not None
        assert pair[0] == pair[1]


@pytest.mark.skipif(not game_process.is_available(), reason="games have their own process on Linux only")
def test_an_episode_that_was_lost_with_its_process_adds_nothing_to_the_next() -> None:
    # In copy 0 the first episode begins at 8, and no other at all: lost at step 13, of 20.
    seed = next(s for s in range(100) if np.random.default_rng(s).integers(10) == 8)
    world = {"env_kwargs": ["fault:exit", "at:13", "start:8"], "restarts": 3}
    config = prefrl.default_config("FaultyGame-v0", world=world)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = means(worlds.make_world(config, n_envs=1, seed=seed, views=False), n_rollouts=1, n_steps=40)
    assert len([w for w in said if "started again" in str(w.message)]) == 1
    assert found == [(-210.0, -210.0)]  # 13 steps are lost; of those after them 20 are an episode: -1, -2, ... -20


def test_rewards_before_between_and_after_ends_go_where_they_belong() -> None:
    episodes = EpisodeReturns(1)
    episodes.add_rollout(ones(4), [EpisodeEnd(0, 2, 10.0)], fit=1)
    assert episodes.recent_means() == (10.0, 3.0)
    episodes.add_rollout(ones(4), [EpisodeEnd(0, 5, None), EpisodeEnd(0, 6, 20.0)], fit=1)
    assert episodes.recent_means() == (15.0, 2.0)  # 3 and 1: the 3 steps that were cut are in neither
    episodes.add_rollout(ones(4), [EpisodeEnd(0, 11, 30.0)], fit=1)
    assert episodes.recent_means() == (20.0, 3.0)  # 3, 1 and 5


def scored(fits: list[int]) -> EpisodeReturns:
    """Two environments with episodes of 6 and of 4 steps; each rollout of 4 is scored by its fit, which pays that."""
    episodes = EpisodeReturns(2)
    ends = [
        EpisodeEnd(env, step, 0.0) for step in range(4 * len(fits)) for env in (0, 1) if not (step + 1) % (6, 4)[env]
    ]
    for i, fit in enumerate(fits):
        now = [end for end in ends if 4 * i <= end.step < 4 * (i + 1)]
        episodes.add_rollout(ones(4, 2) * fit, now, fit)
    return episodes


@pytest.mark.parametrize(
    ("fits", "wanted"),
    [
        ([0], None),  # nothing has been learned
        ([1], 4.0),
        ([1, 1], (6 + 4 + 4) / 3),
        ([1, 2], 8.0),  # of the longer, the first was begun under the fit before
        ([1, 2, 2], (8 + 8 + 12) / 3),
        ([1, 1, 1, 2], 8.0),  # that of step 12, which both begin with
        ([1, 1, 1, 2, 2], (8 + 8 + 12) / 3),
    ],
)
def test_what_one_fit_alone_has_scored(fits: list[int], wanted: float | None) -> None:
    assert scored(fits).mean_of_fit() == (None if wanted is None else pytest.approx(wanted))


def test_after_a_new_fit_there_is_no_mean_before_an_episode_has_ended_that_it_scored_whole() -> None:
    episodes = EpisodeReturns(1)
    episodes.add_rollout(ones(4), [EpisodeEnd(0, 1, 0.0)], fit=1)
    assert episodes.mean_of_fit() == 2.0
    episodes.add_rollout(ones(4), [EpisodeEnd(0, 5, 0.0)], fit=2)
    assert episodes.mean_of_fit() is None
    assert episodes.recent_means() == (0.0, 3.0)  # the curve goes on over both: 2 and 4
    episodes.add_rollout(ones(4), [EpisodeEnd(0, 10, 0.0)], fit=2)
    assert episodes.mean_of_fit() == 5.0


def test_it_goes_on_from_its_state() -> None:
    one, other = scored([1, 2, 2]), EpisodeReturns(2)
    other.put_state({name: value.copy() if hasattr(value, "copy") else value for name, value in one.state().items()})
    for episodes in (one, other):
        episodes.add_rollout(ones(4, 2), [EpisodeEnd(0, 13, 1.0), EpisodeEnd(1, 15, 2.0)], fit=2)
    assert one.mean_of_fit() == other.mean_of_fit()
    assert one.recent_means() == other.recent_means()


def test_the_state_of_an_older_checkpoint_is_read_and_the_mean_begins_anew() -> None:
    state = {name: value for name, value in scored([3, 3]).state().items() if name in ("running", "n_steps", "recent")}
    episodes = EpisodeReturns(2)
    episodes.put_state(state)
    assert episodes.mean_of_fit() is None
    assert episodes.recent_means() == pytest.approx((0.0, (18 + 12 + 12) / 3))
    episodes.add_rollout(ones(4, 2) * 3, [EpisodeEnd(0, 11, 0.0), EpisodeEnd(1, 11, 0.0)], fit=3)
    assert episodes.mean_of_fit() is None  # nobody knows who scored what these began with
    assert episodes.recent_means() == pytest.approx((0.0, (18 + 12 + 12 + 18 + 12) / 5))
    episodes.add_rollout(ones(4, 2) * 3, [EpisodeEnd(1, 15, 0.0)], fit=3)
    assert episodes.mean_of_fit() == 12.0
