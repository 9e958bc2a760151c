"""`mosaic`: a recording retold with the grains of others, in memory or as a file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audionmf import nmf
from audionmf.analysis.learning import at_rate
from audionmf.errors import InvalidAudioError, LimitError, ParameterError
from audionmf.io.audio import Audio, AudioLike, Samples, Source, as_audio, open_source
from audionmf.io.files import StrPath
from audionmf.io.parts import open_part, part_path
from audionmf.nmf import diagonal
from audionmf.nmf.checks import check_whole
from audionmf.separation.one_file import WrittenFile, prepare_output, write_one
from audionmf.settings import Settings
from audionmf.sources.known import recordings_of
from audionmf.spectra.frames import BLOCK_FRAMES, Progress, pooled_magnitude, silent
from audionmf.spectra.stft import STFT, InverseStream, Transform

__all__ = ["mosaic", "mosaic_file"]

Corpus = AudioLike | Sequence[AudioLike]

_MOST_FRAMES = 8192
"""Frames of a corpus: more than six minutes with the default window."""

_TINY = np.finfo(np.float32).tiny

_STEP = 512
"""Frames of the target that are retold at a time, beside those around that matter to them."""


def mosaic(
    target: AudioLike,
    corpus: Corpus,
    *,
    polyphony: int = 10,
    repetition: int = 3,
    continuity: int = 3,
    cross: int | None = None,
    sample_rate: int | None = None,
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> Audio:
    """Retell a recording with the grains of others.

    Every frame of the target becomes a sum of a few frames of the corpus, which go on as they do
    there: activations that are sparse, do not repeat and run along diagonals (Driedger, Prätzlich
    and Müller 2015). The grains keep their phases. With `cross` the recordings are crossed instead:
    spectra learnt from the corpus sound when they are found in the target, with its phases.

    Parameters
    ----------
    target : Audio, path, or array of shape (n_channels, n_samples) or (n_samples,)
        What is retold, of any length.
    corpus : the same, or a list of them
        What it is retold with: 8192 frames at most, 6 minutes at 44.1 kHz; converted to the rate of
        the target.
    polyphony : int, default 10
        Most frames of the corpus that begin to sound at a time, 1 or more; fewer are more like the
        corpus, more like the target.
    repetition : int, default 3
        In so many frames before and after the one where it is loudest a grain does not sound again;
        0 or more.
    continuity : int, default 3
        Grains go on for so many frames before and after; 0 or more. More keep longer pieces of the
        corpus.
    cross : int, optional
        Spectra to learn from the corpus, 1 or more; the three above then do not count.
    sample_rate : int, optional
        In Hz; needed where a recording is an array.
    settings : Settings, optional
        ``n_fft`` (default: 93 ms), ``hop_length`` (default here: half of it, as in the paper; a
        quarter with `cross`) and ``window``; with `cross` ``max_iter`` and ``activation_iter`` too.
    progress : callable, optional
        Told the stage and the share done.

    Returns
    -------
    Audio
        As long as the target, float32, with the channels of the corpus; with `cross` those of the
        target.

    Raises
    ------
    ParameterError
        If a number is outside its range, there is no corpus, or its recordings differ in channels.
    InvalidAudioError
        If the corpus is silent.
    LimitError
        If the corpus is too long.
    FileNotFoundError, AudioReadError
        If audio cannot be read.
    """
    source = open_source(target, sample_rate)
    work = _Mosaic(
        source, recordings_of(corpus, sample_rate), settings,
        polyphony=polyphony, repetition=repetition, continuity=continuity, cross=cross,
    )  # fmt: skip
    samples = np.concatenate(list(work.blocks(progress or silent)), axis=1)
    return Audio(samples, source.sample_rate, source.path, source.subtype, source.tags)


def mosaic_file(
    target: StrPath,
    path: StrPath,
    corpus: Sequence[StrPath],
    *,
    subtype: str | None = None,
    settings: Settings | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> WrittenFile:
    """Retell a file into a file, block by block; it is checked before anything is computed.

    Parameters
    ----------
    target : path
        What is retold, or a part of it, ``FILE@START-END``.
    path : path
        Where to; the extension gives the container: wav, flac, aiff, mp3, ogg or opus.
    corpus : sequence of path
        What it is retold with: files, folders of them, or parts, ``FILE@START-END``.
    subtype : str, optional
        Sample format, such as "PCM_16"; default: that of the target, where the container has it.
    settings, progress, **options
        As in `mosaic`.

    Returns
    -------
    WrittenFile
        The file, and the gain of the whole, which is 1 unless it would have clipped.

    Raises
    ------
    ParameterError, AudioNMFError
        As in `mosaic`.
    OutputError
        If the file cannot be written or would overwrite an input; then it is not there, or as it
        was.
    """
    source, recordings = open_part(target), recordings_of(list(corpus))
    work = _Mosaic(source, recordings, settings, **options)
    read = [part_path(file) for file in (target, *corpus)]
    read += [os.fspath(one.path) for one in recordings if one.path is not None]
    prepare_output(source, path, subtype, read, n_channels=work.n_channels)
    return write_one(
        lambda: work.blocks(progress or silent), path, source, None, subtype,
        n_channels=work.n_channels,
    )  # fmt: skip


class _Mosaic:
    """A target, and the frames of a corpus."""

    def __init__(
        self,
        target: Source,
        corpus: Sequence[Source],
        settings: Settings | None,
        *,
        polyphony: int = 10,
        repetition: int = 3,
        continuity: int = 3,
        cross: int | None = None,
    ) -> None:
        self._options = {
            "polyphony": polyphony, "repetition": repetition, "continuity": continuity,
        }  # fmt: skip
        for name, value in self._options.items():
            check_whole(name, value, 1 if name == "polyphony" else 0)
        if cross is not None:
            check_whole("cross", cross, 1)
        self._target, self._cross = target, cross
        self._settings = settings or Settings()
        if self._settings.front_end != "stft":
            raise ParameterError(
                "mosaics are made with the front end 'stft' only: leave out "
                f"{self._settings.front_end!r}"
            )
        n_fft = self._settings.n_fft_at(target.sample_rate)
        usual = max(1, n_fft // (2 if cross is None else 4))
        self._stft = STFT(n_fft, self._settings.hop_length or usual, self._settings.window)
        self._corpus = _checked(corpus, self._stft, target.sample_rate)
        self.n_channels = target.n_channels if cross else self._corpus[0].n_channels

    def blocks(self, progress: Progress) -> Iterator[Samples]:
        """Yield the target as it is retold."""
        stft, target = self._stft, self._target
        stream, n_frames = InverseStream(stft, target.n_samples), stft.n_frames(target.n_samples)
        done = 0
        for found in self._crossed(progress) if self._cross else self._retold():
            done += found.shape[-1]
            progress("mosaic", min(1.0, done / n_frames))
            yield stream.push(stft.synthesise(found))

    def _retold(self) -> Iterator[Transform]:
        """Yield frames of the target as sums of frames of the corpus."""
        gap = self._options["continuity"]
        parts = [
            np.pad(
                _transform(one, self._stft, self._target.sample_rate), ((0, 0), (0, 0), (0, gap))
            )
            for one in self._corpus
        ]
        grains = np.concatenate(parts, axis=-1)
        W = _audible(grains)
        margin = diagonal.reach(
            repetition=self._options["repetition"], continuity=self._options["continuity"]
        )
        for V, inner in _with_margins(self._magnitudes(), margin):
            H = diagonal.activate(V, W, **self._options)[:, inner]
            yield np.asarray(grains @ H.astype(np.complex64), np.complex64)

    def _crossed(self, progress: Progress) -> Iterator[Transform]:
        """Yield frames of the target whose spectra are those of the corpus."""
        parts = [_transform(one, self._stft, self._target.sample_rate) for one in self._corpus]
        learnt = nmf.fit(
            _audible(np.concatenate(parts, axis=-1)), self._cross or 1,
            max_iter=self._settings.max_iter, n_threads=self._settings.n_threads,
        )  # fmt: skip
        progress("templates", 1.0)
        for X in self._stft.forward_blocks(self._target.blocks(), BLOCK_FRAMES):
            V = pooled_magnitude(X)
            H = nmf.activate(
                V, learnt.templates, n_iter=self._settings.activation_iter,
                n_threads=self._settings.n_threads,
            )  # fmt: skip
            model = np.asarray(learnt.templates @ H, np.float32)
            gains = np.divide(model, V, out=np.zeros_like(model), where=_TINY < V)
            yield np.asarray(X * gains, np.complex64)

    def _magnitudes(self) -> Iterator[NDArray[np.float32]]:
        for X in self._stft.forward_blocks(self._target.blocks(), BLOCK_FRAMES):
            yield pooled_magnitude(X)


def _checked(corpus: Sequence[Source], stft: STFT, rate: int) -> Sequence[Source]:
    """Refuse a corpus that is none, too long, or of several layouts."""
    if not corpus:
        raise ParameterError("name at least one recording for the corpus")
    if len({one.n_channels for one in corpus}) > 1:
        counts = ", ".join(str(n) for n in sorted({one.n_channels for one in corpus}))
        raise ParameterError(
            f"recordings of the corpus have {counts} channels; give them equally many"
        )
    seconds = sum(one.duration for one in corpus)
    most = _MOST_FRAMES * stft.hop_length / rate
    if seconds > most:
        raise LimitError(
            f"the corpus is {seconds:.0f} s long, and {most:.0f} s is the most with a hop of "
            f"{stft.hop_length}; take parts of it, FILE@START-END"
        )
    return corpus


def _transform(source: Source, stft: STFT, rate: int) -> Transform:
    return stft.forward(as_audio(at_rate(source, rate)).samples)


def _audible(grains: Transform) -> NDArray[np.float32]:
    """Return the magnitudes of the corpus."""
    W = pooled_magnitude(grains)
    if not W.max(initial=0) > _TINY:
        raise InvalidAudioError("the corpus is silent; there is nothing to retell anything with")
    return W


def _with_margins(
    blocks: Iterator[NDArray[np.float32]], margin: int
) -> Iterator[tuple[NDArray[np.float32], slice]]:
    """Yield frames with up to `margin` of their neighbours, and where among these they are."""
    kept: NDArray[np.float32] | None = None
    before = 0
    for block in blocks:
        kept = block if kept is None else np.concatenate([kept, block], axis=1)
        while kept.shape[1] >= before + _STEP + margin:
            yield kept[:, : before + _STEP + margin], slice(before, before + _STEP)
            cut = max(0, before + _STEP - margin)
            kept, before = kept[:, cut:], before + _STEP - cut
    if kept is not None and kept.shape[1] > before:
        yield kept, slice(before, None)
