"""What a check of a game says: one row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "warn", "bad"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at."""

    name: str
    """What was looked at, in a word or two."""
    status: Status
    """ok; warn, where it trains but something is lost; bad, where it cannot be trained."""
    detail: str
    """What was found."""
    remedy: str = ""
    """What to do about it; empty where nothing is needed."""
    flags: str = ""
    """What to add to `prefrl train` because of it."""
    trace: str = ""
    """The traceback of the game's own exception, where there was one."""
