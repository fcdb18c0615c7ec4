"""Robots: PPO on 700 answers of the oracle against the same PPO on the score, over seeds.

    make robots-table          # python -m runs.robots_table; 33 runs of 300k steps, done ones are kept

The score is a baseline twice: as it is, and scaled by a running standard deviation, as is the field's custom.
Preferences are compared with whichever did better on the task. Every cell is one `prefrl train` in a folder of its own
under runs/robots/. The table goes to runs/results/robots.md.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import mean
from typing import Any

CELLS = {"HalfCheetah-v5": range(5), "Hopper-v5": range(3), "Walker2d-v5": range(3)}
LABELS, STEPS = 700, 300_000
CELL_DIR, TABLE = Path("runs/robots"), Path("runs/results/robots.md")
REWARDS = {
    "score": "--reward score --ppo.normalize-score",
    "score-as-it-is": "--reward score --ppo.no-normalize-score",
    "preferences": f"--reward preferences --labeler oracle --total-labels {LABELS}",
}


def command(env_id: str, reward: str, seed: int) -> list[str]:
    """What trains one cell."""
    return (
        f"prefrl train --env-id {env_id} {REWARDS[reward]} --total-timesteps {STEPS} --seed {seed} "
        f"--run-dir {cell(env_id, reward, seed)}"
    ).split()


def cell(env_id: str, reward: str, seed: int) -> Path:
    """Where one cell's run is."""
    return CELL_DIR / f"{env_id}-{reward}-{seed}"


def run_cell(job: tuple[str, str, int]) -> None:
    """Train one cell, unless it is there."""
    folder = cell(*job)
    if (folder / "result.json").is_file():
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    args = [sys.executable, "-m", "prefrl.cli", *command(*job)[1:]]
    with folder.with_suffix(".log").open("w") as log:
        subprocess.run(args, env={**os.environ, "OMP_NUM_THREADS": "1"}, stderr=log, stdout=log, check=True)
    sys.stderr.write(f"done: {folder}\n")


def result(env_id: str, reward: str, seed: int) -> dict[str, Any]:
    """What came of one cell."""
    found: dict[str, Any] = json.loads((cell(env_id, reward, seed) / "result.json").read_text())
    return found


def table() -> str:
    """The table in Markdown, of the cells that are there."""
    lines = [
        "| task | seeds | random | score, scaled | score as it is | preferences | preferences / better score "
        "| held-out accuracy |",
        "|---|---|---|---|---|---|---|---|",
    ]
    per_seed = ["| task | seed | score, scaled | score as it is | preferences |", "|---|---|---|---|---|"]
    versions = {}
    for env_id, seeds in CELLS.items():
        done = [s for s in seeds if all((cell(env_id, r, s) / "result.json").is_file() for r in REWARDS)]
        if not done:
            continue
        runs = {reward: [result(env_id, reward, s) for s in done] for reward in REWARDS}
        means = {reward: mean(r["env_return"] for r in found) for reward, found in runs.items()}
        versions = runs["preferences"][0]["versions"]
        ratio = means["preferences"] / max(means["score"], means["score-as-it-is"])
        accuracy = mean(r["reward_model"]["val_accuracy"] for r in runs["preferences"])
        lines.append(
            f"| {env_id} | {len(done)} | {mean(r['random_return'] for r in runs['score']):.0f} "
            f"| {means['score']:.0f} | {means['score-as-it-is']:.0f} | {means['preferences']:.0f} | **{ratio:.2f}** "
            f"| {accuracy:.2f} |"
        )
        for i, seed in enumerate(done):
            per_seed.append(
                f"| {env_id} | {seed} | " + " | ".join(f"{runs[r][i]['env_return']:.0f}" for r in REWARDS) + " |"
            )
    return "\n".join(
        [
            f"# Robots: {LABELS} answers of the oracle against the score",
            "",
            f"Mean env return of 20 deterministic episodes after {STEPS:,} steps, no early end; one PPO everywhere.",
            "Printed by `make robots-table`; a cell is, for example,",
            "",
            f"    {' '.join(command('HalfCheetah-v5', 'preferences', 0))}",
            "",
            *lines,
            "",
            *per_seed,
            "",
            "Versions: " + ", ".join(f"{k} {v}" for k, v in versions.items()) + ".",
            "",
        ]
    )


def main() -> None:
    """Train what is missing, then write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time")
    parser.add_argument("--table-only", action="store_true", help="train nothing")
    args = parser.parse_args()
    jobs = [(e, r, s) for e, seeds in CELLS.items() for s in seeds for r in REWARDS]
    if not args.table_only:
        with ThreadPoolExecutor(args.jobs) as pool:
            list(pool.map(run_cell, jobs))
    TABLE.parent.mkdir(parents=True, exist_ok=True)
    TABLE.write_text(table())
    sys.stdout.write(table())


if __name__ == "__main__":
    main()
