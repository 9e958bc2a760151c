import numpy as np
import pytest

from audionmf.nmf import activate, activating, beta_divergence, newton
from audionmf.nmf.activating import FrameActivator
from audionmf.nmf.newton import Curvature, Newton, curvature_of, suits


def problem(n_frames=150, n_components=9, dtype=np.float32, seed=0):
    """Return V of 600 bins that templates with peaks, as wide as a window's, explain in part."""
    rng = np.random.default_rng(seed)
    peaks = rng.random((602, n_components)) ** 12
    W = peaks[:-2] + 2 * peaks[1:-1] + peaks[2:] + 1e-4
    H = rng.random((n_components, n_frames)) ** 6
    V = (W @ H) * rng.gamma(3, 1 / 3, (600, n_frames))
    return V.astype(dtype), W.astype(dtype)


def values(V, W, H):
    """Return the divergence of each frame."""
    model = W.astype(np.float64) @ H
    return np.array([beta_divergence(V[:, t], model[:, t]) for t in range(V.shape[1])])


def with_momentum(monkeypatch, *arguments, **options):
    with monkeypatch.context() as patched:
        patched.setattr(activating, "suits", lambda *known: False)
        return activate(*arguments, **options)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_components", [1, 9, 40])
def test_it_comes_as_far_as_iterations_with_momentum(n_components, dtype, monkeypatch):
    V, W = problem(n_components=n_components, dtype=dtype)
    best = values(V, W, with_momentum(monkeypatch, V, W, n_iter=600)).sum()
    ours = values(V, W, activate(V, W)).sum()
    usual = values(V, W, with_momentum(monkeypatch, V, W)).sum()
    assert ours - best <= max(usual - best, 1e-5 * best)


def test_no_frame_is_left_far_from_its_optimum(monkeypatch):
    V, W = problem(n_frames=400, dtype=np.float64)
    best = values(V, W, with_momentum(monkeypatch, V, W, n_iter=600))
    assert (values(V, W, activate(V, W)) <= best * 1.001).all()


def test_more_steps_come_nearer_to_the_optimum(monkeypatch):
    V, W = problem(dtype=np.float64)
    best = values(V, W, with_momentum(monkeypatch, V, W, n_iter=2000)).sum()
    near = [values(V, W, activate(V, W, n_iter=n)).sum() / best - 1 for n in (30, 60, 160)]
    assert near[0] > near[1] > near[2]
    assert near[2] < 1e-6


def test_many_iterations_leave_no_component_at_what_pooled_bins_say(monkeypatch):
    V, W = problem(n_components=30, dtype=np.float64)
    best = values(V, W, with_momentum(monkeypatch, V, W, n_iter=2000)).sum()
    assert values(V, W, activate(V, W, n_iter=2000)).sum() <= best * (1 + 1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_blocks_and_threads_do_not_change_a_bit(dtype):
    V, W = problem(n_frames=700, dtype=dtype)
    whole = activate(V, W, n_threads=1)
    parts = [activate(part, W, n_threads=3) for part in np.split(V, (256, 512), axis=1)]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)
    np.testing.assert_array_equal(activate(np.asfortranarray(V), W), whole)
    powers = np.arange(700) % 40 - 20
    np.testing.assert_array_equal(activate(np.ldexp(V, powers), W), np.ldexp(whole, powers))


def test_frames_one_at_a_time_have_the_same_bits():
    V, W = problem(n_frames=20)
    weights = np.linspace(0, 0.1, 9)
    one = FrameActivator(W, penalties=weights)
    found = np.stack([one.activate(frame) for frame in V.T], axis=1)
    np.testing.assert_array_equal(found, activate(V, W, penalties=weights))


def test_curvature_is_found_once_for_the_same_templates():
    rows = np.random.default_rng(0).random((3, 600))
    weights = np.array([0.0, 1.0, 2.0])
    plain, dear = curvature_of(rows), curvature_of(rows, weights)
    assert curvature_of(rows.copy()) is plain
    assert curvature_of(rows, weights.copy()) is dear
    others = curvature_of(2 * rows), curvature_of(rows, 2 * weights), curvature_of(np.float32(rows))
    assert len({id(each) for each in (plain, dear, *others)}) == 5
    assert len(newton._recent) <= 4


def test_penalties_have_their_price(monkeypatch):
    V, W = problem(dtype=np.float64)
    weights = np.linspace(0, 0.5, 9) * W.sum(axis=0)

    def objective(H):
        return values(V, W, H).sum() + float((weights @ H).sum())

    best = objective(with_momentum(monkeypatch, V, W, penalties=weights, n_iter=600))
    assert objective(activate(V, W, penalties=weights)) <= best * (1 + 2e-5)


def test_zeros_silence_and_silent_templates():
    V, W = problem()
    V[:, 5], V[100:300, 7], W[:, 3] = 0, 0, 0
    start = np.random.default_rng(1).random((9, 150)).astype(np.float32)
    start[2, 10:20] = 0
    kept = start.copy()
    H = activate(V, W, activations=start)
    assert np.isfinite(H).all()
    assert (H >= 0).all()
    assert (H[:, 5] == 0).all()
    assert (H[2, 10:20] == 0).all()
    np.testing.assert_array_equal(start, kept)
    assert np.isfinite(activate(V, np.zeros_like(W))).all()
    W[:, :] = 0
    W[10] = 1  # one bin, which is hardly there: a curvature of none elsewhere
    assert np.isfinite(activate(V, W)).all()


def test_a_step_that_goes_too_far_is_shortened(monkeypatch):
    monkeypatch.setattr(newton, "_FAR", np.inf)  # no momentum afterwards
    V, W = problem(dtype=np.float64)
    rows = np.ascontiguousarray((W / W.sum(axis=0)).T)
    found = np.repeat((V.sum(axis=0) / len(rows))[:, None], len(rows), axis=1)
    curvature = Curvature(rows)
    curvature.products *= 0.1  # steps that are ten times too long
    with Newton(V.shape[1], curvature, 1) as steps:
        steps.activate(V, np.ones(V.shape[1]), found, 160)
    best = values(V, W, activate(V, W, n_iter=600))
    assert (values(V, rows.T, found.T) <= 1.1 * best).all()


def test_where_it_pays():
    rows = np.ascontiguousarray(problem()[1].T)
    assert suits(rows, 40)
    assert not suits(rows, 24)
    assert not suits(rows[:, :400], 40)
    assert not suits(np.tile(rows, (6, 1)), 40)
    assert not suits(np.random.default_rng(0).permuted(rows, axis=1), 40)
