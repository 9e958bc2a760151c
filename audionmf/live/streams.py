"""A stream comes in from a pipe and goes out to files or another pipe.

Samples from a pipe are raw, or follow the header of a WAV file whose length nobody knows yet. They
are taken as they arrive. Files that a stream is written to are whole whenever it ends: at the end of
its input, or when it is interrupted.
"""

from __future__ import annotations

import contextlib
import errno
import signal
import struct
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from audionmf.errors import AudioReadError, AudioWarning, LimitError, ParameterError
from audionmf.io.audio import AudioFile, AudioWriter, Samples
from audionmf.io.chunks import check_layout
from audionmf.live.separator import LiveSeparator

__all__ = [
    "SAMPLE_FORMATS",
    "PCMFormat",
    "PCMStream",
    "StreamedFiles",
    "stream_to_files",
    "stream_to_pipe",
]

SAMPLE_FORMATS = {"u8": 1, "s16": 2, "s24": 3, "s32": 4, "f32": 4, "f64": 8}
"""Sample formats of a raw stream, little-endian, and the bytes of each."""

_FILE_BLOCK = 1 << 14
_READ_BYTES = 1 << 16
_MOST_CHUNKS = 64
_MOST_SKIPPED = 1 << 24
_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_TAGGED = {
    (_PCM, 8): "u8", (_PCM, 16): "s16", (_PCM, 24): "s24", (_PCM, 32): "s32",
    (_FLOAT, 32): "f32", (_FLOAT, 64): "f64",
}  # fmt: skip
_UNKNOWN_SIZE = 0x7FFFF000
"""Data sizes from here on, and 0, are those of writers that cannot know theirs."""
_WAV_BYTES = (1 << 32) - (1 << 20)
_IN_A_PIPE = "the stream on standard input"


@dataclass(frozen=True)
class PCMFormat:
    """How the samples of a raw stream lie: interleaved, little-endian.

    Parameters
    ----------
    sample_rate : int
        In Hz.
    n_channels : int
        Number of channels.
    sample_format : str
        One of `SAMPLE_FORMATS`.

    Raises
    ------
    ParameterError
        If there is no such sample format.
    InvalidAudioError, LimitError
        If rate or channels make no sense.
    """

    sample_rate: int
    n_channels: int
    sample_format: str

    def __post_init__(self) -> None:
        if self.sample_format not in SAMPLE_FORMATS:
            raise ParameterError(
                f"a sample format is one of {', '.join(SAMPLE_FORMATS)}, not {self.sample_format!r}"
            )
        check_layout(_IN_A_PIPE, self.sample_rate, self.n_channels)

    @property
    def frame_bytes(self) -> int:
        """Bytes of one sample of all channels."""
        return self.n_channels * SAMPLE_FORMATS[self.sample_format]

    def decode(self, content: bytes) -> Samples:
        """Return whole frames as samples (n_channels, n) in -1 … 1; floats are kept."""
        kind, width = self.sample_format, SAMPLE_FORMATS[self.sample_format]
        flat: NDArray[Any]
        if kind in ("f32", "f64"):
            flat = np.frombuffer(content, f"<f{width}")
        elif kind == "u8":
            flat = (np.frombuffer(content, np.uint8).astype(np.float32) - 128) / 128
        elif kind == "s24":
            padded = np.zeros((len(content) // 3, 4), np.uint8)
            padded[:, 1:] = np.frombuffer(content, np.uint8).reshape(-1, 3)
            flat = padded.view("<i4")[:, 0] / float(1 << 31)
        else:
            flat = np.frombuffer(content, f"<i{width}") / float(1 << (8 * width - 1))
        with np.errstate(over="ignore"):
            return np.ascontiguousarray(flat.reshape(-1, self.n_channels).T, np.float32)

    def encode(self, samples: Samples) -> tuple[bytes, int]:
        """Return samples (n_channels, n) as bytes, and how many of them were clipped."""
        width, flat = SAMPLE_FORMATS[self.sample_format], samples.T
        if self.sample_format in ("f32", "f64"):
            return flat.astype(f"<f{width}").tobytes(), 0
        limit = float(1 << (8 * width - 1))
        steps = np.rint(flat.astype(np.float64) * limit)
        clipped = int(((steps < -limit) | (steps > limit - 1)).sum())
        steps = np.clip(steps, -limit, limit - 1)
        if self.sample_format == "u8":
            return (steps + 128).astype(np.uint8).tobytes(), clipped
        if self.sample_format == "s24":
            whole = np.ascontiguousarray(steps, "<i4").view(np.uint8).reshape(-1, 4)
            return whole[:, :3].tobytes(), clipped
        return steps.astype(f"<i{width}").tobytes(), clipped


class PCMStream:
    """Samples that arrive through a pipe.

    Parameters
    ----------
    stream : binary file
        Where they come from; read as far as there is something to read.
    form : PCMFormat, optional
        How they lie; by default the header of a WAV file comes first and says it.

    Raises
    ------
    AudioReadError
        If no such header comes, or one of another kind.
    """

    def __init__(self, stream: BinaryIO, form: PCMFormat | None = None) -> None:
        self._stream = stream
        self.form, self._n_bytes = (form, None) if form else _read_wav_header(stream)

    def blocks(self) -> Iterator[Samples]:
        """Yield what has arrived, of shape (n_channels, n), until the stream ends.

        Warns
        -----
        AudioWarning
            If the stream ends within a sample, or before its header says.
        """
        left, rest = self._n_bytes, b""
        while left is None or left > 0:
            content = _read_some(self._stream, min(_READ_BYTES, left or _READ_BYTES))
            if not content:
                break
            left = None if left is None else left - len(content)
            content = rest + content
            whole = len(content) - len(content) % self.form.frame_bytes
            rest = content[whole:]
            if whole:
                yield self.form.decode(content[:whole])
        if left:
            missing = left / self.form.frame_bytes / self.form.sample_rate
            text = f"ends before its header says: {missing:.2f} s are missing at its end"
            warnings.warn(AudioWarning(f"{_IN_A_PIPE} {text}"), stacklevel=2)
        elif rest:
            text = f"ends within a sample: {len(rest)} bytes are left over; are the channels right?"
            warnings.warn(AudioWarning(f"{_IN_A_PIPE} {text}"), stacklevel=2)


@dataclass(frozen=True)
class StreamedFiles:
    """What a stream was written to.

    Parameters
    ----------
    paths : dict of str to pathlib.Path
        The file of each source.
    n_samples : int
        Samples in each channel.
    interrupted : BaseException or None
        What ended the stream before its end; the files hold all that came until then.
    """

    paths: dict[str, Path]
    n_samples: int
    interrupted: BaseException | None


def stream_to_files(
    source: AudioFile | PCMStream, separator: LiveSeparator, paths: dict[str, Path]
) -> StreamedFiles:
    """Write each source of a stream to a file, until the stream ends or is interrupted.

    The files hold float samples where their container can: nothing is known of the level that is to
    come, so that no gain could keep integers from clipping.

    Parameters
    ----------
    source : AudioFile or PCMStream
        The stream.
    separator : LiveSeparator
        What takes it apart; fresh.
    paths : dict of str to path
        The file of each of its sources.

    Raises
    ------
    OutputError
        If a file cannot be written; then none is left.
    LimitError
        If 4 GiB of WAV are full; what came until then is in the files.
    """
    form = _form(source)
    stop: BaseException | None = None
    with contextlib.ExitStack() as stack:
        stops = _Stops()
        n_samples = source.n_samples if isinstance(source, AudioFile) else 0
        writers = {
            name: stack.enter_context(
                AudioWriter(path, form.sample_rate, form.n_channels, _subtype(path), n_samples)
            )
            for name, path in paths.items()
        }
        first = next(iter(writers.values()))
        limited = n_samples == 0 and first.path.suffix.lower() != ".flac"
        most = _WAV_BYTES // (4 * form.n_channels) - separator.latency if limited else None
        try:
            for block in stops.between(_blocks(source)):
                _write(writers, separator.push(block))
                if most is not None and first.n_written + block.shape[1] > most:
                    stop = LimitError(
                        "4 GiB of WAV are full, and the stream goes on: what came until now is in "
                        "the files; --format flac takes more"
                    )
                    break
        except KeyboardInterrupt as interrupt:
            stop = interrupt
        _write(writers, separator.flush())
        for writer in writers.values():
            writer.finish()
    return StreamedFiles(dict(paths), first.n_written, stop)


def stream_to_pipe(
    source: AudioFile | PCMStream, separator: LiveSeparator, name: str, out: BinaryIO
) -> None:
    """Write one source of a stream to a pipe, raw, in the sample format of the stream.

    Parameters
    ----------
    source : AudioFile or PCMStream
        The stream.
    separator : LiveSeparator
        What takes it apart; fresh.
    name : str
        The source.
    out : binary file
        Where it goes. Each block is flushed as soon as it is there.

    Raises
    ------
    BrokenPipeError
        If nobody reads any more.

    Warns
    -----
    AudioWarning
        If samples had to be clipped.
    """
    form, n_clipped = _form(source), 0
    for stems in _all_stems(source, separator):
        content, clipped = form.encode(stems[name])
        n_clipped += clipped
        out.write(content)
        out.flush()
    if n_clipped:
        text = (
            f"{n_clipped} samples of {name!r} were clipped; take --sample-format f32, or less level"
        )
        warnings.warn(AudioWarning(text), stacklevel=2)


def _all_stems(
    source: AudioFile | PCMStream, separator: LiveSeparator
) -> Iterator[dict[str, Samples]]:
    for block in _blocks(source):
        yield separator.push(block)
    yield separator.flush()


def _blocks(source: AudioFile | PCMStream) -> Iterator[Samples]:
    return source.blocks(_FILE_BLOCK) if isinstance(source, AudioFile) else source.blocks()


def _form(source: AudioFile | PCMStream) -> PCMFormat:
    """Return the format of a stream; a file's nearest one."""
    if isinstance(source, PCMStream):
        return source.form
    known = {"PCM_U8": "u8", "PCM_16": "s16", "PCM_24": "s24", "PCM_32": "s32", "DOUBLE": "f64"}
    return PCMFormat(source.sample_rate, source.n_channels, known.get(source.subtype, "f32"))


def _subtype(path: Path) -> str:
    return "PCM_24" if path.suffix.lower() == ".flac" else "FLOAT"


def _write(writers: dict[str, AudioWriter], stems: dict[str, Samples]) -> None:
    for name, writer in writers.items():
        writer.write(stems[name])


class _Stops:
    """Lets SIGINT and SIGTERM through while a block is waited for, and holds them back otherwise.

    A block that is being worked on would be lost in the middle, in some stems and not in others.
    """

    def __init__(self) -> None:
        self._waiting = False
        self._held: int | None = None
        self._before: dict[int, Any] = {}

    def between(self, blocks: Iterator[Samples]) -> Iterator[Samples]:
        """Pass blocks on; raise what a signal raises between two of them."""
        with contextlib.suppress(ValueError):  # not in the main thread: no signals there
            for number in map(int, (signal.SIGINT, signal.SIGTERM)):
                if callable(signal.getsignal(number)):  # not where it is ignored, or ends all
                    self._before[number] = signal.signal(number, self._handle)
        try:
            while True:
                self._waiting = True
                if self._held is not None:
                    self._handle(self._held, None)
                block = next(blocks, None)
                self._waiting = False
                if block is None:
                    return
                yield block
        finally:
            for number, before in self._before.items():
                signal.signal(number, before)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._held = int(number)
        if self._waiting:
            self._waiting = False
            self._before[number](number, frame)


def _read_some(stream: BinaryIO, n_bytes: int) -> bytes:
    """Return what is there, at least one byte; nothing at the end."""
    read = getattr(stream, "read1", stream.read)
    content: bytes = read(n_bytes)
    return content


def _read_wav_header(stream: BinaryIO) -> tuple[PCMFormat, int | None]:
    """Return the format of a WAV file that comes through a pipe, and its bytes of samples if known."""
    riff, _, wave = struct.unpack("<4sI4s", _exactly(stream, 12))
    if riff not in (b"RIFF", b"RF64") or wave != b"WAVE":
        raise AudioReadError(
            errno.EINVAL,
            f"{_IN_A_PIPE} does not start like a WAV file; for raw samples give --rate, --channels "
            "and --sample-format",
        )
    form: PCMFormat | None = None
    wide = 0
    for _ in range(_MOST_CHUNKS):
        name, size = struct.unpack("<4sI", _exactly(stream, 8))
        if name == b"data":
            if form is None:
                break
            size = wide if riff == b"RF64" else size if size < _UNKNOWN_SIZE else 0
            return form, size or None
        if size > _MOST_SKIPPED:
            break
        content = _exactly(stream, size + size % 2)
        if name == b"fmt ":
            form = _wav_format(content)
        if name == b"ds64" and size >= 16:
            (wide,) = struct.unpack("<Q", content[8:16])
    raise AudioReadError(errno.EINVAL, f"{_IN_A_PIPE} has a WAV header that cannot be understood")


def _wav_format(content: bytes) -> PCMFormat:
    if len(content) < 16:
        raise AudioReadError(errno.EINVAL, f"{_IN_A_PIPE} has a WAV header that is cut off")
    tag, n_channels, rate, _, _, bits = struct.unpack("<HHIIHH", content[:16])
    if tag == _EXTENSIBLE and len(content) >= 26:
        (tag,) = struct.unpack("<H", content[24:26])
    if (tag, bits) not in _TAGGED:
        raise AudioReadError(
            errno.EINVAL,
            f"{_IN_A_PIPE} has samples of another kind (format {tag}, {bits} bits) than PCM of 8 to "
            "32 bits or float; decode it before",
        )
    return PCMFormat(rate, n_channels, _TAGGED[tag, bits])


def _exactly(stream: BinaryIO, n_bytes: int) -> bytes:
    content = b""
    while len(content) < n_bytes:
        more = _read_some(stream, n_bytes - len(content))
        if not more:
            raise AudioReadError(errno.EINVAL, f"{_IN_A_PIPE} ended within its header")
        content += more
    return content
