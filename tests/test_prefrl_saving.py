"""When a run is saved, and a disk that is full: said once, survived, tried again."""

import os
import subprocess
import sys
import warnings
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import prefrl
from labeling import failpoints
from prefrl.checkpoint import Checkpoint, load_newest
from prefrl.saving import Saver
from prefrl.training import Interrupted
from runs.resume_exact import Case, _Cut, hashes, left_alone

DOT = Case("prefrl/Dot-v0", rollouts=8)


def checkpoint() -> Checkpoint:
    return Checkpoint({"w": torch.zeros(1000)}, {"steps": 1})


class Clock:
    """Seconds, which pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def steps(folder: Path) -> list[int]:
    return sorted(int(p.name) for p in folder.iterdir())


def test_it_is_due_at_the_beginning_every_so_many_steps_and_now_and_then_for_answers(
    clock: Clock, tmp_path: Path
) -> None:
    saver = Saver(tmp_path, 100, checkpoint, clock)
    assert saver.is_due(0, 0, people=False)
    saver.save(0, 0, None)
    assert not saver.is_due(99, 7, people=True)
    assert saver.is_due(100, 0, people=False)
    clock.now += 31
    assert saver.is_due(8, 7, people=False)
    assert not saver.is_due(8, 0, people=False)
    assert saver.is_due(8, 0, people=True)


def test_answers_are_saved_in_a_fiftieth_of_the_time(clock: Clock, tmp_path: Path) -> None:
    def slow() -> Checkpoint:
        clock.now += 3.0
        return checkpoint()

    saver = Saver(tmp_path, 10**9, slow, clock)
    saver.save(0, 0, None)
    clock.now += 149
    assert not saver.is_due(8, 7, people=False)
    clock.now += 2
    assert saver.is_due(8, 7, people=False)


def test_a_full_disk_is_said_once_and_tried_again_later(clock: Clock, tmp_path: Path) -> None:
    saver = Saver(tmp_path, 100, checkpoint, clock)
    saver.save(0, 0, None)
    for step in (100, 200):
        failpoints._armed.update(failpoints.parse("checkpoint.tensors:enospc"))
        if step == 100:
            with pytest.warns(UserWarning, match="the disk is full, so there is no checkpoint of 100 steps; the last "):
                saver.save(step, 0, None)
        else:
            saver.save(step, 0, None)  # not said again
        assert steps(tmp_path) == [0]
        assert not saver.is_due(step + 1, 0, people=False)
        clock.now += 31
        assert saver.is_due(step + 1, 0, people=False)
    saver.save(201, 0, None)
    assert saver.trouble == ""
    assert steps(tmp_path) == [0, 201]


def test_older_checkpoints_give_way_where_there_is_no_room_for_a_new_one(clock: Clock, tmp_path: Path) -> None:
    saver = Saver(tmp_path, 100, checkpoint, clock)
    for step in (0, 100, 200):
        saver.save(step, 0, None)
    failpoints._armed.update(failpoints.parse("checkpoint.tensors:enospc"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # there was room, so nothing is said
        saver.save(300, 0, None)
    assert steps(tmp_path) == [200, 300]


@pytest.mark.slow
def test_a_training_goes_on_over_a_full_disk_and_comes_out_the_same(tmp_path: Path) -> None:
    wanted = left_alone(DOT, tmp_path / "alone")
    failpoints._armed.update(failpoints.parse("checkpoint.tensors:after=1:enospc"))
    with pytest.warns(UserWarning, match="the disk is full, so there is no checkpoint of 384 steps; .* of 0 steps"):
        prefrl.train(DOT.config(tmp_path / "full"))
    assert hashes(tmp_path / "full") == wanted
    assert not [p for p in (tmp_path / "full" / "checkpoints").iterdir() if p.name.startswith(".")]


@pytest.mark.slow
def test_who_stops_a_training_on_a_full_disk_is_told_from_where_it_can_go_on(tmp_path: Path) -> None:
    with ExitStack() as stack:
        training = _Cut(DOT.config(tmp_path / "run"), None, False, stack)
        training.stop_at = 256
        failpoints._armed.update(failpoints.parse("checkpoint.state:after=1:enospc"))
        with pytest.warns(UserWarning, match="the disk is full"), pytest.raises(Interrupted) as stopped:
            training.run_to_end()
    assert stopped.value.not_saved == (
        "the disk is full, so there is no checkpoint of 256 steps; the last one is of 0 steps"
    )


@pytest.mark.slow
def test_a_real_disk_that_is_full_for_a_while_is_survived(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(disk)]
    if sys.platform != "linux" or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a file system of one's own cannot be mounted here")
    checkpoints, ballast = disk / "run" / "checkpoints", disk / "ballast"
    seen: list[str] = []

    def rightmost(left: prefrl.Clip, right: prefrl.Clip) -> prefrl.Choice:
        """Fill the disk in the first round, so that answers have room and checkpoints none; free it in a later one."""
        if left.agent_step > 640 and ballast.exists():
            seen.extend(path.name for path in checkpoints.iterdir())
            ballast.unlink()
        elif not seen and not ballast.exists():
            free = os.statvfs(disk)
            ballast.write_bytes(bytes(free.f_bavail * free.f_frsize - 700_000))
        return prefrl.Choice.LEFT if left.obs[:, 0].sum() > right.obs[:, 0].sum() else prefrl.Choice.RIGHT

    large = replace(DOT, changes={"reward_model": {"hidden": [256, 256]}})
    try:
        with pytest.warns(UserWarning, match="the disk is full, so there is no checkpoint of 384 steps; .* of 0 steps"):
            prefrl.train(large.config(disk / "run"), labeler=rightmost)
        assert seen == ["000000000000"]
        found = load_newest(checkpoints)
        assert found is not None
        assert found.state["steps"] == 1024
    finally:
        subprocess.run(["umount", str(disk)], check=True)
