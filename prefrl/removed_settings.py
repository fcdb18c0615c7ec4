"""Settings that prefrl had and has no more, since they did not help: with what value a run came out as it does now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from prefrl.config import QueryConfig, RewardModelConfig
from prefrl.errors import UserError

REMOVED: dict[str, dict[str, Any]] = {
    "queries": {"beginnings": 0.0, "explore_steps": 0, "stratified": False},
    "reward_model": {
        "center": 0.0,
        "crop": 1.0,
        "dynamics": 0.0,
        "linear_skip": False,
        "reward_clip": 0.0,
        "smooth": 0.0,
        "uncertainty": 0.0,
    },
}
"""By the table of the config that held them; the configs of runs that earlier versions made name some of them."""

_TABLES: dict[type, str] = {QueryConfig: "queries", RewardModelConfig: "reward_model"}
_WHY = "that setting was removed, since it did not help (runs/results/removed.md in prefrl's repository)"


def was_removed(part: object, key: str, value: Any, source: str) -> bool:
    """Whether this part of a config had such a setting, and the file that gives it asks for nothing by it.

    Raises:
        UserError: It had, and with this value it did something.
    """
    off = REMOVED.get(_TABLES.get(type(part), ""), {})
    if key in off and value != off[key]:
        raise UserError(f"expected no {key} in {source}, got {value!r}: {_WHY}; leave it out")
    return key in off


def without_removed(settings: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The settings of a run without those that were removed, and of these the names that did something in it."""
    kept, on = dict(settings), []
    for table, off in REMOVED.items():
        held = settings.get(table)
        if isinstance(held, dict):
            kept[table] = {key: value for key, value in held.items() if key not in off}
            on += [f"{table}.{key}" for key, value in held.items() if key in off and value != off[key]]
    return kept, on


def check_can_go_on(on: list[str], path: Path) -> None:
    """Make sure that a run whose config lies at `path` can be gone on with.

    Raises:
        UserError: It was trained with a setting (the first of `on`) that was removed.
    """
    if on:
        raise UserError(
            f"expected a run without {on[0]} to go on with, got {path}, which has it: {_WHY}; go on with the version "
            "that began the run"
        )


def check_flags(args: Iterable[str]) -> None:
    """Make sure that no flag is typed that was removed.

    Raises:
        UserError: The first.
    """
    names = {f"{table}.{key}" for table, off in REMOVED.items() for key in off}
    for word in args:
        flag = word.partition("=")[0]
        if flag.removeprefix("--").replace("-", "_").replace(".no_", ".") in names:
            raise UserError(f"expected no {flag}: {_WHY}; leave it out")
