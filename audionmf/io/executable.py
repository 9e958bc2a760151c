"""Machine code in memory, out of object files: what LLVM's linker does, for what is kept here alone.

To load LLVM with its linker takes longer than to load all the code of a separation. Object files for
Linux on x86-64 (ELF) are understood in which all references are whole addresses, as LLVM writes them
for code that runs where it was made; all else is refused, and is left to LLVM.

References: System V Application Binary Interface, chapter 4, and its supplement for AMD64, section 4.4;
Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, CPUID and XGETBV.
"""

from __future__ import annotations

import ctypes
import functools
import os
import struct
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

__all__ = ["Loaded", "can_load", "load", "registers"]

_READ, _WRITE, _RUN = 1, 2, 4
_PRIVATE, _OF_NO_FILE = 2, 32
_FAILED = ctypes.c_void_p(-1).value
_PAGE = 4096
"""What the system calls memory by, that others may write, or run, or neither."""
_LINE = 64
"""Bytes that the processor fetches together."""
_ELF = b"\x7fELF\x02\x01\x01"
"""How object files of 64 bits begin, least byte first."""
_OBJECT, _X86_64 = 1, 62
_PROGRAM, _SYMBOLS, _ZEROS, _REFERENCES = 1, 2, 8, (4, 9)
"""Kinds of sections; references to places come with what is added to these, or without."""
_WRITABLE, _IN_MEMORY, _OF_A_THREAD = 1, 2, 1 << 10
"""What a section can be, as bits."""
_UNDEFINED, _ABSOLUTE, _COMMON = 0, 0xFFF1, 0xFFF2
"""Sections of symbols that are in none."""
_FUNCTION, _CHOSEN_WHEN_CALLED = 2, 10
_WHOLE_ADDRESS = 1


class Loaded(NamedTuple):
    """Machine code that stays where it is as long as the process lives."""

    functions: Mapping[str, int]
    """The place of each function that others may call."""

    def get_function_address(self, name: str) -> int:
        """Return the place of a function; 0 if there is none of that name."""
        return self.functions.get(name, 0)


class _Section(NamedTuple):
    name: int
    kind: int
    flags: int
    address: int
    start: int
    size: int
    link: int
    of: int
    alignment: int
    entry: int


class _Symbol(NamedTuple):
    name: int
    info: int
    seen: int
    section: int
    value: int
    size: int


def can_load() -> bool:
    """Tell whether object files of this kind of system are understood."""
    return sys.platform == "linux" and sys.maxsize >> 32 > 0 and os.uname().machine == "x86_64"


def load(code: bytes, outside: Iterable[str] = ()) -> Loaded:
    """Put an object file into memory, where it can be run.

    Parameters
    ----------
    code : bytes
        The object file.
    outside : iterable of str
        Names that it refers to, if that is known.

    Returns
    -------
    Loaded
        Where its functions are.

    Raises
    ------
    ValueError
        If something in it is not understood, or this is another kind of system.
    KeyError
        If it refers to a name that is not in this process.
    OSError
        If the system gives no memory whose content can be run.
    """
    if not can_load():
        raise ValueError("code of another kind of system")
    for name in outside:
        _in_process(name)
    try:
        return _Object(code).loaded()
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise ValueError("it is damaged") from error


class _Object:
    """An object file. Its sections are put one after the other, those first that nobody writes."""

    def __init__(self, code: bytes) -> None:
        self._code = code
        kind, machine, table, size, count = struct.unpack_from("<HH20xQ10xHH", code, 16)
        if not code.startswith(_ELF) or (kind, machine) != (_OBJECT, _X86_64):
            raise ValueError("no object file, or one for another processor")
        self._sections = [
            _Section(*struct.unpack_from("<IIQQQQIIQQ", code, table + i * size))
            for i in range(count)
        ]
        (names,) = (s for s in self._sections if s.kind == _SYMBOLS)
        self._symbols = [_Symbol(*told) for told in self._rows("<IBBHQQ", names)]
        self._names = self._piece(self._sections[names.link])
        self._offsets: dict[int, int] = {}
        self._base = self._size = self._fixed = 0

    def _piece(self, section: _Section) -> bytes:
        piece = self._code[section.start : section.start + section.size]
        if len(piece) != section.size:
            raise ValueError("its end is missing")
        return piece

    def _rows(self, form: str, section: _Section) -> Iterator[tuple[Any, ...]]:
        return struct.iter_unpack(form, self._piece(section))

    def _lay_out(self) -> None:
        """Find where each section will be, and each symbol that is in none but has a size."""
        # What tells how to unwind the stack is a kind of its own, and nobody does that here.
        placed = [(i, s) for i, s in enumerate(self._sections) if s.kind in (_PROGRAM, _ZEROS)]
        placed = [(i, s) for i, s in placed if s.flags & _IN_MEMORY]
        if any(s.flags & _OF_A_THREAD for _, s in placed):
            raise ValueError("variables that each thread has for itself")
        for i, section in placed:
            if not section.flags & _WRITABLE:
                self._offsets[i] = self._room(section.size, section.alignment)
        self._fixed = self._size = self._room(0, _PAGE)
        for i, section in placed:
            if section.flags & _WRITABLE:
                self._offsets[i] = self._room(section.size, section.alignment)
        for i, symbol in enumerate(self._symbols):
            if symbol.section == _COMMON:  # its value is the alignment
                self._offsets[len(self._sections) + i] = self._room(symbol.size, symbol.value)

    def _room(self, size: int, alignment: int) -> int:
        alignment = max(_LINE, alignment)
        begin = -(-self._size // alignment) * alignment
        self._size = begin + size
        return begin

    def loaded(self) -> Loaded:
        """Put it into memory."""
        self._lay_out()
        image = bytearray(self._size)
        for i, offset in self._offsets.items():
            if i < len(self._sections) and self._sections[i].kind == _PROGRAM:
                piece = self._piece(self._sections[i])
                image[offset : offset + len(piece)] = piece
        self._base = _memory(self._size)
        for section in self._sections:
            if section.kind in _REFERENCES and section.of in self._offsets:
                self._fill_in(image, section)
        _write(self._base, image, self._fixed)
        return Loaded(
            {
                self._name(symbol): self._place(i)
                for i, symbol in enumerate(self._symbols)
                if symbol.info & 15 == _FUNCTION and symbol.info >> 4
            }
        )

    def _fill_in(self, image: bytearray, references: _Section) -> None:
        """Write the places that a section refers to into it."""
        start, size = self._offsets[references.of], self._sections[references.of].size
        if references.kind != _REFERENCES[0]:
            raise ValueError("references of another form")
        for at, what, added in self._rows("<QQq", references):
            if what & 0xFFFFFFFF != _WHOLE_ADDRESS or at + 8 > size:
                raise ValueError("a reference of another kind")
            struct.pack_into("<Q", image, start + at, self._place(what >> 32) + added)

    def _name(self, symbol: _Symbol) -> str:
        return self._names[symbol.name : self._names.index(b"\0", symbol.name)].decode()

    def _place(self, number: int) -> int:
        symbol = self._symbols[number]
        if symbol.info & 15 == _CHOSEN_WHEN_CALLED:
            raise ValueError("a function that is chosen when it is called")
        if symbol.section == _UNDEFINED:
            return _in_process(self._name(symbol))
        if symbol.section == _ABSOLUTE:
            return symbol.value
        if symbol.section == _COMMON:
            return self._base + self._offsets[len(self._sections) + number]
        if symbol.section not in self._offsets:
            raise ValueError("a name of what is not there")
        return self._base + self._offsets[symbol.section] + symbol.value


# --- memory


@functools.cache
def _process() -> ctypes.CDLL:
    library = ctypes.CDLL(None, use_errno=True)
    place, size, number = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
    library.mmap.restype = place
    library.mmap.argtypes = place, size, number, number, number, ctypes.c_long
    library.mprotect.argtypes = place, size, number
    return library


@functools.cache
def _in_process(name: str) -> int:
    """Return where a function or variable of this process is."""
    try:
        return ctypes.addressof(ctypes.c_char.in_dll(_process(), name))
    except ValueError as error:
        raise KeyError(name) from error


def _memory(size: int) -> int:
    """Return the place of so many bytes that can be written. They are never given back."""
    kind = _PRIVATE | _OF_NO_FILE
    place: int | None = _process().mmap(None, size, _READ | _WRITE, kind, -1, 0)
    if place in (None, _FAILED):
        raise OSError(ctypes.get_errno(), "no memory for machine code")
    return place


def _write(place: int, image: bytearray, n_fixed: int) -> None:
    """Write what memory holds, and let the first bytes be run, but written no more."""
    ctypes.memmove(place, (ctypes.c_char * len(image)).from_buffer(image), len(image))
    if _process().mprotect(place, n_fixed, _READ | _RUN):
        raise OSError(ctypes.get_errno(), "no memory whose content can be run")


# --- the processor

_CPUID = bytes.fromhex(
    "53"  # push rbx, which belongs to the caller
    "89f8 89f1 4989d0"  # what is asked, in eax and ecx; where the answer goes, in r8
    "0fa2"  # cpuid
    "418900 41895804 41894808 4189500c"  # eax, ebx, ecx, edx to where r8 points
    "5b c3"
)
_XGETBV = bytes.fromhex("31c9 0f01d0 48c1e220 4809d0 c3")
"""The registers that the system keeps for each thread, as bits."""
_KEPT_BY_SYSTEM = 1 << 27
_ASKED: Sequence[tuple[int, int, tuple[int, ...]]] = (
    (0x1, 0, (0, 2, 3)), (0x7, 0, (0, 1, 2, 3)), (0x7, 1, (0, 1, 2, 3)), (0xD, 1, (0,)),
    (0x14, 0, (1,)), (0x19, 0, (1,)), (0x1E, 1, (0,)), (0x24, 0, (1,)), (0x80000001, 0, (1, 2, 3)),
    (0x80000008, 0, (1,)), (0x80000021, 0, (0, 1, 2)),
)  # fmt: skip
"""What is asked of a processor, and the registers of the answer that are the same on all its cores."""


@functools.cache
def registers() -> bytes | None:
    """Return what the processor says of itself, asked now; None on other kinds of systems.

    All that LLVM goes by is in it, as it asks the same: vendor, model and what it can do.
    """
    if not can_load():
        return None
    try:
        cpuid = ctypes.CFUNCTYPE(None, ctypes.c_uint32, ctypes.c_uint32, ctypes.c_void_p)(
            _put(_CPUID)
        )
        xgetbv = ctypes.CFUNCTYPE(ctypes.c_uint64)(_put(_XGETBV))
    except OSError:
        return None
    answer = (ctypes.c_uint32 * 4)()

    def ask(what: int, more: int = 0) -> list[int]:
        cpuid(what, more, ctypes.addressof(answer))
        return list(answer)

    found = ask(0)
    most = {0: found[0], 1: ask(0x80000000)[0]}
    for what, more, which in _ASKED:
        told = ask(what, more) if what <= most[what >> 31] else [0] * 4
        found += [told[i] for i in which]
    found += divmod(xgetbv(), 1 << 32) if ask(1)[2] & _KEPT_BY_SYSTEM else (0, 0)
    return struct.pack(f"<{len(found)}I", *found)


def _put(code: bytes) -> int:
    place = _memory(len(code))
    _write(place, bytearray(code), _PAGE)
    return place
