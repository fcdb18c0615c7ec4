"""Power cuts, replayed: what a traced process wrote and synced, and the disk as a cut at any moment may leave it.

strace records what the process really asked of the kernel, so that it is our own store, on the SQLite that it runs on,
that is judged. The disk is as hostile as POSIX allows: until a file is synced each of its writes may be lost by itself,
or torn at a sector; until a folder is synced its new, renamed and deleted names may be lost, the latest ones first.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

SECTOR = 512
CALLS = "openat,open,write,pwrite64,ftruncate,fsync,fdatasync,unlink,unlinkat,rename,renameat,renameat2,mkdir,mkdirat"
_LINE = re.compile(r"^\d+ +(\w+)\((.*)\) += (-?\d+)(?:<(.*?)>)?")
_HANDLE = re.compile(r"^\d+<([^>]*)>")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that was asked of the disk."""

    kind: str
    """open, write, truncate, sync, delete, rename, folder."""
    path: str
    to: str = ""
    """For a rename, the new path."""
    offset: int = -1
    """Of a write, or the new length; -1 appends."""
    data: bytes = b""
    is_new: bool = False
    """For an open: that the file may be made by it."""
    is_emptied: bool = False


def traced(command: Sequence[str], folder: Path, log: Path) -> list[Event]:
    """Runs a command and returns what it did to the disk in that folder, in order."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed")
    options = ["-f", "-y", "-xx", "-s", "9999999", "--seccomp-bpf", "-e", f"trace={CALLS}", "-e", "signal=none"]
    ran = subprocess.run([strace, *options, "-o", str(log), *command], capture_output=True, text=True, timeout=300)
    if "ptrace" in ran.stderr and "not permitted" in ran.stderr:
        pytest.skip("this machine does not let strace trace")
    assert ran.returncode == 0, ran.stderr
    events = [found for line in _whole_lines(log) if (found := _event(line)) is not None]
    return [event for event in events if event.path.startswith(str(folder))]


def _whole_lines(log: Path) -> list[str]:
    """Calls that another thread's came in between are put together again, where they ended."""
    begun: dict[str, str] = {}
    lines = []
    for line in log.read_text(encoding="ascii").splitlines():
        thread = line.split(" ", 1)[0]
        if line.endswith("<unfinished ...>"):
            begun[thread] = line.removesuffix("<unfinished ...>")
        elif " resumed>" in line:
            lines.append(begun.pop(thread) + line.split(" resumed>", 1)[1])
        else:
            lines.append(line)
    return lines


def _event(line: str) -> Event | None:
    match = _LINE.match(line)
    if match is None or int(match[3]) < 0:
        return None
    call, arguments = match[1], match[2]
    handle = _HANDLE.match(arguments)
    path = _plain(handle[1]) if handle else ""
    texts = [bytes.fromhex(text.replace("\\x", "")) for text in _TEXT.findall(arguments)]
    names = [text.decode("utf-8", "replace") for text in texts]
    if call in ("open", "openat"):
        opened = _plain(match[4] or "")
        is_written = "O_WRONLY" in arguments or "O_RDWR" in arguments
        return Event("open", opened, is_new="O_CREAT" in arguments, is_emptied="O_TRUNC" in arguments and is_written)
    if call in ("write", "pwrite64"):
        offset = int(arguments.rsplit(", ", 1)[1]) if call == "pwrite64" else -1
        return Event("write", path, offset=offset, data=texts[0][: int(match[3])] if texts else b"")
    if call == "ftruncate":
        return Event("truncate", path, offset=int(arguments.rsplit(", ", 1)[1]))
    if call in ("fsync", "fdatasync"):
        return Event("sync", path)
    if call in ("unlink", "unlinkat"):
        return Event("delete", names[0])
    if call.startswith("rename"):
        return Event("rename", names[0], to=names[1])
    return Event("folder", names[0])


def _plain(path: str) -> str:
    return bytes.fromhex(path.replace("\\x", "")).decode() if path.startswith("\\x") else path


@dataclass(eq=False, slots=True)
class _File:
    synced: bytes = b""
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)
    """Writes since the last sync: where and what; None for what cuts the file to that length."""
    size: int = 0

    def write(self, offset: int, data: bytes) -> None:
        start = self.size if offset < 0 else offset
        self.pending.append((start, data))
        self.size = max(self.size, start + len(data))

    def truncate(self, size: int) -> None:
        self.pending.append((size, None))
        self.size = size

    def sync(self) -> None:
        self.synced, self.pending = _applied(self.synced, self.pending), []


def _applied(content: bytes, writes: Sequence[tuple[int, bytes | None]]) -> bytes:
    data = bytearray(content)
    for offset, written in writes:
        data.extend(bytes(max(0, offset - len(data))))
        if written is None:
            del data[offset:]
        else:
            data[offset : offset + len(written)] = written
    return bytes(data)


class Disk:
    """A disk to which events happen, and which may lose power."""

    def __init__(self) -> None:
        self.names: dict[str, _File] = {}
        """As the running process sees them."""
        self.durable: dict[str, _File] = {}
        self.unsynced: list[tuple[str, str, _File | None]] = []
        """Changes of names that are not durable, in order: folder, path, and what it then stands for."""
        self.folders: set[str] = set()

    def happen(self, event: Event) -> None:
        """One event more."""
        if event.kind == "folder":
            self.folders.add(event.path)
        elif event.kind == "open":
            if event.path not in self.names and event.is_new:
                self._name(event.path, _File())
            elif event.is_emptied:
                self.names[event.path].truncate(0)
        elif event.kind == "sync":
            self._sync(event.path)
        elif event.kind == "delete":
            self._name(event.path, None)
        elif event.kind == "rename":
            self._name(event.to, self.names[event.path])
            self._name(event.path, None)
        elif (file := self.names.get(event.path)) is not None:  # else it is one without a name, as of a pipe
            if event.kind == "write":
                file.write(event.offset, event.data)
            else:
                file.truncate(event.offset)

    def _name(self, path: str, file: _File | None) -> None:
        if file is None:
            self.names.pop(path, None)
        else:
            self.names[path] = file
        self.unsynced.append((os.path.dirname(path), path, file))

    def _sync(self, path: str) -> None:
        if path in self.names:
            self.names[path].sync()
            return
        for folder, name, file in self.unsynced:
            if folder == path:
                self._set(self.durable, name, file)
        self.unsynced = [change for change in self.unsynced if change[0] != path]

    @staticmethod
    def _set(names: dict[str, _File], path: str, file: _File | None) -> None:
        if file is None:
            names.pop(path, None)
        else:
            names[path] = file

    def cut(self, rng: random.Random) -> dict[str, bytes]:
        """What is on the disk when the power comes back, by path.

        A third of the cuts lose all that was not synced, a third lose nothing but what had not begun, and a third keep
        any part of it.
        """
        mood = rng.choice(["all lost", "nothing lost", "some lost"])
        names = dict(self.durable)
        n_kept = {"all lost": 0, "nothing lost": len(self.unsynced), "some lost": rng.randint(0, len(self.unsynced))}
        for _, path, file in self.unsynced[: n_kept[mood]]:
            self._set(names, path, file)
        return {path: self._content(file, mood, rng) for path, file in names.items()}

    def _content(self, file: _File, mood: str, rng: random.Random) -> bytes:
        kept: list[tuple[int, bytes | None]] = []
        for offset, data in file.pending if mood != "all lost" else ():
            if mood == "nothing lost":
                kept.append((offset, data))
            elif rng.random() < 0.5:
                kept.append((offset, data if data is None or rng.random() < 0.8 else _torn(data, rng)))
        return _applied(file.synced, kept)


def _torn(data: bytes, rng: random.Random) -> bytes:
    """The first sectors of a write."""
    return data[: SECTOR * rng.randint(0, len(data) // SECTOR)]
