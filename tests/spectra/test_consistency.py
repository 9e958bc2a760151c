"""Phases of stems: consistent transforms, the sum kept, nearer to the truth by true magnitudes."""

from __future__ import annotations

import numpy as np
import pytest

from audionmf.spectra.consistency import consistent_parts, phase_reach
from audionmf.spectra.masks import ratio_masks
from audionmf.spectra.stft import STFT

STFT_ = STFT(256, 64)


@pytest.fixture(scope="module")
def scene():
    """Two overlapping sources of which the magnitudes are known."""
    rng = np.random.default_rng(0)
    t = np.arange(8000) / 8000
    one = np.sin(2 * np.pi * (400 * t + 150 * t**2)) * (1 + np.sin(2 * np.pi * 3 * t))
    two = rng.standard_normal(8000) * np.exp(-20 * (t % 0.25))
    truth = np.stack([one, two])[:, None].astype(np.float32)
    return truth, np.stack([STFT_.forward(source) for source in truth])


def parts_of(scene):
    X = scene[1].sum(axis=0)
    masks = ratio_masks(np.abs(scene[1][:, 0]), 1.5).astype(np.float32)
    return X, X * masks[:, None], masks


def decibels(truth, estimate):
    error = ((estimate - truth) ** 2).sum(axis=(1, 2))
    return 10 * np.log10((truth**2).sum(axis=(1, 2)) / error)


def test_true_magnitudes_give_better_stems_and_the_sum_stays(scene):
    truth, _ = scene
    X, parts, masks = parts_of(scene)
    inside = (128, 128 + 8000)
    found = consistent_parts(X, parts, masks, STFT_, inside)
    np.testing.assert_allclose(found.sum(axis=0), X, atol=1e-4)
    before = decibels(truth, STFT_.inverse(parts, 8000))
    after = decibels(truth, STFT_.inverse(found, 8000))
    assert (after > before + 0.3).all()


def test_blocks_with_their_reach_give_what_the_whole_gives(scene):
    X, parts, masks = parts_of(scene)
    whole = consistent_parts(X, parts, masks, STFT_, (128, 128 + 8000))
    reach, first, last = phase_reach(STFT_), 30, 50
    block = slice(first - reach, last + reach)
    start = (first - reach) * 64 - 128
    found = consistent_parts(
        X[..., block], parts[..., block], masks[..., block], STFT_, (-start, 8000 - start)
    )
    own = found[..., reach : reach + last - first]
    np.testing.assert_allclose(own, whole[..., first:last], atol=2e-3)


def test_the_transform_of_a_signal_is_consistent(scene):
    signal = scene[1][0]
    found = STFT_.consistent(signal, (128, 128 + 8000))
    np.testing.assert_allclose(found, signal, atol=1e-3)


def test_what_is_next_to_silence_stays_finite(scene):
    X, parts, masks = parts_of(scene)
    level = np.float32(1e-41)  # where the inverse is beyond the type
    found = consistent_parts(X * level, parts * level, masks, STFT_, (128, 128 + 8000))
    assert np.isfinite(found).all()
