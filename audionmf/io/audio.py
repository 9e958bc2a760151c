"""Read and write audio: the checks on what comes in, whole files or none of what goes out.

Samples are float32 of shape ``(n_channels, n_samples)``, in -1 … 1 for PCM files; what a float file
holds beyond that is kept. `Audio` is a recording in memory, `AudioFile` one on disk: both hand out
their samples block by block in the same way, so that what works on one works on the other.

libsndfile (through soundfile) does the decoding; the extension of a file is not trusted, its
content is.
"""

from __future__ import annotations

import contextlib
import functools
import math
import os
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from audionmf.errors import (
    AudioReadError,
    AudioWarning,
    InvalidAudioError,
    OutputError,
    ParameterError,
)
from audionmf.io.chunks import check_layout, read_claims
from audionmf.io.files import (
    StrPath,
    Together,
    atomic_path,
    flush,
    open_ordinary,
    require_file,
    space_error,
)

__all__ = [
    "OUTPUT_FORMATS",
    "Audio",
    "AudioFile",
    "AudioLike",
    "AudioWriter",
    "as_audio",
    "open_source",
    "output_subtype",
    "quantisation_step",
    "read",
    "write",
]

Samples = NDArray[np.float32]

OUTPUT_FORMATS = {"wav": "WAV", "flac": "FLAC", "aiff": "AIFF"}
"""File extensions that stems can be written with: lossless ones, so that stems can sum up."""

_BLOCK = 1 << 18
_RF64_ABOVE = (1 << 32) - (1 << 20)
_UNKNOWN_LENGTH = 1 << 62
_GUESSED_SHARE, _GUESSED_SECONDS = 0.02, 0.1
"""By how much MP3, whose length may be guessed from its first frames, may be shorter unsaid."""
_LOUDEST = 1e32
"""Largest sample: sums over a window of 2²⁰ such are within float32."""
_PCM_BITS = {"PCM_S8": 8, "PCM_U8": 8, "PCM_16": 16, "PCM_24": 24, "PCM_32": 32}
_FLOAT_BYTES = {"FLOAT": 4, "DOUBLE": 8}


@dataclass(frozen=True, eq=False)
class Audio:
    """A recording in memory.

    Parameters
    ----------
    samples : ndarray, shape (n_channels, n_samples), float32
        The signal. One-dimensional input is one channel; other real types are converted.
    sample_rate : int
        In Hz, 1 000 to 768 000.
    path : pathlib.Path, optional
        Where it was read from.
    subtype : str, default "FLOAT"
        Sample format of the file, in libsndfile's words; stems are written in it.

    Raises
    ------
    InvalidAudioError
        If there are no samples, some are not finite, or the rate is absurd.
    LimitError
        If there are more than 64 channels.
    """

    samples: Samples
    sample_rate: int
    path: Path | None = None
    subtype: str = "FLOAT"

    def __post_init__(self) -> None:
        name = _name(self.path)
        samples = np.asarray(self.samples)
        if samples.ndim not in (1, 2) or samples.dtype.kind not in "fiu":
            raise InvalidAudioError(
                f"{name} must be real samples of shape (n_channels, n_samples) or (n_samples,), "
                f"not {samples.dtype} of shape {samples.shape}"
            )
        with np.errstate(over="ignore"):
            samples = np.atleast_2d(samples).astype(np.float32, copy=False)
        check_layout(name, self.sample_rate, samples.shape[0])
        _check_not_empty(name, samples.shape[1])
        _Finite(name).check(samples)
        object.__setattr__(self, "samples", samples)

    @property
    def n_channels(self) -> int:
        """Number of channels."""
        return int(self.samples.shape[0])

    @property
    def n_samples(self) -> int:
        """Samples in each channel."""
        return int(self.samples.shape[1])

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return self.n_samples / self.sample_rate

    def blocks(self, size: int = _BLOCK) -> Iterator[Samples]:
        """Yield the samples in order, `size` at a time, as views of shape (n_channels, ≤ size)."""
        for start in range(0, self.n_samples, size):
            yield self.samples[:, start : start + size]


@dataclass(frozen=True, eq=False)
class AudioFile:
    """A recording on disk, read block by block; memory does not grow with its length.

    Parameters
    ----------
    path : str or os.PathLike
        An ordinary file in any format that libsndfile reads.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    AudioReadError
        If it cannot be read as audio.
    InvalidAudioError
        If its header gives an absurd sample rate or no samples.
    LimitError
        If it has more than 64 channels.

    Warns
    -----
    AudioWarning
        If its header claims more than the file holds, or something else that cannot be.
    """

    path: Path
    sample_rate: int = field(init=False)
    n_channels: int = field(init=False)
    n_samples: int = field(init=False)
    """Samples in each channel as the header says; blocks may end earlier."""
    subtype: str = field(init=False)
    container: str = field(init=False)
    _stamp: tuple[int, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        path = require_file(self.path)
        with open_ordinary(path) as stream:
            stamp = _stamp(stream)
        claims = read_claims(path)
        with _open(path, stamp) as file:
            check_layout(_name(path), file.samplerate, file.channels)
            header = {
                "path": path,
                "sample_rate": file.samplerate,
                "n_channels": file.channels,
                "n_samples": file.frames if file.frames < _UNKNOWN_LENGTH else _count(file, path),
                "subtype": file.subtype,
                "container": file.format,
                "_stamp": stamp,
            }
        for name, value in header.items():
            object.__setattr__(self, name, value)
        _check_not_empty(_name(path), self.n_samples)
        if claims is not None and claims.remark:
            warnings.warn(AudioWarning(f"{_name(path)} {claims.remark}"), stacklevel=3)

    @property
    def duration(self) -> float:
        """Length in seconds, as the header says."""
        return self.n_samples / self.sample_rate

    def blocks(self, size: int = _BLOCK) -> Iterator[Samples]:
        """Yield the samples in order, `size` at a time, of shape (n_channels, ≤ size).

        Raises
        ------
        AudioReadError
            If the content is damaged, or the file was replaced or changed since it was opened.
        InvalidAudioError
            If samples are not finite: says how many and where the first is; or if there are none.

        Warns
        -----
        AudioWarning
            If there are fewer than the header says.
        """
        finite, n_read = _Finite(_name(self.path)), 0
        with _open(self.path, self._stamp) as file:
            while len(block := _read_block(file, size, self.path)):
                finite.check(block.T, file)
                n_read += len(block)
                yield np.ascontiguousarray(block.T)
        _check_not_empty(_name(self.path), n_read)
        self._warn_if_short(n_read)

    def _warn_if_short(self, n_read: int) -> None:
        missing = (self.n_samples - n_read) / self.sample_rate
        slack = _GUESSED_SHARE * self.duration + _GUESSED_SECONDS if self.container == "MP3" else 0
        if missing > slack:
            text = f"ends before its header says: {missing:.2f} s are missing at its end"
            warnings.warn(AudioWarning(f"{_name(self.path)} {text}"), stacklevel=3)


Source = Audio | AudioFile
AudioLike = Source | StrPath | ArrayLike
"""What stands for a recording: one in memory, one on disk, a path, or an array of samples."""


def read(path: StrPath) -> Audio:
    """Read an audio file into memory.

    Parameters
    ----------
    path : str or os.PathLike
        WAV, FLAC, Ogg, MP3, AIFF and whatever else libsndfile reads.

    Returns
    -------
    Audio
        With ``samples`` of shape (n_channels, n_samples) float32 and ``sample_rate`` in Hz.

    Raises
    ------
    FileNotFoundError, AudioReadError, InvalidAudioError, LimitError
        As `AudioFile` and its blocks do.
    """
    file = AudioFile(Path(path))
    samples = np.concatenate(list(file.blocks()), axis=1)
    return Audio(samples, file.sample_rate, file.path, file.subtype)


def as_audio(source: AudioLike, sample_rate: int | None = None) -> Audio:
    """Return `source` as `Audio` in memory: a path is read, an array wrapped.

    Parameters
    ----------
    source : Audio, path or array of shape (n_channels, n_samples) or (n_samples,)
        What to work on.
    sample_rate : int, optional
        In Hz; needed for an array, not taken with anything else.

    Raises
    ------
    ParameterError
        If an array comes without its rate, or anything else with one.
    """
    opened = open_source(source, sample_rate)
    return opened if isinstance(opened, Audio) else read(opened.path)


def open_source(source: AudioLike, sample_rate: int | None = None) -> Source:
    """Return `source` as something with blocks: a path is opened and not read, an array wrapped.

    Takes and raises what `as_audio` does.
    """
    is_array = not isinstance(source, Audio | AudioFile | str | os.PathLike)
    if is_array != (sample_rate is not None):
        raise ParameterError(
            "an array of samples needs sample_rate in Hz"
            if is_array
            else "sample_rate goes with an array of samples only; a file has its own"
        )
    if isinstance(source, str | os.PathLike):
        return AudioFile(Path(source))
    if isinstance(source, Audio | AudioFile):
        return source
    return Audio(np.asarray(source), _whole_rate(sample_rate))


def output_subtype(subtype: str, extension: str = "wav") -> str:
    """Return the sample format in which stems of a file with `subtype` are written.

    PCM and float formats are kept where the container has them. What has no sample format of its
    own (Ogg, MP3, µ-law, …) gives 32-bit float, or 24-bit PCM where the container has no float.
    """
    import soundfile

    container = OUTPUT_FORMATS[extension]
    wanted = subtype if subtype in _PCM_BITS or subtype in _FLOAT_BYTES else "FLOAT"
    for candidate in (wanted, "PCM_S8" if wanted == "PCM_U8" else "PCM_24"):
        if soundfile.check_format(container, candidate):
            return candidate
    return "PCM_24"


def quantisation_step(subtype: str) -> float:
    """Return the step between neighbouring values of a sample format; 0 for a float format."""
    bits = _PCM_BITS.get(subtype)
    return 0.0 if bits is None else 2.0 ** (1 - bits)


class AudioWriter:
    """Writes one audio file block by block; the file appears when the writer is left, whole.

    Use as a context manager. Leaving it with an exception leaves nothing behind.

    Parameters
    ----------
    path : str or os.PathLike
        The file; its extension, one of `OUTPUT_FORMATS`, gives the container.
    sample_rate : int
        In Hz.
    n_channels : int
        Number of channels.
    subtype : str
        Sample format, as `output_subtype` gives it. PCM samples are rounded to the nearest step;
        what is outside -1 … 1 is clipped, so scale before.
    n_samples : int, optional
        The length to come, if known: more than 4 GiB become RF64 instead of WAV.
    together : Together, optional
        Put the file in place together with others, when this is left.

    Raises
    ------
    OutputError
        If anything cannot be written, with the errno of the cause.
    """

    def __init__(
        self,
        path: StrPath,
        sample_rate: int,
        n_channels: int,
        subtype: str,
        n_samples: int = 0,
        together: Together | None = None,
    ) -> None:
        self.path, self._together = Path(path), together
        extension = self.path.suffix.lower().lstrip(".")
        _check_writable(self.path, extension, subtype)
        self.sample_rate, self.n_channels, self.subtype = sample_rate, n_channels, subtype
        self.n_written = 0
        self._container = OUTPUT_FORMATS[extension]
        sample_bytes = _FLOAT_BYTES.get(subtype) or _PCM_BITS[subtype] // 8
        if self._container == "WAV" and n_samples * n_channels * sample_bytes > _RF64_ABOVE:
            self._container = "RF64"
        self._stack = contextlib.ExitStack()
        self._file: Any = None
        self._temporary = Path()

    def __enter__(self) -> AudioWriter:
        import soundfile

        with contextlib.ExitStack() as stack:
            self._temporary = stack.enter_context(atomic_path(self.path, self._together))
            try:
                self._file = soundfile.SoundFile(
                    os.fsencode(self._temporary),
                    "w",
                    self.sample_rate,
                    self.n_channels,
                    self.subtype,
                    format=self._container,
                )
            except soundfile.LibsndfileError as error:
                raise space_error(self.path, error.error_string) from error
            self._stack = stack.pop_all()
        return self

    def write(self, samples: Samples) -> None:
        """Append samples of shape (n_channels, n)."""
        import soundfile

        if not np.isfinite(samples).all():
            raise InvalidAudioError(
                f"{str(self.path)!r} would hold samples that are not finite; nothing was written"
            )
        bits = _PCM_BITS.get(self.subtype)
        try:
            self._file.write(_quantise(samples.T, bits) if bits else samples.T)
        except (soundfile.LibsndfileError, AssertionError) as error:
            raise space_error(self.path, "writing stopped short") from error
        self.n_written += samples.shape[1]

    def finish(self) -> None:
        """Close the file and make sure that it is whole; leaving the writer puts it in place.

        Leaving does this too. Where several files belong together, finish all before leaving one.
        """
        import soundfile

        if self._file.closed:
            return
        try:
            self._file.close()
            _clear_peak_time(self._temporary)
            self._verify()
            flush(self._temporary)
        except OutputError:
            raise
        except (soundfile.LibsndfileError, OSError) as error:
            raise space_error(self.path, str(error)) from error

    def __exit__(self, *details: Any) -> None:
        import soundfile

        try:
            if details[0] is None:
                self.finish()
            else:
                with contextlib.suppress(soundfile.LibsndfileError, OSError):
                    self._file.close()
        except BaseException:
            self._stack.__exit__(*sys.exc_info())
            raise
        self._stack.__exit__(*details)

    def _verify(self) -> None:
        import soundfile

        found = soundfile.info(os.fsencode(self._temporary))
        if (found.frames, found.channels, found.samplerate) != (
            self.n_written,
            self.n_channels,
            self.sample_rate,
        ):
            raise space_error(self.path, "what was written does not read back whole")


def write(path: StrPath, audio: Audio, subtype: str | None = None) -> Path:
    """Write a whole audio file or none.

    Parameters
    ----------
    path : str or os.PathLike
        The file; the extension gives the container: wav, flac or aiff.
    audio : Audio
        What to write. PCM formats clip what is outside -1 … 1.
    subtype : str, optional
        Sample format; default: that of `audio`, where the container has it.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    path = Path(path)
    extension = path.suffix.lower().lstrip(".")
    if subtype is None and extension in OUTPUT_FORMATS:
        subtype = output_subtype(audio.subtype, extension)
    with AudioWriter(
        path, audio.sample_rate, audio.n_channels, subtype or audio.subtype, audio.n_samples
    ) as writer:
        for block in audio.blocks():
            writer.write(block)
    return path


def warn_if_unusual(name: str, n_samples: int, n_fft: int, peak: float) -> None:
    """Warn about a recording that is silent or shorter than one analysis window."""
    if peak == 0:
        warnings.warn(AudioWarning(f"{name} is silent; so are its stems"), stacklevel=3)
    elif n_samples < n_fft:
        warnings.warn(
            AudioWarning(
                f"{name} has {n_samples} samples, less than one window of {n_fft}; "
                "expect little from the separation"
            ),
            stacklevel=3,
        )


class _Finite:
    """Counts what is not finite over the blocks of one recording."""

    def __init__(self, name: str) -> None:
        self._name, self._n_seen = name, 0

    def check(self, samples: Samples, rest: Any = None) -> None:
        """Raise if `samples` hold NaN or infinity; count on through the file `rest`."""
        if (np.abs(samples) <= _LOUDEST).all():
            self._n_seen += samples.shape[1]
            return
        bad = ~np.isfinite(samples)
        if not bad.any():
            first = self._n_seen + int(np.argmax((np.abs(samples) > _LOUDEST).any(axis=0)))
            raise InvalidAudioError(
                f"{self._name} has samples beyond {_LOUDEST:g}, the first at sample {first}, whose "
                "sums float32 cannot hold; scale it down in an audio editor"
            )
        count, first = int(bad.sum()), self._n_seen + int(np.argmax(bad.any(axis=0)))
        while rest is not None and len(block := rest.read(_BLOCK, "float32", always_2d=True)):
            count += int((~np.isfinite(block)).sum())
        raise InvalidAudioError(
            f"{self._name} has {count} samples that are not finite (NaN, infinity or beyond "
            f"float32), the first at sample {first}; repair it in an audio editor"
        )


def _name(path: Path | None) -> str:
    return "the array of samples" if path is None else repr(str(path))


def _whole_rate(sample_rate: Any) -> int:
    number = isinstance(sample_rate, int | float | np.integer | np.floating)
    if not number or sample_rate % 1 != 0:  # true for NaN and infinity
        raise ParameterError(f"sample_rate must be a whole number of Hz, not {sample_rate!r}")
    return int(sample_rate)


def _check_not_empty(name: str, n_samples: int) -> None:
    if n_samples == 0:
        raise InvalidAudioError(
            f"{name} holds no samples; was its recording or download broken off?"
        )


@contextlib.contextmanager
def _open(path: Path, stamp: tuple[int, ...] | None = None) -> Iterator[Any]:
    """Open a file by its content alone: without a name libsndfile cannot trust the extension.

    With a `stamp` it must be the file that had it, before and after it is read.
    """
    import soundfile

    unknown = f"{str(path)!r} is not an audio file that can be read"
    with contextlib.ExitStack() as stack:
        source: int | bytes = os.fsencode(path)
        ordinary = stack.enter_context(open_ordinary(path))
        if stamp is not None and _stamp(ordinary) != stamp:
            raise _changed(path)
        try:
            if os.name == "posix":
                source = ordinary.fileno()
            file = stack.enter_context(_sequential_file()(source, closefd=False))
        except soundfile.LibsndfileError as error:
            reason = error.error_string
            if reason.startswith("File does not exist"):  # said of what no decoder can make out
                reason = "its content is of no known kind"
            raise AudioReadError(0, f"{unknown}: {reason}") from error
        except OSError as error:
            raise AudioReadError(error.errno, f"{unknown}: {error.strerror}") from error
        except (TypeError, ValueError, UnboundLocalError) as error:
            raise AudioReadError(0, f"{unknown}: its content is of no known kind") from error
        yield file
        if stamp is not None and _stamp(ordinary) != stamp:
            raise _changed(path)


def _stamp(stream: Any) -> tuple[int, ...]:
    """Return what changes when a file is written to, or another one takes its name."""
    status = os.fstat(stream.fileno())
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _changed(path: Path) -> AudioReadError:
    return AudioReadError(
        0, f"{str(path)!r} was replaced or changed while it was read; run it again"
    )


@functools.cache
def _sequential_file() -> Any:
    """Return `soundfile.SoundFile` without its seek after each read.

    That seek goes to the end of what was read by the header's account. It fails where the header
    lies or gives no length, though all samples can be read in their order.
    """
    import soundfile

    class SequentialFile(soundfile.SoundFile):  # type: ignore[misc]  # soundfile has no types
        def seekable(self) -> bool:
            return False

    return SequentialFile


def _count(file: Any, path: Path) -> int:
    """Return the length of a file whose header gives none, such as a FLAC stream's."""
    n_samples = 0
    while n_block := len(_read_block(file, _BLOCK, path)):
        n_samples += n_block
    return n_samples


def _read_block(file: Any, size: int, path: Path) -> NDArray[np.float32]:
    import soundfile

    try:
        block: NDArray[np.float32] = file.read(size, "float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise AudioReadError(0, f"{str(path)!r} is damaged: {error.error_string}") from error
    return block


def _check_writable(path: Path, extension: str, subtype: str) -> None:
    import soundfile

    if extension not in OUTPUT_FORMATS:
        raise ParameterError(
            f"{str(path)!r}: stems are written as {', '.join(OUTPUT_FORMATS)}, not {extension!r}"
        )
    known = subtype in _PCM_BITS or subtype in _FLOAT_BYTES
    if not (known and soundfile.check_format(OUTPUT_FORMATS[extension], subtype)):
        raise ParameterError(f"{str(path)!r}: {extension} files cannot hold {subtype!r} samples")


def _quantise(samples: Samples, bits: int) -> NDArray[np.int16] | NDArray[np.int32]:
    """Round to `bits` of PCM, left-aligned, in a type that libsndfile takes without rescaling.

    A power of two scales float32 without rounding; only 32 bits need float64 for their limits.
    """
    limit = math.ldexp(1.0, bits - 1)
    steps = np.multiply(samples, limit, dtype=np.float64 if bits == 32 else np.float32)
    np.rint(steps, out=steps)
    np.clip(steps, -limit, limit - 1, out=steps)
    if bits == 16:
        return steps.astype(np.int16)
    return steps.astype(np.int32) << np.int32(32 - bits)


def _clear_peak_time(path: Path) -> None:
    """Zero the time stamp in the PEAK chunk that libsndfile adds to float files.

    Without it the same stems would give other bytes each second.
    """
    with path.open("r+b") as file:
        order = {b"RIFF": "little", b"RF64": "little", b"FORM": "big"}.get(file.read(4))
        if order is None:
            return
        position = 12
        while True:
            file.seek(position)
            header = file.read(8)
            if len(header) < 8 or header[:4] in (b"data", b"SSND"):
                return
            if header[:4] == b"PEAK":
                file.seek(position + 12)
                file.write(bytes(4))
                return
            size = int.from_bytes(header[4:], "little" if order == "little" else "big")
            position += 8 + size + size % 2
