"""The run folder: one place that knows what lies where, and that files appear whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labeling import disk, plain_files
from prefrl.errors import UserError

_MAX_JSON_BYTES = 4 * 2**20


@dataclass(frozen=True, slots=True)
class RunDir:
    """A run folder, there already or to be made."""

    path: Path

    @property
    def config(self) -> Path:
        """The resolved config."""
        return self.path / "config.toml"

    @property
    def result(self) -> Path:
        """What came of the run."""
        return self.path / "result.json"

    @property
    def metrics(self) -> Path:
        """A row per rollout."""
        return self.path / "metrics.csv"

    @property
    def labels(self) -> Path:
        """The store of queries and labels."""
        return self.path / "labels.sqlite"

    @property
    def clips(self) -> Path:
        """Files of the clips that were asked about."""
        return self.path / "clips"

    @property
    def drawn(self) -> Path:
        """Pictures of the clips that people are shown; may be deleted, they are drawn again."""
        return self.path / "drawn"

    @property
    def drawing_log(self) -> Path:
        """What the drawing worker says."""
        return self.path / "drawing.log"

    @property
    def window_lock(self) -> Path:
        """Locked while a window is open."""
        return self.path / "window.lock"

    @property
    def trainer_lock(self) -> Path:
        """Locked while a trainer is at work; says who it is."""
        return self.path / "trainer.lock"

    @property
    def status(self) -> Path:
        """How the agent is doing, for those who label."""
        return self.path / "agent.json"

    @property
    def policy(self) -> Path:
        """The policy, a plain Stable-Baselines3 zip."""
        return self.path / "policy.zip"

    @property
    def reward(self) -> Path:
        """The reward model's weights and statistics."""
        return self.path / "reward.safetensors"

    @property
    def checkpoints(self) -> Path:
        """One folder for each checkpoint, named by its agent steps."""
        return self.path / "checkpoints"

    @property
    def gallery(self) -> Path:
        """Clips of the end of training with their learned and env returns."""
        return self.path / "gallery.json"

    @property
    def tensorboard(self) -> Path:
        """Event files for TensorBoard."""
        return self.path / "tensorboard"

    def create(self) -> None:
        """Make the folder.

        Raises:
            UserError: It is there already, or cannot be made.
            StoreError: It would lie on a network file system, where labels are not safe.
        """
        disk.refuse_network(self.path)
        try:
            self.path.mkdir(parents=True)
        except FileExistsError as e:
            raise UserError(
                f"expected a run folder that does not exist yet, got {self.path}; choose another --run-dir, or go on "
                "with that run by --resume"
            ) from e
        except OSError as e:
            raise UserError(f"expected to make the run folder {self.path}, got: {e.strerror}") from e

    def must_exist(self) -> RunDir:
        """Itself, if it is the folder of a run, which anybody may have made.

        Raises:
            UserError: It is not, or holds a link, something that is no plain file, or a file too large for a run.
        """
        if not self.config.is_file() or self.config.is_symlink():
            raise UserError(
                f"expected the folder of a run (with a config.toml) at {self.path}, found "
                + ("none there" if self.path.exists() else "nothing there")
            )
        try:
            plain_files.check_folder(self.path)
        except (plain_files.PlainFileError, OSError) as e:
            raise UserError(str(e)) from e
        return self

    def read_result(self) -> dict[str, Any]:
        """What `result.json` says; empty where the run has not ended."""
        return read_json(self.result)


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a small file of a run; empty where there is no such file.

    Raises:
        UserError: It is something else, or too large.
    """
    try:
        found = json.loads(plain_files.read_text(path, _MAX_JSON_BYTES))
    except FileNotFoundError:
        return {}
    except OSError as e:
        raise UserError(f"expected to read {path}, got: {e.strerror}") from e
    except plain_files.PlainFileError as e:
        raise UserError(str(e)) from e
    except (ValueError, RecursionError) as e:
        raise UserError(f"expected JSON in {path}, got: {str(e)[:200]}") from e
    if not isinstance(found, dict):
        raise UserError(f"expected a JSON object in {path}, got {type(found).__name__}")
    return found


def write_text(path: Path, text: str) -> None:
    """Write a file beside its place, make it durable, then put it there: never half a file."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file as `write_text` does."""
    beside = path.with_name(f".{path.name}.tmp")
    with beside.open("wb") as f:
        f.write(data)
        f.flush()
        os.fsync(f.fileno())
    beside.replace(path)


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Write JSON as `write_text` does; numbers that are not finite become null, which JSON has a word for."""
    write_text(path, json.dumps(_plain(data), indent=2, allow_nan=False) + "\n")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return value
