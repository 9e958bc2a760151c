"""Templates from frames that lie on several machines: only sums travel, never frames.

V = [V_1, V_2, …], a shard on each machine, which keeps its V_s and H_s. A round sends the templates
out and brings back, from every shard, what an update of them needs::

    H_s ← H_s · (Wᵀ (V_s / W H_s)) / Σ_f W          on the machines, nothing is sent
    N = Σ_s W · ((V_s / W H_s) H_sᵀ)                 (n_components, n_bins)
    S = Σ_s Σ_t H_s                                  (n_components,)
    W ← N / S

and the divergence with them. That is the update of all of V (`updates`), not an approximation of it,
and ``method="plain"`` is ``fit(V, method="plain")`` from the same start, to rounding. The
acceleration is like that of `fit`: a step of momentum before each update, which is taken back where
it raised the divergence. Momentum and "take it back" are one number and one bit for a shard, which
extrapolates its own H. So the messages are as large as W however long V is. Momentum ends at ½: more
gains little, and each step that is taken back hangs on the last bits of the divergence, from where
two paths part. Up to ½ the results for frames shared out in whatever way stay within 1e-4.

*Nor does rounding depend on the shards.* Each shard adds up its pieces, and the shards are added up,
in any order: before that, what one piece contributes is rounded to a grid, a multiple of a power of
two that is the same for all. Σ_k W_fk ((V / WH) Hᵀ)_fk is Σ_t V_ft, so that no sum exceeds what bin f
holds in all of V, and with a grid of 2⁻⁵² of that every addition in double precision is exact. Exact
sums know no order: as long as the pieces stay the same, results are identical to the last bit for
any number of shards, and for a shard that was lost and worked out again (`Shard.replay`).

The start knows no shards either: W0 at random from the seed; in H0 every component has the same
activation in a frame, such that the model has the sum of the frame.

References
----------
Liu, Yang, Fan, He and Wang, "Distributed nonnegative matrix factorization for web-scale dyadic data
analysis on MapReduce", WWW 2010. Sums that know no order: Demmel and Nguyen, "Fast reproducible
floating-point summation", ARITH 2013. Extrapolation: Ang and Gillis, Neural Computation 31(2), 2019.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

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
from audionmf.nmf.initialize import initialize
from audionmf.nmf.loop import Callback, Watch, descend
from audionmf.nmf.solver import NMF, _normalise

__all__ = [
    "Order",
    "Shard",
    "Sharded",
    "Start",
    "Sums",
    "Together",
    "fit_sharded",
    "fit_shards",
]

Matrix = NDArray[np.floating[Any]]
Vector = NDArray[np.float64]

_LOW, _HIGH = 2.0**-20, 2.0**20
_MOST_MOMENTUM = 0.5
_EXACT_BITS = 52
_DIVERGENCE_RANGE = 2.0**10
_PIECE_FRAMES = 2048


@dataclass(frozen=True, eq=False)
class Start:
    """What every shard is told once.

    Parameters
    ----------
    n_components : int
        Number of components.
    scale : float
        A power of two that V is divided by.
    template_sum : float
        Σ W0, which the first activations follow from.
    bin_grid : ndarray, shape (n_bins,), float64
        Grid for sums over the frames of each bin, after the division.
    """

    n_components: int
    scale: float
    template_sum: float
    bin_grid: Vector


@dataclass(frozen=True, eq=False)
class Order:
    """What every shard is told in a round.

    Parameters
    ----------
    number : int
        The round, from 1.
    templates : ndarray, shape (n_components, n_bins)
        W, one template a row.
    momentum : float
        How far activations are carried on before they are updated, 0 (not at all) to 1.
    undo : bool
        Take the round before back first.
    bin_grid : ndarray, shape (n_bins,), float64
        Grid for N.
    component_grid : ndarray, shape (n_components,), float64
        Grid for S.
    divergence_grid : float
        Grid for the divergence.
    """

    number: int
    templates: Matrix
    momentum: float
    undo: bool
    bin_grid: Vector
    component_grid: Vector
    divergence_grid: float


@dataclass(eq=False)
class Sums:
    """What comes back from a round: sums over frames, on the grid of the order.

    Parameters
    ----------
    numerators : ndarray, shape (n_components, n_bins), float64
        N = W · ((V / WH) Hᵀ).
    denominators : ndarray, shape (n_components,), float64
        S = Σ_t H.
    divergence : float
        Before the update.
    """

    numerators: Vector
    denominators: Vector
    divergence: float

    @classmethod
    def zeros(cls, n_components: int, n_bins: int) -> Sums:
        """Return the sums over no frames."""
        return cls(np.zeros((n_components, n_bins)), np.zeros(n_components), 0.0)

    def add(self, other: Sums) -> None:
        """Add other sums to these; exact, so that the order does not matter."""
        self.numerators += other.numerators
        self.denominators += other.denominators
        self.divergence += other.divergence


class Sharded(Protocol):
    """Frames, wherever they are: one shard, several, or those of a cluster."""

    def measure(self) -> tuple[int, Matrix]:
        """Return the number of frames and the peak of each bin, shape (n_bins,), typed like V."""

    def begin(self, start: Start) -> Vector:
        """Make the first activations; return the sum of each bin of V, on the grid."""

    def step(self, order: Order) -> Sums:
        """Update the activations; return the sums that an update of the templates needs."""

    def certify(self, order: Order) -> tuple[Sums, Vector, Vector]:
        """Return the sums as `step` does but keep the activations.

        With them, of each component, Σ_t H and the sum of what one update would change in H.
        """


class Shard:
    """Some of the frames, with their activations.

    Parameters
    ----------
    pieces : sequence of ndarray, shape (n_bins, any number of frames), float32 or float64
        The frames, finite and ≥ 0, all of one type, not modified. A piece is asked for once a round
        and may come from a disk; it is the unit of the sums. A length of 0 is fine.
    n_threads : int, default 1
        Threads. The result does not depend on it.
    """

    def __init__(self, pieces: Sequence[Matrix], n_threads: int = 1) -> None:
        self.pieces = pieces
        self.n_rounds = 0
        """Rounds done."""
        self._n_threads = n_threads
        self._lengths: list[int] = []
        self._scale = 1.0
        self._H: Matrix = np.empty((0, 0))
        self._previous: Matrix = np.empty((0, 0))
        self._last: Sums | None = None

    def measure(self) -> tuple[int, Matrix]:
        """Return the number of frames and the peak of each bin, shape (n_bins,)."""
        n_frames, peaks = 0, []
        for piece in self.pieces:
            n_frames += piece.shape[1]
            peaks.append(piece.max(axis=1))
        return n_frames, np.max(peaks, axis=0)

    def begin(self, start: Start) -> Vector:
        """Make the first activations; return the sum of each bin of V, on the grid."""
        self._scale, self.n_rounds, self._last = start.scale, 0, None
        self._lengths, levels = [], []
        bins = np.zeros_like(start.bin_grid)
        for piece in self._frames():
            self._lengths.append(piece.shape[1])
            levels.append(piece.sum(axis=0) / piece.dtype.type(start.template_sum))
            bins += _on_grid(piece.sum(axis=1, dtype=np.float64), start.bin_grid)
        self._H = np.repeat(np.concatenate(levels)[:, None], start.n_components, axis=1)
        self._previous = self._H.copy()
        return bins

    def step(self, order: Order) -> Sums:
        """Do one round; asked for the round that was done last, return its sums again.

        Raises
        ------
        ParameterError
            If it is not the turn of this round.
        """
        if order.number == self.n_rounds and self._last is not None:
            return self._last
        self._advance(order)
        self._last = self._sums(order, self._H)
        return self._last

    def replay(self, orders: Iterable[Order]) -> None:
        """Do rounds again that are past, for the activations alone; their sums are known.

        Raises
        ------
        ParameterError
            If it is not the turn of one of them.
        """
        for order in orders:
            self._advance(order)
            self._last = None
            for piece, H in zip(self._frames(), self._split(self._H), strict=True):
                with self._kernel(piece, order) as kernel:
                    kernel.sums(order.templates, H, gather=False)

    def certify(self, order: Order) -> tuple[Sums, Vector, Vector]:
        """Return the sums of a round that is not done, Σ_t H, and what it would change in H."""
        if order.undo:
            np.copyto(self._H, self._previous)
        after = self._H.copy()
        sums = self._sums(order, after)
        change = np.abs(after - self._H).sum(axis=0, dtype=np.float64)
        return sums, self._H.sum(axis=0, dtype=np.float64), change

    @property
    def activations(self) -> Matrix:
        """H, shape (n_components, n_frames), in the unit of V and for the templates as they were."""
        return self._H.T * self._H.dtype.type(self._scale)

    def _frames(self) -> Iterable[Matrix]:
        for piece in self.pieces:
            yield piece if self._scale == 1 else piece / piece.dtype.type(self._scale)

    def _split(self, H: Matrix) -> list[Matrix]:
        return np.split(H, np.cumsum(self._lengths)[:-1])

    def _kernel(self, piece: Matrix, order: Order) -> Any:
        from audionmf.nmf.kernels import KLKernel  # numba takes a third of a second to load

        free = np.ones(len(order.templates), bool)
        return KLKernel(piece, len(free), self._n_threads, free, free)

    def _advance(self, order: Order) -> None:
        from audionmf.nmf.kernels import extrapolate

        if order.number != self.n_rounds + 1:
            raise ParameterError(f"round {order.number} cannot follow round {self.n_rounds}")
        self.n_rounds = order.number
        if order.undo:
            np.copyto(self._H, self._previous)
        extrapolate(self._H, self._previous, order.momentum)

    def _sums(self, order: Order, H: Matrix) -> Sums:
        """Update activations in place, piece by piece, and add up what each contributes."""
        W, sums = order.templates, Sums.zeros(*order.templates.shape)
        for piece, h in zip(self._frames(), self._split(H), strict=True):
            with self._kernel(piece, order) as kernel:
                over, totals, divergence = kernel.sums_and_divergence(W, h)
            over = np.multiply(W, over, dtype=np.float64)
            sums.numerators += _on_grid(over, order.bin_grid)
            sums.denominators += _on_grid(totals, order.component_grid)
            sums.divergence += float(_on_grid(np.float64(divergence), order.divergence_grid))
        return sums


class Together:
    """Several shards as one.

    Parameters
    ----------
    shards : sequence of Sharded
        One or more.
    """

    def __init__(self, shards: Sequence[Sharded]) -> None:
        self._shards = shards

    def measure(self) -> tuple[int, Matrix]:
        """Return the number of frames and the peak of each bin, shape (n_bins,)."""
        counts, peaks = zip(*(shard.measure() for shard in self._shards), strict=True)
        return sum(counts), np.max(peaks, axis=0)

    def begin(self, start: Start) -> Vector:
        """Make the first activations; return the sum of each bin of V, on the grid."""
        bins: Vector = np.sum([shard.begin(start) for shard in self._shards], axis=0)
        return bins

    def step(self, order: Order) -> Sums:
        """Do one round in every shard."""
        sums = Sums.zeros(*order.templates.shape)
        for shard in self._shards:
            sums.add(shard.step(order))
        return sums

    def certify(self, order: Order) -> tuple[Sums, Vector, Vector]:
        """Return the sums of a round that is not done, Σ_t H, and what it would change in H."""
        sums = Sums.zeros(*order.templates.shape)
        before, change = np.zeros(len(order.templates)), np.zeros(len(order.templates))
        for shard in self._shards:
            found = shard.certify(order)
            sums.add(found[0])
            before += found[1]
            change += found[2]
        return sums, before, change


def fit_shards(
    shards: Sequence[ArrayLike],
    n_components: int,
    *,
    max_iter: int = 200,
    tol: float = 1e-4,
    method: str = "accelerated",
    seed: int | np.random.Generator = 0,
    templates: ArrayLike | None = None,
    callback: Callback | None = None,
    n_threads: int | None = None,
) -> NMF:
    """Factorise V = [V_1, V_2, …] ≈ WH for the KL divergence, with nothing but sums across shards.

    The result is that of one shard that holds all frames, to rounding: 1e-4 in templates and
    divergence, and to the last bit where the cuts stay the same: for whole recordings, say, on any
    number of machines. With ``method="plain"`` it is that of ``fit(V, method="plain")`` over the
    joined frames too, from the same start: random templates, those that `fit` has with the same
    `seed`, and activations that are, within a frame, the same for all components. (By default `fit`
    starts from random activations and from sums of frames: other templates, about as good.)

    Parameters
    ----------
    shards : sequence of array, shape (n_bins, any number of frames)
        The shards, finite and ≥ 0, not modified.
    n_components : int
        Components, 1 or more.
    max_iter, tol, callback, n_threads
        As in `fit`.
    method : {"accelerated", "plain"}, default "accelerated"
        "plain": multiplicative updates and nothing else. "accelerated": with a step of momentum
        before each, which is taken back where the divergence rose.
    seed : int or numpy.random.Generator, default 0
        For the random start.
    templates : array, shape (n_bins, n_components), optional
        Templates to start from.

    Returns
    -------
    NMF
        As `fit` returns it; the activations of the shards side by side.

    Raises
    ------
    ParameterError
        If there is no shard, one has negative or non-finite values or another number of bins, or an
        option is out of its range.
    """
    arrays = [as_data(V, f"shard {i}") for i, V in enumerate(shards, 1)]
    if not arrays:
        raise ParameterError("there are no shards")
    for i, V in enumerate(arrays, 1):
        if len(V) != len(arrays[0]):
            raise ParameterError(f"shard {i} has {len(V)} bins, the first has {len(arrays[0])}")
    dtype = np.result_type(*arrays)
    count = thread_count(n_threads)
    parts = [Shard(_pieces(V.astype(dtype, copy=False)), count) for V in arrays]
    model, factors = _learn(
        Together(parts), n_components, max_iter, tol, method, seed, templates, callback
    )
    H = np.concatenate([part.activations for part in parts], axis=1)
    return dataclasses.replace(model, activations=H * factors)


def fit_sharded(
    frames: Sharded,
    n_components: int,
    *,
    max_iter: int = 200,
    tol: float = 1e-4,
    method: str = "accelerated",
    seed: int | np.random.Generator = 0,
    templates: ArrayLike | None = None,
    callback: Callback | None = None,
) -> NMF:
    """Learn templates from frames that lie elsewhere; they are asked by the methods of `Sharded`.

    Parameters
    ----------
    frames : Sharded
        Who answers.
    n_components, max_iter, tol, method, seed, templates, callback
        As in `fit_shards`.

    Returns
    -------
    NMF
        As `fit` returns it, but with activations without frames, shape (n_components, 0): they stay
        where the frames are.

    Raises
    ------
    ParameterError
        If an option is out of its range.
    """
    return _learn(frames, n_components, max_iter, tol, method, seed, templates, callback)[0]


def _learn(
    frames: Sharded,
    n_components: int,
    max_iter: int,
    tol: float,
    method: str,
    seed: int | np.random.Generator,
    templates: ArrayLike | None,
    callback: Callback | None,
) -> tuple[NMF, Matrix]:
    """Return the model, and the factors that its activations are still to be multiplied by."""
    check_whole("n_components", n_components, 1)
    check_whole("max_iter", max_iter, 0)
    check_tolerance(tol)
    check_method(method)
    n_frames, peaks = frames.measure()
    W = _first_templates(peaks, n_components, seed, templates)
    scale = _scale(float(peaks.max()))
    most = n_frames * (peaks.astype(np.float64) / scale)
    bins = frames.begin(Start(n_components, scale, float(W.sum(dtype=np.float64)), _grid(most)))
    rounds = _Rounds(max_iter, tol, scale, callback, frames=frames, W=W, bins=bins)
    descend(rounds, rounds.step, momentum=rounds if method == "accelerated" else None)
    residual = rounds.certify()
    sums = np.ones((1, n_components), W.dtype)
    _normalise(rounds.W, sums)
    model = NMF(
        templates=rounds.W.T,
        activations=np.zeros((n_components, 0), W.dtype),
        divergence=np.array(rounds.values) * scale,
        evaluated=np.array(rounds.evaluated, np.int64),
        n_iter=rounds.n_iter,
        converged=rounds.reason in ("tolerance", "precision"),
        reason=rounds.reason,
        kkt_residual=residual,
        beta=1.0,
    )
    return model, sums.T


@dataclass(eq=False, kw_only=True)
class _Rounds(Watch):
    """The templates, how the divergence fell, and the rounds that did it: what `fit` does."""

    frames: Sharded
    W: Matrix
    bins: Vector
    number: int = 0
    momentum: float = 0.0
    undo: bool = False
    before: Matrix | None = None

    def step(self) -> float:
        """Do a round; return the divergence before it."""
        self.number += 1
        sums = self.frames.step(self._order(self.momentum))
        self.undo = False
        self.W = _updated(self.W, sums)
        return sums.divergence

    def leap(self, b: float) -> None:
        """Extrapolate the templates, and let the frames do so with their activations."""
        from audionmf.nmf.kernels import extrapolate

        self.momentum = min(b, _MOST_MOMENTUM)
        if self.before is None:
            self.before = self.W.copy()
        extrapolate(self.W, self.before, self.momentum)

    def back(self) -> None:
        """Return to the templates before, and let the frames do so with their activations."""
        if self.before is not None:
            np.copyto(self.W, self.before)
        self.undo = True

    def certify(self) -> float:
        """Evaluate the result; return how far one more update would carry it, as in `NMF`."""
        self.number += 1
        sums, before, change = self.frames.certify(self._order(0.0))
        self.record(sums.divergence)
        weights = self.W.sum(axis=1, dtype=np.float64)
        moved = np.abs(_updated(self.W, sums) - self.W).sum(axis=1, dtype=np.float64)
        return max(
            _share(change @ weights, before @ weights),
            _share(moved @ sums.denominators, weights @ sums.denominators),
        )

    def _order(self, momentum: float) -> Order:
        total = float(self.bins.sum())
        weights = self.W.sum(axis=1, dtype=np.float64)
        most = np.divide(total, weights, out=np.zeros_like(weights), where=weights > 0)
        return Order(
            self.number, self.W, momentum, self.undo, _grid(self.bins), _grid(most),
            float(_grid(np.float64(total * _DIVERGENCE_RANGE))),
        )  # fmt: skip


def _updated(W: Matrix, sums: Sums) -> Matrix:
    """Return N / S in the type of W; what is too small to be held becomes 0."""
    from audionmf.nmf.kernels import TINY

    divisors = np.where(sums.denominators > TINY, sums.denominators, np.inf)
    updated: Matrix = (sums.numerators / divisors[:, None]).astype(W.dtype)
    updated[updated < TINY] = 0
    return updated


def _share(part: float, whole: float) -> float:
    return float(part / whole) if whole > 0 else 0.0


def _first_templates(
    peaks: Matrix, n_components: int, seed: int | np.random.Generator, given: ArrayLike | None
) -> Matrix:
    """Return W0 (n_components, n_bins): those given, or those that `fit` starts from."""
    like = peaks[:, None]
    start = as_start(given, like, "templates")
    if start is None:
        start, _ = initialize(like, n_components, "random", seed)
    if start.shape[1] != n_components:
        raise ParameterError(f"{start.shape[1]} templates are given for {n_components} components")
    if not start.any():
        raise ParameterError("templates to start from must not all be silent")
    return np.ascontiguousarray(start.T)


def _scale(peak: float) -> float:
    """Return the power of two that brings a peak far from the limits of its type near 1."""
    in_range = peak == 0 or _LOW <= peak < _HIGH
    return 1.0 if in_range else float(2.0 ** np.floor(np.log2(peak)))


def _grid(most: Any) -> Any:
    """Return powers of two, multiples of which add up exactly as long as sums stay below `most`."""
    return np.ldexp(1.0, np.frexp(most)[1] + 1 - _EXACT_BITS)


def _on_grid(values: Any, grid: Any) -> Any:
    """Return the nearest multiples of `grid`."""
    return np.rint(values / grid) * grid


def _pieces(V: Matrix) -> list[Matrix]:
    return [V[:, i : i + _PIECE_FRAMES] for i in range(0, V.shape[1], _PIECE_FRAMES)]
