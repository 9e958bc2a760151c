"""The mel scale of Slaney's Auditory Toolbox, which librosa uses too."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["hz_to_mel", "mel_to_hz"]


def hz_to_mel(hz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return mel: linear below 1 kHz, 3 for 200 Hz; logarithmic above, 27 for a factor of 6.4."""
    linear = hz * 3 / 200
    return np.where(hz < 1000, linear, 15 + 27 * np.log(np.maximum(hz, 1) / 1000) / np.log(6.4))


def mel_to_hz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return Hz; the inverse of `hz_to_mel`."""
    return np.where(mel < 15, mel * 200 / 3, 1000 * 6.4 ** ((mel - 15) / 27))
