"""Spectra of notes: combs of partials, and how neighbouring notes of an instrument are alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audionmf.analysis.score_voices import Voice
from audionmf.sources.score import key_hertz

__all__ = ["Tie", "comb", "smoothed"]

Matrix = NDArray[np.floating[Any]]

_CENTS = 20.0
_LOBE_BINS = 2.0
_INHARMONICITY = 3e-4
_MAX_PARTIAL = 80
_TAIL = 1e-3
_TIE = 0.3
_TIE_SEMITONES = 6.0
_SMOOTH_OCTAVES = 0.3


class Tie:
    """Draws the partials of a note to those of its neighbours in the same part."""

    def __init__(
        self,
        rows: NDArray[np.float64],
        voices: Sequence[Voice],
        bin_hertz: float,
        cents: Callable[[Voice], float],
    ) -> None:
        self._groups = []
        for j in sorted({voice.part for voice in voices if voice.kind == "note"}):
            members = [k for k, v in enumerate(voices) if v.part == j and v.kind == "note"]
            keys = np.array([voices[k].pitch + cents(voices[k]) / 100 for k in members], np.float64)
            near = np.exp(-0.5 * ((keys[:, None] - keys) / _TIE_SEMITONES) ** 2)
            shapes = [
                Partials(rows[k], key_hertz(key) / bin_hertz)
                for k, key in zip(members, keys.tolist(), strict=True)
            ]
            self._groups.append((members, near, shapes))

    def draw(self, counts: NDArray[np.float64]) -> None:
        """Add to the counts of each note, in place, what its neighbours would lead to expect.

        The weight is a share of the mean count of the part's notes: the less a note is heard
        beside the others, the more it takes from them.
        """
        for members, near, shapes in self._groups:
            n_partials = max(shape.count for shape in shapes)
            sums, there = np.zeros((2, len(members), n_partials))
            for i, (k, shape) in enumerate(zip(members, shapes, strict=True)):
                sums[i, : shape.count] = shape.sums(counts[k])
                there[i, : shape.count] = 1
            totals = sums.sum(axis=1, keepdims=True)
            tiny = np.finfo(float).tiny
            shares = (near @ sums) / np.maximum(near @ (there * totals), tiny)
            weight = _TIE * totals.mean()
            for k, shape, share in zip(members, shapes, shares, strict=True):
                counts[k] += weight * shape.spread(share[: shape.count])


class Partials:
    """Which bins belong to which partial of a note, and how each partial is shaped at first."""

    def __init__(self, row: NDArray[np.float64], spacing: float) -> None:
        n = int((len(row) - 1) / spacing)
        edges = np.unique(np.round((np.arange(n) + 0.5) * spacing).astype(np.int64))
        self._edges = edges[edges < len(row)]
        self.count = len(self._edges)
        sums = np.repeat(self.sums(row), self._widths(row))
        self._shape = np.zeros(len(row))
        self._shape[len(row) - len(sums) :] = np.divide(
            row[len(row) - len(sums) :], sums, out=np.zeros(len(sums)), where=sums > 0
        )

    def _widths(self, row: NDArray[np.float64]) -> NDArray[np.int64]:
        return np.diff(self._edges, append=len(row))

    def sums(self, row: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what lies at each partial."""
        if not self.count:
            return np.zeros(0)
        summed: NDArray[np.float64] = np.add.reduceat(row, self._edges)
        return summed

    def spread(self, partials: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return a template with partials of these sums."""
        row = self._shape.copy()
        if self.count:
            row[self._edges[0] :] *= np.repeat(partials, self._widths(row))
        return row


def comb(frequencies: NDArray[np.float64], fundamental: float) -> NDArray[np.float64]:
    """Return a harmonic spectrum that is zero between the partials, each as wide as it may get.

    A partial may lie 20 cents beside its place, or above it where strings are stiff.
    """
    row = np.zeros(len(frequencies))
    spacing = frequencies[1]
    wide, margin = 2 ** (_CENTS / 1200), _LOBE_BINS * spacing
    for n in range(1, _MAX_PARTIAL + 1):
        centre = n * fundamental
        if centre > frequencies[-1]:
            break
        top = centre * np.sqrt(1 + _INHARMONICITY * n * n) * wide + margin
        first, stop = np.searchsorted(frequencies, [centre / wide - margin, top])
        width = max(1.2 * spacing, 0.6 * centre * (wide - 1))
        lobe = np.exp(-0.5 * ((frequencies[first:stop] - centre) / width) ** 2)
        row[first:stop] = np.maximum(row[first:stop], (lobe + _TAIL) / n)
    return row


def smoothed(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return means over bands of 0.3 octaves, interpolated between the middles of the bands."""
    n_bins = rows.shape[1]
    steps = np.geomspace(2, n_bins - 1, max(2, int(9 / _SMOOTH_OCTAVES)))
    edges = np.unique(np.round(np.concatenate([[0], steps])).astype(np.int64))
    widths = np.diff(edges, append=n_bins)
    means = np.add.reduceat(rows, edges, axis=1) / widths
    middles, bins = edges + (widths - 1) / 2, np.arange(n_bins)
    return np.array([np.interp(bins, middles, row) for row in means]).reshape(rows.shape)
