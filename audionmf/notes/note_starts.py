"""Where notes begin and go on, told by a small network from what is seen at each key.

All keys have the same weights: the network looks at the partials of a key, at what else sounds there,
and at what the combs explain, over a quarter of a second, and then at what it made of the keys that
share partials. `scripts/train_notes.py` trained it.

References
----------
Hawthorne and others, "Onsets and frames: dual-objective piano transcription", ISMIR 2018: beginnings
and goings-on as two outputs. Bittner and others, "A lightweight instrument-agnostic model for polyphonic
note transcription and multipitch estimation", ICASSP 2022: small, the same for all keys and instruments.
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np

from audionmf.notes.keyboard import PER_KEY, Keyboard
from audionmf.notes.sound import Matrix

__all__ = ["KEYS_AWAY", "N_SEEN", "SHAPES", "looks", "note_starts"]

SHAPES = {
    "long": tuple(
        round(12 * PER_KEY * float(np.log2(h))) + side
        for h in (1 / 3, 1 / 2, 1, 2, 3, 4, 5, 6, 7, 8)
        for side in (-1, 0, 1)
    ),
    "short": (0, 12, 19, 24, 28, 31, 36),
    "others": (-12, 0, 12, 19, 24, 31),
    "fitted": (0, -1, 1, -12, 12, -19, 19, -24, 24),
}
"""Which rows of each map are seen at a key, counted from its own."""

N_SEEN = sum(map(len, SHAPES.values()))

KEYS_AWAY = (0, -1, 1, 12, -12, 19, -19, 24, -24, 7, -7, 5, -5)
"""Of which keys the second look is taken."""


@functools.cache
def _weights() -> dict[str, Matrix]:
    with np.load(Path(__file__).with_name("note_starts.npz")) as file:
        return {name: file[name].astype(np.float32) for name in file.files}


def looks(board: Keyboard) -> Matrix:
    """Return what is seen at each key, shape (N_SEEN, n_keys, n_frames); 0 beyond the maps."""
    n_keys, n_frames = board.fitted.shape
    found = np.zeros((N_SEEN, n_keys, n_frames), np.float32)
    i = 0
    for name, rows in SHAPES.items():
        of: Matrix = getattr(board, name)
        first = {"long": PER_KEY * board.first + 1, "fitted": 0}.get(name, board.first)
        step = PER_KEY if name == "long" else 1
        places = first + step * np.arange(n_keys)
        for row in rows:
            at = places + row
            inside = (at >= 0) & (at < len(of))
            found[i, inside] = of[at[inside]]
            i += 1
    return found


_STRETCH = 512  # frames at a time: what is between layers fits the caches
_CONTEXT = 16


def note_starts(board: Keyboard) -> tuple[Matrix, Matrix]:
    """Return how surely a note begins, and how surely one sounds.

    Returns
    -------
    starts, sounds : ndarray, shape (n_keys, n_frames), float32
        From 0 to 1.
    """
    n_frames = board.fitted.shape[1]
    parts = []
    for first in range(0, n_frames, _STRETCH):
        left, right = max(0, first - _CONTEXT), min(n_frames, first + _STRETCH + _CONTEXT)
        found = _told(looks(board.cut(slice(left, right))))
        parts.append(found[..., first - left : first - left + min(_STRETCH, n_frames - first)])
    starts, sounds = 1 / (1 + np.exp(-np.concatenate(parts, axis=2)))
    return starts, sounds


def _told(seen: Matrix) -> Matrix:
    """Return the network's two outputs, shape (2, n_keys, n_frames)."""
    w = _weights()
    x = _relu(np.tensordot(w["seen"], seen, 1) + w["seen_bias"][:, None, None])
    x = _relu(_over_time(x, w["near"], w["near_bias"], 1))
    x = _relu(_over_time(x, w["far"], w["far_bias"], 3))
    few = _relu(np.tensordot(w["few"], x, 1) + w["few_bias"][:, None, None])
    y = np.concatenate([x, *(_moved(few, step) for step in KEYS_AWAY)])
    y = _relu(np.tensordot(w["mixed"], y, 1) + w["mixed_bias"][:, None, None])
    return _over_time(y, w["last"], w["last_bias"], 1)


def _relu(X: Matrix) -> Matrix:
    return np.maximum(X, 0, out=X)


def _over_time(X: Matrix, weights: Matrix, bias: Matrix, apart: int) -> Matrix:
    """Return a convolution along frames; weights (n_out, n_in, n_taps), zeros around."""
    n_taps, n_frames = weights.shape[2], X.shape[2]
    reach = apart * (n_taps // 2)
    padded = np.pad(X, ((0, 0), (0, 0), (reach, reach)))
    out = np.zeros((len(weights), *X.shape[1:]), np.float32)
    for tap in range(n_taps):
        out += np.tensordot(weights[..., tap], padded[..., apart * tap : apart * tap + n_frames], 1)
    out += bias[:, None, None]
    return out


def _moved(X: Matrix, step: int) -> Matrix:
    """Return at each key what is `step` keys above; 0 beyond the keyboard."""
    found = np.zeros_like(X)
    n_keys = X.shape[1]
    if step >= 0:
        found[:, : n_keys - step] = X[:, step:]
    else:
        found[:, -step:] = X[:, : n_keys + step]
    return found
