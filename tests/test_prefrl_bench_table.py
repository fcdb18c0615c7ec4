"""The table of a benchmark: figures by hand, exact Markdown, what is missing is said."""

from __future__ import annotations

import csv
import io
import random
from dataclasses import replace

import pytest
from bench_rows import row, small_suite

from prefrl.bench_csv import aggregates_csv, csv_text, results_csv
from prefrl.bench_table import Group, Table, make_table, setting_name
from prefrl.bench_text import aggregate_grid, latex, latex_text, markdown, markdown_text, reading, runs_grid
from prefrl.errors import UserError

MARKDOWN = """\
| trained on | labels | seeds | A-v5 | B-v5 | IQM [95% interval] | better than score | held-out accuracy |
| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |
| score | – | 2 | 300 ± 141 (1.00) | 10.0 ± 1.4 (1.00) | 1.00 [0.82, 1.18] | – | – |
| preferences | 50 | 2 | 100 ± 71 (0.50) | 5.5 ± 0.7 (0.55) | 0.55 [0.44, 0.61] | 0.00 | 0.76 |
| preferences | 100 | 2 | 400 ± 141 (1.25) | 9.0 ± 1.4 (0.90) | 1.00 [0.90, 1.25] | 0.50 | 0.76 |
"""

LATEX = r"""\begin{tabular}{llrrr}
\toprule
trained on & labels & seeds & A\_v5 & IQM \\
\midrule
score & -- & 2 & $-$300 $\pm$ 141 & 1.00 \\
\bottomrule
\end{tabular}
"""


def group(table: Table, labels: int) -> Group:
    return next(g for g in table.groups if g.setting.labels == labels)


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_returns_are_put_on_the_scale_of_the_same_seeds() -> None:
    table = make_table(small_suite())
    assert [run.normalized for run in group(table, 100).of("A-v5")] == [1.0, 1.5]
    assert [run.normalized for run in group(table, 50).of("B-v5")] == [0.5, 0.6]
    overall = group(table, 50).overall  # of 0.375, 0.625, 0.5, 0.6
    assert overall.iqm == pytest.approx(0.55)
    assert (overall.n_runs, overall.n_normalized, overall.seeds) == (4, 4, (0, 1))
    assert (overall.mean, overall.std) == (None, None)
    assert overall.val_accuracy == pytest.approx(0.755)
    assert group(table, 100).overall.better_than_score == (3 / 4 + 1 / 4) / 2  # pairs won of four, by task
    assert table.not_normalized == ()


def test_the_table_in_markdown() -> None:
    assert markdown(aggregate_grid(make_table(small_suite()))) == MARKDOWN


def test_the_order_of_the_rows_does_not_matter() -> None:
    rows = small_suite()
    expected = make_table(rows)
    for seed in range(5):
        random.Random(seed).shuffle(rows)  # noqa: S311  # no secret
        assert make_table(rows) == expected


def test_only_columns_that_vary_stand_in_the_table() -> None:
    rows = small_suite()
    assert make_table(rows).varying() == ("reward", "labels")
    assert make_table([r for r in rows if r.labels]).varying() == ("labels",)
    assert make_table([r for r in rows if r.labels != 50]).varying() == ("reward",)
    other = [*rows, row("A-v5", 0, 1.0, 50, teacher="mistake"), row("A-v5", 0, 1.0, 50, variant="big", strategy="far")]
    varying = make_table(other).varying()
    assert varying == ("reward", "variant", "teacher", "strategy", "labels")
    names = [setting_name(g.setting, varying) for g in make_table(other).groups]
    assert names == [
        "score",
        "no variant, mistake, uniform, 50 labels",
        "no variant, oracle, uniform, 50 labels",
        "no variant, oracle, uniform, 100 labels",
        "big, oracle, far, 50 labels",
    ]


def test_unequal_seeds_are_counted_and_scaled_by_their_own() -> None:
    rows = [row("A-v5", seed, 100.0 * (seed + 1)) for seed in range(3)]
    rows += [row("A-v5", seed, 100.0, 50) for seed in range(2)]
    rows += [row("B-v5", seed, 10.0) for seed in range(3)] + [row("B-v5", seed, 5.0 + seed, 50) for seed in range(3)]
    table = make_table(rows)
    # The score's mean over seeds 0 and 1 is 150, over all three 200.
    assert [run.normalized for run in group(table, 50).of("A-v5")] == [pytest.approx(2 / 3)] * 2
    text = markdown(aggregate_grid(table))
    assert "| preferences | 2 to 3 | 100 ± 0 (0.67), n = 2 | 6.0 ± 1.0 (0.60), n = 3 |" in text
    assert "| score | 3 | 200 ± 100 (1.00) |" in text
    assert any(line.startswith("With 2 seeds a task") for line in reading(table))


def test_a_seed_without_a_score_trained_run_is_left_out_of_the_scale_and_said() -> None:
    rows = [row("A-v5", 0, 100.0), row("A-v5", 0, 50.0, 50), row("A-v5", 1, 90.0, 50), row("A-v5", 0, 60.0, 70)]
    table = make_table(rows)
    assert [run.normalized for run in group(table, 50).runs] == [0.5, None]
    assert table.not_normalized == ("A-v5: no score-trained run of seed 1 (50 labels)",)
    assert "| 70 ± 28 (0.50) | 0.50 (1 of 2 runs) |" in markdown(aggregate_grid(table))


def test_without_a_baseline_the_returns_stand_alone() -> None:
    table = make_table([r for r in small_suite() if r.labels or r.env_id == "B-v5"])
    assert table.not_normalized == ("A-v5: no score-trained run of the same PPO and seeds",)
    assert "| 100 ± 71 | 5.5 ± 0.7 (0.55) | 0.55 [0.50, 0.60] (2 of 4 runs) | 0.00 |" in markdown(aggregate_grid(table))
    bare = make_table([r for r in small_suite() if r.labels])
    assert "| 50 | 2 | 100 ± 71 | 5.50 ± 0.71 | – | – | 0.76 |" in markdown(aggregate_grid(bare))


def test_a_score_that_taught_nothing_is_no_scale() -> None:
    table = make_table([row("A-v5", 0, -5.0, random_return=1.0), row("A-v5", 0, 4.0, 50, random_return=1.0)])
    expected = "A-v5: training on the score (-5) did no better than acting at random (1)"
    assert table.not_normalized == (expected,)
    assert group(table, 50).overall.iqm is None


def test_a_variant_is_held_against_its_own_baseline_else_the_plain_one() -> None:
    rows = [row("A-v5", 0, 100.0), row("A-v5", 0, 200.0, variant="long"), row("A-v5", 0, 100.0, 50, variant="long")]
    rows += [row("A-v5", 0, 100.0, 50, variant="wide"), row("B-v5", 0, 40.0, variant="wide"), row("B-v5", 0, 10.0, 50)]
    runs = [run for run in make_table(rows).runs if run.setting.is_preferences]
    found = {(run.row.env_id, run.setting.variant): run.normalized for run in runs}
    assert found == {("A-v5", "long"): 0.5, ("A-v5", "wide"): 1.0, ("B-v5", ""): 0.25}


def test_variants_with_the_same_ppo_are_held_against_the_one_run_that_it_has_on_the_score() -> None:
    fast = row("A-v5", 0, 200.0, variant="a")
    rows = [row("A-v5", 0, 50.0), fast, row("A-v5", 0, 50.0, 20)]
    rows += [replace(row("A-v5", 0, 50.0, 20, variant=v), score_cell=fast.outcome.cell) for v in ("a", "b")]
    table = make_table(rows)
    runs = {run.setting.variant: run for run in table.runs if run.setting.is_preferences}
    assert {variant: run.normalized for variant, run in runs.items()} == {"": 1.0, "a": 0.25, "b": 0.25}
    assert runs["b"].baseline is fast
    assert len(table.runs) == len(rows)
    apart = make_table([r for r in rows if r is not fast])  # not trained yet: the plain one is another PPO
    assert {run.setting.variant: run.normalized for run in apart.runs} == {"": 1.0, "a": None, "b": None}
    assert any("no score-trained run of the same PPO and seeds" in line for line in apart.not_normalized)


def test_a_mean_over_some_of_the_tasks_says_so() -> None:
    rows = [row(task, 0, 100.0) for task in ("A-v5", "B-v5")] + [row("A-v5", 0, 50.0, 20, variant="new")]
    rows += [row(task, 0, 60.0, 20) for task in ("A-v5", "B-v5")]
    lines = [line for line in markdown(aggregate_grid(make_table(rows))).splitlines() if "preferences" in line]
    assert "| 1 | 60 (0.60) | 60 (0.60) | 0.60 |" in lines[0]
    assert "| 0 to 1 | 50 (0.50) | – | 0.50 (1 of 2 tasks) |" in lines[1]


def test_one_seed_has_neither_spread_nor_interval() -> None:
    table = make_table([row("A-v5", 0, 100.0), row("A-v5", 0, 50.0, 50)])
    assert "| preferences | 1 | 50 (0.50) | 0.50 | 0.00 | 0.75 |" in markdown(aggregate_grid(table))
    assert any("single seed" in line for line in reading(table))


def test_the_same_run_twice_is_one_and_two_different_ones_are_an_error() -> None:
    rows = small_suite()
    assert make_table(rows + rows) == make_table(rows)
    other = row("A-v5", 0, 1.0, 50, variant="b")
    clash = row("A-v5", 0, 1.0, 50)
    object.__setattr__(clash.outcome, "cell", other.outcome.cell)
    with pytest.raises(UserError, match="one run of A-v5, seed 0, no variant, oracle, uniform, 50 labels, got"):
        make_table([*rows, clash])
    with pytest.raises(UserError, match="at least one finished run"):
        make_table([])


def test_every_run_stands_in_the_second_table() -> None:
    text = markdown(runs_grid(make_table(small_suite())))
    assert text.count("\n") == 2 + 12
    assert "| preferences | 50 | B-v5 | 1 | 6.0 | ± 2.0 | 0.60 | 0.76 | 50 |\n" in text
    assert "| score | – | A-v5 | 0 | 200 | ± 2 | 0.75 | – | – |\n" in text


def test_results_csv_holds_every_figure_but_the_clocks() -> None:
    table = make_table(small_suite())
    lines = read(results_csv(table))
    assert len(lines) == 12
    assert lines[0]["reward"] == "score"
    found = next(line for line in lines if line["labels"] == "50" and line["env_id"] == "A-v5" and line["seed"] == "1")
    assert float(found["env_return"]) == 150.0
    assert float(found["random_return"]) == -100.0  # a number, not text
    assert float(found["normalized_return"]) == 0.625
    assert found["command"] == "prefrl train --env-id A-v5 --seed 1 --total-labels 50"
    assert found["versions"] == "python 3.11.7, torch 2.13.0"
    assert not any("second" in column for column in found)


def test_aggregates_csv_holds_tasks_and_all() -> None:
    lines = read(aggregates_csv(make_table(small_suite())))
    assert [line["task"] for line in lines] == ["", "A-v5", "B-v5"] * 3
    assert (lines[3]["iqm"], lines[3]["mean"], lines[3]["n_runs"], lines[3]["seeds"]) == ("0.55", "", "4", "0 1")
    assert (lines[4]["mean"], lines[4]["std"], lines[4]["normalized_mean"]) == ("100.0", "70.710678", "0.5")


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1"])
def test_no_text_is_a_formula(name: str) -> None:
    assert read(csv_text(["a", "b"], [[name, -1.5]])) == [{"a": f"'{name}", "b": "-1.5"}]
    table = make_table([row("A-v5", 0, -3.0, 50, teacher=name)])
    assert read(results_csv(table))[0]["teacher"] == f"'{name}"
    assert read(aggregates_csv(table))[0]["teacher"] == f"'{name}"


def test_latex() -> None:
    grid = aggregate_grid(make_table(small_suite()))
    assert latex(grid).splitlines()[2].endswith(r"IQM [95\% interval] & better than score & held-out accuracy \\")
    small = type(grid)(
        ("trained on", "labels", "seeds", "A_v5", "IQM"), (("score", "–", "2", "-300 ± 141", "1.00"),), 2
    )
    assert latex(small) == LATEX


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"a_b \x & 5% {y}", r"a\_b \textbackslash{}x \& 5\% \{y\}"),
        ("[2mm] x", "{}[2mm] x"),
        ("-289 ± 3", r"$-$289 $\pm$ 3"),
        ("HalfCheetah-v5", "HalfCheetah-v5"),
    ],
)
def test_names_are_only_ever_text_in_latex_too(text: str, expected: str) -> None:
    assert latex_text(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a|b", r"a\|b"),
        ("<script>&", "&lt;script&gt;&amp;"),
        ("[x](javascript:0)", r"[x]\(javascript:0)"),
        ("no_ties", "no_ties"),
        ("_x_ *y* `z`", r"\_x\_ \*y\* \`z\`"),
        ("a\nb", "a b"),
        ("# big", r"\# big"),
        ("-289 ± 3", "-289 ± 3"),
        ('it\'s "so"', 'it\'s "so"'),
    ],
)
def test_names_are_only_ever_text(text: str, expected: str) -> None:
    assert markdown_text(text) == expected
