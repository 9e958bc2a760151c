"""Sound between two sounds: the spectrum of one is carried over to that of the other.

Each frame is cut at its minima into lobes, each a mass at its peak. Between the masses of two frames
there is one cheapest plan of transport along frequency: in order, as between any two distributions
on a line. Every part of the plan then lies on its way from the one peak to the other, as a lobe of
both, and its phase runs on at the frequency that it has there. So partials glide where a mere sum
would fade.

Reference
---------
Henderson and Solomon, "Audio transport: a generalized portamento via optimal transport", DAFx 2019.
Different here: lobes are cut at minima, frequencies come from the advance of the phase, a lobe that
rises at once brings its own phase (so that strokes stay sharp), and each frame has the level between
those of the two.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audionmf.spectra.stft import STFT, Transform

__all__ = ["Transport", "between_spectra", "transport_plan"]

Vector = NDArray[np.float64]
Indices = NDArray[np.int64]

_RISEN = 2.0
"""A lobe by so much larger than before begins anew."""

_STILL = 0.01
"""In radians a hop: what moves by less keeps the phase that it has."""

_TINY = 1e-30


def transport_plan(a: Vector, b: Vector) -> tuple[Indices, Indices, Vector]:
    """Return the cheapest plan that carries one distribution on a line over to another.

    Parameters
    ----------
    a, b : ndarray, shape (n,), (m,)
        Masses in the order of their places, ≥ 0, with a sum above 0; they are taken as shares.

    Returns
    -------
    i, j : ndarray of int, shape (n_parts,)
        From where to where; both never fall.
    share : ndarray, shape (n_parts,)
        How much; the sum is 1.
    """
    ends_a, ends_b = np.cumsum(a, dtype=np.float64), np.cumsum(b, dtype=np.float64)
    ends_a, ends_b = ends_a / ends_a[-1], ends_b / ends_b[-1]
    ends = np.union1d(ends_a, ends_b)
    share = np.diff(ends, prepend=0.0)
    middle = ends - share / 2
    i = np.minimum(np.searchsorted(ends_a, middle), len(ends_a) - 1)
    j = np.minimum(np.searchsorted(ends_b, middle), len(ends_b) - 1)
    kept = share > 0
    return i[kept], j[kept], share[kept]


def between_spectra(a: Vector, b: Vector, amount: float) -> Vector:
    """Return the spectrum on the way from one to another: each share of it has gone so far.

    Parameters
    ----------
    a, b : ndarray, shape (n_bins,)
        Magnitudes, ≥ 0.
    amount : float
        0 gives `a`, 1 gives `b`.

    Returns
    -------
    ndarray, shape (n_bins,)
        Its sum lies as far between those of the two. Where one is silent, the other fades.
    """
    total = (1 - amount) * a.sum() + amount * b.sum()
    if not (a.sum() > 0 and b.sum() > 0):
        return np.asarray((1 - amount) * a + amount * b, np.float64)
    i, j, share = transport_plan(a, b)
    place = (1 - amount) * i + amount * j
    low = np.floor(place).astype(np.int64)
    high, part = np.minimum(low + 1, len(a) - 1), place - low
    found = np.bincount(low, share * (1 - part), len(a)) + np.bincount(high, share * part, len(a))
    return np.asarray(total * found, np.float64)


@dataclass(frozen=True)
class _Lobes:
    """The lobes of a frame.

    Parameters
    ----------
    first, peak, stop : ndarray of int, shape (n_lobes,)
        Bins from the first to before the last, and the largest.
    mass : ndarray, shape (n_lobes,)
        The sum of the magnitudes of each.
    """

    first: Indices
    peak: Indices
    stop: Indices
    mass: Vector


class Transport:
    """Carries the frames of one channel over, one after the other.

    Parameters
    ----------
    stft : STFT
        The transform of both sounds; a hop of a quarter of the window or less.
    """

    def __init__(self, stft: STFT) -> None:
        self._hop = 2 * np.pi * stft.hop_length / stft.n_fft
        self._bins = np.arange(stft.n_bins)
        # Seen from the middle of the window all bins of a lobe have one phase.
        self._turn = np.where(self._bins % 2, -1.0, 1.0)
        self._before: tuple[Any, Any] | None = None
        self._phase: Vector | None = None

    def frame(self, a: Transform, b: Transform, amount: float) -> Transform:
        """Return the next frame.

        Parameters
        ----------
        a, b : ndarray, shape (n_bins,), complex
            The next frames of the two sounds.
        amount : float
            How far from `a` to `b`, 0 to 1; at 0 and 1 they are given as they are.
        """
        A, B = a * self._turn, b * self._turn
        if amount in (0, 1):
            found = (A, B)[int(amount)]
            self._phase = np.angle(found).astype(np.float64)
        else:
            found = self._carried(A, B, amount)
        self._before = (A, B)
        return np.asarray(found * self._turn, np.complex64)

    def _carried(self, A: Any, B: Any, amount: float) -> Any:
        energy_a, energy_b = np.linalg.norm(A), np.linalg.norm(B)
        if not (energy_a > _TINY and energy_b > _TINY):
            found = (1 - amount) * A + amount * B
            self._phase = np.angle(found).astype(np.float64)
            return found
        found = self._placed(A, B, amount)
        level = (1 - amount) * energy_a + amount * energy_b
        return found * (level / max(float(np.linalg.norm(found)), _TINY))

    def _placed(self, A: Any, B: Any, amount: float) -> Any:
        lobes = [_lobes_of(np.abs(X)) for X in (A, B)]
        i, j, share = transport_plan(lobes[0].mass, lobes[1].mass)
        k, m = lobes[0].peak[i], lobes[1].peak[j]
        before = self._before or (None, None)
        steps = [
            _advance(X, old, self._hop)[p] for X, old, p in zip((A, B), before, (k, m), strict=True)
        ]
        step = (1 - amount) * steps[0] + amount * steps[1]
        moved = [
            _moved(step, mine, p, (k, m), amount, self._hop)
            for mine, p in zip(steps, (k, m), strict=True)
        ]
        centre = np.clip(np.rint(k + moved[0]), 0, len(A) - 1).astype(np.int64)
        nearer = int(amount >= 0.5)
        still = np.abs(step - steps[nearer]) < _STILL
        phase = self._phases(centre, step, still, (A, B)[nearer], before[nearer], (k, m)[nearer])
        found = np.zeros(len(A), np.complex128)
        largest, running = np.zeros(len(A)), np.zeros(len(A))
        for X, mine, at, shift, weight in (
            (A, lobes[0], i, moved[0], 1 - amount), (B, lobes[1], j, moved[1], amount),
        ):  # fmt: skip
            scale = weight * share * mine.mass.sum() / mine.mass[at]
            turn = phase - np.angle(X[mine.peak[at]])
            _place(X, mine, at, shift, scale, turn, phase, found, largest, running)
        if self._phase is None:
            self._phase = np.zeros(len(A))
        # Where nothing was put the phase runs on as that of the bin itself.
        self._phase = np.where(largest > 0, running, self._phase + self._bins * self._hop)
        return found

    def _phases(
        self, centre: Indices, step: Vector, still: Any, X: Any, old: Any, peak: Indices
    ) -> Vector:
        """Return the phase of each part: running on, or its own where it stays or begins."""
        own = np.angle(X[peak])
        if self._phase is None or old is None:
            return np.asarray(own)
        near = np.abs(np.pad(old, 1))
        around = np.maximum(near[1:-1], np.maximum(near[:-2], near[2:]))
        begins = np.abs(X[peak]) > _RISEN * around[peak]
        stays = still & (centre == peak)
        return np.where(begins | stays, own, self._phase[centre] + step)


def _moved(
    step: Vector,
    own: Vector,
    peak: Indices,
    peaks: tuple[Indices, Indices],
    amount: float,
    hop: float,
) -> Vector:
    """Return by how many bins parts move, to where they are heard, or else where their peaks say.

    Frequencies that lie more than a bin from their peaks were not heard of a single partial.
    """
    between = (1 - amount) * peaks[0] + amount * peaks[1]
    heard = (np.abs(own / hop - peak) <= 1) & (np.abs(step / hop - between) <= 1)
    return np.where(heard, (step - own) / hop, np.rint(between) - peak)


def _lobes_of(magnitude: Any) -> _Lobes:
    """Cut a spectrum at its minima."""
    left, middle, right = magnitude[:-2], magnitude[1:-1], magnitude[2:]
    cuts = np.flatnonzero((middle < left) & (middle <= right)) + 1
    first = np.concatenate([[0], cuts])
    stop = np.concatenate([cuts, [len(magnitude)]])
    mass = np.add.reduceat(magnitude.astype(np.float64), first)
    alive = mass > _TINY
    first, stop, mass = first[alive], stop[alive], mass[alive]
    owner = np.repeat(np.arange(len(first)), stop - first)
    bins = _ranges(first, stop)
    order = np.lexsort((magnitude[bins], owner))
    peak = bins[order[np.cumsum(stop - first) - 1]]
    return _Lobes(first, peak, stop, mass)


def _advance(X: Any, old: Any, hop: float) -> Vector:
    """Return by how much the phase of each bin goes on in a hop, about that of the bin."""
    expected = np.arange(len(X)) * hop
    if old is None:
        return np.asarray(expected, np.float64)
    difference = np.angle(X * np.conj(old) * np.exp(-1j * expected))
    return np.asarray(expected + difference, np.float64)


def _place(
    X: Any,
    lobes: _Lobes,
    at: Indices,
    shift: Vector,
    scale: Vector,
    turn: Vector,
    phase: Vector,
    found: Any,
    largest: Vector,
    running: Vector,
) -> None:
    """Add each part's lobe at its place, and note the phase of the largest in each bin."""
    first, stop = lobes.first[at], lobes.stop[at]
    part = np.repeat(np.arange(len(at)), stop - first)
    bins = _ranges(first, stop)
    whole = np.floor(shift).astype(np.int64)
    values = X[bins] * (scale * np.exp(1j * turn))[part]
    # Seen from the middle of the window a lobe is smooth, so that it can lie between two bins.
    for step, weight in ((0, 1 - (shift - whole)), (1, shift - whole)):
        target = bins + (whole + step)[part]
        inside = (target >= 0) & (target < len(found)) & (weight[part] > 0)
        here, mine, value = target[inside], part[inside], (values * weight[part])[inside]
        found += np.bincount(here, value.real, len(found))
        found += 1j * np.bincount(here, value.imag, len(found))
        size = np.abs(value)
        order = np.argsort(size, kind="stable")
        here, mine, size = here[order], mine[order], size[order]
        heard = size > largest[here]
        largest[here[heard]] = size[heard]
        running[here[heard]] = phase[mine[heard]]


def _ranges(first: Indices, stop: Indices) -> Indices:
    """Return the numbers from each first to before its stop, one range after the other."""
    lengths = stop - first
    starts = np.repeat(first - np.concatenate([[0], np.cumsum(lengths)[:-1]]), lengths)
    return np.asarray(starts + np.arange(int(lengths.sum())), np.int64)
