"""The context of frames: bands of the frames before and after, also across blocks and thinning."""

from itertools import pairwise

import numpy as np
import pytest

from audionmf.io.audio import Audio
from audionmf.spectra.frames import gather, pooled_magnitude
from audionmf.spectra.neighbours import OFFSETS, REACH, Neighbours, with_margins
from audionmf.spectra.stft import STFT

RATE = 8000
STFT_ = STFT(512, 128, "hann")
CONTEXT = Neighbours.of(STFT_, RATE)


def random(n_frames, seed=0):
    return np.random.default_rng(seed).random((STFT_.n_bins, n_frames)).astype(np.float32)


def sound(n_samples=8000, n_channels=1, seed=0):
    samples = np.random.default_rng(seed).standard_normal((n_channels, n_samples))
    return Audio(samples.astype(np.float32), RATE)


def test_a_context_holds_the_bands_of_the_neighbours_in_turn():
    V = random(30)
    context = CONTEXT.of_frames(V)
    n_bands = len(CONTEXT.bands.edges)
    assert context.shape == (CONTEXT.n_rows, 30)
    for i, offset in enumerate(OFFSETS):
        wanted = CONTEXT.bands.pool(V)[:, 10 + offset]
        assert np.array_equal(context[i * n_bands : (i + 1) * n_bands, 10], wanted)
    assert max(map(abs, OFFSETS)) == REACH


def test_at_the_ends_the_last_frame_stands_for_those_that_are_not_there():
    V = random(30)
    padded = np.concatenate([V[:, :1]] * REACH + [V] + [V[:, -1:]] * REACH, axis=1)
    assert np.array_equal(CONTEXT.of_frames(V), CONTEXT.of_frames(padded, REACH, REACH))


def test_every_bin_is_in_one_band_of_a_neighbour():
    V = random(9)
    context = CONTEXT.of_frames(V).reshape(len(OFFSETS), -1, 9)
    np.testing.assert_allclose(context.sum(axis=1)[0, 6], V[:, 2].sum(), rtol=1e-5)
    assert np.all(np.diff(CONTEXT.bands.edges) > 0)


@pytest.mark.parametrize("semitones", [-6, -1, 1, 6])
def test_the_context_of_a_copy_is_that_of_its_spectra(semitones):
    place = np.arange(STFT_.n_bins)
    smooth = np.exp(-(((place - 90) / 25) ** 2)).astype(np.float32)[:, None]
    ratio = 2 ** (semitones / 12)
    moved = np.interp(place / ratio, place, smooth[:, 0])[:, None].astype(np.float32)
    wanted = CONTEXT.of_frames(moved)
    found = CONTEXT.shifted(CONTEXT.of_frames(smooth), semitones)
    assert np.abs(found - wanted).sum() < 0.1 * wanted.sum()
    assert np.abs(CONTEXT.of_frames(smooth) - wanted).sum() > 0.1 * wanted.sum()
    np.testing.assert_allclose(CONTEXT.shifted(wanted, 0), wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("sizes", [[50], [1] * 50, [3, 1, 40, 2, 4], [7] * 7 + [1], [49, 1]])
@pytest.mark.parametrize("reach", [0, REACH])
def test_margins_are_the_frames_around_a_block(sizes, reach):
    X = np.random.default_rng(0).random((2, 5, 50)).astype(np.complex64)
    edges = np.cumsum([0, *sizes])
    blocks = (X[..., a:b] for a, b in pairwise(edges))
    n_done = 0
    for frames, before, after in with_margins(blocks, reach):
        n = frames.shape[-1] - before - after
        assert n > 0
        assert before == min(reach, n_done)
        assert after == min(reach, 50 - n_done - n)
        assert np.array_equal(frames, X[..., n_done - before : n_done + n + after])
        n_done += n
    assert n_done == 50


@pytest.mark.parametrize("n_frames", [1, 3, 5])
def test_few_frames_have_few_margins(n_frames):
    X = np.ones((1, 5, n_frames), np.complex64)
    found = list(with_margins([X], REACH))
    assert sum(f.shape[-1] - before - after for f, before, after in found) == n_frames


@pytest.mark.parametrize("keep_transform", [False, True])
@pytest.mark.parametrize("n_samples", [3000, 60_000])
def test_thinned_frames_keep_their_true_neighbours(n_samples, keep_transform):
    audio = sound(n_samples, 2)
    V = pooled_magnitude(STFT_.forward(audio.samples))
    frames = gather(audio, STFT_, 100, keep_transform=keep_transform, neighbours=CONTEXT)
    assert (frames.step > 1) == (n_samples == 60_000)
    np.testing.assert_allclose(
        frames.context, CONTEXT.of_frames(V)[:, :: frames.step], rtol=1e-4, atol=1e-5
    )
    np.testing.assert_allclose(frames.V, V[:, :: frames.step], rtol=1e-4, atol=1e-5)


def test_without_neighbours_there_is_no_context():
    assert gather(sound(), STFT_, 100).context is None


def test_a_context_is_made_once_and_is_nobodys_to_change():
    again = Neighbours.of(STFT(512, 128), RATE)
    assert again is CONTEXT
    assert again is not Neighbours.of(STFT_, RATE, 0.5)
    for array in (again.borders, again.bands.edges, again.bands.frequencies):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
