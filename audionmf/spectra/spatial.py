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
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from audionmf.spectra.in_order import in_order

__all__ = ["PASSES", "estimate_covariances", "wiener_filter"]

Transform = NDArray[np.complex64]
Powers = NDArray[np.float32]

PASSES = 4
"""How often `estimate_covariances` goes through the mixture: to begin with, and once a round."""
_SHRINK = 0.1
_FLOOR = 1e-4
_CACHED = 16384
"""Numbers of an array that stays in the cache beside some others."""


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
    n_bins, n_frames = X.shape[1:]
    R, mixture = _Places.of(covariances), X.swapaxes(1, 2)
    parts = np.empty((len(powers), 2, n_frames, n_bins), np.complex64)
    for some in _cuts(n_frames, n_bins):
        x = _planes(mixture[:, some])
        shares, silent = _shares(powers[..., some].swapaxes(1, 2))
        z, missing = _whitened(x, shares, R), x.copy()
        for part, v, one in zip(parts[:, :, some], shares, R, strict=True):
            for channel, (real, imaginary) in enumerate(one.times(z)):
                real *= v
                imaginary *= v
                part[channel].real, part[channel].imag = real, imaginary
                missing[channel, 0] -= real
                missing[channel, 1] -= imaginary
        shares[:, silent] = 1 / len(powers)
        for part, v in zip(parts[:, :, some], shares, strict=True):
            part.real += v * missing[:, 0]
            part.imag += v * missing[:, 1]
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
    for n_passes in range(PASSES):
        R, sums = _Places.of(covariances), np.zeros((n_sources + 1, 4, n_bins))

        def gathered(i: int, R: list[_Places] = R) -> NDArray[np.float64]:
            X, powers = block(i)
            return _gathered(X.swapaxes(1, 2), powers.swapaxes(1, 2), R)

        for n_done, found in enumerate(in_order(gathered, range(n_blocks), n_threads), 1):
            sums += found
            progress((n_passes + n_done / n_blocks) / PASSES)
        silent = _matrices(sums[-1]) / n_sources**2
        parts = (_around(_matrices(c), one) + silent for c, one in zip(sums, R, strict=False))
        covariances = np.stack([_normalised(c) for c in parts])
    return covariances


@dataclass(frozen=True, eq=False)
class _Places:
    """The covariances of a source as rows of numbers, one a bin: [[left, cross], [cross*, right]]."""

    left: Powers
    right: Powers
    real: Powers
    imaginary: Powers

    @classmethod
    def of(cls, covariances: Transform) -> list[_Places]:
        return [
            cls(*map(np.ascontiguousarray, (
                R[:, 0, 0].real, R[:, 1, 1].real, R[:, 0, 1].real, R[:, 0, 1].imag
            )))
            for R in covariances
        ]  # fmt: skip

    def times(self, z: Powers) -> tuple[tuple[Powers, Powers], tuple[Powers, Powers]]:
        """Return R z, real and imaginary, of the left and the right channel."""
        (a, b), (c, d) = z
        left = self.left * a, self.left * b
        right = self.right * c, self.right * d
        _turn(left, self.real, self.imaginary, c, d)
        _turn(right, self.real, -self.imaginary, a, b)
        return left, right


def _turn(total: tuple[Powers, Powers], a: Powers, b: Powers, c: Powers, d: Powers) -> None:
    """Add (a + ib) (c + id) to a total, in place."""
    real, imaginary = total
    real += a * c
    real -= b * d
    imaginary += a * d
    imaginary += b * c


def _cuts(n_frames: int, n_bins: int) -> Iterator[slice]:
    """Yield pieces of the frames whose arrays of one number a bin stay in the cache."""
    step = max(1, _CACHED // n_bins)
    for first in range(0, n_frames, step):
        yield slice(first, first + step)


def _planes(X: Transform) -> Powers:
    """Return frames (2, n_frames, n_bins) as real and imaginary parts, (2, 2, n_frames, n_bins)."""
    planes = np.empty((2, 2, *X.shape[1:]), np.float32)
    planes[:, 0], planes[:, 1] = X.real, X.imag
    return planes


def _shares(powers: Powers) -> tuple[Powers, NDArray[np.bool_]]:
    """Return powers as shares of their sum, 0 where that is, and where it is.

    As shares no powers, nor their products, can leave the range of the type.
    """
    total = powers.sum(axis=0)
    silent = total == 0
    total[silent] = 1
    return powers / total, silent


def _whitened(x: Powers, shares: Powers, R: list[_Places]) -> Powers:
    """Return (Σ_j v_j R_j)⁻¹ X, in planes as X is, with a small diagonal term in the sum."""
    floor, first = np.float32(_FLOOR), shares[0]
    left, right = floor + first * R[0].left, floor + first * R[0].right
    real, imaginary = first * R[0].real, first * R[0].imaginary
    for v, one in zip(shares[1:], R[1:], strict=True):
        left += v * one.left
        right += v * one.right
        real += v * one.real
        imaginary += v * one.imaginary
    product = left * right
    apart = (real * real + imaginary * imaginary) / product
    inverse = 1 / (np.maximum(1 - apart, floor * floor) * product)
    for factor in (left, right, real, imaginary):
        factor *= inverse
    whole = _Places(right, left, -real, -imaginary)
    return np.array(whole.times(x))


def _gathered(X: Transform, powers: Powers, R: list[_Places]) -> NDArray[np.float64]:
    """Return Σ_t v² z zᴴ of each source, z = (Σ v R)⁻¹ X, and last Σ_t X Xᴴ where no v is.

    The frames are (2, n_frames, n_bins), the sums (n_sources + 1, 4, n_bins). The covariance of what
    a source gets is R (Σ_t v² z zᴴ) R: of what the small diagonal term in the sum keeps back, z
    times that term, each gets its share too.
    """
    level = np.float32(2.0 ** np.clip(-np.floor(np.log2(_peak(X))), -120, 120))
    sums = np.zeros((len(R) + 1, 4, X.shape[-1]))
    for some in _cuts(*X.shape[1:]):
        x = _planes(X[:, some]) * level
        shares, silent = _shares(powers[:, some])
        if silent.any():
            sums[-1] += [product.sum(axis=0) for product in _products(x * silent)]
        over = _products(_whitened(x, shares, R))
        shares *= shares
        for total, v in zip(sums, shares, strict=False):
            total += [np.einsum("tf,tf->f", v, product) for product in over]
    return sums / float(level) ** 2


def _peak(X: Transform) -> float:
    return max(float(np.abs(X.real).max(initial=0)), float(np.abs(X.imag).max(initial=0))) or 1.0


def _products(z: Powers) -> tuple[Powers, Powers, Powers, Powers]:
    """Return |z0|², |z1|² and the real and imaginary part of z0 z1*."""
    (a, b), (c, d) = z
    return a * a + b * b, c * c + d * d, a * c + b * d, b * c - a * d


def _around(S: NDArray[np.complex128], R: _Places) -> NDArray[np.complex128]:
    """Return (R + floor) S (R + floor)."""
    place = _matrices(np.array([R.left, R.right, R.real, R.imaginary], np.float64))
    place += _FLOOR * np.eye(2)
    return place @ S @ place


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
