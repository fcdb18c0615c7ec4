"""Labels as Parquet tables, in the columns that preference learners elsewhere expect: prompt, chosen, rejected.

Columns as in Hugging Face's `trl` and `datasets`. Ties and skips have neither a chosen nor a rejected side; they go
into a table of their own. Numbers per step are nested lists, which every reader makes arrays of; pictures are bytes
beside their shape, as a list of a million numbers each would take seconds to read.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from datetime import UTC
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from labeling.clip import Clip, ClipFiles
from labeling.export import Row, counts_for_learning
from prefrl.errors import UserError

_TABLES = {"pairs": ("labels.parquet", "chosen", "rejected"), "ties": ("labels_ties.parquet", "left", "right")}
"""File of each table, and what the columns with the clips are called there."""
_ROWS_AT_ONCE = 32
_MOST_LIST_AXES = 2


def write_tables(folder: Path, rows: Sequence[Row], files: ClipFiles) -> dict[str, str]:
    """Write the rows that count for learning; returns the tables written, "pairs" and "ties", each with its file.

    A table without rows is not written: `datasets` cannot load one.

    Args:
        folder: Where to; it is there already.
        rows: From `label_rows`; the clips of all are in `files`.
        files: The clips.

    Raises:
        UserError: pyarrow is not installed.
    """
    pa = _pyarrow("pyarrow")
    written = {}
    for table, (name, left, right) in _TABLES.items():
        chosen = [row for row in rows if counts_for_learning(row) and (row["chosen"] is not None) == (table == "pairs")]
        if chosen:
            schema = _schema(pa, files.read(chosen[0]["left"]), left, right)
            _write(folder / name, schema, chosen, files)
            written[table] = name
    return written


def _pyarrow(module: str) -> Any:  # pyarrow ships no type information
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise UserError("expected pyarrow to be installed for Parquet; pip install 'prefrl[datasets]'") from error


def _schema(pa: Any, example: Clip, left: str, right: str) -> Any:
    clip = pa.struct(
        [
            ("clip_id", pa.string()),
            ("obs", _type(pa, example.obs)),
            ("obs_shape", pa.list_(pa.int32())),
            ("obs_dtype", pa.string()),
            ("actions", _type(pa, example.actions)),
            ("n_stack", pa.int32()),
            ("frame_rate", pa.float64()),
            ("agent_step", pa.int64()),
        ]
    )
    return pa.schema(
        [
            ("prompt", pa.string()),
            (left, clip),
            (right, clip),
            ("query_id", pa.string()),
            ("label_id", pa.string()),
            ("labeler", pa.string()),
            ("choice", pa.string()),
            ("answered_at", pa.timestamp("ms", tz=str(UTC))),
            ("ms_on_screen", pa.int64()),
            ("swapped", pa.bool_()),
            ("agent_step", pa.int64()),
            ("round", pa.int64()),
            ("strategy", pa.string()),
            ("is_random", pa.bool_()),
            ("score", pa.float64()),
            ("imported_from", pa.string()),
        ]
    )


def _type(pa: Any, array: NDArray[Any]) -> Any:
    """Lists of the array's own kind of number, one in the other; bytes for pictures."""
    if array.ndim > _MOST_LIST_AXES:
        return pa.binary()
    kind = pa.from_numpy_dtype(array.dtype)
    for _ in range(array.ndim):
        kind = pa.list_(kind)
    return kind


def _value(array: NDArray[Any]) -> Any:
    return array.tobytes(order="C") if array.ndim > _MOST_LIST_AXES else array.tolist()


def _write(path: Path, schema: Any, rows: Sequence[Row], files: ClipFiles) -> None:
    """A few rows at a time: their clips may not fit into memory together."""
    pa, parquet = _pyarrow("pyarrow"), _pyarrow("pyarrow.parquet")
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        for first in range(0, len(rows), _ROWS_AT_ONCE):
            records = list(_records(rows[first : first + _ROWS_AT_ONCE], schema.names, files))
            writer.write_table(pa.Table.from_pylist(records, schema=schema))


def _records(rows: Sequence[Row], columns: Sequence[str], files: ClipFiles) -> Iterator[dict[str, Any]]:
    for row in rows:
        record = {name: row.get(name) for name in columns}
        for side in {"chosen", "rejected", "left", "right"} & set(columns):
            record[side] = _struct(files.read(row[side]))
        yield record | {"answered_at": row["answered_at_utc_ms"]}


def _struct(clip: Clip) -> dict[str, Any]:
    return {
        "clip_id": clip.clip_id,
        "obs": _value(clip.obs),
        "obs_shape": list(clip.obs.shape),
        "obs_dtype": clip.obs.dtype.str,
        "actions": _value(clip.actions),
        "n_stack": clip.n_stack,
        "frame_rate": clip.frame_rate,
        "agent_step": clip.agent_step,
    }
