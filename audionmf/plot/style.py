"""The look of a picture: figures and axes in the colours of a theme, their legends and time axes.

There are two themes, "light" and "dark". Colours stand for one thing each: sequential ones, even in
lightness, for levels; two hues on both sides of a neutral one for differences; a palette whose
first eight colours are told apart with any colour vision for sources, which are also named.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from audionmf.errors import MissingExtraError, ParameterError
from audionmf.io.files import StrPath, write_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "N_COLOURS",
    "THEMES",
    "Theme",
    "add_legend",
    "colour_bar",
    "dressed",
    "figure",
    "png",
    "save",
    "share_time",
    "shortened",
    "shown_names",
    "source_colours",
    "theme_of",
    "time_span",
]

_MAX_NAME = 24


@dataclass(frozen=True)
class Theme:
    """The colours of a picture: the page, its writing, levels from low to high, differences."""

    background: str
    text: str
    faint: str
    levels: tuple[str, ...]
    differences: tuple[str, str, str]
    sources: tuple[str, ...]


_THEMES = {
    "light": Theme(
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
    "dark": Theme(
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
    made = Figure(
        figsize=(width, height), layout="constrained", facecolor=theme_of(theme).background
    )
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
    palette = theme_of(theme).sources
    return [palette[j % len(palette)] for j in range(n_sources)]


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


def theme_of(name: str) -> Theme:
    """Return a theme by its name.

    Raises
    ------
    ParameterError
        If there is no such theme.
    """
    if name not in _THEMES:
        raise ParameterError(f"there are the themes {', '.join(_THEMES)}, not {name!r}")
    return _THEMES[name]


def dressed(axes: Axes | None, theme: str) -> Axes:
    """Return axes in the colours of a theme; new ones if there are none."""
    colours = theme_of(theme)
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


def colour_bar(axes: Axes, mesh: Any, label: str, theme: str) -> None:
    """Put a scale of colours beside axes, and say what it measures."""
    colours = theme_of(theme)
    bar = axes.figure.colorbar(mesh, ax=axes, pad=0.01)
    bar.set_label(label, color=colours.text)
    bar.ax.tick_params(colors=colours.text)
    bar.outline.set_visible(False)


def add_legend(axes: Axes, colours: Sequence[str], names: Sequence[str], theme: str) -> None:
    """Say in the corner of axes which colour is whose."""
    from matplotlib.patches import Patch

    shown = theme_of(theme)
    handles = [
        Patch(color=colour, label=shortened(name))
        for colour, name in zip(colours, names, strict=True)
    ]
    legend = axes.legend(
        handles=handles, loc="upper right", ncols=min(4, len(handles)), framealpha=0.85,
        facecolor=shown.background, edgecolor="none", labelcolor=shown.text,
    )  # fmt: skip
    for text in legend.get_texts():
        text.set_parse_math(False)


def share_time(*upper: Axes) -> None:
    """Leave the time axis to the lowest of axes that share it."""
    for axes in upper:
        axes.set_xlabel("")
        axes.tick_params(labelbottom=False)


def shown_names(order: Sequence[int], names: Sequence[str]) -> list[str]:
    """Return the names of components in an order; their numbers where they have none."""
    return [shortened(names[k]) if names else str(k) for k in order]


def shortened(name: str) -> str:
    """Return a name in one line that is not too long for a picture."""
    line = " ".join(name.split())
    return line if len(line) <= _MAX_NAME else f"{line[: _MAX_NAME - 1]}…"
