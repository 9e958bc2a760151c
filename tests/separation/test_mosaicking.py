"""Mosaics: what a corpus does to a target."""

import numpy as np
import pytest
from conftest import RATE, files_below, sound, steps, tone

import audionmf
from audionmf import InvalidAudioError, LimitError, OutputError, ParameterError, Settings
from audionmf.evaluate.measures import si_sdr
from audionmf.separation import mosaicking
from audionmf.separation.mosaicking import mosaic_file
from audionmf.spectra.stft import STFT

N_FFT = Settings(n_fft=256)


def melody(*keys, length=3000):
    return np.concatenate([tone(440 * 2 ** (key / 12), length) for key in keys])


TARGET = melody(0, 7, 3, 12)
CORPUS = melody(1, 4, 8, 2, 11)


def spectra(samples):
    V = np.abs(STFT(256, 128).forward(np.atleast_2d(samples).astype(np.float32))[0])
    V = V[:, V.sum(axis=0) > 0.1 * V.sum(axis=0).max()]
    return V / np.linalg.norm(V, axis=0)


def distance(samples, corpus):
    """Return the mean distance of frames to the nearest of a corpus, 0 to 1."""
    return float(1 - (spectra(corpus).T @ spectra(samples)).max(axis=0).mean())


def test_a_corpus_that_holds_the_target_gives_it_back():
    corpus = [CORPUS, np.concatenate([np.zeros(256), TARGET])]
    found = audionmf.mosaic(TARGET, corpus, sample_rate=RATE, settings=N_FFT)
    assert si_sdr(TARGET[None], found.samples) > 12


def test_a_mosaic_sounds_more_like_the_corpus_than_the_target_does():
    found = audionmf.mosaic(TARGET, CORPUS, sample_rate=RATE, settings=N_FFT)
    assert found.samples.shape == (1, len(TARGET))
    assert distance(found.samples, CORPUS) < 0.5 * distance(TARGET, CORPUS)


def test_a_long_target_is_retold_as_a_short_one_is(monkeypatch):
    options = {"sample_rate": RATE, "settings": N_FFT, "continuity": 1, "repetition": 1}
    whole = audionmf.mosaic(TARGET, CORPUS, **options).samples
    monkeypatch.setattr(mosaicking, "_STEP", 16)
    assert np.allclose(audionmf.mosaic(TARGET, CORPUS, **options).samples, whole, atol=1e-4)


def test_the_level_follows_the_target():
    one, four = (
        audionmf.mosaic(level * TARGET, CORPUS, sample_rate=RATE, settings=N_FFT).samples
        for level in (0.1, 0.4)
    )
    assert np.allclose(4 * one, four, atol=1e-4)


def test_a_cross_has_the_spectra_of_the_corpus_and_the_channels_of_the_target():
    target = np.stack([TARGET, 0.5 * TARGET])
    settings = Settings(n_fft=256, max_iter=50, n_threads=1)
    found = audionmf.mosaic(target, CORPUS, cross=5, sample_rate=RATE, settings=settings)
    assert found.samples.shape == target.shape
    assert np.allclose(found.samples[1], 0.5 * found.samples[0], atol=1e-5)
    assert distance(found.samples, CORPUS) < distance(TARGET, CORPUS)


def test_a_file_becomes_what_memory_does(tmp_path):
    target = sound(tmp_path / "t.wav", TARGET)
    corpus = sound(tmp_path / "c" / "c.wav", np.stack([CORPUS, 0.3 * CORPUS]), "FLOAT")
    written = mosaic_file(target, tmp_path / "m.wav", [corpus.parent], settings=N_FFT)
    wanted = audionmf.mosaic(target, corpus, settings=N_FFT)
    assert wanted.samples.shape == (2, len(TARGET))
    assert np.allclose(steps(written.path), written.gain * wanted.samples, atol=2**-15)


def test_a_corpus_of_another_rate_is_converted(tmp_path):
    corpus = sound(tmp_path / "c.wav", np.repeat(CORPUS, 2), "FLOAT", rate=2 * RATE)
    found = audionmf.mosaic(TARGET, corpus, sample_rate=RATE, settings=N_FFT)
    assert distance(found.samples, CORPUS) < distance(TARGET, CORPUS)


@pytest.mark.parametrize(
    ("corpus", "options", "error", "text"),
    [
        (CORPUS, {"polyphony": 0}, ParameterError, "polyphony must be a whole number, 1 or more"),
        (CORPUS, {"cross": 0}, ParameterError, "cross must be a whole number, 1 or more"),
        ([CORPUS, np.stack([CORPUS] * 2)], {}, ParameterError, "have 1, 2 channels"),
        (np.zeros(4000), {}, InvalidAudioError, "the corpus is silent"),
        (
            np.zeros(10 * RATE),
            {"settings": Settings(hop_length=2, n_fft=16)},
            LimitError,
            "is 10 s",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(corpus, options, error, text):
    with pytest.raises(error, match=text):
        audionmf.mosaic(TARGET, corpus, sample_rate=RATE, **options)


def test_no_input_is_overwritten(tmp_path):
    target, corpus = sound(tmp_path / "t.wav", TARGET), sound(tmp_path / "c.wav", CORPUS)
    for out, given in ((target, corpus), (corpus, f"{corpus}@0-1"), (corpus, tmp_path)):
        with pytest.raises(OutputError, match="overwrite the input"):
            mosaic_file(target, out, [given])
    assert files_below(tmp_path) == ["c.wav", "t.wav"]
