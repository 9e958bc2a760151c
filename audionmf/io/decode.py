"""Samples out of a file by libsndfile, block by block, and the checks on them."""

from __future__ import annotations

import contextlib
import errno
import functools
import os
from collections.abc import Iterable, Iterator, Mapping
from numbers import Number
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audionmf.errors import AudioReadError, InvalidAudioError, ParameterError
from audionmf.io.ffmpeg import readable
from audionmf.io.files import empty_file, open_ordinary
from audionmf.io.foreign import conversion
from audionmf.io.formats import FLOAT_BYTES, PCM_BITS
from audionmf.io.joined import Span, Window

__all__ = [
    "BLOCK",
    "Finite",
    "Samples",
    "array_of",
    "check_not_empty",
    "count",
    "in_one",
    "is_plain",
    "mean_offset",
    "open_audio",
    "read_block",
    "read_channels",
    "refuse_no_recording",
    "scaled",
    "skip",
    "stamp_of",
]

Samples = NDArray[np.float32]

BLOCK = 1 << 18
"""Samples of a channel that are read at a time."""

_FULL_SCALES = {"int8": 2**7, "uint8": 2**7, "int16": 2**15, "uint16": 2**15, "int32": 2**31}
_SHORT = "PCM_16"
"""Sample format that is read as it is, in whatever container."""

_LEAST_SOUND = 1e-6
"""Share of the power that must vary for the rest to be an offset."""

_LOUDEST = 1e32
"""Largest sample: sums over a window of 2²⁰ such are within float32."""

_PLAIN = ("WAV", "WAVEX", "RF64", "W64", "AIFF")
"""Containers in which a sample is found by its number."""

_MOST_AT_ONCE = 1 << 26
"""Samples of a channel that room is made for on the word of a header, which may be wrong."""

_LEAST_OFFSET = 0.01
"""Share of the root mean square from which a constant offset counts; below it changes nothing."""


class Finite:
    """Counts what is not finite over the blocks of one recording."""

    def __init__(self, name: str) -> None:
        self._name, self._n_seen = name, 0

    def check(self, samples: Samples, rest: Any = None) -> None:
        """Raise if `samples` hold NaN or infinity; count on through the file `rest`."""
        if samples.size == 0 or (samples.max() <= _LOUDEST and samples.min() >= -_LOUDEST):
            self._n_seen += samples.shape[1]  # NaN would be both, and neither is true of it
            return
        bad = ~np.isfinite(samples)
        if not bad.any():
            first = self._n_seen + int(np.argmax((np.abs(samples) > _LOUDEST).any(axis=0)))
            raise InvalidAudioError(
                f"{self._name} has samples beyond {_LOUDEST:g}, the first at sample {first}, whose "
                "sums float32 cannot hold; scale it down in an audio editor"
            )
        count, first = int(bad.sum()), self._n_seen + int(np.argmax(bad.any(axis=0)))
        while rest is not None and len(block := rest.read(BLOCK, "float32", always_2d=True)):
            count += int((~np.isfinite(block)).sum())
        raise InvalidAudioError(
            f"{self._name} has {count} samples that are not finite (NaN, infinity or beyond "
            f"float32), the first at sample {first}; repair it in an audio editor"
        )


def check_not_empty(name: str, n_samples: int) -> None:
    """Refuse a recording without samples."""
    if n_samples == 0:
        raise InvalidAudioError(
            f"{name} holds no samples; was its recording or download broken off?"
        )


@contextlib.contextmanager
def open_audio(
    path: Path, span: Span | None = None, stamp: tuple[int, ...] | None = None
) -> Iterator[Any]:
    """Open a file by its content alone: without a name libsndfile cannot trust the extension.

    With a `stamp` it must be the file that had it, before and after it is read. What libsndfile does
    not read is opened as ffmpeg decoded it.
    """
    import soundfile

    unknown = f"{str(path)!r} is not an audio file that can be read"
    with contextlib.ExitStack() as stack:
        ordinary = _numbered(path, stack)
        if stamp is not None and stamp_of(ordinary) != stamp:
            raise _changed(path)
        if told := empty_file(path):
            raise AudioReadError(errno.ENODATA, told)
        decoded = readable(path)
        source: Any = os.fsencode(decoded)
        opened = ordinary if decoded is path else _numbered(decoded, stack)
        try:
            if span is not None:
                source = Window(opened, span)
            elif os.name == "posix":
                source = opened.fileno()
            file = stack.enter_context(_sequential_file()(source, closefd=False))
        except soundfile.LibsndfileError as error:
            reason = error.error_string
            if reason.startswith("File does not exist"):  # said of what no decoder can make out
                reason = "its content is of no known kind"
            raise AudioReadError(0, f"{unknown}: {conversion(path) or reason}") from error
        except OSError as error:
            raise AudioReadError(error.errno, f"{unknown}: {error.strerror}") from error
        except (TypeError, ValueError, UnboundLocalError) as error:
            reason = conversion(path) or "its content is of no known kind"
            raise AudioReadError(0, f"{unknown}: {reason}") from error
        yield file
        if stamp is not None and stamp_of(ordinary) != stamp:
            raise _changed(path)


def _numbered(path: Path, stack: contextlib.ExitStack) -> Any:
    """Open a file by a plain number, which is closed even where all else is let go."""
    with open_ordinary(path) as opened:
        number = os.dup(opened.fileno())
    stack.callback(os.close, number)
    return os.fdopen(number, "rb", closefd=False)


def stamp_of(stream: Any) -> tuple[int, ...]:
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


def count(file: Any, path: Path) -> int:
    """Return the length of a file whose header gives none, such as a FLAC stream's."""
    n_samples = 0
    while n_block := len(read_block(file, BLOCK, path)):
        n_samples += n_block
    return n_samples


def skip(file: Any, n_samples: int, path: Path) -> int:
    """Go on by so many samples; return by how many, fewer at the end of the file.

    It is done at once where every sample has its own bytes, else by decoding them.
    """
    import soundfile

    if not n_samples:
        return 0
    if is_plain(file.format, file.subtype):
        with contextlib.suppress(soundfile.LibsndfileError):
            file.seek(n_samples)
            return n_samples
    left = n_samples
    while left > 0 and (n_read := len(read_block(file, min(left, BLOCK), path))):
        left -= n_read
    return n_samples - left


def is_plain(container: str, subtype: str) -> bool:
    """Tell whether each sample has its own bytes, so that to read a file again takes little time."""
    return container in _PLAIN and subtype in (*PCM_BITS, *FLOAT_BYTES)


def read_block(file: Any, size: int, path: Path) -> NDArray[np.float32]:
    """Read the next samples of an open file, of shape (n, n_channels); none are left at its end."""
    with _damage_told(path):
        block: NDArray[np.float32] = file.read(size, "float32", always_2d=True)
    return block


@contextlib.contextmanager
def _damage_told(path: Path) -> Iterator[None]:
    """Raise what libsndfile says of a damaged file as our own error."""
    import soundfile

    try:
        yield
    except soundfile.LibsndfileError as error:
        raise AudioReadError(0, f"{str(path)!r} is damaged: {error.error_string}") from error


def read_channels(file: Any, size: int, path: Path, finite: Finite) -> Samples:
    """Read the next samples of an open file, as `read_block` does, of shape (n_channels, n).

    Of 16 bits they are read as such and scaled while they are put in the order of channels: the same
    numbers, without what libsndfile converts a piece at a time, and nothing that has to be checked.
    """
    if file.subtype != _SHORT:
        block = read_block(file, size, path).T
        finite.check(block, file)
        return np.ascontiguousarray(block)
    with _damage_told(path):
        steps: NDArray[np.int16] = file.read(size, "int16", always_2d=True)
    samples = np.empty(steps.shape[::-1], np.float32)
    np.multiply(steps.T, np.float32(1 / _FULL_SCALES["int16"]), out=samples)
    return samples


def array_of(samples: Any) -> Any:
    """Return samples as an array: of NumPy, of lists, or of whatever says how it becomes one.

    A table of pandas has a column a channel, and is turned.
    """
    if hasattr(samples, "iloc") and hasattr(samples, "columns"):
        samples = samples.to_numpy().T
    try:
        return np.asarray(samples)
    except (RuntimeError, TypeError, ValueError) as error:
        kind = type(samples).__name__
        floats = ".float()" if str(getattr(samples, "dtype", "")).endswith("bfloat16") else ""
        way = f".detach(){floats}.cpu().numpy()" if hasattr(samples, "detach") else ""
        raise InvalidAudioError(
            f"the {kind} is no array of samples ({_first_line(error)}); give "
            + (f"samples{way}" if way else "a NumPy array of shape (n_channels, n_samples)")
        ) from error


def refuse_no_recording(source: Any) -> None:
    """Refuse what cannot be a recording: nothing, a number, a mapping, bytes, a pair with the rate."""
    if source is None or isinstance(source, Mapping | set | Number):
        raise ParameterError(
            "a recording is a path, an open binary file, an audionmf.Audio or an array of samples, "
            f"not {type(source).__name__}"
        )
    if isinstance(source, bytes | bytearray | memoryview):
        raise ParameterError("bytes of a file are not samples; give io.BytesIO(...) of them")
    if not isinstance(source, tuple) or len(source) != 2:
        return
    numbers = [isinstance(item, int | float | np.integer | np.floating) for item in source]
    if numbers[0] != numbers[1]:
        order = "(sample_rate, samples)" if numbers[0] else "(samples, sample_rate)"
        raise ParameterError(
            f"a tuple {order} is no recording; give audionmf.Audio(samples, sample_rate), with "
            "samples of shape (n_channels, n_samples): those of soundfile and scipy are turned, so "
            "samples.T"
        )


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")


def scaled(name: str, samples: NDArray[Any]) -> NDArray[Any]:
    """Return integers as floats of which 1 is their full scale; floats as they are."""
    if samples.dtype.kind == "f":
        return samples
    scale = _FULL_SCALES.get(samples.dtype.name)
    if scale is None:
        raise InvalidAudioError(
            f"{name} is of type {samples.dtype}, whose full scale cannot be told; divide it by its "
            "full scale, to floats in -1 ... 1"
        )
    middle = scale if samples.dtype.kind == "u" else 0
    floats: Any = samples.astype(np.float64 if scale > 1 << 16 else np.float32)
    floats -= middle
    floats /= scale
    converted: NDArray[Any] = floats
    return converted


def in_one(blocks: Iterable[Samples], n_samples: int) -> Samples:
    """Return blocks one after the other, each copied once, when it comes, and then let go.

    Parameters
    ----------
    blocks : iterable of ndarray, shape (..., any length), float32
        One or more.
    n_samples : int
        How long they are together, as far as is known.

    Returns
    -------
    ndarray, shape (..., n), float32
    """
    whole, n = np.empty(0, np.float32), 0
    for block in blocks:
        stop = n + block.shape[-1]
        if n == 0 or stop > whole.shape[-1]:
            known = min(n_samples, _MOST_AT_ONCE) if n == 0 else 2 * stop
            more = np.empty((*block.shape[:-1], max(stop, known)), np.float32)
            more[..., :n] = whole[..., :n]
            whole = more
        whole[..., n:stop] = block
        n = stop
    return whole if n == whole.shape[-1] else whole[..., :n].copy()


def mean_offset(blocks: Iterable[Samples]) -> Samples:
    """Return the mean of each channel where it is more than a hundredth of the mean square's root.

    A channel that is nothing but its mean keeps it: there is no sound that it would be beside.
    """
    total, squares, n = np.zeros(1), np.zeros(1), 0
    for block in blocks:
        total = total + block.sum(axis=1, dtype=np.float64)
        squares = squares + np.einsum("ct,ct->c", block, block, dtype=np.float64)
        n += block.shape[1]
    mean, power = total / max(1, n), squares / max(1, n)
    counts = np.abs(mean) > _LEAST_OFFSET * np.sqrt(power)
    beside_sound = power - mean**2 > _LEAST_SOUND * power
    offset: Samples = np.where(counts & beside_sound, mean, 0).astype(np.float32)
    return offset
