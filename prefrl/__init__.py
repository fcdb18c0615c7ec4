"""prefrl trains game bots and robots from people's preferences instead of scores.

    import prefrl

    def labeler(left, right):  # clips, with .obs, .actions and .view
        return prefrl.Choice.LEFT if left.obs.sum() > right.obs.sum() else prefrl.Choice.RIGHT

    config = prefrl.default_config("my_game:MyGame-v0", total_labels=200, run_dir="runs/mine")
    result = prefrl.train(config, labeler=labeler)

Names are imported when they are used, so that `import prefrl` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from labeling.choice import Choice
    from labeling.clip import Clip
    from prefrl.config import Config
    from prefrl.errors import UserError, WorldFault
    from prefrl.flags import default_config
    from prefrl.training import Interrupted, Result, train

__all__ = [
    "Choice",
    "Clip",
    "Config",
    "Interrupted",
    "Result",
    "UserError",
    "WorldFault",
    "default_config",
    "train",
]

_HOME = {
    "Choice": "labeling.choice",
    "Clip": "labeling.clip",
    "Config": "prefrl.config",
    "Interrupted": "prefrl.training",
    "Result": "prefrl.training",
    "UserError": "prefrl.errors",
    "WorldFault": "prefrl.errors",
    "default_config": "prefrl.flags",
    "train": "prefrl.training",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'prefrl' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
