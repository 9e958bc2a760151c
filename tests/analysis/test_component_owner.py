"""Whose a component is: what is seen of it, and what the network says."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

import audionmf
from audionmf.analysis import component_features as features
from audionmf.analysis import component_owner
from audionmf.analysis.component_features import (
    ALONE,
    N_FEATURES,
    Examples,
    Stretch,
    component_features,
)
from audionmf.analysis.component_owner import LIMIT, Fit, agreed, evidence, leanings, sound_of
from audionmf.analysis.component_stretches import stretches
from audionmf.analysis.learning import source_sound
from audionmf.io.audio import Audio, open_source, write
from audionmf.spectra import frames
from audionmf.spectra.stft import STFT

RNG = np.random.default_rng(0)
FREQUENCIES = np.linspace(20, 8000, 90)
FIT = Fit(0.6, 0.05, True)


def random_stretch(n_sources=3, n_components=5, n_bands=90, n_frames=50):
    masks, plain = (
        RNG.dirichlet(np.ones(n_sources), (n_bands, n_frames)).astype(np.float32) for _ in range(2)
    )
    W = RNG.random((n_bands, n_components)).astype(np.float32)
    G = RNG.random((n_components, n_frames)).astype(np.float32)
    V = ((W @ G) * RNG.random((n_bands, n_frames))).astype(np.float32)
    frequencies = FREQUENCIES if n_bands == 90 else np.linspace(20, 20_000, n_bands)
    return Stretch(
        V / V.max(), np.moveaxis(masks, 2, 0), np.moveaxis(plain, 2, 0), W, G, frequencies
    )


def random_examples(n_sources=3, n_bands=90):
    return [RNG.random((n_bands, 40)).astype(np.float32) ** 3 for _ in range(n_sources)]


@pytest.fixture(scope="module")
def stretch():
    return random_stretch()


@pytest.fixture(scope="module")
def examples():
    return random_examples()


@pytest.fixture(scope="module")
def looks(stretch, examples):
    return component_features(stretch, Examples(examples, FREQUENCIES))


def test_sources_in_another_order_are_told_the_same(stretch, examples, looks):
    order = [2, 0, 1]
    other = component_features(
        replace(stretch, masks=stretch.masks[order], plain=stretch.plain[order]),
        Examples([examples[j] for j in order], FREQUENCIES),
    )
    np.testing.assert_allclose(other.shares, looks.shares[order], rtol=1e-5)
    said = leanings([looks], FIT)
    # What a source sounds like is heard in bins that are drawn, others for each place in the order.
    np.testing.assert_allclose(leanings([other], FIT), said[order], atol=0.25)


def test_leanings_are_bounded_and_take_from_one_what_they_give_to_another(looks):
    said = leanings([looks], FIT)
    assert said.shape == (3, 5)
    assert said.dtype == np.float32
    np.testing.assert_allclose(said.sum(axis=0), 0, atol=1e-5)
    assert np.abs(said).max() < 2 * LIMIT
    assert said.std() > 0.01


def test_all_numbers_are_finite_where_nothing_sounds_either(stretch, examples):
    G, masks = stretch.G.copy(), stretch.masks.copy()
    G[2] = 0
    masks[:, :40, :25] = 0
    masks[0, :40, :25] = 1
    seen = component_features(replace(stretch, G=G, masks=masks), Examples(examples, FREQUENCIES))
    assert seen.features.shape == (3, 5, N_FEATURES)
    assert np.isfinite(seen.features).all()
    assert seen.mass[2] == 0
    assert np.isfinite(leanings([seen], FIT)).all()


def test_shares_are_what_lies_under_the_masks(stretch, looks):
    parts = stretch.W.T[:, :, None] * stretch.G[:, None]
    mass = parts / parts.sum(axis=0) * stretch.V
    np.testing.assert_allclose(looks.mass, mass.sum(axis=(1, 2)), rtol=1e-4)
    under = np.einsum("sbt,kbt->sk", stretch.masks, mass) / mass.sum(axis=(1, 2))
    np.testing.assert_allclose(looks.shares, under, rtol=1e-4)


def test_bins_are_drawn_from_all_that_a_component_is_of_the_mixture(stretch):
    heard = features._Look(stretch, Examples([], FREQUENCIES)).heard()
    ratio = stretch.V / (stretch.W @ stretch.G)
    for k, (w, g) in enumerate(zip(stretch.W.T, stretch.G, strict=True)):
        mass = np.outer(w, g).astype(np.float64) * ratio
        drawn = features._drawn(mass, features._DRAWN, np.random.default_rng(k))
        mine = slice(k * features._DRAWN, (k + 1) * features._DRAWN)
        for found, wanted in zip(heard.drawn, drawn, strict=True):
            np.testing.assert_array_equal(found[mine], wanted)
        np.testing.assert_allclose(heard.total[k], mass.sum(), rtol=1e-5)
        np.testing.assert_allclose(heard.energy[k], (mass**2).sum(), rtol=1e-5)


def test_bins_that_rise_and_fall_alike_are_sought_in_all_bands(stretch):
    V, M = stretch.V, stretch.masks
    where = RNG.integers(0, len(V), 40), RNG.integers(20, V.shape[1], 40)  # none in the first
    found = features._fates(V, M, where)
    logs = np.log(V + 1e-4)
    for n, (b, t) in enumerate(zip(*where, strict=True)):
        first = t // 12 * 12
        course = logs[:, max(0, first - 12) : first + 24]
        course = course - course.mean(axis=1, keepdims=True)
        course /= np.linalg.norm(course, axis=1, keepdims=True) + 1
        alike = np.maximum(course @ course[b], 0)
        for got, power in zip(found[:, :, n], (4, 12), strict=True):
            weights = alike**power * V[:, t]
            wanted = (M[:, :, t] @ weights + 1e-9 / 3) / (weights.sum() + 1e-9)
            np.testing.assert_allclose(got, wanted, rtol=1e-4)


def test_without_examples_what_they_would_tell_is_nothing(stretch, looks):
    bare = component_features(stretch, Examples([], FREQUENCIES))
    assert not bare.features[..., ALONE].any()
    rest = np.setdiff1d(np.arange(N_FEATURES), ALONE)
    assert np.array_equal(bare.features[..., rest], looks.features[..., rest])
    assert looks.features[..., ALONE].any(axis=(0, 1)).all()


def test_stretches_count_by_what_sounds_in_them(looks, examples):
    other = component_features(random_stretch(), Examples(examples, FREQUENCIES))
    silent = other._replace(mass=0 * other.mass)
    np.testing.assert_allclose(leanings([looks, silent], FIT), leanings([looks], FIT), atol=1e-5)
    both = leanings([looks, other], FIT)
    assert not np.allclose(both, leanings([looks], FIT), atol=1e-3)
    assert not np.allclose(both, leanings([other], FIT), atol=1e-3)


def test_how_well_the_mixture_is_explained_is_heard(looks):
    well = leanings([looks], Fit(0.02, 0.1, False))
    assert not np.allclose(well, leanings([looks], FIT), atol=1e-3)


RATE = 8000


def chords(keys, seconds):
    t = np.arange(int(seconds * RATE)) / RATE
    hertz = 440 * 2 ** ((np.array(keys) - 69) / 12)
    return sum(np.sin(2 * np.pi * f * h * t) / h for f in hertz for h in range(1, 6))[None] / 20


@pytest.fixture(scope="module")
def long_one():
    samples = np.concatenate([chords([48 + k % 12, 72 - k % 7], 1.0) for k in range(50)], axis=1)
    audio = Audio((samples / 2).astype(np.float32), RATE)
    alone = {
        name: Audio(chords([key], 2.0).astype(np.float32), RATE)
        for name, key in (("low", 50), ("high", 70))
    }
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(frames, "_MOST_EVERY", 0)
        found = audionmf.analyse(audio, examples=alone, max_frames=300, seed=0)
    return audio, found


def test_of_a_long_recording_four_parts_are_looked_at_as_they_are(long_one, tmp_path):
    audio, found = long_one
    assert found.activations is None
    plain = replace(found, voters=None)
    parts = list(stretches(plain, found.voters, audio))
    assert [part.V.shape[1] for part in parts] == [320] * 4
    for part in parts:
        assert part.V.max() == 1
        np.testing.assert_allclose(part.masks.sum(axis=0), 1, rtol=1e-4)
        np.testing.assert_allclose(part.plain.sum(axis=0), 1, rtol=1e-4)
    path = tmp_path / "long.wav"
    write(path, audio, "FLOAT")
    from_file = list(stretches(plain, found.voters, open_source(path)))
    for part, other in zip(parts, from_file, strict=True):
        np.testing.assert_allclose(part.V, other.V, atol=1e-5)
    # The last part is the end of the whole transform.
    X = found.templates.stft.forward(audio.samples)
    heard = np.abs(X[0]).sum(axis=0)[-320:]
    level = parts[-1].V.sum(axis=0)
    assert np.corrcoef(heard, level)[0, 1] > 0.9


def test_only_the_first_frames_of_examples_are_read():
    stft = STFT(1024, 256)
    samples = RNG.normal(size=(1, 400_000)).astype(np.float32)
    one = Audio(samples, RATE)
    spectra = source_sound([one, one], stft, RATE)
    assert spectra.shape[1] == 512
    short = Audio(samples[:, :50_000], RATE)
    both = source_sound([short, short], stft, RATE)
    assert both.shape[1] == 2 * stft.n_frames(50_000)


def test_a_source_without_an_example_is_taken_to_sound_like_the_mixture(stretch, examples):
    one, same, none = (
        component_features(stretch, Examples(known, FREQUENCIES)).features[..., ALONE]
        for known in ([examples[0], None, None], [examples[0], stretch.V, stretch.V], [None] * 3)
    )
    np.testing.assert_allclose(one, same, atol=1e-4)
    assert one.any()
    assert not none.any()


def test_a_component_follows_those_that_sound_like_it(looks, monkeypatch):
    """The first three sound alike, and so do the others; the third is the only one in doubt."""
    odds = np.full((5, 5), -3.0)
    odds[:3, :3] = odds[3:, 3:] = 3.0
    monkeypatch.setattr(component_owner, "likeness", lambda sound: odds.copy())
    shares = np.array([[0.9, 0.9, 0.48, 0.1, 0.1], [0.1, 0.1, 0.52, 0.9, 0.9]])
    even = looks._replace(shares=shares, energy=np.ones(5))
    sound = sound_of([even], RNG.random((90, 5)), FREQUENCIES)
    alone = np.zeros((2, 5), np.float32)
    unknown = [None, None]
    together = agreed(alone, [even], sound, unknown).leanings
    assert together[0, 2] > 0.3
    np.testing.assert_allclose(together.sum(axis=0), 0, atol=1e-5)
    assert np.abs(together).max() <= LIMIT
    further = agreed(alone, [even], sound, unknown, draw=3.0).leanings
    assert further[0, 2] > together[0, 2] + 0.1
    assert not agreed(alone, [even], sound, unknown, draw=0.0).leanings.any()
    turned = agreed(alone, [even._replace(shares=shares[::-1])], sound, unknown)
    np.testing.assert_allclose(turned.leanings, together[::-1], atol=1e-6)
    odds[:] = 0  # nothing sounds like anything
    np.testing.assert_allclose(agreed(alone, [even], sound, unknown).leanings, alone, atol=1e-6)
    silent = even._replace(energy=np.zeros(5))
    none = sound_of([silent], sound.W, FREQUENCIES)
    heard = agreed(alone, [silent], none, [sound, None])
    assert np.isfinite(heard.leanings).all()
    np.testing.assert_allclose(heard.evidence, [[0.5, 0.5], [0, 0]])


def test_examples_draw_components_that_sound_like_them_most_beside_free_ones(looks, monkeypatch):
    """The second component sounds like the first example, the last like the second."""
    heard = np.array([[0, 1.0, 0, 0, -1], [0, -1, 0, 0, 1]])
    monkeypatch.setattr(component_owner, "like_examples", lambda sound, examples: heard)
    monkeypatch.setattr(component_owner, "likeness", lambda sound: np.zeros((5, 5)))
    even = looks._replace(shares=np.full((2, 5), 0.5), energy=np.ones(5))
    sound = sound_of([even], RNG.random((90, 5)), FREQUENCIES)
    alone = np.zeros((2, 5), np.float32)
    some, more = (
        agreed(alone, [even], sound, [sound] * 2, free=free).leanings for free in (False, True)
    )
    assert some[0, 1] > 0.2
    assert some[1, 4] > 0.2
    assert more[0, 1] > 2 * some[0, 1]
    np.testing.assert_allclose(more[:, [0, 2, 3]], 0, atol=1e-6)


def test_components_are_heard_in_all_stretches(looks):
    sound = sound_of([looks, looks], RNG.random((90, 5)), FREQUENCIES)
    np.testing.assert_array_equal(sound.H, np.tile(looks.activations, 2))
    np.testing.assert_allclose(sound.energies, 2 * looks.energy)


def test_what_is_compared_takes_little_more_memory_than_the_stretch_itself():
    """All of its components, or all that masks say, would take 120 MB for each thread."""
    stretch = random_stretch(n_components=40, n_bands=600, n_frames=320)
    known = Examples(random_examples(n_bands=600), stretch.frequencies)
    tracemalloc.start()
    try:
        component_features(stretch, known)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 30e6


def test_what_a_source_is_lent_against_its_sound_is_not_confirmed():
    """Two kinds of components. Masks that split each kind in two say what no sound confirms."""
    odds = np.full((6, 6), -4.0)
    odds[:3, :3] = odds[3:, 3:] = 4.0
    np.fill_diagonal(odds, 0)
    energies, none = np.array([4.0, 2, 1, 1, 2, 4]), np.zeros((2, 6))
    right, split = np.eye(2)[[0, 0, 0, 1, 1, 1]].T, np.eye(2)[[0, 1, 0, 1, 0, 1]].T

    def confirmed(owner, odds=odds, told=none, energies=energies):
        return evidence(owner, none, odds, told, energies)[0]

    assert confirmed(right).min() > 0.95
    assert confirmed(split).max() < 0.75
    lent, own = confirmed(np.eye(2)[[0, 0, 0, 0, 1, 1]].T)
    assert lent < own
    # Where nothing sounds alike, what the examples sound like decides.
    nothing, told = np.zeros((6, 6)), 8 * (right - 0.5)
    assert confirmed(right, nothing, told).min() > 0.95
    assert confirmed(right[::-1], nothing, told).max() < 0.05
    np.testing.assert_allclose(confirmed(right, nothing), 0.5)
    # A level that all have in common says nothing.
    np.testing.assert_allclose(
        confirmed(split, energies=1e-12 * energies), confirmed(split), rtol=1e-5
    )


def test_how_far_masks_move_is_that_of_the_components_a_source_has():
    owner, said = np.eye(2)[[0, 0, 1, 1]].T, np.float32([[1, -3, 0, 0], [-1, 3, 0, 0.5]])
    energies, none = np.array([3.0, 1, 1, 1]), np.zeros((2, 4))
    _, moved = evidence(owner, said, np.zeros((4, 4)), none, energies)
    np.testing.assert_allclose(moved, [(3 * 1 + 1 * 3) / 4, 0.25])
