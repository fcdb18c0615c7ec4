"""Teachers with the faults of people: they lapse, tire, change their minds, lean to a side, and differ.

Each has one fault and is the oracle but for it.
"""

from __future__ import annotations

import numpy as np

from labeling.choice import Choice, swapped
from labeling.teaching import (
    BoolArray,
    EnvRewards,
    Faults,
    FloatArray,
    Seen,
    better,
    env_returns,
    left_or_right,
    myopic_weights,
    overruled,
)


def lapse(env_rewards: EnvRewards, rng: np.random.Generator, faults: Faults, seen: Seen) -> list[Choice]:
    """Did not look: a share of `lapse_rate` of the answers is LEFT or RIGHT by a coin, whatever the clips.

    So half that share is wrong. Lapses as in Wichmann and Hill 2001 (Perception & Psychophysics 63, 1293-1313).

    Args:
        env_rewards: (B, 2, T).
        rng: two draws for each query.
        faults: `lapse_rate`.
        seen: not used.

    Raises:
        ValueError: for another shape, or for a reward that is not finite.
    """
    del seen
    returns = env_returns(env_rewards)
    return _guessed(better(returns), rng.random(len(returns)) < faults.lapse_rate, rng)


def fatigue(env_rewards: EnvRewards, rng: np.random.Generator, faults: Faults, seen: Seen) -> list[Choice]:
    """Tires: after n answers it guesses with probability 1 - exp(-n / fatigue_answers), so errs with half of that.

    It begins as the oracle and ends at coin flips; there is no rest. The form is our own: the simplest that rises from
    0, ever slower, to guessing. Answers of one batch are given one after the other.

    Args:
        env_rewards: (B, 2, T).
        rng: two draws for each query.
        faults: `fatigue_answers`.
        seen: `n_answered`.

    Raises:
        ValueError: for another shape, or for a reward that is not finite.
    """
    returns = env_returns(env_rewards)
    guess_rate = -np.expm1(-_answered_before(returns, seen) / faults.fatigue_answers)  # (B,)
    return _guessed(better(returns), rng.random(len(returns)) < guess_rate, rng)


def drift(env_rewards: EnvRewards, rng: np.random.Generator, faults: Faults, seen: Seen) -> list[Choice]:
    """Comes to look for something else: step t weighs (1 - w) + w gamma^(T-1-t), w = min(1, n / drift_answers).

    It begins as the oracle, whose steps all weigh the same, and after `drift_answers` answers judges as `myopic` does.
    Answers of one batch are given one after the other.

    Args:
        env_rewards: (B, 2, T).
        rng: not used.
        faults: `drift_answers` and `gamma`.
        seen: `n_answered`.

    Raises:
        ValueError: for another shape, or for a reward that is not finite.
    """
    del rng
    moved = np.minimum(1.0, _answered_before(env_rewards, seen) / faults.drift_answers)[:, None, None]  # (B, 1, 1)
    weights = (1 - moved) + moved * myopic_weights(env_rewards.shape[-1], faults.gamma)  # (B, 1, T)
    return better(env_returns(env_rewards, weights))


def position_bias(env_rewards: EnvRewards, rng: np.random.Generator, faults: Faults, seen: Seen) -> list[Choice]:
    """Leans to a side: a share of `position_bias` of the answers is LEFT, whatever the clips.

    A teacher sees no screen: left is the query's own left. People's screens swap sides at random, so that a lean of
    theirs would not be one of the labels.

    Args:
        env_rewards: (B, 2, T).
        rng: one draw for each query.
        faults: `position_bias`.
        seen: not used.

    Raises:
        ValueError: for another shape, or for a reward that is not finite.
    """
    del seen
    returns = env_returns(env_rewards)
    return overruled(better(returns), rng.random(len(returns)) < faults.position_bias, Choice.LEFT)


def crowd(env_rewards: EnvRewards, rng: np.random.Generator, faults: Faults, seen: Seen) -> list[Choice]:
    """Several people: each query goes to one of them at random, who is right with a probability of their own.

    Right is the oracle's answer, wrong its opposite; ties stay EQUAL. People with error rates of their own are those of
    Dawid and Skene 1979 (Applied Statistics 28, 20-28).

    Args:
        env_rewards: (B, 2, T).
        rng: two draws for each query.
        faults: `reliabilities`.
        seen: not used.

    Raises:
        ValueError: for another shape, or for a reward that is not finite.
    """
    del seen
    choices = better(env_returns(env_rewards))
    person = rng.integers(len(faults.reliabilities), size=len(choices))
    is_right = rng.random(len(choices)) < np.array(faults.reliabilities)[person]
    return [choice if right else swapped(choice) for choice, right in zip(choices, is_right.tolist(), strict=True)]


def _answered_before(queries: EnvRewards, seen: Seen) -> FloatArray:
    """Answers given before each of B queries, which are answered in order; (B,)."""
    return seen.n_answered + np.arange(len(queries), dtype=np.float64)


def _guessed(choices: list[Choice], where: BoolArray, rng: np.random.Generator) -> list[Choice]:
    """The choices, with a coin's in place of those marked in `where`, (B,)."""
    coins = left_or_right(rng.random(len(choices)) < 0.5)
    return [coin if guess else choice for choice, coin, guess in zip(choices, coins, where.tolist(), strict=True)]
