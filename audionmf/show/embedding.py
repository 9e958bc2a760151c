"""Audio inside a page: 16-bit FLAC in base64.

It is lossless, so the stems in a page sum to the mixture as the files do; it has no delay of its
own, as MP3 has, so they stay together; every browser of the last years plays it; and it is encoded
some ten times quicker than a lossy format, so that a report does not take longer than the
separation.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from audionmf.io.audio import AudioFile, Samples, Source

__all__ = ["EMBEDDED_SECONDS", "can_embed", "embed_flac", "embedded"]

EMBEDDED_SECONDS = 600.0
"""Length of what a page embeds, all stems counted together."""

_MAX_FLAC_CHANNELS = 8
_MAX_FLAC_RATE = 655_350


def embed_flac(source: Source, gain: float = 1.0, max_seconds: float | None = None) -> str:
    """Return a recording as 16-bit FLAC in base64, read block by block.

    Parameters
    ----------
    source : Audio or AudioFile
        The recording: at most 8 channels and 655 350 Hz, which is what FLAC holds.
    gain : float, default 1
        Factor; beyond full scale is clipped.
    max_seconds : float, optional
        Stop there.

    Returns
    -------
    str
        The same for the same samples.
    """
    import soundfile

    content = io.BytesIO()
    left = source.n_samples if max_seconds is None else round(max_seconds * source.sample_rate)
    with soundfile.SoundFile(
        content, "w", source.sample_rate, source.n_channels, "PCM_16", format="FLAC"
    ) as file:
        for block in source.blocks():
            file.write(_sixteen_bits(block[:, :left] * np.float32(gain)).T)
            left -= block.shape[1]
            if left <= 0:
                break
    return base64.b64encode(content.getvalue()).decode("ascii")


def can_embed(n_channels: int, sample_rate: int) -> bool:
    """Return whether FLAC, and so a page, can hold such audio."""
    return n_channels <= _MAX_FLAC_CHANNELS and sample_rate <= _MAX_FLAC_RATE


def embedded(files: Sequence[AudioFile], gain: float) -> list[str] | None:
    """Return the stems for the page, or None where they are too long for it or FLAC."""
    first = files[0]
    seconds = sum(file.duration for file in files)
    fits = seconds <= EMBEDDED_SECONDS and can_embed(first.n_channels, first.sample_rate)
    return [embed_flac(file, gain) for file in files] if fits else None


def _sixteen_bits(samples: Samples) -> NDArray[np.int16]:
    steps: NDArray[np.float32] = np.rint(samples * np.float32(32768))
    return np.clip(steps, -32768, 32767).astype(np.int16)
