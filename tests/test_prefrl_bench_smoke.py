"""The smoke suite, whole, as anybody runs it: numbers in its report."""

import csv
import subprocess
import sys
from pathlib import Path
from statistics import fmean

import pytest

from prefrl.cell_folder import read_outcomes
from prefrl.suite import read_suite

ROOT = Path(__file__).parent.parent
SUITE = ROOT / "runs" / "smoke.toml"

pytestmark = pytest.mark.bench


@pytest.fixture(scope="module")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the report."""
    folder = tmp_path_factory.mktemp("smoke")
    places = ["--cells", str(folder / "cells"), "--out", str(folder / "report")]
    command = [
        sys.executable,
        "-m",
        "prefrl.cli",
        "bench",
        "runs/smoke.toml",
        *places,
    ]  # one at a time: tests run beside it
    subprocess.run(command, cwd=ROOT, check=True)
    return folder / "report"


def lines_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as f:
        return list(csv.DictReader(f))


def test_every_run_is_in_the_results(smoke: Path) -> None:
    runs = lines_of(smoke / "results.csv")
    assert len(runs) == 6
    assert {run["cell"] for run in runs} == {cell.key for cell in read_suite(SUITE).cells}
    assert sum(run["reward"] == "score" for run in runs) == 2
    assert {run["timesteps"] for run in runs} == {"6144"}  # whole rollouts of 8 x 64
    assert {run["eval_episodes"] for run in runs} == {"8"}
    for run in runs:
        assert run["labels_given"] == run["labels"]
        assert run["command"].startswith("prefrl train --env-id prefrl/Dot-v0 ")
    taught = [run for run in runs if run["reward"] == "preferences"]
    assert {(r["labels"], r["teacher"], r["strategy"]) for r in taught} == {
        ("60", "oracle", "uniform"),
        ("20", "oracle", "uniform"),
    }
    assert len({run["policy_sha256"] for run in runs}) == 6


def test_the_score_is_1_by_construction_and_60_answers_are_worth_more_than_20(smoke: Path) -> None:
    table = lines_of(smoke / "table.csv")
    overall = {(t["reward"], t["teacher"], t["strategy"], t["labels"]): t for t in table if t["task"] == ""}
    assert len(overall) == 3
    score = overall["score", "", "", "0"]
    assert float(score["normalized_mean"]) == pytest.approx(1.0)
    assert float(score["iqm"]) == pytest.approx(1.0, abs=0.05)
    assert score["seeds"] == "0 1"
    for setting in overall.values():
        assert setting["n_runs"] == "2"
        assert float(setting["low"]) <= float(setting["iqm"]) <= float(setting["high"])
    # Random is 0. Six thousand steps are few: 60 faultless answers bring 0.7 of the score here, 20 nothing yet.
    taught = {
        n: [setting for key, setting in overall.items() if key[1] == "oracle" and key[3] == n] for n in ("60", "20")
    }
    iqm = {n: fmean(float(setting["iqm"]) for setting in settings) for n, settings in taught.items()}
    assert iqm["60"] > 0.25
    assert iqm["60"] > iqm["20"] + 0.2
    assert fmean(float(setting["val_accuracy"]) for setting in taught["60"]) > 0.65


def test_the_page_has_its_parts(smoke: Path) -> None:
    page = (smoke / "table.md").read_text(encoding="utf-8")
    assert page.startswith("# smoke\n\nThe whole benchmark in minutes")
    assert "prefrl bench runs/smoke.toml\n" in page
    assert "not trained yet" not in page
    assert {path.name for path in (smoke / "plots").iterdir()} == {
        "labels.svg",
        "curve-prefrl-dot-v0.svg",
        "profile.svg",
    }
    assert len(read_outcomes(smoke / "outcomes.jsonl")) == 6
    assert {path.name for path in smoke.iterdir() if path.is_file()} == {
        "table.md", "table.tex", "table.csv", "results.csv", "outcomes.jsonl", "timing.md", "timing.csv",
    }  # fmt: skip
