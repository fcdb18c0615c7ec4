"""What each key does: one table for the window, for what is shown on the screen, and for the page to agree with.

`action_of` reads the codes of OpenCV's `waitKeyEx`, which differ from system to system. It is pure: nothing here waits
for a key.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from labeling.choice import Choice


class Action(enum.StrEnum):
    """What a person can do by pressing a key."""

    LEFT = "left"
    RIGHT = "right"
    EQUAL = "equal"
    SKIP = "skip"
    UNDO = "undo"
    PLAY = "play"
    BACK = "back"
    FORWARD = "forward"
    SLOWER = "slower"
    FASTER = "faster"
    HELP = "help"
    QUIT = "quit"
    ESCAPE = "escape"
    """Closes the help, or quits where none is open."""


CHOICES = {
    Action.LEFT: Choice.LEFT,
    Action.RIGHT: Choice.RIGHT,
    Action.EQUAL: Choice.EQUAL,
    Action.SKIP: Choice.SKIP,
}
"""The actions that answer, and what they answer: in the order of sides on the screen."""

REPEATING = frozenset({Action.BACK, Action.FORWARD})
"""Actions that a held key does again and again; every other is done once per press."""


@dataclass(frozen=True, slots=True)
class KeyRow:
    """What one action, or two that belong together, shows on the screen."""

    actions: tuple[Action, ...]
    """What the keys do."""
    short: tuple[str, ...]
    """Keys along the bottom of the screen."""
    caps: tuple[str, ...]
    """All the keys, as they are written in the help."""
    name: str
    """In two words."""
    does: str
    """In one sentence."""


ROWS = (
    KeyRow((Action.LEFT,), ("←",), ("←", "1", "A"), "left better", "The left clip is better"),
    KeyRow((Action.RIGHT,), ("→",), ("→", "2", "D"), "right better", "The right clip is better"),
    KeyRow((Action.EQUAL,), ("↑",), ("↑", "0", "E", "W"), "equal", "Both are equally good"),
    KeyRow((Action.SKIP,), ("↓",), ("↓", "S"), "can't tell", "Can't tell: skip this pair"),
    KeyRow(
        (Action.UNDO,), ("Backspace",), ("Backspace", "U"), "undo", "Take the last answer back and see its pair again"
    ),
    KeyRow((Action.PLAY,), ("Space",), ("Space",), "pause", "Pause, or play on"),
    KeyRow((Action.BACK, Action.FORWARD), (",", "."), (",", "."), "frame", "One frame back, one frame forward"),
    KeyRow((Action.SLOWER, Action.FASTER), ("[", "]"), ("[", "]"), "speed", "Slower, faster"),
    KeyRow((Action.HELP,), ("H",), ("H", "?"), "help", "Show or hide this help"),
    KeyRow((Action.QUIT, Action.ESCAPE), ("Q",), ("Q", "Esc"), "quit", "Save and quit"),
)
"""What is shown, in this order."""

WEB_KEYS = {
    "ArrowLeft": Action.LEFT,
    "1": Action.LEFT,
    "a": Action.LEFT,
    "ArrowRight": Action.RIGHT,
    "2": Action.RIGHT,
    "d": Action.RIGHT,
    "ArrowUp": Action.EQUAL,
    "0": Action.EQUAL,
    "e": Action.EQUAL,
    "w": Action.EQUAL,
    "ArrowDown": Action.SKIP,
    "s": Action.SKIP,
    "Backspace": Action.UNDO,
    "u": Action.UNDO,
    " ": Action.PLAY,
    ",": Action.BACK,
    ".": Action.FORWARD,
    "[": Action.SLOWER,
    "]": Action.FASTER,
    "h": Action.HELP,
    "?": Action.HELP,
    "q": Action.QUIT,
    "Escape": Action.ESCAPE,
}
"""Every key by its name in a browser (`KeyboardEvent.key`, letters in lower case); the page has the same table."""

# OpenCV hands on what each toolkit calls a key: GTK and Qt on X11 its keysym, Windows the virtual key times 2^16,
# macOS the characters that Cocoa keeps for function keys.
_NAMED_CODES = {
    "ArrowLeft": (0xFF51, 0x25 << 16, 0xF702),
    "ArrowUp": (0xFF52, 0x26 << 16, 0xF700),
    "ArrowRight": (0xFF53, 0x27 << 16, 0xF703),
    "ArrowDown": (0xFF54, 0x28 << 16, 0xF701),
    "Backspace": (0x08, 0xFF08, 0x7F),
    "Escape": (0x1B, 0xFF1B),
}
# Keys of the number pad count as the digits printed on them, whatever Num Lock makes of them.
_PAD_CODES = {0xFFB0: "0", 0xFFB1: "1", 0xFFB2: "2", 0xFF9E: "0", 0xFF9C: "1", 0xFF99: "2"}
_KEY_OF_CODE = {code: key for key, codes in _NAMED_CODES.items() for code in codes} | _PAD_CODES

# GTK sets these above the lowest 16 bits. Shift, the locks and the third level are no matter; a key pressed with one
# of these three belongs to the desktop.
_CONTROL, _ALT, _SUPER = 1 << 18, 1 << 19, 1 << 22

_MODIFIER_KEYS = frozenset({*range(0xFFE1, 0xFFEF), 0xFF7F, 0xFF14, 0xFE03, 0xFE08, 0xFF7E})


def action_of(code: int) -> Action | None:
    """What the key of this `waitKeyEx` code does; None where it does nothing."""
    if code < 0:
        return None
    low = code & 0xFFFF
    if low == 0:  # Windows: a virtual key
        return WEB_KEYS.get(_KEY_OF_CODE.get(code, ""))
    if code & (_CONTROL | _ALT | _SUPER):
        return None
    key = _KEY_OF_CODE.get(low)
    if key is None:
        key = chr(low).lower()
    return WEB_KEYS.get(key)


def is_modifier(code: int) -> bool:
    """Whether that is Shift, a lock or another key that means nothing by itself."""
    return code & 0xFFFF in _MODIFIER_KEYS
