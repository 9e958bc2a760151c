"""Piano rolls: which keys a source plays and when, under its spectrogram."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from audionmf.plot.cells import Grid, decibels, draw_levels
from audionmf.plot.overviews import Overview
from audionmf.plot.style import (
    clock_axis,
    dressed,
    figure,
    share_time,
    shortened,
    source_colours,
    theme_of,
)
from audionmf.spectra.timbre import key_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from audionmf.spectra.stft import STFT

__all__ = [
    "RollNotes",
    "key_labels",
    "key_range",
    "piano_roll",
    "rolled",
    "rolls",
    "strip",
]

_BLACK = (1, 3, 6, 8, 10)
_LEAST_KEYS, _MARGIN_KEYS = 12, 2
_WIDE_KEYS, _MIDDLE_KEYS = 30, 16
_ROW_INCHES = 2.6
_STRIP_INCHES = (11.0, 1.1)
_LEAST_ALPHA = 0.35


class RollNotes(NamedTuple):
    """Notes as a roll shows them.

    Parameters
    ----------
    spans : ndarray, shape (n_notes, 2)
        Onset and offset in seconds.
    keys : ndarray, shape (n_notes,), int
        MIDI keys; of drums those of General MIDI.
    strengths : ndarray, shape (n_notes,)
        How firmly each is drawn, from 0 to 1.
    drums : mapping of int to str
        What keys are called that stand for drums; they get a row each. Empty: keys are pitches.
    """

    spans: NDArray[np.float64]
    keys: NDArray[np.intp]
    strengths: NDArray[np.float64]
    drums: Mapping[int, str]

    @property
    def rows(self) -> NDArray[np.float64]:
        """The place of each note on the axis of keys: the key, or which of the drums."""
        if not self.drums:
            return self.keys.astype(np.float64)
        places = {key: i for i, key in enumerate(sorted(self.drums))}
        return np.array([places[int(key)] for key in self.keys], np.float64)


def key_range(notes: RollNotes) -> tuple[float, float]:
    """Return the lower and upper end of the axis of keys: an octave or more, or all drums."""
    if notes.drums:
        return -0.5, len(notes.drums) - 0.5
    low, high = int(notes.keys.min()) - _MARGIN_KEYS, int(notes.keys.max()) + _MARGIN_KEYS
    short = max(0, _LEAST_KEYS - (high - low))
    return low - short // 2 - 0.5, high + (short + 1) // 2 + 0.5


def key_labels(notes: RollNotes) -> list[tuple[float, str]]:
    """Return the places on the axis of keys that are named, and how: as many as can be read."""
    if notes.drums:
        return [(float(i), notes.drums[key]) for i, key in enumerate(sorted(notes.drums))]
    low, high = key_range(notes)
    wide = high - low
    named = (0,) if wide > _WIDE_KEYS else (0, 7) if wide > _MIDDLE_KEYS else (0, 4, 7)
    keys = range(int(np.ceil(low)), int(high) + 1)
    return [(float(k), key_name(k)) for k in keys if k % 12 in named]


def piano_roll(
    axes: Axes | None,
    notes: RollNotes,
    seconds: float,
    *,
    true: RollNotes | None = None,
    colour: str | None = None,
    theme: str = "light",
) -> Axes:
    """Draw notes as bars over time, each at its key.

    Parameters
    ----------
    axes : matplotlib.axes.Axes or None
        Where to draw.
    notes : RollNotes
        At least one, or one of `true`.
    seconds : float
        Where the time axis ends.
    true : RollNotes, optional
        Other notes, drawn as outlines around these, such as those of a score.
    colour : str, optional
        Of the bars; default: that of the first source.
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
    """
    axes = dressed(axes, theme)
    shown = theme_of(theme)
    every = notes if true is None else _together(notes, true)
    low, high = key_range(every)
    for key in range(int(np.ceil(low)), int(high) + 1):
        if key % 12 in _BLACK and not every.drums:
            axes.axhspan(key - 0.5, key + 0.5, color=shown.faint, alpha=0.12, linewidth=0)
    own = colour or source_colours(1, theme)[0]
    for (onset, offset), row, strength in zip(
        notes.spans, notes._replace(drums=every.drums).rows, notes.strengths, strict=True
    ):
        axes.barh(
            row, offset - onset, 0.8, left=onset, color=own,
            alpha=_LEAST_ALPHA + (1 - _LEAST_ALPHA) * float(strength),
        )  # fmt: skip
    if true is not None:
        for (onset, offset), row in zip(
            true.spans, true._replace(drums=every.drums).rows, strict=True
        ):
            axes.barh(
                row,
                offset - onset,
                0.95,
                left=onset,
                fill=False,
                edgecolor=shown.text,
                linewidth=0.9,
            )
    places, names = zip(*key_labels(every), strict=True)
    axes.set_yticks(places, names)
    axes.set(xlim=(0, seconds), ylim=(low, high), ylabel="note")
    clock_axis(axes)
    return axes


def rolls(
    seen: Mapping[str, Overview],
    notes: Mapping[str, RollNotes],
    stft: STFT,
    sample_rate: int,
    *,
    true: Mapping[str, RollNotes] | None = None,
    colours: Mapping[str, str] | None = None,
    theme: str = "light",
) -> Figure:
    """Draw the spectrogram of each source that has notes, and its piano roll under it.

    Parameters
    ----------
    seen : mapping of str to Overview
        The stem of each source.
    notes, true : mapping of str to RollNotes
        Its notes, and others to compare; see `piano_roll`.
    stft, sample_rate
        Of the overviews.
    colours : mapping of str to str, optional
        Of each source; default: in their order.
    theme : {"light", "dark"}, default "light"
        Colours.

    Returns
    -------
    matplotlib.figure.Figure
        Two axes for each source.

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    """
    named = [name for name in seen if name in notes]
    picture = figure(11, _ROW_INCHES * max(1, len(named)) + 0.4, theme)
    own = colours or dict(zip(seen, source_colours(len(seen), theme), strict=True))
    heights = [1, 1.4] * len(named)
    every = picture.subplots(2 * len(named), 1, height_ratios=heights, squeeze=False)[:, 0]
    for name, above, below in zip(named, every[::2], every[1::2], strict=True):
        grid = _levels(dressed(above, theme), seen[name], stft, sample_rate, theme)
        grid.set_time_axis(above)
        grid.set_frequency_axis(above, low=True)
        above.set_title(
            shortened(name), loc="left", color=own[name], fontweight="bold", parse_math=False
        )
        piano_roll(
            below, notes[name], 1.0, true=(true or {}).get(name), colour=own[name], theme=theme
        )
        grid.set_time_axis(below)
    share_time(*every[:-1])
    return picture


def strip(seen: Overview, stft: STFT, sample_rate: int, theme: str = "light") -> Figure:
    """Draw nothing but a spectrogram, from edge to edge, for a page that has axes of its own.

    The frequencies are those that `piano_roll`'s neighbours in `rolls` have.
    """
    picture = figure(*_STRIP_INCHES, theme)
    picture.set_layout_engine("none")
    axes = picture.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    _levels(axes, seen, stft, sample_rate, theme).set_ends(axes)
    return picture


def _levels(axes: Axes, seen: Overview, stft: STFT, sample_rate: int, theme: str) -> Grid:
    grid = Grid(seen.V, stft, sample_rate, "log", seen.frame_seconds)
    draw_levels(axes, grid.times, grid.hertz, decibels(grid.pool(seen.V)), theme)
    return grid


def _together(*several: RollNotes) -> RollNotes:
    """Return all notes as one, for axes that hold all of them."""
    names = {key: name for notes in several for key, name in notes.drums.items()}
    return RollNotes(
        np.concatenate([notes.spans for notes in several]),
        np.concatenate([notes.keys for notes in several]),
        np.concatenate([notes.strengths for notes in several]),
        names,
    )


def rolled(rows: Sequence[tuple[float, float, int, float]], drums: Mapping[int, str]) -> RollNotes:
    """Return notes, given as onset, offset, key and strength, as a roll shows them."""
    table = np.array(rows, np.float64).reshape(-1, 4)
    return RollNotes(table[:, :2], table[:, 2].astype(np.intp), table[:, 3], drums)
