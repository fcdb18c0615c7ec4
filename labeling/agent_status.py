"""How the agent is doing, as its trainer tells the people who label for it: one small file, replaced as a whole."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from labeling import disk, plain_files

_MAX_BYTES = 2**16


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentStatus:
    """What the trainer is at."""

    steps: int
    """Steps that the agent has taken in all envs together."""
    total_steps: int
    """Steps that it will take."""
    state: str
    """Training; waiting (for answers); ended; stopped (not at its end)."""
    labels: int
    """Answers that it has taken in."""
    total_labels: int
    """Answers that it asks for in all."""
    process_id: int
    """Of the trainer."""
    updated_at_utc_ms: int
    """When this was written."""
    newest_clip: str | None = None
    """A longer clip of what the agent did lately, for the page; None where there is none yet."""


def write_status(path: Path, status: AgentStatus) -> None:
    """Replace the file; it need not survive a power cut, since the trainer writes it again and again.

    For the same reason a full disk is passed over: the file then says what it said before.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        beside.write_text(json.dumps(asdict(status)), encoding="utf-8")
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        if not disk.is_full(error):
            raise


def read_status(path: Path) -> AgentStatus | None:
    """What the trainer wrote last, or None where it has not; "stopped" if it is gone without having ended."""
    try:
        status = AgentStatus(**json.loads(plain_files.read_text(path, _MAX_BYTES)))
        if not 0 < status.process_id < 2**31:
            return None
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    if status.state in ("training", "waiting") and not _is_alive(status.process_id):
        return replace(status, state="stopped")
    return status


def _is_alive(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is there, and another user's
        return True
    return True
