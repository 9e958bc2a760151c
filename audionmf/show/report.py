"""One page about one recording: hear its stems together, see them, read how far to trust them.

The stems are those of a separation, of a regrouping, or the components of a decomposition.

The page is one file that a browser opens from the disk, without a network: pictures, styles, the
player and, where it is not too long, the audio are inside. Up to 15 minutes of audio, all stems
counted together, are embedded (`embedding`), 15 MB at most. Beyond that the page plays the stem files
themselves, which have to stay where they are.

The pictures need matplotlib; without it the page says so, and has all the rest.
"""

from __future__ import annotations

import os
import urllib.parse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audionmf.errors import AudioReadError
from audionmf.io.audio import AudioFile, Source, open_source
from audionmf.io.files import StrPath, open_ordinary, write_bytes
from audionmf.rendering.decomposition import Decomposition
from audionmf.rendering.stems import DEFAULT_PATTERN, StemFiles, stem_paths
from audionmf.rendering.trust import Trust
from audionmf.spectra.frames import Progress

if TYPE_CHECKING:
    from audionmf.notes.table import NoteTable

__all__ = ["clear_report", "report_path", "write_report"]

_HEAD_BYTES = 1 << 16

_HEARD_SECONDS = 120.0


def report_path(
    folder: StrPath, track: str, pattern: str = DEFAULT_PATTERN, extension: str = "wav"
) -> Path:
    """Return where the report of a track belongs: where a stem called "report" would, as HTML.

    With the default pattern that is ``report.html`` beside the stems.

    Parameters
    ----------
    folder, track, pattern, extension
        As in `audionmf.rendering.stems.stem_paths`.

    Raises
    ------
    ParameterError
        If the pattern or the extension is wrong.
    """
    [path] = stem_paths(folder, track, ["report"], pattern, extension).values()
    return path.with_suffix(".html")


def clear_report(path: StrPath) -> None:
    """Remove the page of an earlier run, which shows stems that are there no more; nothing else."""
    try:
        with open_ordinary(path) as stream:
            head = stream.read(_HEAD_BYTES)
    except (FileNotFoundError, AudioReadError):
        return
    from audionmf.show.webpage import GENERATOR

    if GENERATOR.encode() in head:
        Path(path).unlink()


def write_report(
    path: StrPath,
    mixture: Source | StrPath,
    stems: StemFiles,
    decomposition: Decomposition,
    trust: Trust,
    *,
    manifest: Mapping[str, Any] | None = None,
    command: Sequence[str] = (),
    notes: NoteTable | None = None,
    progress: Progress | None = None,
) -> Path:
    """Write a page about stems that are on the disk, whole or not at all.

    Parameters
    ----------
    path : path
        The page; beside the stems or near them, because it links to their files.
    mixture : Audio, AudioFile or path
        The recording.
    stems : StemFiles
        What was written.
    decomposition : Decomposition
        What the stems were rendered from.
    trust : Trust
        How far to trust each stem.
    manifest : mapping, optional
        Further facts, values that go into JSON, shown as they are.
    command : sequence of str, optional
        The words of a command line that makes the same stems.
    notes : NoteTable, optional
        What the stems play, if it is known. Default: heard from the stems, where all of them
        together are not longer than two minutes, or are those of a score; else the page says how
        to have them.
    progress : callable, optional
        Told the stages ``notes``, where notes are heard, and ``page``, with the share of each that
        is done.

    Returns
    -------
    pathlib.Path
        The page.

    Warns
    -----
    AudioNMFWarning
        If matplotlib is not installed; the page then has no pictures and says so.

    Raises
    ------
    FileNotFoundError, AudioReadError, InvalidAudioError
        If the recording or a stem cannot be read.
    OutputError
        If the page cannot be written.
    """
    # What a page needs is not loaded where there is only one to be cleared away.
    from audionmf import plot
    from audionmf.show.embedding import embedded
    from audionmf.show.pictures import pictures_or_note
    from audionmf.show.rolls import rolls_of
    from audionmf.show.webpage import Page

    path = Path(path)
    source = open_source(mixture)
    stft = decomposition.templates.stft
    files = {name: AudioFile(file) for name, file in stems.paths.items()}
    seen = {name: plot.overview(file, stft) for name, file in files.items()}
    played = _heard(decomposition, files, progress) if notes is None else notes
    rate = source.sample_rate
    seconds = decomposition.mixture.n_samples / rate
    peak = max(each.peak for each in seen.values())
    page = Page(
        title=source.path.stem if source.path else "mixture",
        source=source,
        links={name: _link(file, path.parent) for name, file in stems.paths.items()},
        audio=embedded(list(files.values()), min(1.0, 1 / peak) if peak else 1.0),
        loud=peak > 1,
        lanes=plot.relative_levels(seen),
        gain=stems.gain,
        decomposition=decomposition,
        trust=trust,
        pictures=pictures_or_note(source, seen, decomposition, progress),
        rolls=rolls_of(played, seen, stft, rate, seconds) if played else [],
        silent=_silent(played, list(files)),
        manifest=manifest,
        command=command,
    )
    return write_bytes(path, page.text().encode("utf-8", "replace"))


def _heard(
    decomposition: Decomposition, files: Mapping[str, AudioFile], progress: Progress | None
) -> NoteTable | None:
    """Return the notes of the stems, if hearing them does not take long."""
    seconds = sum(file.n_samples / file.sample_rate for file in files.values())
    if seconds > _HEARD_SECONDS and decomposition.score is None:
        return None
    from audionmf.notes.transcription import notes_of

    return notes_of(decomposition, files, progress=progress)


def _silent(notes: NoteTable | None, names: Sequence[str]) -> str:
    """Say which sources have no roll, and why."""
    if notes is None:
        return (
            "Notes of stems that are longer than two minutes together are here if they are exported: "
            "add --export midi to the command."
        )
    without = [name for name in names if name not in {note.source for note in notes}]
    if not without:
        return ""
    return f"No notes of {', '.join(without)}: neither a pitch nor strokes were found."


def _link(file: Path, folder: Path) -> str:
    relative = os.path.relpath(file, folder)
    return urllib.parse.quote(os.fsencode(relative.replace(os.sep, "/")))
