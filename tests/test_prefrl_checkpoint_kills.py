"""kill -9 while a checkpoint is written: whenever it comes, the newest that was whole is found, whole."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
N_RANDOM = int(os.environ.get("PREFRL_KILLS", "30"))
"""`make kills` has 200."""


@pytest.fixture(scope="module")
def trials() -> list[dict[str, Any]]:
    command = [sys.executable, "-W", "ignore", str(ROOT / "tests" / "killed_saves.py"), str(N_RANDOM)]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    assert all(trial["signal"] == 9 for trial in found)
    return found


@pytest.mark.slow
def test_killed_at_every_point_of_a_checkpoint_the_newest_whole_one_is_found(trials: list[dict[str, Any]]) -> None:
    named = [trial for trial in trials if trial["armed"]]
    assert len({trial["armed"].split(":")[0] for trial in named}) == 6
    assert [trial for trial in named if not (trial["whole"] and trial["newest"] and trial["goes_on"])] == []
    # Before the renaming the one before is the newest, after it the new one.
    saved = {trial["armed"]: trial["saved"] for trial in named}
    assert {n for armed, n in saved.items() if ":after=4:" in armed} == {4}


@pytest.mark.slow
def test_killed_at_random_the_newest_whole_one_is_found(trials: list[dict[str, Any]]) -> None:
    random = [trial for trial in trials if not trial["armed"]]
    assert len(random) == N_RANDOM
    assert [trial for trial in random if not (trial["whole"] and trial["newest"] and trial["goes_on"])] == []
    assert any(trial["half"] for trial in random)  # kills came in the middle of it, too
    assert any(trial["saved"] > 3 for trial in random)
