"""Clusters of items by Ward's method: all steps from single items to one cluster, and where to stop.

References
----------
Ward, "Hierarchical grouping to optimize an objective function", Journal of the American Statistical
Association 58, 1963.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from audionmf.sources.known import MOST_SOURCES

__all__ = ["GroupingChoice", "Tree", "join_clusters"]

Features = NDArray[np.float64]

_NTH = ("second", "third", "fourth", "fifth", "sixth")  # there are `MOST_SOURCES` at most


@dataclass(frozen=True)
class GroupingChoice:
    """How many sources there seem to be, and why.

    Parameters
    ----------
    n_sources : int
        The number.
    runner_up : int
        The next best number.
    shares : tuple of float
        For 2, 3, … sources, which share of all differences between the components is explained by
        telling that many sources apart instead of one fewer.
    least : float
        The share from which on one more is taken.
    """

    n_sources: int
    runner_up: int
    shares: tuple[float, ...]
    least: float

    def to_text(self) -> str:
        """Return the choice and its reason in words."""
        seem = "1 source seems" if self.n_sources == 1 else f"{self.n_sources} sources seem"
        if not self.shares:
            return f"{seem} to play: all components are alike"
        other = f", perhaps {self.runner_up}" if self.runner_up != self.n_sources else ""
        first, *gains = (f"{gain:.0%}" for gain in self.shares[: len(_NTH)])
        others = "".join(f", a {n} {gain}" for n, gain in zip(_NTH[1:], gains, strict=False))
        return (
            f"{seem} to play{other}: a second explains {first} of how the components differ{others}; "
            f"each needs {100 * self.least:g}%"
        )


@dataclass(frozen=True, eq=False)
class Tree:
    """How clusters were joined, two at a time, until one was left.

    Parameters
    ----------
    n_leaves : int
        Items that were clustered.
    merges : sequence of (int, int)
        The clusters, named after their first items, that were joined in each step; the second one
        goes into the first.
    costs : ndarray, shape (n_leaves - 1,), float64
        What each step added to the weighted squared distances within clusters.
    """

    n_leaves: int
    merges: Sequence[tuple[int, int]]
    costs: NDArray[np.float64]

    def cut(self, n_clusters: int) -> list[tuple[int, ...]]:
        """Return the items of each of `n_clusters` clusters, in the order of their first items."""
        owner = list(range(self.n_leaves))
        for first, second in self.merges[: self.n_leaves - n_clusters]:
            owner = [first if o == second else o for o in owner]
        members: dict[int, list[int]] = {}
        for item, cluster in enumerate(owner):
            members.setdefault(cluster, []).append(item)
        return [tuple(items) for items in members.values()]

    def choose(self, least: float, most: int = MOST_SOURCES) -> GroupingChoice:
        """Choose how many clusters there are: as long as a further one explains enough.

        Parameters
        ----------
        least : float
            The share of all differences that is enough.
        most : int
            Most clusters, 2 or more.

        Returns
        -------
        GroupingChoice
            1 only for a single item or items that are all alike.
        """
        total = self.costs.sum()
        if not total > 0:
            return GroupingChoice(1, 1, (), least)
        shares = tuple(float(cost / total) for cost in self.costs[::-1][: most - 1])
        enough = [n for n, share in enumerate(shares, start=2) if share >= least]
        picked = max(enough, default=2)
        near = {n: abs(share - least) for n, share in enumerate(shares, start=2)}
        beyond = [n for n in (picked - 1, picked + 1) if 1 <= n <= len(shares) + 1]
        doubt = {n: near[max(n, picked)] for n in beyond}
        runner_up = min(doubt, key=lambda n: doubt[n], default=picked)
        return GroupingChoice(picked, runner_up, shares, least)


def join_clusters(features: Features, weights: NDArray[np.float64]) -> Tree:
    """Join the two clusters whose union adds least to the squared distances within, until one is left.

    Parameters
    ----------
    features : ndarray, shape (n_items, n_features)
        Places of the items.
    weights : ndarray, shape (n_items,)
        How much each item counts, > 0.

    Returns
    -------
    Tree
        All the steps.
    """
    centres, sizes = features.astype(np.float64), weights.astype(np.float64)
    distances = ((centres[:, None] - centres) ** 2).sum(axis=2)
    costs = distances * np.outer(sizes, sizes) / np.add.outer(sizes, sizes)
    costs[np.tril_indices(len(costs))] = np.inf  # a pair stands once, in the row of its first item
    gone = np.zeros(len(costs), bool)
    merges, paid = [], []
    for _ in range(len(features) - 1):
        a, b = divmod(int(costs.argmin()), len(costs))
        merges.append((a, b))
        paid.append(costs[a, b])
        total = sizes[a] + sizes[b]
        centres[a] = (sizes[a] * centres[a] + sizes[b] * centres[b]) / total
        sizes[a] = total
        gone[b] = True
        costs[b] = costs[:, b] = np.inf
        fresh = ((centres - centres[a]) ** 2).sum(axis=1) * sizes * total / (sizes + total)
        fresh[gone] = np.inf
        costs[:a, a], costs[a, a + 1 :] = fresh[:a], fresh[a + 1 :]
    return Tree(len(features), tuple(merges), np.maximum(np.array(paid), 0))
