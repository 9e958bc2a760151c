"""Remix: a gain for each source, and one recording out of all of them.

The mixture is taken as it is, with the gain of the last source; what the other sources have more or
less is added to it. So what is not changed stays as it was, to the bit: with all gains 1 the remix is
the recording.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from numbers import Real

import numpy as np

from audionmf.errors import ParameterError, TemplateMismatchError
from audionmf.io.audio import Samples, Source
from audionmf.rendering.blocks import rendered_blocks
from audionmf.rendering.decomposition import Decomposition
from audionmf.sources.known import REST
from audionmf.spectra.frames import Progress, describe_source

__all__ = [
    "Gains",
    "gain_from_db",
    "mix",
    "mix_blocks",
    "parse_gains",
    "reduced_blocks",
    "resolve_gains",
]

Gains = Mapping[str, float]
"""Linear gains by the name of the source: 0 takes it out, 1 leaves it as it is."""

_MOST_DB = 60.0
_MOST = 1000.0


def gain_from_db(decibels: float) -> float:
    """Return a linear gain: 0 dB is 1, minus infinity is 0."""
    return 0.0 if decibels == -math.inf else 10.0 ** (decibels / 20)


def parse_gains(texts: Sequence[str]) -> dict[str, float]:
    """Read gains written ``NAME=DB``, such as ``voice=-inf`` or ``drums=+3``.

    Returns
    -------
    dict of str to float
        Linear gains.

    Raises
    ------
    ParameterError
        If a text has another form, is above 60 dB, or a name comes twice.
    """
    gains: dict[str, float] = {}
    for text in texts:
        name, _, number = text.partition("=")
        try:
            decibels = float(number.strip().lower().removesuffix("db"))
        except ValueError:
            decibels = math.nan
        if not (name and decibels <= _MOST_DB):
            raise ParameterError(
                "a gain is written NAME=DB, such as voice=-inf (taken out), drums=+3 or bass=-6, "
                f"{_MOST_DB:g} dB or less, not {text!r}"
            )
        if name in gains:
            raise ParameterError(f"the gain of {name!r} is given twice; give it once")
        gains[name] = gain_from_db(decibels)
    return gains


def resolve_gains(names: Sequence[str], gains: Gains) -> list[float]:
    """Return the gain of each source.

    Parameters
    ----------
    names : sequence of str
        All sources.
    gains : mapping of str to float
        Linear gains, 0 to 1000. Sources that are not named keep theirs, 1; where no source is called
        ``rest``, that name stands for all of them.

    Raises
    ------
    ParameterError
        If there is no such source, or a gain is outside its range.
    """
    known = {*names, REST}
    for name, gain in gains.items():
        if name not in known:
            raise ParameterError(
                f"there is no source {name!r}; there are {', '.join(map(repr, names))}"
            )
        if not (isinstance(gain, Real) and 0 <= gain <= _MOST):
            raise ParameterError(
                f"the gain of {name!r} is a factor from 0 to {_MOST:g}, not {gain!r}"
            )
    others = 1.0 if REST in names else gains.get(REST, 1.0)
    return [float(gains.get(name, others)) for name in names]


def mix(mixture: Samples, stems: Sequence[Samples], gains: Sequence[float]) -> Samples:
    """Return a mixture with gains.

    Parameters
    ----------
    mixture : ndarray, shape (n_channels, n), float32
        The recording. Not modified.
    stems : sequence of ndarray, shape (n_channels, n), float32
        All sources but the last, which is what they leave of the mixture.
    gains : sequence of float
        Of all sources, that of the last one too.

    Returns
    -------
    ndarray, shape (n_channels, n), float32
        Gains that are all the same give the mixture with that gain, exactly.
    """
    base = gains[-1]
    changed = [(s, gain - base) for s, gain in zip(stems, gains, strict=False) if gain != base]
    if not changed:
        return mixture * np.float32(base)
    (stem, more), *others = changed
    mixed: Samples = stem * np.float32(more)
    mixed += mixture if base == 1 else mixture * np.float32(base)
    for stem, more in others:
        mixed += stem * np.float32(more)
    return mixed


def mix_blocks(
    source: Source, decomposition: Decomposition, gains: Gains, progress: Progress
) -> Iterator[Samples]:
    """Yield a recording with gains, block by block; only what changes is rendered.

    Parameters
    ----------
    source : Audio or AudioFile
        The recording.
    decomposition : Decomposition
        Templates and grouping.
    gains : mapping of str to float
        As `resolve_gains` takes them.
    progress : callable
        Told the stage and the share done.

    Yields
    ------
    ndarray, shape (n_channels, n), float32
        The next samples.

    Raises
    ------
    ParameterError
        If a gain is of no source or outside its range.
    TemplateMismatchError
        As in `render_blocks`.
    """
    every = resolve_gains(decomposition.source_names, gains)
    rendered = [i for i, gain in enumerate(every) if gain != every[-1]]
    if not rendered:
        yield from _scaled(source, decomposition, every[-1], progress)
        return
    chosen = [*(every[i] for i in rendered), every[-1]]
    for stems, mixture in _with_offset(source, decomposition, rendered, progress):
        yield mix(mixture, list(stems), chosen)


def reduced_blocks(
    source: Source, decomposition: Decomposition, name: str, floor: float, progress: Progress
) -> Iterator[Samples]:
    """Yield a recording in which one source is softer, block by block.

    The mask of all the others is held at `floor` or more in every bin, so that no bin is taken down
    by more than that.

    Parameters
    ----------
    source : Audio or AudioFile
        The recording.
    decomposition : Decomposition
        Templates and grouping, without places in stereo.
    name : str
        The source.
    floor : float
        0 to 1; with 1 the recording stays as it is, to the bit.
    progress : callable
        Told the stage and the share done.

    Yields
    ------
    ndarray, shape (n_channels, n), float32
        The next samples.

    Raises
    ------
    TemplateMismatchError
        As in `render_blocks`.
    """
    if floor == 1:
        yield from _scaled(source, decomposition, 1, progress)
        return
    rendered = [decomposition.source_names.index(name)]
    for stems, mixture in _with_offset(source, decomposition, rendered, progress, 1 - floor):
        yield mixture - stems[0]


def _with_offset(
    source: Source,
    decomposition: Decomposition,
    rendered: list[int],
    progress: Progress,
    most: float = 1.0,
) -> Iterator[tuple[Samples, Samples]]:
    """Yield what `rendered_blocks` does; a constant offset is in the mixture, in no source of it."""
    level = source.without_offset()
    for stems, mixture in rendered_blocks(level, decomposition, rendered, progress, most=most):
        yield stems, mixture if level is source else mixture + source.offset[:, None]


def _scaled(
    source: Source, decomposition: Decomposition, gain: float, progress: Progress
) -> Iterator[Samples]:
    n_done, n_samples = 0, decomposition.mixture.n_samples
    for block in source.blocks():
        n_done += block.shape[1]
        progress("render", min(1.0, n_done / n_samples))
        yield block * np.float32(gain)
    if n_done != n_samples:
        raise TemplateMismatchError(
            f"{describe_source(source)} has {n_done} samples, the recording that was analysed "
            f"{n_samples}; analyse this one first"
        )
