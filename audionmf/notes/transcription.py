"""The other way round: what components play becomes notes, as MIDI, as labels for Audacity, as CSV.

A component with a pitch and its activation are a voice: where it rises a note starts, where it has
died away the note ends. With a score nothing need be found out: its notes are handed on, by the clock
of the recording.

References
----------
Transcription by NMF: Smaragdis and Brown, "Non-negative matrix factorization for polyphonic music
transcription", WASPAA 2003.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audionmf.errors import MissingExtraError, ParameterError
from audionmf.io.files import StrPath, write_bytes
from audionmf.rendering.decomposition import Decomposition
from audionmf.rendering.stems import DEFAULT_PATTERN, stem_paths
from audionmf.sources.score import key_hertz
from audionmf.spectra.timbre import note_name, timbre

__all__ = [
    "EXPORTS",
    "NOTES_NAME",
    "SourceNote",
    "check_exports",
    "export_paths",
    "transcribe",
    "write_notes",
]

EXPORTS = {"midi": ".mid", "labels": ".txt", "csv": ".csv"}
"""What notes are exported as, and the ending of each file."""

NOTES_NAME = "notes"
"""Name of the files, without their ending."""

_RISE = 0.5
_FALL = 0.1
_LEAST_SECONDS = 0.06
_OWN_RANGE_DB = 20.0
_RANGE_DB = 40.0
_TICKS_PER_BEAT = 960
_CSV_HEADER = (
    "source", "component", "pitch", "midi", "onset_s", "offset_s", "velocity", "level_db",
)  # fmt: skip


@dataclass(frozen=True)
class SourceNote:
    """A note that a source plays.

    Parameters
    ----------
    source : str
        The source.
    component : int
        The component that plays it, of several the strongest; -1 if none does.
    pitch : int
        MIDI key, 0 to 127.
    onset, offset : float
        In seconds from the start of the recording.
    velocity : int
        1 to 127.
    level_db : float
        The largest activation, relative to the loudest of all notes; 0 or less.
    drum : bool, default False
        Whether the key stands for a drum.
    """

    source: str
    component: int
    pitch: int
    onset: float
    offset: float
    velocity: int
    level_db: float
    drum: bool = False

    @property
    def name(self) -> str:
        """The pitch in letters, or which drum."""
        return f"drum {self.pitch}" if self.drum else note_name(key_hertz(self.pitch))[0]


def check_exports(kinds: Sequence[str]) -> None:
    """Make sure that notes can be exported as these kinds.

    Raises
    ------
    ParameterError
        If one is not among `EXPORTS`.
    MissingExtraError
        If "midi" is, and pretty_midi is not installed.
    """
    for kind in kinds:
        if kind not in EXPORTS:
            raise ParameterError(f"notes are exported as {', '.join(EXPORTS)}, not {kind!r}")
    if "midi" in kinds:
        _pretty_midi()


def export_paths(
    folder: StrPath,
    track: str,
    kinds: Sequence[str],
    pattern: str = DEFAULT_PATTERN,
    extension: str = "wav",
) -> dict[str, Path]:
    """Return where the notes of a track belong: where a stem called "notes" would, by their kind.

    With the default pattern these are ``notes.mid``, ``notes.txt`` and ``notes.csv`` beside the
    stems.

    Parameters
    ----------
    kinds : sequence of str
        Keys of `EXPORTS`.
    folder, track, pattern, extension
        As in `audionmf.rendering.stems.stem_paths`.

    Raises
    ------
    ParameterError
        If a kind, the pattern or the extension is wrong.
    MissingExtraError
        As in `check_exports`.
    """
    check_exports(kinds)
    [path] = stem_paths(folder, track, [NOTES_NAME], pattern, extension).values()
    return {kind: path.with_suffix(EXPORTS[kind]) for kind in dict.fromkeys(kinds)}


def transcribe(
    decomposition: Decomposition, rows: Sequence[NDArray[np.float32]] | None = None
) -> list[SourceNote]:
    """Return the notes of a recording, in the order of their onsets.

    With a score they are its notes, by the clock of the recording. Otherwise those that the
    activations of the components with a pitch tell: a note starts where the activation passes half
    of the peak that follows, and ends where it has fallen to a tenth of it. Notes more than 20 dB
    below the loudest of their key in the source, more than 40 dB below the loudest of all, or
    shorter than 60 ms, are left out.

    Parameters
    ----------
    decomposition : Decomposition
        With activations for every frame, unless they are given.
    rows : sequence of ndarray, shape (n_frames,), optional
        The activations of each component.

    Returns
    -------
    list of SourceNote
        Velocities are those of the score, or else follow the level: 127 at the loudest, and half
        of that 12 dB below.

    Raises
    ------
    ParameterError
        If there are neither a score nor activations.
    """
    found = _written(decomposition) if decomposition.score else _heard(decomposition, rows)
    return sorted(found, key=lambda note: (note.onset, note.source, note.pitch))


def write_notes(
    notes: Sequence[SourceNote], paths: Mapping[str, Path], sources: Sequence[str]
) -> list[Path]:
    """Write notes to files, each whole or not at all.

    Parameters
    ----------
    notes : sequence of SourceNote
        As `transcribe` gives them.
    paths : mapping of str to path
        The file of each kind, as `export_paths` gives them.
    sources : sequence of str
        Names of the sources; each gets a track in the MIDI file.

    Raises
    ------
    OutputError
        If a file cannot be written.
    MissingExtraError
        If a MIDI file is to be written, and pretty_midi is not installed.
    """
    writers = {
        "midi": lambda: _as_midi(notes, sources),
        "labels": lambda: _as_labels(notes),
        "csv": lambda: _as_csv(notes),
    }
    return [write_bytes(path, writers[kind]()) for kind, path in paths.items()]


def _written(decomposition: Decomposition) -> Iterator[SourceNote]:
    score = decomposition.score
    if score is None:
        return
    keys = decomposition.keys
    for part in score.parts:
        mine = decomposition.grouping.get(part.name, ())
        by_key = {keys[k]: k for k in reversed(mine) if k < len(keys)}
        for note in part.notes:
            k = by_key.get(note.pitch, -1)
            yield SourceNote(
                part.name, k, note.pitch, max(0.0, note.onset), max(0.0, note.offset),
                note.velocity, 40 * float(np.log10(note.velocity / 127)), note.drum,
            )  # fmt: skip


def _heard(
    decomposition: Decomposition, rows: Sequence[NDArray[np.float32]] | None
) -> list[SourceNote]:
    H: Any = decomposition.activations if rows is None else rows
    if H is None:
        raise ParameterError("notes need the activations of every frame")
    stft, rate = decomposition.templates.stft, decomposition.templates.sample_rate
    found, seconds = [], stft.hop_length / rate
    for source, group in decomposition.grouping.items():
        for key, members in _pitched(decomposition, group).items():
            W = decomposition.templates.templates[:, members].sum(axis=0, dtype=np.float64)
            total, sums = np.zeros(len(H[members[0]])), []
            for k, weight in zip(members, W, strict=True):
                row = H[k] * weight
                total += row
                sums.append(row.sum())
            strongest = members[int(np.argmax(sums))]
            for onset, offset, level in _events(total, seconds):
                found.append((source, strongest, key, onset, offset, level))
    loudest = max((level for *_, level in found), default=1.0)
    notes = []
    for source, component, key, onset, offset, level in found:
        decibels = 20 * float(np.log10(level / loudest))
        if decibels > -_RANGE_DB:
            velocity = max(1, round(127 * 10 ** (decibels / 40)))
            notes.append(SourceNote(source, component, key, onset, offset, velocity, decibels))
    return notes


def _pitched(decomposition: Decomposition, group: Sequence[int]) -> dict[int, list[int]]:
    """Return the components of a source with a pitch, by their key.

    Where the keys of some of its components are known, the others of the source have none.
    """
    by_key: dict[int, list[int]] = {}
    known = {k: decomposition.keys[k] for k in group} if decomposition.keys else {}
    if not any(key >= 0 for key in known.values()):
        known = {k: _key_heard(decomposition, k) for k in group}
    for k, key in known.items():
        if 0 <= key <= 127:
            by_key.setdefault(key, []).append(k)
    return by_key


def _key_heard(decomposition: Decomposition, component: int) -> int:
    """Return the key that a template sounds like; -1 if it has no pitch."""
    bin_hertz = decomposition.templates.sample_rate / decomposition.templates.stft.n_fft
    pitch = timbre(decomposition.templates.templates[:, component], bin_hertz).pitch
    return -1 if pitch is None else round(69 + 12 * float(np.log2(pitch.hertz / 440)))


def _events(row: NDArray[np.float64], seconds: float) -> Iterator[tuple[float, float, float]]:
    """Yield onset, offset and level of the notes that an activation tells.

    A peak is a note if the activation has been below half of it since the note before.
    """
    from scipy.signal import find_peaks

    padded = np.concatenate([[0], row, [0]])
    peaks, _ = find_peaks(padded, height=padded.max() * 10 ** (-_OWN_RANGE_DB / 20))
    notes: list[Any] = []
    peaks, before = peaks - 1, 0
    for peak in peaks:
        valley = before + int(row[before : peak + 1].argmin())
        if notes and row[valley] > _RISE * min(row[peak], row[notes[-1][1]]):
            if row[peak] > row[notes[-1][1]]:  # still rising: the same note
                notes[-1] = (notes[-1][0], peak)
        elif row[valley] <= _RISE * row[peak]:
            notes.append((valley, peak))
        before = peak
    for i, (valley, peak) in enumerate(notes):
        stop = notes[i + 1][0] if i + 1 < len(notes) else len(row)
        level = float(row[peak])
        fallen = np.flatnonzero(row[peak:stop] < _FALL * level)
        onset = _crossing(row, valley, peak, _RISE * level)
        offset = float(peak + fallen[0] if fallen.size else stop)
        if (offset - onset) * seconds >= _LEAST_SECONDS:
            yield onset * seconds, offset * seconds, level


def _crossing(row: NDArray[np.float64], start: int, peak: int, level: float) -> float:
    """Return where an activation first passes a level on its way to a peak, between frames."""
    above = start + int(np.argmax(row[start : peak + 1] >= level))
    if above == start:
        return float(above)
    low, high = float(row[above - 1]), float(row[above])
    return above - 1 + (level - low) / (high - low)


# ----------------------------------------------------------------------------------------------
# Files
# ----------------------------------------------------------------------------------------------


def _pretty_midi() -> Any:
    try:
        import pretty_midi
    except ImportError as error:
        raise MissingExtraError(
            "MIDI files are written with pretty_midi; install it with: pip install 'audionmf[score]'"
        ) from error
    return pretty_midi


def _as_midi(notes: Sequence[SourceNote], sources: Sequence[str]) -> bytes:
    pretty_midi = _pretty_midi()
    made = pretty_midi.PrettyMIDI(resolution=_TICKS_PER_BEAT)
    for source in sources:
        mine = [note for note in notes if note.source == source]
        drum = bool(mine) and all(note.drum for note in mine)
        name = source.encode("latin-1", "replace").decode("latin-1")
        track = pretty_midi.Instrument(0, is_drum=drum, name=name)
        track.notes = [
            pretty_midi.Note(n.velocity, n.pitch, n.onset, max(n.offset, n.onset + 0.01))
            for n in mine
        ]
        made.instruments.append(track)
    content = io.BytesIO()
    made.write(content)
    return content.getvalue()


def _as_labels(notes: Sequence[SourceNote]) -> bytes:
    lines = [f"{n.onset:.6f}\t{n.offset:.6f}\t{_one_line(n.source)} {n.name}\n" for n in notes]
    return "".join(lines).encode("utf-8", "replace")


def _one_line(name: str) -> str:
    return " ".join(name.split())


def _as_csv(notes: Sequence[SourceNote]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_CSV_HEADER)
    for n in notes:
        writer.writerow(
            (
                n.source, n.component, n.name, n.pitch, f"{n.onset:.4f}", f"{n.offset:.4f}",
                n.velocity, f"{n.level_db:.1f}",
            )
        )  # fmt: skip
    return text.getvalue().encode("utf-8", "replace")
