"""The judge of fits: windows, correlations and pairs by hand, and a fit that has learned a reward it is shown."""

from typing import Any

import numpy as np
import pytest

from prefrl.config import RewardModelConfig
from prefrl.errors import UserError
from prefrl.fit_data import Answered
from runs import fits
from runs.fits import Behaviour, Verdict, judge, row, windows


def test_windows_are_whole_and_do_not_overlap() -> None:
    rewards = np.stack([np.arange(60), np.ones(60)])
    assert windows(rewards).tolist() == [sum(range(25)), sum(range(25, 50)), 25.0, 25.0]


def test_a_fit_is_judged_by_what_it_makes_of_others() -> None:
    rng = np.random.default_rng(0)

    def behaviour(mean: float, sign: float) -> Behaviour:
        obs = rng.normal(mean, 1.0, (2, 100, 3)).astype(np.float32)
        return Behaviour(obs, np.zeros((2, 100, 1), np.float32), windows(sign * obs[..., 0]))

    obs = rng.normal(0.0, 1.0, (200, 2, 10, 3)).astype(np.float32)
    returns = obs[..., 0].sum(axis=-1)
    answered = Answered(
        obs=obs,
        actions=np.zeros((200, 2, 10, 1), np.float32),
        rows=np.arange(200),
        prob_left=(returns[:, 0] > returns[:, 1]).astype(np.float32),
        label_ids=[f"a:{i}" for i in range(200)],
    )
    config = RewardModelConfig(initial_epochs=60)
    means = [-1.0, -0.5, 0.5, 1.0]
    good = judge(answered, config, [behaviour(mean, 1.0) for mean in means])
    assert good.within > 0.9
    assert good.between > 0.99
    assert good.accuracy > 0.85
    turned_round = judge(answered, config, [behaviour(mean, -1.0) for mean in means])
    assert turned_round.within < -0.9
    assert turned_round.between < -0.99
    assert turned_round.accuracy < 0.15


def test_a_row_has_its_gain_over_the_first_on_the_same_labels() -> None:
    base = [Verdict(0.5, 0.2, 0.6), Verdict(0.7, 0.4, 0.8)]
    better = [Verdict(0.6, 0.3, 0.7), Verdict(0.9, 0.5, 0.9)]
    assert row("first", base, base) == "| first | 0.600 | 0.300 | 0.700 |  |"
    # Gains of 0.1 and 0.2: their mean, and their deviation 0.0707 over the root of 2.
    assert row("more", better, base) == "| more | 0.750 | 0.400 | 0.800 | +0.150 ± 0.050 |"


def test_without_trained_cells_it_says_what_to_do(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["fits", "--cells", str(tmp_path)])
    with pytest.raises(UserError, match=r"expected trained cells of runs/queries\.toml .* prefrl bench"):
        fits.main()
