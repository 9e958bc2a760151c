"""Render: a mixture and a decomposition give stems, block by block.

Only a few blocks are in memory at a time; a short recording is the one-block case. Blocks are
rendered by several threads and joined in order, so that the stems do not depend on how many there
are. The last stem is what the others leave, so that they sum to the mixture.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audionmf.audio import Audio, Samples, Source
from audionmf.decomposition import Decomposition
from audionmf.errors import ParameterError
from audionmf.frontend import BLOCK_FRAMES, Progress, describe_source, pooled_magnitude
from audionmf.masks import ratio_masks
from audionmf.nmf.solver import thread_count
from audionmf.spatial import wiener_filter
from audionmf.stft import InverseStream, Transform

__all__ = ["render_blocks"]


def render_blocks(
    source: Source, decomposition: Decomposition, progress: Progress
) -> Iterator[NDArray[np.float32]]:
    """Yield the stems of a recording block by block.

    Parameters
    ----------
    source : Audio or AudioFile
        The recording.
    decomposition : Decomposition
        Templates and grouping.
    progress : callable
        Told the stage and the share done.

    Yields
    ------
    ndarray, shape (n_sources, n_channels, n), float32
        The next samples of every source; the sources sum to the recording.

    Raises
    ------
    TemplateMismatchError
        If the recording has another sample rate than the templates.
    """
    templates, n_samples = decomposition.templates, decomposition.mixture.n_samples
    templates.require(source.sample_rate, None, describe_source(source))
    if isinstance(source, Audio) and source.n_samples != n_samples:
        raise ParameterError(
            f"{describe_source(source)} has {source.n_samples} samples, the recording that was "
            f"analysed {n_samples}; analyse this one first"
        )
    waiting = _Queue()
    transforms = templates.stft.forward_blocks(waiting.through(source.blocks()), BLOCK_FRAMES)
    stream = InverseStream(templates.stft, n_samples)
    threads = thread_count(decomposition.settings.n_threads)
    n_done = 0
    for synthesised in _in_order(
        partial(_synthesise, decomposition), _numbered(transforms), threads
    ):
        stems = stream.push(synthesised)
        mixture = waiting.take(stems.shape[-1])
        n_done += mixture.shape[-1]
        progress("render", n_done / n_samples)
        yield np.concatenate([stems, (mixture - stems.sum(axis=0))[None]])


def _synthesise(decomposition: Decomposition, numbered: tuple[int, Transform]) -> Samples:
    """Return overlap-added frames of all sources but the last, (n_sources - 1, n_channels, n)."""
    first, X = numbered
    stft, n_frames = decomposition.templates.stft, X.shape[-1]
    n_sources = len(decomposition.grouping)
    length = (n_frames - 1) * stft.hop_length + stft.n_fft
    stems = np.empty((n_sources - 1, len(X), length), np.float32)
    if n_sources == 1:
        return stems
    if decomposition.activations is None:
        H = decomposition.activate(pooled_magnitude(X), 1)
    else:
        H = decomposition.activations[:, first : first + n_frames]
    models, exponent = decomposition.models(H), decomposition.settings.mask_exponent
    masks = ratio_masks(models, exponent)
    if decomposition.covariances is None:
        for stem, mask in zip(stems, masks, strict=False):
            stem[...] = stft.synthesise(X * mask)
    else:
        # The shares are as good as powers here, and cannot leave the range of the type.
        parts = wiener_filter(X, masks, decomposition.covariances)
        for stem, part in zip(stems, parts, strict=False):
            stem[...] = stft.synthesise(part)
    return stems


class _Queue:
    """Keeps the samples that went into the transform until their stems come out of it."""

    def __init__(self) -> None:
        self._blocks: deque[Samples] = deque()

    def through(self, blocks: Iterable[Samples]) -> Iterator[Samples]:
        for block in blocks:
            self._blocks.append(block)
            yield block

    def take(self, n: int) -> Samples:
        parts = []
        while n > 0 and self._blocks:
            block = self._blocks.popleft()
            parts.append(block[:, :n])
            if block.shape[1] > n:
                self._blocks.appendleft(block[:, n:])
            n -= parts[-1].shape[1]
        return np.concatenate(parts, axis=1) if parts else np.zeros((1, 0), np.float32)


def _numbered(transforms: Iterable[Transform]) -> Iterator[tuple[int, Transform]]:
    first = 0
    for X in transforms:
        yield first, X
        first += X.shape[-1]


def _in_order(
    function: Callable[[Any], Samples], items: Iterable[Any], n_threads: int
) -> Iterator[Samples]:
    """Apply `function` in threads, a few items ahead; results come in the order of the items."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(n_threads) as pool:
        pending: deque[Future[Samples]] = deque()
        try:
            for item in items:
                pending.append(pool.submit(function, item))
                if len(pending) > n_threads:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
