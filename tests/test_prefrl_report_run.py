"""What a run folder lacks is said by its report, never passed over."""

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hostile_runs import honest_run

from labeling import backups
from labeling.label import DamagedStoreError
from prefrl import cli
from prefrl.errors import UserError
from prefrl.report_run import report_run
from prefrl.rundir import RunDir


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    """A finished run on the dot, 1,024 steps and four answers long."""
    run = RunDir(honest_run(tmp_path / "run"))
    result = {"env_return": 1.0, "reward": "preferences", "timesteps": 1024, "labels": 4}
    run.result.write_text(json.dumps(result), encoding="utf-8")
    run.metrics.write_text("time/total_timesteps,reward_model/loss\n512,0.5\n1024,0.4\n", encoding="utf-8")
    return run


def notes(run: RunDir) -> list[str]:
    """The notes of the run's report."""
    out = run.path / "report.html"
    report_run(run, out)
    page = out.read_text(encoding="utf-8")
    if "<h2>Notes</h2>" not in page:
        return []
    return page.split("<h2>Notes</h2><ul><li>")[1].split("</li></ul>")[0].split("</li><li>")


def test_a_whole_run_and_one_that_has_not_ended_lack_nothing(run: RunDir) -> None:
    assert notes(run) == []
    run.result.unlink()
    shutil.rmtree(run.clips)
    run.metrics.unlink()
    assert notes(run) == []


def test_a_lost_store_with_backups_is_damage_to_the_report_as_to_every_command(
    run: RunDir, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(sqlite3.connect(run.labels)) as db:
        backups.copy(db, run.labels.with_name("labels.backup-000000004.sqlite"))
    for path in run.path.glob("labels.sqlite*"):
        path.unlink()
    with pytest.raises(DamagedStoreError, match="it is empty or gone, and there are backups of it"):
        report_run(run, run.path / "report.html")
    assert cli.main(["labels", str(run.path)]) == cli.main(["report", str(run.path)]) == 5
    of_labels, of_report = capsys.readouterr().err.splitlines()
    assert of_labels == of_report
    assert of_report.endswith(f"save what can be saved by: prefrl labels recover {run.path}")
    assert not (run.path / "report.html").exists()


def test_files_that_are_gone_are_named(run: RunDir) -> None:
    for path in run.path.glob("labels.*"):
        path.unlink()
    shutil.rmtree(run.clips)
    run.gallery.unlink()
    run.metrics.unlink()
    assert notes(run) == [
        "metrics.csv is missing: the curves cannot be drawn.",
        "labels.sqlite is missing: what was answered is not known.",
        "clips is missing: no label can be shown or learned from again.",
        "gallery.json is missing: what the reward model likes is not known.",
    ]


@pytest.mark.parametrize(("n_bytes", "last"), [(10, 0), (39, 0), (47, 512)])
def test_metrics_that_are_cut_short_are_said(n_bytes: int, last: int, run: RunDir) -> None:
    run.metrics.write_bytes(run.metrics.read_bytes()[:n_bytes])
    assert notes(run) == [f"metrics.csv ends at step {last} of 1,024: the curves lack what came after."]


def test_a_score_run_must_be_one(run: RunDir, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    score = RunDir(tmp_path / "score")
    shutil.copytree(run.path, score.path)
    with pytest.raises(
        UserError, match=r"expected --score-run to be a run on the score .*, which is one on preferences"
    ):
        report_run(run, tmp_path / "report.html", score)
    assert not (tmp_path / "report.html").exists()
    text = score.config.read_text(encoding="utf-8")
    score.config.write_text(text.replace('reward = "preferences"', 'reward = "score"'), encoding="utf-8")
    out = str(tmp_path / "report.html")
    assert cli.main(["report", str(run.path), "--score-run", str(score.path), "--out", out]) == 0
    assert "the same learner trained on the score, 1." in Path(out).read_text(encoding="utf-8")
    capsys.readouterr()
