"""How alike components of a mixture sound to examples."""

import numpy as np
import pytest

import audionmf
from audionmf.analysis import component_owner
from audionmf.analysis.component_examples import example_sound, like_examples
from audionmf.analysis.likeness import Sound
from audionmf.io.audio import Audio

RNG = np.random.default_rng(0)
FREQUENCIES = np.geomspace(30, 16000, 200)
RATE = 8000


def spectra(*, dark):
    """Return spectra of four notes: below 400 Hz, or above 4 kHz."""
    centres = np.geomspace(80, 300, 4) if dark else np.geomspace(5000, 12000, 4)
    apart = np.log2(FREQUENCIES[:, None] / centres)
    return (np.exp(-0.5 * (apart / 0.1) ** 2) + 1e-4).astype(np.float32)


def playing(n, n_frames=80):
    """Return activations of sustained notes that sound in turn."""
    H = np.full((n, n_frames), 1e-3, np.float32)
    for k in range(n):
        H[k, k * n_frames // n : (k + 1) * n_frames // n] = 1
    return H


@pytest.fixture(scope="module")
def mixture():
    W = np.concatenate([spectra(dark=True), spectra(dark=False)], axis=1)
    return Sound(W, np.tile(playing(4), (2, 1)), FREQUENCIES, np.ones(8))


@pytest.fixture(scope="module")
def examples():
    return [example_sound(spectra(dark=dark) @ playing(4), FREQUENCIES) for dark in (True, False)]


def test_components_sound_like_the_example_of_their_own_colour(mixture, examples):
    odds = like_examples(mixture, examples)
    assert odds.shape == (2, 8)
    relative = odds[0] - odds[1]
    assert relative[:4].min() > relative[4:].max() + 1


def test_how_an_example_goes_on_tells_too():
    """All has one colour: half of the mixture is struck, and one of two examples."""
    struck = playing(4) * np.tile(np.exp(-np.arange(20) / 2), 4).astype(np.float32)
    W = np.concatenate([spectra(dark=True)] * 2, axis=1)
    sound = Sound(W, np.concatenate([struck, playing(4)]), FREQUENCIES, np.ones(8))
    both = [example_sound(spectra(dark=True) @ H, FREQUENCIES) for H in (struck, playing(4))]
    odds = like_examples(sound, both)
    relative = odds[0] - odds[1]
    assert relative[:4].min() > relative[4:].max() + 1


def test_an_example_says_the_same_whatever_others_there_are(mixture, examples):
    odds = like_examples(mixture, examples)
    alone = like_examples(mixture, [None, examples[1]])
    np.testing.assert_array_equal(alone[1], odds[1])
    assert not alone[0].any()


def test_how_loud_an_example_is_says_nothing(mixture, examples):
    loud = example_sound(1000 * spectra(dark=True) @ playing(4), FREQUENCIES)
    odds = like_examples(mixture, [examples[0], loud])
    np.testing.assert_allclose(odds[0], odds[1], atol=0.05)


def test_silence_says_nothing(mixture, examples):
    assert example_sound(np.zeros((200, 9), np.float32), FREQUENCIES) is None
    silent = Sound(mixture.W, mixture.H, FREQUENCIES, np.zeros(8))
    assert not like_examples(silent, examples).any()


def test_examples_of_a_mixture_are_heard(monkeypatch):
    """Beside a rest that has no example, too, and in the order of the sources."""
    told = []
    real = component_owner.agreed

    def listen(said, stretches, sound, examples, *, free, draw):
        told.append((examples, free))
        return real(said, stretches, sound, examples, free=free, draw=draw)

    monkeypatch.setattr(component_owner, "agreed", listen)
    t = np.arange(2 * RATE) / RATE
    low, high = np.sin(2 * np.pi * 150 * t)[None], 0.3 * RNG.standard_normal((1, len(t)))
    given = {"low": Audio(low, RATE), "high": Audio(high, RATE)}
    mixture = Audio((low + high) / 2, RATE)
    audionmf.analyse(mixture, examples=given)
    audionmf.analyse(mixture, examples={"low": given["low"]})
    (both, free), (one, beside_free) = told
    assert not free
    assert beside_free
    low_alone, other = one
    assert other is None
    heard = [low_alone, *both]
    centres = [each.frequencies @ each.W.sum(axis=1) / each.W.sum() for each in heard]
    assert centres[0] == pytest.approx(centres[1], rel=1e-3)
    assert centres[2] > 2 * centres[1]
