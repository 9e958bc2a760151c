"""A device renders what the processor renders; what is saved does not ask for it."""

import numpy as np
import pytest

import audionmf
from audionmf import Decomposition

pytest.importorskip("torch", reason="PyTorch is not installed; scripts/test brings it")
RATE = 8000


def mixture(n_channels=1):
    rng, t = np.random.default_rng(0), np.arange(2 * RATE) / RATE
    low = np.sin(2 * np.pi * 220 * t) * (np.sin(2 * np.pi * t) > 0)
    high = 0.4 * rng.standard_normal(len(t)) * (np.sin(3 * np.pi * t) > 0)
    return np.stack([low + high, 0.5 * low + high][:n_channels]).astype(np.float32)


@pytest.mark.parametrize("n_channels", [1, 2])
def test_stems_agree_and_sum_to_the_mixture(n_channels):
    samples = mixture(n_channels)
    options = {
        "sample_rate": RATE,
        "n_sources": 2,
        "names": "plain",
        "max_iter": 30,
        "model": "free",
    }
    here = audionmf.separate(samples, **options)
    there = audionmf.separate(samples, device="torch", **options)
    for name, stem in here.sources.items():
        np.testing.assert_allclose(there.sources[name], stem, atol=1e-3)
    np.testing.assert_allclose(sum(there.sources.values()), samples, atol=1e-5)


def test_a_saved_model_is_rendered_anywhere(tmp_path):
    found = audionmf.analyse(
        mixture(), sample_rate=RATE, n_sources=2, device="torch", max_iter=5, model="free"
    )
    assert found.settings.device == "torch"
    found.save(tmp_path / "model.npz")
    assert Decomposition.load(tmp_path / "model.npz").settings.device == "cpu"
