#!/usr/bin/env python3
"""Fit what tells how likely a stem is to be wrong, on mixtures whose stems are known.

    train_doubt.py FOLDER --unseen FOLDER... --count 40

Each folder in FOLDER holds `mixture.*`, `stems/NAME.*`, which sum to it, and `examples/NAME.*`, as
`make_mixtures.py` writes them. The first seconds of each mixture are separated by all examples, by
one of them alone, with this one taken from another mixture, of a source that does not play, and blind
with the number of sources. What is fitted is a logistic regression, by examples and blind: whether
the SI-SDR of a stem is below 3 dB, by the numbers of `doubt_numbers` in `audionmf.rendering.trust`,
where what is printed stands. Then it prints how right that is on these and on unseen mixtures.
Mixtures of drums alone are left out: those are separated in another way.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import audionmf
from audionmf.evaluate.measures import si_sdr
from audionmf.rendering.trust import doubt_numbers

WRONG_DB, DOUBTFUL = 3.0, 0.5
RIDGE, STEPS = 0.04, 50
KIT = frozenset({"kick", "snare", "hats", "hihat", "ride", "toms", "cymbals"})
Features = NDArray[np.float64]
Stems = dict[str, NDArray[np.float32]]
Row = tuple[float, ...]  # what `doubt_numbers` gives, and the SI-SDR


def main() -> None:
    """Separate, fit and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--unseen", type=Path, nargs="+", default=[], metavar="FOLDER")
    parser.add_argument(
        "--count", type=int, default=40, help="of mixtures of each folder (default: %(default)s)"
    )
    parser.add_argument("--seconds", type=float, default=7.0, help="of each (default: %(default)s)")
    options = parser.parse_args()
    folders = [options.folder, *options.unseen]
    every = {folder: list(rows_in(folder, options.count, options.seconds)) for folder in folders}
    for way, n_numbers in (("examples", 3), ("blind", 1)):
        rows = {
            folder: np.array([row for row in own if len(row) == n_numbers + 1])
            for folder, own in every.items()
        }
        seen = rows[options.folder]
        weights = fitted(seen[:, :-1], seen[:, -1] < WRONG_DB)
        print(
            f"{way}: {weights.round(3).tolist()}; mean {seen[:, :-1].mean(axis=0).round(2).tolist()}"
        )
        for folder, own in rows.items():
            print(f"  {folder}: {told(own, weights)}")


def rows_in(folder: Path, count: int, seconds: float) -> Iterator[Row]:
    """Yield the figures of every stem of some mixtures, spread over a folder."""
    tracks = [
        track for track in sorted(folder.iterdir())
        if not KIT.issuperset(path.stem for path in (track / "examples").glob("*"))
    ]  # fmt: skip
    for i, track in enumerate(tracks[:: max(1, len(tracks) // count)][:count]):
        mixture = audionmf.read(next(track.glob("mixture.*")))
        n = round(seconds * mixture.sample_rate)
        mixture = audionmf.Audio(mixture.samples[:, :n], mixture.sample_rate)
        paths = sorted((track / "stems").iterdir())
        stems = {path.stem: audionmf.read(path).samples[:, :n] for path in paths}
        found = {path.stem: str(path) for path in (track / "examples").iterdir()}
        examples = {name: found[name] for name in stems}
        one = list(stems)[i % len(stems)]
        yield from by_examples(mixture, stems, examples)
        yield from by_examples(mixture, stems, {one: examples[one]})
        yield from by_examples(mixture, stems, examples | {one: another(tracks, track, stems)})
        yield from blind(mixture, stems)


def another(tracks: list[Path], track: Path, stems: Stems) -> str:
    """Return an example, of the next mixtures, of a source that this one does not have."""
    first = tracks.index(track) + 1
    return next(
        str(path)
        for other in [*tracks[first:], *tracks[:first]]
        for path in sorted((other / "examples").iterdir())
        if path.stem not in stems
    )


def by_examples(mixture: audionmf.Audio, stems: Stems, examples: dict[str, str]) -> Iterator[Row]:
    """Yield the figures of the stems that have examples."""
    found = audionmf.separate(mixture, examples=examples)
    for name in examples:
        if evidence := found.trust.evidence.get(name):
            numbers = doubt_numbers(found.trust.overlap[name], evidence)
            yield from scored(numbers, stems[name], found.sources[name])


def blind(mixture: audionmf.Audio, stems: Stems) -> Iterator[Row]:
    """Yield the figures of all stems, each for the source that it is likest."""
    found = audionmf.separate(mixture, n_sources=len(stems))
    table = [[si_sdr(true, stem) for stem in found.sources.values()] for true in stems.values()]
    best = max(
        itertools.permutations(found.sources),
        key=lambda order: sum(
            row[list(found.sources).index(name)] for row, name in zip(table, order, strict=True)
        ),
    )
    for true, name in zip(stems.values(), best, strict=True):
        if name in found.trust.evidence:
            numbers = doubt_numbers(found.trust.overlap[name], ())
            yield from scored(numbers, true, found.sources[name])


def scored(
    numbers: list[float], true: NDArray[np.float32], stem: NDArray[np.float32]
) -> Iterator[Row]:
    """Yield the row of a stem, unless the source is silent in what was separated."""
    if true.any():
        yield *numbers, float(si_sdr(true, stem))


def fitted(x: Features, wrong: NDArray[np.bool_]) -> Features:
    """Return the level and the weights of a logistic regression, by Newton's steps."""
    mean, spread = x.mean(axis=0), x.std(axis=0) + 1e-6
    z = np.column_stack([np.ones(len(x)), (x - mean) / spread])
    pull = RIDGE * len(x) * np.diag([0.0, *np.ones(x.shape[1])])
    w = np.zeros(z.shape[1])
    for _ in range(STEPS):
        p = 1 / (1 + np.exp(-z @ w))
        curved = (z.T * (p * (1 - p))) @ z + pull
        w -= np.linalg.solve(curved, z.T @ (p - wrong) + pull @ w)
    weights = w[1:] / spread
    return np.array([w[0] - weights @ mean, *weights])


def told(rows: Features, weights: Features) -> str:
    """Say how right the doubt is."""
    doubt = 1 / (1 + np.exp(-(weights[0] + rows[:, :-1] @ weights[1:])))
    s, said = rows[:, -1], doubt >= DOUBTFUL
    wrong = s < WRONG_DB
    return (
        f"{len(s)} stems; AUC {above(doubt, wrong):.2f} below {WRONG_DB:g} dB and "
        f"{above(doubt, s < 0):.2f} below 0; doubted {said.sum()}, of which {wrong[said].mean():.0%} "
        f"are below {WRONG_DB:g} dB, {(s[said] < 0).mean():.0%} below 0; of the others "
        f"{wrong[~said].mean():.0%}, {(s[~said] < 0).mean():.0%}"
    )


def above(x: Features, true: NDArray[np.bool_]) -> float:
    """Return how often one that is true is above one that is not: the area under the ROC curve."""
    apart = x[true][:, None] - x[~true]
    return float(((apart > 0) + 0.5 * (apart == 0)).mean())


if __name__ == "__main__":
    main()
