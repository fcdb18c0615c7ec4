"""A HalfCheetah in training for real, in a process of its own, that people answer."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from screens import Screen

from labeling.agent_status import read_status
from labeling.store import Store
from prefrl.rundir import RunDir

DEADLINE_SECONDS = 180.0
TRAIN = ("--env-id", "HalfCheetah-v5", "--task", "run forward", "--when-starved", "continue", "--queue-size", "20")
# Short rollouts: the tests wait for the agent's next one between any two answers.
BUDGET = ("--ppo.n-steps", "64", "--total-labels", "2000", "--total-timesteps", "5000000", "--repeat-share", "0")


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for something that another process brings about."""
    end = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < end, f"waited {DEADLINE_SECONDS:.0f} s for {what}"
        time.sleep(0.01)


class Training:
    """A `prefrl train` and what it says."""

    def __init__(self, folder: Path, *flags: str, environ: dict[str, str] | None = None) -> None:
        self.run = RunDir(folder / "run")
        self.said = folder / "said.txt"
        self.start(*TRAIN, *BUDGET, *flags, environ=environ)
        until(lambda: self.run.labels.exists() or self.process.poll() is not None, "the store")
        assert self.process.poll() is None, self.said.read_text()
        self.store = Store(self.run.labels)

    def start(self, *flags: str, environ: dict[str, str] | None = None) -> None:
        """Begin, or go on."""
        command = [sys.executable, "-P", "-m", "prefrl.cli", "train", *flags, "--run-dir", str(self.run.path)]
        with self.said.open("w") as said:
            self.process = subprocess.Popen(
                command, stdout=said, stderr=subprocess.STDOUT, env=environ, start_new_session=True
            )

    def steps(self) -> int:
        status = read_status(self.run.status)
        return -1 if status is None else status.steps

    def trains_on(self) -> None:
        """Wait until the agent has moved on."""
        before = self.steps()
        until(lambda: self.steps() > before, "the agent's next steps")

    def stop(self) -> str:
        """Ctrl-C; what was said until then."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(timeout=DEADLINE_SECONDS)
        return self.said.read_text()

    def close(self) -> None:
        self.withdrawn = set(self.store.withdrawals())
        self.store.close()
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def press_until_stored(screen: Screen, key: str, store: Store, n_rows: int) -> None:
    """Press a key once a pair is up: before, it is ignored, as is said in the window."""
    end = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < end:
        screen.press(key)
        soon = time.monotonic() + 1.5
        while time.monotonic() < soon:
            if len(store.labels_after(0)) > n_rows:
                return
            time.sleep(0.005)
    raise AssertionError(f"{key} stored nothing")
