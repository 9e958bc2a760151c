"""A factorisation on sums of frames and of rows, and back: neighbours are nearly alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audionmf.spectra.rows import rows_summed

__all__ = [
    "averaged",
    "between",
    "frames_summed",
    "pyramid",
    "row_groups",
    "spread_rows",
]

Matrix = NDArray[np.floating[Any]]

_FLOOR = 1e-12


def frames_summed(V: Matrix, step: int) -> Matrix:
    """Return V (n_bins, n_frames) with each run of `step` frames, a power of two, added up."""
    while step > 1:
        n_even = V.shape[1] // 2 * 2
        sums = np.empty((-(-V.shape[1] // 2), len(V)), V.dtype).T
        np.add(V[:, :n_even:2], V[:, 1:n_even:2], out=sums[:, : n_even // 2])
        sums[:, n_even // 2 :] = V[:, n_even:]
        V, step = sums, step // 2
    return V


def pyramid(
    V: Matrix, groups: Sequence[NDArray[np.int64]], steps: Sequence[int]
) -> tuple[list[Matrix], Matrix]:
    """Return V with rows and frames added up, the coarsest first, and with rows alone.

    Parameters
    ----------
    V : ndarray, shape (n_bins, n_frames)
        What is added up.
    groups : sequence of ndarray
        The first rows of the groups of each level, those of each among those of the next.
    steps : sequence of int
        How many frames are added up on each level, twice as many as on the next.

    Returns
    -------
    levels : list of ndarray, shape (number of groups, ⌈n_frames / step⌉)
    rows : ndarray, shape (number of groups of the coarsest, n_frames)
    """
    levels = [rows_summed(frames_summed(V, steps[-1]), groups[-1])]
    for coarser, finer in zip(groups[-2::-1], groups[:0:-1], strict=True):
        halved = frames_summed(levels[0], 2)
        levels.insert(0, rows_summed(halved, np.searchsorted(finer, coarser)))
    return levels, rows_summed(V, groups[0])


def averaged(H: Matrix, step: int, n_runs: int) -> Matrix:
    """Return the mean of each of `n_runs` runs of `step` activations (n_frames, n_components)."""
    sums = np.add.reduceat(H, np.arange(0, n_runs * step, step), axis=0)
    lengths = np.minimum(step, len(H) - np.arange(0, n_runs * step, step))
    mean: Matrix = (sums / lengths[:, None]).astype(H.dtype)
    return mean


def between(H: Matrix, step: int, n_frames: int) -> Matrix:
    """Interpolate activations (n_runs, n_components), each known in the middle of `step` frames."""
    place = np.clip((np.arange(n_frames) - (step - 1) / 2) / step, 0, len(H) - 1)
    left = place.astype(int)
    right = np.minimum(left + 1, len(H) - 1)
    share = (place - left).astype(H.dtype)[:, None]
    between: Matrix = H[left] * (1 - share) + H[right] * share
    return between


def row_groups(sums: Matrix, n_groups: int) -> NDArray[np.int64]:
    """Return the first row of each group of neighbours, whose square roots of `sums` are alike in sum.

    Groups of twice as many lie within those.
    """
    total = np.cumsum(np.sqrt(sums))
    group = np.minimum((total * (n_groups / max(total[-1], _FLOOR))).astype(int), n_groups - 1)
    return np.flatnonzero(np.diff(group, prepend=-1))


def spread_rows(W: Matrix, edges: NDArray[np.int64], sums: Matrix) -> Matrix:
    """Share pooled templates (n_components, n_groups) out to the rows, as their `sums` are shared."""
    sizes = np.diff(edges, append=len(sums))
    group_sums = np.repeat(np.add.reduceat(sums, edges), sizes)
    shares = np.divide(sums, group_sums, out=np.zeros_like(sums), where=group_sums > 0)
    spread: Matrix = np.repeat(W, sizes, axis=1) * shares.astype(W.dtype)
    return spread
