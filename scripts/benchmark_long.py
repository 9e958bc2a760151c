#!/usr/bin/env python3
"""Measure time and memory for recordings of 1 minute to 4 hours, stereo at 44.1 kHz.

    benchmark_long.py [--lengths 1m 10m 1h 4h] [--only WORK ...] [--folder FOLDER] [--table FILE]

The recordings are synthesised into a temporary folder, which is emptied again; 4 hours need some
18 GB there: live stems are float, 5 GB each, and so RF64. Every work is one command in a process of
its own, as a user would start it; its peak is the largest resident set that the system saw
(ru_maxrss), the interpreter and all libraries included. At the end it is said whether memory is flat
from 10 minutes on, and below its bound.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

RATE = 44100
SOURCES = ("plucked", "bowed", "hiss")
SECONDS_REPEATED = 60
UNITS = {"s": 1, "m": 60, "h": 3600}
WORKS = {
    "separate": "separate {mix} --templates {banks} -o {out} --json",
    "by example": "separate {mix} {examples} -o {out} --json",
    "blind": "separate {mix} --n-sources 3 -o {out} --json",
    "learn": "learn {mix} -o {out}/bank.npz --json",
    "learn, factorised": "learn {mix} --dictionary nmf -o {out}/bank.npz --json",
    "decompose": "decompose {mix} --n-components 4 -o {out} --json",
    "stream": "stream {mix} --templates {banks} -o {out} --json",
    "with a report": "separate {mix} --templates {banks} --report -o {out} --json",
    "with notes": "separate {mix} --templates {banks} --export midi,labels,csv -o {out} --json",
}
MOST_GROWTH_MB = 50
MOST_MB = {"separate": 400, "by example": 400, "learn": 600, "learn, factorised": 600}
STEADY_SECONDS = 600
WAV_SUFFIX = ".wav"


@dataclass(frozen=True)
class Figures:
    """One row of the table."""

    work: str
    length: str
    audio_seconds: int
    seconds: float
    processor_seconds: float
    peak_mb: float
    largest: str

    def __str__(self) -> str:
        """Return the row in Markdown."""
        return (
            f"| {self.work} | {self.length} | {self.seconds:.1f} s | {self.processor_seconds:.1f} s | "
            f"{self.audio_seconds / self.seconds:.0f} × | {self.peak_mb:.0f} MB | {self.largest} |"
        )


def main() -> None:
    """Print a row for each work and length; write them as a table if asked to."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lengths", nargs="+", default=["1m", "10m", "1h", "4h"])
    parser.add_argument("--only", nargs="+", choices=WORKS, default=list(WORKS), metavar="WORK")
    parser.add_argument("--folder", type=Path, help="where the temporary folder is made")
    parser.add_argument("--table", type=Path, help="write the table here too")
    options = parser.parse_args()
    lines = [
        machine(),
        "",
        "| work | length | time | processor | real time | peak | largest stem |",
        "|---|---|---|---|---|---|---|",
    ]
    print("\n".join(lines), flush=True)
    rows: list[Figures] = []
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        banks = learn_banks(folder)
        for length in options.lengths:
            mix = synthesise(folder / f"{length}.wav", seconds_of(length))
            for work in options.only:
                rows.append(measure(work, mix, banks, length))
                print(rows[-1], flush=True)
                lines.append(str(rows[-1]))
            mix.unlink()
    lines += ["", *verdicts(rows)]
    print("", *verdicts(rows), sep="\n")
    if options.table:
        options.table.write_text("\n".join(lines) + "\n")


def verdicts(rows: list[Figures]) -> Iterator[str]:
    """Yield for each work how its memory and time grow with the length, and the bounds."""
    for work in dict.fromkeys(row.work for row in rows):
        found = [row for row in rows if row.work == work and row.audio_seconds >= STEADY_SECONDS]
        if not found:
            continue
        first, last = found[0], max(found, key=lambda row: row.audio_seconds)
        bound, peak = MOST_MB.get(work), max(row.peak_mb for row in found)
        grown = last.peak_mb - first.peak_mb
        kept = grown <= MOST_GROWTH_MB and (bound is None or peak < bound)
        pace = (last.processor_seconds / last.audio_seconds) / (
            first.processor_seconds / first.audio_seconds
        )
        below = "" if bound is None else f", peak {peak:.0f} of at most {bound} MB"
        yield (
            f"{work}: {grown:+.0f} MB from {first.length} to {last.length} (at most "
            f"{MOST_GROWTH_MB}){below}; {pace:.2f} × the processor time a minute: "
            f"{'kept' if kept else 'NOT KEPT'}"
        )


def machine() -> str:
    """Return the machine in a line."""
    model = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        names = [x for x in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in x]
        model = names[0].split(":")[1].strip() if names else model
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    cores = len(os.sched_getaffinity(0))
    return f"{model}, {cores} cores, {memory:.0f} GiB, NumPy {np.__version__}"


def seconds_of(length: str) -> int:
    """Return the seconds of a length such as 30s, 10m or 4h."""
    return int(length[:-1]) * UNITS[length[-1]]


def measure(work: str, mix: Path, banks: list[Path], length: str) -> Figures:
    """Run one command to its end; its outputs are removed."""
    out = mix.parent / "out"
    out.mkdir()
    examples = [f"--example={bank.stem}={bank.with_suffix(WAV_SUFFIX)}" for bank in banks]
    places: dict[str, list[object]] = {"mix": [mix], "banks": [*banks], "examples": [*examples]}
    words: list[str] = []
    for word in WORKS[work].split():
        listed = places.get(word.strip("{}")) if word.startswith("{") else None
        words += map(str, listed) if listed else [word.format(out=out)]
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "audionmf", *words], stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - start
    largest = max(out.rglob(f"*{WAV_SUFFIX}"), key=lambda path: path.stat().st_size, default=None)
    told = "" if largest is None else describe(largest)
    shutil.rmtree(out)
    if process.returncode:
        sys.exit(f"audionmf {' '.join(words)} ended with {process.returncode}")
    per_unit = 1 if sys.platform == "darwin" else 1024  # bytes there, kilobytes elsewhere
    peak = usage.ru_maxrss * per_unit / 1e6
    used = usage.ru_utime + usage.ru_stime
    return Figures(work, length, seconds_of(length), seconds, used, peak, told)


def describe(path: Path) -> str:
    """Return the container of a file and its size, after reading its last second."""
    with soundfile.SoundFile(path) as file:
        file.seek(-min(RATE, file.frames), soundfile.SEEK_END)
        if len(file.read()) != min(RATE, file.frames):
            sys.exit(f"{path} does not read back to its end")
        return f"{file.format}, {path.stat().st_size / 1e9:.2f} GB"


def learn_banks(folder: Path) -> list[Path]:
    """Learn 20 templates of each source from 20 s of it; return the files."""
    banks = []
    for name, samples in parts(20).items():
        example, bank = folder / f"{name}.wav", folder / f"{name}.npz"
        soundfile.write(example, samples.T, RATE, "PCM_16")
        subprocess.run(
            [
                sys.executable,
                "-m",
                "audionmf",
                "learn",
                example,
                "--n-components",
                "20",
                "-o",
                bank,
            ],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        banks.append(bank)
    return banks


def synthesise(path: Path, seconds: int) -> Path:
    """Write a minute of music, repeated, at a level that changes with each repetition."""
    minute = sum(parts(SECONDS_REPEATED).values()).T
    with soundfile.SoundFile(path, "w", RATE, 2, "PCM_16", format="WAV") as file:
        for repetition, length in enumerate(lengths(seconds)):
            file.write(minute[: length * RATE] * np.float32(0.7 + 0.3 * np.cos(repetition)))
    return path


def lengths(seconds: int) -> Iterator[int]:
    """Yield how many seconds each repetition takes."""
    for start in range(0, seconds, SECONDS_REPEATED):
        yield min(SECONDS_REPEATED, seconds - start)


def parts(seconds: int) -> dict[str, NDArray[np.float32]]:
    """Return the sources, (2, n_samples) each: plucked notes, bowed notes and hits of noise."""
    rng = np.random.default_rng(0)
    found = {name: np.zeros((2, seconds * RATE), np.float32) for name in SOURCES}
    t = np.arange(RATE) / RATE
    for start in range(0, (seconds - 1) * RATE + 1, RATE // 4):
        place = slice(start, start + RATE)
        pitch = 110 * 2 ** (rng.integers(0, 24) / 12)
        note = sum(np.sin(2 * np.pi * pitch * h * t) / h for h in range(1, 12))
        found["plucked"][:, place] += np.outer((0.06, 0.03), note * np.exp(-4 * t))
        bow = sum(np.sin(2 * np.pi * 1.5 * pitch * h * t) / h**0.5 for h in (1, 2, 3, 5))
        found["bowed"][:, place] += np.outer((0.01, 0.02), bow * np.sin(np.pi * t))
        hit = rng.standard_normal(RATE) * np.exp(-30 * t)
        found["hiss"][:, place] += np.outer((0.03, 0.03), hit)
    return found


if __name__ == "__main__":
    main()
