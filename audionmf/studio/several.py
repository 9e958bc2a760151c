"""A queue of recordings: all of them taken apart in one way, one after the other."""

from __future__ import annotations

import secrets
import shlex
import tempfile
import threading
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from audionmf.batch.run import distinct_tracks
from audionmf.errors import AudioNMFError, ParameterError
from audionmf.io.files import safe_name
from audionmf.spectra.frames import Progress
from audionmf.studio.arrangement import Arrangement
from audionmf.studio.deliver import Delivery, commands, discard, stem_files, track
from audionmf.studio.models import Model
from audionmf.studio.recordings import Recording
from audionmf.studio.session import Session, UnknownIdError
from audionmf.studio.ways import Way, shell_options, written
from audionmf.studio.work import Job, StoppedError

__all__ = ["Item", "Queue"]

_MOST = 64
_MOST_FAILURES = 200

Course = Literal["waiting", "running", "done", "failed", "stopped"]


class _OutError(Exception):
    """One recording was taken out of the queue while it was worked on."""


@dataclass(eq=False)
class Item:
    """A recording in the queue.

    Parameters
    ----------
    recording : Recording
        The recording.
    way : Way
        How it is taken apart.
    track : str
        What its stems are called after, in a folder beside those of the others.
    course : {"waiting", "running", "done", "failed", "stopped"}
        How far it is.
    stage : str
        What is being done with it.
    share : float
        How much of the stage is done, 0 to 1.
    reason : str
        Why it failed, in a line for people.
    found : Arrangement, optional
        The sources as they were found.
    """

    recording: Recording
    way: Way
    track: str
    course: Course = "waiting"
    stage: str = ""
    share: float = 0.0
    reason: str = ""
    found: Arrangement | None = None
    _halt: threading.Event = field(default_factory=threading.Event)

    def told(self) -> dict[str, Any]:
        """Return what a page needs to know."""
        return {
            "recording": self.recording.id,
            "name": self.recording.name,
            "track": self.track,
            "duration": self.recording.duration,
            "course": self.course,
            "stage": self.stage,
            "share": self.share,
            "reason": self.reason,
        }


class Queue:
    """Takes recordings apart one after the other, whatever becomes of the others.

    What was found of each is in the session then, as of a recording that was left.

    Parameters
    ----------
    session : Session
        Holds the recordings.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self.items: list[Item] = []

    def start(self, recordings: Sequence[Recording], way: Way) -> Job:
        """Start with recordings; what was in the queue before goes.

        Raises
        ------
        ParameterError
            If there are none, or too many of them, one is there twice, or something is said that
            is true of one recording alone.
        LockedError
            If something is being worked on already.
        """
        if not 1 <= len(recordings) <= _MOST or len(set(recordings)) < len(recordings):
            raise ParameterError(f"a queue holds 1 to {_MOST} recordings, each of them once")
        _check_common(way)
        places = [(r.given or str(Path(str(n), r.name)), "") for n, r in enumerate(recordings)]
        items = [
            Item(recording, way, safe_name(called or Path(recording.name).stem))
            for recording, called in zip(recordings, distinct_tracks(places), strict=True)
        ]
        return self._begin(items, items)

    def again(self) -> Job:
        """Start with those that failed or were stopped.

        Raises
        ------
        ParameterError
            If there are none.
        LockedError
            If something is being worked on already.
        """
        items = [item for item in self.items if item.course in ("failed", "stopped")]
        if not items:
            raise ParameterError("none of them failed or was stopped")
        return self._begin(self.items, items)

    def _begin(self, all_items: list[Item], items: list[Item]) -> Job:
        def work(job: Job) -> dict[str, Any]:
            for item in items:
                item.course, item.reason = "waiting", ""
                item._halt.clear()
            return self._work(items, job)

        before, self.items = self.items, all_items  # a page may ask before the work begins
        try:
            return self._session.worker.start("queue", work)
        except AudioNMFError:
            self.items = before
            raise

    def stop(self, key: str) -> None:
        """Take a recording out of the queue, or end what is done with it.

        Raises
        ------
        UnknownIdError
            If it is not in the queue.
        """
        item = self._item(key)
        item._halt.set()
        if item.course == "waiting":
            item.course = "stopped"

    def told(self) -> dict[str, Any]:
        """Return what a page needs to know."""
        job = self._session.worker.job
        running = job is not None and job.kind == "queue" and job.outcome == "running"
        return {
            "items": [item.told() for item in self.items],
            "job": job.id if job is not None and running else None,
        }

    def _item(self, key: str) -> Item:
        for item in self.items:
            if item.recording.id == key:
                return item
        raise UnknownIdError("this recording is not in the queue")

    def _work(self, items: list[Item], job: Job) -> dict[str, Any]:
        try:
            for n, item in enumerate(items):
                if item.course == "waiting":
                    self._one(item, job, n, len(items))
        finally:
            for item in items:
                if item.course in ("waiting", "running"):
                    item.course = "stopped"
        return {"done": sum(item.course == "done" for item in self.items)}

    def _one(self, item: Item, job: Job, n: int, n_all: int) -> None:
        """Take one recording apart. Only the end of the whole job is an end of the others too."""

        def progress(stage: str, share: float) -> None:
            job.progress(f"recording {n + 1} of {n_all}", n / n_all)
            item.stage, item.share = stage, float(share)
            if item._halt.is_set():
                raise _OutError

        item.course = "running"
        try:
            progress("start", 0.0)
            self._session.check(item.recording, item.way)
            found = self._session.find(item.recording, item.way, progress)
            item.found = self._session.shelve(item.recording, found, item.way, progress)
            item.course = "done"
        except _OutError:
            item.course = "stopped"
        except StoppedError:
            raise
        except (AudioNMFError, OSError, MemoryError) as error:
            item.course = "failed"
            item.reason = self._session.explain(error)[:_MOST_FAILURES]

    # what comes out

    def _works(self) -> list[tuple[Item, Model, Arrangement]]:
        """Return what was found, as it was arranged since."""
        works = []
        for item in self.items:
            work = self._session.work_of(item.recording) if item.course == "done" else None
            if work is not None:
                works.append((item, *work))
        if not works:
            raise ParameterError("no recording of the queue is done yet")
        return works

    def files(self, key: str, extension: str, progress: Progress) -> list[Delivery]:
        """Render the stems of one recording that is done; errors as of `stem_files`."""
        item = self._item(key)
        for other, model, arranged in self._works():
            if other is item:
                return stem_files(model, arranged.groups, self._session.folder, extension, progress)
        raise ParameterError(f"{item.recording.name!r} is not done yet")

    def stems(self, extension: str, progress: Progress) -> Delivery:
        """Render the stems of all that are done into one archive, a folder for each recording.

        Raises
        ------
        ParameterError
            If none is done, or the format is not offered.
        OutputError
            If they cannot be written.
        """
        works, folder = self._works(), self._session.folder
        target = folder / f"{secrets.token_hex(8)}.zip"
        try:
            with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
                for n, (item, model, arranged) in enumerate(works):
                    progress(f"render {item.recording.name}", n / len(works))
                    with tempfile.TemporaryDirectory(dir=folder) as home:
                        made = stem_files(
                            model, arranged.groups, Path(home), extension, lambda *_: None
                        )
                        for stem in made:
                            archive.write(stem.path, f"{item.track}/{stem.name}")
        except BaseException:
            discard([target])
            raise
        return Delivery(target, "stems.zip")

    def commands(self, extension: str) -> list[str]:
        """Return the command lines that make the same stems; empty where none can."""
        works = self._works()
        way = works[0][0].way
        asked = None if way.components else shell_options(way)
        as_found = all(
            item.found is not None and model.way is way and arranged.groups == item.found.groups
            for item, model, arranged in works
        )
        if asked is None or not as_found:
            lines = [commands(model, arranged.groups, extension) for _, model, arranged in works]
            alone = all(lines) and all(item.track == track(model) for item, model, _ in works)
            return [line for some in lines for line in some] if alone else []
        form = [] if extension == "wav" else ["--format", extension]
        recordings = [written(item.recording) for item, _, _ in works]
        return [shlex.join(["audionmf", "separate", *recordings, *asked, *form])]


def _check_common(way: Way) -> None:
    """Make sure that what is said is true of every recording."""
    for said in way.sources:
        for words, value in (
            ("where it plays alone", said.alone),
            ("where it is silent", said.absent),
            ("its notes", said.notes),
        ):
            if value:
                raise ParameterError(
                    f"of {said.name!r} it is said {words}, which is so in one recording only: take "
                    "that away, or take this recording apart by itself and save its templates for "
                    "the others"
                )
