#!/usr/bin/env python3
"""Train the network that tells where notes begin, on music whose score is known.

    train_notes.py make OUT --count 400 --fonts TimGM6mb.sf2 freepats.cfg --notes piano ...
    train_notes.py train OUT... -o audionmf/notes/note_starts.npz

`make` lets instruments of soundfonts, recorded notes and a synthetic singer play pieces made up by
chance, alone or in a mixture, and writes what is seen of each stem (`audionmf.notes.keyboard`) with
the notes that were played. Stems of a mixture are separated by example (a quarter), or by masks with
such faults as separation has. Material is the same as for `make_mixtures.py`; give nothing that is
measured on later. `train` needs PyTorch.
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import scipy.ndimage
import scipy.signal
import soxr
import torch
from make_mixtures import FAMILIES, STRUCK, SUSTAINED, equalised, in_room
from mixture_players import (
    RATE, Note, Samples, Song, bass, chords, font_plays, melody, midi, notes_play, sings, strokes,
)  # fmt: skip
from torch import nn
from training import train

import audionmf
from audionmf.notes import sound
from audionmf.notes.hearing import _loud
from audionmf.notes.keyboard import Keyboard, keyboard
from audionmf.notes.model import fit_keys
from audionmf.notes.note_starts import KEYS_AWAY, N_SEEN, looks

CHORDAL = ("guitar", "distorted", "rhodes", "organ", "strings", "mallets", "harp", "lead")
LOWEST = 26  # of the combs
HIDDEN, FEW = 24, 8
SEEN_FRAMES = 200
START_WEIGHT, SOUNDS_WEIGHT = 2.0, 0.2
SINGER_LATE = 0.03  # s, until a synthetic singer is half as loud as it will be


def piece(rng: np.random.Generator, song: Song, low: int, high: int) -> list[Note]:
    """Return what two hands play: a melody, here and there in chords or runs, over a pattern."""
    ladder = [k for k in range(low, high + 1) if (k - song.root) % 12 in song.scale]
    middle = (low + high) // 2
    right = [k for k in ladder if k >= middle - 3] or ladder
    left = [k for k in ladder if k <= middle + 3] or ladder
    loud, spread = rng.uniform(50, 95), rng.uniform(4, 16)
    thick, quick = rng.uniform(0, 0.7), rng.uniform(0, 1)
    found: list[tuple[float, float, int, float]] = []
    beat, at = 0.0, len(right) // 2
    end = song.seconds / song.beat
    while beat < end:
        length = float(rng.choice((0.25, 0.5, 1, 2), p=(0.35 * quick + 0.1, 0.35, 0.4 - 0.25 * quick, 0.15 - 0.1 * quick)))
        at = int(np.clip(at + round(rng.normal(0, 2.2)), 0, len(right) - 1))
        if rng.random() > 0.1:
            tones = {right[at]}
            if rng.random() < thick:
                for step in rng.choice((-2, -4, -5, -7, 2, 4), int(rng.integers(1, 4))):
                    tones.add(right[int(np.clip(at + step, 0, len(right) - 1))])
            if rng.random() < 0.05:
                tones = {key + int(rng.choice((-1, 1))) for key in tones}
            found += [(beat, length, key, loud + 6) for key in tones]
        beat += length
    way, step = int(rng.integers(5)), float(rng.choice((0.5, 0.5, 1)))
    if len(left) > 4:
        for k, beat in enumerate(np.arange(0, end, step if way != 1 else 2 * step)):
            tones = song.chord(beat)
            near = [key for key in left if key % 12 in tones]
            if not near or rng.random() < 0.08:
                continue
            if way == 0:  # one after the other
                keys = [near[(0, 2, 1, 2)[k % 4] % len(near)]]
            elif way == 1:  # together
                keys = list(rng.permutation(near)[: int(rng.integers(2, 5))])
            elif way == 2:  # octaves
                keys = [near[0], near[0] + 12]
            elif way == 3:  # far
                keys = [near[k % len(near)]]
            else:
                keys = near[:1] if k % 2 == 0 else near[1:4]
            found += [(beat, step, int(key), loud - 6) for key in keys]
    pedal = rng.choice((0, 0, 1, 2, 4))
    held, late, roll = rng.uniform(0.5, 1), rng.uniform(0.002, 0.015), rng.uniform(0, 0.012)
    score = []
    for beat, length, key, velocity in found:
        last = beat + length * held
        if pedal:
            last = max(last, (np.floor(beat / pedal) + 1) * pedal)
        start = max(0.0, beat * song.beat + rng.normal(0, late) + roll * rng.random())
        velocity = int(np.clip(rng.normal(velocity, spread), 20, 124))
        if low <= key <= high:
            score.append((start, (last - beat) * song.beat, int(key), velocity))
    return score


def apart(score: list[Note]) -> list[Note]:
    """Return notes such that a key ends before it is struck again."""
    found: list[Note] = []
    latest: dict[int, int] = {}
    for start, length, key, velocity in sorted(score):
        before = latest.get(key)
        if before is not None:
            first, long, _, loud = found[before]
            if start - first < 0.06:
                continue
            found[before] = (first, min(long, start - first - 0.01), key, loud)
        latest[key] = len(found)
        found.append((start, length, key, velocity))
    return found


class Band:
    """Who plays in a mixture."""

    def __init__(self, rng: np.random.Generator, fonts: Sequence[Path], notes: Sequence[Path]) -> None:
        self.rng, self.fonts, self.notes = rng, fonts, notes
        self.song = Song.of(rng, rng.uniform(7, 11))
        self.other_song = Song.of(rng, rng.uniform(4, 7))

    def player(self, kind: str) -> tuple[str, Samples, Samples, list[Note]]:
        """Return a part: name, in the mixture, in the example, and its notes."""
        rng = self.rng
        if kind == "singer":
            low = int(rng.choice((43, 48, 53, 57)))
            throat = (0.85 + 0.02 * (low - 43) + rng.uniform(-0.05, 0.05), rng.uniform(3, 8),
                      rng.uniform(4.8, 6.6), rng.uniform(0, 0.7), rng.uniform(0, 0.06))  # fmt: skip
            scores = [apart_line(melody(rng, s, low, low + 15)) for s in (self.song, self.other_song)]
            both = [sings(rng, score, s.seconds, throat)
                    for score, s in zip(scores, (self.song, self.other_song), strict=True)]  # fmt: skip
            return "voice", *both, scores[0]
        if kind == "drums":
            program, font = int(rng.choice((0, 8, 16, 24, 25))), self.font()
            scores = [strokes(rng, s) for s in (self.song, self.other_song)]
            both = [font_plays(font, midi(rng, s, program, drums=True, swells=False)) for s in scores]
            return "drums", *both, []
        families = {"piano": ("piano",), "chords": CHORDAL, "line": SUSTAINED, "bass": ("bass",),
                    "plucked": STRUCK}[kind]  # fmt: skip
        family = str(rng.choice(families))
        programs, low, high = FAMILIES[family]
        if kind == "piano":
            low, high = 28, 100
            way = piece
        elif kind == "chords":
            way = chords if rng.random() < 0.4 else piece
        elif kind == "bass":
            way = bass
        else:
            way = melody
        if way in (melody, chords):
            middle = int(rng.integers(low + 8, high - 7))
            low, high = middle - 9, middle + 9
        one_line = kind in ("line", "bass", "plucked")
        scores = [(apart_line if one_line else apart)(way(rng, s, low, high))
                  for s in (self.song, self.other_song)]  # fmt: skip
        recorded = [folder for folder in self.notes if folder.name.startswith(family)]
        if recorded and rng.random() < 0.45:
            folder = recorded[int(rng.integers(len(recorded)))]
            both = [notes_play(rng, folder, score, s.seconds)
                    for score, s in zip(scores, (self.song, self.other_song), strict=True)]  # fmt: skip
        else:
            program, font, swells = int(rng.choice(programs)), self.font(), family in SUSTAINED
            both = [font_plays(font, midi(rng, s, program, drums=False, swells=swells)) for s in scores]
        return family, *both, scores[0]

    def font(self) -> Path:
        return self.fonts[int(self.rng.integers(len(self.fonts)))]


def apart_line(score: list[Note]) -> list[Note]:
    """Return notes each of which ends where the next begins, at the latest."""
    ordered = apart(score)
    ends = [start for start, *_ in ordered[1:]] + [np.inf]
    return [(a, min(b, end - a), k, v) for (a, b, k, v), end in zip(ordered, ends, strict=True)]


def levelled(x: Samples, seconds: float) -> Samples:
    """Return this much of a sound, of RMS 1."""
    n = int(seconds * RATE)
    x = np.pad(x[:n], (0, max(0, n - len(x))))
    return x / (np.sqrt((x**2).mean()) + 1e-9)


def masked(rng: np.random.Generator, stem: Samples, rest: Samples) -> Samples:
    """Return a stem as separation leaves it: by a mask of smoothed powers, with errors in bands."""
    T, R = (scipy.signal.stft(x, RATE, nperseg=2048, noverlap=1536)[2] for x in (stem, rest))
    smooth = (rng.uniform(0, 2.5), rng.uniform(0, 5))
    P, Q = (scipy.ndimage.gaussian_filter(np.abs(X) ** 2, smooth) + 1e-10 for X in (T, R))
    field = rng.normal(0, 1, (24, max(4, T.shape[1] // int(rng.integers(10, 80)))))
    field = scipy.ndimage.zoom(field, (T.shape[0] / 24, T.shape[1] / field.shape[1]), order=1)
    bands = np.zeros_like(P)
    bands[: field.shape[0], : field.shape[1]] = field[: P.shape[0], : P.shape[1]]
    odds = 10 * np.log10(P / Q) + rng.uniform(1, 9) * bands + rng.normal(0, 2)
    mask = 1 / (1 + 10 ** (-odds * rng.uniform(0.6, 1.2) / 10))
    floor = 10 ** (-rng.uniform(8, 40) / 20)
    mask = floor + (1 - 2 * floor) * mask
    return np.asarray(scipy.signal.istft(mask * (T + R), RATE, nperseg=2048, noverlap=1536)[1])


def make(out: Path, seed: int, index: int, fonts: Sequence[Path], notes: Sequence[Path]) -> None:
    """Make a mixture, and write what is seen of one stem or two."""
    rng = np.random.default_rng([seed, index])
    band = Band(rng, fonts, notes)
    first = str(rng.choice(("piano", "chords", "line", "plucked", "singer"), p=(0.5, 0.2, 0.16, 0.04, 0.1)))
    way = rng.choice(("alone", "masked", "separated"), p=(0.3, 0.45, 0.25))
    kinds = [first]
    if way != "alone":
        kinds += list(rng.choice(("line", "singer", "chords", "bass", "drums", "plucked"),
                                 int(rng.choice((1, 2), p=(0.65, 0.35))), replace=False,
                                 p=(0.35, 0.25, 0.12, 0.12, 0.08, 0.08)))  # fmt: skip
    parts = [band.player(kind) for kind in kinds]
    room, rt60 = rng.random() < 0.5, rng.uniform(0.12, 0.6)
    heard = []
    for _, stem, *_ in parts:
        x = equalised(rng, levelled(stem, band.song.seconds), 2.0)
        x = in_room(rng, x, rt60, 1)[0] if room else x
        heard.append(levelled(x, band.song.seconds) * 10 ** (rng.uniform(-6, 6) / 20))
    mixture = sum(heard)
    top = np.abs(mixture).max() * 1.1
    mixture, heard = mixture / top, [x / top for x in heard]
    names = [f"{part[0]}{k}" for k, part in enumerate(parts)]
    if way == "separated":
        examples = {name: audionmf.Audio(levelled(part[2], band.other_song.seconds)[None].astype(np.float32) * 0.1, RATE)
                    for name, part in zip(names, parts, strict=True)}  # fmt: skip
        found = audionmf.separate(audionmf.Audio(mixture[None].astype(np.float32), RATE), examples=examples, n_threads=1)
        stems = [found.sources[name][0].astype(np.float64) for name in names]
    elif way == "masked":
        stems = [masked(rng, x, mixture - x)[: len(mixture)] for x in heard]
    else:
        stems = heard
    for k, (stem, part) in enumerate(zip(stems, parts, strict=True)):
        if not part[3]:
            continue
        others = [] if way == "alone" else [low_rate(mixture - stem)]
        arrays = seen(low_rate(stem), others)
        score = np.array([(a, a + b, key, v) for a, b, key, v in part[3] if a < band.song.seconds - 0.05])
        np.savez(out / f"{index:05d}_{k}_{way}_{names[k]}.npz", notes=score, **arrays)


def low_rate(x: Samples) -> Samples:
    return np.asarray(soxr.resample(x, RATE, sound.RATE))


def seen(x: Samples, others: Sequence[Samples]) -> dict[str, np.ndarray]:
    """Return what is seen of a stem, in half precision."""
    spectra = sound.spectra_of(x)
    fit = fit_keys(spectra)
    board = keyboard(spectra, fit, _loud(sound.short_levels(x)), [sound.long_magnitudes(y) for y in others])
    return {name: getattr(board, name).astype(np.float16) for name in ("long", "short", "others", "fitted")}


class Network(nn.Module):
    """The network of `audionmf.notes.note_starts`, to be trained."""

    def __init__(self) -> None:
        super().__init__()
        n = HIDDEN
        self.seen = nn.Conv2d(N_SEEN, n, 1)
        self.near = nn.Conv2d(n, n, (1, 7), padding=(0, 3))
        self.far = nn.Conv2d(n, n, (1, 7), padding=(0, 9), dilation=(1, 3))
        self.few = nn.Conv2d(n, FEW, 1)
        self.mixed = nn.Conv2d(n + FEW * len(KEYS_AWAY), n, 1)
        self.last = nn.Conv2d(n, 2, (1, 5), padding=(0, 2))
        nn.init.constant_(self.last.bias, -3.0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (n, 2, n_keys, n_frames) of (n, N_SEEN, n_keys, n_frames)."""
        x = self.seen(x).relu()
        x = self.near(x).relu()
        x = self.far(x).relu()
        few, keys = self.few(x).relu(), x.shape[2]
        padded = nn.functional.pad(few, (0, 0, 24, 24))
        y = torch.cat([x, *(padded[:, :, 24 + step : 24 + step + keys] for step in KEYS_AWAY)], 1)
        return self.last(self.mixed(y).relu())

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the weights by their names in the package."""
        found = {}
        for name in ("seen", "near", "far", "few", "mixed", "last"):
            layer = getattr(self, name)
            weight = layer.weight.detach().numpy()[:, :, 0]
            found[name] = (weight if weight.shape[2] > 1 else weight[..., 0]).astype(np.float16)
            found[name + "_bias"] = layer.bias.detach().numpy().astype(np.float16)
        return found


def board_of(path: Path) -> tuple[Keyboard, np.ndarray]:
    """Return what is seen of a stem, and its notes."""
    with np.load(path) as file:
        maps = {name: file[name] for name in ("long", "short", "others", "fitted")}
        notes = file["notes"]
    return Keyboard(**maps, first=1), notes


def targets(notes: np.ndarray, n_keys: int, n_frames: int, late: float) -> np.ndarray:
    """Return where notes begin, within a frame, and where they sound, (2, n_keys, n_frames)."""
    found = np.zeros((2, n_keys, n_frames), np.float32)
    for onset, offset, key, _ in notes:
        row, first = int(key) - LOWEST, (onset + late) / sound.SECONDS
        if not 0 <= row < n_keys:
            continue
        last = max(first + 3, offset / sound.SECONDS)
        found[1, row, max(0, int(first)) : int(last)] = 1
        for frame in range(max(0, int(first) - 2), min(n_frames, int(first) + 4)):
            near = max(0.0, min(1.0, 2.0 - abs(frame - first)))
            found[0, row, frame] = max(found[0, row, frame], near)
    return found


def learn(folders: Sequence[Path], out: Path, seconds: float, seed: int) -> None:
    """Train and write."""
    torch.manual_seed(seed)
    paths = sorted(path for folder in folders for path in folder.glob("*.npz"))
    data = [(*board_of(path), SINGER_LATE if "_voice" in path.stem else 0.0) for path in paths]
    net, rng = Network(), np.random.default_rng(seed)

    def loss(j: int) -> torch.Tensor:
        board, notes, late = data[j]
        n_keys, n_frames = board.fitted.shape
        first = int(rng.integers(0, max(1, n_frames - SEEN_FRAMES)))
        some = slice(first, first + SEEN_FRAMES)
        wanted = torch.from_numpy(targets(notes, n_keys, n_frames, late)[None, ..., some])
        told = net(torch.from_numpy(looks(board.cut(some)))[None])
        weights = torch.tensor([START_WEIGHT, 1.0]).view(1, 2, 1, 1)
        losses = nn.functional.binary_cross_entropy_with_logits(
            told, wanted, pos_weight=weights, reduction="none"
        ).mean(dim=(0, 2, 3))
        return 100 * (losses[0] + SOUNDS_WEIGHT * losses[1])

    train(net, loss, len(data), seconds, rng, 1e-3)
    np.savez_compressed(out, **net.arrays())


def main() -> None:
    """Make material, or train."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    making = commands.add_parser("make")
    making.add_argument("out", type=Path)
    making.add_argument("--count", type=int, default=400)
    making.add_argument("--start", type=int, default=1)
    making.add_argument("--seed", type=int, default=1)
    making.add_argument("--jobs", type=int, default=1)
    making.add_argument("--fonts", type=Path, nargs="+", required=True)
    making.add_argument("--notes", type=Path, nargs="+", default=[])
    training = commands.add_parser("train")
    training.add_argument("folders", type=Path, nargs="+")
    training.add_argument("-o", "--out", type=Path, required=True)
    training.add_argument("--seconds", type=float, default=1200)
    training.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if options.command == "train":
        learn(options.folders, options.out, options.seconds, options.seed)
        return
    options.out.mkdir(parents=True, exist_ok=True)
    work = functools.partial(make, options.out, options.seed, fonts=options.fonts, notes=options.notes)
    with ProcessPoolExecutor(options.jobs) as pool:
        for _ in pool.map(work, range(options.start, options.start + options.count)):
            pass


if __name__ == "__main__":
    main()
