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
from audionmf.spectra.in_order import in_order
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
        Threads; what is kept does not depend on them.
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
    every_th = thinned // apart
    room, shape = min(-(-n_frames // thinned), max_frames), (source.n_channels, stft.n_bins)
    V = _Kept(room, max_frames, every_th, np.empty((1, room, shape[1]), np.float32))
    kept = V
    if keep_transform:
        rows = np.empty((shape[0], room, shape[1]), np.complex64)
        kept = _Kept(room, max_frames, every_th, rows)
    around = _Kept(room, max_frames, every_th)
    every = _Kept(n_frames, None) if bands and thinned > 1 else None
    size = max(1, max(BLOCK_FRAMES, stft.least_frames) // apart)  # of as many samples as ever

    def found(numbered: tuple[int, Callable[[], Transform]]) -> tuple[Any, Any, int]:
        """Return X and magnitudes of a block, or None of what is put where it stays; their number."""
        number, later = numbered
        X = later()
        pooled = pooled_magnitude(X)[None]
        there = V.put(number * size, pooled) and (kept is V or kept.put(number * size, X))
        return None if there else X, None if there and not neighbours else pooled, X.shape[-1]

    def pooled_blocks() -> Iterator[NDArray[np.float32]]:
        later = enumerate(stft.forward_later(counter.blocks(), size, n_threads, apart))
        blocks = map(found, later) if n_threads == 1 else in_order(found, later, n_threads)
        for X, pooled, n in blocks:
            V.add(pooled if X is not None else None, n)
            if kept is not V:
                kept.add(X, n)
            progress(min(1.0, counter.n_samples / source.n_samples))
            yield pooled

    if not neighbours:
        for _ in pooled_blocks():
            pass
    else:
        n_seen = 0
        for wide, before, after in with_margins(pooled_blocks(), REACH):
            n = wide.shape[-1] - before - after
            context = neighbours.of_frames(wide[0], before, after)
            if every and bands and n_seen <= _MOST_EVERY:
                own = bands.pool(wide[0][:, before : before + n])
                every.add(neighbours.stacked(own, context)[None], n)
            around.add(context[None], n)
            n_seen += n
            if n_seen > _MOST_EVERY:
                every = None
    stacked = every.whole()[0] if every and every.n_frames else None
    return Frames(
        V.whole()[0], kept.whole() if keep_transform else None, V.step * apart, counter.n_samples,
        around.whole()[0] if neighbours else None, stacked,
    ), counter  # fmt: skip


class _Kept:
    """Every so manyth of frames that come in blocks, put where they stay: bins are neighbours there.

    Parameters
    ----------
    expected : int
        How many there will be at most, if all goes well; for more there is room, too.
    most : int or None
        How many may be kept; where there are more, every second of them is let go. None: all.
    step : int, default 1
        The first of so many frames is kept.
    rows : ndarray, shape (n_channels, expected, n_bins), optional
        Where they go. Default: made when the first of them come.
    """

    def __init__(
        self, expected: int, most: int | None, step: int = 1, rows: NDArray[Any] | None = None
    ) -> None:
        self._expected, self._most, self.step, self._asked = expected, most, step, step
        self._n_seen = self.n_frames = 0
        self._rows: NDArray[Any] = np.empty((0, 0, 0), np.float32) if rows is None else rows

    def put(self, first: int, block: NDArray[Any]) -> bool:
        """Put a block to where it will stay, in any thread; tell whether there is such a place.

        Parameters
        ----------
        first : int
            Frames before it.
        block : ndarray, shape (n_channels, n_bins, n)
            As for `add`, which has to be told of it in its turn.
        """
        chosen = block[..., -first % self._asked :: self._asked]
        place = -(-first // self._asked)
        if place + chosen.shape[-1] > self._expected:
            return False
        self._rows[:, place : place + chosen.shape[-1]] = np.swapaxes(chosen, 1, 2)
        return True

    def add(self, block: NDArray[Any] | None, n: int) -> None:
        """Add a block of n frames, (n_channels, n_bins, n); None: it was put there before."""
        first = -self._n_seen % self.step
        self._n_seen += n
        last = self.n_frames + len(range(first, n, self.step))
        if block is not None:
            self._add(block[..., first :: self.step], last)
        self.n_frames = last
        while self._most is not None and self.n_frames > self._most:
            self.halve()
            self.step *= 2

    def _add(self, block: NDArray[Any], last: int) -> None:
        n_channels, n_bins, _ = block.shape
        if last > self._rows.shape[1]:
            wanted = max(self._expected, last + last // 2 if self.n_frames else last)
            rows = np.empty((n_channels, wanted, n_bins), block.dtype)
            if self.n_frames:
                rows[:, : self.n_frames] = self._rows[:, : self.n_frames]
            self._rows = rows
        self._rows[:, self.n_frames : last] = np.swapaxes(block, 1, 2)

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
