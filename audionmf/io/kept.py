"""Machine code as files: kept where its user may write, and run only where nobody else may have.

A file holds the code, what it is called with and the digest of both. Its name says which processor
it is for and what it was made from, so that code of an older version is never found. Where nothing
can be kept, code is made anew in each process. Numbers that take as long to find as code, and are the
same each time, are kept in the same way.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.util
import json
import os
import stat
import sys
import tempfile
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from audionmf.io.executable import registers
from audionmf.io.private import any_writable, private_folder

__all__ = [
    "CAN_BE_KEPT",
    "FOLDER",
    "Processor",
    "can_keep",
    "digest",
    "host",
    "keep",
    "package",
    "read",
    "states",
]

CAN_BE_KEPT = sys.platform == "linux"
"""Whether code can be kept on this kind of system."""
_BESIDE = Path(__file__).parents[1] / "nmf" / "__pycache__"
"""Where numba keeps what it compiles, which is most of all code."""
FOLDER = "NUMBA_CACHE_DIR"
"""The variable that names a folder for compiled code."""


def _folders() -> Iterator[Path]:
    """Return where code may be kept, the first first; one beside the package is for all users."""
    if os.environ.get(FOLDER):
        yield from (Path(os.environ[FOLDER]), _BESIDE)
        return
    yield _BESIDE
    with contextlib.suppress(RuntimeError):  # there is no home
        cache = os.environ.get("XDG_CACHE_HOME") or Path("~", ".cache").expanduser()
        yield Path(cache, "audionmf")
    private = private_folder()
    if private is not None:
        yield private


def can_keep() -> bool:
    """Tell whether there is a folder that code can be written to now; a missing one is made."""
    return CAN_BE_KEPT and any_writable(_folders())


def digest(data: bytes) -> str:
    """Return 16 letters that stand for some bytes."""
    return hashlib.sha256(data).hexdigest()[:16]


class Processor(NamedTuple):
    """The processor of this machine, in LLVM's words."""

    name: str
    features: Mapping[str, bool]
    """What it can do, and what not; empty where that is not known."""
    triple: str = ""
    """Its kind, its maker's and the system's."""

    def flat(self) -> str:
        """Return what it can do as LLVM takes it."""
        each = sorted(self.features.items())
        return ",".join(f"{'+' if can else '-'}{name}" for name, can in each)


@functools.cache
def host() -> Processor:
    """Return the processor of this machine; it is asked once.

    What LLVM calls it is kept for all that the processor says of itself, as LLVM takes long to load.
    """
    told = registers() if CAN_BE_KEPT else None
    if told is None:
        return _by_llvm()
    name, source = f"processor-{digest(told)}", digest(package("llvmlite"))
    for found in _found(f"{name}-{source}"):
        with contextlib.suppress(KeyError, TypeError):
            return Processor(found["name"], dict(found["features"]), found["triple"])
    asked = _by_llvm()
    _put(name, source, b"", asked._asdict())
    return asked


def _by_llvm() -> Processor:
    import llvmlite.binding as llvm

    try:
        features = dict(llvm.get_host_cpu_features())
        return Processor(llvm.get_host_cpu_name(), features, llvm.get_process_triple())
    except RuntimeError:
        return Processor("", {})


@functools.cache
def _processor() -> str:
    """Return a word for the processor."""
    on = host()
    return digest(f"{on.triple} {on.name} {on.flat()}".encode())


def package(name: str) -> bytes:
    """Return what changes with another version of a package; it is not loaded."""
    found = importlib.util.find_spec(name)
    return b"" if found is None or found.origin is None else states([Path(found.origin)])


def states(files: Iterable[Path]) -> bytes:
    """Return what changes when one of some files is another or is written again."""
    told = [(file, file.stat()) for file in files]
    return " ".join(f"{file} {s.st_mtime_ns} {s.st_size}" for file, s in told).encode()


def keep(
    name: str,
    source: str,
    code: bytes,
    told: Mapping[str, Any],
    *,
    family: str | None = None,
    most: int | None = None,
) -> None:
    """Keep code in the first folder that can be written; where there is none, nothing happens.

    Parameters
    ----------
    name : str
        Its name, of letters that any file may have.
    source : str
        A digest of all that it is made from, but for the processor.
    code : bytes
        An object file, or numbers.
    told : mapping
        What else to keep, as JSON.
    family : str, optional
        Which names are of the same kind, as a pattern: their files of other sources are removed.
        Default: this name alone.
    most : int, optional
        How many files of the kind are kept, those that were written last.
    """
    on = _processor()
    _put(f"{name}-{on}", source, code, told, f"{family or name}-{on}", most)


def _put(
    name: str,
    source: str,
    code: bytes,
    told: Mapping[str, Any],
    family: str | None = None,
    most: int | None = None,
) -> None:
    text = json.dumps({**told, "code": b64encode(code).decode()}).encode()
    data = hashlib.sha256(text).hexdigest().encode() + b"\n" + text
    for folder in _folders():
        try:
            _write(folder, f"{name}-{source}.code", data)
        except OSError:
            continue
        with contextlib.suppress(OSError):
            _clear([*folder.glob(f"{family or name}-*.code")], source, most)
        return


def _clear(files: Sequence[Path], source: str, most: int | None) -> None:
    """Remove files of other sources, and the oldest of this one where there are more than so many."""
    own = [file for file in files if file.stem.endswith(source)]
    over = 0 if most is None else max(0, len(own) - most)
    oldest = sorted(own, key=lambda file: file.stat().st_mtime)[:over] if over else []
    for old in [*(file for file in files if file not in own), *oldest]:
        old.unlink(missing_ok=True)


def _write(folder: Path, name: str, data: bytes) -> None:
    """Write a file as a whole."""
    folder.mkdir(parents=True, exist_ok=True)
    number, made = tempfile.mkstemp(".part", f"{name}-", folder)
    try:
        with os.fdopen(number, "wb") as file:
            file.write(data)
        Path(made).chmod(0o644)  # other users may read what lies beside the package
        Path(made).replace(folder / name)
    except OSError:
        Path(made).unlink()
        raise


def read(name: str, source: str) -> Iterator[dict[str, Any]]:
    """Return what is kept under a name, of each folder whose file can be trusted and is whole.

    Parameters
    ----------
    name, source
        As `keep` took them.

    Returns
    -------
    iterator of dict
        What was told, and the ``code``, bytes.
    """
    return _found(f"{name}-{_processor()}-{source}")


def _found(name: str) -> Iterator[dict[str, Any]]:
    for folder in _folders():
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            path = folder / f"{name}.code"
            if _trusted(path):
                found = _read(path)
                yield {**found, "code": b64decode(found["code"])}


def _trusted(path: Path) -> bool:
    """Tell whether nobody can have written a file but its user, the system or the package's owner."""
    status, own = path.stat(), Path(__file__).stat()
    owners = {os.getuid(), 0, own.st_uid}
    return status.st_uid in owners and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _read(path: Path) -> dict[str, Any]:
    expected, _, text = path.read_bytes().partition(b"\n")
    if hashlib.sha256(text).hexdigest().encode() != expected:
        raise ValueError("it was damaged")
    found: dict[str, Any] = json.loads(text)
    return found
