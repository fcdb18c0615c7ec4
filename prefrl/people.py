"""The people who answer, as the training sees them: a window or page beside it, told how the agent is, waited for."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from labeling import disk
from labeling.agent_status import AgentStatus, write_status
from labeling.clip import ClipError, ClipFiles
from labeling.label import utc_ms_now
from prefrl.asking import cut_clips
from prefrl.config import Config
from prefrl.errors import UserError
from prefrl.label_run import check_window
from prefrl.loop import PreferenceLoop
from prefrl.pool import Cuts
from prefrl.queue import STALE
from prefrl.rundir import RunDir
from prefrl.serve_run import BESIDE_TRAINING, check_page
from prefrl.watch import draw_first
from prefrl.world import World

COMMANDS = {"window": "label", "web": "serve"}
"""What opens each way of asking people."""

_POLL_SECONDS = 0.05
_CLOSE_SECONDS = 20.0
_REMIND_SECONDS = 60.0
_NEWEST_EVERY_SECONDS = 30.0
_NEWEST_SECONDS = 8.0
_NEWEST_STEPS = 240


def check_people(config: Config, world: World) -> None:
    """Make sure that people can be asked on this machine, before anything is written.

    Raises:
        UserError: Clips cannot be drawn, or a package is missing.
        ValueError: Of the leaves: no OpenGL, no display, the port is taken, a name is no person's.
    """
    if config.labeler == "window":
        check_window(config)
    else:
        check_page(config)
    if world.drawer is None:
        raise UserError(f"expected an environment that can be drawn, got {config.env_id}")
    draw_first(world, world.drawer)


class People:
    """Opens a window or a page beside the training, and stands between the two.

    Args:
        config: Of the run.
        run: Its folder.
        loop: Whose queries are answered.
        say: Where lines for the user go.
    """

    def __init__(self, config: Config, run: RunDir, loop: PreferenceLoop, say: Callable[[str], None]) -> None:
        self.config = config
        self.run = run
        self.loop = loop
        self.say = say
        self.command = COMMANDS[config.labeler]
        self._process: subprocess.Popen[str] | None = None
        self._newest: str | None = None
        self._newest_at = -np.inf
        self._has_said = False
        self._withdrawn = set(loop.asker.store.withdrawals())
        self._labels_seen = 0
        self._answered_at = time.monotonic()
        self._reminded_at = self._answered_at

    def open(self) -> None:
        """Open the window or the page; what it says goes to the user."""
        self._process = subprocess.Popen(  # noqa: S603  # our own module
            [sys.executable, "-P", "-m", "prefrl.cli", self.command, str(self.run.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,  # Ctrl-C is for the training, which lets it end
            env={**os.environ, BESIDE_TRAINING: "1"},
        )
        threading.Thread(target=self._pass_on, args=(self._process,), daemon=True).start()

    def close(self, state: str) -> None:
        """Tell people that the training has ended or stopped; the page goes, the window stays until they close it."""
        self.tell(state)
        if self._process is not None and self.config.labeler == "web" and self._process.poll() is None:
            assert self._process.stdin is not None
            self._process.stdin.close()  # not a signal: whoever waits at the page hears of the end before it goes
            for end in (self._process.terminate, self._process.kill):
                try:
                    self._process.wait(timeout=_CLOSE_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    end()

    def tell(self, state: str) -> None:
        """Write how the agent is for those who label."""
        if self.config.labeler == "web" and time.monotonic() - self._newest_at > _NEWEST_EVERY_SECONDS:
            self._show_newest()
        self.say_withdrawn()
        write_status(
            self.run.status,
            AgentStatus(
                steps=self.loop.agent.num_timesteps,
                total_steps=self.config.total_timesteps,
                state=state,
                labels=self.loop.answers.n_labels,
                total_labels=self.config.total_labels,
                process_id=os.getpid(),
                updated_at_utc_ms=utc_ms_now(),
                newest_clip=self._newest,
            ),
        )

    def wait(self, is_stopping: Callable[[], bool]) -> None:
        """Let the agent wait while it is too far ahead of the answers, taking them in as they come."""
        told = False
        while self.loop.is_starved() and not is_stopping():
            self.loop.serve_people()
            self.loop.watch.switch("wait")
            if not told:
                self.tell("waiting")
                self._say_once()
                told = True
            self.remind()
            time.sleep(_POLL_SECONDS)

    def _say_once(self) -> None:
        """Say, the first time, that the agent waits, and why."""
        if not self._has_said:
            self._has_said = True
            self.say(
                "prefrl: the agent waits for answers whenever it is far ahead of them (--when-starved continue lets it "
                "train on)"
            )

    def say_withdrawn(self) -> None:
        """Say which queries were taken off the queue because something is wrong with them, not for being stale."""
        for query_id, reason in self.loop.asker.store.withdrawals().items():
            if query_id not in self._withdrawn:
                self._withdrawn.add(query_id)
                if not reason.startswith(STALE):
                    self.say(f"prefrl: query {query_id} is withdrawn: {reason}")

    def remind(self) -> None:
        """Say now and then that pairs wait and nobody answers."""
        now, n_labels = time.monotonic(), self.loop.answers.n_labels
        if n_labels != self._labels_seen:
            self._labels_seen, self._answered_at, self._reminded_at = n_labels, now, now
        n_waiting = len(self.loop.asker.store.waiting())
        if now - self._reminded_at < _REMIND_SECONDS or not n_waiting:
            return
        self._reminded_at = now
        waits = "the agent waits for answers" if self.loop.is_starved() else "the agent trains on without answers"
        what = "window" if self.command == "label" else "page"
        is_open = self._process is not None and self._process.poll() is None
        # Somebody may have opened another by hand.
        where = f"The {what} is open" if is_open else f"If no {what} is open, open it by: {self._how_to_open()}"
        pairs = "1 pair waits" if n_waiting == 1 else f"{n_waiting} pairs wait"
        since = f"nobody has answered for {(now - self._answered_at) / 60:.0f} min"
        self.say(f"prefrl: {pairs} and {since}; {waits}. {where}")

    def _pass_on(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                self.say(line.rstrip("\n"))
        if process.wait() not in (0, 2, -signal.SIGTERM):  # 2: it has said what is wrong itself
            what = "window" if self.command == "label" else "page"
            self.say(f"prefrl: the {what} has ended; open it again by: {self._how_to_open()}")

    def _how_to_open(self) -> str:
        return f"prefrl {self.command} {shlex.quote(str(self.run.path))}"

    def _show_newest(self) -> None:
        """Keep a longer clip of what the agent did lately, in place of the one before; on a full disk that stays."""
        if not self.loop.recorder.has_pool:
            return
        pool, facts = self.loop.recorder.pool, self.loop.asker.facts
        n_steps = min(_NEWEST_STEPS, round(_NEWEST_SECONDS * facts.frame_rate))
        # Longer than a query's: a file is named by what is in it, and this one is deleted when the next is there.
        n_steps = min(max(n_steps, facts.n_steps + 1), pool.n_steps)
        if n_steps <= facts.n_steps or not pool.can_cut(n_steps):
            return
        files = ClipFiles(self.run.clips)
        cuts = pool.sample(1, n_steps, np.random.default_rng(), recent_steps=2 * n_steps)
        (clip,) = cut_clips(replace(facts, n_steps=n_steps), Cuts(cuts.envs, cuts.starts), pool, self._steps())
        self._newest_at = time.monotonic()
        try:
            newest = files.write(clip)
        except ClipError as e:
            if not disk.is_full(e):
                raise
            return
        before, self._newest = self._newest, newest
        if before is not None and before != self._newest:
            files.path(before).unlink(missing_ok=True)

    def _steps(self) -> int:
        return self.loop.agent.num_timesteps
