"""Make the stems and notes of a manifest again, and tell whether they are the same bytes."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import shutil
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from audionmf.batch.job import SeparationJob, run_job
from audionmf.batch.manifest import (
    Manifest,
    Recipe,
    manifest_path,
    output_folder,
    refuse_foreign,
    versions,
)
from audionmf.errors import (
    AudioNMFWarning,
    AudioReadError,
    OutputError,
    ParameterError,
    TemplateError,
)
from audionmf.io.files import (
    StrPath,
    Together,
    atomic_path,
    file_hash,
    find_moved,
    make_room,
    refuse_overwriting,
    require_file,
)
from audionmf.io.lock import CONTROL_FOLDER, FolderLock
from audionmf.spectra.frames import Progress

__all__ = ["Rerun", "rerun"]

_WORK_PREFIX = "rerun-"


@dataclass(frozen=True)
class Rerun:
    """What came of making stems again.

    Parameters
    ----------
    folder : pathlib.Path
        The output folder.
    stems : dict of str to pathlib.Path
        The file of each source.
    notes : dict of str to pathlib.Path
        The files with notes, by their kind, where there were some.
    differing : tuple of str
        Sources whose stems are other bytes than the manifest says; empty if all are the same.
    differing_notes : tuple of str
        Kinds of notes of which that is true.
    versions : dict of str to (str, str)
        What computed then and now, where that differs.
    written : bool
        The files are in place. In the folder of the manifest they are put only if all of them are
        the same.
    """

    folder: Path
    stems: dict[str, Path]
    notes: dict[str, Path]
    differing: tuple[str, ...]
    differing_notes: tuple[str, ...]
    versions: dict[str, tuple[str, str]]
    written: bool

    @property
    def same(self) -> bool:
        """Whether all is what the manifest says."""
        return not (self.differing or self.differing_notes)


def rerun(
    manifest: StrPath,
    folder: StrPath | None = None,
    *,
    mixture: StrPath | None = None,
    root: StrPath | None = None,
    progress: Progress | None = None,
) -> Rerun:
    """Separate a recording again as a manifest says.

    Parameters
    ----------
    manifest : path
        A manifest that a separation wrote.
    folder : path, optional
        Where to write stems, notes and a manifest. Default: where the manifest's own are; they are
        replaced only by the same bytes as the manifest says.
    mixture : path, optional
        Where the recording is now; default: where it was.
    root : path, optional
        A folder in which what is not where it was is looked for, by name and by the hash of its
        bytes. Default: the folder that the output folder is in.
    progress : callable, optional
        Told the stage and the share done.

    Returns
    -------
    Rerun
        What was written, and what differs.

    Raises
    ------
    FileNotFoundError
        If the manifest or something that was read is not there.
    AudioReadError
        If a recording was changed since.
    TemplateError
        If the manifest cannot be read, or a template file was changed since.
    ParameterError
        If the manifest was moved away from its stems and no folder is given.
    LockedError, OutputError
        If the folder is in use or cannot be written to.

    Warns
    -----
    AudioNMFWarning
        If other versions compute now than then.
    """
    path = require_file(manifest)
    then = Manifest.load(path)
    place = Path(folder) if folder is not None else output_folder(path, then)
    searched = Path(root) if root is not None else _project(path, then)
    root = place
    job = _found(_moved(then.recipe.to_job(root), mixture), then.recipe, searched)
    _require_unchanged(job, then.recipe)
    changed = _changed_versions(then.recipe.versions)
    with FolderLock(root):
        if folder is None:
            return _in_place(job, then, root, changed, progress)
        written = manifest_path(job)
        planned = _planned(job, then)
        refuse_overwriting([*planned, written], [*job.inputs(), path])
        refuse_foreign(written)
        make_room([*planned, written])
        now = _made(job, root, progress)
        now.save(written)
        return _result(root, then, now, changed, written=True)


def _in_place(
    job: SeparationJob,
    then: Manifest,
    root: Path,
    changed: dict[str, tuple[str, str]],
    progress: Progress | None,
) -> Rerun:
    """Make the stems aside, and put them in place if they are the same."""
    planned = _planned(job, then)
    refuse_overwriting(planned, job.inputs())
    make_room(planned)
    control = root / CONTROL_FOLDER
    for stale in control.glob(f"{_WORK_PREFIX}*"):  # of a run that was killed: the lock is ours
        shutil.rmtree(stale, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=control, prefix=_WORK_PREFIX) as work:
        aside = dataclasses.replace(job, folder=work)
        now = _made(aside, Path(work), progress)
        done = _result(root, then, now, changed, written=False)
        if not done.same:
            return done
        _put_in_place(_planned(aside, then), planned)
    return dataclasses.replace(done, written=True)


def _planned(job: SeparationJob, then: Manifest) -> list[Path]:
    """Return where stems and notes go; of the names that a blind separation plans for, those used."""
    stems = job.planned().items()
    used = [path for name, path in stems if name in then.stems or not job.counts_sources]
    if job.names_sources:
        used = list(job.stems_called(then.stems).values())
    return [*used, *job.planned_exports().values()]


def _made(job: SeparationJob, folder: Path, progress: Progress | None) -> Manifest:
    recipe = Recipe.of(job)
    return Manifest.of(recipe, run_job(job, progress), folder)


def _put_in_place(made: Sequence[Path], wanted: Sequence[Path]) -> None:
    with Together() as together:
        for path, target in zip(made, wanted, strict=True):
            with atomic_path(target, together) as temporary:
                path.replace(temporary)


def _project(path: Path, then: Manifest) -> Path:
    """Return the folder in which a manifest's output folder is, or what is likely to be it."""
    with contextlib.suppress(ParameterError):
        return output_folder(path, then).parent
    return Path(os.path.realpath(path)).parent


def _moved(job: SeparationJob, mixture: StrPath | None) -> SeparationJob:
    if mixture is None:
        return job
    path = Path(os.fsdecode(mixture))
    if path.stem != Path(job.input).stem:
        raise ParameterError(
            f"{str(path)!r} has another name than the recording {Path(job.input).name!r}, after "
            "which the outputs are named; rename it"
        )
    return dataclasses.replace(job, input=str(path.absolute()))


def _found(job: SeparationJob, recipe: Recipe, root: Path) -> SeparationJob:
    """Return the job with files that are not where they were as they are found below a folder."""
    places: dict[str, str] = {}
    for path in job.inputs():
        sha256 = recipe.inputs.get(path)
        if sha256 is None or os.path.exists(path):  # noqa: PTH110
            continue
        if found := find_moved(path, sha256, [root]):
            places[path] = str(found)
    if not places:
        return job
    moved = job.moved(lambda path: places.get(path, path))
    return dataclasses.replace(moved, track=job.called)


def _require_unchanged(job: SeparationJob, recipe: Recipe) -> None:
    """Make sure that everything that is read is what it was."""
    known = [recipe.inputs.get(path) for path in recipe.to_job("").inputs()]
    for path, sha256 in zip(job.inputs(), known, strict=True):
        if file_hash(require_file(path)) == sha256:
            continue
        text = f"{path!r} is not what it was when the stems were made, or the manifest was changed"
        if path in job.templates:
            raise TemplateError(text)
        raise AudioReadError(errno.EINVAL, text)


def _changed_versions(then: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    now = versions()
    changed = {
        name: (then.get(name, "none"), now.get(name, "none"))
        for name in {**then, **now}
        if then.get(name) != now.get(name)
    }
    if changed:
        told = ", ".join(
            f"{name} {before}, now {after}" for name, (before, after) in changed.items()
        )
        warnings.warn(AudioNMFWarning(f"the stems were made with {told}"), stacklevel=3)
    return changed


def _result(
    root: Path,
    then: Manifest,
    now: Manifest,
    changed: dict[str, tuple[str, str]],
    *,
    written: bool,
) -> Rerun:
    """Hold what was made against what the manifest says."""
    if list(then.stems) != list(now.stems):
        raise OutputError(
            errno.EINVAL,
            f"the manifest names the stems {', '.join(then.stems)}, but what it asks for gives "
            f"{', '.join(now.stems)}; it was changed",
        )
    place = Path(os.path.realpath(root))
    files = (now.stems, now.notes)
    stems, notes = ({name: place / file for name, (file, _) in made.items()} for made in files)
    return Rerun(
        root,
        stems,
        notes,
        tuple(name for name, (_, output) in now.stems.items() if output != then.stems[name][1]),
        tuple(kind for kind, made in now.notes.items() if made != then.notes.get(kind)),
        changed,
        written,
    )
