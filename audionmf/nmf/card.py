"""The multiplicative updates on a graphics card, by PyTorch: what `kernels` and `updates` do.

V stays on the card while there are iterations, and so do W and H: `taken` and `given` carry them
there and back. Where the kernels of `fused` can be used, they do the work for β = 1. Elsewhere frames
are worked on in blocks, so that what lies beside V, W and H is bounded.
"""

from __future__ import annotations

import contextlib
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audionmf.nmf.divergence import exponent
from audionmf.spectra.device import exact_products, torch_device

__all__ = ["CardUpdater"]

Matrix = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]

_BLOCK_NUMBERS = 1 << 25
_LEAST_FRAMES = 256
_TINY, _FLOOR = 1e-30, 1e-20


def fused_on(place: Any, n_components: int) -> ModuleType | None:
    """Return `fused` if its kernels can be used on PyTorch's device, else None."""
    if place.type != "cuda":
        return None
    try:
        from audionmf.nmf import fused
    except ImportError:  # Triton: not in every build of PyTorch
        return None
    return fused if fused.usable(place, n_components) else None


class CardUpdater:
    """Iterations for any β on a device.

    W (n_components, n_bins) and H (n_frames, n_components) are tensors of the device, as `taken`
    makes them, and updated in place.

    Parameters
    ----------
    V : ndarray, shape (n_bins, n_frames), float32 or float64
        Data, ≥ 0, with a peak not far from 1. Not modified.
    beta : float
        Of the divergence.
    device : str
        As in `torch_device`.
    free_templates, free_activations : ndarray of bool, shape (n_components,)
        The components that are updated.
    penalties : ndarray, shape (n_components,), optional
        L1 weights on the activations, for β = 1.

    Raises
    ------
    ParameterError, MissingExtraError
        If the device cannot be used.
    LimitError
        If it has too little memory.
    """

    def __init__(
        self,
        V: Matrix,
        beta: float,
        device: str,
        free_templates: Mask,
        free_activations: Mask,
        penalties: Matrix | None = None,
    ) -> None:
        self._place, self._beta = torch_device(device), beta
        import torch

        self._torch, self._numpy = torch, V.dtype
        # Below β = 1 powers of a model near its floor are beyond single precision.
        double = beta < 1 or V.dtype == np.float64
        self._dtype = torch.float64 if double else torch.float32
        self._free_W = self.taken(np.asarray(free_templates, bool))[:, None]
        self._free_H = self.taken(np.asarray(free_activations, bool))
        self._moving = bool(np.any(free_activations))
        weights = np.zeros(len(free_templates)) if penalties is None else penalties
        self._penalties = self.taken(np.asarray(weights, np.float64))
        step = max(_LEAST_FRAMES, _BLOCK_NUMBERS // V.shape[0])
        self._blocks = [slice(i, i + step) for i in range(0, V.shape[1], step)]
        self._within = contextlib.ExitStack()
        fused = None if double or beta != 1 else fused_on(self._place, len(weights))
        with exact_products():
            if fused is None:
                self._passes, self._V = None, self.taken(V.T).to(self._dtype)
            else:
                self._V = fused.spacious(V.shape[1], V.shape[0], self._place)
                self._V.copy_(torch.from_numpy(np.array(V.T, order="C")))
                self._passes = fused.Passes(self._V, len(weights), self._free_H)

    def __enter__(self) -> CardUpdater:
        self._within.enter_context(exact_products())
        return self

    def __exit__(self, *error: Any) -> None:
        self._within.__exit__(*error)

    def taken(self, array: NDArray[Any]) -> Any:
        """Return a copy of an array on the device."""
        return self._torch.tensor(np.ascontiguousarray(array), device=self._place)

    def given(self, tensor: Any, array: Matrix) -> Matrix:
        """Copy a tensor from the device into an array, and return that."""
        array[...] = tensor.cpu().numpy()
        return array

    def extrapolate(self, tensor: Any, previous: Any, b: float) -> None:
        """Do what `kernels.extrapolate` does."""
        carried = self._carried(tensor, previous, b)
        previous.copy_(tensor)
        tensor.copy_(carried)

    def iterate(self, W: Any, H: Any, *, templates: bool = True, divergence: bool = False) -> float:
        """Do one iteration in place, as `Updater` says."""
        value, over, under = self._pass(W, H, templates, divergence)
        if templates:
            updated = self._multiplied(W, over, under)
            W.copy_(self._torch.where(self._free_W, updated, W))
        return value

    def sums(
        self, W: Matrix, H: Any, *, gather: bool = True
    ) -> tuple[Matrix | None, NDArray[np.float64] | None]:
        """Do what `KLKernel.sums` does, with W an array and H a tensor."""
        _, over, under = self._pass(self.taken(W), H, gather, False)
        if not gather:
            return None, None
        return over.cpu().numpy(), under[:, 0].double().cpu().numpy()

    def activate(self, W: Any, H: Any, n_iter: int) -> None:
        """Update H alone `n_iter` times, every frame independently of the others."""
        if self._beta != 1:
            for _ in range(n_iter):
                self.iterate(W, H, templates=False)
            return
        if self._passes:
            self._passes.activate(W, H, self._sums(W), n_iter)
            return
        for block in self._blocks:
            self._activate_block(self._V[block], W, H[block], n_iter)

    def _activate_block(self, V: Any, W: Any, H: Any, n_iter: int) -> None:
        """Update H with momentum that restarts in a frame where it goes uphill, as `passes` does."""
        where, sums = self._torch.where, self._sums(W)
        age, at, previous = H.new_zeros(len(H)), H.clone(), H.clone()
        for i in range(n_iter):
            ratio = (V / self._model(at, W)) @ W.T / sums
            new = where(self._free_H, self._cut(at * ratio), at)
            if i:
                step = where(self._free_H, (1 - ratio) * (new - previous) * sums, 0 * new)
                uphill = self._torch.nan_to_num(step, posinf=0, neginf=0).sum(dim=1) > 0
                age = where(uphill, 0 * age, age + 1)
            else:
                age = age + 1
            b = (age - 1) / (age + 2) if 0 < i < n_iter - 1 else 0 * age
            at, previous = self._carried(new, previous, b.clamp_min(0)[:, None]), new
        H.copy_(at)

    def _pass(self, W: Any, H: Any, gather: bool, divergence: bool) -> tuple[float, Any, Any]:
        """Update H in place; return the divergence before, numerator and denominator for W."""
        W, value = W.to(self._dtype), 0.0
        if divergence and self._beta == 1:
            level = self._sums(W, infinite=False)
            value += float((H.sum(dim=0, dtype=self._torch.float64) * level).sum())
        if self._passes:
            more, over = self._passes.update(
                W, H, self._sums(W), moving=self._moving, gather=gather, divergence=divergence
            )
            return float(value + more), over, H.sum(dim=0, dtype=self._torch.float64)[:, None]
        over = under = 0.0
        for block in self._blocks:
            V, part = self._V[block], H[block].to(self._dtype)
            model = self._model(part, W)
            if divergence:
                value = value + self._divergence(V, model)
            if self._moving:
                updated = self._updated(V, model, W, part)
                part = self._torch.where(self._free_H, updated, part)
                H[block] = part
                model = self._model(part, W)
            if gather:
                more_over, more_under = self._sides(V, model, lambda x, part=part: part.T @ x)
                if self._beta == 1:
                    more_under = part.sum(dim=0, dtype=self._torch.float64)[:, None]
                over, under = over + more_over, under + more_under
        return float(value), over, under

    def _updated(self, V: Any, model: Any, W: Any, H: Any) -> Any:
        over, under = self._sides(V, model, lambda x: x @ W.T)
        if self._beta == 1:
            return self._cut(H * (over / self._sums(W)))
        return self._multiplied(H, over, under)

    def _sides(self, V: Any, model: Any, project: Any) -> tuple[Any, Any]:
        """Return numerator and denominator; for β = 1 the latter is known without a product."""
        if self._beta == 1:
            return project(V / model), None
        if self._beta == 2:
            return project(V), project(model)
        power = model ** (self._beta - 1)
        return project(V * (power / model)), project(power)

    def _multiplied(self, factor: Any, over: Any, under: Any) -> Any:
        """Return ``factor · (over / under)^γ``, 0 where nothing is under."""
        tiny = _TINY if self._beta == 1 else self._torch.finfo(factor.dtype).tiny
        ratio = self._torch.where(under > tiny, over / under.clamp_min(tiny), 0 * over)
        return self._cut(factor * ratio.to(factor.dtype) ** exponent(self._beta))

    def _divergence(self, V: Any, model: Any) -> Any:
        """Return the divergence of a block; for β = 1 without the sum of the model."""
        torch, beta = self._torch, self._beta
        if beta == 1:
            return (torch.xlogy(V, V / model) - V).sum(dtype=torch.float64)
        V, model = V.double(), model.double()
        if beta == 2:
            return ((V - model) ** 2).sum() / 2
        if beta == 0:
            return (V / model - torch.log(V / model) - 1).sum()
        cross = beta * V * model ** (beta - 1)
        return ((V**beta + (beta - 1) * model**beta - cross) / (beta * (beta - 1))).sum()

    def _model(self, H: Any, W: Any) -> Any:
        return (H @ W).clamp_min(_TINY if self._beta == 1 else _FLOOR)

    def _sums(self, W: Any, *, infinite: bool = True) -> Any:
        """Return what divides an update of H for β = 1; silent templates have no share in it."""
        sums = W.sum(dim=1, dtype=self._torch.float64)
        silent = float("inf") if infinite else 0.0
        known = self._torch.where(sums > _TINY, sums + self._penalties, 0 * sums + silent)
        return known.to(W.dtype)

    def _cut(self, updated: Any) -> Any:
        """Return what was updated, 0 where it is too small for normal numbers."""
        tiny = _TINY if self._beta == 1 else self._torch.finfo(updated.dtype).tiny
        return self._torch.where(updated > tiny, updated, 0 * updated)

    def _carried(self, new: Any, old: Any, b: Any) -> Any:
        both = (new > 0) & (old > 0)
        carried = new * (((1 + b) * new + (1 - b) * old) / ((1 - b) * new + (1 + b) * old))
        return self._torch.where(both, carried, new)
