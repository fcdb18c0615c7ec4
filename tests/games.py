"""Small games for tests, registered as a user would register their own."""

from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray


class Slide(gym.Env[NDArray[Any], np.int64]):
    """A bead on a wire of 0 to 20: action 1 moves it right, 0 left; never ends by itself.

    Args:
        reward: "right" pays for standing right, "noise" at random, "zero" never.
        nan_at: Step at which the observation is not a number.
        pictures: Observe the picture instead of position and speed.
        render_mode: "rgb_array" gives pictures of 16 x 84.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012  # Gymnasium's custom

    def __init__(
        self, reward: str = "right", nan_at: int = -1, pictures: bool = False, render_mode: str | None = None
    ) -> None:
        self.pictures = pictures
        self.observation_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
        if pictures:
            self.observation_space = spaces.Box(0, 255, (36, 84, 3), np.uint8)
        self.action_space = spaces.Discrete(2)
        self.render_mode = render_mode
        self.kind, self.nan_at = reward, nan_at
        self.x, self.v, self.n = 10.0, 0.0, 0
        self.noise = np.random.default_rng(12345)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[Any], dict[str, Any]]:
        super().reset(seed=seed)
        self.x, self.v, self.n = float(self.np_random.integers(5, 16)), 0.0, 0
        return self._obs(), {}

    def step(self, action: np.int64) -> tuple[NDArray[Any], float, bool, bool, dict[str, Any]]:
        self.v = 0.5 * self.v + (0.5 if action == 1 else -0.5)
        self.x = float(np.clip(self.x + self.v, 0, 20))
        self.n += 1
        reward = {"right": self.x / 20, "noise": self.noise.normal() * 100, "zero": 0.0}[self.kind]
        return self._obs(), float(reward), False, False, {"score": reward}

    def _obs(self) -> NDArray[Any]:
        if self.pictures:
            return np.pad(self.render(), ((10, 10), (0, 0), (0, 0)))
        x = np.nan if self.n == self.nan_at else self.x / 10 - 1
        return np.array([x, self.v], np.float32)

    def render(self) -> NDArray[np.uint8]:
        frame = np.zeros((16, 84, 3), np.uint8)
        left = round(self.x * 4)
        frame[4:12, left : left + 4] = 255
        return frame


class Lives(gym.Env[NDArray[Any], np.int64]):
    """Lives for 1 to 80 steps by chance, whatever is done, and pays 1 for each."""

    metadata = {"render_modes": [], "render_fps": 10}  # noqa: RUF012  # Gymnasium's custom

    def __init__(self) -> None:
        self.observation_space = spaces.Box(0.0, 80.0, (1,), np.float32)
        self.action_space = spaces.Discrete(2)
        self.n = self.life = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[Any], dict[str, Any]]:
        super().reset(seed=seed)
        self.n, self.life = 0, int(self.np_random.integers(1, 81))
        return np.zeros(1, np.float32), {}

    def step(self, action: np.int64) -> tuple[NDArray[Any], float, bool, bool, dict[str, Any]]:
        self.n += 1
        return np.array([self.n], np.float32), 1.0, self.n == self.life, False, {}


class Crowd(Slide):
    """Pays in every step how many copies there are."""

    there: ClassVar[set[int]] = set()

    def __init__(self) -> None:
        super().__init__()
        self.there.add(id(self))

    def step(self, action: np.int64) -> tuple[NDArray[Any], float, bool, bool, dict[str, Any]]:
        obs, _, terminated, truncated, info = super().step(action)
        return obs, float(len(self.there)), terminated, truncated, info

    def close(self) -> None:
        self.there.discard(id(self))


class Alone(Crowd):
    """There can be but one at a time."""

    def __init__(self) -> None:
        if self.there:
            raise OSError("port 5000 is taken")
        super().__init__()


gym.register("SlideGame-v0", entry_point="games:Slide", max_episode_steps=50)
gym.register("BlindSlideGame-v0", entry_point="games:Slide", max_episode_steps=50, kwargs={"reward": "zero"})
gym.register("SlidePictures-v0", entry_point="games:Slide", max_episode_steps=50, kwargs={"pictures": True})
gym.register("LivesGame-v0", entry_point="games:Lives", max_episode_steps=60)
gym.register("CrowdGame-v0", entry_point="games:Crowd", max_episode_steps=50)
gym.register("AloneGame-v0", entry_point="games:Alone", max_episode_steps=50)
