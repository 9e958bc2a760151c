"""The notes of sources on a page: piano rolls under spectrograms, to look at and to play."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from audionmf import plot
from audionmf.errors import MissingExtraError
from audionmf.io.files import counted
from audionmf.notes.events import SourceNote
from audionmf.notes.table import NoteTable
from audionmf.spectra.stft import STFT

__all__ = ["Roll", "roll_notes", "rolls_of", "time_axis"]

_LOUDEST = 127
_DPI = 100
_LEAST_OPACITY = 0.45
_BLACK = (1, 3, 6, 8, 10)
_TICK_SECONDS = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 3600)
_MOST_TICKS = 12
_HERTZ = (100, 1000)
_LOWEST_HZ = 30.0
_EDGE = 5.0  # half a line of text, in per cent of a row


@dataclass(frozen=True)
class Roll:
    """The notes of one source, as marks for a page.

    Parameters
    ----------
    index : int
        Which of the stems it is.
    name : str
        The source.
    words : str
        How many notes it has, and from where to where they go.
    drawing : str
        The roll, as SVG and the names of its keys.
    strips : dict of str to str
        A spectrogram in base64 for each theme; empty without matplotlib.
    frequencies : str
        Which frequency is where in the spectrogram, as SVG.
    data : list of [float, float, int, int, int]
        Onset, offset, key, velocity, and whether it is a drum, for what plays them.
    """

    index: int
    name: str
    words: str
    drawing: str
    strips: dict[str, str]
    frequencies: str
    data: list[list[float]]


def rolls_of(
    notes: NoteTable, seen: Mapping[str, plot.Overview], stft: STFT, rate: int, seconds: float
) -> list[Roll]:
    """Return a roll for each source that has notes.

    Parameters
    ----------
    notes : NoteTable
        The notes.
    seen : mapping of str to Overview
        The stem of each source, in the order of the page.
    stft, rate
        Of the overviews; in Hz.
    seconds : float
        Length of the recording.
    """
    found = []
    for i, (name, stem) in enumerate(seen.items()):
        mine = notes.of(name) if name in notes.sources else []
        if not mine:
            continue
        shown = roll_notes(mine)
        top = rate / 2
        octaves = np.log2(top / min(_LOWEST_HZ, top / 100))
        places = [(100 * float(np.log2(top / hz) / octaves), hz) for hz in _HERTZ if hz < top]
        frequencies = [(p, f"{hz // 1000} kHz" if hz >= 1000 else f"{hz} Hz") for p, hz in places]
        found.append(
            Roll(
                i, name, _words(mine), _drawing(mine, shown, seconds), _strips(stem, stft, rate),
                _beside(frequencies),
                [_datum(note) for note in mine],
            )
        )  # fmt: skip
    return found


def roll_notes(notes: Sequence[SourceNote]) -> plot.RollNotes:
    """Return notes of one source as a picture of a roll takes them."""
    rows = [(n.onset, n.offset, n.pitch, n.velocity / _LOUDEST) for n in notes]
    return plot.rolled(rows, {n.pitch: n.name for n in notes if n.drum})


def time_axis(seconds: float) -> str:
    """Return even times below a roll, a round step apart, as SVG."""
    step = next((s for s in _TICK_SECONDS if seconds / s <= _MOST_TICKS), _TICK_SECONDS[-1])
    times = np.arange(0, seconds, step)
    return "".join(
        f'<svg class="tick{" odd" if i % 2 else ""}" x="{100 * t / seconds:.3f}%" overflow="visible">'
        f'<path d="M0.5 0V5"/><text x="0" y="17">{plot.clock(float(t))}</text></svg>'
        for i, t in enumerate(times)
    )


def _datum(note: SourceNote) -> list[float]:
    onset, offset = round(note.onset, 4), round(note.offset, 4)
    return [onset, offset, note.pitch, note.velocity, int(note.drum)]


def _words(notes: Sequence[SourceNote]) -> str:
    count = len(notes)
    if notes[0].drum:
        return counted(count, "stroke")
    words = counted(count, "note")
    low, high = (pick(notes, key=lambda n: n.pitch) for pick in (min, max))
    return f"{words}, {low.name}" + ("" if low.pitch == high.pitch else f" to {high.name}")


def _drawing(notes: Sequence[SourceNote], shown: plot.RollNotes, seconds: float) -> str:
    """Return the roll: a row a key, the highest first, one unit high."""
    low, high = plot.key_range(shown)
    height, parts = high - low, []
    for key in range(int(np.ceil(low)), int(high) + 1):
        if key % 12 in _BLACK and not shown.drums:
            parts.append(
                f'<rect class="black" y="{high - key - 0.5:g}" width="{seconds:.4f}" height="1"/>'
            )
    for note, row in zip(notes, shown.rows, strict=True):
        opacity = _LEAST_OPACITY + (1 - _LEAST_OPACITY) * note.velocity / _LOUDEST
        parts.append(
            f'<rect class="note" x="{note.onset:.4f}" y="{high - row - 0.45:g}" height="0.9" '
            f'width="{max(note.offset - note.onset, 0.02):.4f}" opacity="{opacity:.2f}">'
            f"<title>{html.escape(note.name)}, {_exact(note.onset)}, "
            f"{note.level_db:.0f} dB</title></rect>"
        )
    names = [(100 * (high - place) / height, name) for place, name in plot.key_labels(shown)]
    return (
        f'<svg viewBox="0 0 {seconds:.4f} {height:g}" preserveAspectRatio="none">'
        f"{''.join(parts)}</svg>{_beside(names)}"
    )


def _beside(names: Sequence[tuple[float, str]]) -> str:
    """Return names at heights in per cent, as a drawing over another that is stretched.

    Those at its edges are moved in, so that they are not cut off.
    """
    texts = "".join(
        f'<text x="5" y="{min(max(y, _EDGE), 100 - _EDGE):.2f}%">{html.escape(name)}</text>'
        for y, name in names
    )
    return f'<svg class="names">{texts}</svg>'


def _exact(seconds: float) -> str:
    return f"{int(seconds // 60)}:{seconds % 60:05.2f}"


def _strips(stem: plot.Overview, stft: STFT, rate: int) -> dict[str, str]:
    try:
        return {
            theme: base64.b64encode(plot.png(plot.strip(stem, stft, rate, theme), _DPI)).decode()
            for theme in plot.THEMES
        }
    except MissingExtraError:
        return {}
