"""A window and a HalfCheetah in training, both stopped and both started again."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from screens import IS_QUIET, Screen, on_screen, virtual_display
from trained_for_real import Training, press_until_stored, until

from labeling.choice import Choice


@pytest.fixture
def screen() -> Iterator[Screen]:
    with virtual_display() as display:
        yield Screen(display, "HalfCheetah-v5")


@pytest.mark.slow
def test_window_closed_and_trainer_stopped_then_both_started_again(screen: Screen, tmp_path: Path) -> None:
    """Nothing is asked twice, nothing is lost, the order is kept."""
    n = 30 if IS_QUIET else 8
    training = Training(tmp_path, "--labeler", "window", environ=screen.environ)
    try:
        screen.focus()
        for i in range(n):
            press_until_stored(screen, "a", training.store, i)
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
            press_until_stored(screen, "d", training.store, i)
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
