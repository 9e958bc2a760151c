"""A few seconds of music, computed, to try the studio with: a bass, a harp-like voice, a shaker."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from audionmf.io.audio import Audio

__all__ = ["NAME", "sample"]

NAME = "three voices.wav"

_RATE = 22_050
_BEAT = 0.5
_BASS = (43, 43, 50, 48, 41, 41, 48, 50)
_MELODY = (67, 71, 74, 79, 76, 74, 71, 67, 65, 69, 72, 77, 76, 72, 71, 74)


def sample() -> Audio:
    """Make the sample: eight seconds in stereo at 22050 Hz, the same each time."""
    n_samples = round(2 * len(_BASS) * _BEAT * _RATE)
    bass, melody, shaker = (np.zeros(n_samples + _RATE) for _ in range(3))
    for beat, note in enumerate(_BASS):
        _add(bass, 2 * beat * _BEAT, _note(note, 0.95, decay=1.5, partials=4))
    for beat, note in enumerate(_MELODY):
        _add(melody, (beat + 0.02) * _BEAT, _note(note, 0.8, decay=5.0, partials=7))
    noise = np.random.default_rng(3)
    for beat in range(2 * len(_MELODY)):
        hit = noise.standard_normal(_RATE // 8)
        seconds = np.arange(len(hit)) / _RATE
        brighter = np.diff(hit, prepend=0.0) * np.exp(-45 * seconds)
        _add(shaker, beat * _BEAT / 2, brighter * (0.10 if beat % 2 else 0.16))
    left = 0.34 * bass + 0.12 * melody + 0.5 * shaker
    right = 0.30 * bass + 0.22 * melody + 0.35 * shaker
    return Audio(np.stack([left, right])[:, :n_samples].astype(np.float32), _RATE)


def _note(midi: int, length: float, *, decay: float, partials: int) -> NDArray[np.float64]:
    seconds = np.arange(round(length * _RATE)) / _RATE
    hertz = 440 * 2 ** ((midi - 69) / 12)
    tone = sum(
        np.sin(2 * np.pi * hertz * k * seconds)
        / k**1.3
        * np.exp(-decay * (0.6 + 0.4 * k) * seconds)
        for k in range(1, partials + 1)
    )
    attack = np.minimum(1, seconds / 0.008)
    release = np.minimum(1, (length - seconds) / 0.05)
    voiced: NDArray[np.float64] = tone * attack * release
    return voiced


def _add(track: NDArray[np.float64], start: float, sound: NDArray[np.float64]) -> None:
    first = round(start * _RATE)
    track[first : first + len(sound)] += sound
