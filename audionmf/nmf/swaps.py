"""Components that hardly help, put where more is left: how a factorisation leaves a poor minimum.

Updates end where no small step helps. Often one source then has two components and two sources share
one, and no small step undoes that. So the component that is missed least is taken out, and put where
the model lacks most: into what is left of V, or beside a component that stands for two things.

References
----------
Ueda, Nakano, Ghahramani and Hinton, "SMEM algorithm for mixture models", Neural Computation 12(9),
2000: split and merge. Fränti and Kivijärvi, "Randomised local search algorithm for the clustering
problem", Pattern Analysis and Applications 3(4), 2000: a swap, some updates, and a look.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audionmf.nmf.places import Updater

__all__ = ["MISSED_PASSES", "least_missed", "swaps"]

Matrix = NDArray[np.floating[Any]]
Place = tuple[list[int], Matrix, Matrix]
"""Components, and the templates and activations (one a row) that stand in their place and, last, of one
more."""

_MISSED_ITER = 8
MISSED_PASSES = _MISSED_ITER / 2 + 1
"""How often `least_missed` goes over V for each component: updates of activations alone count half."""
_N_OUT, _N_SPLIT = 3, 2
"""How many components are tried to be taken out, and how many to be split."""
_ROUNDS, _CONTRAST = 8, 0.9
_LITTLE = 1e-3
"""Of its mean activation a new component has this much everywhere: 0 would stay 0."""
_FLOOR = 1e-12


def least_missed(updater: Updater, W: Matrix, H: Matrix) -> NDArray[np.int64]:
    """Return the components in the order in which they are missed, the least first.

    Each is taken out, and the activations of the others updated some times.

    Parameters
    ----------
    updater : Updater
        Of V, with activations that are free.
    W : ndarray, shape (n_components, n_bins)
    H : ndarray, shape (n_frames, n_components)

    Returns
    -------
    ndarray, shape (n_components,)
    """
    without = np.empty(len(W))
    templates = updater.taken(W)
    for k in range(len(W)):
        others = H.copy()
        others[:, k] = 0
        point = updater.taken(others)
        updater.activate(templates, point, _MISSED_ITER)
        without[k] = updater.iterate(templates, point, templates=False, divergence=True)
    return np.argsort(without, kind="stable")


def swaps(
    V: Matrix, W: Matrix, H: Matrix, order: NDArray[np.int64]
) -> Iterator[tuple[Matrix, Matrix]]:
    """Yield templates and activations with one component taken out and put elsewhere.

    Parameters
    ----------
    V : ndarray, shape (n_bins, n_frames)
    W : ndarray, shape (n_components, n_bins)
    H : ndarray, shape (n_frames, n_components)
    order : ndarray, shape (n_components,)
        As `least_missed` gives it.

    Yields
    ------
    W, H : ndarray
        Of the same shapes, copies.
    """
    places = [_in_what_is_left(V, W, H), *_splits(V, W, H)]
    for out in order[:_N_OUT]:
        for taken, templates, activations in places:
            if out not in taken:
                new_W, new_H = W.copy(), H.copy()
                new_W[[*taken, out]], new_H[:, [*taken, out]] = templates, activations.T
                yield new_W, new_H


def _in_what_is_left(V: Matrix, W: Matrix, H: Matrix) -> Place:
    """Return one component: that which fits best what the model lacks, which are its sums."""
    left = np.maximum(V - np.einsum("kf,tk->ft", W, H), 0)
    template, activation = left.sum(axis=1), left.sum(axis=0)
    template /= max(template.sum(), _FLOOR)
    activation += _LITTLE * activation.mean()
    return [], template[None], activation[None]


def _splits(V: Matrix, W: Matrix, H: Matrix) -> list[Place]:
    """Return components in halves: those that stand for two things most.

    A component has a share of V, which one template and one activation explain up to a rest. Where
    the rest, in units of its standard deviation as a Poisson variable, has a strong direction, there
    are two things: the singular value says how strong it is, the vector which frames are more of one.
    """
    ratio = V / np.maximum(np.einsum("kf,tk->ft", W, H), _FLOOR)
    found = []
    for j in range(len(W)):
        share = ratio * W[j][:, None] * H[:, j]
        total = max(float(share.sum()), _FLOOR)
        template, activation = share.sum(axis=1) / total, share.sum(axis=0)
        mean = template[:, None] * activation
        rest = (share - mean) / np.sqrt(np.maximum(mean, _FLOOR))
        strength, direction = _strongest(rest)
        more = np.clip(
            direction * (3 / max(np.abs(direction).max(), _FLOOR)), -_CONTRAST, _CONTRAST
        )
        weights = np.stack([1 + more, 1 - more])
        halves = np.einsum("ft,it->if", share, weights)
        halves /= np.maximum(halves.sum(axis=1, keepdims=True), _FLOOR)
        found.append((strength, j, halves, activation * weights / 2))
    found.sort(key=lambda split: -split[0])
    return [([j], templates, activations) for _, j, templates, activations in found[:_N_SPLIT]]


def _strongest(rest: Matrix) -> tuple[float, Matrix]:
    """Return the largest singular value, about, and its vector over the frames."""
    direction = rest[int(np.einsum("ft,ft->f", rest, rest).argmax())]
    strength = 0.0
    for _ in range(_ROUNDS):
        bins = np.einsum("ft,t->f", rest, direction)
        bins /= max(float(np.sqrt(bins @ bins)), _FLOOR)
        direction = np.einsum("ft,f->t", rest, bins)
        strength = float(np.sqrt(direction @ direction))
        direction = direction / max(strength, _FLOOR)
    return strength, direction
