"""Fits: does a reward model know what other agents do? Each setting of the fit, judged without training an agent.

    prefrl bench runs/queries.toml --fresh     # trainings whose labels are fitted, and whose policies are judged
    make bench-fits                            # python -m runs.fits; 15 minutes

The labels of two seeds of the suite's trainings are fitted at once under each setting. The fitted model then scores
what all the suite's policies do on that robot, actions drawn as in training, and is held against the env reward over
windows of 25 steps. A training returns what its agent happens to find, and differs by hundreds between seeds; how well
a fit reads strangers hardly does. Prints and writes runs/results/fits.md.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from stable_baselines3 import PPO

from labeling.clip import ClipFiles
from labeling.store import Store
from prefrl import worlds
from prefrl.answers import Answers
from prefrl.cell import Cell
from prefrl.cell_folder import CellFolder
from prefrl.config import RewardModelConfig
from prefrl.errors import UserError
from prefrl.fit import Fitter
from prefrl.fit_data import Answered
from prefrl.recall import recall
from prefrl.reward_model import Inputs, RewardModel
from prefrl.rundir import RunDir
from prefrl.suite import read_suite

OUT = Path("runs/results/fits.md")
CONSOLE = Console(stderr=True)
N_ENVS, N_STEPS, WINDOW, PAIRS = 4, 500, 25, 20_000
N_SETS = 14
"""Trainings of each robot whose labels are fitted, the suite's first (two seeds); the policies of all are judged."""

BASE = RewardModelConfig(members=3, batch_size=64, initial_epochs=1, min_batches=250)
"""3 members, minibatches of 64, 250 gradient steps unless it stops early; in full, so that it stays what it is."""

SEVEN = replace(BASE, members=7, batch_size=16)
SETTINGS = {
    "3 members, minibatches of 64": BASE,
    "3 members, minibatches of 16": replace(BASE, batch_size=16),
    "5 members, minibatches of 16": replace(SEVEN, members=5),
    "7 members, minibatches of 16": SEVEN,
    "15 members, minibatches of 16": replace(SEVEN, members=15),
    "7, 16, no bootstrap": replace(SEVEN, bootstrap=False),
    "7, 16, 32 units": replace(SEVEN, hidden=(32, 32)),
}


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What a policy does."""

    obs: NDArray[Any]
    """(N_ENVS, N_STEPS, *O)."""
    actions: NDArray[Any]
    """(N_ENVS, N_STEPS, *A)."""
    env_returns: NDArray[np.float64]
    """Over windows, (n_windows,)."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """How one fit did on all policies of its robot."""

    within: float
    """Correlation of learned and env return over one policy's windows, the mean over policies."""
    between: float
    """Correlation of the policies' mean learned and mean env returns."""
    accuracy: float
    """Share of pairs of windows of the better half of the policies that are put in the right order."""


def windows(rewards: NDArray[Any]) -> NDArray[np.float64]:
    """Returns over windows of steps that do not overlap: (N, T) -> (N * (T // WINDOW),)."""
    n = rewards.shape[1] // WINDOW * WINDOW
    returns: NDArray[np.float64] = rewards[:, :n].astype(np.float64).reshape(-1, WINDOW).sum(axis=1)
    return returns


def behave(cell: Cell, folder: CellFolder) -> Behaviour:
    """Play the policy of a done cell, its actions drawn."""
    venv = worlds.make_world(cell.config, n_envs=N_ENVS, seed=777, views=False).venv
    torch.manual_seed(777)
    agent = PPO.load(folder.run.policy, device="cpu")
    obs = np.asarray(venv.reset())
    seen: list[NDArray[Any]] = []
    acted: list[NDArray[Any]] = []
    rewarded: list[NDArray[Any]] = []
    for _ in range(N_STEPS):
        actions, _ = agent.predict(obs, deterministic=False)
        seen.append(obs)
        acted.append(actions)
        obs_now, rewards, _, _ = venv.step(actions)
        obs = np.asarray(obs_now)
        rewarded.append(rewards)
    venv.close()
    return Behaviour(np.stack(seen, axis=1), np.stack(acted, axis=1), windows(np.stack(rewarded, axis=1)))


def labels_of(run: RunDir) -> Answered:
    """All labels of a done run, as its last fit saw them."""
    answers = Answers()
    with tempfile.TemporaryDirectory() as beside:  # opening a store may write to it, and a run is left as it is
        copy = Path(beside) / "labels.sqlite"
        copy.write_bytes(run.labels.read_bytes())
        with Store(copy) as store:
            labels = store.labels_after(0)
            recall([label.query_id for label in labels], store, ClipFiles(run.clips), answers)
            answers.take_in(labels)
    answered = answers.answered()
    assert answered is not None
    return answered


def judge(answered: Answered, config: RewardModelConfig, behaviours: Iterable[Behaviour]) -> Verdict:
    """Fit these labels under these settings, and see what the model makes of the behaviours."""
    inputs = Inputs(answered.obs.shape[3:], None, answered.actions.shape[-1], is_image=False, n_stack=1)
    model = RewardModel(inputs, config, seed=0)
    Fitter(model, config, seed=0).fit(answered)
    learned = [windows(model.rewards(b.obs, b.actions)) for b in behaviours]
    env = [b.env_returns for b in behaviours]
    # A policy that does the same throughout has nothing to tell windows apart by.
    within = [correlation(a, b) for a, b in zip(learned, env, strict=True) if b.std() > 1.0]
    env_means = np.array([b.mean() for b in env])
    better = np.argsort(env_means)[-(len(env) // 2) :]
    a, b = (np.concatenate([x[i] for i in better]) for x in (learned, env))
    i, j = np.random.default_rng(0).integers(len(a), size=(2, PAIRS))
    return Verdict(
        within=mean(within),
        between=correlation(np.array([x.mean() for x in learned]), env_means),
        accuracy=float(np.mean((a[i] > a[j]) == (b[i] > b[j]))),
    )


def correlation(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Pearson's."""
    return float(np.corrcoef(a, b)[0, 1])


def row(name: str, verdicts: list[Verdict], base: list[Verdict]) -> str:
    """A line of the table; the difference is to the first setting on the same labels, with its standard error."""
    gains = [v.within - b.within for v, b in zip(verdicts, base, strict=True)]
    error = stdev(gains) / len(gains) ** 0.5
    numbers = [mean(v.within for v in verdicts), mean(v.between for v in verdicts), mean(v.accuracy for v in verdicts)]
    gain = "" if verdicts is base else f"{mean(gains):+.3f} ± {error:.3f}"
    return f"| {name} | " + " | ".join(f"{x:.3f}" for x in numbers) + f" | {gain} |"


def main() -> None:
    """Fit, judge, write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", type=Path, default=Path("runs/queries.toml"), help="its trainings are used")
    parser.add_argument("--cells", type=Path, default=Path("runs/cells"), help="where they are")
    args = parser.parse_args()
    torch.set_num_threads(1)
    places = [(cell, CellFolder(args.cells / cell.key)) for cell in read_suite(args.suite).cells]
    places = [(cell, folder) for cell, folder in places if folder.outcome.is_file()]
    if not any(cell.config.reward != "score" for cell, _ in places):
        remedy = f"prefrl bench {args.suite} --fresh"
        raise UserError(f"expected trained cells of {args.suite} in {args.cells}, got none; {remedy}")
    lines = [
        "# Fits: what the reward model makes of agents it was not asked about",
        "",
        "Printed by `make bench-fits`; runs/fits.py says what is measured. Each row fits the same labels from scratch.",
        f"Within: correlation of learned and env return over windows of {WINDOW} steps of one policy, the mean over",
        "policies; between: of the policies' means; pairs: share of pairs of windows of the better half of policies",
        "in the right order; last, the gain within over the first row on the same labels, and its standard error.",
    ]
    for env_id in dict.fromkeys(cell.config.env_id for cell, _ in places):
        mine = [(cell, folder) for cell, folder in places if cell.config.env_id == env_id]
        behaviours = [behave(cell, folder) for cell, folder in track(mine, f"{env_id}: policies", console=CONSOLE)]
        answers = [labels_of(folder.run) for cell, folder in mine if cell.config.reward != "score"][:N_SETS]
        lines += ["", f"## {env_id}: {len(answers)} sets of labels, {len(behaviours)} policies", ""]
        lines += ["| fit | within | between | pairs | gain within |", "|---|---|---|---|---|"]
        base: list[Verdict] = []
        for name, config in track(SETTINGS.items(), f"{env_id}: fits", console=CONSOLE):
            verdicts = [judge(answered, config, behaviours) for answered in answers]
            base = base or verdicts
            lines.append(row(name, verdicts, base))
    publish(lines, OUT)


def publish(lines: list[str], page: Path) -> None:
    """Print a page, and write it."""
    text = "\n".join([*lines, ""])
    sys.stdout.write(text)
    page.write_text(text)


def run_or_say(work: Callable[[], None]) -> None:
    """Do a script's work; where the user must do something first, say so in one line and exit with 2."""
    try:
        work()
    except UserError as e:
        sys.stderr.write(f"prefrl: {e}\n")
        sys.exit(2)


if __name__ == "__main__":
    run_or_say(main)
