"""How many components a matrix needs, by bi-cross-validation.

Frames are held out in blocks, and their activations are found again with the templates fixed. On
all bins of a held-out frame that always gets better with more templates: each is one more way to
fit the very bins that are then scored. So the bins are halved too: activations come from one half,
the divergence from the other, which neither they nor the templates have seen together. That has a
minimum: too few templates leave something out, too many no longer say what belongs together.

References
----------
Owen and Perry, "Bi-cross-validation of the SVD and the nonnegative matrix factorization", Annals of
Applied Statistics 3(2), 2009.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audionmf.errors import ParameterError
from audionmf.nmf.activating import activate
from audionmf.nmf.divergence import beta_divergence

__all__ = ["ComponentChoice", "choose"]

Matrix = NDArray[np.float32]
Fit = Callable[[Matrix, int], Matrix]

MIN_FRAMES = 16
_FIRST = 4
_LAST = 1024
_FOLDS = 4
_STRIPE_BINS = 4  # as wide as the main lobe of a Hann window
_NEAR = 1.02
_PATIENCE = 3
_FLOOR = 1e-9


@dataclass(frozen=True)
class ComponentChoice:
    """How many components were picked, and why.

    Parameters
    ----------
    candidates : tuple of int
        What was tried, rising.
    held_out : tuple of float
        Kullback–Leibler divergence of each on what was held out, as a share of its sum.
    picked : int
        The smallest candidate within 2 % of the best.
    reason : str
        In words.
    """

    candidates: tuple[int, ...]
    held_out: tuple[float, ...]
    picked: int
    reason: str

    def to_text(self) -> str:
        """Return the curve and the pick as lines of words."""
        lines = ["  components   divergence of what was held out"]
        for size, score in zip(self.candidates, self.held_out, strict=True):
            mark = "  <- picked" if size == self.picked else ""
            lines.append(f"  {size:10d}   {score:.4f}{mark}")
        return "\n".join([*lines, f"  {self.picked} components: {self.reason}"])


def choose(
    V: NDArray[np.floating[Any]],
    fit: Fit,
    block: int,
    *,
    n_iter: int = 40,
    n_threads: int | None = None,
    progress: Callable[[float], object] = lambda _: None,
) -> ComponentChoice:
    """Find out how many components a matrix needs.

    Parameters
    ----------
    V : ndarray, shape (n_bins, n_frames)
        The matrix, ≥ 0, without silent frames.
    fit : callable
        Given frames and a number, returns so many templates, shape (n_bins, number).
    block : int
        Every fourth block of so many frames is held out; shorter blocks where there are fewer than
        two to hold out.
    n_iter : int, default 40
        Iterations for the activations of what was held out.
    n_threads : int, optional
        Threads.
    progress : callable, optional
        Told the share done.

    Returns
    -------
    ComponentChoice
        Of 4, 8, 16, … up to the number of frames that are fitted; it stops when three in a row are
        no better than the best before.

    Raises
    ------
    ParameterError
        If there are fewer than 16 frames.
    """
    V = np.asarray(V, np.float32)
    n_frames = V.shape[1]
    if n_frames < MIN_FRAMES:
        raise ParameterError(
            f"{n_frames} frames that can be heard are too few to tell how many components they "
            f"need ({MIN_FRAMES} are not); give a number, or a longer recording"
        )
    block = max(1, min(block, n_frames // (2 * _FOLDS)))
    held = np.arange(n_frames) // block % _FOLDS == _FOLDS - 1
    known, unknown = V[:, ~held], V[:, held]
    tried: list[int] = []
    scores: list[float] = []
    most = min(_LAST, known.shape[1])
    sizes = [_FIRST << i for i in range(most.bit_length()) if _FIRST << i <= most]
    for size in sizes:
        W = fit(np.array(known, order="F"), size)
        tried.append(size)
        scores.append(_held_out(unknown, W, n_iter, n_threads))
        progress(len(tried) / len(sizes))
        if len(scores) - 1 - int(np.argmin(scores)) >= _PATIENCE:
            break
    progress(1.0)
    return _pick(tried, scores, known.shape[1])


def _held_out(V: Matrix, W: Matrix, n_iter: int, n_threads: int | None) -> float:
    """Return the divergence of each half of the bins, activations from the other half."""
    stripes = np.arange(len(V)) // min(_STRIPE_BINS, max(1, len(V) // 2)) % 2 == 0
    floor = np.float32(_FLOOR) * V.max()
    total = 0.0
    for seen in (stripes, ~stripes):
        H = activate(V[seen], W[seen], n_iter=n_iter, n_threads=n_threads)
        total += beta_divergence(V[~seen], np.maximum(W[~seen] @ H, floor))
    return total / float(V.sum(dtype=np.float64))


def _pick(tried: list[int], scores: list[float], n_frames: int) -> ComponentChoice:
    best = int(np.argmin(scores))
    picked = next(i for i, score in enumerate(scores) if score <= _NEAR * scores[best])
    if picked < best:
        gain = 100 * (1 - scores[best] / scores[picked]) if scores[picked] else 0.0
        reason = f"{tried[best]} would be only {gain:.1f} % better on what was held out"
    elif best < len(tried) - 1:
        loss = 100 * (scores[best + 1] / scores[best] - 1) if scores[best] else 0.0
        reason = f"the best on what was held out; {tried[best + 1]} are {loss:.1f} % worse there"
    else:
        reason = f"the most that were tried, with {n_frames} frames to learn from, and the best"
    return ComponentChoice(tuple(tried), tuple(scores), tried[picked], reason)
