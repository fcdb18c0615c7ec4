"""Checkpoints: the state of a run at the boundary of a rollout, without a pickle anywhere.

A checkpoint is a folder named by its agent steps. It is written beside its place and made durable, its manifest of
hashes last, and then renamed, so that whatever is found under `checkpoints/` either verifies or is passed over for the
one before, whenever the process or the machine died. Those that were passed over are set aside under other names when
the run goes on: they are neither counted nor removed.

The last three are kept, and the best. The best is the one with the highest recent mean return of what the agent is
trained on: the learned reward, or the env reward with --reward score. The score never chooses among checkpoints of a
run on preferences, for a policy picked by the score would have been selected by it. Learned returns are told apart only
where the same fit of the reward model gave them, since its scale changes with every fit: after one, the best is sought
anew.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load, save
from torch import Tensor

from labeling.failpoints import failpoint
from prefrl.errors import UserError

VERSION = 2
"""Of the manifest; 1 is read, too: a run goes on from it with new episodes."""

TENSORS = "tensors.safetensors"
STATE = "state.json"
MANIFEST = "manifest.json"
_KEPT = 3
_BESIDE, _GONE, _ASIDE = ".tmp-", ".gone-", "damaged-"
_NAME = re.compile(r"(\d+)(?:-(\d+))?")
"""Agent steps, and a number where a checkpoint of these steps was there already."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Everything a run goes on from."""

    tensors: Mapping[str, Tensor]
    """Weights, optimiser moments, states of torch's random generators, and the arrays that the state names."""
    state: Mapping[str, Any]
    """Counters, cursors and all other plain data, as JSON holds them."""
    version: int = VERSION


@dataclass(frozen=True, slots=True)
class Mark:
    """How good a checkpoint is."""

    value: float
    """Recent mean return."""
    judge: str
    """What gave the return; only marks of the same judge can be told apart."""


def save_checkpoint(folder: Path, step: int, checkpoint: Checkpoint, mark: Mark | None = None) -> Path:
    """Write the checkpoint of `step` under `folder`, keep the last three and the best; returns where it is.

    Raises:
        OSError: The disk refuses; nothing is left of the attempt, and the checkpoints before are as they were.
    """
    clear_leftovers(folder)
    place = _free_place(folder, step)
    beside = folder / f"{_BESIDE}{place.name}"
    try:
        _write_beside(beside, checkpoint, mark)
        beside.rename(place)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    _sync(folder)
    failpoint("checkpoint.renamed")
    kept = [place, *_kept(folder)]
    _remove([old for old in _numbered(folder) if old not in kept])
    failpoint("checkpoint.pruned")
    return place


def make_room(folder: Path) -> bool:
    """Remove all checkpoints but the newest that verifies, for a disk that is full; False where there was no other."""
    clear_leftovers(folder)
    newest = newest_whole(folder)
    others = [place for place in _numbered(folder) if place != newest]
    if newest is not None:
        _remove(others)
    return newest is not None and bool(others)


def set_aside_after(place: Path) -> list[Path]:
    """Rename the checkpoints after the newest that verifies, which is at `place`; returns where they are now."""
    aside = []
    for damaged in _numbered(place.parent):
        if _order(damaged) > _order(place):
            aside.append(damaged.rename(_free_name(damaged.with_name(f"{_ASIDE}{damaged.name}"))))
    return aside


def load_newest(folder: Path) -> Checkpoint | None:
    """The newest checkpoint under `folder` whose hashes are right; None where there is none.

    Raises:
        UserError: It is of a version that is not known here.
    """
    place = newest_whole(folder)
    return None if place is None else read_checkpoint(place)


def newest_whole(folder: Path) -> Path | None:
    """Where the newest checkpoint is whose hashes are right."""
    return next((place for place in reversed(_numbered(folder)) if verifies(place)), None)


def read_checkpoint(place: Path) -> Checkpoint:
    """The checkpoint at `place`, which verifies.

    Raises:
        UserError: It is of a version that is not known here.
    """
    version = _manifest(place)["version"]
    if version not in (1, VERSION):
        raise UserError(
            f"expected a checkpoint of version 1 or {VERSION} at {place}, got {version!r}; go on with it by the "
            "version of prefrl that wrote it"
        )
    state = json.loads((place / STATE).read_text(encoding="utf-8"))
    return Checkpoint(load((place / TENSORS).read_bytes()), state, version)


def steps_of(place: Path) -> int:
    """Agent steps of the checkpoint that lies there."""
    return _order(place)[0]


def checkpoints_of(folder: Path, step: int) -> list[Path]:
    """Where checkpoints of these agent steps lie, oldest first."""
    return [place for place in _numbered(folder) if steps_of(place) == step]


def verifies(place: Path) -> bool:
    """Whether all of a checkpoint is there, to the bit."""
    try:
        hashes = _manifest(place)["sha256"]
        return all(_sha256((place / name).read_bytes()) == hashes[name] for name in (TENSORS, STATE))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def clear_leftovers(folder: Path) -> None:
    """Remove what a process that died has left half written, or half removed."""
    if folder.is_dir():
        for path in folder.iterdir():
            if path.name.startswith((_BESIDE, _GONE)):
                shutil.rmtree(path, ignore_errors=True)


def _write_beside(beside: Path, checkpoint: Checkpoint, mark: Mark | None) -> None:
    new = not beside.parent.is_dir()
    beside.mkdir(parents=True)
    if new:
        _sync(beside.parent.parent)
    # Cloned, for networks on frames name some weights twice, and safetensors takes no shared memory.
    tensors = save({k: v.detach().cpu().clone().contiguous() for k, v in checkpoint.tensors.items()})
    _write(beside / TENSORS, tensors)
    failpoint("checkpoint.tensors")
    state = json.dumps(checkpoint.state).encode()
    _write(beside / STATE, state)
    failpoint("checkpoint.state")
    manifest = {
        "version": checkpoint.version,
        "sha256": {TENSORS: _sha256(tensors), STATE: _sha256(state)},
        "bytes": {TENSORS: len(tensors), STATE: len(state)},
        "mark": None if mark is None else {"value": mark.value, "judge": mark.judge},
    }
    _write(beside / MANIFEST, json.dumps(manifest).encode())
    failpoint("checkpoint.manifest")
    _sync(beside)
    failpoint("checkpoint.synced")


def _kept(folder: Path) -> list[Path]:
    """The last three of those that were written to their end, and the best by the newest one's judge."""
    marks: dict[Path, Mark | None] = {}
    for place in _numbered(folder):
        try:
            mark = _manifest(place).get("mark")
            marks[place] = None if mark is None else Mark(float(mark["value"]), str(mark["judge"]))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    newest = list({steps_of(place): place for place in marks}.values())[-_KEPT:]  # of the same steps the last
    judge = next((mark.judge for mark in reversed(marks.values()) if mark is not None), None)
    judged = [(mark.value, place) for place, mark in marks.items() if mark is not None and mark.judge == judge]
    best = [max(judged, key=lambda item: (item[0], _order(item[1])))[1]] if judged else []
    return newest + best


def _remove(places: list[Path]) -> None:
    """Remove checkpoints; each under another name first, for a kill may come in the middle."""
    for place in places:
        gone = place.with_name(f"{_GONE}{place.name}")
        place.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)


def _free_place(folder: Path, step: int) -> Path:
    """A name for a checkpoint of these steps that is not taken: what is there stays until the new one is whole."""
    taken = checkpoints_of(folder, step)
    number = _order(taken[-1])[1] + 1 if taken else 0
    return folder / (f"{step:012d}-{number}" if number else f"{step:012d}")


def _free_name(path: Path) -> Path:
    """The path, or one beside it with a number, where nothing is yet."""
    numbered = (path.with_name(f"{path.name}.{i}") for i in itertools.count(1))
    return next(p for p in itertools.chain([path], numbered) if not p.exists())


def _numbered(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    found = [p for p in folder.iterdir() if _NAME.fullmatch(p.name) and p.is_dir() and not p.is_symlink()]
    return sorted(found, key=_order)


def _order(place: Path) -> tuple[int, int]:
    match = _NAME.fullmatch(place.name)
    assert match is not None
    return int(match[1]), int(match[2] or 0)


def _manifest(place: Path) -> dict[str, Any]:
    manifest = json.loads((place / MANIFEST).read_text(encoding="utf-8"))
    if not isinstance(manifest, dict):
        raise TypeError("expected a JSON object")
    return manifest


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as f:
        f.write(data)
        f.flush()
        os.fsync(f.fileno())


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
