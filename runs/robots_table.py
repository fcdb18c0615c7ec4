"""Robots: PPO on 700 answers of the oracle against the same PPO on the score, over seeds.

    make robots-table          # python -m runs.robots_table; 33 runs of 300k steps, done ones are kept

The baseline is `--reward score` as it comes: the env reward scaled by a running standard deviation, as is the field's
custom. Beside it stands the score without that scaling. Every cell is one `prefrl train` in a folder of its own under
runs/robots/. The table goes to runs/results/robots.md.
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


def done(env_id: str, reward: str) -> list[int]:
    """Seeds of the cells that are there."""
    return [seed for seed in CELLS[env_id] if (cell(env_id, reward, seed) / "result.json").is_file()]


def table() -> str:
    """The table in Markdown, of the cells that are there."""
    lines = [
        "| task | seeds | random | score | preferences | preferences / score | held-out accuracy "
        "| score, not scaled (seeds) |",
        "|---|---|---|---|---|---|---|---|",
    ]
    per_seed = ["| task | seed | score | preferences | score, not scaled |", "|---|---|---|---|---|"]
    versions: dict[str, str] = {}
    for env_id in CELLS:
        seeds = [seed for seed in done(env_id, "score") if seed in done(env_id, "preferences")]
        if not seeds:
            continue
        score = [result(env_id, "score", seed) for seed in seeds]
        preferred = [result(env_id, "preferences", seed) for seed in seeds]
        plain = {seed: result(env_id, "score-as-it-is", seed)["env_return"] for seed in done(env_id, "score-as-it-is")}
        versions = preferred[0]["versions"]
        means = [mean(r["env_return"] for r in runs) for runs in (score, preferred)]
        accuracy = mean(r["reward_model"]["val_accuracy"] for r in preferred)
        lines.append(
            f"| {env_id} | {len(seeds)} | {mean(r['random_return'] for r in score):.0f} | {means[0]:.0f} "
            f"| {means[1]:.0f} | **{means[1] / means[0]:.2f}** | {accuracy:.2f} "
            f"| {f'{mean(plain.values()):.0f} ({len(plain)})' if plain else ''} |"
        )
        for seed, a, b in zip(seeds, score, preferred, strict=True):
            extra = f"{plain[seed]:.0f}" if seed in plain else ""
            per_seed.append(f"| {env_id} | {seed} | {a['env_return']:.0f} | {b['env_return']:.0f} | {extra} |")
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
