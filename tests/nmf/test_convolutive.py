"""Convolutive NMF against plain NumPy that loops over the lags."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audionmf import ParameterError
from audionmf.nmf import State, beta_divergence
from audionmf.nmf import fit as fit_plain
from audionmf.nmf.convolutive import ConvolutiveNMF, activate, fit, model

# (n_bins, n_frames), n_components, n_lags
SIZES = [
    ((17, 23), 3, 4),
    ((1, 30), 2, 3),
    ((9, 1), 2, 3),
    ((5, 4), 2, 7),
    ((33, 150), 1, 16),
    ((40, 70), 5, 1),
]


def positive(*shape, seed=0, dtype=np.float64):
    return (np.random.default_rng(seed).random(shape) + 0.05).astype(dtype)


def later(H, lag):
    """Return H moved by `lag` frames; what leaves at the end is lost."""
    moved = np.zeros_like(H)
    moved[:, lag:] = H[:, : H.shape[1] - lag] if lag < H.shape[1] else 0
    return moved


def reference_model(W, H):
    return sum(W[lag] @ later(H, lag) for lag in range(len(W)))


def ratio(over, under):
    return np.divide(over, under, out=np.zeros_like(over), where=under > 0)


def update_activations(V, W, H):
    Q = ratio(V, reference_model(W, H))
    over, under = np.zeros_like(H), np.zeros_like(H)
    for lag in range(min(len(W), V.shape[1])):
        heard = slice(0, V.shape[1] - lag)
        over[:, heard] += W[lag].T @ Q[:, lag:]
        under[:, heard] += W[lag].sum(axis=0)[:, None]
    return H * ratio(over, under)


def update_templates(V, W, H):
    Q = ratio(V, reference_model(W, H))
    moved = [later(H, lag) for lag in range(len(W))]
    under = np.stack([np.broadcast_to(h.sum(axis=1), W[0].shape) for h in moved])
    return W * ratio(np.stack([Q @ h.T for h in moved]), under)


def reference(V, W, H, n_iter):
    for _ in range(n_iter):
        H = update_activations(V, W, H)
        W = update_templates(V, W, H)
    return W, H


def problem(shape, n_components, n_lags, dtype=np.float64):
    V = positive(*shape, dtype=dtype) ** 3
    W = positive(n_lags, shape[0], n_components, seed=1, dtype=dtype)
    H = positive(n_components, shape[1], seed=2, dtype=dtype)
    return V, W, H


def drums(n_bins=24, n_frames=200, n_lags=8):
    """Make two patterns that decay, one low and one high, and where they are struck."""
    bins, lags = np.arange(n_bins)[:, None], np.arange(n_lags)[:, None, None]
    centres, rates = np.array([4, 17]), np.array([0.6, 1.0])
    W = np.exp(-0.5 * ((bins - centres) / 2) ** 2 - rates * lags) + 1e-3
    W *= 1 + 0.5 * np.cos(lags + bins)
    W /= W.sum(axis=(0, 1))
    H = np.zeros((2, n_frames))
    H[0, 5::40], H[1, 13::29] = 1, 0.7
    return W, H


def assert_same(first, second):
    np.testing.assert_array_equal(first.templates, second.templates)
    np.testing.assert_array_equal(first.activations, second.activations)
    np.testing.assert_array_equal(first.divergence, second.divergence)


# The updates


@pytest.mark.parametrize(("shape", "n_components", "n_lags"), SIZES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-11), (np.float32, 3e-5)])
def test_the_iterations_are_those_of_plain_numpy(shape, n_components, n_lags, dtype, tolerance):
    V, W, H = problem(shape, n_components, n_lags, dtype)
    found = fit(V, n_components, n_lags, max_iter=25, tol=0, templates=W, activations=H)
    W, H = reference(V.astype(np.float64), W.astype(np.float64), H.astype(np.float64), 25)
    sums = W.sum(axis=(0, 1))
    assert found.templates.dtype == found.activations.dtype == dtype
    expected = W / sums
    np.testing.assert_allclose(found.templates, expected, atol=tolerance * expected.max())
    expected = H * sums[:, None]
    np.testing.assert_allclose(found.activations, expected, atol=tolerance * expected.max())


@pytest.mark.parametrize("n_frames", [4095, 4096, 4097, 9000])
def test_the_iterations_are_those_of_plain_numpy_over_many_frames(n_frames):
    V, W, H = problem((3, n_frames), 2, 3)
    found = fit(V, 2, 3, max_iter=3, tol=0, templates=W, activations=H)
    W, H = reference(V, W, H, 3)
    np.testing.assert_allclose(found.templates, W / W.sum(axis=(0, 1)), rtol=1e-10)
    np.testing.assert_allclose(found.activations, H * W.sum(axis=(0, 1))[:, None], rtol=1e-10)


def test_one_lag_is_plain_nmf():
    V, W, H = problem((17, 40), 3, 1)
    found = fit(V, 3, 1, max_iter=30, tol=0, templates=W, activations=H)
    plain = fit_plain(V, 3, max_iter=30, tol=0, method="plain", templates=W[0], activations=H)
    np.testing.assert_allclose(found.templates[0], plain.templates, rtol=1e-9)
    np.testing.assert_allclose(found.activations, plain.activations, rtol=1e-9)
    np.testing.assert_allclose(found.divergence, plain.divergence, rtol=1e-9)


@pytest.mark.parametrize(("shape", "n_components", "n_lags"), SIZES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_model_is_that_of_plain_numpy(shape, n_components, n_lags, dtype):
    _, W, H = problem(shape, n_components, n_lags, dtype)
    found = model(W, H)
    assert found.dtype == dtype
    np.testing.assert_allclose(found, reference_model(W, H), rtol=1e-5)
    parts = sum(model(W[:, :, [k]], H[[k]]) for k in range(n_components))
    np.testing.assert_allclose(parts, found, rtol=1e-5)


def test_the_model_of_many_frames_is_whole():
    _, W, H = problem((2, 8200), 2, 3)
    np.testing.assert_allclose(model(W, H), reference_model(W, H), rtol=1e-12)


# Descent


def data_of(kind, shape, seed, dtype):
    rng = np.random.default_rng(seed)
    V = rng.random(shape) ** 4
    if kind == "sparse":
        V[rng.random(shape) < 0.7] = 0
    elif kind == "silent parts":
        V[:, :: max(2, shape[1] // 3)] = 0
        V[-1] = 0
    elif kind == "silence":
        V[...] = 0
    elif kind == "loud frame":
        V[:, shape[1] // 2] *= 1e6
    elif kind == "quiet":
        V *= 1e-30
    return V.astype(dtype)


def descent(V, *sizes, **options):
    """Return the result and the divergences as they were computed, that of the result last."""
    told = []
    found = fit(V, *sizes, tol=0, callback=lambda state: told.append(state.divergence), **options)
    result = reference_model(
        found.templates.astype(np.float64), found.activations.astype(np.float64)
    )
    return found, np.array([*told, beta_divergence(V, np.maximum(result, 1e-25 * V.max()))])


@given(
    kind=st.sampled_from(["random", "sparse", "silent parts", "silence", "loud frame", "quiet"]),
    shape=st.tuples(st.integers(1, 12), st.integers(1, 24)),
    n_components=st.integers(1, 4),
    n_lags=st.integers(1, 8),
    dtype=st.sampled_from([np.float32, np.float64]),
    start=st.sampled_from(["random", "given", "given with zeros", "fixed", "partly fixed"]),
    seed=st.integers(0, 1000),
)
@settings(deadline=None, derandomize=True, max_examples=80)
def test_the_divergence_never_rises(kind, shape, n_components, n_lags, dtype, start, seed):
    V = data_of(kind, shape, seed, dtype)
    options = {"seed": seed}
    if start != "random":
        W = 100 * positive(n_lags, shape[0], n_components, seed=seed + 1) ** 3
        H = V.max() * positive(n_components, shape[1], seed=seed + 2) ** 3
        if start == "given with zeros":
            W[1:, 1:][W[1:, 1:] < 10] = 0
            H[1:, 1:][H[1:, 1:] < 0.1 * V.max()] = 0
        options |= {"templates": W, "activations": H}
    if start == "fixed":
        options["fixed_templates"] = True
    if start == "partly fixed":
        options["fixed_templates"] = np.arange(n_components) % 2 == 0
    found, values = descent(V, n_components, n_lags, max_iter=80, **options)
    for array in (found.templates, found.activations, found.divergence):
        assert np.isfinite(array).all()
        assert (array >= 0).all()
    assert (np.diff(found.divergence) <= 0).all()
    # What rounding may add: to the divergence, and to a sum of V where the model fits exactly.
    eps = np.finfo(dtype).eps
    slack = 10 * eps * values[0] + 20 * eps * float(V.sum(dtype=np.float64))
    assert (np.diff(values) <= slack).all()
    np.testing.assert_allclose(found.divergence, values, rtol=1e-5, atol=10 * slack)


def test_to_update_both_from_one_ratio_can_raise_the_divergence():
    """It is why the ratio is computed twice: the plain reference shows it on the same problem."""
    raised = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        n_bins, n_frames, n_components, n_lags = (rng.integers(1, n) for n in (12, 25, 6, 6))
        V, W = rng.random((n_bins, n_frames)) ** 4, rng.random((n_lags, n_bins, n_components))
        H = np.full((n_components, n_frames), V.mean())
        values = []
        for _ in range(60):
            values.append(beta_divergence(V, reference_model(W, H)))
            W, H = update_templates(V, W, H), update_activations(V, W, H)
        raised += (np.diff(values) > 1e-9 * values[0]).any()
        _, values = descent(V, n_components, n_lags, max_iter=60, templates=W, activations=H)
        assert (np.diff(values) <= 1e-12 * values[0] + 1e-13).all()
    assert raised > 10


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_patterns_that_repeat_are_found_with_where_they_start(dtype):
    W, H = drums()
    V = reference_model(W, H).astype(dtype)
    start = W * (0.5 + positive(*W.shape, seed=3))
    found = fit(V, 2, 8, max_iter=2000, tol=0, templates=start)
    assert found.divergence[-1] < 1e-4 * V.sum()
    np.testing.assert_allclose(found.templates, W, atol=0.02 * W.max())
    np.testing.assert_allclose(found.activations, H, atol=0.02)


# The result


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_divergence_is_that_of_the_start_and_of_the_result(dtype):
    V, W, H = problem((20, 40), 3, 5, dtype)
    found = fit(V, 3, 5, max_iter=15, tol=0, templates=W, activations=H)
    assert found.divergence[0] == pytest.approx(beta_divergence(V, reference_model(W, H)), rel=1e-5)
    result = model(found.templates, found.activations)
    assert found.divergence[-1] == pytest.approx(beta_divergence(V, result), rel=1e-5)
    assert found.divergence.dtype == np.float64
    assert list(found.evaluated) == list(range(16))
    assert len(found.divergence) == 16
    assert found.n_iter == 15


def test_the_result_says_what_it_is():
    found = fit(positive(20, 40), 3, 5, max_iter=5)
    assert isinstance(found, ConvolutiveNMF)
    assert (found.n_components, found.n_lags, found.beta) == (3, 5, 1)
    assert found.templates.shape == (5, 20, 3)
    assert found.activations.shape == (3, 40)


def test_patterns_sum_to_one_and_activations_are_in_the_unit_of_the_data():
    V = positive(20, 40)
    found = fit(V, 3, 5)
    np.testing.assert_allclose(found.templates.sum(axis=(0, 1)), 1)
    assert model(found.templates, found.activations).sum() == pytest.approx(V.sum(), rel=1e-6)


def test_no_iterations_return_the_start():
    V, W, H = problem((6, 8), 3, 4)
    found = fit(V, 3, 4, max_iter=0, templates=W, activations=H)
    assert (found.n_iter, found.reason) == (0, "max_iter")
    result = model(found.templates, found.activations)
    np.testing.assert_allclose(result, reference_model(W, H))


@pytest.mark.parametrize("level", [2.0**-80, 2.0**60])
def test_the_level_passes_through_without_rounding(level):
    V = positive(12, 30, dtype=np.float32)
    told, found = [], fit(V, 2, 4, max_iter=10)
    loud = fit(V * np.float32(level), 2, 4, max_iter=10, callback=told.append)
    np.testing.assert_array_equal(loud.templates, found.templates)
    np.testing.assert_array_equal(loud.activations, found.activations * np.float32(level))
    np.testing.assert_array_equal(loud.divergence, found.divergence * level)
    np.testing.assert_array_equal([s.divergence for s in told], loud.divergence[:-1])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_silence_stays_silent(dtype):
    V = np.zeros((6, 20), dtype)
    found = fit(V, 2, 4)
    assert not found.activations.any()
    assert not found.divergence.any()
    assert np.isfinite(found.templates).all()
    assert not activate(V, positive(4, 6, 2)).any()


def test_a_silent_pattern_takes_no_part():
    V, W, _ = problem((6, 20), 3, 4)
    W[:, :, 1] = 0
    found = fit(V, 3, 4, templates=W)
    assert not found.templates[:, :, 1].any()
    assert not found.activations[1].any()
    assert not activate(V, W)[1].any()
    others = activate(V, W[:, :, [0, 2]], n_iter=500)
    np.testing.assert_allclose(activate(V, W, n_iter=500)[[0, 2]], others, atol=1e-3)


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.float16])
def test_other_real_types_become_double_precision(dtype):
    V = (10 * positive(6, 8)).astype(dtype)
    found = fit(V, 2, 3, max_iter=5)
    assert found.templates.dtype == found.activations.dtype == np.float64
    assert_same(found, fit(V.astype(np.float64), 2, 3, max_iter=5))


# Starts


def test_the_seed_decides_the_random_start():
    V = positive(10, 30)
    first, again, other = (fit(V, 2, 3, max_iter=5, seed=seed) for seed in (1, 1, 2))
    assert_same(first, again)
    assert not np.allclose(first.templates, other.templates)
    generator = fit(V, 2, 3, max_iter=5, seed=np.random.default_rng(1))
    assert_same(first, generator)


def test_given_patterns_start_at_one_level_with_the_same_share_each():
    V, W, _ = problem((10, 30), 3, 4)
    W *= np.array([1, 1e-3, 1e4])
    found = fit(V, 3, 4, max_iter=0, templates=W)
    np.testing.assert_allclose(found.templates, W / W.sum(axis=(0, 1)))
    np.testing.assert_allclose(found.activations, V.sum() / 30 / 3)


def test_the_scale_of_given_patterns_does_not_matter():
    V, W, _ = problem((10, 30), 3, 4)
    found = fit(V, 3, 4, templates=W)
    scaled = fit(V, 3, 4, templates=W * np.array([1e-20, 1, 1e20]))
    np.testing.assert_allclose(scaled.templates, found.templates, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(scaled.activations, found.activations, rtol=1e-9, atol=1e-12)


def test_patterns_that_are_not_given_start_at_random():
    V, W, _ = problem((10, 30), 2, 4)
    first, other = (fit(V, 4, 4, max_iter=0, templates=W, seed=seed) for seed in (0, 1))
    np.testing.assert_allclose(first.templates[:, :, :2], W / W.sum(axis=(0, 1)))
    assert (first.templates[:, :, 2:] != other.templates[:, :, 2:]).all()
    np.testing.assert_allclose(first.templates.sum(axis=(0, 1)), 1)


def test_given_activations_come_first_and_their_zeros_stay():
    V, _, H = problem((10, 30), 2, 4)
    H[1, 5:9] = 0
    found = fit(V, 3, 4, max_iter=0, activations=H)
    np.testing.assert_allclose(found.activations[:2], H)
    found = fit(V, 3, 4, max_iter=20, activations=H)
    assert not found.activations[1, 5:9].any()
    assert found.activations[1, 9:].any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("mask", [[True, False, False], [False, True, True], [True], [False, True]])
def test_fixed_patterns_come_back_bit_for_bit(mask, dtype):
    V, W, _ = problem((10, 30), 3, 4, dtype)
    W *= np.array([1, 1e-3, 77], dtype)
    if len(mask) < 3:
        W = W[:, :, : len(mask)]
    found = fit(V, 3, 4, templates=W, fixed_templates=mask)
    kept = np.flatnonzero(mask)
    np.testing.assert_array_equal(found.templates[:, :, kept], W[:, :, kept])
    result = model(found.templates, found.activations)
    assert found.divergence[-1] == pytest.approx(beta_divergence(V, result), rel=1e-4)
    others = np.setdiff1d(range(3), kept)
    np.testing.assert_allclose(found.templates[:, :, others].sum(axis=(0, 1)), 1, rtol=1e-5)
    assert found.divergence[-1] < found.divergence[0]


def test_free_patterns_adapt_beside_fixed_ones():
    V, W, H = problem((10, 30), 3, 4)
    fixed = np.array([True, False, True])
    found = fit(V, 3, 4, max_iter=20, tol=0, templates=W, activations=H, fixed_templates=fixed)
    for _ in range(20):
        H = update_activations(V, W, H)
        W = np.where(fixed, W, update_templates(V, W, H))
    sums = np.where(fixed, 1, W.sum(axis=(0, 1)))
    np.testing.assert_allclose(found.templates, W / sums, rtol=1e-9)
    np.testing.assert_allclose(found.activations, H * sums[:, None], rtol=1e-9)


@pytest.mark.parametrize("fixed", [True, [True, True, True]])
def test_fixed_patterns_are_activated(fixed):
    V, W, H = problem((10, 30), 3, 4)
    found = fit(V, 3, 4, max_iter=30, tol=0, templates=W, activations=H, fixed_templates=fixed)
    np.testing.assert_array_equal(found.templates, W)
    for _ in range(30):
        H = update_activations(V, W, H)
    np.testing.assert_allclose(found.activations, H, rtol=1e-9)
    again = activate(V, W, n_iter=30, activations=problem((10, 30), 3, 4)[2])
    np.testing.assert_allclose(again, H, rtol=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_known_patterns_are_found_where_they_start(dtype):
    W, H = drums()
    V = reference_model(W, H).astype(dtype)
    found = activate(V, W, n_iter=800)
    assert found.dtype == dtype
    np.testing.assert_allclose(found, H, atol=0.02)


@pytest.mark.parametrize("level", [2.0**-60, 2.0**60])
def test_activations_scale_with_the_data_and_against_the_patterns(level):
    V, W, _ = problem((10, 30), 3, 4, np.float32)
    H = activate(V, W)
    np.testing.assert_array_equal(activate(V * np.float32(level), W), H * np.float32(level))
    np.testing.assert_allclose(activate(V, W * np.float32(level)), H / level, rtol=1e-5)


# Stopping


def test_it_stops_when_the_tolerance_is_reached():
    found = fit(positive(20, 40), 3, 4, max_iter=5000, tol=1e-3)
    assert (found.reason, found.converged) == ("tolerance", True)
    assert 10 < found.n_iter < 5000
    last = found.divergence[-2]
    assert found.divergence[-12] - last < 1e-3 * last
    assert found.divergence[-13] - found.divergence[-3] >= 1e-3 * found.divergence[-3]


def test_a_tolerance_of_zero_runs_all_iterations():
    found = fit(positive(1, 2, dtype=np.float32), 1, 2, max_iter=70, tol=0)
    assert (found.reason, found.n_iter, found.converged) == ("max_iter", 70, False)


def test_a_callback_is_told_each_iteration():
    states = []
    fit(positive(20, 40), 3, 4, max_iter=12, tol=0, callback=states.append)
    assert all(isinstance(state, State) for state in states)
    assert [state.iteration for state in states] == list(range(1, 13))
    assert {state.max_iter for state in states} == {12}


def test_a_callback_that_returns_true_cancels_and_the_result_so_far_comes_back():
    V = positive(20, 40)
    found = fit(V, 3, 4, tol=0, callback=lambda state: state.iteration == 4)
    assert (found.reason, found.n_iter, found.converged) == ("cancelled", 4, False)
    assert_same(found, fit(V, 3, 4, max_iter=4, tol=0))


def test_an_error_in_a_callback_comes_through():
    def fail(state):
        raise RuntimeError("stop here")

    with pytest.raises(RuntimeError, match="stop here"):
        fit(positive(5, 6), 2, 3, callback=fail, n_threads=2)


# How it runs


@pytest.mark.parametrize("n_threads", [2, 3, None])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_number_of_threads_does_not_change_a_bit(n_threads, dtype):
    V = positive(130, 4500, dtype=dtype)
    one, more = (fit(V, 2, 3, max_iter=4, n_threads=n) for n in (1, n_threads))
    assert_same(one, more)
    first, second = (activate(V, one.templates, n_iter=3, n_threads=n) for n in (1, n_threads))
    np.testing.assert_array_equal(first, second)


def test_inputs_are_only_read_and_may_have_any_layout():
    V, W, H = problem((12, 40), 3, 4, np.float32)
    expected = fit(V, 3, 4, templates=W, activations=H, max_iter=8)
    wide = np.zeros((24, 80), np.float32)
    wide[::2, ::2] = V
    layouts = [V, np.asfortranarray(V), wide[::2, ::2], V[::-1].copy()[::-1], V.copy()[:, ::1]]
    reverse = np.ascontiguousarray(W[:, :, ::-1])[:, :, ::-1]
    for data in layouts:
        start, level = np.asfortranarray(W), reverse_rows(H)
        for array in (data, start, level, reverse):
            array.flags.writeable = False
        assert_same(fit(data, 3, 4, templates=start, activations=level, max_iter=8), expected)
        np.testing.assert_array_equal(activate(data, reverse), activate(V, W))
        np.testing.assert_allclose(model(reverse, level), model(W, H), rtol=1e-6)
    np.testing.assert_array_equal(reverse, W)
    np.testing.assert_array_equal(wide[::2, ::2], V)


def reverse_rows(H):
    return H[::-1].copy()[::-1]


# Errors

V, W, H = problem((6, 9), 2, 3)


@pytest.mark.parametrize(
    ("arguments", "options", "said"),
    [
        ((V[0], 2, 3), {}, "V must be a matrix"),
        ((V[:, :0], 2, 3), {}, "V must be a matrix that is not empty"),
        ((-V, 2, 3), {}, "V must be finite and 0 or more"),
        ((V * np.nan, 2, 3), {}, "V must be finite"),
        ((V * 1j, 2, 3), {}, "V must be real"),
        ((V, 0, 3), {}, "n_components must be a whole number, 1 or more"),
        ((V, 2, 0), {}, "n_lags must be a whole number, 1 or more"),
        ((V, 2, 2.5), {}, "n_lags must be a whole number"),
        ((V, 2, True), {}, "n_lags must be a whole number"),
        ((V, 2, 3), {"max_iter": -1}, "max_iter must be a whole number, 0 or more"),
        ((V, 2, 3), {"tol": 2}, "tol must be a number from 0 to 1"),
        ((V, 2, 3), {"tol": np.nan}, "tol must be a number from 0 to 1"),
        ((V, 2, 3), {"n_threads": 0}, "n_threads must be a whole number, 1 or more"),
        ((V, 2, 3), {"templates": W[0]}, "templates must be an array of 3 dimensions"),
        ((V, 2, 3), {"templates": W[:, :5]}, "templates have 5 bins, V has 6"),
        ((V, 2, 3), {"templates": W[:2]}, "templates have 2 lags, n_lags is 3"),
        ((V, 2, 3), {"templates": -W}, "templates must be finite and 0 or more"),
        ((V, 1, 3), {"templates": W}, "2 templates are given for 1 components"),
        ((V, 2, 3), {"activations": H[:, :8]}, "activations have 8 frames, V has 9"),
        ((V, 2, 3), {"activations": H * np.inf}, "activations must be finite"),
        ((V, 1, 3), {"activations": H}, "2 activations are given for 1 components"),
        ((V, 2, 3), {"fixed_templates": True}, "fixed_templates needs templates to keep"),
        ((V, 2, 3), {"templates": W, "fixed_templates": [True] * 3}, "mask over the 2 components"),
        (
            (V, 3, 3),
            {"templates": W, "fixed_templates": [False, False, True]},
            "marks components whose values are not given",
        ),
    ],
)  # fmt: skip
def test_bad_input_gets_one_clear_line(arguments, options, said):
    with pytest.raises(ParameterError, match=said) as raised:
        fit(*arguments, **options)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("arguments", "options", "said"),
    [
        ((-V, W), {}, "V must be finite and 0 or more"),
        ((V, W[0]), {}, "templates must be an array of 3 dimensions"),
        ((V, W[:, :5]), {}, "templates have 5 bins, V has 6"),
        ((V, None), {}, "templates are needed"),
        ((V, W), {"n_iter": 0}, "n_iter must be a whole number, 1 or more"),
        ((V, W), {"activations": H[:1]}, "activations have 1 components, templates 2"),
        ((V, W), {"activations": H[:, :3]}, "activations have 3 frames, V has 9"),
        ((V, W), {"n_threads": 1.5}, "n_threads must be a whole number"),
    ],
)
def test_bad_input_to_activate_gets_one_clear_line(arguments, options, said):
    with pytest.raises(ParameterError, match=said):
        activate(*arguments, **options)


def test_bad_input_to_the_model_gets_one_clear_line():
    with pytest.raises(ParameterError, match="activations have 1 components, templates 2"):
        model(W, H[:1])
    with pytest.raises(ParameterError, match="templates must be an array of 3 dimensions"):
        model(W[0], H)
