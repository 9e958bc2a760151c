"""Which groups of notes a source has, where the others are nothing but the rest.

Against a rest that has no example each note by itself tells little of whose it is. Blind groups know
what belongs together, and a group tells more surely whose it is than its notes do. Which groups are
right is not known: so many groupings are asked, into two and more. Where notes fall into more than two
groups anyway, the rest is several sources, and groups of it are too easily taken for the source's.

References
----------
Rubin, "The Bayesian bootstrap", Annals of Statistics 9(1), 1981.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from audionmf.analysis.clustering import Tree, join_clusters
from audionmf.analysis.cues import LEAST_SHARE
from audionmf.analysis.doubt import trees_by_chance
from audionmf.analysis.likeness import places_by
from audionmf.spectra.blas import blas_threads

__all__ = ["likely_by_groups"]

Features = NDArray[np.float64]

_NUMBERS = (2, 3, 4, 5)
_DRAWS, _GIVEN = 16, 0.5
"""Groupings of notes that count otherwise, by chance; how much the usual one counts beside them all."""
_TRUST = 1.5
"""How much is made of what speaks for a group, in nats a nat of what its notes say in the mean."""
_SURE = 0.5
"""How much it counts that one group at least is of the source, and one is not."""


def likely_by_groups(odds: Features, weights: Features, evidence: Features) -> Features | None:
    """Return how likely each note is of a source by what speaks for the groups that it is in.

    Parameters
    ----------
    odds : ndarray, shape (n_notes, n_notes)
        Log odds of each two that they are of one source.
    weights : ndarray, shape (n_notes,)
        How much each counts, > 0; they sum to 1.
    evidence : ndarray, shape (n_notes,)
        What speaks for each by itself, in nats: above 0 for the source, below 0 for the rest.

    Returns
    -------
    ndarray, shape (n_notes,), float64, or None
        0 to 1. The same for the same input. None where the notes fall into more than two groups.
    """
    with blas_threads(1):  # what is found must not depend on how many there are
        tree = join_clusters(places_by(odds, weights), weights)
        if tree.choose(LEAST_SHARE).n_sources > 2:
            return None
        usual = _by_tree(tree, weights, evidence)
        drawn = [_by_tree(t, weights, evidence) for t in trees_by_chance(odds, weights, _DRAWS)]
    likely: Features = _GIVEN * usual + (1 - _GIVEN) * np.mean(drawn, axis=0)
    return likely


def _by_tree(tree: Tree, weights: Features, evidence: Features) -> Features:
    """Return the mean over the numbers of groups into which one tree is cut."""
    found = np.zeros(len(weights))
    for number in _NUMBERS:
        groups = [list(group) for group in tree.cut(min(number, len(weights)))]
        said = np.array([np.average(evidence[g], weights=weights[g]) for g in groups])
        for group, share in zip(groups, _of_source(_TRUST * said), strict=True):
            found[group] += share / len(_NUMBERS)
    return found


def _of_source(said: Features) -> Features:
    """Return how likely each group is of the source."""
    alone = 1 / (1 + np.exp(-said))
    most, least = (np.exp(s - s.max()) for s in (said, -said))
    sure = np.minimum(np.maximum(alone, most / most.sum()), 1 - least / least.sum())
    both: Features = _SURE * sure + (1 - _SURE) * alone
    return both
