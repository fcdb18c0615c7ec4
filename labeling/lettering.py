"""Letters, key caps and rounded boxes on a picture: numpy in, numpy out, no window.

OpenCV 5 brings a real typeface for all scripts; with OpenCV 4 its plotter letters have to do, and what they lack is
written in ASCII. Colours are (blue, green, red), as OpenCV has them.

Raises:
    ImportError: at import, where there is no OpenCV, saying what to install.
"""

from __future__ import annotations

import functools
import unicodedata
from typing import Any

import numpy as np
from numpy.typing import NDArray

try:
    import cv2
except ImportError as error:
    raise ImportError(f"drawing the labeling window needs OpenCV ({error}): pip install 'prefrl[window]'") from error

Picture = NDArray[np.uint8]
"""(H, W, 3), blue, green, red."""
Colour = tuple[int, int, int]

HAS_TYPEFACE = hasattr(cv2, "FontFace")
_ARROWS = {"←": (-1, 0), "→": (1, 0), "↑": (0, -1), "↓": (0, 1)}
_IN_ASCII = str.maketrans({"·": "-", "…": "...", "’": "'", "–": "-", "—": "-", "×": "x", "¼": "1/4", "½": "1/2"})


def write(canvas: Picture, text: str, at: tuple[int, int], size: int, colour: Colour, weight: int = 400) -> None:
    """Writes one line, its left end and baseline `at` (x, y), letters `size` pixels high, weight 100 to 900."""
    text = _printable(text)
    if HAS_TYPEFACE:
        # Without the end of the range, letters past the right border would go on in a second line.
        cv2.putText(canvas, text, at, colour, _face(), size, weight, cv2.PUT_TEXT_ALIGN_LEFT, (0, 1 << 20))
        return
    cv2.putText(canvas, _ascii(text), at, cv2.FONT_HERSHEY_SIMPLEX, size / 31, colour, _stroke(size, weight), 16)


@functools.lru_cache(maxsize=4096)
def width_of(text: str, size: int, weight: int = 400) -> int:
    """Width in pixels of a line so written."""
    text = _printable(text)
    if HAS_TYPEFACE:
        _, _, width, _ = cv2.getTextSize((1 << 20, 1 << 12), text, (0, 1 << 11), _face(), size, weight)
        return int(width)
    (width, _), _ = cv2.getTextSize(_ascii(text), cv2.FONT_HERSHEY_SIMPLEX, size / 31, _stroke(size, weight))
    return int(width)


def write_centred(
    canvas: Picture, text: str, at: tuple[int, int], size: int, colour: Colour, weight: int = 400
) -> None:
    """The same with the middle of the line at x."""
    write(canvas, text, (at[0] - width_of(text, size, weight) // 2, at[1]), size, colour, weight)


def shortened(text: str, width: int, size: int, weight: int = 400) -> str:
    """The text, or as much of its beginning as fits into `width` pixels, and three dots."""
    if width_of(text, size, weight) <= width:
        return text
    while text and width_of(f"{text}…", size, weight) > width:
        text = text[:-1].rstrip()
    return f"{text}…"


def wrapped(text: str, width: int, size: int, weight: int = 400, n_lines: int = 100) -> list[str]:
    """The text in lines of at most `width` pixels; what is more than `n_lines` is cut off with three dots."""
    lines: list[str] = []
    words = [piece for word in text.split() for piece in _pieces(word, width, size, weight)]
    for word in words:
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and width_of(longer, size, weight) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    if len(lines) > n_lines:
        lines[n_lines - 1] = shortened(" ".join(lines[n_lines - 1 :]), width, size, weight)
    return lines[:n_lines]


def rounded(
    canvas: Picture, box: tuple[int, int, int, int], radius: int, fill: Colour, edge: Colour | None = None
) -> None:
    """A filled box (x, y, width, height) with round corners, and an edge of one pixel where asked for."""
    x, y, width, height = box
    if width < 2 or height < 2:
        return
    radius = max(0, min(radius, width // 2, height // 2))
    if edge is not None:
        rounded(canvas, box, radius, edge)
        x, y, width, height, radius = x + 1, y + 1, width - 2, height - 2, max(0, radius - 1)
    x_end, y_end = x + width - 1, y + height - 1
    cv2.rectangle(canvas, (x + radius, y), (x_end - radius, y_end), fill, -1)
    cv2.rectangle(canvas, (x, y + radius), (x_end, y_end - radius), fill, -1)
    for centre in ((x + radius, y + radius), (x_end - radius, y + radius)):
        cv2.circle(canvas, centre, radius, fill, -1, cv2.LINE_AA)
        cv2.circle(canvas, (centre[0], y_end - radius), radius, fill, -1, cv2.LINE_AA)


def cap_width(key: str, size: int) -> int:
    """Width in pixels of a key cap of that height of letters."""
    height = cap_height(size)
    return height if key in _ARROWS else max(height, width_of(key, size, 500) + size)


def cap_height(size: int) -> int:
    """Height in pixels of a key cap of that height of letters."""
    return round(1.75 * size)


def draw_cap(canvas: Picture, key: str, at: tuple[int, int], size: int, ink: Colour, fill: Colour, edge: Colour) -> int:
    """Draws one key, its upper left corner `at`, and returns its width."""
    width, height = cap_width(key, size), cap_height(size)
    rounded(canvas, (*at, width, height), round(0.35 * size), fill, edge)
    x, y = at[0] + width // 2, at[1] + height // 2
    if key in _ARROWS:
        _arrow(canvas, (x, y), _ARROWS[key], size, ink)
    else:
        write_centred(canvas, key, (x, y + round(0.36 * size)), size, ink, 500)
    return width


def _arrow(canvas: Picture, middle: tuple[int, int], way: tuple[int, int], size: int, ink: Colour) -> None:
    (x, y), (dx, dy) = middle, way
    reach, head, shift = 0.42 * size, 0.30 * size, 4

    def point(along: float, across: float) -> tuple[int, int]:
        at = (x + dx * along - dy * across, y + dy * along + dx * across)
        return round(at[0] * 2**shift), round(at[1] * 2**shift)

    thickness = max(1, round(size / 9))
    tip = point(reach, 0)
    for tail in (point(-reach, 0), point(reach - head, head), point(reach - head, -head)):
        cv2.line(canvas, tip, tail, ink, thickness, cv2.LINE_AA, shift)


def _pieces(word: str, width: int, size: int, weight: int) -> list[str]:
    """The word itself, or cut where it is wider than a line, as in scripts that know no spaces."""
    pieces = [""]
    for letter in word:
        if pieces[-1] and width_of(pieces[-1] + letter, size, weight) > width:
            pieces.append("")
        pieces[-1] += letter
    return pieces


@functools.cache
def _face() -> Any:  # cv2.FontFace, which OpenCV 4 does not know
    return cv2.FontFace("sans")


def _printable(text: str) -> str:
    """Without what moves or turns the writing; a lone half of a surrogate pair would end the process in OpenCV."""
    return text if text.isprintable() else "".join(letter if letter.isprintable() else " " for letter in text)


def _ascii(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text.translate(_IN_ASCII))
    kept = "".join(letter for letter in plain if not unicodedata.combining(letter))
    return kept.encode("ascii", "replace").decode()


def _stroke(size: int, weight: int) -> int:
    return max(1, round(size * (weight / 400) / 20))
