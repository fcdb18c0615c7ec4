"""Checks that the score of a game is not used: suspicion, and the proof by noise in its place."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import checked_games
import gymnasium as gym
import numpy as np
import pytest
from checked_games import Register, assert_says, dice, game_of, of, rows

from prefrl import check_env_proof, check_env_seeds, training
from prefrl.check_env_game import Play

register = checked_games.register


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
