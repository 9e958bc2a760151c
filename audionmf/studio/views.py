"""What the page draws: spectrogram, waveform and components as small arrays.

Frequencies are on a logarithmic axis of `N_ROWS` rows, the highest first, as pictures have it. The
spectrogram comes in levels of detail, each with half the columns of the one before and the maximum
of two neighbours in each; a page fetches tiles of the level that fits its width, so that ten
minutes are as quick to draw as ten seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audionmf.io.audio import Audio
from audionmf.rendering.decomposition import Decomposition
from audionmf.spectra.frames import BLOCK_FRAMES, Progress, pooled_magnitude
from audionmf.spectra.stft import STFT
from audionmf.spectra.timbre import note_name, timbre

__all__ = [
    "DYNAMIC_RANGE_DB",
    "N_ROWS",
    "TILE",
    "Rows",
    "Spectrogram",
    "components",
    "waveform",
    "whole_sources",
]

N_ROWS = 256
TILE = 256
DYNAMIC_RANGE_DB = 80.0

_LOWEST_HZ = 40.0
_WAVE_COLUMNS = 8192
_SMALLEST = 1e-12
_STRUCK = float(np.exp(0.35))
"""Rise over fall from which a course is that of something struck; see `audionmf.analysis.naming`."""


@dataclass(frozen=True, eq=False)
class Rows:
    """A logarithmic frequency axis, and how bins come onto it.

    Parameters
    ----------
    stft : STFT
        The transform.
    sample_rate : int
        In Hz.
    """

    stft: STFT
    sample_rate: int

    @property
    def low(self) -> float:
        """The lowest frequency in Hz."""
        return min(_LOWEST_HZ, self.sample_rate / 16)

    @property
    def high(self) -> float:
        """The highest frequency in Hz."""
        return self.sample_rate / 2

    def draw(self, V: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """Return spectra (n_bins, n) on the rows (N_ROWS, n), the highest frequency first.

        A row that spans several bins takes the largest of them, one between two bins what lies
        between them.
        """
        edges = self.low * (self.high / self.low) ** (np.arange(N_ROWS + 1) / N_ROWS)
        places = self.stft.bins_at(edges * (self.stft.n_fft / self.sample_rate))
        first = np.clip(np.ceil(places[:-1]).astype(int), 0, self.stft.n_bins - 1)
        stop = np.clip(np.ceil(places[1:]).astype(int), 1, self.stft.n_bins)
        middle = np.minimum((places[:-1] + places[1:]) / 2, self.stft.n_bins - 1)
        below = np.minimum(middle.astype(int), self.stft.n_bins - 2)
        share = (middle - below)[:, None].astype(np.float32)
        between = V[below] * (1 - share) + V[below + 1] * share
        wide = stop - first > 1
        drawn = np.asarray(between, np.float32)
        for row in np.flatnonzero(wide):
            drawn[row] = V[first[row] : stop[row]].max(axis=0)
        return np.ascontiguousarray(drawn[::-1])


@dataclass(frozen=True, eq=False)
class Spectrogram:
    """A recording as a picture with levels of detail.

    Parameters
    ----------
    rows : Rows
        Its frequency axis.
    levels : tuple of ndarray of uint8, shape (N_ROWS, n_columns)
        0 is `DYNAMIC_RANGE_DB` below the peak or less, 255 the peak.
    peak : float
        The largest magnitude.
    """

    rows: Rows
    levels: tuple[NDArray[np.uint8], ...]
    peak: float

    @classmethod
    def of(cls, audio: Audio, stft: STFT, progress: Progress) -> Spectrogram:
        """Draw a recording."""
        rows = Rows(stft, audio.sample_rate)
        n_frames = stft.n_frames(audio.n_samples)
        parts, n_done = [], 0
        for X in stft.forward_blocks(audio.blocks(), BLOCK_FRAMES):
            parts.append(rows.draw(pooled_magnitude(X)))
            n_done += X.shape[-1]
            progress("draw", n_done / n_frames)
        drawn = np.concatenate(parts, axis=1)
        peak = float(drawn.max()) or 1.0
        levels = [_bytes(drawn, peak)]
        while levels[-1].shape[1] > 2 * TILE:
            levels.append(_halved(levels[-1]))
        return cls(rows, tuple(levels), peak)

    @property
    def n_bytes(self) -> int:
        """Bytes of all levels."""
        return sum(level.nbytes for level in self.levels)

    def tile(self, level: int, index: int) -> bytes | None:
        """Return a tile, row by row, of at most `TILE` columns; None where there is none."""
        if not 0 <= level < len(self.levels):
            return None
        picture = self.levels[level][:, index * TILE : (index + 1) * TILE]
        return picture.tobytes() if index >= 0 and picture.size else None

    def told(self) -> dict[str, Any]:
        """Return what a page needs to know to draw it."""
        stft, rate = self.rows.stft, self.rows.sample_rate
        return {
            "rows": N_ROWS,
            "tile": TILE,
            "columns": [level.shape[1] for level in self.levels],
            "low": self.rows.low,
            "high": self.rows.high,
            "range": DYNAMIC_RANGE_DB,
            "peak": self.peak,
            "seconds": stft.hop_length / rate,
        }


def waveform(audio: Audio) -> NDArray[np.int8]:
    """Return the lowest and highest value of the samples in even columns, shape (2, n_columns).

    Scaled so that the loudest is 127.
    """
    mono = audio.samples.mean(axis=0)
    edges = np.linspace(0, len(mono), min(_WAVE_COLUMNS, len(mono)) + 1).astype(int)[:-1]
    outline = np.stack([np.minimum.reduceat(mono, edges), np.maximum.reduceat(mono, edges)])
    top = float(np.abs(outline).max()) or 1.0
    return np.round(outline / top * 127).astype(np.int8)


def components(found: Decomposition, rows: Rows) -> list[dict[str, Any]]:
    """Describe each component: what it sounds like, and how much of the energy it has.

    The energy is the share of the sum of all models, which is that of the magnitudes.
    """
    W, H = found.templates.templates, found.activations
    if H is None:
        return []
    loudness = W.sum(axis=0, dtype=np.float64) * H.sum(axis=1, dtype=np.float64)
    line = found.templates.stft.on_line(W)
    return [
        _described(k, line[:, k], H[k], share, rows) | {"label": found.templates.labels[k]}
        for k, share in enumerate(_shares(loudness))
    ]


def whole_sources(
    spectra: NDArray[np.float32],
    courses: NDArray[np.float32],
    names: Sequence[str],
    trust: Sequence[str],
    rows: Rows,
) -> list[dict[str, Any]]:
    """Describe parts that are whole sources, as `components` does.

    Parameters
    ----------
    spectra : ndarray, shape (n_bins, n_sources)
        The mean spectrum of each.
    courses : ndarray, shape (n_sources, n_frames)
        How loud each is in each frame.
    names, trust : sequence of str
        What each is called, and how far to trust it, in words.
    rows : Rows
        The frequency axis.
    """
    return [
        _described(k, spectra[:, k], courses[k], share, rows)
        | {"label": names[k], "name": names[k], "trust": trust[k]}
        for k, share in enumerate(_shares(courses.sum(axis=1, dtype=np.float64)))
    ]


def _shares(loudness: NDArray[np.float64]) -> list[float]:
    shares: list[float] = (loudness / (float(loudness.sum()) or 1.0)).tolist()
    return shares


def _described(
    k: int, spectrum: NDArray[np.float32], course: NDArray[np.float32], share: float, rows: Rows
) -> dict[str, Any]:
    """Describe a part: what it sounds like, and how much of the sound it is."""
    sound = timbre(spectrum, rows.sample_rate / rows.stft.n_fft)
    pitch = sound.pitch
    return {
        "index": k,
        "hertz": round(pitch.hertz, 1) if pitch else None,
        "note": note_name(pitch.hertz)[0] if pitch else None,
        "brightness": sound.brightness,
        "manner": "struck" if _rises(course) else "held",
        "energy": share,
        "loudest": float(np.argmax(course)) * rows.stft.hop_length / rows.sample_rate,
    }


def _rises(course: NDArray[np.float32]) -> bool:
    """Tell whether a course rises at once and falls slowly, as what is struck or plucked does."""
    steps = np.diff(course.astype(np.float64))
    up, down = (float((np.maximum(sign * steps, 0) ** 2).sum()) for sign in (1, -1))
    return up > _STRUCK * down


def _bytes(drawn: NDArray[np.float32], peak: float) -> NDArray[np.uint8]:
    decibels = 20 * np.log10(np.maximum(drawn / np.float32(peak), np.float32(_SMALLEST)))
    levels: NDArray[np.uint8] = np.clip(255 * (1 + decibels / DYNAMIC_RANGE_DB), 0, 255).astype(
        np.uint8
    )
    return levels


def _halved(level: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.maximum.reduceat(level, np.arange(0, level.shape[1], 2), axis=1)
