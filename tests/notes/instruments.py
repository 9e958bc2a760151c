"""Instruments for tests: they play notes and strokes whose times are known."""

from __future__ import annotations

from collections.abc import Iterable

import mir_eval
import numpy as np
from numpy.typing import NDArray

from audionmf.io.audio import Audio
from audionmf.sources.score import key_hertz

RATE = 22050
Played = tuple[float, float, int]
"""Onset and offset in seconds, and key."""


def harmonic(
    notes: Iterable[Played],
    seconds: float,
    decay: float = 3.0,
    rate: int = RATE,
    attack: float = 0.005,
) -> NDArray[np.float64]:
    """Return six partials for each note, which start within the attack and die away."""
    sound = np.zeros(round(seconds * rate))
    for onset, offset, key in notes:
        first, last = round(onset * rate), min(len(sound), round(offset * rate))
        time = np.arange(last - first) / rate
        envelope = np.minimum(1, time / attack) * np.minimum(1, time[::-1] / 0.02)
        envelope *= np.exp(-decay * time)
        for n in range(1, 7):
            sound[first:last] += envelope * np.sin(2 * np.pi * n * key_hertz(key) * time) / n
    return 0.1 * sound


def bursts(
    times: Iterable[float], seconds: float, rate: int = RATE, colour: str = "bright"
) -> NDArray[np.float64]:
    """Return strokes that die away in 30 ms: noise above 6 kHz, or around 60 Hz."""
    sound, rng = np.zeros(round(seconds * rate)), np.random.default_rng(0)
    time = np.arange(round(0.15 * rate)) / rate
    for at in times:
        stroke = rng.standard_normal(len(time))
        if colour == "bright":
            spectrum = np.fft.rfft(stroke)
            spectrum[np.fft.rfftfreq(len(time), 1 / rate) < 6000] = 0
            stroke = np.fft.irfft(spectrum, len(time))
        else:
            stroke = np.sin(2 * np.pi * 60 * time) + 0.01 * stroke
        first = round(at * rate)
        last = min(len(sound), first + len(time))
        sound[first:last] += (stroke * np.exp(-time / 0.03))[: last - first]
    return 0.2 * sound


def audio(samples: NDArray[np.float64], rate: int = RATE) -> Audio:
    return Audio(samples.astype(np.float32), rate)


def onset_f(true: Iterable[Played], found: Iterable[Played], **options: float | None) -> float:
    """Return the F measure of mir_eval: onsets within 50 ms, pitches within a quarter tone."""
    options.setdefault("offset_ratio", None)
    (times, pitches), (guesses, keys) = (
        (
            np.array([(a, max(b, a + 0.01)) for a, b, _ in notes]).reshape(-1, 2),
            np.array([key_hertz(key) for *_, key in notes]),
        )
        for notes in (list(true), list(found))
    )
    return mir_eval.transcription.precision_recall_f1_overlap(
        times, pitches, guesses, keys, **options
    )[2]
