"""Asks an X server which keys are down: OpenCV does not tell a held key from one that is pressed again."""

from __future__ import annotations

import ctypes
import ctypes.util
import sys

from labeling.presses import KeysDown

# Shift, Control, Caps Lock, Shift Lock, Meta, Alt, Super, Hyper, left and right; Num Lock, Mode switch, AltGr.
_MODIFIERS = (*range(0xFFE1, 0xFFEF), 0xFF7F, 0xFF7E, 0xFE03)


def keys_down() -> KeysDown | None:
    """A way to see which keys but Shift and the like are down; None where there is no X server or no libX11.

    It keeps a connection of its own to the display that the environment names, for as long as the process runs.
    """
    name = ctypes.util.find_library("X11") if sys.platform.startswith("linux") else None
    if name is None:
        return None
    try:
        x11 = ctypes.CDLL(name)
    except OSError:
        return None
    x11.XOpenDisplay.restype = ctypes.c_void_p
    x11.XOpenDisplay.argtypes = [ctypes.c_char_p]
    x11.XQueryKeymap.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
    x11.XKeysymToKeycode.restype = ctypes.c_ubyte
    x11.XKeysymToKeycode.argtypes = [ctypes.c_void_p, ctypes.c_ulong]
    display = x11.XOpenDisplay(None)
    if not display:
        return None
    modifiers = {x11.XKeysymToKeycode(display, keysym) for keysym in _MODIFIERS}

    def down() -> frozenset[int]:
        keymap = ctypes.create_string_buffer(32)  # a bit for each of the 256 keys
        x11.XQueryKeymap(display, keymap)
        return frozenset(i for i in range(256) if keymap.raw[i >> 3] >> (i & 7) & 1) - modifiers

    return down
