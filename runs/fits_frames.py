"""Fits on frames: what dropout, step size and the number of gradient steps do to answers that no fit saw.

    prefrl train --env-id ALE/Pong-v5 --device cpu --total-labels 1000 -n 3000000 --run-dir runs/pong
    make bench-fits-frames RUN=runs/pong       # python -m runs.fits_frames runs/pong; 15 minutes

The answers of one run are dealt into four parts; each setting is fitted from scratch to three of them and asked about
the fourth, four times over. Prints and writes runs/results/fits-frames.md.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean, stdev

import numpy as np
import torch
from gymnasium import spaces
from rich.console import Console
from rich.progress import track

from prefrl import configfile, worlds
from prefrl.cell import command
from prefrl.config import RewardModelConfig
from prefrl.errors import UserError
from prefrl.fit import Fitter
from prefrl.fit_data import Answered
from prefrl.loss import decisive_accuracy, preference_loss
from prefrl.reward_model import Inputs, RewardModel
from prefrl.rundir import RunDir
from runs.fits import labels_of, publish, run_or_say

OUT = Path("runs/results/fits-frames.md")
CONSOLE = Console(stderr=True)
PARTS = 4

BASE = RewardModelConfig(
    members=3, batch_size=16, pool_pixels=1, initial_epochs=1000, patience=5, learning_rate=1e-3, dropout=0.0
)
"""As many passes as the gradient steps allow; in full where it matters, so that it stays what it is."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What is varied."""

    dropout: float
    learning_rate: float
    n_steps: int

    def config(self) -> RewardModelConfig:
        """The fit's settings."""
        return replace(BASE, dropout=self.dropout, learning_rate=self.learning_rate, max_batches=self.n_steps)


SETTINGS = (
    Setting(0.5, 3e-4, 80),
    Setting(0.5, 1e-3, 240),
    Setting(0.2, 5e-4, 80),
    Setting(0.2, 5e-4, 240),
    Setting(0.05, 1e-3, 80),
    Setting(0.0, 1e-3, 40),
    Setting(0.0, 1e-3, 80),
    Setting(0.0, 1e-3, 120),
    Setting(0.0, 1e-3, 240),
    Setting(0.0, 3e-3, 120),
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one fit made of the answers it never saw."""

    accuracy: float
    """Share of the decisive ones that the members' mean predicts."""
    loss: float
    """Mean over all of them, ties too, and over members."""


def part_of(answered: Answered, index: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Answered:
    """The answers with these indices."""
    return replace(
        answered,
        rows=answered.rows[index],
        prob_left=answered.prob_left[index],
        label_ids=[answered.label_ids[i] for i in index],
    )


def judge(answered: Answered, inputs: Inputs, config: RewardModelConfig) -> list[Verdict]:
    """Fit to all parts but one, and see what becomes of that one; once for each part."""
    dealt = np.random.default_rng(0).permutation(len(answered.label_ids)) % PARTS
    verdicts = []
    for part in range(PARTS):
        kept, held_out = np.flatnonzero(dealt != part), np.flatnonzero(dealt == part)
        model = RewardModel(inputs, config, seed=0)
        torch.manual_seed(0)  # of dropout
        Fitter(model, config, seed=0).fit(part_of(answered, kept))
        rows, prob_left = answered.rows[held_out], torch.as_tensor(answered.prob_left[held_out])
        logits = torch.as_tensor(model.preference_logits(answered.obs[rows], answered.actions[rows]))
        right = decisive_accuracy(logits.mean(0), prob_left)
        loss = preference_loss(logits, prob_left, config.error_rate)
        verdicts.append(Verdict(float(right[~right.isnan()].mean()), float(loss.mean())))
    return verdicts


def row(setting: Setting, verdicts: list[Verdict]) -> str:
    """A line of the table: means over the parts, and the standard error of the accuracy."""
    accuracies = [v.accuracy for v in verdicts]
    error = stdev(accuracies) / len(accuracies) ** 0.5
    name = f"| {setting.dropout:g} | {setting.learning_rate:g} | {setting.n_steps} "
    return f"{name}| {mean(accuracies):.3f} ± {error:.3f} | {mean(v.loss for v in verdicts):.3f} |"


def main() -> None:
    """Fit, judge, write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="the folder of a run on frames")
    run = RunDir(parser.parse_args().run)
    torch.set_num_threads(1)
    if not run.config.is_file():
        raise UserError(f"expected the folder of a run (with a config.toml) at {run.path}, found nothing there")
    config = configfile.load(run.config)
    world = worlds.make_world(config, n_envs=1, seed=0, views=False)
    obs_space, action_space = world.venv.observation_space, world.venv.action_space
    world.venv.close()
    if not isinstance(obs_space, spaces.Box) or len(obs_space.shape) != 3:
        raise UserError(f"expected a run on frames, got {config.env_id}; runs/fits.py judges fits on vectors")
    inputs = Inputs.of(obs_space, action_space, world.n_stack)
    answered = labels_of(run)
    n_ties = int((answered.prob_left == 0.5).sum())
    lines = [
        "# Fits on frames: answers that no fit saw",
        "",
        "Printed by `make bench-fits-frames`; runs/fits_frames.py says what is measured. The answers of",
        "",
        f"    {command(config)}",
        "",
        f"{len(answered.label_ids)} answers, {n_ties} of them ties; 3 members, minibatches of {BASE.batch_size}.",
        "",
        "| dropout | step size | gradient steps | decisive answers predicted | loss |",
        "|---|---|---|---|---|",
    ]
    for setting in track(SETTINGS, "fits", console=CONSOLE):
        lines.append(row(setting, judge(answered, inputs, setting.config())))
    publish(lines, OUT)


if __name__ == "__main__":
    run_or_say(main)
