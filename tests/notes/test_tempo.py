"""Tempo: beats are heard, changes are followed, and no note moves."""

import numpy as np
import pretty_midi
import pytest

from audionmf.errors import AudioNMFWarning, ParameterError
from audionmf.io.audio import Audio
from audionmf.notes.events import SourceNote
from audionmf.notes.table import NoteTable
from audionmf.notes.tempo import beats_of, parse_tempo, tempo_of_beats
from audionmf.notes.transcription import tempo_of
from tests.notes.instruments import RATE, bursts


def stem(samples):
    return Audio(np.asarray(samples, np.float32)[None], RATE)


def even(first, bpm, count):
    return first + np.arange(count) * 60 / bpm


CHANGING = np.concatenate([even(0.7, 100, 20), even(0.7 + 12, 140, 30)])


def written(beats, tmp_path):
    tempo = tempo_of_beats(beats)
    notes = [
        SourceNote("flute", -1, 60 + i % 12, t, t + 0.1, 100, 0.0)
        for i, t in enumerate(np.random.default_rng(0).uniform(0, 2 + beats[-1], 40))
    ]
    table = NoteTable(tuple(notes), ("flute",)).timed(tempo)
    return notes, pretty_midi.PrettyMIDI(str(table.save(tmp_path / "a.mid")))


def test_beats_are_heard_on_time_where_the_tempo_changes():
    struck = np.concatenate([even(0.3, 100, 14), even(0.3 + 8.4, 144, 20)])
    heard = beats_of(stem(bursts(struck, 17.5, RATE, "dark")))
    off = [np.abs(heard - t).min() for t in struck[1:-1]]
    assert np.mean(np.array(off) < 0.05) > 0.9
    tempo = tempo_of_beats(heard)
    assert dict(tempo.changes)[0.0] != tempo.changes[-1][1]
    assert tempo.changes[1][1] == pytest.approx(100, rel=0.03)
    assert tempo.changes[-1][1] == pytest.approx(144, rel=0.03)


def test_silence_has_no_tempo_and_says_so():
    assert not beats_of(stem(np.ones(100))).size
    with pytest.warns(AudioNMFWarning, match="no beats"):
        assert tempo_of(stem(np.zeros(5 * RATE)), "auto") is None


def test_even_beats_are_one_tempo_however_roughly_they_are_heard():
    rough = even(0.5, 93, 60) + np.random.default_rng(1).uniform(-0.012, 0.012, 60)
    tempo = tempo_of_beats(rough)
    assert tempo.bpm == pytest.approx(93, rel=1e-3)
    assert len(tempo.changes) == 2  # up to the first beat, and from there
    assert tempo.changes[1][1] == pytest.approx(93, rel=1e-3)


def test_a_change_of_tempo_is_in_the_file(tmp_path):
    _, made = written(CHANGING, tmp_path)
    seconds, tempos = made.get_tempo_changes()
    assert tempos[1:] == pytest.approx([100, 140], rel=1e-4)
    assert seconds == pytest.approx([0, 0.7, 12.7], abs=1e-3)


@pytest.mark.parametrize("beats", [CHANGING, even(0.05, 22, 9), even(3.1, 240, 50)])
def test_notes_stay_where_they_are_to_the_millisecond(tmp_path, beats):
    notes, made = written(beats, tmp_path)
    again = sorted(n.start for n in made.instruments[0].notes)
    assert again == pytest.approx(sorted(n.onset for n in notes), abs=1e-3)


@pytest.mark.parametrize("beats", [CHANGING, even(0.05, 100, 9), even(3.1, 240, 50)])
def test_the_grid_lies_on_the_beats(tmp_path, beats):
    _, made = written(beats, tmp_path)
    grid = np.array(made.get_beats())
    assert max(np.abs(grid - beat).min() for beat in beats[1:]) < 2e-3


def test_beats_too_few_or_too_slow_are_no_tempo():
    assert tempo_of_beats(np.array([0.0, 1.0])) is None
    assert tempo_of_beats(np.arange(5) * 10.0) is None


@pytest.mark.parametrize("asked", ["fast", 19, 401, "nan", "inf"])
def test_other_tempos_are_refused(asked):
    with pytest.raises(ParameterError, match="20 to 400"):
        parse_tempo(asked)
    assert parse_tempo("120") == 120
