"""`decorrelation` and `group_sparsity` as settings: what they draw, and where they are refused."""

from __future__ import annotations

import numpy as np
import pytest

import audionmf
from audionmf import ParameterError, nmf
from audionmf.analysis.analysing import analyse
from audionmf.spectra.frames import pooled_magnitude

RATE = 8000
SMALL = {"n_fft": 256, "n_threads": 1, "max_iter": 40, "tol": 0}


@pytest.fixture(scope="module")
def notes():
    """Two tones that take turns, a third that lasts, and a little noise."""
    t = np.arange(RATE) / RATE
    first = np.sin(2 * np.pi * 500 * t) * (t % 0.5 < 0.25)
    second = np.sin(2 * np.pi * 1100 * t) * (t % 0.5 >= 0.25)
    third = 0.5 * np.sin(2 * np.pi * 2300 * t)
    noise = 0.02 * np.random.default_rng(0).standard_normal((3, t.size))
    return (np.stack([first, second, third]) / 4 + noise).astype(np.float32)


def bank_of(notes, count):
    parts = [
        audionmf.learn(audionmf.Audio(sound[None], RATE), name, n_components=2, **SMALL)
        for name, sound in zip(("one", "two"), notes[:count], strict=False)
    ]
    return audionmf.Templates.merge(parts)


def test_decorrelation_draws_components_apart(notes):
    def sharing(**weights):
        mixture = audionmf.Audio(notes.sum(axis=0, keepdims=True), RATE)
        H = analyse(mixture, components=True, n_components=6, **weights, **SMALL).activations
        return 1 - (H**2).sum() / (H.sum(axis=0) ** 2).sum()

    assert sharing(decorrelation=0.5) < sharing() - 0.05


def test_components_are_drawn_under_the_groups_of_their_sources(notes):
    mixture = audionmf.Audio(notes.sum(axis=0, keepdims=True), RATE)
    bank = bank_of(notes, 2)
    found = analyse(mixture, templates=bank, free=2, adapt_iter=0, group_sparsity=0.5, **SMALL)
    V = pooled_magnitude(bank.stft.forward(mixture.samples))

    def fitted(weight):
        penalties = nmf.Penalties(group_sparsity=weight, groups=[0, 0, 1, 1, 2, 2])
        return nmf.fit(
            V, 6, templates=bank.templates, fixed_templates=True, max_iter=40, tol=0,
            penalties=penalties, n_threads=1,
        ).templates  # fmt: skip

    assert found.templates.labels == ("one", "one", "two", "two", "other", "other")
    np.testing.assert_allclose(found.templates.templates[:, 4:], fitted(0.5)[:, 4:], atol=1e-5)
    assert np.abs(fitted(0.5) - fitted(1e-9)).max() > 1e-3


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"n_sources": 2, "group_sparsity": 1.0}, "which components are of one source"),
        ({"components": True, "group_sparsity": 1.0}, "which components are of one source"),
        ({"lead": True, "decorrelation": 1.0}, "are for components that are learnt"),
        ({"n_sources": 2, "decorrelation": 1.0, "beta": 2}, "decorrelation and beta 2 exclude"),
        ({"n_sources": 2, "decorrelation": -1.0}, "decorrelation must be a number from 0 to 1000"),
    ],
)
def test_what_cannot_be_drawn_is_refused(notes, options, words):
    mixture = audionmf.Audio(notes.sum(axis=0, keepdims=True), RATE)
    with pytest.raises(ParameterError, match=words):
        analyse(mixture, **options, **SMALL)


def test_frames_and_sources_without_free_components_are_no_groups(notes):
    mixture = audionmf.Audio(notes.sum(axis=0, keepdims=True), RATE)
    with pytest.raises(ParameterError, match="which components are of one source"):
        analyse(mixture, templates=bank_of(notes, 2), group_sparsity=1.0, **SMALL)
    with pytest.raises(ParameterError, match="which components are of one source"):
        audionmf.learn(mixture, "one", dictionary="nmf", group_sparsity=1.0, **SMALL)
    with pytest.raises(ParameterError, match="take the dictionary 'nmf'"):
        audionmf.learn(mixture, "one", decorrelation=1.0, **SMALL)
