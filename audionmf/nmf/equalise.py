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
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audionmf.nmf.models import Spectra
from audionmf.nmf.solver import State
from audionmf.nmf.sums import as_far_as, fit_sum
from audionmf.settings import CPU

__all__ = ["Equalised", "EqualisedSpectra", "fit_equalised", "strongest"]

Matrix = NDArray[np.floating[Any]]

_PRIOR = 0.3
_KEEP = 0.97
_CARRIED = 0.5


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
        How far to go with the equalisers, in plain iterations: with momentum, which is bounded and not
        looked back on, 26 come as far as 50.
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
    level = V.sum(axis=0) / max(1, W.shape[1])
    H = np.repeat(level[:, None], W.shape[1], axis=1).astype(V.dtype)
    if absent is not None:
        H[absent.T] = 0  # multiplied, it stays so
    n_adapt = as_far_as(n_adapt, _CARRIED)
    told = _Told(n_plain + n_adapt, progress or (lambda _: None))
    plain = Spectra(np.ascontiguousarray(W.T), H, penalties=penalties)
    fit = partial(fit_sum, V, measure=False, n_threads=n_threads, device=device, callback=told)
    fit([plain], max_iter=n_plain)
    kept = strongest(plain.activations.sum(axis=0, dtype=np.float64))
    model = EqualisedSpectra(
        plain.rows[kept], np.ascontiguousarray(plain.activations[:, kept]), membership[kept],
        smoother, penalties=penalties[kept], n_groups=int(membership.max()) + 1,
    )  # fmt: skip
    fit([model], max_iter=n_adapt, carried=_CARRIED)
    return Equalised(model.gains, kept, model.activations.T)


class _Told:
    """Tells the share of several fits that is done."""

    def __init__(self, n_total: int, progress: Callable[[float], object]) -> None:
        self._n_total, self._progress, self._n_done = n_total, progress, 0

    def __call__(self, _: State) -> None:
        self._n_done += 1
        self._progress(self._n_done / self._n_total)


class EqualisedSpectra(Spectra):
    """Known templates of which only one equaliser a group moves.

    Parameters
    ----------
    rows, activations, penalties
        As in `Spectra`.
    groups : ndarray of int, shape (n_components,)
        The group of each template, from 0.
    smoother : ndarray, shape (n_bins, n_bins)
        What smooths the equalisers; its rows sum to 1.
    n_groups : int
        Number of groups.
    """

    def __init__(
        self,
        rows: Matrix,
        activations: Matrix,
        groups: NDArray[np.int64],
        smoother: NDArray[np.float64],
        *,
        penalties: Matrix | None = None,
        n_groups: int = 1,
    ) -> None:
        super().__init__(rows, activations, penalties=penalties, free=True)
        self.gains = np.ones((n_groups, rows.shape[1]))
        self._groups, self._smoother = groups, smoother
        self._members = (groups == np.arange(n_groups)[:, None]).astype(rows.dtype)

    @property
    def moved(self) -> tuple[str, ...]:
        """The equalisers."""
        return ("gains",)

    def effective(self) -> Matrix:
        """Return the templates through their equalisers."""
        gains = self.gains.astype(self.rows.dtype)
        through: Matrix = self.rows * gains[self._groups]
        return through

    def absorb(self, over: Matrix, sums: NDArray[np.float64]) -> None:
        """Move the equalisers: smoothed evidence, and `_PRIOR` of it that says 1."""
        rows, gains = self.rows, self.gains
        explained = gains * (self._members @ (rows * over))
        base = (self._members * sums.astype(rows.dtype)) @ rows
        smoothed = np.concatenate([explained, base]) @ self._smoother.T
        numerator, denominator = np.split(smoothed, 2)
        mean = denominator.mean(axis=1, keepdims=True)
        pull = _PRIOR * denominator + 1e-6 * mean + np.finfo(np.float64).tiny
        gains[:] = (numerator + pull) / (denominator + pull)


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
