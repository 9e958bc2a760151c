"""The source–filter model: what it is, that it descends, and that threads and zeros change nothing."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audionmf.nmf.divergence import beta_divergence
from audionmf.nmf.source_filter import SourceFilter, fit_source_filter


def problem(n_channels=1, n_bins=20, n_frames=300, seed=0, dtype=np.float64):
    """Return V, S, B and a start."""
    rng = np.random.default_rng(seed)
    sources, bumps = rng.random((n_bins, 6)), rng.random((n_bins, 4))
    V = rng.random((n_channels * n_bins, n_frames)).astype(dtype)
    start = SourceFilter(
        source_activations=rng.random((6, n_frames)),
        filters=rng.random((4, 3)),
        filter_activations=rng.random((3, n_frames)),
        gains=np.ones(n_channels),
        templates=rng.random((n_channels * n_bins, 5)),
        activations=rng.random((5, n_frames)),
        divergence=np.empty(0),
    )
    return V, sources, bumps, start


def modelled(model, sources, bumps):
    return model.voice(sources, bumps) + model.accompaniment()


@given(
    n_channels=st.integers(1, 3),
    n_bins=st.integers(1, 9),
    n_frames=st.sampled_from([1, 2, 127, 128, 129]),
    seed=st.integers(0, 99),
)
@settings(max_examples=25, deadline=None)
def test_the_divergence_falls_and_is_that_of_the_factors(n_channels, n_bins, n_frames, seed):
    V, sources, bumps, start = problem(n_channels, n_bins, n_frames, seed)
    model = fit_source_filter(V, sources, bumps, start, max_iter=12)
    assert len(model.divergence) == 13
    assert np.all(np.diff(model.divergence) <= 1e-12 * (model.divergence[:-1] + V.sum()))
    first = beta_divergence(V, modelled(start, sources, bumps), 1.0)
    last = beta_divergence(V, modelled(model, sources, bumps), 1.0)
    assert model.divergence[[0, -1]] == pytest.approx([first, last], rel=1e-9, abs=1e-12 * V.sum())


def test_one_update_of_the_activations_is_that_of_the_plain_model():
    """With one filter, known and flat, the model is NMF with the templates S beside W."""
    V, sources, _, start = problem()
    bumps, filters = np.ones((20, 1)), np.ones((1, 1))
    start = dataclasses.replace(start, filters=filters, filter_activations=np.ones((1, V.shape[1])))
    model = fit_source_filter(V, sources, bumps, start, max_iter=1)
    W = np.concatenate([sources, start.templates], axis=1)
    H = np.concatenate([start.source_activations, start.activations])
    updated = H * (W.T @ (V / (W @ H))) / W.sum(axis=0)[:, None]
    assert np.allclose(model.source_activations, updated[:6])
    assert np.allclose(model.activations, updated[6:])


def test_a_voice_over_an_accompaniment_is_told_from_it():
    rng = np.random.default_rng(1)
    n_bins, n_frames = 60, 200
    place = np.arange(n_bins)
    sources = np.stack([(place % step == 0) + 1e-3 for step in (5, 6, 7, 8)], axis=1).astype(float)
    bumps = np.maximum(0, 1 - np.abs(place[:, None] - np.arange(0, n_bins, 12)) / 12) + 1e-3
    H_S = np.zeros((4, n_frames))
    H_S[rng.integers(0, 4, n_frames), np.arange(n_frames)] = 1
    voice = (sources @ H_S) * (bumps @ rng.random((len(bumps.T), 2)) @ rng.random((2, n_frames)))
    back = rng.random((n_bins, 3)) @ (rng.random((3, n_frames)) > 0.5)
    start = SourceFilter(
        H_S * 0.5, rng.random((len(bumps.T), 2)), np.full((2, n_frames), 0.5), np.ones(1),
        rng.random((n_bins, 3)), np.ones((3, n_frames)), np.empty(0),
    )  # fmt: skip
    model = fit_source_filter(voice + back, sources, bumps, start, max_iter=300)
    error = np.abs(model.voice(sources, bumps) - voice).sum() / voice.sum()
    assert error < 0.1


def test_gains_say_where_the_voice_is():
    _, sources, bumps, start = problem(2)
    once = start.voice(sources, bumps)[:20]
    start = dataclasses.replace(start, templates=np.full((40, 5), 1e-6))
    model = fit_source_filter(
        np.concatenate([0.9 * once, 0.3 * once]), sources, bumps, start, max_iter=40
    )
    assert model.gains[0] / model.gains[1] == pytest.approx(3, rel=1e-2)


def test_what_is_zero_stays_zero():
    V, sources, bumps, start = problem()
    held = np.random.default_rng(2).random(start.source_activations.shape) > 0.5
    start = dataclasses.replace(start, source_activations=start.source_activations * held)
    model = fit_source_filter(V, sources, bumps, start, max_iter=5)
    assert not model.source_activations[~held].any()
    assert model.source_activations[held].all()


@pytest.mark.parametrize("n_threads", [2, 5])
def test_threads_change_nothing(n_threads):
    V, sources, bumps, start = problem(2, dtype=np.float32)
    one = fit_source_filter(V, sources, bumps, start, max_iter=6)
    more = fit_source_filter(V, sources, bumps, start, max_iter=6, n_threads=n_threads)
    for field in dataclasses.fields(SourceFilter):
        assert np.array_equal(getattr(one, field.name), getattr(more, field.name)), field.name


def test_silence_gives_silence_without_a_warning():
    V, sources, bumps, start = problem()
    model = fit_source_filter(np.zeros_like(V), sources, bumps, start, max_iter=5)
    assert not modelled(model, sources, bumps).any()
    assert model.divergence[-1] < 1e-12


def test_nothing_that_is_given_changes_and_the_type_is_kept():
    V, sources, bumps, start = problem(dtype=np.float32)
    given = [V, sources, bumps, *vars(start).values()]
    before = [np.copy(array) for array in given]
    for array in given[:-1]:
        array.flags.writeable = False
    model = fit_source_filter(V, sources, bumps, start, max_iter=3)
    assert all(np.array_equal(a, b) for a, b in zip(given, before, strict=True))
    assert model.templates.dtype == model.source_activations.dtype == np.float32


def test_it_can_be_stopped():
    V, sources, bumps, start = problem()
    states = []

    def watch(state):
        states.append(state)
        return state.iteration == 3

    model = fit_source_filter(V, sources, bumps, start, max_iter=9, callback=watch)
    assert model.reason == "cancelled"
    assert [state.iteration for state in states] == [1, 2, 3]
    assert len(model.divergence) == 4
