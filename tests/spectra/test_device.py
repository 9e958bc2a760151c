"""Transforms, models and masks of a device are those of the processor, but for rounding."""

import numpy as np
import pytest

from audionmf.errors import ParameterError
from audionmf.io.audio import Audio
from audionmf.spectra.device import masks_on, models_on, stft_on
from audionmf.spectra.frames import gather
from audionmf.spectra.masks import source_masks
from audionmf.spectra.stft import STFT

torch = pytest.importorskip("torch", reason="PyTorch is not installed; .ci/run brings it")
DEVICE = "cuda" if torch.cuda.is_available() else "torch"


@pytest.mark.parametrize(("n_fft", "hop"), [(256, 64), (100, 33), (64, 16)])
def test_transforms_agree_and_invert(n_fft, hop):
    samples = np.random.default_rng(0).standard_normal((2, 3001)).astype(np.float32)
    here = STFT(n_fft, hop)
    there = stft_on(here, DEVICE)
    X = there.forward(samples)
    wanted = here.forward(samples)
    assert X.dtype == np.complex64
    assert X.strides == wanted.strides  # bins are neighbours
    np.testing.assert_allclose(X, wanted, atol=1e-4)
    np.testing.assert_allclose(there.synthesise(wanted), here.synthesise(wanted), atol=1e-5)
    np.testing.assert_allclose(there.inverse(X, 3001), samples, atol=1e-5)


def test_frames_are_left_out_there_too():
    samples = np.random.default_rng(0).standard_normal((2, 9000)).astype(np.float32)
    stft, audio = STFT(256, 64), Audio(samples, 8000)
    here, there = (
        gather(audio, one, 30, keep_transform=True) for one in (stft, stft_on(stft, DEVICE))
    )
    assert there.step == here.step == 8
    np.testing.assert_allclose(there.X, here.X, atol=1e-4)


def test_the_processor_keeps_its_own_transform():
    assert stft_on(STFT(64, 16), "cpu") == STFT(64, 16)


@pytest.mark.parametrize("kind", ["wiener", "soft", "binary"])
@pytest.mark.parametrize("exponent", [1.0, 1.5, 4.0])
def test_masks_agree_and_sum_to_one(kind, exponent):
    models = np.random.default_rng(1).random((3, 20, 30)).astype(np.float32) ** 8
    models[:, 4, 5] = 0
    models[:, 7] *= np.float32(1e-30)
    found = masks_on(models, exponent, kind, DEVICE)
    np.testing.assert_allclose(found, source_masks(models, exponent, kind), atol=1e-6)
    np.testing.assert_allclose(found.sum(axis=0), 1, atol=1e-6)


def test_masks_of_a_wrong_exponent_are_refused():
    with pytest.raises(ParameterError, match="exponent"):
        masks_on(np.ones((2, 3, 4), np.float32), 0.0, "wiener", DEVICE)


def test_models_agree():
    rng = np.random.default_rng(2)
    W, H = rng.random((40, 6)).astype(np.float32), rng.random((6, 50)).astype(np.float32)
    found = models_on(W, H, [[0, 3], [], [1, 2, 4, 5]], DEVICE)
    np.testing.assert_allclose(found[0], W[:, [0, 3]] @ H[[0, 3]], rtol=1e-5)
    assert not found[1].any()
    assert found.shape == (3, 40, 50)
