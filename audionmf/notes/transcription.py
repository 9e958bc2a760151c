"""The stems of a recording become its notes, as a table and as files beside the stems.

With a score nothing need be found out: its notes are handed on, by the clock of the recording.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from audionmf.errors import AudioNMFWarning, ParameterError
from audionmf.io.audio import Source, open_source
from audionmf.io.files import StrPath, write_bytes
from audionmf.nmf.checks import thread_count
from audionmf.notes.activity import sounding
from audionmf.notes.drums import check_keys, drum_key, is_kit
from audionmf.notes.events import Activity, SourceNote, level_of, velocity_of
from audionmf.notes.files import (
    activity_csv,
    activity_labels,
    notes_csv,
    notes_labels,
    notes_midi,
    raven_table,
    require_midi,
)
from audionmf.notes.table import NoteTable
from audionmf.notes.tempo import Tempo, beats_of, parse_tempo, tempo_of_beats
from audionmf.rendering.decomposition import Decomposition
from audionmf.rendering.stems import DEFAULT_PATTERN, stem_paths
from audionmf.spectra.blas import blas_threads
from audionmf.spectra.frames import Progress, heard

if TYPE_CHECKING:
    from audionmf.notes.hearing import Stem

__all__ = [
    "EXPORTS",
    "Alone",
    "activity_of",
    "check_asked",
    "check_exports",
    "export_names",
    "export_paths",
    "notes_of",
    "tempo_of",
    "transcribe_stems",
    "warn_of_none",
    "write_exports",
    "write_files",
]

Alone = Mapping[str, Sequence[Source]]
"""Recordings of sources alone, by their names."""

_FILES = {
    "midi": {"midi": ("notes", ".mid")},
    "labels": {"labels": ("notes", ".txt")},
    "csv": {"csv": ("notes", ".csv")},
    "events": {"events": ("events", ".csv"), "event labels": ("events", ".txt")},
    "raven": {"raven": ("events", ".selections.txt")},
}
EXPORTS = tuple(_FILES)
"""What is exported: notes as "midi", "labels" and "csv"; when sources sound, as "events" (a table and
labels) and "raven" (a selection table)."""

_OF_NOTES = ("midi", "labels", "csv")
_MOST_THREADS = 4
"""Stems that are heard at a time; each needs 0.2 GB."""


def check_exports(kinds: Sequence[str]) -> None:
    """Make sure that these kinds can be exported.

    Raises
    ------
    ParameterError
        If one is not among `EXPORTS`.
    MissingExtraError
        If "midi" is, and pretty_midi is not installed.
    """
    for kind in kinds:
        if kind not in EXPORTS:
            raise ParameterError(f"what can be exported is {', '.join(EXPORTS)}, not {kind!r}")
    if "midi" in kinds:
        require_midi()


def export_names(kinds: Sequence[str]) -> dict[str, str]:
    """Return the names of the files that are written for these kinds, by what is in them.

    Raises
    ------
    ParameterError, MissingExtraError
        As in `check_exports`.
    """
    return {what: name + ending for what, (name, ending) in _files(kinds).items()}


def export_paths(
    folder: StrPath,
    track: str,
    kinds: Sequence[str],
    pattern: str = DEFAULT_PATTERN,
    extension: str = "wav",
) -> dict[str, Path]:
    """Return where these files of a track belong: where stems called "notes" and "events" would.

    With the default pattern these are ``notes.mid``, ``notes.txt``, ``notes.csv``, ``events.csv``,
    ``events.txt`` and ``events.selections.txt`` beside the stems.

    Parameters
    ----------
    kinds : sequence of str
        Of `EXPORTS`.
    folder, track, pattern, extension
        As in `audionmf.rendering.stems.stem_paths`.

    Raises
    ------
    ParameterError
        If a kind, the pattern or the extension is wrong.
    MissingExtraError
        As in `check_exports`.
    """
    found = {}
    for what, (name, ending) in _files(kinds).items():
        [path] = stem_paths(folder, track, [name], pattern, extension).values()
        found[what] = path.with_suffix(ending)
    return found


def _files(kinds: Sequence[str]) -> dict[str, tuple[str, str]]:
    check_exports(kinds)
    return {what: file for kind in kinds for what, file in _FILES[kind].items()}


def transcribe_stems(
    stems: Mapping[str, Source | StrPath],
    *,
    alone: Alone | None = None,
    drum_keys: Mapping[str, int | str] | None = None,
    n_threads: int | None = None,
    progress: Progress | None = None,
) -> NoteTable:
    """Return the notes that stems tell.

    A stem with a pitch becomes notes, chords or one line; one without, or that is called after a
    drum, becomes strokes.

    Parameters
    ----------
    stems : mapping of str to Audio, AudioFile or path
        The sound of each source, read block by block. Of those of one rate and length, which are the
        stems of one recording, what one left in another is told from its notes.
    alone : mapping of str to sequence of Audio or AudioFile, optional
        Recordings of sources alone, such as examples: up to three of each tell whether it plays one
        note at a time.
    drum_keys : mapping of str to int or str, optional
        Sources that are drums, with their key, 0 to 127, or the name of a drum in
        `audionmf.notes.drums.DRUMS`. Default: by their names; where these say nothing, kick, snare
        or hi-hat by the sound of each stroke.
    n_threads : int, optional
        Threads, 1 or more; default: one for each core. The result does not depend on it.
    progress : callable, optional
        Told the stage and the share done.

    Returns
    -------
    NoteTable
        In the order of their onsets; levels and velocities are relative to the loudest of all.

    Raises
    ------
    ParameterError
        If a key is none.
    FileNotFoundError, AudioReadError, InvalidAudioError
        If a stem cannot be read.
    """
    from audionmf.notes.hearing import hear  # much, and most separations want no notes

    chosen, report, told = check_keys(drum_keys), heard(progress), alone or {}
    sources = {name: open_source(stem) for name, stem in stems.items()}

    def work(name: str) -> Stem:
        return hear(
            sources[name], drum_key(name, chosen), kit=is_kit(name), alone=told.get(name, ()),
            others=[other for key, other in sources.items() if key != name],
        )  # fmt: skip

    done: dict[str, Stem] = {}
    report("notes", 0.0)
    n_workers = max(1, min(thread_count(n_threads), len(sources), _MOST_THREADS))
    with blas_threads(1), ThreadPoolExecutor(n_workers) as pool:
        for name, stem in zip(sources, pool.map(work, sources), strict=True):
            done[name] = stem
            report("notes", len(done) / len(sources))
    return NoteTable(_on_one_scale(done), tuple(sources))


def _on_one_scale(heard: Mapping[str, Stem]) -> tuple[SourceNote, ...]:
    """Return the notes of all sources, levels and velocities relative to the loudest of all."""
    loudest = max((n.level_db for stem in heard.values() for n in stem.notes), default=0.0)
    return _in_order(
        SourceNote(
            name, -1, n.key, max(0.0, n.onset), n.offset, velocity_of(n.level_db - loudest),
            n.level_db - loudest, stem.drum,
        )
        for name, stem in heard.items()
        for n in stem.notes
    )  # fmt: skip


def notes_of(
    decomposition: Decomposition,
    stems: Mapping[str, Source | StrPath],
    *,
    alone: Alone | None = None,
    drum_keys: Mapping[str, int | str] | None = None,
    progress: Progress | None = None,
) -> NoteTable:
    """Return the notes of a separated recording: those of its score, or those that its stems tell.

    Parameters
    ----------
    decomposition : Decomposition
        With the score, where there is one; then the stems are not read.
    stems, alone, drum_keys, progress
        As in `transcribe_stems`.

    Raises
    ------
    ParameterError, FileNotFoundError, AudioReadError, InvalidAudioError
        As in `transcribe_stems`.
    """
    if decomposition.score is not None:
        return NoteTable(_written(decomposition), tuple(decomposition.source_names))
    n_threads = decomposition.settings.n_threads
    found = transcribe_stems(
        stems, alone=alone, drum_keys=drum_keys, n_threads=n_threads, progress=progress
    )
    lone = {name: ks[0] for name, ks in decomposition.grouping.items() if len(ks) == 1}
    played = tuple(replace(note, component=lone.get(note.source, -1)) for note in found)
    return NoteTable(played, found.sources)


def _written(decomposition: Decomposition) -> tuple[SourceNote, ...]:
    """Return the notes of the score, by the clock of the recording."""
    keys, found = decomposition.keys, []
    for part in decomposition.score.parts if decomposition.score else ():
        mine = decomposition.grouping.get(part.name, ())
        by_key = {keys[k]: k for k in reversed(mine) if k < len(keys)}
        found += [
            SourceNote(
                part.name, by_key.get(n.pitch, -1), n.pitch, max(0.0, n.onset),
                max(0.0, n.offset), n.velocity, level_of(n.velocity), n.drum,
            )
            for n in part.notes
        ]  # fmt: skip
    return _in_order(found)


def activity_of(stems: Mapping[str, Source | StrPath]) -> list[Activity]:
    """Return when each source sounds, in the order of time.

    Parameters
    ----------
    stems : mapping of str to Audio, AudioFile or path
        The sound of each source, read block by block.

    Raises
    ------
    FileNotFoundError, AudioReadError, InvalidAudioError
        If a stem cannot be read.
    """
    found = [event for name, stem in stems.items() for event in sounding(open_source(stem), name)]
    return sorted(found, key=lambda event: (event.begin, event.source))


def check_asked(drum_keys: Mapping[str, int | str] | None, tempo: str | float | None) -> None:
    """Make sure, before anything is computed, that keys of drums and a tempo can be taken.

    Raises
    ------
    ParameterError
        If one is wrong; see `transcribe_stems` and `write_exports`.
    """
    check_keys(drum_keys)
    parse_tempo(tempo)


def tempo_of(mixture: Source, asked: str | float | None) -> Tempo | None:
    """Return the tempo that is asked for; for "auto" the one that is heard, with its changes.

    None where none is asked for, or no beats are heard.

    Raises
    ------
    ParameterError
        If it is neither "auto" nor 20 to 400.

    Warns
    -----
    AudioNMFWarning
        If no beats are heard.
    """
    wanted = parse_tempo(asked)
    if isinstance(wanted, str):
        heard = tempo_of_beats(beats_of(mixture))
        if heard is None:
            text = (
                "no beats were heard: a MIDI file has 120 a minute; say another tempo as a number"
            )
            warnings.warn(AudioNMFWarning(text), stacklevel=3)
        return heard
    return None if wanted is None else Tempo(wanted, ())


def write_exports(
    paths: Mapping[str, Path],
    mixture: Source,
    decomposition: Decomposition,
    stems: Mapping[str, Source | StrPath],
    *,
    alone: Alone | None = None,
    drum_keys: Mapping[str, int | str] | None = None,
    tempo: str | float | None = None,
    progress: Progress | None = None,
) -> NoteTable | None:
    """Write what the sources of a separated recording play, and when they sound.

    Parameters
    ----------
    paths : mapping of str to path
        As `export_paths` gives them.
    mixture : Audio or AudioFile
        The recording.
    decomposition, stems, alone, drum_keys, progress
        As in `notes_of`.
    tempo : "auto", or float 20 to 400, optional
        Beats in a minute of the MIDI file; "auto": as they are heard, with a change where they
        change.

    Returns
    -------
    NoteTable or None
        The notes; None where only events were asked for.

    Raises
    ------
    ParameterError
        If a key or the tempo is wrong.
    OutputError
        If a file cannot be written.
    MissingExtraError
        If a MIDI file is to be written, and pretty_midi is not installed.

    Warns
    -----
    AudioNMFWarning
        If a source has neither a pitch nor strokes.
    """
    notes, events = NoteTable((), ()), list[Activity]()
    if any(what in paths for what in _OF_NOTES):
        notes = notes_of(decomposition, stems, alone=alone, drum_keys=drum_keys, progress=progress)
        warn_of_none(notes, decomposition)
    if any(what not in _OF_NOTES for what in paths):
        events = activity_of(stems)
    heard = tempo_of(mixture, tempo) if "midi" in paths else None
    notes = notes.timed(heard)
    write_files(paths, notes, events)
    return notes if notes.sources else None


def warn_of_none(notes: NoteTable, decomposition: Decomposition | None = None) -> None:
    """Say which sources have no notes; with a score that is the score's own affair."""
    if notes.without and (decomposition is None or decomposition.score is None):
        names = ", ".join(map(repr, notes.without))
        text = f"no notes of {names}: neither a pitch nor strokes were found"
        warnings.warn(AudioNMFWarning(text), stacklevel=3)


def write_files(
    paths: Mapping[str, Path], notes: NoteTable, events: Sequence[Activity] = ()
) -> list[Path]:
    """Write notes and stretches of sound to files that `export_paths` names, each whole or not.

    Raises
    ------
    OutputError
        If a file cannot be written.
    MissingExtraError
        If a MIDI file is to be written, and pretty_midi is not installed.
    """
    writers: dict[str, Callable[[], bytes]] = {
        "midi": lambda: notes_midi(notes, notes.sources, notes.tempo, notes.changes),
        "labels": lambda: notes_labels(notes),
        "csv": lambda: notes_csv(notes),
        "events": lambda: activity_csv(events),
        "event labels": lambda: activity_labels(events),
        "raven": lambda: raven_table(events),
    }
    return [write_bytes(path, writers[what]()) for what, path in paths.items()]


def _in_order(notes: Iterable[SourceNote]) -> tuple[SourceNote, ...]:
    return tuple(sorted(notes, key=lambda note: (note.onset, note.source, note.pitch)))
