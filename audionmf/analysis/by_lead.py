"""Take a leading voice out of its accompaniment: it has one pitch at a time, and moves smoothly.

The voice is that of `voice_model`; everything else goes to free components, the accompaniment. Both
are fitted together, channels side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audionmf.analysis.voice_model import VoiceSpectra, rows_of
from audionmf.errors import LimitError, ParameterError
from audionmf.io.audio import Source
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
from audionmf.spectra.frames import BLOCK_FRAMES, Frames, Progress, describe_source, gather
from audionmf.spectra.stft import STFT

__all__ = ["analyse_lead"]

Matrix = NDArray[np.floating[Any]]

_MAX_FRAMES = 16384
_COMPONENTS = 40
_ITERATIONS = 15
_VOICE_START = 0.3


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
        Options; ``n_components`` is the number of components of the accompaniment (40), and there
        are 15 iterations, or ``max_iter`` if that is fewer: more let the accompaniment take the voice.
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
        If the recording has more than 16384 frames, 6 minutes by default.
    ParameterError
        If another β than 1 is asked for.
    """
    if settings.beta != 1:
        raise ParameterError("a lead is found under beta 1 only; leave beta out")
    rate = source.sample_rate
    stft = STFT(settings.n_fft_at(rate), settings.hop_length_at(rate), settings.window)
    _check_length(stft.n_frames(source.n_samples), source)
    stereo = source.n_channels == 2
    frames = gather(
        source, stft, _MAX_FRAMES, keep_transform=stereo,
        n_threads=thread_count(settings.n_threads), progress=partial(progress, "read"),
    )  # fmt: skip
    _check_length(
        stft.n_frames(frames.n_samples), source
    )  # a header may promise less than there is
    known = VoiceSpectra.of(stft, rate)
    V, level = _banded(frames, known.bands)
    held = known.held(known.bands.pool(frames.V * np.float32(1 / level)))
    voice, back = _start(V, known, held, settings)
    fitted = _fitted(V, [voice, back], settings, progress, watch)
    sung, courses, keys = known.components(voice)
    rest = _unbanded(back, known, frames.V, len(voice.gains))
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
        mixture=Mixture.of(source, frames.n_samples),
        divergence=fitted.divergence * level,
        reason=fitted.reason,
        activations=H * np.float32(level),
        remarks=(known.told(voice),),
        keys=keys,
    )
    if frames.X is None or not settings.spatial or not frames.V.any():
        return found
    return found.with_covariances(frames.X, H, progress)


def _check_length(n_frames: int, source: Source) -> None:
    if n_frames > _MAX_FRAMES:
        raise LimitError(
            f"{describe_source(source)} has more than the {_MAX_FRAMES} frames in which a lead is "
            "found (6 minutes by default); cut it, or take a larger hop"
        )


def _banded(frames: Frames, bands: Bands) -> tuple[NDArray[np.float32], float]:
    """Return magnitudes summed over bands, channels one below the other, and what they are over."""
    peak = float(frames.V.max())
    level = float(2.0 ** np.clip(np.floor(np.log2(peak)), -120, 120)) if peak > 0 else 1.0
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
        V, models, max_iter=min(_ITERATIONS, settings.max_iter),
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
    back: Spectra, known: VoiceSpectra, V: NDArray[np.float32], n_channels: int
) -> NDArray[np.float32]:
    """Return the spectra of the accompaniment, (n_bins, n_components).

    Channels are pooled as magnitudes are, and bands are spread over their bins as V is.
    """
    widths = known.widths
    stacked = back.rows.T.reshape(n_channels, len(widths), -1)
    pooled = np.sqrt(np.square(stacked, dtype=np.float64).mean(axis=0))
    sums = V.sum(axis=1, dtype=np.float64)
    totals = np.repeat(np.add.reduceat(sums, known.bands.edges), widths)
    even = 1 / np.repeat(widths, widths)
    shares = np.divide(sums, totals, out=even, where=totals > 0)
    spread: NDArray[np.float32] = (np.repeat(pooled, widths, axis=0) * shares[:, None]).astype(
        np.float32
    )
    return spread
