"""How alike two components sound: features of each, in a space in which one source lies close together.

Features of timbre, pitch and course are multiplied by a matrix that was learnt from mixtures whose
stems are known (`learn_likeness`): differences that occur within a source count little, those between
sources much. It is linear discriminant analysis, whose axes are weighted by how well they tell
sources apart.

References
----------
Fisher, "The use of multiple measurements in taxonomic problems", Annals of Eugenics 7(2), 1936.
Hatch, Kajarekar and Stolcke, "Within-class covariance normalization for SVM-based speaker
recognition", Interspeech 2006.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from audionmf.analysis.timbre_groups import timbre_features
from audionmf.sources.templates import Templates

__all__ = ["Judged", "learn_likeness", "likeness", "sound_features"]

Features = NDArray[np.float64]

_FILE = "likeness.npz"
_TINY = 1e-12
_LOW_HZ = 20.0
_CEPSTRAL_DB = 10.0
_CEPSTRA = 12
_LAGS = (1, 4, 16)
_AXES = 12
_SHRINKAGE = 0.5


def sound_features(
    templates: Templates, activations: NDArray[np.float32], pitches: NDArray[np.float64]
) -> dict[str, Features]:
    """Return numbers that tell what each component sounds like.

    Parameters
    ----------
    templates : Templates
        W.
    activations : ndarray, shape (n_components, n_frames), float32
        H.
    pitches : ndarray, shape (n_components,)
        In semitones; NaN where a component has no pitch, which then goes by its brightness.

    Returns
    -------
    dict of str to ndarray, shape (n_components, n_features)
        ``timbre``: cepstral coefficients, brightness and spread in octaves, flatness, peakedness.
        ``pitch``: whether there is one, and the pitch in octaves. ``course``: rise against fall,
        attack, level, sparseness, roughness, and how long the activation goes on.
    """
    W = templates.templates.astype(np.float64)
    f = templates.stft.frequencies(templates.sample_rate)
    shares = W / np.maximum(W.sum(axis=0), _TINY)
    centre = f @ shares
    brightness = np.log2(centre + _LOW_HZ)
    spread = np.log2(np.sqrt(((f[:, None] - centre) ** 2 * shares).sum(axis=0)) + _LOW_HZ)
    means = np.log(W + 1e-9 * W.max(axis=0) + _TINY).mean(axis=0)
    flatness = np.log(np.exp(means) / (W.mean(axis=0) + _TINY) + 1e-4)
    peaked = np.log((shares**2).sum(axis=0) + 1e-6)
    known = ~np.isnan(pitches)
    pitch = np.where(known, np.nan_to_num(pitches), 12 * (brightness - np.log2(440)) + 69) / 12
    cepstra = np.zeros((len(pitch), _CEPSTRA))  # short windows have fewer
    known_ones = timbre_features(templates) / _CEPSTRAL_DB
    cepstra[:, : known_ones.shape[1]] = known_ones
    return {
        "timbre": np.column_stack([cepstra, brightness, spread, flatness, peaked]),
        "pitch": np.column_stack([known.astype(np.float64), pitch]),
        "course": _course(activations.astype(np.float64)),
    }


def _course(H: Features) -> Features:
    """Return how activations rise, fall and go on."""
    peaks = np.maximum(H.max(axis=1, initial=0), _TINY)
    H = H / peaks[:, None]
    rises = np.diff(H, axis=1, prepend=0)
    up, down = np.maximum(rises, 0), np.maximum(-rises, 0)
    against = np.log(((up**2).sum(axis=1) + _TINY) / ((down**2).sum(axis=1) + _TINY))
    attack = np.log(up.max(axis=1) + 1e-3)
    level = np.log(np.sqrt(H).mean(axis=1) + 1e-3)
    energy, mean = (H**2).mean(axis=1), H.mean(axis=1)
    sparse = np.log(energy / (mean**2 + 1e-9) + 1e-3)
    rough = np.log(np.abs(rises).sum(axis=1) / (H.sum(axis=1) + 1e-9) + 1e-3)
    on = [np.log(_alike(H, lag) / (energy + 1e-9) + 0.05) for lag in _LAGS]
    found = np.column_stack([against, attack, level, sparse, rough, *on])
    found[~H.any(axis=1)] = 0
    return found


def _alike(H: Features, lag: int) -> Features:
    """Return the mean product of activations with themselves some frames later."""
    if H.shape[1] <= lag:
        return np.zeros(len(H))
    products: Features = (H[:, lag:] * H[:, :-lag]).mean(axis=1)
    return products


def likeness(features: Mapping[str, Features]) -> dict[str, Features]:
    """Return where components lie by each kind of features; the sum of all is where they are.

    Parameters
    ----------
    features : mapping of str to ndarray, shape (n_components, n_features)
        As `sound_features` gives them.

    Returns
    -------
    dict of str to ndarray, shape (n_components, n_axes)
        All on the same axes: distances of their sum tell how unlike components sound.
    """
    return {name: x @ _axes()[name] for name, x in features.items()}


@cache
def _axes() -> dict[str, Features]:
    """Return the axes that were learnt, (n_features, n_axes) for each kind of features."""
    with (resources.files(__package__) / _FILE).open("rb") as file, np.load(file) as arrays:
        return {name: arrays[name] for name in arrays.files}


class Judged(NamedTuple):
    """Components of one mixture whose stems are known.

    Parameters
    ----------
    features : mapping of str to ndarray, shape (n_components, n_features)
        As `sound_features` gives them.
    energies : ndarray, shape (n_components,)
        How much each component counts, ≥ 0.
    owned : ndarray, shape (n_sources, n_components)
        Which share of each component belongs to each source; they sum to 1.
    """

    features: Mapping[str, Features]
    energies: Features
    owned: Features


def learn_likeness(mixtures: Sequence[Judged]) -> dict[str, Features]:
    """Learn the axes on which the components of a source lie close together.

    Parameters
    ----------
    mixtures : sequence of Judged
        Mixtures whose stems are known.

    Returns
    -------
    dict of str to ndarray, shape (n_features, n_axes)
        What `likeness` multiplies each kind of features by.
    """
    import scipy.linalg

    names = list(mixtures[0].features)
    pairs = [_scatter(mixture, names) for mixture in mixtures]
    within, between = (np.mean(side, axis=0) for side in zip(*pairs, strict=True))
    scales = np.sqrt(np.maximum(np.diag(within), _TINY))
    inside, outside = (side / np.outer(scales, scales) for side in (within, between))
    inside = (1 - _SHRINKAGE) * inside + _SHRINKAGE * np.eye(len(inside))
    ratios, axes = scipy.linalg.eigh(outside, inside)
    best = np.argsort(ratios)[::-1][:_AXES]
    weighted = axes[:, best] * np.sqrt(np.maximum(ratios[best], 0) / ratios[best[0]])
    edges = np.cumsum([mixtures[0].features[name].shape[1] for name in names])[:-1]
    parts = np.split(weighted / scales[:, None], edges)
    return dict(zip(names, parts, strict=True))


def _scatter(mixture: Judged, names: Sequence[str]) -> tuple[Features, Features]:
    """Return the scatter of features within sources and between them.

    A component counts by the root of its energy, and by how clearly it belongs to one source.
    """
    X = np.concatenate([mixture.features[name] for name in names], axis=1)
    clear = np.maximum(mixture.owned.max(axis=0) - 1 / len(mixture.owned), 0)
    weights = np.sqrt(mixture.energies) * clear
    weights = weights / max(weights.sum(), _TINY)
    owners, mean = mixture.owned.argmax(axis=0), weights @ X
    within, between = np.zeros((2, X.shape[1], X.shape[1]))
    for owner in np.unique(owners):
        w, mine = weights[owners == owner], X[owners == owner]
        if w.sum() > 0:
            own = w @ mine / w.sum()
            within += ((mine - own) * w[:, None]).T @ (mine - own)
            between += w.sum() * np.outer(own - mean, own - mean)
    return within, between
