"""Non-negative tensor factorisation: several channels share templates and activations.

V_c ≈ W diag(g_c) H for every channel c: a component sounds with the same spectrum at the same times
in all channels, and with a gain of its own in each. Where components stand in a stereo image follows
from the recording, and a component cannot be half of one instrument on the left and half of another
on the right.

With the channels stacked this is a matrix factorisation whose templates, channels × bins, have rank
one. A multiplicative update under the Kullback–Leibler divergence is a step of expectation
maximisation; its best templates of rank one are the products of the sums of its free templates over
bins and over channels. So one pass of the matrix form over the stacked data, followed by these sums,
is an update of gains, templates and activations, as fast for each channel as the matrix form.

References
----------
FitzGerald, Cranitch and Coyle, "Non-negative tensor factorisation for sound source separation", Irish
Signals and Systems Conference, 2005. Shashua and Hazan, "Non-negative tensor factorization with
applications to statistics and computer vision", ICML 2005. Cemgil, "Bayesian inference for
nonnegative matrix factorisation models", Computational Intelligence and Neuroscience, 2009.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from audionmf.errors import ParameterError
from audionmf.nmf.checks import (
    as_data,
    as_start,
    check_method,
    check_tolerance,
    check_whole,
    thread_count,
)
from audionmf.nmf.coarse import averaged, between, frames_summed
from audionmf.nmf.initialize import initialize
from audionmf.nmf.rank_one import make_rank_one
from audionmf.nmf.solver import LONG_ITER, Callback, Problem, Run, State, StopReason, in_range
from audionmf.settings import CPU

__all__ = ["NTF", "fit_channels"]

Matrix = NDArray[np.floating[Any]]

_FEWER, _FEWER_SHARE = 4, 0.7
"""How many frames are added up at first, for which share of the iterations."""
_FEWER_MIN_FRAMES, _FEWER_MIN_RATIO, _FEWER_MIN_ITER = 512, 32, 40
"""How many sums there are at least, on the whole and a component; least iterations."""


@dataclass(frozen=True, eq=False)
class NTF:
    """A factorisation V_c ≈ W diag(g_c) H.

    Parameters
    ----------
    gains : ndarray, shape (n_channels, n_components)
        g; columns sum to 1.
    templates : ndarray, shape (n_bins, n_components)
        W; columns sum to 1, but for silent ones.
    activations : ndarray, shape (n_components, n_frames)
        H, in the unit of V.
    divergence : ndarray, shape (n_evaluations,), float64
        At the start and after each iteration over all frames; it never rises.
    n_iter : int
        Iterations done.
    converged : bool
        True if the tolerance, or the precision of the type, was reached.
    reason : {"tolerance", "max_iter", "cancelled", "precision"}
        Why it stopped.
    """

    gains: Matrix
    templates: Matrix
    activations: Matrix
    divergence: NDArray[np.float64]
    n_iter: int
    converged: bool
    reason: StopReason

    def __repr__(self) -> str:
        (n_bins, n), n_frames = self.templates.shape, self.activations.shape[1]
        return (
            f"<NTF: {len(self.gains)} channels × {n_bins} bins × {n} components × {n_frames} frames, "
            f"{self.n_iter} iterations ({self.reason}), divergence {self.divergence[-1]:.6g}>"
        )


def fit_channels(
    V: ArrayLike,
    n_components: int,
    *,
    max_iter: int = 200,
    tol: float = 1e-4,
    method: str = "accelerated",
    seed: int | np.random.Generator = 0,
    gains: ArrayLike | None = None,
    templates: ArrayLike | None = None,
    activations: ArrayLike | None = None,
    callback: Callback | None = None,
    n_threads: int | None = None,
    device: str = CPU,
) -> NTF:
    """Factorise the channels of V with shared templates and activations, under β = 1.

    Parameters
    ----------
    V : array, shape (n_channels, n_bins, n_frames)
        Magnitudes, finite and ≥ 0; one channel is a plain factorisation. Not modified.
    n_components : int
        Components, 1 or more.
    max_iter, tol, seed, callback, n_threads, device
        As in `fit`.
    method : {"accelerated", "plain"}, default "accelerated"
        As in `fit`; with momentum on sums of four frames first, where there are 512 such and 32 for
        each component.
    gains : array, shape (n_channels, n_components), optional
        Gains to start from; default: all the same.
    templates : array, shape (n_bins, n_components), optional
        Templates to start from; what is 0 stays 0. Default: random.
    activations : array, shape (n_components, n_frames), optional
        Activations to start from; what is 0 stays 0. Default: random.

    Returns
    -------
    NTF
        Gains, templates, activations, how the divergence fell and why it stopped.

    Raises
    ------
    ParameterError
        If V or a start has negative or non-finite values or shapes that do not fit, or an option is
        out of its range.
    """
    tensor = as_data(V, "V", 3)
    check_whole("n_components", n_components, 1)
    check_whole("max_iter", max_iter, 0)
    check_tolerance(tol)
    check_method(method)
    n_channels, n_bins, n_frames = tensor.shape
    rows = np.ascontiguousarray(tensor.transpose(2, 0, 1)).reshape(n_frames, -1)
    data, scale = in_range(rows.T)
    pooled = tensor.sum(axis=0) / tensor.dtype.type(scale)
    W, H = initialize(pooled, n_components, "random", seed)
    W = _given(templates, W, "templates", pooled)
    if activations is not None:
        H = _given(activations, H, "activations", pooled) / H.dtype.type(scale)
    g = np.ones((n_channels, n_components)) if gains is None else as_data(gains, "gains")
    if g.shape != (n_channels, n_components):
        raise ParameterError(
            f"gains of shape {g.shape} do not fit {n_channels} channels and {n_components} "
            "components"
        )
    stacked = (g.T[:, :, None] * W.T[:, None, :]).reshape(n_components, -1)
    free = np.ones(n_components, bool)

    def constrain(templates: Matrix) -> None:
        make_rank_one(templates.reshape(n_components, n_channels, n_bins))

    problem = Problem(
        V=data, beta=1.0, free_W=free, free_H=free, max_iter=max_iter, tol=tol,
        accelerated=method == "accelerated", unit=scale, callback=callback,
        n_threads=thread_count(n_threads), constrain=constrain, device=device,
    )  # fmt: skip
    start = np.ascontiguousarray(stacked, data.dtype), np.ascontiguousarray(H.T)
    run = _solved(problem, *start)
    found = run.W.reshape(n_components, n_channels, n_bins)
    sums = found.sum(axis=(1, 2))
    level = np.where(sums > 0, sums, 1)[:, None]
    return NTF(
        gains=np.where(sums[:, None] > 0, found.sum(axis=2) / level, 1 / n_channels).T,
        templates=(found.sum(axis=1) / level).T,
        activations=(run.H * (sums * run.H.dtype.type(scale))).T,
        divergence=np.array(run.values) * scale,
        n_iter=run.n_iter,
        converged=run.reason in ("tolerance", "precision"),
        reason=run.reason,
    )


def _solved(problem: Problem, W: Matrix, H: Matrix) -> Run:
    """Solve, at first on sums of four frames where there are many: neighbours are nearly alike.

    If the divergence should then be higher than it was at the start, all of it is done on all frames.
    """
    V, max_iter, callback = problem.V, problem.max_iter, problem.callback
    n_few = round(_FEWER_SHARE * min(max_iter, LONG_ITER))
    least = max(_FEWER_MIN_FRAMES, _FEWER_MIN_RATIO * len(W))
    many = V.shape[1] // _FEWER >= least and max_iter >= _FEWER_MIN_ITER
    if not (many and problem.accelerated and (H > 0).all()):
        return problem.solve(W, H, coarse=False)
    begin = replace(problem, max_iter=0, callback=None).solve(W.copy(), H.copy(), coarse=False)
    sums = frames_summed(V, _FEWER)

    def told(n_done: int, *, coarse: bool) -> Callback | None:
        if callback is None:
            return None
        return lambda state: callback(
            State(n_done + state.iteration, max_iter, state.divergence, coarse)
        )

    few = replace(problem, V=sums, max_iter=n_few, callback=told(0, coarse=True))
    start = averaged(H, _FEWER, sums.shape[1]) * H.dtype.type(_FEWER)
    first = few.solve(W.copy(), start, coarse=False)
    left = 0 if first.reason == "cancelled" else max_iter - first.n_iter
    rest = replace(problem, max_iter=left, callback=told(first.n_iter, coarse=False))
    H_all = between(first.H / H.dtype.type(_FEWER), _FEWER, V.shape[1])
    run = rest.solve(first.W, H_all, coarse=False)
    if run.values[0] > begin.values[0]:
        if first.reason != "cancelled":
            return problem.solve(W, H, coarse=False)
        run = begin
    else:
        run.values.insert(0, begin.values[0])
        run.n_iter += first.n_iter
    if first.reason == "cancelled":
        run.reason = "cancelled"
    return run


def _given(start: ArrayLike | None, default: Matrix, name: str, data: Matrix) -> Matrix:
    given = as_start(start, data, name)
    if given is None:
        return default
    if given.shape != default.shape:
        raise ParameterError(f"{name} of shape {given.shape} do not fit {default.shape}")
    return given
