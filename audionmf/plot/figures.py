"""Pictures of spectrograms and of what a factorisation found: axes in, axes out.

Every function that draws takes axes, or ``None`` for axes of its own in a new figure, and returns
the axes; what needs several axes returns a figure. Nothing here opens a window or changes
matplotlib's settings; `save` writes a file. Needs matplotlib: ``pip install audionmf[plot]``.

There are two themes, "light" and "dark". Colours stand for one thing each: sequential ones, even in
lightness, for levels; two hues on both sides of a neutral one for differences; a palette whose
first eight colours are told apart with any colour vision for sources, which are also named.

A recording may be long: a picture has so many pixels and no more, so spectrograms are reduced to
about that many rows and columns by their maxima before anything else is done with them.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from audionmf.errors import MissingExtraError, ParameterError
from audionmf.io.audio import AudioLike, open_source
from audionmf.io.files import StrPath, write_bytes
from audionmf.spectra.frames import BLOCK_FRAMES, pooled_magnitude
from audionmf.spectra.mel import hz_to_mel, mel_to_hz
from audionmf.spectra.timbre import timbre

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from audionmf.spectra.stft import STFT

__all__ = [
    "N_COLOURS",
    "THEMES",
    "Overview",
    "activations",
    "convergence",
    "decomposition",
    "figure",
    "masks",
    "overview",
    "pitch_order",
    "png",
    "reconstruction",
    "relative_levels",
    "save",
    "separation",
    "source_colours",
    "spectrogram",
    "stems",
    "templates",
    "time_span",
]

Matrix = NDArray[np.floating[Any]]

_DYNAMIC_RANGE_DB = 80.0
_ACTIVATION_RANGE_DB = 60.0
_RESIDUAL_RANGE_DB = 20.0
_STEM_RANGE_DB = 48.0
_LOWEST_HZ = 30.0
_TICKS_HZ = (50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000)
_MEL_TICKS_HZ = (200, 500, 1_000, 2_000, 3_000, 5_000, 8_000, 12_000, 20_000, 50_000)
_SCALES = ("log", "mel")
_MAX_COLUMNS = 1200
_MAX_ROWS = 512
_MAX_NAME = 24
_MAX_TICKS = 24
_MANY_TICKS = 12
_MAX_TICK_CHARACTERS = 36


@dataclass(frozen=True)
class _Theme:
    """The colours of a picture: the page, its writing, levels from low to high, differences."""

    background: str
    text: str
    faint: str
    levels: tuple[str, ...]
    differences: tuple[str, str, str]
    sources: tuple[str, ...]


_THEMES = {
    "light": _Theme(
        background="#ffffff",
        text="#1c1e22",
        faint="#9a9ea6",
        levels=(
            "#ffffff", "#fdf3e3", "#fad9ae", "#f0965f", "#d64e54", "#96206f", "#4a1168", "#150a33",
        ),
        differences=("#1f5fa8", "#f4f3f1", "#b84a00"),
        sources=(
            "#103667", "#e06400", "#01a88a", "#b05ef9", "#8992c7", "#8b3300", "#5a07a2", "#673641",
        ),
    ),
    "dark": _Theme(
        background="#15171c",
        text="#e7e8ea",
        faint="#70757f",
        levels=(
            "#0b0c10", "#180d2e", "#3a1566", "#7a2182", "#bd3b6e", "#f0704f", "#fdb86c", "#fcfbd0",
        ),
        differences=("#6fb4ff", "#1d2026", "#ff9d4d"),
        sources=(
            "#46e6ff", "#edd342", "#83c176", "#e96aa3", "#3f7fea", "#bc9801", "#ab622e", "#a988d5",
        ),
    ),
}  # fmt: skip

THEMES = tuple(_THEMES)
"""Names of the themes."""

N_COLOURS = len(_THEMES["light"].sources)
"""How many sources can be told apart by their colours."""


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


def figure(width: float = 11.0, height: float = 7.0, theme: str = "light") -> Figure:
    """Make an empty figure, in inches, without a window.

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    ParameterError
        If there is no such theme.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError(
            "pictures need matplotlib; install it with: pip install 'audionmf[plot]'"
        ) from error
    made = Figure(figsize=(width, height), layout="constrained", facecolor=_theme(theme).background)
    FigureCanvasAgg(made)
    return made


def save(picture: Figure, path: StrPath, dpi: int = 110) -> Path:
    """Write a figure as PNG, whole or not at all.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    return write_bytes(path, png(picture, dpi))


def png(picture: Figure, dpi: int = 110) -> bytes:
    """Return a figure as the bytes of a PNG file; the same figure gives the same bytes."""
    content = io.BytesIO()
    picture.savefig(content, dpi=dpi, format="png")
    return content.getvalue()


def source_colours(n_sources: int, theme: str = "light") -> list[str]:
    """Return a colour for each source as ``#rrggbb``; from the ninth on they come again."""
    palette = _theme(theme).sources
    return [palette[j % len(palette)] for j in range(n_sources)]


def overview(
    source: AudioLike, stft: STFT, sample_rate: int | None = None, n_columns: int = _MAX_COLUMNS
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
    axes = _dressed(axes, theme)
    grid = _Grid(V, stft, sample_rate, scale, frame_seconds)
    mesh = _draw_levels(axes, grid.times, grid.hertz, _decibels(grid.pool(V), peak), theme)
    axes.set(xlabel="time (s)", ylabel="frequency (Hz)", title="spectrogram")
    grid.set_axes(axes)
    _colour_bar(axes, mesh, "dB below peak", theme)
    return axes


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
    alone, axes = axes is None, _dressed(axes, theme)
    order = list(order) or list(range(W.shape[1]))
    chosen = W[:, order]
    peaks = chosen.max(axis=0)
    grid = _Grid(chosen, stft, sample_rate, scale, 1.0, columns=len(order))
    shown = _decibels(grid.pool(chosen / np.where(peaks > 0, peaks, 1)))
    mesh = _draw_levels(axes, grid.times, grid.hertz, shown, theme)
    if alone:  # beside a spectrogram its own scale says the same
        _colour_bar(axes, mesh, "dB below the peak of each", theme)
    axes.set(xlabel="component", ylabel="frequency (Hz)", title="templates (W)")
    _component_ticks(axes.xaxis, _names(order, names))
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
    alone, axes = axes is None, _dressed(axes, theme)
    order = list(order) or list(range(H.shape[0]))
    grid = _Grid(H, stft, sample_rate, "log", frame_seconds)
    shown = _decibels(grid.pool_time(H)[order], range_db=_ACTIVATION_RANGE_DB)
    rows = np.arange(len(order) + 1) - 0.5
    mesh = _draw_levels(axes, grid.times, rows, shown, theme, _ACTIVATION_RANGE_DB)
    if alone:
        _colour_bar(axes, mesh, "dB below the loudest", theme)
    axes.set(xlabel="time (s)", ylabel="component", title="activations (H)")
    grid.set_time_axis(axes)
    _component_ticks(axes.yaxis, _names(order, names))
    _mark_groups(axes, [groups[k] for k in order] if groups else (), theme, vertical=True)
    return axes


def masks(
    axes: Axes | None,
    shares: Sequence[Matrix] | Matrix,
    stft: STFT,
    sample_rate: int,
    names: Sequence[str] = (),
    *,
    V: Matrix | None = None,
    scale: str = "log",
    frame_seconds: float | None = None,
    legend: bool = True,
    theme: str = "light",
) -> Axes:
    """Draw which source has which part of a spectrogram, each source in its colour.

    Parameters
    ----------
    axes : matplotlib.axes.Axes or None
        Where to draw.
    shares : sequence of ndarray, shape (n_bins, n_frames), or array of n_sources of them
        Masks, or anything ≥ 0 whose proportions are the shares, such as the sources' magnitudes.
    stft : STFT
        The transform that they belong to.
    sample_rate : int
        In Hz.
    names : sequence of str, optional
        Name of each source; default: its number.
    V : ndarray, shape (n_bins, n_frames), optional
        The mixture's magnitudes: what is soft in it fades into the background.
    legend : bool, default True
        Say which colour is whose; to be left out where something else in the figure does.
    scale, frame_seconds, theme
        As in `spectrogram`.

    Returns
    -------
    matplotlib.axes.Axes
        The same axes.
    """
    axes = _dressed(axes, theme)
    grid = _Grid(shares[0], stft, sample_rate, scale, frame_seconds)
    weight = 1.0 if V is None else _loudness(grid.pool(V))
    colours = source_colours(len(shares), theme)
    painted, total = np.zeros(()), np.zeros(())
    for share, colour in zip(shares, colours, strict=True):
        pooled = grid.pool(share)
        painted = painted + pooled[..., None] * _rgb(colour)
        total = total + pooled
    painted = painted / np.where(total > 0, total, 1)[..., None]
    strength = (total > 0) * weight
    background = _rgb(_theme(theme).background)
    image = background + strength[..., None] * (painted - background)
    axes.pcolormesh(grid.times, grid.hertz, np.clip(image, 0, 1), rasterized=True)
    axes.set(xlabel="time (s)", ylabel="frequency (Hz)", title="which source has what (masks)")
    grid.set_axes(axes)
    if legend:
        _legend(axes, colours, _names(list(range(len(shares))), names), theme)
    return axes


def stems(
    axes: Axes | None,
    sources: Mapping[str, Overview],
    *,
    theme: str = "light",
) -> Axes:
    """Draw how loud each stem is over time, one row a stem in its colour.

    The height of a row is the level in dB: half of it is 24 dB below the loudest of all stems.

    Parameters
    ----------
    axes : matplotlib.axes.Axes or None
        Where to draw.
    sources : mapping of str to Overview
        What `overview` returns for each stem, by its name.
    theme : {"light", "dark"}, default "light"
        Colours.

    Returns
    -------
    matplotlib.axes.Axes
        The same axes.

    Raises
    ------
    ParameterError
        If there are no stems.
    """
    axes = _dressed(axes, theme)
    heights = relative_levels(sources)
    colours = source_colours(len(heights), theme)
    for row, (name, colour) in enumerate(zip(heights, colours, strict=True)):
        height = 0.46 * np.append(heights[name], heights[name][-1])
        edges = np.arange(len(height)) * sources[name].level_seconds
        axes.fill_between(
            edges, -row - height, -row + height, step="post", color=colour, linewidth=0
        )
    axes.set(xlabel="time (s)", ylabel="stem", title=f"level (rows span {_STEM_RANGE_DB:.0f} dB)")
    axes.set_xlim(0, max(len(seen.level) * seen.level_seconds for seen in sources.values()))
    axes.set_ylim(0.6 - len(heights), 0.6)
    axes.set_yticks([-row for row in range(len(heights))], [_shortened(name) for name in heights])
    for tick, colour in zip(axes.get_yticklabels(), colours, strict=True):
        tick.set(color=colour, fontweight="bold", parse_math=False)
    return axes


def relative_levels(sources: Mapping[str, Overview]) -> dict[str, Matrix]:
    """Return how loud stems are over time: 1 for the loudest of all, 0 for 48 dB less, in dB.

    Raises
    ------
    ParameterError
        If there are no stems.
    """
    if not sources:
        raise ParameterError("there are no stems to draw")
    loudest = max(float(seen.level.max()) for seen in sources.values()) or 1.0
    return {
        name: 1 + _decibels(seen.level, loudest, _STEM_RANGE_DB) / _STEM_RANGE_DB
        for name, seen in sources.items()
    }


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
    axes = _dressed(axes, theme)
    colour = source_colours(1, theme)[0]
    marker = "o" if len(values) < 40 else None
    axes.plot(places, values, color=colour, linewidth=2, marker=marker, markersize=4)
    axes.annotate(
        f"{values[-1]:.4g}", (places[-1], values[-1]), xytext=(0, 8), textcoords="offset points",
        ha="right", color=_theme(theme).text,
    )  # fmt: skip
    positive = values[values > 0]
    if positive.size == values.size and values.max() > 3 * values.min():
        axes.set_yscale("log")
    axes.grid(color=_theme(theme).faint, alpha=0.25)
    axes.set(
        xlabel="evaluation" if iterations is None else "iteration",
        ylabel="divergence of W·H from V",
        title="how the divergence fell",
    )
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
    _share_time(top)
    return picture


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
    _share_time(first, second)
    return picture


def separation(
    sources: Mapping[str, Overview], stft: STFT, sample_rate: int, *, theme: str = "light"
) -> Figure:
    """Draw stems: which of them has what part of the spectrogram, and how loud each is over time.

    The parts of more than `N_COLOURS` stems cannot be told apart by colour; the spectrogram of all
    of them together stands in their place.

    Parameters
    ----------
    sources : mapping of str to Overview
        What `overview` returns for each stem, by its name; stems are of one length.
    stft : STFT
        The transform that was looked at them with.
    sample_rate : int
        In Hz.
    theme : {"light", "dark"}, default "light"
        Colours.

    Returns
    -------
    matplotlib.figure.Figure
        A new figure with two axes of one time axis.

    Raises
    ------
    ParameterError
        If there are no stems.
    """
    if not sources:
        raise ParameterError("there are no stems to draw")
    seen = list(sources.values())
    loudest = max(float(each.V.max()) for each in seen) or 1.0
    powers = [(each.V / loudest) ** 2 for each in seen]
    V, seconds = np.sqrt(np.sum(powers, axis=0)), seen[0].frame_seconds
    rows = min(8, len(seen))
    picture = figure(11, 4.4 + 0.6 * rows, theme)
    top, bottom = picture.subplots(2, 1, sharex=True, height_ratios=(4, 0.4 + 0.6 * rows))
    if len(seen) > N_COLOURS:
        spectrogram(top, V, stft, sample_rate, frame_seconds=seconds, theme=theme)
    else:
        masks(
            top, powers, stft, sample_rate, list(sources), V=V, frame_seconds=seconds,
            legend=False, theme=theme,
        )  # fmt: skip
    stems(bottom, sources, theme=theme)
    _share_time(top)
    return picture


def time_span(picture: Figure) -> tuple[float, float, float] | None:
    """Return where the time axis of a picture is, so that a page can show the time in it.

    Returns
    -------
    tuple of (float, float, float) or None
        Left and right end of the axes as shares of the picture's width, and the seconds between
        them; None if the picture has no time axis.
    """
    picture.draw_without_rendering()
    for axes in picture.axes:
        if axes.get_xlabel().startswith("time"):
            box = axes.get_position()
            return box.x0, box.x1, float(axes.get_xlim()[1])
    return None


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

    _dressed(axes, theme)
    grid = _Grid(V, stft, sample_rate, "log", frame_seconds)
    peak = float(V.max(initial=0)) or 1.0
    pair = [_decibels(grid.pool(each), peak, _ACTIVATION_RANGE_DB) for each in (V, model)]
    mesh = axes.pcolormesh(
        grid.times,
        grid.hertz,
        pair[0] - pair[1],
        cmap=LinearSegmentedColormap.from_list("differences", _theme(theme).differences),
        vmin=-_RESIDUAL_RANGE_DB,
        vmax=_RESIDUAL_RANGE_DB,
        rasterized=True,
    )
    axes.set(xlabel="time (s)", ylabel="frequency (Hz)", title="what is left (V over W·H)")
    grid.set_axes(axes)
    _colour_bar(axes, mesh, "dB more than the model", theme)


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


class _Grid:
    """The cells of a picture of a spectrogram: no more rows and columns than can be seen.

    Bins are joined where several fall on one of `_MAX_ROWS` rows, frames where there are more than
    `_MAX_COLUMNS`; a cell shows its maximum, so that a click or a thin line is never lost.
    """

    def __init__(
        self,
        V: Matrix,
        stft: STFT,
        sample_rate: int,
        scale: str,
        frame_seconds: float | None,
        columns: int = _MAX_COLUMNS,
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
        edges = np.maximum(np.arange(stft.n_bins + 1) - 0.5, 0.0 if scale == "mel" else 0.01)
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
        self.set_time_axis(axes)
        self.set_frequency_axis(axes)

    def set_time_axis(self, axes: Axes) -> None:
        axes.set_xlim(0, self._seconds * max(1, self._n_frames - 1))

    def set_frequency_axis(self, axes: Axes) -> None:
        if self._scale == "mel":
            axes.set_yscale("function", functions=(hz_to_mel, mel_to_hz))
        else:
            axes.set_yscale("log")
        axes.set_ylim(self._lowest, self._top)
        candidates = _MEL_TICKS_HZ if self._scale == "mel" else _TICKS_HZ
        ticks = [hz for hz in candidates if hz < self._top]
        axes.set_yticks(ticks, [f"{hz // 1000}k" if hz >= 1000 else str(hz) for hz in ticks])
        axes.minorticks_off()


def _theme(name: str) -> _Theme:
    if name not in _THEMES:
        raise ParameterError(f"there are the themes {', '.join(_THEMES)}, not {name!r}")
    return _THEMES[name]


def _dressed(axes: Axes | None, theme: str) -> Axes:
    """Return axes in the colours of a theme; new ones if there are none."""
    colours = _theme(theme)
    if axes is None:
        axes = figure(9, 4.5, theme).add_subplot()
    axes.set_facecolor(colours.background)
    axes.tick_params(colors=colours.text, which="both")
    for part in (axes.xaxis.label, axes.yaxis.label, axes.title):
        part.set_color(colours.text)
    for name, spine in axes.spines.items():
        spine.set_color(colours.faint)
        spine.set_visible(name in ("left", "bottom"))
    return axes


def _draw_levels(
    axes: Axes,
    x: Matrix,
    y: Matrix,
    shown: Matrix,
    theme: str,
    range_db: float = _DYNAMIC_RANGE_DB,
) -> Any:
    from matplotlib.colors import LinearSegmentedColormap

    colours = LinearSegmentedColormap.from_list("levels", _theme(theme).levels)
    return axes.pcolormesh(x, y, shown, cmap=colours, vmin=-range_db, vmax=0, rasterized=True)


def _colour_bar(axes: Axes, mesh: Any, label: str, theme: str) -> None:
    colours = _theme(theme)
    bar = axes.figure.colorbar(mesh, ax=axes, pad=0.01)
    bar.set_label(label, color=colours.text)
    bar.ax.tick_params(colors=colours.text)
    bar.outline.set_visible(False)


def _legend(axes: Axes, colours: Sequence[str], names: Sequence[str], theme: str) -> None:
    from matplotlib.patches import Patch

    shown = _theme(theme)
    handles = [
        Patch(color=colour, label=_shortened(name))
        for colour, name in zip(colours, names, strict=True)
    ]
    legend = axes.legend(
        handles=handles, loc="upper right", ncols=min(4, len(handles)), framealpha=0.85,
        facecolor=shown.background, edgecolor="none", labelcolor=shown.text,
    )  # fmt: skip
    for text in legend.get_texts():
        text.set_parse_math(False)


def _share_time(*upper: Axes) -> None:
    """Leave the time axis to the lowest of axes that share it."""
    for axes in upper:
        axes.set_xlabel("")
        axes.tick_params(labelbottom=False)


def _decibels(
    magnitudes: Matrix, peak: float | None = None, range_db: float = _DYNAMIC_RANGE_DB
) -> Matrix:
    top = peak or float(magnitudes.max(initial=0)) or 1.0
    floor = 10 ** (-range_db / 20)
    found: Matrix = 20 * np.log10(np.maximum(magnitudes / top, floor))
    return np.minimum(found, 0)


def _loudness(magnitudes: Matrix) -> Matrix:
    """Return how visible magnitudes are, 0 to 1; softer ones more than their level in dB says."""
    shown = _decibels(magnitudes, None, _ACTIVATION_RANGE_DB)
    visible: Matrix = np.maximum(0, 1 + shown / _ACTIVATION_RANGE_DB) ** 0.75
    return visible


def _rgb(colour: str) -> NDArray[np.float64]:
    return np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255


def _names(order: Sequence[int], names: Sequence[str]) -> list[str]:
    return [_shortened(names[k]) if names else str(k) for k in order]


def _mark_groups(axes: Axes, groups: Sequence[str], theme: str, *, vertical: bool = False) -> None:
    colours = _theme(theme)
    starts = [k for k, group in enumerate(groups) if k == 0 or group != groups[k - 1]]
    spans = list(itertools.pairwise([*starts, len(groups)]))
    narrow = not vertical and any(
        len(_shortened(groups[start])) > _MAX_TICK_CHARACTERS * (end - start) / len(groups)
        for start, end in spans
    )
    for start, end in spans:
        if start:
            line = axes.axhline if vertical else axes.axvline
            line(start - 0.5, color=colours.text, linewidth=1.5)
        middle, edge = (start + end - 1) / 2, 0.99 if vertical else 0.98
        axes.text(
            *((edge, middle) if vertical else (middle, edge)),
            _shortened(groups[start]),
            color=colours.text,
            transform=axes.get_yaxis_transform() if vertical else axes.get_xaxis_transform(),
            ha="right" if vertical else "center",
            va="center" if vertical else "top",
            rotation=90 if narrow else 0,
            parse_math=False,
            bbox={"facecolor": colours.background, "alpha": 0.8, "linewidth": 0},
        )


def _shortened(name: str) -> str:
    line = " ".join(name.split())
    return line if len(line) <= _MAX_NAME else f"{line[: _MAX_NAME - 1]}…"


def _component_ticks(axis: Any, names: Sequence[str]) -> None:
    step = -(-len(names) // _MAX_TICKS)
    shown = names[::step]
    axis.set_ticks(range(0, len(names), step), shown)
    upright = axis.axis_name == "x" and sum(map(len, shown)) > _MAX_TICK_CHARACTERS
    for label in axis.get_ticklabels():
        label.set(parse_math=False, rotation=90 if upright else 0)
        if len(names) > _MANY_TICKS:
            label.set_fontsize("small")
