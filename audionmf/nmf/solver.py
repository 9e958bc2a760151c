"""`fit` finds templates and activations, `activate` activations for templates that are known.

V ≈ WH, with V of shape (n_bins, n_frames), W (n_bins, n_components), H (n_components, n_frames).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from audionmf.errors import ParameterError
from audionmf.nmf.initialize import initialize
from audionmf.nmf.updates import Workers, multiply, sweep

__all__ = ["NMF", "State", "activate", "fit", "thread_count"]

Matrix = NDArray[np.floating[Any]]
StopReason = Literal["tolerance", "max_iter", "cancelled", "fixed"]

_RELATIVE_FLOOR = 1e-12


@dataclass(frozen=True, eq=False)
class NMF:
    """A factorisation V ≈ WH.

    Parameters
    ----------
    templates : ndarray, shape (n_bins, n_components)
        W. Columns sum to 1, but for those that were given and fixed and those that are silent.
    activations : ndarray, shape (n_components, n_frames)
        H, in the unit of V.
    divergence : ndarray, shape (n_evaluations,), float64
        Divergence at the start and after each evaluated iteration; the last one is that of the
        result.
    evaluated : ndarray, shape (n_evaluations,), int
        The iterations after which it was evaluated; the first is 0.
    n_iter : int
        Iterations done.
    converged : bool
        True if the tolerance was reached.
    reason : {"tolerance", "max_iter", "cancelled", "fixed"}
        Why it stopped.
    beta : float
        Of the divergence.
    """

    templates: Matrix
    activations: Matrix
    divergence: NDArray[np.float64]
    evaluated: NDArray[np.int64]
    n_iter: int
    converged: bool
    reason: StopReason
    beta: float

    @property
    def n_components(self) -> int:
        """Number of components."""
        return int(self.templates.shape[1])


@dataclass(frozen=True)
class State:
    """What a callback of `fit` is told after each iteration.

    Parameters
    ----------
    iteration : int
        Iterations done.
    max_iter : int
        Most iterations.
    divergence : float
        The last evaluated divergence.
    """

    iteration: int
    max_iter: int
    divergence: float


def fit(
    V: ArrayLike,
    n_components: int,
    *,
    beta: float = 1.0,
    max_iter: int = 200,
    tol: float = 1e-4,
    init: str = "random",
    seed: int | np.random.Generator = 0,
    templates: ArrayLike | None = None,
    activations: ArrayLike | None = None,
    fixed_templates: bool | ArrayLike = False,
    fixed_activations: bool | ArrayLike = False,
    evaluate_every: int = 10,
    callback: Callable[[State], bool | None] | None = None,
    n_threads: int | None = None,
) -> NMF:
    """Factorise V ≈ WH by multiplicative updates that lower a β-divergence.

    Parameters
    ----------
    V : array, shape (n_bins, n_frames)
        Data, finite and ≥ 0. float32 and float64 are kept, other real types become float64. Any
        memory order; fastest with the bins of a frame as neighbours (Fortran order), as the STFT of
        this package hands it out. Not modified.
    n_components : int
        Components, 1 or more; may exceed both sides of V.
    beta : float, default 1
        2 Euclidean, 1 Kullback–Leibler, 0 Itakura–Saito, and any other real number.
    max_iter : int, default 200
        Most iterations; one updates H, then W. 0 returns the start.
    tol : float, default 1e-4
        Stop when an iteration gains less than this share of the first divergence, on average since
        the last evaluation. 0 runs all iterations.
    init : {"random", "nndsvd", "nndsvda"}, default "random"
        The start of what is not given; see `initialize`.
    seed : int or numpy.random.Generator, default 0
        For the random start.
    templates : array, shape (n_bins, k), optional
        Templates to start from. With ``k < n_components`` they are the first ones, the others start
        as `init` says.
    activations : array, shape (k, n_frames), optional
        Activations to start from, likewise.
    fixed_templates : bool or mask of shape (n_components,) or (k,), default False
        Templates that are kept as they are: all of those given (True), or those marked.
    fixed_activations : bool or mask of shape (n_components,) or (k,), default False
        Activations that are kept as they are, likewise.
    evaluate_every : int, default 10
        Iterations from one evaluation of the divergence, and test of `tol`, to the next.
    callback : callable, optional
        Called with a `State` after each iteration; returning True cancels the rest.
    n_threads : int, optional
        Threads, 1 or more; default: one for each core that this process may use. The result does
        not depend on it.

    Returns
    -------
    NMF
        Templates, activations, and how the divergence fell.

    Raises
    ------
    ParameterError
        If V or a start has negative or non-finite values or shapes that do not fit, or an option is
        out of its range.

    References
    ----------
    Lee and Seung, "Algorithms for non-negative matrix factorization", NIPS 2000. Févotte and Idier,
    "Algorithms for nonnegative matrix factorization with the β-divergence", Neural Computation
    23(9), 2011.
    """
    data = _data(V, "V")
    _check_whole("n_components", n_components, 1)
    _check_whole("max_iter", max_iter, 0)
    _check_whole("evaluate_every", evaluate_every, 1)
    if not 0 <= tol <= 1:
        raise ParameterError(f"tol must be a number from 0 to 1, not {tol!r}")
    data, scale = _in_range(data, beta)
    given = (_given(templates, data, "templates"), _given(activations, data, "activations"))
    W, H = _start(data, n_components, init, seed, given, scale)
    free_W = _free(fixed_templates, given[0], n_components, "fixed_templates")
    free_H = _free(fixed_activations, given[1], n_components, "fixed_activations")
    loop = _Loop(
        data.T,
        W,
        H,
        float(beta),
        free_W,
        free_H,
        max_iter,
        tol,
        evaluate_every,
        callback,
    )
    with Workers.start(thread_count(n_threads)) as workers:
        reason = loop.run(workers)
    if free_W.all() and free_H.all():
        sums = W.sum(axis=1)
        W /= np.where(sums > 0, sums, 1)[:, None]
        H *= np.where(sums > 0, sums, 1)
    return NMF(
        templates=W.T,
        activations=(H * H.dtype.type(scale)).T,
        divergence=np.array(loop.values) * scale**beta,
        evaluated=np.array(loop.evaluated),
        n_iter=loop.n_iter,
        converged=reason == "tolerance",
        reason=reason,
        beta=float(beta),
    )


def activate(
    V: ArrayLike,
    templates: ArrayLike,
    *,
    beta: float = 1.0,
    n_iter: int = 60,
    activations: ArrayLike | None = None,
    n_threads: int | None = None,
) -> Matrix:
    """Find the activations of known templates: ``H`` in V ≈ WH with W fixed.

    The problem is convex for 1 ≤ β ≤ 2 and every frame is independent of every other. The number of
    iterations is fixed, so that a frame's result does not depend on the frames it comes with.

    Parameters
    ----------
    V : array, shape (n_bins, n_frames)
        Data, finite and ≥ 0. Not modified.
    templates : array, shape (n_bins, n_components)
        W, finite and ≥ 0. Not modified.
    beta : float, default 1
        Of the divergence.
    n_iter : int, default 60
        Iterations, 1 or more.
    activations : array, shape (n_components, n_frames), optional
        Where to start; what is 0 stays 0. Default: the same for all components, at the level of
        the frame.
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
    data = _data(V, "V")
    _check_whole("n_iter", n_iter, 1)
    W = _given(templates, data, "templates")
    start = _given(activations, data, "activations")
    if W is None:
        raise ParameterError("templates are needed")
    if start is not None and start.shape[0] != W.shape[1]:
        raise ParameterError(
            f"activations have {start.shape[0]} components, templates {W.shape[1]}"
        )
    frames, scales = _level_frames(data.T, beta)
    if start is None:
        level = frames.sum(axis=1, keepdims=True) / max(float(W.sum()), np.finfo(W.dtype).tiny)
        H = np.repeat(level, W.shape[1], axis=1).astype(frames.dtype)
    else:
        H = np.ascontiguousarray(start.T / scales)
    transposed = np.ascontiguousarray(W.T)
    with Workers.start(thread_count(n_threads)) as workers:
        for _ in range(n_iter):
            sweep(
                frames,
                transposed,
                H,
                float(beta),
                workers,
                templates=False,
                floor=_RELATIVE_FLOOR,
            )
    result: Matrix = (H * scales).T
    return result


@dataclass
class _Loop:
    """The iterations of `fit`, in the layout of the updates: V and H frame by frame."""

    V: Matrix
    W: Matrix
    H: Matrix
    beta: float
    free_W: NDArray[np.bool_]
    free_H: NDArray[np.bool_]
    max_iter: int
    tol: float
    evaluate_every: int
    callback: Callable[[State], bool | None] | None
    n_iter: int = 0

    def __post_init__(self) -> None:
        self.values: list[float] = []
        self.evaluated: list[int] = []
        self._floor = _RELATIVE_FLOOR * float(self.V.max(initial=0)) or _RELATIVE_FLOOR

    def run(self, workers: Workers) -> StopReason:
        reason = self._iterate(workers)
        if not self.evaluated or self.evaluated[-1] != self.n_iter:
            last = sweep(
                self.V,
                self.W,
                self.H,
                self.beta,
                workers,
                free_activations=False,
                templates=False,
                divergence=True,
                floor=self._floor,
            )
            self._record(last.divergence)
        return reason

    def _iterate(self, workers: Workers) -> StopReason:
        if not (self.free_W.any() or self.free_H.any()):
            return "fixed"
        while self.n_iter < self.max_iter:
            evaluate = self.n_iter % self.evaluate_every == 0
            sums = sweep(
                self.V,
                self.W,
                self.H,
                self.beta,
                workers,
                free_activations=self.free_H,
                templates=bool(self.free_W.any()),
                divergence=evaluate,
                floor=self._floor,
            )
            if sums.numerator is not None and sums.denominator is not None:
                updated = multiply(self.W, sums.numerator, sums.denominator, self.beta)
                np.copyto(self.W, updated, where=self.free_W[:, None])
            if evaluate and self._reached(sums.divergence):
                self.n_iter += 1
                return "tolerance"
            self.n_iter += 1
            if self.callback and self.callback(State(self.n_iter, self.max_iter, self.values[-1])):
                return "cancelled"
        return "max_iter"

    def _record(self, divergence: float) -> None:
        self.values.append(divergence)
        self.evaluated.append(self.n_iter)

    def _reached(self, divergence: float) -> bool:
        """Record the divergence before this iteration; tell whether the tolerance is reached."""
        self._record(divergence)
        if len(self.values) < 2:
            return False
        gain = self.values[-2] - self.values[-1]
        return gain < self.tol * self.values[0] * self.evaluate_every


def _start(
    data: Matrix,
    n_components: int,
    init: str,
    seed: int | np.random.Generator,
    given: tuple[Matrix | None, Matrix | None],
    scale: float,
) -> tuple[Matrix, Matrix]:
    """Return W (n_components, n_bins) and H (n_frames, n_components), copies, C-contiguous."""
    templates, activations = given
    for name, start, size in (
        ("templates", templates, templates.shape[1] if templates is not None else 0),
        ("activations", activations, activations.shape[0] if activations is not None else 0),
    ):
        if start is not None and size > n_components:
            raise ParameterError(f"{size} {name} are given for {n_components} components")
    W, H = initialize(data, n_components, init, seed)
    if templates is not None:
        W[:, : templates.shape[1]] = templates
        _balance(W, templates.shape[1])
        if activations is None:
            _match_level(data, W, H)
    if activations is not None:
        H[: activations.shape[0]] = activations / scale
    return np.ascontiguousarray(W.T), np.ascontiguousarray(H.T)


def _balance(W: Matrix, n_given: int) -> None:
    """Give the templates that start at random the mean sum of those that are given."""
    given, started = W[:, :n_given].sum(axis=0), W[:, n_given:].sum(axis=0)
    if started.size and started.sum() > 0:
        W[:, n_given:] *= given.mean() / started.mean()


def _match_level(data: Matrix, W: Matrix, H: Matrix) -> None:
    """Scale random activations so that the model with given templates has the sum of the data."""
    model = float(W.sum(axis=0, dtype=np.float64) @ H.sum(axis=1, dtype=np.float64))
    if model > 0:
        H *= H.dtype.type(data.sum(dtype=np.float64) / model)


def _data(V: ArrayLike, name: str) -> Matrix:
    array = np.asarray(V)
    if array.dtype.kind not in "fiub":
        raise ParameterError(f"{name} must be real numbers, not {array.dtype}")
    if array.dtype not in (np.float32, np.float64):
        array = array.astype(np.float64)
    if array.ndim != 2 or 0 in array.shape:
        raise ParameterError(
            f"{name} must be a matrix that is not empty, not of shape {array.shape}"
        )
    low, high = float(array.min()), float(array.max())
    if not (low >= 0 and np.isfinite(high)):
        raise ParameterError(f"{name} must be finite and 0 or more; it spans {low} to {high}")
    return array


def _given(start: ArrayLike | None, data: Matrix, name: str) -> Matrix | None:
    if start is None:
        return None
    array = _data(start, name).astype(data.dtype)
    axis = 0 if name == "templates" else 1
    if array.shape[axis] != data.shape[axis]:
        what = "bins" if axis == 0 else "frames"
        raise ParameterError(f"{name} have {array.shape[axis]} {what}, V has {data.shape[axis]}")
    return array


def _free(
    fixed: bool | ArrayLike, given: Matrix | None, n_components: int, name: str
) -> NDArray[np.bool_]:
    """Return the mask of what may change, from an option that says what is kept."""
    n_given = 0 if given is None else min(given.shape[0 if "act" in name else 1], n_components)
    mask = np.asarray(fixed, bool)
    free = np.ones(n_components, bool)
    if mask.ndim == 0:
        if mask and given is None:
            raise ParameterError(f"{name} needs {name.removeprefix('fixed_')} to keep")
        free[:n_given] = not mask
        return free
    if mask.shape not in ((n_components,), (n_given,)):
        raise ParameterError(
            f"{name} must be True, False or a mask over the {n_components} components, "
            f"not of shape {mask.shape}"
        )
    if mask[n_given:].any():
        raise ParameterError(f"{name} marks components whose values are not given")
    free[: len(mask)] = ~mask
    return free


def _in_range(data: Matrix, beta: float) -> tuple[Matrix, float]:
    """Return data whose peak is far from the limits of its type, and the factor that was taken out.

    A power of two, so that nothing is rounded; the data itself where it is in range already.
    """
    peak = float(data.max())
    scale = 1.0
    if peak > 0 and not 2.0**-20 <= peak <= 2.0**20:
        scale = 2.0 ** np.floor(np.log2(peak))
        data = data / data.dtype.type(scale)
    if beta <= 0:
        floor = _RELATIVE_FLOOR * float(data.max()) or _RELATIVE_FLOOR
        data = np.maximum(data, data.dtype.type(floor))
    return data, float(scale)


def _level_frames(frames: Matrix, beta: float) -> tuple[Matrix, Matrix]:
    """Return frames with peaks from 1 to 2, and the power of two taken out of each.

    It makes the result independent of scale, frame by frame, and keeps it from denormal numbers.
    """
    peaks = frames.max(axis=1, keepdims=True).astype(np.float64)
    scales = np.where(peaks > 0, 2.0 ** np.floor(np.log2(np.where(peaks > 0, peaks, 1))), 1.0)
    levelled = (frames / scales).astype(frames.dtype)
    if beta <= 0:
        levelled = np.maximum(levelled, levelled.dtype.type(_RELATIVE_FLOOR))
    return levelled, scales.astype(frames.dtype)


def _check_whole(name: str, value: int, low: int) -> None:
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < low:
        raise ParameterError(f"{name} must be a whole number, {low} or more, not {value!r}")


def thread_count(n_threads: int | None) -> int:
    """Return `n_threads`, or for None the number of cores that this process may use."""
    if n_threads is not None:
        _check_whole("n_threads", n_threads, 1)
        return n_threads
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
