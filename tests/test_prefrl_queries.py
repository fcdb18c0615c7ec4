"""Query strategies on candidates whose right choice is known."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import prefrl
from labeling.clip import ClipFiles
from labeling.store import Store
from prefrl.asking import Asker, ClipFacts
from prefrl.config import QueryConfig, RewardModelConfig
from prefrl.labelers import PeopleLabeler
from prefrl.pool import Layout, Pool
from prefrl.queries import (
    STRATEGIES,
    Candidates,
    Chosen,
    bald,
    choose,
    disagreement,
    entropy,
    k_center,
    k_medoids,
    near_on_policy,
    uniform,
)
from prefrl.reward_model import Inputs, RewardModel

RNG = np.random.default_rng(0)
"""Handed to strategies that draw nothing from it."""
SURE = 1000.0
"""A logit of nothing but certainty."""


def candidates(
    logits: Any = None, features: Any = None, ages: Any = None, *, read: list[str] | None = None
) -> Candidates:
    """Candidates with these numbers; reading one that is not given fails, and what is read is noted in `read`."""
    given: dict[str, Any] = {"logits": logits, "features": features, "ages": ages}
    arrays: dict[str, NDArray[Any]] = {k: np.asarray(v) for k, v in given.items() if v is not None}
    n = max(a.shape[-1] if name == "logits" else len(a) for name, a in arrays.items())

    def of(name: str) -> Any:
        def take(index: NDArray[np.int64]) -> NDArray[Any]:
            if name not in arrays:
                raise AssertionError(f"{name} were read")
            if read is not None:
                read.append(name)
            return arrays[name][:, index] if name == "logits" else arrays[name][index]

        return take

    return Candidates(np.arange(n), of("logits"), of("features"), of("ages"))


def many(n: int, rng: np.random.Generator) -> Candidates:
    """So many candidates with all numbers drawn at random."""
    return candidates(rng.normal(size=(3, n)), rng.normal(size=(n, 8)), rng.integers(1, 1000, n))


def as_before(name: str, logits: NDArray[Any], n: int, random_share: float, rng: np.random.Generator) -> Chosen:
    """The formulas of version 0.1.0's first strategies, written out once more: seeds keep their results."""
    n_random = int(rng.binomial(n, random_share))
    random = rng.permutation(logits.shape[1])[:n_random]
    rest = np.setdiff1d(np.arange(logits.shape[1]), random)
    scores = np.full(logits.shape[1], np.nan)
    if name == "uniform":
        index = rng.permutation(len(rest))[: n - n_random]
    else:
        score = (1.0 / (1.0 + np.exp(-np.clip(logits[:, rest], -500, 500)))).var(axis=0)
        index = np.argsort(-score, kind="stable")[: n - n_random]
        scores[rest] = score
    chosen = np.concatenate([random, rest[index]])
    return Chosen(chosen, np.arange(n) < n_random, scores[chosen])


def test_disagreement_is_the_variance_of_the_probability_not_of_the_logit() -> None:
    # Logits 10 and 30 differ by far more than -1 and 1, but both say "left" for sure.
    logits = np.array([[10.0, -1.0, 0.1], [30.0, 1.0, 0.1]])
    index, score = disagreement(candidates(logits), 1, RNG)
    assert index.tolist() == [1]
    p = 1 / (1 + np.exp(-logits))
    assert score is not None
    np.testing.assert_allclose(score, p.var(axis=0))
    assert logits.var(axis=0).argmax() == 0


def test_probabilities_of_32_bits_are_zero_without_a_warning() -> None:
    logits = np.array([[-SURE, 0.0], [SURE, 0.0]], np.float32)  # an overflow warned here, and warnings are errors
    _, score = disagreement(candidates(logits), 1, RNG)
    assert score is not None
    assert score.tolist() == [0.25, 0.0]


@pytest.mark.parametrize("name", ["uniform", "disagreement"])
@pytest.mark.parametrize("seed", range(5))
def test_the_first_strategies_choose_bit_for_bit_what_they_chose(name: str, seed: int) -> None:
    logits = np.random.default_rng(seed).normal(0, 3, (3, 300)).astype(np.float32)
    one, two = np.random.default_rng(seed), np.random.default_rng(seed)
    for _ in range(3):
        old = as_before(name, logits, 30, 0.1, one)
        new = choose(STRATEGIES[name], candidates(logits), 30, 0.1, two)
        np.testing.assert_array_equal(new.index, old.index)
        np.testing.assert_array_equal(new.is_random, old.is_random)
        np.testing.assert_array_equal(new.score, old.score)
    assert one.bit_generator.state == two.bit_generator.state


def test_uniform_takes_every_candidate_about_equally_often() -> None:
    rng = np.random.default_rng(0)
    counts = np.zeros(10)
    for _ in range(2000):
        index, _ = uniform(candidates(np.zeros((3, 10))), 3, rng)
        counts[index] += 1
    assert counts.sum() == 6000
    assert np.abs(counts - 600).max() < 90  # 4.4 standard deviations


def test_entropy_is_highest_where_the_ensemble_is_undecided() -> None:
    # All say 3:1 for the left; all undecided; sure of opposite answers; all sure of the left.
    logits = [[math.log(3), 0.0, -SURE, SURE], [math.log(3), 0.0, SURE, SURE]]
    index, score = entropy(candidates(logits), 2, RNG)
    three_to_one = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert score is not None
    np.testing.assert_allclose(score, [three_to_one, math.log(2), math.log(2), 0.0], rtol=1e-12)
    assert index.tolist() == [1, 2]  # a tie: entropy cannot tell doubt from discord


def test_bald_takes_what_members_are_sure_of_and_contradict_each_other_on() -> None:
    # All undecided; sure of opposite answers; sure of the same; one undecided, the other sure.
    logits = [[0.0, -SURE, SURE, 0.0], [0.0, SURE, SURE, SURE]]
    index, score = bald(candidates(logits), 4, RNG)
    half_sure = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25)) - 0.5 * math.log(2)
    assert score is not None
    np.testing.assert_allclose(score, [0.0, math.log(2), 0.0, half_sure], rtol=1e-12)
    assert index.tolist() == [1, 3, 0, 2]


def test_bald_is_never_negative() -> None:
    logits = np.repeat(np.random.default_rng(0).normal(0, 5, (1, 1000)), 3, axis=0)  # members that agree exactly
    _, score = bald(candidates(logits), 1, RNG)
    assert score is not None
    assert score.min() >= 0.0
    assert score.max() < 1e-12


def three_clusters() -> tuple[NDArray[Any], NDArray[Any]]:
    """Logits (2, 18) and features (18, 2): three clusters of 4, 3 and 2, then 9 on which members agree, far out."""
    features = np.array(
        [[0, 0], [1, 0], [-1, 0], [0, 1]]  # the middle is 0
        + [[10, 0], [11, 0], [13, 0]]  # the middle is 5
        + [[0, 10], [0, 11]]
        + [[100 + 50 * i, -200] for i in range(9)],
        float,
    )
    apart = np.array([1.0, 3.0, 1.0, 1.0, 1.0, 2.0, 1.0, 1.0, 1.5] + [0.1] * 9)
    return np.stack([apart, -apart]), features


def test_k_center_takes_one_of_each_cluster_among_what_members_disagree_on() -> None:
    logits, features = three_clusters()
    index, score = k_center(candidates(logits, features), 3, RNG)
    # First the one of highest disagreement, 1 at (1, 0); then (13, 0) at 12, (0, 11) at the root of 122. Those far out
    # are known.
    assert index.tolist() == [1, 6, 8]
    _, expected = disagreement(candidates(logits), 3, RNG)
    np.testing.assert_array_equal(np.asarray(score), np.asarray(expected))


def test_k_medoids_takes_the_middle_of_each_cluster() -> None:
    logits, features = three_clusters()
    index, _ = k_medoids(candidates(logits, features), 3, RNG)
    # Sums of distances: 3 from (0, 0) to its own, 3 + ... from every other; 1 + 2 from (11, 0), 1 + 3 and 2 + 3 from
    # its neighbours; of two, the one that members disagree on more.
    assert sorted(index.tolist()) == [0, 5, 8]


@pytest.mark.parametrize("strategy", [k_center, k_medoids])
def test_a_batch_is_of_different_pairs_even_where_they_look_the_same(strategy: Any) -> None:
    index, _ = strategy(candidates(np.zeros((2, 12)), np.ones((12, 3))), 9, RNG)
    assert len(set(index.tolist())) == 9
    index, _ = strategy(candidates(np.zeros((2, 4)), np.ones((4, 3))), 4, RNG)
    assert sorted(index.tolist()) == [0, 1, 2, 3]
    index, score = strategy(candidates(np.zeros((2, 4))), 0, RNG)  # all of them random: no features are read
    assert len(index) == 0
    assert score.tolist() == [0.0] * 4


@pytest.mark.parametrize("strategy", [k_center, k_medoids])
def test_features_are_computed_for_the_half_with_the_most_disagreement_alone(strategy: Any) -> None:
    logits, features = three_clusters()
    asked: list[int] = []

    def features_of(index: NDArray[np.int64]) -> NDArray[Any]:
        asked.extend(index.tolist())
        return features[index]

    found = Candidates(np.arange(18), lambda i: logits[:, i], features_of, lambda i: i)
    strategy(found, 3, RNG)
    assert sorted(asked) == list(range(9))


def test_near_on_policy_takes_the_newest_pairs() -> None:
    index, score = near_on_policy(candidates(ages=[500, 20, 300, 20, 10]), 3, RNG)
    assert index.tolist() == [4, 1, 3]
    assert np.asarray(score).tolist() == [-500, -20, -300, -20, -10]


@pytest.mark.parametrize(
    ("name", "reads"),
    [
        ("uniform", set()),
        ("disagreement", {"logits"}),
        ("entropy", {"logits"}),
        ("bald", {"logits"}),
        ("k_center", {"logits", "features"}),
        ("k_medoids", {"logits", "features"}),
        ("near_on_policy", {"ages"}),
    ],
)
def test_a_strategy_costs_only_what_it_reads(name: str, reads: set[str]) -> None:
    read: list[str] = []
    logits, features = np.random.default_rng(0).normal(size=(3, 20)), np.ones((20, 2))
    choose(STRATEGIES[name], candidates(logits, features, np.arange(20), read=read), 5, 0.2, np.random.default_rng(0))
    assert set(read) == reads
    assert len(read) == len(reads)  # each once


def test_every_strategy_has_its_case_above() -> None:
    assert list(STRATEGIES) == [
        "uniform", "disagreement", "entropy", "bald", "k_center", "k_medoids", "near_on_policy",
    ]  # fmt: skip


@pytest.mark.parametrize("name", STRATEGIES)
def test_no_candidate_is_chosen_twice_and_the_random_share_is_logged(name: str) -> None:
    rng = np.random.default_rng(1)
    found = many(400, rng)
    n_random = 0
    for _ in range(50):
        chosen = choose(STRATEGIES[name], found, 40, 0.25, rng)
        assert len(set(chosen.index.tolist())) == 40
        assert np.isnan(chosen.score[chosen.is_random]).all()
        assert np.isnan(chosen.score[~chosen.is_random]).all() == (name == "uniform")
        n_random += int(chosen.is_random.sum())
    assert 0.2 < n_random / 2000 < 0.3


@pytest.mark.parametrize("name", STRATEGIES)
def test_the_same_generator_chooses_the_same(name: str) -> None:
    found = many(200, np.random.default_rng(3))
    one, two = (choose(STRATEGIES[name], found, 20, 0.1, np.random.default_rng(4)) for _ in range(2))
    np.testing.assert_array_equal(one.index, two.index)
    np.testing.assert_array_equal(one.score, two.score)


@pytest.mark.parametrize("name", ["disagreement", "entropy", "bald", "near_on_policy"])
def test_the_share_that_is_not_random_is_the_best_of_the_rest(name: str) -> None:
    # Candidates of which each later one is better than those before it.
    apart = np.linspace(0, 5, 100)
    logits = {"entropy": np.stack([5 - apart] * 2)}.get(name, np.stack([-apart, apart]))
    found = candidates(logits, ages=np.arange(100, 0, -1))
    chosen = choose(STRATEGIES[name], found, 10, 0.3, np.random.default_rng(2))
    random = set(chosen.index[chosen.is_random].tolist())
    assert random
    best = [i for i in range(99, -1, -1) if i not in random][: 10 - len(random)]
    assert chosen.index[~chosen.is_random].tolist() == best


def test_too_few_candidates_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least 5 candidates"):
        choose(uniform, candidates(np.zeros((3, 4))), 5, 0.0, np.random.default_rng(0))


def make_asker(folder: Path, strategy: str) -> tuple[Asker, Pool]:
    """An asker, and a pool of two environments in which every observation is the step it was made in."""
    layout = Layout((3,), np.float32, (), np.int64, None, np.float32, 1)
    pool = Pool(layout, n_envs=2, capacity=200)
    for step in range(200):
        pool.add(
            np.full((2, 3), step, np.float32),
            np.zeros(2, np.int64),
            np.zeros(2, np.float32),
            None,
            np.zeros(2, np.int64),
            np.full(2, step),
        )
    asker = Asker(
        QueryConfig(strategy=strategy, random_share=0.0),
        ClipFacts(5, 10.0, 1, lambda views: views),
        RewardModel(Inputs((3,), 2, 2, is_image=False, n_stack=1), RewardModelConfig(), seed=0),
        Store(folder / "labels.sqlite"),
        ClipFiles(folder / "clips"),
        PeopleLabeler("nobody", 1),
        np.random.default_rng(0),
    )
    return asker, pool


def test_the_asker_hands_on_the_logits_features_and_ages_of_its_pairs(tmp_path: Path) -> None:
    asker, pool = make_asker(tmp_path, "bald")
    left, right = asker._candidates(40, pool)
    found = asker._numbers(left, right, pool)
    pairs = [(pool.obs(s, 5), pool.actions(s, 5)) for s in (left, right)]
    obs, actions = (np.stack(x, axis=1) for x in zip(*pairs, strict=True))
    np.testing.assert_array_equal(found.logits, asker.model.preference_logits(obs, actions))
    some = found.take(np.array([7, 3, 31]))
    np.testing.assert_array_equal(some.logits, found.logits[:, [7, 3, 31]])
    np.testing.assert_allclose(some.features, asker.model.features(obs, actions)[[7, 3, 31]], rtol=1e-4, atol=1e-5)
    older = np.minimum(left.starts, right.starts)
    np.testing.assert_array_equal(some.ages, 2 * (200 - older[[7, 3, 31]]))
    asker.store.close()


def test_near_on_policy_asks_about_what_was_done_last(tmp_path: Path) -> None:
    asker, pool = make_asker(tmp_path, "near_on_policy")
    (left, right), _, name = asker._pick(20, pool, fitted=True)
    starts = np.minimum(left.starts, right.starts)
    assert name == "near_on_policy"
    # 20 of 200 pairs: both clips begin after a step that a tenth of all pairs lie behind, 0.68 of the way.
    assert starts.min() > 110
    (left, right), chosen, name = asker._pick(20, pool, fitted=False)
    assert name == "uniform"
    assert np.isnan(chosen.score).all()
    assert np.minimum(left.starts, right.starts).min() < 60
    asker.store.close()


@pytest.mark.parametrize("strategy", ["uniform", "near_on_policy"])
def test_what_reads_no_network_passes_none(tmp_path: Path, strategy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def touched(*args: object) -> None:
        raise AssertionError("the network was asked")

    asker, pool = make_asker(tmp_path, strategy)
    monkeypatch.setattr(RewardModel, "forward", touched)
    monkeypatch.setattr(RewardModel, "features", touched)
    asker._pick(20, pool, fitted=True)
    asker.store.close()


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.slow
def test_every_strategy_trains_and_is_written_beside_its_queries(strategy: str, tmp_path: Path) -> None:
    config = prefrl.default_config(
        "prefrl/Dot-v0",
        total_labels=60,
        total_timesteps=1536,
        run_dir=str(tmp_path / "run"),
        progress=False,
        eval={"episodes": 1},
        queries={"strategy": strategy, "random_share": 0.3, "round_steps": 512, "label_window": 1.0},
        reward_model={"initial_epochs": 5, "epochs": 2},
        ppo={"n_epochs": 1},
    )
    result = prefrl.train(config)
    with Store.open_read_only(result.run.labels) as store:
        queries = store.queries()
    assert len(queries) == 60
    assert len({q.round for q in queries}) >= 3
    first, later = [q for q in queries if q.round == 0], [q for q in queries if q.round > 0]
    assert {q.strategy for q in first} == {"uniform"}
    assert {q.strategy for q in later if not q.is_random} == {strategy}
    assert {q.strategy for q in later if q.is_random} == {"uniform"}
    assert all(q.score is None for q in queries if q.is_random)
    assert all((q.score is None) == (strategy == "uniform") for q in later if not q.is_random)
    assert 0.1 < sum(q.is_random for q in queries) / 60 < 0.5
