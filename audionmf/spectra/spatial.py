"""Where sources stand in the stereo image, and the Wiener filter that makes use of it.

Each source j is modelled in every bin f and frame t as a two-channel Gaussian with covariance
``v_j(f, t) R_j(f)``: its power from the factorisation, its place from a spatial covariance matrix
that holds for the whole recording. The multichannel Wiener filter gives each source its expected
part of the mixture; the parts sum to the mixture.

References
----------
Duong, Vincent and Gribonval, "Under-determined reverberant audio source separation using a
full-rank spatial covariance model", IEEE Transactions on Audio, Speech, and Language Processing
18(7), 2010. Nugraha, Liutkus and Vincent, "Multichannel audio source separation with deep neural
networks", IEEE/ACM Transactions on Audio, Speech, and Language Processing 24(9), 2016.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

__all__ = ["PASSES", "estimate_covariances", "wiener_filter"]

Transform = NDArray[np.complex64]
Powers = NDArray[np.float32]

PASSES = 4
"""How often `estimate_covariances` goes through the mixture: to begin with, and once a round."""
_SHRINK = 0.1
_FLOOR = 1e-4


def wiener_filter(X: Transform, powers: Powers, covariances: Transform) -> Transform:
    """Return the part of each source in a stereo mixture.

    Parameters
    ----------
    X : ndarray, shape (2, n_bins, n_frames), complex64
        The mixture.
    powers : ndarray, shape (n_sources, n_bins, n_frames), float32
        v, ≥ 0, in any unit.
    covariances : ndarray, shape (n_sources, n_bins, 2, 2), complex64
        R, Hermitian and positive semidefinite, with trace 2.

    Returns
    -------
    ndarray, shape (n_sources, 2, n_bins, n_frames), complex64
        They sum to X: what a small diagonal term, which keeps the inverse stable, takes away is
        shared out by power.
    """
    R, floor = covariances[..., None], np.float32(_FLOOR)
    total = powers.sum(axis=0)
    # As shares of their sum no powers, nor their products, can leave the range of the type.
    shares = powers / np.where(total > 0, total, np.float32(1))
    left = np.einsum("jft,jf->ft", shares, covariances[:, :, 0, 0].real) + floor
    right = np.einsum("jft,jf->ft", shares, covariances[:, :, 1, 1].real) + floor
    cross = np.einsum("jft,jf->ft", shares, covariances[:, :, 0, 1])
    cross_left, cross_right = cross / left, cross.conj() / right
    determinant = np.maximum(1 - (cross_left * cross_right).real, floor**2)
    z0 = (X[0] / left - cross_left * (X[1] / right)) / determinant
    z1 = (X[1] / right - cross_right * (X[0] / left)) / determinant
    parts = np.empty((len(powers), *X.shape), np.complex64)
    for j, v in enumerate(shares):
        parts[j, 0] = v * (R[j, :, 0, 0] * z0 + R[j, :, 0, 1] * z1)
        parts[j, 1] = v * (R[j, :, 1, 0] * z0 + R[j, :, 1, 1] * z1)
    shares[:, total == 0] = 1 / len(powers)
    missing = X - parts.sum(axis=0)
    for part, share in zip(parts, shares, strict=True):
        part += share * missing
    return parts


def estimate_covariances(
    blocks: Callable[[], Iterator[tuple[Transform, Powers]]], n_sources: int, n_bins: int
) -> Transform:
    """Learn where each source stands from the mixture, its powers known.

    Three rounds of expectation maximisation with the powers held fixed: filter the mixture, and take
    the covariance of what each source gets. A bin's covariance is drawn a little towards the
    source's mean over all bins, which steadies bins where it hardly sounds.

    Parameters
    ----------
    blocks : callable
        Returns an iterator over parts of the mixture, each with its powers, as `wiener_filter`
        takes them.
    n_sources, n_bins : int
        Sizes.

    Returns
    -------
    ndarray, shape (n_sources, n_bins, 2, 2), complex64
        Hermitian, trace 2.
    """
    covariances = np.tile(np.eye(2, dtype=np.complex64), (n_sources, n_bins, 1, 1))
    for _ in range(PASSES):
        sums = np.zeros((n_sources, n_bins, 2, 2), np.complex128)
        for X, powers in blocks():
            parts = wiener_filter(X, powers, covariances)
            for total, part in zip(sums, parts, strict=True):
                total += np.einsum("aft,bft->fab", part, part.conj())
        covariances = np.stack([_normalised(c) for c in sums])
    return covariances


def _normalised(sums: NDArray[np.complex128]) -> Transform:
    """Scale the covariances of a source (n_bins, 2, 2) to trace 2, drawn towards their mean."""
    traces = np.trace(sums, axis1=1, axis2=2).real / 2
    if traces.max(initial=0) == 0:
        return np.tile(np.eye(2, dtype=np.complex64), (len(sums), 1, 1))
    mean = sums.sum(axis=0) / traces.sum()
    weight = _SHRINK * traces.mean()
    steadied = (sums + weight * mean) / (traces + weight)[:, None, None]
    normalised: Transform = steadied.astype(np.complex64)
    return normalised
