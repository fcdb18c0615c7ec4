"""Pictures of clips: what a drawing worker leaves for window and page, in files named by the clip's hash.

They can be drawn again at any time, so they may be deleted while nobody labels, and a damaged one is simply missing.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from labeling import durable, npz
from labeling.clip import MAX_CLIP_BYTES, ClipError, ClipFiles

ENDINGS = ("npz", "webm", "png", "json")
"""Frames for the window; for the page a video, the same as one picture of all frames, and what it needs to know."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """A clip as people see it."""

    frames: NDArray[np.uint8]
    """(T, H, W, 3) RGB."""
    frame_rate: float
    """Frames per second at the world's real speed."""


@dataclass(frozen=True, slots=True)
class Pictures:
    """A folder of pictures, in `<first two hex>/<clip_id>.<ending>`."""

    folder: Path
    """Made when the first is written."""

    def path(self, clip_id: str, ending: str) -> Path:
        """Where that file lies, whether or not it is there.

        Raises:
            ClipError: if `clip_id` is not 64 lower-case hex digits, or nothing has that ending.
        """
        if ending not in ENDINGS:
            raise ClipError(f"expected an ending of {', '.join(ENDINGS)}, got {ending!r:.20}")
        return ClipFiles(self.folder).path(clip_id).with_suffix(f".{ending}")

    def has_frames(self, clip_id: str) -> bool:
        """Whether the window could show this clip."""
        return self.path(clip_id, "npz").is_file()

    def has_video(self, clip_id: str) -> bool:
        """Whether the page could show this clip; its facts are written last."""
        return self.path(clip_id, "json").is_file()

    def write_frames(self, clip_id: str, frames: NDArray[np.uint8], frame_rate: float) -> None:
        """Writes frames (T, H, W, 3), whole or not at all."""
        header = json.dumps({"frame_rate": float(frame_rate)}).encode()
        self.write(clip_id, "npz", npz.pack({"frames": frames}, header))

    def read_frames(self, clip_id: str) -> Drawn:
        """The frames of a clip.

        Raises:
            ClipError: if they are missing or damaged.
        """
        path = self.path(clip_id, "npz")
        try:
            arrays, header = npz.unpack(path.read_bytes(), MAX_CLIP_BYTES)
            facts, frames = json.loads(header), arrays["frames"]
            frame_rate = float(facts["frame_rate"])
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise ClipError(f"pictures {path} cannot be read: {error}") from error
        if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3 or not 0 < frame_rate < math.inf:
            raise ClipError(f"pictures {path} are damaged: {frames.dtype} {frames.shape} at {frame_rate}")
        return Drawn(frames, frame_rate)

    def write(self, clip_id: str, ending: str, data: bytes) -> None:
        """Writes one file, whole or not at all.

        Raises:
            ClipError: if the disk refuses.
        """
        path = self.path(clip_id, ending)
        try:
            durable.write_files([(path, lambda: data)])
        except OSError as error:
            raise ClipError(f"cannot write {path}: {error.strerror}") from error
