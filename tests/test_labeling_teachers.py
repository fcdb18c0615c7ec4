"""Choices, and B-Pref's teachers against probabilities worked out by hand."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import labeling
from labeling.choice import Choice, prob_left, swapped
from labeling.teachers import TEACHERS, equal, mistake, myopic, oracle, prob_of_left, skip, stoc
from labeling.teaching import EnvRewards, Faults, Seen, Teacher

N = 20_000


def ask(
    teacher: Teacher,
    env_rewards: EnvRewards,
    *,
    seed: int = 0,
    margin: float = 0.0,
    spread: float = 1.0,
    n_answered: int = 0,
    **faults: float,
) -> list[Choice]:
    seen = Seen(margin=margin, spread=spread, n_answered=n_answered)
    return teacher(env_rewards, np.random.default_rng(seed), Faults(**faults), seen)  # type: ignore[arg-type]  # no tuple


def of_returns(*pairs: tuple[float, float]) -> NDArray[np.float64]:
    """Queries of single steps that pay these env rewards to the left and right clip."""
    return np.array(pairs, np.float64)[:, :, None]


def share(answers: list[Choice], choice: Choice) -> float:
    return answers.count(choice) / len(answers)


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
    assert ask(oracle, rewards) == expected
    assert ask(oracle, rewards.astype(np.float64)) == expected


def test_oracle_is_swapped_with_its_clips() -> None:
    rewards = np.random.default_rng(7).integers(-1, 2, size=(200, 2, 4)).astype(np.float32)
    answers = ask(oracle, rewards)
    turned = ask(oracle, np.ascontiguousarray(rewards[:, ::-1]))
    assert turned == [swapped(answer) for answer in answers]
    assert set(answers) == {Choice.LEFT, Choice.RIGHT, Choice.EQUAL}


def test_oracle_calls_the_same_rewards_in_another_order_a_tie() -> None:
    # Added one after the other in float64, the two sums are 0.6000000000000001 and 0.6.
    rewards = np.array([[[0.1, 0.2, 0.3], [0.3, 0.2, 0.1]]])
    assert 0.1 + 0.2 + 0.3 != 0.3 + 0.2 + 0.1
    assert ask(oracle, rewards) == [Choice.EQUAL]


def test_oracle_sees_a_difference_that_float32_sums_lose() -> None:
    rewards = np.array([[[2.0**24, 1.0, 1.0], [2.0**24, 1.0, 0.0]]], dtype=np.float32)
    assert ask(oracle, rewards) == [Choice.LEFT]


def test_oracle_draws_nothing_from_its_generator() -> None:
    rng = np.random.default_rng(3)
    oracle(np.zeros((5, 2, 4)), rng, Faults(), Seen(margin=1.0, spread=1.0, n_answered=0))
    assert rng.random() == np.random.default_rng(3).random()


@pytest.mark.parametrize("name", TEACHERS)
def test_no_queries_are_no_answers(name: str) -> None:
    assert ask(TEACHERS[name], np.zeros((0, 2, 4))) == []


@pytest.mark.parametrize("name", TEACHERS)
def test_every_teacher_gives_the_same_answers_to_the_same_seed(name: str) -> None:
    rewards = np.random.default_rng(1).normal(size=(300, 2, 4))
    first, again = (ask(TEACHERS[name], rewards, seed=5, margin=1.0, n_answered=100) for _ in range(2))
    assert first == again
    other = ask(TEACHERS[name], rewards, seed=6, margin=1.0, n_answered=100)
    assert (other == first) == (name in ("oracle", "skip", "equal", "myopic", "drift"))


@pytest.mark.parametrize("name", TEACHERS)
def test_every_teacher_without_its_fault_is_the_oracle(name: str) -> None:
    rewards = np.random.default_rng(2).normal(size=(500, 2, 4))
    perfect: dict[str, Any] = {
        "beta": np.inf, "mistake_rate": 0, "equal_share": 0, "skip_share": 0, "gamma": 1, "lapse_rate": 0,
        "fatigue_answers": 10**12, "position_bias": 0, "reliabilities": (1.0, 1.0),
    }  # fmt: skip
    answers = ask(TEACHERS[name], rewards, margin=1.0, n_answered=100, **perfect)
    assert answers == ask(oracle, rewards)
    assert answers.count(Choice.LEFT) == int((rewards.sum(axis=2)[:, 0] > rewards.sum(axis=2)[:, 1]).sum())


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
            ask(teacher, rewards)


def test_stoc_answers_left_with_the_sigmoid_of_the_difference_in_spreads() -> None:
    seen = Seen(margin=0.0, spread=2.0, n_answered=0)
    # Differences of 2, -2, 1, 0 and 4 are 1, -1, 0.5, 0 and 2 spreads.
    rewards = of_returns((2, 0), (0, 2), (3, 2), (7, 7), (4, 0))
    by_hand = [0.7310585786300049, 0.2689414213699951, 0.6224593312018546, 0.5, 0.8807970779778823]
    np.testing.assert_allclose(prob_of_left(rewards, Faults(beta=1), seen), by_hand, rtol=1e-12)
    # 1 / (1 + e^-3) of one spread at beta 3.
    np.testing.assert_allclose(prob_of_left(rewards[:1], Faults(beta=3), seen), [0.9525741268224334], rtol=1e-12)


def test_stoc_draws_once_a_query_from_its_generator() -> None:
    answers = ask(stoc, of_returns(*[(2, 0)] * N), beta=1, spread=2, seed=3)
    draws = np.random.default_rng(3).random(N)
    assert answers == [Choice.LEFT if draw < 0.7310585786300049 else Choice.RIGHT for draw in draws]
    standard_error = (0.7310585786 * 0.2689414214 / N) ** 0.5
    assert abs(share(answers, Choice.LEFT) - 0.7310585786) < 4 * standard_error


def test_stoc_does_not_care_in_what_unit_the_env_pays() -> None:
    rewards = np.random.default_rng(0).normal(size=(2000, 2, 5))
    answers = ask(stoc, rewards, spread=5**0.5)
    assert ask(stoc, rewards * 1000, spread=1000 * 5**0.5) == answers
    assert ask(stoc, rewards / 1024, spread=5**0.5 / 1024) == answers
    assert ask(stoc, rewards * 1000, spread=5**0.5) != answers  # it is the spread that does it
    assert 0.05 < np.mean([a != b for a, b in zip(answers, ask(oracle, rewards), strict=True)]) < 0.15


def test_stoc_by_default_gets_one_in_ten_wrong_of_pairs_of_normal_returns() -> None:
    # Differences of two normal returns of spread 1 are normal with variance 2; exact by Gauss-Hermite quadrature.
    z = np.linspace(-12, 12, 200_001)
    density = np.exp(-(z**2) / 4) / (4 * np.pi) ** 0.5
    wrong = 1 / (1 + np.exp(Faults().beta * np.abs(z)))
    assert float((density * wrong).sum() * (z[1] - z[0])) == pytest.approx(0.0999, abs=0.0001)
    rewards = np.random.default_rng(4).normal(size=(N, 2, 1)) * 37 - 5
    answers, right = ask(stoc, rewards, spread=37), ask(oracle, rewards)
    found = np.mean([a != b for a, b in zip(answers, right, strict=True)])
    assert abs(found - 0.1) < 4 * (0.1 * 0.9 / N) ** 0.5


def test_stoc_of_equal_returns_is_a_coin_and_never_equal() -> None:
    answers = ask(stoc, of_returns(*[(3, 3)] * N), spread=0.5)
    assert set(answers) == {Choice.LEFT, Choice.RIGHT}
    assert abs(share(answers, Choice.LEFT) - 0.5) < 4 * 0.5 / N**0.5
    assert ask(stoc, of_returns(*[(3, 3)] * N), spread=0.0) == answers


def test_stoc_without_a_spread_has_no_doubt_and_without_beta_nothing_else() -> None:
    rewards = of_returns((1, 0), (0, 1), (2, 2))
    for spread, beta, expected in ((0.0, 1.0, [1, 0, 0.5]), (0.0, 0.0, [0.5] * 3), (1.0, 0.0, [0.5] * 3)):
        seen = Seen(margin=0.0, spread=spread, n_answered=0)
        assert prob_of_left(rewards, Faults(beta=beta), seen).tolist() == expected
    huge = of_returns((1e30, 0), (0, 1e30))
    assert prob_of_left(huge, Faults(beta=1e9), Seen(margin=0, spread=1e-30, n_answered=0)).tolist() == [1, 0]


def test_mistake_turns_a_tenth_of_the_decided_answers_round_and_no_tie() -> None:
    rewards = of_returns(*[(1, 0), (0, 1), (2, 2)] * N)
    answers, draws = ask(mistake, rewards, seed=8), np.random.default_rng(8).random(3 * N)
    assert answers[0::3] == [Choice.RIGHT if draw < 0.1 else Choice.LEFT for draw in draws[0::3]]
    assert answers[1::3] == [Choice.LEFT if draw < 0.1 else Choice.RIGHT for draw in draws[1::3]]
    assert set(answers[2::3]) == {Choice.EQUAL}
    wrong = share(answers[0::3], Choice.RIGHT)
    assert abs(wrong - 0.1) < 4 * (0.1 * 0.9 / N) ** 0.5
    assert ask(mistake, of_returns((1, 0), (0, 1), (2, 2)), mistake_rate=1.0) == [
        Choice.RIGHT,
        Choice.LEFT,
        Choice.EQUAL,
    ]


def test_skip_takes_its_share_of_the_margin_once() -> None:
    # A share of 0.1 of a margin of 10 is 1; taken twice it would be 0.1, and returns of 0.5 would be answered.
    rewards = of_returns((0.5, 0.25), (0.05, 0.01), (1.0, 0.5), (0.5, 1.5), (-5, -6), (0.5, 0.5), (2, 2))
    assert ask(skip, rewards, margin=10) == [
        Choice.SKIP, Choice.SKIP, Choice.LEFT, Choice.RIGHT, Choice.SKIP, Choice.SKIP, Choice.EQUAL,
    ]  # fmt: skip
    # The margin follows the agent: five times as good, and what was enough to be seen is not any more.
    assert ask(skip, rewards[2:4], margin=50) == [Choice.SKIP, Choice.SKIP]


def test_equal_takes_its_share_of_the_margin_once() -> None:
    rewards = of_returns((5.5, 5), (5, 5.5), (5.05, 5), (6, 5), (5, 6.5), (5, 5), (-3, -3.5))
    assert ask(equal, rewards, margin=10) == [
        Choice.EQUAL, Choice.EQUAL, Choice.EQUAL, Choice.LEFT, Choice.RIGHT, Choice.EQUAL, Choice.EQUAL,
    ]  # fmt: skip
    assert ask(equal, rewards, margin=10, equal_share=0.01)[:3] == [Choice.LEFT, Choice.RIGHT, Choice.EQUAL]
    assert ask(equal, rewards[3:5], margin=50) == [Choice.EQUAL, Choice.EQUAL]


@pytest.mark.parametrize("margin", [0.0, -10.0])
def test_no_share_is_taken_of_a_margin_that_is_not_positive(margin: float) -> None:
    rewards = of_returns((-5, -5.01), (-200, -100), (0, 0), (-9, -9))
    expected = [Choice.LEFT, Choice.RIGHT, Choice.EQUAL, Choice.EQUAL]
    assert ask(skip, rewards, margin=margin) == ask(equal, rewards, margin=margin) == expected


def test_myopic_counts_later_steps_more() -> None:
    # At gamma 0.5: left 4 * 0.25 + 0 + 0 = 1, right 0 + 2 * 0.5 + 0.5 = 1.5, though left has 4 and right 2.5.
    rewards = np.array([[[4, 0, 0], [0, 2, 0.5]], [[0, 0, 1], [3, 0, 0]], [[0, 0, 1], [0, 2, 0]], [[1, 2, 3]] * 2])
    assert ask(oracle, rewards) == [Choice.LEFT, Choice.RIGHT, Choice.RIGHT, Choice.EQUAL]
    assert ask(myopic, rewards, gamma=0.5) == [Choice.RIGHT, Choice.LEFT, Choice.EQUAL, Choice.EQUAL]
    # At the default of 0.9: 3.24 against 2.3, 1 against 2.43, 1 against 1.8.
    assert ask(myopic, rewards) == [Choice.LEFT, Choice.RIGHT, Choice.RIGHT, Choice.EQUAL]
    # Only the last step counts.
    assert ask(myopic, rewards, gamma=0.0) == [Choice.RIGHT, Choice.LEFT, Choice.LEFT, Choice.EQUAL]


@pytest.mark.parametrize(
    ("fault", "value", "message"),
    [
        ("mistake_rate", 1.1, "mistake_rate must be between 0 and 1, got 1.1"),
        ("gamma", -0.1, "gamma must be between 0 and 1"),
        ("lapse_rate", float("nan"), "lapse_rate must be between 0 and 1, got nan"),
        ("reliabilities", (0.5, 2.0), r"reliabilities must be between 0 and 1, got \(0.5, 2.0\)"),
        ("reliabilities", (), "at least one person"),
        ("beta", -1.0, "beta must be at least 0, got -1.0"),
        ("fatigue_answers", 0, "fatigue_answers must be above 0, got 0"),
        ("drift_answers", -5, "drift_answers must be above 0, got -5"),
    ],
)
def test_faults_that_mean_nothing_are_refused(fault: str, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Faults(**{fault: value})


@pytest.mark.parametrize(("margin", "spread", "n"), [(np.nan, 1, 0), (1, np.inf, 0), (1, -1, 0), (1, 1, -1)])
def test_what_no_behaviour_has_is_refused(margin: float, spread: float, n: int) -> None:
    with pytest.raises(ValueError, match="must be"):
        Seen(margin=margin, spread=spread, n_answered=n)


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
