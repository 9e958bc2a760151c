"""Recordings whose end is missing, told by what their containers say of their length."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path

from audionmf.errors import AudioReadError
from audionmf.io.ffmpeg import said_of
from audionmf.io.foreign import conversion_line, foreign_kind
from audionmf.io.headers import read_extent
from audionmf.io.joined import broken_off

__all__ = ["broken_remark", "explaining_cuts", "refuse_unclear"]

_ENDLESS = {
    "PAF": "an Ensoniq PARIS file",
    "IRCAM": "an IRCAM file",
    "PVF": "a Portable Voice Format file",
    "XI": "a FastTracker instrument",
}
"""Containers, in libsndfile's words, that nowhere say how long they are, or in which some do not."""

_VOC_SLACK = 16
"""Bytes after the sound: an end mark, and 8 by which SoX gives it too short."""

_WHY = "was its recording or download broken off?"


def refuse_unclear(path: Path, container: str) -> None:
    """Refuse what does not say how long it is, as a part of it looks whole, and VOC in blocks.

    Raises
    ------
    AudioReadError
        With the line that converts it.
    """
    extent = read_extent(path)
    if container == "VOC" and extent is not None and extent.surplus > _VOC_SLACK:
        reason = "a VOC file of several blocks, whose heads would be heard as clicks"
    elif container in _ENDLESS and not (container == "XI" and extent is not None):
        reason = (
            f"{_ENDLESS[container]} that does not say how long it is, so a missing end could not be "
            "told; listen to it"
        )
    else:
        return
    raise AudioReadError(
        errno.EINVAL, f"{str(path)!r} is {reason}; convert it first: {conversion_line(path)}"
    )


@contextlib.contextmanager
def explaining_cuts(path: Path) -> Iterator[None]:
    """Say of a file that cannot be opened that it ends early, where its header tells."""
    try:
        yield
    except AudioReadError as error:
        extent = read_extent(path)
        if extent is None or not extent.lost or extent.weak:
            raise
        raise AudioReadError(
            error.errno,
            f"{error.strerror or error}; it ends {extent.lost} bytes before its header says: {_WHY}",
        ) from error


def broken_remark(path: Path, container: str, n_samples: int, sample_rate: int) -> str:
    """Return what to say of a recording that was broken off, to go behind its name.

    Parameters
    ----------
    path : pathlib.Path
        An ordinary file.
    container : str
        In libsndfile's words, as it was opened.
    n_samples, sample_rate : int
        Of what can be read of it, and in Hz.

    Returns
    -------
    str
        Empty if nothing is missing, or nothing in the file tells.
    """
    if foreign_kind(path) is not None:
        return _foreign_remark(path)
    n_broken, lost = broken_off(path)
    if lost:
        return _missing(lost)
    if n_broken:
        return f"has a stream without its end, and does not say how much is missing; {_WHY}"
    extent = read_extent(path)
    if extent is None or extent.container != container or not extent.lost:
        return ""
    there = 1.0 if container == "SDS" else 1 - extent.share  # its length is the header's
    return _missing(n_samples / sample_rate * extent.share / there if there else 0.0)


def _foreign_remark(path: Path) -> str:
    extent, said = read_extent(path), said_of(path)
    if extent is not None and extent.lost:
        return f"ends {extent.lost} bytes before its header says; {_WHY}"
    return (
        f"is cut off or damaged, so something may be missing: ffmpeg says {said!r}" if said else ""
    )


def _missing(seconds: float) -> str:
    return f"ends before its header says: {seconds:.2f} s are missing at its end; {_WHY}"
