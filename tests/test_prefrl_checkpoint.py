"""Checkpoints: whole or passed over, and everything comes back."""

from pathlib import Path

import torch

from prefrl.checkpoint import Checkpoint, load_newest, save_checkpoint
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
