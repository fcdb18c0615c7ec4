"""Teachers with the faults of people, against probabilities worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from labeling.choice import Choice
from labeling.faulty_people import crowd, drift, fatigue, lapse, position_bias
from labeling.teachers import myopic, oracle
from labeling.teaching import EnvRewards, Faults, Seen, Teacher

N = 20_000
LEFT, RIGHT, EQUAL = Choice.LEFT, Choice.RIGHT, Choice.EQUAL


def ask(
    teacher: Teacher, env_rewards: EnvRewards, faults: Faults | None = None, *, seed: int = 0, n_answered: int = 0
) -> list[Choice]:
    seen = Seen(margin=1.0, spread=1.0, n_answered=n_answered)
    return teacher(env_rewards, np.random.default_rng(seed), faults or Faults(), seen)


def alike(left: float, right: float, n: int = N) -> NDArray[np.float64]:
    """The same query of single steps, n times."""
    return np.tile(np.array([[[left], [right]]], np.float64), (n, 1, 1))


def assert_share(answers: list[Choice], choice: Choice, probability: float) -> None:
    """Within four standard errors."""
    n = len(answers)
    assert abs(answers.count(choice) / n - probability) < 4 * (probability * (1 - probability) / n) ** 0.5


def test_a_lapse_is_a_coin_whatever_the_clips() -> None:
    faults = Faults(lapse_rate=0.3)
    # Guesses are right by chance half the time: 0.7 + 0.15 are right.
    assert_share(ask(lapse, alike(1, 0), faults), LEFT, 0.85)
    assert_share(ask(lapse, alike(0, 1), faults), LEFT, 0.15)
    ties = ask(lapse, alike(2, 2), faults)
    for choice, probability in ((EQUAL, 0.7), (LEFT, 0.15), (RIGHT, 0.15)):
        assert_share(ties, choice, probability)
    assert_share(ask(lapse, alike(1, 0)), RIGHT, 0.05)


def test_a_lapse_is_drawn_before_its_coin() -> None:
    rng = np.random.default_rng(9)
    guesses, coins = rng.random(500) < 0.3, rng.random(500) < 0.5
    expected = [(LEFT if c else RIGHT) if g else RIGHT for g, c in zip(guesses, coins, strict=True)]
    assert ask(lapse, alike(0, 1, 500), Faults(lapse_rate=0.3), seed=9) == expected


@pytest.mark.parametrize(("n_answered", "wrong"), [(0, 0.0), (100, 0.316060), (69, 0.249212), (100_000, 0.5)])
def test_fatigue_errs_with_half_of_one_minus_e_to_the_answers(n_answered: int, wrong: float) -> None:
    # One query at a time, as answers of a batch tire as well: (1 - e^-1) / 2 = 0.316060, (1 - e^-0.69) / 2 = 0.249212.
    faults = Faults(fatigue_answers=100)
    query = alike(1, 0, 1)
    answers = [ask(fatigue, query, faults, seed=seed, n_answered=n_answered)[0] for seed in range(4000)]
    assert abs(answers.count(RIGHT) / 4000 - wrong) <= 4 * (wrong * (1 - wrong) / 4000) ** 0.5
    assert answers.count(EQUAL) == 0


def test_fatigue_grows_from_answer_to_answer_within_a_batch_as_between_batches() -> None:
    faults = Faults(fatigue_answers=1000)
    rng = np.random.default_rng(2)
    tired, coins = rng.random(N), rng.random(N) < 0.5
    rates = [1 - math.exp(-(300 + i) / 1000) for i in range(N)]
    expected = [
        (LEFT if coin else RIGHT) if draw < rate else LEFT for draw, coin, rate in zip(tired, coins, rates, strict=True)
    ]
    assert ask(fatigue, alike(1, 0), faults, seed=2, n_answered=300) == expected
    # Sum of the first 1000 error rates from 0 on: (1000 - (1 - e^-1) / (1 - e^-0.001)) / 2 = 183.782.
    wrong = [ask(fatigue, alike(1, 0, 1000), faults, seed=seed).count(RIGHT) for seed in range(100)]
    by_hand = (1000 - (1 - math.exp(-1)) / (1 - math.exp(-0.001))) / 2
    assert by_hand == pytest.approx(183.782, abs=0.001)
    assert abs(np.mean(wrong) - by_hand) < 4 * (by_hand / 100) ** 0.5  # a Poisson binomial varies less than that


def test_drift_begins_as_the_oracle_and_ends_as_myopic() -> None:
    rewards = np.random.default_rng(0).normal(size=(400, 2, 6))
    faults = Faults(drift_answers=10, gamma=0.5)
    for query in rewards[:, None]:  # one at a time, as it drifts within a batch as well
        assert ask(drift, query, faults) == ask(oracle, query)
    for n_answered in (10, 11, 5000):
        assert ask(drift, rewards, faults, n_answered=n_answered) == ask(myopic, rewards, faults)
    assert ask(oracle, rewards) != ask(myopic, rewards, faults)


def test_drift_turns_where_the_mix_of_the_weights_says() -> None:
    # Left pays 3 early, right 2 late. At gamma 0.5 the first of two steps weighs (1 - w) + w / 2 = 1 - w / 2, so left
    # has 3 - 1.5 w and right 2: they are equal at w = 2/3, which is after 4 of 6 answers.
    query = np.array([[[3.0, 0.0], [0.0, 2.0]]])
    faults = Faults(drift_answers=6, gamma=0.5)
    in_turn = [ask(drift, query, faults, n_answered=n)[0] for n in range(7)]
    assert [x for i, x in enumerate(in_turn) if i != 4] == [LEFT, LEFT, LEFT, LEFT, RIGHT, RIGHT]
    in_one = ask(drift, np.repeat(query, 7, axis=0), faults)
    assert in_one == in_turn
    # At w = 1/2 exactly: 3 * 0.75 = 2.25 against 2.25.
    tie = np.array([[[3.0, 0.0], [0.0, 2.25]]])
    assert ask(drift, tie, faults, n_answered=3) == [EQUAL]


def test_position_bias_is_to_the_left_whatever_the_clips() -> None:
    faults = Faults(position_bias=0.2)
    draws = np.random.default_rng(4).random(N)
    biased = ask(position_bias, alike(0, 1), faults, seed=4)
    assert biased == [LEFT if draw < 0.2 else RIGHT for draw in draws]
    assert_share(biased, LEFT, 0.2)
    assert set(ask(position_bias, alike(1, 0), faults)) == {LEFT}
    assert_share(ask(position_bias, alike(2, 2), faults), EQUAL, 0.8)
    assert ask(position_bias, alike(0, 1, 3), Faults(position_bias=1.0)) == [LEFT] * 3


def test_each_query_goes_to_one_of_the_crowd() -> None:
    faults = Faults(reliabilities=(1.0, 0.5, 0.0))
    answers = ask(crowd, alike(1, 0), faults, seed=6)
    assert_share(answers, LEFT, 0.5)
    rng = np.random.default_rng(6)
    person, draws = rng.integers(3, size=N), rng.random(N)
    of_each = [[a for a, who in zip(answers, person, strict=True) if who == i] for i in range(3)]
    assert all(abs(len(theirs) - N / 3) < 4 * (N * 2 / 9) ** 0.5 for theirs in of_each)
    assert set(of_each[0]) == {LEFT}
    assert set(of_each[2]) == {RIGHT}
    assert of_each[1] == [LEFT if d < 0.5 else RIGHT for d, who in zip(draws, person, strict=True) if who == 1]
    assert set(ask(crowd, alike(2, 2), faults)) == {EQUAL}


def test_the_crowd_by_default_is_right_in_17_of_20() -> None:
    # (0.95 + 0.9 + 0.85 + 0.7) / 4 = 0.85
    assert_share(ask(crowd, alike(0, 1)), RIGHT, 0.85)
