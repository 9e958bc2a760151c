"""What programs make of Standard MIDI files: wrappers, encodings, channels, drums."""

import struct

import pytest
from scores import band, meta, midi, strokes, track

from audionmf.errors import AudioNMFWarning, ParameterError, ScoreError
from audionmf.sources.score import read_score

TUNE = strokes([(0, 0.4, 60), (0.5, 0.9, 64)])


@pytest.fixture
def read(tmp_path):
    def read(content, **options):
        path = tmp_path / "x.mid"
        path.write_bytes(content)
        return read_score(path, **options)

    return read


def riff(*chunks):
    body = b"RMID"
    for name, content in chunks:
        body += name + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)
    return b"RIFF" + struct.pack("<I", len(body)) + body


INFO = (b"LIST", b"INFOINAM\x06\0\0\0Song\0\0")


@pytest.mark.parametrize("name", ["lead", "leads"])  # one of them has an odd size, which is padded
@pytest.mark.parametrize("place", [0, 1])
def test_the_data_chunk_of_a_riff_is_the_file(read, name, place):
    chunks = [(b"data", midi(track(TUNE, name)))]
    chunks.insert(place, INFO)
    assert read(riff(*chunks)).names == [name]
    assert read(riff(chunks[1 - place])).names == [name]


def test_a_riff_without_data_is_refused(read):
    with pytest.raises(ScoreError, match="no 'data' chunk"):
        read(riff(INFO))


@pytest.mark.parametrize(("frames", "seconds"), [(24, 10), (25, 9.6), (29, 8.008), (30, 8)])
def test_frames_of_video_have_their_exact_rates(read, frames, seconds):
    events = [(24_000, bytes((0x90, 60, 90))), (25_000, bytes((0x80, 60, 0)))]
    content = midi(track(events), division=(256 - frames) << 8 | 100)
    assert read(content).notes[0].onset == pytest.approx(seconds, rel=1e-12)


def test_values_over_127_count_as_127(read):
    volume = [(0, bytes((0xB0, 7, 0xFF)))]
    with pytest.warns(AudioNMFWarning, match="a value over 127"):
        score = read(midi(track(volume + TUNE, "lead")))
    assert [note.pitch for note in score.notes] == [60, 64]


def test_what_one_track_sets_for_a_channel_holds_in_all(read):
    setup = [(0, bytes((0xC0, 40))), (0, bytes((0xC1, 42))), (0, bytes((0xB1, 64, 127)))]
    low = strokes([(0, 0.4, 36)], channel=1)
    score = read(midi(track(setup), track(TUNE), track(low), track(strokes([(1, 2, 50)], 2))))
    assert score.names == ["violin 2", "cello 3", "grand piano 4"]
    assert [part.program for part in score.parts] == [40, 42, 0]
    (held,) = score.parts[1].notes
    assert held.end > held.offset


def test_a_track_that_sets_its_own_program_keeps_it(read):
    first, second = ([(0, bytes((0xC0, program))), *TUNE] for program in (40, 42))
    assert [p.program for p in read(midi(track(first), track(second))).parts] == [40, 42]


def test_a_setup_track_may_name_channels(read):
    setup = [(0, meta(0x20, b"\x00")), (0, meta(0x04, b"solo")), (1, meta(0x20, b"\x01"))]
    setup += [(1, meta(0x03, b"ground"))]
    low = strokes([(0, 0.4, 36)], channel=1)
    assert read(midi(track(setup), track(TUNE), track(low))).names == ["solo", "ground"]


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        ("ピアノ".encode("shift-jis"), "ピアノ"),
        ("低音 bass".encode("shift-jis"), "低音 bass"),
        ("琴".encode("shift-jis"), "琴"),
        ("ピアノ".encode("utf-16"), "ピアノ"),
        ("Piano".encode("utf-16-be"), "Piano"),
        ("Piano".encode("utf-16-le"), "Piano"),
        ("Flöte".encode("latin-1"), "Flöte"),
        ("Trompète".encode("latin-1"), "Trompète"),
        ("Mélodie générale".encode("latin-1"), "Mélodie générale"),
        ("Singer’s".encode("cp1252"), "Singer’s"),
        ("flu\u0302te".encode(), "fl\u00fbte"),
        (b"\x81\xff\x90", "grand piano 1"),
    ],
)
def test_names_are_read_in_the_encodings_that_programs_write(read, raw, name):
    assert read(midi(track([(0, meta(0x03, raw)), *TUNE]))).names == [name]


KIT = [(0, 0.1, 36), (0, 0.1, 42), (0.5, 0.6, 38), (0.6, 0.7, 46), (1, 1.1, 35), (1.5, 1.6, 44)]


def test_drums_alone_are_parted_by_their_names(read):
    score = read(midi(track(strokes(KIT, 9), "Drum Kit"), kind=0))
    assert score.names == ["kick", "snare", "hi-hat"]
    assert [len(part.notes) for part in score.parts] == [2, 1, 3]
    assert all(note.drum for note in score.notes)


def test_drums_of_a_band_stay_together_unless_asked_for(read):
    content = band(piano=[(0, 1, 60)], drums=KIT)
    assert read(content).names == ["piano", "drums"]
    assert read(content, split="key").names == ["piano", "kick", "snare", "hi-hat"]
    with pytest.raises(ParameterError, match="'key'"):
        read(content, split="drum")


def test_a_single_drum_keeps_the_name_of_its_track_and_odd_keys_get_numbers(read):
    assert read(midi(track(strokes([(0, 1, 36)], 9), "foot"))).names == ["foot"]
    score = read(midi(track(strokes([(0, 1, 36), (0, 1, 5)], 9))))
    assert score.names == ["drum 5", "kick"]


def test_a_pitch_that_splits_nothing_is_told(read):
    with pytest.warns(AudioNMFWarning, match="holds drums alone"):
        assert len(read(midi(track(strokes(KIT, 9))), split_at=38).parts) == 3
    with pytest.warns(AudioNMFWarning, match="both sides"):
        read(midi(track(TUNE)), split_at="C8")
