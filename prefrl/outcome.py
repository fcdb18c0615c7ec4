"""What came of one cell of a benchmark, in a form small enough to be kept under version control beside its table."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from typing import Any

from prefrl.errors import UserError


@dataclass(frozen=True, slots=True)
class Outcome:
    """The figures of a finished run."""

    cell: str
    """Hash of everything that decides how the run comes out; names its folder."""
    env_id: str
    seed: int
    reward: str
    """What PPO was trained on: preferences or score."""
    timesteps: int
    labels: int
    """Answers given; 0 on the score."""
    env_return: float
    """Mean over the evaluation's episodes."""
    env_return_std: float
    """Standard deviation over the evaluation's episodes."""
    random_return: float
    """Mean env return of a policy that acts at random."""
    eval_episodes: int
    val_accuracy: float | None
    """Of the reward model, on decisive labels that a member never saw; None on the score."""
    curve_steps: tuple[int, ...]
    """Agent steps at the points of the learning curve."""
    curve_returns: tuple[float, ...]
    """Mean env return of the training episodes then."""
    seconds: dict[str, float]
    """Wall clock of the parts of the training: total, collect, learn, fit, query, score, save, wait."""
    policy_sha256: str
    """Of the policy's weights: the same where a run came out the same, bit for bit."""
    labels_sha256: str
    """Of the answers in their order; empty on the score."""
    command: str
    """What trains this cell alone."""
    versions: dict[str, str]

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, line: str, where: str) -> Outcome:
        """The outcome on that line.

        Raises:
            UserError: It is not one; `where` says whose.
        """
        try:
            values: Any = json.loads(line)
            if not isinstance(values, dict) or set(values) != {f.name for f in fields(cls)}:
                raise ValueError("other fields")
            for name, is_right in _KINDS.items():
                if not is_right(values[name]):
                    raise ValueError(f"{name} of another kind")
            values["curve_steps"] = tuple(values["curve_steps"])
            values["curve_returns"] = tuple(values["curve_returns"])
            return cls(**values)
        except (ValueError, TypeError, KeyError, RecursionError) as e:
            got = str(e)[:200]
            raise UserError(
                f"expected an outcome that a benchmark wrote in {where}, got: {got}; delete that line"
            ) from e


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _LARGEST


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value <= _LARGEST


def _are(kind: Callable[[object], bool], most: int) -> Callable[[object], bool]:
    return lambda values: isinstance(values, list) and len(values) <= most and all(map(kind, values))


def _named(kind: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda values: isinstance(values, dict) and len(values) <= _MOST_NAMED and all(map(kind, values.values()))


def _is_text(value: object) -> bool:
    return isinstance(value, str) and len(value) <= _LONGEST_TEXT


_LARGEST, _LONGEST_TEXT, _MOST_NAMED, _MOST_POINTS = 1e15, 10_000, 100, 10_000
_KINDS: dict[str, Callable[[object], bool]] = {
    **dict.fromkeys(("cell", "env_id", "reward", "policy_sha256", "labels_sha256", "command"), _is_text),
    **dict.fromkeys(("seed", "timesteps", "labels", "eval_episodes"), _is_count),
    **dict.fromkeys(("env_return", "env_return_std", "random_return"), _is_number),
    "val_accuracy": lambda value: value is None or _is_number(value),
    "curve_steps": _are(_is_number, _MOST_POINTS),
    "curve_returns": _are(_is_number, _MOST_POINTS),
    "seconds": _named(_is_number),
    "versions": _named(_is_text),
}
"""What each field of an outcome must hold, as JSON gives it."""


@dataclass(frozen=True, slots=True)
class Row:
    """An outcome and what the suite calls it: a cell may stand in several suites under several names."""

    env_id: str
    labels: int
    """Answers that were to be asked for; 0 on the score."""
    teacher: str
    """The suite's name of who answered; empty on the score."""
    strategy: str
    """Query strategy; empty on the score."""
    variant: str
    """The suite's name of the settings laid over the preset."""
    seed: int
    outcome: Outcome
    score_cell: str = ""
    """The cell that trains the same PPO on the score, whichever variant it stands under; empty where it is unknown."""
