"""A file from which what a world did wrong can be seen again: its seed, its actions, and how it was made; no pickle.

`crash.npz` opens with `np.load`; its actions are (T, *A), the last being the one at which it failed.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labeling import npz
from prefrl.config import Config, WorldConfig
from prefrl.configfile import overlay
from prefrl.errors import UserError, WorldFault
from prefrl.foreign_config import check_config
from prefrl.rundir import write_bytes
from prefrl.tape import MAX_BYTES, Tape

NAME = "crash.npz"

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Reproduction:
    """All that leads to a failure again."""

    env_id: str
    world: WorldConfig
    views: bool
    """Whether every step was drawn, which may be what fails."""
    tape: Tape
    said: str
    """The line that was said then."""

    def config(self) -> Config:
        """A config that makes one copy of the world, which is not started again when it is lost."""
        return Config(env_id=self.env_id, world=replace(self.world, n_envs=1, restarts=0))


@contextmanager
def kept(config: Config, folder: Path, views: bool) -> Iterator[None]:
    """Where the block ends by a fault of the world, leave the way to it in the folder and say how to go there."""
    try:
        yield
    except WorldFault as e:
        if e.tape is None or not folder.is_dir():
            raise
        path = folder / NAME
        write_bytes(path, _pack(Reproduction(config.env_id, config.world, views, e.tape, str(e))))
        fault = WorldFault(f"{e}; to see it again: prefrl check-env --replay {shlex.quote(str(path))}", e.env)
        raise fault from e


def read_reproduction(path: Path) -> Reproduction:
    """What `kept` wrote.

    Raises:
        UserError: It is not such a file.
    """
    try:
        with path.open("rb") as f:
            data = f.read(MAX_BYTES + 1)
        arrays, header = npz.unpack(data, MAX_BYTES)
        return _checked(json.loads(header), arrays, path)
    except OSError as e:
        raise UserError(f"expected a file that a run left at {path}, got: {e.strerror}") from e
    except UserError:
        raise
    except (ValueError, TypeError, KeyError, RecursionError) as e:
        raise UserError(f"expected {path} to be a {NAME} that a run left, got: {str(e)[:200]}") from e


def _pack(found: Reproduction) -> bytes:
    world = asdict(found.world)
    header = {
        "format": _FORMAT,
        "env_id": found.env_id,
        "world": world,
        "views": found.views,
        "seed": found.tape.seed,
        "said": found.said[:1000],
    }
    return npz.pack({"actions": found.tape.actions}, json.dumps(header).encode())


def _checked(header: Any, arrays: dict[str, NDArray[Any]], path: Path) -> Reproduction:
    if not isinstance(header, dict) or header.get("format") != _FORMAT or set(arrays) != {"actions"}:
        raise ValueError("another kind of file")
    kinds = {"env_id": str, "views": bool, "seed": int, "said": str, "world": dict}
    for name, kind in kinds.items():
        if type(header.get(name)) is not kind:
            raise ValueError(f"no {name} that is {kind.__name__}")
    world = overlay(WorldConfig(), header["world"], str(path))
    check_config(Config(env_id=header["env_id"], world=world), path)
    tape = Tape(header["seed"], np.array(arrays["actions"]))
    return Reproduction(header["env_id"], world, header["views"], tape, header["said"])
