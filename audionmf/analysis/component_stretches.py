"""Where in a mixture its components are looked at: stretches of neighbouring frames, on bands."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray

from audionmf import nmf
from audionmf.analysis.component_features import Stretch
from audionmf.io.audio import Source
from audionmf.io.parts import excerpt
from audionmf.rendering.decomposition import Decomposition
from audionmf.rendering.voters import Voters
from audionmf.spectra.bands import Bands
from audionmf.spectra.frames import BLOCK_FRAMES, pooled_magnitude

__all__ = ["parts", "stretches"]

Matrix = NDArray[np.float32]

_FRAMES, _MOST = 320, 4
_MASKED = 64
"""Frames of which models are made at a time, as while they are rendered."""


def stretches(found: Decomposition, voters: Voters, source: Source) -> Iterator[Stretch]:
    """Yield stretches of a recording, those that are not silent; parameters as in `parts`."""
    for part in parts(found, voters, source):
        stretch = part()
        if stretch is not None:
            yield stretch


def parts(
    found: Decomposition, voters: Voters, source: Source
) -> list[Callable[[], Stretch | None]]:
    """Return what gives the stretches of a recording: all of a short one, four parts of a long one.

    Each may be called in a thread of its own, and reads its part of the recording then; it gives None
    where that is silent.

    Parameters
    ----------
    found : Decomposition
        Of the recording, without voters.
    voters : Voters
        Components of the mixture alone, and their votes, if they have any.
    source : Audio or AudioFile
        The recording.
    """
    voted = found if voters.votes is None else dataclasses.replace(found, voters=voters)
    stft, rate = found.templates.stft, found.templates.sample_rate
    bands = Bands.of(stft, rate)
    W = bands.pool(voters.templates)
    ends = _ends(stft.n_frames(found.mixture.n_samples))
    return [partial(_stretch, found, voted, voters, source, bands, W, *each) for each in ends]


def _stretch(
    found: Decomposition,
    voted: Decomposition,
    voters: Voters,
    source: Source,
    bands: Bands,
    W: Matrix,
    first: int,
    stop: int,
) -> Stretch | None:
    """Return the stretch of some frames."""
    V, margins = _between(source, found, first, stop)
    if not V.any():
        return None
    masks = _pooled_masks(found, voted, V, margins, first, bands)
    V = V[:, margins[0] : V.shape[1] - margins[1]]
    if voters.activations is None:
        settings = found.settings
        G = nmf.activate(
            bands.pool(V), W, n_iter=settings.activation_iter, n_threads=1, device=settings.device
        )
    else:
        G = voters.activations[:, first:stop]
    peak = _peak(V)
    power = bands.pool((V / peak) ** 2)
    return Stretch(
        V=np.sqrt(power / power.max()),
        masks=masks[0],
        plain=masks[1],
        W=W,
        G=G / peak,
        frequencies=bands.frequencies,
    )


def _pooled_masks(
    found: Decomposition,
    voted: Decomposition,
    V: Matrix,
    margins: tuple[int, int],
    first: int,
    bands: Bands,
) -> Matrix:
    """Return the shares of the sources on bands, (2, n_sources, n_bands, n_frames), voted and plain.

    V has so many frames of `margins` around those that begin with number `first`. A block at a time:
    models of all bins and of what voters say of them would take 30 MB.
    """
    n_frames, n_sources, peak = V.shape[1] - sum(margins), len(found.source_names), _peak(V)
    masks = np.empty((2, n_sources, n_frames, len(bands.edges)), np.float32).swapaxes(2, 3)
    for begin in range(0, n_frames, _MASKED):
        end = min(n_frames, begin + _MASKED)
        here, there = margins[0] + begin, margins[0] + end
        before, after = min(here, found.reach), min(V.shape[1] - there, found.reach)
        around = V[:, here - before : there + after]
        models = found.source_models(first + begin, around, (before, after))
        own = V[:, here:there]
        agreed = voted.voted(models, own, slice(first + begin, first + end))
        heard = (own / peak) ** 2
        power = bands.pool(heard)
        for shares, of in zip(masks, (voted.masks(agreed), found.masks(models)), strict=True):
            for share, mask in zip(shares, of, strict=True):
                share[:, begin:end] = np.where(
                    power > 0,
                    bands.pool(mask * heard) / np.where(power > 0, power, 1),
                    1 / n_sources,
                )
    return masks


def _peak(V: Matrix) -> np.float32:
    return np.float32(2.0 ** np.floor(np.log2(float(V.max()))))


def _ends(n_frames: int) -> list[tuple[int, int]]:
    """Return the first and one after the last frame of each stretch."""
    count = min(_MOST, -(-n_frames // _FRAMES))
    if n_frames <= count * _FRAMES:
        edges = np.linspace(0, n_frames, count + 1).round().astype(int).tolist()
        return list(itertools.pairwise(edges))
    starts = np.linspace(0, n_frames - _FRAMES, count).round().astype(int).tolist()
    return [(first, first + _FRAMES) for first in starts]


def _between(
    source: Source, found: Decomposition, first: int, stop: int
) -> tuple[Matrix, tuple[int, int]]:
    """Return magnitudes of some frames, and of those of the margins that their models need."""
    stft, rate = found.templates.stft, found.templates.sample_rate
    n_frames = stft.n_frames(found.mixture.n_samples)
    begin, end = max(0, first - found.reach), min(n_frames, stop + found.reach)
    beyond = -(-stft.span // (2 * stft.hop_length))  # frames that reach over an edge of an excerpt
    before = min(begin, beyond)
    start = (begin - before) * stft.hop_length
    wanted = (end + beyond) * stft.hop_length - start
    part = excerpt(source, start / rate, wanted / rate)
    blocks = stft.forward_blocks(part.blocks(), max(BLOCK_FRAMES, stft.least_frames))
    V = np.concatenate([pooled_magnitude(X).T for X in blocks]).T
    return V[:, before : before + end - begin], (first - begin, end - stop)
