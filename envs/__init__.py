"""Worlds: what happens. Each module makes one kind of environment in the shape a learner can take.

`envs.atari` plays Atari games, `envs.robots` moves MuJoCo robots, `envs.toy` is a world learned in
seconds. Importing this package imports none of their engines; import the module that is asked for.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["WorldError", "nearest"]


class WorldError(ValueError):
    """A world cannot be made as asked, or cannot be drawn; one line saying what to do about it."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Say which known name was probably meant, or else list some; made to end a sentence."""
    names = {candidate.lower(): candidate for candidate in known}
    close = difflib.get_close_matches(name.lower(), names, n=1, cutoff=0.5)
    if close:
        return f"; did you mean {names[close[0]]}?"
    listed = sorted(names.values())
    return f"; known are {', '.join(listed[:12])}" + (", ..." if len(listed) > 12 else "")
