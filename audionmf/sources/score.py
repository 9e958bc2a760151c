"""Scores: a MIDI file becomes parts of notes, and is brought to the clock of a recording.

A part is what becomes a stem: a track of the file, a channel, or what lies above or below a pitch.
`read_score` reads Standard MIDI files of strangers: it looks at nothing but notes, names, programs,
tempo and the sustain pedal, and refuses what is too large or damaged.

A score has a clock of its own; an `Alignment` says how it was brought to that of a recording.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from audionmf.errors import ParameterError, ScoreError
from audionmf.io.control import read_small
from audionmf.io.files import StrPath, require_file

__all__ = [
    "Alignment",
    "Note",
    "Part",
    "Score",
    "SplitBy",
    "key_hertz",
    "parse_pitch",
    "read_score",
]

SplitBy = Literal["track", "channel"]

_MAX_BYTES = 1 << 22
_MAX_PARTS = 256
_MAX_NOTES = 100_000
_MAX_PARTS = 256
_DRUM_CHANNEL = 9
_PEDAL = 64
_DEFAULT_TEMPO = 500_000

_PITCH = re.compile(r"([A-Ga-g])([#♯b♭]?)(-?\d{1,2})")
_STEPS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}

_FAMILIES = {
    "piano": "grand|bright|electric grand|honky-tonk|electric|electric|harpsichord|clavinet",
    "": "celesta|glockenspiel|music box|vibraphone|marimba|xylophone|tubular bells|dulcimer",
    "organ": "drawbar|percussive|rock|church|reed|accordion|harmonica|tango accordion",
    "guitar": "nylon|steel|jazz|clean|muted|overdriven|distorted|harmonic",
    "bass": "acoustic|fingered|picked|fretless|slap|slap|synth|synth",
    "strings": "violin|viola|cello|contrabass|tremolo strings|pizzicato strings|harp|timpani",
    "ensemble": "strings|slow strings|synth strings|synth strings|choir|voice|synth voice|hit",
    "brass": "trumpet|trombone|tuba|muted trumpet|horn|brass|synth brass|synth brass",
    "reed": "soprano sax|alto sax|tenor sax|baritone sax|oboe|english horn|bassoon|clarinet",
    "pipe": "piccolo|flute|recorder|pan flute|bottle|shakuhachi|whistle|ocarina",
    "lead": "square|sawtooth|calliope|chiff|charang|voice|fifths|bass",
    "pad": "new age|warm|polysynth|choir|bowed|metallic|halo|sweep",
    "effect": "rain|soundtrack|crystal|atmosphere|brightness|goblins|echoes|sci-fi",
    "ethnic": "sitar|banjo|shamisen|koto|kalimba|bagpipe|fiddle|shanai",
    "percussive": "bell|agogo|steel drums|woodblock|taiko|tom|synth drum|reverse cymbal",
    "sound": "fret noise|breath|seashore|bird|telephone|helicopter|applause|gunshot",
}
"""General MIDI: families of eight programs each, and how the eight are called."""

_WHOLE_NAMES = frozenset({"", "strings", "brass", "reed", "pipe", "ethnic", "percussive"})


@dataclass(frozen=True)
class Alignment:
    """How a score was brought to the clock of a recording.

    A time t of the score is ``shift + stretch · t`` in the recording, and where the tempo wavers,
    what `drift` says more.

    Parameters
    ----------
    shift : float, default 0
        In seconds.
    stretch : float, default 1
        More than 1 where the recording is slower than the score.
    drift : tuple of (float, float), default ()
        Times of the recording and what is added there, in seconds, in between interpolated; empty
        for a steady tempo.
    """

    shift: float = 0.0
    stretch: float = 1.0
    drift: tuple[tuple[float, float], ...] = ()

    def __call__(self, seconds: float) -> float:
        """Return the time in the recording of a time in the score."""
        return float(self.times(np.array([seconds]))[0])

    def times(self, seconds: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the times in the recording of times in the score, of any shape."""
        times: NDArray[np.float64] = self.shift + self.stretch * seconds
        if self.drift:
            places, offsets = np.array(self.drift).T
            times = times + np.interp(times, places, offsets)
        return times

    def to_text(self) -> str:
        """Say it in a line."""
        if self == Alignment():
            return "the score fits as it is"
        parts = [f"score moved by {self.shift:+.2f} s, stretched by {self.stretch:.3f}"]
        if self.drift:
            most = max(abs(offset) for _, offset in self.drift)
            parts.append(f"and followed where the tempo wavers, by up to {most:.2f} s")
        return ", ".join(parts)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that go into JSON."""
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class Note:
    """A note of a score.

    Parameters
    ----------
    onset, offset : float
        Where the key goes down and up, in seconds.
    pitch : int
        MIDI key, 0 to 127; 69 is A4. Of a drum, which drum.
    velocity : int
        1 to 127.
    end : float
        Until when it sounds at least: the offset, or later, where the sustain pedal holds it.
    drum : bool, default False
        Whether it is a stroke on channel 10, where keys are drums.
    """

    onset: float
    offset: float
    pitch: int
    velocity: int
    end: float
    drum: bool = False


@dataclass(frozen=True)
class Part:
    """The notes of one source.

    Parameters
    ----------
    name : str
        What the stem will be called.
    notes : tuple of Note
        In the order of their onsets.
    program : int
        General MIDI program, from 0.
    """

    name: str
    notes: tuple[Note, ...]
    program: int = 0


@dataclass(frozen=True)
class Score:
    """What is played by whom and when.

    Parameters
    ----------
    parts : tuple of Part
        At least one, of different names.
    path : str, default ""
        The file; empty if there is none.
    alignment : Alignment, default as it is
        How it was moved since it was read.
    """

    parts: tuple[Part, ...]
    path: str = ""
    alignment: Alignment = Alignment()

    @property
    def names(self) -> list[str]:
        """The names of the parts."""
        return [part.name for part in self.parts]

    @property
    def notes(self) -> list[Note]:
        """The notes of all parts."""
        return [note for part in self.parts for note in part.notes]

    def moved(self, alignment: Alignment) -> Score:
        """Return the score with its times moved to another clock."""
        parts = []
        for part in self.parts:
            old = np.array([(note.onset, note.offset, note.end) for note in part.notes])
            new = alignment.times(old).tolist()
            notes = [
                dataclasses.replace(
                    note, onset=onset, offset=max(onset, offset), end=max(onset, end)
                )
                for note, (onset, offset, end) in zip(part.notes, new, strict=True)
            ]
            parts.append(dataclasses.replace(part, notes=tuple(notes)))
        return dataclasses.replace(self, parts=tuple(parts), alignment=alignment)

    def within(self, seconds: float) -> Score:
        """Return the score without the notes that lie outside a recording of so many seconds.

        Parts stay, with no notes if none is left.

        Raises
        ------
        ScoreError
            If no note is left at all.
        """
        parts = [
            dataclasses.replace(
                part, notes=tuple(n for n in part.notes if n.end > 0 and n.onset < seconds)
            )
            for part in self.parts
        ]
        if not any(part.notes for part in parts):
            raise ScoreError(
                f"none of the notes of {self.path!r} is within the {seconds:.1f} s of the recording"
            )
        return dataclasses.replace(self, parts=tuple(parts))

    def split(self, pitch: int) -> Score:
        """Return the score with pitched parts split in two: notes from `pitch` upward, and below.

        A single part becomes "high" and "low"; of several, "NAME high" and "NAME low". A part that
        lies on one side keeps its name, and so do drums.
        """
        parts: list[Part] = []
        for part in self.parts:
            high = tuple(n for n in part.notes if n.drum or n.pitch >= pitch)
            low = tuple(n for n in part.notes if not n.drum and n.pitch < pitch)
            if not (high and low):
                parts.append(part)
                continue
            prefix = "" if len(self.parts) == 1 else f"{part.name} "
            for name, notes in (("high", high), ("low", low)):
                parts.append(dataclasses.replace(part, name=prefix + name, notes=notes))
        return dataclasses.replace(self, parts=_named_apart(parts))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that go into JSON."""
        return {
            "path": self.path,
            "alignment": self.alignment.to_dict(),
            "parts": [
                {
                    "name": part.name,
                    "program": part.program,
                    "notes": [list(dataclasses.astuple(note)) for note in part.notes],
                }
                for part in self.parts
            ],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Score:
        """Make a score of what `to_dict` gave.

        Raises
        ------
        ScoreError
            If that is not what it is.
        """
        try:
            parts = [
                Part(str(p["name"]), tuple(_note(*n) for n in p["notes"]), int(p["program"]))
                for p in values["parts"]
            ]
            moved = values["alignment"]
            drift = tuple((float(place), float(offset)) for place, offset in moved["drift"])
            alignment = Alignment(float(moved["shift"]), float(moved["stretch"]), drift)
            path = str(values["path"])
        except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
            raise ScoreError("what is kept of the score makes no sense") from error
        return cls(tuple(parts), path, alignment)


def _note(onset: float, offset: float, pitch: int, velocity: int, end: float, drum: bool) -> Note:
    times = [float(seconds) for seconds in (onset, offset, end)]
    keys = [int(pitch), int(velocity)]
    if not (np.isfinite(times).all() and all(0 <= key <= 127 for key in keys)):
        raise ValueError("a note that no score has")
    return Note(times[0], times[1], keys[0], keys[1], times[2], bool(drum))


def parse_pitch(text: str | int) -> int:
    """Return the MIDI key of a pitch such as "C4" (60), "F#3" or "Bb2", or of a number.

    Raises
    ------
    ParameterError
        If it is no pitch from 0 (C-1) to 127 (G9).
    """
    key = text if isinstance(text, int) and not isinstance(text, bool) else -1
    if isinstance(text, str):
        if match := _PITCH.fullmatch(text):
            letter, sign, octave = match.groups()
            shift = {"": 0, "#": 1, "♯": 1, "b": -1, "♭": -1}[sign]
            key = 12 * (int(octave) + 1) + _STEPS[letter.upper()] + shift
        elif text.isascii() and text.isdigit():
            key = int(text[:4])
    if not 0 <= key <= 127:
        raise ParameterError(f"a pitch is written like C4, F#3 or Bb2, or 0 to 127, not {text!r}")
    return key


def key_hertz(pitch: float) -> float:
    """Return the frequency of a MIDI key in Hz; A4, key 69, is 440 Hz."""
    return float(440.0 * 2 ** ((pitch - 69) / 12))


def read_score(
    path: StrPath, *, split: SplitBy = "track", split_at: str | int | None = None
) -> Score:
    """Read a Standard MIDI file.

    Parameters
    ----------
    path : path
        The file, at most 4 MiB and 100,000 notes.
    split : {"track", "channel"}, default "track"
        What becomes a part: each track, or each MIDI channel. Where one track holds all notes, and
        several channels, the channels become parts either way.
    split_at : str or int, optional
        A pitch such as "C4": pitched parts are split in two there, see `Score.split`.

    Returns
    -------
    Score
        Parts are called like their track. Without a name: by the General MIDI program and the
        number of the track or channel. Names that are there twice get numbers too.

    Raises
    ------
    FileNotFoundError, AudioReadError
        If there is no such file, or it may not be read.
    ScoreError
        If it is no MIDI file, too large or damaged, or holds no notes.
    ParameterError
        If `split` or `split_at` is wrong.
    """
    if split not in ("track", "channel"):
        raise ParameterError(f"a score is split by 'track' or 'channel', not {split!r}")
    at = None if split_at is None else parse_pitch(split_at)
    content = read_small(require_file(path), _MAX_BYTES)
    if content is None:
        raise ScoreError(
            f"{str(path)!r} is larger than {_MAX_BYTES >> 20} MiB; a score is not that long"
        )
    try:
        tracks = _parse(content)
    except _DamagedError as error:
        raise ScoreError(f"{str(path)!r} cannot be read as a MIDI file: {error}") from None
    score = Score(_parts(tracks, split, str(path)), str(path))
    if len(score.parts) > _MAX_PARTS:
        raise ScoreError(f"{str(path)!r} has {len(score.parts)} parts; {_MAX_PARTS} are the most")
    return score if at is None else score.split(at)


# ----------------------------------------------------------------------------------------------
# Standard MIDI files
# ----------------------------------------------------------------------------------------------


class _DamagedError(Exception):
    """The bytes are not what a Standard MIDI file has."""


@dataclass(frozen=True)
class _Event:
    """Something that happens in a channel: ``status`` without its channel."""

    tick: int
    status: int
    channel: int
    first: int
    second: int


@dataclass(frozen=True)
class _Track:
    name: str
    events: list[_Event]
    end: int
    seconds: Callable[[int], float]


class _Bytes:
    """Reads a stretch of bytes from its start."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def take(self, n: int) -> bytes:
        if n > self.left:
            raise _DamagedError("it is cut off")
        self._at += n
        return self._data[self._at - n : self._at]

    def byte(self) -> int:
        return self.take(1)[0]

    def number(self) -> int:
        """Read a number of seven bits a byte; four bytes at most."""
        value = 0
        for _ in range(4):
            byte = self.byte()
            value = value << 7 | byte & 0x7F
            if byte < 0x80:
                return value
        raise _DamagedError("it has a number that is too long")


def _parse(data: bytes) -> list[_Track]:
    if data[:4] == b"RIFF" and data[8:12] == b"RMID":
        data = data[20:]
    reader = _Bytes(data)
    if data[:4] != b"MThd":
        raise _DamagedError("it does not start like one")
    _, header = _chunk(reader)
    if len(header) < 6:
        raise _DamagedError("its header is cut off")
    kind, _, division = (int.from_bytes(header[i : i + 2], "big") for i in (0, 2, 4))
    if kind > 1:
        raise _DamagedError(f"it is of format {kind}; export it as format 1 or 0")
    chunks = []
    while reader.left:
        name, body = _chunk(reader)
        if name == b"MTrk":
            chunks.append(_track(_Bytes(body)))
    tempos = sorted((tick, tempo) for _, _, _, found in chunks for tick, tempo in found)
    clock = _clock(tempos, division)
    return [_Track(name, events, end, clock) for name, events, end, _ in chunks]


def _chunk(reader: _Bytes) -> tuple[bytes, bytes]:
    head = reader.take(8)
    return head[:4], reader.take(int.from_bytes(head[4:], "big"))


def _track(reader: _Bytes) -> tuple[str, list[_Event], int, list[tuple[int, int]]]:
    """Return name, events, last tick, and where the tempo changes to what."""
    name, tick, status = "", 0, 0
    events: list[_Event] = []
    tempos: list[tuple[int, int]] = []
    while reader.left:
        tick += reader.number()
        first = reader.byte()
        if first in (0xF0, 0xF7):
            reader.take(reader.number())
            status = 0
        elif first == 0xFF:
            kind, text = reader.byte(), reader.take(reader.number())
            if kind == 0x2F:
                break
            if kind == 0x03 and not name:
                name = _text(text)
            elif kind == 0x51 and len(text) == 3:
                tempos.append((tick, int.from_bytes(text, "big")))
        elif first >= 0xF0:
            raise _DamagedError(f"it has an event {first:#04x}, which no file has")
        else:
            if first >= 0x80:
                status, first = first, reader.byte()
            if not status:
                raise _DamagedError("it has data without a status")
            second = 0 if status >> 4 in (0xC, 0xD) else reader.byte()
            if first > 127 or second > 127:
                raise _DamagedError("it has data that are no data")
            events.append(_Event(tick, status & 0xF0, status & 0x0F, first, second))
    return name, events, tick, tempos


def _text(raw: bytes) -> str:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _clock(tempos: list[tuple[int, int]], division: int) -> Callable[[int], float]:
    """Return what turns ticks into seconds."""
    if division & 0x8000:  # frames a second, negative, and ticks a frame
        rate = (256 - (division >> 8)) * (division & 0xFF)
        if not rate:
            raise _DamagedError("its clock stands still")
        return lambda tick: tick / rate
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


def _parts(tracks: list[_Track], split: SplitBy, path: str) -> tuple[Part, ...]:
    if sum(e.status == 0x90 and e.second > 0 for t in tracks for e in t.events) > _MAX_NOTES:
        raise ScoreError(f"{path!r} holds more than {_MAX_NOTES:,} notes; split it")
    found = {t: _notes(track) for t, track in enumerate(tracks)}
    found = {t: notes for t, notes in found.items() if notes}
    if not found:
        raise ScoreError(f"{path!r} holds no notes")
    by_channel = split == "channel" or len(found) == 1
    groups: dict[int, list[tuple[int, int, Note]]] = {}
    for t, notes in found.items():
        for channel, program, note in notes:
            groups.setdefault(channel if by_channel else t, []).append((t, program, note))
    if by_channel:
        groups = dict(sorted(groups.items()))
    parts = []
    for number, members in groups.items():
        members.sort(key=lambda member: (member[2].onset, member[2].pitch))
        holders = {t for t, _, _ in members}
        own = len(holders) == 1 and (not by_channel or len(groups) == 1 or _alone(groups, holders))
        name = tracks[members[0][0]].name if own else ""
        program, drum = members[0][1], members[0][2].drum
        name = name or f"{'drums' if drum else _program_name(program)} {number + 1}"
        parts.append(Part(name, tuple(note for _, _, note in members), program))
    if len(parts) > _MAX_PARTS:
        raise ScoreError(f"{path!r} has {len(parts)} parts with notes; {_MAX_PARTS} are the most")
    return _named_apart(parts)


def _alone(groups: dict[int, list[tuple[int, int, Note]]], holders: set[int]) -> bool:
    """Tell whether no other group has notes in this track: its name is then the group's."""
    return sum(bool(holders & {t for t, _, _ in members}) for members in groups.values()) == 1


def _program_name(program: int) -> str:
    family = list(_FAMILIES)[program // 8]
    name = _FAMILIES[family].split("|")[program % 8]
    return name if family in _WHOLE_NAMES else f"{name} {family}"


def _named_apart(parts: Iterable[Part]) -> tuple[Part, ...]:
    """Return parts of which each has a name of its own: those that share one get numbers."""
    parts = list(parts)
    names = [part.name for part in parts]
    taken, result = set(names), []
    for part, name in zip(parts, names, strict=True):
        unique, count = name, 1
        while names.count(name) > 1 and unique in taken:
            unique, count = f"{name} {count}", count + 1
        taken.add(unique)
        result.append(dataclasses.replace(part, name=unique))
    return tuple(result)


def _notes(track: _Track) -> list[tuple[int, int, Note]]:
    """Return channel, program and note of what a track plays."""
    sounding: dict[tuple[int, int], list[tuple[int, int, int]]] = {}
    programs = dict.fromkeys(range(16), 0)
    strokes: list[tuple[int, int, int, int, int, int]] = []  # channel, program, key, velocity, …

    def close(channel: int, key: int, tick: int) -> None:
        start, velocity, program = sounding[channel, key].pop(0)
        strokes.append((channel, program, key, velocity, start, tick))

    for event in track.events:
        key = event.channel, event.first
        if event.status == 0xC0:
            programs[event.channel] = event.first
        elif event.status == 0x90 and event.second:
            begun = (event.tick, event.second, programs[event.channel])
            sounding.setdefault(key, []).append(begun)
        elif event.status in (0x80, 0x90) and sounding.get(key):
            close(*key, event.tick)
    for (channel, pitch), begun_notes in sounding.items():
        for _ in range(len(begun_notes)):
            close(channel, pitch, track.end)
    pedals = {c: _pedal(track.events, c, track.end) for c in {s[0] for s in strokes}}
    notes = []
    for channel, program, pitch, velocity, start, stop in strokes:
        held = next((b for a, b in pedals[channel] if a <= stop < b), stop)
        onset, offset, end = (track.seconds(tick) for tick in (start, stop, held))
        note = Note(onset, offset, pitch, velocity, end, channel == _DRUM_CHANNEL)
        notes.append((channel, program, note))
    return _without_overlaps(notes)


def _pedal(events: list[_Event], channel: int, end: int) -> list[tuple[int, int]]:
    """Return from which tick to which the sustain pedal of a channel is down."""
    spans, down = [], None
    for event in events:
        if (event.status, event.channel, event.first) != (0xB0, channel, _PEDAL):
            continue
        if event.second >= 64 and down is None:
            down = event.tick
        elif event.second < 64 and down is not None:
            spans.append((down, event.tick))
            down = None
    return spans if down is None else [*spans, (down, end)]


def _without_overlaps(notes: list[tuple[int, int, Note]]) -> list[tuple[int, int, Note]]:
    """End what the pedal holds where the same key is struck again."""
    following: dict[tuple[int, int], float] = {}
    result = []
    for channel, program, note in sorted(notes, key=lambda n: n[2].onset, reverse=True):
        again = following.get((channel, note.pitch), np.inf)
        end = max(note.offset, min(note.end, again))
        following[channel, note.pitch] = note.onset
        result.append((channel, program, dataclasses.replace(note, end=end)))
    return result[::-1]
