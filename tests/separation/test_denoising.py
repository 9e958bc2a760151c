"""Denoising: how far the noise goes down, and that nothing goes further."""

import numpy as np
import pytest
from conftest import RATE, TINY, files_below, sound, steps, tone

import audionmf
from audionmf import AudioNMFError, InvalidAudioError, OutputError, ParameterError
from audionmf.evaluate.measures import si_sdr
from audionmf.separation.denoising import denoise_file

N_SAMPLES = 3 * RATE
QUICK = {"n_fft": 256, "max_iter": 30, "activation_iter": 20, "n_threads": 1}


def noise(seed=0, n_samples=N_SAMPLES):
    """Return noise that is loudest where notes are not."""
    white = np.random.default_rng(seed).standard_normal(n_samples)
    return 0.05 * np.diff(white, prepend=0)


def notes():
    """Return notes after a second of silence."""
    return np.concatenate([np.zeros(RATE), tone(330, RATE), tone(440, RATE)])


@pytest.fixture
def noisy(tmp_path):
    return sound(tmp_path / "noisy.wav", notes() + noise(), "FLOAT")


def level(samples):
    return 10 * np.log10(np.mean(np.square(samples)))


@pytest.mark.parametrize("reduction", [6, 12, 24])
def test_noise_alone_is_softer_by_the_reduction(noisy, reduction):
    clean = audionmf.denoise(noisy, (0, 1), reduction=reduction, **QUICK)
    alone = slice(256, RATE - 256)
    lower = level(steps(noisy)[:, alone]) - level(clean.samples[:, alone])
    assert lower == pytest.approx(reduction, abs=0.1)


@pytest.mark.parametrize("another", [False, True])
def test_notes_come_out_clearer(noisy, tmp_path, another):
    given = sound(tmp_path / "noise.wav", noise(1), "FLOAT") if another else (0, 1)
    clean = audionmf.denoise(noisy, given, **QUICK)
    before = si_sdr(notes()[None], steps(noisy))
    assert si_sdr(notes()[None], clean.samples) > before + 6


def test_with_0_db_the_recording_stays_as_it_is(noisy):
    clean = audionmf.denoise(noisy, (0, 1), reduction=0, settings=TINY)
    assert np.array_equal(clean.samples, steps(noisy))
    assert (clean.sample_rate, clean.subtype) == (RATE, "FLOAT")


def test_stereo_keeps_its_places(tmp_path):
    both = np.stack([notes(), 0.5 * notes()]) + np.stack([noise(0), noise(1)])
    clean = audionmf.denoise(both, (0, 1), sample_rate=RATE, **QUICK)
    assert si_sdr(np.stack([notes(), 0.5 * notes()]), clean.samples) > 10


def test_a_file_becomes_what_memory_does(noisy, tmp_path):
    out = tmp_path / "out" / "clean.wav"
    other = sound(tmp_path / "noise.wav", noise(1), "FLOAT")
    given = [(0, 1), f"{other}@0-1"]
    written = denoise_file(noisy, out, given, settings=TINY)
    wanted = audionmf.denoise(noisy, [(0, 1), audionmf.excerpt(other, 0, 1)], settings=TINY)
    assert written.gain == 1
    assert np.array_equal(steps(out), wanted.samples)
    part = denoise_file(
        noisy, out, (0, 0.5), start=0.5, duration=1, subtype="PCM_24", settings=TINY
    )
    assert audionmf.AudioFile(part.path).n_samples == RATE
    assert audionmf.AudioFile(part.path).subtype == "PCM_24"


@pytest.mark.parametrize(
    ("given", "options", "text"),
    [
        ((0, 99), {}, "is not inside"),
        ((1, 1), {}, "does not end after it starts"),
        ((0, 0.001), {}, "less than one window"),
        ([], {}, "say where the noise is alone"),
        ((0, 1), {"reduction": -3}, "number of dB from 0 to 100, not -3"),
        ((0, 1), {"reduction": float("nan")}, "number of dB"),
    ],
)
def test_what_makes_no_sense_is_refused(noisy, given, options, text):
    with pytest.raises(ParameterError, match=text):
        audionmf.denoise(noisy, given, settings=TINY, **options)


def test_silence_teaches_no_noise(tmp_path):
    path = sound(tmp_path / "a.wav", notes())
    with pytest.raises(InvalidAudioError, match="nothing can be learnt there"):
        audionmf.denoise(path, (0, 0.9), settings=TINY)


def test_what_is_wrong_is_said_before_anything_is_computed(noisy, tmp_path, monkeypatch):
    monkeypatch.setattr("audionmf.separation.denoising.analyse_account", None)
    with pytest.raises(OutputError, match="overwrite the input"):
        denoise_file(noisy, noisy, (0, 1))
    with pytest.raises(ParameterError, match="change the extension"):
        denoise_file(noisy, tmp_path / "a.txt", (0, 1))
    with pytest.raises(FileNotFoundError):
        denoise_file(noisy, tmp_path / "a.wav", "none.wav")
    assert files_below(tmp_path) == ["noisy.wav"]


def test_nothing_is_left_where_it_fails(noisy, tmp_path, monkeypatch):
    def broken(*_):
        yield np.zeros((1, 100), np.float32)
        raise AudioNMFError("broken")

    monkeypatch.setattr("audionmf.separation.denoising.reduced_blocks", broken)
    with pytest.raises(AudioNMFError, match="broken"):
        denoise_file(noisy, tmp_path / "out" / "a.wav", (0, 1), settings=TINY)
    assert files_below(tmp_path / "out") == []
