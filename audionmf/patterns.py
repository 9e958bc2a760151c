"""Patterns of struck sounds: whether an example is one sound struck again and again, and its course.

A drum has no notes that last; it has a course, the same at every stroke: `pattern_of` an example is
the mean of what follows its onsets. Patterns are what `nmf.convolutive` starts from, where every
example `is_struck`; for sounds that last or change their pitch, one course says too little.

An onset is a frame of large spectral flux, the sum over the bins of what magnitudes rise by from the
frame before. All of it is relative to the loudest in the example: the level does not matter.

References
----------
Spectral flux: Dixon, "Onset detection revisited", DAFx 2006.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from audionmf.nmf.checks import as_data, check_whole

__all__ = ["is_struck", "onset_patches", "pattern_of"]

Matrix = NDArray[np.floating[Any]]

_MOST_ONSETS = 16
_LEAST_RISE = 0.25
"""Least flux of an onset, as a share of the largest."""
_FRAMES_APART = 6
"""Frames before and after an onset in which there is no other: about 70 ms in a drum's STFT."""

_LEAST_LIKENESS = 0.7
_SOUNDING = 0.1
"""A frame sounds if its magnitudes sum to more than this share of the loudest frame's: -20 dB."""
_MOST_SOUNDING = 0.6


def onset_patches(V: ArrayLike, n_lags: int) -> Matrix:
    """Return what follows each onset of an example.

    Parameters
    ----------
    V : array, shape (n_bins, n_frames)
        Magnitudes of an example, finite and ≥ 0. Not modified.
    n_lags : int
        Frames of a patch, 1 or more.

    Returns
    -------
    ndarray, shape (n_onsets, n_lags, n_bins)
        In the order of time and the unit of V, each from the frame of largest flux on; what would
        lie beyond the last frame is 0. At most 16, those of the largest flux. None for silence.

    Raises
    ------
    ParameterError
        If V or n_lags is not what it must be.
    """
    data = as_data(V, "V")
    check_whole("n_lags", n_lags, 1)
    frames = np.pad(data, ((0, 0), (0, n_lags))).T
    after = np.arange(n_lags)
    patches: Matrix = frames[_onsets(data)[:, None] + after]
    return patches


def pattern_of(V: ArrayLike, n_lags: int) -> Matrix:
    """Return the pattern of a struck sound, where a convolutive factorisation may start.

    A pattern starts in the frame of largest flux, not before it: one frame more of silence at its
    start costs decibels in the stems.

    Parameters
    ----------
    V : array, shape (n_bins, n_frames)
        Magnitudes of an example, finite and ≥ 0. Not modified.
    n_lags : int
        Frames of the pattern, 1 or more.

    Returns
    -------
    ndarray, shape (n_lags, n_bins)
        Mean of the patches, each of which counts the same; sums to 1. Zeros for silence.
        ``np.stack(patterns, axis=2)`` makes templates of `nmf.convolutive.fit` of several.

    Raises
    ------
    ParameterError
        As in `onset_patches`.
    """
    patches = onset_patches(V, n_lags)
    sums = patches.sum(axis=(1, 2), dtype=np.float64)
    pattern: Matrix = (patches / sums[:, None, None]).sum(axis=0) / max(1, len(patches))
    return pattern.astype(patches.dtype, copy=False)


def is_struck(V: ArrayLike, n_lags: int) -> bool:
    """Tell whether an example is one struck sound, alone or repeated.

    It is if both hold:

    - its onsets are alike: the mean of the patches, each scaled to length 1, has a length above 0.7.
      The length is 1 where all are the same, and 1/√n where n have nothing in common;
    - it is mostly quiet: fewer than 60 % of the frames are within 20 dB of the loudest.

    On examples of drums the length was .81 to .99 and the share of frames .11 to .46; on examples of
    pitched instruments the share was .70 to .90, but for a vibraphone (.34), whose notes are unlike
    one another (.43). It is a rule of thumb for patches of about 0.2 s: a single short note, or one
    note repeated with rests, counts as struck.

    Parameters
    ----------
    V : array, shape (n_bins, n_frames)
        Magnitudes of an example, finite and ≥ 0. Not modified.
    n_lags : int
        Frames of a patch, 1 or more.

    Returns
    -------
    bool
        False for silence.

    Raises
    ------
    ParameterError
        As in `onset_patches`.
    """
    patches = onset_patches(V, n_lags).reshape(-1, n_lags * np.shape(V)[0])
    if not len(patches):
        return False
    courses = patches.astype(np.float64) / patches.max()
    courses /= np.linalg.norm(courses, axis=1, keepdims=True)
    likeness = np.linalg.norm(courses.mean(axis=0))
    loudness = np.sum(V, axis=0, dtype=np.float64)
    sounding = np.mean(loudness > _SOUNDING * loudness.max())
    return bool(likeness > _LEAST_LIKENESS and sounding < _MOST_SOUNDING)


def _onsets(V: Matrix) -> NDArray[np.int64]:
    """Return the frames of the largest flux, in order, each a few frames from the next."""
    rises = np.maximum(np.diff(V, axis=1, prepend=V.dtype.type(0)), 0)
    flux = rises.sum(axis=0, dtype=np.float64)
    least = _LEAST_RISE * flux.max()
    onsets: list[int] = []
    while len(onsets) < _MOST_ONSETS and flux.max() > least:
        onset = int(flux.argmax())
        onsets.append(onset)
        flux[max(0, onset - _FRAMES_APART) : onset + _FRAMES_APART + 1] = 0
    return np.array(sorted(onsets), np.int64)
