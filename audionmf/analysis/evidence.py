"""How well the models of a mixture explain it: the judge between models.

Artificial mixtures of the examples do not tell which model separates best; what the models leave
unexplained of the mixture itself does.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from audionmf import nmf
from audionmf.io.audio import Source
from audionmf.nmf import beta_divergence
from audionmf.nmf.solver import thread_count
from audionmf.rendering.decomposition import Decomposition
from audionmf.spectra.bands import Bands
from audionmf.spectra.frames import gather

__all__ = ["left_by_others", "left_share"]

_JUDGED_FRAMES = 1024
_FLOOR = 1e-9
_HEARD = 0.03
_MOST_HEARD, _MOST_OTHERS = 100, 512
"""Frames of a source, and of all others together, by which they are compared."""
_ITERATIONS = 60


def left_share(found: Decomposition, source: Source, most: int = _JUDGED_FRAMES) -> float:
    """Return how much of a recording the models of a decomposition leave unexplained.

    It is the Kullback–Leibler divergence of the models from the magnitudes, both summed over
    `Bands`, as a share of the sum of the magnitudes: 0 where all is explained. Bands make
    decompositions with other windows comparable. Of a long recording some frames are judged, unless
    the models need neighbouring frames.

    Parameters
    ----------
    found : Decomposition
        With activations if its components are patterns.
    source : Audio or AudioFile
        The recording that was analysed.
    most : int, default 1024
        Frames that are judged of a long one.
    """
    threads = thread_count(found.settings.n_threads)
    stft, rate = found.templates.stft, source.sample_rate
    whole = found.patterns is not None
    limit = stft.n_frames(source.n_samples) if whole else most
    V = gather(source, stft, limit, n_threads=threads, warn=False).V
    models = found.source_models(0, V) if whole else found.models(found.activate(V, threads))
    bands = Bands.of(stft, rate)
    heard, model = bands.pool(V), bands.pool(models.sum(axis=0))
    total = float(heard.sum(dtype=np.float64))
    floor = np.float32(_FLOOR) * heard.max(initial=np.finfo(np.float32).tiny)
    left = beta_divergence(heard, np.maximum(model, floor), 1)
    return left / total if total > 0 else 0.0


def left_by_others(sounds: Sequence[NDArray[np.float32]], n_threads: int = 1) -> float:
    """Return how much of what each source sounds like the frames of the others leave unexplained.

    Parameters
    ----------
    sounds : sequence of ndarray, shape (n_bands, n_frames)
        Magnitudes of two sources or more, on bands, each with a frame that can be heard; of each
        at most 100 frames, evenly spread, are compared, fewer of more than six sources.
    n_threads : int, default 1
        Threads; they change nothing else.

    Returns
    -------
    float
        The mean over the sources of the Kullback–Leibler divergence as a share of the magnitudes: 0
        where each is made of the same frames as the others.
    """
    most = max(1, min(_MOST_HEARD, _MOST_OTHERS // (len(sounds) - 1)))
    heard = [_loud(V, most) for V in sounds]
    left = []
    for i, V in enumerate(heard):
        W = np.concatenate([other for j, other in enumerate(heard) if j != i], axis=1)
        W = W / W.sum(axis=0)
        H = nmf.activate(V, W, n_iter=_ITERATIONS, n_threads=n_threads)
        model = np.maximum(W @ H, np.float32(_FLOOR) * V.max())
        left.append(beta_divergence(V, model, 1) / float(V.sum(dtype=np.float64)))
    return float(np.mean(left))


def _loud(V: NDArray[np.float32], most: int) -> NDArray[np.float32]:
    """Return at most so many of the frames that can be heard, evenly spread."""
    level = V.sum(axis=0)
    loud = np.flatnonzero(level > _HEARD * level.max())
    return V[:, loud[np.linspace(0, len(loud) - 1, min(most, len(loud))).round().astype(int)]]
