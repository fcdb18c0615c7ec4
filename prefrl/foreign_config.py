"""What a run's config may ask of whoever reads the run: no code out of its folder, and no memory without end."""

from __future__ import annotations

import math
import os
import re
import sys
from pathlib import Path
from typing import Any

from prefrl.config import Config
from prefrl.errors import UserError

_LARGEST_NUMBER = 2**53
_LONGEST_TEXT = 10_000
_NO_LETTER = re.compile("[\0\ud800-\udfff]")
"""NUL, and surrogates, which Python makes of bytes that are no UTF-8."""
_MAY_BE_INFINITE = frozenset({"teacher.beta"})
"""Settings of which infinity is a value like others: such a teacher never errs."""
_MOST: dict[str, int] = {
    "torch_threads": 1024,
    "world.n_envs": 4096,
    "world.frame_size": 1024,
    "clips.memory_mib": 2**20,
    "ppo.n_steps": 2**20,
    "ppo.batch_size": 2**24,
    "queries.candidate_factor": 10_000,
    "reward_model.members": 1000,
    "reward_model.hidden": 16_384,
    "eval.episodes": 10**6,
}
"""Largest value of the settings that take memory or time as they grow."""
_MOST_ROLLOUT = 2**26


def check_config(config: Config, path: Path) -> None:
    """Look at the config that was found at `path`.

    Raises:
        UserError: It names a module that would be imported from its own folder, or asks for more than there can be.
    """
    check_settings(config, path)
    check_module(config.env_id, path)


def check_settings(config: Config, path: Path | None = None) -> None:
    """Look at the settings of a config that was found at `path`, or of one that nobody has written yet.

    Raises:
        UserError: The first that asks for more than there can be.
    """
    _check_values(config, "", path)
    for name, most in _MOST.items():
        value: Any = config
        for part in name.split("."):
            value = getattr(value, part)
        values = value if isinstance(value, tuple) else (value,)
        if max((abs(v) for v in values), default=0) > most or len(values) > 64:
            raise UserError(f"expected {_called(name, path)} to be at most {most:,}, got {str(value)[:80]}")
    if config.world.n_envs * config.ppo.n_steps > _MOST_ROLLOUT:
        where = f" in {path}" if path is not None else ""
        raise UserError(f"expected a rollout of at most {_MOST_ROLLOUT:,} steps{where}, got a larger one")


def _called(name: str, path: Path | None) -> str:
    return f"{name} in {path}" if path is not None else "--" + name.replace("_", "-")


def _check_values(part: object, name: str, path: Path | None) -> None:
    if isinstance(part, bool | type(None)):
        return
    if isinstance(part, int | float):
        _check_number(part, name, path)
    if isinstance(part, str):
        _check_text(part, name, path)
    if isinstance(part, tuple):
        for value in part:
            _check_values(value, name, path)
    for field in getattr(part, "__dataclass_fields__", ()):
        _check_values(getattr(part, field), f"{name}.{field}".lstrip("."), path)


def _check_number(number: float, name: str, path: Path | None) -> None:
    if not abs(number) <= _LARGEST_NUMBER and not (name in _MAY_BE_INFINITE and number == math.inf):  # nan neither
        raise UserError(
            f"expected {_called(name, path)} to be a number of usual size, at most {_LARGEST_NUMBER:,}, got "
            f"{str(number)[:40]}"
        )


def _check_text(text: str, name: str, path: Path | None) -> None:
    if len(text) > _LONGEST_TEXT:
        raise UserError(
            f"expected {_called(name, path)} to be a text of at most {_LONGEST_TEXT:,} letters, got {len(text):,}"
        )
    found = _NO_LETTER.search(text)
    if found is not None:
        raise UserError(
            f"expected {_called(name, path)} to be a text of Unicode's letters, got {found.group()!a} in it; leave it "
            "out"
        )


def check_module(env_id: str, path: Path) -> None:
    """Whoever sends a run folder must not be able to have a module in it imported by naming it.

    Raises:
        UserError: The module of the game would be looked for in the folder of the config at `path`.
    """
    module, colon, _ = env_id.rpartition(":")
    if not colon:
        return
    run = path.parent.resolve()
    for root in {*sys.path, os.getcwd()}:
        place = Path(root or ".").joinpath(*module.split(".")).resolve()
        if place == run or run in place.parents:
            raise UserError(
                f"expected the game of a run outside of its folder, got {env_id} in {path}, whose module would be "
                f"looked for in {run}; go to another folder, or give the run another"
            )
