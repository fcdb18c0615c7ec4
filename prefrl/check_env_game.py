"""The game that is checked: copies of it, what they play, and where two games differ."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from prefrl import custom
from prefrl.check_env_calls import call
from prefrl.check_env_watch import tell_step
from prefrl.config import Config
from prefrl.custom_env import Env, image_shape


class Copy:
    """One copy of the game; its failures are `Trouble`, with the step and the action."""

    def __init__(self, env: Env) -> None:
        self.env = env
        self.n_steps = 0
        """Since it was made."""
        self._action: Any = None

    def reset(self, seed: int | None = None) -> Any:
        """Reset it; what it returns is not looked at."""
        at = f" after {self.n_steps} steps" if self.n_steps else ""
        return call("reset()", self.env.reset, seed=seed, options=None, at=lambda: at)

    def step(self, action: Any) -> Any:
        """Step it; what it returns is not looked at."""
        self._action = action
        result = call("step()", self._step, copy.copy(action), at=self._at)
        self.n_steps += 1
        return result

    def render(self) -> Any:
        """Have it draw; what it returns is not looked at."""
        return call("render()", self.env.render, at=lambda: f" after step {self.n_steps}" if self.n_steps else "")

    def close(self) -> None:
        """Close it."""
        call("close()", self.env.close)

    def _step(self, action: Any) -> Any:
        tell_step(self.n_steps + 1)
        return self.env.step(action)

    def _at(self) -> str:
        return f" at step {self.n_steps + 1}, action {_brief(self._action)}"


@dataclass(frozen=True, slots=True)
class Play:
    """What came of some steps."""

    obs: list[NDArray[Any]]
    """(*O) each, the first from the reset; T + 1."""
    rewards: list[float]
    """T."""
    ends: list[bool]
    """T: whether the game ended there by itself; the next observation is then its next episode's first."""
    frames: list[Any] = field(default_factory=list)
    """What render() returned for each observation, where it was asked."""

    @property
    def lengths(self) -> list[int]:
        """Steps of each whole episode."""
        marks = [-1, *np.flatnonzero(self.ends).tolist()]
        return [int(b - a) for a, b in pairwise(marks)]


@dataclass(slots=True)
class Game:
    """The game, what was asked of the check, and what the checks so far have found out."""

    env_id: str
    kwargs: dict[str, Any]
    """For `gymnasium.make`, without `max_episode_steps`."""
    config: Config
    """What `prefrl train` would begin from."""
    registered_steps: int | None
    """`max_episode_steps` of its registration, or as given."""
    n_steps: int
    """Steps of each play; fewer where the game is slow."""
    is_alike: bool | None = None
    """Whether the same seed gives the same game; None while not known."""
    base: Play | None = None
    """Seed 0, seen by nobody."""
    framed: Play | None = None
    """The same with pictures; None where there are none."""
    step_seconds: float = 0.0
    """Wall clock of a step as training takes it: with pictures, where they are drawn."""
    learn_seconds: float | None = None
    """Of a step, what PPO and the reward model take; None while not measured."""

    @property
    def horizon(self) -> int:
        """Steps after which the learner sees a time limit."""
        return self.registered_steps or self.config.world.horizon

    def make(self, *, render: bool = False) -> Copy:
        """Make a copy, as training does."""
        kwargs = {**self.kwargs, "render_mode": "rgb_array"} if render else self.kwargs
        return Copy(call("making it", custom.gym_make, self.env_id, kwargs))

    def actions(self, space: spaces.Space[Any], n: int, seed: int = 0) -> list[Any]:
        """Random actions, the same for the same seed."""
        space = copy.deepcopy(space)
        space.seed(seed)
        return [space.sample() for _ in range(n)]

    def play(self, *, seed: int = 0, n_steps: int | None = None, render: bool = False, action: Any = None) -> Play:
        """Make a copy, play it and close it; random actions, or always the one that is given."""
        one = self.make(render=render)
        n = self.n_steps if n_steps is None else n_steps
        chosen = self.actions(one.env.action_space, n) if action is None else [action] * n
        try:
            return play(one, chosen, seed=seed, render=render)
        finally:
            one.close()


def play(one: Copy, actions: Sequence[Any], *, seed: int | None, render: bool = False) -> Play:
    """Reset a copy and take these actions, resetting it where it ends."""
    done = Play([], [], [])
    space = one.env.observation_space
    done.obs.append(flat(space, one.reset(seed)[0]))
    if render:
        done.frames.append(keep(one.render()))
    for action in actions:
        obs, reward, terminated, truncated, _ = one.step(action)
        ended = bool(terminated) or bool(truncated)
        if ended:
            obs = one.reset()[0]
        done.obs.append(flat(space, obs))
        done.rewards.append(float(reward))
        done.ends.append(ended)
        if render:
            done.frames.append(keep(one.render()))
    return done


def flat(space: spaces.Space[Any], obs: Any) -> NDArray[Any]:
    """An observation as an array of its own: as it is, or as one row of numbers where it is none."""
    return np.array(obs if isinstance(space, spaces.Box) else spaces.utils.flatten(space, obs))


def keep(frame: Any) -> Any:
    """A copy of what render() returned; games draw on the same array again."""
    return frame.copy() if isinstance(frame, np.ndarray) else copy.copy(frame)


def is_picture(space: spaces.Space[Any]) -> bool:
    """Whether people are shown the observation itself."""
    shape = image_shape(space)
    return shape is not None and shape[0] in (1, 3)


def difference(a: Play, b: Play) -> str | None:
    """Where two plays first differ, in words; None where they are the same."""
    for i, (x, y) in enumerate(zip(a.obs, b.obs, strict=False)):
        if not same(x, y):
            when = "after reset()" if i == 0 else f"after step {i}"
            return f"{when} {_unlike(x, y)}"
        if i < min(len(a.ends), len(b.ends)) and a.ends[i] != b.ends[i]:
            return f"at step {i + 1} one ends and the other goes on"
    return None


def same(x: Any, y: Any) -> bool:
    """Whether two arrays hold the same bits of the same shape."""
    x, y = np.asarray(x), np.asarray(y)
    return x.shape == y.shape and np.array_equal(x, y, equal_nan=x.dtype.kind == y.dtype.kind == "f")


def _unlike(x: NDArray[Any], y: NDArray[Any]) -> str:
    if x.shape != y.shape:
        return f"the observations have shapes {x.shape} and {y.shape}"
    where = np.argwhere(np.asarray(x != y))
    if len(where) == 0 or x.ndim > 1:
        return f"{len(where)} of {x.size} numbers of the observation are others"
    index = tuple(int(i) for i in where[0])
    return f"{name_of(index)} is {x[index]:.6g} in one and {y[index]:.6g} in the other"


def name_of(index: Sequence[int]) -> str:
    """What a number of the observation is called."""
    return f"observation[{', '.join(map(str, index))}]" if len(index) else "the observation"


def _brief(action: Any) -> str:
    if isinstance(action, np.ndarray):
        return np.array2string(action, precision=3, threshold=8)
    return str(action)


def spec_of(env_id: str) -> gym.envs.registration.EnvSpec:
    """The registration of an id, its module imported."""
    spec: gym.envs.registration.EnvSpec = call(f"importing {env_id.partition(':')[0]}", custom.find_spec, env_id)
    return spec
