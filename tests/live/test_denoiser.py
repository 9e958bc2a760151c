"""Live: a steady noise is made softer by as much as was asked for, however the signal is cut."""

import io
import sys

import numpy as np
import pytest
import soundfile
from conftest import RATE, TINY, tone

import audionmf
from audionmf.errors import AudioWarning, InvalidAudioError, ParameterError
from audionmf.evaluate.measures import si_sdr
from audionmf.live.denoiser import LiveDenoiser

NOISE = 0.1 * np.random.default_rng(0).standard_normal((3, 2 * RATE)).astype(np.float32)
NOTES = np.where(np.arange(2 * RATE) % 2000 < 1000, tone(440, 2 * RATE), 0).astype(np.float32)[None]
MIXTURE = NOTES + NOISE[:1]


def denoised(signal, pieces=1, **options):
    denoiser = LiveDenoiser(NOISE[2], len(signal), sample_rate=RATE, settings=TINY, **options)
    found = [denoiser.push(piece) for piece in np.array_split(signal, pieces, axis=1)]
    found.append(denoiser.flush())
    return {name: np.concatenate([f[name] for f in found], axis=1) for name in denoiser.names}


def test_notes_come_out_clearer_and_the_sum_stays():
    found = denoised(MIXTURE)
    assert list(found) == ["noise", "clean"]
    np.testing.assert_allclose(sum(found.values()), MIXTURE, atol=1e-6)
    assert si_sdr(NOTES, found["clean"]) > si_sdr(NOTES, MIXTURE) + 6


@pytest.mark.parametrize("reduction", [6, 20])
def test_noise_alone_is_softer_by_no_more_than_the_reduction(reduction):
    clean = denoised(NOISE[1:2], reduction=reduction)["clean"]
    softer = 10 * np.log10((NOISE[1] ** 2).sum() / (clean**2).sum())
    assert reduction / 3 < softer <= reduction + 1e-3


def test_with_0_db_the_signal_stays_as_it_is():
    np.testing.assert_array_equal(denoised(MIXTURE, reduction=0)["clean"], MIXTURE)


def test_it_does_not_matter_how_the_signal_is_cut():
    whole, cut = denoised(MIXTURE, latency=0.02), denoised(MIXTURE, 37, latency=0.02)
    np.testing.assert_array_equal(whole["clean"], cut["clean"])


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ParameterError, match="0 to 100, not 200"):
        LiveDenoiser(NOISE[2], sample_rate=RATE, reduction=200)
    with pytest.warns(AudioWarning), pytest.raises(InvalidAudioError, match="silent"):
        LiveDenoiser(np.zeros(RATE, np.float32), sample_rate=RATE)


@pytest.fixture
def files(tmp_path):
    soundfile.write(tmp_path / "noise.wav", NOISE[2], RATE)
    soundfile.write(tmp_path / "mix.wav", MIXTURE[0], RATE, subtype="FLOAT")
    return tmp_path


def test_at_the_shell_into_files_and_into_a_pipe(run, files, monkeypatch):
    noise = f"{files / 'noise.wav'}@0.5-1.5"
    code, out, err = run("stream", files / "mix.wav", "--noise", noise, "-o", files / "out")
    assert code == 0, err
    assert "clean.wav" in out
    assert "noise.wav" in out
    clean, _ = soundfile.read(files / "out" / "mix" / "clean.wav")
    assert si_sdr(NOTES, clean[None]) > si_sdr(NOTES, MIXTURE) + 6
    held = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(held))
    code, _, err = run("stream", files / "mix.wav", "--noise", noise, "-o", "-")
    assert code == 0, err
    np.testing.assert_array_equal(np.frombuffer(held.getvalue(), "<f4"), clean.astype("<f4"))


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--templates", "x.npz"), "give one of"),
        (("--only", "clean"), "leave out --only"),
        (("--reduction", "200"), "0 to 100, not 200"),
    ],
)
def test_what_does_not_go_together_is_one_line(run, files, arguments, text):
    code, _, err = run("stream", files / "mix.wav", "--noise", files / "noise.wav", *arguments)
    assert (code, err.count("\n")) == (2, 1)
    assert text in err


def test_a_reduction_of_nothing_is_one_line(run, files):
    code, _, err = run("stream", files / "mix.wav", "--templates", "x.npz", "--reduction", "3")
    assert (code, "give the --noise too" in err) == (2, True)
    assert audionmf.LiveDenoiser is LiveDenoiser
