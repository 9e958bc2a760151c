"""Banks that hold patterns of struck sounds and the context of frames."""

import dataclasses

import numpy as np
import pytest

import audionmf
from audionmf import TemplateError, Templates
from audionmf.io.archive import read_archive, write_archive
from audionmf.sources.struck import Patterns, on_bins
from audionmf.sources.templates import TEMPLATES_KIND
from audionmf.spectra.bands import Bands
from audionmf.spectra.neighbours import Neighbours
from audionmf.spectra.stft import STFT

RATE = 8000
SHORT, LONG = STFT(128, 32), STFT(256, 64)


def patterns(*labels, stft=SHORT, n_lags=5, rate=RATE):
    W = np.random.default_rng(3).random((n_lags, stft.n_bins, len(labels)), np.float32)
    return Patterns(W / W.sum(axis=(0, 1)), labels, stft, rate)


def bank(*labels, struck=None, context=True):
    rng = np.random.default_rng(1)
    shape = (Neighbours.of(LONG, RATE).n_rows, len(labels))
    return Templates(
        rng.random((LONG.n_bins, len(labels)), np.float32),
        labels,
        LONG,
        RATE,
        None,
        rng.random(shape, np.float32) if context else None,
        struck,
    )


def test_patterns_and_context_come_back_from_a_file(tmp_path):
    made = bank("kick", "kick", "hat", struck=patterns("kick", "hat"))
    again = Templates.load(made.save(tmp_path / "kit.npz"))
    np.testing.assert_array_equal(again.context, made.context)
    np.testing.assert_array_equal(again.patterns.patterns, made.patterns.patterns)
    assert again.patterns.labels == ("kick", "hat")
    assert (again.patterns.stft, again.patterns.sample_rate) == (SHORT, RATE)
    assert made.save(tmp_path / "twice.npz").read_bytes() == (tmp_path / "kit.npz").read_bytes()


def test_a_bank_of_the_first_version_is_still_read(tmp_path):
    first = dataclasses.replace(TEMPLATES_KIND, version=1, oldest=0)
    made = bank("kick", context=False)
    stft = {"n_fft": LONG.n_fft, "hop_length": LONG.hop_length, "window": LONG.window}
    metadata = {"labels": ["kick"], "sample_rate": RATE, "stft": stft}
    path = write_archive(tmp_path / "old.npz", first, {"templates": made.templates}, metadata)
    again = Templates.load(path)
    np.testing.assert_array_equal(again.templates, made.templates)
    assert again.context is again.patterns is None


def test_a_bank_of_a_later_version_names_those_that_are_read(tmp_path):
    later = dataclasses.replace(TEMPLATES_KIND, version=4)
    path = write_archive(tmp_path / "b.npz", later, {"templates": np.ones((2, 1))}, {})
    with pytest.raises(TemplateError, match=r"version 4; this audionmf reads versions 1 to 3"):
        Templates.load(path)


@pytest.mark.parametrize(
    "change",
    [
        {"patterns": np.full((5, 65, 1), -1, np.float32)},
        {"patterns": np.full((5, 65, 1), np.nan, np.float32)},
        {"patterns": np.ones((5, 64, 1), np.float32)},
        {"patterns": np.ones((2000, 65, 1), np.float32)},
        {"context": np.ones((3, 1), np.float32)},
        {"context": -np.ones((Neighbours.of(LONG, RATE).n_rows, 1), np.float32)},
        {"labels": ["snare"]},
        {"labels": ["kick", "kick"]},
        {"labels": 3},
        {"stft": {"n_fft": 3}},
        None,
    ],
)
def test_patterns_from_strangers_are_checked(tmp_path, change):
    path = bank("kick", struck=patterns("kick")).save(tmp_path / "kit.npz")
    arrays, metadata = read_archive(path, TEMPLATES_KIND)
    for name, value in (change or {}).items():
        if name in arrays:
            arrays[name] = value
        else:
            metadata["patterns"][name] = value
    if change is None:
        del metadata["patterns"]
    write_archive(path, TEMPLATES_KIND, arrays, metadata)
    with pytest.raises(TemplateError, match=r"kit\.npz|patterns|context"):
        Templates.load(path)


def heard(n_frames=7, seed=5):
    n_bands = len(Bands.of(LONG, RATE).edges)
    return np.random.default_rng(seed).random((n_bands, n_frames), np.float32)


def sounding(*names, n_frames=7):
    sounds = {name: heard(n_frames, seed) for seed, name in enumerate(names)}
    return dataclasses.replace(bank(*names), sounds=sounds)


def test_what_sources_sounded_like_comes_back_from_a_file(tmp_path):
    made = dataclasses.replace(bank("kick", "hat"), sounds={"hat": heard(3), "kick": heard(9, 6)})
    again = Templates.load(made.save(tmp_path / "kit.npz"))
    assert list(again.sounds) == ["hat", "kick"]
    for name, sound in made.sounds.items():
        np.testing.assert_array_equal(again.sounds[name], sound)
    assert made.save(tmp_path / "twice.npz").read_bytes() == (tmp_path / "kit.npz").read_bytes()


def test_what_sources_sounded_like_goes_where_their_templates_go():
    made = sounding("a", "b")
    assert list(made.only("b").sounds) == ["b"]
    np.testing.assert_array_equal(made.only("b").called("c").sounds["c"], made.sounds["b"])
    assert made.called("all").sounds["all"].shape[1] == 14
    assert not made.spectra().sounds
    assert not made.convert(RATE // 2).sounds
    assert list(made.convert(RATE).sounds) == ["a", "b"]
    both = Templates.merge([made, sounding("b", "c", n_frames=510)])
    assert {name: sound.shape[1] for name, sound in both.sounds.items()} == {
        "a": 7, "b": 512, "c": 510,
    }  # fmt: skip
    assert list(Templates.merge([made, bank("b")]).sounds) == ["a"]


def test_names_of_sounds_are_those_of_the_templates_in_any_form_of_unicode():
    made = dataclasses.replace(bank("cafe\u0301"), sounds={"cafe\u0301": heard()})
    assert list(made.sounds) == list(made.names) == ["caf\u00e9"]


@pytest.mark.parametrize(
    ("sounds", "said"),
    [
        (np.ones((4, 7)), [["kick", 7]]),
        (-heard(), [["kick", 7]]),
        (np.full_like(heard(), np.nan), [["kick", 7]]),
        (heard(600), [["kick", 600]]),
        (heard(), [["hat", 7]]),
        (heard(), [["kick", 6]]),
        (heard(), [["kick", 300], ["kick", -293]]),
        (heard(), [["kick", True]]),
        (heard(), {"kick": 7}),
        (heard(), []),
        (heard(), None),
    ],
)
def test_sounds_from_strangers_are_checked(tmp_path, sounds, said):
    path = bank("kick").save(tmp_path / "kit.npz")
    arrays, metadata = read_archive(path, TEMPLATES_KIND)
    changed = {**metadata, "sounds": said}
    write_archive(path, TEMPLATES_KIND, {**arrays, "sounds": sounds}, changed)
    with pytest.raises(TemplateError, match=r"kit\.npz"):
        Templates.load(path)


def test_one_source_keeps_its_own_patterns_and_frames():
    made = bank("kick", "hat", "hat", struck=patterns("hat", "kick", "hat"))
    hat = made.only("hat")
    np.testing.assert_array_equal(hat.context, made.context[:, 1:])
    np.testing.assert_array_equal(hat.patterns.patterns, made.patterns.patterns[..., ::2])
    assert hat.called("cymbal").patterns.labels == ("cymbal", "cymbal")
    assert bank("kick", "hat", struck=patterns("hat")).only("kick").patterns is None


def test_joined_banks_keep_what_all_of_them_know():
    one, other = bank("a", struck=patterns("a")), bank("b", struck=patterns("b", n_lags=3))
    both = Templates.merge([one, other])
    assert both.context.shape[1] == 2
    assert both.patterns.labels == ("a", "b")
    assert both.patterns.patterns.shape == (5, 65, 2)
    assert not both.patterns.patterns[3:, :, 1].any()
    assert Templates.merge([one, bank("b", context=False)]).context is None
    assert Templates.merge([one, bank("b")]).patterns.labels == ("a",)


def test_frames_are_thinned_evenly_and_other_templates_are_not():
    made = bank(*["a"] * 10, *["b"] * 3)
    thin = made.thinned(4)
    assert thin.labels == ("a",) * 4 + ("b",) * 3
    np.testing.assert_array_equal(thin.templates[:, :4], made.templates[:, [0, 3, 6, 9]])
    np.testing.assert_array_equal(thin.context[:, :4], made.context[:, [0, 3, 6, 9]])
    whole = bank(*["a"] * 10, context=False)
    assert whole.thinned(4) is whole


@pytest.mark.parametrize(
    ("rate", "stft"),
    [(16000, STFT(256, 64)), (11025, STFT(128, 32)), (RATE, STFT(256, 128)), (4000, STFT(64, 16))],
)
def test_converted_patterns_keep_time_frequency_and_sum(rate, stft):
    W = np.full((12, SHORT.n_bins, 1), 1e-6, np.float32)
    W[6, 16] = 1  # 1 kHz, 24 ms after the stroke
    made = Patterns(W, ("a",), SHORT, RATE).convert(rate, stft)
    lag, row, _ = np.unravel_index(made.patterns.argmax(), made.patterns.shape)
    assert row * rate / stft.n_fft == pytest.approx(1000, abs=0.6 * rate / stft.n_fft)
    assert lag * stft.hop_length / rate == pytest.approx(0.024, abs=stft.hop_length / rate)
    assert made.n_lags * stft.hop_length / rate == pytest.approx(0.048, abs=stft.hop_length / rate)
    assert made.patterns.sum() == pytest.approx(W.sum(), rel=1e-5)


def test_a_bank_converts_its_patterns_and_leaves_the_context_out():
    made = bank("kick", struck=patterns("kick"))
    twice = made.convert(2 * RATE)
    assert twice.context is None
    assert twice.patterns.stft == STFT(256, 64)
    assert twice.patterns.patterns.sum() == pytest.approx(1, rel=1e-5)
    assert made.convert(RATE).context is not None


def test_spectra_alone():
    plain = bank("kick", struck=patterns("kick")).spectra()
    assert plain.context is plain.patterns is plain.durations is None


def test_bins_beyond_the_new_rate_are_left_out():
    W = np.eye(9)[:, [8]]
    assert not on_bins(W, 100, 100, 5).any()


def test_learning_a_struck_sound_brings_its_pattern_and_a_tone_brings_none():
    time = np.arange(RATE) / RATE
    stroke = np.sin(2 * np.pi * 60 * time) * np.exp(-30 * time)
    kick = audionmf.learn(stroke, "kick", sample_rate=RATE, n_fft=256)
    assert kick.patterns.labels == ("kick",)
    assert kick.patterns.patterns.sum() == pytest.approx(1, rel=1e-4)
    assert kick.context is not None
    tone = audionmf.learn(np.sin(2 * np.pi * 500 * time), "tone", sample_rate=RATE, n_fft=256)
    assert tone.patterns is None
    factors = audionmf.learn(stroke, "kick", 2, sample_rate=RATE, n_fft=256, dictionary="nmf")
    assert factors.context is None
    assert factors.patterns is not None
