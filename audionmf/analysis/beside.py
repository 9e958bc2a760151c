"""Work that depends on nothing else, done in a thread of its own beside what takes as long.

A fit of few frames keeps more than one thread busy for a part of the time only. What comes out does
not depend on whether there is a second thread: each does whole pieces of work, and products of
matrices take no threads of their own meanwhile.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Generic, TypeVar

from audionmf.spectra.blas import blas_threads

__all__ = ["Beside"]

_Result = TypeVar("_Result")


class Beside:
    """Does pieces of work one after the other, beside the thread that asks for them.

    A context manager. Where it is left by an exception, what was not begun is left out, and what is
    being done is told so.

    Parameters
    ----------
    n_threads : int
        Threads for both sides, at least 1. Of one, work is done where its result is asked for.
    apart : bool, default True
        False: as if there were one thread.
    """

    def __init__(self, n_threads: int, *, apart: bool = True) -> None:
        self._pool = ThreadPoolExecutor(1) if apart and n_threads > 1 else None
        self._stop = threading.Event()
        self.all = n_threads
        """Threads for both."""
        self._begun: list[Future[object]] = []
        self._blas = blas_threads(1)
        self.apart = self._pool is not None
        """Whether there is another thread."""
        self.there = n_threads // 2 if self._pool else n_threads
        """Threads for the work."""
        self.here = n_threads - self.there if self._pool else n_threads
        """Threads for who goes on beside it."""

    def __enter__(self) -> Beside:
        self._blas.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            self._stop.set()
        if self._pool:
            self._pool.shutdown(cancel_futures=kind is not None)
        self._blas.__exit__(kind, error, trace)

    def stopped(self) -> bool:
        """Tell whether nobody waits for results any more."""
        return self._stop.is_set()

    def start(self, work: Callable[[], _Result]) -> Callable[[], _Result]:
        """Begin some work, when what was begun before is done; return what waits for its result."""
        if self._pool is None:
            return _Once(work)
        future = self._pool.submit(work)
        self._begun.append(future)  # type: ignore[arg-type]
        return future.result

    def free(self) -> int:
        """Return how many threads nobody uses beside: all, where everything that was begun is done."""
        return self.all if all(future.done() for future in self._begun) else self.here


class _Once(Generic[_Result]):
    """Does some work when its result is asked for first."""

    def __init__(self, work: Callable[[], _Result]) -> None:
        self._work, self._done = work, False

    def __call__(self) -> _Result:
        if not self._done:
            self._found, self._done = self._work(), True
        return self._found
