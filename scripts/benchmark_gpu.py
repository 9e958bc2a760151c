#!/usr/bin/env python3
"""Measure a graphics card beside the processor, on synthetic music; on your own machine.

    benchmark_gpu.py [--device cuda] [--lengths 60 14400] [--components 16 64 256] [--no-processor]

Rows are one iteration of W and H, `activate` with 40 iterations, and two whole jobs in stereo, blind
and by a bank. Of an iteration it says how many bytes it must move at the least, V twice, W and H and
their sums, and which share of the card's bandwidth that is; the bandwidth is that of a copy in the
same run. What is on the card is waited for before the clock is read. Rows "by operations" leave out
the kernels of this package, as where Triton is not there.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import audionmf
from audionmf import nmf
from audionmf.nmf import card
from audionmf.nmf.card import fused_on
from audionmf.nmf.updates import make_updater
from audionmf.spectra.device import torch_device

N_FFT, HOP, RATE, BINS = 2048, 512, 44100, 1025
MOST_FRAMES, LONG = 1 << 17, 600


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda", help="cuda, cuda:1, … or torch (default: cuda)")
    parser.add_argument("--lengths", type=int, nargs="+", default=[60, 14400], metavar="SECONDS")
    parser.add_argument("--components", type=int, nargs="+", default=[16, 64, 256], metavar="K")
    parser.add_argument("--no-processor", action="store_true", help="leave the processor out")
    options = parser.parse_args()
    try:
        place = torch_device(options.device)
    except (audionmf.ParameterError, audionmf.MissingExtraError) as error:
        sys.exit(f"{parser.prog}: {error}")
    devices = [options.device, *([] if options.no_processor else ["cpu"])]
    bandwidth = copy_bandwidth(place)
    print(f"{card_name(place)}, a copy moves {bandwidth / 1e9:.0f} GB/s; "
          f"{len(os.sched_getaffinity(0))} cores\n")  # fmt: skip
    print(
        "| what | length | K | device | seconds | share of bandwidth |\n|---|---|---|---|---|---|"
    )
    for seconds in options.lengths:
        V = magnitudes(min(MOST_FRAMES, seconds * RATE // HOP))
        for K in options.components:
            for device in devices:
                row("iteration", seconds, K, device, *iteration(V, K, device, place, bandwidth))
                if fused_on(place, K) and device != "cpu":
                    with without_kernels():
                        took = iteration(V, K, device, place, bandwidth)
                    row("iteration by operations", seconds, K, device, *took)
                row("activate", seconds, K, device, activation(V, K, device))
        for device in devices:
            for what in ("blind", "bank"):
                row(f"separate, {what}", seconds, "", device, whole(what, seconds, device))


def row(what: str, seconds: int, K: object, device: str, took: float, share: float = 0.0) -> None:
    """Print one row."""
    told = f"{share:.0%}" if share else ""
    print(f"| {what} | {seconds} s | {K} | {device} | {took:.4g} | {told} |", flush=True)


def card_name(place: Any) -> str:
    """Return what the device is called."""
    import torch

    return torch.cuda.get_device_name(place) if place.type == "cuda" else "PyTorch on the processor"


def wait(place: Any) -> None:
    """Wait until a card has done what it was given."""
    import torch

    if place.type == "cuda":
        torch.cuda.synchronize(place)


def copy_bandwidth(place: Any) -> float:
    """Return the bytes a second that a copy within the device's memory reads and writes."""
    import torch

    source = torch.ones(1 << 26, device=place)
    target = torch.empty_like(source)
    return 2 * source.nbytes / best(lambda: target.copy_(source), lambda: wait(place))


def best(run: Callable[[], object], wait: Callable[[], None] = lambda: None) -> float:
    """Return the median seconds of seven runs after one that does not count."""
    times = []
    for _ in range(8):
        wait()
        begin = time.perf_counter()
        run()
        wait()
        times.append(time.perf_counter() - begin)
    return statistics.median(times[1:])


def magnitudes(n_frames: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return a V of low rank with noise, bins as neighbours."""
    rng = np.random.default_rng(0)
    W, H = rng.random((32, BINS), np.float32) ** 8, rng.random((n_frames, 32), np.float32) ** 8
    return (H @ W + 0.01 * rng.random((n_frames, BINS), np.float32)).T


def iteration(V: Any, K: int, device: str, place: Any, bandwidth: float) -> tuple[float, float]:
    """Return the seconds of one update of H and W, and its share of the bandwidth of a card."""
    W, H = (np.ascontiguousarray(x.T) for x in nmf.initialize(V, K))
    free, threads = np.ones(K, bool), len(os.sched_getaffinity(0))
    with make_updater(V, 1.0, threads, free, free, device=device) as updater:
        point = updater.taken(W), updater.taken(H)
        took = best(lambda: updater.iterate(*point), lambda: wait(place))
    moved = 4 * (2 * V.size + 2 * W.size + 2 * H.size)
    return took, 0.0 if device == "cpu" else moved / took / bandwidth


@contextlib.contextmanager
def without_kernels() -> Iterator[None]:
    """Have a card do PyTorch's operations."""
    card.fused_on = lambda place, n_components: None
    try:
        yield
    finally:
        card.fused_on = fused_on


def activation(V: Any, K: int, device: str) -> float:
    """Return the seconds of `activate`, the way to the card and back included."""
    W = nmf.initialize(V, K)[0]
    nmf.activate(V[:, :64], W, device=device)
    begin = time.perf_counter()
    nmf.activate(V, W, device=device)
    return time.perf_counter() - begin


def whole(what: str, seconds: int, device: str) -> float:
    """Return the seconds of a separation of a file in stereo into files, the second one of two."""
    from benchmark_long import learn_banks, synthesise

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        mixture = synthesise(folder / "mixture.wav", seconds)
        known: dict[str, Any] = {"n_sources": 3}
        if what == "bank":
            known = {"templates": learn_banks(folder)}
        for name in ("first", "second"):  # code is compiled and loaded in the first
            begin = time.perf_counter()
            audionmf.separate_files(mixture, folder / name, device=device, **known)
            if seconds > LONG:
                break
        return time.perf_counter() - begin


if __name__ == "__main__":
    main()
