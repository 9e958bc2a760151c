"""One job of a batch as a worker does it: plain values in, plain values out, never an exception.

Whatever runs a batch, local processes or a cluster, calls `perform` with a task and gets an outcome.
Both are values that go into JSON, so that they travel over any wire.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
import traceback
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from audionmf.batch.job import SeparationJob, run_job
from audionmf.batch.journal import Entry, OutputHash
from audionmf.batch.manifest import (
    Manifest,
    Recipe,
    clear_earlier,
    manifest_path,
    refuse_foreign,
    stems_before,
)
from audionmf.errors import (
    AudioNMFError,
    AudioNMFWarning,
    AudioReadError,
    exit_code,
)
from audionmf.io.files import counted, in_a_line, make_room, refuse_overwriting, require_file
from audionmf.show.report import clear_report, report_path, write_report
from audionmf.spectra.blas import blas_threads
from audionmf.spectra.frames import Progress

__all__ = ["DONE", "FAILED", "KEPT", "NOT_RUN", "Outcome", "Task", "perform"]

DONE, KEPT, FAILED, NOT_RUN = "done", "kept", "failed", "not run"
"""States of a job: separated now, found finished, failed, and not come to."""

Stamp = tuple[int, int, int]


@dataclass(frozen=True)
class Task:
    """What a worker is told.

    Parameters
    ----------
    job : SeparationJob
        What to do.
    track : str
        What the journal calls it.
    known : Entry, optional
        What the journal says is finished; if that is true, nothing is done again.
    n_threads : int, optional
        Threads to compute with; the result does not depend on it.
    strict : bool, default False
        A warning is a failure.
    """

    job: SeparationJob
    track: str
    known: Entry | None = None
    n_threads: int | None = None
    strict: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that go into JSON."""
        return {
            "job": self.job.to_dict(),
            "track": self.track,
            "known": self.known.to_dict() if self.known else None,
            "n_threads": self.n_threads,
            "strict": self.strict,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Task:
        """Make a task of what `to_dict` gave."""
        job = SeparationJob.from_dict(values["job"])
        known = Entry.from_dict(values["known"])
        return cls(job, values["track"], known, values["n_threads"], values["strict"])


@dataclass(frozen=True)
class Outcome:
    """What came of a job.

    Parameters
    ----------
    input : str
        The recording.
    state : {"done", "kept", "failed", "not run"}
        "kept": the journal and the outputs say that it was finished before.
    code : int, default 0
        The exit code that stands for a failure.
    message : str, default ""
        What failed, in one line.
    warnings : list of str
        What the user should know.
    seconds : float
        How long it took.
    stems : dict of str to str
        The file of each source.
    manifest : str
        The manifest's file.
    report : str
        The report's file; empty without one.
    exports : list of str
        The files with notes.
    alignment : dict, optional
        How the score was moved, as `Alignment.to_dict` gives it; None without a score.
    alignment_text : str
        The same in words.
    remarks : list of str
        What the analysis decided by itself.
    entry : dict, optional
        What the journal keeps of it.
    gain : float
        The common gain of all stems.
    divergence : list of float
        How the divergence fell while templates were learnt.
    trust : dict
        How far to trust each stem, as `Trust.to_dict` gives it.
    trust_text : str
        The same in words.
    details : str
        Where an unexpected error came from.
    """

    input: str
    state: str
    code: int = 0
    message: str = ""
    warnings: list[str] = field(default_factory=list)
    seconds: float = 0.0
    stems: dict[str, str] = field(default_factory=dict)
    manifest: str = ""
    report: str = ""
    exports: list[str] = field(default_factory=list)
    alignment: dict[str, Any] | None = None
    alignment_text: str = ""
    remarks: list[str] = field(default_factory=list)
    entry: dict[str, Any] | None = None
    gain: float = 1.0
    divergence: list[float] = field(default_factory=list)
    trust: dict[str, Any] = field(default_factory=dict)
    trust_text: str = ""
    details: str = ""

    def __repr__(self) -> str:
        said = f": {self.message}" if self.message else ""
        return (
            f"<Outcome of {self.input!r}: {self.state}, {counted(len(self.stems), 'stem')}{said}>"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that go into JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Outcome:
        """Make an outcome of what `to_dict` gave."""
        return cls(**values)

    @classmethod
    def of_failure(cls, path: str, error: BaseException) -> Outcome:
        """Describe a job that failed with an exception."""
        details = "".join(traceback.format_exception(error))
        said = in_a_line(error, little_memory="run fewer at a time")
        return cls(path, FAILED, exit_code(error), said, details=details)


def perform(task: Mapping[str, Any], progress: Progress | None = None) -> dict[str, Any]:
    """Do a task: separate, verify, write the manifest; or find it finished already.

    Parameters
    ----------
    task : mapping
        As `Task.to_dict` gives it.
    progress : callable, optional
        Told the stage and the share of it that is done.

    Returns
    -------
    dict
        As `Outcome.from_dict` takes it; failures are outcomes too.
    """
    begin = time.perf_counter()
    given = Task.from_dict(task)
    said: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("error" if given.strict else "always", AudioNMFWarning)
        try:
            with blas_threads(given.n_threads):
                outcome = _perform(given, progress)
        except Exception as error:
            outcome = Outcome.of_failure(given.job.input, error)
    for warning in caught:
        if isinstance(warning.message, AudioNMFWarning):
            if str(warning.message) not in said:  # a file is opened, and warned of, more than once
                said.append(str(warning.message))
        else:
            warnings.warn_explicit(
                warning.message, warning.category, warning.filename, warning.lineno
            )
    seconds = time.perf_counter() - begin
    return dataclasses.replace(outcome, warnings=said, seconds=seconds).to_dict()


def _perform(task: Task, progress: Progress | None) -> Outcome:
    settings = dataclasses.replace(task.job.settings, n_threads=task.n_threads)
    job = dataclasses.replace(task.job, settings=settings)
    planned, manifest, page = job.planned(), manifest_path(job), job.planned_report()
    exports = list(job.planned_exports().values())
    written = [*planned.values(), manifest, *([page] if page else []), *exports]
    stamps = _stamps(job)
    recipe = Recipe.of(job)
    root = os.path.realpath(job.folder)
    names = {_relative(path, root) for path in written}
    earlier = _earlier(manifest)
    if job.names_sources:  # what they are called is not known before
        found = {} if earlier is None else earlier.stems
        names -= {_relative(path, root) for path in planned.values()}
        names |= {file for file, _ in found.values()}
    elif task.known and job.counts_sources:  # of the names that are planned for, some are used
        names &= set(task.known.outputs)
    if task.known and task.known.key == recipe.key and task.known.verifies(root, names):
        return _outcome(task, KEPT, Manifest.load(manifest), task.known)
    refuse_overwriting(written, job.inputs())
    refuse_foreign(manifest)
    make_room(written)
    before = stems_before(manifest)
    done = run_job(job, progress)
    if _stamps(job) != stamps:
        for path in [*done.stems.paths.values(), *exports]:
            path.unlink()
        raise AudioReadError(
            0, f"{job.input!r} or what goes with it changed while it was read; run it again"
        )
    if before and not page:
        clear_report(report_path(job.folder, job.called, job.pattern, job.extension))
    clear_earlier(before, [*done.stems.paths.values(), *exports, *job.inputs()])
    made = Manifest.of(recipe, done, job.folder)
    outputs = dict([*made.stems.values(), *made.notes.values()])
    made.save(manifest)  # before the page: who stops there has stems that are told of
    if page:
        write_report(
            page, job.source(), done.stems, done.decomposition, done.trust,
            manifest=made.to_dict(), notes=done.played, progress=progress,
        )  # fmt: skip
        outputs[_relative(page, root)] = OutputHash.of(page)
    outputs[_relative(manifest, root)] = OutputHash.of(manifest)
    entry = Entry(task.track, recipe.key, outputs)
    outcome = _outcome(task, DONE, made, entry)
    outcome = dataclasses.replace(outcome, remarks=list(done.decomposition.remarks))
    if score := done.decomposition.score:
        outcome = dataclasses.replace(
            outcome,
            alignment=score.alignment.to_dict(),
            alignment_text=score.alignment.to_text(),
        )
    return dataclasses.replace(outcome, trust_text=done.trust.to_text())


def _earlier(path: Path) -> Manifest | None:
    """Return the manifest of an earlier run into the same place; None if there is none."""
    with contextlib.suppress(AudioNMFError, FileNotFoundError):
        return Manifest.load(path)
    return None


def _outcome(task: Task, state: str, made: Manifest, entry: Entry) -> Outcome:
    root = Path(os.path.realpath(task.job.folder))
    return Outcome(
        input=task.job.input,
        state=state,
        stems={name: str(root / file) for name, (file, _) in made.stems.items()},
        manifest=str(manifest_path(task.job)),
        report=str(task.job.planned_report() or ""),
        exports=[str(path) for path in task.job.planned_exports().values()],
        entry=entry.to_dict(),
        gain=made.gain,
        divergence=list(made.divergence),
        trust=dict(made.trust),
    )


def _relative(path: Path, root: str) -> str:
    return Path(os.path.relpath(path, root)).as_posix()


def _stamps(job: SeparationJob) -> list[Stamp]:
    """Return what changes when a file that is read does."""
    found = [require_file(path).stat() for path in job.inputs()]
    return [(status.st_ino, status.st_size, status.st_mtime_ns) for status in found]
