"""The start on sums of frames and rows, which only large matrices and long enough runs get."""

import numpy as np
import pytest

from audionmf import nmf
from audionmf.nmf import coarse, solver


@pytest.fixture(scope="module", name="V")
def large_matrix():
    """Make 600 × 4200 of slowly changing activations, rows falling off as spectra do."""
    rng = np.random.default_rng(0)
    W = rng.gamma(0.3, size=(600, 6)) / (1 + np.arange(600) / 20)[:, None]
    H = rng.gamma(0.5, size=(6, 210)).repeat(20, axis=1)
    return np.asfortranarray((W @ H + 1e-4).astype(np.float32))


def fit(V, **options):
    return nmf.fit(V, 6, **{"max_iter": 60, "tol": 0, **options})


def began_on_sums(model):
    """Tell by the gap between the start and the first iteration on all frames."""
    return model.evaluated[1] > 1


def test_a_large_matrix_starts_on_sums_of_frames_and_rows(V):
    model = fit(V)
    assert began_on_sums(model)
    assert model.n_iter == 60
    assert (np.diff(model.divergence) <= 0).all()
    value = nmf.beta_divergence(V, model.templates @ model.activations)
    assert model.divergence[-1] == pytest.approx(value, rel=1e-3)


def test_a_long_run_has_no_more_of_it_than_one_of_200_iterations(V):
    model = fit(V, max_iter=260)
    assert began_on_sums(model)
    assert model.evaluated[1] == 0.75 * 200


def test_it_comes_nearer_in_as_many_iterations(V):
    assert fit(V).divergence[-1] < fit(V, method="plain").divergence[-1]


@pytest.mark.parametrize(
    "options",
    [
        {"method": "plain"},
        {"coarse": False},
        {"max_iter": 20},
        {"activations": np.ones((6, 4200)) - np.eye(6, 4200)},  # a zero that is to stay
        {"templates": np.ones((600, 2)), "fixed_templates": True},
    ],
)
def test_it_is_left_out_where_it_does_not_fit(V, options):
    assert not began_on_sums(fit(V, **options))


def test_a_small_matrix_has_none(V):
    assert not began_on_sums(fit(V[:, :290], max_iter=200))
    assert not began_on_sums(fit(V[:500]))
    few = nmf.fit(V[:, :400], 34, max_iter=200, tol=0)  # components, of 50 sums of 8 frames
    assert not began_on_sums(few)


def test_a_short_recording_has_it_where_there_are_iterations_enough(V):
    short = V[:, :900]
    assert not began_on_sums(fit(short, max_iter=90))
    model = fit(short, max_iter=200)
    assert began_on_sums(model)
    assert model.passes < 100
    alone = fit(short, max_iter=model.n_iter, activations=np.ones((6, 900)) - np.eye(6, 900))
    assert model.divergence[-1] < 1.01 * alone.divergence[-1]


def test_given_templates_are_where_it_starts(V):
    rng = np.random.default_rng(5)
    start = rng.random((600, 6))
    first, again = (fit(V, templates=start, seed=seed) for seed in (3, 3))
    np.testing.assert_array_equal(first.templates, again.templates)
    other = fit(V, templates=rng.random((600, 6)), seed=3)
    assert np.abs(first.templates - other.templates).max() > 0


def test_threads_do_not_matter(V):
    one, two = fit(V, n_threads=1), fit(V, n_threads=2)
    np.testing.assert_array_equal(two.templates, one.templates)
    np.testing.assert_array_equal(two.activations, one.activations)


def test_the_layout_matters_by_rounding_only(V):
    model = fit(np.ascontiguousarray(V))
    np.testing.assert_allclose(model.templates, fit(V).templates, rtol=1e-3, atol=1e-6)


def test_a_power_of_two_passes_through(V):
    loud = fit(V * np.float32(8))
    np.testing.assert_array_equal(loud.templates, fit(V).templates)


def test_a_callback_is_told_what_is_of_sums(V):
    seen = []
    fit(V, callback=seen.append)
    assert [state.coarse for state in seen] == 45 * [True] + 15 * [False]


@pytest.mark.parametrize("after", [3, 30, 58])
def test_it_can_be_cancelled_at_any_iteration(V, after):
    seen = []

    def callback(state):
        seen.append(state)
        return state.iteration == after

    model = fit(V, callback=callback)
    assert model.reason == "cancelled"
    assert model.n_iter == after == len(seen)
    assert model.templates.shape == (600, 6)
    assert model.activations.shape == (6, 4200)
    assert model.divergence[-1] <= model.divergence[0]


def test_it_is_taken_back_if_it_makes_things_worse(V, monkeypatch):
    monkeypatch.setattr(solver, "between", lambda H, step, n: np.full((n, 6), 1e6, V.dtype))
    model = fit(V)
    assert (np.diff(model.divergence) <= 0).all()
    assert model.divergence[-1] < 0.5 * model.divergence[0]


def test_activations_of_single_frames_are_found_before_templates_move(V, monkeypatch):
    settled = fit(V).divergence[1]  # of the first iteration on all frames
    monkeypatch.setattr(solver.Problem, "_settle", lambda *_: None)
    assert settled < 0.9 * fit(V).divergence[1]


def test_momentum_goes_on_warm_after_the_first_sums(V, monkeypatch):
    ages, descend = [], solver.descend

    def watched(*arguments, age, **options):
        ages.append(age)
        descend(*arguments, age=age, **options)

    monkeypatch.setattr(solver, "descend", watched)
    fit(V)
    fit(V, coarse=False)
    assert ages == [0, 8, 8, 8, 0]


def test_silence_zero_rows_and_a_late_sound_do_no_harm(V):
    odd = V.copy(order="F")
    odd[:, 1000:3000] = 0
    odd[50:90] = 0
    odd[300:320, 4190:] = 5
    model = fit(odd)
    assert np.isfinite(model.templates).all()
    assert np.isfinite(model.activations).all()
    assert not model.activations[:, 1100:2900].any()
    assert not model.templates[50:90].any()
    silent = fit(np.zeros_like(V))
    assert not silent.activations.any()


def test_other_divergences_start_so_too(V):
    model = fit(V[:, :4100], beta=2.0, max_iter=40)
    assert began_on_sums(model)
    assert (np.diff(model.divergence) <= 0).all()


def test_groups_of_rows_hold_alike_and_cover_all(V):
    edges = coarse.row_groups(V.sum(axis=1), 64)
    assert edges[0] == 0
    assert (np.diff(edges) > 0).all()
    assert len(edges) <= 64
    weights = np.add.reduceat(np.sqrt(V.sum(axis=1)), edges)
    assert weights.max() < 3 * weights.mean()


def test_pooled_templates_spread_out_keep_their_sums(V):
    rng = np.random.default_rng(0)
    edges = coarse.row_groups(V.sum(axis=1), 64)
    pooled = rng.random((6, len(edges))).astype(np.float32)
    spread = coarse.spread_rows(pooled, edges, V.sum(axis=1))
    assert spread.shape == (6, 600)
    np.testing.assert_allclose(np.add.reduceat(spread, edges, axis=1), pooled, rtol=1e-5)


def test_activations_that_are_far_from_v_are_averaged(V):
    start = np.random.default_rng(1).random((6, 4200))
    assert began_on_sums(fit(V, activations=start))
    mean = coarse.averaged(start.T, 16, 263)
    np.testing.assert_allclose(mean[0], start[:, :16].mean(axis=1))
    np.testing.assert_allclose(mean[-1], start[:, 4192:].mean(axis=1))


def test_activations_that_are_0_in_silent_frames_alone_may_be_averaged(V):
    quiet = V.copy(order="F")
    quiet[:, 700:760] = 0
    start = np.random.default_rng(1).random((6, 4200)) * quiet.any(axis=0)
    model = fit(quiet, activations=start)
    assert began_on_sums(model)
    assert not model.activations[:, 700:760].any()


def test_a_start_that_fits_already_goes_on(V):
    found = fit(V)
    more = fit(V, templates=found.templates, activations=np.maximum(found.activations, 1e-9))
    assert not began_on_sums(more)
    assert more.divergence[-1] < found.divergence[-1]


def test_zeros_of_given_templates_stay(V):
    start = np.random.default_rng(2).random((600, 6))
    start[100:300, 2] = 0
    start[::7, 4] = 0
    model = fit(V, templates=start)
    assert began_on_sums(model)
    assert not model.templates[100:300, 2].any()
    assert not model.templates[::7, 4].any()


def test_passes_over_v_are_counted(V):
    plain = fit(V, method="plain", max_iter=12)
    assert plain.passes == 12 + 1  # and the one that evaluates the result
    begun = fit(V)
    sizes = [
        (n_frames * rows, n)
        for n_frames, rows, n in ((263, 128, 21), (525, 256, 15), (1050, 512, 9), (4200, 128, 5))
    ]
    least = sum(size * n for size, n in sizes) / V.size
    assert 0.8 * least + 15 + 2 <= begun.passes <= least + 15 + 2 + 20


def test_levels_are_sums_of_the_same(V):
    data = V[:, :901]
    groups = [coarse.row_groups(V.sum(axis=1), n) for n in (32, 64, 128)]
    levels, rows = coarse.pyramid(data, groups, [8, 4, 2])
    np.testing.assert_allclose(rows, np.add.reduceat(data, groups[0], axis=0), rtol=1e-5)
    for level, edges, step in zip(levels, groups, (8, 4, 2), strict=True):
        whole = np.add.reduceat(data, edges, axis=0)
        whole = np.add.reduceat(whole, np.arange(0, 901, step), axis=1)
        np.testing.assert_allclose(level, whole, rtol=1e-5)


@pytest.mark.parametrize("n_frames", [16, 17, 23, 31])
def test_runs_of_frames_are_added_up_to_the_last(V, n_frames):
    for step in (1, 2, 8):
        sums = coarse.frames_summed(V[:, :n_frames], step)
        whole = np.add.reduceat(V[:, :n_frames], np.arange(0, n_frames, step), axis=1)
        np.testing.assert_allclose(sums, whole, rtol=1e-6)


def test_activations_of_sums_lie_in_their_middle():
    frames = np.arange(24.0)[:, None]
    back = coarse.between(coarse.averaged(frames, 8, 3), 8, 24)
    np.testing.assert_allclose(back[4:-4], frames[4:-4])


@pytest.mark.parametrize("layout", [np.asfortranarray, np.ascontiguousarray])
def test_sums_do_not_change_v(V, layout):
    data = layout(V[:, :900])
    before = data.copy()
    fit(data, max_iter=110)
    np.testing.assert_array_equal(data, before)
