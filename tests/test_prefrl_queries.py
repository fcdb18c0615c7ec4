"""Query strategies on candidates whose right choice is known."""

import numpy as np
import pytest

from prefrl.queries import STRATEGIES, choose, disagreement, uniform


def test_disagreement_is_the_variance_of_the_probability_not_of_the_logit() -> None:
    # Logits 10 and 30 differ by far more than -1 and 1, but both say "left" for sure.
    logits = np.array([[10.0, -1.0, 0.1], [30.0, 1.0, 0.1]])
    index, score = disagreement(logits, 1, np.random.default_rng(0))
    assert index.tolist() == [1]
    p = 1 / (1 + np.exp(-logits))
    assert score is not None
    np.testing.assert_allclose(score, p.var(axis=0))
    assert logits.var(axis=0).argmax() == 0


def test_uniform_takes_every_candidate_about_equally_often() -> None:
    rng = np.random.default_rng(0)
    counts = np.zeros(10)
    for _ in range(2000):
        index, _ = uniform(np.zeros((3, 10)), 3, rng)
        counts[index] += 1
    assert counts.sum() == 6000
    assert np.abs(counts - 600).max() < 90  # 4.4 standard deviations


@pytest.mark.parametrize("name", STRATEGIES)
def test_no_candidate_is_chosen_twice_and_the_random_share_is_logged(name: str) -> None:
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(3, 400))
    n_random = 0
    for _ in range(50):
        chosen = choose(STRATEGIES[name], logits, 40, 0.25, rng)
        assert len(set(chosen.index.tolist())) == 40
        assert np.isnan(chosen.score[chosen.is_random]).all()
        n_random += int(chosen.is_random.sum())
    assert 0.2 < n_random / 2000 < 0.3


def test_the_share_that_is_not_random_is_the_best_of_the_rest() -> None:
    logits = np.stack([np.zeros(100), np.linspace(0, 5, 100)])
    chosen = choose(disagreement, logits, 10, 0.3, np.random.default_rng(2))
    random = set(chosen.index[chosen.is_random].tolist())
    best = [i for i in range(99, -1, -1) if i not in random][: 10 - len(random)]
    assert sorted(chosen.index[~chosen.is_random].tolist()) == sorted(best)


def test_too_few_candidates_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least 5 candidates"):
        choose(uniform, np.zeros((3, 4)), 5, 0.0, np.random.default_rng(0))
