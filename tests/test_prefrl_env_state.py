"""Environments go on from a state that was taken, in other instances, as the first would have."""

import json
from typing import Any

import games  # noqa: F401  # registers its games
import numpy as np
import pytest
import stateful_games  # noqa: F401  # registers its games
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv

import prefrl
from prefrl import worlds
from prefrl.env_state import put_envs, take_envs
from prefrl.plain import NotPlain, Packer, unpack
from prefrl.world import World

EXACT = (
    "prefrl/Dot-v0",
    "CartPole-v1",
    "Pendulum-v1",
    "Acrobot-v1",
    "MountainCarContinuous-v0",
    "SlideGame-v0",
    "SlidePictures-v0",
    "TellingWalk-v0",
    "Hopper-v5",
    "HalfCheetah-v5",
    "Ant-v5",
    "Humanoid-v5",
    "InvertedDoublePendulum-v5",
    "Pusher-v5",
    "Swimmer-v5",
    "ALE/Pong-v5",
    "ALE/Freeway-v5",
)


def make(env_id: str, seed: int, **world: Any) -> World:
    config = prefrl.default_config(env_id, device="cpu", world={"frame_size": 42, "default_masks": False, **world})
    views = env_id.startswith(("ALE", "prefrl")) or env_id[-2:] == "v5"
    return worlds.make_world(config, n_envs=3, seed=seed, views=views)


def actions_of(venv: VecEnv, n_steps: int) -> list[NDArray[Any]]:
    venv.action_space.seed(7)
    return [np.array([venv.action_space.sample() for _ in range(venv.num_envs)]) for _ in range(n_steps)]


def played(venv: VecEnv, actions: list[NDArray[Any]]) -> list[Any]:
    """Everything that is seen, as plain Python; the time of day left out."""
    seen: list[Any] = []
    for action in actions:
        obs, rewards, dones, infos = venv.step(action)
        assert isinstance(obs, np.ndarray)
        ends = [{k: v for k, v in info.get("episode", {}).items() if k != "t"} for info in infos]
        views = [np.asarray(info["view"]).tolist() for info in infos if "view" in info]
        seen.append((obs.tobytes(), rewards.tobytes(), dones.tolist(), ends, views))
    return seen


def moved(venv: VecEnv, other: VecEnv, n_recent: int = 0) -> None:
    """Put the state of one into the other, by way of JSON."""
    packer = Packer()
    data = json.loads(json.dumps(packer.pack(take_envs(venv, n_recent), "world")))
    other.reset()
    put_envs(other, unpack(data, packer.arrays))


@pytest.mark.parametrize("env_id", EXACT)
def test_environments_go_on_to_the_bit_and_into_their_next_episodes(env_id: str) -> None:
    limit = [] if "ALE" in env_id else ["max_episode_steps:80"]
    one, other = (make(env_id, seed=seed, env_kwargs=limit) for seed in (1, 2))
    one.venv.reset()
    before = played(one.venv, actions_of(one.venv, 53))
    moved(one.venv, other.venv)
    after = actions_of(one.venv, 153)[53:]
    wanted, found = played(one.venv, after), played(other.venv, after)
    assert [i for i, (a, b) in enumerate(zip(wanted, found, strict=True)) if a != b] == []
    assert len({step[0] for step in before}) > 10  # they did something
    for world in (one, other):
        world.venv.close()


@pytest.mark.slow
@pytest.mark.parametrize("env_id", ["ALE/Breakout-v5", "ALE/Boxing-v5"])
def test_atari_goes_on_with_sticky_actions_and_over_the_ends_of_games(env_id: str) -> None:
    kwargs = ["repeat_action_probability:0.25", "max_num_frames_per_episode:240"]
    one, other = (make(env_id, seed=seed, env_kwargs=kwargs) for seed in (1, 2))
    one.venv.reset()
    actions = actions_of(one.venv, 400)
    before = played(one.venv, actions[:251])
    assert sum(len(end) > 0 for step in before for end in step[3]) > 5
    moved(one.venv, other.venv)
    assert played(one.venv, actions[251:]) == played(other.venv, actions[251:])


@pytest.mark.slow
def test_what_atari_did_before_can_still_be_drawn() -> None:
    one, other = make("ALE/Pong-v5", seed=1), make("ALE/Pong-v5", seed=2)
    one.venv.reset()
    views = [step[4][1] for step in played(one.venv, actions_of(one.venv, 60))][20:40]
    moved(one.venv, other.venv, n_recent=60)
    assert one.drawer is not None
    obs = np.zeros((20, 4, 42, 42), np.uint8)
    drawn = [world.drawer.draw(obs, world.pack_view(np.array(views))) for world in (one, other) if world.drawer]
    assert np.array_equal(drawn[0], drawn[1])
    assert drawn[0].std() > 0


def test_atari_of_another_game_is_not_gone_on_with() -> None:
    one, other = make("ALE/Pong-v5", seed=1), make("ALE/Breakout-v5", seed=1)
    one.venv.reset()
    played(one.venv, [np.zeros(3, int)] * 30)
    with pytest.raises(ValueError, match="came out differently"):
        moved(one.venv, other.venv)


def test_a_game_that_keeps_its_state_in_an_object_is_named() -> None:
    venv = make("OpaqueWalk-v0", seed=1).venv
    venv.reset()
    with pytest.raises(NotPlain, match=r"walker holds a Walker"):
        Packer().pack(take_envs(venv, 0), "world")


def test_another_number_of_environments_is_refused() -> None:
    one, other = (make("Hopper-v5", seed=1).venv for _ in range(2))
    one.reset()
    other.reset()
    with pytest.raises(ValueError, match="of 3 environments, got that of 2"):
        put_envs(other, take_envs(one, 0)[:2])


def test_atari_goes_on_from_a_state_that_has_the_newest_frames_alone_and_says_so() -> None:
    one, other = make("ALE/Pong-v5", seed=1), make("ALE/Pong-v5", seed=2)
    one.venv.reset()
    played(one.venv, actions_of(one.venv, 20))
    state = one.venv.get_state(0)  # type: ignore[attr-defined]  # an AtariVecEnv
    stacks = state.pop("stacks").copy()
    other.venv.reset()
    with pytest.warns(UserWarning, match="not bit for bit"):
        other.venv.put_state({**state, "screens": stacks[:, -1]})  # type: ignore[attr-defined]  # the same
    actions = actions_of(one.venv, 4)
    for action in actions:  # a stack's four planes later nothing tells them apart
        (seen, *_), (found, *_) = one.venv.step(action), other.venv.step(action)
    assert isinstance(seen, np.ndarray)
    assert isinstance(found, np.ndarray)
    assert np.array_equal(seen, found)
