"""metrics.csv: every value that is logged, one row for each rollout, in the names that TensorBoard shows."""

from __future__ import annotations

import csv
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3.common.logger import KVWriter

from prefrl.metrics_file import read_metrics


class MetricsCsv(KVWriter):
    """Appends a row whenever the logger is dumped; a cell is blank where that rollout measured nothing.

    A column that turns up late is added to the header, and the file written anew; so does a resumed run go on where
    the file ended. A row that the disk refuses is lost, which is said once.
    """

    def __init__(self, path: Path, start_steps: int = 0) -> None:
        self._path = path
        self._columns: list[str] = []
        self._has_said = False
        if path.exists():
            # A run that was killed had logged more than its checkpoint knows; that is done again.
            self._rewrite(
                list(read_metrics(path)), lambda row: float(row.get("time/total_timesteps") or 0) <= start_steps
            )

    def write(
        self,
        key_values: dict[str, Any],
        key_excluded: dict[str, tuple[str, ...]],
        step: int = 0,
    ) -> None:
        """Write one row."""
        row = {
            key: value
            for key, value in sorted(key_values.items())
            if isinstance(value, int | float | np.number) and "csv" not in (key_excluded[key] or ())
        }
        try:
            self._append(row)
        except OSError as e:
            if not self._has_said:
                warnings.warn(f"rows of {self._path.name} are lost: {e.strerror}; the training goes on", stacklevel=2)
            self._has_said = True

    def _append(self, row: dict[str, Any]) -> None:
        new = [key for key in row if key not in self._columns]
        if new:
            self._rewrite([*self._columns, *new])
        size = self._path.stat().st_size
        try:
            with self._path.open("a", newline="", encoding="utf-8") as f:
                csv.DictWriter(f, self._columns).writerow(row)
        except OSError:
            os.truncate(self._path, size)  # no half row, which the next one would be written into
            raise

    def close(self) -> None:
        """Every row is already in the file."""

    def _rewrite(self, columns: list[str], keep: Callable[[dict[str, str]], bool] = lambda row: True) -> None:
        rows: list[dict[str, str]] = []
        if self._path.exists():
            with self._path.open(newline="", encoding="utf-8") as f:
                rows = [row for row in csv.DictReader(f) if keep(row)]
        beside = self._path.with_name(f".{self._path.name}.tmp")
        with beside.open("w", newline="", encoding="utf-8") as f:
            writer = csv.DictWriter(f, columns)
            writer.writeheader()
            writer.writerows(rows)
        beside.replace(self._path)
        self._columns = columns
