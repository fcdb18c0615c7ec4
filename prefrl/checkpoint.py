"""Checkpoints: the state of a run at the boundary of a rollout, without a pickle anywhere.

A checkpoint is a folder named by its agent steps. It is written beside its place, its manifest of hashes last, and then
renamed, so that whatever is found under `checkpoints/` either verifies or is passed over for the one before.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

_TENSORS = "tensors.safetensors"
_STATE = "state.json"
_MANIFEST = "manifest.json"
_KEPT = 3


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Everything a run goes on from."""

    tensors: Mapping[str, Tensor]
    """Weights, optimiser moments, normalisers, states of torch's random generators."""
    state: Mapping[str, Any]
    """Counters, cursors and states of numpy's random generators, as JSON holds them."""


def save_checkpoint(folder: Path, step: int, checkpoint: Checkpoint) -> Path:
    """Write the checkpoint of `step` under `folder` and keep the last three; returns where it is."""
    place = folder / f"{step:012d}"
    beside = folder / f".tmp-{step:012d}"
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    # Cloned, for networks on frames name some weights twice, and safetensors takes no shared memory.
    tensors = {k: v.detach().cpu().clone().contiguous() for k, v in checkpoint.tensors.items()}
    save_file(tensors, beside / _TENSORS)
    (beside / _STATE).write_text(json.dumps(checkpoint.state), encoding="utf-8")
    hashes = {name: _sha256(beside / name) for name in (_TENSORS, _STATE)}
    (beside / _MANIFEST).write_text(json.dumps({"version": 1, "sha256": hashes}), encoding="utf-8")
    for name in (_TENSORS, _STATE, _MANIFEST):
        _sync(beside / name)
    _sync(beside)
    if place.exists():
        shutil.rmtree(place)
    beside.rename(place)
    _sync(folder)
    for old in _numbered(folder)[:-_KEPT]:
        shutil.rmtree(old)
    return place


def load_newest(folder: Path) -> Checkpoint | None:
    """The newest checkpoint under `folder` whose hashes are right; None where there is none."""
    for place in reversed(_numbered(folder)):
        if _verifies(place):
            state = json.loads((place / _STATE).read_text(encoding="utf-8"))
            return Checkpoint(load_file(place / _TENSORS), state)
    return None


def pack_optimizer(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """An optimiser's moments as named tensors."""
    state = optimizer.state_dict()["state"]
    return {
        f"{index}.{name}": torch.as_tensor(value) for index, moments in state.items() for name, value in moments.items()
    }


def unpack_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put moments that `pack_optimizer` named back into an optimiser of the same parameters."""
    full = optimizer.state_dict()
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = tensor
    full["state"] = state
    optimizer.load_state_dict(full)


def prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors, their names under a prefix."""
    return {f"{prefix}/{name}": tensor for name, tensor in tensors.items()}


def unprefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors that stand under a prefix, by their own names."""
    start = f"{prefix}/"
    return {name[len(start) :]: t for name, t in tensors.items() if name.startswith(start)}


def _numbered(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if p.name.isdigit() and p.is_dir() and not p.is_symlink())


def _verifies(place: Path) -> bool:
    try:
        hashes = json.loads((place / _MANIFEST).read_text(encoding="utf-8"))["sha256"]
        return all(_sha256(place / name) == hashes[name] for name in (_TENSORS, _STATE))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _sha256(path: Path) -> str:
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
