import warnings

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.decomposition import non_negative_factorization
from sklearn.exceptions import ConvergenceWarning

from audionmf import ParameterError
from audionmf.nmf import NMF, State, beta_divergence, fit

METHODS = ["accelerated", "plain"]
BETAS = [2, 1.5, 1, 0.5, 0, -0.5, 3]
KINDS = [
    "random", "sparse", "silent", "constant", "music", "loud bin", "mixed levels", "extreme levels",
]  # fmt: skip


def positive(*shape, seed=0, dtype=np.float64):
    return (np.random.default_rng(seed).random(shape) + 0.05).astype(dtype)


def matrix(kind, shape, seed=0, dtype=np.float64):
    """Make data of one kind; "sparse", "silent" and those of several levels have zeros."""
    rng = np.random.default_rng(seed)
    V = rng.random(shape) + 0.01
    if kind == "sparse":
        V[rng.random(shape) < 0.7] = 0
    elif kind == "silent":
        V[:, :: max(2, shape[1] // 3)] = 0
        V[-1] = 0
    elif kind == "constant":
        V[...] = 0.3
    elif kind == "music":
        V = music(shape, rng)
    elif kind == "loud bin":
        V[0] *= 1e4
    elif kind in ("mixed levels", "extreme levels"):
        lowest = -8 if kind == "mixed levels" else -25
        V[:, 1:] *= 10.0 ** rng.integers(lowest, 0, (1, shape[1] - 1))
        V[rng.random(shape) < 0.1] = 0
    return V.astype(dtype)


def music(shape, rng):
    """Make notes with overtones that decay, over a soft noise: the range is 80 dB."""
    bins, frames = np.arange(shape[0]), np.arange(shape[1])
    V = 1e-4 * rng.random(shape)
    for _ in range(4):
        partials = bins % rng.integers(2, 9) == 0
        late = frames - rng.integers(0, shape[1])
        decay = np.where(late >= 0, np.exp(-0.2 * np.maximum(late, 0)), 0)
        V += np.outer(partials * np.exp(-0.2 * bins), decay)
    return V


def scikit_learn(V, W, H, beta, max_iter):
    """Return the model W @ H after `max_iter` iterations of scikit-learn's own updates."""
    # Of the transposed matrix, so that the activations are updated before the templates.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        first, second, _ = non_negative_factorization(
            np.ascontiguousarray(V.T),
            np.ascontiguousarray(H.T),
            np.ascontiguousarray(W.T),
            n_components=W.shape[1],
            init="custom",
            solver="mu",
            beta_loss=beta,
            tol=0,
            max_iter=max_iter,
        )
    return (first @ second).T


def product(model):
    return model.templates.astype(np.float64) @ model.activations.astype(np.float64)


def assert_same(first, second):
    np.testing.assert_array_equal(first.templates, second.templates)
    np.testing.assert_array_equal(first.activations, second.activations)
    np.testing.assert_array_equal(first.divergence, second.divergence)


# The updates


@pytest.mark.parametrize("beta", [2, 1.5, 1, 0.5, 0])
@pytest.mark.parametrize(
    ("shape", "n_components"), [((17, 23), 4), ((31, 7), 1), ((3, 19), 8), ((5, 301), 7)]
)
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 2e-5)])
def test_the_iterations_are_those_of_scikit_learn(shape, n_components, beta, dtype, tolerance):
    V = positive(*shape, dtype=dtype)
    W = positive(shape[0], n_components, seed=1, dtype=dtype)
    H = positive(n_components, shape[1], seed=2, dtype=dtype)
    model = fit(
        V, n_components, beta=beta, max_iter=40, tol=0, method="plain", templates=W, activations=H
    )
    expected = scikit_learn(V, W, H, beta, 40)
    assert model.templates.dtype == model.activations.dtype == dtype
    np.testing.assert_allclose(product(model), expected, atol=tolerance * expected.max())


@pytest.mark.parametrize("beta", [2, 1, 0.5])
def test_the_iterations_are_those_of_scikit_learn_with_zeros_in_the_data(beta):
    V = matrix("sparse", (17, 23))
    W, H = positive(17, 4, seed=1), positive(4, 23, seed=2)
    model = fit(V, 4, beta=beta, max_iter=40, tol=0, method="plain", templates=W, activations=H)
    expected = scikit_learn(V, W, H, beta, 40)
    np.testing.assert_allclose(product(model), expected, atol=1e-4 * expected.max())


def descent(V, n_components, **options):
    """Return a model and the divergence after each iteration, as computed, and of the result."""
    values = []
    model = fit(
        V,
        n_components,
        tol=0,
        callback=lambda state: values.append(state.divergence),
        **options,
    )
    result = np.maximum(product(model), 1e-20 * V.max(initial=0))
    data = V.astype(np.float64)
    if model.beta <= 0:
        data = np.maximum(data, 1e-12 * V.max(initial=0) or 1e-12)
    return model, np.array([*values, beta_divergence(data, result, model.beta)])


def start(V, n_components, init, seed):
    """Return the options of a start: one of `fit`, or factors of its own, at another level."""
    if not init.startswith("given"):
        return {"init": init, "seed": seed}
    W = 1e3 * positive(V.shape[0], n_components, seed=seed + 1) ** 3
    H = positive(n_components, V.shape[1], seed=seed + 2) ** 3
    if init == "given with zeros":
        W[1:, 1:][W[1:, 1:] < 100] = 0
        H[1:, 1:][H[1:, 1:] < 0.1] = 0
    return {"templates": W, "activations": H}


def rounding(V, beta):
    """Return what rounding alone may add to the divergence of `V` where the model fits exactly."""
    floor = 1e-12 * V.max(initial=0) or 1e-12
    data = np.maximum(V.astype(np.float64), floor) if beta <= 0 else V.astype(np.float64)
    return 20 * np.finfo(V.dtype).eps * float((data**beta).sum())


@given(
    kind=st.sampled_from(KINDS),
    shape=st.tuples(st.integers(1, 20), st.integers(1, 24)),
    n_components=st.integers(1, 6),
    beta=st.sampled_from(BETAS),
    dtype=st.sampled_from([np.float32, np.float64]),
    init=st.sampled_from(["random", "nndsvda", "given", "given with zeros"]),
    method=st.sampled_from(METHODS),
    seed=st.integers(0, 1000),
)
@settings(deadline=None, derandomize=True, max_examples=30)
def test_the_divergence_never_rises(kind, shape, n_components, beta, dtype, init, method, seed):
    # Below β = 1 the cost of levels under the floor of the model, 240 dB down, is not exact.
    assume(kind != "extreme levels" or beta >= 1)
    V = matrix(kind, shape, seed, dtype)
    model, values = descent(
        V,
        n_components,
        beta=beta,
        max_iter=200,
        method=method,
        **start(V, n_components, init, seed),
    )
    assert np.isfinite(model.templates).all()
    assert np.isfinite(model.activations).all()
    assert (model.templates >= 0).all()
    assert (model.activations >= 0).all()
    slack = (1e-6 if dtype == np.float32 else 1e-13) * np.abs(model.divergence).max()
    assert (np.diff(model.divergence) <= 0).all()
    assert (np.diff(values[:-1]) <= slack + rounding(V, beta)).all()


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("method", METHODS)
def test_the_divergence_never_rises_over_many_iterations(method, beta, dtype):
    V = positive(30, 150, dtype=dtype) ** 3
    model, values = descent(V, 5, beta=beta, max_iter=250, method=method)
    slack = (1e-6 if dtype == np.float32 else 1e-13) * values[0]
    assert (np.diff(values) <= slack).all()
    assert values[-1] < 0.9 * values[1]
    np.testing.assert_allclose(model.divergence, values, rtol=1e-5)


@pytest.mark.parametrize("fixed", ["templates", "activations"])
@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("method", METHODS)
def test_the_divergence_never_rises_with_one_side_fixed(method, beta, fixed):
    V = positive(12, 40)
    start = {"templates": positive(12, 4, seed=1), "activations": positive(4, 40, seed=2)}
    model, values = descent(
        V, 4, beta=beta, max_iter=50, method=method, **start, **{f"fixed_{fixed}": True}
    )
    assert (np.diff(values) <= 1e-12 * values[0]).all()
    np.testing.assert_array_equal(getattr(model, fixed), start[fixed])


@pytest.mark.parametrize("beta", [2, 1, 0.5])
def test_one_more_iteration_never_raises_the_divergence_of_the_result(beta):
    V = matrix("sparse", (15, 60))
    models = [fit(V, 4, beta=beta, max_iter=n, tol=0, method="plain") for n in range(40)]
    values = [beta_divergence(V, np.maximum(product(m), 1e-20), beta) for m in models]
    assert (np.diff(values) <= 1e-12 * values[0]).all()
    assert values[-1] < 0.95 * values[1]


@pytest.mark.parametrize("beta", BETAS)
def test_acceleration_comes_at_least_as_far(beta):
    V = positive(30, 200) ** 3
    plain, accelerated = (
        fit(V, 5, beta=beta, max_iter=100, tol=0, method=method).divergence[-1]
        for method in ("plain", "accelerated")
    )
    assert accelerated <= 1.01 * plain


@pytest.mark.parametrize(("most", "alike"), [(200, 1), (210, 11), (230, 31), (1000, 31)])
def test_a_long_run_begins_with_plain_updates(most, alike):
    V = matrix("music", (60, 90))
    begun = {"tol": 0, "templates": positive(60, 5), "activations": positive(5, 90, seed=1)}
    plain = fit(V, 5, max_iter=60, method="plain", **begun).divergence
    long = fit(V, 5, max_iter=most, callback=lambda state: state.iteration > 60, **begun).divergence
    np.testing.assert_array_equal(long[:alike], plain[:alike])
    assert long[alike] != plain[alike]


@pytest.mark.parametrize("beta", [2, 1.5, 1, 0.5])
def test_data_made_of_two_components_is_explained_by_two(beta):
    W, H = np.zeros((10, 2)), positive(2, 50, seed=2)
    W[:4, 0], W[6:, 1] = positive(4, seed=3), positive(4, seed=4)
    H[0, 25:] = H[1, :20] = 0
    model = fit(W @ H, 2, beta=beta, max_iter=2000, tol=0)
    np.testing.assert_allclose(product(model), W @ H, atol=1e-3)
    order = np.argsort(np.argmax(model.templates, axis=0))
    np.testing.assert_allclose(model.templates[:, order], W / W.sum(axis=0), atol=1e-3)


# The result


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_last_divergence_is_that_of_the_result(beta, dtype):
    V = positive(20, 40, dtype=dtype)
    model = fit(V, 3, beta=beta, max_iter=25, tol=0)
    expected = beta_divergence(V, product(model), beta)
    assert model.divergence[-1] == pytest.approx(expected, rel=1e-4)
    assert model.divergence.dtype == np.float64
    assert list(model.evaluated) == list(range(26))
    assert len(model.divergence) == 26
    assert model.n_iter == 25


def test_the_first_divergence_is_that_of_the_start():
    V, W, H = positive(20, 40), positive(20, 3, seed=1), positive(3, 40, seed=2)
    model = fit(V, 3, max_iter=5, templates=W, activations=H)
    assert model.divergence[0] == pytest.approx(beta_divergence(V, W @ H), rel=1e-10)


def test_no_iterations_return_the_start():
    V, W, H = positive(6, 8), positive(6, 3, seed=1), positive(3, 8, seed=2)
    model = fit(V, 3, max_iter=0, templates=W, activations=H)
    assert model.n_iter == 0
    assert model.reason == "max_iter"
    np.testing.assert_allclose(product(model), W @ H)


def test_templates_sum_to_one_and_activations_are_in_the_unit_of_the_data():
    V = positive(20, 40)
    model = fit(V, 3)
    np.testing.assert_allclose(model.templates.sum(axis=0), 1)
    np.testing.assert_allclose(model.activations.sum(), V.sum(), rtol=1e-6)


def test_the_result_says_what_it_is():
    model = fit(positive(20, 40), 3, beta=1.5)
    assert isinstance(model, NMF)
    assert model.n_components == 3
    assert model.templates.shape == (20, 3)
    assert model.activations.shape == (3, 40)
    assert model.beta == 1.5


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.bool_, np.float16])
def test_other_real_types_become_double_precision(dtype):
    V = (10 * positive(6, 8)).astype(dtype)
    model = fit(V, 2, max_iter=5)
    assert model.templates.dtype == model.activations.dtype == np.float64
    assert_same(model, fit(V.astype(np.float64), 2, max_iter=5))


# Stopping


def test_it_stops_when_the_tolerance_is_reached():
    model = fit(positive(20, 40), 3, max_iter=5000, tol=1e-4)
    assert model.reason == "tolerance"
    assert model.converged
    assert model.n_iter < 5000
    assert model.evaluated[-1] == model.n_iter


def test_a_smaller_tolerance_goes_further():
    V = positive(20, 40)
    coarse, fine = (fit(V, 3, max_iter=5000, tol=tol) for tol in (1e-3, 1e-6))
    assert coarse.n_iter < fine.n_iter
    assert fine.divergence[-1] < coarse.divergence[-1]


def test_it_stops_after_the_most_iterations():
    model = fit(positive(20, 40), 3, max_iter=7, tol=0)
    assert (model.reason, model.n_iter, model.converged) == ("max_iter", 7, False)


def test_a_tolerance_of_zero_runs_all_plain_iterations_also_where_only_rounding_is_left():
    V = positive(1, 2, dtype=np.float32)
    model = fit(V, 1, beta=2, max_iter=60, tol=0, method="plain")
    assert (model.reason, model.n_iter, model.converged) == ("max_iter", 60, False)


def test_acceleration_ends_where_only_rounding_is_left():
    V = np.outer(positive(12), positive(40, seed=1)).astype(np.float32)
    model = fit(V, 1, max_iter=5000, tol=0)
    assert model.reason == "precision"
    assert model.converged
    assert model.n_iter < 5000
    np.testing.assert_allclose(product(model), V, rtol=1e-5)


def test_nothing_to_change_ends_at_once():
    V, W, H = positive(6, 8), positive(6, 3, seed=1), positive(3, 8, seed=2)
    model = fit(V, 3, templates=W, activations=H, fixed_templates=True, fixed_activations=True)
    assert (model.reason, model.n_iter) == ("fixed", 0)
    np.testing.assert_array_equal(model.templates, W)
    np.testing.assert_array_equal(model.activations, H)
    assert model.divergence == pytest.approx([beta_divergence(V, W @ H)])


def test_a_callback_is_told_each_iteration():
    states = []
    fit(positive(20, 40), 3, max_iter=25, tol=0, callback=states.append)
    assert all(isinstance(state, State) for state in states)
    assert [state.iteration for state in states] == list(range(1, 26))
    assert {state.max_iter for state in states} == {25}
    assert states[-1].divergence <= states[0].divergence


@pytest.mark.parametrize("level", [1e-20, 1.0, 1e20])
@pytest.mark.parametrize("beta", [2, 1, 0.5])
def test_a_callback_is_told_the_divergence_that_the_result_reports(beta, level):
    told = []
    model = fit(
        level * positive(20, 40),
        3,
        beta=beta,
        max_iter=5,
        method="plain",
        callback=lambda state: told.append(state.divergence),
    )
    np.testing.assert_allclose(told, model.divergence[:-1], rtol=1e-9)


def test_a_callback_that_returns_true_cancels_and_the_result_so_far_comes_back():
    V = positive(20, 40)
    model = fit(V, 3, max_iter=100, tol=0, callback=lambda state: state.iteration == 4)
    assert (model.reason, model.n_iter, model.converged) == ("cancelled", 4, False)
    short = fit(V, 3, max_iter=4, tol=0)
    np.testing.assert_array_equal(model.templates, short.templates)
    np.testing.assert_array_equal(model.activations, short.activations)


def test_an_error_in_a_callback_comes_through():
    def fail(state):
        raise RuntimeError("stop here")

    with pytest.raises(RuntimeError, match="stop here"):
        fit(positive(5, 6), 2, callback=fail, n_threads=2)


@pytest.mark.parametrize("beta", [2, 1, 0.5])
@pytest.mark.parametrize("method", METHODS)
def test_the_residual_says_how_near_a_stationary_point_is(method, beta):
    V = positive(12, 40)
    rough, fine = (fit(V, 2, beta=beta, max_iter=n, tol=0, method=method) for n in (3, 3000))
    assert rough.kkt_residual > 1e-3
    assert 0 <= fine.kkt_residual < 1e-5


def test_the_residual_is_the_share_that_one_more_plain_update_would_change():
    V, W = positive(12, 40), positive(12, 3, seed=1)
    model = fit(V, 3, max_iter=5, tol=0, templates=W, fixed_templates=True)
    H = model.activations
    updated = H * (W.T @ (V / (W @ H))) / W.sum(axis=0)[:, None]
    weights = W.sum(axis=0)
    expected = (np.abs(updated - H).sum(axis=1) @ weights) / (H.sum(axis=1) @ weights)
    assert model.kkt_residual == pytest.approx(expected, rel=1e-6)


# Many frames of few rows


@pytest.fixture(scope="module")
def many_frames():
    return (positive(12, 3, seed=1) ** 4) @ (positive(3, 4100, seed=2) ** 4) + 0.01 * positive(
        12, 4100
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_many_frames_give_what_a_plain_fit_gives_in_order_and_whole(many_frames, dtype):
    V = many_frames.astype(dtype)
    model = fit(V, 3, max_iter=100)
    plain = fit(V, 3, max_iter=100, method="plain")
    assert model.n_iter <= 100
    assert model.activations.shape == (3, 4100)
    assert model.divergence[-1] <= 1.05 * plain.divergence[-1]
    assert (np.diff(model.divergence) <= 0).all()
    assert (np.diff(model.evaluated) > 0).all()
    assert model.evaluated[-1] == model.n_iter
    expected = beta_divergence(V, product(model))
    assert model.divergence[-1] == pytest.approx(expected, rel=1e-4)


def test_many_frames_can_be_cancelled_at_any_iteration(many_frames):
    for last in (1, 30, 60, 90):
        model = fit(
            many_frames,
            3,
            max_iter=100,
            tol=0,
            callback=lambda state, last=last: state.iteration == last,
        )
        assert (model.reason, model.n_iter) == ("cancelled", last)
        assert (np.diff(model.divergence) <= 0).all()
        assert np.isfinite(model.activations).all()


def test_many_frames_report_each_iteration_once(many_frames):
    told = []
    fit(many_frames, 3, max_iter=100, tol=0, callback=lambda state: told.append(state.iteration))
    assert told == list(range(1, 101))


# What is given and what is kept


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_fixed_templates_keep_every_bit(beta, dtype):
    V, W = positive(12, 40, dtype=dtype), positive(12, 3, seed=1, dtype=dtype)
    W[3, 1] = 0
    model = fit(V, 3, beta=beta, max_iter=10, templates=W, fixed_templates=True)
    np.testing.assert_array_equal(model.templates, W)
    assert model.templates is not W


def test_fixed_activations_keep_every_bit():
    V, H = positive(12, 40), positive(3, 40, seed=1)
    model = fit(V, 3, max_iter=10, activations=H, fixed_activations=True)
    np.testing.assert_array_equal(model.activations, H)
    assert model.divergence[-1] < model.divergence[0]


def test_further_components_are_learnt_beside_fixed_templates():
    V, W = positive(12, 40), positive(12, 2, seed=1)
    model = fit(V, 5, max_iter=30, templates=W, fixed_templates=True)
    np.testing.assert_array_equal(model.templates[:, :2], W)
    assert model.templates.shape == (12, 5)
    assert (model.templates[:, 2:].sum(axis=0) > 0).all()
    fewer = fit(V, 2, max_iter=30, templates=W, fixed_templates=True)
    assert model.divergence[-1] < fewer.divergence[-1]


@pytest.mark.parametrize("mask", [[True, False, True], [True, False, True, False, False]])
def test_a_mask_says_which_templates_are_kept(mask):
    V, W = positive(12, 40), positive(12, 3, seed=1)
    model = fit(V, 5, max_iter=10, templates=W, fixed_templates=mask)
    np.testing.assert_array_equal(model.templates[:, [0, 2]], W[:, [0, 2]])
    for k in (1, 3, 4):
        assert not np.allclose(model.templates[:, k], W[:, min(k, 2)])


@pytest.mark.parametrize("mask", [[False, True], [False, True, False]])
def test_a_mask_says_which_activations_are_kept(mask):
    V, H = positive(12, 40), positive(2, 40, seed=1)
    model = fit(V, 3, max_iter=10, activations=H, fixed_activations=mask)
    np.testing.assert_array_equal(model.activations[1], H[1])
    assert not np.allclose(model.activations[0], H[0])


def test_a_mask_of_false_is_no_mask():
    V, W = positive(12, 40), positive(12, 3, seed=1)
    free = fit(V, 3, max_iter=10, templates=W)
    assert_same(fit(V, 3, max_iter=10, templates=W, fixed_templates=[False] * 3), free)


@pytest.mark.parametrize("level", [1e-30, 1e30])
def test_what_is_fixed_keeps_every_bit_at_any_level(level):
    V, W = level * positive(12, 40), positive(12, 3, seed=1)
    H = level * positive(3, 40, seed=2)
    model = fit(V, 3, max_iter=5, templates=W, fixed_templates=True)
    np.testing.assert_array_equal(model.templates, W)
    model = fit(V, 3, max_iter=5, activations=H, fixed_activations=True)
    np.testing.assert_array_equal(model.activations, H)


def test_zeros_of_a_start_stay_zero():
    V, W, H = positive(12, 40), positive(12, 3, seed=1), positive(3, 40, seed=2)
    W[4:7, 1] = 0
    H[2, 10:20] = 0
    model = fit(V, 3, max_iter=20, templates=W, activations=H)
    assert (model.templates[4:7, 1] == 0).all()
    assert (model.activations[2, 10:20] == 0).all()
    assert np.count_nonzero(model.templates) == 12 * 3 - 3
    assert np.count_nonzero(model.activations) == 3 * 40 - 10


def test_zeros_of_the_data_stay_zero_in_the_model():
    V = positive(12, 40)
    V[:, 5], V[7] = 0, 0
    model = fit(V, 3, max_iter=5)
    assert (product(model)[:, 5] == 0).all()
    assert (product(model)[7] == 0).all()


def test_a_component_that_is_silent_stays_silent_and_finite():
    V, W = positive(12, 40), positive(12, 3, seed=1)
    W[:, 1] = 0
    model = fit(V, 3, max_iter=20, templates=W)
    assert (model.templates[:, 1] == 0).all()
    assert np.isfinite(model.activations).all()


# Levels, layouts, threads


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1, 1), (6, 1), (1, 6), (7, 9)])
@pytest.mark.parametrize("init", ["random", "nndsvd", "nndsvda"])
def test_silence_gives_a_silent_model(shape, beta, dtype, init):
    model = fit(np.zeros(shape, dtype), 3, beta=beta, max_iter=10, init=init)
    assert np.isfinite(model.templates).all()
    assert np.isfinite(model.activations).all()
    assert np.abs(product(model)).max() <= 1e-9
    assert np.isfinite(model.divergence).all()


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("level", [1e-42, 1e-38, 1e-30, 1e-10, 1e10, 1e30, 1e36])
def test_any_level_of_single_precision_can_be_factorised(level, beta):
    V = (positive(12, 30) * (level / 1.05)).astype(np.float32)
    model = fit(V, 3, beta=beta, max_iter=20, tol=0)
    reference = fit(positive(12, 30).astype(np.float32), 3, beta=beta, max_iter=20, tol=0)
    tolerance = 0.1 if level < 1e-38 else 1e-4
    expected = product(reference)
    np.testing.assert_allclose(
        product(model) * (1.05 / level), expected, atol=tolerance * expected.max()
    )


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("power", [-40, -3, 1, 2, 60])
def test_a_power_of_two_scales_the_activations_and_changes_nothing_else(power, beta, dtype):
    V = positive(12, 30, dtype=dtype)
    reference = fit(V, 3, beta=beta, max_iter=20)
    model = fit(np.ldexp(V, power), 3, beta=beta, max_iter=20)
    np.testing.assert_array_equal(model.templates, reference.templates)
    np.testing.assert_array_equal(model.activations, np.ldexp(reference.activations, power))
    assert model.n_iter == reference.n_iter


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("factor", [0.3, 7e-9, 1e12])
def test_any_factor_scales_the_activations(factor, beta):
    V = positive(12, 30)
    reference = fit(V, 3, beta=beta, max_iter=20)
    model = fit(factor * V, 3, beta=beta, max_iter=20)
    np.testing.assert_allclose(model.templates, reference.templates, rtol=1e-9)
    np.testing.assert_allclose(model.activations, factor * reference.activations, rtol=1e-9)
    np.testing.assert_allclose(model.divergence, factor**beta * reference.divergence, rtol=1e-7)


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_number_of_threads_does_not_change_a_bit(beta, dtype):
    V = matrix("sparse" if beta > 0 else "random", (33, 1100), dtype=dtype)
    reference = fit(V, 5, beta=beta, max_iter=11, n_threads=1)
    for n_threads in (2, 3, None):
        assert_same(fit(V, 5, beta=beta, max_iter=11, n_threads=n_threads), reference)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("beta", [2, 1, 0.5])
def test_the_memory_layout_does_not_change_a_bit_and_data_is_only_read(beta, dtype):
    V = positive(21, 300, dtype=dtype)
    wide = np.zeros((42, 900), dtype)
    wide[::2, ::3] = V
    W, H = positive(21, 3, seed=1, dtype=dtype), positive(3, 300, seed=2, dtype=dtype)
    reference = fit(V, 3, beta=beta, max_iter=11, templates=W, activations=H)
    for laid_out in (np.asfortranarray(V), wide[::2, ::3], V[::-1][::-1], V[:, ::-1][:, ::-1]):
        data, first, second = laid_out, np.asfortranarray(W), np.asfortranarray(H)
        for array in (data, first, second):
            array.flags.writeable = False
        kept = [array.copy() for array in (data, first, second)]
        model = fit(data, 3, beta=beta, max_iter=11, templates=first, activations=second)
        assert_same(model, reference)
        for array, copy in zip((data, first, second), kept, strict=True):
            np.testing.assert_array_equal(array, copy)


def test_a_list_of_lists_will_do():
    model = fit([[1.0, 2.0], [3.0, 4.0]], 1, max_iter=50)
    assert model.templates.dtype == np.float64
    np.testing.assert_allclose(model.templates[:, 0], [0.3, 0.7])


@pytest.mark.parametrize("init", ["random", "nndsvd", "nndsvda"])
def test_a_seed_gives_the_same_result_again(init):
    V = positive(12, 40)
    assert_same(fit(V, 3, init=init, seed=5), fit(V, 3, init=init, seed=5))


def test_another_seed_gives_another_result_and_a_generator_is_accepted():
    V = positive(12, 40)
    reference = fit(V, 3, seed=5)
    assert_same(fit(V, 3, seed=np.random.default_rng(5)), reference)
    assert not np.array_equal(fit(V, 3, seed=6).templates, reference.templates)


# What is refused


@pytest.mark.parametrize(
    ("V", "words"),
    [
        (np.ones(5), r"matrix.*\(5,\)"),
        (np.ones((2, 3, 4)), "matrix"),
        (np.ones((0, 4)), r"not empty.*\(0, 4\)"),
        (np.ones((4, 0)), "not empty"),
        (np.array([[1.0, -1.0]]), "0 or more.*-1"),
        (np.array([[1.0, np.nan]]), "finite"),
        (np.array([[1.0, np.inf]]), "finite"),
        (np.array([[1.0 + 2.0j]]), "real numbers, not complex128"),
        (np.array([["a"]]), "real numbers"),
        (np.array([[None]]), "real numbers"),
    ],
)
def test_data_that_cannot_be_factorised_is_refused(V, words):
    with pytest.raises(ParameterError, match=f"V must be .*{words}"):
        fit(V, 1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"n_components": 0}, "n_components must be a whole number, 1 or more, not 0"),
        ({"n_components": 2.0}, "n_components must be a whole number"),
        ({"n_components": True}, "n_components must be a whole number"),
        ({"max_iter": -1}, "max_iter must be a whole number, 0 or more"),
        ({"method": "fast"}, "method must be one of accelerated, plain, not 'fast'"),
        ({"tol": -0.1}, "tol must be a number from 0 to 1"),
        ({"tol": float("nan")}, "tol must be a number from 0 to 1"),
        ({"init": "svd"}, "init must be one of"),
        ({"n_threads": 0}, "n_threads must be a whole number, 1 or more"),
        ({"beta": float("nan")}, "beta"),
        ({"beta": float("inf")}, "beta"),
        ({"templates": np.ones((5, 2))}, "templates have 5 bins, V has 6"),
        ({"activations": np.ones((2, 7))}, "activations have 7 frames, V has 8"),
        ({"templates": np.ones((6, 3))}, "3 templates are given for 2 components"),
        ({"activations": np.ones((3, 8))}, "3 activations are given for 2 components"),
        ({"templates": -np.ones((6, 2))}, "templates must be finite and 0 or more"),
        ({"activations": np.full((2, 8), np.nan)}, "activations must be finite"),
        ({"fixed_templates": True}, "fixed_templates needs templates"),
        ({"fixed_activations": True}, "fixed_activations needs activations"),
        ({"fixed_templates": [True, False]}, "components whose values are not given"),
        (
            {"templates": np.ones((6, 1)), "fixed_templates": [False, True]},
            "components whose values are not given",
        ),
        (
            {"templates": np.ones((6, 2)), "fixed_templates": [True] * 3},
            r"mask over the 2 components, not of shape \(3,\)",
        ),
    ],
)
def test_an_option_that_makes_no_sense_is_refused(options, words):
    with pytest.raises(ParameterError, match=words):
        fit(positive(6, 8), **{"n_components": 2, **options})
