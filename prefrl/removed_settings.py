"""Settings that prefrl had and has no more, since they did not help: with what value a run came out as it does now."""

from __future__ import annotations

from typing import Any

from prefrl.config import QueryConfig, RewardModelConfig
from prefrl.errors import UserError

REMOVED: dict[type, dict[str, Any]] = {
    QueryConfig: {"beginnings": 0.0, "explore_steps": 0, "stratified": False},
    RewardModelConfig: {
        "center": 0.0,
        "crop": 1.0,
        "dynamics": 0.0,
        "linear_skip": False,
        "reward_clip": 0.0,
        "smooth": 0.0,
        "uncertainty": 0.0,
    },
}
"""By the part of the config that held them; the config of every run that an earlier version made names them all."""


def was_removed(part: object, key: str, value: Any, source: str) -> bool:
    """Whether `part` of a config had this setting, at a value with which it did nothing.

    Raises:
        UserError: It had the setting, and with this value it did something.
    """
    off = REMOVED.get(type(part), {})
    if key not in off:
        return False
    if value != off[key]:
        raise UserError(
            f"expected no {key} in {source}, got {value!r}: it was removed, since it did not help (runs/README.md); "
            "leave it out, or use the version of prefrl that had it"
        )
    return True
