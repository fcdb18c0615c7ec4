"""Draws labels for a video: two clips side by side as the labeler saw them, the better one framed, and who said so.

Numpy in, numpy out. Blue is left and orange is right, as in the labeling window.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from labeling.choice import Choice
from prefrl.errors import UserError

_Colour = tuple[int, int, int]
_BACK, _EMPTY, _BRIGHT, _DIM = (22, 26, 31), (43, 50, 58), (238, 240, 242), (162, 170, 178)
_BLUE, _ORANGE, _GREY = (86, 180, 233), (230, 159, 0), (110, 120, 134)
_LOW_HEIGHT = 300
"""Clips lower than this are enlarged by a whole factor, so that their pixels stay crisp."""
_MARGIN, _GAP, _FRAME = 20, 20, 4
_HEADER, _FOOTER = 52, 84
_LARGE, _SMALL = 19, 15
"""Heights of letters."""
_SECONDS_EACH = 3.0
"""Shorter clips are played several times."""
_PAUSE_SECONDS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A query as it was on the screen, and the answer."""

    left: NDArray[np.uint8]
    """The clip that was shown on the left, (T, H, W, 3) RGB."""
    right: NDArray[np.uint8]
    """The clip that was shown on the right."""
    frame_rate: float
    """Frames per second at real speed."""
    choice: Choice | None
    """Of the sides as shown; None where nobody has answered."""
    title: str
    """What people were asked to make the agent do."""
    caption: str
    """Who answered, when."""


def label_frames(shown: Sequence[Shown]) -> Iterator[NDArray[np.uint8]]:
    """Frames (H, W, 3) of one label after the other, at the first one's frame rate; all have the same size."""
    letters = _lettering()
    rate = shown[0].frame_rate
    height, width = shown[0].left.shape[1:3]
    factor = math.ceil(_LOW_HEIGHT / height)
    cell = (height * factor, width * factor)
    for label in shown:
        panel = _panel(letters, label, cell)
        n_frames = max(len(label.left), len(label.right))
        n_each = max(1, round(n_frames * rate / label.frame_rate))
        for _ in range(max(1, math.ceil(_SECONDS_EACH * rate / n_each))):
            for i in range(n_each):
                step = min(n_frames - 1, int(i * label.frame_rate / rate))
                frame = _with_clips(panel, label, cell, step, (i + 1) / n_each)
                yield frame
        for _ in range(round(_PAUSE_SECONDS * rate)):
            yield frame


def _lettering() -> ModuleType:
    """What writes, which needs OpenCV."""
    try:
        return importlib.import_module("labeling.lettering")
    except ImportError as error:
        raise UserError(f"expected OpenCV to play labels ({error})") from error


def _corners(cell: tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
    """Top left corners (y, x) of the left and the right clip."""
    y = _HEADER + _FRAME
    x = _MARGIN + _FRAME
    return (y, x), (y, x + cell[1] + 2 * _FRAME + _GAP)


def _panel(letters: ModuleType, label: Shown, cell: tuple[int, int]) -> NDArray[np.uint8]:
    """Everything but the moving pictures."""
    width = 2 * (_MARGIN + cell[1] + 2 * _FRAME) + _GAP
    room = width - 2 * _MARGIN
    panel = np.full((_HEADER + cell[0] + 2 * _FRAME + _FOOTER, width, 3), _BACK, np.uint8)
    title = letters.shortened(label.title or "Which is better?", room, _LARGE, 600)
    letters.write(panel, title, (_MARGIN, 34), _LARGE, _BRIGHT, 600)
    for (y, x), (word, colour) in zip(_corners(cell), _VERDICTS[label.choice], strict=True):
        if word:
            panel[y - _FRAME : y + cell[0] + _FRAME, x - _FRAME : x + cell[1] + _FRAME] = colour
        middle = (x + cell[1] // 2, y + cell[0] + _FRAME + 34)
        letters.write_centred(panel, word, middle, _LARGE, colour, 600)
    caption = letters.shortened(label.caption, room, _SMALL)
    letters.write(panel, caption, (_MARGIN, len(panel) - 16), _SMALL, _DIM)
    return panel


_VERDICTS: dict[Choice | None, tuple[tuple[str, _Colour], tuple[str, _Colour]]] = {
    Choice.LEFT: (("better", _BLUE), ("", _BACK)),
    Choice.RIGHT: (("", _BACK), ("better", _ORANGE)),
    Choice.EQUAL: (("equally good", _BLUE), ("equally good", _ORANGE)),
    Choice.SKIP: (("can't tell", _GREY), ("can't tell", _GREY)),
    None: (("", _BACK), ("", _BACK)),
}


def _with_clips(
    panel: NDArray[np.uint8], label: Shown, cell: tuple[int, int], step: int, share: float
) -> NDArray[np.uint8]:
    frame = panel.copy()
    for (y, x), clip in zip(_corners(cell), (label.left, label.right), strict=True):
        frame[y : y + cell[0], x : x + cell[1]] = _fitted(clip[min(step, len(clip) - 1)], cell)
    _, width = frame.shape[:2]
    bar = _HEADER + cell[0] + 2 * _FRAME + 6  # how far the clips have come
    frame[bar : bar + 2, _MARGIN : width - _MARGIN] = _EMPTY
    frame[bar : bar + 2, _MARGIN : _MARGIN + round(share * (width - 2 * _MARGIN))] = _DIM
    return frame


def _fitted(picture: NDArray[np.uint8], cell: tuple[int, int]) -> NDArray[np.uint8]:
    """The picture in a cell (height, width), by its nearest pixels, its sides in proportion."""
    scale = min(cell[0] / picture.shape[0], cell[1] / picture.shape[1])
    height, width = (max(1, round(n * scale)) for n in picture.shape[:2])
    rows = np.arange(height) * picture.shape[0] // height
    columns = np.arange(width) * picture.shape[1] // width
    fitted = np.full((*cell, 3), _EMPTY, np.uint8)
    top, left = (cell[0] - height) // 2, (cell[1] - width) // 2
    fitted[top : top + height, left : left + width] = picture[rows[:, None], columns]
    return fitted
