"""Frequency bands: single bins at the bottom, fractions of an octave above.

Activations of known templates are found on the sums over bands. Where a band is one bin, nothing
changes; high up, where partials no longer stand apart, a band holds many bins, and the problem
shrinks to a third. Sums of Poisson variables are Poisson variables: the Kullback–Leibler model of
the bins is that of the bands too.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audionmf.spectra.rows import rows_summed
from audionmf.spectra.stft import STFT

__all__ = ["Bands", "once_each"]

Matrix = NDArray[np.floating[Any]]

_SINGLE_BELOW_HZ = 5400.0
_PER_OCTAVE = 48
_FAR = -30.0
"""Logarithm of the weight from which on neighbours count when bands are smoothed: 1e-13."""
_SMOOTHING_OFFSET_HZ = 100.0


def once_each(numbers: NDArray[Any]) -> NDArray[np.int64]:
    """Return whole numbers, 0 or more and not large, in their order and once each.

    As `np.unique`, which loads NumPy's masked arrays, a tenth of what is loaded for a short separation.

    Parameters
    ----------
    numbers : ndarray, shape (n,)
        The time and memory that it takes grow with the greatest.
    """
    return np.flatnonzero(np.bincount(numbers.astype(np.int64)))


@dataclass(frozen=True, eq=False)
class Bands:
    """The bands of an STFT at a sample rate.

    Parameters
    ----------
    edges : ndarray of int, shape (n_bands,)
        First bin of each band, rising from 0.
    frequencies : ndarray, shape (n_bands,)
        Mean frequency of each band in Hz.
    """

    edges: NDArray[np.int64]
    frequencies: NDArray[np.float64]

    @classmethod
    def of(cls, stft: STFT, sample_rate: int) -> Bands:
        """Return single bins below 5.4 kHz and 48 bands an octave above, as arrays that stay."""
        return _bands(stft, sample_rate, _SINGLE_BELOW_HZ)

    def pool(self, spectra: Matrix) -> Matrix:
        """Sum bins (n_bins, n) over the bands; returns (n_bands, n), bands as neighbours."""
        return rows_summed(spectra, self.edges)

    def spread(self, gains: NDArray[np.float64], frequencies: NDArray[np.float64]) -> Matrix:
        """Interpolate gains of the bands (n_bands,) at the frequencies of bins, in Hz."""
        spread: Matrix = np.interp(frequencies, self.frequencies, gains)
        return spread

    def smoother(self, octaves: float) -> NDArray[np.float64]:
        """Return a smoothing matrix over the bands: Gaussian in octaves above 100 Hz, linear below.

        Parameters
        ----------
        octaves : float
            Standard deviation, > 0.

        Returns
        -------
        ndarray, shape (n_bands, n_bands)
            Each row sums to 1.
        """
        place = np.log2(self.frequencies + _SMOOTHING_OFFSET_HZ)
        weights = (place[:, None] - place) / octaves
        weights *= weights
        weights *= -0.5
        # What is far off is next to nothing, and denormal: slow to make and to multiply with.
        np.exp(weights, out=weights, where=weights > _FAR)
        weights[weights <= _FAR] = 0
        weights /= weights.sum(axis=1, keepdims=True)
        smoothing: NDArray[np.float64] = weights
        return smoothing


@functools.lru_cache(maxsize=16)
def _bands(stft: STFT, sample_rate: int, single_below_hz: float) -> Bands:
    """Return what `Bands.of` does; every block of frames asks for it."""
    edge = float(max(1, round(single_below_hz * stft.n_fft / sample_rate)))
    single = stft.rows(np.array([edge]))[0]
    wider, last = [], stft.places[-1]
    while edge <= last:
        wider.append(round(edge))
        edge = max(edge * 2 ** (1 / _PER_OCTAVE), wider[-1] + 1)
    rows = np.concatenate([np.arange(single), stft.rows(np.array(wider))])
    starts = once_each(rows[rows < stft.n_bins])
    counts = np.diff(starts, append=stft.n_bins)
    sums = np.add.reduceat(stft.frequencies(sample_rate), starts)
    frequencies = sums / counts
    starts.flags.writeable = frequencies.flags.writeable = False
    return Bands(starts, frequencies)
