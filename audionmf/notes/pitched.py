"""Notes that sound together, from the activations of the keys.

A note is fitted before it is judged. Where a row of activations rises a note may begin; of these many
are ghosts: partials, octaves and bleed. The worst are left out, templates are learnt again from the
rest, and by these they are judged. A note stays if it is no ghost by three measures in dB added up:
what share of the spectrum nobody else could take over, how soft it is beside the loudest of all, and
how soft beside those that sound with it. What other stems of the recording hold at the same time may
take over, too: what is left of them in a stem has their spectrum. A network that has learnt how notes
begin adds what it thinks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from audionmf.notes.events import Heard
from audionmf.notes.keyboard import keyboard
from audionmf.notes.model import Fit, places_of
from audionmf.notes.note_starts import Starts, note_starts
from audionmf.notes.sound import (
    HIGHEST_HZ,
    SECONDS,
    SILENCE,
    Matrix,
    Spectra,
    Vector,
    level_db,
    loud_of,
)

__all__ = ["chords"]

_RISE = 1.35
_OWN_RANGE_DB, _RANGE_DB = 26.0, 30.0
_FALL = 0.15
_LEAST_SECONDS = 0.05
_EVIDENCE_DB = -39.0
_DB_A_NAT, _LEAST_SURE, _MOST_SURE = 6.0, 0.01, 0.95
_SAME_FRAMES, _SURE_OF_TIME = 6, 0.3
_LIKELY_DB, _LIKELY_SURE = -50.0, 0.2
_LEARNING_ITERATIONS, _HELD = 6, 0.05
_GATING_ITERATIONS = 8
_LEAK_BANDS, _LEAK_HZ, _LEAK_START = 6, (100.0, HIGHEST_HZ), 0.3
_TAKE_OVER_ITERATIONS = 6
_SEARCH = 6
_LEAD_FRAMES = 3
_LONGEST_JUDGED = 60
_LOUD_FRAMES = 10
_STROKE_DB, _STRUCK_DB, _STROKE_FRAMES = 3.0, 9.0, 5
_LOUD_SHARE = 0.2
_LATE_SECONDS = 0.015  # from stroke to steepest rise: medians of four instruments are 9 to 26 ms


@dataclass(frozen=True)
class _Candidate:
    row: int
    onset: int
    peak: int
    end: int
    level: float
    stroke_db: float
    evidence: float = 0.0
    sure: float = 0.0
    struck: float | None = None


class _Leak:
    """What others may have left in a stem: the spectrum of each, its bands at gains that are fitted.

    Parameters
    ----------
    others : ndarray, shape (n_others, n_bins, n_frames)
        What each of them sounds like.
    bands : ndarray, shape (n_bands, n_bins)
        How much of each bin moves with each band.
    gains : ndarray, shape (n_others, n_bands, n_frames), optional
        Where to start.
    """

    def __init__(self, others: Matrix, bands: Matrix, gains: Matrix | None = None) -> None:
        self._others, self._bands = others, bands
        self._weights = bands @ others + np.float32(SILENCE)
        self._gains = np.full_like(self._weights, _LEAK_START) if gains is None else gains

    def part(self) -> Matrix:
        """Return their part of the stem, shape (n_bins, n_frames)."""
        return np.asarray((self._others * (self._bands.T @ self._gains)).sum(axis=0))

    def move(self, ratio: Matrix) -> None:
        """Update the gains by the ratio of V to the model."""
        self._gains = self._gains * (self._bands @ (self._others * ratio)) / self._weights

    def cut(self, span: slice) -> _Leak:
        """Return some frames of it, to be moved by themselves."""
        return _Leak(self._others[..., span], self._bands, self._gains[..., span])


def chords(
    spectra: Spectra,
    fit: Fit,
    deficit_db: float = 0.0,
    others: Iterable[Matrix] = (),
) -> list[Heard]:
    """Return the notes of a piece, in the order of their onsets.

    Parameters
    ----------
    spectra, fit
        Of the piece.
    deficit_db : float, default 0
        By how much the piece is softer than the whole stem; 0 or more. What counts as soft is
        measured from the loudest of the stem.
    others : iterable of ndarray, each of shape (n_bins, n_frames)
        V of the other stems of the recording. Notes that these explain are left out; where most
        notes begin with a stroke, so are those that do not.

    Returns
    -------
    list of Heard
        Onsets and offsets from the start of the piece.
    """
    louder = 10 ** (deficit_db / 20)
    candidates = _candidates(spectra, fit, louder * float(fit.rows.max(initial=0)))
    edges, others = _edges(spectra), list(others)
    beside = [np.add.reduceat(other, edges, axis=0) for other in others]
    if beside and _are_struck(candidates):
        candidates = [c for c in candidates if c.stroke_db >= _STROKE_DB]
    loud = loud_of(level_db(spectra.S)) + deficit_db
    starts = note_starts(keyboard(spectra, fit, loud, others))
    told = [_told(c, starts) for c in candidates]
    judged = _judged(spectra, fit, told, louder, beside)
    kept = [c for c in judged if c.evidence + _of_odds(c.sure) > _EVIDENCE_DB]
    levels = _levels(spectra, fit, kept)
    return sorted(
        Heard(_struck(c), c.end * SECONDS, int(fit.keys[c.row]), level)
        for c, level in zip(kept, levels, strict=True)
    )


def _told(c: _Candidate, starts: Starts) -> _Candidate:
    """Return a candidate with what the network says: how sure it is, and if it is, when."""
    near = (starts.rows == c.row) & (np.abs(starts.frames - c.onset) <= _SAME_FRAMES)
    if not near.any():
        return c
    best = int(np.where(near, starts.sure, -1).argmax())
    sure = float(starts.sure[best])
    when = round(float(starts.frames[best]) * SECONDS, 3) if sure > _SURE_OF_TIME else None
    return replace(c, sure=sure, struck=when)


def _of_odds(sure: float) -> float:
    """Return the logarithm of the odds that a note begins, in dB as it were."""
    p = min(max(sure, _LEAST_SURE), _MOST_SURE)
    return _DB_A_NAT * float(np.log(p / (1 - p)))


def _struck(c: _Candidate) -> float:
    """Return when a note was struck, in seconds: before its partials rise most."""
    when = c.onset * SECONDS - _LATE_SECONDS if c.struck is None else c.struck
    return min(max(0.0, when), (c.end - 1) * SECONDS)


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
            yield _Candidate(k, onset, peak, end, float(row[peak]), _stroke_db(short, onset))


def _are_struck(candidates: list[_Candidate]) -> bool:
    """Return whether what is loud begins with a stroke, mostly."""
    loud = _LOUD_SHARE * max((c.level for c in candidates), default=0.0)
    rises = [c.stroke_db for c in candidates if c.level >= loud]
    return bool(rises) and float(np.median(rises)) >= _STRUCK_DB


def _stroke_db(short: Vector, onset: int) -> float:
    """Return by how much the partials of a key rise within some frames around an onset, in dB."""
    before = short[max(0, onset - _STROKE_FRAMES) : max(1, onset - 1)].min()
    after = short[onset : onset + _STROKE_FRAMES].max()
    return float(20 * np.log10((after + SILENCE) / (before + SILENCE)))


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
    spectra: Spectra,
    fit: Fit,
    candidates: list[_Candidate],
    louder: float,
    others: Sequence[Matrix] = (),
) -> list[_Candidate]:
    """Return the likely candidates with their evidence in dB, by templates learnt from them."""
    edges = _edges(spectra)
    V, W = (np.add.reduceat(X, edges, axis=0) for X in (spectra.V, fit.W))
    beside = np.stack(others) if others else np.zeros((0, *V.shape), V.dtype)
    bands = _leak_bands(spectra.frequencies[edges])
    n_keys = len(fit.keys)
    loudest = louder * max((c.level for c in candidates), default=1.0)
    leak = _Leak(beside, bands)
    H = _gated(V, W, fit, candidates, leak)
    first = [_evidence(V, W, H, leak, c, n_keys, loudest) for c in candidates]
    likely = [c for c, db in zip(candidates, first, strict=True) if _likely(c, db)]
    leak = _Leak(beside, bands)
    W, H = _learnt(V, W, _gated(V, W, fit, likely, leak), leak)
    return [replace(c, evidence=_evidence(V, W, H, leak, c, n_keys, loudest)) for c in likely]


def _likely(c: _Candidate, evidence: float) -> bool:
    return evidence > _LIKELY_DB or c.sure > _LIKELY_SURE


def _edges(spectra: Spectra) -> NDArray[np.intp]:
    """Return the first bins of the wider ones in which notes are judged."""
    edges = np.concatenate([np.arange(0, 200, 2), np.arange(200, len(spectra.V), 4)])
    return edges[edges < len(spectra.V)]


def _leak_bands(frequencies: Vector) -> Matrix:
    """Return triangles on a scale of octaves, shape (n_bands, n_bins)."""
    centres = np.log2(np.geomspace(*_LEAK_HZ, _LEAK_BANDS))[:, None]
    places = np.log2(np.clip(frequencies, *_LEAK_HZ))
    bands = np.maximum(0, 1 - np.abs(places - centres) / float(centres[1, 0] - centres[0, 0]))
    return np.asarray(bands, np.float32)


def _gated(V: Matrix, W: Matrix, fit: Fit, candidates: list[_Candidate], leak: _Leak) -> Matrix:
    """Return activations of the keys where there are candidates, and of the bands."""
    gated, sounding = fit.H.copy(), np.zeros(fit.H.shape, bool)
    for c in candidates:
        sounding[c.row, max(0, c.onset - _LEAD_FRAMES) : c.end] = True
    sounding[len(fit.keys) :] = True
    gated *= sounding
    for _ in range(_GATING_ITERATIONS):
        ratio = V / (W @ gated + leak.part() + np.float32(SILENCE))
        gated *= W.T @ ratio
        leak.move(ratio)
    return gated


def _learnt(V: Matrix, W: Matrix, H: Matrix, leak: _Leak) -> tuple[Matrix, Matrix]:
    """Return templates as this instrument has them, and their activations.

    A comb is the same for all instruments but for the shares of its partials, and its neighbours'
    shares are near its own. What sounds much may move away from that, within its partials; what sounds
    little stays.
    """
    start, silence = W, np.float32(SILENCE)
    for _ in range(_LEARNING_ITERATIONS):
        ratio, sums = V / (W @ H + leak.part() + silence), H.sum(axis=1)
        learnt = W * (ratio @ H.T) + np.float32(_HELD * float(sums.max())) * start
        W = learnt / (learnt.sum(axis=0) + silence)
        ratio = V / (W @ H + leak.part() + silence)
        H = H * (W.T @ ratio)
        leak.move(ratio)
    return W, H


def _evidence(
    V: Matrix, W: Matrix, H: Matrix, leak: _Leak, c: _Candidate, n_keys: int, loudest: float
) -> float:
    """Return how sure a note is, in dB.

    The share of the magnitudes in its span that the loss would grow by without it, after the
    others have taken over what they can; its level, at half weight; its level beside the others.
    """
    first = max(0, c.onset - _LEAD_FRAMES)
    span = slice(first, min(c.end, c.onset + _LONGEST_JUDGED))
    used = np.flatnonzero(H[:, span].max(axis=1) > 0)
    Vs, Ws, Hs, beside = V[:, span], W[:, used], H[used, span], leak.cut(span)
    before = _loss(Vs, Ws @ Hs + beside.part())
    Hs[used == c.row] = 0
    for _ in range(_TAKE_OVER_ITERATIONS):
        ratio = Vs / (Ws @ Hs + beside.part() + np.float32(SILENCE))
        Hs *= Ws.T @ ratio
        beside.move(ratio)
    share = (_loss(Vs, Ws @ Hs + beside.part()) - before) / (float(Vs.sum()) + SILENCE)
    near = min(c.peak - first, Hs.shape[1] - 1)
    others = float(Hs[used < n_keys, max(0, near - 1) : near + 2].max(initial=0))
    beside_them = 20 * np.log10(c.level / max(others, c.level))
    alone = 20 * np.log10(c.level / loudest)
    return float(10 * np.log10(max(share, 1e-6)) + 0.5 * alone + beside_them)


def _loss(V: Matrix, L: Matrix) -> float:
    return float((V * np.log((V + SILENCE) / (L + SILENCE)) - V + L).sum(dtype=np.float64))
