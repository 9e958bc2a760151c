"""What the headers of older audio files claim of their length, held against what is there.

libsndfile opens AU, CAF, VOC, NIST, IFF, MAT, AVR, SDS, XI, WVE and MPC2K files that were broken off
and gives what it finds without a word; so does ffmpeg with AVI and MP4. Each of them says in its header
how long it is: only that is read here, and no size that a file gives is trusted or allocated. RIFF and
AIFF are in `chunks`, Ogg and MP3 in `joined`; a FLAC file that was broken off libsndfile names itself.

The layouts are those of Apple's "Core Audio Format Specification", MathWorks' "MAT-File Format", NIST's
SPHERE, the MIDI Sample Dump Standard, ISO/IEC 14496-12 (MP4), and for the rest as SoX writes them.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from audionmf.io.files import open_ordinary

__all__ = ["Extent", "read_extent"]

_MOST_CHUNKS = 4096
_MOST_TEXT = 1 << 16
_MOST_TAGS = 1 << 15
_VOC_SOUND = (b"\x01", b"\x09")
_AU_BYTES = {1: 1, 2: 1, 3: 2, 4: 3, 5: 4, 6: 4, 7: 8, 27: 1}
"""Bytes of a sample by its encoding; those of ADPCM have no whole ones."""

_UNKNOWN = frozenset({0, 0x7FFFF000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF})
"""Lengths that programs write which cannot go back to fill the right ones in."""


@dataclass(frozen=True)
class Extent:
    """Where a file ends by its header, and where it does.

    Parameters
    ----------
    container : str
        What the file is, in libsndfile's words; "AVI" and "MP4" for what ffmpeg reads.
    claimed : int
        Bytes from the first sample to the end, by the header.
    lost : int
        Bytes of them that are not there.
    surplus : int
        Bytes that follow after the end.
    """

    container: str
    claimed: int
    lost: int
    surplus: int

    @property
    def weak(self) -> bool:
        """Whether a file is hardly told to be of this container by its first bytes."""
        return self.container in ("MAT4", "MPC2K")

    @property
    def share(self) -> float:
        """The lost share of what is claimed, 0 to 1."""
        return self.lost / self.claimed if self.claimed else 0.0


class _Header:
    """The bytes of a file, a few at a time."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.size = os.fstat(stream.fileno()).st_size

    def read(self, position: int, n_bytes: int) -> bytes:
        """Return bytes at a position; fewer at the end of the file."""
        if position >= self.size:
            return b""
        self._stream.seek(position)
        return self._stream.read(n_bytes)

    def unpack(self, layout: str, position: int) -> tuple[int, ...]:
        """Return numbers at a position."""
        return struct.unpack(layout, self.read(position, struct.calcsize(layout)))


_Range = tuple[int, int]
"""Where the samples start, and where the file should end."""


def _au(header: _Header) -> _Range | None:
    order = ">" if header.read(0, 1) == b"." else "<"
    start, n_bytes, encoding, _, n_channels = header.unpack(order + "5I", 4)
    if n_bytes not in _UNKNOWN:
        return start, start + n_bytes
    frame = _AU_BYTES.get(encoding, 1) * n_channels  # a stream: its last frame is whole at least
    return start, header.size + -(header.size - start) % frame


def _avr(header: _Header) -> _Range | None:
    stereo, bits = header.unpack(">HH", 12)
    (n_frames,) = header.unpack(">I", 26)
    n_bytes = n_frames * (2 if stereo else 1) * -(-bits // 8)
    return None if n_frames in _UNKNOWN else (128, 128 + n_bytes)


def _avi(header: _Header) -> _Range | None:
    (n_bytes,) = header.unpack("<I", 4)
    return None if n_bytes in _UNKNOWN else (12, 8 + n_bytes)


def _caf(header: _Header) -> _Range | None:
    position, samples = 8, None
    for _ in range(_MOST_CHUNKS):
        head = header.read(position, 12)
        if len(head) < 12:  # nothing, or part of a chunk's head
            stop = position + (12 if head.strip(b"\0") else 0)
            return None if samples is None else (samples, stop)
        size = int.from_bytes(head[4:], "big", signed=True)
        if size < 0:  # the samples of a stream go on to its end
            return None
        samples = position + 12 if head[:4] == b"data" else samples
        position += 12 + size
    return None


def _flv(header: _Header) -> _Range | None:
    """Go from tag to tag; where there are too many, take the size that many programs write."""
    (position,) = header.unpack(">I", 5)
    for _ in range(_MOST_TAGS):
        if position == header.size:  # some leave the length of the last tag away
            return 0, position
        if position + 4 >= header.size:
            return 0, position + 4
        size = int.from_bytes(header.read(position + 5, 3), "big")
        position += 4 + 11 + size
    told = header.read(0, _MOST_TEXT).partition(b"\0\x08filesize\0")[2][:8]
    size = int(struct.unpack(">d", told)[0])
    return (0, size) if size > 0 else None


def _iff(header: _Header) -> _Range | None:
    position = 12
    for _ in range(_MOST_CHUNKS):
        name, size = header.read(position, 4), *header.unpack(">I", position + 4)
        position += 8
        if name == b"BODY":
            return None if size in _UNKNOWN else (position, position + size)
        position += size + size % 2
    return None


def _mat4(header: _Header) -> _Range | None:
    order, position, start = ("<" if header.read(2, 2) == b"\0\0" else ">"), 0, 0
    for _ in range(2):  # the rate, then the samples
        kind, n_rows, n_columns, complex_, n_name = header.unpack(order + "5I", position)
        n_bytes = (8, 4, 4, 2, 2, 1)[kind % 100 // 10]
        start = position + 20 + n_name
        position = start + n_rows * n_columns * n_bytes * (2 if complex_ else 1)
    return start, position


def _mat5(header: _Header) -> _Range | None:
    order, position, start = ("<" if header.read(126, 2) == b"IM" else ">"), 128, 0
    for _ in range(2):
        _, size = header.unpack(order + "II", position)
        start, position = position + 8, position + 8 + size
    for _ in range(3):  # flags, shape, name
        start = _after(header, order, start)
    _, size = header.unpack(order + "II", start)
    return start + 8, start + 8 + size


def _after(header: _Header, order: str, position: int) -> int:
    """Return where an element of a matrix ends; small ones have their content in their head."""
    kind, size = header.unpack(order + "II", position)
    return position + 8 + (0 if kind >> 16 else size + -size % 8)


def _mp4(header: _Header) -> _Range | None:
    position = 0
    for _ in range(_MOST_CHUNKS):
        if position >= header.size:
            return 0, position
        (size,) = header.unpack(">I", position)
        if size == 1:
            (size,) = header.unpack(">Q", position + 8)
        if size < 8:  # 0 goes on to the end
            return None
        position += size
    return None


def _mpc2k(header: _Header) -> _Range | None:
    stereo = header.read(21, 1) != b"\0"
    (n_frames,) = header.unpack("<I", 30)
    return 42, 42 + n_frames * 2 * (2 if stereo else 1)


def _nist(header: _Header) -> _Range | None:
    start = int(header.read(8, 8))
    values = {}
    for line in header.read(16, min(start, _MOST_TEXT)).decode("latin-1").split("\n"):
        words = line.split()
        if len(words) == 3 and words[1] == "-i":
            values[words[0]] = int(words[2])
    n_samples = values.get("sample_count", 0) * values.get("channel_count", 1)
    n_bytes = n_samples * values.get("sample_n_bytes", 1)
    return (start, start + n_bytes) if n_bytes > 0 else None


def _sds(header: _Header) -> _Range | None:
    bits = header.read(6, 1)[0]
    low, middle, high = header.read(10, 3)
    n_samples = low | middle << 7 | high << 14
    per_packet = 120 // -(-bits // 7)
    return 21, 21 + -(-n_samples // per_packet) * 127


def _voc(header: _Header) -> _Range | None:
    (position,) = header.unpack("<H", 20)
    for _ in range(_MOST_CHUNKS):
        head = header.read(position, 4)
        size = int.from_bytes(head[1:].ljust(3, b"\0"), "little")
        if head[:1] in _VOC_SOUND:
            heads = 12 if head[:1] == b"\x09" else 2
            return position + 4 + heads, position + 4 + size
        position += 4 + size
    return None


def _wve(header: _Header) -> _Range | None:
    (n_bytes,) = header.unpack(">I", 18)
    return None if n_bytes in _UNKNOWN else (32, 32 + n_bytes)


def _xi(header: _Header) -> _Range | None:
    (n_samples,) = header.unpack("<H", 296)
    start = 298 + 40 * n_samples
    lengths = (header.unpack("<I", 298 + 40 * i)[0] for i in range(min(n_samples, 16)))
    n_bytes = sum(lengths)
    return (start, start + n_bytes) if n_bytes else None  # libsndfile writes 0


_KINDS: tuple[tuple[str, int, tuple[bytes, ...], Callable[[_Header], _Range | None]], ...] = (
    ("AU", 0, (b".snd", b"dns."), _au),
    ("AVI", 8, (b"AVI ",), _avi),
    ("AVR", 0, (b"2BIT",), _avr),
    ("CAF", 0, (b"caff",), _caf),
    ("FLV", 0, (b"FLV",), _flv),
    ("SVX", 8, (b"8SVX", b"16SV"), _iff),
    ("MP4", 4, (b"ftyp",), _mp4),
    ("MAT5", 0, (b"MATLAB",), _mat5),
    ("NIST", 0, (b"NIST_1A\n",), _nist),
    ("SDS", 0, (b"\xf0\x7e",), _sds),
    ("VOC", 0, (b"Creative Voice File\x1a",), _voc),
    ("WVE", 0, (b"ALawSoundFile**",), _wve),
    ("XI", 0, (b"Extended Instrument: ",), _xi),
    ("MAT4", 0, (b"\0\0\0\0", b"\0\0\x03\xe8"), _mat4),
    ("MPC2K", 0, (b"\x01\x04",), _mpc2k),
)
"""Where in a file which bytes tell its kind, and what knows its length."""


def read_extent(path: Path) -> Extent | None:
    """Find out how far a file goes, and how far it should by its header.

    Parameters
    ----------
    path : pathlib.Path
        An ordinary file.

    Returns
    -------
    Extent or None
        None if the file is of another kind, or does not say how long it is. Some kinds are told by a
        few bytes only, so hold `container` against what the file was opened as.
    """
    try:
        with open_ordinary(path) as stream:
            header = _Header(stream)
            head = header.read(0, 32)
            found = next(_matching(head), None)
            if found is None:
                return None
            container, measure = found
            extent = measure(header)
            size = header.size
    except (OSError, struct.error, ValueError, IndexError, ZeroDivisionError):
        return None  # whoever opens it says what is wrong with its header
    if extent is None:
        return None
    start, stop = extent
    claimed, lost = max(0, stop - start), max(0, stop - max(start, size))
    return Extent(container, claimed, lost, max(0, size - stop))


def _matching(head: bytes) -> Iterator[tuple[str, Callable[[_Header], _Range | None]]]:
    for container, at, marks, measure in _KINDS:
        if any(head.startswith(mark, at) for mark in marks):
            yield container, measure
