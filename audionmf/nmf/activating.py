"""`activate` finds the activations of templates that are known: H in V ≈ WH with W fixed."""

from __future__ import annotations

from contextlib import nullcontext
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from audionmf.errors import ParameterError
from audionmf.nmf.checks import as_data, as_start, check_beta, check_whole, thread_count
from audionmf.nmf.newton import Curvature, Newton, curvature_of, suits
from audionmf.nmf.places import Updater
from audionmf.nmf.updates import make_updater
from audionmf.settings import CPU

__all__ = ["FrameActivator", "activate"]

Matrix = NDArray[np.floating[Any]]

_FLOOR = 1e-12
_ACTIVATE_FRAMES, _CARD_FRAMES = 2048, 16384


def activate(
    V: ArrayLike,
    templates: ArrayLike,
    *,
    beta: float = 1.0,
    n_iter: int = 40,
    activations: ArrayLike | None = None,
    penalties: ArrayLike | None = None,
    n_threads: int | None = None,
    device: str = CPU,
) -> Matrix:
    """Find the activations of known templates: ``H`` in V ≈ WH with W fixed.

    The problem is convex for 1 ≤ β ≤ 2 and every frame is independent of every other. The number of
    iterations is fixed, so that a frame's result does not depend on the frames it comes with. For
    β = 1 they are accelerated, with momentum that restarts in a frame where it goes uphill. Where
    there are 512 bins or more, neighbours of which are alike, and at most 48 components, 25
    iterations or more are half as many on pooled bins and then a fourteenth as many steps of
    Newton's method, which come as far in less time.

    Parameters
    ----------
    V : array, shape (n_bins, n_frames)
        Data, finite and ≥ 0. Not modified.
    templates : array, shape (n_bins, n_components)
        W, finite and ≥ 0. Not modified.
    beta : float, default 1
        Of the divergence.
    n_iter : int, default 40
        Iterations, 1 or more.
    activations : array, shape (n_components, n_frames), optional
        Where to start; what is 0 stays 0. Default: the same for all components, at the level of
        the frame.
    penalties : array, shape (n_components,), optional
        Weight of an L1 norm on the activations of each component, ≥ 0, that is added to the
        divergence; for β = 1. To be compared with the sum of the template.
    n_threads : int, optional
        Threads; default: one for each core that this process may use.
    device : str, default "cpu"
        As in `fit`.

    Returns
    -------
    ndarray, shape (n_components, n_frames)
        H, in the dtype of V.

    Raises
    ------
    ParameterError
        As in `fit`.

    References
    ----------
    O'Donoghue and Candès, "Adaptive restart for accelerated gradient schemes", Foundations of
    Computational Mathematics 15, 2015. Steps of Newton's method: see `newton`.
    """
    data = as_data(V, "V")
    check_whole("n_iter", n_iter, 1)
    check_beta(beta)
    W = as_start(templates, data, "templates")
    start = as_start(activations, data, "activations")
    if W is None:
        raise ParameterError("templates are needed")
    n_components = W.shape[1]
    if start is not None and start.shape[0] != n_components:
        raise ParameterError(
            f"activations have {start.shape[0]} components, templates {n_components}"
        )
    rows, sums = _level_templates(W)
    weights = _penalties(penalties, n_components, beta)
    if weights is not None:
        weights = weights / sums[:, 0]
    threads, step = thread_count(n_threads), _ACTIVATE_FRAMES if device == CPU else _CARD_FRAMES
    curved = beta == 1 and device == CPU and suits(rows, n_iter)
    curvature = curvature_of(rows, weights) if curved else None
    H = np.empty((n_components, data.shape[1]), data.dtype)
    for n_frames, firsts in groupby(
        range(0, data.shape[1], step), lambda first: min(step, data.shape[1] - first)
    ):
        with Newton(n_frames, curvature, threads) if curvature else nullcontext() as newton:
            for first in firsts:
                block = slice(first, first + n_frames)
                frames = np.asfortranarray(data[:, block])
                scales = _level_scales(frames)
                if start is None:
                    found = _level_start(frames, scales, rows)
                else:
                    found = np.ascontiguousarray((start[:, block] * sums / scales).T)
                if newton is None:
                    levelled = _level_frames(frames, scales, beta)
                    found = _updated(levelled, rows, found, n_iter, beta, threads, weights, device)
                else:
                    newton.activate(frames, scales, found, n_iter)
                H[:, block] = found.T * (scales / sums)
    return H


def _updated(
    frames: Matrix,
    rows: Matrix,
    found: Matrix,
    n_iter: int,
    beta: float,
    n_threads: int,
    weights: Matrix | None,
    device: str,
) -> Matrix:
    """Return activations (n_frames, n_components) after iterations on levelled frames."""
    free = np.ones(len(rows), bool)
    with make_updater(frames, float(beta), n_threads, free, free, weights, device) as updater:
        point = updater.taken(found)
        updater.activate(updater.taken(rows), point, n_iter)
        return updater.given(point, found)


class FrameActivator:
    """Finds what `activate` finds, for frames that come one at a time: templates are prepared once.

    Parameters
    ----------
    templates : array, shape (n_bins, n_components)
        W, finite and ≥ 0. Not modified.
    beta, n_iter, penalties
        As in `activate`.

    Raises
    ------
    ParameterError
        As in `activate`.
    """

    def __init__(
        self,
        templates: ArrayLike,
        *,
        beta: float = 1.0,
        n_iter: int = 40,
        penalties: ArrayLike | None = None,
    ) -> None:
        W = as_data(templates, "templates")
        check_whole("n_iter", n_iter, 1)
        check_beta(beta)
        self._beta, self._n_iter = float(beta), n_iter
        self._rows, self._sums = _level_templates(W)
        self._weights = _penalties(penalties, W.shape[1], beta)
        if self._weights is not None:
            self._weights = self._weights / self._sums[:, 0]
        self._frame: Matrix = np.zeros((len(W), 1), W.dtype, order="F")
        self._kernel = self._updater() if beta == 1 else None
        self._newton = None
        if beta == 1 and suits(self._rows, n_iter):
            self._newton = Newton(1, Curvature(self._rows, self._weights), 1)

    def activate(self, frame: Matrix) -> Matrix:
        """Find the activations of one frame.

        Parameters
        ----------
        frame : ndarray, shape (n_bins,), in the dtype of the templates
            Magnitudes, finite and ≥ 0. Not modified.

        Returns
        -------
        ndarray, shape (n_components,)
            Those that `activate` gives: for β = 1 bit by bit, otherwise but for rounding.
        """
        given = frame[:, None]
        scales = _level_scales(given)
        found = _level_start(given, scales, self._rows)
        if self._newton is not None:
            self._newton.activate(given, scales, found, self._n_iter)
        else:
            self._frame[:] = _level_frames(given, scales, self._beta)
            if self._kernel is not None:
                self._kernel.activate(self._rows, found, self._n_iter)
            else:
                with self._updater() as updater:
                    updater.activate(self._rows, found, self._n_iter)
        activations: Matrix = found[0] * (scales / self._sums)[:, 0]
        return activations

    def _updater(self) -> Updater:
        """Return what updates the activations of `_frame`, whatever it holds by then."""
        free = np.ones(len(self._rows), bool)
        return make_updater(self._frame, self._beta, 1, free, free, self._weights)


def _penalties(penalties: ArrayLike | None, n_components: int, beta: float) -> Matrix | None:
    if penalties is None:
        return None
    weights = np.asarray(penalties, np.float64)
    if beta != 1:
        raise ParameterError("penalties go with beta 1 only")
    if weights.shape != (n_components,) or not (np.isfinite(weights) & (weights >= 0)).all():
        raise ParameterError(f"penalties must be {n_components} finite numbers, 0 or more")
    return weights


def _level_scales(V: Matrix) -> Matrix:
    """Return powers of two (n_frames,) that frames are divided by, for peaks from 1 to 2.

    It makes the result independent of scale, frame by frame, and keeps it from denormal numbers.
    """
    peaks = V.max(axis=0)
    exponents = np.frexp(np.where(peaks > 0, peaks, 1))[1] - 1
    scales: Matrix = np.ldexp(V.dtype.type(1), exponents)
    return scales


def _level_frames(V: Matrix, scales: Matrix, beta: float) -> Matrix:
    """Return frames divided by their scales, bins as neighbours."""
    levelled: Matrix = np.empty(V.shape[::-1], V.dtype).T
    np.divide(V, scales, out=levelled)
    if beta <= 0:
        np.maximum(levelled, levelled.dtype.type(_FLOOR), out=levelled)
    return levelled


def _level_start(frames: Matrix, scales: Matrix, rows: Matrix) -> Matrix:
    """Return activations (n_frames, n_components) to start from: all the same in a frame."""
    total = float(rows.sum())
    level = frames.sum(axis=0) / scales / (total if total > 0 else np.inf)
    return np.repeat(level[:, None], len(rows), axis=1).astype(frames.dtype)


def _level_templates(W: Matrix) -> tuple[Matrix, Matrix]:
    """Return templates (n_components, n_bins) that sum to 1, and their sums (n_components, 1)."""
    sums = W.sum(axis=0, dtype=np.float64)
    sums[sums == 0] = 1
    return np.ascontiguousarray((W / sums).T, W.dtype), sums.astype(W.dtype)[:, None]
