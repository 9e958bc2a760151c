#!/usr/bin/env python3
"""Compare the one-shots cut out of drum loops with the true ones: SI-SDR of the aligned strokes.

evaluate_oneshots.py FOLDER ...

Each folder has `mixture.flac`, `stems/NAME.flac` and `examples/NAME.flac`. A take is compared with
the same stretch of the true stem, moved by up to 5 ms to where it fits best.
"""

import argparse
from pathlib import Path

import numpy as np

import audionmf
from audionmf.evaluate.measures import si_sdr

MOVED_SECONDS = 0.005


def main() -> None:
    """Print a line for each source."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--blind", action="store_true", help="as many sources, but no examples")
    options = parser.parse_args()
    print("track, source, takes, best take, mean, worst, best possible choice (SI-SDR in dB)")
    for folder in options.folders:
        stems = {path.stem: audionmf.read(path) for path in sorted(folder.glob("stems/*.flac"))}
        examples = {name: folder / "examples" / f"{name}.flac" for name in stems}
        known = {"n_sources": len(stems)} if options.blind else {"examples": examples}
        kit = audionmf.oneshots(folder / "mixture.flac", takes=64, **known)
        for name, takes in kit.takes.items():
            truth = max(stems, key=lambda stem: score(takes[0], stems[stem]))
            found = [score(take, stems[truth]) for take in takes]
            figures = (found[0], np.mean(found), min(found), max(found))
            heard = name if name == truth else f"{name} ({truth})"
            print(folder.name, heard, len(found), *(f"{value:.1f}" for value in figures), sep=", ")


def score(take, stem) -> float:
    """Return the SI-SDR of a take, where it fits best."""
    reach = round(MOVED_SECONDS * stem.sample_rate)
    first = round(take.onset * stem.sample_rate)
    length = take.samples.shape[1]
    padded = np.pad(stem.samples, ((0, 0), (reach, reach + length)))
    spans = [padded[:, first + move : first + move + length] for move in range(2 * reach + 1)]
    fits = [float(np.vdot(span, take.samples) / (np.linalg.norm(span) + 1e-9)) for span in spans]
    return si_sdr(spans[int(np.argmax(fits))], take.samples)


if __name__ == "__main__":
    main()
