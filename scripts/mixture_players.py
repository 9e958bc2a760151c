"""What `make_mixtures.py` plays: scores, and the players, synthetic or recorded, who play them."""

from __future__ import annotations

import dataclasses
import functools
import re
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.signal
import soundfile
import soxr

RATE = 44100
Samples = np.ndarray[Any, np.dtype[np.float64]]
Note = tuple[float, float, int, int]  # start and length in s, MIDI key, velocity

DRUMS = {
    "kick": (36, r"kick|bd|bass ?drum"), "snare": (38, r"snare|sn\d*[_-]|_sn_|sd|rim"),
    "hats": (42, r"hat|hh"), "toms": (45, r"tom|conga|bongo|djembe|dunun|surdo"),
    "cymbals": (51, r"crash|ride|cym|splash|rd\d*_|cc_|rc_|china"),
    "percussion": (56, r"clap|cowbell|shaker|tamb|clave|agogo|stick|block|cabasa|guiro|triangle"),
}  # fmt: skip
WORDS = [
    "the", "a", "my", "no", "every", "old", "young", "cold", "seven", "bright", "river", "window",
    "morning", "teacher", "never", "walked", "stood", "between", "garden", "houses", "under",
    "slowly", "turned", "carried", "letter", "yellow", "thunder", "people", "because", "little",
    "engine", "after", "summer", "quietly", "answered", "found", "across", "mountain", "paper",
    "bread", "and", "water", "sing", "six", "shoes", "wash", "judge", "vision", "great", "fish",
    "enough", "light", "over", "again", "something", "other", "voice", "away", "for", "you",
]  # fmt: skip
VOWELS = (  # Hz
    (730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480), (570, 840, 2410),
)  # fmt: skip


# --- scores


@dataclasses.dataclass(frozen=True)
class Song:
    """What the players of a mixture have in common: length, beat (s), key, chords a bar."""

    seconds: float
    beat: float
    root: int
    scale: tuple[int, ...]
    degrees: tuple[int, ...]

    @staticmethod
    def of(rng: np.random.Generator, seconds: float) -> Song:
        """Return a song of this length."""
        scale = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10))[rng.integers(2)]
        degrees = (0, *(int(d) for d in rng.choice((0, 1, 3, 3, 4, 4, 5), 3)))
        return Song(seconds, 60 / rng.uniform(66, 150), int(rng.integers(12)), scale, degrees)

    def chord(self, beat: float) -> list[int]:
        """Return the pitch classes that sound on a beat, root first."""
        degree = self.degrees[int(beat // 4) % len(self.degrees)]
        return [(self.root + self.scale[(degree + step) % 7]) % 12 for step in (0, 2, 4)]


def melody(rng: np.random.Generator, song: Song, low: int, high: int) -> list[Note]:
    """Return a line that walks through the scale."""
    ladder = [k for k in range(low, high + 1) if (k - song.root) % 12 in song.scale]
    at, beat, score = len(ladder) // 2, float(rng.choice((0, 0, 0.5, 1, 2))), []
    quick, held = rng.uniform(0.5, 1.5), rng.uniform(0.55, 1.05)
    while beat * song.beat < song.seconds - 0.1:
        length = rng.choice((0.25, 0.5, 1, 1.5, 2, 3), p=(0.1, 0.32, 0.32, 0.1, 0.12, 0.04))
        length = max(0.25, length * (2 if quick < 0.75 else 1))
        at = int(np.clip(at + round(rng.normal(0, 1.8)), 0, len(ladder) - 1))
        if beat % 1 == 0 and rng.random() < 0.5:  # on beats rather notes of the chord
            near = [k for k, key in enumerate(ladder) if key % 12 in song.chord(beat)]
            at = min(near, key=lambda k: abs(k - at)) if near else at
        if rng.random() > 0.12:
            start = max(0, beat * song.beat + rng.normal(0, 0.012))
            velocity = int(np.clip(rng.normal(88, 14), 40, 120))
            score.append((start, held * length * song.beat, ladder[at], velocity))
        beat += length
    return score


def chords(rng: np.random.Generator, song: Song, low: int, high: int) -> list[Note]:
    """Return chords: at once, strummed or one note after the other."""
    step, way, middle = rng.choice((0.5, 1, 2, 4)), rng.integers(3), (low + high) // 2
    score, spread = [], (0.0, 0.025, 0.5 * song.beat)[way]
    for beat in np.arange(0, song.seconds / song.beat, step if way < 2 else 2):
        if rng.random() < 0.1:
            continue
        keys = [middle + (tone - middle - 3) % 12 - 3 for tone in song.chord(beat)]
        keys += [keys[0] + 12] * int(rng.integers(2)) + [keys[0] - 12] * int(rng.integers(2))
        for k, key in enumerate(sorted(keys)):
            start = beat * song.beat + k * spread + abs(rng.normal(0, 0.006))
            length = (step if way < 2 else 1.5) * song.beat * rng.uniform(0.6, 1)
            score.append((start, length, int(key), int(rng.integers(60, 105))))
    return score


def bass(rng: np.random.Generator, song: Song, low: int, high: int) -> list[Note]:
    """Return a bass: roots, fifths, octaves."""
    step, score = rng.choice((0.5, 1, 1, 2)), []
    for beat in np.arange(0, song.seconds / song.beat, step):
        tones = song.chord(beat)
        key = (
            low + (tones[int(rng.choice((0, 0, 0, 2, 1)))] - low) % 12 + 12 * (rng.random() < 0.15)
        )
        if rng.random() > 0.12:
            length = step * song.beat * rng.uniform(0.5, 1)
            score.append((beat * song.beat, length, int(key), int(rng.integers(75, 115))))
    return score


def strokes(rng: np.random.Generator, song: Song) -> list[Note]:
    """Return a pattern of drums, four beats that come again with small changes."""
    chance = {name: np.zeros(16) for name in DRUMS}
    chance["kick"][[0, 8]], chance["kick"][rng.integers(0, 16, 3)] = 0.95, 0.7
    chance["snare"][[4, 12]], chance["snare"][rng.integers(0, 16, 2)] = 0.95, 0.4
    ticking = "cymbals" if rng.random() < 0.25 else "hats"
    chance[ticking][:: rng.choice((1, 2, 2, 4))] = 0.9
    chance["toms"][rng.integers(0, 16, 3)] = 0.35
    chance["cymbals"][0] += 0.3
    chance["percussion"][rng.integers(0, 16, 3)] = 0.5 * rng.integers(2)
    score = []
    for step in range(int(song.seconds / song.beat * 4)):
        for name, (key, _) in DRUMS.items():
            if rng.random() < chance[name][step % 16]:
                start = max(0, step * song.beat / 4 + rng.normal(0, 0.006))
                if name == "hats" and rng.random() < 0.15:
                    key = 46
                if name == "toms":
                    key = int(rng.choice((41, 45, 48)))
                score.append((start, 0.3, key, int(np.clip(rng.normal(95, 15), 35, 125))))
    return score


# --- players


def run(*command: str | Path) -> None:
    """Run a program and say what it said if it fails."""
    done = subprocess.run([str(part) for part in command], capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(
            f"{' '.join(map(str, command))} failed: {done.stderr.decode(errors='replace')[-300:]}"
        )


@functools.lru_cache(maxsize=200)
def read(path: Path) -> Samples:
    """Return a recording, mono, at `RATE`; what libsndfile does not know is read by ffmpeg."""
    try:
        samples, rate = soundfile.read(path, always_2d=True)
    except soundfile.LibsndfileError:
        with tempfile.TemporaryDirectory() as folder:
            run("ffmpeg", "-v", "error", "-i", path, Path(folder, "a.wav"))
            samples, rate = soundfile.read(Path(folder, "a.wav"), always_2d=True)
    mono = samples.mean(axis=1)
    return mono if rate == RATE else soxr.resample(mono, rate, RATE)


def midi(
    rng: np.random.Generator, score: list[Note], program: int, *, drums: bool, swells: bool
) -> bytes:
    """Return a MIDI file of one part, a little out of tune unless it is drums."""
    channel, bend = (9, 8192) if drums else (0, int(8192 + 4096 * rng.normal(0, 0.08)))
    events: list[tuple[int, bytes]] = [
        (0, bytes([0xC0 | channel, program])),
        (0, bytes([0xE0 | channel, bend & 127, bend >> 7])),
        (0, bytes([0xB0 | channel, 1, int(rng.integers(0, 60)) if swells else 0])),
    ]
    for start, length, key, velocity in score:
        events.append((int(960 * start), bytes([0x90 | channel, key, velocity])))
        events.append((int(960 * (start + length)), bytes([0x80 | channel, key, 0])))
        for k, loud in enumerate(np.linspace(*rng.uniform(75, 127, 2), 6) if swells else ()):
            event = bytes([0xB0 | channel, 11, int(loud)])
            events.append((int(960 * (start + k / 6 * length)), event))
    track, now = b"", 0
    for tick, event in sorted([*events, (960 * 600, b"")], key=lambda one: one[0])[:-1]:
        delta, now = tick - now, tick
        track += bytes([0x80 | delta >> 14 & 127, 0x80 | delta >> 7 & 127, delta & 127]) + event
    track += b"\x00\xff\x2f\x00"
    head = b"MThd" + (6).to_bytes(4, "big") + bytes([0, 0, 0, 1]) + (480).to_bytes(2, "big")
    return head + b"MTrk" + len(track).to_bytes(4, "big") + track


def font_plays(font: Path, song_of_midi: bytes) -> Samples:
    """Return what a soundfont makes of a MIDI file; 120 beats a minute, dry."""
    with tempfile.TemporaryDirectory() as folder:
        song, sound = Path(folder, "a.mid"), Path(folder, "a.wav")
        song.write_bytes(song_of_midi)
        if font.suffix == ".cfg":
            run("timidity", "-c", font, "-Ow1sl", "-s", str(RATE), "-o", sound,
                "--reverb=0", "--chorus=0", song)  # fmt: skip
        else:
            run("fluidsynth", "-ni", "-R", "0", "-C", "0", "-g", "0.5", "-r", str(RATE),
                "-o", "synth.dynamic-sample-loading=1", "-F", sound, font, song)  # fmt: skip
        return read.__wrapped__(sound)


def key_of(path: Path) -> int | None:
    """Return the MIDI key that a file is named after: A4, C#3, Bb2v10; None without one."""
    found = re.search(r"(?:^|[^A-Za-z])([A-Ga-g])(#|s|b)?(-?\d)(?!\d)", path.stem)
    if not found:
        return None
    step = {"c": 0, "d": 2, "e": 4, "f": 5, "g": 7, "a": 9, "b": 11}[found[1].lower()]
    return step + {None: 0, "#": 1, "s": 1, "b": -1}[found[2]] + 12 * (int(found[3]) + 1)


def notes_play(
    rng: np.random.Generator, folder: Path, score: list[Note], seconds: float
) -> Samples:
    """Return recorded notes, each the nearest of those that there are, played faster or slower."""
    keys = {key: path for path in files_in(folder) if (key := key_of(path)) is not None}
    out, tune = np.zeros(int((seconds + 4) * RATE)), rng.normal(0, 0.1)
    for start, length, key, velocity in score:
        nearest = min(keys, key=lambda k: (abs(k - key), k))
        speed = 2 ** ((key - nearest + tune) / 12)
        sound = from_attack(read(keys[nearest]))[: int((length + 0.3) * speed * RATE)]
        sound = soxr.resample(sound, RATE * speed, RATE)
        n = min(len(sound), int(0.15 * RATE))
        sound[len(sound) - n :] *= np.linspace(1, 0, n) ** 2
        add(out, sound * (velocity / 100) ** 1.5, start)
    return out


def kit_plays(rng: np.random.Generator, folder: Path, score: list[Note], seconds: float) -> Samples:
    """Return recorded strokes, up to three different ones for each key."""
    kit = drums_of(folder)
    roles = {key: name for name, (key, _) in DRUMS.items()} | {46: "hats", 41: "toms", 48: "toms"}
    chosen = {
        k: rng.choice(kit[roles[k]], 3)
        for k in sorted({note[2] for note in score})
        if kit[roles[k]]
    }
    out = np.zeros(int((seconds + 4) * RATE))
    for start, _, key, velocity in score:
        if key in chosen:
            sound = from_attack(read(kit[roles[key]][0].parent / str(rng.choice(chosen[key]))))
            add(out, sound[: 3 * RATE] * (velocity / 100) ** 1.5, start)
    return out


def drums_of(folder: Path) -> dict[str, list[Path]]:
    """Return the strokes of a kit by the drum that is struck, as far as names tell."""
    found: dict[str, list[Path]] = {name: [] for name in DRUMS}
    for path in files_in(folder):
        for name, (_, pattern) in DRUMS.items():
            if re.search(pattern, path.stem.lower()):
                found[name].append(path)
                break
    return found


def sings(
    rng: np.random.Generator, score: list[Note], seconds: float, singer: Sequence[float]
) -> Samples:
    """Return a synthetic singer: harmonics with vibrato under the formants of vowels, and breath.

    A source and a filter (Fant 1960); formants after Peterson and Barney (1952), scaled by the length
    of the singer's throat: `singer` is that scale, dB an octave, vibrato's Hz and semitones, breath.
    """
    rate, hop = RATE // 2, 64
    size, tilt, hertz, depth, breath = singer
    n = int((seconds + 1) * rate / hop)
    t = np.arange(n) * hop / rate
    pitch, loud, formants = np.full(n, 60.0), np.zeros(n), np.full((n, 3), 500.0)
    for start, length, key, velocity in sorted(score):
        own = (t >= start) & (t < start + length)
        pitch[t >= start], formants[t >= start] = key, VOWELS[rng.integers(len(VOWELS))]
        loud[own] = (velocity / 100) ** 1.5
    smooth = [scipy.signal.lfilter([a], [1, a - 1], x, axis=0) for a, x in
              ((0.06, pitch), (0.05, loud), (0.04, formants))]  # fmt: skip
    pitch, loud, formants = smooth[0], smooth[1], smooth[2] * size
    pitch[: n // 50] = pitch[n // 50]
    wobble = scipy.signal.lfilter([0.02], [1, -0.98], rng.normal(0, 1, n))
    pitch = (
        pitch
        + depth * np.sin(2 * np.pi * np.cumsum(hertz + wobble) * hop / rate) * loud
        + 0.5 * wobble
    )
    f0 = 440 * 2 ** ((pitch - 69) / 12)

    def throat(f: Samples) -> Samples:
        """Return the gain of the formants at some frequencies, a row a moment."""
        widths = np.array([80, 100, 140]) * size
        return sum(gain / np.sqrt(1 + ((f - formants[:, [k]]) / widths[k]) ** 2)
                   for k, gain in enumerate((1, 0.7, 0.5))) + 0.02  # fmt: skip

    fine = np.arange(n * hop) / hop
    phase = 2 * np.pi * np.cumsum(np.interp(fine, np.arange(n), f0)) / rate
    out = np.zeros(n * hop)
    for k in range(1, int(min(70, 9000 / f0.min())) + 1):
        f = k * f0[:, None]
        gain = throat(f)[:, 0] * loud * k ** (-tilt / 6) * (f[:, 0] < 9500)
        out += np.interp(fine, np.arange(n), gain) * np.sin(k * phase)
    air = scipy.signal.stft(rng.normal(0, 1, len(out)), nperseg=512, noverlap=448)[2]
    bins = np.arange(257)[None] * rate / 512
    gains = (throat(bins) * (0.02 + loud[:, None]) * (bins > 400))[
        np.linspace(0, n - 1, air.shape[1]).astype(int)
    ]
    hiss = scipy.signal.istft(air * gains.T, nperseg=512, noverlap=448)[1][: len(out)]
    for start, *_ in score:
        if rng.random() < 0.5:  # a consonant of noise before the note
            burst = np.diff(rng.normal(0, 1, int(rng.uniform(0.03, 0.12) * rate)))
            at = max(0, int((start - 0.1) * rate))
            room = out[at : at + len(burst)]
            room += (0.06 * burst * np.hanning(len(burst)))[: len(room)]
    return soxr.resample(out + breath * 10 * hiss, rate, RATE)


def noise(
    rng: np.random.Generator, kind: str, seconds: float, look: np.random.Generator
) -> Samples:
    """Return a noise; `look` says what it is like, `rng` how it goes this time."""
    n = int(seconds * RATE)
    t = np.arange(n) / RATE
    slow = np.interp(
        t, np.arange(0, seconds + 1, 0.5), rng.uniform(-1, 1, len(np.arange(0, seconds + 1, 0.5)))
    )
    if kind == "pink":  # street, wind, crowd: any slope, slowly louder and softer
        slope, edge = look.uniform(0.3, 1.2), look.uniform(40, 400)
        return coloured(rng, n, slope, edge) * 10 ** (look.uniform(0, 0.5) * slow)
    if kind == "machine":
        base, beat = look.uniform(25, 180), look.uniform(0.5, 9)
        out = np.zeros(n)
        turn = np.cumsum(1 + look.uniform(0, 0.03) * slow) / RATE
        for k in range(1, 40):
            out += (
                look.exponential()
                * k ** -look.uniform(0.3, 1.2)
                * np.sin(2 * np.pi * k * base * turn)
            )
        throb = 1 + look.uniform(0.2, 0.9) * scipy.signal.square(
            2 * np.pi * beat * turn, look.uniform(0.2, 0.8)
        )
        return throb * (out / out.std() + look.uniform(0.2, 1.5) * coloured(rng, n, 0.5, 300))
    if kind == "rain":
        drops = np.zeros(n)
        count = int(seconds * look.uniform(30, 600))
        drops[rng.integers(0, n, count)] = rng.exponential(1, count) * rng.choice((-1, 1), count)
        high = look.uniform(1500, 7000)
        sos = scipy.signal.butter(2, (high / 2, high), "band", fs=RATE, output="sos")
        drops = scipy.signal.sosfilt(sos, drops)
        return drops / drops.std() + look.uniform(0.1, 0.8) * coloured(rng, n, 0.4, 500)
    low, high, notes = look.uniform(1500, 3000), look.uniform(3500, 7000), int(look.integers(2, 7))
    shape = look.uniform(0, 1, (notes, 3))  # a bird: the same few sweeps again and again
    out, at = np.zeros(n + RATE), rng.uniform(0, 0.5)
    while at < seconds:
        for begin, end, length in shape:
            m = int((0.03 + 0.15 * length) * RATE)
            sweep = np.geomspace(low + begin * (high - low), low + end * (high - low), m)
            add(
                out,
                np.hanning(m) * np.sin(2 * np.pi * np.cumsum(sweep * rng.normal(1, 0.01)) / RATE),
                at,
            )
            at += m / RATE + 0.02
        at += rng.uniform(0.2, 1.2)
    return out[:n]


def says(rng: np.random.Generator, speaker: str | Path, seconds: float, *, first: bool) -> Samples:
    """Return speech; of a folder's recordings one half belongs to mixtures, the other to examples."""
    out, at = np.zeros(int((seconds + 20) * RATE)), rng.uniform(0, 0.4)
    paths = files_in(speaker)[not first :: 2] if isinstance(speaker, Path) else []
    while at < seconds:
        if isinstance(speaker, Path):
            samples = read(paths[rng.integers(len(paths))])
        else:
            with tempfile.TemporaryDirectory() as folder:
                program, voice = speaker.split(":", 1)
                text, sound = (
                    " ".join(rng.choice(WORDS, rng.integers(4, 10))),
                    Path(folder, "a.wav"),
                )
                if program == "flite":
                    run("flite", "-voice", voice, "-t", text, "-o", sound)
                else:
                    run(program, "-v", voice, "-s", str(rng.integers(125, 190)),
                        "-p", str(rng.integers(30, 70)), "-w", sound, text)  # fmt: skip
                samples = read.__wrapped__(sound)
        loud = np.flatnonzero(np.abs(samples) > 0.02 * np.abs(samples).max(initial=1e-4))
        if len(loud):
            sound = samples[loud[0] : loud[-1] + 1][: 15 * RATE]
            add(out, sound / max(1e-3, sound.std()), at)
            at += len(sound) / RATE
        at += rng.uniform(0.05, 0.5)
    return out


def sounds_of(
    rng: np.random.Generator, some: Sequence[Path], seconds: float, *, first: bool
) -> Samples:
    """Return a passage of a long recording, or short ones strewn over time."""
    if len(some) == 1:  # one half of it belongs to mixtures, the other to examples
        half = np.array_split(read(some[0]), 2)[not first]
        at = int(rng.integers(max(1, len(half) - int(seconds * RATE))))
        return half[at : at + int(seconds * RATE)]
    out, at = np.zeros(int((seconds + 30) * RATE)), rng.uniform(0, 0.3)
    while at < seconds:
        sound = read(some[rng.integers(len(some))])
        add(out, sound, at)
        at += rng.uniform(0.1, 1) * min(3, len(sound) / RATE) + rng.uniform(0, 0.3)
    return out


# --- small things


def files_in(folder: Path) -> list[Path]:
    """Return the recordings in a folder and below it, in order."""
    kinds = {".wav", ".flac", ".ogg", ".aiff", ".aif", ".mp3", ".g722", ".gsm"}
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in kinds)


def from_attack(samples: Samples) -> Samples:
    """Return a sound without the silence before it."""
    loud = np.abs(samples) > 0.02 * np.abs(samples).max(initial=1e-9)
    return samples[max(0, int(np.argmax(loud)) - 64) :]


def add(out: Samples, sound: Samples, at: float) -> None:
    """Add a sound at a time (s), as far as it fits."""
    room = out[int(at * RATE) : int(at * RATE) + len(sound)]
    room += sound[: len(room)]


def coloured(rng: np.random.Generator, n: int, slope: float, edge: float) -> Samples:
    """Return noise whose amplitude falls with frequency to this power, above `edge` in Hz."""
    f = np.fft.rfftfreq(n, 1 / RATE)
    spectrum = rng.normal(0, 1, len(f)) * np.exp(2j * np.pi * rng.random(len(f)))
    out = np.fft.irfft(spectrum * np.maximum(f, edge) ** -slope * (f > 20), n)
    return out / out.std()
