"""Known templates, fitted to a mixture by one smooth equaliser a source.

An example is never played on the same instrument, in the same room, through the same microphone as
the mixture. To let every template adapt on its own would let a source drift into the others; one
equaliser for all templates of a source cannot::

    V ≈ Σ_j diag(g_j) W_j H_j

g_j is smooth along frequency and drawn towards 1. Both H and g follow from multiplicative updates of
the Kullback–Leibler divergence; an L1 weight on the activations of some templates (copies at another
pitch, say) makes them stand back where others do as well. The smoothing and the pull are those of a
Gamma prior on g whose weight is a share of the source's own evidence.

References
----------
The filter model: Févotte, Vincent and Ozerov, "Single-channel audio source separation with NMF:
divergences, constraints and algorithms", in Audio Source Separation, Springer 2018. Weighted priors
in multiplicative updates: Cemgil, "Bayesian inference for nonnegative matrix factorisation models",
Computational Intelligence and Neuroscience 2009.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audionmf.nmf.places import kernel_on
from audionmf.settings import CPU

__all__ = ["Equalised", "fit_equalised", "strongest"]

Matrix = NDArray[np.floating[Any]]

_PRIOR = 0.3
_KEEP = 0.97


@dataclass(frozen=True, eq=False)
class Equalised:
    """What `fit_equalised` found.

    Parameters
    ----------
    gains : ndarray, shape (n_groups, n_bins)
        g, the equaliser of each group.
    kept : ndarray of int, shape (n_kept,)
        The templates that are kept; the others hardly played.
    activations : ndarray, shape (n_kept, n_frames)
        H of the kept templates, which sum to 1 before the equaliser.
    """

    gains: Matrix
    kept: NDArray[np.int64]
    activations: Matrix


def fit_equalised(
    V: Matrix,
    W: Matrix,
    groups: Sequence[int],
    smoother: NDArray[np.float64],
    *,
    penalties: Matrix,
    absent: NDArray[np.bool_] | None = None,
    n_plain: int = 10,
    n_adapt: int = 50,
    n_threads: int = 1,
    device: str = CPU,
    progress: Callable[[float], object] | None = None,
) -> Equalised:
    """Fit activations, and one equaliser for each group of templates, to V.

    Parameters
    ----------
    V : ndarray, shape (n_bins, n_frames), float32
        Data, ≥ 0, with a peak not far from 1. Not modified.
    W : ndarray, shape (n_bins, n_components), float32
        Templates, each summing to 1. Not modified.
    groups : sequence of int, length n_components
        The group of each template, from 0.
    smoother : ndarray, shape (n_bins, n_bins)
        What smooths the equalisers; its rows sum to 1.
    penalties : ndarray, shape (n_components,)
        L1 weight on the activations of each template, ≥ 0, relative to the sum of a template.
    absent : ndarray of bool, shape (n_components, n_frames), optional
        The frames in which a template does not play: its activation stays 0 there.
    n_plain : int, default 10
        Iterations before the equalisers start to move. After them the templates that carry less
        than the last 3 % of the activation are dropped.
    n_adapt : int, default 50
        Iterations with the equalisers.
    n_threads : int, default 1
        Threads.
    device : str, default "cpu"
        As in `fit`.
    progress : callable, optional
        Told the share done.

    Returns
    -------
    Equalised
        Equalisers and activations.
    """
    membership = np.asarray(groups)
    kept = np.arange(W.shape[1])
    level = V.sum(axis=0) / max(1, W.shape[1])
    rows = np.ascontiguousarray(W.T)
    H = np.repeat(level[:, None], W.shape[1], axis=1).astype(V.dtype)
    if absent is not None:
        H[absent.T] = 0  # multiplied, it stays so
    gains = np.ones((membership.max() + 1, W.shape[0]))
    steps = _Steps(V, smoother, n_threads, device, n_plain + n_adapt, progress or (lambda _: None))
    steps.run(rows, H, gains, membership, penalties, n_plain, adapt=False)
    strong = strongest(H.sum(axis=0, dtype=np.float64))
    kept, membership, penalties = kept[strong], membership[strong], penalties[strong]
    rows, H = np.ascontiguousarray(rows[strong]), np.ascontiguousarray(H[:, strong])
    steps.run(rows, H, gains, membership, penalties, n_adapt, adapt=True)
    return Equalised(gains, kept, H.T)


@dataclass
class _Steps:
    V: Matrix
    smoother: NDArray[np.float64]
    n_threads: int
    device: str
    n_total: int
    progress: Callable[[float], object]
    n_done: int = 0

    def run(
        self,
        rows: Matrix,
        H: Matrix,
        gains: NDArray[np.float64],
        membership: NDArray[np.int64],
        penalties: Matrix,
        n_iter: int,
        *,
        adapt: bool,
    ) -> None:
        free = np.ones(len(rows), bool)
        with kernel_on(self.device, self.V, self.n_threads, free, free, penalties) as kernel:
            played = kernel.taken(H)
            for _ in range(n_iter):
                equalised = (rows * gains[membership]).astype(rows.dtype)
                over, sums = kernel.sums(equalised, played, gather=adapt)
                if over is not None and sums is not None:
                    self._move(gains, membership, equalised, over, sums)
                self.n_done += 1
                self.progress(self.n_done / self.n_total)
            kernel.given(played, H)

    def _move(
        self,
        gains: NDArray[np.float64],
        membership: NDArray[np.int64],
        equalised: Matrix,
        over: Matrix,
        sums: NDArray[np.float64],
    ) -> None:
        """Update the equalisers in place: smoothed evidence, and `_PRIOR` of it that says 1."""
        for j, gain in enumerate(gains):
            mine = membership == j
            model = equalised[mine].astype(np.float64)
            expected = model.T @ sums[mine]
            explained = np.einsum("kf,kf->f", model, over[mine])
            base = np.divide(expected, gain, out=np.zeros_like(gain), where=gain > 0)
            numerator, denominator = self.smoother @ explained, self.smoother @ base
            pull = _PRIOR * denominator + 1e-6 * denominator.mean() + np.finfo(np.float64).tiny
            gain[:] = (numerator + pull) / (denominator + pull)


def strongest(weights: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the templates that carry all but the last 3 % of the activation, in their order.

    Parameters
    ----------
    weights : ndarray, shape (n_components,)
        The activation of each template, summed.
    """
    order = np.argsort(weights)[::-1]
    total = np.cumsum(weights[order])
    count = 1 + int(np.searchsorted(total, _KEEP * total[-1]))
    return np.sort(order[:count])
