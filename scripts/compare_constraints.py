#!/usr/bin/env python3
"""Measure what --sparsity, --continuity and --decorrelation do to blind stems and to activations.

    compare_constraints.py FOLDER [--seconds S] [--only WORD] [--by-example]

FOLDER holds tracks as evaluate_tracks.py takes them; of each the first seconds are taken. Printed is a
table in Markdown: SI-SDR in dB of blind separation (the number of sources is given, best match), and of
16 components of the mixture the sparseness of activations (Hoyer 2004: 0 where all are alike, 1 where a
single one is there), their roughness (mean change from frame to frame, as a share of the mean level),
and the divergence as a multiple of what it is without constraints.

With --by-example the first example of each track is given and the rest is free components; printed is
the mean SI-SDR of both, and how much single tracks change.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from evaluate_tracks import best_match
from numpy.typing import NDArray

import audionmf
from audionmf.evaluate import si_sdr
from audionmf.spectra.frames import pooled_magnitude

LEAST = 1e-6
"""A weight that does nothing, but takes the same way: channels added up, one factorisation."""
WEIGHTS: dict[str, dict[str, float]] = {
    "none": {"sparsity": LEAST},
    "blind separation as it is by default": {},
    "`--sparsity 0.1`": {"sparsity": 0.1},
    "`--sparsity 1`": {"sparsity": 1.0},
    "`--continuity 0.01`": {"continuity": 0.01},
    "`--continuity 0.1`": {"continuity": 0.1},
    "`--continuity 1`": {"continuity": 1.0},
    "`--continuity 10`": {"continuity": 10.0},
    "`--decorrelation 0.001`": {"decorrelation": 0.001},
    "`--decorrelation 0.01`": {"decorrelation": 0.01},
    "`--decorrelation 0.1`": {"decorrelation": 0.1},
}
BY_EXAMPLE: dict[str, dict[str, float]] = {
    "none": {},
    "`--group-sparsity 0.1`": {"group_sparsity": 0.1},
    "`--group-sparsity 1`": {"group_sparsity": 1.0},
    "`--decorrelation 0.01`": {"decorrelation": 0.01},
    "`--continuity 0.1`": {"continuity": 0.1},
}


def main() -> None:
    """Print the table, a row as soon as it is there."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--only", default="", help="rows with this word, and the first")
    parser.add_argument("--by-example", action="store_true", help="one instrument by its example")
    options = parser.parse_args()
    tracks = sorted(path for path in options.folder.iterdir() if (path / "stems").is_dir())
    if options.by_example:
        compare_by_example(tracks, options.seconds, options.only)
        return
    print(
        "| | SI-SDR | worst change | sparseness | roughness | divergence |\n|---|---|---|---|---|---|"
    )
    first: NDArray[np.float64] | None = None
    for name, weights in WEIGHTS.items():
        if first is not None and options.only not in name:
            continue
        rows = np.array([measured(track, options.seconds, weights) for track in tracks])
        first = rows if first is None else first
        score, sparse, rough, _ = rows.mean(axis=0)
        worst, cost = (rows - first)[:, 0].min(), (rows / first)[:, 3].mean()
        print(
            f"| {name} | {score:.1f} | {worst:+.1f} | {sparse:.2f} | {rough:.2f} | {cost:.3f} |",
            flush=True,
        )


def compare_by_example(tracks: list[Path], seconds: float, only: str) -> None:
    """Print the table of one instrument by its example, a row as soon as it is there."""
    print(f"| | SI-SDR | {' | '.join(track.name for track in tracks)} |")
    print("|---|---|" + "---|" * len(tracks))
    first: NDArray[np.float64] | None = None
    for name, weights in BY_EXAMPLE.items():
        if first is not None and only not in name:
            continue
        scores = np.array([told(track, seconds, weights) for track in tracks])
        first = scores if first is None else first
        changes = " | ".join(f"{change:+.1f}" for change in scores - first)
        print(f"| {name} | {scores.mean():.1f} | {changes} |", flush=True)


def told(track: Path, seconds: float, weights: dict[str, float]) -> float:
    """Return the SI-SDR of an instrument by its example and of all else, in the mean."""
    example = min((track / "examples").iterdir())
    mixture = beginning(next(track.glob("mixture.*")), seconds)
    stem = beginning(next((track / "stems").glob(f"{example.stem}.*")), seconds).samples
    found = audionmf.separate(mixture, examples={"one": example}, **weights).sources
    one = si_sdr(stem, found["one"])
    return (one + si_sdr(mixture.samples - stem, found["rest"])) / 2


def measured(track: Path, seconds: float, weights: dict[str, float]) -> tuple[float, ...]:
    """Return SI-SDR of blind stems, and sparseness, roughness and divergence of 16 components."""
    mixture = beginning(next(track.glob("mixture.*")), seconds)
    stems = {p.stem: beginning(p, seconds).samples for p in sorted((track / "stems").iterdir())}
    model = "free" if weights else "auto"
    found = audionmf.separate(mixture, n_sources=len(stems), model=model, **weights)
    score = float(np.mean(list(best_match(stems, found.sources).values())))
    parts = audionmf.decompose(mixture, n_components=16, **weights)
    H = parts.activations
    if H is None:
        raise SystemExit(f"{track}: the recording is too long to keep activations; ask for less")
    V = pooled_magnitude(parts.templates.stft.forward(mixture.samples))
    WH = parts.templates.templates @ H
    divergence = float((V * np.log((V + 1e-20) / (WH + 1e-20)) - V + WH).sum())
    return score, sparseness(H), roughness(H), divergence


def beginning(path: Path, seconds: float) -> audionmf.Audio:
    """Return the first seconds of a file."""
    whole = audionmf.read(path)
    n = round(seconds * whole.sample_rate)
    return audionmf.Audio(whole.samples[:, :n], whole.sample_rate)


def sparseness(H: NDArray[np.floating]) -> float:
    """Return how few activations carry a component, in the mean of the components."""
    H = H[H.any(axis=1)].astype(np.float64)
    root = np.sqrt(H.shape[1])
    return float(np.mean((root - H.sum(axis=1) / np.sqrt((H**2).sum(axis=1))) / (root - 1)))


def roughness(H: NDArray[np.floating]) -> float:
    """Return how much activations change from frame to frame, as a share of their mean."""
    H = H[H.any(axis=1)].astype(np.float64)
    return float(np.mean(np.abs(np.diff(H, axis=1)).mean(axis=1) / H.mean(axis=1)))


if __name__ == "__main__":
    main()
