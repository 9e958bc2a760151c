"""Where components lie: what differs within a source counts little, what differs between them much."""

import numpy as np
import pytest

from audionmf.analysis.likeness import Judged, learn_likeness, likeness, sound_features
from audionmf.sources.templates import Templates
from audionmf.spectra.stft import STFT

RNG = np.random.default_rng(0)


def mixture(tells):
    """Return components of two sources, told apart by one of three numbers; the others are noise."""
    owners = np.repeat([0, 1], 20)
    x = RNG.normal(size=(40, 3))
    x[:, tells] = 0.1 * x[:, tells] + owners
    owned = np.stack([owners == 0, owners == 1]).astype(float)
    return Judged({"timbre": x[:, :2], "course": x[:, 2:]}, np.ones(40), owned)


@pytest.mark.parametrize("tells", range(3))
def test_the_axes_follow_what_tells_sources_apart(tells):
    axes = learn_likeness([mixture(tells) for _ in range(5)])
    assert (len(axes["timbre"]), len(axes["course"])) == (2, 1)
    lengths = np.linalg.norm(np.concatenate([axes["timbre"], axes["course"]]), axis=1)
    assert lengths.argmax() == tells
    assert lengths[tells] > 3 * np.delete(lengths, tells).max()


def test_components_that_belong_to_nobody_teach_nothing():
    judged = mixture(1)
    half = judged._replace(owned=np.full((2, 40), 0.5))
    both, alone = learn_likeness([judged, half]), learn_likeness([judged])
    once, twice = (np.abs(axes["timbre"][:, 0]) for axes in (alone, both))
    np.testing.assert_allclose(twice / twice.max(), once / once.max(), rtol=1e-6)


def test_level_and_length_say_nothing_and_features_are_finite():
    W = RNG.random((257, 4)).astype(np.float32)
    H = RNG.random((4, 50)).astype(np.float32)
    W[:, 3], H[2] = 0, 0
    labels = tuple("abcd")
    keys = np.array([60.0, np.nan, 40.0, np.nan])
    found = [
        sound_features(Templates(level * W, labels, STFT(512, 128), 16000), level * H, keys)
        for level in (np.float32(1), np.float32(64))
    ]
    for name, x in found[0].items():
        assert np.isfinite(x).all()
        np.testing.assert_allclose(x[:2], found[1][name][:2], rtol=1e-3, atol=1e-3)


def test_the_axes_that_are_kept_fit_the_features():
    W, H = RNG.random((257, 2)).astype(np.float32), RNG.random((2, 50)).astype(np.float32)
    templates = Templates(W, ("a", "b"), STFT(512, 128), 16000)
    places = likeness(sound_features(templates, H, np.array([60.0, np.nan])))
    assert list(places) == ["timbre", "pitch", "course"]
    assert {x.shape for x in places.values()} == {(2, 12)}
