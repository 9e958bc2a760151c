"""A leading voice as a term of a sum: where its melody runs, and the spectra that it may have.

First the melody is sought: how strong each pitch is in each frame, by the sum of its partials, and the
strongest smooth course through the pitches. The voice is then held to within a quarter of a semitone
of it, with what has no pitch beside it, and goes through a filter that is smooth in frequency. What
was fitted is written as components, one for each pitch and filter, so that rendering needs to know
nothing of it.

References
----------
Strength of pitches: Klapuri, "Multiple fundamental frequency estimation by summing harmonic
amplitudes", ISMIR 2006, which flattens the spectrum too; Salamon and Gómez, "Melody extraction from
polyphonic music signals using pitch contour characteristics", IEEE Transactions on Audio, Speech, and
Language Processing 20(6), 2012, from which the weighting by loudness and the fall of 0.8 from partial
to partial. A-weighting: IEC 61672-1. The course: Viterbi, "Error bounds for convolutional codes and an
asymptotically optimum decoding algorithm", IEEE Transactions on Information Theory 13(2), 1967.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audionmf.nmf.voice import Voice
from audionmf.spectra.bands import Bands
from audionmf.spectra.stft import STFT

__all__ = ["VoiceSpectra", "melody", "pitch_strengths", "rows_of"]

Matrix = NDArray[np.floating[Any]]

_LOWEST_HZ, _HIGHEST_HZ = 100.0, 1200.0
_STEPS = 4
"""Pitches in a semitone."""

_HARMONICS, _FALL = 12, 0.8
_FLATTENED, _FLAT_OCTAVES = 0.5, 0.33
_STRENGTH_POWER = 2.0
_STEP_COST, _LEAP_COST = 0.25, 6.0
_HEARD = 0.45

_PARTIALS = 60
_TILT = 0.5
_BUMPS, _FILTERS = 20, 6
_NEAR_STEPS = 1


def pitch_strengths(V: Matrix, frequencies: NDArray[np.float64], pitches: Matrix) -> Matrix:
    """Return how strong each pitch is in each frame, by the sum of its partials.

    The spectrum is weighted by how loud it sounds (A-weighting) and half flattened; each partial
    counts 0.8 of the one below it.

    Parameters
    ----------
    V : ndarray, shape (n_bands, n_frames)
        Magnitudes.
    frequencies : ndarray, shape (n_bands,)
        In Hz, rising.
    pitches : ndarray, shape (n_pitches,)
        Fundamentals in Hz.

    Returns
    -------
    ndarray, shape (n_pitches, n_frames)
        ≥ 0, in the unit of V but for the flattening.
    """
    weighted = V * _loudness(frequencies)[:, None].astype(V.dtype)
    octaves = np.log2(frequencies + _LOWEST_HZ)
    near = np.exp(-0.5 * (np.subtract.outer(octaves, octaves) / _FLAT_OCTAVES) ** 2)
    near /= near.sum(axis=1, keepdims=True)
    shape = np.sqrt(near @ np.square(weighted, dtype=np.float64).mean(axis=1))
    flat = (
        np.maximum(shape, max(1e-3 * shape.max(initial=0), float(np.finfo(V.dtype).tiny)))
        ** _FLATTENED
    )
    weighted /= flat[:, None].astype(V.dtype)
    strengths = np.zeros((len(pitches), V.shape[1]), V.dtype)
    for harmonic in range(1, _HARMONICS + 1):
        inside = np.flatnonzero(pitches * harmonic < frequencies[-1])
        above = np.searchsorted(frequencies, pitches[inside] * harmonic)
        partial_ = np.maximum(weighted[np.maximum(above - 1, 0)], weighted[above])
        strengths[inside] += V.dtype.type(_FALL ** (harmonic - 1)) * partial_
    return strengths


def _loudness(hertz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the A-weighting of frequencies."""
    f = hertz**2
    weights: NDArray[np.float64] = (12194.0**2 * f**2) / (
        (f + 20.6**2) * np.sqrt((f + 107.7**2) * (f + 737.9**2)) * (f + 12194**2)
    )
    return weights


def melody(strengths: Matrix) -> NDArray[np.int64]:
    """Return the strongest smooth course through the pitches, one for each frame.

    Parameters
    ----------
    strengths : ndarray, shape (n_pitches, n_frames)
        How strong each pitch is, ≥ 0; neighbouring pitches a quarter of a semitone apart.

    Returns
    -------
    ndarray of int, shape (n_frames,)
        The pitches. A step costs in proportion to its size, at most as much as a leap to anywhere.
    """
    least = max(1e-8 * float(strengths.max(initial=0)), float(np.finfo(np.float32).tiny))
    scores = np.log(np.maximum(strengths, least))
    n_pitches, n_frames = scores.shape
    apart = np.abs(np.subtract.outer(np.arange(n_pitches), np.arange(n_pitches)))
    costs = np.minimum(_STEP_COST * apart, _LEAP_COST)
    came = np.zeros((n_frames, n_pitches), np.int64)
    best = scores[:, 0].astype(np.float64)
    for t in range(1, n_frames):
        paths = best[:, None] - costs
        came[t] = paths.argmax(axis=0)
        best = paths.max(axis=0) + scores[:, t]
    course = np.empty(n_frames, np.int64)
    course[-1] = int(best.argmax())
    for t in range(n_frames - 1, 0, -1):
        course[t - 1] = came[t, course[t]]
    return course


def _heard(strengths: Matrix, course: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return in which frames the melody is not much weaker than it is mostly."""
    along = strengths[course, np.arange(len(course))]
    heard: NDArray[np.bool_] = along > _HEARD * np.median(along)
    return heard


@dataclass(frozen=True, eq=False)
class VoiceSpectra:
    """What is known of any voice: the pitches there may be, their combs, and bumps for its filters."""

    bands: Bands
    n_bins: int
    pitches: NDArray[np.float64]
    combs: Matrix
    bumps: Matrix

    @classmethod
    def of(cls, stft: STFT, sample_rate: int) -> VoiceSpectra:
        """Return those for a transform, at a sample rate in Hz."""
        frequencies = stft.frequencies(sample_rate)
        top = min(_HIGHEST_HZ, frequencies[-1] / 4)
        count = max(1, int(12 * _STEPS * np.log2(max(top / _LOWEST_HZ, 1))) + 1)
        pitches = _LOWEST_HZ * np.exp2(np.arange(count, dtype=np.float64) / (12 * _STEPS))
        return cls(
            Bands.of(stft, sample_rate), len(frequencies), pitches,
            _combs(frequencies, pitches, sample_rate / stft.n_fft), _bumps(frequencies),
        )  # fmt: skip

    @property
    def widths(self) -> NDArray[np.int64]:
        """How many bins are in each band."""
        return np.diff(self.bands.edges, append=self.n_bins)

    @property
    def banded_combs(self) -> Matrix:
        """The combs, summed over the bands."""
        return self.bands.pool(self.combs)

    @property
    def banded_bumps(self) -> Matrix:
        """The bumps, each the mean over a band."""
        mean = self.bands.pool(self.bumps)
        mean /= self.widths[:, None]
        return mean

    def held(self, V: Matrix) -> NDArray[np.bool_]:
        """Return which pitches may sound when: those near the melody, where it is heard.

        Parameters
        ----------
        V : ndarray, shape (n_bands, n_frames)
            Magnitudes, summed over the bands.

        Returns
        -------
        ndarray of bool, shape (n_pitches + 1, n_frames)
            The last is what has no pitch.
        """
        strengths = pitch_strengths(V, self.bands.frequencies, self.pitches)
        course = melody(strengths**_STRENGTH_POWER)
        heard = _heard(strengths, course)
        near = np.abs(np.arange(len(self.pitches))[:, None] - course) <= _NEAR_STEPS
        held: NDArray[np.bool_] = np.concatenate([near & heard, heard[None]])
        return held

    def voice(
        self, V: Matrix, held: NDArray[np.bool_], rng: np.random.Generator, share: float
    ) -> Voice:
        """Return a voice as it starts.

        Parameters
        ----------
        V : ndarray, shape (n_channels · n_bands, n_frames) or (n_bins, n_frames)
            What it is a part of, over bands, or over single bins.
        held : ndarray of bool, shape (n_pitches + 1, n_frames)
            Which pitches may sound when.
        rng : numpy.random.Generator
            Draws the filters.
        share : float
            Of V, that the voice starts from.
        """
        whole = len(V) == self.n_bins
        n_channels = 1 if whole else len(V) // len(self.bands.edges)
        level = V.sum(axis=0) * (share / n_channels) / np.maximum(held.sum(axis=0), 1)
        return Voice(
            rows_of(self.combs if whole else self.banded_combs),
            rows_of(self.bumps if whole else self.banded_bumps),
            pitches=rows_of(held * level), filters=rows_of(1 + 0.5 * rng.random((_BUMPS, _FILTERS))),
            openings=np.full((V.shape[1], _FILTERS), 1 / _FILTERS, np.float32),
            gains=np.ones(n_channels, np.float32),
        )  # fmt: skip

    def components(
        self, voice: Voice
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], tuple[int, ...]]:
        """Return a voice as components, one for each pitch that is heard and each filter.

        Returns
        -------
        templates : ndarray, shape (n_bins, n_components)
            Channels are pooled as magnitudes are.
        activations : ndarray, shape (n_components, n_frames)
            Theirs.
        keys : tuple of int
            The MIDI key of each, -1 without a pitch.
        """
        pooled_gain = float(np.sqrt(np.mean(np.square(voice.gains, dtype=np.float64))))
        shapes = self.bumps @ voice.filters.T * np.float32(pooled_gain)
        heard = np.flatnonzero(voice.pitches.any(axis=0))
        voices = [self.combs[:, heard] * shape[:, None] for shape in shapes.T]
        courses = [voice.pitches.T[heard] * h for h in voice.openings.T]
        midi = np.round(69 + 12 * np.log2(self.pitches / 440)).astype(int)
        keys = [*midi.tolist(), -1]  # the last has no pitch
        W = np.concatenate(voices, axis=1).astype(np.float32)
        H = np.concatenate(courses).astype(np.float32)
        return W, H, tuple([keys[k] for k in heard] * len(voices))

    def told(self, voice: Voice) -> str:
        """Say in which range the melody is where the voice is heard."""
        loudness = voice.pitches[:, :-1].sum(axis=0)
        if not loudness.any():
            return "no lead was heard"
        below = np.cumsum(loudness) / loudness.sum()
        low, high = (self.pitches[int(np.searchsorted(below, q))] for q in (0.05, 0.95))
        return f"the lead is mostly between {low:.0f} and {high:.0f} Hz"


def rows_of(columns: NDArray[Any]) -> NDArray[np.float32]:
    """Return what has frames or components as columns with them as rows, neighbours in memory."""
    rows: NDArray[np.float32] = np.array(columns.T, np.float32, order="C")
    return rows


def _combs(frequencies: NDArray[np.float64], pitches: Matrix, bin_hertz: float) -> Matrix:
    """Return combs (n_bins, n_pitches + 1), each with the sum 1; the last has no pitch."""
    combs = np.zeros((len(frequencies), len(pitches) + 1), np.float32)
    for column, pitch in zip(combs.T, pitches, strict=False):
        for partial_ in range(1, _PARTIALS + 1):
            place = partial_ * pitch
            if place > frequencies[-1]:
                break
            spread = max(bin_hertz, 0.007 * place)
            first, last = np.searchsorted(frequencies, [place - 4 * spread, place + 4 * spread])
            distance = (frequencies[first:last] - place) / spread
            column[first:last] += partial_**-_TILT * np.exp(-0.5 * distance**2)
    combs[:, -1] = 1
    combs /= np.maximum(combs.sum(axis=0), np.float32(1e-12))
    return combs


def _bumps(frequencies: NDArray[np.float64]) -> Matrix:
    """Return overlapping raised cosines (n_bins, n_bumps), evenly spaced in mel, that sum to 1."""
    mel = np.log1p(frequencies / 700)
    place = mel / mel[-1] * (_BUMPS - 1)
    distance = np.clip(np.abs(place[:, None] - np.arange(_BUMPS)), 0, 1)
    bumps: Matrix = (0.5 + 0.5 * np.cos(np.pi * distance)).astype(np.float32)
    return bumps
