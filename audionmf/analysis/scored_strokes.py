"""Analyse struck sounds with a score: it says what is struck when, patterns say how that goes on.

Every drum of every part has one pattern, which its strokes share: a convolutive factorisation, as
by example, but with activations that start near zero away from the strokes of the score. What the
updates then add there is evidence for a stroke that the score lacks.

A pattern starts from the example of its part, else from the samples of its drum in the shipped kit,
each by how much it plays, else from what sounds after its strokes in the mixture whatever else is
struck: a low percentile over the strokes. Examples stay to teach: they are appended to the mixture
as further frames, in which only their own part may sound. Samples do not: they say who is struck how
hard in the first iterations, in which they stay as they are.

A score may be wrong. Where patterns that are found without it explain the mixture nearly as well and
are struck when its parts are, neither of both is known to be the better one: models are means of both.

References
----------
Smaragdis, "Non-negative matrix factor deconvolution; extraction of multiple sound sources from
monophonic inputs", ICA 2004. Dittmar and Müller, "Reverse engineering the Amen break: score-informed
separation and restoration applied to drum recordings", IEEE/ACM TASLP 24(9), 2016.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audionmf.analysis.by_patterns import patterns_heard
from audionmf.analysis.learning import at_rate
from audionmf.analysis.patterns import pattern_of
from audionmf.analysis.variants import LEAST_KIT_RATE, fused
from audionmf.io.audio import Source, open_source
from audionmf.nmf import convolutive
from audionmf.nmf.solver import State, thread_count
from audionmf.rendering.decomposition import Decomposition, Mixture
from audionmf.rendering.grouping import by_label
from audionmf.settings import Settings
from audionmf.sources.kits import samples_of_key
from audionmf.sources.known import MOST_SOURCES
from audionmf.sources.score import Score
from audionmf.sources.struck import MOST_LAGS, Patterns
from audionmf.sources.templates import Templates
from audionmf.spectra.frames import Progress, gather
from audionmf.spectra.stft import STFT

__all__ = ["analyse_scored_strokes"]

Matrix = NDArray[np.floating[Any]]

_PATTERN_SECONDS = 0.8
_GATE_SECONDS = 0.03
_UNWRITTEN = 1e-3
"""Where activations start away from the strokes of the score, as a share of those at them."""

_PERCENTILE = 10
_EXAMPLE_WEIGHT = 0.1
"""Sum of the magnitudes of all examples together, as a share of the mixture's."""

_ITERATIONS = 50
_ALONE_ITERATIONS = 35
"""Without examples patterns are not held by anything, and a long fit shares strokes out anew."""

_KIT_ITERATIONS = 3
_NEARLY_AS_WELL, _LEAST_ALIKE = 1.2, 0.8
"""What patterns without the score may leave, as a share of what those of the score do, and the least
correlation of a part with the pattern that is taken for it."""
_WRITTEN = 1 / 3
"""The weight of the score where both may be right."""
_FLOOR = 1e-9
_MAX_FRAMES = 16384
_MAX_ROWS = 2048


@dataclass(frozen=True)
class _Drum:
    """A drum of a part, and the frames in which it may be struck, a pair for each stroke."""

    part: int
    pitch: int
    spans: tuple[tuple[int, int], ...]


def analyse_scored_strokes(
    score: Score,
    source: Source,
    stft: STFT,
    settings: Settings,
    progress: Progress,
    examples: Mapping[str, Sequence[Source]],
) -> Decomposition | None:
    """Analyse a mixture of struck sounds of which the score is known.

    Parameters
    ----------
    score : Score
        What is struck, by the clock of the recording.
    source : Audio or AudioFile
        The recording.
    stft : STFT
        The transform; strokes ask for a short window.
    settings : Settings
        Options.
    progress : callable
        Told the stage and the share done.
    examples : mapping of str to sequence of Audio or AudioFile
        Parts alone, by name, at the rate of the mixture; not every part needs one.

    Returns
    -------
    Decomposition or None
        A source for each part. None if not all notes are strokes, or if there are too many frames or
        drums for patterns.
    """
    if not all(note.drum for note in score.notes):
        return None
    frame_seconds = stft.hop_length / source.sample_rate
    n_lags = max(1, round(_PATTERN_SECONDS / frame_seconds))
    drums = _drums(score, frame_seconds)
    most = min(_MAX_FRAMES, settings.max_frames)
    if stft.n_frames(source.n_samples) > most or len(drums) * n_lags > _MAX_ROWS:
        return None
    threads = thread_count(settings.n_threads)
    taught = {}
    for j, name in enumerate(score.names):
        if examples.get(name):
            read = [gather(r, stft, _MAX_FRAMES, n_threads=threads).V for r in examples[name]]
            taught[j] = np.concatenate(read, axis=1)
            progress(f"read {name}", 1.0)
    taught = {j: V for j, V in taught.items() if V.any()}
    spatial = settings.spatial and source.n_channels == 2 and len(score.parts) > 1
    frames = gather(
        source, stft, most, keep_transform=spatial, n_threads=threads,
        progress=lambda done: progress("read", done),
    )  # fmt: skip
    if frames.step > 1 or not frames.V.any():
        return None

    def callback(state: State) -> None:
        progress("fit the score", state.iteration / state.max_iter)

    V, H = _with_examples(frames.V, drums, taught, n_lags)
    kit = {} if taught else _of_kit(frames.V, drums, n_lags, stft, source.sample_rate, threads)
    W = _patterns(frames.V, drums, taught, kit, n_lags)
    if kit:
        H = convolutive.fit(
            V, len(drums), n_lags, templates=W, activations=H, fixed_templates=True,
            max_iter=_KIT_ITERATIONS, tol=0, n_threads=settings.n_threads,
        ).activations.astype(np.float32)  # fmt: skip
    model = convolutive.fit(
        V, len(drums), n_lags, templates=W,
        activations=H, max_iter=_ITERATIONS if taught else _ALONE_ITERATIONS, tol=0,
        n_threads=settings.n_threads, callback=callback,
    )  # fmt: skip
    patterns = model.templates.astype(np.float32)
    labels = tuple(score.parts[drum.part].name for drum in drums)
    found = Decomposition(
        templates=Templates(patterns.sum(axis=0), labels, stft, source.sample_rate),
        grouping={n: tuple(k for k, own in enumerate(labels) if own == n) for n in score.names},
        settings=settings,
        mixture=Mixture.of(source, frames.n_samples),
        divergence=model.divergence,
        reason=model.reason,
        activations=np.ascontiguousarray(model.activations[:, : frames.V.shape[1]], np.float32),
        patterns=patterns,
        score=score,
        keys=tuple(drum.pitch for drum in drums),
    )
    if settings.exemplars and not taught and 1 < len(score.parts) <= MOST_SOURCES:
        found = _with_heard(found, frames.V, progress)
    if frames.X is None or found.activations is None:
        return found
    return found.with_covariances(frames.X, found.activations, progress)


def _with_heard(found: Decomposition, V: NDArray[np.float32], progress: Progress) -> Decomposition:
    """Average with patterns that know nothing of the score, where these may be as right."""
    stft, rate, settings = found.templates.stft, found.templates.sample_rate, found.settings
    written, groups = found.activations, list(found.grouping.values())
    if written is None or found.patterns is None:
        return found
    heard = patterns_heard(V, len(groups), stft, rate, settings, progress)
    if heard.divergence[-1] > _NEARLY_AS_WELL * found.divergence[-1]:
        return found
    reach = int(_GATE_SECONDS * rate / stft.hop_length)
    by_part = np.array([written[list(group)].sum(axis=0) for group in groups])
    alike = _courses(by_part, reach) @ _courses(heard.activations, reach).T
    orders = itertools.permutations(range(len(groups)))
    order = max(orders, key=lambda one: float(alike[range(len(groups)), one].sum()))
    if alike[range(len(groups)), order].min() < _LEAST_ALIKE:
        return found
    n_lags = max(len(found.patterns), len(heard.templates))
    both = [
        np.pad(some, ((0, n_lags - len(some)), (0, 0), (0, 0)))
        for some in (found.patterns, heard.templates[:, :, list(order)])
    ]
    patterns = np.concatenate(both, axis=2, dtype=np.float32)
    H = np.concatenate(
        [_WRITTEN * written, (1 - _WRITTEN) * heard.activations[list(order)]], dtype=np.float32
    )
    labels = (*found.templates.labels, *found.grouping)
    templates = Templates(patterns.sum(axis=0), labels, stft, rate)
    return dataclasses.replace(
        found, templates=templates, patterns=patterns, activations=H, grouping=by_label(templates),
        keys=(*found.keys, *(-1,) * len(groups)),
    )  # fmt: skip


def _courses(H: Matrix, reach: int) -> NDArray[np.float64]:
    """Return how activations rise and fall: their roots over 2 · reach + 1 frames, of one size."""
    sums = np.cumsum(np.pad(np.asarray(H, np.float64), ((0, 0), (reach + 1, reach))), axis=1)
    course = np.sqrt(np.maximum(sums[:, 2 * reach + 1 :] - sums[:, : -2 * reach - 1], 0))
    course -= course.mean(axis=1, keepdims=True)
    size = np.linalg.norm(course, axis=1, keepdims=True)
    of_one_size: NDArray[np.float64] = course / np.where(size > 0, size, 1)
    return of_one_size


def _drums(score: Score, frame_seconds: float) -> list[_Drum]:
    drums = []
    for j, part in enumerate(score.parts):
        for pitch in sorted({note.pitch for note in part.notes}):
            onsets = [note.onset for note in part.notes if note.pitch == pitch]
            drums.append(_Drum(j, pitch, tuple(_span(onset, frame_seconds) for onset in onsets)))
    return drums


def _span(onset: float, frame_seconds: float) -> tuple[int, int]:
    """Return the first frame in which a stroke may start, and the one after the last."""
    first = max(0, int(np.ceil((onset - _GATE_SECONDS) / frame_seconds)))
    return first, max(first, int((onset + _GATE_SECONDS) / frame_seconds)) + 1


def _of_kit(
    V: Matrix, drums: Sequence[_Drum], n_lags: int, stft: STFT, sample_rate: int, n_threads: int
) -> dict[int, Matrix]:
    """Return patterns, (n_lags, n_bins), of those drums that the shipped kit has, by their numbers."""
    if sample_rate < LEAST_KIT_RATE or n_lags > MOST_LAGS:
        return {}
    samples = [(k, file) for k, drum in enumerate(drums) for file in samples_of_key(drum.pitch)]
    if not samples:
        return {}
    patterns = []
    for _, file in samples:
        struck = at_rate(open_source(file), sample_rate)
        E = gather(struck, stft, _MAX_FRAMES, n_threads=n_threads, warn=False).V
        patterns.append(pattern_of(E, n_lags))
    labels = tuple(str(k) for k, _ in samples)
    each = Patterns(np.stack(patterns, axis=-1).astype(np.float32), labels, stft, sample_rate)
    one = fused(each, np.asarray(V, np.float32), n_threads)
    return {int(k): one.patterns[:, :, i] for i, k in enumerate(one.labels)}


def _patterns(
    V: Matrix,
    drums: Sequence[_Drum],
    taught: Mapping[int, Matrix],
    kit: Mapping[int, Matrix],
    n_lags: int,
) -> NDArray[np.float32]:
    """Return the patterns to start from, (n_lags, n_bins, n_drums).

    An example shows the drum of its part; of several drums in a part it does not say which is which.
    """
    parts = [drum.part for drum in drums]

    def start_of(k: int, drum: _Drum) -> Matrix:
        if drum.part in taught and parts.count(drum.part) == 1:
            return pattern_of(taught[drum.part], n_lags)
        return kit[k] if k in kit else _heard(V, drum, n_lags)

    starts = [start_of(k, drum) for k, drum in enumerate(drums)]
    sums = [max(float(start.sum()), _FLOOR) for start in starts]
    stacked = [start / total + _FLOOR for start, total in zip(starts, sums, strict=True)]
    return np.stack(stacked, axis=-1).astype(np.float32)


def _heard(V: Matrix, drum: _Drum, n_lags: int) -> Matrix:
    """Return what follows all strokes of a drum, whatever else is struck with it."""
    flux = np.maximum(np.diff(V, axis=1, prepend=V.dtype.type(0)), 0).sum(axis=0)
    padded = np.pad(V, ((0, 0), (0, n_lags))).T
    onsets = [
        first + int(np.argmax(flux[first:stop])) for first, stop in drum.spans if first < len(flux)
    ]
    if not onsets:
        return np.ones((n_lags, len(V)))
    patches = padded[np.array(onsets)[:, None] + np.arange(n_lags)]
    pattern: Matrix = np.percentile(patches, _PERCENTILE, axis=0)
    return pattern


def _with_examples(
    V: Matrix, drums: Sequence[_Drum], taught: Mapping[int, Matrix], n_lags: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the mixture with the examples after it, and where activations start.

    Silence of the length of a pattern keeps what rings on in one out of the next.
    """
    level, silence = V.sum() / V.shape[1] / len(drums), np.zeros((len(V), n_lags))
    H = np.full((len(drums), V.shape[1]), _UNWRITTEN)
    for k, drum in enumerate(drums):
        for first, stop in drum.spans:
            H[k, first:stop] = 1
    data, starts = [V], [level * H]
    for j, example in taught.items():
        gain = _EXAMPLE_WEIGHT * V.sum() / len(taught) / example.sum()
        mine = np.array([[drum.part == j] for drum in drums])
        data += [silence, gain * example]
        starts += [np.zeros((len(drums), n_lags)), mine * np.full(example.shape[1], level)]
    joined = np.asfortranarray(np.concatenate(data, axis=1), np.float32)
    return joined, np.concatenate(starts, axis=1).astype(np.float32)
