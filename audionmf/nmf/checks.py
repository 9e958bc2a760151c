"""What every model here asks of its input, each check with the one line that says what is wrong."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from audionmf.errors import ParameterError

__all__ = [
    "as_data",
    "as_start",
    "check_beta",
    "check_method",
    "check_tolerance",
    "check_whole",
    "free_mask",
    "thread_count",
]

Matrix = NDArray[np.floating[Any]]

_METHODS = ("accelerated", "plain")


def as_data(V: ArrayLike, name: str, n_dimensions: int = 2) -> Matrix:
    """Return finite data ≥ 0; float32 and float64 are kept, other real types become float64."""
    array = np.asarray(V)
    if array.dtype.kind not in "fiub":
        raise ParameterError(f"{name} must be real numbers, not {array.dtype}")
    if array.dtype not in (np.float32, np.float64):
        array = array.astype(np.float64)
    if array.ndim != n_dimensions or 0 in array.shape:
        kind = "a matrix" if n_dimensions == 2 else f"an array of {n_dimensions} dimensions"
        raise ParameterError(f"{name} must be {kind} that is not empty, not of shape {array.shape}")
    low, high = float(array.min()), float(array.max())
    if not (low >= 0 and np.isfinite(high)):
        raise ParameterError(f"{name} must be finite and 0 or more; it spans {low} to {high}")
    return array


def as_start(
    start: ArrayLike | None, data: Matrix, name: str, n_dimensions: int = 2
) -> Matrix | None:
    """Return templates (…, n_bins, k) or activations (k, n_frames) in the dtype of the data."""
    if start is None:
        return None
    axis = 0 if name == "templates" else 1
    array = as_data(start, name, n_dimensions).astype(data.dtype)
    size = array.shape[axis - 2]
    if size != data.shape[axis]:
        what = "bins" if axis == 0 else "frames"
        raise ParameterError(f"{name} have {size} {what}, V has {data.shape[axis]}")
    return array


def free_mask(
    fixed: bool | ArrayLike, given: Matrix | None, n_components: int, name: str
) -> NDArray[np.bool_]:
    """Return the mask of what may change, from an option that says what is kept."""
    n_given = 0 if given is None else min(given.shape[0 if "act" in name else -1], n_components)
    mask = np.asarray(fixed, bool)
    free = np.ones(n_components, bool)
    if mask.ndim == 0:
        if mask and given is None:
            raise ParameterError(f"{name} needs {name.removeprefix('fixed_')} to keep")
        free[:n_given] = not mask
        return free
    if mask.shape not in ((n_components,), (n_given,)):
        raise ParameterError(
            f"{name} must be True, False or a mask over the {n_components} components, "
            f"not of shape {mask.shape}"
        )
    if mask[n_given:].any():
        raise ParameterError(f"{name} marks components whose values are not given")
    free[: len(mask)] = ~mask
    return free


def check_whole(name: str, value: int, low: int) -> None:
    """Raise `ParameterError` if a value is not a whole number of at least `low`."""
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < low:
        raise ParameterError(f"{name} must be a whole number, {low} or more, not {value!r}")


def check_beta(beta: float) -> None:
    """Raise `ParameterError` if a β is no finite number."""
    if not np.isfinite(beta):
        raise ParameterError(f"beta must be a finite number, not {beta!r}")


def check_method(method: str) -> None:
    """Raise `ParameterError` if a method is none of those of `fit`."""
    if method not in _METHODS:
        raise ParameterError(f"method must be one of {', '.join(_METHODS)}, not {method!r}")


def check_tolerance(tol: float) -> None:
    """Raise `ParameterError` if a tolerance is not a share."""
    if not 0 <= tol <= 1:
        raise ParameterError(f"tol must be a number from 0 to 1, not {tol!r}")


def thread_count(n_threads: int | None) -> int:
    """Return `n_threads`, or for None the number of cores that this process may use."""
    if n_threads is not None:
        check_whole("n_threads", n_threads, 1)
        return n_threads
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
