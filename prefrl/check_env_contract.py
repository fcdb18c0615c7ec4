"""Checks of what a game promises: found, made, its spaces, and what reset() and step() return."""

from __future__ import annotations

import inspect
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces

from prefrl.check_env_calls import Trouble
from prefrl.check_env_finding import Finding, Status
from prefrl.check_env_game import Copy, Game, flat, name_of, same, spec_of
from prefrl.custom_env import MIN_IMAGE_SIDE, image_shape

_RESET = "write it as def reset(self, *, seed=None, options=None): ... return observation, {}"
_STEP = "return observation, 0.0, terminated, False, {}"
_LARGE_SIDE = 128
"""Pixels of a picture's side above which the network on frames costs more than most games."""


def found(game: Game) -> Iterator[Finding]:
    """The id is registered; what stands behind it."""
    spec = spec_of(game.env_id)
    yield Finding("found", "ok", f"{spec.id}, {_behind(spec.entry_point)}")


def _behind(entry_point: Any) -> str:
    if isinstance(entry_point, str):
        return entry_point
    name = getattr(entry_point, "__qualname__", type(entry_point).__name__)
    try:
        place = inspect.getsourcefile(entry_point)
    except TypeError:  # a partial, or an object that can be called
        place = None
    return f"{name} in {Path(place).name}" if place else str(name)


def made(game: Game) -> Iterator[Finding]:
    """It can be made, plain and with the render_mode that pictures need."""
    begin = time.perf_counter()
    game.make().close()
    seconds = time.perf_counter() - begin
    try:
        game.make(render=True).close()
    except Trouble as e:
        if "render_mode" not in e.detail:
            raise
        remedy = "take it and keep it: def __init__(self, render_mode=None): self.render_mode = render_mode"
        yield Finding("constructor", "bad", "__init__() takes no render_mode", remedy, trace=e.trace)
        return
    detail = f"takes render_mode; made in {max(1, 1000 * seconds):.0f} ms"
    if seconds > 2.0:
        remedy = "load pictures and sounds once, when the module is imported"
        n_envs = game.config.world.n_envs
        yield Finding("constructor", "warn", f"{detail}, and training makes {n_envs} copies", remedy)
    else:
        yield Finding("constructor", "ok", detail)


def spaces_supported(game: Game) -> Iterator[Finding]:
    """Its spaces are there, and are such as training takes."""
    one = game.make()
    obs = getattr(one.env.unwrapped, "observation_space", None)
    action = getattr(one.env.unwrapped, "action_space", None)
    if not isinstance(obs, spaces.Space) or not isinstance(action, spaces.Space):
        lacking = "action_space" if isinstance(obs, spaces.Space) else "observation_space"
        remedy = (
            f"set self.{lacking} in __init__, as in gym.spaces.Discrete(4) or gym.spaces.Box(-1, 1, (2,), np.float32)"
        )
        yield Finding(lacking.replace("_space", "s"), "bad", f"there is no {lacking}", remedy)
        return
    yield _observations(one.env.observation_space)
    yield _actions(one.env.action_space)
    one.close()


def _observations(space: spaces.Space[Any]) -> Finding:
    name = "observations"
    if not isinstance(space, spaces.Box | spaces.Discrete | spaces.MultiDiscrete | spaces.MultiBinary):
        remedy = "give one array: wrap it in gymnasium.wrappers.FlattenObservation where you register it"
        return Finding(name, "bad", f"{type(space).__name__}, of several parts", remedy)
    image = image_shape(space)
    if image is not None:
        channels, height, width = image
        kind = {1: "grey ", 3: "RGB "}.get(channels, f"{channels}-channel ")
        shown = "people see what the agent sees" if channels in (1, 3) else "people are shown render()"
        detail = f"{kind}pictures of {width}x{height}; {shown}"
        if max(height, width) > _LARGE_SIDE:
            remedy = "the agent learns slowly from large ones: gymnasium.wrappers.ResizeObservation(env, (84, 84))"
            return Finding(name, "warn", detail, remedy)
        return Finding(name, "ok", detail)
    shape = space.shape or ()
    if isinstance(space, spaces.Box) and len(shape) >= 2 and min(sorted(shape)[-2:]) >= MIN_IMAGE_SIDE:
        detail = f"{space.dtype} of {shape}, taken as {math.prod(shape):,} numbers and not as a picture"
        return Finding(name, "warn", detail, "if it is a picture, make it uint8 of 0 to 255, (H, W, 3)")
    if not isinstance(space, spaces.Box):
        return Finding(name, "ok", f"{space}, as {spaces.utils.flatdim(space)} numbers of 0 or 1")
    number = "1 number" if math.prod(shape) == 1 else f"{math.prod(shape)} numbers"
    cast = "" if space.dtype == np.float32 else "; the agent gets them as float32"
    return Finding(name, "ok", f"{number}, {space.dtype}{cast}")


def _actions(space: spaces.Space[Any]) -> Finding:
    name = "actions"
    wrap = "where you register it, wrap it in gymnasium.wrappers."
    if isinstance(space, spaces.Discrete):
        if space.start == 0:
            return Finding(name, "ok", f"{space.n}, numbered from 0")
        remedy = f"number them from 0: gym.spaces.Discrete({space.n})"
        return Finding(name, "bad", f"{space.n}, numbered from {space.start}", remedy)
    if not isinstance(space, spaces.Box):
        remedy = "make one action of each combination: gym.spaces.Discrete(n), and look it up in step()"
        return Finding(name, "bad", f"{space}", remedy)
    if not np.issubdtype(space.dtype, np.floating) or len(space.shape) != 1 or not space.is_bounded():
        remedy = "make it gym.spaces.Box(-1, 1, (n,), np.float32) and scale in step()"
        return Finding(name, "bad", f"{space}: no row of floats with finite bounds", remedy)
    detail = f"{space.shape[0]} numbers of {space.low.min():g} to {space.high.max():g}"
    centre, half = (space.high + space.low) / 2, (space.high - space.low) / 2
    if (np.abs(centre) > half / 2).any() or (half > 4).any() or (half < 0.25).any():
        remedy = f"a new agent acts at about -1 to 1: {wrap}RescaleAction(env, -1, 1)"
        return Finding(name, "warn", detail, remedy)
    return Finding(name, "ok", detail)


def kept(game: Game) -> Iterator[Finding]:
    """What reset() and step() return is what they promise, over one play."""
    one = game.make()
    faults = _Faults()
    space = one.env.observation_space
    result = one.reset(0)
    if not (isinstance(result, tuple) and len(result) == 2):
        what = f"a tuple of {len(result)}" if isinstance(result, tuple) else f"one {type(result).__name__}"
        yield Finding("reset", "bad", f"reset() returned {what}, expected (observation, info)", _RESET)
        return
    faults.of_obs(space, result[0], "reset()", 0)
    if not isinstance(result[1], dict):
        faults.add("reset", "warn", f"reset() returned an info of {type(result[1]).__name__}", _RESET)
    steps = _steps(game, one, space, result[0], faults) if not faults.is_bad else iter(())
    yield from faults.or_ok("reset", "returns (observation, info)")
    yield from steps
    one.close()


def _steps(game: Game, one: Copy, space: spaces.Space[Any], obs: Any, faults: _Faults) -> Iterator[Finding]:
    before = (obs, flat(space, obs))
    deadline = time.perf_counter() + 3.0
    n_steps = 0
    for action in game.actions(one.env.action_space, game.n_steps):
        result = one.step(action)
        n_steps += 1
        if not (isinstance(result, tuple) and len(result) == 5):
            what = f"{len(result)} things" if isinstance(result, tuple) else f"one {type(result).__name__}"
            old = "; 4 was the way of the old gym" if isinstance(result, tuple) and len(result) == 4 else ""
            expected = "expected (observation, reward, terminated, truncated, info)"
            yield Finding("step", "bad", f"step() returned {what}, {expected}{old}", _STEP)
            return
        obs, reward, terminated, truncated, info = result
        faults.of_obs(space, obs, "step()", n_steps)
        faults.of_rest(reward, terminated, truncated, info, n_steps)
        if faults.is_bad:
            break
        if obs is before[0] and isinstance(obs, np.ndarray) and not same(obs, before[1]):
            said = "step() returns the same array every time and changes it in place"
            faults.add("step", "warn", said, "return a copy: observation.copy()")
        before = (obs, flat(space, obs))
        if terminated or truncated:
            faults.of_obs(space, one.reset()[0], "reset()", n_steps)
        if time.perf_counter() > deadline:
            break
    game.n_steps = max(20, n_steps)  # no play takes longer than this one
    yield from faults.or_ok("step", f"returns all five as it should, {n_steps} times")


class _Faults:
    """What is wrong with what reset() and step() return, the first time that it is."""

    def __init__(self) -> None:
        self._found: dict[str, Finding] = {}

    @property
    def is_bad(self) -> bool:
        return any(f.status == "bad" for f in self._found.values())

    def add(self, name: str, status: Status, detail: str, remedy: str) -> None:
        self._found.setdefault(remedy, Finding(name, status, detail, remedy))

    def or_ok(self, name: str, detail: str) -> Iterator[Finding]:
        """The rows of this name; one that is ok where there is none."""
        rows = [f for f in self._found.values() if f.name == name]
        yield from rows or [Finding(name, "ok", detail)]

    def of_obs(self, space: spaces.Space[Any], obs: Any, by: str, n: int) -> None:
        name, when = by[:-2], f" at step {n}" if n else ""
        if not isinstance(space, spaces.Box):
            if not space.contains(obs):
                self.add(
                    name, "bad", f"{by} returned the observation {obs!r}{when}, outside {space}", f"stay in {space}"
                )
            return
        try:
            array = np.asarray(obs)
            finite = bool(np.isfinite(array).all())
        except (ValueError, TypeError):
            said = f"{by} returned an observation that is no array of numbers: {type(obs).__name__}{when}"
            self.add(name, "bad", said, "return np.array([...], np.float32)")
            return
        said = f"{by} returned an observation"
        if array.shape != space.shape:
            remedy = f"make both the same: self.observation_space = gym.spaces.Box(low, high, {array.shape})"
            self.add(name, "bad", f"{said} of shape {array.shape}, its space says {space.shape}", remedy)
        elif not finite:
            index = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
            said = f"{name_of(index)} is {array[index]} in what {by} returned{when}"
            self.add(name, "bad", said, "find the division by 0 or the overflow; training stops at such a number")
        elif array.dtype != space.dtype:
            is_bad = image_shape(space) is not None
            remedy = (
                "multiply by 255 if it is of 0 to 1, and return observation.astype(np.uint8)"
                if is_bad
                else f"return observation.astype(np.{space.dtype}); training casts it meanwhile"
            )
            self.add(
                name, "bad" if is_bad else "warn", f"{said} of {array.dtype}, its space says {space.dtype}", remedy
            )
        elif (array < space.low).any() or (array > space.high).any():
            index = tuple(int(i) for i in np.argwhere((array < space.low) | (array > space.high))[0])
            bounds = f"{space.low[index]:g} to {space.high[index]:g}"
            said = f"{name_of(index)} is {array[index]:g}{when}, its space says {bounds}"
            self.add(name, "warn", said, "widen the bounds of observation_space, or np.clip the observation")

    def of_rest(self, reward: Any, terminated: Any, truncated: Any, info: Any, n: int) -> None:
        at = f"at step {n}"
        number = isinstance(reward, int | float | np.number | np.bool_)
        if not number:
            single = isinstance(reward, np.ndarray) and reward.size == 1
            said = f"step() returned the reward {reward!r} {at}, no number"
            remedy = "return float(reward[0])" if single else "return 0.0: the score is never used, but has its place"
            self.add("step", "bad", said, remedy)
        elif not math.isfinite(float(reward)):
            self.add("step", "bad", f"step() returned the reward {reward} {at}", "return 0.0, or a finite score")
        for name, value in (("terminated", terminated), ("truncated", truncated)):
            if isinstance(value, bool | np.bool_):
                continue
            if value is None or isinstance(value, int):
                said = f"step() returned {value!r} as {name} {at}, taken as {bool(value)}"
                self.add("step", "warn", said, f"return True or False as {name}")
            else:
                said = f"step() returned {type(value).__name__} as {name} {at}, no truth value"
                self.add("step", "bad", said, f"return bool({name})")
        if not isinstance(info, dict):
            said = f"step() returned an info of {type(info).__name__} {at}"
            self.add("step", "warn", said, "return {} as the fifth")
