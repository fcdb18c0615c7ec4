"""The drawing worker over what passes, killed and broken: it goes on, or what is said of it is its own."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from test_prefrl_drawing import run_with_queries, until

from labeling.clip import ClipFiles
from labeling.failpoints import VARIABLE
from labeling.store import Store
from prefrl.drawing_process import MAX_STARTS, WITHIN_SECONDS, DrawingProcess

pytestmark = pytest.mark.slow


def test_of_a_killed_worker_no_old_line_is_quoted(tmp_path: Path) -> None:
    run, _ = run_with_queries(tmp_path / "run", 1)
    run.drawing_log.write_text("query q7 is withdrawn: said last week\n")
    now = 0.0
    with DrawingProcess(run.path, "frames", run.drawing_log, clock=lambda: now) as drawing:
        for n in range(MAX_STARTS):
            process = drawing._process
            assert process is not None
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            trouble = drawing.trouble()
            assert (trouble is None) == (n < MAX_STARTS - 1)
        assert trouble == (
            "clips cannot be drawn: the worker was killed, as for want of memory; what it said before is in "
            f"{run.drawing_log}"
        )
        now = WITHIN_SECONDS - 1
        assert drawing.trouble() == trouble
        now = WITHIN_SECONDS  # an hour of labeling may have more than three mishaps
        assert drawing.trouble() is None
        assert drawing._process is not process


def test_what_a_worker_says_itself_is_quoted_from_its_start_on(tmp_path: Path) -> None:
    run, _ = run_with_queries(tmp_path / "run", 1)
    run.drawing_log.write_text("query q7 is withdrawn: said last week\n")
    run.config.write_text("env_id = 7\n")
    with DrawingProcess(run.path, "frames", run.drawing_log) as drawing:
        until(lambda: drawing.trouble() is not None, "the worker's end")
        trouble = drawing.trouble()
        assert trouble is not None
        assert trouble.startswith("clips cannot be drawn: ")
        assert "env_id" in trouble
        assert len(drawing._started_at) == 1


def test_a_store_that_refuses_for_a_while_ends_no_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here of a disk that is full when a query with a damaged clip is to be withdrawn."""
    run, clips = run_with_queries(tmp_path / "run", 1)
    ClipFiles(run.clips).path(clips[0].clip_id).write_bytes(b"not a clip")
    monkeypatch.setenv(VARIABLE, "store.commit:enospc")
    with DrawingProcess(run.path, "frames", run.drawing_log) as drawing, Store(run.labels) as store:
        first = drawing._process
        assert first is not None
        until(lambda: bool(store.withdrawals()) or first.poll() is not None, "the withdrawal")
        assert drawing.trouble() is None
        assert drawing._process is first
        assert list(store.withdrawals()) == ["q0"]
    assert "No space left on device; trying again" in run.drawing_log.read_text()
