"""Read and write audio: the checks on what comes in, whole files or none of what goes out.

Samples are float32 of shape ``(n_channels, n_samples)``, in -1 … 1 for PCM files; what a float file
holds beyond that is kept. `Audio` is a recording in memory, `AudioFile` one on disk: both hand out
their samples block by block in the same way, so that what works on one works on the other.

libsndfile (through soundfile) does the decoding; the extension of a file is not trusted, its
content is.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import functools
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import ArrayLike

from audionmf.errors import (
    AudioReadError,
    AudioWarning,
    InvalidAudioError,
    LimitError,
    OutputError,
    ParameterError,
)
from audionmf.io.broken import broken_remark, explaining_cuts, refuse_unclear
from audionmf.io.chunks import check_layout, read_claims
from audionmf.io.decode import (
    BLOCK,
    Finite,
    Samples,
    array_of,
    check_not_empty,
    count,
    in_one,
    mean_offset,
    open_audio,
    read_channels,
    refuse_no_recording,
    scaled,
    skip,
    stamp_of,
)
from audionmf.io.encode import clear_peak_time, quantise
from audionmf.io.files import (
    StrPath,
    Together,
    atomic_path,
    flush,
    open_ordinary,
    require_file,
    space_error,
)
from audionmf.io.formats import (
    FLOAT_BYTES,
    LOSSY,
    OUTPUT_FORMATS,
    PCM_BITS,
    check_extension,
    check_form,
    output_subtype,
    set_ogg_serial,
)
from audionmf.io.joined import Span, opus_family, stream_spans
from audionmf.io.tags import Tags, prepare_tags, put_tags, read_tags, speaker_order

__all__ = [
    "Audio",
    "AudioFile",
    "AudioLike",
    "AudioWriter",
    "Samples",
    "as_audio",
    "needs_rate",
    "open_source",
    "read",
    "write",
]

_RF64_ABOVE = (1 << 32) - (1 << 20)
_UNKNOWN_LENGTH = 1 << 62
_GUESSED_SHARE, _GUESSED_SECONDS = 0.02, 0.1
"""By how much MP3, whose length may be guessed from its first frames, may be shorter unsaid."""
_LOSSY_PIECE = 1 << 14
"""Samples that encoders are given at a time: Vorbis keeps all of them on its stack."""


@dataclass(frozen=True, eq=False)
class Audio:
    """A recording in memory.

    Parameters
    ----------
    samples : ndarray, shape (n_channels, n_samples), float32
        The signal. One-dimensional input is one channel; other floats are converted, and integers
        of 8, 16 or 32 bits are scaled by their full scale to -1 … 1, as they are in a file.
    sample_rate : int
        In Hz, 1 000 to 768 000.
    path : pathlib.Path, optional
        Where it was read from.
    subtype : str, default "FLOAT"
        Sample format of the file, in libsndfile's words; stems are written in it.
    tags : Tags, default none
        What the file says of itself; stems say it too.

    Raises
    ------
    InvalidAudioError
        If there are no samples, some are not finite, they are integers of another size, whose full
        scale cannot be told, or the rate is absurd.
    LimitError
        If there are more than 64 channels.
    """

    samples: Samples
    sample_rate: int
    path: Path | None = None
    subtype: str = "FLOAT"
    tags: Tags = field(default_factory=Tags)

    def __repr__(self) -> str:
        return f"<Audio{_described(self)}>"

    def __post_init__(self) -> None:
        name = _name(self.path)
        samples = array_of(self.samples)
        if samples.ndim not in (1, 2) or samples.dtype.kind not in "fiu":
            raise InvalidAudioError(
                f"{name} must be real samples of shape (n_channels, n_samples) or (n_samples,), "
                f"not {samples.dtype} of shape {samples.shape}"
            )
        with np.errstate(over="ignore"):
            samples = np.atleast_2d(scaled(name, samples)).astype(np.float32, copy=False)
        check_layout(name, self.sample_rate, *samples.shape)
        check_not_empty(name, samples.shape[1])
        Finite(name).check(samples)
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

    @functools.cached_property
    def offset(self) -> Samples:
        """The constant offset of each channel, shape (n_channels,); 0 where it does not count."""
        return mean_offset(self.blocks())

    def without_offset(self) -> Audio:
        """Return the same without its constant offset."""
        if not self.offset.any():
            return self
        return dataclasses.replace(self, samples=self.samples - self.offset[:, None])

    def blocks(self, size: int = BLOCK) -> Iterator[Samples]:
        """Yield the samples in order, `size` at a time, as views of shape (n_channels, ≤ size)."""
        for start in range(0, self.n_samples, size):
            yield self.samples[:, start : start + size]


@dataclass(frozen=True, eq=False)
class AudioFile:
    """A recording on disk, read block by block; memory does not grow with its length.

    Parameters
    ----------
    path : str or os.PathLike
        An ordinary file in any format that libsndfile reads; others (MP4, M4A, WebM, WMA, WavPack)
        through ffmpeg, where it is installed.

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
    tags: Tags = field(init=False)
    """What the file says of itself; stems say it too."""
    _spans: tuple[Span | None, ...] = field(init=False, repr=False)
    _order: tuple[int, ...] | None = field(init=False, repr=False)
    taken: Samples | None = field(init=False, repr=False, default=None)
    """The constant offset of each channel that blocks are without; None: they are as they are."""
    _stamp: tuple[int, ...] = field(init=False, repr=False)
    first: int = field(init=False, repr=False, default=0)
    """The sample that blocks begin at; see `audionmf.io.parts`."""
    whole: bool = field(init=False, repr=False, default=True)
    _told: bool = field(init=False, repr=False, default=False)
    """Whether a missing end was warned of already."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__}{_described(self)}>"

    def __post_init__(self) -> None:
        path = require_file(self.path)
        with open_ordinary(path) as stream:
            stamp = stamp_of(stream)
        claims = read_claims(path)
        spans = stream_spans(path)
        opened = open_audio(path, spans[0] if spans else None, stamp)
        with explaining_cuts(path), opened as file:
            refuse_unclear(path, file.format)
            check_layout(_name(path), file.samplerate, file.channels)
            header = {
                "path": path,
                "sample_rate": file.samplerate,
                "n_channels": file.channels,
                "n_samples": file.frames if file.frames < _UNKNOWN_LENGTH else count(file, path),
                "subtype": file.subtype,
                "container": file.format,
                "_stamp": stamp,
            }
            family = opus_family(path) if file.subtype == "OPUS" else 0
            order = speaker_order(file.subtype, family, file.channels)
            vorbis = file.subtype == "VORBIS" or family == 1
            header |= {"tags": read_tags(path, file, vorbis=vorbis), "_order": order}
        header |= self._joined(path, header, spans) if spans else {"_spans": (None,)}
        for name, value in header.items():
            object.__setattr__(self, name, value)
        check_not_empty(_name(path), self.n_samples)
        remark = (claims.remark if claims else "") or broken_remark(
            path, self.container, self.n_samples, self.sample_rate
        )
        if remark:
            warnings.warn(AudioWarning(f"{_name(path)} {remark}"), stacklevel=3)
        object.__setattr__(self, "_told", bool(remark))

    @staticmethod
    def _joined(path: Path, header: dict[str, Any], spans: tuple[Span, ...]) -> dict[str, Any]:
        """Return the streams that go on in the same form, and their length; tell of the others."""
        kept: list[Span] = []
        n_samples, lost, n_unread = 0, 0.0, 0
        for span in spans:
            try:
                with open_audio(path, span) as file:
                    form = file.samplerate, file.channels, file.format, file.subtype
                    n = file.frames if file.frames < _UNKNOWN_LENGTH else count(file, path)
            except AudioReadError:
                n_unread += 1
                continue
            if form == tuple(
                header[key] for key in ("sample_rate", "n_channels", "container", "subtype")
            ):
                kept.append(span)
                n_samples += n
            else:
                lost += n / form[0]
        if lost or n_unread:
            what = f"{lost:.2f} s of it are in another form than its start" if lost else ""
            unread = f"{n_unread} of its streams cannot be read" if n_unread else ""
            text = (
                f"holds {len(spans)} streams one after the other, and is not read whole: "
                f"{' and '.join(filter(None, [what, unread]))}; convert it in an audio editor"
            )
            warnings.warn(AudioWarning(f"{_name(path)} {text}"), stacklevel=4)
        return {"_spans": tuple(kept), "n_samples": n_samples} if kept else {"_spans": (None,)}

    @property
    def duration(self) -> float:
        """Length in seconds, as the header says."""
        return self.n_samples / self.sample_rate

    def blocks(self, size: int = BLOCK) -> Iterator[Samples]:
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
        finite, n_read, ahead = Finite(_name(self.path)), 0, self.first
        for span in self._spans:
            with open_audio(self.path, span, self._stamp) as file:
                ahead -= skip(file, ahead, self.path)
                while (samples := self._read(file, size, n_read, finite)).size:
                    n_read += samples.shape[1]
                    if self._order is not None:
                        samples = samples[list(self._order)]
                    if self.taken is not None:
                        samples = samples - self.taken[:, None]
                    yield samples
        check_not_empty(_name(self.path), n_read)
        self._warn_if_short(n_read)

    def _read(self, file: Any, size: int, n_read: int, finite: Finite) -> Samples:
        """Return the next samples, after `n_read`."""
        size = size if self.whole else min(size, self.n_samples - n_read)
        return read_channels(file, size, self.path, finite)

    @functools.cached_property
    def offset(self) -> Samples:
        """The constant offset of each channel, shape (n_channels,); 0 where it does not count."""
        with warnings.catch_warnings():  # told when it is worked on
            warnings.simplefilter("ignore", AudioWarning)
            return mean_offset(self.blocks())

    def without_offset(self) -> AudioFile:
        """Return the same file, read without its constant offset."""
        if self.taken is not None or not self.offset.any():
            return self
        level = copy.copy(self)
        object.__setattr__(level, "taken", self.offset)
        return level

    def _warn_if_short(self, n_read: int) -> None:
        missing = (self.n_samples - n_read) / self.sample_rate
        guessed = self.subtype.startswith("MPEG")  # in whatever it is wrapped
        slack = _GUESSED_SHARE * self.duration + _GUESSED_SECONDS if guessed else 0
        if missing > slack and not self._told:
            text = f"ends before its header says: {missing:.2f} s are missing at its end"
            warnings.warn(AudioWarning(f"{_name(self.path)} {text}"), stacklevel=3)


Source = Audio | AudioFile
AudioLike = Source | StrPath | IO[bytes] | ArrayLike
"""What stands for a recording: one in memory, one on disk, a path, a file object, or an array."""


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
    return _loaded(AudioFile(Path(path)))


def _loaded(file: AudioFile) -> Audio:
    samples = in_one(file.blocks(), file.n_samples)
    return Audio(samples, file.sample_rate, file.path, file.subtype, file.tags)


def as_audio(source: AudioLike, sample_rate: int | None = None) -> Audio:
    """Return `source` as `Audio` in memory: a path or file object is read, an array wrapped.

    Parameters
    ----------
    source : Audio, path, binary file object or array of shape (n_channels, n_samples) or (n_samples,)
        What to work on.
    sample_rate : int, optional
        In Hz; needed for an array, not taken with anything else.

    Raises
    ------
    ParameterError
        If an array comes without its rate, or anything else with one; or if it is a pair of samples
        and rate.
    """
    opened = open_source(source, sample_rate)
    return opened if isinstance(opened, Audio) else _loaded(opened)


def needs_rate(source: Any) -> bool:
    """Tell whether `source` is an array of samples, which does not bring its sample rate."""
    return not (isinstance(source, Audio | AudioFile | str | os.PathLike) or _is_open_file(source))


def open_source(source: AudioLike, sample_rate: int | None = None) -> Source:
    """Return `source` as something with blocks: a path is opened and not read, an array wrapped.

    Takes and raises what `as_audio` does.
    """
    refuse_no_recording(source)
    is_array = needs_rate(source)
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
    if _is_open_file(source):
        return _read_object(source)
    return Audio(array_of(source), _whole_rate(sample_rate))


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
    tags : Tags, optional
        What the file says of itself, as far as the container has a place for it.

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
        tags: Tags | None = None,
    ) -> None:
        self.path, self._together = Path(path), together
        self._tags = tags or Tags()
        extension = _check_writable(self.path, subtype, sample_rate, n_channels)
        self.sample_rate, self.n_channels, self.subtype = sample_rate, n_channels, subtype
        self.n_written = 0
        self._container = OUTPUT_FORMATS[extension]
        self._lossy = extension in LOSSY
        sample_bytes = FLOAT_BYTES.get(subtype) or PCM_BITS.get(subtype, 0) // 8
        if self._container == "WAV" and n_samples * n_channels * sample_bytes > _RF64_ABOVE:
            self._container = "RF64"
        elif self._container == "WAV" and self._tags.speakers:
            self._container = "WAVEX"
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
            prepare_tags(self._file, self._container, self._tags)
            self._stack = stack.pop_all()
        return self

    def write(self, samples: Samples) -> None:
        """Append samples of shape (n_channels, n)."""
        import soundfile

        if not np.isfinite(samples).all():
            raise InvalidAudioError(
                f"{str(self.path)!r} would hold samples that are not finite; nothing was written"
            )
        bits = PCM_BITS.get(self.subtype)
        piece = _LOSSY_PIECE if self._lossy else max(1, samples.shape[1])
        try:
            for first in range(0, samples.shape[1], piece):
                part = samples[:, first : first + piece].T
                self._file.write(quantise(part, bits) if bits else part)
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
            put_tags(self._temporary, self._container, self._tags)
            clear_peak_time(self._temporary)
            if self._container == "OGG":
                set_ogg_serial(self._temporary)
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
        The file; the extension gives the container: wav, flac, aiff, mp3, ogg or opus.
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
    ParameterError
        If `audio` is something else, such as an array.
    OutputError
        If it cannot be written.
    """
    if not isinstance(audio, Audio):
        raise ParameterError(
            f"what is written is an audionmf.Audio, not {type(audio).__name__}; of an array it is "
            "audionmf.Audio(samples, sample_rate)"
        )
    path = Path(path)
    extension = path.suffix.lower().lstrip(".")
    if subtype is None and extension in OUTPUT_FORMATS:
        subtype = output_subtype(audio.subtype, extension)
    with AudioWriter(
        path, audio.sample_rate, audio.n_channels, subtype or audio.subtype, audio.n_samples,
        tags=audio.tags,
    ) as writer:  # fmt: skip
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


def _described(source: Source) -> str:
    where = "" if source.path is None else f" {str(source.path)!r}"
    form = f"{source.n_channels} × {source.n_samples} samples at {source.sample_rate} Hz"
    return f"{where}: {form}, {source.duration:.2f} s, {source.subtype}"


def _name(path: Path | None) -> str:
    return "the array of samples" if path is None else repr(str(path))


def _whole_rate(sample_rate: Any) -> int:
    number = isinstance(sample_rate, int | float | np.integer | np.floating)
    if not number or sample_rate % 1 != 0:  # true for NaN and infinity
        raise ParameterError(f"sample_rate must be a whole number of Hz, not {sample_rate!r}")
    return int(sample_rate)


def _is_open_file(source: Any) -> bool:
    return hasattr(source, "read") and not isinstance(source, np.ndarray)


def _read_object(source: Any) -> Audio:
    """Read a file object; it is put into a file of its own, where it goes through all checks."""
    name = f"the {type(source).__name__}"
    data = source.read()
    if not isinstance(data, bytes):
        raise ParameterError(
            f"{name} reads no bytes; open the file in binary mode, or give its path"
        )
    with (
        tempfile.TemporaryDirectory(prefix="audionmf-") as folder,
        warnings.catch_warnings(record=True) as caught,
    ):
        warnings.simplefilter("always", AudioWarning)
        path = Path(folder, "object")
        path.write_bytes(data)
        try:
            found = read(path)
        except (AudioReadError, InvalidAudioError, LimitError) as error:
            text = str(error).replace(repr(str(path)), name)
            code = (0,) if isinstance(error, AudioReadError) else ()
            raise type(error)(*code, text) from error
    for warning in caught:
        text = str(warning.message).replace(repr(str(path)), name)
        warnings.warn(warning.category(text), stacklevel=4)
    return dataclasses.replace(found, path=None)


def _check_writable(path: Path, subtype: str, sample_rate: int, n_channels: int) -> str:
    """Return the extension of a file, if it can hold such samples."""
    extension = check_extension(path)
    if extension not in LOSSY or subtype != LOSSY[extension]:
        try:
            check_form(extension, subtype, sample_rate, n_channels)
        except ParameterError as error:
            raise ParameterError(f"{str(path)!r}: {error}") from None
    return extension
