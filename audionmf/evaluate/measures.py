"""How well stems match the true ones, on plain arrays.

An estimate is split in three parts that are at right angles to each other (`Scores`), or nearly so
with filters (`BssEval`): what the true stem explains (target), what the other true stems explain
beyond it (interference), and what none of them explains (artefacts). Every figure is a ratio of
their energies in dB; more is better.

Stems have shape (n_sources, n_channels, n_samples). The channels of a stem are taken together, as
one long signal: one gain, or one filter, for all of them. Computed in float64.

What is silent is decided before anything is divided: where the target is nothing, all figures are
minus infinity, with nothing beside it as well; where there is a target and the error is nothing,
the figure is infinity.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from audionmf.errors import LimitError, MissingExtraError, ParameterError

__all__ = ["BssEval", "Scores", "best_match", "bss_eval", "residual", "scores", "si_sdr"]

Samples = NDArray[np.float64]

_DEPENDENT = 1e-10
_MAX_MATCH_DB = 100.0
_DIAGONAL_LOAD = 1e-10
_MAX_BYTES = 8 << 30


@dataclass(frozen=True)
class Scores:
    """Scale-invariant scores of one stem, in dB.

    ``10 ** (-si_sdr / 10) = 10 ** (-si_sir / 10) + 10 ** (-si_sar / 10)``: the distortion is the
    interference and the artefacts.

    Parameters
    ----------
    si_sdr : float
        Energy of the target over that of all distortion, as `si_sdr` gives it.
    si_sir : float
        Energy of the target over that of the interference.
    si_sar : float
        Energy of the target over that of the artefacts. (BSS Eval has the interference in the
        numerator too; here it is as in the reference of `scores`.)
    """

    si_sdr: float
    si_sir: float
    si_sar: float


@dataclass(frozen=True)
class BssEval:
    """BSS Eval scores of one stem, in dB: any short filter of the true stem is forgiven.

    Parameters
    ----------
    sdr : float
        Energy of the target over that of all distortion.
    sir : float
        Energy of the target over that of the interference.
    sar : float
        Energy of target and interference over that of the artefacts.
    """

    sdr: float
    sir: float
    sar: float


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
    _check_samples(truth, guess)
    truth, guess = _centred(truth), _centred(guess)
    target = _on_line(truth, guess)
    return _decibels(target, guess - target)


def scores(references: ArrayLike, estimates: ArrayLike) -> tuple[Scores, ...]:
    """Return scale-invariant SDR, SIR and SAR of each stem.

    The target is the projection of the estimate on its own reference, the interference that of the
    rest on the span of all references, the artefacts are what is left. References that are silent,
    or sums of multiples of others, add nothing to the span.

    Parameters
    ----------
    references : array, shape (n_sources, n_channels, n_samples)
        The true stems.
    estimates : array, same shape
        The estimates, in the same order. The mean of each is removed; its level does not matter.

    Returns
    -------
    tuple of Scores
        One for each stem. All three figures are minus infinity where the estimate or its reference
        is silent (constant); with one reference there is no interference and SI-SIR is infinite.

    Raises
    ------
    ParameterError
        If the shapes differ, there are no samples, or some are not finite.

    References
    ----------
    Le Roux, Wisdom, Erdogan and Hershey, "SDR – half-baked or well done?", ICASSP 2019.
    """
    truths, guesses = (_signals(stems) for stems in _paired(references, estimates))
    return tuple(
        _score([truth, *truths[:k], *truths[k + 1 :]], guess)
        for k, (truth, guess) in enumerate(zip(truths, guesses, strict=True))
    )


def bss_eval(references: ArrayLike, estimates: ArrayLike, n_taps: int = 512) -> tuple[BssEval, ...]:
    """Return SDR, SIR and SAR of BSS Eval, version 3, of each stem.

    As `scores`, but projected on the references and their first `n_taps` delays: a stem that a
    filter of that length turns into its reference is perfect. The mean stays. One filter serves
    all channels. Computed by fast-bss-eval; figures above some 100 dB are rounding.

    Parameters
    ----------
    references : array, shape (n_sources, n_channels, n_samples)
        The true stems.
    estimates : array, same shape
        The estimates, in the same order.
    n_taps : int, default 512
        Length of the filters, at least 1. The literature reports 512.

    Returns
    -------
    tuple of BssEval
        One for each stem. All three figures are minus infinity where the estimate or its reference
        is silent (zero); with one reference SIR is infinite.

    Raises
    ------
    MissingExtraError
        If fast-bss-eval is not installed.
    ParameterError
        If the shapes differ, there are no samples, some are not finite, or `n_taps` is no length.
    LimitError
        If it would take more than 8 GiB of memory. That is reached by four stereo stems of one
        minute at 44.1 kHz: the need grows with the length and with the square of the stems.

    References
    ----------
    Vincent, Gribonval and Févotte, "Performance measurement in blind audio source separation",
    IEEE Transactions on Audio, Speech and Language Processing 14(4), 2006.
    Scheibler, "SDR – medium rare with fast computations", ICASSP 2022.
    """
    if not isinstance(n_taps, int | np.integer) or n_taps < 1:
        raise ParameterError(f"n_taps is a whole number from 1, not {n_taps!r}")
    truths, guesses = _paired(references, estimates)
    audible = truths.any(axis=(1, 2))
    found = np.full((3, len(truths)), -np.inf)
    if audible.any():
        found[:, audible] = _filtered(truths[audible], guesses[audible], int(n_taps))
    return tuple(BssEval(*(float(value) for value in column)) for column in found.T)


def best_match(references: ArrayLike, estimates: ArrayLike) -> tuple[tuple[int, int], ...]:
    """Find which estimate is which reference: the pairs with the largest sum of SI-SDR.

    Parameters
    ----------
    references : array, shape (n_references, n_channels, n_samples)
        The true stems.
    estimates : array, shape (n_estimates, n_channels, n_samples)
        The estimates, in any order, as many or not.

    Returns
    -------
    tuple of (int, int)
        Indices of a reference and its estimate, in order of the references; as many pairs as there
        are of the fewer. SI-SDR beyond ±100 dB counts as that, silence as the worst.

    Raises
    ------
    ParameterError
        If channels or samples differ, there are no samples, or some are not finite.
    """
    from scipy.optimize import linear_sum_assignment

    truths, guesses = _stems(references), _stems(estimates)
    if truths.shape[1:] != guesses.shape[1:]:
        raise ParameterError(
            f"the references have shape {truths.shape}, the estimates {guesses.shape}; channels "
            "and samples must agree"
        )
    table = _pairwise_si_sdr(_signals(truths), _signals(guesses))
    rows, columns = linear_sum_assignment(table, maximize=True)
    return tuple((int(row), int(column)) for row, column in zip(rows, columns, strict=True))


def residual(references: ArrayLike, estimates: ArrayLike) -> float:
    """Return how far the sum of the estimates is from the sum of the references.

    Parameters
    ----------
    references : array, shape (n_sources, n_channels, n_samples)
        The true stems.
    estimates : array, same shape
        The estimates, in any order.

    Returns
    -------
    float
        Energy of the difference over that of the sum of the references, in dB; *less* is better.
        Minus infinity if the sums are equal, infinity if they are not and the references sum to
        silence.

    Raises
    ------
    ParameterError
        If the shapes differ, there are no samples, or some are not finite.
    """
    truths, guesses = _paired(references, estimates)
    total = truths.sum(axis=0)
    return _decibels((guesses.sum(axis=0) - total).ravel(), total.ravel())


def _stems(stems: ArrayLike) -> Samples:
    """Return stems as finite float64 of shape (n_sources, n_channels, n_samples)."""
    try:
        array = np.asarray(stems, np.float64)
    except (TypeError, ValueError) as error:
        raise ParameterError(f"the stems do not make one array of numbers: {error}") from error
    if array.ndim != 3:
        raise ParameterError(
            f"stems have shape (n_sources, n_channels, n_samples), not {array.shape}"
        )
    _check_samples(array)
    return array


def _paired(references: ArrayLike, estimates: ArrayLike) -> tuple[Samples, Samples]:
    truths, guesses = _stems(references), _stems(estimates)
    if truths.shape != guesses.shape:
        raise ParameterError(
            f"the references have shape {truths.shape}, the estimates {guesses.shape}; "
            "they must agree"
        )
    return truths, guesses


def _check_samples(*arrays: Samples) -> None:
    if not all(array.size and np.isfinite(array).all() for array in arrays):
        raise ParameterError("the stems to compare must have samples, all of them finite")


def _signals(stems: Samples) -> list[Samples]:
    """Return each stem as one long signal with its mean removed."""
    return [_centred(stem) for stem in stems]


def _centred(stem: Samples) -> Samples:
    """Return the stem as one long signal without its mean; zero, not rounding, if it is constant."""
    signal = stem.ravel()
    return signal - signal.mean() if signal.min() < signal.max() else np.zeros_like(signal)


def _score(truths: list[Samples], guess: Samples) -> Scores:
    """Score an estimate of the first of the references."""
    target = _on_line(truths[0], guess)
    distortion = guess - target
    interference = np.zeros_like(guess)
    for direction in _directions(truths)[1:]:  # the first is that of the target, if there is one
        interference += (direction @ distortion) * direction
    artefacts = distortion - interference
    parts = (distortion, interference, artefacts)
    return Scores(*(_decibels(target, part) for part in parts))


def _on_line(truth: Samples, guess: Samples) -> Samples:
    """Return the projection of a signal on a line; zero if there is no line."""
    energy = truth @ truth
    return np.asarray(truth * (truth @ guess / energy if energy > 0 else 0.0))


def _directions(signals: Iterable[Samples]) -> list[Samples]:
    """Return orthonormal signals with the same span, by Gram and Schmidt; the first comes first."""
    found: list[Samples] = []
    for signal in signals:
        left = signal
        for direction in (*found, *found):  # twice is enough
            left = left - (direction @ left) * direction
        if (norm := np.linalg.norm(left)) > _DEPENDENT * np.linalg.norm(signal):
            found.append(left / norm)
    return found


def _decibels(signal: Samples, error: Samples) -> float:
    """Return the ratio of energies in dB; minus infinity for nothing over nothing."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = float(10 * np.log10((signal @ signal) / (error @ error)))
    return ratio if ratio > -np.inf else -np.inf


def _pairwise_si_sdr(truths: list[Samples], guesses: list[Samples]) -> NDArray[np.float64]:
    """Return SI-SDR of all pairs, shape (n_references, n_estimates), within ±100 dB."""
    cosines = np.array([[truth @ guess for guess in guesses] for truth in truths])
    for axis, signals in ((1, truths), (0, guesses)):
        norms = np.array([np.linalg.norm(signal) or 1.0 for signal in signals])
        cosines /= np.expand_dims(norms, axis)
    share = 1 / (1 + 10 ** (_MAX_MATCH_DB / 10))
    explained = np.clip(cosines**2, share, 1 - share)
    return np.asarray(10 * np.log10(explained / (1 - explained)))


def _filtered(truths: Samples, guesses: Samples, n_taps: int) -> NDArray[np.float64]:
    """Return SDR, SIR and SAR, shape (3, n_sources), where no reference is silent."""
    _check_memory(len(truths), truths[0].size)
    alone, together = _square_cosines(_apart(truths, n_taps), _apart(guesses, n_taps), n_taps)
    target = np.clip(np.diagonal(alone), 0, 1)
    explained = np.clip(np.diagonal(together), target, 1) if len(truths) > 1 else target
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = 10 * np.log10(
            [
                target / (1 - target),
                target / (explained - target),
                explained / (1 - explained),
            ]
        )
    ratios[:, target == 0] = -np.inf
    return np.asarray(ratios)


def _apart(stems: Samples, n_taps: int) -> Samples:
    """Return each stem as one signal, its channels so far apart that no filter reaches over.

    The peak of each is one: fast-bss-eval takes very quiet signals for silence.
    """
    signals = np.pad(stems, ((0, 0), (0, 0), (0, n_taps - 1))).reshape(len(stems), -1)
    peaks = np.abs(signals).max(axis=1, keepdims=True)
    signals /= np.where(peaks > 0, peaks, 1)
    return signals


def _check_memory(n_sources: int, n_samples: int) -> None:
    """Refuse what fast-bss-eval could not hold: four spectra for every pair of stems."""
    n_fft = 2 ** math.ceil(math.log2(2 * n_samples - 1))
    needed = n_fft * (32 * n_sources**2 + 16 * n_sources)
    if needed > _MAX_BYTES:
        raise LimitError(
            f"BSS Eval of {n_sources} stems of {n_samples} samples would take some "
            f"{needed / 2**30:.0f} GiB of memory, and {_MAX_BYTES / 2**30:.0f} GiB are the most; "
            "compare a shorter excerpt, or leave BSS Eval out"
        )


def _square_cosines(truths: Samples, guesses: Samples, n_taps: int) -> tuple[Any, Any]:
    """Return the share of each estimate's energy that one reference, and all, explain."""
    try:
        from fast_bss_eval.numpy import square_cosine_metrics
    except ImportError as error:
        raise MissingExtraError(
            "BSS Eval needs fast-bss-eval; install it with: pip install 'audionmf[evaluate]'"
        ) from error
    options = {"filter_length": n_taps, "pairwise": True}
    try:
        alone, together = square_cosine_metrics(truths, guesses, **options)
    except np.linalg.LinAlgError:  # a reference is the sum of others, filtered
        alone, together = square_cosine_metrics(
            truths, guesses, **options, load_diag=_DIAGONAL_LOAD
        )
    return alone, together
