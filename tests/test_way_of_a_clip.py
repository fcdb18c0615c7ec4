"""The whole way of a clip: what is drawn from a clip file is exactly what the learner saw, for every kind of world."""

from pathlib import Path
from typing import Any

import games  # noqa: F401  # registers SlideGame-v0
import numpy as np
import pytest
from numpy.typing import NDArray

from labeling.clip import Clip, ClipFiles
from prefrl import flags, worlds
from prefrl.asking import ClipFacts, cut_clips
from prefrl.guard import Guard
from prefrl.pool import Cuts
from prefrl.recorder import Recorder
from prefrl.world import World

T = 15


def record(env_id: str, n_steps: int, **changes: Any) -> tuple[World, Recorder, list[NDArray[Any]]]:
    """Act at random for a while; returns every observation the learner was given, too."""
    config = flags.default_config(env_id, **changes)
    world = worlds.make_world(config, n_envs=2, seed=7, views=True)
    recorder = Recorder(world, Guard(world.venv, note_ends=True), 64)
    recorder.action_space.seed(0)
    seen = [np.asarray(recorder.reset())]
    for _ in range(n_steps):
        actions = np.array([recorder.action_space.sample() for _ in range(2)])
        seen.append(np.asarray(recorder.step(actions)[0]))
    return world, recorder, seen


def through_the_disk(world: World, recorder: Recorder, cuts: Cuts, folder: Path) -> list[Clip]:
    """Cut, write, forget, read."""
    facts = ClipFacts(T, world.frame_rate, world.n_stack, world.pack_view)
    files = ClipFiles(folder)
    ids = files.write_many(cut_clips(facts, cuts, recorder.pool, agent_step=10_000))
    return [files.read(clip_id) for clip_id in ids]


def two_cuts(first: int, second: int) -> Cuts:
    return Cuts(np.array([0, 1]), np.array([first, second]))


def test_a_robots_clip_is_drawn_from_the_states_the_learner_saw(tmp_path: Path) -> None:
    world, recorder, seen = record("Hopper-v5", 60, world={"env_kwargs": ["max_episode_steps:40"]})
    drawer = world.drawer
    assert drawer is not None
    for clip, env, start in zip(
        through_the_disk(world, recorder, two_cuts(3, 42), tmp_path), (0, 1), (3, 42), strict=True
    ):
        np.testing.assert_array_equal(clip.obs, [seen[start + i][env] for i in range(T)])
        assert clip.view is not None
        # Hopper observes its positions without x, then its velocities: both stand in the state that is drawn from
        # (after the time; mjSTATE_FULLPHYSICS is time, positions, velocities, ...).
        np.testing.assert_allclose(clip.obs[:, :5], clip.view[:, 2:7], rtol=1e-6)
        np.testing.assert_allclose(clip.obs[:, 5:], np.clip(clip.view[:, 7:13], -10, 10), rtol=1e-5)
        frames = drawer.draw(clip.obs, clip.view)
        assert frames.shape == (T, 240, 320, 3)
        assert frames.std() > 5
    world.venv.close()


def test_a_game_of_atari_is_drawn_as_the_learner_saw_it(tmp_path: Path) -> None:
    import cv2

    """Games of 60 steps: the second clip shows the end of one and the beginning of the next."""
    limit = ["max_num_frames_per_episode:240"]
    world, recorder, seen = record("ALE/Pong-v5", 120, world={"frame_size": 84, "env_kwargs": limit})
    drawer = world.drawer
    assert drawer is not None
    assert recorder.pool.within_episodes(two_cuts(0, 0), 120).all()
    for clip, env, start in zip(
        through_the_disk(world, recorder, two_cuts(1, 50), tmp_path), (0, 1), (1, 50), strict=True
    ):
        stacks = clip.stacked_obs()
        np.testing.assert_array_equal(stacks, [seen[start + i][env] for i in range(T)])
        frames = drawer.draw(clip.obs, clip.view)
        assert frames.shape == (T, 210, 160, 3)
        # The learner's newest plane is the same picture, grey and smaller. Of two frames the brighter is taken, in the
        # drawing channel by channel: a few moving pixels may differ, and a frame too early or too late differs in more.
        full = [cv2.cvtColor(f, cv2.COLOR_RGB2GRAY) for f in frames]
        grey = np.stack([cv2.resize(f, (84, 84), interpolation=cv2.INTER_AREA) for f in full])
        planes = stacks[:, -1].astype(int)
        far = (np.abs(grey.astype(int) - planes) > 3).mean(axis=(1, 2))
        assert far.max() < 0.01
        moved = (np.abs(grey[1:].astype(int) - planes[:-1]) > 3).mean(axis=(1, 2))
        assert moved.mean() > 2 * far.mean(), (moved.mean(), far.mean())
    world.venv.close()


def test_a_game_of_ones_own_is_drawn_by_its_own_frames(tmp_path: Path) -> None:
    world, recorder, seen = record("SlideGame-v0", 60)
    drawer = world.drawer
    assert drawer is not None
    (clip, _) = through_the_disk(world, recorder, two_cuts(4, 4), tmp_path)
    frames = drawer.draw(clip.obs, clip.view)
    for t in range(T):
        x = (float(seen[4 + t][0][0]) + 1) * 10
        assert frames[t][8, :, 0].argmax() == round(x * 4)
    world.venv.close()


def test_the_toy_is_drawn_from_its_states(tmp_path: Path) -> None:
    world, recorder, seen = record("prefrl/Dot-v0", 40)
    drawer = world.drawer
    assert drawer is not None
    clips = through_the_disk(world, recorder, two_cuts(0, 20), tmp_path)
    np.testing.assert_array_equal(clips[1].obs, [seen[20 + i][1] for i in range(T)])
    first, second = (drawer.draw(c.obs, c.view) for c in clips)
    assert first.shape == second.shape
    assert (first != second).any()
    world.venv.close()


def test_no_clip_file_holds_an_env_reward(tmp_path: Path) -> None:
    world, recorder, _ = record("SlideGame-v0", 30)
    through_the_disk(world, recorder, two_cuts(0, 10), tmp_path)
    for path in tmp_path.rglob("*.npz"):
        with np.load(path, allow_pickle=False) as members:
            assert not any("reward" in name for name in members.files)
    world.venv.close()


@pytest.mark.slow
@pytest.mark.parametrize("n_stack_game", ["ALE/Pong-v5", "ALE/Breakout-v5"])
def test_no_done_flag_reaches_the_learner_of_atari_and_no_score_pixel(n_stack_game: str) -> None:
    world, recorder, _ = record(n_stack_game, 0, world={"frame_size": 84})
    top = 10 if "Pong" in n_stack_game else 7  # rows of the 84 that hold the score: 24 and 16 of 210, rounded up
    columns = slice(0, 84) if "Pong" in n_stack_game else slice(19, 42)  # all, and 35 to 80 of 160
    ended = 0
    for _ in range(1500):
        actions = np.array([recorder.action_space.sample() for _ in range(2)])
        obs, rewards, dones, infos = recorder.step(actions)
        assert not dones.any()
        assert not rewards.any()
        assert all(not info for info in infos)
        assert not np.asarray(obs)[:, :, :top, columns].any()
    guard = recorder.venv
    assert isinstance(guard, Guard)
    ended = len(guard.take_ends())
    assert ended >= 1  # games did end meanwhile
    world.venv.close()
