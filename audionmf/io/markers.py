"""Markers of WAV and of AIFF: the one form from the other.

WAV keeps places in its ``cue `` chunk and their names in a ``LIST`` of kind ``adtl``, little-endian;
AIFF keeps both in its ``MARK`` chunk, big-endian, the names with a byte of length in Mac OS Roman
(Apple, "Audio Interchange File Format", version 1.3).
"""

from __future__ import annotations

import struct
from pathlib import Path

__all__ = ["append_to_aiff", "from_aiff", "to_aiff"]

_LARGEST_ID = 32767
_LARGEST_FORM = (1 << 32) - 1


def from_aiff(body: bytes) -> tuple[bytes, bytes]:
    """Return the bodies of a ``cue `` chunk and of the list of names; nothing of what is damaged.

    Parameters
    ----------
    body : bytes
        Of the ``MARK`` chunk.
    """
    points, names, at = [], b"", 2
    for _ in range(int.from_bytes(body[:2], "big")):
        if len(body) < at + 7 + body[at + 6 : at + 7].ljust(1, b"\0")[0]:
            return b"", b""
        number, place, length = struct.unpack(">HIB", body[at : at + 7])
        text = body[at + 7 : at + 7 + length].decode("mac_roman").encode("utf-8") + b"\0"
        points.append(struct.pack("<II4sIII", number, place, b"data", 0, 0, place))
        names += b"labl" + struct.pack("<II", 4 + len(text), number) + text + bytes(len(text) % 2)
        at += 7 + length + (length + 1) % 2
    if not points:
        return b"", b""
    return struct.pack("<I", len(points)) + b"".join(points), b"adtl" + names


def to_aiff(markers: bytes, labels: bytes) -> bytes:
    """Return the body of a ``MARK`` chunk; empty where no marker fits into one.

    Parameters
    ----------
    markers, labels : bytes
        The bodies of the ``cue `` chunk and of the list of names, as `Tags` holds them.
    """
    names = _names(labels)
    held = []
    for at in range(4, len(markers) - 23, 24):
        number, *_, place = struct.unpack("<II4sIII", markers[at : at + 24])
        if 0 < number <= _LARGEST_ID:
            text = names.get(number, "").encode("mac_roman", "replace")[:255]
            text = bytes([len(text)]) + text
            held.append(struct.pack(">HI", number, place) + text + bytes(len(text) % 2))
    return struct.pack(">H", len(held)) + b"".join(held) if held else b""


def _names(labels: bytes) -> dict[int, str]:
    """Return the names in a list of kind ``adtl``."""
    names, at = dict[int, str](), 4
    while at + 12 <= len(labels):
        kind, size, number = struct.unpack("<4sII", labels[at : at + 12])
        if kind == b"labl":
            text = labels[at + 12 : at + 8 + size].partition(b"\0")[0]
            names[number] = text.decode("utf-8", "replace")
        at += 8 + size + size % 2
    return names


def append_to_aiff(path: Path, body: bytes) -> None:
    """Put a ``MARK`` chunk behind everything else of an AIFF file that was just written."""
    with path.open("r+b") as file:
        end = file.seek(0, 2)
        padding = bytes(end % 2)
        total = end + len(padding) + 8 + len(body) - 8
        if total > _LARGEST_FORM:
            return
        file.write(padding + b"MARK" + struct.pack(">I", len(body)) + body)
        file.seek(4)
        file.write(struct.pack(">I", total))
