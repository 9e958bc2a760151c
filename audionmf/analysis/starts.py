"""Several starts of a factorisation: variations of one, and which ended best."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["best_start", "spread_of", "varied"]

Array = NDArray[np.floating[Any]]

_VARIATION = 0.5


def best_start(n_starts: int, fit: Callable[[int], Any]) -> tuple[Any, tuple[str, ...]]:
    """Fit from several starts and keep the one that ends at the lowest divergence.

    Parameters
    ----------
    n_starts : int
        Number of starts, 1 or more.
    fit : callable
        Called with the number of the start, from 0; returns a model with ``divergence`` and
        ``reason``. One that was cancelled is the last.

    Returns
    -------
    model
        The best; of equals, the first.
    remarks : tuple of str
        What the starts ended at, if there were several.
    """
    best = fit(0)
    ends = [float(best.divergence[-1])]
    for start in range(1, n_starts):
        if best.reason == "cancelled":
            break
        model = fit(start)
        if float(model.divergence[-1]) < min(ends):
            best = model
        ends.append(float(model.divergence[-1]))
    return best, spread_of(ends)


def spread_of(ends: Sequence[float]) -> tuple[str, ...]:
    """Return a remark on the divergences that several starts ended at; none for one start."""
    if len(ends) < 2:
        return ()
    low, high = min(ends), max(ends)
    spread = (high - low) / low if low > 0 else 0.0
    return (
        f"{len(ends)} starts ended at divergences from {low:.6g} to {high:.6g} "
        f"({spread:.2%} apart); number {list(ends).index(low) + 1} was kept",
    )


def varied(start: Array, seed: int, number: int) -> Array:
    """Return the start itself for number 0, and random variations of it for others.

    Parameters
    ----------
    start : ndarray
        Where to start; zeros stay zero.
    seed : int
        The same seed gives the same variation.
    number : int
        Which start it is for.
    """
    if number == 0:
        return start
    noise = np.random.default_rng(seed).standard_normal(start.shape)
    changed: Array = (start * np.exp(_VARIATION * noise)).astype(start.dtype)
    return changed
