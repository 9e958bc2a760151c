"""Arithmetic on frames in one pass over the memory: NumPy goes over it once an operation.

A pass is written as a Python function of numbers. Called with names instead of numbers it becomes
machine code, by LLVM, which numba brings; called with arrays it does the same in NumPy, to the bit, as
every operation is rounded by itself. Code is made in hundredths of a second when it is first needed,
and kept for the next process; it lets go of Python's lock: threads do not wait for each other.
"""

from __future__ import annotations

import ctypes
import functools
import itertools
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audionmf.io.kept import digest
from audionmf.spectra.machine_code import host, made

__all__ = [
    "FramePass",
    "exponential",
    "length",
    "logarithm",
    "maximum",
    "minimum",
    "root",
    "where_zero",
]

_CACHED = 16384
"""Numbers of an array over which sums are taken in single precision."""
_TILE = 512
"""Bins of a frame that are gone through before the next one: their rows and sums stay in the cache."""

_MOST_LANES = 16
"""Numbers of a vector, where they are widest."""

_LOG2_E = 1.44269504
_LN2 = (0.693359375, -2.12194440e-4)
"""The natural logarithm of 2 in two parts, of which the first has few digits."""
_ROUNDING = 12582912.0
"""1.5 times 2^23: added to a float32 it leaves no room for what comes after the point."""
_ROOT_OF_HALF = 0x3F3504F3
"""The float32 nearest to the root of a half, as a whole number of its bits."""
_LOG_SERIES = (
    7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1,
    -1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1,
)  # fmt: skip
_SERIES = (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 0.5)

_Run = Callable[..., None]
_lock = threading.Lock()
_SYMBOL = "frames"
_FAMILY, _MOST_KEPT = "pass", 100
"""What files of kept code are called, and how many of them there are at most."""


def maximum(a: Any, b: Any) -> Any:
    """Return the greater of two numbers, or of those in arrays."""
    return a.maximum(b) if isinstance(a, _Number) else np.maximum(a, b)


def minimum(a: Any, b: Any) -> Any:
    """Return the lesser of two numbers, or of those in arrays."""
    return a.minimum(b) if isinstance(a, _Number) else np.minimum(a, b)


def where_zero(x: Any, a: Any, b: Any) -> Any:
    """Return `a` where x is 0, elsewhere `b`; arrays and numbers alike."""
    return x.where_zero(a, b) if isinstance(x, _Number) else np.where(x == 0, a, b)


def root(x: Any) -> Any:
    """Return the square root of a number ≥ 0, or of those in an array."""
    return x.root() if isinstance(x, _Number) else np.sqrt(x)


def length(x: Any, *others: Any) -> Any:
    """Return the root of the sum of squares, of numbers or of those in arrays, whatever their range.

    In double precision, in which the squares of single precision are exact: two numbers are rounded as
    `np.hypot` is where that does the same.
    """
    if isinstance(x, _Number):
        return x.length(*others)
    wide = np.square(x, dtype=np.float64)
    for other in others:
        wide += np.square(other, dtype=np.float64)
    return np.sqrt(wide, out=wide).astype(np.float32)


def exponential(x: Any) -> Any:
    """Return e to the power of a number, or of those in an array, from -87 to 87.

    Notes
    -----
    By a power of 2 and a polynomial for the rest, within 2 units of the last place (Moshier, Cephes
    mathematical library, ``expf``). With NumPy's own function machine code would give other bits.
    """
    n = x * _LOG2_E + _ROUNDING - _ROUNDING
    rest = x - n * _LN2[0] - n * _LN2[1]
    series = 0.0 * rest + _SERIES[0]
    for term in _SERIES[1:]:
        series = series * rest + term
    value = series * rest * rest + rest + 1.0
    if isinstance(n, _Number):
        return value * n.power_of_two()
    return np.ldexp(value, n.astype(np.int32))


def logarithm(x: Any) -> Any:
    """Return the natural logarithm of a normal number > 0, or of those in an array.

    Notes
    -----
    By the power of 2 below it, and a polynomial for what is left, from the root of a half to that of 2,
    within 2 units of the last place (Moshier, Cephes mathematical library, ``logf``).
    """
    n, part = x.parts() if isinstance(x, _Number) else _parts(x)
    rest = part - 1.0
    series = 0.0 * rest + _LOG_SERIES[0]
    for term in _LOG_SERIES[1:]:
        series = series * rest + term
    square = rest * rest
    low = series * rest * square + n * _LN2[1] - square * 0.5
    return n * _LN2[0] + (rest + low)


def _parts(x: Any) -> tuple[Any, Any]:
    """Return what `_Number.parts` does, of an array."""
    bits = np.asarray(x, np.float32).view(np.int32)
    n = (bits - np.int32(_ROOT_OF_HALF)) >> np.int32(23)
    return n.astype(np.float32), (bits - (n << np.int32(23))).view(np.float32)


class FramePass:
    """A function of numbers, applied to all bins of frames.

    Parameters
    ----------
    function : callable
        Takes a number for each array, a pair of real and imaginary part where that is complex, and
        returns a list of results, pairs where they are complex. It may add, subtract, multiply and
        divide, and call `maximum`, `minimum`, `length`, `where_zero`, `root`, `exponential` and
        `logarithm`.
    inputs : str
        The kind of each array: "f" frames (n_frames, n_bins), float32, "c" the same of complex64,
        "r" one row (n_bins,) of float32 that all frames have in common.
    outputs : str
        The kind of each result: "f" or "c", "s" the sum of it over the frames (n_bins,), or "t" that
        over the bins (n_frames,), both in float64.

    Notes
    -----
    Bins have to be neighbours in memory. Sums are taken over a few frames, or every so manyth of a few
    bins, in float32, and these added in float64.
    """

    def __init__(self, function: Callable[..., Sequence[Any]], inputs: str, outputs: str) -> None:
        self._function, self._inputs, self._outputs = function, inputs, outputs
        self._run: _Run | None = None
        self._lanes = 0

    def __call__(self, arrays: Sequence[NDArray[Any]], results: Sequence[NDArray[Any]]) -> None:
        """Compute results into arrays; sums are added to what they hold.

        Parameters
        ----------
        arrays, results : sequence of ndarray
            Of the kinds of the pass, of the same numbers of frames and bins. They do not overlap.
        """
        n_frames, n_bins = next(a.shape for a in (*arrays, *results) if a.ndim == 2)
        if not n_frames * n_bins:
            return
        run = self._run or self._made()
        step = max(1, _CACHED // n_bins)
        if self._lanes == 0 or n_bins < self._lanes or not _neighbours(arrays, results):
            for first in range(0, n_frames, step):
                last = min(n_frames, first + step)
                self._in_numpy(arrays, results, slice(first, last), (last - first, n_bins))
            return
        every = [*arrays, *results]
        places = (ctypes.c_void_p * len(every))(*[_place(a) for a in every])
        strides = [a.strides[0] if a.ndim == 2 else 0 for a in every]
        run(places, (ctypes.c_int64 * len(every))(*strides), n_frames, n_bins, step)

    def _in_numpy(
        self,
        arrays: Sequence[NDArray[Any]],
        results: Sequence[NDArray[Any]],
        some: slice,
        shape: tuple[int, int],
    ) -> None:
        given = []
        for array, kind in zip(arrays, self._inputs, strict=True):
            part = array if kind == "r" else array[some]
            given.append((part.real, part.imag) if kind == "c" else part)
        found = self._function(*given)
        for result, kind, value in zip(results, self._outputs, found, strict=True):
            if kind == "c":
                result[some].real, result[some].imag = value
            elif kind == "f":
                result[some] = value
            elif kind == "s":
                total = np.zeros(shape[1], np.float32)
                for row in np.broadcast_to(value, shape):  # in the order of the machine code
                    total += row
                result += total
            else:
                _add_over_bins(
                    np.broadcast_to(value, shape), result[some], self._lanes or _MOST_LANES
                )

    def _made(self) -> _Run:
        with _lock:
            if self._run is None:
                code, self._lanes = _machine_code(self._function, self._inputs, self._outputs)
                self._run = code
            return self._run


def _add_over_bins(values: NDArray[np.float32], totals: NDArray[np.float64], lanes: int) -> None:
    """Add the sums of rows to totals, in the order of the machine code."""
    n_bins, start = values.shape[1], 0
    while start < n_bins:
        end = n_bins if start + 2 * _TILE > n_bins else start + _TILE
        sums = np.zeros((len(values), lanes), np.float32)
        for first in range(start, end, lanes):
            some = values[:, first : min(first + lanes, end)]
            sums[:, lanes - some.shape[1] :] += some
        wide = sums.astype(np.float64)
        while wide.shape[1] > 1:
            half = wide.shape[1] // 2
            wide = wide[:, :half] + wide[:, half:]
        totals += wide[:, 0]
        start = end


def _place(array: NDArray[Any]) -> int:
    place: int = array.__array_interface__["data"][0]
    return place


def _neighbours(arrays: Sequence[NDArray[Any]], results: Sequence[NDArray[Any]]) -> bool:
    return all(a.strides[-1] == a.itemsize for a in (*arrays, *results))


def _nothing(*_: Any) -> None:
    """Stand for machine code where there is none."""


def _machine_code(
    function: Callable[..., Sequence[Any]], inputs: str, outputs: str
) -> tuple[_Run, int]:
    """Return code and how many bins it takes at a time: 0 where there is no compiler."""
    features = host().features
    if not features:
        return _nothing, 0
    lanes = _MOST_LANES if features.get("avx512f") else 8 if features.get("avx") else 4
    text = _assembly(function, inputs, outputs, lanes)
    kind = f"{_FAMILY}-{digest(text.encode())}"
    places = made(kind, _source(), lambda: text, [_SYMBOL], family=f"{_FAMILY}-*", most=_MOST_KEPT)
    prototype = ctypes.CFUNCTYPE(
        None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64
    )
    return prototype(places[_SYMBOL]), lanes


@functools.cache
def _source() -> bytes:
    return Path(__file__).read_bytes()


class _Code:
    """Lines of LLVM's language."""

    def __init__(self, lanes: int) -> None:
        self.lanes, self.type = lanes, f"<{lanes} x float>"
        self.lines: list[str] = []
        self._count = itertools.count()
        self._known: dict[str, _Number] = {}

    def add(self, text: str) -> str:
        """Add a line that gives a value; return its name."""
        name = f"%x{next(self._count)}"
        self.lines.append(f"  {name} = {text}")
        return name

    def number(self, text: str) -> _Number:
        """Return the number that a line gives; the same line is there once."""
        if text not in self._known:
            self._known[text] = _Number(self, self.add(text))
        return self._known[text]

    def constant(self, value: float) -> _Number:
        """Return a number that is known."""
        exact = np.float64(np.float32(value)).view(np.uint64)
        one = f"float 0x{int(exact):016X}"
        return _Number(self, f"<{', '.join([one] * self.lanes)}>")

    def place(self, i: int, itemsize: int, base: str) -> str:
        """Return where the bins of an array are."""
        offset = self.add(f"mul i64 %bin, {itemsize}")
        return self.add(f"getelementptr i8, i8* %{base}{i}, i64 {offset}")

    def cast(self, place: str, kind: str) -> str:
        """Return a place as one of vectors."""
        return self.add(f"bitcast i8* {place} to {kind}*")

    def load(self, i: int, kind: str) -> Any:
        """Return the number, or pair of numbers, of an array."""
        if kind != "c":
            at = self.cast(self.place(i, 4, "base" if kind == "r" else "row"), self.type)
            return self.number(f"load {self.type}, {self.type}* {at}, align 4")
        both = f"<{2 * self.lanes} x float>"
        at = self.cast(self.place(i, 8, "row"), both)
        pair = self.add(f"load {both}, {both}* {at}, align 4")
        return tuple(
            self.number(f"shufflevector {both} {pair}, {both} undef, {self._every_second(k)}")
            for k in (0, 1)
        )

    def store(self, i: int, kind: str, value: Any) -> None:
        """Store a number, or a pair of numbers."""
        if kind == "f":
            at = self.cast(self.place(i, 4, "row"), self.type)
            self.lines.append(f"  store {self.type} {value.name}, {self.type}* {at}, align 4")
            return
        both, (real, imaginary) = f"<{2 * self.lanes} x float>", value
        mixed = [k // 2 + k % 2 * self.lanes for k in range(2 * self.lanes)]
        mask = ", ".join(f"i32 {k}" for k in mixed)
        pair = self.add(
            f"shufflevector {self.type} {real.name}, {self.type} {imaginary.name}, "
            f"<{len(mixed)} x i32> <{mask}>"
        )
        at = self.cast(self.place(i, 8, "row"), both)
        self.lines.append(f"  store {both} {pair}, {both}* {at}, align 4")

    def _every_second(self, first: int) -> str:
        chosen = ", ".join(f"i32 {2 * k + first}" for k in range(self.lanes))
        return f"<{self.lanes} x i32> <{chosen}>"


class _Number:
    """A number of which only the name is known, in machine code that is being written."""

    def __init__(self, code: _Code, name: str) -> None:
        self.code, self.name = code, name

    def _with(self, operation: str, a: Any, b: Any) -> _Number:
        a, b = (x if isinstance(x, _Number) else self.code.constant(x) for x in (a, b))
        return self.code.number(f"{operation} {self.code.type} {a.name}, {b.name}")

    def __add__(self, other: Any) -> _Number:
        return self._with("fadd", self, other)

    def __radd__(self, other: Any) -> _Number:
        return self._with("fadd", other, self)

    def __sub__(self, other: Any) -> _Number:
        return self._with("fsub", self, other)

    def __rsub__(self, other: Any) -> _Number:
        return self._with("fsub", other, self)

    def __mul__(self, other: Any) -> _Number:
        return self._with("fmul", self, other)

    def __rmul__(self, other: Any) -> _Number:
        return self._with("fmul", other, self)

    def __truediv__(self, other: Any) -> _Number:
        return self._with("fdiv", self, other)

    def __rtruediv__(self, other: Any) -> _Number:
        return self._with("fdiv", other, self)

    def _chosen(self, condition: _Number, a: _Number, b: _Number) -> _Number:
        kind, lanes = self.code.type, self.code.lanes
        return self.code.number(
            f"select <{lanes} x i1> {condition.name}, {kind} {a.name}, {kind} {b.name}"
        )

    def maximum(self, other: Any) -> _Number:
        """Return the greater of two."""
        b = other if isinstance(other, _Number) else self.code.constant(other)
        return self._chosen(self._with("fcmp ogt", self, b), self, b)

    def minimum(self, other: Any) -> _Number:
        """Return the lesser of two."""
        b = other if isinstance(other, _Number) else self.code.constant(other)
        return self._chosen(self._with("fcmp olt", self, b), self, b)

    def root(self) -> _Number:
        """Return the square root."""
        kind, lanes = self.code.type, self.code.lanes
        text = f"call {kind} @llvm.sqrt.v{lanes}f32({kind} {self.name})"
        return self.code.number(text)

    def length(self, *others: _Number) -> _Number:
        """Return the root of the sum of all squares."""
        lanes = self.code.lanes
        wide = f"<{lanes} x double>"
        squares = []
        for one in (self, *others):
            exact = self.code.number(f"fpext {self.code.type} {one.name} to {wide}")
            squares.append(self.code.number(f"fmul {wide} {exact.name}, {exact.name}"))
        total = squares[0]
        for square in squares[1:]:
            total = self.code.number(f"fadd {wide} {total.name}, {square.name}")
        root = self.code.number(f"call {wide} @llvm.sqrt.v{lanes}f64({wide} {total.name})")
        return self.code.number(f"fptrunc {wide} {root.name} to {self.code.type}")

    def parts(self) -> tuple[_Number, _Number]:
        """Return n, and this divided by 2 to the power of n: from the root of a half to that of 2."""
        lanes, kind = self.code.lanes, self.code.type
        whole = f"<{lanes} x i32>"
        bits = self.code.number(f"bitcast {kind} {self.name} to {whole}")
        above = self.code.number(f"sub {whole} {bits.name}, {_all(_ROOT_OF_HALF, lanes)}")
        n = self.code.number(f"ashr {whole} {above.name}, {_all(23, lanes)}")
        moved = self.code.number(f"shl {whole} {n.name}, {_all(23, lanes)}")
        left = self.code.number(f"sub {whole} {bits.name}, {moved.name}")
        return (
            self.code.number(f"sitofp {whole} {n.name} to {kind}"),
            self.code.number(f"bitcast {whole} {left.name} to {kind}"),
        )

    def power_of_two(self) -> _Number:
        """Return 2 to the power of this, a whole number."""
        lanes, number = self.code.lanes, self
        whole = f"<{lanes} x i32>"
        for text in (
            f"fptosi {self.code.type} {{}} to {whole}",
            f"add {whole} {{}}, {_all(127, lanes)}",
            f"shl {whole} {{}}, {_all(23, lanes)}",
            f"bitcast {whole} {{}} to {self.code.type}",
        ):
            number = self.code.number(text.format(number.name))
        return number

    def where_zero(self, a: Any, b: Any) -> _Number:
        """Return `a` where this is 0, elsewhere `b`."""
        a, b = (x if isinstance(x, _Number) else self.code.constant(x) for x in (a, b))
        return self._chosen(self._with("fcmp oeq", self, 0.0), a, b)


def _all(number: int, lanes: int) -> str:
    return _each([number] * lanes)


def _each(numbers: Iterable[int], kind: str = "i32") -> str:
    return f"<{', '.join(f'{kind} {number}' for number in numbers)}>"


def _assembly(function: Callable[..., Sequence[Any]], inputs: str, outputs: str, lanes: int) -> str:
    """Return a function in LLVM's language: for groups of frames, tiles of bins, frame by frame.

    The last bins are those at the end, of which some were taken before: they get the same again, and
    nothing more is added to their sums. These are kept, a vector at a time, until a group is through.
    """
    code, every = _Code(lanes), inputs + outputs
    given = [code.load(i, kind) for i, kind in enumerate(inputs)]
    found = function(*given)
    sums: list[tuple[int, Any]] = []
    totals: list[tuple[int, Any]] = []
    for i, (kind, value) in enumerate(zip(outputs, found, strict=True), len(inputs)):
        if kind == "s":
            sums.append((i, value))
        elif kind == "t":
            totals.append((i, value))
        else:
            code.store(i, kind, value)
    head, bases, rows, steps, moves = [], [], [], [], []
    for i, kind in enumerate(every):
        head += [
            f"  %place{i} = getelementptr i8*, i8** %places, i64 {i}",
            f"  %{'given' if kind in 'fc' else 'base'}{i} = load i8*, i8** %place{i}",
            f"  %stepped{i} = getelementptr i64, i64* %steps, i64 {i}",
            f"  %step{i} = load i64, i64* %stepped{i}",
        ]
        if kind in "fc":
            bases.append(f"  %base{i} = phi i8* [ %given{i}, %entry ], [ %moved{i}, %moving ]")
            rows.append(f"  %row{i} = phi i8* [ %base{i}, %tiles ], [ %next{i}, %framed ]")
            steps.append(f"  %next{i} = getelementptr i8, i8* %row{i}, i64 %step{i}")
            moves += [
                f"  %by{i} = mul i64 %step{i}, %n_together",
                f"  %moved{i} = getelementptr i8, i8* %base{i}, i64 %by{i}",
            ]
    vector, wide = code.type, f"<{lanes} x double>"
    added, ends = [], []
    for i, value in sums:
        head.append(f"  %sums{i} = alloca {vector}, i64 {2 * _TILE // lanes + 1}")
        added += [
            f"  %kept{i} = getelementptr {vector}, {vector}* %sums{i}, i64 %nth",
            f"  %had{i} = load {vector}, {vector}* %kept{i}",
            f"  %less{i} = select i1 %first, {vector} zeroinitializer, {vector} %had{i}",
            f"  %more{i} = fadd {vector} %less{i}, {value.name}",
            f"  store {vector} %more{i}, {vector}* %kept{i}",
        ]
        ends += [
            f"  %whole{i} = getelementptr {vector}, {vector}* %sums{i}, i64 %which",
            f"  %part{i} = load {vector}, {vector}* %whole{i}",
            f"  %long{i} = fpext {vector} %part{i} to {wide}",
            f"  %end{i} = getelementptr i8, i8* %base{i}, i64 %bytes",
            f"  %at{i} = bitcast i8* %end{i} to {wide}*",
            f"  %before{i} = load {wide}, {wide}* %at{i}, align 8",
            f"  %with{i} = fadd {wide} %before{i}, %long{i}",
            f"  %all{i} = select <{lanes} x i1> %bin1new, {wide} %with{i}, {wide} %before{i}",
            f"  store {wide} %all{i}, {wide}* %at{i}, align 8",
        ]
    running, counted, told = _over_bins(totals, lanes)
    adding = [
        "  br label %adding",
        "adding:",
        "  %which = phi i64 [ 0, %summing ], [ %which1, %adding ]",
        *_bin("which", "bin1", lanes),
        *_new("bin1", lanes),
        "  %bytes = mul i64 %bin1, 8",
        *ends,
        "  %which1 = add i64 %which, 1",
        "  %others = icmp slt i64 %which1, %nth1",
        "  br i1 %others, label %adding, label %tiled",
    ]
    return "\n".join([
        f"declare {vector} @llvm.sqrt.v{lanes}f32({vector})",  # LLVM 14 does not know it
        f"declare {wide} @llvm.sqrt.v{lanes}f64({wide})",
        f"define void @{_SYMBOL}"
        "(i8** %places, i64* %steps, i64 %n_frames, i64 %n_bins, i64 %n_together) {",
        "entry:",
        *head,
        f"  %last = sub i64 %n_bins, {lanes}",
        "  br label %groups",
        "groups:",
        "  %start = phi i64 [ 0, %entry ], [ %stop, %moving ]",
        *bases,
        "  %left = sub i64 %n_frames, %start",
        "  %fewer = icmp slt i64 %left, %n_together",
        "  %count = select i1 %fewer, i64 %left, i64 %n_together",
        "  br label %tiles",
        "tiles:",
        "  %tile = phi i64 [ 0, %groups ], [ %end, %tiled ]",
        f"  %usual = add i64 %tile, {_TILE}",
        f"  %beyond = add i64 %usual, {_TILE}",
        "  %final = icmp sgt i64 %beyond, %n_bins",
        "  %end = select i1 %final, i64 %n_bins, i64 %usual",
        "  br label %frames",
        "frames:",
        "  %t = phi i64 [ 0, %tiles ], [ %t1, %framed ]",
        *rows,
        "  %first = icmp eq i64 %t, 0",
        "  br label %bins",
        "bins:",
        "  %nth = phi i64 [ 0, %frames ], [ %nth1, %bins ]",
        *running,
        *_bin("nth", "bin", lanes),
        *code.lines,
        *added,
        *counted,
        "  %nth1 = add i64 %nth, 1",
        f"  %after = add i64 %bin, {lanes}",
        "  %inside = icmp slt i64 %after, %end",
        "  br i1 %inside, label %bins, label %framed",
        "framed:",
        *told,
        *steps,
        "  %t1 = add i64 %t, 1",
        "  %more = icmp slt i64 %t1, %count",
        "  br i1 %more, label %frames, label %summing",
        "summing:",
        *(adding if sums else ["  br label %tiled"]),
        "tiled:",
        "  br i1 %final, label %moving, label %tiles",
        "moving:",
        *moves,
        "  %stop = add i64 %start, %n_together",
        "  %again = icmp slt i64 %stop, %n_frames",
        "  br i1 %again, label %groups, label %over",
        "over:",
        "  ret void",
        "}",
    ])  # fmt: skip


def _bin(nth: str, name: str, lanes: int) -> list[str]:
    """Return lines that give the bin at which a vector of a tile begins."""
    return [
        f"  %{name}by = mul i64 %{nth}, {lanes}",
        f"  %{name}up = add i64 %tile, %{name}by",
        f"  %{name}over = icmp sgt i64 %{name}up, %last",
        f"  %{name} = select i1 %{name}over, i64 %last, i64 %{name}up",
    ]


def _new(bin_: str, lanes: int) -> list[str]:
    """Return lines that tell which bins of a vector were not taken before."""
    numbers = f"<{lanes} x i64>"
    return [
        f"  %{bin_}taken = sub i64 %{bin_}up, %{bin_}",
        f"  %{bin_}one = insertelement {numbers} undef, i64 %{bin_}taken, i32 0",
        f"  %{bin_}all = shufflevector {numbers} %{bin_}one, {numbers} undef, "
        f"<{lanes} x i32> zeroinitializer",
        f"  %{bin_}new = icmp sge {numbers} {_each(range(lanes), 'i64')}, %{bin_}all",
    ]


def _over_bins(totals: Sequence[tuple[int, Any]], lanes: int) -> tuple[list[str], ...]:
    """Return lines for sums over bins: before a vector, after it, and after those of a tile."""
    vector = f"<{lanes} x float>"
    before, after, told = [], _new("bin", lanes) if totals else [], []
    for i, value in totals:
        before.append(f"  %had{i} = phi {vector} [ zeroinitializer, %frames ], [ %has{i}, %bins ]")
        after += [
            f"  %more{i} = fadd {vector} %had{i}, {value.name}",
            f"  %has{i} = select <{lanes} x i1> %binnew, {vector} %more{i}, {vector} %had{i}",
        ]
        told.append(f"  %sum{i}of{lanes} = fpext {vector} %has{i} to <{lanes} x double>")
        n = lanes
        while n > 1:
            given, half = f"<{n} x double> %sum{i}of{n}", n // 2
            for name, first in (("low", 0), ("high", half)):
                told.append(
                    f"  %{name}{i}of{n} = shufflevector {given}, <{n} x double> undef, "
                    f"<{half} x i32> {_each(range(first, first + half))}"
                )
            told.append(f"  %sum{i}of{half} = fadd <{half} x double> %low{i}of{n}, %high{i}of{n}")
            n = half
        told += [
            f"  %alone{i} = extractelement <1 x double> %sum{i}of1, i32 0",
            f"  %offrame{i} = add i64 %start, %t",
            f"  %totals{i} = bitcast i8* %base{i} to double*",
            f"  %total{i} = getelementptr double, double* %totals{i}, i64 %offrame{i}",
            f"  %before{i} = load double, double* %total{i}, align 8",
            f"  %after{i} = fadd double %before{i}, %alone{i}",
            f"  store double %after{i}, double* %total{i}, align 8",
        ]
    return before, after, told
