"""Stems that were rendered once, on disk: to be heard from any place at once, and exported as they are.

What is heard of a model whose parts are whole sources cannot be computed block by block while it is
played: the sources may be known by thousands of templates. One file of floats holds all stems, in
the blocks in which they are played.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audionmf.io.audio import Audio
from audionmf.rendering.decomposition import Decomposition
from audionmf.rendering.trust import Trust, TrustMeter
from audionmf.separation.separating import stem_blocks
from audionmf.spectra.frames import BLOCK_FRAMES, Progress, heard, pooled_magnitude
from audionmf.studio.recordings import Recording

__all__ = ["Stems"]


class Stems:
    """The stems of a recording, (n_stems, n_channels, n_samples), float32.

    Parameters
    ----------
    recording : Recording
        What they are stems of.
    found : Decomposition
        What they are rendered from.
    folder : path
        Where their file lies.
    """

    def __init__(self, recording: Recording, found: Decomposition, folder: Path) -> None:
        self._recording, self._found = recording, found
        self._path = folder / f"{secrets.token_hex(8)}.stems"
        self._lock = threading.Lock()
        self.names = tuple(found.source_names)
        self.trust: Trust | None = None

    @property
    def n_bytes(self) -> int:
        """Bytes on the disk."""
        return self._path.stat().st_size if self._path.exists() else 0

    def drop(self) -> None:
        """Give the disk back; they are rendered again when they are needed again."""
        with self._lock:
            self._path.unlink(missing_ok=True)

    def render(self, progress: Progress | None = None) -> None:
        """Render them if they are not there.

        Raises
        ------
        OSError
            If the disk is full; then there is no part of them.
        """
        with self._lock:
            if self._path.exists():
                return
            meter = TrustMeter.of(self._found)
            audio = self._recording.audio
            partial = self._path.with_suffix(".partial")
            try:
                with partial.open("wb") as file:
                    blocks = stem_blocks(audio, self._found, progress, meter=meter)
                    for block in _cut(blocks, self._recording.block):
                        file.write(np.ascontiguousarray(block, "<f4").tobytes())
                partial.rename(self._path)
            finally:
                partial.unlink(missing_ok=True)
            self.trust = meter.result()

    def block(self, index: int) -> NDArray[np.float32] | None:
        """Return a block as it is played, (n_stems, n_channels, n); None where there is none."""
        recording = self._recording
        start = index * recording.block
        if not 0 <= start < recording.n_samples:
            return None
        self.render()
        each = len(self.names) * recording.n_channels
        n = min(recording.block, recording.n_samples - start)
        with self._lock, self._path.open("rb") as file:
            file.seek(4 * each * start)
            values = np.frombuffer(file.read(4 * each * n), "<f4")
        return values.reshape(len(self.names), recording.n_channels, n)

    def blocks(self, groups: Sequence[Sequence[int]]) -> Iterator[NDArray[np.float32]]:
        """Yield blocks of sums of stems, (n_groups, n_channels, n), from the start."""
        index = 0
        while (block := self.block(index)) is not None:
            yield np.stack([block[list(group)].sum(axis=0) for group in groups])
            index += 1

    def audio(self, index: int) -> Audio:
        """Return one of the stems whole."""
        blocks = [block[0] for block in self.blocks([[index]])]
        return Audio(np.concatenate(blocks, axis=1), self._recording.sample_rate)

    def outlines(
        self, progress: Progress | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return what is drawn of the stems.

        Returns
        -------
        spectra : ndarray, shape (n_bins, n_stems)
            The mean magnitude of each, scaled so that the sum over its bins is 1.
        courses : ndarray, shape (n_stems, n_frames)
            The sum of its magnitudes in each frame.
        """
        stft, report = self._found.templates.stft, heard(progress)
        n_frames = stft.n_frames(self._recording.n_samples)
        spectra = np.zeros((stft.n_bins, len(self.names)), np.float32)
        courses = np.zeros((len(self.names), n_frames), np.float32)
        for k in range(len(self.names)):
            n_done = 0
            own = (block[0] for block in self.blocks([[k]]))
            for X in stft.forward_blocks(own, BLOCK_FRAMES):
                V = pooled_magnitude(X)
                spectra[:, k] += V.sum(axis=1)
                courses[k, n_done : n_done + V.shape[1]] = V.sum(axis=0)
                n_done += V.shape[1]
            report("draw", (k + 1) / len(self.names))
        totals = spectra.sum(axis=0)
        return spectra / np.maximum(totals, np.finfo(np.float32).tiny), courses

    def told(self) -> list[str]:
        """Return how far each is to be trusted, in words."""
        return [self.trust.words(name) if self.trust else "" for name in self.names]


def _cut(blocks: Iterator[NDArray[Any]], size: int) -> Iterator[NDArray[Any]]:
    """Cut blocks of any lengths into blocks of one length; the last may be shorter."""
    held: list[NDArray[Any]] = []
    n_held = 0
    for block in blocks:
        held.append(block)
        n_held += block.shape[-1]
        if n_held < size:
            continue
        joined = np.concatenate(held, axis=-1)
        whole = n_held - n_held % size
        for start in range(0, whole, size):
            yield joined[..., start : start + size]
        held, n_held = [joined[..., whole:]], n_held - whole
    if n_held:
        yield np.concatenate(held, axis=-1)
