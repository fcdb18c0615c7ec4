"""The page under load beside a training: 50 scripted people over HTTP, 5,000 answers, and what the trainer notices.

`make bench-page` prints and writes runs/results/page.md. Trainer, page and drawing worker are the real ones; the steps
per second are those of one training, before the people come, while they answer, and after they have gone.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from prefrl.metrics_file import read_metrics
from prefrl.rundir import RunDir
from runs.web_load import Tally, check, label, percentiles

PER_QUERY = 25
"""People asked about each pair: so that drawing, which gives some five pairs a second, keeps up with 50 of them."""


def train(run: RunDir, people: list[str], said: Path) -> subprocess.Popen[bytes]:
    """A HalfCheetah in training that asks those people."""
    command = [sys.executable, "-P", "-m", "prefrl.cli", "train", "--env-id", "HalfCheetah-v5", "--labeler", "web"]
    command += ["--total-timesteps", "50000000", "--total-labels", "100000", "--queries.label-window", "0.001"]
    command += ["--when-starved", "continue", "--queue-size", "500", "--answers-per-query", str(PER_QUERY)]
    command += ["--repeat-share", "0", "--port", "0", "--run-dir", str(run.path), "--invite", *people]
    with said.open("w") as out:
        return subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, start_new_session=True)


def steps_per_second(run: RunDir, begin: float, end: float) -> float:
    """Between two moments of the run's own clock, in seconds."""
    columns = read_metrics(run.metrics)
    steps, clock = (np.array(columns[name], float) for name in ("time/total_timesteps", "time/seconds"))
    inside = (clock >= begin) & (clock <= end)
    return float((steps[inside][-1] - steps[inside][0]) / (clock[inside][-1] - clock[inside][0]))


def now(run: RunDir) -> float:
    """The run's own clock."""
    last = read_metrics(run.metrics)["time/seconds"][-1]
    assert last is not None
    return last


def main() -> int:
    """Run the load and write what came of it; 1 where an answer was lost or a query answered too often."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=50)
    parser.add_argument("--answers", type=int, default=5000)
    parser.add_argument("--taught", type=int, default=300, help="answers before anything is measured")
    parser.add_argument("--think-seconds", type=float, default=4.0, help="mean time before an answer: what people take")
    parser.add_argument("--quiet-seconds", type=float, default=40.0, help="measured before and after")
    parser.add_argument("--out", type=Path, default=Path("runs/results/page.md"))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        run, said, tally = RunDir(Path(name) / "run"), Path(name) / "said.txt", Tally(args.taught)
        trainer = train(run, [f"person{i}" for i in range(args.people)], said)
        try:
            while "operator: " not in said.read_text() or not run.metrics.is_file():
                if trainer.poll() is not None:
                    raise RuntimeError(said.read_text())
                time.sleep(0.1)
            links = dict(re.findall(r"(person\d+): \S+/join\?token=(\S+)", said.read_text()))
            port = int(re.findall(r"http://127\.0\.0\.1:(\d+)/", said.read_text())[0])
            # Taught and moving, before anything is measured: physics costs more where a robot falls about.
            asyncio.run(asyncio.wait_for(label(links, port, tally, args.think_seconds), 600))
            time.sleep(20)
            tally.wanted = args.taught + args.answers
            tally.answer_ms.clear()
            marks = [now(run)]
            time.sleep(args.quiet_seconds)
            marks.append(now(run))
            asyncio.run(asyncio.wait_for(label(links, port, tally, args.think_seconds, seed=1), 1200))
            marks.append(now(run))
            time.sleep(args.quiet_seconds)
            marks.append(now(run))
            found = check(run.path, tally, PER_QUERY)
        finally:
            os.killpg(trainer.pid, signal.SIGKILL)
            trainer.wait()
        before, during, after = (steps_per_second(run, *pair) for pair in itertools.pairwise(marks))
    without = (before + after) / 2
    answers = percentiles(tally.answer_ms)
    lines = [
        "# The page under load beside a training",
        "",
        "Printed by `make bench-page`, on 2 CPU cores that trainer, page, drawing worker and people share.",
        "",
        f"- {args.people} people, {len(tally.answer_ms):,} answers (some taken back and given again) in "
        f"{marks[2] - marks[1]:.0f} s, each pair put to {PER_QUERY} people.",
        f"- Lost: {found['n_lost']}. Stored without being acknowledged: {found['n_never_told']}. Pairs answered too "
        f"often: {found['n_over_assigned']}.",
        f"- Milliseconds of an answer, until it is on the disk and acknowledged: median {answers['p50']}, 90% "
        f"{answers['p90']}, 99% {answers['p99']}, longest {answers['max']}.",
        f"- The trainer's steps per second: {before:,.0f} before the people came, {during:,.0f} while they answered, "
        f"{after:,.0f} after they had gone: {during / without:.3f} of what they are without.",
    ]
    text = "\n".join(lines) + "\n"
    sys.stdout.write(text)
    args.out.write_text(text, encoding="utf-8")
    return int(found["n_lost"] > 0 or found["n_over_assigned"] > 0 or found["n_stored"] != tally.wanted)


if __name__ == "__main__":
    raise SystemExit(main())
