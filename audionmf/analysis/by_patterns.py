"""Analyse a mixture of struck sounds: one pattern a source, fitted by convolutive NMF.

A drum, a bell, a plucked string that is always the same: a sound with a course of its own, repeated.
Where every example is one such sound, a pattern of several frames says more than any number of
single frames, and it may adapt freely to the mixture, because what it may become is narrow.
"""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from audionmf.analysis.learning import half_window, pattern_lags
from audionmf.analysis.naming import named
from audionmf.analysis.patterns import blind_patterns, count_strokes
from audionmf.analysis.starts import spread_of, varied
from audionmf.errors import ParameterError
from audionmf.io.audio import Source
from audionmf.nmf import State
from audionmf.nmf.solver import Callback, thread_count
from audionmf.rendering.decomposition import Decomposition, Mixture
from audionmf.rendering.grouping import by_label
from audionmf.settings import Settings
from audionmf.sources.known import MOST_SOURCES, source_name
from audionmf.sources.struck import Patterns
from audionmf.sources.templates import Templates
from audionmf.spectra.frames import Frames, Progress, gather
from audionmf.spectra.harmonic import tonal_share
from audionmf.spectra.stft import STFT

if TYPE_CHECKING:
    from audionmf.nmf import convolutive

__all__ = ["analyse_struck", "analyse_struck_blind", "patterns_heard"]

_MAX_FRAMES = 16384
_FIXED_ITERATIONS = 50
_TRIED_ITERATIONS = 15
_REST_PATTERNS = 4
_MOST_TONAL = 0.35
_MOST_LEFT = 0.25
"""Most that patterns may leave unexplained after a few iterations: drums leave 0.04 to 0.19."""
_LEAST_PATTERN = 1e-7


def analyse_struck(
    patterns: Patterns,
    source: Source,
    settings: Settings,
    progress: Progress,
    *,
    rest: str = "",
    kit: bool = False,
) -> Decomposition | None:
    """Analyse a mixture by patterns of its sources, which adapt to it: one a source (`fused`).

    Parameters
    ----------
    patterns : Patterns
        Of all sources, at the rate of the mixture.
    source : Audio or AudioFile
        The mixture.
    settings : Settings
        Options.
    progress : callable
        Told the stage and the share done.
    rest : str, default ""
        Name of a source of free patterns, for what the others leave; none if empty.
    kit : bool, default False
        Not all of the sources need play: those that are `heard` get stems.

    Returns
    -------
    Decomposition or None
        None if the mixture has more than 16384 frames (3 minutes at 44.1 kHz): patterns need
        neighbouring frames, all of them in memory.
    """
    stft = patterns.stft
    threads = thread_count(settings.n_threads)
    if stft.n_frames(source.n_samples) > _most_frames(settings):
        return None
    single = len({*patterns.labels, *([rest] if rest else [])}) == 1
    spatial = settings.spatial and source.n_channels == 2 and not single
    frames = gather(
        source, stft, _MAX_FRAMES, keep_transform=spatial, n_threads=threads,
        progress=lambda done: progress("read", done),
    )  # fmt: skip
    if frames.step > 1:  # longer than its header said
        return None
    given = dict.fromkeys(patterns.labels)
    from audionmf.analysis.variants import fused, heard

    patterns = (heard if kit else fused)(patterns, frames.V, threads)
    names = [*patterns.labels, *(rest,) * (_REST_PATTERNS if rest else 0)]
    found = _fitted(names, patterns.patterns, None, frames, source, stft, settings, progress)
    silent = ", ".join(name for name in given if name not in patterns.labels)
    if silent:
        remark = f"of the kit, {', '.join(patterns.labels)} are heard, not {silent}"
        found = dataclasses.replace(found, remarks=(remark,))
    if frames.X is None or found.activations is None or not frames.V.any():
        return found
    return found.with_covariances(frames.X, found.activations, progress)


def analyse_struck_blind(
    n_sources: int | None,
    source: Source,
    settings: Settings,
    progress: Progress,
    watch: Callback | None = None,
    *,
    always: bool = False,
) -> Decomposition | None:
    """Analyse a mixture by patterns, if it is made of strokes.

    Where as many drums of the shipped kit are heard as there are sources, the fit starts from their
    patterns. Else patterns are guessed from the strokes of the mixture: a few iterations from each
    guess of `blind_patterns` show which ends lowest; from that one the fit goes on.

    Parameters
    ----------
    n_sources : int, optional
        Number of sources; None: it is chosen by how many kinds of strokes there are.
    source, settings, progress, always
        As in `analyse_struck`; with `always` the mixture may hold tones.
    watch : callable, optional
        Called with the `nmf.State` after each iteration; returning True ends the fit.

    Returns
    -------
    Decomposition or None
        None if more than 35 % of the mixture holds a pitch, patterns leave more than a quarter of it
        unexplained, it is silent, or longer than 16384 frames.

    Raises
    ------
    ParameterError
        If it is too long and `always` was asked for.
    """
    stft = half_window(settings, source.sample_rate)
    most = _most_frames(settings)
    if stft.n_frames(source.n_samples) > most:
        if always:
            raise ParameterError(
                f"the model 'patterns' is for recordings of up to {most} frames, "
                "3 minutes by default; take a larger hop or another model"
            )
        return None
    read = partial(
        gather, source, stft, _MAX_FRAMES, n_threads=thread_count(settings.n_threads),
        progress=lambda done: progress("read", done),
    )  # fmt: skip
    frames = read(warn=always)
    if frames.n_samples < 2 * stft.n_fft and not always:  # of which nothing can be told
        return None
    rate, bin_hertz = source.sample_rate / stft.hop_length, source.sample_rate / stft.n_fft
    V = _normalised(frames.V)
    if not V.any() or frames.step > 1:
        return None
    if not always and tonal_share(V, rate, bin_hertz) > _MOST_TONAL:
        return None
    n_lags = pattern_lags(stft, source.sample_rate)
    choice = None if n_sources else count_strokes(V, n_lags, MOST_SOURCES)
    count = n_sources or (choice.n_sources if choice else 1)
    tried = _from_starts(V, count, stft, source.sample_rate, settings, progress)
    best = min(tried, key=_end)
    left = _end(best) / float(V.sum(dtype=np.float64))
    if left > _MOST_LEFT and not always:  # sounds that are not the same each time
        return None
    if settings.spatial and source.n_channels == 2 and count > 1:  # kept only where it is needed
        frames = read(keep_transform=True, warn=False)
    spread = spread_of([_end(model) for model in tried]) if settings.restarts > 1 else ()
    names = [source_name(i) for i in range(count)]
    found = _fitted(
        names, best.templates, best.activations * (frames.V.max() / V.max()), frames, source, stft,
        settings, progress, watch,
    )  # fmt: skip
    remarks = (*((choice.to_text(),) if choice else ()), *spread)
    found = dataclasses.replace(found, remarks=remarks)
    activations = found.activations
    if activations is None:
        return found
    if frames.X is not None and count > 1:
        found = found.with_covariances(frames.X, activations, progress)
    return named(found, source, frames, activations)


def patterns_heard(
    V: NDArray[np.float32],
    count: int,
    stft: STFT,
    sample_rate: int,
    settings: Settings,
    progress: Progress,
) -> convolutive.ConvolutiveNMF:
    """Fit patterns to a mixture of strokes of which nothing else is known.

    Parameters
    ----------
    V : ndarray, shape (n_bins, n_frames)
        Magnitudes of all frames of the mixture, not all silent.
    count : int
        Number of patterns, 1 or more.
    stft : STFT
        The transform of these frames.
    sample_rate : int
        In Hz.
    settings : Settings
        Options.
    progress : callable
        Told the stage and the share done.

    Returns
    -------
    ConvolutiveNMF
        As `analyse_struck_blind` finds them, in no order.
    """
    level = _normalised(V)
    best = min(_from_starts(level, count, stft, sample_rate, settings, progress), key=_end)
    activations = best.activations * (V.max() / level.max())
    return _adapted(best.templates, activations, count, V, settings, progress)


def _from_starts(
    V: NDArray[np.float32],
    count: int,
    stft: STFT,
    sample_rate: int,
    settings: Settings,
    progress: Progress,
) -> list[convolutive.ConvolutiveNMF]:
    """Fit a few iterations from drums of the shipped kit, or else from each guess."""
    n_lags = pattern_lags(stft, sample_rate)
    kit = _kit_start(V, count, sample_rate, settings)
    starts = (
        blind_patterns(V, n_lags, count, stft.frequencies(sample_rate)) if kit is None else [kit]
    )
    n_given = len(starts)
    for number in range(1, settings.restarts):
        start = starts[number % n_given]
        starts.append(varied(start, settings.seed + number, number))
    return [
        _tried(V, start, settings, partial(_of_all, progress, number, len(starts)))
        for number, start in enumerate(starts)
    ]


def _end(model: convolutive.ConvolutiveNMF) -> float:
    return float(model.divergence[-1])


def _kit_start(
    V: NDArray[np.float32], count: int, sample_rate: int, settings: Settings
) -> NDArray[np.float32] | None:
    """Return patterns of so many drums of the shipped kit, if they are heard."""
    from audionmf.analysis.variants import likeliest, shipped_patterns

    kit = shipped_patterns(sample_rate, settings) if count > 1 else None
    if kit is None:
        return None
    found = likeliest(kit, V, count, thread_count(settings.n_threads))
    if found is None:
        return None
    patterns = np.maximum(found.patterns, _LEAST_PATTERN * found.patterns.max())  # zeros would stay
    start: NDArray[np.float32] = (patterns / patterns.sum(axis=(0, 1))).astype(np.float32)
    return start


def _most_frames(settings: Settings) -> int:
    """Return how long a recording may be: all of its frames are in memory."""
    return min(_MAX_FRAMES, settings.max_frames)


def _of_all(progress: Progress, number: int, n_starts: int, state: State) -> None:
    """Tell how far the fits from all starts are."""
    progress("factorise", (number + state.iteration / state.max_iter) / n_starts)


def _tried(
    V: NDArray[np.float32],
    start: NDArray[np.float32],
    settings: Settings,
    callback: Callback,
) -> convolutive.ConvolutiveNMF:
    from audionmf.nmf import convolutive

    return convolutive.fit(
        V, start.shape[2], len(start), templates=start, max_iter=_TRIED_ITERATIONS, tol=0,
        n_threads=settings.n_threads, callback=callback,
    )  # fmt: skip


def _fitted(
    names: list[str],
    start: NDArray[np.float32],
    activations: NDArray[np.float32] | None,
    frames: Frames,
    source: Source,
    stft: STFT,
    settings: Settings,
    progress: Progress,
    watch: Callback | None = None,
) -> Decomposition:
    model = _adapted(start, activations, len(names), frames.V, settings, progress, watch)
    W = model.templates.astype(np.float32)
    templates = Templates(W.sum(axis=0), tuple(names), stft, source.sample_rate)
    mixture = Mixture.of(source, frames.n_samples)
    return Decomposition(
        templates=templates,
        grouping=by_label(templates),
        settings=settings,
        mixture=mixture,
        divergence=model.divergence,
        reason=model.reason,
        activations=model.activations.astype(np.float32),
        patterns=W,
    )


def _adapted(
    start: NDArray[np.float32],
    activations: NDArray[np.float32] | None,
    count: int,
    V: NDArray[np.float32],
    settings: Settings,
    progress: Progress,
    watch: Callback | None = None,
) -> convolutive.ConvolutiveNMF:
    """Fit patterns to the mixture; of `count` those that have no start are free."""

    def callback(state: State) -> bool | None:
        progress("adapt", state.iteration / state.max_iter)
        return watch(state) if watch else None

    sums = start.sum(axis=(0, 1))
    # Free patterns beside one that may move would change places with it.
    fixed = np.full(start.shape[2], settings.adapt_iter == 0 or start.shape[2] < count)
    from audionmf.nmf import convolutive

    return convolutive.fit(
        V, count, len(start), templates=start / np.where(sums > 0, sums, 1),
        activations=activations, max_iter=settings.adapt_iter or _FIXED_ITERATIONS, tol=0,
        fixed_templates=fixed, seed=settings.seed, n_threads=settings.n_threads,
        callback=callback,
    )  # fmt: skip


def _normalised(V: NDArray[np.float32]) -> NDArray[np.float32]:
    peak = V.max(initial=0)
    return V / peak if peak > 0 else V
