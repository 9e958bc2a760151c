"""Patterns of several frames as a term of a sum: V_j(t) = Σ_l H(t - l) W_l.

The updates are those of `convolutive`, whose solver is for patterns alone and runs on the fused
kernel; here they stand beside whatever else is known of a recording.

References
----------
Smaragdis, "Non-negative matrix factor deconvolution", ICA 2004.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from audionmf.nmf.models import ACTIVATIONS, TEMPLATES, quotient

__all__ = ["Patterned"]

Matrix = NDArray[np.floating[Any]]


class Patterned:
    """Patterns that start again and again.

    Parameters
    ----------
    patterns : ndarray, shape (n_lags, n_components, n_bins)
        What comes how many frames after each start, ≥ 0.
    activations : ndarray, shape (n_frames, n_components)
        How much starts in each frame, ≥ 0; what is 0 stays 0.
    free : bool, default False
        The patterns move.
    """

    def __init__(self, patterns: Matrix, activations: Matrix, *, free: bool = False) -> None:
        self.patterns, self.activations, self.free = patterns, activations, free

    @property
    def carried(self) -> tuple[str, ...]:
        """The activations, and patterns that move."""
        return ("activations", "patterns") if self.free else ("activations",)

    @property
    def n_lags(self) -> int:
        """Frames of a pattern."""
        return len(self.patterns)

    def spectra(self) -> tuple[Matrix, Matrix]:
        """Return the same as spectra: templates, a lag after the other, and delayed activations.

        Returns
        -------
        rows : ndarray, shape (n_lags · n_components, n_bins)
            Templates.
        activations : ndarray, shape (n_frames, n_lags · n_components)
            Theirs.
        """
        n_bins = self.patterns.shape[2]
        every = slice(0, len(self.activations))
        return self.patterns.reshape(-1, n_bins), self._copies(every)

    def scale(self, factor: float) -> None:
        """Multiply the activations."""
        self.activations *= self.activations.dtype.type(factor)

    def cost(self) -> float:
        """Return 0: nothing is drawn."""
        return 0.0

    def moves(self, phase: str) -> bool:
        """Tell whether activations or patterns move."""
        return phase == ACTIVATIONS or (phase == TEMPLATES and self.free)

    def part(self, frames: slice) -> tuple[Matrix, Matrix]:
        """Return the part of some frames, and the activations as copies, each later by one frame."""
        copies = self._copies(frames)
        return copies @ self.patterns.reshape(copies.shape[1], -1), copies

    def gather(self, phase: str, frames: slice, ratio: Matrix, kept: Matrix) -> Any:
        """Return what some frames say of starts before them, or of the patterns."""
        if phase == TEMPLATES:
            return kept.T @ ratio, kept.sum(axis=0, dtype=np.float64)
        asked = ratio @ self.patterns.reshape(kept.shape[1], -1).T
        return frames, asked.reshape(len(ratio), self.n_lags, -1)

    def move(self, phase: str, gathered: list[Any]) -> None:
        """Move what was asked for."""
        if phase == TEMPLATES:
            over, sums = sum(o for o, _ in gathered), sum(s for _, s in gathered)
            shape = self.patterns.shape
            self.patterns = quotient(
                self.patterns, over.reshape(shape), sums.reshape(shape[:2])[:, :, None]
            )
            return
        n_frames, n_components = self.activations.shape
        over = np.zeros((n_frames + self.n_lags, n_components))
        for frames, asked in gathered:
            for lag in range(self.n_lags):  # a frame asks for what started `lag` frames before
                first = max(0, lag - frames.start)
                starts = slice(frames.start + first - lag, frames.start + len(asked) - lag)
                if starts.stop > starts.start:
                    over[starts] += asked[first:, lag]
        sums = np.cumsum(self.patterns.sum(axis=2, dtype=np.float64), axis=0)
        left = np.arange(n_frames)[::-1]
        under = sums[np.minimum(left, self.n_lags - 1)]
        self.activations[:] = quotient(self.activations, over[:n_frames], under)

    def _copies(self, frames: slice) -> Matrix:
        """Return activations of t, t - 1, … for some frames t, (n, n_lags · n_components)."""
        stop = min(frames.stop, len(self.activations))
        n, n_components = stop - frames.start, self.activations.shape[1]
        copies = np.zeros((n, self.n_lags, n_components), self.activations.dtype)
        for lag in range(self.n_lags):
            first = max(0, lag - frames.start)
            if first < n:
                copies[first:, lag] = self.activations[frames.start + first - lag : stop - lag]
        return copies.reshape(n, -1)
