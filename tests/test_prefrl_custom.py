"""A user's own environment: any id, endings that tell nothing, pictures checked and masked."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from numpy.typing import NDArray

from prefrl import custom
from prefrl.errors import UserError
from prefrl.frames import FrameDrawer, black_out, checked_frame
from prefrl.world import World


class Counter(gym.Env[Any, Any]):
    """Counts its steps, ends after `life` of them, pays the count; what it shows can be chosen."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 20}  # noqa: RUF012 - Gymnasium's own

    def __init__(
        self,
        life: int = 4,
        observe: Callable[[int], Any] | None = None,
        obs_space: spaces.Space[Any] | None = None,
        action_space: spaces.Space[Any] | None = None,
        picture: Callable[[int], Any] | None = None,
        render_mode: str | None = None,
    ) -> None:
        self.render_mode = render_mode
        self.life = life
        self.observe = observe or (lambda n: np.array([n, self.game], np.float64))
        self.observation_space = obs_space or spaces.Box(-np.inf, np.inf, (2,), np.float64)
        self.action_space = action_space or spaces.Discrete(2)
        self.picture = picture or (lambda n: np.full((6, 8, 3), n, np.uint8))
        self.n = 0
        self.game = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin a game, counted in `game`."""
        super().reset(seed=seed)
        self.n = 0
        self.game += 1
        return self.observe(0), {"secret": 1.0}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Count."""
        self.n += 1
        return self.observe(self.n), float(self.n), self.n == self.life, False, {"secret": 1.0}

    def render(self) -> Any:
        """What was chosen to be shown."""
        return self.picture(self.n)


@pytest.fixture
def counter() -> Iterator[Callable[..., str]]:
    """Registers a `Counter` and returns its id."""
    ids: list[str] = []

    def register(max_episode_steps: int | None = None, **kwargs: Any) -> str:
        ids.append(f"Counter{len(ids)}-v0")
        gym.register(
            ids[-1],
            lambda **made: Counter(**{**kwargs, **made}),
            max_episode_steps=max_episode_steps,
        )
        return ids[-1]

    # A lambda has no metadata for gymnasium to look at, which is as well: Counter's are read later.
    yield register
    for env_id in ids:
        del gym.registry[env_id]


def make(env_id: str, **options: Any) -> custom.CustomWorld:
    return custom.make(env_id, **{"n_envs": 1, "seed": 0, "views": False, **options})


def steps(world: World, n: int) -> list[tuple[Any, ...]]:
    return [world.venv.step(np.zeros(world.venv.num_envs, np.int64)) for _ in range(n)]


IMAGE = spaces.Box(0, 255, (40, 50, 3), np.uint8)


def image(n: int) -> NDArray[np.uint8]:
    picture = np.zeros((40, 50, 3), np.uint8)
    picture[...] = [n, n + 100, n + 200]
    return picture


def test_it_is_a_world_with_its_facts(counter: Callable[..., str]) -> None:
    world: World = make(counter(max_episode_steps=10))
    assert (world.frame_rate, world.horizon, world.n_stack, world.drawer) == (20.0, 10, 1, None)
    assert world.venv.observation_space.dtype == np.float32
    assert make(counter()).horizon == 1000
    assert make(counter(), horizon=7).horizon == 7
    assert make(counter(max_episode_steps=10), horizon=7).horizon == 10
    kwargs = {"max_episode_steps": 3}
    assert make(counter(max_episode_steps=10), env_kwargs=kwargs).horizon == 3


def test_endings_leak_nothing(counter: Callable[..., str]) -> None:
    world = make(counter(max_episode_steps=10), n_envs=2)
    np.testing.assert_array_equal(world.venv.reset(), [[0, 1], [0, 1]])
    taken = steps(world, 11)
    counts = [obs[0].tolist() for obs, _, _, _ in taken]
    assert counts == [
        *([1, 1], [2, 1], [3, 1], [0, 2]),  # the fourth step ends a game: the next one's first
        *([1, 2], [2, 2], [3, 2], [0, 3]),
        *([1, 3], [0, 4], [1, 4]),  # the tenth is the horizon
    ]
    assert [dones.tolist() for _, _, dones, _ in taken] == [[t == 9] * 2 for t in range(11)]
    assert [float(rewards[0]) for _, rewards, _, _ in taken] == [1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 1]
    episodes = {t: infos[1].get("episode") for t, (_, _, _, infos) in enumerate(taken)}
    told = {t: episode for t, episode in episodes.items() if episode is not None}
    assert told == {3: {"r": 10.0, "l": 4}, 7: {"r": 10.0, "l": 4}}  # what the clock cuts is no episode
    last = taken[9][3][0]
    assert last["TimeLimit.truncated"]
    assert last["terminal_observation"].tolist() == [2, 3]
    assert "secret" not in last


def test_to_be_measured_every_episode_has_the_whole_clock(counter: Callable[..., str]) -> None:
    world = make(counter(max_episode_steps=6), n_envs=2, whole_episodes=True)
    world.venv.reset()
    world.venv.envs[1].unwrapped.life = 9  # type: ignore[attr-defined]  # a DummyVecEnv of Counters
    taken = steps(world, 13)
    told = [
        [(t, step[3][env]["episode"]) for t, step in enumerate(taken) if "episode" in step[3][env]] for env in (0, 1)
    ]
    assert told[0] == [(t, {"r": 10.0, "l": 4}) for t in (3, 7, 11)]
    assert told[1] == [(t, {"r": 21.0, "l": 6}) for t in (5, 11)]
    assert [[bool(dones[env]) for _, _, dones, _ in taken] for env in (0, 1)] == [
        [False] * 13,
        [t in (5, 11) for t in range(13)],
    ]


def test_an_ending_on_the_horizon_is_a_time_limit(counter: Callable[..., str]) -> None:
    world = make(counter(max_episode_steps=4))
    world.venv.reset()
    obs, _, dones, infos = steps(world, 4)[-1]
    assert dones.tolist() == [True]
    assert infos[0]["TimeLimit.truncated"]
    assert infos[0]["terminal_observation"].tolist() == [4, 1]
    assert obs.tolist() == [[0, 2]]


def test_the_view_is_the_frame_of_the_returned_observation(counter: Callable[..., str]) -> None:
    world = make(counter(max_episode_steps=6), views=True, masks=[(1, 2, 3, 1)])
    obs = world.venv.reset()
    views = [world.venv.reset_infos[0]["view"]]
    states = [obs]
    for obs, _, dones, infos in steps(world, 13):
        states.append(obs)
        views.append(infos[0]["view"])
        if dones[0]:
            np.testing.assert_array_equal(world.venv.reset_infos[0]["view"].shape, (6, 8, 3))
    for state, view in zip(states, views, strict=True):
        expected = np.full((6, 8, 3), int(np.asarray(state)[0, 0]), np.uint8)
        expected[2, 1:4] = 0
        np.testing.assert_array_equal(view, expected)
    assert world.drawer == FrameDrawer("view")
    clip = world.pack_view(np.stack(views[1:4]))
    drawer: FrameDrawer = pickle.loads(pickle.dumps(world.drawer))  # noqa: S301 - our own object
    np.testing.assert_array_equal(drawer.draw(np.zeros((3, 2)), clip), np.stack(views[1:4]))


def test_image_observations_come_channel_first_masked_and_are_their_own_pictures(
    counter: Callable[..., str],
) -> None:
    world = make(counter(observe=image, obs_space=IMAGE), views=True, masks=[(5, 0, 2, 3)])
    assert world.venv.observation_space == spaces.Box(0, 255, (3, 40, 50), np.uint8)
    world.venv.reset()
    (obs, _, _, infos), *_ = steps(world, 1)
    assert "view" not in infos[0]
    assert obs.shape == (1, 3, 40, 50)
    assert obs[0, :, 3, 5].tolist() == [1, 101, 201]
    assert not obs[0, :, :3, 5:7].any()
    assert world.drawer == FrameDrawer("obs")
    assert world.drawer.draw(obs, None)[0, 3, 5].tolist() == [1, 101, 201]
    unseen = make(counter(observe=image, obs_space=IMAGE), masks=[(5, 0, 2, 3)])
    assert not np.asarray(unseen.venv.reset())[0, :, :3, 5:7].any()  # masked for evaluation too


def test_grey_images_get_their_channel_and_are_drawn_grey(counter: Callable[..., str]) -> None:
    space = spaces.Box(0, 255, (40, 50), np.uint8)
    world = make(counter(observe=lambda n: image(n)[..., 1], obs_space=space))
    obs = np.asarray(world.venv.reset())
    assert obs.shape == (1, 1, 40, 50)
    assert isinstance(world.drawer, FrameDrawer)
    assert world.drawer.draw(obs, None)[0, 0, 0].tolist() == [100, 100, 100]


def test_stacked_frames_are_images_but_no_pictures(counter: Callable[..., str]) -> None:
    space = spaces.Box(0, 255, (4, 40, 50), np.uint8)
    env_id = counter(observe=lambda n: np.full((4, 40, 50), n, np.uint8), obs_space=space)
    assert make(env_id).drawer is None
    world = make(env_id, views=True)
    world.venv.reset()
    assert world.venv.reset_infos[0]["view"].shape == (6, 8, 3)
    with pytest.raises(UserError, match=r"as large as its observations, \(40, 50\)"):
        make(env_id, views=True, masks=[(0, 0, 1, 1)])


@pytest.mark.parametrize(
    ("space", "value", "shape"),
    [
        (spaces.Box(0, 255, (7, 7, 3), np.uint8), np.full((7, 7, 3), 9, np.uint8), (7, 7, 3)),
        (spaces.Box(0.0, 1.0, (40, 40, 3)), np.full((40, 40, 3), 0.5, np.float32), (40, 40, 3)),
        (spaces.Box(0, 9, (), np.int64), np.array(3), (1,)),
        (spaces.Discrete(5), 2, (5,)),
        (spaces.MultiBinary(3), np.array([1, 0, 1], np.int8), (3,)),
    ],
)
def test_all_else_is_float32(
    counter: Callable[..., str], space: spaces.Space[Any], value: Any, shape: tuple[int, ...]
) -> None:
    world = make(counter(observe=lambda n: value, obs_space=space))
    obs = np.asarray(world.venv.reset())
    assert world.venv.observation_space.shape == shape
    assert obs.dtype == np.float32
    expected = np.eye(5)[2] if isinstance(space, spaces.Discrete) else np.reshape(value, shape)
    np.testing.assert_array_equal(obs[0], expected)


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (None, "got None; return an RGB array"),
        (np.full((6, 8, 3), 0.5), "got float64 .*; multiply by 255 and cast to uint8"),
        (np.full((6, 8, 3), 90.0), "got float64 .*; cast it to uint8"),
        (np.full((6, 8, 3), 90), "got int64 .*; cast it to uint8"),
        (np.zeros((6, 8), np.uint8), r"np.stack\(\[frame\] \* 3, axis=-1\)"),
        (np.zeros((6, 8, 1), np.uint8), "np.repeat"),
        (np.zeros((6, 8, 4), np.uint8), r"drop the fourth channel: frame\[..., :3\]"),
        (np.zeros((3, 6, 8), np.uint8), r"frame.transpose\(1, 2, 0\)"),
        (np.zeros((2, 6, 8, 3), np.uint8), "return one RGB array"),
    ],
)
def test_what_is_no_picture_is_told_before_training(counter: Callable[..., str], picture: Any, message: str) -> None:
    env_id = counter(picture=lambda n: picture)
    with pytest.raises(UserError, match=message) as error:
        make(env_id, views=True)
    assert "\n" not in str(error.value)
    assert make(env_id).drawer is None  # without people, nobody needs it


def test_what_drawing_needs_and_is_not_installed_is_told(counter: Callable[..., str]) -> None:
    def picture(n: int) -> None:
        raise gym.error.DependencyNotInstalled('no pygame, run `pip install "pygame"`\nmore')

    with pytest.raises(UserError, match=r'cannot be drawn: no pygame, run `pip install "pygame"`$'):
        make(counter(picture=picture), views=True)


def test_pictures_that_change_their_size_are_told(counter: Callable[..., str]) -> None:
    world = make(counter(picture=lambda n: np.zeros((6 + n, 8, 3), np.uint8)), views=True)
    world.venv.reset()
    with pytest.raises(UserError, match="pictures of one size"):
        steps(world, 1)


def test_an_environment_that_cannot_draw_itself_is_told(
    counter: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Counter, "metadata", {"render_modes": ["human"], "render_fps": 5})
    with pytest.raises(UserError, match=r'"rgb_array" among the render_modes.*got \[\'human\'\]'):
        make(counter(), views=True)
    monkeypatch.setattr(Counter, "metadata", {"render_modes": ["rgb_array"]})
    with pytest.warns(UserWarning, match="taking 30 steps per second"):
        assert make(counter()).frame_rate == 30.0
    monkeypatch.setattr(Counter, "metadata", {"render_modes": ["rgb_array"], "render_fps": "fast"})
    with pytest.raises(UserError, match="above 0, got 'fast'"):
        make(counter())


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"obs_space": spaces.Dict({"a": spaces.Discrete(2)})}, "got Dict; wrap it in"),
        ({"action_space": spaces.MultiDiscrete([2, 2])}, "Discrete actions from 0 on, or a Box"),
        ({"action_space": spaces.Discrete(3, start=1)}, "Discrete actions from 0 on, or a Box"),
        ({"action_space": spaces.Box(0, 3, (2,), np.int64)}, "a Box of floats"),
    ],
)
def test_spaces_that_are_not_supported_are_told(
    counter: Callable[..., str], kwargs: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        make(counter(**kwargs))


def test_observations_that_break_their_promise_are_told(counter: Callable[..., str]) -> None:
    world = make(counter(observe=lambda n: np.zeros(3)))
    with pytest.raises(UserError, match=r"of shape \(2,\) from Counter0-v0.*got \(3,\)"):
        world.venv.reset()
    world = make(counter(observe=lambda n: np.zeros((40, 50, 3)), obs_space=IMAGE))
    with pytest.raises(UserError, match=r"image observations of uint8 .* got float64"):
        world.venv.reset()


@pytest.mark.parametrize(
    ("env_id", "options", "message"),
    [
        ("CartPoel-v1", {}, "got 'CartPoel-v1'; did you mean CartPole-v1"),
        ("no_such_game:MyGame-v0", {}, "a module no_such_game for no_such_game:MyGame-v0"),
        ("json:MyGame-v0", {}, "Gymnasium id after importing json .*, got 'MyGame-v0'"),
        ("not an id", {}, "expected a registered Gymnasium id .*, got 'not an id'"),
        ("CartPole-v1", {"env_kwargs": {"gravity": 1}}, "unexpected keyword argument 'gravity'"),
        ("CartPole-v1", {"env_kwargs": {"render_mode": "human"}}, "no render_mode"),
        ("CartPole-v1", {"env_kwargs": {"max_episode_steps": -3}}, "at least 1 step, got 1 and -3"),
        ("CartPole-v1", {"env_kwargs": {"max_episode_steps": "abc"}}, "to be a whole number, got 'abc'"),
        ("CartPole-v1", {"env_kwargs": {"max_episode_steps": 2.5}}, "to be a whole number, got 2.5"),
        ("CartPole-v1", {"n_envs": 0}, "at least 1 environment"),
    ],
)
def test_bad_input_is_one_clear_line(env_id: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        make(env_id, **options)
    assert "\n" not in str(error.value)


GAME = """
import gymnasium as gym
from gymnasium.envs.classic_control import CartPoleEnv
{more}
gym.register("MyGame-v0", entry_point=CartPoleEnv, max_episode_steps=30)
"""


def test_a_game_in_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_own_game.py").write_text(GAME.format(more=""))
    (tmp_path / "my_broken_game.py").write_text(GAME.format(more="import no_such_engine"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place])
    world = make("my_own_game:MyGame-v0", n_envs=2)
    assert world.horizon == 30
    assert np.asarray(world.venv.reset()).shape == (2, 4)
    with pytest.raises(UserError, match=r'package no_such_engine .* pip install "no_such_engine"'):
        make("my_broken_game:MyGame-v0")
    del gym.registry["MyGame-v0"]


@pytest.mark.parametrize("env_id", ["CartPole-v1", "Pendulum-v1"])
def test_gymnasiums_own_environments_same_seed_same_bits(env_id: str) -> None:
    def played(seed: int) -> NDArray[Any]:
        world = make(env_id, n_envs=2, seed=seed)
        rows = [np.asarray(world.venv.reset())]
        rng = np.random.default_rng(0)
        for _ in range(60):
            discrete = env_id == "CartPole-v1"
            actions = rng.integers(0, 2, 2) if discrete else rng.uniform(-2, 2, (2, 1))
            rows.append(np.asarray(world.venv.step(actions)[0]))
        return np.stack(rows)

    np.testing.assert_array_equal(played(1), played(1))
    assert (played(1) != played(2)).any()


def test_cart_pole_is_rendered_by_its_own_means() -> None:
    pytest.importorskip("pygame")
    world = make("CartPole-v1", views=True)
    world.venv.reset()
    view = world.venv.reset_infos[0]["view"]
    assert view.shape == (400, 600, 3)
    assert (world.frame_rate, world.horizon) == (50.0, 500)


def test_checking_copies_and_blackening_is_in_place() -> None:
    frame = np.full((4, 5, 3), 7, np.uint8)
    copy = checked_frame(frame, "X-v0")
    black_out(copy.transpose(2, 0, 1), [(1, 0, 2, 1)])
    assert frame.min() == 7
    assert copy[0].tolist() == [[7] * 3, [0] * 3, [0] * 3, [7] * 3, [7] * 3]
    assert copy[1:].min() == 7
