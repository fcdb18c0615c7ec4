"""What draws the clips of a run, long after they were played.

Clips of a game of one's own hold their pictures, so that none is made for it: there may be but one copy, and it trains.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prefrl import worlds
from prefrl.config import Config
from prefrl.errors import UserError
from prefrl.families import family
from prefrl.frames import FrameDrawer
from prefrl.world import Drawer


@dataclass(frozen=True, slots=True)
class KeptPictures:
    """Draws clips from the pictures that they hold, wherever in them."""

    def draw(self, obs: NDArray[Any], view: NDArray[Any] | None) -> NDArray[np.uint8]:
        """Frames (T, H, W, 3) from views of that shape, or from observations (T, 1 or 3, H, W).

        Raises:
            UserError: There are no pictures.
        """
        is_seen = view is None and obs.dtype == np.uint8 and obs.ndim == 4
        return FrameDrawer("obs" if is_seen else "view").draw(obs, view)


def make_drawer(config: Config) -> Drawer:
    """What draws clips of a run with this config.

    Raises:
        UserError: Its world cannot be drawn.
    """
    if family(config.env_id) == "custom":
        return KeptPictures()
    world = worlds.make_world(config, n_envs=1, seed=0, views=True)
    world.venv.close()
    if world.drawer is None:
        raise UserError(f"expected an environment that can be drawn, got {config.env_id}")
    return world.drawer
