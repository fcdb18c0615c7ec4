"""The state of environments at a rollout's boundary, so that a resumed run goes on in the middle of their episodes.

What can tell its state is asked for it; what cannot is looked into, layer by layer of its wrappers:

- A `VecEnv` with `get_state(n_recent)` and `put_state(state)` speaks for all its environments (Atari).
- A layer with `get_state()` and `set_state(state)` speaks for itself and for all below it: a game of a user's own, or
  the robots. What it returns is plain data, see `prefrl.plain`. Its `np_random` is kept beside it.
- Any other layer is its attributes, where all of them are plain data, as in Gymnasium's classic control. What would
  come back wrong (an object of a class of the game's own, an engine) makes the whole state `NotPlain`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from prefrl.plain import NotPlain

_OF_GYMNASIUM = frozenset(
    {"env", "spec", "metadata", "render_mode", "_action_space", "_observation_space", "_metadata", "_cached_spec"}
    | {"_saved_kwargs", "_np_random", "_np_random_seed"}
)
"""What Gymnasium itself keeps in every layer: the same in a new process, or kept beside the layers."""
_OF_MONITOR = frozenset({"t_start", "episode_returns", "episode_lengths", "episode_times", "results_writer"})
"""A history that nothing reads again, and the time of day."""


def take_envs(venv: VecEnv, n_recent: int) -> Any:
    """The state of all environments; nearly plain data, for `prefrl.plain` has the last word.

    Args:
        venv: The world's own.
        n_recent: Newest steps of each environment whose views must still be drawn by a resumed run.

    Raises:
        NotPlain: They hold something that would not come back.
    """
    if hasattr(venv, "get_state"):
        return venv.get_state(n_recent)
    if not isinstance(venv, DummyVecEnv):
        raise NotPlain(f"the environments are in a {type(venv).__name__}")
    return take_each(venv.envs)


def take_each(envs: Sequence[gym.Env[Any, Any]]) -> list[Any]:
    """The state of each environment; raises as `take_envs` does."""
    return [_take(env) for env in envs]


def put_envs(venv: VecEnv, state: Any) -> None:
    """Put environments that have been reset once into a state that `take_envs` gave.

    Raises:
        ValueError: They do not come to be in it.
    """
    if hasattr(venv, "put_state"):
        venv.put_state(state)
        return
    assert isinstance(venv, DummyVecEnv)
    put_each(venv.envs, state)


def put_each(envs: Sequence[gym.Env[Any, Any]], state: list[Any]) -> None:
    """Put environments into the states that `take_each` gave; raises as `put_envs` does."""
    if len(state) != len(envs):
        raise ValueError(f"expected the state of {len(envs)} environments, got that of {len(state)}")
    for env, its in zip(envs, state, strict=True):
        _put(env, its)


def _layers(env: gym.Env[Any, Any]) -> Iterator[Any]:
    """From the outermost wrapper down to the environment; a layer that speaks for itself is the last."""
    while isinstance(env, gym.Wrapper) and not _speaks(env):
        yield env
        env = env.env
    yield env


def _speaks(layer: Any) -> bool:
    return callable(getattr(layer, "get_state", None)) and callable(getattr(layer, "set_state", None))


def _take(env: gym.Env[Any, Any]) -> dict[str, Any]:
    bare: Any = env.unwrapped
    return {
        "layers": [layer.get_state() if _speaks(layer) else _attributes(layer) for layer in _layers(env)],
        "np_random": getattr(bare, "_np_random", None),
        "spaces": [_space_generator(space) for space in (bare.action_space, bare.observation_space)],
    }


def _attributes(layer: Any) -> dict[str, Any]:
    aside = _OF_GYMNASIUM | _OF_MONITOR if isinstance(layer, Monitor) else _OF_GYMNASIUM
    return {
        name: value
        for name, value in vars(layer).items()
        if name not in aside and not _is_constant(value) and not _is_picture(layer, value)
    }


def _is_constant(value: Any) -> bool:
    """Whether it holds no state: code, and spaces, whose generators are kept beside the layers."""
    if isinstance(value, FunctionType):
        return not value.__closure__
    return isinstance(value, type | ModuleType | BuiltinFunctionType | spaces.Space)


def _is_picture(layer: Any, value: Any) -> bool:
    """Whether it is what Gymnasium's own environments draw on, which tells nothing of their state."""
    ours = type(layer).__module__.split(".")[0] == "gymnasium"
    return ours and type(value).__module__.split(".")[0] == "pygame"


def _space_generator(space: spaces.Space[Any]) -> Any:
    """The generator of a space that has been sampled from or seeded; of spaces of spaces, none can have been."""
    if isinstance(space, spaces.Dict | spaces.Tuple):
        return None
    return space._np_random


def _put(env: gym.Env[Any, Any], state: dict[str, Any]) -> None:
    for layer, its in zip(_layers(env), state["layers"], strict=True):
        if _speaks(layer):
            layer.set_state(its)
        else:
            for name, value in its.items():
                _set(layer, name, value)
    bare: Any = env.unwrapped
    if state["np_random"] is not None:
        _set(bare, "_np_random", state["np_random"])
    for space, generator in zip((bare.action_space, bare.observation_space), state["spaces"], strict=True):
        if generator is not None:
            space._np_random = generator


def _set(layer: Any, name: str, value: Any) -> None:
    """Set an attribute, in place where that is possible: others may hold the same array or generator."""
    now = vars(layer).get(name)
    if isinstance(value, np.ndarray) and _fits(now, value):
        now[...] = value
    elif isinstance(value, np.random.Generator) and type(getattr(now, "bit_generator", None)) is type(
        value.bit_generator
    ):
        now.bit_generator.state = value.bit_generator.state
    else:
        vars(layer)[name] = value


def _fits(now: Any, value: NDArray[Any]) -> bool:
    if not isinstance(now, np.ndarray) or not now.flags.writeable:
        return False
    return bool(now.shape == value.shape and now.dtype == value.dtype)
