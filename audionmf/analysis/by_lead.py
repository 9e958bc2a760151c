"""Take a leading voice out of its accompaniment: it has one pitch at a time, and moves smoothly.

The voice is that of `voice_model`; everything else goes to free components, the accompaniment. Both
are fitted together, channels side by side. They see bands, which are a fifth of the bins and less: of a
long recording these are all that is kept, and where sources stand in stereo is learnt from frames that
are spread over it.

Then components of the mixture alone have their say in the masks (`component_votes`). They know what
sounds together, and what sounds alike, where the melody was followed wrongly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audionmf.analysis.component_votes import left_by, with_voters
from audionmf.analysis.voice_model import VoiceSpectra, rows_of
from audionmf.errors import LimitError, ParameterError
from audionmf.io.audio import Source, warn_if_unusual
from audionmf.nmf import State
from audionmf.nmf.models import SourceModel, Spectra
from audionmf.nmf.solver import Callback, thread_count
from audionmf.nmf.sums import Fitted, fit_sum
from audionmf.nmf.voice import Voice
from audionmf.rendering.decomposition import Decomposition, Mixture
from audionmf.rendering.grouping import by_label
from audionmf.settings import Settings
from audionmf.sources.known import ACCOMPANIMENT, LEAD
from audionmf.sources.templates import Templates
from audionmf.spectra.bands import Bands
from audionmf.spectra.blas import blas_threads
from audionmf.spectra.frames import (
    BLOCK_FRAMES,
    Counter,
    Frames,
    Progress,
    describe_source,
    gather,
    pooled_magnitude,
)
from audionmf.spectra.stft import STFT, Transform

__all__ = ["analyse_lead"]

Matrix = NDArray[np.floating[Any]]

_WHOLE_FRAMES, _PLACED_FRAMES, _VOTING_FRAMES = 16384, 4096, 2048
_MOST_FRAMES = 65536
_COMPONENTS = 20
_ITERATIONS = 8
_VOICE_START = 0.3
_DRAW, _FOLLOWED = 3.0, 0.75
"""Without examples others tell more of a component than it does by itself."""


def analyse_lead(
    source: Source,
    settings: Settings,
    progress: Progress,
    watch: Callback | None = None,
    *,
    names: tuple[str, ...] = (LEAD, ACCOMPANIMENT),
) -> Decomposition:
    """Find the leading voice of a recording.

    Parameters
    ----------
    source : Audio or AudioFile
        The mixture.
    settings : Settings
        Options; ``n_components`` is the number of components of the accompaniment (20), and there
        are 8 iterations with momentum, or ``max_iter`` if that is fewer: more let the accompaniment
        take the voice; without ``exemplars``, as with quality "fast", components of the mixture
        have no say.
    progress : callable
        Told the stage and the share done.
    watch : callable, optional
        Called with the `nmf.State` after each iteration; returning True ends the fit.
    names : (str, str), default ("lead", "accompaniment")
        What the voice is called, and all else.

    Returns
    -------
    Decomposition
        With these two sources; ``keys`` are those of the melody.

    Raises
    ------
    LimitError
        If the recording has more than 65536 frames, 25 minutes by default.
    ParameterError
        If another β than 1 is asked for.
    """
    if settings.beta != 1:
        raise ParameterError("a lead is found under beta 1 only; leave beta out")
    rate = source.sample_rate
    stft = STFT(settings.n_fft_at(rate), settings.hop_length_at(rate), settings.window)
    _check_length(stft.n_frames(source.n_samples), source)
    stereo = source.n_channels == 2
    known = VoiceSpectra.of(stft, rate)
    read = _read(source, stft, known.bands, settings, partial(progress, "read"))
    level = read.level
    voice, back = _start(read.V, known, known.held(read.pooled), settings)
    fitted = _fitted(read.V, [voice, back], settings, progress, watch)
    sung, courses, keys = known.components(voice)
    rest = _unbanded(back, known, read.sums, len(voice.gains))
    W = np.concatenate([sung, rest], axis=1)
    H = np.concatenate([courses, back.activations.T])
    n_back = len(back.rows)
    keys = (*keys, *[-1] * n_back)
    lead, accompaniment = names
    labels = (lead,) * (len(keys) - n_back) + (accompaniment,) * n_back
    templates = Templates(W, labels, stft, rate)
    grouping = by_label(templates)
    found = Decomposition(
        templates=templates,
        grouping={name: grouping.get(name, ()) for name in names},
        settings=settings,
        mixture=Mixture.of(source, read.n_samples),
        divergence=fitted.divergence * level,
        reason=fitted.reason,
        activations=H * np.float32(level),
        remarks=(known.told(voice),),
        keys=keys,
    )
    if settings.exemplars and len(back.rows) < len(keys) and read.sums.any():
        found = _voted(found, source, H * np.float32(level), progress)
    if not stereo or not settings.spatial or not read.sums.any():
        return found
    X = read.X
    if X is None:
        spread = gather(source, stft, _PLACED_FRAMES, keep_transform=True, warn=False)
        X, H = spread.X, np.ascontiguousarray(H[:, :: spread.step])
    return found if X is None else found.with_covariances(X, H, progress)


def _voted(
    found: Decomposition, source: Source, H: NDArray[np.float32], progress: Progress
) -> Decomposition:
    """Let components of the mixture alone have their say in the masks.

    The accompaniment is all that is left, as free components are.
    """
    stft, threads = found.templates.stft, thread_count(found.settings.n_threads)
    spread = gather(source, stft, _VOTING_FRAMES, n_threads=threads, warn=False)
    H = np.ascontiguousarray(H[:, :: spread.step])
    with blas_threads(1):  # what is left must not depend on how many there are
        left = left_by(spread.V, found.templates.templates, H)
    return with_voters(
        found, source, spread.V, H, left=left, sounds={}, examples=[None] * len(found.grouping),
        free=True, progress=progress, draw=_DRAW, followed=_FOLLOWED,
    )  # fmt: skip


def _check_length(n_frames: int, source: Source) -> None:
    if n_frames > _MOST_FRAMES:
        raise LimitError(
            f"{describe_source(source)} has more than the {_MOST_FRAMES} frames in which a lead is "
            "found (25 minutes by default); cut it, or take a larger hop"
        )


@dataclass(frozen=True, eq=False)
class _Read:
    """What is kept of a recording: bands, channels one below the other and pooled, over `level`.

    `sums` are those of the bins over all frames; X is there where the recording is not long.
    """

    V: NDArray[np.float32]
    pooled: NDArray[np.float32]
    sums: NDArray[np.float64]
    X: Transform | None
    level: float
    n_samples: int


def _read(
    source: Source,
    stft: STFT,
    bands: Bands,
    settings: Settings,
    progress: Callable[[float], object],
) -> _Read:
    n_threads = thread_count(settings.n_threads)
    if stft.n_frames(source.n_samples) > _WHOLE_FRAMES:
        return _read_in_blocks(source, stft, bands, n_threads, progress)
    stereo = source.n_channels == 2
    frames = gather(
        source, stft, _MOST_FRAMES, keep_transform=stereo, n_threads=n_threads, progress=progress
    )
    # A header may promise less than there is.
    _check_length(stft.n_frames(frames.n_samples), source)
    V, level = _banded(frames, bands)
    pooled = bands.pool(frames.V * np.float32(1 / level))
    sums = frames.V.sum(axis=1, dtype=np.float64)
    return _Read(V, pooled, sums, frames.X, level, frames.n_samples)


def _read_in_blocks(
    source: Source,
    stft: STFT,
    bands: Bands,
    n_threads: int,
    progress: Callable[[float], object],
) -> _Read:
    """Read a long recording, and keep its bands alone."""
    counter = Counter(source)
    stacked, pooled = [], []
    sums, n_frames, peak = np.zeros(stft.n_bins), 0, 0.0
    blocks = stft.forward_blocks(counter.blocks(), max(BLOCK_FRAMES, stft.least_frames), n_threads)
    for X in blocks:
        V = pooled_magnitude(X)
        channels = [np.abs(channel) for channel in X] if len(X) == 2 else [V]
        stacked.append(np.concatenate([bands.pool(channel) for channel in channels]))
        pooled.append(bands.pool(V))
        sums += V.sum(axis=1, dtype=np.float64)
        peak, n_frames = max(peak, float(V.max())), n_frames + V.shape[1]
        _check_length(n_frames, source)
        progress(min(1.0, counter.n_samples / source.n_samples))
    warn_if_unusual(describe_source(source), counter.n_samples, stft.n_fft, counter.peak)
    level = _level(peak)
    whole = [np.concatenate(parts, axis=1) for parts in (stacked, pooled)]
    for array in whole:
        array *= np.float32(1 / level)
    return _Read(whole[0], whole[1], sums, None, level, counter.n_samples)


def _level(peak: float) -> float:
    """Return the power of two that brings a peak near 1; 1 for silence."""
    return float(2.0 ** np.clip(np.floor(np.log2(peak)), -120, 120)) if peak > 0 else 1.0


def _banded(frames: Frames, bands: Bands) -> tuple[NDArray[np.float32], float]:
    """Return magnitudes summed over bands, channels one below the other, and what they are over."""
    level = _level(float(frames.V.max()))
    factor = np.float32(1 / level)
    if frames.X is None:
        return bands.pool(frames.V * factor), level
    n_channels, _, n_frames = frames.X.shape
    V = np.empty((n_channels, len(bands.edges), n_frames), np.float32)
    for first in range(0, n_frames, BLOCK_FRAMES):
        block = slice(first, first + BLOCK_FRAMES)
        for channel, X in zip(V, frames.X, strict=True):
            channel[:, block] = bands.pool(np.abs(X[:, block] * factor))
    return V.reshape(-1, n_frames), level


def _fitted(
    V: NDArray[np.float32],
    models: Sequence[SourceModel],
    settings: Settings,
    progress: Progress,
    watch: Callback | None,
) -> Fitted:
    def callback(state: State) -> bool | None:
        progress("factorise", state.iteration / state.max_iter)
        return watch(state) if watch else None

    return fit_sum(
        V, models, max_iter=min(_ITERATIONS, settings.max_iter), accelerated=True,
        n_threads=thread_count(settings.n_threads), callback=callback,
    )  # fmt: skip


def _start(
    V: NDArray[np.float32], known: VoiceSpectra, held: NDArray[np.bool_], settings: Settings
) -> tuple[Voice, Spectra]:
    """Return the voice, and the accompaniment, as they start."""
    count = settings.n_components or _COMPONENTS
    rng = np.random.default_rng(settings.seed)
    level = V.sum(axis=0)
    W = 0.5 + rng.random((len(V), count))
    H = (0.5 + rng.random((count, V.shape[1]))) * level * ((1 - _VOICE_START) / count)
    voice = known.voice(V, held, rng, _VOICE_START)
    return voice, Spectra(rows_of(W / W.sum(axis=0)), rows_of(H), free=True)


def _unbanded(
    back: Spectra, known: VoiceSpectra, sums: NDArray[np.float64], n_channels: int
) -> NDArray[np.float32]:
    """Return the spectra of the accompaniment, (n_bins, n_components).

    Channels are pooled as magnitudes are, and bands are spread over their bins as V is, whose sums
    over the frames are `sums`.
    """
    widths = known.widths
    stacked = back.rows.T.reshape(n_channels, len(widths), -1)
    pooled = np.sqrt(np.square(stacked, dtype=np.float64).mean(axis=0))
    totals = np.repeat(np.add.reduceat(sums, known.bands.edges), widths)
    even = 1 / np.repeat(widths, widths)
    shares = np.divide(sums, totals, out=even, where=totals > 0)
    spread: NDArray[np.float32] = (np.repeat(pooled, widths, axis=0) * shares[:, None]).astype(
        np.float32
    )
    return spread
