"""Print what the `rliable` package (Agarwal et al. 2021) makes of fixed scores: prefrl's statistics are tested by it.

Set up once, in an environment of its own (the package wants more than prefrl does), then run from this checkout:

    python3 -m venv rliable-venv
    rliable-venv/bin/pip install "arch<8" "pandas<3" seaborn absl-py rliable==1.2.0
    rliable-venv/bin/python runs/rliable_numbers.py > tests/fixtures/rliable.json

Five minutes. Every matrix is (seeds, tasks). The ends of a bootstrap interval are random themselves, and of few seeds
they jump from value to value; so beside the interval stands, for each end, the range it falls into 19 times in 20: the
quantiles of a bigger bootstrap at its share plus and minus two standard errors of that share.
"""

import json
import sys
from importlib import metadata

import numpy as np
from rliable import library, metrics

REPS, MANY_REPS, SIZE = 50_000, 200_000, 0.95
THRESHOLDS = [-0.5, 0.0, 0.25, 0.5, 0.75, 1.0, 1.5]


def matrices() -> dict[str, np.ndarray]:
    """Scores as a benchmark has them: few seeds; one lucky run; tasks that differ; one task of three seeds."""
    rng = np.random.default_rng(20210821)
    few = [[0.91, 0.42, 1.31], [1.14, 0.55, 1.07], [0.08, 0.61, 1.62], [0.97, 0.38, 0.95], [1.02, 0.47, 3.4]]
    return {
        "five_seeds_three_tasks": np.array(few),
        "ten_seeds_six_tasks": rng.normal(np.linspace(0.2, 1.4, 6), 0.35, (10, 6)).round(3),
        "three_seeds_four_tasks": rng.normal([0.5, 0.9, 1.0, 1.2], 0.25, (3, 4)).round(3),
        "three_seeds_one_task": np.array([[0.7], [1.3], [0.85]]),
    }


def numbers(scores: np.ndarray) -> dict[str, object]:
    """IQM, its interval and the performance profile of one matrix."""

    def statistic(x: np.ndarray) -> np.ndarray:
        return np.array([metrics.aggregate_iqm(x)])

    np.random.seed(0)  # noqa: NPY002  # the package draws from the global generator
    points, intervals = library.get_interval_estimates(
        {"scores": scores}, statistic, method="percentile", reps=REPS, confidence_interval_size=SIZE
    )
    many = library.StratifiedBootstrap(scores).apply(statistic, MANY_REPS)[:, 0]
    share = (1 - SIZE) / 2
    error = 2 * np.sqrt(share * (1 - share) / REPS)
    ranges = np.quantile(many, [share - error, share + error, 1 - share - error, 1 - share + error])
    return {
        "scores": scores.tolist(),
        "iqm": float(points["scores"][0]),
        "interval": intervals["scores"][:, 0].tolist(),
        "low_within": ranges[:2].tolist(),
        "high_within": ranges[2:].tolist(),
        "profile": library.score_distributions(scores, np.array(THRESHOLDS)).tolist(),
    }


def main() -> None:
    """Print the fixture."""
    found = matrices()
    better = metrics.probability_of_improvement(found["three_seeds_four_tasks"], found["ten_seeds_six_tasks"][:, :4])
    printed = {
        "rliable": metadata.version("rliable"),
        "resamples": REPS,
        "many_resamples": MANY_REPS,
        "confidence": SIZE,
        "thresholds": THRESHOLDS,
        **{name: numbers(scores) for name, scores in found.items()},
        "probability_of_improvement": {
            "x": "three_seeds_four_tasks",
            "y": "the first four tasks of ten_seeds_six_tasks",
            "value": float(better),
        },
    }
    parts = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in printed.items()]
    sys.stdout.write("{\n" + ",\n".join(parts) + "\n}\n")


if __name__ == "__main__":
    main()
