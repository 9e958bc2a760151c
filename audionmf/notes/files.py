"""Notes and stretches of sound as files: MIDI, labels for Audacity, CSV, selections for Raven.

A file is written whole or not at all. Notes are read again from each of the first three.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from audionmf.errors import MissingExtraError, ParameterError, ScoreError
from audionmf.io.files import StrPath, require_file
from audionmf.notes.drums import key_by_name
from audionmf.notes.events import Activity, SourceNote, level_of
from audionmf.sources.score import parse_pitch, read_score

__all__ = [
    "activity_csv",
    "activity_labels",
    "notes_csv",
    "notes_labels",
    "notes_midi",
    "raven_table",
    "read_notes",
    "require_midi",
]

_TICKS_PER_BEAT = 960
_PLAIN_TEMPO = 120.0
_SHORTEST = 0.01
_LONGEST_TICK = 0.001
_CSV_HEADER = (
    "source", "component", "pitch", "midi", "onset_s", "offset_s", "velocity", "level_db", "drum",
)  # fmt: skip
_ACTIVITY_HEADER = ("source", "begin_s", "end_s", "low_hz", "high_hz", "level_db")
_RAVEN_HEADER = (
    "Selection", "View", "Channel", "Begin Time (s)", "End Time (s)", "Low Freq (Hz)",
    "High Freq (Hz)", "Source", "Level (dB)",
)  # fmt: skip


def require_midi() -> Any:
    """Return pretty_midi.

    Raises
    ------
    MissingExtraError
        If it is not installed.
    """
    try:
        import pretty_midi
    except ImportError as error:
        raise MissingExtraError(
            "MIDI files are written with pretty_midi; install it with: pip install 'audionmf[score]'"
        ) from error
    return pretty_midi


def notes_midi(
    notes: Sequence[SourceNote],
    sources: Iterable[str],
    tempo: float | None = None,
    changes: Sequence[tuple[float, float]] = (),
) -> bytes:
    """Return notes as a Standard MIDI file with a track for each source that has some.

    Parameters
    ----------
    notes : sequence of SourceNote
        Of all sources.
    sources : iterable of str
        The order of the tracks. Drums are on the drum channel.
    tempo : float, optional
        Beats in a minute, for the grid of whatever opens it; seconds stay what they are. Default:
        120.
    changes : sequence of (float, float), optional
        From which second on, the first from 0, there are how many beats in a minute; each change
        comes with a beat. It goes before `tempo`.

    Raises
    ------
    MissingExtraError
        If pretty_midi is not installed.
    """
    pretty_midi = require_midi()
    course = list(changes) or [(0.0, _PLAIN_TEMPO if tempo is None else tempo)]
    made = pretty_midi.PrettyMIDI(resolution=_resolution(course), initial_tempo=course[0][1])
    _follow(made, course)
    for source in sources:
        mine = [note for note in notes if note.source == source]
        name = source.encode("latin-1", "replace").decode("latin-1")
        for drum in sorted({note.drum for note in mine}):
            track = pretty_midi.Instrument(0, is_drum=drum, name=name)
            track.notes = [
                pretty_midi.Note(n.velocity, n.pitch, n.onset, max(n.offset, n.onset + _SHORTEST))
                for n in mine
                if n.drum == drum
            ]
            made.instruments.append(track)
    content = io.BytesIO()
    made.write(content)
    return content.getvalue()


def _resolution(course: Sequence[tuple[float, float]]) -> int:
    """Return how many ticks a beat has, so that no tick is longer than a millisecond."""
    slowest = min(bpm for _, bpm in course)
    doubled = math.ceil(math.log2(max(1.0, 60 / slowest / _TICKS_PER_BEAT / _LONGEST_TICK)))
    return int(_TICKS_PER_BEAT * 2**doubled)


def _follow(made: Any, course: Sequence[tuple[float, float]]) -> None:
    """Set the tempos of a MIDI file, each in whole microseconds a beat, as files hold them.

    pretty_midi has no public way to say more than one; the test of the times holds this one.
    """
    scales, ticks = [], 0
    for i, (second, bpm) in enumerate(course):
        beat = round(6e7 / bpm) / 1e6
        scales.append((ticks, beat / made.resolution))
        if i + 1 < len(course):
            n_beats = max(1, round((course[i + 1][0] - second) / beat))
            ticks += n_beats * made.resolution
    made._tick_scales = scales
    made._update_tick_to_time(ticks)


def notes_labels(notes: Iterable[SourceNote]) -> bytes:
    """Return notes as a label track: onset, offset and "source pitch", with tabs between."""
    return _labels((n.onset, n.offset, f"{_one_line(n.source)} {_plain(n)}") for n in notes)


def _plain(note: SourceNote) -> str:
    return note.name.replace("♯", "#")  # not every program that reads tables takes them for UTF-8


def notes_csv(notes: Iterable[SourceNote]) -> bytes:
    """Return notes as a table with a row each, in UTF-8."""
    return _csv(
        _CSV_HEADER,
        (
            (
                n.source, n.component, _plain(n), n.pitch, f"{n.onset:.4f}", f"{n.offset:.4f}",
                n.velocity, f"{n.level_db:.1f}", int(n.drum),
            )
            for n in notes
        ),
    )  # fmt: skip


def activity_labels(events: Iterable[Activity]) -> bytes:
    """Return stretches of sound as a label track: begin, end and source, with tabs between."""
    return _labels((e.begin, e.end, _one_line(e.source)) for e in events)


def activity_csv(events: Iterable[Activity]) -> bytes:
    """Return stretches of sound as a table with a row each, in UTF-8."""
    return _csv(_ACTIVITY_HEADER, ((e.source, *_numbers(e), f"{e.level_db:.1f}") for e in events))


def raven_table(events: Iterable[Activity]) -> bytes:
    """Return stretches of sound as a selection table of Raven, with tabs between the columns.

    Reference: K. Lisa Yang Center for Conservation Bioacoustics, "Raven Pro user's manual",
    Cornell Lab of Ornithology: selection tables.
    """
    lines = ["\t".join(_RAVEN_HEADER)]
    for i, e in enumerate(events, 1):
        cells = (i, "Spectrogram 1", 1, *_numbers(e), _one_line(e.source), f"{e.level_db:.1f}")
        lines.append("\t".join(map(str, cells)))
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "replace")


def read_notes(path: StrPath) -> list[SourceNote]:
    """Read notes again, in the order of their onsets.

    Parameters
    ----------
    path : path
        A MIDI file, labels or CSV as written here, by the ending: ``.mid``, ``.midi``, ``.txt`` or
        ``.csv``.

    Returns
    -------
    list of SourceNote
        CSV keeps all of a note, MIDI its name, times, key and velocity, labels no velocity: it is
        127 then.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ParameterError
        If its ending is another.
    ScoreError
        If it cannot be read.
    """
    readers: dict[str, Callable[[Path], Iterable[SourceNote]]] = {
        ".mid": _from_midi, ".midi": _from_midi, ".txt": _from_labels, ".csv": _from_csv,
    }  # fmt: skip
    file = require_file(path)
    if file.suffix.lower() not in readers:
        raise ParameterError(f"notes are read from {', '.join(readers)}, not {file.name!r}")
    try:
        found = list(readers[file.suffix.lower()](file))
    except (ValueError, KeyError, TypeError) as error:
        raise ScoreError(f"{str(path)!r} holds no notes that can be read: {error}") from error
    return sorted(found, key=lambda note: (note.onset, note.source, note.pitch))


def _from_midi(path: Path) -> Iterable[SourceNote]:
    for part in read_score(path).parts:
        for n in part.notes:
            level = level_of(n.velocity)
            yield SourceNote(part.name, -1, n.pitch, n.onset, n.offset, n.velocity, level, n.drum)


def _from_labels(path: Path) -> Iterable[SourceNote]:
    for line in path.read_text("utf-8-sig").splitlines():
        if not line.strip() or line.startswith("\\"):
            continue
        onset, offset, text = line.split("\t", 2)
        source, key, drum = _parse_label(text)
        yield SourceNote(source, -1, key, float(onset), float(offset), 127, 0.0, drum)


def _parse_label(text: str) -> tuple[str, int, bool]:
    """Return source, key and whether it is a drum; the name of a drum may have several words."""
    words = text.split(" ")
    for i in range(1, len(words)):
        key = key_by_name(" ".join(words[i:]))
        if key is not None:
            return " ".join(words[:i]), key, True
    return " ".join(words[:-1]), parse_pitch(words[-1]), False


def _from_csv(path: Path) -> Iterable[SourceNote]:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        for row in csv.DictReader(stream):
            yield SourceNote(
                row["source"], int(row["component"]), int(row["midi"]), float(row["onset_s"]),
                float(row["offset_s"]), int(row["velocity"]), float(row["level_db"]),
                row.get("drum") == "1",
            )  # fmt: skip


def _labels(rows: Iterable[tuple[float, float, str]]) -> bytes:
    lines = (f"{begin:.6f}\t{end:.6f}\t{text}\n" for begin, end, text in rows)
    return "".join(lines).encode("utf-8", "replace")


def _csv(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue().encode("utf-8", "replace")


def _numbers(event: Activity) -> tuple[str, str, str, str]:
    return (
        f"{event.begin:.4f}", f"{event.end:.4f}", f"{event.low:.1f}", f"{event.high:.1f}",
    )  # fmt: skip


def _one_line(name: str) -> str:
    return " ".join(name.split())
