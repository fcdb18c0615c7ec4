"""A virtual display, and a person who looks at it and presses keys."""

from __future__ import annotations

import contextlib
import ctypes
import ctypes.util
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

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

IS_QUIET = bool(os.environ.get("PREFRL_QUIET"))
"""Whether the machine has nothing else to do, so that promised times can be measured: `make people` says so."""


def promised_ms(milliseconds: float) -> float:
    """The time that is promised, on a quiet machine; five times as much beside other tests."""
    return milliseconds if IS_QUIET else 5 * milliseconds


def came_true(is_so: Callable[[], bool], seconds: float) -> bool:
    """Whether it became so in that time."""
    end = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def wait_for(is_so: Callable[[], bool], seconds: float = 60.0) -> None:
    """Waits for something that another process brings about."""
    assert came_true(is_so, seconds), "waited in vain"


def on_screen(row: StoredLabel) -> Choice | None:
    """The answer in the order of sides on the screen."""
    return swapped(row.choice) if row.swapped and row.choice is not None else row.choice


class Screen:
    """A display with one window of that title, and somebody in front of it."""

    def __init__(self, display: str, title: str) -> None:
        self.environ = {**os.environ, "DISPLAY": display, "PYTHONPATH": str(ROOT)}
        self.environ.pop("WAYLAND_DISPLAY", None)
        self.title = title
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

    def window(self) -> str:
        """Its number; empty where it is not there."""
        return self.tool("search", "--onlyvisible", "--name", self.title).partition("\n")[0]

    def focus(self) -> None:
        """Waits until the window has painted, and lets it have the keys."""
        wait_for(lambda: self.window() != "", seconds=120)
        # On a busy machine without a window manager Qt 5 now and then overlooks that its window was mapped, and leaves
        # it black; mapped again, it paints.
        while not came_true(lambda: bool(self.picture().max() > 200), seconds=4):
            window = self.window()
            self.tool("windowunmap", "--sync", window)
            self.tool("windowmap", "--sync", window)
        self.tool("windowfocus", "--sync", self.window())

    def picture(self) -> NDArray[Any]:
        """What is on the display, (H, W, 3) blue, green, red."""
        import cv2

        shot = subprocess.run(["import", "-window", "root", "png:-"], env=self.environ, capture_output=True, timeout=20)
        return np.asarray(cv2.imdecode(np.frombuffer(shot.stdout, np.uint8), cv2.IMREAD_COLOR), np.uint8)

    def close_by_x(self) -> None:
        """What a window manager sends when the X in the title bar is clicked."""
        x11 = ctypes.CDLL(ctypes.util.find_library("X11"))
        x11.XOpenDisplay.restype = ctypes.c_void_p
        x11.XInternAtom.restype = ctypes.c_ulong
        display = ctypes.c_void_p(x11.XOpenDisplay(self.environ["DISPLAY"].encode()))
        protocols = x11.XInternAtom(display, b"WM_PROTOCOLS", 0)
        delete = x11.XInternAtom(display, b"WM_DELETE_WINDOW", 0)
        window = int(self.window())
        # XClientMessageEvent, as longs: type 33, serial, send_event, display, window, message_type, format, data.
        event = (ctypes.c_long * 24)(33, 0, 1, display.value or 0, window, protocols, 32, delete, 0)
        x11.XSendEvent(display, ctypes.c_ulong(window), 0, ctypes.c_long(0), ctypes.byref(event))
        x11.XCloseDisplay(display)


@contextlib.contextmanager
def virtual_display() -> Iterator[str]:
    """The name of a display of 1280x800, there until the block is left; skips the test where there can be none."""
    missing = [tool for tool in ("Xvfb", "xdotool", "import") if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"a window needs a display to be tested on: {', '.join(missing)} not installed")
    cv2 = pytest.importorskip("cv2", reason="the window needs OpenCV")
    if ctypes.util.find_library("X11") is None or not cv2.currentUIFramework():
        pytest.skip("needs libX11 and an OpenCV with windows")
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
