"""Render the sample recordings of ``audio_samples/`` from the scores in this file.

Usage::

    python scripts/make_audio_samples.py OUTPUT_DIR [--soundfont PATH]

Needs the ``fluidsynth`` program and the FluidR3 GM soundfont (on Debian and Ubuntu:
``apt-get install fluidsynth fluid-soundfont-gm``), and the Python packages ``numpy`` and
``soundfile``.  The ``audionmf`` package itself needs neither FluidSynth nor a soundfont.

For every piece the script writes, under ``OUTPUT_DIR/PIECE/``:

* ``stems/NAME.flac``: each instrument of the piece on its own;
* ``mixture.wav``: the sum of the stems, exact to the sample;
* ``examples/NAME.flac``: the same instrument alone, playing something else;
* ``score.mid``: the score, one track per stem.

The same FluidSynth, soundfont and libsndfile give the same bytes on every run.

Exit status: 0 on success, 1 when rendering or writing fails, 2 when FluidSynth or the
soundfont is missing or the command line is wrong.
"""

from __future__ import annotations

import argparse
import re
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile as sf

FloatAudio = npt.NDArray[np.float64]
IntAudio = npt.NDArray[np.int16]

SAMPLE_RATE = 44100
TICKS_PER_BEAT = 480
FULL_SCALE = 32767
MIXTURE_PEAK = 0.7
EXAMPLE_PEAK = 0.5
FADE_SECONDS = 0.2
DRUM_CHANNEL = 9

# Where the distributions put the soundfont.
SOUNDFONT_PLACES = (
    Path("/usr/share/sounds/sf2/FluidR3_GM.sf2"),
    Path("/usr/share/soundfonts/FluidR3_GM.sf2"),
    Path("/usr/local/share/soundfonts/FluidR3_GM.sf2"),
)


class SampleError(Exception):
    """A failure to report in one line, with the exit status to end with."""

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status


# ----------------------------------------------------------------------------------------------
# Scores
# ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Note:
    """One note; times are in beats (quarter notes)."""

    start: float
    length: float
    key: int
    velocity: int


@dataclass(frozen=True)
class Part:
    """One instrument: its General MIDI set-up, its score and its separate example."""

    name: str
    channel: int
    program: int
    pan: int
    volume: int
    score: tuple[Note, ...]
    example: tuple[Note, ...]


@dataclass(frozen=True)
class Piece:
    """A few parts played together."""

    name: str
    bpm: float
    beats_per_bar: int
    seconds: float
    example_seconds: float
    parts: tuple[Part, ...]


DYNAMICS = {"p": 62, "mp": 74, "mf": 86, "f": 100, "ff": 114}
PITCH = re.compile(r"([A-G])(#|b)?(-?\d)")
SEMITONES = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
ACCIDENTALS = {"#": 1, "b": -1, None: 0}


def key_number(pitch: str) -> int:
    """Return the MIDI key of a pitch name such as ``"Bb3"`` (C4 is key 60)."""
    match = PITCH.fullmatch(pitch)
    if match is None:
        raise ValueError(f"not a pitch: {pitch!r}")
    letter, accidental, octave = match.groups()
    return 12 * (int(octave) + 1) + SEMITONES[letter] + ACCIDENTALS[accidental]


def melodic(text: str, *, beats_per_bar: float, sounding: float, ring: bool = False) -> list[Note]:
    """Read notes written as text.

    Parameters
    ----------
    text : str
        Bars separated by ``|``.  A note is ``PITCH`` or ``PITCH:BEATS``; without ``BEATS``
        it lasts as long as the one before.  ``D4+F4`` is a chord, ``r`` a rest, and a
        dynamic mark (``p`` to ``ff``) holds until the next one.
    beats_per_bar : float
        Length every bar must have.
    sounding : float
        Share of its written length that a note sounds.
    ring : bool
        Let notes sound on to the end of their bar, as the strings of a harp do.
    """
    notes: list[Note] = []
    length, velocity = 1.0, DYNAMICS["mf"]
    for number, bar in enumerate(text.split("|")):
        bar_start = number * beats_per_bar
        now = bar_start
        for token in bar.split():
            if token in DYNAMICS:
                velocity = DYNAMICS[token]
                continue
            pitches, _, beats = token.partition(":")
            length = float(beats) if beats else length
            held = bar_start + beats_per_bar - now if ring else length * sounding
            # A slight stress on the first beat keeps the metre audible.
            force = velocity + (6 if now == bar_start else 0)
            if pitches != "r":
                notes += [Note(now, held, key_number(p), force) for p in pitches.split("+")]
            now += length
        if not np.isclose(now - bar_start, beats_per_bar):
            raise ValueError(f"bar {number + 1} has {now - bar_start} beats: {bar.strip()}")
    return notes


def drummed(text: str, strokes: Mapping[str, tuple[int, int]]) -> list[Note]:
    """Read a drum grid: one character per sixteenth, bars separated by ``|``.

    ``strokes`` gives the (key, velocity) of each character; ``.`` is a rest.
    """
    grid = [c for c in text if c != "|" and not c.isspace()]
    return [Note(step / 4, 0.5, *strokes[c]) for step, c in enumerate(grid) if c != "."]


def without_overlaps(notes: Iterable[Note]) -> tuple[Note, ...]:
    """Sort notes by time and end each before the next one on the same key starts.

    A MIDI note-off names only its key, so a late one would stop the following note.
    """
    ordered = sorted(notes, key=lambda note: (note.start, note.key))
    following: dict[int, float] = {}
    result: list[Note] = []
    for note in reversed(ordered):
        limit = following.get(note.key, np.inf)
        result.append(replace(note, length=min(note.length, limit - note.start)))
        following[note.key] = note.start
    return tuple(reversed(result))


# A slow waltz in D minor: i - iv - VII7 - III - VI - ii(half-diminished) - V7 - i.
OBOE = """
    mf A4:1.5 D5:.5 F5:1      | E5:.5 D5:1 Bb4:.5 C5 D5    | E5:1 C5:.5 E5 f G5:1  |
    mf F5:1.5 C5:.5 A4:1      | f D5:.5 F5 Bb5:1.5 A5:.5   | G5:1.5 mf F5:.5 E5 D5 |
    C#5:1 A4:.5 C#5 E5:1      | D5:3
"""
BASSOON = """
    mf D3:2 F3:1              | G3:1 F3 D3                 | C3:1.5 D3:.5 E3:1     |
    F2:1 A2 C3                | f Bb2:1.5 C3:.5 D3:1       | E3:1 G3 Bb3           |
    A3:1.5 mf G3:.5 E3 C#3    | D3:1 mp D2:2
"""
HARP = """
    mp A3:.5 D4 F4 A4 F4 D4   | G3 Bb3 D4 mf G4 mp D4 Bb3  | G3 Bb3 C4 E4 C4 Bb3   |
    F3 A3 C4 mf F4+A4 mp C4 A3 | mf F3 Bb3 D4 F4 D4 Bb3    | G3 Bb3 D4 E4 G4 mp D4 |
    G3 A3 C#4 E4 G4 C#4       | mf D3:.25 A3 D4 F4 A4 D5:1.75
"""

# The examples play other music, in G minor, and pass through every key of the register.
OBOE_EXAMPLE = """
    mf D5:1 Bb4:.5 A4 G4:1    | Eb5:.5 G5 f Bb5:1 A5:.5 C6 | B5 Bb5 A5 Ab5 G5 Gb5  |
    mf F5 E5 Eb5 D5 Db5 C5    | B4 Bb4 A4 Ab4 G4 Gb4       | mp F4 E4 Eb4 D4 G4:1
"""
BASSOON_EXAMPLE = """
    mf Bb3:1 G3:.5 Eb3 C3:1   | F#3:.5 A3 D3:1 Eb3:.5 D3   | mp C2 C#2 D2 Eb2 E2 F2 |
    F#2 G2 Ab2 A2 Bb2 B2      | mf C3 C#3 D3 Eb3 E3 F3     | F#3 G3 Ab3 A3 Bb3 B3
"""
HARP_EXAMPLE = """
    mf G3:.25 Bb3 D4 G4 Bb4 D5 G5:.5 Eb4+Bb4:1 | Eb3:.25 G3 C4 Eb4 G4 C5 Eb5:.5 C4+A4:1 |
    mp D3:.25 F#3 A3 C4 E4 F#4 A4 C5 D5:1      | mf D3:.25 Eb3 E3 F3 F#3 G3 Ab3 A3 Bb3 B3 C4 C#4 |
    D4:.25 Eb4 E4 F4 F#4 G4 Ab4 A4 Bb4 B4 C5 C#5 | G3:.25 D4 G4 B4 D5:2
"""

KICK_STROKES = {"X": (36, 118), "x": (36, 100), "o": (36, 78), "-": (36, 55)}
SNARE_STROKES = {"X": (38, 116), "x": (38, 98), "o": (38, 68), "-": (38, 42)}
# Key 42 is the closed hi-hat and key 46 the open one.
HIHAT_STROKES = {
    "X": (42, 112),
    "x": (42, 92),
    "o": (42, 70),
    "-": (42, 48),
    "O": (46, 96),
    "(": (46, 70),
}

KICK = "X.....x.x....... | X.....x.x.o...x. | X..x..x...x..... | X.....x.x.....x."
SNARE = "....X..-.-..X... | ....X..-.-..X..- | ....X..-.o..X... | ....X..-X.-oxoxX"
HIHAT = "X.o.x.o.X.o.x.o. | X.o.x.o.X.o.x.O. | X.oox.o.X.oox.o. | X.o.x.O.x.o.x..."

KICK_EXAMPLE = "X...x...o...-... | X..o..x.-.X....."
SNARE_EXAMPLE = "X...x...o...-... | x.o.X..--oxX...."
HIHAT_EXAMPLE = "X...x...o...-... | O...x.-.(...xoX."


def waltz_part(name: str, program: int, pan: int, volume: int, texts: Sequence[str]) -> Part:
    """Return one part of the trio from the texts of its score and of its example."""
    ring = name == "harp"
    score, example = (
        without_overlaps(melodic(text, beats_per_bar=3, sounding=0.96, ring=ring)) for text in texts
    )
    return Part(name, TRIO_CHANNELS[name], program, pan, volume, score, example)


def drum_part(
    name: str, pan: int, volume: int, strokes: Mapping[str, tuple[int, int]], texts: Sequence[str]
) -> Part:
    """Return one drum from the grids of its score and of its example."""
    score, example = (without_overlaps(drummed(text, strokes)) for text in texts)
    return Part(name, DRUM_CHANNEL, 0, pan, volume, score, example)


TRIO_CHANNELS = {"oboe": 0, "bassoon": 1, "harp": 2}


def pieces() -> tuple[Piece, ...]:
    """Return the pieces to render (programs are General MIDI, counted from 0)."""
    trio = (
        waltz_part("oboe", 68, 22, 84, (OBOE, OBOE_EXAMPLE)),
        waltz_part("bassoon", 70, 106, 100, (BASSOON, BASSOON_EXAMPLE)),
        waltz_part("harp", 46, 64, 110, (HARP, HARP_EXAMPLE)),
    )
    drums = (
        drum_part("kick", 64, 104, KICK_STROKES, (KICK, KICK_EXAMPLE)),
        drum_part("snare", 50, 90, SNARE_STROKES, (SNARE, SNARE_EXAMPLE)),
        drum_part("hihat", 84, 124, HIHAT_STROKES, (HIHAT, HIHAT_EXAMPLE)),
    )
    return (
        Piece("trio", 130, 3, 12.0, 8.5, trio),
        Piece("drums", 104, 4, 9.75, 4.75, drums),
    )


# ----------------------------------------------------------------------------------------------
# Standard MIDI files
# ----------------------------------------------------------------------------------------------


def variable_length(value: int) -> bytes:
    """Encode a number seven bits at a time, as MIDI delta times are."""
    groups = [value & 0x7F]
    while value := value >> 7:
        groups.append(0x80 | value & 0x7F)
    return bytes(reversed(groups))


def meta_event(kind: int, payload: bytes) -> bytes:
    """Return one MIDI meta event."""
    return bytes((0xFF, kind)) + variable_length(len(payload)) + payload


def track_chunk(events: Iterable[tuple[int, bytes]]) -> bytes:
    """Return a track of (tick, message) pairs that are in order of time."""
    body, now = b"", 0
    for tick, message in events:
        body += variable_length(tick - now) + message
        now = tick
    body += variable_length(0) + meta_event(0x2F, b"")
    return b"MTrk" + struct.pack(">I", len(body)) + body


def conductor_track(piece: Piece) -> bytes:
    """Return the track with the name, tempo and metre of a piece."""
    tempo = round(60_000_000 / piece.bpm).to_bytes(3, "big")
    metre = bytes((piece.beats_per_bar, 2, 24, 8))
    name = meta_event(0x03, piece.name.encode())
    return track_chunk([(0, name), (0, meta_event(0x51, tempo)), (0, meta_event(0x58, metre))])


def part_track(part: Part, notes: Sequence[Note], last_tick: int) -> bytes:
    """Return the track of one part, lasting to ``last_tick``."""
    control, program = 0xB0 | part.channel, 0xC0 | part.channel
    on, off = 0x90 | part.channel, 0x80 | part.channel
    setup = [
        (0, meta_event(0x03, part.name.encode())),
        (0, bytes((program, part.program))),
        (0, bytes((control, 7, part.volume))),
        (0, bytes((control, 10, part.pan))),
    ]
    timed: list[tuple[int, int, bytes]] = []
    for note in notes:
        start, end = (round(t * TICKS_PER_BEAT) for t in (note.start, note.start + note.length))
        # At equal ticks the second field puts note-offs first, so a repeated key sounds again.
        timed.append((start, 1, bytes((on, note.key, note.velocity))))
        timed.append((end, 0, bytes((off, note.key, 0))))
    # FluidSynth stops at the last event, so a final one leaves room for notes to die away.
    timed.append((last_tick, 2, bytes((control, 123, 0))))
    return track_chunk(setup + [(tick, message) for tick, _, message in sorted(timed)])


def midi_file(piece: Piece, tracks: Sequence[tuple[Part, Sequence[Note]]], seconds: float) -> bytes:
    """Return a Standard MIDI file (format 1) that lasts the given time."""
    last_tick = round(seconds * piece.bpm / 60 * TICKS_PER_BEAT)
    header = b"MThd" + struct.pack(">IHHH", 6, 1, len(tracks) + 1, TICKS_PER_BEAT)
    chunks = [part_track(part, notes, last_tick) for part, notes in tracks]
    return header + conductor_track(piece) + b"".join(chunks)


# ----------------------------------------------------------------------------------------------
# Rendering
# ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Synthesizer:
    """FluidSynth with one soundfont, working in a scratch folder."""

    program: str
    soundfont: Path
    scratch: Path

    def render(self, midi: bytes, seconds: float) -> FloatAudio:
        """Play a MIDI file and return exactly ``seconds`` of it as (frames, 2)."""
        midi_path, wav_path = self.scratch / "part.mid", self.scratch / "part.wav"
        midi_path.write_bytes(midi)
        wav_path.unlink(missing_ok=True)
        done = subprocess.run(
            self.command(midi_path, wav_path), capture_output=True, text=True, check=False
        )
        if done.returncode != 0 or not wav_path.is_file():
            reason = (done.stderr.strip().splitlines() or ["no audio was written"])[-1]
            raise SampleError(f"fluidsynth failed (status {done.returncode}): {reason}")
        audio, rate = sf.read(wav_path, dtype="float64", always_2d=True)
        if rate != SAMPLE_RATE or audio.shape[1] != 2:
            raise SampleError(f"fluidsynth wrote {audio.shape[1]} channels at {rate} Hz")
        return cut(audio, round(seconds * SAMPLE_RATE))

    def command(self, midi_path: Path, wav_path: Path) -> list[str]:
        """Return the command line that renders one MIDI file."""
        # An empty configuration stands in for the user's own, which could change the sound.
        config = self.scratch / "empty.cfg"
        config.touch()
        options = {
            "synth.reverb.active": "0",
            "synth.chorus.active": "0",
            "synth.cpu-cores": "1",
            "player.timing-source": "sample",
        }
        settings = [word for item in options.items() for word in ("-o", "=".join(item))]
        return [
            *(self.program, "-q", "-n", "-i", "-f", str(config)),
            *("-r", str(SAMPLE_RATE), "-g", "1.4", "-T", "wav", "-F", str(wav_path)),
            *(*settings, str(self.soundfont), str(midi_path)),
        ]


def cut(audio: FloatAudio, frames: int) -> FloatAudio:
    """Return exactly ``frames`` frames, faded out at the end, having checked the level."""
    if audio.shape[0] < frames - SAMPLE_RATE // 10:
        raise SampleError(f"fluidsynth wrote {audio.shape[0]} frames where {frames} were due")
    if not 0.01 < np.abs(audio).max() < FULL_SCALE / (FULL_SCALE + 1):
        raise SampleError("fluidsynth wrote silence or clipped audio")
    result = np.zeros((frames, 2))
    kept = min(frames, audio.shape[0])
    result[:kept] = audio[:kept]
    fade = round(FADE_SECONDS * SAMPLE_RATE)
    result[-fade:] *= np.linspace(1.0, 0.0, fade)[:, None]
    return result


def quantised(audio: FloatAudio, gain: float) -> IntAudio:
    """Return 16-bit samples of ``gain * audio`` (full scale 1)."""
    return np.rint(audio * gain * FULL_SCALE).astype(np.int16)


def write_audio(path: Path, samples: IntAudio) -> None:
    """Write 16-bit samples in the format that the suffix of ``path`` names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sf.write(path, samples, SAMPLE_RATE, subtype="PCM_16")


def render_piece(synthesizer: Synthesizer, piece: Piece, folder: Path) -> None:
    """Write the stems, mixture, examples and score of one piece."""
    rendered = {
        part.name: synthesizer.render(
            midi_file(piece, [(part, part.score)], piece.seconds), piece.seconds
        )
        for part in piece.parts
    }
    peak = np.abs(sum(rendered.values())).max()
    # One gain for all keeps the balance; rounding the stems first makes their sum exact.
    stems = {name: quantised(audio, MIXTURE_PEAK / peak) for name, audio in rendered.items()}
    for name, samples in stems.items():
        write_audio(folder / "stems" / f"{name}.flac", samples)
    mixture = np.sum([samples.astype(np.int32) for samples in stems.values()], axis=0)
    write_audio(folder / "mixture.wav", mixture.astype(np.int16))
    score = [(part, part.score) for part in piece.parts]
    (folder / "score.mid").write_bytes(midi_file(piece, score, piece.seconds))
    for part in piece.parts:
        seconds = piece.example_seconds
        audio = synthesizer.render(midi_file(piece, [(part, part.example)], seconds), seconds)
        example = quantised(audio, EXAMPLE_PEAK / np.abs(audio).max())
        write_audio(folder / "examples" / f"{part.name}.flac", example)


# ----------------------------------------------------------------------------------------------
# Command line
# ----------------------------------------------------------------------------------------------


def find_soundfont(given: Path | None) -> Path:
    """Return the soundfont to use, or raise if there is none."""
    for place in SOUNDFONT_PLACES if given is None else (given,):
        if place.is_file():
            return place
    if given is not None:
        raise SampleError(f"no such soundfont: {given}", status=2)
    raise SampleError("FluidR3_GM.sf2 not found; name it with --soundfont PATH", status=2)


def find_fluidsynth() -> str:
    """Return the path of the ``fluidsynth`` program, or raise if it is missing."""
    program = shutil.which("fluidsynth")
    if program is None:
        raise SampleError("the program 'fluidsynth' is not installed", status=2)
    return program


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Render the sample recordings of audionmf.")
    parser.add_argument("output_dir", type=Path, metavar="OUTPUT_DIR", help="folder to write into")
    parser.add_argument(
        "--soundfont", type=Path, metavar="PATH", help="FluidR3_GM.sf2, if not in a usual place"
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Render every piece and return the exit status."""
    arguments = parse_arguments(argv)
    try:
        program, soundfont = find_fluidsynth(), find_soundfont(arguments.soundfont)
        with tempfile.TemporaryDirectory() as scratch:
            synthesizer = Synthesizer(program, soundfont, Path(scratch))
            for piece in pieces():
                render_piece(synthesizer, piece, arguments.output_dir / piece.name)
                print(f"wrote {arguments.output_dir / piece.name}")
    except SampleError as error:
        print(f"make_audio_samples: {error}", file=sys.stderr)
        return error.status
    except (OSError, sf.SoundFileError) as error:
        print(f"make_audio_samples: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
