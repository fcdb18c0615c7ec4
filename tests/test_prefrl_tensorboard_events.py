"""Event files as TensorBoard itself reads them, also of a disk that refused a part."""

import resource
from pathlib import Path

import pytest

pytest.importorskip("tensorboard", reason="the extra 'track' is not installed")

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from prefrl.tensorboard_events import TensorBoardEvents


def write(events: TensorBoardEvents, step: int, **values: float) -> None:
    events.write({**values, "time/text": "no number"}, {key: () for key in [*values, "time/text"]}, step)


def curves(folder: Path) -> dict[str, list[tuple[int, float]]]:
    read = EventAccumulator(str(folder))
    read.Reload()
    return {tag: [(point.step, point.value) for point in read.Scalars(tag)] for tag in read.Tags()["scalars"]}


def test_tensorboard_reads_every_number_at_its_step(tmp_path: Path) -> None:
    events = TensorBoardEvents(tmp_path / "tensorboard")
    write(events, 1024, loss=0.5)
    assert curves(tmp_path / "tensorboard") == {"loss": [(1024, 0.5)]}  # at once, for who looks on
    write(events, 2048, loss=0.25, late=3)
    events.write({"loss": 9.0}, {"loss": ("tensorboard",)}, 4096)
    assert curves(tmp_path / "tensorboard") == {"loss": [(1024, 0.5), (2048, 0.25)], "late": [(2048, 3.0)]}


def test_points_that_the_disk_refuses_are_lost_and_said_once_and_later_ones_are_read(tmp_path: Path) -> None:
    events = TensorBoardEvents(tmp_path)
    write(events, 1, loss=1.0)
    (file,) = tmp_path.iterdir()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (file.stat().st_size + 20, before[1]))
    try:
        with pytest.warns(UserWarning, match="points for TensorBoard are lost: File too large; the training goes on"):
            write(events, 2, loss=2.0)
        write(events, 3, loss=3.0)  # not said again
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    write(events, 4, loss=4.0)
    assert curves(tmp_path) == {"loss": [(1, 1.0), (4, 4.0)]}
    assert list(tmp_path.iterdir()) == [file]


def test_a_folder_that_is_deleted_costs_points_and_not_the_training(tmp_path: Path) -> None:
    folder = tmp_path / "tensorboard"
    events = TensorBoardEvents(folder)
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    with pytest.warns(UserWarning, match="points for TensorBoard are lost: No such file or directory"):
        write(events, 1, loss=1.0)
