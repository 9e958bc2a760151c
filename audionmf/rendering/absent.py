"""Frames in which sources do not play."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["Absent", "absent_frames", "alike", "within"]

Absent = Mapping[str, Sequence[tuple[int, int]]]
"""Runs of frames in which templates with a label do not play: the first, and one after the last."""


def absent_frames(absent: Absent, labels: Sequence[str], frames: range) -> NDArray[np.bool_]:
    """Tell in which frames templates do not play.

    Parameters
    ----------
    absent : mapping of str to sequence of (int, int)
        As `Decomposition` has it.
    labels : sequence of str
        Labels of the templates.
    frames : range
        The frames.

    Returns
    -------
    ndarray of bool, shape (n_labels, n_frames)
        True where a template is absent.
    """
    index = np.asarray(frames)
    rows = dict.fromkeys(labels, np.zeros(len(index), bool))
    for label in rows.keys() & absent.keys():
        rows[label] = _within(index, absent[label])
    return np.stack([rows[label] for label in labels])


def _within(index: NDArray[np.int64], runs: Sequence[tuple[int, int]]) -> NDArray[np.bool_]:
    """Tell which of some frames are in any of the runs."""
    first, stop = (np.sort(ends) for ends in np.array(runs, np.int64).reshape(-1, 2).T)
    begun, ended = (np.searchsorted(ends, index, side="right") for ends in (first, stop))
    inside: NDArray[np.bool_] = begun > ended
    return inside


def within(absent: Absent, n_frames: int) -> Absent:
    """Return what there is of runs of frames in a recording of `n_frames` frames."""
    return {
        name: tuple((first, min(stop, n_frames)) for first, stop in runs if first < n_frames)
        for name, runs in absent.items()
    }


def alike(absent: NDArray[np.bool_]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield frames in which the same templates may play, and these; no frames without any."""
    patterns, which = np.unique(absent, axis=1, return_inverse=True)
    for i, pattern in enumerate(patterns.T):
        if not pattern.all():
            yield np.flatnonzero(which == i), np.flatnonzero(~pattern)
