"""Components that keep their form when they move along the bins: one template, all its notes.

On a logarithmic frequency axis another pitch is the same spectrum elsewhere. Each component is one
template, and its activations say how much of it sounds at each shift::

    V[f, t] ≈ Σ_k Σ_s W[f - s, k] H[k, s, t],   s = 0 … n_shifts - 1

with V (n_bins, n_frames), W (n_bins - n_shifts + 1, n_components), H (n_components, n_shifts,
n_frames): every shift lies whole within the bins. The updates of the Kullback–Leibler divergence are
those of NMF, with numerators and denominators added up over the shifts::

    H[k, s, t] ← H[k, s, t] · Σ_f W[f, k] Q[f + s, t]          / Σ_f W[f, k]
    W[f, k]    ← W[f, k]    · Σ_s Σ_t Q[f + s, t] H[k, s, t]   / Σ_s Σ_t H[k, s, t]

with Q = V / model computed anew for each of the two, so that the divergence never rises. All shifts
of a template side by side are a matrix, so that each sum is one product of matrices; the products
are done in blocks of frames, whose sums are added in their order: the number of threads does not
matter.

References
----------
Smaragdis, Raj and Shashanka, "Sparse and shift-invariant feature extraction from non-negative data",
ICASSP 2008. Schmidt and Mørup, "Nonnegative matrix factor 2-D deconvolution for blind single channel
source separation", ICA 2006 (with courses in time as well).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from audionmf.errors import ParameterError
from audionmf.nmf.checks import (
    as_data,
    check_method,
    check_tolerance,
    check_whole,
    thread_count,
)
from audionmf.nmf.loop import Callback, StopReason, Watch, Workers, follow

__all__ = ["ShiftedNMF", "fit_shifted", "shifted_model"]

Matrix = NDArray[np.floating[Any]]

_BLOCK_FRAMES = 256


@dataclass(frozen=True, eq=False)
class ShiftedNMF:
    """A shift-invariant factorisation of V.

    Parameters
    ----------
    templates : ndarray, shape (n_bins - n_shifts + 1, n_components)
        W, each of sum 1 but for silent ones.
    activations : ndarray, shape (n_components, n_shifts, n_frames)
        H, in the unit of V: how much of each template, moved up by so many bins.
    divergence : ndarray, shape (n_iter + 1,), float64
        Kullback–Leibler divergence at the start and after each iteration. It never rises.
    n_iter : int
        Iterations done.
    converged : bool
        True if the tolerance, or the precision of the type, was reached.
    reason : {"tolerance", "max_iter", "cancelled", "precision"}
        Why it stopped.
    """

    templates: Matrix
    activations: Matrix
    divergence: NDArray[np.float64]
    n_iter: int
    converged: bool
    reason: StopReason

    def model(self) -> Matrix:
        """Return what each component makes of V, shape (n_components, n_bins, n_frames)."""
        return shifted_model(self.templates, self.activations)


def fit_shifted(
    V: ArrayLike,
    n_components: int,
    n_shifts: int,
    *,
    max_iter: int = 100,
    tol: float = 1e-4,
    method: str = "accelerated",
    seed: int | np.random.Generator = 0,
    templates: ArrayLike | None = None,
    fixed_templates: bool = False,
    callback: Callback | None = None,
    n_threads: int | None = None,
) -> ShiftedNMF:
    """Factorise V into templates that may move along the bins.

    Parameters
    ----------
    V : array, shape (n_bins, n_frames)
        Data on a logarithmic frequency axis, finite and ≥ 0. float32 and float64 are kept, other
        real types become float64. Not modified.
    n_components : int
        Components, 1 or more.
    n_shifts : int
        Places of each template, 1 to n_bins; 1 is plain NMF.
    max_iter : int, default 100
        Most iterations; one updates H, then W. 0 returns the start.
    tol : float, default 1e-4
        Stop when ten iterations together lower the divergence by less than this share of it. 0
        runs all iterations.
    method : {"accelerated", "plain"}, default "accelerated"
        As in `fit`, without a start on sums of frames.
    seed : int or numpy.random.Generator, default 0
        For the templates, unless they are given. Activations start at one level in each frame.
    templates : array, shape (n_bins - n_shifts + 1, n_components), optional
        Templates to start from. Not modified.
    fixed_templates : bool, default False
        Keep them, but for their level.
    callback : callable, optional
        As in `fit`.
    n_threads : int, optional
        Threads, 1 or more; default: one for each core that this process may use. The result does
        not depend on it.

    Returns
    -------
    ShiftedNMF
        Templates, activations, how the divergence fell and why it stopped.

    Raises
    ------
    ParameterError
        If V or templates have negative or non-finite values or shapes that do not fit, or an option
        is out of its range.
    """
    data = as_data(V, "V")
    check_whole("n_components", n_components, 1)
    check_whole("n_shifts", n_shifts, 1)
    check_whole("max_iter", max_iter, 0)
    check_tolerance(tol)
    check_method(method)
    if n_shifts > len(data):
        raise ParameterError(f"n_shifts is {n_shifts}, more than the {len(data)} bins of V")
    if fixed_templates and templates is None:
        raise ParameterError("fixed_templates needs templates to keep")
    W = _start(templates, (len(data) - n_shifts + 1, n_components), data.dtype, seed)
    scale = float(data.max()) or 1.0
    data = data / data.dtype.type(scale)
    heard = W.sum(axis=0) > 0
    H = np.zeros((n_components, n_shifts, data.shape[1]), data.dtype)
    H[heard] = data.sum(axis=0) / max(1, int(heard.sum()) * n_shifts)
    watch = Watch(max_iter, tol, scale, callback)
    with Workers(thread_count(n_threads), watch) as workers:
        follow(
            watch, _Updates(data, n_shifts, workers), W, H, templates=not fixed_templates,
            accelerated=method == "accelerated",
        )  # fmt: skip
    return ShiftedNMF(
        W, H * data.dtype.type(scale), np.array(watch.values) * scale, watch.n_iter,
        watch.reason in ("tolerance", "precision"), watch.reason,
    )  # fmt: skip


def shifted_model(templates: ArrayLike, activations: ArrayLike) -> Matrix:
    """Return what each component makes of V, shape (n_components, n_bins, n_frames).

    Parameters
    ----------
    templates : array, shape (n_places, n_components)
        W, finite and ≥ 0. Not modified.
    activations : array, shape (n_components, n_shifts, n_frames)
        H, finite and ≥ 0. Not modified.

    Raises
    ------
    ParameterError
        If values are negative or not finite, or the numbers of components differ.
    """
    W, H = as_data(templates, "templates"), as_data(activations, "activations", 3)
    if W.shape[1] != len(H):
        raise ParameterError(f"activations have {len(H)} components, templates {W.shape[1]}")
    return np.stack([_moved(W[:, [k]], H.shape[1]) @ H[k] for k in range(len(H))])


def _start(
    templates: ArrayLike | None, shape: tuple[int, int], dtype: Any, seed: int | np.random.Generator
) -> Matrix:
    if templates is None:
        W: Matrix = np.random.default_rng(seed).uniform(0.5, 1.5, shape).astype(dtype)
    else:
        W = as_data(templates, "templates").astype(dtype)
        if W.shape != shape:
            raise ParameterError(f"templates have the shape {W.shape}, not {shape}")
    sums = W.sum(axis=0)
    return W / np.where(sums > 0, sums, 1)


def _moved(W: Matrix, n_shifts: int) -> Matrix:
    """Return all shifts of all templates side by side, (n_bins, n_components * n_shifts)."""
    n_places, n_components = W.shape
    moved = np.zeros((n_components, n_shifts, n_places + n_shifts - 1), W.dtype)
    for shift in range(n_shifts):
        moved[:, shift, shift : shift + n_places] = W.T
    return moved.reshape(n_components * n_shifts, -1).T


class _Updates:
    """The two updates for one V, in place.

    W is (n_places, n_components), H (n_components, n_shifts, n_frames).
    """

    def __init__(self, V: Matrix, n_shifts: int, workers: Workers) -> None:
        self._V, self._n_shifts, self._each = V, n_shifts, workers.each
        starts = range(0, V.shape[1], _BLOCK_FRAMES)
        self._blocks = [slice(i, i + _BLOCK_FRAMES) for i in starts]

    def iterate(
        self, W: Matrix, H: Matrix, *, templates: bool = True, divergence: bool = False
    ) -> float:
        """Update H and, if asked to, W, whose sums are 1 then; return the divergence before."""
        moved, rows = _moved(W, self._n_shifts), H.reshape(-1, H.shape[2])
        sums = np.repeat(W.sum(axis=0), self._n_shifts)[:, None]
        inverse = np.divide(1, sums, out=np.zeros_like(sums), where=sums > 0)

        def activate(block: slice) -> float:
            V, part = self._V[:, block], rows[:, block]
            model = moved @ part
            part *= (moved.T @ _ratio(V, model)) * inverse
            return _divergence(V, model) if divergence else float("nan")

        value = float(sum(self._each(activate, self._blocks)))
        if templates:
            self._update_templates(W, H, moved)
        return value

    def _update_templates(self, W: Matrix, H: Matrix, moved: Matrix) -> None:
        """Update W, then make its sums 1; H takes the level."""
        rows = H.reshape(-1, H.shape[2])

        def gather(block: slice) -> Matrix:
            part = rows[:, block]
            found: Matrix = part @ _ratio(self._V[:, block], moved @ part).T
            return found

        over = np.sum(self._each(gather, self._blocks), axis=0, dtype=float)
        by_shift = over.reshape(*H.shape[:2], -1)
        gathered = np.zeros(W.shape)
        for shift in range(self._n_shifts):
            gathered += by_shift[:, shift, shift : shift + len(W)].T
        under = H.sum(axis=(1, 2), dtype=np.float64)
        found = W * gathered / np.where(under > 0, under, 1)
        sums = found.sum(axis=0)
        H *= sums.astype(H.dtype)[:, None, None]
        W[...] = found / np.where(sums > 0, sums, 1)


def _ratio(V: Matrix, model: Matrix) -> Matrix:
    tiny = np.finfo(V.dtype).tiny
    return np.divide(V, model, out=np.zeros_like(V), where=model > tiny)


def _divergence(V: Matrix, model: Matrix) -> float:
    data, tiny = V.astype(np.float64), float(np.finfo(V.dtype).tiny)
    model = np.maximum(model, tiny).astype(np.float64)
    logs = np.log(np.where(data > 0, data / model, 1))
    return float((data * logs - data + model).sum())
