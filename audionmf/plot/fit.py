"""Pictures of how well a model fits: what it leaves of a spectrogram, how the divergence fell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from audionmf.errors import ParameterError
from audionmf.plot.cells import ACTIVATION_RANGE_DB, Grid, Matrix, decibels
from audionmf.plot.spectrograms import spectrogram
from audionmf.plot.style import (
    colour_bar,
    dressed,
    figure,
    share_time,
    source_colours,
    theme_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from audionmf.spectra.stft import STFT

__all__ = ["convergence", "reconstruction"]

_RESIDUAL_RANGE_DB = 20.0


def reconstruction(
    V: Matrix,
    model: Matrix,
    stft: STFT,
    sample_rate: int,
    *,
    frame_seconds: float | None = None,
    theme: str = "light",
) -> Figure:
    """Draw a spectrogram, what a factorisation makes of it, and what is left, below each other.

    The residual is V over W·H in dB, for bins within 60 dB of the peak: orange where the recording
    has more, blue where the model has.

    Parameters
    ----------
    V : ndarray, shape (n_bins, n_frames)
        The magnitude spectrogram.
    model : ndarray, shape (n_bins, n_frames)
        W·H, or whatever stands for V.
    stft, sample_rate, frame_seconds, theme
        As in `spectrogram`.

    Returns
    -------
    matplotlib.figure.Figure
        A new figure with three axes of one time axis.

    Raises
    ------
    ParameterError
        If the shapes differ.
    """
    if V.shape != model.shape:
        raise ParameterError(f"V of shape {V.shape} and W·H of shape {model.shape} do not match")
    picture = figure(11, 9, theme)
    first, second, third = picture.subplots(3, 1, sharex=True, sharey=True)
    options: dict[str, Any] = {"frame_seconds": frame_seconds, "theme": theme}
    peak = float(V.max(initial=0)) or None
    spectrogram(first, V, stft, sample_rate, peak=peak, **options)
    spectrogram(second, model, stft, sample_rate, peak=peak, **options)
    _residual(third, V, model, stft, sample_rate, **options)
    first.set_title("the recording (V)")
    second.set_title("the model (W·H)")
    share_time(first, second)
    return picture


def convergence(
    axes: Axes | None,
    divergence: ArrayLike,
    iterations: ArrayLike | None = None,
    *,
    theme: str = "light",
) -> Axes:
    """Draw how the divergence fell while a factorisation ran.

    Parameters
    ----------
    axes : matplotlib.axes.Axes or None
        Where to draw.
    divergence : array_like, shape (n_evaluations,)
        The divergence at the start and after each evaluation, ≥ 0.
    iterations : array_like, shape (n_evaluations,), optional
        The iterations after which it was evaluated (``NMF.evaluated``); default: they are not
        known, and the evaluations are counted.
    theme : {"light", "dark"}, default "light"
        Colours.

    Returns
    -------
    matplotlib.axes.Axes
        The same axes.

    Raises
    ------
    ParameterError
        If there are no values, or not as many iterations as values.
    """
    values = np.atleast_1d(np.asarray(divergence, np.float64))
    places = np.arange(len(values)) if iterations is None else np.atleast_1d(iterations)
    if not values.size or len(places) != len(values):
        raise ParameterError(
            f"a curve of {values.size} divergences and {len(places)} iterations cannot be drawn"
        )
    axes = dressed(axes, theme)
    colour = source_colours(1, theme)[0]
    marker = "o" if len(values) < 40 else None
    axes.plot(places, values, color=colour, linewidth=2, marker=marker, markersize=4)
    axes.annotate(
        f"{values[-1]:.4g}", (places[-1], values[-1]), xytext=(0, 8), textcoords="offset points",
        ha="right", color=theme_of(theme).text,
    )  # fmt: skip
    positive = values[values > 0]
    if positive.size == values.size and values.max() > 3 * values.min():
        axes.set_yscale("log")
    axes.grid(color=theme_of(theme).faint, alpha=0.25)
    axes.set(
        xlabel="evaluation" if iterations is None else "iteration",
        ylabel="divergence of W·H from V",
        title="how the divergence fell",
    )
    return axes


def _residual(
    axes: Axes,
    V: Matrix,
    model: Matrix,
    stft: STFT,
    sample_rate: int,
    *,
    frame_seconds: float | None,
    theme: str,
) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    dressed(axes, theme)
    grid = Grid(V, stft, sample_rate, "log", frame_seconds)
    peak = float(V.max(initial=0)) or 1.0
    pair = [decibels(grid.pool(each), peak, ACTIVATION_RANGE_DB) for each in (V, model)]
    mesh = axes.pcolormesh(
        grid.times,
        grid.hertz,
        pair[0] - pair[1],
        cmap=LinearSegmentedColormap.from_list("differences", theme_of(theme).differences),
        vmin=-_RESIDUAL_RANGE_DB,
        vmax=_RESIDUAL_RANGE_DB,
        rasterized=True,
    )
    axes.set(ylabel="frequency (Hz)", title="what is left (V over W·H)")
    grid.set_axes(axes)
    colour_bar(axes, mesh, "dB more than the model", theme)
