"""The labeling window: the one module that opens a window and reads keys, by OpenCV.

What is in the window and what keys do stands elsewhere (`labeling.screen`, `labeling.session`).
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from labeling import x11
from labeling.agent_status import AgentStatus
from labeling.desk import Desk
from labeling.keys import REPEATING, action_of, is_modifier
from labeling.pictures import Pictures
from labeling.presses import Press, Presses

if TYPE_CHECKING:
    from labeling.session import Session

PROBE_SECONDS = 30
TURN_MS = 12
"""Longest wait for a key in one turn of the loop; also how soon a key is seen to be up again."""

FIRST_SIZE = (1280, 800)
"""Width and height of the window when it is opened."""

_BROWSER = "or label in a browser: prefrl serve RUN"
_PROBE = """
import cv2
cv2.namedWindow("prefrl", cv2.WINDOW_NORMAL)
cv2.destroyAllWindows()
"""


class WindowError(ValueError):
    """There can be no window here; one line on why, and what to do."""


def label(
    desk: Desk,
    pictures: Pictures,
    *,
    labeler: str,
    task: str,
    title: str,
    total_labels: int,
    read_status: Callable[[], AgentStatus | None],
    worker_trouble: Callable[[], str | None],
    how_to_resume: str = "prefrl train --run-dir RUN --resume",
    on_painted: Callable[[float], None] | None = None,
) -> int:
    """Lets one person answer in a window until they quit or close it, and returns how many answers they gave.

    Every answer is stored durably before the next pair is shown; those taken back again do not count.

    Args:
        desk: Hands out queries and takes answers.
        pictures: Frames of the clips.
        labeler: Who answers.
        task: What to look for; may be empty.
        title: Which run this is, and the window's title.
        total_labels: Answers asked for in all.
        read_status: How the agent is doing, None where not known; asked once a second.
        worker_trouble: Why clips cannot be drawn, None where they can; asked once a second.
        how_to_resume: The command that starts a stopped agent again.
        on_painted: Told how many milliseconds each pair came on the screen after the key that called for it.

    Raises:
        WindowError: Where no window can be opened.
    """
    check_window()
    from labeling.session import Session  # draws with OpenCV, which is known to be here only now

    session = Session(
        desk,
        pictures,
        labeler=labeler,
        task=task,
        title=title,
        total_labels=total_labels,
        read_status=read_status,
        worker_trouble=worker_trouble,
        how_to_resume=how_to_resume,
    )
    try:
        window = Window(title)
        try:
            run(session, window, Presses(x11.keys_down()), on_painted)
        finally:
            window.close()
    finally:
        session.close()
    return session.n_given


def run(session: Session, window: Window, presses: Presses, on_painted: Callable[[float], None] | None = None) -> None:
    """Takes keys and paints pictures in turn, until the session is over or the window is closed."""
    session.tick()
    painted: tuple[object, ...] = ()
    while not session.is_over:
        had = session.pair
        came_at = _take_keys(session, window, presses)
        if not window.is_open():  # painting would open it again
            return
        looks = (window.size(), session.looks())
        if looks != painted:
            window.show(session.picture(window.size()))
            session.painted()
            painted = looks
            if on_painted is not None and came_at is not None and session.pair not in (None, had):
                on_painted(1000 * (time.monotonic() - came_at))
            presses.look()
        session.tick()


def _take_keys(session: Session, window: Window, presses: Presses) -> float | None:
    """Does what the next key asks for, if one comes soon; returns when it came."""
    code = window.key(TURN_MS)
    came_at = None if code is None else time.monotonic()
    while True:
        for press in presses.turn(code):
            _act(session, press)
        if not presses.is_settling:
            return came_at
        code = window.key(1)


def _act(session: Session, press: Press) -> None:
    if is_modifier(press.code):
        return
    action = action_of(press.code)
    if not press.is_repeat or action in REPEATING:
        session.act(action, press.at)


class Window:
    """One window of the desktop.

    Args:
        title: In its bar.
        size: Width and height to begin with; people can change it.
    """

    def __init__(self, title: str, size: tuple[int, int] = FIRST_SIZE) -> None:
        import cv2

        self._cv2: Any = cv2
        # OpenCV garbles other letters in a title bar on some systems.
        self._name = "".join(letter for letter in title if " " <= letter <= "~").strip() or "prefrl"
        self._waiting_keys: list[int] = []
        self._size = size
        # GUI_NORMAL: no toolbar of OpenCV's own around the picture.
        cv2.namedWindow(self._name, cv2.WINDOW_NORMAL | cv2.WINDOW_FREERATIO | cv2.WINDOW_GUI_NORMAL)
        cv2.resizeWindow(self._name, *size)

    def is_open(self) -> bool:
        """Whether it has not been closed."""
        try:
            return bool(self._cv2.getWindowProperty(self._name, self._cv2.WND_PROP_VISIBLE) >= 1)
        except self._cv2.error:  # some toolkits know nothing of a window that is gone
            return False

    def size(self) -> tuple[int, int]:
        """Width and height of the picture that it shows pixel by pixel."""
        try:
            _, _, width, height = self._cv2.getWindowImageRect(self._name)
        except self._cv2.error:
            return self._size
        if width > 0 and height > 0:
            self._size = (int(width), int(height))
        return self._size

    def show(self, picture: NDArray[np.uint8]) -> None:
        """Paints a picture (H, W, 3); it is on the screen when this returns."""
        self._cv2.imshow(self._name, picture)
        self._wait(1)  # painting is done while waiting for keys

    def key(self, timeout_ms: int) -> int | None:
        """The next key's code, as soon as one comes; None if none does in that time."""
        if not self._waiting_keys:
            self._wait(timeout_ms)
        return self._waiting_keys.pop(0) if self._waiting_keys else None

    def close(self) -> None:
        """Closes it, if it is still open."""
        self._cv2.destroyAllWindows()
        self._cv2.waitKeyEx(1)

    def _wait(self, timeout_ms: int) -> None:
        code = self._cv2.waitKeyEx(timeout_ms)
        if code >= 0:
            self._waiting_keys.append(code)


def check_window(environ: Mapping[str, str] = os.environ) -> None:
    """Makes sure that a window can be opened.

    A process of its own opens one, because OpenCV's toolkit ends the process that asks it in vain.

    Raises:
        WindowError: if not.
    """
    is_x11 = sys.platform.startswith("linux")
    display = environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY") or ""
    if is_x11 and not display:
        raise WindowError(
            f"the labeling window needs a display, and none is set in DISPLAY: run this on a desktop, {_BROWSER}"
        )
    try:
        import cv2
    except ImportError as error:
        raise WindowError(
            f"the labeling window needs OpenCV, which does not start ({error}): "
            f"pip install 'prefrl[window]', {_BROWSER}"
        ) from error
    if hasattr(cv2, "currentUIFramework") and not cv2.currentUIFramework():
        raise WindowError(
            f"the labeling window needs an OpenCV with windows, and this one is headless: pip uninstall "
            f"opencv-python-headless, pip install 'prefrl[window]', {_BROWSER}"
        )
    said = _probe(environ)
    if said is not None:
        on = f" on display {display}" if is_x11 else ""
        raise WindowError(f"OpenCV cannot open a window{on} ({said}): run this on a desktop, {_BROWSER}")


def _probe(environ: Mapping[str, str]) -> str | None:
    """Opens a window in a process of its own; None if it could, else the last thing it said."""
    try:
        ran = subprocess.run(  # noqa: S603  # our own constant, with our own interpreter
            [sys.executable, "-P", "-c", _PROBE],
            env=dict(environ),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PROBE_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return f"no answer within {PROBE_SECONDS} s"
    if ran.returncode == 0:
        return None
    lines = [line.strip() for line in ran.stderr.splitlines() if line.strip()]
    return lines[0][:200] if lines else f"exit code {ran.returncode}"
