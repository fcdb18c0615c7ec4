"""Checks of what a game costs: episodes against clips, speed, memory and the whole time."""

from __future__ import annotations

import time
from typing import Any

import checked_games
import numpy as np
import pytest
from checked_games import SEEN, Good, Register, assert_says, game_of, not_ok, of, rows

from prefrl import check_env_seeds, check_env_speed
from prefrl.check_env_game import Play

register = checked_games.register


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
    assert_says(
        found, r"\d\d steps/s: it waits for the clock \((\d\d|100)% of the time idle\)", "clock.tick.*--num-envs 1"
    )
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
