"""What one source may be in a sum of models: a term of V ≈ Σ_j V_j that can move itself.

`fit_sum` asks every model for its part of some frames, divides V by the sum of all parts, and hands
the ratio back. A model gathers from it what its own update needs, and moves: numerator over
denominator, the multiplicative update of a sum of non-negative terms. In one phase all models move
what V is linear in while all else rests, which is why the divergence never rises, whatever models
are added up: `ACTIVATIONS`, then `COURSES` (what else changes from frame to frame), then
`TEMPLATES` (what all frames share).

Arrays have frames as rows, so that the bins of a frame are neighbours in memory.

References
----------
Ozerov, Vincent and Bimbot, "A general flexible framework for the handling of prior information in
audio source separation", IEEE TASLP 20(4), 2012: the same idea for powers and Gaussian sources.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["ACTIVATIONS", "COURSES", "PHASES", "TEMPLATES", "SourceModel", "Spectra", "quotient"]

Matrix = NDArray[np.floating[Any]]

ACTIVATIONS, COURSES, TEMPLATES = "activations", "courses", "templates"
PHASES = (ACTIVATIONS, COURSES, TEMPLATES)


class SourceModel(Protocol):
    """One term of the sum."""

    @property
    def carried(self) -> tuple[str, ...]:
        """Names of all arrays that it moves, for momentum; none, where `cost` leaves something out."""

    def scale(self, factor: float) -> None:
        """Multiply its part by a power of two."""

    def cost(self) -> float:
        """Return what it pays for its parameters, on top of the divergence; 0 for most."""

    def moves(self, phase: str) -> bool:
        """Tell whether it has something to move in a phase."""

    def part(self, frames: slice) -> tuple[Matrix, Any]:
        """Return its part of some frames, (n, n_bins), and what `gather` may use again."""

    def gather(self, phase: str, frames: slice, ratio: Matrix, kept: Any) -> Any:
        """Return what a move needs from V / Σ of some frames; it may move what is of these alone."""

    def move(self, phase: str, gathered: list[Any]) -> None:
        """Move, by what was gathered, in the order of the frames."""


class Spectra:
    """Spectra with activations: V_j = H W, fixed, or free to move by `absorb`.

    Subclasses say how templates move: freely here, along an equaliser, drawn to an example, tied to
    the partials of notes. A sum of nothing but these runs on the fused kernel.

    Parameters
    ----------
    rows : ndarray, shape (n_components, n_bins)
        Templates, ≥ 0.
    activations : ndarray, shape (n_frames, n_components)
        Where they start, ≥ 0; what is 0 stays 0. Updated in place by `fit_sum`.
    penalties : ndarray, shape (n_components,), optional
        L1 weight on the activations of each, ≥ 0.
    free : bool, default False
        Templates move.
    """

    def __init__(
        self,
        rows: Matrix,
        activations: Matrix,
        *,
        penalties: Matrix | None = None,
        free: bool = False,
    ) -> None:
        self.rows, self.activations, self.free = rows, activations, free
        self.penalties: Matrix = np.zeros(len(rows)) if penalties is None else penalties

    @property
    def carried(self) -> tuple[str, ...]:
        """The activations, and templates that move; subclasses have priors that no cost tells of."""
        if type(self) is not Spectra:
            return ()
        return ("activations", "rows") if self.free else ("activations",)

    @property
    def moved(self) -> tuple[str, ...]:
        """What `absorb` moves."""
        return ("rows",) if self.free else ()

    def effective(self) -> Matrix:
        """Return the templates as they sound now, (n_components, n_bins)."""
        return self.rows

    def absorb(self, over: Matrix, sums: NDArray[np.float64]) -> None:
        """Move the templates.

        Parameters
        ----------
        over : ndarray, shape (n_components, n_bins)
            Σ_t H (V / Σ), at the activations of now.
        sums : ndarray, shape (n_components,)
            Σ_t H.
        """
        self.rows = quotient(self.rows, over, sums[:, None])

    def scale(self, factor: float) -> None:
        """Multiply the activations."""
        self.activations *= self.activations.dtype.type(factor)

    def cost(self) -> float:
        """Return the weighted L1 norms of the activations."""
        return float(self.penalties @ self.activations.sum(axis=0, dtype=np.float64))

    def moves(self, phase: str) -> bool:
        """Tell whether activations or templates move."""
        return phase == ACTIVATIONS or (phase == TEMPLATES and self.free)

    def part(self, frames: slice) -> tuple[Matrix, Matrix]:
        """Return the part of some frames, and the templates as they sound."""
        rows = self.effective()
        return self.activations[frames] @ rows, rows

    def gather(self, phase: str, frames: slice, ratio: Matrix, kept: Matrix) -> Any:
        """Update the activations of some frames, or return the sums that templates need."""
        H = self.activations[frames]
        if phase == TEMPLATES:
            return H.T @ ratio, H.sum(axis=0, dtype=np.float64)
        under = kept.sum(axis=1) + self.penalties
        self.activations[frames] = quotient(H, ratio @ kept.T, under)
        return None

    def move(self, phase: str, gathered: list[Any]) -> None:
        """Let the templates absorb the sums over all frames."""
        if phase == TEMPLATES:
            self.absorb(sum(over for over, _ in gathered), sum(sums for _, sums in gathered))


def quotient(factor: Matrix, over: Matrix, under: Any) -> Matrix:
    """Return ``factor · over / under``, in the type of the factor; 0 where that is next to nothing."""
    tiny = np.finfo(factor.dtype).tiny
    updated: Matrix = (factor * (over / np.maximum(under, tiny))).astype(factor.dtype, copy=False)
    updated[updated < tiny] = 0  # denormal numbers are slow
    return updated
