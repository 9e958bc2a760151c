"""Scores: a MIDI file becomes parts of notes, and is brought to the clock of a recording.

A part is what becomes a stem: a track of the file, a channel, or what lies above or below a pitch.
`read_score` reads Standard MIDI files of strangers: it looks at nothing but notes, names, programs,
tempo and the sustain pedal, and refuses what is too large or damaged.

A score has a clock of its own; an `Alignment` says how it was brought to that of a recording.
"""

from __future__ import annotations

import bisect
import dataclasses
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from audionmf.errors import AudioNMFWarning, ParameterError, ScoreError
from audionmf.io.control import read_small
from audionmf.io.files import StrPath, counted, listed, require_file
from audionmf.sources.midi import Event, Track, parse_midi

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

SplitBy = Literal["track", "channel", "key"]

_MAX_BYTES = 1 << 22
_MAX_PARTS = 256
_DRUM_CHANNEL = 9
_PEDAL = 64

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

_DRUMS = {
    27: "high q|slap|scratch push|scratch pull|sticks|square click|metronome click|metronome bell",
    35: "kick|kick|side stick|snare|clap|snare|low floor tom|hi-hat|high floor tom|hi-hat|low tom",
    46: "hi-hat|low-mid tom|hi-mid tom|crash|high tom|ride|china|ride bell|tambourine|splash",
    56: "cowbell|crash|vibraslap|ride|high bongo|low bongo|conga|conga|low conga|high timbale",
    66: "low timbale|high agogo|low agogo|cabasa|maracas|whistle|whistle|guiro|guiro|claves",
    76: "high woodblock|low woodblock|cuica|cuica|triangle|triangle|shaker|jingle bell|belltree",
    85: "castanets|surdo|surdo",
}
"""General MIDI: drums by their keys, from a first one on; strokes on one instrument are together."""

_DRUM_NAMES = {
    first + i: name for first, names in _DRUMS.items() for i, name in enumerate(names.split("|"))
}

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
        shift, stretch = round(self.shift, 2), round(self.stretch, 3)
        parts = [f"moved by {shift:+.2f} s"] if shift else []  # not by -0.00 s
        if stretch != 1:
            parts.append(f"stretched by {stretch:.3f}")
        if not parts and not self.drift:
            return "the score fits as it is"
        parts = [f"score {', '.join(parts)}"] if parts else ["score in its place"]
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

    def __repr__(self) -> str:
        return f"<Part {self.name!r}: {counted(len(self.notes), 'note')}>"


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

    def __repr__(self) -> str:
        where = f" {self.path!r}" if self.path else ""
        return f"<Score{where}: {counted(len(self.notes), 'note')} of {listed(self.names)}>"

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
    split : {"track", "channel", "key"}, default "track"
        What becomes a part: each track, or each MIDI channel. Where one track holds all notes, and
        several channels, the channels become parts either way. With "key", drums are parted into
        the single drums, by their General MIDI names (``kick``, ``snare``, ``hi-hat`` for all its
        strokes, …), what has a pitch into tracks; with "track" this is so where the score holds
        one part of drums and nothing else.
    split_at : str or int, optional
        A pitch such as "C4": pitched parts are split in two there, see `Score.split`.

    Returns
    -------
    Score
        Parts are called like their track. Without a name: by the General MIDI program and the
        number of the track or channel. Names that are there twice get numbers too. The program and
        the pedal of a channel hold in every track that does not set its own.

    Raises
    ------
    FileNotFoundError, AudioReadError
        If there is no such file, or it may not be read.
    ScoreError
        If it is no MIDI file, too large or damaged, or holds no notes.
    ParameterError
        If `split` or `split_at` is wrong.

    Warns
    -----
    AudioNMFWarning
        If values had to be mended, or there is nothing to be split at `split_at`.
    """
    if split not in ("track", "channel", "key"):
        raise ParameterError(f"a score is split by 'track', 'channel' or 'key', not {split!r}")
    at = None if split_at is None else parse_pitch(split_at)
    content = read_small(require_file(path), _MAX_BYTES)
    if content is None:
        raise ScoreError(
            f"{str(path)!r} is larger than {_MAX_BYTES >> 20} MiB; a score is not that long"
        )
    tracks = parse_midi(content, str(path))
    score = Score(_parts(tracks, split, str(path)), str(path))
    if len(score.parts) > _MAX_PARTS:
        raise ScoreError(f"{str(path)!r} has {len(score.parts)} parts; {_MAX_PARTS} are the most")
    if at is None:
        return score
    halves = score.split(at)
    if halves == score:
        pitched = any(not note.drum for note in score.notes)
        reason = "no part has notes on both sides of it" if pitched else "it holds drums alone"
        text = f"{str(path)!r} is not split at {split_at}: {reason}"
        warnings.warn(AudioNMFWarning(text), stacklevel=2)
    return halves


def _parts(tracks: list[Track], split: SplitBy, path: str) -> tuple[Part, ...]:
    shared = _Shared(tracks)
    found = {t: _notes(track, shared) for t, track in enumerate(tracks)}
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

    def channel_name(channel: int | None, holders: set[int]) -> str:
        if channel is None:  # a track: its channel's, if it plays in one alone
            (holder,) = holders
            played = {member[0] for member in found[holder]}
            channel = played.pop() if len(played) == 1 else -1
        return next((n for t in tracks if (n := t.channel_names.get(channel))), "")

    parts: list[Part] = []
    for number, members in groups.items():
        members.sort(key=lambda member: (member[2].onset, member[2].pitch))
        holders = {t for t, _, _ in members}
        own = len(holders) == 1 and (not by_channel or len(groups) == 1 or _alone(groups, holders))
        name = tracks[members[0][0]].name if own else ""
        name = name or channel_name(number if by_channel else None, holders)
        program, drum = members[0][1], members[0][2].drum
        name = name or f"{'drums' if drum else _program_name(program)} {number + 1}"
        parts.append(Part(name, tuple(note for _, _, note in members), program))
    if split == "key" or (split == "track" and len(parts) == 1):
        parts = [drum for part in parts for drum in _by_drum(part)]
    if len(parts) > _MAX_PARTS:
        raise ScoreError(f"{path!r} has {len(parts)} parts with notes; {_MAX_PARTS} are the most")
    return _named_apart(parts)


def _alone(groups: dict[int, list[tuple[int, int, Note]]], holders: set[int]) -> bool:
    """Tell whether no other group has notes in this track: its name is then the group's."""
    return sum(bool(holders & {t for t, _, _ in members}) for members in groups.values()) == 1


def _by_drum(part: Part) -> list[Part]:
    """Return a part as its drums, each under its General MIDI name, and what is none, as it was."""
    drums: dict[str, list[Note]] = {}
    for note in part.notes:
        name = _DRUM_NAMES.get(note.pitch, f"drum {note.pitch}") if note.drum else ""
        drums.setdefault(name, []).append(note)
    if len(drums) == 1:
        return [part]
    pitched = drums.pop("", [])
    rest = [dataclasses.replace(part, notes=tuple(pitched))] if pitched else []
    ordered = sorted(drums.items(), key=lambda item: min(note.pitch for note in item[1]))
    return [*rest, *(Part(name, tuple(notes), part.program) for name, notes in ordered)]


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


class _Shared:
    """Programs and pedals of the channels, whichever track sets them."""

    def __init__(self, tracks: Sequence[Track]) -> None:
        set_ = (e for t in tracks for e in t.events if e.status == 0xC0 or _is_pedal(e))
        events: dict[int, list[Event]] = {}
        for event in sorted(set_, key=lambda event: event.tick):
            events.setdefault(event.channel, []).append(event)
        end = max((track.end for track in tracks), default=0)
        self.pedals = {c: _pedal(found, c, end) for c, found in events.items()}
        self._programs = {c: [e for e in f if e.status == 0xC0] for c, f in events.items()}

    def program(self, channel: int, tick: int) -> int:
        """Return which program a channel has at a tick."""
        changes = self._programs.get(channel, [])
        i = bisect.bisect_right(changes, tick, key=lambda event: event.tick)
        return changes[i - 1].first if i else 0


def _notes(track: Track, shared: _Shared) -> list[tuple[int, int, Note]]:
    """Return channel, program and note of what a track plays.

    What a track does not set for a channel is as other tracks set it.
    """
    sounding: dict[tuple[int, int], list[tuple[int, int, int]]] = {}
    programs = dict.fromkeys(range(16), 0)
    own = {event.channel for event in track.events if event.status == 0xC0}
    pedalled = {event.channel for event in track.events if _is_pedal(event)}
    strokes: list[tuple[int, int, int, int, int, int]] = []  # channel, program, key, velocity, …

    def close(channel: int, key: int, tick: int) -> None:
        start, velocity, program = sounding[channel, key].pop(0)
        strokes.append((channel, program, key, velocity, start, tick))

    for event in track.events:
        key = event.channel, event.first
        if event.status == 0xC0:
            programs[event.channel] = event.first
        elif event.status == 0x90 and event.second:
            channel = event.channel
            program = programs[channel] if channel in own else shared.program(channel, event.tick)
            begun = (event.tick, event.second, program)
            sounding.setdefault(key, []).append(begun)
        elif event.status in (0x80, 0x90) and sounding.get(key):
            close(*key, event.tick)
    for (channel, pitch), begun_notes in sounding.items():
        for _ in range(len(begun_notes)):
            close(channel, pitch, track.end)
    pedals = {
        c: _pedal(track.events, c, track.end) if c in pedalled else shared.pedals.get(c, [])
        for c in {s[0] for s in strokes}
    }
    notes = []
    for channel, program, pitch, velocity, start, stop in strokes:
        held = next((b for a, b in pedals[channel] if a <= stop < b), stop)
        onset, offset, end = (track.seconds(tick) for tick in (start, stop, held))
        note = Note(onset, offset, pitch, velocity, end, channel == _DRUM_CHANNEL)
        notes.append((channel, program, note))
    return _without_overlaps(notes)


def _is_pedal(event: Event) -> bool:
    return (event.status, event.first) == (0xB0, _PEDAL)


def _pedal(events: Sequence[Event], channel: int, end: int) -> list[tuple[int, int]]:
    """Return from which tick to which the sustain pedal of a channel is down."""
    spans, down = [], None
    for event in events:
        if event.channel != channel or not _is_pedal(event):
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
