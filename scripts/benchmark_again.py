#!/usr/bin/env python3
"""Measure what changes of mind cost beside the first analysis of a recording.

benchmark_again.py RECORDING [--seconds 240] [--runs 3]

The recording is repeated or cut to so many seconds, in stereo, taken apart blind, and then: grouped
by ear anew, remixed from what was found, and refined by two marks, as the studio does. None of these
analyses again. Printed are the medians of seconds on the clock and of the processor, and the ratios of
the latter to those of the analysis.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import benchmark_whole

import audionmf
from audionmf.analysis.refinement import Hint, refine


def main() -> None:
    """Print a row for each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recording", type=Path)
    parser.add_argument("--seconds", type=int, default=240)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "mixture.wav")
        benchmark_whole.write_long(options.recording, path, options.seconds)
        runs = [measured(path) for _ in range(options.runs)]
    first = statistics.median(run["analysis"][1] for run in runs)
    for name in runs[0]:
        clock, processor = (statistics.median(run[name][i] for run in runs) for i in (0, 1))
        print(f"{name:10s} {clock:7.2f} s, processor {processor:7.2f} s, x {processor / first:.2f}")


def measured(path: Path) -> dict[str, tuple[float, float]]:
    """Return seconds on the clock and of the processor, of each."""
    found = audionmf.decompose(path, 16)
    parts = found.regroup(n_sources=2)
    first, second = parts.grouping
    hints = [Hint(first, True, 1, 3, 100, 400), Hint(second, False, 5, 6, 1000, 3000)]
    gains = {first: 0.5}
    return {
        "analysis": timed(lambda: audionmf.decompose(path, 16)),
        "regroup": timed(lambda: found.regroup(n_sources=3)),
        "remix": timed(lambda: audionmf.remix(path, gains, model=parts)),
        "refine": timed(lambda: refine(parts.recorded(), parts, hints)),
    }


def timed(work: Callable[[], Any]) -> tuple[float, float]:
    """Return the seconds on the clock and of the processor that some work takes."""
    clock, processor = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - clock, time.process_time() - processor


if __name__ == "__main__":
    main()
