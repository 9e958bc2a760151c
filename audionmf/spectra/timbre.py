"""What a spectrum sounds like: its pitch, its brightness, how noisy it is. Arrays in, arrays out.

A pitch is found by matching the peaks of a spectrum with the partials of every candidate that the
strong peaks suggest. Two shares say how well a candidate fits, as in the two-way mismatch of Maher
and Beauchamp: how much of the peaks its partials explain (a candidate an octave too high explains
half of them), and how many of its partials are there (one an octave too low lacks half of them).

Noise has peaks too, and one candidate always fits best. So the *harmonicity* of the winner is
measured on the bins: the share of the magnitudes that lies at its partials, beyond what would lie
there if they were spread evenly over each stretch as wide as the spacing of the partials. It is near
0 for noise and near 1 for a tone; below `MIN_HARMONICITY` a spectrum has no pitch. In magnitudes, as
the model has them, a drum whose shell rings under its noise has none; in energies it would.

References
----------
Maher and Beauchamp, "Fundamental frequency estimation of musical signals using a two-way mismatch
procedure", Journal of the Acoustical Society of America 95(4), 1994.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "MIN_HARMONICITY",
    "Pitch",
    "Timbre",
    "key_name",
    "note_name",
    "pitches",
    "ring_lengths",
    "ring_peaks",
    "ring_sums",
    "timbre",
]

Vector = NDArray[np.float64]

MIN_HARMONICITY = 0.25
"""Share of the magnitudes at the partials, beyond chance, from which a spectrum has a pitch."""

_NOTES = ("C", "C♯", "D", "D♯", "E", "F", "F♯", "G", "G♯", "A", "A♯", "B")
_A4_HZ = 440.0
_PITCH_RANGE_HZ = (25.0, 5000.0)
_MIN_SPACING_BINS = 3.0
_MAX_PEAKS = 60
_PEAK_RANGE_DB = 40.0
_STRONG_PEAKS = 8
_DIVISORS = 8
_MAX_PARTIALS = 60
_TOLERANCE = 0.02
_TOLERANCE_BINS = 0.7
_AT_A_TIME = 16
_BRIGHTNESS = ((400.0, "dark"), (1000.0, "warm"), (2500.0, "clear"), (5000.0, "bright"))
_BRIGHTEST = "very bright"
_RING_SHARE = 0.1
_SILENT = 1e-6


@dataclass(frozen=True)
class Pitch:
    """The pitch of a spectrum.

    Parameters
    ----------
    hertz : float
        Frequency of the fundamental, whether the spectrum holds it or only its partials.
    harmonicity : float
        Share of the magnitudes at the partials beyond chance, up to 1.
    """

    hertz: float
    harmonicity: float


@dataclass(frozen=True)
class Timbre:
    """What a spectrum sounds like.

    Parameters
    ----------
    pitch : Pitch or None
        None if it has none, as noise.
    centroid : float
        Mean frequency in Hz, weighted with the magnitudes; 0 for a spectrum of zeros.
    bandwidth : float
        Standard deviation about the centroid in Hz, weighted in the same way.
    flatness : float
        Geometric over arithmetic mean of the magnitudes, 0 (a tone) to 1 (every bin the same).
    """

    pitch: Pitch | None
    centroid: float
    bandwidth: float
    flatness: float

    @property
    def brightness(self) -> str:
        """The centroid in a word: dark below 400 Hz, warm to 1, clear to 2.5, bright to 5 kHz."""
        return next((word for limit, word in _BRIGHTNESS if self.centroid < limit), _BRIGHTEST)


def timbre(spectrum: NDArray[np.floating[Any]], bin_hertz: float) -> Timbre:
    """Describe a spectrum.

    Parameters
    ----------
    spectrum : ndarray, shape (n_bins,)
        Magnitudes, ≥ 0, from 0 Hz up.
    bin_hertz : float
        Distance of the bins in Hz.

    Returns
    -------
    Timbre
        The same for any scale of the spectrum.
    """
    magnitudes = np.asarray(spectrum, np.float64)
    top = magnitudes.max(initial=0)
    if not top > 0:
        return Timbre(None, 0.0, 0.0, 0.0)
    magnitudes = magnitudes / top
    frequencies = np.arange(len(magnitudes)) * bin_hertz
    weights = magnitudes / magnitudes.sum()
    centroid = float(frequencies @ weights)
    bandwidth = float(np.sqrt((frequencies - centroid) ** 2 @ weights))
    raised = magnitudes + _SILENT
    flatness = float(np.exp(np.log(raised).mean()) / raised.mean())
    pitch = _pitches(magnitudes[None], bin_hertz)[0]
    return Timbre(pitch, centroid, bandwidth, flatness)


def pitches(spectra: NDArray[np.floating[Any]], bin_hertz: float) -> list[Pitch | None]:
    """Return the pitches of many spectra, in half the time that `timbre` of each would take.

    Parameters
    ----------
    spectra : ndarray, shape (n_bins, n)
        Magnitudes, ≥ 0, from 0 Hz up.
    bin_hertz : float
        Distance of the bins in Hz.

    Returns
    -------
    list of Pitch or None
        None of one that has none; the same for any scale of a spectrum.
    """
    columns = np.asarray(spectra, np.float64).T
    tops = columns.max(axis=1, initial=0)
    columns = np.ascontiguousarray(columns / np.where(tops > 0, tops, 1)[:, None])
    found: list[Pitch | None] = []
    for first in range(0, len(columns), _AT_A_TIME):
        found += _pitches(columns[first : first + _AT_A_TIME], bin_hertz)
    return found


def key_name(key: int) -> str:
    """Return the name of a MIDI key as people read it everywhere: 60 is C4, 61 is C♯4.

    Files that other programs read have ``#`` for ``♯``; `audionmf.sources.score.parse_pitch` reads
    both.
    """
    return f"{_NOTES[key % 12]}{key // 12 - 1}"


def note_name(hertz: float) -> tuple[str, float]:
    """Return the nearest note (A4 is 440 Hz) and how many cents the frequency lies above it."""
    semitones = 69 + 12 * np.log2(hertz / _A4_HZ)
    nearest = round(semitones)
    return key_name(nearest), float(100 * (semitones - nearest))


def ring_lengths(H: NDArray[np.floating[Any]]) -> Vector:
    """Return for how many frames each component rings at a time.

    Parameters
    ----------
    H : ndarray, shape (n_components, n_frames)
        Activations, ≥ 0.

    Returns
    -------
    ndarray, shape (n_components,)
        Mean length of the runs of frames above a tenth (-20 dB) of the row's maximum, each run
        weighted with the sum of its activations, so that a blip counts little; 0 for a row of
        zeros.
    """
    lengths, weights = ring_sums(H, ring_peaks(H))
    mean: Vector = lengths / np.where(weights > 0, weights, 1)
    return mean


def ring_peaks(H: NDArray[np.floating[Any]]) -> Vector:
    """Return the maximum of each row of activations, shape (n_components,)."""
    peaks: Vector = np.asarray(H, np.float64).max(axis=1, initial=0)
    return peaks


def ring_sums(H: NDArray[np.floating[Any]], peaks: Vector) -> tuple[Vector, Vector]:
    """Return what `ring_lengths` is the quotient of; those of several recordings may be added.

    Parameters
    ----------
    H : ndarray, shape (n_components, n_frames)
        Activations, ≥ 0.
    peaks : ndarray, shape (n_components,)
        Maxima over all recordings.

    Returns
    -------
    lengths : ndarray, shape (n_components,)
        Sum over the runs of length times weight.
    weights : ndarray, shape (n_components,)
        Sum of the weights.
    """
    lengths, weights = np.zeros(len(H)), np.zeros(len(H))
    for k, row in enumerate(np.asarray(H, np.float64)):
        sounding = row > _RING_SHARE * peaks[k]
        changes = np.flatnonzero(np.diff(sounding, prepend=False, append=False))
        starts, ends = changes[::2], changes[1::2]
        total = np.concatenate([[0.0], np.cumsum(row)])
        of_runs = total[ends] - total[starts]
        lengths[k], weights[k] = (ends - starts) @ of_runs, of_runs.sum()
    return lengths, weights


def _pitches(columns: Vector, bin_hertz: float) -> list[Pitch | None]:
    """Return the pitches of spectra, (n, n_bins), of which the greatest magnitude is 1."""
    low, high = (hz / bin_hertz for hz in _PITCH_RANGE_HZ)
    low = max(low, _MIN_SPACING_BINS)
    places, heights = np.zeros((2, len(columns), _MAX_PEAKS))
    spacings = []
    for n, magnitudes in enumerate(columns):
        at, height = _peaks(magnitudes)
        places[n, : len(at)], heights[n, : len(at)] = at, height
        strong = at[np.argsort(-height, kind="stable")[:_STRONG_PEAKS]]
        spacing = (strong[:, None] / np.arange(1, _DIVISORS + 1)).ravel()
        most = min(high, len(magnitudes) - 1)
        spacings.append(spacing[(spacing >= low) & (spacing <= most)])
    best, best_fit = np.zeros((2, len(columns)))
    n_peaks = int(np.count_nonzero(heights, axis=1).max())
    places, heights = places[:, :n_peaks], heights[:, :n_peaks]
    owners = np.repeat(np.arange(len(columns)), [len(each) for each in spacings])
    for n, spacing, fit in zip(
        *_matches(np.concatenate(spacings), owners, places, heights), strict=True
    ):
        if fit > best_fit[n] * (1 + 1e-9):
            best[n], best_fit[n] = spacing, fit
    found: list[Pitch | None] = []
    for magnitudes, spacing in zip(columns, best.tolist(), strict=True):
        harmonicity = _harmonicity(magnitudes, spacing) if low <= spacing <= high else 0.0
        sure = harmonicity >= MIN_HARMONICITY
        found.append(Pitch(spacing * bin_hertz, harmonicity) if sure else None)
    return found


def _peaks(magnitudes: Vector) -> tuple[Vector, Vector]:
    """Return place, in bins, and height of the highest peaks, those within 40 dB of the first."""
    inner = magnitudes[1:-1]
    floor = 10 ** (-_PEAK_RANGE_DB / 20)
    found = 1 + np.flatnonzero(
        (inner > magnitudes[:-2]) & (inner >= magnitudes[2:]) & (inner >= floor)
    )
    found = np.sort(found[np.argsort(-magnitudes[found], kind="stable")[:_MAX_PEAKS]])
    # A parabola through the logarithms: the main lobe of a Hann window is nearly one.
    left, middle, right = np.log(np.maximum(magnitudes[found + np.array([[-1], [0], [1]])], 1e-9))
    curvature = left - 2 * middle + right
    offset = 0.5 * (left - right) / np.where(curvature < 0, curvature, -1)
    return found + np.clip(offset, -0.5, 0.5), magnitudes[found]


def _matches(
    spacings: Vector, owners: NDArray[np.int64], places: Vector, heights: Vector
) -> tuple[NDArray[np.int64], Vector, Vector]:
    """Return the spacings that fit the matched peaks best, and how well partials and peaks match.

    Each is refined from the lowest partials up: the nearer to it they lie, the more partials can be
    told from their neighbours. One that no peak matches at some time is left out, and so are those
    that have become equal to one before, as they would stay so: of 57 of a spectrum 17 remain.

    Parameters
    ----------
    spacings, owners : ndarray, shape (n_spacings,)
        In bins, and the spectrum of each, rising.
    places, heights : ndarray, shape (n_spectra, n_peaks)
        Where peaks are in bins, and how high; 0 where there are no more.

    Returns
    -------
    owners, spacings, fits : ndarray, shape (n_left,)
        In their order.
    """
    places, heights, found = places[owners], heights[owners], spacings[:, None]
    for reach in (2, 4, 8, 16, _MAX_PARTIALS):
        nearest = np.clip(np.rint(places / found), 1, reach)
        order = nearest * found
        tolerance = np.minimum(_TOLERANCE * order + _TOLERANCE_BINS, 0.25 * found)
        matched = np.abs(places - order) <= tolerance
        weights = np.where(matched, heights**2 * nearest, 0)
        sums = np.einsum("ij,ij->i", weights, nearest)
        refined = np.einsum("ij,ij->i", weights, places) / np.where(sums > 0, sums, 1)
        kept = _distinct(refined, owners, np.flatnonzero(sums))
        found, owners = refined[kept, None], owners[kept]
        places, heights = places[kept], heights[kept]
    nearest, matched = nearest[kept], matched[kept]
    of_matched = np.where(matched, heights, 0)
    recall = of_matched.sum(axis=1) / np.maximum(heights.sum(axis=1), _SILENT)
    loud = matched & (heights >= 0.1 * of_matched.max(axis=1, initial=0, keepdims=True))
    reached = np.where(loud, nearest, 1).max(axis=1, initial=1)
    present = np.zeros((len(found), _MAX_PARTIALS + 1), bool)
    rows, peaks = np.nonzero(matched)
    present[rows, nearest[rows, peaks].astype(int)] = True
    counts = (present & (np.arange(_MAX_PARTIALS + 1) <= reached[:, None])).sum(axis=1)
    return owners, found[:, 0], recall * np.sqrt(counts / reached)


def _distinct(
    spacings: Vector, owners: NDArray[np.int64], alive: NDArray[np.intp]
) -> NDArray[np.intp]:
    """Return those alive of which no one before has the same spacing and owner."""
    order = alive[np.lexsort((spacings[alive], owners[alive]))]  # of equals the first comes first
    new = np.ones(len(order), bool)
    new[1:] = (np.diff(spacings[order]) != 0) | (np.diff(owners[order]) != 0)
    return np.sort(order[new])


def _harmonicity(magnitudes: Vector, spacing: float) -> float:
    """Return the share of the magnitudes at the partials beyond what an even spread would give."""
    bins = np.arange(len(magnitudes))
    order = np.rint(bins / spacing)
    half_width = min(1.5, spacing / 4)
    at_partials = (order >= 1) & (np.abs(bins - order * spacing) <= half_width)
    reach = max(1, round(spacing / 2))
    padded = np.concatenate([np.zeros(reach + 1), magnitudes, np.zeros(reach)]).cumsum()
    spread = (padded[2 * reach + 1 :] - padded[: -2 * reach - 1]) / (2 * reach + 1)
    found = magnitudes[at_partials].sum() / magnitudes.sum()
    expected = spread[at_partials].sum() / magnitudes.sum()
    return float((found - expected) / max(1 - expected, 1e-9))
