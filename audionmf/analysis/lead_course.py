"""The course of a lead: how likely each pitch is its own, and the best way through them.

A small network that was trained on mixtures whose lead is known (`scripts/train_lead.py`) sees what
the strongest pitches of a frame sound like, and says how likely each of them is the lead's, and how
likely none. It says so twice: the second time it knows from the first what the lead sounds like in
this recording, and what all else does. Then the course is the likeliest that is smooth and stays in
its range. Where the network is not sure, the course is the loudest of that kind, without the rests
that the network is surest of.

References
----------
Viterbi, "Error bounds for convolutional codes and an asymptotically optimum decoding algorithm", IEEE
Transactions on Information Theory 13(2), 1967. The mean pitch of a melody, by which what is far from
it is told: Salamon and Gómez, "Melody extraction from polyphonic music signals using pitch contour
characteristics", IEEE Transactions on Audio, Speech, and Language Processing 20(6), 2012.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audionmf.analysis.lead_pitches import PITCHES, STEPS, candidates, pitch_strengths
from audionmf.spectra.blas import blas_threads

__all__ = ["SILENT", "lead_course", "likelihoods", "smooth_course", "strongest_course"]

Matrix = NDArray[np.floating[Any]]

SILENT = -1
"""The pitch of a course where the lead is silent."""

_FILE = "lead_course.npz"
_NOT_THERE = np.float32(-1e4)
_LEAST = -8.0
_BESIDE, _BESIDE_COST = 2, 0.25
_SILENCE = -2.0
_SURE_SILENCE = -1.5
_STEP_COST, _LEAP_COST, _PAUSE_COST = 0.25, 6.0, 2.0
_RANGE_SEMITONES, _RANGE_ROUNDS = 7.0, 2
_FEW = 5
_UNSURE = -0.62
_LOWEST_HZ, _POWER, _WIDE_SEMITONES, _HEARD = 100.0, 2.0, 12.0, 0.45


def lead_course(V: Matrix, frequencies: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the pitch of the lead in each frame.

    Parameters
    ----------
    V : ndarray, shape (n_bands, n_frames)
        Magnitudes, ≥ 0.
    frequencies : ndarray, shape (n_bands,)
        In Hz, rising.

    Returns
    -------
    ndarray of int, shape (n_frames,)
        Which of `lead_pitches.PITCHES`; `SILENT` where the lead is.
    """
    if not V.any():
        return np.full(V.shape[1], SILENT)
    sung, silent = likelihoods(V, frequencies)
    if float(np.maximum(sung.max(axis=1), silent).mean()) >= _UNSURE:
        return smooth_course(sung, silent)
    rests = smooth_course(sung, silent + _SURE_SILENCE) == SILENT
    return np.where(rests, SILENT, strongest_course(pitch_strengths(V, frequencies)))


def likelihoods(
    V: Matrix, frequencies: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return how likely each pitch is the lead's.

    Parameters
    ----------
    V, frequencies
        As in `lead_course`.

    Returns
    -------
    sung : ndarray, shape (n_frames, n_pitches)
        Logarithms of the likelihood, at least -8.
    silent : ndarray, shape (n_frames,)
        The same of no pitch.
    """
    seen, pitches, there = [], [], []
    with blas_threads(1):  # the course must not depend on how many there are
        for found in candidates(V, frequencies):
            seen.append(_hidden(found.features))
            pitches.append(found.pitches)
            there.append(found.there)
        chosen, present = np.concatenate(pitches), np.concatenate(there)
        logs = _judged(np.concatenate(seen), present)
    sung = np.full((len(logs), len(PITCHES)), _LEAST)
    rows = np.arange(len(logs))[:, None]
    for beside in range(-_BESIDE, _BESIDE + 1):
        places = np.clip(chosen + beside, 0, len(PITCHES) - 1)
        values = np.where(present, logs[:, :-1] - _BESIDE_COST * beside**2, _LEAST)
        np.maximum.at(sung, (rows, places), values)
    return sung, np.maximum(logs[:, -1], _LEAST)


def _hidden(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what the network sees in the candidates, (n_frames, n_candidates, n_hidden)."""
    net = _network()
    x = (features - net["mean"]) / net["spread"]
    return _layer(_layer(x, "first"), "second")


def _judged(hidden: NDArray[np.float32], there: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the logarithms of how likely each candidate, and last none, is the lead."""
    first = np.concatenate([_value(hidden, "pitch"), _none(hidden, there, "none")], axis=1)
    first[:, :-1][~there] = _NOT_THERE
    likely = np.exp(_log_shares(first))[:, :-1, None].astype(np.float32)
    lead = _mean_over(hidden, likely)
    rest = _mean_over(hidden, (1 - likely) * there[..., None])
    second = _layer(np.concatenate([hidden, hidden * lead, hidden * rest], axis=-1), "third")
    moved = np.concatenate(
        [_value(second, "pitch_again"), _none(second, there, "none_again")], axis=1
    )
    return _log_shares(first + moved)


def _mean_over(hidden: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    mean: NDArray[np.float32] = (hidden * weights).sum(axis=(0, 1)) / (weights.sum() + 1)
    return mean


def _layer(x: NDArray[np.float32], name: str) -> NDArray[np.float32]:
    net = _network()
    y: NDArray[np.float32] = x @ net[f"{name}_weights"] + net[f"{name}_bias"]
    return np.maximum(y, 0, out=y)


def _value(hidden: NDArray[np.float32], name: str) -> NDArray[np.float32]:
    net = _network()
    value: NDArray[np.float32] = hidden @ net[f"{name}_weights"][:, 0] + net[f"{name}_bias"]
    return value


def _none(hidden: NDArray[np.float32], there: NDArray[np.bool_], name: str) -> NDArray[np.float32]:
    """Return the value of no pitch, (n_frames, 1), by the mean and the highest of the candidates."""
    shown = hidden * there[..., None]  # what is hidden is ≥ 0
    return _value(np.concatenate([shown.mean(axis=1), shown.max(axis=1)], axis=1), name)[:, None]


def _log_shares(values: NDArray[np.float32]) -> NDArray[np.float64]:
    wide = values.astype(np.float64)
    wide -= wide.max(axis=1, keepdims=True)
    shares: NDArray[np.float64] = wide - np.log(np.exp(wide).sum(axis=1, keepdims=True))
    return shares


@cache
def _network() -> dict[str, NDArray[np.float32]]:
    with (resources.files(__package__) / _FILE).open("rb") as file, np.load(file) as arrays:
        return {name: arrays[name].astype(np.float32) for name in arrays.files}


def smooth_course(sung: NDArray[np.float64], silent: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the likeliest course that is smooth and stays in its range.

    A first course tells where the melody lies; then pitches far from its median count less, for what
    leaves it by an octave or more is mostly another's.

    Parameters
    ----------
    sung : ndarray, shape (n_frames, n_pitches)
        Logarithms of how likely each pitch is; neighbours a quarter of a semitone apart. A step costs
        in proportion to its size, at most as much as a leap to anywhere.
    silent : ndarray, shape (n_frames,)
        The same of silence. A voice that was missed costs more than one that was heard where there
        is none, and silence counts less for it.

    Returns
    -------
    ndarray of int, shape (n_frames,)
        The pitches; `SILENT` where there is none.
    """
    rests = silent + _SILENCE
    return _in_range(sung, rests, _RANGE_SEMITONES)


def strongest_course(strengths: Matrix) -> NDArray[np.int64]:
    """Return the strongest course that is smooth and stays in its range: a lead by loudness alone.

    Parameters
    ----------
    strengths : ndarray, shape (n_frames, n_pitches)
        As `pitch_strengths` gives them.

    Returns
    -------
    ndarray of int, shape (n_frames,)
        The pitches, from 100 Hz; `SILENT` where they are much weaker than they mostly are.
    """
    least = max(1e-6 * float(strengths.max(initial=0)), float(np.finfo(np.float32).tiny))
    scores = _POWER * np.log(np.maximum(strengths, least).astype(np.float64))
    scores[:, PITCHES[: scores.shape[1]] < _LOWEST_HZ] = _POWER * np.log(least)
    course = _in_range(scores, np.full(len(scores), -1e9), _WIDE_SEMITONES)
    along = strengths[np.arange(len(course)), course]
    return np.where(along > _HEARD * np.median(along), course, SILENT)


def _in_range(
    sung: NDArray[np.float64], rests: NDArray[np.float64], semitones: float
) -> NDArray[np.int64]:
    """Return the best course, and again with what is far from the median of it counting less."""
    course = _best_course(sung, rests)
    for _ in range(_RANGE_ROUNDS):
        heard = course[course != SILENT]
        if len(heard) < _FEW:
            break
        away = (np.arange(sung.shape[1]) - np.median(heard)) / STEPS
        course = _best_course(sung - 0.5 * (away / semitones) ** 2, rests)
    return course


def _best_course(scores: NDArray[np.float64], rests: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the course of the highest sum of scores, less what its steps cost (Viterbi)."""
    n_frames, n_pitches = scores.shape
    slope = _STEP_COST * np.arange(n_pitches)
    came = np.empty((n_frames, n_pitches + 1), np.int32)
    best, resting = scores[0], float(rests[0])
    for t in range(1, n_frames):
        # The best step is one up, found by the highest so far along the pitches, or one down.
        rising, below = _highest_so_far(best + slope)
        falling, above = _highest_so_far((best + slope[::-1])[::-1])
        up, down = rising - slope, falling[::-1] - slope[::-1]
        stepped = np.maximum(up, down)
        came[t, :-1] = np.where(up >= down, below, n_pitches - 1 - above[::-1])
        highest = int(best.argmax())
        for leapt, origin in (
            (best[highest] - _LEAP_COST, highest), (resting - _PAUSE_COST, n_pitches)
        ):  # fmt: skip
            came[t, :-1][stepped < leapt] = origin
            stepped = np.maximum(stepped, leapt)
        ended = best[highest] - _PAUSE_COST
        came[t, -1] = n_pitches if resting >= ended else highest
        resting = max(resting, float(ended)) + float(rests[t])
        best = stepped + scores[t]
    course = np.empty(n_frames, np.int64)
    course[-1] = int(best.argmax()) if best.max() > resting else n_pitches
    for t in range(n_frames - 1, 0, -1):
        course[t - 1] = came[t, course[t]]
    course[course == n_pitches] = SILENT
    return course


def _highest_so_far(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the highest value up to each place, and where it is."""
    highest = np.maximum.accumulate(values)
    places = np.where(values == highest, np.arange(len(values)), 0)
    return highest, np.maximum.accumulate(places)
