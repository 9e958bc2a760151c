"""Which components belong together, when nobody says so: several cues, heard together.

What comes from one instrument tends to come from one *place*, to have one *timbre*, to stay in one
*pitch* range, and to start and end alike (its *course*). How much a difference in each says was
learnt (`likeness`); components are joined, two clusters at a time, where they are most alike. No
random start, and any cue can be left out. Where drums play with others, what is strokes and what is
tones are told apart by medians besides (FitzGerald 2010): that shows in the spectrogram, not in a
template and its activation.

References
----------
Bregman, "Auditory scene analysis", MIT Press 1990. Spiertz and Gnann, "Source-filter based clustering
for monaural blind source separation", DAFx 2009. FitzGerald, Cranitch and Coyle, "Extended nonnegative
tensor factorisation models for musical sound source separation", Computational Intelligence and
Neuroscience, 2008. FitzGerald, "Harmonic/percussive separation using median filtering", DAFx 2010.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audionmf.analysis.clustering import GroupingChoice, join_clusters
from audionmf.analysis.doubt import shares_in_doubt
from audionmf.analysis.likeness import CUES, Pairs, Sound, likeness, places_by
from audionmf.errors import ParameterError
from audionmf.rendering.grouping import Grouping
from audionmf.sources.known import source_name
from audionmf.sources.templates import Templates
from audionmf.spectra.bands import Bands
from audionmf.spectra.blas import blas_threads
from audionmf.spectra.frames import BLOCK_FRAMES, Frames
from audionmf.spectra.fused import FramePass, maximum
from audionmf.spectra.in_order import in_order
from audionmf.spectra.medians import median_models, median_sizes
from audionmf.spectra.stft import STFT

__all__ = [
    "CUES",
    "LEAST_SHARE",
    "by_shares",
    "component_places",
    "component_sound",
    "component_strokes",
    "counted",
    "cues_in_words",
    "group_by_cues",
    "odds_by_cues",
    "parse_cues",
    "places_by_cues",
    "shared_by_cues",
]

Features = NDArray[np.float64]

_TINY = 1e-12
_ALIKE = 1e-9
LEAST_SHARE = 0.12
"""The share of all differences that a further source has to explain, where their number is found."""
_MOST_TOLD = 100
_LEAST_MODEL = 1e-20
_STROKES, _TONES, _STEEP = 0.65, 0.3, 15.0
_MUCH, _STEEP_MUCH = 0.25, 12.0
_STROKE_ODDS = 2.0
"""From which share on a component is strokes, up to which it is tones; how much there has to be of
both, of what all count together; and how far a stroke and a tone are from one source, in nats."""


def component_sound(
    templates: Templates,
    activations: NDArray[np.float32],
    places: NDArray[np.complex128] | None,
    energies: NDArray[np.float64],
    struck: NDArray[np.float64] | None = None,
) -> Sound:
    """Return what is heard of each component.

    Parameters
    ----------
    templates : Templates
        W.
    activations : ndarray, shape (n_components, n_frames), float32
        H.
    places : ndarray, shape (n_components, 2, 2), complex128, optional
        Sum over bins and frames of each component's share of X Xᴴ; None where there is one channel.
    energies : ndarray, shape (n_components,)
        How much each component counts, ≥ 0.
    struck : ndarray, shape (n_components,), optional
        As `component_strokes` gives it.

    Returns
    -------
    Sound
        The templates pooled over bands, beside what was given.
    """
    bands = Bands.of(templates.stft, templates.sample_rate)
    W = bands.pool(templates.templates)
    return Sound(W, activations, bands.frequencies, energies, places, struck)


def component_places(
    frames: Frames,
    W: NDArray[np.float32],
    H: NDArray[np.float32],
    level: float = 1.0,
    *,
    n_threads: int = 1,
) -> tuple[NDArray[np.complex128] | None, NDArray[np.float64]]:
    """Return Σ m X Xᴴ and Σ m |X|² for the mask m of each component.

    Parameters
    ----------
    frames : Frames
        V, and X where there are two channels.
    W : ndarray, shape (n_bins, n_components), float32
        Templates.
    H : ndarray, shape (n_components, n_frames), float32
        Activations of these frames, times `level`.
    level : float, default 1
        By which the frames are multiplied, so that their powers stay in the range of the type.
    n_threads : int, default 1
        Threads; they change nothing else.

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

    def shared(first: int) -> list[NDArray[np.float32]]:
        block = slice(first, first + BLOCK_FRAMES)
        H_block = np.ascontiguousarray(H[:, block].T)
        model = H_block @ rows
        shares = np.empty((n_sums, *model.shape), np.float32)
        own = [x[:, block].T for x in given]
        levelled = own if level == 1 else [x * np.float32(level) for x in own]
        _shares_pass(n_sums)([*levelled, model], [*shares])
        return [np.einsum("kf,kf->k", rows, H_block.T @ share) for share in shares]

    for found in in_order(shared, range(0, frames.V.shape[1], BLOCK_FRAMES), n_threads):
        for total, part in zip(sums, found, strict=False):
            total += part
    energies = sums[0] + sums[1]
    if frames.X is None:
        return None, energies
    cross = sums[2] + 1j * sums[3]
    return np.moveaxis(np.array([[sums[0], cross], [cross.conj(), sums[1]]]), -1, 0), energies


def component_strokes(
    frames: Frames,
    W: NDArray[np.float32],
    H: NDArray[np.float32],
    stft: STFT,
    sample_rate: int,
    level: float = 1.0,
) -> NDArray[np.float64] | None:
    """Return which share of each component is strokes and no tones, by medians.

    Parameters
    ----------
    frames, W, H, level
        As in `component_places`.
    stft : STFT
        The transform.
    sample_rate : int
        In Hz.

    Returns
    -------
    ndarray, shape (n_components,), float64, or None
        0 to 1. None where frames are no neighbours, or bins are not evenly spaced.
    """
    if frames.step > 1 or stft.front_end != "stft":
        return None
    sizes = median_sizes(stft, sample_rate)
    reach, n_frames = sizes[0] // 2, frames.V.shape[1]
    rows, both = np.ascontiguousarray(W.T), np.zeros((2, W.shape[1]))
    with blas_threads(1):
        for first in range(0, n_frames, BLOCK_FRAMES):
            last = min(first + BLOCK_FRAMES, n_frames)
            before, after = min(first, reach), min(n_frames - last, reach)
            V = frames.V[:, first - before : last + after] * np.float32(level)
            tones, strokes = median_models(V, sizes, before, after).swapaxes(1, 2)
            power = (V[:, before : before + last - first] ** 2).T
            H_block = np.ascontiguousarray(H[:, first:last].T)
            share = power / np.maximum(H_block @ rows, _LEAST_MODEL)
            strokes = share * strokes**2 / np.maximum(strokes**2 + tones**2, _LEAST_MODEL)
            for total, part in zip(both, (strokes, share), strict=True):
                total += np.einsum("kf,kf->k", rows, H_block.T @ part)
    found: NDArray[np.float64] = both[0] / np.maximum(both[1], _LEAST_MODEL)
    return found


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
    sound: Sound,
    n_sources: int | None = None,
    heard: Iterable[str] = CUES,
    odds: Features | None = None,
) -> tuple[Grouping, GroupingChoice | None, dict[str, float]]:
    """Group components into sources where they are most alike.

    Parameters
    ----------
    sound : Sound
        As `component_sound` gives it.
    n_sources : int, optional
        Number of sources, 1 to the number of components; None: it is chosen.
    heard : iterable of str
        The cues to go by, of `CUES`.
    odds : ndarray, shape (n_components, n_components), optional
        As `odds_by_cues` gives them, where they are known already.

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
    n_components, heard = len(sound.energies), tuple(heard)
    if n_sources is not None and not 1 <= n_sources <= n_components:
        raise ParameterError(
            f"{n_sources} sources cannot be made of {n_components} components; "
            "ask for fewer sources or more components"
        )
    odds = odds_by_cues(sound, heard) if odds is None else odds
    features, weights = places_by_cues(odds, sound.energies)
    tree = join_clusters(features, weights)
    choice = tree.choose(LEAST_SHARE) if n_sources is None else None
    groups = tree.cut(n_sources or (choice.n_sources if choice else 1))
    told = _told_by(sound, heard, features, weights, groups)
    return {source_name(i): group for i, group in enumerate(groups)}, choice, told


def shared_by_cues(
    odds: Features, energies: Features, grouping: Grouping
) -> tuple[Grouping, NDArray[np.float32] | None]:
    """Return groups in which each component is where it most likely belongs, and how likely that is.

    Parameters
    ----------
    odds, energies
        As in `places_by_cues`.
    grouping : dict of str to tuple of int
        As `group_by_cues` gives it.

    Returns
    -------
    dict of str to tuple of int
        With the same names.
    ndarray, shape (n_sources, n_components), float32, or None
        As `shares_in_doubt` gives them; with None the groups are the given ones.
    """
    shares = shares_in_doubt(odds, counted(energies), list(grouping.values()))
    return (grouping, None) if shares is None else (by_shares(list(grouping), shares), shares)


def by_shares(names: Sequence[str], shares: NDArray[Any]) -> Grouping:
    """Return groups of those components of which each source has most."""
    most = shares.argmax(axis=0)
    return {name: tuple(np.flatnonzero(most == i).tolist()) for i, name in enumerate(names)}


def odds_by_cues(sound: Sound | Pairs, heard: Iterable[str] = CUES) -> Features:
    """Return the log odds of each two components that they are of one source.

    Parameters
    ----------
    sound, heard
        As `likeness` takes them.
    """
    heard = tuple(heard)
    with blas_threads(1):  # what is found must not depend on how many there are
        odds = likeness(sound, heard)
        told = sound.sound if isinstance(sound, Pairs) else sound
        if told.struck is not None and "course" in heard:
            odds += _strokes_and_tones(told.struck, counted(told.energies))
    return odds


def _strokes_and_tones(struck: Features, weights: Features) -> Features:
    """Return log odds that speak against one source where a stroke meets a tone.

    They count where there is much of both: a note may be struck, and drums may ring.
    """
    strokes = 1 / (1 + np.exp(_STEEP * (_STROKES - struck)))
    tones = 1 / (1 + np.exp(_STEEP * (struck - _TONES)))
    least = min(float(weights @ strokes), float(weights @ tones))
    much = 1 / (1 + np.exp(_STEEP_MUCH * (_MUCH - least)))
    apart = np.outer(strokes, tones)
    odds = -_STROKE_ODDS * (apart + apart.T)
    around: Features = much * (odds - weights @ odds @ weights)
    return around


def places_by_cues(odds: Features, energies: Features) -> tuple[Features, Features]:
    """Return where components are by all cues, (n_components, n_axes), and how much they count.

    Parameters
    ----------
    odds : ndarray, shape (n_components, n_components)
        As `odds_by_cues` gives them.
    energies : ndarray, shape (n_components,)
        How much each is of the mixture, ≥ 0.
    """
    weights = counted(energies)
    return places_by(odds, weights), weights


def counted(energies: Features) -> Features:
    """Return how much components count, as where likeness was learnt: by the roots of their energies.

    Parameters
    ----------
    energies : ndarray, shape (n_components,)
        How much each is of the mixture, ≥ 0.

    Returns
    -------
    ndarray, shape (n_components,), float64
        > 0; the sum is 1.
    """
    root = np.sqrt(energies)
    weights: Features = np.maximum(root / max(root.sum(), _TINY), 1e-9)
    return weights


def _told_by(
    sound: Sound,
    heard: Sequence[str],
    features: Features,
    weights: NDArray[np.float64],
    groups: Sequence[Sequence[int]],
) -> dict[str, float]:
    """Return how much less the groups stand apart without each cue, by the loudest components."""
    if len(groups) < 2 or not float(np.abs(features).max(initial=0)) > _ALIKE:
        return {}
    owner = np.empty(len(weights), np.int64)
    for i, group in enumerate(groups):
        owner[list(group)] = i
    loud = np.argsort(-weights, kind="stable")[:_MOST_TOLD]
    weights, owner, sound = weights[loud], owner[loud], sound.of(loud)
    heard = [cue for cue in heard if cue != "place" or sound.places is not None]
    both, apart = np.outer(weights, weights), owner[:, None] != owner
    one, two = both * ~apart, both * apart
    if not two.any():
        return {}

    with blas_threads(1):
        pairs = Pairs(sound)  # most of the work, and the same for all cues

    def nearness(cues: Sequence[str]) -> float:
        """Return how much more alike components of one group are than those of two."""
        odds = odds_by_cues(pairs, cues)
        return float((one * odds).sum() / one.sum() - (two * odds).sum() / two.sum())

    without = {name: nearness([cue for cue in heard if cue != name]) for name in heard}
    full = nearness(heard)
    told = {name: max(full - left, 0.0) for name, left in without.items()}
    total = sum(told.values())
    return {name: part / total for name, part in told.items()} if total > _ALIKE else {}


def cues_in_words(shares: Mapping[str, float]) -> str:
    """Say what told the sources apart, the strongest cue first."""
    ordered = sorted(shares.items(), key=lambda item: -item[1])
    said = {"place": "place in stereo", "course": "course in time"}
    return "told apart by " + ", ".join(
        f"{said.get(name, name)} ({share:.0%})" for name, share in ordered
    )


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
