"""Many files: each is separated, whatever becomes of the others, and nothing is lost or done twice.

A batch runs a list of jobs on an `Executor`: in this process, in processes of its own on this
machine, or on a cluster. Before anything starts it makes sure that no two outputs are one file. It
holds a lock on the output folder, keeps a journal of what is finished there, and makes a report.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import os
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from audionmf.batch.job import SeparationJob
from audionmf.batch.journal import Entry, Journal
from audionmf.batch.manifest import manifest_path, refuse_replacing, stems_before
from audionmf.batch.pace import TimeLeft, share_done, work_after
from audionmf.batch.perform import DONE, FAILED, KEPT, NOT_RUN, Outcome, Task
from audionmf.batch.processes import InProcess, LocalProcesses, WorkerLostError
from audionmf.errors import (
    AudioNMFError,
    AudioNMFWarning,
    AudioReadError,
    ClusterError,
    OutputError,
    ParameterError,
    StoppedError,
    TemplateError,
)
from audionmf.io.control import control_folder
from audionmf.io.earlier import stems_in
from audionmf.io.files import (
    StrPath,
    clear_temporaries,
    make_room,
    refuse_overwriting,
    safe_name,
    write_bytes,
)
from audionmf.io.foreign import search, without_audio
from audionmf.io.lock import CONTROL_FOLDER, FolderLock
from audionmf.nmf.checks import thread_count
from audionmf.spectra.frames import Progress

__all__ = [
    "BatchReport",
    "Executor",
    "PlannedTrack",
    "State",
    "distinct_tracks",
    "find_audio",
    "plan_files",
    "report_path",
    "separate_files",
]

JOURNAL_NAME = "journal.jsonl"
REPORT_NAME = "report.json"
_MAX_WORKERS = 256
_TRIES = 2
_PATIENCE = 0.2


class Executor(Protocol):
    """What runs the tasks of a batch.

    A task and its outcome are plain values that go into JSON. Whatever the executor is, a worker of
    it calls `audionmf.tasks.perform` with a task, which never raises but for an interrupt, and hands
    back what that returns. Files are read and written by the worker, under the same names as here.

    Attributes
    ----------
    n_workers : int
        How many tasks it can do at a time; so many are submitted before the first is done.
    """

    n_workers: int

    def submit(self, task: Mapping[str, Any], progress: Progress) -> Future[Mapping[str, Any]]:
        """Have a task done.

        Parameters
        ----------
        task : mapping
            For `audionmf.tasks.perform`.
        progress : callable
            May be told the stage and the share of it that is done, from any thread.

        Returns
        -------
        concurrent.futures.Future
            Of the outcome. It fails with `audionmf.processes.WorkerLostError` if what had the task
            is gone; the batch then submits it once more.
        """
        ...

    def close(self, *, now: bool) -> None:
        """End what was started, leaving nothing behind; with `now`, what is being done too."""
        ...


def report_path(folder: StrPath) -> Path:
    """Return where the report of a batch goes by default."""
    return Path(folder, CONTROL_FOLDER, REPORT_NAME)


@dataclass(frozen=True)
class PlannedTrack:
    """What a job would write.

    Parameters
    ----------
    job : SeparationJob
        The job.
    stems : dict of str to pathlib.Path
        The file of each source; empty if the job cannot work.
    manifest : pathlib.Path
        The manifest.
    seconds : float
        Length of the recording; 0 if it cannot be read.
    error : Exception or None
        Why the job cannot work, as far as that can be told without computing.
    """

    job: SeparationJob
    stems: dict[str, Path]
    manifest: Path
    seconds: float
    error: Exception | None

    @property
    def outputs(self) -> list[Path]:
        """Every file that would be written."""
        if not self.stems:
            return []
        report = self.job.planned_report()
        notes = self.job.planned_exports().values()
        return [*self.stems.values(), self.manifest, *([report] if report else []), *notes]


@dataclass(frozen=True)
class State:
    """How far a batch is.

    Parameters
    ----------
    n_finished, n_files : int
        Files that are done with, and all files.
    share : float
        Share of the work that is done, 0 to 1.
    seconds_left : float or None
        How long it will go on at this pace; None as long as that cannot be told.
    current : str
        What was heard of last: a file and its stage.
    done : float
        Share of that stage that is done, 0 to 1.
    """

    n_finished: int
    n_files: int
    share: float
    seconds_left: float | None
    current: str
    done: float


@dataclass(frozen=True)
class BatchReport:
    """What came of a batch.

    Parameters
    ----------
    outcomes : tuple of Outcome
        One for each job, in their order.
    seconds : float
        How long all of it took.
    """

    outcomes: tuple[Outcome, ...]
    seconds: float

    def __repr__(self) -> str:
        counts = [f"{self.count(state)} {state}" for state in _STATES if self.count(state)]
        return f"<BatchReport: {', '.join(counts)}, {self.seconds:.1f} s>"

    @property
    def exit_code(self) -> int:
        """1 if anything failed or was not come to, otherwise 0."""
        return int(any(outcome.state not in (DONE, KEPT) for outcome in self.outcomes))

    def count(self, state: str) -> int:
        """Return how many jobs are in a state: "done", "kept", "failed" or "not run"."""
        return sum(outcome.state == state for outcome in self.outcomes)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that go into JSON."""
        names = ("input", "state", "code", "message", "warnings", "seconds", "stems", "manifest")
        return {
            "format": "audionmf report",
            "version": 1,
            **{f"n_{state.replace(' ', '_')}": self.count(state) for state in _STATES},
            "seconds": self.seconds,
            "files": [
                {name: getattr(outcome, name) for name in (*names, "gain")}
                for outcome in self.outcomes
            ],
        }

    def save(self, path: StrPath) -> Path:
        """Write the report as JSON.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        return write_bytes(path, f"{json.dumps(self.to_dict(), indent=1)}\n".encode())


_STATES = (DONE, KEPT, FAILED, NOT_RUN)


def find_audio(paths: Iterable[StrPath], without: StrPath | None = None) -> list[tuple[str, str]]:
    """Return audio files: those that are named, and those in the folders that are named.

    Folders are searched through and through, but for what is hidden and for the stems that a
    manifest beside them tells of; what is audio is told by its extension. Audio and video that is
    not read is returned too: it fails when its turn comes, with how to convert it. A folder inside
    that may not be searched is returned as a file would be: it fails when its turn comes, and stops
    no other.

    Parameters
    ----------
    paths : iterable of path
        Files and folders.
    without : path, optional
        A folder that is not searched: that of the outputs.

    Returns
    -------
    list of (str, str)
        Each file, and the folder it is in, relative to the folder that was named; empty for a file
        that was named itself. Files of a folder are sorted.

    Raises
    ------
    AudioReadError
        If a folder that was named cannot be read, or has no audio file in it.
    """
    kept_out = None if without is None else os.path.realpath(without)
    found: list[tuple[str, str]] = []
    for path in map(os.fsdecode, paths):
        if not os.path.isdir(path):  # noqa: PTH112 (which takes any name)
            found.append((path, ""))
            continue
        inside = list(_search(path, kept_out))
        if not inside:
            own = any(names for _, names in search(path, kept_out))
            raise AudioReadError(0, f"{path!r} {without_audio(any_stems=own)}")
        found += inside
    return found


def distinct_tracks(found: Sequence[tuple[str, str]]) -> list[str]:
    """Return what each file is called after, where its own name would be that of another too.

    Names that collide get the extension, where that tells them apart, else the folder, else a
    number.

    Parameters
    ----------
    found : sequence of (str, str)
        Files and folders below, as `find_audio` gives them.

    Returns
    -------
    list of str
        A name for each file; empty where its own is enough.
    """
    groups: dict[tuple[str, str], list[int]] = {}
    for i, (path, below) in enumerate(found):
        groups.setdefault((below, safe_name(Path(path).stem).casefold()), []).append(i)
    names = [""] * len(found)
    taken = set(groups)
    for (below, _), members in groups.items():
        paths = list(dict.fromkeys(os.path.realpath(found[i][0]) for i in members))
        if len(paths) < len(members) or len(members) == 1:  # the same file twice stays an error
            continue
        stems = [Path(found[i][0]).stem for i in members]
        suffixes = [Path(found[i][0]).suffix[1:] for i in members]
        parents = [Path(path).parent.name for path in paths]
        numbers = [str(n) for n in range(1, len(members) + 1)]
        for marks in (suffixes, parents, numbers):
            made = [f"{stem} ({mark})" for stem, mark in zip(stems, marks, strict=True)]
            keys = {(below, safe_name(name).casefold()) for name in made}
            if all(marks) and len(keys) == len(made) and not keys & taken:
                taken |= keys
                for i, name in zip(members, made, strict=True):
                    names[i] = name
                break
    return names


def _search(folder: str, kept_out: str | None) -> Iterator[tuple[str, str]]:
    made: set[str] = set()
    for where, names in search(folder, kept_out):
        made |= stems_in(where)
        relative = os.path.relpath(where, folder)
        for name in names:
            path = str(Path(where, name))
            if os.path.realpath(path) not in made:
                yield path, "" if relative == "." else relative


def plan_files(jobs: Iterable[SeparationJob], others: Iterable[StrPath] = ()) -> list[PlannedTrack]:
    """Return what each job would write, and make sure that they do not get in each other's way.

    Parameters
    ----------
    jobs : iterable of SeparationJob
        The jobs.
    others : iterable of path
        Further files that must not be overwritten.

    Raises
    ------
    OutputError
        If two jobs would write the same file, or one would overwrite an input of any.
    ParameterError, TemplateError
        If none of the jobs can work, for a reason that lies in what is asked for.
    AudioNMFError, FileNotFoundError
        If several jobs cannot work for one and the same reason, such as a bank that is not there.
    """
    banks: dict[tuple[str, ...], Any] = {}
    tracks = [_plan(job, banks) for job in jobs]
    errors = [track.error for track in tracks if track.error is not None]
    for error in errors:
        if len(errors) == len(tracks) and isinstance(error, ParameterError | TemplateError):
            raise error
    if len(tracks) > 1 and len(errors) == len(tracks) and len(set(map(str, errors))) == 1:
        raise errors[0]  # such as a bank that is not there: it lies in no recording
    owners: dict[str, PlannedTrack] = {}
    for track in tracks:
        for output in track.outputs:
            owner = owners.setdefault(os.path.normcase(output), track)
            if owner is not track:
                raise OutputError(
                    errno.EEXIST,
                    f"{owner.job.input!r} and {track.job.input!r} would both be written to "
                    f"{str(output)!r}; rename one, or separate them into folders of their own",
                )
    inputs = dict.fromkeys(path for track in tracks for path in track.job.inputs())
    refuse_replacing(
        (stems_before(track.manifest) for track in tracks),
        [*inputs, *(os.fsdecode(path) for path in others)],
    )
    refuse_overwriting([output for track in tracks for output in track.outputs], [*inputs, *others])
    return tracks


def _plan(job: SeparationJob, banks: dict[tuple[str, ...], Any]) -> PlannedTrack:
    """Plan one job; templates that several jobs share are read once."""
    try:
        key = tuple(job.templates)
        if key not in banks:
            banks[key] = job.banks()
        with warnings.catch_warnings():  # told when its turn comes
            warnings.simplefilter("ignore", AudioNMFWarning)
            stems = job.planned(banks[key])
            seconds = job.source().duration
    except (AudioNMFError, FileNotFoundError) as error:
        return PlannedTrack(job, {}, manifest_path(job), 0.0, error)
    return PlannedTrack(job, stems, manifest_path(job), seconds, None)


def separate_files(
    jobs: Sequence[SeparationJob],
    folder: StrPath | None = None,
    *,
    workers: int = 1,
    executor: Callable[[FolderLock], Executor] | None = None,
    journal: bool = True,
    resume: bool = False,
    fail_fast: bool = False,
    strict: bool = False,
    others: Iterable[StrPath] = (),
    report: StrPath | None = None,
    done: Callable[[Outcome], None] | None = None,
    progress: Callable[[State], bool | None] | None = None,
) -> BatchReport:
    """Separate many files; one that fails does not stop the others.

    Parameters
    ----------
    jobs : sequence of SeparationJob
        What to do. The outputs do not depend on how many there are, nor on their order.
    folder : path, optional
        The output folder of the batch, which is locked and holds the journal. The folders of the
        jobs are in it; default: the innermost one that they all are in.
    workers : int, default 1
        Processes to work with, 1 to 256; with 1 it is this process. Cores are shared out between
        them, unless the settings of a job say how many threads it has. The stems do not depend on
        it.
    executor : callable, optional
        Makes another `Executor` to work with, given the lock; `workers` is not used then.
    journal : bool, default True
        Keep a journal, so that the batch can be resumed.
    resume : bool, default False
        Pass over what the journal says is finished, if its outputs are there unchanged and would be
        made in the same way from the same inputs.
    fail_fast : bool, default False
        Begin no more files when one has failed.
    strict : bool, default False
        A warning is a failure.
    others : iterable of path
        Further files that must not be overwritten.
    report : path, optional
        Where to write the report as JSON; it is also written if the batch is interrupted.
    done : callable, optional
        Told the outcome of each file when it is done with.
    progress : callable, optional
        Told how far the batch is; returning True stops it. What is finished is in the journal.

    Returns
    -------
    BatchReport
        What came of each job.

    Raises
    ------
    ParameterError
        If there are no jobs, or one of them has its folder elsewhere.
    OutputError
        If two outputs would be one file or overwrite an input, or the folder cannot be written to.
    LockedError
        If another run uses the folder.
    ClusterError
        If the cluster that does the work is gone, or stands still.
    StoppedError
        If `progress` returned True.
    """
    if not isinstance(workers, int) or not 1 <= workers <= _MAX_WORKERS:
        raise ParameterError(f"the number of workers is 1 to {_MAX_WORKERS}, not {workers!r}")
    root = _root(jobs, folder)
    reports = [] if report is None else [Path(report)]
    tracks = plan_files(jobs, [*others, *reports])
    if os.path.lexists(root / CONTROL_FOLDER):
        control_folder(root / CONTROL_FOLDER)
    if reports:
        outputs = [output for track in tracks for output in track.outputs]
        refuse_overwriting([*outputs, *reports], [path for job in jobs for path in job.inputs()])
        make_room(reports)
    begin = time.monotonic()
    with contextlib.ExitStack() as stack:
        lock = stack.enter_context(FolderLock(root))
        _clear(root, tracks)
        book = Journal(root / CONTROL_FOLDER / JOURNAL_NAME) if journal or resume else None
        if book is not None:
            stack.enter_context(book)
        make = executor or (lambda lock: _local(min(workers, len(jobs)), lock))
        run = _Run(tracks, root, book, resume, strict, done, progress)
        try:
            run.on(make(lock), fail_fast=fail_fast)
        except BaseException:
            with contextlib.suppress(OutputError):  # what stopped the batch counts for more
                _save(run.report(begin), reports)
            raise
        finally:
            _clear(root, tracks)
        result = run.report(begin)
        _save(result, reports)
    return result


def _save(report: BatchReport, paths: Iterable[Path]) -> None:
    for path in paths:
        report.save(path)


def _local(workers: int, lock: FolderLock) -> Executor:
    if workers == 1:
        return InProcess()
    inherited = (lock.descriptor,)
    return LocalProcesses(workers, max(1, thread_count(None) // workers), inherited)


def _root(jobs: Sequence[SeparationJob], folder: StrPath | None) -> Path:
    if not jobs:
        raise ParameterError("there is nothing to separate")
    folders = [os.path.realpath(job.folder) for job in jobs]
    if folder is None:
        return Path(os.path.commonpath(folders))
    root = Path(os.path.realpath(folder))
    for path in map(Path, folders):
        if root != path and root not in path.parents:
            raise ParameterError(f"the folder {str(path)!r} of a job is not in {str(folder)!r}")
    return root


def _clear(root: Path, tracks: Iterable[PlannedTrack]) -> None:
    """Clear away what killed runs left in the folders that are written to."""
    folders = [output.parent for track in tracks for output in track.outputs]
    clear_temporaries([root, root / CONTROL_FOLDER, *folders])


class _Run:
    """One run of a batch: hands out the tasks, and takes the outcomes in."""

    def __init__(
        self,
        tracks: Sequence[PlannedTrack],
        root: Path,
        book: Journal | None,
        resume: bool,
        strict: bool,
        done: Callable[[Outcome], None] | None,
        progress: Callable[[State], bool | None] | None,
    ) -> None:
        self._tracks, self._root, self._book = tracks, root, book
        self._resume, self._strict, self._done = resume, strict, done
        self._clock = _Clock(tracks, progress)
        self.outcomes = [Outcome(track.job.input, NOT_RUN) for track in tracks]

    def report(self, begin: float) -> BatchReport:
        """Return what has come of the jobs so far."""
        return BatchReport(tuple(self.outcomes), time.monotonic() - begin)

    def on(self, executor: Executor, *, fail_fast: bool) -> None:
        """Run on an executor, and close it."""
        now = True
        try:
            self._hand_out(executor, fail_fast=fail_fast)
            now = False
        finally:
            executor.close(now=now)

    def _hand_out(self, executor: Executor, *, fail_fast: bool) -> None:
        waiting = deque((i, 1) for i in range(len(self._tracks)))
        running: dict[Future[Mapping[str, Any]], tuple[int, int]] = {}
        stopping = False
        while running or (waiting and not stopping):
            while waiting and not stopping and len(running) < executor.n_workers:
                i, tries = waiting.popleft()
                future = self._submit(executor, i)
                running[future] = i, tries
            finished, _ = wait(running, self._clock.patience, return_when=FIRST_COMPLETED)
            self._clock.go_on()
            for future in finished:
                i, tries = running.pop(future)
                error = future.exception()
                if isinstance(error, ClusterError):  # what had the other tasks is gone as well
                    raise error
                lost = isinstance(error, WorkerLostError)
                if lost and tries < _TRIES:
                    waiting.appendleft((i, tries + 1))
                    continue
                failed = self._take(i, future).state == FAILED
                stopping |= fail_fast and failed

    def _submit(self, executor: Executor, i: int) -> Future[Mapping[str, Any]]:
        track = self._tracks[i]
        workers = executor.n_workers
        n_threads = track.job.settings.n_threads or max(1, thread_count(None) // workers)
        name = Path(os.path.relpath(track.manifest, self._root)).as_posix()
        known = self._book.entries.get(name) if self._book and self._resume else None
        task = Task(track.job, name, known, n_threads, self._strict)
        return executor.submit(
            task.to_dict(), lambda stage, share: self._clock.hear(i, stage, share)
        )

    def _take(self, i: int, future: Future[Mapping[str, Any]]) -> Outcome:
        """Take in what came of a job; what is finished goes into the journal before it is told."""
        path = self._tracks[i].job.input
        try:
            error = future.exception()
            outcome = (
                Outcome.of_failure(path, error) if error else Outcome.from_dict(future.result())
            )
            entry = Entry.from_dict(outcome.entry)
            if self._book is not None and outcome.state == DONE and entry is not None:
                self._book.add(entry)
        except OutputError as unkept:
            failure = Outcome.of_failure(path, unkept)
            outcome = dataclasses.replace(failure, seconds=outcome.seconds)
        if outcome.message:
            message = outcome.message
            other = len(self._tracks) == 1 and message.startswith(("'", '"'))  # an example, a score
            named = message if other or repr(path) in message else f"{path!r}: {message}"
            outcome = dataclasses.replace(outcome, message=named)
        self.outcomes[i] = outcome
        self._clock.finish(i, outcome)
        if self._done is not None:
            self._done(outcome)
        return outcome


class _Clock:
    """Tells how far a batch is, and how long it will take, by the length of the recordings."""

    def __init__(
        self, tracks: Sequence[PlannedTrack], progress: Callable[[State], bool | None] | None
    ) -> None:
        known = [track.seconds for track in tracks if track.seconds]
        usual = sum(known) / len(known) if known else 1.0
        self._weights = [track.seconds or usual for track in tracks]
        self._names = [Path(track.job.input).name for track in tracks]
        self._after = [
            work_after(seconds, notes=bool(track.job.export), page=track.job.report)
            for track, seconds in zip(tracks, self._weights, strict=True)
        ]
        self._progress, self._begin = progress, time.monotonic()
        self._shares: dict[int, float] = {}
        self._finished: set[int] = set()
        self._free, self._left = 0.0, TimeLeft()
        self._lock = threading.Lock()  # several workers are heard at a time
        self._stopped = False
        self.patience = None if progress is None else _PATIENCE
        """Seconds to wait for a worker before asking again whether to go on."""

    def hear(self, i: int, stage: str, done: float) -> None:
        """Hear of a file at work."""
        share = share_done(stage, done, self._weights[i], self._after[i])
        self._shares[i] = max(share, self._shares.get(i, 0.0))
        self._tell(f"{self._names[i]}: {stage}", done)
        self.go_on()

    def go_on(self) -> None:
        """Stop the batch, if what is told of progress asked for it, in whatever thread that was."""
        if self._stopped:
            raise StoppedError("the batch was stopped, because progress returned True")

    def finish(self, i: int, outcome: Outcome) -> None:
        """Hear of a file that is done with; one that was kept or failed says nothing of the pace."""
        self._finished.add(i)
        self._shares[i] = 1.0
        if outcome.state != DONE:
            self._free += self._weights[i]
        self._tell(self._names[i], 1.0)

    def _tell(self, current: str, done: float) -> None:
        if self._progress is None:
            return
        with self._lock:
            self._stopped |= self._progress(self._state(current, done)) is True

    def _state(self, current: str, done: float) -> State:
        total = sum(self._weights)
        passed = sum(self._weights[i] * share for i, share in list(self._shares.items()))
        worked, elapsed = passed - self._free, time.monotonic() - self._begin
        left = self._left.after(elapsed, worked, total - passed)
        return State(len(self._finished), len(self._weights), passed / total, left, current, done)
