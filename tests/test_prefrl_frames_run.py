"""Whole runs on frames: a game of pictures, and Atari; they must train, save, evaluate and report."""

from pathlib import Path

import games  # noqa: F401  # registers SlidePictures-v0
import pytest

import prefrl
from prefrl.checkpoint import load_newest
from prefrl.report_run import report_run
from prefrl.watch import watch_run


def brighter(left: prefrl.Clip, right: prefrl.Clip) -> prefrl.Choice:
    """Prefer the clip with more light in it; the score of a few steps would tell nothing."""
    return prefrl.Choice.LEFT if left.obs.sum() > right.obs.sum() else prefrl.Choice.RIGHT


@pytest.mark.slow
@pytest.mark.parametrize("env_id", ["SlidePictures-v0", "ALE/Pong-v5"])
def test_a_run_on_frames_from_its_first_step_to_its_report(env_id: str, tmp_path: Path) -> None:
    config = prefrl.default_config(
        env_id,
        total_labels=12,
        total_timesteps=512,
        run_dir=str(tmp_path / "run"),
        progress=False,
        world={"n_envs": 4},
        clips={"memory_mib": 64},
        ppo={"n_steps": 64, "batch_size": 64, "n_epochs": 1},
        reward_model={"batch_size": 4, "initial_epochs": 2, "epochs": 1},
        eval={"episodes": 2, "max_steps": 60},
    )
    result = prefrl.train(config, labeler=brighter)
    assert result.summary["labels"] == 12
    checkpoint = load_newest(result.run.checkpoints)
    assert checkpoint is not None
    assert checkpoint.state["steps"] == 512
    assert watch_run(result.run, tmp_path / "video.webm", seconds=1.0) > 0.5
    report_run(result.run, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.count("data:video/webm") == 8  # four clips most liked, four least
