"""What a run's config may ask of whoever reads the run: no code out of its folder, and no memory without end."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from prefrl.config import Config
from prefrl.errors import UserError

_LARGEST_NUMBER = 2**53
_LONGEST_TEXT = 10_000
_MOST: dict[str, int] = {
    "torch_threads": 1024,
    "world.n_envs": 4096,
    "world.frame_size": 1024,
    "clips.max_clip_steps": 100_000,
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
    _check_numbers(config, "", path)
    for name, most in _MOST.items():
        value: Any = config
        for part in name.split("."):
            value = getattr(value, part)
        values = value if isinstance(value, tuple) else (value,)
        if max((abs(v) for v in values), default=0) > most or len(values) > 64:
            raise UserError(f"expected {name} in {path} to be at most {most:,}, got {str(value)[:80]}")
    if config.world.n_envs * config.ppo.n_steps > _MOST_ROLLOUT:
        raise UserError(f"expected a rollout of at most {_MOST_ROLLOUT:,} steps in {path}, got a larger one")
    _check_module(config.env_id, path)


def _check_numbers(part: object, name: str, path: Path) -> None:
    if isinstance(part, bool | type(None)):
        return
    if isinstance(part, int | float) and not abs(part) <= _LARGEST_NUMBER:  # nan neither
        raise UserError(f"expected {name} in {path} to be a number of usual size, got {str(part)[:40]}")
    if isinstance(part, str) and (len(part) > _LONGEST_TEXT or "\0" in part):
        raise UserError(f"expected {name} in {path} to be a text of at most {_LONGEST_TEXT:,} letters")
    if isinstance(part, tuple):
        for value in part[:10_000]:
            _check_numbers(value, name, path)
    for field in getattr(part, "__dataclass_fields__", ()):
        _check_numbers(getattr(part, field), f"{name}.{field}".lstrip("."), path)


def _check_module(env_id: str, path: Path) -> None:
    """Whoever sends a run folder must not be able to have a module in it imported by naming it."""
    module, colon, _ = env_id.rpartition(":")
    if not colon:
        return
    run = path.parent.resolve()
    for root in {*sys.path, os.getcwd()}:
        place = Path(root or ".").joinpath(*module.split(".")).resolve()
        if place == run or run in place.parents:
            raise UserError(
                f"expected the game of a run outside of its folder, got {env_id} in {path}, whose module would be "
                f"looked for in {run}; go to another folder"
            )
