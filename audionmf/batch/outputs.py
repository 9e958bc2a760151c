"""What manifests have in common: where they lie, the files that they name, and fields that are checked.

A manifest lies beside the stems that it tells of and names them from the output folder, so that a
later run finds what it replaces and takes no stem for a recording.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import platform
import re
import reprlib
import sys
import warnings
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from audionmf.batch.journal import OutputHash
from audionmf.errors import AudioNMFWarning, ParameterError, TemplateError
from audionmf.io.control import read_small
from audionmf.io.earlier import MANIFEST_NAME, MANIFESTS
from audionmf.io.files import StrPath, empty_file, require_file, safe_name, write_bytes
from audionmf.nmf.checks import thread_count

__all__ = [
    "MadeFiles",
    "checked_files",
    "clear_earlier",
    "folder_of",
    "head",
    "made_files",
    "manifest_kind",
    "mapping",
    "place_of",
    "plain_files",
    "read_values",
    "real",
    "text",
    "versions",
    "word",
    "write_values",
]

MadeFiles = Mapping[str, tuple[str, OutputHash]]
"""Files by what they are: each relative to the output folder, and what it holds."""

_VERSION = 1
_MAX_BYTES = 1 << 23
_LARGEST = sys.float_info.max
_MAX_ENTRIES = 1 << 14
_MAX_TEXT, _MAX_WORD = 1 << 16, 200


def place_of(folder: StrPath, track: str, pattern: str) -> Path:
    """Return where the manifest of a track goes.

    It is ``manifest.json`` in the folder that the pattern gives the track alone, and
    ``TRACK.manifest.json`` where it gives none.
    """
    track = safe_name(track)
    shared = pattern.split("{source}")[0].split("/")[:-1]
    place = Path(os.path.realpath(folder), *(re.sub(r"\{track\}", track, p) for p in shared))
    own = any("{track}" in part for part in shared)
    place = Path(os.path.normpath(place))
    return place / (MANIFEST_NAME if own else f"{track}.{MANIFEST_NAME}")


def folder_of(path: Path, track: str, pattern: str) -> Path:
    """Return the output folder that the manifest at `path` was written for.

    Raises
    ------
    ParameterError
        If it was moved away from there.
    """
    anchor = Path(path.absolute().anchor)
    below = place_of(anchor, track, pattern).relative_to(os.path.realpath(anchor))
    real = Path(os.path.realpath(path))
    root = real.parents[len(below.parts) - 1] if len(real.parts) > len(below.parts) else real
    if root / below != real:
        raise ParameterError(
            f"{str(path)!r} is not where it was written, {str(below)!r} in the output folder; "
            "say with -o where the stems go"
        )
    return root


def made_files(
    paths: Mapping[str, Path], folder: StrPath, n_threads: int | None = 1
) -> dict[str, tuple[str, OutputHash]]:
    """Return what files hold that are in place below the output folder, read in so many threads."""
    root = os.path.realpath(folder)
    with ThreadPoolExecutor(thread_count(n_threads)) as pool:
        hashes = list(pool.map(OutputHash.of, paths.values()))
    return {
        name: (Path(os.path.relpath(path, root)).as_posix(), made)
        for (name, path), made in zip(paths.items(), hashes, strict=True)
    }


def plain_files(files: MadeFiles) -> dict[str, Any]:
    """Return files as values that go into JSON."""
    return {
        name: {"file": file, "sha256": output.sha256, "n_bytes": output.n_bytes}
        for name, (file, output) in files.items()
    }


def checked_files(value: Any) -> dict[str, tuple[str, OutputHash]]:
    """Return files of such values; ValueError and the like if one is wrong."""
    return {
        text(name): (text(one["file"]), OutputHash.checked(one["sha256"], one["n_bytes"]))
        for name, one in mapping(value).items()
    }


def read_values(path: StrPath, kind: str) -> dict[str, Any]:
    """Read the values of a manifest of one kind, of those in `MANIFESTS`.

    Raises
    ------
    FileNotFoundError, AudioReadError
        If it is not there or not an ordinary file.
    TemplateError
        If it is no manifest of that kind and of this version.
    """
    path = require_file(path)
    if told := empty_file(path):
        raise TemplateError(told)
    values = _values_in(path)
    form = values.get("format")
    if form == MANIFESTS["regrouping"] and kind == "separation":
        raise TemplateError(
            f"{str(path)!r} tells of stems that 'audionmf regroup' made; run that again with the "
            "model and the groups that 'audionmf info' shows"
        )
    if form != MANIFESTS[kind] or "version" not in values:
        raise TemplateError(f"{str(path)!r} is not a manifest that audionmf wrote")
    if values["version"] != _VERSION:
        raise TemplateError(
            f"{str(path)!r} is of version {reprlib.repr(values['version'])} of the format; "
            f"this audionmf reads version {_VERSION}"
        )
    return values


def manifest_kind(path: StrPath) -> str:
    """Return what a manifest tells of, of those in `MANIFESTS`; empty if it is none.

    Raises
    ------
    FileNotFoundError, AudioReadError
        If it is not there or not an ordinary file.
    """
    form = _values_in(require_file(path)).get("format")
    return next((kind for kind, name in MANIFESTS.items() if name == form), "")


def _values_in(path: Path) -> dict[str, Any]:
    """Return the object of a JSON file; an empty one where it is none, or has too many bytes."""
    content = read_small(path, _MAX_BYTES)
    values: Any = None
    if content is not None:
        with contextlib.suppress(RecursionError, ValueError):
            values = json.loads(content)
    return values if isinstance(values, dict) else {}


def write_values(path: StrPath, values: Mapping[str, Any]) -> Path:
    """Write the values of a manifest, whole or not at all; the same bytes each time.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    return write_bytes(path, f"{json.dumps(values, indent=1, allow_nan=False)}\n".encode())


def head(kind: str) -> dict[str, Any]:
    """Return what the values of a manifest begin with."""
    return {"format": MANIFESTS[kind], "version": _VERSION}


def mapping(value: Any, most: int = _MAX_ENTRIES) -> dict[str, Any]:
    """Return named values; TypeError for anything else, or for more of them."""
    if not isinstance(value, dict) or len(value) > most:
        raise TypeError("not so many named values")
    return value


def text(value: Any) -> str:
    """Return a text; TypeError for anything else, or for a longer one."""
    if not isinstance(value, str) or len(value) > _MAX_TEXT:
        raise TypeError("not a text of that length")
    return value


def word(value: Any) -> str:
    """Return a short text that can be printed; ValueError for another."""
    if len(found := text(value)) > _MAX_WORD or not found.isprintable():
        raise ValueError("not a few plain words")
    return found


def real(value: Any, least: float = -_LARGEST, most: float = _LARGEST) -> float:
    """Return a number in a range; ValueError for anything else."""
    if type(value) not in (int, float) or not least <= value <= most:
        raise ValueError("not a number in its range")
    return float(value)


def clear_earlier(before: Mapping[Path, OutputHash], kept: Iterable[StrPath]) -> None:
    """Remove what an earlier run made, but for what was written again, or is not as it was made.

    Parameters
    ----------
    before : mapping
        As `audionmf.batch.manifest.stems_before` gives it.
    kept : iterable of path
        The files of this run, and those that it read.

    Warns
    -----
    AudioNMFWarning
        If a file stays that is somebody's work since.
    """
    names = {os.path.realpath(path) for path in kept}
    changed = []
    for path, output in before.items():
        if str(path) in names or not os.path.lexists(path):
            continue
        if output.fits(path):
            path.unlink()
            with contextlib.suppress(OSError):  # a folder that had it alone
                path.parent.rmdir()
        else:
            changed.append(str(path))
    if changed:
        warnings.warn(
            AudioNMFWarning(
                f"{', '.join(map(repr, changed))}: made by an earlier run and changed since, so left "
                "where the new stems are; move it away"
            ),
            stacklevel=2,
        )


def versions() -> dict[str, str]:
    """Return the versions of this package, of Python and of the libraries that compute."""
    import numpy as np
    import soundfile

    from audionmf import __version__

    return {
        "audionmf": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": _version_of("scipy"),
        "numba": _version_of("numba"),
        "libsndfile": soundfile.__libsndfile_version__,
        "machine": f"{platform.system()} {platform.machine()}",
    }


def _version_of(package: str) -> str:
    """Return the version of an installed package, which is not imported.

    It is in the name of the folder beside it; `importlib.metadata`, which takes 25 ms to load, is for
    where that cannot be told.
    """
    found = importlib.util.find_spec(package)
    if found is not None and found.origin is not None:
        beside = list(Path(found.origin).parents[1].glob(f"{package}-*.dist-info"))
        if len(beside) == 1:
            return beside[0].name.removeprefix(f"{package}-").removesuffix(".dist-info")
    from importlib.metadata import version

    return version(package)
