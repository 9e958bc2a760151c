import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import non_negative_factorization
from sklearn.exceptions import ConvergenceWarning

from audionmf import ParameterError
from audionmf.nmf import activate, beta_divergence, fit

BETAS = [2, 1.5, 1, 0.5, 0, -0.5, 3]


def positive(*shape, seed=0, dtype=np.float64):
    return (np.random.default_rng(seed).random(shape) + 0.05).astype(dtype)


def optimum(V, W, beta):
    """Return scikit-learn's divergence with the templates fixed, after many iterations."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        activations, _, _ = non_negative_factorization(
            np.ascontiguousarray(V.T),
            H=np.ascontiguousarray(W.T),
            n_components=W.shape[1],
            update_H=False,
            solver="mu",
            beta_loss=beta,
            tol=0,
            max_iter=3000,
        )
    return beta_divergence(V, W @ activations.T, beta)


@pytest.mark.parametrize("beta", [1, 1.5, 2])
@pytest.mark.parametrize(("n_bins", "n_components"), [(30, 5), (5, 9), (12, 1)])
def test_the_convex_optimum_is_reached(n_bins, n_components, beta):
    V, W = positive(n_bins, 17) ** 2, positive(n_bins, n_components, seed=1) ** 2
    H = activate(V, W, beta=beta, n_iter=3000)
    best = optimum(V, W, beta)
    assert beta_divergence(V, W @ H, beta) <= best * (1 + 1e-4) + 1e-9


def test_the_default_number_of_iterations_comes_near_the_optimum():
    W = positive(200, 6, seed=1) ** 4
    V = W @ positive(6, 30, seed=2) + 0.01 * positive(200, 30)
    near = beta_divergence(V, W @ activate(V, W))
    assert near <= 2 * optimum(V, W, 1)


@pytest.mark.parametrize("beta", [b for b in BETAS if b != 1])
def test_more_iterations_are_never_worse(beta):
    V, W = positive(20, 30), positive(20, 4, seed=1)
    values = [
        beta_divergence(V, W @ activate(V, W, beta=beta, n_iter=n), beta) for n in range(1, 30)
    ]
    assert (np.diff(values) <= 1e-12 * values[0]).all()


def plain_activations(V, W, H, beta):
    model = fit(
        V,
        W.shape[1],
        beta=beta,
        templates=W,
        activations=H,
        fixed_templates=True,
        max_iter=30,
        tol=0,
        method="plain",
    )
    return model.activations


@pytest.mark.parametrize("beta", [b for b in BETAS if b != 1])
def test_it_does_what_fit_does_with_fixed_templates(beta):
    V, W, H = positive(20, 30), positive(20, 4, seed=1), positive(4, 30, seed=2)
    ours = activate(V, W, beta=beta, activations=H, n_iter=30)
    np.testing.assert_allclose(ours, plain_activations(V, W, H, beta), rtol=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("seed", range(5))
def test_kullback_leibler_comes_further_in_every_frame_than_plain_updates(seed, dtype):
    V, W = positive(40, 50, seed=seed) ** 3, positive(40, 8, seed=seed + 50) ** 3
    H = positive(8, 50, seed=seed + 100)
    ours, plain = (
        W @ found.astype(np.float64)
        for found in (
            activate(V.astype(dtype), W, activations=H, n_iter=30),
            plain_activations(V, W, H, 1),
        )
    )
    for t in range(50):
        assert beta_divergence(V[:, t], ours[:, t]) <= 1.001 * beta_divergence(V[:, t], plain[:, t])


@given(
    cuts=st.lists(st.integers(0, 600), max_size=5),
    beta=st.sampled_from(BETAS),
    dtype=st.sampled_from([np.float32, np.float64]),
)
@settings(deadline=None, derandomize=True, max_examples=15)
def test_a_frame_does_not_depend_on_the_frames_beside_it(cuts, beta, dtype):
    V, W = positive(23, 600, dtype=dtype), positive(23, 5, seed=1, dtype=dtype)
    whole = activate(V, W, beta=beta, n_iter=10)
    parts = [
        activate(part, W, beta=beta, n_iter=10)
        for part in np.split(V, sorted(cuts), axis=1)
        if part.shape[1]
    ]
    joined = np.concatenate(parts, axis=1)
    np.testing.assert_allclose(joined, whole, rtol=1e-4 if dtype == np.float32 else 1e-11)


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_blocks_of_256_frames_have_the_bits_of_the_whole(beta, dtype):
    V, W = positive(23, 700, dtype=dtype), positive(23, 5, seed=1, dtype=dtype)
    whole = activate(V, W, beta=beta, n_iter=10)
    parts = [activate(part, W, beta=beta, n_iter=10) for part in np.split(V, (256, 512), axis=1)]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_each_frame_scales_by_its_own_power_of_two(beta, dtype):
    V, W = positive(23, 40, dtype=dtype), positive(23, 5, seed=1, dtype=dtype)
    powers = np.arange(40) - 20
    reference = activate(V, W, beta=beta, n_iter=20)
    scaled = activate(np.ldexp(V, powers), W, beta=beta, n_iter=20)
    np.testing.assert_array_equal(scaled, np.ldexp(reference, powers))


def test_each_frame_scales_by_its_own_factor():
    V, W, factors = positive(23, 40), positive(23, 5, seed=1), 10.0 ** np.linspace(-30, 30, 40)
    reference = activate(V, W)
    np.testing.assert_allclose(activate(V * factors, W), reference * factors, rtol=1e-9)


def test_the_level_of_the_templates_does_not_matter():
    V, W = positive(23, 40), positive(23, 5, seed=1)
    reference = activate(V, W)
    for level in (1e-12, 1e-3, 1e9):
        np.testing.assert_allclose(activate(V, level * W) * level, reference, rtol=1e-6)


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_number_of_threads_does_not_change_a_bit(beta, dtype):
    V, W = positive(23, 1100, dtype=dtype), positive(23, 5, seed=1, dtype=dtype)
    reference = activate(V, W, beta=beta, n_iter=8, n_threads=1)
    for n_threads in (2, 3, None):
        threaded = activate(V, W, beta=beta, n_iter=8, n_threads=n_threads)
        np.testing.assert_array_equal(threaded, reference)


def test_the_memory_layout_does_not_change_a_bit_and_inputs_are_only_read():
    V, W = positive(23, 300, dtype=np.float32), positive(23, 5, seed=1, dtype=np.float32)
    reference = activate(V, W)
    wide = np.zeros((46, 900), np.float32)
    wide[::2, ::3] = V
    for data in (np.asfortranarray(V), wide[::2, ::3], V):
        templates = np.asfortranarray(W)
        data.flags.writeable = templates.flags.writeable = False
        kept = data.copy()
        np.testing.assert_array_equal(activate(data, templates), reference)
        np.testing.assert_array_equal(data, kept)
        np.testing.assert_array_equal(templates, W)


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("level", [0.0, 1e-42, 1e-30, 1.0, 1e30])
def test_a_silent_frame_among_others_of_any_level_stays_finite(level, beta, dtype):
    V, W = (level * positive(12, 9)).astype(dtype), positive(12, 3, seed=1, dtype=dtype)
    V[:, 4] = 0
    H = activate(V, W, beta=beta)
    assert np.isfinite(H).all()
    assert (H >= 0).all()
    assert H.dtype == dtype
    if beta > 0:
        assert (H[:, 4] == 0).all()


@pytest.mark.parametrize("beta", BETAS)
def test_a_silent_template_takes_no_part(beta):
    V, W = positive(12, 9), positive(12, 3, seed=1)
    W[:, 1] = 0
    H = activate(V, W, beta=beta)
    assert np.isfinite(H).all()
    others = activate(V, W[:, [0, 2]], beta=beta)
    np.testing.assert_allclose(W @ H, W[:, [0, 2]] @ others, rtol=1e-3)


@pytest.mark.parametrize("beta", BETAS)
def test_bins_that_no_template_reaches_stay_finite(beta):
    V, W = positive(12, 9), positive(12, 3, seed=1)
    W[5] = 0
    H = activate(V, W, beta=beta)
    assert np.isfinite(H).all()
    assert (H >= 0).all()


def test_all_templates_silent_stay_finite():
    assert np.isfinite(activate(positive(12, 9), np.zeros((12, 2)))).all()


def test_zeros_of_a_start_stay_zero():
    V, W, H = positive(12, 9), positive(12, 3, seed=1), positive(3, 9, seed=2)
    H[1, 2:5] = 0
    found = activate(V, W, activations=H)
    assert (found[1, 2:5] == 0).all()
    assert np.count_nonzero(found) == 24
    assert np.count_nonzero(H) == 24


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"V": np.ones(3)}, "V must be a matrix"),
        ({"V": -np.ones((6, 8))}, "V must be finite and 0 or more"),
        ({"templates": None}, "templates"),
        ({"templates": np.ones((5, 2))}, "templates have 5 bins, V has 6"),
        ({"templates": np.full((6, 2), np.inf)}, "templates must be finite"),
        ({"activations": np.ones((2, 9))}, "activations have 9 frames, V has 8"),
        ({"activations": np.ones((3, 8))}, "activations have 3 components, templates 2"),
        ({"n_iter": 0}, "n_iter must be a whole number, 1 or more"),
        ({"n_threads": 0}, "n_threads must be a whole number, 1 or more"),
        ({"beta": float("nan")}, "beta"),
    ],
)
def test_bad_arguments_are_refused(arguments, words):
    with pytest.raises(ParameterError, match=words):
        activate(**{"V": np.ones((6, 8)), "templates": np.ones((6, 2)), **arguments})
