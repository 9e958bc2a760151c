"""Vector instructions for numba: small matrix products over register tiles, a transposition, a log.

A register tile is `VECTORS` vectors × `COLUMNS` columns, as many as the processor has registers for.
`_micro_gemm` makes the loop over one; `passes` puts them together.

The scheme of packed panels and register tiles is that of Goto and van de Geijn, "Anatomy of
high-performance matrix multiplication", ACM Transactions on Mathematical Software 34(3), 2008.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from audionmf.nmf.shapes import BITS, COLUMNS, TINY, VECTORS

__all__ = [
    "add_products",
    "add_row",
    "block_divergence",
    "claim",
    "copy_vector",
    "fetch_add",
    "flush_denormals",
    "interleave",
    "lanes_of",
    "leap_row",
    "multiply_row",
    "ratio_tile",
    "restore_denormals",
    "step_row",
    "sum_halves",
    "sum_pairs",
    "sum_singles",
    "sum_tile",
    "transpose",
]


_I32 = ir.IntType(32)
_FLUSH = 0x8040
"""Bits of MXCSR: results that are denormal become 0, and operands count as 0."""
_ALL_LANES = ir.Constant(ir.IntType(16), -1)


class _Vector:
    """Emits vector instructions for the element type of an array argument."""

    def __init__(self, context: Any, builder: Any, signature: Any, arguments: Any, i: int) -> None:
        self.context, self.builder = context, builder
        self.signature, self.arguments = signature, arguments
        self.element = context.get_data_type(signature.args[i].dtype)
        self.align = 8 if isinstance(self.element, ir.DoubleType) else 4
        self.lanes = BITS // 8 // self.align
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

    def broadcast_pair(self, pointer: Any, offset: Any) -> Any:
        """Return two numbers in turns."""
        kind = ir.VectorType(self.element, 2)
        place = self.builder.bitcast(self.builder.gep(pointer, [offset]), kind.as_pointer())
        pair = self.builder.load(place, align=self.align)
        order = ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), [0, 1] * (self.lanes // 2))
        return self.builder.shuffle_vector(pair, pair, order)

    def fold(self, x: Any) -> Any:
        """Return the sums of neighbouring lanes in the first half of a vector, and zeros after them."""
        zeros = list(range(self.lanes, self.lanes + self.lanes // 2))
        even, odd = ([*range(i, self.lanes, 2), *zeros] for i in (0, 1))
        zero = self.constant(0.0)
        return self.builder.fadd(self.shuffle(x, zero, even), self.shuffle(x, zero, odd))

    def divide(self, x: Any, y: Any) -> Any:
        """Return x / y for finite x and normal y, to the last bit or the one before it.

        With 512 bits the instruction takes as long as a dozen of others. An estimate of 1 / y to 14
        bits and one step of Newton's method for the quotient take a third of that.
        """
        if BITS < 512 or self.align == 8:
            return self.builder.fdiv(x, y)
        estimate, fused = self._estimate(), self._fused()
        r = self.builder.call(estimate, [y, ir.Constant(self.type, ir.Undefined), _ALL_LANES])
        q = self.builder.fmul(x, r)
        left = self.builder.call(fused, [self.builder.fneg(y), q, x])
        return self.builder.call(fused, [r, left, q])

    def _estimate(self) -> Any:
        kind = ir.FunctionType(self.type, [self.type, self.type, _ALL_LANES.type])
        name = "llvm.x86.avx512.rcp14.ps.512"
        return cgutils.get_or_insert_function(self.builder.module, kind, name)

    def _fused(self) -> Any:
        kind = ir.FunctionType(self.type, [self.type] * 3)
        return cgutils.get_or_insert_function(self.builder.module, kind, "llvm.fma.v16f32")

    def spread(self, x: Any) -> Any:
        """Return a vector of one number."""
        empty = ir.Constant(ir.VectorType(x.type, self.lanes), ir.Undefined)
        first = self.builder.insert_element(empty, x, ir.IntType(32)(0))
        return self.shuffle(first, first, [0] * self.lanes)

    def log_less_one(self, x: Any) -> Any:
        """Return log(x) - 1 for x > 0 and normal, something finite for 0.

        x = m 2^e with m from √½ to √2, and log m = 2 atanh((m - 1) / (m + 1)) by its series.
        """
        builder, double = self.builder, self.align == 8
        mantissa, terms = (52, 10) if double else (23, 5)
        word, name = ir.IntType(8 * self.align), "float64" if double else "float32"
        integers = ir.VectorType(word, self.lanes)
        half = int(np.array(0.5**0.5, name).view(f"i{self.align}"))
        halves, shift = (ir.Constant(integers, [n] * self.lanes) for n in (half, mantissa))
        bits, one = builder.bitcast(x, integers), self.constant(1.0)
        e = builder.ashr(builder.sub(bits, halves), shift)
        m = builder.bitcast(builder.sub(bits, builder.shl(e, shift)), self.type)
        s = self.divide(builder.fsub(m, one), builder.fadd(m, one))
        z, q = builder.fmul(s, s), self.constant(2 / (2 * terms - 1))
        for k in reversed(range(terms - 1)):
            q = _multiply_add(builder, q, z, self.constant(2 / (2 * k + 1)))
        two, lowered = self.constant(float(np.log(2))), self.constant(-1.0)
        whole = _multiply_add(builder, builder.sitofp(e, self.type), two, lowered)
        return _multiply_add(builder, q, s, whole)

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


def _micro_gemm(vectors: int, columns: int, *, ratio: bool, halves: bool = False) -> Any:
    """Make the product over one register tile, `vectors` × `columns`, an intrinsic of numba.

    ::

        acc[:, j] = Σ_{r<n} A[a0 + r·ars : + vectors·lanes] · B[b0 + r·brs + j·bns]
        C[c0 + j·cns : + vectors·lanes] += acc[:, j]                          (sum; = if afresh)
        C[c0 + j·cns : + vectors·lanes]  = V[v0 + j·vns : …] / max(acc[:, j], TINY)      (ratio)

    The ratio form also prefetches as many vectors from ``V[ahead]`` on. With `halves` two rows of B lie
    together, and a vector of A has what belongs to the first in its even lanes, to the second in its
    odd ones: both are summed, and added to the first half of a vector of C.
    """

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        n, _, a0, ars, _, b0, brs, bns, _, c0, cns, *more = arguments
        vector, i64 = _Vector(context, builder, signature, arguments, 1), ir.IntType(64)
        a, b, c = vector.pointer(1, a0), vector.pointer(4, b0), vector.pointer(8, c0)
        lanes = [i64(i * vector.lanes) for i in range(vectors)]
        tile = [(i, j) for j in range(columns) for i in range(vectors)]
        b_column = [builder.mul(bns, i64(j)) for j in range(columns)]
        c_place = [builder.add(builder.mul(cns, i64(j)), lanes[i]) for i, j in tile]
        zero = vector.constant(0.0)
        start = [zero for _ in tile]
        if not ratio:
            before = [builder.select(more[0], zero, vector.load(c, p)) for p in c_place]
            start = start if halves else before

        entry, loop = builder.block, builder.append_basic_block()
        done = builder.append_basic_block()
        builder.branch(loop)
        builder.position_at_end(loop)  # n is at least 1
        first = [i64(0), a, b, *start]
        phis = [builder.phi(x.type) for x in first]
        r, at_a, at_b, *sums = phis
        left = [vector.load(at_a, lane) for lane in lanes]
        broadcast = vector.broadcast_pair if halves else vector.broadcast
        right = [broadcast(at_b, p) for p in b_column]
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

        if halves:
            sums = [builder.fadd(x, vector.fold(y)) for x, y in zip(before, sums, strict=True)]
        if ratio:
            following = vector.pointer(11, more[3])
        for (i, j), place, x in zip(tile, c_place, sums, strict=True):
            value = x
            if ratio:
                _, v0, vns, _ = more
                v, v_place = vector.pointer(11, v0), builder.add(builder.mul(vns, i64(j)), lanes[i])
                floor = vector.constant(TINY)
                bounded = builder.select(builder.fcmp_ordered(">", x, floor), x, floor)
                value = vector.divide(vector.load(v, v_place), bounded)
                vector.prefetch(following, i64((i + vectors * j) * vector.lanes))
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
            afresh: Any,
        ) -> Any:
            return types.void(n, A, a0, ars, B, b0, brs, bns, C, c0, cns, afresh), codegen

    return gemm


ratio_tile = _micro_gemm(VECTORS, COLUMNS, ratio=True)
sum_tile = _micro_gemm(VECTORS, COLUMNS, ratio=False)
sum_pairs = _micro_gemm(2, COLUMNS, ratio=False)
sum_singles = _micro_gemm(1, 2 * COLUMNS, ratio=False)
sum_halves = _micro_gemm(1, 2 * COLUMNS, ratio=False, halves=True)


@intrinsic
def transpose(
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


def _rows_loop(builder: Any, n: Any, lanes: int, start: list[Any], body: Any) -> list[Any]:
    """Emit a loop over vectors of a row, one at least; `body` makes numbers of a place and numbers."""
    i64 = ir.IntType(64)
    entry, loop = builder.block, builder.append_basic_block()
    done = builder.append_basic_block()
    builder.branch(loop)
    builder.position_at_end(loop)
    first = [i64(0), *start]
    phis = [builder.phi(x.type) for x in first]
    found = [builder.add(phis[0], i64(lanes)), *body(*phis)]
    for phi, x, y in zip(phis, first, found, strict=True):
        phi.add_incoming(x, entry)
        phi.add_incoming(y, loop)
    builder.cbranch(builder.icmp_signed("<", found[0], n), loop, done)
    builder.position_at_end(done)
    return found[1:]


@intrinsic
def multiply_row(typingctx: Any, H: Any, at: Any, G: Any, inverse: Any, free: Any, n: Any) -> Any:
    """Set ``H[at + i] *= G[at + i] inverse[i]`` where ``free[i]``, below TINY 0, for i < n.

    `n` is a multiple of the lanes of a vector, and at least one of them.
    """

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _, at, _, _, _, n = arguments
        vector, i64 = _Vector(context, builder, signature, arguments, 0), ir.IntType(64)
        h, g = vector.pointer(0, at), vector.pointer(2, at)
        inverse, free = vector.pointer(3, i64(0)), vector.pointer(4, i64(0))
        tiny, zero = vector.constant(TINY), vector.constant(0.0)

        def body(i: Any) -> list[Any]:
            old = vector.load(h, i)
            new = builder.fmul(old, builder.fmul(vector.load(g, i), vector.load(inverse, i)))
            new = builder.select(builder.fcmp_ordered(">", new, tiny), new, zero)
            moves = builder.fcmp_ordered(">", vector.load(free, i), zero)
            vector.store(builder.select(moves, new, old), h, i)
            return []

        _rows_loop(builder, n, vector.lanes, [], body)
        return context.get_dummy_value()

    return types.void(H, at, G, inverse, free, n), codegen


@intrinsic
def step_row(
    typingctx: Any, H: Any, at: Any, G: Any, inverse: Any, free: Any, previous: Any, n: Any
) -> Any:
    """Set ``G[at + i]`` to what `multiply_row` makes of ``H[at + i]``; return how far it is uphill.

    That is the sum of the step from ``previous[at + i]`` times the slope at ``H[at + i]``.
    """

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _, at, _, _, _, _, n = arguments
        vector, i64 = _Vector(context, builder, signature, arguments, 0), ir.IntType(64)
        h, g, p = vector.pointer(0, at), vector.pointer(2, at), vector.pointer(5, at)
        inverse, free = vector.pointer(3, i64(0)), vector.pointer(4, i64(0))
        tiny, zero, one = (vector.constant(x) for x in (TINY, 0.0, 1.0))

        def body(i: Any, uphill: Any) -> list[Any]:
            old, scale = vector.load(h, i), vector.load(inverse, i)
            ratio = builder.fmul(vector.load(g, i), scale)
            new = builder.fmul(old, ratio)
            new = builder.select(builder.fcmp_ordered(">", new, tiny), new, zero)
            moves = builder.fcmp_ordered(">", vector.load(free, i), zero)
            slope = builder.fsub(one, ratio)
            step = builder.fmul(slope, builder.fsub(new, vector.load(p, i)))
            counts = builder.and_(moves, builder.fcmp_ordered(">", scale, zero))
            step = builder.select(counts, builder.fdiv(step, scale), zero)
            vector.store(builder.select(moves, new, old), g, i)
            return [builder.fadd(uphill, step)]

        (uphill,) = _rows_loop(builder, n, vector.lanes, [zero], body)
        lanes = [builder.extract_element(uphill, ir.IntType(32)(i)) for i in range(vector.lanes)]
        total = lanes[0]
        for lane in lanes[1:]:
            total = builder.fadd(total, lane)
        return total

    return H.dtype(H, at, G, inverse, free, previous, n), codegen


@intrinsic
def leap_row(typingctx: Any, H: Any, at: Any, G: Any, previous: Any, b: Any, n: Any) -> Any:
    """Set ``H[at + i]`` to ``G[at + i]`` carried on by b, as in `extrapolate`; note where that was."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _, at, _, _, b, n = arguments
        vector = _Vector(context, builder, signature, arguments, 0)
        h, g, p = vector.pointer(0, at), vector.pointer(2, at), vector.pointer(3, at)
        zero, one, b = vector.constant(0.0), vector.constant(1.0), vector.spread(b)
        more, less = builder.fadd(one, b), builder.fsub(one, b)

        def body(i: Any) -> list[Any]:
            new, old = vector.load(g, i), vector.load(p, i)
            over = builder.fadd(builder.fmul(more, new), builder.fmul(less, old))
            under = builder.fadd(builder.fmul(less, new), builder.fmul(more, old))
            carried = builder.fmul(new, builder.fdiv(over, under))
            goes = builder.fcmp_ordered(">", b, zero)
            for x in (new, old):
                goes = builder.and_(goes, builder.fcmp_ordered(">", x, zero))
            vector.store(builder.select(goes, carried, new), h, i)
            vector.store(new, p, i)
            return []

        _rows_loop(builder, n, vector.lanes, [], body)
        return context.get_dummy_value()

    return types.void(H, at, G, previous, b, n), codegen


@intrinsic
def add_row(typingctx: Any, A: Any, at: Any, n: Any) -> Any:
    """Add ``A[at + i]`` to ``A[i]`` for i < n, a multiple of the lanes of a vector."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _, at, n = arguments
        vector, i64 = _Vector(context, builder, signature, arguments, 0), ir.IntType(64)
        to, other = vector.pointer(0, i64(0)), vector.pointer(0, at)

        def body(i: Any) -> list[Any]:
            vector.store(builder.fadd(vector.load(to, i), vector.load(other, i)), to, i)
            return []

        _rows_loop(builder, n, vector.lanes, [], body)
        return context.get_dummy_value()

    return types.void(A, at, n), codegen


@intrinsic
def lanes_of(typingctx: Any, A: Any) -> Any:
    """Return how many numbers of an array's type a vector holds, as what the compiler knows."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return ir.IntType(64)(_Vector(context, builder, signature, arguments, 0).lanes)

    return types.int64(A), codegen


@intrinsic
def copy_vector(typingctx: Any, A: Any, a: Any, B: Any, b: Any) -> Any:
    """Set one vector: ``B[b : b + lanes] = A[a : a + lanes]``."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vector, zero = _Vector(context, builder, signature, arguments, 0), ir.IntType(64)(0)
        _, a, _, b = arguments
        vector.store(vector.load(vector.pointer(0, a), zero), vector.pointer(2, b), zero)
        return context.get_dummy_value()

    return types.void(A, a, B, b), codegen


@intrinsic
def interleave(typingctx: Any, A: Any, a0: Any, a1: Any) -> Any:
    """Put the first halves of the vectors at `a0` and `a1` in turns: all of them, at `a0`."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vector = _Vector(context, builder, signature, arguments, 0)
        first, second = (vector.pointer(0, a) for a in arguments[1:])
        zero = ir.IntType(64)(0)
        order = [i // 2 + i % 2 * vector.lanes for i in range(vector.lanes)]
        both = vector.shuffle(vector.load(first, zero), vector.load(second, zero), order)
        vector.store(both, first, zero)
        return context.get_dummy_value()

    return types.void(A, a0, a1), codegen


@intrinsic
def claim(typingctx: Any, counter: Any) -> Any:
    """Return ``counter[0]`` and add one to it, at once for all threads."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return builder.atomic_rmw("add", data, ir.IntType(64)(1), "monotonic")

    return types.int64(counter), codegen


@intrinsic
def flush_denormals(typingctx: Any) -> Any:
    """Take for 0 from here on, in this thread, what is too small for full precision: it is slow.

    Returns what `restore_denormals` wants to know. Only processors of x86 have it.
    """

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        before = _float_mode(builder)
        if before is None:
            return _I32(0)
        _float_mode(builder, builder.or_(before, _I32(_FLUSH)))
        return before

    return types.int32(), codegen


@intrinsic
def restore_denormals(typingctx: Any, before: Any) -> Any:
    """Take such numbers as they were taken before."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _float_mode(builder, arguments[0])
        return context.get_dummy_value()

    return types.void(before), codegen


def _float_mode(builder: Any, new: Any = None) -> Any:
    """Set the processor's register of how it computes, or return what it holds; None elsewhere."""
    if not builder.module.triple.startswith("x86_64"):
        return None
    place = cgutils.alloca_once(builder, _I32)
    pointer = builder.bitcast(place, ir.IntType(8).as_pointer())
    kind = ir.FunctionType(ir.VoidType(), [pointer.type])
    name = f"llvm.x86.sse.{'st' if new is None else 'ld'}mxcsr"
    if new is not None:
        builder.store(new, place)
    builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [pointer])
    return builder.load(place) if new is None else None


@intrinsic
def fetch_add(typingctx: Any, counters: Any, i: Any, n: Any) -> Any:
    """Return ``counters[i]`` and add n to it, at once for all threads.

    What a thread wrote before it did so is seen by those that find its n there.
    """

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, i, n = arguments
        data = context.make_array(signature.args[0])(context, builder, array).data
        return builder.atomic_rmw("add", builder.gep(data, [i]), n, "acq_rel")

    return types.int64(counters, types.int64, types.int64), codegen


@intrinsic
def block_divergence(
    typingctx: Any,
    R: Any,
    rs: Any,
    V: Any,
    v0: Any,
    vs: Any,
    n_frames: Any,
    n_bins: Any,
) -> Any:
    """Return Σ V (log R - 1) over ``R[t·rs + f]``, ≥ 0, and ``V[v0 + t·vs + f]``, in double precision.

    Whole vectors are read. There is a frame and a bin at least; a frame is summed in the type of R.
    """

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _, rs, _, v0, vs, n_frames, n_bins = arguments
        vector, i64 = _Vector(context, builder, signature, arguments, 0), ir.IntType(64)
        zero = vector.constant(0.0)
        wide = ir.VectorType(ir.DoubleType(), vector.lanes)
        words = ir.VectorType(ir.IntType(32), vector.lanes)
        lanes = ir.Constant(words, list(range(vector.lanes)))
        entry, frame, loop = builder.block, *(builder.append_basic_block() for _ in range(2))
        summed, done = (builder.append_basic_block() for _ in range(2))
        ratios, data = vector.pointer(0, i64(0)), vector.pointer(2, v0)
        builder.branch(frame)

        builder.position_at_end(frame)
        t, at_r, at_v = builder.phi(i64), builder.phi(ratios.type), builder.phi(data.type)
        total = builder.phi(wide)
        builder.branch(loop)

        builder.position_at_end(loop)
        f, row = builder.phi(i64), builder.phi(vector.type)
        left = vector.spread(builder.trunc(builder.sub(n_bins, f), ir.IntType(32)))
        held = builder.icmp_signed("<", lanes, left)
        counted = builder.select(held, vector.load(at_v, f), zero)
        more = _multiply_add(builder, counted, vector.log_less_one(vector.load(at_r, f)), row)
        next_f = builder.add(f, i64(vector.lanes))
        builder.cbranch(builder.icmp_signed("<", next_f, n_bins), loop, summed)

        builder.position_at_end(summed)
        doubled = more if vector.align == 8 else builder.fpext(more, wide)
        grown, next_t = builder.fadd(total, doubled), builder.add(t, i64(1))
        next_r, next_v = builder.gep(at_r, [rs]), builder.gep(at_v, [vs])
        builder.cbranch(builder.icmp_signed("<", next_t, n_frames), frame, done)

        for phi, before, x, after, y in (
            (t, entry, i64(0), summed, next_t),
            (at_r, entry, ratios, summed, next_r),
            (at_v, entry, data, summed, next_v),
            (total, entry, ir.Constant(wide, [0.0] * vector.lanes), summed, grown),
            (f, frame, i64(0), loop, next_f),
            (row, frame, zero, loop, more),
        ):
            phi.add_incoming(x, before)
            phi.add_incoming(y, after)
        builder.position_at_end(done)
        found = ir.DoubleType()(0.0)
        for i in range(vector.lanes):
            found = builder.fadd(found, builder.extract_element(grown, ir.IntType(32)(i)))
        return found

    return types.float64(R, rs, V, v0, vs, n_frames, n_bins), codegen


@intrinsic
def add_products(
    typingctx: Any, n: Any, places: Any, k: Any, A: Any, B: Any, C: Any, at: Any, width: Any
) -> Any:
    """Add to four vectors of C a sum of products: rows of A in turn with those of B at some places.

    ``C[at + i] += Σ_{j<n} A[j·width + at + i] B[places[k + j]·width + at + i]``, i below four vectors.
    """

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        n, _, k, _, _, _, at, width = arguments
        vector, i64 = _Vector(context, builder, signature, arguments, 3), ir.IntType(64)
        a, b, c = (vector.pointer(i, at) for i in (3, 4, 5))
        place = vector.pointer(1, k)
        lanes = [i64(i * vector.lanes) for i in range(4)]
        start = [vector.load(c, lane) for lane in lanes]
        entry, loop = builder.block, builder.append_basic_block()
        add, done = builder.append_basic_block(), builder.append_basic_block()
        builder.branch(loop)
        builder.position_at_end(loop)
        first = [i64(0), a, *start]
        phis = [builder.phi(x.type) for x in first]
        j, at_a, *sums = phis
        builder.cbranch(builder.icmp_signed("<", j, n), add, done)
        builder.position_at_end(add)
        row = builder.mul(builder.load(builder.gep(place, [j])), width)
        at_b = builder.gep(b, [row])
        more = [
            _multiply_add(builder, vector.load(at_a, lane), vector.load(at_b, lane), x)
            for lane, x in zip(lanes, sums, strict=True)
        ]
        following = [builder.add(j, i64(1)), builder.gep(at_a, [width]), *more]
        for phi, x, y in zip(phis, first, following, strict=True):
            phi.add_incoming(x, entry)
            phi.add_incoming(y, add)
        builder.branch(loop)
        builder.position_at_end(done)
        for lane, x in zip(lanes, sums, strict=True):
            vector.store(x, c, lane)
        return context.get_dummy_value()

    return types.void(n, places, k, A, B, C, at, width), codegen
