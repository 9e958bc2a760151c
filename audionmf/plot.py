"""Pictures of spectrograms and of what a factorisation found: axes in, axes out.

Needs matplotlib: ``pip install audionmf[plot]``. Nothing here opens a window; `save` writes a file.
Colours are told apart by readers with any colour vision ("magma" is even in lightness).
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from audionmf.errors import MissingExtraError
from audionmf.files import StrPath, write_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from audionmf.stft import STFT

__all__ = ["activations", "decomposition", "figure", "save", "spectrogram", "templates"]

Matrix = NDArray[np.floating[Any]]

_DYNAMIC_RANGE_DB = 80.0
_COLOURS = "magma"
_LOWEST_HZ = 30.0
_TICKS_HZ = (50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000)
_MAX_COLUMNS = 2000
_MAX_NAME = 24


def figure(width: float = 11.0, height: float = 7.0) -> Figure:
    """Make an empty figure, in inches, without a window.

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError(
            "pictures need matplotlib; install it with: pip install 'audionmf[plot]'"
        ) from error
    made = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(made)
    return made


def save(picture: Figure, path: StrPath, dpi: int = 110) -> Path:
    """Write a figure as PNG, whole or not at all.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    content = io.BytesIO()
    picture.savefig(content, dpi=dpi, format="png")
    return write_bytes(path, content.getvalue())


def spectrogram(axes: Axes, V: Matrix, stft: STFT, sample_rate: int) -> Axes:
    """Draw a magnitude spectrogram in dB below its peak, on a logarithmic frequency axis.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Where to draw.
    V : ndarray, shape (n_bins, n_frames)
        Magnitudes, ≥ 0.
    stft : STFT
        The transform that gave them.
    sample_rate : int
        In Hz.

    Returns
    -------
    matplotlib.axes.Axes
        The same axes.
    """
    step = -(-V.shape[1] // _MAX_COLUMNS)
    seconds = step * stft.hop_length / sample_rate
    levels = _decibels(V[:, ::step])
    edges = (np.arange(levels.shape[1] + 1) - 0.5) * seconds
    mesh = axes.pcolormesh(
        edges,
        _bin_edges(stft, sample_rate),
        levels,
        cmap=_COLOURS,
        vmin=-_DYNAMIC_RANGE_DB,
        vmax=0,
        rasterized=True,
    )
    axes.set(xlabel="time (s)", ylabel="frequency (Hz)", title="spectrogram")
    axes.set_xlim(0, max(seconds, edges[-1] - seconds / 2))
    _log_frequency(axes, sample_rate)
    axes.figure.colorbar(mesh, ax=axes, label="dB below peak", pad=0.01)
    return axes


def templates(
    axes: Axes,
    W: Matrix,
    stft: STFT,
    sample_rate: int,
    names: Sequence[str] = (),
    groups: Sequence[str] = (),
) -> Axes:
    """Draw templates side by side, each in dB below its own peak.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Where to draw.
    W : ndarray, shape (n_bins, n_components)
        Templates, ≥ 0.
    stft : STFT
        The transform that they belong to.
    sample_rate : int
        In Hz.
    names : sequence of str, optional
        Name of each template; default: its number.
    groups : sequence of str, optional
        Group of each template, those of a group side by side: its name stands above them, and a
        line between two groups.

    Returns
    -------
    matplotlib.axes.Axes
        The same axes.
    """
    peaks = W.max(axis=0)
    levels = _decibels(W / np.where(peaks > 0, peaks, 1))
    axes.pcolormesh(
        np.arange(W.shape[1] + 1) - 0.5,
        _bin_edges(stft, sample_rate),
        levels,
        cmap=_COLOURS,
        vmin=-_DYNAMIC_RANGE_DB,
        vmax=0,
        rasterized=True,
    )
    axes.set(xlabel="component", ylabel="frequency (Hz)", title="templates (W)")
    _component_ticks(axes.xaxis, W.shape[1], names)
    _log_frequency(axes, sample_rate)
    _mark_groups(axes, groups)
    return axes


def activations(
    axes: Axes, H: Matrix, stft: STFT, sample_rate: int, names: Sequence[str] = ()
) -> Axes:
    """Draw activations, one row a component, each in dB below the loudest of all.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Where to draw.
    H : ndarray, shape (n_components, n_frames)
        Activations, ≥ 0.
    stft : STFT
        The transform that they belong to.
    sample_rate : int
        In Hz.
    names : sequence of str, optional
        Name of each component; default: its number.

    Returns
    -------
    matplotlib.axes.Axes
        The same axes.
    """
    step = -(-H.shape[1] // _MAX_COLUMNS)
    seconds = step * stft.hop_length / sample_rate
    levels = _decibels(H[:, ::step])
    edges = (np.arange(levels.shape[1] + 1) - 0.5) * seconds
    axes.pcolormesh(
        edges,
        np.arange(H.shape[0] + 1) - 0.5,
        levels,
        cmap=_COLOURS,
        vmin=-60,
        vmax=0,
        rasterized=True,
    )
    axes.set(xlabel="time (s)", ylabel="component", title="activations (H)")
    axes.set_xlim(0, max(seconds, edges[-1] - seconds / 2))
    _component_ticks(axes.yaxis, H.shape[0], names)
    return axes


def decomposition(
    V: Matrix, W: Matrix, H: Matrix, stft: STFT, sample_rate: int, names: Sequence[str] = ()
) -> Figure:
    """Draw V, W and H in one picture: templates beside the spectrogram, activations below it.

    Parameters
    ----------
    V : ndarray, shape (n_bins, n_frames)
        The magnitude spectrogram.
    W : ndarray, shape (n_bins, n_components)
        Templates.
    H : ndarray, shape (n_components, n_frames)
        Activations.
    stft : STFT
        The transform.
    sample_rate : int
        In Hz.
    names : sequence of str, optional
        Names of the components.

    Returns
    -------
    matplotlib.figure.Figure
        A new figure.

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    """
    picture = figure()
    grid = picture.add_gridspec(2, 2, width_ratios=(1, 2.2), height_ratios=(1.4, 1))
    left = picture.add_subplot(grid[:, 0])
    top = picture.add_subplot(grid[0, 1])
    bottom = picture.add_subplot(grid[1, 1], sharex=top)
    templates(left, W, stft, sample_rate, names)
    spectrogram(top, V, stft, sample_rate).set_xlabel("")
    activations(bottom, H, stft, sample_rate, names)
    return picture


def _decibels(magnitudes: Matrix) -> Matrix:
    peak = float(magnitudes.max(initial=0)) or 1.0
    floor = 10 ** (-_DYNAMIC_RANGE_DB / 20)
    levels: Matrix = 20 * np.log10(np.maximum(magnitudes / peak, floor))
    return levels


def _bin_edges(stft: STFT, sample_rate: int) -> NDArray[np.float64]:
    edges = np.maximum(np.arange(stft.n_bins + 1, dtype=np.float64) - 0.5, 0.01)
    return edges * (sample_rate / stft.n_fft)


def _log_frequency(axes: Axes, sample_rate: int) -> None:
    top = sample_rate / 2
    axes.set_yscale("log")
    axes.set_ylim(min(_LOWEST_HZ, top / 100), top)
    ticks = [hz for hz in _TICKS_HZ if hz < top]
    axes.set_yticks(ticks, [f"{hz // 1000}k" if hz >= 1000 else str(hz) for hz in ticks])
    axes.minorticks_off()


def _mark_groups(axes: Axes, groups: Sequence[str]) -> None:
    starts = [k for k, group in enumerate(groups) if k == 0 or group != groups[k - 1]]
    for start, end in itertools.pairwise([*starts, len(groups)]):
        if start:
            axes.axvline(start - 0.5, color="white", linewidth=1.5)
        axes.text(
            (start + end - 1) / 2, 0.98, _shortened(groups[start]), color="white",
            transform=axes.get_xaxis_transform(), ha="center", va="top", parse_math=False,
            bbox={"facecolor": "black", "alpha": 0.6, "linewidth": 0},
        )  # fmt: skip


def _shortened(name: str) -> str:
    line = " ".join(name.split())
    return line if len(line) <= _MAX_NAME else f"{line[: _MAX_NAME - 1]}…"


def _component_ticks(axis: Any, count: int, names: Sequence[str]) -> None:
    step = -(-count // 24)
    places = list(range(0, count, step))
    axis.set_ticks(places, [names[k] if names else str(k) for k in places])
