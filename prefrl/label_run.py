"""`prefrl label RUN`: the window in which a person labels for a run."""

from __future__ import annotations

import contextlib
import getpass
import importlib
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Annotated, TextIO

import numpy as np
import tyro

from labeling.agent_status import read_status
from labeling.desk import Desk
from labeling.label import MAX_NAME_CHARS
from labeling.people_names import check_person
from labeling.pictures import Pictures
from labeling.store import Store
from prefrl import configfile
from prefrl.arguments import parse
from prefrl.config import Config
from prefrl.drawing_process import DrawingProcess
from prefrl.errors import UserError
from prefrl.rundir import RunDir


@dataclass(frozen=True)
class LabelArgs:
    """Open the window in which you label for a run, beside its training or before it goes on."""

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Folder of the run."""
    name: str | None = None
    """Name that your labels get. Default: the run's, or your login name."""


def main(args: list[str]) -> int:
    """Label until the window is closed."""
    options = parse(LabelArgs, "prefrl label", args)
    run = RunDir(options.run).must_exist()
    config = configfile.load(run.config)
    n_answers, waits_ms = label_run(run, config, options.name or name_of(config))
    line = f"{n_answers} answers given; go on labeling by: prefrl label {shlex.quote(str(run.path))}"
    if waits_ms:
        line += f"\n95% of the pairs came within {np.percentile(waits_ms, 95):.0f} ms of the key before"
    with contextlib.suppress(BrokenPipeError):  # the training that opened this window has ended before it
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
    return 0


def check_window(config: Config) -> None:
    """Make sure that a window could be opened, before anything is written.

    Raises:
        UserError: OpenCV is missing.
        ValueError: Of the window's own: there is no display, or the name in it is no person's.
    """
    check_person(name_of(config))
    _window().check_window()


def label_run(run: RunDir, config: Config, labeler: str) -> tuple[int, list[float]]:
    """Open the window, with a drawing worker beside it, until it is closed.

    Returns how many answers were given, and after how many milliseconds each pair was there once its key was pressed.
    """
    window = _window()
    Store.open_read_only(run.labels).close()  # a damaged store is said even where no window could be opened
    window.check_window()
    check_person(labeler)
    lock = _only_window(run)
    pictures, people = Pictures(run.drawn), config.people
    waits_ms: list[float] = []
    with Store(run.labels) as store, DrawingProcess(run.path, "frames", run.drawing_log) as drawing:
        desk = Desk(
            store,
            is_drawn=pictures.has_frames,
            repeat_share=people.repeat_share,
            lease_seconds=people.lease_seconds,
        )
        n_answers: int = window.label(
            desk,
            pictures,
            labeler=labeler,
            task=people.task,
            title=config.env_id,
            total_labels=config.total_labels,
            read_status=lambda: read_status(run.status),
            worker_trouble=drawing.trouble,
            how_to_resume=f"prefrl train --run-dir {shlex.quote(str(run.path))} --resume",
            on_painted=waits_ms.append,
        )
    lock.close()
    return n_answers, waits_ms


def _only_window(run: RunDir) -> TextIO:
    """A file that is locked while the window is open, by the system, so that no crash leaves it locked.

    Raises:
        UserError: A window is open for this run already.
    """
    file = run.window_lock.open("w")
    try:
        fcntl = importlib.import_module("fcntl")
    except ModuleNotFoundError:  # Windows; two windows there would show the same pairs, and store each answer once
        return file
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as e:
        file.close()
        raise UserError(f"a window is open for {run.path} already; go on labeling there, or close it first") from e
    return file


def name_of(config: Config) -> str:
    """The name that the labels of whoever sits at this machine get, unless they give another."""
    return config.people.name or login_name()


def login_name() -> str:
    """The name that this user has on this machine, as far as it can stand beside a label."""
    try:
        name = getpass.getuser()
    except (OSError, KeyError):  # no such user, as in a container
        name = ""
    return "".join(c for c in name if c.isprintable())[:MAX_NAME_CHARS] or "me"


def _window() -> ModuleType:
    try:
        return importlib.import_module("labeling.window")
    except ModuleNotFoundError as e:
        raise UserError(
            f"expected the package {e.name} for the window, found none; pip install 'prefrl[window]', or label on the "
            "web page"
        ) from e
