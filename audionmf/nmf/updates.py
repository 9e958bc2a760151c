"""The multiplicative updates: the plain one to read, and the fast ones that do the same.

The update of the activations, and that of the templates with the roles exchanged, is::

    H ← H · [(Wᵀ (V · (WH)^(β-2))) / (Wᵀ (WH)^(β-1))]^γ(β)

`plain_update` is that line. `make_updater` gives the fast form of an iteration for one V: machine
code for the Kullback–Leibler divergence (`kernels`), NumPy in blocks of frames for the others. Both
go over V once, need beyond V, W and H a fixed buffer for each thread, and add the sums of blocks in
the order of the blocks, so that the number of threads does not matter.

References
----------
Févotte and Idier, "Algorithms for nonnegative matrix factorization with the β-divergence", Neural
Computation 23(9), 2011. The exponent: Nakano et al., "Convergence-guaranteed multiplicative
algorithms for nonnegative matrix factorization with β-divergence", MLSP 2010.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audionmf.nmf.divergence import beta_divergence, exponent
from audionmf.nmf.places import Updater, kernel_on
from audionmf.settings import CPU
from audionmf.spectra.blas import blas_threads

__all__ = ["BlockUpdater", "Updater", "make_updater", "plain_update"]

Matrix = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]

_BLOCK_FRAMES = 256
_FLOOR = 1e-20


def plain_update(V: Matrix, W: Matrix, H: Matrix, beta: float) -> Matrix:
    """Return the activations after one multiplicative update: the reference for all fast forms.

    Parameters
    ----------
    V : ndarray, shape (n_bins, n_frames)
        Data; the model must be positive where it is.
    W : ndarray, shape (n_bins, n_components)
        Templates.
    H : ndarray, shape (n_components, n_frames)
        Activations.
    beta : float
        Of the divergence. Templates are updated by ``plain_update(V.T, H.T, W.T, beta).T``.

    Returns
    -------
    ndarray, shape (n_components, n_frames)
        The new activations.
    """
    model = W @ H
    over, under = W.T @ (V * model ** (beta - 2)), W.T @ model ** (beta - 1)
    updated: Matrix = H * (over / under) ** exponent(beta)
    return updated


def make_updater(
    V: Matrix,
    beta: float,
    n_threads: int,
    free_templates: Mask,
    free_activations: Mask,
    penalties: Matrix | None = None,
    device: str = CPU,
) -> Updater:
    """Return the fast iteration for a V and a β.

    Parameters
    ----------
    V : ndarray, shape (n_bins, n_frames), float32 or float64
        Data, ≥ 0, with a peak not far from 1; any strides. Not modified.
    beta : float
        Of the divergence.
    n_threads : int
        Threads, 1 or more.
    free_templates, free_activations : ndarray of bool, shape (n_components,)
        The components that are updated.
    penalties : ndarray, shape (n_components,), optional
        L1 weights on the activations, for β = 1.
    device : str, default "cpu"
        As in `fit`.

    Returns
    -------
    Updater
        A context manager.
    """
    if beta == 1:
        return kernel_on(device, V, n_threads, free_templates, free_activations, penalties)
    if device == CPU:
        return BlockUpdater(V, beta, n_threads, free_templates, free_activations)
    from audionmf.nmf.card import CardUpdater

    return CardUpdater(V, beta, device, free_templates, free_activations)


class BlockUpdater:
    """Iterations for any β with NumPy, in blocks of frames; parameters as in `make_updater`."""

    def __init__(
        self,
        V: Matrix,
        beta: float,
        n_threads: int,
        free_templates: Mask,
        free_activations: Mask,
    ) -> None:
        self._V, self._beta = V.T, beta
        # Below β = 1 powers of a model near its floor are beyond single precision.
        self._dtype = np.dtype(np.float64) if beta < 1 else V.dtype
        self._free_templates, self._free_activations = free_templates, free_activations
        starts = range(0, V.shape[1], _BLOCK_FRAMES)
        self._blocks = [slice(i, i + _BLOCK_FRAMES) for i in starts]
        self._limits = blas_threads(1)
        self._pool = ThreadPoolExecutor(n_threads)

    def __enter__(self) -> BlockUpdater:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()
        self._limits.__exit__(None, None, None)

    def iterate(
        self, W: Matrix, H: Matrix, *, templates: bool = True, divergence: bool = False
    ) -> float:
        """Do one iteration in place, as `Updater` says."""
        exact = W.astype(self._dtype, copy=False)
        parts = list(
            self._pool.map(
                lambda block: self._update_block(block, exact, H, templates, divergence),
                self._blocks,
            )
        )
        if templates:
            over, under = parts[0][1], parts[0][2]
            for _, more_over, more_under in parts[1:]:
                over += more_over
                under += more_under
            updated = self._multiply(W, over, under)
            np.copyto(W, updated, where=self._free_templates[:, None])
        return float(sum(value for value, _, _ in parts)) if divergence else float("nan")

    def taken(self, array: Matrix) -> Matrix:
        """Return the array itself: it is worked on where it lies."""
        return array

    def given(self, point: Matrix, array: Matrix) -> Matrix:
        """Return what was taken."""
        return point

    def extrapolate(self, x: Matrix, previous: Matrix, b: float) -> None:
        """Do what `kernels.extrapolate` does."""
        from audionmf.nmf.kernels import extrapolate

        extrapolate(x, previous, b)

    def activate(self, W: Matrix, H: Matrix, n_iter: int) -> None:
        """Update H alone `n_iter` times."""
        for _ in range(n_iter):
            self.iterate(W, H, templates=False)

    def _update_block(
        self, block: slice, W: Matrix, H: Matrix, templates: bool, divergence: bool
    ) -> tuple[float, Any, Any]:
        data, activations = np.ascontiguousarray(self._V[block], self._dtype), H[block]
        model = self._model(activations, W)
        value = beta_divergence(data, model, self._beta) if divergence else float("nan")
        if self._free_activations.any():
            updated = self._multiply(activations, *self._sides(data, model, lambda x: x @ W.T))
            np.copyto(activations, updated, where=self._free_activations)
        if not templates:
            return value, None, None
        model = self._model(activations, W)
        return value, *self._sides(data, model, lambda x: activations.T @ x)

    def _model(self, activations: Matrix, W: Matrix) -> Matrix:
        model: Matrix = activations @ W
        return np.maximum(model, model.dtype.type(_FLOOR), out=model)

    def _sides(
        self, data: Matrix, model: Matrix, project: Callable[[Matrix], Matrix]
    ) -> tuple[Matrix, Matrix]:
        """Return numerator and denominator; `project` multiplies by the other factor."""
        if self._beta == 2:
            return project(data), project(model)
        power = model ** (self._beta - 1)
        return project(data * (power / model)), project(power)

    def _multiply(self, factor: Matrix, over: Matrix, under: Matrix) -> Matrix:
        """Return ``factor · (over / under)^γ``.

        A component that takes no part (``under`` is 0) becomes 0, and so does what has decayed so
        far that only denormal numbers, which are slow, could hold it.
        """
        tiny = np.finfo(factor.dtype).tiny
        ratio = over / np.maximum(under, tiny)
        gamma = exponent(self._beta)
        if gamma != 1:
            ratio **= gamma
        updated: Matrix = factor * ratio
        updated[updated < tiny] = 0
        return updated
