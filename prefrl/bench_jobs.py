"""Train many cells, a few at a time: each a process of its own, tried again when it crashes, stopped with this one."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path

from prefrl import configfile
from prefrl.cell import Cell
from prefrl.cell_folder import CellFolder
from prefrl.rundir import write_text

_TRIES = 2
_LAST_LINES = 3


@dataclass(frozen=True, slots=True)
class Ended:
    """A cell that needs no more training, or cannot be trained."""

    cell: Cell
    n_tries: int
    failure: str
    """Last lines of its log; empty where it is done."""
    log: Path


def train_cells(cells: Sequence[Cell], folder: Path, n_jobs: int, on_end: Callable[[Ended], None]) -> list[Ended]:
    """Train cells, `n_jobs` at a time, in the order given; on Ctrl-C those in progress are ended, the done ones stay.

    Args:
        cells: To be trained; of several with one key the first counts.
        folder: Where each has a folder.
        n_jobs: Processes at a time.
        on_end: Told of each when it has ended, in this thread.

    Raises:
        KeyboardInterrupt: The user stopped it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    unique = list({cell.key: cell for cell in reversed(cells)}.values())[::-1]
    running = _Running()
    ended: list[Ended] = []
    with ThreadPoolExecutor(n_jobs) as pool:
        futures = [pool.submit(_train, cell, CellFolder(folder / cell.key), running) for cell in unique]
        try:
            for future in as_completed(futures):
                ended.append(future.result())
                on_end(ended[-1])
        except BaseException:
            for future in futures:
                future.cancel()
            running.end()
            raise
    return ended


class _Running:
    """The processes at work, so that all can be ended at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._processes: set[subprocess.Popen[bytes]] = set()
        self.is_over = False

    def run(self, command: list[str], log: Path) -> int:
        """Run to the end; returns the exit code."""
        with log.open("ab") as out, self._lock:
            if self.is_over:
                return 130
            process = subprocess.Popen(  # noqa: S603  # our own program
                command,
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=out,
                env={**os.environ, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")},
                start_new_session=True,  # Ctrl-C is for this process, which ends them
            )
            self._processes.add(process)
        with process:  # closes its standard input
            code = process.wait()
        with self._lock:
            self._processes.discard(process)
        return code

    def end(self) -> None:
        """End all, and start no more."""
        with self._lock:
            self.is_over = True
            for process in self._processes:
                process.kill()


def _train(cell: Cell, folder: CellFolder, running: _Running) -> Ended:
    folder.path.mkdir(exist_ok=True)
    write_text(folder.config, configfile.dump(replace(cell.config, run_dir=str(folder.run.path))))
    folder.log.unlink(missing_ok=True)
    for n_tries in range(1, _TRIES + 1):
        code = running.run([sys.executable, "-m", "prefrl.cell_run", str(folder.path)], folder.log)
        if code == 0:
            return Ended(cell, n_tries, "", folder.log)
        if running.is_over:
            break
    killed = [f"ended by signal {-code}"] if code < 0 else []
    return Ended(cell, n_tries, " / ".join([*killed, *_tail(folder.log)]) or f"exit code {code}", folder.log)


def _tail(log: Path) -> list[str]:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.is_file() else []
    return [line.strip() for line in lines[-_LAST_LINES:] if line.strip()]
