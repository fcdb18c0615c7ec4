"""Speed: what learning from preferences costs, in wall clock, beside the same PPO on the score.

    make bench-speed           # python -m runs.speed; needs a machine with nothing else to do, about 6 minutes

HalfCheetah-v5, 100k steps, 350 answers of the oracle; three pairs, in turn. Prints each pair's seconds of training and
of the whole command, and the median ratios; writes runs/results/speed.md.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

TABLE = Path("runs/results/speed.md")
STEPS, LABELS = 100_000, 350


def train(reward: str, seed: int, flags: list[str]) -> tuple[float, dict[str, Any]]:
    """Seconds of the whole command, and its result."""
    with tempfile.TemporaryDirectory() as folder:
        run_dir = Path(folder) / "run"
        args = ["train", *flags, "--reward", reward, "--seed", str(seed), "--run-dir", str(run_dir), "--no-progress"]
        begin = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "prefrl.cli", *args],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.DEVNULL,
            check=True,
        )
        seconds = time.perf_counter() - begin
        result: dict[str, Any] = json.loads((run_dir / "result.json").read_text())
        return seconds, result


def main() -> None:
    """Run the pairs and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env-id", default="HalfCheetah-v5")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--labels", type=int, default=LABELS)
    parser.add_argument("--out", type=Path, default=TABLE)
    args, more = parser.parse_known_args()
    flags = f"--env-id {args.env_id} --total-labels {args.labels} --total-timesteps {args.steps}".split() + more
    lines = [
        "| pair | score: training s | preferences: training s | of it fit / query / scoring s | ratio "
        "| ratio of whole commands |",
        "|---|---|---|---|---|---|",
    ]
    ratios, whole = [], []
    for seed in range(args.pairs):
        command_score, score = train("score", seed, flags)
        command_mine, mine = train("preferences", seed, flags)
        a, b = score["seconds"]["total"], mine["seconds"]["total"]
        ratios.append(b / a)
        whole.append(command_mine / command_score)
        parts = " / ".join(f"{mine['seconds'][name]:.1f}" for name in ("fit", "query", "score"))
        lines.append(f"| {seed} | {a:.1f} | {b:.1f} | {parts} | {b / a:.3f} | {whole[-1]:.3f} |")
        sys.stdout.write(lines[-1] + "\n")
        sys.stdout.flush()
    text = "\n".join(
        [
            f"# Speed: {args.env_id}, {args.steps:,} steps, {args.labels} answers",
            "",
            f"Printed by `python -m runs.speed {' '.join(sys.argv[1:])}`; the two runs of a pair one after the other,",
            f"each `prefrl train {' '.join(flags)}` with `--reward score` or `--reward preferences`.",
            "",
            *lines,
            "",
            f"Median ratio of training time: **{median(ratios):.3f}** (steps/s: {1 / median(ratios):.3f}); of whole "
            f"commands: {median(whole):.3f}.",
            "",
        ]
    )
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(text)
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
