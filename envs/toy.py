"""A toy world that is learned in seconds: a dot on a square that should be near a ring.

It needs neither an emulator nor a physics engine, and is drawn with numpy alone. People, tests and
first runs try everything on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Discrete
from numpy.typing import NDArray
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from envs import WorldError
from envs.viewed import ViewedVecEnv

__all__ = ["ENV_ID", "Dot", "DotDrawer", "DotWorld", "make"]

ENV_ID = "prefrl/Dot-v0"

DIRECTIONS = np.array([[0, 0], [-1, 0], [1, 0], [0, -1], [0, 1]], np.float32)
"""What the discrete actions push: nothing, left, right, down, up; (5, 2)."""
FRICTION = 0.7
PUSH = 0.06
FARTHEST = 2.0 * float(np.sqrt(2.0))
"""From corner to corner of the square [-1, 1] x [-1, 1]."""


class Dot(gym.Env[NDArray[np.float32], Any]):
    """A dot pushed about on a square; the env reward is 1 in the ring's middle, 0 farthest from it.

    Observation (6,): position, velocity, way to the ring. Never terminated.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012 - Gymnasium's own

    def __init__(self, action: str = "discrete", render_mode: str | None = None) -> None:
        if action not in ("discrete", "continuous"):
            raise WorldError(f"action must be 'discrete' or 'continuous', got {action!r}")
        self.render_mode = render_mode
        self.observation_space = Box(-np.inf, np.inf, (6,), np.float32)
        self.action_space = Discrete(5) if action == "discrete" else Box(-1, 1, (2,), np.float32)
        self.state = np.zeros(6, np.float32)
        """Position, velocity, the ring's position."""

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Put the dot and the ring anywhere, the dot at rest."""
        super().reset(seed=seed)
        places = self.np_random.uniform(-0.9, 0.9, 4)
        self.state = np.concatenate([places[:2], [0.0, 0.0], places[2:]]).astype(np.float32)
        return self._obs(), {}

    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Push the dot; walls stop it."""
        push = DIRECTIONS[int(action)] if np.ndim(action) == 0 else np.clip(action, -1.0, 1.0)
        position, velocity, ring = self.state[:2], self.state[2:4], self.state[4:]
        velocity = FRICTION * velocity + PUSH * push
        moved = np.clip(position + velocity, -1.0, 1.0)
        self.state = np.concatenate([moved, moved - position, ring]).astype(np.float32)
        reward = 1.0 - float(np.linalg.norm(moved - ring)) / FARTHEST
        return self._obs(), reward, False, False, {}

    def render(self) -> Any:
        """The picture (64, 64, 3) of the state now."""
        return DotDrawer().draw(self.state[None], self.state[None])[0]

    def _obs(self) -> NDArray[np.float32]:
        return np.concatenate([self.state[:4], self.state[4:] - self.state[:2]])


@dataclass(frozen=True, slots=True)
class DotDrawer:
    """Frames of the dot (white, with a tail against its motion) and the ring (orange)."""

    size: int = 64
    """Height and width of a frame in pixels."""

    def draw(self, obs: NDArray[Any], view: NDArray[Any] | None) -> NDArray[np.uint8]:
        """Frames (T, size, size, 3) of states `view` (T, 6); `obs` is not needed.

        Raises:
            WorldError: if there are no states.
        """
        if view is None or view.ndim != 2 or view.shape[1] != 6:
            raise WorldError("the dot is drawn from its states (T, 6), and this clip has none")
        at = (np.arange(self.size) + 0.5) / self.size * 2.2 - 1.1
        x, y = at[None, None, :], -at[None, :, None]  # (1, 1, W), (1, H, 1); up is up
        states = view.astype(np.float64)[:, :, None, None]  # (T, 6, 1, 1)
        px, py, vx, vy, ring_x, ring_y = (states[:, i] for i in range(6))  # each (T, 1, 1)
        inside = np.maximum(np.abs(x), np.abs(y)) < 1.06
        frames = np.where(inside[..., None], (34.0, 40.0, 52.0), (18.0, 21.0, 28.0))
        from_ring = np.hypot(x - ring_x, y - ring_y)
        frames = _paint(frames, np.abs(from_ring - 0.18) - 0.025, (255.0, 150.0, 50.0))
        for back, radius in ((2.0, 0.05), (1.0, 0.07)):
            from_tail = np.hypot(x - px + back * vx, y - py + back * vy)
            frames = _paint(frames, from_tail - radius, (96.0, 125.0, 160.0))
        frames = _paint(frames, np.hypot(x - px, y - py) - 0.1, (240.0, 245.0, 250.0))
        return np.round(frames).astype(np.uint8)


def _paint(
    frames: NDArray[np.float64], distance: NDArray[np.float64], colour: tuple[float, float, float]
) -> NDArray[np.float64]:
    """Lay a colour over (T, H, W, 3) where the distance (T, H, W) to a shape is below zero."""
    width_of_edge = 0.03  # about a pixel: no stairs
    cover = np.clip(0.5 - distance / width_of_edge, 0.0, 1.0)[..., None]
    painted: NDArray[np.float64] = frames * (1.0 - cover) + np.array(colour) * cover
    return painted


@dataclass(frozen=True, slots=True)
class DotWorld:
    """Copies of the dot, ready for a learner."""

    env_id: str
    venv: VecEnv
    frame_rate: float
    horizon: int
    drawer: DotDrawer | None
    """None without views."""
    n_stack: int = 1

    def pack_view(self, views: NDArray[Any]) -> NDArray[Any]:
        """Return the states (T, 6) as they are: each draws its own frame."""
        return views


def make(
    env_id: str = ENV_ID,
    *,
    n_envs: int,
    seed: int,
    views: bool,
    env_kwargs: Mapping[str, Any] | None = None,
) -> DotWorld:
    """Make `n_envs` dots; copy i starts from `seed + i`.

    `env_kwargs` are `action`, "discrete" or "continuous", and the horizon `max_episode_steps`, 50.

    Raises:
        WorldError: for another env_id, an unknown option, or a horizon below 1.
    """
    kwargs = {"max_episode_steps": 50, "action": "discrete", **(env_kwargs or {})}
    if env_id != ENV_ID:
        raise WorldError(f"the only toy world is {ENV_ID}, got {env_id!r}")
    unknown = sorted(set(kwargs) - {"max_episode_steps", "action"})
    if unknown:
        raise WorldError(f"the toy world takes action and max_episode_steps, got {unknown[0]!r}")
    if not isinstance(kwargs["max_episode_steps"], int):
        raise WorldError(f"max_episode_steps must be a whole number, got {kwargs['max_episode_steps']!r}")
    if n_envs < 1 or kwargs["max_episode_steps"] < 1:
        raise WorldError(
            f"n_envs and max_episode_steps must be at least 1, got {n_envs} and {kwargs['max_episode_steps']}"
        )
    if ENV_ID not in gym.registry:
        gym.register(ENV_ID, entry_point="envs.toy:Dot")
    env_fns = [lambda: _make_one(kwargs)] * n_envs
    venv = ViewedVecEnv(env_fns, _read_state) if views else DummyVecEnv(env_fns)
    venv.seed(seed)
    return DotWorld(
        env_id=env_id,
        venv=venv,
        frame_rate=float(Dot.metadata["render_fps"]),
        horizon=int(kwargs["max_episode_steps"]),
        drawer=DotDrawer() if views else None,
    )


def _make_one(kwargs: dict[str, Any]) -> gym.Env[Any, Any]:
    return Monitor(gym.make(ENV_ID, disable_env_checker=True, **kwargs))


def _read_state(env: gym.Env[Any, Any]) -> NDArray[np.float32]:
    assert isinstance(env, Dot)
    state = env.state.copy()
    state.flags.writeable = False
    return state
