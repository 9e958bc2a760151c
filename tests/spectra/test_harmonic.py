"""Where a harmonic factorisation starts, and what tells drums from notes."""

import numpy as np
import pytest

from audionmf.spectra.harmonic import harmonic_start, pitch_combs, tonal_share
from audionmf.spectra.stft import STFT

RATE = 44100
STFT_ = STFT(4096, 1024)
BIN = RATE / 4096


def spectrogram(samples):
    return np.abs(STFT_.forward(samples[None].astype(np.float32))[0])


def seconds(n):
    return np.arange(int(n * RATE)) / RATE


def note(hertz, length=2.0):
    t = seconds(length)
    return sum(np.sin(2 * np.pi * hertz * h * t) / h for h in range(1, 9))


def strokes(length=2.0):
    rng = np.random.default_rng(0)
    t = seconds(length)
    return rng.normal(size=len(t)) * np.exp(-30 * (t % 0.25))


@pytest.mark.parametrize("key", [40, 57, 69, 81])
def test_a_comb_is_where_the_partials_of_its_note_are_and_nowhere_else(key):
    combs, keys = pitch_combs(STFT_.frequencies(RATE), RATE, BIN)
    hertz = 440 * 2 ** ((key - 69) / 12)
    V = spectrogram(note(hertz)).mean(axis=1)
    shares = (combs > 0).T @ V / V.sum()
    assert shares[keys == key][0] > 0.9
    beside = combs[:, keys == key][round(hertz * 1.5 / BIN)]
    assert beside == 0 or hertz < 6 * BIN  # so low that partials run together


def test_combs_sum_to_one_and_stay_below_half_the_rate():
    for rate in (8000, 44100, 192000):
        stft = STFT(1024, 256)
        combs, keys = pitch_combs(stft.frequencies(rate), rate, rate / 1024)
        np.testing.assert_allclose(combs.sum(axis=0), 1, rtol=1e-5)
        assert combs.shape[1] == len(keys) > 0
        assert (440 * 2 ** ((keys - 69) / 12) < rate / 2 * 1.05).all()


@pytest.mark.parametrize("rate", [2000, 44100])
def test_a_comb_is_the_sum_of_its_partials_one_after_the_other(rate):
    frequencies = np.sort(np.random.default_rng(0).uniform(20, rate / 2, 300))
    combs, keys = pitch_combs(frequencies, rate, rate / 4096)
    for key, comb in zip(keys[::9], combs.T[::9], strict=True):
        expected, places = np.zeros(300), np.sqrt(1 + 1e-4 * np.arange(1, 41) ** 2)
        places *= 440 * 2 ** ((key - 69) / 12) * np.arange(1, 41)
        for partial, place in enumerate(places, 1):
            if place <= min(rate / 2, 12000):
                width = np.maximum(max(rate / 4096, 0.012 * place), np.gradient(frequencies) / 2)
                apart = np.abs(frequencies - place) / width
                expected += partial**-0.6 * np.exp(-0.5 * apart**2) * (apart <= 2.2)
        np.testing.assert_allclose(comb, expected / expected.sum(), rtol=1e-6)


@pytest.mark.parametrize("n_frames", [1, 3, 60])
def test_a_start_has_notes_and_free_components_for_any_length(n_frames):
    V = spectrogram(note(220) + strokes())[:, :n_frames]
    templates, keys = harmonic_start(V, STFT_.frequencies(RATE), RATE, BIN)
    assert templates.shape == (2049, len(keys))
    assert np.isnan(keys).sum() == 8
    assert np.isfinite(templates).all()
    assert (templates[:, np.isnan(keys)] > 0).all()  # they may become anything


def test_silence_has_a_start_too():
    templates, _ = harmonic_start(
        np.zeros((2049, 4), np.float32), STFT_.frequencies(RATE), RATE, BIN
    )
    assert np.isfinite(templates).all()


def test_notes_are_tonal_and_strokes_are_not():
    rate = RATE / 1024
    tonal = tonal_share(spectrogram(note(440)), rate, BIN)
    struck = tonal_share(spectrogram(strokes()), rate, BIN)
    mixed = tonal_share(spectrogram(note(440) + strokes()), rate, BIN)
    assert struck < 0.3 < mixed < tonal
    assert tonal > 0.7
    assert tonal_share(np.zeros((2049, 9), np.float32), rate, BIN) == 0
