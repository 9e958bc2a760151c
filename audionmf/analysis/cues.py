"""Which components belong together, when nobody says so: several cues, each heard on its own.

What comes from one instrument tends to come from one *place*, to have one *timbre*, to stay in one
*pitch* range, and to start and end alike (its *course*). Every cue gives numbers for every component;
components are joined, two clusters at a time, where the cues differ least. How much a difference in
timbre, pitch and course says was learnt (`likeness`); weights chosen by hand stay beside that. No
random start, and any cue can be left out.

References
----------
Bregman, "Auditory scene analysis", MIT Press 1990. Spiertz and Gnann, "Source-filter based clustering
for monaural blind source separation", DAFx 2009. FitzGerald, Cranitch and Coyle, "Extended nonnegative
tensor factorisation models for musical sound source separation", Computational Intelligence and
Neuroscience, 2008.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audionmf.analysis.clustering import GroupingChoice, join_clusters
from audionmf.analysis.likeness import likeness, sound_features
from audionmf.errors import ParameterError
from audionmf.rendering.grouping import Grouping
from audionmf.sources.known import source_name
from audionmf.sources.templates import Templates
from audionmf.spectra.blas import blas_threads
from audionmf.spectra.frames import BLOCK_FRAMES, Frames
from audionmf.spectra.fused import FramePass, maximum

__all__ = [
    "CUES",
    "component_cues",
    "component_places",
    "cues_in_words",
    "group_by_cues",
    "joined_cues",
    "only_cues",
    "parse_cues",
]

Features = NDArray[np.float64]

CUES = ("place", "timbre", "pitch", "course")
"""The cues: level and phase difference between the channels; colour and shape of the template; its
pitch; how the activation rises, falls and goes on."""

_CLIP = 3.0
_TINY = 1e-12
_ALIKE = 1e-9
_PLACE = CUES[0]
_LEARNT = 3.0
_BY_HAND = {
    "timbre": [(1.25, slice(0, 12)), (1.0, slice(12, 13))],
    "pitch": [(0.3, slice(1, 2))],
    "course": [(0.5, slice(0, 1))],
}
_LEAST_SHARE = 0.15
_LEAST_LEVEL_SPREAD = 0.02
_LEAST_PHASE_SPREAD = 0.3
_PHASE_WEIGHT = 0.3
_LEAST_MODEL = 1e-20


def component_cues(
    templates: Templates,
    activations: NDArray[np.float32],
    places: NDArray[np.complex128] | None,
    pitches: NDArray[np.float64],
) -> dict[str, list[tuple[float, Features]]]:
    """Return what each cue says of each component.

    Parameters
    ----------
    templates : Templates
        W.
    activations : ndarray, shape (n_components, n_frames), float32
        H.
    places : ndarray, shape (n_components, 2, 2), complex128, optional
        Sum over bins and frames of each component's share of X Xᴴ; None where there is one channel.
    pitches : ndarray, shape (n_components,)
        In semitones; NaN where a component has no pitch, which then goes by its brightness.

    Returns
    -------
    dict of str to list of (float, ndarray)
        For each of `CUES`, weights and features of shape (n_components, n_features), standardised
        later. The first ones of a sound are learnt, lie on the same axes for all cues, and are
        added up.
    """
    heard = sound_features(templates, activations, pitches)
    places_heard = [] if places is None else _place_features(places)
    by_hand = {
        name: [(weight, heard[name][:, some]) for weight, some in pairs]
        for name, pairs in _BY_HAND.items()
    }
    learnt = likeness(heard)
    return {"place": places_heard} | {n: [(_LEARNT, learnt[n]), *by_hand[n]] for n in by_hand}


def _place_features(places: NDArray[np.complex128]) -> list[tuple[float, Features]]:
    left, right, cross = places[:, 0, 0].real, places[:, 1, 1].real, places[:, 0, 1]
    total = np.maximum(left + right, np.finfo(np.float64).tiny)
    level = (left - right) / total
    phase = np.angle(cross) * np.minimum(1, 2 * np.abs(cross) / total)
    # Where all stand at one place, what little they differ by is noise: it weighs less.
    return [
        (min(1.0, level.std() / _LEAST_LEVEL_SPREAD), level[:, None]),
        (_PHASE_WEIGHT * min(1.0, phase.std() / _LEAST_PHASE_SPREAD), phase[:, None]),
    ]


def component_places(
    frames: Frames, W: NDArray[np.float32], H: NDArray[np.float32]
) -> tuple[NDArray[np.complex128] | None, NDArray[np.float64]]:
    """Return Σ m X Xᴴ and Σ m |X|² for the mask m of each component.

    Parameters
    ----------
    frames : Frames
        V, and X where there are two channels.
    W : ndarray, shape (n_bins, n_components), float32
        Templates.
    H : ndarray, shape (n_components, n_frames), float32
        Activations of these frames.

    Returns
    -------
    places : ndarray, shape (n_components, 2, 2), complex128, or None
        None where there is no X.
    energies : ndarray, shape (n_components,), float64
        ≥ 0.
    """
    n_sums = 1 if frames.X is None else 4
    sums = np.zeros((4, W.shape[1]))
    rows = np.ascontiguousarray(W.T)
    given = [frames.V] if frames.X is None else list(frames.X)
    with blas_threads(1):  # products of blocks are small, and threads would wait for each other
        for first in range(0, frames.V.shape[1], BLOCK_FRAMES):
            block = slice(first, first + BLOCK_FRAMES)
            H_block = np.ascontiguousarray(H[:, block].T)
            model = H_block @ rows
            shares = np.empty((n_sums, *model.shape), np.float32)
            _shares_pass(n_sums)([*(x[:, block].T for x in given), model], [*shares])
            for total, share in zip(sums, shares, strict=False):
                total += np.einsum("kf,kf->k", rows, H_block.T @ share)
    energies = sums[0] + sums[1]
    if frames.X is None:
        return None, energies
    cross = sums[2] + 1j * sums[3]
    return np.moveaxis(np.array([[sums[0], cross], [cross.conj(), sums[1]]]), -1, 0), energies


@functools.cache
def _shares_pass(n_sums: int) -> FramePass:
    """Return what gives the powers of a bin, and both parts of the cross power, over its model."""

    def of_magnitudes(magnitude: Any, model: Any) -> list[Any]:
        return [magnitude * magnitude * (1.0 / maximum(model, _LEAST_MODEL))]

    def of_channels(left: Any, right: Any, model: Any) -> list[Any]:
        (a, b), (c, d), inverse = left, right, 1.0 / maximum(model, _LEAST_MODEL)
        products = a * a + b * b, c * c + d * d, a * c + b * d, b * c - a * d
        return [product * inverse for product in products]

    if n_sums == 1:
        return FramePass(of_magnitudes, "ff", "f")
    return FramePass(of_channels, "ccf", "ffff")


def group_by_cues(
    cues: Mapping[str, Sequence[tuple[float, Features]]],
    energies: NDArray[np.float64],
    n_sources: int | None = None,
) -> tuple[Grouping, GroupingChoice | None, dict[str, float]]:
    """Group components into sources where all cues together differ least.

    Parameters
    ----------
    cues : mapping of str to sequence of (float, ndarray)
        As `component_cues` gives them; leave out those that are not to be heard.
    energies : ndarray, shape (n_components,)
        How much each component counts, ≥ 0.
    n_sources : int, optional
        Number of sources, 1 to the number of components; None: it is chosen.

    Returns
    -------
    dict of str to tuple of int
        ``source1``, ``source2``, … in the order of their first component.
    GroupingChoice or None
        How the number was chosen, where it was.
    dict of str to float
        Which share of what tells the sources apart is due to each cue; the shares sum to 1. Empty
        where nothing does.

    Raises
    ------
    ParameterError
        If `n_sources` is out of its range.
    """
    n_components = len(energies)
    if n_sources is not None and not 1 <= n_sources <= n_components:
        raise ParameterError(
            f"{n_sources} sources cannot be made of {n_components} components; "
            "ask for fewer sources or more components"
        )
    alike, own, weights = _columns(cues, energies)
    tree = join_clusters(_joined(alike, own, n_components), weights)
    choice = tree.choose(_LEAST_SHARE) if n_sources is None else None
    groups = tree.cut(n_sources or (choice.n_sources if choice else 1))
    between = {name: _between(x, x, weights, groups) for name, x in own.items()}
    for name, x in alike.items():
        between[name] += _between(x, sum(alike.values(), np.zeros(1)), weights, groups)
    total = sum(between.values())
    shares = {name: part / total for name, part in between.items()} if total > _ALIKE else {}
    return {source_name(i): group for i, group in enumerate(groups)}, choice, shares


def joined_cues(
    cues: Mapping[str, Sequence[tuple[float, Features]]], energies: NDArray[np.float64]
) -> tuple[Features, NDArray[np.float64]]:
    """Return where components are by all cues, (n_components, n_features), and how much they count.

    Parameters
    ----------
    cues, energies
        As in `group_by_cues`.
    """
    alike, own, weights = _columns(cues, energies)
    return _joined(alike, own, len(energies)), weights


def _columns(
    cues: Mapping[str, Sequence[tuple[float, Features]]], energies: NDArray[np.float64]
) -> tuple[dict[str, Features], dict[str, Features], NDArray[np.float64]]:
    """Return the features of each cue on the axes of all, its own, and the weights of components."""
    weights = np.maximum(energies / max(energies.sum(), _TINY), 1e-9)
    own = {
        name: np.concatenate(
            [_standardised(x, weights, w) for w, x in (cue if name == _PLACE else cue[1:])], axis=1
        )
        for name, cue in cues.items()
        if cue
    }
    learnt = {name: cue[0] for name, cue in cues.items() if name != _PLACE}
    alike = {n: x - np.average(x, axis=0, weights=weights) for n, (_, x) in learnt.items()}
    together = sum(alike.values(), np.zeros((len(weights), 1)))
    power = np.average(together**2, axis=0, weights=weights).sum()
    scale = {n: w / np.sqrt(power) if power > _ALIKE else 0.0 for n, (w, _) in learnt.items()}
    return {name: x * scale[name] for name, x in alike.items()}, own, weights


def _joined(
    alike: Mapping[str, Features], own: Mapping[str, Features], n_components: int
) -> Features:
    together = sum(alike.values(), np.zeros((n_components, 1)))
    return np.concatenate([together, *own.values()], axis=1)


def cues_in_words(shares: Mapping[str, float]) -> str:
    """Say what told the sources apart, the strongest cue first."""
    ordered = sorted(shares.items(), key=lambda item: -item[1])
    said = {"place": "place in stereo", "course": "course in time"}
    return "told apart by " + ", ".join(
        f"{said.get(name, name)} ({share:.0%})" for name, share in ordered
    )


def _between(
    part: Features,
    whole: Features,
    weights: NDArray[np.float64],
    groups: Sequence[Sequence[int]],
) -> float:
    """Return what one part of the features adds to how far apart the groups are."""

    def away(x: Features, group: list[int]) -> Features:
        """Return how far the mean of a group is from that of all."""
        own: Features = np.average(x[group], axis=0, weights=weights[group])
        return own - np.average(x, axis=0, weights=weights)

    added = sum(
        float(weights[g].sum() * (away(part, g) @ away(whole, g))) for g in map(list, groups)
    )
    return max(added, 0.0)


def _standardised(features: Features, weights: NDArray[np.float64], weight: float) -> Features:
    """Scale features to a standard deviation of `weight` over all of them, outliers held back."""
    centred = features - np.average(features, axis=0, weights=weights)
    spread = np.sqrt(np.average(centred**2, axis=0, weights=weights))
    scaled: Features = np.clip(centred / np.where(spread > _TINY, spread, 1), -_CLIP, _CLIP)
    scaled *= weight / np.sqrt(features.shape[1])
    return scaled


def parse_cues(text: str) -> tuple[str, ...]:
    """Read names of cues, separated by commas.

    Raises
    ------
    ParameterError
        If there is no such cue, or none is named.
    """
    names = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    return _checked(names)


def _checked(names: Iterable[str]) -> tuple[str, ...]:
    names = tuple(names)
    wrong = [name for name in names if name not in CUES]
    if wrong or not names:
        raise ParameterError(f"the cues are {', '.join(CUES)}, not {', '.join(wrong) or 'none'!r}")
    return names


def only_cues(cues: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Return the cues of these names."""
    return {name: cues[name] for name in names}
