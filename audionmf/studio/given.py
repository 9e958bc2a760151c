"""What was given to the studio beside recordings: banks, scores, models, projects."""

from __future__ import annotations

import errno
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from audionmf.errors import AudioReadError, ParameterError
from audionmf.io.archive import read_kind
from audionmf.io.files import file_hash, open_ordinary, require_file
from audionmf.sources.score import read_score
from audionmf.sources.templates import Templates

__all__ = ["PROJECT_MEMBER", "Given", "What", "expected", "given", "is_project", "what_is"]

What = Literal["recording", "bank", "score", "model", "project"]

PROJECT_MEMBER = "project.json"
"""The first member of a project."""

_PROMISED = {
    ".audionmf": "project of the studio",
    ".npz": "bank of templates and no model",
    ".mid": "score",
    ".midi": "score",
}
_SCORE_MAGIC = b"MThd"
_KINDS: dict[str, What] = {"audionmf templates": "bank", "audionmf model": "model"}


@dataclass(eq=False)
class Given:
    """A file that is no recording: a bank, a score, a model, a project.

    Parameters
    ----------
    path : path
        Where it is; it stays there as long as the studio runs.
    name : str
        What people call it; never a path.
    written : str
        As it was written on the command line; empty if it came through the page.
    kind : {"bank", "score", "model", "project"}
        What it is.
    parts : tuple of str
        The labels of the bank, or the parts of the score; none of others.
    id : str
        Random.
    """

    path: Path
    name: str
    written: str
    kind: What
    parts: tuple[str, ...]
    id: str = field(default_factory=lambda: secrets.token_urlsafe(12))

    @cached_property
    def sha256(self) -> str:
        """Hash of its bytes."""
        return file_hash(self.path)

    def told(self) -> dict[str, Any]:
        """Return what a page needs to know."""
        return {"id": self.id, "name": self.name, "kind": self.kind, "parts": list(self.parts)}


def is_project(path: Path) -> bool:
    """Tell whether a file is a project of the studio, by its first member."""
    with open_ordinary(path) as stream:
        start = stream.read(30 + len(PROJECT_MEMBER))
    return start[:4] == b"PK\x03\x04" and start[30:] == PROJECT_MEMBER.encode()


def what_is(path: Path) -> What:
    """Tell what a file is by its first bytes: what is no bank, score or model may be a recording.

    Raises
    ------
    FileNotFoundError, AudioReadError
        If there is no such file, or no ordinary one.
    TemplateError
        If it is an archive, but damaged or not of this package.
    """
    file = require_file(path)
    with open_ordinary(file) as stream:
        if stream.read(len(_SCORE_MAGIC)) == _SCORE_MAGIC:
            return "score"
    if is_project(file):
        return "project"
    kind = read_kind(file)
    if kind is None:
        return "recording"
    if kind not in _KINDS:
        raise ParameterError(f"{str(path)!r} is a file of {kind!r}, which the studio does not open")
    return _KINDS[kind]


@contextmanager
def expected(name: str) -> Iterator[None]:
    """Say of a file that cannot be read as audio what its name promised, where that is no audio.

    Raises
    ------
    ParameterError
        If it is called like a project, a bank, a model or a score.
    """
    try:
        yield
    except AudioReadError as error:
        promised = _PROMISED.get(Path(name).suffix.lower())
        if promised is None or error.errno == errno.ENODATA:  # an empty file is told as such
            raise
        raise ParameterError(f"{name!r} is no {promised}, or it is damaged") from error


def given(path: Path, name: str, written: str = "") -> Given:
    """Read what a bank or a score holds.

    Raises
    ------
    TemplateError, ScoreError
        If it cannot be read.
    ParameterError
        If it is a recording.
    """
    kind = what_is(path)
    if kind == "bank":
        return Given(path, name, written, kind, tuple(Templates.load(path).names))
    if kind == "score":
        return Given(path, name, written, kind, tuple(read_score(path).names))
    if kind in ("model", "project"):
        return Given(path, name, written, kind, ())
    raise ParameterError(
        f"{name!r} is neither a bank of templates (.npz, as audionmf learn makes it) nor a score (.mid)"
    )
