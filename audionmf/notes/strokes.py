"""Strokes: where what has no pitch is struck, how loud, and whether it sounds dark or bright.

References
----------
Böck and Widmer, "Maximum filter vibrato suppression for onset detection", DAFx 2013. Which drum by its
brightness: Gillet and Richard, "Transcription and separation of drum signals from polyphonic music",
IEEE Transactions on Audio, Speech, and Language Processing 16(3), 2008.
"""

from __future__ import annotations

import numpy as np

from audionmf.notes.drums import DRUMS
from audionmf.notes.events import Heard
from audionmf.notes.sound import (
    RATE,
    SILENCE,
    Matrix,
    Vector,
    level_db,
    magnitudes,
    novelty_of,
    peaks_of,
    short_levels,
)

__all__ = ["strokes"]

_WINDOW, _HOP = 512, 110
_NOVEL = 0.15
_RISE_DB, _RANGE_DB = 6.0, 30.0
_LAG, _AROUND = 3, 8
_APART_SECONDS = 0.03
_LONGEST_SECONDS = 0.1
_KICK_BELOW_HZ, _SNARE_BELOW_HZ = 400.0, 3500.0


def strokes(samples: Vector, key: int | None = None, deficit_db: float = 0.0) -> list[Heard]:
    """Return the strokes of a piece, in the order of their onsets.

    A stroke is a peak of the novelty, at least 15 % of the largest, where the level rises by 6 dB
    to within 30 dB of the loudest.

    Parameters
    ----------
    samples : ndarray, shape (n_samples,)
        A piece at the package's rate.
    key : int, optional
        The key of all of them. Default: kick, snare or hi-hat, by the centre of each one's power.
    deficit_db : float, default 0
        By how much the loudest of the piece is softer than that of the stem; 0 or more.

    Returns
    -------
    list of Heard
        Onsets and offsets from the start of the piece; each ends with the next, after 0.1 s at
        most.
    """
    S = magnitudes(samples, _WINDOW, _HOP, _WINDOW)
    if not S.max(initial=0) > SILENCE:
        return []
    novelty = novelty_of(S, _LAG, float(S.max()) * 10 ** (deficit_db / 20))
    level, told = level_db(S), short_levels(samples, _HOP)
    level = level - level.max() - deficit_db
    struck = _struck(novelty, level)
    times = [max(0, t - 1) * _HOP / RATE for t in struck]
    ends = [*times[1:], np.inf]
    return [
        Heard(
            time,
            min(end, time + _LONGEST_SECONDS),
            _key(S, t) if key is None else key,
            float(told[t : t + _AROUND].max()),
        )
        for t, time, end in zip(struck, times, ends, strict=True)
    ]


def _struck(novelty: Vector, level: Vector) -> list[int]:
    """Return the frames in which something is struck."""
    apart = max(1, round(_APART_SECONDS * RATE / _HOP))
    found: list[int] = []
    for t in peaks_of(novelty, _NOVEL * float(novelty.max()), apart):
        high = float(level[t : t + _AROUND].max())
        low = float(level[max(0, t - _AROUND) : t + 1].min())
        rises = high - low >= _RISE_DB or t <= _LAG
        if rises and high >= -_RANGE_DB and (not found or t - found[-1] > apart):
            found.append(t)
    return found


def _key(S: Matrix, t: int) -> int:
    """Return which drum a stroke sounds most like: dark, middling or bright, by its median power."""
    powers = (S[:, t : t + _AROUND].astype(np.float64) ** 2).sum(axis=1)
    before = (S[:, max(0, t - _AROUND) : max(1, t - _LAG)].astype(np.float64) ** 2).mean(axis=1)
    risen = np.maximum(powers - _AROUND * before, 0).cumsum()
    centre = float(np.searchsorted(risen, 0.5 * risen[-1])) * RATE / _WINDOW
    if centre < _KICK_BELOW_HZ:
        return DRUMS["kick"]
    return DRUMS["snare"] if centre < _SNARE_BELOW_HZ else DRUMS["hi-hat"]
