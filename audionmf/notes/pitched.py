"""Notes that sound together, from the activations of the keys.

A note is fitted before it is judged. Where a row of activations rises a note may begin; of these many
are ghosts: partials, octaves and bleed. The worst are left out, templates are learnt again from the
rest, and by these they are judged. A note stays if it is no ghost by three measures in dB added up:
what share of the spectrum nobody else could take over, how soft it is beside the loudest of all, and
how soft beside those that sound with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from audionmf.notes.events import Heard
from audionmf.notes.model import Fit, places_of
from audionmf.notes.sound import SECONDS, SILENCE, Matrix, Spectra, Vector, level_db

__all__ = ["chords"]

_RISE = 1.35
_OWN_RANGE_DB, _RANGE_DB = 26.0, 30.0
_FALL = 0.15
_LEAST_SECONDS = 0.05
_EVIDENCE_DB = -30.0
_LIKELY_DB = -50.0
_LEARNING_ITERATIONS, _HELD = 6, 0.05
_TAKE_OVER_ITERATIONS = 6
_SEARCH = 6
_LEAD_FRAMES = 3
_LONGEST_JUDGED = 60
_LOUD_FRAMES = 10
_LATE_SECONDS = 0.015  # from stroke to steepest rise: medians of four instruments are 9 to 26 ms


@dataclass(frozen=True)
class _Candidate:
    row: int
    onset: int
    peak: int
    end: int
    level: float
    evidence: float = 0.0


def chords(spectra: Spectra, fit: Fit, deficit_db: float = 0.0) -> list[Heard]:
    """Return the notes of a piece, in the order of their onsets.

    Parameters
    ----------
    spectra, fit
        Of the piece.
    deficit_db : float, default 0
        By how much the piece is softer than the whole stem; 0 or more. What counts as soft is
        measured from the loudest of the stem.

    Returns
    -------
    list of Heard
        Onsets and offsets from the start of the piece.
    """
    louder = 10 ** (deficit_db / 20)
    candidates = _candidates(spectra, fit, louder * float(fit.rows.max(initial=0)))
    kept = [c for c in _judged(spectra, fit, candidates, louder) if c.evidence > _EVIDENCE_DB]
    levels = _levels(spectra, fit, kept)
    return sorted(
        Heard(_struck(c), c.end * SECONDS, int(fit.keys[c.row]), level)
        for c, level in zip(kept, levels, strict=True)
    )


def _struck(c: _Candidate) -> float:
    """Return when a note was struck, in seconds: before its partials rise most."""
    return max(0.0, c.onset * SECONDS - _LATE_SECONDS)


def _levels(spectra: Spectra, fit: Fit, notes: list[_Candidate]) -> list[float]:
    """Return how loud notes are: the level where they begin, and their share of it in the model."""
    level = level_db(spectra.S)
    widths = (fit.W.astype(np.float64) ** 2).sum(axis=0)
    found = []
    for c in notes:
        powers = widths * fit.H[:, c.peak].astype(np.float64) ** 2
        share = powers[c.row] / (powers.sum() + SILENCE**2)
        last = max(c.onset + 1, min(c.end, c.onset + _LOUD_FRAMES))
        found.append(float(level[c.onset : last].max() + 10 * np.log10(share + SILENCE)))
    return found


def _candidates(spectra: Spectra, fit: Fit, loudest: float) -> list[_Candidate]:
    """Return all that might be a note: rises of a row by `_RISE` over the valley before."""
    least = loudest * 10 ** (-_RANGE_DB / 20)
    found: list[_Candidate] = []
    for k, row in enumerate(fit.rows):
        if row.max(initial=0) >= least > 0:
            found += _of_row(k, row, _seen_short(spectra, fit, k), least)
    return found


def _seen_short(spectra: Spectra, fit: Fit, k: int) -> Vector:
    """Return how loud the partials of a key are in short windows."""
    places = places_of(fit.keys[k] + fit.tuning)
    bins = np.rint(places / spectra.short_frequencies[1]).astype(int)
    bins = np.minimum(bins, len(spectra.S) - 1)
    return np.asarray(fit.partials[k, : len(places)] @ spectra.S[bins])


def _of_row(k: int, row: Matrix, short: Vector, least: float) -> Iterator[_Candidate]:
    """Yield what may be notes of one key."""
    rises = _rises(row, max(least, float(row.max()) * 10 ** (-_OWN_RANGE_DB / 20)))
    stops = [rise.valley for rise in rises[1:]] + [len(row)]
    for (valley, peak), stop in zip(rises, stops, strict=True):
        onset = _steepest(row, short, valley, peak)
        fallen = np.flatnonzero(row[peak:stop] < _FALL * row[peak])
        end = max(onset + 1, peak + int(fallen[0]) if fallen.size else stop)
        if (end - onset) * SECONDS >= _LEAST_SECONDS:
            yield _Candidate(k, onset, peak, end, float(row[peak]))


class _Rise(NamedTuple):
    valley: int
    peak: int


def _rises(row: Matrix, least: float) -> list[_Rise]:
    """Return every rise to at least so much."""
    found: list[_Rise] = []
    falling, extreme, place = True, 0.0, 0
    for t, value in enumerate(row.tolist()):
        if falling and value > _RISE * extreme and value > least:
            found.append(_Rise(place, t))
            falling, extreme = False, value
        elif falling and value < extreme:
            extreme, place = value, t
        elif not falling and value > extreme:
            extreme = value
            found[-1] = _Rise(found[-1].valley, t)
        elif not falling and value < extreme / _RISE:
            falling, extreme, place = True, value, t
    return found


def _steepest(row: Matrix, short: Vector, valley: int, peak: int) -> int:
    """Return the frame near half the rise of a row where the short window rises most."""
    half = valley + int(np.argmax(row[valley : peak + 1] >= 0.5 * (row[peak] + row[valley])))
    if valley == 0 and half <= _SEARCH:
        return 0 if half < _LEAD_FRAMES else half
    first, last = max(1, half - _SEARCH), min(len(row) - 1, half + _SEARCH + 1)
    if last <= first:
        return half
    return first + int(np.argmax(short[first + 1 : last + 1] - short[first - 1 : last - 1]))


def _judged(
    spectra: Spectra, fit: Fit, candidates: list[_Candidate], louder: float
) -> list[_Candidate]:
    """Return the likely candidates with their evidence in dB, by templates learnt from them."""
    edges = np.concatenate([np.arange(0, 200, 2), np.arange(200, len(spectra.V), 4)])
    edges = edges[edges < len(spectra.V)]
    V, W = (np.add.reduceat(X, edges, axis=0) for X in (spectra.V, fit.W))
    n_keys = len(fit.keys)
    loudest = louder * max((c.level for c in candidates), default=1.0)
    H = _gated(V, W, fit, candidates)
    first = [_evidence(V, W, H, c, n_keys, loudest) for c in candidates]
    likely = [c for c, db in zip(candidates, first, strict=True) if db > _LIKELY_DB]
    W, H = _learnt(V, W, _gated(V, W, fit, likely))
    return [replace(c, evidence=_evidence(V, W, H, c, n_keys, loudest)) for c in likely]


def _gated(V: Matrix, W: Matrix, fit: Fit, candidates: list[_Candidate]) -> Matrix:
    """Return activations of the keys where there are candidates, and of the bands."""
    gated, sounding = fit.H.copy(), np.zeros(fit.H.shape, bool)
    for c in candidates:
        sounding[c.row, max(0, c.onset - _LEAD_FRAMES) : c.end] = True
    sounding[len(fit.keys) :] = True
    gated *= sounding
    for _ in range(_LEAD_FRAMES):
        gated *= W.T @ (V / (W @ gated + np.float32(SILENCE)))
    return gated


def _learnt(V: Matrix, W: Matrix, H: Matrix) -> tuple[Matrix, Matrix]:
    """Return templates as this instrument has them, and their activations.

    A comb is the same for all instruments but for the shares of its partials, and its neighbours'
    shares are near its own. What sounds much may move away from that, within its partials; what sounds
    little stays.
    """
    start, silence = W, np.float32(SILENCE)
    for _ in range(_LEARNING_ITERATIONS):
        ratio, sums = V / (W @ H + silence), H.sum(axis=1)
        learnt = W * (ratio @ H.T) + np.float32(_HELD * float(sums.max())) * start
        W = learnt / (learnt.sum(axis=0) + silence)
        H = H * (W.T @ (V / (W @ H + silence)))
    return W, H


def _evidence(V: Matrix, W: Matrix, H: Matrix, c: _Candidate, n_keys: int, loudest: float) -> float:
    """Return how sure a note is, in dB.

    The share of the magnitudes in its span that the loss would grow by without it, after the
    others have taken over what they can; its level, at half weight; its level beside the others.
    """
    first = max(0, c.onset - _LEAD_FRAMES)
    span = slice(first, min(c.end, c.onset + _LONGEST_JUDGED))
    used = np.flatnonzero(H[:, span].max(axis=1) > 0)
    Vs, Ws, Hs = V[:, span], W[:, used], H[used, span]
    before = _loss(Vs, Ws @ Hs)
    Hs[used == c.row] = 0
    for _ in range(_TAKE_OVER_ITERATIONS):
        Hs *= Ws.T @ (Vs / (Ws @ Hs + np.float32(SILENCE)))
    share = (_loss(Vs, Ws @ Hs) - before) / (float(Vs.sum()) + SILENCE)
    near = min(c.peak - first, Hs.shape[1] - 1)
    others = float(Hs[used < n_keys, max(0, near - 1) : near + 2].max(initial=0))
    beside = 20 * np.log10(c.level / max(others, c.level))
    alone = 20 * np.log10(c.level / loudest)
    return float(10 * np.log10(max(share, 1e-6)) + 0.5 * alone + beside)


def _loss(V: Matrix, L: Matrix) -> float:
    return float((V * np.log((V + SILENCE) / (L + SILENCE)) - V + L).sum(dtype=np.float64))
