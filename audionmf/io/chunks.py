"""What the header of a chunked audio file claims, held against what is there.

libsndfile opens a recording that was broken off, or whose header lies, and gives what it finds
without a word. So the chunks of RIFF, RIFX, RF64, Wave64 and AIFF files are walked here first: a
header that cannot be worked with is refused, one that claims more than the file holds is told. Only
headers are read, a bounded number of them, and no size that a file gives is trusted or allocated.

The layouts are those of "Multimedia Programming Interface and Data Specifications 1.0" (IBM and
Microsoft, 1991), EBU Tech 3306 (RF64), Sony's Wave64 and Apple's "Audio Interchange File Format".
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NoReturn

from audionmf.errors import AudioReadError, InvalidAudioError, LimitError
from audionmf.io.files import open_ordinary

__all__ = ["Claims", "check_layout", "read_claims", "wave_chunks"]

_MAX_CHANNELS = 64
_MIN_RATE, _MAX_RATE = 1_000, 768_000
_MAX_CHUNKS = 4096
_LARGEST_RIFF = 1 << 32
_MOST_OTHER = 1 << 20
"""Bytes that chunks beside the samples may have in a file whose size has wrapped."""
_SLACK = 8
"""Bytes by which writers are off in the size of a whole file: a pad byte, or their own header."""

_UNKNOWN_32 = frozenset({0x7FFFF000, 0x7FFFF024, 0x7FFFFFFF, 0x80000000, 0x80000024, 0xFFFFFFFF})
"""Sizes that programs write which cannot go back to fill the right ones in: SoX, FFmpeg, ALSA."""
_NARROW = 0xFFFFFFFF
_UNKNOWN_64 = frozenset({(1 << 63) - 1, (1 << 64) - 1})

_PCM, _FLOAT, _ALAW, _ULAW, _EXTENSIBLE = 1, 3, 6, 7, 0xFFFE
_PLAIN_TAGS = (_PCM, _FLOAT, _ALAW, _ULAW, _EXTENSIBLE)
"""Formats in which each sample has its own bytes, so that a frame has a fixed size."""

_W64_RIFF = b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00"
_W64_TAIL = b"\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a"
_PLAIN_AIFC = (b"NONE", b"twos", b"sowt", b"raw ", b"in24", b"in32", b"fl32", b"fl64")


@dataclass(frozen=True)
class Claims:
    """What a header claims about the samples, and what of them is there.

    Parameters
    ----------
    claimed : int or None
        Bytes of samples by the header; None for a stream, whose writer could not know.
    present : int
        Bytes of samples that are in the file.
    missing : float
        Seconds of sound that the header claims and the file does not hold.
    remark : str
        What the user should know, to go behind the name of the file; empty if nothing is odd.
    """

    claimed: int | None
    present: int
    missing: float = 0.0
    remark: str = ""


@dataclass(frozen=True)
class _Chunk:
    name: bytes
    start: int
    size: int


@dataclass(frozen=True)
class _Form:
    """The format of the samples: what `missing` bytes are in seconds."""

    sample_rate: int
    bytes_per_second: float
    frame_bytes: int
    words: str
    align: int | None = None

    def seconds(self, n_bytes: int) -> float:
        if self.frame_bytes:
            return -(-n_bytes // self.frame_bytes) / self.sample_rate
        return n_bytes / self.bytes_per_second if self.bytes_per_second > 0 else 0.0


def read_claims(path: Path) -> Claims | None:
    """Walk the chunks of a file.

    Parameters
    ----------
    path : pathlib.Path
        An ordinary file.

    Returns
    -------
    Claims or None
        None if the file is of another kind; then nothing is known about it.

    Raises
    ------
    AudioReadError
        If the header lacks what it must have, has it twice or in the wrong order, gives a size of 0
        to samples that are there, or has more than 4096 chunks.
    InvalidAudioError
        If it gives no channels or an absurd sample rate.
    LimitError
        If it gives more than 64 channels.
    """
    try:
        with open_ordinary(path) as stream:
            return _Walk(stream, repr(str(path))).claims()
    except (AudioReadError, FileNotFoundError):
        raise
    except OSError as error:
        raise AudioReadError(error.errno, f"{str(path)!r}: {error.strerror}") from error


def wave_chunks(path: Path, names: Iterable[bytes], most: int) -> dict[bytes, bytes]:
    """Return what chunks of a RIFF, RF64 or AIFF file hold; nothing of other files.

    Parameters
    ----------
    path : pathlib.Path
        An ordinary file, whose header `read_claims` did not refuse.
    names : iterable of bytes
        Of the chunks.
    most : int
        Bytes up to which a chunk is read; larger ones are left out.
    """
    wanted, found = set(names), dict[bytes, bytes]()
    try:
        with path.open("rb") as stream:
            for name, body in _Walk(stream, repr(str(path))).bodies(wanted, most):
                found.setdefault(name, body)
    except (OSError, struct.error):  # what is damaged says nothing
        pass
    return found


def check_layout(
    name: str, sample_rate: int, n_channels: int, n_samples: int | None = None
) -> None:
    """Refuse rates and numbers of channels that no recording has.

    Raises
    ------
    InvalidAudioError
        If the rate is not within 1 kHz to 768 kHz, or there are no channels.
    LimitError
        If there are more than 64 channels.
    """
    if not _MIN_RATE <= sample_rate <= _MAX_RATE:
        raise InvalidAudioError(
            f"{name} has a sample rate of {sample_rate} Hz; {_MIN_RATE} to {_MAX_RATE} Hz is taken"
        )
    if n_samples is not None and n_channels > max(n_samples, _MAX_CHANNELS):
        raise LimitError(
            f"{name} has {n_channels} channels of {n_samples} samples each, so it looks turned: "
            "samples are (n_channels, n_samples); give samples.T"
        )
    if n_channels > _MAX_CHANNELS:
        raise LimitError(f"{name} has {n_channels} channels; {_MAX_CHANNELS} is the most")
    if n_channels < 1:
        raise InvalidAudioError(f"{name} has no channels")


class _Walk:
    """Goes through the chunks of one file."""

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self._stream, self._name = stream, name
        self._size = os.fstat(stream.fileno()).st_size
        self._order = "<"

    def claims(self) -> Claims | None:
        """Find out the kind of the file, and what it claims."""
        head = self._read(0, 40)
        if head[:4] in (b"RIFF", b"RIFX", b"RF64") and head[8:12] == b"WAVE":
            self._order = ">" if head[:4] == b"RIFX" else "<"
            return self._wave(wide=head[:4] == b"RF64")
        if head[:16] == _W64_RIFF and head[24:40] == b"wave" + _W64_TAIL:
            return self._wave64()
        if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
            self._order = ">"
            return self._aiff()
        return None

    def bodies(self, names: set[bytes], most: int) -> Iterator[tuple[bytes, bytes]]:
        """Yield the chunks of a RIFF, RF64 or AIFF file that have one of these names."""
        head = self._read(0, 12)
        if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
            self._order = ">"
        elif head[:4] not in (b"RIFF", b"RF64") or head[8:12] != b"WAVE":
            return
        for chunk in self._chunks(stop_at_stream=True):
            if chunk.name in names and chunk.size <= most:
                body = self._read(chunk.start, chunk.size)
                if len(body) == chunk.size:
                    yield chunk.name, body

    def _read(self, position: int, n_bytes: int) -> bytes:
        self._stream.seek(position)
        return self._stream.read(n_bytes)

    def _unpack(self, layout: str, position: int) -> tuple[int, ...]:
        """Return numbers at a position; the caller knows that they are there."""
        layout = self._order + layout
        return struct.unpack(layout, self._read(position, struct.calcsize(layout)))

    def _refuse(self, reason: str) -> NoReturn:
        raise AudioReadError(errno.EINVAL, f"{self._name} is damaged: {reason}")

    # --- the kinds of file

    def _wave(self, *, wide: bool) -> Claims:
        """RIFF, RIFX and RF64: names of 4 bytes, sizes of 4; RF64 has wider ones in ``ds64``."""
        chunks = list(self._chunks(stop_at_stream=True))
        fmt, data = self._pair(chunks, b"fmt ", b"data")
        total, size = self._unpack("I", 4)[0], data.size
        table = next((c for c in chunks if c.name == b"ds64" and c.size >= 16), None)
        if wide and table is not None and table.start + 16 <= self._size:
            wide_total, wide_size = self._unpack("QQ", table.start)
            total = wide_total if total == _NARROW else total
            size = wide_size if size == _NARROW else size
        stream = size in _UNKNOWN_64 or (size in _UNKNOWN_32 and data.start + size > self._size)
        return self._compare(self._form(fmt), data, None if stream else size, total, 8)

    def _wave64(self) -> Claims:
        """Wave64: names of 16 bytes, sizes of 8 that count the header too, padded to 8 bytes."""
        chunks = list(self._wide_chunks())
        fmt, data = self._pair(chunks, b"fmt ", b"data")
        total = self._unpack("Q", 16)[0]
        unknown = data.size + 24 in _UNKNOWN_64
        return self._compare(self._form(fmt), data, None if unknown else data.size, total, 0)

    def _aiff(self) -> Claims:
        """AIFF and AIFF-C: as RIFF, but big-endian, with the number of frames in ``COMM``."""
        chunks = list(self._chunks())
        common, data = self._pair(chunks, b"COMM", b"SSND", ordered=False)
        if common.size < 18 or common.start + 18 > self._size:
            self._refuse("its 'COMM' chunk is too short")
        n_channels, n_frames, bits, exponent, mantissa = self._unpack("hLhHQ", common.start)
        rate = _extended(exponent, mantissa)
        check_layout(self._name, rate, n_channels)
        kind = self._read(common.start + 18, 4) if self._read(8, 4) == b"AIFC" else b"NONE"
        frame_bytes = n_channels * -(-bits // 8) if kind in _PLAIN_AIFC else 0
        claimed = max(0, data.size - 8)
        per_second = claimed * rate / n_frames if n_frames else 0.0
        form = _Form(rate, per_second, frame_bytes, _words(bits, n_channels, rate))
        samples = _Chunk(data.name, data.start + 8, claimed)
        return self._compare(form, samples, claimed, self._unpack("I", 4)[0], 8)

    # --- chunks

    def _chunks(self, *, stop_at_stream: bool = False) -> Iterator[_Chunk]:
        position = 12
        for _ in range(_MAX_CHUNKS):
            header = self._read(position, 8)
            if len(header) < 8 or not _printable(header[:4]):  # padding
                return
            size = struct.unpack(self._order + "I", header[4:])[0]
            yield _Chunk(header[:4], position + 8, size)
            if stop_at_stream and header[:4] == b"data" and size in _UNKNOWN_32:
                return
            position += 8 + size + size % 2
        self._refuse(f"it holds more than {_MAX_CHUNKS} chunks")

    def _wide_chunks(self) -> Iterator[_Chunk]:
        position = 40
        for _ in range(_MAX_CHUNKS):
            header = self._read(position, 24)
            if len(header) < 24:
                return
            size = struct.unpack("<Q", header[16:])[0]
            if size < 24:
                self._refuse(f"it holds a chunk of {size} bytes, less than its own header")
            known = header[4:16] == _W64_TAIL
            yield _Chunk(header[:4] if known else header[:16], position + 24, size - 24)
            position += size + -size % 8
            if position >= self._size:
                return
        self._refuse(f"it holds more than {_MAX_CHUNKS} chunks")

    def _pair(
        self, chunks: list[_Chunk], form: bytes, data: bytes, *, ordered: bool = True
    ) -> tuple[_Chunk, _Chunk]:
        """Return the one chunk that has the format, and the one that has the samples."""
        names = [chunk.name for chunk in chunks]
        for name in (form, data):
            if names.count(name) != 1:
                found = "has no" if name not in names else "has more than one"
                self._refuse(f"it {found} {name.decode()!r} chunk")
        if ordered and names.index(data) < names.index(form):
            self._refuse(f"its {data.decode()!r} chunk comes before its {form.decode()!r} chunk")
        return chunks[names.index(form)], chunks[names.index(data)]

    def _form(self, chunk: _Chunk) -> _Form:
        if chunk.size < 16 or chunk.start + 16 > self._size:
            self._refuse("its 'fmt ' chunk is too short")
        tag, n_channels, rate, per_second, align, bits = self._unpack("HHIIHH", chunk.start)
        check_layout(self._name, rate, n_channels)
        if tag in _PLAIN_TAGS and bits == 0:
            self._refuse("its samples have 0 bits")
        frame_bytes = n_channels * -(-bits // 8) if tag in _PLAIN_TAGS else 0
        return _Form(rate, per_second, frame_bytes, _words(bits, n_channels, rate), align)

    # --- what is claimed, and what is there

    def _compare(
        self, form: _Form, data: _Chunk, claimed: int | None, total: int, uncounted: int
    ) -> Claims:
        """Hold a header against the file: `claimed` bytes of samples, `total` + `uncounted` in all."""
        rest = max(0, self._size - data.start)
        if claimed is None:
            return Claims(None, rest)
        if claimed == 0 and rest and not self._is_chunk(data.start):
            self._refuse(
                f"its header gives its samples 0 bytes and {rest} follow, so its recording was "
                f"broken off; to save it, import it into an audio editor as raw data ({form.words})"
            )
        wrapped = bool(uncounted) and rest - claimed >= _LARGEST_RIFF - _MOST_OTHER
        lost = rest - claimed if wrapped else max(0, claimed - rest)
        missing = form.seconds(lost)
        if wrapped:
            remark = (
                "is larger than 4 GiB, which its kind of header cannot say; it is read as far as "
                f"that goes: {missing:.2f} s are missing at its end"
            )
        elif lost:
            remark = (
                f"ends before its header says: {missing:.2f} s are missing at its end; was its "
                "recording or download broken off?"
            )
        elif form.frame_bytes and form.align not in (None, form.frame_bytes):
            missing, remark = self._misaligned(form, claimed)
        elif total == 0:
            remark = (
                "has a header that was never finished, so its recording was broken off; "
                f"{missing:.2f} s are missing as far as it tells"
            )
        elif total not in _UNKNOWN_32 | _UNKNOWN_64 and total + uncounted - self._size > _SLACK:
            remark = (
                f"ends {total + uncounted - self._size} bytes before its header says, after its "
                f"samples; {missing:.2f} s are missing"
            )
        else:
            remark = ""
        return Claims(claimed, min(claimed, rest), missing, remark)

    @staticmethod
    def _misaligned(form: _Form, claimed: int) -> tuple[float, str]:
        read = claimed // form.frame_bytes / form.sample_rate
        by_header = claimed // form.align / form.sample_rate if form.align else read
        missing = max(0.0, by_header - read)
        return missing, (
            f"gives {form.align} bytes to a frame, where {form.words} has {form.frame_bytes}; read "
            f"so, {missing:.2f} s of its claimed length are missing; listen to it first"
        )

    def _is_chunk(self, position: int) -> bool:
        """Tell whether something at a position looks like a chunk that ends within the file."""
        header = self._read(position, 24)
        if header[4:16] == _W64_TAIL:
            return True
        if len(header) < 8 or not _printable(header[:4]):
            return False
        size = int.from_bytes(header[4:8], "big" if self._order == ">" else "little")
        return position + 8 + size <= self._size


def _printable(name: bytes) -> bool:
    return name.isascii() and name.decode("ascii").isprintable()


def _extended(exponent: int, mantissa: int) -> int:
    """Return an 80-bit float as a whole number; 0 for what is none, or not within 32 bits."""
    shift = exponent - 16383
    return mantissa >> (63 - shift) if 0 <= shift < 32 else 0


def _words(bits: int, n_channels: int, rate: int) -> str:
    channels = {1: "mono", 2: "stereo"}.get(n_channels, f"{n_channels} channels")
    return f"{bits}-bit {channels} at {rate} Hz"
