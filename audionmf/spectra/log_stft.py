"""A front end whose low bins are narrow and close, and whose high bins hear faster: log frequency.

The STFT gives every bin the same width. Here the width of a bin is a constant share of its
frequency (constant Q) between two bounds: it never falls below what a window of `n_fft` samples
resolves, nor rises above one over the hop. Each bin is the signal through a band-pass filter, read
every `hop_length` samples: bins and frames stand where those of an STFT would, and what is built on
frames of an STFT, templates, masks and rendering block by block, works on these too.

A filter is cos⁴ around its centre in frequency and 0 beyond its width, which is no more than one over
the hop, so that nothing folds (the painless case). The filters that invert the transform are then
these, divided by the sum of all squared (the canonical dual frame), and the inverse is exact. In time
a filter is endless, but it falls with the fifth power, and is cut off where it is below a millionth.

At its ends the signal is taken to go on as its mirror image, so that the frames within it say all
there is; the two outer frames are their own mirror images, and have half the size.

References
----------
Schörkhuber and Klapuri, "Constant-Q transform toolbox for music processing", SMC 2010. Velasco,
Holighaus, Dörfler and Grill, "Constructing an invertible constant-Q transform with nonstationary
Gabor frames", DAFx 2011. Schörkhuber, Klapuri, Holighaus and Dörfler, "A Matlab toolbox for
efficient perfect reconstruction time-frequency transforms with log-frequency resolution", AES 2014
(the bounds of the width).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from audionmf.errors import ParameterError
from audionmf.spectra.stft import STFT, Inverse, Samples, Transform

__all__ = ["LogSTFT", "front_end"]

_LOBES = 6
"""A filter of width B has its main lobe within 6 / B samples."""

_SHARE = 0.15
"""Width of a filter, from zero to zero, as a share of its frequency."""

_BINS_A_WIDTH = 5
_SPAN = 4
"""Windows after which a filter is cut off: below a millionth there."""

_FRAMES_AT_ONCE = 64


def front_end(name: str, n_fft: int, hop_length: int, window: str = "hann") -> STFT:
    """Return the transform of a name.

    Parameters
    ----------
    name : {"stft", "log"}
        Which one.
    n_fft, hop_length, window
        As in `STFT` and `LogSTFT`.

    Raises
    ------
    ParameterError
        If there is none of that name, or its parameters do not fit each other.
    """
    kinds: dict[str, type[STFT]] = {kind.front_end: kind for kind in (STFT, LogSTFT)}
    if name not in kinds:
        raise ParameterError(f"a front end is 'stft' or 'log', not {name!r}")
    return kinds[name](n_fft, hop_length, window)


@dataclass(frozen=True)
class LogSTFT(STFT):
    """A transform like an STFT, with bins on a logarithmic axis where they are between two bounds.

    Parameters
    ----------
    n_fft : int
        The longest filters, those at the bottom, have their main lobe within so many samples; 8
        hops or more, and a whole number of hops.
    hop_length : int
        Samples between frames; no filter is wider than one over it.
    window : str, default "hann"
        Of filters in frequency: the square of this one. There is no other.

    Raises
    ------
    ParameterError
        If window and hop do not fit each other.
    """

    front_end: ClassVar[str] = "log"
    skips_frames: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.window != "hann":
            raise ParameterError(
                f"the log front end has filters of its own: leave out the window {self.window!r}"
            )
        if self.hop_length < 1 or self.n_fft < 8 * self.hop_length or self.n_fft % self.hop_length:
            raise ParameterError(
                f"the log front end needs an n_fft that is a whole number of hops, 8 or more: "
                f"{self.n_fft} and {self.hop_length} are not; leave out one of them"
            )

    @property
    def n_bins(self) -> int:
        """Number of frequency bins, from 0 Hz to half the sample rate or just above."""
        return len(self.places)

    @property
    def places(self) -> NDArray[np.float64]:
        """Centre of each bin, shape (n_bins,), in units of the sample rate over `n_fft`."""
        return _bins(self.n_fft, self.hop_length)[0]

    @property
    def borders(self) -> NDArray[np.float64]:
        """Borders between bins, shape (n_bins + 1,), in the unit of `places`."""
        middle = (self.places[1:] + self.places[:-1]) / 2
        return np.concatenate([[0.0], middle, [2 * self.places[-1] - middle[-1]]])

    @property
    def span(self) -> int:
        """Samples that a frame reaches over."""
        return _SPAN * self.n_fft

    def rows(self, places: NDArray[Any]) -> NDArray[np.int64]:
        """Return the first bins that are not below some places, in the unit of `places`."""
        return np.searchsorted(self.places, places)

    def bins_at(self, places: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the bins of some places, between two bins where they lie there."""
        return np.interp(places, self.places, np.arange(self.n_bins))

    def on_line(self, spectra: NDArray[Any]) -> NDArray[Any]:
        """Return spectra (n_bins, n) on the evenly spaced bins that an FFT of `n_fft` has."""
        line = np.arange(self.n_fft // 2 + 1)
        read = [np.interp(line, self.places, column) for column in spectra.T]
        return np.array(read, spectra.dtype).reshape(len(read), len(line)).T

    def forward_later(
        self, blocks: Iterable[Samples], block_frames: int, n_threads: int = 1, step: int = 1
    ) -> Iterator[Callable[[], Transform]]:
        """Yield what transforms each block, as `STFT.forward_later`, every frame of it."""
        if step != 1:  # its filters are applied to many frames at once
            raise ValueError("frames of the log front end cannot be left out")
        half, hop = self.span // 2, self.hop_length
        pending: Samples | None = None
        n_samples = n_done = 0
        for block in blocks:
            n_samples += block.shape[1]
            pending = block if pending is None else np.concatenate([pending, block], axis=1)
            if n_samples <= half:
                continue
            if n_samples - block.shape[1] <= half:  # the mirror image of the start is there now
                pending = np.concatenate([pending[:, half:0:-1], pending], axis=1)
            while pending.shape[1] >= (block_frames - 1) * hop + self.span:
                first = n_done == 0
                yield partial(self._several, pending, block_frames, first, False, n_threads)
                n_done += block_frames
                pending = pending[:, block_frames * hop :]
        if pending is None:
            return
        grid = (self.n_frames(n_samples) - 1) * hop
        before = half if n_samples <= half else 0
        pending = np.pad(pending, ((0, 0), (0, grid + 1 - n_samples)))
        pending = np.pad(pending, ((0, 0), (before, half)), mode="reflect")
        remaining = self.n_frames(n_samples) - n_done
        for start in range(0, remaining, block_frames):
            count = min(block_frames, remaining - start)
            last = start + count == remaining
            piece = pending[:, start * hop :]
            yield partial(self._several, piece, count, n_done + start == 0, last, n_threads)

    def forward_between(self, samples: Samples, first: int, last: int) -> Transform:
        """Return frames of a signal, as `STFT.forward_between`."""
        n_frames, half = self.n_frames(samples.shape[1]), self.span // 2
        grid = (n_frames - 1) * self.hop_length
        begin, end = first * self.hop_length - half, (last - 1) * self.hop_length + half
        where = _mirrored(np.arange(begin, end), grid)
        piece = np.where(
            where < samples.shape[1], samples[:, np.minimum(where, samples.shape[1] - 1)], 0
        ).astype(np.float32)
        return self._several(piece, last - first, first == 0, last == n_frames, 1)

    def synthesise(
        self, transform: Transform, n_threads: int = 1, mask: NDArray[np.float32] | None = None
    ) -> Samples:
        """Return what some frames add to the signal.

        Parameters
        ----------
        transform : ndarray, shape (..., n_bins, n_frames), complex64
            Consecutive frames.
        n_threads : int, default 1
            Threads for the FFT.
        mask : ndarray, shape (n_bins, n_frames), float32, optional
            Factors of the bins, in all channels; default: 1.

        Returns
        -------
        ndarray, shape (..., (n_frames - 1) * hop_length + span), float32
            Starts half a span before the centre of the first frame. `inverse_stream` joins them.
        """
        transform = transform if mask is None else transform * mask
        n_frames = transform.shape[-1]
        flat = transform.reshape(-1, *transform.shape[-2:])
        total = np.zeros((len(flat), (n_frames - 1) * self.hop_length + self.span), np.float32)
        for first in range(0, n_frames, _FRAMES_AT_ONCE):
            part = flat[..., first : first + _FRAMES_AT_ONCE]
            bank = _bank(self.n_fft, self.hop_length, self._blocks_for(part.shape[-1]))
            start = first * self.hop_length
            length = (part.shape[-1] - 1) * self.hop_length + self.span
            for row, X in zip(total, part, strict=True):
                row[start : start + length] += bank.inverse(X, self.span // 2, n_threads)[:length]
        return total.reshape(*transform.shape[:-2], total.shape[-1])

    def inverse_stream(self, n_samples: int) -> Inverse:
        """Return what joins the outputs of `synthesise` for a signal of `n_samples`."""
        return _MirroredStream(self, n_samples)

    def inverse_between(
        self, synthesised: Samples, first: int, start: int, stop: int, n_samples: int
    ) -> Samples:
        """Return some samples of a signal, as `STFT.inverse_between`."""
        grid = (self.n_frames(n_samples) - 1) * self.hop_length
        begin = first * self.hop_length - self.span // 2
        whole = _folded(synthesised, begin, grid)
        return whole[..., start - max(0, begin) : stop - max(0, begin)]

    def consistent(self, transform: Transform, inside: tuple[int, int]) -> Transform:
        """Refuse: phases are made consistent in an STFT only."""
        raise ParameterError("phases are made consistent with the front end 'stft' only")

    def _blocks_for(self, n_frames: int) -> int:
        """Return the hops of an FFT over some frames and all that they reach."""
        needed = n_frames - 1 + self.span // self.hop_length
        import scipy.fft

        half: int = scipy.fft.next_fast_len(-(-needed // 2))
        return 2 * half

    def _several(
        self, samples: Samples, count: int, first: bool, last: bool, n_threads: int
    ) -> Transform:
        """Return `count` frames, the first in the middle of the first span of samples."""
        found = np.empty((len(samples), count, self.n_bins), np.complex64)
        for start in range(0, count, _FRAMES_AT_ONCE):
            n = min(_FRAMES_AT_ONCE, count - start)
            bank = _bank(self.n_fft, self.hop_length, self._blocks_for(n))
            begin = start * self.hop_length
            piece = samples[:, begin : begin + (n - 1) * self.hop_length + self.span]
            for row, channel in zip(found, piece, strict=True):
                row[start : start + n] = bank.forward(channel, self.span // 2, n, n_threads)
        if first:
            found[:, 0] *= np.float32(0.5)
        if last:
            found[:, -1] *= np.float32(0.5)
        return np.swapaxes(found, -1, -2)


class _MirroredStream:
    """Joins what runs of frames add, and folds what lies beyond the ends of the signal back."""

    def __init__(self, stft: LogSTFT, n_samples: int) -> None:
        self._stft, self._n_samples = stft, n_samples
        self._n_frames = stft.n_frames(n_samples)
        self._frame, self._begin = 0, -(stft.span // 2)
        self._held: Samples | None = None

    def push(self, synthesised: Samples) -> Samples:
        """Add a run of frames; return the samples that no later frame touches."""
        stft = self._stft
        overlap = stft.span - stft.hop_length
        self._frame += (synthesised.shape[-1] - overlap) // stft.hop_length
        if self._held is None:
            held = synthesised.copy()
        else:
            more = synthesised.shape[-1] - overlap
            held = np.concatenate(
                [self._held, np.zeros((*synthesised.shape[:-1], more), np.float32)], -1
            )
            held[..., held.shape[-1] - synthesised.shape[-1] :] += synthesised
        ready = self._frame * stft.hop_length - stft.span // 2
        if self._frame >= self._n_frames:
            whole = _folded(held, self._begin, (self._n_frames - 1) * stft.hop_length)
            return whole[..., : self._n_samples - max(0, self._begin)]
        if ready <= 0:
            self._held = held
            return held[..., :0]
        if self._begin < 0:
            held = _folded_start(held, -self._begin)
            self._begin = 0
        n_ready = min(ready, self._n_samples) - self._begin
        self._held, self._begin = held[..., n_ready:].copy(), self._begin + n_ready
        return held[..., :n_ready]


def _mirrored(places: NDArray[np.int64], last: int) -> NDArray[np.int64]:
    """Return where places beyond 0 and `last` lie in a signal that goes on as its mirror image."""
    found: NDArray[np.int64] = np.abs((places + last) % (2 * last) - last)
    return found


def _folded_start(values: Samples, before: int) -> Samples:
    """Fold the `before` values before sample 0 onto those after it."""
    whole = values[..., before:].copy()
    whole[..., 1 : before + 1] += values[..., before - 1 :: -1] if before else 0
    whole[..., 0] *= 2
    return whole


def _folded(values: Samples, begin: int, last: int) -> Samples:
    """Return samples max(0, begin) to `last` of values that start at `begin`, folded at both ends."""
    first, stop = max(0, begin), begin + values.shape[-1]
    whole = np.zeros((*values.shape[:-1], min(stop, last + 1) - first), np.float32)
    outside = [np.arange(begin, first), np.arange(min(stop, last + 1), stop)]
    whole += values[..., first - begin : first - begin + whole.shape[-1]]
    for places in outside:
        where = _mirrored(places, last) - first
        kept = (where >= 0) & (where < whole.shape[-1])
        np.add.at(whole.T, where[kept], values.T[(places - begin)[kept]])
    if begin <= 0:
        whole[..., 0] *= 2
    if stop > last:
        whole[..., -1] *= 2
    return whole


@functools.lru_cache(maxsize=8)
def _bins(n_fft: int, hop_length: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return centre and width of each bin, in units of the sample rate over `n_fft`."""
    least, most = float(_LOBES), n_fft / hop_length
    places, widths = [0.0], [least]
    while places[-1] < n_fft / 2:
        places.append(places[-1] + widths[-1] / _BINS_A_WIDTH)
        widths.append(min(max(_SHARE * places[-1], least), most))
    found = np.array(places), np.array(widths)
    for each in found:
        each.flags.writeable = False
    return found


@dataclass(frozen=True, eq=False)
class _Bank:
    """The filters on an FFT of `n_hops` hops.

    Row k of `index` and `weight`, (n_bins, n_hops), says which bins of the FFT fold onto each of
    n_hops frequencies below one over the hop, and how the filter weighs them; `dual` likewise.
    """

    size: int
    index: NDArray[np.int64]
    mirrored: NDArray[np.bool_]
    weight: NDArray[np.float32]
    dual: NDArray[np.float32]

    def forward(self, samples: Samples, lead: int, count: int, n_threads: int) -> Transform:
        """Return (count, n_bins): the first frame is centred on sample `lead`."""
        import scipy.fft

        X = scipy.fft.rfft(samples, self.size, workers=n_threads)
        rows = X[self.index]
        np.conjugate(rows, out=rows, where=self.mirrored)
        rows *= self.weight
        frames = scipy.fft.ifft(rows, axis=1, workers=n_threads, overwrite_x=True)
        first = lead // (self.size // self.weight.shape[1])
        found: Transform = frames[:, first : first + count].T.astype(np.complex64)
        return found

    def inverse(self, frames: Transform, lead: int, n_threads: int) -> Samples:
        """Return what frames (n_bins, n) add to a signal, the first centred on sample `lead`."""
        import scipy.fft

        first = lead // (self.size // self.weight.shape[1])
        placed = np.zeros(self.weight.shape, np.complex64)
        placed[:, first : first + frames.shape[1]] = frames
        rows = scipy.fft.fft(placed, axis=1, workers=n_threads, overwrite_x=True)
        np.conjugate(rows, out=rows, where=self.mirrored)
        rows *= self.dual
        where, n = self.index.ravel(), self.size // 2 + 1
        X = np.bincount(where, rows.real.ravel(), n) + 1j * np.bincount(where, rows.imag.ravel(), n)
        found: Samples = scipy.fft.irfft(X.astype(np.complex64), self.size, workers=n_threads)
        return found


@functools.lru_cache(maxsize=4)
def _bank(n_fft: int, hop_length: int, n_hops: int) -> _Bank:
    places, widths = _bins(n_fft, hop_length)
    size = n_hops * hop_length
    scale = size / n_fft
    lowest = np.round(places * scale).astype(np.int64)[:, None] - n_hops // 2
    index = lowest + (np.arange(n_hops) - lowest) % n_hops
    apart = np.abs(index / scale - places[:, None]) / widths[:, None]
    weight = np.where(apart < 0.5, np.cos(np.pi * np.minimum(apart, 0.5)) ** 4, 0)
    # Below 0 and above half the rate is the mirror image: there, too, filters have their whole form.
    mirrored = (index < 0) | (index > size // 2)
    held = np.abs(index)
    held = np.clip(np.where(held > size // 2, size - held, held), 0, size // 2)
    squares = np.bincount(held.ravel(), (weight**2).ravel(), size // 2 + 1)
    dual = weight / squares[held]
    return _Bank(size, held, mirrored, weight.astype(np.float32), dual.astype(np.float32))
