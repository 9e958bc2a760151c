"""One pass over V as machine code, in tiles that stay in the cache.

V is cut into chunks of frames, the unit of threading; a chunk into tiles of `TILE` frames; a tile
into blocks of bins that fit the first-level cache. Three small matrix products do all the work, each
a loop over a register tile (`intrinsics`)::

    R  = V / (W H)     lanes are bins,        columns are frames
    G += Wᵀ R          lanes are components,  columns are frames
    N += R Hᵀ          lanes are bins,        columns are components

Every frame takes the same path through the same instructions wherever it lies. numba compiles this
when it is first used and keeps the result on disk.

Layouts: a panel is as many bins as lie in `VECTORS` vectors, a block `PANELS` of them; Kp and Fp are
the numbers of components and bins, rounded up. ``Wp[panel, Kp, bins of a panel]``, ``N`` likewise for
each chunk, ``Wt[Fp, Kp]``, ``Ht[TILE, Kp]``, ``R[TILE, bins of a block]``. Where the last components
fill no more than half a vector, Wt has them of two bins in one, in turns: none of it is idle.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import (
    CacheImpl,
    CompileResultCacheImpl,
    FunctionCache,
    IndexDataCacheFile,
    _CacheLocator,
    _SourceFileBackedLocatorMixin,
)

from audionmf.io.private import private_folder
from audionmf.nmf import intrinsics, shapes
from audionmf.nmf.compiled import OptionalCache, count_kernel
from audionmf.nmf.intrinsics import (
    add_products,
    add_row,
    block_divergence,
    claim,
    copy_vector,
    fetch_add,
    flush_denormals,
    interleave,
    lanes_of,
    leap_row,
    multiply_row,
    ratio_tile,
    restore_denormals,
    step_row,
    sum_halves,
    sum_pairs,
    sum_singles,
    sum_tile,
    transpose,
)
from audionmf.nmf.shapes import BITS, COLUMNS, PANELS, TILE, TINY, VECTORS

__all__ = [
    "curve_tiles",
    "extrapolate_flat",
    "multiply_templates",
    "pack_templates",
    "pool_tiles",
    "update_chunks",
]


class _PrivateLocator(_SourceFileBackedLocatorMixin, _CacheLocator):
    """Keeps code in a private folder below that for temporary files."""

    def __init__(self, function: Any, file: str) -> None:
        folder = private_folder()
        if folder is None:
            raise OSError
        self._py_file = file
        self._lineno = function.__code__.co_firstlineno
        self._cache_path = str(folder / self.get_suitable_cache_subpath(file))

    def get_cache_path(self) -> str:
        """Return the folder."""
        return self._cache_path

    @classmethod
    def from_function(cls, function: Any, file: str) -> Any:
        """Return a locator, or None if there is no such folder."""
        try:
            found = cls(function, file)
            found.ensure_cache_path()
        except OSError:
            return None
        return found


class _Places(CompileResultCacheImpl):
    """Where code is kept: where numba keeps it, or in a private folder for users who have no home."""

    def __init__(self, function: Any) -> None:
        self._locator_classes = [*CacheImpl._locator_classes, _PrivateLocator]
        super().__init__(function)


class _Cache(OptionalCache, FunctionCache):
    """numba's cache on disk, as far as it can be read and written.

    numba makes code anew when the file of a function has changed; here also when those of the
    intrinsics and sizes have, which are part of it. It reads code where it writes it; here also what
    lies beside the package, so that one who may write there compiles for all users of a machine.
    """

    _impl_class = _Places

    def __init__(self, function: Any) -> None:
        super().__init__(function)
        with contextlib.suppress(OSError):  # there may be no such file in a frozen program
            found = [Path(file).stat() for file in (intrinsics.__file__, shapes.__file__)]
            self._cache_file._source_stamp = (
                self._cache_file._source_stamp, *((f.st_mtime, f.st_size) for f in found),
            )  # fmt: skip
        self._beside = IndexDataCacheFile(
            str(Path(__file__).parent / "__pycache__"),
            self._impl.filename_base,
            self._cache_file._source_stamp,
        )

    def _load_overload(self, sig: Any, target_context: Any) -> Any:
        kept = super()._load_overload(sig, target_context)
        if kept is None and self._enabled:
            data = self._beside.load(self._index_key(sig, target_context.codegen()))
            kept = None if data is None else self._impl.rebuild(target_context, data)
        return kept


_LESS_TO_COMPILE: dict[str, Any] = {"no_cfunc_wrapper": True, "_nrt": False}
"""Nobody calls kernels from C, and none makes an array: numba would compile what that takes, too."""


def _compiled(**options: Any) -> Callable[[Any], Any]:
    """Return numba's decorator; without the cache where no folder for it can be written."""

    def decorate(function: Any) -> Any:
        all_options = {"error_model": "numpy", **_LESS_TO_COMPILE, **options}
        compiled = numba.njit(**all_options)(function)
        count_kernel()
        with contextlib.suppress(RuntimeError):
            compiled._cache = _Cache(function)
        return compiled

    return decorate


def _part(**options: Any) -> Callable[[Any], Any]:
    """Return the decorator of what only kernels call: it needs no way in from Python."""
    return _compiled(no_cpython_wrapper=True, **options)


@_part()
def _block_ratio(
    p0: int,
    p1: int,
    K: int,
    Kp: int,
    Wp: Any,
    Ht: Any,
    R: Any,
    V: Any,
    v0: int,
    vs: int,
    ahead: int,
    n_columns: int,
) -> None:
    """Set R = V / (W H) for the panels p0 … p1 and the first columns of a tile.

    With `ahead` what lies so far from there is fetched, in the order of the memory: the processor
    foresees that, and does not foresee the order of the tiles.
    """
    width = VECTORS * lanes_of(R)
    for p in range(p0, p1):
        for t in range(0, n_columns, COLUMNS):
            here, far = v0 + t * vs + p * width, v0 + ahead + (p * TILE + t) * width
            ratio_tile(
                K, Wp, p * Kp * width, width, Ht, t * Kp, 1, Kp,
                R, t * PANELS * width + (p - p0) * width, PANELS * width,
                V, here, vs, far if ahead else here,
            )  # fmt: skip


@_part()
def _pack_tile(
    V: Any, fs: int, ts: int, t0: int, n_frames: int, F: int, Fp: int, lanes: int, packed: Any
) -> None:
    """Set ``packed[t, f] = V[f, t0 + t]``, V addressed by its strides; what is beyond is 0."""
    f_end = t_end = 0
    if ts == 1:
        f_end, t_end = F - F % lanes, n_frames - n_frames % lanes
        for f in range(0, f_end, lanes):
            for t in range(0, t_end, lanes):
                transpose(V, f * fs + t0 + t, fs, packed, t * Fp + f, Fp, TILE)
    for t in range(n_frames):
        for f in range(f_end if t < t_end else 0, F):
            packed[t * Fp + f] = V[f * fs + (t0 + t) * ts]
    packed[n_frames * Fp :] = 0


@_part()
def _gather_activations(
    W_ratio: Any,
    p0: int,
    n_bins: int,
    K: int,
    Kp: int,
    Wt: Any,
    G: Any,
    n_columns: int,
) -> None:
    """Add Wᵀ R of one block to G, for the first columns of a tile at least; the first block sets it."""
    lanes: int = lanes_of(G)
    width = VECTORS * lanes
    stride, w0 = PANELS * width, p0 * width * Kp
    half = 0 < K % lanes <= lanes // 2
    full = K // lanes * lanes if half else (K + lanes - 1) // lanes * lanes
    pairs = full // (2 * lanes) * 2 * lanes
    for k in range(0, pairs, 2 * lanes):
        for t in range(0, n_columns, COLUMNS):
            sum_pairs(
                n_bins, Wt, w0 + k, Kp, W_ratio, t * stride, 1, stride, G, t * Kp + k, Kp, p0 == 0
            )  # fmt: skip
    for k in range(pairs, full, lanes):
        for t in range(0, n_columns, 2 * COLUMNS):
            sum_singles(
                n_bins, Wt, w0 + k, Kp, W_ratio, t * stride, 1, stride, G, t * Kp + k, Kp, p0 == 0
            )  # fmt: skip
    if half:
        if n_bins % 2:
            for t in range(n_columns):
                W_ratio[t * stride + n_bins] = 0
        for t in range(0, n_columns, 2 * COLUMNS):
            sum_halves(
                (n_bins + 1) // 2, Wt, w0 + full, 2 * Kp, W_ratio, t * stride, 2, stride,
                G, t * Kp + full, Kp, p0 == 0,
            )  # fmt: skip


@_part()
def _carry_frames(
    Ht: Any,
    G: Any,
    inverse_sums: Any,
    free: Any,
    n_frames: int,
    previous: Any,
    age: Any,
    first: bool,
    last: bool,
) -> None:
    """Multiply the activations of a tile by their ratios, and extrapolate them.

    Momentum is restarted in a frame where the step goes uphill: where the gradient at the
    extrapolated point and the step point the same way (O'Donoghue and Candès 2015).
    """
    one, zero = Ht.dtype.type(1), Ht.dtype.type(0)
    Kp = inverse_sums.size
    for t in range(n_frames):
        uphill: float = step_row(Ht, t * Kp, G, inverse_sums, free, previous, Kp)
        age[t] = one if first else (zero if uphill > zero else age[t] + one)
        b = zero if first or last else (age[t] - one) / (age[t] + one + one)
        leap_row(Ht, t * Kp, G, previous, b, Kp)


_TICKETS, _ADDED, _DONE = 1, 2, 3
"""Where counters hold how many chunks nobody has looked at, how many are added, and which are done."""


@_compiled(nogil=True)
def update_chunks(
    counter: Any,
    edges: Any,
    values: Any,
    V: Any,
    fs: int,
    ts: int,
    H: Any,
    Wp: Any,
    Wt: Any,
    inverse_sums: Any,
    free: Any,
    N: Any,
    row_sums: Any,
    R: Any,
    packed: Any,
    Ht: Any,
    G: Any,
    previous: Any,
    age: Any,
    F: int,
    K: int,
    n_inner: int,
    momentum: bool,
    gather: bool,
    want_divergence: bool,
) -> None:
    """Update one chunk after the other, each the next that no thread has taken yet.

    Of each, update the activations; with `gather`, N = R Hᵀ and Σ_t H of them. `values` become
    Σ V (log R - 1) + WH at the activations that came in, if it is wanted.

    With `gather` sums of chunks are added to those of the first, in their order: by one thread at a
    time, what is done by then, while others go on. ``counter[n_chunks + 3]`` begins with zeros.
    """
    Kp = inverse_sums.size
    lanes: int = lanes_of(V)
    width = VECTORS * lanes
    n_panels = (F + width - 1) // width
    Fp, stride = n_panels * width, PANELS * width
    n_chunks: int = values.size
    divergence, t0 = 0.0, -1
    mode: int = flush_denormals()
    c: int = claim(counter)
    while c < n_chunks:  # one loop for chunks and their tiles: it takes less to compile than two
        first, stop = edges[c], edges[c + 1]
        chunk_N, chunk_sums = N[c], row_sums[c]
        if t0 < 0:
            divergence, t0 = 0.0, first
            if gather:
                chunk_sums[:] = 0
        n_frames = min(TILE, stop - t0)
        n_columns = (n_frames + COLUMNS - 1) // COLUMNS * COLUMNS  # a single frame is cheap
        if fs != 1 or n_frames < TILE or (t0 + n_frames - 1) * ts + Fp > V.size:
            _pack_tile(V, fs, ts, t0, n_frames, F, Fp, lanes, packed)
            X, x0, xs, beyond = packed, 0, Fp, 0
        else:  # lanes past the last bin hold the next frame; templates are 0 there
            X, x0, xs, beyond = V, t0 * ts, ts, TILE * ts
        Ht[n_frames:] = 0
        for t in range(n_frames):  # numba would compile the error of an unequal assignment
            for k in range(K):
                Ht[t, k] = H[t0 + t, k]
        if want_divergence:
            for k in range(K):
                total = 0.0
                for t in range(n_frames):
                    total += Ht[t, k]
                divergence += total / inverse_sums[k] if inverse_sums[k] > 0 else 0.0
        for inner in range(n_inner):
            ahead = 0 if gather or inner < n_inner - 1 else beyond
            for p0 in range(0, n_panels, PANELS):
                p1 = min(p0 + PANELS, n_panels)
                _block_ratio(p0, p1, K, Kp, Wp, Ht, R, X, x0, xs, ahead, n_columns)
                n_bins = min(F - p0 * width, stride)
                if want_divergence and inner == 0:
                    divergence += block_divergence(
                        R, stride, X, x0 + p0 * width, xs, n_frames, n_bins
                    )
                _gather_activations(R, p0, n_bins, K, Kp, Wt, G, n_columns)
            if momentum:
                _carry_frames(
                    Ht, G, inverse_sums, free, n_frames, previous, age, inner == 0,
                    inner == n_inner - 1,
                )  # fmt: skip
            else:
                for t in range(n_frames):
                    multiply_row(Ht, t * Kp, G, inverse_sums, free, Kp)
        for t in range(n_frames):
            for k in range(K):
                H[t0 + t, k] = Ht[t, k]
        if gather:
            for t in range(n_frames):
                for k in range(Kp):
                    chunk_sums[k] += Ht[t, k]
            for p0 in range(0, n_panels, PANELS):
                p1 = min(p0 + PANELS, n_panels)
                _block_ratio(p0, p1, K, Kp, Wp, Ht, R, X, x0, xs, beyond, n_columns)
                for p in range(p0, p1):
                    for k in range(0, K, COLUMNS):  # beyond them N stays 0
                        sum_tile(
                            n_columns, R, (p - p0) * width, stride, Ht, k, Kp, 1,
                            chunk_N, (p * Kp + k) * width, width, t0 == first,
                        )  # fmt: skip
        t0 += TILE
        if t0 < stop:
            continue
        values[c] = divergence
        fetch_add(counter, _DONE + c, 1)
        seen = 1 if fetch_add(counter, _TICKETS, 1) == 0 else 0
        while seen > 0:
            at = fetch_add(counter, _ADDED, 0)
            while at < n_chunks and fetch_add(counter, _DONE + at, 0) > 0:
                if gather and at > 0:
                    add_row(N, at * N.shape[1], N.shape[1])
                    add_row(row_sums, at * row_sums.shape[1], row_sums.shape[1])
                at = fetch_add(counter, _ADDED, 1) + 1
            seen = fetch_add(counter, _TICKETS, -seen) - seen
        c, t0 = claim(counter), -1
    restore_denormals(mode)


@_compiled(fastmath={"reassoc"})
def pack_templates(W: Any, Wp: Any, Wt: Any, inverse_sums: Any, penalties: Any) -> None:
    """Lay out the templates (K, F) for the two products, and take their sums, plus penalties."""
    K, F = W.shape
    Kp: int = inverse_sums.size
    lanes: int = lanes_of(W)
    width = VECTORS * lanes
    whole = F // width * width
    for k in range(K):
        total = 0.0
        for f in range(F):
            total += W[k, f]
        inverse_sums[k] = 1 / (total + penalties[k]) if total > TINY else 0
        for f in range(0, whole, lanes):
            copy_vector(W, k * F + f, Wp, (f // width * Kp + k) * width + f % width)
        for f in range(whole, F):
            Wp[(whole * Kp + k * width) + f - whole] = W[k, f]
    for f in range(F):
        for k in range(K):
            Wt[f * Kp + k] = W[k, f]
    if 0 < K % lanes <= lanes // 2:
        for f in range(0, F, 2):
            place = f * Kp + K // lanes * lanes
            interleave(Wt, place, place + Kp)


@_compiled()
def multiply_templates(W: Any, N: Any, row_sums: Any, free: Any) -> None:
    """Set W ← W · N / Σ_t H with the added sums."""
    K, F = W.shape
    Kp = row_sums.shape[1]
    width = VECTORS * (64 * BITS // 512 // W.itemsize)
    tiny, zero = W.dtype.type(TINY), W.dtype.type(0)
    for k in range(K):
        if not free[k]:
            continue
        scale = W.dtype.type(1 / row_sums[0, k] if row_sums[0, k] > TINY else 0.0)
        for p in range((F + width - 1) // width):
            f0, n0 = p * width, (p * Kp + k) * width
            n = min(width, F - f0)
            for i in range(n):  # numba would compile more for parts of arrays
                w = W[k, f0 + i] * (N[0, n0 + i] * scale)
                W[k, f0 + i] = w if w > tiny else zero


@_compiled()
def extrapolate_flat(x: Any, previous: Any, b: float) -> None:
    """Do what `kernels.extrapolate` does, with arrays of one dimension."""
    one, c = x.dtype.type(1), x.dtype.type(b)
    for i in range(x.size):
        new, old = x[i], previous[i]
        if new > 0 and old > 0:
            over = (one + c) * new + (one - c) * old
            x[i] = new * (over / ((one - c) * new + (one + c) * old))
        previous[i] = new


@_compiled(nogil=True)
def pool_tiles(
    counter: Any,
    V: Any,
    scales: Any,
    edges: Any,
    larger: Any,
    levelled: Any,
    pooled: Any,
    merged: Any,
) -> None:
    """Divide frames by their scales, and sum the rows of each group.

    V and `levelled` lie frame by frame, ``pooled[frames, groups]`` too; ``merged[tiles, groups, TILE]``
    are the same sums times a number, with lanes for the frames of a tile.
    """
    n_frames, n_rows = V.shape
    n_groups, zero = edges.size - 1, V.dtype.type(0)
    tile: int = claim(counter)
    while tile * TILE < n_frames:
        t0, beyond = tile * TILE, n_frames - 1
        for t in range(t0, min(t0 + TILE, n_frames), 4):  # sums wait for themselves: four at a time
            u, v, w = min(t + 1, beyond), min(t + 2, beyond), min(t + 3, beyond)
            for i in range(t, w + 1):
                scale = scales[i]
                for f in range(n_rows):
                    levelled[i, f] = V[i, f] / scale
            for c in range(n_groups):
                at_t = at_u = at_v = at_w = zero
                for f in range(edges[c], edges[c + 1]):
                    at_t += levelled[t, f]
                    at_u += levelled[u, f]
                    at_v += levelled[v, f]
                    at_w += levelled[w, f]
                pooled[t, c], pooled[u, c], pooled[v, c], pooled[w, c] = at_t, at_u, at_v, at_w
                group, by = merged[tile, c], larger[c]
                group[t - t0], group[u - t0] = at_t * by, at_u * by
                group[v - t0], group[w - t0] = at_v * by, at_w * by
        tile = claim(counter)


@_compiled(nogil=True)
def curve_tiles(
    counter: Any,
    H: Any,
    updated: Any,
    step: Any,
    slope: Any,
    merged: Any,
    Wg: Any,
    products: Any,
    places: Any,
    costs: Any,
    curves: Any,
    Ht: Any,
    D: Any,
    state: Any,
    relaxed: float,
    n_sweeps: int,
    fresh: bool,
    last: bool,
) -> None:
    """Move the activations of tiles of frames by a step of Newton's method, as `newton` says.

    `updated` are those after a plain update, from which the gradient follows. Without `fresh` the
    curvature is that of the step before. Layouts, with lanes for the frames of a tile:
    ``Ht[K + 3, TILE]``, ``D[groups, TILE]``, ``curves[tiles, pairs, TILE]``, and in
    ``state[3, K, TILE]`` gradient, step and inverse curvature;
    ``products[pairs / COLUMNS, groups, COLUMNS]``.
    """
    n_frames, K = H.shape
    n_groups, n_pairs = products.shape[1], products.shape[0] * COLUMNS
    lanes = 64 * BITS // 512 // H.itemsize
    zero, one, floor = H.dtype.type(0), H.dtype.type(1), H.dtype.type(1e-15)
    relax = H.dtype.type(relaxed)
    tenth, least = H.dtype.type(0.1), H.dtype.type(1e-7)
    g, d, inverse = state[0], state[1], state[2]
    before, lows, r = Ht[K], Ht[K + 1], Ht[K + 2]
    tile: int = claim(counter)
    while tile * TILE < n_frames:
        t0 = tile * TILE
        n = min(TILE, n_frames - t0)
        Ht[:] = zero
        g[:] = zero
        for t in range(n):
            for k in range(K):
                h = H[t0 + t, k]
                Ht[k, t] = h
                lows[t] = max(lows[t], least * h)
                g[k, t] = costs[k] * (one - updated[t0 + t, k] / h) if h > zero else zero
                before[t] += g[k, t] * step[t0 + t, k]
        B = curves[tile]
        if fresh:
            for c in range(0, n_groups, COLUMNS):
                for t in range(0, n, 2 * lanes):
                    sum_pairs(K, Ht, t, TILE, Wg, c, n_groups, 1, D, c * TILE + t, TILE, True)
            for c in range(n_groups):
                model, data = D[c], merged[tile, c]
                for t in range(TILE):
                    over = one / max(model[t], floor)
                    model[t] = data[t] * over * over
            for c in range(0, n_pairs, COLUMNS):
                for t in range(0, n, 2 * lanes):
                    sum_pairs(
                        n_groups, D, t, TILE, products, c * n_groups, COLUMNS, 1,
                        B, c * TILE + t, TILE, True,
                    )  # fmt: skip
        if not last:
            for k in range(K):
                diagonal = B[places[k, k]]
                for t in range(TILE):
                    h, b = Ht[k, t], diagonal[t]
                    d[k, t] = zero
                    inverse[k, t] = relax / b if h > zero and b > floor else zero
            for sweep in range(n_sweeps):
                for k in range(K):
                    for t in range(TILE):
                        r[t] = g[k, t]
                    for t in range(0, TILE, 4 * lanes):
                        add_products(K if sweep else k, places, k * K, d, B, r, t, TILE)
                    for t in range(TILE):
                        h = Ht[k, t]
                        low = min(h, max(tenth * h, lows[t])) - h
                        d[k, t] = max(d[k, t] - r[t] * inverse[k, t], low)
        for t in range(n):
            if (
                before[t] > -slope[t0 + t]
            ):  # too far: back to where the slope ends, in a straight line
                share = -slope[t0 + t] / (before[t] - slope[t0 + t])
                share = min(max(share, zero), one)
                slope[t0 + t] *= share
                for k in range(K):
                    new = Ht[k, t] - (one - share) * step[t0 + t, k]
                    H[t0 + t, k] = new if new > zero else zero
                    step[t0 + t, k] *= share
            else:
                total = zero
                for k in range(K):
                    old, new = Ht[k, t], updated[t0 + t, k]
                    if not last and inverse[k, t] > zero:
                        new = max(old + d[k, t], zero)
                    H[t0 + t, k] = new
                    step[t0 + t, k] = new - old
                    total += g[k, t] * (new - old)
                slope[t0 + t] = total
        tile = claim(counter)
