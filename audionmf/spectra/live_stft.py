"""The short-time Fourier transform of a signal that is still being played.

A frame can be synthesised when its last sample is there, and a sample is finished when the last
frame that touches it is synthesised: a symmetric window of `n_fft` samples delays by ``n_fft - 1``.
A shorter delay needs no shorter window. Only the synthesis window has to be short: it touches just
the end of each frame, and the analysis window, which rises slowly over the older samples and falls
quickly over the newest, keeps the frequency resolution of its full length.

References
----------
Mauler and Martin, "A low delay, variable resolution, perfect reconstruction spectral
analysis-synthesis system for speech enhancement", EUSIPCO 2007. With NMF: Wood and Rouat,
"Unsupervised low latency speech enhancement with RT-GCC-NMF", IEEE Journal of Selected Topics in
Signal Processing 13(2), 2019.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from audionmf.spectra.fourier import irfft, rfft
from audionmf.spectra.stft import STFT

__all__ = ["LiveSTFT"]

Samples = NDArray[np.float32]
Transform = NDArray[np.complex64]
Change = Callable[[Transform], Transform]

_HOPS_IN_WINDOW = 4


class LiveSTFT:
    """Transforms a signal as it comes, lets each frame be changed, and transforms it back.

    Parameters
    ----------
    stft : STFT
        Window, FFT size and, without `n_synthesis`, hop.
    n_channels : int
        Channels of the signal.
    change : callable
        Takes a frame (n_channels, n_bins) and returns its parts (n_parts, n_channels, n_bins).
    n_parts : int
        Number of parts, 0 or more.
    n_synthesis : int, optional
        Samples of the synthesis window, a multiple of 4 below ``stft.n_fft``; the hop is then a
        quarter of it. Default: that of `stft`, so that frames are those of `stft`.
    """

    def __init__(
        self,
        stft: STFT,
        n_channels: int,
        change: Change,
        n_parts: int,
        n_synthesis: int | None = None,
    ) -> None:
        self._n_fft, self._change = stft.n_fft, change
        self._n_synthesis = n_synthesis or stft.n_fft
        self.hop_length = n_synthesis // _HOPS_IN_WINDOW if n_synthesis else stft.hop_length
        self._analysis, self._synthesis = _windows(stft, n_synthesis)
        self._product = self._analysis[-self._n_synthesis :] * self._synthesis
        half = self._n_synthesis // 2
        self._waiting = np.zeros((n_channels, self._n_fft - self._n_synthesis + half), np.float32)
        self._total = np.zeros((n_parts, n_channels, self._n_synthesis), np.float32)
        self._weight = np.zeros(self._n_synthesis, np.float32)
        self._before = half  # samples that come out before the first one of the signal
        self._n_in = self._n_frames = 0

    @property
    def latency(self) -> int:
        """Most samples of the signal that are in and not yet out."""
        return self._n_synthesis - 1

    def push(self, samples: Samples) -> Iterator[Samples]:
        """Add samples (n_channels, n); yield finished ones of the parts (n_parts, n_channels, m)."""
        self._n_in += samples.shape[1]
        self._waiting = np.concatenate([self._waiting, samples], axis=1)
        while self._waiting.shape[1] >= self._n_fft:
            yield self._next(self.hop_length)

    def finish(self) -> Iterator[Samples]:
        """Yield the rest of the parts; the signal is taken as zero from here on."""
        n_left = 1 + -(-self._n_in // self.hop_length) - self._n_frames
        n_needed = (n_left - 1) * self.hop_length + self._n_fft - self._waiting.shape[1]
        self._waiting = np.pad(self._waiting, ((0, 0), (0, max(0, n_needed))))
        first = self._n_frames * self.hop_length - self._n_synthesis // 2
        for i in range(n_left):
            last = i == n_left - 1
            stop = self._n_in - first if last else self.hop_length
            yield self._next(stop)
            first += self.hop_length

    def _next(self, n_out: int) -> Samples:
        """Transform the next frame and change it; return the first samples of what is summed up."""
        framed = self._waiting[:, : self._n_fft] * self._analysis
        parts = self._change(rfft(framed))
        frames = irfft(parts, self._n_fft)[..., -self._n_synthesis :]
        self._total += frames * self._synthesis
        self._weight += self._product
        finished: Samples = (
            self._total[..., self._before : n_out] / self._weight[self._before : n_out]
        )
        self._before = max(0, self._before - self.hop_length)
        _shift(self._total, self.hop_length)
        _shift(self._weight, self.hop_length)
        self._waiting = self._waiting[:, self.hop_length :]
        self._n_frames += 1
        return finished


def _shift(array: Samples, n: int) -> None:
    """Move the samples of an array to the front, zeros following."""
    array[..., :-n] = array[..., n:].copy()
    array[..., -n:] = 0


def _windows(stft: STFT, n_synthesis: int | None) -> tuple[Samples, Samples]:
    """Return the windows of analysis, (n_fft,), and of synthesis, (n_synthesis,)."""
    if n_synthesis is None:
        symmetric = stft._window()
        return symmetric, symmetric
    fall = n_synthesis // 2
    rise = stft.n_fft - fall
    up, down = (np.arange(rise) + 0.5) / rise, (np.arange(fall) + 0.5) / fall
    analysis = np.concatenate([np.sin(np.pi / 2 * up) ** 2, np.cos(np.pi / 2 * down) ** 2])
    synthesis = np.sin(np.pi * (np.arange(n_synthesis) + 0.5) / n_synthesis)
    return analysis.astype(np.float32), synthesis.astype(np.float32)
