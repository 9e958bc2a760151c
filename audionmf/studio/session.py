"""What one studio holds: recordings, decompositions, sources, marks and gains, with a version.

A page names things by random ids only. Every change of the sources carries the version that it was
made from; one made from an older version is refused, so that two tabs cannot undo each other.
"""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from audionmf import nmf
from audionmf.analysis.activations import with_activations
from audionmf.analysis.analysing import analyse, analyse_account
from audionmf.analysis.blind import component_name
from audionmf.analysis.refinement import refine, refine_within
from audionmf.analysis.timbre_groups import by_timbre
from audionmf.errors import AudioNMFError, LimitError, ParameterError
from audionmf.io.audio import write
from audionmf.rendering.decomposition import Decomposition
from audionmf.separation.separating import tell_offset
from audionmf.settings import Settings
from audionmf.sources.known import REST
from audionmf.spectra.frames import Progress
from audionmf.studio.arrangement import (
    HISTORY_BYTES,
    Arrangement,
    History,
    Saved,
    arrangement_of,
    bound_histories,
)
from audionmf.studio.given import Given, expected, given, what_is
from audionmf.studio.marks import hint_of
from audionmf.studio.models import Model
from audionmf.studio.recordings import Recording, Shelf
from audionmf.studio.sample import NAME, sample
from audionmf.studio.sources import N_COLOURS, Group, usable_name
from audionmf.studio.stems import Stems
from audionmf.studio.ways import Way
from audionmf.studio.work import Job, Worker

__all__ = ["SAMPLE_FILE", "Session", "StaleError", "UnknownIdError"]

_Item = TypeVar("_Item")

SAMPLE_FILE = "sample.wav"

_STEPS = ("do", "undo", "redo", "swap")
_MOST_TRIALS = 6
_MAX_RECORDINGS = 64
_STEM_BYTES = 4 << 30


class UnknownIdError(AudioNMFError):
    """There is nothing with this id."""


class StaleError(AudioNMFError):
    """The change was made from a state that is no longer the present one."""


class Session:
    """The state of a studio; its methods may be called from any thread.

    Parameters
    ----------
    folder : path
        Private temporary folder; uploads and what is delivered lie in it.

    Attributes
    ----------
    changed : callable
        Called after each change.
    unkept : dict
        What was found of recordings that are not open, by their ids, until somebody keeps it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.RLock()
        self.shelf = Shelf()
        self._recordings: dict[str, Recording] = {}
        self._models: dict[str, Model] = {}
        self._given: dict[str, Given] = {}
        self._left: dict[str, tuple[Model, Arrangement, History]] = {}
        self._trials: list[str] = []
        self.unkept: dict[str, tuple[Model, Arrangement, History]] = {}
        self._hidden: dict[str, str] = {str(folder): "the studio"}
        self.worker = Worker(self.explain)
        self.version = 0
        self.current: Recording | None = None
        self.model: Model | None = None
        self.arranged = Arrangement()
        self.history = History()
        self.changed: Callable[[], None] = lambda: None

    @property
    def groups(self) -> tuple[Group, ...]:
        """The sources."""
        return self.arranged.groups

    @property
    def marks(self) -> tuple[dict[str, Any], ...]:
        """The marks in the spectrogram."""
        return self.arranged.marks

    # recordings

    def add_file(self, path: Path, name: str, given: str = "") -> Recording:
        """Open a recording; one that is open already is returned as it is.

        Raises
        ------
        FileNotFoundError, AudioReadError, InvalidAudioError
            If it cannot be read as audio.
        LimitError
            If it is too long, or there are too many.
        """
        self.hide(path, name)
        with self._lock:
            opened = self.opened(path)
        if opened is not None:
            return opened
        recording = Recording(path, name, self.shelf, given)
        with self._lock:
            if len(self._recordings) >= _MAX_RECORDINGS:
                raise LimitError(
                    f"the studio holds {_MAX_RECORDINGS} recordings at most; "
                    "for more, end it and start it again"
                )
            self._recordings[recording.id] = recording
        return recording

    def hide(self, path: Path, name: str) -> None:
        """Call a file by its name in all that a page is told."""
        with self._lock:
            self._hidden[str(path)] = name

    def add_given(self, path: Path, name: str, written: str = "") -> Given:
        """Take a bank or a score; one of the same name and bytes is returned as it is.

        Raises
        ------
        FileNotFoundError, TemplateError, ScoreError
            If it cannot be read.
        ParameterError
            If it is neither.
        LimitError
            If there are too many.
        """
        self.hide(path, name)
        with self._lock:
            same = [item for item in self._given.values() if item.path == path]
        if same:
            return same[0]
        item = given(path, name, written)
        with self._lock:
            alike = [other for other in self._given.values() if other.name == name]
            twin = next((other for other in alike if other.sha256 == item.sha256), None)
            if twin is not None:
                return twin
            if len(self._given) >= _MAX_RECORDINGS:
                raise LimitError(f"the studio holds {_MAX_RECORDINGS} banks and scores at most")
            self._given[item.id] = item
        return item

    def add(self, path: Path, name: str, written: str = "") -> Recording | Given:
        """Open a file, whatever it is; errors as of `add_file` and `add_given`."""
        self.hide(path, name)
        if what_is(path) == "recording":
            with expected(name):
                return self.add_file(path, name, written)
        return self.add_given(path, name, written)

    @property
    def files(self) -> list[Recording | Given]:
        """All that is open."""
        with self._lock:
            return [*self._recordings.values(), *self._given.values()]

    def given(self, key: str) -> Given:
        """Return a bank or a score.

        Raises
        ------
        UnknownIdError
            If there is none with this id.
        """
        return _found(self._given, key)

    def opened(self, path: Path) -> Recording | None:
        """Return the recording that was opened from a file, if it was and the file is the same."""
        with self._lock:
            same = [r for r in self._recordings.values() if r.path == path]
        return next((r for r in same if path.exists() and not r.changed), None)

    def add_sample(self) -> Recording:
        """Compute the sample and open it as if it had been dropped."""
        path = self.folder / SAMPLE_FILE
        if not path.exists():
            write(path, sample(), "PCM_16")
        return self.add_file(path, NAME)

    def recording(self, key: str) -> Recording:
        """Return a recording.

        Raises
        ------
        UnknownIdError
            If there is none with this id.
        """
        return _found(self._recordings, key)

    def models(self, key: str) -> Model:
        """Return a model.

        Raises
        ------
        UnknownIdError
            If there is none with this id.
        """
        return _found(self._models, key)

    # analysis

    def analyse(self, recording: Recording, way: Way) -> Job:
        """Start to take a recording apart.

        Raises
        ------
        ParameterError
            If the way does not fit the recording.
        LockedError
            If something is being worked on already.
        """
        self.check(recording, way)

        def work(job: Job) -> dict[str, Any]:
            found = self.find(recording, way, job.progress, job.watch)
            made = dataclasses.replace(way, by_hand=way.by_hand or job.cut_short)
            return self.adopt(recording, found, made, job)

        return self.worker.start("analyse", work)

    def check(self, recording: Recording, way: Way) -> None:
        """Make sure that a recording can be taken apart in a way; errors as of `analyse`."""
        window = Settings.from_options(**way.settings).n_fft_at(recording.sample_rate)
        way.account().labels.pieces(recording.audio, window, repr(recording.name))

    def find(
        self, recording: Recording, way: Way, progress: Progress, watch: nmf.Callback | None = None
    ) -> Decomposition:
        """Take a recording apart, and return what was found; nothing else is changed."""
        settings = Settings.from_options(**way.settings)
        account, audio = way.account(), recording.audio
        if way.components and not account.sources:
            return analyse(
                audio, components=True, settings=settings, progress=progress, watch=watch
            )
        return analyse_account(account, audio, settings, progress, watch)

    def adopt(
        self,
        recording: Recording,
        found: Decomposition,
        way: Way,
        job: Job,
        saved: Saved | None = None,
    ) -> dict[str, Any]:
        """Take over what was found of a recording; return what a page is told of it.

        Parameters
        ----------
        recording, found, way, job
            What was found in what, how, and by which job.
        saved : Saved, optional
            What was made of it before. Default: its sources are those that were found.
        """
        told = self._take(*self._parted(recording, found, way, job.progress), job.progress)
        if saved is not None:
            with self._lock:
                past, future = saved.past, saved.future
                self.arranged = saved.now
                self.history = History.of(self.models(told["model"]), past, future)
                self._change()
        return told

    def shelve(
        self, recording: Recording, found: Decomposition, way: Way, progress: Progress
    ) -> Arrangement:
        """Keep what was found as if it had been opened and left; return its sources. See `resume`."""
        model, groups = self._parted(recording, found, way, progress)
        self._prepare(model, progress)
        arranged = _arranged(groups)
        with self._lock:
            self._left[recording.id] = (model, arranged, History())
            self.unkept[recording.id] = self._left[recording.id]
        self.changed()
        return arranged

    def work_of(self, recording: Recording) -> tuple[Model, Arrangement] | None:
        """Return what was made of a recording so far, be it open or left; None if nothing was."""
        with self._lock:
            if self.model is not None and self.model.recording is recording:
                return self.model, self.arranged
            left = self._left.get(recording.id)
            return None if left is None else left[:2]

    def refine(self, version: int) -> Job:
        """Start to refine the present model with the present marks.

        Raises
        ------
        StaleError
            If the version is not the present one.
        ParameterError
            If there is nothing to refine.
        LockedError
            If something is being worked on already.
        """
        work = self._refining(version, None)

        def whole(job: Job) -> dict[str, Any]:
            return self._take(work(job), None, job.progress)

        return self.worker.start("refine", whole)

    def try_marks(self, version: int, within: tuple[float, float] | None = None) -> Job:
        """Start to refine with the present marks, to be heard; `edit` takes over what comes of it.

        Parameters
        ----------
        version : int
            As of `edit`.
        within : (float, float), optional
            Only from here to there, in seconds, and with the templates as they are: at once.
            Default: all of it, as `refine` does.

        Raises
        ------
        StaleError, ParameterError, LockedError
            As `refine` does.
        """
        work = self._refining(version, within)

        def trial(job: Job) -> dict[str, Any]:
            model = work(job)
            self._prepare(model, job.progress)
            with self._lock:
                self._trials.append(model.id)
            self._forget()
            return {"model": model.told()}

        return self.worker.start("try", trial)

    def _forget(self) -> None:
        """Forget the models that nobody can come back to, but for those that were tried last."""
        with self._lock:
            self._bound_steps()
            del self._trials[:-_MOST_TRIALS]
            kept = {self.model.id} if self.model else set()
            histories = [self.history]
            for model, _, history in (*self._left.values(), *self.unkept.values()):
                kept.add(model.id)
                histories.append(history)
            kept |= {step.model.id for h in histories for step in (*h.past, *h.future)}
            for key in self._models.keys() - kept - set(self._trials):
                model = self._models.pop(key)
                if model.stems is not None:
                    model.stems.drop()
                (self.folder / f"{key}.model").unlink(missing_ok=True)

    def _bound_steps(self) -> None:
        """Forget steps where all take too much: first those of recordings that were left first."""
        works = {id(w): w for w in (*self._left.values(), *self.unkept.values())}
        left = [(h, model) for model, _, h in works.values() if h is not self.history]
        present = [(self.history, self.model)] if self.model else []
        bound_histories([*left, *present], HISTORY_BYTES)

    def _refining(self, version: int, within: tuple[float, float] | None) -> Callable[[Job], Model]:
        """Return the work that refines the present model with the present marks."""
        with self._lock:
            self._require(version)
            model, groups, marks = self.model, self.groups, self.marks
        if model is None or not marks:
            raise ParameterError("mark a part of the spectrogram first")
        if model.stems is not None:
            raise ParameterError(
                "marks move components: take the recording apart into components for that"
            )
        start = model.parts.regroup(
            {group.name: group.components for group in groups if group.components}
        )
        names = {group.id: group.name for group in groups}
        hints = [hint_of(mark, names) for mark in marks]

        def work(job: Job) -> Model:
            audio, watch = model.recording.audio, job.watch
            if within is None:
                found = refine(audio, start, hints, progress=job.progress, watch=watch)
            else:
                found = refine_within(
                    audio, start, hints, within, progress=job.progress, watch=watch
                )
            way = dataclasses.replace(model.way, by_hand=True)
            return _linear(model.recording, found, way)

        return work

    def _parted(
        self, recording: Recording, found: Decomposition, way: Way, progress: Progress
    ) -> tuple[Model, dict[str, list[int]]]:
        """Return what was found as parts that can be heard, and which of them have a name."""
        if way.components:
            found = with_activations(recording.audio, found, progress)
            plain = way.named or way.by_hand
            groups = {
                n: list(ks)
                for n, ks in found.grouping.items()
                if plain and n not in _unnamed(found)
            }
            return _linear(recording, found, way), groups
        found = tell_offset(recording.audio, found)
        stems = Stems(recording, found, self.folder)
        stems.render(progress)
        names: dict[str, list[int]] = {}
        for k, name in enumerate(stems.names):
            if name != REST:
                names[usable_name(name, names)] = [k]
        return Model(recording, found, way, stems), names

    def _bound_stems(self) -> None:
        """Give back the disk of stems that were made first, where there are too many of them."""
        with self._lock:
            rendered = [m for m in self._models.values() if m.stems is not None]
        total = sum(m.stems.n_bytes for m in rendered if m.stems)
        for model in rendered[:-1]:
            if model.stems is not None and total > _STEM_BYTES:
                total -= model.stems.n_bytes
                model.stems.drop()

    def _prepare(self, model: Model, progress: Progress) -> None:
        """Make what a page needs of a model, and keep it."""
        recording = model.recording
        if recording.drawn is None:
            recording.draw(model.parts.templates.stft, progress)
        _ = model.described
        progress("ready", 1.0)
        with self._lock:
            self._models[model.id] = model
        self._bound_stems()

    def _take(
        self, model: Model, groups: Mapping[str, Sequence[int]] | None, progress: Progress
    ) -> dict[str, Any]:
        self._prepare(model, progress)
        with self._lock:
            refined, self.current, self.model = self.model, model.recording, model
            if groups is not None:
                self.arranged, self.history = _arranged(groups), History()
            elif refined is not None:
                self.history.did(refined, self.arranged)
            self._change()
        self._forget()
        return {"model": model.id}

    # sources

    def edit(
        self,
        version: int,
        model: str,
        groups: Sequence[Any],
        marks: Sequence[Any],
        gains: Mapping[str, Any] | None = None,
        step: str = "do",
    ) -> dict[str, Any]:
        """Take over sources, marks and gains as a page has them now; return the new state.

        Parameters
        ----------
        version, model, groups, marks, gains
            From which version, and what is now; default of the gains: 0 dB each.
            The answer names the models that are `held`: to others no step leads any more.
        step : {"do", "undo", "redo", "swap"}
            Whether it is a change, or one that is taken back or made again; or goes with the step
            before it, as parts that were found with a mark do.

        Raises
        ------
        StaleError
            If the version is not the present one.
        UnknownIdError
            If there is no such model.
        ParameterError
            If the sources, marks or gains make no sense.
        """
        if step not in _STEPS:
            raise ParameterError(f"a step is one of {', '.join(_STEPS)}")
        with self._lock:
            self._require(version)
            chosen = self.models(model)
            told = {"sources": groups, "marks": marks, "gains": {} if gains is None else gains}
            arranged = arrangement_of(told, len(chosen.names))
            if self.model is not None and step == "do":
                self.history.did(self.model, self.arranged)
            elif self.model is not None and step != "swap":
                self.history.moved(step, self.model, self.arranged)
            self.arranged, self.model, self.current = arranged, chosen, chosen.recording
            self._bound_steps()
            self._change()
            return self.told() | {"held": list(self._models)}

    def _change(self) -> None:
        self.version += 1
        self.changed()

    def suggest(self, model: str, members: Sequence[int], n_sources: int) -> list[list[int]]:
        """Group components by timbre.

        Raises
        ------
        UnknownIdError
            If there is no such model.
        ParameterError
            If components do not exist or there are fewer of them than sources.
        """
        chosen = self.models(model)
        if chosen.stems is not None:
            raise ParameterError("whole sources are not grouped by timbre; drag one onto another")
        templates = chosen.parts.templates
        wanted = sorted(set(members))
        if not wanted or not all(0 <= k < templates.n_components for k in wanted):
            raise ParameterError("these components do not exist")
        few = dataclasses.replace(
            templates,
            templates=templates.templates[:, wanted],
            labels=tuple(templates.labels[k] for k in wanted),
            durations=None,
        )
        return [[wanted[k] for k in group] for group in by_timbre(few, n_sources).values()]

    def close_recording(self, version: int) -> dict[str, Any]:
        """Go back to the choice of a recording; return the new state.

        What was made of the recording is kept, see `resume`.
        """
        with self._lock:
            self._require(version)
            if self.model is not None:
                self._left.pop(self.model.recording.id, None)  # what was left last goes last
                left = (self.model, self.arranged, self.history)
                self._left[self.model.recording.id] = left
            self.current = self.model = None
            self.arranged, self.history = Arrangement(), History()
            self._change()
            return self.told()

    def resume(self, version: int, recording: str) -> dict[str, Any]:
        """Go on with a recording where it was left; return the new state.

        Raises
        ------
        StaleError
            If the version is not the present one.
        UnknownIdError
            If the recording was not left, or there is none with this id.
        """
        with self._lock:
            self._require(version)
            self.model, self.arranged, self.history = _found(self._left, recording)
            self.current = self.model.recording
            self._change()
            return self.told()

    def told(self) -> dict[str, Any]:
        """Return the whole state as a page needs to know it."""
        with self._lock:
            recording, job = self.current, self.worker.job
            return {
                "version": self.version,
                "recordings": [
                    r.told() | {"left": r.id in self._left} for r in self._recordings.values()
                ],
                "given": [item.told() for item in self._given.values()],
                "recording": recording.id if recording else None,
                "spectrogram": recording.drawn if recording else None,
                "model": self.model.told() if self.model else None,
                **self.arranged.told(),
                "job": job.told(0) if job and job.outcome == "running" else None,
            }

    @property
    def open_work(self) -> set[str]:
        """Keys of the histories that can be gone on with here."""
        with self._lock:
            return {self.history.key, *(history.key for _, _, history in self._left.values())}

    @contextlib.contextmanager
    def still(self) -> Iterator[None]:
        """Let nothing change for the moment that it takes to look at several things together."""
        with self._lock:
            yield

    def remembered(self) -> dict[str, Any]:
        """Return the steps that can be taken back or made again, as a page needs to know them."""
        with self._lock:
            return {"history": self.history.told(self.model)} if self.model else {}

    def explain(self, error: BaseException | Warning | str) -> str:
        """Return a line for people about what went wrong: no path, no trace."""
        if isinstance(error, FileNotFoundError):
            return "there is no such file"
        if not isinstance(error, AudioNMFError | Warning | str):
            return "something went wrong; the terminal that started the studio may say more"
        text = " ".join(str(error).splitlines())
        with self._lock:
            hidden = sorted(self._hidden.items(), key=lambda item: -len(item[0]))
        for path, name in hidden:
            text = text.replace(repr(path), repr(name)).replace(path, name)
        return text

    def _require(self, version: int) -> None:
        if version != self.version:
            raise StaleError("the sources were changed in the meantime, perhaps in another tab")


def _linear(recording: Recording, found: Decomposition, way: Way) -> Model:
    """Return components as parts of which each is heard, whose stems sum to those of sources."""
    linear = dataclasses.replace(found.settings, mask_exponent=1.0)
    found = dataclasses.replace(found, settings=linear)
    parts = found.regroup({component_name(k): (k,) for k in range(found.n_components)})
    return Model(recording, parts, way)


def _arranged(groups: Mapping[str, Sequence[int]]) -> Arrangement:
    """Return sources of these names and parts, each of a colour of its own."""
    return Arrangement(
        tuple(
            Group(f"s{i}", name, i % N_COLOURS, tuple(members))
            for i, (name, members) in enumerate(groups.items())
        )
    )


def _unnamed(found: Decomposition) -> set[str]:
    """Return the names of groups that nobody named: the rest, and single components."""
    return {REST, *(component_name(k) for k in range(found.n_components))}


def _found(items: Mapping[str, _Item], key: str) -> _Item:
    if key not in items:
        raise UnknownIdError("there is nothing with this id")
    return items[key]
