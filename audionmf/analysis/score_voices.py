"""Voices of a score: what stands for a note, an attack, a stroke, and when each may sound."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from audionmf.sources.score import Part, Score

__all__ = ["EXTRA_KEYS", "Gates", "Voice", "bends_of", "sounding_span", "stroke_span", "voices_of"]

Matrix = NDArray[np.floating[Any]]

Kind = Literal["note", "attack", "stroke"]
_BEFORE_SECONDS = 0.05
_AFTER_SECONDS = 0.12
_RELEASE_SECONDS = 0.25
_RELEASE_DECAY = 0.1
_ATTACK_SECONDS = 0.12

_STROKES = ((0.05, 0.12, 0.06), (0.025, 1.0, 0.25), (-0.08, 1.5, 0.6))
"""Of each template of a drum: how long before the onset it starts, how long after it ends, and the
time constant that its activation starts from, in seconds."""

_BENDS = (-30.0, 0.0, 30.0)
"""How far beside its key a note that can be bent may sound, in cents: a voice for each."""

_MOST_SHARED = 0.2
"""Only who plays one note at a time can bend it: largest share of the notes that overlaps the next."""

_LOWEST_BENT = 48
"""Below it the partials are so close that bent notes would cover all frequencies, and any sound."""
EXTRA_KEYS = 2


@dataclass(frozen=True)
class Voice:
    """What a component of an analysis with a score stands for.

    Parameters
    ----------
    part : int
        Index of the part.
    kind : {"note", "attack", "stroke"}
        A key of a pitched part, the attacks of a part, or a template of a drum.
    pitch : int
        The MIDI key; -1 for attacks.
    layer : int, default 0
        Which of the templates of a drum, or which of the bends of a note.
    """

    part: int
    kind: Kind
    pitch: int
    layer: int = 0


def voices_of(
    score: Score, *, further: int = 0, bends: Sequence[tuple[float, ...]] = ()
) -> list[Voice]:
    """Return the components of an analysis with a score, in their order.

    Parameters
    ----------
    score : Score
        The notes.
    further : int, default 0
        Also the keys between those that a part has, and so many below and above.
    bends : sequence of tuple of float, optional
        For each part, how far beside its keys it may sound, in cents; otherwise the notes tell.
    """
    voices: list[Voice] = []
    by_part = bends or [bends_of(part) for part in score.parts]
    for j, part in enumerate(score.parts):
        keys = {note.pitch for note in part.notes if not note.drum}
        drums = sorted({note.pitch for note in part.notes if note.drum})
        if keys:
            if further:
                low, high = max(0, min(keys) - further), min(127, max(keys) + further)
                keys = set(range(low, high + 1))
            voices += [
                Voice(j, "note", key, i)
                for key in sorted(keys)
                for i, bend in enumerate(by_part[j])
                if key >= _LOWEST_BENT or bend == 0
            ]
            voices.append(Voice(j, "attack", -1))
        voices += [
            Voice(j, "stroke", key, layer) for key in drums for layer in range(len(_STROKES))
        ]
    return voices


def bends_of(part: Part) -> tuple[float, ...]:
    """Return how far beside its key a note of a part may sound, in cents."""
    notes = [note for note in part.notes if not note.drum]
    later = sorted(notes, key=lambda note: note.onset)
    shared = sum(max(0.0, a.end - b.onset) for a, b in pairwise(later))
    return _BENDS if shared < _MOST_SHARED * sum(n.end - n.onset for n in notes) else (0.0,)


class Gates:
    """When voices may sound: spans in seconds, each full until a moment and then dying away."""

    def __init__(self, score: Score, voices: Sequence[Voice]) -> None:
        rows = []
        for v, voice in enumerate(voices):
            rows += [(v, *span) for span in _spans(score.parts[voice.part], voice)]
        self._spans = np.array(rows, np.float64).reshape(-1, 5)

    def add(self, spans: Sequence[tuple[float, float, float, float, float]]) -> None:
        """Add spans: voice, start, until when it is full, end, time constant of the decay."""
        self._spans = np.concatenate([self._spans, np.array(spans, np.float64).reshape(-1, 5)])

    def used(self) -> NDArray[np.int64]:
        """Return the voices that have spans."""
        return np.unique(self._spans[:, 0]).astype(np.int64)

    def keep(self, voices: NDArray[np.int64]) -> None:
        """Leave out all voices but these, all of which others are not used."""
        self._spans[:, 0] = np.searchsorted(voices, self._spans[:, 0])

    def at(self, first: int, n: int, frame_seconds: float, n_voices: int) -> NDArray[np.float32]:
        """Return the gates of some frames, (n, n_voices), 0 where a voice is silent, else to 1."""
        G = np.zeros((n, n_voices), np.float32)
        starts = np.ceil(self._spans[:, 1] / frame_seconds).astype(np.int64) - first
        stops = np.floor(self._spans[:, 3] / frame_seconds).astype(np.int64) + 1 - first
        for i in np.flatnonzero((starts < n) & (stops > 0)):
            a, b = max(0, int(starts[i])), min(n, int(stops[i]))
            voice, _, full, _, decay = self._spans[i]
            times = np.arange(first + a, first + b) * frame_seconds
            value = np.exp(-np.maximum(times - full, 0) / decay).astype(np.float32)
            G[a:b, int(voice)] = np.maximum(G[a:b, int(voice)], value)
        return G


def _spans(part: Part, voice: Voice) -> Iterator[tuple[float, float, float, float]]:
    """Yield the spans of a voice: start, until when it is full, end, time constant."""
    for note in part.notes:
        if voice.kind == "stroke":
            if note.drum and note.pitch == voice.pitch:
                yield stroke_span(note.onset, voice.layer)
        elif voice.kind == "attack":
            if not note.drum:
                full = note.onset + _ATTACK_SECONDS
                yield note.onset - _BEFORE_SECONDS, full, full, 1.0
        elif not note.drum and note.pitch == voice.pitch:
            yield sounding_span(note.onset, note.end)


def stroke_span(onset: float, layer: int) -> tuple[float, float, float, float]:
    """Return the span of a stroke: start, until when it is full, end, time constant."""
    before, after, decay = _STROKES[layer]
    return onset - before, onset, onset + after, decay


def sounding_span(onset: float, end: float) -> tuple[float, float, float, float]:
    """Return the span of a note, likewise."""
    full = end + _AFTER_SECONDS
    return onset - _BEFORE_SECONDS, full, full + _RELEASE_SECONDS, _RELEASE_DECAY
