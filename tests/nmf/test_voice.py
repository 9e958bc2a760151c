"""A voice over an accompaniment: what it is, that it descends, and that zeros stay zero."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audionmf import nmf
from audionmf.nmf.divergence import beta_divergence
from audionmf.nmf.sums import fit_sum


def problem(n_channels=1, n_bins=20, n_frames=300, seed=0, dtype=np.float64):
    """Return V, and a voice and spectra that start at random."""
    rng = np.random.default_rng(seed)
    shape = (n_frames, n_channels * n_bins)
    V = rng.random(shape).astype(dtype).T
    voice = nmf.Voice(
        rng.random((6, n_bins)).astype(dtype), rng.random((4, n_bins)).astype(dtype),
        pitches=rng.random((n_frames, 6)).astype(dtype), filters=rng.random((3, 4)).astype(dtype),
        openings=rng.random((n_frames, 3)).astype(dtype), gains=np.ones(n_channels, dtype),
    )  # fmt: skip
    back = rng.random((5, shape[1])), rng.random((n_frames, 5))
    return V, voice, nmf.Spectra(*(array.astype(dtype) for array in back), free=True)


def modelled(V, *models):
    every = slice(0, V.shape[1])
    return sum(model.part(every)[0] for model in models).T


@given(
    n_channels=st.integers(1, 3),
    n_bins=st.integers(1, 9),
    n_frames=st.sampled_from([1, 2, 127, 128, 129]),
    seed=st.integers(0, 99),
)
@settings(max_examples=25, deadline=None)
def test_the_divergence_falls_and_is_that_of_the_factors(n_channels, n_bins, n_frames, seed):
    V, *models = problem(n_channels, n_bins, n_frames, seed)
    first = beta_divergence(V, modelled(V, *models), 1.0)
    fitted = fit_sum(V, models, max_iter=12)
    last = beta_divergence(V, modelled(V, *models), 1.0)
    assert fitted.n_iter == 12
    assert np.all(np.diff(fitted.divergence) <= 1e-12 * (fitted.divergence[:-1] + V.sum()))
    assert fitted.divergence[[0, -1]] == pytest.approx([first, last], rel=1e-9, abs=1e-11 * V.sum())


def test_one_update_of_the_activations_is_that_of_the_plain_model():
    """With one filter, known and flat, the model is NMF with the templates S beside W."""
    V, voice, back = problem()
    flat = nmf.Voice(
        voice.sources, np.ones((1, 20)), pitches=voice.pitches.copy(), filters=np.ones((1, 1)),
        openings=np.ones((V.shape[1], 1)), gains=np.ones(1),
    )  # fmt: skip
    W = np.concatenate([voice.sources, back.rows]).T
    H = np.concatenate([voice.pitches, back.activations], axis=1).T
    updated = H * (W.T @ (V / (W @ H))) / W.sum(axis=0)[:, None]
    fit_sum(V, [flat, back], max_iter=1)
    assert np.allclose(flat.pitches.T, updated[:6])
    assert np.allclose(back.activations.T, updated[6:])


@pytest.mark.parametrize("n_channels", [1, 2])
def test_each_phase_is_the_plain_update_of_what_is_linear_in_it(n_channels):
    """Written out with all products, where the code takes what it knows of them already."""
    V, voice, back = problem(n_channels, n_frames=130)
    voice.gains[:] = 0.7 + 0.2 * np.arange(n_channels)
    S, B, W = voice.sources, voice.bumps, back.rows.copy()
    P, Q, X, g, H = (
        array.copy()
        for array in (voice.pitches, voice.filters, voice.openings, voice.gains, back.activations)
    )

    def ratio():
        return V.T / (np.tile((P @ S) * (X @ Q @ B), n_channels) * np.repeat(g, 20) + H @ W)

    def of_channels(R):
        return sum(
            gain * part for gain, part in zip(g, np.split(R, n_channels, axis=1), strict=True)
        )

    for i in range(5):
        R, envelope = ratio(), X @ Q @ B
        P = P * ((of_channels(R) * envelope) @ S.T) / (envelope @ S.T) / g.sum()
        H = H * (R @ W.T) / W.sum(axis=1)
        pitch, shapes = P @ S, Q @ B
        X = X * ((of_channels(ratio()) * pitch) @ shapes.T) / (pitch @ shapes.T) / g.sum()
        R, heard = ratio(), pitch * (X @ Q @ B)
        if i == 3:
            over = np.array([(heard * part).sum() for part in np.split(R, n_channels, axis=1)])
            g = g * over / heard.sum()
        else:
            over = X.T @ ((of_channels(R) * pitch) @ B.T)
            Q = Q * over / (X.T @ (pitch @ B.T)) / g.sum()
        W = W * (H.T @ R) / H.sum(axis=0)[:, None]
    fit_sum(V, [voice, back], max_iter=5)
    found = voice.pitches, voice.filters, voice.openings, voice.gains, back.activations, back.rows
    for array, wanted in zip(found, (P, Q, X, g, H, W), strict=True):
        assert np.allclose(array, wanted, rtol=1e-10)


def test_a_voice_over_an_accompaniment_is_told_from_it():
    rng = np.random.default_rng(1)
    n_bins, n_frames = 60, 200
    place = np.arange(n_bins)
    sources = np.stack([(place % step == 0) + 1e-3 for step in (5, 6, 7, 8)]).astype(float)
    bumps = np.maximum(0, 1 - np.abs(place - np.arange(0, n_bins, 12)[:, None]) / 12) + 1e-3
    played = np.zeros((n_frames, 4))
    played[np.arange(n_frames), rng.integers(0, 4, n_frames)] = 1
    sung = (played @ sources) * (rng.random((n_frames, 2)) @ rng.random((2, len(bumps))) @ bumps)
    other = (rng.random((n_frames, 3)) > 0.5) @ rng.random((3, n_bins))
    voice = nmf.Voice(
        sources, bumps, pitches=played * 0.5, filters=rng.random((2, len(bumps))),
        openings=np.full((n_frames, 2), 0.5), gains=np.ones(1),
    )  # fmt: skip
    back = nmf.Spectra(rng.random((3, n_bins)), np.ones((n_frames, 3)), free=True)
    fit_sum((sung + other).T, [voice, back], max_iter=300)
    error = np.abs(voice.part(slice(0, n_frames))[0] - sung).sum() / sung.sum()
    assert error < 0.1


def test_gains_say_where_the_voice_is():
    _, voice, back = problem(2)
    once = voice.part(slice(0, 300))[0][:, :20]
    back.rows = np.full((5, 40), 1e-6)
    fit_sum(np.concatenate([0.9 * once, 0.3 * once], axis=1).T, [voice, back], max_iter=40)
    assert voice.gains[0] / voice.gains[1] == pytest.approx(3, rel=1e-2)


def test_what_is_zero_stays_zero():
    V, voice, back = problem()
    held = np.random.default_rng(2).random(voice.pitches.shape) > 0.5
    voice.pitches *= held
    fit_sum(V, [voice, back], max_iter=5)
    assert not voice.pitches[~held].any()
    assert voice.pitches[held].all()


def test_silence_gives_silence_without_a_warning():
    V, voice, back = problem()
    fitted = fit_sum(np.zeros_like(V), [voice, back], max_iter=5)
    assert not modelled(V, voice, back).any()
    assert fitted.divergence[-1] < 1e-12
