"""How far it is in doubt whose a component is.

Groups say of each component whose it most likely is, and are right or wrong as a whole. Where that
is in doubt, the stems of least expected error share the component: they are the mean over what may be
true. Two things say how likely a source is: how often the component comes to it where components
are grouped anew and count otherwise than before, by chance (the Bayesian bootstrap), and what the odds
say of it and of all others (a mean field).

References
----------
Rubin, "The Bayesian bootstrap", Annals of Statistics 9(1), 1981.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from audionmf.analysis.clustering import Tree, join_clusters
from audionmf.analysis.likeness import mean_field, places_by
from audionmf.sources.known import MOST_SOURCES
from audionmf.spectra.bands import once_each
from audionmf.spectra.blas import blas_threads

__all__ = ["doubt_in_words", "held_shares", "shares_in_doubt", "trees_by_chance"]

Features = NDArray[np.float64]

_DRAWS, _MOST_COMPONENTS = 20, 128
_GIVEN, _LEAST = 0.5, 0.05
"""How much the groups that are given count beside those of chance; what is left to every source."""
_TRUST, _PULL, _STEPS = 0.6, 2.0, 30
"""How much is made of groups, and of odds, in the mean field; its steps."""
_NOTHING, _DOUBT = 0.01, 0.9
"""The share below which a source has nothing of a component, and the one below which it is in doubt."""


def shares_in_doubt(
    odds: Features, weights: Features, groups: Sequence[Sequence[int]]
) -> NDArray[np.float32] | None:
    """Return how likely each component is of each source.

    Parameters
    ----------
    odds : ndarray, shape (n_components, n_components)
        Log odds of each two that they are of one source.
    weights : ndarray, shape (n_components,)
        How much each counts, > 0; they sum to 1.
    groups : sequence of sequence of int
        The components of each source, as they were grouped; one or more each.

    Returns
    -------
    ndarray, shape (n_sources, n_components), float32, or None
        Sums over the sources are 1; what is below 0.01 is 0. The same for the same input. None where
        there is one source, or more than six, there are more than 128 components, or one of the
        sources would have most of none.
    """
    n, owner = len(groups), np.empty(len(weights), np.int64)
    if not 2 <= n <= MOST_SOURCES or len(weights) > _MOST_COMPONENTS:
        return None
    for i, group in enumerate(groups):
        owner[list(group)] = i
    everyone = np.arange(len(owner))
    often = np.zeros((n, len(owner)))
    pull = _PULL * odds * weights[:, None]
    np.fill_diagonal(pull, 0)
    with blas_threads(1):  # what is found must not depend on how many there are
        for tree in trees_by_chance(odds, weights, _DRAWS):
            found = np.empty_like(owner)
            for i, group in enumerate(tree.cut(n)):
                found[list(group)] = i
            often[_matched(found, owner, weights, n), everyone] += 1 / _DRAWS
        often *= 1 - _GIVEN
        often[owner, everyone] += _GIVEN
        likely = mean_field(_TRUST * np.log((1 - _LEAST) * often + _LEAST / n), pull, _STEPS)
    return held_shares(likely)


def trees_by_chance(odds: Features, weights: Features, count: int) -> Iterator[Tree]:
    """Yield trees of components that count otherwise than they do, by chance.

    Parameters
    ----------
    odds, weights
        As in `shares_in_doubt`.
    count : int
        How many; the same ones each time.
    """
    rng = np.random.default_rng(0)
    for _ in range(count):
        counted = weights * rng.exponential(size=len(weights))
        counted = np.maximum(counted / counted.sum(), 1e-9)
        yield join_clusters(places_by(odds, counted), counted)


def held_shares(likely: Features) -> NDArray[np.float32] | None:
    """Return shares without those below 0.01; None where a source would have most of no component.

    Parameters
    ----------
    likely : ndarray, shape (n_sources, n_components)
        Sums over the sources are 1.
    """
    if len(once_each(likely.argmax(axis=0))) < len(likely):
        return None
    kept = np.where(likely < _NOTHING, 0, likely)
    shares: NDArray[np.float32] = (kept / kept.sum(axis=0)).astype(np.float32)
    return shares


def doubt_in_words(shares: NDArray[np.float32] | None) -> list[str]:
    """Say of how many components it is in doubt whose they are; nothing where it is of none."""
    if shares is None or not (n := int((shares.max(axis=0) < _DOUBT).sum())):
        return []
    what = "component is" if n == 1 else "components are"
    return [f"{n} of {shares.shape[1]} {what} shared, as it is in doubt whose they are"]


def _matched(
    found: NDArray[np.int64], owner: NDArray[np.int64], weights: Features, n: int
) -> NDArray[np.int64]:
    """Return groups under the numbers of those that they have most in common with."""
    common = np.zeros((n, n))
    np.add.at(common, (found, owner), weights)
    orders = np.array(list(itertools.permutations(range(n))))  # SciPy's assignment loads for long
    best = orders[common[np.arange(n), orders].sum(axis=1).argmax()]
    numbers: NDArray[np.int64] = best[found]
    return numbers
