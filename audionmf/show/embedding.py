"""Audio inside a page: 16-bit FLAC in base64; Ogg Vorbis where that would make the page too large.

FLAC is lossless, so the stems in a page sum to the mixture as the files do; it has no delay of its
own, as MP3 has, so they stay together; every browser of the last years plays it; and it is encoded
some ten times quicker than a lossy format, so that a report does not take longer than the
separation.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from audionmf.io.audio import AudioFile, Samples, Source

__all__ = ["EMBEDDED_BYTES", "EMBEDDED_SECONDS", "Embedded", "can_embed", "embed_flac", "embedded"]

EMBEDDED_SECONDS = 600.0
"""Length of what a page embeds, all stems counted together."""

EMBEDDED_BYTES = 15_000_000
"""Bytes of the audio of a page, which with its pictures is under 20 MB then."""

_VORBIS_RATES = range(8000, 96_001)
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
    return _embed(source, gain, max_seconds, "FLAC")


def _embed(source: Source, gain: float, max_seconds: float | None, container: str) -> str:
    import soundfile

    subtype = {"FLAC": "PCM_16", "OGG": "VORBIS"}[container]
    content = io.BytesIO()
    left = source.n_samples if max_seconds is None else round(max_seconds * source.sample_rate)
    with soundfile.SoundFile(
        content, "w", source.sample_rate, source.n_channels, subtype, format=container
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


@dataclass(frozen=True)
class Embedded:
    """The stems of a page.

    Parameters
    ----------
    contents : list of str
        Each in base64.
    lossless : bool
        Whether they are FLAC, or else Vorbis.
    """

    contents: list[str]
    lossless: bool


def embedded(files: Sequence[AudioFile], gain: float) -> Embedded | None:
    """Return the stems for the page, or None where they are too long for it, or no format has them."""
    first = files[0]
    seconds = sum(file.duration for file in files)
    if seconds > EMBEDDED_SECONDS or not can_embed(first.n_channels, first.sample_rate):
        return None
    flac = _together(files, gain, "FLAC")
    if flac is not None:
        return Embedded(flac, lossless=True)
    vorbis = _together(files, gain, "OGG") if first.sample_rate in _VORBIS_RATES else None
    return None if vorbis is None else Embedded(vorbis, lossless=False)


def _together(files: Sequence[AudioFile], gain: float, container: str) -> list[str] | None:
    """Return all stems in a container, or None as soon as they are too large together."""
    contents: list[str] = []
    for file in files:
        contents.append(_embed(file, gain, None, container))
        if sum(map(len, contents)) > EMBEDDED_BYTES:
            return None
    return contents


def _sixteen_bits(samples: Samples) -> NDArray[np.int16]:
    steps: NDArray[np.float32] = np.rint(samples * np.float32(32768))
    return np.clip(steps, -32768, 32767).astype(np.int16)
