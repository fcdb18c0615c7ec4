"""Queries and labels to put into stores under test."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import numpy as np

from labeling.choice import Choice
from labeling.clip import Clip
from labeling.store import Label, Query

SCHEMA_QUERY = "SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'"


def clip_id(number: int) -> str:
    return f"{number:064x}"


def make_query(number: int = 0, **changes: Any) -> Query:
    fields: dict[str, Any] = {
        "query_id": f"q{number}",
        "clip_ids": (clip_id(2 * number), clip_id(2 * number + 1)),
        "asked_at_step": 100 * number,
        "round": number,
        "strategy": "uniform",
        "is_random": True,
        "asked_at_utc_ms": 1_700_000_000_000,
    }
    return Query(**{**fields, **changes})


def make_clip(number: int, n_steps: int = 5000) -> Clip:
    """A clip of 200 kB that no other number has."""
    return Clip(
        obs=np.random.default_rng(number).normal(size=(n_steps, 4)),
        actions=np.zeros((n_steps, 1), np.float32),
        frame_rate=20.0,
        env_index=0,
        episode=0,
        start_step=number,
        agent_step=number,
    )


def make_label(label_id: str = "a", query_id: str = "q0", **changes: Any) -> Label:
    fields: dict[str, Any] = {"labeler": "window", "choice": Choice.LEFT}
    return Label(label_id=label_id, query_id=query_id, **{**fields, **changes})


def raw(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None)
