"""A leading voice as a term of a sum: where its melody runs, and the spectra that it may have.

The voice is held to within three eighths of a semitone of the melody that `lead_course` finds, with
what has no pitch beside it, and goes through a filter that is smooth in frequency. What was fitted is
written as components, one for each pitch and filter, so that rendering needs to know nothing of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audionmf.analysis.lead_course import SILENT, lead_course
from audionmf.analysis.lead_pitches import PITCHES, STEPS
from audionmf.nmf.voice import Voice
from audionmf.spectra.bands import Bands
from audionmf.spectra.stft import STFT

__all__ = ["VoiceSpectra", "rows_of"]

Matrix = NDArray[np.floating[Any]]

_PARTIALS = 60
_TILT = 0.5
_BUMPS, _FILTERS = 20, 6
_NEAR = 2.0
"""Steps to each side of a melody. The combs lie between the steps: two close beside a pitch, as those
of instruments in tune are, fit it better than one right on it; vibrato needs the next two."""


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
        count = max(1, int(np.searchsorted(PITCHES, frequencies[-1] / 4)))
        pitches = PITCHES[:count] * 2 ** (0.5 / (12 * STEPS))
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
        course = lead_course(V, self.bands.frequencies)
        course[course >= len(self.pitches)] = SILENT
        heard = course != SILENT
        away = np.arange(len(self.pitches))[:, None] + 0.5 - course
        held: NDArray[np.bool_] = np.concatenate([(np.abs(away) <= _NEAR) & heard, heard[None]])
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
