"""Checks of a game that is played: chance, controls, pictures, copies and processes."""

from __future__ import annotations

import sys
import threading
import time
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import checked_games
import gymnasium as gym
import numpy as np
import pytest
from checked_games import FIRST, LEVEL, SEEN, Good, Register, assert_says, dice, game_of, not_ok, of, rows
from gymnasium import spaces

from prefrl import check_env_pictures, check_env_seeds
from prefrl.check_env_finding import Finding

register = checked_games.register


def test_chance_that_does_not_come_from_the_seed_is_told_with_where_it_comes_from(register: Register) -> None:
    def told(**changed: Any) -> Finding:
        (found,) = not_ok(game_of(register(of(**changed))), check_env_seeds.same_seed)
        assert found.status == "warn"
        return found

    own = told(obs=lambda self: np.array([self.x, dice()], np.float32))
    assert_says(own, r"after reset\(\) observation\[1\] is .* in one and", "draws from random or np.random")
    clock = told(obs=lambda self: np.array([self.x, time.perf_counter() % 1], np.float32))
    assert_says(clock, "two copies with the same seed differ", "not by the clock")

    def reset(self: Good, *, seed: int | None = None, options: Any = None) -> Any:
        self.n, self.x = 0, float(self.np_random.uniform(-1, 1))
        return self.obs(), {}

    assert_says(told(reset=reset), r"after reset\(\)", r"super\(\).reset\(seed=seed\)")

    def left(self: Good, *, seed: int | None = None, options: Any = None) -> Any:
        gym.Env.reset(self, seed=seed)
        return self.obs(), {}

    assert_says(told(reset=left), "has played before differs", "set everything there anew")


def test_no_chance_at_all_is_said(register: Register) -> None:
    def reset(self: Good, *, seed: int | None = None, options: Any = None) -> Any:
        self.n, self.x = 0, 0.0
        return self.obs(), {}

    (found,) = rows(game_of(register(of(reset=reset))), check_env_seeds.same_seed)
    assert found.detail == "two copies play the same 40 steps; every seed plays the same, so there is no chance in it"


def test_an_agent_that_changes_nothing_is_told(register: Register) -> None:
    game = game_of(register(of(obs=lambda self: np.zeros(2, np.float32))))
    (found,) = not_ok(game, check_env_seeds.same_seed, check_env_seeds.controls)
    assert_says(found, "the same in all of 40 steps", "after the step")
    game = game_of(register(of(obs=lambda self: np.full(2, np.cos(self.n), np.float32))))
    (found,) = not_ok(game, check_env_seeds.same_seed, check_env_seeds.controls)
    assert_says(found, "whatever the agent does", "use the action")
    assert found.status == "bad"


PICTURES: list[tuple[dict[str, Any], str, str, str, str]] = [
    ({"metadata": {"render_fps": 20}}, "pictures", "bad", r"render_modes of its metadata are \[\]", "rgb_array"),
    ({"metadata": {"render_modes": ["rgb_array"]}}, "render_fps", "warn", "30 steps per second", "render_fps"),
    (
        {"metadata": {"render_modes": ["rgb_array"], "render_fps": "fast"}},
        *("render_fps", "bad", "say 'fast'", "render_fps"),
    ),
    ({"render": lambda self: None}, "pictures", "bad", r"render\(\) returned None", r"RGB array \(H, W, 3\) of uint8"),
    ({"render": lambda self: Good.render(self) / 255}, "pictures", "bad", "returned float64", "multiply by 255"),
    ({"render": lambda self: Good.render(self)[..., 0]}, "pictures", "bad", r"uint8 \(40, 60\)", "np.stack"),
    (
        {"render": lambda self: Good.render(self)[: 40 - self.n % 2]},
        *("pictures", "bad", "size changes: 60x40, after step 1 60x39", "one size"),
    ),
    (
        {"render": lambda self: np.full((40, 60, 3), 9, np.uint8)},
        *("pictures", "bad", r"blank: every pixel is \[9, 9, 9\]", "draw the state"),
    ),
    (
        {"render": lambda self: np.repeat(np.eye(40, dtype=np.uint8)[..., None] * 255, 3, axis=2)},
        *("pictures", "bad", "same after each of 40 steps, while the observations change", "filled anew"),
    ),
    ({"render": lambda self: Good.render(self)[:12]}, "pictures", "warn", "small for people", "larger"),
    ({"render": lambda self: Good.render(self) // 250}, "pictures", "bad", "blank", "draw"),
    ({"render": lambda self: Good.render(self) // 120}, "pictures", "warn", "nearly blank", "brighter"),
]


@pytest.mark.parametrize(("changed", "name", "status", "detail", "remedy"), PICTURES)
def test_what_is_no_picture_of_a_game_is_told(
    register: Register, changed: dict[str, Any], name: str, status: str, detail: str, remedy: str
) -> None:
    found = not_ok(game_of(register(of(**changed))), *SEEN)[0]
    assert (found.name, found.status) == (name, status), found
    assert_says(found, detail, remedy)


def test_drawing_that_changes_the_game_or_lags_behind_it_is_told(register: Register) -> None:
    def moves(self: Good) -> Any:
        self.x = 0.9 * self.x
        return Good.render(self)

    (found,) = not_ok(game_of(register(of(render=moves))), *SEEN)
    assert_says(found, r"render\(\) changes the game: with pictures and without, after step 1", "only draw")

    def trails(self: Good) -> Any:
        canvas = self.__dict__.setdefault("canvas", np.zeros((40, 60, 3), np.uint8))
        canvas[:] = np.maximum(canvas // 2, Good.render(self))
        return canvas

    (found,) = not_ok(game_of(register(of(render=trails))), *SEEN)
    assert_says(found, "something else when it was not called after every step", "filled anew")


def test_windows_that_pygame_opens_are_told(register: Register, monkeypatch: pytest.MonkeyPatch) -> None:
    def told(driver: str) -> Finding:
        display = SimpleNamespace(get_init=lambda: True, get_driver=lambda: driver)
        monkeypatch.setitem(sys.modules, "pygame", SimpleNamespace(display=display))
        (found,) = check_env_pictures.windows(game_of(register(Good)))
        return found

    assert_says(told("x11"), r"opens windows here, one for each copy \(x11\)", "SDL_VIDEODRIVER")
    assert told("dummy").status == "ok"


def test_a_picture_for_an_observation_is_what_people_see(register: Register) -> None:
    def init(self: Good, render_mode: str | None = None) -> None:
        Good.__init__(self, render_mode)
        self.observation_space = spaces.Box(0, 255, (40, 60, 3), np.uint8)

    made = of(__init__=init, obs=Good.render, metadata={"render_fps": 20})
    game = game_of(register(made), masks=["0,0,60,10"])
    found = {f.name: f for f in rows(game, *FIRST, *SEEN, check_env_pictures.masks)}
    assert {f.status for f in found.values()} == {"ok"}
    assert "the observation itself is shown" in found["pictures"].detail
    assert found["mask"].detail == "25% of the picture is black for agent and people"
    game.config = replace(game.config, world=replace(game.config.world, masks=("50,0,20,10",)))
    (outside,) = not_ok(game, check_env_pictures.masks)
    assert_says(outside, "within the picture of 60x40", "from the top left")


def test_copies_that_share_what_is_in_the_module_are_told(register: Register) -> None:
    def reset(self: Good, *, seed: int | None = None, options: Any = None) -> Any:
        LEVEL[0] = 0
        return Good.reset(self, seed=seed)

    def step(self: Good, action: Any) -> Any:
        LEVEL[0] += 1
        self.n = LEVEL[0] - 1
        return Good.step(self, action)

    env_id = register(of(reset=reset, step=step))
    (found,) = not_ok(game_of(env_id), *SEEN, check_env_seeds.copies)
    assert_says(
        found, "second copy disturbs the first: after step 2 observation", "nothing in the module.*--num-envs 1"
    )
    assert found.status == "bad"
    alone = rows(game_of(env_id, n_envs=1), *SEEN, check_env_seeds.copies)[-1]
    assert (alone.status, alone.flags) == ("ok", "")  # it is evaluated alone, too


def test_a_game_of_which_there_can_be_but_one_is_told(register: Register) -> None:
    taken = threading.Lock()

    def init(self: Good, render_mode: str | None = None) -> None:
        if not taken.acquire(blocking=False):
            raise OSError("port 5000 is taken")
        Good.__init__(self, render_mode)

    game = game_of(register(of(__init__=init, close=lambda self: taken.release())))
    found = not_ok(game, *SEEN, check_env_seeds.copies)[-1]
    assert_says(found, "but one copy at a time: making it raised OSError: port 5000 is taken", "let several be made")
    assert found.status == "bad"
    alone = game_of(game.env_id, n_envs=1)
    *_, found, after = rows(alone, *SEEN, check_env_seeds.copies, check_env_seeds.same_seed)
    assert (found.name, found.status, found.remedy, after.status) == ("copies", "ok", "", "ok")
    assert found.detail.endswith("; fine with --num-envs 1")


def test_close_that_takes_from_the_others_is_told(register: Register) -> None:
    closed: list[int] = []

    def init(self: Good, render_mode: str | None = None) -> None:
        closed.clear()
        Good.__init__(self, render_mode)

    def render(self: Good) -> Any:
        if closed:
            raise RuntimeError("display Surface quit")
        return Good.render(self)

    game = game_of(register(of(__init__=init, render=render, close=lambda self: closed.append(1))))
    (found,) = not_ok(game, *SEEN, check_env_seeds.copies)
    assert_says(found, "close.. of one copy breaks the others.*display Surface quit", "no pygame.quit")


def test_threads_that_go_on_are_told(register: Register) -> None:
    stop = threading.Event()

    def reset(self: Good, *, seed: int | None = None, options: Any = None) -> Any:
        threading.Thread(target=stop.wait, daemon=True).start()
        return Good.reset(self, seed=seed)

    found = not_ok(game_of(register(of(reset=reset))), check_env_seeds.processes)[0]
    stop.set()
    assert_says(found, r"close\(\) leaves 1 threads running", "join")


def test_what_other_processes_cannot_make_is_told(register: Register) -> None:
    (found,) = not_ok(game_of(register(lambda render_mode=None: Good())), check_env_seeds.processes)
    assert_says(found, "other processes cannot make it", "my_game:MyGame-v0")
    good = rows(game_of(register(Good)), check_env_seeds.processes)[-1]
    assert good == Finding("processes", "ok", "any process can make it by its id, and its state can be copied")
