"""Where notes may begin, and a small network that says which of these do, and when.

A note may begin where partials of a key rise. The network is told, for each such place, how loud its
partials, what else sounds there, and what the combs explain were and will be, over a third of a
second; all keys have the same weights. A second, smaller one hears what the first said of the keys
around and of those that share partials. `scripts/train_notes.py` trained both.

References
----------
Hawthorne and others, "Onsets and frames: dual-objective piano transcription", ISMIR 2018: beginnings
learnt by themselves. Bittner and others, "A lightweight instrument-agnostic model for polyphonic note
transcription and multipitch estimation", ICASSP 2022: a small network on stacked partials, the same for
all keys and instruments.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from audionmf.notes.keyboard import PER_KEY, Keyboard
from audionmf.notes.sound import Matrix

__all__ = ["N_AROUND", "N_SEEN", "Places", "Starts", "around", "looks", "note_starts", "places"]

_ROWS = {
    "long": tuple(
        round(12 * PER_KEY * float(np.log2(h))) + side
        for h in (1 / 3, 1 / 2, 1, 2, 3, 4, 5, 6, 7, 8)
        for side in (-1, 0, 1)
    ),
    "short": (0, 12, 19, 24, 28, 31, 36),
    "others": (-12, 0, 12, 19, 24, 31),
    "fitted": (0, -1, 1, -12, 12, -19, 19, -24, 24),
}
"""Which rows of each map are seen of a key, counted from its own."""

_FRAMES = (-10, -6, -4, -2, 0, 2, 4, 7, 12, 20)
_AFTER = 4  # frames from a rise until a note is loud
N_SEEN = sum(map(len, _ROWS.values())) * len(_FRAMES) + 4
"""How many numbers are seen of a place where a note may begin."""

_RISEN = 0.1
_HEARD, _HEARD_FRAMES = 0.12, 12
_APART = 3
_AROUND_KEYS = (-1, 1, -2, 2, -12, 12, -19, 19, -24, 24, -7, 7, -5, 5, -28, 28)
_AROUND_FRAMES = 4
_AGAIN_FRAMES = (-20, -10, 10, 20)
N_AROUND = len(_AROUND_KEYS) + 2 + len(_AGAIN_FRAMES)
"""How many numbers are seen of what the first network says around a place."""


@dataclass(frozen=True)
class Places:
    """Where notes may begin.

    Parameters
    ----------
    rows : ndarray, shape (n,)
        Of `Keyboard.fitted`.
    frames : ndarray, shape (n,)
        Frames of the same.
    """

    rows: NDArray[np.intp]
    frames: NDArray[np.intp]


@dataclass(frozen=True)
class Starts:
    """What is said of places.

    Parameters
    ----------
    rows : ndarray, shape (n,)
        As in `Places`.
    sure : ndarray, shape (n,), float32
        How surely a note begins, 0 to 1.
    frames : ndarray, shape (n,), float32
        When it begins, in frames and parts of frames.
    """

    rows: NDArray[np.intp]
    sure: Matrix
    frames: Matrix


def places(board: Keyboard) -> Places:
    """Return where partials of a key rise, and it sounds then."""
    from scipy.ndimage import maximum_filter1d

    n_keys = len(board.fitted)
    middle = board.long[PER_KEY // 2 :: PER_KEY]
    long = _mean(middle, board.first, n_keys, (0, 12, 19))
    short = _mean(board.short, board.first, n_keys, (0, 12, 19, 24))
    rise = _rise(board.fitted, 4) + _rise(long, 4) + 0.5 * _rise(short, 2)
    sounds = np.maximum(board.fitted, middle[board.first : board.first + n_keys])
    sounds = maximum_filter1d(sounds, _HEARD_FRAMES + 1, axis=1, origin=-(_HEARD_FRAMES // 2))
    highest = maximum_filter1d(rise, 2 * _APART + 1, axis=1)
    rows, frames = np.nonzero((rise >= highest) & (rise > _RISEN) & (sounds > _HEARD))
    return Places(rows, frames)


def _mean(X: Matrix, first: int, n_keys: int, steps: tuple[int, ...]) -> Matrix:
    """Return the mean of some partials of each key; those beyond the map are silent."""
    padded = np.pad(X, ((0, max(steps)), (0, 0)))
    rows = [padded[first + step : first + step + n_keys] for step in steps]
    return np.asarray(np.mean(rows, axis=0, dtype=np.float32))


def _rise(X: Matrix, reach: int) -> Matrix:
    """Return by how much each row is louder some frames later than as many before."""
    later = np.pad(X, ((0, 0), (0, reach)), mode="edge")[:, reach:]
    before = np.pad(X, ((0, 0), (reach, 0)))[:, : X.shape[1]]
    return np.asarray(later - before)


def looks(board: Keyboard, at: Places) -> Matrix:
    """Return what is seen of each place, shape (n, N_SEEN), float32."""
    n_frames = board.fitted.shape[1]
    times = at.frames[:, None] + np.array(_FRAMES)
    before = times < 0
    times = np.clip(times, 0, n_frames - 1)
    found = []
    for name, steps in _ROWS.items():
        X: Matrix = getattr(board, name)
        own = {
            "long": PER_KEY * (board.first + at.rows) + PER_KEY // 2,
            "fitted": at.rows,
        }.get(name, board.first + at.rows)
        rows = own[:, None] + np.array(steps)
        outside = (rows < 0) | (rows >= len(X))
        seen = X[np.clip(rows, 0, len(X) - 1)[:, :, None], times[:, None, :]].astype(np.float32)
        seen[outside[:, :, None] | before[:, None, :]] = 0
        found.append(seen.reshape(len(seen), len(steps) * len(_FRAMES)))
    loud = np.minimum(at.frames + _AFTER, n_frames - 1)
    tops = [X.max(axis=0)[loud] for X in (board.long, board.fitted, board.others)]
    return np.concatenate(
        [*found, np.stack([*tops, at.rows / 50], axis=1)], axis=1, dtype=np.float32
    )


def around(at: Places, sure: Matrix, n_keys: int, n_frames: int) -> Matrix:
    """Return how surely notes begin around each place, shape (n, N_AROUND), float32.

    Parameters
    ----------
    at : Places
        Where they may begin.
    sure : ndarray, shape (n,)
        How surely each does, 0 to 1.
    n_keys, n_frames : int
        Shape of `Keyboard.fitted`.
    """
    from scipy.ndimage import maximum_filter1d

    edge = max(map(abs, _AROUND_KEYS))
    late = max(map(abs, _AGAIN_FRAMES))
    board = np.zeros((n_keys + 2 * edge, n_frames + 2 * late), np.float32)
    np.maximum.at(board, (at.rows + edge, at.frames + late), sure)
    near = maximum_filter1d(board, 2 * _AROUND_FRAMES + 1, axis=1)
    rows, frames = at.rows + edge, at.frames + late
    seen = [near[rows + step, frames] for step in _AROUND_KEYS]
    seen += [near.max(axis=0)[frames], near.sum(axis=0)[frames]]
    again = maximum_filter1d(board, 11, axis=1)
    seen += [again[rows, frames + step] for step in _AGAIN_FRAMES]
    return np.stack(seen, axis=1)


@functools.cache
def _weights() -> dict[str, Matrix]:
    with np.load(Path(__file__).with_name("note_starts.npz"), allow_pickle=False) as file:
        return {name: file[name].astype(np.float32) for name in file.files}


def note_starts(board: Keyboard) -> Starts:
    """Return where notes of a piece may begin, how surely they do, and when."""
    at, w = places(board), _weights()
    hidden = _layer(_layer(looks(board, at), w, "a"), w, "b")
    first = _layer(hidden, w, "c", last=True)
    near = around(at, _sure(first[:, 0]), *board.fitted.shape)
    second = _layer(np.concatenate([hidden, first, near], axis=1), w, "d")
    told = first + _layer(second, w, "e", last=True)
    return Starts(at.rows, _sure(told[:, 0]), at.frames + told[:, 1])


def _layer(X: Matrix, w: dict[str, Matrix], name: str, *, last: bool = False) -> Matrix:
    Y = X @ w[name].T + w[name + "_bias"]
    return Y if last else np.maximum(Y, 0)


def _sure(X: Matrix) -> Matrix:
    return np.asarray(1 / (1 + np.exp(-np.clip(X, -30, 30))), np.float32)
