"""Morphs: the ends, what lies between, and the file."""

import numpy as np
import pytest
from conftest import RATE, files_below, sound, steps

import audionmf
from audionmf import OutputError, ParameterError, Settings
from audionmf.separation.morphing import morph_file

N_FFT = Settings(n_fft=512)


def sine(hertz, level=0.3, n_samples=2 * RATE):
    return level * np.sin(2 * np.pi * hertz * np.arange(n_samples) / RATE)


def between(a, b, amount):
    return audionmf.morph(a, b, amount, sample_rate=RATE, settings=N_FFT).samples


def pitch(samples):
    return np.abs(np.fft.rfft(samples * np.hanning(len(samples)), 4 * RATE)).argmax() / 4


def test_amount_0_is_the_first_and_1_the_second_to_the_bit():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 1, 5000)).astype(np.float32)
    assert np.array_equal(between(a, b, 0), a)
    assert np.array_equal(between(a, b, 1), b)


@pytest.mark.parametrize(("amount", "wanted"), [(0.25, 550), (0.5, 660), (0.75, 770)])
def test_a_tone_glides_to_where_the_other_is(amount, wanted):
    found = between(sine(440), sine(880), amount)[0, RATE // 2 : 3 * RATE // 2]
    assert pitch(found) == pytest.approx(wanted, abs=1)
    spectrum = np.abs(np.fft.rfft(found * np.hanning(len(found)))) ** 2
    assert spectrum[wanted - 4 : wanted + 5].sum() > 0.99 * spectrum.sum()


def test_the_level_lies_between():
    found = between(sine(440, 0.1), sine(700, 0.4), 0.5)[0, RATE // 2 : 3 * RATE // 2]
    assert np.std(found) * np.sqrt(2) == pytest.approx(0.25, rel=0.12)


def test_a_pair_of_amounts_glides():
    found = between(sine(400), sine(800), (0, 1))[0]
    for share in (0.25, 0.5, 0.75):
        middle = round(share * len(found))
        assert pitch(found[middle - 512 : middle + 512]) == pytest.approx(400 + 400 * share, abs=12)


def test_a_stroke_stays_sharp():
    a, b = np.zeros((2, RATE))
    a[4000:4400] = np.random.default_rng(0).standard_normal(400)
    b[4000:4400] = np.random.default_rng(1).standard_normal(400)
    power = between(a, b, 0.5)[0] ** 2
    assert power[3900:4500].sum() > 0.7 * power.sum()


def test_the_shorter_is_followed_by_silence_and_mono_goes_to_all_channels():
    a, b = np.stack([sine(440, n_samples=RATE)] * 2), sine(440, n_samples=RATE // 2)
    assert between(a, b, 0.5).shape == (2, RATE)
    assert np.array_equal(between(a, b, 1)[:, RATE // 2 :], np.zeros((2, RATE // 2)))
    late = between(a, b, 0.25)[0, -RATE // 4 :]
    assert np.std(late) == pytest.approx(0.75 * np.std(a[0]), rel=0.01)


def test_a_file_becomes_what_memory_does(tmp_path):
    a, b = sound(tmp_path / "a.wav", sine(440)), sound(tmp_path / "b.wav", sine(880), rate=RATE)
    written = morph_file(f"{a}@0-0.5", f"{b}@0.5-1", tmp_path / "m.flac", 0.5, settings=N_FFT)
    parts = [audionmf.excerpt(a, 0, 0.5), audionmf.excerpt(b, 0.5, 0.5)]
    wanted = audionmf.morph(*parts, settings=N_FFT)
    assert np.allclose(steps(written.path), wanted.samples, atol=2**-15)
    assert audionmf.AudioFile(written.path).subtype == "PCM_16"


@pytest.mark.parametrize(
    ("amount", "options", "text"),
    [
        (1.5, {}, "the amount is a number from 0 to 1"),
        (float("nan"), {}, "the amount is"),
        ((0, 1, 1), {}, "the amount is"),
        (0.5, {"settings": Settings(n_fft=512, hop_length=256)}, "too long for a window"),
    ],
)
def test_what_makes_no_sense_is_refused(amount, options, text):
    with pytest.raises(ParameterError, match=text):
        audionmf.morph(sine(440), sine(880), amount, sample_rate=RATE, **options)


def test_layouts_that_do_not_fit_are_refused():
    with pytest.raises(ParameterError, match="2 and 3 channels"):
        audionmf.morph(np.ones((2, 900)), np.ones((3, 900)), sample_rate=RATE)


def test_no_input_is_overwritten(tmp_path):
    a, b = sound(tmp_path / "a.wav", sine(440)), sound(tmp_path / "b.wav", sine(880))
    for out in (a, b):
        with pytest.raises(OutputError, match="overwrite the input"):
            morph_file(a, f"{b}@0-1", out)
    assert files_below(tmp_path) == ["a.wav", "b.wav"]
