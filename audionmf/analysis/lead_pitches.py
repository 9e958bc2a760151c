"""Pitches that may be a lead's: the strongest of each frame, and what each of them sounds like.

Magnitudes are laid on a logarithmic axis of quarter semitones, on which the partials of a pitch lie at
the same distances wherever it is. How strong a pitch is, is the sum of its partials. Of the strongest
pitches of a frame the features tell the partials themselves, how they rise, fall and glide, and what
sounds an octave or a twelfth away.

References
----------
Strength of pitches: Klapuri, "Multiple fundamental frequency estimation by summing harmonic
amplitudes", ISMIR 2006, which flattens the spectrum too; Salamon and Gómez, "Melody extraction from
polyphonic music signals using pitch contour characteristics", IEEE Transactions on Audio, Speech, and
Language Processing 20(6), 2012, from which the weighting by loudness and the fall from partial to
partial. What lies between the partials: Camacho and Harris, "A sawtooth waveform inspired pitch
estimator for speech and music", Journal of the Acoustical Society of America 124(3), 2008, whose
kernel is negative there. Partials side by side: Bittner, McFee, Salamon, Li and Bello, "Deep salience
representations for F0 estimation in polyphonic music", ISMIR 2017. A-weighting: IEC 61672-1.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["N_FEATURES", "PITCHES", "STEPS", "Candidates", "candidates", "pitch_strengths"]

Matrix = NDArray[np.floating[Any]]

STEPS = 4
"""Pitches in a semitone."""

_OCTAVE = 12 * STEPS
_LOWEST_HZ, _N_PITCHES = 65.406, 238
PITCHES: NDArray[np.float64] = _LOWEST_HZ * np.exp2(np.arange(_N_PITCHES) / _OCTAVE)
"""Fundamentals in Hz: C2 to 2 kHz."""

_HARMONICS, _FALL = 12, 0.78
_BETWEEN = 0.4
_FLATTENED, _FLAT_OCTAVES, _FLAT_OFFSET_HZ = 0.5, 0.33, 100.0
_PLACES = (0.5, 1, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 10, 12, 16)
_FIRST_SIX = (1, 3, 5, 6, 7, 8)
_STRENGTH = 3.0
_MOST = 12
_RISES, _STEADY, _GLIDES = (-8, -4, -2, -1, 1, 2, 4, 8), (-4, -2, -1, 1, 2, 4), (-2, -1, 1, 2)
_PARTIAL_RISES = (-4, -2, -1, 2, 4)
_ELSEWHERE = (_OCTAVE, -_OCTAVE, 28, -28, 76, -76)
_GLIDE = 4
_HIGH_HZ = 3000.0
_TINY = 1e-9
_REACH = 8
_BLOCK = 1024
N_FEATURES = 52
"""Features of a candidate."""


class Candidates(NamedTuple):
    """The strongest pitches of some frames.

    Parameters
    ----------
    features : ndarray, shape (n_frames, 12, 52), float32
        What each sounds like.
    pitches : ndarray of int, shape (n_frames, 12)
        Which of `PITCHES` each is, the strongest first.
    there : ndarray of bool, shape (n_frames, 12)
        False where a frame has fewer.
    """

    features: NDArray[np.float32]
    pitches: NDArray[np.int64]
    there: NDArray[np.bool_]


def candidates(V: Matrix, frequencies: NDArray[np.float64]) -> Iterator[Candidates]:
    """Yield the strongest pitches, block by block of frames.

    Parameters
    ----------
    V : ndarray, shape (n_bands, n_frames)
        Magnitudes, ≥ 0.
    frequencies : ndarray, shape (n_bands,)
        In Hz, rising.

    Yields
    ------
    Candidates
        Of the next 1024 frames, or those that are left. The size of V does not matter.
    """
    axis = _Axis(V, frequencies)
    strengths = np.concatenate(
        [axis.strengths(axis.spectra(V[:, a : a + _BLOCK])) for a in range(0, V.shape[1], _BLOCK)]
    )
    strengths *= np.float32(_STRENGTH / max(float(strengths.mean()), _TINY))
    strengths = np.log1p(strengths)
    frames = _frame_features(V, frequencies, strengths)
    usual = _highest_near(strengths.mean(axis=0, keepdims=True), 2)[0]
    n_frames = len(strengths)
    for first in range(0, n_frames, _BLOCK):
        last = min(n_frames, first + _BLOCK)
        begin, end = max(0, first - _REACH), min(n_frames, last + _REACH)
        partials = axis.partials(np.log1p(axis.spectra(V[:, begin:end])))
        found = _described(partials, strengths[begin:end], usual, frames[begin:end])
        inner = slice(first - begin, last - begin)
        yield Candidates(found.features[inner], found.pitches[inner], found.there[inner])


def pitch_strengths(V: Matrix, frequencies: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return how strong each pitch is in each frame, by the sum of its partials.

    The spectrum is weighted by how loud it sounds (A-weighting) and half flattened; each partial
    counts 0.78 of the one below it. Of what lies midway between the partials 0.4 is taken off: the odd
    partials of the octave below are there, and where they sound the pitch is that octave.

    Parameters
    ----------
    V, frequencies
        As in `candidates`.

    Returns
    -------
    ndarray, shape (n_frames, n_pitches)
        ≥ 0, of the pitches of `PITCHES`; relative to the mean of all that sounds.
    """
    axis = _Axis(V, frequencies)
    return axis.strengths(axis.spectra(V))


class _Axis:
    """The logarithmic axis: from an octave below the lowest pitch to the highest partial."""

    def __init__(self, V: Matrix, frequencies: NDArray[np.float64]) -> None:
        lowest = _LOWEST_HZ / 2
        inside = max(0, int(_OCTAVE * np.log2(frequencies[-1] / lowest)))
        places = lowest * np.exp2(np.arange(inside) / _OCTAVE)
        self._below = np.clip(np.searchsorted(frequencies, places), 1, len(frequencies) - 1) - 1
        width = frequencies[self._below + 1] - frequencies[self._below]
        self._share = ((places - frequencies[self._below]) / width)[:, None].astype(np.float32)
        self._length = max(inside, _OCTAVE + _N_PITCHES + _steps(max(_PLACES)) + 1)
        self._weights = _weights(V, frequencies)[:, None].astype(np.float32)
        mean = float(self.spectra(V.mean(axis=1, keepdims=True))[:inside].mean()) if inside else 0.0
        self._weights /= np.float32(max(mean, 1e-30))

    def spectra(self, V: Matrix) -> NDArray[np.float32]:
        """Return magnitudes on the axis, (n_places, n_frames)."""
        weighted = (V * self._weights).astype(np.float32)
        laid = np.zeros((self._length, V.shape[1]), np.float32)
        near, above = weighted[self._below], weighted[self._below + 1]
        laid[: len(self._below)] = near + self._share * (above - near)
        return laid

    def strengths(self, laid: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return how strong the pitches are, (n_frames, n_pitches)."""
        total = np.zeros((_N_PITCHES, laid.shape[1]), np.float32)
        for harmonic in range(1, _HARMONICS + 1):
            share = np.float32(_FALL ** (harmonic - 1))
            total += share * self._at(laid, harmonic)
            total -= share * np.float32(_BETWEEN) * self._at(laid, harmonic - 0.5)
        return np.ascontiguousarray(np.maximum(total, 0).T)

    def partials(self, laid: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return what is at the partials of the pitches, (n_partials, n_frames, n_pitches)."""
        return np.stack([_highest_near(self._at(laid, place).T, 1) for place in _PLACES])

    @staticmethod
    def _at(laid: NDArray[np.float32], place: float) -> NDArray[np.float32]:
        first = _OCTAVE + _steps(place)
        return laid[first : first + _N_PITCHES]


def _steps(ratio: float) -> int:
    return round(_OCTAVE * float(np.log2(ratio)))


def _weights(V: Matrix, frequencies: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the weights of the bands: loudness, over half of the smooth shape of the whole."""
    loudness = _loudness(frequencies)
    octaves = np.log2(frequencies + _FLAT_OFFSET_HZ)
    near = np.exp(-0.5 * (np.subtract.outer(octaves, octaves) / _FLAT_OCTAVES) ** 2)
    near /= near.sum(axis=1, keepdims=True)
    power = np.einsum("ft,ft->f", V, V, dtype=np.float64) / max(V.shape[1], 1)
    shape = np.sqrt(near @ (power * loudness**2))
    flat = np.maximum(shape, max(1e-3 * float(shape.max(initial=0)), 1e-30)) ** _FLATTENED
    weights: NDArray[np.float64] = loudness / flat
    return weights


def _loudness(hertz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the A-weighting of frequencies."""
    f = hertz**2
    weights: NDArray[np.float64] = (12194.0**2 * f**2) / (
        (f + 20.6**2) * np.sqrt((f + 107.7**2) * (f + 737.9**2)) * (f + 12194**2)
    )
    return weights


def _frame_features(
    V: Matrix, frequencies: NDArray[np.float64], strengths: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Return what is of whole frames: level, brightness, strongest and mean strength."""
    whole = V.sum(axis=0, dtype=np.float64)
    high = V[frequencies > _HIGH_HZ].sum(axis=0, dtype=np.float64)
    tiny = _TINY * max(float(V.max(initial=0)), 1e-30)
    level, strongest = np.log(whole + tiny), np.log1p(strengths.max(axis=1))
    return np.column_stack([
        level - np.median(level), np.log(high + tiny) - level,
        strongest - np.median(strongest), strengths.mean(axis=1),
    ])  # fmt: skip


def _described(
    partials: NDArray[np.float32],
    strengths: NDArray[np.float32],
    usual: NDArray[np.float32],
    frames: NDArray[np.float64],
) -> Candidates:
    """Return the strongest pitches of frames, of which all that is around is given."""
    chosen, there = _peaks(strengths)
    rows = np.arange(len(strengths))[:, None]
    here = strengths[rows, chosen]
    near = _highest_near(strengths, 2)
    loud = [partial_[rows, chosen] for partial_ in partials]
    features = [*loud, here, here - strengths.max(axis=1, keepdims=True)]
    features += [np.broadcast_to(np.arange(_MOST) / _MOST, chosen.shape), usual[chosen]]
    features.append(chosen / _OCTAVE - 2.5)
    for lag in _RISES:
        around = _highest_near(_later(strengths, lag), min(2 + abs(lag), 6))
        features.append(around[rows, chosen] - here)
    features += [_later(strengths, lag)[rows, chosen] - here for lag in _STEADY]
    features += [_glide(_later(strengths, lag), rows, chosen) for lag in _GLIDES]
    for steps in _ELSEWHERE:
        place = chosen + steps
        inside = (place >= 0) & (place < _N_PITCHES)
        other = near[rows, np.clip(place, 0, _N_PITCHES - 1)]
        features.append(np.where(inside, other, 0) - here)
    six = partials[list(_FIRST_SIX)].mean(axis=0)
    features += [six[rows, chosen] - _later(six, lag)[rows, chosen] for lag in _PARTIAL_RISES]
    features += [np.broadcast_to(each[:, None], chosen.shape) for each in frames.T]
    return Candidates(np.stack(features, axis=-1).astype(np.float32), chosen, there)


def _peaks(strengths: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the strongest peaks of each frame, the strongest first, and which there are."""
    inner = strengths[:, 1:-1]
    peak = (inner >= strengths[:, :-2]) & (inner > strengths[:, 2:]) & (inner > 0)
    height = np.pad(np.where(peak, inner, -1), ((0, 0), (1, 1)), constant_values=-1)
    chosen = np.argsort(-height, axis=1, kind="stable")[:, :_MOST]
    return chosen, np.take_along_axis(height, chosen, axis=1) > 0


def _later(values: NDArray[np.float32], lag: int) -> NDArray[np.float32]:
    """Return the values some frames later; the first and the last go on beyond the ends."""
    return values[np.clip(np.arange(len(values)) + lag, 0, len(values) - 1)]


def _highest_near(values: NDArray[np.float32], steps: int) -> NDArray[np.float32]:
    """Return the highest value within some steps of each pitch."""
    highest = values.copy()
    for k in range(1, steps + 1):
        np.maximum(highest[..., k:], values[..., :-k], out=highest[..., k:])
        np.maximum(highest[..., :-k], values[..., k:], out=highest[..., :-k])
    return highest


def _glide(
    strengths: NDArray[np.float32], rows: NDArray[np.int64], chosen: NDArray[np.int64]
) -> NDArray[np.floating[Any]]:
    """Return in semitones to where the pitch has moved: the highest within a semitone."""
    padded = np.pad(strengths, ((0, 0), (_GLIDE, _GLIDE)))
    around = np.stack([padded[rows, chosen + k] for k in range(2 * _GLIDE + 1)])
    moved = (around.argmax(axis=0) - _GLIDE) / STEPS
    return np.asarray(np.where(around.max(axis=0) > 0, moved, 0.0))
