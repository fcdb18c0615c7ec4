"""Stop and kill trainings at random points and go on with them: do they end bit for bit as one that was left alone?

    make resume-exact     # python -m runs.resume_exact; 20 points each of four environments

A stop is what Ctrl-C and SIGTERM come to, at the boundary of a rollout. A kill comes after a rollout's answers are in
the store and before PPO learns from them, up to three rollouts after the last checkpoint. What is compared is what
`prefrl state-hash` prints.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import prefrl
from prefrl.checkpoint import load_newest
from prefrl.labelers import LabelFunction
from prefrl.state_hash import state_hashes
from prefrl.training import Interrupted, _Training

N_ENVS = 4


class Killed(BaseException):
    """Nothing catches it, and nothing is saved on its way."""


def upright(left: prefrl.Clip, right: prefrl.Clip) -> prefrl.Choice:
    """Prefer the pole that stands straighter: CartPole's own reward is the same in every step."""
    tilts = [float(np.abs(clip.obs[:, 2]).sum()) for clip in (left, right)]
    return prefrl.Choice.LEFT if tilts[0] < tilts[1] else prefrl.Choice.RIGHT


@dataclass(frozen=True)
class Case:
    """A small training."""

    env_id: str
    n_steps: int = 32
    rollouts: int = 16
    changes: dict[str, Any] = field(default_factory=dict)
    labeler: LabelFunction | None = None

    @property
    def rollout(self) -> int:
        """Agent steps of one rollout."""
        return N_ENVS * self.n_steps

    def config(self, folder: Path) -> prefrl.Config:
        """Its config, with a checkpoint every third rollout and a round of answers every second."""
        settings: dict[str, Any] = {
            "run_dir": str(folder),
            "device": "cpu",
            "progress": False,
            "total_timesteps": self.rollouts * self.rollout,
            "total_labels": 60,
            "checkpoint_steps": 3 * self.rollout,
            "eval": {"episodes": 1, "max_steps": 20},
            "queries": {"round_steps": 2 * self.rollout, "label_window": 1.0, "recent_steps": 1024},
            "ppo": {"n_steps": self.n_steps, "n_epochs": 2},
            "world": {"n_envs": N_ENVS},
        }
        for name, value in self.changes.items():
            settings[name] = {**settings.get(name, {}), **value} if isinstance(value, dict) else value
        return prefrl.default_config(self.env_id, **settings)


CASES = (
    Case(
        "CartPole-v1",
        changes={"clips": {"clip_seconds": 0.2, "min_clip_steps": 5}, "world": {"record_views": "never"}},
        labeler=upright,
    ),
    Case("Pendulum-v1"),
    Case("Hopper-v5"),
    Case(
        "ALE/Pong-v5",
        n_steps=16,
        changes={
            "world": {"frame_size": 42},
            "total_labels": 120,
            "queries": {"initial_share": 0.3, "first_round_steps": 0, "label_window": 1.0},
            # Short fits, as there are many; with dropout, whose draws must go on, too.
            "reward_model": {"dropout": 0.5, "pool_pixels": 2, "max_batches": 10, "initial_epochs": 10},
            "ppo": {"batch_size": 64},
        },
    ),
)


class _Cut(_Training):
    """A training that is stopped, or killed, at so many agent steps."""

    stop_at = -1
    kill_at = -1

    def _before_rollout(self) -> None:
        if self.agent.num_timesteps == self.stop_at:
            self._stop()
        super()._before_rollout()

    def _after_rollout(self) -> None:
        super()._after_rollout()
        if self.agent.num_timesteps == self.kill_at:
            raise Killed


def left_alone(case: Case, folder: Path) -> dict[str, str]:
    """Train to the end; returns the hashes of its last state."""
    prefrl.train(case.config(folder), labeler=case.labeler)
    return hashes(folder)


def cut_and_gone_on_with(case: Case, folder: Path, how: str, step: int) -> dict[str, str]:
    """Train, be stopped or killed (`how`) at `step`, go on to the end; returns the hashes of the last state."""
    with ExitStack() as stack, contextlib.suppress(Killed, Interrupted):
        training = _Cut(case.config(folder), case.labeler, False, stack)
        training.stop_at, training.kill_at = (step, -1) if how == "stop" else (-1, step)
        training.run_to_end()
        raise AssertionError("expected the training to be cut")
    prefrl.train(case.config(folder), labeler=case.labeler, resume=True)
    return hashes(folder)


def hashes(folder: Path) -> dict[str, str]:
    """What `prefrl state-hash` prints."""
    checkpoint = load_newest(folder / "checkpoints")
    assert checkpoint is not None
    return state_hashes(checkpoint)


def points(case: Case, n: int, seed: int = 0) -> list[tuple[str, int]]:
    """Random points at which to stop or kill, none twice, in the order of their steps."""
    inside = [(how, i * case.rollout) for how in ("stop", "kill") for i in range(1, case.rollouts)]
    return sorted(random.Random(seed).sample(inside, n), key=lambda point: point[1])  # noqa: S311  # no secret


def row(case: Case, n: int, folder: Path) -> str:
    """One line of the table."""
    begin, wanted = time.monotonic(), left_alone(case, folder / "alone")
    different: list[str] = []
    drawn = points(case, n)
    for i, (how, step) in enumerate(drawn):
        found = cut_and_gone_on_with(case, folder / f"{i}", how, step)
        parts = [name for name in wanted if wanted[name] != found.get(name)]
        if parts:
            different.append(f"{how} at {step}: {', '.join(parts)}")
    n_stops = sum(how == "stop" for how, _ in drawn)
    same = f"{n - len(different)} of {n}"
    return (
        f"| {case.env_id} | {case.rollouts} of {case.rollout} | {n_stops} | {n - n_stops} | {same} "
        f"| {'; '.join(different) or '-'} | {wanted['all'][:12]} | {time.monotonic() - begin:.0f} |"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Print a table; 1 where a run came out differently."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=20)
    parser.add_argument("--env-id", default="", help="only this environment")
    options = parser.parse_args(argv)
    warnings.simplefilter("ignore", UserWarning)  # the first answers may all be ties
    lines = ["| environment | rollouts, steps | stops | kills | the same | different | state | seconds |"]
    lines.append("|---|---|---|---|---|---|---|---|")
    _say("\n".join(lines))
    for case in CASES:
        if options.env_id in ("", case.env_id):
            with tempfile.TemporaryDirectory() as folder:
                lines.append(row(case, options.points, Path(folder)))
            _say(lines[-1])
    return int(not all(f"{options.points} of {options.points}" in line for line in lines[2:]))


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
