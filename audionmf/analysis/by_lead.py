"""Take a leading voice out of its accompaniment: it has one pitch at a time, and moves smoothly.

First the melody is sought: how strong each pitch is in each frame, by the sum of its partials, and the
strongest smooth course through the pitches. Then the mixture is factorised: the voice is held to within
a quarter of a semitone of the melody, with what has no pitch beside it, and goes through a filter that
is smooth in frequency; everything else goes to the accompaniment. The voice of each frame is written
as components, one for each pitch and filter, so that rendering needs to know nothing of it.

References
----------
The model: see `nmf.voice`. Strength of pitches: Klapuri, "Multiple fundamental frequency
estimation by summing harmonic amplitudes", ISMIR 2006, which flattens the spectrum too; Salamon and
Gómez, "Melody extraction from polyphonic music signals using pitch contour characteristics", IEEE
Transactions on Audio, Speech, and Language Processing 20(6), 2012, from which the weighting by
loudness and the fall of 0.8 from partial to partial. A-weighting: IEC 61672-1. The course: Viterbi,
"Error bounds for convolutional codes and an asymptotically optimum decoding algorithm", IEEE
Transactions on Information Theory 13(2), 1967.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

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

__all__ = ["analyse_lead", "melody", "pitch_strengths"]

Matrix = NDArray[np.floating[Any]]

_MAX_FRAMES = 16384
_LOWEST_HZ, _HIGHEST_HZ = 100.0, 1200.0
_STEPS = 4
"""Pitches in a semitone."""

_HARMONICS, _FALL = 12, 0.8
_FLATTENED, _FLAT_OCTAVES = 0.5, 0.33
_STRENGTH_POWER = 2.0
_STEP_COST, _LEAP_COST = 0.25, 6.0
_HEARD = 0.45

_PARTIALS = 60
_TILT = 0.5
_BUMPS, _FILTERS = 20, 6
_COMPONENTS = 40
_ITERATIONS = 15
_NEAR_STEPS = 1
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
    known = _Known.of(stft, rate)
    V, level = _banded(frames, known.bands)
    strengths = pitch_strengths(
        known.bands.pool(frames.V * np.float32(1 / level)), known.bands.frequencies, known.pitches
    )
    course = melody(strengths**_STRENGTH_POWER)
    voice, back = _start(V, known, _held(known, strengths, course), settings)
    fitted = _fitted(V, [voice, back], settings, progress, watch)
    W, H, keys = _components(voice, back, known, frames.V)
    n_back = len(back.rows)
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
        remarks=(_told(known, voice),),
        keys=keys,
    )
    if frames.X is None or not settings.spatial or not frames.V.any():
        return found
    progress("place in stereo", 0.0)
    placed = found.with_covariances(frames.X, H)
    progress("place in stereo", 1.0)
    return placed


def _check_length(n_frames: int, source: Source) -> None:
    if n_frames > _MAX_FRAMES:
        raise LimitError(
            f"{describe_source(source)} has more than the {_MAX_FRAMES} frames in which a lead is "
            "found (6 minutes by default); cut it, or take a larger hop"
        )


def pitch_strengths(V: Matrix, frequencies: NDArray[np.float64], pitches: Matrix) -> Matrix:
    """Return how strong each pitch is in each frame, by the sum of its partials.

    The spectrum is weighted by how loud it sounds (A-weighting) and half flattened; each partial
    counts 0.8 of the one below it.

    Parameters
    ----------
    V : ndarray, shape (n_bands, n_frames)
        Magnitudes.
    frequencies : ndarray, shape (n_bands,)
        In Hz, rising.
    pitches : ndarray, shape (n_pitches,)
        Fundamentals in Hz.

    Returns
    -------
    ndarray, shape (n_pitches, n_frames)
        ≥ 0, in the unit of V but for the flattening.
    """
    weighted = V * _loudness(frequencies)[:, None].astype(V.dtype)
    octaves = np.log2(frequencies + _LOWEST_HZ)
    near = np.exp(-0.5 * (np.subtract.outer(octaves, octaves) / _FLAT_OCTAVES) ** 2)
    near /= near.sum(axis=1, keepdims=True)
    shape = np.sqrt(near @ np.square(weighted, dtype=np.float64).mean(axis=1))
    flat = (
        np.maximum(shape, max(1e-3 * shape.max(initial=0), float(np.finfo(V.dtype).tiny)))
        ** _FLATTENED
    )
    weighted /= flat[:, None].astype(V.dtype)
    strengths = np.zeros((len(pitches), V.shape[1]), V.dtype)
    for harmonic in range(1, _HARMONICS + 1):
        inside = np.flatnonzero(pitches * harmonic < frequencies[-1])
        above = np.searchsorted(frequencies, pitches[inside] * harmonic)
        partial_ = np.maximum(weighted[np.maximum(above - 1, 0)], weighted[above])
        strengths[inside] += V.dtype.type(_FALL ** (harmonic - 1)) * partial_
    return strengths


def _loudness(hertz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the A-weighting of frequencies."""
    f = hertz**2
    weights: NDArray[np.float64] = (12194.0**2 * f**2) / (
        (f + 20.6**2) * np.sqrt((f + 107.7**2) * (f + 737.9**2)) * (f + 12194**2)
    )
    return weights


def melody(strengths: Matrix) -> NDArray[np.int64]:
    """Return the strongest smooth course through the pitches, one for each frame.

    Parameters
    ----------
    strengths : ndarray, shape (n_pitches, n_frames)
        How strong each pitch is, ≥ 0; neighbouring pitches a quarter of a semitone apart.

    Returns
    -------
    ndarray of int, shape (n_frames,)
        The pitches. A step costs in proportion to its size, at most as much as a leap to anywhere.
    """
    least = max(1e-8 * float(strengths.max(initial=0)), float(np.finfo(np.float32).tiny))
    scores = np.log(np.maximum(strengths, least))
    n_pitches, n_frames = scores.shape
    apart = np.abs(np.subtract.outer(np.arange(n_pitches), np.arange(n_pitches)))
    costs = np.minimum(_STEP_COST * apart, _LEAP_COST)
    came = np.zeros((n_frames, n_pitches), np.int64)
    best = scores[:, 0].astype(np.float64)
    for t in range(1, n_frames):
        paths = best[:, None] - costs
        came[t] = paths.argmax(axis=0)
        best = paths.max(axis=0) + scores[:, t]
    course = np.empty(n_frames, np.int64)
    course[-1] = int(best.argmax())
    for t in range(n_frames - 1, 0, -1):
        course[t - 1] = came[t, course[t]]
    return course


def _heard(strengths: Matrix, course: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return in which frames the melody is not much weaker than it is mostly."""
    along = strengths[course, np.arange(len(course))]
    heard: NDArray[np.bool_] = along > _HEARD * np.median(along)
    return heard


@dataclass(frozen=True, eq=False)
class _Known:
    """What is known before: the pitches there may be, their combs, and bumps, in bins and bands."""

    bands: Bands
    n_bins: int
    pitches: NDArray[np.float64]
    combs: Matrix
    bumps: Matrix

    @classmethod
    def of(cls, stft: STFT, sample_rate: int) -> _Known:
        frequencies = stft.frequencies(sample_rate)
        top = min(_HIGHEST_HZ, frequencies[-1] / 4)
        count = max(1, int(12 * _STEPS * np.log2(max(top / _LOWEST_HZ, 1))) + 1)
        pitches = _LOWEST_HZ * np.exp2(np.arange(count, dtype=np.float64) / (12 * _STEPS))
        return cls(
            Bands.of(stft, sample_rate), len(frequencies), pitches,
            _combs(frequencies, pitches, sample_rate / stft.n_fft), _bumps(frequencies),
        )  # fmt: skip

    @property
    def widths(self) -> NDArray[np.int64]:
        """How many bins are in each band."""
        return np.diff(self.bands.edges, append=self.n_bins)

    @property
    def banded_combs(self) -> Matrix:
        return self.bands.pool(self.combs)

    @property
    def banded_bumps(self) -> Matrix:
        mean = self.bands.pool(self.bumps)
        mean /= self.widths[:, None]
        return mean


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


def _held(known: _Known, strengths: Matrix, course: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return the pitches near the melody, where it is heard, and last that without a pitch."""
    heard = _heard(strengths, course)
    near = np.abs(np.arange(len(known.pitches))[:, None] - course) <= _NEAR_STEPS
    held: NDArray[np.bool_] = np.concatenate([near & heard, heard[None]])
    return held


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
    V: NDArray[np.float32], known: _Known, held: NDArray[np.bool_], settings: Settings
) -> tuple[Voice, Spectra]:
    """Return the voice, and the accompaniment, as they start."""
    count = settings.n_components or _COMPONENTS
    rng = np.random.default_rng(settings.seed)
    level = V.sum(axis=0)
    W = 0.5 + rng.random((len(V), count))
    H = (0.5 + rng.random((count, V.shape[1]))) * level * ((1 - _VOICE_START) / count)
    n_channels = len(V) // len(known.bands.edges)
    share = level * (_VOICE_START / n_channels) / np.maximum(held.sum(axis=0), 1)
    filters = 1 + 0.5 * rng.random((_BUMPS, _FILTERS))
    voice = Voice(
        _rows(known.banded_combs), _rows(known.banded_bumps),
        pitches=_rows(held * share), filters=_rows(filters),
        openings=np.full((V.shape[1], _FILTERS), 1 / _FILTERS, np.float32),
        gains=np.ones(n_channels, np.float32),
    )  # fmt: skip
    return voice, Spectra(_rows(W / W.sum(axis=0)), _rows(H), free=True)


def _rows(columns: NDArray[Any]) -> NDArray[np.float32]:
    rows: NDArray[np.float32] = np.array(columns.T, np.float32, order="C")
    return rows


def _combs(frequencies: NDArray[np.float64], pitches: Matrix, bin_hertz: float) -> Matrix:
    """Return combs (n_bins, n_pitches + 1), each with the sum 1; the last has no pitch."""
    combs = np.zeros((len(frequencies), len(pitches) + 1), np.float32)
    for column, pitch in zip(combs.T, pitches, strict=False):
        for partial_ in range(1, _PARTIALS + 1):
            place = partial_ * pitch
            if place > frequencies[-1]:
                break
            spread = max(bin_hertz, 0.007 * place)
            first, last = np.searchsorted(frequencies, [place - 4 * spread, place + 4 * spread])
            distance = (frequencies[first:last] - place) / spread
            column[first:last] += partial_**-_TILT * np.exp(-0.5 * distance**2)
    combs[:, -1] = 1
    combs /= np.maximum(combs.sum(axis=0), np.float32(1e-12))
    return combs


def _bumps(frequencies: NDArray[np.float64]) -> Matrix:
    """Return overlapping raised cosines (n_bins, n_bumps), evenly spaced in mel, that sum to 1."""
    mel = np.log1p(frequencies / 700)
    place = mel / mel[-1] * (_BUMPS - 1)
    distance = np.clip(np.abs(place[:, None] - np.arange(_BUMPS)), 0, 1)
    bumps: Matrix = (0.5 + 0.5 * np.cos(np.pi * distance)).astype(np.float32)
    return bumps


def _components(
    voice: Voice, back: Spectra, known: _Known, V: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32], tuple[int, ...]]:
    """Return templates, activations and keys: the voice, one for each pitch and filter, then the rest.

    Channels are pooled as magnitudes are, and bands are spread over their bins as V is.
    """
    n_channels, widths = len(voice.gains), known.widths
    pooled_gain = float(np.sqrt(np.mean(np.square(voice.gains, dtype=np.float64))))
    shapes = known.bumps @ voice.filters.T * np.float32(pooled_gain)
    heard = np.flatnonzero(voice.pitches.any(axis=0))
    voices = [known.combs[:, heard] * shape[:, None] for shape in shapes.T]
    courses = [voice.pitches.T[heard] * h for h in voice.openings.T]
    stacked = back.rows.T.reshape(n_channels, len(widths), -1)
    pooled = np.sqrt(np.square(stacked, dtype=np.float64).mean(axis=0))
    sums = V.sum(axis=1, dtype=np.float64)
    totals = np.repeat(np.add.reduceat(sums, known.bands.edges), widths)
    even = 1 / np.repeat(widths, widths)
    shares = np.divide(sums, totals, out=even, where=totals > 0)
    rest = np.repeat(pooled, widths, axis=0) * shares[:, None]
    W = np.concatenate([*voices, rest], axis=1).astype(np.float32)
    H = np.concatenate([*courses, back.activations.T]).astype(np.float32)
    midi = np.round(69 + 12 * np.log2(known.pitches / 440)).astype(int)
    keys = [*midi.tolist(), -1]  # the last has no pitch
    per_filter = [keys[k] for k in heard]
    return W, H, (*per_filter * len(shapes.T), *[-1] * rest.shape[1])


def _told(known: _Known, voice: Voice) -> str:
    """Say in which range the melody is where the voice is heard."""
    loudness = voice.pitches[:, :-1].sum(axis=0)
    if not loudness.any():
        return "no lead was heard"
    below = np.cumsum(loudness) / loudness.sum()
    low, high = (known.pitches[int(np.searchsorted(below, q))] for q in (0.05, 0.95))
    return f"the lead is mostly between {low:.0f} and {high:.0f} Hz"
