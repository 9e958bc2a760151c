"""What one studio holds: recordings, decompositions, sources and marks, with a version.

A page names things by random ids only. Every change of the sources carries the version that it was
made from; one made from an older version is refused, so that two tabs cannot undo each other.
"""

from __future__ import annotations

import dataclasses
import math
import secrets
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from audionmf.analysis.analysing import analyse, with_activations
from audionmf.analysis.blind import component_name
from audionmf.analysis.refinement import Hint, refine
from audionmf.analysis.timbre_groups import by_timbre
from audionmf.errors import AudioNMFError, LimitError, ParameterError
from audionmf.io.audio import Audio, AudioFile, write
from audionmf.rendering.blocks import render_span
from audionmf.rendering.decomposition import Decomposition
from audionmf.rendering.grouping import REST
from audionmf.settings import Settings
from audionmf.sources.labels import Labels
from audionmf.studio.sample import NAME, sample
from audionmf.studio.views import Rows, Spectrogram, components, waveform
from audionmf.studio.work import Job, Worker

__all__ = ["Group", "Model", "Recording", "Session", "StaleError", "UnknownIdError"]

_Item = TypeVar("_Item")

N_COLOURS = 8
MAX_COMPONENTS = 64

_MAX_VALUES = 1 << 29
_MAX_RECORDINGS = 64
_MAX_SOURCES = 32
_MAX_MARKS = 100
_MAX_NAME = 60
_BLOCK_SECONDS = 0.5
_PCM = 32767
_LINEAR = {"mask_exponent": 1.0}
_LINEAR_NAMED = _LINEAR | {
    "dictionary": "nmf", "pitch_shifts": 0, "spatial": False, "model": "frames",
    "exemplars": False,
}  # fmt: skip


class UnknownIdError(AudioNMFError):
    """There is nothing with this id."""


class StaleError(AudioNMFError):
    """The change was made from a state that is no longer the present one."""


@dataclass(eq=False)
class Recording:
    """A recording that was opened.

    Parameters
    ----------
    name : str
        What people call it; never a path.
    audio : Audio
        Its samples.
    given : str
        As it was written on the command line; empty if it came through the page.
    id : str
        Random.
    """

    name: str
    audio: Audio
    given: str = ""
    id: str = field(default_factory=lambda: secrets.token_urlsafe(12))
    spectrogram: Spectrogram | None = None

    @cached_property
    def outline(self) -> bytes:
        """The waveform, first all lowest, then all highest values."""
        return waveform(self.audio).tobytes()

    @property
    def block(self) -> int:
        """Samples in each block of audio."""
        return max(1, round(_BLOCK_SECONDS * self.audio.sample_rate))

    def sound(self, index: int) -> tuple[bytes, float] | None:
        """Return a block of the recording as it is, in the form of `Model.sound`."""
        start = index * self.block
        if not 0 <= start < self.audio.n_samples:
            return None
        return _sixteen_bits(self.audio.samples[None, :, start : start + self.block])

    def told(self) -> dict[str, Any]:
        """Return what a page needs to know."""
        return {
            "id": self.id,
            "name": self.name,
            "duration": self.audio.duration,
            "sample_rate": self.audio.sample_rate,
            "channels": self.audio.n_channels,
            "samples": self.audio.n_samples,
            "block": self.block,
        }


@dataclass(frozen=True)
class Way:
    """How a decomposition was asked for, enough to write the command line that does it again.

    Parameters
    ----------
    settings : dict
        The options that are not at their defaults.
    examples : dict of str to list of Recording
        Recordings of sources.
    solo : dict of str to list of (float, float)
        Where sources play alone.
    free : int
        Further components.
    by_hand : bool
        It was refined by marks, or its iterations were ended by hand: no command line does that.
    """

    settings: Mapping[str, Any]
    examples: Mapping[str, Sequence[Recording]] = field(default_factory=dict)
    solo: Mapping[str, Sequence[tuple[float, float]]] = field(default_factory=dict)
    free: int = 0
    by_hand: bool = False

    @property
    def named(self) -> bool:
        """Whether the sources were known before."""
        return bool(self.examples or self.solo)


@dataclass(eq=False)
class Model:
    """A decomposition into components, each one a group of its own.

    Parameters
    ----------
    recording : Recording
        What it was made from.
    parts : Decomposition
        One group a component.
    way : Way
        How it was asked for.
    id : str
        Random.
    """

    recording: Recording
    parts: Decomposition
    way: Way
    id: str = field(default_factory=lambda: secrets.token_urlsafe(12))

    @cached_property
    def described(self) -> list[dict[str, Any]]:
        """The components in words and figures."""
        return components(self.parts, self._rows)

    @property
    def templates(self) -> bytes:
        """Templates as the page draws them, (n_components, N_ROWS) float32."""
        drawn = self._rows.draw(self.parts.templates.templates)
        return np.ascontiguousarray(drawn.T, "<f4").tobytes()

    @property
    def activations(self) -> bytes:
        """Activations, (n_components, n_frames) float32."""
        return np.ascontiguousarray(self.parts.activations, "<f4").tobytes()

    @property
    def _rows(self) -> Rows:
        return Rows(self.parts.templates.stft, self.recording.audio.sample_rate)

    def sound(self, index: int) -> tuple[bytes, float] | None:
        """Return a block of all components as 16-bit samples, and what full scale stands for.

        They lie component by component, channel by channel; of more than two channels the even and
        the odd ones are joined. None where there is no such block.
        """
        audio, block = self.recording.audio, self.recording.block
        start = index * block
        if not 0 <= start < audio.n_samples:
            return None
        return _sixteen_bits(
            render_span(audio, self.parts, start, min(start + block, audio.n_samples))
        )

    def told(self) -> dict[str, Any]:
        """Return what a page needs to know."""
        H = self.parts.activations
        return {
            "id": self.id,
            "recording": self.recording.id,
            "components": self.described,
            "frames": 0 if H is None else H.shape[1],
            "block": self.recording.block,
            "channels": min(2, self.recording.audio.n_channels),
            "divergence": self.parts.divergence.tolist(),
            "named": self.way.named,
            "refined": self.way.by_hand,
        }


@dataclass(frozen=True)
class Group:
    """A source: a name, a colour from the palette of the page, components.

    Parameters
    ----------
    id : str
        Chosen by the page, so that it can follow a source through changes.
    name : str
        What people call it.
    colour : int
        Place in the palette.
    components : tuple of int
        Its components; none in a source that waits for some.
    """

    id: str
    name: str
    colour: int
    components: tuple[int, ...]

    def told(self) -> dict[str, Any]:
        """Return what a page needs to know."""
        return dataclasses.asdict(self) | {"components": list(self.components)}


class Session:
    """The state of a studio; its methods may be called from any thread.

    Parameters
    ----------
    folder : path
        Private temporary folder; uploads and what is delivered lie in it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.RLock()
        self._recordings: dict[str, Recording] = {}
        self._models: dict[str, Model] = {}
        self._hidden: dict[str, str] = {str(folder): "the studio"}
        self.worker = Worker(self.explain)
        self.version = 0
        self.current: Recording | None = None
        self.model: Model | None = None
        self.groups: tuple[Group, ...] = ()
        self.marks: tuple[dict[str, Any], ...] = ()

    # recordings

    def add_file(self, path: Path, name: str, given: str = "") -> Recording:
        """Open a recording and keep its samples in memory.

        Raises
        ------
        FileNotFoundError, AudioReadError, InvalidAudioError
            If it cannot be read as audio.
        LimitError
            If it is too long, or there are too many.
        """
        with self._lock:
            self._hidden[str(path)] = name
        recording = Recording(name, _load(path, name), given)
        with self._lock:
            if len(self._recordings) >= _MAX_RECORDINGS:
                raise LimitError(
                    f"the studio holds {_MAX_RECORDINGS} recordings at most; start a fresh one"
                )
            self._recordings[recording.id] = recording
        return recording

    def add_sample(self) -> Recording:
        """Compute the sample and open it as if it had been dropped."""
        path = write(self.folder / f"{secrets.token_hex(8)}.wav", sample(), "PCM_16")
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
        settings = Settings.from_options(**way.settings)
        window = settings.n_fft_at(recording.audio.sample_rate)
        Labels.of(way.solo, None).pieces(recording.audio, window, repr(recording.name))

        def work(job: Job) -> dict[str, Any]:
            audio = recording.audio
            if way.named:
                found = analyse(
                    audio,
                    examples={n: [r.audio for r in rs] for n, rs in way.examples.items()},
                    solo=way.solo or None,
                    free=way.free,
                    settings=settings,
                    progress=job.progress,
                )
                found = with_activations(audio, found, job.progress)
            else:
                found = analyse(
                    audio,
                    components=True,
                    settings=settings,
                    progress=job.progress,
                    watch=job.watch,
                )
            made = dataclasses.replace(way, by_hand=way.by_hand or job.cut_short)
            groups = found.grouping if way.named else {}
            return self._adopt(recording, found, made, groups, job)

        return self.worker.start("analyse", work)

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
        with self._lock:
            self._require(version)
            model, groups, marks = self.model, self.groups, self.marks
        if model is None or not marks:
            raise ParameterError("mark a part of the spectrogram first")
        start = model.parts.regroup(
            {group.name: group.components for group in groups if group.components}
        )
        names = {group.id: group.name for group in groups}
        hints = [_hint(mark, names) for mark in marks]

        def work(job: Job) -> dict[str, Any]:
            found = refine(
                model.recording.audio, start, hints, progress=job.progress, watch=job.watch
            )
            way = dataclasses.replace(model.way, by_hand=True)
            return self._adopt(model.recording, found, way, None, job)

        return self.worker.start("refine", work)

    def _adopt(
        self,
        recording: Recording,
        found: Decomposition,
        way: Way,
        groups: Mapping[str, Sequence[int]] | None,
        job: Job,
    ) -> dict[str, Any]:
        parts = found.regroup({component_name(k): (k,) for k in range(found.n_components)})
        model = Model(recording, parts, way)
        if recording.spectrogram is None:
            stft = parts.templates.stft
            recording.spectrogram = Spectrogram.of(recording.audio, stft, job.progress)
        _ = model.described
        job.progress("ready", 1.0)
        with self._lock:
            self._models[model.id] = model
            self.current, self.model = recording, model
            if groups is not None:
                self.groups = tuple(
                    Group(f"s{i}", name, i % N_COLOURS, tuple(members))
                    for i, (name, members) in enumerate(groups.items())
                )
                self.marks = ()
            self.version += 1
        return {"model": model.id}

    # sources

    def edit(
        self, version: int, model: str, groups: Sequence[Any], marks: Sequence[Any]
    ) -> dict[str, Any]:
        """Take over sources and marks as a page has them now; return the new state.

        Raises
        ------
        StaleError
            If the version is not the present one.
        UnknownIdError
            If there is no such model.
        ParameterError
            If the sources or marks make no sense.
        """
        with self._lock:
            self._require(version)
            chosen = self.models(model)
            checked = _groups(groups, chosen.parts.n_components)
            self.marks = _marks(marks, {group.id for group in checked})
            self.groups, self.model, self.current = checked, chosen, chosen.recording
            self.version += 1
            return self.told()

    def suggest(self, model: str, members: Sequence[int], n_sources: int) -> list[list[int]]:
        """Group components by timbre.

        Raises
        ------
        UnknownIdError
            If there is no such model.
        ParameterError
            If components do not exist or there are fewer of them than sources.
        """
        templates = self.models(model).parts.templates
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
        """Go back to the choice of a recording; return the new state."""
        with self._lock:
            self._require(version)
            self.current = self.model = None
            self.groups, self.marks = (), ()
            self.version += 1
            return self.told()

    def told(self) -> dict[str, Any]:
        """Return the whole state as a page needs to know it."""
        with self._lock:
            recording, job = self.current, self.worker.job
            picture = recording.spectrogram if recording else None
            return {
                "version": self.version,
                "recordings": [r.told() for r in self._recordings.values()],
                "recording": recording.id if recording else None,
                "spectrogram": picture.told() if picture else None,
                "model": self.model.told() if self.model else None,
                "sources": [group.told() for group in self.groups],
                "marks": list(self.marks),
                "job": job.told(0) if job and job.outcome == "running" else None,
            }

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
            raise StaleError("the sources were changed elsewhere, in another tab maybe")


def _found(items: Mapping[str, _Item], key: str) -> _Item:
    if key not in items:
        raise UnknownIdError("there is nothing with this id")
    return items[key]


def _sixteen_bits(stems: NDArray[np.float32]) -> tuple[bytes, float]:
    """Return stems, (n_stems, n_channels, n), for a page, and what full scale stands for."""
    if stems.shape[1] > 2:
        stems = np.stack([stems[:, 0::2].mean(axis=1), stems[:, 1::2].mean(axis=1)], axis=1)
    scale = float(np.abs(stems).max(initial=0)) or 1.0
    pcm: NDArray[np.int16] = np.round(stems * np.float32(_PCM / scale)).astype("<i2")
    return pcm.tobytes(), scale


def _load(path: Path, name: str) -> Audio:
    """Read a recording block by block, and stop where it is longer than memory should hold."""
    file = AudioFile(path)
    blocks, n_values = [], 0
    for block in file.blocks():
        n_values += block.size
        if n_values > _MAX_VALUES:
            raise LimitError(
                f"{name!r} is longer than the studio takes; use the command line, which takes any"
            )
        blocks.append(block)
    return Audio(np.concatenate(blocks, axis=1), file.sample_rate, path, file.subtype)


def _groups(groups: Sequence[Any], n_components: int) -> tuple[Group, ...]:
    if not isinstance(groups, list) or len(groups) > _MAX_SOURCES:
        raise ParameterError(f"there may be {_MAX_SOURCES} sources at most")
    made: list[Group] = []
    names: set[str] = set()
    owned: set[int] = set()
    for given in groups:
        group = _group(given)
        if group.name in names or group.id in {other.id for other in made}:
            raise ParameterError(f"there is a source {group.name!r} already; choose another name")
        for k in group.components:
            if not 0 <= k < n_components or k in owned:
                raise ParameterError(f"component {k} does not exist, or is in two sources")
            owned.add(k)
        names.add(group.name)
        made.append(group)
    return tuple(made)


def _group(given: Any) -> Group:
    fields = {"id": str, "name": str, "colour": int, "components": list}
    if not isinstance(given, dict) or set(given) != set(fields):
        raise ParameterError("a source has an id, a name, a colour and components")
    if not all(type(given[name]) is kind for name, kind in fields.items()):
        raise ParameterError("a source has an id, a name, a colour and components")
    if not all(type(k) is int for k in given["components"]):
        raise ParameterError("components are whole numbers")
    if not (0 < len(given["id"]) <= _MAX_NAME and 0 <= given["colour"] < N_COLOURS):
        raise ParameterError("a source has an id and a colour of the palette")
    name = checked_name(given["name"])
    return Group(given["id"], name, given["colour"], tuple(sorted(given["components"])))


def checked_name(given: Any) -> str:
    """Return the name of a source without spaces around it.

    Raises
    ------
    ParameterError
        If it is empty or too long, or has characters that a command line cannot carry.
    """
    if not isinstance(given, str):
        raise ParameterError("a source needs a name")
    name = given.strip()
    if not 0 < len(name) <= _MAX_NAME or not name.isprintable():
        raise ParameterError(f"the name of a source has 1 to {_MAX_NAME} characters")
    if "=" in name or name.startswith("!") or name.lower() == REST:
        raise ParameterError(
            f"a source cannot be called {name!r}: '=' and a leading '!' have a meaning at the "
            f"command line, and {REST!r} is what is in no source"
        )
    return name


def _marks(marks: Sequence[Any], known: set[str]) -> tuple[dict[str, Any], ...]:
    if not isinstance(marks, list) or len(marks) > _MAX_MARKS:
        raise ParameterError(f"there may be {_MAX_MARKS} marks at most")
    return tuple(_mark(mark, known) for mark in marks)


def _mark(mark: Any, known: set[str]) -> dict[str, Any]:
    fields = {
        "source": str, "belongs": bool, "start": float, "end": float, "low": float, "high": float,
        "strength": float,
    }  # fmt: skip
    if not isinstance(mark, dict) or set(mark) != set(fields):
        raise ParameterError("a mark has a source, a place and a strength")
    checked: dict[str, Any] = {
        name: float(mark[name]) if kind is float and type(mark[name]) is int else mark[name]
        for name, kind in fields.items()
    }
    if not all(type(checked[name]) is kind for name, kind in fields.items()):
        raise ParameterError("a mark has a source, a place and a strength")
    if checked["source"] not in known:
        raise ParameterError("a mark is about a source that does not exist")
    Hint(**checked)
    return checked


def _hint(mark: dict[str, Any], names: dict[str, str]) -> Hint:
    return Hint(**(mark | {"source": names[mark["source"]]}))


def seconds(value: Any) -> float:
    """Return a time.

    Raises
    ------
    ParameterError
        If it is not a number of seconds.
    """
    if type(value) not in (int, float) or not (math.isfinite(value) and value >= 0):
        raise ParameterError("a time is a number of seconds, 0 or more")
    return round(float(value), 3)


def blind(n_components: int) -> Way:
    """Ask for a number of components.

    Raises
    ------
    ParameterError
        If the number is out of its range.
    """
    if type(n_components) is not int or not 2 <= n_components <= MAX_COMPONENTS:
        raise ParameterError(f"the number of components is from 2 to {MAX_COMPONENTS}")
    return Way({"n_components": n_components, **_LINEAR})


def informed(
    n_components: int,
    examples: Mapping[str, Sequence[Recording]],
    solo: Mapping[str, Sequence[tuple[float, float]]],
    free: int,
) -> Way:
    """Ask for sources that are known from examples, or from where each plays alone.

    Raises
    ------
    ParameterError
        If numbers are out of their range, or no source is known.
    """
    counts = (n_components, free)
    if not all(type(n) is int for n in counts) or n_components < 1 or free < 0:
        raise ParameterError("numbers of components are whole, 1 or more")
    n_sources = len({*examples, *solo})
    if not n_sources:
        raise ParameterError("name at least one source, by an example or by where it plays alone")
    if n_components * n_sources + free > MAX_COMPONENTS:
        raise ParameterError(
            f"{n_components} components for each of {n_sources} sources are more than the "
            f"{MAX_COMPONENTS} that the studio shows; take fewer"
        )
    return Way({"n_components": n_components, **_LINEAR_NAMED}, examples, solo, free)
