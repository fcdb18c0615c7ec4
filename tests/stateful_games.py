"""Games that keep their state in different ways, for tests of going on with them."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray


class Walker:
    """Where somebody is; a class of a game's own."""

    def __init__(self) -> None:
        self.x = 0.0


class Opaque(gym.Env[NDArray[np.float32], np.int64]):
    """A walk by chance whose state is in an object: nobody can tell it from outside."""

    metadata = {"render_modes": [], "render_fps": 10}  # noqa: RUF012  # Gymnasium's custom

    def __init__(self) -> None:
        self.observation_space = spaces.Box(-100.0, 100.0, (1,), np.float32)
        self.action_space = spaces.Discrete(2)
        self.walker = Walker()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        super().reset(seed=seed)
        self.walker.x = float(self.np_random.normal())
        return self._obs(), {}

    def step(self, action: np.int64) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        self.walker.x += float(action) - 0.5 + 0.1 * float(self.np_random.normal())
        return self._obs(), self.walker.x, False, False, {}

    def _obs(self) -> NDArray[np.float32]:
        return np.array([self.walker.x], np.float32)


class Telling(Opaque):
    """The same walk, and it tells its state."""

    def get_state(self) -> dict[str, Any]:
        return {"x": self.walker.x}

    def set_state(self, state: dict[str, Any]) -> None:
        self.walker.x = state["x"]


class Lasting(Telling):
    """The same; it breaks at the 150th step of its life."""

    def __init__(self) -> None:
        super().__init__()
        self.n_steps = 0

    def step(self, action: np.int64) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        self.n_steps += 1
        if self.n_steps == 150:
            raise ArithmeticError("worn out")
        return super().step(action)

    def get_state(self) -> dict[str, Any]:
        return {**super().get_state(), "n_steps": self.n_steps}

    def set_state(self, state: dict[str, Any]) -> None:
        super().set_state(state)
        self.n_steps = state["n_steps"]


gym.register("OpaqueWalk-v0", entry_point="stateful_games:Opaque", max_episode_steps=50)
gym.register("TellingWalk-v0", entry_point="stateful_games:Telling", max_episode_steps=50)
gym.register("LastingWalk-v0", entry_point="stateful_games:Lasting", max_episode_steps=50)
