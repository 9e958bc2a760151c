"""Threads of the library that multiplies matrices (BLAS), limited for a while."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from threadpoolctl import ThreadpoolController

__all__ = ["blas_threads"]

_found: tuple[int, ThreadpoolController] | None = None


def blas_threads(n_threads: int | None) -> AbstractContextManager[object]:
    """Limit the threads of BLAS from this call until the context that is returned is left.

    Parameters
    ----------
    n_threads : int or None
        How many, at least 1; None leaves them as they are.

    Returns
    -------
    context manager
        Leaving it restores what was before.
    """
    global _found
    from threadpoolctl import ThreadpoolController

    # To look for the libraries costs milliseconds, and a short separation asks ten times. They come
    # with modules: as long as none was imported since, there are no others.
    n_modules = len(sys.modules)
    if _found is None or _found[0] != n_modules:
        _found = n_modules, ThreadpoolController()
    limited: AbstractContextManager[object] = _found[1].limit(limits=n_threads, user_api="blas")
    return limited
