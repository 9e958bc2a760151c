"""What a component of the mixture alone has of each source: numbers that tell whose it is.

A component is looked at where it sounds: in bins that are drawn by its share of the mixture, with a
seed of their own. Each source is seen from them: what the masks say in the bin, around it, along
time, along frequency, in bins that rise and fall alike and in those of the other partials; how
unlike the spectrum is there to the example of the source, and to what the masks gave it elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from audionmf.spectra.bands import once_each
from audionmf.spectra.means import running_mean

__all__ = ["ALONE", "N_FEATURES", "Examples", "Looks", "Stretch", "component_features"]

Matrix = NDArray[np.float32]
Places = tuple[NDArray[np.int64], NDArray[np.int64]]

_BESIDE = [(b, t) for b in (-2, -1, 0, 1, 2) for t in (-3, -1, 0, 1, 3) if (b, t) != (0, 0)]
_RATIOS = (1 / 3, 1 / 2, 2 / 3, 3 / 2, 2, 3, 4)
_PARTIAL_FROM_HZ = 40.0
_MIDDLE_HZ = 500.0
_ZONES_HZ = np.geomspace(60, 14000, 17)
_ZONE_OCTAVES, _SMOOTH_OCTAVES = 0.45, 0.15
_DRAWN, _DRAWN_OF_SOURCE = 150, 4000
_AT_A_TIME = 8
"""Components of which the bins are looked at together; what is seen in all would fill 50 MB."""
_PRIOR = 20.0
_LEAST = np.float32(1e-5)
_FATE_FRAMES = 12
_LOWEST_HZ = 20.0
_N_MAPS, _N_SEEN = 12, len(_BESIDE) + len(_RATIOS) + 5
_N_COMPONENT, _N_OWN = 5, 5

N_FEATURES = 2 * _N_MAPS + 2 * len(_RATIOS) + 5 + 2 * _N_SEEN + 2 + _N_COMPONENT + _N_OWN
"""Numbers of a component and a source."""

_PLACED = _N_MAPS + 2 * len(_RATIOS) + 5
ALONE = [_PLACED - 1, *range(_PLACED, _PLACED + _N_SEEN), _PLACED + 2 * _N_SEEN]
"""Those of them that the examples tell."""


@dataclass(frozen=True, eq=False)
class Stretch:
    """Neighbouring frames of a mixture, on bands.

    Parameters
    ----------
    V : ndarray, shape (n_bands, n_frames), float32
        Magnitudes, of which the greatest is 1 to 2.
    masks, plain : ndarray, shape (n_sources, n_bands, n_frames), float32
        Shares of the sources, with and without the votes of components.
    W : ndarray, shape (n_bands, n_components)
        Components of the mixture alone.
    G : ndarray, shape (n_components, n_frames)
        Their activations.
    frequencies : ndarray, shape (n_bands,)
        In Hz, rising.
    """

    V: Matrix
    masks: Matrix
    plain: Matrix
    W: Matrix
    G: Matrix
    frequencies: NDArray[np.float64]


class Looks(NamedTuple):
    """What components look like from each source.

    Parameters
    ----------
    features : ndarray, shape (n_sources, n_components, n_features), float32
        Of a component that does not sound, finite too.
    shares : ndarray, shape (n_sources, n_components)
        How much of each lies under the mask of each source.
    mass : ndarray, shape (n_components,)
        How much of the mixture each is.
    energy : ndarray, shape (n_components,)
        The sum of squares of the same.
    activations : ndarray, shape (n_components, n_frames), float32
        When they sound.
    """

    features: Matrix
    shares: NDArray[np.float64]
    mass: NDArray[np.float64]
    energy: NDArray[np.float64]
    activations: Matrix


class Examples:
    """What is known of the sound of sources: the same in all stretches, so it is looked at once.

    Parameters
    ----------
    magnitudes : sequence of ndarray, shape (n_bands, n), or None
        Of each source alone, neighbouring frames. Where there are none the source is taken to sound
        like the mixture; where no source has any, what is told by them is 0.
    frequencies : ndarray, shape (n_bands,)
        In Hz, rising.
    """

    def __init__(
        self, magnitudes: Sequence[Matrix | None], frequencies: NDArray[np.float64]
    ) -> None:
        zones = _zones(frequencies)
        self.means: list[NDArray[np.float64] | None] = []
        self.likeness: list[_Usual | None] = []
        for j, E in enumerate(magnitudes):
            scaled = None if E is None else _scaled(E)
            self.means.append(None if scaled is None else _mean_spectrum(scaled))
            self.likeness.append(
                None if scaled is None
                else _usual(_Spectrum(scaled, frequencies), scaled, zones, j)
            )  # fmt: skip

    def __bool__(self) -> bool:
        """Tell whether there is any."""
        return any(mean is not None for mean in self.means)


def component_features(stretch: Stretch, examples: Examples) -> Looks:
    """Return what tells whose each component is.

    Parameters
    ----------
    stretch : Stretch
        What is looked at.
    examples : Examples
        Of each source.
    """
    look = _Look(stretch, examples)
    heard = look.heard()
    b, t = heard.drawn
    maps = _maps(look.spectrum, stretch.masks, (b, t))
    means, spreads = [], []
    for first in range(0, len(b), _AT_A_TIME * _DRAWN):
        some = slice(first, first + _AT_A_TIME * _DRAWN)
        seen = look.at((b[some], t[some]), maps[:, :, some])
        seen = seen.reshape(len(seen), -1, _DRAWN, seen.shape[-1])
        means.append(seen.mean(axis=2))
        spreads.append(seen[..., :_N_MAPS].std(axis=2))
    shares, whole = look.of_components(heard)
    found = np.concatenate(
        [*(np.concatenate(each, axis=1) for each in (means, spreads)), whole], axis=2
    )
    return Looks(found.astype(np.float32), shares, heard.total, heard.energy, stretch.G)


def _drawn(mass: Matrix, count: int, rng: np.random.Generator) -> Places:
    """Draw bins by their mass."""
    edges = np.cumsum(mass, dtype=np.float64)
    if not edges[-1] > 0:
        edges = np.arange(1.0, mass.size + 1)
    chosen = np.searchsorted(edges, rng.random(count) * edges[-1], side="right")
    b, t = np.unravel_index(np.minimum(chosen, mass.size - 1), mass.shape)
    return b, t


def _drawn_of(
    sums: NDArray[np.float64],
    course: NDArray[np.float64],
    ratio: NDArray[np.float64],
    rng: np.random.Generator,
) -> Places:
    """Draw bins of a component by its mass: bands by their `sums`, then frames by course × ratio."""
    if not sums.any():
        sums, course, ratio = np.ones_like(sums), np.ones_like(course), np.ones_like(ratio)
    edges = np.cumsum(sums)
    sought = rng.random(_DRAWN) * edges[-1]
    b = np.minimum(np.searchsorted(edges, sought, side="right"), len(sums) - 1)
    within = np.cumsum(course * ratio[b], axis=1)
    inside = (1 - (edges[b] - sought) / sums[b]) * within[:, -1]
    t = np.minimum((within <= inside[:, None]).sum(axis=1), len(course) - 1)
    return b, t


def _scaled(E: Matrix) -> Matrix:
    """Return magnitudes of which the greatest is 1."""
    scaled: Matrix = (E / max(E.max(), np.finfo(np.float32).tiny)).astype(np.float32)
    return scaled


def _log(x: Matrix) -> Matrix:
    logs: Matrix = np.log(x + _LEAST)
    return logs


def _odds(share: NDArray[Any]) -> NDArray[Any]:
    """Return half the logarithm of the odds of a share."""
    share = np.clip(share, 1e-3, 1 - 1e-3)
    odds: NDArray[Any] = np.log(share / (1 - share)) / 2
    return odds


class _Spectrum:
    """What can be seen around a bin in magnitudes alone."""

    def __init__(self, V: Matrix, frequencies: NDArray[np.float64]) -> None:
        self.V, self.log = V, _log(V)
        self.smooth = _log(running_mean(V, 3, 0))
        narrow, long = _log(running_mean(V, 9, 0)), _log(running_mean(V, 9, 1))
        wide = _log(running_mean(running_mean(V, 33, 1), 121, 0))
        self.level = np.clip(self.log - wide, -5, 5) / 2
        self.peak = np.clip(self.log - narrow, -3, 3)
        self.tonal = np.clip(long - narrow, -3, 3)
        self.rise = np.clip(self.log - long, -3, 3)
        self.slow = np.clip(_log(running_mean(V, 3, 1)) - _log(running_mean(V, 17, 1)), -3, 3)
        self.partials = [_partial(frequencies, ratio) for ratio in _RATIOS]

    def beside(self, where: Places) -> list[Places]:
        """Return the places around some."""
        (b, t), (n_bands, n_frames) = where, self.V.shape
        return [
            (np.clip(b + db, 0, n_bands - 1), np.clip(t + dt, 0, n_frames - 1))
            for db, dt in _BESIDE
        ]

    def at(self, where: Places) -> Matrix:
        """Return (n, _N_SEEN) of some places."""
        b, t = where
        seen = [np.clip(self.log[place] - self.log[where], -4, 4) for place in self.beside(where)]
        for there, known in self.partials:
            rise = np.clip(self.smooth[there[b], t] - self.smooth[where], -4, 4)
            seen.append(np.where(known[b], rise, 0))
        seen += [x[where] for x in (self.level, self.peak, self.tonal, self.rise, self.slow)]
        return np.stack(seen, axis=1).astype(np.float32)


def _partial(
    frequencies: NDArray[np.float64], ratio: float
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the band at another partial of each band, and whether there is one."""
    sought = frequencies * ratio
    there = np.clip(np.searchsorted(frequencies, sought), 1, len(frequencies) - 2)
    return there, (sought < frequencies[-2]) & (sought > _PARTIAL_FROM_HZ)


class _Usual(NamedTuple):
    """What spectra of a source look like, by zones of frequency."""

    mean: NDArray[np.float64]
    spread: NDArray[np.float64]


def _zones(frequencies: NDArray[np.float64]) -> NDArray[np.float64]:
    octaves = np.log2(np.maximum(frequencies, _LOWEST_HZ))[:, None] - np.log2(_ZONES_HZ)
    zones: NDArray[np.float64] = np.exp(-0.5 * (octaves / _ZONE_OCTAVES) ** 2)
    zones /= zones.sum(axis=1, keepdims=True) + 1e-9
    return zones


def _usual(spectrum: _Spectrum, weights: Matrix, zones: NDArray[np.float64], seed: int) -> _Usual:
    where = _drawn(np.sqrt(weights), _DRAWN_OF_SOURCE, np.random.default_rng(seed))
    seen, z = spectrum.at(where).astype(np.float64), zones[where[0]]
    count = z.sum(axis=0)[:, None] + _PRIOR
    mean = (z.T @ seen + _PRIOR * seen.mean(axis=0)) / count
    square = (z.T @ seen**2 + _PRIOR * (seen**2).mean(axis=0)) / count
    return _Usual(mean, np.sqrt(np.maximum(square - mean**2, 0) + 0.05))


def _unlike(seen: Matrix, z: NDArray[np.float64], sources: Sequence[_Usual]) -> NDArray[np.float64]:
    """Return how much further some are from each source than from the mean source."""
    away = np.stack([np.abs(seen - z @ mean) / (z @ spread) for mean, spread in sources])
    away = np.minimum(away, 4)
    relative: NDArray[np.float64] = away - away.mean(axis=0)
    return relative


def _mean_spectrum(V: Matrix) -> NDArray[np.float64]:
    mean: NDArray[np.float64] = V.mean(axis=1, dtype=np.float64)
    return mean


class _Heard(NamedTuple):
    """Of each component: its mass, the sum of squares of it, what lies under masks, bins of it."""

    total: NDArray[np.float64]
    energy: NDArray[np.float64]
    under: tuple[Matrix, Matrix]
    drawn: Places


class _Look:
    """All that is seen in one stretch."""

    def __init__(self, stretch: Stretch, examples: Examples) -> None:
        self.stretch, f = stretch, stretch.frequencies
        V, M = stretch.V, stretch.masks
        self.spectrum, self.zones = _Spectrum(V, f), _zones(f)
        self.octave = np.log2(np.maximum(f, _LOWEST_HZ))
        self.overall = _odds((M * V).sum(axis=(1, 2)) / V.sum())
        self.elsewhere = [
            _usual(self.spectrum, V * mask**2, self.zones, j) for j, mask in enumerate(M)
        ]
        self.alone: list[_Usual] = []
        self.colour = np.zeros((len(M), len(f)))
        if examples:
            self.alone = [
                _usual(self.spectrum, V, self.zones, j) if one is None else one
                for j, one in enumerate(examples.likeness)
            ]
            means = [_mean_spectrum(V) if mean is None else mean for mean in examples.means]
            self.colour = self._colour(means)

    def _colour(self, means: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
        """Return the smooth mean spectrum of each example, relative to the mean of them."""
        kernel = self.octave[:, None] - self.octave
        kernel /= _SMOOTH_OCTAVES  # in place: of all that is seen in a stretch this is the largest
        kernel *= kernel
        kernel *= -0.5
        np.exp(kernel, out=kernel)
        kernel /= kernel.sum(axis=1, keepdims=True)
        colour = np.stack([kernel @ np.log(mean / (mean.mean() + 1e-30) + 1e-3) for mean in means])
        relative: NDArray[np.float64] = colour - colour.mean(axis=0)
        return relative

    def heard(self) -> _Heard:
        """Return what is heard of each component, of which no share of the mixture is made whole.

        All of them would be as large as 40 mixtures: sums of them are products of matrices.
        """
        s = self.stretch
        model = s.W @ s.G
        ratio = s.V / np.where(model > 0, model, 1)
        W, G, exact = (x.astype(np.float64) for x in (s.W, s.G, ratio))
        rows = W * (exact @ G.T)
        energies = (W**2 * (exact**2 @ (G**2).T)).sum(axis=0)
        voted, plain = (
            np.stack([np.einsum("bk,bk->k", s.W, (mask * ratio) @ s.G.T) for mask in masks])
            for masks in (s.masks, s.plain)
        )
        b, t = np.empty((2, len(G), _DRAWN), np.int64)
        for k, course in enumerate(G):
            b[k], t[k] = _drawn_of(rows[:, k], course, exact, np.random.default_rng(k))
        drawn = b.ravel(), t.ravel()
        return _Heard(rows.sum(axis=0), energies, (voted, plain), drawn)

    def at(self, where: Places, maps: Matrix) -> Matrix:
        """Return (n_sources, n, …) of some places, of which maps tell (n_sources, _N_MAPS, n)."""
        b, t = where
        M, V, n = self.stretch.masks, self.stretch.V, len(b)

        def all_alike(x: NDArray[Any]) -> NDArray[Any]:
            return np.broadcast_to(x, (len(M), n))

        seen = list(maps.swapaxes(0, 1))
        for there, known in self.spectrum.partials:
            around = np.stack([there[b] + k for k in (-1, 0, 1)])
            levels = V[around, t]
            level, own = levels.sum(axis=0), (levels * M[:, around, t]).sum(axis=1)
            share = _odds((own + 1e-6 / len(M)) / (level + 1e-6))
            rise = np.clip(np.log((level + _LEAST) / (V[where] + _LEAST)), -4, 4) / 2
            seen += [np.where(known[b], share, 0), all_alike(np.where(known[b], rise, 0))]
        seen += [
            all_alike((self.octave[b] - np.log2(_MIDDLE_HZ)) / 3),
            all_alike(np.full(n, len(M) - 3.0)),
            np.broadcast_to(self.overall[:, None], (len(M), n)),
            _odds(self.stretch.plain[:, b, t]),
            self.colour[:, b],
        ]
        found = self.spectrum.at(where)
        unlike = [
            _unlike(found, self.zones[b], like) if like else np.zeros((len(M), n, _N_SEEN))
            for like in (self.alone, self.elsewhere)
        ]
        means = [each.mean(axis=2, keepdims=True) for each in unlike]
        return np.concatenate([np.stack(seen, axis=2), *unlike, *means], axis=2).astype(np.float32)

    def of_components(self, heard: _Heard) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return shares of components, and what is told of them, (n_sources, n_components, …)."""
        s, total, energy = self.stretch, heard.total, heard.energy
        n_sources = len(s.masks)
        known = np.where(total > 0, total, 1)
        shares = [under.astype(np.float64) / known for under in heard.under]
        W, G = s.W.astype(np.float64), s.G.astype(np.float64)
        weights = W / np.maximum(W.sum(axis=0), 1e-30)
        centre = self.octave @ weights
        width = np.sqrt((weights * (self.octave[:, None] - centre) ** 2).sum(axis=0))
        busy = G.sum(axis=1) ** 2 / np.maximum((G**2).sum(axis=1), 1e-30) / G.shape[1]
        component = [
            np.log(energy / max(energy.sum(), 1e-30) + 1e-4) / 3, centre - 9, width,
            np.log(busy + 1e-3), np.full(len(total), n_sources - 3.0),
        ]  # fmt: skip
        near = [_odds(_spread(shares[0], alike * np.sqrt(energy))) for alike in _alike(W, G)]
        own = np.stack([*(_odds(share) for share in shares), *near], axis=2)
        wide = np.broadcast_to(np.stack(component, axis=1), (n_sources, len(total), _N_COMPONENT))
        return shares[0], np.concatenate([wide, own], axis=2)


def _alike(W: NDArray[np.float64], G: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Return which components sound together, which in turn, and which share their bins."""
    course = np.log(G + 1e-4 * max(G.max(), 1e-30))
    course -= course.mean(axis=1, keepdims=True)
    course /= np.sqrt((course**2).sum(axis=1, keepdims=True)) + 1e-9
    spectra = W / np.maximum(np.linalg.norm(W, axis=0), 1e-30)
    together, shared = course @ course.T, spectra.T @ spectra
    for each in (together, shared):
        np.fill_diagonal(each, 0)
    return [np.maximum(together, 0) ** 2, np.maximum(-together, 0) ** 2, shared**2]


def _spread(shares: NDArray[np.float64], alike: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the shares of the components that are alike."""
    found: NDArray[np.float64] = (shares @ alike.T + 1e-3 / len(shares)) / (
        alike.sum(axis=1) + 1e-3
    )
    return found


def _maps(spectrum: _Spectrum, M: Matrix, where: Places) -> Matrix:
    """Return (n_sources, _N_MAPS, n) of some places: four of the mixture, and what masks say there.

    Each map is left as soon as the places are taken from it: all of them take 12 mixtures a source.
    """
    V = spectrum.V
    along, across = running_mean(V, 9, 1), running_mean(V, 25, 0)
    long, frame = (
        running_mean(running_mean(V, 65, 1), 3, 0),
        running_mean(V.sum(axis=0, keepdims=True), 3, 1),
    )
    maps = np.empty((len(M), _N_MAPS, len(where[0])), np.float32)
    for n, each in enumerate((spectrum.level, spectrum.peak, spectrum.tonal, spectrum.rise)):
        maps[:, n] = each[where]
    maps[:, 10:] = _odds(_fates(V, M, where)).swapaxes(0, 1)
    small = 1e-9 / len(M)
    for j, mask in enumerate(M):
        own = V * mask
        others = np.delete(M[:, *where], j, axis=0).max(axis=0, initial=0)
        share = mask[where]
        maps[j, 4] = _odds(share)
        maps[j, 5] = np.clip(np.log((share + 1e-3) / (others + 1e-3)), -6, 6) / 2
        own_frame = running_mean(own.sum(axis=0, keepdims=True), 3, 1)
        for n, part, all_of_it, at in (
            (6, running_mean(own, 9, 1), along, where),
            (7, running_mean(own, 25, 0), across, where),
            (8, own_frame, frame, (0 * where[0], where[1])),
            (9, running_mean(running_mean(own, 65, 1), 3, 0), long, where),
        ):
            maps[j, n] = _odds((part[at] + small) / (all_of_it[at] + 1e-9))
    return maps


def _fates(V: Matrix, M: Matrix, where: Places) -> Matrix:
    """Return (2, n_sources, n) of some places: shares in bins that rise and fall alike, and more so."""
    n_frames, small = V.shape[1], 1e-9 / len(M)
    fates = np.empty((2, len(M), len(where[0])), np.float32)
    logs = np.log(V + 1e-4)
    for first in range(0, n_frames, _FATE_FRAMES):
        last = min(n_frames, first + _FATE_FRAMES)
        here = np.flatnonzero((where[1] >= first) & (where[1] < last))
        if not len(here):
            continue
        b, t = where[0][here], where[1][here] - first
        bands = once_each(b)  # a quarter of all
        row = np.searchsorted(bands, b)
        course = logs[:, max(0, first - _FATE_FRAMES) : last + _FATE_FRAMES]
        course = course - course.mean(axis=1, keepdims=True)
        course /= np.sqrt((course**2).sum(axis=1, keepdims=True)) + 1
        alike = course[bands] @ course.T
        np.maximum(alike, 0, out=alike)
        alike *= alike  # powers by products take a fifth of the time
        alike *= alike
        more = alike * alike
        more *= alike
        v = V[:, first:last]
        parts = np.concatenate([v, *(v * M[:, :, first:last])], axis=1)
        for i, weights in enumerate((alike, more)):
            around = (weights @ parts).reshape(
                len(bands), -1, last - first
            )  # of all in one product
            found = around[row, :, t].T
            fates[i][:, here] = (found[1:] + small) / (found[0] + 1e-9)
    return fates
