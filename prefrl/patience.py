"""Waiting for a full disk: what is to be stored is stored when there is room, and the run goes on."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from labeling import disk
from labeling.clip import ClipError
from labeling.store import StoreError

T = TypeVar("T")

POLL_SECONDS = 2.0

# Of the thread that trains, as a stop is: whoever stores something far below need not be handed it.
_IS_STOPPING: ContextVar[Callable[[], bool]] = ContextVar("is_stopping", default=lambda: False)


class StoppedWaitingError(Exception):
    """The run was told to stop while it waited for room; what it was about to store is not stored."""


@contextmanager
def stoppable(is_stopping: Callable[[], bool]) -> Iterator[None]:
    """Inside the block nobody waits for room once `is_stopping` says so."""
    token = _IS_STOPPING.set(is_stopping)
    try:
        yield
    finally:
        _IS_STOPPING.reset(token)


def when_there_is_room(work: Callable[[], T]) -> T:
    """Do work that writes clips or labels; where the disk is full, say so once and try again until it is not.

    The work must be one that may be done again after it failed half way, as storing in clip files and in the store is.

    Raises:
        ClipError, StoreError: It failed for another reason.
        StoppedWaitingError: The disk is full, and the run is to stop; see `stoppable`.
    """
    has_said = False
    while True:
        try:
            return work()
        except (ClipError, StoreError) as e:
            if not disk.is_full(e):
                raise
            if _IS_STOPPING.get()():
                raise StoppedWaitingError(str(e)) from e
            if not has_said:
                has_said = True
                warnings.warn(f"{e}; the run waits until the disk has room", stacklevel=2)
            time.sleep(POLL_SECONDS)
