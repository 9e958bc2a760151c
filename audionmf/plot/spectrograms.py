"""Pictures of spectrograms."""

from __future__ import annotations

from typing import TYPE_CHECKING

from audionmf.plot.cells import Grid, Matrix, decibels, draw_levels
from audionmf.plot.style import colour_bar, dressed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from audionmf.spectra.stft import STFT

__all__ = ["spectrogram"]


def spectrogram(
    axes: Axes | None,
    V: Matrix,
    stft: STFT,
    sample_rate: int,
    *,
    scale: str = "log",
    frame_seconds: float | None = None,
    peak: float | None = None,
    theme: str = "light",
) -> Axes:
    """Draw a magnitude spectrogram in dB below its peak.

    Parameters
    ----------
    axes : matplotlib.axes.Axes or None
        Where to draw.
    V : ndarray, shape (n_bins, n_frames)
        Magnitudes, ≥ 0.
    stft : STFT
        The transform that gave them.
    sample_rate : int
        In Hz.
    scale : {"log", "mel"}, default "log"
        The frequency axis: every octave alike, or as wide as the ear hears it, which is linear
        below 1 kHz.
    frame_seconds : float, optional
        Seconds from frame to frame; default: the hop of the transform.
    peak : float, optional
        The magnitude that is 0 dB; default: the largest.
    theme : {"light", "dark"}, default "light"
        Colours.

    Returns
    -------
    matplotlib.axes.Axes
        The same axes.

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    ParameterError
        If there is no such scale or theme.
    """
    axes = dressed(axes, theme)
    grid = Grid(V, stft, sample_rate, scale, frame_seconds)
    mesh = draw_levels(axes, grid.times, grid.hertz, decibels(grid.pool(V), peak), theme)
    axes.set(ylabel="frequency (Hz)", title="spectrogram")
    grid.set_axes(axes)
    colour_bar(axes, mesh, "dB below peak", theme)
    return axes
