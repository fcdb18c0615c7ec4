"""Games for the checks of games: one with nothing wrong, ways to break it, and how rows are read."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from prefrl import check_env_pictures, check_env_run, check_env_seeds
from prefrl.check_env_calls import Printed
from prefrl.check_env_finding import Finding
from prefrl.check_env_game import Game
from prefrl.check_env_run import Check
from prefrl.flags import default_config

LEVEL: list[int] = [0]
"""What a careless game keeps in its module."""


def dice() -> float:
    """Chance of the wrong kind."""
    return random.random()  # noqa: S311  # it is what is tested


class Good(gym.Env[Any, Any]):
    """A dot on a line, to be moved left and right; nothing is wrong with it."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 20}  # noqa: RUF012  # Gymnasium's custom

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode
        self.observation_space: spaces.Space[Any] = spaces.Box(-1, 1, (2,), np.float32)
        self.action_space: spaces.Space[Any] = spaces.Discrete(3)
        self.n = 0
        self.x = 0.0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.n = 0
        self.x = float(self.np_random.uniform(-1, 1))
        return self.obs(), {}

    def step(self, action: Any) -> Any:
        self.n += 1
        self.x = float(np.clip(self.x + (0, 0.1, -0.1)[int(action)], -1, 1))
        return self.obs(), self.score(), False, False, {}

    def obs(self) -> Any:
        return np.array([self.x, np.cos(self.n)], np.float32)

    def score(self) -> Any:
        return 0.0

    def render(self) -> Any:
        frame = np.full((40, 60, 3), 30, np.uint8)
        left = int((self.x + 1) * 25)
        frame[10:20, left : left + 10] = 220
        return frame


Register = Callable[..., str]


@pytest.fixture
def register() -> Iterator[Register]:
    """Registers a class and gives its id."""
    ids: list[str] = []

    def put(made: Any, max_episode_steps: int | None = 60) -> str:
        ids.append(f"Checked{len(ids)}-v0")
        gym.register(ids[-1], made, max_episode_steps=max_episode_steps)
        return ids[-1]

    yield put
    for env_id in ids:
        del gym.registry[env_id]


def game_of(env_id: str, n_steps: int = 40, **world: Any) -> Game:
    config = default_config(env_id, world=world)
    return Game(env_id, {}, config, gym.spec(env_id).max_episode_steps, n_steps)


def rows(game: Game, *checks: Check) -> list[Finding]:
    return [finding for one in checks for finding in check_env_run.rows("row", one, game, Printed())]


def not_ok(game: Game, *checks: Check) -> list[Finding]:
    return [finding for finding in rows(game, *checks) if finding.status != "ok"]


FIRST = [one for _, one in check_env_run.FIRST]
SEEN = [check_env_seeds.same_seed, check_env_seeds.controls, check_env_pictures.pictures]


def of(**changed: Any) -> type[Good]:
    """A game that is good but for these methods and attributes."""
    return type("Broken", (Good,), changed)


def spaced(**changed: spaces.Space[Any]) -> type[Good]:
    """A game with other spaces."""

    def init(self: Good, render_mode: str | None = None) -> None:
        Good.__init__(self, render_mode)
        self.__dict__.update(changed)

    return of(__init__=init)


def stepped(*result: Any) -> type[Good]:
    """A game whose step() returns this."""
    return of(step=lambda self, action: tuple(self.obs() if r is ... else r for r in result))


def assert_says(found: Finding, detail: str, remedy: str) -> None:
    assert re.search(detail, found.detail), found
    assert re.search(remedy, found.remedy), found
    assert "\n" not in found.detail + found.remedy
