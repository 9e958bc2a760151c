"""Source models become masks, shares of the mixture that sum to one in every bin.

The zero-energy rule: in a bin where every source's model is zero, each source gets the same share,
``1 / n_sources``. No model knows better there, and the stems still sum to the mixture.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audionmf.errors import ParameterError
from audionmf.spectra.fused import FramePass, maximum, root, where_zero

__all__ = ["BY_PRODUCTS", "least_normal", "ratio_masks", "shares", "source_masks"]

_LEAST = 0.1
"""Share of the largest mask below which a soft mask is nothing."""


def ratio_masks(
    models: NDArray[np.floating[Any]], exponent: float = 1.0
) -> NDArray[np.floating[Any]]:
    """Return Wiener-style masks ``model^p / Σ model^p``.

    Parameters
    ----------
    models : ndarray, shape (n_sources, ...)
        Magnitude model of each source, ≥ 0 and finite. Not modified.
    exponent : float, default 1
        p > 0. 1 shares the magnitude out in proportion; 2 is the Wiener filter where the models
        are magnitudes of independent sources; more makes the masks harder.

    Returns
    -------
    ndarray, shape of `models`
        In 0 … 1, in the dtype of `models`; the sum over sources is 1 in every bin. Where all
        models are zero, each is ``1 / n_sources``.

    Raises
    ------
    ParameterError
        If there is no source or the exponent is not positive and finite.

    References
    ----------
    Fitzgerald and Jaiswal, "On the use of masking filters in sound source separation", DAFx 2012;
    Liutkus and Badeau, "Generalized Wiener filtering with fractional power spectrograms", ICASSP
    2015.
    """
    if models.ndim < 1 or models.shape[0] == 0:
        raise ParameterError("masks need the model of at least one source")
    if not (np.isfinite(exponent) and exponent > 0):
        raise ParameterError(f"the mask exponent must be more than 0, not {exponent!r}")
    if models.ndim == 3 and models.dtype == np.float32 and exponent in BY_PRODUCTS:
        frames = models.swapaxes(1, 2)
        masks: NDArray[np.floating[Any]] = np.empty(frames.shape, models.dtype)
        _masks_pass(len(models), float(exponent))([*frames], [*masks])
        return masks.swapaxes(1, 2)
    return np.array(shares(list(models), exponent))


def shares(models: Sequence[Any], exponent: float) -> list[Any]:
    """Return the masks of a bin, or of many, of the models there, as `ratio_masks` does."""
    loudest = functools.reduce(maximum, models)
    # Relative to the loudest source no power can overflow, and the sum is about 1 or more.
    by_product = BY_PRODUCTS.get(exponent)
    if by_product:
        # A division takes as long as a dozen products. Below the least normal number its inverse
        # would be infinite; relative to that, no power that is a product becomes 0.
        inverse = 1.0 / maximum(loudest, least_normal(loudest))
        powers = [by_product(model * inverse) for model in models]
    else:
        known = where_zero(loudest, 1.0, loudest)
        powers = [(model / known) ** model.dtype.type(exponent) for model in models]
    powers = [where_zero(loudest, 1.0, power) for power in powers]
    inverse = 1.0 / sum(powers[1:], powers[0])
    return [power * inverse for power in powers]


def least_normal(x: Any) -> float:
    """Return the least positive number of the type of an array, or of a pass, in full precision."""
    return float(np.finfo(getattr(x, "dtype", np.float32)).tiny)


BY_PRODUCTS: dict[float, Callable[[Any], Any]] = {
    1: lambda x: x,
    1.5: lambda x: x * root(x),
    2: lambda x: x * x,
}
"""Exponents of masks that need nothing but products and roots."""


@functools.lru_cache(maxsize=64)
def _masks_pass(n_sources: int, exponent: float) -> FramePass:
    return FramePass(lambda *models: shares(models, exponent), "f" * n_sources, "f" * n_sources)


def source_masks(
    models: NDArray[np.floating[Any]], exponent: float = 1.0, kind: str = "wiener"
) -> NDArray[np.floating[Any]]:
    """Return masks of a kind.

    Parameters
    ----------
    models, exponent
        As in `ratio_masks`.
    kind : {"wiener", "soft", "binary"}, default "wiener"
        "wiener": `ratio_masks`. "soft": these after soft thresholding; a tenth of the largest mask
        in a bin is taken off each, what is left is scaled to sum to 1. "binary": the largest model
        gets the bin, of equals the first.

    Returns
    -------
    ndarray, shape of `models`
        In 0 … 1; the sum over sources is 1 in every bin. Where all models are zero, each is
        ``1 / n_sources``.

    Raises
    ------
    ParameterError
        As `ratio_masks` does, and if there is no such kind.

    References
    ----------
    Yilmaz and Rickard, "Blind separation of speech mixtures via time-frequency masking", IEEE
    Transactions on Signal Processing 52(7), 2004 (binary masks). Donoho and Johnstone, "Ideal
    spatial adaptation by wavelet shrinkage", Biometrika 81(3), 1994 (soft thresholding).
    """
    if kind not in ("wiener", "soft", "binary"):
        raise ParameterError(f"a mask is 'wiener', 'soft' or 'binary', not {kind!r}")
    masks = ratio_masks(models, exponent)
    if kind == "wiener":
        return masks
    if kind == "soft":
        masks = np.maximum(masks - masks.dtype.type(_LEAST) * masks.max(axis=0), 0)
        softened: NDArray[np.floating[Any]] = masks / masks.sum(axis=0)
        return softened
    first = models.argmax(axis=0)
    winners = np.zeros_like(masks)
    np.put_along_axis(winners, first[None], masks.dtype.type(1), axis=0)
    chosen: NDArray[np.floating[Any]] = np.where(models.any(axis=0), winners, masks)
    return chosen
