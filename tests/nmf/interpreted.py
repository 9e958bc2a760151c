"""Runs the kernels for graphics cards by Triton's interpreter, and prints how far they are off.

Triton must be told so before it is loaded, which is why this is a process of its own.
"""

import json

import numpy as np
import torch

from audionmf.nmf import card, fused


def data():
    """Return V (70, 130), W (5, 70) and H (130, 5), with silence in each."""
    rng = np.random.default_rng(0)
    V, W, H = (rng.random(shape, np.float32) ** 3 for shape in ((70, 130), (5, 70), (130, 5)))
    V[:, 40:45], V[3], W[2], H[7] = 0, 0, 0, 0
    return V, W, H


def updaters():
    """Return an updater of PyTorch's operations, and one of the kernels."""
    made, free, original = [], np.array([1, 1, 1, 1, 0], bool), card.fused_on
    for chosen in (original, lambda place, n: fused):
        card.fused_on = chosen
        made.append(card.CardUpdater(data()[0], 1.0, "torch", free, free, np.full(5, 0.3)))
    card.fused_on = original
    return made


def iterated(updater):
    """Return all that iterations give."""
    W, H = (updater.taken(x) for x in data()[1:])
    first = updater.iterate(W, H, divergence=True)
    updater.iterate(W, H, templates=False)
    last = updater.iterate(W, H, divergence=True)
    gathered, sums = updater.sums(W.numpy(), H)
    return first, last, W.numpy(), H.numpy(), gathered, sums


def activated(updater):
    """Return activations after five updates with momentum."""
    W, H = (updater.taken(x) for x in data()[1:])
    updater.activate(W, H, 5)
    return (H.numpy(),)


def doubled(updater):
    """Return the activations of an iteration on those in double precision."""
    _, W, H = data()
    point = updater.taken(H.astype(np.float64))
    updater.iterate(updater.taken(W), point)
    return (point.numpy(),)


def off(ours, theirs):
    """Return the largest relative difference."""
    return max(
        float(np.max(np.abs(a - b) / np.maximum(np.abs(b), 1e-20), initial=0))
        for a, b in zip(ours, theirs, strict=True)
    )


def used(place, change=None):
    """Tell whether kernels are used, where `change` is done to the activations that they give."""
    original = fused.Passes.activate

    def changed(self, W, H, sums, n_iter):
        original(self, W, H, sums, n_iter)
        if change:
            change(H)

    fused.Passes.activate = changed
    fused.usable.cache_clear()
    try:
        return fused.usable(place, 3)
    finally:
        fused.Passes.activate = original


def raising(error):
    """Return a function that raises."""

    def run(H):
        raise error

    return run


operations, kernels = updaters()
place = torch.device("cpu")
print(
    json.dumps(
        {
            "iterations": off(iterated(kernels), iterated(operations)),
            "fixed": bool((iterated(kernels)[3][:, 4] == data()[2][:, 4]).all()),
            "activations": off(activated(kernels), activated(operations)),
            "double": off(doubled(kernels), doubled(operations)),
            "usable": used(place),
            "wrong": used(place, lambda H: H[60].mul_(1.001)),
            "no compiler": used(place, raising(RuntimeError("no C compiler"))),
            "compiler fails": used(place, raising(fused.triton.TritonError())),
            "too many": fused.usable(place, fused.MOST_COMPONENTS + 1),
        }
    )
)
