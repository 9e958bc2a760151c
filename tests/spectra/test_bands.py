import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audionmf import STFT
from audionmf.spectra.bands import Bands, once_each

CD = STFT(4096, 1024)
CD_RATE = 44_100


def widths(bands, n_bins):
    return np.diff(bands.edges, append=n_bins)


any_stft = st.integers(2, 5000).map(lambda n: STFT(n, max(1, n // 4)))
any_rate = st.integers(1, 400_000)


# Where the bands lie


@given(stft=any_stft, rate=any_rate)
@settings(deadline=None, derandomize=True, max_examples=40)
def test_every_bin_is_in_one_band_whatever_the_transform_and_the_rate(stft, rate):
    bands = Bands.of(stft, rate)
    assert bands.edges[0] == 0
    assert bands.edges.dtype.kind == "i"
    assert (widths(bands, stft.n_bins) >= 1).all()
    assert widths(bands, stft.n_bins).sum() == stft.n_bins
    assert bands.frequencies.shape == bands.edges.shape
    assert (np.diff(bands.frequencies) > 0).all()
    last = np.append(bands.edges[1:], stft.n_bins) - 1
    bins = stft.frequencies(rate)
    assert (bands.frequencies >= bins[bands.edges] * (1 - 1e-12)).all()
    assert (bands.frequencies <= bins[last] * (1 + 1e-12)).all()


@given(stft=any_stft, rate=any_rate)
@settings(deadline=None, derandomize=True, max_examples=40)
def test_bands_are_single_bins_at_the_bottom_and_a_48th_of_an_octave_above(stft, rate):
    bands = Bands.of(stft, rate)
    sizes = widths(bands, stft.n_bins)[:-1]  # the last may be cut off
    starts = bands.edges[:-1]
    bins = stft.frequencies(rate)
    low, high = bins[starts + 1] < 5400 - rate / stft.n_fft, bins[starts] >= 5400
    assert (sizes[low] == 1).all()
    width = starts * (2 ** (1 / 48) - 1)
    assert (sizes <= np.maximum(width + 1.5, 1)).all()
    assert (sizes[high] >= np.floor(width[high] - 0.5)).all()


def test_an_octave_above_the_single_bins_has_48_bands():
    bands = Bands.of(CD, CD_RATE)
    edges = CD.frequencies(CD_RATE)[bands.edges]
    for low in (5400, 7000, 10_000):
        assert abs(((edges >= low) & (edges < 2 * low)).sum() - 48) <= 1
    below = edges < 5400
    np.testing.assert_array_equal(bands.edges[below], np.arange(below.sum()))
    assert len(bands.edges) < 0.35 * CD.n_bins


@pytest.mark.parametrize("rate", [8000, 10_800])
def test_a_low_rate_has_bins_and_nothing_else(rate):
    stft = STFT(256, 64)
    bands = Bands.of(stft, rate)
    np.testing.assert_array_equal(bands.edges, np.arange(stft.n_bins))
    np.testing.assert_allclose(bands.frequencies, stft.frequencies(rate))


@pytest.mark.parametrize("n_fft", [2, 3, 4, 5])
def test_the_smallest_transforms_have_bands_too(n_fft):
    for rate in (1, 8000, 10**9):
        bands = Bands.of(STFT(n_fft, 1), rate)
        np.testing.assert_array_equal(bands.edges, np.arange(n_fft // 2 + 1))


# Pooling


@given(stft=any_stft, rate=any_rate, n=st.integers(0, 7), seed=st.integers(0, 100))
@settings(deadline=None, derandomize=True, max_examples=30)
def test_pooling_is_the_sum_over_each_band(stft, rate, n, seed):
    bands = Bands.of(stft, rate)
    # Whole numbers have exact sums in any order.
    V = np.random.default_rng(seed).integers(0, 1000, (stft.n_bins, n)).astype(np.float32)
    pooled = bands.pool(V)
    ends = np.append(bands.edges[1:], stft.n_bins)
    loop = [V[first:end].sum(axis=0) for first, end in zip(bands.edges, ends, strict=True)]
    np.testing.assert_array_equal(pooled, np.stack(loop))
    np.testing.assert_array_equal(pooled.sum(axis=0), V.sum(axis=0))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_pooling_keeps_the_type_and_lays_the_bands_of_a_frame_side_by_side(dtype):
    bands = Bands.of(CD, CD_RATE)
    V = np.random.default_rng(0).random((20, CD.n_bins)).astype(dtype).T
    pooled = bands.pool(V)
    assert pooled.dtype == dtype
    assert pooled.shape == (len(bands.edges), 20)
    assert pooled.flags.f_contiguous
    np.testing.assert_allclose(pooled.sum(axis=0), V.sum(axis=0), rtol=1e-5)


def test_a_pooled_frame_does_not_depend_on_the_frames_beside_it():
    bands = Bands.of(CD, CD_RATE)
    V = np.random.default_rng(0).random((20, CD.n_bins)).astype(np.float32).T
    whole = bands.pool(V)
    for t in range(20):
        np.testing.assert_array_equal(bands.pool(V[:, t : t + 1])[:, 0], whole[:, t])


def test_pooling_only_reads():
    bands = Bands.of(CD, CD_RATE)
    V = np.ones((CD.n_bins, 3), np.float32)
    V.flags.writeable = False
    np.testing.assert_array_equal(bands.pool(V)[:, 0], widths(bands, CD.n_bins))


# Gains of the bands at the bins, and smoothing


def test_a_gain_of_the_bands_is_that_of_their_middle_and_between_them_between():
    bands = Bands.of(CD, CD_RATE)
    gains = np.random.default_rng(0).random(len(bands.edges))
    np.testing.assert_allclose(bands.spread(gains, bands.frequencies), gains)
    spread = bands.spread(gains, CD.frequencies(CD_RATE))
    assert spread.shape == (CD.n_bins,)
    assert spread.min() >= gains.min()
    assert spread.max() <= gains.max()
    single = widths(bands, CD.n_bins) == 1
    np.testing.assert_allclose(spread[bands.edges[single]], gains[single])


def test_a_smooth_gain_spread_over_the_bins_pools_to_itself():
    bands = Bands.of(CD, CD_RATE)
    gains = np.exp(np.sin(bands.frequencies / 3000))
    spread = bands.spread(gains, CD.frequencies(CD_RATE))[:, None]
    means = bands.pool(spread)[:, 0] / widths(bands, CD.n_bins)
    np.testing.assert_allclose(means, gains, rtol=0.01)


def test_one_gain_for_all_bands_is_that_of_all_bins():
    bands = Bands.of(CD, CD_RATE)
    spread = bands.spread(np.full(len(bands.edges), 0.3), CD.frequencies(CD_RATE))
    np.testing.assert_allclose(spread, 0.3)


@given(stft=any_stft, rate=any_rate, octaves=st.floats(0.01, 3))
@settings(deadline=None, derandomize=True, max_examples=40)
def test_smoothing_averages_and_keeps_what_is_constant(stft, rate, octaves):
    smoother = Bands.of(stft, rate).smoother(octaves)
    assert (smoother >= 0).all()
    np.testing.assert_allclose(smoother.sum(axis=1), 1)
    np.testing.assert_allclose(smoother @ np.full(len(smoother), 0.7), 0.7)


def test_smoothing_is_as_wide_in_octaves_at_high_and_at_middle_frequencies():
    bands = Bands.of(CD, CD_RATE)
    smoother = bands.smoother(0.07)
    for hertz in (1000, 4000, 12_000):
        row = smoother[np.argmin(np.abs(bands.frequencies - hertz))]
        place = np.log2(bands.frequencies + 100) - np.log2(hertz + 100)
        mean = row @ place
        assert np.sqrt(row @ (place - mean) ** 2) == pytest.approx(0.07, rel=0.1)
    assert np.argmax(smoother[300]) == 300


def test_smoothing_has_no_tails_that_make_products_slow():
    """In single precision, too, what is denormal takes many times as long as other numbers."""
    bands = Bands.of(CD, CD_RATE)
    smoother = bands.smoother(0.05)
    assert smoother[smoother > 0].min() > 1e-20
    octaves = np.log2(bands.frequencies + 100)
    expected = np.exp(-0.5 * ((octaves[:, None] - octaves) / 0.05) ** 2)
    expected /= expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(smoother, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("numbers", [[], [0], [7, 7, 3, 0, 3], [2.0, 1.0, 2.0]])
def test_numbers_come_once_each_and_in_order(numbers):
    assert once_each(np.array(numbers)).tolist() == np.unique(numbers).tolist()


def test_bands_are_found_once_and_are_nobodys_to_change():
    bands = Bands.of(CD, CD_RATE)
    assert Bands.of(STFT(4096, 1024), CD_RATE) is bands
    assert Bands.of(CD, CD_RATE // 2) is not bands
    for array in (bands.edges, bands.frequencies):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
