"""Checks of what people will see: pictures that are pictures, that show the game, and that do not change it."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prefrl.check_env_finding import Finding
from prefrl.check_env_game import Game, difference, is_picture, play, same
from prefrl.custom import UNKNOWN_FRAME_RATE
from prefrl.errors import UserError
from prefrl.frames import check_boxes, checked_frame

_RENDERED_STEPS = 120
_LEAST_SIDE = 24
_FAINT = 2.0
"""Standard deviation of grey levels under which a picture looks empty."""
_METADATA = 'metadata = {"render_modes": ["rgb_array"], "render_fps": 30} in your class'


def pictures(game: Game) -> Iterator[Finding]:
    """There are pictures, of the right kind, not blank, and they move."""
    name = "pictures"
    one = game.make()
    metadata, space = one.env.metadata, one.env.observation_space
    one.close()
    yield from _frame_rate(metadata.get("render_fps"))
    if is_picture(space):
        assert game.base is not None
        frames = [_as_rgb(obs) for obs in game.base.obs]
        yield _look(name, frames, game, "the observation itself is shown")
        return
    modes = list(metadata.get("render_modes") or ())
    if "rgb_array" not in modes:
        detail = f"people could see nothing: the render_modes of its metadata are {modes}"
        yield Finding(name, "bad", detail, f"draw in render(), and say so: {_METADATA}")
        return
    framed = game.play(n_steps=min(game.n_steps, _RENDERED_STEPS), render=True)
    try:
        frames = [checked_frame(frame, game.env_id) for frame in framed.frames]
    except UserError as e:
        wrong, _, remedy = str(e).partition("; ")
        yield Finding(name, "bad", f"render() returned {wrong.rpartition('got ')[2]}", remedy)
        return
    height, width, _ = frames[0].shape
    for i, frame in enumerate(frames):
        if frame.shape != frames[0].shape:
            detail = f"their size changes: {width}x{height}, after step {i} {frame.shape[1]}x{frame.shape[0]}"
            yield Finding(name, "bad", detail, "draw every picture of one size")
            return
    yield _look(name, frames, game, f"{width}x{height}")
    game.framed = framed
    yield from _drawing(game)


def _frame_rate(fps: Any) -> Iterator[Finding]:
    name = "render_fps"
    if fps is None:
        detail = f"the metadata do not say how fast it is played: {UNKNOWN_FRAME_RATE:g} steps per second are taken"
        yield Finding(name, "warn", detail, f"say how many steps a player sees per second: {_METADATA}")
    elif not (isinstance(fps, int | float | np.number) and math.isfinite(fps) and fps > 0):
        yield Finding(name, "bad", f"the metadata say {fps!r}", f"a number of steps per second: {_METADATA}")
    else:
        yield Finding(name, "ok", f"{fps:g} steps per second: people see clips at that speed")


def _as_rgb(obs: NDArray[Any]) -> NDArray[np.uint8]:
    return obs if obs.ndim == 3 else obs[..., None]


def _look(name: str, frames: list[NDArray[np.uint8]], game: Game, what: str) -> Finding:
    """Whether there is something to be seen, and whether it moves."""
    side = min(s for s in frames[0].shape if s > 3)
    spread = max(float(frame.std()) for frame in frames)
    moving = np.mean([not same(a, b) for a, b in pairwise(frames)])
    if spread == 0:
        value = frames[0].reshape(-1, frames[0].shape[-1])[0].tolist()
        return Finding(name, "bad", f"blank: every pixel is {value}", "draw the state in render(), then return it")
    base = game.base
    if moving == 0:
        obs_move = base is not None and not all(same(base.obs[0], obs) for obs in base.obs[: len(frames)])
        also = "while the observations change" if obs_move else "and so is the observation"
        remedy = "draw from the state in render() itself, on a picture filled anew each time"
        return Finding(name, "bad", f"the picture is the same after each of {len(frames) - 1} steps, {also}", remedy)
    if spread < _FAINT:
        detail = f"{what}; nearly blank: grey levels differ by {spread:.1f} of 255"
        return Finding(name, "warn", detail, "draw in brighter colours, 0 to 255")
    if side < _LEAST_SIDE:
        return Finding(name, "warn", f"{what}: small for people, though they are enlarged", "draw them larger")
    if moving < 0.1:
        detail = f"{what}; they change in {moving:.0%} of the steps only"
        return Finding(name, "warn", detail, "people judge by what moves: longer clips, by --clip-seconds")
    return Finding(name, "ok", f"{what}; uint8, one size, they change in {moving:.0%} of the steps")


def _drawing(game: Game) -> Iterator[Finding]:
    """Drawing only looks: it changes nothing, and shows the state there is."""
    name, framed, base = "drawing", game.framed, game.base
    if framed is None or base is None or not game.is_alike:
        return
    apart = difference(framed, base)
    if apart is not None:
        detail = f"render() changes the game: with pictures and without, {apart}"
        yield Finding(name, "warn", detail, "only draw in render(); move things, and draw chance, in step()")
        return
    n = min(10, len(framed.frames) - 1)
    one = game.make(render=True)
    play(one, game.actions(one.env.action_space, game.n_steps)[:n], seed=0)
    if not same(one.render(), framed.frames[n]):
        one.close()
        detail = "render() shows something else when it was not called after every step"
        yield Finding(name, "warn", detail, "draw the state as it is now, on a picture filled anew each time")
        return
    one.reset(0)
    again = same(one.render(), framed.frames[0])
    one.close()
    if again:
        yield Finding(name, "ok", "changes nothing in the game, and shows its state as it is")
    else:
        detail = "the picture after reset() is another when a game was played before"
        yield Finding(name, "warn", detail, "fill the whole picture anew in render()")


def windows(game: Game) -> Iterator[Finding]:
    """A pygame game needs no screen, and opens no window for each of its copies."""
    pygame = sys.modules.get("pygame")
    if pygame is None or not getattr(pygame, "display", None):
        return
    asked = os.environ.get("SDL_VIDEODRIVER", "")
    driver = pygame.display.get_driver() if pygame.display.get_init() else asked
    remedy = 'os.environ.setdefault("SDL_VIDEODRIVER", "dummy") above import pygame, or draw on a pygame.Surface'
    if driver in ("", "dummy", "offscreen"):
        yield Finding("window", "ok", "opens none: it trains without a screen")
    else:
        detail = f"pygame opens windows here, one for each copy ({driver}); it needs a screen to train"
        yield Finding("window", "warn", detail, remedy)


def masks(game: Game) -> Iterator[Finding]:
    """Masks lie within the picture; where there is none, a score may be seen."""
    name = "mask"
    shown = game.framed.frames if game.framed is not None else game.base.obs if game.base is not None else []
    if not shown:
        return
    picture = np.asarray(shown[0])
    agent_sees = game.framed is None
    if picture.ndim < 2 or (agent_sees and picture.dtype != np.uint8):
        return
    boxes = [tuple(int(n) for n in mask.split(",")) for mask in game.config.world.masks]
    if not boxes:
        who = "agent and people" if agent_sees else "people"
        detail = f"none; if it draws its score or lives, hide them from {who} with --mask x,y,w,h"
        yield Finding(name, "ok", detail)
        return
    chw = picture.ndim == 3 and picture.shape[0] in (1, 3) and picture.shape[2] not in (1, 3)
    height, width = picture.shape[1:] if chw else picture.shape[:2]
    try:
        inside = check_boxes(boxes, height, width)
    except UserError as e:
        yield Finding(name, "bad", str(e), f"--mask x,y,w,h in pixels from the top left, within {width}x{height}")
        return
    hidden = np.zeros((height, width), bool)
    for x, y, w, h in inside:
        hidden[y : y + h, x : x + w] = True
    yield Finding(name, "ok", f"{hidden.mean():.0%} of the picture is black for agent and people")
