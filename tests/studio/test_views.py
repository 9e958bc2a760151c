"""What the page draws: pictures that show what is there, at every level of detail."""

import itertools

import numpy as np
import pytest
from conftest import RATE, tone, two_notes

from audionmf.analysis.analysing import analyse
from audionmf.io.audio import Audio
from audionmf.spectra.stft import STFT
from audionmf.studio.sample import sample
from audionmf.studio.views import (
    N_ROWS,
    TILE,
    Rows,
    Spectrogram,
    components,
    waveform,
    whole_sources,
)

SMALL = STFT(512, 128)


def silent(stage, done):
    """Report to nobody."""


def row_of(rows, hertz):
    """Return the row that a frequency is on, the highest first."""
    share = np.log(hertz / rows.low) / np.log(rows.high / rows.low)
    return N_ROWS - 1 - int(share * N_ROWS)


@pytest.mark.parametrize("hertz", [80, 440, 1000, 3000])
def test_a_tone_is_drawn_at_its_frequency(hertz):
    seconds = np.arange(RATE) / RATE
    audio = Audio(np.sin(2 * np.pi * hertz * seconds), RATE)
    picture = Spectrogram.of(audio, STFT(2048, 512), silent)
    brightest = int(picture.levels[0][:, 8].argmax())
    assert abs(brightest - row_of(picture.rows, hertz)) <= 4
    assert picture.levels[0].max() == 255
    assert picture.levels[0].shape[0] == N_ROWS


def test_each_level_halves_the_columns_and_keeps_the_peaks():
    audio = Audio(np.random.default_rng(0).normal(0, 0.1, 40 * RATE), RATE)
    told = []
    picture = Spectrogram.of(audio, SMALL, lambda stage, done: told.append(done))
    widths = [level.shape[1] for level in picture.levels]
    assert widths[0] == SMALL.n_frames(40 * RATE)
    assert all(b == -(-a // 2) for a, b in itertools.pairwise(widths))
    assert widths[-1] <= 2 * TILE < widths[-2]
    for fine, coarse in itertools.pairwise(picture.levels):
        assert np.array_equal(fine.max(axis=1), coarse.max(axis=1))
    assert told[-1] == 1
    assert picture.told()["columns"] == widths


def test_tiles_together_are_the_level():
    audio = Audio(np.random.default_rng(0).normal(0, 0.1, 10 * RATE), RATE)
    picture = Spectrogram.of(audio, SMALL, silent)
    count = -(-picture.levels[0].shape[1] // TILE)
    tiles = [np.frombuffer(picture.tile(0, i), np.uint8).reshape(N_ROWS, -1) for i in range(count)]
    assert np.array_equal(np.concatenate(tiles, axis=1), picture.levels[0])
    for level, index in ((0, count), (0, -1), (99, 0), (-1, 0)):
        assert picture.tile(level, index) is None


def test_silence_is_drawn_dark():
    picture = Spectrogram.of(Audio(np.zeros(4000), RATE), SMALL, silent)
    assert not picture.levels[0].any()


def test_a_spectrum_on_rows_keeps_its_largest_value():
    rows = Rows(SMALL, RATE)
    V = np.random.default_rng(0).random((SMALL.n_bins, 5)).astype(np.float32)
    V[200] = 7
    drawn = rows.draw(V)
    assert drawn.shape == (N_ROWS, 5)
    assert (drawn.max(axis=0) == 7).all()
    assert (drawn >= 0).all()


def test_a_waveform_shows_both_ends_of_every_column():
    low, high = waveform(Audio(two_notes(2, 50_000), RATE))
    assert low.shape == high.shape == (8192,)
    assert max(high.max(), -low.min()) == 127
    assert (low <= high).all()
    assert waveform(Audio(np.zeros(10), RATE)).shape == (2, 10)


def test_components_are_told_in_words_and_their_energies_sum_to_one():
    audio = Audio(np.concatenate([tone(220), tone(880)]), RATE)
    found = analyse(audio, components=True, n_components=2, n_fft=1024, max_iter=60)
    told = components(found, Rows(found.templates.stft, RATE))
    assert {item["note"] for item in told} == {"A3", "A5"}
    assert sum(item["energy"] for item in told) == pytest.approx(1)
    late = next(item for item in told if item["note"] == "A5")
    assert 0.4 < late["loudest"] < 0.7


def test_the_sample_is_the_same_each_time_and_not_too_loud():
    one, two = sample(), sample()
    assert np.array_equal(one.samples, two.samples)
    assert 0.2 < np.abs(one.samples).max() < 1
    assert one.duration == 8


def test_what_rises_at_once_and_falls_slowly_is_struck():
    W = np.ones((SMALL.n_bins, 2), np.float32)
    H = np.zeros((2, 40), np.float32)
    H[0, 10:] = 0.8 ** np.arange(30)
    H[1, 10:30] = 1
    told = whole_sources(W, H, ["a", "b"], ["", ""], Rows(SMALL, 8000))
    assert [part["manner"] for part in told] == ["struck", "held"]
    assert told[1]["energy"] == pytest.approx(20 / (20 + H[0].sum()))
