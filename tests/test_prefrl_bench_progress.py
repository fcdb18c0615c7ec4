"""What a benchmark says of itself while it trains: what is left, by figures that can be computed by hand."""

import io
from pathlib import Path
from types import SimpleNamespace

import pytest
from bench_rows import row
from rich.console import Console

from prefrl.bench_cost import Costs
from prefrl.bench_jobs import Ended
from prefrl.bench_progress import BenchView, duration
from prefrl.cell import Cell
from prefrl.flags import default_config

DOT = "prefrl/Dot-v0"


def cell(seed: int = 0, reward: str = "preferences", env_id: str = DOT) -> Cell:
    names = ("oracle", "uniform") if reward == "preferences" else ("", "")
    config = default_config(env_id, seed=seed, reward=reward, total_labels=20, total_timesteps=6000, device="cpu")
    return Cell(config, "", *names)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"), (40.4, "40 s"), (59.4, "59 s"), (59.6, "1 min"), (60, "1 min"), (91, "2 min"), (3569, "59 min"),
        (3571, "1 h 00 min"), (11_100, "3 h 05 min"), (360_000, "100 h 00 min"),
    ],
)  # fmt: skip
def test_durations_are_in_the_words_people_use(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_costs_are_guessed_by_the_kind_of_world_until_one_like_it_is_done() -> None:
    costs = Costs([])
    assert costs.of(cell()) == pytest.approx(10 + 6000 / 1500)
    assert costs.of(cell(env_id="HalfCheetah-v5")) == pytest.approx(10 + 6000 / 2500)
    assert costs.of(cell(env_id="ALE/Pong-v5")) == pytest.approx(10 + 6000 / 700)
    assert not costs.is_measured(cell())


def test_costs_come_from_runs_of_the_same_world_and_kind() -> None:
    on_score = row(DOT, 0, 1.0, seconds=100.0).outcome  # 10,000 steps at 100 a second
    taught = row(DOT, 0, 1.0, 20, seconds=50.0).outcome  # at 200 a second
    costs = Costs([on_score])
    assert costs.of(cell()) == pytest.approx(10 + 6000 / 100)  # for want of better
    costs.add(taught)
    assert costs.of(cell()) == pytest.approx(10 + 6000 / 200)
    assert costs.of(cell(reward="score")) == pytest.approx(10 + 6000 / 100)
    costs.add(row(DOT, 1, 1.0, 20, seconds=100.0).outcome)
    assert costs.of(cell()) == pytest.approx(10 + 6000 / 150)  # the median of 200 and 100
    assert costs.is_measured(cell())
    assert not costs.is_measured(cell(env_id="HalfCheetah-v5"))
    assert costs.of(cell(env_id="HalfCheetah-v5")) == pytest.approx(10 + 6000 / 2500)


def test_a_line_for_each_cell_that_ends_says_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr("prefrl.bench_progress.time", SimpleNamespace(monotonic=lambda: now[0]))
    cells, said = [cell(0), cell(1), cell(2)], io.StringIO()
    console = Console(file=said, width=40)
    with BenchView(cells, Costs([]), 1, console) as view:
        now[0] += 120  # 10,000 steps took 100 s, so 6,000 are thought to take 70, but took 120 with what is beside them
        view.ended(Ended(cells[0], 1, "", Path("log.txt")), row(DOT, 0, 1234.56, 20, seconds=100.0 / 0.6).outcome)
        now[0] += 20
        view.ended(Ended(cells[1], 2, "a / [b]", Path("log.txt")), None)
        now[0] += 20
        view.ended(Ended(cells[2], 2, "", Path("log.txt")), row(DOT, 2, -3.0, 20).outcome)
    keys = [c.key for c in cells]
    name = f"{DOT}, 20 labels, oracle, uniform, seed"
    assert said.getvalue().splitlines() == [
        # 6,000 steps at 60 a second, and 10 s: 110 s. The one that is done took 120: two more will take 240.
        f"1/3  {keys[0]}  {name} 0: env return 1,234.6; 4 min left",
        # Two of 110 s ended in 140: one more will take 70.
        f"2/3  {keys[1]}  {name} 1: FAILED after 2 tries: a / [b] (all of it: log.txt); 1 min left",
        f"3/3  {keys[2]}  {name} 2: env return -3.0, at try 2",
    ]


def test_jobs_share_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("prefrl.bench_progress.time", SimpleNamespace(monotonic=lambda: now[0]))
    cells, said = [cell(seed) for seed in range(6)], io.StringIO()
    with BenchView(cells, Costs([]), 2, Console(file=said)) as view:
        for seed in (0, 1):
            now[0] = 20.0  # both at once; 10 s and 6,000 steps at 600 a second
            view.ended(Ended(cells[seed], 1, "", Path("x")), row(DOT, seed, 1.0, 20, seconds=10_000 / 600).outcome)
    assert said.getvalue().splitlines()[1].endswith("; 40 s left")


def test_on_a_terminal_there_is_a_bar() -> None:
    said = io.StringIO()
    console = Console(file=said, force_terminal=True, width=80)
    with BenchView([cell()], Costs([]), 1, console) as view:
        view.ended(Ended(cell(), 1, "", Path("x")), row(DOT, 0, 1.0, 20).outcome)
    assert "1/1 cells" in said.getvalue()
