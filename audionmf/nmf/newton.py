"""Activations of known templates by Newton's method: few steps, each with the curvature of the frame.

With W fixed the divergence of a frame is convex in its few activations h. Its gradient is that of the
multiplicative update, Σ_f W - Wᵀ (V / Wh), and its curvature the matrix B = Wᵀ diag(V / (Wh)²) W. A
step minimises gᵀ(x - h) + ½ (x - h)ᵀ B (x - h) under x ≥ h / 10 by sweeps over the coordinates, all
frames of a tile side by side; each goes two fifths beyond the least value along its coordinate. Only
the gradient has to be exact. In B neighbouring rows w are pooled: with s the sum of a row, V / (Wh)²
w wᵀ is s V / (Wh)² times w wᵀ / s, the first from sums over the group, the second summed beforehand.
Loud rows outweigh quiet ones as they do in B, so that 256 groups are as good as all rows. B stays
for three steps, a third larger than it is so found, since a step that falls short does less harm than
one that goes too far. Where the divergence still falls no longer at the end of a step but rises more
steeply than it fell at its beginning, the step is shortened to where the slope, taken for a straight
line, is 0; the last pass does so too, and ends with a plain update elsewhere. Frames in which that
update would change more than a thousandth go on with momentum.

References
----------
Lee, Sun and Saunders, "Proximal Newton-type methods for minimizing composite functions", SIAM Journal
on Optimization 24(3), 2014. Hsieh and Dhillon, "Fast coordinate descent methods with variable
selection for non-negative matrix factorization", KDD 2011.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from audionmf.nmf.coarse import row_groups
from audionmf.nmf.kernels import KLKernel
from audionmf.nmf.ready import kernel, laid
from audionmf.nmf.shapes import COLUMNS, TILE

__all__ = ["Curvature", "Newton", "curvature_of", "suits"]

Matrix = NDArray[np.floating[Any]]

_MOST_COMPONENTS, _LEAST_ROWS, _LEAST_ITERATIONS = 48, 512, 25
_ROWS, _FLOOR = 256, 1e-25
_MOST_ROUGH, _FAR = 0.6, 1e-3
_FIRST, _MOST_FIRST, _STEPS = 0.5, 40, 0.07
_LARGER, _SWEEPS, _RELAXED, _KEPT = 1.35, 10, 1.4, 3
_KNOWN = 4
"""Of so many templates the curvature is kept, half a megabyte each: it takes longer than a block."""


def suits(rows: Matrix, n_iter: int) -> bool:
    """Tell whether templates (n_components, n_bins) are worth steps of Newton's method.

    That is where there are so many rows that pooled ones are cheap, so few components that their
    pairs are, and where neighbouring rows are alike, as those of spectra are.
    """
    K, n_bins = rows.shape
    if n_bins < _LEAST_ROWS or K > _MOST_COMPONENTS or n_iter < _LEAST_ITERATIONS:
        return False
    steps = np.abs(np.diff(rows, axis=1)).sum(dtype=np.float64)
    return bool(steps <= _MOST_ROUGH * 2 * rows.sum(dtype=np.float64))


class Curvature:
    """What templates give to the curvature of every frame.

    Parameters
    ----------
    rows : ndarray, shape (n_components, n_bins)
        Templates, which sum to 1 or are silent. Not modified.
    penalties : ndarray, shape (n_components,), optional
        Weight of an L1 norm on the activations of each component, ≥ 0.
    """

    def __init__(self, rows: Matrix, penalties: Matrix | None = None) -> None:
        (K, n_bins), dtype = rows.shape, rows.dtype
        self.rows, self.penalties = rows, penalties
        firsts = row_groups(rows.sum(axis=0, dtype=np.float64), _ROWS)
        self.first_rows = np.add.reduceat(rows, firsts, axis=1)
        self.edges = np.append(firsts, n_bins)
        self.n_groups = -(-len(firsts) // COLUMNS) * COLUMNS
        i, j = np.triu_indices(K)
        n_pairs = -(-len(i) // COLUMNS) * COLUMNS
        self.places = np.zeros((K, K), np.int64)
        self.places[i, j] = self.places[j, i] = np.arange(len(i))
        self.merged_rows = np.zeros((K, self.n_groups), dtype)
        self.merged_rows[:, : len(firsts)] = self.first_rows
        every = np.maximum(rows.sum(axis=0, dtype=np.float64), _FLOOR)
        roots = rows * np.asarray(every**-0.5, dtype)
        products = np.zeros((self.n_groups, n_pairs), dtype)
        for first in range(0, len(i), K):  # some pairs at a time: little memory
            pairs = slice(first, min(first + K, len(i)))
            both = roots[i[pairs]] * roots[j[pairs]]
            products[: len(firsts), pairs] = np.add.reduceat(both, firsts, axis=1).T
        products[products < _FLOOR] = 0
        panels = products.reshape(self.n_groups, -1, COLUMNS).transpose(1, 0, 2)
        self.products = np.ascontiguousarray(panels)
        self.larger = (_LARGER * np.add.reduceat(every, firsts)).astype(dtype)
        costs = rows.sum(axis=1, dtype=np.float64)
        self.costs = (costs if penalties is None else costs + penalties).astype(dtype)

    def is_of(self, rows: Matrix, penalties: Matrix | None) -> bool:
        """Tell whether these are its templates, of the same type, and their penalties."""
        same = rows.dtype == self.rows.dtype and np.array_equal(rows, self.rows)
        if penalties is None or self.penalties is None:
            return same and penalties is self.penalties
        return same and np.array_equal(penalties, self.penalties)


def curvature_of(rows: Matrix, penalties: Matrix | None = None) -> Curvature:
    """Return what templates give to the curvature; once where block after block asks for the same.

    Parameters
    ----------
    rows, penalties
        As in `Curvature`; not modified afterwards.
    """
    global _recent
    found = next((known for known in _recent if known.is_of(rows, penalties)), None)
    if found is None:
        found = Curvature(rows, penalties)
        _recent = (found, *_recent)[:_KNOWN]
    return found


_recent: tuple[Curvature, ...] = ()


class Newton:
    """Buffers and threads for the activations of frames under known templates. A context manager.

    Parameters
    ----------
    n_frames : int
        Frames at a time, 1 or more.
    templates : Curvature
        Of the templates.
    n_threads : int
        Threads. The result does not depend on it.
    """

    def __init__(self, n_frames: int, templates: Curvature, n_threads: int) -> None:
        (K, n_bins), dtype = templates.rows.shape, templates.rows.dtype
        free = np.ones(K, bool)
        self._templates = templates
        self._levelled: Matrix = np.zeros((n_frames, n_bins), dtype)
        self._pooled: Matrix = np.zeros((n_frames, len(templates.edges) - 1), dtype)
        n_tiles = -(-n_frames // TILE)
        self._merged: Matrix = np.zeros((n_tiles, templates.n_groups, TILE), dtype)
        self._options = K, n_threads, free, free, templates.penalties
        self._first = KLKernel(self._pooled.T, *self._options)
        self._whole = KLKernel(self._levelled.T, *self._options)
        n_groups, n_pairs = templates.n_groups, len(templates.products) * COLUMNS
        self._curves: Matrix = np.zeros((n_tiles, n_pairs, TILE), dtype)
        shapes = (K + 3, TILE), (n_groups, TILE), (3, K, TILE)
        others = min(n_threads, n_tiles) - 1
        self._scratch = [
            tuple(laid(np.zeros(shape, dtype)) for shape in shapes) for _ in range(others + 1)
        ]
        self._pool = ThreadPoolExecutor(others) if others > 0 else None
        self._pool_rows, self._curve = kernel("pool_tiles", dtype), kernel("curve_tiles", dtype)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._first.__exit__()
        self._whole.__exit__()
        if self._pool:
            self._pool.shutdown()

    def activate(self, V: Matrix, scales: Matrix, H: Matrix, n_iter: int) -> None:
        """Bring activations as far as `n_iter` iterations with momentum do, in place.

        Parameters
        ----------
        V : ndarray, shape (n_bins, n_frames), in the type of the templates
            Data, ≥ 0. Not modified; fastest in Fortran order.
        scales : ndarray, shape (n_frames,), in the same type
            Powers of two that bring the peaks of frames near 1.
        H : ndarray, shape (n_frames, n_components), C-contiguous
            Where to start, for V divided by `scales`; what is 0 stays 0.
        n_iter : int
            Iterations with momentum that would come as far.
        """
        known, data = self._templates, np.ascontiguousarray(V.T)
        pooling = known.edges, known.larger, self._levelled, self._pooled, self._merged
        counter = np.zeros(1, np.int64)
        self._each(lambda _: self._pool_rows(counter, data, scales, *pooling))
        self._first.activate(known.first_rows, H, min(round(_FIRST * n_iter), _MOST_FIRST))
        step, slope = np.zeros_like(H), np.zeros(len(H), H.dtype)
        n_steps, far = round(_STEPS * n_iter), np.zeros(len(H), bool)
        for i in range(n_steps + 1):
            updated = H.copy()
            self._whole.iterate(known.rows, updated, templates=False)
            if i == n_steps:
                costs = known.costs
                far = np.abs(updated - H) @ costs > _FAR * (H @ costs)
            self._move(H, updated, step, slope, i % _KEPT == 0 and i < n_steps, i == n_steps)
        if far.any():
            rest = np.ascontiguousarray(H[far])
            frames = self._levelled[far].T
            with KLKernel(frames, *self._options) as kernel:
                kernel.activate(known.rows, rest, n_iter // 2)
            H[far] = rest

    def _move(
        self, H: Matrix, updated: Matrix, step: Matrix, slope: Matrix, fresh: bool, last: bool
    ) -> None:
        known = self._templates
        arrays = (
            np.zeros(1, np.int64), H, updated, step, slope, self._merged, known.merged_rows,
            known.products, known.places, known.costs, self._curves,
        )  # fmt: skip
        self._each(lambda scratch: self._curve(*arrays, *scratch, _RELAXED, _SWEEPS, fresh, last))

    def _each(self, work: Callable[[Any], None]) -> None:
        """Work in all threads."""
        others = [self._pool.submit(work, s) for s in self._scratch[1:]] if self._pool else []
        work(self._scratch[0])
        for future in others:
            future.result()
