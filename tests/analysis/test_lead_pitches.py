"""The strongest pitches of a frame: told from their octaves, whatever the level and the blocks."""

import numpy as np
import pytest

from audionmf.analysis import lead_pitches
from audionmf.analysis.lead_pitches import N_FEATURES, PITCHES, candidates, pitch_strengths

FREQUENCIES = np.arange(0, 8000, 10.0)


def partials(hertz, levels):
    """Return one frame of partials."""
    V = np.zeros((len(FREQUENCIES), 1))
    for k, level in enumerate(levels, 1):
        V += level * np.exp(-0.5 * ((FREQUENCIES - hertz * k) / 15) ** 2)[:, None]
    return V


def place(hertz):
    return int(np.abs(np.log(PITCHES / hertz)).argmin())


def test_a_pitch_is_stronger_than_its_octaves_at_any_level():
    V = partials(300, 1 / np.arange(1, 9))
    strengths = pitch_strengths(V, FREQUENCIES)[0]
    others = [place(hertz) for hertz in (100, 150, 350, 600, 900)]
    assert np.all(strengths[place(300)] > strengths[others])
    np.testing.assert_allclose(
        pitch_strengths(7 * V, FREQUENCIES)[0], strengths, rtol=1e-3, atol=1e-4
    )


def test_weak_odd_partials_tell_a_pitch_from_its_octave():
    V = partials(200, [0.75, 1.0] * 8)
    strengths = pitch_strengths(V, FREQUENCIES)[0]
    assert strengths[place(200)] > strengths[place(400)] > 0


def test_what_sounds_louder_to_the_ear_is_stronger():
    V = np.concatenate([partials(100, [1.0]), partials(1000, [1.0])], axis=1)
    strengths = pitch_strengths(V, FREQUENCIES)
    assert strengths[1, place(1000)] > 1.5 * strengths[0, place(100)]


def joined(V):
    parts = list(candidates(V, FREQUENCIES))
    return [np.concatenate(each) for each in zip(*parts, strict=True)]


def song(n_frames=60):
    rng = np.random.default_rng(0)
    glide = [partials(hertz, 1 / np.arange(1, 9)) for hertz in np.geomspace(200, 500, n_frames)]
    return np.concatenate(glide, axis=1) + 0.01 * rng.random((len(FREQUENCIES), n_frames))


def test_the_strongest_candidate_follows_a_glide_and_says_how_it_moves():
    features, pitches, there = joined(song())
    assert features.shape == (60, 12, N_FEATURES)
    assert there[:, 0].all()
    true = np.array([place(hertz) for hertz in np.geomspace(200, 500, 60)])
    assert np.abs(pitches[:, 0] - true).max() <= 2
    before, after = features[10:50, 0, 33], features[10:50, 0, 36]  # two frames away
    assert before.mean() < -0.2
    assert after.mean() > 0.2


@pytest.mark.parametrize("block", [7, 16])
def test_blocks_change_nothing(monkeypatch, block):
    whole = joined(song())
    monkeypatch.setattr(lead_pitches, "_BLOCK", block)
    for one, other in zip(whole, joined(song()), strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-4, atol=1e-4)


def test_the_level_changes_nothing():
    for one, other in zip(joined(song()), joined(1e-3 * song()), strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-3, atol=1e-3)


def test_a_rate_too_low_for_partials_has_candidates_of_finite_features():
    found = next(candidates(np.ones((5, 3)), np.linspace(0, 300, 5)))
    assert np.isfinite(found.features).all()
