"""A small run folder with labels of every kind, for tests: two people, an undone label, a repeat, a tie, a skip."""

from pathlib import Path
from typing import Any

import numpy as np

from labeling.choice import Choice
from labeling.clip import Clip, ClipFiles
from labeling.store import Label, Query, Store
from prefrl import configfile, flags

BOB = "=cmd|' /C'!A0 [red]Zoë"
"""Bob's name is a formula, markup and not ASCII."""
T0 = 1_700_000_000_000
"""2023-11-14T22:13:20Z."""


def make_clip(number: int, **changes: Any) -> Clip:
    """A clip as the dot world records them."""
    rng = np.random.default_rng(number)
    fields: dict[str, Any] = {
        "obs": rng.uniform(-1, 1, (15, 6)).astype(np.float32),
        "actions": rng.integers(0, 5, 15),
        "view": rng.uniform(-0.8, 0.8, (15, 6)).astype(np.float32),
        "frame_rate": 10.0,
        "env_index": 0,
        "episode": number,
        "start_step": 0,
        "agent_step": 100 * number,
    }
    return Clip(**{**fields, **changes})


def make_query(number: int, clips: tuple[Clip, Clip], **changes: Any) -> Query:
    """Query number so and so."""
    fields: dict[str, Any] = {
        "query_id": f"q{number}",
        "clip_ids": tuple(clip.clip_id for clip in clips),
        "asked_at_step": 1000 * number,
        "round": number,
        "strategy": "uniform",
        "is_random": number == 0,
        "score": None if number == 0 else number / 8,
        "asked_at_utc_ms": T0 + number,
    }
    return Query(**{**fields, **changes})


def make_label(label_id: str, query_id: str, labeler: str, choice: Choice, **changes: Any) -> Label:
    """A label given one second after `T0`."""
    fields: dict[str, Any] = {"shown_at_utc_ms": T0, "answered_at_utc_ms": T0 + 1000, "ms_on_screen": 999}
    return Label(label_id=label_id, query_id=query_id, labeler=labeler, choice=choice, **{**fields, **changes})


def add_labels(folder: Path, first: int = 0) -> None:
    """Put five queries on the clips `first` to `first` + 9 into the folder's store, and seven labels."""
    clips = [make_clip(first + i) for i in range(10)]
    ClipFiles(folder / "clips").write_many(clips)
    pairs = [(clips[2 * i], clips[2 * i + 1]) for i in range(4)]
    with Store(folder / "labels.sqlite") as store:
        store.add_queries([make_query(i, pair) for i, pair in enumerate(pairs)])
        store.add_labels([make_label("a0", "q0", "ann", Choice.LEFT, swapped=True, answered_at_utc_ms=T0 + first)])
        store.add_labels([make_label("a1", "q1", "ann", Choice.RIGHT)])
        store.undo("a1", "u1", "ann", T0 + 2000)
        store.add_labels([make_label("a2", "q1", "ann", Choice.RIGHT, answered_at_utc_ms=T0 + 3000)])
        store.add_labels([make_label("b0", "q2", BOB, Choice.EQUAL), make_label("b1", "q3", BOB, Choice.SKIP)])
        store.add_queries([make_query(4, (clips[1], clips[0]), strategy="repeat")])
        with store.writing() as db:
            db.execute("INSERT INTO repeats (query_id, of_query_id, labeler) VALUES ('q4', 'q0', 'ann')")
        store.add_labels([make_label("a3", "q4", "ann", Choice.LEFT), make_label("b2", "q0", BOB, Choice.RIGHT)])


def make_run(folder: Path, *, labeled: bool = True, first: int = 0, **changes: Any) -> Path:
    """A folder with what a run on the dot world has before its first step, and perhaps labels."""
    folder.mkdir()
    config = flags.default_config("prefrl/Dot-v0", people={"task": "into the ring"}, **changes)
    (folder / "config.toml").write_text(configfile.dump(config), encoding="utf-8")
    if labeled:
        add_labels(folder, first)
    else:
        Store(folder / "labels.sqlite").close()
    return folder
