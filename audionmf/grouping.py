"""Which components make which source: by label, by timbre, by hand.

A grouping maps the name of a source to the indices of its components. Every component belongs to at
most one source.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from audionmf.clusters import join_clusters
from audionmf.errors import ParameterError
from audionmf.stft import STFT
from audionmf.templates import Templates

__all__ = [
    "REST",
    "Grouping",
    "by_hand",
    "by_label",
    "by_timbre",
    "hz_to_mel",
    "mel_to_hz",
    "one_and_rest",
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
    features = timbre_features(templates)
    spread = features.std(axis=0)
    standardised = (features - features.mean(axis=0)) / np.where(spread > 0, spread, 1)
    groups = join_clusters(standardised, np.ones(len(features))).cut(n_sources)
    return {source_name(i): group for i, group in enumerate(groups)}


def source_name(source: int) -> str:
    """Return the name of a source that was found blind, counted from 0: ``source1`` and so on."""
    return f"source{source + 1}"


def timbre_features(templates: Templates) -> NDArray[np.float64]:
    """Return mel-frequency cepstral coefficients 1 to 12 of the templates.

    They are those of librosa, computed here because loading it takes longer than to separate a
    minute of music.

    Returns
    -------
    ndarray, shape (n_components, 12)
        In dB; a silent template gives zeros.

    References
    ----------
    Davis and Mermelstein, "Comparison of parametric representations for monosyllabic word
    recognition in continuously spoken sentences", IEEE Transactions on Acoustics, Speech, and
    Signal Processing 28(4), 1980. The mel scale is that of Slaney's Auditory Toolbox.
    """
    power = templates.templates.astype(np.float64) ** 2
    peaks = power.max(axis=0)
    power /= np.where(peaks > 0, peaks, 1)
    n_bands = min(_N_MELS, max(8, templates.stft.n_bins // 8))
    bands = _mel_filters(templates.stft, templates.sample_rate, n_bands) @ power
    levels = 10 * np.log10(np.maximum(bands, 1e-10))
    levels -= levels.max()
    levels = np.maximum(levels, -_DYNAMIC_RANGE_DB)
    cepstra: NDArray[np.float64] = scipy.fft.dct(levels, axis=0, norm="ortho")[1:_N_MFCC].T
    return cepstra


def _mel_filters(stft: STFT, sample_rate: int, n_bands: int) -> NDArray[np.float64]:
    """Return triangular filters (n_bands, n_bins), evenly spaced in mel, each of the same area."""
    top = hz_to_mel(np.array(sample_rate / 2))
    edges = mel_to_hz(np.linspace(0, top, n_bands + 2))
    frequencies = stft.frequencies(sample_rate)
    rising = (frequencies - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - frequencies) / np.diff(edges)[1:, None]
    area = (edges[2:] - edges[:-2])[:, None] / 2
    filters: NDArray[np.float64] = np.maximum(0, np.minimum(rising, falling)) / area
    return filters


def hz_to_mel(hz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return mel: linear below 1 kHz, 3 for 200 Hz; logarithmic above, 27 for a factor of 6.4."""
    linear = hz * 3 / 200
    return np.where(hz < 1000, linear, 15 + 27 * np.log(np.maximum(hz, 1) / 1000) / np.log(6.4))


def mel_to_hz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return Hz; the inverse of `hz_to_mel`."""
    return np.where(mel < 15, mel * 200 / 3, 1000 * 6.4 ** ((mel - 15) / 27))


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


def one_and_rest(names: Sequence[str], only: str) -> list[str]:
    """Return the names of a source that is set against all the others, and of these.

    Raises
    ------
    ParameterError
        If there is no source `only`, or it is called like the rest.
    """
    if only not in names:
        raise ParameterError(
            f"there is no source {only!r}; there are {', '.join(map(repr, names))}"
        )
    if only == REST:
        raise ParameterError(f"a source called {REST!r} cannot be set against the rest; rename it")
    return [only, REST]


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
