"""Samples for libsndfile to write: rounded as it would not round them, the same bytes each time."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_CACHED = 8192
"""Samples of a channel that stay in the cache from one operation to the next."""

__all__ = ["clear_peak_time", "quantise"]


def quantise(samples: NDArray[np.float32], bits: int) -> NDArray[np.int16] | NDArray[np.int32]:
    """Round to `bits` of PCM, left-aligned, in a type that libsndfile takes without rescaling.

    A power of two scales float32 without rounding; only 32 bits need float64 for their limits.

    Parameters
    ----------
    samples : ndarray, shape (n, n_channels), float32
        Quickest where those of a channel are neighbours.
    bits : {8, 16, 24, 32}
        Of a sample.

    Returns
    -------
    ndarray, shape (n, n_channels), int16 or int32
        The channels of a moment as neighbours.
    """
    limit = math.ldexp(1.0, bits - 1)
    wide = np.float64 if bits == 32 else np.float32
    found = np.empty(samples.shape, np.int16 if bits == 16 else np.int32)
    steps = np.empty((samples.shape[1], min(len(samples), _CACHED)), wide)
    for first in range(0, len(samples), _CACHED):
        some = samples[first : first + _CACHED]
        part = steps[:, : len(some)]
        np.multiply(some.T, limit, out=part, dtype=wide)
        np.rint(part, out=part)
        np.clip(part, -limit, limit - 1, out=part)
        for column, rounded in zip(found[first : first + _CACHED].T, part, strict=True):
            column[...] = rounded
    return found if bits == 16 else found << np.int32(32 - bits)


def clear_peak_time(path: Path) -> None:
    """Zero the time stamp in the PEAK chunk that libsndfile adds to float files.

    Without it the same stems would give other bytes each second.
    """
    with path.open("r+b") as file:
        order = {b"RIFF": "little", b"RF64": "little", b"FORM": "big"}.get(file.read(4))
        if order is None:
            return
        position = 12
        while True:
            file.seek(position)
            header = file.read(8)
            if len(header) < 8 or header[:4] in (b"data", b"SSND"):
                return
            if header[:4] == b"PEAK":
                file.seek(position + 12)
                file.write(bytes(4))
                return
            size = int.from_bytes(header[4:], "little" if order == "little" else "big")
            position += 8 + size + size % 2
