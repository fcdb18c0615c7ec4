"""Checks of a game: what it promises by Gymnasium's contract and does not keep."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import checked_games
import numpy as np
import pytest
from checked_games import Good, Register, assert_says, game_of, not_ok, of, rows, spaced, stepped
from gymnasium import spaces
from numpy.typing import NDArray

from prefrl import check_env_contract, check_env_run
from prefrl.check_env_calls import Printed, Trouble, call
from prefrl.check_env_finding import Finding

register = checked_games.register


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
