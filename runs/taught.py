"""Teach what no score says: a scripted person answers by what clips show, and behaviour is measured before and after.

`make bench-taught` prints and writes runs/results/taught.md. The Hopper is to stand and lean back further; the dot of
prefrl/Dot-v0 is to go left, though its score pays for reaching a goal.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3 import PPO

import prefrl
from prefrl import configfile, worlds
from prefrl.config import Config
from prefrl.rundir import RunDir

Measure = Callable[[NDArray[Any]], float]
"""What a person looks at, from the observations (T, *O) of a clip or an episode."""


def leans_back(obs: NDArray[Any]) -> float:
    """Mean lean of the torso in radians, backwards being positive; a Hopper that lies down (z < 0.8 m) is worth -1."""
    height, angle = obs[:, 0], obs[:, 1]
    return float(np.where(height > 0.8, angle, -1.0).mean())


def goes_left(obs: NDArray[Any]) -> float:
    """Mean place of the dot, from -1 at the right edge to 1 at the left."""
    return -float(obs[:, 0].mean())


@dataclass(frozen=True)
class Lesson:
    """A behaviour to be taught."""

    env_id: str
    wish: str
    measure: Measure
    labels: int
    steps: int


LESSONS = {
    "hopper": Lesson("Hopper-v5", "stand, and lean back further", leans_back, 500, 300_000),
    "dot": Lesson("prefrl/Dot-v0", "go left", goes_left, 100, 20_000),
}


def person(measure: Measure) -> Callable[[prefrl.Clip, prefrl.Clip], prefrl.Choice]:
    """Somebody who prefers the clip in which there is more of it, and sees no difference below 1%."""

    def answer(left: prefrl.Clip, right: prefrl.Clip) -> prefrl.Choice:
        a, b = measure(left.obs), measure(right.obs)
        if abs(a - b) < 0.01:
            return prefrl.Choice.EQUAL
        return prefrl.Choice.LEFT if a > b else prefrl.Choice.RIGHT

    return answer


def behaviour(config: Config, policy: PPO | None, measure: Measure, n_steps: int) -> float:
    """The measure over `n_steps` of 8 environments, acting by the policy or, without one, at random."""
    world = worlds.make_world(config, n_envs=8, seed=12345, views=False)
    obs, seen = np.asarray(world.venv.reset()), []
    rng = np.random.default_rng(0)
    world.venv.action_space.seed(int(rng.integers(2**31)))
    for _ in range(n_steps):
        seen.append(obs.copy())
        if policy is None:
            actions = np.stack([world.venv.action_space.sample() for _ in range(8)])
        else:
            actions, _ = policy.predict(obs, deterministic=True)
        obs = np.asarray(world.venv.step(actions)[0])
    world.venv.close()
    return float(np.mean([measure(np.stack(seen)[:, env]) for env in range(8)]))


def teach(name: str, seed: int, folder: Path) -> str:
    """Teach one lesson; a row of the table."""
    lesson = LESSONS[name]
    config = prefrl.default_config(
        lesson.env_id,
        total_labels=lesson.labels,
        total_timesteps=lesson.steps,
        seed=seed,
        run_dir=str(folder / f"{name}-{seed}"),
    )
    before = behaviour(config, None, lesson.measure, 1000)
    on_score = replace(config, reward="score", run_dir=str(folder / f"{name}-{seed}-score"))
    runs: list[RunDir] = [prefrl.train(config, labeler=person(lesson.measure)).run, prefrl.train(on_score).run]
    after, scored = (behaviour(configfile.load(run.config), PPO.load(run.policy), lesson.measure, 1000) for run in runs)
    named = f"{lesson.env_id} | {lesson.wish} | {lesson.labels} | {lesson.steps:,} | {seed}"
    return f"| {named} | {before:.2f} | {scored:.2f} | {after:.2f} |"


def main() -> None:
    """Print the table, and write it beside the other results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lessons", nargs="+", choices=LESSONS, default=list(LESSONS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--out", type=Path, default=Path("runs/results/taught.md"))
    options = parser.parse_args()
    lines = [
        "# What no score says",
        "",
        "Printed by `make bench-taught`. A scripted person compares clips by what they show, never by a score. Lean:",
        "mean angle of the torso in radians, backwards positive, -1 for a step lying down. Left: mean place of the",
        "dot, 1 at the left edge, -1 at the right.",
        "",
        "| world | wish | answers | steps | seed | at random | trained on the score | taught |",
        "|---|---|---|---|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as folder:
        for name in options.lessons:
            for seed in options.seeds:
                lines.append(teach(name, seed, Path(folder)))
                sys.stdout.write(f"{lines[-1]}\n")
                sys.stdout.flush()
    options.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
