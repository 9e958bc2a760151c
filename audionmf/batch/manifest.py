"""The manifest of a separated track: what its stems were made from, with what, and what came out.

It lies beside the stems as JSON and holds all that they depend on: every input and template file
with a hash of its bytes, every option, the seed, the versions of what computed. So the same stems
can be made again, or it can be said why not. It holds no time of day and no folder of output: the
same separation gives the same manifest.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import hashlib
import json
import os
import platform
import re
import reprlib
import sys
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audionmf.batch.job import SeparatedFiles, SeparationJob
from audionmf.batch.journal import OutputHash
from audionmf.errors import (
    AudioNMFWarning,
    AudioReadError,
    OutputError,
    ParameterError,
    TemplateError,
)
from audionmf.io.control import read_small
from audionmf.io.earlier import MANIFEST_NAME
from audionmf.io.files import StrPath, file_hash, require_file, safe_name, write_bytes

__all__ = [
    "MANIFEST_NAME",
    "Manifest",
    "Recipe",
    "clear_earlier",
    "manifest_in",
    "manifest_path",
    "output_folder",
    "refuse_foreign",
    "stems_before",
    "versions",
]

_FORMAT, _VERSION = "audionmf manifest", 1
_MAX_BYTES = 1 << 23
_LARGEST = sys.float_info.max
_MAX_ENTRIES = 1 << 14
_MOST_NAMED = 8
_MAX_TEXT, _MAX_WORD = 1 << 16, 200


@dataclass(frozen=True)
class Recipe:
    """All that the stems of a track depend on.

    Parameters
    ----------
    job : dict
        A `SeparationJob` as plain values, its paths absolute, without what the stems and notes
        do not depend on: the output folder, the number of threads, whether there is a report.
    inputs : dict of str to str
        SHA-256 of every file that is read, by its absolute path.
    versions : dict of str to str
        Of this package, Python and the libraries that compute.
    """

    job: Mapping[str, Any]
    inputs: Mapping[str, str]
    versions: Mapping[str, str]

    @classmethod
    def of(cls, job: SeparationJob) -> Recipe:
        """Describe a job, and take the hashes of its inputs.

        Raises
        ------
        FileNotFoundError, AudioReadError
            If an input is not there or is not an ordinary file.
        """
        job = job.absolute()
        inputs = {path: file_hash(require_file(path)) for path in job.inputs()}
        values = job.to_dict()
        del values["folder"], values["report"], values["settings"]["n_threads"]
        if values["settings"]["device"] == "cpu":  # as before there was a choice
            del values["settings"]["device"]
        # As JSON has it, so that what was read back is equal to what was written.
        return cls(json.loads(json.dumps(values)), inputs, versions())

    @property
    def key(self) -> str:
        """Hash of the recipe, in hexadecimal digits."""
        return hashlib.sha256(json.dumps(dataclasses.asdict(self)).encode()).hexdigest()

    def to_job(self, folder: StrPath) -> SeparationJob:
        """Return the job again, with an output folder.

        Raises
        ------
        ParameterError
            If the values are none of a job.
        """
        # Before sources were named by what is heard of them, all names were plain.
        settings = {"names": "plain", **self.job["settings"]}
        values = {**self.job, "settings": settings, "folder": os.fspath(folder)}
        return SeparationJob.from_dict(values)


@dataclass(frozen=True)
class Manifest:
    """What `Manifest.save` writes beside the stems.

    Parameters
    ----------
    recipe : Recipe
        What the stems depend on.
    stems : mapping of str to (str, OutputHash)
        The file of each source, relative to the output folder, and what it holds.
    notes : mapping of str to (str, OutputHash)
        The files with notes likewise, by their kind.
    gain : float
        The common gain of all stems.
    divergence : sequence of float
        How the divergence fell while templates were learnt.
    reason : str
        Why that stopped.
    trust : mapping
        How far to trust each stem, as `Trust.to_dict` gives it.
    """

    recipe: Recipe
    stems: Mapping[str, tuple[str, OutputHash]]
    notes: Mapping[str, tuple[str, OutputHash]]
    gain: float
    divergence: Sequence[float]
    reason: str
    trust: Mapping[str, Any]

    @classmethod
    def of(cls, recipe: Recipe, done: SeparatedFiles, folder: StrPath) -> Manifest:
        """Describe stems that are in place below `folder`."""
        root = os.path.realpath(folder)

        def described(paths: Mapping[str, Path]) -> dict[str, tuple[str, OutputHash]]:
            return {
                name: (Path(os.path.relpath(path, root)).as_posix(), OutputHash.of(path))
                for name, path in paths.items()
            }

        found, stems, notes = (
            done.decomposition,
            described(done.stems.paths),
            described(done.exports),
        )
        return cls(
            recipe, stems, notes, done.stems.gain, found.divergence.tolist(), found.reason,
            done.trust.to_dict(),
        )  # fmt: skip

    @classmethod
    def load(cls, path: StrPath) -> Manifest:
        """Read a manifest.

        Raises
        ------
        FileNotFoundError, AudioReadError
            If it is not there or not an ordinary file.
        TemplateError
            If it is not a manifest of this version.
        """
        path = require_file(path)
        refused = TemplateError(f"{str(path)!r} is not a manifest that audionmf wrote")
        content = read_small(path, _MAX_BYTES)
        if content is None:
            raise refused
        try:
            values = json.loads(content)
            if values["format"] != _FORMAT:
                raise refused
            if values["version"] != _VERSION:
                raise TemplateError(
                    f"{str(path)!r} is of version {reprlib.repr(values['version'])} of the format; "
                    f"this audionmf reads version {_VERSION}"
                )
            found = cls._from_dict(values)
            found.recipe.to_job("")
        except TemplateError:
            raise
        except ParameterError as error:
            raise TemplateError(f"{str(path)!r}: {error}") from error
        except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
            raise refused from error
        return found

    @classmethod
    def _from_dict(cls, values: dict[str, Any]) -> Manifest:
        """Make a manifest of values from a file; ValueError and the like if one is wrong."""
        recipe = Recipe(
            _mapping(values["job"], len(dataclasses.fields(SeparationJob))),
            {_text(path): _text(sha256) for path, sha256 in _mapping(values["inputs"]).items()},
            {_word(name): _word(text) for name, text in _mapping(values["versions"]).items()},
        )
        stems, notes = (
            {
                _text(name): (
                    _text(one["file"]),
                    OutputHash.checked(one["sha256"], one["n_bytes"]),
                )
                for name, one in _mapping(files).items()
            }
            for files in (values["stems"], values.get("notes", {}))
        )
        divergence = values["divergence"]
        if not isinstance(divergence, list):
            raise TypeError("the divergence is no list")
        return cls(
            recipe, stems, notes, _real(values["gain"], 0.0, 1.0), list(map(_real, divergence)),
            _word(values["reason"]), _mapping(values["trust"]),
        )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that go into JSON."""
        stems, notes = (
            {
                name: {"file": file, "sha256": output.sha256, "n_bytes": output.n_bytes}
                for name, (file, output) in files.items()
            }
            for files in (self.stems, self.notes)
        )
        return {
            "format": _FORMAT,
            "version": _VERSION,
            "versions": dict(self.recipe.versions),
            "inputs": dict(self.recipe.inputs),
            "job": dict(self.recipe.job),
            "stems": stems,
            "notes": notes,
            "gain": self.gain,
            "divergence": list(self.divergence),
            "reason": self.reason,
            "trust": dict(self.trust),
        }

    def save(self, path: StrPath) -> Path:
        """Write the manifest, whole or not at all; the same bytes each time.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        text = json.dumps(self.to_dict(), indent=1, allow_nan=False)
        return write_bytes(path, f"{text}\n".encode())


def _mapping(value: Any, most: int = _MAX_ENTRIES) -> dict[str, Any]:
    if not isinstance(value, dict) or len(value) > most:
        raise TypeError("not so many named values")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > _MAX_TEXT:
        raise TypeError("not a text of that length")
    return value


def _word(value: Any) -> str:
    if len(text := _text(value)) > _MAX_WORD or not text.isprintable():
        raise ValueError("not a few plain words")
    return text


def _real(value: Any, least: float = -_LARGEST, most: float = _LARGEST) -> float:
    if type(value) not in (int, float) or not least <= value <= most:
        raise ValueError("not a number in its range")
    return float(value)


def manifest_path(job: SeparationJob) -> Path:
    """Return where the manifest of a job goes.

    It is ``manifest.json`` in the folder that the pattern gives the track alone, and
    ``TRACK.manifest.json`` where it gives none.
    """
    track = safe_name(job.called)
    shared = job.pattern.split("{source}")[0].split("/")[:-1]
    folder = Path(os.path.realpath(job.folder), *(re.sub(r"\{track\}", track, p) for p in shared))
    folder = Path(os.path.normpath(folder))
    own = any("{track}" in part for part in shared)
    return folder / (MANIFEST_NAME if own else f"{track}.{MANIFEST_NAME}")


def manifest_in(path: StrPath) -> StrPath:
    """Return a manifest: the one in a folder, or `path` itself where it is no folder.

    Raises
    ------
    AudioReadError
        If there is none in the folder.
    ParameterError
        If there are several.
    """
    if not os.path.isdir(path):  # noqa: PTH112 (which takes any name)
        return path
    found = sorted(Path(os.fsdecode(path)).glob(f"*{MANIFEST_NAME}"))
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(repr(one.name) for one in found[:_MOST_NAMED])
        raise ParameterError(f"{os.fsdecode(path)!r} has several manifests: name one of {names}")
    below = sorted(Path(os.fsdecode(path)).glob(f"*/*{MANIFEST_NAME}"))
    hint = f"; did you mean {str(below[0].parent)!r}?" if below else ""
    raise AudioReadError(
        errno.ENOENT, f"{os.fsdecode(path)!r} has no {MANIFEST_NAME} of a separation{hint}"
    )


def refuse_foreign(path: Path) -> None:
    """Make sure that no other program's file is where a manifest goes.

    Raises
    ------
    OutputError
        If there is one.
    """
    if not os.path.lexists(path):
        return
    with contextlib.suppress(TemplateError, OSError):
        Manifest.load(path)
        return
    raise OutputError(
        errno.EEXIST,
        f"{str(path)!r} is there and no manifest of audionmf; rename it or choose another folder",
    )


def output_folder(path: Path, then: Manifest) -> Path:
    """Return the output folder that the manifest at `path` was written for.

    Raises
    ------
    ParameterError
        If it was moved away from there.
    """
    anchor = Path(path.absolute().anchor)
    below = manifest_path(then.recipe.to_job(anchor)).relative_to(os.path.realpath(anchor))
    real = Path(os.path.realpath(path))
    root = real.parents[len(below.parts) - 1] if len(real.parts) > len(below.parts) else real
    if root / below != real:
        raise ParameterError(
            f"{str(path)!r} is not where it was written, {str(below)!r} in the output folder; "
            "say with -o where the stems go"
        )
    return root


def stems_before(path: Path) -> dict[Path, OutputHash]:
    """Return the stems and notes that the manifest at `path` tells of; none if there is none.

    Parameters
    ----------
    path : pathlib.Path
        Where a manifest is, or will be written.

    Returns
    -------
    dict of pathlib.Path to OutputHash
        Real paths, which need not be there any more, and what they held.
    """
    if not os.path.lexists(path):
        return {}
    try:
        then = Manifest.load(path)
        root = output_folder(path, then)
    except (TemplateError, ParameterError, OSError):  # none of ours, or moved away from its stems
        return {}
    home = Path(os.path.realpath(root))
    found = {
        Path(os.path.realpath(root / file)): output
        for file, output in [*then.stems.values(), *then.notes.values()]
    }  # a manifest may say anything, and a link may lead anywhere
    return {file: output for file, output in found.items() if home in file.parents}


def clear_earlier(before: Mapping[Path, OutputHash], kept: Iterable[StrPath]) -> None:
    """Remove what an earlier run made, but for what was written again, or is not as it was made.

    Parameters
    ----------
    before : mapping
        As `stems_before` gives it.
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
    import numba
    import numpy as np
    import scipy
    import soundfile

    from audionmf import __version__

    return {
        "audionmf": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "numba": numba.__version__,
        "libsndfile": soundfile.__libsndfile_version__,
        "machine": f"{platform.system()} {platform.machine()}",
    }
