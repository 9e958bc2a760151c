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
from audionmf.spectra.frames import Progress
from audionmf.spectra.stft import STFT
from audionmf.studio.views import Spectrogram, waveform

__all__ = ["KEPT_BYTES", "Recording", "Shelf", "load", "sixteen_bits"]

KEPT_BYTES = 1 << 30
"""Samples and pictures that a studio keeps in memory, all recordings together."""

_MAX_VALUES = 1 << 29
_BLOCK_SECONDS = 0.25
_PCM = 32767


class Shelf:
    """What was used last of recordings, up to a bound; what was not used longest goes.

    Parameters
    ----------
    n_bytes : int, default KEPT_BYTES
        Bytes of all together. What was used last stays, however large it is.
    """

    def __init__(self, n_bytes: int = KEPT_BYTES) -> None:
        self._n_bytes = n_bytes
        self._kept: dict[str, tuple[Any, int]] = {}
        self._lock = threading.Lock()

    @property
    def n_bytes(self) -> int:
        """Bytes that are in memory now."""
        with self._lock:
            return self._held()

    def take(self, key: str) -> Any | None:
        """Return what lies under a key, which is the last used one now; None if it went."""
        with self._lock:
            found = self._kept.pop(key, None)
            if found is None:
                return None
            self._kept[key] = found
            return found[0]

    def put(self, key: str, item: Any, n_bytes: int) -> None:
        """Keep something; what was not used longest goes until all fit."""
        with self._lock:
            self._kept.pop(key, None)
            self._kept[key] = (item, n_bytes)
            while self._held() > self._n_bytes and len(self._kept) > 1:
                del self._kept[next(iter(self._kept))]

    def _held(self) -> int:
        return sum(n_bytes for _, n_bytes in self._kept.values())


class Recording:
    """A recording that was opened; samples and picture are made again when they are needed again.

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
        self.drawn: dict[str, Any] | None = None
        self._shelf, self._lock, self._drawing = shelf, threading.Lock(), threading.Lock()
        self._stamp = _stamp(path)
        audio = load(path, name)
        self.sample_rate, self.duration = audio.sample_rate, audio.duration
        self.n_channels, self.n_samples = audio.n_channels, audio.n_samples
        shelf.put(self.id, audio, audio.samples.nbytes)

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
            raise AudioReadError(f"{self.name!r} has changed since it was opened; open it again")

    @property
    def audio(self) -> Audio:
        """The samples, read again if they are no longer in memory.

        Raises
        ------
        FileNotFoundError, AudioReadError
            If the file went, or is another one now.
        """
        with self._lock:
            audio: Audio | None = self._shelf.take(self.id)
            if audio is None:
                self.require_unchanged()
                audio = load(self.path, self.name)
                self._shelf.put(self.id, audio, audio.samples.nbytes)
            return audio

    def draw(self, stft: STFT, progress: Progress) -> Spectrogram:
        """Draw the spectrogram, once; what a page needs to know of it is `drawn` then."""
        self._stft = stft
        picture = Spectrogram.of(self.audio, stft, progress)
        self.drawn = picture.told()
        self._shelf.put(f"{self.id} drawn", picture, picture.n_bytes)
        return picture

    def tile(self, level: int, index: int) -> bytes | None:
        """Return a tile of the spectrogram as `Spectrogram.tile` does; None where none was drawn.

        Raises
        ------
        FileNotFoundError, AudioReadError
            If it has to be drawn again, and the file went or is another one now.
        """
        if self.drawn is None:
            return None
        with self._drawing:
            picture: Spectrogram | None = self._shelf.take(f"{self.id} drawn")
            if picture is None:
                picture = self.draw(self._stft, lambda *_: None)
        return picture.tile(level, index)

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
