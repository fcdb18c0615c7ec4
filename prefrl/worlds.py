"""Worlds by name: the one module that knows `envs`, and imports it only when one of its worlds is asked for."""

from __future__ import annotations

import importlib
import json
import math
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from prefrl import custom, game_process, game_venv
from prefrl.config import Config
from prefrl.errors import UserError
from prefrl.families import family
from prefrl.game_errors import said
from prefrl.world import World

_EXTRAS = {"ale_py": "atari", "mujoco": "mujoco", "cv2": "window"}
_MOST_CLIP_STEPS = 100_000
"""What a clip takes of memory and time grows with its steps; `clips.max_clip_steps` may be larger, as no limit."""


def make_world(config: Config, *, n_envs: int, seed: int, views: bool, whole_episodes: bool = False) -> World:
    """The world that the config names, `n_envs` copies of it.

    Args:
        config: Of the run.
        n_envs: Copies.
        seed: Of the first copy.
        views: Whether clips are to be drawn.
        whole_episodes: Let every episode of a game of one's own have the whole horizon: to measure by, never to learn
            from. Of all other worlds every episode has it anyway.

    Raises:
        UserError: There is no such world, an extra is missing, or its options are wrong.
        WorldFault: A game of one's own failed while it was made.
    """
    if not 0 < config.world.step_timeout <= 86_400 or config.world.restarts < 0:
        raise UserError(
            "expected --world.step-timeout above 0, of a day at most, and --world.restarts from 0 on, got "
            f"{config.world.step_timeout:g} and {config.world.restarts}"
        )
    kind, options = family(config.env_id), config.world
    common: dict[str, Any] = {
        "n_envs": n_envs,
        "seed": seed,
        "views": views,
        "env_kwargs": parse_env_kwargs(options.env_kwargs),
    }
    masks = tuple(parse_mask(m) for m in options.masks)
    if kind == "custom":
        make = partial(
            custom.make, config.env_id, **common, horizon=options.horizon, masks=masks, whole_episodes=whole_episodes
        )
        if not (options.own_process and game_process.is_available()):
            return make()
        return game_venv.make(
            make, config.env_id, seed=seed, step_seconds=options.step_timeout, restarts=options.restarts
        )
    if kind == "atari":
        common["frame_size"] = options.frame_size
        common["masks"] = masks
        common["default_masks"] = options.default_masks
    elif masks:
        raise UserError(f"expected no --mask for {config.env_id}, whose observations are no pictures")
    world: World = _envs_call(kind, config.env_id, common)
    return world


def _envs_call(kind: str, env_id: str, common: dict[str, Any]) -> World:
    module = _import_envs(kind)
    world_error: type[ValueError] = importlib.import_module("envs").WorldError
    try:
        world: World = module.make(env_id, **common)
    except ModuleNotFoundError as e:
        raise _missing_extra(e) from e
    except world_error as e:
        raise UserError(str(e)) from e
    except Exception as e:  # whatever a simulator says to arguments that make no world
        if not common["env_kwargs"] or isinstance(e, MemoryError):
            raise
        given = ", ".join(f"{key}:{json.dumps(value)}" for key, value in common["env_kwargs"].items())
        raise UserError(f"expected --env-kwargs that make a world of {env_id}, got {given}: {said(e)}") from e
    return world


def _import_envs(kind: str) -> ModuleType:
    """Our own `envs`, or one clear line where the user's project hides it behind a package of the same name."""
    package = importlib.import_module("envs")
    place = Path(package.__file__ or "").parent
    if place != Path(__file__).parent.parent / "envs":
        raise UserError(
            f"expected prefrl's own package envs for this world, got another of that name at {place}; run from another "
            "folder, or give yours another name"
        )
    try:
        return importlib.import_module(f"envs.{kind}")
    except ModuleNotFoundError as e:
        raise _missing_extra(e) from e


def _missing_extra(e: ModuleNotFoundError) -> UserError:
    extra = _EXTRAS.get((e.name or "").split(".")[0])
    remedy = f"pip install 'prefrl[{extra}]'" if extra else f"pip install {e.name}"
    return UserError(f"expected the package {e.name} to be installed for this; {remedy}")


def parse_env_kwargs(pairs: tuple[str, ...]) -> dict[str, Any]:
    """`key:value` pairs with values in JSON, or plain words."""
    kwargs: dict[str, Any] = {}
    for pair in pairs:
        key, colon, value = pair.partition(":")
        if not colon or not key.isidentifier():
            raise UserError(f"expected --env-kwargs as key:value, got {pair!r}")
        try:
            kwargs[key] = json.loads(value)
        except (ValueError, RecursionError):
            kwargs[key] = value
    return kwargs


def parse_mask(mask: str) -> tuple[int, int, int, int]:
    """`x,y,w,h` as four whole numbers."""
    parts = mask.split(",")
    if len(parts) != 4 or not all(p.strip().isdecimal() and len(p) < 10 for p in parts):
        raise UserError(f"expected --mask as x,y,w,h in whole pixels, got {mask!r}")
    x, y, w, h = (int(p) for p in parts)
    return x, y, w, h


def clip_steps(config: Config, world: World) -> int:
    """Steps of a clip at the world's real speed, within the config's bounds.

    Raises:
        UserError: The clip would be longer than an episode, or have no step.
    """
    clips = config.clips
    if not 0 < clips.clip_seconds < math.inf or not 1 <= clips.min_clip_steps <= clips.max_clip_steps:
        raise UserError(
            "expected finite --clip-seconds above 0 and 1 <= min-clip-steps <= max-clip-steps, got "
            f"{clips.clip_seconds:g}, {clips.min_clip_steps} and {clips.max_clip_steps}"
        )
    wanted = round(clips.clip_seconds * world.frame_rate)
    steps = min(max(wanted, clips.min_clip_steps), clips.max_clip_steps)
    flag = "--clip-seconds" if wanted >= clips.min_clip_steps else "--clips.min-clip-steps"
    if world.horizon is not None and steps > world.horizon:
        raise UserError(
            f"expected clips no longer than an episode, which is {world.horizon} steps of {1 / world.frame_rate:.3g} s "
            f"in {config.env_id}, got {steps} steps ({steps / world.frame_rate:.3g} s); lower {flag}"
        )
    if steps > _MOST_CLIP_STEPS:
        raise UserError(f"expected clips of at most {_MOST_CLIP_STEPS:,} steps, got {steps:,}; lower {flag}")
    return steps
