"""Convolutive NMF: components that are patterns of several frames, not single spectra (NMFD).

A struck sound is not one spectrum with a gain, but a course of spectra: the click, the body, the
tail. Each component here has one template a lag::

    V[f, t] ≈ Σ_k Σ_l W[l, f, k] H[k, t - l]

with V (n_bins, n_frames), W (n_lags, n_bins, n_components), H (n_components, n_frames); what was
played before the first frame is 0. It is NMF of rank n_lags · n_components whose activations are
tied, copies of H each later by one frame. Written so, the updates of the Kullback–Leibler divergence
are those of NMF with the numerators and denominators of the copies added up::

    H[k, t]    ← H[k, t]    · Σ_l Σ_f W[l, f, k] Q[f, t + l] / Σ_l Σ_f W[l, f, k]
    W[l, f, k] ← W[l, f, k] · Σ_t Q[f, t] H[k, t - l]        / Σ_t H[k, t - l]

over the frames that are there (t + l < n_frames), with Q = V / model computed anew for each of the
two. Each follows from the bound that gives the updates of NMF, so that the divergence never rises. To
update both from the same Q, as is often done, saves a quarter of the work and the guarantee.

Inside, the copies are stacked: W (n_lags · n_components, n_bins), H (n_lags · n_components, n_frames).
An update of the stacked problem is one pass of the kernel of NMF, over V for H and over its
transpose for W, where the roles are exchanged; the ties are put in afterwards. Sums are added in a
fixed order: the number of threads does not matter.

References
----------
Smaragdis, "Non-negative matrix factor deconvolution; extraction of multiple sound sources from
monophonic inputs", ICA 2004. Schmidt and Mørup, "Nonnegative matrix factor 2-D deconvolution for
blind single channel source separation", ICA 2006.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from audionmf.errors import ParameterError
from audionmf.nmf.checks import (
    as_data,
    as_start,
    check_tolerance,
    check_whole,
    free_mask,
    thread_count,
)
from audionmf.nmf.loop import Callback, StopReason, Watch, follow
from audionmf.nmf.places import Updater
from audionmf.nmf.updates import make_updater

__all__ = ["ConvolutiveNMF", "activate", "fit", "model"]

Matrix = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]

_BLOCK_FRAMES = 4096


@dataclass(frozen=True, eq=False)
class ConvolutiveNMF:
    """A convolutive factorisation of V.

    Parameters
    ----------
    templates : ndarray, shape (n_lags, n_bins, n_components)
        W: one pattern a component, its frames along the first axis. Each sums to 1 if all were free
        to change, but for silent ones.
    activations : ndarray, shape (n_components, n_frames)
        H, in the unit of V: how much starts in each frame.
    divergence : ndarray, shape (n_evaluations,), float64
        Kullback–Leibler divergence at the start and after each iteration; the last one is that of
        the result. It never rises.
    evaluated : ndarray, shape (n_evaluations,), int
        The iterations after which it was evaluated; the first is 0.
    n_iter : int
        Iterations done.
    converged : bool
        True if the tolerance was reached.
    reason : {"tolerance", "max_iter", "cancelled"}
        Why it stopped.
    beta : float
        Of the divergence, always 1.
    """

    templates: Matrix
    activations: Matrix
    divergence: NDArray[np.float64]
    evaluated: NDArray[np.int64]
    n_iter: int
    converged: bool
    reason: StopReason
    beta: float = 1.0

    @property
    def n_components(self) -> int:
        """Number of components."""
        return int(self.templates.shape[2])

    @property
    def n_lags(self) -> int:
        """Frames of a pattern."""
        return int(self.templates.shape[0])


def fit(
    V: ArrayLike,
    n_components: int,
    n_lags: int,
    *,
    max_iter: int = 60,
    tol: float = 1e-4,
    seed: int | np.random.Generator = 0,
    templates: ArrayLike | None = None,
    activations: ArrayLike | None = None,
    fixed_templates: bool | ArrayLike = False,
    callback: Callback | None = None,
    n_threads: int | None = None,
) -> ConvolutiveNMF:
    """Factorise V into patterns of several frames and the frames in which they start.

    Parameters
    ----------
    V : array, shape (n_bins, n_frames)
        Data, finite and ≥ 0. float32 and float64 are kept, other real types become float64. Any
        memory order. Not modified.
    n_components : int
        Components, 1 or more.
    n_lags : int
        Frames of a pattern, 1 or more; may exceed the frames of V. 1 is plain NMF.
    max_iter : int, default 60
        Most iterations; one updates H, then W. 0 returns the start.
    tol : float, default 1e-4
        Stop when ten iterations together lower the divergence by less than this share of it. 0
        runs all iterations.
    seed : int or numpy.random.Generator, default 0
        For the templates that are not given, which start at random.
    templates : array, shape (n_lags, n_bins, k), optional
        Patterns to start from. With ``k < n_components`` they are the first ones.
    activations : array, shape (k, n_frames), optional
        Activations to start from, likewise. What is not given starts at one level in all frames,
        every component with the same share of V.
    fixed_templates : bool or mask of shape (n_components,) or (k,), default False
        Templates that are kept as they are: all of those given (True), or those marked.
    callback : callable, optional
        As in `nmf.fit`.
    n_threads : int, optional
        Threads, 1 or more; default: one for each core that this process may use. The result does
        not depend on it.

    Returns
    -------
    ConvolutiveNMF
        Patterns, activations, how the divergence fell and why it stopped.

    Raises
    ------
    ParameterError
        If V or a start has negative or non-finite values or shapes that do not fit, or an option is
        out of its range.
    """
    data = as_data(V, "V")
    check_whole("n_components", n_components, 1)
    check_whole("n_lags", n_lags, 1)
    check_whole("max_iter", max_iter, 0)
    check_tolerance(tol)
    given = as_start(templates, data, "templates", 3)
    if given is not None and given.shape[0] != n_lags:
        raise ParameterError(f"templates have {given.shape[0]} lags, n_lags is {n_lags}")
    started = as_start(activations, data, "activations")
    free = free_mask(fixed_templates, given, n_components, "fixed_templates")
    n_threads = thread_count(n_threads)
    W, sums = _start_templates(given, (n_lags, len(data), n_components), data.dtype, seed)
    data, scale = _levelled(data)
    H = _start_activations(started, data, sums, scale)
    watch = Watch(max_iter, tol, scale, callback)
    with _Updates(data, n_lags, free, n_threads, watch.ask) as updates:
        follow(watch, updates, W, H, templates=bool(free.any()))
    # Patterns that were free sum to 1; the others get back the scale, and the values, they had.
    levels = np.where(free, _sums(W), 1 / sums)
    found = (W / _sums(W)[:, None]).astype(data.dtype).transpose(0, 2, 1)
    if given is not None:
        kept = np.flatnonzero(~free)
        found[:, :, kept] = given[:, :, kept]
    return ConvolutiveNMF(
        templates=found,
        activations=(H * (levels[:, None] * scale)).astype(data.dtype),
        divergence=np.array(watch.values) * scale,
        evaluated=np.array(watch.evaluated, np.int64),
        n_iter=watch.n_iter,
        converged=watch.reason == "tolerance",
        reason=watch.reason,
    )


def activate(
    V: ArrayLike,
    templates: ArrayLike,
    *,
    n_iter: int = 60,
    activations: ArrayLike | None = None,
    n_threads: int | None = None,
) -> Matrix:
    """Find the activations of known patterns: ``H`` with W fixed, a convex problem.

    Parameters
    ----------
    V : array, shape (n_bins, n_frames)
        Data, finite and ≥ 0. Not modified.
    templates : array, shape (n_lags, n_bins, n_components)
        W, finite and ≥ 0. Not modified.
    n_iter : int, default 60
        Iterations, 1 or more. Each carries what a frame holds no farther than ``n_lags - 1`` frames.
    activations : array, shape (n_components, n_frames), optional
        Where to start; what is 0 stays 0. Default: one level in all frames.
    n_threads : int, optional
        Threads; default: one for each core that this process may use.

    Returns
    -------
    ndarray, shape (n_components, n_frames)
        H, in the dtype of V.

    Raises
    ------
    ParameterError
        As in `fit`.
    """
    data = as_data(V, "V")
    check_whole("n_iter", n_iter, 1)
    given = as_start(templates, data, "templates", 3)
    started = as_start(activations, data, "activations")
    if given is None:
        raise ParameterError("templates are needed")
    if started is not None and len(started) != given.shape[2]:
        raise ParameterError(
            f"activations have {len(started)} components, templates {given.shape[2]}"
        )
    W, sums = _start_templates(given, given.shape, data.dtype, 0)
    data, scale = _levelled(data)
    H = _start_activations(started, data, sums, scale)
    free = np.zeros(len(H), bool)
    with _Updates(data, len(W), free, thread_count(n_threads)) as updates:
        for _ in range(n_iter):
            updates.iterate(W, H, templates=False)
    return (H * (scale / sums[:, None])).astype(data.dtype)


def model(templates: ArrayLike, activations: ArrayLike) -> Matrix:
    """Return what a factorisation says V is.

    Parameters
    ----------
    templates : array, shape (n_lags, n_bins, n_components)
        Patterns. Not modified. ``templates[:, :, some], activations[some]`` gives the part of some
        components.
    activations : array, shape (n_components, n_frames)
        Activations. Not modified.

    Returns
    -------
    ndarray, shape (n_bins, n_frames)
        In the wider type of the two, bins as neighbours (Fortran order).

    Raises
    ------
    ParameterError
        If values are negative or not finite, or the numbers of components differ.
    """
    W, H = as_data(templates, "templates", 3), as_data(activations, "activations")
    if len(H) != W.shape[2]:
        raise ParameterError(f"activations have {len(H)} components, templates {W.shape[2]}")
    n_lags, n_bins, n_components = W.shape
    rows = np.ascontiguousarray(W.transpose(0, 2, 1)).reshape(-1, n_bins)
    total = np.empty((H.shape[1], n_bins), np.result_type(W, H))
    copies = _copies(H, n_lags)
    for first in range(0, len(total), _BLOCK_FRAMES):
        block = slice(first, first + _BLOCK_FRAMES)
        columns = copies[block].reshape(-1, n_lags * n_components)
        np.matmul(columns, rows, out=total[block])
    return total.T


class _Updates:
    """The two updates for one V, in place; its buffers and threads. A context manager.

    It asks between blocks of frames whether to go on.
    """

    def __init__(
        self,
        V: Matrix,
        n_lags: int,
        free: Mask,
        n_threads: int,
        ask: Callable[[], None] = lambda: None,
    ) -> None:
        self._n_frames, self._free, self._open = V.shape[1], free, ExitStack()
        self._ask = ask
        stacked = np.ones(n_lags * len(free), bool)

        def kernel(data: Matrix) -> Updater:
            updater = make_updater(data, 1.0, n_threads, stacked, stacked)
            return self._open.enter_context(updater)

        # The last frames stay zero: what starts in the last frames of V and would sound after it.
        self._later = np.zeros((self._n_frames + n_lags - 1, n_lags, len(free)), V.dtype)
        self._over_frames = kernel(V)
        starts = range(0, self._n_frames, _BLOCK_FRAMES) if free.any() else ()
        self._blocks = [slice(i, i + _BLOCK_FRAMES) for i in starts]
        self._over_bins = [kernel(V[:, block].T) for block in self._blocks]

    def __enter__(self) -> _Updates:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def iterate(
        self, W: Matrix, H: Matrix, *, templates: bool = True, divergence: bool = False
    ) -> float:
        """Update H and, if asked to, W; return the divergence before, if asked for."""
        value = self._update_activations(W, H, divergence)
        if templates:
            self._update_templates(W, H)
        return value

    def _update_activations(self, W: Matrix, H: Matrix, divergence: bool) -> float:
        """Update H; return the divergence before."""
        n_lags, n_components, n_bins = W.shape
        now = self._later[: self._n_frames]
        now[...] = _copies(H, n_lags)
        value = self._over_frames.iterate(
            W.reshape(-1, n_bins),
            now.reshape(self._n_frames, -1),
            templates=False,
            divergence=divergence,
        )
        # Every copy came back with its own ratio; times its own denominator that is its numerator.
        under = W.sum(axis=2, dtype=np.float64)
        over = np.zeros((self._n_frames, n_components))
        for lag in range(n_lags):
            over += self._later[lag : lag + self._n_frames, lag] * under[lag]
        frames_left = np.arange(self._n_frames)[::-1]
        total = np.cumsum(under, axis=0)[np.minimum(frames_left, n_lags - 1)]
        H[...] = _divided(over, total).T
        return value

    def _update_templates(self, W: Matrix, H: Matrix) -> None:
        """Update the free components of W."""
        n_lags, _, n_bins = W.shape
        rows = _copies(H, n_lags).transpose(1, 2, 0).reshape(-1, self._n_frames)
        sums = np.stack([rows[:, block].sum(axis=1, dtype=np.float64) for block in self._blocks])
        shares = _divided(sums, sums.sum(axis=0)).astype(W.dtype)
        updated = np.zeros((n_bins, len(rows)), W.dtype)
        for block, share, updater in zip(self._blocks, shares, self._over_bins, strict=True):
            if block.start:
                self._ask()
            part = W.reshape(-1, n_bins).T.copy()
            updater.iterate(np.ascontiguousarray(rows[:, block]), part, templates=False)
            part *= share
            updated += part
        np.copyto(W, updated.T.reshape(W.shape), where=self._free[:, None])


def _start_templates(
    given: Matrix | None,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    seed: int | np.random.Generator,
) -> tuple[Matrix, NDArray[np.float64]]:
    """Return patterns (n_lags, n_components, n_bins) that sum to 1, and what those given summed to."""
    n_lags, n_bins, n_components = shape
    n_given = 0 if given is None else given.shape[2]
    if n_given > n_components:
        raise ParameterError(f"{n_given} templates are given for {n_components} components")
    if given is not None and n_given == n_components:
        W = given.transpose(0, 2, 1).astype(np.float64, order="C")
    else:
        W = np.abs(np.random.default_rng(seed).standard_normal((n_lags, n_components, n_bins)))
    if given is not None:
        W[:, :n_given] = given.transpose(0, 2, 1)
    sums = _sums(W)
    W /= sums[:, None]
    sums[n_given:] = 1
    return W.astype(dtype), sums


def _start_activations(
    given: Matrix | None, V: Matrix, sums: NDArray[np.float64], scale: float
) -> Matrix:
    """Return activations of patterns that sum to 1, for V with a factor taken out."""
    n_components, n_frames = len(sums), V.shape[1]
    n_given = 0 if given is None else len(given)
    if n_given > n_components:
        raise ParameterError(f"{n_given} activations are given for {n_components} components")
    level = V.sum(dtype=np.float64) / n_frames / n_components
    H = np.full((n_components, n_frames), level)
    if given is not None:
        H[:n_given] = given * (sums[:n_given, None] / scale)
    return H.astype(V.dtype)


def _levelled(V: Matrix) -> tuple[Matrix, float]:
    """Return V with a peak from 1 to 2, bins as neighbours, and the power of two taken out."""
    peak = float(V.max())
    scale = 2.0 ** np.floor(np.log2(peak)) if peak > 0 else 1.0
    levelled: Matrix = np.empty(V.shape[::-1], V.dtype).T
    np.divide(V, V.dtype.type(scale), out=levelled)
    return levelled, float(scale)


def _copies(H: Matrix, n_lags: int) -> Matrix:
    """Return a view (n_frames, n_lags, n_components): frame t holds those of t, t - 1, … in H."""
    padded = np.pad(H, ((0, 0), (n_lags - 1, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, n_lags, axis=1)
    return windows[:, :, ::-1].transpose(1, 2, 0)


def _sums(W: Matrix) -> NDArray[np.float64]:
    """Return the sum of each pattern of W (n_lags, n_components, n_bins), 1 for silent ones."""
    sums: NDArray[np.float64] = W.sum(axis=(0, 2), dtype=np.float64)
    sums[sums == 0] = 1
    return sums


def _divided(over: NDArray[np.float64], under: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the quotient, 0 where a component takes no part."""
    quotient = np.zeros(over.shape)
    np.divide(over, under, out=quotient, where=under > 0)
    return quotient
