"""What files can be written: containers, sample formats, and what each of them can hold."""

from __future__ import annotations

import os
import zlib
from pathlib import Path

from audionmf.errors import ParameterError
from audionmf.io.files import StrPath

__all__ = [
    "FLOAT_BYTES",
    "LOSSY",
    "OUTPUT_FORMATS",
    "PCM_BITS",
    "SUBTYPES",
    "check_extension",
    "check_form",
    "output_subtype",
    "quantisation_step",
    "set_ogg_serial",
]

OUTPUT_FORMATS = {
    "wav": "WAV",
    "flac": "FLAC",
    "aiff": "AIFF",
    "mp3": "MP3",
    "ogg": "OGG",
    "opus": "OGG",
}
"""File extensions that audio can be written with, and libsndfile's words for them."""

LOSSY = {"mp3": "MPEG_LAYER_III", "ogg": "VORBIS", "opus": "OPUS"}
"""Those that do not hold the samples themselves: such stems do not sum to the mixture exactly."""

PCM_BITS = {"PCM_S8": 8, "PCM_U8": 8, "PCM_16": 16, "PCM_24": 24, "PCM_32": 32}
FLOAT_BYTES = {"FLOAT": 4, "DOUBLE": 8}
SUBTYPES = (*PCM_BITS, *FLOAT_BYTES)

_RATES = {
    "mp3": (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000),
    "opus": (8000, 12000, 16000, 24000, 48000),
}
_CHANNELS = {"mp3": 2, "flac": 8}
_LOSSY_STEP = 2.0**-15
"""Of what plays a lossy file, which is mostly 16-bit: beyond full scale it would clip."""

_OGG_SERIAL = 1
_OGG_HEADER, _OGG_BLOCK = 27, 1 << 17
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def check_extension(path: StrPath) -> str:
    """Return the extension of an output, without its dot, if it says a container.

    Raises
    ------
    ParameterError
        If it is not one of `OUTPUT_FORMATS`.
    """
    extension = Path(path).suffix.lower().lstrip(".")
    if extension not in OUTPUT_FORMATS:
        raise ParameterError(
            f"{os.fsdecode(path)!r}: audio is written as {', '.join(OUTPUT_FORMATS)}, "
            f"not {extension!r}; change the extension"
        )
    return extension


def check_form(extension: str, subtype: str | None, sample_rate: int, n_channels: int) -> None:
    """Make sure that a container can hold a recording.

    Parameters
    ----------
    extension : str
        One of `OUTPUT_FORMATS`.
    subtype : str or None
        The sample format asked for, one of `SUBTYPES`; None for the one that fits best.
    sample_rate, n_channels : int
        Of the recording, in Hz and 1 or more.

    Raises
    ------
    ParameterError
        If it cannot, or libsndfile cannot write it: says what to take instead.
    """
    import soundfile

    if extension in LOSSY:
        if subtype is not None:
            raise ParameterError(f"{extension} files have no sample format; leave out {subtype!r}")
        if not soundfile.check_format(OUTPUT_FORMATS[extension], LOSSY[extension]):
            raise ParameterError(
                f"the libsndfile that is installed cannot write {extension} files; take flac or wav"
            )
    elif subtype is not None and subtype not in SUBTYPES:
        raise ParameterError(f"a sample format is one of {', '.join(SUBTYPES)}, not {subtype!r}")
    elif subtype is not None and not soundfile.check_format(OUTPUT_FORMATS[extension], subtype):
        held = [s for s in SUBTYPES if soundfile.check_format(OUTPUT_FORMATS[extension], s)]
        raise ParameterError(
            f"{extension} files cannot hold {subtype!r} samples; take one of {', '.join(held)}, or "
            "wav files"
        )
    rates = _RATES.get(extension, (sample_rate,))
    if sample_rate not in rates:
        raise ParameterError(
            f"{extension} files hold {', '.join(map(str, rates))} Hz, and the recording has "
            f"{sample_rate} Hz; take {'ogg, ' if extension == 'mp3' else 'ogg, mp3, '}flac or wav"
        )
    most = _CHANNELS.get(extension, n_channels)
    if n_channels > most:
        raise ParameterError(
            f"{extension} files hold {most} channels at most, and the recording has {n_channels}; "
            "take wav"
        )


def output_subtype(subtype: str, extension: str = "wav") -> str:
    """Return the sample format in which stems of a file with `subtype` are written.

    PCM and float formats are kept where the container has them. What has no sample format of its
    own (Ogg, MP3, µ-law, …) gives 32-bit float, or 24-bit PCM where the container has no float.
    """
    import soundfile

    if extension in LOSSY:
        return LOSSY[extension]
    container = OUTPUT_FORMATS[extension]
    wanted = subtype if subtype in SUBTYPES else "FLOAT"
    for candidate in (wanted, "PCM_S8" if wanted == "PCM_U8" else "PCM_24"):
        if soundfile.check_format(container, candidate):
            return candidate
    return "PCM_24"


def quantisation_step(subtype: str) -> float:
    """Return the step between neighbouring values of a sample format; 0 for a float format."""
    if subtype in LOSSY.values():
        return _LOSSY_STEP
    bits = PCM_BITS.get(subtype)
    return 0.0 if bits is None else 2.0 ** (1 - bits)


def set_ogg_serial(path: Path) -> None:
    """Give an Ogg stream a fixed number instead of a random one: the same sound, the same bytes.

    Each of its pages has the number, and a checksum (RFC 3533).
    """
    with path.open("r+b") as file:
        position = 0
        while True:
            file.seek(position)
            header = bytearray(file.read(_OGG_HEADER))
            if len(header) < _OGG_HEADER or header[:4] != b"OggS":
                return
            lacing = file.read(header[26])
            body = file.read(sum(lacing))
            header[14:18] = _OGG_SERIAL.to_bytes(4, "little")
            header[22:26] = bytes(4)
            page = bytes(header) + lacing + body
            header[22:26] = _ogg_checksum(page).to_bytes(4, "little")
            file.seek(position)
            file.write(header)
            position += len(page)


def _ogg_checksum(page: bytes) -> int:
    """Return the checksum of a page: zlib's polynomial, but from the high bit on and not inverted."""
    mirrored = zlib.crc32(page.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{mirrored:032b}"[::-1], 2)
