"""Where cells are trained and kept: a folder each, named by the cell's key, and outcomes that are kept beside a table.

CELLS/KEY/cell.toml       its settings
CELLS/KEY/run/            the run folder
CELLS/KEY/log.txt         what the training said
CELLS/KEY/outcome.json    what came of it; there when the cell is done
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from labeling import plain_files
from labeling.store import Store
from prefrl.cell import cell_key, command
from prefrl.config import Config
from prefrl.errors import UserError
from prefrl.metrics_file import read_metrics
from prefrl.outcome import Outcome
from prefrl.policy_file import read_weights
from prefrl.rundir import RunDir, write_text

_CURVE_POINTS = 60
_MAX_OUTCOME_BYTES = 2**20
_MAX_OUTCOMES_BYTES = 2**28


@dataclass(frozen=True, slots=True)
class CellFolder:
    """The folder of one cell."""

    path: Path

    @property
    def config(self) -> Path:
        """Its settings."""
        return self.path / "cell.toml"

    @property
    def run(self) -> RunDir:
        """The run folder."""
        return RunDir(self.path / "run")

    @property
    def log(self) -> Path:
        """What the training said."""
        return self.path / "log.txt"

    @property
    def outcome(self) -> Path:
        """What came of it; written last."""
        return self.path / "outcome.json"

    @property
    def lock(self) -> Path:
        """Locked by the process that trains the cell."""
        return self.path.with_name(f"{self.path.name}.lock")

    def read(self) -> Outcome | None:
        """What came of the cell; None while it is not done."""
        try:
            line = plain_files.read_text(self.outcome, _MAX_OUTCOME_BYTES)
        except FileNotFoundError:
            return None
        except OSError as e:
            raise UserError(f"expected what came of a cell in {self.outcome}, got: {e.strerror}") from e
        except plain_files.PlainFileError as e:
            raise UserError(str(e)) from e
        return Outcome.from_json(line, str(self.outcome))


def read_outcomes(path: Path) -> dict[str, Outcome]:
    """Outcomes kept beside a table, by their cells' keys; none where there is no such file."""
    if not path.is_file():
        return {}
    try:
        lines = plain_files.read_text(path, _MAX_OUTCOMES_BYTES).splitlines()
    except (OSError, plain_files.PlainFileError) as e:
        raise UserError(str(e)) from e
    found = [Outcome.from_json(line, f"line {i + 1} of {path}") for i, line in enumerate(lines) if line]
    return {outcome.cell: outcome for outcome in found}


def write_outcomes(path: Path, outcomes: Iterable[Outcome]) -> None:
    """Keep outcomes beside a table, a line each, ordered by key."""
    lines = [outcome.to_json() for outcome in sorted(outcomes, key=lambda o: o.cell)]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, "".join(f"{line}\n" for line in lines))


def outcome_of(run: RunDir, config: Config) -> Outcome:
    """What came of a finished run."""
    result = run.read_result()
    steps, returns = _curve(run)
    model = result["reward_model"]
    return Outcome(
        cell=cell_key(config),
        env_id=config.env_id,
        seed=config.seed,
        reward=config.reward,
        timesteps=result["timesteps"],
        labels=result["labels"],
        env_return=result["env_return"],
        env_return_std=result["env_return_std"],
        random_return=result["random_return"],
        eval_episodes=result["eval_episodes"],
        val_accuracy=None if model is None else model["val_accuracy"],
        curve_steps=steps,
        curve_returns=returns,
        seconds=result["seconds"],
        policy_sha256=policy_sha256(run.policy),
        labels_sha256=labels_sha256(run.labels) if config.reward == "preferences" else "",
        command=command(config),
        versions=result["versions"],
    )


def policy_sha256(path: Path) -> str:
    """Of a saved policy's weights, by name; the zip itself holds the time it was written."""
    weights = read_weights(path)
    digest = hashlib.sha256()
    for name, tensor in sorted(weights.items()):
        digest.update(name.encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


def labels_sha256(path: Path) -> str:
    """Of a store's queries and the answers to them, in their order."""
    digest = hashlib.sha256()
    with Store.open_read_only(path) as store:
        for query in store.queries():
            digest.update("\t".join([query.query_id, *query.clip_ids]).encode())
        for label in store.current_labels():
            digest.update(f"{label.query_id}\t{label.choice}\n".encode())
    return digest.hexdigest()


def _curve(run: RunDir) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """The mean env return of training episodes over the steps, thinned to a few dozen points."""
    columns = read_metrics(run.metrics)
    points = [
        (int(step), float(value))
        for step, value in zip(
            columns.get("time/total_timesteps", ()), columns.get("rollout/ep_env_rew_mean", ()), strict=False
        )
        if step is not None and value is not None and not math.isnan(value)
    ]
    if not points:
        return (), ()
    kept = np.unique(np.linspace(0, len(points) - 1, _CURVE_POINTS).round().astype(int))
    return tuple(points[i][0] for i in kept), tuple(round(points[i][1], 3) for i in kept)
