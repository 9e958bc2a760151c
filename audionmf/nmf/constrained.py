"""Factorise again with hints in the time-frequency plane: this is that group's, that is not.

A listener can say of a region of the spectrogram which group of components it belongs to, or does
not. Such a hint is a penalty Λ ≥ 0, for each group g and each element, on what the group may claim
of the data there; as a weight it is ``exp(-Λ)``. What is minimised is::

    J(W, H) = Σ V log(V / Γ) - V + WH,    Γ = Σ_g exp(-Λ_g) (W_g H_g)

It is the Kullback–Leibler divergence of V from WH, plus ``-Σ V log(Γ / WH) ≥ 0``, which grows with
the share of the data that the model gives to groups where they are not wanted. Without penalties Γ
is WH and J the plain divergence. Jensen's inequality gives multiplicative updates that never raise
J::

    H_g ← H_g · (W_gᵀ (V exp(-Λ_g) / Γ)) / (W_gᵀ 1)

and likewise for W. In the words of probability: the posterior of the expectation step is
regularised, the maximisation step stays as it was. Templates and activations remain an ordinary
factorisation V ≈ WH, to be rendered like any other.

References
----------
Bryan and Mysore, "An efficient posterior regularized latent variable model for interactive sound
source separation", ICML 2013. Bryan, Mysore and Wang, "ISSE: an interactive source separation
editor", CHI 2014. Ganchev et al., "Posterior regularization for structured latent variable models",
Journal of Machine Learning Research 11, 2010.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from audionmf.errors import ParameterError
from audionmf.nmf.checks import as_data, as_start, check_tolerance, check_whole, thread_count
from audionmf.nmf.loop import Callback, StopReason, Watch, Workers, follow

if TYPE_CHECKING:
    from audionmf.nmf.kernels import KLKernel

__all__ = ["MAX_PENALTY", "Constrained", "fit_constrained"]

Matrix = NDArray[np.floating[Any]]
Each = Callable[[Callable[[Any], Any], Sequence[Any]], list[Any]]

MAX_PENALTY = 50.0
"""The largest penalty: a weight of 2e-22, above which nothing changes any more."""

_BLOCK_FRAMES = 128
_MANY, _MOST_KERNELS = 16, 32
"""Frames with the same hints that a kernel of their own is worth, and how many there may be of these:
each has buffers of some times the size of W."""


@dataclass(frozen=True, eq=False)
class Constrained:
    """A factorisation V ≈ WH that was found with penalties.

    Parameters
    ----------
    templates : ndarray, shape (n_bins, n_components)
        W; columns sum to 1, but for silent ones.
    activations : ndarray, shape (n_components, n_frames)
        H, in the unit of V.
    objective : ndarray, shape (n_iter + 1,), float64
        J at the start and after each iteration. It never rises.
    n_iter : int
        Iterations done.
    reason : {"tolerance", "max_iter", "cancelled"}
        Why it stopped.
    """

    templates: Matrix
    activations: Matrix
    objective: NDArray[np.float64]
    n_iter: int
    reason: StopReason


def fit_constrained(
    V: ArrayLike,
    templates: ArrayLike,
    activations: ArrayLike,
    groups: Sequence[int],
    zones: ArrayLike,
    penalties: ArrayLike,
    *,
    max_iter: int = 100,
    tol: float = 1e-4,
    fixed_templates: bool = False,
    callback: Callback | None = None,
    n_threads: int | None = None,
) -> Constrained:
    """Go on from a factorisation V ≈ WH with penalties on groups in parts of the plane.

    Parameters
    ----------
    V : array, shape (n_bins, n_frames)
        Data, finite and ≥ 0. Not modified.
    templates : array, shape (n_bins, n_components)
        W to start from. Not modified.
    activations : array, shape (n_components, n_frames)
        H to start from; what is 0 stays 0. Not modified.
    groups : sequence of int, length n_components
        The group of each component, from 0.
    zones : array of int, shape (n_bins, n_frames)
        Which zone each element is in, from 0: a row of `penalties`. Eight bits are enough for most.
    penalties : array, shape (n_zones, n_groups)
        Λ of each group in each zone, 0 to 50. A row of zeros is a zone without a hint; 1 says
        "rather not", 10 "not at all".
    max_iter : int, default 100
        Most iterations; one updates H, then W. 0 returns the start.
    tol : float, default 1e-4
        Stop when ten iterations together lower J by less than this share of it; 0 runs them all.
    fixed_templates : bool, default False
        Find activations alone; W stays as it is.
    callback : callable, optional
        As in `fit`; its `State` holds J.
    n_threads : int, optional
        Threads; default: one for each core that this process may use. The result does not depend
        on it.

    Returns
    -------
    Constrained
        Templates and activations, how J fell and why it stopped.

    Raises
    ------
    ParameterError
        If an array has negative or non-finite values or a shape that does not fit, or a group or
        zone does not exist.
    """
    data = as_data(V, "V")
    check_whole("max_iter", max_iter, 0)
    check_tolerance(tol)
    W, H = as_start(templates, data, "templates"), as_start(activations, data, "activations")
    if W is None or H is None or W.shape[1] != H.shape[0]:
        raise ParameterError("templates and activations of the same components are needed")
    weights = _weights(penalties, data.dtype)
    members = _members(groups, W.shape[1], weights.shape[1])
    plane = _zones(zones, data.shape, len(weights))
    scale = 2.0 ** np.floor(np.log2(float(data.max()) or 1.0))
    W = np.ascontiguousarray(W.T)
    H = np.ascontiguousarray((H / H.dtype.type(scale)).T)
    watch = Watch(max_iter, tol, scale, callback)
    with Workers(thread_count(n_threads), watch) as workers:
        levelled = (data / data.dtype.type(scale)).T
        threads = thread_count(n_threads)
        with _Updates(levelled, members, plane.T, weights, workers.each, threads) as updates:
            follow(watch, updates, W, H, templates=not fixed_templates, accelerated=True)
    if not fixed_templates:
        sums = W.sum(axis=1)
        sums[sums == 0] = 1
        W /= sums[:, None]
        H *= sums
    return Constrained(
        W.T, (H * H.dtype.type(scale)).T, np.array(watch.values) * scale, watch.n_iter, watch.reason
    )


@dataclass(frozen=True, eq=False)
class _Region:
    """Some bins of a block of frames.

    Components are together where the penalties on their groups are the same; those without any are
    `free`.
    """

    bins: slice
    hinted: list[tuple[NDArray[np.int64], Matrix]]
    free: NDArray[np.int64]

    def claims(self, share: Matrix) -> Iterator[tuple[NDArray[np.int64], Matrix]]:
        """Yield ``V exp(-Λ) / Γ``, (n_frames, n_bins), and the components that it is for."""
        for group, weight in self.hinted:
            yield group, share * weight
        if self.free.size:
            yield self.free, share


@dataclass(frozen=True, eq=False)
class _Alike:
    """Frames in which every bin has the same weights, (n_components, n_bins); None: 1 everywhere.

    Γ is there the plain model of templates times weights, so that the kernel of the plain divergence
    does all: what their sums lack is added as a penalty.
    """

    frames: NDArray[np.int64]
    weights: Matrix | None
    kernel: KLKernel

    def update(self, W: Matrix, H: Matrix, templates: bool) -> tuple[float, Matrix]:
        """Update their activations in place; return their J before, and numerators for templates."""
        heard, rows = (W if self.weights is None else W * self.weights), H[self.frames]
        if self.weights is not None:
            lacking = W.sum(axis=1, dtype=np.float64) - heard.sum(axis=1, dtype=np.float64)
            self.kernel.penalise(np.maximum(lacking, 0))
        over = W[:0]
        if templates:
            over, _, value = self.kernel.sums_and_divergence(heard, rows)
        else:
            value = self.kernel.iterate(heard, rows, templates=False, divergence=True)
        H[self.frames] = rows
        return value, over if self.weights is None or not templates else over * self.weights


class _Updates:
    """The two updates for one V, in place.

    Frames are rows of V and H, components rows of W. Many frames whose hints are alike, and those
    without any, are left to the kernel of the plain divergence. The sums of blocks of the others are
    added in the order of the blocks, whatever thread they come from.
    """

    def __init__(
        self,
        V: Matrix,
        members: list[NDArray[np.int64]],
        zones: NDArray[Any],
        weights: Matrix,
        each: Each,
        n_threads: int,
    ) -> None:
        self._members, self._each, self._weights = members, each, weights.T.copy()
        self._tiny = np.finfo(V.dtype).tiny
        alike, odd = _alike(zones, weights)
        self._hinted = np.sort(np.concatenate([np.empty(0, np.int64), *odd]))
        self._V, self._zones = V[self._hinted], zones[self._hinted]
        n_hinted, n = len(self._V), sum(map(len, members))
        blocks = [slice(i, i + _BLOCK_FRAMES) for i in range(0, n_hinted, _BLOCK_FRAMES)]
        self._blocks = [(block, self._regions(block)) for block in blocks]
        free, group_of = np.ones(n, bool), np.zeros(n, np.int64)
        for g, group in enumerate(members):
            group_of[group] = g
        # numba takes a third of a second to load: not before it is needed.
        from audionmf.nmf.kernels import KLKernel

        self._alike = []
        for frames in alike:
            heard = self._weights[group_of][:, zones[frames[0]]]
            kernel = KLKernel(V[frames].T, n, n_threads, free, free)
            self._alike.append(_Alike(frames, None if (heard == 1).all() else heard, kernel))

    def __enter__(self) -> _Updates:
        return self

    def __exit__(self, *error: object) -> None:
        for alike in self._alike:
            alike.kernel.__exit__(*error)

    def iterate(
        self, W: Matrix, H: Matrix, *, templates: bool = True, divergence: bool = False
    ) -> float:
        """Update H and, if asked to, W; return J before, if asked for."""
        hinted = H[self._hinted]
        sums, mass = W.sum(axis=1), W.sum(axis=1, dtype=np.float64) @ hinted.sum(0, np.float64)
        parts = self._each(
            lambda block: self._update(block, W, hinted, sums, templates, divergence), self._blocks
        )
        H[self._hinted] = hinted
        parts += [alike.update(W, H, templates) for alike in self._alike]
        if templates:
            over = parts[0][1].copy()
            for _, more in parts[1:]:
                over += more
            under = H.sum(axis=0, dtype=np.float64).astype(W.dtype)
            W *= self._ratio(over, under[:, None])
            W[self._tiny > W] = 0
        return float(sum(value for value, _ in parts) + mass)

    def _regions(self, frames: slice) -> list[_Region]:
        """Return some frames as the bins where hints are, and the rest."""
        zones = self._zones[frames]
        hints = np.asarray((self._weights < 1).any(axis=0))
        bins = np.flatnonzero(hints[zones].any(axis=0))
        hinted = slice(int(bins[0]), int(bins[-1]) + 1)
        rest = [slice(0, hinted.start), slice(hinted.stop, zones.shape[1])]
        everyone = np.concatenate(self._members)
        return [
            self._region(frames, hinted),
            *(_Region(r, [], everyone) for r in rest if r.start < r.stop),
        ]

    def _region(self, frames: slice, bins: slice) -> _Region:
        zones = self._zones[frames, bins]
        present, places = np.unique(zones, return_inverse=True)
        alike: dict[tuple[float, ...], list[NDArray[np.int64]]] = {}
        for weights, group in zip(self._weights[:, present], self._members, strict=True):
            alike.setdefault(tuple(weights.tolist()), []).append(group)
        free = alike.pop((1.0,) * len(present), [])
        return _Region(
            bins,
            [
                (
                    np.concatenate(groups),
                    np.array(weights, self._V.dtype)[places].reshape(zones.shape),
                )
                for weights, groups in alike.items()
            ],
            np.concatenate([np.empty(0, np.int64), *free]),
        )

    def _update(
        self,
        block: tuple[slice, list[_Region]],
        W: Matrix,
        H: Matrix,
        sums: Matrix,
        templates: bool,
        divergence: bool,
    ) -> tuple[float, Matrix]:
        """Update the activations of a block in place; return its J and numerators for templates."""
        frames, regions = block
        V, H, value = self._V[frames], H[frames], 0.0
        asked, over = np.zeros_like(H), np.empty_like(W if templates else W[:0])
        for region in regions:
            share = self._share(V, W, H, region)
            for group, claim in region.claims(share):
                asked[:, group] += claim @ W[group, region.bins].T
            value += self._value(V[:, region.bins], share) if divergence else 0.0
        H *= self._ratio(asked, sums)
        H[self._tiny > H] = 0
        for region in regions if templates else ():
            for group, claim in region.claims(self._share(V, W, H, region)):
                over[group, region.bins] = H[:, group].T @ claim
        return value, over

    def _share(self, V: Matrix, W: Matrix, H: Matrix, region: _Region) -> Matrix:
        """Return ``V / Γ`` in a region, (n_frames, n_bins)."""
        gamma: Matrix = H[:, region.free] @ W[region.free, region.bins]
        for group, weight in region.hinted:
            part = H[:, group] @ W[group, region.bins]
            part *= weight
            gamma += part
        return self._ratio(V[:, region.bins], gamma)

    def _value(self, V: Matrix, share: Matrix) -> float:
        logarithms = np.maximum(share, self._tiny)
        np.log(logarithms, out=logarithms)
        logarithms *= V
        logarithms -= V
        return float(logarithms.sum(axis=1).sum(dtype=np.float64))

    def _ratio(self, over: Matrix, under: Matrix) -> Matrix:
        """Return a quotient, 0 where nothing is under: where no model reaches, data is no guide."""
        if under.min(initial=np.inf) > self._tiny:
            quotient: Matrix = over / under
            return quotient
        with np.errstate(over="ignore"):
            ratio: Matrix = over / np.maximum(under, self._tiny)
        ratio[np.broadcast_to(under <= self._tiny, ratio.shape)] = 0
        return ratio


def _alike(
    zones: NDArray[Any], weights: Matrix
) -> tuple[list[NDArray[np.int64]], list[NDArray[np.int64]]]:
    """Return frames whose hints are alike, where they are many or there are none; and the others."""
    different, names = np.unique(weights, axis=0, return_inverse=True)
    plain = np.flatnonzero((different == 1).all(axis=1))
    columns = np.ascontiguousarray(names.reshape(-1)[zones])
    found: dict[bytes, list[int]] = {}
    for t, column in enumerate(columns):
        found.setdefault(column.tobytes(), []).append(t)
    groups = sorted((np.array(frames) for frames in found.values()), key=len, reverse=True)
    is_plain = [bool(np.isin(columns[frames[0]], plain).all()) for frames in groups]
    alike: list[NDArray[np.int64]] = []
    odd: list[NDArray[np.int64]] = []
    for frames, none in zip(groups, is_plain, strict=True):
        kept = none or (len(frames) >= _MANY and len(alike) < _MOST_KERNELS)
        (alike if kept else odd).append(frames)
    return alike, odd


def _weights(penalties: ArrayLike, dtype: np.dtype[Any]) -> Matrix:
    array = np.asarray(penalties, np.float64)
    if array.ndim != 2 or 0 in array.shape or not ((array >= 0) & (array <= MAX_PENALTY)).all():
        raise ParameterError(
            f"penalties are a table of zones by groups, from 0 to {MAX_PENALTY:g}, "
            f"not of shape {array.shape}"
        )
    return np.exp(-array).astype(dtype)


def _members(groups: Sequence[int], n_components: int, n_groups: int) -> list[NDArray[np.int64]]:
    array = np.asarray(groups)
    wrong = array.shape != (n_components,) or array.dtype.kind not in "iu"
    if wrong or not ((array >= 0) & (array < n_groups)).all():
        raise ParameterError(
            f"groups are {n_components} whole numbers from 0 to {n_groups - 1}, one a component"
        )
    return [np.flatnonzero(array == g) for g in range(n_groups)]


def _zones(zones: ArrayLike, shape: tuple[int, ...], n_zones: int) -> NDArray[Any]:
    array = np.asarray(zones)
    if array.shape != shape or array.dtype.kind not in "iu":
        raise ParameterError(f"zones are whole numbers of shape {shape}, not {array.shape}")
    if not (int(array.min()) >= 0 and int(array.max()) < n_zones):
        raise ParameterError(f"zones are from 0 to {n_zones - 1}, a row of penalties each")
    return array
