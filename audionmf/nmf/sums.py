"""One factorisation for whatever is known of each source: V as a sum of models, fitted together.

    V ≈ Σ_j V_j

Spectra alone, of any kind and number, are one dense product, and run on the fused kernel: one pass
over V an iteration. With other models among them (patterns, a voice) each phase takes the sum of all
parts, block by block of frames; the blocks' sums are added in their order, so that the number of
threads does not matter. What every model minimises is the same: the Kullback–Leibler divergence of V
from the sum, plus what models have to pay for their own parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from audionmf.errors import ParameterError
from audionmf.nmf.checks import as_data, check_tolerance, check_whole, thread_count
from audionmf.nmf.loop import Callback, StopReason, Watch, Workers, descend
from audionmf.nmf.models import PHASES, SourceModel, Spectra
from audionmf.nmf.places import Kernel, kernel_on
from audionmf.nmf.voice import Voice
from audionmf.settings import CPU
from audionmf.spectra.blas import blas_threads

__all__ = ["Fitted", "fit_sum"]

Matrix = NDArray[np.floating[Any]]

_BLOCK_FRAMES = 128
_FLOOR = 1e-20


@dataclass(frozen=True, eq=False)
class Fitted:
    """How a sum of models was fitted; what was found is in the models.

    Parameters
    ----------
    divergence : ndarray, shape (n_iter + 1,), float64
        Kullback–Leibler divergence of V from the sum, plus the L1 norms that penalties ask for, at
        the start and after each iteration; empty if it was not to be measured.
    n_iter : int
        Iterations done.
    reason : {"tolerance", "max_iter", "cancelled"}
        Why it stopped.
    """

    divergence: NDArray[np.float64]
    n_iter: int
    reason: StopReason


def fit_sum(
    V: ArrayLike,
    models: Sequence[SourceModel],
    *,
    max_iter: int = 50,
    tol: float = 0.0,
    measure: bool = True,
    accelerated: bool = False,
    carried: float = 0.0,
    n_threads: int | None = None,
    device: str = CPU,
    callback: Callback | None = None,
) -> Fitted:
    """Fit the models of all sources to V together, each by its own multiplicative updates.

    Parameters
    ----------
    V : array, shape (n_bins, n_frames)
        Data, finite and ≥ 0. Not modified.
    models : sequence of SourceModel
        The terms of the sum: `Spectra`, `Patterned`, `Voice`, or others of the same interface. They
        are moved in place.
    max_iter : int, default 50
        Most iterations; 0 measures the start.
    tol : float, default 0
        Stop when ten iterations together lower the divergence by less than this share of it; 0 runs
        them all.
    measure : bool, default True
        Compute the divergence, which `tol` needs, and which costs a logarithm an element.
    accelerated : bool, default False
        Carry all that moves on in the direction in which it came, with momentum; a step that leads
        uphill is taken back. Needs the divergence, and models without priors: `Spectra` themselves,
        `Patterned` and `Voice`.
    carried : float, default 0
        Most momentum, 0 to below 1, for spectra alone that are not measured, those with priors too:
        nothing is taken back, so it should stay well below 1. `as_far_as` tells how many iterations
        are enough then.
    n_threads : int, optional
        Threads; default: one for each core that this process may use. The result does not depend
        on it.
    device : str, default "cpu"
        As in `fit`: where spectra alone are fitted. What is measured, and other models, stay on the
        processor.
    callback : callable, optional
        As in `fit`; the divergence it is told is that before the iteration, NaN if it is not measured.

    Returns
    -------
    Fitted
        How the divergence fell. It never rises, unless a prior draws a model, as an equaliser is
        drawn to 1.

    Raises
    ------
    ParameterError
        If V has negative or non-finite values, there is no model, or options do not fit.

    Notes
    -----
    The sum of models is that of Ozerov, Vincent and Bimbot (IEEE TASLP 20(4), 2012) under the
    Kullback–Leibler divergence of magnitudes, each update that of Lee and Seung (NIPS 2000).
    """
    data = as_data(V, "V")
    check_whole("max_iter", max_iter, 0)
    check_tolerance(tol)
    if not models:
        raise ParameterError("a sum needs a model at least")
    if tol and not measure:
        raise ParameterError("a tolerance needs the divergence: leave measure on")
    if accelerated:
        _check_carried(models, measure)
    if carried and (measure or not all(isinstance(model, Spectra) for model in models)):
        raise ParameterError("momentum up to a bound is for spectra alone, and not measured")
    if not 0 <= carried < 1:
        raise ParameterError(f"momentum is carried on by 0 to below 1, not {carried}")
    scale = 2.0 ** np.floor(np.log2(float(data.max()) or 1.0))
    levelled = data if scale == 1 else data / data.dtype.type(scale)
    for model in models:
        model.scale(1 / scale)
    watch = Watch(max_iter, tol, scale, callback)
    dense = [model for model in models if isinstance(model, Spectra)]
    threads = thread_count(n_threads)
    if len(dense) < len(models):
        _fit_blocks(levelled, models, watch, measure, accelerated, threads)
    elif measure:
        _fit_measured(levelled, dense, watch, accelerated, threads)
    else:
        _fit_dense(levelled, dense, watch, threads, device, carried)
    for model in models:
        model.scale(scale)
    return Fitted(np.array(watch.values) * scale, watch.n_iter, watch.reason)


def _check_carried(models: Sequence[SourceModel], measure: bool) -> None:
    if not measure:
        raise ParameterError("momentum needs the divergence: leave measure on")
    for model in models:
        if not model.carried:
            raise ParameterError(
                f"{type(model).__name__} has a prior and goes without momentum: leave accelerated off"
            )


def _fit_dense(
    V: Matrix,
    models: Sequence[Spectra],
    watch: Watch,
    n_threads: int,
    device: str,
    carried: float = 0.0,
) -> None:
    """Fit spectra as one product, by the fused kernel or on a card."""
    together = _Together(V, models)
    free, learns = np.ones(together.H.shape[1], bool), any(model.free for model in models)
    with (
        blas_threads(1),  # its threads would wait beside the kernel's
        kernel_on(device, V, n_threads, free, free, together.penalties) as kernel,
    ):
        played = kernel.taken(together.H)

        def step() -> float:
            over, sums = kernel.sums(together.rows(), played, gather=learns)
            if over is not None and sums is not None:
                together.absorb(over, sums)
            return float("nan")

        descend(watch, step, momentum=_Steady(kernel, played, models, carried) if carried else None)
        kernel.given(played, together.H)


def _fit_measured(
    V: Matrix, models: Sequence[Spectra], watch: Watch, accelerated: bool, n_threads: int
) -> None:
    """Fit spectra as one product by the fused kernel, and measure the divergence in each pass."""
    from audionmf.nmf.kernels import KLKernel

    together = _Together(V, models)
    n_components = together.H.shape[1]
    free, learns = np.ones(n_components, bool), any(model.free for model in models)
    with KLKernel(V, n_components, n_threads, free, free, together.penalties) as kernel:

        def step() -> float:
            rows, H = together.rows(), together.H
            if not learns:
                return kernel.iterate(rows, H, templates=False, divergence=True)
            over, sums, before = kernel.sums_and_divergence(rows, H)
            together.absorb(over, sums)
            return before

        carried = [(together, "H"), *((model, "rows") for model in models if model.free)]
        descend(watch, step, momentum=_Carried(carried) if accelerated else None)
        copy = together.H.copy()
        watch.record(kernel.iterate(together.rows(), copy, templates=False, divergence=True))


class _Together:
    """Spectra side by side: their activations become columns of one array, which they keep."""

    def __init__(self, V: Matrix, models: Sequence[Spectra]) -> None:
        self._models, self._dtype = models, V.dtype
        every = [model.activations for model in models]
        self.H: Matrix = np.ascontiguousarray(
            every[0] if len(every) == 1 else np.concatenate(every, axis=1), V.dtype
        )
        edges = np.cumsum([0, *(len(model.rows) for model in models)]).tolist()
        self._columns = [slice(a, b) for a, b in pairwise(edges)]
        for model, columns in zip(models, self._columns, strict=True):
            model.activations = self.H[:, columns]
        self.penalties = np.concatenate([model.penalties for model in models])

    def rows(self) -> Matrix:
        effective = [model.effective() for model in self._models]
        joined = effective[0] if len(effective) == 1 else np.concatenate(effective)
        return np.ascontiguousarray(joined, self._dtype)

    def absorb(self, over: Matrix, sums: NDArray[np.float64]) -> None:
        for model, columns in zip(self._models, self._columns, strict=True):
            if model.free:
                model.absorb(over[columns], sums[columns])


class _Steady:
    """Momentum up to a bound for activations, where a kernel has them, and for what templates move by.

    It does not look back: bounded, it goes the way of plain updates in larger steps.
    """

    def __init__(self, kernel: Kernel, played: Any, models: Sequence[Spectra], most: float) -> None:
        self._kernel, self._played, self._most = kernel, played, most
        self._names = [(model, name) for model in models for name in model.moved]
        self._before: tuple[Any, list[Matrix]] | None = None

    def leap(self, b: float) -> None:
        """Extrapolate all of them."""
        if self._before is None:
            own = [getattr(model, name).copy() for model, name in self._names]
            self._before = deepcopy(self._played), own
            return
        # numba takes a third of a second to load: not before it is needed.
        from audionmf.nmf.kernels import extrapolate

        b = min(b, self._most)
        self._kernel.extrapolate(self._played, self._before[0], b)
        for (model, name), before in zip(self._names, self._before[1], strict=True):
            extrapolate(getattr(model, name), before, b)

    def back(self) -> None:
        """Stay: there is no divergence that could rise."""


def as_far_as(n_plain: int, carried: float) -> int:
    """Return how many iterations with momentum come as far as plain ones.

    A step with momentum b, which grows from 0 to its bound, counts for 1 / (1 - b) of them, as the sum
    of what it still carries on.

    Parameters
    ----------
    n_plain : int
        Plain iterations, 0 or more.
    carried : float
        Most momentum, as in `fit_sum`.
    """
    far, n = 0.0, 0
    while far < n_plain:
        far += 1 / (1 - min(carried, n / (n + 3)))
        n += 1
    return n


class _Carried:
    """Momentum for factors, each an attribute of some object."""

    def __init__(self, names: Sequence[tuple[Any, str]]) -> None:
        self._names = names
        self._before: list[Matrix] = []

    def leap(self, b: float) -> None:
        """Extrapolate all of them, from where they were before."""
        if not self._before:
            self._before = [getattr(owner, name).copy() for owner, name in self._names]
            return
        # numba takes a third of a second to load: not before it is needed.
        from audionmf.nmf.kernels import extrapolate

        for (owner, name), before in zip(self._names, self._before, strict=True):
            extrapolate(getattr(owner, name), before, b)

    def back(self) -> None:
        """Return all of them."""
        for (owner, name), before in zip(self._names, self._before, strict=True):
            getattr(owner, name)[...] = before


def _fit_blocks(
    V: Matrix,
    models: Sequence[SourceModel],
    watch: Watch,
    measure: bool,
    accelerated: bool,
    n_threads: int,
) -> None:
    """Fit models of all kinds, by blocks of frames."""
    blocks = [slice(a, a + _BLOCK_FRAMES) for a in range(0, V.shape[1], _BLOCK_FRAMES)]
    pieces = [(np.ascontiguousarray(V[:, block].T), block) for block in blocks]
    phases = [phase for phase in PHASES if any(model.moves(phase) for model in models)]
    runs = _runs(phases, models)
    with Workers(n_threads, watch) as workers:

        def step() -> float:
            before = float("nan")
            for run in runs:
                first = measure and run is runs[0]
                costs = sum(model.cost() for model in models) if first else 0.0
                found = workers.each(partial(_run_of_block, run, models, first), pieces)
                if first:
                    before = costs + sum(value for value, _ in found)
                moving = [model for model in models if model.moves(run[-1])]
                for j, model in enumerate(moving):
                    model.move(run[-1], [gathered[j] for _, gathered in found])
            return before

        carried = [(model, name) for model in models for name in model.carried]
        descend(watch, step, momentum=_Carried(carried) if accelerated else None)
        if measure:
            values = workers.each(partial(_value_of_block, models), pieces)
            watch.record(sum(values) + sum(model.cost() for model in models))


def _runs(phases: Sequence[str], models: Sequence[SourceModel]) -> list[list[str]]:
    """Return phases in runs: a block goes through one at once, as long as it waits for no other.

    Spectra and a voice move what changes from frame to frame by these frames alone.
    """
    runs: list[list[str]] = [[]]
    for phase in phases:
        runs[-1].append(phase)
        if any(model.moves(phase) and not isinstance(model, Spectra | Voice) for model in models):
            runs.append([])
    return [run for run in runs if run]


def _run_of_block(
    run: Sequence[str], models: Sequence[SourceModel], measure: bool, piece: tuple[Matrix, slice]
) -> tuple[float, list[Any]]:
    """Return the divergence of a block, and what the models that move last gather from it."""
    V, frames = piece
    value, gathered = float("nan"), []
    parts: list[tuple[Matrix, Any]] = [model.part(frames) for model in models]
    before = ""
    for phase in run:
        if before:
            parts = [
                _moved(model, frames, part) if model.moves(before) else part
                for model, part in zip(models, parts, strict=True)
            ]
        total = _total(V, [part for part, _ in parts])
        first = measure and not before
        mass = _sum(total) if first else float("nan")
        ratio = np.divide(V, total, out=total)
        if first:
            value = _divergence(V, ratio, mass)
        gathered = [
            model.gather(phase, frames, ratio, kept)
            for model, (_, kept) in zip(models, parts, strict=True)
            if model.moves(phase)
        ]
        before = phase
    return value, gathered


def _moved(model: SourceModel, frames: slice, part: tuple[Matrix, Any]) -> tuple[Matrix, Any]:
    """Return the part of a model that has moved in some frames since."""
    return model.part(frames, part[1]) if isinstance(model, Voice) else model.part(frames)


def _value_of_block(models: Sequence[SourceModel], piece: tuple[Matrix, slice]) -> float:
    V, frames = piece
    total = _total(V, [model.part(frames)[0] for model in models])
    mass = _sum(total)
    return _divergence(V, np.divide(V, total, out=total), mass)


def _total(V: Matrix, parts: Sequence[Matrix]) -> Matrix:
    """Return the sum of the parts, nowhere 0, as an array of its own."""
    floor, kind = V.dtype.type(_FLOOR), V.dtype
    if len(parts) == 1:
        return np.maximum(parts[0], floor, dtype=kind, casting="same_kind")
    total: Matrix = np.add(parts[0], parts[1], dtype=kind, casting="same_kind")
    for part in parts[2:]:
        total += part
    return np.maximum(total, floor, out=total)


def _sum(total: Matrix) -> float:
    """Return the sum over some frames: of each in its own type, of all in double precision."""
    ones = np.ones(total.shape[1], total.dtype)
    return float((total @ ones).sum(dtype=np.float64))


def _divergence(V: Matrix, ratio: Matrix, mass: float) -> float:
    """Return Σ V log(V / Σ) - V + Σ, with the ratio and the mass of the sum Σ."""
    logs = np.maximum(ratio, np.finfo(V.dtype).tiny)
    np.log(logs, out=logs)
    logs -= V.dtype.type(1)
    return float(np.einsum("tf,tf->t", V, logs).sum(dtype=np.float64)) + mass
