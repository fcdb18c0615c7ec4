"""Sixty real keys in a window on a virtual display, while a HalfCheetah trains."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from screens import KEYS, Screen, on_screen, promised_ms, virtual_display
from trained_for_real import Training, press_until_stored, until

from labeling.choice import Choice


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
            press_until_stored(screen, key, training.store, n_rows)
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
