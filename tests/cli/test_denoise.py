"""`audionmf denoise` at the shell."""

import json

import numpy as np
import pytest
from conftest import RATE, TINY_OPTIONS, sound, steps, tone

import audionmf


@pytest.fixture
def noisy(tmp_path):
    hiss = 0.05 * np.random.default_rng(0).standard_normal(3 * RATE)
    return sound(
        tmp_path / "noisy.wav", hiss + np.concatenate([np.zeros(RATE), tone(330, 2 * RATE)])
    )


def test_denoise_prints_the_file(run, noisy, tmp_path):
    out = tmp_path / "clean.wav"
    known = ("--noise", "0-0:01", "--reduction", 12, "-o", out, *TINY_OPTIONS)
    assert run("denoise", noisy, *known) == (0, f"{out}\n", "")
    lower = np.std(steps(out)[:, 256:7700]) / np.std(steps(noisy)[:, 256:7700])
    assert lower == pytest.approx(10 ** (-12 / 20), rel=0.02)


def test_denoise_with_a_recording_of_the_noise(run, noisy, tmp_path):
    out = tmp_path / "clean.flac"
    known = ("--noise", f"{noisy}@0-1", "-o", out, "--json", *TINY_OPTIONS)
    code, text, err = run("denoise", noisy, *known)
    assert (code, err) == (0, "")
    assert json.loads(text)["output"] == str(out)
    assert audionmf.AudioFile(out).n_samples == 3 * RATE


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["--noise", "0-99"], 2, "is not inside"),
        (["--noise", "none.wav"], 3, "'none.wav': there is no such file"),
        (["--noise", "0-1", "--reduction", "-1"], 2, "number of dB from 0 to 100"),
        ([], 2, "missing: --noise"),
    ],
)
def test_what_is_wrong_is_one_line(run, noisy, tmp_path, arguments, code, text):
    out = tmp_path / "clean.wav"
    found, _, err = run("denoise", noisy, "-o", out, *arguments)
    assert found == code
    assert text in err
    assert len(err.splitlines()) == 1
    assert not out.exists()


def test_the_help_says_what_is_out_of_scope(run):
    code, text, _ = run("denoise", "--help")
    assert code == 0
    assert "Hum" in text
    assert "clicks" in text
    assert "examples:" in text
