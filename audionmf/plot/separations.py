"""Pictures of separations: which source has what, and how loud each is over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, overload

import numpy as np
from numpy.typing import NDArray

from audionmf.errors import ParameterError
from audionmf.plot.cells import ACTIVATION_RANGE_DB, Grid, Matrix, decibels
from audionmf.plot.overviews import Overview
from audionmf.plot.results import Stems, overviews_of
from audionmf.plot.spectrograms import spectrogram
from audionmf.plot.style import (
    N_COLOURS,
    add_legend,
    clock_axis,
    dressed,
    figure,
    share_time,
    shortened,
    shown_names,
    source_colours,
    theme_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from audionmf.spectra.stft import STFT

__all__ = ["masks", "relative_levels", "separation", "stem_spectrograms", "stems"]

_STEM_RANGE_DB = 48.0


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
    axes = dressed(axes, theme)
    grid = Grid(shares[0], stft, sample_rate, scale, frame_seconds)
    weight = 1.0 if V is None else _loudness(grid.pool(V))
    colours = source_colours(len(shares), theme)
    painted, total = np.zeros(()), np.zeros(())
    for share, colour in zip(shares, colours, strict=True):
        pooled = grid.pool(share)
        painted = painted + pooled[..., None] * _rgb(colour)
        total = total + pooled
    painted = painted / np.where(total > 0, total, 1)[..., None]
    strength = (total > 0) * weight
    background = _rgb(theme_of(theme).background)
    image = background + strength[..., None] * (painted - background)
    axes.pcolormesh(grid.times, grid.hertz, np.clip(image, 0, 1), rasterized=True)
    axes.set(ylabel="frequency (Hz)", title="which source has what (masks)")
    grid.set_axes(axes)
    if legend:
        add_legend(axes, colours, shown_names(list(range(len(shares))), names), theme)
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
    axes = dressed(axes, theme)
    heights = relative_levels(sources)
    colours = source_colours(len(heights), theme)
    for row, (name, colour) in enumerate(zip(heights, colours, strict=True)):
        height = 0.46 * np.append(heights[name], heights[name][-1])
        edges = np.arange(len(height)) * sources[name].level_seconds
        axes.fill_between(
            edges, -row - height, -row + height, step="post", color=colour, linewidth=0
        )
    axes.set(ylabel="stem", title=f"how loud each stem is (a row is {_STEM_RANGE_DB:.0f} dB high)")
    axes.set_xlim(0, max(len(seen.level) * seen.level_seconds for seen in sources.values()))
    clock_axis(axes)
    axes.set_ylim(0.6 - len(heights), 0.6)
    axes.set_yticks([-row for row in range(len(heights))], [shortened(name) for name in heights])
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
        name: 1 + decibels(seen.level, loudest, _STEM_RANGE_DB) / _STEM_RANGE_DB
        for name, seen in sources.items()
    }


@overload
def separation(
    sources: Mapping[str, Overview], stft: STFT, sample_rate: int, *, theme: str = "light"
) -> Figure: ...
@overload
def separation(sources: Stems, *, theme: str = "light") -> Figure: ...
def separation(
    sources: Mapping[str, Overview] | Stems,
    stft: STFT | None = None,
    sample_rate: int | None = None,
    *,
    theme: str = "light",
) -> Figure:
    """Draw stems: which of them has what part of the spectrogram, and how loud each is over time.

    The parts of more than `N_COLOURS` stems cannot be told apart by colour; the spectrogram of all
    of them together stands in their place.

    Parameters
    ----------
    sources : mapping of str to Overview, or Separation
        What `overview` returns for each stem, by its name; stems are of one length. A `Separation`
        is drawn alone, without the rest.
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
        If there are no stems, or they come without their STFT and rate.
    """
    if not isinstance(sources, Mapping):
        stft, sample_rate = sources.decomposition.templates.stft, sources.sample_rate
        sources = overviews_of(sources)
    if not sources:
        raise ParameterError("there are no stems to draw")
    if stft is None or sample_rate is None:
        raise ParameterError("overviews are drawn with their STFT and sample rate")
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
    share_time(top)
    return picture


def stem_spectrograms(
    sources: Mapping[str, Overview], stft: STFT, sample_rate: int, *, theme: str = "light"
) -> Figure:
    """Draw the spectrogram of each stem, below each other, in dB below the peak of all of them.

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
        A new figure with axes for each stem, of one time axis, and a scale beside each.

    Raises
    ------
    ParameterError
        If there are no stems.
    """
    if not sources:
        raise ParameterError("there are no stems to draw")
    peak = max(float(each.V.max()) for each in sources.values()) or 1.0
    picture = figure(11, 2.6 * len(sources) + 0.4, theme)
    every = picture.subplots(len(sources), 1, sharex=True, squeeze=False)[:, 0]
    colours = source_colours(len(sources), theme)
    for axes, (name, seen), colour in zip(every, sources.items(), colours, strict=True):
        spectrogram(
            axes,
            seen.V,
            stft,
            sample_rate,
            frame_seconds=seen.frame_seconds,
            peak=peak,
            theme=theme,
        )
        axes.set_title(
            shortened(name), loc="left", color=colour, fontweight="bold", parse_math=False
        )
        axes.set_title("")
    share_time(*every[:-1])
    return picture


def _loudness(magnitudes: Matrix) -> Matrix:
    """Return how visible magnitudes are, 0 to 1; softer ones more than their level in dB says."""
    shown = decibels(magnitudes, None, ACTIVATION_RANGE_DB)
    visible: Matrix = np.maximum(0, 1 + shown / ACTIVATION_RANGE_DB) ** 0.75
    return visible


def _rgb(colour: str) -> NDArray[np.float64]:
    return np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
