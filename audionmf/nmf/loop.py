"""The loop of every factorisation: step, look whether it is time to stop, tell.

What is iterated is anything that can step and says what the divergence was before: two factors, that
an `Updater` moves (`Factors`), or a sum of models. Factors may be carried on in the direction in which
they came, with momentum; a point where the divergence is higher is taken back, so that it never rises.

References
----------
Ang and Gillis, "Accelerating nonnegative matrix factorization algorithms using extrapolation", Neural
Computation 31(2), 2019. Hien, Leplat and Gillis, "Block majorization minimization with extrapolation
and application to β-NMF", 2024.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Callback",
    "Factors",
    "State",
    "StopReason",
    "Watch",
    "Workers",
    "descend",
    "follow",
]

Matrix = NDArray[np.floating[Any]]
StopReason = Literal["tolerance", "max_iter", "cancelled", "fixed", "precision"]
Callback = Callable[["State"], bool | None]

_WINDOW = 10
_PATIENCE_S = 1.0


@dataclass(frozen=True)
class State:
    """What a callback is told after each iteration, and within one that takes long.

    Parameters
    ----------
    iteration : int
        Iterations done.
    max_iter : int
        Most iterations.
    divergence : float
        The last evaluated divergence; NaN if none was.
    coarse : bool, default False
        The iteration was on sums of frames, and the divergence is theirs.
    """

    iteration: int
    max_iter: int
    divergence: float
    coarse: bool = False


class _CancelledError(Exception):
    """The callback said so in the middle of an iteration."""


@dataclass
class Watch:
    """Counts iterations, keeps what the divergence was, and says when to stop.

    Parameters
    ----------
    max_iter : int
        Most iterations.
    tol : float, default 0
        Stop when ten iterations together lower the divergence by less than this share of it.
    unit : float, default 1
        What a divergence is multiplied by before it is told.
    callback : callable, optional
        Told; returning True cancels the rest.
    coarse : bool, default False
        What it is told of are sums of frames.
    """

    max_iter: int
    tol: float = 0.0
    unit: float = 1.0
    callback: Callback | None = None
    coarse: bool = False
    n_iter: int = 0
    reason: StopReason = "max_iter"
    values: list[float] = field(default_factory=list)
    evaluated: list[int] = field(default_factory=list)
    going_on: bool = False
    _told_at: float = field(default_factory=time.monotonic)

    def record(self, divergence: float) -> None:
        """Note the divergence; what rounding does to it is no rise, nor does it go below 0."""
        self.values.append(max(0.0, min([divergence, *self.values[-1:]])))
        self.evaluated.append(self.n_iter)

    def done(self, before: float) -> bool:
        """Count an iteration, with the divergence before it or NaN; tell whether it is the last."""
        if not np.isnan(before):
            self.record(before)
        self.n_iter += 1
        if self.tol and self._gained_little():
            self.reason = "tolerance"
        elif self._cancelled():
            self.reason = "cancelled"
        return self.reason != "max_iter"

    def ask(self) -> None:
        """Tell within an iteration that takes long; `descend` ends where the callback says so."""
        long = self.going_on and time.monotonic() - self._told_at >= _PATIENCE_S
        if long and self._cancelled():
            raise _CancelledError

    def _gained_little(self) -> bool:
        if len(self.values) <= _WINDOW:
            return False
        before, now = self.values[-1 - _WINDOW], self.values[-1]
        return before - now < self.tol * now

    def _cancelled(self) -> bool:
        if self.callback is None:
            return False
        value = self.values[-1] * self.unit if self.values else float("nan")
        cancelled = bool(self.callback(State(self.n_iter, self.max_iter, value, self.coarse)))
        self._told_at = time.monotonic()
        return cancelled


class Momentum(Protocol):
    """What carries steps on in the direction in which they go."""

    def leap(self, b: float) -> None:
        """Remember this point, and go on from it as it came from the one before, by a share."""

    def back(self) -> None:
        """Return to the point that was remembered."""


def descend(
    watch: Watch,
    step: Callable[[], float],
    *,
    momentum: Momentum | None = None,
    n_plain: int = 0,
    n_most: int | None = None,
    instead: Callable[[], None] | None = None,
    age: int = 0,
) -> None:
    """Step until it is time to stop; the watch holds why.

    Parameters
    ----------
    watch : Watch
        When to stop.
    step : callable
        Does one iteration in place; returns the divergence before it, NaN where it is not known.
    momentum : Momentum, optional
        Leaps before each step, from the start anew where the divergence would rise.
    n_plain : int, default 0
        Until the watch has counted so many iterations, none leaps.
    n_most : int, optional
        Stop here, short of the watch's `max_iter`.
    instead : callable, optional
        Goes somewhere else, if the divergence is higher where the steps begin than the last one.
    age : int, default 0
        How many steps there were before, as far as momentum is concerned: the share that it carries
        steps on by begins at age / (age + 3).
    """
    n_most = watch.max_iter if n_most is None else n_most
    watch.going_on = True
    try:
        while watch.n_iter < n_most:
            leaps = watch.n_iter >= n_plain
            if momentum:
                momentum.leap(age / (age + 3))
            value = step()
            rose = bool(watch.values) and value > watch.values[-1]
            if instead is not None and rose:
                instead()
            elif momentum and rose:
                momentum.back()
                if age == 0:  # a plain update only rises by rounding
                    watch.reason = "precision"
                    return
                age = 0
            else:
                age += leaps
                if watch.done(value):
                    return
            instead = None
    except _CancelledError:
        if momentum:
            momentum.back()
        watch.reason = "cancelled"
    finally:
        watch.going_on = False


class Mover(Protocol):
    """What moves two factors: an `Updater`, or that of another model."""

    def iterate(self, W: Any, H: Any, *, templates: bool = True, divergence: bool = False) -> float:
        """Update H and then, unless told not to, W; return the divergence before, if asked for."""


class Factors:
    """Two factors that are moved in place: steps, and momentum for them.

    Parameters
    ----------
    mover : Mover
        What moves them.
    W, H : array
        As it takes them.
    templates : bool, default True
        W moves too.
    constrain : callable, optional
        Brings W, in place, to the form that a model asks for.
    extrapolate : callable, optional
        As `kernels.extrapolate`, which is the default.
    """

    def __init__(
        self,
        mover: Mover,
        W: Any,
        H: Any,
        *,
        templates: bool = True,
        constrain: Callable[[Any], None] | None = None,
        extrapolate: Callable[[Any, Any, float], None] | None = None,
    ) -> None:
        self._mover, self.W, self.H = mover, W, H
        self._templates, self._constrain, self._carry = templates, constrain, extrapolate
        self._before: tuple[Any, Any] | None = None
        self.n_passes = 0

    def step(self) -> float:
        """Update H, then W."""
        value = self._mover.iterate(self.W, self.H, templates=self._templates, divergence=True)
        self.n_passes += 1
        self._keep_form()
        return value

    def leap(self, b: float) -> None:
        """Extrapolate both."""
        if self._before is None:
            self._before = deepcopy(self.W), deepcopy(self.H)
            return
        carry = self._carry or _extrapolate
        carry(self.W, self._before[0], b)
        carry(self.H, self._before[1], b)
        self._keep_form()

    def back(self) -> None:
        """Return both."""
        if self._before is not None:
            self.W[...], self.H[...] = self._before

    def _keep_form(self) -> None:
        if self._constrain:
            self._constrain(self.W)


def _extrapolate(x: Matrix, previous: Matrix, b: float) -> None:
    # numba takes a third of a second to load: not before it is needed.
    from audionmf.nmf.kernels import extrapolate

    extrapolate(x, previous, b)


def follow(
    watch: Watch,
    mover: Mover,
    W: Matrix,
    H: Matrix,
    *,
    templates: bool = True,
    accelerated: bool = False,
) -> None:
    """Descend in place, and record the divergence of the result last."""
    factors = Factors(mover, W, H, templates=templates)
    descend(watch, factors.step, momentum=factors if accelerated else None)
    watch.record(mover.iterate(W, H.copy(), templates=False, divergence=True))


class Workers:
    """Threads that go through blocks of frames, with a BLAS of one thread each. A context manager.

    Parameters
    ----------
    n_threads : int
        How many.
    watch : Watch
        Asked between blocks whether to go on.
    """

    def __init__(self, n_threads: int, watch: Watch) -> None:
        from threadpoolctl import threadpool_limits

        self._ask, self._pool = watch.ask, ThreadPoolExecutor(n_threads)
        self._limits = threadpool_limits(1, user_api="blas")

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()
        self._limits.restore_original_limits()

    def each(self, work: Callable[[Any], Any], blocks: Sequence[Any]) -> list[Any]:
        """Return what work finds in each block, in the order of the blocks."""
        futures = [self._pool.submit(work, block) for block in blocks]
        found: list[Any] = []
        try:
            for future in futures:
                if found:
                    self._ask()
                found.append(future.result())
        except BaseException:
            for future in futures:
                future.cancel()
            wait(futures)  # what is at work still writes
            raise
        return found
