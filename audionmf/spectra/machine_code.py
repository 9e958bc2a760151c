"""Machine code out of LLVM's language, for this processor, and kept on disk where that can be."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

from audionmf.io.kept import CAN_BE_KEPT, digest, keep, package, read

__all__ = ["Processor", "host", "linked", "made"]

_engines: list[Any] = []  # code lives as long as these
_Made = TypeVar("_Made")


class Processor(NamedTuple):
    """The processor of this machine, in LLVM's words."""

    name: str
    features: Any
    """What it can do, as LLVM's map of words; empty where that is not known."""


@functools.cache
def host() -> Processor:
    """Return the processor of this machine; it is asked once."""
    import llvmlite.binding as llvm

    try:
        return Processor(llvm.get_host_cpu_name(), llvm.get_host_cpu_features())
    except RuntimeError:
        return Processor("", {})


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
    return _undisturbed(lambda: _made(kind, sources, write, names, family, most))


def _made(
    kind: str,
    sources: bytes,
    write: Callable[[], str],
    names: Sequence[str],
    family: str | None,
    most: int | None,
) -> dict[str, int]:
    import llvmlite.binding as llvm

    if not CAN_BE_KEPT:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        module = llvm.parse_assembly(write())
        engine = llvm.create_mcjit_compiler(module, _machine())
        _engines.append(engine)
        return _places(engine, names)
    source = digest(sources + package("llvmlite"))
    for found in read(kind, source):
        with contextlib.suppress(ValueError, KeyError, TypeError, RuntimeError):
            return _places(_linked(found["code"]), names)
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    code = _machine().emit_object(llvm.parse_assembly(write()))
    keep(kind, source, code, {}, family=family, most=most)
    return _places(_linked(code), names)


def linked(code: bytes, outside: Sequence[str] = ()) -> Any:
    """Return LLVM's engine with an object file in it; the code lives as long as the process.

    Parameters
    ----------
    code : bytes
        The object file.
    outside : sequence of str
        Names that it refers to.

    Returns
    -------
    llvmlite.binding.ExecutionEngine
        Its `get_function_address` gives the place of a function, 0 if there is none.

    Raises
    ------
    KeyError
        If one of them is not in this process, over which LLVM would stop it.
    """
    return _undisturbed(lambda: _linked(code, outside))


def _linked(code: bytes, outside: Sequence[str] = ()) -> Any:
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine()
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    if any(llvm.address_of_symbol(name) is None for name in outside):
        raise KeyError("a name that is not there")
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    # To ask for a place makes the object ready; `finalize_object` would compile the empty module.
    _engines.append(engine)
    return engine


def _machine() -> Any:
    import llvmlite.binding as llvm

    return llvm.Target.from_default_triple().create_target_machine(
        cpu=host().name, features=host().features.flatten(), opt=2
    )


def _places(engine: Any, names: Sequence[str]) -> dict[str, int]:
    places: dict[str, int] = {name: engine.get_function_address(name) for name in names}
    if not all(places.values()):
        raise KeyError("a function is not there")
    return places
