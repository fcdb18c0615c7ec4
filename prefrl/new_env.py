"""`prefrl new-env`: write a small game to begin one's own from."""

from __future__ import annotations

import contextlib
import importlib.util
import keyword
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from prefrl.arguments import parse
from prefrl.errors import UserError

TEMPLATE = Path(__file__).parent / "templates" / "my_game.py.txt"


@dataclass(frozen=True)
class NewEnvArgs:
    """Write a small game of about 40 lines into this folder, with comments that say where yours comes in."""

    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")]
    """Name of its module: my_game writes my_game.py, with the environment MyGame-v0."""


def main_new(args: list[str]) -> int:
    """Run the command; returns 0.

    Raises:
        UserError: The name cannot be a module's, is taken, or the file is there already.
    """
    options = parse(NewEnvArgs, "prefrl new-env", args)
    path, env_id = write_game(options.name, Path())
    sys.stdout.write(f"a game to begin from: {path}\nlook at it with:\n  prefrl check-env {env_id}\n")
    return 0


def write_game(name: str, folder: Path) -> tuple[Path, str]:
    """Write the game `name` into `folder`; returns its file and its id.

    Raises:
        UserError: The name cannot be a module's, is taken, or the file is there already or cannot be written.
    """
    name = name.removesuffix(".py")
    words = [word for word in name.split("_") if word]
    if not re.fullmatch(r"[A-Za-z]\w*", name, re.ASCII):
        raise UserError(
            f"expected a name of a to z, digits and _ that begins with a letter, as in my_game, got {name!r}"
        )
    if keyword.iskeyword(name):
        raise UserError(f"expected a name that is no word of Python itself, got {name!r}; take another, as my_{name}")
    path = folder / f"{name}.py"
    if path.exists():
        raise UserError(f"expected no file {path} yet; take another name, or move it away")
    if name in sys.stdlib_module_names or importlib.util.find_spec(name) is not None:
        raise UserError(f"expected a name that no installed package has, got {name!r}; take another, as my_{name}")
    title = "".join(word[0].upper() + word[1:] for word in words)
    text = TEMPLATE.read_text(encoding="utf-8").replace("MyGame", title).replace("my_game", name)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as e:
        if not isinstance(e, FileExistsError):  # else it is somebody else's
            with contextlib.suppress(OSError):
                path.unlink()
        raise UserError(
            f"expected to write {path}, got: {e.strerror}; run this in a folder where you may write, and that has room"
        ) from e
    return path, f"{name}:{title}-v0"
