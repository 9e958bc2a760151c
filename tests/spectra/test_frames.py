import tracemalloc
import warnings

import numpy as np
import pytest
from conftest import RATE, sound, two_notes
from hypothesis import given, settings
from hypothesis import strategies as st

from audionmf import STFT, Audio, AudioWarning
from audionmf.io.audio import AudioFile
from audionmf.spectra import fourier, stft
from audionmf.spectra import frames as frontend
from audionmf.spectra.bands import Bands
from audionmf.spectra.frames import gather, pooled_magnitude
from audionmf.spectra.neighbours import WEIGHT, Neighbours

SMALL = STFT(16, 4)


def noise(n_channels, n_samples, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n_channels, n_samples)).astype(np.float32)


def transform(*shape, level=1.0, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal(shape) + 1j * rng.standard_normal(shape)
    return (level * X).astype(np.complex64)


class InPieces(Audio):
    """Audio that comes in blocks of some size."""

    size = 1

    def blocks(self, size=None):
        yield from super().blocks(self.size)


def in_pieces(samples, size):
    audio = InPieces(samples, RATE)
    object.__setattr__(audio, "size", size)
    return audio


# Which frames are kept


@given(
    n_samples=st.integers(16, 3000),
    max_frames=st.integers(1, 400),
    size=st.integers(1, 1000),
    block_frames=st.sampled_from([1, 3, 64, 256]),
    keep=st.booleans(),
)
@settings(deadline=None, derandomize=True, max_examples=60)
def test_every_so_many_frames_one_is_kept(n_samples, max_frames, size, block_frames, keep):
    samples = noise(2, n_samples)
    X = SMALL.forward(samples)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frontend, "BLOCK_FRAMES", block_frames)
        found = gather(in_pieces(samples, size), SMALL, max_frames, keep_transform=keep)
    n_frames, step = X.shape[-1], found.step
    assert step & (step - 1) == 0
    assert found.V.shape[1] == -(-n_frames // step) <= max_frames
    assert step == 1 or -(-n_frames // (step // 2)) > max_frames  # no more are dropped than needed
    np.testing.assert_array_equal(found.V, pooled_magnitude(X[..., ::step]))
    assert found.n_samples == n_samples
    if keep:
        np.testing.assert_array_equal(found.X, X[..., ::step])
    else:
        assert found.X is None


@pytest.mark.parametrize("promised", [1, 4, 1500, 3000, 9000, 10**7])
@pytest.mark.parametrize("n_threads", [1, 3])
def test_a_header_may_promise_any_length(monkeypatch, promised, n_threads):
    samples = noise(2, 3000)
    whole, lying = Audio(samples, RATE), in_pieces(samples, 700)
    expected = gather(whole, SMALL, 50, keep_transform=True)
    monkeypatch.setattr(InPieces, "n_samples", promised, raising=False)
    monkeypatch.setattr(InPieces, "blocks", lambda self: whole.blocks(700))
    found = gather(lying, SMALL, 50, keep_transform=True, n_threads=n_threads)
    assert (found.step, found.n_samples) == (expected.step, 3000)
    np.testing.assert_array_equal(found.X, expected.X)
    np.testing.assert_array_equal(found.V, expected.V)


def test_frames_that_are_left_out_are_not_transformed(monkeypatch):
    rows = []

    def counted(framed, n_threads, out):
        rows.append(framed.shape[-2])
        return fourier.rfft(framed, n_threads, out)

    monkeypatch.setattr(stft, "rfft", counted)
    found = gather(in_pieces(noise(2, 40_000), 6000), SMALL, 100)
    assert sum(rows) == 2 * found.V.shape[1] < 200  # of both channels


@pytest.mark.parametrize(
    ("max_frames", "step"), [(1001, 1), (1000, 2), (501, 2), (500, 4), (1, 1024)]
)
def test_the_step_is_the_least_power_of_two_that_will_do(max_frames, step):
    samples = noise(1, 4000)
    assert SMALL.n_frames(4000) == 1001
    found = gather(Audio(samples, RATE), SMALL, max_frames)
    assert (found.step, found.V.shape) == (step, (9, -(-1001 // step)))


@pytest.mark.parametrize("max_frames", [1000, 100])
@pytest.mark.parametrize("n_channels", [1, 2, 5])
def test_the_bins_of_a_frame_are_neighbours_and_types_are_single(n_channels, max_frames):
    audio = Audio(noise(n_channels, 2000), RATE)
    found = gather(audio, SMALL, max_frames, keep_transform=True)
    assert found.V.dtype == np.float32
    assert found.X.dtype == np.complex64
    assert found.V.flags.f_contiguous
    assert found.X.shape == (n_channels, *found.V.shape)
    assert found.X.strides[1] == found.X.itemsize
    without = gather(audio, SMALL, max_frames)
    assert without.V.flags.f_contiguous
    np.testing.assert_array_equal(without.V, found.V)


def test_a_file_gives_what_its_samples_give(tmp_path):
    path = sound(tmp_path / "mix.wav", two_notes(2), "FLOAT")
    expected = gather(Audio(two_notes(2).astype(np.float32), RATE), SMALL, 100)
    found = gather(AudioFile(path), SMALL, 100)
    np.testing.assert_array_equal(found.V, expected.V)
    assert found.n_samples == expected.n_samples == 4000


@pytest.mark.parametrize(("max_frames", "size"), [(1000, 16), (100, 16), (100, 7)])
def test_threads_do_not_change_a_bit(monkeypatch, max_frames, size):
    monkeypatch.setattr(frontend, "BLOCK_FRAMES", size)
    audio, transform = Audio(noise(2, 20_000), RATE), STFT(256, 64)
    around, bands = Neighbours.of(transform, RATE), Bands.of(transform, RATE)
    how = {"keep_transform": True, "neighbours": around, "bands": bands}
    one, two = (gather(audio, transform, max_frames, n_threads=n, **how) for n in (1, 3))
    for name in ("V", "X", "context", "every"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    np.testing.assert_array_equal(one.X, transform.forward(audio.samples)[..., :: one.step])


def test_progress_rises_to_the_end():
    told = []
    gather(in_pieces(noise(1, 5000), 500), SMALL, 100, progress=told.append)
    assert told == sorted(told)
    assert 0 < told[0] < told[-1] == 1


# The magnitude of several channels


@pytest.mark.parametrize("n_channels", [1, 2, 3, 6])
@pytest.mark.parametrize("level", [1e-30, 1e-10, 1.0, 1e10, 1e30])
def test_channels_are_pooled_to_their_root_mean_square_at_any_level(n_channels, level):
    X = transform(n_channels, 9, 20, level=level)
    X[:, 3, 4] = 0
    pooled = pooled_magnitude(X)
    expected = np.sqrt((np.abs(X.astype(np.complex128)) ** 2).mean(axis=0))
    assert pooled.dtype == np.float32
    np.testing.assert_allclose(pooled, expected, rtol=1e-6)
    assert pooled[3, 4] == 0


def test_equal_channels_pool_to_one_of_them_and_a_silent_one_counts():
    X = transform(1, 9, 20)
    np.testing.assert_allclose(pooled_magnitude(np.repeat(X, 4, axis=0)), np.abs(X[0]), rtol=1e-6)
    with_silence = np.concatenate([X, np.zeros_like(X)])
    np.testing.assert_allclose(pooled_magnitude(with_silence), np.abs(X[0]) / 2**0.5, rtol=1e-6)


def test_pooling_only_reads():
    X = transform(2, 9, 20)
    kept = X.copy()
    X.flags.writeable = False
    pooled_magnitude(X)[...] = 0
    np.testing.assert_array_equal(X, kept)


# What is said about odd recordings


def test_silence_is_said_aloud():
    with pytest.warns(AudioWarning, match="the array of samples is silent"):
        found = gather(Audio(np.zeros((2, 500), np.float32), RATE), SMALL, 20, keep_transform=True)
    assert not found.V.any()
    assert not found.X.any()


def test_less_than_a_window_is_said_aloud(tmp_path):
    path = sound(tmp_path / "short.wav", two_notes(1, 15))
    with pytest.warns(
        AudioWarning, match=r"short\.wav' has 15 samples, less than one window of 16"
    ):
        assert gather(AudioFile(path), SMALL).V.shape == (9, 5)


def test_sound_anywhere_is_not_silence_even_where_no_frame_is_kept():
    samples = np.zeros((1, 4000), np.float32)
    samples[0, 3000] = 1e-38
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gather(in_pieces(samples, 100), SMALL, 2)
        gather(Audio(np.ones((1, 16), np.float32), RATE), SMALL)


def test_frames_that_are_left_out_in_the_end_are_never_kept(monkeypatch):
    """Those around frames are needed all, and so all are transformed."""
    thinned, halve = [], frontend._Kept.halve
    monkeypatch.setattr(frontend._Kept, "halve", lambda kept: thinned.append(1) or halve(kept))
    samples, frames = noise(2, 40_000), STFT(512, 128)
    around = Neighbours.of(frames, RATE)
    found = gather(Audio(samples, RATE), frames, 60, keep_transform=True, neighbours=around)
    assert not thinned
    assert found.step == 8
    np.testing.assert_allclose(found.X, frames.forward(samples)[..., ::8], atol=1e-4)


def test_frames_are_put_where_they_stay():
    """Kept in pieces and joined in the end they would be there twice."""
    mixture, transform = Audio(noise(2, 1_000_000), RATE), STFT(512, 128)
    gather(mixture, transform, keep_transform=True)
    tracemalloc.start()
    found = gather(mixture, transform, keep_transform=True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.25 * (found.X.nbytes + found.V.nbytes)


@pytest.mark.parametrize("n_channels", [1, 2, 3])
@pytest.mark.parametrize("shape", [(130, 70), (3, 1025), (1, 5)])
def test_channels_are_pooled_as_by_hypot_at_any_level(n_channels, shape):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n_channels, *shape)) + 1j * rng.standard_normal((n_channels, *shape))
    X = (X * 10 ** rng.uniform(-18, 18, X.shape)).astype(np.complex64).swapaxes(1, 2)
    expected = np.abs(X[0])
    for channel in X[1:]:
        expected = np.hypot(expected, np.abs(channel))
    expected = expected / np.float32(np.sqrt(n_channels))
    found = pooled_magnitude(X)
    np.testing.assert_allclose(found, expected, rtol=3e-7)
    assert found.T.flags.c_contiguous


@pytest.mark.parametrize("max_frames", [60, 7, 1000])
def test_bands_and_contexts_of_all_frames_are_kept_where_they_are_asked_for(
    monkeypatch, max_frames
):
    samples, transform = noise(2, 40_000), STFT(512, 128)
    around, bands = Neighbours.of(transform, RATE), Bands.of(transform, RATE)
    how = {"neighbours": around, "keep_transform": True, "bands": bands}
    found = gather(Audio(samples, RATE), transform, max_frames, **how)
    whole = gather(Audio(samples, RATE), transform, neighbours=around)
    assert whole.step == 1
    assert whole.every is None
    if max_frames == 1000:  # all of them are kept anyway
        assert found.every is None
        return
    wanted = np.concatenate([bands.pool(whole.V), np.float32(WEIGHT) * whole.context])
    np.testing.assert_array_equal(found.every, wanted)
    assert found.every.T.flags.c_contiguous
    monkeypatch.setattr(frontend, "_MOST_EVERY", whole.V.shape[1] - 1)
    assert gather(Audio(samples, RATE), transform, max_frames, **how).every is None
