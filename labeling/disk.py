"""What lies under a path: its file system, who has it open, and whether an error means that there is no room left."""

from __future__ import annotations

import errno
import os
import re
import sqlite3
import sys
from pathlib import Path

from labeling.label import StoreError

_LOCAL = frozenset({"btrfs", "ext2", "ext3", "ext4", "f2fs", "tmpfs", "xfs", "zfs"})
_NETWORK = frozenset(
    {"afs", "beegfs", "ceph", "cifs", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "smb3", "smbfs"}
    | {"fuse.ceph", "fuse.ceph-fuse", "fuse.glusterfs", "fuse.sshfs", "fuse.s3fs", "fuse.gcsfuse", "fuse.rclone"}
)
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
MOUNTS = Path("/proc/self/mounts")


def file_system(path: Path) -> str:
    """Kind of the file system on which an absolute path lies, as the kernel calls it; "" where that is not known."""
    if not sys.platform.startswith("linux"):
        return ""
    best = (-1, "")
    for line in MOUNTS.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        _, mount, kind, *_ = line.split(" ")
        mount = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), mount)
        if path.is_relative_to(mount) and len(mount) >= best[0]:  # of two on one place the later lies on top
            best = (len(mount), kind)
    return best[1]


def is_local(path: Path) -> bool:
    """Whether the file is on a file system known to be local: SQLite's WAL needs shared memory."""
    return file_system(path) in _LOCAL


def refuse_network(path: Path) -> None:
    """Refuses file systems that are shared over a network: their locks and syncs do not do what SQLite builds on.

    Raises:
        StoreError: what was expected, what it is, and what to do.
    """
    kind = file_system(path.resolve())
    if kind in _NETWORK:
        raise StoreError(
            f"expected a run folder on a disk of this machine, got {path} on a network file system ({kind}), where "
            "answers could be lost; choose a --run-dir on a local disk, and copy the folder when the run has ended"
        )


def is_full(error: BaseException) -> bool:
    """Whether the error, or what caused it, means that nothing more could be written for want of room."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in _NO_ROOM:
            return True
        if isinstance(cause, sqlite3.Error) and getattr(cause, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL:
            return True
        cause = cause.__cause__
    return False


def open_in(path: Path) -> list[int]:
    """Ids of other processes that have the file open, as far as the system tells us."""
    try:
        wanted = path.stat()
        ids = [int(entry) for entry in os.listdir("/proc") if entry.isdigit() and int(entry) != os.getpid()]
    except OSError:  # no such file, or a system without /proc
        return []
    return [process_id for process_id in ids if _has_open(process_id, (wanted.st_dev, wanted.st_ino))]


def _has_open(process_id: int, wanted: tuple[int, int]) -> bool:
    try:
        with os.scandir(f"/proc/{process_id}/fd") as handles:
            for handle in handles:
                found = handle.stat()
                if (found.st_dev, found.st_ino) == wanted:
                    return True
    except OSError:  # it has ended, or is another user's
        return False
    return False
