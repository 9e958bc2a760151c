"""Which components make which source: by label, by timbre, by hand.

A grouping maps the name of a source to the indices of its components. Every component belongs to at
most one source.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from audionmf.errors import ParameterError
from audionmf.templates import Templates

__all__ = [
    "REST",
    "Grouping",
    "by_hand",
    "by_label",
    "by_timbre",
    "parse_groups",
    "source_name",
    "timbre_features",
]

Grouping = dict[str, tuple[int, ...]]

REST = "rest"
"""Name of the source of the components that are in no group."""

_N_MFCC = 13
_N_MELS = 64
_DYNAMIC_RANGE_DB = 80.0


def by_label(templates: Templates) -> Grouping:
    """Make one source of the templates of each label, in the order of the labels."""
    return {
        name: tuple(k for k, label in enumerate(templates.labels) if label == name)
        for name in templates.names
    }


def by_timbre(templates: Templates, n_sources: int) -> Grouping:
    """Group components whose templates have alike cepstra: blind, by the colour of the sound.

    The features are standardised mel-frequency cepstral coefficients 1 to 12, which describe the
    spectral envelope without its level; they are joined by Ward's hierarchical clustering, which
    needs no random start.

    Parameters
    ----------
    templates : Templates
        The components.
    n_sources : int
        Number of sources, 1 to the number of components.

    Returns
    -------
    dict of str to tuple of int
        ``source1``, ``source2``, … in the order of their first component.

    Raises
    ------
    ParameterError
        If `n_sources` is out of its range.

    References
    ----------
    Spiertz and Gnann, "Source-filter based clustering for monaural blind source separation",
    DAFx 2009. Ward, "Hierarchical grouping to optimize an objective function", Journal of the
    American Statistical Association 58, 1963.
    """
    if not 1 <= n_sources <= templates.n_components:
        raise ParameterError(
            f"{n_sources} sources cannot be made of {templates.n_components} components; "
            "ask for fewer sources or more components"
        )
    clusters = _cluster(timbre_features(templates), n_sources)
    members: dict[int, list[int]] = {}
    for component, cluster in enumerate(clusters):
        members.setdefault(int(cluster), []).append(component)
    return {source_name(i): tuple(group) for i, group in enumerate(members.values())}


def source_name(source: int) -> str:
    """Return the name of a source that was found blind, counted from 0: ``source1`` and so on."""
    return f"source{source + 1}"


def timbre_features(templates: Templates) -> NDArray[np.float64]:
    """Return mel-frequency cepstral coefficients 1 to 12 of the templates.

    Returns
    -------
    ndarray, shape (n_components, 12)
        In dB; a silent template gives zeros.
    """
    import librosa

    power = templates.templates.astype(np.float64) ** 2
    peaks = power.max(axis=0)
    power /= np.where(peaks > 0, peaks, 1)
    with warnings.catch_warnings():
        # Where bins are coarse, some bands hold none: they are silent in every template.
        warnings.filterwarnings("ignore", "Empty filters", UserWarning)
        mel = librosa.filters.mel(
            sr=templates.sample_rate,
            n_fft=templates.stft.n_fft,
            n_mels=min(_N_MELS, max(8, templates.stft.n_bins // 8)),
        )
    log_mel = librosa.power_to_db(mel @ power, ref=np.max, top_db=_DYNAMIC_RANGE_DB)
    features: NDArray[np.float64] = librosa.feature.mfcc(S=log_mel, n_mfcc=_N_MFCC)[1:].T
    return features


def by_hand(groups: Mapping[str, Sequence[int]], n_components: int) -> Grouping:
    """Check a grouping made by hand; what is in no group becomes the source ``rest``.

    Parameters
    ----------
    groups : mapping of str to sequence of int
        Components of each source.
    n_components : int
        Number of components there are.

    Returns
    -------
    dict of str to tuple of int
        The groups and, if any component is left, ``rest``.

    Raises
    ------
    ParameterError
        If a component does not exist or is in two groups, a group is empty, or its name is.
    """
    owner: dict[int, str] = {}
    for name, components in groups.items():
        if not name or not components:
            raise ParameterError(f"the group {name!r} needs a name and at least one component")
        for component in components:
            if not 0 <= component < n_components:
                raise ParameterError(
                    f"the group {name!r} names component {component}; "
                    f"there are 0 to {n_components - 1}"
                )
            if component in owner:
                raise ParameterError(
                    f"component {component} is in the groups {owner[component]!r} and {name!r}"
                )
            owner[component] = name
    grouping = {name: tuple(components) for name, components in groups.items()}
    left = tuple(k for k in range(n_components) if k not in owner)
    if left:
        if REST in grouping:
            raise ParameterError(
                f"the name {REST!r} is kept for what is in no group; choose another"
            )
        grouping[REST] = left
    return grouping


def parse_groups(texts: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """Read groups written as ``NAME=0,3,7`` or ``NAME=0-3,7``.

    Raises
    ------
    ParameterError
        If a text has another form, or a name comes twice.
    """
    groups: dict[str, tuple[int, ...]] = {}
    for text in texts:
        name, equals, numbers = text.partition("=")
        try:
            members = [k for part in numbers.split(",") for k in _parse_range(part)]
        except ValueError:
            members = []
        if not (name and equals and members):
            raise ParameterError(f"a group is written NAME=0,3,7 or NAME=0-3,7, not {text!r}")
        if name in groups:
            raise ParameterError(f"the group {name!r} is given twice; put its components together")
        groups[name] = tuple(members)
    return groups


def _parse_range(text: str) -> range:
    first, dash, last = text.strip().partition("-")
    return range(int(first), int(last if dash else first) + 1)


def _cluster(features: NDArray[np.float64], n_clusters: int) -> NDArray[np.int32]:
    from scipy.cluster.hierarchy import fcluster, linkage

    if len(features) == 1:
        return np.ones(1, np.int32)
    spread = features.std(axis=0)
    standard = (features - features.mean(axis=0)) / np.where(spread > 0, spread, 1)
    tree = linkage(standard, "ward")
    clusters: NDArray[np.int32] = fcluster(tree, n_clusters, "maxclust")
    return _split_until(clusters, n_clusters)


def _split_until(clusters: NDArray[np.int32], n_clusters: int) -> NDArray[np.int32]:
    """Split the largest cluster where equal features left fewer clusters than were asked for."""
    clusters = clusters.copy()
    while len(np.unique(clusters)) < n_clusters:
        labels, counts = np.unique(clusters, return_counts=True)
        members = np.flatnonzero(clusters == labels[np.argmax(counts)])
        clusters[members[-1]] = clusters.max() + 1
    return clusters
