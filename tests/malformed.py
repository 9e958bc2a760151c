"""Files that are damaged, that lie, or that were made to do harm; each with what it must end in.

`CASES` holds them all, the same bytes on every run. A case says which command gets the file and
what becomes of it: its exit code, and words of the line on standard error. ``said`` of a case with
exit code 0 is a warning.
"""

from __future__ import annotations

import hashlib
import io
import json
import struct
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import soundfile

RATE = 8000
N_SAMPLES = 4000
BIG = 2**32 - 1

SEPARATE, TEMPLATES, MODEL, LABELS = "separate", "templates", "model", "labels"
SCORE = "score"


@dataclass(frozen=True)
class Case:
    """One file.

    Parameters
    ----------
    name : str
        What is wrong with it; unique.
    content : bytes
        The whole file.
    code : int
        The exit code; 0 where it is worked on all the same.
    said : str
        Words on standard error; for code 0 those of a warning, or nothing at all.
    command : str
        What it is given to: to be separated, as templates, as a model, as labels, or as a score.
    """

    name: str
    content: bytes
    code: int
    said: str = ""
    command: str = SEPARATE


# --- parts of WAV files


def samples(order: str = "<") -> bytes:
    """Return a tone as 16-bit samples."""
    return (np.sin(np.arange(N_SAMPLES) / 5) * 9000).astype(order + "i2").tobytes()


def chunk(name: bytes, content: bytes = b"", size: int | None = None, order: str = "<") -> bytes:
    """Return a chunk, whose size may be a lie."""
    size = len(content) if size is None else size
    return name + struct.pack(order + "I", size) + content + bytes(len(content) % 2)


def fmt(
    tag: int = 1,
    n_channels: int = 1,
    rate: int = RATE,
    bits: int = 16,
    align: int | None = None,
    per_second: int | None = None,
    extra: bytes = b"",
    order: str = "<",
) -> bytes:
    """Return a ``fmt `` chunk."""
    align = n_channels * -(-bits // 8) & 0xFFFF if align is None else align
    per_second = rate * align & BIG if per_second is None else per_second
    head = struct.pack(order + "HHIIHH", tag, n_channels, rate, per_second, align, bits)
    return chunk(b"fmt ", head + extra, order=order)


def riff(
    *chunks: bytes, size: int | None = None, name: bytes = b"RIFF", kind: bytes = b"WAVE"
) -> bytes:
    """Return a file of chunks."""
    body = kind + b"".join(chunks)
    order = ">" if name in (b"RIFX", b"FORM") else "<"
    return name + struct.pack(order + "I", len(body) if size is None else size) + body


def rf64(total: int, size: int, *, content: bytes | None = None, table: int = 0) -> bytes:
    """Return an RF64 file with the sizes of its ``ds64`` chunk."""
    ds64 = chunk(b"ds64", struct.pack("<QQQI", total, size, 0, table))
    data = chunk(b"data", samples() if content is None else content, BIG)
    return riff(ds64, fmt(), data, size=BIG, name=b"RF64")


GUID_TAIL = b"\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a"


def w64(*, size: int | None = None, total: int | None = None, fmt_size: int | None = None) -> bytes:
    """Return a Wave64 file."""
    form = fmt()[8:]
    fmt_chunk = b"fmt " + GUID_TAIL + struct.pack("<Q", fmt_size or len(form) + 24) + form
    content = samples()
    size = len(content) + 24 if size is None else size
    data = b"data" + GUID_TAIL + struct.pack("<Q", size) + content
    body = b"wave" + GUID_TAIL + fmt_chunk + data
    total = len(body) + 24 if total is None else total
    riff_guid = b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00"
    return riff_guid + struct.pack("<Q", total) + body


def aiff(
    *,
    n_channels: int = 1,
    n_frames: int = N_SAMPLES,
    bits: int = 16,
    exponent: int = 16383 + 12,
    sound: bytes | None = None,
    size: int | None = None,
    common: int = 1,
) -> bytes:
    """Return an AIFF file at 8000 Hz."""
    rate = struct.pack(">HQ", exponent, RATE << 51)
    head = chunk(b"COMM", struct.pack(">HIH", n_channels, n_frames, bits) + rate, order=">")
    content = bytes(8) + (samples(order=">") if sound is None else sound)
    return riff(head * common, chunk(b"SSND", content, size, order=">"), name=b"FORM", kind=b"AIFF")


def encoded(container: str, subtype: str, seconds: float = 0.5) -> bytes:
    """Return a tone as libsndfile writes it."""
    content = io.BytesIO()
    tone = np.sin(np.arange(int(RATE * seconds)) / 5) * 0.3
    soundfile.write(content, tone, RATE, subtype, format=container)
    return content.getvalue()


def ogg(subtype: str, seconds: float = 0.5, last_position: int | None = None) -> bytes:
    """Return a tone in Ogg: the stream's number fixed, the last position maybe a lie."""
    pages = [b"OggS" + page for page in encoded("OGG", subtype, seconds).split(b"OggS")[1:]]
    if last_position is not None:
        pages[-1] = replaced(pages[-1], 6, struct.pack("<Q", last_position))
    numbered = [replaced(page, 14, b"tone" + page[18:22] + bytes(4)) for page in pages]
    return b"".join(replaced(page, 22, struct.pack("<I", ogg_sum(page))) for page in numbered)


def ogg_sum(page: bytes) -> int:
    """Return the checksum of an Ogg page: CRC-32 with the bits in the other order."""
    table = []
    for value in range(256):
        remainder = value << 24
        for _ in range(8):
            remainder = remainder << 1 ^ (0x104C11DB7 if remainder >> 31 else 0)
        table.append(remainder)
    total = 0
    for byte in page:
        total = (total << 8 & BIG) ^ table[total >> 24 ^ byte]
    return total


def replaced(content: bytes, place: int, new: bytes) -> bytes:
    """Return `content` with other bytes at `place`."""
    return content[:place] + new + content[place + len(new) :]


# --- what is wrong


def broken_off() -> Iterator[Case]:
    """Headers that claim more than there is, or were never finished."""
    data = chunk(b"data", samples())
    whole = riff(fmt(), data)
    shorter = "ends before its header says: "
    yield Case("cut in the samples", whole[:-2000], 0, shorter + "0.12 s are missing")
    yield Case("cut within a sample", whole[:-2001], 0, shorter + "0.13 s are missing")
    yield Case("data claims twice as much", riff(fmt(), chunk(b"data", samples(), 16000)), 0,
               shorter + "0.50 s are missing")  # fmt: skip
    yield Case("data claims 1.6 GB", riff(fmt(), chunk(b"data", samples(), 1_600_008_000)), 0,
               shorter + "100000.00 s are missing")  # fmt: skip
    yield Case("cut after the data header", whole[:44], 3, "no samples")
    yield Case("RIFF size 0", riff(fmt(), data, size=0), 0, "header that was never finished")
    yield Case("cut in a chunk after the samples", riff(fmt(), data, chunk(b"LIST", bytes(900)))[
        :-500
    ], 0, "ends 500 bytes before its header says, after its samples; 0.00 s are missing")  # fmt: skip
    for total in (None, 0):
        yield Case(f"data size 0, RIFF size {total}", riff(
            fmt(), chunk(b"data", samples(), 0), size=total
        ), 3, "raw data (16-bit mono at 8000 Hz)")  # fmt: skip
    yield Case("data size 0 and a chunk follows", riff(fmt(), chunk(b"data"), chunk(b"LIST", b"INFO")),
               3, "no samples")  # fmt: skip
    for size in (BIG, 0x7FFFF000, 0x7FFFFFFF, 0x80000000):
        for total in (BIG, size + 36 & BIG, 0, None):
            name = f"a stream's header, sizes {size:x} and {total}"
            yield Case(name, riff(fmt(), chunk(b"data", samples(), size), size=total), 0)
    yield Case("a stream without samples", riff(fmt(), chunk(b"data", b"", BIG), size=BIG), 3,
               "no samples")  # fmt: skip
    for align, missing in ((0, 0.0), (1, 0.5), (3, 0.0), (4, 0.0), (65535, 0.0)):
        yield Case(f"block align {align}", riff(fmt(align=align), data), 0,
                   f"gives {align} bytes to a frame, where 16-bit mono at 8000 Hz has 2; read so, "
                   f"{missing:.2f} s")  # fmt: skip
    yield Case("24 bits in 4 bytes", riff(fmt(bits=24, align=4), data), 0, "4 bytes to a frame")


def impossible_headers() -> Iterator[Case]:
    """Headers that lack what they need, or say what cannot be."""
    data, whole_fmt = chunk(b"data", samples()), fmt()
    yield Case("no fmt", riff(data), 3, "no 'fmt ' chunk")
    for size in (0, 2, 8, 14, 15):
        short = chunk(b"fmt ", whole_fmt[8 : 8 + size])
        yield Case(f"fmt of {size} bytes", riff(short, data), 3, "'fmt ' chunk is too short")
    yield Case("fmt at the end", riff(whole_fmt)[:-8], 3)
    yield Case("no data", riff(whole_fmt), 3, "no 'data' chunk")
    yield Case("data before fmt", riff(data, whole_fmt), 3, "comes before its 'fmt ' chunk")
    yield Case("two fmt", riff(whole_fmt, whole_fmt, data), 3, "more than one 'fmt ' chunk")
    yield Case("two fmt, the second after data", riff(whole_fmt, data, fmt(n_channels=2)), 3,
               "more than one 'fmt ' chunk")  # fmt: skip
    yield Case("two data", riff(whole_fmt, data, data), 3, "more than one 'data' chunk")
    yield Case("no channels", riff(fmt(n_channels=0, align=2), data), 3, "no channels")
    for n_channels in (65, 1024, 65535):
        yield Case(f"{n_channels} channels", riff(fmt(n_channels=n_channels), data), 6,
                   f"{n_channels} channels; 64 is the most")  # fmt: skip
    for rate in (0, 1, 999, 768_001, 2**31 - 1, 2**31, BIG):
        yield Case(f"{rate} Hz", riff(fmt(rate=rate), data), 3, f"a sample rate of {rate} Hz")
    for tag in (1, 3, 0xFFFE):
        yield Case(f"0 bits, tag {tag}", riff(fmt(tag, bits=0, align=2), data), 3, "0 bits")
    for bits in (33, 64, 65535):
        yield Case(f"{bits} bits", riff(fmt(bits=bits), data), 3)
    for tag in (0, 0x99, 0x1234, 0xFFFF):
        yield Case(f"unknown tag {tag:x}", riff(fmt(tag), data), 3, "that can be read")
    for tag, name in (
        (2, "ADPCM"),
        (0x11, "IMA ADPCM"),
        (0x31, "GSM"),
        (0x55, "MP3"),
        (3, "float"),
    ):
        yield Case(f"{name} with the header of PCM", riff(fmt(tag), data), 3, "that can be read")
    yield Case("extensible without its extension", riff(fmt(0xFFFE), data), 3, "that can be read")
    junk = chunk(b"junk") * 20_000
    yield Case("20,000 chunks before the samples", riff(whole_fmt, junk, data), 3, "4096 chunks")
    yield Case("20,000 chunks after the samples", riff(whole_fmt, data, junk), 3, "4096 chunks")
    yield Case("20,000 lists", riff(whole_fmt, chunk(b"LIST", b"INFO") * 20_000, data), 3, "chunks")
    yield Case(
        "a chunk of 4 GB", riff(whole_fmt, chunk(b"junk", b"", 0xFFFFFFF0), data), 3, "no 'data'"
    )
    yield Case("an odd chunk without its pad byte", riff(
        whole_fmt, b"junk" + struct.pack("<I", 3) + b"abc", data
    ), 3, "no 'data'")  # fmt: skip
    yield Case("RIFF of another kind", riff(whole_fmt, data, kind=b"AVI "), 3, "an AVI video")
    for n_bytes in (0, 1, 4, 8, 11, 12, 13, 20, 36, 40, 43):
        yield Case(f"{n_bytes} bytes of WAV", riff(whole_fmt, data)[:n_bytes], 3)
    big = fmt(order=">")
    yield Case("RIFX cut", riff(big, chunk(b"data", samples(">"), order=">"), name=b"RIFX")[:-2000], 0,
               "0.12 s are missing")  # fmt: skip
    yield Case("RIFX with a little-endian header", riff(whole_fmt, data, name=b"RIFX"), 3)


def harmless() -> Iterator[Case]:
    """Oddities that lose nothing: no word about them."""
    data = chunk(b"data", samples())
    whole = riff(fmt(), data)
    yield Case("zeros after the end", whole + bytes(100_000), 0)
    yield Case("an ID3 tag after the end", whole + b"TAG" + bytes(125), 0)
    yield Case("text after the end", whole + b"no chunk at all " * 99, 0)
    yield Case("a RIFF size that is too small", riff(fmt(), data, size=1000), 0)
    yield Case("a RIFF size with the header in it", riff(fmt(), data, size=len(whole)), 0)
    yield Case("a long fmt", riff(fmt(extra=bytes(984)), data), 0)
    yield Case("4000 chunks", riff(fmt(), chunk(b"junk") * 4000, data), 0)
    yield Case("12 bits", riff(fmt(bits=12, align=2), data), 0)


def other_containers() -> Iterator[Case]:
    """RF64, Wave64 and AIFF."""
    size = 2 * N_SAMPLES
    yield Case("RF64", rf64(size + 72, size), 0)
    yield Case("RF64 cut", rf64(size + 72, size)[:-2000], 0, "0.12 s are missing")
    yield Case("RF64 claims a terabyte", rf64(1 << 40, 1 << 40), 0, "68719476.24 s are missing")
    yield Case("RF64 claims 8 exabytes", rf64(1 << 62, 1 << 62), 0, "s are missing")
    yield Case("RF64 data size 0", rf64(72, 0), 3, "raw data")
    yield Case("RF64 table of 4 billion", rf64(size + 72, size, table=BIG), 3, "that can be read")
    yield Case("RF64 without samples", rf64(72, 0, content=b""), 3, "no samples")
    yield Case("RF64 ds64 cut", rf64(size + 72, size)[:30], 3)
    yield Case("RF64 no ds64", riff(fmt(), chunk(b"data", samples()), name=b"RF64"), 0)
    yield Case("Wave64", w64(), 0)
    yield Case("Wave64 cut", w64()[:-2000], 0, "0.12 s are missing")
    yield Case("Wave64 claims 8 exabytes", w64(size=1 << 63), 0, "s are missing")
    yield Case("Wave64 data size 0", w64(size=24), 3, "raw data")
    yield Case("Wave64 chunk smaller than its header", w64(size=8), 3, "less than its own header")
    yield Case("Wave64 fmt of 16 exabytes", w64(fmt_size=(1 << 64) - 1), 3, "no 'data'")
    yield Case("Wave64 header alone", w64()[:40], 3)
    yield Case("AIFF", aiff(), 0)
    yield Case("AIFF cut", aiff()[:-2000], 0, "0.12 s are missing")
    yield Case("AIFF claims 4 GB", aiff(size=BIG - 1), 0, "s are missing")
    yield Case("AIFF no channels", aiff(n_channels=0), 3, "no channels")
    yield Case("AIFF 65 channels", aiff(n_channels=65), 6, "65 channels")
    yield Case("AIFF at no rate", aiff(exponent=0), 3, "0 Hz")
    yield Case("AIFF at an endless rate", aiff(exponent=0x7FFF), 3, "0 Hz")
    yield Case("AIFF two COMM", aiff(common=2), 3, "more than one 'COMM'")
    yield Case("AIFF no COMM", aiff(common=0), 3, "no 'COMM'")
    yield Case("AIFF of text", aiff(sound=b"", size=0)[:30] + b"text" * 9, 3)


def coded() -> Iterator[Case]:
    """FLAC, Ogg, MP3 and the like, cut and lying."""
    flac = encoded("FLAC", "PCM_16")
    yield Case("FLAC claims 2**36 samples", replaced(
        flac, 21, bytes([flac[21] | 0x0F]) + b"\xff" * 4
    ), 0, "8589934.09 s are missing")  # fmt: skip
    yield Case(
        "FLAC of no known length", replaced(flac, 21, bytes([flac[21] & 0xF0]) + bytes(4)), 0
    )
    yield Case("FLAC cut", flac[:-200], 3, "damaged")
    yield Case("FLAC header alone", flac[:42], 3)
    yield Case("FLAC at 0 Hz", replaced(flac, 18, bytes(2) + bytes([flac[20] & 0x0F])), 3)
    yield Case("FLAC with noise for frames", flac[:200] + np.random.default_rng(0).bytes(3000), 3)
    yield Case("FLAC with a block of 16 MB", replaced(flac, 5, b"\xff\xff\xff"), 3)
    yield Case("FLAC magic again and again", b"fLaC" * 500, 3)
    vorbis = ogg("VORBIS")
    yield Case("Ogg", vorbis, 0)
    yield Case("Ogg cut", vorbis[: len(vorbis) // 2], 3)
    yield Case("Ogg with a page gone", vorbis[:58] + vorbis[1000:], 3)
    for position in (1 << 40, 1 << 62, (1 << 63) - 1):
        yield Case(f"Ogg claims {position:x} samples", ogg("VORBIS", 0.5, position), 0)
    yield Case(
        "Ogg claims less than none", ogg("VORBIS", 0.5, (1 << 64) - 2), 0, "0.03 s are missing"
    )
    yield Case("Ogg header alone", vorbis[:58], 3)
    yield Case("Ogg magic again and again", b"OggS" * 500, 3)
    yield Case("Opus cut", ogg("OPUS", 3.0)[:-1000], 0, "a stream without its end")
    mp3 = encoded("MP3", "MPEG_LAYER_III", 2.0)
    yield Case(
        "MP3 cut", mp3[: len(mp3) // 2], 0, "ends before its header says: 1.22 s are missing"
    )
    yield Case("MP3 frame alone", mp3[:100], 3)
    yield Case("MP3 syncs only", b"\xff\xfb" * 4000, 3)
    yield Case("an ID3 tag of 256 MB", b"ID3\x04\x00\x00\x7f\x7f\x7f\x7f" + mp3[:2000], 3)
    for subtype in ("IMA_ADPCM", "MS_ADPCM", "GSM610", "ULAW", "ALAW"):
        yield Case(f"{subtype} cut", encoded("WAV", subtype)[:-300], 0, "s are missing")
    adpcm = encoded("WAV", "MS_ADPCM")
    yield Case("ADPCM blocks of 0 bytes", replaced(adpcm, 32, bytes(2)), 3)
    yield Case("ADPCM blocks of 64 kB", replaced(adpcm, 32, b"\xff\xff"), 3)
    caf = encoded("CAF", "PCM_16")
    yield Case("CAF cut", caf[: len(caf) // 2], 3)
    au = encoded("AU", "PCM_16")
    yield Case("AU claims 4 GB", replaced(au, 8, b"\xff\xff\xff\xfe"), 3, "no samples")
    yield Case("AU samples beyond the end", replaced(au, 4, b"\xff\xff\xff\x00"), 3)


def no_audio() -> Iterator[Case]:
    """Files of another kind."""
    yield Case("nothing", b"", 3, "is empty")
    yield Case("zeros", bytes(9999), 3, "that can be read")
    yield Case("text", b"a shopping list\n" * 99, 3, "that can be read")
    yield Case("noise", np.random.default_rng(1).bytes(9999), 3)
    yield Case("a picture", b"\x89PNG\r\n\x1a\n" + bytes(999), 3, "that can be read")
    yield Case("an archive", archive(), 3)
    nans = np.zeros(N_SAMPLES, "<f4")
    nans[[7, 9]] = np.nan, np.inf
    data = chunk(b"data", nans.tobytes())
    yield Case("NaN", riff(fmt(3, bits=32), data), 3, "2 samples that are not finite")
    doubles = np.full(N_SAMPLES, 1e300, "<f8").tobytes()
    yield Case(
        "beyond float32", riff(fmt(3, bits=64), chunk(b"data", doubles)), 3, "first at sample 0"
    )


# --- archives


def npy(array: Any, header: bytes | None = None) -> bytes:
    """Return an array as a member of an archive, with another header if one is given."""
    content = io.BytesIO()
    np.lib.format.write_array(content, np.asarray(array), allow_pickle=True)
    if header is None:
        return content.getvalue()
    padded = header.ljust(118 - 1) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(padded)) + padded + bytes(64)


METADATA = {
    "format": "audionmf templates",
    "version": 1,
    "labels": ["a", "b"],
    "sample_rate": RATE,
    "stft": {"n_fft": 256, "hop_length": 64, "window": "hann"},
}


def archive(
    metadata: Any = METADATA,
    compression: int = zipfile.ZIP_DEFLATED,
    **members: Any,
) -> bytes:
    """Return an archive of templates; `members` are arrays, bytes as they are, or None for none."""
    content = io.BytesIO()
    text = json.dumps(metadata) if isinstance(metadata, dict) else metadata
    arrays = {"metadata": text, "templates": np.ones((129, 2), np.float32), **members}
    with zipfile.ZipFile(content, "w", compression) as file:
        for name, array in arrays.items():
            if array is not None:
                info = zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0))
                info.compress_type = compression
                file.writestr(info, array if isinstance(array, bytes) else npy(array))
    return content.getvalue()


def claiming(content: bytes, size: int) -> bytes:
    """Return an archive whose directory claims `size` bytes for its templates."""
    place = content.rindex(b"templates.npy") - 46
    return replaced(content, place + 24, struct.pack("<I", size))


def templates() -> Iterator[Case]:
    """Template files."""

    def case(name: str, content: bytes, said: str = "", code: int = 5) -> Case:
        return Case(f"templates: {name}", content, code, said, TEMPLATES)

    def changed(**values: Any) -> bytes:
        return archive({**METADATA, **values})

    good = archive()
    yield case("good", good, code=0)
    yield case("nothing", b"")
    yield case("cut", good[: len(good) // 2])
    yield case("a byte flipped", replaced(good, len(good) // 2, b"\xa5\x5a\xa5\x5a"))
    yield case("a letter", b"templates, they said\n" * 9)
    yield case("a recording", riff(fmt(), chunk(b"data", samples())))
    yield case("no metadata", archive(metadata=None))
    yield case("no templates", archive(templates=None), "members")
    yield case("one member too many", archive(other=np.ones(3, np.float32)), "members")
    yield case("metadata that are no JSON", archive(metadata="{"), "metadata")
    yield case("metadata that are a list", archive(metadata="[]"), "metadata")
    yield case("metadata nested deep", archive(metadata="[" * 100_000), "metadata")
    yield case("metadata that are a number", archive(metadata=np.array(3)), "metadata")
    for version in (0, 4, "1", None, [1]):
        yield case(f"version {version!r}", changed(version=version), f"version {version!r}")
    yield case("another format", changed(format="audionmf secrets"), "not an")
    for rate in (0, -1, 1e300, "fast", None, True, 999):
        yield case(f"sample rate {rate!r}", changed(sample_rate=rate))
    for stft in ({}, [], None, {"n_fft": 256}, {"n_fft": 1 << 40, "hop_length": 64, "window": "hann"},
                 {"n_fft": 256, "hop_length": 0, "window": "hann"},
                 {"n_fft": 256, "hop_length": 64, "window": "../../etc/passwd"},
                 {"n_fft": "256", "hop_length": 64, "window": "hann"}):  # fmt: skip
        yield case(f"STFT {stft!r}", changed(stft=stft))
    for labels in ([], ["a"], ["a", "b", "c"], "ab", [1, 2], None, ["a", None], ["", ""]):
        yield case(f"labels {labels!r}", changed(labels=labels))
    for name, array in {
        "negative": -np.ones((129, 2), np.float32),
        "NaN": np.full((129, 2), np.nan, np.float32),
        "infinite": np.full((129, 2), np.inf),
        "whole numbers": np.ones((129, 2), np.int64),
        "complex": np.ones((129, 2), complex),
        "text": np.full((129, 2), "x"),
        "one dimension": np.ones(258, np.float32),
        "three dimensions": np.ones((129, 2, 1), np.float32),
        "of another n_fft": np.ones((130, 2), np.float32),
        "no bins": np.ones((0, 2), np.float32),
        "no components": np.ones((129, 0), np.float32),
        "objects": np.array([["a", {}]], object),
    }.items():
        yield case(name, archive(templates=array))
    head = b"{'descr': '<f4', 'fortran_order': False, 'shape': (%s), }"
    for shape in (b"4096, 1073741824", b"-1, 2", b"2,", b"1e9, 2", b"[" * 40):
        yield case(f"shape {shape.decode()}", archive(templates=npy(0, head % shape)))
    yield case("code for a header", archive(templates=npy(0, b"__import__('os').abort()")))
    yield case("claims 4 GB", claiming(good, BIG - 1), "would unpack to")
    yield case("claims 1 MB", claiming(good, 1 << 20))
    yield case("a bomb", archive(templates=npy(np.zeros((129, 60_000), np.float32)), metadata={
        **METADATA, "labels": ["a"]
    }))  # fmt: skip
    yield case("a bomb that claims little", claiming(archive(templates=bytes(1 << 24)), 1160))
    yield case("LZMA", archive(compression=zipfile.ZIP_LZMA))
    yield case("a member that is a folder", archive(templates=None, **{"templates.npy/x": b""}))
    yield case("a member outside", archive(**{"../../evil": b"x"}), "members")
    yield case("no directory", good[: good.rindex(b"PK\x01\x02")])
    yield case("a wrong checksum", replaced(good, good.rindex(b"PK\x01\x02") + 16, bytes(4)))


MIXTURE = riff(fmt(), chunk(b"data", samples()))
"""A good recording: the one that templates, labels and models are used on."""

MODEL_METADATA = {
    **METADATA,
    "format": "audionmf model",
    "grouping": [["a", [0]], ["b", [1]]],
    "settings": {"n_fft": 256, "hop_length": 64},
    "mixture": {
        "path": "gone.wav",
        "sha256": hashlib.sha256(MIXTURE).hexdigest(),
        "n_channels": 1,
        "n_samples": N_SAMPLES,
    },
    "divergence": [2.0, 1.0],
    "reason": "max_iter",
    "banded": False,
    "absent": [],
    "residual": "",
}


def models() -> Iterator[Case]:
    """Model files."""

    def case(name: str, content: bytes, said: str = "", code: int = 5) -> Case:
        return Case(f"model: {name}", content, code, said, MODEL)

    def changed(**values: Any) -> bytes:
        return archive({**MODEL_METADATA, **values})

    good = archive(MODEL_METADATA)
    yield case("good", good, code=0)
    yield case("cut", good[:-50])
    yield case("of templates", archive())
    for field in sorted(MODEL_METADATA.keys() - {"absent"}):
        rest = {name: value for name, value in MODEL_METADATA.items() if name != field}
        yield case(f"without {field}", archive(rest))
    for grouping in ([], [["a", [0]]], [["a", [0, 1]], ["b", [1]]], [["a", [0, 9]]], {"a": [0, 1]},
                     [["", [0]], ["b", [1]]], [["a", [0]], ["a", [1]]], [["a", ["x"]]]):  # fmt: skip
        yield case(f"grouping {grouping}", changed(grouping=grouping))
    for settings in ({"n_fft": "x"}, {"secret": 1}, [], {"max_iter": 1e300}, {"n_threads": -5}):
        yield case(f"settings {settings}", changed(settings=settings))
    mixture = MODEL_METADATA["mixture"]
    wrong = [("n_samples", 1 << 62), ("n_samples", N_SAMPLES - 1), ("n_samples", 1),
             ("n_channels", 0), ("n_channels", 2), ("sha256", 3), ("path", []), ("x", 1)]  # fmt: skip
    for name, value in wrong:
        yield case(f"mixture {name} {value!r}", changed(mixture={**mixture, name: value}))
    for divergence in ("x", [[1.0]], [1.0, None], {"a": 1}):
        yield case(f"divergence {divergence!r}", changed(divergence=divergence))
    for absent in ("x", [["a", [[0, 1, 2]]]], [["a", [[5, 2]]]], [["a", [["x", "y"]]]], 7):
        yield case(f"absent {absent!r}", changed(absent=absent))
    yield case("activations of another length", archive(
        MODEL_METADATA, activations=np.ones((2, 3), np.float32)
    ))  # fmt: skip
    yield case("covariances of mono", archive(
        MODEL_METADATA, covariances=np.ones((2, 129, 2, 2, 2), np.float32)
    ))  # fmt: skip
    yield case("patterns of no shape", archive(
        MODEL_METADATA, patterns=np.ones((0, 0, 0), np.float32)
    ))  # fmt: skip


def labels() -> Iterator[Case]:
    """Label files."""

    def case(name: str, content: bytes, code: int, said: str = "") -> Case:
        return Case(f"labels: {name}", content, code, said, LABELS)

    yield case("good", b"0\t0.2\ta\n0.25\t0.5\tb\n", 0)
    yield case("nothing", b"", 2)
    yield case("zeros", bytes(999), 2)
    yield case("noise", np.random.default_rng(2).bytes(999), 2)
    yield case("not finite", b"nan\tinf\ta\n0\t1\tb\n", 2)
    yield case("the end before the start", b"0.4\t0.2\ta\n", 2)
    yield case("beyond the recording", b"0\t0.2\ta\n0.3\t99\tb\n", 2, "is not inside")
    yield case("a number of a megabyte", b"1" * (1 << 20) + b"\t2\ta\n", 2)
    yield case("a recording", riff(fmt(), chunk(b"data", samples())), 2)


def midi(
    *tracks: bytes, kind: int = 1, n_tracks: int | None = None, division: int = 480, head: int = 6
) -> bytes:
    """Return a Standard MIDI file."""
    n_tracks = len(tracks) if n_tracks is None else n_tracks
    header = b"MThd" + struct.pack(">IHHH", head, kind, n_tracks, division)
    return header + b"".join(tracks)


def track(*events: bytes, size: int | None = None, end: bytes = b"\0\xff\x2f\0") -> bytes:
    """Return a track, whose size may be a lie."""
    return chunk(b"MTrk", b"".join(events) + end, size, ">")[: 8 + len(b"".join(events) + end)]


def scores() -> Iterator[Case]:
    """Scores."""

    def case(name: str, content: bytes, code: int = 3, said: str = "") -> Case:
        return Case(f"score: {name}", content, code, said, SCORE)

    note = b"\0\x90\x40\x50" + b"\x83\x60\x80\x40\0"
    yield case("good", midi(track(note)), 0)
    yield case("nothing", b"", 3, "it is empty")
    yield case("text", b"do re mi\n" * 9, 3, "does not start like one")
    yield case("header alone", midi(), 3)
    yield case("header cut", midi()[:9], 3, "cut off")
    yield case("cut", midi(track(note))[:-6])
    yield case("no notes", midi(track()), 3, "holds no notes")
    yield case("a track of 4 GB", midi(track(note, size=BIG)))
    yield case("a header of 4 GB", midi(track(note), head=BIG))
    yield case("format 7", midi(track(note), kind=7), 3, "format 7")
    yield case("a clock that stands still", midi(track(note), division=0), 3, "stands still")
    yield case("data without a status", midi(track(b"\0\x40\x50")), 3, "without a status")
    yield case("an endless number", midi(track(b"\xff" * 99)), 3, "too long")
    yield case("a name of 256 MB", midi(track(b"\0\xff\x03\xff\xff\xff\x7f", note)), 3, "cut off")
    yield case("a system message of 256 MB", midi(track(b"\0\xf0\xff\xff\xff\x7f", note)))
    yield case("300 parts", midi(*[track(note)] * 300), 3, "300 parts")
    yield case(
        "a million notes",
        midi(track(b"\0\x90" + b"\x40\x50\0\x40\0\0" * 300_000, end=b"\xff\x2f\0")),
        3,
        "notes",
    )
    bends = track(b"\0\xe0" + b"\x40\x50\0" * 1_300_000, end=b"\xff\x2f\0")
    yield case("a million bends", midi(bends), 3, "events")
    yield case("larger than any score", bytes(5 << 20), 3, "larger than 4 MiB")
    yield case("a recording", MIXTURE, 3, "does not start like one")
    yield case("noise", np.random.default_rng(3).bytes(9999), 3)
    yield case("noise in a track", midi(track(np.random.default_rng(4).bytes(999))), 3)


def _all() -> tuple[Case, ...]:
    kinds = (broken_off, impossible_headers, harmless, other_containers, coded, no_audio, templates,
             models, labels, scores)  # fmt: skip
    return tuple(case for kind in kinds for case in kind())


CASES = _all()
