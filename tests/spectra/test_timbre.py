"""What a spectrum sounds like: pitch within 20 cents, none for noise, brightness, length."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audionmf.spectra import timbre as timbres
from audionmf.spectra.stft import STFT
from audionmf.spectra.timbre import note_name, ring_lengths, timbre

RATE = 44100
SHAPES = {
    "saw": lambda h: 1 / h,
    "pulses": lambda h: h**0.0,
    "odd": lambda h: np.where(h % 2 == 1, 1 / h, 0.02 / h),
    "sine": lambda h: 1.0 * (h == 1),
    "weak fundamental": lambda h: np.where(h == 1, 0.1, 1 / h),
}


def spectrum(x, n_fft):
    V = np.abs(STFT(n_fft, n_fft // 4).forward(x[None].astype(np.float32))[0])
    return V[:, 5:-5].mean(axis=1)


def tone_spectrum(hertz, n_fft, shape="saw", seed=0, rate=RATE):
    rng = np.random.default_rng(seed)
    h = np.arange(1, max(2, min(30, int((rate / 2 - 1) / hertz)) + 1))
    t = np.arange(4 * n_fft) / rate
    phases = 2 * np.pi * (hertz * h[:, None] * t + rng.random((len(h), 1)))
    x = SHAPES[shape](h) @ np.cos(phases) + 1e-3 * rng.standard_normal(len(t))
    return spectrum(x, n_fft)


def cents(found, truth):
    return 1200 * np.log2(found / truth)


@pytest.mark.parametrize("n_fft", [1024, 4096, 8192])
@pytest.mark.parametrize("octave", range(6))
def test_a_note_has_its_pitch_in_every_octave(n_fft, octave):
    hertz = 55.0 * 2**octave * 2 ** (1 / 24)
    if hertz < 4.5 * RATE / n_fft:
        pytest.skip("the partials run together in so short a window")
    found = timbre(tone_spectrum(hertz, n_fft), RATE / n_fft).pitch
    assert abs(cents(found.hertz, hertz)) < 20


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    height=st.floats(0, 1),
    shape=st.sampled_from(sorted(SHAPES)),
    n_fft=st.sampled_from([512, 1024, 2048, 4096, 8192]),
    seed=st.integers(0, 99),
)
def test_any_note_of_any_shape_has_its_pitch(height, shape, n_fft, seed):
    low = max(27.5, 4.5 * RATE / n_fft)
    hertz = low * (4000 / low) ** height
    found = timbre(tone_spectrum(hertz, n_fft, shape, seed), RATE / n_fft).pitch
    assert abs(cents(found.hertz, hertz)) < 20
    assert found.harmonicity > 0.5


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    n_fft=st.sampled_from([256, 1024, 4096]),
    n_frames=st.sampled_from([1, 4, 40]),
    brown=st.booleans(),
    seed=st.integers(0, 999),
)
def test_noise_has_no_pitch(n_fft, n_frames, brown, seed):
    x = np.random.default_rng(seed).standard_normal(n_fft * (n_frames + 10) // 4 + 4 * n_fft)
    V = np.abs(STFT(n_fft, n_fft // 4).forward(np.cumsum(x)[None].astype(np.float32) if brown
                                               else x[None].astype(np.float32))[0])  # fmt: skip
    assert timbre(V[:, 5 : 5 + n_frames].mean(axis=1), RATE / n_fft).pitch is None


@pytest.mark.parametrize("n_bins", [1, 2, 3, 9])
def test_silence_and_the_smallest_spectra_have_no_pitch_and_give_no_warning(n_bins):
    silent = timbre(np.zeros(n_bins, np.float32), 10.0)
    assert (silent.pitch, silent.centroid, silent.bandwidth, silent.flatness) == (None, 0, 0, 0)
    assert timbre(np.ones(n_bins, np.float32), 10.0).pitch is None


@pytest.mark.parametrize("factor", [1e-30, 1e-3, 1e30])
def test_the_scale_does_not_matter_and_the_spectrum_is_not_modified(factor):
    given = (tone_spectrum(440, 2048) * factor).astype(np.float32)
    given.flags.writeable = False
    found, wanted = timbre(given, RATE / 2048), timbre(tone_spectrum(440, 2048), RATE / 2048)
    assert found.pitch.hertz == pytest.approx(wanted.pitch.hertz, rel=1e-6)
    assert found.centroid == pytest.approx(wanted.centroid, rel=1e-5)


@pytest.mark.parametrize(
    ("bin_", "word"),
    [(3, "dark"), (5, "warm"), (20, "clear"), (30, "bright"), (60, "very bright")],
)
def test_brightness_follows_the_centroid(bin_, word):
    line = np.zeros(101)
    line[bin_] = 2
    found = timbre(line, 100.0)
    assert (found.centroid, found.brightness) == (pytest.approx(100 * bin_), word)
    assert found.bandwidth == pytest.approx(0, abs=1e-3)


def test_bandwidth_and_flatness_of_two_lines_and_of_a_flat_spectrum():
    lines = np.zeros(101)
    lines[[40, 60]] = 1
    assert timbre(lines, 100.0).bandwidth == pytest.approx(1000)
    assert timbre(lines, 100.0).flatness < 1e-3
    assert timbre(np.ones(101), 100.0).flatness == pytest.approx(1)


@pytest.mark.parametrize(
    ("hertz", "name", "off"),
    [(440, "A4", 0), (261.6256, "C4", 0), (27.5, "A0", 0), (445, "A4", 19.56), (30, "B0", -49.36)],
)
def test_notes_have_their_names(hertz, name, off):
    assert note_name(hertz) == (name, pytest.approx(off, abs=0.01))


def test_ring_lengths_are_the_runs_weighted_by_their_sums():
    H = np.zeros((4, 20))
    H[0, 2:8] = 1  # one run of 6
    H[1, 0:4], H[1, 10:18] = 1, 1  # runs of 4 and 8, weights 4 and 8
    H[2, 0:10], H[2, 15] = 1, 0.05  # what is below a tenth of the maximum is no run
    assert ring_lengths(H) == pytest.approx([6, (4 * 4 + 8 * 8) / 12, 10, 0])


def test_a_blip_counts_less_than_a_note():
    H = np.zeros((1, 30))
    H[0, 0:10], H[0, 20] = 1, 0.2
    assert 9.5 < ring_lengths(H)[0] < 10


def test_spacings_are_matched_each_by_itself():
    """The true spacing matches best, one that no peak is near not at all, whatever stands beside."""
    places, heights = np.arange(1, 9) * 20.3, 1 / np.arange(1, 9)
    spacings = np.array([20.0, 10.1, 7.0, 300.0])

    def matches(some):
        owners = np.zeros(len(some), int)
        return np.array(timbres._matches(some, owners, places[None], heights[None])[1:])

    refined, fits = together = matches(spacings)
    alone = [matches(spacings[k : k + 1]) for k in range(4)]
    np.testing.assert_allclose(np.concatenate(alone, axis=1), together, rtol=1e-12)
    assert len(fits) == 2  # 7 is no part of 20.3, and 300 is further than all
    assert refined[0] == pytest.approx(20.3)
    assert fits[0] == pytest.approx(1)
    assert fits[1] == pytest.approx(np.sqrt(0.5), rel=0.05)  # every second partial is missing
    assert fits.argmax() == 0


def test_spacings_that_have_become_equal_are_followed_once():
    places, heights = np.arange(1, 9) * 20.0, np.ones(8)
    spacings, owners = np.array([20.1, 10.0, 20.2, 20.3]), np.array([0, 0, 0, 1])
    same = np.stack([places] * 2), np.stack([heights] * 2)
    found, refined, _ = timbres._matches(spacings, owners, *same)
    assert found.tolist() == [0, 0, 1]
    np.testing.assert_allclose(refined, [20, 10, 20])


def test_many_spectra_have_the_pitches_that_each_has():
    n_fft = 1024
    hertz = np.geomspace(200, 2000, 37)
    V = np.stack([tone_spectrum(one, n_fft) for one in hertz], axis=1) * hertz
    V[:, 5] = 0
    V[:, 7] = np.random.default_rng(0).random(len(V))
    V = V.astype(np.float32)
    V.flags.writeable = False
    found = timbres.pitches(V, RATE / n_fft)
    each = [timbre(column, RATE / n_fft).pitch for column in V.T]
    assert [one is None for one in found] == [one is None for one in each]
    assert found[5] is found[7] is None
    heard = [(a.hertz, b.hertz) for a, b in zip(found, each, strict=True) if a and b]
    assert len(heard) == 35
    np.testing.assert_allclose(*zip(*heard, strict=True), rtol=1e-9)
    assert timbres.pitches(V[:, :0], RATE / n_fft) == []
