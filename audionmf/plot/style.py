"""The look of a picture: figures and axes in the colours of a theme, their legends and time axes.

There are two themes, "light" and "dark". Colours stand for one thing each: sequential ones, even in
lightness, for levels; two hues on both sides of a neutral one for differences; a palette whose
first eight colours are told apart with any colour vision for sources, which are also named.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
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
    "clock",
    "clock_axis",
    "colour_bar",
    "dressed",
    "figure",
    "lay_out",
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
_COMPRESSION = 4
"""Of PNG files, 0 to 9: the usual 6 takes twice the time for files 1 % smaller."""
_TIME_STEPS = (
    *(0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30),
    *(60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 36_000),
)
_MAX_TIMES = 9


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
    """Make an empty figure, in inches, without a window; a notebook shows it as a cell's last value.

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
    vars(made)["_repr_png_"] = partial(png, made)  # notebooks know only figures of pyplot
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
    """Return a figure as the bytes of a PNG file; figures that are drawn alike give the same bytes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    content = io.BytesIO()
    canvas: Any = picture.canvas
    if type(picture.canvas) is not FigureCanvasAgg:  # one of a window, which is not to be resized
        picture.savefig(content, dpi=dpi, format="png")
        return content.getvalue()
    before = picture.dpi
    try:
        picture.dpi = dpi
        # savefig draws twice where there is a layout
        canvas.print_png(content, pil_kwargs={"compress_level": _COMPRESSION})
    finally:
        picture.dpi = before
    return content.getvalue()


def source_colours(n_sources: int, theme: str = "light") -> list[str]:
    """Return a colour for each source as ``#rrggbb``; from the ninth on they come again."""
    palette = theme_of(theme).sources
    return [palette[j % len(palette)] for j in range(n_sources)]


def lay_out(picture: Figure, like: Figure | None = None) -> None:
    """Give everything in a picture its place at its own resolution, once and for all.

    Parameters
    ----------
    picture : matplotlib.figure.Figure
        A picture of `figure`.
    like : matplotlib.figure.Figure, optional
        One with the same axes and words that has been laid out, such as its twin in the other theme:
        its places are taken, which costs nothing.
    """
    engine = picture.get_layout_engine()
    if like is None and engine is not None:
        engine.execute(picture)
    picture.set_layout_engine("none")
    for axes, placed in zip(picture.axes, like.axes if like else [], strict=bool(like)):
        axes.set_position(placed.get_position(original=True))


def time_span(picture: Figure) -> tuple[float, float, float] | None:
    """Return where the time axis of a picture is, so that a page can show the time in it.

    Returns
    -------
    tuple of (float, float, float) or None
        Left and right end of the axes as shares of the picture's width, and the seconds between
        them; None if the picture has no time axis.
    """
    if engine := picture.get_layout_engine():
        engine.execute(picture)
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


def clock(seconds: float) -> str:
    """Return a time as a clock shows it, such as 3:20 or 1:02:00, to the second."""
    minutes, rest = divmod(round(seconds), 60)
    hours, left = divmod(minutes, 60)
    return f"{hours}:{left:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def clock_axis(axes: Axes) -> None:
    """Let the time axis show minutes and seconds at round times, also where it is zoomed into."""
    from matplotlib.ticker import FixedLocator

    class Times(FixedLocator):
        def __call__(self) -> Any:
            return self.tick_values(*axes.get_xlim())

        def tick_values(self, vmin: float, vmax: float) -> list[float]:
            step = _time_step(vmin, vmax)
            return [k * step for k in range(math.ceil(vmin / step), math.floor(vmax / step) + 1)]

    axes.xaxis.set_major_locator(Times([]))
    axes.xaxis.set_major_formatter(lambda time, _: _time(time, _time_step(*axes.get_xlim())))
    axes.set_xlabel("time (min:s)")


def _time_step(first: float, last: float) -> float:
    """Return the seconds from one time on the axis to the next: a few of them, round ones."""
    span = abs(last - first)
    days = 86_400 * max(1, math.ceil(span / (86_400 * _MAX_TIMES)))
    return next((step for step in _TIME_STEPS if span / step <= _MAX_TIMES), days)


def _time(seconds: float, step: float) -> str:
    if step >= 1:
        return clock(seconds)
    digits = math.ceil(-math.log10(step))
    minutes, rest = divmod(round(seconds * 10**digits), 60 * 10**digits)
    return f"{minutes}:{rest / 10**digits:0{3 + digits}.{digits}f}"


def share_time(*upper: Axes) -> None:
    """Leave the time axis to the lowest of axes that share it."""
    for axes in upper:
        axes.set_xlabel("")
        axes.tick_params(labelbottom=False)


def shown_names(order: Sequence[int], names: Sequence[str]) -> list[str]:
    """Return names in an order; numbers where there are none."""
    return [shortened(names[k]) if names else f"#{k}" for k in order]


def shortened(name: str) -> str:
    """Return a name in one line that is not too long for a picture."""
    line = " ".join(name.split())
    return line if len(line) <= _MAX_NAME else f"{line[: _MAX_NAME - 1]}…"
