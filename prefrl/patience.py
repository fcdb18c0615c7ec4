"""Waiting for a full disk: what is to be stored is stored when there is room, and the run goes on."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import TypeVar

from labeling import disk
from labeling.clip import ClipError
from labeling.store import StoreError

T = TypeVar("T")

POLL_SECONDS = 2.0


def when_there_is_room(work: Callable[[], T]) -> T:
    """Do work that writes clips or labels; where the disk is full, say so once and try again until it is not.

    The work must be one that may be done again after it failed half way, as storing in clip files and in the store is.

    Raises:
        ClipError, StoreError: It failed for another reason.
    """
    has_said = False
    while True:
        try:
            return work()
        except (ClipError, StoreError) as e:
            if not disk.is_full(e):
                raise
            if not has_said:
                has_said = True
                warnings.warn(f"{e}; the run waits until the disk has room", stacklevel=2)
            time.sleep(POLL_SECONDS)
