import numpy as np
import pytest
from scipy.special import kl_div
from sklearn.decomposition._nmf import _beta_divergence

from audionmf import ParameterError
from audionmf.nmf import beta_divergence

BETAS = [-1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0]


def positive(*shape, seed=0):
    return np.random.default_rng(seed).random(shape) + 0.05


@pytest.mark.parametrize("beta", BETAS)
def test_it_is_the_divergence_of_scikit_learn(beta):
    V, W, H = positive(9, 13), positive(9, 4, seed=1), positive(4, 13, seed=2)
    expected = _beta_divergence(V, W, H, beta)
    assert beta_divergence(V, W @ H, beta) == pytest.approx(expected, rel=1e-12)


def test_kullback_leibler_is_that_of_scipy_with_zeros_in_data_and_model():
    V, model = positive(9, 13), positive(9, 13, seed=1)
    V[2] = 0
    V[:, 3] = 0
    model[2] = 0
    assert beta_divergence(V, model) == pytest.approx(kl_div(V, model).sum(), rel=1e-12)


def test_euclidean_is_half_the_squared_distance():
    V, model = positive(9, 13), positive(9, 13, seed=1)
    expected = 0.5 * np.linalg.norm(V - model) ** 2
    assert beta_divergence(V, model, 2) == pytest.approx(expected, rel=1e-12)


def test_itakura_saito_does_not_change_with_the_scale():
    V, model = positive(9, 13), positive(9, 13, seed=1)
    at_one = beta_divergence(V, model, 0)
    assert beta_divergence(1e-9 * V, 1e-9 * model, 0) == pytest.approx(at_one, rel=1e-9)


@pytest.mark.parametrize("beta", BETAS)
def test_scaling_both_scales_the_divergence_by_its_power(beta):
    V, model = positive(9, 13), positive(9, 13, seed=1)
    expected = 3.0**beta * beta_divergence(V, model, beta)
    assert beta_divergence(3 * V, 3 * model, beta) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("beta", BETAS)
def test_it_is_zero_where_the_two_agree_and_positive_elsewhere(beta):
    V = positive(9, 13)
    assert beta_divergence(V, V, beta) == pytest.approx(0, abs=1e-11)
    assert beta_divergence(V, V + 0.1, beta) > 0
    assert beta_divergence(V, 0.9 * V, beta) > 0


@pytest.mark.parametrize("near", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("step", [-1e-5, 1e-5])
def test_the_special_cases_are_the_limits_of_the_general_one(near, step):
    V, model = positive(9, 13), positive(9, 13, seed=1)
    limit = beta_divergence(V, model, near)
    assert beta_divergence(V, model, near + step) == pytest.approx(limit, rel=1e-3)


@pytest.mark.parametrize("beta", [0.5, 1.0, 1.5, 2.0, 3.0])
def test_silence_explained_by_silence_costs_nothing(beta):
    assert beta_divergence(np.zeros((3, 2)), np.zeros((3, 2)), beta) == 0


@pytest.mark.parametrize("beta", [0.5, 1.0, 1.5, 2.0, 3.0])
def test_a_zero_in_the_data_costs_what_the_model_says(beta):
    model = positive(3, 2)
    expected = (model**beta / beta).sum()
    assert beta_divergence(np.zeros((3, 2)), model, beta) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("beta", [-0.5, 0.0, 0.5, 1.0])
def test_a_model_of_zero_for_data_that_is_not_is_infinitely_far(beta):
    assert beta_divergence([[1.0]], [[0.0]], beta) == np.inf


@pytest.mark.parametrize("beta", BETAS)
def test_what_is_not_a_number_is_not_taken_for_agreement(beta):
    assert not beta_divergence([1.0, np.nan], [1.0, 1.0], beta) < np.inf
    assert not beta_divergence([1.0, 1.0], [1.0, np.nan], beta) < np.inf


def test_float32_is_accumulated_in_double_precision():
    V = np.full((1000, 1000), 0.1, np.float32)
    exact = V.astype(np.float64)
    assert beta_divergence(V, V + np.float32(0.01), 2) == pytest.approx(
        0.5 * ((exact - (V + np.float32(0.01))) ** 2).sum(), rel=1e-12
    )


def test_any_shape_will_do_and_inputs_stay_as_they_are():
    V, model = positive(2, 3, 4), positive(2, 3, 4, seed=1)
    V.flags.writeable = model.flags.writeable = False
    flat = beta_divergence(V.ravel(), model.ravel(), 1.5)
    assert beta_divergence(V, model, 1.5) == pytest.approx(flat, rel=1e-12)


def test_shapes_that_differ_are_refused_with_both():
    with pytest.raises(ParameterError, match=r"\(3, 2\).*\(2, 3\)"):
        beta_divergence(np.ones((3, 2)), np.ones((2, 3)))
