"""Harmonic and percussive masks: those of librosa."""

from __future__ import annotations

from collections import Counter

import librosa
import numpy as np
import pytest
import scipy.ndimage

from audionmf.spectra import medians
from audionmf.spectra.medians import median_masks, median_models, median_sizes, running_median
from audionmf.spectra.stft import STFT


@pytest.mark.parametrize("margin", [1.0, 2.5])
@pytest.mark.parametrize("exponent", [1.5, 2.0])
def test_masks_are_those_of_librosa(margin, exponent):
    V = np.random.default_rng(0).random((65, 50)).astype(np.float32) ** 4
    masks = median_masks(median_models(V, (9, 7)), margin, exponent)
    # Kernels of librosa are (harmonic, percussive).
    harmonic, percussive = librosa.decompose.hpss(
        V, kernel_size=(9, 7), power=exponent, margin=margin, mask=True
    )
    np.testing.assert_allclose(masks[0], harmonic, atol=1e-5)
    np.testing.assert_allclose(masks[1], percussive, atol=1e-5)
    np.testing.assert_allclose(masks.sum(axis=0), 1, atol=1e-6)
    assert len(masks) == (2 if margin == 1 else 3)


@pytest.mark.parametrize("margin", [1.0, 2.0])
def test_silence_is_shared_out(margin):
    masks = median_masks(np.zeros((2, 5, 4), np.float32), margin, 1.5)
    np.testing.assert_allclose(masks, 1 / len(masks), rtol=1e-6)


def test_sizes_are_times_and_frequencies_at_any_rate():
    assert median_sizes(STFT(4096, 1024), 44100) == (31, 31)
    assert median_sizes(STFT(2048, 512), 22050) == (31, 31)
    assert median_sizes(STFT(4096, 1), 44100)[0] == 255
    assert median_sizes(STFT(16, 4), 1000) == (181, 5)


@pytest.mark.parametrize("shape", [(7, 40), (3, 5), (1, 1), (20, 2)])
@pytest.mark.parametrize("size", [1, 3, 9, 31])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_running_medians_are_those_of_a_filter_in_two_dimensions(shape, size, dtype):
    rows = np.random.default_rng(0).random(shape).astype(dtype)
    rows[rows < 0.3] = 0
    found = running_median(rows, size)
    wanted = scipy.ndimage.median_filter(rows, (1, size), mode="reflect")
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, wanted)


def test_running_medians_do_without_the_code_that_they_load_alone(monkeypatch):
    rows = np.random.default_rng(0).random((7, 40))
    found = running_median(rows, 9)
    assert medians._code_of_filters() is not None
    monkeypatch.setattr(medians, "_code_of_filters", lambda: None)
    np.testing.assert_array_equal(running_median(rows, 9), found)
    monkeypatch.undo()
    whole = np.arange(40)[None] % 7  # of integers, too
    np.testing.assert_array_equal(
        running_median(whole, 9), scipy.ndimage.median_filter(whole, (1, 9), mode="reflect")
    )


@pytest.mark.parametrize("size", [3, 9, 31, 35])
@pytest.mark.parametrize("shape", [(7, 40), (60, 35)])
@pytest.mark.parametrize("turned", [False, True])
def test_medians_of_many_numbers_are_compared_in_one_order(monkeypatch, shape, size, turned):
    rows = np.random.default_rng(0).random(shape).astype(np.float32)
    rows[rows < 0.3] = 0
    rows = np.asfortranarray(rows) if turned else rows
    monkeypatch.setattr(medians, "_seen", Counter())
    few = running_median(rows, size)
    monkeypatch.setattr(medians, "_medians", lambda *_: pytest.fail("another way was taken"))
    monkeypatch.setattr(medians, "_WORTH", 0)
    many = running_median(rows, size)
    np.testing.assert_array_equal(many, few)
    assert many.flags.f_contiguous == turned
