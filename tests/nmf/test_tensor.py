"""The factorisation of several channels: descent, its oracle, the places of components."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audionmf import nmf
from audionmf.errors import ParameterError
from audionmf.nmf import tensor as channels
from audionmf.nmf.divergence import beta_divergence


def tensor(seed=0, n_channels=2, n_bins=30, n_frames=40, n_components=3, dtype=np.float64):
    rng = np.random.default_rng(seed)
    g, W = rng.dirichlet(np.ones(n_channels), n_components).T, rng.random((n_bins, n_components))
    H = rng.gamma(0.3, size=(n_components, n_frames))
    return model(g, W / W.sum(axis=0), H).astype(dtype), g, W / W.sum(axis=0), H


def model(g, W, H):
    return np.einsum("ck,fk,kt->cft", g, W, H)


def divergence(V, found):
    parts = model(found.gains, found.templates, found.activations)
    return beta_divergence(V, np.maximum(parts, 1e-20), 1.0)


def reference(V, g, W, H, n_iter):
    """Expectation maximisation, written out."""
    for _ in range(n_iter):
        ratio = V / model(g, W, H)
        H = H * np.einsum("ck,fk,cft->kt", g, W, ratio) / np.einsum("ck,fk->k", g, W)[:, None]
        ratio = V / model(g, W, H)
        shares = np.einsum("ck,fk,kt,cft->ckf", g, W, H, ratio) / H.sum(axis=1)[:, None]
        total = shares.sum(axis=(0, 2))
        g, W = shares.sum(axis=2) / total, shares.sum(axis=0).T
    sums = W.sum(axis=0)
    return g, W / sums, H * sums[:, None]


def test_it_equals_the_updates_written_out():
    V = tensor()[0] + 0.01
    rng = np.random.default_rng(1)
    g, W, H = np.ones((2, 4)), rng.random((30, 4)), rng.random((4, 40))
    found = nmf.fit_channels(
        V, 4, max_iter=20, tol=0, method="plain", gains=g, templates=W, activations=H
    )
    for ours, theirs in zip(
        (found.gains, found.templates, found.activations), reference(V, g, W, H, 20), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9)


@pytest.mark.parametrize("method", ["plain", "accelerated"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_channels", [1, 2, 5])
def test_the_divergence_never_rises_and_is_that_of_the_result(method, dtype, n_channels):
    V = tensor(n_channels=n_channels, dtype=dtype)[0] + dtype(0.01)
    found = nmf.fit_channels(V, 5, max_iter=60, tol=0, method=method)
    assert (np.diff(found.divergence) <= 0).all()
    assert found.divergence[-1] == pytest.approx(divergence(V, found), rel=1e-3, abs=1e-5)
    assert found.templates.dtype == dtype


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 3), st.integers(1, 9), st.integers(1, 9), st.integers(1, 4),
    st.integers(0, 99), st.sampled_from([0.0, 0.7]),
)  # fmt: skip
def test_any_size_and_sparsity_gives_finite_factors(n_channels, n_bins, n_frames, k, seed, zeros):
    rng = np.random.default_rng(seed)
    V = rng.random((n_channels, n_bins, n_frames)) * (
        rng.random((n_channels, n_bins, n_frames)) > zeros
    )
    found = nmf.fit_channels(V, k, max_iter=30)
    assert (np.diff(found.divergence) <= 1e-9 * V.sum()).all()
    for factor in (found.gains, found.templates, found.activations):
        assert np.isfinite(factor).all()
        assert (factor >= 0).all()
    np.testing.assert_allclose(found.gains.sum(axis=0), 1, rtol=1e-6)


def test_the_places_of_components_are_found():
    V, g, *_ = tensor(n_components=3)
    found = nmf.fit_channels(V, 3, max_iter=2000, tol=0)
    np.testing.assert_allclose(np.sort(found.gains[0]), np.sort(g[0]), atol=0.02)


def test_one_channel_is_the_plain_factorisation():
    V = tensor(n_channels=1)[0] + 0.01
    rng = np.random.default_rng(1)
    start = {"templates": rng.random((30, 4)), "activations": rng.random((4, 40))}
    channels = nmf.fit_channels(V, 4, max_iter=40, tol=0, **start)
    matrix = nmf.fit(V[0], 4, max_iter=40, tol=0, **start)
    np.testing.assert_allclose(channels.templates, matrix.templates, rtol=1e-6)
    np.testing.assert_allclose(channels.activations, matrix.activations, rtol=1e-6)


def test_zeros_stay_zero_and_inputs_stay_as_they_are():
    V = tensor()[0] + 0.01
    W = np.random.default_rng(2).random((30, 4))
    W[:10, 1] = 0
    before = V.copy(), W.copy()
    V.setflags(write=False)
    W.setflags(write=False)
    found = nmf.fit_channels(V, 4, templates=W)
    assert not found.templates[:10, 1].any()
    np.testing.assert_array_equal(V, before[0])
    np.testing.assert_array_equal(W, before[1])


@pytest.mark.parametrize("exponent", [-90, 90])
def test_the_level_does_not_matter(exponent):
    V = tensor(dtype=np.float32)[0]
    scale = np.float32(2.0**exponent)
    plain, scaled = nmf.fit_channels(V, 3, seed=4), nmf.fit_channels(V * scale, 3, seed=4)
    np.testing.assert_array_equal(plain.templates, scaled.templates)
    np.testing.assert_array_equal(plain.activations * scale, scaled.activations)


def test_threads_do_not_matter_and_silence_is_no_trouble():
    V = tensor(n_bins=200, n_frames=700, dtype=np.float32)[0]
    one, three = (nmf.fit_channels(V, 4, max_iter=9, n_threads=n) for n in (1, 3))
    np.testing.assert_array_equal(one.activations, three.activations)
    found = nmf.fit_channels(np.zeros((2, 5, 6)), 2)
    assert not found.activations.any()


def test_a_callback_cancels():
    found = nmf.fit_channels(tensor()[0], 3, tol=0, callback=lambda state: state.iteration == 7)
    assert (found.reason, found.n_iter) == ("cancelled", 7)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"V": np.ones((3, 4))}, "3 dimensions"),
        ({"V": -np.ones((2, 3, 4))}, "finite and 0 or more"),
        ({"n_components": 0}, "n_components"),
        ({"gains": np.ones((3, 2))}, "gains of shape"),
        ({"templates": np.ones((3, 1))}, "templates of shape"),
        ({"activations": np.ones((2, 9))}, "9 frames"),
        ({"method": "fast"}, "method"),
        ({"tol": 2}, "tol"),
    ],
)
def test_what_does_not_fit_is_refused(change, words):
    arguments = {"V": np.ones((2, 3, 4)), "n_components": 2} | change
    with pytest.raises(ParameterError, match=words):
        nmf.fit_channels(**arguments)


def many_frames():
    """Return two channels of notes that go on for some frames each, and a start for them."""
    rng = np.random.default_rng(5)
    W, g = rng.gamma(0.3, size=(40, 4)), rng.uniform(0.1, 1, (2, 4))
    H = np.repeat(rng.gamma(0.5, size=(4, 40)), 8, axis=1)
    V = np.einsum("ck,fk,kt->cft", g, W, H) + 1e-3
    start = {"templates": rng.random((40, 4)) + 0.1, "activations": rng.random((4, 320)) + 0.1}
    return V.astype(np.float32), start


@pytest.fixture
def few_are_many(monkeypatch):
    """Let few frames be enough to begin on sums of four; return the sizes that are solved."""
    monkeypatch.setattr(channels, "_FEWER_MIN_FRAMES", 60)
    monkeypatch.setattr(channels, "_FEWER_MIN_RATIO", 4)
    sizes = []
    solve = channels.Problem.solve

    def noted(problem, *start, **options):
        run = solve(problem, *start, **options)
        sizes.append((problem.V.shape[1], run.n_iter))
        return run

    monkeypatch.setattr(channels.Problem, "solve", noted)
    return sizes


def test_many_frames_are_learnt_from_sums_of_four_first(few_are_many):
    V, start = many_frames()
    told = []
    found = nmf.fit_channels(V, 4, tol=0, max_iter=50, callback=told.append)
    assert few_are_many == [(320, 0), (80, 35), (320, 15)]
    assert [state.iteration for state in told] == list(range(1, 51))
    assert [state.coarse for state in told] == 35 * [True] + 15 * [False]
    assert found.n_iter == 50
    assert np.all(np.diff(found.divergence) <= 0)
    assert found.divergence[-1] == pytest.approx(divergence(V, found), rel=1e-4)
    few_are_many.clear()
    other = nmf.fit_channels(V, 4, tol=0, max_iter=50, method="plain")
    assert few_are_many == [(320, 50)]
    assert found.divergence[0] == pytest.approx(other.divergence[0], rel=1e-5)
    assert found.divergence[-1] < 1.05 * other.divergence[-1]
    start["activations"][1, 10:20] = 0  # what is 0 stays 0
    few_are_many.clear()
    nmf.fit_channels(V, 4, max_iter=50, tol=0, **start)
    assert few_are_many == [(320, 50)]


def test_long_runs_have_no_more_iterations_on_sums_than_one_of_200(few_are_many):
    V = np.random.default_rng(3).random((2, 40, 320))  # nothing that it could soon converge to
    nmf.fit_channels(V, 4, tol=0, max_iter=260)
    assert few_are_many == [(320, 0), (80, 140), (320, 120)]


def test_a_start_on_sums_that_leads_away_is_taken_back(few_are_many, monkeypatch):
    V, _ = many_frames()
    monkeypatch.setattr(channels, "between", lambda H, step, n: np.full((n, 4), 1e6, H.dtype))
    found = nmf.fit_channels(V, 4, tol=0, max_iter=50)
    assert few_are_many[-1] == (320, 50)
    assert np.all(np.diff(found.divergence) <= 0)


def test_a_callback_cancels_on_sums_of_frames(few_are_many):
    V, _ = many_frames()
    found = nmf.fit_channels(V, 4, tol=0, max_iter=50, callback=lambda s: s.iteration == 7)
    assert few_are_many == [(320, 0), (80, 7), (320, 0)]
    assert (found.reason, found.n_iter) == ("cancelled", 7)
    assert np.all(np.diff(found.divergence) <= 0)
    assert found.divergence[-1] == pytest.approx(divergence(V, found), rel=1e-4)
