"""A check in a process of its own, so that a game that hangs or ends the program in C is a row like any other.

What a game does in Python is found out there (`check_env_calls`). A call into C that never returns lets no alarm
through, and a crash lets nothing through: both are seen from here, with the Python line that they were called from.
"""

from __future__ import annotations

import faulthandler
import json
import os
import re
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict
from multiprocessing.connection import Connection

from prefrl.check_env_calls import WAITS
from prefrl.check_env_finding import Finding
from prefrl.check_env_watch import Called, called, tell_check
from prefrl.errors import UserError
from prefrl.game_child import ChildLost, GameChild
from prefrl.game_errors import place_among

_LOOK_SECONDS = 0.2
_GRACE_SECONDS = 5.0
"""What Python's own alarm is given to end a call that is over its limit."""
_TRACE_SECONDS = 2.0

_BROKE = "what it calls there is broken, or called wrongly; --traceback shows the Python lines on the way to it"
_ENDED = "it calls os._exit(), or something that it calls does: end an episode by returning terminated=True instead"
_KILLED = "if nobody killed it, the system ran out of memory: see what it loads or keeps there"


def check_apart(check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """What a check finds, called in another process; where that is lost, the last row says how.

    Raises:
        UserError: The check did.
    """
    tell_check("found")
    trace = os.memfd_create("trace")
    child = GameChild(lambda line: _serve(check, line, trace))
    try:
        while True:
            if not child.has_answer(_LOOK_SECONDS):
                if _is_late(called()):
                    yield _hung(child, trace)
                    return
                continue
            try:
                said = json.loads(child.answer(_LOOK_SECONDS))
            except ChildLost as e:
                yield _ended(str(e), trace)
                return
            if "finding" not in said:
                _raise(said)
                return
            yield Finding(**said["finding"])
    finally:
        child.end()
        os.close(trace)


def _serve(check: Callable[[], Iterator[Finding]], line: Connection, trace: int) -> None:
    """Send what is found, and that it was the last."""
    faulthandler.enable(trace, all_threads=False)
    faulthandler.register(signal.SIGRTMAX, trace, all_threads=False)
    try:
        for finding in check():
            line.send_bytes(json.dumps({"finding": asdict(finding)}).encode())
        said: dict[str, str] = {}
    except UserError as e:
        said = {"user_error": str(e)}
    except BaseException:  # a fault of ours: the check knows all others
        said = {"fault": traceback.format_exc()}
    line.send_bytes(json.dumps(said).encode())


def _raise(said: dict[str, str]) -> None:
    if "user_error" in said:
        raise UserError(said["user_error"])
    if "fault" in said:
        raise RuntimeError(said["fault"])


def _is_late(now: Called) -> bool:
    return bool(now.what) and time.monotonic() > now.begun + now.limit + _GRACE_SECONDS


def _hung(child: GameChild, trace: int) -> Finding:
    now = called()
    before = dumped = _read(trace)
    child.send_signal(signal.SIGRTMAX)
    end = time.monotonic() + _TRACE_SECONDS
    while time.monotonic() < end:  # until it is whole
        time.sleep(0.02)
        last, dumped = dumped, _read(trace)
        if last == dumped != before:
            break
    return _row(now, f"did not come back within {now.limit:g} s", WAITS, dumped)


def _ended(words: str, trace: int) -> Finding:
    now, dumped = called(), _read(trace)
    by_signal = re.search(r"by signal (\d+)", words)
    remedy = _ENDED if by_signal is None else _KILLED if by_signal[1] == str(int(signal.SIGKILL)) else _BROKE
    return _row(now, words, remedy, dumped)


def _row(now: Called, how: str, remedy: str, dumped: str) -> Finding:
    at = f" at step {now.step}" if now.step else ""
    dumped = dumped[dumped.rfind("(most recent call first)") :]  # of the last, whatever else crashed before
    lines = [(file, int(line)) for file, line in re.findall(r'^  File "(.*)", line (\d+) in ', dumped, re.MULTILINE)]
    detail = f"{now.what or 'the game'} {how}{place_among(lines[::-1])}{at}"
    return Finding(now.check, "bad", detail, remedy, trace=f"Stack {dumped}" if dumped else "")


def _read(trace: int) -> str:
    size = os.fstat(trace).st_size
    return os.pread(trace, size, 0).decode(errors="replace")
