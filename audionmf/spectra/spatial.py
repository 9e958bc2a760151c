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

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audionmf.spectra.fused import FramePass, maximum, where_zero
from audionmf.spectra.in_order import in_order
from audionmf.spectra.masks import least_normal, ratio_masks
from audionmf.spectra.masks import shares as masks_of

__all__ = ["PASSES", "estimate_covariances", "wiener_filter"]

Transform = NDArray[np.complex64]
Powers = NDArray[np.float32]

PASSES = 4
"""How often `estimate_covariances` goes through the mixture: to begin with, and once a round."""
_SHRINK = 0.1
_FLOOR = 1e-4


def wiener_filter(
    X: Transform,
    powers: Powers,
    covariances: Transform,
    only: Sequence[int] | None = None,
    exponent: float | None = None,
) -> Transform:
    """Return the part of each source in a stereo mixture.

    Parameters
    ----------
    X : ndarray, shape (2, n_bins, n_frames), complex64
        The mixture.
    powers : ndarray, shape (n_sources, n_bins, n_frames), float32
        v, ≥ 0, in any unit.
    covariances : ndarray, shape (n_sources, n_bins, 2, 2), complex64
        R, Hermitian and positive semidefinite, with trace 2.
    only : sequence of int, optional
        The sources whose parts are wanted, in less time. Default: all.
    exponent : {1, 1.5, 2}, optional
        Take `powers` for models, of which `ratio_masks` with this exponent are the powers: the same
        but for rounding, in less time. Default: take them as they are.

    Returns
    -------
    ndarray, shape (n_wanted, 2, n_bins, n_frames), complex64
        Those of all sources sum to X: what a small diagonal term, which keeps the inverse stable,
        takes away is shared out by power.
    """
    n_sources, n_bins, n_frames = powers.shape
    wanted = tuple(range(n_sources) if only is None else only)
    if exponent is not None and powers.strides[1] != 4:  # no floats side by side
        powers, exponent = ratio_masks(powers, exponent).astype(np.float32), None
    parts = np.empty((len(wanted), 2, n_frames, n_bins), np.complex64)
    if wanted:
        # Two passes: in one, what waits for a division to end keeps the next bins from beginning.
        shares = np.empty((n_sources, n_frames, n_bins), np.float32)
        _shares_pass(n_sources, exponent)([*powers.swapaxes(1, 2)], [*shares])
        given = [*X.swapaxes(1, 2), *shares, *_rows(covariances)]
        _filter_pass(n_sources, wanted)(given, [*parts.reshape(-1, n_frames, n_bins)])
    return parts.swapaxes(2, 3)


def estimate_covariances(
    block: Callable[[int], tuple[Transform, Powers]],
    n_blocks: int,
    n_sources: int,
    n_bins: int,
    *,
    n_threads: int = 1,
    progress: Callable[[float], object] = lambda _: None,
) -> Transform:
    """Learn where each source stands from the mixture, its powers known.

    Three rounds of expectation maximisation with the powers held fixed: filter the mixture, and take
    the covariance of what each source gets. A bin's covariance is drawn a little towards the
    source's mean over all bins, which steadies bins where it hardly sounds.

    Parameters
    ----------
    block : callable
        Returns a part of the mixture, by its number, with its powers, as `wiener_filter` takes them;
        called from any thread.
    n_blocks, n_sources, n_bins : int
        Sizes.
    n_threads : int, default 1
        Threads; the result does not depend on them.
    progress : callable, optional
        Told the share done.

    Returns
    -------
    ndarray, shape (n_sources, n_bins, 2, 2), complex64
        Hermitian, trace 2.
    """
    covariances = np.tile(np.eye(2, dtype=np.complex64), (n_sources, n_bins, 1, 1))
    levels: dict[int, np.float32] = {}
    silent = np.zeros((n_bins, 2, 2), np.complex128)
    for n_passes in range(PASSES):
        R = _rows(covariances) if n_passes else None
        sums = np.zeros((n_sources + (R is None), 4, n_bins))

        def gathered(i: int, R: list[Powers] | None = R) -> NDArray[np.float64]:
            X, powers = block(i)
            if i not in levels:
                levels[i] = _level(X.swapaxes(1, 2))
            return _gathered(X.swapaxes(1, 2), powers.swapaxes(1, 2), R, levels[i])

        for n_done, found in enumerate(in_order(gathered, range(n_blocks), n_threads), 1):
            sums += found
            progress((n_passes + n_done / n_blocks) / PASSES)
        if R is None:  # whatever the places are
            silent = _matrices(sums[-1]) / n_sources**2
        parts = (_around(_matrices(c), R) + silent for c, R in zip(sums, covariances, strict=False))
        covariances = np.stack([_normalised(c) for c in parts])
    return covariances


def _rows(covariances: Transform) -> list[Powers]:
    """Return the four numbers of [[left, cross], [cross*, right]] of each source, (n_bins,) each."""
    return [
        np.ascontiguousarray(row)
        for R in covariances
        for row in (R[:, 0, 0].real, R[:, 1, 1].real, R[:, 0, 1].real, R[:, 0, 1].imag)
    ]


# --- in one bin: numbers, of which complex ones are pairs (real, imaginary)

Pair = tuple[Any, Any]
Place = Sequence[Any]
"""[[left, cross], [cross*, right]] as left, right, and both parts of cross."""


@functools.lru_cache(maxsize=64)
def _shares_pass(n_sources: int, exponent: float | None) -> FramePass:
    """Return what gives the shares of sources in a bin, of their powers or models."""

    def shares(*given: Any) -> list[Any]:
        return _shares(given)[1] if exponent is None else masks_of(given, exponent)

    return FramePass(shares, "f" * n_sources, "f" * n_sources)


@functools.lru_cache(maxsize=64)
def _filter_pass(n_sources: int, wanted: tuple[int, ...]) -> FramePass:
    """Return what gives the parts of some sources in a bin, of their shares."""

    def parts(left: Pair, right: Pair, *others: Any) -> list[Pair]:
        x, shares, R = [left, right], others[:n_sources], others[n_sources:]
        total = sum(shares[1:], shares[0])
        z = _whitened(x, _summed(shares, R))
        found = [
            [(a * share, b * share) for a, b in _times(_place(R, j), z)]
            for j, share in enumerate(shares)
        ]
        missing = x
        for part in found:  # of what was found, rounded as it is, so that the sum is right
            missing = [(a - c, b - d) for (a, b), (c, d) in zip(missing, part, strict=True)]
        result = []
        for j in wanted:
            share = where_zero(total, 1 / n_sources, shares[j])
            for (a, b), (c, d) in zip(found[j], missing, strict=True):
                result.append((a + share * c, b + share * d))
        return result

    return FramePass(parts, "cc" + "f" * n_sources + "rrrr" * n_sources, "cc" * len(wanted))


@functools.lru_cache(maxsize=64)
def _gathering_pass(n_sources: int, placed: bool) -> FramePass:
    """Return what gives the sums of `_gathered`, with places or before any is known."""

    def products(left: Pair, right: Pair, level: Any, *others: Any) -> list[Any]:
        x = [(a * level, b * level) for a, b in (left, right)]
        powers, R = others[:n_sources], others[n_sources:]
        total, shares = _shares(powers)
        if placed:
            z = _whitened(x, _summed(shares, R))
        else:
            z = [(a * (1 / (1 + _FLOOR)), b * (1 / (1 + _FLOOR))) for a, b in x]
        over = _products(z)
        found = [share * share * product for share in shares for product in over]
        return found + [where_zero(total, p, 0.0) for p in ([] if placed else _products(x))]

    inputs = "cc" + "r" + "f" * n_sources + "rrrr" * n_sources * placed
    return FramePass(products, inputs, "ssss" * (n_sources + (not placed)))


def _place(R: Sequence[Any], j: int) -> Place:
    return R[4 * j : 4 * j + 4]


def _shares(powers: Sequence[Any]) -> tuple[Any, list[Any]]:
    """Return the sum of powers, and their shares of it: 0 where that is 0.

    As shares no powers, nor their products, can leave the range of the type.
    """
    total = sum(powers[1:], powers[0])
    inverse = 1.0 / maximum(total, least_normal(total))
    return total, [power * inverse for power in powers]


def _summed(shares: Sequence[Any], R: Sequence[Any]) -> Place:
    """Return Σ_j v_j R_j."""
    total = [shares[0] * number for number in _place(R, 0)]
    for j in range(1, len(shares)):
        total = [a + shares[j] * b for a, b in zip(total, _place(R, j), strict=True)]
    return total


def _times(place: Place, z: Sequence[Pair]) -> list[Pair]:
    """Return R z."""
    (left, right, real, imaginary), ((a, b), (c, d)) = place, z
    return [
        (left * a + real * c - imaginary * d, left * b + real * d + imaginary * c),
        (right * c + real * a + imaginary * b, right * d + real * b - imaginary * a),
    ]


def _whitened(x: Sequence[Pair], total: Place) -> list[Pair]:
    """Return (Σ_j v_j R_j)⁻¹ x, with a small diagonal term in the sum."""
    left, right, real, imaginary = total
    left, right = left + _FLOOR, right + _FLOOR
    product = left * right
    apart = product - (real * real + imaginary * imaginary)
    inverse = 1.0 / maximum(apart, product * (_FLOOR * _FLOOR))
    adjugate = right, left, 0.0 - real, 0.0 - imaginary
    return [(a * inverse, b * inverse) for a, b in _times(adjugate, x)]


def _products(z: Sequence[Pair]) -> tuple[Any, Any, Any, Any]:
    """Return |z0|², |z1|² and the real and imaginary part of z0 z1*."""
    (a, b), (c, d) = z
    return a * a + b * b, c * c + d * d, a * c + b * d, b * c - a * d


# --- sums over frames


def _gathered(
    X: Transform, powers: Powers, R: list[Powers] | None, level: np.float32
) -> NDArray[np.float64]:
    """Return Σ_t v² z zᴴ of each source, z = (Σ v R)⁻¹ X; without R, which is 1, Σ_t X Xᴴ of no v too.

    The frames are (2, n_frames, n_bins), the sums (n_sources, 4, n_bins), or one more; those are
    multiplied by `level`, these divided by its square. The covariance of what a source gets is
    R (Σ_t v² z zᴴ) R: of what the small diagonal term in the sum keeps back, z times that term, each
    gets its share too.
    """
    n_sources, _, n_bins = powers.shape
    sums = np.zeros((n_sources + (R is None), 4, n_bins))
    given = [*X, np.full(n_bins, level), *powers, *(R or [])]
    _gathering_pass(n_sources, R is not None)(given, [*sums.reshape(-1, n_bins)])
    return sums / float(level) ** 2


def _level(X: Transform) -> np.float32:
    """Return the power of two that brings the greatest number of X to 1 to 2, as far as it may."""
    # Side by side, as the parts lie there, they are looked through eight times as quickly.
    parts = [X.view(np.float32)] if X.strides[-1] == X.itemsize else [X.real, X.imag]
    ends = [f(part, initial=0) for part in parts for f in (np.max, np.min)]
    peak = float(np.abs(ends).max()) or 1.0
    return np.float32(2.0 ** np.clip(-np.floor(np.log2(peak)), -120, 120))


def _around(S: NDArray[np.complex128], R: Transform) -> NDArray[np.complex128]:
    """Return (R + floor) S (R + floor)."""
    place = R.astype(np.complex128) + _FLOOR * np.eye(2)
    return _product(_product(place, S), place)


def _product(A: NDArray[np.complex128], B: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """Return A @ B of small matrices (n, 2, 2), for each of which NumPy would call BLAS."""
    product = np.empty(A.shape, np.complex128)
    for i, j in np.ndindex(2, 2):
        product[:, i, j] = A[:, i, 0] * B[:, 0, j] + A[:, i, 1] * B[:, 1, j]
    return product


def _matrices(sums: NDArray[np.float64]) -> NDArray[np.complex128]:
    """Return Hermitian matrices (n_bins, 2, 2) of their numbers (4, n_bins)."""
    left, right, real, imaginary = sums
    cross = real + 1j * imaginary
    return np.moveaxis(np.array([[left, cross], [cross.conj(), right]]), -1, 0)


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
