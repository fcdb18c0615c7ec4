"""People and a HalfCheetah in training, for real: a window on a virtual display, a page in Chromium, real keys."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from screens import IS_QUIET, KEYS, Screen, on_screen, promised_ms, virtual_display

from labeling.agent_status import read_status
from labeling.choice import Choice
from labeling.store import Store
from prefrl.rundir import RunDir

DEADLINE_SECONDS = 180.0
TRAIN = ("--env-id", "HalfCheetah-v5", "--task", "run forward", "--when-starved", "continue", "--queue-size", "20")
BUDGET = ("--total-labels", "2000", "--total-timesteps", "5000000", "--repeat-share", "0")


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


@pytest.fixture
def screen() -> Iterator[Screen]:
    with virtual_display() as display:
        yield Screen(display, "HalfCheetah-v5")


@pytest.mark.slow
def test_sixty_keys_in_the_window_while_a_halfcheetah_trains(screen: Screen, tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    answers = [(key, choice) for choice, keys in KEYS.items() for key in keys] * 4
    script: list[tuple[str, Choice | None]] = [*answers, *[("BackSpace", None)] * 4]
    script = [script[k] for k in rng.permutation(len(script))]
    script = [("Left", Choice.LEFT), ("Down", Choice.SKIP), *script][:60]
    training = Training(tmp_path, "--labeler", "window", environ=screen.environ)
    given: list[tuple[str, Choice]] = []
    wanted: list[tuple[str, Choice | None]] = []
    again: deque[str] = deque()
    steps = []
    try:
        screen.focus()
        for i, (key, choice) in enumerate(script):
            if i in (20, 30):
                screen.press("Caps_Lock")
            training.trains_on()
            steps.append(training.steps())
            n_rows = len(training.store.labels_after(0))
            _press_until_stored(screen, key, training.store, n_rows)
            row = training.store.labels_after(0)[-1]
            if choice is None:
                query, _ = given.pop()
                again.append(query)
                wanted.append((query, None))
            else:
                assert not again or row.query_id == again[-1]
                if again:
                    again.pop()
                given.append((row.query_id, choice))
                wanted.append(given[-1])
        screen.press("q", "q", pause=0.3)
        until(lambda: "answers given" in training.said.read_text(), "the window's last words")
        rows, counting = training.store.labels_after(0), training.store.current_labels()
        said = training.stop()
    finally:
        training.close()
    assert steps == sorted(set(steps)), "the agent's steps grow between every two answers"
    assert [(row.query_id, on_screen(row)) for row in rows] == wanted
    assert {row.query_id: on_screen(row) for row in counting} == dict(given)
    assert {row.swapped for row in counting} == {False, True}
    assert f"{len(given)} answers given" in said
    p95 = int(re.findall(r"95% of the pairs came within (\d+) ms", said)[0])
    print(f"key to next pair painted, beside a training: p95 {p95} ms")
    assert p95 <= promised_ms(100)
    assert training.process.returncode == 130


@pytest.mark.slow
def test_window_closed_and_trainer_stopped_then_both_started_again(screen: Screen, tmp_path: Path) -> None:
    """Nothing is asked twice, nothing is lost, the order is kept."""
    n = 30 if IS_QUIET else 8
    training = Training(tmp_path, "--labeler", "window", environ=screen.environ)
    try:
        screen.focus()
        for i in range(n):
            _press_until_stored(screen, "a", training.store, i)
        second = [sys.executable, "-P", "-m", "prefrl.cli", "label", str(training.run.path)]
        ran = subprocess.run(second, env=screen.environ, capture_output=True, text=True, check=False)
        assert (ran.returncode, ran.stderr.count("\n")) == (2, 1)
        assert "a window is open for" in ran.stderr
        screen.close_by_x()
        until(lambda: f"{n} answers given" in training.said.read_text(), "the window's last words")
        assert "stopped and saved" in training.stop()
        first = training.store.current_labels()
        waiting = [w.query_id for w in training.store.waiting()]
        training.start("--resume", environ=screen.environ)
        screen.focus()
        for i in range(n, 2 * n):
            _press_until_stored(screen, "d", training.store, i)
        rows = training.store.labels_after(0)
        training.stop()
    finally:
        training.close()
    assert rows[:n] == first
    assert [on_screen(row) for row in rows] == [Choice.LEFT] * n + [Choice.RIGHT] * n
    asked = [row.query_id for row in rows]
    assert len(set(asked)) == 2 * n
    assert asked == sorted(asked)
    still_waiting = [query for query in waiting if query not in training.withdrawn][:n]
    assert asked[n : n + len(still_waiting)] == still_waiting


def _press_until_stored(screen: Screen, key: str, store: Store, n_rows: int) -> None:
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


@pytest.mark.slow
def test_two_people_on_the_page_while_a_halfcheetah_trains(tmp_path: Path) -> None:
    sync_api = pytest.importorskip("playwright.sync_api")
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no chromium on this machine: apt-get install chromium")
    training = Training(tmp_path, "--labeler", "web", "--port", "0", "--invite", "ann", "bo")
    try:
        until(lambda: "operator: " in training.said.read_text(), "the links")
        links = dict(re.findall(r"(\w+): (http://\S+/join\?token=\S+)", training.said.read_text()))
        assert list(links) == ["ann", "bo", "operator"]
        with sync_api.sync_playwright() as playwright:
            chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
            pages = []
            for name in ("ann", "bo"):
                page = chromium.new_context().new_page()
                page.goto(links[name])
                pages.append(page)
            keys = ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "1", "D"]
            for i in range(12):
                training.trains_on()
                n_rows = len(training.store.labels_after(0))
                page = pages[i % 2]
                page.wait_for_selector("[data-painted]", timeout=1000 * DEADLINE_SECONDS)
                page.keyboard.press(keys[i // 2])
                until(lambda n=n_rows: len(training.store.labels_after(0)) > n, "the answer")  # type: ignore[misc]  # bound
            rows = training.store.current_labels()
            chromium.close()
    finally:
        training.close()
    assert [row.labeler for row in rows] == ["ann", "bo"] * 6
    meant = [Choice.LEFT, Choice.RIGHT, Choice.EQUAL, Choice.SKIP, Choice.LEFT, Choice.RIGHT]
    assert [on_screen(row) for row in rows] == [c for choice in meant for c in (choice, choice)]
    assert len({row.query_id for row in rows}) == 12
