"""Audio and video that libsndfile does not read, how to convert it; folders searched for audio."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from pathlib import Path

from audionmf.errors import AudioReadError
from audionmf.io.earlier import stems_in
from audionmf.io.files import StrPath

__all__ = [
    "audio_in",
    "conversion",
    "conversion_line",
    "foreign_kind",
    "is_audio_name",
    "is_folder",
    "search",
    "without_audio",
]

_READ = """
aif aifc aiff au avr caf flac htk iff mp1 mp2 mp3 mpc2k nist oga ogg opus paf pvf rf64
sds sf snd sph svx voc w64 wav wave wve xi
"""
"""Extensions of what libsndfile reads, of those that hardly mean anything else."""

_FOREIGN = """
3g2 3gp aac ac3 adts aiffc alac amr ape asf avi awb dff dsf dts dtshd eac3 f4v flv m2ts
m4a m4b m4p m4r m4v mka mkv mlp mov mp+ mp4 mpc mpeg mpg mpp mts mxf ofr ogv ra ram rm
rmvb shn spx tak thd tta vob weba webm wma wmv wv
"""

_MARKS = (
    (4, b"ftyp", "an MP4 or M4A file"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "a Windows Media file"),
    (0, b"\x1a\x45\xdf\xa3", "a Matroska or WebM file"),
    (0, b"wvpk", "a WavPack file"),
    (0, b"MAC ", "a Monkey's Audio file"),
    (0, b"TTA1", "a True Audio file"),
    (0, b"MPCK", "a Musepack file"),
    (0, b"MP+", "a Musepack file"),
    (0, b"DSD ", "a DSD file"),
    (0, b"FRM8", "a DSD file"),
    (0, b"#!AMR", "an AMR file"),
    (0, b"\x0b\x77", "an AC-3 file"),
    (0, b"FLV", "a Flash video"),
    (0, b".RMF", "a RealMedia file"),
    (0, b"\xff\xf1", "an AAC file"),
    (0, b"\xff\xf9", "an AAC file"),
    (8, b"AVI ", "an AVI video"),
)
"""Where in a file which bytes tell its kind."""


def foreign_kind(path: Path) -> str | None:
    """Return what a file is, by its first bytes, that only ffmpeg reads; None for all others."""
    try:
        with path.open("rb") as stream:
            head = stream.read(16)
    except OSError:
        return None  # whoever opens it says why
    return next((kind for at, mark, kind in _MARKS if head[at:].startswith(mark)), None)


def conversion_line(path: Path) -> str:
    """Return the line that converts a file to one that libsndfile reads."""
    return shlex.join(["ffmpeg", "-i", str(path), str(path.with_suffix(".wav"))])


def conversion(path: Path) -> str:
    """Return what a file is by its name or start and the line that converts it, for a message about it.

    Parameters
    ----------
    path : pathlib.Path
        A file that was not read.

    Returns
    -------
    str
        Empty if it does not look like audio or video either.
    """
    suffix = path.suffix.lower()
    if path.is_file() and _is_ogg(path):  # FLAC, Speex, or what a newer libsndfile would read
        return (
            f"it is Ogg of a kind that is not read here; convert it first: {conversion_line(path)}"
        )
    if suffix[1:] not in _FOREIGN.split() or not path.is_file():
        return ""
    kind = f"audio or video of the kind {suffix!r}"
    return f"it is {kind}, which is not read here; convert it first: {conversion_line(path)}"


def _is_ogg(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            return stream.read(4) == b"OggS"
    except OSError:
        return False


def is_audio_name(name: str) -> bool:
    """Tell by its extension whether a file is audio or video, whether it is read or not."""
    suffix = Path(name).suffix.lower()[1:]
    return suffix in _READ.split() or suffix in _FOREIGN.split()


def is_folder(path: StrPath) -> bool:
    """Tell whether a folder is there; no name is too long or too odd to be asked for."""
    return os.path.isdir(path)  # noqa: PTH112


def search(folder: str, kept_out: str | None = None) -> Iterator[tuple[str, list[str]]]:
    """Yield each folder in a folder, through and through, and what is audio or video in it.

    What is hidden is passed over. A folder inside that may not be searched is among the files of the
    one that it is in, at the end.

    Parameters
    ----------
    folder : str
        Where to search.
    kept_out : str, optional
        A real path that is not searched.

    Raises
    ------
    AudioReadError
        If the folder itself cannot be read.
    """
    closed: list[str] = []

    def refuse(error: OSError) -> None:
        if error.filename == folder:
            raise AudioReadError(error.errno, f"{folder!r}: {error.strerror}") from error
        closed.append(error.filename)

    for where, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = sorted(
            name
            for name in folders
            if name[0] != "." and os.path.realpath(os.path.join(where, name)) != kept_out  # noqa: PTH118
        )
        yield where, sorted(name for name in files if name[0] != "." and is_audio_name(name))
    for path in closed:
        yield str(Path(path).parent), [Path(path).name]


def audio_in(folder: str) -> list[str]:
    """Return the audio files in a folder, through and through, in the order of their names.

    Stems that an earlier run left there are passed over.

    Raises
    ------
    AudioReadError
        If the folder cannot be read, or has no audio file in it.
    """
    found: list[str] = []
    any_stems = False
    for where, names in search(folder):
        made = stems_in(where) if names else set()
        paths = [str(Path(where, name)) for name in names]
        own = [path for path in paths if os.path.realpath(path) in made]
        any_stems |= bool(own)
        found += [path for path in paths if path not in own]
    if not found:
        raise AudioReadError(0, f"{folder!r} {without_audio(any_stems=any_stems)}")
    return found


def without_audio(*, any_stems: bool) -> str:
    """Return what is said of a folder without recordings, which may hold stems of ours."""
    if any_stems:
        return (
            "is a folder without audio files but stems of an earlier run; name those files to use "
            "them further"
        )
    return "is a folder without audio files"
