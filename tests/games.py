"""Small games for tests, registered as a user would register their own."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray


class Slide(gym.Env[NDArray[np.float32], np.int64]):
    """A bead on a wire of 0 to 20: action 1 moves it right, 0 left; never ends by itself.

    Args:
        reward: "right" pays for standing right, "noise" at random, "zero" never.
        nan_at: Step at which the observation is not a number.
        render_mode: "rgb_array" gives pictures of 16 x 84.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012  # Gymnasium's custom

    def __init__(self, reward: str = "right", nan_at: int = -1, render_mode: str | None = None) -> None:
        self.observation_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
        self.action_space = spaces.Discrete(2)
        self.render_mode = render_mode
        self.kind, self.nan_at = reward, nan_at
        self.x, self.v, self.n = 10.0, 0.0, 0
        self.noise = np.random.default_rng(12345)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        super().reset(seed=seed)
        self.x, self.v, self.n = float(self.np_random.integers(5, 16)), 0.0, 0
        return self._obs(), {}

    def step(self, action: np.int64) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        self.v = 0.5 * self.v + (0.5 if action == 1 else -0.5)
        self.x = float(np.clip(self.x + self.v, 0, 20))
        self.n += 1
        reward = {"right": self.x / 20, "noise": self.noise.normal() * 100, "zero": 0.0}[self.kind]
        return self._obs(), float(reward), False, False, {"score": reward}

    def _obs(self) -> NDArray[np.float32]:
        x = np.nan if self.n == self.nan_at else self.x / 10 - 1
        return np.array([x, self.v], np.float32)

    def render(self) -> NDArray[np.uint8]:
        frame = np.zeros((16, 84, 3), np.uint8)
        left = round(self.x * 4)
        frame[4:12, left : left + 4] = 255
        return frame


gym.register("SlideGame-v0", entry_point="games:Slide", max_episode_steps=50)
gym.register("BlindSlideGame-v0", entry_point="games:Slide", max_episode_steps=50, kwargs={"reward": "zero"})
