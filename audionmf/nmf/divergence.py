"""The β-divergence between a matrix and its model: 2 Euclidean, 1 Kullback–Leibler, 0 Itakura–Saito.

::

    β ≠ 0, 1   d(v, m) = (v^β + (β - 1) m^β - β v m^(β-1)) / (β (β - 1))
    β = 1      d(v, m) = v log(v / m) - v + m
    β = 0      d(v, m) = v / m - log(v / m) - 1

0 log 0 is 0. For β ≤ 0 the divergence of a zero is infinite; the solver raises zeros to a floor
there before it starts.

References
----------
Févotte and Idier, "Algorithms for nonnegative matrix factorization with the β-divergence", Neural
Computation 23(9), 2011.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from audionmf.errors import ParameterError

__all__ = ["beta_divergence", "exponent"]


def beta_divergence(V: ArrayLike, model: ArrayLike, beta: float = 1.0) -> float:
    """Return the β-divergence of `V` from `model`, summed over all elements.

    Parameters
    ----------
    V : array, any shape
        Data, ≥ 0.
    model : array, same shape
        Model, ≥ 0; > 0 wherever `V` is, or the result is infinite (β ≤ 1).
    beta : float, default 1
        2 Euclidean (half the squared distance), 1 Kullback–Leibler, 0 Itakura–Saito.

    Returns
    -------
    float
        ≥ 0, and 0 exactly where the two agree; accumulated in float64.

    Raises
    ------
    ParameterError
        If the shapes differ.
    """
    data, estimate = np.asarray(V, np.float64), np.asarray(model, np.float64)
    if data.shape != estimate.shape:
        raise ParameterError(f"V has shape {data.shape}, its model {estimate.shape}")
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        elements = _elements(data, estimate, beta)
    if beta <= 1:
        elements = np.where((estimate == 0) & (data > 0), np.inf, elements)
    total = float(np.where(data == estimate, 0.0, elements).sum())
    return 0.0 if total < 0 else total


def exponent(beta: float) -> float:
    """Return γ(β), the exponent under which a multiplicative update never raises the divergence."""
    if beta < 1:
        return 1 / (2 - beta)
    return 1 / (beta - 1) if beta > 2 else 1.0


def _elements(v: NDArray[np.float64], m: NDArray[np.float64], beta: float) -> Any:
    if beta == 1:
        return np.where(v > 0, v * np.log(v / m), 0.0) - v + m
    if beta == 2:
        return 0.5 * (v - m) ** 2
    if beta == 0:
        ratio = np.where(v == m, 1.0, v / m)
        return ratio - np.log(ratio) - 1
    cross = np.where((v == 0) & (beta > 0), 0.0, v * m ** (beta - 1))
    return (v**beta + (beta - 1) * m**beta - beta * cross) / (beta * (beta - 1))
