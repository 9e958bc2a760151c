"""The Kullback–Leibler update as machine code: one pass over V, in tiles that stay in the cache.

An iteration updates H, then W::

    H ← H · (Wᵀ (V / WH)) / Σ_f W          W ← W · ((V / WH) Hᵀ) / Σ_t H

V is cut into chunks of frames, the unit of threading; a chunk into tiles of `TILE` frames; a tile
into blocks of bins that fit the first-level cache. Three small matrix products do all the work, each
a loop over a register tile that `_micro_gemm` makes::

    R  = V / (W H)     lanes are bins,        columns are frames
    G += Wᵀ R          lanes are components,  columns are frames
    N += R Hᵀ          lanes are bins,        columns are components

Every frame takes the same path through the same instructions wherever it lies, and the sums of the
chunks are added in their order: results depend neither on the number of threads nor on how frames
are shared out. numba compiles this when it is first used and keeps the result on disk.

Layouts: a panel is `_LANES` × `_VECTORS` bins; Kp and Fp are the numbers of components and bins,
rounded up. ``Wp[panel, Kp, bins of a panel]``, ``N`` likewise for each chunk, ``Wt[Fp, Kp]``,
``Ht[TILE, Kp]``, ``R[TILE, bins of a block]``.

The scheme of packed panels and register tiles is that of Goto and van de Geijn, "Anatomy of
high-performance matrix multiplication", ACM Transactions on Mathematical Software 34(3), 2008.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import llvmlite.binding as llvm
import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.caching import FunctionCache
from numba.extending import intrinsic
from numpy.typing import NDArray

from audionmf.nmf.compiled import OptionalCache

__all__ = ["TINY", "KLKernel", "extrapolate"]

Matrix = NDArray[np.floating[Any]]

TINY = 1e-30
"""Least value of WH in a division; entries of W and H below it become 0, so none is denormal."""

TILE = 64
_MAX_CHUNKS = 16
_PANELS = 2


def _vector_bits() -> int:
    try:
        features = llvm.get_host_cpu_features()
    except RuntimeError:  # not known for this processor
        return 128
    return 512 if features.get("avx512f") else 256 if features.get("avx") else 128


_BITS = _vector_bits()
_VECTORS, _COLUMNS = (2, 8) if _BITS == 512 else (3, 4)


class _Cache(OptionalCache, FunctionCache):
    """numba's cache on disk, as far as it can be read and written."""


def _compiled(**options: Any) -> Callable[[Any], Any]:
    """Return numba's decorator; without the cache where no folder for it can be written."""

    def decorate(function: Any) -> Any:
        compiled = numba.njit(error_model="numpy", **options)(function)
        with contextlib.suppress(RuntimeError):
            compiled._cache = _Cache(function)
        return compiled

    return decorate


class _Vector:
    """Emits vector instructions for the element type of an array argument."""

    def __init__(self, context: Any, builder: Any, signature: Any, arguments: Any, i: int) -> None:
        self.context, self.builder = context, builder
        self.signature, self.arguments = signature, arguments
        self.element = context.get_data_type(signature.args[i].dtype)
        self.align = 8 if isinstance(self.element, ir.DoubleType) else 4
        self.lanes = _BITS // 8 // self.align
        self.type = ir.VectorType(self.element, self.lanes)

    def pointer(self, i: int, offset: Any) -> Any:
        array = self.context.make_array(self.signature.args[i])
        return self.builder.gep(array(self.context, self.builder, self.arguments[i]).data, [offset])

    def at(self, pointer: Any, offset: Any) -> Any:
        return self.builder.bitcast(self.builder.gep(pointer, [offset]), self.type.as_pointer())

    def load(self, pointer: Any, offset: Any) -> Any:
        return self.builder.load(self.at(pointer, offset), align=self.align)

    def store(self, value: Any, pointer: Any, offset: Any) -> None:
        self.builder.store(value, self.at(pointer, offset), align=self.align)

    def constant(self, value: float) -> Any:
        return ir.Constant(self.type, [value] * self.lanes)

    def shuffle(self, x: Any, y: Any, order: list[int]) -> Any:
        indices = ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), order)
        return self.builder.shuffle_vector(x, y, indices)

    def broadcast(self, pointer: Any, offset: Any) -> Any:
        value = self.builder.load(self.builder.gep(pointer, [offset]), align=self.align)
        empty = ir.Constant(self.type, ir.Undefined)
        first = self.builder.insert_element(empty, value, ir.IntType(32)(0))
        return self.shuffle(first, first, [0] * self.lanes)

    def prefetch(self, pointer: Any, offset: Any) -> None:
        byte, word = ir.IntType(8).as_pointer(), ir.IntType(32)
        function = cgutils.get_or_insert_function(
            self.builder.module,
            ir.FunctionType(ir.VoidType(), [byte, word, word, word]),
            "llvm.prefetch.p0",
        )
        place = self.builder.bitcast(self.builder.gep(pointer, [offset]), byte)
        self.builder.call(function, [place, word(0), word(2), word(1)])


def _multiply_add(builder: Any, x: Any, y: Any, z: Any) -> Any:
    return builder.fadd(builder.fmul(x, y, flags=("contract",)), z, flags=("contract",))


def _micro_gemm(vectors: int, columns: int, *, ratio: bool) -> Any:
    """Make the product over one register tile, `vectors` × `columns`, an intrinsic of numba.

    ::

        acc[:, j] = Σ_{r<n} A[a0 + r·ars : + vectors·lanes] · B[b0 + r·brs + j·bns]
        C[c0 + j·cns : + vectors·lanes] += acc[:, j]                                     (sum)
        C[c0 + j·cns : + vectors·lanes]  = V[v0 + j·vns : …] / max(acc[:, j], TINY)      (ratio)

    The ratio form also prefetches ``V[v0 + ahead + …]``.
    """

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        n, _, a0, ars, _, b0, brs, bns, _, c0, cns, *v_arguments = arguments
        vector, i64 = _Vector(context, builder, signature, arguments, 1), ir.IntType(64)
        a, b, c = vector.pointer(1, a0), vector.pointer(4, b0), vector.pointer(8, c0)
        lanes = [i64(i * vector.lanes) for i in range(vectors)]
        tile = [(i, j) for j in range(columns) for i in range(vectors)]
        b_column = [builder.mul(bns, i64(j)) for j in range(columns)]
        c_place = [builder.add(builder.mul(cns, i64(j)), lanes[i]) for i, j in tile]
        start = [vector.constant(0.0) if ratio else vector.load(c, p) for p in c_place]

        entry, loop = builder.block, builder.append_basic_block()
        done = builder.append_basic_block()
        builder.branch(loop)
        builder.position_at_end(loop)  # n is at least 1
        first = [i64(0), a, b, *start]
        phis = [builder.phi(x.type) for x in first]
        r, at_a, at_b, *sums = phis
        left = [vector.load(at_a, lane) for lane in lanes]
        right = [vector.broadcast(at_b, p) for p in b_column]
        sums = [
            _multiply_add(builder, left[i], right[j], x)
            for (i, j), x in zip(tile, sums, strict=True)
        ]
        r = builder.add(r, i64(1))
        following = [r, builder.gep(at_a, [ars]), builder.gep(at_b, [brs]), *sums]
        for phi, x, y in zip(phis, first, following, strict=True):
            phi.add_incoming(x, entry)
            phi.add_incoming(y, loop)
        builder.cbranch(builder.icmp_signed("<", r, n), loop, done)
        builder.position_at_end(done)

        for (i, j), place, x in zip(tile, c_place, sums, strict=True):
            value = x
            if ratio:
                _, v0, vns, ahead = v_arguments
                v, v_place = vector.pointer(11, v0), builder.add(builder.mul(vns, i64(j)), lanes[i])
                floor = vector.constant(TINY)
                bounded = builder.select(builder.fcmp_ordered(">", x, floor), x, floor)
                value = builder.fdiv(vector.load(v, v_place), bounded)
                vector.prefetch(v, builder.add(v_place, ahead))
            vector.store(value, c, place)
        return context.get_dummy_value()

    if ratio:

        @intrinsic
        def gemm(
            typingctx: Any,
            n: Any,
            A: Any,
            a0: Any,
            ars: Any,
            B: Any,
            b0: Any,
            brs: Any,
            bns: Any,
            C: Any,
            c0: Any,
            cns: Any,
            V: Any,
            v0: Any,
            vns: Any,
            ahead: Any,
        ) -> Any:
            return (
                types.void(n, A, a0, ars, B, b0, brs, bns, C, c0, cns, V, v0, vns, ahead),
                codegen,
            )
    else:

        @intrinsic
        def gemm(
            typingctx: Any,
            n: Any,
            A: Any,
            a0: Any,
            ars: Any,
            B: Any,
            b0: Any,
            brs: Any,
            bns: Any,
            C: Any,
            c0: Any,
            cns: Any,
        ) -> Any:
            return types.void(n, A, a0, ars, B, b0, brs, bns, C, c0, cns), codegen

    return gemm


_ratio = _micro_gemm(_VECTORS, _COLUMNS, ratio=True)
_sum = _micro_gemm(_VECTORS, _COLUMNS, ratio=False)
_sum_pair = _micro_gemm(2, _COLUMNS, ratio=False)
_sum_single = _micro_gemm(1, 2 * _COLUMNS, ratio=False)


@intrinsic
def _transpose(
    typingctx: Any, A: Any, a0: Any, ars: Any, B: Any, b0: Any, brs: Any, ahead: Any
) -> Any:
    """Set ``B[b0 + j·brs + i] = A[a0 + i·ars + j]`` for i, j < lanes; prefetch ``A[a0 + ahead]``."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _, a0, ars, _, b0, brs, ahead = arguments
        vector, i64 = _Vector(context, builder, signature, arguments, 0), ir.IntType(64)
        a, b, n = vector.pointer(0, a0), vector.pointer(3, b0), vector.lanes
        rows = [vector.load(a, builder.mul(ars, i64(i))) for i in range(n)]
        for i in range(n):
            vector.prefetch(a, builder.add(ahead, builder.mul(ars, i64(i))))
        d = 1
        while d < n:  # swap the blocks of d × d off the diagonal
            low = [x if not x & d else n + x - d for x in range(n)]
            high = [x + d if not x & d else n + x for x in range(n)]
            for i in range(n):
                if not i & d:
                    x, y = rows[i], rows[i + d]
                    rows[i], rows[i + d] = vector.shuffle(x, y, low), vector.shuffle(x, y, high)
            d *= 2
        for j in range(n):
            vector.store(rows[j], b, builder.mul(brs, i64(j)))
        return context.get_dummy_value()

    return types.void(A, a0, ars, B, b0, brs, ahead), codegen


@intrinsic
def _claim(typingctx: Any, counter: Any) -> Any:
    """Return ``counter[0]`` and add one to it, at once for all threads."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return builder.atomic_rmw("add", data, ir.IntType(64)(1), "monotonic")

    return types.int64(counter), codegen


@intrinsic
def _log(typingctx: Any, x: Any) -> Any:
    """Return log(x) for x > 0 and normal, something finite for 0; LLVM turns it into vectors.

    x = m 2^e with m from √½ to √2, and log m = 2 atanh((m - 1) / (m + 1)) by its series.
    """

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        double = x.bitwidth == 64
        element, mantissa, terms = arguments[0].type, 52 if double else 23, 10 if double else 5
        integer = ir.IntType(x.bitwidth)
        half = int(np.array(0.5**0.5, x.name).view(f"i{x.bitwidth // 8}"))
        bits = builder.bitcast(arguments[0], integer)
        e = builder.ashr(builder.sub(bits, integer(half)), integer(mantissa))
        m = builder.bitcast(builder.sub(bits, builder.shl(e, integer(mantissa))), element)
        s = builder.fdiv(builder.fsub(m, element(1)), builder.fadd(m, element(1)))
        z, q = builder.fmul(s, s), element(0)
        for k in reversed(range(terms)):
            q = _multiply_add(builder, q, z, element(2 / (2 * k + 1)))
        exponent = builder.sitofp(e, element)
        return _multiply_add(builder, exponent, element(float(np.log(2))), builder.fmul(q, s))

    return x(x), codegen


@_compiled(fastmath={"reassoc", "contract", "nsz"})
def _block_divergence(
    R: Any, stride: int, V: Any, v0: int, vs: int, n_frames: int, n_bins: int
) -> Any:
    """Return Σ V (log R - 1) over a block."""
    total = 0.0
    for t in range(n_frames):
        ratios, data = R[t * stride : t * stride + n_bins], V[v0 + t * vs : v0 + t * vs + n_bins]
        row = R.dtype.type(0)
        for f in range(n_bins):
            row += data[f] * (_log(ratios[f]) - R.dtype.type(1))
        total += row
    return total


@_compiled()
def _block_ratio(
    p0: int,
    p1: int,
    width: int,
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
    """Set R = V / (W H) for the panels p0 … p1 and the first columns of a tile."""
    for p in range(p0, p1):
        for t in range(0, n_columns, _COLUMNS):
            _ratio(
                K, Wp, p * Kp * width, width, Ht, t * Kp, 1, Kp,
                R, t * _PANELS * width + (p - p0) * width, _PANELS * width,
                V, v0 + t * vs + p * width, vs, ahead,
            )  # fmt: skip


@_compiled()
def _pack_tile(
    V: Any, fs: int, ts: int, t0: int, n_frames: int, F: int, Fp: int, lanes: int, packed: Any
) -> None:
    """Set ``packed[t, f] = V[f, t0 + t]``, V addressed by its strides; what is beyond is 0."""
    f_end = t_end = 0
    if ts == 1:
        f_end, t_end = F - F % lanes, n_frames - n_frames % lanes
        for f in range(0, f_end, lanes):
            for t in range(0, t_end, lanes):
                _transpose(V, f * fs + t0 + t, fs, packed, t * Fp + f, Fp, TILE)
    for t in range(n_frames):
        for f in range(f_end if t < t_end else 0, F):
            packed[t * Fp + f] = V[f * fs + (t0 + t) * ts]
    packed[n_frames * Fp :] = 0


@_compiled()
def _gather_activations(
    W_ratio: Any,
    p0: int,
    n_bins: int,
    width: int,
    Kp: int,
    lanes: int,
    Wt: Any,
    G: Any,
    n_columns: int,
) -> None:
    """Add Wᵀ R of one block to G, for the first columns of a tile at least."""
    stride, w0 = _PANELS * width, p0 * width * Kp
    pairs = Kp // (2 * lanes) * 2 * lanes
    for k in range(0, pairs, 2 * lanes):
        for t in range(0, n_columns, _COLUMNS):
            _sum_pair(n_bins, Wt, w0 + k, Kp, W_ratio, t * stride, 1, stride, G, t * Kp + k, Kp)
    for k in range(pairs, Kp, lanes):
        for t in range(0, n_columns, 2 * _COLUMNS):
            _sum_single(n_bins, Wt, w0 + k, Kp, W_ratio, t * stride, 1, stride, G, t * Kp + k, Kp)


@_compiled()
def _multiply_frames(
    Ht: Any,
    G: Any,
    inverse_sums: Any,
    free: Any,
    n_frames: int,
    previous: Any,
    age: Any,
    extrapolating: bool,
    last: bool,
) -> None:
    """Multiply the activations of a tile by their ratios; extrapolate them if asked to.

    Momentum is restarted in a frame where the step goes uphill: where the gradient at the
    extrapolated point and the step point the same way (O'Donoghue and Candès 2015).
    """
    one, zero, tiny = Ht.dtype.type(1), Ht.dtype.type(0), Ht.dtype.type(TINY)
    for t in range(n_frames):
        uphill = zero
        for k in range(inverse_sums.size):
            if free[k]:
                ratio = G[t, k] * inverse_sums[k]
                h = Ht[t, k] * ratio
                G[t, k] = h if h > tiny else zero
                if extrapolating and inverse_sums[k] > zero:
                    uphill += (one - ratio) * (G[t, k] - previous[t, k]) / inverse_sums[k]
            else:
                G[t, k] = Ht[t, k]
        age[t] = zero if uphill > zero else age[t] + one
        b = zero if last else (age[t] - one) / (age[t] + one + one)
        for k in range(inverse_sums.size):
            x = G[t, k]
            if extrapolating and b > zero and x > zero and previous[t, k] > zero:
                p = previous[t, k]
                Ht[t, k] = x * (((one + b) * x + (one - b) * p) / ((one - b) * x + (one + b) * p))
            else:
                Ht[t, k] = x
            previous[t, k] = x


@_compiled()
def _update_chunk(
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
    first: int,
    stop: int,
    n_inner: int,
    momentum: bool,
    gather: bool,
    want_divergence: bool,
) -> Any:
    """Update the activations of the frames first … stop; with `gather`, N = R Hᵀ and Σ_t H of them.

    Returns Σ V (log R - 1) + WH at the activations that came in, if it is wanted.
    """
    Kp = inverse_sums.size
    lanes = 64 * _BITS // 512 // V.itemsize
    width = _VECTORS * lanes
    n_panels = (F + width - 1) // width
    Fp, stride = n_panels * width, _PANELS * width
    divergence = 0.0
    if gather:
        N[:] = 0
        row_sums[:] = 0
    for t0 in range(first, stop, TILE):
        n_frames = min(TILE, stop - t0)
        n_columns = (n_frames + _COLUMNS - 1) // _COLUMNS * _COLUMNS  # a single frame is cheap
        if fs != 1 or n_frames < TILE or (t0 + n_frames - 1) * ts + Fp > V.size:
            _pack_tile(V, fs, ts, t0, n_frames, F, Fp, lanes, packed)
            X, x0, xs, beyond = packed, 0, Fp, 0
        else:  # lanes past the last bin hold the next frame; templates are 0 there
            X, x0, xs, beyond = V, t0 * ts, ts, TILE * ts
        Ht[:] = 0
        age[:] = 0
        Ht[:n_frames, :K] = H[t0 : t0 + n_frames]
        if want_divergence:
            for k in range(K):
                total = 0.0
                for t in range(n_frames):
                    total += Ht[t, k]
                divergence += total / inverse_sums[k] if inverse_sums[k] > 0 else 0.0
        for inner in range(n_inner):
            ahead = 0 if gather or inner < n_inner - 1 else beyond
            G[:] = 0
            for p0 in range(0, n_panels, _PANELS):
                p1 = min(p0 + _PANELS, n_panels)
                _block_ratio(p0, p1, width, K, Kp, Wp, Ht, R, X, x0, xs, ahead, n_columns)
                n_bins = min(F - p0 * width, stride)
                if want_divergence and inner == 0:
                    divergence += _block_divergence(
                        R, stride, X, x0 + p0 * width, xs, n_frames, n_bins
                    )
                _gather_activations(R, p0, n_bins, width, Kp, lanes, Wt, G, n_columns)
            _multiply_frames(
                Ht,
                G,
                inverse_sums,
                free,
                n_frames,
                previous,
                age,
                momentum and inner > 0,
                not momentum or inner == n_inner - 1,
            )
        H[t0 : t0 + n_frames] = Ht[:n_frames, :K]
        if gather:
            for t in range(n_frames):
                for k in range(Kp):
                    row_sums[k] += Ht[t, k]
            for p0 in range(0, n_panels, _PANELS):
                p1 = min(p0 + _PANELS, n_panels)
                _block_ratio(p0, p1, width, K, Kp, Wp, Ht, R, X, x0, xs, beyond, n_columns)
                for p in range(p0, p1):
                    for k in range(0, Kp, _COLUMNS):
                        _sum(
                            n_columns, R, (p - p0) * width, stride, Ht, k, Kp, 1,
                            N, (p * Kp + k) * width, width,
                        )  # fmt: skip
    return divergence


@_compiled(nogil=True)
def _update_chunks(
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
    """Update one chunk after the other, each the next that no thread has taken yet."""
    c: int = _claim(counter)
    while c < values.size:
        values[c] = _update_chunk(
            V, fs, ts, H, Wp, Wt, inverse_sums, free, N[c], row_sums[c], R, packed, Ht, G,
            previous, age, F, K, edges[c], edges[c + 1], n_inner, momentum, gather,
            want_divergence,
        )  # fmt: skip
        c = _claim(counter)


@_compiled()
def _pack_templates(W: Any, Wp: Any, Wt: Any, inverse_sums: Any, penalties: Any) -> None:
    """Lay out the templates (K, F) for the two products, and take their sums, plus penalties."""
    K, F = W.shape
    Kp = inverse_sums.size
    width = _VECTORS * (64 * _BITS // 512 // W.itemsize)
    for k in range(K):
        row = W[k]
        total = 0.0
        for p in range((F + width - 1) // width):
            n = min(width, F - p * width)
            panel = Wp[(p * Kp + k) * width : (p * Kp + k) * width + n]
            for i in range(n):
                panel[i] = row[p * width + i]
                Wt[(p * width + i) * Kp + k] = row[p * width + i]
                total += row[p * width + i]
        inverse_sums[k] = 1 / (total + penalties[k]) if total > TINY else 0


@_compiled()
def _add_chunks(N: Any, row_sums: Any) -> None:
    """Add the sums of all chunks to those of the first, in their order."""
    for c in range(1, N.shape[0]):
        for k in range(row_sums.shape[1]):
            row_sums[0, k] += row_sums[c, k]
        for i in range(N.shape[1]):
            N[0, i] += N[c, i]


@_compiled()
def _multiply_templates(W: Any, N: Any, row_sums: Any, free: Any) -> None:
    """Set W ← W · N / Σ_t H with the added sums."""
    K, F = W.shape
    Kp = row_sums.shape[1]
    width = _VECTORS * (64 * _BITS // 512 // W.itemsize)
    tiny, zero = W.dtype.type(TINY), W.dtype.type(0)
    for k in range(K):
        if not free[k]:
            continue
        scale = W.dtype.type(1 / row_sums[0, k] if row_sums[0, k] > TINY else 0.0)
        for p in range((F + width - 1) // width):
            n = min(width, F - p * width)
            row = W[k, p * width : p * width + n]
            panel = N[0, (p * Kp + k) * width : (p * Kp + k) * width + n]
            for i in range(n):
                w = row[i] * (panel[i] * scale)
                row[i] = w if w > tiny else zero


@_compiled()
def _extrapolate(x: Any, previous: Any, b: float) -> None:
    one, c = x.dtype.type(1), x.dtype.type(b)
    for i in range(x.size):
        new, old = x[i], previous[i]
        if new > 0 and old > 0:
            over = (one + c) * new + (one - c) * old
            x[i] = new * (over / ((one - c) * new + (one + c) * old))
        previous[i] = new


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
    _extrapolate(x.reshape(-1), previous.reshape(-1), b)


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
        dtype, lanes = V.dtype, _BITS // 8 // V.dtype.itemsize
        width, step = _VECTORS * lanes, max(lanes, _COLUMNS)
        padded_K = -(-n_components // step) * step
        padded_F = -(-self._n_bins // width) * width
        n_tiles = -(-n_frames // TILE)
        n_chunks = min(n_tiles, _MAX_CHUNKS)
        edges = [n_tiles * i // n_chunks * TILE for i in range(n_chunks + 1)]
        self._edges = np.minimum(np.array(edges, np.int64), n_frames)
        self._V, self._strides = _flat(V)
        self._Wp, self._Wt = (_aligned(padded_F * padded_K, dtype) for _ in range(2))
        self._inverse_sums = _aligned(padded_K, dtype)
        self._N = _aligned(n_chunks * padded_F * padded_K, dtype).reshape(n_chunks, -1)
        self._row_sums = np.zeros((n_chunks, padded_K))
        self._free_templates = np.asarray(free_templates, bool)
        self._free_activations = np.ones(padded_K, bool)
        self._free_activations[:n_components] = free_activations
        self._penalties = np.zeros(padded_K)
        if penalties is not None:
            self._penalties[:n_components] = penalties
        self._scratch = [
            (
                _aligned(TILE * _PANELS * width, dtype),
                _aligned(TILE * padded_F, dtype),
                *(_aligned(TILE * padded_K, dtype).reshape(TILE, -1) for _ in range(3)),
                np.zeros(TILE, dtype),
            )
            for _ in range(min(n_threads, n_chunks))
        ]
        others = len(self._scratch) - 1
        self._pool = ThreadPoolExecutor(others) if others else None

    def __enter__(self) -> KLKernel:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool:
            self._pool.shutdown()

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
            _add_chunks(self._N, self._row_sums)
            _multiply_templates(W, self._N, self._row_sums, self._free_templates)
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

    def activate(self, W: Matrix, H: Matrix, n_iter: int) -> None:
        """Do `n_iter` accelerated iterations of the activations in place, each frame on its own."""
        self._pass(W, H, n_iter, True, False, False)

    def _gathered(self, W: Matrix) -> tuple[Matrix, NDArray[np.float64]]:
        """Add the sums of all chunks, and return them in the layout of W."""
        _add_chunks(self._N, self._row_sums)
        K, F = W.shape
        width = _VECTORS * _BITS // 8 // W.itemsize
        panels = self._N[0].reshape(-1, self._row_sums.shape[1], width)
        over = panels.transpose(1, 0, 2).reshape(self._row_sums.shape[1], -1)[:K, :F]
        return over, self._row_sums[0, :K]

    def _pass(
        self, W: Matrix, H: Matrix, n_inner: int, momentum: bool, gather: bool, divergence: bool
    ) -> float:
        _pack_templates(W, self._Wp, self._Wt, self._inverse_sums, self._penalties)
        values, counter = np.zeros(len(self._edges) - 1), np.zeros(1, np.int64)

        def work(scratch: tuple[Any, ...]) -> None:
            _update_chunks(
                counter, self._edges, values, self._V, *self._strides, H, self._Wp, self._Wt,
                self._inverse_sums, self._free_activations, self._N, self._row_sums, *scratch,
                self._n_bins, self._n_components, n_inner, momentum, gather, divergence,
            )  # fmt: skip

        others = [self._pool.submit(work, s) for s in self._scratch[1:]] if self._pool else []
        work(self._scratch[0])
        for future in others:
            future.result()
        return float(sum(values.tolist())) if divergence else float("nan")


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
