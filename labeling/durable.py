"""Writing files so that they survive a power cut: all of a file is there, or none of it."""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from labeling.failpoints import failpoint

_FILES_PER_BATCH = 128
_SYNCS_AT_ONCE = 16  # a journaling file system merges syncs that wait together


def write_files(files: Sequence[tuple[Path, Callable[[], bytes]]]) -> None:
    """Writes each file from the function beside it; on return, all of them are on the disk.

    The contents are made only when they are written, so that few are in memory at a time.

    Raises:
        OSError: if the disk refuses; whole files may then be there, never parts of one.
    """
    make_folders({path.parent for path, _ in files})
    for first in range(0, len(files), _FILES_PER_BATCH):
        _write_batch(files[first : first + _FILES_PER_BATCH])
    sync_folders({path.parent for path, _ in files})


def make_folders(folders: Iterable[Path]) -> None:
    """Makes the folders and those above them, so that they too survive a power cut."""
    missing = {folder for folder in folders if not folder.is_dir()}
    if missing:
        parents = {folder.parent for folder in missing}
        make_folders(parents)
        for folder in missing:
            folder.mkdir(exist_ok=True)
        sync_folders(parents)


def sync_file(path: Path) -> None:
    """Makes the content of a file durable."""
    handle = os.open(path, os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_folders(folders: Iterable[Path]) -> None:
    """Makes the names in folders durable, which syncing the files themselves does not."""
    with ThreadPoolExecutor(_SYNCS_AT_ONCE) as pool:
        list(pool.map(_sync_folder, folders))


def _sync_folder(folder: Path) -> None:
    if sys.platform != "win32":  # Windows cannot open folders; it journals their names itself
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _write_batch(files: Sequence[tuple[Path, Callable[[], bytes]]]) -> None:
    """Writes all, then syncs all, then renames all: the disk can merge what it is told."""
    written: list[tuple[int, Path, Path]] = []
    try:
        for path, content in files:
            temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
            written.append((handle, temporary, path))
            rest = memoryview(content())
            while rest:
                rest = rest[os.write(handle, rest) :]
        failpoint("clip.written")
        with ThreadPoolExecutor(_SYNCS_AT_ONCE) as pool:
            list(pool.map(os.fsync, [handle for handle, _, _ in written]))
        failpoint("clip.synced")
        for _, temporary, path in written:
            os.replace(temporary, path)
        failpoint("clip.renamed")
    finally:
        for handle, temporary, _ in written:
            os.close(handle)
            with contextlib.suppress(FileNotFoundError):  # already renamed: the usual case
                temporary.unlink()
