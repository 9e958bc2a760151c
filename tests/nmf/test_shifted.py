"""Shift-invariant NMF: against sums written out, never rising, one template for all notes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audionmf import nmf
from audionmf.errors import ParameterError
from audionmf.nmf.shifted import shifted_model


def _plain(V: np.ndarray, W: np.ndarray, n_shifts: int, n_iter: int) -> tuple[np.ndarray, ...]:
    """Follow the equations one sum at a time: H, then W, the ratio anew for each."""
    (n_places, n_components), n_frames = W.shape, V.shape[1]
    W = W / W.sum(axis=0)
    H = np.tile(V.sum(axis=0) / (n_components * n_shifts), (n_components, n_shifts, 1))

    def ratio() -> np.ndarray:
        model = np.zeros_like(V)
        for k in range(n_components):
            for s in range(n_shifts):
                for f in range(n_places):
                    model[f + s] += W[f, k] * H[k, s]
        return V / model

    for _ in range(n_iter):
        Q, H_new = ratio(), np.empty_like(H)
        for k in range(n_components):
            for s in range(n_shifts):
                H_new[k, s] = H[k, s] * (W[:, k] @ Q[s : s + n_places]) / W[:, k].sum()
        H = H_new
        Q, W_new = ratio(), np.empty_like(W)
        for k in range(n_components):
            for f in range(n_places):
                over = sum(Q[f + s] @ H[k, s] for s in range(n_shifts))
                W_new[f, k] = W[f, k] * over / H[k].sum()
        W = W_new
    levels = W.sum(axis=0)
    return W / levels, H * levels[:, None, None], n_frames


def test_it_is_what_the_equations_say() -> None:
    rng = np.random.default_rng(1)
    V, W = rng.uniform(0.1, 2, (9, 7)), rng.uniform(0.1, 1, (6, 2))
    found = nmf.fit_shifted(V, 2, 4, templates=W, max_iter=5, tol=0, method="plain")
    templates, activations, _ = _plain(V, W, 4, 5)
    np.testing.assert_allclose(found.templates, templates, rtol=1e-9)
    np.testing.assert_allclose(found.activations, activations, rtol=1e-9)
    model = found.model().sum(axis=0)
    expected = (V * np.log(V / model) - V + model).sum()
    np.testing.assert_allclose(found.divergence[-1], expected, rtol=1e-9)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 3), st.integers(1, 6), st.sampled_from("fd"))
def test_divergence_never_rises(seed: int, n_components: int, n_shifts: int, kind: str) -> None:
    method = ("plain", "accelerated")[seed % 2]
    rng = np.random.default_rng(seed)
    V = (rng.gamma(0.3, size=(8, 11)) * 10.0 ** rng.integers(-6, 6)).astype(kind)
    V[rng.uniform(size=V.shape) < 0.3] = 0
    found = nmf.fit_shifted(V, n_components, n_shifts, max_iter=30, tol=0, seed=seed, method=method)
    model = found.model().sum(axis=0).astype(np.float64)
    kept = V > 0
    last = (V[kept] * np.log(V[kept] / model[kept])).sum() - V.sum() + model.sum()
    np.testing.assert_allclose(found.divergence[-1], last, rtol=1e-2, atol=1e-4 * V.sum())
    raw = [
        nmf.fit_shifted(V, n_components, n_shifts, max_iter=n, tol=0, seed=seed, method=method)
        .model()
        .sum(axis=0)
        for n in (1, 8, 30)
    ]
    values = [
        (V[kept] * np.log(V[kept] / m.astype(np.float64)[kept])).sum() - V.sum() + m.sum()
        for m in raw
    ]
    assert values[0] >= values[1] - 1e-4 * V.sum()
    assert values[1] >= values[2] - 1e-4 * V.sum()
    assert (np.diff(found.divergence) <= 0).all()
    assert found.activations.dtype == found.templates.dtype == V.dtype


def test_one_template_plays_all_notes_of_an_instrument() -> None:
    rng = np.random.default_rng(0)
    truth = np.zeros((40, 2))
    truth[[0, 12, 19, 24], 0] = (1, 0.6, 0.4, 0.3)
    truth[[0, 7, 15, 30], 1] = (0.5, 1, 0.2, 0.7)
    H = rng.uniform(size=(2, 13, 120)) * (rng.uniform(size=(2, 13, 120)) < 0.08)
    V = shifted_model(truth, H).sum(axis=0) + 1e-6
    found = nmf.fit_shifted(V, 2, 13, templates=truth + 0.15, max_iter=300, tol=0)
    learnt = found.templates / np.linalg.norm(found.templates, axis=0)
    wanted = truth / np.linalg.norm(truth, axis=0)
    assert ((learnt * wanted).sum(axis=0) > 0.98).all()
    level = V.max()
    places = np.abs(found.activations.sum(axis=0) - (H * truth.sum(axis=0)[:, None, None]).sum(0))
    assert places.mean() < 0.05 * level


def test_fixed_templates_threads_seed_and_cancelling() -> None:
    rng = np.random.default_rng(3)
    V, W = rng.uniform(size=(12, 1100)), rng.uniform(size=(9, 2))
    before = V.copy()
    kept = nmf.fit_shifted(V, 2, 4, templates=W, fixed_templates=True, max_iter=5)
    np.testing.assert_array_equal(kept.templates, W / W.sum(axis=0))
    one, two = (nmf.fit_shifted(V, 2, 4, seed=7, max_iter=6, n_threads=n) for n in (1, 2))
    np.testing.assert_array_equal(one.activations, two.activations)
    np.testing.assert_array_equal(V, before)
    stopped = nmf.fit_shifted(V, 2, 4, callback=lambda state: state.iteration == 3)
    assert (stopped.n_iter, stopped.reason, stopped.converged) == (3, "cancelled", False)
    silent = nmf.fit_shifted(np.zeros((5, 4)), 1, 2)
    assert not silent.activations.any()


def test_momentum_gets_further_in_as_many_iterations() -> None:
    rng = np.random.default_rng(5)
    V = shifted_model(rng.random((20, 2)) ** 4, rng.gamma(0.1, size=(2, 9, 60))).sum(axis=0) + 1e-3
    plain, fast = (
        nmf.fit_shifted(V, 2, 9, max_iter=40, tol=0, method=method).divergence[-1]
        for method in ("plain", "accelerated")
    )
    assert fast < 0.9 * plain


def test_one_place_is_plain_nmf() -> None:
    rng = np.random.default_rng(4)
    V, W = rng.uniform(size=(10, 20)), rng.uniform(0.1, 1, (10, 3))
    W /= W.sum(axis=0)
    H = np.tile(V.sum(axis=0) / 3, (3, 1))
    plain = nmf.fit(V, 3, templates=W, activations=H, method="plain", max_iter=10, tol=0)
    found = nmf.fit_shifted(V, 3, 1, templates=W, max_iter=10, tol=0, method="plain")
    np.testing.assert_allclose(
        found.model().sum(axis=0), plain.templates @ plain.activations, rtol=1e-6
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_shifts": 9}, "more than the 8 bins"),
        ({"n_shifts": 0}, "n_shifts must be a whole number"),
        ({"templates": np.ones((3, 2))}, "have the shape"),
        ({"fixed_templates": True}, "needs templates"),
        ({"tol": 2}, "tol must be"),
        ({"method": "fast"}, "method must be one of accelerated, plain"),
    ],
)
def test_bad_arguments_are_one_line(options: dict, message: str) -> None:
    arguments = {"n_shifts": 3, **options}
    with pytest.raises(ParameterError, match=message):
        nmf.fit_shifted(np.ones((8, 5)), 2, **arguments)
