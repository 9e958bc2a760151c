"""Blocks that several threads work on, joined in their order.

What comes out does not depend on how many threads there are: each block is worked on by itself, by
one thread, and products of matrices within it take no threads of their own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from audionmf.spectra.blas import blas_threads

__all__ = ["in_order"]

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def in_order(
    function: Callable[[_Item], _Result], items: Iterable[_Item], n_threads: int
) -> Generator[_Result, None, None]:
    """Apply a function in threads, a few items ahead; results come in the order of the items.

    Parameters
    ----------
    function : callable
        Called with each item, from any thread.
    items : iterable
        Taken one after the other, by the thread that takes the results.
    n_threads : int
        Threads, at least 1; as many results wait at most.

    Yields
    ------
    object
        What the function returned; what it raised is raised here.
    """
    with blas_threads(1), ThreadPoolExecutor(n_threads) as pool:
        pending: deque[Future[_Result]] = deque()
        try:
            for item in items:
                pending.append(pool.submit(function, item))
                if len(pending) > n_threads:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
