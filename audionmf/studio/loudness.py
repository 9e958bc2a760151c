"""How loud parts are, alone and together, so that a page knows it of any source at once.

Of sums of parts it is enough to know the products of all pairs: the power of a sum of signals is the
sum of their products. They are weighted as ITU-R BS.1770-4 weights frequencies, without its gates.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audionmf.spectra.fourier import rfft

__all__ = ["k_weights", "products"]

_DESIGN_RATE = 48000
_SHELF = (
    (1.53512485958697, -2.69169618940638, 1.19839281085285),
    (1.0, -1.69065929318241, 0.73248077421585),
)
_HIGH_PASS = ((1.0, -2.0, 1.0), (1.0, -1.99004745483398, 0.99007225036621))
_MOST_BLOCKS = 48
_FULL = 32767


def k_weights(frequencies: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Return the weights of power at frequencies in Hz, those of ITU-R BS.1770-4 at 48 kHz."""
    z = np.exp(-2j * np.pi * np.minimum(frequencies, _DESIGN_RATE / 2) / _DESIGN_RATE)
    gain = np.ones(len(frequencies), complex)
    for above, below in (_SHELF, _HIGH_PASS):
        gain *= np.polyval(above[::-1], z) / np.polyval(below[::-1], z)
    weights: NDArray[np.float64] = np.abs(gain) ** 2
    return weights


def products(
    sound: Callable[[int], tuple[bytes, float] | None],
    n_parts: int,
    n_channels: int,
    n_blocks: int,
    sample_rate: int,
) -> NDArray[np.float64]:
    """Return the mean weighted products of all pairs of parts, (n_parts, n_parts).

    The loudness of a sum with gains g is -0.691 + 10 log10(gᵀ P g) LUFS. At most 48 blocks, evenly
    spread over the recording, are looked at.

    Parameters
    ----------
    sound : callable
        Gives a block of all parts, as `Model.sound` does.
    n_parts, n_channels, n_blocks, sample_rate : int
        What the blocks are of.
    """
    total, n_samples = np.zeros((n_parts, n_parts)), 0
    chosen = np.unique(
        np.linspace(0, n_blocks - 1, min(n_blocks, _MOST_BLOCKS)).round().astype(int)
    )
    for index in chosen:
        found = sound(int(index))
        if found is None:
            continue
        pcm, scale = found
        parts = np.frombuffer(pcm, "<i2").reshape(n_parts, n_channels, -1).astype(np.float32)
        n = parts.shape[2]
        weights = 2 * k_weights(np.fft.rfftfreq(n, 1 / sample_rate)) / n
        weights[0] /= 2
        X = rfft(parts) * (np.sqrt(weights) * (scale / _FULL)).astype(np.float32)
        values = X.view(np.float32).reshape(n_parts, -1)  # Re(x y*) is the product of these
        total += values @ values.T
        n_samples += n
    return total / max(1, n_samples)
