"""What a user's game raised, in words: its type and message, and the place in their own file."""

from __future__ import annotations

import os
import sysconfig
import traceback
from collections.abc import Sequence
from pathlib import Path


def said(error: BaseException) -> str:
    """Type and first line of an exception, without what Gymnasium adds."""
    text = str(error).split(" was raised from the environment creator")[0].strip()
    first = text.splitlines()[0] if text else ""
    if isinstance(error, SyntaxError):
        first = error.msg
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


def place(error: BaseException) -> str:
    """Say " in my_game.py line 41", the deepest line of the user's own, else the deepest of all."""
    if isinstance(error, SyntaxError) and error.filename:
        return f" in {_short(error.filename)} line {error.lineno}"
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain:
        chain.append(link)
        link = link.__cause__ or link.__context__
    frames = [f for e in reversed(chain) for f in traceback.extract_tb(e.__traceback__)]
    own = [f for e in chain for f in traceback.extract_tb(e.__traceback__) if _is_users(f.filename)]
    return place_among([(f.filename, f.lineno) for f in own or frames])


def place_among(lines: Sequence[tuple[str, int | None]]) -> str:
    """The same of files and lines, the outermost first; empty where there is none."""
    own = [line for line in lines if _is_users(line[0])]
    last = own[-1] if own else lines[-1] if lines else None
    return f" in {_short(last[0])} line {last[1]}" if last is not None else ""


_NOT_THEIRS = tuple(
    str(Path(folder).resolve()) + os.sep
    for folder in (str(Path(__file__).parent), *(sysconfig.get_paths()[k] for k in ("stdlib", "purelib", "platlib")))
)


def _is_users(filename: str) -> bool:
    return not filename.startswith("<") and not str(Path(filename).resolve()).startswith(_NOT_THEIRS)


def _short(filename: str) -> str:
    path = Path(filename)
    if path.is_absolute() and path.is_relative_to(Path.cwd()) and _is_users(filename):  # no .venv in the same folder
        return str(path.relative_to(Path.cwd()))
    return path.name
