"""Refine: what a listener says about parts of the spectrogram makes a factorisation better.

A `Hint` marks a rectangle of time and frequency: it belongs to a source, or a source is not there.
`refine` goes on from a decomposition with these hints (see `audionmf.nmf.constrained`). The result
is a decomposition like any other: it is rendered, regrouped and saved in the same way.

References
----------
Bryan, Mysore and Wang, "ISSE: an interactive source separation editor", CHI 2014.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audionmf import nmf
from audionmf.errors import ParameterError
from audionmf.io.audio import Audio, Source
from audionmf.nmf.constrained import MAX_PENALTY, fit_constrained
from audionmf.nmf.solver import thread_count
from audionmf.rendering.decomposition import Decomposition
from audionmf.spectra.frames import Progress, gather
from audionmf.spectra.stft import STFT

__all__ = ["MOST_SPANS", "Hint", "refine", "refine_within"]

MOST_SPANS = 256
"""Rectangles that a hint may consist of."""

_MAX_ZONES = 1 << 16
_MOST_FRAMES = 1024
"""Frames with hints, and as many without, that templates are learned from."""

_PLAIN_ITERATIONS, _HINTED_ITERATIONS = 10, 15
"""Of the activations of all frames, which start near where they end."""
_FEW = 0.1
"""Share of the frames that hints are about up to which the others are not picked out."""


@dataclass(frozen=True)
class Hint:
    """What is known of a rectangle of the spectrogram, or of parts of it.

    Parameters
    ----------
    source : str
        The source.
    belongs : bool
        True: what sounds there is this source. False: this source does not sound there.
    start, end : float
        In seconds, ``0 ≤ start < end``.
    low, high : float
        In Hz, ``0 ≤ low < high``.
    strength : float, default 10
        How firmly, more than 0 to 50: 1 is "rather", 10 leaves no doubt.
    spans : tuple of (float, float, float, float), default ()
        Rectangles, each from start to end and from low to high, at most 256, of which the marked
        part consists, as a brush or a lasso leaves them. Default: all of the rectangle.

    Raises
    ------
    ParameterError
        If a number is not in its range.
    """

    source: str
    belongs: bool
    start: float
    end: float
    low: float
    high: float
    strength: float = 10.0
    spans: tuple[tuple[float, float, float, float], ...] = ()

    def __post_init__(self) -> None:
        if len(self.spans) > MOST_SPANS:
            raise ParameterError(f"a hint consists of {MOST_SPANS} rectangles at most")
        for start, end, low, high in self.spans:
            Hint(self.source, self.belongs, start, end, low, high, self.strength)
        numbers = (self.start, self.end, self.low, self.high, self.strength)
        if not all(math.isfinite(number) for number in numbers):
            raise ParameterError("a hint is given in finite numbers")
        if not (0 <= self.start < self.end and 0 <= self.low < self.high):
            raise ParameterError(
                f"a hint spans from a time to a later one, and from a frequency to a higher one; "
                f"not {self.start:g} to {self.end:g} s, {self.low:g} to {self.high:g} Hz"
            )
        if not 0 < self.strength <= MAX_PENALTY:
            raise ParameterError(f"the strength of a hint is above 0 and at most {MAX_PENALTY:g}")


def refine(
    mixture: Source,
    decomposition: Decomposition,
    hints: Sequence[Hint],
    *,
    max_iter: int = 15,
    progress: Progress | None = None,
    watch: nmf.Callback | None = None,
) -> Decomposition:
    """Go on from a decomposition with hints about its sources.

    Of a long recording, templates are learned again from at most 2048 frames: half of them where
    hints are, the others spread evenly, each counted for those that it stands for. Activations are
    then found for all frames, from where they were.

    Parameters
    ----------
    mixture : Audio or AudioFile
        The recording.
    decomposition : Decomposition
        Where to start; found under β = 1, with its activations.
    hints : sequence of Hint
        Each about a source of ``decomposition.grouping``.
    max_iter : int, default 15
        Most iterations: the start is near already.
    progress : callable, optional
        Told the stage and the share done.
    watch : callable, optional
        Called with the `nmf.State`, which has the objective, after each iteration; returning True
        ends the refinement there.

    Returns
    -------
    Decomposition
        With other templates and activations; labels and grouping are the same, places in the stereo
        image are forgotten. ``divergence`` is the objective on the frames that were learned from.

    Raises
    ------
    ParameterError
        If a hint is about a source that does not exist, or about no frame or bin, or there are not
        two sources to choose between, or the decomposition cannot be refined.
    """
    report = progress or (lambda _stage, _done: None)
    H = _activations(decomposition)
    problem = _posed(mixture, decomposition, H, hints, report)
    templates, config = decomposition.templates, decomposition.settings
    chosen, counts = _learned_from(np.asarray(problem.zones.any(axis=0)))
    found = fit_constrained(
        problem.V[:, chosen] * counts, templates.templates, H[:, chosen] * counts, problem.groups,
        problem.zones[:, chosen], problem.penalties, max_iter=max_iter, tol=config.tol,
        callback=_told(report, watch), n_threads=config.n_threads,
    )  # fmt: skip
    if len(chosen) == H.shape[1]:
        activations = found.activations
    else:
        activations = problem.activations(found.templates)
    return dataclasses.replace(
        decomposition,
        templates=dataclasses.replace(templates, templates=found.templates),
        activations=np.ascontiguousarray(activations, np.float32),
        divergence=found.objective,
        reason=found.reason,
        penalties=None,
        banded=False,
        covariances=None,
        shares=None,
    )


def refine_within(
    mixture: Audio,
    decomposition: Decomposition,
    hints: Sequence[Hint],
    within: tuple[float, float],
    *,
    progress: Progress | None = None,
    watch: nmf.Callback | None = None,
) -> Decomposition:
    """Find the activations of a part of a recording again, with hints, and leave all else as it is.

    Templates stay what they are, so that this takes as long as the part is, not the recording: it is
    what can be heard while hints are being drawn. `refine` then learns from them, too.

    Parameters
    ----------
    mixture, decomposition, hints, progress, watch
        As of `refine`; hints outside the part are passed over.
    within : (float, float)
        From where to where, in seconds.

    Returns
    -------
    Decomposition
        With other activations in the part.

    Raises
    ------
    ParameterError
        As `refine` does, or if there is no frame or no hint in the part.
    """
    start, end = within
    templates, H = decomposition.templates, _activations(decomposition)
    stft, rate = templates.stft, templates.sample_rate
    times = stft.times(H.shape[1], rate)
    inside = np.flatnonzero((times >= start) & (times <= end))
    if not inside.size:
        raise ParameterError(f"there is nothing from {start:g} to {end:g} s")
    first = max(0, int(inside[0]) - -(-stft.n_fft // stft.hop_length))  # whole windows at the edge
    stop = int(inside[-1]) + 1
    cut = Audio(
        mixture.samples[:, first * stft.hop_length : stop * stft.hop_length + stft.n_fft], rate
    )
    shift, length = float(times[first]), cut.duration
    moved = [own for hint in hints if (own := _moved(hint, shift, length)) is not None]
    n_frames = stft.n_frames(cut.n_samples)
    part = np.zeros((H.shape[0], n_frames), np.float32)
    known = min(n_frames, H.shape[1] - first)
    part[:, :known] = H[:, first : first + known]
    report = progress or (lambda _stage, _done: None)
    problem = _posed(cut, decomposition, part, moved, report)
    found = fit_constrained(
        problem.V, templates.templates, part, problem.groups, problem.zones, problem.penalties,
        max_iter=_HINTED_ITERATIONS, fixed_templates=True, callback=_told(report, watch),
        n_threads=decomposition.settings.n_threads,
    )  # fmt: skip
    activations = H.copy()
    activations[:, inside] = found.activations[:, inside - first]
    return dataclasses.replace(decomposition, activations=activations)


def _moved(hint: Hint, seconds: float, length: float) -> Hint | None:
    """Return a hint on the clock of a part of the recording; None if it is not in it."""
    spans = hint.spans or ((hint.start, hint.end, hint.low, hint.high),)
    kept = tuple(
        (max(0.0, start - seconds), min(length, end - seconds), low, high)
        for start, end, low, high in spans
        if max(0.0, start - seconds) < min(length, end - seconds)
    )
    if not kept:
        return None
    begin, finish = min(s[0] for s in kept), max(s[1] for s in kept)
    return dataclasses.replace(hint, start=begin, end=finish, spans=kept)


@dataclass(frozen=True, eq=False)
class _Problem:
    """What is refined: all frames, the start, and who is not wanted where."""

    V: NDArray[np.float32]
    H: NDArray[np.float32]
    groups: list[int]
    zones: NDArray[np.uint16]
    penalties: NDArray[np.float64]
    n_threads: int | None

    def activations(self, W: NDArray[Any]) -> NDArray[np.float32]:
        """Return the activations of templates in all frames, from where they were."""
        hinted = self.zones.any(axis=0)
        # Of a few frames activations are found in vain, where to leave them out would copy all others.
        few = hinted.mean() < _FEW
        plain = slice(None) if few else ~hinted
        found = self.H.copy()
        found[:, plain] = nmf.activate(
            self.V[:, plain], W, activations=self.H[:, plain], n_iter=_PLAIN_ITERATIONS,
            n_threads=self.n_threads,
        )  # fmt: skip
        found[:, hinted] = fit_constrained(
            self.V[:, hinted], W, self.H[:, hinted], self.groups, self.zones[:, hinted],
            self.penalties, max_iter=_HINTED_ITERATIONS, fixed_templates=True,
            n_threads=self.n_threads,
        ).activations  # fmt: skip
        return found


def _activations(decomposition: Decomposition) -> NDArray[np.float32]:
    """Return the activations of a decomposition that can be refined."""
    H = decomposition.activations
    if H is None or decomposition.patterns is not None or decomposition.settings.beta != 1:
        raise ParameterError(
            "only a decomposition into templates, under beta 1 and with activations, can be refined"
        )
    return H


def _posed(
    mixture: Source,
    decomposition: Decomposition,
    H: NDArray[np.float32],
    hints: Sequence[Hint],
    report: Progress,
) -> _Problem:
    """Return what is to be refined, from these activations of the frames of a recording."""
    names = list(decomposition.grouping)
    if not hints or len(names) < 2:
        raise ParameterError("to refine takes at least one hint and two sources to choose between")
    templates, config = decomposition.templates, decomposition.settings
    zones, penalties = _zones(hints, names, templates.stft, templates.sample_rate, H.shape[1])
    frames = gather(
        mixture, templates.stft, H.shape[1], n_threads=thread_count(config.n_threads),
        progress=lambda done: report("read", done),
    )  # fmt: skip
    owner = {k: g for g, name in enumerate(names) for k in decomposition.grouping[name]}
    groups = [owner[k] for k in range(len(owner))]
    return _Problem(frames.V, H, groups, zones, penalties, config.n_threads)


def _told(report: Progress, watch: nmf.Callback | None) -> nmf.Callback:
    """Return a callback that tells how far the iterations are."""

    def callback(state: nmf.State) -> bool | None:
        report("refine", state.iteration / state.max_iter)
        return watch(state) if watch else None

    return callback


def _learned_from(hinted: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the frames that templates are learned from, and how many each of them stands for."""
    counts = np.zeros(len(hinted), np.float32)
    for kind in (hinted, ~hinted):
        frames = np.flatnonzero(kind)
        step = 1 if len(hinted) <= 2 * _MOST_FRAMES else max(1, -(-len(frames) // _MOST_FRAMES))
        counts[frames[::step]] = step
    chosen = np.flatnonzero(counts)
    return chosen, counts[chosen]


def _zones(
    hints: Sequence[Hint], names: list[str], stft: STFT, rate: int, n_frames: int
) -> tuple[NDArray[np.uint16], NDArray[np.float64]]:
    """Return the zone of each element, and the penalties of each zone on each source.

    Where hints overlap, a source gets the largest of its penalties.
    """
    frequencies, times = stft.frequencies(rate), stft.times(n_frames, rate)
    zones = np.zeros((n_frames, stft.n_bins), np.uint16)
    table = {(0.0,) * len(names): 0}
    for hint in hints:
        wanted = _penalty(hint, names)
        spans = hint.spans or ((hint.start, hint.end, hint.low, hint.high),)
        parts = [part for span in spans if (part := _part(zones, span, times, frequencies)).size]
        if not parts:
            raise ParameterError(
                f"the hint about {hint.source!r} at {hint.start:g} to {hint.end:g} s, "
                f"{hint.low:g} to {hint.high:g} Hz holds no element of the spectrogram; "
                "make it larger"
            )
        for part in parts:
            before, rows = part.copy(), list(table)
            for zone in np.unique(before):
                row = tuple(np.maximum(rows[zone], wanted).tolist())
                part[before == zone] = table.setdefault(row, len(table))
        if len(table) >= _MAX_ZONES:
            raise ParameterError("the hints overlap in too many ways; take some of them away")
    return zones.T, np.array(list(table))


def _part(
    zones: NDArray[np.uint16],
    span: tuple[float, float, float, float],
    times: NDArray[np.float64],
    frequencies: NDArray[np.float64],
) -> NDArray[np.uint16]:
    """Return the view of the elements in a rectangle; an empty one where it holds none."""
    start, end, low, high = span
    bins = np.flatnonzero((low <= frequencies) & (frequencies <= high))
    frames = np.flatnonzero((start <= times) & (times < end))
    if not (bins.size and frames.size):
        return zones[:0, :0]
    return zones[frames[0] : frames[-1] + 1, bins[0] : bins[-1] + 1]


def _penalty(hint: Hint, names: list[str]) -> NDArray[np.float64]:
    if hint.source not in names:
        raise ParameterError(
            f"a hint is about {hint.source!r}; the sources are {', '.join(map(repr, names))}"
        )
    this = np.array([name == hint.source for name in names])
    return np.where(this != hint.belongs, hint.strength, 0.0)
