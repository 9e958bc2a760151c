"""Notes of components: found in activations, or handed on from a score, and written to files."""

import csv
import dataclasses

import mir_eval
import numpy as np
import pytest
from conftest import RATE, sound
from scores import band, play

import audionmf
from audionmf.errors import MissingExtraError, OutputError, ParameterError
from audionmf.io.audio import Audio
from audionmf.io.files import make_room
from audionmf.notes.transcription import (
    SourceNote,
    check_exports,
    export_paths,
    transcribe,
    write_notes,
)
from audionmf.rendering.decomposition import Decomposition
from audionmf.sources.score import Score, key_hertz, read_score

pretty_midi = pytest.importorskip("pretty_midi")

KEYS = [60, 64, 67, 72, 67, 64, 60, 62, 65, 69, 74, 69, 65, 62, 60, 60]
MELODY = [(0.2 + 0.4 * i, 0.5 + 0.4 * i, key) for i, key in enumerate(KEYS)]
SECONDS = 7.0


@pytest.fixture(scope="module")
def melody(tmp_path_factory):
    """The score of a melody, and what it sounds like."""
    path = tmp_path_factory.mktemp("melody") / "score.mid"
    path.write_bytes(band(lead=MELODY))
    samples = play(read_score(path), SECONDS, RATE, {"lead": (1, 0.6, 0.4, 0.3, 0.2)})["lead"]
    return path, Audio(samples[None].astype(np.float32), RATE)


@pytest.fixture(scope="module")
def found(melody) -> Decomposition:
    return audionmf.analyse(melody[1], components=True, n_components=12)


def onset_f(notes):
    """Return the F measure of onsets and pitches, with 50 ms and a quarter tone of tolerance."""
    true = np.array([(a, b) for a, b, _ in MELODY])
    pitches = np.array([key_hertz(key) for *_, key in MELODY])
    times = np.array([(n.onset, max(n.offset, n.onset + 0.01)) for n in notes])
    guesses = np.array([key_hertz(n.pitch) for n in notes])
    return mir_eval.transcription.precision_recall_f1_overlap(
        true, pitches, times, guesses, offset_ratio=None
    )[2]


def test_a_melody_is_transcribed(found):
    notes = transcribe(found)
    assert onset_f(notes) >= 0.8
    assert max(n.velocity for n in notes) == 127
    assert all(n.level_db <= 0 and n.offset > n.onset for n in notes)
    assert all(found.templates.labels[n.component] == n.source for n in notes)


def test_a_note_struck_again_is_two_notes(found):
    ends = [n for n in transcribe(found) if n.pitch == 60 and n.onset > 5.5]
    assert len(ends) == 2


def test_scale_does_not_matter(melody, found):
    softer = Audio(melody[1].samples / 64, RATE)
    again = transcribe(audionmf.analyse(softer, components=True, n_components=12))
    assert [(n.pitch, n.velocity) for n in again] == [
        (n.pitch, n.velocity) for n in transcribe(found)
    ]


def test_without_activations_there_are_no_notes(found):
    with pytest.raises(ParameterError, match="activations"):
        transcribe(dataclasses.replace(found, activations=None))


def test_silence_has_no_notes(found):
    silent = dataclasses.replace(found, activations=np.zeros_like(found.activations))
    assert transcribe(silent) == []


def test_with_a_score_its_notes_are_handed_on(melody, run, tmp_path):
    path, audio = melody
    mix, out = sound(tmp_path / "mix.wav", audio.samples), tmp_path / "out"
    code, printed, _ = run(
        "separate", mix, "--midi", path, "--export", "midi,labels,csv", "-o", out
    )
    assert code == 0
    assert all(f"mix/notes.{ending}" in printed for ending in ("mid", "txt", "csv"))
    [again] = read_score(out / "mix" / "notes.mid").parts
    assert again.name == "lead"
    expected = [(a, b, key) for a, b, key in MELODY]
    got = [(n.onset, n.offset, n.pitch) for n in again.notes]
    np.testing.assert_allclose(got, expected, atol=1e-3)
    assert {n.velocity for n in again.notes} == {90}


NOTES = [
    SourceNote("flute", 0, 69, 0.5, 1.0, 127, 0.0),
    SourceNote("kick\tdrum", 3, 36, 1.5, 1.6, 64, -12.0, drum=True),
]


def written(tmp_path, kinds):
    paths = export_paths(tmp_path, "mix", kinds)
    make_room(paths.values())
    return write_notes(NOTES, paths, ["flute", "kick\tdrum", "nothing"])


def test_labels_are_what_audacity_reads(tmp_path):
    [path] = written(tmp_path, ["labels"])
    assert path.read_text() == (
        "0.500000\t1.000000\tflute A4\n1.500000\t1.600000\tkick drum drum 36\n"
    )


def test_csv_has_a_row_for_each_note(tmp_path):
    [path] = written(tmp_path, ["csv"])
    with path.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert rows[0] == {
        "source": "flute", "component": "0", "pitch": "A4", "midi": "69", "onset_s": "0.5000",
        "offset_s": "1.0000", "velocity": "127", "level_db": "0.0",
    }  # fmt: skip
    assert rows[1]["source"] == "kick\tdrum"


def test_midi_has_a_track_for_each_source(tmp_path):
    [path] = written(tmp_path, ["midi"])
    tracks = pretty_midi.PrettyMIDI(str(path)).instruments
    assert [t.name for t in tracks] == ["flute", "kick\tdrum"]  # tracks without notes are not read
    assert [t.is_drum for t in tracks] == [False, True]
    note = tracks[0].notes[0]
    assert (note.pitch, note.velocity) == (69, 127)
    assert (note.start, note.end) == pytest.approx((0.5, 1.0), abs=1e-3)


def test_files_are_the_same_each_time(tmp_path):
    kinds = ["midi", "labels", "csv"]
    first = [path.read_bytes() for path in written(tmp_path / "a", kinds)]
    assert first == [path.read_bytes() for path in written(tmp_path / "b", kinds)]


def test_paths_follow_the_pattern(tmp_path):
    paths = export_paths(tmp_path, "mix", ["csv"], "{source}/{track}.{ext}")
    assert paths == {"csv": tmp_path / "notes" / "mix.csv"}


def test_other_kinds_are_refused():
    with pytest.raises(ParameterError, match="midi, labels, csv"):
        check_exports(["pdf"])


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pretty_midi", None)
    with pytest.raises(MissingExtraError, match=r"audionmf\[score\]"):
        check_exports(["midi"])
    check_exports(["labels", "csv"])


def test_an_input_is_not_overwritten(melody, run, tmp_path):
    path, audio = melody
    mix = sound(tmp_path / "mix.wav", audio.samples)
    score = tmp_path / "out" / "mix" / "notes.mid"
    score.parent.mkdir(parents=True)
    score.write_bytes(path.read_bytes())
    code, _, said = run(
        "separate", mix, "--midi", score, "--export", "midi", "-o", tmp_path / "out"
    )
    assert (code, "overwrite" in said) == (OutputError.exit_code, True)
    assert score.read_bytes() == path.read_bytes()


def test_decompose_exports_what_each_component_plays(melody, run, tmp_path):
    mix = sound(tmp_path / "mix.wav", melody[1].samples)
    code, printed, _ = run(
        "decompose", mix, "--n-components", 12, "--export", "csv,midi", "-o", tmp_path / "out"
    )
    assert code == 0
    assert "mix/notes.csv" in printed
    with (tmp_path / "out" / "mix" / "notes.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert {int(row["midi"]) for row in rows} >= set(KEYS)
    assert all(row["source"] == f"component{int(row['component']):02d}" for row in rows)


def test_a_part_without_notes_is_no_failure(found):
    score = Score((), "")
    assert transcribe(dataclasses.replace(found, score=score)) == []
