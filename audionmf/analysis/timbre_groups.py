"""Components grouped by the colour of their sound: mel-frequency cepstra, clustered."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from audionmf.analysis.clustering import join_clusters
from audionmf.errors import ParameterError
from audionmf.rendering.grouping import Grouping
from audionmf.sources.known import source_name
from audionmf.sources.templates import Templates
from audionmf.spectra.mel import hz_to_mel, mel_to_hz
from audionmf.spectra.stft import STFT

__all__ = ["by_timbre", "timbre_features"]

_N_MFCC = 13
_N_MELS = 64
_DYNAMIC_RANGE_DB = 80.0


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
    cepstra: NDArray[np.float64] = (_cosines(n_bands)[1:_N_MFCC] @ levels).T
    return cepstra


def _cosines(n: int) -> NDArray[np.float64]:
    """Return the matrix of the orthonormal discrete cosine transform (type 2) of n numbers."""
    rows: NDArray[np.float64] = np.cos(
        np.pi / n * np.arange(n)[:, None] * (np.arange(n) + 0.5)
    ) * np.sqrt(2 / n)
    rows[0] /= np.sqrt(2)
    return rows


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
