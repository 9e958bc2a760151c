"""How well a stem matches the true one, on plain arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from audionmf.errors import ParameterError

__all__ = ["si_sdr"]


def si_sdr(reference: ArrayLike, estimate: ArrayLike) -> float:
    """Return the scale-invariant signal-to-distortion ratio of a stem.

    Parameters
    ----------
    reference : array, shape (n_channels, n_samples) or (n_samples,)
        The true stem.
    estimate : array, same shape
        The estimate. Channels are taken together, as one long signal; the mean is removed.

    Returns
    -------
    float
        In dB; more is better. Infinite for a scaled copy, minus infinite for silence.

    Raises
    ------
    ParameterError
        If the shapes differ, there are no samples, or some are not finite.

    References
    ----------
    Le Roux, Wisdom, Erdogan and Hershey, "SDR – half-baked or well done?", ICASSP 2019.
    """
    truth, guess = np.asarray(reference, np.float64), np.asarray(estimate, np.float64)
    if truth.shape != guess.shape:
        raise ParameterError(
            f"the reference has shape {truth.shape}, the estimate {guess.shape}; they must agree"
        )
    if not (truth.size and np.isfinite(truth).all() and np.isfinite(guess).all()):
        raise ParameterError("the stems to compare must have samples, all of them finite")
    truth, guess = truth.ravel() - truth.mean(), guess.ravel() - guess.mean()
    energy = truth @ truth
    target = truth * (truth @ guess / energy if energy > 0 else 0.0)
    distortion = guess - target
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = 10 * np.log10((target @ target) / (distortion @ distortion))
    return float(ratio) if np.isfinite(ratio) or ratio > 0 else -np.inf
