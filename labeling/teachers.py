"""Teachers: synthetic labelers that read the env reward. Here those of B-Pref; `faulty_people` has the others.

A new teacher is one function and one entry in `TEACHERS`. Sources: Lee et al. 2021 (B-Pref, arXiv 2111.03026),
section 3. But for `stoc`, which is uncertain even then, each answers EQUAL where returns are exactly the same.
"""

from __future__ import annotations

import numpy as np

from labeling.choice import Choice, swapped
from labeling.faulty_people import crowd, drift, fatigue, lapse, position_bias
from labeling.teaching import (
    EnvRewards,
    Faults,
    FloatArray,
    Seen,
    Teacher,
    better,
    env_returns,
    left_or_right,
    myopic_weights,
    overruled,
)


def oracle(env_rewards: EnvRewards, rng: np.random.Generator, faults: Faults, seen: Seen) -> list[Choice]:
    """Prefers the clip with the larger sum of env rewards, without fail; ties are EQUAL.

    The "perfect" teacher of B-Pref; Christiano et al. 2017, section 3.1.

    Args:
        env_rewards: (B, 2, T).
        rng: not used, as nothing in it is random.
        faults: not used, as it has none.
        seen: not used.

    Raises:
        ValueError: for another shape, or for a reward that is not finite.
    """
    del rng, faults, seen
    return better(env_returns(env_rewards))


def stoc(env_rewards: EnvRewards, rng: np.random.Generator, faults: Faults, seen: Seen) -> list[Choice]:
    """Errs the more often the closer the returns are: LEFT with probability sigmoid(beta (R_left - R_right) / spread).

    B-Pref's stochastic teacher has no spread in it, so that one beta guesses on one env and never errs on another;
    here it answers the same however the env scales its reward. The default of beta makes one answer in ten wrong where
    the returns of clips are normally distributed and pairs are picked at random. Equal returns are a coin flip, as in
    B-Pref, and not EQUAL. Where the spread is 0, any difference at all is beyond doubt.

    Args:
        env_rewards: (B, 2, T).
        rng: one draw for each query.
        faults: `beta`.
        seen: `spread`.

    Raises:
        ValueError: for another shape, or for a reward that is not finite.
    """
    return left_or_right(rng.random(len(env_rewards)) < prob_of_left(env_rewards, faults, seen))


def prob_of_left(env_rewards: EnvRewards, faults: Faults, seen: Seen) -> FloatArray:
    """Probability that `stoc` answers LEFT, (B,)."""
    returns = env_returns(env_rewards)
    difference = returns[:, 0] - returns[:, 1]
    steepness = 0.0
    if faults.beta > 0:
        steepness = faults.beta / seen.spread if seen.spread > 0 else np.inf
    logits = np.zeros_like(difference)
    logits[difference != 0] = steepness * difference[difference != 0]  # infinity times 0 is no number
    probabilities: FloatArray = np.exp(-np.logaddexp(0.0, -logits))
    return probabilities


def mistake(env_rewards: EnvRewards, rng: np.random.Generator, faults: Faults, seen: Seen) -> list[Choice]:
    """The oracle, with a share of `mistake_rate` of its decided answers turned round; ties stay EQUAL.

    Args:
        env_rewards: (B, 2, T).
        rng: one draw for each query.
        faults: `mistake_rate`.
        seen: not used.

    Raises:
        ValueError: for another shape, or for a reward that is not finite.
    """
    choices = oracle(env_rewards, rng, faults, seen)
    is_wrong = rng.random(len(choices)) < faults.mistake_rate
    return [swapped(choice) if wrong else choice for choice, wrong in zip(choices, is_wrong.tolist(), strict=True)]


def skip(env_rewards: EnvRewards, rng: np.random.Generator, faults: Faults, seen: Seen) -> list[Choice]:
    """The oracle, but SKIP where neither clip shows anything: the better return is below `skip_share` of the margin.

    The margin follows what the agent did lately, and the share of it is taken once (B-Pref's code takes it of what is
    such a share already, after its first session). Where that is not above 0, it does not say "little", and nothing is
    skipped.

    Args:
        env_rewards: (B, 2, T).
        rng: not used.
        faults: `skip_share`.
        seen: `margin`.

    Raises:
        ValueError: for another shape, or for a reward that is not finite.
    """
    returns = env_returns(env_rewards)
    threshold = faults.skip_share * seen.margin
    shows_nothing = (returns.max(axis=1) < threshold) & (threshold > 0)
    return overruled(oracle(env_rewards, rng, faults, seen), shows_nothing, Choice.SKIP)


def equal(env_rewards: EnvRewards, rng: np.random.Generator, faults: Faults, seen: Seen) -> list[Choice]:
    """The oracle, but EQUAL where the returns differ by less than `equal_share` of the margin.

    The margin and its share are as in `skip`; where that is not above 0, only the same returns are EQUAL.

    Args:
        env_rewards: (B, 2, T).
        rng: not used.
        faults: `equal_share`.
        seen: `margin`.

    Raises:
        ValueError: for another shape, or for a reward that is not finite.
    """
    returns = env_returns(env_rewards)
    is_close = np.abs(returns[:, 0] - returns[:, 1]) < faults.equal_share * seen.margin
    return overruled(oracle(env_rewards, rng, faults, seen), is_close, Choice.EQUAL)


def myopic(env_rewards: EnvRewards, rng: np.random.Generator, faults: Faults, seen: Seen) -> list[Choice]:
    """Remembers the end of a clip best: prefers the larger sum of gamma^(T-1-t) r_t.

    Args:
        env_rewards: (B, 2, T).
        rng: not used.
        faults: `gamma`.
        seen: not used.

    Raises:
        ValueError: for another shape, or for a reward that is not finite.
    """
    del rng, seen
    return better(env_returns(env_rewards, myopic_weights(env_rewards.shape[-1], faults.gamma)))


TEACHERS: dict[str, Teacher] = {
    "oracle": oracle,
    "stoc": stoc,
    "mistake": mistake,
    "skip": skip,
    "equal": equal,
    "myopic": myopic,
    "lapse": lapse,
    "fatigue": fatigue,
    "drift": drift,
    "position_bias": position_bias,
    "crowd": crowd,
}
