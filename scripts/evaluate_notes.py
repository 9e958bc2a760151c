#!/usr/bin/env python3
"""Hear the notes of tracks whose true stems are known, and print F measures in per cent.

Each folder in FOLDER that holds mixture.*, stems/NAME.* and examples/NAME.* is a track; score.mid has
its true notes. For each source:

  notes     onsets within 50 ms and pitch within a quarter tone of the score's (mir_eval)
  strokes   those of drums within 50 ms of the score's, or, where there is none, of the onsets that
            librosa hears in the true stem
  sounding  tenths of a second in which it sounds, of the stem by the events that are exported, against
            those in which the true stem is within 30 dB of its own loudness
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import audionmf
from audionmf.evaluate.measures import si_sdr
from audionmf.notes.drums import drum_key, is_kit
from audionmf.notes.events import Activity, SourceNote
from audionmf.notes.transcription import activity_of, transcribe_stems

WAYS = ("examples", "lead", "alone")
COLUMNS = ("notes", "strokes", "sounding")
NEAR_SECONDS, SEGMENT_SECONDS = 0.05, 0.1
TOGETHER_SECONDS = 0.03
QUIET_DB, LOUD_PERCENTILE = -30.0, 98

Stems = dict[str, audionmf.Audio]


def main() -> None:
    """Print a row for each track, and the means."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--way", default="examples", choices=WAYS,
        help="where stems come from: separated by examples, the lead of --lead alone, or the true "
        "stems, each by itself: a lone instrument (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--keep",
        type=Path,
        metavar="FOLDER",
        help="keep separated stems here, and take them from here",
    )
    parser.add_argument("--track", action="append", help="only these tracks")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    options = parser.parse_args()
    warnings.simplefilter("ignore", audionmf.AudioNMFWarning)
    tracks = sorted(path for path in options.folder.iterdir() if (path / "stems").is_dir())
    rows = []
    for track in tracks:
        if not options.track or track.name in options.track:
            rows.append({"track": track.name, **evaluate(track, options.way, options.keep)})
            print(line(rows[-1]), flush=True)
    for column in COLUMNS:
        of_tracks = [np.mean(list(row[column].values())) for row in rows if row[column]]
        sources = [value for row in rows for value in row[column].values()]
        if sources:
            print(
                f"{column}: mean of {len(of_tracks)} tracks {np.mean(of_tracks):.1f}, "
                f"of {len(sources)} sources {np.mean(sources):.1f}"
            )
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


def evaluate(track: Path, way: str, keep: Path | None) -> dict[str, Any]:
    """Return the F measures of the sources of one track."""
    true = {p.stem: audionmf.read(p) for p in sorted((track / "stems").iterdir())}
    stems = true if way == "alone" else separated(track, way, keep)
    if way == "lead":
        lead = stems["lead"]
        name = max(true, key=lambda n: si_sdr(true[n].samples, lead.samples))
        true, stems = {name: true[name]}, {name: lead}
    examples = (
        {}
        if way != "examples"
        else {p.stem: [audionmf.read(p)] for p in sorted((track / "examples").iterdir())}
    )
    groups = [{name: stem} for name, stem in stems.items()] if way == "alone" else [stems]
    notes = [note for group in groups for note in transcribe_stems(group, alone=examples)]
    score = read_score(track)
    found: dict[str, dict[str, float]] = {column: {} for column in COLUMNS}
    for name, stem in true.items():
        heard = [note for note in notes if note.source == name]
        if name in score and not score[name][1]:
            found["notes"][name] = note_f(score[name][0], heard)
        elif drum_key(name) is not None or is_kit(name):
            onsets = apart(score[name][0][:, 0]) if name in score else onsets_of(stem)
            found["strokes"][name] = onset_f(onsets, np.array([note.onset for note in heard]))
        if way != "alone":
            found["sounding"][name] = segment_f(stem, activity_of({name: stems[name]}))
    return found


def separated(track: Path, way: str, keep: Path | None) -> Stems:
    """Return the stems of a track, separated now or taken from where they were kept."""
    home = keep / way / track.parent.name / track.name if keep else None
    if home and home.is_dir():
        return {path.stem: audionmf.read(path) for path in sorted(home.iterdir())}
    examples = {p.stem: str(p) for p in sorted((track / "examples").iterdir())}
    known: dict[str, Any] = {"lead": True} if way == "lead" else {"examples": examples}
    found = audionmf.separate(next(track.glob("mixture.*")), **known)
    if home:
        found.save(home, subtype="FLOAT")
    return {name: audionmf.Audio(x, found.sample_rate) for name, x in found.sources.items()}


def read_score(track: Path) -> dict[str, tuple[NDArray[np.float64], bool]]:
    """Return onset, offset and key of the notes of each source, and whether it is a drum."""
    import pretty_midi

    file = track / "score.mid"
    parts = pretty_midi.PrettyMIDI(str(file)).instruments if file.is_file() else []
    return {
        p.name: (
            np.array([(n.start, n.end, n.pitch) for n in p.notes if n.end > n.start]),
            p.is_drum,
        )
        for p in parts
    }


def note_f(true: NDArray[np.float64], heard: Sequence[SourceNote]) -> float:
    """Return the onset F measure of notes in per cent."""
    import mir_eval

    if not heard:
        return 0.0
    table = np.array([(n.onset, max(n.offset, n.onset + 0.01), n.pitch) for n in heard])
    hertz = [mir_eval.util.midi_to_hz(t[:, 2]) for t in (true, table)]
    scores = mir_eval.transcription.precision_recall_f1_overlap(
        true[:, :2], hertz[0], table[:, :2], hertz[1],
        onset_tolerance=NEAR_SECONDS, offset_ratio=None,
    )  # fmt: skip
    return 100 * float(scores[2])


def onset_f(true: NDArray[np.float64], heard: NDArray[np.float64]) -> float:
    """Return the F measure of strokes in per cent."""
    import mir_eval

    scores = mir_eval.onset.f_measure(np.sort(true), np.sort(heard), window=NEAR_SECONDS)
    return 100 * float(scores[0])


def apart(onsets: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return onsets, those of drums that are struck together as one."""
    ordered = np.sort(onsets)
    return ordered[np.diff(ordered, prepend=-np.inf) > TOGETHER_SECONDS]


def onsets_of(stem: audionmf.Audio) -> NDArray[np.float64]:
    """Return the onsets of a true stem, by another method than the one that is measured."""
    import librosa

    mono = stem.samples.mean(axis=0)
    found = librosa.onset.onset_detect(y=mono, sr=stem.sample_rate, units="time", hop_length=256)
    return np.asarray(found, np.float64)


def segment_f(true: audionmf.Audio, events: Sequence[Activity]) -> float:
    """Return the F measure of the tenths of a second in which a source sounds, in per cent."""
    truth = sounding(true)
    told = np.zeros(len(truth), bool)
    for event in events:
        told[int(event.begin / SEGMENT_SECONDS) : int(np.ceil(event.end / SEGMENT_SECONDS))] = True
    both = 2 * int((truth & told).sum())
    return 100.0 * both / max(1, int(truth.sum()) + int(told.sum()))


def sounding(stem: audionmf.Audio) -> NDArray[np.bool_]:
    """Return in which tenths of a second a true stem is loud enough to be heard."""
    hop = round(SEGMENT_SECONDS * stem.sample_rate)
    power = np.square(stem.samples, dtype=np.float64).mean(axis=0)
    power = np.pad(power, (0, -len(power) % hop)).reshape(-1, hop).mean(axis=1)
    level = 10 * np.log10(power + 1e-12)
    return np.asarray(level > np.percentile(level, LOUD_PERCENTILE) + QUIET_DB)


def line(row: Mapping[str, Any]) -> str:
    """Return a row of the table."""
    told = [
        f"{column} " + ", ".join(f"{name} {value:.0f}" for name, value in row[column].items())
        for column in COLUMNS
        if row[column]
    ]
    return f"{row['track']:28s} " + "; ".join(told)


if __name__ == "__main__":
    main()
