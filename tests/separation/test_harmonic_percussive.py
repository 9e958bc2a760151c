"""`harmonic_percussive`, `phase`, `mask`: what they give, and that blocks do not show."""

from __future__ import annotations

import librosa
import numpy as np
import pytest

import audionmf
from audionmf import Known, ParameterError
from audionmf.analysis.analysing import analyse
from audionmf.rendering import blocks
from audionmf.rendering.blocks import render_span
from audionmf.rendering.decomposition import Decomposition

RATE, N_FFT, HOP = 8000, 512, 128
SMALL = {"sample_rate": RATE, "n_fft": N_FFT, "hop_length": HOP}


@pytest.fixture(scope="module")
def mixture():
    t = np.arange(4 * RATE) / RATE
    tone = 0.3 * sum(np.sin(2 * np.pi * f * t) for f in (440, 880, 1320))
    clicks = np.zeros_like(t)
    clicks[RATE // 4 :: RATE // 2] = 1.0
    noise = 0.01 * np.random.default_rng(0).standard_normal(t.size)
    sound = np.stack([tone, clicks + noise])
    return (sound - sound.mean(axis=1, keepdims=True)).astype(np.float32)


def residual_db(stems, mixture):
    error = sum(stems.values()) - mixture
    return 20 * np.log10(max(np.abs(error).max(), 1e-12) / np.abs(mixture).max())


def correlation(a, b):
    return float((a * b).sum() / np.sqrt((a**2).sum() * (b**2).sum()))


@pytest.mark.parametrize("margin", [1.0, 2.0])
def test_tones_and_strokes_are_told_apart(mixture, margin):
    mono = mixture.sum(axis=0, keepdims=True)
    got = audionmf.separate(mono, harmonic_percussive=True, margin=margin, **SMALL)
    names = ["harmonic", "percussive", "residual"]
    assert list(got.sources) == names[: 2 if margin == 1 else 3]
    assert residual_db(got.sources, mono) < -120
    assert correlation(got.sources["harmonic"], mixture[:1]) > 0.98
    assert correlation(got.sources["percussive"], mixture[1:]) > 0.8


@pytest.mark.usefixtures("plain_librosa")
def test_stems_are_those_of_librosa(mixture):
    mono = mixture.sum(axis=0)
    got = audionmf.separate(mono, harmonic_percussive=True, mask_exponent=2.0, **SMALL)
    D = librosa.stft(mono, n_fft=N_FFT, hop_length=HOP)
    frames = round((0.72 * RATE / HOP - 1) / 2) * 2 + 1
    bins = round((334 * N_FFT / RATE - 1) / 2) * 2 + 1
    H, _ = librosa.decompose.hpss(D, kernel_size=(frames, bins), power=2.0)
    wanted = librosa.istft(H, hop_length=HOP, length=mono.size)
    inner = slice(RATE, -RATE)  # the last frame is not the same
    np.testing.assert_allclose(got.sources["harmonic"][0, inner], wanted[inner], atol=1e-4)


def test_sources_may_have_names_of_their_own(mixture):
    known = {"drums": Known(texture="percussive"), "keys": Known(texture="harmonic")}
    named = audionmf.separate(mixture, known, **SMALL)
    plain = audionmf.separate(mixture, harmonic_percussive=True, **SMALL)
    np.testing.assert_allclose(named.sources["drums"], plain.sources["percussive"], atol=1e-6)
    np.testing.assert_allclose(named.sources["keys"], plain.sources["harmonic"], atol=1e-6)


@pytest.mark.parametrize(
    "options",
    [
        {"harmonic_percussive": True},
        {"harmonic_percussive": True, "margin": 2.0, "phase": "consistent"},
        {"n_components": 4, "n_sources": 2, "phase": "consistent", "mask": "soft"},
    ],
)
def test_blocks_and_spans_give_what_the_whole_gives(mixture, options, monkeypatch):
    source = audionmf.Audio(mixture, RATE)
    small = {k: v for k, v in SMALL.items() if k != "sample_rate"}
    found = analyse(source, **options, **small, max_iter=10)
    monkeypatch.setattr(blocks, "BLOCK_FRAMES", 10_000)
    whole = audionmf.render(source, found).sources
    monkeypatch.setattr(blocks, "BLOCK_FRAMES", 7)
    cut = audionmf.render(source, found).sources
    assert residual_db(cut, mixture) < -120
    span = render_span(source, found, 9000, 12000)
    for name, part in zip(whole, span, strict=True):
        np.testing.assert_allclose(cut[name], whole[name], atol=2e-4)
        np.testing.assert_allclose(part, whole[name][:, 9000:12000], atol=2e-4)


def test_a_model_file_says_the_same(mixture, tmp_path):
    source = audionmf.Audio(mixture, RATE)
    found = analyse(source, harmonic_percussive=True, margin=2, n_fft=N_FFT)
    loaded = Decomposition.load(found.save(tmp_path / "model.npz"))
    a, b = (audionmf.render(source, one).sources for one in (found, loaded))
    for name in a:
        np.testing.assert_array_equal(a[name], b[name])
    with pytest.raises(ParameterError, match="no components"):
        loaded.regroup({"one": (0,)})


def test_binary_masks_give_every_bin_to_one(mixture):
    source = audionmf.Audio(mixture, RATE)
    options = {"n_sources": 2, "n_components": 4, "n_fft": N_FFT, "max_iter": 10, "spatial": False}
    found = analyse(source, mask="binary", **options)
    V = np.abs(np.random.default_rng(0).standard_normal((257, 6))).astype(np.float32)
    masks = found.masks(found.source_models(0, V))
    assert set(np.unique(masks)) <= {0.0, 0.5, 1.0}
    np.testing.assert_array_equal(masks.sum(axis=0), 1)


@pytest.mark.parametrize(
    "options",
    [
        {"harmonic_percussive": True, "lead": True},
        {"harmonic_percussive": True, "n_sources": 2},
        {"harmonic_percussive": True, "residual": "rest"},
        {"harmonic_percussive": True, "margin": 0.5},
        {"harmonic_percussive": True, "sparsity": 1.0},
        {"margin": 2.0},
        {"sources": {"a": Known(texture="harmonic")}},
        {"lead": True, "continuity": 1.0},
        {"n_sources": 2, "sparsity": 1.0, "beta": 2},
        {"n_sources": 2, "sparsity": 1.0, "model": "harmonic"},
    ],
)
def test_what_does_not_go_together_is_refused(mixture, options):
    with pytest.raises(ParameterError):
        audionmf.separate(mixture, **options, **SMALL)


def test_sparsity_is_heard_in_the_components(mixture):
    source = audionmf.Audio(mixture, RATE)
    few = {"components": True, "n_components": 4, "n_fft": N_FFT, "max_iter": 60}
    plain, drawn = (analyse(source, **few, sparsity=weight).activations for weight in (0.0, 1.0))

    def small(H):
        return (0.01 * H.max() > H).mean()

    assert small(drawn) > small(plain) + 0.02
