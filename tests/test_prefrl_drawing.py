"""The drawing worker: a real process beside a real store; what it draws are the states that the learner saw."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import games  # noqa: F401  # registers its games
import gymnasium as gym
import numpy as np
import pytest

from labeling.clip import Clip, ClipFiles
from labeling.pictures import Pictures
from labeling.store import Query, Store
from prefrl import cli, configfile, worlds
from prefrl.config import Config
from prefrl.drawers import make_drawer
from prefrl.drawing import DrawingWorker, film_strip
from prefrl.drawing_process import DrawingProcess
from prefrl.flags import default_config
from prefrl.rundir import RunDir
from prefrl.training import train
from prefrl.world import World


def until(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, f"waited 60 s for {what}"
        time.sleep(0.01)


def run_with_queries(folder: Path, n: int) -> tuple[RunDir, list[Clip]]:
    """A run folder of the toy with `n` queries that wait, and their clips in order."""
    run, config = RunDir(folder), Config(env_id="prefrl/Dot-v0")
    folder.mkdir()
    run.config.write_text(configfile.dump(config))
    world = worlds.make_world(config, n_envs=1, seed=0, views=True)
    clips = [_clip(world, number) for number in range(2 * n)]
    world.venv.close()
    ClipFiles(run.clips).write_many(clips)
    with Store(run.labels) as store:
        store.add_queries([_query(i, clips[2 * i], clips[2 * i + 1]) for i in range(n)], answers_wanted=1)
    return run, clips


def _clip(world: World, number: int) -> Clip:
    obs, views = [np.asarray(world.venv.reset())[0]], [world.venv.reset_infos[0]["view"]]
    actions = np.random.default_rng(number).integers(5, size=6)
    for action in actions[:-1]:
        stepped, _, _, infos = world.venv.step(np.array([action]))
        obs.append(np.asarray(stepped)[0].copy())
        views.append(infos[0]["view"])
    return Clip(
        obs=np.stack(obs),
        actions=actions,
        view=world.pack_view(np.stack(views)),
        frame_rate=world.frame_rate,
        env_index=0,
        episode=number,
        start_step=0,
        agent_step=0,
    )


def _query(number: int, left: Clip, right: Clip) -> Query:
    return Query(
        query_id=f"q{number}",
        clip_ids=(left.clip_id, right.clip_id),
        asked_at_step=0,
        round=0,
        strategy="uniform",
        is_random=True,
    )


def test_a_film_strip_holds_every_frame_in_rows() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (7, 20, 1500, 3), np.uint8)
    png, columns = film_strip(frames)
    decoded = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    assert decoded is not None
    sheet = decoded[..., ::-1]
    assert columns == 2  # 4096 pixels hold two of them
    assert sheet.shape == (4 * 20, 2 * 1500, 3)
    for i, frame in enumerate(frames):
        row, column = divmod(i, columns)
        assert (sheet[20 * row : 20 * (row + 1), 1500 * column : 1500 * (column + 1)] == frame).all()


@pytest.mark.slow
def test_what_waits_is_drawn_exactly_and_a_damaged_clip_is_withdrawn(tmp_path: Path) -> None:
    run, clips = run_with_queries(tmp_path / "run", 3)
    path = ClipFiles(run.clips).path(clips[2].clip_id)
    path.write_bytes(path.read_bytes()[:-40])
    pictures = Pictures(run.drawn)
    log = tmp_path / "log"
    with DrawingProcess(run.path, "frames", log) as drawing, Store(run.labels) as store:
        until(lambda: all(pictures.has_frames(c.clip_id) for c in (*clips[:2], *clips[4:])), "four clips")
        until(lambda: bool(store.withdrawals()), "the withdrawal")
        assert drawing.trouble() is None
        (reason,) = store.withdrawals().values()
        assert list(store.withdrawals()) == ["q1"]
        assert f"{clips[2].clip_id}.npz is damaged" in reason
        assert [w.query_id for w in store.waiting()] == ["q0", "q2"]
    assert "query q1 is withdrawn" in log.read_text()
    drawer = worlds.make_world(Config(env_id="prefrl/Dot-v0"), n_envs=1, seed=0, views=True).drawer
    assert drawer is not None
    for clip in (*clips[:2], *clips[4:]):
        drawn = pictures.read_frames(clip.clip_id)
        assert drawn.frame_rate == clip.frame_rate
        assert (drawn.frames == drawer.draw(clip.obs, clip.view)).all()


def test_a_clip_too_large_to_draw_is_withdrawn(tmp_path: Path) -> None:
    run, (one, other) = run_with_queries(tmp_path / "run", 1)
    large = replace(one, obs=np.zeros((2001, 2), np.float32), actions=np.zeros(2001, np.int64), view=None)
    ClipFiles(run.clips).write_many([large])
    with Store(run.labels) as store:
        store.add_queries([replace(_query(7, large, other), query_id="large")], answers_wanted=1)
        worker = DrawingWorker(run, store, make_drawer(configfile.load(run.config)), "frames", threading.Event())
        while worker.draw_waiting():
            pass
        assert list(store.withdrawals()) == ["large"]
        assert "expected a clip of at most 2,000 steps" in store.withdrawals()["large"]


@pytest.mark.slow
@pytest.mark.parametrize("env_id", ["SlideGame-v0", "SlidePictures-v0"])
def test_no_game_of_ones_own_is_made_to_draw_its_clips(
    env_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = default_config(
        env_id,
        total_labels=8,
        total_timesteps=128,
        run_dir=str(tmp_path / "run"),
        device="cpu",
        progress=False,
        eval={"episodes": 1, "max_steps": 20},
        ppo={"n_steps": 32, "n_epochs": 1},
        world={"n_envs": 2, "record_views": "always"},
        clips={"clip_seconds": 0.5, "min_clip_steps": 5},
    )
    train(config)
    monkeypatch.delitem(gym.registry, env_id)  # nor can one be made
    assert cli.main(["report", str(tmp_path / "run")]) == 0
    assert "data:video" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert cli.main(["labels", str(tmp_path / "run"), "play", "--out", str(tmp_path / "three.webm")]) == 0
    run = RunDir(tmp_path / "run")
    with Store(run.labels) as store:
        clip_ids = store.queries()[0].clip_ids
        clips = [ClipFiles(run.clips).read(clip_id) for clip_id in clip_ids]
        store.add_queries([_query(9, *clips)], answers_wanted=1)
    pictures = Pictures(run.drawn)
    with DrawingProcess(run.path, "frames", tmp_path / "log") as drawing:
        until(lambda: all(map(pictures.has_frames, clip_ids)) or drawing.trouble() is not None, "two clips")
        assert drawing.trouble() is None
    drawn = pictures.read_frames(clip_ids[0]).frames
    assert drawn.shape[1:] == ((16, 84, 3) if env_id == "SlideGame-v0" else (36, 84, 3))
    assert 0 < (drawn == 255).mean() < 0.1  # the bead


@pytest.mark.slow
def test_the_page_gets_a_video_a_strip_and_their_facts(tmp_path: Path) -> None:
    run, clips = run_with_queries(tmp_path / "run", 1)
    pictures = Pictures(run.drawn)
    with DrawingProcess(run.path, "video", tmp_path / "log"):
        until(lambda: all(pictures.has_video(c.clip_id) for c in clips), "two clips")
    facts = json.loads(pictures.path(clips[0].clip_id, "json").read_text())
    frames = facts["n_frames"], facts["frame_rate"]
    assert frames == (6, clips[0].frame_rate)
    strip = cv2.imread(str(pictures.path(clips[0].clip_id, "png")))
    assert strip is not None
    assert strip.shape == (facts["height"] * -(-6 // facts["columns"]), facts["width"] * facts["columns"], 3)
    video = cv2.VideoCapture(str(pictures.path(clips[0].clip_id, "webm")))
    assert sum(video.grab() for _ in range(10)) == 6


@pytest.mark.slow
def test_a_worker_that_cannot_draw_says_why_and_one_that_breaks_is_started_again(tmp_path: Path) -> None:
    run, clips = run_with_queries(tmp_path / "run", 1)
    with DrawingProcess(run.path, "frames", tmp_path / "log") as drawing:
        assert drawing._process is not None
        first = drawing._process.pid
        drawing._process.kill()
        until(lambda: drawing.trouble() is None and drawing._process.pid != first, "another worker")  # type: ignore[union-attr]  # it has one
        until(lambda: Pictures(run.drawn).has_frames(clips[1].clip_id), "a drawing")
    run.config.write_text(run.config.read_text().replace("prefrl/Dot-v0", "prefrl/Nothing-v0"))
    with DrawingProcess(run.path, "frames", tmp_path / "log") as drawing:
        until(lambda: drawing.trouble() is not None, "trouble")
        assert "clips cannot be drawn: " in str(drawing.trouble())
        assert "prefrl/Nothing-v0" in str(drawing.trouble())
