"""Clips: short stretches of behaviour that people compare, each kept in a file named by its hash.

A clip holds what the agent saw and did and what a drawer needs. It never holds an env reward, so
that no way leads from a clip file to the score.
"""

from __future__ import annotations

import hashlib
import json
import math
import operator
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labeling import durable, npz

MAX_CLIP_BYTES = 256 * 2**20
"""Largest clip that is written or read, in bytes once inflated: a guard against zip bombs."""

_FORMAT = 1
_INT_FIELDS = ("n_stack", "env_index", "episode", "start_step", "agent_step")
_CLIP_ID = re.compile(r"[0-9a-f]{64}")


class ClipError(ValueError):
    """A clip is malformed, or its file is missing, damaged or not to be trusted."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Clip:
    """T consecutive steps of one episode of one env; equal to another clip of the same content.

    Raises:
        ClipError: where shapes or values disagree.
    """

    obs: NDArray[Any] = field(repr=False)
    """What each action was chosen on, (T, *obs_shape); with n_stack > 1 single planes, uint8
    (T + n_stack - 1, H, W), of which step t saw planes t to t + n_stack - 1, oldest first."""
    actions: NDArray[Any] = field(repr=False)
    """(T,) or (T, A)."""
    view: NDArray[Any] | None = field(default=None, repr=False)
    """What the world's drawer needs besides, in any shape; None where the obs is enough."""
    n_stack: int = 1
    """Planes stacked in one observation; 1 where nothing is stacked."""
    frame_rate: float
    """Steps per second when the world runs at its real speed."""
    env_index: int
    """Which of the parallel envs it was."""
    episode: int
    """Which episode of that env, counted from 0."""
    start_step: int
    """Step within the episode at which the clip begins."""
    agent_step: int
    """Steps that the agent had taken in all envs together when this was recorded."""
    _clip_id: str = field(init=False, repr=False, default="")

    def __post_init__(self) -> None:
        for name in ("obs", "actions", "view"):
            array = getattr(self, name)
            if name != "view" or array is not None:
                object.__setattr__(self, name, _frozen(name, array))
        for name in _INT_FIELDS:
            object.__setattr__(self, name, _whole_number(name, getattr(self, name)))
        object.__setattr__(self, "frame_rate", float(self.frame_rate))
        _check(self)

    @property
    def n_steps(self) -> int:
        """T."""
        return len(self.actions)

    @property
    def clip_id(self) -> str:
        """SHA-256 in hex over everything above: the same on every platform and in every file."""
        if not self._clip_id:
            object.__setattr__(self, "_clip_id", _content_hash(self))
        return self._clip_id

    def stacked_obs(self) -> NDArray[Any]:
        """The obs as the learner saw them, (T, *obs_shape), stacks put together without a copy."""
        if self.n_stack == 1:
            return self.obs
        windows = np.lib.stride_tricks.sliding_window_view(self.obs, self.n_stack, axis=0)
        return np.moveaxis(windows, -1, 1)  # (T, n_stack, H, W)

    def __eq__(self, other: object) -> bool:
        return self.clip_id == other.clip_id if isinstance(other, Clip) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.clip_id)


@dataclass(frozen=True, slots=True)
class ClipFiles:
    """A folder of clips, each in `<first two hex>/<clip_id>.npz`, written once, never changed."""

    folder: Path
    """Made when the first clip is written."""

    def path(self, clip_id: str) -> Path:
        """Where that clip lies, whether or not it is there.

        Raises:
            ClipError: if `clip_id` is not 64 lower-case hex digits; no other path is ever opened.
        """
        if not _CLIP_ID.fullmatch(clip_id):
            raise ClipError(f"expected a clip_id of 64 lower-case hex digits, got {clip_id!r:.80}")
        return Path(self.folder) / clip_id[:2] / f"{clip_id}.npz"

    def write(self, clip: Clip) -> str:
        """Stores one clip durably and returns its clip_id; see `write_many`."""
        return self.write_many([clip])[0]

    def write_many(self, clips: Iterable[Clip]) -> list[str]:
        """Stores clips and returns their ids in order; when it returns, they survive a power cut.

        A clip that is already there is left as it is; a damaged file of it is replaced.

        Raises:
            ClipError: if a clip is too large or the disk refuses; no half-written file remains.
        """
        clips = list(clips)
        shards = {self.path(clip.clip_id).parent for clip in clips}
        missing = {clip.clip_id: clip for clip in clips if not self._is_intact(clip.clip_id)}
        try:
            durable.write_files([(self.path(clip_id), partial(_encode, clip)) for clip_id, clip in missing.items()])
            # Names found here: who made them may have died before making them durable.
            durable.sync_folders(shards - {self.path(clip_id).parent for clip_id in missing})
            durable.sync_folders({shard.parent for shard in shards})
        except OSError as error:
            raise ClipError(f"cannot write clips to {self.folder}: {error.strerror}") from error
        return [clip.clip_id for clip in clips]

    def read(self, clip_id: str) -> Clip:
        """The clip of that id, its content checked against it.

        Raises:
            ClipError: naming the file, if it is missing, damaged, too large or not this clip.
        """
        path = self.path(clip_id)
        if not path.is_file():
            raise ClipError(f"clip file {path} is missing")
        try:
            with path.open("rb") as file:
                data = file.read(MAX_CLIP_BYTES + 1)
        except OSError as error:
            raise ClipError(f"clip file {path} cannot be read: {error.strerror}") from error
        if len(data) > MAX_CLIP_BYTES:
            raise ClipError(f"clip file {path} is larger than {MAX_CLIP_BYTES} bytes")
        try:
            clip = _decode(data)
        except ValueError as error:
            raise ClipError(f"clip file {path} is damaged: {error}") from error
        if clip.clip_id != clip_id:
            raise ClipError(f"clip file {path} is damaged: its content is clip {clip.clip_id}")
        return clip

    def _is_intact(self, clip_id: str) -> bool:
        if not self.path(clip_id).exists():
            return False
        try:
            self.read(clip_id)
        except ClipError:
            return False
        return True


def _frozen(name: str, array: NDArray[Any]) -> NDArray[Any]:
    """The array itself where nobody can change it any more, else a copy of which that holds."""
    if not isinstance(array, np.ndarray):
        raise ClipError(f"clip {name} must be a NumPy array, got {type(array).__name__}")
    if array.dtype.kind not in npz.ARRAY_KINDS or array.dtype.itemsize > 8:
        raise ClipError(f"clip {name} must be of numbers up to 64 bits, got dtype {array.dtype}")
    if array.flags.c_contiguous and array.dtype.isnative and _is_unchangeable(array):
        return array
    copy: NDArray[Any] = np.array(array, array.dtype.newbyteorder("="), order="C", subok=False)
    copy.flags.writeable = False
    return copy


def _whole_number(name: str, value: Any) -> int:
    try:
        number = operator.index(value)  # NumPy integers become plain ones
    except TypeError:
        number = -1
    if number < 0:
        raise ClipError(f"clip {name} must be a whole number from 0 up, got {value!r}")
    return number


def _is_unchangeable(array: NDArray[Any]) -> bool:
    base: Any = array
    while isinstance(base, np.ndarray):
        if base.flags.writeable:
            return False
        base = base.base
    owner = base.obj if isinstance(base, memoryview) else base
    return owner is None or isinstance(owner, bytes)


def _check(clip: Clip) -> None:
    n_steps = len(clip.actions) if clip.actions.ndim in (1, 2) else 0
    if n_steps == 0:
        raise ClipError(f"clip actions must be (T,) or (T, A), T > 0, got {clip.actions.shape}")
    if clip.n_stack < 1:
        raise ClipError("clip n_stack must be at least 1, got 0")
    if not (math.isfinite(clip.frame_rate) and clip.frame_rate > 0):
        raise ClipError(f"clip frame_rate must be positive and finite, got {clip.frame_rate}")
    if clip.n_stack > 1 and (clip.obs.ndim != 3 or clip.obs.dtype != np.uint8):
        raise ClipError(
            f"clip obs with n_stack {clip.n_stack} must be uint8 planes (T + n_stack - 1, H, W), "
            f"got {clip.obs.dtype} {clip.obs.shape}"
        )
    n_rows = n_steps + clip.n_stack - 1
    if clip.obs.ndim == 0 or len(clip.obs) != n_rows:
        raise ClipError(f"clip obs must have {n_rows} rows for {n_steps} actions, got {clip.obs.shape}")


def _arrays(clip: Clip) -> dict[str, NDArray[Any]]:
    arrays = {"obs": clip.obs, "actions": clip.actions}
    return arrays if clip.view is None else {**arrays, "view": clip.view}


def _fields(clip: Clip) -> dict[str, int | float]:
    ints = {name: getattr(clip, name) for name in _INT_FIELDS}
    return {"format": _FORMAT, "frame_rate": clip.frame_rate, **ints}


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def _content_hash(clip: Clip) -> str:
    """One line of JSON with all fields, names, dtypes and shapes, then the arrays' bytes."""
    stored = {name: npz.little_endian(array) for name, array in _arrays(clip).items()}
    described = [[name, array.dtype.str, list(array.shape)] for name, array in stored.items()]
    digest = hashlib.sha256(_json({**_fields(clip), "arrays": described}) + b"\n")
    for array in stored.values():
        digest.update(array.data)
    return digest.hexdigest()


def _encode(clip: Clip) -> bytes:
    n_bytes = sum(array.nbytes for array in _arrays(clip).values())
    data = npz.pack(_arrays(clip), _json(_fields(clip)))
    # A little below what reading allows, as the files' own headers count there.
    if max(n_bytes, len(data)) > MAX_CLIP_BYTES - 2**16:
        raise ClipError(f"clip of {n_bytes} bytes is larger than {MAX_CLIP_BYTES}; cut it shorter")
    return data


def _decode(data: bytes) -> Clip:
    arrays, header = npz.unpack(data, MAX_CLIP_BYTES)
    try:
        fields = json.loads(header)
    except RecursionError as error:
        raise ClipError("its fields.json is nested too deeply") from error
    if not isinstance(fields, dict) or fields.pop("format", None) != _FORMAT:
        raise ClipError(f"expected clip format {_FORMAT} in its fields.json; update to read it")
    rate = fields.get("frame_rate")
    has_ints = all(type(fields.get(name)) is int for name in _INT_FIELDS)
    if fields.keys() != {"frame_rate", *_INT_FIELDS} or type(rate) is not float or not has_ints:
        raise ClipError("its fields.json does not hold the fields of a clip")
    if not {"obs", "actions"} <= arrays.keys() <= {"obs", "actions", "view"}:
        raise ClipError(f"expected arrays obs, actions and perhaps view, got {sorted(arrays)}")
    return Clip(obs=arrays["obs"], actions=arrays["actions"], view=arrays.get("view"), **fields)
