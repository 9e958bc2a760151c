"""Going on with what was saved: a project, or a model of the command line."""

from __future__ import annotations

import dataclasses
import re
import secrets
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from audionmf.errors import AudioNMFError, AudioNMFWarning, ParameterError
from audionmf.io.audio import AudioFile
from audionmf.io.files import file_hash
from audionmf.rendering.decomposition import Decomposition
from audionmf.studio.arrangement import Saved
from audionmf.studio.asking import way_of
from audionmf.studio.given import Given
from audionmf.studio.project import MODEL, Project, read_project
from audionmf.studio.recordings import Recording
from audionmf.studio.session import Session, UnknownIdError
from audionmf.studio.ways import MAX_COMPONENTS, Way
from audionmf.studio.work import Job

__all__ = ["open_saved"]

_HASH = re.compile("[0-9a-f]{64}")


def open_saved(
    session: Session,
    item: Given,
    sheltered: Path | None = None,
    opened: Callable[[Recording], None] = lambda _: None,
) -> Job:
    """Start to open a project or a model.

    A recording is taken where it is open in the studio already, known by its hash. What came from the
    command line may also name paths, and lie beside its recording; what came through the page may not.

    Parameters
    ----------
    session : Session
        Takes it over.
    item : Given
        The project or model.
    sheltered : path, optional
        A folder with files under their hashes, where the project was kept by the studio itself.
    opened : callable, optional
        Told the recording, before any of it is the present state.

    Raises
    ------
    TemplateError
        If it cannot be read, or was made from another recording.
    ParameterError
        If its recording is not there, or it makes no sense.
    LockedError
        If something is being worked on already.
    """
    if item.kind == "model":
        found = Decomposition.load(item.path)
        mixture = found.mixture
        name = Path(mixture.path).name or "a recording"
        told = {"name": name, "path": mixture.path, "sha256": mixture.sha256}
        recording = _recording(session, told, item)
        return _start(session, recording, found, _way_of_model(found), None, [], opened)
    if item.kind != "project":
        raise ParameterError(f"{item.name!r} is neither a project nor a model")
    kept = session.folder / f"{secrets.token_hex(8)}-{MODEL}"
    try:
        project = read_project(item.path, item.name, kept)
        found = Decomposition.load(kept)
    finally:
        kept.unlink(missing_ok=True)
    recording = _recording(session, project.files[0], item, sheltered)
    way, missing = _way_of_project(session, project, item, sheltered)
    return _start(session, recording, found, way, project.arranged, missing, opened)


def _start(
    session: Session, recording: Recording, found: Decomposition, way: Way,
    arranged: dict[str, Any] | None, missing: list[str], opened: Callable[[Recording], None],
) -> Job:  # fmt: skip
    found.check_mixture(AudioFile(recording.path))
    if way.components and not _linear(found):
        raise ParameterError("the model of the project is not one of components; save it again")
    n_parts = found.n_components if way.components else len(found.source_names)
    saved = None if arranged is None else Saved.of(arranged, n_parts)

    def work(job: Job) -> dict[str, Any]:
        if missing:
            warnings.warn(
                f"not here, and no longer known of the sources: {', '.join(missing)}",
                AudioNMFWarning,
                stacklevel=2,
            )
        opened(recording)
        return session.adopt(recording, found, way, job, saved=saved)

    return session.worker.start("open", work)


def _way_of_model(found: Decomposition) -> Way:
    if not _linear(found):
        return Way({}, components=False, by_hand=True)
    return Way({"n_components": found.n_components, "mask_exponent": 1.0}, by_hand=True)


def _linear(found: Decomposition) -> bool:
    """Tell whether the components of a model can be grouped by ear."""
    plain = found.patterns is None and found.margin is None and found.voters is None
    return plain and found.activations is not None and 2 <= found.n_components <= MAX_COMPONENTS


def _recording(
    session: Session, told: dict[str, str], item: Given, sheltered: Path | None = None
) -> Recording:
    found = _file(session, told, item, sheltered)
    if not isinstance(found, Recording):
        raise ParameterError(
            f"{item.name!r} is about {told['name']!r}, which is not open here: open that recording "
            "first, and then this"
        )
    return found


def _file(
    session: Session, told: dict[str, str], item: Given, sheltered: Path | None = None
) -> Recording | Given | None:
    """Return the file that a project means; None if it is not here."""
    for held in session.files:
        if held.sha256 == told["sha256"]:
            return held
    beside = [Path(told["path"]), item.path.parent / Path(told["name"]).name]
    for path in beside if item.written else []:
        if path.is_file() and path.name and file_hash(path) == told["sha256"]:
            return session.add(path, told["name"], str(path))
    if sheltered is not None and _HASH.fullmatch(told["sha256"]):
        path = sheltered / told["sha256"]
        if path.is_file() and file_hash(path) == told["sha256"]:
            return session.add(path, told["name"])
    return None


class _Files:
    """The files of a project by their numbers, as `way_of` looks them up."""

    def __init__(
        self, session: Session, project: Project, item: Given, sheltered: Path | None
    ) -> None:
        told = enumerate(project.files)
        self.found = {str(i): _file(session, file, item, sheltered) for i, file in told}
        self.missing = [
            told["name"] for told, held in zip(project.files, self.found.values(), strict=True)
            if held is None
        ]  # fmt: skip

    def recording(self, key: str) -> Recording:
        found = self.found.get(key)
        if not isinstance(found, Recording):
            raise UnknownIdError("the project names a recording that is not in it")
        return found

    def given(self, key: str) -> Given:
        found = self.found.get(key)
        if not isinstance(found, Given):
            raise UnknownIdError("the project names a file that is not in it")
        return found


def _way_of_project(
    session: Session, project: Project, item: Given, sheltered: Path | None
) -> tuple[Way, list[str]]:
    """Return how it was taken apart; of files that are not here nothing is known any more."""
    files, asked = _Files(session, project, item, sheltered), project.asked
    try:
        if not files.missing:
            way = way_of(asked, files)
            return dataclasses.replace(way, by_hand=project.by_hand), []
        components = asked.get("result") == "components"
        return Way({}, components=components, by_hand=True), files.missing
    except AudioNMFError as error:
        raise ParameterError(f"{item.name!r} makes no sense: {error}") from error
