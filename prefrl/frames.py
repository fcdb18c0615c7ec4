"""Pictures that a user's own environment makes: checked, masked, and drawn as they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from prefrl.errors import UserError

Box = tuple[int, int, int, int]
"""(x, y, width, height) in pixels of a picture."""


@dataclass(frozen=True, slots=True)
class FrameDrawer:
    """Draws clips whose pictures were kept: as views, or as the observations themselves."""

    source: Literal["view", "obs"]

    def draw(self, obs: NDArray[Any], view: NDArray[Any] | None) -> NDArray[np.uint8]:
        """Frames (T, H, W, 3) from views of that shape, or from observations (T, 1 or 3, H, W).

        Raises:
            UserError: Where the pictures should be, there are none.
        """
        frames = view if self.source == "view" else np.moveaxis(obs, 1, -1)
        if frames is None or frames.ndim != 4 or frames.dtype != np.uint8 or frames.shape[3] not in (1, 3):
            got = "none" if frames is None else f"{frames.dtype} {frames.shape}"
            raise UserError(f"expected a clip with pictures in its {self.source}, uint8 (T, H, W, 3), got {got}")
        return frames if frames.shape[3] == 3 else np.repeat(frames, 3, axis=3)


def checked_frame(frame: Any, env_id: str) -> NDArray[np.uint8]:
    """What `render()` returned, if it is a picture: a copy, uint8 (H, W, 3).

    Raises:
        UserError: It is no picture; the message says how to make it one.
    """
    if frame is None:
        raise UserError(
            f"expected render() of {env_id} to return a picture, got None; return an RGB array "
            "(H, W, 3) of uint8 "
            'when render_mode is "rgb_array"'
        )
    array = np.array(frame)
    shape, remedy = array.shape, ""
    if np.issubdtype(array.dtype, np.floating):
        bright = bool(array.size) and float(np.nanmax(array)) > 1.0
        remedy = "cast it to uint8" if bright else "multiply by 255 and cast to uint8"
    elif array.dtype != np.uint8:
        remedy = "cast it to uint8"
    elif array.ndim == 2:
        remedy = "repeat the grey picture in 3 channels: np.stack([frame] * 3, axis=-1)"
    elif array.ndim == 3 and shape[2] == 1:
        remedy = "repeat the grey picture in 3 channels: np.repeat(frame, 3, axis=-1)"
    elif array.ndim == 3 and shape[2] == 4:
        remedy = "drop the fourth channel: frame[..., :3]"
    elif array.ndim == 3 and shape[0] == 3 and shape[2] != 3:
        remedy = "put the channels last: frame.transpose(1, 2, 0)"
    elif array.ndim != 3 or shape[2] != 3 or array.size == 0:
        remedy = "return one RGB array"
    if remedy:
        raise UserError(f"expected render() of {env_id} to return uint8 (H, W, 3), got {array.dtype} {shape}; {remedy}")
    return array


def check_boxes(boxes: Sequence[Sequence[int]], height: int, width: int) -> tuple[Box, ...]:
    """Masks that lie inside a picture.

    Raises:
        UserError: The first that does not.
    """
    checked: list[Box] = []
    for box in boxes:
        x, y, w, h = (int(n) for n in box) if len(box) == 4 else (-1, -1, 0, 0)
        if min(x, y) < 0 or min(w, h) < 1 or x + w > width or y + h > height:
            raise UserError(
                f"expected a mask x, y, width, height within the picture of {width}x{height} pixels, got {tuple(box)}"
            )
        checked.append((x, y, w, h))
    return tuple(checked)


def black_out(picture: NDArray[np.uint8], boxes: Sequence[Box]) -> None:
    """Blacken boxes of a picture (..., H, W) in place; for (H, W, 3) pass it with the channels
    first.
    """
    for x, y, w, h in boxes:
        picture[..., y : y + h, x : x + w] = 0
