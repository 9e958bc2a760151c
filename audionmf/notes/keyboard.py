"""What is seen of a stem at each key and in each frame: its partials, and those of what else sounds.

Magnitudes are looked up where partials of keys lie, and compressed, so that what is 60 dB softer than
the loud of a stem is hardly seen. A network tells from these where notes begin.

References
----------
Partials at one place for all keys: Bittner, McFee, Salamon, Li and Bello, "Deep salience
representations for F0 estimation in polyphonic music", ISMIR 2017.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from audionmf.notes.model import Fit
from audionmf.notes.sound import SILENCE, Matrix, Spectra

__all__ = ["PER_KEY", "Keyboard", "keyboard"]

PER_KEY = 3
"""Rows of `Keyboard.long` for each semitone."""

_BELOW, _KEYS = 25, 88
"""The lowest key of the maps, in MIDI keys, and how many there are: up to 5.3 kHz."""
_SEEN = 1000.0
_STEPS = 60  # of tuning to a semitone: a sixtieth moves nothing, and matrices are kept


@dataclass(frozen=True)
class Keyboard:
    """Compressed magnitudes at keys, 0 for silence, 1 for what is as loud as the loud of the stem.

    Parameters
    ----------
    long : ndarray, shape (PER_KEY * n_all, n_frames), float32
        Of windows of 128 ms, from `PER_KEY` rows a semitone; rows 1, 4, 7 ... are the middles of keys.
    short : ndarray, shape (n_all, n_frames), float32
        Of windows of 40 ms.
    others : ndarray, shape (n_all, n_frames), float32
        Of what else sounds, windows of 128 ms.
    fitted : ndarray, shape (n_keys, n_frames), float32
        Activations of the combs.
    first : int
        Which row of `short` and `others` is the first key of `fitted`.
    """

    long: Matrix
    short: Matrix
    others: Matrix
    fitted: Matrix
    first: int


def keyboard(spectra: Spectra, fit: Fit, loud_db: float, others: Iterable[Matrix] = ()) -> Keyboard:
    """Return what is seen of a piece.

    Parameters
    ----------
    spectra, fit
        Of the piece.
    loud_db : float
        How loud the stem is where it is loud, in dB.
    others : iterable of ndarray, each of shape (n_bins, n_frames)
        V of the other stems of the recording.
    """
    step = round(fit.tuning * _STEPS)
    resolution = float(spectra.frequencies[1])
    fine = _lookup(PER_KEY, step, resolution, len(spectra.V), spectra.lobe)
    coarse = _lookup(1, step, resolution, len(spectra.V), spectra.lobe)
    quick = _lookup(1, step, float(spectra.short_frequencies[1]), len(spectra.S), 50.0)
    gain = np.float32(_SEEN * 10 ** (-loud_db / 20))
    rest = np.zeros((_KEYS, spectra.V.shape[1]), np.float32)
    for other in others:
        rest += coarse @ other
    return Keyboard(
        _compressed(fine @ spectra.V, gain),
        _compressed(quick @ spectra.S, gain),
        _compressed(rest, gain),
        _compressed(fit.rows, gain * np.float32(0.1)),
        int(fit.keys[0]) - _BELOW,
    )


def _compressed(X: Matrix, gain: np.float32) -> Matrix:
    return np.asarray(np.log1p(gain * X) / np.float32(np.log1p(_SEEN)), np.float32)


@functools.lru_cache(maxsize=64)
def _lookup(per_key: int, step: int, resolution: float, n_bins: int, lobe: float) -> Matrix:
    """Return by what bins are weighted for each row; a sine in the middle of a row gives its peak."""
    rows = np.arange(_KEYS * per_key) - (per_key - 1) / 2
    keys = _BELOW + rows / per_key + step / _STEPS
    centres = 440 * 2 ** ((keys - 69) / 12)
    frequencies = np.arange(n_bins) * resolution
    away = np.abs(frequencies - centres[:, None])
    half = np.maximum(resolution, centres * (2 ** (1 / (12 * per_key)) - 1))[:, None]
    weights = np.maximum(0, 1 - away / half)
    peak = np.cos(np.pi / 2 * np.minimum(away / lobe, 1)) ** 2
    return np.asarray(weights / ((weights * peak).sum(axis=1, keepdims=True) + SILENCE), np.float32)
