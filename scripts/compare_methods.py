#!/usr/bin/env python3
"""Separate tracks whose true stems are known by every method, and print one table in Markdown.

    compare_methods.py FOLDER [--only METHOD ...] [--json FILE]

FOLDER holds tracks as evaluate_tracks.py takes them. Figures are SI-SDR in dB, means over the stems of
a track, then over tracks, and the seconds a track took; every method has one set of settings for all
tracks. A track without a score has no figure where one is needed; the kit is for tracks of drums alone,
harmonic and percussive sound for tracks with drums among others.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from evaluate_tracks import evaluate, fits

METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "by example": ("examples", {}),
    "by example, single frames (`--no-exemplars`)": ("examples", {"exemplars": False}),
    "by example, consistent phase": ("examples", {"phase": "consistent"}),
    "by example, front end log": ("examples", {"front_end": "log"}),
    "by example, quality fast": ("examples", {"quality": "fast"}),
    "by example, quality best": ("examples", {"quality": "best"}),
    "by example, factorised": ("examples", {"dictionary": "nmf", "model": "frames"}),
    "by example, without place": ("examples", {"spatial": False}),
    "with the score": ("score", {}),
    "with the score, 100 ms late, 5 % of the notes missing": ("score-late", {}),
    "blind": ("blind", {}),
    "blind, 4 starts": ("blind", {"restarts": 4}),
    "blind, notes and noises": ("blind", {"model": "harmonic"}),
    "blind, free components": ("blind", {"model": "free"}),
    "blind, patterns": ("blind", {"model": "patterns"}),
    "blind, without place": ("blind", {"cues": "timbre,pitch,course"}),
    "blind, without timbre": ("blind", {"cues": "place,pitch,course"}),
    "blind, without pitch": ("blind", {"cues": "place,timbre,course"}),
    "blind, without course": ("blind", {"cues": "place,timbre,pitch"}),
    "lead": ("lead", {}),
    "drums by the kit that is shipped": ("kit", {}),
    "harmonic and percussive": ("harmonic-percussive", {}),
}


def main() -> None:
    """Print the table, a row as soon as it is there."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--json", type=Path, help="write the figures here too")
    options = parser.parse_args()
    tracks = sorted(path for path in options.folder.iterdir() if (path / "stems").is_dir())
    names = [track.name for track in tracks]
    print(f"| method | {' | '.join(names)} | mean | seconds |", flush=True)
    print(f"|---|{'---|' * (len(names) + 2)}", flush=True)
    found = {}
    for method in options.only:
        found[method] = rows = [measured(track, method) for track in tracks]
        print(line(method, rows), flush=True)
    first = next(iter(found.values()))
    oracles = [{"si_sdr": row["oracle"], "seconds": 0.0} if row else None for row in first]
    if any(oracles):
        print(line("oracle: ratio masks from the true stems", oracles))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))


def measured(track: Path, method: str) -> dict[str, Any] | None:
    """Return the figures of a track, None where the method is not for it."""
    way, changed = METHODS[method]
    return evaluate(track, way, 0, changed) if fits(track, way) else None


def line(method: str, rows: list[dict[str, Any] | None]) -> str:
    """Return a row of the table."""
    cells = [f"{row['si_sdr']:.1f}" if row else "–" for row in rows]
    there = [row for row in rows if row]
    if not there:
        return f"| {method} | {' | '.join(cells)} | – | – |"
    mean = np.mean([row["si_sdr"] for row in there])
    seconds = np.mean([row["seconds"] for row in there])
    return f"| {method} | {' | '.join(cells)} | {mean:.1f} | {seconds:.1f} |"


if __name__ == "__main__":
    main()
