import numpy as np
import pytest
from sklearn.decomposition._nmf import _initialize_nmf

from audionmf import ParameterError
from audionmf.nmf import beta_divergence, initialize

INITS = ["random", "nndsvd", "nndsvda"]


def positive(*shape, seed=0):
    return np.random.default_rng(seed).random(shape) + 0.05


@pytest.mark.parametrize("init", INITS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("shape", "n_components"), [((7, 11), 3), ((11, 7), 7), ((3, 4), 9)])
def test_the_start_has_the_shapes_and_dtype_asked_for(shape, n_components, dtype, init):
    V = positive(*shape).astype(dtype)
    W, H = initialize(V, n_components, init)
    assert W.shape == (shape[0], n_components)
    assert H.shape == (n_components, shape[1])
    assert W.dtype == H.dtype == dtype
    for factor in (W, H):
        assert np.isfinite(factor).all()
        assert (factor >= 0).all()


@pytest.mark.parametrize("init", INITS)
def test_a_seed_gives_the_same_start_and_another_seed_another(init):
    V = positive(4, 6)
    first, again, other = (initialize(V, 8, init, seed) for seed in (3, 3, 4))
    for a, b, c in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(a, b)
        assert not np.array_equal(a, c)


def test_a_generator_is_used_and_moves_on():
    V, rng = positive(4, 6), np.random.default_rng(3)
    first, second = initialize(V, 2, seed=rng), initialize(V, 2, seed=rng)
    np.testing.assert_array_equal(first[0], initialize(V, 2, seed=3)[0])
    assert not np.array_equal(first[0], second[0])


def test_the_global_random_state_is_neither_used_nor_moved():
    V = positive(4, 6)
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first = initialize(V, 2)
    np.random.seed(5)  # noqa: NPY002
    second = initialize(V, 2)
    np.testing.assert_array_equal(first[0], second[0])
    np.random.seed(5)  # noqa: NPY002
    expected = np.random.get_state()[1].copy()  # noqa: NPY002
    initialize(V, 2)
    np.testing.assert_array_equal(np.random.get_state()[1], expected)  # noqa: NPY002
    assert before.shape == expected.shape


@pytest.mark.parametrize("level", [1e-12, 1.0, 1e12])
@pytest.mark.parametrize("n_components", [1, 20])
def test_a_random_start_is_at_the_level_of_the_data(n_components, level):
    V = level * positive(80, 90)
    W, H = initialize(V, n_components)
    assert 0.3 < (W @ H).mean() / V.mean() < 3
    assert (W > 0).all()
    assert (H > 0).all()


@pytest.mark.parametrize("shape", [(12, 9), (9, 12)])
@pytest.mark.parametrize("n_components", [1, 4, 9])
def test_nndsvd_is_that_of_scikit_learn(shape, n_components):
    V = positive(*shape)
    W, H = initialize(V, n_components, "nndsvd")
    reference_W, reference_H = _initialize_nmf(V, n_components, "nndsvd", random_state=0)
    np.testing.assert_allclose(W @ H, reference_W @ reference_H, atol=1e-5)
    np.testing.assert_allclose(W, reference_W, atol=2e-4)
    np.testing.assert_allclose(H, reference_H, atol=2e-4)


def test_nndsvd_of_a_matrix_of_rank_one_is_exact():
    V = np.outer(positive(8), positive(5, seed=1))
    W, H = initialize(V, 1, "nndsvd")
    assert beta_divergence(V, W @ H, 2) < 1e-20


def test_nndsvda_raises_the_zeros_of_nndsvd_to_a_hundredth_of_the_mean():
    V = positive(12, 9)
    for plain, raised in zip(initialize(V, 4, "nndsvd"), initialize(V, 4, "nndsvda"), strict=True):
        zero = plain == 0
        assert zero.any()
        np.testing.assert_array_equal(raised[~zero], plain[~zero])
        np.testing.assert_allclose(raised[zero], 0.01 * plain.mean())


@pytest.mark.parametrize("init", INITS)
@pytest.mark.parametrize("shape", [(1, 1), (1, 6), (6, 1), (5, 5)])
def test_silence_starts_finite(shape, init):
    for factor in initialize(np.zeros(shape, np.float32), 3, init):
        assert np.isfinite(factor).all()


@pytest.mark.parametrize("init", INITS)
def test_the_data_is_not_modified(init):
    V = positive(6, 5)
    kept = V.copy()
    V.flags.writeable = False
    initialize(V, 3, init)
    np.testing.assert_array_equal(V, kept)


def test_an_unknown_start_is_refused_and_the_known_ones_named():
    with pytest.raises(ParameterError, match="random, nndsvd, nndsvda, not 'svd'"):
        initialize(positive(3, 3), 2, "svd")
