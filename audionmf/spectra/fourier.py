"""The Fourier transform of real signals.

Signals in single precision whose length is a power of two, 512 to 8192 samples, are transformed by
machine code of this package (`fourier_code`) where the processor has vectors of 16 floats; with vectors
of eight those of 128 to 4096. Which transform is taken depends on nothing else: not on how many signals
there are, nor on threads.

The rest is SciPy's, without the time that loading all of it takes: `scipy.fft` loads special functions
and the interfaces of other array libraries, which no transform here needs. The machine code of its
transforms lies in a file of its own, which is loaded alone; where it is not found or lacks what is used
here, `scipy.fft` does the same, to the bit.
"""

from __future__ import annotations

import ctypes
import functools
import math
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audionmf.spectra import fourier_code
from audionmf.spectra.extension import extension
from audionmf.spectra.fourier_code import LONGEST_STEP, FourierCode
from audionmf.spectra.machine_code import host, made

__all__ = ["WideTransform", "irfft", "rfft", "wide_transform"]

_PLACE = ("_pocketfft", "pypocketfft")
"""Folder in that of `scipy.fft`, and name of the module in it."""


def rfft(
    samples: NDArray[Any], n_threads: int = 1, out: NDArray[Any] | None = None
) -> NDArray[Any]:
    """Return the transforms of the rows of a real array.

    Parameters
    ----------
    samples : ndarray, shape (..., n), float32 or float64
        Real signals, n ≥ 1.
    n_threads : int, default 1
        Threads that share the rows.
    out : ndarray, shape (..., n // 2 + 1), complex64 or complex128, optional
        Where to put them; default: an array of its own.

    Returns
    -------
    ndarray, shape (..., n // 2 + 1), complex64 or complex128
        `out`, where it is given.
    """
    wide, n = wide_transform(samples.shape[-1], samples.dtype), samples.shape[-1]
    if wide is not None:
        found = _rows(out, (*samples.shape[:-1], n // 2 + 1), np.complex64)
        wide.forward(samples.reshape(-1, n), _no_window(n), found)
        return out if found is out else _put(found.reshape(*samples.shape[:-1], -1), out)
    code = _machine_code()
    if code is None:
        import scipy.fft

        return _put(scipy.fft.rfft(samples, axis=-1, workers=n_threads), out)
    return code.r2c(samples, (-1,), True, 0, out, n_threads)  # type: ignore[no-any-return]


def irfft(
    transform: NDArray[Any], n: int, n_threads: int = 1, out: NDArray[Any] | None = None
) -> NDArray[Any]:
    """Return the real signals of which the rows of an array are the transforms.

    Parameters
    ----------
    transform : ndarray, shape (..., n // 2 + 1), complex64 or complex128
        Transforms, as from `rfft`.
    n : int
        Samples of a signal, ≥ 1.
    n_threads : int, default 1
        Threads that share the rows.
    out : ndarray, shape (..., n), float32 or float64, optional
        Where to put them; default: an array of its own.

    Returns
    -------
    ndarray, shape (..., n), float32 or float64
        `out`, where it is given.
    """
    wide = wide_transform(n, transform.real.dtype)
    if wide is not None and transform.dtype == np.complex64 and transform.shape[-1] == n // 2 + 1:
        given = np.zeros((*transform.shape[:-1], n), np.float32)
        wide.add_inverse(transform.reshape(-1, n // 2 + 1), _no_window(n), given.reshape(-1), n)
        return _put(given, out)
    code = _machine_code()
    if code is None:
        import scipy.fft

        return _put(scipy.fft.irfft(transform, n, axis=-1, workers=n_threads), out)
    return code.c2r(transform, (-1,), n, False, 2, out, n_threads)  # type: ignore[no-any-return]


class WideTransform:
    """The transform of windowed signals of one length, there and back, in wide vectors.

    Parameters
    ----------
    n : int
        Samples of a signal: a size of `fourier_code` for this processor.
    lanes : int
        Floats in a vector of the processor.
    """

    def __init__(self, n: int, lanes: int) -> None:
        code = FourierCode(n, lanes)
        sources = Path(fourier_code.__file__).read_bytes()
        names = ("forward", "inverse", "masked")
        places = made(f"fourier-{n}-{lanes}", sources, code.text, names)
        place, number = ctypes.c_void_p, ctypes.c_int64
        prototype = ctypes.CFUNCTYPE(
            None, place, number, place, place, place, place, number, number, place, number
        )
        self._n, self._n_scratch = n, code.n_scratch
        self._tables = _aligned(code.tables.nbytes).view(np.float32)
        self._tables[:] = code.tables
        self._forward, self._inverse, self._masked = (prototype(places[name]) for name in names)

    def forward(
        self, samples: NDArray[np.float32], window: NDArray[np.float32], out: NDArray[np.complex64]
    ) -> None:
        """Transform signals, each multiplied by a window.

        Parameters
        ----------
        samples : ndarray, shape (n_signals, n), float32
            The signals; they may overlap in memory. Not modified.
        window : ndarray, shape (n,), float32
            The window.
        out : ndarray, shape (n_signals, n // 2 + 1), complex64
            Where the transforms go, bins as neighbours.
        """
        samples, scratch = _neighbours(samples), _aligned(self._n_scratch)
        window = np.ascontiguousarray(window * np.float32(0.5))  # the code doubles it, exactly
        if len(samples):
            self._forward(
                _place(samples), samples.strides[0], _place(window), _place(self._tables),
                _place(scratch), _place(out), out.strides[0], len(samples), None, 0,
            )  # fmt: skip

    def add_inverse(
        self,
        transforms: NDArray[np.complex64],
        window: NDArray[np.float32],
        total: NDArray[np.float32],
        step: int,
        mask: NDArray[np.float32] | None = None,
    ) -> None:
        """Add the signals of transforms, each multiplied by a window, at their places, the last first.

        Parameters
        ----------
        transforms : ndarray, shape (n_signals, n // 2 + 1), complex64
            The transforms; what is imaginary in the first and the last bin is not read. Not modified.
        window : ndarray, shape (n,), float32
            The window.
        total : ndarray, shape (≥ (n_signals - 1) step + n,), float32
            What is added to, samples as neighbours.
        step : int
            Samples from one signal to the next, ≥ 0.
        mask : ndarray, shape (n_signals, n // 2 + 1), float32, optional
            Factors of the bins; default: 1.
        """
        transforms = _neighbours(transforms)[::-1]
        window = np.ascontiguousarray(window * np.float32(1 / self._n))  # a power of two: exact
        scratch, n = _aligned(self._n_scratch), len(transforms)
        if not n:
            return
        common = (
            _place(transforms), transforms.strides[0], _place(window), _place(self._tables),
            _place(scratch), _place(total) + 4 * step * (n - 1), -4 * step, n,
        )  # fmt: skip
        if mask is None:
            self._inverse(*common, None, 0)
        else:
            mask = _neighbours(mask)[::-1]
            self._masked(*common, _place(mask), mask.strides[0])


def wide_transform(n: int, dtype: np.dtype[Any]) -> WideTransform | None:
    """Return the transform of signals of n samples in wide vectors; None where SciPy's is taken."""
    if dtype != np.float32 or n & (n - 1):
        return None
    if n not in _made:
        with _lock:
            if n not in _made:
                lanes = _lanes()
                fits = lanes and 2 * lanes**2 <= n <= 2 * lanes**2 * LONGEST_STEP[lanes]
                _made[n] = WideTransform(n, lanes) if fits else None
    return _made[n]


_made: dict[int, WideTransform | None] = {}
_lock = threading.Lock()


@functools.cache
def _lanes() -> int:
    """Return how many floats the vectors are for which there is code; 0 where there is none."""
    features = host().features
    if not features.get("fma"):
        return 0
    return 16 if features.get("avx512f") else 8 if features.get("avx2") else 0


@functools.cache
def _no_window(n: int) -> NDArray[np.float32]:
    window = np.ones(n, np.float32)
    window.flags.writeable = False
    return window


def _rows(out: NDArray[Any] | None, shape: tuple[int, ...], dtype: type[Any]) -> NDArray[Any]:
    """Return rows to write to: those that are given, where they are rows of neighbours."""
    fits = out is not None and out.ndim == 2 and out.shape == shape and out.dtype == dtype
    if out is not None and fits and out.strides[-1] == out.itemsize:
        return out
    return np.empty((math.prod(shape[:-1]), shape[-1]), dtype)


def _neighbours(rows: NDArray[Any]) -> NDArray[Any]:
    """Return rows each of which lies in one piece."""
    return rows if rows.strides[-1] == rows.itemsize else np.ascontiguousarray(rows)


def _place(array: NDArray[Any]) -> int:
    place: int = array.__array_interface__["data"][0]
    return place


def _aligned(n_bytes: int) -> NDArray[np.uint8]:
    """Return bytes that start at a cache line."""
    raw = np.empty(n_bytes + 64, np.uint8)
    start = -_place(raw) % 64
    return raw[start : start + n_bytes]


def _put(found: NDArray[Any], out: NDArray[Any] | None) -> NDArray[Any]:
    if out is None:
        return found
    out[...] = found
    return out


@functools.cache
def _machine_code() -> ModuleType | None:
    """Return SciPy's module of transforms; None where it is not where it has always been."""
    return extension("scipy.fft", *_PLACE, _transforms)


def _transforms(code: ModuleType) -> bool:
    """Tell whether a module transforms a signal there and back when it is called as above."""
    samples = np.array([[1.0, -2.0, 4.0, 0.5, 3.0]])
    there, back = np.zeros((1, 3), np.complex128), np.zeros_like(samples)
    found = code.r2c(samples, (-1,), True, 0, there, 1), there
    given = code.c2r(there, (-1,), samples.shape[1], False, 2, back, 1), back
    return all(np.allclose(each, np.fft.rfft(samples)) for each in found) and all(
        np.allclose(each, samples) for each in given
    )
