"""A process that forks children which save checkpoint after checkpoint, and has them killed: what is found afterwards?

    python tests/killed_saves.py TRIALS    # prints one JSON object

Forked and not started, so that a trial takes a fraction of a second and not the seconds that importing torch takes.
"""

import json
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

import torch

from labeling import failpoints
from prefrl.checkpoint import Checkpoint, Mark, load_newest, newest_whole, save_checkpoint, steps_of, verifies

POINTS = [name for name in failpoints.POINTS if name.startswith("checkpoint.")]
N_NUMBERS = 100_000


def checkpoint(step: int) -> Checkpoint:
    """All of its numbers are its step."""
    return Checkpoint({"w": torch.full((N_NUMBERS,), float(step))}, {"steps": step, "cursors": [step] * 1000})


def save_for_ever(folder: Path, acknowledged: int) -> None:
    """Save steps 1, 2, 3, ... and write each into the pipe when it is saved; the mark makes early ones the best."""
    for step in range(1, 10**9):
        save_checkpoint(folder, step, checkpoint(step), Mark(-float(step), "test"))
        os.write(acknowledged, step.to_bytes(4, "little"))


def trial(folder: Path, armed: str, seconds: float) -> dict[str, object]:
    """One child, killed by the point that is armed or after so many seconds; what it left."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        failpoints._armed.update(failpoints.parse(armed))
        save_for_ever(folder, writing)
    os.close(writing)
    if not armed:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    with os.fdopen(reading, "rb") as pipe:
        saved = [int.from_bytes(step, "little") for step in iter(lambda: pipe.read(4), b"")]
    left = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    return {"signal": os.WTERMSIG(status), "half": any(x.startswith(".") for x in left), **judge(folder, saved)}


def judge(folder: Path, saved: list[int]) -> dict[str, object]:
    """Whether the newest whole checkpoint loads, is what it says, and is no older than the last that was saved."""
    found = load_newest(folder)
    steps = 0 if found is None else int(found.state["steps"])
    is_whole = found is None or torch.equal(found.tensors["w"], torch.full((N_NUMBERS,), float(steps)))
    newest = newest_whole(folder)
    others = [p for p in folder.glob("[0-9]*") if verifies(p) and newest is not None and steps_of(p) > steps_of(newest)]
    is_newest = steps >= (saved[-1] if saved else 0) and not others
    save_checkpoint(folder, steps + 1, checkpoint(steps + 1), Mark(0.0, "test"))
    left = sorted(path.name for path in folder.iterdir())
    goes_on = not any(name.startswith(".") for name in left) and len(left) <= 4
    return {"saved": len(saved), "whole": is_whole, "newest": is_newest, "goes_on": goes_on}


def main(n_random: int) -> None:
    """Kill at every point, at its first, second and fifth passing, then at random."""
    rng = random.Random(0)  # noqa: S311  # no secret
    trials = [(f"{point}:after={n}:kill", 0.0) for point in POINTS for n in (0, 1, 4)]
    trials += [("", rng.uniform(0.0, 0.25)) for _ in range(n_random)]
    found = []
    for armed, seconds in trials:
        with tempfile.TemporaryDirectory() as folder:
            found.append({"armed": armed, **trial(Path(folder) / "checkpoints", armed, seconds)})
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main(int(sys.argv[1]))
