"""The main job in one command: a robot learns to run from 350 answers, beside the same learner on the score.

    make demo                  # python -m runs.demo --out demo

Trains HalfCheetah-v5 for 100k steps twice, at the same time: on the reward learned from the oracle's answers, and on
the env reward. Then prints a table, and where the video of the policy and the report are.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from prefrl.report_run import report_run
from prefrl.rundir import RunDir
from prefrl.watch import watch_run

ENV_ID, STEPS, LABELS = "HalfCheetah-v5", 100_000, 350


def free_folder(wanted: Path) -> Path:
    """The folder itself, or the first of wanted-2, wanted-3, ... that is not there: nobody's runs are overwritten."""
    n, folder = 1, wanted
    while folder.exists():
        n += 1
        folder = wanted.with_name(f"{wanted.name}-{n}")
    return folder


def start(folder: Path, reward: str, seed: int) -> subprocess.Popen[bytes]:
    """Start one of the two runs; the one on preferences shows its progress."""
    command = (
        f"train --env-id {ENV_ID} --labeler oracle --total-labels {LABELS} --total-timesteps {STEPS} --seed {seed}"
    )
    args = [*command.split(), "--reward", reward, "--run-dir", str(folder / reward)]
    if reward == "score":
        args.append("--no-progress")
    sys.stdout.write(f"prefrl {' '.join(args)}\n")
    sys.stdout.flush()
    return subprocess.Popen(
        [sys.executable, "-m", "prefrl.cli", *args],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
    )


def main() -> int:
    """Train both, compare, and write the video and the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder for both runs")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    folder = free_folder(args.out)
    running = [start(folder, reward, args.seed) for reward in ("preferences", "score")]
    if any([process.wait() for process in running]):
        return 1
    run, score = RunDir(folder / "preferences"), RunDir(folder / "score")
    video, report = run.path / "video.webm", run.path / "report.html"
    watch_run(run, video, seconds=20.0)
    report_run(run, report, score)
    console = Console()
    console.print(_table(run, score))
    console.print(f"video:  {video}", soft_wrap=True)
    console.print(f"report: {report}", soft_wrap=True)
    return 0


def _table(run: RunDir, score: RunDir) -> Table:
    mine, other = run.read_result(), score.read_result()
    table = Table(title=f"{ENV_ID} after {STEPS:,} steps: mean env return of {mine['eval_episodes']} episodes")
    for column in ("trained on", "answers", "env return", "± between episodes", "training seconds"):
        table.add_column(column, justify="left" if column == "trained on" else "right")
    table.add_row("nothing (random)", "", f"{mine['random_return']:,.0f}", "", "")
    for name, result in (("preferences", mine), ("the score", other)):
        table.add_row(
            name,
            str(result["labels"] or ""),
            f"{result['env_return']:,.0f}",
            f"{result['env_return_std']:,.0f}",
            f"{result['seconds']['total']:,.0f}",
        )
    return table


if __name__ == "__main__":
    sys.exit(main())
