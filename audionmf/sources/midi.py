"""Standard MIDI files, from bytes to what happens in each channel of each track.

Files come from strangers, and from many programs: wrapped into RIFF, with names in the encodings of
their day, with values that are none. What is meant is read; what is damaged is refused.

The layouts are those of the "Standard MIDI Files Specification 1.0" (MIDI Manufacturers Association)
and, for the RIFF around it, of the "Multimedia Programming Interface and Data Specifications 1.0".
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from audionmf.errors import AudioNMFWarning, ScoreError
from audionmf.io.files import one_form

__all__ = ["Event", "Track", "parse_midi"]

_DEFAULT_TEMPO = 500_000
_SMPTE_RATES = {24: Fraction(24), 25: Fraction(25), 29: Fraction(30000, 1001), 30: Fraction(30)}
"""Frames a second by the number in a header; -29 is the drop-frame rate of NTSC video."""
_MAX_NOTES, _MAX_EVENTS = 100_000, 400_000
_KANA = "\u3041", "\u30ff"
_IDEOGRAPHS = "\u4e00", "\u9fff"


class Event(NamedTuple):
    """Something that happens in a channel: ``status`` without its channel."""

    tick: int
    status: int
    channel: int
    first: int
    second: int


@dataclass(frozen=True)
class Track:
    """What one track of a file holds.

    Parameters
    ----------
    name : str
        In Unicode's composed form; empty if there is none.
    events : list of Event
        In their order.
    end : int
        The last tick.
    seconds : callable
        Returns the time of a tick.
    channel_names : mapping of int to str
        How the track calls single channels.
    """

    name: str
    events: list[Event]
    end: int
    seconds: Callable[[int], float]
    channel_names: Mapping[int, str] = field(default_factory=dict)


def parse_midi(data: bytes, path: str) -> list[Track]:
    """Read the tracks of a Standard MIDI file, plain or wrapped into RIFF.

    Parameters
    ----------
    data : bytes
        The whole file.
    path : str
        What messages call it.

    Raises
    ------
    ScoreError
        If it is no MIDI file, or damaged, or holds more than 100,000 notes or 400,000 events.

    Warns
    -----
    AudioNMFWarning
        If it has values over 127, which count as 127.
    """
    try:
        tracks, n_clipped = _parse(_unwrapped(data))
    except _DamagedError as error:
        raise ScoreError(f"{path!r} cannot be read as a MIDI file: {error}") from None
    except _TooLongError as error:
        raise ScoreError(f"{path!r} holds more than {error}; split it") from None
    if n_clipped:
        values = "a value" if n_clipped == 1 else f"{n_clipped} values"
        text = f"{path!r} has {values} over 127, which MIDI does not have; read as 127"
        warnings.warn(AudioNMFWarning(text), stacklevel=3)
    return tracks


class _DamagedError(Exception):
    """The bytes are not what a Standard MIDI file has."""


class _TooLongError(Exception):
    """There is more than anybody plays."""


class _Room:
    """How much a file may still hold in all: too long a one is refused before it is read to its end."""

    def __init__(self) -> None:
        self._notes, self._events = _MAX_NOTES, _MAX_EVENTS

    def take(self, event: Event) -> None:
        self._events -= 1
        self._notes -= event.status == 0x90 and event.second > 0
        if self._notes < 0:
            raise _TooLongError(f"{_MAX_NOTES:,} notes")
        if self._events < 0:
            raise _TooLongError(f"{_MAX_EVENTS:,} events")


class _Bytes:
    """Reads a stretch of bytes from its start."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0
        self.n_clipped = 0

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def take(self, n: int) -> bytes:
        if n > self.left:
            raise _DamagedError("it is cut off")
        self._at += n
        return self._data[self._at - n : self._at]

    def byte(self) -> int:
        if self._at == len(self._data):
            raise _DamagedError("it is cut off")
        self._at += 1
        return self._data[self._at - 1]

    def number(self) -> int:
        """Read a number of seven bits a byte; four bytes at most."""
        value = 0
        for _ in range(4):
            byte = self.byte()
            value = value << 7 | byte & 0x7F
            if byte < 0x80:
                return value
        raise _DamagedError("it has a number that is too long")

    def value(self) -> int:
        """Read what is 0 to 127; more counts as 127, as players have it."""
        byte = self.byte()
        self.n_clipped += byte > 127
        return min(byte, 127)


def _unwrapped(data: bytes) -> bytes:
    """Return the MIDI file in the ``data`` chunk of a RIFF file; others as they are."""
    if data[:4] != b"RIFF" or data[8:12] != b"RMID":
        return data
    at = 12
    while at + 8 <= len(data):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        if data[at : at + 4] == b"data":
            return data[at + 8 : at + 8 + size]
        at += 8 + size + size % 2
    raise _DamagedError("its RIFF has no 'data' chunk")


def _parse(data: bytes) -> tuple[list[Track], int]:
    reader = _Bytes(data)
    if not data:
        raise _DamagedError("it is empty")
    if data[:4] != b"MThd":
        raise _DamagedError("it does not start like one")
    _, header = _chunk(reader)
    if len(header) < 6:
        raise _DamagedError("its header is cut off")
    kind, _, division = (int.from_bytes(header[i : i + 2], "big") for i in (0, 2, 4))
    if kind > 1:
        raise _DamagedError(f"it is of format {kind}; export it as format 1 or 0")
    found, n_clipped, room = [], 0, _Room()
    while reader.left:
        name, body = _chunk(reader)
        if name == b"MTrk":
            stretch = _Bytes(body)
            found.append(_Reader(stretch, room))
            n_clipped += stretch.n_clipped
    clock = _clock(sorted(tempo for track in found for tempo in track.tempos), division)
    tracks = [Track(f.name, f.events, f.tick, clock, f.channel_names) for f in found]
    return tracks, n_clipped


def _chunk(reader: _Bytes) -> tuple[bytes, bytes]:
    head = reader.take(8)
    return head[:4], reader.take(int.from_bytes(head[4:], "big"))


class _Reader:
    """Goes through one track: its name, events, last tick, and where the tempo changes to what."""

    def __init__(self, reader: _Bytes, room: _Room) -> None:
        self.name, self.tick = "", 0
        self.events: list[Event] = []
        self.tempos: list[tuple[int, int]] = []
        self.channel_names: dict[int, str] = {}
        self._prefix: int | None = None
        status = 0
        while reader.left:
            self.tick += reader.number()
            first = reader.byte()
            if first in (0xF0, 0xF7):
                reader.take(reader.number())
                status = 0
            elif first == 0xFF:
                kind, text = reader.byte(), reader.take(reader.number())
                if kind == 0x2F:
                    break
                self._meta(kind, text)
            elif first >= 0xF0:
                raise _DamagedError(f"it has an event {first:#04x}, which no file has")
            else:
                self._prefix = None
                if first >= 0x80:
                    status, first = first, reader.value()
                if not status:
                    raise _DamagedError("it has data without a status")
                second = 0 if status >> 4 in (0xC, 0xD) else reader.value()
                event = Event(self.tick, status & 0xF0, status & 0x0F, first, second)
                room.take(event)
                self.events.append(event)

    def _meta(self, kind: int, text: bytes) -> None:
        if kind == 0x20 and len(text) == 1:
            self._prefix = text[0] & 0x0F
        elif kind in (0x03, 0x04) and self._prefix is not None:
            self.channel_names.setdefault(self._prefix, _text(text))
        elif kind == 0x03 and not self.name:
            self.name = _text(text)
        elif kind == 0x51 and len(text) == 3:
            self.tempos.append((self.tick, int.from_bytes(text, "big")))


def _text(raw: bytes) -> str:
    """Return a name as text of one line; empty if no encoding fits it."""
    text = one_form(_decoded(raw))
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _decoded(raw: bytes) -> str:
    """Decode a name as what programs write: UTF-8, UTF-16, Shift-JIS or the Windows code page."""
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return raw.decode("utf-16", "replace")
    zeros = raw.count(0)
    if zeros and len(raw) % 2 == 0 and zeros >= len(raw) / 2 - 1:
        for first, encoding in ((0, "utf-16-be"), (1, "utf-16-le")):
            if raw[first::2].count(0) > raw[1 - first :: 2].count(0):
                return raw.decode(encoding, "replace")
    for encoding in ("utf-8", "shift-jis", "cp1252"):
        try:
            text = raw.decode(encoding)
        except UnicodeDecodeError:
            continue
        if encoding != "shift-jis" or _japanese(raw, text):
            return text
    return ""


def _japanese(raw: bytes, text: str) -> bool:
    """Tell whether what decodes as Shift-JIS is Japanese, and no European name with accents."""
    kana = any(_KANA[0] <= c <= _KANA[1] for c in text)
    ideographs = sum(_IDEOGRAPHS[0] <= c <= _IDEOGRAPHS[1] for c in text)
    latin = any(c.isascii() and c.isalpha() for c in text)
    common = any(0x80 <= byte < 0xA0 for byte in raw)  # no letter of Europe is there
    return kana or (common and ideographs > latin)


def _clock(tempos: list[tuple[int, int]], division: int) -> Callable[[int], float]:
    """Return what turns ticks into seconds."""
    if division & 0x8000:  # frames a second, negative, and ticks a frame
        frames = 256 - (division >> 8)
        rate = _SMPTE_RATES.get(frames, Fraction(frames)) * (division & 0xFF)
        if not rate:
            raise _DamagedError("its clock stands still")
        return lambda tick: float(tick / rate)
    if not division:
        raise _DamagedError("its clock stands still")
    ticks, seconds, tempo = [0], [0.0], _DEFAULT_TEMPO
    slopes = []
    for tick, following in tempos:
        seconds.append(seconds[-1] + (tick - ticks[-1]) * tempo * 1e-6 / division)
        slopes.append(tempo * 1e-6 / division)
        ticks.append(tick)
        tempo = following
    slopes.append(tempo * 1e-6 / division)
    places = np.array(ticks)

    def clock(tick: int) -> float:
        i = int(np.searchsorted(places, tick, side="right")) - 1
        return seconds[i] + (tick - ticks[i]) * slopes[i]

    return clock
