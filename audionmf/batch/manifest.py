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
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audionmf.batch.job import SeparatedFiles, SeparationJob
from audionmf.batch.journal import OutputHash
from audionmf.batch.outputs import (
    checked_files,
    clear_earlier,
    folder_of,
    head,
    made_files,
    mapping,
    place_of,
    plain_files,
    read_values,
    real,
    text,
    versions,
    word,
    write_values,
)
from audionmf.errors import (
    AudioReadError,
    OutputError,
    ParameterError,
    TemplateError,
)
from audionmf.io.earlier import MANIFEST_NAME
from audionmf.io.files import StrPath, file_hash, require_file

__all__ = [
    "MANIFEST_NAME",
    "Manifest",
    "Recipe",
    "clear_earlier",
    "manifest_in",
    "manifest_path",
    "output_folder",
    "refuse_foreign",
    "refuse_replacing",
    "stems_before",
    "versions",
]

_MOST_NAMED = 8


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
        found = done.decomposition
        stems = made_files(done.stems.paths, folder, found.settings.n_threads)
        notes = made_files(done.exports, folder)
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
        values = read_values(path, "separation")
        try:
            found = cls._from_dict(values)
            found.recipe.to_job("")
        except ParameterError as error:
            raise TemplateError(f"{str(path)!r}: {error}") from error
        except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
            raise TemplateError(f"{str(path)!r} is not a manifest that audionmf wrote") from error
        return found

    @classmethod
    def _from_dict(cls, values: dict[str, Any]) -> Manifest:
        """Make a manifest of values from a file; ValueError and the like if one is wrong."""
        recipe = Recipe(
            mapping(values["job"], len(dataclasses.fields(SeparationJob))),
            {text(path): text(sha256) for path, sha256 in mapping(values["inputs"]).items()},
            {word(name): word(one) for name, one in mapping(values["versions"]).items()},
        )
        stems, notes = checked_files(values["stems"]), checked_files(values.get("notes", {}))
        divergence = values["divergence"]
        if not isinstance(divergence, list):
            raise TypeError("the divergence is no list")
        return cls(
            recipe, stems, notes, real(values["gain"], 0.0, 1.0), list(map(real, divergence)),
            word(values["reason"]), mapping(values["trust"]),
        )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that go into JSON."""
        return {
            **head("separation"),
            "versions": dict(self.recipe.versions),
            "inputs": dict(self.recipe.inputs),
            "job": dict(self.recipe.job),
            "stems": plain_files(self.stems),
            "notes": plain_files(self.notes),
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
        return write_values(path, self.to_dict())


def manifest_path(job: SeparationJob) -> Path:
    """Return where the manifest of a job goes.

    It is ``manifest.json`` in the folder that the pattern gives the track alone, and
    ``TRACK.manifest.json`` where it gives none.
    """
    return place_of(job.folder, job.called, job.pattern)


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
    from audionmf.batch.regrouped import Regrouping

    with contextlib.suppress(TemplateError, OSError):
        Regrouping.load(path)
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
    job = then.recipe.to_job("")
    return folder_of(path, job.called, job.pattern)


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
    root, files = _told_by(path)
    if root is None:
        return {}
    home = Path(os.path.realpath(root))
    found = {
        Path(os.path.realpath(root / file)): output for file, output in files
    }  # a manifest may say anything, and a link may lead anywhere
    return {file: output for file, output in found.items() if home in file.parents}


def refuse_replacing(
    earlier: Iterable[Mapping[Path, OutputHash]], inputs: Iterable[StrPath]
) -> None:
    """Refuse to read what is cleared away: stems of an earlier run, where those of this one go.

    Parameters
    ----------
    earlier : iterable of mapping
        As `stems_before` gives them.
    inputs : iterable of path
        What is read.

    Raises
    ------
    OutputError
        If one is among them.
    """
    read = {os.path.realpath(path): os.fsdecode(path) for path in inputs}
    for path in (path for before in earlier for path in before):
        if (name := read.get(str(path))) is not None:
            raise OutputError(
                errno.EEXIST,
                f"{name!r} is a stem of an earlier run, which this one replaces; write to "
                "another folder with -o, or move the stem",
            )


def _told_by(path: Path) -> tuple[Path | None, list[tuple[str, OutputHash]]]:
    """Return the output folder of a manifest of either kind and its files; None if it has none."""
    with contextlib.suppress(TemplateError, ParameterError, OSError):  # not ours, or moved away
        then = Manifest.load(path)
        return output_folder(path, then), [*then.stems.values(), *then.notes.values()]
    from audionmf.batch.regrouped import Regrouping

    with contextlib.suppress(TemplateError, ParameterError, OSError):
        made = Regrouping.load(path)
        return made.folder(path), [*made.stems.values(), *made.notes.values()]
    return None, []
