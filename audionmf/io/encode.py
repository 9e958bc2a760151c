"""Samples for libsndfile to write: rounded as it would not round them, the same bytes each time."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["clear_peak_time", "quantise"]


def quantise(samples: NDArray[np.float32], bits: int) -> NDArray[np.int16] | NDArray[np.int32]:
    """Round to `bits` of PCM, left-aligned, in a type that libsndfile takes without rescaling.

    A power of two scales float32 without rounding; only 32 bits need float64 for their limits.
    """
    limit = math.ldexp(1.0, bits - 1)
    steps = np.multiply(samples, limit, dtype=np.float64 if bits == 32 else np.float32)
    np.rint(steps, out=steps)
    np.clip(steps, -limit, limit - 1, out=steps)
    if bits == 16:
        return steps.astype(np.int16)
    return steps.astype(np.int32) << np.int32(32 - bits)


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
