"""Templates from data that does not fit in memory: learnt from one batch of frames after the other.

V = [V_1, V_2, …]. With the templates W found so far, and B for how much each has played, a batch V_b
gives activations H_b, and new templates and weights::

    A = ρ B W + W · ((V_b / W H_b) H_bᵀ)        B ← ρ B + Σ_t H_b        W ← A / B

which is the update of all of V (`updates`) but that earlier batches are represented by the sums they
left, as in incremental EM, and that these fade by ρ with each batch. Because W = A / B, a template
and its weight are all that has to be kept: memory holds one batch, W, B, and the sample below.

Music comes in order, and templates that start on its first seconds have found their places when the
rest arrives. Where V can be gone through more than once, a first pass therefore takes a sample of
frames, evenly from all of V, and the templates start from a fit of that; what the sample missed, the
passes over all frames add.

References
----------
Lefèvre, Bach and Févotte, "Online algorithms for nonnegative matrix factorization with the
Itakura-Saito divergence", WASPAA 2011. Mairal, Bach, Ponce and Sapiro, "Online learning for matrix
factorization and sparse coding", Journal of Machine Learning Research 11, 2010. Neal and Hinton, "A
view of the EM algorithm that justifies incremental, sparse, and other variants", 1998.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from audionmf.errors import ParameterError
from audionmf.nmf.checks import as_data, as_start, check_tolerance, check_whole, thread_count
from audionmf.nmf.initialize import INITS
from audionmf.nmf.solver import NMF, StopReason, _start, fit, in_range

__all__ = ["BatchLearner", "StreamState", "fit_stream"]

Matrix = NDArray[np.floating[Any]]
Batches = Callable[[], Iterable[ArrayLike]] | Iterable[ArrayLike]
StreamCallback = Callable[["StreamState"], bool | None]

_EPOCHS = 3
_ACTIVATION_ITER = 10
_FLOOR = 1e-6


@dataclass(frozen=True)
class StreamState:
    """What a callback of `fit_stream` is told after each batch.

    Parameters
    ----------
    epoch : int
        The pass, from 1; 0 in the one that takes the sample.
    n_epochs : int
        Most passes that learn.
    batch : int
        The batch of this pass, from 1.
    n_frames : int
        Frames of this pass so far.
    divergence : float
        Of the frames of this pass so far, each batch with the templates right after it was learnt;
        NaN in the pass that takes the sample.
    """

    epoch: int
    n_epochs: int
    batch: int
    n_frames: int
    divergence: float


def fit_stream(
    batches: Batches,
    n_components: int,
    *,
    n_epochs: int | None = None,
    tol: float = 1e-3,
    forget: float = 0.1,
    inner_iter: int = 10,
    sample_frames: int = 2048,
    init: str = "random",
    seed: int | np.random.Generator = 0,
    templates: ArrayLike | None = None,
    callback: StreamCallback | None = None,
    n_threads: int | None = None,
) -> NMF:
    """Learn the templates of a V that does not fit in memory, for the KL divergence (β = 1).

    Memory holds one batch with its activations, the templates and at most `sample_frames` frames.
    The activations of all of V are not kept; `activate` finds them again batch by batch.

    Parameters
    ----------
    batches : callable, or iterable of array, shape (n_bins, any number of frames)
        The frames of V in batches, finite and ≥ 0, not modified. A callable is called without
        arguments for each pass and returns an iterable over all of V. An iterable is gone through
        once, so that there is no sample and one epoch: good templates then need a V that is long or
        whose frames come in no order. Batches need not be equally long; longer ones do better (200
        frames or more). The first says the dtype. A silent batch changes nothing.
    n_components : int
        Components, 1 or more.
    n_epochs : int, optional
        Most passes that learn, 1 or more. Default: 3 for a callable, 1 for an iterable. A callable
        is called once more, before them, for the sample.
    tol : float, default 1e-3
        Stop when a pass lowers the divergence by less than this share of it. 0 does all passes.
    forget : float, default 0.1
        What is left, from 0 to 1, of what was learnt after as many frames as were seen so far, at
        most one pass, have come again. 1 forgets nothing, 0 all but the last batch.
    inner_iter : int, default 10
        Updates of templates and activations for each batch, 1 or more, after ten of the activations
        alone.
    sample_frames : int, default 2048
        Most frames in the sample that the templates start from, evenly from all of V. With 0, and
        for an iterable, they start from `init` on the first batch that is not silent.
    init : {"random", "nndsvd", "nndsvda"}, default "random"
        The start, of the templates that are not given; see `initialize`.
    seed : int or numpy.random.Generator, default 0
        For the random start.
    templates : array, shape (n_bins, k), optional
        Templates to start from. With ``k < n_components`` they are the first ones. What is 0 stays
        0; other bins never become 0, so that a sound that comes late can still be learnt.
    callback : callable, optional
        Called with a `StreamState` after each batch; returning True cancels the rest.
    n_threads : int, optional
        Threads, 1 or more; default: one for each core that this process may use. The result does
        not depend on it.

    Returns
    -------
    NMF
        ``templates`` that sum to 1 (0 if all of V is silent); ``activations`` without frames, shape
        (n_components, 0); ``divergence`` of each whole pass, every batch with the templates right
        after it was learnt, so that it may rise and is a little below that of all of V with the
        result; ``evaluated`` and ``n_iter`` in batches learnt; ``converged`` if `tol` was reached;
        ``kkt_residual`` NaN, as it would need one more pass.

    Raises
    ------
    ParameterError
        If a batch has negative or non-finite values or another number of bins, a pass has no
        batches, an iterable is to be gone through more than once, or an option is out of its range.

    References
    ----------
    Lefèvre, Bach and Févotte, "Online algorithms for nonnegative matrix factorization with the
    Itakura-Saito divergence", WASPAA 2011.
    """
    check_whole("sample_frames", sample_frames, 0)
    check_tolerance(tol)
    learner = BatchLearner(
        n_components,
        forget=forget,
        inner_iter=inner_iter,
        init=init,
        seed=seed,
        templates=templates,
        n_threads=n_threads,
    )
    source, most = _source(batches, n_epochs)
    passes = _Passes(learner, source, most, tol, callback)
    if callable(batches) and sample_frames:
        passes.sample(sample_frames)
    reason = passes.learn()
    return NMF(
        templates=learner.templates,
        activations=np.zeros((n_components, 0), learner.templates.dtype),
        divergence=np.array(passes.values, np.float64),
        evaluated=np.array(passes.evaluated, np.int64),
        n_iter=passes.n_learnt,
        converged=reason == "tolerance",
        reason=reason,
        kkt_residual=float("nan"),
        beta=1.0,
    )


class BatchLearner:
    """Templates that follow one batch after the other. It holds arrays only, and pickles.

    Parameters
    ----------
    n_components, forget, inner_iter, init, seed, templates, n_threads
        As in `fit_stream`.
    """

    def __init__(
        self,
        n_components: int,
        *,
        forget: float = 0.1,
        inner_iter: int = 10,
        init: str = "random",
        seed: int | np.random.Generator = 0,
        templates: ArrayLike | None = None,
        n_threads: int | None = None,
    ) -> None:
        check_whole("n_components", n_components, 1)
        check_whole("inner_iter", inner_iter, 1)
        if not 0 <= forget <= 1:
            raise ParameterError(f"forget must be a number from 0 to 1, not {forget!r}")
        if init not in INITS:
            raise ParameterError(f"init must be one of {', '.join(INITS)}, not {init!r}")
        self.n_components = n_components
        self._forget, self._inner_iter = forget, inner_iter
        self._init, self._seed = init, seed
        self._given = None if templates is None else np.array(templates)
        self._n_threads = thread_count(n_threads)
        self._n_bins: int | None = None
        self._dtype: np.dtype[Any] = np.dtype(np.float64)
        self._n_frames = 0
        self._memory: int | None = None
        self._W: Matrix | None = None
        self._weights = np.zeros(n_components)
        self._floor: Matrix = np.zeros(())

    @property
    def templates(self) -> Matrix:
        """W, shape (n_bins, n_components), columns sum to 1; 0 before the first sound."""
        if self._W is None:
            return np.zeros((self._n_bins or 0, self.n_components), self._dtype)
        return self._W.T.copy()

    def check(self, V: ArrayLike, name: str = "V") -> Matrix:
        """Return a batch as a matrix in the type of the first one, or refuse it by its name.

        Parameters
        ----------
        V : array, shape (n_bins, n_frames)
            The next batch.
        name : str, default "V"
            What an error calls it.

        Returns
        -------
        ndarray, shape (n_bins, n_frames)
            The batch, copied only where its type does not fit.

        Raises
        ------
        ParameterError
            If it has negative or non-finite values, or not as many bins as the first one.
        """
        data = as_data(V, name)
        if self._n_bins is None:
            as_start(self._given, data, "templates")
            self._n_bins, self._dtype = data.shape[0], data.dtype
        if data.shape[0] != self._n_bins:
            raise ParameterError(f"{name} has {data.shape[0]} bins, the first had {self._n_bins}")
        if data.dtype != self._dtype:
            with np.errstate(over="ignore"):  # what becomes infinite is refused
                data = as_data(data.astype(self._dtype), name)
        return data

    def start(self, sample: Matrix, n_frames: int, max_iter: int = 200) -> None:
        """Start from a fit of a sample.

        Parameters
        ----------
        sample : ndarray, shape (n_bins, n_sampled)
            Frames from all of V.
        n_frames : int
            Frames of V, which the sample stands for.
        max_iter : int, default 200
            Most iterations of the fit.
        """
        model = fit(
            sample,
            self.n_components,
            max_iter=max_iter,
            init=self._init,
            seed=self._seed,
            templates=self._given,
            n_threads=self._n_threads,
        )
        self.resume(model, n_frames)

    def resume(self, model: NMF, n_frames: int) -> None:
        """Go on from a model as if it had been learnt from `n_frames` frames like its own.

        Parameters
        ----------
        model : NMF
            Templates and activations.
        n_frames : int
            How many frames it stands for.
        """
        self._n_bins, self._dtype = model.templates.shape[0], model.templates.dtype
        weights = model.activations.sum(axis=1, dtype=np.float64)
        if weights.any():
            self._n_frames = n_frames
            share = n_frames / model.activations.shape[1]
            self._place(np.ascontiguousarray(model.templates.T), weights * share)

    def end_of_pass(self, n_frames: int) -> None:
        """Say that all `n_frames` frames of V were seen: what follows is seen again, not new."""
        self._memory = n_frames

    def learn(self, V: Matrix) -> float:
        """Learn from the next batch, and return its divergence.

        Parameters
        ----------
        V : ndarray, shape (n_bins, n_frames)
            The next batch as `check` returns it. Not modified.

        Returns
        -------
        float
            KL divergence of the batch from its model with the templates that it leaves behind.
        """
        if not V.any():
            return 0.0
        batch, scale = in_range(V, 1.0)
        W = self._begin(batch, scale) if self._W is None else self._W
        self._n_frames += batch.shape[1]
        seen = min(self._n_frames, self._memory or self._n_frames)
        left = self._forget ** (batch.shape[1] / seen)
        return scale * max(0.0, self._absorb(W, batch, scale, left))

    def _begin(self, batch: Matrix, scale: float) -> Matrix:
        given = as_start(self._given, batch, "templates")
        W, _ = _start(batch, self.n_components, self._init, self._seed, (given, None), scale)
        weights = np.zeros(self.n_components)
        if given is not None:  # they count as if they had made up a batch like this one
            weights[: given.shape[1]] = batch.sum(dtype=np.float64) / self.n_components * scale
            self._n_frames = batch.shape[1]
        return self._place(_unit_sums(W)[0], weights)

    def _place(self, W: Matrix, weights: NDArray[np.float64]) -> Matrix:
        """Set templates and weights. A bin that is 0 in all templates so far may sound later."""
        self._floor = np.full_like(W, _FLOOR / W.shape[1])
        if self._given is not None:
            given = self._given.T
            self._floor[: len(given)][given == 0] = 0
        return self._keep(np.maximum(W, self._floor), weights)

    def _keep(self, W: Matrix, weights: NDArray[np.float64]) -> Matrix:
        """Keep templates that sum to 1, and weights as they go with those."""
        self._W, sums = _unit_sums(W)
        self._weights = weights * sums
        return self._W

    def _absorb(self, W: Matrix, batch: Matrix, scale: float, left: float) -> float:
        """Update the templates with a batch whose peak is near 1, and with what is left of before."""
        from audionmf.nmf.kernels import KLKernel

        before, old_weights, weights = W, left * self._weights, self._weights
        level = batch.sum(axis=0) / (float(W.sum()) or 1.0)
        H = np.repeat(level[:, None], self.n_components, axis=1).astype(W.dtype)
        free = np.ones(self.n_components, bool)
        with KLKernel(batch, self.n_components, self._n_threads, free, free) as kernel:
            kernel.activate(W, H, _ACTIVATION_ITER)
            for _ in range(self._inner_iter):
                over, sums = cast("tuple[Matrix, Matrix]", kernel.sums(W, H))
                weights = old_weights + scale * sums
                W = self._mean(before, old_weights, W * over, scale, weights)
            divergence = kernel.iterate(W, H, templates=False, divergence=True)
        self._keep(W, weights)
        return divergence

    def _mean(
        self,
        before: Matrix,
        old_weights: NDArray[np.float64],
        batch_sums: Matrix,
        scale: float,
        weights: NDArray[np.float64],
    ) -> Matrix:
        """Return (B before + batch_sums) / weights; a template that never played stays."""
        played = np.where(weights > 0, weights, 1)
        old = np.where(weights > 0, old_weights / played, 1).astype(before.dtype)
        new = (scale / played).astype(before.dtype)
        W = before * old[:, None] + batch_sums * new[:, None]
        return np.maximum(W, self._floor, out=W)


def _unit_sums(W: Matrix) -> tuple[Matrix, NDArray[np.float64]]:
    """Return templates (n_components, n_bins) that sum to 1, and their sums; silent ones stay."""
    sums = W.sum(axis=1, dtype=np.float64)
    sums[sums == 0] = 1
    return W / sums.astype(W.dtype)[:, None], sums


@dataclass
class _Passes:
    """What `fit_stream` was asked for, and how far it is."""

    learner: BatchLearner
    source: Callable[[], Iterable[ArrayLike]]
    n_epochs: int
    tol: float
    callback: StreamCallback | None
    n_passes: int = 0
    n_learnt: int = 0
    cancelled: bool = False
    values: list[float] = field(default_factory=list)
    evaluated: list[int] = field(default_factory=list)

    def sample(self, most: int) -> None:
        """Go through V once for a sample, and start from a fit of it."""
        sample = _Sample(most)
        self._go_through(0, sample.add)
        self.learner.start(sample.frames(), sample.n_seen, 0 if self.cancelled else 200)

    def learn(self) -> StopReason:
        """Go through V until it is learnt, and tell why that ended."""
        for epoch in range(1, self.n_epochs + 1):
            if self.cancelled:
                break
            self._go_through(epoch, self._learn_batch)
            if self._gained_little():
                return "tolerance"
        return "cancelled" if self.cancelled else "max_iter"

    def _go_through(self, epoch: int, take: Callable[[Matrix], float]) -> None:
        number = n_frames = 0
        divergence = 0.0
        for batch in self.source():
            number += 1
            data = self.learner.check(batch, f"batch {number}")
            n_frames += data.shape[1]
            divergence += take(data)
            del batch, data  # or it would be in memory still while the next one is made
            state = StreamState(epoch, self.n_epochs, number, n_frames, divergence)
            if self.callback and self.callback(state):
                self.cancelled = True
                return
        if not number:
            raise ParameterError(
                "a later pass has no batches; a callable must return a new iterable each time"
                if self.n_passes
                else "there are no batches"
            )
        self.n_passes += 1
        self.learner.end_of_pass(n_frames)
        if epoch:
            self.values.append(divergence)
            self.evaluated.append(self.n_learnt)

    def _learn_batch(self, data: Matrix) -> float:
        self.n_learnt += 1
        return self.learner.learn(data)

    def _gained_little(self) -> bool:
        if not self.tol or self.cancelled or len(self.values) < 2:
            return False
        before, now = self.values[-2:]
        return before - now < self.tol * now


class _Sample:
    """Every n-th frame of a stream, with n as small as the most frames allow."""

    def __init__(self, most: int) -> None:
        self.n_seen = 0
        self._most = most
        self._step = 1
        self._parts: list[Matrix] = []

    def add(self, V: Matrix) -> float:
        """Take from the next frames; return NaN, as nothing is known of a divergence."""
        first = -self.n_seen % self._step
        self.n_seen += V.shape[1]
        self._parts.append(V[:, first :: self._step].copy(order="F"))
        while -(-self.n_seen // self._step) > self._most:
            self._step *= 2
            self._parts = [self.frames()[:, ::2].copy(order="F")]
        return float("nan")

    def frames(self) -> Matrix:
        """Return the sample, shape (n_bins, n_sampled)."""
        return np.concatenate(self._parts, axis=1)


def _source(
    batches: Batches, n_epochs: int | None
) -> tuple[Callable[[], Iterable[ArrayLike]], int]:
    """Return what gives the batches of a pass, and the most passes."""
    if n_epochs is not None:
        check_whole("n_epochs", n_epochs, 1)
    if callable(batches):
        return batches, n_epochs or _EPOCHS
    if not isinstance(batches, Iterable):
        raise ParameterError(f"batches must be a callable or an iterable, not {batches!r}")
    if n_epochs not in (None, 1):
        raise ParameterError(
            "an iterable is gone through once: for more epochs, batches must be a callable that "
            "returns an iterable each time"
        )
    source = batches
    return lambda: source, 1
