"""Statistics: by hand where a hand can, else against the package `rliable`, whose numbers are kept in a fixture."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from prefrl.bench_statistics import (
    iqm,
    iqm_of_rows,
    normalized,
    performance_profile,
    probability_of_improvement,
    stratified_bootstrap,
)

# Printed by runs/rliable_numbers.py.
RLIABLE: dict[str, Any] = json.loads((Path(__file__).parent / "fixtures" / "rliable.json").read_text())
MATRICES = [name for name, value in RLIABLE.items() if isinstance(value, dict) and "scores" in value]


def scores(name: str) -> NDArray[np.float64]:
    """(seeds, tasks)."""
    return np.array(RLIABLE[name]["scores"])


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([3.0], 3.0),
        ([1.0, 2.0, 9.0], 4.0),  # a quarter of three is none
        ([9.0, 1.0, 2.0, 4.0], 3.0),
        ([5.0, 100.0, 1.0, 2.0, 3.0], 10 / 3),
        ([[0.0, 8.0, 1.0, 7.0], [2.0, 6.0, 3.0, 5.0]], 4.0),  # 2, 3, 5, 6
    ],
)
def test_iqm_is_the_mean_of_the_middle_half(values: Any, expected: float) -> None:
    assert iqm(values) == pytest.approx(expected, abs=1e-12)


def test_iqm_of_each_row() -> None:
    rows = np.array([[9.0, 1.0, 2.0, 4.0], [0.0, 0.0, 1.0, -50.0]])
    np.testing.assert_allclose(iqm_of_rows(rows), [3.0, 0.0])


def test_iqm_of_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one value"):
        iqm([])


@pytest.mark.parametrize("name", MATRICES)
def test_iqm_is_rliables(name: str) -> None:
    assert iqm(scores(name)) == pytest.approx(RLIABLE[name]["iqm"], abs=1e-12)


@pytest.mark.parametrize("name", MATRICES)
def test_interval_is_rliables_within_two_standard_errors(name: str) -> None:
    """An end of a bootstrap interval is a quantile of the resamples, and random as that.

    Of 50,000 resamples the share below the true quantile has the standard error sqrt(p (1 - p) / 50,000). The fixture
    keeps rliable's quantiles, of a bigger bootstrap, at p plus and minus two of these: an honest end lies between them
    19 times in 20. In shares and not in values, because of few seeds the resamples take few values, and an end jumps
    from one to the next. The seed is fixed, so the test always passes or always fails.
    """
    kept = RLIABLE[name]
    ends = stratified_bootstrap(list(scores(name).T), n_resamples=RLIABLE["resamples"])
    for end, own, (least, most) in zip(ends, kept["interval"], (kept["low_within"], kept["high_within"]), strict=True):
        assert least - 1e-12 <= end <= most + 1e-12
        assert least - 1e-12 <= own <= most + 1e-12


def test_those_ranges_are_narrow() -> None:
    """They catch an interval of all runs in one pot, which forgets the strata."""
    kept = RLIABLE["ten_seeds_six_tasks"]
    width = kept["interval"][1] - kept["interval"][0]
    assert all(most - least < 0.05 * width for least, most in (kept["low_within"], kept["high_within"]))
    low, high = stratified_bootstrap([scores("ten_seeds_six_tasks").ravel()])
    assert low < kept["low_within"][0] - 0.02
    assert high > kept["high_within"][1] + 0.02


def test_interval_is_rliables_live() -> None:
    """On numbers that no fixture knows, where the package is there; see runs/rliable_numbers.py."""
    pytest.importorskip("rliable", exc_type=ImportError)
    library, metrics = importlib.import_module("rliable.library"), importlib.import_module("rliable.metrics")
    matrix = np.random.default_rng(7).normal([0.3, 0.9], 0.3, (6, 2))
    points, ends = library.get_interval_estimates(
        {"x": matrix}, lambda x: np.array([metrics.aggregate_iqm(x)]), reps=5000
    )
    assert iqm(matrix) == pytest.approx(points["x"][0], abs=1e-12)
    ours = np.array([stratified_bootstrap(list(matrix.T), n_resamples=5000, seed=seed) for seed in range(20)])
    error = ours.std(axis=0, ddof=1)  # (2,), of a single bootstrap
    # rliable's one end and the mean of ours: four standard errors, because nothing fixes its seed.
    np.testing.assert_array_less(np.abs(ours.mean(axis=0) - ends["x"][:, 0]), 4 * error)


def test_three_seeds_of_one_task_span_their_range_and_that_holds_the_mean_three_times_in_four() -> None:
    low, high = stratified_bootstrap([[0.7, 1.3, 0.85]])
    np.testing.assert_allclose([low, high], [0.7, 1.3], atol=1e-12)
    drawn = np.random.default_rng(0).normal(size=(4000, 3))
    holds = (drawn.min(axis=1) < 0) & (drawn.max(axis=1) > 0)
    assert holds.mean() == pytest.approx(0.75, abs=0.02)  # 1 - 2 * (1/2)^3


def test_strata_are_kept_whatever_their_sizes() -> None:
    """Two tasks without spread: every resample is the same three and one runs."""
    low, high = stratified_bootstrap([[1.0, 1.0, 1.0], [5.0]], lambda rows: rows.mean(axis=1), n_resamples=100)
    assert low == high == 2.0


def test_same_seed_same_bits_and_another_seed_others() -> None:
    groups = [[0.1, 0.4, 0.9, 1.3], [0.2, 0.5, 0.8]]
    first, again, other = (np.array(stratified_bootstrap(groups, n_resamples=2001, seed=s)) for s in (3, 3, 4))
    assert first.tobytes() == again.tobytes() != other.tobytes()


def test_big_benchmarks_are_drawn_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[tuple[int, ...]] = []

    def statistic(rows: NDArray[np.float64]) -> NDArray[np.float64]:
        sizes.append(rows.shape)
        return iqm_of_rows(rows)

    monkeypatch.setattr("prefrl.bench_statistics._CHUNK_VALUES", 70)
    stratified_bootstrap([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0, 7.0]], statistic, n_resamples=25)
    assert sizes == [(10, 7), (10, 7), (5, 7)]


@pytest.mark.parametrize("groups", [[], [[1.0], []]])
def test_a_task_without_runs_is_an_error(groups: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="at least one run"):
        stratified_bootstrap(groups)


def test_normalized_is_0_at_random_and_1_on_the_score() -> None:
    assert [normalized(value, -300, 1700) for value in (-300, 700, 1700, 2700)] == [0, 0.5, 1, 1.5]
    with pytest.raises(ValueError, match="above the random one, got 5 and 5"):
        normalized(1, 5, 5)


@pytest.mark.parametrize("name", MATRICES)
def test_profile_is_rliables(name: str) -> None:
    np.testing.assert_allclose(performance_profile(scores(name), RLIABLE["thresholds"]), RLIABLE[name]["profile"])


def test_profile_counts_what_is_above() -> None:
    np.testing.assert_array_equal(performance_profile([0.0, 1.0, 1.0, 2.0], [-1, 0, 1, 2]), [1, 0.75, 0.25, 0])


def test_probability_of_improvement_counts_pairs_and_halves_ties() -> None:
    # First task: 3 of 4 pairs won, one tied. Second: none won.
    assert probability_of_improvement([[1.0, 3.0], [0.0]], [[0.0, 1.0], [1.0, 2.0]]) == (3.5 / 4 + 0) / 2
    with pytest.raises(ValueError, match="same tasks twice"):
        probability_of_improvement([[1.0]], [])


def test_probability_of_improvement_is_rliables() -> None:
    x, y = scores("three_seeds_four_tasks"), scores("ten_seeds_six_tasks")[:, :4]
    found = probability_of_improvement(list(x.T), list(y.T))
    assert found == pytest.approx(RLIABLE["probability_of_improvement"]["value"], abs=1e-12)
