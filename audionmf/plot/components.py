"""Pictures of components: templates, activations, both around the spectrogram they stand for."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from audionmf.errors import ParameterError
from audionmf.plot.cells import ACTIVATION_RANGE_DB, Grid, Matrix, decibels, draw_levels
from audionmf.plot.overviews import overview
from audionmf.plot.results import Bank, Found, Stems, bank_of, found_in, groups_of
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
from audionmf.spectra.timbre import note_name, timbre

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from audionmf.spectra.stft import STFT

__all__ = ["activations", "decomposition", "patterns", "pitch_order", "templates"]

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
    sounds = [timbre(column, sample_rate / stft.n_fft) for column in stft.on_line(W).T]

    def place(k: int) -> tuple[int, bool, float]:
        pitch = sounds[k].pitch
        height = pitch.hertz if pitch else sounds[k].centroid
        return places[groups[k]] if groups else 0, pitch is None, height

    return sorted(range(W.shape[1]), key=place)


@overload
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
) -> Axes: ...
@overload
def templates(
    axes: Axes | None,
    W: Found | Stems | Bank,
    *,
    names: Sequence[str] = (),
    order: Sequence[int] = (),
    scale: str = "log",
    theme: str = "light",
) -> Axes: ...
@overload
def templates(
    axes: Found | Stems | Bank,
    *,
    names: Sequence[str] = (),
    order: Sequence[int] = (),
    scale: str = "log",
    theme: str = "light",
) -> Axes: ...
def templates(
    axes: Axes | Found | Stems | Bank | None,
    W: Matrix | Found | Stems | Bank | None = None,
    stft: STFT | None = None,
    sample_rate: int | None = None,
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
        Where to draw. What was found may stand here instead, alone: ``templates(found)``.
    W : ndarray, shape (n_bins, n_components), or Decomposition, Separation or Templates
        Templates, ≥ 0. With what was found, `stft`, `sample_rate` and `groups` are its own, and the
        order is that of the pitch if none is given.
    stft : STFT
        The transform that they belong to.
    sample_rate : int
        In Hz.
    names : sequence of str, optional
        Name of each template; default: its note and its number, such as "D3 #17".
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

    Raises
    ------
    ParameterError
        If what is given has no templates.
    """
    on, W = _placed(axes, W)
    if W is not None and stft is None:
        bank = bank_of(W, "templates")
        found, W, stft, sample_rate = found_in(W), bank.templates, bank.stft, bank.sample_rate
        groups = groups_of(found, bank)
        order = order or pitch_order(W, stft, sample_rate, groups)
    W, stft, sample_rate = _whole(W, stft, sample_rate)
    alone, axes = on is None, dressed(on, theme)
    order = list(order) or list(range(W.shape[1]))
    chosen = W[:, order]
    peaks = chosen.max(axis=0)
    grid = Grid(chosen, stft, sample_rate, scale, 1.0, columns=len(order))
    shown = decibels(grid.pool(chosen / np.where(peaks > 0, peaks, 1)))
    mesh = draw_levels(axes, grid.times, grid.hertz, shown, theme)
    if alone:  # beside a spectrogram its own scale says the same
        colour_bar(axes, mesh, "dB below the peak of each", theme)
    axes.set(xlabel="component", ylabel="frequency (Hz)", title="templates (W)")
    names = names or _heard(W, stft, sample_rate)
    _component_ticks(axes.xaxis, shown_names(order, names))
    grid.set_frequency_axis(axes)
    _mark_groups(axes, [groups[k] for k in order] if groups else (), theme)
    return axes


def patterns(
    axes: Axes | None,
    W: Matrix,
    stft: STFT,
    sample_rate: int,
    groups: Sequence[str] = (),
    *,
    scale: str = "log",
    theme: str = "light",
) -> Axes:
    """Draw patterns side by side, each in dB below its own peak, with its frames from left to right.

    Parameters
    ----------
    axes : matplotlib.axes.Axes or None
        Where to draw.
    W : ndarray, shape (n_lags, n_bins, n_patterns)
        Patterns, ≥ 0.
    stft : STFT
        The transform that they belong to.
    sample_rate : int
        In Hz.
    groups : sequence of str, optional
        Source of each pattern, whose name stands above it; those of a source side by side.
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
    n_lags, n_bins, count = W.shape
    peaks = W.max(axis=(0, 1))
    levelled = W / np.where(peaks > 0, peaks, 1)
    frames = levelled.transpose(1, 2, 0).reshape(n_bins, count * n_lags)
    grid = Grid(frames, stft, sample_rate, scale, 1.0, columns=count * n_lags)
    mesh = draw_levels(axes, grid.times, grid.hertz, decibels(grid.pool(frames)), theme)
    if alone:
        colour_bar(axes, mesh, "dB below the peak of each", theme)
    seconds = n_lags * stft.hop_length / sample_rate
    axes.set(
        xlabel=f"pattern, {seconds:.2f} s from its stroke on", ylabel="frequency (Hz)",
        title="patterns (W)",
    )  # fmt: skip
    for start in range(n_lags, count * n_lags, n_lags):
        axes.axvline(start - 0.5, color=theme_of(theme).faint, linewidth=0.5)
    names = [str(k) for k in range(count)]
    axes.set_xticks([n_lags * (k + 0.5) - 0.5 for k in range(count)][:: -(-count // _MAX_TICKS)])
    axes.set_xticklabels(names[:: -(-count // _MAX_TICKS)])
    _mark_groups(axes, [group for group in groups for _ in range(n_lags)], theme)
    grid.set_frequency_axis(axes)
    return axes


@overload
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
) -> Axes: ...
@overload
def activations(
    axes: Axes | None,
    H: Found | Stems,
    *,
    names: Sequence[str] = (),
    order: Sequence[int] = (),
    frame_seconds: float | None = None,
    theme: str = "light",
) -> Axes: ...
@overload
def activations(
    axes: Found | Stems,
    *,
    names: Sequence[str] = (),
    order: Sequence[int] = (),
    frame_seconds: float | None = None,
    theme: str = "light",
) -> Axes: ...
def activations(
    axes: Axes | Found | Stems | None,
    H: Matrix | Found | Stems | None = None,
    stft: STFT | None = None,
    sample_rate: int | None = None,
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
        Where to draw. What was found may stand here instead, alone: ``activations(found)``.
    H : ndarray, shape (n_components, n_frames), or Decomposition or Separation
        Activations, ≥ 0. With what was found, the rest is its own, as in `templates`.
    stft : STFT
        The transform that they belong to.
    sample_rate : int
        In Hz.
    names : sequence of str, optional
        Name of each component; default: as in `templates` with what was found, else its number.
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

    Raises
    ------
    ParameterError
        If what is given has no activations.
    """
    on, H = _placed(axes, H)
    if H is not None and stft is None:
        bank, found = bank_of(H, "activations"), found_in(H)
        H, stft, sample_rate = _known_activations(found), bank.stft, bank.sample_rate
        groups = groups_of(found, bank)
        order = order or pitch_order(bank.templates, stft, sample_rate, groups)
        names = names or _heard(bank.templates, stft, sample_rate)
    H, stft, sample_rate = _whole(H, stft, sample_rate)
    alone, axes = on is None, dressed(on, theme)
    order = list(order) or list(range(H.shape[0]))
    grid = Grid(H, stft, sample_rate, "log", frame_seconds)
    shown = decibels(grid.pool_time(H)[order], range_db=ACTIVATION_RANGE_DB)
    rows = np.arange(len(order) + 1) - 0.5
    mesh = draw_levels(axes, grid.times, rows, shown, theme, ACTIVATION_RANGE_DB)
    if alone:
        colour_bar(axes, mesh, "dB below the loudest", theme)
    axes.set(ylabel="component", title="activations (H)")
    grid.set_time_axis(axes)
    _component_ticks(axes.yaxis, shown_names(order, names))
    _mark_groups(axes, [groups[k] for k in order] if groups else (), theme, vertical=True)
    return axes


@overload
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
) -> Figure: ...
@overload
def decomposition(
    V: Found | Stems,
    *,
    names: Sequence[str] = (),
    order: Sequence[int] = (),
    theme: str = "light",
) -> Figure: ...
def decomposition(
    V: Matrix | Found | Stems,
    W: Matrix | None = None,
    H: Matrix | None = None,
    stft: STFT | None = None,
    sample_rate: int | None = None,
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
    V : ndarray, shape (n_bins, n_frames), or Decomposition or Separation
        The magnitude spectrogram; or what was found, alone, which brings all the rest.
    W : ndarray, shape (n_bins, n_components)
        Templates.
    H : ndarray, shape (n_components, n_frames)
        Activations.
    stft : STFT
        The transform.
    sample_rate : int
        In Hz.
    names : sequence of str, optional
        Names of the components; default: as in `templates`.
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
    ParameterError
        If what is given has no activations.
    """
    if W is None or H is None:
        bank, found = bank_of(V, "templates and activations"), found_in(V)
        W, H, stft, sample_rate = (
            bank.templates, _known_activations(found), bank.stft, bank.sample_rate,
        )  # fmt: skip
        groups = groups_of(found, bank)
        order = order or pitch_order(W, stft, sample_rate, groups)
        seen = overview(found.recorded(), stft) if found else None
        V, frame_seconds = (seen.V, seen.frame_seconds) if seen else (V, None)
    W, stft, sample_rate = _whole(W, stft, sample_rate)
    V = np.asarray(V)
    picture = figure(theme=theme)
    grid = picture.add_gridspec(2, 2, width_ratios=(1, 2.2), height_ratios=(1.4, 1))
    left = picture.add_subplot(grid[:, 0])
    top = picture.add_subplot(grid[0, 1])
    bottom = picture.add_subplot(grid[1, 1], sharex=top)
    seconds = frame_seconds or stft.hop_length / sample_rate
    names = names or _heard(W, stft, sample_rate)
    templates(left, W, stft, sample_rate, names, groups, order=order, theme=theme)
    spectrogram(top, V, stft, sample_rate, frame_seconds=seconds, theme=theme)
    activations(
        bottom, H, stft, sample_rate, names, groups, order=order,
        frame_seconds=seconds * V.shape[1] / H.shape[1], theme=theme,
    )  # fmt: skip
    share_time(top)
    return picture


def _heard(W: Matrix, stft: STFT, sample_rate: int) -> list[str]:
    """Return the note of each template with its number, by which `--group` knows it."""
    sounds = [timbre(column, sample_rate / stft.n_fft) for column in stft.on_line(W).T]
    notes = [note_name(sound.pitch.hertz)[0] if sound.pitch else "noise" for sound in sounds]
    return [f"{note} #{k}" for k, note in enumerate(notes)]


def _placed(axes: Any, given: Any) -> tuple[Any, Any]:
    """Return axes, and what is to be drawn, which may stand in their place."""
    return (None, axes) if given is None else (axes, given)


def _whole(given: Any, stft: STFT | None, sample_rate: int | None) -> tuple[Matrix, STFT, int]:
    if given is None or stft is None or sample_rate is None:
        raise ParameterError("an array is drawn with the STFT it belongs to and its sample rate")
    return np.asarray(given), stft, sample_rate


def _known_activations(found: Found | None) -> Matrix:
    if found is None or found.activations is None:
        raise ParameterError(
            "the activations are not known; found.plot_activations() and found.plot() find them"
        )
    return found.activations


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
