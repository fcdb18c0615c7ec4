"""Event files for TensorBoard, written so that a disk that refuses one costs points of a curve and not the training.

Stable-Baselines3's own writer hands them to a thread of TensorBoard's, which dies of the first error and takes the
training with it. Here each rollout is appended as it is logged.
"""

from __future__ import annotations

import os
import socket
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3.common.logger import KVWriter
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter


class TensorBoardEvents(KVWriter):
    """Appends the numbers of a rollout to an event file of its own in `folder`; what the disk refuses is said once."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        # TensorBoard finds event files by this name, and reads those of one folder in the order of their times.
        self._path = folder / f"events.out.tfevents.{time.time_ns() // 10**9:010d}.{socket.gethostname()}.{os.getpid()}"
        self._has_said = False
        self._append([Event(wall_time=time.time(), file_version="brain.Event:2")])

    def write(self, key_values: dict[str, Any], key_excluded: dict[str, tuple[str, ...]], step: int = 0) -> None:
        """Write every number of a rollout, and see it in the file before returning."""
        now = time.time()
        self._append(
            [
                Event(
                    wall_time=now, step=step, summary=Summary(value=[Summary.Value(tag=key, simple_value=float(value))])
                )
                for key, value in sorted(key_values.items())
                if isinstance(value, int | float | np.number) and "tensorboard" not in (key_excluded[key] or ())
            ]
        )

    def close(self) -> None:
        """Every event is already in the file."""

    def _append(self, events: list[Event]) -> None:
        try:
            size = self._path.stat().st_size if self._path.exists() else 0
            try:
                with self._path.open("ab") as file:
                    records = RecordWriter(file)
                    for event in events:
                        records.write(event.SerializeToString())
            except OSError:
                if self._path.exists():
                    os.truncate(self._path, size)  # no half record, after which TensorBoard would read no more
                raise
        except OSError as e:
            if not self._has_said:
                warnings.warn(f"points for TensorBoard are lost: {e.strerror}; the training goes on", stacklevel=2)
            self._has_said = True
