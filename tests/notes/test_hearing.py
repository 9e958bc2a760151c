"""One stem becomes notes or strokes: what is played is found, when, how loud, and nothing else."""

import tracemalloc
from itertools import pairwise

import mir_eval
import numpy as np
import pytest
from instruments import RATE, audio, bursts, harmonic, onset_f

from audionmf.io.audio import Audio
from audionmf.notes import hearing, lines, model, pitched, sound
from audionmf.notes.drums import DRUMS
from audionmf.notes.hearing import hear
from audionmf.notes.model import fit_keys
from audionmf.sources.score import key_hertz

MELODY = [(0.2 + 0.4 * i, 0.58 + 0.4 * i, key) for i, key in enumerate((60, 67, 62, 62))]
MELODY_SECONDS = 2.0
CHORDS = [
    (0.2 + 0.8 * i, 0.9 + 0.8 * i, key)
    for i, chord in enumerate(((48, 64, 67, 71), (50, 65, 69, 72)))
    for key in chord
]
STROKES = [0.2, 0.45, 0.7, 1.2, 1.32, 1.8, 2.3]


def played(stem):
    return [(n.onset, n.offset, n.key) for n in stem.notes]


@pytest.fixture(scope="module")
def melody():
    return audio(harmonic(MELODY, MELODY_SECONDS))


@pytest.fixture(scope="module")
def heard(melody):
    return hear(melody)


@pytest.fixture(scope="module")
def chords():
    return audio(harmonic(CHORDS, 2.0, decay=2))


@pytest.fixture(scope="module")
def heard_chords(chords):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hearing, "pitch_course", None)
        return hear(chords)


def test_a_melody_is_heard_and_a_key_struck_again_is_two_notes(heard):
    assert not heard.drum
    assert onset_f(MELODY, played(heard)) >= 0.9
    assert sum(n.key == 62 for n in heard.notes) == 2


def test_notes_of_a_melody_end_where_they_end(heard):
    assert onset_f(MELODY, played(heard), offset_ratio=0.3) >= 0.8


def test_chords_are_heard_without_asking_pyin(heard_chords):
    assert onset_f(CHORDS, played(heard_chords)) >= 0.85


@pytest.mark.parametrize("kind", ["heard", "heard_chords"])
def test_notes_are_in_order_and_inside(kind, request):
    notes = request.getfixturevalue(kind).notes
    assert notes == sorted(notes)
    assert all(0 <= n.onset < n.offset <= 2.1 and 0 <= n.key <= 127 for n in notes)
    assert all(-60 < n.level_db < 0 for n in notes)


def test_a_softer_stem_has_the_same_notes_that_much_softer(chords, heard_chords):
    softer = hear(Audio(chords.samples / 64, RATE))
    assert played(softer) == played(heard_chords)
    drops = [a.level_db - b.level_db for a, b in zip(heard_chords.notes, softer.notes, strict=True)]
    assert drops == pytest.approx([20 * np.log10(64)] * len(drops), abs=0.1)


def test_a_line_a_chord_and_a_stroke_of_one_loudness_have_one_level(monkeypatch):
    time = np.arange(RATE) / RATE
    sine = 0.5 * np.sin(2 * np.pi * 440 * time)
    x = np.concatenate([np.zeros(RATE // 2), sine, np.zeros(RATE // 2)])
    as_line = hear(audio(x)).notes
    monkeypatch.setattr(hearing, "_is_line", lambda *_: False)
    as_chord = hear(audio(x)).notes
    as_stroke = hear(audio(x), 36).notes
    levels = [max(n.level_db for n in notes) for notes in (as_line, as_chord, as_stroke)]
    assert levels == pytest.approx([20 * np.log10(0.5)] * 3, abs=0.7)


def test_silence_has_no_notes():
    assert hear(audio(np.zeros(RATE))).notes == []
    assert hear(audio(np.zeros(5000)), 36).notes == []


@pytest.mark.parametrize("n_samples", [1, 100, 3000])
def test_a_sound_of_any_length_is_heard(n_samples):
    stem = hear(audio(0.1 * np.sin(np.arange(n_samples))))
    assert all(0 <= n.onset < n.offset for n in stem.notes)


@pytest.mark.parametrize(("colour", "drum"), [("bright", "hi-hat"), ("dark", "kick")])
def test_strokes_are_found_and_told_dark_from_bright(colour, drum):
    stem = hear(audio(bursts(STROKES, 2.8, colour=colour)), kit=True)
    assert stem.drum
    onsets = np.array([n.onset for n in stem.notes])
    assert mir_eval.onset.f_measure(np.array(STROKES), onsets, window=0.05)[0] == 1
    assert {n.key for n in stem.notes} == {DRUMS[drum]}
    assert all(0.03 <= n.offset - n.onset <= 0.1 + 1e-9 for n in stem.notes)


def test_what_has_no_pitch_is_strokes_without_being_told():
    stem = hear(audio(bursts(STROKES, 2.8)))
    assert stem.drum
    assert len(stem.notes) == len(STROKES)


@pytest.mark.parametrize("rate", [8000, 48000])
def test_the_rate_does_not_matter(rate):
    stem = hear(audio(harmonic(MELODY[:2], 1.1, rate=rate), rate))
    assert onset_f(MELODY[:2], played(stem)) == 1


def test_channels_are_averaged(melody, heard):
    both = Audio(np.repeat(melody.samples, 2, axis=0), RATE)
    assert hear(both).notes == heard.notes


def test_pieces_overlap_and_their_cores_are_the_whole(monkeypatch):
    monkeypatch.setattr(sound, "_CORE_SECONDS", 1.0)
    monkeypatch.setattr(sound, "_MARGIN_SECONDS", 0.25)
    rng = np.random.default_rng(0)
    for n_samples in (RATE, round(3.3 * RATE), 3 * RATE + RATE // 4 + 1):
        whole = rng.standard_normal(n_samples)
        pieces = list(sound.pieces_of(audio(whole)))
        assert all(len(p.samples) <= 1.5 * RATE for p in pieces)
        cores = []
        for p in pieces:
            first = 0 if p.first == -np.inf else round(p.first * RATE)
            last = None if p.last == np.inf else round(p.last * RATE)
            cores.append(p.samples[first:last])
        np.testing.assert_allclose(np.concatenate(cores), whole, atol=1e-3)


def test_a_note_that_goes_on_from_piece_to_piece_is_one_note(monkeypatch):
    monkeypatch.setattr(sound, "_CORE_SECONDS", 0.8)
    monkeypatch.setattr(sound, "_MARGIN_SECONDS", 0.3)
    true = [(0.2, 0.5, 60), (0.6, 1.8, 67), (1.9, 2.2, 64)]
    stem = hear(audio(harmonic(true, 2.4, decay=0.1)))
    assert onset_f(true, played(stem), offset_ratio=0.2) == 1
    assert len(stem.notes) == 3


def test_chords_and_strokes_in_pieces_are_those_of_the_whole(chords, heard_chords, monkeypatch):
    drums = audio(bursts(STROKES, 2.8))
    whole = [round(n.onset, 2) for n in hear(drums, 42).notes]
    monkeypatch.setattr(sound, "_CORE_SECONDS", 1.3)
    monkeypatch.setattr(sound, "_MARGIN_SECONDS", 0.4)
    assert [round(n.onset, 2) for n in hear(drums, 42).notes] == pytest.approx(whole, abs=0.02)
    assert onset_f(played(heard_chords), played(hear(chords))) >= 0.85


def test_a_faint_piece_of_a_loud_stem_has_no_notes(monkeypatch):
    monkeypatch.setattr(sound, "_CORE_SECONDS", 1.0)
    monkeypatch.setattr(sound, "_MARGIN_SECONDS", 0.25)
    loud = harmonic([(0.2, 0.8, 60)], 1.0)
    faint = 1e-3 * harmonic([(0.1, 0.4, 67), (0.5, 0.9, 65)], 1.0)
    stem = hear(audio(np.concatenate([loud, faint])))
    assert {n.key for n in stem.notes} == {60}


def test_one_note_at_a_time_is_told_by_the_fit_and_in_doubt_by_pyin():
    assert lines.is_line(0.7)
    assert not lines.is_line(0.4, 1.0)
    assert not lines.is_line(0.55, 0.2)
    assert lines.is_line(0.55, 0.6)


def test_an_example_of_single_notes_that_go_on_makes_a_line(chords, heard_chords):
    blown = audio(harmonic(MELODY, MELODY_SECONDS, decay=0, attack=0.03))
    line = hear(chords, alone=[blown]).notes
    assert all(a.offset <= b.onset + 0.03 for a, b in pairwise(line))
    assert any(a.offset > b.onset + 0.03 for a, b in pairwise(heard_chords.notes))
    silence = audio(np.zeros(RATE))
    assert played(hear(chords, alone=[silence])) == played(heard_chords)


def test_an_example_of_single_notes_that_ring_says_nothing_of_chords(
    chords, heard_chords, melody, heard
):
    assert played(hear(chords, alone=[melody])) == played(heard_chords)
    assert played(hear(melody, alone=[melody])) == played(heard)


@pytest.fixture(scope="module")
def leaky(chords):
    """Chords with what a flute left in them, and the flute."""
    flute = audio(harmonic([(0.5, 0.95, 81), (1.3, 1.8, 83)], 2.0, decay=0, attack=0.05))
    return Audio(chords.samples + np.float32(0.4) * flute.samples, RATE), flute


def test_what_another_stem_left_is_not_heard_as_notes(leaky, heard_chords):
    stem, flute = leaky
    assert {81, 83} <= {n.key for n in hear(stem).notes}
    told = hear(stem, others=[flute])
    assert not {81, 83} & {n.key for n in told.notes}
    assert onset_f(CHORDS, played(told)) >= onset_f(CHORDS, played(heard_chords))


def test_stems_of_another_length_or_rate_are_not_asked(leaky):
    stem, flute = leaky
    shorter, faster = Audio(flute.samples[:, :-1], RATE), Audio(flute.samples, 2 * RATE)
    assert played(hear(stem, others=[shorter, faster])) == played(hear(stem))


def test_other_stems_are_heard_in_step_with_a_stem_in_pieces(leaky, monkeypatch):
    stem, flute = leaky
    monkeypatch.setattr(sound, "_CORE_SECONDS", 0.8)
    monkeypatch.setattr(sound, "_MARGIN_SECONDS", 0.4)
    silence = audio(np.zeros(stem.n_samples))
    assert not {81, 83} & {n.key for n in hear(stem, others=[silence, flute]).notes}


def test_beside_others_all_begin_with_a_stroke_where_most_do():
    sudden, slow = [(0.2, 1.7, 60), (0.2, 1.7, 64)], [(0.4, 1.7, 74)]
    struck, swelling = harmonic(sudden, 1.8), harmonic(slow, 1.8, decay=0, attack=1.0)
    for x, with_others in ((struck + 0.5 * swelling, {60, 64}), (swelling, {74})):
        spectra = sound.spectra_of(x)
        fit = model.fit_keys(spectra)
        silence = np.zeros_like(spectra.V)
        assert 74 in {n.key for n in pitched.chords(spectra, fit)}
        assert {n.key for n in pitched.chords(spectra, fit, 0.0, [silence])} >= with_others
        assert (74 in {n.key for n in pitched.chords(spectra, fit, 0.0, [silence])}) == (
            74 in with_others
        )


def test_memory_does_not_grow_with_the_length(monkeypatch):
    monkeypatch.setattr(sound, "_CORE_SECONDS", 3.0)
    monkeypatch.setattr(sound, "_MARGIN_SECONDS", 1.0)
    block = bursts(STROKES, 3.0, 8000, "dark").astype(np.float32)[None]

    class Long:
        sample_rate = 8000

        def __init__(self, repeats):
            self.repeats = repeats

        def blocks(self):
            return (block for _ in range(self.repeats))

    peaks = []
    for repeats in (3, 3, 11):  # the first loads what is loaded once
        tracemalloc.start()
        try:
            stem = hear(Long(repeats), 36)
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
        assert len(stem.notes) == pytest.approx(repeats * len(STROKES), abs=1)
    assert peaks[2] < peaks[1] + 1e6  # 24 s more are 4 MB as samples


def test_a_struck_note_begins_where_it_is_struck():
    struck = [(0.3 + 0.5 * i, 0.75 + 0.5 * i, key) for i in range(5) for key in (50, 65, 74)]
    found = hear(audio(harmonic(struck, 3, attack=0.03))).notes
    late = [
        min((n.onset - onset for n in found if n.key == key), key=abs) for onset, _, key in struck
    ]
    assert abs(np.median(late)) < 0.009


def test_a_swelling_note_of_a_line_begins_where_it_begins_to_rise():
    swells = np.interp(np.arange(60), [20, 40], [0.1, 1.0])
    assert 21 <= lines._foot(swells, 15, 33, 60) <= 24
    assert lines._foot(swells, 24, 33, 60) >= 24  # not before the note before
    assert lines._foot(swells, 33, 33, 60) == 33
    sudden = np.interp(np.arange(60), [27, 33], [0.1, 1.0])  # as long windows see it
    assert lines._foot(sudden, 15, 31, 60) == 31


def test_bowed_notes_that_swell_while_others_fade_are_heard_in_time():
    keys, time = (48, 52, 55, 50, 53, 48), np.arange(round(3.7 * RATE)) / RATE
    onsets = [0.2 + 0.5 * i for i in range(len(keys))]
    samples = np.zeros(len(time))
    for onset, key in zip(onsets, keys, strict=True):
        bow = np.interp(time, onset + np.array([0, 0.15, 0.5, 0.75]), [0, 1, 1, 0])
        for n in range(1, 7):
            samples += 0.1 * bow * np.sin(2 * np.pi * n * key_hertz(key) * time) / n
    found = hear(audio(samples)).notes
    assert [n.key for n in found] == list(keys)
    # where the new key is as loud as the old one is 0.09 s late
    np.testing.assert_allclose([n.onset for n in found], onsets, atol=0.05)


def test_templates_are_learnt_from_what_sounds_much_and_within_its_partials():
    rng = np.random.default_rng(0)
    comb = np.zeros((60, 2), np.float32)
    comb[[3, 13, 23], 0], comb[[7, 27, 47], 1] = 1 / 3, 1 / 3
    true = comb.copy()
    true[[3, 13, 23], 0], true[[7, 27, 47], 1] = (0.1, 0.2, 0.7), (0.7, 0.2, 0.1)
    H = rng.uniform(0.5, 1.0, (2, 40)).astype(np.float32) * np.float32([[1.0], [0.002]])
    none = pitched._Leak(np.zeros((0, 60, 40), np.float32), np.ones((1, 60), np.float32))
    learnt, activations = pitched._learnt(true @ H, comb, H, none)
    np.testing.assert_allclose(learnt.sum(axis=0), 1, rtol=1e-4)
    assert not learnt[comb == 0].any()
    assert (activations >= 0).all()
    assert np.abs(learnt - true)[:, 0].sum() < 0.2 * np.abs(comb - true)[:, 0].sum()
    assert np.abs(learnt - comb)[:, 1].sum() < 0.1 * np.abs(true - comb)[:, 1].sum()


def test_nothing_in_a_template_is_too_small_to_be_worked_with_fast(melody):
    spectra = sound.spectra_of(np.asarray(melody.samples[0], np.float64))
    W = fit_keys(spectra).W
    assert not ((W > 0) & (W < 1e-21)).any()
    assert (W > 0).any(axis=0).all()
