"""The drawing worker as window and page see it: a child process that is started again when it breaks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

MAX_STARTS = 3
"""Within `WITHIN_SECONDS`; a worker that breaks at once breaks again, one that breaks every hour is worth its start."""
WITHIN_SECONDS = 600.0


class DrawingProcess:
    """Keeps a drawing worker going beside a window or a page; a context manager.

    Args:
        run_dir: Folder of the run.
        kind: "frames" for a window, "video" for a page.
        log: File that gets what the worker says.
        clock: Seconds that only go forward.
    """

    def __init__(self, run_dir: Path, kind: str, log: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._run_dir = run_dir
        self._kind = kind
        self._log = log
        self._log_start = 0
        """Length of the log when the worker was started: what stands before, others have said."""
        self._clock = clock
        self._started_at: list[float] = []
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let the worker end, which it does when its standard input is closed."""
        if self._process is None:
            return
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:  # in the middle of a long drawing
            self._process.kill()
            self._process.wait()

    def trouble(self) -> str | None:
        """Why nothing is drawn, where the worker has ended; it is started again, a few times in ten minutes."""
        assert self._process is not None
        code = self._process.poll()
        if code is None:
            return None
        said = self._last_words(code)
        n_lately = sum(self._clock() - at < WITHIN_SECONDS for at in self._started_at)
        if code != 2 and n_lately < MAX_STARTS:  # 2: it has said what cannot be drawn, and never will be
            self._start()
            return None
        return f"clips cannot be drawn: {said}"

    def _last_words(self, code: int) -> str:
        if code == -signal.SIGKILL:  # whatever it said last, it had no time to say of this
            return f"the worker was killed, as for want of memory; what it said before is in {self._log}"
        with self._log.open("rb") as log:
            log.seek(self._log_start)
            lines = log.read().decode("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else f"it ended with code {code}"

    def _start(self) -> None:
        self._started_at.append(self._clock())
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
        # One thread for OpenGL in software, or it would take all cores from the training.
        environment = {"LP_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", **os.environ}
        with self._log.open("ab") as log:
            self._log_start = log.seek(0, os.SEEK_END)
            self._process = subprocess.Popen(  # noqa: S603  # our own module
                [sys.executable, "-P", "-m", "prefrl.drawing", str(self._run_dir), self._kind],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,  # Ctrl-C is for the parent, which closes our standard input
            )
