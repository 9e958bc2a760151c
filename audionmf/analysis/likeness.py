"""How alike two components sound: the odds that they come from one source.

A small network, which was trained on mixtures whose stems are known (`scripts/train_likeness.py`),
sees what each component sounds like, alone and beside all others, and what each pair has in common:
courses, spectra, partials, places. It is the same for components in any order.

References
----------
Isik, Le Roux, Chen, Watanabe and Hershey, "Single-channel multi-speaker separation using deep
clustering", Interspeech 2016, for odds of pairs as what is learnt. Borg and Groenen, "Modern
multidimensional scaling", Springer 2005, for places whose distances are given.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audionmf.spectra.blas import blas_threads

__all__ = [
    "CUES",
    "N_OWN",
    "N_PAIR",
    "OWN_CUES",
    "PAIR_CUES",
    "Pairs",
    "Sound",
    "likeness",
    "likeness_between",
    "mean_field",
    "places_by",
    "softmax",
]

Features = NDArray[np.float64]

CUES = ("place", "timbre", "pitch", "course")
"""The cues: level and phase difference between the channels; colour and shape of the template; its
pitch; how the activation rises, falls and goes on."""

_FILE = "likeness.npz"
_TINY = 1e-12
_LOWEST_HZ = 30.0
_OCTAVES = np.linspace(6, 14, 24)
_OCTAVE_WIDTH = 0.3
_CEPSTRA = 12
_PITCHES = np.geomspace(50, 2000, 139)
_PARTIALS = 12
_INTERVALS = (0, 12, 19, 24, 7)
_LAGS = (1, 4, 16)
_LOUD = 0.1
_STROKE_FRAMES, _PRESENT_FRAMES = 5, 45
_LEAST_LEVEL_SPREAD, _LEAST_PHASE_SPREAD = 0.02, 0.3
_AXES = 12
_ROWS = 128

_ONE = ("timbre",) * (_CEPSTRA + 4) + ("pitch",) * 2 + ("course",) * (5 + len(_LAGS))
OWN_CUES: tuple[str | None, ...] = (*_ONE, *_ONE, None)
"""The cue that each number of a component belongs to; None: to none."""
PAIR_CUES: tuple[str | None, ...] = (
    *("course",) * 4, *("timbre",) * 2, *("pitch",) * (4 + len(_INTERVALS)), None, None,
    *("place",) * 5,
)  # fmt: skip
"""The cue that each number of a pair belongs to."""
N_OWN, N_PAIR = len(OWN_CUES), len(PAIR_CUES)


@dataclass(frozen=True, eq=False)
class Sound:
    """Components that are to be heard.

    Parameters
    ----------
    W : ndarray, shape (n_bands, n_components)
        Spectra.
    H : ndarray, shape (n_components, n_frames)
        Activations.
    frequencies : ndarray, shape (n_bands,)
        In Hz, rising.
    energies : ndarray, shape (n_components,)
        How much each is of the mixture, ≥ 0.
    places : ndarray, shape (n_components, 2, 2), complex128, optional
        Sum over bins and frames of each component's share of X Xᴴ; None where there is one channel.
    struck : ndarray, shape (n_components,), optional
        Which share of each is strokes and no tones, 0 to 1; None where that is not known. The network
        does not see it.
    """

    W: NDArray[Any]
    H: NDArray[Any]
    frequencies: Features
    energies: Features
    places: NDArray[np.complex128] | None = None
    struck: Features | None = None

    def of(self, some: NDArray[np.int64]) -> Sound:
        """Return some of the components."""
        places = None if self.places is None else self.places[some]
        struck = None if self.struck is None else self.struck[some]
        W, H, energies = self.W[:, some], self.H[some], self.energies[some]
        return Sound(W, H, self.frequencies, energies, places, struck)


def likeness(sound: Sound | Pairs, heard: Iterable[str] = CUES) -> Features:
    """Return the log odds of each two components that they are of one source.

    Parameters
    ----------
    sound : Sound or Pairs
        The components; as pairs where they are asked about again, by other cues.
    heard : iterable of str
        Of `CUES`, those to go by.

    Returns
    -------
    ndarray, shape (n_components, n_components), float64
        Symmetric.
    """
    pairs = sound if isinstance(sound, Pairs) else Pairs(sound)
    seen, pair_kept = _seen(pairs, heard)
    odds = np.empty((len(seen), len(seen)))
    for first in range(0, len(seen), _ROWS):
        rows = slice(first, first + _ROWS)
        odds[rows] = _odds(seen[rows], seen, pairs.of(rows), pair_kept)
    both: Features = (odds + odds.T) / 2
    return both


def likeness_between(sound: Sound, n: int) -> Features:
    """Return the log odds that each of the first n components is of one source with each other one.

    A part of what `likeness` returns, in the time that this part takes.

    Parameters
    ----------
    sound : Sound
        The components.
    n : int
        So many are the first, and all others those that they are beside.

    Returns
    -------
    ndarray, shape (n, n_components - n), float64
    """
    pairs = Pairs(sound)
    seen, pair_kept = _seen(pairs, CUES)
    first, others = slice(n), slice(n, None)
    # What two have in common has no order, so that the odds have none.
    return _odds(seen[first], seen[others], pairs.between(first, others), pair_kept)


def _seen(pairs: Pairs, heard: Iterable[str]) -> tuple[Features, list[bool]]:
    """Return what the network makes of each component, and which numbers of pairs it is told."""
    net, listen = _network(), {*heard, None}
    own_kept, pair_kept = ([c in listen for c in cues] for cues in (OWN_CUES, PAIR_CUES))
    x = (pairs.own - net["own_mean"]) / net["own_spread"] * own_kept
    hidden = np.maximum(x @ net["first_weights"] + net["first_bias"], 0)
    everyone = np.broadcast_to(pairs.weights @ hidden, hidden.shape)
    seen = np.concatenate([hidden, everyone], axis=1) @ net["second_weights"] + net["second_bias"]
    return seen, pair_kept


def _odds(some: Features, others: Features, two: Features, pair_kept: list[bool]) -> Features:
    """Return the odds of some with others, of which each pair has its numbers."""
    net = _network()
    two = (two - net["pair_mean"]) / net["pair_spread"] * pair_kept
    apart, alike = some[:, None] - others, some[:, None] * others
    told = np.concatenate([np.abs(apart), np.maximum(alike, 0), two], axis=2)
    found = np.maximum(told @ net["third_weights"] + net["third_bias"], 0)
    odds: Features = (found @ net["fourth_weights"] + net["fourth_bias"])[..., 0]
    return odds


def places_by(odds: Features, energies: Features) -> Features:
    """Return where components lie, so that those are close together that sound alike.

    Classical scaling of the probabilities that two components are of one source.

    Parameters
    ----------
    odds : ndarray, shape (n_components, n_components)
        As `likeness` gives them.
    energies : ndarray, shape (n_components,)
        How much each counts, ≥ 0.

    Returns
    -------
    ndarray, shape (n_components, n_axes), float64
        At most 12 axes, the one that tells most first.
    """
    weights = np.maximum(energies / max(energies.sum(), _TINY), 1e-9)
    weights = weights / weights.sum()
    alike = 1 / (1 + np.exp(-odds))
    centred = alike - weights @ alike
    centred = centred - (centred @ weights)[:, None]
    with blas_threads(1):  # what is found must not depend on how many there are
        values, axes = np.linalg.eigh((centred + centred.T) / 2)
    best = np.argsort(-values, kind="stable")[:_AXES]
    places = axes[:, best] * np.sqrt(np.maximum(values[best], 0))
    around: Features = places - weights @ places
    return around


class Pairs:
    """What each component sounds like, and what two have in common.

    Parameters
    ----------
    sound : Sound
        The components.
    """

    def __init__(self, sound: Sound) -> None:
        self.sound, W = sound, sound.W.astype(np.float64)
        H = sound.H.astype(np.float64)
        energies = sound.energies / max(sound.energies.sum(), _TINY)
        root = np.sqrt(energies)
        self.weights = root / max(root.sum(), _TINY)
        self.level = np.log(energies + 1e-6)
        self.shares = W / np.maximum(W.sum(axis=0), 1e-20)
        octaves = np.log2(np.maximum(sound.frequencies, _LOWEST_HZ))
        near = np.exp(-0.5 * ((octaves[:, None] - _OCTAVES) / _OCTAVE_WIDTH) ** 2)
        near /= np.maximum(near.sum(axis=0), 1e-300)
        self.envelopes = np.log(near.T @ self.shares + 1e-5)
        self.octaves, self.course = octaves, _course(H)
        self.pitch, self.sure = _pitches(self.shares, sound.frequencies)
        scaled = H / (H.max(axis=1, keepdims=True, initial=0) + _TINY)
        strokes = np.maximum(np.diff(scaled, axis=1, prepend=0), 0)
        self.courses = [
            _unit(np.log(scaled + 1e-3)),
            _unit(_smooth(strokes, _STROKE_FRAMES)),
            _unit(np.log(_smooth(scaled, _PRESENT_FRAMES) + 1e-3)),
        ]
        self.loud = (scaled > _LOUD).astype(np.float64)
        self.spectra = W.T / (np.linalg.norm(W, axis=0) + _TINY)[:, None]
        self.colours = _unit(self.envelopes.T)
        self.sides = None if sound.places is None else _sides(sound.places)
        self._all: Features | None = None

    @cached_property
    def own(self) -> Features:
        """What each sounds like, (n_components, N_OWN)."""
        transform = np.cos(np.pi * np.outer(np.arange(_CEPSTRA) + 1, np.arange(24) + 0.5) / 24)
        centre = self.octaves @ self.shares
        spread = np.sqrt((self.shares * (self.octaves[:, None] - centre) ** 2).sum(axis=0))
        x = np.column_stack([
            (transform @ self.envelopes).T / _CEPSTRA, centre, spread,
            np.log(self.shares + 1e-7).mean(axis=0),
            np.log((self.shares**2).sum(axis=0) + 1e-6),
            self.pitch / 12, self.sure, self.course,
        ])  # fmt: skip
        mean = self.weights @ x
        relative = (x - mean) / (np.sqrt(self.weights @ (x - mean) ** 2) + 1e-3)
        return np.column_stack([x, np.clip(relative, -4, 4), self.level / 4 + 2])

    def of(self, rows: slice) -> Features:
        """Return (n_rows, n_components, N_PAIR) of some components and all.

        Where there are few they are kept, for whoever asks again.
        """
        few = len(self.level) <= _ROWS
        if self._all is None or not few:
            found = self._of(rows)
            self._all = found if few and len(found) == len(self.level) else None
            return found
        return self._all[rows]

    def _of(self, rows: slice) -> Features:
        return self.between(rows, slice(None))

    def between(self, rows: slice, columns: slice) -> Features:
        """Return (n_rows, n_columns, N_PAIR) of some components and others."""
        loud, others = self.loud[rows], self.loud[columns]
        frames, levels = (loud.sum(axis=1), others.sum(axis=1)), self.level[columns]
        level = self.level[rows]
        found = [course[rows] @ course[columns].T for course in self.courses]
        found += [
            loud @ others.T / (np.minimum.outer(*frames) + 1),
            self.spectra[rows] @ self.spectra[columns].T,
            self.colours[rows] @ self.colours[columns].T,
            *self._intervals(rows, columns),
            np.abs(level[:, None] - levels) / 4,
            np.minimum.outer(level, levels) / 4 + 2,
            *self._apart(rows, columns),
        ]
        return np.stack(found, axis=-1)

    def _intervals(self, rows: slice, columns: slice) -> list[Features]:
        apart = np.abs(self.pitch[rows, None] - self.pitch[columns])
        both = np.minimum.outer(self.sure[rows], self.sure[columns])
        at = [np.exp(-0.5 * ((apart - semitones) / 0.7) ** 2) * both for semitones in _INTERVALS]
        whole = (np.abs(apart - np.round(apart)) < 0.25) * both
        sure = np.abs(self.sure[rows, None] - self.sure[columns])
        return [both, np.minimum(apart, 36) / 12 * both, *at, whole, sure]

    def _apart(self, rows: slice, columns: slice) -> list[Features]:
        shape = len(self.level[rows]), len(self.level[columns])
        if self.sides is None:
            return [np.zeros(shape)] * 5
        found = [np.ones(shape)]
        least = (_LEAST_LEVEL_SPREAD, _LEAST_PHASE_SPREAD)
        for side, spread in zip(self.sides, least, strict=True):
            apart = np.abs(side[rows, None] - side[columns])
            found += [apart, np.minimum(apart / max(side.std(), spread), 4)]
        return found


def _sides(places: NDArray[np.complex128]) -> tuple[Features, Features]:
    """Return the level and phase differences between the channels."""
    left, right, cross = places[:, 0, 0].real, places[:, 1, 1].real, places[:, 0, 1]
    total = np.maximum(left + right, 1e-20)
    phase = np.angle(cross) * np.minimum(1, 2 * np.abs(cross) / total)
    return (left - right) / total, phase


def _unit(x: Features) -> Features:
    """Return rows without their means, of length 1."""
    x = x - x.mean(axis=1, keepdims=True)
    unit: Features = x / (np.sqrt((x**2).sum(axis=1, keepdims=True)) + 1e-9)
    return unit


def _smooth(x: Features, size: int) -> Features:
    """Return means over so many frames around each; beyond the ends there is silence."""
    wide = np.pad(x, ((0, 0), (size // 2 + 1, size // 2)))
    sums = np.cumsum(wide, axis=1)
    return (sums[:, size:] - sums[:, :-size]) / size


def _pitches(shares: Features, frequencies: Features) -> tuple[Features, Features]:
    """Return the pitch in semitones whose partials fit best, and how well they do."""
    roots = np.sqrt(shares)
    found = np.zeros((len(_PITCHES), shares.shape[1]))
    last = len(frequencies) - 1
    for partial in range(1, _PARTIALS + 1):
        sought, between = _PITCHES * partial, _PITCHES * (partial - 0.5)
        at = np.clip(np.searchsorted(frequencies, sought), 1, last)
        at -= sought - frequencies[at - 1] < frequencies[at] - sought
        off = np.clip(np.searchsorted(frequencies, between), 1, last)
        inside, half_inside = (f < frequencies[-1] for f in (sought, between))
        found += roots[np.clip(at, 0, last)] * inside[:, None] / partial**0.5
        found -= 0.5 * roots[off] * half_inside[:, None] / partial**0.5
    best = found.argmax(axis=0)
    fit = found[best, np.arange(len(best))] / (roots.sum(axis=0) + 1e-9)
    return 12 * np.log2(_PITCHES[best] / 440) + 69, np.clip(fit * 8, 0, 3)


def _course(H: Features) -> Features:
    """Return how activations rise, fall and go on."""
    peaks = np.maximum(H.max(axis=1, initial=0), _TINY)
    H = H / peaks[:, None]
    rises = np.diff(H, axis=1, prepend=0)
    up, down = np.maximum(rises, 0), np.maximum(-rises, 0)
    against = np.log(((up**2).sum(axis=1) + _TINY) / ((down**2).sum(axis=1) + _TINY))
    attack = np.log(up.max(axis=1) + 1e-3)
    level = np.log(np.sqrt(H).mean(axis=1) + 1e-3)
    energy, mean = (H**2).mean(axis=1), H.mean(axis=1)
    sparse = np.log(energy / (mean**2 + 1e-9) + 1e-3)
    rough = np.log(np.abs(rises).sum(axis=1) / (H.sum(axis=1) + 1e-9) + 1e-3)
    on = [np.log(_alike(H, lag) / (energy + 1e-9) + 0.05) for lag in _LAGS]
    found = np.column_stack([against, attack, level, sparse, rough, *on])
    found[~H.any(axis=1)] = 0
    return found


def _alike(H: Features, lag: int) -> Features:
    """Return the mean product of activations with themselves some frames later."""
    if H.shape[1] <= lag:
        return np.zeros(len(H))
    products: Features = (H[:, lag:] * H[:, :-lag]).mean(axis=1)
    return products


@cache
def _network() -> dict[str, Features]:
    with resources.files(__package__).joinpath(_FILE).open("rb") as file:
        read = np.load(file, allow_pickle=False)
        return {name: read[name].astype(np.float64) for name in read.files}


def mean_field(alone: NDArray[Any], pull: Features, n_steps: int) -> Features:
    """Return how likely each component is of each source, where components draw each other.

    The mean field of a random field over components, each step halfway from the one before
    (Krähenbühl and Koltun, "Efficient inference in fully connected CRFs with Gaussian edge
    potentials", NIPS 2011).

    Parameters
    ----------
    alone : ndarray, shape (n_sources, n_components)
        What speaks for each source by itself, in nats.
    pull : ndarray, shape (n_components, n_components)
        How far the component of a row draws that of a column to its own source, in nats.
    n_steps : int
        Steps, 1 or more.

    Returns
    -------
    ndarray, shape (n_sources, n_components), float64
        Sums over the sources are 1.
    """
    owner = softmax(alone)
    for _ in range(n_steps):
        owner = (owner + softmax(alone + owner @ pull)) / 2
    return owner


def softmax(x: NDArray[Any]) -> Features:
    """Return exp(x), of which each column is made to sum to 1; shape as x."""
    powers = np.exp(x - x.max(axis=0))
    found: Features = powers / powers.sum(axis=0)
    return found
