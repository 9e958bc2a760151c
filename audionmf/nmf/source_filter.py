"""A voice over an accompaniment: source–filter model and plain factorisation, added up.

V ≈ (S H_S) ∘ (B Q H_Q) · g + W H, with the elementwise product ∘. The first part is the voice: a source
with a pitch, whose spectra S are known combs, goes through a filter that is smooth in frequency: B
holds known overlapping bumps, Q their weights in each of a few filters, H_Q which filter is heard
when. The second part is the accompaniment, free templates W with activations H. Where there are
channels, their bins stand one below the other in V and W, and the voice has a gain g in each.

The model is linear in H_S and H together, in H_Q, and in W together with Q or with g, each with the
others fixed: for each of these in turn, the multiplicative update of a sum of non-negative terms
lowers the Kullback–Leibler divergence. One pass over V does them all; every fourth has the gains in
the place of the filters.

References
----------
Durrieu, Richard, David and Févotte, "Source/filter model for unsupervised main melody extraction from
polyphonic audio signals", IEEE Transactions on Audio, Speech, and Language Processing 18(3), 2010.
Durrieu, David and Richard, "A musically motivated mid-level representation for pitch estimation and
musical audio source separation", IEEE Journal of Selected Topics in Signal Processing 5(6), 2011. Both
use the Itakura–Saito divergence of powers; here it is that of Kullback and Leibler on magnitudes, as
everywhere in this package.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audionmf.nmf.solver import State

__all__ = ["SourceFilter", "fit_source_filter"]

Matrix = NDArray[np.floating[Any]]

_FLOOR = 1e-20
_BLOCK_FRAMES = 128
_GAINS_EVERY = 4


@dataclass(frozen=True, eq=False)
class SourceFilter:
    """The factors of V ≈ (S H_S) ∘ (B Q H_Q) · g + W H.

    Parameters
    ----------
    source_activations : ndarray, shape (n_pitches, n_frames)
        H_S.
    filters : ndarray, shape (n_bumps, n_filters)
        Q.
    filter_activations : ndarray, shape (n_filters, n_frames)
        H_Q.
    gains : ndarray, shape (n_channels,)
        g.
    templates : ndarray, shape (n_channels · n_bins, n_components)
        W.
    activations : ndarray, shape (n_components, n_frames)
        H.
    divergence : ndarray, shape (n_iter + 1,), float64
        At the start and after each iteration.
    reason : {"max_iter", "cancelled"}
        Why it stopped.
    """

    source_activations: Matrix
    filters: Matrix
    filter_activations: Matrix
    gains: Matrix
    templates: Matrix
    activations: Matrix
    divergence: NDArray[np.float64]
    reason: str = "max_iter"

    def voice(self, sources: Matrix, bumps: Matrix) -> Matrix:
        """Return the magnitudes of the voice, (n_channels · n_bins, n_frames).

        Parameters
        ----------
        sources : ndarray, shape (n_bins, n_pitches)
            S.
        bumps : ndarray, shape (n_bins, n_bumps)
            B.
        """
        heard = (sources @ self.source_activations) * (
            bumps @ (self.filters @ self.filter_activations)
        )
        stacked: Matrix = np.concatenate([heard * gain for gain in self.gains])
        return stacked

    def accompaniment(self) -> Matrix:
        """Return the magnitudes of the accompaniment, (n_channels · n_bins, n_frames)."""
        heard: Matrix = self.templates @ self.activations
        return heard


def fit_source_filter(
    V: Matrix,
    sources: Matrix,
    bumps: Matrix,
    start: SourceFilter,
    *,
    max_iter: int = 50,
    n_threads: int = 1,
    callback: Callable[[State], bool | None] | None = None,
) -> SourceFilter:
    """Fit the model by multiplicative updates.

    Parameters
    ----------
    V : ndarray, shape (n_channels · n_bins, n_frames)
        Magnitudes, ≥ 0, with a peak not far from 1. Not modified.
    sources : ndarray, shape (n_bins, n_pitches)
        S.
    bumps : ndarray, shape (n_bins, n_bumps)
        B.
    start : SourceFilter
        Where to start; what is 0 stays 0.
    max_iter : int, default 50
        Iterations.
    n_threads : int, default 1
        Threads; the result does not depend on it.
    callback : callable, optional
        Called with a `State` after each iteration; returning True cancels the rest.

    Returns
    -------
    SourceFilter
        The factors, of the dtype of V.
    """
    from threadpoolctl import threadpool_limits

    known = _Known(_rows(sources, V.dtype), _rows(bumps, V.dtype))
    factors = _Factors.of(start, V.dtype)
    blocks = [slice(a, a + _BLOCK_FRAMES) for a in range(0, V.shape[1], _BLOCK_FRAMES)]
    pieces = [_rows(V[:, block], V.dtype) for block in blocks]
    values: list[float] = []
    reason = "max_iter"
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(n_threads) as pool:
        for iteration in range(max_iter + 1):
            last = iteration == max_iter or reason == "cancelled"
            work = partial(_measure if last else _pass, known, factors)
            sums = _added(list(pool.map(work, pieces, blocks)))
            values.append(float(sums[-1]))
            if last:
                break
            factors.update(sums, gains=iteration % _GAINS_EVERY == _GAINS_EVERY - 1)
            # The divergence is that before the update: what this one reached is not known yet.
            if callback and callback(State(iteration + 1, max_iter, values[-1])):
                reason = "cancelled"
    return replace(factors.result(), divergence=np.array(values), reason=reason)


@dataclass(frozen=True, eq=False)
class _Known:
    """S and B, (n_pitches, n_bins) and (n_bumps, n_bins)."""

    sources: Matrix
    bumps: Matrix


@dataclass(eq=False)
class _Factors:
    """The factors with frames as rows and bins as neighbours; activations are updated in place."""

    pitches: Matrix
    filters: Matrix
    openings: Matrix
    gains: Matrix
    templates: Matrix
    activations: Matrix

    @classmethod
    def of(cls, model: SourceFilter, dtype: Any) -> _Factors:
        return cls(
            _rows(model.source_activations, dtype), _rows(model.filters, dtype),
            _rows(model.filter_activations, dtype), np.array(model.gains, dtype),
            _rows(model.templates, dtype), _rows(model.activations, dtype),
        )  # fmt: skip

    def update(self, sums: list[Any], *, gains: bool) -> None:
        """Update what all frames share: templates, with filters or gains, of which it is linear."""
        over_Q, under_Q, over_W, under_W, over_g, under_g, _ = sums
        self.templates = _times(self.templates, over_W, under_W[:, None])
        if gains:
            self.gains = _times(self.gains, over_g, under_g)
        else:
            self.filters = _times(self.filters, over_Q, under_Q)

    def result(self) -> SourceFilter:
        return SourceFilter(
            self.pitches.T, self.filters.T, self.openings.T, self.gains, self.templates.T,
            self.activations.T, np.empty(0),
        )  # fmt: skip


def _rows(columns: Matrix, dtype: Any) -> Matrix:
    rows: Matrix = np.array(columns.T, dtype, order="C")
    return rows


def _pass(known: _Known, factors: _Factors, V: Matrix, block: slice) -> list[Any]:
    """Update the activations of a block; return the sums that the shared factors need."""
    f, n_bins = factors, known.sources.shape[1]
    shapes, total = f.filters @ known.bumps, f.gains.sum()
    pitch, envelope = f.pitches[block] @ known.sources, f.openings[block] @ shapes

    ratio, value = _ratio_and_divergence(V, f, pitch * envelope, block)
    weighted = _over_channels(ratio, f.gains, n_bins)
    f.pitches[block] = _times(
        f.pitches[block], (envelope * weighted) @ known.sources.T,
        (envelope @ known.sources.T) * total,
    )  # fmt: skip
    f.activations[block] = _times(
        f.activations[block], ratio @ f.templates.T, f.templates.sum(axis=1)
    )

    pitch = f.pitches[block] @ known.sources
    weighted = _over_channels(_ratio(V, f, pitch * envelope, block), f.gains, n_bins)
    f.openings[block] = _times(
        f.openings[block], (pitch * weighted) @ shapes.T, (pitch @ shapes.T) * total
    )

    voice = pitch * (f.openings[block] @ shapes)
    ratio = _ratio(V, f, voice, block)
    weighted = _over_channels(ratio, f.gains, n_bins)
    opened, active = f.openings[block].T, f.activations[block].T
    by_channel = ratio.reshape(len(V), -1, n_bins)
    return [
        opened @ ((pitch * weighted) @ known.bumps.T),
        (opened @ (pitch @ known.bumps.T)) * total,
        active @ ratio,
        active.sum(axis=1),
        np.einsum("tf,tcf->c", voice, by_channel),
        voice.sum(),
        value,
    ]


def _measure(known: _Known, factors: _Factors, V: Matrix, block: slice) -> list[Any]:
    """Return the divergence of a block."""
    pitch = factors.pitches[block] @ known.sources
    envelope = factors.openings[block] @ (factors.filters @ known.bumps)
    return [_ratio_and_divergence(V, factors, pitch * envelope, block)[1]]


def _modelled(factors: _Factors, voice: Matrix, block: slice) -> Matrix:
    model = factors.activations[block] @ factors.templates
    channels = model.reshape(len(model), len(factors.gains), -1)
    for c, gain in enumerate(factors.gains):
        channels[:, c] += gain * voice
    return np.maximum(model, model.dtype.type(_FLOOR), out=model)


def _ratio(V: Matrix, factors: _Factors, voice: Matrix, block: slice) -> Matrix:
    model = _modelled(factors, voice, block)
    return np.divide(V, model, out=model)


def _ratio_and_divergence(
    V: Matrix, factors: _Factors, voice: Matrix, block: slice
) -> tuple[Matrix, float]:
    """Return V over the model, and the Kullback–Leibler divergence."""
    model = _modelled(factors, voice, block)
    ratio = V / model
    logs = np.log(ratio, out=np.zeros_like(ratio), where=ratio > 0)
    logs *= V
    value = logs.sum(dtype=np.float64) - V.sum(dtype=np.float64) + model.sum(dtype=np.float64)
    return ratio, float(value)


def _over_channels(ratio: Matrix, gains: Matrix, n_bins: int) -> Matrix:
    """Return Σ_c g_c V_c / model_c, (n_frames, n_bins)."""
    weighted: Matrix = gains[0] * ratio[:, :n_bins]
    for c, gain in enumerate(gains[1:], 1):
        weighted += gain * ratio[:, c * n_bins : (c + 1) * n_bins]
    return weighted


def _times(factor: Matrix, over: Matrix, under: Matrix) -> Matrix:
    tiny = np.finfo(factor.dtype).tiny
    updated: Matrix = factor * (over / np.maximum(under, tiny))
    updated[updated < tiny] = 0  # denormal numbers are slow
    return updated


def _added(parts: list[list[Any]]) -> list[Any]:
    """Add up the sums of the blocks, in their order."""
    totals = parts[0]
    for part in parts[1:]:
        totals = [a + b for a, b in zip(totals, part, strict=True)]
    return totals
