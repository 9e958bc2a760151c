"""From a recording straight to its notes: taken apart on the way, without stems to keep."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audionmf.analysis.analysing import analyse_account
from audionmf.errors import ParameterError
from audionmf.io.audio import AudioLike, Source
from audionmf.io.files import StrPath, make_room, refuse_overwriting
from audionmf.io.parts import excerpt
from audionmf.notes.events import Activity
from audionmf.notes.table import NoteTable
from audionmf.notes.transcription import (
    Alone,
    activity_of,
    check_asked,
    export_paths,
    notes_of,
    tempo_of,
    transcribe_stems,
    warn_of_none,
    write_files,
)
from audionmf.rendering.blocks import stem_names
from audionmf.rendering.decomposition import Decomposition
from audionmf.rendering.stems import DEFAULT_PATTERN
from audionmf.separation.separating import render_to_files
from audionmf.settings import Settings
from audionmf.sources.known import Known, Told
from audionmf.spectra.frames import Progress

__all__ = ["NotedFiles", "note_file", "transcribe"]

_ONE_SOURCE = "recording"
_WAYS = (
    "sources", "n_sources", "templates", "examples", "solo", "midi", "lead", "kit", "same", "apart",
    "harmonic_percussive",
)  # fmt: skip
"""What says which sources there are."""

_OWN = ("sources", "sample_rate", "settings")


@dataclass(frozen=True)
class NotedFiles:
    """What `note_file` wrote.

    Parameters
    ----------
    paths : dict of str to pathlib.Path
        The files, by what is in them.
    notes : NoteTable
        The notes; without any where none were asked for.
    events : sequence of Activity
        When sources sound, where it was asked for.
    """

    paths: dict[str, Path]
    notes: NoteTable
    events: Sequence[Activity]


def transcribe(
    recording: AudioLike,
    sources: Mapping[str, Known] | None = None,
    *,
    only: str | None = None,
    drum_keys: Mapping[str, int | str] | None = None,
    tempo: str | float | None = None,
    start: float = 0.0,
    duration: float | None = None,
    sample_rate: int | None = None,
    settings: Settings | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> NoteTable:
    """Return the notes that the sources of a recording play.

    The recording is taken apart first, as `audionmf.separate` does; where nothing says what its
    sources are it is one source, a lone instrument. Each stem is then heard: one with a pitch
    becomes notes, by combs of partials fitted to it (Vincent, Bertin and Badeau 2010), and by pYIN
    (Mauch and Dixon 2014) where it plays one note at a time; one without becomes strokes (Böck and
    Widmer 2013). With a score nothing need be found out: its notes are given, by the clock of the
    recording.

    Parameters
    ----------
    recording : Audio, path, or array of shape (n_channels, n_samples) or (n_samples,)
        What to listen to; a file is read block by block.
    sources, only, settings, **options
        As in `audionmf.separate`.
    start, duration : float, optional
        A part of the recording, in seconds; default: from its start, to its end. All times count
        from the start of the part, those of the notes too.
    drum_keys : mapping of str to int or str, optional
        Sources that are drums, with their key of General MIDI, 0 to 127, or the name of a drum such
        as "cowbell". Default: by their names; where these say nothing, kick, snare or hi-hat by the
        sound of each stroke.
    tempo : "auto", or float 20 to 400, optional
        Beats in a minute for the grid of MIDI files; "auto": as they are heard, with a
        change where they change. Notes are in seconds all the same.
    sample_rate : int, optional
        In Hz; needed where the recording is an array.
    progress : callable, optional
        Told the stage and the share done.

    Returns
    -------
    NoteTable
        In the order of their onsets: keys 0 to 127, times in seconds, velocities 1 to 127; 127 is
        the loudest note of all sources, and half of that 12 dB below.

    Raises
    ------
    ParameterError
        If options do not fit, or the key of a drum or the tempo is wrong.
    FileNotFoundError, AudioReadError, InvalidAudioError, LimitError
        If audio cannot be read or worked on.
    TemplateError, TemplateMismatchError, ScoreError
        As in `audionmf.separate`.
    OutputError
        If the folder for temporary files has no room for stems.

    Warns
    -----
    AudioNMFWarning
        If a source has neither a pitch nor strokes.
    """
    check_asked(drum_keys, tempo)
    source = excerpt(recording, start, duration, sample_rate=sample_rate)
    ways = {"sources": sources, "sample_rate": sample_rate, "settings": settings, **options}
    scored = options.get("midi") is not None
    with _taken_apart(source, ways, only, progress, stems=not scored) as (found, stems, alone):
        notes = _notes(source, found, stems, alone, drum_keys, settings, progress)
    return notes.timed(tempo_of(source, tempo))


def note_file(
    path: StrPath,
    folder: StrPath = "notes",
    *,
    export: Sequence[str] = ("midi", "labels", "csv"),
    pattern: str = DEFAULT_PATTERN,
    drum_keys: Mapping[str, int | str] | None = None,
    tempo: str | float | None = None,
    start: float = 0.0,
    duration: float | None = None,
    only: str | None = None,
    others: Sequence[StrPath] = (),
    track: str = "",
    progress: Progress | None = None,
    **ways: Any,
) -> NotedFiles:
    """Write the notes of a recording to files; no stems are kept.

    Parameters
    ----------
    path : path
        The recording.
    folder : path, default "notes"
        The output folder; a folder named after the recording is made in it.
    export : sequence of {"midi", "labels", "csv", "events", "raven"}
        What to write.
    pattern : str, default "{track}/{source}.{ext}"
        Names below the folder, of sources that are called "notes" and "events".
    others : sequence of path
        What else is read, and must not be overwritten.
    track : str, default ""
        What the recording is called; empty for the name of its file.
    drum_keys, tempo, start, duration, only, progress, **ways
        As in `transcribe`.

    Returns
    -------
    NotedFiles
        What was written.

    Raises
    ------
    AudioNMFError
        As `transcribe` does, and `OutputError` where a file would overwrite an input or cannot be
        written.
    """
    source = excerpt(path, start, duration)
    check_asked(drum_keys, tempo)
    paths = export_paths(folder, track or Path(path).stem, export, pattern)
    refuse_overwriting(paths.values(), [path, *others])
    make_room(paths.values())
    of_notes = any(kind in export for kind in ("midi", "labels", "csv"))
    of_events = any(kind in export for kind in ("events", "raven"))
    notes, events = NoteTable((), ()), list[Activity]()
    heard = of_events or ways.get("midi") is None
    with _taken_apart(source, ways, only, progress, stems=heard) as (found, stems, alone):
        if of_notes:
            notes = _notes(source, found, stems, alone, drum_keys, ways.get("settings"), progress)
        if of_events:
            events = activity_of(stems)
    notes = notes.timed(tempo_of(source, tempo) if "midi" in export else None)
    write_files(paths, notes, events)
    return NotedFiles(paths, notes, events)


def _notes(
    source: Source,
    found: Decomposition | None,
    stems: Mapping[str, Source | StrPath],
    alone: Alone,
    drum_keys: Mapping[str, int | str] | None,
    settings: Settings | None,
    progress: Progress | None,
) -> NoteTable:
    if found is not None:
        notes = notes_of(found, stems, alone=alone, drum_keys=drum_keys, progress=progress)
    else:
        n_threads = settings.n_threads if settings else None
        notes = transcribe_stems(stems, drum_keys=drum_keys, n_threads=n_threads, progress=progress)
    warn_of_none(notes, found)
    return notes


@contextlib.contextmanager
def _taken_apart(
    source: Source,
    ways: Mapping[str, Any],
    only: str | None,
    progress: Progress | None,
    *,
    stems: bool,
) -> Iterator[tuple[Decomposition | None, Mapping[str, Source | StrPath], Alone]]:
    """Give the decomposition of a recording, its stems, which are gone afterwards, and examples.

    Where nothing says what the sources are, there is no decomposition, and it is the only stem.
    """
    told, others = Told.split({n: v for n, v in ways.items() if n not in _OWN}, ways.get("sources"))
    if not any(ways.get(way) for way in _WAYS):
        _require_no_sources(ways, only)
        yield None, {source.path.stem if source.path else _ONE_SOURCE: source}, {}
        return
    account = told.account(ways.get("sources"), sample_rate=ways.get("sample_rate"))
    config = Settings.from_options(ways.get("settings"), **others)
    found = analyse_account(account, source, config, progress)
    if not stems:
        yield found, {}, {}
        return
    with tempfile.TemporaryDirectory(prefix="audionmf-") as home:
        paths = {s: Path(home, f"{i}.wav") for i, s in enumerate(stem_names(found, only))}
        rendered, _ = render_to_files(source, found, paths, only=only, progress=progress)
        yield found, dict(rendered.paths), account.examples


def _require_no_sources(ways: Mapping[str, Any], only: str | None) -> None:
    """Refuse what goes with sources that nothing has named."""
    asked = [name for name in ("free", "residual", "absent", "split_at") if ways.get(name)]
    if asked or only is not None:
        name = "only" if only is not None else asked[0]
        raise ParameterError(
            f"{name!r} needs sources: examples, templates, a score or their number"
        )
