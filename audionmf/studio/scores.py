"""Notes that were written in the page, as a score that says what each source plays."""

from __future__ import annotations

import math
import secrets
from pathlib import Path
from typing import Any

from audionmf.errors import ParameterError
from audionmf.io.files import write_bytes
from audionmf.notes.events import SourceNote
from audionmf.notes.files import notes_midi
from audionmf.studio.sources import checked_name

__all__ = ["write_score"]

_MOST_PARTS = 32
_MOST_NOTES = 8000
_LATEST = 1e6


def write_score(parts: Any, folder: Path) -> tuple[Path, list[str]]:
    """Write a score.

    Parameters
    ----------
    parts : list of [str, list]
        The name of each source, with its notes: onset and offset in seconds, key and velocity.
    folder : path
        Where the file goes.

    Returns
    -------
    path : pathlib.Path
        A Standard MIDI file, a track for each source.
    names : list of str
        The names of the sources, in the order of the tracks.

    Raises
    ------
    ParameterError
        If it makes no sense, or there is no note.
    MissingExtraError
        If pretty_midi is not installed.
    """
    if not isinstance(parts, list) or not 1 <= len(parts) <= _MOST_PARTS:
        raise ParameterError(f"a score has notes of 1 to {_MOST_PARTS} sources")
    notes: list[SourceNote] = []
    names: list[str] = []
    for part in parts:
        if not isinstance(part, list) or len(part) != 2 or not isinstance(part[1], list):
            raise ParameterError("a source has a name and notes")
        name = checked_name(part[0])
        if name in names or not part[1]:
            raise ParameterError(f"the notes of {name!r} are told once, and are one at least")
        names.append(name)
        notes += [_note(name, given) for given in part[1]]
    if len(notes) > _MOST_NOTES:
        raise ParameterError(f"there may be {_MOST_NOTES} notes at most")
    path = folder / f"{secrets.token_hex(8)}.mid"
    write_bytes(path, notes_midi(notes, names))
    return path, names


def _note(source: str, given: Any) -> SourceNote:
    whole = isinstance(given, list) and len(given) == 4
    if not whole or not all(type(value) in (int, float) for value in given):
        raise ParameterError("a note has an onset, an offset, a key and a velocity")
    onset, offset, key, velocity = given
    times = math.isfinite(onset) and math.isfinite(offset) and 0 <= onset < offset <= _LATEST
    keys = type(key) is int and type(velocity) is int and 0 <= key <= 127 and 1 <= velocity <= 127
    if not (times and keys):
        raise ParameterError(
            "a note ends after it begins, has a key of 0 to 127, a velocity of 1 on"
        )
    return SourceNote(source, -1, key, float(onset), float(offset), velocity, 0.0)
