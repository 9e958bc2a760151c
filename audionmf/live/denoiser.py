"""Live: a steady noise made softer while it is played.

One spectrum of the noise is learnt beforehand, from a recording of it. In each frame it is as loud as
explains the frame best; what is beyond one and a half times as much is wanted, since noise comes and
goes around its mean (Berouti, Schwartz and Makhoul, ICASSP 1979). Free components, which `denoise`
learns from the whole recording for what else sounds, cannot be had here. More spectra of the noise
explain more of what is wanted too, and were worse.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from audionmf.analysis.learning import learn
from audionmf.io.audio import AudioLike
from audionmf.live.separator import LiveSeparator
from audionmf.separation.denoising import NOISE, REDUCTION, floor_of
from audionmf.settings import Settings
from audionmf.spectra.frames import pooled_magnitude
from audionmf.spectra.live_stft import Transform

__all__ = ["CLEAN", "LiveDenoiser"]

CLEAN = "clean"
"""Name of what is left of a signal."""

_BEYOND = np.float32(1.5)


class LiveDenoiser(LiveSeparator):
    """Makes a steady noise softer while it is played.

    Parameters
    ----------
    noise : Audio, path or array, or a list of them
        Recordings of the noise alone; a second is enough.
    n_channels : int, default 1
        Channels of the signal.
    reduction : float, default 24
        By how much at most, in dB, 0 to 100. With 0 the signal stays as it is, to the bit.
    sample_rate : int, optional
        Of the signal, in Hz; the noise is converted to it. Default: that of the noise.
    latency : float, optional
        As in `LiveSeparator`.
    settings : Settings, optional
        ``n_fft``, ``hop_length``, ``window``, ``activation_iter`` and ``mask_exponent`` are used.
    **options
        Fields of `Settings`, changed from `settings`.

    Attributes
    ----------
    names, latency, decomposition
        As in `LiveSeparator`; the sources are ``noise``, what is taken out, and ``clean``.

    Raises
    ------
    ParameterError
        If the reduction or another option is outside its range.
    InvalidAudioError
        If the noise is silent.
    AudioNMFError
        As `audionmf.learn` and `LiveSeparator` do.
    """

    def __init__(
        self,
        noise: AudioLike | Sequence[AudioLike],
        n_channels: int = 1,
        *,
        reduction: float = REDUCTION,
        sample_rate: int | None = None,
        latency: float | None = None,
        settings: Settings | None = None,
        **options: Any,
    ) -> None:
        self._most = np.float32(1 - floor_of(reduction))
        given = Settings.from_options(settings, **options)
        config = Settings.from_options(
            given, dictionary="nmf", model="frames", mask="wiener", front_end="stft", beta=1.0
        )
        bank = learn(noise, NOISE, 1, sample_rate=sample_rate, settings=config)
        super().__init__(
            bank, n_channels, sample_rate=sample_rate, latency=latency, residual=CLEAN,
            settings=config,
        )  # fmt: skip

    def _parts(self, X: Transform) -> Transform:
        """Return what is taken out of a frame (n_channels, n_bins)."""
        V = pooled_magnitude(X[..., None])[:, 0]
        noise = _BEYOND * self._models(V)[0]
        masks = self.decomposition.masks(np.stack([noise, np.maximum(V - noise, 0)]))
        return X * np.minimum(masks[self._rendered, None], self._most)
