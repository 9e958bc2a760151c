"""From a recording to the V that the factorisation sees, block by block and within bounds."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audionmf.errors import StoppedError
from audionmf.io.audio import AudioLike, Samples, Source, open_source, warn_if_unusual
from audionmf.spectra.bands import Bands
from audionmf.spectra.fused import FramePass, length
from audionmf.spectra.neighbours import REACH, Neighbours, with_margins
from audionmf.spectra.stft import STFT, Transform

__all__ = [
    "BLOCK_FRAMES",
    "Counter",
    "Frames",
    "Progress",
    "describe_source",
    "gather",
    "heard",
    "magnitudes",
    "pooled_magnitude",
    "silent",
]

Progress = Callable[[str, float], bool | None]
"""Called with the name of a stage and the share of it that is done, 0 to 1; True stops the work."""

BLOCK_FRAMES = 128


def silent(stage: str, done: float) -> None:
    """Report progress to nobody."""


def heard(progress: Progress | None) -> Callable[[str, float], None]:
    """Return what tells of progress, and stops the work when that returns True.

    Parameters
    ----------
    progress : callable or None
        What is told; None: nobody.

    Returns
    -------
    callable
        It raises `StoppedError` when `progress` returns True, and nothing else that counts as true:
        a progress bar may return what it likes.
    """
    if progress is None:
        return silent

    def tell(stage: str, done: float) -> None:
        if progress(stage, done) is True:
            raise StoppedError(f"stopped while at {stage!r}, because progress returned True")

    return tell


_MAX_FRAMES = 16384
_MOST_EVERY = 4096


@dataclass(frozen=True, eq=False)
class Frames:
    """Frames of a recording.

    Parameters
    ----------
    V : ndarray, shape (n_bins, n_kept), float32
        Magnitudes, channels pooled, bins as neighbours.
    X : ndarray, shape (n_channels, n_bins, n_kept), complex64, or None
        The transform, where it was asked for.
    step : int
        Every so many frames one was kept.
    n_samples : int
        Samples of the recording in each channel.
    context : ndarray, shape (n_rows, n_kept), float32, or None
        What `Neighbours` says of each, where it was asked for; also of thinned frames it is their
        true neighbours.
    every : ndarray, shape (n_bands + n_rows, n_frames), float32, or None
        Of every frame, kept or not, its sums over `Bands` and its context, as `Neighbours.stacked`
        has them; where that was asked for, some frames were left out, and there are not too many.
    """

    V: NDArray[np.float32]
    X: Transform | None
    step: int
    n_samples: int
    context: NDArray[np.float32] | None = None
    every: NDArray[np.float32] | None = None


def pooled_magnitude(X: Transform) -> NDArray[np.float32]:
    """Return the root mean square of the channels of X, (n_bins, n_frames), bins as neighbours."""
    if len(X) == 1:
        alone: NDArray[np.float32] = np.abs(X[0])
        return alone
    frames = X.swapaxes(1, 2)
    pooled = np.empty(frames.shape[1:], np.float32)
    for first in range(0, len(frames), _CHANNELS):
        some = frames[first : first + _CHANNELS]
        before = [pooled] if first else []
        longer = np.empty_like(pooled) if first else pooled
        last = first + len(some) == len(frames)
        divisor = float(np.float32(np.sqrt(len(frames)))) if last else 1.0
        _length_pass(len(some), bool(first), divisor)([*some, *before], [longer])
        pooled = longer
    return pooled.T


_CHANNELS = 4
"""Channels that are pooled in one pass."""


@functools.lru_cache(maxsize=64)
def _length_pass(n_channels: int, again: bool, divisor: float) -> FramePass:
    """Return what gives the length of the numbers of some channels, and one before, divided."""

    def lengths(*given: Any) -> list[Any]:
        numbers = [number for pair in given[:n_channels] for number in pair]
        found = length(*numbers, *given[n_channels:])
        return [found if divisor == 1 else found / divisor]

    return FramePass(lengths, "c" * n_channels + "f" * again, "f")


def gather(
    source: Source,
    stft: STFT,
    max_frames: int = _MAX_FRAMES,
    *,
    keep_transform: bool = False,
    neighbours: Neighbours | None = None,
    bands: Bands | None = None,
    n_threads: int = 1,
    progress: Callable[[float], object] = lambda _: None,
    warn: bool = True,
) -> Frames:
    """Read a recording once and keep at most `max_frames` of its frames, spread evenly.

    Parameters
    ----------
    source : Audio or AudioFile
        The recording.
    stft : STFT
        The transform.
    max_frames : int, default 16384
        Most frames to keep; where there are more, every second is kept, or every fourth, …
    keep_transform : bool, default False
        Keep X too.
    neighbours : Neighbours, optional
        Keep the context of the frames too.
    bands : Bands, optional
        With neighbours: keep what these and the bands say of every frame, where that is not what is
        kept anyway, and there are at most 4096.
    n_threads : int, default 1
        Threads for the FFT.
    progress : callable, optional
        Told the share done.
    warn : bool, default True
        Warn of what is unusual; not where the recording will be read again, in another transform.

    Returns
    -------
    Frames
        What was kept.

    Warns
    -----
    AudioWarning
        If the recording is silent or shorter than a window.
    """
    # Where there is a context, all frames are needed.
    apart = 1 if neighbours else _apart(stft, source.n_samples, max_frames)
    how = partial(_gathered, source, stft, max_frames, keep_transform, neighbours, bands, n_threads)
    found, counter = how(progress, apart, _thinned(stft, source.n_samples, max_frames))
    least = _thinned(stft, counter.n_samples, max_frames)
    if found.step > least:  # a header that lied
        found, counter = how(progress, min(apart, least), least)
    if warn:
        warn_if_unusual(describe_source(source), counter.n_samples, stft.n_fft, counter.peak)
    return found


def _apart(stft: STFT, n_samples: int, max_frames: int) -> int:
    """Return how far apart frames are that are kept, 1, 2, 4, …, if the others can be left out."""
    return _thinned(stft, n_samples, max_frames) if stft.skips_frames else 1


def _thinned(stft: STFT, n_samples: int, max_frames: int) -> int:
    """Return how far apart frames are that are kept: 1, 2, 4 and so on."""
    n_frames, step = stft.n_frames(n_samples), 1
    while -(-n_frames // step) > max_frames:
        step *= 2
    return step


def _gathered(
    source: Source,
    stft: STFT,
    max_frames: int,
    keep_transform: bool,
    neighbours: Neighbours | None,
    bands: Bands | None,
    n_threads: int,
    progress: Callable[[float], object],
    apart: int,
    thinned: int,
) -> tuple[Frames, Counter]:
    """Read frames that are so far `apart`, and keep those that are `thinned`.

    If there are too many all the same, more are left out.
    """
    counter = Counter(source)
    kept: list[NDArray[Any]] = []
    around: list[NDArray[Any]] = []
    every: list[NDArray[np.float32]] = []
    step, n_seen, n_kept = thinned // apart, 0, 0
    size = max(1, max(BLOCK_FRAMES, stft.least_frames) // apart)  # of as many samples as ever
    blocks = stft.forward_blocks(counter.blocks(), size, n_threads, apart)
    for wide, before, after in with_margins(blocks, REACH if neighbours else 0):
        X = wide[..., before : wide.shape[-1] - after]
        first = -n_seen % step
        chosen = X[..., first::step]
        if keep_transform:  # a copy where frames are left out: a view would hold all of them
            kept.append(chosen if chosen.shape == wide.shape else _copied(chosen))
        else:
            kept.append(pooled_magnitude(chosen)[None])
        if neighbours:
            pooled = pooled_magnitude(wide)
            context = neighbours.of_frames(pooled, before, after)
            if bands and thinned > 1 and n_seen <= _MOST_EVERY:
                own = bands.pool(pooled[:, before : wide.shape[-1] - after])
                every.append(neighbours.stacked(own, context).T)
            around.append(_copied(context[None, :, first::step]))
        n_seen += X.shape[-1]
        if n_seen > _MOST_EVERY:
            every.clear()
        n_kept += kept[-1].shape[-1]
        progress(min(1.0, counter.n_samples / source.n_samples))
        while n_kept > max_frames:
            kept, n_kept, step = _every_second(kept), -(-n_kept // 2), step * 2
            around = _every_second(around)
    step *= apart
    joined = _join(kept, n_kept)
    found = _join(around, n_kept)[0] if neighbours else None
    V = pooled_magnitude(joined) if keep_transform else joined[0]
    stacked = np.concatenate(every).T if every else None
    kept_X = joined if keep_transform else None
    return Frames(V, kept_X, step, counter.n_samples, found, stacked), counter


def magnitudes(
    source: AudioLike, stft: STFT, sample_rate: int | None = None
) -> NDArray[np.float32]:
    """Return the magnitude spectrogram that an analysis sees, channels pooled, thinned if long.

    Parameters
    ----------
    source : Audio, AudioFile, path or array
        The recording.
    stft : STFT
        The transform.
    sample_rate : int, optional
        In Hz; needed for an array.

    Returns
    -------
    ndarray, shape (n_bins, n_frames), float32
        V; every second, fourth … frame where there are more than 16384.
    """
    return gather(open_source(source, sample_rate), stft).V


def describe_source(source: Source) -> str:
    """Return what to call a recording in a message."""
    return "the array of samples" if source.path is None else repr(str(source.path))


class Counter:
    """Passes the blocks of a recording on, and notes their length and peak."""

    def __init__(self, source: Source) -> None:
        self._source, self.n_samples, self.peak = source, 0, 0.0

    def blocks(self) -> Iterator[Samples]:
        """Yield the blocks."""
        for block in self._source.blocks():
            self.n_samples += block.shape[1]
            self.peak = max(self.peak, float(block.max(initial=0)), -float(block.min(initial=0)))
            yield block


def _every_second(blocks: list[NDArray[Any]]) -> list[NDArray[Any]]:
    """Keep every second frame; each block is let go as soon as it is copied."""
    thinned, n_before = [], 0
    blocks.reverse()
    while blocks:
        block = blocks.pop()
        thinned.append(_copied(block[..., n_before % 2 :: 2]))
        n_before += block.shape[-1]
    return thinned


def _copied(block: NDArray[Any]) -> NDArray[Any]:
    """Copy frame by frame, so that bins stay neighbours and what was left out can be freed."""
    return np.swapaxes(np.swapaxes(block, 1, 2).copy(), 1, 2)


def _join(blocks: list[NDArray[Any]], n_frames: int) -> NDArray[Any]:
    """Join blocks along their frames; each is let go as soon as it is copied."""
    n_channels, n_bins, _ = blocks[0].shape
    joined = np.empty((n_channels, n_frames, n_bins), blocks[0].dtype)
    position = 0
    while blocks:
        block = blocks.pop(0)
        joined[:, position : position + block.shape[-1]] = np.swapaxes(block, 1, 2)
        position += block.shape[-1]
    return np.swapaxes(joined, 1, 2)
