"""Pictures of components: templates, activations, both around the spectrogram they stand for."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from audionmf.plot.cells import ACTIVATION_RANGE_DB, Grid, Matrix, decibels, draw_levels
from audionmf.plot.spectrograms import spectrogram
from audionmf.plot.style import (
    colour_bar,
    dressed,
    figure,
    share_time,
    shortened,
    shown_names,
    theme_of,
)
from audionmf.spectra.timbre import timbre

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from audionmf.spectra.stft import STFT

__all__ = ["activations", "decomposition", "pitch_order", "templates"]

_MAX_TICKS = 24
_MANY_TICKS = 12
_MAX_TICK_CHARACTERS = 36


def pitch_order(W: Matrix, stft: STFT, sample_rate: int, groups: Sequence[str] = ()) -> list[int]:
    """Return the order of templates by pitch; those without pitch come last, the dark ones first.

    Parameters
    ----------
    W : ndarray, shape (n_bins, n_components)
        Templates, ≥ 0.
    stft : STFT
        The transform that they belong to.
    sample_rate : int
        In Hz.
    groups : sequence of str, optional
        Group of each template; templates of a group stay together, in the order of the groups.

    Returns
    -------
    list of int
        The components in their new order.
    """
    places = {name: i for i, name in enumerate(dict.fromkeys(groups))}
    sounds = [timbre(column, sample_rate / stft.n_fft) for column in W.T]

    def place(k: int) -> tuple[int, bool, float]:
        pitch = sounds[k].pitch
        height = pitch.hertz if pitch else sounds[k].centroid
        return places[groups[k]] if groups else 0, pitch is None, height

    return sorted(range(W.shape[1]), key=place)


def templates(
    axes: Axes | None,
    W: Matrix,
    stft: STFT,
    sample_rate: int,
    names: Sequence[str] = (),
    groups: Sequence[str] = (),
    *,
    order: Sequence[int] = (),
    scale: str = "log",
    theme: str = "light",
) -> Axes:
    """Draw templates side by side, each in dB below its own peak.

    Parameters
    ----------
    axes : matplotlib.axes.Axes or None
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
    order : sequence of int, optional
        The components from left to right, as `pitch_order` gives them; default: as they are. What
        is not in it is left out.
    scale : {"log", "mel"}, default "log"
        The frequency axis, as in `spectrogram`.
    theme : {"light", "dark"}, default "light"
        Colours.

    Returns
    -------
    matplotlib.axes.Axes
        The same axes.
    """
    alone, axes = axes is None, dressed(axes, theme)
    order = list(order) or list(range(W.shape[1]))
    chosen = W[:, order]
    peaks = chosen.max(axis=0)
    grid = Grid(chosen, stft, sample_rate, scale, 1.0, columns=len(order))
    shown = decibels(grid.pool(chosen / np.where(peaks > 0, peaks, 1)))
    mesh = draw_levels(axes, grid.times, grid.hertz, shown, theme)
    if alone:  # beside a spectrogram its own scale says the same
        colour_bar(axes, mesh, "dB below the peak of each", theme)
    axes.set(xlabel="component", ylabel="frequency (Hz)", title="templates (W)")
    _component_ticks(axes.xaxis, shown_names(order, names))
    grid.set_frequency_axis(axes)
    _mark_groups(axes, [groups[k] for k in order] if groups else (), theme)
    return axes


def activations(
    axes: Axes | None,
    H: Matrix,
    stft: STFT,
    sample_rate: int,
    names: Sequence[str] = (),
    groups: Sequence[str] = (),
    *,
    order: Sequence[int] = (),
    frame_seconds: float | None = None,
    theme: str = "light",
) -> Axes:
    """Draw activations, one row a component, each in dB below the loudest of all.

    Parameters
    ----------
    axes : matplotlib.axes.Axes or None
        Where to draw.
    H : ndarray, shape (n_components, n_frames)
        Activations, ≥ 0.
    stft : STFT
        The transform that they belong to.
    sample_rate : int
        In Hz.
    names : sequence of str, optional
        Name of each component; default: its number.
    groups : sequence of str, optional
        Group of each component, as in `templates`.
    order : sequence of int, optional
        The components from the lowest row up, as `pitch_order` gives them; default: as they are.
        What is not in it is left out.
    frame_seconds : float, optional
        Seconds from frame to frame; default: the hop of the transform.
    theme : {"light", "dark"}, default "light"
        Colours.

    Returns
    -------
    matplotlib.axes.Axes
        The same axes.
    """
    alone, axes = axes is None, dressed(axes, theme)
    order = list(order) or list(range(H.shape[0]))
    grid = Grid(H, stft, sample_rate, "log", frame_seconds)
    shown = decibels(grid.pool_time(H)[order], range_db=ACTIVATION_RANGE_DB)
    rows = np.arange(len(order) + 1) - 0.5
    mesh = draw_levels(axes, grid.times, rows, shown, theme, ACTIVATION_RANGE_DB)
    if alone:
        colour_bar(axes, mesh, "dB below the loudest", theme)
    axes.set(xlabel="time (s)", ylabel="component", title="activations (H)")
    grid.set_time_axis(axes)
    _component_ticks(axes.yaxis, shown_names(order, names))
    _mark_groups(axes, [groups[k] for k in order] if groups else (), theme, vertical=True)
    return axes


def decomposition(
    V: Matrix,
    W: Matrix,
    H: Matrix,
    stft: STFT,
    sample_rate: int,
    names: Sequence[str] = (),
    groups: Sequence[str] = (),
    *,
    order: Sequence[int] = (),
    frame_seconds: float | None = None,
    theme: str = "light",
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
    groups : sequence of str, optional
        Group of each component, as in `templates`.
    order : sequence of int, optional
        The components in the order in which they are drawn, as in `templates`.
    frame_seconds : float, optional
        Seconds from frame to frame of V; default: the hop. H has as many frames in the same time.
    theme : {"light", "dark"}, default "light"
        Colours.

    Returns
    -------
    matplotlib.figure.Figure
        A new figure.

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    """
    picture = figure(theme=theme)
    grid = picture.add_gridspec(2, 2, width_ratios=(1, 2.2), height_ratios=(1.4, 1))
    left = picture.add_subplot(grid[:, 0])
    top = picture.add_subplot(grid[0, 1])
    bottom = picture.add_subplot(grid[1, 1], sharex=top)
    seconds = frame_seconds or stft.hop_length / sample_rate
    templates(left, W, stft, sample_rate, names, groups, order=order, theme=theme)
    spectrogram(top, V, stft, sample_rate, frame_seconds=seconds, theme=theme)
    activations(
        bottom, H, stft, sample_rate, names, groups, order=order,
        frame_seconds=seconds * V.shape[1] / H.shape[1], theme=theme,
    )  # fmt: skip
    share_time(top)
    return picture


def _mark_groups(axes: Axes, groups: Sequence[str], theme: str, *, vertical: bool = False) -> None:
    colours = theme_of(theme)
    starts = [k for k, group in enumerate(groups) if k == 0 or group != groups[k - 1]]
    spans = list(itertools.pairwise([*starts, len(groups)]))
    narrow = not vertical and any(
        len(shortened(groups[start])) > _MAX_TICK_CHARACTERS * (end - start) / len(groups)
        for start, end in spans
    )
    for start, end in spans:
        if start:
            line = axes.axhline if vertical else axes.axvline
            line(start - 0.5, color=colours.text, linewidth=1.5)
        middle, edge = (start + end - 1) / 2, 0.99 if vertical else 0.98
        axes.text(
            *((edge, middle) if vertical else (middle, edge)),
            shortened(groups[start]),
            color=colours.text,
            transform=axes.get_yaxis_transform() if vertical else axes.get_xaxis_transform(),
            ha="right" if vertical else "center",
            va="center" if vertical else "top",
            rotation=90 if narrow else 0,
            parse_math=False,
            bbox={"facecolor": colours.background, "alpha": 0.8, "linewidth": 0},
        )


def _component_ticks(axis: Any, names: Sequence[str]) -> None:
    step = -(-len(names) // _MAX_TICKS)
    shown = names[::step]
    axis.set_ticks(range(0, len(names), step), shown)
    upright = axis.axis_name == "x" and sum(map(len, shown)) > _MAX_TICK_CHARACTERS
    for label in axis.get_ticklabels():
        label.set(parse_math=False, rotation=90 if upright else 0)
        if len(names) > _MANY_TICKS:
            label.set_fontsize("small")
