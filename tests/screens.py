"""A virtual display, and a person at its keyboard."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from labeling.choice import Choice, swapped
from labeling.label import StoredLabel

ROOT = Path(__file__).parent.parent

KEYS = {
    Choice.LEFT: ("Left", "1", "a", "KP_1"),
    Choice.RIGHT: ("Right", "2", "d", "KP_2"),
    Choice.EQUAL: ("Up", "0", "e", "w", "KP_0"),
    Choice.SKIP: ("Down", "s"),
}
"""What xdotool calls the keys that answer."""


def on_screen(row: StoredLabel) -> Choice | None:
    """The answer in the order of sides on the screen."""
    return swapped(row.choice) if row.swapped and row.choice is not None else row.choice


class Keyboard:
    """Somebody at the keyboard of a display."""

    def __init__(self, display: str) -> None:
        self.environ = {**os.environ, "DISPLAY": display, "PYTHONPATH": str(ROOT)}
        self.environ.pop("WAYLAND_DISPLAY", None)
        self._pressed_at = 0.0

    def tool(self, *words: str) -> str:
        """What xdotool prints."""
        ran = subprocess.run(["xdotool", *words], env=self.environ, capture_output=True, text=True, timeout=20)
        return ran.stdout.strip()

    def press(self, *keys: str, pause: float = 0.15) -> None:
        """Presses keys as a person does, who looks at what comes of one before pressing the next."""
        for key in keys:
            time.sleep(max(0.0, self._pressed_at + pause - time.monotonic()))
            self.tool("key", key)
            self._pressed_at = time.monotonic()

    def focus(self, title: str, seconds: float = 120.0) -> None:
        """Waits for a window whose title has these words, and puts it in focus."""
        end = time.monotonic() + seconds
        while not (window := self.tool("search", "--onlyvisible", "--name", title)):
            assert time.monotonic() < end, f"waited {seconds:.0f} s for a window called {title}"
            time.sleep(0.05)
        self.tool("windowfocus", "--sync", window.splitlines()[0])


@contextlib.contextmanager
def virtual_display() -> Iterator[str]:
    """The name of a display of 1280x800, there until the block is left; skips the test where there can be none."""
    missing = [tool for tool in ("Xvfb", "xdotool") if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"a window needs a display to be tested on: {', '.join(missing)} not installed")
    reading, writing = os.pipe()
    command = ["Xvfb", "-displayfd", str(writing), "-screen", "0", "1280x800x24", "-nolisten", "tcp", "-noreset"]
    with subprocess.Popen(command, pass_fds=(writing,), stderr=subprocess.DEVNULL) as server:
        os.close(writing)
        with os.fdopen(reading) as told:
            number = told.readline().strip()
        try:
            yield f":{number}"
        finally:
            server.terminate()
