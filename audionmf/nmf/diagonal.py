"""Activations along diagonals: frames of one sound retold with runs of frames of another.

V ≈ WH, where W holds the consecutive frames of a corpus and stays as it is. Left alone, H takes a
little of many frames, and what sounds is a blur. Here it is led, from iteration to iteration more
firmly, to be sparse in each column, not to repeat a frame at once, and to go on along diagonals, as
the corpus does.

Reference
---------
Driedger, Prätzlich and Müller, "Let it bee: towards NMF-inspired audio mosaicing", ISMIR 2015.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from audionmf.errors import ParameterError
from audionmf.nmf.checks import as_data, as_start, check_whole

__all__ = ["activate", "diagonal_share", "reach"]

Matrix = NDArray[np.float32] | NDArray[np.float64]

_ACTIVE = 0.1
_SMALLEST = 1e-25


def activate(
    V: ArrayLike,
    templates: ArrayLike,
    *,
    n_iter: int = 20,
    repetition: int = 3,
    polyphony: int = 10,
    continuity: int = 3,
) -> Matrix:
    """Find activations along diagonals, by multiplicative updates for the KL divergence.

    A frame's result depends on frames up to `reach` away, and no further.

    Parameters
    ----------
    V : array, shape (n_bins, n_frames)
        Data, finite and ≥ 0. Not modified.
    templates : array, shape (n_bins, n_components)
        W: consecutive frames, finite and ≥ 0; runs that do not belong together are kept apart by
        `continuity` columns of zeros. Not modified.
    n_iter : int, default 20
        Iterations, 1 or more; the constraints tighten from none to full.
    repetition : int, default 3
        A component is active in one of so many frames before and after, where it is largest; 0 or
        more, where 0 lets it repeat.
    polyphony : int, default 10
        Most components that are active in a frame, before diagonals are drawn; 1 or more.
    continuity : int, default 3
        Activations are summed along diagonals of so many frames before and after; 0 or more, where
        0 draws none.

    Returns
    -------
    ndarray, shape (n_components, n_frames)
        H, in the dtype of V.

    Raises
    ------
    ParameterError
        If an argument is outside its range, or shapes do not fit.
    """
    data = as_data(V, "V")
    W = as_start(templates, data, "templates")
    if W is None:
        raise ParameterError("templates are needed")
    for name, value, least in (
        ("n_iter", n_iter, 1), ("repetition", repetition, 0), ("polyphony", polyphony, 1),
        ("continuity", continuity, 0),
    ):  # fmt: skip
        check_whole(name, value, least)
    # Powers of two: nothing is rounded, and no level leaves the range of the type on the way.
    scale, size = _power(data), _power(W)
    data, W = data / scale, W / size
    sums = W.sum(axis=0)[:, None]
    weights = np.divide(1, sums, out=np.zeros_like(sums), where=sums > 0)
    levels = data.sum(axis=0) / max(1, int((sums > 0).sum()))
    H: Matrix = np.asarray(weights * levels, data.dtype)
    for i in range(n_iter):
        others = 1 - (i + 1) / n_iter
        H = _unrepeated(H, repetition, others)
        H = _few(H, polyphony, others)
        H = _along_diagonals(H, continuity)
        model = W @ H
        ratio = np.divide(data, model, out=np.zeros_like(data), where=model > _SMALLEST)
        H *= (W.T @ ratio) * weights
    return np.asarray(H * (scale / size), data.dtype)


def _power(array: Matrix) -> Any:
    """Return the power of two at the largest value, in the type of the array; 1 for zeros."""
    most = float(array.max(initial=0))
    return array.dtype.type(2.0 ** np.floor(np.log2(most)) if most > 0 else 1)


def reach(n_iter: int = 20, repetition: int = 3, continuity: int = 3) -> int:
    """Return how many frames away one can matter to the activations of another."""
    return n_iter * (repetition + continuity)


def diagonal_share(activations: ArrayLike) -> float:
    """Return what share of the activations goes on along a diagonal, 0 to 1.

    An activation goes on where the next component in the next frame, or the one before in the frame
    before, has a tenth of it or more.

    Parameters
    ----------
    activations : array, shape (n_components, n_frames)
        H, ≥ 0.
    """
    H = np.asarray(activations)
    around = np.zeros_like(H)
    around[1:, 1:] = H[:-1, :-1]
    np.maximum(around[:-1, :-1], H[1:, 1:], out=around[:-1, :-1])
    total = float(H.sum(dtype=np.float64))
    on = float(H[around >= _ACTIVE * H].sum(dtype=np.float64))
    return on / total if total > 0 else 0.0


def _unrepeated(H: Matrix, radius: int, others: float) -> Matrix:
    """Hold back what is not the largest of its component in the frames around."""
    before, after = np.full_like(H, -1), H.copy()
    for step in range(1, min(radius, H.shape[1] - 1) + 1):
        np.maximum(before[:, step:], H[:, :-step], out=before[:, step:])
        np.maximum(after[:, :-step], H[:, step:], out=after[:, :-step])
    return np.where((after <= H) & (before < H), H, H * others)  # of equals the first stays


def _few(H: Matrix, most: int, others: float) -> Matrix:
    """Hold back all but the largest of each frame."""
    if most >= len(H):
        return H
    least = np.partition(H, len(H) - most, axis=0)[len(H) - most]
    return np.where(least <= H, H, H * others)


def _along_diagonals(H: Matrix, radius: int) -> Matrix:
    """Return sums along the diagonals."""
    total = H.copy()
    for step in range(1, min(radius, H.shape[1] - 1, H.shape[0] - 1) + 1):
        total[step:, step:] += H[:-step, :-step]
        total[:-step, :-step] += H[step:, step:]
    return total
