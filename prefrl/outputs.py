"""Where a command is to write, looked at before it does any work."""

from __future__ import annotations

import tempfile
from pathlib import Path

from prefrl.errors import UserError


def check_out_file(path: Path, flag: str, suffix: str = "") -> None:
    """Make sure that a file can be written there, in place of one or where there is none.

    Raises:
        UserError: It cannot.
    """
    try:
        if path.exists() and not path.is_file():
            raise UserError(f"expected {flag} to be a file, got {str(path)!r}, which is {_kind(path)}")
        if suffix and path.suffix != suffix:
            raise UserError(f"expected {flag} to end in {suffix}, got {path.name!r}")
        if not path.parent.is_dir():
            raise UserError(f"expected a folder for {flag}, found none at {path.parent}; make it first")
        _try(path.parent)
    except OSError as e:
        raise UserError(f"expected {flag} to be where a file can be written, got {str(path)!r}: {e.strerror}") from e


def check_out_folder(path: Path, flag: str) -> None:
    """Make sure that a folder is there that can be written to, or can be made.

    Raises:
        UserError: It is not.
    """
    try:
        there = next(place for place in (path, *path.parents) if place.exists())
        if not there.is_dir():
            raise UserError(f"expected {flag} to be a folder, got {str(path)!r}: {there} is {_kind(there)}")
        _try(there)
    except OSError as e:
        raise UserError(f"expected {flag} to be a folder that can be written to, got {path}: {e.strerror}") from e


def _kind(path: Path) -> str:
    return "a folder" if path.is_dir() else "a file" if path.is_file() else "neither file nor folder"


def _try(folder: Path) -> None:
    """Write a nameless file: of some folders nothing else tells, whoever one is."""
    tempfile.TemporaryFile(dir=folder).close()
