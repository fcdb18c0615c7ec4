"""Points far from each other, and points in the middle of others: how a batch is spread over its candidates.

Pure functions of points (M, F), deterministic; no matrix of all M x M distances is ever made.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating]
IndexArray = NDArray[np.int64]

_MOST_TURNS = 50
"""Of assigning and moving; a handful is usual."""


def distances(a: FloatArray, b: FloatArray) -> NDArray[np.float64]:
    """Euclidean distances (A, B) between points (A, F) and (B, F)."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    squares = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T
    found: NDArray[np.float64] = np.sqrt(np.maximum(squares, 0.0))
    return found


def farthest_first(points: FloatArray, n: int) -> IndexArray:
    """Indices (n,) of the first point, then each time the one farthest from all taken before; points (M, F), M >= n.

    The greedy 2-approximation of k-center: Gonzalez 1985 (Theoretical Computer Science 38, 293-306); Sener and
    Savarese 2018 (arXiv 1708.00489), algorithm 1.
    """
    taken = np.zeros(n, np.int64)
    gap = np.full(len(points), np.inf)
    for i in range(1, n):
        before = taken[i - 1]
        gap = np.minimum(gap, distances(points, points[[before]])[:, 0])
        gap[before] = -1.0  # never again, also where all that is left are doubles
        taken[i] = gap.argmax()
    return taken


def medoids(points: FloatArray, n: int) -> IndexArray:
    """Indices (n,) of points, each in the middle of those nearer to it than to the others; points (M, F), M >= n.

    Begins with `farthest_first`, then in turns gives every point to its nearest medoid and moves each medoid to the
    point with the least sum of distances to its own: Park and Jun 2009 (Expert Systems with Applications 36,
    3336-3341).
    """
    centres = farthest_first(points, n)
    for _ in range(_MOST_TURNS):
        nearest = distances(points, points[centres]).argmin(axis=1)
        nearest[centres] = np.arange(n)  # its own also where another lies on the same spot
        moved = np.array([_middle(points, np.flatnonzero(nearest == k)) for k in range(n)], np.int64)
        if np.array_equal(moved, centres):
            break
        centres = moved
    return centres


def _middle(points: FloatArray, members: IndexArray) -> int:
    own = points[members]
    return int(members[distances(own, own).sum(axis=0).argmin()])
