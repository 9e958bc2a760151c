#!/usr/bin/env python3
"""Measure the Fourier transform of frames beside SciPy's.

benchmark_transform.py [--rounds 40]

For each size as many frames as stay in the cache: there with a window, and back with a window into
overlapping sums, by this package's code and by SciPy's with NumPy around it, in turns. Printed are
the least processor microseconds of a frame, and the errors of this package's transforms as multiples
of those of SciPy's (root mean square, against double precision).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from audionmf.spectra.fourier import WideTransform, _machine_code, irfft, wide_transform
from audionmf.spectra.stft import _overlap_add

SAMPLES = 1 << 16


def main() -> None:
    """Print a row for each size."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=40)
    options = parser.parse_args()
    print("size   there: ours   SciPy   back: ours   SciPy   errors there, back")
    for n in (512, 1024, 2048, 4096, 8192):
        wide = wide_transform(n, np.dtype(np.float32))
        if wide is None:
            print(f"{n:4d}   SciPy's is taken on this processor")
        else:
            print(row(n, wide, options.rounds))


def row(n: int, wide: WideTransform, rounds: int) -> str:
    """Return the row of a size."""
    n_frames, step = SAMPLES // n, n // 4
    signal = np.random.default_rng(0).standard_normal((n_frames - 1) * step + n, np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(signal, n)[::step]
    window = np.hanning(n).astype(np.float32)
    framed = np.empty((n_frames, n), np.float32)
    X = np.empty((n_frames, n // 2 + 1), np.complex64)
    wide.forward(frames, np.ones(n, np.float32), X)
    found, total = np.empty_like(X), np.zeros_like(signal)

    def theirs_there() -> None:
        scipy_rfft(np.multiply(frames, window, out=framed), found)

    def theirs_back() -> None:
        scipy_irfft(X, framed)
        np.multiply(framed, window, out=framed)
        _overlap_add(framed, step, total)

    there = in_turns([lambda: wide.forward(frames, window, found), theirs_there], rounds)
    back = in_turns([lambda: wide.add_inverse(X, window, total, step), theirs_back], rounds)
    a, b, c, d = (seconds / n_frames * 1e6 for seconds in (*there, *back))
    exact = scipy.fft.rfft(frames.astype(np.float64)), scipy.fft.irfft(X.astype(np.complex128))
    more = [
        np.linalg.norm(ours - e) / np.linalg.norm(other - e)
        for ours, other, e in (
            (X, scipy.fft.rfft(frames), exact[0]), (irfft(X, n), scipy.fft.irfft(X), exact[1]),
        )
    ]  # fmt: skip
    errors = ", ".join(f"{times:.2f} x" for times in more)
    return f"{n:4d}   {a:8.2f} µs {b:5.2f} µs  {c:8.2f} µs {d:5.2f} µs   {errors}"


def scipy_rfft(samples: NDArray[Any], out: NDArray[Any]) -> None:
    """Transform rows by SciPy's code, as where this package has none."""
    code = _machine_code()
    if code is None:
        out[...] = scipy.fft.rfft(samples)
    else:
        code.r2c(samples, (-1,), True, 0, out, 1)


def scipy_irfft(transforms: NDArray[Any], out: NDArray[Any]) -> None:
    """Transform rows back by SciPy's code."""
    code = _machine_code()
    if code is None:
        out[...] = scipy.fft.irfft(transforms)
    else:
        code.c2r(transforms, (-1,), out.shape[-1], False, 2, out, 1)


def in_turns(works: Sequence[Callable[[], object]], rounds: int) -> list[float]:
    """Return the least processor seconds of each of some works."""
    least = [np.inf] * len(works)
    for _ in range(rounds):
        for i, work in enumerate(works):
            begun = time.process_time()
            for _ in range(10):
                work()
            least[i] = min(least[i], (time.process_time() - begun) / 10)
    return least


if __name__ == "__main__":
    main()
