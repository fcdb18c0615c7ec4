"""What drawing for people costs: frames per second, an Atari pair late in an episode, and training beside it.

`make bench-drawing` prints and writes runs/results/drawing.md.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from labeling.agent_status import read_status
from labeling.choice import Choice
from labeling.desk import Desk
from labeling.pictures import Pictures
from labeling.store import Store
from prefrl import flags, worlds
from prefrl.asking import ClipFacts, cut_clips
from prefrl.guard import Guard
from prefrl.metrics_file import read_metrics
from prefrl.pool import Cuts
from prefrl.recorder import Recorder
from prefrl.rundir import RunDir
from prefrl.world import World


def recorded(env_id: str, n_steps: int) -> tuple[World, Recorder]:
    """A world of one environment that acted at random for that many steps."""
    config = flags.default_config(env_id, device="cpu")
    world = worlds.make_world(config, n_envs=1, seed=0, views=True)
    recorder = Recorder(world, Guard(world.venv), 512)
    recorder.reset()
    world.venv.action_space.seed(0)
    for _ in range(n_steps):
        recorder.step(np.array([world.venv.action_space.sample()]))
    return world, recorder


def frames_per_second(n_clips: int = 20, clip_steps: int = 20) -> float:
    """HalfCheetah at 320x240, in clips of a second."""
    world, recorder = recorded("HalfCheetah-v5", 500)
    assert world.drawer is not None
    cuts = recorder.pool.sample(n_clips + 1, clip_steps, np.random.default_rng(0))
    clips = cut_clips(ClipFacts(clip_steps, world.frame_rate, 1, world.pack_view), cuts, recorder.pool, 500)
    world.drawer.draw(clips[0].obs, clips[0].view)  # makes the renderer
    begin = time.perf_counter()
    for clip in clips[1:]:
        frames = world.drawer.draw(clip.obs, clip.view)
    assert frames.shape[1:] == (240, 320, 3)
    return n_clips * clip_steps / (time.perf_counter() - begin)


def pong_pair_seconds(clip_steps: int = 25, n_steps: int = 6000) -> list[tuple[int, float]]:
    """Seconds to draw a pair that begins at some step of the game, for steps from the first to the last."""
    world, recorder = recorded("ALE/Pong-v5", n_steps)
    assert world.drawer is not None
    facts = ClipFacts(clip_steps, world.frame_rate, world.n_stack, world.pack_view)
    pool = recorder.pool
    starts = np.arange(n_steps - clip_steps)
    _, in_game = pool.episode_of(Cuts(np.zeros_like(starts), starts))
    measured = []
    for wanted in (0, 250, 500, 1000, 1500, 100_000):
        start = int(np.abs(in_game - wanted).argmin())
        (clip,) = cut_clips(facts, Cuts(np.array([0]), np.array([start])), pool, n_steps)
        begin = time.perf_counter()
        for _ in range(2):
            world.drawer.draw(clip.obs, clip.view)
        measured.append((int(in_game[start]), time.perf_counter() - begin))
    return measured


def train_beside(folder: Path, answers_per_minute: float, seconds: float) -> float:
    """Steps per second of HalfCheetah while a script answers at that rate; 0 trains on the score with nobody asked."""
    run = RunDir(folder)
    command = [
        sys.executable,
        "-P",
        "-m",
        "prefrl.cli",
        "train",
        "--env-id",
        "HalfCheetah-v5",
        "--run-dir",
        str(folder),
    ]
    command += ["--total-timesteps", "10000000"]
    if answers_per_minute:
        command += ["--labeler", "web", "--port", "0", "--when-starved", "continue", "--total-labels", "10000"]
    else:
        command += ["--reward", "score"]
    trainer = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        while not run.metrics.is_file():
            time.sleep(0.1)
        if answers_per_minute:
            n_answers = _answer(run, answers_per_minute, seconds)
            assert n_answers >= 0.9 * answers_per_minute * seconds / 60, f"only {n_answers} answers were given"
        else:
            time.sleep(seconds)
    finally:
        os.killpg(trainer.pid, signal.SIGKILL)
        trainer.wait()
    columns = read_metrics(run.metrics)
    steps, clock = (np.array(columns[name], float) for name in ("time/total_timesteps", "time/seconds"))
    late = clock > clock[-1] - 0.8 * seconds  # once everything has started
    return float((steps[late][-1] - steps[late][0]) / (clock[late][-1] - clock[late][0]))


def _answer(run: RunDir, answers_per_minute: float, seconds: float) -> int:
    """Answer drawn queries at an even rate; how many were."""
    n_answers, end = 0, time.monotonic() + seconds
    with Store(run.labels) as store:
        desk = Desk(store, is_drawn=Pictures(run.drawn).has_video)
        while (now := time.monotonic()) < end:
            due = answers_per_minute * (seconds - (end - now)) / 60
            if n_answers < due and (offers := desk.offers("script", 1)):
                desk.answer(
                    "script",
                    label_id=f"script-{n_answers}",
                    query_id=offers[0].query_id,
                    choice=(Choice.LEFT, Choice.RIGHT)[n_answers % 2],
                    shown_at_utc_ms=0,
                    answered_at_utc_ms=0,
                    ms_on_screen=0,
                )
                n_answers += 1
            time.sleep(0.1)
    assert read_status(run.status) is not None
    return n_answers


def say(line: str) -> None:
    """Show a figure as soon as it is measured."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    """Print the figures and write them beside the other results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=40.0, help="of each training")
    parser.add_argument("--pairs", type=int, default=3, help="of trainings, in turn")
    parser.add_argument("--out", type=Path, default=Path("runs/results/drawing.md"))
    options = parser.parse_args()
    lines = [
        "# What drawing for people costs",
        "",
        "Printed by `make bench-drawing`, on 2 CPU cores without a GPU.",
        "",
    ]
    lines.append(f"- HalfCheetah-v5, 320x240, OpenGL in software: {frames_per_second():.0f} frames/s.")
    say(lines[-1])
    for step, seconds in pong_pair_seconds():
        lines.append(f"- ALE/Pong-v5, a pair of 25 steps from step {step} of its game: {seconds:.2f} s.")
        say(lines[-1])
    with tempfile.TemporaryDirectory() as folder:
        ratios = []
        for pair in range(options.pairs):
            alone = train_beside(Path(folder) / f"alone{pair}", 0, options.seconds)
            beside = train_beside(Path(folder) / f"beside{pair}", 10, options.seconds)
            lines.append(
                f"- HalfCheetah-v5, training alone on the score: {alone:,.0f} steps/s; on preferences, with 10 queries "
                f"a minute drawn and answered: {beside:,.0f} steps/s, {beside / alone:.3f} of it."
            )
            say(lines[-1])
            ratios.append(beside / alone)
    lines.append(f"- Median of the {options.pairs} pairs: {np.median(ratios):.3f}.")
    say(lines[-1])
    options.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
