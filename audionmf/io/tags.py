"""What a recording says of itself beside its samples: where it starts, its speakers, its texts.

An editor puts a file at the time of day in its ``bext`` chunk, a player sends channels to the speakers
in its ``fmt`` chunk. Stems go where their recording goes, so these are read, and written again where
the container has a place for them.

libsndfile writes neither, but a text of any length before the samples. So room is made with a text,
which is replaced when the file is closed.

The layouts are those of EBU Tech 3285 (Broadcast Wave) and of Microsoft's WAVEFORMATEXTENSIBLE.
"""

from __future__ import annotations

import contextlib
import dataclasses
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audionmf.io.chunks import wave_chunks
from audionmf.io.markers import append_to_aiff, from_aiff, to_aiff

__all__ = ["Tags", "prepare_tags", "put_tags", "read_tags", "speaker_order"]

_MAX_BYTES = 1 << 15
"""Most that is carried of one kind; libsndfile's headers take some 100 kB."""
_TEXTS = ("title", "artist", "album", "date", "genre", "tracknumber", "comment", "copyright")
_INFO = {
    "title": b"INAM", "artist": b"IART", "album": b"IPRD", "date": b"ICRD", "genre": b"IGNR",
    "tracknumber": b"ITRK", "comment": b"ICMT", "copyright": b"ICOP",
}  # fmt: skip
_TIME = slice(338, 346)
_EXTENSIBLE = 0xFFFE
_USUAL_SPEAKERS = {1: 0x4, 2: 0x3}
_FILLER = b"JUNK"

_VORBIS_ORDER = {
    3: (0, 2, 1),
    5: (0, 2, 1, 3, 4),
    6: (0, 2, 1, 5, 3, 4),
    7: (0, 2, 1, 6, 5, 3, 4),
    8: (0, 2, 1, 7, 5, 6, 3, 4),
}
"""Where the channels of WAV, FLAC and AIFF are among those of Vorbis, by their number."""
_VORBIS_SPEAKERS = {3: 0x7, 4: 0x33, 5: 0x37, 6: 0x3F, 7: 0x70F, 8: 0x63F}


@dataclass(frozen=True)
class Tags:
    """What is carried from a recording into its stems.

    Parameters
    ----------
    start : bytes, default b""
        The body of the ``bext`` chunk: the time of day at which it starts, and who recorded it.
    speakers : int, default 0
        Bits of the speakers that the channels are for, the lowest first; 0 where they are not told
        or are the usual ones.
    texts : tuple of (str, str), default ()
        Title, artist, album, date, genre, tracknumber, comment and copyright, as far as there are.
    markers, labels : bytes, default b""
        The bodies of the ``cue `` chunk, which says where markers are, and of the list of their
        names, also where they come from AIFF.
    """

    start: bytes = b""
    speakers: int = 0
    texts: tuple[tuple[str, str], ...] = ()
    markers: bytes = b""
    labels: bytes = b""

    def __bool__(self) -> bool:
        return self != Tags()

    def of_part(self, first: int) -> Tags:
        """Return those of a part that begins at sample `first`: later, and without the markers."""
        start = self.start
        if start:
            later = int.from_bytes(start[_TIME], "little") + first
            start = start[: _TIME.start] + struct.pack("<Q", later % 2**64) + start[_TIME.stop :]
        return dataclasses.replace(self, start=start, markers=b"", labels=b"")


def speaker_order(subtype: str, family: int, n_channels: int) -> tuple[int, ...] | None:
    """Return where the channels of WAV are among those that libsndfile gives for an Ogg file.

    Parameters
    ----------
    subtype : str
        In libsndfile's words.
    family : int
        Channel mapping family of Opus.
    n_channels : int
        Number of channels.

    Returns
    -------
    tuple of int or None
        None where the order is the same, or there is none.
    """
    if subtype == "VORBIS" or (subtype == "OPUS" and family == 1):
        return _VORBIS_ORDER.get(n_channels)
    return None


def read_tags(path: Path, file: Any, *, vorbis: bool) -> Tags:
    """Return what a file says of itself.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    file : soundfile.SoundFile
        The same, open.
    vorbis : bool
        Whether its channels are those of Vorbis.
    """
    texts = []
    for name in _TEXTS:
        with contextlib.suppress(UnicodeError, RuntimeError):
            text = getattr(file, name).strip("\0")
            if (
                text
                and "\ufffd" not in text
                and len(text.encode("utf-8", "replace")) < _MAX_BYTES // len(_TEXTS)
            ):
                texts.append((name, text))
    speakers = _VORBIS_SPEAKERS.get(file.channels, 0) if vorbis else 0
    found = wave_chunks(path, (b"fmt ", b"bext", b"cue ", b"LIST", b"MARK"), _MAX_BYTES)
    form = found.get(b"fmt ", b"")
    if len(form) >= 24 and int.from_bytes(form[:2], "little") == _EXTENSIBLE:
        speakers = int.from_bytes(form[20:24], "little")
    if speakers == _USUAL_SPEAKERS.get(file.channels) or speakers.bit_count() > file.channels:
        speakers = 0
    start = found.get(b"bext", b"")
    start += bytes(len(start) % 2)  # libsndfile loses its way in RF64 after an odd size
    markers, labels = found.get(b"cue ", b""), found.get(b"LIST", b"")
    if b"MARK" in found:
        markers, labels = from_aiff(found[b"MARK"])
    if len(markers) < 28 or len(markers) != 4 + 24 * int.from_bytes(markers[:4], "little"):
        markers = b""
    labels = labels + bytes(len(labels) % 2) if markers and labels[:4] == b"adtl" else b""
    return Tags(start if len(start) >= 602 else b"", speakers, tuple(texts), markers, labels)


def prepare_tags(file: Any, container: str, tags: Tags) -> None:
    """Write texts into a file that was just opened for writing, or make room for what comes.

    Parameters
    ----------
    file : soundfile.SoundFile
        Open for writing, with no samples yet.
    container : str
        In libsndfile's words.
    tags : Tags
        What to write.
    """
    if container in _WAVES:
        if body := _chunks(tags):
            file.comment = "-" * (len(body) + len(_chunk(_FILLER, b"")))
        return
    for name, text in tags.texts:
        with contextlib.suppress(RuntimeError):  # a container has a place for some of them
            setattr(file, name, text)


def put_tags(path: Path, container: str, tags: Tags) -> None:
    """Put the chunks where `prepare_tags` made room, and the speakers into the format.

    Markers of AIFF come after everything else.
    """
    if container == "AIFF" and (body := to_aiff(tags.markers, tags.labels)):
        append_to_aiff(path, body)
    if container not in _WAVES or not tags:
        return
    body = _chunks(tags)
    with path.open("r+b") as file:
        position = 12
        while len(header := _read(file, position, 8)) == 8 and header[:4] != b"data":
            size = int.from_bytes(header[4:], "little")
            if header[:4] == b"fmt " and tags.speakers and size >= 40:
                file.seek(position + 28)
                file.write(struct.pack("<I", tags.speakers))
            if header[:4] == b"LIST" and body and size >= len(body):
                rest = size - len(body)
                file.seek(position)
                file.write(body + _FILLER + struct.pack("<I", rest) + bytes(rest))
            position += 8 + size + size % 2


_WAVES = ("WAV", "WAVEX", "RF64")


def _read(file: Any, position: int, n_bytes: int) -> bytes:
    file.seek(position)
    data: bytes = file.read(n_bytes)
    return data


def _chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)


def _chunks(tags: Tags) -> bytes:
    """Return the chunks that hold start, markers and texts."""
    body = _chunk(b"bext", tags.start) if tags.start else b""
    body += _chunk(b"cue ", tags.markers) if tags.markers else b""
    body += _chunk(b"LIST", tags.labels) if tags.labels else b""
    if tags.texts:
        texts = [_chunk(_INFO[name], text.encode("utf-8") + b"\0") for name, text in tags.texts]
        body += _chunk(b"LIST", b"INFO" + b"".join(texts))
    return body
