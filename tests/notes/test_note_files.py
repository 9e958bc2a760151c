"""Notes and stretches of sound as files, and notes read again."""

import csv

import pytest

from audionmf.errors import MissingExtraError, ParameterError, ScoreError
from audionmf.notes.events import Activity, SourceNote, level_of, velocity_of
from audionmf.notes.files import activity_csv, activity_labels, notes_midi, raven_table, read_notes
from audionmf.notes.table import NoteTable

pretty_midi = pytest.importorskip("pretty_midi")

NOTES = NoteTable(
    (
        SourceNote("flute", 0, 69, 0.5, 1.0, 127, 0.0),
        SourceNote("kick\tdrum", 3, 36, 1.5, 1.6, 64, -11.9, drum=True),
        SourceNote("hat", -1, 46, 1.7, 1.8, 32, -23.9, drum=True),
    ),
    ("flute", "kick\tdrum", "hat", "nothing"),
)
EVENTS = [Activity("wren 1", 0.25, 1.5, 2000.0, 7500.5, -31.25)]


def saved(tmp_path, ending):
    return NOTES.save(tmp_path / "new" / f"notes{ending}")


def test_labels_are_what_audacity_reads(tmp_path):
    assert saved(tmp_path, ".txt").read_text() == (
        "0.500000\t1.000000\tflute A4\n1.500000\t1.600000\tkick drum kick\n"
        "1.700000\t1.800000\that open hi-hat\n"
    )


def test_csv_has_a_row_for_each_note(tmp_path):
    with saved(tmp_path, ".csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert rows[0] == {
        "source": "flute", "component": "0", "pitch": "A4", "midi": "69", "onset_s": "0.5000",
        "offset_s": "1.0000", "velocity": "127", "level_db": "0.0", "drum": "0",
    }  # fmt: skip
    assert rows[1]["source"] == "kick\tdrum"


def test_midi_has_a_track_for_each_source_and_drums_on_their_channel(tmp_path):
    path = saved(tmp_path, ".mid")
    tracks = pretty_midi.PrettyMIDI(str(path)).instruments
    assert [t.name for t in tracks] == ["flute", "kick\tdrum", "hat"]
    assert [t.is_drum for t in tracks] == [False, True, True]
    note = tracks[0].notes[0]
    assert (note.pitch, note.velocity) == (69, 127)
    assert (note.start, note.end) == pytest.approx((0.5, 1.0), abs=1e-3)


@pytest.mark.parametrize("tempo", [60.0, 93.5, 240.0])
def test_the_tempo_changes_the_grid_and_no_seconds(tmp_path, tempo):
    path = tmp_path / "a.mid"
    path.write_bytes(notes_midi(NOTES, NOTES.sources, tempo))
    made = pretty_midi.PrettyMIDI(str(path))
    assert made.get_tempo_changes()[1] == pytest.approx([tempo], rel=1e-4)
    assert made.instruments[0].notes[0].start == pytest.approx(0.5, abs=2e-3)


def test_csv_gives_back_every_note(tmp_path):
    assert NoteTable.read(saved(tmp_path, ".csv")).notes == NOTES.notes


def test_midi_gives_back_names_keys_times_and_velocities(tmp_path):
    again = read_notes(saved(tmp_path, ".mid"))
    told = [(" ".join(n.source.split()), n.pitch, n.velocity, n.drum) for n in NOTES]
    assert [(n.source, n.pitch, n.velocity, n.drum) for n in again] == told
    assert [n.onset for n in again] == pytest.approx([n.onset for n in NOTES], abs=1e-3)
    assert [n.level_db for n in again] == pytest.approx([n.level_db for n in NOTES], abs=0.1)


def test_labels_give_back_sources_keys_and_times(tmp_path):
    again = read_notes(saved(tmp_path, ".txt"))
    assert [(n.source, n.pitch, n.onset, n.offset, n.drum) for n in again] == [
        (n.source.replace("\t", " "), n.pitch, n.onset, n.offset, n.drum) for n in NOTES
    ]


def test_files_are_the_same_each_time(tmp_path):
    for ending in (".mid", ".txt", ".csv"):
        assert saved(tmp_path / "a", ending).read_bytes() == saved(tmp_path, ending).read_bytes()


def test_a_table_tells_of_each_source_and_of_those_without_notes():
    assert NOTES.without == ["nothing"]
    assert [n.pitch for n in NOTES.of("hat")] == [46]
    assert NOTES.of("nothing") == []
    assert (len(NOTES), NOTES[0], list(NOTES)[2]) == (3, NOTES.notes[0], NOTES.notes[2])
    with pytest.raises(ParameterError, match="no source 'piano'"):
        NOTES.of("piano")


@pytest.mark.parametrize("name", ["notes.pdf", "notes"])
def test_other_endings_are_refused(tmp_path, name):
    with pytest.raises(ParameterError, match=r"\.mid, \.txt or \.csv"):
        NOTES.save(tmp_path / name)
    (tmp_path / name).write_text("")
    with pytest.raises(ParameterError, match="notes are read from"):
        read_notes(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", "no labels\n"),
        ("a.txt", "0\t1\tflute H9\n"),
        ("a.csv", "a,b\n1,2\n"),
        ("a.mid", "x"),
    ],
)
def test_what_holds_no_notes_is_refused(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    with pytest.raises(ScoreError):
        read_notes(tmp_path / name)


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pretty_midi", None)
    with pytest.raises(MissingExtraError, match=r"audionmf\[score\]"):
        notes_midi(NOTES, NOTES.sources)


def test_raven_reads_selections():
    header, row = raven_table(EVENTS).decode().splitlines()
    assert dict(zip(header.split("\t"), row.split("\t"), strict=True)) == {
        "Selection": "1", "View": "Spectrogram 1", "Channel": "1", "Begin Time (s)": "0.2500",
        "End Time (s)": "1.5000", "Low Freq (Hz)": "2000.0", "High Freq (Hz)": "7500.5",
        "Source": "wren 1", "Level (dB)": "-31.2",
    }  # fmt: skip


def test_stretches_of_sound_as_labels_and_csv():
    assert activity_labels(EVENTS) == b"0.250000\t1.500000\twren 1\n"
    assert activity_csv(EVENTS).decode().splitlines() == [
        "source,begin_s,end_s,low_hz,high_hz,level_db",
        "wren 1,0.2500,1.5000,2000.0,7500.5,-31.2",
    ]


def test_velocities_and_levels_go_to_and_fro():
    assert velocity_of(0) == 127
    assert velocity_of(-12.04) == pytest.approx(127 / 2, abs=1)
    assert velocity_of(-200) == 1
    assert all(velocity_of(level_of(v)) == v for v in range(1, 128))
