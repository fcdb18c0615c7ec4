"""The judge of fits on frames: what it holds out, what it says of frames that are easy to tell apart, its lines."""

from pathlib import Path

import numpy as np
import pytest
from gymnasium import spaces

import prefrl
from prefrl import configfile
from prefrl.errors import UserError
from prefrl.fit_data import Answered
from prefrl.reward_model import Inputs
from prefrl.rundir import RunDir
from runs import fits_frames
from runs.fits_frames import Setting, Verdict, judge, part_of, row

N, T, SIDE = 60, 3, 36


def answered(*, is_true: bool) -> Answered:
    """Pairs of clips, one bright and one dark; the bright one is liked, or either by chance."""
    rng = np.random.default_rng(0)
    is_left = rng.integers(2, size=N).astype(bool)
    obs = np.full((N, 2, T, SIDE, SIDE), 20, np.uint8)
    obs[np.arange(N), np.where(is_left, 0, 1)] = 200
    liked = is_left if is_true else rng.permutation(is_left)
    return Answered(
        obs=obs,
        actions=np.zeros((N, 2, T), np.int64),
        rows=np.arange(N),
        prob_left=liked.astype(np.float32),
        label_ids=[f"a:{i}" for i in range(N)],
    )


def test_answers_that_frames_explain_are_predicted_and_others_are_not() -> None:
    inputs = Inputs.of(spaces.Box(0, 255, (1, SIDE, SIDE), np.uint8), spaces.Discrete(2), 1)
    config = Setting(dropout=0.0, learning_rate=3e-3, n_steps=30).config()
    assert [v.accuracy for v in judge(answered(is_true=True), inputs, config)] == [1.0] * 4
    by_chance = [v.accuracy for v in judge(answered(is_true=False), inputs, config)]
    assert 0.2 < np.mean(by_chance) < 0.8


def test_a_part_keeps_clips_and_answers_together() -> None:
    whole = answered(is_true=True)
    part = part_of(whole, np.array([7, 3]))
    assert part.rows.tolist() == [7, 3]
    assert part.label_ids == ["a:7", "a:3"]
    assert part.prob_left.tolist() == whole.prob_left[[7, 3]].tolist()


def test_a_row_has_means_over_the_parts_and_the_accuracys_standard_error() -> None:
    verdicts = [Verdict(0.8, 0.5), Verdict(0.9, 0.4), Verdict(0.8, 0.5), Verdict(0.9, 0.6)]
    # The deviation of 0.8, 0.9, 0.8, 0.9 is 0.0577, over the root of 4.
    assert row(Setting(0.2, 5e-4, 80), verdicts) == "| 0.2 | 0.0005 | 80 | 0.850 ± 0.029 | 0.500 |"


def test_what_is_no_run_on_frames_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["fits_frames", str(tmp_path)])
    with pytest.raises(UserError, match="expected the folder of a run"):
        fits_frames.main()
    run = RunDir(tmp_path)
    run.config.write_text(configfile.dump(prefrl.default_config("prefrl/Dot-v0", device="cpu")))
    with pytest.raises(UserError, match=r"expected a run on frames, got prefrl/Dot-v0; runs/fits\.py"):
        fits_frames.main()
