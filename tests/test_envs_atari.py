"""Atari: one endless stream without a score, drawn again exactly from seed and actions."""

from __future__ import annotations

import pickle
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from envs import WorldError, atari, atari_venv
from envs.atari_drawer import AtariDrawer, pack_tapes, unpack_tapes
from envs.atari_games import SCORE_AREAS, Rules, Tape, covered, replay
from prefrl.world import World

pytest.importorskip("ale_py")
cv2 = pytest.importorskip("cv2")


class Stream:
    """What one environment of a world returned while it played at random."""

    def __init__(self, world: World, n_steps: int, env: int = 0) -> None:
        rng = np.random.default_rng(0)
        obs = world.venv.reset()
        assert isinstance(obs, np.ndarray)
        self.obs = [obs[env]]
        self.views: list[Any] = [world.venv.reset_infos[env].get("view")]
        self.rewards: list[float] = []
        self.infos: list[dict[str, Any]] = []
        n_actions = world.venv.action_space.n  # type: ignore[attr-defined]  # Discrete
        for _ in range(n_steps):
            actions = rng.integers(0, n_actions, world.venv.num_envs)
            obs, rewards, dones, infos = world.venv.step(actions)
            assert isinstance(obs, np.ndarray)
            assert not dones.any()
            self.obs.append(obs[env])
            self.views.append(infos[env].get("view"))
            self.rewards.append(float(rewards[env]))
            self.infos.append(infos[env])

    def ends(self) -> list[int]:
        """Steps that ended a game."""
        return [t for t, info in enumerate(self.infos) if "episode" in info]


@pytest.fixture(scope="module")
def short_games() -> tuple[atari.AtariWorld, Stream]:
    """Breakout with sticky actions, games cut at 60 steps, and four games to a tape."""
    kwargs = {"max_num_frames_per_episode": 240, "repeat_action_probability": 0.25}
    world = atari.make("ALE/Breakout-v5", n_envs=2, seed=3, views=True, env_kwargs=kwargs)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(atari_venv, "TAPE_STEPS", 200)
        return world, Stream(world, 400, env=1)


def seen_again(world: atari.AtariWorld, packed: NDArray[np.int32]) -> NDArray[np.uint8]:
    """The clip's newest planes from its tape alone, resized and masked by the test itself."""
    assert world.drawer is not None
    planes = []
    for seed, first, actions in unpack_tapes(packed):
        grey = list(replay(world.drawer.rules, seed, actions, world.drawer.screen, rgb=False))
        planes += [cv2.resize(g, (84, 84), interpolation=cv2.INTER_AREA) for g in grey[first:]]
    for box in SCORE_AREAS[world.drawer.rules.game]:
        x, y, width, height = covered(box, (210, 160), (84, 84))
        for plane in planes:
            plane[y : y + height, x : x + width] = 0
    return np.stack(planes)


def test_it_is_a_world_with_its_facts() -> None:
    world: World = atari.make("ALE/Pong-v5", n_envs=2, seed=0, views=False, frame_size=42, env_kwargs={"frameskip": 3})
    assert (world.env_id, world.frame_rate, world.horizon, world.n_stack) == (
        "ALE/Pong-v5",
        20.0,
        None,
        4,
    )
    assert world.drawer is None
    obs = world.venv.reset()
    assert isinstance(obs, np.ndarray)
    assert obs.shape == (2, 4, 42, 42)
    assert obs.dtype == np.uint8
    assert "view" not in world.venv.step(np.array([0, 0]))[3][0]


def test_games_end_unseen_and_are_told_in_the_infos(
    short_games: tuple[atari.AtariWorld, Stream],
) -> None:
    _, stream = short_games
    ends = stream.ends()
    assert ends[:3] == [59, 119, 179]  # Stream asserts that no step was done
    for start, end in zip([-1, *ends], ends, strict=False):
        assert stream.infos[end]["episode"] == {
            "r": sum(stream.rewards[start + 1 : end + 1]),
            "l": end - start,
        }


def test_a_new_game_is_stacked_on_the_last_frames_of_the_one_before(
    short_games: tuple[atari.AtariWorld, Stream],
) -> None:
    """Nothing marks an end: every stack is the one before, moved on by a plane."""
    _, stream = short_games
    assert len(stream.ends()) > 3
    for before, after in pairwise(stream.obs):
        np.testing.assert_array_equal(after[:3], before[1:])
    assert all((plane == stream.obs[0][3]).all() for plane in stream.obs[0])
    assert all(plane.any() for stack in stream.obs for plane in stack)


@pytest.mark.parametrize("first", [0, 40, 220])
def test_the_drawing_is_exactly_what_the_learner_saw(short_games: tuple[atari.AtariWorld, Stream], first: int) -> None:
    world, stream = short_games
    packed = world.pack_view(np.stack(stream.views[first : first + 50]))
    assert packed.dtype == np.int32
    n_tapes = 2 if first == 220 else 1  # seeded anew with the game that ended at 240
    assert len(unpack_tapes(packed)) == n_tapes
    newest = np.stack(stream.obs[first : first + 50])[:, -1]
    np.testing.assert_array_equal(seen_again(world, packed), newest)


def test_the_drawing_has_the_games_own_colours_and_no_score(
    short_games: tuple[atari.AtariWorld, Stream],
) -> None:
    world, stream = short_games
    assert world.drawer is not None
    drawer: AtariDrawer = pickle.loads(pickle.dumps(world.drawer))  # noqa: S301 - our own object
    packed = world.pack_view(np.stack(stream.views[50:75]))
    drawn = drawer.draw(np.stack(stream.obs[50:75]), packed)
    assert drawn.shape == (25, 210, 160, 3)
    assert drawer.hidden == ((34, 0, 46, 18),)
    assert not drawn[:, 0:18, 34:80].any()
    assert drawn[0, 60, 80].tolist() == [200, 72, 72]  # the topmost row of bricks is red
    [(seed, first, actions)] = unpack_tapes(packed)
    grey = np.stack(list(replay(drawer.rules, seed, actions, (210, 160), rgb=False))[first:])
    grey[:, 0:18, 34:80] = 0
    luminance = drawn @ np.array([0.2989, 0.5870, 0.1140])
    # The brighter of two frames is taken channel by channel, so that some moving pixels may differ.
    assert (np.abs(luminance - grey) > 1.5).mean() < 0.001


def test_no_score_reaches_the_learner_after_points_were_scored() -> None:
    hidden = atari.make("ALE/Pong-v5", n_envs=1, seed=1, views=False)
    shown = atari.make("ALE/Pong-v5", n_envs=1, seed=1, views=False, default_masks=False)
    masked, plain = Stream(hidden, 150), Stream(shown, 150)
    assert sum(masked.rewards) < -1.0
    scores = {obs[-1, :10].tobytes() for obs in plain.obs}
    assert len(scores) > 2  # the score was to be seen, and changed
    for obs, with_score in zip(masked.obs, plain.obs, strict=True):
        assert not obs[:, :10].any()
        np.testing.assert_array_equal(obs[:, 10:], with_score[:, 10:])


@pytest.mark.parametrize("game", SCORE_AREAS)
@pytest.mark.parametrize("size", [42, 84, 100])
def test_no_pixel_of_a_score_area_goes_into_a_pixel_left_open(game: str, size: int) -> None:
    rng = np.random.default_rng(0)
    screen = rng.integers(0, 256, (210, 160), np.uint8)
    other = screen.copy()
    open_pixels = np.ones((size, size), bool)
    for box in SCORE_AREAS[game]:
        x, y, width, height = box
        other[y : y + height, x : x + width] = rng.integers(0, 256, (height, width))
        x, y, width, height = covered(box, (210, 160), (size, size))
        open_pixels[y : y + height, x : x + width] = False
    small, other_small = (cv2.resize(frame, (size, size), interpolation=cv2.INTER_AREA) for frame in (screen, other))
    np.testing.assert_array_equal(small[open_pixels], other_small[open_pixels])
    assert (small != other_small)[~open_pixels].mean() > 0.9


def test_masks_of_ones_own_are_black_in_both() -> None:
    with pytest.warns(UserWarning, match="no score area is known for ALE/MsPacman-v5"):
        atari.make("ALE/MsPacman-v5", n_envs=1, seed=0, views=False)
    world = atari.make("ALE/MsPacman-v5", n_envs=1, seed=0, views=True, masks=[(1, 186, 158, 10)])
    stream = Stream(world, 20)
    assert not np.stack(stream.obs)[:, :, 74:79].any()
    assert np.stack(stream.obs)[4:, :, 73].any()
    assert world.drawer is not None
    drawn = world.drawer.draw(np.stack(stream.obs), world.pack_view(np.stack(stream.views)))
    assert not drawn[:, 185:198].any()  # rounded outwards to whole pixels of the learner's
    assert world.drawer.hidden == ((0, 185, 160, 13),)
    assert drawn[:, 100].any()


def test_same_seed_same_bits_and_other_seed_other_games() -> None:
    def played(seed: int) -> NDArray[np.uint8]:
        world = atari.make("ALE/Seaquest-v5", n_envs=2, seed=seed, views=False)
        return np.stack(Stream(world, 40, env=0).obs + Stream(world, 40, env=1).obs)

    first = played(5)
    np.testing.assert_array_equal(played(5), first)
    assert (played(6) != first).any()


def test_what_is_too_old_is_forgotten_and_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atari_venv, "TAPE_STEPS", 50)
    kwargs = {"max_num_frames_per_episode": 4 * 30}
    world = atari.make("ALE/Pong-v5", n_envs=1, seed=0, views=True, env_kwargs=kwargs, keep_steps=100)
    stream = Stream(world, 310)  # tapes of two games of 30 steps: the sixth has begun
    kept = world.venv.tapes[0]
    assert [(number, len(tape.actions)) for number, tape in kept.items()] == [
        (4, 60),
        (5, 60),
        (6, 10),
    ]
    assert world.pack_view(np.stack(stream.views[-100:])).size > 100
    with pytest.raises(WorldError, match="older than what its world remembers"):
        world.pack_view(np.stack(stream.views[:25]))


def test_packing_two_tapes_by_hand() -> None:
    tapes: list[dict[int, Tape]] = [{}, {7: Tape(11, bytearray([1, 2, 3])), 9: Tape(13, bytearray([4]))}]
    views = np.array([[1, 7, 1], [1, 7, 2], [1, 9, 0], [1, 9, 1]])
    packed = pack_tapes(views, tapes)
    assert packed.tolist() == [1, 11, 1, 2, 1, 2, 13, 0, 2, 4]
    assert unpack_tapes(packed) == [(11, 1, [1, 2]), (13, 0, [4])]
    with pytest.raises(WorldError, match="do not follow one another"):
        pack_tapes(views[[1, 0]], tapes)
    whole = [np.array([1, 2**31, 0, 1]), np.array([1, -1, 0, 1]), np.array([1, 5, -1, 2]), np.array([1, 5, 0, 0])]
    other = [np.array([1.0, 11, 0, 1]), np.array(1), np.array([[1, 11, 0, 1]]), np.array([1 + 1j])]
    for broken in (packed[:-1], packed[1:], np.array([2, 11, 0, 1]), packed[None], *whole, *other):
        with pytest.raises(WorldError, match="not a packed Atari clip"):
            unpack_tapes(broken)


def test_a_clip_of_anybodys_that_would_hang_the_emulator_is_refused() -> None:
    world = atari.make("ALE/Pong-v5", n_envs=1, seed=0, views=True)
    assert world.drawer is not None
    assert (world.drawer.n_actions, world.drawer.longest) == (6, 1500 + 27_000)
    obs = np.zeros((3 + 3, 84, 84), np.uint8)
    assert world.drawer.draw(obs, np.array([1, 7, 0, 2, 5, 8, 0, 1])).shape == (3, 210, 160, 3)
    for action in (200, 6, -1):
        with pytest.raises(WorldError, match=rf"expected actions 0 to 5 of pong in an Atari clip, got .*{action}"):
            world.drawer.draw(obs, np.array([1, 7, 0, 3, 0, action]))
    too_long = np.array([1, 7, 28_501, 1, *np.zeros(28_501, int)])
    too_many = np.array([1, 7, 0, 7, *np.zeros(6, int)])
    far_on_the_second = np.array([1, 7, 0, 1, 8, 2, 1, 0, 0])
    for tapes in (too_long, too_many, far_on_the_second):
        with pytest.raises(WorldError, match=r"at most 6 steps in a row, after at most 28,500, got"):
            world.drawer.draw(obs, tapes)


@pytest.mark.parametrize(
    ("env_id", "options", "message"),
    [
        ("ALE/Pongo-v5", {}, "no Atari game is called 'ALE/Pongo-v5'; did you mean ALE/Pong-v5"),
        ("ALE/Pong-v5", {"env_kwargs": {"frame_skip": 4}}, "did you mean frameskip"),
        ("ALE/Pong-v5", {"env_kwargs": {"episodic_life": True}}, "no option 'episodic_life'"),
        ("ALE/Pong-v5", {"env_kwargs": {"repeat_action_probability": 2.0}}, "less than 1, got 2.0"),
        ("ALE/Pong-v5", {"frame_size": 20}, "frame_size must be 36 to 160 pixels, got 20"),
        ("ALE/Pong-v5", {"masks": [(150, 0, 20, 5)]}, "not on the screen of 160x210"),
        ("ALE/Pong-v5", {"masks": [(1, 2, 3)]}, r"a mask is \(x, y, width, height\)"),
        ("ALE/Pong-v5", {"n_envs": 0}, "at least 1, got 0"),
    ],
)
def test_bad_input_is_one_clear_line(env_id: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(WorldError, match=message) as error:
        atari.make(env_id, **{"n_envs": 1, "seed": 0, "views": False, **options})
    assert "\n" not in str(error.value)


def test_an_action_there_is_not_is_refused() -> None:
    world = atari.make("ALE/Pong-v5", n_envs=1, seed=0, views=False)
    world.venv.reset()
    with pytest.raises(ValueError, match="actions must be 0 to 5"):
        world.venv.step(np.array([6]))


@pytest.mark.slow
@pytest.mark.parametrize("game", [env_id for env_id in atari.game_ids()])
def test_every_game_is_its_seed_and_its_actions(game: str) -> None:
    kwargs = {"max_num_frames_per_episode": 200, "repeat_action_probability": 0.25}
    world = atari.make(game, n_envs=1, seed=0, views=True, env_kwargs=kwargs, default_masks=False)
    stream = Stream(world, 120)
    assert world.drawer is not None
    rules, screen = world.drawer.rules, world.drawer.screen
    [(seed, _, actions)] = unpack_tapes(world.pack_view(np.stack(stream.views)))
    planes = list(replay(rules, seed, actions, (84, 84), rgb=False))
    np.testing.assert_array_equal(np.stack(planes), np.stack(stream.obs)[:, -1])
    assert next(replay(rules, seed, [], screen, rgb=True)).shape == (*screen, 3)


def test_rules_say_what_is_wrong() -> None:
    with pytest.raises(WorldError, match="make no game"):
        Rules("pong", frameskip=0)
