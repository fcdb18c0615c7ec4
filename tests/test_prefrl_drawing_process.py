"""The drawing worker when it is killed or breaks: what is said of it is its own."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from test_prefrl_drawing import run_with_queries, until

from prefrl.drawing_process import MAX_STARTS, DrawingProcess

pytestmark = pytest.mark.slow


def test_of_a_killed_worker_no_old_line_is_quoted(tmp_path: Path) -> None:
    run, _ = run_with_queries(tmp_path / "run", 1)
    run.drawing_log.write_text("query q7 is withdrawn: said last week\n")
    with DrawingProcess(run.path, "frames", run.drawing_log) as drawing:
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
        assert drawing._n_starts == 1
