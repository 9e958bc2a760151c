"""Patterns of struck sounds, on drum hits and melodies that are made here."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audionmf import ParameterError
from audionmf.analysis.patterns import is_stroke, is_struck, onset_patches, pattern_of
from audionmf.nmf.convolutive import fit, model

N_LAGS = 8


def course(n_bins=32, n_frames=12, centre=6, rate=0.5, seed=0):
    """Make one stroke: a peak that decays, over a click of all bins; shape (n_bins, n_frames)."""
    bins, frames = np.arange(n_bins)[:, None], np.arange(n_frames)
    body = np.exp(-0.5 * ((bins - centre) / 3) ** 2 - rate * frames)
    click = 0.2 * np.random.default_rng(seed).random((n_bins, 1)) * np.exp(-2.5 * frames)
    return body + click


def strokes(starts, n_frames=200, level=None, **options):
    """Put a stroke at each start; shape (32, n_frames)."""
    stroke = course(**options)
    V = np.zeros((len(stroke), n_frames + stroke.shape[1]))
    for i, start in enumerate(starts):
        V[:, start : start + stroke.shape[1]] += (level or 1 - 0.05 * (i % 4)) * stroke
    return V[:, :n_frames]


def melody(n_frames=200, held=20, sounding=20, n_bins=32, seed=0):
    """Make notes of changing pitch, one every `held` frames, each `sounding` of them long."""
    pitches = np.random.default_rng(seed).permutation(np.arange(2, n_bins - 2, 3))
    V = np.zeros((n_bins, n_frames))
    for i, start in enumerate(range(0, n_frames, held)):
        V[pitches[i % len(pitches)], start : start + sounding] = 1
    return V


STARTS = [3, 30, 61, 90, 121, 150]


# Onsets and what follows them


def test_patches_start_at_the_onsets_in_the_order_of_time():
    V = strokes(STARTS)
    patches = onset_patches(V, N_LAGS)
    assert patches.shape == (len(STARTS), N_LAGS, 32)
    for patch, start in zip(patches, STARTS, strict=True):
        np.testing.assert_array_equal(patch, V[:, start : start + N_LAGS].T)


def test_a_sound_at_the_very_start_is_an_onset():
    np.testing.assert_array_equal(onset_patches(np.ones((3, 9)), 4), np.ones((1, 4, 3)))


def test_what_lies_beyond_the_end_is_silence():
    V = strokes([195])
    (patch,) = onset_patches(V, N_LAGS)
    np.testing.assert_array_equal(patch[:5], V[:, 195:].T)
    assert not patch[5:].any()


def test_weak_rises_and_those_close_to_a_stronger_one_are_no_onsets():
    V = np.zeros((2, 60))
    V[:, 10], V[:, 28], V[:, 55] = 1, 0.24, 0.26
    V[:, 16] = 0.9  # six frames from a stronger one
    V[:, 37], V[:, 44] = 0.5, 0.6  # seven
    patches = onset_patches(V, 1)
    np.testing.assert_array_equal(patches[:, 0, 0], [1, 0.5, 0.6, 0.26])


def test_at_most_sixteen_onsets_are_taken_the_strongest():
    V = np.zeros((2, 400))
    levels = 0.5 + np.random.default_rng(0).permutation(25) / 100
    V[:, 5:380:15] = levels
    taken = onset_patches(V, 3)[:, 0, 0]
    np.testing.assert_array_equal(taken, levels[levels > np.sort(levels)[-17]])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_silence_has_no_onset_and_a_silent_pattern(dtype):
    V = np.zeros((5, 30), dtype)
    assert onset_patches(V, 4).shape == (0, 4, 5)
    pattern = pattern_of(V, 4)
    assert pattern.shape == (4, 5)
    assert not pattern.any()
    assert not is_struck(V, 4)


# The pattern


def test_the_pattern_is_the_course_of_the_stroke():
    stroke = course()[:, :N_LAGS].T
    pattern = pattern_of(strokes(STARTS), N_LAGS)
    np.testing.assert_allclose(pattern, stroke / stroke.sum())


def test_every_stroke_counts_the_same_however_loud():
    soft, loud = strokes([20], seed=1, level=0.3), strokes([100], seed=2, level=1)
    expected = (pattern_of(soft, N_LAGS) + pattern_of(loud, N_LAGS)) / 2
    np.testing.assert_allclose(pattern_of(soft + loud, N_LAGS), expected)


@given(
    shape=st.tuples(st.integers(1, 6), st.integers(1, 40)),
    n_lags=st.integers(1, 50),
    dtype=st.sampled_from([np.float32, np.float64]),
    seed=st.integers(0, 99),
)
@settings(deadline=None, derandomize=True, max_examples=60)
def test_a_pattern_sums_to_one_and_its_level_does_not_matter(shape, n_lags, dtype, seed):
    rng = np.random.default_rng(seed)
    V = (rng.random(shape) * (rng.random(shape) < 0.5)).astype(dtype)
    pattern = pattern_of(V, n_lags)
    assert pattern.shape == (n_lags, shape[0])
    assert pattern.dtype == dtype
    assert pattern.sum() == pytest.approx(1 if V.any() else 0, abs=1e-5)
    np.testing.assert_array_equal(pattern_of(V * dtype(2.0**90), n_lags), pattern)
    np.testing.assert_array_equal(is_struck(V * dtype(2.0**90), n_lags), is_struck(V, n_lags))


def test_patterns_of_examples_take_a_mixture_apart():
    low, high = ({"centre": c, "rate": r, "seed": s} for c, r, s in ((6, 0.4, 1), (22, 0.9, 2)))
    sources = [strokes([10, 50, 90, 130], **low), strokes([10, 37, 64, 91, 118, 170], **high)]
    examples = [strokes([5, 60], 120, **low), strokes([8, 70], 120, **high)]
    W = np.stack([pattern_of(example, N_LAGS) for example in examples], axis=2)
    found = fit(sum(sources), 2, N_LAGS, templates=W)
    for k, source in enumerate(sources):
        part = model(found.templates[:, :, [k]], found.activations[[k]])
        assert ((part - source) ** 2).sum() < 0.02 * (source**2).sum()


# One struck sound or not


@pytest.mark.parametrize("starts", [STARTS, [40], [0, 100]])
@pytest.mark.parametrize("rate", [0.4, 1.5])
def test_a_stroke_that_repeats_or_stands_alone_is_struck(starts, rate):
    assert is_struck(strokes(starts, rate=rate), N_LAGS)


def test_strokes_that_differ_a_little_are_struck():
    rng = np.random.default_rng(0)
    V = sum(strokes([start], seed=start, centre=6 + rng.normal() / 2) for start in STARTS)
    assert is_struck(V + 0.005 * rng.random(V.shape), N_LAGS)


def test_a_melody_of_sustained_notes_is_not_struck():
    assert not is_struck(melody(), N_LAGS)


def test_different_sounds_are_not_struck_however_quiet_between():
    assert not is_struck(melody(sounding=3), N_LAGS)
    kit = strokes(STARTS[::3], centre=4) + strokes(STARTS[1::3], centre=15)
    assert not is_struck(kit + strokes(STARTS[2::3], centre=27), N_LAGS)


def test_one_note_that_never_rests_is_not_struck():
    V = strokes(range(0, 200, 10), rate=0.1)
    assert not is_struck(V, N_LAGS)
    V[:] = 1
    assert not is_struck(V, N_LAGS)


@pytest.mark.parametrize(("n_sounding", "struck"), [(59, True), (60, False)])
def test_a_sound_for_sixty_percent_of_the_time_is_too_much(n_sounding, struck):
    V = np.zeros((3, 100))
    V[:, :n_sounding] = 1
    assert is_struck(V, N_LAGS) is struck


@pytest.mark.parametrize(("level", "struck"), [(0.09, True), (0.11, False)])
def test_what_is_twenty_decibels_down_counts_as_quiet(level, struck):
    V = np.full((3, 100), level)
    V[:, :9] = 1
    assert is_struck(V, N_LAGS) is struck


@pytest.mark.parametrize(("n_kinds", "struck"), [(1, True), (2, True), (3, False)])
def test_onsets_that_have_nothing_in_common_are_not_alike(n_kinds, struck):
    """The mean of patches of n kinds has the length 1/√n: two, a little alike, are within 0.7."""
    V = np.zeros((4, 120))
    for i in range(6):
        V[i % n_kinds, 20 * i] = 1
        V[3, 20 * i] = 0.1
    assert is_struck(V, N_LAGS) is struck


@pytest.mark.parametrize("level", [2.0**-900, 2.0**900])
def test_the_level_does_not_matter_however_extreme(level):
    assert is_struck(level * strokes(STARTS), N_LAGS)
    assert not is_struck(level * melody(sounding=3), N_LAGS)


# Input


def test_input_is_only_read_and_may_have_any_layout():
    V = strokes(STARTS)
    wide = np.zeros((64, 400))
    wide[::2, ::2] = V
    for data in (V.copy(), np.asfortranarray(V), wide[::2, ::2], V[:, ::-1].copy()[:, ::-1]):
        data.flags.writeable = False
        np.testing.assert_array_equal(onset_patches(data, N_LAGS), onset_patches(V, N_LAGS))
        np.testing.assert_allclose(pattern_of(data, N_LAGS), pattern_of(V, N_LAGS), rtol=1e-12)
        assert is_struck(data, N_LAGS)
    assert is_struck(V.tolist(), N_LAGS)


@pytest.mark.parametrize("function", [onset_patches, pattern_of, is_struck])
@pytest.mark.parametrize(
    ("V", "n_lags", "said"),
    [
        (np.ones(4), 3, "V must be a matrix"),
        (np.ones((4, 0)), 3, "V must be a matrix that is not empty"),
        (-np.ones((4, 5)), 3, "V must be finite and 0 or more"),
        (np.full((4, 5), np.nan), 3, "V must be finite"),
        (np.ones((4, 5)), 0, "n_lags must be a whole number, 1 or more"),
        (np.ones((4, 5)), 2.0, "n_lags must be a whole number"),
    ],
)
def test_bad_input_gets_one_clear_line(function, V, n_lags, said):
    with pytest.raises(ParameterError, match=said):
        function(V, n_lags)


@pytest.mark.parametrize(("fall", "stroke"), [(0.3, True), (0.02, True), (0.0, False)])
def test_one_stroke_rings_and_dies_away(fall, stroke):
    V = np.random.default_rng(2).random((20, 100)) * np.exp(-fall * np.arange(100))
    V[:, 0] *= 3
    assert is_stroke(V, N_LAGS) is stroke


def test_what_is_struck_again_is_not_one_stroke():
    once = np.random.default_rng(2).random((20, 100)) * np.exp(-0.05 * np.arange(100))
    assert is_stroke(once, N_LAGS)
    assert not is_stroke(np.concatenate([once, once], axis=1), N_LAGS)
    assert not is_stroke(np.concatenate([0.5 * once, once], axis=1), N_LAGS)
    assert not is_stroke(np.zeros((20, 100)), N_LAGS)
