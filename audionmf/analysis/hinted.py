"""Sources that were grouped by ear, corrected by hints: these components are one source, those are not.

A hint names components. The first stays where it is: where they are the *same*, the others come to it;
where they are *apart*, the others leave its source, each for the one that its cues are nearest to.
What sounds much like those that were moved goes along, by the odds of `likeness`; where that is in
doubt, components are shared. To cluster anew
under such constraints was tried and moved more that was right than it mended; docs/methods.md has the
figures.

References
----------
Wagstaff and Cardie, "Clustering with instance-level constraints", ICML 2000, from which such hints.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audionmf.analysis.activations import with_activations
from audionmf.analysis.blind import component_name
from audionmf.analysis.cues import (
    by_shares,
    component_places,
    component_sound,
    component_strokes,
    cues_in_words,
    group_by_cues,
    odds_by_cues,
    parse_cues,
    places_by_cues,
    shared_by_cues,
)
from audionmf.analysis.doubt import held_shares
from audionmf.analysis.likeness import Sound, mean_field
from audionmf.analysis.naming import named
from audionmf.errors import LimitError, ParameterError
from audionmf.io.audio import Source
from audionmf.nmf.solver import thread_count
from audionmf.rendering.decomposition import Decomposition
from audionmf.rendering.grouping import Grouping, Hints, beyond_doubt, place_hints
from audionmf.sources.labels import Moments
from audionmf.spectra.blas import blas_threads
from audionmf.spectra.frames import Frames, Progress, gather, heard

__all__ = ["at_moments", "drawn_along", "regroup_by_ear"]

Features = NDArray[np.float64]

_STEREO_FRAMES, _FRAMES = 4096, 16384
_NEAR_SECONDS = 0.05
_STAY, _STAY_LOUD, _QUIETER, _LOUDER = 1.5, 0.6, -2.0, 4.0
"""How firmly a component stays in its source, in nats of its odds, and how much more for each e times
the energy of the softest that a hint moved, within these: a louder one would have been named."""

_STAY_IN_DOUBT, _TRUST, _LEAST = 0.6, 0.6, 0.05
"""How firmly it stays where there was doubt; how much is made of what was likely before, of which so
much is left to every source."""

_TOLD_WEIGHT, _PULL, _STEPS = 0.3, 2.0, 30
"""How much a component counts whose source is told, where all count 1 together; how far odds draw;
steps of the field."""


@dataclasses.dataclass(frozen=True, eq=False)
class _Heard:
    """What is heard of the components of a recording."""

    frames: Frames
    H: NDArray[np.float32]
    places: NDArray[np.complex128] | None
    components: Sound
    cues: tuple[str, ...]

    @cached_property
    def odds(self) -> Features:
        """Those of each two components, which grouping, sharing and hints go by."""
        return odds_by_cues(self.components, self.cues)


def regroup_by_ear(
    source: Source,
    found: Decomposition,
    hints: Hints | None = None,
    n_sources: int | None = None,
    progress: Progress | None = None,
    *,
    draw: bool = True,
) -> Decomposition:
    """Group components by what is heard of them, corrected by hints.

    Parameters
    ----------
    source : Audio or AudioFile
        The recording.
    found : Decomposition
        What it is made of. Where each component is a source of its own, as `audionmf.decompose`
        leaves them, they are grouped first; other groups stay but for what is said.
    hints : Hints, optional
        Which components are in one source, and which are not.
    n_sources : int, optional
        Group all components anew, into so many sources, 1 to their number.
    progress : callable, optional
        Told the stage and the share done.
    draw : bool, default True
        What sounds much like the components that hints move goes along (`drawn_along`); False: only
        those move that hints name.

    Returns
    -------
    Decomposition
        With remarks that say what was moved. A source that hints leave nothing of is no more.

    Raises
    ------
    ParameterError
        If a component does not exist, hints contradict each other or leave a component no source,
        there are more sources asked for than components, or the decomposition has no components
        that could be grouped.
    LimitError
        If hints name more components than there may be.
    """
    if found.margin is not None:
        raise ParameterError(
            "harmonic and percussive sound have no components that could be grouped"
        )
    hints = hints or Hints()
    hints.check(found.n_components)
    source, report = source.without_offset(), heard(progress)
    sound = _heard_of(source, found, progress)
    report("group", 0.0)
    apart = list(found.grouping) == [component_name(k) for k in range(found.n_components)]
    if n_sources is not None or apart:
        found = _by_ear(found, sound, n_sources)
        found, moved, along = _hinted(found, sound, hints, draw)
        sides = None
        if sound.places is not None:
            left, right = sound.places[:, 0, 0].real, sound.places[:, 1, 1].real
            sides = (right - left) / np.maximum(left + right, 1e-30)
        found = named(found, source, sound.frames, sound.H, sides=sides)
    else:
        found, moved, along = _hinted(found, sound, hints, draw)
    if hints:
        remarks = (*found.remarks, *_told(found, moved, along))
        found = dataclasses.replace(found, remarks=remarks)
    report("group", 1.0)
    frames = sound.frames
    wide = found.settings.spatial and len(found.grouping) > 1 and frames.V.any()
    if wide and frames.X is not None and found.patterns is None:
        found = found.with_covariances(frames.X, sound.H, report)
    return found


def at_moments(
    source: Source,
    found: Decomposition,
    same: Moments,
    apart: Moments,
    progress: Progress | None = None,
) -> Decomposition:
    """Correct the sources of a recording by hints that name moments: what is loudest there is meant.

    Parameters
    ----------
    source, found, progress
        As in `regroup_by_ear`.
    same, apart : sequence of sequences of float
        In seconds: what sounds at these moments is one source; what sounds at the later ones of them
        is not the source of the first.

    Returns
    -------
    Decomposition
        As `regroup_by_ear` gives it, with remarks that say what the moments were taken for.

    Raises
    ------
    ParameterError
        If a moment is outside of the recording, or nothing sounds there; else as `regroup_by_ear`
        does.
    """
    found = with_activations(source.without_offset(), found, progress)
    component = partial(_component_at, found)
    hints = Hints(
        tuple(tuple(map(component, moments)) for moments in same),
        tuple(tuple(map(component, moments)) for moments in apart),
    )
    at: dict[float, int] = {m: component(m) for moments in (*same, *apart) for m in moments}
    told = ", ".join(f"component {k} at {moment:g} s" for moment, k in sorted(at.items()))
    for moments, members in zip((*same, *apart), (*hints.same, *hints.apart), strict=True):
        if len(set(members)) < len(members):
            raise ParameterError(
                f"a hint needs moments of different sounds, and the loudest is the same more than "
                f"once at {_in_words(moments)} s ({told}); name other moments"
            )
    changed = regroup_by_ear(source, found, hints, progress=progress)
    n_before = len(found.remarks)
    remarks = (
        *changed.remarks[:n_before],
        f"heard as loudest: {told}",
        *changed.remarks[n_before:],
    )
    return dataclasses.replace(changed, remarks=remarks)


def _component_at(found: Decomposition, moment: float) -> int:
    """Return the component that is loudest around a moment."""
    H, templates = found.activations, found.templates
    seconds = found.mixture.n_samples / templates.sample_rate
    if not 0 <= moment <= seconds:
        raise ParameterError(f"a hint names {moment:g} s; the recording is {seconds:g} s long")
    per_second = templates.sample_rate / templates.stft.hop_length
    first = max(0, round((moment - _NEAR_SECONDS) * per_second))
    last = round((moment + _NEAR_SECONDS) * per_second) + 1
    near = H[:, first:last].sum(axis=1, dtype=np.float64) if H is not None else np.zeros(1)
    loudness = near * templates.templates.sum(axis=0)
    if not loudness.any():
        raise ParameterError(f"nothing sounds at {moment:g} s, which a hint names; name another")
    return int(loudness.argmax())


def _in_words(moments: Sequence[Any]) -> str:
    return " and ".join(f"{moment:g}" for moment in moments)


def _heard_of(source: Source, found: Decomposition, progress: Progress | None) -> _Heard:
    """Read the recording, and hear its components."""
    found, report = with_activations(source, found, progress), heard(progress)
    templates, H = found.templates, found.activations
    if H is None:
        raise LimitError("activations of the recording are not known")
    stereo = source.n_channels == 2
    frames = gather(
        source, templates.stft, _STEREO_FRAMES if stereo else _FRAMES, keep_transform=stereo,
        n_threads=thread_count(found.settings.n_threads), progress=partial(report, "read"),
        warn=False,
    )  # fmt: skip
    H = np.ascontiguousarray(H[:, :: frames.step][:, : frames.V.shape[1]])
    places, energies = component_places(frames, templates.templates, H)
    struck = component_strokes(
        frames, templates.templates, H, templates.stft, templates.sample_rate
    )
    sound = component_sound(templates, H, places, energies, struck)
    return _Heard(frames, H, places, sound, parse_cues(found.settings.cues))


def _by_ear(found: Decomposition, sound: _Heard, n_sources: int | None) -> Decomposition:
    components, odds = sound.components, sound.odds
    grouping, choice, told = group_by_cues(components, n_sources, sound.cues, odds)
    remarks = [choice.to_text()] if choice else []
    remarks += [cues_in_words(told)] if told else []
    changed = found.of_groups(*shared_by_cues(odds, components.energies, grouping))
    return dataclasses.replace(changed, remarks=(*found.remarks, *remarks))


def _hinted(
    found: Decomposition, sound: _Heard, hints: Hints, draw: bool
) -> tuple[Decomposition, list[int], list[int]]:
    """Return the same with what hints say, the components they moved, and those that went along."""
    if not hints:
        return found, [], []
    components, odds = sound.components, sound.odds
    features, weights = places_by_cues(odds, components.energies)
    owner = {k: name for name, group in found.grouping.items() for k in group}

    def nearest(component: int, grouping: Grouping) -> str:
        def far(name: str) -> float:
            members = list(grouping[name])
            centre = np.average(features[members], axis=0, weights=weights[members])
            return float(((features[component] - centre) ** 2).sum())

        return min(grouping, key=far)

    grouping = place_hints(found.grouping, hints, nearest)
    moved = sorted(k for name, group in grouping.items() for k in group if owner[k] != name)
    along: list[int] = []
    shares = found.shares if not moved else None
    if moved and draw:
        names, before = list(grouping), np.empty(len(weights), np.int64)
        for i, group in enumerate(grouping.values()):
            before[list(group)] = i
        likely = drawn_along(
            before, odds, weights, components.energies, moved,
            told=beyond_doubt(grouping, hints), named=hints.named(),
            shares=_shares_of(found, names),
        )  # fmt: skip
        shares = held_shares(likely)
        after = likely.argmax(axis=0)
        along = [int(k) for k in np.flatnonzero(after != before)]
        grouping = by_shares(names, likely)
    return found.of_groups(grouping, shares), moved, along


def _shares_of(found: Decomposition, names: Sequence[str]) -> NDArray[np.float32] | None:
    """Return the shares of these sources, if there are any and no source was left out."""
    if found.shares is None or len(names) < len(found.grouping):
        return None
    before = list(found.grouping)
    return found.shares[[before.index(name) for name in names]]


def drawn_along(
    owner: NDArray[np.int64],
    odds: Features,
    weights: Features,
    energies: Features,
    moved: Sequence[int],
    *,
    told: Collection[int],
    named: Collection[int],
    shares: NDArray[np.float32] | None = None,
) -> Features:
    """Return whose components likely are after some were moved and what sounds like them goes along.

    The mean field of a random field over components: each stays in its source as far as the odds that
    it is of one source with others, of which those count most that are told, do not speak for
    another one. The loudest component of each source stays, and those that hints name.

    Parameters
    ----------
    owner : ndarray, shape (n_components,), int64
        The source of each, as hints left them.
    odds : ndarray, shape (n_components, n_components)
        Log odds of each two that they are of one source.
    weights : ndarray, shape (n_components,)
        How much each counts; they sum to 1.
    energies : ndarray, shape (n_components,)
        How much each is of the mixture, ≥ 0.
    moved : sequence of int
        Those that hints moved, one or more: what is louder would have been named.
    told : collection of int
        Those whose source hints leave in no doubt.
    named : collection of int
        Those that hints name.
    shares : ndarray, shape (n_sources, n_components), optional
        How likely each was of each source before; None: the groups were in no doubt.

    Returns
    -------
    ndarray, shape (n_sources, n_components), float64
        Sums over the sources are 1.
    """
    n_sources, everyone = int(owner.max()) + 1, np.arange(len(owner))
    loud = np.log(np.maximum(energies, 1e-30) / max(float(energies[list(moved)].min()), 1e-30))
    stay = np.zeros((n_sources, len(owner)))
    stay[owner, everyone] = _STAY_LOUD * np.clip(loud, _QUIETER, _LOUDER)
    if shares is None:
        stay[owner, everyone] += _STAY
    else:
        stay[owner, everyone] += _STAY_IN_DOUBT
        stay += _TRUST * np.log((1 - _LEAST) * shares + _LEAST / n_sources)
    members = [np.flatnonzero(owner == i) for i in range(n_sources)]
    fixed = [*named, *(int(group[energies[group].argmax()]) for group in members if len(group))]
    stay[:, fixed] = -np.inf
    stay[owner[fixed], fixed] = 0
    counted = weights.copy()
    counted[list(told)] = np.maximum(counted[list(told)], _TOLD_WEIGHT)
    pull = _PULL * odds * counted[:, None]
    np.fill_diagonal(pull, 0)
    with blas_threads(1):  # what is found must not depend on how many there are
        return mean_field(stay, pull, _STEPS)


def _told(found: Decomposition, moved: Sequence[int], along: Sequence[int]) -> list[str]:
    """Say where components went, by the names that the sources have at last."""
    if not moved:
        return ["the groups agree with the hints: no component had to be moved"]
    owner = {k: name for name, group in found.grouping.items() for k in group}
    said = [f"by the hints, component {k} went to {owner[k]!r}" for k in moved]
    for name, group in found.grouping.items():
        went = [str(k) for k in along if k in group]
        if went:
            what = f"component{'s' if len(went) > 1 else ''} {', '.join(went)}"
            said.append(f"because of how they sound, {what} went to {name!r} as well")
    return said
