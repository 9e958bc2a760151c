"""Sums of neighbouring rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["rows_summed"]

Matrix = NDArray[np.floating[Any]]


def rows_summed(V: Matrix, edges: NDArray[np.int64]) -> Matrix:
    """Return V with the rows of each group of neighbours added up.

    Parameters
    ----------
    V : ndarray, shape (n_bins, n)
        Rows at the bottom that are groups by themselves are copied: that is faster than a sum of one.
    edges : ndarray, shape (n_groups,)
        The first row of each group, from 0 on.

    Returns
    -------
    ndarray, shape (n_groups, n)
        Groups as neighbours in memory.
    """
    rows = V.T
    beyond = np.append(edges, len(V)) != np.arange(len(edges) + 1)
    n_single = max(0, int(beyond.argmax()) - 1)  # the last row counted alone may begin a group
    sums = np.empty((len(rows), len(edges)), rows.dtype)
    sums[:, :n_single] = rows[:, :n_single]
    if n_single < len(edges):
        np.add.reduceat(
            rows[:, n_single:], edges[n_single:] - n_single, axis=1, out=sums[:, n_single:]
        )
    return sums.T
