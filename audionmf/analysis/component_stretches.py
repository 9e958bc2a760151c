"""Where in a mixture its components are looked at: stretches of neighbouring frames, on bands."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from audionmf import nmf
from audionmf.analysis.component_features import Stretch
from audionmf.io.audio import Source
from audionmf.io.parts import excerpt
from audionmf.nmf.solver import thread_count
from audionmf.rendering.decomposition import Decomposition
from audionmf.rendering.voters import Voters
from audionmf.spectra.bands import Bands
from audionmf.spectra.frames import BLOCK_FRAMES, pooled_magnitude

__all__ = ["stretches"]

Matrix = NDArray[np.float32]

_FRAMES, _MOST = 320, 4


def stretches(
    found: Decomposition,
    voters: Voters,
    source: Source,
    progress: Callable[[int, int], object] = lambda *_: None,
) -> Iterator[Stretch]:
    """Yield stretches of a recording: all of a short one, four parts of a long one.

    Parameters
    ----------
    found : Decomposition
        Of the recording, without voters.
    voters : Voters
        Components of the mixture alone, and their votes, if they have any.
    source : Audio or AudioFile
        The recording.
    progress : callable, optional
        Told before each stretch how many were read so far, and how many there are.
    """
    voted = found if voters.votes is None else dataclasses.replace(found, voters=voters)
    stft, rate = found.templates.stft, found.templates.sample_rate
    bands, threads = Bands.of(stft, rate), thread_count(found.settings.n_threads)
    W = bands.pool(voters.templates)
    parts = _parts(stft.n_frames(found.mixture.n_samples))
    for n, (first, stop) in enumerate(parts):
        progress(n, len(parts))
        V, margins = _between(source, found, first, stop)
        if not V.any():
            continue
        models = found.source_models(first - margins[0], V, margins)
        V = V[:, margins[0] : V.shape[1] - margins[1]]
        if voters.activations is None:
            G = nmf.activate(
                bands.pool(V), W, n_iter=found.settings.activation_iter, n_threads=threads,
                device=found.settings.device,
            )  # fmt: skip
        else:
            G = voters.activations[:, first:stop]
        peak = np.float32(2.0 ** np.floor(np.log2(float(V.max()))))
        heard = V / peak
        power = bands.pool(heard**2)
        scaled = power / power.max()

        def pooled(masks: Matrix, heard: Matrix = heard, power: Matrix = power) -> Matrix:
            shares = np.stack([bands.pool(mask * heard**2) for mask in masks])
            known = power > 0
            one: Matrix = np.where(known, shares / np.where(known, power, 1), 1 / len(masks))
            return one.astype(np.float32)

        yield Stretch(
            V=np.sqrt(scaled),
            masks=pooled(voted.masks(voted.voted(models, V, slice(first, stop)))),
            plain=pooled(found.masks(models)),
            W=W,
            G=G / peak,
            frequencies=bands.frequencies,
        )


def _parts(n_frames: int) -> list[tuple[int, int]]:
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
