"""Machine code that is kept on disk, for the processor it was made for.

Only files that nobody but their user, the system or the package's owner can have written are read,
and only whole ones. Where there is no folder to write to, nothing is kept and nothing fails.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from audionmf.io.private import private_folder

__all__ = ["FOLDER", "digest", "keep_code", "kept_code"]

_BESIDE = Path(__file__).parent / "__pycache__"
FOLDER = "NUMBA_CACHE_DIR"
"""The variable that names a folder for compiled code."""


def kept_code(kind: str, source: str) -> Iterator[dict[str, Any]]:
    """Yield what is kept under a name for this processor, from the first folder on.

    Parameters
    ----------
    kind : str
        What the code does.
    source : str
        Digest of all that it is made from; what was made from anything else is not read.

    Yields
    ------
    dict
        As it was given to `keep_code`.
    """
    name = f"{kind}-{_processor()}-{source}.code"
    for folder in _folders():
        with contextlib.suppress(OSError, ValueError):
            if _trusted(folder / name):
                yield _read(folder / name)


def keep_code(kind: str, source: str, content: dict[str, Any]) -> None:
    """Keep code in the first folder that can be written; code from earlier sources goes.

    Parameters
    ----------
    kind, source
        As in `kept_code`.
    content : dict
        What JSON can hold.
    """
    text = json.dumps(content).encode()
    data = hashlib.sha256(text).hexdigest().encode() + b"\n" + text
    for folder in _folders():
        with contextlib.suppress(OSError):
            _write(folder, kind, source, data)
            return


def digest(data: bytes) -> str:
    """Return a word for some bytes."""
    return hashlib.sha256(data).hexdigest()[:16]


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


@functools.cache
def _processor() -> str:
    """Return a word for the processor."""
    import llvmlite.binding as llvm

    features = llvm.get_host_cpu_features().flatten()
    return digest(f"{llvm.get_process_triple()} {llvm.get_host_cpu_name()} {features}".encode())


def _write(folder: Path, kind: str, source: str, data: bytes) -> None:
    """Write a file as a whole, and remove those of earlier sources."""
    folder.mkdir(parents=True, exist_ok=True)
    number, made = tempfile.mkstemp(".part", f"{kind}-", folder)
    try:
        with os.fdopen(number, "wb") as file:
            file.write(data)
        Path(made).chmod(0o644)  # other users may read what lies beside the package
        Path(made).replace(folder / f"{kind}-{_processor()}-{source}.code")
    except OSError:
        Path(made).unlink()
        raise
    for old in folder.glob(f"{kind}-{_processor()}-*.code"):
        if not old.stem.endswith(source):
            old.unlink(missing_ok=True)


def _trusted(path: Path) -> bool:
    """Tell whether nobody can have written a file but its user, the system or the package's owner."""
    status, package = path.stat(), Path(__file__).stat()
    owners = {os.getuid(), 0, package.st_uid}
    return status.st_uid in owners and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _read(path: Path) -> dict[str, Any]:
    checksum, _, text = path.read_bytes().partition(b"\n")
    if hashlib.sha256(text).hexdigest().encode() != checksum:
        raise ValueError("it was damaged")
    found: dict[str, Any] = json.loads(text)
    return found
