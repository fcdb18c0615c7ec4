"""Candidates drawn evenly over the range of learned returns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from test_prefrl_queries import make_asker

from prefrl.config import QueryConfig
from prefrl.pool import Pool
from prefrl.queries import choose, disagreement
from prefrl.strata import evenly, strata


def test_ten_strata_of_equal_width_between_the_lowest_return_and_the_highest() -> None:
    returns = np.array([-5.0, -4.01, -4.0, 0.0, 4.0, 5.0])
    np.testing.assert_array_equal(strata(returns), [0, 0, 1, 5, 9, 9])
    np.testing.assert_array_equal(strata(np.full(3, 2.0)), [0, 0, 0])


def test_every_stratum_that_has_a_clip_is_drawn_as_often() -> None:
    stratum = np.array([0] * 90 + [4] * 9 + [9])
    drawn = stratum[evenly(stratum, 30_000, np.random.default_rng(0))]
    # A third each; six standard deviations of a binomial of 30,000 are 0.016.
    np.testing.assert_allclose(np.bincount(drawn, minlength=10)[[0, 4, 9]] / 30_000, 1 / 3, atol=0.016)


def rare(pool: Pool) -> None:
    """Make the last 10 steps of each environment unlike all the others, which are alike but for a little noise."""
    rng = np.random.default_rng(1)
    for step in range(200):
        value = 5.0 if step >= 190 else 0.0
        pool.add(
            (value + 0.01 * rng.normal(size=(2, 3))).astype(np.float32),
            np.zeros(2, np.int64),
            np.zeros(2, np.float32),
            None,
            np.zeros(2, np.int64),
            np.full(2, 200 + step),
        )


def test_what_is_rare_gets_its_share_of_the_questions_and_the_random_ones_stay_even(tmp_path: Path) -> None:
    asker, pool = make_asker(tmp_path, "uniform")
    rare(pool)
    asker.config = QueryConfig(strategy="uniform", random_share=0.5, stratified=True)
    (left, right), chosen, _ = asker._pick(400, pool, fitted=True)
    is_rare = np.concatenate([pool.obs(s, 5)[~chosen.is_random].max(axis=(1, 2)) > 2 for s in (left, right)])
    is_rare_random = np.concatenate([pool.obs(s, 5)[chosen.is_random].max(axis=(1, 2)) > 2 for s in (left, right)])
    # 10 of the 196 places where a clip can begin show it; of the strata it has at least half.
    assert is_rare_random.mean() < 0.12
    assert is_rare.mean() > 0.45
    (left, right), chosen, _ = asker._pick(400, pool, fitted=False)
    assert np.concatenate([pool.obs(s, 5).max(axis=(1, 2)) > 2 for s in (left, right)]).mean() < 0.12
    asker.store.close()


def test_no_pair_is_of_one_clip_twice(tmp_path: Path) -> None:
    asker, pool = make_asker(tmp_path, "uniform")
    rare(pool)
    left, right = asker._stratified(2000, pool)
    assert not ((left.envs == right.envs) & (left.starts == right.starts)).any()
    asker.store.close()


def test_random_ones_come_of_the_even_candidates_and_the_others_of_the_rest(tmp_path: Path) -> None:
    asker, pool = make_asker(tmp_path, "disagreement")
    left, right = asker._candidates(60, pool)
    chosen = choose(disagreement, asker._numbers(left, right, pool), 20, 0.3, np.random.default_rng(2), n_even=20)
    assert chosen.is_random.any()
    assert (chosen.index[chosen.is_random] < 20).all()
    assert (chosen.index[~chosen.is_random] >= 20).all()
    asker.store.close()
