"""The Fourier transform of real signals in vectors as wide as the processor's, as machine code.

A signal of n samples is taken as n / 2 complex numbers, the even samples as real parts, the odd ones
as imaginary parts (Cooley, Lewis and Welch 1970). These are L × R × L numbers, where L is the number
of floats in a vector. Number L i + j lies in lane j of vector i, with i = R a + b:

1. for each b a transform of length L over a, vector by vector, and a twist by its place;
2. for each of those L results a transform of length R over b, and a twist, each lane by its own;
3. for L vectors at a time, rows become columns, and a transform of length L over what was the lanes.

That is the method of Cooley and Tukey (1965) twice, where each step is so laid out that all loads and
stores are of whole vectors, everything stays where it is, and the result comes out in order (cf. the
six-step method of Bailey 1990). The way back is the way there with real and imaginary parts
exchanged. The window is part of the first step there; window and overlapping sums, of the last step
back.

References
----------
Cooley and Tukey, "An algorithm for the machine calculation of complex Fourier series", Mathematics of
Computation 19, 1965. Cooley, Lewis and Welch, "The fast Fourier transform algorithm: programming
considerations in the calculation of sine, cosine and Laplace transforms", Journal of Sound and
Vibration 12(3), 1970. Bailey, "FFTs in external or hierarchical memory", Journal of Supercomputing
4(1), 1990.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["LONGEST_STEP", "FourierCode"]

LONGEST_STEP = {16: 16, 8: 32}
"""Lanes of a vector, and the most numbers in a transform of the second step."""

_Pair = tuple[str, str]
_Places = dict[str, str]
_Moving = Sequence[tuple[str, str, int]]
"""Names of places in memory that move with a loop, where they start and by how many bytes they move."""


class FourierCode:
    """The transform there and back of one size, in the language of LLVM.

    There are three functions, ``forward``, ``inverse`` and ``masked``; arguments as in `ARGUMENTS`.

    Parameters
    ----------
    n : int
        Samples of a signal: a power of two from 2 L² to 2 L² times `LONGEST_STEP`.
    lanes : int
        L, floats in a vector of the processor: 8 or 16.

    Attributes
    ----------
    tables : ndarray of float32
        The twists that they need.
    n_scratch : int
        Bytes that they work in.

    Notes
    -----
    ``forward`` writes the transforms of windowed signals with twice the scale of the window.
    ``inverse`` adds to what is there the windowed signals of transforms with n times the scale of the
    window; ``masked`` does the same for transforms each bin of which is multiplied by a factor. The
    imaginary parts of the first and the last bin are not read.
    """

    ARGUMENTS = (
        "i8* %source, i64 %step, i8* %window, i8* %tables, i8* %scratch, i8* %target, "
        "i64 %target_step, i64 %n, i8* %mask, i64 %mask_step"
    )
    """Places, and bytes from one signal to the next; how many signals; factors, for ``masked``."""

    def __init__(self, n: int, lanes: int) -> None:
        self._half, self._lanes, self._vector = n // 2, lanes, 4 * lanes
        self._length = self._half // lanes**2
        if n & (n - 1) or not 1 <= self._length <= LONGEST_STEP[lanes]:
            raise ValueError(f"no code for {n} samples in vectors of {lanes}")
        self._n_vectors = self._half // lanes
        self._blocks = lanes // 4
        # Lane 4 b + a holds number (lanes / 4) a + b: so the third step finds what belongs together.
        self._order = [self._blocks * (k % 4) + k // 4 for k in range(lanes)]
        # One number more than there are, and what keeps both parts out of each other's cache lines.
        self._part = 4 * self._half + 64 * 5
        self.n_scratch = 2 * self._part
        self._places: dict[str, int] = {}
        self.tables = self._tables()

    def text(self) -> str:
        """Return the functions; writing them takes a few milliseconds."""
        return "\n".join(
            [
                "declare {0} @llvm.fma.v{1}f32({0}, {0}, {0})".format(
                    _kind(self._lanes), self._lanes
                ),
                *self._complex_transform(),
                *self._function("forward", self._forward),
                *self._function("inverse", lambda loops: self._inverse(loops, masked=False)),
                *self._function("masked", lambda loops: self._inverse(loops, masked=True)),
            ]
        )

    def _tables(self) -> NDArray[np.float32]:
        half, lanes, length = self._half, self._lanes, self._length
        c, b = np.arange(lanes), np.arange(length)[:, None]
        first = _turn(b * c, lanes * length)
        k, j = np.arange(self._n_vectors)[:, None], np.array(self._order)
        second = _turn(k * j, half)
        real = -1j * _turn(np.arange(half), 2 * half).reshape(-1, lanes)
        parts = {
            "first": np.stack([first.real, first.imag], -1),
            "second": np.stack([second.real, second.imag], 1),
            "real": np.stack([real.real, real.imag], 1),
            "ordered": np.stack([real.real, real.imag], 1)[..., self._order],
        }
        position = 0
        for name, values in parts.items():
            self._places[name] = position
            position += 4 * values.size
        return np.concatenate([v.ravel() for v in parts.values()]).astype(np.float32)

    def _function(self, name: str, body: Callable[[_Loops], None]) -> list[str]:
        """Return a function that does something for each of some signals."""
        loops = _Loops(self._lanes, "signal")
        body(loops)
        return [
            f"define void @{name}({self.ARGUMENTS}) {{",
            "entry:",
            "  %re = getelementptr i8, i8* %scratch, i64 0",
            f"  %im = getelementptr i8, i8* %scratch, i64 {self._part}",
            *(
                f"  %{table} = getelementptr i8, i8* %tables, i64 {place}"
                for table, place in self._places.items()
            ),
            "  br label %signal",
            "signal:",
            f"  %index = phi i64 [ 0, %entry ], [ %following, %{loops.block} ]",
            f"  %from = phi i8* [ %source, %entry ], [ %from.next, %{loops.block} ]",
            f"  %to = phi i8* [ %target, %entry ], [ %to.next, %{loops.block} ]",
            f"  %by = phi i8* [ %mask, %entry ], [ %by.next, %{loops.block} ]",
            *loops.lines,
            "  %from.next = getelementptr i8, i8* %from, i64 %step",
            "  %to.next = getelementptr i8, i8* %to, i64 %target_step",
            "  %by.next = getelementptr i8, i8* %by, i64 %mask_step",
            "  %following = add i64 %index, 1",
            "  %more = icmp slt i64 %following, %n",
            "  br i1 %more, label %signal, label %end",
            "end:",
            "  ret void",
            "}",
        ]

    def _forward(self, loops: _Loops) -> None:
        lanes, half, vector = self._lanes, self._half, self._vector

        def window(code: _Code, at: _Places) -> None:
            both = code.times(
                code.load(at["from"], 0, 2 * lanes), code.load(at["window"], 0, 2 * lanes)
            )
            for part, name in enumerate(("re", "im")):
                code.store(code.chosen(both, [2 * j + part for j in self._order]), at[name], 0)

        moving = [("from", "%from", 2 * vector), ("window", "%window", 2 * vector)]
        loops.add("window", self._n_vectors, window, [*moving, *self._parts()])
        loops.code(lambda code: code.do(_CALL))

        def close(code: _Code) -> None:  # the number after the last is the first
            for part in ("%re", "%im"):
                code.store(code.load(part, 0, 1), part, 4 * half, 1)

        loops.code(close)
        last = half - lanes + 1

        def split(code: _Code, at: _Places) -> None:
            z = code.load(at["re"], 0), code.load(at["im"], 0)
            back = list(reversed(range(lanes)))
            y = (
                code.chosen(code.load(at["re.end"], 0), back),
                code.chosen(code.load(at["im.end"], 0), back),
            )
            sums = code.plus(z[0], y[0]), code.minus(z[1], y[1])
            rest = code.minus(z[0], y[0]), code.plus(z[1], y[1])
            twist = code.load(at["real"], 0), code.load(at["real"], vector)
            odd = code.product(rest, twist)
            code.store(code.mixed(*code.sum(sums, odd)), at["to"], 0, 2 * lanes)
            mirrored = code.minus(sums[0], odd[0]), code.minus(odd[1], sums[1])
            code.store(code.mixed(*mirrored, back), at["to.end"], 0, 2 * lanes)

        moving = [
            ("re.end", loops.place("%re", 4 * last), -vector),
            ("im.end", loops.place("%im", 4 * last), -vector),
            ("to", "%to", 2 * vector),
            ("to.end", loops.place("%to", 8 * last), -2 * vector),
            ("real", "%real", 2 * vector),
        ]
        loops.add("split", self._n_vectors // 2, split, [*moving, *self._parts()])

        def middle(code: _Code) -> None:
            for i, (part, factor) in enumerate((("%re", 2.0), ("%im", -2.0))):
                found = code.times(code.load(part, 2 * half, 1), code.constant(factor, 1))
                code.store(found, "%to", 4 * half + 4 * i, 1)

        loops.code(middle)

    def _inverse(self, loops: _Loops, masked: bool) -> None:
        lanes, half, vector = self._lanes, self._half, self._vector
        last = half - lanes + 1

        def join(code: _Code, at: _Places) -> None:
            z = self._split_pairs(code, at, "from", "by" if masked else "", self._order)
            back = [lanes - 1 - j for j in self._order]
            y = self._split_pairs(code, at, "from.end", "by.end" if masked else "", back)
            sums = code.plus(z[0], y[0]), code.minus(z[1], y[1])
            rest = code.minus(z[0], y[0]), code.plus(z[1], y[1])
            twist = code.load(at["ordered"], 0), code.load(at["ordered"], vector)
            odd = code.product(rest, (twist[0], code.negative(twist[1])))
            found = code.sum(sums, odd)
            code.store(found[1], at["re"], 0)
            code.store(found[0], at["im"], 0)

        moving = [
            ("from", "%from", 2 * vector),
            ("from.end", loops.place("%from", 8 * last), -2 * vector),
            ("ordered", "%ordered", 2 * vector),
        ]
        if masked:
            moving += [
                ("by", "%by", vector),
                ("by.end", loops.place("%by", 4 * last), -vector),
            ]
        loops.add("join", self._n_vectors, join, [*moving, *self._parts()])

        def ends(code: _Code) -> None:
            a, b = code.load("%from", 0, 1), code.load("%from", 8 * half, 1)
            if masked:
                a = code.times(a, code.load("%by", 0, 1))
                b = code.times(b, code.load("%by", 4 * half, 1))
            code.store(code.plus(a, b), "%im", 0, 1)
            code.store(code.minus(a, b), "%re", 0, 1)

        loops.code(ends)
        loops.code(lambda code: code.do(_CALL))

        def overlap(code: _Code, at: _Places) -> None:
            found = code.mixed(code.load(at["im"], 0), code.load(at["re"], 0))
            found = code.times(found, code.load(at["window"], 0, 2 * lanes))
            code.store(code.plus(code.load(at["to"], 0, 2 * lanes), found), at["to"], 0, 2 * lanes)

        moving = [("to", "%to", 2 * vector), ("window", "%window", 2 * vector)]
        loops.add("overlap", self._n_vectors, overlap, [*moving, *self._parts()])

    def _split_pairs(
        self, code: _Code, at: _Places, name: str, mask: str, order: list[int]
    ) -> _Pair:
        """Return the real and the imaginary parts of bins in some order, by their factors if any."""
        both = code.load(at[name], 0, 2 * self._lanes)
        real, imaginary = (code.chosen(both, [2 * j + part for j in order]) for part in (0, 1))
        if not mask:
            return real, imaginary
        factor = code.chosen(code.load(at[mask], 0), order)
        return code.times(real, factor), code.times(imaginary, factor)

    def _parts(self) -> _Moving:
        return [("re", "%re", self._vector), ("im", "%im", self._vector)]

    def _complex_transform(self) -> list[str]:
        """Return the function that transforms complex numbers, real and imaginary parts apart."""
        lanes, length, vector = self._lanes, self._length, self._vector
        loops = _Loops(lanes, "entry")

        def first(code: _Code, at: _Places) -> None:
            places = [length * vector * a for a in range(lanes)]
            given = [(code.load(at["re"], p), code.load(at["im"], p)) for p in places]
            for c, z in enumerate(code.transform(given)):
                if c:
                    z = code.product(
                        z, (code.spread(at["w"], 8 * c), code.spread(at["w"], 8 * c + 4))
                    )
                code.store(z[0], at["re"], places[c])
                code.store(z[1], at["im"], places[c])

        loops.add("first", length, first, [*self._parts(), ("w", "%first", 8 * lanes)])

        def second(code: _Code, at: _Places) -> None:
            places = [vector * b for b in range(length)]
            given = [(code.load(at["re"], p), code.load(at["im"], p)) for p in places]
            for d, z in enumerate(code.transform(given)):
                twist = [code.load(at["w"], (2 * lanes * d + i) * vector) for i in (0, 1)]
                z = code.product(z, (twist[0], twist[1]))
                code.store(z[0], at["re"], places[d])
                code.store(z[1], at["im"], places[d])

        step = length * vector
        moving = [("re", "%re", step), ("im", "%im", step), ("w", "%second", 2 * vector)]
        loops.add("second", lanes, second, moving)

        def third(code: _Code, at: _Places) -> None:
            parts = []
            for b in range(self._blocks):
                columns = [self._columns(code, at[name], 16 * b) for name in ("re", "im")]
                parts.append(code.transform(list(zip(*columns, strict=True))))
            for k, z in enumerate(code.joined(parts)):
                code.store(z[0], at["re"], step * k)
                code.store(z[1], at["im"], step * k)

        loops.add("third", length, third, self._parts())
        return [
            "define internal void @complex_transform(i8* %re, i8* %im, i8* %first, i8* %second) "
            "noinline {",
            "entry:",
            *loops.lines,
            "  ret void",
            "}",
        ]

    def _columns(self, code: _Code, place: str, offset: int) -> list[str]:
        """Return four columns of as many rows as lanes; quarters of vectors are loaded as needed."""
        rows = []
        for r in range(4):
            quarters = [
                code.load(place, (4 * q + r) * self._length * self._vector + offset, 4)
                for q in range(self._blocks)
            ]
            while len(quarters) > 1:
                pairs = zip(quarters[::2], quarters[1::2], strict=True)
                n = 8 * self._blocks // len(quarters)
                quarters = [code.chosen(a, range(n), b) for a, b in pairs]
            rows.append(quarters[0])

        def each(a: str, b: str, which: tuple[int, int, int, int]) -> str:
            """Take of two vectors the same of all quarters: 0 to 3 of one, 4 to 7 of the other."""
            index = [
                q + k % 4 + (self._lanes if k > 3 else 0)
                for q in range(0, self._lanes, 4)
                for k in which
            ]
            return code.chosen(a, index, b)

        low, high = (0, 4, 1, 5), (2, 6, 3, 7)
        a, b, c, d = (each(rows[i], rows[i + 1], half) for i in (0, 2) for half in (low, high))
        left, right = (0, 1, 4, 5), (2, 3, 6, 7)
        return [each(a, c, left), each(a, c, right), each(b, d, left), each(b, d, right)]


_CALL = "call void @complex_transform(i8* %re, i8* %im, i8* %first, i8* %second)"


def _kind(n: int) -> str:
    return f"<{n} x float>"


def _turn(k: NDArray[np.int_], n: int) -> NDArray[np.complex128]:
    """Return k turns of the circle over n, clockwise."""
    turned: NDArray[np.complex128] = np.exp(-2j * np.pi / n * (k % n))
    return turned


class _Code:
    """Lines of LLVM's language, one after the other."""

    def __init__(self, lanes: int, count: itertools.count[int]) -> None:
        self.lines: list[str] = []
        self._lanes, self._count = lanes, count
        self._widths: dict[str, int] = {}

    def do(self, text: str) -> None:
        """Add a line."""
        self.lines.append(f"  {text}")

    def value(self, text: str, width: int) -> str:
        """Add a line that gives a vector of a width; return its name."""
        name = f"%x{next(self._count)}"
        self.do(f"{name} = {text}")
        self._widths[name] = width
        return name

    def _at(self, place: str, offset: int, width: int) -> str:
        moved = self.value(f"getelementptr i8, i8* {place}, i64 {offset}", 0)
        return self.value(f"bitcast i8* {moved} to {_kind(width)}*", 0)

    def load(self, place: str, offset: int, width: int = 0) -> str:
        """Load a vector of some floats, or of as many as there are lanes."""
        width = width or self._lanes
        at = self._at(place, offset, width)
        return self.value(f"load {_kind(width)}, {_kind(width)}* {at}, align 4", width)

    def store(self, value: str, place: str, offset: int, width: int = 0) -> None:
        """Store a vector."""
        width = width or self._lanes
        at = self._at(place, offset, width)
        self.do(f"store {_kind(width)} {value}, {_kind(width)}* {at}, align 4")

    def spread(self, place: str, offset: int) -> str:
        """Load one float into all lanes."""
        one = self.load(place, offset, 1)
        return self.chosen(one, [0] * self._lanes)

    def chosen(self, a: str, index: Sequence[int], b: str = "undef") -> str:
        """Return a vector of numbers of one or two others."""
        kind = _kind(self._widths[a])
        mask = ", ".join(f"i32 {i}" for i in index)
        text = f"shufflevector {kind} {a}, {kind} {b}, <{len(index)} x i32> <{mask}>"
        return self.value(text, len(index))

    def mixed(self, a: str, b: str, order: Sequence[int] = ()) -> str:
        """Return the numbers of two vectors in turns."""
        return self.chosen(
            a, [k for i in order or range(self._lanes) for k in (i, i + self._lanes)], b
        )

    def constant(self, value: float, width: int = 0) -> str:
        """Return a number that is known, in all lanes."""
        width = width or self._lanes
        exact = int(np.float64(np.float32(value)).view(np.uint64))
        text = f"<{', '.join([f'float 0x{exact:016X}'] * width)}>"
        self._widths[text] = width
        return text

    def _with(self, operation: str, a: str, b: str) -> str:
        width = self._widths[a]
        return self.value(f"{operation} {_kind(width)} {a}, {b}", width)

    def plus(self, a: str, b: str) -> str:
        """Return a + b."""
        return self._with("fadd", a, b)

    def minus(self, a: str, b: str) -> str:
        """Return a - b."""
        return self._with("fsub", a, b)

    def times(self, a: str, b: str) -> str:
        """Return a b."""
        return self._with("fmul", a, b)

    def negative(self, a: str) -> str:
        """Return -a."""
        return self.value(f"fneg {_kind(self._lanes)} {a}", self._lanes)

    def times_plus(self, a: str, b: str, c: str) -> str:
        """Return a b + c, rounded once."""
        kind = _kind(self._lanes)
        text = f"call {kind} @llvm.fma.v{self._lanes}f32({kind} {a}, {kind} {b}, {kind} {c})"
        return self.value(text, self._lanes)

    # pairs of real and imaginary parts

    def sum(self, a: _Pair, b: _Pair) -> _Pair:
        """Return a + b."""
        return self.plus(a[0], b[0]), self.plus(a[1], b[1])

    def difference(self, a: _Pair, b: _Pair) -> _Pair:
        """Return a - b."""
        return self.minus(a[0], b[0]), self.minus(a[1], b[1])

    def product(self, a: _Pair, b: _Pair) -> _Pair:
        """Return a b."""
        return (
            self.times_plus(a[0], b[0], self.negative(self.times(a[1], b[1]))),
            self.times_plus(a[0], b[1], self.times(a[1], b[0])),
        )

    def turned(self, a: _Pair, k: int, n: int) -> _Pair:
        """Return a, turned k n-ths of the circle clockwise."""
        eighths = 8 * k / n % 8
        if eighths == 0:
            return a
        if eighths == 2:
            return a[1], self.negative(a[0])
        if eighths == 4:
            return self.negative(a[0]), self.negative(a[1])
        root = math.sqrt(0.5)
        if eighths == 1:
            both = self.plus(a[0], a[1]), self.minus(a[1], a[0])
            return self.times(both[0], self.constant(root)), self.times(
                both[1], self.constant(root)
            )
        if eighths == 3:
            both = self.minus(a[1], a[0]), self.plus(a[0], a[1])
            return self.times(both[0], self.constant(root)), self.times(
                both[1], self.constant(-root)
            )
        angle = -2 * math.pi * k / n
        return self.product(a, (self.constant(math.cos(angle)), self.constant(math.sin(angle))))

    def transform(self, x: Sequence[_Pair]) -> list[_Pair]:
        """Return the transform of 1, 2, 4, 8, … numbers."""
        if len(x) == 1:
            return list(x)
        if len(x) == 2:
            return [self.sum(x[0], x[1]), self.difference(x[0], x[1])]
        if len(x) == 4:
            a, b = self.sum(x[0], x[2]), self.difference(x[0], x[2])
            c, d = self.sum(x[1], x[3]), self.difference(x[1], x[3])
            turned = d[1], d[0]  # by a quarter, but for a sign
            return [
                self.sum(a, c),
                (self.plus(b[0], turned[0]), self.minus(b[1], turned[1])),
                self.difference(a, c),
                (self.minus(b[0], turned[0]), self.plus(b[1], turned[1])),
            ]
        n_parts = len(x) // 4
        return self.joined([self.transform(x[b::n_parts]) for b in range(n_parts)])

    def joined(self, parts: Sequence[Sequence[_Pair]]) -> list[_Pair]:
        """Return the transform of numbers from those of every n-th, of four numbers each."""
        n_parts = len(parts)
        columns = [
            self.transform(
                [self.turned(part[c], b * c, 4 * n_parts) for b, part in enumerate(parts)]
            )
            for c in range(4)
        ]
        return [columns[k % 4][k // 4] for k in range(4 * n_parts)]


class _Loops:
    """Blocks of a function, one after the other: lines that are run once, and loops.

    Parameters
    ----------
    lanes : int
        Floats in a vector.
    block : str
        The block that comes before them.
    """

    def __init__(self, lanes: int, block: str) -> None:
        self.lines: list[str] = []
        self.block = block
        self._lanes, self._count = lanes, itertools.count()

    def code(self, write: Callable[[_Code], None]) -> None:
        """Add lines that are run once."""
        code = _Code(self._lanes, self._count)
        write(code)
        self.lines += code.lines

    def place(self, base: str, offset: int) -> str:
        """Return a place so many bytes behind another."""
        name = f"%at{next(self._count)}"
        self.lines.append(f"  {name} = getelementptr i8, i8* {base}, i64 {offset}")
        return name

    def add(
        self, name: str, count: int, write: Callable[[_Code, _Places], None], moving: _Moving
    ) -> None:
        """Add a loop: how often, what it does, and the places that move with it."""
        label = f"loop.{name}"
        code = _Code(self._lanes, self._count)
        write(code, {place: f"%{label}.{place}" for place, _, _ in moving})
        self.lines += [
            f"  br label %{label}",
            f"{label}:",
            f"  %{label}.index = phi i64 [ 0, %{self.block} ], [ %{label}.following, %{label} ]",
            *(
                f"  %{label}.{place} = phi i8* [ {start}, %{self.block} ], "
                f"[ %{label}.{place}.next, %{label} ]"
                for place, start, _ in moving
            ),
            *code.lines,
            *(
                f"  %{label}.{place}.next = getelementptr i8, i8* %{label}.{place}, i64 {step}"
                for place, _, step in moving
            ),
            f"  %{label}.following = add i64 %{label}.index, 1",
            f"  %{label}.more = icmp slt i64 %{label}.following, {count}",
            f"  br i1 %{label}.more, label %{label}, label %{label}.end",
            f"{label}.end:",
        ]
        self.block = f"{label}.end"
