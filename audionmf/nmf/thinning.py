"""A factorisation on fewer frames and rows, and back: neighbours are nearly alike."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["averaged", "between", "row_groups", "spread_rows"]

Matrix = NDArray[np.floating[Any]]

_FLOOR = 1e-12


def averaged(H: Matrix, step: int, n_thinned: int) -> Matrix:
    """Return the mean of each of `n_thinned` runs of `step` activations (n_frames, n_components)."""
    sums = np.add.reduceat(H, np.arange(0, n_thinned * step, step), axis=0)
    lengths = np.minimum(step, len(H) - np.arange(0, n_thinned * step, step))
    mean: Matrix = (sums / lengths[:, None]).astype(H.dtype)
    return mean


def between(H: Matrix, step: int, n_frames: int) -> Matrix:
    """Interpolate activations (n_thinned, n_components), known at every `step`-th frame."""
    place = np.arange(n_frames) / step
    left = np.minimum(place.astype(int), len(H) - 1)
    right = np.minimum(left + 1, len(H) - 1)
    share = (place - left).astype(H.dtype)[:, None]
    between: Matrix = H[left] * (1 - share) + H[right] * share
    return between


def row_groups(V: Matrix, n_groups: int) -> NDArray[np.int64]:
    """Return the first row of each group: groups of neighbours with alike sums of square roots."""
    weights = np.sqrt(V.sum(axis=1, dtype=np.float64))
    total = np.cumsum(weights)
    group = np.minimum((total * (n_groups / max(total[-1], _FLOOR))).astype(int), n_groups - 1)
    return np.flatnonzero(np.diff(group, prepend=-1))


def spread_rows(W: Matrix, edges: NDArray[np.int64], sums: Matrix) -> Matrix:
    """Share pooled templates (n_components, n_groups) out to the rows, as V does on the whole."""
    sizes = np.diff(edges, append=len(sums))
    group_sums = np.repeat(np.add.reduceat(sums, edges), sizes)
    shares = np.divide(sums, group_sums, out=np.zeros_like(sums), where=group_sums > 0)
    spread: Matrix = np.repeat(W, sizes, axis=1) * shares
    return spread
