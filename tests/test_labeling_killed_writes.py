"""A process killed at each point of writing clips and labels: what was acknowledged is there, and whole."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from stores import raw

from labeling.clip import ClipFiles
from labeling.failpoints import POINTS, VARIABLE
from labeling.store import Store

ROOT = Path(__file__).resolve().parent.parent
WRITING = """
import sys
from pathlib import Path
from stores import make_clip, make_label, make_query
from labeling.clip import ClipFiles
from labeling.store import Store

folder = Path(sys.argv[1])
store, files = Store(folder / "labels.sqlite"), ClipFiles(folder / "clips")
for n in range(20):
    clips = [make_clip(2 * n, 20), make_clip(2 * n + 1, 20)]
    files.write_many(clips)
    store.add_queries([make_query(n, clip_ids=tuple(clip.clip_id for clip in clips))])
    store.add_labels([make_label(f"l{n}", f"q{n}")])
    print(n, flush=True)
"""


@pytest.mark.parametrize("point", [p for p in POINTS if p.startswith("clip.") or p.startswith("store.")])
def test_what_was_acknowledged_before_the_kill_is_there_and_whole(point: str, tmp_path: Path) -> None:
    path = f"{ROOT}{os.pathsep}{ROOT / 'tests'}"
    environment = {**os.environ, "PYTHONPATH": path, VARIABLE: f"{point}:after=9:kill"}
    done = subprocess.run(
        [sys.executable, "-c", WRITING, str(tmp_path)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    acknowledged = {f"l{n}" for n in done.stdout.split()}
    assert acknowledged
    files = ClipFiles(tmp_path / "clips")
    with Store(tmp_path / "labels.sqlite") as store:
        stored = {label.label_id for label in store.labels_after(0)}
        for query in store.queries():
            for clip_id in query.clip_ids:  # a query is never there before its clips are
                assert files.read(clip_id).clip_id == clip_id
    assert acknowledged <= stored
    assert len(stored - acknowledged) <= 1
    assert raw(tmp_path / "labels.sqlite").execute("PRAGMA integrity_check").fetchone() == ("ok",)
