"""Analyse a mixture of which nothing is known: what its components are, and which belong together.

*What it is made of* decides the model. Where hardly anything holds a pitch, sources are struck sounds
with a course of their own (`struck`). Everything else is factorised into the notes there are and a few
noises (`harmonic`), all channels at once where there are two, and the components are grouped by what
can be heard of them (`cues`).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audionmf import nmf
from audionmf.analysis.by_patterns import analyse_struck_blind
from audionmf.analysis.cues import (
    component_places,
    component_sound,
    component_strokes,
    cues_in_words,
    group_by_cues,
    odds_by_cues,
    parse_cues,
    shared_by_cues,
)
from audionmf.analysis.doubt import doubt_in_words
from audionmf.analysis.learning import penalties_of, stft_of
from audionmf.analysis.naming import named
from audionmf.analysis.starts import best_start, varied
from audionmf.errors import ParameterError
from audionmf.io.audio import Source
from audionmf.nmf.solver import thread_count
from audionmf.rendering.decomposition import Decomposition, Mixture
from audionmf.settings import Settings
from audionmf.sources.templates import Templates
from audionmf.spectra.bands import Bands
from audionmf.spectra.device import stft_on
from audionmf.spectra.frames import BLOCK_FRAMES, Frames, Progress, describe_source, gather
from audionmf.spectra.fused import FramePass, length
from audionmf.spectra.harmonic import harmonic_start
from audionmf.spectra.in_order import in_order
from audionmf.spectra.stft import STFT

__all__ = ["analyse_blind", "check_component_count", "component_name"]

Matrix = NDArray[np.floating[Any]]

_FREE_COMPONENTS = 40
_STEREO_FRAMES = 4096
_WIDEN_ITERATIONS = 10


def analyse_blind(
    n_sources: int | None,
    source: Source,
    settings: Settings,
    progress: Progress,
    watch: nmf.Callback | None = None,
) -> Decomposition:
    """Find sources of which nothing is known but perhaps their number.

    Parameters
    ----------
    n_sources : int, optional
        Number of sources; None: it is chosen.
    source : Audio or AudioFile
        The mixture.
    settings : Settings
        Options; ``model``, ``cues``, ``n_components`` and ``restarts`` decide how.
    progress : callable
        Told the stage and the share done.
    watch : callable, optional
        Called with the `nmf.State` after each iteration; returning True ends the factorisation.

    Returns
    -------
    Decomposition
        Its remarks say how the number of sources was chosen.

    Raises
    ------
    ParameterError
        If there are more components than frames, or more sources than components, or the model does
        not go with the other options.
    """
    heard = parse_cues(settings.cues)
    free = (
        settings.model == "free"
        or settings.n_components is not None
        or settings.beta != 1
        or settings.penalised
        or settings.front_end != "stft"
    )
    if settings.model == "frames":
        raise ParameterError(
            "the model 'frames' is for examples and templates; blind there are 'auto', 'harmonic', "
            "'patterns' and 'free'"
        )
    if free and settings.model in ("harmonic", "patterns"):
        raise ParameterError(
            f"the model {settings.model!r} has a number of components of its own and beta 1; leave "
            "out n_components, beta, front_end and weights such as sparsity, or take the model 'free'"
        )
    if settings.model == "patterns" or (settings.model == "auto" and not free):
        always = settings.model == "patterns"
        struck = analyse_struck_blind(n_sources, source, settings, progress, watch, always=always)
        if struck is not None:
            return struck
    stft = stft_of(settings, source.sample_rate)
    stereo = source.n_channels == 2
    limit = min(settings.max_frames, _STEREO_FRAMES) if stereo else settings.max_frames
    frames = gather(
        source, stft_on(stft, settings.device), limit, keep_transform=stereo,
        n_threads=thread_count(settings.n_threads), progress=partial(progress, "read"),
    )  # fmt: skip
    frames, level = _levelled(frames)
    factors = _factorise(
        frames, n_sources, free, source, stft, settings, partial(progress, "factorise"), watch
    )
    labels = tuple(component_name(k) for k in range(factors.W.shape[1]))
    templates = Templates(factors.W, labels, stft, source.sample_rate)
    progress("group", 0.0)
    threads = thread_count(settings.n_threads)
    places, energies = component_places(frames, factors.W, factors.H, n_threads=threads)
    strokes = component_strokes(frames, factors.W, factors.H, stft, source.sample_rate)
    sound = component_sound(templates, factors.H, places, energies, strokes)
    odds = odds_by_cues(sound, heard)
    grouping, choice, told = group_by_cues(sound, n_sources, heard, odds)
    grouping, shares = shared_by_cues(odds, sound.energies, grouping)
    remarks = [
        *([choice.to_text()] if choice else []),
        *([cues_in_words(told)] if told else []),
        *doubt_in_words(shares),
        *factors.remarks,
    ]
    found = Decomposition(
        templates=templates,
        grouping=grouping,
        settings=settings,
        mixture=Mixture.of(source, frames.n_samples),
        divergence=factors.divergence * float(level) ** settings.beta,
        reason=factors.reason,
        banded=settings.beta == 1,
        activations=factors.H * level if frames.step == 1 and settings.beta == 1 else None,
        remarks=tuple(remarks),
        shares=shares,
    )
    progress("group", 1.0)
    wide = stereo and settings.spatial and len(grouping) > 1 and frames.V.any()
    if wide and frames.X is not None:
        found = found.with_covariances(frames.X, factors.H, progress)
    return named(found, source, frames, factors.H, keys=factors.keys, sides=_sides(places))


def _levelled(frames: Frames) -> tuple[Frames, np.float32]:
    """Divide frames, in place, by a power of two that brings their peak near 1; return both."""
    peak = float(frames.V.max())
    level = np.float32(2.0 ** np.clip(np.floor(np.log2(peak)), -120, 120) if peak > 0 else 1.0)
    factor = np.float32(1) / level  # a product, for a quotient of complex numbers squares
    if level != 1:
        for array in (frames.V, frames.X):
            if array is not None:
                array *= factor
    return frames, level


def component_name(component: int) -> str:
    """Return the name of a component that is its own source: ``component00`` and so on."""
    return f"component{component:02d}"


@dataclass(frozen=True, eq=False)
class _Factors:
    """W (n_bins, n_components) and H (n_components, n_frames), and how they were found."""

    W: NDArray[np.float32]
    H: NDArray[np.float32]
    keys: NDArray[np.float64]
    divergence: NDArray[np.float64]
    reason: str
    remarks: tuple[str, ...] = ()


def check_component_count(wanted: int | None, frames: Frames, source: Source) -> None:
    """Refuse more components than there are frames.

    Raises
    ------
    ParameterError
        If there are.
    """
    n_frames = frames.V.shape[1]
    if wanted is not None and wanted > n_frames:
        raise ParameterError(
            f"{wanted} components are more than the {n_frames} frames of "
            f"{describe_source(source)}; ask for fewer, or take a smaller hop"
        )


def _factorise(
    frames: Frames,
    n_sources: int | None,
    free: bool,
    source: Source,
    stft: STFT,
    settings: Settings,
    report: Callable[[float], object],
    watch: nmf.Callback | None,
) -> _Factors:
    check_component_count(settings.n_components, frames, source)
    count = settings.n_components or max(n_sources or 1, min(_FREE_COMPONENTS, frames.V.shape[1]))

    def callback(state: nmf.State) -> bool | None:
        report(state.iteration / state.max_iter)
        return watch(state) if watch else None

    options: dict[str, Any] = {
        "max_iter": settings.max_iter, "tol": settings.tol, "callback": callback,
        "n_threads": settings.n_threads, "device": settings.device,
    }  # fmt: skip
    if settings.beta != 1 or settings.penalised:
        penalties = penalties_of(settings)
        model, remarks = best_start(
            settings.restarts,
            lambda r: nmf.fit(
                frames.V,
                count,
                beta=settings.beta,
                seed=settings.seed + r,
                penalties=penalties,
                **options,
            ),
        )
        report(1.0)
        return _Factors(
            model.templates.astype(np.float32), model.activations.astype(np.float32),
            np.full(model.n_components, np.nan), model.divergence, model.reason, remarks,
        )  # fmt: skip
    bands = Bands.of(stft, source.sample_rate)
    tensor = _banded(frames, bands, thread_count(settings.n_threads))
    if free:
        keys = np.full(count, np.nan)
        found, remarks = best_start(
            settings.restarts,
            lambda r: nmf.fit_channels(tensor, len(keys), seed=settings.seed + r, **options),
        )
    else:
        bin_hertz = source.sample_rate / stft.n_fft
        start, keys = harmonic_start(
            tensor.sum(axis=0), bands.frequencies, source.sample_rate, bin_hertz
        )
        level = np.tile(tensor.sum(axis=(0, 1)) / len(keys), (len(keys), 1))
        found, remarks = best_start(
            settings.restarts,
            lambda r: nmf.fit_channels(
                tensor, len(keys), activations=level,
                templates=varied(start, settings.seed + r, r), **options,
            ),
        )  # fmt: skip
    report(1.0)
    H = (found.activations * frames.V.sum() / max(float(tensor.sum()), 1e-30)).astype(np.float32)
    W = _unpooled(frames.V, bands, found.templates, H, settings)
    return _Factors(W, H, keys, found.divergence, found.reason, remarks)


def _banded(frames: Frames, bands: Bands, n_threads: int) -> NDArray[np.float32]:
    """Return the magnitudes of the channels summed over bands, (n_channels, n_bands, n_frames)."""
    if frames.X is None:
        return bands.pool(frames.V)[None].astype(np.float32)
    whole, n_bands, n_frames = frames.X, len(bands.edges), frames.V.shape[1]
    tensor = np.empty((len(whole), n_bands, n_frames), np.float32)

    def pooled(first: int) -> list[NDArray[np.float32]]:
        some = whole[:, :, first : first + BLOCK_FRAMES].swapaxes(1, 2)
        lengths = np.empty(some.shape, np.float32)
        for channel, X in zip(lengths, some, strict=True):
            _length_pass()([X], [channel])
        return [bands.pool(channel.T) for channel in lengths]

    firsts = range(0, n_frames, BLOCK_FRAMES)
    for first, found in zip(firsts, in_order(pooled, firsts, n_threads), strict=True):
        for channel, sums in zip(tensor, found, strict=True):
            channel[:, first : first + BLOCK_FRAMES] = sums
    return tensor


@functools.cache
def _length_pass() -> FramePass:
    """Return what gives the lengths of complex numbers, in a sixth of NumPy's time."""
    return FramePass(lambda number: [length(*number)], "c", "f")


def _unpooled(
    V: NDArray[np.float32], bands: Bands, W: Matrix, H: Matrix, settings: Settings
) -> NDArray[np.float32]:
    """Learn templates of the single bins from those of the bands, the activations known."""
    widths = np.diff(bands.edges, append=len(V))
    start = np.repeat(W / widths[:, None], widths, axis=0).astype(np.float32)
    model = nmf.fit(
        V, W.shape[1], templates=start, activations=H, fixed_activations=True,
        max_iter=_WIDEN_ITERATIONS, tol=0, method="plain", n_threads=settings.n_threads,
        device=settings.device,
    )  # fmt: skip
    return model.templates.astype(np.float32)


def _sides(places: NDArray[np.complex128] | None) -> NDArray[np.float64] | None:
    """Return where each component stands between left, -1, and right, 1."""
    if places is None:
        return None
    left, right = places[:, 0, 0].real, places[:, 1, 1].real
    sides: NDArray[np.float64] = (right - left) / np.maximum(left + right, 1e-30)
    return sides
