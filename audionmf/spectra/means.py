"""Running means along an axis: SciPy's, without the time that loading all of its filters takes.

The machine code of the filters lies in a file of its own, which is loaded alone; where it is not found
or takes other arguments, `scipy.ndimage` does the same, to the bit.
"""

from __future__ import annotations

import functools
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audionmf.spectra.extension import extension

__all__ = ["running_mean"]

_NEAREST = 0
"""What SciPy calls the mode in which the last number stands for those beyond it."""


def running_mean(x: NDArray[Any], size: int, axis: int) -> NDArray[Any]:
    """Return the mean around each number along an axis; beyond the ends stand the last numbers.

    Parameters
    ----------
    x : ndarray, float32 or float64
        Not modified.
    size : int
        Of how many numbers, 1 or more; of an even number the one more is before.
    axis : int
        Along which, 0 to ``x.ndim - 1``.

    Returns
    -------
    ndarray, shape and type of x
        The means.
    """
    code = _machine_code()
    if code is None:
        from scipy.ndimage import uniform_filter1d

        found: NDArray[Any] = uniform_filter1d(x, size, axis=axis, mode="nearest")
        return found
    means = np.zeros_like(x)  # in the order of its memory
    code.uniform_filter1d(x, size, axis, means, _NEAREST, 0.0, 0)
    return means


@functools.cache
def _machine_code() -> ModuleType | None:
    return extension("scipy.ndimage", "", "_nd_image", _finds_means)


def _finds_means(code: ModuleType) -> bool:
    means = np.zeros((1, 3), np.float32)
    rows = np.array([[3.0, 0.0, 6.0]], np.float32)
    code.uniform_filter1d(rows, 3, 1, means, _NEAREST, 0.0, 0)
    return means.tolist() == [[2.0, 3.0, 4.0]]
