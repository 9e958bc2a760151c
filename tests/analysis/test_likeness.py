"""How alike components sound: odds of pairs, the same for components in any order."""

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from audionmf.analysis.likeness import (
    CUES,
    N_OWN,
    N_PAIR,
    OWN_CUES,
    PAIR_CUES,
    Pairs,
    Sound,
    likeness,
    likeness_between,
    places_by,
)

RNG = np.random.default_rng(0)
FREQUENCIES = np.linspace(20, 8000, 120)


def sound(n=7, frames=60, *, stereo=False, rng=RNG):
    W, H = rng.random((120, n)).astype(np.float32) ** 4, rng.random((n, frames)).astype(np.float32)
    x = rng.normal(size=(n, 2, 3)) + 1j * rng.normal(size=(n, 2, 3))
    places = x @ x.conj().swapaxes(1, 2) if stereo else None
    return Sound(W, H, FREQUENCIES, rng.random(n), places)


def harmonic(pitch_hz, bright, strokes, frames=120):
    """Return the spectrum of a note, and an activation that is struck at some frames."""
    partials = np.arange(1, 15) * pitch_hz
    W = np.exp(-0.5 * ((FREQUENCIES[:, None] - partials) / 40) ** 2) @ (bright ** np.arange(14))
    H = np.zeros(frames)
    for stroke in strokes:
        H[stroke:] += np.exp(-np.arange(frames - stroke) / 8)
    return W, H


@pytest.mark.parametrize("stereo", [False, True])
def test_odds_are_symmetric_and_those_of_the_same_components_in_any_order(stereo):
    heard = sound(stereo=stereo)
    odds = likeness(heard)
    np.testing.assert_array_equal(odds, odds.T)
    order = RNG.permutation(7)
    places = None if heard.places is None else heard.places[order]
    turned = Sound(heard.W[:, order], heard.H[order], FREQUENCIES, heard.energies[order], places)
    np.testing.assert_allclose(likeness(turned), odds[np.ix_(order, order)], atol=1e-9)


def test_rows_in_parts_are_those_of_all():
    heard = sound(n=150)
    some = np.r_[0:3, 140:150]
    whole = likeness(heard)
    assert whole.shape == (150, 150)
    assert np.ptp(whole[np.ix_(some, some)]) > 0.1
    np.testing.assert_array_equal(whole, whole.T)  # a row of one part is a column of another


@pytest.mark.parametrize("stereo", [False, True])
def test_odds_between_some_and_others_are_those_of_all(stereo):
    heard = sound(stereo=stereo)
    between = likeness_between(heard, 4)
    np.testing.assert_allclose(between, likeness(heard)[:4, 4:], rtol=0, atol=1e-12)
    assert np.ptp(between) > 0.1


@pytest.mark.parametrize(("n", "times"), [(7, 1), (128, 1), (129, 6)])
def test_what_pairs_have_in_common_is_found_once_where_there_are_few(monkeypatch, n, times):
    asked, find = [], Pairs._of

    def counted(pairs, rows):
        asked.append(pairs)
        return find(pairs, rows)

    monkeypatch.setattr(Pairs, "_of", counted)
    heard = sound(n, stereo=True)
    pairs = Pairs(heard)
    for cues in (CUES, CUES[1:], CUES[:2]):
        np.testing.assert_array_equal(likeness(pairs, cues), likeness(Pairs(heard), cues))
    assert asked.count(pairs) == times
    some, every = pairs.of(slice(2, 5)), Pairs(heard).of(slice(0, n))
    np.testing.assert_allclose(some, every[2:5], atol=1e-9)


def test_two_notes_of_one_instrument_are_more_alike_than_those_of_two():
    """Dull plucked notes that alternate, and bright ones that are struck together elsewhere."""
    parts = [
        harmonic(110, 0.4, (0, 40, 80)), harmonic(123, 0.4, (20, 60, 100)),
        harmonic(880, 0.9, (10, 50)), harmonic(988, 0.9, (30, 70)),
    ]  # fmt: skip
    W, H = np.stack([w for w, _ in parts], axis=1), np.stack([h for _, h in parts])
    odds = likeness(Sound(W, H, FREQUENCIES, np.ones(4)))
    apart = odds[:2, 2:].max()
    assert odds[0, 1] > apart
    assert odds[2, 3] > apart


@pytest.mark.parametrize("cue", CUES)
def test_what_is_not_listened_to_changes_nothing(cue):
    heard = sound(stereo=True)
    only = likeness(heard, [cue])
    assert not np.allclose(only, likeness(heard))
    other = sound(stereo=True, rng=np.random.default_rng(1))
    if cue == "place":
        other = Sound(other.W, other.H, FREQUENCIES, heard.energies, heard.places)
    elif cue == "course":
        other = Sound(other.W, heard.H, FREQUENCIES, heard.energies, other.places)
    else:
        other = Sound(heard.W, other.H, FREQUENCIES, heard.energies, other.places)
    np.testing.assert_allclose(likeness(other, [cue]), only, atol=1e-9)


def test_every_number_belongs_to_a_cue_or_is_of_loudness():
    assert (len(OWN_CUES), len(PAIR_CUES)) == (N_OWN, N_PAIR) == (53, 22)
    assert {*OWN_CUES, *PAIR_CUES} == {*CUES, None}
    assert (OWN_CUES.count(None), PAIR_CUES.count(None)) == (1, 2)


def test_level_and_denormal_or_silent_components_leave_odds_finite():
    heard = sound(stereo=True)
    louder = Sound(heard.W * 64, heard.H * 8, FREQUENCIES, heard.energies * 9, heard.places * 9)
    np.testing.assert_allclose(likeness(louder), likeness(heard), atol=1e-6)
    W, H = heard.W.copy(), heard.H.copy()
    W[:, 0], H[1], H[2] = 0, 0, 1e-42
    for energies in (heard.energies, np.zeros(7)):
        odds = likeness(Sound(W, H, FREQUENCIES, energies, np.zeros((7, 2, 2), complex)))
        assert np.isfinite(odds).all()
        assert np.isfinite(places_by(odds, energies)).all()


@pytest.mark.parametrize("frames", [1, 2, 6])
def test_short_recordings_and_few_bands_have_odds(frames):
    assert np.isfinite(likeness(sound(frames=frames))).all()
    few = Sound(RNG.random((3, 4)), RNG.random((4, 9)), np.array([50.0, 200, 900]), np.ones(4))
    assert np.isfinite(likeness(few)).all()


def test_what_is_alike_lies_close():
    odds = np.full((6, 6), -3.0)
    odds[:3, :3] = odds[3:, 3:] = 3.0
    places = places_by(odds, np.arange(1.0, 7))
    away = np.linalg.norm(places[:, None] - places, axis=2)
    assert away[:3, :3].max() < 1e-6
    assert away[:3, 3:].min() > 0.5
    np.testing.assert_allclose(np.arange(1, 7) @ places, 0, atol=1e-9)
    np.testing.assert_allclose(places_by(np.zeros((3, 3)), np.ones(3)), 0, atol=1e-7)


def test_places_do_not_depend_on_the_threads_of_linear_algebra():
    odds = np.random.default_rng(1).normal(size=(400, 400))
    with threadpool_limits(1):
        one = places_by(odds + odds.T, np.ones(400))
    with threadpool_limits(2):
        two = places_by(odds + odds.T, np.ones(400))
    np.testing.assert_array_equal(one, two)
