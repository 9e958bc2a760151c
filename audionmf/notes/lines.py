"""One note at a time: the most likely course of keys through a piece, and where it is cut.

The course is decided by pYIN and by the activations of the keys together, each change at a cost. A key
that is struck again shows as a dip of the level.

References
----------
Mauch and Dixon, "pYIN: a fundamental frequency estimator using probabilistic threshold distributions",
ICASSP 2014. The course: Viterbi, "Error bounds for convolutional codes and an asymptotically optimum
decoding algorithm", IEEE Transactions on Information Theory 13(2), 1967.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from audionmf.notes.events import Heard
from audionmf.notes.model import Fit
from audionmf.notes.pyin import pyin
from audionmf.notes.sound import (
    HOP,
    RATE,
    SECONDS,
    SILENCE,
    Matrix,
    Spectra,
    Vector,
    level_db,
    novelty_of,
    peaks_of,
)

__all__ = ["MAYBE_SINGLE", "PitchCourse", "is_line", "line", "pitch_course"]

MAYBE_SINGLE = 0.5
"""Below this share of single notes chords are certain, and pYIN need not be asked."""

_SINGLE = 0.63
_SINGLE_AND_VOICED = 0.76
_PYIN_HZ = (32.7, 2093.0)
_PYIN_WINDOW, _PYIN_BINS = 2048, 5
_EVERY = 2  # pYIN hears every second frame: half the time, and notes as good
_CLIP = 1.5
_DOUBT = 0.3
_JUMP = 6.0
_SOFT_DB = -32.0
_CERTAIN_DB = 20.0
_AGAIN_DB = 9.0
_AGAIN_AT = 0.1
_NOVEL = 0.4
_LEAST_FRAMES = 7
_AROUND = 8
_APART = 6
_ANTICIPATION = 2
_FOOT, _FOOT_FRAMES, _FOOT_LATE, _SWELL_FRAMES = 0.05, 15, 2, 7
_LOUD_FRAMES, _REST_FRAMES = 20, 5


@dataclass(frozen=True)
class PitchCourse:
    """What pYIN hears in each frame.

    Parameters
    ----------
    semitones : ndarray, shape (n_frames,)
        Pitch as a MIDI key, with fractions.
    voiced : ndarray, shape (n_frames,), bool
        Whether there is one.
    sure : ndarray, shape (n_frames,)
        How surely, from 0 to 1.
    """

    semitones: Vector
    voiced: NDArray[np.bool_]
    sure: Vector


def pitch_course(samples: Vector) -> PitchCourse:
    """Return what pYIN hears in a piece at the package's rate."""
    hertz, voiced, sure = pyin(
        samples, *_PYIN_HZ, RATE, window=_PYIN_WINDOW, hop=_EVERY * HOP, bins=_PYIN_BINS
    )
    frames = np.arange(1 + len(samples) // HOP)
    nearest = np.minimum((frames + _EVERY // 2) // _EVERY, len(hertz) - 1)
    semitones = 69 + 12 * np.log2(hertz[nearest] / 440)
    return PitchCourse(semitones, voiced[nearest], sure[nearest])


def is_line(single: float, voiced: float | None = None) -> bool:
    """Return whether a source plays one note at a time.

    Parameters
    ----------
    single : float
        As `single_share` tells it.
    voiced : float, optional
        How surely pYIN hears one pitch, from 0 to 1, in the mean; it decides where the activations
        leave doubt.
    """
    if voiced is None or single >= _SINGLE or single < MAYBE_SINGLE:
        return single >= _SINGLE
    return single + 0.5 * voiced >= _SINGLE_AND_VOICED


def line(spectra: Spectra, fit: Fit, pitch: PitchCourse, loud_db: float) -> list[Heard]:
    """Return the notes of a piece that has one at a time, in the order of their onsets.

    Parameters
    ----------
    spectra, fit, pitch
        Of the piece.
    loud_db : float
        How loud the stem is where it is loud; what is 32 dB below is silence.

    Returns
    -------
    list of Heard
        Onsets and offsets from the start of the piece.
    """
    from scipy.ndimage import uniform_filter1d

    absolute = level_db(spectra.S)
    level = absolute - loud_db
    course = fit.keys[_course(_cost(fit, pitch, level))]
    smooth = uniform_filter1d(level, 3)
    changes = [int(t) for t in np.flatnonzero(np.diff(course)) + 1]
    cuts = sorted({*changes, *_struck_again(smooth, novelty_of(spectra.S, 2), changes)})
    notes, before = [], 0
    for first, last in _spans(smooth > _SOFT_DB, cuts):
        key = int(np.median(course[first:last]))
        if first in changes:
            row = fit.rows[key - int(fit.keys[0])]
            onset = _foot(row, max(0, before + _REST_FRAMES, first - _FOOT_FRAMES), first, last)
        else:
            onset = max(0, first - _ANTICIPATION)
        loudest = float(absolute[first:last].max())
        notes.append(Heard(onset * SECONDS, last * SECONDS, key, loudest))
        before = first
    return notes


def _foot(row: Matrix, earliest: int, change: int, end: int) -> int:
    """Return when a key begins to sound to which the course changes: never after the change.

    Bows and reeds swell: the course changes when the new key is as loud as the old one. Where the
    rise takes long, the note begins where a twentieth of it is reached; windows spread a sudden rise
    by about as much as is added. What rises soon stays where it is.
    """
    if earliest >= change:
        return change
    loud = float(row[change : min(end, change + _LOUD_FRAMES)].max())
    rise = row[earliest : change + 1]
    valley = change - int(rise[::-1].argmin())
    least = row[valley] + _FOOT * (loud - row[valley])
    below = np.flatnonzero(row[valley:change] < least)
    foot = valley + int(below[-1]) + 1 if below.size else valley
    begins = foot + _FOOT_LATE
    return begins if change - begins >= _SWELL_FRAMES else change


def _cost(fit: Fit, pitch: PitchCourse, level: Vector) -> Vector:
    """Return what each key costs in each frame, shape (n_frames, n_keys); nothing in silence."""
    from scipy.ndimage import median_filter

    rows = fit.rows
    by_rows = 1 - np.sqrt(rows / (rows.max(axis=0) + SILENCE)).T.astype(np.float64)
    semitones = median_filter(pitch.semitones, 5)
    far = np.minimum(np.abs(semitones[:, None] - fit.keys), _CLIP) / _CLIP
    by_pitch = far * np.where(pitch.voiced, 1, _DOUBT)[:, None]
    certain = np.clip((level - _SOFT_DB) / _CERTAIN_DB, 0, 1)
    cost: Vector = 0.5 * (by_rows + by_pitch) * certain[:, None]
    return cost


def _course(cost: Vector) -> NDArray[np.intp]:
    """Return the cheapest course of states, where every change costs `_JUMP` (Viterbi)."""
    n_frames, n_states = cost.shape
    total, states = cost[0].copy(), np.arange(n_states)
    back = np.zeros((n_frames, n_states), np.intp)
    for t in range(1, n_frames):
        cheapest = int(total.argmin())
        stay = total <= total[cheapest] + _JUMP
        back[t] = np.where(stay, states, cheapest)
        total = np.where(stay, total, total[cheapest] + _JUMP) + cost[t]
    course = np.empty(n_frames, np.intp)
    course[-1] = total.argmin()
    for t in range(n_frames - 1, 0, -1):
        course[t - 1] = back[t, course[t]]
    return course


def _struck_again(level: Vector, novelty: Vector, changes: list[int]) -> list[int]:
    """Return where a key that goes on is struck again: the level dips, and rises by 9 dB."""
    found = []
    novel = _NOVEL * float(np.percentile(novelty, 99))
    for t in peaks_of(novelty, novel, 4):
        if any(abs(t - change) <= _APART for change in changes):
            continue
        first, last = max(0, t - _AROUND), min(len(level), t + _AROUND)
        valley = first + int(level[first : t + 1].argmin())
        rise = float(level[t:last].max() - level[valley])
        if rise > _AGAIN_DB:
            risen = level[valley:last] >= level[valley] + _AGAIN_AT * rise
            found.append(valley + int(np.argmax(risen)))
    return found


def _spans(sounding: NDArray[np.bool_], cuts: list[int]) -> list[tuple[int, int]]:
    """Return first and last frame of what sounds between the cuts, if it is long enough."""
    flips = np.flatnonzero(np.diff(sounding, prepend=False, append=False)).tolist()
    found: list[tuple[int, int]] = []
    for start, stop in zip(flips[::2], flips[1::2], strict=True):
        edges = [start, *(c for c in cuts if start < c < stop), stop]
        found += list(pairwise(edges))
    return [(a, b) for a, b in found if b - a >= _LEAST_FRAMES]
