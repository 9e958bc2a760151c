"""How alike components of a mixture sound to the examples of its sources.

The odds of `likeness`, that two components come from one source, know nothing of masks: between
components of the mixture and components of an example they are evidence of their own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from audionmf import nmf
from audionmf.analysis.likeness import Sound, likeness_between
from audionmf.spectra.blas import blas_threads

__all__ = ["example_sound", "heard_examples", "like_examples"]

_COMPONENTS, _ITERATIONS = 12, 60
_MOST_ODDS = 20.0


def example_sound(
    E: NDArray[np.float32], frequencies: NDArray[np.float64], n_threads: int = 1
) -> Sound | None:
    """Return twelve components of an example, to be heard beside those of a mixture.

    Parameters
    ----------
    E : ndarray, shape (n_bands, n_frames)
        Magnitudes of a source alone.
    frequencies : ndarray, shape (n_bands,)
        In Hz, rising.
    n_threads : int, default 1
        Threads that learn them; they change nothing else.

    Returns
    -------
    Sound or None
        None if the example is silent.
    """
    top = np.float32(E.max(initial=0))
    if not top > 0:
        return None
    n_components = min(_COMPONENTS, E.shape[1])
    model = nmf.fit(E / top, n_components, max_iter=_ITERATIONS, seed=0, n_threads=n_threads)
    W, H = model.templates, model.activations
    energies = (W**2).sum(axis=0, dtype=np.float64) * (H**2).sum(axis=1, dtype=np.float64)
    return Sound(W, H, frequencies, energies)


def heard_examples(
    sounds: Mapping[str, NDArray[np.float32]],
    names: Sequence[str],
    frequencies: NDArray[np.float64],
    n_threads: int = 1,
) -> list[Sound | None]:
    """Return what `example_sound` does of each source; None of those that have no example.

    Parameters
    ----------
    sounds : mapping of str to ndarray, shape (n_bands, n)
        What sources sound like alone, where that is known, as `Templates.sounds`.
    names : sequence of str
        The sources, in their order.
    frequencies, n_threads
        As in `example_sound`.
    """
    alone = [sounds.get(name) for name in names]
    with blas_threads(1):  # what is found must not depend on how many there are
        return [None if E is None else example_sound(E, frequencies, n_threads) for E in alone]


def like_examples(sound: Sound, examples: Sequence[Sound | None]) -> NDArray[np.float64]:
    """Return the log odds of each component that it comes from what is heard in each example.

    Each example is heard as if it followed the mixture. The odds are the mean of those of its
    components, by the roots of their energies.

    Parameters
    ----------
    sound : Sound
        The components of the mixture.
    examples : sequence of Sound or None
        Of each source; None where there is no example.

    Returns
    -------
    ndarray, shape (n_sources, n_components), float64
        -20 to 20; 0, which tells nothing, where there is no example.
    """
    odds = np.zeros((len(examples), len(sound.energies)))
    for one, example in zip(odds, examples, strict=True):
        if example is not None and sound.energies.any():
            one[:] = _odds(sound, example)
    return odds


def _odds(sound: Sound, example: Sound) -> NDArray[np.float64]:
    n, n_frames = sound.H.shape
    H = np.zeros((n + len(example.H), n_frames + example.H.shape[1]))
    H[:n, :n_frames], H[n:, n_frames:] = sound.H, example.H
    parts = [each.energies / each.energies.sum() for each in (sound, example)]
    both = dataclasses.replace(
        sound, W=np.concatenate([sound.W, example.W], axis=1), H=H, energies=np.concatenate(parts)
    )
    between = np.clip(likeness_between(both, n), -_MOST_ODDS, _MOST_ODDS)
    root = np.sqrt(parts[1])
    mean: NDArray[np.float64] = np.log(np.exp(between) @ (root / root.sum()))
    return mean
