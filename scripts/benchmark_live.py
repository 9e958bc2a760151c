#!/usr/bin/env python3
"""Measure what a second of live sound costs: stereo at 44.1 kHz, 3 sources, 60 templates, one core.

    benchmark_live.py [--seconds 20] [--rounds 3] [--latency MS ...] [--block 512] [--json FILE]

The signal is pushed in blocks of 512 samples, as a sound card gives them. The cost is processor time
for each second of sound, the least of the rounds: what other programs do disturbs it less than the
clock on the wall, which is told as well, for the slowest block too. The stems have to sum to the
signal, and no sample may come later than stated.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from benchmark_long import RATE, learn_banks, machine, parts
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from audionmf import LiveSeparator, Templates


@dataclass(frozen=True)
class Figures:
    """One row of the table."""

    asked_ms: float | None
    delay_ms: float
    processor_seconds: float
    wall_seconds: float
    slowest_block_ms: float
    residual_db: float

    def __str__(self) -> str:
        """Return the row in Markdown."""
        name = "default" if self.asked_ms is None else f"--latency {self.asked_ms:g}"
        return (
            f"| {name} | {self.delay_ms:.1f} ms | {self.processor_seconds:.3f} s | "
            f"{self.wall_seconds:.3f} s | {self.slowest_block_ms:.1f} ms | {self.residual_db:.0f} dB |"
        )


def main() -> None:
    """Print a row for each latency."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--latency", type=float, nargs="+", default=[50, 23], metavar="MS")
    parser.add_argument("--block", type=int, default=512, help="samples that come at a time")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        banks = [Templates.load(path) for path in learn_banks(Path(folder))]
    signal = np.asarray(sum(parts(options.seconds).values()), np.float32)
    n_templates = sum(bank.n_components for bank in banks)
    print(
        f"{machine()}; {len(banks)} sources, {n_templates} templates, blocks of {options.block}\n"
    )
    print("| setting | delay | processor, a second | wall, a second | slowest block | sum |")
    print("|---|---|---|---|---|---|")
    rows = []
    with threadpool_limits(1):
        for asked in (None, *options.latency):
            found = [measure(banks, signal, asked, options.block) for _ in range(options.rounds)]
            rows.append(min(found, key=lambda row: row.processor_seconds))
            print(rows[-1], flush=True)
    if options.json:
        found_here = {"machine": machine(), "rows": [asdict(row) for row in rows]}
        options.json.write_text(json.dumps(found_here, indent=1) + "\n")


def measure(
    banks: list[Templates], signal: NDArray[np.float32], asked: float | None, block: int
) -> Figures:
    """Push a signal through; the first second, which may compile, is not measured."""
    separator = LiveSeparator(banks, len(signal), latency=None if asked is None else asked / 1000)
    stems: dict[str, list[NDArray[np.float32]]] = {name: [] for name in separator.names}
    n_in = n_out = 0
    spent: list[float] = []
    for samples in cut(signal, block):
        if n_in < RATE:
            processor = processor_time()
            spent.clear()
            measured_from = n_in + samples.shape[1]
        start = time.perf_counter()
        done = separator.push(samples)
        spent.append(time.perf_counter() - start)
        n_in += samples.shape[1]
        n_out += next(iter(done.values())).shape[1]
        if n_in - n_out > separator.latency:
            sys.exit(f"{n_in - n_out} samples are late, {separator.latency} were stated")
        for name, part in done.items():
            stems[name].append(part)
    used = processor_time() - processor
    for name, part in separator.flush().items():
        stems[name].append(part)
    total = sum(np.concatenate(found, axis=1).astype(np.float64) for found in stems.values())
    lost = np.sqrt(np.mean((total - signal) ** 2) / np.mean(signal.astype(np.float64) ** 2))
    seconds = (n_in - measured_from) / RATE
    return Figures(
        asked, 1000 * separator.latency / RATE, used / seconds, sum(spent[1:]) / seconds,
        1000 * max(spent[1:]), 20 * float(np.log10(max(lost, 1e-10))),
    )  # fmt: skip


def processor_time() -> float:
    """Return the processor time of all threads of this process, in seconds."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def cut(signal: NDArray[np.float32], size: int) -> Iterator[NDArray[np.float32]]:
    """Yield a signal block by block."""
    for start in range(0, signal.shape[1], size):
        yield signal[:, start : start + size]


if __name__ == "__main__":
    main()
