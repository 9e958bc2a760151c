import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as stnp

from audionmf import ParameterError
from audionmf.spectra.masks import ratio_masks, source_masks


def models(dtype):
    """Make models of 1 to 6 sources: zeros, the smallest and the largest numbers among them."""
    width = 32 if dtype == np.float32 else 64
    return stnp.arrays(
        dtype,
        st.tuples(st.integers(1, 6), st.integers(1, 5), st.integers(1, 5)),
        elements=st.floats(0, width=width, allow_nan=False, allow_infinity=False)
        | st.just(0.0)
        | st.floats(0, 1, width=width),
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(data=st.data(), exponent=st.sampled_from([0.1, 0.5, 1.0, 1.7, 2.0, 10.0]))
@settings(deadline=None, derandomize=True, max_examples=60)
def test_masks_are_shares_that_sum_to_one(dtype, data, exponent):
    given_models = data.draw(models(dtype))
    masks = ratio_masks(given_models, exponent)
    assert masks.shape == given_models.shape
    assert masks.dtype == dtype
    assert (masks >= 0).all()
    assert (masks <= 1).all()
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(masks.sum(axis=0, dtype=np.float64), 1, atol=4 * eps)
    silent = (given_models == 0).all(axis=0)
    np.testing.assert_allclose(masks[:, silent], 1 / len(masks), rtol=4 * eps)


@pytest.mark.parametrize("exponent", [0.5, 1.0, 2.0, 3.3])
def test_masks_are_the_powers_of_the_models_over_their_sum(exponent):
    given_models = np.random.default_rng(0).random((3, 7, 5)) + 0.1
    powers = given_models**exponent
    np.testing.assert_allclose(
        ratio_masks(given_models, exponent), powers / powers.sum(axis=0), rtol=1e-12
    )


def test_more_exponent_makes_masks_harder():
    given_models = np.array([[3.0], [1.0]])
    shares = [ratio_masks(given_models, p)[0, 0] for p in (0.5, 1, 2, 10)]
    assert shares == sorted(shares)
    assert shares[1] == 0.75
    assert shares[-1] > 0.9999


@pytest.mark.parametrize("level", [1e-45, 1e-38, 1e-20, 1.0, 1e20, 1e38])
@pytest.mark.parametrize("exponent", [0.1, 1.0, 2.0, 10.0])
def test_the_level_of_single_precision_does_not_matter(level, exponent):
    given_models = np.full((2, 3), level, np.float32)
    np.testing.assert_array_equal(ratio_masks(given_models, exponent), np.full((2, 3), 0.5))


@pytest.mark.parametrize("exponent", [1.0, 2.0, 10.0])
def test_levels_that_are_far_apart_give_all_to_the_loudest(exponent):
    given_models = np.array([[1e38], [1e-38], [0.0]], np.float32)
    np.testing.assert_array_equal(ratio_masks(given_models, exponent), [[1.0], [0.0], [0.0]])


@pytest.mark.parametrize("n_sources", [1, 2, 3, 7])
def test_where_all_models_are_zero_each_gets_the_same_share(n_sources):
    given_models = np.ones((n_sources, 2, 2), np.float32)
    given_models[:, 1, 0] = 0
    masks = ratio_masks(given_models, 2.0)
    np.testing.assert_array_equal(masks[:, 1, 0], np.float32(1) / np.float32(n_sources))


def test_one_source_gets_everything():
    given_models = np.random.default_rng(0).random((1, 4, 5)).astype(np.float32)
    given_models[0, 2] = 0
    np.testing.assert_array_equal(ratio_masks(given_models, 2.0), np.ones((1, 4, 5)))


def test_models_are_only_read_in_any_layout():
    given_models = np.random.default_rng(0).random((5, 8, 3)).astype(np.float32)
    expected = ratio_masks(given_models, 2.0)
    strided = given_models.transpose(0, 2, 1).copy().transpose(0, 2, 1)
    kept = strided.copy()
    strided.flags.writeable = False
    np.testing.assert_array_equal(ratio_masks(strided, 2.0), expected)
    np.testing.assert_array_equal(strided, kept)


def test_a_bin_by_itself_will_do():
    np.testing.assert_array_equal(ratio_masks(np.array([1.0, 3.0])), [0.25, 0.75])


@pytest.mark.parametrize("shape", [(0,), (0, 3, 4), ()])
def test_no_source_is_refused(shape):
    with pytest.raises(ParameterError, match="at least one source"):
        ratio_masks(np.ones(shape))


@pytest.mark.parametrize("exponent", [0.0, -1.0, np.inf, np.nan])
def test_an_exponent_that_makes_no_sense_is_refused(exponent):
    with pytest.raises(ParameterError, match="exponent must be more than 0"):
        ratio_masks(np.ones((2, 3)), exponent)


def test_soft_and_binary_masks():
    models = np.array([[3.0, 1.0, 0.0, 2.0], [1.0, 0.05, 0.0, 2.0]])
    soft = source_masks(models, 1, "soft")
    np.testing.assert_allclose(soft[:, 0], [(0.75 - 0.075) / 0.85, (0.25 - 0.075) / 0.85])
    np.testing.assert_array_equal(soft[:, 1], [1, 0])
    np.testing.assert_allclose(soft[:, 2], 0.5)
    binary = source_masks(models, 1, "binary")
    np.testing.assert_array_equal(binary, [[1, 1, 0.5, 1], [0, 0, 0.5, 0]])
    np.testing.assert_array_equal(source_masks(models, 1.5), ratio_masks(models, 1.5))
    with pytest.raises(ParameterError, match="a mask is"):
        source_masks(models, 1, "hard")
