"""The clock that leases go by: never set, shared by all processes of the machine, and begun anew at each boot."""

from __future__ import annotations

import functools
import time
from pathlib import Path

__all__ = ["boot_id", "monotonic_ms"]

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def monotonic_ms() -> int:
    """Milliseconds since some moment of this boot."""
    return time.monotonic_ns() // 1_000_000


@functools.cache
def boot_id() -> str:
    """Which boot of which machine it is: times of `monotonic_ms` compare only within one; "" where it is not known."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""
