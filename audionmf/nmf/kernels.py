"""The Kullback–Leibler update as machine code: one pass over V an iteration.

An iteration updates H, then W::

    H ← H · (Wᵀ (V / WH)) / Σ_f W          W ← W · ((V / WH) Hᵀ) / Σ_t H

`passes` does that for chunks of frames; here are the buffers it works in, and the threads. The sums
of the chunks are added in their order: results depend neither on the number of threads nor on how
frames are shared out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audionmf.nmf.crew import Crew
from audionmf.nmf.ready import Call, kernel, laid
from audionmf.nmf.shapes import BITS, COLUMNS, PANELS, TILE, TINY, VECTORS

__all__ = ["TINY", "KLKernel", "extrapolate"]

Matrix = NDArray[np.floating[Any]]

_CHUNKS = np.array([1.0] * 14 + [0.7, 0.5, 0.4, 0.3, 0.2, 0.1])
"""How large chunks are beside each other: the last are small, so that threads end together, and there
are enough large ones for sixteen threads."""
_ALONE = 3 << 19
"""Of so many products a thread is worth it: to begin takes a twentieth of the time for them."""


def extrapolate(x: Matrix, previous: Matrix, b: float) -> None:
    """Carry `x` on in the direction in which it came from `previous`, in place; keep x there.

    The step is x (x / previous)^b, momentum on the logarithms, with the power in its [1/1] Padé
    form: it agrees to third order, and its limits (1 + b) / (1 - b) and their inverse keep a single
    step from going far. Zeros stay zero.

    Parameters
    ----------
    x : ndarray, C-contiguous
        The new point; extrapolated in place.
    previous : ndarray, same shape
        The point before; becomes the new one.
    b : float
        0 (no momentum) to 1.
    """
    flat = kernel("extrapolate_flat", x.dtype)
    flat(x.reshape(-1), previous.reshape(-1), float(b))


class KLKernel:
    """Buffers and threads for the iterations on one V. Use as a context manager.

    Parameters
    ----------
    V : ndarray, shape (n_bins, n_frames), float32 or float64
        Data, ≥ 0, any strides. Not modified.
    n_components : int
        Number of components.
    n_threads : int
        Threads to work with; each has a fixed buffer.
    free_templates, free_activations : ndarray of bool, shape (n_components,)
        The components that are updated.
    penalties : ndarray, shape (n_components,), optional
        Weight of an L1 norm on the activations of each component, ≥ 0.
    """

    def __init__(
        self,
        V: Matrix,
        n_components: int,
        n_threads: int,
        free_templates: NDArray[np.bool_],
        free_activations: NDArray[np.bool_],
        penalties: Matrix | None = None,
    ) -> None:
        (self._n_bins, n_frames), self._n_components = V.shape, n_components
        dtype, lanes = V.dtype, BITS // 8 // V.dtype.itemsize
        width, step = VECTORS * lanes, max(lanes, COLUMNS)
        padded_K = -(-n_components // step) * step
        padded_F = -(-self._n_bins // width) * width
        n_tiles = -(-n_frames // TILE)
        self._edges = np.minimum(_edges(n_tiles) * TILE, n_frames)
        n_chunks = len(self._edges) - 1
        self._V, self._strides = _flat(V)
        self._Wp, self._Wt = (_aligned(padded_F * padded_K, dtype) for _ in range(2))
        self._inverse_sums = _aligned(padded_K, dtype)
        self._N = _aligned(n_chunks * padded_F * padded_K, dtype).reshape(n_chunks, -1)
        self._row_sums = np.zeros((n_chunks, padded_K))
        self._free_templates = np.array(free_templates, bool)
        self._free_activations = _aligned(padded_K, dtype)  # 0 where it stays as it is
        self._free_activations[:n_components] = free_activations
        self._penalties = np.zeros(padded_K)
        if penalties is not None:
            self._penalties[:n_components] = penalties
        self._scratch = [
            (
                _aligned(TILE * PANELS * width, dtype),
                _aligned(TILE * padded_F, dtype),
                *(_aligned(TILE * padded_K, dtype).reshape(TILE, -1) for _ in range(3)),
                np.zeros(TILE, dtype),
            )
            for _ in range(min(n_threads, n_chunks, 1 + V.size * n_components // _ALONE))
        ]
        self._crew: Crew | None = None
        self._given: tuple[Matrix, tuple[Any, ...]] | None = None
        self._calls: dict[Any, tuple[tuple[Matrix, ...], Call]] = {}
        self._lay_out()

    def _lay_out(self) -> None:
        """Lay out the arguments that no call changes."""
        n_chunks = len(self._edges) - 1
        self._values, self._counter = np.zeros(n_chunks), np.zeros(n_chunks + 3, np.int64)
        Wp, Wt, inverse = laid(self._Wp), laid(self._Wt), laid(self._inverse_sums)
        N, row_sums = laid(self._N), laid(self._row_sums)
        self._packing = Wp, Wt, inverse, laid(self._penalties)
        self._multiplying = N, row_sums, laid(self._free_templates)
        self._before = (
            laid(self._counter), laid(self._edges), laid(self._values), laid(self._V), *self._strides,
        )  # fmt: skip
        free = laid(self._free_activations)
        self._after = [
            (Wp, Wt, inverse, free, N, row_sums, *map(laid, scratch)) for scratch in self._scratch
        ]

    def __enter__(self) -> KLKernel:
        return self

    def __exit__(self, *_: object) -> None:
        if self._crew:
            self._crew.__exit__()
        self._crew = None

    def iterate(
        self, W: Matrix, H: Matrix, *, templates: bool = True, divergence: bool = False
    ) -> float:
        """Do one iteration in place.

        Parameters
        ----------
        W : ndarray, shape (n_components, n_bins), C-contiguous
            Templates, one a row.
        H : ndarray, shape (n_frames, n_components), C-contiguous
            Activations, frame by frame.
        templates : bool, default True
            Update the templates too.
        divergence : bool, default False
            Compute the divergence.

        Returns
        -------
        float
            Σ V log(V / WH) - V + WH before the iteration; NaN if it was not asked for.
        """
        value = self._pass(W, H, 1, False, templates, divergence)
        if templates:
            self._multiply(W)
        return value

    def sums(
        self, W: Matrix, H: Matrix, *, gather: bool = True
    ) -> tuple[Matrix | None, NDArray[np.float64] | None]:
        """Update the activations in place, and return what an update of the templates would need.

        Returns
        -------
        over : ndarray, shape (n_components, n_bins), or None without `gather`
            (V / WH) Hᵀ at the new activations.
        sums : ndarray, shape (n_components,), or None without `gather`
            Σ_t H.
        """
        self._pass(W, H, 1, False, gather, False)
        return self._gathered(W) if gather else (None, None)

    def sums_and_divergence(
        self, W: Matrix, H: Matrix
    ) -> tuple[Matrix, NDArray[np.float64], float]:
        """Do what `iterate` does in one pass, but return the sums instead of updating W.

        Returns
        -------
        over : ndarray, shape (n_components, n_bins)
            (V / WH) Hᵀ at the new activations.
        sums : ndarray, shape (n_components,)
            Σ_t H.
        divergence : float
            That of the activations that came in.
        """
        divergence = self._pass(W, H, 1, False, True, True)
        return *self._gathered(W), divergence

    def explained(self, W: Matrix, H: Matrix) -> tuple[Matrix, float]:
        """Return what each activation explains, H · (Wᵀ (V / WH)), in the layout of H; H stays.

        Returns
        -------
        explained : ndarray, shape (n_frames, n_components)
            Of all V, what the component accounts for in the frame.
        divergence : float
            That of W and H.
        """
        updated = H.copy()
        divergence = self._pass(W, updated, 1, False, False, True)
        inverse = self._inverse_sums[: H.shape[1]]
        explained: Matrix = updated / np.where(inverse > 0, inverse, H.dtype.type(1))
        return explained, divergence

    def template_sums(self, W: Matrix, H: Matrix) -> Matrix:
        """Return (V / WH) Hᵀ, shape (n_components, n_bins), for activations as they are."""
        self._pass(W, H, 0, False, True, False)
        return self._gathered(W)[0]

    def penalise(self, penalties: Matrix) -> None:
        """Take other penalties, shape (n_components,), ≥ 0, from now on."""
        self._penalties[: self._n_components] = penalties

    def taken(self, array: Matrix) -> Matrix:
        """Return the array itself: it is worked on where it lies."""
        return array

    def given(self, point: Matrix, array: Matrix) -> Matrix:
        """Return what was taken."""
        return point

    def extrapolate(self, x: Matrix, previous: Matrix, b: float) -> None:
        """Do what the function of this name does."""
        both = x, previous
        flat = self._call("extrapolate_flat", both, lambda: (*(a.reshape(-1) for a in both), 0.0))
        flat(float(b))

    def activate(self, W: Matrix, H: Matrix, n_iter: int) -> None:
        """Do `n_iter` accelerated iterations of the activations in place, each frame on its own."""
        self._pass(W, H, n_iter, True, False, False)

    def _gathered(self, W: Matrix) -> tuple[Matrix, NDArray[np.float64]]:
        """Add the sums of all chunks, and return them in the layout of W."""
        K, F = W.shape
        width = VECTORS * BITS // 8 // W.itemsize
        panels = self._N[0].reshape(-1, self._row_sums.shape[1], width)
        over = panels.transpose(1, 0, 2).reshape(self._row_sums.shape[1], -1)[:K, :F]
        return over, self._row_sums[0, :K]

    def _pass(
        self, W: Matrix, H: Matrix, n_inner: int, momentum: bool, gather: bool, divergence: bool
    ) -> float:
        self._call("pack_templates", (W,), lambda: (W, *self._packing))()
        return self._go_over(H, n_inner, momentum, gather, divergence)

    def _multiply(self, W: Matrix) -> None:
        self._call("multiply_templates", (W,), lambda: (W, *self._multiplying))()

    def _go_over(
        self, H: Matrix, n_inner: int, momentum: bool, gather: bool, divergence: bool
    ) -> float:
        """Go over V with the templates as they are laid out."""
        self._counter[:] = 0
        sizes = self._n_bins, self._n_components, n_inner, momentum, gather, divergence
        self._prepared(H, sizes).work()
        return float(sum(self._values.tolist())) if divergence else float("nan")

    def _call(
        self, name: str, arrays: tuple[Matrix, ...], arguments: Callable[[], tuple[Any, ...]]
    ) -> Call:
        """Return a call with some arrays, the one before where it is with the same."""
        key = name, arrays[0].shape
        known, call = self._calls.get(key, ((), None))
        if call is None or any(a is not b for a, b in zip(known, arrays, strict=True)):
            call = Call(kernel(name, self._V.dtype), *arguments())
            self._calls[key] = arrays, call
        return call

    def _prepared(self, H: Matrix, how: tuple[Any, ...]) -> Crew:
        """Return the threads, each with its call."""
        if self._crew is None:
            update = kernel("update_chunks", self._V.dtype)
            calls = [Call(update, *self._before, H, *after, *how) for after in self._after]
            self._crew = Crew(calls[0], calls[1:])
        elif self._given is None or self._given[0] is not H or self._given[1] != how:
            self._crew.take([(*self._before, H, *after, *how) for after in self._after])
        self._given = H, how
        return self._crew


def _edges(n_tiles: int) -> NDArray[np.int64]:
    """Return where chunks begin and end, in tiles, whatever the number of threads."""
    if n_tiles <= len(_CHUNKS):
        return np.arange(n_tiles + 1)
    ends = np.cumsum(_CHUNKS) * (n_tiles / _CHUNKS.sum())
    ends = np.concatenate([[0], np.round(ends)]).astype(np.int64)
    new = np.append(True, np.diff(ends) > 0)
    different: NDArray[np.int64] = ends[new]  # np.unique would load the masked arrays of NumPy
    return different


def _aligned(size: int, dtype: np.dtype[Any]) -> Matrix:
    """Return zeros that start at a cache line."""
    raw = np.zeros(size * dtype.itemsize + 64, np.uint8)
    offset = -raw.ctypes.data % 64
    return raw[offset : offset + size * dtype.itemsize].view(dtype)


def _flat(V: Matrix) -> tuple[Matrix, tuple[int, int]]:
    """Return a read-only view of the memory of a matrix, one-dimensional, and its strides."""
    strides = tuple(s // V.itemsize for s in V.strides)
    if min(strides) < 0 or any(s % V.itemsize for s in V.strides):
        return _flat(np.asfortranarray(V))
    extent = 1 + sum((n - 1) * s for n, s in zip(V.shape, strides, strict=True))
    flat = np.lib.stride_tricks.as_strided(V, (extent,), (V.itemsize,), writeable=False)
    return flat, (strides[0], strides[1])
