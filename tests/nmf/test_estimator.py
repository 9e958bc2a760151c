import pickle
import subprocess
import sys

import numpy as np
import pytest
from scipy import sparse
from sklearn import decomposition
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import parametrize_with_checks

from audionmf import ParameterError
from audionmf.nmf import KLNMF, activate, beta_divergence, fit, fit_stream


def frames(n_samples=300, n_features=40, rank=3, seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    return (rng.random((n_samples, rank)) ** 2 @ rng.random((rank, n_features)) ** 4).astype(dtype)


@parametrize_with_checks(
    [
        KLNMF(),
        KLNMF(n_components=2, max_iter=20, n_threads=1),
        KLNMF(n_components=2, beta=2.0, method="plain", max_iter=20, n_threads=1),
        KLNMF(n_components=2, beta=0.0, init="nndsvda", max_iter=20, n_threads=1),
    ]
)
def test_it_is_an_estimator_of_scikit_learn(estimator, check):
    check(estimator)


def test_it_is_loaded_when_it_is_first_used():
    code = (
        "import sys, audionmf.nmf as nmf; print('sklearn' in sys.modules, 'KLNMF' in dir(nmf)); "
        "nmf.KLNMF; print('sklearn' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert result.stdout.split() == [b"False", b"True", b"True"]


def test_an_unknown_name_is_an_attribute_error():
    from audionmf import nmf

    with pytest.raises(AttributeError, match="KLNFM"):
        nmf.KLNFM  # noqa: B018


# The same as the functions


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"beta": 2.0, "method": "plain", "tol": 0.0, "max_iter": 30},
        {"beta": 0.0, "init": "nndsvda", "tol": 1e-2},
        {"max_iter": 3},
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_fit_is_fit_and_transform_is_activate(options, dtype):
    X = frames(dtype=dtype)
    model = KLNMF(5, random_state=3, **options).fit(X)
    expected = fit(X.T, 5, seed=3, **options)
    assert np.array_equal(model.components_, expected.templates.T)
    assert model.components_.dtype == dtype
    assert model.n_components_ == 5
    assert model.__sklearn_tags__().transformer_tags.preserves_dtype == ["float64", "float32"]
    assert model.n_iter_ == expected.n_iter
    assert model.reconstruction_err_ == pytest.approx(np.sqrt(2 * expected.divergence[-1]))
    other = frames(seed=1, dtype=dtype)
    H = activate(other.T, expected.templates, beta=expected.beta)
    assert np.array_equal(model.transform(other), H.T)
    assert model.transform(other).dtype == dtype


def test_fit_transform_is_fit_then_transform():
    X = frames()
    assert np.array_equal(KLNMF(4).fit_transform(X), KLNMF(4).fit(X).transform(X))


def test_a_row_does_not_depend_on_the_others():
    X = frames()
    model = KLNMF(4).fit(X)
    whole = model.transform(X)
    assert np.array_equal(model.transform(X[17:18]), whole[17:18])


def test_the_inverse_is_the_model():
    X = frames()
    model = KLNMF(3, tol=0.0).fit(X)
    activations = model.transform(X)
    estimate = model.inverse_transform(activations)
    assert np.array_equal(estimate, activations @ model.components_)
    np.testing.assert_allclose(estimate, X, atol=0.05 * X.max())
    with pytest.raises(ValueError, match="X has 2 components, the model 3"):
        model.inverse_transform(activations[:, :2])


def test_the_error_is_what_scikit_learn_would_say():
    X = frames(rank=8)
    ours = KLNMF(3).fit(X)
    theirs = decomposition.NMF(
        3, solver="mu", beta_loss=1, init="random", random_state=0, max_iter=2000
    )
    theirs.fit(X)
    H = ours.transform(X)
    value = np.sqrt(2 * beta_divergence(X, H @ ours.components_, 1))
    assert ours.reconstruction_err_ == pytest.approx(value, rel=1e-2)
    assert ours.reconstruction_err_ < 1.1 * theirs.reconstruction_err_


def test_an_exact_fit_has_no_error():
    for seed in range(40):
        X = 5 * np.random.default_rng(seed).random((2, 9))
        error = KLNMF(2, tol=0.0, max_iter=500, n_threads=1).fit(X).reconstruction_err_
        assert 0 <= error < 1e-3  # the divergence may be -1e-14


@pytest.mark.parametrize("seed", [7, np.int64(7)])
def test_the_random_state_may_be_a_number(seed):
    X = frames()
    expected = fit(X.T, 3, seed=7, max_iter=5).templates.T
    assert np.array_equal(KLNMF(3, random_state=seed, max_iter=5).fit(X).components_, expected)


def test_the_random_state_may_be_a_generator_or_none():
    X = frames()

    def components(state):
        return KLNMF(3, random_state=state, max_iter=5).fit(X).components_

    for make in (np.random.RandomState, np.random.default_rng):
        assert np.array_equal(components(make(1)), components(make(1)))
        assert not np.array_equal(components(make(1)), components(make(2)))
    before = np.random.get_state()  # noqa: NPY002
    assert not np.array_equal(components(None), components(None))
    np.random.set_state(before)  # noqa: NPY002


# In scikit-learn's company


@pytest.mark.parametrize(
    "reducer",
    [
        KLNMF(4),
        decomposition.NMF(
            4, solver="mu", beta_loss=1, init="random", random_state=0, max_iter=2000
        ),
    ],
)
def test_it_takes_the_place_of_nmf_in_a_pipeline(reducer):
    X = np.concatenate([frames(seed=0), frames(seed=1)])
    y = np.repeat([0, 1], 300)
    pipeline = make_pipeline(FunctionTransformer(np.abs), reducer, LogisticRegression(C=1e3))
    assert pipeline.fit(X, y).score(X, y) > 0.95
    assert pipeline[:-1].transform(X).shape == (600, 4)


def test_its_parameters_can_be_searched():
    X = np.concatenate([frames(seed=0), frames(seed=1)])
    y = np.repeat([0, 1], 300)
    pipeline = make_pipeline(KLNMF(max_iter=30), LogisticRegression(C=1e3))
    search = GridSearchCV(pipeline, {"klnmf__n_components": [1, 4]}, cv=2)
    assert search.fit(X, y).best_params_ == {"klnmf__n_components": 4}


def test_parameters_are_got_set_and_cloned():
    model = KLNMF(3, tol=0.0)
    assert model.get_params() == {
        "n_components": 3,
        "beta": 1.0,
        "max_iter": 200,
        "tol": 0.0,
        "method": "accelerated",
        "init": "random",
        "random_state": 0,
        "n_threads": None,
    }
    model.set_params(n_components=2, max_iter=4)
    assert model.fit(frames()).components_.shape == (2, 40)
    copy = clone(model)
    assert copy.get_params() == model.get_params()
    assert not hasattr(copy, "components_")


def test_names_of_components_come_out():
    assert KLNMF(2).fit(frames()).get_feature_names_out().tolist() == ["klnmf0", "klnmf1"]


def test_names_of_features_are_kept():
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(frames(), columns=[f"bin{i}" for i in range(40)])
    model = KLNMF(2).fit(table)
    assert model.feature_names_in_.tolist() == list(table.columns)
    with pytest.raises(ValueError, match="feature names should match"):
        model.transform(table[table.columns[::-1]])
    activations = model.set_output(transform="pandas").transform(table)
    assert list(activations.columns) == ["klnmf0", "klnmf1"]


def test_it_pickles():
    X = frames()
    model = KLNMF(3).fit(X)
    copy = pickle.loads(pickle.dumps(model))  # noqa: S301
    assert np.array_equal(copy.transform(X), model.transform(X))


# Batch by batch


def test_partial_fit_is_a_pass_of_fit_stream():
    X = frames(dtype=np.float32)
    model = KLNMF(3)
    for start in range(0, 300, 100):
        assert model.partial_fit(X[start : start + 100]) is model
    expected = fit_stream([X[i : i + 100].T for i in range(0, 300, 100)], 3)
    assert np.array_equal(model.components_, expected.templates.T)
    assert model.components_.dtype == np.float32
    assert model.n_iter_ == 3
    assert model.n_features_in_ == 40
    assert 0 < 0.5 * model.reconstruction_err_**2 < expected.divergence[0]
    assert model.transform(X).shape == (300, 3)


def test_partial_fit_goes_on_where_fit_ended():
    X = frames()
    model = KLNMF(3, tol=0.0).fit(X)
    before = model.components_.copy()
    np.testing.assert_allclose(model.partial_fit(X).components_, before, atol=2e-3)
    assert model.n_iter_ == 1
    for _ in range(4):
        model.partial_fit(frames(seed=1))
    assert np.abs(model.components_ - before).max() > 0.02


def test_fit_starts_anew():
    X = frames()
    model = KLNMF(3).partial_fit(frames(n_features=20)).fit(X)
    assert np.array_equal(model.components_, KLNMF(3).fit(X).components_)
    assert model.n_features_in_ == 40


def test_partial_fit_goes_on_after_pickling():
    X = frames()
    model = KLNMF(3).partial_fit(X[:150])
    copy = pickle.loads(pickle.dumps(model))  # noqa: S301
    for each in (model, copy):
        each.partial_fit(X[150:])
    assert np.array_equal(copy.components_, model.components_)


def test_partial_fit_is_there_for_beta_1_only():
    assert hasattr(KLNMF(), "partial_fit")
    model = KLNMF(beta=2.0)
    assert not hasattr(model, "partial_fit")
    with pytest.raises(AttributeError, match="partial_fit"):
        model.partial_fit(frames())


def test_partial_fit_refuses_other_features():
    model = KLNMF(3).partial_fit(frames())
    with pytest.raises(ValueError, match="X has 20 features, but KLNMF is expecting 40"):
        model.partial_fit(frames(n_features=20))


# What is refused


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_components": 0}, "n_components must be"),
        ({"n_components": 2.5}, "n_components must be"),
        ({"max_iter": -1}, "max_iter must be"),
        ({"tol": 2.0}, "tol must be"),
        ({"method": "fast"}, "method must be"),
        ({"init": "custom"}, "init must be"),
        ({"beta": float("inf")}, "beta must be"),
        ({"n_threads": 0}, "n_threads must be"),
    ],
)
def test_parameters_out_of_range_are_refused_by_fit(options, message):
    with pytest.raises(ParameterError, match=message):
        KLNMF(**options).fit(frames())


def test_data_that_makes_no_sense_is_refused():
    model = KLNMF(2).fit(frames())
    for method in (model.fit, model.partial_fit, model.transform):
        with pytest.raises(ValueError, match="Negative values"):
            method(-frames())
        with pytest.raises(ValueError, match="NaN"):
            method(np.full((3, 40), np.nan))
        with pytest.raises(TypeError, match=r"[Ss]parse"):
            method(sparse.csr_array(frames()))


def test_the_data_is_not_modified():
    X = frames()
    X.flags.writeable = False
    copy = X.copy()
    model = KLNMF(2).fit(X)
    model.partial_fit(X).transform(X)
    assert np.array_equal(X, copy)


def test_all_of_it_may_be_silent():
    X = np.zeros((20, 6))
    for model in (KLNMF(2).fit(X), KLNMF(2).partial_fit(X)):
        assert model.reconstruction_err_ == 0
        assert not model.transform(X).any()
        assert not model.inverse_transform(model.transform(X)).any()
