import numpy as np
import pytest

from audionmf.nmf.equalise import _CARRIED, _KEEP, _PRIOR, fit_equalised
from audionmf.nmf.sums import as_far_as


def positive(*shape, seed=0):
    return np.random.default_rng(seed).random(shape) + 0.05


def spectra(n_bins, n_components, seed=0, dtype=np.float64):
    """Return templates that sum to 1, each with its own few peaks."""
    W = positive(n_bins, n_components, seed=seed) ** 6
    return (W / W.sum(axis=0)).astype(dtype)


def smoothing(n_bins, width=1.5):
    place = np.arange(n_bins)
    weights = np.exp(-0.5 * ((place[:, None] - place) / width) ** 2)
    return weights / weights.sum(axis=1, keepdims=True)


def carried_on(x, before, b):
    """Return x (x / before)^b, the power as a fraction that agrees to third order; 0 stays 0."""
    ratio = x / before
    return x * ((1 + b) * ratio + 1 - b) / ((1 - b) * ratio + 1 + b)


def reference(V, W, groups, smoother, penalties, n_plain, n_adapt, carried=0.0):
    """Do the same updates in plain NumPy; return gains, the templates kept, and activations."""
    groups, kept = np.asarray(groups), np.arange(W.shape[1])
    H = np.tile(V.sum(axis=0) / W.shape[1], (W.shape[1], 1))
    gains = np.ones((groups.max() + 1, len(V)))

    def updated():
        model = W * gains[groups].T
        weights = model.sum(axis=0) + penalties
        return model, H * (model.T @ (V / (model @ H))) / weights[:, None]

    for _ in range(n_plain):
        _, H = updated()
    order = np.argsort(H.sum(axis=1))[::-1]
    shares = np.cumsum(H.sum(axis=1)[order]) / H.sum()
    kept = np.sort(order[: np.count_nonzero(shares < _KEEP) + 1])
    W, H, groups, penalties = W[:, kept], H[kept], groups[kept], penalties[kept]
    before = None
    for n in range(n_adapt):
        now = H, gains
        if before is not None:
            b = min(carried, n / (n + 3))
            H, gains = (carried_on(*pair, b) for pair in zip(now, before, strict=True))
        before = tuple(x.copy() for x in now)
        model, H = updated()
        ratio = V / (model @ H)
        for j in range(len(gains)):
            mine = groups == j
            heard = smoother @ (model[:, mine] * (ratio @ H[mine].T)).sum(axis=1)
            asked = smoother @ (W[:, mine] @ H[mine]).sum(axis=1)
            prior = _PRIOR * asked + 1e-6 * asked.mean()
            if mine.any():
                gains[j] = (heard + prior) / (asked + prior)
    return gains, kept, H


def fit(V, W, groups, smoother=None, penalties=None, **options):
    smoother = smoothing(len(V)) if smoother is None else smoother
    penalties = np.zeros(W.shape[1]) if penalties is None else penalties
    return fit_equalised(V, W, groups, smoother, penalties=penalties, **options)


# The updates


@pytest.mark.parametrize("n_groups", [1, 2, 3])
@pytest.mark.parametrize(("n_plain", "n_adapt"), [(10, 50), (3, 1), (5, 0), (1, 10)])
@pytest.mark.parametrize("penalised", [False, True])
def test_the_updates_are_those_of_plain_numpy(n_groups, n_plain, n_adapt, penalised):
    V, W = positive(41, 150) ** 2, spectra(41, 9, seed=1)
    groups, smoother = np.arange(9) % n_groups, smoothing(41)
    penalties = 0.3 * (np.arange(9) % 4) if penalised else np.zeros(9)
    found = fit(V, W, groups, smoother, penalties, n_plain=n_plain, n_adapt=n_adapt)
    n_steps = as_far_as(n_adapt, _CARRIED)
    how = (V, W, groups, smoother, penalties, n_plain)
    gains, kept, H = reference(*how, n_steps, _CARRIED)
    np.testing.assert_array_equal(found.kept, kept)
    np.testing.assert_allclose(found.gains, gains, rtol=1e-9)
    np.testing.assert_allclose(found.activations, H, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("n_adapt", [10, 20, 50])
def test_with_momentum_fewer_steps_come_as_far(n_adapt):
    V, W = positive(41, 150) ** 2, spectra(41, 30, seed=1)
    groups, smoother, penalties = np.arange(30) % 3, smoothing(41), np.zeros(30)
    found = fit(V, W, groups, smoother, penalties, n_plain=3, n_adapt=n_adapt)
    how = (V, W, groups, smoother, penalties, 3)
    there, short = (reference(*how, n)[0] for n in (n_adapt, round(0.7 * n_adapt)))
    away, away_short = (np.abs(np.log(one / there)).mean() for one in (found.gains, short))
    assert as_far_as(n_adapt, _CARRIED) <= 0.6 * n_adapt
    assert away < 0.5 * away_short


def test_single_precision_comes_close_to_double_precision():
    V, W = positive(41, 150) ** 2, spectra(41, 9, seed=1)
    double = fit(V, W, [0] * 4 + [1] * 5)
    single = fit(V.astype(np.float32), W.astype(np.float32), [0] * 4 + [1] * 5)
    assert single.activations.dtype == np.float32
    np.testing.assert_array_equal(single.kept, double.kept)
    np.testing.assert_allclose(single.gains, double.gains, rtol=1e-4)
    np.testing.assert_allclose(single.activations, double.activations, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("n_threads", [2, 3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_number_of_threads_does_not_change_a_bit(n_threads, dtype):
    V, W = (positive(41, 700) ** 2).astype(dtype), spectra(41, 9, seed=1, dtype=dtype)
    one = fit(V, W, np.arange(9) % 2, n_adapt=5)
    more = fit(V, W, np.arange(9) % 2, n_adapt=5, n_threads=n_threads)
    for name in ("gains", "kept", "activations"):
        np.testing.assert_array_equal(getattr(more, name), getattr(one, name))


def test_data_is_only_read_and_may_have_any_layout():
    V, W, penalties = positive(41, 90) ** 2, spectra(41, 9, seed=1), np.full(9, 0.1)
    expected = fit(V, W, np.arange(9) % 2, penalties=penalties)
    for data in (np.asfortranarray(V), V[::-1].copy()[::-1], V):
        templates, groups = np.asfortranarray(W), np.arange(9) % 2
        for array in (data, templates, groups, penalties):
            array.flags.writeable = False
        found = fit(data, templates, groups, penalties=penalties)
        np.testing.assert_allclose(found.gains, expected.gains, rtol=1e-12)
        np.testing.assert_allclose(found.activations, expected.activations, rtol=1e-9)


def test_progress_is_told_after_each_iteration():
    told = []
    fit(positive(8, 9), spectra(8, 2), [0, 1], n_plain=3, n_adapt=5, progress=told.append)
    n_steps = 3 + as_far_as(5, _CARRIED)
    np.testing.assert_allclose(told, np.arange(1, n_steps + 1) / n_steps)


# What comes of them


def test_templates_that_explain_the_data_need_no_equaliser():
    W = spectra(60, 4, seed=1)
    V = W @ positive(4, 200, seed=2)
    found = fit(V, W, [0, 0, 1, 1], n_adapt=200)
    assert len(found.kept) == 4
    np.testing.assert_allclose(found.gains, 1, atol=0.01)
    np.testing.assert_allclose(W @ found.activations, V, atol=0.02 * V.max())


def test_a_smooth_equaliser_is_found():
    W = spectra(60, 6, seed=1)
    gains = np.exp(np.stack([np.sin(np.arange(60) / 12), -np.linspace(-1, 1, 60)]))
    H = positive(6, 400, seed=2) ** 4
    groups = np.array([0, 0, 0, 1, 1, 1])
    found = fit((W * gains[groups].T) @ H, W, groups, n_adapt=300)
    assert len(found.kept) == 6
    for true, equaliser in zip(gains, found.gains, strict=True):
        assert np.corrcoef(np.log(equaliser), np.log(true))[0, 1] > 0.98
        assert np.log(equaliser).std() > 0.6 * np.log(true).std()  # it is drawn towards 1


def test_equalisers_are_as_smooth_as_the_smoother_makes_them():
    W, V = spectra(60, 6, seed=1), positive(60, 300) ** 3
    rough, smooth = (fit(V, W, [0] * 6, smoothing(60, width)).gains[0] for width in (1e-3, 8))
    assert np.abs(np.diff(np.log(smooth))).max() < 0.2 * np.abs(np.diff(np.log(rough))).max()


def test_templates_that_hardly_play_are_dropped_and_the_others_keep_their_order():
    W = spectra(60, 5, seed=1)
    H = positive(5, 200, seed=2)
    H[[1, 3]] *= 1e-6
    found = fit(W @ H, W, [0, 0, 0, 1, 1], n_plain=200)
    np.testing.assert_array_equal(found.kept, [0, 2, 4])
    assert found.activations.shape == (3, 200)
    assert found.activations.shape[0] == len(found.kept)


def test_a_group_that_does_not_play_keeps_an_equaliser_of_one():
    W = spectra(60, 4, seed=1)
    V = W[:, :3] @ positive(3, 200, seed=2)
    found = fit(V, W, [0, 0, 0, 1], n_plain=300)
    np.testing.assert_array_equal(found.kept, [0, 1, 2])
    np.testing.assert_array_equal(found.gains[1], 1)


def test_penalties_make_copies_stand_back():
    W = spectra(60, 3, seed=1)
    V = W @ positive(3, 200, seed=2)
    doubled, penalties = np.concatenate([W, W], axis=1), np.array([0, 0, 0, 0.05, 0.05, 0.05])
    groups = [0, 0, 0] * 2
    equal = fit(V, doubled, groups)
    np.testing.assert_array_equal(equal.kept, range(6))
    np.testing.assert_allclose(equal.activations[:3], equal.activations[3:])
    found = fit(V, doubled, groups, penalties=penalties, n_plain=120)
    np.testing.assert_array_equal(found.kept, [0, 1, 2])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_silence_and_silent_parts_stay_finite(dtype):
    W = spectra(20, 3, seed=1, dtype=dtype)
    W[:, 1] = 0
    silent = fit(np.zeros((20, 30), dtype), W, [0, 1, 0])
    np.testing.assert_array_equal(silent.gains, 1)
    assert not silent.activations.any()
    V = positive(20, 30).astype(dtype)
    V[:, 3] = V[7] = 0
    found = fit(V, W, [0, 1, 0])
    assert np.isfinite(found.gains).all()
    assert (found.gains >= 0).all()
    assert np.isfinite(found.activations).all()
    assert not found.activations[:, 3].any()
    assert 1 not in found.kept
