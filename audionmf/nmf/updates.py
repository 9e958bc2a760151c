"""The hot loops: one pass over V updates the activations and gathers what the templates need.

Everything here is laid out frame by frame: ``V`` as ``(n_frames, n_bins)``, activations as
``(n_frames, n_components)``, templates as ``(n_components, n_bins)``, all C-contiguous but `V`, which
may have any layout. A pass works on blocks of frames that stay in the cache and needs, beyond its
arguments, only buffers of one block for each thread.

The update is the multiplicative one, with the exponent that keeps it a descent for every β:

    H ← H · [(Wᵀ (V · (WH)^(β-2))) / (Wᵀ (WH)^(β-1))]^γ(β)

and the same for W with the roles exchanged. Blocks are fixed and their sums are added in their
order, so the result does not depend on the number of threads.

References
----------
Févotte and Idier, "Algorithms for nonnegative matrix factorization with the β-divergence", Neural
Computation 23(9), 2011. The exponent: Nakano et al., "Convergence-guaranteed multiplicative
algorithms for nonnegative matrix factorization with β-divergence", MLSP 2010.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import kl_div

from audionmf.nmf.divergence import beta_divergence

__all__ = ["Sums", "Workers", "exponent", "multiply", "sweep"]

Matrix = NDArray[np.floating[Any]]

BLOCK_FRAMES = 256


def exponent(beta: float) -> float:
    """Return γ(β), the exponent under which a multiplicative update never raises the divergence."""
    if beta < 1:
        return 1 / (2 - beta)
    return 1 / (beta - 1) if beta > 2 else 1.0


@dataclass
class Sums:
    """What one pass over V gives.

    Parameters
    ----------
    numerator, denominator : ndarray, shape (n_components, n_bins), or None
        The two sides of the template update, if they were asked for.
    divergence : float
        The divergence of the model before the pass, if it was asked for; else NaN.
    """

    numerator: Matrix | None = None
    denominator: Matrix | None = None
    divergence: float = float("nan")


class Workers:
    """Threads that work on blocks; results come in the order of the blocks."""

    def __init__(self, pool: ThreadPoolExecutor | None) -> None:
        self._pool = pool

    @classmethod
    @contextmanager
    def start(cls, n_threads: int) -> Iterator[Workers]:
        """Start `n_threads`, each with BLAS held to one thread of its own."""
        from threadpoolctl import threadpool_limits

        with threadpool_limits(1, user_api="blas"):
            if n_threads == 1:
                yield cls(None)
                return
            with ThreadPoolExecutor(n_threads) as pool:
                yield cls(pool)

    def map(self, function: Callable[[slice], Sums], blocks: list[slice]) -> Iterator[Sums]:
        """Apply `function` to each block."""
        return map(function, blocks) if self._pool is None else self._pool.map(function, blocks)


def sweep(
    V: Matrix,
    W: Matrix,
    H: Matrix,
    beta: float,
    workers: Workers,
    *,
    free_activations: NDArray[np.bool_] | bool = True,
    templates: bool = True,
    divergence: bool = False,
    floor: float,
) -> Sums:
    """Update the activations in place, then gather both sides of the template update.

    Parameters
    ----------
    V : ndarray, shape (n_frames, n_bins)
        Data, ≥ 0, any layout.
    W : ndarray, shape (n_components, n_bins)
        Templates; not changed.
    H : ndarray, shape (n_frames, n_components)
        Activations, updated in place.
    beta : float
        Of the divergence.
    workers : Workers
        The threads.
    free_activations : bool or mask of shape (n_components,), default True
        Components whose activations are updated.
    templates : bool, default True
        Gather the sums for the templates, at the new activations.
    divergence : bool, default False
        Also compute the divergence at the old activations.
    floor : float
        The least value the model takes in a division.

    Returns
    -------
    Sums
        The sums over all frames.
    """
    blocks = [slice(i, min(i + BLOCK_FRAMES, len(V))) for i in range(0, len(V), BLOCK_FRAMES)]

    def work(block: slice) -> Sums:
        data, activations = np.ascontiguousarray(V[block]), H[block]
        sums = Sums()
        model = np.maximum(activations @ W, V.dtype.type(floor))
        if divergence:
            sums.divergence = _divergence(data, model, beta)
        if np.any(free_activations):
            over, under = _sides(data, model, beta, lambda x: x @ W.T, lambda: W.sum(axis=1))
            updated = multiply(activations, over, under, beta)
            activations[...] = np.where(free_activations, updated, activations)
            if templates:
                model = np.maximum(activations @ W, V.dtype.type(floor))
        if templates:
            sums.numerator, sums.denominator = _sides(
                data,
                model,
                beta,
                lambda x: activations.T @ x,
                lambda: activations.sum(axis=0)[:, None],
            )
        return sums

    total = Sums(divergence=0.0 if divergence else float("nan"))
    for part in workers.map(work, blocks):
        total.divergence += part.divergence
        if part.numerator is not None and part.denominator is not None:
            if total.numerator is None or total.denominator is None:
                total.numerator, total.denominator = part.numerator, part.denominator
            else:
                total.numerator += part.numerator
                total.denominator += part.denominator
    return total


def multiply(factor: Matrix, over: Matrix, under: Matrix, beta: float) -> Matrix:
    """Return the multiplicative update ``factor · (over / under)^γ(β)``.

    A component that takes no part (``under`` is 0) becomes 0, and so does what has decayed so far
    that only denormal numbers, which are slow, could hold it.
    """
    tiny = np.finfo(factor.dtype).tiny
    ratio = over / np.maximum(under, tiny)
    gamma = exponent(beta)
    if gamma != 1:
        ratio **= gamma
    updated = factor * ratio
    updated[updated < tiny] = 0
    return updated


def _sides(
    data: Matrix,
    model: Matrix,
    beta: float,
    project: Callable[[Matrix], Matrix],
    total: Callable[[], Matrix],
) -> tuple[Matrix, Matrix]:
    """Return numerator and denominator of an update; `project` multiplies by the other factor."""
    if beta == 1:
        return project(data / model), total()
    if beta == 2:
        return project(data), project(model)
    power = model ** (beta - 2)
    return project(data * power), project(power * model)


def _divergence(data: Matrix, model: Matrix, beta: float) -> float:
    if beta == 1:
        return float(kl_div(data, model).sum(dtype=np.float64))
    return beta_divergence(data, model, beta)
