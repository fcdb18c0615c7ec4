"""One cell in a process of its own: `python -m prefrl.cell_run FOLDER` trains what FOLDER/cell.toml says.

The process lives no longer than the one that started it, whose end of the pipe at standard input closes with it,
however it died: so a benchmark that was killed leaves nothing that trains on, and can be started again at once.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from prefrl import configfile
from prefrl.errors import UserError
from prefrl.rundir import write_text


def main(folder: Path) -> int:
    """Train a cell from its beginning unless it is done; returns 0 when it is done, 1 when it cannot be."""
    _end_with_parent()
    from prefrl.cell_folder import CellFolder, outcome_of  # takes seconds in which the parent may die

    cell = CellFolder(folder)
    with _locked(cell.lock):
        if cell.read() is not None:
            return 0
        config = replace(configfile.load(cell.config, to_train=True), run_dir=str(cell.run.path))
        shutil.rmtree(cell.run.path, ignore_errors=True)  # of a try that was cut off: half a run is no run
        from prefrl.training import train

        try:
            train(config)
            write_text(cell.outcome, outcome_of(cell.run, config).to_json() + "\n")
        except UserError as e:
            sys.stderr.write(f"prefrl: {e}\n")
            return 1
        except Exception:
            traceback.print_exc()
            return 1
    return 0


def _end_with_parent() -> None:
    """End this process when standard input ends."""

    def watch() -> None:
        while os.read(0, 4096):
            pass
        os._exit(130)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Wait for another process that trains the same cell, one that is just being ended for example."""
    with path.open("a") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
