"""Hours of training with people who come and go: does the trainer's memory grow, and does the queue stay in its bound?

`make soak` prints and writes runs/results/soak.md. Trainer, page and drawing worker are the real ones. Two scripted
people come, answer for a while over HTTP, and go away for longer than they stayed, again and again. Memory is what the
trainer's process has resident (Linux); how fast it grows is the slope of a straight line through what was seen after
the warm-up.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from labeling.agent_status import read_status
from labeling.store import Store
from prefrl.rundir import RunDir
from runs.web_load import Tally, check, label

PEOPLE = ("ann", "bo")
QUEUE_SIZE = 20
LOOK_SECONDS = 5.0
CLIP_MEMORY_MIB = 64
"""So that it is full long before the warm-up ends; until then memory grows up to this, as it should."""
SITTING_SECONDS = 1200.0
MAX_MIB_PER_HOUR = 20.0


@dataclass
class Seen:
    """What was seen of the trainer, every few seconds."""

    seconds: list[float] = field(default_factory=list)
    mib: list[float] = field(default_factory=list)
    waiting: list[int] = field(default_factory=list)

    def mib_per_hour(self, warm_up_seconds: float) -> float:
        """Slope of the resident memory after the warm-up."""
        seconds, mib = np.array(self.seconds), np.array(self.mib)
        later = seconds >= warm_up_seconds
        return float(np.polyfit(seconds[later] / 3600, mib[later], 1)[0])


def resident_mib(pid: int) -> float:
    """Resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def train(run: RunDir, said: Path) -> subprocess.Popen[bytes]:
    """A HalfCheetah in training that asks two people."""
    command = [sys.executable, "-P", "-m", "prefrl.cli", "train", "--env-id", "HalfCheetah-v5", "--labeler", "web"]
    command += ["--total-timesteps", "500000000", "--total-labels", "100000", "--queries.label-window", "0.01"]
    command += ["--when-starved", "continue", "--queue-size", str(QUEUE_SIZE), "--repeat-share", "0"]
    command += ["--clip-memory", str(CLIP_MEMORY_MIB)]
    command += ["--port", "0", "--run-dir", str(run.path), "--invite", *PEOPLE]
    with said.open("w") as out:
        return subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, start_new_session=True)


def look(pid: int, store_path: Path, seen: Seen, over: threading.Event) -> None:
    """Look until it is over."""
    begin = time.monotonic()
    while not over.wait(LOOK_SECONDS):
        with Store.open_read_only(store_path) as store:
            waiting = len(store.waiting())
        seen.seconds.append(time.monotonic() - begin)
        seen.mib.append(resident_mib(pid))
        seen.waiting.append(waiting)


def sit(links: dict[str, str], port: int, tally: Tally, think_seconds: float, number: int, run: RunDir) -> None:
    """Let both label until as much is answered as is wanted.

    Raises:
        RuntimeError: It took longer than two people could; with what the trainer and its drawing worker say.
    """
    try:
        asyncio.run(asyncio.wait_for(label(links, port, tally, think_seconds, seed=number), SITTING_SECONDS))
    except TimeoutError as e:
        drawn = run.path / "drawing.log"
        words = drawn.read_text()[-500:] if drawn.is_file() else ""
        raise RuntimeError(
            f"sitting {number}: {tally.n_begun} of {tally.wanted} answers, the page said {dict(tally.statuses)}; "
            f"{read_status(run.status)}; {words}"
        ) from e


def main() -> int:
    """Run it and write what came of it; 1 where memory grew too fast, the queue overflowed or an answer was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=2.0)
    parser.add_argument("--warm-up-minutes", type=float, default=20.0, help="not counted: memory fills, people teach")
    parser.add_argument("--answers", type=int, default=30, help="of a sitting of both")
    parser.add_argument("--away-minutes", type=float, default=5.0, help="between two sittings")
    parser.add_argument("--think-seconds", type=float, default=4.0, help="mean time before an answer")
    parser.add_argument("--out", type=Path, default=Path("runs/results/soak.md"))
    args = parser.parse_args()
    seen, over, n_sittings = Seen(), threading.Event(), 0
    with tempfile.TemporaryDirectory() as name:
        run, said, tally = RunDir(Path(name) / "run"), Path(name) / "said.txt", Tally(0)
        trainer = train(run, said)
        try:
            while "operator: " not in said.read_text() or not run.labels.is_file():
                if trainer.poll() is not None:
                    raise RuntimeError(said.read_text())
                time.sleep(0.1)
            links = dict(re.findall(r"(ann|bo): \S+/join\?token=(\S+)", said.read_text()))
            port = int(re.findall(r"http://127\.0\.0\.1:(\d+)/", said.read_text())[0])
            looker = threading.Thread(target=look, args=(trainer.pid, run.labels, seen, over))
            looker.start()
            end = time.monotonic() + 3600 * args.hours
            while time.monotonic() < end:
                tally.wanted += args.answers
                sit(links, port, tally, args.think_seconds, n_sittings, run)
                n_sittings += 1
                left = (end - time.monotonic()) / 60
                now = f"{len(tally.acknowledged)} answers, {seen.mib[-1]:.0f} MiB, {seen.waiting[-1]} pairs waiting"
                sys.stderr.write(f"sitting {n_sittings}: {now}; {left:.0f} min left\n")
                time.sleep(max(0.0, min(60 * args.away_minutes, end - time.monotonic())))
            over.set()
            looker.join()
            status = read_status(run.status)
            steps = 0 if status is None else status.steps
            found = check(run.path, tally, 1)
        finally:
            over.set()
            os.killpg(trainer.pid, signal.SIGKILL)
            trainer.wait()
    slope, most = seen.mib_per_hour(60 * args.warm_up_minutes), max(seen.waiting)
    lines = [
        "# Training for hours, with people who come and go",
        "",
        f"Printed by `make soak` ({args.hours:g} h, on 2 CPU cores that other work shared).",
        "",
        f"- HalfCheetah-v5, {steps:,} steps; {n_sittings} sittings of {len(PEOPLE)} people, {found['n_stored']:,} "
        f"answers, {args.away_minutes:g} min away after each. Lost: {found['n_lost']}.",
        f"- The trainer's resident memory: {seen.mib[0]:.0f} MiB at first, {seen.mib[-1]:.0f} MiB in the end; after "
        f"{args.warm_up_minutes:g} min of warm-up it grows by {slope:.1f} MiB/h (promised: less than "
        f"{MAX_MIB_PER_HOUR:.0f}).",
        f"- Most pairs waiting at a time: {most} (bound: {QUEUE_SIZE}).",
    ]
    text = "\n".join(lines) + "\n"
    sys.stdout.write(text)
    args.out.write_text(text, encoding="utf-8")
    return int(slope > MAX_MIB_PER_HOUR or most > QUEUE_SIZE or found["n_lost"] > 0)


if __name__ == "__main__":
    raise SystemExit(main())
