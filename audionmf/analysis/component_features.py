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
Index = NDArray[np.int64]
Places = tuple[Index, Index]

_BANDS, _FRAMES = (-2, -1, 0, 1, 2), (-3, -1, 0, 1, 3)
_NOT_HERE = [n for n in range(len(_BANDS) * len(_FRAMES)) if n != 12]
"""Around a bin: bands and frames from it, and which of all pairs are not the bin itself."""
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
_HARDLY_ALIKE = np.float32(1e-7)
_LOWEST_HZ = 20.0
_N_MAPS, _N_SEEN = 12, len(_NOT_HERE) + len(_RATIOS) + 5
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
        known = [mean for mean in self.means if mean is not None]
        whole = known and len(known) == len(self.means)
        self.colour = _colour(_octaves(frequencies), known) if whole else None

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
    n_sources = len(stretch.masks)
    means, spreads = [], []
    for first in range(0, len(b), _AT_A_TIME * _DRAWN):
        some = slice(first, first + _AT_A_TIME * _DRAWN)
        seen = look.at((b[some], t[some]), maps[:, :, some])
        seen = seen.reshape(n_sources, seen.shape[1], -1, _DRAWN)
        means.append(seen.mean(axis=3))
        spreads.append(seen[:, :_N_MAPS].std(axis=3))
    shares, whole = look.of_components(heard)
    drawn = [np.concatenate(each, axis=2).swapaxes(1, 2) for each in (means, spreads)]
    found = np.concatenate([*drawn, whole], axis=2)
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
    bands = once_each(b)
    within = np.cumsum(course * ratio[bands], axis=1)[np.searchsorted(bands, b)]
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


def _three(x: Matrix) -> Matrix:
    """Return sums of three neighbouring bands, but for those at the ends."""
    sums = np.asfortranarray(x, np.float32).copy(order="F")
    sums[1:-1] = (x[:-2] + x[1:-1]) + x[2:]
    return sums


def _odds(share: NDArray[Any]) -> NDArray[Any]:
    """Return half the logarithm of the odds of a share."""
    share = np.clip(share, 1e-3, 1 - 1e-3)
    odds: NDArray[Any] = np.log(share / (1 - share)) / 2
    return odds


class _Spectrum:
    """What can be seen around a bin in magnitudes alone."""

    def __init__(self, V: Matrix, frequencies: NDArray[np.float64]) -> None:
        V = np.asfortranarray(V)  # means go along with it: bands are neighbours in all of them
        self.V, self.log = V, _log(V)
        self.smooth = _log(running_mean(V, 3, 0))
        self.along = running_mean(V, 9, 1)
        narrow, long = _log(running_mean(V, 9, 0)), _log(self.along)
        wide = _log(running_mean(running_mean(V, 33, 1), 121, 0))
        self.level = np.clip(self.log - wide, -5, 5) / 2
        self.peak = np.clip(self.log - narrow, -3, 3)
        self.tonal = np.clip(long - narrow, -3, 3)
        self.rise = np.clip(self.log - long, -3, 3)
        self.slow = np.clip(_log(running_mean(V, 3, 1)) - _log(running_mean(V, 17, 1)), -3, 3)
        partials = [_partial(frequencies, ratio) for ratio in _RATIOS]
        self.there, self.known = (np.stack(each) for each in zip(*partials, strict=True))

    def around(self, where: Places, bands: Sequence[int], frames: Sequence[int]) -> Index:
        """Return where the places lie that are so many bands or frames from some, (…, n)."""
        (b, t), (n_bands, n_frames) = where, self.V.shape
        rows = [np.clip(b + apart, 0, n_bands - 1) for apart in bands]
        columns = [np.clip(t + apart, 0, n_frames - 1) * n_bands for apart in frames]
        return np.stack([np.stack([row + column for column in columns]) for row in rows])

    def at(self, where: Places) -> Matrix:
        """Return (_N_SEEN, n) of some places."""
        b, t = where
        n_bands = len(self.V)
        here, starts = b + t * n_bands, t * n_bands
        log, smooth = _flat(self.log), _flat(self.smooth)
        seen = np.empty((_N_SEEN, len(b)), np.float32)
        near = self.around(where, _BANDS, _FRAMES)
        beside = log.take(near).reshape(-1, len(b))[_NOT_HERE] - log.take(here)
        np.clip(beside, -4, 4, out=seen[: len(_NOT_HERE)])
        first, last = len(_NOT_HERE), _N_SEEN - 5
        rises = smooth.take(self.there[:, b] + starts) - smooth.take(here)
        np.multiply(np.clip(rises, -4, 4, out=rises), self.known[:, b], out=seen[first:last])
        maps = self.level, self.peak, self.tonal, self.rise, self.slow
        for row, each in zip(seen[last:], maps, strict=True):
            _flat(each).take(here, out=row)
        return seen


def _flat(x: Matrix) -> Matrix:
    """Return (n_bands, n_frames) as one row, frame after frame."""
    return x.T.reshape(-1)


def _partial(
    frequencies: NDArray[np.float64], ratio: float
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the band at another partial of each band, and whether there is one."""
    sought = frequencies * ratio
    there = np.clip(np.searchsorted(frequencies, sought), 1, len(frequencies) - 2)
    return there, (sought < frequencies[-2]) & (sought > _PARTIAL_FROM_HZ)


class _Usual(NamedTuple):
    """What spectra of a source look like, (_N_SEEN, n_zones), by zones of frequency."""

    mean: Matrix
    spread: Matrix


def _octaves(frequencies: NDArray[np.float64]) -> NDArray[np.float64]:
    octaves: NDArray[np.float64] = np.log2(np.maximum(frequencies, _LOWEST_HZ))
    return octaves


def _zones(frequencies: NDArray[np.float64]) -> NDArray[np.float64]:
    octaves = _octaves(frequencies)[:, None] - np.log2(_ZONES_HZ)
    zones: NDArray[np.float64] = np.exp(-0.5 * (octaves / _ZONE_OCTAVES) ** 2)
    zones[zones < 1e-12] = 0  # in single precision they would be denormal
    zones /= zones.sum(axis=1, keepdims=True) + 1e-9
    return zones


def _usual(spectrum: _Spectrum, weights: Matrix, zones: NDArray[np.float64], seed: int) -> _Usual:
    where = _drawn(np.sqrt(weights), _DRAWN_OF_SOURCE, np.random.default_rng(seed))
    seen, z = spectrum.at(where).astype(np.float64), zones[where[0]]
    count = z.sum(axis=0) + _PRIOR
    mean = (seen @ z + _PRIOR * seen.mean(axis=1, keepdims=True)) / count
    square = (seen**2 @ z + _PRIOR * (seen**2).mean(axis=1, keepdims=True)) / count
    spread = np.sqrt(np.maximum(square - mean**2, 0) + 0.05)
    return _Usual(mean.astype(np.float32), spread.astype(np.float32))


def _unlike(seen: Matrix, z: Matrix, sources: Sequence[_Usual]) -> Matrix:
    """Return how much further some are from each source than from the mean source."""
    away = np.empty((len(sources), *seen.shape), np.float32)
    for one, (mean, spread) in zip(away, sources, strict=True):
        np.subtract(seen, mean @ z, out=one)
        np.abs(one, out=one)
        np.minimum(np.divide(one, spread @ z, out=one), 4, out=one)
    relative: Matrix = away - away.mean(axis=0)
    return relative


def _mean_spectrum(V: Matrix) -> NDArray[np.float64]:
    mean: NDArray[np.float64] = V.mean(axis=1, dtype=np.float64)
    return mean


def _colour(
    octave: NDArray[np.float64], means: Sequence[NDArray[np.float64]]
) -> NDArray[np.float64]:
    """Return the smooth mean spectrum of each example, relative to the mean of them."""
    kernel = octave[:, None] - octave
    kernel /= _SMOOTH_OCTAVES  # in place: of all that is seen in a stretch this is the largest
    kernel *= kernel
    kernel *= -0.5
    np.exp(kernel, out=kernel)
    kernel /= kernel.sum(axis=1, keepdims=True)
    colour = np.stack([kernel @ np.log(mean / (mean.mean() + 1e-30) + 1e-3) for mean in means])
    relative: NDArray[np.float64] = colour - colour.mean(axis=0)
    return relative


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
        self.octave = _octaves(f)
        self.overall = _odds((M * V).sum(axis=(1, 2)) / V.sum())
        self.three = _three(V)
        self.three_of_each = [_three(V * mask) for mask in M]
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
            self.colour = (
                _colour(self.octave, means) if examples.colour is None else examples.colour
            )

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
        """Return (n_sources, …, n) of some places, of which maps tell (n_sources, _N_MAPS, n)."""
        b, t = where
        spectrum, n_sources, n_bands = self.spectrum, len(maps), len(self.octave)
        here = b + t * n_bands
        found = np.empty(
            (n_sources, N_FEATURES - _N_MAPS - _N_COMPONENT - _N_OWN, len(b)), np.float32
        )
        found[:, :_N_MAPS] = maps
        known, there = spectrum.known[:, b], spectrum.there[:, b] + t * n_bands
        level = _flat(self.three).take(there)
        own = np.stack([_flat(three).take(there) for three in self.three_of_each])
        share = _odds((own + np.float32(1e-6 / n_sources)) / (level + np.float32(1e-6)))
        rise = np.log((level + _LEAST) / (_flat(spectrum.V).take(here) + _LEAST))
        first, last = _N_MAPS, _N_MAPS + 2 * len(_RATIOS)
        found[:, first:last:2] = np.where(known, share, 0)
        found[:, first + 1 : last : 2] = np.where(known, np.clip(rise, -4, 4) / 2, 0)
        found[:, last] = (self.octave[b] - np.log2(_MIDDLE_HZ)) / 3
        found[:, last + 1] = n_sources - 3
        found[:, last + 2] = self.overall[:, None]
        found[:, last + 3] = _odds(self.stretch.plain[:, b, t])
        found[:, last + 4] = self.colour[:, b]
        seen, z = spectrum.at(where), self.zones[b].T.astype(np.float32)
        for n, like in enumerate((self.alone, self.elsewhere)):
            first = _PLACED + n * _N_SEEN
            rows = found[:, first : first + _N_SEEN]
            rows[:] = _unlike(seen, z, like) if like else 0
            found[:, _PLACED + 2 * _N_SEEN + n] = rows.mean(axis=1)
        return found

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
    V, (b, t) = spectrum.V, where
    n_bands = len(V)
    here = b + t * n_bands
    in_time, in_bands = (
        spectrum.around(where, (0,), range(-4, 5))[0],
        spectrum.around(where, range(-12, 13), (0,))[:, 0],
    )
    three = spectrum.around(where, (-1, 0, 1), (0,))[:, 0]

    def means(x: Matrix) -> list[Matrix]:
        """Return means over 9 frames, 25 bands, 65 frames and 3 bands, and of 3 whole frames."""
        long = _flat(running_mean(x, 65, 1))
        flat, frames = _flat(x), running_mean(x.sum(axis=0, keepdims=True), 3, 1)[0]
        near = [array.take(at).mean(axis=0) for array, at in ((flat, in_time), (flat, in_bands))]
        return [*near, frames.take(t), long.take(three).mean(axis=0)]

    whole = means(V)
    maps = np.empty((len(M), _N_MAPS, len(b)), np.float32)
    for n, each in enumerate((spectrum.level, spectrum.peak, spectrum.tonal, spectrum.rise)):
        maps[:, n] = _flat(each).take(here)
    maps[:, 10:] = _odds(_fates(V, M, where)).swapaxes(0, 1)
    small = np.float32(1e-9 / len(M))
    shares = M[:, b, t]
    maps[:, 4] = _odds(shares)
    for j, mask in enumerate(M):
        others = np.delete(shares, j, axis=0).max(axis=0, initial=0)
        maps[j, 5] = np.clip(np.log((shares[j] + 1e-3) / (others + 1e-3)), -6, 6) / 2
        for n, own, of_all in zip(range(6, 10), means(V * mask), whole, strict=True):
            maps[j, n] = _odds((own + small) / (of_all + np.float32(1e-9)))
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
        np.maximum(alike, _HARDLY_ALIKE, out=alike)  # powers of less are denormal, and slow
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
