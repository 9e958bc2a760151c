"""Hints in the time-frequency plane: the objective never rises, and hints are heeded."""

import numpy as np
import pytest

from audionmf import nmf
from audionmf.errors import ParameterError
from audionmf.nmf import constrained
from audionmf.nmf.constrained import fit_constrained
from audionmf.nmf.divergence import beta_divergence

RNG = np.random.default_rng(5)
N_BINS, N_FRAMES, N_COMPONENTS = 33, 700, 6
V = (RNG.gamma(0.5, size=(N_BINS, 4)) @ RNG.gamma(0.3, size=(4, N_FRAMES))).astype(np.float32)
V[:, 300:310] = 0
W0 = RNG.random((N_BINS, N_COMPONENTS), np.float32)
H0 = RNG.random((N_COMPONENTS, N_FRAMES), np.float32)
GROUPS = [0, 1, 0, 1, 2, 2]
NOWHERE = np.zeros(V.shape, np.uint8)
ZONES = NOWHERE.copy()
ZONES[5:20, 100:500] = 1
ZONES[15:30, 400:600] = 2
PENALTIES = np.array([[0, 0, 0], [0, 4, 4], [10, 0, 0]])


def fit(zones=ZONES, penalties=PENALTIES, **changes):
    options = {"V": V, "templates": W0, "activations": H0, "groups": GROUPS} | changes
    return fit_constrained(zones=zones, penalties=penalties, **options)


def objective(W, H):
    weights = np.exp(-PENALTIES)
    gamma = sum(
        weights[ZONES, g] * (W[:, [k for k in range(6) if GROUPS[k] == g]].astype(np.float64)
        @ H[[k for k in range(6) if GROUPS[k] == g]])
        for g in range(3)
    )  # fmt: skip
    heard = V > 0
    data = V.astype(np.float64)
    return (data[heard] * np.log(data[heard] / gamma[heard])).sum() - data.sum() + (W @ H).sum()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("level", [1e-20, 1, 1e20])
def test_the_objective_never_rises_at_any_level(dtype, level):
    found = fit(V=V.astype(dtype) * dtype(level), activations=H0 * level, max_iter=60, tol=0)
    assert found.n_iter == 60
    assert (np.diff(found.objective) <= 0).all()
    assert found.objective[-1] < found.objective[5] < found.objective[0]
    assert found.templates.dtype == dtype


def test_the_firmest_penalty_on_all_groups_but_one_is_no_trouble():
    firm = np.where(PENALTIES > 0, 50.0, 0.0)
    found = fit(penalties=firm, max_iter=60, tol=0)
    assert (np.diff(found.objective) <= 0).all()
    assert np.isfinite(found.objective).all()
    assert np.isfinite(found.templates).all()


def test_the_objective_is_that_of_the_definition():
    found = fit(max_iter=7, tol=0)
    assert found.objective[0] == pytest.approx(objective(W0, H0), rel=1e-5)
    assert found.objective[-1] == pytest.approx(
        objective(found.templates, found.activations), rel=1e-4
    )


@pytest.mark.parametrize("fixed_templates", [False, True])
@pytest.mark.parametrize("most_kernels", [0, 1, constrained._MOST_KERNELS])
def test_frames_whose_hints_are_alike_give_what_blocks_give(
    most_kernels, fixed_templates, monkeypatch
):
    options = {
        "V": V.astype(np.float64),
        "max_iter": 10,
        "tol": 0,
        "penalties": np.add(PENALTIES, [0, 0, 1]),
    }
    monkeypatch.setattr(constrained, "_MANY", N_FRAMES)
    blocks = fit(fixed_templates=fixed_templates, **options)
    monkeypatch.setattr(constrained, "_MANY", 16)
    monkeypatch.setattr(constrained, "_MOST_KERNELS", most_kernels)
    found = fit(fixed_templates=fixed_templates, **options)
    np.testing.assert_allclose(found.templates, blocks.templates, rtol=1e-9)
    np.testing.assert_allclose(found.activations, blocks.activations, rtol=1e-9)
    np.testing.assert_allclose(found.objective, blocks.objective, rtol=1e-11)


def test_few_frames_of_each_kind_of_hints_are_no_trouble():
    scattered = np.random.default_rng(1).integers(0, 3, V.shape, np.uint8)
    found = fit(zones=scattered, max_iter=40, tol=0)
    assert (np.diff(found.objective) <= 0).all()
    assert found.objective[-1] < found.objective[5]


def test_plain_updates_themselves_do_not_raise_it():
    """Without the guard against rounding: iteration by iteration from the result of the last."""
    values = []
    W, H = W0.astype(np.float64), H0.astype(np.float64)
    for _ in range(20):
        found = fit(V=V.astype(np.float64), templates=W, activations=H, max_iter=1, tol=0)
        W, H = found.templates, found.activations
        values.append(objective(W, H))
    assert (np.diff(values) <= 1e-9 * values[0]).all()


def test_without_hints_it_is_the_plain_factorisation():
    plain = nmf.fit(V, N_COMPONENTS, max_iter=12, tol=0, templates=W0, activations=H0)
    found = fit(zones=NOWHERE, max_iter=12, tol=0)
    np.testing.assert_allclose(
        found.templates @ found.activations,
        plain.templates @ plain.activations,
        rtol=1e-3,
        atol=1e-4,
    )
    assert found.objective[-1] == pytest.approx(plain.divergence[-1], rel=1e-4)
    model = found.templates @ found.activations
    assert found.objective[-1] == pytest.approx(beta_divergence(V, model), rel=1e-4)


def test_a_group_leaves_where_it_is_not_wanted():
    def share(found, groups, zone):
        kept = [k for k in range(N_COMPONENTS) if GROUPS[k] in groups]
        part = found.templates[:, kept] @ found.activations[kept]
        whole = found.templates @ found.activations
        return part[zone == ZONES].sum() / whole[zone == ZONES].sum()

    without = fit(zones=NOWHERE, max_iter=100, tol=0)
    found = fit(max_iter=100, tol=0)
    assert share(found, {1, 2}, 1) < 0.25 < share(without, {1, 2}, 1)
    assert share(found, {0}, 2) < 0.7 * share(without, {0}, 2)


def test_the_result_does_not_depend_on_threads():
    one, three = fit(max_iter=5, n_threads=1), fit(max_iter=5, n_threads=3)
    assert np.array_equal(one.templates, three.templates)
    assert np.array_equal(one.activations, three.activations)


def test_inputs_stay_as_they_are_and_zeros_stay_zero():
    H = H0.copy()
    H[2, 50:] = 0
    before = [a.copy() for a in (V, W0, H, ZONES)]
    found = fit(activations=H, max_iter=4)
    assert all(np.array_equal(a, b) for a, b in zip(before, (V, W0, H, ZONES), strict=True))
    assert not found.activations[2, 50:].any()
    assert found.activations[2, :50].any()


def test_it_stops_when_told_to_and_when_it_gains_nothing():
    seen = []
    cancelled = fit(callback=lambda state: seen.append(state) or state.iteration == 3)
    assert (cancelled.reason, cancelled.n_iter) == ("cancelled", 3)
    assert seen[-1].divergence == pytest.approx(cancelled.objective[-2])
    assert fit(max_iter=2).reason == "max_iter"
    assert fit(tol=0.5).reason == "tolerance"


def test_silence_is_no_trouble():
    found = fit(V=np.zeros_like(V), max_iter=3)
    assert np.isfinite(found.templates).all()
    assert not found.activations.any()


@pytest.mark.parametrize(
    "changes",
    [
        {"groups": [0, 1]},
        {"groups": [0, 1, 0, 1, 2, 3]},
        {"groups": [0.5] * 6},
        {"zones": NOWHERE[:-1]},
        {"zones": NOWHERE + 3},
        {"zones": NOWHERE * 0.5},
        {"penalties": PENALTIES - 1},
        {"penalties": PENALTIES * 10},
        {"penalties": [0, 0, 0]},
        {"templates": W0[:, :4]},
        {"V": -V},
        {"tol": 2},
        {"max_iter": -1},
    ],
)
def test_what_does_not_fit_is_refused(changes):
    with pytest.raises(ParameterError):
        fit(**changes)


def test_fixed_templates_stay_and_the_objective_falls():
    found = fit(fixed_templates=True, max_iter=20)
    assert np.array_equal(found.templates, W0)
    assert (np.diff(found.objective) <= 0).all()
    assert found.objective[-1] < 0.99 * found.objective[0]
    assert found.objective[-1] == pytest.approx(objective(found.templates, found.activations))
