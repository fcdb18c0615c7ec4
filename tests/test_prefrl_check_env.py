"""Checks of a game: each thing that can be wrong with one has its row in plain words, and a good one has none."""

from __future__ import annotations

import json
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from numpy.typing import NDArray

from prefrl import (
    check_env_calls,
    check_env_contract,
    check_env_pictures,
    check_env_proof,
    check_env_run,
    check_env_seeds,
    check_env_speed,
    training,
)
from prefrl.check_env import lines, main_check
from prefrl.check_env_calls import Printed, Trouble, call
from prefrl.check_env_finding import Finding
from prefrl.check_env_game import Game, Play
from prefrl.check_env_run import Check, check
from prefrl.errors import UserError
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


def needs_level(self: Good, level: int, render_mode: str | None = None) -> None:
    Good.__init__(self, render_mode)


needs_level.__qualname__ = "Game.__init__"
OBS = ...
CONTRACT: list[tuple[Any, str, str, str, str]] = [
    (of(__init__=lambda self: Good.__init__(self)), "constructor", "bad", "takes no render_mode", "render_mode=None"),
    (of(__init__=needs_level), "constructor", "bad", r"missing 1 required .*'level' in \w+", "--env-kwargs"),
    (
        of(__init__=lambda self, render_mode=None: None),
        "observations",
        "bad",
        "no observation_space",
        "self.observation",
    ),
    (spaced(observation_space=spaces.Dict({"a": spaces.Discrete(2)})), "observations", "bad", "Dict", "FlattenObserv"),
    (spaced(action_space=spaces.MultiDiscrete([2, 2])), "actions", "bad", "MultiDiscrete", r"Discrete\(n\)"),
    (spaced(action_space=spaces.Discrete(3, start=1)), "actions", "bad", "numbered from 1", r"Discrete\(3\)"),
    (spaced(action_space=spaces.Box(-np.inf, np.inf, (2,))), "actions", "bad", "finite bounds", r"Box\(-1, 1"),
    (
        of(reset=lambda self: (self.obs(), {})),
        "step",
        "bad",
        r"reset\(\) raised TypeError.*'seed'",
        "seed=None, options",
    ),
    (of(reset=lambda self, **_: self.obs()), "reset", "bad", r"one ndarray, expected \(observation, info\)", "{}"),
    (stepped(OBS, 0.0, False, {}), "step", "bad", "4 things.*old gym", "terminated, False"),
    (stepped(OBS, None, False, False, {}), "step", "bad", "reward None at step 1, no number", "return 0.0"),
    (stepped(OBS, np.array([1.0]), False, False, {}), "step", "bad", "no number", r"float\(reward\[0\]\)"),
    (stepped(OBS, float("nan"), False, False, {}), "step", "bad", "reward nan at step 1", "finite"),
    (stepped(OBS, 0.0, None, False, {}), "step", "warn", "None as terminated.*taken as False", "True or False"),
    (stepped(OBS, 0.0, False, [1, 0], {}), "step", "bad", "list as truncated", r"bool\(truncated\)"),
    (stepped(OBS, 0.0, False, False, None), "step", "warn", "info of NoneType", "return {}"),
    (of(obs=lambda self: np.zeros(3, np.float32)), "reset", "bad", r"shape \(3,\), its space says \(2,\)", "make both"),
    (of(obs=lambda self: np.array([self.x, 0.0])), "reset", "warn", "float64, its space says float32", r"np\.float32"),
    (
        of(obs=lambda self: np.array([7, 0], np.float32)),
        "reset",
        "warn",
        r"observation\[0\] is 7, its space",
        "np.clip",
    ),
    (of(obs=lambda self: {"x": 1}), "reset", "bad", "no array of numbers: dict", "np.array"),
    (
        of(obs=lambda self: np.array([self.x, np.nan if self.n == 17 else 0], np.float32)),
        *("step", "bad", r"observation\[1\] is nan in what step\(\) returned at step 17", "division by 0"),
    ),
]


@pytest.mark.parametrize(("made", "name", "status", "detail", "remedy"), CONTRACT)
def test_what_a_game_promises_and_does_not_keep(
    register: Register, made: type[Good], name: str, status: str, detail: str, remedy: str
) -> None:
    found = next(f for f in check_env_run.findings(game_of(register(made)), Printed()) if f.status != "ok")
    assert (found.name, found.status) == (name, status), found
    assert_says(found, detail, remedy)


def assert_says(found: Finding, detail: str, remedy: str) -> None:
    import re

    assert re.search(detail, found.detail), found
    assert re.search(remedy, found.remedy), found
    assert "\n" not in found.detail + found.remedy


def test_an_exception_is_told_with_its_place_and_the_traceback_kept(register: Register) -> None:
    def step(self: Good, action: Any) -> Any:
        if self.n == 16:
            return 1 / (self.n - 16)
        return Good.step(self, action)

    (found,) = not_ok(game_of(register(of(step=step))), check_env_contract.kept)
    line = step.__code__.co_firstlineno + 2
    expected = f"step() raised ZeroDivisionError: division by zero in {Path(__file__).name} line {line} at step 17"
    assert expected in found.detail.replace("tests/", "")
    assert ", action " in found.detail
    assert "ZeroDivisionError" in found.trace


def test_a_game_that_ends_the_program_or_hangs_is_told(register: Register, monkeypatch: pytest.MonkeyPatch) -> None:
    (found,) = not_ok(game_of(register(of(step=lambda self, action: sys.exit()))), check_env_contract.kept)
    assert_says(found, r"step\(\) ended the program.*at step 1, action \d", "terminated=True")

    def wait(self: Good, action: Any) -> Any:
        try:
            time.sleep(30)
        except Exception:
            return None

    with pytest.raises(Trouble, match=r"step\(\) did not come back within 0.2 s in .* line \d+") as trouble:
        call("step()", wait, None, None, limit=0.2)
    assert "__main__" in trouble.value.remedy


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ("No available video device", "SDL_VIDEODRIVER"),
        ("video system not initialized", "no pygame.quit"),
        ("ALSA: Couldn't open audio device", "SDL_AUDIODRIVER"),
        ("whatever else", "--traceback"),
    ],
)
def test_what_pygame_says_is_known(said: str, remedy: str) -> None:
    def raises() -> None:
        raise RuntimeError(said)

    with pytest.raises(Trouble) as trouble:
        call("reset()", raises)
    assert remedy in trouble.value.remedy


def test_the_array_that_is_changed_in_place_is_told(register: Register) -> None:
    def obs(self: Good) -> NDArray[Any]:
        self.__dict__.setdefault("kept", np.zeros(2, np.float32))[:] = self.x, np.cos(self.n)
        kept: NDArray[Any] = self.__dict__["kept"]
        return kept

    (found,) = not_ok(game_of(register(of(obs=obs))), check_env_contract.kept)
    assert_says(found, "same array every time", "copy")


def test_spaces_are_described_and_what_is_unwise_in_them_told(register: Register) -> None:
    def described(space: spaces.Space[Any], what: str = "observation_space") -> Finding:
        game = game_of(register(spaced(**{what: space})))
        return rows(game, check_env_contract.spaces_supported)[what == "action_space"]

    assert described(spaces.Box(-1, 1, (3,), np.float64)).detail == "3 numbers, float64; the agent gets them as float32"
    assert described(spaces.Discrete(5)).detail == "Discrete(5), as 5 numbers of 0 or 1"
    picture = described(spaces.Box(0, 255, (84, 90, 3), np.uint8))
    assert picture == Finding("observations", "ok", "RGB pictures of 90x84; people see what the agent sees")
    assert_says(described(spaces.Box(0, 255, (240, 320, 3), np.uint8)), "of 320x240", "ResizeObservation")
    assert_says(described(spaces.Box(0, 1, (84, 84, 3))), "taken as 21,168 numbers", "uint8 of 0 to 255")
    assert_says(described(spaces.Box(0, 100, (2,)), "action_space"), "2 numbers of 0 to 100", "RescaleAction")
    assert described(spaces.Box(-1, 1, (2,)), "action_space").status == "ok"


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
    assert (alone.status, alone.flags) == ("ok", "--eval.episodes 1")


def test_a_game_of_which_there_can_be_but_one_is_told(register: Register) -> None:
    taken = threading.Lock()

    def init(self: Good, render_mode: str | None = None) -> None:
        if not taken.acquire(blocking=False):
            raise OSError("port 5000 is taken")
        Good.__init__(self, render_mode)

    game = game_of(register(of(__init__=init, close=lambda self: taken.release())))
    found = not_ok(game, *SEEN, check_env_seeds.copies)[-1]
    assert_says(found, "but one copy at a time: making it raised OSError: port 5000 is taken", "let several be made")


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


def ends_after(n: int) -> type[Good]:
    def step(self: Good, action: Any) -> Any:
        obs, reward, _, _, info = Good.step(self, action)
        return obs, reward, self.n >= n, False, info

    return of(step=step)


def test_episodes_and_clips_are_held_against_each_other(register: Register) -> None:
    checks = (check_env_seeds.same_seed, check_env_speed.episodes, check_env_speed.clips)
    _, episodes, clips = rows(game_of(register(ends_after(8))), *checks)
    assert episodes.detail == (
        "ends by itself, after 8 steps on average: the agent is not shown that, it plays on from a reset; a time limit "
        "every 60 steps"
    )
    assert_says(clips, "20 steps, 1 s, but no episode .* longer than 8: none could be cut", "command below")
    assert (clips.status, clips.flags) == ("warn", "--clips.min-clip-steps 4 --clip-seconds 0.2")
    game = game_of(register(Good))
    game.base = Play([], [0.0] * 100, [i in (9, 19, 29, 39, 49, 59, 69, 79) for i in range(100)])
    (clips,) = rows(game, check_env_speed.clips)
    assert_says(clips, "20% of the steps of an untrained agent are in episodes that long", "--clip-seconds")
    _, episodes, clips = rows(game_of(register(Good, max_episode_steps=None)), *checks)
    assert_says(
        episodes, "did not end in 40 steps; a time limit every 1000 steps, which is assumed", "max_episode_steps="
    )
    assert clips.detail == "20 steps, 1 s, and an episode lasts longer"
    _, _, clips = rows(game_of(register(Good, max_episode_steps=10)), *checks)
    assert_says(clips, "clips no longer than an episode, which is 10 steps", "lower --clip-seconds")
    assert clips.status == "bad"


def test_pictures_too_large_for_the_clip_memory_give_the_flag_for_it(register: Register) -> None:
    def render(self: Good) -> Any:
        return np.tile(Good.render(self), (14, 14, 1))

    game = game_of(register(of(render=render)), n_steps=20)
    found = not_ok(game, *SEEN, check_env_speed.clips)
    assert [(f.name, f.status, f.flags) for f in found] == [("clip memory", "warn", "--clip-memory 1379")]


def timed(n: int, seconds: float, cpu: float, memory: list[int] | None = None) -> check_env_speed._Timed:
    return check_env_speed._Timed(n, seconds, cpu, memory or [])


def test_waiting_for_a_clock_is_told_from_being_slow(register: Register, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_env_speed, "_TIMED_SECONDS", 0.1)
    monkeypatch.setattr(check_env_speed, "_TIMED_STEPS", 60)

    def waits(self: Good, action: Any) -> Any:
        time.sleep(0.015)
        return Good.step(self, action)

    (found,) = not_ok(game_of(register(of(step=waits))), check_env_speed.speed)
    assert_says(found, r"\d\d steps/s: it waits for the clock \(\d\d% of the time idle\)", "clock.tick.*--num-envs 1")
    assert found.flags == "--num-envs 1"

    def works(self: Good, action: Any) -> Any:
        end = time.process_time() + 0.015
        while time.process_time() < end:
            pass
        return Good.step(self, action)

    (found,) = not_ok(game_of(register(of(step=works))), check_env_speed.speed)
    assert_says(found, "steps/s: slow", "cProfile")
    game = game_of(register(Good))
    game.framed = Play([], [], [])
    quick = rows(game, check_env_speed.speed)[0]
    assert_says(quick, r"[\d,]+ steps/s, [\d,]+ with pictures", "")
    assert quick.status == "ok"


def test_memory_that_grows_is_told_and_what_jumps_once_is_not(register: Register) -> None:
    game = game_of(register(Good))
    kib = 1024
    held = [10**8 + i * 50 * 8 * kib for i in range(40)]  # 8 KiB a step
    (found,) = check_env_speed._memory(game, timed(2000, 1, 1, held))
    assert_says(found, r"grows by 8.0 KiB a step: 2.3 GiB in 300,000 steps", r"empty in reset\(\)")
    jumped = [10**8] * 20 + [2 * 10**8] * 20
    (found,) = check_env_speed._memory(game, timed(2000, 1, 1, jumped))
    assert found.status == "ok"


def test_the_whole_time_is_told(register: Register) -> None:
    game = game_of(register(Good))
    game.step_seconds, game.learn_seconds = 0.00185, 0.0004
    (found,) = check_env_speed.whole_time(game)
    assert found.detail == (
        "700 labels and 300,000 steps take about 12 minutes here, and 58 minutes of answering beside it"
    )
    game.step_seconds, game.learn_seconds = 0.1, None
    (found,) = check_env_speed.whole_time(game)
    assert_says(found, "about 8.4 hours here, if learning is as quick as usual", "--total-timesteps 35000$")


class ScoreShown(gym.ObservationWrapper[Any, Any, Any]):
    """A wrapper that puts the score of the last step into the observation."""

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        super().__init__(env)
        self.last = 0.0

    def step(self, action: Any) -> Any:
        obs, reward, *rest = self.env.step(action)
        self.last = float(reward)
        return (self.observation(obs), reward, *rest)

    def reset(self, **how: Any) -> Any:
        self.last = 0.0
        return super().reset(**how)

    def observation(self, observation: Any) -> Any:
        return np.array([observation[0], self.last], np.float32)


def test_a_wrapper_that_shows_the_score_is_caught_by_the_noise(register: Register) -> None:
    game = game_of(register(lambda render_mode=None: ScoreShown(of(score=lambda self: float(self.n))(render_mode))))
    found = rows(game, check_env_seeds.same_seed, check_env_proof.proof)
    assert [(f.name, f.status) for f in found[1:]] == [("score", "warn"), ("proof", "bad")]
    assert_says(found[1], r"observation\[1\] is the score of the step", "take the score out")
    expected = (
        r"^the score leaks through the observations: with noise in its place, after step 1 observation\[1\] is 1 in"
    )
    assert_says(found[2], expected, "a wrapper puts the score")
    assert check_env_proof.NOISE_ID not in gym.registry


def test_a_game_that_shows_its_running_score_is_suspected() -> None:
    scores = [float(i % 3) for i in range(40)]
    ends = [i % 10 == 9 for i in range(40)]
    running, total = [], 0.0
    for score, ended in zip(scores, ends, strict=True):
        total += score
        running.append(0.0 if ended else total)
        total = 0.0 if ended else total
    obs = [np.array([np.sin(i), 2 * r + 5], np.float32) for i, r in enumerate([0.0, *running])]
    assert check_env_proof.score_in_obs(Play(obs, scores, ends)) == "observation[1] follows the running score"
    honest = [np.array([np.sin(i), np.cos(i)], np.float32) for i in range(41)]
    assert check_env_proof.score_in_obs(Play(honest, scores, ends)) == ""


def test_where_the_game_is_another_each_time_no_proof_is_claimed(register: Register) -> None:
    game = game_of(register(of(obs=lambda self: np.array([self.x, dice()], np.float32))))
    found = rows(game, check_env_seeds.same_seed, check_env_proof.proof)[-1]
    assert_says(found, "the score is not used, but that cannot be proved .* under the same seed", "same seed")
    assert found.status == "warn"


def test_the_proof_compares_two_trainings_bit_for_bit(register: Register) -> None:
    game = game_of(register(of(score=lambda self: 3.0 if self.x > 0 else -1.0)))
    found = rows(game, check_env_seeds.same_seed, check_env_proof.proof)
    assert found[1].detail == "-1 to 3 a step: shown by prefrl eval, never to the agent"
    assert found[2].status == "ok", found
    assert_says(found[2], r"^the score is not used: .*12 labels.*bit for bit \(\d+ tensors, 512 steps\)", "")
    assert game.learn_seconds is not None


@pytest.mark.slow
def test_the_proof_fails_where_training_looks_at_the_score(register: Register, monkeypatch: pytest.MonkeyPatch) -> None:
    """A trainer that asks the teacher, who reads the score, must not pass for one that does not."""
    honest = training.train

    def peeking(config: Any, *, labeler: Any) -> Any:
        return honest(replace(config, labeler="oracle"))

    monkeypatch.setattr(check_env_proof, "train", peeking)
    game = game_of(register(of(score=lambda self: self.x)))
    found = rows(game, check_env_seeds.same_seed, check_env_proof.proof)[-1]
    assert found.status == "bad"
    assert_says(found, r"the score leaks: with noise in its place, \d+ tensors", "")


GOOD_FILE = """
import gymnasium as gym
from {test} import Good
print("hello from the game")
{more}
gym.register("Told-v0", Good, max_episode_steps=60)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of the user's, to which the program goes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(Path(__file__).parent)])
    monkeypatch.setattr(check_env_speed, "_TIMED_SECONDS", 0.1)
    yield tmp_path
    gym.registry.pop("Told-v0", None)


def test_a_good_game_is_ok_throughout_and_its_command_printed(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    (folder / "told_good.py").write_text(GOOD_FILE.format(test=Path(__file__).stem, more=""))
    assert main_check(["told_good:Told-v0", "--steps", "60", "--mask", "0,0,8,8"]) == 0
    out = capsys.readouterr().out
    starts = [line[:19] for line in out.splitlines() if line[:5] in ("ok   ", "warn ", "bad  ")]
    names = [start[6:].strip() for start in starts]
    assert {start[:4].strip() for start in starts} == {"ok"}, out
    assert names == [
        *("found", "constructor", "observations", "actions", "reset", "step", "same seed", "controls", "render_fps"),
        *("pictures", "drawing", "mask", *(["window"] if "pygame" in sys.modules else []), "copies", "episodes"),
        *("clips", "speed", "memory", "close", "processes", "score", "proof", "time"),
    ]
    assert "hello" not in out
    assert max(map(len, out.splitlines()[:-1])) <= 80
    assert out.splitlines()[-1].strip() == (
        'prefrl train --env-id told_good:Told-v0 --mask 0,0,8,8 --labeler window --task "what you like to see"'
    )


def test_a_broken_game_exits_2_and_json_has_the_rows(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = "def step(self, action): print('step', action); return {}['x']\nGood = type('Bad', (Good,), {'step': step})"
    (folder / "told_bad.py").write_text(GOOD_FILE.format(test=Path(__file__).stem, more=more))
    assert main_check(["told_bad:Told-v0", "--json", "--traceback"]) == 2
    said = json.loads(capsys.readouterr().out)
    assert (said["env_id"], said["trainable"]) == ("told_bad:Told-v0", False)
    bad = next(row for row in said["findings"] if row["status"] == "bad")
    assert bad["detail"].startswith("step() raised KeyError: 'x' in told_bad.py line 5 at step 1, action ")
    assert "Traceback" in bad["trace"]
    assert said["findings"][-1]["detail"] == 'prints 1 lines, the first "step 0"'.replace("0", bad["detail"][-1])
    assert main_check(["told_bad:Told-v0"]) == 2
    out = capsys.readouterr().out
    assert "Traceback" not in out
    assert "told_bad:Told-v0 cannot be trained yet: 1 to put right. --traceback shows where it failed." in out


@pytest.mark.parametrize(
    ("env_id", "text", "detail"),
    [
        ("CartPoel-v1", "", "did you mean CartPole-v1"),
        ("told_none:Told-v0", "", "a module told_none for told_none:Told-v0"),
        ("told_typo:Told-v0", "def f(:", "importing told_typo raised SyntaxError: .* in told_typo.py line 1"),
        ("told_div:Told-v0", "x = 1\n1 / 0", "importing told_div raised ZeroDivisionError: .* in told_div.py line 2"),
        ("told_loop:Told-v0", "while True: pass", "importing told_loop did not come back within 0.3 s in told_loop.py"),
    ],
)
def test_what_is_not_found_or_does_not_import_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch, env_id: str, text: str, detail: str
) -> None:
    monkeypatch.setattr(check_env_calls.call, "__kwdefaults__", {"at": str, "limit": 0.3})
    (folder / f"{env_id.partition(':')[0]}.py").write_text(text) if text else None
    (found,) = check(env_id)
    assert (found.name, found.status) == ("found", "bad")
    assert_says(found, detail, "")


def test_worlds_of_prefrls_own_need_no_check_and_options_are_checked() -> None:
    (found,) = check("prefrl/Dot-v0")
    assert found.status == "ok"
    for options in ({"n_steps": 3}, {"masks": ["1,2"]}, {"env_kwargs": ["gravity"]}):
        with pytest.raises(UserError):
            list(check("CartPole-v1", **options))


def test_rows_are_wrapped_under_their_column_and_never_obey_what_they_quote() -> None:
    finding = Finding("pictures", "bad", "a [red]b[/red]\x1b[31m " + "word " * 20, "do this and that " * 6)
    text = [line for line, _ in lines(finding, 80)]
    assert text[0].startswith("bad   pictures      a [red]b[/red] [31m word")
    assert all(len(line) <= 80 and line.startswith(" " * 20) for line in text[1:])
    assert text[2].lstrip().startswith("→ do this")
