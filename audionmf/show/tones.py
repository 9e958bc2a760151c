"""Notes as plain tones, to hear whether they are the ones that are played."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from audionmf.io.audio import Audio
from audionmf.notes.events import SourceNote
from audionmf.sources.score import key_hertz

__all__ = ["tones"]

_RATE = 22050
_PARTIALS = (1.0, 0.45, 0.22, 0.1)
_GAIN = 0.16
_ATTACK, _RELEASE = 0.008, 0.06
_STROKE_SECONDS = 0.15
_KICK = 36


def tones(notes: Sequence[SourceNote], seconds: float) -> Audio:
    """Return notes as tones of four partials that ring off, and strokes as a thud or a rustle.

    Parameters
    ----------
    notes : sequence of SourceNote
        What is played.
    seconds : float
        How long the sound is; what begins later is left out.

    Returns
    -------
    Audio
        One channel at 22050 Hz, at most at full scale; the same notes give the same samples.
    """
    out = np.zeros(max(1, round(seconds * _RATE)))
    for note in notes:
        first = round(note.onset * _RATE)
        x = _GAIN * (note.velocity / 127) ** 2 * (_stroke(note) if note.drum else _tone(note))
        x = x[: max(0, len(out) - first)]
        out[first : first + len(x)] += x
    out /= max(1.0, float(np.abs(out).max()))
    return Audio(out[None].astype(np.float32), _RATE)


def _tone(note: SourceNote) -> NDArray[np.float64]:
    t = np.arange(round((note.offset - note.onset + _RELEASE) * _RATE)) / _RATE
    edge = np.clip(np.minimum(t / _ATTACK, (t[-1:].sum() - t) / _RELEASE), 0, 1)
    x = np.zeros(len(t))
    for p, share in enumerate(_PARTIALS):
        hertz = key_hertz(note.pitch) * (p + 1)
        if hertz < _RATE / 2:
            x += share * np.exp(-t * (0.8 + p)) * np.sin(2 * np.pi * hertz * t)
    return np.asarray(edge * x)


def _stroke(note: SourceNote) -> NDArray[np.float64]:
    t = np.arange(round(_STROKE_SECONDS * _RATE)) / _RATE
    if note.pitch <= _KICK:
        return np.asarray(2 * np.sin(2 * np.pi * 62 * t) * np.exp(-25 * t))
    rustle = np.random.default_rng(note.pitch).uniform(-1, 1, len(t))
    return np.asarray(2 * rustle * np.exp(-45 * t))
