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
    counter, n_frames = Counter(source), stft.n_frames(source.n_samples)
    kept, around = (_Kept(min(-(-n_frames // thinned), max_frames)) for _ in range(2))
    every = _Kept(n_frames) if bands and thinned > 1 else None
    step, n_seen = thinned // apart, 0
    size = max(1, max(BLOCK_FRAMES, stft.least_frames) // apart)  # of as many samples as ever
    blocks = stft.forward_blocks(counter.blocks(), size, n_threads, apart)
    for wide, before, after in with_margins(blocks, REACH if neighbours else 0):
        X = wide[..., before : wide.shape[-1] - after]
        first = -n_seen % step
        chosen = X[..., first::step]
        kept.add(chosen if keep_transform else pooled_magnitude(chosen)[None])
        if neighbours:
            pooled = pooled_magnitude(wide)
            context = neighbours.of_frames(pooled, before, after)
            if bands and every and n_seen <= _MOST_EVERY:
                own = bands.pool(pooled[:, before : wide.shape[-1] - after])
                every.add(neighbours.stacked(own, context)[None])
            around.add(context[None, :, first::step])
        n_seen += X.shape[-1]
        if n_seen > _MOST_EVERY:
            every = None
        progress(min(1.0, counter.n_samples / source.n_samples))
        while kept.n_frames > max_frames:
            kept.halve()
            around.halve()
            step *= 2
    step *= apart
    joined = kept.whole()
    found = around.whole()[0] if neighbours else None
    V = pooled_magnitude(joined) if keep_transform else joined[0]
    stacked = every.whole()[0] if every and every.n_frames else None
    kept_X = joined if keep_transform else None
    return Frames(V, kept_X, step, counter.n_samples, found, stacked), counter


class _Kept:
    """Frames that come one after the other, put where they stay: bins are neighbours there.

    Parameters
    ----------
    expected : int
        How many there will be at most, if all goes well; for more there is room, too.
    """

    def __init__(self, expected: int) -> None:
        self._expected, self.n_frames = expected, 0
        self._rows: NDArray[Any] = np.empty((0, 0, 0), np.float32)

    def add(self, block: NDArray[Any]) -> None:
        """Add some frames, (n_channels, n_bins, n)."""
        n_channels, n_bins, n = block.shape
        last = self.n_frames + n
        if last > self._rows.shape[1]:
            wanted = max(self._expected, last + last // 2 if self.n_frames else last)
            rows = np.empty((n_channels, wanted, n_bins), block.dtype)
            if self.n_frames:
                rows[:, : self.n_frames] = self._rows[:, : self.n_frames]
            self._rows = rows
        self._rows[:, self.n_frames : last] = np.swapaxes(block, 1, 2)
        self.n_frames = last

    def halve(self) -> None:
        """Keep every second frame."""
        if not self.n_frames:
            return
        n_kept = -(-self.n_frames // 2)
        for first in range(0, n_kept, BLOCK_FRAMES):
            last = min(first + BLOCK_FRAMES, n_kept)
            self._rows[:, first:last] = self._rows[:, 2 * first : 2 * last : 2]
        self.n_frames = n_kept

    def whole(self) -> NDArray[Any]:
        """Return all of them, (n_channels, n_bins, n_frames)."""
        return np.swapaxes(self._rows[:, : self.n_frames], 1, 2)


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
