"""Label schedules against their integrals."""

import math

import pytest

from prefrl.schedules import SCHEDULES, constant, hyperbolic, labels_due


def test_constant_asks_evenly_and_stops_at_the_window() -> None:
    assert [constant(s, 400.0, 1.0) for s in (0, 100, 400, 900)] == [0.0, 0.25, 1.0, 1.0]


def test_hyperbolic_is_the_integral_of_the_papers_rate() -> None:
    # c / (t + c), integrated numerically from 0 to 1e6 and over the whole window of 4e6, for c = 2e6.
    c, window = 2e6, 4e6
    grid = [(i + 0.5) * 1e3 for i in range(4000)]
    area = sum(c / (t + c) for t in grid)
    part = sum(c / (t + c) for t in grid if t < 1e6)
    assert hyperbolic(1e6, window, c) == pytest.approx(part / area, rel=1e-6)
    assert hyperbolic(window, window, c) == 1.0
    assert hyperbolic(9 * window, window, c) == 1.0


def test_hyperbolic_falls_by_the_papers_factor() -> None:
    # At 2e6 steps the rate is half of what it was at 0; imitation's curve is another one.
    early = hyperbolic(1.0, 1e8, 2e6)
    late = hyperbolic(2e6 + 1, 1e8, 2e6) - hyperbolic(2e6, 1e8, 2e6)
    assert late / early == pytest.approx(0.5, rel=1e-3)


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_gives_the_first_batch_then_everything_and_never_takes_back(name: str) -> None:
    due = [
        labels_due(
            SCHEDULES[name],
            steps,
            total_labels=700,
            initial_labels=175,
            window_steps=120_000.0,
            hyperbolic_steps=2e6,
        )
        for steps in range(0, 200_000, 1000)
    ]
    assert due[0] == 175
    assert due[120] == 700
    assert due[-1] == 700
    assert due == sorted(due)


def test_a_window_of_nothing_asks_everything_at_once() -> None:
    due = labels_due(constant, 0, total_labels=9, initial_labels=2, window_steps=0.0, hyperbolic_steps=math.inf)
    assert due == 9
