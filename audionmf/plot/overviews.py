"""A recording of any length as a picture needs it: its spectrogram in columns, how loud it is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from audionmf.io.audio import AudioLike, open_source
from audionmf.plot.cells import MAX_COLUMNS
from audionmf.spectra.frames import BLOCK_FRAMES, pooled_magnitude

if TYPE_CHECKING:
    from audionmf.spectra.stft import STFT

__all__ = ["Overview", "overview"]


@dataclass(frozen=True, eq=False)
class Overview:
    """A spectrogram reduced to as many columns as a picture has.

    Parameters
    ----------
    V : ndarray, shape (n_bins, n_columns), float32
        The largest magnitude of each bin within each column, channels pooled.
    frame_seconds : float
        Seconds from column to column.
    level : ndarray, shape (n_level_columns,), float64
        Root mean square of the samples of all channels in each column of `level_seconds`.
    level_seconds : float
        Seconds of a column of `level`.
    peak : float
        The largest absolute value of the samples.
    """

    V: NDArray[np.float32]
    frame_seconds: float
    level: NDArray[np.float64]
    level_seconds: float
    peak: float

    def __repr__(self) -> str:
        n_bins, n_columns = self.V.shape
        return (
            f"<Overview: {n_bins} bins × {n_columns} columns of {self.frame_seconds:.3g} s, "
            f"peak {self.peak:.3g}>"
        )


def overview(
    source: AudioLike, stft: STFT, sample_rate: int | None = None, n_columns: int = MAX_COLUMNS
) -> Overview:
    """Return the spectrogram of a recording as a picture needs it, in memory that does not grow.

    Parameters
    ----------
    source : Audio, AudioFile, path or array
        The recording, of any length; it is read block by block.
    stft : STFT
        The transform.
    sample_rate : int, optional
        In Hz; needed for an array.
    n_columns : int, default 1200
        At most so many columns: each holds the maxima of as many frames as it takes.

    Returns
    -------
    Overview
        The spectrogram, and how loud the recording is.
    """
    opened = open_source(source, sample_rate)
    step = -(-stft.n_frames(opened.n_samples) // n_columns)
    meter = _LevelMeter(-(-opened.n_samples // n_columns))
    columns: list[NDArray[np.float32]] = []
    first = 0
    for X in stft.forward_blocks(meter.through(opened.blocks()), BLOCK_FRAMES):
        V = pooled_magnitude(X)
        maxima = np.maximum.reduceat(V, _starts(first, V.shape[1], step), axis=1).T
        if first % step:
            np.maximum(columns[-1], maxima[0], out=columns[-1])
            maxima = maxima[1:]
        columns.extend(maxima)
        first += V.shape[1]
    return Overview(
        np.stack(columns, axis=1),
        step * stft.hop_length / opened.sample_rate,
        meter.result(),
        meter.step / opened.sample_rate,
        meter.peak,
    )


class _LevelMeter:
    """Listens to the blocks of a recording: the level in columns of so many samples, the peak."""

    def __init__(self, step: int) -> None:
        self.step, self.peak = step, 0.0
        self._n_samples = 0
        self._sums: list[float] = []

    def through(self, blocks: Iterable[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
        for block in blocks:
            self._add(block)
            yield block

    def _add(self, block: NDArray[np.float32]) -> None:
        self.peak = max(self.peak, float(np.abs(block).max(initial=0)))
        power = np.mean(np.square(block, dtype=np.float64), axis=0)
        sums = np.add.reduceat(power, _starts(self._n_samples, len(power), self.step)).tolist()
        if self._n_samples % self.step:
            self._sums[-1] += sums.pop(0)
        self._sums += sums
        self._n_samples += len(power)

    def result(self) -> NDArray[np.float64]:
        counts = np.full(len(self._sums), self.step)
        counts[-1] -= len(counts) * self.step - self._n_samples
        found: NDArray[np.float64] = np.sqrt(np.array(self._sums) / counts)
        return found


def _starts(first: int, count: int, step: int) -> NDArray[np.intp]:
    """Return where columns of `step` begin among `count` items that come after `first` others."""
    begin = -first % step
    return np.unique(np.append(0, np.arange(begin, count, step)))
