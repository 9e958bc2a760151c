"""A voice as a term of a sum: a source with a pitch goes through a filter that opens and closes.

    V_j = (H_S S) ∘ (H_Q Q B) · g

with the elementwise product ∘. The spectra S of the source are known combs; B holds known overlapping
bumps, Q their weights in each of a few filters, H_Q which filter is heard when. Where there are
channels, their bins stand one after the other, and the voice has a gain g in each. The part is linear
in H_S, in H_Q, in Q and in g, each with the others fixed; every fourth time the gains move in the
place of the filters.

References
----------
Durrieu, Richard, David and Févotte, "Source/filter model for unsupervised main melody extraction from
polyphonic audio signals", IEEE Transactions on Audio, Speech, and Language Processing 18(3), 2010.
Durrieu, David and Richard, "A musically motivated mid-level representation for pitch estimation and
musical audio source separation", IEEE Journal of Selected Topics in Signal Processing 5(6), 2011. Both
use the Itakura–Saito divergence of powers; here it is that of Kullback and Leibler on magnitudes, as
everywhere in this package.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audionmf.nmf.models import ACTIVATIONS, COURSES, TEMPLATES, quotient

__all__ = ["Voice"]

Matrix = NDArray[np.floating[Any]]

_GAINS_EVERY = 4


@dataclass
class Heard:
    """Source and filter of some frames, (n, n_bins), and the phase that has moved one of them since."""

    pitch: Matrix
    envelope: Matrix
    moved: str = ""


class Voice:
    """A voice; its factors are moved in place.

    Parameters
    ----------
    sources : ndarray, shape (n_pitches, n_bins)
        S, known.
    bumps : ndarray, shape (n_bumps, n_bins)
        B, known.
    pitches : ndarray, shape (n_frames, n_pitches)
        H_S, how loud each pitch is; what is 0 stays 0.
    filters : ndarray, shape (n_filters, n_bumps)
        Q.
    openings : ndarray, shape (n_frames, n_filters)
        H_Q.
    gains : ndarray, shape (n_channels,)
        g.
    """

    def __init__(
        self,
        sources: Matrix,
        bumps: Matrix,
        *,
        pitches: Matrix,
        filters: Matrix,
        openings: Matrix,
        gains: Matrix,
    ) -> None:
        self.sources, self.bumps = sources, bumps
        self.pitches, self.filters, self.openings, self.gains = pitches, filters, openings, gains
        self._n_moved = 0

    @property
    def carried(self) -> tuple[str, ...]:
        """All four factors."""
        return ("pitches", "openings", "filters", "gains")

    @property
    def n_bins(self) -> int:
        """Bins of a channel."""
        return int(self.sources.shape[1])

    def scale(self, factor: float) -> None:
        """Multiply the pitches."""
        self.pitches *= self.pitches.dtype.type(factor)

    def cost(self) -> float:
        """Return 0: nothing is drawn."""
        return 0.0

    def moves(self, phase: str) -> bool:
        """Move in every phase."""
        return phase in (ACTIVATIONS, COURSES, TEMPLATES)

    def part(self, frames: slice, kept: Heard | None = None) -> tuple[Matrix, Heard]:
        """Return the part of some frames, all channels; and source and filter.

        What was kept of the same frames is found again only where `gather` has moved it since.
        """
        if kept is None or kept.moved == ACTIVATIONS:
            pitch: Matrix = self.pitches[frames] @ self.sources
        else:
            pitch = kept.pitch
        if kept is None or kept.moved == COURSES:
            envelope: Matrix = self.openings[frames] @ (self._heard_filters @ self.bumps)
        else:
            envelope = kept.envelope
        heard = pitch * envelope
        if len(self.gains) > 1:
            heard = (heard[:, None, :] * self.gains[:, None]).reshape(len(heard), -1)
        return heard, Heard(pitch, envelope)

    def gather(self, phase: str, frames: slice, ratio: Matrix, kept: Heard) -> Any:
        """Move what is of these frames alone, or return what filters or gains need."""
        pitches, openings, filters = (
            self.pitches[frames],
            self.openings[frames],
            self._heard_filters,
        )
        total = self.gains.sum() if len(self.gains) > 1 else 1
        if phase == TEMPLATES and self._gains_are_next:
            heard = kept.pitch * kept.envelope
            by_channel = ratio.reshape(len(ratio), -1, self.n_bins)
            return np.einsum("tf,tcf->c", heard, by_channel), heard.sum()
        weighted = self._over_channels(ratio) * (
            kept.envelope if phase == ACTIVATIONS else kept.pitch
        )
        if phase == ACTIVATIONS:
            under = openings @ (filters @ self._in_common)
            self.pitches[frames] = quotient(pitches, weighted @ self.sources.T, under * total)
        elif phase == COURSES:
            under = pitches @ (filters @ self._in_common).T
            over = weighted @ (filters @ self.bumps).T
            self.openings[frames] = quotient(openings, over, under * total)
        else:
            under = pitches @ self._in_common.T
            return openings.T @ (weighted @ self.bumps.T), (openings.T @ under) * total
        kept.moved = phase
        return None

    def move(self, phase: str, gathered: list[Any]) -> None:
        """Move the filters, or every fourth time the gains."""
        if phase != TEMPLATES:
            return
        over, under = (sum(sums[i] for sums in gathered) for i in (0, 1))
        if self._gains_are_next:
            self.gains = quotient(self.gains, over, under)
        else:
            self.filters = quotient(self.filters, over, under)
        self._n_moved += 1

    @cached_property
    def _in_common(self) -> Matrix:
        """What each bump and each source have in common: B Sᵀ, (n_bumps, n_pitches)."""
        return self.bumps @ self.sources.T

    @property
    def _heard_filters(self) -> Matrix:
        """The filters, with the gain where there is one only: it costs nothing there."""
        return self.filters * self.gains[0] if len(self.gains) == 1 else self.filters

    @property
    def _gains_are_next(self) -> bool:
        return self._n_moved % _GAINS_EVERY == _GAINS_EVERY - 1

    def _over_channels(self, ratio: Matrix) -> Matrix:
        """Return Σ_c g_c V_c / Σ_c, (n, n_bins); of one channel without its gain."""
        if len(self.gains) == 1:
            return ratio
        weighted: Matrix = self.gains[0] * ratio[:, : self.n_bins]
        for c, gain in enumerate(self.gains[1:], 1):
            weighted += gain * ratio[:, c * self.n_bins : (c + 1) * self.n_bins]
        return weighted
