"""Checkpoints: whole or passed over, the last three and the best kept, and everything comes back."""

import resource
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from labeling import failpoints
from prefrl.checkpoint import (
    Checkpoint,
    Mark,
    load_newest,
    make_room,
    newest_whole,
    save_checkpoint,
    set_aside_after,
    verifies,
)
from prefrl.tensor_names import pack_optimizer, unpack_optimizer


def checkpoint(x: float) -> Checkpoint:
    return Checkpoint({"a/w": torch.full((2, 3), x), "rng": torch.get_rng_state()}, {"steps": int(x), "big": 2**120})


def test_the_newest_comes_back_whole(tmp_path: Path) -> None:
    for x in (1, 2, 10):
        save_checkpoint(tmp_path, x, checkpoint(x))
    found = load_newest(tmp_path)
    assert found is not None
    assert found.state == {"steps": 10, "big": 2**120}
    assert torch.equal(found.tensors["a/w"], torch.full((2, 3), 10.0))


def test_only_the_last_three_are_kept(tmp_path: Path) -> None:
    for x in range(1, 6):
        save_checkpoint(tmp_path, x, checkpoint(x))
    assert [int(p.name) for p in sorted(tmp_path.iterdir())] == [3, 4, 5]


def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(tmp_path: Path) -> None:
    for x in (1, 2):
        save_checkpoint(tmp_path, x, checkpoint(x))
    newest = sorted(tmp_path.iterdir())[-1]
    for name in ("tensors.safetensors", "state.json", "manifest.json"):
        whole = (newest / name).read_bytes()
        (newest / name).write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        found = load_newest(tmp_path)
        assert found is not None
        assert found.state["steps"] == 1, name
        (newest / name).write_bytes(whole)
    (newest / "manifest.json").unlink()
    found = load_newest(tmp_path)
    assert found is not None
    assert found.state["steps"] == 1


def test_what_was_left_half_written_is_no_checkpoint(tmp_path: Path) -> None:
    assert load_newest(tmp_path) is None
    (tmp_path / ".tmp-000000000009").mkdir()
    (tmp_path / "000000000007").mkdir()
    assert load_newest(tmp_path) is None


def test_an_optimiser_goes_on_as_if_it_had_never_stopped() -> None:
    def step(w: torch.nn.Parameter, optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad()
        w.square().sum().backward()  # type: ignore[no-untyped-call]  # torch leaves backward untyped
        optimizer.step()

    w = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.Adam([w], lr=0.1)
    for _ in range(3):
        step(w, optimizer)
    other = torch.nn.Parameter(w.detach().clone())
    resumed = torch.optim.Adam([other], lr=0.1)
    unpack_optimizer(resumed, {k: v.clone() for k, v in pack_optimizer(optimizer).items()})
    for _ in range(3):
        step(w, optimizer)
        step(other, resumed)
    assert torch.equal(w, other)


def steps(folder: Path) -> list[int]:
    return [int(p.name) for p in sorted(folder.iterdir())]


def test_the_best_is_kept_beside_the_last_three(tmp_path: Path) -> None:
    for x, value in enumerate((0.0, 3.0, 9.0, 9.0, 2.0, 1.0, 4.0), start=1):
        save_checkpoint(tmp_path, x, checkpoint(x), Mark(value, "fit 1"))
    assert steps(tmp_path) == [4, 5, 6, 7]  # of two equals the later


def test_the_best_is_sought_anew_where_another_reward_model_judges(tmp_path: Path) -> None:
    for x, value, fit in ((1, 100.0, 1), (2, 1.0, 2), (3, 3.0, 2), (4, 2.0, 2), (5, 1.5, 2), (6, 1.0, 2)):
        save_checkpoint(tmp_path, x, checkpoint(x), Mark(value, f"fit {fit}"))
    assert steps(tmp_path) == [3, 4, 5, 6]


def test_another_checkpoint_of_the_same_steps_takes_the_place_of_the_first_once_it_is_whole(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, 1, checkpoint(1))
    save_checkpoint(tmp_path, 2, checkpoint(2))
    again = save_checkpoint(tmp_path, 2, Checkpoint({}, {"steps": 2, "again": True}))
    assert again.name == "000000000002-1"
    found = load_newest(tmp_path)
    assert found is not None
    assert found.state["again"]
    assert {p.name for p in tmp_path.iterdir()} == {"000000000001", "000000000002-1"}


def damage(place: Path) -> None:
    (place / "tensors.safetensors").write_bytes(b"bad")


def test_a_checkpoint_is_there_once_it_is_written_whatever_later_ones_there_are(tmp_path: Path) -> None:
    for x, value in ((100, 9.0), (200, 1.0), (300, 2.0), (400, 3.0)):
        save_checkpoint(tmp_path, x, checkpoint(x), Mark(value, "fit 1"))
    place = save_checkpoint(tmp_path, 150, checkpoint(150), Mark(2.0, "fit 1"))
    assert verifies(place)


def test_damaged_checkpoints_after_the_newest_whole_one_are_set_aside_and_take_no_place(tmp_path: Path) -> None:
    for x in (100, 200, 300):
        save_checkpoint(tmp_path, x, checkpoint(x))
    for x in (200, 300):
        damage(tmp_path / f"{x:012d}")
    newest = newest_whole(tmp_path)
    assert newest is not None
    assert [place.name for place in set_aside_after(newest)] == ["damaged-000000000200", "damaged-000000000300"]
    assert set_aside_after(newest) == []
    damage(save_checkpoint(tmp_path, 200, checkpoint(200)))
    assert [place.name for place in set_aside_after(newest)] == ["damaged-000000000200.1"]
    for x in (150, 250, 350):
        save_checkpoint(tmp_path, x, checkpoint(x))
    damaged = ["damaged-000000000200", "damaged-000000000200.1", "damaged-000000000300"]
    kept = [f"{x:012d}" for x in (150, 250, 350)]
    assert sorted(place.name for place in tmp_path.iterdir()) == kept + damaged


def test_what_a_killed_process_left_behind_goes_with_the_next_one(tmp_path: Path) -> None:
    for name in (".tmp-000000000009", ".gone-000000000001"):
        (tmp_path / name).mkdir()
    save_checkpoint(tmp_path, 2, checkpoint(2))
    assert [p.name for p in tmp_path.iterdir()] == ["000000000002"]


@pytest.mark.parametrize("point", ["tensors", "state", "manifest", "synced"])
def test_a_disk_that_fills_up_leaves_the_checkpoints_before_and_nothing_half(point: str, tmp_path: Path) -> None:
    save_checkpoint(tmp_path, 1, checkpoint(1))
    failpoints._armed.update(failpoints.parse(f"checkpoint.{point}:enospc"))
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(tmp_path, 2, checkpoint(2))
    assert steps(tmp_path) == [1]
    save_checkpoint(tmp_path, 2, checkpoint(2))
    assert steps(tmp_path) == [1, 2]


@pytest.fixture
def small_files() -> Iterator[None]:
    """No file may be larger than 64 KiB, by the kernel's word."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_file_that_the_kernel_cuts_short_is_no_checkpoint(small_files: None, tmp_path: Path) -> None:
    save_checkpoint(tmp_path, 1, checkpoint(1))
    with pytest.raises(OSError, match="File too large"):
        save_checkpoint(tmp_path, 2, Checkpoint({"w": torch.zeros(10**5)}, {}))
    assert steps(tmp_path) == [1]


def test_room_is_made_by_removing_all_but_the_newest_whole_one(tmp_path: Path) -> None:
    assert not make_room(tmp_path)
    for x in (1, 2, 3):
        save_checkpoint(tmp_path, x, checkpoint(x))
    (tmp_path / "000000000003" / "state.json").write_text("{")
    assert make_room(tmp_path)
    assert steps(tmp_path) == [2]
    assert not make_room(tmp_path)
    shutil.rmtree(tmp_path / "000000000002")
    assert not make_room(tmp_path)
