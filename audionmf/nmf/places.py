"""What an iteration offers, and where it is computed: by machine code or on a graphics card."""

from __future__ import annotations

from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from audionmf.settings import CPU

__all__ = ["Kernel", "Updater", "kernel_on"]

Matrix = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]


class Updater(Protocol):
    """One iteration on one V, in place: W (n_components, n_bins), H (n_frames, n_components)."""

    def __enter__(self) -> Self:
        """Start."""

    def __exit__(self, *_: object) -> None:
        """End the threads."""

    def iterate(
        self, W: Matrix, H: Matrix, *, templates: bool = True, divergence: bool = False
    ) -> float:
        """Update H and then, unless told not to, W; return the divergence before, if asked for."""

    def activate(self, W: Matrix, H: Matrix, n_iter: int) -> None:
        """Update H alone `n_iter` times, every frame independently of the others."""

    def taken(self, array: Matrix) -> Matrix:
        """Return W or H where this works: the array itself, or a copy on a device."""

    def given(self, point: Matrix, array: Matrix) -> Matrix:
        """Bring back what was taken, into an array of the same shape, and return that."""

    def extrapolate(self, x: Matrix, previous: Matrix, b: float) -> None:
        """Do what `kernels.extrapolate` does, with what was taken."""


class Kernel(Updater, Protocol):
    """What updates under β = 1 and gives its sums too: `kernels.KLKernel`, `card.CardUpdater`."""

    def sums(
        self, W: Matrix, H: Matrix, *, gather: bool = True
    ) -> tuple[Matrix | None, NDArray[np.float64] | None]:
        """Do what `KLKernel.sums` does, with H as it was taken."""


def kernel_on(
    device: str,
    V: Matrix,
    n_threads: int,
    free_templates: Mask,
    free_activations: Mask,
    penalties: Matrix | None = None,
) -> Kernel:
    """Return what updates under β = 1 on a device; the others as `kernels.KLKernel` takes them."""
    if device != CPU:
        from audionmf.nmf.card import CardUpdater

        return CardUpdater(V, 1.0, device, free_templates, free_activations, penalties)
    # numba takes a third of a second to load: not before it is needed.
    from audionmf.nmf.kernels import KLKernel

    return KLKernel(V, len(free_templates), n_threads, free_templates, free_activations, penalties)
