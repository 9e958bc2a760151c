#!/usr/bin/env python3
"""Separate tracks blind, then with two hints of a listener who knows the true stems; SI-SDR in dB.

    evaluate_hints.py FOLDER [--json FILE] [--option NAME=VALUE ...]

FOLDER holds tracks as evaluate_tracks.py takes them. The listener hears which component is most wrongly
grouped: by the energy of the true stems within its share of the mixture, against the source that it was
given to. He says that it belongs to the loudest component of its true source (same), and of the next
worst that it does not belong to the loudest component of the source that it is in (apart). Nothing else
is told; where nothing is wrong, nothing is said. In the last column every component is in its true
source.
"""

from __future__ import annotations

import argparse
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import audionmf
from audionmf.evaluate.measures import si_sdr

LEAST = -30.0

Vector = NDArray[np.float64]


def main() -> None:
    """Print a row for each track, and the mean."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--json", type=Path, help="write the figures here too")
    parser.add_argument("--option", action="append", default=[], metavar="NAME=VALUE")
    options = parser.parse_args()
    changed = {name: json.loads(value) for name, value in (o.split("=") for o in options.option)}
    rows = []
    for track in sorted(path for path in options.folder.iterdir() if (path / "stems").is_dir()):
        rows.append(evaluate(track, changed))
        print(line(rows[-1]), flush=True)
    mean = {key: float(np.mean([row[key] for row in rows])) for key in ("blind", "hinted", "all")}
    print(line({"track": "mean", "said": "", **mean}))
    if options.json:
        options.json.write_text(json.dumps({"tracks": rows, "mean": mean}, indent=1))


def evaluate(track: Path, changed: dict[str, Any]) -> dict[str, Any]:
    """Score one track: blind, with two hints, and with all components where they belong."""
    mixture = audionmf.read(next(track.glob("mixture.*")))
    stems = {p.stem: audionmf.read(p).samples for p in sorted((track / "stems").iterdir())}
    found = audionmf.analyse(mixture, n_sources=len(stems), **changed).activated()
    shares = true_shares(found, stems)
    blind, stem_of = scored(found, stems)
    said = listener(found, shares, stem_of)
    hinted = scored(found.regroup(**said), stems)[0] if said else blind
    own = shares.argmax(axis=1)
    groups = {name: np.flatnonzero(own == j) for j, name in enumerate(stems)}
    groups = {name: group for name, group in groups.items() if len(group)}
    best = scored(found.regroup(groups), stems)[0] if len(groups) == len(stems) else blind
    return {"track": track.name, "blind": blind, "hinted": hinted, "all": best, "said": str(said)}


def true_shares(found: audionmf.Decomposition, stems: dict[str, Any]) -> Vector:
    """Return the energy of each stem within the mask of each component, (n_components, n_stems)."""
    W, H = found.templates.templates, found.activations
    model = np.maximum(W @ H, 1e-20)
    power = [np.abs(found.templates.stft.forward(s)).mean(axis=0) ** 2 for s in stems.values()]
    return np.stack([((W.T @ (P / model)) * H).sum(axis=1) for P in power], axis=1)


def scored(found: audionmf.Decomposition, stems: dict[str, Any]) -> tuple[float, dict[str, int]]:
    """Return the mean SI-SDR under the best assignment, and the number of the stem of each source."""
    sources = found.render().sources
    table = [[max(si_sdr(stem, s), LEAST) for s in sources.values()] for stem in stems.values()]
    table = [[*row, *[LEAST] * (len(stems) - len(row))] for row in table]
    best = max(
        itertools.permutations(range(len(table[0])), len(stems)),
        key=lambda order: sum(row[i] for row, i in zip(table, order, strict=True)),
    )
    mean = float(np.mean([row[i] for row, i in zip(table, best, strict=True)]))
    names = list(sources)
    return mean, {names[i]: j for j, i in enumerate(best) if i < len(names)}


def listener(
    found: audionmf.Decomposition, shares: Vector, stem_of: dict[str, int]
) -> dict[str, list[tuple[int, int]]]:
    """Return what the listener says, as `audionmf.Decomposition.regroup` takes it."""
    given = {k: stem_of.get(name, -1) for name, group in found.grouping.items() for k in group}
    at = np.array([given[k] for k in range(len(shares))])
    own = shares.argmax(axis=1)
    lost = shares.max(axis=1) - np.where(at < 0, 0, shares[np.arange(len(shares)), at])
    wrong = [int(k) for k in np.argsort(-lost) if own[k] != at[k]]
    pure = 2 * shares.max(axis=1) - shares.sum(axis=1)

    def loudest(stem: int, but: int) -> int | None:
        """Return the component that is most plainly a stem, and in its source."""
        those = [int(k) for k in np.flatnonzero((own == stem) & (at == stem)) if k != but]
        return max(those, key=lambda k: pure[k], default=None)

    said: dict[str, list[tuple[int, int]]] = {}
    if wrong and (first := loudest(own[wrong[0]], wrong[0])) is not None:
        said["same"] = [(first, wrong[0])]
    if len(wrong) > 1 and (first := loudest(at[wrong[1]], wrong[1])) is not None:
        said["apart"] = [(first, wrong[1])]
    return said


def line(row: dict[str, Any]) -> str:
    """Return a row of the table."""
    return (
        f"{row['track']:28s} blind {row['blind']:6.2f}  two hints {row['hinted']:6.2f}  "
        f"all right {row['all']:6.2f}  {row['said']}"
    )


if __name__ == "__main__":
    main()
