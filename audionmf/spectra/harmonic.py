"""Where a blind factorisation starts and what it may become: one comb for each pitch, and noise.

A component that is free to be anything becomes a bit of several notes. Held to the partials of one
pitch it is that note, whoever plays it; a few free components take what has no pitch. Templates start
as combs that are zero between the partials; multiplicative updates shape the partials and keep the
zeros.

References
----------
Raczyński, Ono and Sagayama, "Multipitch analysis with harmonic nonnegative matrix approximation",
ISMIR 2007. Vincent, Bertin and Badeau, "Adaptive harmonic spectral decomposition for multiple pitch
estimation", IEEE Transactions on Audio, Speech, and Language Processing 18(3), 2010. Median filters:
FitzGerald, "Harmonic/percussive separation using median filtering", DAFx 2010.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audionmf.spectra.bands import once_each
from audionmf.spectra.medians import running_median

__all__ = ["harmonic_start", "pitch_combs", "tonal_share"]

Matrix = NDArray[np.floating[Any]]

_LOWEST_KEY, _HIGHEST_KEY = 28, 99
_PARTIALS = 40
_HIGHEST_HZ = 12_000.0
_DECAY = 0.6
_INHARMONICITY = 1e-4
_WIDTH = 0.012
_REACH = 2.2
_NOISES = 8
_NOISE_APART = 6
_NOISE_SMOOTHING = 31
_LEAST = 1e-9

_TONAL_SECONDS = 0.2
_TONAL_HZ = 185.0
_TONAL_FROM_HZ, _TONAL_TO_HZ = 200.0, 6500.0
_PIECES, _PIECE_FRAMES = 4, 512


def pitch_combs(
    frequencies: NDArray[np.float64], sample_rate: float, bin_hertz: float
) -> tuple[Matrix, NDArray[np.float64]]:
    """Return one comb for each semitone from E1 to E♭7 whose fundamental is below half the rate.

    Parameters
    ----------
    frequencies : ndarray, shape (n_bands,)
        Of the bins or bands, rising, in Hz.
    sample_rate : float
        In Hz.
    bin_hertz : float
        Distance of the bins of the transform, in Hz: no partial is narrower.

    Returns
    -------
    combs : ndarray, shape (n_bands, n_pitches), float32
        Each sums to 1; zero between the partials, which fall by 0.6 of an octave for each octave.
    keys : ndarray, shape (n_pitches,)
        Their pitches in semitones, 69 for 440 Hz.
    """
    return _kept_combs(np.asarray(frequencies, np.float64).tobytes(), sample_rate, bin_hertz)


@functools.lru_cache(maxsize=4)
def _kept_combs(
    content: bytes, sample_rate: float, bin_hertz: float
) -> tuple[Matrix, NDArray[np.float64]]:
    """Make the combs of a transform once for all recordings of a batch; nobody may write to them."""
    frequencies = np.frombuffer(content)
    keys = np.arange(_LOWEST_KEY, _HIGHEST_KEY + 1, dtype=np.float64)
    widths = np.gradient(frequencies) / 2
    combs = [_comb(frequencies, widths, key, sample_rate, bin_hertz) for key in keys]
    heard = [k for k, comb in enumerate(combs) if comb.any()]
    W = np.stack([combs[k] / combs[k].sum() for k in heard], axis=1)
    made = W.astype(np.float32), keys[heard]
    for array in made:
        array.flags.writeable = False
    return made


def _comb(
    frequencies: NDArray[np.float64],
    widths: NDArray[np.float64],
    key: float,
    sample_rate: float,
    bin_hertz: float,
) -> NDArray[np.float64]:
    partials = np.arange(1, _PARTIALS + 1)
    places = 440 * 2 ** ((key - 69) / 12) * partials * np.sqrt(1 + _INHARMONICITY * partials**2)
    heard = places <= min(sample_rate / 2, _HIGHEST_HZ)
    strengths, places = partials[heard, None] ** -_DECAY, places[heard, None]
    spreads = np.maximum(np.maximum(bin_hertz, _WIDTH * places), widths)
    distances = np.abs(frequencies - places) / spreads
    near = distances <= _REACH
    comb = np.zeros(distances.shape)
    comb[near] = np.exp(-0.5 * distances[near] ** 2)
    comb *= strengths
    summed: NDArray[np.float64] = comb.sum(axis=0)
    return summed


def harmonic_start(
    V: Matrix, frequencies: NDArray[np.float64], sample_rate: float, bin_hertz: float
) -> tuple[Matrix, NDArray[np.float64]]:
    """Return templates for a factorisation of V to start from: combs, then smooth spectra of strokes.

    Parameters
    ----------
    V : ndarray, shape (n_bands, n_frames)
        Magnitudes.
    frequencies, sample_rate, bin_hertz
        As in `pitch_combs`.

    Returns
    -------
    templates : ndarray, shape (n_bands, n_components), float32
        Each sums to 1.
    keys : ndarray, shape (n_components,)
        Pitches in semitones; NaN for the free ones.
    """
    combs, keys = pitch_combs(frequencies, sample_rate, bin_hertz)
    flux = np.maximum(np.diff(V, axis=1, prepend=V.dtype.type(0)), 0).sum(axis=0)
    loudest = np.argsort(-flux, kind="stable")
    strokes = loudest[np.arange(_NOISES) * _NOISE_APART % len(loudest)]
    noises = running_median(V[:, strokes].T.astype(np.float64), _NOISE_SMOOTHING).T
    noises += _LEAST * max(float(V.max()), _LEAST)
    templates = np.concatenate([combs, noises / noises.sum(axis=0)], axis=1)
    return templates.astype(np.float32), np.append(keys, np.full(_NOISES, np.nan))


def tonal_share(V: Matrix, frames_per_second: float, bin_hertz: float) -> float:
    """Return which share of V lies on ridges along time rather than along frequency.

    Near 1 for what holds its pitch, near 0 for drums: on recordings of drums alone it was .10 to
    .26, of drums with others .41 to .57, of pitched instruments .80 to .89.

    Parameters
    ----------
    V : ndarray, shape (n_bins, n_frames)
        Magnitudes of neighbouring frames; up to 2048 of them are looked at.
    frames_per_second : float
        Frames in a second.
    bin_hertz : float
        Distance of the bins, in Hz.

    Returns
    -------
    float
        0 for silence.
    """
    across = 2 * max(1, round(_TONAL_SECONDS * frames_per_second)) + 1
    along = 2 * max(1, round(_TONAL_HZ / 2 / bin_hertz)) + 1
    # Below, a kick drum that rings cannot be told from a bass.
    band = V[round(_TONAL_FROM_HZ / bin_hertz) : max(2, round(_TONAL_TO_HZ / bin_hertz))]
    starts = np.linspace(0, max(0, V.shape[1] - _PIECE_FRAMES), _PIECES).astype(int)
    tonal = total = 0.0
    for start in once_each(starts):
        piece = band[:, start : start + _PIECE_FRAMES]
        steady = running_median(piece, across) > running_median(piece.T, along).T
        # To pick them out takes ten times as long.
        tonal += float((piece * steady).sum(dtype=np.float64))
        total += float(piece.sum(dtype=np.float64))
    return tonal / total if total > 0 else 0.0
