"""Sizes that the machine code of an iteration is made for: what the processor's registers hold."""

from __future__ import annotations

from audionmf.io.kept import host

__all__ = ["BITS", "COLUMNS", "PANELS", "TILE", "TINY", "VECTORS"]

TINY = 1e-30
"""Least value of WH in a division; entries of W and H below it become 0, so none is denormal."""


def _vector_bits() -> int:
    features = host().features
    return 512 if features.get("avx512f") else 256 if features.get("avx") else 128


BITS = _vector_bits()
"""Bits of a vector."""
VECTORS, COLUMNS = (2, 8) if BITS == 512 else (3, 4)
"""Vectors and columns of a register tile."""
TILE = 64
"""Frames of a tile."""
PANELS = 2
"""Panels of `VECTORS` vectors in a block of bins."""
