"""A forked process and the line to it: answers with a time limit, and how it ended where there is none.

A fork, since games are known to the program that registered them, and not to a fresh interpreter.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import socket
import time
import warnings
from collections.abc import Callable
from multiprocessing.connection import Connection

_PR_SET_PDEATHSIG = 1
_TO_THE_PARENT = (signal.SIGINT, signal.SIGTERM)


class ChildLost(Exception):  # noqa: N818  # the child's, not ours
    """The process ended or took too long, in words; it has been ended."""


class GameChild:
    """A process that runs `serve` with its end of the line, and ends with it; so do programs that it starts."""

    def __init__(self, serve: Callable[[Connection], None]) -> None:
        self._line, theirs = _line()
        with warnings.catch_warnings():
            # Python 3.12 on warns of threads, whose locks a fork may find locked: the child needs none of ours, and one
            # that hangs all the same is found out as any other.
            warnings.simplefilter("ignore", DeprecationWarning)
            self._process_id = os.fork()
        if self._process_id == 0:
            try:
                self._line.close()
                _stay_apart()
                serve(theirs)
            finally:
                os._exit(0)
        theirs.close()
        self._poll = select.poll()
        self._poll.register(self._line.fileno(), select.POLLIN)

    def send(self, message: bytes) -> None:
        """Tell it something; where it is gone, `answer` says so."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._line.send_bytes(message)

    def answer(self, seconds: float) -> bytes:
        """What it says next.

        Raises:
            ChildLost: It has ended, or did not say anything for so long and has been ended.
        """
        words = f"did not come back within {seconds:g} s"
        if self._poll.poll(seconds * 1000):
            with contextlib.suppress(EOFError, OSError):
                return self._line.recv_bytes()
            words = "ended its process"
            self._wait(1.0)  # it has closed its end, and is about to be gone
        if self._wait(0.0):
            words = self._how
        self.end()
        raise ChildLost(words)

    def close(self, message: bytes, seconds: float) -> None:
        """Tell it to end, give it so long, and end it."""
        if not self._line.closed:
            self.send(message)
            self._poll.poll(seconds * 1000)
            self._wait(0.1)
        self.end()

    def end(self) -> None:
        """End it now; may be called again."""
        self._line.close()
        if self._process_id and not self._wait(0.0):
            os.kill(self._process_id, signal.SIGKILL)
            self._wait(None)

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it is there."""
        if not self._wait(0.0):
            os.kill(self._process_id, number)

    def has_answer(self, seconds: float) -> bool:
        """Whether it says something, or has ended, within so long: then `answer` tells at once."""
        return bool(self._poll.poll(seconds * 1000))

    def _wait(self, seconds: float | None) -> bool:
        """Whether it has ended, waiting for it at most so long (None: as long as it takes)."""
        begin = time.monotonic()
        while self._process_id:
            with contextlib.suppress(ChildProcessError):  # somebody else has waited for it
                if os.waitid(os.P_PID, self._process_id, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                    # Before it is waited for: until then nobody else has its number.
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(self._process_id, signal.SIGKILL)
                    _, status = os.waitpid(self._process_id, 0)
                    self._process_id = 0
                    self._how = _how(os.waitstatus_to_exitcode(status))
                    return True
                if seconds is not None and time.monotonic() - begin >= seconds:
                    return False
                time.sleep(0.002)
                continue
            self._process_id, self._how = 0, "ended its process"
        return True


def _stay_apart() -> None:
    """Leave Ctrl-C and SIGTERM to the parent, and do not outlive it, not even in a game that hangs.

    A session of its own, so that what the game starts can be ended with it. The signals are caught and not ignored:
    what is ignored stays so in programs that the game starts, which could then not be told to end; nor could its forks.
    """
    os.setsid()
    for number in _TO_THE_PARENT:
        signal.signal(number, lambda number, frame: None)

    def after_in_child() -> None:
        for number in _TO_THE_PARENT:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _TO_THE_PARENT)

    os.register_at_fork(
        before=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, _TO_THE_PARENT),  # none is lost in between
        after_in_parent=lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, _TO_THE_PARENT),
        after_in_child=after_in_child,
    )
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _how(code: int) -> str:
    if code < 0:
        return f"ended its process by signal {-code} ({signal.Signals(-code).name})"
    return f"ended its process with exit code {code}"


def _line() -> tuple[Connection, Connection]:
    """Both ends; closed in programs that either side starts."""
    one, two = socket.socketpair()
    return Connection(one.detach()), Connection(two.detach())
