"""Recordings that were opened, and their sound as a page plays it."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audionmf.errors import LimitError
from audionmf.io.audio import Audio, AudioFile
from audionmf.studio.views import Spectrogram, waveform

__all__ = ["Recording", "load", "sixteen_bits"]

_MAX_VALUES = 1 << 29
_BLOCK_SECONDS = 0.5
_PCM = 32767


@dataclass(eq=False)
class Recording:
    """A recording that was opened.

    Parameters
    ----------
    name : str
        What people call it; never a path.
    audio : Audio
        Its samples.
    given : str
        As it was written on the command line; empty if it came through the page.
    id : str
        Random.
    """

    name: str
    audio: Audio
    given: str = ""
    id: str = field(default_factory=lambda: secrets.token_urlsafe(12))
    spectrogram: Spectrogram | None = None

    @cached_property
    def outline(self) -> bytes:
        """The waveform, first all lowest, then all highest values."""
        return waveform(self.audio).tobytes()

    @property
    def block(self) -> int:
        """Samples in each block of audio."""
        return max(1, round(_BLOCK_SECONDS * self.audio.sample_rate))

    def sound(self, index: int) -> tuple[bytes, float] | None:
        """Return a block of the recording as it is, in the form of `Model.sound`."""
        start = index * self.block
        if not 0 <= start < self.audio.n_samples:
            return None
        return sixteen_bits(self.audio.samples[None, :, start : start + self.block])

    def told(self) -> dict[str, Any]:
        """Return what a page needs to know."""
        return {
            "id": self.id,
            "name": self.name,
            "duration": self.audio.duration,
            "sample_rate": self.audio.sample_rate,
            "channels": self.audio.n_channels,
            "samples": self.audio.n_samples,
            "block": self.block,
        }


def load(path: Path, name: str) -> Audio:
    """Read a recording block by block, and stop where it is longer than memory should hold."""
    file = AudioFile(path)
    blocks, n_values = [], 0
    for block in file.blocks():
        n_values += block.size
        if n_values > _MAX_VALUES:
            raise LimitError(
                f"{name!r} is longer than the studio takes; use the command line, which takes any"
            )
        blocks.append(block)
    return Audio(np.concatenate(blocks, axis=1), file.sample_rate, path, file.subtype)


def sixteen_bits(stems: NDArray[np.float32]) -> tuple[bytes, float]:
    """Return stems, (n_stems, n_channels, n), for a page, and what full scale stands for."""
    if stems.shape[1] > 2:
        stems = np.stack([stems[:, 0::2].mean(axis=1), stems[:, 1::2].mean(axis=1)], axis=1)
    scale = float(np.abs(stems).max(initial=0)) or 1.0
    pcm: NDArray[np.int16] = np.round(stems * np.float32(_PCM / scale)).astype("<i2")
    return pcm.tobytes(), scale
