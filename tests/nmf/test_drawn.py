"""Templates that may move: the penalised objective falls, and the prior holds."""

import numpy as np
import pytest

from audionmf.nmf.drawn import fit_drawn

F, T, K = 30, 200, 6


def divergence(X, Y):
    ratio = np.where(X > 0, X, 1) / np.maximum(Y, 1e-30)
    return float((np.where(X > 0, X * np.log(ratio), 0) - X + Y).sum())


@pytest.fixture(scope="module")
def problem():
    rng = np.random.default_rng(0)
    truth = rng.random((F, K)) ** 4
    truth /= truth.sum(axis=0)
    V = truth @ rng.random((K, T)) ** 3
    W = truth * rng.gamma(2, 0.5, truth.shape) + 1e-3
    W /= W.sum(axis=0)
    H = rng.random((K, T)) + 0.1
    penalties = np.array([0, 0, 0, 0.05, 0.05, 0.3])
    return V.astype(np.float32), W.astype(np.float32), H.astype(np.float32), penalties


@pytest.mark.parametrize("pull", [0.0, 0.3, 1.0, 10.0])
def test_the_penalised_objective_never_rises(problem, pull):
    V, W, H, penalties = (np.asarray(x, np.float64) for x in problem)
    mass = H.sum(axis=1)

    def objective(A, G):
        held = sum(m * divergence(w, a) for m, w, a in zip(mass, W.T, A.T, strict=True))
        return divergence(V, A @ G) + penalties @ G.sum(axis=1) + pull * held

    values = [objective(W, H)]
    for n_iter in range(1, 15):
        A, G = fit_drawn(V, W, H, penalties=penalties, pull=pull, n_iter=n_iter)
        values.append(objective(A, G))
    assert np.all(np.diff(values) <= 1e-9 * values[0])
    assert values[-1] < 0.9 * values[0]


def test_a_stronger_pull_keeps_templates_closer(problem):
    V, W, H, penalties = problem
    moved = [
        divergence(W, fit_drawn(V, W, H, penalties=penalties, pull=pull)[0])
        for pull in (0.0, 1.0, 100.0)
    ]
    assert moved[0] > 1.5 * moved[1] > 1.5 * moved[2] > 0


def test_templates_sum_to_one_and_nothing_is_modified(problem):
    V, W, H, penalties = problem
    before = [x.copy() for x in problem]
    A, G = fit_drawn(V, W, H, penalties=penalties)
    np.testing.assert_allclose(A.sum(axis=0), 1, rtol=1e-5)
    assert G.shape == H.shape
    assert all(np.array_equal(a, b) for a, b in zip(before, problem, strict=True))


def test_what_does_not_play_stays_silent_and_where_it_was(problem):
    V, W, H, penalties = problem
    H = H.copy()
    H[0, 50:] = 0
    H[1] = 0
    A, G = fit_drawn(V, W, H, penalties=penalties)
    assert not G[0, 50:].any()
    assert G[0, :50].any()
    assert np.array_equal(A[:, 1], W[:, 1])


def test_the_number_of_threads_does_not_change_a_bit(problem):
    V, W, H, penalties = problem
    one = fit_drawn(V, W, H, penalties=penalties, n_threads=1)
    three = fit_drawn(V, W, H, penalties=penalties, n_threads=3)
    assert all(np.array_equal(a, b) for a, b in zip(one, three, strict=True))


def test_progress_goes_to_its_end(problem):
    V, W, H, penalties = problem
    told = []
    fit_drawn(V, W, H, penalties=penalties, n_iter=4, progress=told.append)
    np.testing.assert_allclose(told, [1 / 3, 2 / 3, 1])
