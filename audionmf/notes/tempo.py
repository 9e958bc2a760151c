"""How fast the beats are, and where the tempo changes.

References
----------
Beats: Ellis, "Beat tracking by dynamic programming", Journal of New Music Research 36(1), 2007. How
fast they are, second by second: Grosche, Müller and Kurth, "Cyclic tempogram", ICASSP 2010. Straight
pieces of their course: Douglas and Peucker, "Algorithms for the reduction of the number of points
required to represent a digitized line or its caricature", Cartographica 10(2), 1973.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from audionmf.errors import ParameterError
from audionmf.io.audio import Source
from audionmf.notes.sound import RATE, Vector, pieces_of

__all__ = ["LEAST_BPM", "MOST_BPM", "Tempo", "beats_of", "parse_tempo", "tempo_of_beats"]

LEAST_BPM, MOST_BPM = 20.0, 400.0
"""Between these a tempo may be given."""

_LEAST_SECONDS, _LEAST_BEATS = 2.0, 3
_HOP = 512
_WINDOW_SECONDS = 8.0
_OCTAVES_AROUND = 0.5
_STRAIGHT_SECONDS = 0.035  # beats are heard to a frame of 23 ms
_STRAIGHT_BEATS = 4
_FIRST_SHARE = 0.5


class Tempo(NamedTuple):
    """How fast the beats are.

    Parameters
    ----------
    bpm : float
        Beats in a minute, in the mean.
    changes : tuple of (float, float)
        From which second on there are how many beats in a minute; the first is from 0.
    """

    bpm: float
    changes: tuple[tuple[float, float], ...]


def parse_tempo(text: str | float | None) -> str | float | None:
    """Return a tempo as a number, "auto", or None where none is given.

    Raises
    ------
    ParameterError
        If it is neither "auto" nor 20 to 400.
    """
    if text is None or text == "auto":
        return text
    try:
        tempo = float(text)
    except (TypeError, ValueError):
        tempo = math.nan
    if not LEAST_BPM <= tempo <= MOST_BPM:
        raise ParameterError(
            f"the tempo is 'auto' or {LEAST_BPM:.0f} to {MOST_BPM:.0f} beats a minute, not {text!r}"
        )
    return tempo


def beats_of(source: Source) -> Vector:
    """Return when the beats of a recording are, in seconds.

    Parameters
    ----------
    source : Audio or AudioFile
        The recording, of any length; it is read block by block.

    Returns
    -------
    ndarray, shape (n_beats,)
        Empty for silence, and for what is shorter than 2 s.
    """
    import librosa

    if source.n_samples < _LEAST_SECONDS * source.sample_rate:
        return np.zeros(0)
    strength = _strength(source)
    if not strength.any():
        return np.zeros(0)
    options: dict[str, Any] = {"onset_envelope": strength, "sr": RATE, "hop_length": _HOP}
    whole = float(librosa.feature.tempo(**options)[0])
    course = librosa.feature.tempo(
        **options, aggregate=None, ac_size=_WINDOW_SECONDS, start_bpm=whole, std_bpm=_OCTAVES_AROUND
    )
    _, beats = librosa.beat.beat_track(**options, bpm=course, units="time")
    return np.asarray(beats, np.float64)


def tempo_of_beats(beats: Vector) -> Tempo | None:
    """Return how fast beats are, and where that changes.

    The beats are joined by as few straight lines as leave none of them 35 ms off; each line is four
    beats or more. Before the first beat there are whole beats, so that a grid that starts at 0 has
    its lines where the beats are.

    Parameters
    ----------
    beats : ndarray, shape (n_beats,)
        In seconds, rising.

    Returns
    -------
    Tempo or None
        None for less than three beats, and where they are outside 20 to 400 a minute.
    """
    if len(beats) < _LEAST_BEATS:
        return None
    bpm = 60 / float(np.polyfit(np.arange(len(beats)), beats, 1)[0])
    if not LEAST_BPM <= bpm <= MOST_BPM:
        return None
    knots = _knots(beats)
    changes = [
        (float(beats[a]), 60 * (b - a) / float(beats[b] - beats[a])) for a, b in pairwise(knots)
    ]
    return Tempo(bpm, tuple(_from_the_start(changes)))


def _strength(source: Source) -> Vector:
    """Return how strongly something begins in each frame, piece by piece."""
    import librosa

    times, values = [], []
    for piece in pieces_of(source):
        found = librosa.onset.onset_strength(y=piece.samples, sr=RATE, hop_length=_HOP)
        seconds = np.arange(len(found)) * (_HOP / RATE)
        core = (seconds >= piece.first) & (seconds < piece.last)
        times.append(piece.start + seconds[core])
        values.append(found[core])
    frames = np.arange(0, source.n_samples / source.sample_rate, _HOP / RATE)
    strength: Vector = np.interp(frames, np.concatenate(times), np.concatenate(values))
    return strength


def _knots(beats: Vector) -> list[int]:
    """Return the beats between which the course is straight, the first and the last among them."""
    found, open_spans = [0, len(beats) - 1], [(0, len(beats) - 1)]
    while open_spans:
        a, b = open_spans.pop()
        inside = np.arange(a + _STRAIGHT_BEATS, b - _STRAIGHT_BEATS + 1)
        if not inside.size:
            continue
        line = beats[a] + (inside - a) * (beats[b] - beats[a]) / (b - a)
        far = np.abs(beats[inside] - line)
        if far.max() > _STRAIGHT_SECONDS:
            knot = int(inside[far.argmax()])
            found.append(knot)
            open_spans += [(a, knot), (knot, b)]
    return sorted(found)


def _from_the_start(changes: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the changes of tempo from 0 on: whole beats up to a beat that was heard."""
    first, bpm = changes[0]
    period = 60 / bpm
    if first < _FIRST_SHARE * period:  # too short for a beat of its own: up to the second
        first += period
    before = (0.0, 60 * max(1, round(first / period)) / first)
    return [before, (first, bpm), *changes[1:]]
