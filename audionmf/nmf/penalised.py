"""NMF that is drawn to sparse, smooth or exclusive activations, under an objective that never rises.

With templates that sum to 1, a mean activation L = Σ V / (n_components n_frames), groups g of
components and frames t, what is minimised is::

    J = D(V | WH) + L · [ sparsity       Σ_kt log(1 + h_kt / L)
                        + group_sparsity Σ_gt log(1 + Σ_{k in g} h_kt / L)
                        + continuity     Σ_kt (h_kt - h_k,t-1)² / L²
                        + decorrelation  Σ_t Σ_{k<l} h_kt h_lt / L² ]

with D the Kullback-Leibler divergence. J scales with V, so that a weight means the same at any level.
A plain L1 norm would do nothing but scale H down: its sum is that of V. The logarithm makes small
activations smaller and leaves large ones nearly alone.

Every term is replaced by one that lies above it, touches it where H is, and treats every activation
by itself: the divergence by Jensen's inequality, logarithms by their tangents, squared steps by the
convexity of the square, products by ``2 h l ≤ h² l' / h' + l² h' / l'``. The sum is
``-a log h + b h + c h²``, whose minimum is a root; so J never rises.

References
----------
Virtanen, "Monaural sound source separation by nonnegative matrix factorization with temporal
continuity and sparseness criteria", IEEE TASLP 15(3), 2007. Lefèvre, Bach and Févotte,
"Itakura-Saito nonnegative matrix factorization with group sparsity", ICASSP 2011. Tan and Févotte,
"Automatic relevance determination in nonnegative matrix factorization with the β-divergence", IEEE
TPAMI 35(7), 2013. De Pierro, "A modified expectation maximization algorithm for penalized likelihood
estimation in emission tomography", IEEE Transactions on Medical Imaging 14(1), 1995.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audionmf.errors import ParameterError

__all__ = ["Penalised", "Penalties"]

Matrix = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Penalties:
    """Weights of the terms of J, each 0 or more; 0 leaves a term out.

    Parameters
    ----------
    sparsity, group_sparsity, continuity, decorrelation : float, default 0
        The weights.
    groups : sequence of int, optional
        The group of each component, for `group_sparsity`.

    Raises
    ------
    ParameterError
        If a weight is negative or not finite, or `group_sparsity` comes without groups.
    """

    sparsity: float = 0.0
    group_sparsity: float = 0.0
    continuity: float = 0.0
    decorrelation: float = 0.0
    groups: Sequence[int] | None = None

    def __post_init__(self) -> None:
        for name in ("sparsity", "group_sparsity", "continuity", "decorrelation"):
            value = getattr(self, name)
            if not (isinstance(value, int | float) and 0 <= value < float("inf")):
                raise ParameterError(f"{name} must be a finite number, 0 or more, not {value!r}")
        if (self.groups is None) != (self.group_sparsity == 0):
            raise ParameterError("group_sparsity and groups come together")

    @property
    def any(self) -> bool:
        """Whether there is a penalty at all."""
        return any((self.sparsity, self.group_sparsity, self.continuity, self.decorrelation))

    def members(self, n_components: int) -> Matrix:
        """Return which component is in which group, (n_components, n_groups); no groups: empty.

        Raises
        ------
        ParameterError
            If the groups are not one whole number a component, 0 or more.
        """
        if self.groups is None:
            return np.zeros((n_components, 0))
        groups = np.asarray(self.groups)
        wrong = groups.shape != (n_components,) or groups.dtype.kind not in "iu"
        if wrong or int(groups.min()) < 0:
            raise ParameterError(f"groups are {n_components} whole numbers, 0 or more")
        members: Matrix = (groups[:, None] == np.unique(groups)).astype(np.float64)
        return members


class Penalised:
    """Iterations on one V, in place, by the fused kernel: an `Updater`, whose divergence is J.

    Parameters
    ----------
    V : ndarray, shape (n_bins, n_frames), float32 or float64
        Data, ≥ 0, with a peak not far from 1. Not modified.
    penalties : Penalties
        The weights.
    free_templates, free_activations : ndarray of bool, shape (n_components,)
        The components that are updated.
    n_threads : int
        Threads; the result does not depend on them.
    """

    def __init__(
        self,
        V: Matrix,
        penalties: Penalties,
        free_templates: Mask,
        free_activations: Mask,
        n_threads: int,
    ) -> None:
        from audionmf.nmf.kernels import KLKernel

        self._penalties = penalties
        self._free = (free_templates, free_activations)
        n_components = len(free_templates)
        n_activations = V.shape[1] * n_components
        self._level = float(V.sum(dtype=np.float64)) / n_activations or 1.0
        self._members = penalties.members(n_components)
        every = np.ones(n_components, bool)
        self._kernel = KLKernel(V, n_components, n_threads, every, every)
        self._tiny = np.finfo(V.dtype).tiny

    def __enter__(self) -> Penalised:
        return self

    def __exit__(self, *_: object) -> None:
        self._kernel.__exit__()

    def iterate(
        self, W: Matrix, H: Matrix, *, templates: bool = True, divergence: bool = False
    ) -> float:
        """Update the activations, then the templates, which sum to 1 or 0; return J before."""
        explained, value = self._kernel.explained(W, H)
        value += self._penalty(H.astype(np.float64))
        if self._free[1].any():
            updated = self._minimum(explained, W, H.astype(np.float64))
            np.copyto(H, updated.astype(H.dtype), where=self._free[1])
        if templates:
            moved = W * self._kernel.template_sums(W, H)
            sums = moved.sum(axis=1, keepdims=True)
            # A template that explains nothing stays as it is: its activations are zero.
            moving = (sums > self._tiny) & self._free[0][:, None]
            np.copyto(W, moved / np.where(moving, sums, 1), where=moving)
            W[self._tiny > W] = 0
        return value

    def _minimum(self, over: Matrix, W: Matrix, H: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return where ``-over log h + b h + c h²`` is least, for each activation."""
        p, level = self._penalties, self._level
        b = np.broadcast_to(W.sum(axis=1, dtype=np.float64) > 0, H.shape).astype(np.float64)
        c = np.zeros_like(H if p.continuity or p.decorrelation else H[:1])
        if p.sparsity:
            b += p.sparsity / (1 + H / level)
        if p.group_sparsity:
            b += (p.group_sparsity / (1 + H @ self._members / level)) @ self._members.T
        if p.continuity and len(H) > 1:
            weight = 2 * p.continuity / level
            middle = (H[1:] + H[:-1]) / 2
            b[1:] -= 2 * weight * middle
            b[:-1] -= 2 * weight * middle
            c[1:] += weight
            c[:-1] += weight
        if p.decorrelation:
            others = H.sum(axis=1, keepdims=True) - H
            playing = np.where(self._tiny < H, H, np.inf)
            c += p.decorrelation / (2 * level) * np.maximum(others, 0) / playing
        found = _root(over.astype(np.float64), b, c)
        return np.where((H > 0) & (found > self._tiny), found, 0)

    def _penalty(self, H: NDArray[np.float64]) -> float:
        p, level = self._penalties, self._level
        total = 0.0
        if p.sparsity:
            total += p.sparsity * level * float(np.log1p(H / level).sum())
        if p.group_sparsity:
            total += p.group_sparsity * level * float(np.log1p(H @ self._members / level).sum())
        if p.continuity:
            total += p.continuity / level * float((np.diff(H, axis=0) ** 2).sum())
        if p.decorrelation:
            products = H.sum(axis=1) ** 2 - (H**2).sum(axis=1)
            total += p.decorrelation / level * float(products.sum()) / 2
        return total


def _root(a: Matrix, b: Matrix, c: Matrix) -> Matrix:
    """Return h ≥ 0 with ``-a / h + b + 2 c h = 0``, by the form that does not cancel."""
    tiny = np.finfo(np.float64).tiny
    if not c.any():
        return np.where(b > 0, a / np.maximum(b, tiny), 0)
    width = np.sqrt(b * b + 8 * a * c)
    rising = 2 * a / np.maximum(b + width, tiny)
    falling = (width - b) / np.maximum(4 * c, tiny)
    root: Matrix = np.where(b > 0, rising, np.where(c > 0, falling, 0))
    return root
