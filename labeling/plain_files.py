"""Folders that somebody else may have made: plain files of bounded size, or one clear line.

Links are refused, since a link can lead to any file of whoever reads or goes on with the folder; so are pipes and
devices, of which a read never ends.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

MAX_ENTRIES = 2_000_000
"""Most files and folders that a folder may hold, those below counted."""
_MIB = 2**20
MAX_BYTES = {".toml": _MIB, ".json": 64 * _MIB, ".jsonl": 256 * _MIB, ".csv": 256 * _MIB, ".npz": 256 * _MIB}
"""Largest file by its name's end, in bytes."""
MAX_OTHER_BYTES = 8 * 2**30
"""Largest file of any other name."""


class PlainFileError(ValueError):
    """A link, no plain file, too large, no text, no folder, or not to be read."""


def check_folder(folder: Path) -> None:
    """Look at everything below `folder`, which itself may be a link; what is gone meanwhile is passed over.

    Raises:
        PlainFileError: The first entry that is not to be trusted, or it is no folder, or cannot be read.
    """
    try:
        _check_entries(folder)
    except NotADirectoryError as error:
        raise PlainFileError(
            f"expected a folder at {error.filename}, got a file; name the folder in which it lies"
        ) from error
    except OSError as error:
        raise PlainFileError(
            f"expected to be let read {error.filename or folder}, got: {error.strerror}; see who may read it"
        ) from error


def _check_entries(folder: Path) -> None:
    for n, entry in enumerate(_entries(folder)):
        if n >= MAX_ENTRIES:
            raise PlainFileError(f"expected at most {MAX_ENTRIES:,} files in {folder}, got more")
        if entry.is_symlink():
            raise PlainFileError(f"expected plain files in {folder}, got a link, {entry.path}; put the file there")
        if entry.is_dir(follow_symlinks=False):
            continue
        try:
            found = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            continue
        if not stat.S_ISREG(found.st_mode):
            raise PlainFileError(f"expected plain files in {folder}, got something else, {entry.path}")
        most = MAX_BYTES.get(Path(entry.name).suffix, MAX_OTHER_BYTES)
        if found.st_size > most:
            raise PlainFileError(f"expected {entry.path} to have at most {most:,} bytes, got {found.st_size:,}")


def read_text(path: Path, most_bytes: int) -> str:
    """The text of a plain file.

    Raises:
        PlainFileError: It is a link, no plain file, larger than that, or not UTF-8.
        OSError: It is not there, or cannot be read.
    """
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise PlainFileError(f"expected a plain file at {path}, got something else")
        data = file.read(most_bytes + 1)
    if len(data) > most_bytes:
        raise PlainFileError(f"expected {path} to have at most {most_bytes:,} bytes, got more")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise PlainFileError(f"expected UTF-8 text in {path}, got other bytes") from error


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    waiting = [str(folder)]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    yield entry
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
        except FileNotFoundError:
            continue
