"""A project: what was made of a recording, as one file, to go on with it another day.

A project is a zip archive of two members, neither compressed: ``project.json``, which says which
recording it is about, what is known of its sources, how its parts are grouped, and its marks; and
``model.npz``, the decomposition as `Decomposition.save` writes it. Recordings are not in it: they are
named by their hash, with the path they had if they were given on the command line. Like every file, it
may come from a stranger: sizes are checked before anything is read, and each field before it is used.
"""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audionmf.errors import TemplateError
from audionmf.io.archive import ARCHIVE_DAMAGE, small
from audionmf.io.files import empty_file, open_ordinary, write_bytes
from audionmf.studio.given import PROJECT_MEMBER, Given
from audionmf.studio.recordings import Recording
from audionmf.studio.ways import Way

__all__ = ["MODEL", "Project", "read_account", "read_project", "write_project"]

MODEL = "model.npz"
_FORMAT, _VERSION = "audionmf project", 2
_MAX_ACCOUNT, _MAX_MODEL, _MOST_FILES = 4 << 20, 1 << 30, 256
_MAX_TEXT = 4096

File = Recording | Given


@dataclass(frozen=True)
class Project:
    """What a project says; nothing in it is checked but its form.

    Parameters
    ----------
    files : tuple of dict
        The recording, and what else the sources are known by: ``name``, ``path``, ``sha256``.
    asked : dict
        How it was taken apart, as `audionmf.studio.asking.way_of` reads it; files are numbers.
    by_hand : bool
        See `Way`.
    arranged : dict
        ``sources``, ``marks`` and ``gains`` as a page gives them, and ``history``: the steps before
        (``past``) and those that were taken back (``future``).
    """

    files: tuple[dict[str, str], ...]
    asked: dict[str, Any]
    by_hand: bool
    arranged: dict[str, Any]

    @property
    def sources(self) -> list[dict[str, Any]]:
        """The sources, as far as they have the form of some."""
        return [source for source in self.arranged["sources"] if isinstance(source, dict)]


def write_project(
    path: Path, recording: Recording, way: Way, arranged: Mapping[str, Any], model: Path
) -> Path:
    """Write a project, whole or not at all; the same bytes each time.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    files = [recording, *dict.fromkeys(f for said in way.sources for f in said.files)]
    numbers = {file.id: str(i) for i, file in enumerate(files)}
    told = {
        "format": _FORMAT,
        "version": _VERSION,
        "files": [_file(file) for file in files],
        "asked": _asked(way, numbers),
        "by_hand": way.by_hand,
        **arranged,
    }
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive:
        text = json.dumps(told, sort_keys=True, ensure_ascii=True, allow_nan=False)
        archive.writestr(zipfile.ZipInfo(PROJECT_MEMBER), text)
        archive.writestr(zipfile.ZipInfo(MODEL), model.read_bytes())
    return write_bytes(path, content.getvalue())


def _file(file: File) -> dict[str, str]:
    written = file.given if isinstance(file, Recording) else file.written
    path = str(file.path.resolve()) if written else ""
    return {"name": file.name, "path": path, "sha256": file.sha256}


def _asked(way: Way, numbers: Mapping[str, str]) -> dict[str, Any]:
    told = way.told()
    for source in told["sources"]:
        source["examples"] = [numbers[item["id"]] for item in source["examples"]]
        source["banks"] = [[numbers[item["id"]], label] for item, label in source["banks"]]
        if source["notes"]:
            source["notes"] = [numbers[source["notes"][0]["id"]], source["notes"][1]]
    return told


def read_account(path: Path, name: str) -> Project:
    """Read what a project says, without its decomposition.

    Raises
    ------
    TemplateError
        If it is no project, or damaged, or of another version.
    """
    return _read(path, name, None)


def read_project(path: Path, name: str, model: Path) -> Project:
    """Read a project; its decomposition is put where `model` says.

    Raises
    ------
    TemplateError
        If it is no project, or damaged, or of another version.
    """
    return _read(path, name, model)


def _read(path: Path, name: str, model: Path | None) -> Project:
    refusal = f"{name!r} is no project of the studio, or it is damaged; save it again"
    if empty := empty_file(path, name):
        raise TemplateError(empty)
    try:
        with open_ordinary(path) as stream, zipfile.ZipFile(small(stream, refusal)) as archive:
            sizes = {PROJECT_MEMBER: _MAX_ACCOUNT, MODEL: _MAX_MODEL}
            members = {member.filename: member for member in archive.infolist()}
            sound = len(archive.infolist()) == len(members) == len(sizes) and all(
                member.file_size <= sizes.get(filename, -1)
                and member.compress_type == zipfile.ZIP_STORED
                for filename, member in members.items()
            )
            if not sound:
                raise TemplateError(refusal)
            told = json.loads(archive.read(PROJECT_MEMBER).decode("ascii"), parse_constant=_refused)
            if model is not None:
                with archive.open(MODEL) as source, model.open("xb") as target:
                    shutil.copyfileobj(source, target)
        return _project(told, name, refusal)
    except (*ARCHIVE_DAMAGE, ValueError, RecursionError) as error:
        if isinstance(error, TemplateError):
            raise
        raise TemplateError(refusal) from error


def _refused(word: str) -> Any:
    raise ValueError(f"{word} is no number")


def _project(told: Any, name: str, refusal: str) -> Project:
    if not isinstance(told, dict) or told.get("format") != _FORMAT:
        raise TemplateError(refusal)
    if told.get("version") == 1:
        told = told | {"version": _VERSION, "gains": {}, "history": {"past": [], "future": []}}
    if told.get("version") != _VERSION:
        raise TemplateError(f"{name!r} is a project of another version of audionmf; use that one")
    kinds: dict[str, Callable[[Any], bool]] = {
        "files": lambda v: (
            isinstance(v, list) and 0 < len(v) <= _MOST_FILES and all(map(_is_file, v))
        ),
        "asked": lambda v: isinstance(v, dict),
        "by_hand": lambda v: isinstance(v, bool),
        "sources": lambda v: isinstance(v, list),
        "marks": lambda v: isinstance(v, list),
        "gains": lambda v: isinstance(v, dict),
        "history": lambda v: isinstance(v, dict),
    }
    fields = {key: told.get(key) for key in kinds}
    if set(told) != {*kinds, "format", "version"} or not all(
        kinds[k](v) for k, v in fields.items()
    ):
        raise TemplateError(refusal)
    arranged = {name: fields[name] for name in ("sources", "marks", "gains", "history")}
    return Project(tuple(told["files"]), told["asked"], told["by_hand"], arranged)


def _is_file(value: Any) -> bool:
    texts = isinstance(value, dict) and set(value) == {"name", "path", "sha256"}
    return texts and all(
        isinstance(v, str) and len(v) <= _MAX_TEXT and v.isprintable() for v in value.values()
    )
