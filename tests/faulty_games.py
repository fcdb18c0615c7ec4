"""Games that do what games should not, registered as a user would register their own."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray


class Faulty(gym.Env[NDArray[Any], np.int64]):
    """A counter that misbehaves once it has taken `at` steps in an episode that began at `start`.

    Args:
        fault: raise, exit, sys_exit, segfault, hang, nan, inf_reward, nan_last, render_hang, init_exit or none.
        at: The step.
        start: Where an episode must have begun, 0 to 9, drawn from the seed; -1: anywhere.
        render_mode: "rgb_array" gives pictures.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012  # Gymnasium's custom

    def __init__(self, fault: str = "none", at: int = 5, start: int = -1, render_mode: str | None = None) -> None:
        self.observation_space = spaces.Box(-1e6, 1e6, (3,), np.float32)
        self.action_space = spaces.Discrete(2)
        self.render_mode = render_mode
        self.fault, self.at, self.start = fault, at, start
        self.begun = self.n = self.x = 0
        if fault == "init_exit":
            os._exit(5)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[Any], dict[str, Any]]:
        super().reset(seed=seed)
        self.begun, self.n, self.x = int(self.np_random.integers(10)), 0, 0
        return self._obs(), {}

    def step(self, action: np.int64) -> tuple[NDArray[Any], float, bool, bool, dict[str, Any]]:
        self.n += 1
        self.x += 1 if action == 1 else -1
        is_now = self.n == self.at and self.start in (-1, self.begun)
        if is_now:
            FAULTS.get(self.fault, int)()
        obs, reward = self._obs(), float(self.x)
        if is_now and self.fault == "nan":
            obs[1] = np.nan
        if is_now and self.fault == "inf_reward":
            reward = np.inf
        if self.fault == "nan_last" and self.n == 20:  # at the horizon, where the learner sees it as the last one only
            obs[0] = np.nan
        return obs, reward, False, False, {}

    def render(self) -> NDArray[np.uint8]:
        if self.fault == "render_hang" and self.n == self.at:
            time.sleep(3600)
        return np.full((16, 16, 3), self.n % 256, np.uint8)

    def _obs(self) -> NDArray[Any]:
        return np.array([self.begun, self.n, self.x], np.float32)


class Started(Faulty):
    """A game that plays in a program and in a fork, which it tells to end where it is closed.

    Args:
        fault: As above.
        at: The step.
        numbers: File that gets a line for each process: its number.
        render_mode: "rgb_array" gives pictures.
    """

    def __init__(self, fault: str = "none", at: int = 5, numbers: str = "", render_mode: str | None = None) -> None:
        super().__init__(fault, at, render_mode=render_mode)
        self.program = subprocess.Popen(["sleep", "3600"])
        self.fork = os.fork()
        if self.fork == 0:
            while True:
                signal.pause()
        with Path(numbers).open("a") as file:
            file.write(f"{self.program.pid}\n{self.fork}\n")

    def close(self) -> None:
        self.program.terminate()
        os.kill(self.fork, signal.SIGTERM)
        if self.program.returncode is None:
            self.program.wait()
            os.waitpid(self.fork, 0)


FAULTS: dict[str, Any] = {
    "raise": lambda: list[int]().pop(),
    "exit": lambda: os._exit(7),
    "sys_exit": lambda: sys.exit(0),
    "segfault": lambda: ctypes.string_at(0),
    "hang": lambda: time.sleep(3600),
}

gym.register("FaultyGame-v0", entry_point="faulty_games:Faulty", max_episode_steps=20)
gym.register("StartedGame-v0", entry_point="faulty_games:Started", max_episode_steps=20)
