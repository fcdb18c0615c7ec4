"""One trainer at a time on a run folder: a second would mix two agents' answers, metrics and checkpoints.

The lock is the system's (`flock`), so that it goes with the process that holds it, however that ends; what the file
says is only for people.
"""

from __future__ import annotations

import importlib
import json
import os
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from labeling.failpoints import failpoint
from prefrl.errors import UserError

_MAX_BYTES = 4096
_held: set[int] = set()


@contextmanager
def only_trainer(path: Path) -> Iterator[None]:
    """Hold the lock file at `path` for the length of the block; the run folder must be there.

    Raises:
        UserError: Another process holds it; says which, where and since when.
    """
    handle = _open(path)
    try:
        _lock(handle, path)
        since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
        who = {"pid": os.getpid(), "host": socket.gethostname(), "since": since}
        os.ftruncate(handle, 0)
        os.pwrite(handle, (json.dumps(who) + "\n").encode(), 0)
        _held.add(handle)
        failpoint("trainer.lock")
        yield
        os.ftruncate(handle, 0)
    finally:
        _held.discard(handle)
        os.close(handle)


def _open(path: Path) -> int:
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o644)
    except OSError as e:
        raise UserError(f"expected to lock the run by {path}, got: {e.strerror}") from e
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise UserError(f"expected a plain file at {path}, got something else")
    return handle


def _lock(handle: int, path: Path) -> None:
    try:
        fcntl = importlib.import_module("fcntl")
    except ModuleNotFoundError:  # Windows: there, whoever starts two trainers on one folder is not stopped
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as e:
        raise UserError(
            f"expected no other trainer on {path.parent}, but {_holder(handle)} trains it; stop that one first, or "
            "choose another --run-dir"
        ) from e


def _holder(handle: int) -> str:
    """Who holds the lock, as the file says it."""
    try:
        who = json.loads(os.pread(handle, _MAX_BYTES, 0))
        pid, host, since = int(who["pid"]), str(who["host"]), str(who["since"])
    except (ValueError, TypeError, KeyError, RecursionError):  # it has only just been locked
        return "a process that does not say who it is"
    words = f"process {pid} on {host}, since {since},"
    return "".join(c if c.isprintable() else " " for c in words)[:200]


def _let_go() -> None:
    """In a forked process: a lock is held as long as any copy of its handle is open."""
    for handle in _held:
        os.close(handle)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)
