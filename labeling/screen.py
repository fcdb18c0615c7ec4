"""What the labeling window shows: frames and facts in, one picture out; nothing here opens a window or reads a key.

Everything follows the size that is asked for. Frames of games stay crisp: their pixels are enlarged as squares.
"""

from __future__ import annotations

import functools
import math

import cv2
import numpy as np
from numpy.typing import NDArray

from labeling import lettering, surround
from labeling.choice import Choice
from labeling.keys import ROWS
from labeling.lettering import Picture
from labeling.surround import Box, Facts

LEAST_SIZE = (320, 240)
"""Width and height below which nothing would be readable; a smaller window shows this picture made smaller."""

GAME_PIXELS = 256
"""Frames whose sides are all at most this long are enlarged pixel by pixel, larger ones smoothly."""

Frame = NDArray[np.uint8]
"""(H, W, 3), red, green, blue."""


def pair_picture(size: tuple[int, int], facts: Facts, left: Frame, right: Frame, shown: float) -> Picture:
    """Two clips side by side in a picture of `size` (width, height); `shown` of the clips is over, 0 to 1."""
    around, (left_box, right_box), bar = _around(_at_least(size), facts)
    picture = around.copy()
    for frame, box in ((left, left_box), (right, right_box)):
        place_frame(picture, frame, box)
    x, y, width, height = bar
    surround.fill(picture, (x, y, max(1, round(width * shown)), height), surround.DIM)
    return _exactly(picture, size)


def help_picture(size: tuple[int, int], facts: Facts, behind: Picture | None = None) -> Picture:
    """The task and all the keys, over a dimmed picture of what lies behind."""
    width, height = _at_least(size)
    unit = surround.unit((width, height))
    picture = np.full((height, width, 3), surround.BACKGROUND, np.uint8)
    if behind is not None and behind.shape == picture.shape:
        picture = (behind >> 2).astype(np.uint8)
    text, gap = surround.letters(17, unit), round(9 * unit)
    row = lettering.cap_height(text) + gap
    task_size = surround.letters(21, unit)
    card_width = min(width - 2 * gap, round(880 * unit))
    margin = round(min(36 * unit, card_width / 14))
    task = lettering.wrapped(facts.task, card_width - 2 * margin, task_size, 500, n_lines=4)
    card_height = 2 * margin + round(1.4 * task_size) * len(task) + 2 * gap + row * len(ROWS) + round(1.8 * text)
    x, y = (width - card_width) // 2, max(0, (height - card_height) // 2)
    lettering.rounded(
        picture, (x, y, card_width, min(card_height, height - y)), round(12 * unit), surround.PANEL, surround.EDGE
    )
    x, y = x + margin, y + margin
    for line in task:
        y += round(1.4 * task_size)
        lettering.write(picture, line, (x, y - round(0.4 * task_size)), task_size, surround.BRIGHT, 500)
    y += 2 * gap
    column = max(surround.caps_width(key_row.caps, text) for key_row in ROWS) + 2 * text
    room = card_width - 2 * margin - column
    for key_row in ROWS:
        surround.draw_caps(picture, key_row, key_row.caps, (x, y), text)
        does = lettering.shortened(key_row.does, room, text)
        lettering.write(picture, does, (x + column, y + round(1.22 * text)), text, surround.BRIGHT)
        y += row
    note = "Judge what you see, not points. Every answer is saved at once."
    note = lettering.shortened(note, card_width - 2 * margin, surround.letters(14, unit))
    lettering.write(picture, note, (x, y + round(1.3 * text)), surround.letters(14, unit), surround.DIM)
    return _exactly(picture, size)


def note_picture(
    size: tuple[int, int], facts: Facts, heading: str, lines: tuple[str, ...], keys: str, beat: float | None = None
) -> Picture:
    """A screen without clips: why none waits, or how the session went; `keys` says what can be pressed.

    `beat` in 0 to 1 moves three dots, for a sign of life while something is being waited for.
    """
    width, height = _at_least(size)
    unit = surround.unit((width, height))
    picture = np.full((height, width, 3), surround.BACKGROUND, np.uint8)
    margin = round(20 * unit)
    surround.draw_head(picture, facts, margin, unit)
    head_size, text = surround.letters(32, unit), surround.letters(19, unit)
    room = width - 2 * margin
    headings = lettering.wrapped(heading, room, head_size, 600, n_lines=2)
    wrapped = [piece for line in lines for piece in (lettering.wrapped(line, room, text) or [""])]
    tall = round(1.4 * head_size) * len(headings) + round(1.6 * text) * (len(wrapped) + 2)
    middle, y = width // 2, max(round(0.2 * height), (height - tall) // 2)
    for line in headings:
        y += round(1.4 * head_size)
        lettering.write_centred(picture, line, (middle, y - round(0.4 * head_size)), head_size, surround.BRIGHT, 600)
    y += round(0.6 * text)
    for line in wrapped:
        y += round(1.6 * text)
        lettering.write_centred(picture, line, (middle, y - round(0.5 * text)), text, surround.DIM)
    if beat is not None:
        _draw_dots(picture, (middle, y + round(1.6 * text)), beat, unit)
    small = surround.letters(15, unit)
    foot = height - round(28 * unit)
    lettering.write_centred(picture, lettering.shortened(keys, room, small), (middle, foot), small, surround.DIM)
    surround.draw_message(picture, facts, (margin, foot - round(4.4 * small), room), surround.letters(17, unit))
    return _exactly(picture, size)


def place_frame(picture: Picture, frame: Frame, box: Box) -> None:
    """Puts a frame into the middle of a box, as large as it fits."""
    x, y, width, height = box
    scaled = scale_frame(frame, width, height)[:, :, ::-1]
    rows, columns = scaled.shape[:2]
    top, left = y + (height - rows) // 2, x + (width - columns) // 2
    picture[top : top + rows, left : left + columns] = scaled


def scale_frame(frame: Frame, width: int, height: int) -> Frame:
    """The frame at the largest size of its own shape that fits.

    A game's small frame is enlarged by a whole factor where that fills most of the room; else by the next larger one
    and then made smaller by averages, which keeps its pixels square and their borders sharp.
    """
    rows, columns = frame.shape[:2]
    fit = min(width / columns, height / rows)
    if max(rows, columns) <= GAME_PIXELS and fit >= 1:
        whole = math.floor(fit)
        if whole / fit >= 0.85:
            return np.repeat(np.repeat(frame, whole, axis=0), whole, axis=1)
        frame = np.repeat(np.repeat(frame, whole + 1, axis=0), whole + 1, axis=1)
    wanted = (max(1, min(width, round(columns * fit))), max(1, min(height, round(rows * fit))))
    is_smaller = wanted[0] < frame.shape[1]
    scaled = cv2.resize(frame, wanted, interpolation=cv2.INTER_AREA if is_smaller else cv2.INTER_CUBIC)
    return np.asarray(scaled, np.uint8)


@functools.lru_cache(maxsize=4)
def _around(size: tuple[int, int], facts: Facts) -> tuple[Picture, tuple[Box, Box], Box]:
    """Everything but the frames; where those go, left and right; and where the bar of the playback goes."""
    width, height = size
    unit = surround.unit(size)
    picture = np.full((height, width, 3), surround.BACKGROUND, np.uint8)
    margin = round(20 * unit)
    top = surround.draw_head(picture, facts, margin, unit)
    foot = surround.draw_legend(picture, margin, surround.letters(15, unit))
    foot = surround.draw_progress(picture, facts, (margin, foot - margin // 3, width - 2 * margin), unit)
    text = surround.letters(17, unit)
    foot -= round(2.5 * text)
    surround.draw_message(picture, facts, (margin, foot, width - 2 * margin), text)
    bar = (margin, foot - round(12 * unit), width - 2 * margin, max(3, round(4 * unit)))
    surround.fill(picture, bar, surround.EDGE)
    panel_width = (width - 3 * margin) // 2
    panel_height = max(20, bar[1] - round(12 * unit) - top)
    left = surround.draw_panel(picture, (margin, top, panel_width, panel_height), Choice.LEFT, facts.glow, unit)
    at_right = (width - margin - panel_width, top, panel_width, panel_height)
    right = surround.draw_panel(picture, at_right, Choice.RIGHT, facts.glow, unit)
    picture.flags.writeable = False
    return picture, (left, right), bar


def _draw_dots(picture: Picture, middle: tuple[int, int], beat: float, unit: float) -> None:
    for i in range(3):
        lit = 0.5 + 0.5 * math.cos(2 * math.pi * (beat - i / 3))
        colour = tuple(
            round(dark + lit * (light - dark)) for dark, light in zip(surround.EDGE, surround.BRIGHT, strict=True)
        )
        at = (middle[0] + round((i - 1) * 22 * unit), middle[1])
        cv2.circle(picture, at, max(2, round(5 * unit)), colour, -1, cv2.LINE_AA)


def _at_least(size: tuple[int, int]) -> tuple[int, int]:
    return max(size[0], LEAST_SIZE[0]), max(size[1], LEAST_SIZE[1])


def _exactly(picture: Picture, size: tuple[int, int]) -> Picture:
    if picture.shape[1::-1] == size:
        return picture
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
