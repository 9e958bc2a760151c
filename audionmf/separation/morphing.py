"""`morph`: the sound between two recordings, in memory or as a file."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from audionmf.analysis.learning import at_rate
from audionmf.errors import ParameterError
from audionmf.io.audio import Audio, AudioLike, Samples, Source, open_source
from audionmf.io.files import StrPath
from audionmf.io.parts import open_part, part_path
from audionmf.separation.one_file import WrittenFile, prepare_output, write_one
from audionmf.settings import Settings
from audionmf.spectra.frames import BLOCK_FRAMES, Progress, silent
from audionmf.spectra.stft import STFT, InverseStream, Transform
from audionmf.spectra.transport import Transport

__all__ = ["Amount", "morph", "morph_file"]

Amount = float | tuple[float, float]
"""How far from the first sound to the second: one number, or one for the start and one for the end."""


def morph(
    first: AudioLike,
    second: AudioLike,
    amount: Amount = 0.5,
    *,
    sample_rate: int | None = None,
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> Audio:
    """Return the sound between two recordings, by optimal transport of their spectra.

    Frame by frame the partials of the one glide to where the other has its own (Henderson and
    Solomon 2019); the level is as far between the two.

    Parameters
    ----------
    first, second : Audio, path, or array of shape (n_channels, n_samples) or (n_samples,)
        The recordings. The second is converted to the rate of the first; mono is put on all
        channels of the other, and the shorter is followed by silence.
    amount : float or (float, float), default 0.5
        0 gives the first recording and 1 the second, to the bit where they are equally long and of
        one rate. A pair glides from the one amount, at the start, to the other at the end.
    sample_rate : int, optional
        In Hz; needed where a recording is an array.
    settings : Settings, optional
        ``n_fft``, ``hop_length`` (a quarter of the window or less) and ``window``.
    progress : callable, optional
        Told the stage and the share done.

    Returns
    -------
    Audio
        As long as the longer recording, float32.

    Raises
    ------
    ParameterError
        If the amount is not from 0 to 1, the hop is too long, or both recordings have several
        channels, but not equally many.
    FileNotFoundError, AudioReadError, InvalidAudioError, LimitError
        If audio cannot be read or worked on.

    References
    ----------
    Henderson and Solomon, "Audio transport: a generalized portamento via optimal transport", DAFx
    2019.
    """
    pair = _Pair(
        open_source(first, sample_rate), open_source(second, sample_rate), amount, settings
    )
    samples = np.concatenate(list(pair.blocks(progress or silent)), axis=1)
    return Audio(samples, pair.rate, subtype=pair.a.subtype, tags=pair.a.tags)


def morph_file(
    first: StrPath,
    second: StrPath,
    path: StrPath,
    amount: Amount = 0.5,
    *,
    subtype: str | None = None,
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> WrittenFile:
    """Morph two files into a third, block by block; it is checked before anything is computed.

    Parameters
    ----------
    first, second : path
        The recordings, or parts of them, ``FILE@START-END``.
    path : path
        Where to; the extension gives the container: wav, flac, aiff, mp3, ogg or opus.
    amount, settings, progress
        As in `morph`.
    subtype : str, optional
        Sample format, such as "PCM_16"; default: that of the first, where the container has it.

    Returns
    -------
    WrittenFile
        The file, and the gain of the whole, which is 1 unless it would have clipped.

    Raises
    ------
    ParameterError, AudioNMFError
        As in `morph`.
    OutputError
        If the file cannot be written or would overwrite an input; then it is not there, or as it
        was.
    """
    pair = _Pair(open_part(first), open_part(second), amount, settings)
    source = pair.a if pair.a.n_channels >= pair.b.n_channels else pair.b
    n_channels = source.n_channels
    prepare_output(
        pair.a, path, subtype, [part_path(first), part_path(second)], n_channels=n_channels
    )
    return write_one(
        lambda: pair.blocks(progress or silent), path, pair.a, None, subtype,
        n_channels=n_channels, n_samples=pair.n_samples,
    )  # fmt: skip


class _Pair:
    """Two recordings of one rate, and how far between them."""

    def __init__(self, a: Source, b: Source, amount: Amount, settings: Settings | None) -> None:
        self.amounts = _checked(amount)
        self.a, self.rate = a, a.sample_rate
        config = settings or Settings()
        if config.front_end != "stft":
            raise ParameterError(
                f"sounds are morphed with the front end 'stft' only: leave out {config.front_end!r}"
            )
        n_fft = config.n_fft_at(self.rate)
        hop = config.hop_length or max(1, n_fft // 8)
        if hop > n_fft // 4:
            raise ParameterError(
                f"a hop of {hop} is too long for a window of {n_fft}: the phase is followed from "
                f"frame to frame; take {max(1, n_fft // 4)} or less"
            )
        self.stft = STFT(n_fft, hop, config.window)
        channels = {a.n_channels, b.n_channels}
        if len(channels - {1}) > 1:
            raise ParameterError(
                f"the recordings have {a.n_channels} and {b.n_channels} channels; make one of them "
                "mono, or give both equally many"
            )
        self.n_channels = max(channels)
        self.b = at_rate(b, self.rate)
        self.n_samples = max(self.a.n_samples, self.b.n_samples)

    def blocks(self, progress: Progress) -> Iterator[Samples]:
        """Yield the sound between them."""
        if self.amounts in ((0, 0), (1, 1)):
            yield from self._padded((self.a, self.b)[int(self.amounts[0])])
            return
        stft, n_frames = self.stft, self.stft.n_frames(self.n_samples)
        channels = [Transport(stft) for _ in range(self.n_channels)]
        stream, done = InverseStream(stft, self.n_samples), 0
        frames = (stft.forward_blocks(self._padded(x), BLOCK_FRAMES) for x in (self.a, self.b))
        for A, B in zip(*frames, strict=True):
            far = self._far(np.arange(done, done + A.shape[-1]) / max(1, n_frames - 1))
            block = np.stack([_carried(*c, far) for c in zip(channels, A, B, strict=True)])
            done += A.shape[-1]
            progress("morph", done / n_frames)
            yield stream.push(stft.synthesise(block))

    def _far(self, place: NDArray[np.float64]) -> list[float]:
        start, end = self.amounts
        return [float(start + (end - start) * p) for p in place]

    def _padded(self, source: Source) -> Iterator[Samples]:
        """Yield the samples on all channels, and silence up to the length of the longer."""
        missing = self.n_samples
        for block in source.blocks():
            kept = block[:, :missing]  # the length of some files is known only when they are read
            missing -= kept.shape[1]
            yield np.broadcast_to(kept, (self.n_channels, kept.shape[1]))
        while missing > 0:
            size = min(missing, BLOCK_FRAMES * self.stft.hop_length)
            missing -= size
            yield np.zeros((self.n_channels, size), np.float32)


def _carried(transport: Transport, A: Transform, B: Transform, far: list[float]) -> Transform:
    """Return the frames between those of one channel, shape (n_bins, n_frames)."""
    found = [transport.frame(a, b, x) for a, b, x in zip(A.T, B.T, far, strict=True)]
    return np.stack(found).T


def _checked(amount: Amount) -> tuple[float, float]:
    pair = amount if isinstance(amount, tuple) else (amount, amount)
    good = len(pair) == 2 and all(
        isinstance(x, int | float | np.number) and 0 <= x <= 1 for x in pair
    )
    if not good:
        raise ParameterError(
            f"the amount is a number from 0 to 1, or a pair of them, not {amount!r}"
        )
    return float(pair[0]), float(pair[1])
