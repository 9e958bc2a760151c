"""The cells of a picture: no more rows and columns than can be seen, levels in dB.

A recording may be long: a picture has so many pixels and no more, so spectrograms are reduced to
about that many rows and columns by their maxima before anything else is done with them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from audionmf.errors import ParameterError
from audionmf.plot.style import clock_axis, theme_of
from audionmf.spectra.mel import hz_to_mel, mel_to_hz

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from audionmf.spectra.stft import STFT

__all__ = ["ACTIVATION_RANGE_DB", "MAX_COLUMNS", "Grid", "Matrix", "decibels", "draw_levels"]

Matrix = NDArray[np.floating[Any]]

MAX_COLUMNS = 1200
ACTIVATION_RANGE_DB = 60.0
_DYNAMIC_RANGE_DB = 80.0
_LOWEST_HZ = 30.0
_TICKS_HZ = (50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000)
_FEW_TICKS_HZ = (100, 1_000, 10_000)
_MEL_TICKS_HZ = (200, 500, 1_000, 2_000, 3_000, 5_000, 8_000, 12_000, 20_000, 50_000)
_SCALES = ("log", "mel")
_MAX_ROWS = 512


class Grid:
    """The cells of a picture of a spectrogram: no more rows and columns than can be seen.

    Bins are joined where several fall on one of `_MAX_ROWS` rows, frames where there are more than
    `MAX_COLUMNS`; a cell shows its maximum, so that a click or a thin line is never lost.
    """

    def __init__(
        self,
        V: Matrix,
        stft: STFT,
        sample_rate: int,
        scale: str,
        frame_seconds: float | None,
        columns: int = MAX_COLUMNS,
    ) -> None:
        if scale not in _SCALES:
            raise ParameterError(f"the frequency axis is log or mel, not {scale!r}")
        self._scale, self._top = scale, sample_rate / 2
        self._lowest = 0.0 if scale == "mel" else min(_LOWEST_HZ, self._top / 100)
        self._seconds = frame_seconds or stft.hop_length / sample_rate
        self._n_frames = V.shape[1]
        step = -(-self._n_frames // columns)
        self._columns = np.arange(0, self._n_frames, step)
        self.times = (np.append(self._columns, self._n_frames) - 0.5) * self._seconds
        edges = np.maximum(stft.borders, 0.0 if scale == "mel" else 0.01)
        edges *= sample_rate / stft.n_fft
        self._rows = self._row_starts(edges)
        self.hertz = np.append(edges[self._rows], edges[-1])

    def _row_starts(self, edges: NDArray[np.float64]) -> NDArray[np.intp]:
        if len(edges) <= _MAX_ROWS + 1:
            return np.arange(len(edges) - 1)
        transform = hz_to_mel if self._scale == "mel" else np.log
        low, high = transform(np.array([max(self._lowest, edges[0]), self._top]))
        row = np.floor((transform(edges[:-1]) - low) / (high - low) * _MAX_ROWS)
        return np.flatnonzero(np.diff(row, prepend=row[0] - 1))

    def pool(self, V: Matrix) -> Matrix:
        """Return the maximum of each cell."""
        pooled: Matrix = np.maximum.reduceat(self.pool_time(V), self._rows, axis=0)
        return pooled

    def pool_time(self, V: Matrix) -> Matrix:
        """Return the maximum of each column."""
        if len(self._columns) == V.shape[1]:
            return V
        ends = np.append(self._columns[1:], V.shape[1])
        maxima = [V[:, a:b].max(axis=1) for a, b in zip(self._columns, ends, strict=True)]
        return np.stack(maxima, axis=1)

    def set_axes(self, axes: Axes) -> None:
        """Give axes the time axis and the frequency axis."""
        self.set_time_axis(axes)
        self.set_frequency_axis(axes)

    def set_ends(self, axes: Axes) -> None:
        """Give axes the ends and the scale of both, and nothing to read on them."""
        self._set_time_ends(axes)
        self._set_frequency_ends(axes)

    def _set_time_ends(self, axes: Axes) -> None:
        axes.set_xlim(0, self._seconds * max(1, self._n_frames - 1))

    def _set_frequency_ends(self, axes: Axes) -> None:
        if self._scale == "mel":
            axes.set_yscale("function", functions=(hz_to_mel, mel_to_hz))
        else:
            axes.set_yscale("log")
        axes.set_ylim(self._lowest, self._top)

    def set_time_axis(self, axes: Axes) -> None:
        """Let the time axis end with the last frame, with minutes and seconds on it."""
        self._set_time_ends(axes)
        clock_axis(axes)

    def set_frequency_axis(self, axes: Axes, *, low: bool = False) -> None:
        """Let the frequency axis follow the scale, with round frequencies on it, few on `low` axes."""
        self._set_frequency_ends(axes)
        many = _MEL_TICKS_HZ if self._scale == "mel" else _TICKS_HZ
        candidates = _FEW_TICKS_HZ if low else many
        ticks = [hz for hz in candidates if hz < self._top]
        axes.set_yticks(ticks, [f"{hz // 1000}k" if hz >= 1000 else str(hz) for hz in ticks])
        axes.minorticks_off()


def draw_levels(
    axes: Axes,
    x: Matrix,
    y: Matrix,
    shown: Matrix,
    theme: str,
    range_db: float = _DYNAMIC_RANGE_DB,
) -> Any:
    """Draw levels in dB below a peak, cell by cell; return what a colour bar is made for."""
    from matplotlib.colors import LinearSegmentedColormap

    colours = LinearSegmentedColormap.from_list("levels", theme_of(theme).levels)
    return axes.pcolormesh(x, y, shown, cmap=colours, vmin=-range_db, vmax=0, rasterized=True)


def decibels(
    magnitudes: Matrix, peak: float | None = None, range_db: float = _DYNAMIC_RANGE_DB
) -> Matrix:
    """Return magnitudes in dB below a peak, by default the largest; what is softer is cut off."""
    top = peak or float(magnitudes.max(initial=0)) or 1.0
    floor = 10 ** (-range_db / 20)
    found: Matrix = 20 * np.log10(np.maximum(magnitudes / top, floor))
    return np.minimum(found, 0)
