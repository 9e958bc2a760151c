"""Phases of the stems: such that their spectra are those of signals, and sum to the mixture.

A mask leaves each stem the phase of the mixture. Where sources overlap, the result is the transform
of no signal; when it is inverted, the magnitude that the mask asked for is lost. Each round makes the
transforms those of signals, shares out what they then lack of the mixture by the masks, and takes the
phases of the outcome with the magnitudes that were asked for.

References
----------
Gunawan and Sen, "Iterative phase estimation for the synthesis of separated sources from
single-channel mixtures", IEEE Signal Processing Letters 17(5), 2010 (MISI, which shares out evenly).
Le Roux and Vincent,
"Consistent Wiener filtering for audio source separation", IEEE Signal Processing Letters 20(3), 2013.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from audionmf.spectra.stft import STFT, Transform

__all__ = ["consistent_parts", "phase_reach"]

_ROUNDS = 5


def phase_reach(stft: STFT) -> int:
    """Return how many frames away a frame still has a say in the phases of another."""
    overlapping = -(-stft.n_fft // stft.hop_length) - 1
    return (_ROUNDS + 1) * overlapping


def consistent_parts(
    X: Transform,
    parts: Transform,
    masks: NDArray[np.floating[Any]],
    stft: STFT,
    inside: tuple[int, int],
) -> Transform:
    """Return the parts of the sources with phases of their own.

    Parameters
    ----------
    X : ndarray, shape (n_channels, n_bins, n_frames), complex64
        Consecutive frames of the mixture.
    parts : ndarray, shape (n_sources, n_channels, n_bins, n_frames), complex64
        The parts by the masks; they sum to X. Not modified.
    masks : ndarray, shape (n_sources, n_bins, n_frames)
        They sum to 1.
    stft : STFT
        The transform.
    inside : (int, int)
        As in `STFT.consistent`.

    Returns
    -------
    ndarray, shape of `parts`
        They sum to X. Right but for `phase_reach` frames at an end inside the recording.
    """
    magnitudes, shares = np.abs(parts), masks[:, None].astype(np.float32)
    found = _shared_out(X, stft.consistent(parts, inside), shares)
    for _ in range(_ROUNDS):
        size = np.abs(found)
        # Below this the inverse is beyond the type.
        heard = size > np.finfo(size.dtype).tiny
        unit = np.divide(found, size, out=np.zeros_like(found), where=heard)
        found = _shared_out(X, stft.consistent(unit * magnitudes, inside), shares)
    return found


def _shared_out(X: Transform, parts: Transform, shares: NDArray[np.float32]) -> Transform:
    """Return parts that sum to X: what they lack of it is shared out."""
    whole: Transform = parts + shares * (X - parts.sum(axis=0))
    return whole
