"""Answers: what the store says, in arrays that a fit can read; kept in step by the store's own cursor."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from labeling.choice import Choice, prob_left
from labeling.store import StoredLabel
from prefrl.fit_data import Answered


class Answers:
    """Clips of asked queries and the labels on them; labels that were undone are forgotten.

    Clips are added when a query is asked (or read back from their files when a run is resumed), labels when the store
    has them.
    """

    def __init__(self) -> None:
        self.cursor = 0
        """The store's sequence number of the newest label that was taken in."""
        self._rows: dict[str, int] = {}
        self._obs = _Grown()
        self._actions = _Grown()
        self._labels: dict[int, StoredLabel] = {}
        self._imported: set[str] = set()

    @property
    def query_ids(self) -> list[str]:
        """The queries whose clips are here, in the order in which they came: fits depend on it."""
        return list(self._rows)

    def knows(self, query_id: str) -> bool:
        """Whether the clips of this query are here."""
        return query_id in self._rows

    def add_query(self, query_id: str, obs: NDArray[Any], actions: NDArray[Any], *, is_imported: bool = False) -> None:
        """Keep the two clips of a query: obs (2, T, *O) or planes, actions (2, T, *A).

        Labels on an imported query are learned from, and do not count among those that this run asked for.
        """
        self._rows[query_id] = len(self._rows)
        if is_imported:
            self._imported.add(query_id)
        self._obs.append(obs)
        self._actions.append(actions)

    def take_in(self, labels: list[StoredLabel]) -> bool:
        """Take in new rows of the store, oldest first; True when what there is to fit on has changed.

        Labels on queries that are not known here are passed over.
        """
        changed = False
        for label in labels:
            self.cursor = max(self.cursor, label.seq)
            if label.query_id not in self._rows:
                continue
            if label.voids_seq is not None:
                gone = self._labels.pop(label.voids_seq, None)
                changed |= gone is not None and gone.choice is not Choice.SKIP
            else:
                self._labels[label.seq] = label
                changed |= label.choice is not Choice.SKIP
        return changed

    @property
    def n_labels(self) -> int:
        """Labels that stand and that this run asked for, skips included."""
        return len(self._labels) - self.n_imported

    @property
    def n_imported(self) -> int:
        """Labels that stand and came from another run."""
        if not self._imported:
            return 0
        return sum(label.query_id in self._imported for label in self._labels.values())

    def counts(self) -> dict[str, int]:
        """How often each choice was made, among the labels that stand."""
        counts = {str(choice): 0 for choice in Choice}
        for label in self._labels.values():
            counts[str(label.choice)] += 1
        return counts

    def answered(self, last: int = 0) -> Answered | None:
        """The labels that say something, only the `last` newest if not 0; None where there is none."""
        labels = [
            (label, choice)
            for _, label in sorted(self._labels.items())
            if (choice := label.choice) is not None and choice is not Choice.SKIP
        ][-last:]
        if not labels:
            return None
        return Answered(
            obs=self._obs.rows,
            actions=self._actions.rows,
            rows=np.array([self._rows[x.query_id] for x, _ in labels]),
            prob_left=np.array([prob_left(c) for _, c in labels], np.float32),
            label_ids=[x.label_id for x, _ in labels],
        )


class _Grown:
    """An array that grows by its first axis, doubling its memory when it is full."""

    def __init__(self) -> None:
        self._memory: NDArray[Any] | None = None
        self._n = 0

    def append(self, row: NDArray[Any]) -> None:
        if self._memory is None:
            self._memory = np.empty((16, *row.shape), row.dtype)
        elif self._n == len(self._memory):
            self._memory = np.concatenate([self._memory, np.empty_like(self._memory)])
        self._memory[self._n] = row
        self._n += 1

    @property
    def rows(self) -> NDArray[Any]:
        assert self._memory is not None
        return self._memory[: self._n]
