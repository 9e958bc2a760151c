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

EMBEDDED_SECONDS = 900.0
"""Length of what a page embeds, all stems counted together."""

EMBEDDED_BYTES = 15_000_000
"""Bytes of the audio of a page, which with its pictures is under 20 MB then."""

_VORBIS_RATES = range(8000, 96_001)
_VORBIS_LEVELS = {0.6: 128_000, 0.8: 96_000, 1.0: 64_000}
"""Levels of compression, and about the bits a second of two channels at 44.1 kHz."""
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
    return _embed(source, gain, max_seconds, None)


def _embed(
    source: Source, gain: float, max_seconds: float | None, vorbis_level: float | None
) -> str:
    """Return a recording in base64, as FLAC or at a level of Vorbis."""
    import soundfile

    container, subtype = ("FLAC", "PCM_16") if vorbis_level is None else ("OGG", "VORBIS")
    content = io.BytesIO()
    left = source.n_samples if max_seconds is None else round(max_seconds * source.sample_rate)
    with soundfile.SoundFile(
        content, "w", source.sample_rate, source.n_channels, subtype, format=container,
        compression_level=vorbis_level,
    ) as file:  # fmt: skip
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
    flac = _together(files, gain, None)
    if flac is not None:
        return Embedded(flac, lossless=True)
    for level in _vorbis_levels(first.sample_rate, first.n_channels, seconds):
        vorbis = _together(files, gain, level)
        if vorbis is not None:
            return Embedded(vorbis, lossless=False)
    return None


def _vorbis_levels(sample_rate: int, n_channels: int, seconds: float) -> list[float]:
    """Return the levels to try, from the first that may do: encoding takes time."""
    if sample_rate not in _VORBIS_RATES:
        return []
    room = EMBEDDED_BYTES * 6 / seconds  # base64 holds 6 bits a byte
    size = sample_rate / 44_100 * n_channels / 2
    fitting = [level for level, rate in _VORBIS_LEVELS.items() if rate * size <= room]
    return fitting or [max(_VORBIS_LEVELS)]


def _together(
    files: Sequence[AudioFile], gain: float, vorbis_level: float | None
) -> list[str] | None:
    """Return all stems, or None as soon as they are too large together."""
    contents: list[str] = []
    for file in files:
        contents.append(_embed(file, gain, None, vorbis_level))
        if sum(map(len, contents)) > EMBEDDED_BYTES:
            return None
    return contents


def _sixteen_bits(samples: Samples) -> NDArray[np.int16]:
    steps: NDArray[np.float32] = np.rint(samples * np.float32(32768))
    return np.clip(steps, -32768, 32767).astype(np.int16)
