"""Whether a clip recorded elsewhere could have been recorded in this run."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from gymnasium import spaces

from labeling.clip import Clip
from prefrl.errors import UserError
from prefrl.world import World


def clip_check(world: World, n_steps: int) -> Callable[[Clip], None]:
    """A function that raises `UserError` for a clip that does not fit the world, or is not `n_steps` long."""
    obs_space, action_space = world.venv.observation_space, world.venv.action_space
    obs_shape, obs_kind = tuple(obs_space.shape or ()), np.dtype(obs_space.dtype).kind
    action_shape, action_kind = tuple(action_space.shape or ()), np.dtype(action_space.dtype).kind
    n_stack = world.n_stack

    def check(clip: Clip) -> None:
        obs, actions = clip.stacked_obs(), clip.actions
        got = f"in clip {clip.clip_id[:12]}"
        if obs.shape[1:] != obs_shape or obs.dtype.kind != obs_kind or clip.n_stack != n_stack:
            raise UserError(
                f"expected observations {obs_shape} of {obs_space.dtype}, got {obs.shape[1:]} of {obs.dtype} {got}; "
                "labels of another environment do not fit this run"
            )
        if actions.shape[1:] != action_shape or actions.dtype.kind != action_kind:
            raise UserError(
                f"expected actions {action_shape} of {action_space.dtype}, got {actions.shape[1:]} of {actions.dtype} "
                f"{got}; labels of another environment do not fit this run"
            )
        if isinstance(action_space, spaces.Discrete):
            first, last = int(action_space.start), int(action_space.start + action_space.n - 1)
            if actions.min() < first or actions.max() > last:
                raise UserError(f"expected actions {first} to {last}, got {actions.min()} to {actions.max()} {got}")
        if clip.n_steps != n_steps:
            raise UserError(f"expected clips of {n_steps} steps as in this run, got {clip.n_steps} {got}")
        if not (np.isfinite(obs).all() and np.isfinite(actions).all()):
            raise UserError(f"expected finite observations and actions, got others {got}")

    return check
