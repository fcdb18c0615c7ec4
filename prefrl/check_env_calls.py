"""Calls into a user's game: whatever goes wrong there comes out as words, with the place in their own file."""

from __future__ import annotations

import io
import os
import re
import shlex
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from prefrl.check_env_watch import told
from prefrl.errors import UserError, WorldFault
from prefrl.game_errors import place, said

CALL_SECONDS = 20.0
"""A call that takes longer is taken to hang; only where the system has alarms (not on Windows). Those that an alarm
cannot end, being in C, are found out from another process (`check_env_apart`)."""


class Trouble(Exception):  # noqa: N818  # the game's, not ours
    """The game failed, in words."""

    def __init__(self, detail: str, remedy: str, trace: str = "") -> None:
        super().__init__(detail)
        self.detail = detail
        self.remedy = remedy
        self.trace = trace


class _TooLong(BaseException):
    """Raised inside the game by the alarm; no `Exception`, so that a bare `except Exception` does not eat it."""


class Printed(io.TextIOBase):
    """Stands for stdout while a game is checked: counts lines and keeps the first one."""

    def __init__(self) -> None:
        self.n_lines = 0
        self.first = ""

    def write(self, text: str) -> int:
        """Count what is written."""
        if self.n_lines == 0:
            self.first = (self.first + text.partition("\n")[0])[:60]
        self.n_lines += text.count("\n")
        return len(text)

    def forget(self) -> None:
        """Begin anew."""
        self.n_lines, self.first = 0, ""


def call(
    what: str,
    function: Callable[..., Any],
    *args: Any,
    at: Callable[[], str] = str,
    limit: float = CALL_SECONDS,
    **kwargs: Any,
) -> Any:
    """Call the game, or what calls it.

    Args:
        what: Who fails if it does, as in "step()".
        function: What to call.
        args: With what.
        at: Says when in the game it was, as in " at step 17, action 3"; asked only after a failure.
        limit: Seconds until it is taken to hang.
        kwargs: With what, too.

    Raises:
        Trouble: It failed, hung, or ended the program.
    """
    try:
        with told(what, limit), _alarm(limit):
            return function(*args, **kwargs)
    except Trouble:
        raise
    except (UserError, WorldFault) as e:
        wrong, _, remedy = str(e).rpartition("; ")
        raise Trouble(wrong or remedy, remedy if wrong else "") from e
    except _TooLong as e:
        raise Trouble(f"{what} did not come back within {limit:g} s{place(e)}{at()}", WAITS, _trace(e)) from e
    except SystemExit as e:
        detail = f"{what} ended the program, by sys.exit() or quit(){place(e)}{at()}"
        raise Trouble(detail, "end an episode by returning terminated=True instead", _trace(e)) from e
    except Exception as e:
        detail = f"{what} raised {said(e)}{place(e)}{at()}"
        raise Trouble(detail, _remedy(e), _trace(e)) from e


WAITS = (
    "it may wait for a key, a click or a connection: a step plays one frame and returns; where the module is imported, "
    "put the game's own loop under if __name__ == '__main__':"
)
"""What to do about a call that does not come back."""


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(number: int, frame: FrameType | None) -> None:
        raise _TooLong

    before = signal.signal(signal.SIGALRM, ring)
    left, _ = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, left)  # of a call around this one
        signal.signal(signal.SIGALRM, before)


def _trace(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


def _remedy(error: Exception) -> str:
    if isinstance(error, SyntaxError) and error.filename:
        file = os.path.relpath(error.filename)
        return f"put it right; python {shlex.quote(file)} says where, too"
    said = f"{type(error).__name__}: {error}"
    for pattern, remedy in _REMEDIES:
        if re.search(pattern, said):
            return remedy
    return "put it right there; --traceback shows the whole way to it"


_REMEDIES = (
    (
        r"(?i)video device|could not initialize.*x11|cannot open display|no display",
        'there is no screen here: write os.environ.setdefault("SDL_VIDEODRIVER", "dummy") above import pygame, or draw '
        "on a pygame.Surface",
    ),
    (
        r"(?i)(video system|font|mixer|display) not initialized|display surface quit",
        "call pygame.init() in __init__, and no pygame.quit() in close(): other copies of the game still draw",
    ),
    (r"(?i)audio device|ALSA", 'write os.environ.setdefault("SDL_AUDIODRIVER", "dummy") above import pygame'),
    (
        r"unexpected keyword argument '(seed|options)'|reset\(\) takes",
        "write it as def reset(self, *, seed=None, options=None), with super().reset(seed=seed) in its first line",
    ),
    (
        r"unexpected keyword argument 'render_mode'|multiple values for keyword argument 'render_mode'",
        "take it and keep it: def __init__(self, render_mode=None): self.render_mode = render_mode",
    ),
    (r"__init__\(\) missing", "give every argument of __init__ a default, or pass it: --env-kwargs name:value"),
    (r"no attribute '_?(observation|action)_space'", "set self.observation_space and self.action_space in __init__"),
    (r"^NotImplementedError", "write this method; prefrl new-env makes a game that has all of them"),
)
"""What the message of an exception is known to mean, and what to do then."""
