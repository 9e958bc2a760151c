"""Streams that lie one after the other in a file: where each of them is.

A recorded web radio, or MP3 files that were put together with ``cat``, hold several streams. libsndfile
decodes the first and says nothing of the others. So the pages of an Ogg file and the frames of an MP3
file are walked here, by their headers alone.

The layouts are those of RFC 3533 (Ogg), RFC 7845 (Opus in Ogg), ISO/IEC 11172-3 and 13818-3 (MPEG
audio), and of ID3 and Xing as players read them.

The same walk tells a stream that was broken off: the last page of an Ogg stream says that it is the
last, MP3 frames are whole, and as many as their header frame says.
"""

from __future__ import annotations

import functools
import io
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

__all__ = ["Span", "Window", "broken_off", "opus_family", "stream_spans"]

Span = tuple[int, int]
"""First byte of a stream, and the one after its last."""

_MAX_STREAMS = 10_000
_MOST_GARBAGE = 1 << 16
_PIECE = 1 << 18
_OGG_HEADER, _OGG_PAGE = 27, 27 + 255
_LEAST_FRAMES = 12
"""MP3 frames that a part needs to count: a third of a second, or what a wrong count leaves."""

_BIT_RATES = {
    (3, 1): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (3, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (2, 1): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""In kbit/s by MPEG version and layer as headers number them: 3 is MPEG-1, 1 is layer III."""
_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
_MISCOUNTED = 1
"""Frames by which writers are off: some count the header frame, some do not."""


@dataclass
class _Streams:
    """What a walk found: where streams start, and of those broken off, how much of them is lost."""

    starts: list[int] = field(default_factory=list)
    n_broken: int = 0
    lost: float = 0.0
    """Seconds that are told to be lost, of all of them."""


class Window(io.RawIOBase):
    """A stretch of a file, as a file of its own.

    Parameters
    ----------
    stream : binary file
        The whole; it is not closed.
    span : (int, int)
        The stretch.
    """

    def __init__(self, stream: BinaryIO, span: Span) -> None:
        self._stream, (self._start, self._stop) = stream, span
        self._at = 0

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def seekable(self) -> bool:
        """Tell that it can be sought in."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Go to a place, counted from the start of the stretch."""
        bases = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._stop - self._start}
        self._at = max(0, bases[whence] + offset)
        return self._at

    def tell(self) -> int:
        """Return the place."""
        return self._at

    def readinto(self, buffer: bytearray, /) -> int:  # type: ignore[override]  # as soundfile gives
        """Read into a buffer; return how many bytes there were."""
        left = max(0, self._stop - self._start - self._at)
        view = memoryview(buffer).cast("B")[:left]
        self._stream.seek(self._start + self._at)
        data = self._stream.read(len(view))
        view[: len(data)] = data
        self._at += len(data)
        return len(data)


def stream_spans(path: Path) -> tuple[Span, ...]:
    """Return where in a file its streams lie, in their order.

    Parameters
    ----------
    path : pathlib.Path
        An ordinary file.

    Returns
    -------
    tuple of (int, int)
        Empty where there is one stream, the kind of file has no more, or it cannot be read.
    """
    found, size = _walked(path)
    spans = tuple(zip(found.starts, [*found.starts[1:], size], strict=False))
    return spans if 1 < len(spans) <= _MAX_STREAMS else ()


def broken_off(path: Path) -> tuple[int, float]:
    """Return how many streams of an Ogg or MP3 file end before their end, and seconds lost.

    Parameters
    ----------
    path : pathlib.Path
        An ordinary file.

    Returns
    -------
    n_broken : int
        0 where all are whole, the file is of another kind, or it cannot be read.
    lost : float
        Seconds as far as they are told, in MP3 with a header frame; 0 where they are not.
    """
    found, _ = _walked(path)
    return found.n_broken, found.lost


def _walked(path: Path) -> tuple[_Streams, int]:
    """Walk a file by its kind; return what was found and its size."""
    try:
        status = path.stat()
        with path.open("rb") as stream:
            head = stream.read(10)
        is_ogg = head[:4] == b"OggS"
        if is_ogg or head[:3] == b"ID3" or (len(head) == 10 and _frame(head)):
            stamp = status.st_ino, status.st_size, status.st_mtime_ns
            return _found(path, is_ogg, stamp), status.st_size
    except OSError:
        pass
    return _Streams(), 0


@functools.lru_cache(maxsize=64)
def _found(path: Path, is_ogg: bool, stamp: tuple[int, int, int]) -> _Streams:
    """Walk a file; a file is opened more than once, and does not change with the same stamp."""
    del stamp
    with path.open("rb") as stream:
        data = _Bytes(stream)
        return _ogg_streams(data) if is_ogg else _mp3_streams(data)


class _Bytes:
    """The bytes of a file, a piece of it in memory; mapped, a whole large file would come to be."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._size = os.fstat(stream.fileno()).st_size
        self._start, self._piece = 0, b""

    def __len__(self) -> int:
        return self._size

    def get(self, at: int, n_bytes: int) -> bytes:
        """Return bytes at a place; fewer at the end of the file."""
        first = at - self._start
        if first < 0 or first + n_bytes > len(self._piece):
            self._stream.seek(at)
            self._start, self._piece, first = at, self._stream.read(max(n_bytes, _PIECE)), 0
        return self._piece[first : first + n_bytes]

    def find(self, mark: bytes, at: int) -> int:
        """Return where a mark comes next, within the next 64 KiB; -1 if it does not."""
        found = self.get(at, _MOST_GARBAGE).find(mark)
        return at + found if found >= 0 else -1


def opus_family(path: Path) -> int:
    """Return the channel mapping family of an Opus stream: 1 has an order of speakers."""
    with path.open("rb") as stream:
        head = stream.read(512)
    at = head.find(b"OpusHead")
    return head[at + 18] if 0 <= at < len(head) - 18 else 0


def _ogg_streams(data: _Bytes) -> _Streams:
    """Walk pages: a stream starts with one that begins it, after one that does not.

    Streams that belong together lie in each other's gaps. All that began must end before the next
    ones begin, and before the file does.
    """
    found = _Streams()
    unfinished: set[bytes] = set()
    at, began = 0, False
    while len(page := data.get(at, _OGG_PAGE)) >= _OGG_HEADER and page[:4] == b"OggS":
        kind, serial, n_segments = page[5], page[14:18], page[26]
        begins = bool(kind & 2)
        if begins and not began:
            found.n_broken += bool(unfinished)
            unfinished.clear()
            found.starts.append(at)
        began = begins
        at += _OGG_HEADER + n_segments + sum(page[_OGG_HEADER : _OGG_HEADER + n_segments])
        if at > len(data) or not kind & 4:
            unfinished.add(serial)
        else:
            unfinished.discard(serial)
        if data.get(at, 4) != b"OggS":  # bytes between pages; decoders look for the next one too
            following = data.find(b"OggS", at)
            at = following if following >= 0 else len(data)
    found.n_broken += bool(unfinished)
    return found


def _mp3_streams(data: _Bytes) -> _Streams:
    """Walk frames: a stream starts at a tag, at a header frame, or where the frames are all told."""
    streams = [_Frames(0)]
    at, garbage = 0, 0
    while at + 4 <= len(data):
        head = data.get(at, 10)
        size, tag = _tag_size(data, at, head)
        frame = None if size else _frame(head)
        if size:
            if tag and streams[-1].count:
                streams.append(_Frames(at))
            at, garbage = at + size, 0
            continue
        if frame is None:
            following = data.find(b"\xff", at + 1)
            garbage += (following if following >= 0 else len(data)) - at
            if following < 0 or garbage > _MOST_GARBAGE:
                break
            at = following
            continue
        told = _told_frames(data, at, head)
        last = streams[-1]
        if last.count and (told or (last.told and last.count > last.told)):
            streams.append(_Frames(at))
        last = streams[-1]
        last.told = told or last.told
        last.cut = at + frame > len(data) and not garbage
        last.count += not last.cut
        last.seconds = _frame_seconds(head)
        at, garbage = at + frame, 0
    kept = [stream for stream in streams if stream.count >= _LEAST_FRAMES]
    found = _Streams([0, *(stream.start for stream in kept[1:])])
    for stream in kept or streams[:1]:
        n_lost = stream.told - stream.count
        if n_lost > _MISCOUNTED or stream.cut:
            found.n_broken += 1
            found.lost += max(0, n_lost) * stream.seconds
    return found


@dataclass
class _Frames:
    """The frames of an MP3 stream: where they start, how many there are, how many are told of."""

    start: int
    count: int = 0
    told: int = 0
    cut: bool = False
    seconds: float = 0.0


def _frame_seconds(head: bytes) -> float:
    """Return how long a frame plays."""
    version, place = head[1] >> 3 & 3, head[2] >> 2 & 3
    n_samples = 576 if version != 3 and head[1] >> 1 & 3 == 1 else 1152
    return n_samples / _RATES[version][place]


def _tag_size(data: _Bytes, at: int, head: bytes) -> tuple[int, bool]:
    """Return the size of a tag that lies here, and whether it starts a file; 0 if there is none."""
    if head[:3] == b"ID3" and len(head) == 10 and all(byte < 128 for byte in head[6:]):
        size = sum(byte << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True))
        return 10 + size + (10 if head[5] & 0x10 else 0), True
    if head[:3] == b"TAG":
        return 128, False
    if head[:8] == b"APETAGEX":
        return 32 + int.from_bytes(data.get(at + 12, 4), "little"), False
    return 0, False


def _frame(head: bytes) -> int | None:
    """Return the size of the MPEG frame with this header; None if there is none."""
    if head[0] != 0xFF or head[1] < 0xE0:
        return None
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
    rates = _BIT_RATES.get((3 if version == 3 else 2, layer if version == 3 else 1))
    index, place = head[2] >> 4, head[2] >> 2 & 3
    if version == 1 or layer not in (1, 2) or rates is None or index in (0, 15) or place == 3:
        return None
    slots = 72 if version != 3 and layer == 1 else 144
    return slots * 1000 * rates[index - 1] // _RATES[version][place] + (head[2] >> 1 & 1)


def _told_frames(data: _Bytes, at: int, head: bytes) -> int:
    """Return how many frames a header frame says that will follow; 0 if it is none."""
    mono, first = head[3] >> 6 == 3, head[1] >> 3 & 3 == 3
    place = at + 4 + ((17 if mono else 32) if first else (9 if mono else 17))
    if (told := data.get(place, 12))[:4] not in (b"Xing", b"Info") or len(told) < 12:
        return 0
    return int.from_bytes(told[8:], "big") if told[7] & 1 else 0
