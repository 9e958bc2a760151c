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
Language Processing 20(6), 2012, from which the weighting by loudness, the fall from partial to partial
and the mean pitch of a melody, by which what is far from it is told. What lies between the partials:
Camacho and Harris, "A sawtooth waveform inspired pitch estimator for speech and music", Journal of the
Acoustical Society of America 124(3), 2008, whose kernel is negative there. A-weighting: IEC 61672-1.
The course: Viterbi, "Error bounds for convolutional codes and an asymptotically optimum decoding
algorithm", IEEE Transactions on Information Theory 13(2), 1967.
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

_LOWEST_HZ, _HIGHEST_HZ = 100.0, 2000.0
_STEPS = 4
"""Pitches in a semitone."""

_HARMONICS, _FALL = 12, 0.78
_BETWEEN = 0.4
_FLATTENED, _FLAT_OCTAVES, _FLAT_OFFSET_HZ = 0.5, 0.33, 100.0
_STRENGTH_POWER = 2.0
_STEP_COST, _LEAP_COST = 0.25, 6.0
_RANGE_SEMITONES, _RANGE_ROUNDS = 12.0, 2
_MOST_MOVED = 0.4
_HEARD = 0.45

_PARTIALS = 60
_TILT = 0.5
_BUMPS, _FILTERS = 20, 6
_NEAR_STEPS = 1


def pitch_strengths(V: Matrix, frequencies: NDArray[np.float64], pitches: Matrix) -> Matrix:
    """Return how strong each pitch is in each frame, by the sum of its partials.

    The spectrum is weighted by how loud it sounds (A-weighting) and half flattened; each partial
    counts 0.78 of the one below it. Of what lies midway between the partials 0.4 is taken off: the odd
    partials of the octave below are there, and where they sound the pitch is that octave.

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
    octaves = np.log2(frequencies + _FLAT_OFFSET_HZ)
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
        share = _FALL ** (harmonic - 1)
        _add_near(strengths, share, weighted, frequencies, pitches * harmonic)
        _add_near(strengths, -_BETWEEN * share, weighted, frequencies, pitches * (harmonic - 0.5))
    return np.maximum(strengths, 0)


def _add_near(
    sums: Matrix, factor: float, V: Matrix, frequencies: NDArray[np.float64], places: Matrix
) -> None:
    """Add to each pitch what V has at its place, the larger of the two bands around it."""
    inside = np.flatnonzero(places < frequencies[-1])
    above = np.searchsorted(frequencies, places[inside])
    sums[inside] += V.dtype.type(factor) * np.maximum(V[np.maximum(above - 1, 0)], V[above])


def _loudness(hertz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the A-weighting of frequencies."""
    f = hertz**2
    weights: NDArray[np.float64] = (12194.0**2 * f**2) / (
        (f + 20.6**2) * np.sqrt((f + 107.7**2) * (f + 737.9**2)) * (f + 12194**2)
    )
    return weights


def melody(strengths: Matrix) -> NDArray[np.int64]:
    """Return the strongest smooth course through the pitches, one for each frame.

    A first course tells where the melody lies; then pitches far from its median count less, for what
    leaves it by an octave or more is mostly another's.

    Parameters
    ----------
    strengths : ndarray, shape (n_pitches, n_frames)
        How strong each pitch is, ≥ 0; neighbouring pitches a quarter of a semitone apart.

    Returns
    -------
    ndarray of int, shape (n_frames,)
        The pitches. A step costs in proportion to its size, at most as much as a leap to anywhere.
    """
    least = max(1e-6 * float(strengths.max(initial=0)), float(np.finfo(np.float32).tiny))
    scores = _STRENGTH_POWER * np.log(np.maximum(strengths, least).astype(np.float64))
    course = first = _smooth_course(scores)
    pitches = np.arange(len(scores)) / _STEPS
    for _ in range(_RANGE_ROUNDS):
        middle = _middle(strengths, course) / _STEPS
        far = 0.5 * ((pitches - middle) / _RANGE_SEMITONES) ** 2
        course = _smooth_course(scores - far[:, None])
    # Where much of it would move there is no range to speak of, and the median tells nothing.
    moved = float(np.mean(course != first))
    return first if moved > _MOST_MOVED else course


def _middle(strengths: Matrix, course: NDArray[np.int64]) -> int:
    """Return the median pitch of a melody, where it is heard, by its strength."""
    along = strengths[course, np.arange(len(course))] * _heard(strengths, course)
    below = np.cumsum(np.bincount(course, along, len(strengths)))
    return int(np.searchsorted(below, 0.5 * below[-1]))


def _smooth_course(scores: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the course of the highest sum of scores, less what its steps cost (Viterbi)."""
    n_pitches, n_frames = scores.shape
    here = np.arange(n_pitches)
    slope = _STEP_COST * here
    came = np.empty((n_frames, n_pitches), np.int32)
    best = scores[:, 0]
    for t in range(1, n_frames):
        # The best step is one up, found by the highest so far along the pitches, or one down.
        rising, below = _highest_so_far(best + slope)
        falling, above = _highest_so_far((best + slope[::-1])[::-1])
        up, down = rising - slope, falling[::-1] - slope[::-1]
        stepped = np.maximum(up, down)
        came[t] = np.where(up >= down, below, n_pitches - 1 - above[::-1])
        highest = int(best.argmax())
        leapt = best[highest] - _LEAP_COST
        came[t, stepped < leapt] = highest
        best = np.maximum(stepped, leapt) + scores[:, t]
    course = np.empty(n_frames, np.int64)
    course[-1] = int(best.argmax())
    for t in range(n_frames - 1, 0, -1):
        course[t - 1] = came[t, course[t]]
    return course


def _highest_so_far(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the highest value up to each place, and where it is."""
    highest = np.maximum.accumulate(values)
    places = np.where(values == highest, np.arange(len(values)), 0)
    return highest, np.maximum.accumulate(places)


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
        course = melody(strengths)
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
