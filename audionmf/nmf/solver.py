"""`fit` finds templates and activations.

V ≈ WH, with V of shape (n_bins, n_frames), W (n_bins, n_components), H (n_components, n_frames).
Inside, both factors lie component by component and frame by frame: W (n_components, n_bins), H
(n_frames, n_components).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from audionmf.errors import ParameterError
from audionmf.nmf.checks import (
    as_data,
    as_start,
    check_beta,
    check_method,
    check_tolerance,
    check_whole,
    free_mask,
    thread_count,
)
from audionmf.nmf.coarse import (
    averaged,
    between,
    pyramid,
    row_groups,
    spread_rows,
)
from audionmf.nmf.initialize import INITS, initialize
from audionmf.nmf.loop import Callback, Factors, State, StopReason, Watch, descend
from audionmf.nmf.penalised import Penalised, Penalties
from audionmf.nmf.places import Updater
from audionmf.nmf.swaps import MISSED_PASSES, least_missed, swaps
from audionmf.nmf.updates import make_updater
from audionmf.settings import CPU
from audionmf.spectra.rows import rows_summed

__all__ = [
    "LONG_ITER",
    "NMF",
    "Callback",
    "Problem",
    "Run",
    "State",
    "StopReason",
    "fit",
    "thread_count",
]

Matrix = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]

_FLOOR = 1e-12
_GROUPS, _MANY_FRAMES = (128, 256, 512), 4000
_FEW, _MANY = (8, (0.3, 0.2, 0.1)), (16, (0.35, 0.25, 0.15))
"""Groups of rows on each level. How many frames are added up on the first, half as many on the next,
and the share of the iterations on each, where there are few frames and where there are many."""
_LEAST_ITER, _LEAST_ITER_MANY, _LEAST_FRAMES, _LEAST_RATIO = 100, 40, 300, 1.5
_PLAIN_FIRST, _SETTLING = 20, 10
_WARM = 8
"""Momentum that goes on after sums begins as if there had been so many steps."""
LONG_ITER, _MOST_PLAIN = 200, 30
"""What has more iterations than the first is learnt from sums for no longer than what has so many:
sums for hundreds of iterations end in worse minima. So does momentum from the first on: what is learnt
from sums begins with 20 plain updates, a long run with up to 30."""
_SWAP_LEVEL, _SWAP_ITER, _TRIAL_ITER, _N_SWAPS = -1, 40, 60, 2
"""Long runs swap components: on the sums of which level, how many iterations a trial has there and on
all of V, and how many of the best are tried there."""


@dataclass(frozen=True, eq=False)
class NMF:
    """A factorisation V ≈ WH.

    Parameters
    ----------
    templates : ndarray, shape (n_bins, n_components)
        W. Columns sum to 1 if all were free to change, but for silent ones.
    activations : ndarray, shape (n_components, n_frames)
        H, in the unit of V.
    divergence : ndarray, shape (n_evaluations,), float64
        Divergence at the start and after each evaluated iteration; the last one is that of the
        result. It never rises.
    evaluated : ndarray, shape (n_evaluations,), int
        The iterations after which it was evaluated; the first is 0.
    n_iter : int
        Iterations done, those on sums of frames included.
    converged : bool
        True if the tolerance, or the precision of the type, was reached.
    reason : {"tolerance", "max_iter", "cancelled", "fixed", "precision"}
        Why it stopped.
    kkt_residual : float
        How far the result is from a stationary point: the relative change that one more plain
        update would make, the larger of that of W and of H. For β = 1 it is Σ x |g| / Σ x d, with g
        the gradient and d the denominator of the update: 0 where the Karush–Kuhn–Tucker conditions
        hold for all that is positive.
    beta : float
        Of the divergence.
    passes : float
        How often the iterations went over V, tries that were taken back and the evaluations at the
        ends included: an iteration on every eighth frame with half the rows is a sixteenth. It makes
        work comparable between machines. NaN where it is not counted.
    """

    templates: Matrix
    activations: Matrix
    divergence: NDArray[np.float64]
    evaluated: NDArray[np.int64]
    n_iter: int
    converged: bool
    reason: StopReason
    kkt_residual: float
    beta: float
    passes: float = float("nan")

    def __repr__(self) -> str:
        (n_bins, n), n_frames = self.templates.shape, self.activations.shape[1]
        last = f", divergence {self.divergence[-1]:.6g}" if len(self.divergence) else ""
        return (
            f"<NMF: {n_bins} bins × {n} components × {n_frames} frames, {self.n_iter} iterations"
            f" ({self.reason}){last}>"
        )

    @property
    def n_components(self) -> int:
        """Number of components."""
        return int(self.templates.shape[1])


def fit(
    V: ArrayLike,
    n_components: int,
    *,
    beta: float = 1.0,
    max_iter: int = 200,
    tol: float = 1e-4,
    method: str = "accelerated",
    coarse: bool = True,
    init: str = "random",
    seed: int | np.random.Generator = 0,
    templates: ArrayLike | None = None,
    activations: ArrayLike | None = None,
    fixed_templates: bool | ArrayLike = False,
    fixed_activations: bool | ArrayLike = False,
    penalties: Penalties | None = None,
    callback: Callback | None = None,
    n_threads: int | None = None,
    device: str = CPU,
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
        Stop when ten iterations together lower the divergence by less than this share of it. 0
        runs all iterations.
    method : {"accelerated", "plain"}, default "accelerated"
        "plain": multiplicative updates and nothing else. "accelerated": the same updates from
        extrapolated points; a point with a higher divergence is taken back, so that it never
        rises. Of more than 200 iterations up to 30 are plain ones first.
    coarse : bool, default True
        Accelerated updates begin on sums, where that is worth it: where V has more than 512 rows, and
        300 frames, 12 a component, and 100 iterations or more (from 4000 frames on, 24 and 40). 0.6 of
        the iterations, of 200 at most, are on sums of eight, four and two neighbouring frames (from
        4000 on 0.75, on 16, 8 and 4), with rows that hold little added up, too; not where activations
        are given that are 0 where V is not, or fit better than one component would. Of more than 200
        iterations, after so many and again at the end, components that are missed least are tried in
        other places, where the model lacks more, and stay there if the divergence is lower (`swaps`);
        not where given templates hold a 0. So a template may end far from the one that was given.
        False: all are on V itself, where strokes and starts of notes are not blurred at first, and
        every component stays what it is.
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
    penalties : Penalties, optional
        What activations are drawn to, for β = 1: sparse, smooth in time, or exclusive ones. The
        updates are then plain ones, and ``divergence`` is the objective with the penalties.
    callback : callable, optional
        Called with a `State` after each iteration; returning True cancels the rest. Other models than
        V ≈ WH, which come block by block of frames, call it within an iteration too, where that takes
        more than a second.
    n_threads : int, optional
        Threads, 1 or more; default: one for each core that this process may use. The result does
        not depend on it.
    device : str, default "cpu"
        Where to compute: "cpu", the machine code of this package; "cuda" or "cuda:1", …, a graphics
        card by PyTorch, the extra ``gpu``; "torch", PyTorch on the processor, to try it. Results agree
        but for rounding.

    Returns
    -------
    NMF
        Templates, activations, how the divergence fell, why it stopped and how well it converged.

    Raises
    ------
    ParameterError
        If V or a start has negative or non-finite values or shapes that do not fit, or an option is
        out of its range.

    References
    ----------
    Lee and Seung, "Algorithms for non-negative matrix factorization", NIPS 2000. Févotte and Idier,
    "Algorithms for nonnegative matrix factorization with the β-divergence", Neural Computation
    23(9), 2011. Extrapolation with a safeguard: Ang and Gillis, "Accelerating nonnegative matrix
    factorization algorithms using extrapolation", Neural Computation 31(2), 2019; Hien, Leplat and
    Gillis, "Block majorization minimization with extrapolation and application to β-NMF", 2024.
    """
    data = as_data(V, "V")
    check_whole("n_components", n_components, 1)
    check_whole("max_iter", max_iter, 0)
    check_tolerance(tol)
    check_method(method)
    check_beta(beta)
    data, scale = in_range(data, beta)
    given = (as_start(templates, data, "templates"), as_start(activations, data, "activations"))
    W, H = _start(data, n_components, init, seed, given, scale)
    problem = Problem(
        V=data,
        beta=float(beta),
        free_W=free_mask(fixed_templates, given[0], n_components, "fixed_templates"),
        free_H=free_mask(fixed_activations, given[1], n_components, "fixed_activations"),
        max_iter=max_iter,
        tol=tol,
        accelerated=method == "accelerated",
        unit=scale**beta,
        callback=callback,
        n_threads=thread_count(n_threads),
        device=device,
    )
    if penalties is not None and penalties.any:
        run = problem.solve_penalised(W, H, penalties)
    else:
        coarse = coarse and (given[1] is None or problem.far(W, H))
        run = problem.solve(W, H, coarse=coarse)
    if problem.free_W.all() and problem.free_H.all():
        _normalise(run.W, run.H)
    return NMF(
        templates=run.W.T,
        activations=(run.H * run.H.dtype.type(scale)).T,
        divergence=np.array(run.values) * scale**beta,
        evaluated=np.array(run.evaluated, np.int64),
        n_iter=run.n_iter,
        converged=run.reason in ("tolerance", "precision"),
        reason=run.reason,
        kkt_residual=run.residual,
        beta=float(beta),
        passes=run.passes,
    )


@dataclass(kw_only=True)
class Run(Watch):
    """Where the iterations are."""

    W: Matrix
    H: Matrix
    residual: float = float("nan")
    passes: float = 0.0

    def end(self, divergence: float, W: Matrix, H: Matrix) -> None:
        """Note the divergence of the result, and how far one more update carries it: to W and H."""
        self.record(divergence)
        change_H = _relative_change(self.H, H, self.W.sum(axis=1, dtype=np.float64))
        change_W = _relative_change(self.W.T, W.T, H.sum(axis=0, dtype=np.float64))
        self.residual = max(change_H, change_W)


@dataclass(frozen=True, eq=False)
class _Sums:
    """V with frames and rows added up: `levels`, the coarsest first, and with rows alone, in `rows`.

    `groups` are the first rows of the groups of each level, `steps` how many frames are one there,
    `shares` those of the iterations, and `totals` the sum of each row of V.
    """

    totals: NDArray[np.float64]
    groups: list[NDArray[np.int64]]
    steps: list[int]
    shares: tuple[float, ...]
    levels: list[Matrix]
    rows: Matrix


@dataclass(frozen=True)
class Problem:
    """What `fit` was asked for, V with its peak near 1.

    `constrain` brings templates, in place, to the form that a model asks for, where that is the best
    of this form for the sums that an update went by; the divergence then still never rises.
    """

    V: Matrix
    beta: float
    free_W: Mask
    free_H: Mask
    max_iter: int
    tol: float
    accelerated: bool
    unit: float
    callback: Callback | None
    n_threads: int
    constrain: Callable[[Matrix], None] | None = None
    device: str = CPU

    def solve(self, W: Matrix, H: Matrix, *, coarse: bool) -> Run:
        """Iterate from W (n_components, n_bins) and H (n_frames, n_components), in place."""
        run = self._run(W, H)
        moving = self.free_W.any() or self.free_H.any()
        sums = self._sums() if coarse and self._worth_sums() else None
        start = self._start_coarse(run, sums) if sums else None
        if not moving:
            run.reason = "fixed"
        elif run.reason != "cancelled":
            # what is 0 in given templates is to stay so
            swapping = start and self.max_iter > LONG_ITER and (start[0] > 0).all()
            self._iterate(run, self.V, LONG_ITER if swapping else self.max_iter, start)
            if sums and swapping:
                self._swap(run, sums)
                self._iterate(run, self.V, self.max_iter)
                while self._swap(run, sums):
                    self._iterate(run, self.V, self.max_iter)
        self._certify(run)
        return run

    def solve_penalised(self, W: Matrix, H: Matrix, penalties: Penalties) -> Run:
        """Iterate under penalties on the activations, by plain updates."""
        if self.beta != 1:
            raise ParameterError("penalties go with beta 1 only")
        if self.device != CPU:
            raise ParameterError("penalties are computed by the processor: leave device at 'cpu'")
        sums = W.sum(axis=1)
        sums[sums == 0] = 1
        run = self._run(W / sums[:, None], H * sums)
        templates = bool(self.free_W.any())
        run.passes = float("nan")
        with Penalised(self.V, penalties, self.free_W, self.free_H, self.n_threads) as fit:
            if templates or self.free_H.any():
                descend(run, Factors(fit, run.W, run.H, templates=templates).step)
            else:
                run.reason = "fixed"
            W, H = run.W.copy(), run.H.copy()
            run.end(fit.iterate(W, H, templates=templates), W, H)
        run.W, run.H = run.W * sums[:, None], run.H / sums
        return run

    def far(self, W: Matrix, H: Matrix) -> bool:
        """Tell whether given activations are so far from V that those of sums may take their place.

        That is where none is 0, since 0 stays 0, but in silent frames, and on some frames the model is
        worse than one component would be.
        """
        if not self._worth_sums():
            return False
        silent = ~(H > 0).all(axis=1)
        if silent.any() and self.V[:, silent].any():
            return False
        step, _ = self._plan
        frames = self.V[:, ::step]
        edges = row_groups(frames.sum(axis=1, dtype=np.float64), _GROUPS[0])
        pooled = rows_summed(frames, edges)
        given = self._run(np.add.reduceat(W, edges, axis=1), np.ascontiguousarray(H[::step]))
        total = max(pooled.sum(dtype=np.float64), _FLOOR)
        shares = (pooled.sum(axis=1, dtype=np.float64) / total).astype(pooled.dtype)
        one = self._run(shares[None], pooled.sum(axis=0)[:, None])
        return self._divergence(given, pooled) > self._divergence(one, pooled)

    @property
    def _plan(self) -> tuple[int, tuple[float, ...]]:
        return _MANY if self.V.shape[1] >= _MANY_FRAMES else _FEW

    def _worth_sums(self) -> bool:
        n_rows, n_frames = self.V.shape
        return bool(
            self.accelerated
            and self.free_W.all()
            and self.free_H.all()
            and self.constrain is None
            and self.max_iter >= (_LEAST_ITER_MANY if n_frames >= _MANY_FRAMES else _LEAST_ITER)
            and n_rows > _GROUPS[-1]
            and n_frames >= max(_LEAST_FRAMES, _LEAST_RATIO * self._plan[0] * len(self.free_W))
        )

    def _sums(self) -> _Sums:
        totals = self.V.sum(axis=1, dtype=np.float64)
        groups = [row_groups(totals, n) for n in _GROUPS]
        coarsest, shares = self._plan
        steps = [coarsest >> i for i in range(len(_GROUPS))]
        levels, rows = pyramid(self.V, groups, steps)
        return _Sums(totals, groups, steps, shares, levels, rows)

    def _start_coarse(self, run: Run, of: _Sums) -> tuple[Matrix, Matrix]:
        """Learn from sums of frames and rows first: neighbouring frames are nearly alike.

        A sum of frames, and one of rows, is as good a Poisson variable as a frame. Rows are added up
        the more the less they hold. Returns where it started, to go back to if the divergence of all
        of V should be higher than it was.
        """
        start = (run.W, run.H)
        run.record(self._divergence(run))
        W, H = run.W, averaged(run.H, of.steps[0], of.levels[0].shape[1])
        for sums, edges, step, share in zip(of.levels, of.groups, of.steps, of.shares, strict=True):
            level = self._run(np.add.reduceat(W, edges, axis=1), H * H.dtype.type(step))
            level.n_iter, level.passes, level.coarse = run.n_iter, run.passes, True
            n_most = run.n_iter + round(share * min(self.max_iter, LONG_ITER))
            self._iterate(level, sums, n_most, n_plain=_PLAIN_FIRST)
            W, H = spread_rows(level.W, edges, of.totals), level.H / H.dtype.type(step)
            run.n_iter, run.passes = level.n_iter, level.passes
            if level.reason == "cancelled":
                run.reason = "cancelled"
                break
            if step > of.steps[-1]:
                H = between(H, 2, -(-2 * self.V.shape[1] // step))
        H = between(H, step, self.V.shape[1])
        run.W, run.H = (np.where(a > 0, b, 0) for a, b in zip(start, (W, H), strict=True))
        if run.reason != "cancelled":
            self._settle(run, of)
        elif self._divergence(run) > run.values[-1]:
            run.W, run.H = start
        return start

    def _swap(self, run: Run, of: _Sums) -> bool:
        """Put components that are hardly missed where more is left, as long as that helps.

        Tell whether any was.
        """
        swapped = False
        while run.reason != "cancelled" and run.n_iter + _TRIAL_ITER <= self.max_iter:
            if not any(self._helps(run, trial, of) for trial in self._best_swaps(run, of)):
                break
            swapped = True
        return swapped

    def _helps(self, run: Run, trial: Run, of: _Sums) -> bool:
        """Iterate on a trial; where it comes below the run, the run goes on from there."""
        self._settle(trial, of)
        self._iterate(trial, self.V, trial.n_iter + _TRIAL_ITER)
        run.passes += trial.passes
        helps = bool(trial.values) and trial.values[-1] < run.values[-1]
        if helps:
            run.W, run.H, run.n_iter = trial.W, trial.H, trial.n_iter
            run.record(trial.values[-1])
        if helps or trial.reason == "cancelled":
            run.reason = "max_iter" if trial.reason != "cancelled" else trial.reason
        return helps or run.reason == "cancelled"

    def _best_swaps(self, run: Run, of: _Sums) -> list[Run]:
        """Return the swaps that help most on sums, brought to all frames: two at most."""
        V, edges, step = of.levels[_SWAP_LEVEL], of.groups[_SWAP_LEVEL], of.steps[_SWAP_LEVEL]
        W = np.add.reduceat(run.W, edges, axis=1)
        H = averaged(run.H, step, V.shape[1]) * run.H.dtype.type(step)
        with self._updater(V, np.zeros_like(self.free_W), self.free_H) as updater:
            order = least_missed(updater, W, H)
        run.passes += MISSED_PASSES * len(W) * V.size / self.V.size
        found: list[Run] = []
        for start in ((W, H), *swaps(V, W, H, order)):
            trial = self._run(*start)
            trial.n_iter, trial.coarse = run.n_iter, True
            self._iterate(trial, V, run.n_iter + _SWAP_ITER, n_plain=run.n_iter)
            run.passes += trial.passes
            if trial.reason == "cancelled":
                run.reason = "cancelled"
                return []
            found.append(trial)
        helping = [trial for trial in found[1:] if trial.values[-1] < found[0].values[-1]]
        helping.sort(key=lambda trial: trial.values[-1])
        return [self._on_all_frames(trial, run.n_iter, of) for trial in helping[:_N_SWAPS]]

    def _on_all_frames(self, trial: Run, n_iter: int, of: _Sums) -> Run:
        step = of.steps[_SWAP_LEVEL]
        H: Matrix = trial.H / trial.H.dtype.type(step)
        while step > 1:
            step //= 2
            H = between(H, 2, -(-self.V.shape[1] // step))
        brought = self._run(spread_rows(trial.W, of.groups[_SWAP_LEVEL], of.totals), H)
        brought.n_iter = n_iter
        return brought

    def _settle(self, run: Run, of: _Sums) -> None:
        """Find activations of single frames, on sums of rows, before templates move again."""
        rows, edges = of.rows, of.groups[0]
        with self._updater(rows, np.zeros_like(self.free_W), self.free_H) as updater:
            W, H = updater.taken(np.add.reduceat(run.W, edges, axis=1)), updater.taken(run.H)
            updater.activate(W, H, _SETTLING)
            run.H = updater.given(H, run.H)
        run.passes += _SETTLING / 2 * rows.size / self.V.size

    def _divergence(self, run: Run, V: Matrix | None = None) -> float:
        """Return the divergence of a V, all of it unless another is given."""
        V = self.V if V is None else V
        none = np.zeros(len(run.W), bool)
        with self._updater(V, none, none) as updater:
            point = updater.taken(run.W), updater.taken(run.H)
            run.passes += V.size / self.V.size
            return updater.iterate(*point, templates=False, divergence=True)

    def _updater(self, V: Matrix, free_W: Mask, free_H: Mask) -> Updater:
        return make_updater(V, self.beta, self.n_threads, free_W, free_H, device=self.device)

    def _run(self, W: Matrix, H: Matrix) -> Run:
        return Run(self.max_iter, self.tol, self.unit, self.callback, W=W, H=H)

    def _iterate(
        self,
        run: Run,
        V: Matrix,
        n_most: int,
        start: tuple[Matrix, Matrix] | None = None,
        n_plain: int = 0,
    ) -> None:
        """Iterate on a V; from `start` instead where the divergence is higher than it was there."""
        if run.reason != "max_iter":
            return
        with self._updater(V, self.free_W, self.free_H) as updater:
            steps = Factors(
                updater, updater.taken(run.W), updater.taken(run.H),
                templates=bool(self.free_W.any()), constrain=self.constrain,
                extrapolate=updater.extrapolate,
            )  # fmt: skip

            def instead() -> None:
                if start:
                    steps.W[...], steps.H[...] = updater.taken(start[0]), updater.taken(start[1])

            n_plain = max(n_plain, min(_MOST_PLAIN, self.max_iter - LONG_ITER))
            try:
                descend(
                    run, steps.step, momentum=steps if self.accelerated else None, n_plain=n_plain,
                    n_most=n_most, instead=instead if start else None,
                    age=_WARM if run.n_iter > n_plain else 0,
                )  # fmt: skip
            finally:
                run.W, run.H = updater.given(steps.W, run.W), updater.given(steps.H, run.H)
                run.passes += steps.n_passes * V.size / self.V.size

    def _certify(self, run: Run) -> None:
        """Evaluate the result, and see how far one more plain update would carry it."""
        W, H = run.W.copy(), run.H.copy()
        with self._updater(self.V, self.free_W, self.free_H) as updater:
            point = updater.taken(W), updater.taken(H)
            value = updater.iterate(*point, templates=bool(self.free_W.any()), divergence=True)
            W, H = updater.given(point[0], W), updater.given(point[1], H)
        run.passes += 1
        run.end(value, W, H)


def _relative_change(before: Matrix, after: Matrix, weights: NDArray[np.float64]) -> float:
    """Return Σ |after - before| w / Σ before w, one weight a column."""
    total = float(before.sum(axis=0, dtype=np.float64) @ weights)
    change = float(np.abs(after - before).sum(axis=0, dtype=np.float64) @ weights)
    return change / total if total > 0 else 0.0


def _normalise(W: Matrix, H: Matrix) -> None:
    """Make templates sum to 1, in place; silent ones stay."""
    sums = W.sum(axis=1)
    sums[sums == 0] = 1
    W /= sums[:, None]
    H *= sums


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
    all_given = templates is not None and activations is not None and (
        templates.shape[1] == len(activations) == n_components
    )  # fmt: skip
    if all_given and init in INITS:
        W, H = np.empty_like(templates), np.empty_like(activations)
    else:
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


def in_range(data: Matrix, beta: float = 1.0) -> tuple[Matrix, float]:
    """Return data whose peak is far from the limits of its type, and the factor that was taken out.

    A power of two, so that nothing is rounded. For β = 1 and 2, where a level passes through the
    updates without rounding, data that is in range already is not copied.
    """
    peak = float(data.max())
    scale = 1.0
    low, high = (2.0**-20, 2.0**20) if beta in (1, 2) else (1.0, 2.0)
    if peak > 0 and not low <= peak < high:
        scale = 2.0 ** np.floor(np.log2(peak))
        data = data / data.dtype.type(scale)
    if beta <= 0:
        floor = _FLOOR * float(data.max()) or _FLOOR
        data = np.maximum(data, data.dtype.type(floor))
    return data, float(scale)
