"""The memory that a trainer and the process of its game share: one array for each thing that goes between them."""

from __future__ import annotations

import math
import mmap
import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_ALIGNED = 64


@dataclass(frozen=True, slots=True)
class GameMemory:
    """What goes between the two processes, N copies of the game each."""

    obs: NDArray[Any]
    """(N, *O)."""
    last_obs: NDArray[Any]
    """Where `done`, the observation before the reset, (N, *O)."""
    rewards: NDArray[np.float32]
    """(N,)."""
    dones: NDArray[np.bool_]
    """(N,)."""
    episode_returns: NDArray[np.float64]
    """Of the episodes that the step ended, (N,)."""
    episode_lengths: NDArray[np.int64]
    """Of the same; 0 where it ended none; (N,)."""
    actions: NDArray[np.uint8]
    """Bytes of the actions, (N * A * 8,): their type comes with the message that they are there."""
    at: NDArray[np.int64]
    """Which copy is being called, (1,): where the process ends or hangs, it was this one."""


def map_memory(handle: int, n_envs: int, obs_shape: tuple[int, ...], obs_dtype: str, action_size: int) -> GameMemory:
    """The arrays in the file `handle`, which is made as long as they need."""
    n = n_envs
    layout: dict[str, tuple[tuple[int, ...], str]] = {
        "obs": ((n, *obs_shape), obs_dtype),
        "last_obs": ((n, *obs_shape), obs_dtype),
        "rewards": ((n,), "<f4"),
        "dones": ((n,), "|b1"),
        "episode_returns": ((n,), "<f8"),
        "episode_lengths": ((n,), "<i8"),
        "actions": ((n * action_size * 8,), "|u1"),
        "at": ((1,), "<i8"),
    }
    sizes = [math.prod(shape) * np.dtype(kind).itemsize for shape, kind in layout.values()]
    starts = np.cumsum([0, *(-(-size // _ALIGNED) * _ALIGNED for size in sizes)])
    os.ftruncate(handle, int(starts[-1]))
    memory = mmap.mmap(handle, int(starts[-1]))
    arrays: dict[str, Any] = {
        name: np.frombuffer(memory, kind, math.prod(shape), int(start)).reshape(shape)
        for (name, (shape, kind)), start in zip(layout.items(), starts, strict=False)
    }
    return GameMemory(**arrays)


def map_frames(handle: int, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Pictures of all copies, (N, H, W, 3), in the file `handle`, which is made as long as they need."""
    os.ftruncate(handle, math.prod(shape))
    return np.frombuffer(mmap.mmap(handle, math.prod(shape)), np.uint8).reshape(shape)
