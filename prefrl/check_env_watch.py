"""What of a game is being called, and until when: told in memory that is shared with the process that watches."""

from __future__ import annotations

import mmap
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_LAYOUT = struct.Struct("ddq32s96s")
_STEP = struct.Struct("q")
_STEP_AT = 2 * 8

_told = mmap.mmap(-1, _LAYOUT.size)
"""Shared with every fork."""


@dataclass(frozen=True, slots=True)
class Called:
    """What was told last."""

    check: str
    """Which check it is for."""
    what: str
    """What is called, as in "step()"; empty where it is nothing of the game's."""
    begun: float
    """By `time.monotonic`, which is one for all processes."""
    limit: float
    """Seconds that it may take."""
    step: int
    """The game's step, where `what` is one."""


@contextmanager
def told(what: str, limit: float) -> Iterator[None]:
    """Tell that this is called for as long as the block takes, and then again what was before."""
    before = _told[:]
    check = before[_STEP_AT + 8 : _STEP_AT + 8 + 32]
    _LAYOUT.pack_into(_told, 0, time.monotonic(), limit, 0, check, what.encode()[:96])
    try:
        yield
    finally:
        _told[:] = before


def tell_step(number: int) -> None:
    """Tell which step is called."""
    _STEP.pack_into(_told, _STEP_AT, number)


def tell_check(name: str) -> None:
    """Tell which check comes now."""
    _LAYOUT.pack_into(_told, 0, 0.0, 0.0, 0, name.encode()[:32], b"")


def called() -> Called:
    """What was told last."""
    begun, limit, step, check, what = _LAYOUT.unpack_from(_told)
    check, what = (name.rstrip(b"\0").decode(errors="ignore") for name in (check, what))
    return Called(check, what, begun, limit, step)
