"""Train one cell of a benchmark once more, and say whether it comes out the same."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from prefrl.bench_jobs import train_cells
from prefrl.cell import Cell
from prefrl.cell_folder import CellFolder
from prefrl.errors import UserError, WorldFault
from prefrl.outcome import Outcome

_COMPARED = ("policy_sha256", "labels_sha256", "env_return", "env_return_std", "random_return", "val_accuracy")


def find_cell(cells: Sequence[Cell], key: str) -> Cell:
    """The cell whose key begins so.

    Raises:
        UserError: None does, or several do.
    """
    found = {cell.key: cell for cell in cells if key and cell.key.startswith(key)}
    if len(found) != 1:
        what = "several do" if found else "none does"
        raise UserError(
            f"expected a cell whose key begins with {key!r}, {what}; the keys stand in the report's results.csv"
        )
    return next(iter(found.values()))


def train_again(cell: Cell) -> Outcome:
    """Train a cell in a folder that goes away.

    Raises:
        WorldFault: The training failed; says why.
    """
    with tempfile.TemporaryDirectory() as folder:
        ended = train_cells([cell], Path(folder), 1, lambda _: None)[0]
        outcome = CellFolder(Path(folder) / cell.key).read()
        if outcome is None:
            raise WorldFault(f"{cell.name} could not be trained: {ended.failure}")
        return outcome


def differences(before: Outcome, now: Outcome) -> list[str]:
    """What is not the same, a line each; versions only where something else differs."""
    lines = [
        f"{name}: {getattr(before, name)} before, {getattr(now, name)} now"
        for name in _COMPARED
        if getattr(before, name) != getattr(now, name)
    ]
    if lines and before.versions != now.versions:
        names = sorted({*before.versions, *now.versions})
        lines += [
            f"{name} {before.versions.get(name, 'missing')} before, {now.versions.get(name, 'missing')} now"
            for name in names
            if before.versions.get(name) != now.versions.get(name)
        ]
    return lines
