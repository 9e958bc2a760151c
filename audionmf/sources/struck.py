"""`Patterns`: courses of struck sounds in a bank; and spectra on the bins of another STFT.

A template is one spectrum. The pattern of a struck sound is several, one after another from its
attack on, in an STFT with a shorter window than that of templates.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audionmf.errors import TemplateError
from audionmf.io.files import one_form
from audionmf.spectra.stft import STFT

__all__ = ["MOST_LAGS", "MOST_PATTERNS", "Patterns", "nearest_stft", "on_bins"]

MOST_LAGS = 1024
"""Frames that a pattern may have."""

MOST_PATTERNS = 1024
"""Patterns that a bank may have."""

_ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class Patterns:
    """Patterns of struck sounds, with the source of each and how they were analysed.

    Parameters
    ----------
    patterns : ndarray, shape (n_lags, n_bins, n_patterns), float32
        Non-negative magnitudes: of each pattern its frames, from the attack on.
    labels : tuple of str, length n_patterns
        The source that each pattern belongs to.
    stft : STFT
        The transform they were made with.
    sample_rate : int
        In Hz.

    Raises
    ------
    TemplateError
        If the parts do not fit each other, or values are negative or not finite.
    """

    patterns: NDArray[np.float32]
    labels: tuple[str, ...]
    stft: STFT
    sample_rate: int

    def __post_init__(self) -> None:
        with np.errstate(over="ignore"):  # beyond float32 is infinite, and refused below
            W = np.asarray(self.patterns, np.float32)
        if W.ndim != 3 or W.shape[1:] != (self.stft.n_bins, len(self.labels)) or not W.size:
            raise TemplateError(
                f"patterns of shape {W.shape} do not fit {len(self.labels)} labels and an FFT of "
                f"{self.stft.n_fft} samples"
            )
        if len(W) > MOST_LAGS or W.shape[2] > MOST_PATTERNS:
            raise TemplateError(
                f"{W.shape[2]} patterns of {len(W)} frames are too many; a bank may have "
                f"{MOST_PATTERNS} of {MOST_LAGS}"
            )
        if not np.isfinite(W).all() or (W < 0).any():
            raise TemplateError("patterns have values that are negative or not finite")
        object.__setattr__(self, "patterns", W)
        object.__setattr__(self, "labels", tuple(one_form(label) for label in self.labels))

    @property
    def n_lags(self) -> int:
        """Frames of a pattern."""
        return len(self.patterns)

    def only(self, name: str) -> Patterns | None:
        """Return the patterns of one source; None if it has none."""
        kept = [k for k, label in enumerate(self.labels) if label == name]
        if not kept:
            return None
        return dataclasses.replace(
            self, patterns=self.patterns[:, :, kept], labels=(name,) * len(kept)
        )

    def called(self, name: str) -> Patterns:
        """Return the same patterns as those of one source."""
        return dataclasses.replace(self, labels=(name,) * len(self.labels))

    @classmethod
    def merge(cls, banks: Sequence[Patterns]) -> Patterns:
        """Join patterns of one STFT; shorter ones end in silence."""
        most = max(bank.n_lags for bank in banks)
        padded = [
            np.pad(bank.patterns, ((0, most - bank.n_lags), (0, 0), (0, 0))) for bank in banks
        ]
        labels = tuple(label for bank in banks for label in bank.labels)
        W = np.concatenate(padded, axis=2)
        return cls(W, labels, banks[0].stft, banks[0].sample_rate)

    def convert(self, sample_rate: int, stft: STFT) -> Patterns:
        """Return the patterns for another sample rate or STFT.

        Spectra are converted as those of templates are (`on_bins`); in time each new frame
        takes what falls to it of the old ones, and a pattern lasts as many seconds as before. Each
        keeps its sum. What a longer window smeared stays smeared.
        """
        if (sample_rate, stft) == (self.sample_rate, self.stft):
            return self
        old = self.stft.hop_length / self.sample_rate
        new = stft.hop_length / sample_rate
        n_lags = min(MOST_LAGS, max(1, round(self.n_lags * old / new)))
        edges = np.clip((np.arange(n_lags + 1) - 0.5) * (new / old) + 0.5, 0, self.n_lags)
        W = np.diff(_up_to(edges, self.patterns.astype(np.float64)), axis=0)
        columns = W.transpose(1, 0, 2).reshape(W.shape[1], -1)
        spectra = on_bins(
            columns, self.sample_rate / self.stft.n_fft, sample_rate / stft.n_fft, stft.n_bins
        )
        found = spectra.reshape(stft.n_bins, n_lags, -1).transpose(1, 0, 2)
        sums = found.sum(axis=(0, 1))
        wanted = self.patterns.sum(axis=(0, 1), dtype=np.float64)
        scaled = (found * (wanted / np.where(sums > 0, sums, 1))).astype(np.float32)
        return dataclasses.replace(self, patterns=scaled, stft=stft, sample_rate=sample_rate)


def _up_to(edges: NDArray[np.float64], W: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the sums of patterns from their start to each of some times, in frames."""
    sums = np.concatenate([np.zeros_like(W[:1]), np.cumsum(W, axis=0)])
    below = np.minimum(edges.astype(int), len(W) - 1)
    share = (edges - below)[:, None, None]
    reached: NDArray[np.float64] = sums[below] * (1 - share) + sums[below + 1] * share
    return reached


def nearest_stft(stft: STFT, old_rate: int, new_rate: int) -> STFT:
    """Return the STFT nearest in seconds to another, at another sample rate in Hz."""
    if new_rate == old_rate:
        return stft
    n_fft = stft.n_fft * new_rate / old_rate
    n_fft = round(n_fft) if n_fft.is_integer() else 1 << max(4, round(math.log2(n_fft)))
    n_fft = max(16, n_fft)
    hop_length = max(1, round(n_fft * stft.hop_length / stft.n_fft))
    return STFT(n_fft, hop_length, stft.window)


def on_bins(
    W: NDArray[np.float64], old_hertz: float, new_hertz: float, n_bins: int
) -> NDArray[Any]:
    """Return spectra (n_old, n) on `n_bins` bins at other distances in Hz, their sums kept."""
    n_old = len(W)
    if new_hertz < 2 * old_hertz:
        from scipy.interpolate import CubicSpline

        place = np.arange(n_bins) * (new_hertz / old_hertz)
        read = CubicSpline(np.arange(n_old), W)(np.minimum(place, n_old - 1))
        spectra = np.maximum(read, 0)
        spectra[place > n_old - 1 + _ROUNDING] = 0
    else:
        place = np.arange(n_old) * (old_hertz / new_hertz)
        inside = place <= n_bins - 1 + _ROUNDING
        place = place[inside]
        below = np.minimum(place.astype(int), n_bins - 2)
        share = (place - below)[:, None]
        spectra = np.zeros((n_bins, W.shape[1]))
        np.add.at(spectra, below, W[inside] * (1 - share))
        np.add.at(spectra, below + 1, W[inside] * share)
    sums = spectra.sum(axis=0)
    scaled: NDArray[np.float64] = spectra * (W.sum(axis=0) / np.where(sums > 0, sums, 1))
    return scaled
