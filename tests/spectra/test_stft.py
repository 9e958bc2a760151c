import dataclasses

import librosa
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audionmf import ParameterError
from audionmf.spectra import stft as stft_module
from audionmf.spectra.log_stft import LogSTFT
from audionmf.spectra.stft import STFT, InverseStream

WINDOWS = ("hann", "hamming", "boxcar", "blackman", "cosine", "nuttall")


def noise(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def error_db(estimate, truth):
    error = np.linalg.norm(np.asarray(estimate, np.float64) - truth)
    return 20 * np.log10(error / np.linalg.norm(truth) + 1e-30)


@st.composite
def transforms(draw):
    """Make an STFT that can be inverted: any window length, at most 32 windows over a sample."""
    n_fft = draw(st.integers(2, 96))
    window = draw(st.sampled_from(WINDOWS))
    hop_length = draw(st.integers(-(-n_fft // 32), n_fft))
    while hop_length > 1:
        try:
            return STFT(n_fft, hop_length, window)
        except ParameterError:
            hop_length = (hop_length + 1) // 2
    return STFT(n_fft, 1, window)


def lengths():
    return st.integers(1, 400)


def chunks(draw, samples):
    cuts = draw(st.lists(st.integers(0, samples.shape[1]), max_size=6))
    return np.split(samples, sorted(cuts), axis=1)


@given(stft=transforms(), n_samples=lengths(), seed=st.integers(0, 9))
@settings(deadline=None, derandomize=True, max_examples=60)
def test_a_signal_of_any_length_comes_back_from_its_transform(stft, n_samples, seed):
    samples = noise(2, n_samples, seed=seed)
    transform = stft.forward(samples)
    assert transform.dtype == np.complex64
    assert transform.shape == (2, stft.n_bins, stft.n_frames(n_samples))
    back = stft.inverse(transform, n_samples)
    assert back.dtype == np.float32
    assert back.shape == samples.shape
    assert error_db(back, samples) < -120


@given(data=st.data(), stft=transforms(), n_samples=lengths(), block=st.integers(1, 40))
@settings(deadline=None, derandomize=True, max_examples=50)
def test_blocks_give_the_bits_of_the_whole_transform(data, stft, n_samples, block):
    samples = noise(2, n_samples)
    blocks = list(stft.forward_blocks(chunks(data.draw, samples), block))
    assert all(part.shape[-1] == block for part in blocks[:-1])
    assert 1 <= blocks[-1].shape[-1] <= block
    np.testing.assert_array_equal(np.concatenate(blocks, axis=-1), stft.forward(samples))


@given(stft=transforms(), n_samples=lengths(), block=st.integers(1, 40))
@settings(deadline=None, derandomize=True, max_examples=50)
def test_the_inverse_of_blocks_is_the_inverse_of_the_whole(stft, n_samples, block):
    samples = noise(2, n_samples)
    transform = stft.forward(samples)
    stream, parts = InverseStream(stft, n_samples), []
    for start in range(0, transform.shape[-1], block):
        parts.append(stream.push(stft.synthesise(transform[..., start : start + block])))
    joined = np.concatenate(parts, axis=-1)
    assert joined.shape == samples.shape
    assert error_db(joined, stft.inverse(transform, n_samples)) < -120
    assert error_db(joined, samples) < -120


@pytest.mark.parametrize("window", ["hann", "hamming", "blackman"])
@pytest.mark.parametrize(("n_fft", "hop_length"), [(512, 128), (512, 256), (510, 100), (255, 60)])
@pytest.mark.parametrize("n_samples", [512, 1000, 4096])
def test_the_transform_is_that_of_librosa(n_fft, hop_length, window, n_samples):
    samples = noise(2, n_samples)
    ours = STFT(n_fft, hop_length, window).forward(samples)
    theirs = librosa.stft(
        samples, n_fft=n_fft, hop_length=hop_length, window=window, pad_mode="constant"
    )
    assert theirs.shape[-1] <= ours.shape[-1] <= theirs.shape[-1] + 1
    common = ours[..., : theirs.shape[-1]]
    np.testing.assert_allclose(common, theirs, atol=1e-5 * np.abs(theirs).max(), rtol=0)


@pytest.mark.parametrize(("n_fft", "hop_length"), [(512, 128), (512, 200), (510, 85), (64, 16)])
@pytest.mark.usefixtures("plain_librosa")
@pytest.mark.parametrize("window", ["hann", "hamming"])
def test_a_modified_transform_is_inverted_as_librosa_does(n_fft, hop_length, window):
    n_samples = 12 * hop_length + n_fft // hop_length * hop_length
    stft = STFT(n_fft, hop_length, window)
    transform = stft.forward(noise(2, n_samples)) * np.abs(
        noise(2, stft.n_bins, stft.n_frames(n_samples), seed=1)
    )
    theirs = librosa.istft(
        transform, n_fft=n_fft, hop_length=hop_length, window=window, length=n_samples
    )
    ours = stft.inverse(transform, n_samples)
    assert error_db(ours, theirs) < -115


def test_the_inverse_is_the_least_squares_one():
    # No signal has a transform nearer to a modified one than that of its inverse.
    stft, n_samples = STFT(32, 8), 100
    target = stft.forward(noise(1, n_samples)) * np.abs(
        noise(1, stft.n_bins, stft.n_frames(n_samples), seed=1)
    )
    best = stft.inverse(target, n_samples)

    def distance(samples):
        # Bins between the first and the last stand for two of the full transform.
        twice = np.full((stft.n_bins, 1), 2.0)
        twice[[0, -1]] = 1.0
        return float((twice * np.abs(stft.forward(samples) - target) ** 2).sum())

    least = distance(best)
    for seed in range(5):
        assert distance(best + 0.05 * noise(1, n_samples, seed=seed + 2)) > least


@pytest.mark.parametrize("shape", [(1, 1), (1, 15), (3, 2000)])
@pytest.mark.parametrize("n_threads", [2, 3])
def test_threads_do_not_change_a_bit(shape, n_threads):
    stft, samples = STFT(64, 16), noise(*shape)
    transform = stft.forward(samples)
    np.testing.assert_array_equal(stft.forward(samples, n_threads), transform)
    back = stft.inverse(transform, shape[1])
    np.testing.assert_array_equal(stft.inverse(transform, shape[1], n_threads), back)


def test_channels_do_not_touch_each_other():
    stft, samples = STFT(64, 16), noise(3, 500)
    together = stft.forward(samples)
    for channel in range(3):
        alone = stft.forward(samples[channel : channel + 1])
        np.testing.assert_array_equal(together[channel : channel + 1], alone)


def test_inputs_are_not_modified_and_may_be_strided_and_read_only():
    stft, samples = STFT(64, 16), noise(500, 4).T[::2]
    kept = samples.copy()
    samples.flags.writeable = False
    transform = stft.forward(samples)
    np.testing.assert_array_equal(transform, stft.forward(np.ascontiguousarray(kept)))
    transform.flags.writeable = False
    before = transform.copy()
    stft.inverse(transform, 500)
    np.testing.assert_array_equal(transform, before)
    np.testing.assert_array_equal(samples, kept)


def test_the_bins_of_a_frame_are_neighbours_in_memory():
    transform = STFT(64, 16).forward(noise(2, 500))
    assert transform.strides[-2] == transform.itemsize


def test_a_doubled_signal_has_the_doubled_transform():
    stft, samples = STFT(64, 16), noise(2, 500)
    np.testing.assert_array_equal(stft.forward(2 * samples), 2 * stft.forward(samples))


def test_the_sum_of_windows_is_made_once_for_runs_of_as_many_frames(monkeypatch):
    counts, made = [], STFT._overlap_sum
    monkeypatch.setattr(STFT, "_overlap_sum", lambda self, n: counts.append(n) or made(self, n))
    stft, samples = STFT(32, 8), noise(1, 803)
    X = stft.forward(samples)
    stream = stft.inverse_stream(803)
    parts = [stream.push(stft.synthesise(X[..., t : t + 20])) for t in range(0, X.shape[-1], 20)]
    assert counts == [20, X.shape[-1] % 20]
    assert error_db(np.concatenate(parts, axis=1), samples) < -120


def test_no_blocks_give_no_frames():
    assert list(STFT(64, 16).forward_blocks([], 8)) == []


def test_every_sample_lies_between_two_frame_centres():
    stft = STFT(64, 16)
    assert [stft.n_frames(n) for n in (1, 16, 17, 32, 33)] == [2, 2, 3, 3, 4]


def test_axes_are_in_hertz_and_seconds():
    stft = STFT(1024, 256)
    frequencies, times = stft.frequencies(48_000), stft.times(5, 48_000)
    assert stft.n_bins == 513
    assert frequencies.shape == (513,)
    assert frequencies[-1] == 24_000
    np.testing.assert_allclose(frequencies, librosa.fft_frequencies(sr=48_000, n_fft=1024))
    np.testing.assert_allclose(times, np.arange(5) * 256 / 48_000)
    assert STFT(5, 2).frequencies(1000)[-1] == 400


def test_a_tone_peaks_at_its_frequency():
    stft, seconds = STFT(1024, 256), np.arange(8192) / 8000
    tone = np.sin(2 * np.pi * 1000 * seconds, dtype=np.float64).astype(np.float32)[None]
    spectrum = np.abs(stft.forward(tone))[0, :, 10]
    assert stft.frequencies(8000)[np.argmax(spectrum)] == 1000


@pytest.mark.parametrize("n_fft", [1, 0, -4])
def test_a_window_without_length_is_refused(n_fft):
    with pytest.raises(ParameterError, match=f"n_fft must be 2 or more, not {n_fft}"):
        STFT(n_fft, 1)


@pytest.mark.parametrize("hop_length", [0, -1, 513])
def test_a_hop_outside_the_window_is_refused(hop_length):
    with pytest.raises(ParameterError, match=rf"from 1 to n_fft \(512\), not {hop_length}"):
        STFT(512, hop_length)


@pytest.mark.parametrize(
    ("n_fft", "hop_length", "window"),
    [(512, 512, "hann"), (512, 511, "hann"), (2, 2, "hann"), (64, 60, "blackman")],
)
def test_a_window_and_hop_that_lose_samples_are_refused_with_the_reason(n_fft, hop_length, window):
    with pytest.raises(ParameterError) as caught:
        STFT(n_fft, hop_length, window)
    message = str(caught.value)
    assert f"{window} window of {n_fft} samples with a hop of {hop_length}" in message
    assert "cannot be inverted" in message
    assert f"hop of {max(1, n_fft // 4)} or less" in message


@pytest.mark.parametrize("window", ["hamming", "boxcar"])
def test_windows_that_do_not_reach_zero_need_no_overlap(window):
    stft, samples = STFT(64, 64, window), noise(1, 300)
    assert error_db(stft.inverse(stft.forward(samples), 300), samples) < -120


@pytest.mark.parametrize("window", ["hanm", "kaiser", "gaussian", "", "hann "])
def test_an_unknown_window_is_refused_by_name(window):
    with pytest.raises(ParameterError, match=repr(window)):
        STFT(512, 128, window)


def test_it_is_a_frozen_value():
    stft = STFT(512, 128)
    assert stft == STFT(512, 128, "hann")
    assert stft != STFT(512, 128, "hamming")
    assert hash(stft) == hash(STFT(512, 128))
    with pytest.raises(dataclasses.FrozenInstanceError):
        stft.n_fft = 3


@pytest.mark.parametrize(("n_fft", "hop_length"), [(64, 16), (64, 24), (50, 50)])
@pytest.mark.parametrize("n_threads", [1, 2])
def test_how_many_frames_are_worked_on_at_a_time_changes_no_bit(
    monkeypatch, n_fft, hop_length, n_threads
):
    stft = STFT(n_fft, hop_length, "hamming")
    samples = np.random.default_rng(0).standard_normal((2, 1000)).astype(np.float32)
    X = stft.forward(samples)
    whole = stft.synthesise(np.stack([X, X * 2]))
    monkeypatch.setattr(stft_module, "_CACHED", 3 * n_fft)
    np.testing.assert_array_equal(stft.forward(samples, n_threads), X)
    np.testing.assert_array_equal(stft.synthesise(np.stack([X, X * 2]), n_threads), whole)


@pytest.mark.parametrize("stft", [STFT(96, 32), STFT(1024, 256), LogSTFT(256, 32)])
def test_a_mask_is_a_product_in_all_channels(stft):
    X = stft.forward(noise(2, 5000))
    mask = np.random.default_rng(1).random(X.shape[1:]).astype(np.float32)
    found = stft.synthesise(X, mask=mask)
    np.testing.assert_array_equal(found, stft.synthesise(X * mask))
    assert np.abs(found - stft.synthesise(X)).max() > 0.1
