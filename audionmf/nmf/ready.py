"""Kernels as they were compiled, run without the compiler, which takes half a second to load.

numba compiles `passes` and keeps what it needs to go on compiling. Of each kernel the machine code
alone is kept here as well, with the names that it refers to and the kinds of its arguments. LLVM's
linker, which is small, loads that, and it is called as numba calls it: two places for results, then
for each array five numbers, its shape and its strides. What cannot be kept or is not there is left to
numba: the code is the same, to the bit.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from audionmf.io.kept import CAN_BE_KEPT, FOLDER, digest, keep, package, read
from audionmf.nmf.calls import MOST_DOUBLES, MOST_NUMBERS, calls
from audionmf.spectra.machine_code import linked

__all__ = ["Call", "Kernel", "Laid", "kernel", "laid"]

Matrix = NDArray[Any]

_SOURCES = ("shapes.py", "intrinsics.py", "passes.py", "ready.py")
_NOT_CODE = (FOLDER, "NUMBA_NUM_THREADS")
"""Variables of numba that change nothing in the code."""
_OF_NUMBA = ("NRT_", "numba_")
"""What names of numba's own functions begin with."""
_SYMBOLS = 2
"""The kind of a section of an object file that is a table of symbols."""
_NOT_KEPT = (
    OSError, AttributeError, IndexError, KeyError, StopIteration, TypeError, ValueError, struct.error,
)  # fmt: skip
"""What another numba than is known here may raise, and a folder that cannot be written."""
_SCALARS = {
    bool: ("i8", ctypes.c_uint8),
    int: ("i64", ctypes.c_int64),
    float: ("double", ctypes.c_double),
}


class Laid(NamedTuple):
    """An array that is an argument of many calls, with the numbers that stand for it."""

    array: Matrix
    numbers: tuple[int, ...]


def laid(array: Matrix) -> Laid:
    """Return a contiguous array with its numbers. It has to live as long as they are used."""
    if not array.flags.c_contiguous:
        raise ValueError("an array with gaps cannot be told by the numbers of one without")
    return Laid(array, _numbers(array))


def _numbers(array: Matrix) -> tuple[int, ...]:
    place: int = array.__array_interface__["data"][0]
    return (0, 0, array.size, array.itemsize, place, *array.shape, *array.strides)


@dataclass(frozen=True)
class _Code:
    """Machine code that can be called, and what its arguments have to be."""

    run: Callable[..., int]
    kinds: list[str]
    place: int


class Kernel:
    """A function of `passes` for numbers of one type. Several threads may call it at once.

    Parameters
    ----------
    name : str
        Its name in `passes`.
    dtype : str
        "float32" or "float64".
    """

    def __init__(self, name: str, dtype: str) -> None:
        self.name, self._dtype = name, dtype
        self._code: _Code | None = None
        self._sought = self._offered = False
        self._wait: Callable[[], None] | None = None
        self._lock = threading.Lock()

    @property
    def is_ready(self) -> bool:
        """Whether calls need no compiler."""
        return self._code is not None

    def find(self) -> bool:
        """Load what is kept; tell whether calls need no compiler from then on."""
        if not self._sought:
            self._seek()
        return self.is_ready

    def await_from(self, wait: Callable[[], None]) -> None:
        """Have the next call wait until another process has kept the code, or has not managed to."""
        with self._lock:
            self._wait, self._sought = wait, False

    def __call__(self, *arguments: Any) -> None:
        """Do what the function does; arrays may come with their numbers."""
        if not self._sought:
            self._seek()
        numbers = None if self._code is None else _flat(arguments, self._code.kinds)
        if self._code is None or numbers is None:
            self._compile([a.array if type(a) is Laid else a for a in arguments])
        elif self._code.run(*_RESULTS, *numbers):
            raise RuntimeError(f"the kernel {self.name} failed")

    def code(self) -> _Code | None:
        """Return the machine code, None where it is left to numba."""
        self.find()
        return self._code

    def _seek(self) -> None:
        with self._lock:
            if self._wait is not None and not self._sought:
                self._wait()
                self._wait = None
            if not self._sought and CAN_BE_KEPT:
                self._code = _kept(f"{self.name}-{self._dtype}")
            self._sought = True

    def _compile(self, arguments: list[Any]) -> None:
        from audionmf.nmf.compiled import without_collection

        with without_collection():
            from audionmf.nmf import passes

            function = getattr(passes, self.name)
            function(*arguments)
        if self._code is not None or self._offered:
            return
        with self._lock, contextlib.suppress(*_NOT_KEPT):
            if not self._offered:
                self._offered = True
                _keep(f"{self.name}-{self._dtype}", function, arguments)
                self._sought = False  # the next call is of what is kept


class Call:
    """A call of a kernel, to be made again and again: its numbers lie ready in a block.

    Parameters
    ----------
    kernel : Kernel
        What is called.
    arguments
        With what; arrays may come with their numbers. They live as long as the call or its next
        arguments.
    """

    def __init__(self, kernel: Kernel, *arguments: Any) -> None:
        self._kernel, self._made = kernel, calls()
        self._block = (ctypes.c_int64 * (MOST_NUMBERS + MOST_DOUBLES))(*_RESULTS)
        self.place, self.block = 0, ctypes.addressof(self._block)
        self.take(*arguments)

    def take(self, *arguments: Any) -> None:
        """Take other arguments from now on."""
        self.arguments = arguments
        code = self._kernel.code()
        numbers = None if code is None or self._made is None else _flat(arguments, code.kinds)
        whole = [x for x in numbers or () if type(x) is not float]
        doubles = [x for x in numbers or () if type(x) is float]
        fits = len(whole) <= MOST_NUMBERS - len(_RESULTS) and len(doubles) <= MOST_DOUBLES
        self.place = code.place if code is not None and numbers is not None and fits else 0
        if self.place:
            self._block[len(_RESULTS) : len(_RESULTS) + len(whole)] = whole
            self._set(doubles)

    def __call__(self, *doubles: float) -> None:
        """Call the kernel, with other numbers of floating point than those it has if some are given."""
        if not self.place and self._kernel.is_ready:
            self.take(*self.arguments)
        if self._made is None or not self.place:
            others = iter(doubles or [x for x in self.arguments if type(x) is float])
            self._kernel(*(next(others) if type(x) is float else x for x in self.arguments))
            return
        if doubles:
            self._set(doubles)
        if self._made.invoke(self.place, self.block):
            raise RuntimeError(f"the kernel {self._kernel.name} failed")

    def _set(self, doubles: Sequence[float]) -> None:
        ctypes.memmove(
            self.block + 8 * MOST_NUMBERS,
            struct.pack(f"{len(doubles)}d", *doubles),
            8 * len(doubles),
        )


@functools.cache
def kernel(name: str, dtype: np.dtype[Any]) -> Kernel:
    """Return the kernel of a name for numbers of a type."""
    return Kernel(name, str(dtype))


_places = (ctypes.c_void_p * 2)()  # what a function returns that returns nothing, and its errors
_RESULTS = (ctypes.addressof(_places), ctypes.addressof(_places) + ctypes.sizeof(ctypes.c_void_p))


def _kind(argument: Any) -> str:
    if isinstance(argument, np.ndarray):
        return f"{argument.dtype.str}{argument.ndim}"
    return next(name for of, (name, _) in _SCALARS.items() if isinstance(argument, of))


def _flat(arguments: tuple[Any, ...], kinds: list[str]) -> list[Any] | None:
    """Return the numbers of a call; None for arrays that the code is not for."""
    numbers: list[Any] = []
    for argument, kind in zip(arguments, kinds, strict=True):
        if type(argument) is Laid:
            numbers += argument.numbers
        elif not isinstance(argument, np.ndarray):
            numbers.append(argument)
        elif argument.flags.c_contiguous and f"{argument.dtype.str}{argument.ndim}" == kind:
            numbers += _numbers(argument)
        else:
            return None
    return numbers


# --- what is kept


@functools.cache
def _source() -> str:
    """Return a word for all that the code is made from."""
    made_from = [Path(__file__).with_name(name).read_bytes() for name in _SOURCES]
    made_from += [package("numba"), package("llvmlite")]
    variables = {key: os.environ[key] for key in sorted(os.environ) if key.startswith("NUMBA_")}
    variables = {key: value for key, value in variables.items() if key not in _NOT_CODE}
    return digest(b"".join(made_from) + repr(variables).encode())


def _keep(name: str, function: Any, arguments: list[Any]) -> None:
    """Keep the machine code of a function that was called with some arguments."""
    import numba

    if not CAN_BE_KEPT:
        return
    types = tuple(numba.typeof(a) for a in arguments)  # type: ignore[no-untyped-call]
    found = function.overloads[types]
    description, kinds = found.fndesc, [_kind(a) for a in arguments]
    called = found.target_context.call_conv.get_function_type(
        description.restype, description.argtypes
    )
    if ["p" if str(t).endswith("*") else str(t) for t in called.args] != _expected(kinds):
        return  # a numba that calls in another way
    code, outside = _alone(_object_file(function, types, found))
    told = {"symbol": description.llvm_func_name, "kinds": kinds, "outside": outside}
    keep(name, _source(), code, told)


def _object_file(function: Any, types: tuple[Any, ...], found: Any) -> bytes:
    """Return the object file of a compiled function, from where numba kept it if it is from there."""
    try:
        made = found._asdict()["library"].serialize_using_object_code()
        code: bytes = made[2][0]
    except RuntimeError:  # it was handed on to the linker
        cache = function._cache
        key = cache._index_key(types, found.target_context.codegen())
        kept = cache._cache_file.load(key) or cache._beside.load(key)
        code = kept[0][2][0]
    return code


def _expected(kinds: list[str]) -> list[str]:
    """Return the types of all numbers of a call."""
    found = ["p", "p"]
    for kind in kinds:
        if kind in ("i8", "i64", "double"):
            found.append(kind)
        else:
            found += ["p", "p", "i64", "i64", "p"] + ["i64"] * (2 * int(kind[-1]))
    return found


def _alone(code: bytes) -> tuple[bytes, list[str]]:
    """Return an object file (ELF, 64 bits) that refers to nothing of numba, and what else it needs.

    numba's way from Python to the code, which lies in the file too and is not gone here, refers to
    functions that only numba has. Their names are exchanged for one of Python's: those references
    can be resolved, and are never followed.
    """
    names = {place: name for place, name in _undefined(code) if not name.startswith(_OF_NUMBA)}
    python = next(place for place, name in names.items() if name.startswith("Py"))
    patched = bytearray(code)
    for place, _ in _undefined(code):
        if place not in names:
            patched[place : place + 4] = code[python : python + 4]
    return bytes(patched), sorted(names.values())


def _undefined(code: bytes) -> Iterator[tuple[int, str]]:
    """Return the names that an object file does not define, and where it says which they are."""
    (table,), (size, count) = (
        struct.unpack_from("<Q", code, 40),
        struct.unpack_from("<HH", code, 58),
    )
    sections = [struct.unpack_from("<IIQQQQIIQQ", code, table + i * size) for i in range(count)]
    for _, kind, _, _, start, length, names, _, _, entry in sections:
        if kind != _SYMBOLS:
            continue
        for place in range(start + entry, start + length, entry):
            name, _, _, section = struct.unpack_from("<IBBH", code, place)
            if section == 0:
                begin = sections[names][4] + name
                yield place, code[begin : code.index(b"\0", begin)].decode()


def _kept(name: str) -> _Code | None:
    """Return the code that is kept of a kernel; None where there is none that can be used."""
    with contextlib.suppress(OSError):
        for found in read(name, _source()):
            with contextlib.suppress(ValueError, KeyError, TypeError, RuntimeError):
                return _linked(found)
    return None


def _linked(kept: dict[str, Any]) -> _Code | None:
    """Load code; None if the kernel is not in it."""
    engine = linked(kept["code"], kept["outside"])
    place = engine.get_function_address(kept["symbol"])
    if not place:
        return None
    types: list[Any] = []
    for kind in kept["kinds"]:
        scalar = [of for name, of in _SCALARS.values() if name == kind]
        types += scalar or [ctypes.c_int64] * (5 + 2 * int(kind[-1]))
    prototype = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_int64, ctypes.c_int64, *types)
    return _Code(prototype(place), kept["kinds"], place)
