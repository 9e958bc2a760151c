"""Machine code out of LLVM's language, for this processor, and kept on disk where that can be."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

from audionmf.io.executable import load
from audionmf.io.kept import CAN_BE_KEPT, Processor, digest, host, keep, package, read

__all__ = ["Linked", "Processor", "host", "linked", "made"]

_engines: list[Any] = []  # code lives as long as these
_Made = TypeVar("_Made")


class Linked(Protocol):
    """Machine code in memory."""

    def get_function_address(self, name: str) -> int:
        """Return the place of a function, 0 if there is none."""


def _undisturbed(make: Callable[[], _Made]) -> _Made:
    """Make LLVM's objects in a thread of their own, where no signal interrupts them.

    Half of one complains, beside the one line that is said, when it goes.
    """
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(make).result()


def made(
    kind: str,
    sources: bytes,
    write: Callable[[], str],
    names: Sequence[str],
    *,
    family: str | None = None,
    most: int | None = None,
) -> dict[str, int]:
    """Return where the functions of a module are in memory: as kept, or made now and kept.

    Parameters
    ----------
    kind : str
        What the code does, as part of the name of a file.
    sources : bytes
        All that the text depends on.
    write : callable
        Returns the module in LLVM's language. It refers to nothing outside itself.
    names : sequence of str
        Its functions.
    family, most : optional
        As in `audionmf.io.kept.keep`.

    Returns
    -------
    dict of str to int
        The place of each function. Code stays where it is.
    """
    if not CAN_BE_KEPT:
        return _places(_undisturbed(lambda: _compiled(write())), names)
    source = digest(sources + package("llvmlite"))
    for found in read(kind, source):
        with contextlib.suppress(ValueError, KeyError, TypeError, RuntimeError):
            return _places(linked(found["code"]), names)
    code = _undisturbed(lambda: _object_file(write()))
    keep(kind, source, code, {}, family=family, most=most)
    return _places(linked(code), names)


def _compiled(text: str) -> Linked:
    import llvmlite.binding as llvm

    machine = _machine()
    engine: Linked = llvm.create_mcjit_compiler(llvm.parse_assembly(text), machine)
    _engines.append(engine)
    return engine


def _object_file(text: str) -> bytes:
    import llvmlite.binding as llvm

    machine = _machine()
    code: bytes = machine.emit_object(llvm.parse_assembly(text))
    return code


def linked(code: bytes, outside: Sequence[str] = ()) -> Linked:
    """Put an object file into memory, by LLVM's linker where it is needed for that.

    The code lives as long as the process.

    Parameters
    ----------
    code : bytes
        The object file.
    outside : sequence of str
        Names that it refers to.

    Returns
    -------
    Linked
        It knows the places of functions.

    Raises
    ------
    KeyError
        If one of them is not in this process, over which LLVM would stop it.
    """
    with contextlib.suppress(ValueError, KeyError, OSError):
        return load(code, outside)
    return _undisturbed(lambda: _linked(code, outside))


def _linked(code: bytes, outside: Sequence[str]) -> Linked:
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine()
    engine: Any = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    if any(llvm.address_of_symbol(name) is None for name in outside):
        raise KeyError("a name that is not there")
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    # To ask for a place makes the object ready; `finalize_object` would compile the empty module.
    _engines.append(engine)
    found: Linked = engine
    return found


def _machine() -> Any:
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm.Target.from_default_triple().create_target_machine(
        cpu=host().name, features=host().flat(), opt=2
    )


def _places(engine: Linked, names: Sequence[str]) -> dict[str, int]:
    places: dict[str, int] = {name: engine.get_function_address(name) for name in names}
    if not all(places.values()):
        raise KeyError("a function is not there")
    return places
