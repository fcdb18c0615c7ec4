"""What the page needs to know about a clip's pictures, and whether they are whole.

A clip is a VP8 video in WebM and, for browsers that cannot play it, a film strip: one PNG of all frames, row by row.
"""

from __future__ import annotations

import functools
import json
import math
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labeling.clip import MAX_CLIP_BYTES, ClipError
from labeling.desk import Offer
from labeling.pictures import Pictures

__all__ = ["MEDIA_TYPES", "ClipFacts", "offer_json", "read_facts", "require_whole"]

MEDIA_TYPES = {"webm": "video/webm", "png": "image/png"}
"""Endings under which clips are served, with their types."""

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_MAX_SIDE = 1 << 16


@dataclass(frozen=True, slots=True)
class ClipFacts:
    """How the frames of a clip lie in time and in its film strip."""

    n_frames: int
    """T."""
    frame_rate: float
    """Frames per second at the world's real speed."""
    width: int
    """Of one frame in the strip, in pixels."""
    height: int
    """Of one frame in the strip, in pixels."""
    columns: int
    """Frames beside each other in the strip."""

    def __post_init__(self) -> None:
        for name in ("n_frames", "width", "height", "columns"):
            value: object = getattr(self, name)
            if not isinstance(value, int) or not 1 <= value <= _MAX_SIDE:
                raise ClipError(f"expected {name} from 1 to {_MAX_SIDE}, got {value!r:.40}")
        rate: object = self.frame_rate
        if not isinstance(rate, int | float) or not 0 < rate < math.inf:
            raise ClipError(f"expected a positive frame_rate, got {rate!r:.40}")


@functools.lru_cache(maxsize=4096)
def read_facts(pictures: Pictures, clip_id: str) -> ClipFacts:
    """The facts that were drawn with a clip.

    Raises:
        ClipError: if they are missing or damaged.
    """
    path = pictures.path(clip_id, "json")
    try:
        return ClipFacts(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise ClipError(f"pictures of clip {clip_id} cannot be shown: {error}") from error


def offer_json(pictures: Pictures, offer: Offer) -> dict[str, Any]:
    """An offer as the page gets it; whether the sides are swapped stays here.

    Raises:
        ClipError: if the facts of a clip are missing or damaged.
    """
    sides = {"left": offer.left_clip, "right": offer.right_clip}
    return {"query_id": offer.query_id, **{side: _clip_json(pictures, clip) for side, clip in sides.items()}}


def require_whole(pictures: Pictures, clip_id: str) -> None:
    """Checks a clip's film strip, every chunk by its sum; it stands in for a video that does not play.

    Raises:
        ClipError: saying what is wrong with it.
    """
    facts, path = read_facts(pictures, clip_id), pictures.path(clip_id, "png")
    n_rows = math.ceil(facts.n_frames / facts.columns)
    expected = (facts.width * facts.columns, facts.height * n_rows)
    try:
        found = _png_size(path)
    except OSError as error:
        raise ClipError(f"pictures of clip {clip_id} cannot be read: {error.strerror}") from error
    if found != expected:
        raise ClipError(f"pictures of clip {clip_id} are damaged: {found or 'no whole PNG'}, not {expected}")


def _clip_json(pictures: Pictures, clip_id: str) -> dict[str, Any]:
    facts = read_facts(pictures, clip_id)
    return {
        "clip_id": clip_id,
        "video": f"/clips/{clip_id}.webm",
        "strip": f"/clips/{clip_id}.png",
        **{name: getattr(facts, name) for name in ClipFacts.__dataclass_fields__},
    }


def _png_size(path: Path) -> tuple[int, int] | None:
    """Width and height of a PNG of which every byte is as it was written, else None."""
    with path.open("rb") as file:
        data = file.read(MAX_CLIP_BYTES)
    if not data.startswith(_PNG_SIGNATURE):
        return None
    size, at = None, len(_PNG_SIGNATURE)
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4])
        end = at + 8 + length
        kind, checksum = data[at + 4 : at + 8], data[end : end + 4]
        if len(checksum) < 4 or zlib.crc32(data[at + 4 : end]) != int.from_bytes(checksum):
            return None
        if kind == b"IHDR" and length == 13:
            size = (int.from_bytes(data[at + 8 : at + 12]), int.from_bytes(data[at + 12 : at + 16]))
        if kind == b"IEND":
            return size
        at = end + 4
    return None
