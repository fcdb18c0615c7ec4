"""Reading metrics.csv: needs nothing of what wrote it, so that a page or a report starts without torch."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from labeling import plain_files
from prefrl.errors import UserError

MAX_BYTES = 64 * 2**20
MAX_COLUMNS = 1000


def read_metrics(path: Path) -> dict[str, list[float | None]]:
    """Columns of metrics.csv by name; None where a cell is blank or no number.

    Raises:
        UserError: It is too large, or no such file.
    """
    try:
        reader = csv.DictReader(io.StringIO(plain_files.read_text(path, MAX_BYTES)))
        columns: dict[str, list[float | None]] = {name: [] for name in reader.fieldnames or []}
        if len(columns) > MAX_COLUMNS:
            raise UserError(f"expected at most {MAX_COLUMNS} columns in {path}, got {len(columns):,}")
        for row in reader:
            for name, cells in columns.items():
                cells.append(_number(row.get(name)))
    except FileNotFoundError:
        return {}
    except (OSError, csv.Error, plain_files.PlainFileError) as e:
        raise UserError(f"expected the metrics of a run in {path}, got: {e}") from e
    return columns


def _number(cell: str | None) -> float | None:
    try:
        return float(cell or "")
    except (ValueError, TypeError):  # TypeError: of a row with more cells than columns
        return None
