"""Combs of partials, one for each semitone, and bands of noise, fitted to a piece of a stem.

The combs share what they learn of the timbre with the keys around them; a few smooth bands take what
has no pitch.

References
----------
Raczyński, Ono and Sagayama, "Multipitch analysis with harmonic nonnegative matrix approximation",
ISMIR 2007. Vincent, Bertin and Badeau, "Adaptive harmonic spectral decomposition for multiple pitch
estimation", IEEE Transactions on Audio, Speech, and Language Processing 18(3), 2010.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from audionmf.nmf.kernels import KLKernel
from audionmf.notes.sound import HIGHEST_HZ, SECONDS, SILENCE, Matrix, Spectra, Vector
from audionmf.spectra.harmonic import tonal_share

__all__ = ["Fit", "fit_keys", "pitched_share", "places_of", "single_share"]

_LOWEST_KEY, _HIGHEST_KEY = 26, 103
_PARTIALS = 24
_INHARMONICITY = 1e-4
_REACH = 0.022
_BANDS, _BAND_OCTAVES = 10, 0.35
_ITERATIONS, _FIXED_FIRST, _FIXED_LAST = 40, 8, 6
_PRIOR, _NEIGHBOURS = 0.15, 5.0
_NOTHING = 1e-20
"""Less of a template is none: its products would be denormal, and those take ten times as long."""
_SHARED = (0, -1, 1, 12, -12, 19, -19, 24, -24, 28, 31, 34, 36)
"""Semitones from a key to those whose combs share its partials."""


@dataclass(frozen=True)
class Fit:
    """V explained as W @ H.

    Parameters
    ----------
    W : ndarray, shape (n_bins, n_keys + n_bands)
        Templates of sum 1: the keys, then the bands.
    H : ndarray, shape (n_keys + n_bands, n_frames)
        Activations.
    partials : ndarray, shape (n_keys, n_partials)
        Share of each partial.
    keys : ndarray, shape (n_keys,)
        MIDI keys.
    tuning : float
        By how many semitones all keys lie higher than on a piano tuned to 440 Hz.
    """

    W: Matrix
    H: Matrix
    partials: Vector
    keys: Vector
    tuning: float

    @property
    def rows(self) -> Matrix:
        """The activations of the keys."""
        return self.H[: len(self.keys)]


def fit_keys(spectra: Spectra) -> Fit:
    """Factorise V by the Kullback-Leibler divergence into combs and bands of noise."""
    V, frequencies = spectra.V.astype(np.float32), spectra.frequencies
    tuning = _tuning(V, frequencies)
    keys = np.arange(_LOWEST_KEY, _HIGHEST_KEY + 1, dtype=np.float64)
    bases = [_bases(frequencies, places_of(key + tuning), spectra.lobe) for key in keys]
    A = np.zeros((len(keys), _PARTIALS))
    for row, base in zip(A, bases, strict=True):
        row[: base.shape[1]] = 1 / np.arange(1, base.shape[1] + 1)
    A /= A.sum(axis=1, keepdims=True)
    rows = _heard(np.concatenate([_templates(bases, A), _noises(frequencies).T]))
    H = np.tile(V.sum(axis=0)[:, None] / len(rows), (1, len(rows))) + np.float32(SILENCE)
    near = np.exp(-0.5 * ((keys[:, None] - keys) / _NEIGHBOURS) ** 2)
    free = np.ones(len(rows), bool)
    with KLKernel(V, len(rows), 1, free, free) as kernel:
        for i in range(_ITERATIONS):
            moves = _FIXED_FIRST <= i < _ITERATIONS - _FIXED_LAST and i % 2 == 0
            over, sums = kernel.sums(rows, H, gather=moves)
            if over is not None and sums is not None:
                A = _shaped(A, bases, over, sums[: len(keys)], near)
                rows[: len(keys)] = _heard(_templates(bases, A))
    return Fit(rows.T, H.T, A, keys, tuning)


def pitched_share(spectra: Spectra, fit: Fit) -> float:
    """Return the mean of what share lies on ridges along time, and what share the combs explain.

    From 0 to 1; of pitched instruments it is above one half, of drums below.
    """
    ridges = tonal_share(spectra.S, 1 / SECONDS, float(spectra.short_frequencies[1]))
    combs = float(fit.W[:, : len(fit.keys)].sum(axis=0) @ fit.rows.sum(axis=1))
    return min(1.0, 0.5 * (ridges + combs / (float(spectra.V.sum()) + SILENCE)))


def single_share(rows: Matrix) -> float:
    """Return how much of the activations lies, in each frame, at one key or shares its partials.

    Parameters
    ----------
    rows : ndarray, shape (n_keys, n_frames)
        One row a semitone.

    Returns
    -------
    float
        From 0 to 1; a source that plays one note at a time is near 1.
    """
    best, frames = rows.argmax(axis=0), np.arange(rows.shape[1])
    explained = np.zeros(rows.shape[1])
    for step in _SHARED:
        there = (best + step >= 0) & (best + step < len(rows))
        explained[there] += rows[best[there] + step, frames[there]]
    total = rows.sum(axis=0, dtype=np.float64)
    return float(explained @ total / (total @ total + SILENCE))


def places_of(key: float) -> Vector:
    """Return the frequencies of the partials of a key, in Hz."""
    n = np.arange(1, _PARTIALS + 1)
    stretch = np.sqrt((1 + _INHARMONICITY * n**2) / (1 + _INHARMONICITY))
    places: Vector = 440 * 2 ** ((key - 69) / 12) * n * stretch
    return places[places < HIGHEST_HZ]


def _tuning(V: Matrix, frequencies: Vector) -> float:
    """Return by how many semitones the peaks of V lie above the keys, in the mean on the circle."""
    band = ((frequencies > 80) & (frequencies < 2500))[1:-1, None]
    middle = V[1:-1]
    high = (middle > V[:-2]) & (middle >= V[2:]) & (middle > 0.05 * V.max(axis=0)) & band
    b, t = np.nonzero(high)
    left, top, right = (np.log(V[b + i, t].astype(np.float64) + SILENCE) for i in range(3))
    offset = np.clip(0.5 * (left - right) / np.minimum(left - 2 * top + right, -1e-6), -0.5, 0.5)
    semitones = 12 * np.log2((b + 1 + offset) * frequencies[1] / 440)
    return float(np.angle(V[b + 1, t] @ np.exp(2j * np.pi * semitones)) / (2 * np.pi))


def _bases(frequencies: Vector, places: Vector, lobe: float) -> Matrix:
    """Return one lobe for each partial, each of sum 1, shape (n_bins, n_partials)."""
    half = np.maximum(lobe, _REACH * places)
    distance = np.minimum(np.abs(frequencies[:, None] - places) / half, 1)
    lobes = np.cos(np.pi / 2 * distance) ** 2
    return np.asarray(lobes / np.maximum(lobes.sum(axis=0), SILENCE))


def _noises(frequencies: Vector) -> Matrix:
    centres = np.geomspace(60, HIGHEST_HZ, _BANDS)
    octaves = np.log2(np.maximum(frequencies[:, None], 20) / centres) / _BAND_OCTAVES
    noise: Matrix = np.exp(-0.5 * octaves**2)
    return np.asarray(noise / noise.sum(axis=0))


def _heard(templates: Matrix) -> Matrix:
    return np.where(templates < _NOTHING, 0, templates).astype(np.float32)


def _templates(bases: list[Matrix], A: Vector) -> Matrix:
    return np.stack([b @ a[: b.shape[1]] for b, a in zip(bases, A, strict=True)])


def _shaped(A: Vector, bases: list[Matrix], over: Matrix, sums: Vector, near: Vector) -> Vector:
    """Return updated shares of the partials, held to the mean of the loud keys around."""
    update = np.zeros_like(A)
    for k, base in enumerate(bases):
        update[k, : base.shape[1]] = A[k, : base.shape[1]] * (over[k] @ base)
    prior = near @ (sums[:, None] * update) + SILENCE
    shaped = update + _PRIOR * float(sums.max()) * prior / prior.sum(axis=1, keepdims=True)
    for k, base in enumerate(bases):
        shaped[k, base.shape[1] :] = 0
    return np.asarray(shaped / shaped.sum(axis=1, keepdims=True))
