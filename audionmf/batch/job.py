"""A separation of one file as plain data, and how it is run.

A `SeparationJob` says all that the stems depend on, as values that go into JSON: the command line
makes one for each input, a batch hands them to its workers, and a manifest keeps them, so that the
same stems can be made again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from audionmf.analysis.analysing import activation_rows, analyse, source_names
from audionmf.errors import LimitError, ParameterError
from audionmf.io.audio import AudioFile
from audionmf.io.files import make_room, refuse_overwriting
from audionmf.notes.transcription import export_paths, transcribe, write_notes
from audionmf.rendering.decomposition import Decomposition
from audionmf.rendering.stems import DEFAULT_PATTERN, StemFiles
from audionmf.rendering.trust import Trust
from audionmf.separation.separating import default_paths, render_to_files
from audionmf.settings import Settings
from audionmf.show.report import report_path
from audionmf.sources.labels import Ranges
from audionmf.sources.score import SplitBy, read_score
from audionmf.sources.templates import Templates
from audionmf.spectra.frames import Progress

__all__ = ["SeparatedFiles", "SeparationJob", "run_job"]

_MAX_SOURCES = 4096
_MAX_FREE = 4096
_MAX_TEXT = 1 << 16


@dataclass(frozen=True)
class SeparationJob:
    """What to separate, how, and into which files. Paths may be given as any kind of path.

    Parameters
    ----------
    input : str
        The mixture's file.
    folder : str, default "separated"
        The output folder.
    n_sources, free, residual, only, solo, absent, convert, midi, midi_split, split_at, lead
        As in `audionmf.separate`.
    templates : sequence of str
        Template files.
    examples : mapping of str to sequence of str
        Files of each source alone.
    pattern : str, default "{track}/{source}.{ext}"
        Names of the stems below the folder.
    extension : {"wav", "flac", "aiff"}, default "wav"
        Their container.
    settings : Settings
        Options of the analysis.
    report : bool, default False
        Write a page beside the stems to hear and see them; see `audionmf.report`.
    export : sequence of {"midi", "labels", "csv"}
        Write the notes that the sources play beside the stems; see `audionmf.notes`.
    """

    input: str
    folder: str = "separated"
    n_sources: int | None = None
    templates: Sequence[str] = ()
    examples: Mapping[str, Sequence[str]] = field(default_factory=dict)
    free: int = 0
    residual: str = ""
    only: str | None = None
    solo: Ranges = field(default_factory=dict)
    absent: Ranges = field(default_factory=dict)
    convert: bool = False
    midi: str | None = None
    midi_split: SplitBy = "track"
    split_at: str | int | None = None
    lead: bool = False
    pattern: str = DEFAULT_PATTERN
    extension: str = "wav"
    settings: Settings = field(default_factory=Settings)
    report: bool = False
    export: Sequence[str] = ()

    def __post_init__(self) -> None:
        examples = {name: _texts(files) for name, files in self.examples.items()}
        for name, value in {
            "input": os.fsdecode(self.input),
            "folder": os.fsdecode(self.folder),
            "templates": _texts(self.templates),
            "examples": examples,
            "midi": None if self.midi is None else os.fsdecode(self.midi),
            "export": tuple(self.export),
        }.items():
            object.__setattr__(self, name, value)

    def planned(self, banks: Sequence[Templates] | None = None) -> dict[str, Path]:
        """Return where each stem will be put, by the name of its source.

        Parameters
        ----------
        banks : sequence of Templates, optional
            The templates, where they are loaded already.

        Raises
        ------
        ParameterError
            If the pattern, the extension or the number of sources is wrong.
        TemplateError
            If templates cannot be read.
        ScoreError
            If the score cannot be read.
        """
        n_sources = self.n_sources
        if n_sources is not None and not 1 <= n_sources <= _MAX_SOURCES:
            raise ParameterError(f"the number of sources is 1 to {_MAX_SOURCES}, not {n_sources}")
        if self.free > _MAX_FREE:
            raise LimitError(f"further components are {_MAX_FREE} at most; take fewer")
        loaded = self.banks() if banks is None else banks
        named = [*self.examples, *self.solo]
        score = None
        if self.midi is not None:
            score = read_score(self.midi, split=self.midi_split, split_at=self.split_at)
        names = source_names(
            n_sources, loaded, named, self.free, self.residual, self.only, score, lead=self.lead
        )
        source = AudioFile(Path(self.input))
        return default_paths(source, names, self.folder, self.pattern, self.extension)

    def planned_report(self) -> Path | None:
        """Return where the report goes; None if none is asked for.

        Raises
        ------
        ParameterError
            If the pattern or the extension is wrong.
        """
        if not self.report:
            return None
        return report_path(self.folder, Path(self.input).stem, self.pattern, self.extension)

    def planned_exports(self) -> dict[str, Path]:
        """Return where notes go, by their kind; nothing if none are asked for.

        Raises
        ------
        ParameterError
            If a kind, the pattern or the extension is wrong.
        MissingExtraError
            If pretty_midi is needed and not installed.
        """
        if not self.export:
            return {}
        track = Path(self.input).stem
        return export_paths(self.folder, track, self.export, self.pattern, self.extension)

    @property
    def counts_sources(self) -> bool:
        """Whether the analysis chooses the number of sources; `planned` then names the most."""
        named = self.templates or self.examples or self.solo or self.midi or self.lead
        return self.n_sources is None and not named

    def banks(self) -> list[Templates]:
        """Load the templates."""
        return [Templates.load(path) for path in self.templates]

    def inputs(self) -> list[str]:
        """Return every file that is read."""
        examples = [path for files in self.examples.values() for path in files]
        scores = [] if self.midi is None else [self.midi]
        return [self.input, *self.templates, *examples, *scores]

    def absolute(self) -> SeparationJob:
        """Return the same with absolute paths of every file that is read."""
        return dataclasses.replace(
            self,
            input=_absolute(self.input),
            templates=[_absolute(path) for path in self.templates],
            examples={name: [_absolute(p) for p in files] for name, files in self.examples.items()},
            midi=None if self.midi is None else _absolute(self.midi),
        )

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
    """

    stems: StemFiles
    decomposition: Decomposition
    trust: Trust
    exports: Mapping[str, Path] = field(default_factory=dict)


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
    source = AudioFile(Path(job.input))
    decomposition = analyse(
        source,
        n_sources=job.n_sources,
        templates=banks,
        examples=job.examples,
        free=job.free,
        convert=job.convert,
        midi=job.midi,
        midi_split=job.midi_split,
        split_at=job.split_at,
        lead=job.lead,
        residual=job.residual,
        solo=job.solo,
        absent=job.absent,
        settings=job.settings,
        progress=progress,
    )
    stems, trust = render_to_files(source, decomposition, paths, only=job.only, progress=progress)
    _tidy(outputs, [*stems.paths.values(), *exports.values()])
    if exports:
        rows = None if decomposition.score else activation_rows(source, decomposition, progress)
        write_notes(transcribe(decomposition, rows), exports, decomposition.source_names)
    return SeparatedFiles(stems, decomposition, trust, exports)


def _tidy(planned: Sequence[Path], used: Sequence[Path]) -> None:
    """Remove the folders that were made for sources that were not found."""
    for folder in {path.parent for path in planned} - {path.parent for path in used}:
        with contextlib.suppress(OSError):  # only what is empty
            folder.rmdir()


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= _MAX_TEXT and "\0" not in value


def _is_whole(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


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
    "lead": _is_flag,
    "pattern": _is_text,
    "extension": _is_text,
    "settings": lambda value: isinstance(value, Mapping),
    "report": _is_flag,
    "export": _are_texts,
}
"""Of each field, whether a value is of its type; in which range, is asked where it is used."""


def _absolute(path: str) -> str:
    return str(Path(path).absolute())


def _texts(paths: Sequence[str]) -> tuple[str, ...]:
    return tuple(os.fsdecode(path) for path in paths)
