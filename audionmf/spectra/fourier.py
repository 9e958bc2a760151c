"""The Fourier transform of real signals: SciPy's, without the time that loading all of it takes.

`scipy.fft` loads special functions and the interfaces of other array libraries, which no transform
here needs. The machine code of its transforms lies in a file of its own, which is loaded alone; where
it is not found or lacks what is used here, `scipy.fft` does the same, to the bit.
"""

from __future__ import annotations

import functools
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audionmf.spectra.extension import extension

__all__ = ["irfft", "rfft"]

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
    code = _machine_code()
    if code is None:
        import scipy.fft

        return _put(scipy.fft.irfft(transform, n, axis=-1, workers=n_threads), out)
    return code.c2r(transform, (-1,), n, False, 2, out, n_threads)  # type: ignore[no-any-return]


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
