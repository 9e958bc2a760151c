#!/usr/bin/env python3
"""Learn how alike components of one source sound, from mixtures whose stems are known.

    train_likeness.py FOLDER... -o audionmf/analysis/likeness.npz

Each FOLDER holds tracks as evaluate_tracks.py takes them: `mixture.*` and `stems/`. Every mixture is
taken apart blind; a component belongs to the sources by the energy of the true stems within its share.
Recordings that are made of strokes, which are grouped otherwise, are left out.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from evaluate_hints import true_shares

import audionmf
from audionmf.analysis import cues
from audionmf.analysis.likeness import Judged, learn_likeness, sound_features


def main() -> None:
    """Learn from all tracks, and write the axes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER")
    parser.add_argument("-o", "--out", type=Path, required=True)
    options = parser.parse_args()
    tracks = [t for f in options.folders for t in sorted(f.iterdir()) if (t / "stems").is_dir()]
    judged = [each for each in map(judge, tracks) if each is not None]
    if not judged:
        sys.exit("train_likeness.py: no track to learn from")
    np.savez(options.out, **learn_likeness(judged))
    print(f"learnt from {len(judged)} of {len(tracks)} tracks")


def judge(track: Path) -> Judged | None:
    """Return the components of a track and whose they are; None if it is made of strokes."""
    mixture = audionmf.read(next(track.glob("mixture.*")))
    stems = {p.stem: audionmf.read(p).samples for p in sorted((track / "stems").iterdir())}
    heard: list[dict[str, Any]] = []

    def listen(*args: Any) -> dict[str, Any]:
        heard.append(sound_features(*args))
        return heard[-1]

    with mock.patch.object(cues, "sound_features", listen):  # the pitches are not kept elsewhere
        found = audionmf.analyse(mixture, n_sources=len(stems), spatial=False).activated()
    if not heard:
        return None
    W, H = found.templates.templates, found.activations
    power = (H.astype(np.float64).sum(axis=1) * np.linalg.norm(W, axis=0)) ** 2
    power_of = true_shares(found, stems).T
    shares = power_of / np.maximum(power_of.sum(axis=0), 1e-20)
    print(track.name, flush=True)
    return Judged(heard[0], power / max(power.sum(), 1e-12), shares)


if __name__ == "__main__":
    main()
