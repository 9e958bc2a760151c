import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audionmf.evaluate.measures import si_sdr
from audionmf.spectra import fused, spatial
from audionmf.spectra.masks import ratio_masks
from audionmf.spectra.spatial import PASSES, estimate_covariances, wiener_filter


def noise(*shape, seed=0):
    """Return complex Gaussian noise."""
    rng = np.random.default_rng(seed)
    return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(np.complex64)


def covariances(n_sources, n_bins, seed=0, rank=2):
    """Return random Hermitian, positive semidefinite matrices of trace 2."""
    A = noise(n_sources, n_bins, 2, rank, seed=seed).astype(np.complex128)
    R = A @ A.conj().swapaxes(-1, -2)
    R *= 2 / np.trace(R, axis1=-2, axis2=-1).real[..., None, None]
    return R.astype(np.complex64)


def powers(*shape, seed=0):
    return (np.random.default_rng(seed).random(shape) + 0.1).astype(np.float32)


def reference(X, v, R):
    """Return v_j R_j (Σ v_i R_i)⁻¹ X, bin by bin in double precision."""
    parts = np.zeros((len(v), *X.shape), np.complex128)
    for f in range(X.shape[1]):
        for t in range(X.shape[2]):
            total = sum(v[j, f, t].astype(float) * R[j, f] for j in range(len(v)))
            whitened = np.linalg.inv(total) @ X[:, f, t]
            for j in range(len(v)):
                parts[j, :, f, t] = v[j, f, t] * (R[j, f] @ whitened)
    return parts


def panned(gains, v, seed=0):
    """Return the images (n_sources, 2, n_bins, n_frames) of noise with powers v, panned."""
    sources = noise(*v.shape, seed=seed) * np.sqrt(v / 2)
    return (gains[:, :, None, None] * sources[:, None]).astype(np.complex64)


def blocks_of(X, v, size=7):
    """Return what gives a part of a mixture by its number, and how many parts there are."""

    def block(i):
        frames = slice(i * size, (i + 1) * size)
        return X[..., frames], v[..., frames]

    return block, -(-X.shape[-1] // size)


# The filter


@given(
    n_sources=st.integers(1, 5),
    n_bins=st.integers(1, 6),
    n_frames=st.integers(1, 6),
    level=st.integers(-20, 20),
    power=st.integers(-20, 20),
    spread=st.integers(0, 12),
    zeros=st.sampled_from(["none", "some", "a source", "all"]),
    silent=st.booleans(),
    rank=st.sampled_from([1, 2]),
    seed=st.integers(0, 1000),
)
@settings(deadline=None, derandomize=True, max_examples=120)
def test_the_parts_sum_to_the_mixture(
    n_sources, n_bins, n_frames, level, power, spread, zeros, silent, rank, seed
):
    rng = np.random.default_rng(seed)
    X = noise(2, n_bins, n_frames, seed=seed) * np.float32(0 if silent else 10.0**level)
    v = powers(n_sources, n_bins, n_frames, seed=seed + 1)
    v *= (10.0 ** (power - spread * rng.random(v.shape))).astype(np.float32)
    if zeros == "some":
        v[rng.random(v.shape) < 0.6] = 0
    elif zeros == "a source":
        v[0] = 0
    elif zeros == "all":
        v[...] = 0
    parts = wiener_filter(X, v, covariances(n_sources, n_bins, seed + 2, rank))
    assert parts.shape == (n_sources, 2, n_bins, n_frames)
    assert parts.dtype == np.complex64
    assert np.isfinite(parts).all()
    error = np.abs(parts.sum(axis=0, dtype=np.complex128) - X)
    # Rounding is that of the largest part, which may be larger than the mixture.
    assert (error <= 4e-6 * np.maximum(np.abs(X), np.abs(parts).max(axis=0))).all()
    if silent:
        assert not parts.any()


@pytest.mark.parametrize("n_sources", [2, 3, 5])
@pytest.mark.parametrize("seed", range(3))
def test_the_filter_is_the_inverse_of_the_sum_of_covariances(n_sources, seed):
    X, v = noise(2, 9, 11, seed=seed), powers(n_sources, 9, 11, seed=seed + 10)
    R = 0.5 * covariances(n_sources, 9, seed + 20) + 0.5 * np.eye(2, dtype=np.complex64)
    expected = reference(X, v, R.astype(np.complex128))
    np.testing.assert_allclose(wiener_filter(X, v, R), expected, atol=1e-3 * np.abs(X).max())


@pytest.mark.parametrize("factor", [1e-12, 1e12])
def test_the_unit_of_the_powers_and_the_level_of_the_mixture_do_not_matter(factor):
    X, v, R = noise(2, 9, 11), powers(3, 9, 11), covariances(3, 9)
    expected = wiener_filter(X, v, R)
    scale = np.float32(factor)
    np.testing.assert_allclose(wiener_filter(X, v * scale, R), expected, atol=1e-4)
    np.testing.assert_allclose(wiener_filter(X * scale, v, R) / scale, expected, atol=1e-4)


def test_a_power_of_two_scales_every_bit():
    X, v, R = noise(2, 9, 11), powers(3, 9, 11), covariances(3, 9)
    expected = wiener_filter(X, v, R)
    for scale in np.float32([2.0**-60, 2.0**60]):
        np.testing.assert_array_equal(wiener_filter(X * scale, v, R), expected * scale)
        np.testing.assert_array_equal(wiener_filter(X, v * scale, R), expected)


@pytest.mark.parametrize("exponent", [1, 1.5, 2])
@pytest.mark.parametrize("neighbours", ["bins", "frames", "bins of doubles"])
def test_powers_that_are_masks_may_come_as_their_models(exponent, neighbours):
    X, models, R = noise(2, 40, 11), 9 * powers(3, 40, 11), covariances(3, 40)
    models[:, 3, 4] = 0
    if neighbours == "bins":
        models = np.ascontiguousarray(models.swapaxes(1, 2)).swapaxes(1, 2)
    elif neighbours != "frames":
        models = models.astype(np.float64)
    expected = wiener_filter(X, ratio_masks(models, exponent).astype(np.float32), R)
    found = wiener_filter(X, models, R, exponent=exponent)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6 * np.abs(X).max())


def test_parts_of_some_sources_are_what_they_are_among_all():
    X, v, R = noise(2, 40, 11), powers(4, 40, 11), covariances(4, 40)
    whole = wiener_filter(X, v, R)
    for only in ([], [2], [3, 0], range(4)):
        np.testing.assert_array_equal(wiener_filter(X, v, R, only), whole[list(only)])


def test_it_is_the_same_to_the_bit_without_a_compiler(monkeypatch):
    X, v, R = noise(2, 40, 11), powers(3, 40, 11), covariances(3, 40)
    v[:, 3:20, 2] = 0
    found, learnt = wiener_filter(X, v, R), estimate_covariances(*blocks_of(X, v), 3, 40)
    monkeypatch.setattr(fused, "_machine_code", lambda *_: (fused._nothing, 0))
    for kept in (spatial._shares_pass, spatial._filter_pass, spatial._gathering_pass):
        kept.cache_clear()
    np.testing.assert_array_equal(wiener_filter(X, v, R), found)
    np.testing.assert_array_equal(estimate_covariances(*blocks_of(X, v), 3, 40), learnt)
    for kept in (spatial._shares_pass, spatial._filter_pass, spatial._gathering_pass):
        kept.cache_clear()


def test_sources_without_a_place_are_shared_out_by_power():
    X, v = noise(2, 9, 11), powers(3, 9, 11)
    R = np.tile(np.eye(2, dtype=np.complex64), (3, 9, 1, 1))
    expected = (v / v.sum(axis=0))[:, None] * X
    np.testing.assert_allclose(wiener_filter(X, v, R), expected, atol=1e-5)


def test_without_any_power_each_source_gets_the_same():
    X, R = noise(2, 9, 11), covariances(4, 9)
    parts = wiener_filter(X, np.zeros((4, 9, 11), np.float32), R)
    np.testing.assert_allclose(parts, np.broadcast_to(X / 4, parts.shape), atol=1e-6)


def test_one_source_gets_everything():
    X = noise(2, 9, 11)
    parts = wiener_filter(X, powers(1, 9, 11), covariances(1, 9, rank=1))
    np.testing.assert_allclose(parts[0], X, atol=1e-5)


def test_what_is_hard_left_and_hard_right_comes_apart():
    R = np.zeros((2, 9, 2, 2), np.complex64)
    R[0, :, 0, 0] = R[1, :, 1, 1] = 2
    X = noise(2, 9, 11)
    parts = wiener_filter(X, powers(2, 9, 11), R)
    np.testing.assert_allclose(parts[0], X * np.float32([1, 0])[:, None, None], atol=0.02)


def test_a_frame_does_not_depend_on_the_frames_beside_it_and_inputs_are_only_read():
    X, v, R = noise(2, 33, 40), powers(3, 33, 40), covariances(3, 33)
    for array in (X, v, R):
        array.flags.writeable = False
    whole = wiener_filter(X, v, R)
    for t in (0, 17, 39):
        part = wiener_filter(X[..., t : t + 1], v[..., t : t + 1], R)
        np.testing.assert_array_equal(part[..., 0], whole[..., t])


# What is learnt about the places


def assert_proper(R, n_sources, n_bins):
    assert R.shape == (n_sources, n_bins, 2, 2)
    assert R.dtype == np.complex64
    assert np.isfinite(R).all()
    np.testing.assert_allclose(R, R.conj().swapaxes(-1, -2), atol=1e-6)
    np.testing.assert_allclose(np.trace(R, axis1=-2, axis2=-1), 2, atol=1e-5)
    assert np.linalg.eigvalsh(R.astype(np.complex128)).min() >= -1e-6


@given(
    n_sources=st.integers(1, 4),
    n_bins=st.integers(1, 6),
    n_frames=st.integers(1, 20),
    level=st.integers(-12, 12),
    sparse=st.booleans(),
    seed=st.integers(0, 1000),
)
@settings(deadline=None, derandomize=True, max_examples=60)
def test_covariances_are_hermitian_and_positive_semidefinite_with_trace_two(
    n_sources, n_bins, n_frames, level, sparse, seed
):
    X = noise(2, n_bins, n_frames, seed=seed) * np.float32(10.0**level)
    v = powers(n_sources, n_bins, n_frames, seed=seed + 1)
    if sparse:
        v[np.random.default_rng(seed).random(v.shape) < 0.7] = 0
    found = estimate_covariances(*blocks_of(X, v), n_sources, n_bins)
    assert_proper(found, n_sources, n_bins)


def sparse_powers(n_sources, n_bins, n_frames, seed=0):
    """Return powers as music has them: few bins of each source are loud at a time."""
    return (np.random.default_rng(seed).random((n_sources, n_bins, n_frames)) ** 8).astype(
        np.float32
    )


GAINS = np.array([[np.cos(0.3), np.sin(0.3)], [np.cos(1.2), np.sin(1.2)]])


def test_the_panning_of_two_sources_is_found():
    v = sparse_powers(2, 20, 300)
    X = panned(GAINS, v).sum(axis=0)
    found = estimate_covariances(*blocks_of(X, v), 2, 20)
    assert_proper(found, 2, 20)
    for j, gains in enumerate(GAINS):
        mean = found[j].mean(axis=0)
        values, vectors = np.linalg.eigh(mean)
        assert np.abs(vectors[:, 1] @ gains) > 0.99
        assert values[1] > 1.8
    # The amplitude of left and right, not their sign alone.
    assert found[0, :, 0, 0].real.mean() == pytest.approx(2 * GAINS[0, 0] ** 2, abs=0.15)
    assert found[1, :, 0, 0].real.mean() == pytest.approx(2 * GAINS[1, 0] ** 2, abs=0.15)


def test_a_source_out_of_phase_is_told_from_one_in_phase():
    gains = np.array([[1, 1], [1, -1]]) / np.sqrt(2)
    v = sparse_powers(2, 20, 300)
    found = estimate_covariances(*blocks_of(panned(gains, v).sum(axis=0), v), 2, 20)
    assert found[0, :, 0, 1].real.mean() > 0.8
    assert found[1, :, 0, 1].real.mean() < -0.8


def test_places_follow_the_bin():
    v = sparse_powers(2, 20, 600)
    X = panned(GAINS, v).sum(axis=0)
    X[:, 10:] = X[::-1, 10:]
    left = estimate_covariances(*blocks_of(X, v), 2, 20)[0, :, 0, 0].real
    assert left[:10].mean() - left[10:].mean() > 1


@pytest.mark.parametrize("size", [1, 13, 300])
def test_the_blocks_do_not_matter(size):
    v = sparse_powers(2, 5, 300)
    X = panned(GAINS, v).sum(axis=0)
    whole = estimate_covariances(*blocks_of(X, v, 1000), 2, 5)
    np.testing.assert_allclose(estimate_covariances(*blocks_of(X, v, size), 2, 5), whole, atol=1e-4)


def by_filtering(X, v, n_rounds=4, shrink=0.1):
    """Return what is learnt by filtering, and taking the covariance of what each source gets."""
    n_sources, n_bins = v.shape[:2]
    R = np.tile(np.eye(2, dtype=np.complex64), (n_sources, n_bins, 1, 1))
    for _ in range(n_rounds):
        parts = wiener_filter(X, v, R).astype(np.complex128)
        sums = np.einsum("jaft,jbft->jfab", parts, parts.conj())
        traces = np.trace(sums, axis1=2, axis2=3).real / 2
        mean = sums.sum(axis=1) / traces.sum(axis=1)[:, None, None]
        weight = shrink * traces.mean(axis=1)[:, None, None, None]
        R = (sums + weight * mean[:, None]) / (traces[..., None, None] + weight)
        R = R.astype(np.complex64)
    return R


@pytest.mark.parametrize("n_sources", [1, 2, 4])
@pytest.mark.parametrize("width", [0, 1e-3, 1])
def test_what_is_learnt_is_the_covariance_of_what_the_filter_gives(n_sources, width):
    v = sparse_powers(n_sources, 12, 200)
    v[:, :3, :20] = 0  # nothing is known there
    angles = np.linspace(0.1, 1.4, n_sources)
    gains = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    X = (panned(gains, v).sum(axis=0) + np.float32(width) * noise(2, 12, 200)).astype(np.complex64)
    found = estimate_covariances(*blocks_of(X, v, 64), n_sources, 12)
    np.testing.assert_allclose(found, by_filtering(X, v), atol=2e-3)


def test_threads_do_not_matter_and_progress_is_told():
    v, told = sparse_powers(2, 20, 90), []
    X = panned(GAINS, v).sum(axis=0)
    one = estimate_covariances(*blocks_of(X, v, 10), 2, 20, progress=told.append)
    three = estimate_covariances(*blocks_of(X, v, 10), 2, 20, n_threads=3)
    np.testing.assert_array_equal(one, three)
    assert told == sorted(told)
    assert len(told) == 9 * PASSES
    assert told[-1] == 1


def test_a_source_that_never_sounds_stands_nowhere():
    v = sparse_powers(3, 8, 100)
    v[1] = 0
    X = panned(GAINS, v[[0, 2]]).sum(axis=0)
    found = estimate_covariances(*blocks_of(X, v), 3, 8)
    assert_proper(found, 3, 8)
    np.testing.assert_array_equal(found[1], np.broadcast_to(np.eye(2), (8, 2, 2)))
    parts = wiener_filter(X, v, found)
    assert np.abs(parts[1]).max() <= 1e-6 * np.abs(X).max()


def test_a_silent_mixture_puts_every_source_nowhere():
    silence = np.zeros((2, 8, 30), np.complex64)
    found = estimate_covariances(*blocks_of(silence, powers(2, 8, 30)), 2, 8)
    np.testing.assert_array_equal(found, np.broadcast_to(np.eye(2), (2, 8, 2, 2)))


def test_the_place_tells_sources_apart_that_powers_alone_cannot():
    true = sparse_powers(2, 20, 300)
    known = (true + 0.3 * true[::-1]).astype(np.float32)
    images = panned(GAINS, true)
    X = images.sum(axis=0)
    found = estimate_covariances(*blocks_of(X, known), 2, 20)
    parts, masked = wiener_filter(X, known, found), ratio_masks(known)[:, None] * X
    for image, part, mask in zip(images, parts, masked, strict=True):
        real, ours, plain = (x.reshape(2, -1).view(np.float32) for x in (image, part, mask))
        assert si_sdr(real, ours) > si_sdr(real, plain) + 3
