#!/usr/bin/env python3
"""Separate tracks whose true stems are known, and print SI-SDR in dB per track.

Each folder in FOLDER that holds mixture.* and stems/NAME.* is a track; examples/NAME.* and score.mid
are for two of the ways. Every track is separated with the same settings. The oracle applies ratio masks
made from the true stems.
"""

from __future__ import annotations

import argparse
import itertools
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import audionmf
from audionmf.evaluate.measures import si_sdr
from audionmf.spectra.masks import ratio_masks
from audionmf.spectra.stft import STFT

Stems = dict[str, NDArray[np.float32]]


def main() -> None:
    """Print a row for each track, the mean, and the seconds that the separation took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--way", default="examples", choices=WAYS,
        help="how the sources are known: examples, each example alone in turn (one; of the stems the "
        "one that it is of), score (score.mid), the same score played 100 ms "
        "late with 5 %% of its notes missing (score-late), their number alone (blind; best match), "
        "one second a source: the one in which it is loudest against the others (solo), or one of "
        "its own before the mixture begins, which is not scored (solo-ahead), "
        "that one of them leads (lead; of the stems the one that fits, and the sum of the others), "
        "that they are drums (kit; best match), or nothing but what holds a tone and what is struck "
        "(harmonic-percussive; the sums of drums and of all others); "
        "scikit-learn is no way of this package, but what is written without it: its NMF, by example",
    )  # fmt: skip
    parser.add_argument(
        "--seed", type=int, default=0, help="which notes are missing (default: %(default)s)"
    )
    parser.add_argument("--json", type=Path, help="write the figures here too")
    parser.add_argument("--option", action="append", default=[], metavar="NAME=VALUE")
    options = parser.parse_args()
    changed = {name: json.loads(value) for name, value in (o.split("=") for o in options.option)}
    rows = []
    tracks = sorted(path for path in options.folder.iterdir() if (path / "stems").is_dir())
    tracks = [track for track in tracks if fits(track, options.way)]
    for track in tracks:
        rows.append(evaluate(track, options.way, options.seed, changed))
        print(line(rows[-1]), flush=True)
    mean = {key: float(np.mean([row[key] for row in rows])) for key in COLUMNS}
    print(line({"track": "mean", "stems": {}, **mean}))
    if options.json:
        options.json.write_text(json.dumps({"tracks": rows, "mean": mean}, indent=1))


WAYS = (
    "examples", "one", "blind", "lead", "score", "score-late", "solo", "solo-ahead", "kit",
    "harmonic-percussive", "scikit-learn",
)  # fmt: skip
DRUMS = ("drums", "tabla", "kick", "snare", "hats", "hihat", "ride", "toms", "cymbals")
LATE_SECONDS, MISSING = 0.1, 0.05
SOLO_SECONDS, SOLO_STEP = 1.0, 0.1
COLUMNS = ("si_sdr", "oracle", "mixture", "seconds")


def fits(track: Path, way: str) -> bool:
    """Tell whether a way can be taken: with a score, of drums alone, or of drums among others."""
    struck = [path.stem in DRUMS for path in (track / "stems").iterdir()]
    if way.startswith("score"):
        return (track / "score.mid").is_file()
    if way == "kit":
        return all(struck)
    return way != "harmonic-percussive" or (any(struck) and not all(struck))


def evaluate(track: Path, way: str, seed: int, changed: dict[str, Any]) -> dict[str, Any]:
    """Separate one track and score it."""
    mixture = audionmf.read(next(track.glob("mixture.*")))
    stems = {p.stem: audionmf.read(p).samples for p in sorted((track / "stems").iterdir())}
    heard, ahead = mixture, 0
    with tempfile.TemporaryDirectory() as folder:
        if way.startswith("solo"):
            heard, solo = with_solos(mixture, stems, ahead=way == "solo-ahead")
            known: dict[str, Any] = {"solo": solo}
            ahead = heard.n_samples - mixture.n_samples
        else:
            known = knowledge(track, way, seed, len(stems), Path(folder))
        start = time.perf_counter()
        if way == "one":
            found = each_alone(heard, known["examples"], changed)
        elif way == "scikit-learn":
            found = without_us(mixture, known["examples"])
        else:
            found = audionmf.separate(heard, **known, **changed).sources
        seconds = time.perf_counter() - start
    found = {name: stem[:, ahead:] for name, stem in found.items()}
    if way == "lead":
        stems = lead_and_rest(stems, found["lead"])
    if way == "harmonic-percussive":
        stems = by_texture(stems)
    if way in ("blind", "kit"):
        scores = best_match(stems, found)
    else:
        scores = {name: si_sdr(stems[name], found[name]) for name in stems}
    oracle = oracle_stems(mixture, stems)
    return {
        "track": track.name,
        "stems": scores,
        "si_sdr": float(np.mean(list(scores.values()))),
        "oracle": float(np.mean([si_sdr(stems[n], oracle[n]) for n in stems])),
        "mixture": float(np.mean([si_sdr(stem, mixture.samples) for stem in stems.values()])),
        "seconds": seconds,
    }


def knowledge(track: Path, way: str, seed: int, n_sources: int, folder: Path) -> dict[str, Any]:
    """Return what `audionmf.separate` is told about the sources of a track."""
    if way == "blind":
        return {"n_sources": n_sources}
    if way in ("lead", "kit"):
        return {way: True}
    if way == "harmonic-percussive":
        return {"harmonic_percussive": True}
    if way in ("examples", "one", "scikit-learn"):
        examples = sorted((track / "examples").iterdir())
        return {"examples": {p.stem: str(p) for p in examples}}
    score = track / "score.mid"
    return {"midi": str(score if way == "score" else damaged(score, seed, folder / "score.mid"))}


def each_alone(mixture: audionmf.Audio, examples: dict[str, str], changed: dict[str, Any]) -> Stems:
    """Return the stem of each source as it is where nothing but its own example is known."""
    return {
        name: audionmf.separate(mixture, examples={name: path}, **changed).sources[name]
        for name, path in examples.items()
    }


def without_us(mixture: audionmf.Audio, examples: dict[str, str]) -> Stems:
    """Separate as one does with scikit-learn: 40 templates an example, then ratio masks."""
    from sklearn.decomposition import NMF, non_negative_factorization

    stft = STFT(4096, 1024)

    def magnitude(audio: audionmf.Audio) -> NDArray[np.float32]:
        V: NDArray[np.float32] = np.abs(stft.forward(audio.samples)).mean(axis=0) + 1e-9
        return V.astype(np.float32)

    banks = []
    for path in examples.values():
        V = magnitude(audionmf.read(path))
        model = NMF(
            min(40, V.shape[1]), init="random", solver="mu", beta_loss="kullback-leibler",
            max_iter=200, tol=0, random_state=0,
        )  # fmt: skip
        W = model.fit_transform(V)
        banks.append(W / W.sum(axis=0))
    W = np.concatenate(banks, axis=1)
    V = magnitude(mixture)
    H = non_negative_factorization(
        V.T, H=np.ascontiguousarray(W.T), init="custom", update_H=False, solver="mu",
        beta_loss="kullback-leibler", n_components=W.shape[1], max_iter=200, tol=0,
    )[0].T  # fmt: skip
    bounds = np.cumsum([0, *(bank.shape[1] for bank in banks)])
    models = np.stack([W[:, a:b] @ H[a:b] for a, b in itertools.pairwise(bounds)])
    X = stft.forward(mixture.samples)
    masks = models / (models.sum(axis=0) + 1e-12)
    return {
        name: stft.inverse(X * mask, mixture.n_samples)
        for name, mask in zip(examples, masks, strict=True)
    }


def with_solos(
    mixture: audionmf.Audio, stems: Stems, *, ahead: bool
) -> tuple[audionmf.Audio, dict[str, list[tuple[float, float]]]]:
    """Return a recording and one second of it for each source.

    It is the second in which the source is loudest against all others, no two of them overlapping;
    with `ahead`, the mixture begins behind the loudest second of each stem alone.
    """
    rate, n = mixture.sample_rate, round(SOLO_SECONDS * mixture.sample_rate)
    starts = np.arange(0, mixture.n_samples - n, round(SOLO_STEP * rate))
    energies = {
        name: np.array([float((stem[:, s : s + n] ** 2).sum()) for s in starts])
        for name, stem in stems.items()
    }
    if ahead:
        loudest = [starts[energies[name].argmax()] for name in stems]
        pieces = [stem[:, s : s + n] for stem, s in zip(stems.values(), loudest, strict=True)]
        solo = {name: [(i * SOLO_SECONDS, (i + 1) * SOLO_SECONDS)] for i, name in enumerate(stems)}
        samples = np.concatenate([*pieces, mixture.samples], axis=1)
        return audionmf.Audio(samples, rate), solo
    total = np.sum(list(energies.values()), axis=0) + 1e-12
    shares = {name: own / total for name, own in energies.items()}
    solo, free = {}, np.ones(len(starts), bool)
    for name in sorted(stems, key=lambda name: shares[name].max()):
        best = int(np.where(free, shares[name], -1.0).argmax())
        begin = float(starts[best] / rate)
        solo[name] = [(begin, begin + SOLO_SECONDS)]
        free &= np.abs(starts - starts[best]) >= n
    return mixture, {name: solo[name] for name in stems}


def damaged(score: Path, seed: int, path: Path) -> Path:
    """Write a score 100 ms late and with 5 % of its notes missing."""
    import pretty_midi

    midi = pretty_midi.PrettyMIDI(str(score))
    rng = np.random.default_rng(seed)
    for instrument in midi.instruments:
        instrument.notes = [n for n in instrument.notes if rng.random() >= MISSING]
        for note in instrument.notes:
            note.start += LATE_SECONDS
            note.end += LATE_SECONDS
    midi.write(str(path))
    return path


def best_match(stems: Stems, found: Stems) -> dict[str, float]:
    """Score unnamed stems under the assignment with the best mean."""
    table = [[si_sdr(truth, guess) for guess in found.values()] for truth in stems.values()]
    best = max(
        itertools.permutations(range(len(found))),
        key=lambda order: sum(row[i] for row, i in zip(table, order, strict=True)),
    )
    return {name: row[i] for name, row, i in zip(stems, table, best, strict=True)}


def lead_and_rest(stems: Stems, lead: NDArray[np.float32]) -> Stems:
    """Return the stem that a lead fits best, and the sum of all others."""
    best = max(stems, key=lambda name: si_sdr(stems[name], lead))
    rest = sum(stem for name, stem in stems.items() if name != best)
    return {"lead": stems[best], "accompaniment": np.asarray(rest)}


def by_texture(stems: Stems) -> Stems:
    """Return the sum of all drums, and that of everything else."""
    percussive = sum(stem for name, stem in stems.items() if name in DRUMS)
    harmonic = sum(stem for name, stem in stems.items() if name not in DRUMS)
    return {"harmonic": np.asarray(harmonic), "percussive": np.asarray(percussive)}


def oracle_stems(mixture: audionmf.Audio, stems: Stems) -> Stems:
    """Apply ratio masks made from the true stems, channels pooled."""
    stft = STFT(4096, 1024)
    X = stft.forward(mixture.samples)
    models = np.stack([np.abs(stft.forward(stem)).mean(axis=0) for stem in stems.values()])
    masks = ratio_masks(models)
    return {
        name: stft.inverse(X * mask, mixture.n_samples)
        for name, mask in zip(stems, masks, strict=True)
    }


def line(row: dict[str, Any]) -> str:
    """Return a row of the table."""
    stems = "  ".join(f"{name} {score:.1f}" for name, score in row["stems"].items())
    return (
        f"{row['track']:28s} {row['si_sdr']:6.2f}  oracle {row['oracle']:6.2f}  "
        f"mixture {row['mixture']:6.2f}  {row['seconds']:6.1f} s  {stems}"
    )


if __name__ == "__main__":
    main()
