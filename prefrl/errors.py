"""The two ways a command ends badly: the user's input was wrong, or the world broke."""

from __future__ import annotations

EXIT_DAMAGED = 5
"""Exit code where a file of a run is damaged; the line beside it names the command that recovers it."""


class UserError(ValueError):
    """Bad input: one line saying what was expected, what came and what to do; exit code 2."""


class WorldFault(RuntimeError):  # noqa: N818  # the world is at fault, not our code
    """The environment misbehaved while running (NaN, exception); one line, exit code 1."""
