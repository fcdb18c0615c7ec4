"""A user's own game, or any other Gymnasium environment, as a world.

An id may name the module that registers it, `my_game:MyGame-v0`; that module is also found in the
current folder.
"""

from __future__ import annotations

import importlib.util
import math
import os
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from prefrl.custom_env import Env, FixedHorizon, FramedVecEnv, PlainSpaces, image_shape
from prefrl.errors import UserError
from prefrl.frames import Box, FrameDrawer, check_boxes, checked_frame
from prefrl.spelling import nearest

UNKNOWN_FRAME_RATE = 30.0

EXTRAS = {
    "ale_py": "prefrl[atari]",
    "mujoco": "prefrl[mujoco]",
    "pygame": "gymnasium[classic-control]",
    "Box2D": "gymnasium[box2d]",
    "cv2": "opencv-python",
}
"""What pip calls the packages that Gymnasium's own environments need."""


@dataclass(frozen=True, slots=True)
class CustomWorld:
    """Copies of a user's environment."""

    env_id: str
    venv: VecEnv
    """Observations float32 (n_envs, *shape), or uint8 images (n_envs, C, H, W); done at every
    horizon and never else.
    """
    frame_rate: float
    horizon: int
    drawer: FrameDrawer | None
    """From the frames in views, or from image observations; None without either."""
    n_stack: int = 1

    def pack_view(self, views: NDArray[Any]) -> NDArray[Any]:
        """The frames (T, H, W, 3) as they are."""
        return views


@dataclass(frozen=True, slots=True)
class _Facts:
    """What one copy of the environment tells before any is run."""

    image: tuple[int, int, int] | None
    """(C, H, W) of image observations."""
    horizon: int
    frame_rate: float
    render_modes: tuple[str, ...]

    @property
    def obs_is_picture(self) -> bool:
        """Whether people can be shown the observation itself."""
        return self.image is not None and self.image[0] in (1, 3)


def make(
    env_id: str,
    *,
    n_envs: int,
    seed: int,
    views: bool,
    env_kwargs: Mapping[str, Any] | None = None,
    horizon: int = 1000,
    masks: Sequence[Sequence[int]] = (),
    whole_episodes: bool = False,
) -> CustomWorld:
    """Make `n_envs` copies of a Gymnasium environment; copy i starts from `seed + i`.

    Args:
        env_id: Its Gymnasium id, or `module:id`.
        n_envs: Copies, stepped one after another.
        seed: Of the first copy.
        views: Whether clips are to be drawn. Unless the observation is a picture itself (uint8, grey or RGB), every
            step is rendered, and `info["view"]` is the frame, uint8 (H, W, 3).
        env_kwargs: For `gymnasium.make`.
        horizon: Steps of an episode where the id is registered without `max_episode_steps`.
        masks: Boxes x, y, width, height blacked out in frames and in image observations.
        whole_episodes: Count the horizon from the beginning of each episode, also of those that begin where the
            environment ended by itself: to measure by, never to learn from.

    Raises:
        UserError: There is no such environment, something it needs is missing, its spaces are not supported, or it
            cannot be drawn.
    """
    kwargs = dict(env_kwargs or {})
    spec = find_spec(env_id)
    steps = kwargs.pop("max_episode_steps", None)
    if not isinstance(steps, int | None):
        raise UserError(f"expected max_episode_steps in --env-kwargs to be a whole number, got {steps!r}")
    horizon = steps or spec.max_episode_steps or horizon
    if n_envs < 1 or horizon < 1:
        raise UserError(f"expected at least 1 environment and a horizon of at least 1 step, got {n_envs} and {horizon}")
    if "render_mode" in kwargs:
        raise UserError("expected no render_mode in --env-kwargs: it is rgb_array where clips are to be drawn")
    facts = _probe(env_id, kwargs, horizon)
    boxes = _boxes_on_obs(masks, facts)
    rendered = views and not facts.obs_is_picture
    if rendered:
        kwargs = {**kwargs, "render_mode": "rgb_array"}
        boxes = _boxes_on_frames(env_id, kwargs, masks, facts)
    obs_boxes = boxes if facts.image is not None else ()

    def make_one() -> Env:
        plain = PlainSpaces(gym_make(env_id, kwargs), env_id, obs_boxes)
        return FixedHorizon(plain, facts.horizon, whole_episodes=whole_episodes)

    env_fns = [make_one] * n_envs
    venv = FramedVecEnv(list(env_fns), env_id, boxes) if rendered else DummyVecEnv(list(env_fns))
    venv.seed(seed)
    source = FrameDrawer("view") if rendered else FrameDrawer("obs") if facts.obs_is_picture else None
    return CustomWorld(env_id, venv, facts.frame_rate, facts.horizon, source)


def find_spec(env_id: str) -> gym.envs.registration.EnvSpec:
    """What an id is registered as, its module imported first.

    Raises:
        UserError: There is no such id or module.
    """
    module, colon, name = env_id.rpartition(":")
    if colon and not module:
        raise UserError(f"expected an id such as my_game:MyGame-v0, got {env_id!r}")
    try:
        if module:
            _import(module, env_id)
        return gym.spec(name)
    except gym.error.Error as e:
        known = list(gym.registry)
        where = f" after importing {module}" if module else ""
        raise UserError(
            f"expected a registered Gymnasium id{where} (one of your own with its module before it, as in "
            f"my_game:MyGame-v0), got {name!r}{nearest(name, known)}"
        ) from e


def _import(module: str, env_id: str) -> None:
    """Import the module of an id; a console script, unlike `python -m`, does not look into the
    current folder.
    """
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.append(os.getcwd())
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as e:
        if e.name is not None and (module + ".").startswith(e.name + "."):
            raise UserError(
                f"expected a module {module} for {env_id}, found none; install it, or run from the folder it is in"
            ) from e
        raise _missing(e, env_id) from e


def _missing(e: ImportError, env_id: str) -> UserError:
    name = (e.name or "").split(".")[0]
    remedy = f'pip install "{EXTRAS.get(name, name)}"' if name else str(e)
    return UserError(f"expected the package {name or 'it imports'} for {env_id}, found none; {remedy}")


def gym_make(env_id: str, kwargs: dict[str, Any]) -> Env:
    """`gymnasium.make` without its time limit, which `FixedHorizon` keeps, and with errors of one
    line.
    """
    try:
        return gym.make(env_id, max_episode_steps=-1, disable_env_checker=True, **kwargs)
    except gym.error.DependencyNotInstalled as e:
        raise UserError(f"{env_id} cannot be made: {str(e).splitlines()[0]}") from e
    except ImportError as e:
        raise _missing(e, env_id) from e
    except TypeError as e:
        if "unexpected keyword argument" not in str(e):
            raise
        cause = str(e).split(" was raised from")[0]
        raise UserError(f"expected --env-kwargs that {env_id} takes, got others: {cause}") from e


def _probe(env_id: str, kwargs: dict[str, Any], horizon: int) -> _Facts:
    """Make one copy, look at what it says of itself, and close it."""
    env = gym_make(env_id, kwargs)
    obs, action, fps = env.observation_space, env.action_space, env.metadata.get("render_fps")
    modes = tuple(env.metadata.get("render_modes") or ())
    env.close()
    if not isinstance(obs, spaces.Box | spaces.Discrete | spaces.MultiDiscrete | spaces.MultiBinary):
        raise UserError(
            f"expected observations of one array from {env_id}, got {type(obs).__name__}; wrap it "
            "in "
            "gymnasium.wrappers.FlattenObservation where you register it"
        )
    floats = isinstance(action, spaces.Box) and np.issubdtype(action.dtype, np.floating)
    if not floats and not (isinstance(action, spaces.Discrete) and action.start == 0):
        raise UserError(
            f"expected Discrete actions from 0 on, or a Box of floats, from {env_id}, got "
            f"{action}; wrap it in "
            "gymnasium.wrappers.TransformAction where you register it"
        )
    if isinstance(action, spaces.Box) and not (len(action.shape) == 1 and action.is_bounded()):
        raise UserError(
            f"expected actions from {env_id} to be a Box of one dimension with finite bounds, got {action}; wrap it in "
            "gymnasium.wrappers.RescaleAction or TransformAction where you register it"
        )
    if fps is None:
        warnings.warn(
            f"{env_id} does not say how fast it runs: taking {UNKNOWN_FRAME_RATE:g} steps per "
            'second; set "render_fps" '
            "in its metadata",
            UserWarning,
            stacklevel=3,
        )
        fps = UNKNOWN_FRAME_RATE
    if not (isinstance(fps, int | float | np.number) and math.isfinite(fps) and fps > 0):
        raise UserError(f'expected "render_fps" in the metadata of {env_id} to be above 0, got {fps!r}')
    return _Facts(image_shape(obs), horizon, float(fps), modes)


def _boxes_on_obs(masks: Sequence[Sequence[int]], facts: _Facts) -> tuple[Box, ...]:
    return () if facts.image is None else check_boxes(masks, *facts.image[1:])


def _boxes_on_frames(
    env_id: str, kwargs: dict[str, Any], masks: Sequence[Sequence[int]], facts: _Facts
) -> tuple[Box, ...]:
    """Render once, to say now and not after the first step what is wrong with the frames, or with
    masks on them.
    """
    if "rgb_array" not in facts.render_modes:
        raise UserError(
            f'expected {env_id} to draw itself, with "rgb_array" among the render_modes of its '
            "metadata, got "
            f"{list(facts.render_modes)}; add it, or train with a teacher, who needs no pictures"
        )
    env = gym_make(env_id, kwargs)
    try:
        env.reset(seed=0)
        height, width, _ = checked_frame(env.render(), env_id).shape
    except gym.error.DependencyNotInstalled as e:
        raise UserError(f"{env_id} cannot be drawn: {str(e).splitlines()[0]}") from e
    finally:
        env.close()
    if masks and facts.image is not None and facts.image[1:] != (height, width):
        raise UserError(
            f"expected frames of {env_id} as large as its observations, {facts.image[1:]}, to "
            "mask both, got "
            f"{(height, width)}"
        )
    return check_boxes(masks, height, width)
