"""Choices and the teachers that give them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import labeling
from labeling.choice import Choice, prob_left, swapped
from labeling.teachers import TEACHERS, oracle


def test_prob_left_is_one_half_or_zero() -> None:
    assert [prob_left(c) for c in (Choice.LEFT, Choice.EQUAL, Choice.RIGHT)] == [1.0, 0.5, 0.0]


def test_a_skip_has_no_prob_left() -> None:
    with pytest.raises(ValueError, match="a skipped query has no prob_left"):
        prob_left(Choice.SKIP)


def test_swapped_turns_the_sides_only() -> None:
    assert [swapped(c) for c in Choice] == [Choice.RIGHT, Choice.LEFT, Choice.EQUAL, Choice.SKIP]
    assert all(swapped(swapped(c)) is c for c in Choice)
    assert all(prob_left(swapped(c)) == 1 - prob_left(c) for c in Choice if c is not Choice.SKIP)


def test_choices_are_the_words_of_the_database() -> None:
    assert [str(c) for c in Choice] == ["left", "right", "equal", "skip"]


def test_oracle_compares_sums() -> None:
    rewards = np.array(
        [[[1, 2, 3], [0, 0, 5]], [[0, 0, 0], [9, -9, 1]], [[1, 0, 1], [0, 2, 0]]], dtype=np.float32
    )  # sums 6 and 5, 0 and 1, 2 and 2
    expected = [Choice.LEFT, Choice.RIGHT, Choice.EQUAL]
    assert oracle(rewards, np.random.default_rng(0)) == expected
    assert oracle(rewards.astype(np.float64), np.random.default_rng(0)) == expected


def test_oracle_is_swapped_with_its_clips() -> None:
    rewards = np.random.default_rng(7).integers(-1, 2, size=(200, 2, 4)).astype(np.float32)
    answers = oracle(rewards, np.random.default_rng(0))
    turned = oracle(np.ascontiguousarray(rewards[:, ::-1]), np.random.default_rng(0))
    assert turned == [swapped(answer) for answer in answers]
    assert set(answers) == {Choice.LEFT, Choice.RIGHT, Choice.EQUAL}


def test_oracle_calls_the_same_rewards_in_another_order_a_tie() -> None:
    # Added one after the other in float64, the two sums are 0.6000000000000001 and 0.6.
    rewards = np.array([[[0.1, 0.2, 0.3], [0.3, 0.2, 0.1]]])
    assert 0.1 + 0.2 + 0.3 != 0.3 + 0.2 + 0.1
    assert oracle(rewards, np.random.default_rng(0)) == [Choice.EQUAL]


def test_oracle_sees_a_difference_that_float32_sums_lose() -> None:
    rewards = np.array([[[2.0**24, 1.0, 1.0], [2.0**24, 1.0, 0.0]]], dtype=np.float32)
    assert oracle(rewards, np.random.default_rng(0)) == [Choice.LEFT]


def test_oracle_draws_nothing_from_its_generator() -> None:
    rng = np.random.default_rng(3)
    oracle(np.zeros((5, 2, 4)), rng)
    assert rng.random() == np.random.default_rng(3).random()


def test_oracle_of_no_queries_is_no_answers() -> None:
    assert oracle(np.zeros((0, 2, 4)), np.random.default_rng(0)) == []


@pytest.mark.parametrize(
    ("rewards", "message"),
    [
        (np.zeros((3, 4)), r"must be \(B, 2, T\)"),
        (np.zeros((3, 3, 4)), r"must be \(B, 2, T\)"),
        (np.zeros((3, 2, 0)), "T > 0"),
        (np.full((1, 2, 1), np.nan), "finite"),
        (np.full((1, 2, 1), np.inf), "finite"),
    ],
)
def test_teachers_refuse_rewards_that_have_no_sum(rewards: NDArray[np.float64], message: str) -> None:
    for teacher in TEACHERS.values():
        with pytest.raises(ValueError, match=message):
            teacher(rewards, np.random.default_rng(0))


def test_every_public_name_is_there() -> None:
    assert labeling.__all__ == sorted(labeling.__all__, key=lambda n: (not n.isupper(), n))
    assert all(hasattr(labeling, name) for name in labeling.__all__)


def test_labeling_needs_nothing_but_numpy() -> None:
    # In a fresh interpreter, as other tests load torch.
    code = (
        "import sys, labeling.store, labeling.clip, labeling.teachers\n"
        "heavy = {'torch', 'gymnasium', 'stable_baselines3', 'prefrl', 'envs', 'cv2'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    root = Path(labeling.__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], check=True, cwd=root, capture_output=True, text=True)
    assert done.stdout == "[]\n"
