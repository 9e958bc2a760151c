"""The short-time Fourier transform: forward, exact inverse, and both of them block by block.

Conventions, those of librosa with ``center=True``: frame ``t`` is centred on sample
``t * hop_length``, the signal is taken as zero outside, nothing is normalised. The last frame is
centred on the last sample or after it, so that every sample lies between two frame centres:
``n_frames = 1 + ceil(n_samples / hop_length)``.

The inverse is the least-squares one of Griffin and Lim (1984): windowed overlap-add, divided by the
sum of the squared windows. It gives back a signal from its own transform for any length.

Arrays are float32 and complex64. A transform of shape ``(n_channels, n_bins, n_frames)`` lies in
memory frame by frame: all bins of a frame are neighbours.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from audionmf.errors import ParameterError
from audionmf.spectra.fourier import irfft, rfft, wide_transform

__all__ = ["STFT", "Inverse", "InverseStream"]

Samples = NDArray[np.float32]
Transform = NDArray[np.complex64]

_MIN_RECONSTRUCTION = 1e-3

_CACHED = 1 << 16
"""Samples of frames that stay in the cache from the window to the transform."""


@dataclass(frozen=True)
class STFT:
    """A short-time Fourier transform that can be inverted.

    Parameters
    ----------
    n_fft : int
        Window length and FFT size in samples, 2 or more.
    hop_length : int
        Samples between frames, 1 to `n_fft`.
    window : str, default "hann"
        Name of a window of `scipy.signal.get_window`, in its periodic form.

    Raises
    ------
    ParameterError
        If the window is unknown, or window and hop leave samples that cannot be reconstructed: the
        sum of squared windows falls below a thousandth of its largest value.

    References
    ----------
    Griffin and Lim, "Signal estimation from modified short-time Fourier transform", IEEE
    Transactions on Acoustics, Speech, and Signal Processing 32(2), 1984.
    """

    n_fft: int
    hop_length: int
    window: str = "hann"
    front_end: ClassVar[str] = "stft"

    least_frames: ClassVar[int] = 1
    """Frames that should at least be transformed at a time."""

    skips_frames: ClassVar[bool] = True
    """Whether frames that nobody wants can be left out by `forward_blocks`."""

    def __post_init__(self) -> None:
        if self.n_fft < 2:
            raise ParameterError(f"n_fft must be 2 or more, not {self.n_fft}")
        if not 1 <= self.hop_length <= self.n_fft:
            raise ParameterError(
                f"hop_length must be from 1 to n_fft ({self.n_fft}), not {self.hop_length}"
            )
        squares = np.zeros(-(-self.n_fft // self.hop_length) * self.hop_length)
        squares[: self.n_fft] = self._window() ** 2
        covered = squares.reshape(-1, self.hop_length).sum(axis=0)
        if not covered.min() > _MIN_RECONSTRUCTION * covered.max():
            raise ParameterError(
                f"a {self.window} window of {self.n_fft} samples with a hop of {self.hop_length} "
                "cannot be inverted: some samples fall where every window is near zero; "
                f"take a hop of {max(1, self.n_fft // 4)} or less"
            )

    @property
    def n_bins(self) -> int:
        """Number of frequency bins, from 0 Hz to half the sample rate."""
        return self.n_fft // 2 + 1

    @property
    def places(self) -> NDArray[np.float64]:
        """Centre of each bin, shape (n_bins,), in units of the sample rate over `n_fft`."""
        return np.arange(self.n_bins, dtype=np.float64)

    @property
    def borders(self) -> NDArray[np.float64]:
        """Borders between bins, shape (n_bins + 1,), in the unit of `places`."""
        borders: NDArray[np.float64] = np.maximum(np.arange(self.n_bins + 1) - 0.5, 0.0)
        return borders

    @property
    def span(self) -> int:
        """Samples that a frame reaches over."""
        return self.n_fft

    def rows(self, places: NDArray[Any]) -> NDArray[np.int64]:
        """Return the first bins that are not below some places, in the unit of `places`."""
        rows: NDArray[np.int64] = np.ceil(places).astype(np.int64)
        return rows

    def bins_at(self, places: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the bins of some places, between two bins where they lie there."""
        return places

    def on_line(self, spectra: NDArray[Any]) -> NDArray[Any]:
        """Return spectra (n_bins, n) on the evenly spaced bins that an FFT of `n_fft` has."""
        return spectra

    def n_frames(self, n_samples: int) -> int:
        """Return the number of frames of a signal of `n_samples`."""
        return 1 + -(-n_samples // self.hop_length)

    def frequencies(self, sample_rate: float) -> NDArray[np.float64]:
        """Return the centre of each bin in Hz, shape (n_bins,)."""
        return self.places * (sample_rate / self.n_fft)

    def times(self, n_frames: int, sample_rate: float) -> NDArray[np.float64]:
        """Return the centre of each frame in seconds, shape (n_frames,)."""
        return np.arange(n_frames, dtype=np.float64) * (self.hop_length / sample_rate)

    def forward(self, samples: Samples, n_threads: int = 1) -> Transform:
        """Transform a signal.

        Parameters
        ----------
        samples : ndarray, shape (n_channels, n_samples), float32
            The signal, at least one sample.
        n_threads : int, default 1
            Threads for the FFT, where it is SciPy's.

        Returns
        -------
        ndarray, shape (n_channels, n_bins, n_frames), complex64
            Contiguous along the bins.
        """
        (whole,) = self.forward_blocks([samples], 1 << 30, n_threads)
        return whole

    def inverse(self, transform: Transform, n_samples: int, n_threads: int = 1) -> Samples:
        """Invert a transform of a signal of `n_samples`, exactly if it was not changed.

        Parameters
        ----------
        transform : ndarray, shape (..., n_bins, n_frames), complex64
            As `forward` gives it for a signal of `n_samples`.
        n_samples : int
            Samples to give back.
        n_threads : int, default 1
            Threads for the FFT, where it is SciPy's.

        Returns
        -------
        ndarray, shape (..., n_samples), float32
            The signal.
        """
        return self.inverse_stream(n_samples).push(self.synthesise(transform, n_threads))

    def forward_blocks(
        self, blocks: Iterable[Samples], block_frames: int, n_threads: int = 1, step: int = 1
    ) -> Iterator[Transform]:
        """Transform a signal that comes in blocks; together the results are `forward` of the whole.

        Parameters
        ----------
        blocks : iterable of ndarray, shape (n_channels, any length), float32
            The signal in order.
        block_frames : int
            Frames in each result but the last.
        n_threads : int, default 1
            Threads for the FFT, where it is SciPy's.
        step : int, default 1
            Transform only the first of so many frames, ≥ 1; others than 1 only where `skips_frames`.

        Yields
        ------
        ndarray, shape (n_channels, n_bins, ≤ block_frames), complex64
            The frames in order.
        """
        for later in self.forward_later(blocks, block_frames, n_threads, step):
            yield later()

    def forward_later(
        self, blocks: Iterable[Samples], block_frames: int, n_threads: int = 1, step: int = 1
    ) -> Iterator[Callable[[], Transform]]:
        """Do as `forward_blocks`; yield what transforms a block when it is called, in any thread."""
        window, hop = self._window(), self.hop_length * step
        pending: Samples | None = None
        n_samples = n_done = 0
        for block in blocks:
            n_samples += block.shape[1]
            lead = np.zeros((block.shape[0], self.n_fft // 2), np.float32)
            pending = np.concatenate([lead if pending is None else pending, block], axis=1)
            while pending.shape[1] >= block_frames * hop + max(0, self.n_fft - hop):
                yield partial(self._frames, pending, block_frames, window, n_threads, step)
                n_done += block_frames
                pending = pending[:, block_frames * hop :]
        if pending is None:
            return
        remaining = -(-self.n_frames(n_samples) // step) - n_done
        missing = (remaining - 1) * hop + self.n_fft - pending.shape[1]
        pending = np.pad(pending, ((0, 0), (0, max(0, missing))))
        for start in range(0, remaining, block_frames):
            count = min(block_frames, remaining - start)
            yield partial(self._frames, pending[:, start * hop :], count, window, n_threads, step)

    def synthesise(
        self, transform: Transform, n_threads: int = 1, mask: NDArray[np.float32] | None = None
    ) -> Samples:
        """Return the windowed overlap-add of some frames, not yet divided by the window sum.

        Parameters
        ----------
        transform : ndarray, shape (..., n_bins, n_frames), complex64
            Consecutive frames.
        n_threads : int, default 1
            Threads for the FFT, where it is SciPy's.
        mask : ndarray, shape (n_bins, n_frames), float32, optional
            Factors of the bins, in all channels; default: 1.

        Returns
        -------
        ndarray, shape (..., (n_frames - 1) * hop_length + n_fft), float32
            Starts half a window before the centre of the first frame. `InverseStream` joins them.
        """
        spectra = np.swapaxes(transform, -1, -2)
        others, (n_frames, n_bins) = spectra.shape[:-2], spectra.shape[-2:]
        dtype = spectra.real.dtype
        total = np.zeros((*others, (n_frames - 1) * self.hop_length + self.n_fft), dtype)
        at_a_time = self._at_a_time(n_frames) * n_threads
        wide = wide_transform(self.n_fft, dtype)
        if mask is not None and wide is None:
            return self.synthesise(transform * mask, n_threads)
        factors = None if mask is None else mask.T
        frames = np.empty((at_a_time if wide is None else 0, self.n_fft), dtype)
        for rows, samples in zip(
            spectra.reshape(-1, n_frames, n_bins), total.reshape(-1, total.shape[-1]), strict=True
        ):
            if wide is not None:
                wide.add_inverse(rows, self._window(), samples, self.hop_length, factors)
                continue
            # The last ones first: so a sample is the sum of its frames in one order everywhere.
            for first in reversed(range(0, n_frames, at_a_time)):
                some = rows[first : first + at_a_time]
                given = irfft(some, self.n_fft, n_threads, out=frames[: len(some)])
                given *= self._window()
                _overlap_add(given, self.hop_length, samples[first * self.hop_length :])
        return total

    def inverse_stream(self, n_samples: int) -> Inverse:
        """Return what joins the outputs of `synthesise` for a signal of `n_samples`."""
        return InverseStream(self, n_samples)

    def forward_between(self, samples: Samples, first: int, last: int) -> Transform:
        """Return the frames of a signal from `first` to before `last`.

        Parameters
        ----------
        samples : ndarray, shape (n_channels, n_samples), float32
            The whole signal; what the frames reach is read.
        first, last : int
            Frames, 0 to `n_frames`.
        """
        margin = -(-self.n_fft // (2 * self.hop_length))
        begin, end = (first - margin) * self.hop_length, (last + margin) * self.hop_length
        piece = samples[:, max(0, begin) : max(0, end)]
        before, after = max(0, -begin), max(0, end - samples.shape[1])
        padded = np.pad(piece, ((0, 0), (before, after)))
        return self.forward(padded)[..., margin : margin + last - first]

    def inverse_between(
        self, synthesised: Samples, first: int, start: int, stop: int, n_samples: int
    ) -> Samples:
        """Return some samples of a signal from the frames that reach them.

        Parameters
        ----------
        synthesised : ndarray, shape (..., n), float32
            As `synthesise` gives it, for consecutive frames; its numbers are changed.
        first : int
            The first of them.
        start, stop : int
            The first sample, and the one after the last.
        n_samples : int
            Length of the signal.
        """
        origin = first * self.hop_length
        n_frames = (synthesised.shape[-1] - self.n_fft) // self.hop_length + 1
        n_reached = min(n_samples - origin, (n_frames - 1) * self.hop_length)
        whole = InverseStream(self, n_reached).push(synthesised)
        return whole[..., start - origin : stop - origin]

    def consistent(self, transform: Transform, inside: tuple[int, int]) -> Transform:
        """Return the transform of the signal that some frames give when they are inverted.

        Parameters
        ----------
        transform : ndarray, shape (..., n_bins, n_frames), complex64
            Consecutive frames, of no signal's transform maybe.
        inside : (int, int)
            The samples, counted from the start of the first frame, that lie in the recording; it is
            zero outside.

        Returns
        -------
        ndarray, shape of `transform`
            Nearest to it, in the sense of least squares, among the transforms of signals. As many
            frames at each end as overlap with frames that are not there are not.
        """
        n_bins, n_frames = transform.shape[-2:]
        weight, (start, stop) = self._overlap_sum(n_frames), inside
        weight[weight <= _MIN_RECONSTRUCTION * weight.max()] = (
            np.inf
        )  # the ends of the outer frames
        samples = self.synthesise(transform) / weight
        samples[..., : max(0, start)] = 0
        samples[..., stop:] = 0
        flat = samples.reshape(-1, samples.shape[-1])
        found = self._frames(flat, n_frames, self._window(), 1)
        return found.reshape(*transform.shape[:-2], n_bins, n_frames)

    def _frames(
        self, samples: Samples, count: int, window: Samples, n_threads: int, step: int = 1
    ) -> Transform:
        hop, n_channels = self.hop_length * step, len(samples)
        views = np.lib.stride_tricks.sliding_window_view(samples, self.n_fft, axis=-1)
        views = views[:, : (count - 1) * hop + 1 : hop]
        transform: Transform = np.empty(
            (n_channels, count, self.n_bins), np.result_type(samples, np.complex64)
        )
        at_a_time = self._at_a_time(count) * n_threads
        wide = wide_transform(self.n_fft, samples.dtype)
        framed = np.empty((at_a_time if wide is None else 0, self.n_fft), samples.dtype)
        for of_channel, found in zip(views, transform, strict=True):
            if wide is not None:
                wide.forward(of_channel, window, found)
                continue
            for first in range(0, count, at_a_time):
                some = of_channel[first : first + at_a_time]
                np.multiply(some, window, out=framed[: len(some)])
                rfft(framed[: len(some)], n_threads, out=found[first : first + len(some)])
        return np.swapaxes(transform, -1, -2)

    def _at_a_time(self, n_frames: int) -> int:
        """Return of how many frames the samples stay in the cache while they are transformed."""
        return max(1, min(n_frames, _CACHED // self.n_fft))

    def _window(self) -> Samples:
        return _window(self.window, self.n_fft)

    def _overlap_sum(self, n_frames: int) -> Samples:
        squares = np.broadcast_to(self._window() ** 2, (n_frames, self.n_fft))
        return _overlap_add(squares, self.hop_length)


class Inverse(Protocol):
    """Joins what `STFT.synthesise` gives for consecutive runs of frames into a signal."""

    def push(self, synthesised: Samples) -> Samples:
        """Add a run of frames, (..., n), which it may change; return the samples that are ready.

        No later frame touches these.
        """


class InverseStream:
    """Joins the output of `STFT.synthesise` for consecutive runs of frames into a signal.

    Parameters
    ----------
    stft : STFT
        The transform.
    n_samples : int
        Length of the signal in samples.
    """

    def __init__(self, stft: STFT, n_samples: int) -> None:
        self._stft = stft
        self._n_samples = n_samples
        self._n_frames = stft.n_frames(n_samples)
        self._frame = 0
        self._tail: Samples | None = None
        self._tail_weight: Samples | None = None
        self._weight: tuple[int, Samples] | None = None  # of so many frames: most runs have as many

    def push(self, synthesised: Samples) -> Samples:
        """Add a run of frames; return the samples that no later frame touches.

        Parameters
        ----------
        synthesised : ndarray, shape (..., n), float32
            As `STFT.synthesise` gives it, for the frames after those pushed before. What is returned
            is a part of it: its numbers are changed.

        Returns
        -------
        ndarray, shape (..., m), float32
            The next samples of the signal; all that are left with the last frames.
        """
        stft, overlap = self._stft, self._stft.n_fft - self._stft.hop_length
        count = (synthesised.shape[-1] - overlap) // stft.hop_length
        if self._weight is None or self._weight[0] != count:
            self._weight = count, stft._overlap_sum(count)
        weight = self._weight[1].copy()
        total = synthesised
        if self._tail is not None and self._tail_weight is not None:
            total[..., :overlap] += self._tail
            weight[:overlap] += self._tail_weight
        first = self._frame * stft.hop_length - stft.n_fft // 2
        self._frame += count
        n_ready = total.shape[-1] if self._frame >= self._n_frames else count * stft.hop_length
        self._tail = total[..., total.shape[-1] - overlap :].copy()
        self._tail_weight = weight[weight.shape[0] - overlap :].copy()
        start, stop = max(0, -first), min(n_ready, self._n_samples - first)
        if stop <= start:
            return total[..., :0]
        ready = total[..., start:stop]
        return np.divide(ready, weight[start:stop], out=ready)


@functools.lru_cache(maxsize=8)
def _window(name: str, n_fft: int) -> Samples:
    window = _hann(n_fft) if name == "hann" else _scipy_window(name, n_fft)
    window.flags.writeable = False
    return window


def _hann(n_fft: int) -> Samples:
    """Make the default window without SciPy's signal package, which takes half a second to load."""
    phase = np.arange(n_fft) * (2 * np.pi / n_fft)
    window: Samples = (0.5 - 0.5 * np.cos(phase)).astype(np.float32)
    return window


def _scipy_window(name: str, n_fft: int) -> Samples:
    from scipy.signal import get_window

    try:
        window: Samples = get_window(name, n_fft, fftbins=True).astype(np.float32)
    except (ValueError, TypeError) as error:
        raise ParameterError(
            f"there is no window {name!r} that needs no parameters; try 'hann' or 'hamming'"
        ) from error
    return window


def _overlap_add(frames: Samples, hop_length: int, total: Samples | None = None) -> Samples:
    """Add frames of shape (..., n_frames, n_fft) at their places, to what is there already if any.

    Frames whose places do not overlap are added in one step: as many steps as frames overlap.
    """
    n_frames, n_fft = frames.shape[-2:]
    if total is None:
        total = np.zeros((*frames.shape[:-2], (n_frames - 1) * hop_length + n_fft), frames.dtype)
    for start in range(0, n_fft, hop_length):
        width = min(hop_length, n_fft - start)
        piece = frames[..., start : start + width]
        span = total[..., start : start + (n_frames - 1) * hop_length + width]
        if width == hop_length:
            places = span.reshape(*span.shape[:-1], n_frames, width)  # a view
        else:
            strides = *span.strides[:-1], hop_length * span.strides[-1], span.strides[-1]
            places = np.lib.stride_tricks.as_strided(
                span, (*span.shape[:-1], n_frames, width), strides
            )
        places += piece
    return total
