"""What somebody who mistyped a word may have meant."""

from __future__ import annotations

import difflib


def nearest(word: str, known: list[str]) -> str:
    """'; did you mean X?' where something known is near, else nothing."""
    close = difflib.get_close_matches(word, known, n=3, cutoff=0.5)
    return f"; did you mean {' or '.join(close)}?" if close else ""


def nearest_or_all(word: str, known: list[str]) -> str:
    """'; did you mean X?' where something known is near, else all that is known."""
    return nearest(word, known) or f"; known are {', '.join(known)}"
