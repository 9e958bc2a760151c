"""Transforms in wide vectors are as good as SciPy's of the same precision, signal by signal."""

import functools

import llvmlite.binding as llvm
import numpy as np
import pytest
import scipy.fft
from hypothesis import given, settings
from hypothesis import strategies as st

from audionmf.io import kept
from audionmf.spectra import fourier, machine_code
from audionmf.spectra.fourier import WideTransform, irfft, rfft, wide_transform
from audionmf.spectra.fourier_code import LONGEST_STEP, FourierCode
from audionmf.spectra.stft import STFT

SIZES = [(n, lanes) for lanes in (8, 16) for n in (512, 1024, 2048, 4096)]
SIZES += [(128, 8), (256, 8), (8192, 16)]
PROPERTY = settings(deadline=None, derandomize=True, max_examples=40)

wide = functools.cache(WideTransform)


def noise(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def forward(n, lanes, samples, window=None):
    out = np.full((len(samples), n // 2 + 1), np.nan, np.complex64)
    wide(n, lanes).forward(samples, np.ones(n, np.float32) if window is None else window, out)
    return out


def inverse(n, lanes, transforms, mask=None):
    total = np.zeros((len(transforms), n), np.float32)
    wide(n, lanes).add_inverse(transforms, np.ones(n, np.float32), total.reshape(-1), n, mask)
    return total


def error(found, exact):
    return np.sqrt(np.mean(np.abs(found - exact) ** 2) / np.mean(np.abs(exact) ** 2))


@pytest.mark.parametrize(("n", "lanes"), SIZES)
def test_errors_are_at_most_half_more_than_those_of_scipy(n, lanes):
    samples = noise(5, n)
    exact = scipy.fft.rfft(samples.astype(np.float64))
    found = forward(n, lanes, samples)
    assert error(found, exact) < 1.5 * error(scipy.fft.rfft(samples), exact)
    exact = scipy.fft.irfft(found.astype(np.complex128))
    assert error(inverse(n, lanes, found), exact) < 1.5 * error(scipy.fft.irfft(found), exact)


@pytest.mark.parametrize(("n", "lanes"), SIZES)
def test_each_bin_is_that_of_a_tone(n, lanes):
    places = np.unique([0, 1, 2, lanes - 1, lanes, n // 4, n // 2 - lanes, n // 2 - 1, n // 2])
    tones = np.cos(2 * np.pi / n * (places[:, None] * np.arange(n) % n) + 1).astype(np.float32)
    found = forward(n, lanes, tones)
    np.testing.assert_allclose(found, np.fft.rfft(tones.astype(np.float64)), atol=2e-6 * n)
    assert np.abs(found).argmax(axis=1).tolist() == places.tolist()


@given(
    size=st.sampled_from(SIZES),
    n_signals=st.integers(0, 4),
    step=st.integers(1, 700),
    scale=st.integers(-100, 100),
    seed=st.integers(0, 99),
)
@PROPERTY
def test_signals_that_overlap_come_back_at_their_places(size, n_signals, step, scale, seed):
    n, lanes = size
    given = noise(max(0, n_signals - 1) * step + n, seed=seed) * np.float32(2.0**scale)
    given.flags.writeable = False
    frames = np.lib.stride_tricks.sliding_window_view(given, n)[::step][:n_signals]
    window = noise(n, seed=seed + 1)
    found = forward(n, lanes, frames, window)
    np.testing.assert_array_equal(forward(n, lanes, np.asfortranarray(frames), window), found)
    exact = np.fft.rfft(frames * window.astype(np.float64))
    assert np.abs(found - exact).max(initial=0) <= 1e-6 * np.abs(exact).max(initial=0)
    total = np.zeros_like(given)
    wide(n, lanes).add_inverse(found, window, total, step)
    expected = np.zeros(given.shape)
    for t, row in enumerate(np.fft.irfft(exact, n)):
        expected[t * step : t * step + n] += row * window
    assert np.abs(total - expected).max() <= 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize(("n", "lanes"), SIZES)
def test_a_signal_has_the_same_bits_whatever_is_beside_it(n, lanes):
    samples = noise(5, n)
    samples[1], samples[3, 7] = np.nan, np.inf
    found = forward(n, lanes, samples)
    for t, row in enumerate(found):
        np.testing.assert_array_equal(row, forward(n, lanes, samples[t : t + 1])[0])
    assert np.isfinite(found).all(axis=1).tolist() == [True, False, True, False, True]
    back = inverse(n, lanes, found)
    for t, row in enumerate(back):
        np.testing.assert_array_equal(row, inverse(n, lanes, found[t : t + 1])[0])
    assert np.isfinite(back).all(axis=1).tolist() == [True, False, True, False, True]
    assert not np.isfinite(found[[1, 3]]).all(axis=1).any()


@pytest.mark.parametrize(("n", "lanes"), SIZES)
def test_scale_does_not_matter_down_to_where_numbers_lose_digits(n, lanes):
    samples = noise(2, n)
    loud = forward(n, lanes, samples * np.float32(2.0**110))
    soft = forward(n, lanes, samples * np.float32(2.0**-90))
    np.testing.assert_array_equal(loud, soft * np.float32(2.0**100) * np.float32(2.0**100))
    silent = forward(n, lanes, samples * np.float32(2.0**-140))  # denormal numbers
    exact = np.fft.rfft((samples * np.float32(2.0**-140)).astype(np.float64))
    assert np.abs(silent - exact).max() < n * 2.0**-149
    assert not forward(n, lanes, np.zeros((2, n), np.float32)).any()


@pytest.mark.parametrize(("n", "lanes"), SIZES)
def test_a_mask_is_a_product_to_the_bit(n, lanes):
    X = forward(n, lanes, noise(3, n))
    mask = np.random.default_rng(1).random(X.shape).astype(np.float32)
    np.testing.assert_array_equal(inverse(n, lanes, X, mask), inverse(n, lanes, X * mask))
    turned = np.asfortranarray(mask)
    np.testing.assert_array_equal(inverse(n, lanes, X, turned), inverse(n, lanes, X * mask))


@pytest.mark.parametrize(("n", "lanes"), SIZES)
def test_what_is_imaginary_in_the_first_and_the_last_bin_is_not_read(n, lanes):
    X = forward(n, lanes, noise(2, n))
    expected = inverse(n, lanes, X)
    X.imag[:, [0, -1]] = np.nan
    found = inverse(n, lanes, X)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(("n", "lanes"), SIZES)
def test_nothing_else_is_written_and_the_last_signal_is_added_first(n, lanes):
    around = np.full((4, n // 2 + 3), 7, np.complex64)
    wide(n, lanes).forward(noise(2, n), np.ones(n, np.float32), around[1:-1, 1:-1])
    around[1:-1, 1:-1] = 7
    assert (around == 7).all()
    rows, step = forward(n, lanes, noise(3, n)), n // 4
    total = np.full(2 * step + n + 20, 1, np.float32)
    wide(n, lanes).add_inverse(rows, noise(n, seed=3), total[10:-10], step)
    expected = np.ones(2 * step + n, np.float32)
    alone = np.zeros((3, n), np.float32)
    wide(n, lanes).add_inverse(rows, noise(n, seed=3), alone.reshape(-1), n)
    for t in (2, 1, 0):
        expected[t * step : t * step + n] += alone[t]
    np.testing.assert_array_equal(total[10:-10], expected)
    assert (total[:10] == 1).all()
    assert (total[-10:] == 1).all()


@pytest.mark.parametrize(("n", "lanes"), [(64, 8), (256, 16), (16384, 16), (8192, 8), (768, 8)])
def test_there_is_no_code_for_other_sizes(n, lanes):
    with pytest.raises(ValueError, match="no code"):
        FourierCode(n, lanes)


@pytest.fixture
def processor(monkeypatch):
    """Return what makes the processor another one."""

    def with_features(*names):
        def features():
            if not names:
                raise RuntimeError("unknown")
            return dict.fromkeys(names, True)

        monkeypatch.setattr(llvm, "get_host_cpu_features", features)
        monkeypatch.setattr(kept, "registers", lambda: None)  # what is known of it already
        monkeypatch.setattr(fourier, "_made", {})
        monkeypatch.setattr(fourier, "WideTransform", lambda n, lanes: (n, lanes))
        forget()

    def forget():
        machine_code.host.cache_clear()
        fourier._lanes.cache_clear()

    yield with_features
    forget()


@pytest.mark.parametrize(
    ("features", "lanes"),
    [(("avx512f", "avx2", "fma"), 16), (("avx2", "fma"), 8), (("avx2",), 0), (("neon", "fma"), 0),
     ((), 0)],
)  # fmt: skip
def test_the_vectors_are_as_wide_as_the_processor_s(processor, features, lanes):
    processor(*features)
    single = np.dtype(np.float32)
    found = [wide_transform(n, single) for n in range(1, 40000)]
    sizes = [size[0] for size in found if size is not None]
    assert all(size[1] == lanes for size in found if size is not None)
    expected = [2 * lanes**2 << k for k in range(LONGEST_STEP.get(lanes, 0).bit_length())]
    assert sizes == expected
    assert not any(wide_transform(n, np.dtype(np.float64)) for n in expected)


@pytest.mark.parametrize("shape", [(4096,), (3, 4096), (2, 3, 4096)])
def test_transforms_of_any_shape_are_those_of_their_rows(shape):
    samples = noise(*shape)
    found = rfft(samples)
    exact = scipy.fft.rfft(samples.astype(np.float64))
    assert found.shape == exact.shape
    assert found.dtype == np.complex64
    np.testing.assert_allclose(found, exact, atol=1e-3)
    back = irfft(np.asfortranarray(found), 4096)
    np.testing.assert_allclose(back, samples, atol=1e-5)
    for expected, make in ((found, rfft), (back, lambda _, out: irfft(found, 4096, out=out))):
        for out in (
            np.empty_like(expected),
            np.empty((*expected.shape, 2), expected.dtype)[..., 0],
        ):
            assert make(samples, out=out) is out
            np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("n_fft", [512, 2048, 4096])
def test_a_recording_comes_back_and_blocks_and_threads_change_no_bit(n_fft):
    stft, samples = STFT(n_fft, n_fft // 4), noise(2, 30011)
    whole = stft.forward(samples)
    expected = scipy.fft.rfft(
        np.pad(samples.astype(np.float64), ((0, 0), (n_fft // 2, n_fft)))[
            :, n_fft // 2 : n_fft // 2 + n_fft
        ]
        * stft._window()
    )
    np.testing.assert_allclose(whole[..., 2], expected, atol=1e-3)
    blocks = stft.forward_blocks(np.array_split(samples, 7, axis=1), 5, 3)
    np.testing.assert_array_equal(np.concatenate(list(blocks), axis=2), whole)
    back = stft.inverse(whole, samples.shape[1], 2)
    assert 20 * np.log10(error(back, samples.astype(np.float64))) < -120
    strided = np.asfortranarray(whole.swapaxes(1, 2)).swapaxes(1, 2)
    np.testing.assert_array_equal(stft.inverse(strided, samples.shape[1]), back)
