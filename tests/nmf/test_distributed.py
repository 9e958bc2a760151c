"""Learning from shards: the sums that travel give what a fit of all frames gives."""

import itertools
from pathlib import Path

import numpy as np
import pytest

import audionmf
from audionmf import ParameterError, nmf
from audionmf.nmf.distributed import Order, Shard, Start, Together, fit_sharded, fit_shards

TRIO = Path(__file__).parents[2] / "audio_samples" / "trio" / "mixture.wav"


def low_rank(n_bins=40, n_frames=300, rank=6, seed=0, dtype=np.float32):
    rng = np.random.default_rng(seed)
    V = rng.random((n_bins, rank)) ** 4 @ rng.random((rank, n_frames)) ** 2
    return np.asfortranarray(V, dtype)


def cut(V, *edges):
    return np.split(V, edges, axis=1)


def difference(a, b):
    """Return the largest relative difference of a template, and that of the divergences."""
    templates = np.linalg.norm(a.templates - b.templates, axis=0)
    return (
        float((templates / np.linalg.norm(b.templates, axis=0)).max()),
        float(np.abs(a.divergence / b.divergence - 1).max()),
    )


def plain_start(V, n_components, seed=0):
    """Return the documented start of both, for `fit`."""
    W = nmf.initialize(V, n_components, "random", seed)[0]
    level = V.sum(axis=0) / V.dtype.type(W.sum(dtype=np.float64))
    return {"templates": W, "activations": np.repeat(level[None], n_components, axis=0)}


@pytest.fixture(scope="module")
def trio():
    audio = audionmf.read(TRIO)
    return np.abs(audionmf.STFT(1024, 512).forward(audio.samples)).mean(axis=0)


# The same as a fit of all frames


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_it_is_the_plain_fit_of_the_joined_frames(trio, dtype):
    V = trio.astype(dtype)
    options = {"method": "plain", "max_iter": 100, "tol": 0}
    whole = nmf.fit(V, 12, **plain_start(V, 12), **options)
    model = fit_shards(cut(V, 100, 517), 12, **options)
    assert max(difference(model, whole)) < (1e-4 if dtype == np.float32 else 1e-9)
    np.testing.assert_allclose(model.activations.sum(), whole.activations.sum(), rtol=1e-5)
    assert model.kkt_residual == pytest.approx(whole.kkt_residual, rel=1e-3)
    assert model.templates.dtype == model.activations.dtype == dtype


@pytest.mark.parametrize("method", ["plain", "accelerated"])
def test_the_result_does_not_depend_on_how_frames_are_shared_out(trio, method):
    options = {"method": method, "max_iter": 60, "tol": 0}
    one = fit_shards([trio], 12, **options)
    for edges in ((517,), (3, 64, 700), (1, 2, 3)):
        several = fit_shards(cut(trio, *edges), 12, **options)
        assert max(difference(several, one)) < 1e-4
        np.testing.assert_allclose(
            several.activations, one.activations, atol=1e-4 * float(one.activations.max())
        )


def test_momentum_is_no_more_than_rounding_bears():
    """With momentum up to 1, a step that is taken back here and not there parts these by 1e-3."""
    audio = audionmf.read(TRIO)
    V = np.abs(audionmf.STFT(2048, 512).forward(audio.samples)).mean(axis=0)
    one, three = (fit_shards(shards, 16, max_iter=60, tol=0) for shards in ([V], cut(V, 100, 777)))
    assert max(difference(three, one)) < 1e-4


def test_whole_pieces_give_the_same_bits_in_any_order_and_company(trio):
    pieces = [Shard([piece]) for piece in cut(trio, 100, 517, 800)]
    found = []
    for order in itertools.islice(itertools.permutations(range(4)), 0, 24, 5):
        shards = [Shard([pieces[i].pieces[0] for i in order[:2]]), *(pieces[i] for i in order[2:])]
        found.append(fit_sharded(Together(shards), 8, max_iter=25, tol=0))
    for model in found[1:]:
        assert np.array_equal(model.templates, found[0].templates)
        assert np.array_equal(model.divergence, found[0].divergence)


def test_the_number_of_threads_does_not_matter(trio):
    one, three = (fit_shards([trio], 8, max_iter=10, n_threads=n) for n in (1, 3))
    assert np.array_equal(one.templates, three.templates)


@pytest.mark.parametrize("level", [2.0**-40, 2.0**30])
def test_the_level_goes_through(level):
    V = low_rank()
    model, loud = fit_shards(cut(V, 99), 4), fit_shards(cut(V * np.float32(level), 99), 4)
    assert max(difference(loud, model)[:1]) < 1e-4
    np.testing.assert_allclose(loud.divergence, model.divergence * level, rtol=1e-4)
    np.testing.assert_allclose(loud.activations.sum(), model.activations.sum() * level, rtol=1e-4)


# What comes back


def test_the_divergence_is_that_of_the_result_and_never_rises(trio):
    model = fit_shards(cut(trio, 500), 12, max_iter=80, tol=0)
    assert (np.diff(model.divergence) <= 0).all()
    value = nmf.beta_divergence(trio, model.templates @ model.activations)
    assert model.divergence[-1] == pytest.approx(value, rel=1e-4)
    assert model.n_iter == 80
    assert model.evaluated.tolist() == [*range(80), 80]
    np.testing.assert_allclose(model.templates.sum(axis=0), 1, rtol=1e-5)


def test_momentum_gains_and_the_result_is_as_good_as_that_of_a_fit(trio):
    plain, quick = (
        fit_shards([trio], 12, max_iter=60, tol=0, method=m) for m in ("plain", "accelerated")
    )
    whole = nmf.fit(trio, 12, max_iter=60, tol=0)
    assert quick.divergence[-1] < 0.97 * plain.divergence[-1]
    assert quick.divergence[-1] < 1.03 * whole.divergence[-1]


def test_it_stops_at_the_tolerance_and_when_it_is_told_to():
    V = low_rank()
    stopped = fit_shards([V], 4, tol=1e-2)
    assert (stopped.reason, stopped.converged) == ("tolerance", True)
    assert stopped.n_iter < 200
    seen = []
    cancelled = fit_shards([V], 4, callback=lambda state: seen.append(state) or len(seen) == 3)
    assert (cancelled.reason, cancelled.n_iter) == ("cancelled", 3)
    assert [state.iteration for state in seen] == [1, 2, 3]
    assert seen[1].divergence == pytest.approx(cancelled.divergence[1])


def test_silence_has_silent_templates():
    model = fit_shards([np.zeros((5, 20)), np.zeros((5, 3))], 2)
    assert not model.templates.any()
    assert model.activations.shape == (2, 23)
    assert model.divergence[-1] == 0


def test_a_silent_shard_changes_nothing():
    V = low_rank()
    one, two = fit_shards([V], 4), fit_shards([V, np.zeros((40, 7), np.float32)], 4)
    assert np.array_equal(one.templates, two.templates)


def test_templates_to_start_from_are_taken():
    V = low_rank()
    model = fit_shards([V], 4, max_iter=30)
    further = fit_shards([V], 4, templates=model.templates, max_iter=30)
    assert further.divergence[-1] < model.divergence[-1]


# A shard


def orders(V, n_components=3, n_rounds=4, rises_in=None):
    """Return a start and orders as a fit sends them.

    The divergence is said to have risen in the round `rises_in`, which is then taken back: whether it
    rises by itself hangs on how a processor rounds.
    """
    seen = []

    class Listener(Together):
        def begin(self, start):
            seen.append(start)
            return super().begin(start)

        def step(self, order):
            seen.append(Order(**{**vars(order), "templates": order.templates.copy()}))
            sums = super().step(order)
            if order.number == rises_in:
                sums.divergence *= 2
            return sums

    fit_sharded(Listener([Shard([V])]), n_components, max_iter=n_rounds, tol=0)
    return seen


def test_rounds_that_are_replayed_end_where_they_ended_first():
    V = low_rank(n_frames=40, rank=3)
    start, *rounds = orders(V, n_rounds=20, rises_in=10)
    assert any(order.undo for order in rounds)
    first, second = (Shard([V[:, :25], V[:, 25:]]) for _ in range(2))
    first.begin(start)
    for order in rounds:
        last = first.step(order)
    second.begin(start)
    second.replay(rounds[:-1])
    again = second.step(rounds[-1])
    assert np.array_equal(first.activations, second.activations)
    assert np.array_equal(last.numerators, again.numerators)
    assert last.divergence == again.divergence


def test_a_round_asked_for_twice_is_done_once():
    V = low_rank()
    start, *rounds = orders(V)
    shard = Shard([V])
    shard.begin(start)
    first = shard.step(rounds[0])
    H = shard.activations.copy()
    assert shard.step(rounds[0]) is first
    assert np.array_equal(shard.activations, H)


def test_a_round_out_of_turn_is_refused():
    V = low_rank()
    start, *rounds = orders(V)
    shard = Shard([V])
    shard.begin(start)
    with pytest.raises(ParameterError, match="round 2 cannot follow round 0"):
        shard.step(rounds[1])


def test_a_step_that_raises_the_divergence_is_taken_back_by_all():
    V = low_rank()
    start, first, second, *_ = orders(V)
    shard, other = Shard([V]), Shard([V])
    for each in (shard, other):
        each.begin(start)
        each.step(first)
    H = shard.activations.copy()
    shard.step(second)
    assert not np.array_equal(shard.activations, H)
    again = Order(**{**vars(second), "number": 3, "momentum": 0.0, "undo": True})
    shard.step(again)
    other.step(Order(**{**vars(again), "number": 2, "undo": False}))
    assert np.array_equal(shard.activations, other.activations)


def test_sums_are_as_large_as_the_templates_however_many_frames_there_are():
    for n_frames in (50, 5000):
        V = low_rank(n_frames=n_frames)
        start, order, *_ = orders(V)
        shard = Shard([V])
        shard.begin(start)
        sums = shard.step(order)
        assert (sums.numerators.shape, sums.denominators.shape) == ((3, 40), (3,))


def test_the_sums_are_those_of_the_equations():
    V = low_rank(dtype=np.float64)
    W = np.random.default_rng(1).random((3, 40))
    shard = Shard([V])
    grids = (np.full(40, 2.0**-40), np.full(3, 2.0**-40), 2.0**-40)
    shard.begin(Start(3, 1.0, float(W.sum()), grids[0]))
    H = shard.activations.copy()
    sums = shard.step(Order(1, W, 0.0, False, *grids))
    assert sums.divergence == pytest.approx(nmf.beta_divergence(V, W.T @ H))
    H = H * (W @ (V / (W.T @ H))) / W.sum(axis=1)[:, None]
    np.testing.assert_allclose(shard.activations, H, rtol=1e-9)
    np.testing.assert_allclose(sums.denominators, H.sum(axis=1), rtol=1e-9)
    expected = W * ((V / (W.T @ H)) @ H.T).T
    np.testing.assert_allclose(sums.numerators, expected, rtol=1e-9, atol=1e-12)


# What is refused


@pytest.mark.parametrize(
    ("shards", "options", "message"),
    [
        ([], {}, "there are no shards"),
        ([np.ones((3, 4)), np.ones((2, 4))], {}, "shard 2 has 2 bins, the first has 3"),
        ([np.ones((3, 4)), -np.ones((3, 4))], {}, "shard 2 must be finite and 0 or more"),
        ([np.ones((3, 4))], {"n_components": 0}, "n_components must be a whole number"),
        ([np.ones((3, 4))], {"max_iter": -1}, "max_iter must be a whole number"),
        ([np.ones((3, 4))], {"tol": 2}, "tol must be a number from 0 to 1"),
        ([np.ones((3, 4))], {"method": "quick"}, "method must be one of accelerated, plain"),
        ([np.ones((3, 4))], {"templates": np.ones((3, 1))}, "1 templates are given for 2"),
        ([np.ones((3, 4))], {"templates": np.ones((4, 2))}, "templates have 4 bins, V has 3"),
        ([np.ones((3, 4))], {"templates": np.zeros((3, 2))}, "must not all be silent"),
    ],
)
def test_a_bad_argument_is_refused(shards, options, message):
    with pytest.raises(ParameterError, match=message):
        fit_shards(shards, **{"n_components": 2, **options})


def test_shards_are_not_modified():
    V = low_rank()
    before = V.copy()
    fit_shards(cut(V, 100), 3, max_iter=3)
    assert np.array_equal(V, before)
