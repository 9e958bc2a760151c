"""When a source sounds, between which frequencies, and how loud.

A gate with two thresholds, so that it does not flutter: it opens where the stem comes within 20 dB of
its own loudness, and shuts where it has been 30 dB below for a tenth of a second.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from audionmf.io.audio import Source
from audionmf.notes.events import Activity

__all__ = ["sounding"]

_FRAME_SECONDS = 0.01
_WINDOW_FRAMES = 2
_OPEN_DB, _SHUT_DB = -20.0, -30.0
_SILENT_DB = -90.0
_SHUT_FRAMES = 10
_LEAST_FRAMES = 3
_LOUD_PERCENTILE = 98
_OUTSIDE = 0.05


@dataclass(frozen=True)
class _Span:
    first: int
    last: int


def sounding(source: Source, name: str) -> list[Activity]:
    """Return when a source sounds, in order.

    The gate is measured from the level that 2 % of the frames that are not silent exceed; below
    -90 dB of a sine at full scale all is silence. Gaps up to 0.1 s are bridged, and what is shorter
    than 0.03 s is left out.

    Parameters
    ----------
    source : Audio or AudioFile
        The stem, read twice, block by block, at its own rate.
    name : str
        The source.

    Returns
    -------
    list of Activity
        Empty for silence.
    """
    hop = max(1, round(_FRAME_SECONDS * source.sample_rate))
    powers = np.concatenate([np.square(f).mean(axis=1) for f in _frames(source, hop)])
    levels = 10 * np.log10(2 * powers + 1e-30)
    spans = _spans(levels)
    edges = _edges(source, hop, spans)
    seconds, end = hop / source.sample_rate, source.n_samples / source.sample_rate
    return [
        Activity(
            name, span.first * seconds, min(end, span.last * seconds), low, high,
            float(10 * np.log10(2 * powers[span.first : span.last].mean() + 1e-30)),
        )
        for span, (low, high) in zip(spans, edges, strict=True)
    ]  # fmt: skip


def _frames(source: Source, hop: int) -> Iterator[NDArray[np.float64]]:
    """Yield frames side by side, one channel, shape (n_frames, hop); the last is filled up."""
    held = np.zeros(0)
    for block in source.blocks():
        held = np.concatenate([held, block.mean(axis=0, dtype=np.float64)])
        count = len(held) // hop
        if count:
            yield held[: count * hop].reshape(count, hop)
        held = held[count * hop :]
    if len(held):
        yield np.pad(held, (0, hop - len(held)))[None]


def _spans(levels: NDArray[np.float64]) -> list[_Span]:
    heard = levels[levels > _SILENT_DB]
    if not heard.size:
        return []
    loud = float(np.percentile(heard, _LOUD_PERCENTILE))
    opens, shuts = max(_SILENT_DB, loud + _OPEN_DB), max(_SILENT_DB, loud + _SHUT_DB)
    found: list[_Span] = []
    begun, last = -1, -1
    for t in np.flatnonzero(levels > shuts).tolist():
        if begun >= 0 and t - last > _SHUT_FRAMES:
            found.append(_Span(begun, last + 1))
            begun = -1
        if begun < 0 and levels[t] > opens:
            begun = t
        last = t
    if begun >= 0:
        found.append(_Span(begun, last + 1))
    return [span for span in found if span.last - span.first >= _LEAST_FRAMES]


def _edges(source: Source, hop: int, spans: list[_Span]) -> list[tuple[float, float]]:
    """Return between which frequencies most of the energy of each span lies."""
    if not spans:
        return []
    bins = _WINDOW_FRAMES * hop // 2 + 1
    weights = np.hanning(_WINDOW_FRAMES * hop)
    sums = np.zeros((len(spans), bins))
    owner = np.full(spans[-1].last + 1, -1)
    for i, span in enumerate(spans):
        owner[span.first : span.last] = i
    position, before = 0, np.zeros((1, hop))
    for frames in _frames(source, hop):
        joined = np.concatenate([before, frames])
        windows = np.concatenate([joined[:-1], joined[1:]], axis=1)
        mine = owner[position : position + len(frames)]
        inside = np.flatnonzero(mine >= 0)
        if inside.size:
            spectra = np.abs(np.fft.rfft(windows[inside] * weights)) ** 2
            np.add.at(sums, mine[inside], spectra)
        before, position = frames[-1:], position + len(frames)
    return [_between(row, source.sample_rate / (_WINDOW_FRAMES * hop)) for row in sums]


def _between(powers: NDArray[np.float64], bin_hertz: float) -> tuple[float, float]:
    course = powers.cumsum()
    low, high = np.searchsorted(course, [_OUTSIDE * course[-1], (1 - _OUTSIDE) * course[-1]])
    return float(low * bin_hertz), float(high * bin_hertz)
