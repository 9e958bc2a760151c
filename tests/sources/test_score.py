"""Scores: what a MIDI file says, whose it is, and where it is in a recording."""

import contextlib
import dataclasses
import time
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scores import band, chunk, meta, midi, number, play, strokes, track

from audionmf.errors import AudioReadError, ParameterError, ScoreError
from audionmf.io.audio import Audio
from audionmf.sources import alignment
from audionmf.sources.alignment import align
from audionmf.sources.score import Alignment, Score, key_hertz, parse_pitch, read_score
from audionmf.spectra.stft import STFT

RATE = 8000


@pytest.fixture
def read(tmp_path):
    def call(content, **options):
        path = tmp_path / "score.mid"
        path.write_bytes(content)
        return read_score(path, **options)

    return call


def test_notes_have_their_times_keys_and_velocities(read):
    [part] = read(
        midi(track(strokes([(0.5, 1.25, 69), (1.0, 1.5, 60)], velocity=77), "oboe"))
    ).parts
    assert part.name == "oboe"
    assert [(n.onset, n.offset, n.pitch, n.velocity) for n in part.notes] == [
        (0.5, 1.25, 69, 77),
        (1.0, 1.5, 60, 77),
    ]


def test_reading_agrees_with_pretty_midi(read, tmp_path):
    pretty_midi = pytest.importorskip("pretty_midi")
    made = pretty_midi.PrettyMIDI(resolution=220, initial_tempo=97)
    rng = np.random.default_rng(1)
    for program in (0, 41):
        instrument = pretty_midi.Instrument(program, name=f"part{program}")
        starts = np.sort(rng.uniform(0, 30, 40))
        for start, key in zip(starts, rng.permutation(40) + 40, strict=True):
            instrument.notes.append(pretty_midi.Note(80, int(key), start, start + 0.4))
        made.instruments.append(instrument)
    made.write(str(tmp_path / "other.mid"))
    found = read((tmp_path / "other.mid").read_bytes())
    theirs = pretty_midi.PrettyMIDI(str(tmp_path / "other.mid"))
    for part, instrument in zip(found.parts, theirs.instruments, strict=True):
        assert (part.name, part.program) == (instrument.name, instrument.program)
        expected = sorted((n.start, n.end, n.pitch) for n in instrument.notes)
        np.testing.assert_allclose(
            [(n.onset, n.offset, n.pitch) for n in part.notes], expected, atol=1e-9
        )


def test_tempo_may_change_in_another_track(read):
    slow = track([(1000, meta(0x51, (1_000_000).to_bytes(3, "big")))])
    [part] = read(midi(slow, track(strokes([(0.5, 1.0, 60), (1.5, 2.0, 60)])))).parts
    assert [(n.onset, n.offset) for n in part.notes] == [(0.5, 1.0), (2.0, 3.0)]


def test_division_may_be_in_frames_a_second(read):
    smpte = (256 - 25) << 8 | 40  # a millisecond a tick
    [part] = read(midi(track(strokes([(0.5, 1.0, 60)])), division=smpte)).parts
    assert (part.notes[0].onset, part.notes[0].offset) == (0.5, 1.0)


def test_running_status_and_note_on_without_velocity_end_notes(read):
    body = (
        number(0) + bytes((0x90, 60, 90)) + number(500) + bytes((60, 0)) + number(0) + b"\xff\x2f\0"
    )
    [part] = read(midi(chunk(b"MTrk", body))).parts
    assert [(n.onset, n.offset) for n in part.notes] == [(0, 0.5)]


def test_pedal_holds_notes_until_it_is_up_or_the_key_is_struck_again(read):
    pedal = [(100, bytes((0xB0, 64, 127))), (2000, bytes((0xB0, 64, 0)))]
    [part] = read(midi(track(strokes([(0, 0.5, 60), (0, 0.5, 64), (1, 1.5, 60)]) + pedal))).parts
    assert [(n.pitch, n.offset, n.end) for n in part.notes] == [
        (60, 0.5, 1.0),
        (64, 0.5, 2.0),
        (60, 1.5, 2.0),
    ]


def test_a_note_that_never_ends_ends_with_its_track(read):
    ons = [(0, bytes((0x90, 60, 90))), (700, bytes((0xB0, 1, 1)))]
    assert read(midi(track(ons))).notes[0].offset == pytest.approx(0.7)


def test_tracks_become_parts_named_like_them_or_their_instrument(read):
    program = [(0, bytes((0xC1, 40)))]
    notes = [(0.0, 1.0, 60)]
    content = midi(
        track([]), track(strokes(notes), "Klavier"), track(program + strokes(notes, 1)),
        track(strokes(notes, 9)), track(strokes(notes, 2), "Klavier"),
    )  # fmt: skip
    assert read(content).names == ["Klavier 1", "violin 3", "drums 4", "Klavier 2"]


def test_numbered_names_are_never_taken_twice(read):
    notes = strokes([(0.0, 1.0, 60)])
    content = midi(*(track(notes, name) for name in ("a", "a 1", "a", "a 1")))
    names = read(content).names
    assert len(set(names)) == 4


def test_channels_become_parts_if_asked_for_or_if_there_is_one_track(read):
    both = strokes([(0.0, 1.0, 60)], 0) + strokes([(1.0, 2.0, 62)], 3)
    assert len(read(midi(track(both, "all"), kind=0)).parts) == 2
    two = midi(track(both, "x"), track(strokes([(0.0, 1.0, 64)], 3), "y"))
    assert read(two).names == ["x", "y"]
    parts = read(two, split="channel").parts
    assert [sorted(n.pitch for n in part.notes) for part in parts] == [[60], [62, 64]]


def test_one_part_splits_into_high_and_low_at_a_pitch(read):
    piano = band(piano=[(0, 1, 48), (0, 1, 60), (1, 2, 72), (1, 2, 59)])
    score = read(piano, split_at="C4")
    assert score.names == ["high", "low"]
    assert [[n.pitch for n in part.notes] for part in score.parts] == [[60, 72], [48, 59]]


def test_several_parts_split_where_they_have_both_sides(read):
    parts = {"piano": [(0, 1, 48), (0, 1, 60)], "flute": [(0, 1, 80)], "drums": [(0, 1, 36)]}
    assert read(band(**parts), split_at=60).names == ["piano high", "piano low", "flute", "drums"]


@pytest.mark.parametrize(
    ("text", "key"),
    [("C4", 60), ("A4", 69), ("f#3", 54), ("Bb2", 46), ("C-1", 0), ("64", 64), (7, 7)],
)
def test_pitches_are_read(text, key):
    assert parse_pitch(text) == key


@pytest.mark.parametrize("text", ["H4", "C", "", "C44", "128", -1, 128, True, "C4 ", 1.5])
def test_other_pitches_are_refused(text):
    with pytest.raises(ParameterError, match="a pitch is written like C4"):
        parse_pitch(text)


GOOD = band(a=[(0.0, 1.0, 60)])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is empty"),
        (b"RIFF1234WAVE", "does not start like one"),
        (GOOD[:20], "cut off"),
        (GOOD[:-5], "cut off"),
        (midi(track([]), kind=2), "format 2"),
        (midi(track([]), division=0), "clock stands still"),
        (midi(chunk(b"MTrk", b"\x00\x40\x40")), "data without a status"),
        (midi(chunk(b"MTrk", b"\xff\xff\xff\xff\xff")), "number that is too long"),
        (midi(track([])), "holds no notes"),
        (midi(), "holds no notes"),
    ],
)
def test_what_is_no_score_is_refused_in_a_line(read, content, reason):
    with pytest.raises(ScoreError, match=reason) as caught:
        read(content)
    assert "score.mid" in str(caught.value)
    assert caught.value.exit_code == 3
    assert "\n" not in str(caught.value)


def test_a_large_file_is_refused_without_reading_it(tmp_path):
    path = tmp_path / "huge.mid"
    with path.open("wb") as stream:
        stream.truncate(1 << 40)
    with pytest.raises(ScoreError, match="larger than 4 MiB"):
        read_score(path)


def test_no_file_and_a_folder_are_told_apart(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_score(tmp_path / "none.mid")
    with pytest.raises(AudioReadError, match="is a folder"):
        read_score(tmp_path)


def test_a_long_number_costs_no_time(read):
    begin = time.perf_counter()
    with pytest.raises(ScoreError):
        read(midi(chunk(b"MTrk", b"\xff" * (1 << 21))))
    assert time.perf_counter() - begin < 2


@pytest.mark.filterwarnings("ignore::audionmf.errors.AudioNMFWarning")
@settings(max_examples=60, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=300), st.binary(max_size=200).map(lambda b: midi(chunk(b"MTrk", b)))
    )
)
def test_any_bytes_are_a_score_or_a_score_error(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("fuzz") / "x.mid"
    path.write_bytes(content)
    try:
        score = read_score(path)
    except ScoreError:
        return
    assert all(n.onset <= n.offset <= n.end and 0 <= n.pitch < 128 for n in score.notes)


@pytest.mark.filterwarnings("ignore::audionmf.errors.AudioNMFWarning")
@settings(max_examples=60, deadline=None)
@given(st.integers(0, len(GOOD) - 1), st.integers(0, 255))
def test_one_wrong_byte_is_a_score_or_a_score_error(tmp_path_factory, place, value):
    path = tmp_path_factory.mktemp("fuzz") / "x.mid"
    path.write_bytes(GOOD[:place] + bytes([value]) + GOOD[place + 1 :])
    with contextlib.suppress(ScoreError):
        assert read_score(path).notes


def test_a_score_survives_plain_values(read):
    score = read(band(a=[(0, 1, 60)], drums=[(0.5, 0.6, 38)])).moved(
        Alignment(0.1, 1.02, ((0, 0.1),))
    )
    assert Score.from_dict(score.to_dict()) == score
    for wrong in ({}, {"parts": 3}, {**score.to_dict(), "parts": [{"name": "a"}]}, None):
        with pytest.raises(ScoreError):
            Score.from_dict(wrong)


def test_notes_outside_the_recording_are_left_out(read):
    score = read(band(a=[(0, 1, 60), (5, 6, 62)], b=[(5, 6, 64)]))
    within = score.within(2.0)
    assert [len(part.notes) for part in within.parts] == [1, 0]
    with pytest.raises(ScoreError, match="none of the notes"):
        score.moved(Alignment(100.0)).within(2.0)


# Alignment


def melody(seed=0, n=40):
    rng, now, notes = np.random.default_rng(seed), 0.3, []
    for key in rng.integers(55, 80, n):
        length = float(rng.choice([0.2, 0.3, 0.45]))
        notes.append((now, now + 0.9 * length, int(key)))
        now += length
    return notes


@pytest.fixture
def performance(read):
    score = read(band(lead=melody(), bass=[(a, b, k - 24) for a, b, k in melody(3)]))
    stems = play(score, 13.0, RATE, {"lead": (1, 0.5, 0.3), "bass": (1, 0.8, 0.4, 0.2)})
    return score, Audio(sum(stems.values())[None].astype(np.float32), RATE)


def error(score, moved, alignment):
    """Return how many seconds the onsets are off, at most."""
    there = np.array([note.onset for note in score.notes])
    onsets = np.array([note.onset for note in moved.notes])
    return np.abs(alignment.times(onsets) - there).max()


def unmoved(score, alignment):
    return dataclasses.replace(score.moved(alignment), alignment=Alignment())


STFT_8K = STFT(1024, 256)


def test_a_score_that_fits_stays_as_it_is(performance):
    score, audio = performance
    assert align(score, audio, STFT_8K) == Alignment()


@pytest.mark.parametrize("change", [(-0.25, 1.0), (3.0, 1.0), (-1.0, 0.85)])
def test_a_score_of_another_clock_is_brought_to_the_recording(performance, change):
    score, audio = performance
    moved = unmoved(score, Alignment(*change))
    found = align(moved, audio, STFT_8K)
    assert error(score, moved, found) < 0.03
    assert "score moved by" in found.to_text()


def test_a_wavering_tempo_is_followed(performance):
    score, audio = performance
    times = [(float(t), 0.15 * np.sin(t / 2)) for t in np.arange(0, 14, 0.5)]
    moved = unmoved(score, Alignment(drift=tuple(times)))
    found = align(moved, audio, STFT_8K)
    there = np.array([note.onset for note in score.notes])
    off = np.abs(found.times(np.array([note.onset for note in moved.notes])) - there)
    assert np.median(off) < 0.03
    assert "wavers" in found.to_text()


def test_silence_leaves_a_score_as_it_is(performance):
    score, _ = performance
    silence = Audio(np.zeros((1, 8 * RATE), np.float32), RATE)
    assert align(score, silence, STFT_8K) == Alignment()


def test_a_score_that_goes_on_after_the_recording_stays_where_it_is(read):
    slow = [(t, t + 0.1, 38) for t in (0.0, 0.6, 1.0, 1.7, 2.0, 2.3, 3.1, 3.6)]
    fast = [(t, t + 0.1, 38) for t in np.arange(4, 10, 0.1)]
    samples, rng = np.zeros(4 * RATE, np.float32), np.random.default_rng(0)
    for onset, _, _ in slow:
        place = round(onset * RATE)
        stroke = rng.standard_normal(1600) * np.exp(-np.arange(1600) / 200)
        samples[place : place + 1600] += 0.2 * stroke[: len(samples) - place]
    score = read(band(drums=[*slow, *fast]))
    assert align(score, Audio(samples[None], RATE), STFT_8K) == Alignment()


@pytest.mark.parametrize(
    ("last", "shift", "stretch", "close"),
    [
        (9.6, -0.0045, 0.99775, True),  # of a short loop, chance: 11 ms either way
        (60.0, 0.0, 0.999, False),  # 30 ms either way
        (9.6, 0.03, 1.0, False),
    ],
)
def test_what_no_note_is_moved_by_enough_to_be_told_is_no_stretch(last, shift, stretch, close):
    fit = SimpleNamespace(onsets=np.linspace(0, last, 50))
    heard = SimpleNamespace(window_seconds=4096 / 44100)
    assert alignment._close(alignment.Alignment(shift, stretch), fit, heard) is close


def test_an_alignment_is_told_in_words():
    assert Alignment().to_text() == "the score fits as it is"
    assert Alignment(0.1, 1.02).to_text() == "score moved by +0.10 s, stretched by 1.020"
    assert Alignment(-0.004, 0.998).to_text() == "score stretched by 0.998"
    assert Alignment(-0.004, 1.0001).to_text() == "the score fits as it is"
    drift = ((0.0, -0.2), (4.0, 0.1))
    assert Alignment(drift=drift).to_text().startswith("score in its place, and followed")


def test_a4_is_440():
    assert key_hertz(69) == 440
