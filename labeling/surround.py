"""What stands around the clips in the labeling window: task, sides, messages, progress, keys; each drawn in its place.

Blue is left and orange is right, a pair of colours that colour-blind people tell apart.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from labeling import lettering
from labeling.choice import Choice
from labeling.keys import ROWS, KeyRow
from labeling.lettering import Colour, Picture

BACKGROUND: Colour = (31, 26, 22)
PANEL: Colour = (20, 16, 13)
EDGE: Colour = (66, 58, 50)
BRIGHT: Colour = (242, 240, 238)
DIM: Colour = (178, 170, 162)
BLUE: Colour = (233, 180, 86)
ORANGE: Colour = (0, 159, 230)
RED: Colour = (28, 54, 196)
CAP: Colour = (58, 50, 43)
CAP_EDGE: Colour = (104, 94, 84)


Box = tuple[int, int, int, int]
"""Left, top, width, height in pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that stands around the clips."""

    title: str
    """Which run this is."""
    task: str
    """What the labeler is to look for."""
    n_answered: int
    """Answers of this labeler that count."""
    total_labels: int
    """Answers that are asked for in all."""
    per_minute: float
    """Answers per minute of late, 0 where not known."""
    agent: str
    """How the agent is doing, in one line."""
    playing: str = ""
    """What is special about the playback, as "paused" or "1/2 speed"."""
    message: str = ""
    """What came of the last key."""
    notice: str = ""
    """Something for the labeler's own good, as to take a break."""
    is_error: bool = False
    """Whether the message is of something that went wrong."""
    glow: Choice | None = None
    """The last answer, for as long as its side is lit."""


def unit(size: tuple[int, int]) -> float:
    """How much larger all is drawn than at 1280 x 800."""
    return min(3.0, max(0.5, min(size[0] / 1280, size[1] / 800)))


def fill(picture: Picture, box: Box, colour: Colour) -> None:
    """Fills a box with one colour."""
    x, y, width, height = box
    picture[y : y + height, x : x + width] = colour


def letters(size: int, unit: float) -> int:
    """Height of letters in pixels; never so small that they cannot be read."""
    return max(11, round(size * unit))


def draw_head(picture: Picture, facts: Facts, margin: int, unit: float) -> int:
    """Draws the task, and the run's title above it; returns where the rest begins."""
    width = picture.shape[1]
    small, large = letters(14, unit), letters(27, unit)
    room = width - 2 * margin
    y = round(0.7 * margin) + small
    lettering.write(picture, lettering.shortened(facts.title, room, small), (margin, y), small, DIM)
    y += round(0.35 * small)
    for line in lettering.wrapped(facts.task, room, large, 600, n_lines=2):
        y += round(1.25 * large)
        lettering.write(picture, line, (margin, y - round(0.2 * large)), large, BRIGHT, 600)
    return y + round(0.6 * margin)


def draw_panel(picture: Picture, box: Box, side: Choice, glow: Choice | None, unit: float) -> Box:
    """One side's frame with its name and keys; returns the room for the clip."""
    x, y, width, height = box
    colour = BLUE if side is Choice.LEFT else ORANGE
    is_lit = glow is side or glow is Choice.EQUAL
    border = max(2, round(4 * unit))
    lettering.rounded(picture, box, round(10 * unit), colour if is_lit else EDGE)
    inner = (x + border, y + border, width - 2 * border, height - 2 * border) if is_lit else _shrunk(box, 1)
    lettering.rounded(picture, inner, round(8 * unit), PANEL)
    text = letters(16, unit)
    strip = lettering.cap_height(text) + round(14 * unit)
    pad = round(14 * unit)
    name = "Left" if side is Choice.LEFT else "Right"
    lettering.write(picture, name, (x + pad, y + strip // 2 + round(0.38 * text)), text, colour, 700)
    row = ROWS[0] if side is Choice.LEFT else ROWS[1]
    wide = caps_width(row.caps, text)
    if wide + lettering.width_of(name, text, 700) + 3 * pad <= width:
        at = (x + width - pad - wide, y + (strip - lettering.cap_height(text)) // 2)
        draw_caps(picture, row, row.caps, at, text)
    pad = max(border, round(6 * unit))
    return (x + pad, y + strip, max(8, width - 2 * pad), max(8, height - strip - pad))


def draw_message(picture: Picture, facts: Facts, at: tuple[int, int, int], text: int) -> None:
    """Draws on a line (x, y, width): a notice, in the middle what came of the last key, then the playback's state."""
    x, y, width = at
    base = y + round(1.45 * text)
    sides = [lettering.shortened(said, width // 3, text) for said in (facts.notice, facts.playing)]
    widths = [lettering.width_of(said, text) if said else 0 for said in sides]
    lettering.write(picture, sides[0], (x, base), text, BRIGHT)
    lettering.write(picture, sides[1], (x + width - widths[1], base), text, DIM)
    if not facts.message:
        return
    message = lettering.shortened(facts.message, width - 2 * (max(widths) + 2 * text), text, 500)
    wide = lettering.width_of(message, text, 500)
    left = x + (width - wide) // 2
    colour = BRIGHT
    if facts.is_error:
        lettering.rounded(picture, (left - text, y, wide + 2 * text, round(2.1 * text)), text, RED)
    elif facts.glow is not None:
        colour = {Choice.LEFT: BLUE, Choice.RIGHT: ORANGE}.get(facts.glow, BRIGHT)
    lettering.write(picture, message, (left, base), text, colour, 500)


def draw_progress(picture: Picture, facts: Facts, at: tuple[int, int, int], unit: float) -> int:
    """How far the labeler and the agent are, on one line that ends at y; returns where it begins."""
    x, y, width = at
    text = letters(15, unit)
    top = y - round(1.9 * text)
    base = top + round(1.35 * text)
    bar_width = round(min(width / 6, 170 * unit))
    bar = (x, base - round(0.55 * text), bar_width, max(4, round(0.4 * text)))
    share = min(1.0, facts.n_answered / max(1, facts.total_labels))
    fill(picture, bar, EDGE)
    fill(picture, (*bar[:2], max(2, round(bar_width * share)), bar[3]), BRIGHT)
    left = x + bar_width + text
    agent = lettering.shortened(facts.agent, width // 2, text)
    agent_width = lettering.width_of(agent, text)
    lettering.write(picture, agent, (x + width - agent_width, base), text, DIM)
    room = x + width - agent_width - 2 * text - left
    parts = _progress_parts(facts)
    while len(parts) > 1 and lettering.width_of("   ".join(parts), text) > room:
        parts.pop()
    lettering.write(picture, lettering.shortened("   ".join(parts), max(1, room), text), (left, base), text, BRIGHT)
    return top


def _progress_parts(facts: Facts) -> list[str]:
    parts = [f"{facts.n_answered:,} / {facts.total_labels:,} answered"]
    if facts.per_minute > 0:
        parts.append(f"{facts.per_minute:.1f} per minute")
        minutes = math.ceil(max(0, facts.total_labels - facts.n_answered) / facts.per_minute)
        if minutes:
            parts.append(f"about {minutes:,} min to go")
    return parts


def draw_legend(picture: Picture, margin: int, text: int) -> int:
    """The keys along the bottom, in as many lines as they need; returns where they begin."""
    height, width = picture.shape[:2]
    gap, between = round(0.45 * text), round(1.15 * text)
    widths = [caps_width(row.short, text) + gap + lettering.width_of(row.name, text) for row in ROWS]
    lines = _lines_of(widths, between, width - 2 * margin)
    step = lettering.cap_height(text) + round(0.5 * text)
    top: int = height - margin // 2 - step * len(lines)
    for i, line in enumerate(lines):
        x = (width - sum(widths[k] for k in line) - between * (len(line) - 1)) // 2
        for k in line:
            draw_caps(picture, ROWS[k], ROWS[k].short, (x, top + i * step), text)
            at = (x + caps_width(ROWS[k].short, text) + gap, top + i * step + round(1.22 * text))
            lettering.write(picture, ROWS[k].name, at, text, DIM)
            x += widths[k] + between
    return top


def _lines_of(widths: list[int], between: int, room: int) -> list[list[int]]:
    """Indices of the items in lines of about equal length, as few lines as will do."""
    total = sum(widths) + between * (len(widths) - 1)
    n_lines = max(1, math.ceil(total / max(1, room)))
    while True:
        lines: list[list[int]] = [[]]
        used = 0
        for i, width in enumerate(widths):
            is_full = bool(lines[-1]) and used + width > room
            is_balanced = len(lines) < n_lines and used + width / 2 > total / n_lines
            if is_full or (lines[-1] and is_balanced):
                lines.append([])
                used = 0
            lines[-1].append(i)
            used += width + between
        if len(lines) <= n_lines:
            return lines
        n_lines = len(lines)


def draw_caps(picture: Picture, row: KeyRow, caps: tuple[str, ...], at: tuple[int, int], text: int) -> None:
    """Draws these keys of a row side by side, the answers' own in the colours of their sides."""
    x, y = at
    edge = {ROWS[0]: BLUE, ROWS[1]: ORANGE}.get(row, CAP_EDGE)
    for cap in caps:
        x += lettering.draw_cap(picture, cap, (x, y), text, BRIGHT, CAP, edge) + int(0.3 * text)


def caps_width(caps: tuple[str, ...], text: int) -> int:
    """Width in pixels of key caps side by side."""
    return sum(lettering.cap_width(cap, text) for cap in caps) + int(0.3 * text) * (len(caps) - 1)


def _shrunk(box: Box, by: int) -> Box:
    x, y, width, height = box
    return x + by, y + by, width - 2 * by, height - 2 * by
