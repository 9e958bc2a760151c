"""Parts of a recording: from a start, for so long, read as if the rest of the file were not there.

At the shell a part is written ``FILE@START-END``, the times in seconds, ``M:SS`` or ``H:MM:SS``. A
part takes its first sample in and leaves the one at its end out.
"""

from __future__ import annotations

import dataclasses
import math
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from audionmf.errors import ParameterError
from audionmf.io.audio import AudioFile, AudioLike, Source, open_source
from audionmf.io.files import StrPath

__all__ = ["FilePart", "excerpt", "is_again", "open_part", "part_path", "seconds_from_text"]

_TIME = re.compile(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d*)?|\.\d+)", re.ASCII)
_PART = re.compile(r"(.+)@([\d:.]+)-([\d:.]+)", re.ASCII | re.DOTALL)
_OVERSHOOT = 0.1


@dataclass(frozen=True, eq=False)
class FilePart(AudioFile):
    """A part of a recording on disk, read block by block; nothing of the rest is kept.

    Parameters
    ----------
    path : str or os.PathLike
        The file.
    start : float, default 0
        In seconds, within the recording.
    length : float, optional
        In seconds, more than 0; what goes beyond the end is not there. Default: to the end.

    Raises
    ------
    ParameterError
        If the part is not in the recording, or holds no sample.
    FileNotFoundError, AudioReadError, InvalidAudioError, LimitError
        As `AudioFile` does.
    """

    start: float = 0.0
    length: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        first, stop = _span(self, repr(str(self.path)), self.start, self.length)
        object.__setattr__(self, "first", first)
        object.__setattr__(self, "whole", False)
        object.__setattr__(self, "n_samples", stop - first)
        object.__setattr__(self, "tags", self.tags.of_part(first))

    def less(self, whole: AudioFile) -> FilePart:
        """Return the same part without the constant offset that was taken from the whole."""
        if whole.taken is not None:
            object.__setattr__(self, "taken", whole.taken)
        return self


def excerpt(
    source: AudioLike,
    start: float = 0.0,
    duration: float | None = None,
    *,
    sample_rate: int | None = None,
) -> Source:
    """Return a part of a recording, which can be used wherever a recording can.

    Parameters
    ----------
    source : Audio, path, or array of shape (n_channels, n_samples) or (n_samples,)
        The recording. Of a file nothing is read yet, and later no more than the part is kept.
    start : float, default 0
        In seconds, within the recording.
    duration : float, optional
        In seconds, more than 0; default: to the end, which a longer one goes to as well.
    sample_rate : int, optional
        In Hz; needed where the source is an array.

    Returns
    -------
    Audio or AudioFile
        The samples from ``round(start * rate)`` to before ``round((start + duration) * rate)``: to
        the bit what a file cut there would hold.

    Raises
    ------
    ParameterError
        If the part is not in the recording, or holds no sample.
    FileNotFoundError, AudioReadError, InvalidAudioError, LimitError
        If the recording cannot be read.
    """
    opened = open_source(source, sample_rate)
    if start == 0 and duration is None:
        return opened
    if isinstance(opened, FilePart):
        first, stop = _span(opened, repr(str(opened.path)), start, duration)
        rate = opened.sample_rate
        part = FilePart(opened.path, (opened.first + first) / rate, (stop - first) / rate)
        return part.less(opened)
    if isinstance(opened, AudioFile):
        return FilePart(opened.path, start, duration).less(opened)
    name = "the array of samples" if opened.path is None else repr(str(opened.path))
    first, stop = _span(opened, name, start, duration)
    return dataclasses.replace(
        opened, samples=opened.samples[:, first:stop], tags=opened.tags.of_part(first)
    )


def is_again(source: Source, other: Source) -> bool:
    """Tell whether two were opened as the same samples of the same file, which did not change between.

    Then what is known of one holds of the other.
    """
    if not (isinstance(source, AudioFile) and isinstance(other, AudioFile)):
        return False
    seen, again = (
        (file.path, file._stamp, file.first, file.n_samples, file.taken) for file in (source, other)
    )
    return source.taken is None and seen == again


def open_part(text: StrPath) -> AudioFile:
    """Open a file, or a part of one that is written ``FILE@START-END``.

    Raises
    ------
    ParameterError
        If the range is not inside the recording.
    FileNotFoundError, AudioReadError, InvalidAudioError, LimitError
        If the recording cannot be read.
    """
    path, times = _split(text)
    if times is None:
        return AudioFile(path)
    start, end = times
    file, shown = AudioFile(path), repr(os.fsdecode(text))
    if start >= end:
        raise ParameterError(f"{shown}: the range does not end after it starts")
    if end > file.duration + _OVERSHOOT:
        raise ParameterError(
            f"{shown}: the range is not inside the recording, which is {file.duration:g} s long"
        )
    return FilePart(path, start, end - start)


def part_path(text: StrPath) -> str:
    """Return the path of a file that may be written with a range."""
    return str(_split(text)[0])


def seconds_from_text(text: str) -> float:
    """Return a time in seconds that is written in seconds, ``M:SS`` or ``H:MM:SS``.

    Raises
    ------
    ValueError
        If it has another form.
    """
    found = _TIME.fullmatch(text.strip())
    if not found:
        raise ValueError(f"{text!r} is not a time")
    hours, minutes, seconds = (float(part or 0) for part in found.groups())
    if (found[1] and minutes >= 60) or (found[2] and seconds >= 60):
        raise ValueError(f"{text!r} is not a time")
    return 3600 * hours + 60 * minutes + seconds


def _split(text: StrPath) -> tuple[Path, tuple[float, float] | None]:
    """Return the path, and the times if there are some; a file of this very name comes first."""
    name = os.fsdecode(text)
    found = _PART.fullmatch(name)
    if found is None or os.path.lexists(name):
        return Path(name), None
    try:
        return Path(found[1]), (seconds_from_text(found[2]), seconds_from_text(found[3]))
    except ValueError as error:
        raise ParameterError(
            f"{name!r}: {error}; a part is written FILE@START-END, the times in seconds, M:SS or "
            "H:MM:SS"
        ) from None


def _span(source: Source, name: str, start: Any, length: Any) -> tuple[int, int]:
    """Return the first sample of a part, and the one after its last."""
    for value, what in ((start, "start"), (0 if length is None else length, "duration")):
        if not (isinstance(value, int | float | np.number) and 0 <= value < math.inf):
            raise ParameterError(f"the {what} is a time in seconds, 0 or more, not {value!r}")
    rate, n_samples = source.sample_rate, source.n_samples
    first = round(start * rate)
    stop = n_samples if length is None else min(n_samples, round((start + length) * rate))
    if first >= n_samples:
        raise ParameterError(
            f"the part from {start:g} s on is not inside {name}, which is {source.duration:g} s "
            "long; start earlier"
        )
    if stop <= first:
        raise ParameterError(f"a part of {length:g} s holds no sample; give it a longer duration")
    return first, stop
