"""`prefrl state-hash`: hashes of what a run goes on from, part by part, to compare two runs bit for bit."""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from prefrl.arguments import parse
from prefrl.errors import UserError

if TYPE_CHECKING:
    from prefrl.checkpoint import Checkpoint


@dataclass(frozen=True)
class StateHashArgs:
    """Print a hash of every part of what a run goes on from, and one over all; the time it took is no part."""

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Folder of the run."""
    checkpoint: int | None = None
    """Agent steps of the checkpoint to look at; default: the newest."""


def main(args: list[str]) -> int:
    """Run the command; returns 0.

    Raises:
        UserError: There is no such run or checkpoint.
    """
    options = parse(StateHashArgs, "prefrl state-hash", args)
    from prefrl.rundir import RunDir

    hashes = state_hashes(_find(RunDir(options.run).must_exist().checkpoints, options.checkpoint))
    width = max(map(len, hashes))
    sys.stdout.write("".join(f"{name:{width}}  {digest}\n" for name, digest in hashes.items()))
    return 0


def state_hashes(checkpoint: Checkpoint) -> dict[str, str]:
    """SHA-256 of every part of a checkpoint, by name, then of all of them; equal where the states are."""
    from prefrl.plain import unpacked_bytes

    parts: dict[str, dict[str, Any]] = {}
    for name, tensor in checkpoint.tensors.items():
        part, _, rest = name.partition("/")
        if part != "plain":
            data = tensor.contiguous().reshape(-1).numpy().tobytes()
            parts.setdefault(part, {})[rest] = [str(tensor.dtype), list(tensor.shape), _sha256(data)]
    arrays = {k.removeprefix("plain/"): t.numpy() for k, t in checkpoint.tensors.items() if k.startswith("plain/")}
    for part, data in checkpoint.state.get("parts", {}).items():
        parts[part] = {"data": unpacked_bytes(data, arrays, _sha256)}
    parts["steps"] = {"": checkpoint.state["steps"]}
    hashes = {name: _sha256(json.dumps(parts[name], sort_keys=True).encode()) for name in sorted(parts)}
    return {**hashes, "all": _sha256(json.dumps(hashes).encode())}


def _find(folder: Path, step: int | None) -> Checkpoint:
    from prefrl.checkpoint import checkpoints_of, newest_whole, read_checkpoint, verifies

    place = newest_whole(folder)
    if step is not None:
        place = next((p for p in reversed(checkpoints_of(folder, step)) if verifies(p)), None)
    if place is None:
        what = "a whole checkpoint" if step is None else f"a whole checkpoint of {step} steps"
        there = ", ".join(sorted(p.name for p in folder.iterdir())) if folder.is_dir() else ""
        raise UserError(f"expected {what} under {folder}, found {there or 'none'}")
    return read_checkpoint(place)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
