"""Kill `prefrl bench` at random, again and again: does its report come out byte for byte as if it had been left alone?

    make bench-interrupted     # python -m runs.interrupted; runs/smoke.toml twice, killed five times

Moments are drawn in changes that are seen in the folder of the cells, not in seconds: a file that is new or has grown,
as when a rollout is logged or a cell done. After every kill it waits until the trainings have ended by themselves, and
fails if they have not.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

SUITE = Path("runs/smoke.toml")
WATCHED = ("*.lock", "*/cell.toml", "*/run/config.toml", "*/run/metrics.csv", "*/run/policy.zip", "*/outcome.json")
DEADLINE_SECONDS = 120.0


def start(suite: Path, folder: Path, n_jobs: int) -> subprocess.Popen[bytes]:
    """`prefrl bench` on cells and a report under the folder; what it says goes to bench.log there."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "prefrl.cli", "bench", str(suite), "--jobs", str(n_jobs)]
    command += ["--cells", str(folder / "cells"), "--out", str(folder / "report")]
    with (folder / "bench.log").open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log)


def wait_for(what: str, is_so: Callable[[], bool], seconds: float = DEADLINE_SECONDS) -> None:
    """Look until it is so.

    Raises:
        TimeoutError: It was not so in time.
    """
    end = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > end:
            raise TimeoutError(f"expected within {seconds:g} s: {what}")
        time.sleep(0.01)


def wait_for_changes(process: subprocess.Popen[bytes], cells: Path, n_changes: int) -> bool:
    """Until so many changes were seen among the cells; False if the process has ended before."""
    seen, last = 0, snapshot(cells)

    def is_so() -> bool:
        nonlocal seen, last
        now = snapshot(cells)
        seen += sum(size > last.get(name, -1) for name, size in now.items())
        last = now
        return seen >= n_changes or process.poll() is not None

    wait_for(f"{n_changes} changes in {cells}", is_so)
    return process.poll() is None


def snapshot(cells: Path) -> dict[str, int]:
    """Sizes of the files that show how far a benchmark is."""
    found: dict[str, int] = {}
    for path in (path for pattern in WATCHED for path in cells.glob(pattern)):
        try:
            found[str(path)] = path.stat().st_size
        except FileNotFoundError:  # a cell that was cut off is cleared away at this moment
            continue
    return found


def trainings(cells: Path) -> list[int]:
    """Processes that train a cell of this folder."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = place.read_bytes().decode(errors="replace").split("\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if "prefrl.cell_run" in words and any(word.startswith(f"{cells}{os.sep}") for word in words):
            found.append(int(place.parent.name))
    return found


def are_unlocked(cells: Path) -> bool:
    """Whether nobody trains a cell, by their locks."""
    for path in cells.glob("*.lock"):
        with path.open("a") as f:
            try:
                fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
    return True


def bench_killed_at_random(suite: Path, folder: Path, n_jobs: int, kill_at: Sequence[int]) -> list[int]:
    """Start, kill -9 and start again, then let it finish; returns how many cells were done at each kill.

    Args:
        suite: To be trained.
        folder: Of the cells and the report.
        n_jobs: Trainings at a time.
        kill_at: Changes to be seen after each start before it is killed.

    Raises:
        TimeoutError: A training went on after its benchmark was killed.
        CalledProcessError: The benchmark failed in the end.
    """
    cells, done_at_kills = folder / "cells", list[int]()
    for n_changes in kill_at:
        process = start(suite, folder, n_jobs)
        if not wait_for_changes(process, cells, n_changes):
            break
        process.kill()
        process.wait()
        wait_for("no training that goes on", lambda: not trainings(cells) and are_unlocked(cells))
        done_at_kills.append(len(list(cells.glob("*/outcome.json"))))
    process = start(suite, folder, n_jobs)
    if process.wait():
        raise subprocess.CalledProcessError(process.returncode, "prefrl bench", (folder / "bench.log").read_text())
    return done_at_kills


def contents(report: Path) -> dict[str, bytes]:
    """Every file of a report by name, without what hangs on the clock: timing.*, and the seconds of outcomes."""
    files = {str(path.relative_to(report)): path for path in sorted(report.rglob("*")) if path.is_file()}
    found = {name: path.read_bytes() for name, path in files.items() if not name.startswith("timing.")}
    outcomes = [json.loads(line) for line in found["outcomes.jsonl"].splitlines()]
    found["outcomes.jsonl"] = json.dumps([{**outcome, "seconds": {}} for outcome in outcomes]).encode()
    return found


def main() -> int:
    """Run the suite twice and say whether the reports are the same; returns 0 if they are."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", type=Path, default=SUITE)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--most-changes", type=int, default=60, help="before a kill; 18 cells make about 300")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    args = parser.parse_args()
    say = sys.stdout.write
    rng = random.Random(args.seed)  # noqa: S311  # no secret
    kill_at = [rng.randint(1, args.most_changes) for _ in range(args.kills)]
    say(f"{args.suite}, {args.jobs} jobs, seed {args.seed}: killed after {', '.join(map(str, kill_at))} changes\n")
    sys.stdout.flush()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        begin = time.monotonic()
        done = bench_killed_at_random(args.suite, folder / "killed", args.jobs, kill_at)
        say(f"killed {len(done)} times, with {', '.join(map(str, done))} cells done; no training went on\n")
        say(f"finished after {time.monotonic() - begin:.0f} s in all\n")
        sys.stdout.flush()
        begin = time.monotonic()
        bench_killed_at_random(args.suite, folder / "alone", args.jobs, [])
        say(f"left alone: {time.monotonic() - begin:.0f} s\n")
        killed, alone = contents(folder / "killed" / "report"), contents(folder / "alone" / "report")
    differ = [name for name in sorted({*killed, *alone}) if killed.get(name) != alone.get(name)]
    if differ:
        say(f"NOT the same: {', '.join(differ)}\n")
    else:
        say(f"the same, byte for byte: {', '.join(alone)} (outcomes.jsonl but for its seconds)\n")
    return 1 if differ or len(done) < args.kills else 0


if __name__ == "__main__":
    sys.exit(main())
