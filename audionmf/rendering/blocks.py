"""Render: a mixture and a decomposition give stems, block by block.

Only a few blocks are in memory at a time; a short recording is the one-block case. Blocks are
rendered by several threads and joined in order, so that the stems do not depend on how many there
are. The last stem is what the others leave, so that they sum to the mixture.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audionmf.errors import ParameterError, TemplateMismatchError
from audionmf.io.audio import Audio, Samples, Source
from audionmf.nmf.solver import thread_count
from audionmf.rendering.decomposition import Decomposition
from audionmf.rendering.trust import BlockTrust, TrustMeter, block_trust
from audionmf.settings import CPU
from audionmf.sources.known import one_and_rest
from audionmf.spectra.consistency import consistent_parts, phase_reach
from audionmf.spectra.device import stft_on
from audionmf.spectra.frames import Progress, describe_source, pooled_magnitude
from audionmf.spectra.in_order import in_order
from audionmf.spectra.masks import BY_PRODUCTS
from audionmf.spectra.neighbours import with_margins
from audionmf.spectra.spatial import wiener_filter
from audionmf.spectra.stft import Transform

BLOCK_FRAMES = 64
"""Frames that a thread renders at a time: they are most of what hours of sound need in memory."""

__all__ = ["render_blocks", "render_span", "rendered_blocks", "stem_names"]


def stem_names(decomposition: Decomposition, only: str | None = None) -> list[str]:
    """Return the names of the stems that are rendered: all sources, or one and the rest.

    Raises
    ------
    ParameterError
        If there is no source `only`, or it is called like the rest.
    """
    names = decomposition.source_names
    return names if only is None else one_and_rest(names, only)


def render_blocks(
    source: Source,
    decomposition: Decomposition,
    progress: Progress,
    only: str | None = None,
    trust: TrustMeter | None = None,
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
    only : str, optional
        Render this source and the rest, instead of all sources.
    trust : TrustMeter, optional
        Told about every block.

    Yields
    ------
    ndarray, shape (n_stems, n_channels, n), float32
        The next samples of the stems of `stem_names`; they sum to the recording.

    Raises
    ------
    TemplateMismatchError
        If the recording has another sample rate than the templates, or, as a file, another length
        than the recording that was analysed.
    ParameterError
        If it has another length in memory, or there is no source `only`.
    """
    names, wanted = decomposition.source_names, stem_names(decomposition, only)
    rendered = [names.index(name) for name in wanted[:-1]]
    for stems, mixture in rendered_blocks(source, decomposition, rendered, progress, trust):
        block = np.empty((len(wanted), *stems.shape[1:]), np.float32)
        block[:-1] = stems
        np.sum(stems, axis=0, out=block[-1])
        np.subtract(mixture, block[-1], out=block[-1])
        yield block


def rendered_blocks(
    source: Source,
    decomposition: Decomposition,
    rendered: list[int],
    progress: Progress,
    trust: TrustMeter | None = None,
    most: float = 1.0,
) -> Iterator[tuple[Samples, Samples]]:
    """Yield some sources of a recording block by block, and what the recording has there.

    Parameters
    ----------
    source, decomposition, progress, trust
        As in `render_blocks`.
    rendered : list of int
        Which of the decomposition's `source_names`.
    most : float, default 1
        Most of a bin that each of them gets, 0 to 1; not for a decomposition with places in stereo.

    Yields
    ------
    ndarray, shape (n_rendered, n_channels, n), float32
        The next samples of these sources.
    ndarray, shape (n_channels, n), float32
        The samples of the recording, as they are.

    Raises
    ------
    TemplateMismatchError, ParameterError
        As in `render_blocks`.
    """
    templates, n_samples = decomposition.templates, decomposition.mixture.n_samples
    templates.require(source.sample_rate, None, describe_source(source))
    if isinstance(source, Audio) and source.n_samples != n_samples:
        raise ParameterError(
            f"{describe_source(source)} has {source.n_samples} samples, the recording that was "
            f"analysed {n_samples}; analyse this one first"
        )
    waiting = _Queue()
    stft = stft_on(templates.stft, decomposition.settings.device)
    size = max(BLOCK_FRAMES, stft.least_frames)
    transforms = stft.forward_later(waiting.through(source.blocks()), size)
    stream = templates.stft.inverse_stream(n_samples)
    threads = thread_count(decomposition.settings.n_threads)
    work = partial(_synthesise, decomposition, rendered, most=most, judged=trust is not None)
    n_done = 0
    for synthesised, block in in_order(
        work, _numbered(transforms, size, _reach(decomposition)), threads
    ):
        if trust is not None and block is not None:
            trust.add(block)
        stems = stream.push(synthesised)
        mixture = waiting.take(stems.shape[-1])
        n_done += mixture.shape[-1]
        progress("render", n_done / n_samples)
        yield stems, mixture
    if waiting.n_seen != n_samples:
        raise TemplateMismatchError(
            f"{describe_source(source)} has {waiting.n_seen} samples, the recording that was "
            f"analysed {n_samples}; analyse this one first"
        )


def render_span(
    source: Audio,
    decomposition: Decomposition,
    start: int,
    stop: int,
    only: Sequence[int] | None = None,
) -> NDArray[np.float32]:
    """Render some samples alone: those that `render_blocks` would give there, but for rounding.

    Parameters
    ----------
    source : Audio
        The recording.
    decomposition : Decomposition
        Templates and grouping.
    start, stop : int
        The first sample, and the one after the last.
    only : sequence of int, optional
        Which of the decomposition's `source_names`, in less time. Default: all.

    Returns
    -------
    ndarray, shape (n_stems, n_channels, stop - start), float32
        The stems; those of all sources sum to the recording.

    Raises
    ------
    ParameterError
        If the samples are not all inside the recording, or there is no such source.
    """
    stft, n_samples = decomposition.templates.stft, source.n_samples
    if not 0 <= start < stop <= n_samples:
        raise ParameterError(f"samples {start} to {stop} are not inside the {n_samples} there are")
    n_sources = len(decomposition.source_names)
    if only is not None and not all(0 <= j < n_sources for j in only):
        raise ParameterError(f"sources are numbered from 0 to {n_sources - 1} here")
    margin = -(-stft.span // (2 * stft.hop_length))
    n_frames, reach = stft.n_frames(n_samples), _reach(decomposition)
    first = max(0, start // stft.hop_length - margin)
    last = min(n_frames, -(-stop // stft.hop_length) + margin + 1)
    begin, end = max(0, first - reach), min(n_frames, last + reach)
    X = stft.forward_between(source.samples, begin, end)
    rendered = list(range(n_sources - 1) if only is None else only)
    margins = (first - begin, end - last)
    synthesised, _ = _stems(decomposition, rendered, (first, X, margins))
    stems = stft.inverse_between(synthesised, first, start, stop, n_samples)
    if only is not None:
        return stems
    rest = source.samples[:, start:stop] - stems.sum(axis=0)
    return np.concatenate([stems, rest[None]])


def _reach(decomposition: Decomposition) -> int:
    """Return the frames of margin that a frame of the stems depends on."""
    phases = decomposition.settings.phase == "consistent"
    return decomposition.reach + (phase_reach(decomposition.templates.stft) if phases else 0)


def _synthesise(
    decomposition: Decomposition,
    rendered: list[int],
    numbered: tuple[int, Callable[[], Transform], tuple[int, int]],
    *,
    most: float = 1.0,
    judged: bool = True,
) -> tuple[Samples, BlockTrust | None]:
    """Return overlap-added frames of some sources, (n_rendered, n_channels, n), and their trust."""
    first, later, margins = numbered
    stems, judge = _stems(decomposition, rendered, (first, later(), margins), most=most)
    return stems, judge() if judged else None


def _stems(
    decomposition: Decomposition,
    rendered: list[int],
    numbered: tuple[int, Transform, tuple[int, int]],
    *,
    most: float = 1.0,
) -> tuple[Samples, Callable[[], BlockTrust]]:
    """Return as `_synthesise`, and what tells the trust: a seventh of the time, where it is asked."""
    first, X, (before, after) = numbered
    stft, begin = decomposition.templates.stft, first - before
    cut = _cut(decomposition, begin, X.shape[-1])
    heeded = pooled_magnitude(X) if decomposition.heeds else None
    V = np.broadcast_to(np.float32(np.nan), X.shape[1:]) if heeded is None else heeded
    models = decomposition.source_models(begin + cut[0], V, cut)
    masks = functools.cache(lambda: decomposition.masks(models))
    X = _without(X, cut)
    margins = (before - cut[0], after - cut[1])
    length = (X.shape[-1] - sum(margins) - 1) * stft.hop_length + stft.span
    made = [np.empty((0, len(X), length), np.float32)]
    if rendered:
        on = stft_on(stft, decomposition.settings.device)
        made.clear()
        for parts, mask in _parts(
            decomposition, rendered, X, models, masks, first - margins[0], most
        ):
            mask = None if mask is None else _without(mask, margins)
            made.append(on.synthesise(_without(parts, margins), mask=mask))
    stems = made[0] if len(made) == 1 else np.concatenate(made)

    def judge() -> BlockTrust:
        V = pooled_magnitude(X) if heeded is None else _without(heeded, cut)
        exponent = _quick_exponent(decomposition)
        told = _without(masks(), margins) if exponent is None else exponent
        return block_trust(_without(V, margins), _without(models, margins), told)

    return stems, judge


def _parts(
    decomposition: Decomposition,
    rendered: list[int],
    X: Transform,
    models: NDArray[np.float32],
    masks: Callable[[], NDArray[np.float32]],
    begin: int,
    most: float,
) -> Iterator[tuple[Transform, NDArray[np.float32] | None]]:
    """Yield the parts of rendered sources in X, whose first frame is number `begin`, some at a time.

    A part may come as X with a mask: the inverse multiplies it in passing.
    """
    covariances = None if decomposition.covariances is None else decomposition.source_covariances()
    if decomposition.settings.phase == "consistent":
        # All parts are wanted. The shares are as good as powers, and cannot leave the type's range.
        if covariances is None:
            parts = X * _capped(masks(), most)[:, None]
        else:
            parts = wiener_filter(X, masks(), covariances)
        stft = decomposition.templates.stft
        start = begin * stft.hop_length - stft.n_fft // 2
        inside = (-start, decomposition.mixture.n_samples - start)
        parts = consistent_parts(X, parts, masks(), stft, inside)
        yield from ((parts[j][None], None) for j in rendered)
        return
    if covariances is None:
        capped = _capped(masks(), most)
        yield from ((X[None], capped[j]) for j in rendered)
        return
    exponent = _quick_exponent(decomposition)
    powers = masks() if exponent is None else models
    yield wiener_filter(X, powers, covariances, rendered, exponent), None


def _quick_exponent(decomposition: Decomposition) -> float | None:
    """Return the exponent by which masks come of models in passing; None where they need more."""
    config = decomposition.settings
    plain = config.mask == "wiener" and config.device == CPU and decomposition.margin is None
    return config.mask_exponent if plain and config.mask_exponent in BY_PRODUCTS else None


def _capped(masks: NDArray[np.float32], most: float) -> NDArray[np.float32]:
    return masks if most == 1 else np.minimum(masks, np.float32(most))


def _cut(decomposition: Decomposition, begin: int, n_frames: int) -> tuple[int, int]:
    """Return how many frames at each end are there for the models alone: none at the true ends."""
    last = decomposition.templates.stft.n_frames(decomposition.mixture.n_samples)
    reach = decomposition.reach
    return reach if begin > 0 else 0, reach if begin + n_frames < last else 0


def _without(array: Any, margins: tuple[int, int]) -> Any:
    """Return frames without those of the margins."""
    return array[..., margins[0] : array.shape[-1] - margins[1]]


class _Queue:
    """Keeps the samples that went into the transform until their stems come out of it."""

    def __init__(self) -> None:
        self._blocks: deque[Samples] = deque()
        self.n_seen = 0

    def through(self, blocks: Iterable[Samples]) -> Iterator[Samples]:
        for block in blocks:
            self._blocks.append(block)
            self.n_seen += block.shape[1]
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


def _numbered(
    blocks: Iterable[Callable[[], Transform]], size: int, reach: int
) -> Iterator[tuple[int, Callable[[], Transform], tuple[int, int]]]:
    """Yield the place of the first frame behind the margin, what gives the frames, and their margins.

    Without margins they are transformed by whoever works on them.
    """
    if not reach:
        yield from ((i * size, later, (0, 0)) for i, later in enumerate(blocks))
        return
    first = 0
    for X, before, after in with_margins((later() for later in blocks), reach):
        yield first, partial(_identity, X), (before, after)
        first += X.shape[-1] - before - after


def _identity(X: Transform) -> Transform:
    return X
