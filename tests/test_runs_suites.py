"""The suites under runs/ and the outcomes that are kept of them: a preset that moves on must not orphan a table."""

from pathlib import Path

import pytest

from prefrl.cell_folder import read_outcomes
from prefrl.suite import read_suite

RUNS = Path(__file__).parents[1] / "runs"
SUITES = sorted(path.stem for path in RUNS.glob("*.toml"))


def test_there_are_suites() -> None:
    assert {"robots", "atari", "teachers", "queries", "smoke"} <= set(SUITES)


@pytest.mark.parametrize("name", SUITES)
def test_every_outcome_that_is_kept_is_of_a_cell_of_its_suite(name: str) -> None:
    """Where this fails after a change of a preset: say in the suite what the preset said, or train the suite anew."""
    outcomes = read_outcomes(RUNS / "results" / name / "outcomes.jsonl")
    cells = {cell.key for cell in read_suite(RUNS / f"{name}.toml").cells}
    assert set(outcomes) <= cells
