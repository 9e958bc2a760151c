"""Components that are taken out where they are missed least, and put where more is left."""

import numpy as np
import pytest

from audionmf import nmf
from audionmf.nmf import solver, swaps
from audionmf.nmf.updates import make_updater

N_BINS, N_FRAMES = 600, 900


def mixed(n_sources, rng):
    """Make sources with spectra of their own, each in some stretches, and noise."""
    W = rng.gamma(0.2, size=(N_BINS, n_sources)) / (1 + np.arange(N_BINS) / 100)[:, None] + 1e-6
    H = rng.gamma(0.4, size=(n_sources, N_FRAMES // 30)).repeat(30, axis=1) + 1e-6
    V = 2000 * W @ H * rng.gamma(200, 1 / 200, size=(N_BINS, N_FRAMES)) + 1e-3
    return np.asfortranarray(V.astype(np.float32)), W.astype(np.float32), H.astype(np.float32)


@pytest.fixture(scope="module", name="planted")
def few_sources():
    return mixed(5, np.random.default_rng(3))


@pytest.fixture(scope="module", name="hard")
def many_sources():
    """Of fourteen sources, from most random starts, updates alone leave two in one component."""
    return mixed(14, np.random.default_rng(3))[0]


@pytest.fixture(name="none_tried")
def without_swaps(monkeypatch):
    monkeypatch.setattr(solver, "swaps", lambda *_: iter(()))


def long_run(V, **options):
    return nmf.fit(V, 14, **{"max_iter": 600, "tol": 1e-6, **options})


def factors(W, H):
    return np.ascontiguousarray(W.T), np.ascontiguousarray(H.T)


def kl_updater(V, n_components, *, templates=True):
    free = np.full(n_components, True)
    return make_updater(V, 1.0, 1, free & templates, free)


def test_a_component_that_is_there_twice_is_missed_least(planted):
    V, W, H = planted
    twice = np.concatenate([W, W[:, 2:3]], axis=1)
    shared = np.concatenate([H, H[2:3] / 2])
    shared[2] /= 2
    with kl_updater(V, 6, templates=False) as updater:
        order = swaps.least_missed(updater, *factors(twice, shared))
    assert sorted(order) == list(range(6))
    assert set(order[:2]) == {2, 5}


def test_a_component_that_stands_for_two_sources_is_split_into_them(planted):
    V, W, H = planted
    joined_W = np.stack([W[:, 0], W[:, 1], W[:, 2], W[:, 3] + W[:, 4]], axis=1)
    joined_H = np.stack([H[0], H[1], H[2], (H[3] + H[4]) / 2])
    model = nmf.fit(V, 4, templates=joined_W, activations=joined_H, max_iter=50, coarse=False)
    taken, templates, _ = swaps._splits(V, *factors(model.templates, model.activations))[0]
    assert taken == [3]
    likeness = np.corrcoef(np.concatenate([templates, W[:, 3:].T]))[:2, 2:]
    assert {int(row.argmax()) for row in likeness} == {0, 1}


def test_halves_of_a_component_add_up_to_it(planted):
    V, W, H = planted
    for taken, templates, activations in swaps._splits(V, *factors(W, H)):
        np.testing.assert_allclose(templates.sum(axis=1), 1, rtol=1e-4)
        share = (V / (W @ H) * W[:, taken] * H[taken]).sum(axis=0)
        np.testing.assert_allclose(activations.sum(axis=0), share, rtol=1e-3)


def test_what_is_left_is_what_a_missing_source_was(planted):
    V, W, H = planted
    _, template, activation = swaps._in_what_is_left(V, *factors(2000 * W[:, :4], H[:4]))
    assert np.corrcoef(template[0], W[:, 4])[0, 1] > 0.95
    assert np.corrcoef(activation[0], H[4])[0, 1] > 0.95
    assert (activation > 0).all()


def test_a_new_component_may_play_where_nothing_is_left():
    W, H = np.ones((1, 40), np.float32), np.ones((30, 1), np.float32)
    V = np.ones((40, 30), np.float32)
    V[:5, :10] = 3
    _, _, activation = swaps._in_what_is_left(V, W, H)
    assert (activation > 0).all()
    assert activation[0, :10].min() > 100 * activation[0, 10:].max()


def test_every_swap_takes_one_out_and_leaves_the_others(planted):
    V, W, H = planted
    found = list(swaps.swaps(V, *factors(W, H), np.arange(5)))
    assert found
    for new_W, new_H in found:
        changed = np.flatnonzero((new_W != W.T).any(axis=1))
        assert 1 <= len(changed) <= 2
        assert changed.min() < 3  # one of those that are missed least
        assert new_W.shape == W.T.shape
        assert new_H.shape == H.T.shape
        assert np.isfinite(new_W).all()
        assert (new_H >= 0).all()


def test_a_silent_matrix_has_finite_swaps():
    V = np.zeros((40, 30), np.float32)
    W, H = np.ones((3, 40), np.float32), np.zeros((30, 3), np.float32)
    for new_W, new_H in swaps.swaps(V, W, H, np.arange(3)):
        assert np.isfinite(new_W).all()
        assert np.isfinite(new_H).all()


LOW = 986000
"""What all of fourteen components found come below."""


@pytest.mark.parametrize("seed", [0, 3, 4])
def test_a_long_run_leaves_a_poor_minimum(hard, seed):
    model = long_run(hard, seed=seed)
    assert model.divergence[-1] < LOW
    assert (np.diff(model.divergence) <= 0).all()
    value = nmf.beta_divergence(hard, model.templates @ model.activations)
    assert model.divergence[-1] == pytest.approx(value, rel=1e-3)
    assert model.reason in ("tolerance", "precision")
    assert model.n_iter <= 600


def test_swaps_are_tried_again_at_the_end(hard, monkeypatch):
    calls = []

    def later(*args):
        calls.append(args)
        return swaps.swaps(*args) if len(calls) > 1 else iter(())

    monkeypatch.setattr(solver, "swaps", later)
    assert long_run(hard, max_iter=1000, tol=1e-5).divergence[-1] < LOW


@pytest.mark.parametrize("seed", [0, 3, 4])
def test_updates_alone_stay_there(hard, seed, none_tried):
    assert long_run(hard, seed=seed).divergence[-1] > 1.015 * LOW


@pytest.mark.parametrize(
    "options", [{"max_iter": 200}, {"coarse": False}, {"method": "plain"}, {"a zero": True}]
)
def test_where_components_stay_what_they_are_none_is_tried(hard, options, monkeypatch):
    def forbidden(*_):
        raise AssertionError

    monkeypatch.setattr(solver, "swaps", forbidden)
    options, start = dict(options), nmf.initialize(hard, 14)[0]
    if options.pop("a zero", False):
        start[7, 1] = 0
    model = long_run(hard, templates=start, **{"max_iter": 260, **options})
    assert (model.templates[7, 1] == 0) == (start[7, 1] == 0)


@pytest.mark.parametrize("max_iter", [201, 259, 260, 330])
def test_it_has_no_more_iterations_than_it_may(hard, max_iter):
    model = long_run(hard, max_iter=max_iter, tol=0)
    assert model.n_iter == max_iter
    assert model.evaluated[-1] == max_iter


def test_looking_who_is_missed_counts_as_passes(hard, none_tried):
    model = long_run(hard, max_iter=259, tol=0)
    looked = long_run(hard, max_iter=260, tol=0)
    share = 512 / N_BINS / 2  # of rows and of frames
    assert looked.passes - model.passes > 14 * 5 * share


def test_trials_count_as_passes(hard):
    model = long_run(hard, max_iter=259, tol=0)  # too short for a trial on all frames
    with_trials = long_run(hard, max_iter=260, tol=0)
    assert with_trials.passes > model.passes + 14 * 5 / 2 + 100


@pytest.mark.parametrize("coarse", [True, False])
def test_it_can_be_cancelled_in_the_middle_of_a_trial(hard, coarse):
    told = []

    def cancel(state):
        told.append(state)
        return state.iteration > 205 and state.coarse is coarse

    model = long_run(hard, callback=cancel)
    assert model.reason == "cancelled"
    assert told[-1].iteration == 206
    assert (np.diff(model.divergence) <= 0).all()
    value = nmf.beta_divergence(hard, model.templates @ model.activations)
    assert model.divergence[-1] == pytest.approx(value, rel=1e-3)


def test_what_does_not_help_on_all_frames_is_left(hard, monkeypatch):
    brought = solver.Problem._on_all_frames
    tried = []

    def spoilt(*args):
        trial = brought(*args)
        trial.W[1:] = 0
        tried.append(trial)
        return trial

    monkeypatch.setattr(solver.Problem, "_on_all_frames", spoilt)
    model = long_run(hard)
    monkeypatch.setattr(solver, "swaps", lambda *_: iter(()))
    alone = long_run(hard)
    assert tried
    np.testing.assert_array_equal(model.templates, alone.templates)


def test_threads_do_not_matter(hard):
    one, two = (long_run(hard, n_threads=n) for n in (1, 2))
    np.testing.assert_array_equal(one.templates, two.templates)


@pytest.mark.parametrize("options", [{"beta": 2.0}, {"beta": 0.0}, {"device": "torch"}])
def test_other_divergences_and_devices_have_it_too(hard, options, monkeypatch):
    if "device" in options:
        pytest.importorskip("torch")
    model = long_run(hard, max_iter=280, **options)
    monkeypatch.setattr(solver, "swaps", lambda *_: iter(()))
    alone = long_run(hard, max_iter=280, **options)
    assert (np.diff(model.divergence) <= 0).all()
    assert model.divergence[-1] <= alone.divergence[-1] * 1.01
