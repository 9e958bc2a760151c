"""The course of a lead: smooth, in its range, silent where nothing leads; found under other sounds."""

import numpy as np

from audionmf.analysis import lead_course as module
from audionmf.analysis.lead_course import (
    SILENT,
    lead_course,
    likelihoods,
    smooth_course,
    strongest_course,
)
from audionmf.analysis.lead_pitches import PITCHES
from audionmf.spectra.bands import Bands
from audionmf.spectra.frames import pooled_magnitude
from audionmf.spectra.stft import STFT

RATE, STFT_ = 16000, STFT(2048, 512)
LEAST, NEVER = -8.0, -50.0


def scores(n_frames, **likely):
    """Return likelihoods; each keyword pNN is frames in which the pitch NN is nearly sure."""
    sung = np.full((n_frames, 200), LEAST)
    for name, (frames, value) in likely.items():
        sung[frames, int(name[1:])] = value
    return sung, np.full(n_frames, NEVER)


def test_the_course_is_smooth_where_a_single_frame_is_not():
    sung, silent = scores(40, p20=(slice(None), -2), p50=(17, 0))
    assert np.all(smooth_course(sung, silent) == 20)
    sung[20:, 20], sung[20:, 50] = LEAST, -0.5
    course = smooth_course(sung, silent)
    assert np.all(course[:20] == 20)
    assert np.all(course[20:] == 50)


def test_a_course_follows_a_glide():
    place = np.round(np.linspace(10, 40, 60)).astype(int)
    sung, silent = scores(60)
    sung[np.arange(60), place] = -0.5
    assert np.array_equal(smooth_course(sung, silent), place)


def test_a_course_rests_where_nothing_is_likely_and_not_for_a_frame():
    sung, silent = scores(60, p30=(slice(None), -0.1))
    silent[20:40], sung[20:40] = -0.01, LEAST
    silent[50], sung[50, 30] = -1, -2
    course = smooth_course(sung, silent)
    assert np.all(course[20:40] == SILENT)
    assert np.all(course[:20] == 30)
    assert np.all(course[40:] == 30)


def test_a_melody_stays_in_its_range():
    sung, silent = scores(100, p150=(slice(None), -0.3))
    sung[40:60, 150], sung[40:60, 54] = -1.5, -0.3  # it goes on, less sure than what plays below
    assert np.all(smooth_course(sung, silent) == 150)


def test_the_strongest_course_stays_in_its_range_and_rests_where_it_is_weak():
    strengths = np.full((100, 200), 0.05)
    strengths[:, 150] = 1
    strengths[40:50, 150], strengths[40:50, 54] = 0.9, 1.5
    strengths[70:80, 150] = 0.2
    course = strongest_course(strengths)
    assert np.all(course[70:80] == SILENT)
    assert np.all(np.delete(course, np.s_[70:80]) == 150)


def test_what_is_not_sure_goes_by_loudness_but_for_rests_that_are(monkeypatch):
    V, frequencies, *_ = sung_over_chords(2)
    by_network = lead_course(V, frequencies)
    monkeypatch.setattr(module, "_UNSURE", 1.0)
    course = lead_course(V, frequencies)
    loudest = strongest_course(module.pitch_strengths(V, frequencies))
    rests = (course == SILENT) & (loudest != SILENT)
    assert not np.array_equal(by_network, course)
    assert np.array_equal(course[~rests], loudest[~rests])
    assert rests.any()
    assert np.all(by_network[rests] == SILENT)


def sung_over_chords(seconds=4):
    """Return bands of a voice with vibrato that rests, over louder held chords; and its pitch."""
    n = seconds * RATE
    time = np.arange(n) / RATE
    steps = np.repeat(np.array([0, 2, 4, -1, 0, 5, 4, 2])[: 2 * seconds], RATE // 2)
    hertz = 330 * 2 ** ((steps + 0.4 * np.sin(2 * np.pi * 5.5 * time)) / 12)
    sounds = (time % 2) < 1.5
    phase = 2 * np.pi * np.cumsum(hertz) / RATE
    partials = np.arange(1, 16)
    envelope = sum(
        np.exp(-(((partials[:, None] * hertz - f) / 250) ** 2)) for f in (700, 1200, 2700)
    )
    voice = ((0.05 / partials[:, None] + envelope) * np.sin(partials[:, None] * phase)).sum(axis=0)
    struck = np.exp(-2 * (time % 1))
    chords = sum(
        struck * np.sin(2 * np.pi * f * k * time + f * k) / k**1.5
        for f in (131.0, 196.0, 262.0, 392.0) for k in range(1, 8)
    )  # fmt: skip
    mixture = voice * sounds / voice.std() + 1.4 * chords / chords.std()
    bands = Bands.of(STFT_, RATE)
    V = bands.pool(pooled_magnitude(STFT_.forward(mixture[None].astype(np.float32))))
    at = np.minimum(np.arange(V.shape[1]) * 512, n - 1)
    return V, bands.frequencies, hertz[at], sounds[at]


def right(course, hertz, sounds):
    found = PITCHES[np.maximum(course, 0)]
    return np.mean((np.abs(12 * np.log2(found / hertz)) < 0.75)[sounds & (course != SILENT)])


def test_a_voice_is_found_under_chords_that_are_louder():
    V, frequencies, hertz, sounds = sung_over_chords()
    course = lead_course(V, frequencies)
    assert np.mean(course[sounds] != SILENT) > 0.7
    assert np.mean(course[~sounds] != SILENT) < 0.4  # by loudness 0.7, and 0.15 of the pitches
    assert right(course, hertz, sounds) > 0.7


def test_the_second_look_matters(monkeypatch):
    """What the lead sounds like elsewhere in the recording moves how likely its pitches are."""
    V, frequencies, *_ = sung_over_chords(2)
    both, _ = likelihoods(V, frequencies)
    monkeypatch.setattr(module, "_mean_over", lambda hidden, weights: np.zeros(hidden.shape[-1]))
    assert np.abs(both - likelihoods(V, frequencies)[0]).max() > 0.1


def test_the_level_changes_nothing():
    V, frequencies, *_ = sung_over_chords(2)
    assert np.array_equal(lead_course(V, frequencies), lead_course(V / 64, frequencies))


def test_silence_has_no_course():
    assert np.all(lead_course(np.zeros((100, 9), np.float32), np.arange(100.0) * 50) == SILENT)
