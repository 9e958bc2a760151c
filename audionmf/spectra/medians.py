"""Harmonic and percussive sound told apart by medians: tones are lines in time, strokes in frequency.

The median of a bin over some time knows no strokes, the median of a frame over some frequencies no
tones. Their ratio makes the masks. With a margin, what is neither much more one than the other is
left over.

References
----------
Fitzgerald, "Harmonic/percussive separation using median filtering", DAFx 2010. Driedger, Müller and
Disch, "Extending harmonic-percussive separation of audio signals", ISMIR 2014 (the margin). Batcher,
"Sorting networks and their applications", AFIPS Spring Joint Computer Conference 1968.
"""

from __future__ import annotations

import functools
from collections import Counter
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audionmf.io.kept import CAN_BE_KEPT
from audionmf.spectra.extension import extension
from audionmf.spectra.fused import FramePass, maximum, minimum
from audionmf.spectra.masks import ratio_masks
from audionmf.spectra.stft import STFT

__all__ = ["median_masks", "median_models", "median_sizes", "running_median"]

Matrix = NDArray[np.floating[Any]]

_SECONDS = 0.72
_HERTZ = 334.0
_REFLECT = 2
"""What SciPy calls the mode in which ends are mirrored; what comes of it is cut off here."""
_LARGEST = 35
_WORTH = 60_000 if CAN_BE_KEPT else 600_000
"""Of how many numbers medians are taken by comparing them in the registers of the processor, and from
how many medians of a size on: to make code for it takes as long as 600,000 do without, to load it as
long as 40,000."""
_MOST = 255
"""The most frames or bins of a median, where hops are very short or windows very long."""


def median_sizes(stft: STFT, sample_rate: int) -> tuple[int, int]:
    """Return how many frames (0.72 s) and bins (334 Hz) medians are of: 31 each by default."""
    frames = _odd(_SECONDS * sample_rate / stft.hop_length)
    return frames, _odd(_HERTZ * stft.n_fft / sample_rate)


def running_median(rows: Matrix, size: int) -> Matrix:
    """Return the median around each number of each row; beyond the ends a row is mirrored.

    Where there are many, the numbers around are compared in a fixed order, by machine code: a tenth
    of the time of SciPy's filter, and the same medians. Otherwise the rows are put one after the
    other, so that one filter goes over all of them, which takes a tenth of the time of a filter in
    two dimensions.

    Parameters
    ----------
    rows : ndarray, shape (n_rows, n)
        Finite numbers. Not modified.
    size : int
        Numbers that a median is of, odd.

    Returns
    -------
    ndarray, shape (n_rows, n)
        In the dtype of the rows.
    """
    half, n = size // 2, rows.shape[1]
    if size == 1:
        return rows.copy()
    if n < size:  # where rows are mirrored more than once
        from scipy.ndimage import median_filter

        few: Matrix = median_filter(rows, (1, size), mode="reflect")
        return few
    if _many(rows, size):
        return _compared(rows, size)
    padded = np.pad(rows, ((0, 0), (half, half)), mode="symmetric")
    joined = np.ascontiguousarray(padded).reshape(-1)
    return _medians(joined, size).reshape(padded.shape)[:, half : half + n]


_seen: Counter[int] = Counter()


def _many(rows: Matrix, size: int) -> bool:
    """Tell whether so many medians of a size were asked for that code of their own is worth it."""
    if rows.dtype != np.float32 or size > _LARGEST or size % 2 == 0:
        return False
    _seen[size] += rows.size
    return _seen[size] > _WORTH


def _compared(rows: Matrix, size: int) -> Matrix:
    """Return running medians by a network of comparisons, in the order of the memory of the rows."""
    half, n = size // 2, rows.shape[1]
    turned = rows.strides[0] < rows.strides[1]
    padded = np.empty((len(rows), n + size - 1), np.float32, order="F" if turned else "C")
    padded[:, half : half + n] = rows
    padded[:, :half] = rows[:, :half][:, ::-1]
    padded[:, half + n :] = rows[:, n - half :][:, ::-1]
    medians = np.empty((len(rows), n), np.float32, order="F" if turned else "C")
    shifted = [padded[:, k : k + n] for k in range(size)]
    if turned:
        _median_pass(size)([each.T for each in shifted], [medians.T])
    else:
        _median_pass(size)(shifted, [medians])
    return medians


@functools.cache
def _median_pass(size: int) -> FramePass:
    steps = _comparisons(size)

    def median(*numbers: Any) -> list[Any]:
        row = list(numbers)
        for a, b, low, high in steps:
            pair = row[a], row[b]
            row[a] = minimum(*pair) if low else None
            row[b] = maximum(*pair) if high else None
        return [row[size // 2]]

    return FramePass(median, "f" * size, "f")


def _comparisons(n: int) -> list[tuple[int, int, bool, bool]]:
    """Return which numbers to compare, and whether the lesser and the greater are needed further on.

    Batcher's sorting by merging of odd and even, without what the middle does not depend on.
    """
    width = 1 << (n - 1).bit_length()
    steps = []
    for merged in (1 << k for k in range(width.bit_length() - 1)):
        for apart in (merged >> k for k in range(merged.bit_length())):
            for first in range(apart % merged, width - apart, 2 * apart):
                for a in range(first, min(first + apart, width - apart)):
                    b = a + apart
                    if b < n and a // (2 * merged) == b // (2 * merged):
                        steps.append((a, b))
    wanted, kept = {n // 2}, []
    for a, b in reversed(steps):
        if a in wanted or b in wanted:
            kept.append((a, b, a in wanted, b in wanted))
            wanted |= {a, b}
    return kept[::-1]


def _medians(values: Matrix, size: int) -> Matrix:
    """Return the median around each of at least `size` > 1 numbers, as SciPy's filter does.

    The call is the one that the filter makes, without the third of a second that its package takes
    to load.
    """
    code = _code_of_filters() if values.dtype in (np.float32, np.float64) else None
    if code is None:
        from scipy.ndimage import median_filter

        filtered: Matrix = median_filter(values, size)
        return filtered
    return _filtered(code, values, size)


@functools.cache
def _code_of_filters() -> ModuleType | None:
    return extension("scipy.ndimage", "", "_rank_filter_1d", _finds_medians)


def _filtered(code: ModuleType, values: Matrix, size: int) -> Matrix:
    medians = np.empty_like(values)
    code.rank_filter(values, size // 2, size, medians, _REFLECT, values.dtype.type(0), 0)
    return medians


def _finds_medians(code: ModuleType) -> bool:
    values = np.array([5, 1, 4, 2, 3, 0], np.float32)
    return bool(_filtered(code, values, 3).tolist() == [5, 4, 2, 3, 2, 0])


def median_models(V: Matrix, sizes: tuple[int, int], before: int = 0, after: int = 0) -> Matrix:
    """Return the medians over time and over frequency.

    Parameters
    ----------
    V : ndarray, shape (n_bins, before + n + after)
        Magnitudes. Beyond the ends they are mirrored.
    sizes : (int, int)
        Frames and bins of the medians, odd.
    before, after : int, default 0
        Frames at the start and the end that are there for the medians only.

    Returns
    -------
    ndarray, shape (2, n_bins, n)
        Harmonic, percussive; bins as neighbours.
    """
    own = slice(before, V.shape[1] - after)
    harmonic = running_median(V, sizes[0]).T[own]
    percussive = running_median(V.T[own], sizes[1])
    models: Matrix = np.stack([harmonic, percussive]).swapaxes(1, 2)
    return models


def median_masks(models: Matrix, margin: float, exponent: float) -> Matrix:
    """Return masks of `median_models`, and what they leave if there is a margin.

    Parameters
    ----------
    models : ndarray, shape (2, n_bins, n_frames)
        Harmonic, percussive.
    margin : float
        By what factor one has to be above the other to get half of a bin, 1 or more. With 1 both
        share all.
    exponent : float
        As in `ratio_masks`.

    Returns
    -------
    ndarray, shape (2 or 3, n_bins, n_frames)
        They sum to 1; the third, where `margin` is more than 1, is the residual.
    """
    if margin == 1:
        return ratio_masks(models, exponent)
    factor = models.dtype.type(margin)
    harmonic = ratio_masks(np.stack([models[0], models[1] * factor]), exponent)[0]
    percussive = ratio_masks(np.stack([models[1], models[0] * factor]), exponent)[0]
    silent = ~models.any(axis=0)
    harmonic[silent] = percussive[silent] = models.dtype.type(1 / 3)
    residual = np.maximum(1 - harmonic - percussive, 0)
    masks: Matrix = np.stack([harmonic, percussive, residual])
    return masks


def _odd(size: float) -> int:
    return int(min(_MOST, 2 * round((size - 1) / 2) + 1)) if size > 1 else 1
