"""Recordings that were opened, and their sound as a page plays it."""

from __future__ import annotations

import secrets
import threading
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audionmf.errors import AudioReadError, LimitError
from audionmf.io.audio import Audio, AudioFile
from audionmf.io.files import file_hash, require_file
from audionmf.studio.views import Spectrogram, waveform

__all__ = ["KEPT_BYTES", "Recording", "Shelf", "load", "sixteen_bits"]

KEPT_BYTES = 1 << 30
"""Samples that a studio keeps in memory, all recordings together."""

_MAX_VALUES = 1 << 29
_BLOCK_SECONDS = 0.25
_PCM = 32767


class Shelf:
    """Samples of the recordings that were used last, up to a bound; what was not used longest goes.

    Parameters
    ----------
    n_bytes : int, default KEPT_BYTES
        Bytes of samples, all recordings together. The one used last stays, however long it is.
    """

    def __init__(self, n_bytes: int = KEPT_BYTES) -> None:
        self._n_bytes = n_bytes
        self._kept: dict[str, Audio] = {}
        self._lock = threading.Lock()

    @property
    def n_bytes(self) -> int:
        """Bytes of samples that are in memory now."""
        with self._lock:
            return self._held()

    def take(self, key: str) -> Audio | None:
        """Return the samples of a recording, which is the last used one now; None if they went."""
        with self._lock:
            audio = self._kept.pop(key, None)
            if audio is not None:
                self._kept[key] = audio
            return audio

    def put(self, key: str, audio: Audio) -> None:
        """Keep samples; those that were not used longest go until all fit."""
        with self._lock:
            self._kept.pop(key, None)
            self._kept[key] = audio
            while self._held() > self._n_bytes and len(self._kept) > 1:
                del self._kept[next(iter(self._kept))]

    def _held(self) -> int:
        return sum(audio.samples.nbytes for audio in self._kept.values())


class Recording:
    """A recording that was opened; its samples are read again when they are needed again.

    Parameters
    ----------
    path : path
        Where it is; it stays there as long as the studio runs.
    name : str
        What people call it; never a path.
    shelf : Shelf
        Keeps the samples.
    given : str, default ""
        As it was written on the command line; empty if it came through the page.

    Raises
    ------
    FileNotFoundError, AudioReadError, InvalidAudioError
        If it cannot be read as audio.
    LimitError
        If it is too long.
    """

    def __init__(self, path: Path, name: str, shelf: Shelf, given: str = "") -> None:
        self.path, self.name, self.given = path, name, given
        self.id = secrets.token_urlsafe(12)
        self.spectrogram: Spectrogram | None = None
        self._shelf, self._lock = shelf, threading.Lock()
        self._stamp = _stamp(path)
        audio = load(path, name)
        self.sample_rate, self.duration = audio.sample_rate, audio.duration
        self.n_channels, self.n_samples = audio.n_channels, audio.n_samples
        shelf.put(self.id, audio)

    @property
    def changed(self) -> bool:
        """Whether its file was written anew since, is gone, or is no file any more."""
        try:
            return _stamp(self.path) != self._stamp
        except OSError:
            return True

    def require_unchanged(self) -> None:
        """Make sure that the file is the one that was opened.

        Raises
        ------
        FileNotFoundError, AudioReadError
            If the file went, or is another one now.
        """
        require_file(self.path)
        if self.changed:
            raise AudioReadError(
                f"{self.name!r} was written anew since it was opened; open it again"
            )

    @property
    def audio(self) -> Audio:
        """The samples, read again if they are no longer in memory.

        Raises
        ------
        FileNotFoundError, AudioReadError
            If the file went, or is another one now.
        """
        with self._lock:
            audio = self._shelf.take(self.id)
            if audio is None:
                self.require_unchanged()
                audio = load(self.path, self.name)
                self._shelf.put(self.id, audio)
            return audio

    @cached_property
    def sha256(self) -> str:
        """Hash of the bytes of its file."""
        return file_hash(self.path)

    @cached_property
    def outline(self) -> bytes:
        """The waveform, first all lowest, then all highest values."""
        return waveform(self.audio).tobytes()

    @property
    def block(self) -> int:
        """Samples in each block of audio."""
        return max(1, round(_BLOCK_SECONDS * self.sample_rate))

    def sound(self, index: int) -> tuple[bytes, float] | None:
        """Return a block of the recording as it is, in the form of `Model.sound`."""
        start = index * self.block
        if not 0 <= start < self.n_samples:
            return None
        return sixteen_bits(self.audio.samples[None, :, start : start + self.block])

    def told(self) -> dict[str, Any]:
        """Return what a page needs to know."""
        return {
            "id": self.id,
            "name": self.name,
            "duration": self.duration,
            "sample_rate": self.sample_rate,
            "channels": self.n_channels,
            "samples": self.n_samples,
            "block": self.block,
        }


def _stamp(path: Path) -> tuple[int, int]:
    status = require_file(path).stat()
    return status.st_size, status.st_mtime_ns


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
    samples = np.concatenate(blocks, axis=1)
    return Audio(samples, file.sample_rate, path, file.subtype, file.tags)


def sixteen_bits(stems: NDArray[np.float32]) -> tuple[bytes, float]:
    """Return stems, (n_stems, n_channels, n), for a page, and what full scale stands for."""
    if stems.shape[1] > 2:
        stems = np.stack([stems[:, 0::2].mean(axis=1), stems[:, 1::2].mean(axis=1)], axis=1)
    scale = float(np.abs(stems).max(initial=0)) or 1.0
    pcm: NDArray[np.int16] = np.round(stems * np.float32(_PCM / scale)).astype("<i2")
    return pcm.tobytes(), scale
