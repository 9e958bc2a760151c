"""What comes before and after a frame: coarse bands of its neighbours.

A frame alone hardly tells who plays; how the sound goes on does. Coarse bands of four neighbours,
stacked under the spectrum of a frame, say it at a fraction of the size. The template of a frame with
such a context is an exemplar of several frames, and activations still belong to one frame each.

References
----------
Gemmeke, Virtanen and Hurmalainen, "Exemplar-based sparse representations for noise robust automatic
speech recognition", IEEE Transactions on Audio, Speech, and Language Processing 19(7), 2011.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audionmf.spectra.bands import Bands, once_each
from audionmf.spectra.stft import STFT

__all__ = ["BESIDE_FREE", "OFFSETS", "REACH", "WEIGHT", "Neighbours", "with_margins"]

Matrix = NDArray[np.floating[Any]]

OFFSETS = (-4, -2, 2, 4)
"""Where the neighbours are, in frames."""

REACH = 4
"""The most distant neighbour, in frames."""

WEIGHT = 0.25
"""How much each neighbour counts beside the frame itself, where they are stacked: four that each count
as much as it does outweigh it, and speech, which goes on otherwise each time, is told wrongly."""

BESIDE_FREE = 1.0
"""The same beside free components: as these fit any frame by itself, what is around it tells a source
from them."""

_PER_OCTAVE = 12
_WIDE_BELOW_HZ = 200.0


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The context of frames of an STFT at a sample rate.

    Parameters
    ----------
    bands : Bands
        12 an octave above 200 Hz, 100 Hz wide below.
    borders : ndarray, shape (n_bands + 1,)
        Where the bands begin and the last ends, in units of the sample rate over the window.
    weight : float, default `WEIGHT`
        How much each neighbour counts beside the frame itself, above 0.
    """

    bands: Bands
    borders: NDArray[np.float64]
    weight: float = WEIGHT

    @classmethod
    def of(cls, stft: STFT, sample_rate: int, weight: float = WEIGHT) -> Neighbours:
        """Return the context for an STFT at a sample rate in Hz; arrays that stay as they are."""
        return _neighbours(stft, sample_rate, weight)

    @property
    def n_rows(self) -> int:
        """Rows of a context: the bands of all neighbours."""
        return len(OFFSETS) * len(self.bands.edges)

    @property
    def frequencies(self) -> NDArray[np.float64]:
        """Mean frequency of each row in Hz, shape (n_rows,)."""
        return np.tile(self.bands.frequencies, len(OFFSETS))

    def stacked(self, frames: Matrix, context: Matrix) -> Matrix:
        """Return frames (n_bands, n) and their contexts (n_rows, n) as one, by what each counts.

        Rows are neighbours in memory.
        """
        return np.concatenate([frames.T, np.float32(self.weight) * context.T], axis=1).T

    def of_frames(self, V: Matrix, before: int = 0, after: int = 0) -> Matrix:
        """Return the context of frames.

        Parameters
        ----------
        V : ndarray, shape (n_bins, before + n + after)
            Magnitudes of the frames and of those around them. Where these are fewer than `REACH`
            the recording begins or ends, and the last one stands for those that are not there.
        before, after : int, default 0
            Frames at the start and the end that get no context, 0 to `REACH`.

        Returns
        -------
        ndarray, shape (n_rows, n)
            Sums over the bands of each neighbour in turn, rows as neighbours.
        """
        pooled, last = self.bands.pool(V), V.shape[1] - 1
        frames = np.arange(before, V.shape[1] - after)
        parts = [pooled[:, np.clip(frames + offset, 0, last)].T for offset in OFFSETS]
        context: Matrix = np.concatenate(parts, axis=1).T
        return context

    def shifted(self, context: Matrix, semitones: int) -> Matrix:
        """Return contexts (n_rows, n) with their frequency axis stretched to another pitch.

        Within a band, energy counts as evenly spread.
        """
        edges = self.borders
        ratio = 2.0 ** (semitones / 12)
        below = np.tril(np.ones((len(edges), len(edges) - 1)), -1)  # sums up to each edge
        place = np.minimum(edges / ratio, edges[-1])
        cumulated = np.array([np.interp(place, edges, column) for column in below.T]).T
        stretch = (ratio * np.diff(cumulated, axis=0)).astype(context.dtype)
        whole = context.reshape(len(OFFSETS), -1, context.shape[1])
        stretched: Matrix = (stretch @ whole).reshape(context.shape)
        return stretched


@functools.lru_cache(maxsize=16)
def _neighbours(stft: STFT, sample_rate: int, weight: float) -> Neighbours:
    """Return what `Neighbours.of` does; every block of frames asks for it."""
    edge = max(1.0, _WIDE_BELOW_HZ * stft.n_fft / sample_rate)
    edges = list(range(0, round(edge), max(1, round(edge / 2))))
    while edge <= stft.places[-1]:
        edges.append(round(edge))
        edge = max(edge * 2 ** (1 / _PER_OCTAVE), edges[-1] + 1)
    rows = stft.rows(np.array(edges))
    starts = once_each(rows[rows < stft.n_bins])
    sums = np.add.reduceat(stft.frequencies(sample_rate), starts)
    counts = np.diff(starts, append=stft.n_bins)
    # Only what is stretched from above the last bin depends on where that ends.
    borders = np.append(stft.places[starts], stft.places[-1] + 1)
    frequencies = sums / counts
    for array in (starts, frequencies, borders):
        array.flags.writeable = False
    return Neighbours(Bands(starts, frequencies), borders, weight)


def with_margins(
    blocks: Iterable[NDArray[Any]], reach: int
) -> Iterator[tuple[NDArray[Any], int, int]]:
    """Give blocks of frames those before and after them.

    Parameters
    ----------
    blocks : iterable of ndarray, shape (n_channels, n_bins, any number)
        The frames of a recording in order.
    reach : int
        Frames of margin, 0 or more; fewer where the recording begins and ends.

    Yields
    ------
    frames : ndarray, shape (n_channels, n_bins, before + n + after)
        The next n frames with their margins.
    before, after : int
        Frames of margin.
    """
    if not reach:
        yield from ((block, 0, 0) for block in blocks)
        return
    held: NDArray[Any] | None = None
    before = 0
    for block in blocks:
        held = block if held is None else _joined(held, block)
        if held.shape[-1] - before > reach:
            yield held, before, reach
            kept = max(0, held.shape[-1] - 2 * reach)
            before = held.shape[-1] - reach - kept
            held = held[..., kept:]
    if held is not None:
        yield held, before, 0


def _joined(held: NDArray[Any], block: NDArray[Any]) -> NDArray[Any]:
    """Join frames so that the bins of one stay neighbours."""
    parts = [np.swapaxes(part, -1, -2) for part in (held, block)]
    return np.swapaxes(np.concatenate(parts, axis=-2), -1, -2)
