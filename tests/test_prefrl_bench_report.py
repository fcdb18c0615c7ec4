"""A benchmark's report: the same bytes for the same runs, plots that are well-formed and say what they show."""

from __future__ import annotations

import csv
import re
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from bench_rows import row, small_suite

from prefrl.bench_plots import common_curve, draw_plots, intervals, label_efficiency, learning_curves, profile
from prefrl.bench_report import write_report
from prefrl.bench_table import make_table
from prefrl.errors import UserError
from prefrl.outcome import Row

pytest.importorskip("matplotlib")

COMMAND = "prefrl bench runs/small.toml --jobs 2"


def report(folder: Path, rows: list[Row], **kwargs: tuple[str, ...]) -> dict[str, bytes]:
    paths = write_report(folder, "Small suite", rows, COMMAND, **kwargs)
    found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
    assert sorted(found) == sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    return found


def texts(svg: str) -> list[str]:
    root = ElementTree.fromstring(svg)  # noqa: S314  # our own file
    return ["".join(text.itertext()) for text in root.iter("{http://www.w3.org/2000/svg}text")]


def fixed_labels() -> list[Row]:
    """Of the small suite what has 100 labels, and a second strategy."""
    rows = [r for r in small_suite() if r.labels != 50]
    return rows + [row("B-v5", seed, 4.0 + seed, 100, strategy="far") for seed in (0, 1)]


def test_only_the_times_hang_on_the_clock_and_nothing_on_the_order(tmp_path: Path) -> None:
    rows = small_suite()
    first = report(tmp_path / "a", rows)
    slower = [replace(r, outcome=replace(r.outcome, seconds={"total": 7.0 + i})) for i, r in enumerate(rows)]
    second = report(tmp_path / "b", slower[::-1])
    assert set(first) == set(second)
    assert {name for name in first if first[name] != second[name]} == {"timing.md", "timing.csv"}


def test_an_interrupted_benchmark_ends_with_the_same_folder(tmp_path: Path) -> None:
    rows = small_suite()
    report(tmp_path / "a", [r for r in rows if r.labels != 50])
    assert (tmp_path / "a/plots/intervals.svg").is_file()
    (tmp_path / "a/plots/notes.txt").write_text("somebody's own")
    write_report(tmp_path / "a", "Small suite", rows, COMMAND)
    assert (tmp_path / "a/plots/notes.txt").read_text() == "somebody's own"
    (tmp_path / "a/plots/notes.txt").unlink()
    assert report(tmp_path / "a", rows) == report(tmp_path / "b", rows)
    assert not (tmp_path / "a/plots/intervals.svg").exists()


def test_the_page_says_what_was_run_and_with_which_command(tmp_path: Path) -> None:
    page = report(tmp_path, small_suite(), notes=("One cell <failed>.",))["table.md"].decode()
    assert page.startswith("# Small suite\n\nOne cell &lt;failed&gt;.\n\n12 runs, 10,000 steps each")
    assert "teacher oracle, strategy uniform." in page
    assert f"```sh\n{COMMAND}\n```" in page
    assert page.count("prefrl train --env-id A-v5 --seed 1 --total-labels 50\n") == 1
    assert page.count("prefrl train ") == 12
    assert "Versions: python 3.11.7, torch 2.13.0." in page
    embedded = re.findall(r"!\[[^\]]+\]\((\S+)\)", page)
    assert embedded == ["plots/labels.svg", "plots/profile.svg", "plots/curve-a-v5.svg", "plots/curve-b-v5.svg"]
    linked = re.findall(r"\]\(([^)]+)\)", page)
    assert all((tmp_path / path).is_file() for path in linked)
    assert page.count("<details>") == page.count("</details>") == 2


def test_what_differs_between_runs_is_said(tmp_path: Path) -> None:
    rows = [row("A-v5", 0, 100.0), row("A-v5", 1, 120.0, versions={"python": "3.12.0"})]
    rows += [row("A-v5", 0, 50.0, 50, given=48), row("A-v5", 2, 50.0, 50)]
    page = report(tmp_path, rows)["table.md"].decode()
    assert "- A-v5, seed 0, preferences: 48\n" in page
    assert "- 1 run: python 3.12.0" in page
    assert "Not normalised:\n\n- A-v5: no score-trained run of seed 2\n" in page


def test_a_command_cannot_end_its_block(tmp_path: Path) -> None:
    write_report(tmp_path, "t", small_suite(), "prefrl bench '```'\n# not a heading")
    assert "````sh\nprefrl bench '```' # not a heading\n````" in (tmp_path / "table.md").read_text()


def test_times_are_held_against_the_same_task_and_seed(tmp_path: Path) -> None:
    rows = [row("A-v5", 0, 100.0, seconds=100.0), row("A-v5", 1, 100.0, seconds=50.0)]
    rows += [row("A-v5", 0, 50.0, 50, seconds=120.0), row("A-v5", 1, 50.0, 50, seconds=55.0)]
    rows += [row("A-v5", 2, 50.0, 50, seconds=80.0)]
    files = report(tmp_path, rows)
    page = files["timing.md"].decode()
    assert "disturb each other" in page
    assert "| preferences | A-v5 | 3 | 80 (55 to 120) | 125 (83 to 182) | 1.15 (1.10 to 1.20) |" in page
    assert "| score | A-v5 | 2 | 75 (50 to 100) | 150 (100 to 200) | – |" in page
    lines = list(csv.DictReader(files["timing.csv"].decode().splitlines()))
    own = [(line["seed"], line["seconds_over_score"]) for line in lines if line["reward"] == "preferences"]
    assert own == [("0", "1.2"), ("1", "1.1"), ("2", "")]
    assert lines[0]["seconds_collect"] == "50.0"


def test_every_plot_is_well_formed_and_says_what_it_shows() -> None:
    plots = {plot.name: texts(plot.svg) for plot in draw_plots(make_table(small_suite()))}
    assert {"Env return by number of labels", "50", "100", "n = 2 seeds of 2 tasks"} <= set(plots["labels.svg"])
    assert {"score", "50 labels", "100 labels"} <= set(plots["profile.svg"])
    assert {"A-v5", "acting at random", "score", "n = 2 seeds"} <= set(plots["curve-a-v5.svg"])
    compared = intervals(make_table(fixed_labels()))
    assert compared is not None
    assert {"score", "far", "uniform", "n = 2 seeds of 2 tasks, 100 labels"} <= set(texts(compared))


def test_plots_stand_where_they_have_data_only() -> None:
    labels, fixed = make_table(small_suite()), make_table(fixed_labels())
    assert intervals(labels) is None
    assert label_efficiency(fixed) is None
    unscaled = make_table([r for r in small_suite() if r.labels])
    assert [plot.name for plot in draw_plots(unscaled)] == ["curve-a-v5.svg", "curve-b-v5.svg"]
    bare = [replace(r, outcome=replace(r.outcome, curve_steps=(), curve_returns=())) for r in small_suite()]
    assert learning_curves(make_table(bare), "A-v5") is None
    assert profile(make_table([r for r in small_suite() if not r.labels])) is None


def test_too_many_settings_are_cut_to_the_most_labels_and_that_is_said() -> None:
    strategies, labels = ("a", "b", "c"), (10, 20, 40)
    rows = [row("A-v5", 0, 100.0)]
    rows += [row("A-v5", 0, 1.0 * n, n, strategy=strategy) for strategy in strategies for n in labels]
    plots = {plot.name: plot for plot in draw_plots(make_table(rows))}
    assert plots["profile.svg"].shows.endswith("of each setting only the most labels")
    shown = texts(plots["profile.svg"].svg)
    assert {"score", "a", "b", "c", "n = 1 seed of 1 task, 40 labels"} <= set(shown)
    assert {"10", "20", "40"} <= set(texts(plots["labels.svg"].svg))


def test_names_that_mean_something_to_matplotlib_are_drawn_as_they_are() -> None:
    rows = [row("$x$-v5", 0, 10.0), row("$x$-v5", 0, 5.0, 50, variant="_$\\frac$"), row("$x$-v5", 0, 5.0, 50)]
    plots = {plot.name: texts(plot.svg) for plot in draw_plots(make_table(rows))}
    assert "$x$-v5" in plots["curve-x-v5.svg"]
    assert "\u200a_$\\frac$" in plots["curve-x-v5.svg"]


def test_tasks_of_like_names_do_not_share_a_file() -> None:
    rows = [row(name, 0, 10.0) for name in ("ALE/Pong-v5", "ale-pong-v5")]
    assert [plot.name for plot in draw_plots(make_table(rows))] == ["curve-ale-pong-v5.svg", "curve-ale-pong-v5-2.svg"]


def test_curves_of_several_seeds_meet_at_the_same_steps() -> None:
    table = make_table([row("A-v5", seed, 100.0) for seed in (0, 1000)])
    steps, returns = common_curve(table.runs)
    assert (steps[0], steps[-1], returns.shape) == (0, 10_000, (2, len(steps)))
    middle = np.interp(5_000, steps, returns[0]), np.interp(5_000, steps, returns[1])
    assert middle == (pytest.approx(50, abs=0.5), pytest.approx(50 * 5 / 6, abs=0.5))


def test_missing_matplotlib_names_the_extra_and_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UserError, match=r"pip install 'prefrl\[plots\]'"):
        write_report(tmp_path / "out", "t", small_suite(), COMMAND)
    assert not (tmp_path / "out").exists()
