"""`prefrl check-env --replay FILE`: takes a world to where it failed in a run, by its seed and its actions."""

from __future__ import annotations

import sys
import traceback
from dataclasses import replace
from pathlib import Path

import numpy as np

from prefrl import worlds
from prefrl.errors import UserError, WorldFault
from prefrl.guard import Guard
from prefrl.reproduction import Reproduction, read_reproduction

HAPPENED, DID_NOT = 1, 0


def replay(path: Path, *, in_this_process: bool) -> int:
    """Play it; returns 1 where it failed again, 0 where it did not.

    Args:
        path: What the run left.
        in_this_process: Play it here and print the whole traceback of what it raises, also for a debugger.

    Raises:
        UserError: The file is none that a run left, or its game is not here.
    """
    found = read_reproduction(path)
    n_steps = len(found.tape.actions)
    sys.stdout.write(f"{found.env_id}, seed {found.tape.seed}, {n_steps} steps; then it was said:\n  {found.said}\n")
    sys.stdout.flush()
    try:
        _play(found, in_this_process)
    except WorldFault as e:
        if in_this_process:
            traceback.print_exception(e.__cause__ or e)
        sys.stdout.write(f"it happens again:\n  {e}\n")
        return HAPPENED
    sys.stdout.write(f"it does not happen again: {n_steps} steps went well; the game is not the same twice\n")
    return DID_NOT


def _play(found: Reproduction, in_this_process: bool) -> None:
    config = found.config()
    if in_this_process:
        config = replace(config, world=replace(config.world, own_process=False))
    world = worlds.make_world(config, n_envs=1, seed=found.tape.seed, views=found.views)
    try:
        guard = Guard(world.venv)
        guard.reset()
        space = world.venv.action_space
        for action in found.tape.actions:
            if not space.contains(action if action.shape else np.int64(action)):
                raise UserError(f"expected actions of {found.env_id}, which are {space}, got {action!r:.80}")
            guard.step(action[None] if action.shape else np.array([action], np.int64))
    finally:
        world.venv.close()
