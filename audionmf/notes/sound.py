"""A stem in pieces of bounded length, and what is seen of each: long and short windows.

Long windows part the notes of a bass, short ones see when they begin. Pieces overlap, so that what
begins in one is heard whole; each has a core, and the cores make up the stem.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audionmf.io.audio import Source

__all__ = [
    "HIGHEST_HZ",
    "HOP",
    "RATE",
    "SECONDS",
    "SILENCE",
    "Matrix",
    "Piece",
    "Spectra",
    "Vector",
    "level_db",
    "long_magnitudes",
    "loud_of",
    "magnitudes",
    "novelty_of",
    "peaks_of",
    "pieces_of",
    "short_levels",
    "spectra_of",
]

Matrix = NDArray[np.floating[Any]]
Vector = NDArray[np.float64]

RATE = 22050
"""All stems are heard at this rate, in Hz."""

HOP = 220
"""Samples between frames."""

SECONDS = HOP / RATE
"""Time between frames."""

HIGHEST_HZ = 6000.0
"""Partials above are not looked at."""

SILENCE = 1e-9
"""Smaller than any magnitude that sounds."""

_LONG, _LONG_FFT = 2822, 4096
_SHORT, _SHORT_FFT = 882, 1024
_CORE_SECONDS, _MARGIN_SECONDS = 30.0, 3.0
_COMPRESSION = 1000.0
_AT_A_TIME = 256
_HEARD_DB, _LOUD_PERCENTILE = 60.0, 98


@dataclass(frozen=True)
class Piece:
    """A stretch of a stem.

    Parameters
    ----------
    start : float
        Where its samples start, in seconds from the start of the stem.
    first, last : float
        Its core, in seconds from its own start; infinity where nothing follows.
    samples : ndarray, shape (n_samples,)
        One channel, at `RATE`.
    """

    start: float
    first: float
    last: float
    samples: Vector


@dataclass(frozen=True)
class Spectra:
    """Magnitudes of a piece, a sine of amplitude 1 with a peak of 1.

    Parameters
    ----------
    V : ndarray, shape (n_bins, n_frames)
        Of windows of 128 ms, up to `HIGHEST_HZ`.
    frequencies : ndarray, shape (n_bins,)
        In Hz.
    S : ndarray, shape (n_short_bins, n_frames)
        Of windows of 40 ms around the same times.
    short_frequencies : ndarray, shape (n_short_bins,)
        In Hz.
    lobe : float
        Half the width of a partial in V, in Hz.
    """

    V: Matrix
    frequencies: Vector
    S: Matrix
    short_frequencies: Vector
    lobe: float


def pieces_of(source: Source) -> Iterator[Piece]:
    """Yield a stem in pieces of 30 s and 3 s of overlap at either end; channels are averaged.

    Only one piece is in memory at a time.
    """
    rate = source.sample_rate
    core, margin = round(_CORE_SECONDS * rate), round(_MARGIN_SECONDS * rate)
    lead, position = 0, 0  # the overlap before the core, and where the held samples start
    held: list[NDArray[np.float32]] = []
    count = 0
    for block in source.blocks():
        held.append(block.mean(axis=0, dtype=np.float32))
        count += held[-1].size
        while count > lead + core + margin:
            whole = np.concatenate(held)
            yield _piece(whole[: lead + core + margin], rate, position, lead, lead + core)
            passed = lead + core - margin
            held, count, position, lead = (
                [whole[passed:]],
                count - passed,
                position + passed,
                margin,
            )
    yield _piece(np.concatenate(held), rate, position, lead, None)


def _piece(
    samples: NDArray[np.float32], rate: int, position: int, first: int, last: int | None
) -> Piece:
    import soxr

    x = np.asarray(soxr.resample(samples.astype(np.float64), rate, RATE))
    start = -np.inf if position == 0 and first == 0 else first / rate
    return Piece(position / rate, start, np.inf if last is None else last / rate, x)


def spectra_of(samples: Vector) -> Spectra:
    """Return the magnitudes of a piece at `RATE`, frames `HOP` samples apart."""
    V = long_magnitudes(samples)
    S = magnitudes(samples, _SHORT, HOP, _SHORT_FFT)
    frequencies, fine = (
        np.arange(n // 2 + 1, dtype=np.float64) * (RATE / n) for n in (_LONG_FFT, _SHORT_FFT)
    )
    return Spectra(V, frequencies[: len(V)], S, fine, 2 * RATE / _LONG)


def long_magnitudes(samples: Vector) -> Matrix:
    """Return V of a piece at `RATE`, as in `Spectra`."""
    n_bins = int(np.ceil(HIGHEST_HZ * _LONG_FFT / RATE))
    return magnitudes(samples, _LONG, HOP, _LONG_FFT)[:n_bins]


def magnitudes(samples: Vector, window: int, hop: int, n_fft: int) -> Matrix:
    """Return magnitudes, shape (n_fft // 2 + 1, 1 + n_samples // hop), float32."""
    weights = 0.5 + 0.5 * np.cos(np.linspace(-np.pi, np.pi, window + 1)[:-1])  # Hann's
    padded = np.pad(samples, (window // 2, window + hop))
    frames = np.lib.stride_tricks.sliding_window_view(padded, window)[::hop]
    frames = frames[: 1 + len(samples) // hop]
    found = np.empty((n_fft // 2 + 1, len(frames)), np.float32)
    for i in range(0, len(frames), _AT_A_TIME):
        spectra = np.fft.rfft(frames[i : i + _AT_A_TIME] * weights, n_fft)
        found[:, i : i + _AT_A_TIME] = np.abs(spectra).T
    found *= np.float32(2 / weights.sum())
    return found


def short_levels(samples: Vector, hop: int = HOP) -> Vector:
    """Return how loud each frame is over 40 ms, in dB; 0 for a sine at full scale."""
    return level_db(magnitudes(samples, _SHORT, hop, _SHORT_FFT))


def level_db(S: Matrix) -> Vector:
    """Return the level of each frame of short windows in dB; 0 for a sine at full scale."""
    width = _SHORT_FFT * 1.5 / _SHORT  # of the power of a sine, in bins: sum(w²) / sum(w)² of Hann
    powers = (S.astype(np.float64) ** 2).sum(axis=0) / width
    level: Vector = 10 * np.log10(powers + SILENCE**2)
    return level


def loud_of(levels: Vector) -> float:
    """Return the level that 2 % of the frames exceed, of those that are heard."""
    return float(np.percentile(levels[levels >= levels.max() - _HEARD_DB], _LOUD_PERCENTILE))


def novelty_of(S: Matrix, lag: int, largest: float | None = None) -> Vector:
    """Return how much each compressed frame rises over an earlier one, whose peaks are widened.

    After Böck and Widmer, "Maximum filter vibrato suppression for onset detection", DAFx 2013.

    Parameters
    ----------
    S : ndarray, shape (n_bins, n_frames)
        Magnitudes.
    lag : int
        How many frames earlier, 1 or more.
    largest : float, optional
        The magnitude that counts as 1; default: the largest of S.
    """
    from scipy.ndimage import maximum_filter1d

    top = float(S.max(initial=0)) if largest is None else largest
    Y = np.log1p(_COMPRESSION / (top + SILENCE) * S)
    before = np.pad(maximum_filter1d(Y, 3, axis=0), ((0, 0), (lag, 0)))[:, : Y.shape[1]]
    novelty: Vector = np.maximum(Y - before, 0).mean(axis=0, dtype=np.float64)
    return novelty


def peaks_of(row: Vector, least: float, reach: int) -> list[int]:
    """Return where a row is the largest within `reach` frames, and at least so large."""
    from scipy.ndimage import maximum_filter1d

    highest = maximum_filter1d(row, 2 * reach + 1)
    return [int(t) for t in np.flatnonzero((row >= highest) & (row >= least) & (row > 0))]
