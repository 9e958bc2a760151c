"""`nmf.Penalties`: an objective that never rises, and activations of the form asked for."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audionmf import nmf
from audionmf.errors import ParameterError

WEIGHTS = st.sampled_from([0.0, 0.05, 1.0, 30.0])


def objective(V, W, H, penalties):
    """J as it is written in the module, element by element; W sums to 1."""
    level, n = V.sum() / H.size, len(H)
    model = W @ H
    at = V > 0
    total = (V[at] * np.log(V[at] / model[at])).sum() - V.sum() + model.sum()
    total += level * penalties.sparsity * np.log(1 + H / level).sum()
    for g in set(penalties.groups or ()):
        group = H[[k for k in range(n) if penalties.groups[k] == g]].sum(axis=0)
        total += level * penalties.group_sparsity * np.log(1 + group / level).sum()
    total += penalties.continuity / level * ((H[:, 1:] - H[:, :-1]) ** 2).sum()
    for k in range(n):
        for other in range(k):
            total += penalties.decorrelation / level * (H[k] * H[other]).sum()
    return total


@settings(max_examples=10, deadline=None)
@given(
    st.integers(0, 10_000),
    st.sampled_from(["full", "sparse", "silent frames", "silent"]),
    st.sampled_from([np.float32, np.float64]),
    WEIGHTS, WEIGHTS, WEIGHTS, WEIGHTS,
    st.sampled_from([1e-12, 1.0, 1e9]),
)  # fmt: skip
def test_the_objective_never_rises(seed, kind, dtype, sparse, grouped, smooth, exclusive, level):
    rng = np.random.default_rng(seed)
    V = rng.random((13, 17)) ** 3
    if kind == "sparse":
        V *= rng.random(V.shape) < 0.2
    V[:, 4:9] *= kind != "silent frames"
    V = (V * (kind != "silent") * level).astype(dtype)
    groups = (0, 0, 1, 2) if grouped else None
    penalties = nmf.Penalties(sparse, grouped, smooth, exclusive, groups)
    model = nmf.fit(
        V, 4, penalties=penalties, max_iter=25, tol=0, seed=seed, n_threads=1,
    )  # fmt: skip
    assert np.isfinite(model.templates).all()
    assert np.isfinite(model.activations).all()
    assert (model.activations >= 0).all()
    J = model.divergence
    assert (np.diff(J) <= 0).all()
    if penalties.any and V.any():
        # The values are those of the written formula at the start's end, not only clipped to fall.
        W = model.templates.astype(np.float64)
        true = objective(V.astype(np.float64), W, model.activations.astype(np.float64), penalties)
        assert true <= J[-1] + 1e-3 * abs(J[0]) + 1e-30
        assert true == pytest.approx(J[-1], rel=2e-3, abs=1e-4 * abs(J[0]))


@pytest.mark.parametrize(
    "penalties",
    [
        nmf.Penalties(sparsity=0.5),
        nmf.Penalties(group_sparsity=0.5, groups=(0, 0, 1)),
        nmf.Penalties(continuity=2.0),
        nmf.Penalties(decorrelation=2.0),
    ],
    ids=["sparsity", "group", "continuity", "decorrelation"],
)
def test_each_step_lowers_the_objective_as_written(penalties):
    rng = np.random.default_rng(1)
    V = rng.random((20, 30))
    before = np.inf
    for n_iter in range(12):
        model = nmf.fit(V, 3, penalties=penalties, max_iter=n_iter, tol=0)
        W = model.templates
        now = objective(V, W, model.activations, penalties)
        assert now <= before * (1 + 1e-12)
        before = now


@pytest.fixture(scope="module")
def music():
    rng = np.random.default_rng(3)
    W = rng.random((40, 5)) ** 4
    H = np.repeat(rng.random((5, 12)) * (rng.random((5, 12)) < 0.5), 10, axis=1)
    return (W @ H + 0.01) * (0.9 + 0.2 * rng.random((40, 120)))


def fitted(V, **weights):
    return nmf.fit(V, 6, penalties=nmf.Penalties(**weights), max_iter=150, tol=0).activations


def smallness(H):
    return (0.05 * H.max() > H).mean()


def roughness(H):
    return (np.diff(H, axis=1) ** 2).sum() / (H**2).sum()


def sharing(H):
    return 1 - (H**2).sum() / (H.sum(axis=0) ** 2).sum()


@pytest.mark.parametrize(
    ("measure", "weights", "sign"),
    [
        (smallness, {"sparsity": 0.3}, 1),
        (roughness, {"continuity": 3.0}, -1),
        (sharing, {"decorrelation": 1.0}, -1),
    ],
    ids=["sparsity", "continuity", "decorrelation"],
)
def test_each_penalty_does_what_it_is_called(music, measure, weights, sign):
    plain = nmf.fit(music, 6, method="plain", max_iter=150, tol=0).activations
    assert sign * measure(fitted(music, **weights)) > sign * measure(plain) + 0.005


def test_group_sparsity_empties_whole_groups(music):
    groups = (0, 0, 0, 1, 1, 1)

    def shared(H):
        masses = np.stack([H[:3].sum(axis=0), H[3:].sum(axis=0)])
        return (masses.min(axis=0) / masses.sum(axis=0)).mean()

    plain = nmf.fit(music, 6, method="plain", max_iter=150, tol=0).activations
    assert shared(fitted(music, group_sparsity=0.3, groups=groups)) < 0.8 * shared(plain)


def test_level_and_threads_do_not_matter(music):
    weights = nmf.Penalties(sparsity=0.2, continuity=1.0)
    one = nmf.fit(music, 4, penalties=weights, max_iter=20, n_threads=1)
    loud = nmf.fit(music * 2.0**40, 4, penalties=weights, max_iter=20, n_threads=3)
    np.testing.assert_array_equal(loud.templates, one.templates)
    np.testing.assert_array_equal(loud.activations, one.activations * 2.0**40)


def test_what_is_fixed_stays_and_the_data_too(music):
    given = nmf.fit(music, 3, max_iter=5).templates * 7
    kept, before = given.copy(), music.copy()
    model = nmf.fit(
        music, 5, templates=given, fixed_templates=True, penalties=nmf.Penalties(sparsity=0.5),
        max_iter=10,
    )  # fmt: skip
    np.testing.assert_allclose(model.templates[:, :3], kept, rtol=1e-12)
    np.testing.assert_array_equal(given, kept)
    np.testing.assert_array_equal(music, before)


def test_without_weights_nothing_changes(music):
    plain = nmf.fit(music, 3, max_iter=10)
    same = nmf.fit(music, 3, max_iter=10, penalties=nmf.Penalties())
    np.testing.assert_array_equal(same.activations, plain.activations)


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ({"sparsity": -1}, "sparsity must be"),
        ({"continuity": float("nan")}, "continuity must be"),
        ({"group_sparsity": 1}, "come together"),
        ({"groups": (0, 1)}, "come together"),
    ],
)
def test_wrong_weights_are_refused(weights, words):
    with pytest.raises(ParameterError, match=words):
        nmf.Penalties(**weights)


def test_wrong_use_is_refused(music):
    with pytest.raises(ParameterError, match="beta 1"):
        nmf.fit(music, 2, beta=2, penalties=nmf.Penalties(sparsity=1))
    with pytest.raises(ParameterError, match="groups are 3"):
        nmf.fit(music, 3, penalties=nmf.Penalties(group_sparsity=1, groups=(0, 1)))


def test_weights_are_plain_values():
    assert asdict(nmf.Penalties(sparsity=0.5))["sparsity"] == 0.5
