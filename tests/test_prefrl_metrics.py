"""metrics.csv on a disk that refuses: rows are lost, said once, and no half row stays."""

import resource
from pathlib import Path

import pytest

from prefrl.metrics import MetricsCsv
from prefrl.metrics_file import read_metrics


def write(metrics: MetricsCsv, step: int, **more: float) -> None:
    values = {"time/total_timesteps": step, **more}
    metrics.write(values, {key: () for key in values}, step)


def test_rows_that_the_disk_refuses_are_lost_and_said_once(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    metrics = MetricsCsv(path)
    write(metrics, 1)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 2, before[1]))
    try:
        with pytest.warns(UserWarning, match=r"rows of metrics.csv are lost: File too large; the training goes on"):
            write(metrics, 22222)
        write(metrics, 3, late=1.5)  # not said again
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    write(metrics, 4, late=2.5)
    assert read_metrics(path) == {"time/total_timesteps": [1.0, 4.0], "late": [None, 2.5]}
    assert [p.name for p in tmp_path.iterdir()] == ["metrics.csv"]
