"""Where a factorisation starts: at random, or from a singular value decomposition (NNDSVD)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from audionmf.errors import ParameterError

__all__ = ["INITS", "initialize"]

Matrix = NDArray[np.floating[Any]]

INITS = ("random", "nndsvd", "nndsvda")
"""Names of the starts: random; NNDSVD; NNDSVD with its zeros raised to a hundredth of the mean."""

_RAISED_ZERO = 0.01


def initialize(
    V: Matrix, n_components: int, init: str = "random", seed: int | np.random.Generator = 0
) -> tuple[Matrix, Matrix]:
    """Return templates and activations to start from.

    Parameters
    ----------
    V : ndarray, shape (n_bins, n_frames)
        Data, ≥ 0.
    n_components : int
        Number of components.
    init : {"random", "nndsvd", "nndsvda"}, default "random"
        "random": absolute normal numbers; the activations have the level of `V`.
        "nndsvd": non-negative double singular value decomposition; its zeros stay zero under
        multiplicative updates. "nndsvda": the same with zeros raised to a hundredth of the mean.
    seed : int or numpy.random.Generator, default 0
        For "random" and for components beyond the rank of `V`.

    Returns
    -------
    templates : ndarray, shape (n_bins, n_components)
        In the dtype of `V`.
    activations : ndarray, shape (n_components, n_frames)
        In the dtype of `V`.

    Raises
    ------
    ParameterError
        If `init` is unknown.

    References
    ----------
    Boutsidis and Gallopoulos, "SVD based initialization: A head start for nonnegative matrix
    factorization", Pattern Recognition 41(4), 2008.
    """
    if init not in INITS:
        raise ParameterError(f"init must be one of {', '.join(INITS)}, not {init!r}")
    rng = np.random.default_rng(seed)
    W, H = _random(V, n_components, rng)
    if init != "random":
        rank = min(n_components, *V.shape)
        W[:, :rank], H[:rank] = _nndsvd(V, rank)
    if init == "nndsvda":
        W, H = _raise_zeros(W), _raise_zeros(H)
    return W, H


def _random(V: Matrix, n_components: int, rng: np.random.Generator) -> tuple[Matrix, Matrix]:
    level = V.mean(dtype=np.float64) / n_components
    W = np.abs(rng.standard_normal((V.shape[0], n_components)))
    H = level * np.abs(rng.standard_normal((n_components, V.shape[1])))
    return W.astype(V.dtype), H.astype(V.dtype)


def _nndsvd(V: Matrix, rank: int) -> tuple[Matrix, Matrix]:
    U, singular, right = _truncated_svd(V, rank)
    W, H = np.zeros((V.shape[0], rank)), np.zeros((rank, V.shape[1]))
    for k in range(rank):
        sides = [
            (np.maximum(sign * U[:, k], 0), np.maximum(sign * right[k], 0)) for sign in (1, -1)
        ]
        u, v = max(sides, key=lambda side: np.linalg.norm(side[0]) * np.linalg.norm(side[1]))
        norm_u, norm_v = np.linalg.norm(u), np.linalg.norm(v)
        if norm_u > 0 and norm_v > 0:
            scale = np.sqrt(singular[k] * norm_u * norm_v)
            W[:, k], H[k] = scale * u / norm_u, scale * v / norm_v
    return W.astype(V.dtype), H.astype(V.dtype)


def _truncated_svd(V: Matrix, rank: int) -> tuple[Matrix, Matrix, Matrix]:
    """Return the largest singular triplets, from the Gram matrix of the shorter side."""
    import scipy.linalg

    if V.shape[0] > V.shape[1]:
        left, singular, right = _truncated_svd(V.T, rank)
        return right.T, singular, left.T
    data = V.astype(np.float64)
    size = V.shape[0]
    _, vectors = scipy.linalg.eigh(data @ data.T, subset_by_index=(size - rank, size - 1))
    U = vectors[:, ::-1]
    projected = U.T @ data
    singular = np.linalg.norm(projected, axis=1)
    return U, singular, projected / np.where(singular > 0, singular, 1)[:, None]


def _raise_zeros(factor: Matrix) -> Matrix:
    raised: Matrix = np.where(factor > 0, factor, factor.dtype.type(_RAISED_ZERO * factor.mean()))
    return raised
