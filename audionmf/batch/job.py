"""A separation of one file as plain data, and how it is run.

A `SeparationJob` says all that the stems depend on, as values that go into JSON: the command line
makes one for each input, a batch hands them to its workers, and a manifest keeps them, so that the
same stems can be made again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audionmf.analysis.analysing import analyse_account
from audionmf.errors import LimitError, ParameterError
from audionmf.io.audio import Source
from audionmf.io.files import make_room, one_form, refuse_overwriting
from audionmf.io.foreign import audio_in, is_folder
from audionmf.io.formats import OUTPUT_FORMATS, check_form
from audionmf.io.parts import excerpt, part_path
from audionmf.rendering.blocks import stem_names
from audionmf.rendering.decomposition import Decomposition
from audionmf.rendering.stems import DEFAULT_PATTERN, StemFiles, stem_paths
from audionmf.rendering.trust import Trust
from audionmf.separation.separating import render_to_files, tell_offset
from audionmf.settings import Settings
from audionmf.show.report import report_path
from audionmf.sources.kits import is_bank, kit_files
from audionmf.sources.known import Told, one_and_rest
from audionmf.sources.labels import Ranges, check_moments
from audionmf.sources.templates import Templates
from audionmf.spectra.frames import Progress

if TYPE_CHECKING:
    from audionmf.notes.table import NoteTable

__all__ = ["SeparatedFiles", "SeparationJob", "run_job"]

_MAX_SOURCES = 4096
_MAX_FREE = 4096
_MAX_TEXT = 1 << 16


@dataclass(frozen=True)
class SeparationJob(Told):
    """What to separate, how, and into which files. Paths may be given as any kind of path.

    What is known of the sources are the fields of `Told`, all of it as files and numbers; a folder
    among the examples becomes all audio files in it, and ``FILE@START-END`` is a part of a file.

    Parameters
    ----------
    input : str
        The mixture's file.
    folder : str, default "separated"
        The output folder.
    only : str, optional
        As in `audionmf.separate`.
    start, duration : float
        As in `audionmf.separate`: the part of the input that is separated.
    pattern : str, default "{track}/{source}.{ext}"
        Names of the stems below the folder.
    extension : {"wav", "flac", "aiff", "mp3", "ogg", "opus"}, default "wav"
        Their container.
    subtype : str, optional
        Their sample format, such as "PCM_16"; default: that of the input, where the container has
        it.
    settings : Settings
        Options of the analysis.
    report : bool, default False
        Write a page beside the stems to hear and see them; see `audionmf.show.report`.
    export : sequence of {"midi", "labels", "csv", "events", "raven"}
        Write the notes that the sources play, and when they sound, beside the stems; see
        `audionmf.notes.transcription`.
    drum_keys, tempo
        As in `audionmf.transcribe`.
    track : str, default ""
        What outputs are called after; default: the name of the input without its extension.

    Raises
    ------
    AudioReadError
        If a folder of examples cannot be read, or has no audio file in it.
    ParameterError
        If hints are no moments.
    """

    input: str
    folder: str = "separated"
    start: float = 0.0
    duration: float | None = None
    only: str | None = None
    pattern: str = DEFAULT_PATTERN
    extension: str = "wav"
    subtype: str | None = None
    settings: Settings = field(default_factory=Settings)
    report: bool = False
    export: Sequence[str] = ()
    drum_keys: Mapping[str, int | str] = field(default_factory=dict)
    tempo: str | float | None = None
    track: str = ""

    def __post_init__(self) -> None:
        check_moments({"same": self.same, "apart": self.apart})
        examples: dict[str, tuple[str, ...]] = {}
        for name, files in self.examples.items():
            key = one_form(name)
            examples[key] = examples.get(key, ()) + _files(files)
        for name, value in {
            "input": os.fsdecode(self.input),
            "folder": os.fsdecode(self.folder),
            "templates": _texts(self.templates),
            "examples": examples,
            "midi": None if self.midi is None else os.fsdecode(self.midi),
            "kit": _kit(self.kit),
            "export": tuple(self.export),
            "residual": one_form(self.residual),
            "only": None if self.only is None else one_form(self.only),
            "solo": _in_one_form(self.solo),
            "absent": _in_one_form(self.absent),
            "track": one_form(self.track),
            "drum_keys": dict(self.drum_keys),
            "same": tuple(map(tuple, self.same)),
            "apart": tuple(map(tuple, self.apart)),
        }.items():
            object.__setattr__(self, name, value)

    def planned(self, banks: Sequence[Templates] | None = None) -> dict[str, Path]:
        """Return where each stem will be put, by the name of its source.

        Where `names_sources`, names are not known yet: plain ones stand for them.

        Parameters
        ----------
        banks : sequence of Templates, optional
            The templates, where they are loaded already.

        Raises
        ------
        ParameterError
            If the pattern, the extension or the number of sources is wrong, or files of this
            extension cannot hold the recording.
        FileNotFoundError, AudioReadError, TemplateError, ScoreError
            If what tells of the sources cannot be read.
        """
        n_sources = self.n_sources
        if n_sources is not None and not 1 <= n_sources <= _MAX_SOURCES:
            raise ParameterError(f"the number of sources is 1 to {_MAX_SOURCES}, not {n_sources}")
        if self.free > _MAX_FREE:
            raise LimitError(f"further components are {_MAX_FREE} at most; take fewer")
        account = self.account(banks=banks)
        if self.only is not None and self.names_sources:
            names = one_and_rest([self.only], self.only)
        else:
            names = account.names_with(self.only)
        source = self.source()  # what cannot be read has no outputs
        if self.extension in OUTPUT_FORMATS:
            check_form(self.extension, self.subtype, source.sample_rate, source.n_channels)
        return self.stems_called(names)

    def stems_called(self, names: Iterable[str]) -> dict[str, Path]:
        """Return where stems of these names are put.

        Raises
        ------
        ParameterError
            If the pattern or the extension is wrong.
        """
        return stem_paths(self.folder, self.called, list(names), self.pattern, self.extension)

    @property
    def called(self) -> str:
        """What the outputs are called after."""
        return self.track or Path(self.input).stem

    def planned_report(self) -> Path | None:
        """Return where the report goes; None if none is asked for.

        Raises
        ------
        ParameterError
            If the pattern or the extension is wrong.
        """
        if not self.report:
            return None
        return report_path(self.folder, self.called, self.pattern, self.extension)

    def planned_exports(self) -> dict[str, Path]:
        """Return where notes and events go, by what they are; nothing if none are asked for.

        Raises
        ------
        ParameterError
            If a kind, the pattern, the extension, the key of a drum or the tempo is wrong.
        MissingExtraError
            If pretty_midi is needed and not installed.
        """
        if not self.export:
            return {}
        from audionmf.notes.transcription import check_asked, export_paths

        check_asked(self.drum_keys, self.tempo)
        return export_paths(self.folder, self.called, self.export, self.pattern, self.extension)

    @property
    def counts_sources(self) -> bool:
        """Whether the analysis chooses the number of sources; `planned` then names the most."""
        if self.kit or self.same or self.apart:  # a hint may leave nothing of a source
            return True
        return self.n_sources is None and not self.account().sources

    @property
    def names_sources(self) -> bool:
        """Whether the analysis names the sources, by what is heard of them."""
        return self.settings.names == "heard" and self.is_blind

    @property
    def is_blind(self) -> bool:
        """Whether nothing is known of the sources but perhaps their number."""
        known = (
            self.templates, self.examples, self.solo, self.absent, self.midi, self.lead, self.free,
            self.kit,
        )  # fmt: skip
        return not any(known)

    def source(self) -> Source:
        """Open the recording, or the part of it that is asked for.

        Raises
        ------
        ParameterError
            If the part is not in the recording.
        """
        return excerpt(self.input, self.start, self.duration)

    def banks(self) -> list[Templates]:
        """Load the templates."""
        return [Templates.load(path) for path in self.templates]

    def inputs(self) -> list[str]:
        """Return every file that is read."""
        examples = [part_path(path) for files in self.examples.values() for path in files]
        scores = [] if self.midi is None else [self.midi]
        if isinstance(self.kit, str):
            kit = [self.kit]
        else:
            kit = [file for files in self.kit.values() for file in files] if self.kit_given else []
        return [self.input, *self.templates, *examples, *scores, *kit]

    @property
    def kit_given(self) -> bool:
        """Whether there is a kit of files of one's own."""
        return not isinstance(self.kit, bool)

    def moved(self, path: Callable[[str], str]) -> SeparationJob:
        """Return the same with another path for every file that is read."""
        kit = self.kit
        if isinstance(kit, str):
            kit = path(kit)
        elif self.kit_given:
            kit = {name: [path(file) for file in files] for name, files in kit.items()}
        return dataclasses.replace(
            self,
            input=path(self.input),
            templates=[path(file) for file in self.templates],
            examples={name: [path(p) for p in files] for name, files in self.examples.items()},
            midi=None if self.midi is None else path(self.midi),
            kit=kit,
        )

    def absolute(self) -> SeparationJob:
        """Return the same with absolute paths of every file that is read."""
        return self.moved(_absolute)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that go into JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> SeparationJob:
        """Make a job of what `to_dict` gave.

        Raises
        ------
        ParameterError
            If there is a field that a job does not have, or one has a value that it cannot have.
        """
        known = {item.name for item in dataclasses.fields(cls)}
        if unknown := sorted(values.keys() - known):
            raise ParameterError(f"a separation job has no field {unknown[0]!r}")
        for name, value in values.items():
            if not _CHECKS[name](value):
                raise ParameterError(f"a separation job has a wrong value for {name!r}")
        try:
            settings = Settings.from_options(**values.get("settings", {}))
            files = [path for paths in values.get("examples", {}).values() for path in paths]
            if any(map(is_folder, files)):
                raise ParameterError("the examples of a separation job are files, not folders")
            return cls(**{**values, "settings": settings})
        except TypeError as error:
            raise ParameterError(f"a separation job has a wrong value: {error}") from error


@dataclass(frozen=True)
class SeparatedFiles:
    """What `run_job` wrote.

    Parameters
    ----------
    stems : StemFiles
        The stems and the common gain.
    decomposition : Decomposition
        What they were rendered from.
    trust : Trust
        How far to trust each stem.
    exports : dict of str to pathlib.Path
        The files with notes, by their kind.
    played : NoteTable, optional
        The notes that were exported.
    """

    stems: StemFiles
    decomposition: Decomposition
    trust: Trust
    exports: Mapping[str, Path] = field(default_factory=dict)
    played: NoteTable | None = None


def run_job(job: SeparationJob, progress: Progress | None = None) -> SeparatedFiles:
    """Separate a file into files, block by block; outputs are checked before anything is computed.

    Parameters
    ----------
    job : SeparationJob
        What to do.
    progress : callable, optional
        Told the stage and the share done.

    Raises
    ------
    AudioNMFError
        As `audionmf.separate` does, and `OutputError` where a stem would overwrite an input or
        cannot be written.
    """
    banks = job.banks()
    paths = job.planned(banks)
    exports = job.planned_exports()
    outputs = [*paths.values(), *exports.values()]
    refuse_overwriting(outputs, job.inputs())
    make_room(outputs)
    source = job.source()
    account = job.account(banks=banks)
    decomposition = analyse_account(account, source, job.settings, progress)
    decomposition = tell_offset(source, decomposition)
    if job.names_sources:
        paths = job.stems_called(stem_names(decomposition, job.only))
        refuse_overwriting([*paths.values(), *exports.values()], job.inputs())
        make_room(paths.values())
    stems, trust = render_to_files(
        source, decomposition, paths, only=job.only, subtype=job.subtype, progress=progress
    )
    _tidy(outputs, [*stems.paths.values(), *exports.values()])
    played = None
    if exports:
        from audionmf.notes.transcription import write_exports

        played = write_exports(
            exports, source, decomposition, stems.paths, alone=account.examples,
            drum_keys=job.drum_keys, tempo=job.tempo, progress=progress,
        )  # fmt: skip
    return SeparatedFiles(stems, decomposition, trust, exports, played)


def _tidy(planned: Sequence[Path], used: Sequence[Path]) -> None:
    """Remove the folders that were made for sources that were not found."""
    for folder in {path.parent for path in planned} - {path.parent for path in used}:
        with contextlib.suppress(OSError):  # only what is empty
            folder.rmdir()


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= _MAX_TEXT and "\0" not in value


def _is_whole(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _are_texts(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(map(_is_text, value))


def _are_named(value: Any, check: Callable[[Any], bool]) -> bool:
    if not isinstance(value, Mapping):
        return False
    return all(_is_text(name) and check(item) for name, item in value.items())


def _are_ranges(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(
        isinstance(pair, list | tuple) and len(pair) == 2 and all(isinstance(x, Real) for x in pair)
        for pair in value
    )


def _are_moments(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(
        isinstance(hint, list | tuple) and all(map(_is_number, hint)) for hint in value
    )


def _or_none(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or check(value)


_CHECKS: dict[str, Callable[[Any], bool]] = {
    "input": _is_text,
    "folder": _is_text,
    "n_sources": _or_none(_is_whole),
    "templates": _are_texts,
    "examples": lambda value: _are_named(value, _are_texts),
    "free": _is_whole,
    "residual": _is_text,
    "only": _or_none(_is_text),
    "solo": lambda value: _are_named(value, _are_ranges),
    "absent": lambda value: _are_named(value, _are_ranges),
    "convert": _is_flag,
    "midi": _or_none(_is_text),
    "midi_split": _is_text,
    "split_at": _or_none(lambda value: _is_text(value) or _is_whole(value)),
    "lead": lambda value: _is_flag(value) or _is_text(value),
    "harmonic_percussive": _is_flag,
    "margin": _is_number,
    "kit": lambda value: (
        _is_flag(value) or (_is_text(value) and is_bank(value)) or _are_named(value, _are_texts)
    ),
    "same": _are_moments,
    "apart": _are_moments,
    "pattern": _is_text,
    "extension": _is_text,
    "settings": lambda value: isinstance(value, Mapping),
    "report": _is_flag,
    "export": _are_texts,
    "drum_keys": lambda value: _are_named(value, lambda key: _is_text(key) or _is_whole(key)),
    "tempo": _or_none(lambda value: _is_text(value) or _is_number(value)),
    "track": _is_text,
    "start": _is_number,
    "duration": _or_none(_is_number),
    "subtype": _or_none(_is_text),
}
"""Of each field, whether a value is of its type; in which range, is asked where it is used."""


def _absolute(path: str) -> str:
    return str(Path(path).absolute())


def _files(paths: Sequence[str]) -> tuple[str, ...]:
    """Return the files that are named, and those in the folders that are named."""
    found: list[str] = []
    for path in _texts(paths):
        found += audio_in(path) if is_folder(path) else [path]
    return tuple(found)


def _kit(kit: Any) -> Any:
    """Return a kit as plain values: whether there is the shipped one, a bank, or files by name."""
    if kit is None or isinstance(kit, bool):
        return bool(kit)
    if is_bank(kit):
        return os.fsdecode(kit)
    return {name: tuple(files) for name, files in kit_files(kit).items()}


def _in_one_form(ranges: Ranges) -> dict[str, Any]:
    joined: dict[str, Any] = {}
    for name, pairs in ranges.items():
        key = one_form(name)
        joined[key] = [*joined[key], *pairs] if key in joined else pairs
    return joined


def _texts(paths: Sequence[str]) -> tuple[str, ...]:
    return tuple(os.fsdecode(path) for path in paths)
