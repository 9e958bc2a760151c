"""Files explained in words and in JSON."""

import dataclasses
import json
import os
import re

import numpy as np
import pytest
from conftest import RATE, TINY, sound, tone, two_notes

import audionmf
import audionmf.plot
from audionmf.errors import AudioReadError, AudioWarning, InvalidAudioError, TemplateError
from audionmf.show.info import describe, draw, to_text
from audionmf.spectra.stft import STFT


@pytest.fixture
def template_file(tmp_path):
    bank = audionmf.Templates.merge(
        audionmf.learn(tone(hertz), name, 2, sample_rate=RATE, settings=TINY)
        for name, hertz in (("low", 330), ("high", 2000))
    )
    return bank.save(tmp_path / "bank.npz")


@pytest.fixture
def model_file(mixture, tmp_path):
    options = {"settings": TINY, "n_components": 3}
    return audionmf.analyse(mixture, components=True, **options).save(tmp_path / "model.npz")


def test_an_audio_file_in_words(tmp_path):
    samples = np.zeros((2, 8000))
    samples[0, 5] = -0.5
    path = sound(tmp_path / "it's a.wav", samples)
    found = describe(path)
    assert found == {
        "kind": "audio",
        "path": str(path),
        "container": "WAV",
        "subtype": "PCM_16",
        "sample_rate": RATE,
        "n_channels": 2,
        "n_samples": 8000,
        "duration": 1.0,
        "peak": 0.5,
        "rms": pytest.approx(np.sqrt(0.25 / 16000)),
    }
    text = to_text(found)
    for part in (repr(str(path)), "1.00 s", "stereo", "8000 Hz", "PCM_16", "peak -6.0 dBFS"):
        assert part in text


@pytest.mark.parametrize(
    ("n_channels", "word"), [(1, "mono"), (2, "stereo"), (3, "3 channels"), (8, "8 channels")]
)
def test_channels_in_words(tmp_path, n_channels, word):
    assert word in to_text(describe(sound(tmp_path / "a.wav", two_notes(n_channels))))


def test_a_long_and_a_silent_file_in_words(tmp_path):
    text = to_text(describe(sound(tmp_path / "a.wav", np.zeros((1, 75_000)), rate=1000)))
    assert "1 min 15.00 s" in text
    assert "peak silent" in text


def test_the_length_is_what_can_be_read_and_not_what_the_header_says(tmp_path):
    path = sound(tmp_path / "a.wav", two_notes())
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.warns(AudioWarning, match=r"0\.12 s are missing"):
        assert describe(path)["n_samples"] == 3000


def test_a_template_file_in_words(template_file):
    found = describe(template_file)
    assert (found["kind"], found["sample_rate"], found["n_components"]) == ("templates", RATE, 4)
    assert {name: s["n_components"] for name, s in found["sources"].items()} == {
        "low": 2,
        "high": 2,
    }
    assert max(found["sources"]["low"]["centroid_hz"]) < min(
        found["sources"]["high"]["centroid_hz"]
    )
    text = to_text(found)
    for part in ("template file", "4 spectral templates", "n_fft 256", "'low': 2", "'high': 2"):
        assert part in text


def test_a_model_in_words(model_file, mixture):
    found = describe(model_file)
    assert (found["kind"], found["n_components"], found["n_samples"]) == ("model", 3, 4000)
    assert found["mixture"] == str(mixture.resolve())
    assert found["grouping"] == {f"component0{k}": [k] for k in range(3)}
    assert sum(found["energy_share"]) == pytest.approx(1)
    assert len(found["divergence"]) > 1
    text = to_text(found)
    for part in ("is a model", "3 components", "0.50 s", "component   2", "'component02'"):
        assert part in text


def test_a_model_without_activations_and_without_a_fit_in_words(tmp_path, template_file):
    model = audionmf.analyse(two_notes(), sample_rate=RATE, templates=template_file, settings=TINY)
    bare = dataclasses.replace(model, activations=None, divergence=np.empty(0))
    found = describe(bare.save(tmp_path / "m.npz"))
    assert (found["energy_share"], found["mixture"], found["divergence"]) == (None, None, [])
    assert "%" not in to_text(found)


def test_templates_of_nothing_but_zeros_are_described_without_a_warning(tmp_path):
    silent = audionmf.Templates(np.zeros((9, 2)), ("a", "a"), audionmf.STFT(16, 4), RATE)
    assert describe(silent.save(tmp_path / "a.npz"))["sources"]["a"]["centroid_hz"] == [0, 0]


def test_every_description_goes_into_json(template_file, model_file, mixture):
    for path in (template_file, model_file, mixture):
        found = describe(path)
        assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_the_content_counts_and_not_the_name(template_file, mixture, tmp_path):
    assert describe(template_file.rename(tmp_path / "a.wav"))["kind"] == "templates"
    assert describe(mixture.rename(tmp_path / "b.npz"))["kind"] == "audio"


def test_what_is_nothing_of_the_kind_is_refused(tmp_path):
    (tmp_path / "text.wav").write_text("a shopping list")
    with pytest.raises(AudioReadError):
        describe(tmp_path / "text.wav")
    with pytest.raises(AudioReadError):
        describe(tmp_path)
    with pytest.raises(FileNotFoundError):
        describe(tmp_path / "gone")
    with pytest.raises(InvalidAudioError):
        describe(sound(tmp_path / "empty.wav", np.zeros((1, 0))))
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(AudioReadError):
        describe(tmp_path / "pipe")


def test_a_damaged_template_or_model_file_is_said_to_be_one(template_file, model_file):
    for path in (template_file, model_file):
        content = path.read_bytes()
        for cut in (len(content) // 2, len(content) - 5):
            path.write_bytes(content[:cut])
            with pytest.raises(TemplateError, match="damaged"):
                describe(path)


def test_an_archive_of_others_is_refused(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.zeros(3))
    with pytest.raises(TemplateError, match="not made by audionmf"):
        describe(tmp_path / "a.npz")


def band(n_low, n_high, durations=None):
    """Return a bank of notes of 440 Hz and of noise."""
    t = np.arange(8000) / RATE
    note = sum(np.sin(2 * np.pi * 440 * k * t) / k for k in range(1, 6))
    noise = np.random.default_rng(0).standard_normal(8000)
    banks = [
        audionmf.learn(x, name, n, sample_rate=RATE, n_fft=1024)
        for name, x, n in (("note", note, n_low), ("noise", noise, n_high))
    ]
    return dataclasses.replace(audionmf.Templates.merge(banks), durations=durations)


def test_each_template_has_a_line_with_pitch_brightness_and_length(tmp_path):
    found = describe(band(2, 1, (0.5, 0.25, 1.0)).save(tmp_path / "a.npz"))
    first, second = found["sources"]["note"]["templates"]
    assert (first["component"], first["pitch"]["note"], first["duration"]) == (0, "A4", 0.5)
    assert first["pitch"]["hz"] == pytest.approx(440, rel=0.005)
    assert second["component"] == 1
    (noise,) = found["sources"]["noise"]["templates"]
    assert (noise["component"], noise["pitch"], noise["brightness"]) == (2, None, "clear")
    assert noise["flatness"] > 0.6 > first["flatness"]
    text = to_text(found)
    for part in ("template   0  A4", "rings 0.50 s", "template   2  no pitch", "with a pitch, A4"):
        assert part in text
    assert "--all" not in text


def test_a_large_bank_is_summed_up_unless_every_line_is_asked_for(tmp_path):
    found = describe(band(20, 5).save(tmp_path / "a.npz"))
    text = to_text(found)
    assert "with a pitch, A4; " in text
    assert "no pitch; clear" in text
    assert "--all" in text
    assert "template   0" not in text
    assert "rings" not in text
    every = to_text(found, every=True)
    assert sum("    template " in line for line in every.splitlines()) == 25


def test_templates_of_zeros_are_silent_in_words(tmp_path):
    silent = audionmf.Templates(np.zeros((9, 1)), ("a",), audionmf.STFT(16, 4), RATE)
    assert "template   0  silent" in to_text(describe(silent.save(tmp_path / "a.npz")))


def test_several_files_and_every_line_at_the_shell(run, template_file, tmp_path):
    other = band(30, 1).save(tmp_path / "b.npz")
    code, text, _ = run("info", template_file, other)
    assert code == 0
    assert text.count("is a template file") == 2
    assert "template  30" not in text
    assert "template  30" in run("info", other, "--all")[1]


def test_a_picture_of_the_templates(run, tmp_path):
    pytest.importorskip("matplotlib")
    path, out = band(3, 2).save(tmp_path / "a.npz"), tmp_path / "new" / "a.png"
    code, text, err = run("info", path, "--picture", out)
    assert (code, err) == (0, "")
    assert out.read_bytes().startswith(b"\x89PNG")
    assert text.splitlines()[-1] == str(out)
    code, text, _ = run("info", path, "--picture", out, "--json")
    assert json.loads(text)["files"] == [str(out)]


def test_a_picture_that_cannot_be_is_refused(run, tmp_path, mixture, template_file):
    for arguments, code in (
        ((template_file, "--picture", tmp_path / "a.jpg"), 2),
        ((mixture, "--picture", tmp_path / "a.png"), 2),
        ((template_file, mixture, "--picture", tmp_path / "a.png"), 2),
        ((template_file, "--picture", template_file / "a.png"), 4),
    ):
        found, _, err = run("info", *arguments)
        assert found == code
        assert err.count("\n") == 1


def test_patterns_and_context_in_words_and_drawn(tmp_path):
    time = np.arange(RATE) / RATE
    stroke = np.sin(2 * np.pi * 60 * time) * np.exp(-30 * time)
    kick = audionmf.learn(stroke, "kick", sample_rate=RATE, settings=TINY)
    both = audionmf.Templates.merge(
        [kick, audionmf.learn(tone(330), "low", 2, sample_rate=RATE, settings=TINY)]
    )
    path = both.save(tmp_path / "bank.npz")
    found = describe(path)
    assert found["context"] is True
    assert found["patterns"]["n_lags"] == kick.patterns.n_lags
    assert [found["sources"][name]["n_patterns"] for name in ("kick", "low")] == [1, 0]
    text = to_text(found)
    assert re.search(r"patterns  0\.1[89] s from the stroke on", text)
    assert text.count("struck: 1 pattern") == 1
    plain = both.spectra().save(tmp_path / "plain.npz")
    assert "patterns  " not in to_text(describe(plain))
    pictures = [draw(file, file.with_suffix(".png")) for file in (path, plain)]
    heights = [int.from_bytes(picture.read_bytes()[20:24]) for picture in pictures]
    assert heights[0] > heights[1]  # a second picture below the first


def test_patterns_are_drawn_side_by_side():
    W = np.zeros((4, 33, 3), np.float32)
    W[0, 5], W[3, 20] = 1, 0.5
    axes = audionmf.plot.patterns(None, W, STFT(64, 16), RATE, ["kick", "kick", "hat"])
    assert [text.get_text() for text in axes.texts] == ["kick", "hat"]
    assert axes.get_xlim() == (-0.5, 11.5)
    assert len(axes.get_xticks()) == 3
