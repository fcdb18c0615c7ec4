"""A video of a run's policy, drawn as clips are drawn: from states, after the fact."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from prefrl import build, configfile, worlds
from prefrl.errors import UserError
from prefrl.evaluate_run import load_policy
from prefrl.guard import Guard
from prefrl.rundir import RunDir
from prefrl.video import write_video
from prefrl.world import Drawer, World

_CHUNK_STEPS = 256


def watch_run(run: RunDir, out: Path, seconds: float, *, trust_pickle: bool = False) -> float:
    """Play one episode, or its first `seconds`, and write it as WebM; returns the video's length in seconds.

    Raises:
        UserError: The run has no policy yet, or its world cannot be drawn.
    """
    if not 0 < seconds < math.inf:
        raise UserError(f"expected --seconds to be a number above 0, got {seconds:g}")
    config = configfile.load(run.config)
    world = worlds.make_world(config, n_envs=1, seed=build.Seeds.of(config.seed).evaluation, views=True)
    if world.drawer is None:
        raise UserError(f"expected an environment that can be drawn, got {config.env_id}")
    agent = load_policy(run, config, world, trust_pickle=trust_pickle)
    torch.manual_seed(config.seed)
    n_steps = max(1, round(seconds * world.frame_rate))
    obs, views = _play(world, agent, n_steps, config.eval.deterministic)
    write_video(out, _draw(world, world.drawer, obs, views), world.frame_rate)
    world.venv.close()
    return len(obs) / world.frame_rate


def draw_first(world: World, drawer: Drawer) -> NDArray[np.uint8]:
    """The picture (H, W, 3) of the first state after a reset: whether clips of this world can be drawn here."""
    obs = np.asarray(world.venv.reset())[:1]
    view = world.venv.unwrapped.reset_infos[0].get("view")
    packed = None if view is None else world.pack_view(np.asarray(view)[None])
    frames = drawer.draw(_planes(obs, world.n_stack), packed)
    first: NDArray[np.uint8] = frames[0]
    return first


def _play(world: World, agent: Any, n_steps: int, deterministic: bool) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Observations (T, *O) and views (T, *V) of one episode, at most `n_steps` of it."""
    venv = Guard(world.venv)
    obs = np.asarray(venv.reset())
    view = venv.unwrapped.reset_infos[0].get("view")
    seen: list[NDArray[Any]] = []
    views: list[Any] = []
    for _ in range(n_steps):
        seen.append(obs[0].copy())
        views.append(view)
        actions, _ = agent.predict(obs, deterministic=deterministic)
        obs_now, _, dones, infos = venv.step(actions)
        obs, view = np.asarray(obs_now), infos[0].get("view")
        if dones[0] or "episode" in infos[0]:
            break
    return np.stack(seen), None if views[0] is None else np.stack(views)


def _draw(world: World, drawer: Drawer, obs: NDArray[Any], views: NDArray[Any] | None) -> Iterator[NDArray[np.uint8]]:
    for i in range(0, len(obs), _CHUNK_STEPS):
        part = slice(i, i + _CHUNK_STEPS)
        packed = None if views is None else world.pack_view(views[part])
        yield from drawer.draw(_planes(obs[part], world.n_stack), packed)


def _planes(obs: NDArray[Any], n_stack: int) -> NDArray[Any]:
    """Stacks (T, n_stack, H, W) as the planes (T + n_stack - 1, H, W) that a clip holds."""
    return obs if n_stack == 1 else np.concatenate([obs[0, :-1], obs[:, -1]])
