"""Known templates that may move towards the data, drawn to where they were.

An exemplar is close to what plays, but never the same. Maximum a posteriori, with a Dirichlet prior
on each template whose pseudo-counts are a multiple of the mass m_k that it explains at the start::

    min  D(V | WH) + Σ_k p_k Σ_t H_kt + pull Σ_k m_k D(A_k | W_k)     with Σ_f W_fk = 1

D is the Kullback–Leibler divergence, A the templates as they were. Both multiplicative updates lower
the objective: that of W is the EM step of a multinomial with pseudo-counts.

References
----------
Cemgil, "Bayesian inference for nonnegative matrix factorisation models", Computational Intelligence
and Neuroscience 2009; Smaragdis and Raj, "Shift-invariant probabilistic latent component analysis",
2007, for Dirichlet priors in this model.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audionmf.nmf.models import Spectra
from audionmf.nmf.solver import State
from audionmf.nmf.sums import as_far_as, fit_sum
from audionmf.settings import CPU

__all__ = ["DrawnSpectra", "fit_drawn"]

Matrix = NDArray[np.floating[Any]]

_LEAST_SUM = 1e-12
_CARRIED = 0.5


def fit_drawn(
    V: Matrix,
    W: Matrix,
    H: Matrix,
    *,
    penalties: Matrix,
    pull: float = 1.0,
    n_iter: int = 20,
    n_threads: int = 1,
    device: str = CPU,
    progress: Callable[[float], object] = lambda _: None,
) -> tuple[Matrix, Matrix]:
    """Let every template move to V, drawn to where it was by its own mass.

    Parameters
    ----------
    V : ndarray, shape (n_bins, n_frames), float32
        Data, ≥ 0, with a peak not far from 1. Not modified.
    W : ndarray, shape (n_bins, n_components), float32
        Templates, ≥ 0, each summing to 1. Not modified.
    H : ndarray, shape (n_components, n_frames), float32
        Where the activations start; what is 0 stays 0. Not modified.
    penalties : ndarray, shape (n_components,)
        L1 weight on the activations of each template, ≥ 0.
    pull : float, default 1
        Weight of the prior: 1 counts as much as what the template explains at the start.
    n_iter : int, default 20
        How far to go, in plain iterations: with momentum, which is bounded and not looked back on, 11
        come as far as 20.
    n_threads : int, default 1
        Threads; the result does not depend on them.
    device : str, default "cpu"
        As in `fit`.
    progress : callable, optional
        Told the share done.

    Returns
    -------
    templates : ndarray, shape (n_bins, n_components)
        Each sums to 1.
    activations : ndarray, shape (n_components, n_frames)
        Those that go with them.
    """
    rows = np.ascontiguousarray(W.T)
    model = DrawnSpectra(rows, np.array(H.T, order="C"), pull=pull, penalties=penalties)
    fit_sum(
        V, [model], max_iter=as_far_as(n_iter, _CARRIED), carried=_CARRIED, measure=False,
        n_threads=n_threads, device=device, callback=lambda state: _tell(progress, state),
    )  # fmt: skip
    return model.rows.T, model.activations.T


def _tell(progress: Callable[[float], object], state: State) -> None:
    progress(state.iteration / state.max_iter)


class DrawnSpectra(Spectra):
    """Templates that move, drawn to where they were.

    Parameters
    ----------
    rows, activations, penalties
        As in `Spectra`; each template sums to 1.
    pull : float, default 1
        Weight of the prior: 1 counts as much as what the template explains at the start.
    """

    def __init__(
        self,
        rows: Matrix,
        activations: Matrix,
        *,
        pull: float = 1.0,
        penalties: Matrix | None = None,
    ) -> None:
        super().__init__(rows, activations, penalties=penalties, free=True)
        self._held = pull * activations.sum(axis=0, dtype=np.float64)[:, None] * rows

    def scale(self, factor: float) -> None:
        """Multiply the activations, and what they count for."""
        super().scale(factor)
        self._held = self._held * factor

    def absorb(self, over: Matrix, sums: NDArray[np.float64]) -> None:
        """Move each template to what it explains, and what it was taken for at the start."""
        moved = self.rows * over + self._held
        sums = moved.sum(axis=1, keepdims=True)
        known = sums > _LEAST_SUM
        rows = np.where(known, moved / np.where(known, sums, 1), self.rows)
        self.rows = rows.astype(self.rows.dtype)
