import itertools
import pickle
import weakref
from pathlib import Path

import numpy as np
import pytest

import audionmf
from audionmf import ParameterError
from audionmf.nmf import NMF, StreamState, activate, beta_divergence, fit, fit_stream
from audionmf.nmf.minibatch import BatchLearner

TRIO = Path(__file__).parents[2] / "audio_samples" / "trio" / "mixture.wav"


def low_rank(n_bins=40, n_frames=300, rank=3, seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    V = rng.random((n_bins, rank)) ** 4 @ rng.random((rank, n_frames)) ** 2
    return np.asfortranarray(V, dtype)


def in_batches(V, size):
    """Return a callable whose results are gone through once, as files are."""
    return lambda: (V[:, i : i + size] for i in range(0, V.shape[1], size))


def divergence(V, W):
    return beta_divergence(V, W @ activate(V, W, n_iter=80))


def same(a, b):
    return np.array_equal(a.templates, b.templates) and np.array_equal(a.divergence, b.divergence)


@pytest.fixture(scope="module")
def trio():
    audio = audionmf.read(TRIO)
    return np.abs(audionmf.STFT(2048, 512).forward(audio.samples)).mean(axis=0)


# What comes back


def test_the_result_is_a_model_without_activations():
    V = low_rank(dtype=np.float32)
    model = fit_stream(in_batches(V, 100), 4, n_epochs=2, tol=0)
    assert isinstance(model, NMF)
    assert model.templates.shape == (40, 4)
    assert model.templates.dtype == np.float32
    np.testing.assert_allclose(model.templates.sum(axis=0), 1, rtol=1e-5)
    assert model.activations.shape == (4, 0)
    assert model.n_components == 4
    assert model.beta == 1
    assert np.isnan(model.kkt_residual)
    assert model.evaluated.tolist() == [3, 6]
    assert model.divergence.shape == (2,)
    assert (model.n_iter, model.converged, model.reason) == (6, False, "max_iter")


def test_the_divergence_of_a_pass_is_that_of_its_batches():
    V = 1e3 * low_rank()
    model = fit_stream(lambda: [V], 2, n_epochs=1)
    assert model.divergence[-1] == pytest.approx(divergence(V, model.templates), rel=0.02)


@pytest.mark.parametrize("sample_frames", [0, 2048])
def test_one_batch_comes_close_to_the_full_fit(sample_frames):
    V = low_rank(rank=6)
    full = fit(V, 3, tol=0)
    model = fit_stream(lambda: [V], 3, n_epochs=20, tol=0, sample_frames=sample_frames)
    assert divergence(V, model.templates) < 1.02 * full.divergence[-1]


def test_true_templates_are_found_in_any_number_of_batches():
    V = low_rank()
    before = divergence(V, fit(V, 3, max_iter=0).templates)
    for size in (300, 150, 70):
        model = fit_stream(in_batches(V, size), 3, sample_frames=60, n_epochs=10)
        assert divergence(V, model.templates) < 0.01 * before


def test_recorded_music_is_nearly_as_well_fitted_as_by_the_full_fit(trio):
    """A sample of an eighth, three passes: about a third of the work of the full fit.

    In passes over V: 200 x 1/8 for the sample and 3 x (10 + 10 x 2) for the batches, as gathering for
    the templates costs as much as the update of the activations; 200 x 2 for the full fit.
    """
    ratios = [
        divergence(trio, fit_stream(in_batches(trio, 128), 16, sample_frames=256, seed=s).templates)
        / divergence(trio, fit(trio, 16, seed=s).templates)
        for s in range(2)
    ]
    assert np.mean(ratios) < 1.05
    assert max(ratios) < 1.08


def test_recorded_music_without_a_sample_is_learnt_pass_by_pass(trio):
    model = fit_stream(in_batches(trio, 128), 16, sample_frames=0, n_epochs=4)
    assert (np.diff(model.divergence) < 0).all()
    once = fit_stream(in_batches(trio, 128)(), 16)
    assert once.divergence[0] == model.divergence[0]
    start = fit(trio, 16, max_iter=0).templates
    assert divergence(trio, once.templates) < 0.5 * divergence(trio, start)


def test_the_passes_make_up_for_what_the_sample_missed():
    V = low_rank(rank=2, n_frames=256)
    V[-1] = 0
    V[:, 101] = 0
    V[-1, 101] = V.sum()  # a click between the frames of the sample, where it is silent
    sampled = fit_stream(in_batches(V, 64), 3, sample_frames=32, n_epochs=1, forget=1)
    learnt = fit_stream(in_batches(V, 64), 3, sample_frames=32, n_epochs=5, forget=0.1, tol=0)
    assert sampled.templates[-1].max() > 0.1
    assert divergence(V, learnt.templates) < divergence(V, sampled.templates)


# Where the batches come from


def test_a_callable_is_called_once_for_each_pass_and_once_for_the_sample():
    V, calls = low_rank(), []

    def source():
        calls.append(None)
        return iter([V])

    fit_stream(source, 2, n_epochs=4, tol=0)
    assert len(calls) == 5
    calls.clear()
    fit_stream(source, 2, n_epochs=4, tol=0, sample_frames=0)
    assert len(calls) == 4


def test_an_iterable_is_gone_through_once():
    V, taken = low_rank(), []

    def source():
        for batch in in_batches(V, 100)():
            taken.append(batch.shape[1])
            yield batch

    model = fit_stream(source(), 3)
    assert taken == [100, 100, 100]
    assert len(model.divergence) == 1
    assert same(model, fit_stream(list(in_batches(V, 100)()), 3, n_epochs=1))
    assert same(model, fit_stream(in_batches(V, 100), 3, n_epochs=1, sample_frames=0))


@pytest.mark.parametrize("sample_frames", [0, 64])
def test_the_same_order_gives_the_same_bits_on_any_number_of_threads(sample_frames):
    V = low_rank(n_frames=700, dtype=np.float32)
    options = {"n_epochs": 2, "sample_frames": sample_frames}
    models = [fit_stream(in_batches(V, 256), 5, n_threads=n, **options) for n in (1, 1, 2, 3)]
    assert all(same(models[0], model) for model in models[1:])
    other_order = fit_stream(in_batches(V[:, ::-1], 256), 5, **options)
    assert not same(models[0], other_order)
    assert not same(models[0], fit_stream(in_batches(V, 256), 5, seed=1, **options))


def test_batches_may_differ_in_length_type_and_memory_order():
    V = low_rank(dtype=np.float32)
    parts = [V[:, :90], np.ascontiguousarray(V[:, 90:100]), V[:, 100:].astype(np.float64)]
    model = fit_stream(lambda: parts, 3)
    assert model.templates.dtype == np.float32
    alike = fit_stream(lambda: [np.asfortranarray(p, np.float32) for p in parts], 3)
    np.testing.assert_allclose(model.templates, alike.templates, rtol=1e-3, atol=1e-6)


def test_batches_are_not_modified():
    V = low_rank()
    V.flags.writeable = False
    copy = V.copy()
    W = np.full((40, 1), 0.5)
    fit_stream(in_batches(V, 100), 2, templates=W)
    assert np.array_equal(V, copy)
    assert (W == 0.5).all()


@pytest.mark.parametrize("sample_frames", [0, 20])
def test_a_batch_is_let_go_before_the_next_is_made(sample_frames):
    alive, rng = [], np.random.default_rng(0)

    def make():
        batch = rng.random((30, 200)) * 1e-9
        alive.append(weakref.ref(batch))
        return batch

    def source():
        for _ in range(4):
            assert not any(reference() is not None for reference in alive)
            yield make()

    fit_stream(source, 2, n_epochs=2, tol=0, sample_frames=sample_frames)
    assert len(alive) == 4 * (3 if sample_frames else 2)


@pytest.mark.parametrize("size", [1, 7, 64, 1000])
def test_a_sample_is_even_and_does_not_depend_on_the_batches(size):
    from audionmf.nmf.minibatch import _Sample

    V = np.arange(1000.0)[None]
    sample = _Sample(100)
    for batch in in_batches(V, size)():
        sample.add(batch)
    assert sample.n_seen == 1000
    assert sample.frames()[0].tolist() == list(range(0, 1000, 16))


# Levels and silence


def test_silent_batches_change_nothing():
    V = low_rank()
    silence = np.zeros((40, 50))
    parts = [V[:, :150], V[:, 150:]]
    plain = fit_stream(parts, 3)
    for gapped in ([silence, *parts], [parts[0], silence, parts[1]], [*parts, silence]):
        model = fit_stream(gapped, 3)
        assert same(model, plain)
        assert model.n_iter == 3


@pytest.mark.parametrize("callable_source", [True, False])
def test_all_of_v_may_be_silent(callable_source):
    silence = [np.zeros((5, 20), np.float32)] * 2
    model = fit_stream((lambda: silence) if callable_source else silence, 3)
    assert model.templates.shape == (5, 3)
    assert model.templates.dtype == np.float32
    assert not model.templates.any()
    assert not model.divergence.any()


@pytest.mark.parametrize("power", [-100, -30, 30, 100])
def test_the_level_of_v_does_not_matter(power):
    V = low_rank(dtype=np.float32)
    model = fit_stream(in_batches(V, 100), 3)
    scaled = fit_stream(in_batches(np.ldexp(V, power), 100), 3)
    np.testing.assert_allclose(scaled.templates, model.templates, rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(scaled.divergence / 2.0**power, model.divergence, rtol=1e-2)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_batches_of_very_different_levels_stay_finite(dtype):
    V = low_rank(dtype=dtype)
    levels = (1e-37, 1e30, 1e-20, 1.0, 1e-37)
    for order in itertools.islice(itertools.permutations(levels), 0, None, 13):
        model = fit_stream([V[:, 60 * i : 60 * i + 60] * dtype(x) for i, x in enumerate(order)], 4)
        assert np.isfinite(model.templates).all()
        np.testing.assert_allclose(model.templates.sum(axis=0), 1, rtol=1e-4)
        assert np.isfinite(model.divergence).all()


def test_a_bin_that_was_silent_so_far_can_still_be_learnt():
    early, late = low_rank(), low_rank(seed=1)
    early[20:], late[:20] = 0, 0
    model = fit_stream([early, late, late], 3)
    total = model.templates.sum(axis=1)
    assert total[20:].sum() > 0.3
    W = model.templates
    assert np.isfinite(beta_divergence(late, W @ activate(late, W)))


@pytest.mark.parametrize("forget", [0.1, 0])
def test_a_template_that_rests_is_kept(forget):
    W = np.kron(np.eye(2), np.arange(20)[:, None] / 190)
    learner = BatchLearner(2, templates=W, forget=forget)
    both = W @ np.ones((2, 100))
    learner.learn(learner.check(both))
    only_first = W[:, :1] @ np.ones((1, 100))
    for _ in range(300):
        learner.learn(only_first)
    np.testing.assert_allclose(learner.templates, W, atol=1e-4)


# Forgetting, templates that are given


def test_what_is_forgotten_gives_way_to_what_comes_later():
    early, late = (low_rank(rank=1, seed=s) for s in (0, 1))
    last = late[:, :1] / late[:, 0].sum()

    def distance(forget):
        batches = [early, *[late] * 3]
        return np.abs(fit_stream(batches, 1, forget=forget).templates - last).sum()

    kept, faded, gone = distance(1), distance(0.1), distance(0)
    assert gone < 1e-6 < faded < kept
    together = np.concatenate([early, late, late, late], axis=1).sum(axis=1, keepdims=True)
    model = fit_stream([early, late, late, late], 1, forget=1)
    np.testing.assert_allclose(model.templates, together / together.sum(), rtol=1e-4)


def test_the_sample_counts_as_all_of_v():
    V = np.random.default_rng(0).random((10, 64))
    model = fit_stream(in_batches(V, 20), 1, sample_frames=16, n_epochs=1, forget=1)
    sums = 4 * V[:, ::4].sum(axis=1) + V.sum(axis=1)
    np.testing.assert_allclose(model.templates[:, 0], sums / sums.sum(), rtol=1e-6)


def test_given_templates_count_as_much_as_the_first_batch():
    rng = np.random.default_rng(0)
    V, W = 5 * rng.random((10, 20)), rng.random((10, 1))
    for forget, share in ((1, 1 / 2), (0.25, 1 / 3), (0, 0)):
        model = fit_stream([V], 1, templates=W, forget=forget)
        new = V.sum(axis=1, keepdims=True) / V.sum()
        expected = share * W / W.sum() + (1 - share) * new
        np.testing.assert_allclose(model.templates, expected, rtol=1e-6)


def test_given_templates_are_taken_when_they_are_given():
    W = np.kron(np.eye(2), np.full((20, 1), 0.05))
    learner = BatchLearner(2, templates=W)
    W[:] = 1
    learner.learn(low_rank())
    assert not learner.templates[:20, 1].any()


@pytest.mark.parametrize("sample_frames", [0, 100])
def test_given_templates_are_where_it_starts_and_their_zeros_stay(sample_frames):
    V = low_rank(rank=2)
    W = np.ones((40, 2))
    W[:10, 0], W[30:, 1] = 0, 0
    model = fit_stream(in_batches(V, 100), 3, templates=W, sample_frames=sample_frames)
    assert not model.templates[:, :2][W == 0].any()
    assert (model.templates[:, :2][W > 0] > 0).all()
    assert (model.templates[:, 2] > 0).all()


def test_given_templates_that_fit_already_stay():
    rng = np.random.default_rng(0)
    W = rng.random((40, 2)) ** 4
    W /= W.sum(axis=0)
    batches = [W @ rng.random((2, 100)) for _ in range(3)]
    np.testing.assert_allclose(fit_stream(batches, 2, templates=W).templates, W, atol=2e-4)


def test_templates_that_are_all_zero_stay_zero():
    model = fit_stream([low_rank()] * 2, 2, templates=np.zeros((40, 2)))
    assert not model.templates.any()
    assert np.isfinite(model.divergence).all()


def test_templates_that_are_given_need_the_bins_of_v():
    with pytest.raises(ParameterError, match="templates have 39 bins, V has 40"):
        fit_stream([low_rank()], 2, templates=np.ones((39, 1)))
    with pytest.raises(ParameterError, match="3 templates are given for 2 components"):
        fit_stream([low_rank()], 2, templates=np.ones((40, 3)))


# Where it ends


def test_it_ends_when_a_pass_gains_little():
    model = fit_stream(in_batches(low_rank(rank=6), 100), 3, n_epochs=50, tol=0.01)
    assert model.converged
    assert model.reason == "tolerance"
    assert 2 <= len(model.divergence) < 50
    last, now = model.divergence[-2:]
    assert last - now < 0.01 * now


def test_the_callback_is_told_of_every_batch():
    V, told = low_rank(), []
    model = fit_stream(in_batches(V, 100), 3, n_epochs=2, tol=0, callback=told.append)
    assert all(isinstance(state, StreamState) for state in told)
    assert [s.epoch for s in told] == [0] * 3 + [1] * 3 + [2] * 3
    assert [s.batch for s in told] == [1, 2, 3] * 3
    assert [s.n_frames for s in told] == [100, 200, 300] * 3
    assert {s.n_epochs for s in told} == {2}
    assert np.isnan([s.divergence for s in told[:3]]).all()
    assert [told[5].divergence, told[8].divergence] == model.divergence.tolist()


@pytest.mark.parametrize("stop", [1, 3, 4, 5])
def test_the_callback_can_cancel(stop):
    V, told = low_rank(), []

    def callback(state):
        told.append(state)
        return len(told) == stop

    model = fit_stream(in_batches(V, 150), 3, callback=callback)
    assert len(told) == stop
    assert model.reason == "cancelled"
    assert not model.converged
    assert model.n_iter == max(0, stop - 2)
    np.testing.assert_allclose(model.templates.sum(axis=0), 1, rtol=1e-6)


# What is refused


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_components": 0}, "n_components must be a whole number, 1 or more"),
        ({"n_epochs": 0}, "n_epochs must be a whole number, 1 or more"),
        ({"inner_iter": 0}, "inner_iter must be a whole number, 1 or more"),
        ({"sample_frames": -1}, "sample_frames must be a whole number, 0 or more"),
        ({"forget": 1.1}, "forget must be a number from 0 to 1"),
        ({"forget": float("nan")}, "forget must be a number from 0 to 1"),
        ({"tol": -1}, "tol must be"),
        ({"init": "rnadom"}, "init must be one of"),
        ({"n_threads": 0}, "n_threads must be a whole number"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ParameterError, match=message):
        fit_stream(lambda: [low_rank()], **{"n_components": 2, **options})


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (-np.ones((40, 3)), "batch 2 must be finite and 0 or more"),
        (np.full((40, 3), np.nan), "batch 2 must be finite and 0 or more"),
        (np.full((40, 3), 1e300), "batch 2 must be finite and 0 or more"),
        (np.ones((39, 3)), "batch 2 has 39 bins, the first had 40"),
        (np.ones(40), "batch 2 must be a matrix"),
        (np.ones((40, 0)), "batch 2 must be a matrix that is not empty"),
        (np.ones((40, 3), complex), "batch 2 must be real numbers"),
    ],
)
@pytest.mark.parametrize("sample_frames", [0, 100])
def test_a_bad_batch_is_refused_by_its_number(bad, message, sample_frames):
    parts = [low_rank(dtype=np.float32), bad]
    with pytest.raises(ParameterError, match=message):
        fit_stream(lambda: parts, 2, sample_frames=sample_frames)


def test_a_source_without_batches_is_refused():
    for source in ([], list):
        with pytest.raises(ParameterError, match="no batches"):
            fit_stream(source, 2)


def test_a_callable_that_returns_a_spent_iterator_is_refused():
    for options in ({}, {"sample_frames": 0}):
        spent = iter([low_rank()])
        with pytest.raises(ParameterError, match="no batches; a callable must return a new"):
            fit_stream(lambda spent=spent: spent, 2, **options)


def test_an_iterable_is_not_gone_through_twice():
    with pytest.raises(ParameterError, match="gone through once"):
        fit_stream(iter([low_rank()]), 2, n_epochs=2)
    with pytest.raises(ParameterError, match="a callable or an iterable"):
        fit_stream(3, 2)


# The learner on its own


def test_a_learner_goes_on_after_pickling():
    V = low_rank()
    learner = BatchLearner(3)
    learner.learn(V[:, :150])
    copy = pickle.loads(pickle.dumps(learner))  # noqa: S301
    for each in (learner, copy):
        each.learn(V[:, 150:])
    assert np.array_equal(learner.templates, copy.templates)
