"""The ways a command ends badly: the user's input was wrong, the world broke, or learning came to no number."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # numpy is not needed for `--help`
    from prefrl.tape import Tape

EXIT_DAMAGED = 5
"""Exit code where a file of a run is damaged; the line beside it names the command that recovers it."""


class UserError(ValueError):
    """Bad input: one line saying what was expected, what came and what to do; exit code 2."""


class WorldFault(RuntimeError):  # noqa: N818  # the world is at fault, not our code
    """The environment misbehaved while running (NaN, exception, crash, hang); one line, exit code 1.

    Args:
        message: The line.
        env: Which of the parallel environments it was, where that is known.
        fresh_seed: Where it failed at once after a reset that only the world knows of: the seed of that reset.
    """

    def __init__(self, message: str, env: int | None = None, fresh_seed: int | None = None) -> None:
        super().__init__(message)
        self.env = env
        self.fresh_seed = fresh_seed
        self.tape: Tape | None = None
        """What leads there again, where that is known."""


class LearnerFault(RuntimeError):  # noqa: N818  # named as its neighbour
    """Learning came to a number that is not finite; nothing was saved with it; one line, exit code 1."""
