#!/usr/bin/env python3
"""Measure a folder of recordings with one worker and with two, in turns.

    benchmark_folder.py [--files 20] [--seconds 60] [--rounds 3] [--folder FOLDER] [--json FILE]

The recordings are stereo at 44.1 kHz, synthesised into a temporary folder, and separated with 60
templates of three sources. Three ways take turns, each a command in a process of its own, as a user
would start it: one worker on one core (--n-threads 1), one worker that has all cores, and two workers
that share the cores out. What counts are the ratios of the medians; the processor time beside them
tells whether workers got into each other's way. At the end the stems have to be the same bytes.
"""

from __future__ import annotations

import argparse
import filecmp
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import soundfile
from benchmark_long import RATE, learn_banks, machine, parts
from numpy.typing import NDArray

WAYS = {
    "-j 1 --n-threads 1": ("-j", "1", "--n-threads", "1"),
    "-j 1": ("-j", "1"),
    "-j 2": ("-j", "2"),
}
ONE_CORE, ONE, TWO = WAYS


@dataclass(frozen=True)
class Run:
    """One run of the command."""

    seconds: float
    processor_seconds: float


def main() -> None:
    """Measure in turns, print the table and the ratios."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--files", type=int, default=20)
    parser.add_argument("--seconds", type=int, default=60, help="length of each recording")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each way")
    parser.add_argument("--folder", type=Path, help="where the temporary folder is made")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    options = parser.parse_args()
    print(f"{machine()}; {options.files} files of {options.seconds} s\n", flush=True)
    runs: dict[str, list[Run]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        banks = learn_banks(folder)
        make_recordings(folder / "in", options.files, options.seconds)
        for turn in range(options.rounds):
            for way in WAYS:
                runs[way].append(measure(folder, banks, way))
                print(f"round {turn + 1}, {way}: {runs[way][-1].seconds:.1f} s", flush=True)
        require_same(folder)
    medians = {way: statistics.median(run.seconds for run in done) for way, done in runs.items()}
    print("\n| way | median | each | processor |\n|---|---|---|---|")
    for way, done in runs.items():
        each = ", ".join(f"{run.seconds:.1f}" for run in done)
        used = statistics.median(run.processor_seconds for run in done)
        print(f"| {way} | {medians[way]:.1f} s | {each} | {used:.1f} s |")
    print(f"\ntwo workers to one on one core: {medians[ONE_CORE] / medians[TWO]:.2f} x")
    print(f"two workers to one on all cores: {medians[ONE] / medians[TWO]:.2f} x")
    if options.json:
        found = {way: [asdict(run) for run in done] for way, done in runs.items()}
        options.json.write_text(json.dumps({"machine": machine(), "runs": found}, indent=1) + "\n")


def make_recordings(folder: Path, count: int, seconds: int) -> None:
    """Write recordings of the same sources, mixed otherwise each time."""
    folder.mkdir()
    sources: list[NDArray[np.float32]] = list(parts(seconds).values())
    for i in range(count):
        levels = np.random.default_rng(i).uniform(0.5, 1, len(sources)).astype(np.float32)
        turned = [np.roll(x, i * RATE // 4, axis=1) for x in sources]
        mix = sum(level * x for level, x in zip(levels, turned, strict=True))
        soundfile.write(folder / f"{i:02}.wav", np.asarray(mix).T, RATE, "PCM_16")


def measure(folder: Path, banks: list[Path], way: str) -> Run:
    """Separate the folder; the stems of each way are kept."""
    out = place(folder, way)
    shutil.rmtree(out, ignore_errors=True)
    words = ["separate", str(folder / "in"), "--templates", *map(str, banks), "-o", str(out)]
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "audionmf", *words, *WAYS[way]], stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - start
    if process.returncode:
        sys.exit(f"audionmf {' '.join(words)} ended with {process.returncode}")
    return Run(seconds, usage.ru_utime + usage.ru_stime)


def place(folder: Path, way: str) -> Path:
    """Return where the stems of a way go."""
    return folder / f"out{list(WAYS).index(way)}"


def require_same(folder: Path) -> None:
    """Stop if a stem depends on the number of workers or threads."""
    first = place(folder, ONE_CORE)
    names = [str(path.relative_to(first)) for path in sorted(first.glob("[!.]*/*"))]
    for way in (ONE, TWO):
        _, other, missing = filecmp.cmpfiles(first, place(folder, way), names, shallow=False)
        if other or missing:
            sys.exit(f"{way} made other files: {', '.join([*other, *missing])}")
    print(f"\nthe same {len(names)} files each time")


if __name__ == "__main__":
    main()
