"""Plots are well-formed, show the measured points and nothing else, and leave no state behind."""

from __future__ import annotations

import re
import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pytest

from prefrl import plot_style, plots
from prefrl.errors import UserError

pytest.importorskip("matplotlib")

STEPS = [0.0, 1000.0, 2000.0, None, 4000.0]
RETURNS = [-10.0, None, 5.0, 7.0, float("nan")]
SVG = "{http://www.w3.org/2000/svg}"


def texts(svg: str) -> list[str]:
    root = ElementTree.fromstring(svg)  # noqa: S314  # our own file
    assert root.tag == f"{SVG}svg"
    return ["".join(text.itertext()) for text in root.iter(f"{SVG}text")]


def all_plots() -> dict[str, str]:
    rising = [0.1 * i for i in range(5)]
    return {
        "steps": plots.env_return_over_steps(STEPS, RETURNS, training=rising, random_return=-12.0, score_return=20.0),
        "labels": plots.env_return_over_labels([0.0, 10.0, 20.0, 30.0, 40.0], RETURNS),
        "accuracy": plots.reward_model_accuracy([0.0, 1.0], [0.6, 0.9], [0.5, None]),
        "loss": plots.reward_model_loss([0.0, 1.0], [0.6, 0.2], []),
        "scatter": plots.learned_against_env([1.0, 2.0, 3.0], [2.0, 4.0, 6.0]),
    }


def test_measured_keeps_the_rows_where_both_are_finite() -> None:
    x, y = plots.measured(STEPS, RETURNS)
    np.testing.assert_array_equal(x, [0, 2000])
    np.testing.assert_array_equal(y, [-10, 5])
    assert [len(column) for column in plots.measured([1.0, 2.0], [])] == [0, 0]


def test_every_plot_is_well_formed_and_names_its_axes() -> None:
    names = {
        "steps": ("Env return while learning", "agent steps", "env return"),
        "labels": ("Env return by answers given", "labels", "env return"),
        "accuracy": ("Answers predicted", "agent steps", "accuracy (%)"),
        "loss": ("Reward model loss", "agent steps", "loss (nats per label)"),
        "scatter": ("Learned against env return", "env return", "learned return"),
    }
    for key, svg in all_plots().items():
        assert set(names[key]) <= set(texts(svg)), key
        assert svg.count("<title>") == 1


def test_baselines_stand_in_the_key_only_if_known() -> None:
    both = all_plots()["steps"]
    assert {"acting at random", "trained on the score", "evaluation"} <= set(texts(both))
    assert "stroke-dasharray" in both
    neither = plots.env_return_over_steps(STEPS, RETURNS)
    assert not {"acting at random", "trained on the score"} & set(texts(neither))


def test_a_dot_for_each_measured_evaluation() -> None:
    svg = plots.env_return_over_steps([1.0, 2.0, 3.0], [1.0, None, 3.0])
    line = re.findall(r'<path d="(M [^"]*)" clip-path[^>]*stroke: var\(--blue', svg)
    assert [len(re.findall("[ML]", path)) for path in line] == [2]


def test_accuracy_is_drawn_in_percent() -> None:
    assert {"60", "80", "100"} <= set(texts(all_plots()["accuracy"]))


@pytest.mark.parametrize(
    ("learned", "env", "r"),
    [
        ([1.0, 2.0, 3.0], [2.0, 4.0, 6.0], 1.0),
        ([3.0, 2.0, 1.0], [2.0, 4.0, 6.0], -1.0),
        ([1.0, 2.0, 3.0, 4.0], [1.0, 3.0, 2.0, 4.0], 0.8),
        ([1.0, 1.0, 1.0], [1.0, 2.0, 3.0], None),
        ([1.0], [1.0], None),
    ],
)
def test_correlation(learned: list[float], env: list[float], r: float | None) -> None:
    assert plots.correlation(learned, env) == (r if r is None else pytest.approx(r))


def test_scatter_says_its_correlation() -> None:
    assert "correlation r = 1.00, n = 3" in texts(all_plots()["scatter"])
    flat = plots.learned_against_env([1.0, 1.0], [2.0, 4.0])
    assert "correlation not defined, n = 2" in texts(flat)


def test_same_data_same_bytes_and_no_id_twice_on_a_page() -> None:
    first, second = all_plots(), all_plots()
    assert first == second
    ids = re.findall(r'\bid="([^"]*)"', "".join(first.values()))
    assert len(ids) > 50
    assert len(ids) == len(set(ids))
    for svg in first.values():
        own = set(re.findall(r'\bid="([^"]*)"', svg))
        assert set(re.findall(r'(?:url\(|href=")#([^")]*)', svg)) <= own


def test_colours_follow_the_page() -> None:
    for svg in all_plots().values():
        left_over = re.sub(r"var\(--\w+, #\w+\)", "", svg)
        assert re.findall(r"#[0-9a-f]{6}\b", left_over) == []
        assert "<style" not in svg


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (-0.25, "−0.25"), (1200, "1200"), (200_000, "200k"), (1.5e6, "1.5M"), (-3e9, "−3G")],
)
def test_ticks_are_short(value: float, text: str) -> None:
    assert plot_style.short(value) == text


def test_nothing_measured_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one measured point"):
        plots.env_return_over_labels([1.0, 2.0], [None, None])
    with pytest.raises(ValueError, match=r"got \(2,\) learned and \(3,\) env"):
        plots.learned_against_env([1.0, 2.0], [1.0, 2.0, 3.0])


def test_no_settings_are_changed_and_pyplot_is_left_alone() -> None:
    code = (
        "import sys, matplotlib; from prefrl import plots; before = matplotlib.rcParams.copy();"
        "plots.reward_model_loss([0.0, 1.0], [0.1, 0.2], []);"
        "print(matplotlib.rcParams.copy() == before, 'matplotlib.pyplot' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert ran.stdout.split() == ["True", "False"]


def test_missing_matplotlib_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UserError, match=r"pip install 'prefrl\[plots\]'"):
        plots.reward_model_loss([0.0], [0.1], [0.2])
