"""Harmonic and percussive sound: nothing is fitted, medians around every bin tell them apart.

The templates of the two sources are what each sounds like on the whole, for pictures and for words.
"""

from __future__ import annotations

import numpy as np

from audionmf.io.audio import Source, warn_if_unusual
from audionmf.rendering.decomposition import Decomposition, Mixture
from audionmf.rendering.grouping import by_label
from audionmf.settings import Settings
from audionmf.sources.known import HARMONIC, PERCUSSIVE, Account
from audionmf.sources.templates import Templates
from audionmf.spectra.frames import (
    BLOCK_FRAMES,
    Counter,
    Progress,
    describe_source,
    pooled_magnitude,
)
from audionmf.spectra.medians import median_models, median_sizes
from audionmf.spectra.stft import STFT

__all__ = ["analyse_medians"]

_MOST_BLOCKS = 32


def analyse_medians(
    account: Account, source: Source, settings: Settings, progress: Progress
) -> Decomposition:
    """Say that a mixture is harmonic and percussive sound, and what each is like on the whole.

    Parameters
    ----------
    account : Account
        Two sources, by their textures, and a margin.
    source : Audio or AudioFile
        The mixture, of any length: it is read once, in constant memory.
    settings : Settings
        Options.
    progress : callable
        Told the stage and the share done.

    Returns
    -------
    Decomposition
        Without activations.

    Warns
    -----
    AudioWarning
        If the recording is silent or shorter than a window.
    """
    rate = source.sample_rate
    stft = STFT(settings.n_fft_at(rate), settings.hop_length_at(rate), settings.window)
    sizes = median_sizes(stft, rate)
    seen = Counter(source)
    total = np.zeros((2, stft.n_bins))
    step = max(1, stft.n_frames(source.n_samples) // (BLOCK_FRAMES * _MOST_BLOCKS))
    for number, X in enumerate(stft.forward_blocks(seen.blocks(), BLOCK_FRAMES)):
        if number % step == 0:
            total += median_models(pooled_magnitude(X), sizes).sum(axis=2, dtype=np.float64)
        progress("read", min(1.0, seen.n_samples / max(1, source.n_samples)))
    warn_if_unusual(describe_source(source), seen.n_samples, stft.n_fft, seen.peak)
    names = account.textures
    labels = (names[HARMONIC], names[PERCUSSIVE])
    W = total.T / (float(total.max()) or 1.0)
    templates = Templates(W.astype(np.float32), labels, stft, rate)
    return Decomposition(
        templates=templates,
        grouping=by_label(templates),
        settings=settings,
        mixture=Mixture.of(source, seen.n_samples),
        divergence=np.empty(0),
        reason="",
        residual=account.residual,
        margin=account.margin,
    )
