"""Components of the mixture alone, and their say in the masks.

They know which partials sound together, but not whose they are: each gets the shares that the masks
give it, and its say in them. What it sounds like moves the masks further (`component_owner`).
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audionmf import nmf
from audionmf.analysis import component_owner, component_stretches
from audionmf.analysis.component_features import Examples, Looks, Stretch, component_features
from audionmf.analysis.component_owner import Agreed, Fit
from audionmf.analysis.likeness import Sound
from audionmf.io.audio import Source
from audionmf.nmf.solver import thread_count
from audionmf.rendering.decomposition import Decomposition
from audionmf.rendering.voters import Voters
from audionmf.settings import CPU, Settings
from audionmf.spectra.bands import Bands
from audionmf.spectra.blas import blas_threads
from audionmf.spectra.frames import BLOCK_FRAMES, Progress
from audionmf.spectra.in_order import in_order
from audionmf.spectra.masks import ratio_masks

__all__ = [
    "Components",
    "components_alone",
    "have_votes",
    "left_by",
    "unexplained",
    "votes",
    "with_voters",
    "within_bands",
]

Matrix = NDArray[np.float32]

_VOTERS = 40
_VOTER_ITERATIONS = 100
_VOTE_BELOW = 0.45
_SHARPNESS = 2
_FLOOR = np.float32(1e-9)


@dataclass(frozen=True, eq=False)
class Components:
    """Components of a mixture that were learnt from it alone.

    Parameters
    ----------
    W : ndarray, shape (n_bins, n), float32
        Their spectra.
    G : ndarray, shape (n, n_frames), float32
        Their activations.
    left : float
        The share of the mixture that they leave unexplained.
    every : ndarray, shape (n, n_all), float32, optional
        Their activations in every frame of it, kept or not, each found by itself.
    """

    W: Matrix
    G: Matrix
    left: float
    every: Matrix | None = None


def components_alone(
    V: Matrix,
    bands: Bands,
    settings: Settings,
    *,
    n_threads: int,
    report: Callable[[float], bool | None],
) -> Components:
    """Learn forty components of a mixture, which need not know anything of its sources.

    Parameters
    ----------
    V : ndarray, shape (n_bins, n_frames)
        Magnitudes of frames of the mixture that are spread over it, not all of them silent.
    bands : Bands
        On which they are learnt.
    settings : Settings
        Options.
    n_threads : int
        Threads; they change nothing else.
    report : callable
        Told the share done; where it returns True nobody waits for the rest.
    """
    pooled = bands.pool(V)
    peak = np.float32(2.0 ** np.floor(np.log2(pooled.max())))
    pooled /= peak
    model = nmf.fit(
        pooled, min(_VOTERS, V.shape[1]), max_iter=_VOTER_ITERATIONS, seed=settings.seed,
        n_threads=n_threads, device=settings.device,
        callback=lambda state: report(state.iteration / state.max_iter),
    )  # fmt: skip
    report(1.0)
    G = model.activations * peak
    W = within_bands(V, model.templates, G, np.diff(bands.edges, append=len(V)))
    return Components(W, G, left_by(V, W, G))


def have_votes(left: float, alone: float, *, free: bool) -> bool:
    """Tell whether components of the mixture vote, by what they and the templates leave of it."""
    return free or alone < _VOTE_BELOW * min(left, 1.0)


def with_voters(
    found: Decomposition,
    source: Source,
    V: Matrix,
    H: Matrix,
    *,
    left: float,
    sounds: Mapping[str, Matrix],
    examples: Sequence[Sound | None],
    free: bool,
    progress: Progress,
    draw: float = component_owner.DRAW,
    followed: float = 1.0,
    components: Components | None = None,
    known: Examples | None = None,
) -> Decomposition:
    """Let components of the mixture alone have their say in the masks.

    They vote if they fit the mixture much better than its templates do, or anyway where some source
    is `free`: of sources whose sound is all known their shares are squared before. What they sound
    like moves the masks in any case.

    Parameters
    ----------
    found : Decomposition
        Its templates and groups give the masks.
    source : Audio or AudioFile
        The mixture.
    V : ndarray, shape (n_bins, n_frames)
        Magnitudes of frames of the mixture that are spread over it, not all of them silent.
    H : ndarray, shape (n_components, n_frames)
        Activations of the templates in these frames.
    left : float
        The share of the mixture that the templates leave unexplained.
    sounds : mapping of str to ndarray, shape (n_bands, n)
        What sources sound like alone, where that is known, as `Templates.sounds`.
    examples : sequence of Sound or None
        The same, as `heard_examples` gives it.
    free : bool
        Whether some source is nothing but what is left, so that masks tell less.
    progress : callable
        Told the stage and the share done.
    draw : float, default 2.0
        How far components that sound alike draw each other, ≥ 0.
    followed : float, default 1.0
        How far they are followed where they lean, 0 to 1.
    components : Components, optional
        Those of V, where they are known. Default: they are learnt.
    known : Examples, optional
        Of `sounds`, where it is known.

    Returns
    -------
    Decomposition
        With voters.
    """
    settings, threads = found.settings, thread_count(found.settings.n_threads)
    bands = Bands.of(found.templates.stft, found.templates.sample_rate)
    report = partial(progress, "vote")
    if components is None:
        components = components_alone(V, bands, settings, n_threads=threads, report=report)
    report(1.0)
    W, G, alone = components.W, components.G, components.left
    voted = have_votes(left, alone, free=free)
    sharpness = 1 if free else _SHARPNESS
    said_by_masks = votes(found, V, H, W, G, sharpness) if voted else None
    voters = Voters(W, said_by_masks, activations=components.every)
    fit = Fit(left, alone, voted, free)
    if known is None:
        known = Examples([sounds.get(name) for name in found.grouping], bands.frequencies)
    said = _agreed(found, source, voters, fit, known, examples, draw, progress)
    leanings = said.leanings * np.float32(followed)
    # Of leads, of which no example is known, it tells less well which stem is wrong.
    evidence = said.evidence if any(one is not None for one in examples) else None
    voters = dataclasses.replace(voters, leanings=leanings, evidence=evidence)
    return dataclasses.replace(found, voters=voters)


def _agreed(
    found: Decomposition,
    source: Source,
    voters: Voters,
    fit: Fit,
    known: Examples,
    examples: Sequence[Sound | None],
    draw: float,
    progress: Progress,
) -> Agreed:
    """Return how far what sounds like a source leans to it, in the logarithm of models."""
    names, on_card = list(found.grouping), found.settings.device != CPU
    bands = Bands.of(found.templates.stft, found.templates.sample_rate)
    with blas_threads(1):  # what is found must not depend on how many there are
        looks: list[Looks] = []
        parts = component_stretches.parts(found, voters, source)

        def look(part: Callable[[], Stretch | None]) -> Looks | None:
            stretch = part()
            return None if stretch is None else component_features(stretch, known)

        progress("compare", 0.0)
        threads = 1 if on_card else thread_count(found.settings.n_threads)
        with contextlib.closing(in_order(look, parts, threads)) as seen:  # stopped or not
            for n, one in enumerate(seen, 1):
                progress("compare", n / len(parts))
                looks += [] if one is None else [one]
        if not looks:  # they all were silent
            n = len(names)
            none = np.zeros((n, voters.templates.shape[1]), np.float32)
            return Agreed(none, np.array([[1 / n] * n, [0] * n], np.float32))
        sound = component_owner.sound_of(looks, bands.pool(voters.templates), bands.frequencies)
        own = component_owner.leanings(looks, fit)
        said = component_owner.agreed(own, looks, sound, examples, free=fit.free, draw=draw)
        exponent = np.float32(found.settings.mask_exponent)
        return said._replace(leanings=said.leanings / exponent)


def within_bands(
    V: Matrix,
    pooled: NDArray[Any],
    G: NDArray[Any],
    widths: NDArray[np.int64],
    others: Matrix | None = None,
) -> Matrix:
    """Return the spectra, (n_bins, n_components), of components that are known by their bands.

    One step of the EM algorithm, from spectra that are even within each band; the sums over the
    bands are those that the same step would give there, where nothing moves any more. `others`,
    (n_bins, n_frames), is the sum of what else plays.
    """
    density = (pooled / widths[:, None]).astype(np.float32)
    even: Matrix = np.repeat(density, widths, axis=0)
    spectra = np.zeros_like(even)
    for first in range(0, V.shape[1], BLOCK_FRAMES):
        block = slice(first, first + BLOCK_FRAMES)
        model = (G[:, block].T @ even.T).T
        if others is not None:
            model = model + others[:, block]
        spectra += _ratio(V[:, block], model) @ G[:, block].T
    played = G.sum(axis=1)
    spread: NDArray[Any] = even * spectra / np.where(played > 0, played, 1)
    whole: Matrix = spread.astype(np.float32)
    return whole


def _ratio(V: Matrix, model: NDArray[Any]) -> Matrix:
    known = model > np.finfo(np.float32).tiny
    ratio: Matrix = np.divide(V, model, out=np.zeros_like(V), where=known)
    return ratio


def votes(
    found: Decomposition,
    V: Matrix,
    H: Matrix,
    W: Matrix,
    G: Matrix,
    sharpness: int = _SHARPNESS,
    step: int = 1,
) -> Matrix:
    """Return the share of each component of the mixture that is for each source.

    Parameters
    ----------
    found : Decomposition
        Its templates, groups and voters, if any, give the masks.
    V : ndarray, shape (n_bins, n_frames)
        Magnitudes of the mixture.
    H : ndarray, shape (n_components, n_frames)
        Activations of the templates.
    W : ndarray, shape (n_bins, n_voters)
        Components of the mixture alone.
    G : ndarray, shape (n_voters, n_frames)
        Their activations.
    sharpness : int, default 2
        The power to which shares are raised.
    step : int, default 1
        So far apart in the mixture the frames are.

    Returns
    -------
    ndarray, shape (n_groups, n_voters), float32
        How much of its mass lies under each mask, to that power; the sums over the groups are 1.
    """

    def lies(first: int) -> NDArray[np.float64]:
        block = slice(first, first + BLOCK_FRAMES)
        ratio = _ratio(V[:, block], (G[:, block].T @ W.T).T)
        places = slice(first * step, (first + BLOCK_FRAMES) * step, step)
        models = found.voted(found.models(H[:, block]), V[:, block], places)
        masks = ratio_masks(models, found.settings.mask_exponent)
        masks *= ratio
        under = [(W.T @ mask) * G[:, block] for mask in masks]
        sums: NDArray[np.float64] = np.array(under).sum(axis=2, dtype=np.float64)
        return sums

    mass = np.zeros((len(found.grouping), W.shape[1]))
    on_card = found.settings.device != CPU
    threads = 1 if on_card else thread_count(found.settings.n_threads)
    for part in in_order(lies, range(0, V.shape[1], BLOCK_FRAMES), threads):
        mass += part
    total = mass.sum(axis=0)
    shares = np.where(total > 0, mass / np.where(total > 0, total, 1), 1 / len(mass)) ** sharpness
    agreed: Matrix = (shares / shares.sum(axis=0)).astype(np.float32)
    return agreed


def left_by(V: Matrix, W: Matrix, G: NDArray[Any]) -> float:
    """Return the share of V that components leave unexplained, bin by bin."""
    starts = range(0, V.shape[1], BLOCK_FRAMES)
    blocks = [slice(first, first + BLOCK_FRAMES) for first in starts]
    shares = [unexplained(V[:, b], (G[:, b].T @ W.T).T) for b in blocks]
    masses = [V[:, b].sum(dtype=np.float64) for b in blocks]
    return float(np.average(shares, weights=masses))


def unexplained(V: NDArray[Any], model: NDArray[Any]) -> float:
    """Return the divergence of a model from V, as a share of the sum of V."""
    floor = max(_FLOOR * V.max(), np.finfo(np.float32).tiny)
    left = (V * np.log((V + floor) / (model + floor)) - V + model).sum(dtype=np.float64)
    return float(left / max(V.sum(dtype=np.float64), float(floor)))
