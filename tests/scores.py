"""Scores for tests, as the bytes of MIDI files, and instruments that play them."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from audionmf.sources.score import Score, key_hertz

Played = tuple[float, float, int]
"""Onset and offset in seconds, and key."""


def number(value: int) -> bytes:
    """Encode a number seven bits at a time."""
    groups = [value & 0x7F]
    while value := value >> 7:
        groups.append(0x80 | value & 0x7F)
    return bytes(reversed(groups))


def chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack(">I", len(body)) + body


def meta(kind: int, content: bytes) -> bytes:
    return bytes((0xFF, kind)) + number(len(content)) + content


def track(events: Sequence[tuple[int, bytes]], name: str = "") -> bytes:
    """Return a track of (tick, message) pairs."""
    body, now = meta(3, name.encode()) if name else b"", 0
    body = number(0) + body if body else b""
    for tick, message in sorted(events, key=lambda event: event[0]):
        body += number(tick - now) + message
        now = tick
    return chunk(b"MTrk", body + number(0) + meta(0x2F, b""))


def strokes(notes: Sequence[Played], channel: int = 0, velocity: int = 90) -> list:
    """Return note-ons and note-offs; a tick is a millisecond at the division of `midi`."""
    events = []
    for onset, offset, key in notes:
        events.append((round(onset * 1000), bytes((0x90 | channel, key, velocity))))
        events.append((round(offset * 1000), bytes((0x80 | channel, key, 0))))
    return sorted(events, key=lambda event: (event[0], event[1][0]))


def midi(*tracks: bytes, division: int = 500, kind: int = 1) -> bytes:
    """Return a MIDI file; at 120 beats a minute a tick is a millisecond."""
    return chunk(b"MThd", struct.pack(">HHH", kind, len(tracks), division)) + b"".join(tracks)


def band(**parts: Sequence[Played]) -> bytes:
    """Return a MIDI file with a track for each part, drums on channel 10."""
    channels = {name: 9 if name == "drums" else i for i, name in enumerate(parts)}
    return midi(*(track(strokes(notes, channels[n]), n) for n, notes in parts.items()))


def play(score: Score, seconds: float, rate: int, strengths: dict[str, Sequence[float]]) -> dict:
    """Return what each part sounds like: partials of given strengths, or bursts of noise."""
    rng, stems = np.random.default_rng(0), {}
    for part in score.parts:
        stem = np.zeros(round(seconds * rate))
        for note in part.notes:
            start, stop = round(note.onset * rate), min(len(stem), round(note.offset * rate))
            stem[start:stop] += _note(
                stop - start, note.pitch, note.drum, rate, rng, strengths[part.name]
            )
        stems[part.name] = 0.1 * stem
    return stems


def _note(
    n: int, key: int, drum: bool, rate: int, rng: np.random.Generator, strengths: Sequence[float]
) -> NDArray[np.float64]:
    times = np.arange(n) / rate
    if drum:
        return 3 * rng.standard_normal(n) * np.exp(-times / 0.03)
    partials = [(k + 1, s) for k, s in enumerate(strengths) if (k + 1) * key_hertz(key) < rate / 2]
    sound = sum(s * np.sin(2 * np.pi * k * key_hertz(key) * times) for k, s in partials)
    return sound * np.minimum(1, np.minimum(times, times[::-1]) / 0.005) * np.exp(-times)
