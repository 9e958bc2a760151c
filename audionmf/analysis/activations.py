"""Activations of a decomposition for every frame of its recording."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from audionmf.io.audio import Source
from audionmf.nmf.solver import thread_count
from audionmf.rendering.decomposition import Decomposition
from audionmf.spectra.frames import BLOCK_FRAMES, Progress, heard, pooled_magnitude
from audionmf.spectra.neighbours import with_margins

__all__ = ["with_activations"]


def with_activations(
    source: Source, found: Decomposition, progress: Progress | None = None
) -> Decomposition:
    """Return a decomposition with its activations for every frame of the recording.

    Parameters
    ----------
    source : Audio or AudioFile
        The recording that was analysed.
    found : Decomposition
        With activations already, it is returned as it is.
    progress : callable, optional
        Told the stage and the share done.
    """
    if found.activations is not None:
        return found
    n_frames = found.templates.stft.n_frames(found.mixture.n_samples)
    H = np.zeros((found.templates.n_components, n_frames), np.float32)
    n_done = 0
    for block in _activations(source, found, progress):
        H[:, n_done : n_done + block.shape[1]] = block
        n_done += block.shape[1]
    return dataclasses.replace(found, activations=H)


def _activations(
    source: Source, found: Decomposition, progress: Progress | None
) -> Iterator[NDArray[np.float32]]:
    """Yield the activations of a recording, block by block."""
    report, n_threads = heard(progress), thread_count(found.settings.n_threads)
    source = source.without_offset()
    n_done, n_frames = 0, found.templates.stft.n_frames(found.mixture.n_samples)
    blocks = found.templates.stft.forward_blocks(source.blocks(), BLOCK_FRAMES)
    for X, before, after in with_margins(blocks, found.reach):
        yield found.activate(pooled_magnitude(X), n_threads, n_done, (before, after))
        n_done += X.shape[-1] - before - after
        report("activate", n_done / n_frames)
